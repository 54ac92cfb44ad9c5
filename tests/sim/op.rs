//! The operations of simulated clients, as values and as bytes; and the events that they see, as
//! values that can be compared.

use crate::queues::{self, LETTERS};
use crate::support::client::{self, Content, Event};
use crate::support::value::{Table, Value};
use crate::support::wire::{self, Method};

/// The bit of a message's number that marks its dead letter.
pub const LETTER: MessageId = 1 << 31;

/// A name from the lists below.
pub type Name = &'static str;

/// A connection and one of its channels.
pub type Place = (usize, u16);

/// A message, told apart from all others of a run.
pub type MessageId = u32;

/// Exchanges that clients declare, with their types: the one called `a…` is auto-delete, `v…` is
/// transient, [`MEMORY`] remembers, [`DELAYING`] delay, and [`LETTERS`] gets dead letters.
pub const EXCHANGES: &[(Name, Name)] = &[
    ("d0", "direct"),
    ("f0", "fanout"),
    ("t0", "topic"),
    ("h0", "headers"),
    ("af0", "fanout"),
    ("vf0", "fanout"),
    (LETTERS, "topic"),
    (MEMORY, "fanout"),
    ("w0", "topic"),
    ("w1", "direct"),
    ("vw0", "fanout"),
];

/// Exchanges that delay messages which ask for it. Only the first of them is bound behind others,
/// so that a message waits in at most one of them.
pub const DELAYING: &[Name] = &["w0", "w1", "vw0"];

/// The longest delay, in milliseconds. Most messages that wait so long are in the log only.
pub const DELAY_MAX: u64 = 25_000;

/// The exchange whose messages shard 0 routes, because it would drop duplicates. (There are none.)
/// It is never bound behind another exchange.
pub const MEMORY: Name = "m0";

/// An exchange that hashes, for chaotic runs. It may send a key to any of its queues, but always to
/// the same one.
pub const HASH: Name = "c0";

/// Routing and binding keys (of topic exchanges too).
pub const KEYS: &[Name] = &["a", "b", "a.b", "b.a.b", "a.b.c", "q0", "q2"];

/// Keys for bindings of topic exchanges.
pub const PATTERNS: &[Name] = &["#", "*", "a.*", "#.b", "*.b.#", "a", "a.#.c"];

/// An operation of a client on a channel.
#[derive(Clone, Debug)]
pub enum Op {
    DeclareExchange(Name),
    DeleteExchange { name: Name, if_unused: bool },
    DeclareQueue(Name),
    CheckQueue(Name),
    DeleteQueue { name: Name, if_unused: bool, if_empty: bool },
    Purge(Name),
    Bind(Binding),
    Unbind(Binding),
    Publish(Vec<Publish>),
    Consume { queue: Name, tag: u32, no_ack: bool, exclusive: bool, priority: i32 },
    Cancel(u32),
    Get { queue: Name, no_ack: bool },
    Qos { prefetch: u16, global: bool },
    Settle { how: Settle, tag: u64, multiple: bool },
    Recover,
    ConfirmSelect,
    TxSelect,
    Commit,
    Rollback,
    Open,
    Close,
    CloseOk,
}

/// The way to settle a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settle {
    Ack,
    Nack,
    Requeue,
    Reject,
    RejectRequeue,
}

impl Settle {
    /// Whether the message goes back to its queue.
    pub fn requeues(self) -> bool {
        matches!(self, Settle::Requeue | Settle::RejectRequeue)
    }
}

/// A binding; all of it is its identity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    pub source: Name,
    pub destination: Name,
    pub to_queue: bool,
    pub key: Name,
    /// x-match and the headers, for a headers exchange.
    pub headers: Option<(bool, Vec<(Name, Name)>)>,
}

/// A message to be published. The default has nothing but the empty key of the default exchange.
#[derive(Clone, Debug, Default)]
pub struct Publish {
    pub id: MessageId,
    pub exchange: Name,
    pub key: Name,
    pub headers: Vec<(Name, Name)>,
    /// A further routing key (CC).
    pub copy: Option<Name>,
    /// Milliseconds (x-delay).
    pub delay: Option<u64>,
    pub mandatory: bool,
    pub persistent: bool,
    pub priority: Option<u8>,
}

/// How often a message came back, by its headers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// For any reason (x-acquired-count).
    pub acquired: u32,
    /// Because a delivery failed (x-delivery-count).
    pub delivered: u32,
}

