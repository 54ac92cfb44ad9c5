//! Whole conversations with a session: bytes in, events and bytes out. [`Peer`] plays both client
//! and shard.

mod channels;
mod connection;
mod delivering;
mod loans;
mod noise;
mod publishing;
mod throttle;

use std::collections::BTreeMap;

use super::*;
use crate::base::budget::Budgets;
use crate::base::ids::{ConnId, Key, QueueId, ShardId};
use crate::base::limits::{OUTPUT_SIZE_MAX, PUBLISH_RUN_MAX, SHARED_BODY_MIN};
use crate::contract::session::{Login, Settled, Settling, Unsettled};
use crate::contract::{Code, Entry, Notice, Outcome, Receipts, Request, Tags, Topology};
use crate::message::{Body, MessageRef, MessageView, Properties, Route, Stamp, TableBuilder};
use crate::protocol::amqp::content::{ContentHeader, write_content};
use crate::protocol::amqp::frame::{Deframed, FRAME_END, FrameHeader, Kind, PROTOCOL_HEADER, deframe};
use crate::protocol::amqp::method::argument::Octets;
use crate::protocol::amqp::method::{Method, basic, channel, confirm, connection as conn, queue, tx};

/// A session, the input that it has not consumed, and its events.
struct Peer {
    session: Session,
    input: Vec<u8>,
    /// How many bytes at a time the session sees.
    piece: usize,
    /// The events, in words.
    events: Vec<String>,
    /// The request of the last Event::Request.
    request: Option<Request>,
    receipts: Receipts,
    /// What transactions have settled, by channel.
    settles: BTreeMap<u16, Vec<Settled>>,
    now: u64,
}

impl Peer {
    fn with(config: Config, piece: usize) -> Peer {
        let addr = ConnAddr { shard: ShardId(0), conn: ConnId(Key::default()) };
        let session = Session::new(Arc::new(config), Budgets::of_shard(1, None), addr, 1, 0);
        let (input, events, receipts, settles) = (Vec::new(), Vec::new(), Receipts::default(), BTreeMap::new());
        Peer { session, input, piece, events, request: None, receipts, settles, now: 0 }
    }

    /// Makes a peer with channel 1 open.
    fn open() -> Peer {
        let mut peer = Peer::with(Config::default(), usize::MAX);
        peer.handshake();
        peer.send(1, channel::Open::default());
        assert_eq!(peer.said(), ["1 channel.open-ok"]);
        peer
    }

    fn handshake(&mut self) {
        self.feed(&PROTOCOL_HEADER);
        self.send(0, start_ok("PLAIN", b"\0guest\0guest"));
        self.send(0, conn::TuneOk { channel_max: 2047, frame_max: 131_072, heartbeat: 60 });
        self.send(0, conn::Open { virtual_host: "/", ..Default::default() });
        assert_eq!(self.said(), ["0 connection.start", "0 connection.tune", "0 connection.open-ok"]);
        assert_eq!(self.happened(), ["login guest/guest", "vhost /"]);
    }

