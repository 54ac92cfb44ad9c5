//! The clients of a trace: carries out the client lines, and keeps the broker's answers per
//! connection and channel.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use ringmq::base::alarms::Alarm;

use crate::support::broker::{Broker, Conn};
use crate::support::client::{self, Content, Event, Incoming};
use crate::support::ctl::Ctl;
use crate::support::script::ClientAction;
use crate::support::value::Value;
use crate::support::wire::{self, Fields, Header, Method};

use crate::names::Names;

/// The place of an answer: a connection's name and a channel.
pub type Place = (String, u16);

/// One answer.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// Anything but a confirm.
    Event(Event),
    /// Publishes that were confirmed (`true`) or refused. Neighbours are joined, because a broker
    /// may bundle them as it likes.
    Confirms(bool, BTreeSet<u64>),
    /// The broker's reason for refusing an operator's command.
    Denied(String),
}

/// All clients of one trace.
pub struct Player<'b> {
    broker: &'b mut dyn Broker,
    byte_by_byte: bool,
    clients: BTreeMap<String, Client>,
    /// The answers to the operator.
    denials: VecDeque<Answer>,
    /// The names that the broker made.
    pub names: Names,
}

struct Client {
    conn: Conn,
    incoming: Incoming,
    held: Vec<u8>,
    piece: usize,
    end_seen: bool,
    goodbye: bool,
    answers: BTreeMap<u16, VecDeque<Answer>>,
    settled: HashMap<u16, BTreeSet<u64>>,
}

