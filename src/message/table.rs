//! Field tables: named, typed values in the form in which they came over the wire.
//!
//! ```text
//! [len u8][key][type][value]  [len u8][key][type][value]  …     without the four octets of length
//! ```
//!
//! A [`Table`] or [`TableRef`] was checked as a whole (types, lengths, depth, no bytes left over),
//! so that reading it cannot fail. Order and duplicate keys are kept; [`TableRef::find`] takes the
//! first, as RabbitMQ does.

use std::fmt;

use super::value::{Value, Values};
use super::wire::{self, Reader};
use crate::base::limits::TABLE_DEPTH_MAX;

/// An owned field table. Tables are equal if their bytes are.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Table(Box<[u8]>);

impl Table {
    /// Makes a table without entries; allocates nothing.
    pub fn empty() -> Table {
        Table::default()
    }

    /// Makes a table of bytes that an encoder of this module wrote.
    pub(super) fn trusted(wire: Vec<u8>) -> Table {
        Table(wire.into_boxed_slice())
    }

    /// The same table, borrowed, with all methods that read.
    pub fn view(&self) -> TableRef<'_> {
        TableRef(&self.0)
    }

    /// The wire form, without the length.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries in wire order.
    pub fn iter(&self) -> Entries<'_> {
        self.view().iter()
    }

    /// The value of the first entry with this key.
    pub fn find(&self, key: impl AsRef<[u8]>) -> Option<Value<'_>> {
        self.view().find(key)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

/// A borrowed field table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TableRef<'a>(&'a [u8]);

impl<'a> TableRef<'a> {
    /// The table without entries.
    pub const EMPTY: TableRef<'static> = TableRef(&[]);

    /// Checks a table in wire form (without its length) down to the last nested value.
    pub fn parse(wire: &'a [u8]) -> Result<TableRef<'a>, TableError> {
        check_table(wire, TABLE_DEPTH_MAX)?;
        Ok(TableRef(wire))
    }

    /// Checks a table of the broker's own, which has tables of clients as values: it nests one level
    /// deeper than theirs.
    pub fn parse_record(wire: &'a [u8]) -> Result<TableRef<'a>, TableError> {
        check_table(wire, TABLE_DEPTH_MAX + 1)?;
        Ok(TableRef(wire))
    }

    /// Makes a view of bytes that were checked before. With other bytes it is safe, too: values
    /// that cannot be read are missing.
    pub fn trusted(wire: &'a [u8]) -> TableRef<'a> {
        TableRef(wire)
    }

    /// The wire form, without the length.
    pub fn wire(self) -> &'a [u8] {
        self.0
    }

    /// Whether there is no entry.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Number of entries; counts them.
    pub fn len(self) -> usize {
        self.iter().count()
    }

    /// The entries in wire order.
    pub fn iter(self) -> Entries<'a> {
        Entries(self.0)
    }

    /// The value of the first entry with this key.
    pub fn find(self, key: impl AsRef<[u8]>) -> Option<Value<'a>> {
        let key = key.as_ref();
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// Makes a copy of the table.
    pub fn to_owned(self) -> Table {
        Table(self.0.into())
    }

    /// Returns the form in which equal arguments have equal bytes, which makes the identity of a
    /// binding: entries sorted by key, those with the same key in the order in which they came
    /// (RabbitMQ sorts stably and keeps duplicates), each value in its only encoding.
    pub fn canonical(self) -> Table {
        let mut entries: Vec<_> = self.iter().collect();
        entries.sort_by_key(|&(key, _)| key);
        let mut wire = Vec::with_capacity(self.0.len());
        entries.into_iter().for_each(|(key, value)| put_entry(&mut wire, key, value));
        Table::trusted(wire)
    }

    /// Returns the table without the entries whose key `drop` accepts; the others are unchanged.
    pub fn without(self, drop: impl Fn(&[u8]) -> bool) -> Table {
        let mut wire = Vec::with_capacity(self.0.len());
        let mut entries = self.iter();
        loop {
            let before = entries.0;
            match entries.next() {
                Some((key, _)) if drop(key) => {}
                Some(_) => wire.extend_from_slice(&before[..before.len() - entries.0.len()]),
                None => return Table::trusted(wire),
            }
        }
    }

    pub(super) fn same(self, other: TableRef<'_>) -> bool {
        let pairs = || self.iter().zip(other.iter());
        self.len() == other.len() && pairs().all(|(left, right)| left.0 == right.0 && left.1.same(right.1))
    }
}

impl fmt::Debug for TableRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(key, value)| (String::from_utf8_lossy(key), value))).finish()
    }
}

