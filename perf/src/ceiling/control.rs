//! The methods besides publishing and delivering, as far as clients need them. All are answered
//! with "ok".

use super::router::Broker;
use super::session::Session;
use crate::amqp::encode::{Encoder, Field, Table};
use crate::amqp::id;

/// Encodes connection.start.
pub fn start() -> Vec<u8> {
    let capability = |name: &str| (name.to_owned(), Field::Bool(true));
    let capabilities: Table = ["publisher_confirms", "basic.nack", "consumer_cancel_notify"].map(capability).to_vec();
    let product = ("product".to_owned(), Field::Text("null broker".to_owned()));
    let properties = vec![product, ("capabilities".to_owned(), Field::Table(capabilities))];
    let mut e = Encoder::default();
    e.method(0, id::CONNECTION_START, |e| {
        e.u8(0).u8(9).table(&properties).long(b"PLAIN").long(b"en_US");
    });
    e.out
}

/// Answers a method other than publish.
pub fn method(session: &mut Session, link: usize, channel: u16, payload: &[u8], broker: &mut Broker) {
    let Some((method, args)) = payload.split_first_chunk::<4>() else { return };
    let method = u32::from_be_bytes(*method);
    let mut args = Args(args);
    let mut e = Encoder::default();
    match method {
        id::CONNECTION_START_OK => tune(&mut e),
        id::CONNECTION_OPEN | id::CONNECTION_CLOSE | id::CHANNEL_OPEN | id::CHANNEL_CLOSE => {
            opened_or_closed(session, method, channel, &mut e)
        }
        id::EXCHANGE_DECLARE | id::EXCHANGE_DELETE | id::BASIC_QOS | id::BASIC_CANCEL => plain(method, channel, &mut args, broker, &mut e),
        id::CONFIRM_SELECT => {
            session.confirms = Some((channel, 0));
            e.method(channel, id::CONFIRM_SELECT_OK, |_| {});
        }
        id::BASIC_CONSUME => consume(link, channel, &mut args, broker),
        _ => queue_method(session, method, channel, &mut args, broker, &mut e),
    }
    if !e.out.is_empty() {
        broker.reply(link, &e.out);
    }
}

fn tune(e: &mut Encoder) {
    e.method(0, id::CONNECTION_TUNE, |e| {
        e.u16(2047).u32(131_072).u16(0);
    });
}

fn opened_or_closed(session: &mut Session, method: u32, channel: u16, e: &mut Encoder) {
    match method {
        id::CONNECTION_OPEN => e.method(0, id::CONNECTION_OPEN_OK, |e| {
            e.u8(0);
        }),
        id::CHANNEL_OPEN => e.method(channel, id::CHANNEL_OPEN_OK, |e| {
            e.u32(0);
        }),
        id::CHANNEL_CLOSE => e.method(channel, id::CHANNEL_CLOSE_OK, |_| {}),
        _ => {
            session.closing = true;
            e.method(0, id::CONNECTION_CLOSE_OK, |_| {})
        }
    };
}

fn plain(method: u32, channel: u16, args: &mut Args<'_>, broker: &mut Broker, e: &mut Encoder) {
    match method {
        id::EXCHANGE_DELETE => {
            args.skip(2);
            broker.forget_exchange(args.short());
            e.method(channel, id::EXCHANGE_DELETE_OK, |_| {})
        }
        id::EXCHANGE_DECLARE => e.method(channel, id::EXCHANGE_DECLARE_OK, |_| {}),
        id::BASIC_QOS => e.method(channel, id::BASIC_QOS_OK, |_| {}),
        _ => e.method(channel, id::BASIC_CANCEL_OK, |e| {
            e.short(&String::from_utf8_lossy(args.short()));
        }),
    };
}

fn queue_method(session: &mut Session, method: u32, channel: u16, args: &mut Args<'_>, broker: &mut Broker, e: &mut Encoder) {
    args.skip(2);
    match method {
        id::QUEUE_DECLARE => {
            let name = match args.short() {
                b"" => format!("null-{}", session as *const Session as usize).into_bytes(),
                name => name.to_vec(),
            };
            broker.declare(&name);
            e.method(channel, id::QUEUE_DECLARE_OK, |e| {
                e.short(&String::from_utf8_lossy(&name)).u32(0).u32(0);
            });
        }
        id::QUEUE_BIND => {
            let (queue, exchange, key) = (args.short(), args.short(), args.short());
            broker.bind(queue, exchange, key);
            e.method(channel, id::QUEUE_BIND_OK, |_| {});
        }
        id::QUEUE_PURGE | id::QUEUE_DELETE => {
            broker.purge(args.short());
            e.method(channel, if method == id::QUEUE_PURGE { id::QUEUE_PURGE_OK } else { id::QUEUE_DELETE_OK }, |e| {
                e.u32(0);
            });
        }
        _ => {}
    }
}

fn consume(link: usize, channel: u16, args: &mut Args<'_>, broker: &mut Broker) {
    args.skip(2);
    let (queue, tag) = (args.short(), args.short());
    let tag = if tag.is_empty() { queue } else { tag };
    let mut e = Encoder::default();
    e.method(channel, id::BASIC_CONSUME_OK, |e| {
        e.short(&String::from_utf8_lossy(tag));
    });
    broker.reply(link, &e.out);
    broker.consume(queue, link, channel, tag);
}

/// Arguments, of which as many are read as needed; missing ones are empty.
struct Args<'a>(&'a [u8]);

impl<'a> Args<'a> {
    fn skip(&mut self, len: usize) {
        self.0 = self.0.get(len..).unwrap_or_default();
    }

    fn short(&mut self) -> &'a [u8] {
        let len = usize::from(self.0.first().copied().unwrap_or_default());
        let text = self.0.get(1..1 + len).unwrap_or_default();
        self.skip(1 + len);
        text
    }
}
