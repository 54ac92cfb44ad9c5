//! Messages: published and fetched over AMQP by a connection of the asker's own, so that its
//! permissions, the broker's checks and their texts are those of any client.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::uri::{AMQPAuthority, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Confirmation, Connection, ConnectionProperties, Error, ErrorKind};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::amqp_json::{from_properties, short, to_properties};
use super::call::Call;
use super::exchanges;
use super::object::{Object, object};
use crate::management::http::{Answer, Body, Outcome, Refusal};

/// `POST /exchanges/V/X/publish`
pub async fn publish(call: &Call) -> Outcome {
    let body = call.object()?;
    body.need(&["routing_key", "properties", "payload", "payload_encoding"])?;
    exchanges::find(call, &call.broker().catalog()).map(drop).map_err(|_| Refusal::not_found("exchange_not_found"))?;
    let key = short(body.text("routing_key")?.unwrap_or_default())?;
    let (properties, payload) = (to_properties(&body.object("properties")?)?, payload(&body)?);
    let exchange = short(call.exchange("exchange"))?;
    let published = with_channel(call, async |channel: &Channel| {
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        channel.basic_publish(exchange, key, options, &payload, properties).await?.await
    });
    let routed = matches!(published.await?.map_err(|fault| fault.refusal())?, Confirmation::Ack(None));
    Ok(Answer::one(json!({ "routed": routed })))
}

fn payload(body: &Body) -> Result<Vec<u8>, Refusal> {
    let payload = body.text("payload").map_err(|_| Refusal::bad_request("payload_not_string"))?.unwrap_or_default();
    match body.text("payload_encoding")?.unwrap_or_default() {
        "string" => Ok(payload.as_bytes().to_vec()),
        "base64" => BASE64_STANDARD.decode(payload).map_err(|_| Refusal::bad_request(format!("not_base64: {payload}"))),
        other => Err(Refusal::bad_request(format!("unsupported_encoding: {other}"))),
    }
}

/// `POST /queues/V/Q/get`
///
/// No message is lost if something fails meanwhile: all are acknowledged together at the end. Long
/// lists end early, by the size of their messages or the time that they take.
pub async fn get(call: &Call) -> Outcome {
    let body = call.object()?;
    call.queue_id().map_err(|_| Refusal::not_found("queue_not_found"))?;
    let wanted = Wanted::parse(&body)?;
    let queue = short(call.variable("queue"))?;
    let fetched = with_channel(call, async |channel: &Channel| {
        let (mut messages, mut bytes, begin) = (Vec::new(), 0, call.site.host.now_ms());
        while messages.len() < wanted.count && bytes < GET_BYTES_MAX && call.site.host.now_ms() < begin + GET_TIME_MAX_MS {
            let Some(message) = channel.basic_get(queue.clone(), BasicGetOptions { no_ack: false }).await? else { break };
            bytes += message.delivery.data.len();
            messages.push(message);
        }
        settle(channel, &messages, wanted.fate).await?;
        Ok(messages)
    });
    let messages = fetched.await?.map_err(|fault| fault.refusal_of_get())?;
    Ok(Answer::list(messages.iter().map(|message| message_object(message, &wanted))))
}

/// Settles fetched messages.
async fn settle(channel: &Channel, messages: &[BasicGetMessage], fate: Fate) -> Result<(), Error> {
    let Some(tag) = messages.last().map(|last| last.delivery.delivery_tag) else { return Ok(()) };
    match fate {
        Fate::Ack => channel.basic_ack(tag, BasicAckOptions { multiple: true }).await,
        Fate::Requeue => channel.basic_nack(tag, BasicNackOptions { multiple: true, requeue: true }).await,
        Fate::Reject => channel.basic_nack(tag, BasicNackOptions { multiple: true, requeue: false }).await,
    }
}

/// What a fetch wants.
struct Wanted {
    count: usize,
    fate: Fate,
    base64: bool,
    truncate: Option<usize>,
}

/// The fate of fetched messages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Ack,
    Requeue,
    Reject,
}

impl Wanted {
    fn parse(body: &Body) -> Result<Wanted, Refusal> {
        let old = body.get("requeue").is_some();
        body.need(if old { &["count", "encoding"] } else { &["count", "ackmode", "encoding"] })?;
        let fate = match body.text("ackmode")? {
            None if body.bool("requeue", true)? => Fate::Requeue,
            None | Some("ack_requeue_false") => Fate::Ack,
            Some("ack_requeue_true" | "reject_requeue_true") => Fate::Requeue,
            Some("reject_requeue_false") => Fate::Reject,
            Some(other) => {
                return Err(Refusal::bad_request(format!(
                    "Invalid ackmode value: {other}. Valid values are: ack_requeue_true, ack_requeue_false, reject_requeue_true, \
                     reject_requeue_false"
                )));
            }
        };
        let base64 = match body.text("encoding")? {
            Some("auto") => false,
            Some("base64") => true,
            _ => return Err(Refusal::bad_request("Unsupported encoding. Please use auto or base64.")),
        };
        let size = |number: Option<i64>| number.map(|number| usize::try_from(number).unwrap_or(0));
        let count = size(body.int("count")?).unwrap_or(0).min(GET_COUNT_MAX);
        Ok(Wanted { count, fate, base64, truncate: size(body.int("truncate")?) })
    }
}

