//! The firehose (row FT): in a virtual host that is traced, each message that a client publishes,
//! and each delivery, is copied to the exchange `amq.rabbitmq.trace`.
//!
//! ```text
//! publish ─ its queues are found ────▶ key publish.EXCHANGE ─┐ waits
//! delivery to a client here ─────────▶ key deliver.QUEUE ────┴─▶ end of the turn: published
//! ```
//!
//! A connection knows whether it is traced, so without tracing a run of messages pays one test.
//! Messages that came to the trace exchange are not traced themselves, wherever they go. Traces of
//! deliveries are left out while the log or a link to another shard is full.

use crate::base::ids::{ConnId, QueueId};
use crate::contract::{Publication, RouteSet};
use crate::message::{ArrayBuilder, Content, MessageView, OwnedBody, Properties, PropertiesBuilder, Route, Table, TableBuilder, Value};
use crate::shard::Shard;
use crate::shard::conns::conn::Conn;
use crate::shard::publish::dispatch::Published;
use crate::shard::publish::effect::Effect;

/// The exchange of traces, which every virtual host has.
const TRACE: &str = "amq.rabbitmq.trace";

/// Deliveries that wait to be traced.
#[derive(Default)]
pub struct Traces(Vec<Delivered>);

/// A delivery that is to be traced.
struct Delivered {
    conn: ConnId,
    channel: u16,
    queue: QueueId,
    redelivered: bool,
    route: Box<[u8]>,
    properties: Box<[u8]>,
    body: OwnedBody,
}

impl Traces {
    /// Notes a delivery.
    pub fn note(&mut self, (conn, channel): (ConnId, u16), queue: QueueId, redelivered: bool, message: &MessageView<'_>) {
        if message.route.exchange() == TRACE.as_bytes() {
            return;
        }
        let (route, properties, body) = (message.route.wire().into(), message.properties.into(), message.body.to_owned());
        self.0.push(Delivered { conn, channel, queue, redelivered, route, properties, body });
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Shard {
    /// Notes whether any virtual host is traced now, and marks the connections of those that are.
    pub(in crate::shard) fn follow_tracing(&mut self) {
        self.publishing.is_traced = self.catalog.vhosts().any(|vhost| vhost.spec.tracing);
        for id in self.conns.ids() {
            let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.stay.is_some()) else { continue };
            let vhost = conn.session.vhost();
            conn.is_traced = self.catalog.find_vhost(vhost).is_some_and(|vhost| vhost.spec.tracing);
        }
    }

    /// Traces messages that a client publishes, whose queues were just found.
    #[cold]
    pub(in crate::shard) fn trace_published(&mut self, id: ConnId, published: &Published<'_, '_>, count: usize) -> Effect {
        let route = published.route;
        let is_traced = |conn: &&Conn| conn.is_traced && route.exchange() != TRACE.as_bytes();
        let Some(conn) = self.conns.get(id).filter(is_traced) else { return Effect::NONE };
        let key = [b"publish.", route.exchange()].concat();
        let queues: RouteSet = self.publishing.routes.clone();
        let names =
            |array: ArrayBuilder| queues.iter().fold(array, |array, queue| array.value(text(self.queue_name(queue.queue).as_bytes())));
        let traces = published.contents[..count].iter().map(|content| {
            let headers = self.headers(conn, published.channel, route, content.properties).array("routed_queues", names);
            self.trace(conn, &key, &headers.build(), content)
        });
        let traces: Vec<Publication> = traces.collect();
        traces.iter().fold(Effect::NONE, |effect, trace| effect | self.publish_own(trace))
    }

    /// Traces the deliveries of the turn.
    pub(in crate::shard) fn trace_deliveries(&mut self) {
        for delivered in std::mem::take(&mut self.publishing.traces.0) {
            if !self.has_room_to_forward() {
                break;
            }
            let Delivered { conn, channel, queue, redelivered, route, properties, body } = delivered;
            let Some(conn) = self.conns.get(conn) else { continue };
            let key = [b"deliver.", self.queue_name(queue).as_bytes()].concat();
            let headers = self.headers(conn, channel, Route::new(&route), &properties).int("redelivered", redelivered.into());
            let content = Content { properties: &properties, body: body.as_body() };
            let trace = self.trace(conn, &key, &headers.build(), &content);
            _ = self.publish_own(&trace);
        }
    }

    fn trace(&self, conn: &Conn, key: &[u8], headers: &Table, content: &Content<'_>) -> Publication {
        Publication {
            vhost: conn.session.vhost_name().into(),
            exchange: TRACE.into(),
            key: key[..key.len().min(usize::from(u8::MAX))].into(),
            properties: PropertiesBuilder { headers: Some(headers.view()), ..PropertiesBuilder::default() }.build(),
            body: content.body.bytes().to_vec(),
        }
    }

    /// Begins the headers of a trace.
    fn headers(&self, conn: &Conn, channel: u16, route: Route<'_>, properties: &[u8]) -> TableBuilder {
        let copies = |name| Properties::trusted(properties).headers().and_then(|headers| headers.find(name)).and_then(Value::as_array);
        let copies = ["CC", "BCC"].into_iter().filter_map(copies).flatten().filter_map(Value::as_text);
        let keys = std::iter::once(route.key()).chain(copies);
        TableBuilder::new()
            .value("exchange_name", text(route.exchange()))
            .array("routing_keys", |array| keys.fold(array, |array, key| array.value(text(key))))
            .table("properties", &table_of(Properties::trusted(properties)))
            .text("node", &self.config.node_name)
            .text("vhost", conn.session.vhost_name())
            .text("connection", &format!("{} -> {}", conn.peer, conn.local))
            .int("channel", channel.into())
            .text("user", &conn.user().name)
    }
}

/// Returns properties as RabbitMQ's traces have them: a table with an entry for each that is set.
fn table_of(properties: Properties<'_>) -> Table {
    let number = |number: u64| i32::try_from(number).map_or(Value::Long(number as i64), Value::SignedInt);
    let all = [
        ("content_type", properties.content_type().map(text)),
        ("content_encoding", properties.content_encoding().map(text)),
        ("headers", properties.headers().map(Value::Table)),
        ("delivery_mode", properties.delivery_mode().map(u64::from).map(number)),
        ("priority", properties.priority().map(u64::from).map(number)),
        ("correlation_id", properties.correlation_id().map(text)),
        ("reply_to", properties.reply_to().map(text)),
        ("expiration", properties.expiration().map(text)),
        ("message_id", properties.message_id().map(text)),
        ("timestamp", properties.timestamp().map(number)),
        ("type", properties.kind().map(text)),
        ("user_id", properties.user_id().map(text)),
        ("app_id", properties.app_id().map(text)),
        ("cluster_id", properties.cluster_id().map(text)),
    ];
    let set = all.into_iter().filter_map(|(name, value)| Some((name, value?)));
    set.fold(TableBuilder::new(), |table, (name, value)| table.value(name, value)).build()
}

fn text(bytes: &[u8]) -> Value<'_> {
    Value::LongString(bytes)
}
