//! A builder of field tables: server-properties, headers that the broker adds, tests.

use super::table::{Table, put_entry};
use super::value::{Value, long};
use super::wire;

/// A table under construction. Keys have at most 255 bytes; a longer one is a bug of the caller and
/// panics.
#[derive(Debug, Default)]
pub struct TableBuilder(Vec<u8>);

impl TableBuilder {
    /// Starts with no entry.
    pub fn new() -> TableBuilder {
        TableBuilder::default()
    }

    /// Starts with the entries of a table.
    pub fn extending(table: &Table) -> TableBuilder {
        TableBuilder(table.wire().to_vec())
    }

    /// Adds any value.
    #[must_use]
    pub fn value(mut self, key: impl AsRef<[u8]>, value: Value<'_>) -> Self {
        put_entry(&mut self.0, key.as_ref(), value);
        self
    }

    /// Adds a long string.
    #[must_use]
    pub fn text(self, key: &str, text: &str) -> Self {
        self.value(key, Value::LongString(text.as_bytes()))
    }

    /// Adds a bool.
    #[must_use]
    pub fn bool(self, key: &str, truth: bool) -> Self {
        self.value(key, Value::Bool(truth))
    }

    /// Adds a signed 32-bit integer.
    #[must_use]
    pub fn int(self, key: &str, number: i32) -> Self {
        self.value(key, Value::SignedInt(number))
    }

    /// Adds a signed 64-bit integer.
    #[must_use]
    pub fn long(self, key: &str, number: i64) -> Self {
        self.value(key, Value::Long(number))
    }

    /// Adds a timestamp, seconds since 1970.
    #[must_use]
    pub fn timestamp(self, key: &str, seconds: u64) -> Self {
        self.value(key, Value::Timestamp(seconds))
    }

    /// Adds a nested table.
    #[must_use]
    pub fn table(self, key: &str, table: &Table) -> Self {
        self.value(key, Value::Table(table.view()))
    }

    /// Adds an array.
    #[must_use]
    pub fn array(mut self, key: &str, fill: impl FnOnce(ArrayBuilder) -> ArrayBuilder) -> Self {
        wire::put_shortstr(&mut self.0, key.as_bytes());
        let elements = fill(ArrayBuilder::default()).0;
        long(b'A', &mut self.0, |out| out.extend_from_slice(&elements));
        self
    }

    /// Returns the finished table.
    pub fn build(self) -> Table {
        Table::trusted(self.0)
    }
}

/// An array under construction.
#[derive(Debug, Default)]
pub struct ArrayBuilder(Vec<u8>);

impl ArrayBuilder {
    /// Adds any value.
    #[must_use]
    pub fn value(mut self, value: Value<'_>) -> Self {
        value.write(&mut self.0);
        self
    }

    /// Adds a long string.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.value(Value::LongString(text.as_bytes()))
    }

    /// Adds a bool.
    #[must_use]
    pub fn bool(self, truth: bool) -> Self {
        self.value(Value::Bool(truth))
    }

    /// Adds a nested table.
    #[must_use]
    pub fn table(self, table: &Table) -> Self {
        self.value(Value::Table(table.view()))
    }

    /// Adds a nested array.
    #[must_use]
    pub fn array(mut self, fill: impl FnOnce(ArrayBuilder) -> ArrayBuilder) -> Self {
        let elements = fill(ArrayBuilder::default()).0;
        long(b'A', &mut self.0, |out| out.extend_from_slice(&elements));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::TableRef;
    use super::*;

    #[test]
    fn a_built_table_has_the_expected_bytes() {
        let inner = TableBuilder::new().bool("x", true).build();
        let table = TableBuilder::new().text("s", "hi").long("l", -1).table("t", &inner).array("a", |a| a.text("k")).build();
        let expected = b"\x01sS\x00\x00\x00\x02hi\x01ll\xff\xff\xff\xff\xff\xff\xff\xff\
            \x01tF\x00\x00\x00\x04\x01xt\x01\x01aA\x00\x00\x00\x06S\x00\x00\x00\x01k";
        assert_eq!(table.wire(), expected);
        assert!(TableRef::parse(table.wire()).is_ok());
    }
}
