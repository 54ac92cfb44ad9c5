//! A value of a field table: typed, and borrowed from the bytes that encode it.
//!
//! The types are RabbitMQ's dialect, which all clients write: `s` is a 16-bit integer (not a short
//! string), and both `l` and `L` are signed 64-bit integers.

use std::fmt;

use super::table::{TableError, TableRef};
use super::wire::{self, Reader};

/// One value of a table or an array.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value<'a> {
    /// `t`; any octet but 0 is true.
    Bool(bool),
    /// `b`
    Byte(i8),
    /// `B`
    UnsignedByte(u8),
    /// `s`
    Short(i16),
    /// `u`
    UnsignedShort(u16),
    /// `I`
    SignedInt(i32),
    /// `i`
    UnsignedInt(u32),
    /// `l`, `L`
    Long(i64),
    /// `f`, finite
    Float(f32),
    /// `d`, finite
    Double(f64),
    /// `D`: the number of digits after the point, and all digits.
    Decimal(u8, u32),
    /// `S`; text by convention, but any bytes are valid.
    LongString(&'a [u8]),
    /// `A`
    Array(Values<'a>),
    /// `T`: seconds since 1970.
    Timestamp(u64),
    /// `F`
    Table(TableRef<'a>),
    /// `V`
    Void,
    /// `x`
    Binary(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The number, if the type is an integer of any width (a timestamp is none).
    pub fn as_int(self) -> Option<i64> {
        match self {
            Value::Byte(n) => Some(n.into()),
            Value::UnsignedByte(n) => Some(n.into()),
            Value::Short(n) => Some(n.into()),
            Value::UnsignedShort(n) => Some(n.into()),
            Value::SignedInt(n) => Some(n.into()),
            Value::UnsignedInt(n) => Some(n.into()),
            Value::Long(n) => Some(n),
            _ => None,
        }
    }

    /// The bytes of a long string.
    pub fn as_text(self) -> Option<&'a [u8]> {
        match self {
            Value::LongString(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value of a bool.
    pub fn as_bool(self) -> Option<bool> {
        match self {
            Value::Bool(truth) => Some(truth),
            _ => None,
        }
    }

    /// The nested table.
    pub fn as_table(self) -> Option<TableRef<'a>> {
        match self {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The elements of an array.
    pub fn as_array(self) -> Option<Values<'a>> {
        match self {
            Value::Array(values) => Some(values),
            _ => None,
        }
    }

    /// RabbitMQ's name of the type, as in its error texts.
    pub fn type_name(self) -> &'static str {
        match self {
            Value::Bool(_) => "bool",
            Value::Byte(_) => "byte",
            Value::UnsignedByte(_) => "unsignedbyte",
            Value::Short(_) => "short",
            Value::UnsignedShort(_) => "unsignedshort",
            Value::SignedInt(_) => "signedint",
            Value::UnsignedInt(_) => "unsignedint",
            Value::Long(_) => "long",
            Value::Float(_) => "float",
            Value::Double(_) => "double",
            Value::Decimal(..) => "decimal",
            Value::LongString(_) => "longstr",
            Value::Array(_) => "array",
            Value::Timestamp(_) => "timestamp",
            Value::Table(_) => "table",
            Value::Void => "void",
            Value::Binary(_) => "binary",
        }
    }

    /// Whether RabbitMQ considers both values to be the same argument. It compares what the bytes
    /// mean, not the type, so that `I 5`, `l 5` and `T 5` are equal, and `S` and `x` with the same
    /// bytes. Inside tables and arrays it compares the types, too.
    pub fn equivalent(self, other: Value<'_>) -> bool {
        match (self.number(), other.number()) {
            (Some(left), Some(right)) => return left == right,
            (None, None) => {}
            _ => return false,
        }
        match (self, other) {
            (Value::LongString(left) | Value::Binary(left), Value::LongString(right) | Value::Binary(right)) => left == right,
            (Value::Table(left), Value::Table(right)) => left.same(right),
            (Value::Array(left), Value::Array(right)) => left.same(right),
            (Value::Array(array), Value::Table(table)) | (Value::Table(table), Value::Array(array)) => array.is_empty() && table.is_empty(),
            (Value::Float(_) | Value::Double(_), _) => self.real().zip(other.real()).is_some_and(|(left, right)| left == right),
            (left, right) => left == right,
        }
    }

    /// Whether type and meaning are equal, as `equivalent` demands inside tables and arrays.
    pub(super) fn same(self, other: Value<'_>) -> bool {
        self.type_name() == other.type_name() && self.equivalent(other)
    }

    fn number(self) -> Option<i128> {
        match self {
            Value::Timestamp(seconds) => Some(seconds.into()),
            _ => self.as_int().map(i128::from),
        }
    }

    fn real(self) -> Option<f64> {
        match self {
            Value::Float(real) => Some(real.into()),
            Value::Double(real) => Some(real),
            _ => None,
        }
    }

    /// Reads a value without looking into nested tables and arrays.
    pub(super) fn read(from: &mut Reader<'a>) -> Result<Value<'a>, TableError> {
        let kind = from.u8().ok_or(TableError::Truncated)?;
        Value::read_known(kind, from).unwrap_or(Err(TableError::UnknownType(kind)))
    }

    /// Reads the value of a type. Returns `None` if there is no such type.
    fn read_known(kind: u8, from: &mut Reader<'a>) -> Option<Result<Value<'a>, TableError>> {
        let value = match kind {
            b't' => from.u8().map(|octet| Value::Bool(octet != 0)),
            b'b' => from.array().map(|b| Value::Byte(i8::from_be_bytes(b))),
            b'B' => from.u8().map(Value::UnsignedByte),
            b's' => from.array().map(|b| Value::Short(i16::from_be_bytes(b))),
            b'u' => from.u16().map(Value::UnsignedShort),
            b'I' => from.array().map(|b| Value::SignedInt(i32::from_be_bytes(b))),
            b'i' => from.u32().map(Value::UnsignedInt),
            b'l' | b'L' => from.array().map(|b| Value::Long(i64::from_be_bytes(b))),
            b'f' => from.array().map(|b| Value::Float(f32::from_be_bytes(b))),
            b'd' => from.array().map(|b| Value::Double(f64::from_be_bytes(b))),
            b'D' => from.u8().and_then(|scale| Some(Value::Decimal(scale, from.u32()?))),
            b'S' => from.longstr().map(Value::LongString),
            b'A' => from.longstr().map(|wire| Value::Array(Values(wire))),
            b'T' => from.u64().map(Value::Timestamp),
            b'F' => from.longstr().map(|wire| Value::Table(TableRef::trusted(wire))),
            b'V' => Some(Value::Void),
            b'x' => from.longstr().map(Value::Binary),
            _ => return None,
        };
        Some(match value {
            Some(value) if value.real().is_some_and(|real| !real.is_finite()) => Err(TableError::NotFinite),
            Some(value) => Ok(value),
            None => Err(TableError::Truncated),
        })
    }

    /// Encodes type and value for lookups: values that are equal except for the width of their
    /// integers have the same encoding.
    pub fn key(self) -> Vec<u8> {
        let plain = match self {
            Value::Binary(bytes) => Value::LongString(bytes),
            _ => self.as_int().map_or(self, Value::Long),
        };
        let mut key = Vec::new();
        plain.write(&mut key);
        key
    }

    /// Writes type and value; equal values have the same encoding: `l` for both letters, 1 for
    /// every true.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        match self {
            Value::Bool(truth) => out.extend_from_slice(&[b't', truth.into()]),
            Value::Byte(n) => tagged(b'b', &n.to_be_bytes(), out),
            Value::UnsignedByte(n) => tagged(b'B', &[n], out),
            Value::Short(n) => tagged(b's', &n.to_be_bytes(), out),
            Value::UnsignedShort(n) => tagged(b'u', &n.to_be_bytes(), out),
            Value::SignedInt(n) => tagged(b'I', &n.to_be_bytes(), out),
            Value::UnsignedInt(n) => tagged(b'i', &n.to_be_bytes(), out),
            Value::Long(n) => tagged(b'l', &n.to_be_bytes(), out),
            Value::Float(n) => tagged(b'f', &n.to_be_bytes(), out),
            Value::Double(n) => tagged(b'd', &n.to_be_bytes(), out),
            Value::Decimal(scale, digits) => {
                tagged(b'D', &[scale], out);
                wire::put_u32(out, digits);
            }
            Value::LongString(text) => long(b'S', out, |out| out.extend_from_slice(text)),
            Value::Array(values) => long(b'A', out, |out| values.for_each(|value| value.write(out))),
            Value::Timestamp(seconds) => tagged(b'T', &seconds.to_be_bytes(), out),
            Value::Table(table) => long(b'F', out, |out| table.iter().for_each(|(key, value)| super::table::put_entry(out, key, value))),
            Value::Void => out.push(b'V'),
            Value::Binary(bytes) => long(b'x', out, |out| out.extend_from_slice(bytes)),
        }
    }
}

/// Displays the value as RabbitMQ's error texts do (Erlang's `~ts` for strings, `~tp` for other
/// types).
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Value::LongString(text) | Value::Binary(text) => f.write_str(&super::erlang_text(text)),
            value => value.term(f),
        }
    }
}

impl Value<'_> {
    /// Writes Erlang's term of the value.
    fn term(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(truth) => write!(f, "{truth}"),
            Value::Float(_) | Value::Double(_) => write!(f, "{:?}", self.real().unwrap_or_default()),
            Value::Decimal(scale, digits) => write!(f, "{{{scale},{digits}}}"),
            Value::LongString(text) | Value::Binary(text) => write!(f, "{}", super::ErlangBinary(text)),
            Value::Void => f.write_str("undefined"),
            Value::Array(mut values) => list(f, &mut values, |f, value| {
                write!(f, "{{{},", value.type_name()).and_then(|()| value.term(f)).and_then(|()| f.write_str("}"))
            }),
            Value::Table(table) => list(f, &mut table.iter(), |f, (key, value)| {
                write!(f, "{{{},{},", super::ErlangBinary(key), value.type_name())?;
                value.term(f).and_then(|()| f.write_str("}"))
            }),
            _ => write!(f, "{}", self.number().unwrap_or_default()),
        }
    }
}