/// Iterates over the entries of a table: key (any bytes, at most 255) and value.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = Reader::new(self.0);
        let key = reader.shortstr()?;
        let value = Value::read(&mut reader).ok()?;
        self.0 = reader.rest();
        Some((key, value))
    }
}

/// The reason why bytes are no table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TableError {
    /// A key or a value goes beyond the end of the table.
    Truncated,
    /// There is no such type.
    UnknownType(u8),
    /// Tables and arrays nest deeper than [`TABLE_DEPTH_MAX`].
    TooDeep,
    /// A float that is infinite or not a number; RabbitMQ cannot read those either.
    NotFinite,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TableError::Truncated => f.write_str("a field ends behind its table"),
            TableError::UnknownType(kind) => write!(f, "there is no field type '{}'", kind.escape_ascii()),
            TableError::TooDeep => write!(f, "fields nest deeper than {TABLE_DEPTH_MAX}"),
            TableError::NotFinite => f.write_str("a real number is not finite"),
        }
    }
}

impl std::error::Error for TableError {}

/// Writes an entry. The key has at most 255 bytes.
pub(super) fn put_entry(out: &mut Vec<u8>, key: &[u8], value: Value<'_>) {
    wire::put_shortstr(out, key);
    value.write(out);
}

/// Checks a table. The recursion is bounded by `depth`, the number of levels that are left,
/// including this one.
fn check_table(table: &[u8], depth: usize) -> Result<(), TableError> {
    let mut reader = Reader::new(table);
    while !reader.is_empty() {
        reader.shortstr().ok_or(TableError::Truncated)?;
        check_value(&mut reader, depth)?;
    }
    Ok(())
}

fn check_array(array: &[u8], depth: usize) -> Result<(), TableError> {
    let mut reader = Reader::new(array);
    while !reader.is_empty() {
        check_value(&mut reader, depth)?;
    }
    Ok(())
}