    fn send<'m>(&mut self, channel: u16, method: impl Into<Method<'m>>) {
        let mut bytes = Vec::new();
        method.into().write(channel, &mut bytes);
        self.feed(&bytes);
    }

    /// Gives `bytes` to the session, piece by piece, and carries out its events.
    fn feed(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.piece) {
            self.input.extend_from_slice(piece);
            self.run();
        }
        if bytes.is_empty() {
            self.run();
        }
    }

    fn run(&mut self) {
        while self.session.pending.is_none() && !self.session.is_blocked() && !self.session.is_stalled() {
            let input = std::mem::take(&mut self.input);
            let mut contents = Contents::new();
            let (consumed, event) = self.session.poll(&input, &mut contents);
            let event = Happened::from(event, &contents);
            self.input = input[consumed..].to_vec();
            if let Happened::Starved = event {
                assert!(self.session.needed(&self.input) > self.input.len(), "the session could go on");
                return;
            }
            if let Happened::Finished = event {
                self.events.push("finished".into());
                return;
            }
            self.carry_out(event);
        }
    }

    fn carry_out(&mut self, event: Happened) {
        match event {
            Happened::Login(login) => {
                let [user, password] = [login.user, login.password].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                self.session.logged_in(user == "guest" && password == "guest");
                self.events.push(format!("login {user}/{password}"));
            }
            Happened::Vhost(name) => {
                let missing = Fault::new(Code::NotAllowed, format!("vhost {name} not found"));
                self.session.opened(if &*name == "/" { Ok((VhostId(0), ChannelQuotas::default())) } else { Err(missing) });
                self.events.push(format!("vhost {name}"));
            }
            Happened::Assembled(when) => {
                let message = self.session.take_assembled();
                let words = publish_words(message.channel, message.mandatory, message.confirm, &message.view());
                self.session.recycle(message);
                self.events.push(format!("{words}{when}"));
            }
            Happened::Settle(channel, tags, outcome) => {
                self.receipts.clear();
                self.session.settle(channel, tags, outcome, &mut self.receipts);
                self.events.push(format!("{outcome:?} {}", self.receipts.len()));
            }
            Happened::SettleAtCommit(channel, tags, outcome) => {
                let settles = self.settles.entry(channel).or_default();
                let rest = self.session.settle(channel, tags, outcome, &mut Settling { settles, outcome });
                if let Some(rest) = rest {
                    while self.session.settle_rest(&rest, &mut Settling { settles, outcome }) {}
                }
                self.events.push(format!("{outcome:?} {} at commit", settles.len()));
            }
            Happened::Commit(channel) => {
                let settles = self.settles.remove(&channel).unwrap_or_default();
                let consumed = settles.iter().filter(|settled| settled.receipt.consumer.is_some()).count();
                self.session.committed(channel, u32::try_from(consumed).expect("few"));
                self.events.push(format!("commit {channel}: {:?}", settles.iter().map(|settled| settled.outcome).collect::<Vec<_>>()));
            }
            Happened::Recover(channel) => {
                self.receipts.clear();
                let rest = self.session.recovery(channel);
                while self.session.settle_rest(&rest, &mut self.receipts) {}
                self.events.push(format!("recover {}", self.receipts.len()));
            }
            Happened::Rollback(channel) => {
                self.session.begin_rollback(channel, self.settles.remove(&channel).unwrap_or_default());
                while self.session.roll_back() {}
            }
            Happened::Request(request) => self.request = Some(request),
            Happened::Said(words) => self.events.push(words),
            Happened::Published(words) => self.events.extend(words),
            Happened::ChannelEnded(channel) => {
                self.settles.remove(&channel);
                let ended = self.session.end_channel(channel);
                self.session.release_channel(channel);
                self.events.push(format!(
                    "channel {channel} ended: {} consumers, {} receipts",
                    ended.consumers.len(),
                    taken(ended.unsettled)
                ));
            }
            Happened::Closing(why) => {
                let ended = self.session.end();
                self.events.push(format!("closing {why}: {} consumers, {} receipts", ended.consumers.len(), taken(ended.unsettled)));
                self.session.released();
            }
            Happened::Starved | Happened::Finished => unreachable!("the caller has looked"),
        }
    }

    fn answer(&mut self, notice: Notice) {
        self.request = None;
        self.session.answer(notice);
        self.run();
    }

    /// Declares a queue `q` and consumes from it. Returns the consumer's index.
    fn consume(&mut self, tag: &str, no_ack: bool) -> u32 {
        self.send(1, basic::Consume { queue: "q", consumer_tag: tag, no_ack, ..Default::default() });
        let Some(Request::Consume { index, .. }) = self.request else { panic!("{:?}", self.request) };
        self.answer(Notice::Consuming { queue: queue_addr(), consumer: ConsumerId::default(), timeout_ms: None });
        assert_eq!(self.said(), ["1 basic.consume-ok"]);
        index
    }

    fn deliver(&mut self, index: u32, body: &[u8]) {
        assert_eq!(self.session.can_take(1, index), Room::Yes);
        let entry = Entry::new(0, 1, MessageRef::default());
        self.session.delivery(1, index).deliver(entry, &message(body));
    }

    /// Takes the session's new output, in words.
    fn said(&mut self) -> Vec<String> {
        let bytes = self.session.take_output().slices().collect::<Vec<_>>().concat();
        let mut said = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            if rest.starts_with(b"AMQP") {
                said.push(format!("header {:?}", &rest[4..8]));
                rest = &rest[8..];
                continue;
            }
            let Ok(Deframed::Frame(frame)) = deframe(rest, 0) else { panic!("a broken frame: {rest:?}") };
            said.push(frame_words(frame.kind, frame.channel, frame.payload));
            rest = &rest[frame.consumed..];
        }
        said
    }

    fn happened(&mut self) -> Vec<String> {
        std::mem::take(&mut self.events)
    }

    /// Lets time pass; the session's timer is called when it wants that.
    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        loop {
            match self.session.on_timer(self.now, |_, _| None) {
                Some(due) if due <= end => self.now = due.max(self.now + 1),
                _ => break,
            }
        }
        self.now = end;
        self.session.on_timer(end, |_, _| None);
        self.run();
    }
}