/// An event that a client sees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Saw {
    /// A method without content: its name and its fields.
    Reply(String),
    Delivered {
        consumer: u32,
        tag: u64,
        redelivered: bool,
        counts: Counts,
        id: MessageId,
    },
    Got {
        tag: u64,
        redelivered: bool,
        remaining: u64,
        counts: Counts,
        id: MessageId,
    },
    Returned(MessageId),
    Confirmed {
        tag: u64,
        multiple: bool,
    },
    Refused {
        tag: u64,
        multiple: bool,
    },
    /// The broker closed the channel.
    ChannelClosed(u64),
    /// The broker closed the connection.
    ConnectionClosed(String),
}

impl Op {
    /// Returns the answers that a request may get.
    pub fn answers(&self) -> &'static [&'static str] {
        match self {
            Op::DeclareExchange(_) => &["exchange.declare-ok"],
            Op::DeleteExchange { .. } => &["exchange.delete-ok"],
            Op::DeclareQueue(_) | Op::CheckQueue(_) => &["queue.declare-ok"],
            Op::DeleteQueue { .. } => &["queue.delete-ok"],
            Op::Purge(_) => &["queue.purge-ok"],
            Op::Bind(_) => &["queue.bind-ok", "exchange.bind-ok"],
            Op::Unbind(_) => &["queue.unbind-ok", "exchange.unbind-ok"],
            Op::Consume { .. } => &["basic.consume-ok"],
            Op::Cancel(_) => &["basic.cancel-ok"],
            Op::Get { .. } => &["basic.get-ok", "basic.get-empty"],
            Op::Qos { .. } => &["basic.qos-ok"],
            Op::Recover => &["basic.recover-ok"],
            Op::ConfirmSelect => &["confirm.select-ok"],
            Op::TxSelect => &["tx.select-ok"],
            Op::Commit => &["tx.commit-ok"],
            Op::Rollback => &["tx.rollback-ok"],
            Op::Open => &["channel.open-ok"],
            Op::Close => &["channel.close-ok"],
            Op::Publish(_) | Op::Settle { .. } | Op::CloseOk => &[],
        }
    }

    /// Encodes the operation on `channel`.
    pub fn encode(&self, channel: u16, piece: usize) -> Vec<u8> {
        let text = |text: &str| Value::text(text);
        let frame = |name: &str, fields: &[(&str, Value)]| {
            wire::method_frame(channel, &Method::new(name, fields).expect("the list knows the method"))
        };
        match self {
            Op::DeclareExchange(name) => {
                let inner = delays(name).then(|| (b"x-delayed-type".to_vec(), Value::text(kind(name))));
                let kind = if inner.is_some() { "x-delayed-message" } else { kind(name) };
                let (durable, auto) = (Value::Bool(is_durable(name)), Value::Bool(name.starts_with('a')));
                let remembers = (b"x-message-deduplication".to_vec(), Value::Bool(*name == MEMORY));
                let arguments = ("arguments", Value::Table([remembers].into_iter().chain(inner).collect()));
                let fields = [("exchange", text(name)), ("type", text(kind)), ("durable", durable), ("auto_delete", auto), arguments];
                frame("exchange.declare", &fields)
            }
            Op::DeleteExchange { name, if_unused } => {
                frame("exchange.delete", &[("exchange", text(name)), ("if_unused", Value::Bool(*if_unused))])
            }
            Op::DeclareQueue(name) => {
                let (exclusive, auto) = (Value::Bool(name.starts_with('x')), Value::Bool(name.starts_with('a')));
                let durable = Value::Bool(is_durable(name));
                let arguments = Value::Table(queues::arguments(name));
                let flags = [("durable", durable), ("exclusive", exclusive), ("auto_delete", auto)];
                frame("queue.declare", &[&[("queue", text(name)), ("arguments", arguments)][..], &flags].concat())
            }
            Op::CheckQueue(name) => frame("queue.declare", &[("queue", text(name)), ("passive", Value::Bool(true))]),
            Op::DeleteQueue { name, if_unused, if_empty } => {
                let conditions = [("if_unused", Value::Bool(*if_unused)), ("if_empty", Value::Bool(*if_empty))];
                frame("queue.delete", &[&[("queue", text(name))][..], &conditions].concat())
            }
            Op::Purge(name) => frame("queue.purge", &[("queue", text(name))]),
            Op::Bind(binding) => frame(if binding.to_queue { "queue.bind" } else { "exchange.bind" }, &binding.fields()),
            Op::Unbind(binding) => frame(if binding.to_queue { "queue.unbind" } else { "exchange.unbind" }, &binding.fields()),
            Op::Publish(messages) => messages.iter().flat_map(|message| message.encode(channel, piece)).collect(),
            Op::Consume { queue, tag, no_ack, exclusive, priority } => {
                let arguments = match priority {
                    0 => Table::new(),
                    n => vec![(b"x-priority".to_vec(), Value::Number('I', i128::from(*n)))],
                };
                let flags =
                    [("no_ack", Value::Bool(*no_ack)), ("exclusive", Value::Bool(*exclusive)), ("arguments", Value::Table(arguments))];
                frame("basic.consume", &[&[("queue", text(queue)), ("consumer_tag", text(&consumer_name(*tag)))][..], &flags].concat())
            }
            Op::Cancel(tag) => frame("basic.cancel", &[("consumer_tag", text(&consumer_name(*tag)))]),
            Op::Get { queue, no_ack } => frame("basic.get", &[("queue", text(queue)), ("no_ack", Value::Bool(*no_ack))]),
            Op::Qos { prefetch, global } => {
                frame("basic.qos", &[("prefetch_count", Value::number(*prefetch)), ("global", Value::Bool(*global))])
            }
            Op::Settle { how, tag, multiple } => {
                let tag = ("delivery_tag", Value::number(*tag));
                let multiple = ("multiple", Value::Bool(*multiple));
                let requeue = ("requeue", Value::Bool(how.requeues()));
                match how {
                    Settle::Ack => frame("basic.ack", &[tag, multiple]),
                    Settle::Nack | Settle::Requeue => frame("basic.nack", &[tag, multiple, requeue]),
                    Settle::Reject | Settle::RejectRequeue => frame("basic.reject", &[tag, requeue]),
                }
            }
            Op::Recover => frame("basic.recover", &[("requeue", Value::Bool(true))]),
            Op::ConfirmSelect => frame("confirm.select", &[]),
            Op::TxSelect => frame("tx.select", &[]),
            Op::Commit => frame("tx.commit", &[]),
            Op::Rollback => frame("tx.rollback", &[]),
            Op::Open => frame("channel.open", &[]),
            Op::Close => frame("channel.close", &[("reply_code", Value::number(200))]),
            Op::CloseOk => frame("channel.close-ok", &[]),
        }
    }
}

