//! Frames, methods and content headers, as a client reads and writes them.
//!
//! ```text
//! frame    [type 1][channel 2][size 4][payload][0xCE]
//! method   [class 2][method 2][fields…]
//! header   [class 2][weight 2][body size 8][flags 2][properties…]
//! ```

use super::methods::{self, Kind, Shape};
use super::value::{Reader, Table, Value, put_string, put_table, put_uint};

/// Frame types.
pub const METHOD: u8 = 1;
/// A content header.
pub const HEADER: u8 = 2;
/// A piece of a body.
pub const BODY: u8 = 3;
/// A heartbeat.
pub const HEARTBEAT: u8 = 8;
/// The octet behind every frame.
pub const FRAME_END: u8 = 0xCE;

/// Fields or properties by name, in wire order.
pub type Fields = Vec<(String, Value)>;

/// A frame with the right end octet.
#[derive(Clone, PartialEq, Debug)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its channel.
    pub channel: u16,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// A method's name and all its fields.
#[derive(Clone, PartialEq, Debug)]
pub struct Method {
    /// `class.method`.
    pub name: String,
    /// Every field of the method's list entry.
    pub fields: Fields,
}

impl Method {
    /// Makes the method called `name` with these fields; fields not given are zero, false or empty.
    /// `Err` names a method or field that the list does not know.
    pub fn new(name: &str, given: &[(&str, Value)]) -> Result<Method, String> {
        let shape = methods::by_name(name).ok_or_else(|| format!("no method {name}"))?;
        if let Some((unknown, _)) = given.iter().find(|(field, _)| shape.fields.iter().all(|(name, _)| name != field)) {
            return Err(format!("{name} has no field {unknown}"));
        }
        let value =
            |field: &str, kind| given.iter().find(|(name, _)| *name == field).map_or_else(|| empty(kind), |(_, value)| value.clone());
        Ok(Method {
            name: name.to_owned(),
            fields: shape.fields.iter().map(|&(field, kind)| (field.to_owned(), value(field, kind))).collect(),
        })
    }

    /// Returns the field called `name`.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// Returns the text field called `name`, or an empty text.
    pub fn text(&self, name: &str) -> &[u8] {
        self.field(name).and_then(Value::as_text).unwrap_or_default()
    }

    /// Returns its entry in the list.
    pub fn shape(&self) -> &'static Shape {
        methods::by_name(&self.name).expect("a method is made from the list")
    }

    /// Encodes its payload.
    pub fn encode(&self) -> Vec<u8> {
        let shape = self.shape();
        let mut out = Vec::new();
        put_uint(&mut out, 2, u64::from(shape.class));
        put_uint(&mut out, 2, u64::from(shape.method));
        put_fields(&mut out, shape, &self.fields);
        out
    }

    /// Reads the method in a payload, if the list knows it and the payload holds nothing else.
    pub fn decode(payload: &[u8]) -> Option<Method> {
        let mut reader = Reader(payload);
        let shape = methods::by_id(reader.uint(2)? as u16, reader.uint(2)? as u16)?;
        let fields = take_fields(&mut reader, shape)?;
        reader.0.is_empty().then(|| Method { name: shape.name.to_owned(), fields })
    }
}

/// A content header.
#[derive(Clone, PartialEq, Debug)]
pub struct Header {
    /// The class of the method before it.
    pub class: u16,
    /// The number of body bytes that follow.
    pub body_size: u64,
    /// The properties that are present.
    pub properties: Fields,
}

impl Header {
    /// Encodes its payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_uint(&mut out, 2, u64::from(self.class));
        put_uint(&mut out, 2, 0);
        put_uint(&mut out, 8, self.body_size);
        let present = |name: &str| self.properties.iter().find(|(property, _)| property == name);
        let flags = methods::properties().iter().enumerate().filter(|(_, (name, _))| present(name).is_some());
        put_uint(&mut out, 2, flags.map(|(at, _)| 1u64 << (15 - at)).sum());
        for (name, kind) in methods::properties() {
            if let Some((_, value)) = present(name) {
                put_field(&mut out, *kind, value);
            }
        }
        out
    }

    /// Reads the header in a payload that holds nothing else.
    pub fn decode(payload: &[u8]) -> Option<Header> {
        let mut reader = Reader(payload);
        let (class, _weight, body_size) = (reader.uint(2)? as u16, reader.uint(2)?, reader.uint(8)?);
        let flags = reader.uint(2)?;
        let mut properties = Vec::new();
        for (at, (name, kind)) in methods::properties().iter().enumerate() {
            if flags & (1 << (15 - at)) != 0 {
                properties.push(((*name).to_owned(), take_field(&mut reader, *kind)?));
            }
        }
        (reader.0.is_empty() && flags & 0b11 == 0).then_some(Header { class, body_size, properties })
    }
}

/// Encodes a whole frame.
pub fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    put_uint(&mut out, 2, u64::from(channel));
    put_string(&mut out, 4, payload);
    out.push(FRAME_END);
    out
}

/// Encodes a method frame.
pub fn method_frame(channel: u16, method: &Method) -> Vec<u8> {
    frame(METHOD, channel, &method.encode())
}

