//! Field tables in wire form.

/// A field table that was checked when it was taken over.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Table(Box<[u8]>);
/// Why bytes are no table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableError;
/// One value.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value<'a> {
    /// V
    Void,
    /// S
    LongString(&'a [u8]),
}
/// Iterates over an array's values.
pub struct Values<'a>(&'a [u8]);