/// The values of an array, and an iterator over them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Values<'a>(&'a [u8]);

impl<'a> Values<'a> {
    /// The array in wire form, without its length.
    pub fn wire(self) -> &'a [u8] {
        self.0
    }

    /// Whether there are no (more) values.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    fn same(self, other: Values<'_>) -> bool {
        self.count() == other.count() && self.zip(other).all(|(left, right)| left.same(right))
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let mut reader = Reader::new(self.0);
        let value = Value::read(&mut reader).ok()?;
        self.0 = reader.rest();
        Some(value)
    }
}

fn tagged(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(bytes);
}

/// Writes the type, the length, and what `content` writes.
pub(super) fn long(kind: u8, out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&[kind, 0, 0, 0, 0]);
    let start = out.len();
    content(out);
    let len = u32::try_from(out.len() - start).expect("a value has less than 4 GiB");
    out[start - 4..start].copy_from_slice(&len.to_be_bytes());
}

fn list<T>(
    f: &mut fmt::Formatter<'_>,
    items: &mut dyn Iterator<Item = T>,
    mut item: impl FnMut(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    f.write_str("[")?;
    for (index, element) in items.enumerate() {
        f.write_str(if index == 0 { "" } else { "," })?;
        item(f, element)?;
    }
    f.write_str("]")
}

#[cfg(test)]
mod tests {
    use super::super::{Table, TableBuilder};
    use super::*;

    #[test]
    fn integers_of_any_width_are_equivalent() {
        let fives = [Value::Byte(5), Value::UnsignedByte(5), Value::Short(5), Value::UnsignedShort(5), Value::SignedInt(5)];
        for left in fives {
            for right in [Value::UnsignedInt(5), Value::Long(5), Value::Timestamp(5)] {
                assert!(left.equivalent(right) && right.equivalent(left), "{left:?} {right:?}");
            }
            assert!(!left.equivalent(Value::Double(5.0)) && !left.equivalent(Value::Bool(true)) && !left.equivalent(Value::Long(6)));
        }
        assert!(!Value::Timestamp(u64::MAX).equivalent(Value::Long(-1)));
    }

    #[test]
    fn strings_reals_and_lists_are_equivalent_by_meaning() {
        assert!(Value::LongString(b"a").equivalent(Value::Binary(b"a")));
        assert!(Value::Float(1.5).equivalent(Value::Double(1.5)));
        assert!(!Value::Decimal(1, 5).equivalent(Value::Decimal(0, 5)));
        let int: Table = TableBuilder::new().value("a", Value::SignedInt(1)).build();
        let long: Table = TableBuilder::new().value("a", Value::Long(1)).build();
        assert!(Value::Table(int.view()).equivalent(Value::Table(int.view())));
        assert!(!Value::Table(int.view()).equivalent(Value::Table(long.view())), "nested types count");
        assert!(Value::Array(Values(b"t\x02")).equivalent(Value::Array(Values(b"t\x01"))));
        assert!(Value::Array(Values(b"")).equivalent(Value::Table(TableRef::EMPTY)));
    }

    #[test]
    fn values_print_as_in_erlang() {
        let table = TableBuilder::new().int("n", 7).text("s", "x").array("a", |a| a.bool(true).value(Value::Void)).build();
        let printed = Value::Table(table.view()).to_string();
        assert_eq!(printed, r#"[{<<"n">>,signedint,7},{<<"s">>,longstr,<<"x">>},{<<"a">>,array,[{bool,true},{void,undefined}]}]"#);
        assert_eq!(Value::LongString(b"plain").to_string(), "plain");
        assert_eq!((Value::Double(1.0).to_string(), Value::Decimal(2, 314).to_string()), ("1.0".into(), "{2,314}".into()));
    }
}