impl<'b> Player<'b> {
    /// Makes the clients of `broker`. `byte_by_byte`: every write arrives in single bytes.
    pub fn new(broker: &'b mut dyn Broker, byte_by_byte: bool) -> Player<'b> {
        Player { broker, byte_by_byte, clients: BTreeMap::new(), denials: VecDeque::new(), names: Names::default() }
    }

    /// Carries out a client line. Returns `Err` if the broker does not do what the line takes for
    /// granted, or if the line is wrong.
    pub fn act(&mut self, name: &str, action: &ClientAction) -> Result<(), String> {
        match action {
            ClientAction::Connect(options) => self.handshake(name, options),
            ClientAction::Channels(channels) => channels.iter().try_for_each(|&channel| self.open_channel(name, channel)),
            ClientAction::Socket => {
                self.socket(name);
                Ok(())
            }
            ClientAction::HangUp => {
                let client = self.clients.remove(name).ok_or("no such connection")?;
                self.broker.hang_up(client.conn);
                Ok(())
            }
            ClientAction::Send { channel, held, name: what, fields } => {
                let client = self.clients.get_mut(name).ok_or("no such connection")?;
                client.held.extend(encode(*channel, what, fields, client.piece, &self.names)?);
                if !held {
                    self.flush(name);
                }
                Ok(())
            }
        }
    }

    /// Lets time pass.
    pub fn pass(&mut self, ms: u64) {
        self.broker.pass_time(ms);
        self.collect();
    }

    /// Carries out an operator's command.
    pub fn operate(&mut self, ctl: &Ctl) {
        self.denials.extend(self.broker.operate(ctl).err().map(Answer::Denied));
        self.collect();
    }

    /// Hangs all clients up and restarts the broker.
    pub fn restart(&mut self) {
        for client in std::mem::take(&mut self.clients).into_values() {
            self.broker.hang_up(client.conn);
        }
        self.broker.restart();
    }

    /// Turns an alarm of the broker on or off.
    pub fn set_alarm(&mut self, alarm: Alarm, on: bool) {
        self.broker.set_alarm(alarm, on);
        self.collect();
    }

    /// Waits until there is an answer at one of `places`, as long as the broker may still send one,
    /// and at most for `steps` steps.
    pub fn wait_for(&mut self, places: &[Place], steps: usize) {
        for _ in 0..=steps {
            self.collect();
            if places.iter().any(|place| self.front(place).is_some()) || !self.broker.wait() {
                break;
            }
        }
        self.collect();
    }

    /// Waits until nothing has arrived for `steps` steps. Returns `true` if nothing can arrive
    /// before the next client line, because time stands still.
    pub fn wait_for_quiet(&mut self, steps: usize) -> bool {
        let mut quiet = 0;
        while quiet < steps {
            quiet = if self.collect() { 0 } else { quiet + 1 };
            if !self.broker.wait() && !self.collect() {
                return true;
            }
        }
        false
    }

    /// Returns the oldest answer at `place`.
    pub fn front(&mut self, place: &Place) -> Option<&mut Answer> {
        self.answers(place)?.front_mut()
    }

    /// Takes the oldest answer at `place`.
    pub fn take(&mut self, place: &Place) -> Option<Answer> {
        self.answers(place)?.pop_front()
    }

    fn answers(&mut self, place: &Place) -> Option<&mut VecDeque<Answer>> {
        if place.0 == OPERATOR { Some(&mut self.denials) } else { self.clients.get_mut(&place.0)?.answers.get_mut(&place.1) }
    }

    /// Returns all places with answers, those of `first` before the others.
    pub fn places(&self, first: &str) -> Vec<Place> {
        let all = self.clients.iter().flat_map(|(name, client)| {
            client.answers.iter().filter(|(_, answers)| !answers.is_empty()).map(|(&channel, _)| (name.clone(), channel))
        });
        let denied = (!self.denials.is_empty()).then(|| (OPERATOR.to_owned(), 0));
        let (mut mine, others): (Vec<Place>, Vec<Place>) = all.chain(denied).partition(|(name, _)| name == first);
        mine.extend(others);
        mine
    }

    /// Takes in the bytes that have arrived. Returns whether there were any.
    pub fn collect(&mut self) -> bool {
        let mut any = false;
        for client in self.clients.values_mut() {
            let bytes = self.broker.drain(client.conn);
            any |= !bytes.is_empty();
            client.incoming.feed(&bytes).into_iter().for_each(|(channel, event)| client.push(channel, event));
            if self.broker.closed(client.conn) && !client.end_seen {
                client.end_seen = true;
                // After connection.close-ok either side may close the socket first.
                if !client.goodbye {
                    client.push(0, Event::Closed);
                }
                any = true;
            }
        }
        any
    }

    fn socket(&mut self, name: &str) {
        let client = Client {
            conn: self.broker.connect(),
            incoming: Incoming::default(),
            held: Vec::new(),
            piece: FRAME_MAX - 8,
            end_seen: false,
            goodbye: false,
            answers: BTreeMap::new(),
            settled: HashMap::new(),
        };
        self.clients.insert(name.to_owned(), client);
    }

    fn flush(&mut self, name: &str) {
        let client = self.clients.get_mut(name).expect("only a client that is there flushes");
        let (conn, bytes) = (client.conn, std::mem::take(&mut client.held));
        if !self.byte_by_byte {
            self.broker.send(conn, &bytes);
            return;
        }
        // The middle of a large write goes out in one piece, because its bytes are all alike.
        let (head, tail) = (bytes.len().min(SINGLE_MAX), bytes.len().saturating_sub(SINGLE_MAX).max(SINGLE_MAX).min(bytes.len()));
        let pieces = bytes[..head].chunks(1).chain(Some(&bytes[head..tail])).chain(bytes[tail..].chunks(1));
        for piece in pieces.filter(|piece| !piece.is_empty()) {
            self.broker.send(conn, piece);
            self.collect();
        }
    }

    fn handshake(&mut self, name: &str, options: &[(String, Value)]) -> Result<(), String> {
        let option = |key: &str| options.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
        let number = |key: &str, default: usize| option(key).unwrap_or_else(|| Value::number(default as i64));
        let none = option("capabilities") == Some(Value::text("none"));
        let until = |stage: &str| option("until") == Some(Value::text(stage));
        let frame_max = number("frame_max", FRAME_MAX);
        let tune = [("channel_max", number("channel_max", 2047)), ("frame_max", frame_max.clone()), ("heartbeat", number("heartbeat", 0))];
        self.socket(name);
        self.send_now(name, client::PROTOCOL_HEADER);
        self.reply(name, 0, "connection.start")?;
        if until("start") {
            return Ok(());
        }
        let word = |key: &str, default: &str| option(key).unwrap_or_else(|| Value::text(default));
        let login = |key: &str| String::from_utf8_lossy(word(key, "guest").as_text().unwrap_or_default()).into_owned();
        let capabilities = if none { &[] } else { client::CAPABILITIES };
        self.send_method(name, 0, &client::start_ok_as(&login("user"), &login("password"), capabilities));
        if until("start-ok") {
            return Ok(());
        }
        self.reply(name, 0, "connection.tune")?;
        if until("tune") {
            return Ok(());
        }
        self.send_method(name, 0, &Method::new("connection.tune-ok", &tune)?);
        if until("tune-ok") {
            return Ok(());
        }
        self.send_method(name, 0, &Method::new("connection.open", &[("virtual_host", word("vhost", "/"))])?);
        let client = self.clients.get_mut(name).expect("it was just connected");
        client.piece = frame_max.as_number().filter(|&max| max > 8).map_or(FRAME_MAX, |max| max as usize) - 8;
        self.reply(name, 0, "connection.open-ok")
    }

    fn open_channel(&mut self, name: &str, channel: u16) -> Result<(), String> {
        self.send_method(name, channel, &Method::new("channel.open", &[])?);
        self.reply(name, channel, "channel.open-ok")
    }

    fn send_method(&mut self, name: &str, channel: u16, method: &Method) {
        self.send_now(name, &wire::method_frame(channel, method));
    }

    fn send_now(&mut self, name: &str, bytes: &[u8]) {
        if let Some(client) = self.clients.get_mut(name) {
            client.held.extend_from_slice(bytes);
            self.flush(name);
        }
    }

    fn reply(&mut self, name: &str, channel: u16, wanted: &str) -> Result<(), String> {
        let place = (name.to_owned(), channel);
        self.wait_for(std::slice::from_ref(&place), PATIENCE);
        match self.take(&place) {
            Some(Answer::Event(event)) if event.name() == wanted => Ok(()),
            other => Err(format!("wanted {wanted}, got {other:?}")),
        }
    }
}

impl Client {
    fn push(&mut self, channel: u16, event: Event) {
        self.goodbye |= event.name() == "connection.close-ok";
        let answers = self.answers.entry(channel).or_default();
        let confirms = match &event {
            Event::Method(method, None) if ["basic.ack", "basic.nack"].contains(&event.name()) => Some(method),
            _ => None,
        };
        let Some(method) = confirms else {
            if event != Event::Heartbeat || answers.back() != Some(&Answer::Event(Event::Heartbeat)) {
                answers.push_back(Answer::Event(event));
            }
            return;
        };
        let settled = self.settled.entry(channel).or_default();
        let last = method.field("delivery_tag").and_then(Value::as_number).unwrap_or_default() as u64;
        let multiple = method.field("multiple") == Some(&Value::Bool(true));
        let tags: Vec<u64> = (if multiple { 1 } else { last }..=last).filter(|tag| !settled.contains(tag)).collect();
        settled.extend(&tags);
        let good = method.name == "basic.ack";
        match answers.back_mut() {
            Some(Answer::Confirms(kind, set)) if *kind == good => set.extend(&tags),
            _ => answers.push_back(Answer::Confirms(good, tags.into_iter().collect())),
        }
    }
}

fn encode(channel: u16, name: &str, fields: &Fields, piece: usize, names: &Names) -> Result<Vec<u8>, String> {
    let fields: Fields = fields.iter().map(|(name, value)| (name.clone(), names.put_in(value))).collect();
    let text = |name: &str| field(&fields, name).and_then(Value::as_text).unwrap_or_default();
    let number = |name: &str, default: u64| field(&fields, name).and_then(Value::as_number).map_or(default, |n| n as u64);
    Ok(match name {
        "bytes" => text("").to_vec(),
        "body" => wire::frame(wire::BODY, channel, text("")),
        "heartbeat" => wire::frame(wire::HEARTBEAT, channel, text("payload")),
        "header" => {
            let header =
                Header { class: number("class_id", 60) as u16, body_size: number("body_size", 0), properties: properties(&fields) };
            wire::frame(wire::HEADER, channel, &header.encode())
        }
        "frame" => {
            let mut bytes = wire::frame(number("type", 1) as u8, channel, text("payload"));
            let size = number("size", text("payload").len() as u64) as u32;
            bytes[3..7].copy_from_slice(&size.to_be_bytes());
            *bytes.last_mut().expect("a frame has an end") = number("end", u64::from(wire::FRAME_END)) as u8;
            bytes
        }
        _ => {
            let given: Vec<(&str, Value)> = fields
                .iter()
                .filter(|(name, _)| !["body", "props"].contains(&name.as_str()))
                .map(|(name, value)| (name.as_str(), value.clone()))
                .collect();
            let method = Method::new(name, &given)?;
            if given.len() == fields.len() {
                return Ok(wire::method_frame(channel, &method));
            }
            let content = Content { properties: properties(&fields), body: text("body").to_vec(), parts: Vec::new() };
            client::publish(channel, &method, &content, piece)
        }
    })
}

fn field<'f>(fields: &'f Fields, name: &str) -> Option<&'f Value> {
    fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
}

fn properties(fields: &Fields) -> Fields {
    let Some(Value::Table(table)) = field(fields, "props") else { return Fields::new() };
    table.iter().map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.clone())).collect()
}

/// Steps for which the player waits for an answer that must come (2 ms each on sockets).
pub const PATIENCE: usize = 2500;

/// The name in place of a connection for answers to `ctl`.
const OPERATOR: &str = "ctl";
const FRAME_MAX: usize = 131_072;

/// The number of bytes at either end of a write that go out one by one.
const SINGLE_MAX: usize = 2048;