/// An event without its borrows.
enum Happened {
    Starved,
    Login(Login),
    Vhost(Box<str>),
    /// A message, and when it is published.
    Assembled(&'static str),
    Settle(u16, Tags, Outcome),
    SettleAtCommit(u16, Tags, Outcome),
    Commit(u16),
    Recover(u16),
    Rollback(u16),
    Request(Request),
    Said(String),
    Published(Vec<String>),
    ChannelEnded(u16),
    Closing(String),
    Finished,
}

impl Happened {
    fn from(event: Event<'_>, contents: &Contents<'_>) -> Happened {
        match event {
            Event::Starved => Happened::Starved,
            Event::Login(login) => Happened::Login(login),
            Event::OpenVhost(name) => Happened::Vhost(name),
            Event::Publish(Publish { channel, mandatory, confirm, route }) => {
                let words = contents.iter().enumerate().map(|(n, content)| {
                    let confirm = confirm.map(|first| first + n as u64);
                    publish_words(channel, mandatory, confirm, &content.sent_to(route))
                });
                Happened::Published(words.collect())
            }
            Event::Assembled { .. } => Happened::Assembled(""),
            Event::PublishAtCommit { .. } => Happened::Assembled(" at commit"),
            Event::SettleAtCommit { channel, tags, outcome } => Happened::SettleAtCommit(channel, tags, outcome),
            Event::Settle { channel, tags, outcome } => Happened::Settle(channel, tags, outcome),
            Event::Recover { channel } => Happened::Recover(channel),
            Event::Rollback { channel } => Happened::Rollback(channel),
            Event::Request { request, .. } => Happened::Request(request),
            Event::Commit { channel } => Happened::Commit(channel),
            Event::ChannelEnded { channel } => Happened::ChannelEnded(channel),
            Event::Relieved { channel } => Happened::Said(format!("relieved {channel}")),
            Event::Metered { channel } => Happened::Said(format!("metered {channel}")),
            Event::Late(late) => Happened::Said(format!("late {}", late.channel)),
            Event::Blocked => Happened::Said("blocked".into()),
            Event::Closing(fault) => Happened::Closing(fault.map_or("as asked".into(), |fault| format!("{:?}", fault.code))),
            Event::WrongProtocol(what) => Happened::Said(format!("no AMQP: {what}")),
            Event::Finished => Happened::Finished,
        }
    }
}

/// Counts deliveries.
fn taken(mut unsettled: Unsettled) -> usize {
    let mut receipts = Receipts::default();
    while !unsettled.is_empty() {
        unsettled.take(&mut receipts);
    }
    receipts.len()
}

fn publish_words(channel: u16, mandatory: bool, confirm: Option<u64>, message: &MessageView<'_>) -> String {
    let [exchange, key] = [message.route.exchange(), message.route.key()].map(String::from_utf8_lossy);
    let body = message.body.bytes();
    let body = if body.len() > 20 { format!("{} bytes", body.len()) } else { String::from_utf8_lossy(body).into_owned() };
    let mandatory = if mandatory { " mandatory" } else { "" };
    let confirm = confirm.map_or(String::new(), |sequence| format!(" #{sequence}"));
    format!("publish {channel} {exchange}/{key}{mandatory}{confirm} {body}")
}

fn frame_words(kind: Kind, channel: u16, payload: &[u8]) -> String {
    match kind {
        Kind::Method => method_words(channel, &Method::parse(payload).expect("the broker writes methods")),
        Kind::Header => format!("{channel} header {}", ContentHeader::parse(payload).expect("a header").body_size),
        Kind::Body if payload.len() > 20 => format!("{channel} body {} bytes", payload.len()),
        Kind::Body => format!("{channel} body {}", String::from_utf8_lossy(payload)),
        kind => format!("{channel} {kind:?}"),
    }
}

fn method_words(number: u16, method: &Method<'_>) -> String {
    let name = method.name();
    match method {
        Method::ConnectionClose(conn::Close { reply_code, reply_text, class_id, method_id })
        | Method::ChannelClose(channel::Close { reply_code, reply_text, class_id, method_id }) => {
            format!("{number} {name} {reply_code} {reply_text} ({class_id}, {method_id})")
        }
        Method::BasicDeliver(deliver) => {
            let tag = String::from_utf8_lossy(&deliver.consumer_tag);
            format!("{number} {name} {tag} {}{}", deliver.delivery_tag, if deliver.redelivered { " again" } else { "" })
        }
        Method::BasicGetOk(get_ok) => format!("{number} {name} {} {}", get_ok.delivery_tag, get_ok.message_count),
        Method::BasicAck(ack) => format!("{number} {name} {}{}", ack.delivery_tag, if ack.multiple { " multiple" } else { "" }),
        Method::BasicReturn(back) => format!("{number} {name} {} {}", back.reply_code, String::from_utf8_lossy(&back.reply_text)),
        Method::BasicCancel(cancel) => format!("{number} {name} {}", cancel.consumer_tag),
        Method::QueueDeclareOk(ok) => format!("{number} {name} {} {} {}", ok.queue, ok.message_count, ok.consumer_count),
        _ => format!("{number} {name}"),
    }
}

fn start_ok(mechanism: &'static str, response: &'static [u8]) -> conn::StartOk<'static> {
    conn::StartOk { client_properties: CLIENT_PROPERTIES.view(), mechanism, response, locale: "en_US" }
}