impl Binding {
    fn fields(&self) -> Vec<(&'static str, Value)> {
        let mut arguments = Table::new();
        if let Some((all, headers)) = &self.headers {
            arguments.push((b"x-match".to_vec(), Value::text(if *all { "all" } else { "any" })));
            arguments.extend(table(headers));
        }
        let destination = if self.to_queue { "queue" } else { "destination" };
        let source = if self.to_queue { "exchange" } else { "source" };
        vec![
            (destination, Value::text(self.destination)),
            (source, Value::text(self.source)),
            ("routing_key", Value::text(self.key)),
            ("arguments", Value::Table(arguments)),
        ]
    }
}

impl Publish {
    /// Returns its routing keys.
    pub fn keys(&self) -> impl Iterator<Item = Name> {
        [self.key].into_iter().chain(self.copy)
    }

    fn encode(&self, channel: u16, piece: usize) -> Vec<u8> {
        let fields =
            [("exchange", Value::text(self.exchange)), ("routing_key", Value::text(self.key)), ("mandatory", Value::Bool(self.mandatory))];
        let method = Method::new("basic.publish", &fields).expect("the list knows the method");
        let mut properties = vec![("message_id".to_owned(), Value::text(self.id.to_string()))];
        if let Some(priority) = self.priority {
            properties.insert(0, ("priority".to_owned(), Value::number(priority)));
        }
        if self.persistent {
            properties.insert(0, ("delivery_mode".to_owned(), Value::number(2u8)));
        }
        let mut headers = table(&self.headers);
        headers.extend(self.delay.map(|delay| (b"x-delay".to_vec(), Value::Number('l', delay.into()))));
        headers.extend(self.copy.map(|key| (b"CC".to_vec(), Value::Array(vec![Value::text(key)]))));
        if !headers.is_empty() {
            properties.insert(0, ("headers".to_owned(), Value::Table(headers)));
        }
        client::publish(channel, &method, &Content { properties, body: body(self.id), parts: Vec::new() }, piece)
    }
}

/// Whether a queue or an exchange survives a restart.
pub fn is_durable(name: Name) -> bool {
    !name.starts_with(['x', 'v'])
}