/// Encodes the header and body frames of a message of class basic, the body in pieces of at most
/// `piece` bytes.
pub fn content_frames(channel: u16, properties: &Fields, body: &[u8], piece: usize) -> Vec<u8> {
    let header = Header { class: 60, body_size: body.len() as u64, properties: properties.clone() };
    let mut out = frame(HEADER, channel, &header.encode());
    body.chunks(piece).for_each(|part| out.extend(frame(BODY, channel, part)));
    out
}

/// Takes the first frame off `bytes`: `Ok(None)` if it is incomplete, `Err` if it is no frame.
pub fn take_frame(bytes: &mut Vec<u8>) -> Result<Option<Frame>, ()> {
    let mut reader = Reader(bytes);
    let (Some(kind), Some(channel)) = (reader.uint(1), reader.uint(2)) else { return Ok(None) };
    if ![METHOD, HEADER, BODY, HEARTBEAT].map(u64::from).contains(&kind) {
        return Err(());
    }
    let Some(payload) = reader.string(4) else { return Ok(None) };
    let Some(end) = reader.uint(1) else { return Ok(None) };
    if end != u64::from(FRAME_END) {
        return Err(());
    }
    let frame = Frame { kind: kind as u8, channel: channel as u16, payload: payload.to_vec() };
    bytes.drain(..bytes.len() - reader.0.len());
    Ok(Some(frame))
}

fn empty(kind: Kind) -> Value {
    match kind {
        Kind::Bit => Value::Bool(false),
        Kind::Octet | Kind::Short | Kind::Long | Kind::Longlong => Value::number(0),
        Kind::Shortstr | Kind::Longstr => Value::text(""),
        Kind::Table => Value::Table(Table::new()),
    }
}

fn put_fields(out: &mut Vec<u8>, shape: &Shape, fields: &Fields) {
    let mut bits = 0;
    for ((_, kind), (_, value)) in shape.fields.iter().zip(fields) {
        if *kind != Kind::Bit {
            bits = 0;
            put_field(out, *kind, value);
            continue;
        }
        if bits % 8 == 0 {
            out.push(0);
        }
        let last = out.last_mut().expect("an octet for bits was just pushed");
        *last |= u8::from(*value == Value::Bool(true)) << (bits % 8);
        bits += 1;
    }
}

fn take_fields(reader: &mut Reader<'_>, shape: &Shape) -> Option<Fields> {
    let (mut octet, mut bits) = (0, 0);
    let mut fields = Vec::new();
    for (name, kind) in &shape.fields {
        let value = if *kind == Kind::Bit {
            if bits % 8 == 0 {
                octet = reader.uint(1)?;
            }
            bits += 1;
            Value::Bool(octet >> ((bits - 1) % 8) & 1 == 1)
        } else {
            bits = 0;
            take_field(reader, *kind)?
        };
        fields.push(((*name).to_owned(), value));
    }
    Some(fields)
}

fn put_field(out: &mut Vec<u8>, kind: Kind, value: &Value) {
    match (kind, value) {
        (Kind::Octet, Value::Number(_, n)) => put_uint(out, 1, *n as u64),
        (Kind::Short, Value::Number(_, n)) => put_uint(out, 2, *n as u64),
        (Kind::Long, Value::Number(_, n)) => put_uint(out, 4, *n as u64),
        (Kind::Longlong, Value::Number(_, n)) => put_uint(out, 8, *n as u64),
        (Kind::Shortstr, Value::Text(text)) => put_string(out, 1, text),
        (Kind::Longstr, Value::Text(text)) => put_string(out, 4, text),
        (Kind::Table, Value::Table(table)) => put_table(out, table),
        _ => panic!("{value:?} does not fit a field of kind {kind:?}"),
    }
}

fn take_field(reader: &mut Reader<'_>, kind: Kind) -> Option<Value> {
    Some(match kind {
        Kind::Bit => Value::Bool(reader.uint(1)? != 0),
        Kind::Octet => Value::number(reader.uint(1)?),
        Kind::Short => Value::number(reader.uint(2)?),
        Kind::Long => Value::number(reader.uint(4)?),
        Kind::Longlong => Value::number(reader.uint(8)?),
        Kind::Shortstr => Value::text(reader.string(1)?),
        Kind::Longstr => Value::text(reader.string(4)?),
        Kind::Table => Value::Table(reader.table()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_comes_back_as_it_was() {
        let given = [("queue", Value::text("q")), ("durable", Value::Bool(true)), ("nowait", Value::Bool(true))];
        let declare = Method::new("queue.declare", &given).expect("the list knows it");
        assert_eq!(declare.encode(), b"\x00\x32\x00\x0a\x00\x00\x01q\x12\x00\x00\x00\x00");
        assert_eq!(Method::decode(&declare.encode()), Some(declare));
        assert!(Method::new("queue.declare", &[("kueue", Value::Void)]).is_err());
    }

    #[test]
    fn a_frame_is_taken_when_it_is_whole() {
        let header = Header { class: 60, body_size: 3, properties: vec![("priority".to_owned(), Value::number(9))] };
        let whole = frame(HEADER, 7, &header.encode());
        let mut bytes = whole[..whole.len() - 1].to_vec();
        assert_eq!(take_frame(&mut bytes), Ok(None));
        bytes.push(FRAME_END);
        let taken = take_frame(&mut bytes).expect("a frame").expect("whole");
        assert_eq!((taken.channel, Header::decode(&taken.payload), bytes.len()), (7, Some(header), 0));
    }
}
