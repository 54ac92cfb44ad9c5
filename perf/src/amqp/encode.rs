//! Writes frames into a vector. Arguments are checked when they are read from the command line, so
//! nothing here can fail: short strings have at most 255 bytes, and a frame is no larger than
//! negotiated.

use super::{FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_METHOD, FRAME_OVERHEAD, id};

/// A value in a field table, of the types that `--queue-args` and `--header` can express.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// `t`
    Bool(bool),
    /// `l`
    Int(i64),
    /// `S`
    Text(String),
    /// `F`
    Table(Table),
}

/// A field table, in the order in which it is written.
pub type Table = Vec<(String, Field)>;

/// Frames, one after the other.
#[derive(Default)]
pub struct Encoder {
    /// The frames that were written.
    pub out: Vec<u8>,
}

impl Encoder {
    /// Writes a method frame; `args` writes its arguments.
    pub fn method(&mut self, channel: u16, method: u32, args: impl FnOnce(&mut Encoder)) -> &mut Encoder {
        self.frame(FRAME_METHOD, channel, |e| {
            e.u32(method);
            args(e);
        })
    }

    /// Writes one message: publish, header and as many body frames as `frame_max` demands. Returns
    /// the offset of the body.
    pub fn publish(&mut self, channel: u16, message: &Publish<'_>, frame_max: usize) -> usize {
        self.method(channel, id::BASIC_PUBLISH, |e| {
            e.u16(0).short(message.exchange).short(message.key).u8(u8::from(message.mandatory));
        });
        self.frame(FRAME_HEADER, channel, |e| {
            e.u16(60).u16(0).u64(message.body.len() as u64);
            e.properties(message);
        });
        let start = self.out.len() + FRAME_OVERHEAD - 1;
        for part in message.body.chunks(frame_max - FRAME_OVERHEAD) {
            self.frame(FRAME_BODY, channel, |e| e.out.extend_from_slice(part));
        }
        start
    }

    fn properties(&mut self, message: &Publish<'_>) {
        let &Publish { headers, persistent, priority, expiration, .. } = message;
        let flags = [(!headers.is_empty(), 13), (persistent, 12), (priority.is_some(), 11), (!expiration.is_empty(), 8)];
        self.u16(flags.iter().map(|&(is_there, bit)| u16::from(is_there) << bit).sum());
        if !headers.is_empty() {
            self.table(headers);
        }
        if persistent {
            self.u8(2);
        }
        if let Some(priority) = priority {
            self.u8(priority);
        }
        if !expiration.is_empty() {
            self.short(expiration);
        }
    }

    fn frame(&mut self, kind: u8, channel: u16, payload: impl FnOnce(&mut Encoder)) -> &mut Encoder {
        self.u8(kind).u16(channel);
        self.sized(payload);
        self.u8(FRAME_END)
    }

    /// Writes a u32 length and the content that it counts.
    fn sized(&mut self, content: impl FnOnce(&mut Encoder)) -> &mut Encoder {
        let at = self.out.len();
        self.u32(0);
        content(self);
        let len = u32::try_from(self.out.len() - at - 4).expect("frames are small");
        self.out[at..at + 4].copy_from_slice(&len.to_be_bytes());
        self
    }

    /// Writes an octet.
    pub fn u8(&mut self, v: u8) -> &mut Encoder {
        self.out.push(v);
        self
    }

    /// Writes a short.
    pub fn u16(&mut self, v: u16) -> &mut Encoder {
        self.out.extend_from_slice(&v.to_be_bytes());
        self
    }

    /// Writes a long.
    pub fn u32(&mut self, v: u32) -> &mut Encoder {
        self.out.extend_from_slice(&v.to_be_bytes());
        self
    }

    /// Writes a longlong.
    pub fn u64(&mut self, v: u64) -> &mut Encoder {
        self.out.extend_from_slice(&v.to_be_bytes());
        self
    }

    /// Writes a short string, of at most 255 bytes.
    pub fn short(&mut self, s: &str) -> &mut Encoder {
        self.u8(u8::try_from(s.len()).expect("names are checked on the command line"));
        self.out.extend_from_slice(s.as_bytes());
        self
    }

    /// Writes a long string.
    pub fn long(&mut self, s: &[u8]) -> &mut Encoder {
        self.sized(|e| e.out.extend_from_slice(s))
    }

    /// Writes a field table.
    pub fn table(&mut self, table: &Table) -> &mut Encoder {
        self.sized(|e| {
            for (key, value) in table {
                e.short(key).field(value);
            }
        })
    }

    fn field(&mut self, value: &Field) {
        match value {
            Field::Bool(v) => self.u8(b't').u8(u8::from(*v)),
            Field::Int(v) => self.u8(b'l').u64(v.cast_unsigned()),
            Field::Text(v) => self.u8(b'S').long(v.as_bytes()),
            Field::Table(v) => self.u8(b'F').table(v),
        };
    }
}

/// The arguments of a publish, and its content.
pub struct Publish<'a> {
    /// The exchange's name.
    pub exchange: &'a str,
    /// The routing key.
    pub key: &'a str,
    /// The headers.
    pub headers: &'a Table,
    /// Whether the message is persistent.
    pub persistent: bool,
    /// The priority, if it has one.
    pub priority: Option<u8>,
    /// Whether the message is mandatory.
    pub mandatory: bool,
    /// The expiration in milliseconds, as text; empty for none.
    pub expiration: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// Encodes a basic.ack frame.
pub fn ack(channel: u16, tag: u64, multiple: bool) -> [u8; ACK_LEN] {
    let mut frame = *b"\x01\0\0\0\0\0\x0D\0\x3C\0\x50\0\0\0\0\0\0\0\0\0\xCE";
    frame[1..3].copy_from_slice(&channel.to_be_bytes());
    frame[11..19].copy_from_slice(&tag.to_be_bytes());
    frame[19] = u8::from(multiple);
    frame
}

/// Size of a basic.ack frame, bytes.
pub const ACK_LEN: usize = 21;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ack_is_what_the_encoder_would_write() {
        let mut e = Encoder::default();
        e.method(7, id::BASIC_ACK, |e| {
            e.u64(0x0102_0304_0506_0708).u8(1);
        });
        assert_eq!(e.out, ack(7, 0x0102_0304_0506_0708, true));
    }

    #[test]
    fn long_bodies_are_cut_at_frame_max() {
        let mut e = Encoder::default();
        let message = Publish {
            exchange: "",
            key: "q",
            headers: &Table::new(),
            persistent: false,
            priority: None,
            mandatory: false,
            expiration: "",
            body: &[9; 25],
        };
        let body = e.publish(1, &message, 20);
        assert_eq!(e.out[body], 9);
        let bodies = e.out.len() - body + 7;
        assert_eq!(bodies, 25 + 3 * FRAME_OVERHEAD);
    }
}