/// Whether an exchange delays messages which ask for it.
pub fn delays(exchange: Name) -> bool {
    DELAYING.contains(&exchange)
}

/// Returns the type of an exchange.
pub fn kind(exchange: Name) -> Name {
    match exchange {
        "" => "default",
        "amq.direct" => "direct",
        "amq.fanout" => "fanout",
        HASH => "x-consistent-hash",
        name => EXCHANGES.iter().find(|(other, _)| *other == name).expect("an exchange of the list").1,
    }
}

/// Returns a consumer's name on the wire.
pub fn consumer_name(tag: u32) -> String {
    format!("c{tag}")
}

/// Reads an event. Panics if the message is not the published one.
pub fn saw(event: Event) -> Saw {
    let Event::Method(method, content) = event else { return Saw::ConnectionClosed(format!("{event:?}")) };
    let id = content.as_ref().map(|content| message_id(content) | if header(content, "x-death").is_some() { LETTER } else { 0 });
    let counts = content.as_ref().map(counts).unwrap_or_default();
    let number = |field: &str| method.field(field).and_then(Value::as_number).unwrap_or_default() as u64;
    let flag = |field: &str| method.field(field) == Some(&Value::Bool(true));
    let whole = "a delivery has content";
    match method.name.as_str() {
        "basic.deliver" => {
            let name = String::from_utf8_lossy(method.text("consumer_tag")).into_owned();
            let consumer = name.strip_prefix('c').and_then(|tag| tag.parse().ok()).expect("a consumer of ours");
            Saw::Delivered { consumer, tag: number("delivery_tag"), redelivered: flag("redelivered"), counts, id: id.expect(whole) }
        }
        "basic.get-ok" => {
            let (tag, remaining) = (number("delivery_tag"), number("message_count"));
            Saw::Got { tag, redelivered: flag("redelivered"), remaining, counts, id: id.expect(whole) }
        }
        "basic.return" => Saw::Returned(id.expect(whole)),
        "basic.ack" => Saw::Confirmed { tag: number("delivery_tag"), multiple: flag("multiple") },
        "basic.nack" => Saw::Refused { tag: number("delivery_tag"), multiple: flag("multiple") },
        "channel.close" => Saw::ChannelClosed(number("reply_code")),
        "connection.close" => Saw::ConnectionClosed(String::from_utf8_lossy(method.text("reply_text")).into_owned()),
        name => Saw::Reply(method.fields.iter().fold(name.to_owned(), |line, (_, value)| line + &print(value))),
    }
}

fn print(value: &Value) -> String {
    match value {
        Value::Text(text) if text.is_empty() => String::new(),
        Value::Text(text) => format!(" {}", String::from_utf8_lossy(text)),
        Value::Number(_, n) => format!(" {n}"),
        Value::Bool(bit) => format!(" {bit}"),
        _ => String::new(),
    }
}

/// Returns the message's number, after a check that its body is unchanged.
fn message_id(content: &Content) -> MessageId {
    let text = content.properties.iter().find(|(name, _)| name == "message_id").and_then(|(_, value)| value.as_text());
    let id = text.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).expect("every message has its number");
    assert!(content.body == body(id), "the body of message {id} was changed on the way ({} bytes)", content.body.len());
    id
}

fn header<'c>(content: &'c Content, name: &str) -> Option<&'c Value> {
    let headers = content.properties.iter().find_map(|(_, value)| if let Value::Table(headers) = value { Some(headers) } else { None });
    headers?.iter().find(|(header, _)| header == name.as_bytes()).map(|(_, value)| value)
}

fn counts(content: &Content) -> Counts {
    let count = |name| {
        let count = header(content, name).and_then(Value::as_number).unwrap_or(0);
        u32::try_from(count).expect("it is no more than it was delivered")
    };
    Counts { acquired: count("x-acquired-count"), delivered: count("x-delivery-count") }
}

/// Makes a message's body: mostly small, sometimes more than a frame holds, sometimes large enough
/// to travel by reference.
fn body(id: MessageId) -> Vec<u8> {
    let size = match id % 97 {
        3 => 0,
        5 | 50 => 20_000,
        7 => 150_000,
        11 | 60 => 9_000,
        n => 8 + n as usize * 2,
    };
    (0..size).map(|at| (at as u32 ^ id).wrapping_mul(0x9E37_79B1).to_be_bytes()[0]).collect()
}

fn table(pairs: &[(Name, Name)]) -> Table {
    pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), Value::text(value))).collect()
}