fn check_value(reader: &mut Reader<'_>, depth: usize) -> Result<(), TableError> {
    let inner = || depth.checked_sub(1).filter(|&left| left > 0).ok_or(TableError::TooDeep);
    match Value::read(reader)? {
        Value::Table(table) => check_table(table.wire(), inner()?),
        Value::Array(values) => check_array(Values::wire(values), inner()?),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::TableBuilder;
    use super::*;

    const EVERY_TYPE: &[u8] = b"\x01at\x01\x01bb\xff\x01cB\xff\x01ds\xff\xfe\x01eu\xff\xfe\x01fI\xff\xff\xff\xfe\x01gi\xff\xff\xff\xfe\
        \x01hl\xff\xff\xff\xff\xff\xff\xff\xfe\x01iL\xff\xff\xff\xff\xff\xff\xff\xfe\x01jf\x3f\xc0\x00\x00\x01kd\x3f\xf8\x00\x00\x00\x00\x00\x00\
        \x01lD\x02\x00\x00\x01\x3a\x01mS\x00\x00\x00\x02hi\x01nA\x00\x00\x00\x03t\x00V\x01oT\x00\x00\x00\x00\x00\x00\x00\x09\
        \x01pF\x00\x00\x00\x03\x01qV\x01rV\x01sx\x00\x00\x00\x01\x00";

    #[test]
    fn every_type_is_read() {
        let table = TableRef::parse(EVERY_TYPE).unwrap();
        let values: Vec<_> = table.iter().map(|(_, value)| value).collect();
        assert_eq!(values.len(), 18);
        assert_eq!(
            values[..5],
            [Value::Bool(true), Value::Byte(-1), Value::UnsignedByte(255), Value::Short(-2), Value::UnsignedShort(0xfffe)]
        );
        assert_eq!(values[5..9], [Value::SignedInt(-2), Value::UnsignedInt(0xffff_fffe), Value::Long(-2), Value::Long(-2)]);
        assert_eq!(values[9..13], [Value::Float(1.5), Value::Double(1.5), Value::Decimal(2, 314), Value::LongString(b"hi")]);
        assert_eq!(values[13].as_array().unwrap().collect::<Vec<_>>(), [Value::Bool(false), Value::Void]);
        assert_eq!(values[14], Value::Timestamp(9));
        assert_eq!(values[15].as_table().unwrap().find("q"), Some(Value::Void));
        assert_eq!(values[16..], [Value::Void, Value::Binary(&[0])]);
        assert_eq!((table.find("m"), table.find("zz"), table.len()), (Some(Value::LongString(b"hi")), None, 18));
    }

    #[test]
    fn what_is_cut_anywhere_is_no_table() {
        let ends: Vec<usize> = {
            let mut entries = TableRef::trusted(EVERY_TYPE).iter();
            std::iter::from_fn(|| entries.next().map(|_| EVERY_TYPE.len() - entries.0.len())).collect()
        };
        for end in 1..EVERY_TYPE.len() {
            let whole = ends.contains(&end);
            assert_eq!(TableRef::parse(&EVERY_TYPE[..end]).is_ok(), whole, "{end}");
        }
    }

    #[test]
    fn what_rabbitmq_cannot_read_is_refused() {
        assert_eq!(TableRef::parse(b"\x01aZ"), Err(TableError::UnknownType(b'Z')));
        assert_eq!(TableRef::parse(b"\x01ad\x7f\xf8\x00\x00\x00\x00\x00\x00"), Err(TableError::NotFinite));
        assert_eq!(TableRef::parse(b"\x01af\xff\x80\x00\x00"), Err(TableError::NotFinite));
        assert_eq!(TableRef::parse(b"\x01aA\x00\x00\x00\x02S\x00"), Err(TableError::Truncated));
        assert_eq!(TableError::UnknownType(b'Z').to_string(), "there is no field type 'Z'");
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        let nested = |levels: usize| {
            (1..levels).fold(Vec::new(), |inner: Vec<u8>, _| [&b"\x00F"[..], &(inner.len() as u32).to_be_bytes(), &inner].concat())
        };
        assert!(TableRef::parse(&nested(TABLE_DEPTH_MAX)).is_ok());
        assert_eq!(TableRef::parse(&nested(TABLE_DEPTH_MAX + 1)), Err(TableError::TooDeep));
    }

    #[test]
    fn the_canonical_form_sorts_stably_and_spells_alike() {
        let table = TableRef::parse(b"\x01zI\x00\x00\x00\x01\x01aL\x00\x00\x00\x00\x00\x00\x00\x02\x01at\x05").unwrap();
        assert_eq!(table.canonical().wire(), b"\x01al\x00\x00\x00\x00\x00\x00\x00\x02\x01at\x01\x01zI\x00\x00\x00\x01");
        assert_eq!(table.canonical().view().canonical(), table.canonical());
        let every = TableRef::parse(EVERY_TYPE).unwrap();
        assert_eq!(TableRef::parse(every.canonical().wire()).unwrap().len(), every.len());
    }

    #[test]
    fn an_entry_can_be_left_out() {
        let table = TableBuilder::new().int("a", 1).text("BCC", "x").bool("b", true).build();
        assert_eq!(table.view().without(|key| key == b"BCC"), TableBuilder::new().int("a", 1).bool("b", true).build());
        assert_eq!(TableRef::EMPTY.without(|_| false), Table::empty());
    }
}