fn message_object(message: &BasicGetMessage, wanted: &Wanted) -> Object {
    let delivery = &message.delivery;
    let shown = &delivery.data[..wanted.truncate.unwrap_or(usize::MAX).min(delivery.data.len())];
    let (payload, encoding) = match std::str::from_utf8(shown) {
        Ok(text) if !wanted.base64 => (text.to_owned(), "string"),
        _ => (BASE64_STANDARD.encode(shown), "base64"),
    };
    object(json!({
        "payload_bytes": delivery.data.len(),
        "redelivered": delivery.redelivered,
        "exchange": delivery.exchange.as_str(),
        "routing_key": delivery.routing_key.as_str(),
        "message_count": message.message_count,
        "properties": Value::Object(from_properties(&delivery.properties)),
        "payload": payload,
        "payload_encoding": encoding,
    }))
}

/// The broker's refusal over AMQP: the code, and the text with the code's name.
struct AmqpFault {
    code: u16,
    text: String,
}

impl AmqpFault {
    fn refusal(self) -> Refusal {
        Refusal::bad_request(format!("{} {}", self.code, self.text))
    }

    /// A fetch without the permission is a lack of rights.
    fn refusal_of_get(self) -> Refusal {
        if self.code == 403 { Refusal::not_authorised(self.text) } else { self.refusal() }
    }
}

/// Performs something on a channel of a connection of the asker's. The inner error is the broker's
/// refusal.
async fn with_channel<T>(call: &Call, act: impl AsyncFnOnce(&Channel) -> Result<T, Error>) -> Result<Result<T, AmqpFault>, Refusal> {
    let performed = async {
        let properties = ConnectionProperties::default().with_connection_name("RingMQ management".into());
        let connection = Connection::connect_uri(uri(call)?, properties).await.map_err(|error| unavailable(&error))?;
        let channel = connection.create_channel().await.map_err(|error| unavailable(&error))?;
        Ok((act(&channel).await, connection))
    };
    let late = || Err(Refusal::unavailable("the broker does not answer over AMQP in time"));
    let (result, connection) = timeout(TIMEOUT, performed).await.unwrap_or_else(|_| late())?;
    // It may be closed already, by the refusal. What is done is done, also if the end takes too long.
    let _ = timeout(CLOSE_TIMEOUT, connection.close(200, "done".into())).await;
    match result.map_err(|error| error.kind().clone()) {
        Ok(value) => Ok(Ok(value)),
        Err(ErrorKind::ProtocolError(error)) => Ok(Err(AmqpFault { code: error.get_id(), text: error.get_message().as_str().to_owned() })),
        Err(_) => Err(Refusal::unavailable("the broker does not answer over AMQP")),
    }
}

fn unavailable(error: &Error) -> Refusal {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Refusal::bad_request(format!("{} {}", error.get_id(), error.get_message())),
        _ => Refusal::unavailable("the broker accepts no AMQP connection from its management server"),
    }
}

/// The address of the broker's nearest listener, with the asker's name and password.
fn uri(call: &Call) -> Result<AMQPUri, Refusal> {
    if call.login.user.is_none() {
        return Err(Refusal::not_authorised("messages are published and fetched by users, who have a name and a password"));
    }
    let Some(&address) = call.site.listeners.amqp.iter().min_by_key(|address| distance(**address)) else {
        return Err(Refusal::unavailable("no listener for AMQP is open"));
    };
    let address = reachable(address);
    let userinfo = AMQPUserInfo { username: call.login.name.to_string(), password: call.login.password.to_string() };
    let authority = AMQPAuthority { userinfo, host: address.ip().to_string(), port: address.port() };
    Ok(AMQPUri { authority, vhost: call.variable("vhost").to_owned(), ..AMQPUri::default() })
}

/// An address by which a listener is reached from its own machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = if address.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { address.ip() };
    SocketAddr::new(ip, address.port())
}

/// The order in which listeners are preferred: some users may log in on the loopback device only.
fn distance(address: SocketAddr) -> (bool, bool) {
    let ip = address.ip();
    (!ip.is_loopback() && !ip.is_unspecified(), ip.is_ipv6())
}

/// How long publishing or fetching may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long the end of a connection may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages fetched at once.
const GET_COUNT_MAX: usize = 10_000;
/// Bytes of bodies after which no more messages are fetched.
const GET_BYTES_MAX: usize = 64 << 20;
/// The time after which no more messages are fetched.
const GET_TIME_MAX_MS: u64 = 10_000;