static CLIENT_PROPERTIES: std::sync::LazyLock<crate::message::Table> = std::sync::LazyLock::new(|| {
    let names = ["consumer_cancel_notify", "authentication_failure_close", "connection.blocked"];
    let capabilities = names.iter().fold(TableBuilder::new(), |table, name| table.bool(name, true)).build();
    TableBuilder::new().text("connection_name", "tester").table("capabilities", &capabilities).build()
});

fn queue_addr() -> QueueAddr {
    QueueAddr { home: ShardId(0), queue: QueueId::default() }
}

fn message(body: &[u8]) -> MessageView<'_> {
    MessageView { route: Route::new(b"\x01x\x01k"), properties: Properties::NONE, stamp: Stamp::NONE, body: Body::Slice(body) }
}

/// Encodes basic.publish and its content.
fn publish(channel: u16, mandatory: bool, body: &[u8]) -> Vec<u8> {
    let mut out = Outgoing::default();
    let publish = basic::Publish { exchange: Octets(b"x"), routing_key: Octets(b"k"), mandatory, ..Default::default() };
    publish.write(channel, out.bytes_mut());
    write_content(channel, 131_072, Properties::NONE, Body::Slice(body), &mut out);
    out.slices().collect::<Vec<_>>().concat()
}

fn frame(kind: Kind, channel: u16, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { kind, channel, size: u32::try_from(payload.len()).expect("a short payload") };
    [&header.octets()[..], payload, &[FRAME_END]].concat()
}
