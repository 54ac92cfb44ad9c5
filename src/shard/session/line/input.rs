//! Input: a line becomes one event, or two if it is a `SUB`.

use super::*;
use crate::contract::session::{Contents, Event, Login};
use crate::contract::{QueueSpec, Request, Topology};
use crate::message::{Body, MessageView, Properties, Route, Stamp, Table};

impl Session {
    pub fn poll<'a>(&mut self, input: &'a [u8], contents: &mut Contents<'a>) -> (usize, Event<'a>) {
        contents.clear();
        match std::mem::replace(&mut self.stage, Stage::Running) {
            Stage::Arrived => (0, log_in()),
            Stage::LoggedIn => (0, Event::OpenVhost(VHOST.into())),
            Stage::Subscribing(queue) => (0, self.consume(queue)),
            Stage::Running => self.read_lines(input),
            Stage::Finished => {
                self.stage = Stage::Finished;
                (0, Event::Finished)
            }
        }
    }

    pub fn needed(&self, head: &[u8]) -> usize {
        head.len() + 1
    }

    pub fn take_assembled(&mut self) -> Assembled {
        std::mem::take(&mut self.assembled)
    }

    fn read_lines<'a>(&mut self, input: &[u8]) -> (usize, Event<'a>) {
        let mut used = 0;
        while let Some(len) = input[used..].iter().position(|&byte| byte == b'\n') {
            let line = &input[used..used + len];
            used += len + 1;
            match self.on_line(line) {
                Ok(Event::Starved) => {} // it wants nothing of the shard
                Ok(event) => return (used, event),
                Err(why) => self.refuse(why),
            }
        }
        if input.len() - used > LINE_MAX {
            self.force_close("the line is too long");
            return (input.len(), Event::Finished);
        }
        (used, Event::Starved)
    }

    fn on_line<'a>(&mut self, line: &[u8]) -> Result<Event<'a>, &'static str> {
        let (verb, rest) = split(line);
        match verb {
            b"PUB" => self.publish(rest),
            b"SUB" => subscribe(rest),
            b"ACK" => self.acknowledge(rest),
            b"NAME" => Ok(self.consume_replies()),
            b"BEGIN" => self.begin(),
            b"COMMIT" => self.end_transaction().map(|()| Event::Commit { channel: CHANNEL }),
            b"ABORT" => self.end_transaction().map(|()| Event::Rollback { channel: CHANNEL }),
            _ => Err("unknown verb"),
        }
    }

    fn publish<'a>(&mut self, rest: &[u8]) -> Result<Event<'a>, &'static str> {
        let (queue, body) = split(rest);
        let route = [&[0, name(queue)?.len() as u8], queue].concat();
        let message = MessageView { route: Route::new(&route), properties: Properties::NONE, stamp: Stamp::NONE, body: Body::Slice(body) };
        let confirm = Some(self.confirms.publish());
        self.assembled = Assembled { confirm, ..Assembled::copy(CHANNEL, false, &message) };
        Ok(match self.is_transactional {
            true => Event::PublishAtCommit { channel: CHANNEL },
            false => Event::Assembled { channel: CHANNEL },
        })
    }

    fn acknowledge<'a>(&self, rest: &[u8]) -> Result<Event<'a>, &'static str> {
        let tag = std::str::from_utf8(rest).ok().and_then(|tag| tag.parse().ok()).ok_or("a tag is a number")?;
        let (channel, tags, outcome) = (CHANNEL, Tags::Each { first: tag, last: tag }, Outcome::Acked);
        Ok(match self.is_transactional {
            true => Event::SettleAtCommit { channel, tags, outcome },
            false => Event::Settle { channel, tags, outcome },
        })
    }

    fn begin<'a>(&mut self) -> Result<Event<'a>, &'static str> {
        if std::mem::replace(&mut self.is_transactional, true) {
            return Err("a transaction has begun");
        }
        self.say("OK");
        Ok(Event::Starved)
    }

    fn end_transaction(&mut self) -> Result<(), &'static str> {
        if std::mem::take(&mut self.is_transactional) { Ok(()) } else { Err("no transaction has begun") }
    }

    fn consume<'a>(&mut self, queue: Box<str>) -> Event<'a> {
        let (index, window) = self.add_consumer();
        let request = Request::Consume {
            queue,
            index,
            no_ack: false,
            exclusive: false,
            prefetch: PREFETCH,
            limited: false,
            window,
            arguments: Table::empty(),
        };
        Event::Request { channel: CHANNEL, request }
    }

    fn consume_replies<'a>(&mut self) -> Event<'a> {
        let (index, _) = self.add_consumer();
        Event::Request { channel: CHANNEL, request: Request::ConsumeReplies { index } }
    }

    /// Adds a consumer that is being set up. Returns its index and the size of its window.
    fn add_consumer(&mut self) -> (u32, u32) {
        let (index, window) = (self.next_index, Window::new(self.consumers.len() + 1));
        let size = window.size();
        self.next_index += 1;
        self.consumers.insert(index, Consumer { place: None, consumes_replies: false, window });
        (index, size)
    }
}

fn log_in<'a>() -> Event<'a> {
    Event::Login(Login { mechanism: "LINE", user: (*b"guest").into(), password: (*b"guest").into() })
}

fn subscribe<'a>(rest: &[u8]) -> Result<Event<'a>, &'static str> {
    let name = name(rest)?.into();
    let spec = QueueSpec { name, durable: true, exclusive: false, auto_delete: false, arguments: Table::empty() };
    Ok(Event::Request { channel: CHANNEL, request: Request::Topology(Topology::DeclareQueue(spec)) })
}

/// A queue's name, if it may be one.
fn name(name: &[u8]) -> Result<&str, &'static str> {
    let name = std::str::from_utf8(name).map_err(|_| "a name is UTF-8")?;
    if (1..=255).contains(&name.len()) { Ok(name) } else { Err("a name has 1 to 255 bytes") }
}

/// The first word and what follows it.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    (&line[..end], line.get(end + 1..).unwrap_or_default())
}

/// Most bytes of a line.
const LINE_MAX: usize = 4096;
