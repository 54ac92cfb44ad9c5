//! The encoding of a method's arguments, by the Rust type of the field.
//!
//! | field | wire | checked |
//! |---|---|---|
//! | `u8` `u16` `u32` `u64` | octet, short, long, longlong | |
//! | `bool` | bits, successive ones in one octet from its lowest bit | undefined bits are ignored |
//! | `&str` | short string | UTF-8, as RabbitMQ checks in every method without content |
//! | [`Octets`] | short string | no: RabbitMQ does not check it in methods with content |
//! | `&[u8]` | long string | |
//! | [`TableRef`] | table | to the last nested value |

use std::ops::Deref;

use crate::message::wire::{self, Reader};
use crate::message::{TableError, TableRef};

/// A short string of any bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Octets<'a>(pub &'a [u8]);

impl Deref for Octets<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0
    }
}

/// The reason why an argument cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArgumentError {
    /// It is missing or incomplete.
    Truncated,
    /// A string is not UTF-8.
    Utf8,
    /// A table is invalid.
    Table(TableError),
}

/// Reads arguments one by one and unpacks bits.
pub struct ArgumentReader<'a> {
    reader: Reader<'a>,
    bits: u8,
    bits_left: u8,
}

impl<'a> ArgumentReader<'a> {
    /// Starts at a method's first argument.
    pub fn new(arguments: &'a [u8]) -> ArgumentReader<'a> {
        ArgumentReader { reader: Reader::new(arguments), bits: 0, bits_left: 0 }
    }

    /// Whether all has been read.
    pub fn is_empty(&self) -> bool {
        self.reader.is_empty()
    }

    /// Reads an argument that is not a bit, which begins at the next octet.
    fn take<T>(&mut self, read: impl FnOnce(&mut Reader<'a>) -> Option<T>) -> Result<T, ArgumentError> {
        self.bits_left = 0;
        read(&mut self.reader).ok_or(ArgumentError::Truncated)
    }

    fn bit(&mut self) -> Result<bool, ArgumentError> {
        if self.bits_left == 0 {
            self.bits = self.reader.u8().ok_or(ArgumentError::Truncated)?;
            self.bits_left = 8;
        }
        let bit = self.bits & 1 == 1;
        self.bits >>= 1;
        self.bits_left -= 1;
        Ok(bit)
    }
}

/// Writes arguments one by one and packs bits.
pub struct ArgumentWriter<'o> {
    out: &'o mut Vec<u8>,
    bits_used: u8,
}

impl<'o> ArgumentWriter<'o> {
    /// Makes a writer that appends to `out`.
    pub fn new(out: &'o mut Vec<u8>) -> ArgumentWriter<'o> {
        ArgumentWriter { out, bits_used: 0 }
    }

    fn put(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.bits_used = 0;
        write(self.out);
    }

    fn put_bit(&mut self, bit: bool) {
        if self.bits_used.is_multiple_of(8) {
            self.out.push(0);
            self.bits_used = 0;
        }
        *self.out.last_mut().expect("an octet was pushed for the first bit") |= u8::from(bit) << self.bits_used;
        self.bits_used += 1;
    }
}

/// A field of a method.
pub trait Argument<'a>: Sized {
    /// Reads the field.
    fn read(from: &mut ArgumentReader<'a>) -> Result<Self, ArgumentError>;
    /// Writes the field.
    fn write(self, to: &mut ArgumentWriter<'_>);
}

macro_rules! argument {
    ($type:ty, $read:ident, $put:ident) => {
        impl<'a> Argument<'a> for $type {
            fn read(from: &mut ArgumentReader<'a>) -> Result<Self, ArgumentError> {
                from.take(Reader::$read)
            }

            fn write(self, to: &mut ArgumentWriter<'_>) {
                to.put(|out| wire::$put(out, self));
            }
        }
    };
}

argument!(u8, u8, put_u8);
argument!(u16, u16, put_u16);
argument!(u32, u32, put_u32);
argument!(u64, u64, put_u64);
argument!(&'a [u8], longstr, put_longstr);

impl<'a> Argument<'a> for bool {
    fn read(from: &mut ArgumentReader<'a>) -> Result<Self, ArgumentError> {
        from.bit()
    }

    fn write(self, to: &mut ArgumentWriter<'_>) {
        to.put_bit(self);
    }
}

impl<'a> Argument<'a> for Octets<'a> {
    fn read(from: &mut ArgumentReader<'a>) -> Result<Self, ArgumentError> {
        from.take(Reader::shortstr).map(Octets)
    }

    fn write(self, to: &mut ArgumentWriter<'_>) {
        to.put(|out| wire::put_shortstr(out, self.0));
    }
}

impl<'a> Argument<'a> for &'a str {
    fn read(from: &mut ArgumentReader<'a>) -> Result<Self, ArgumentError> {
        std::str::from_utf8(from.take(Reader::shortstr)?).map_err(|_| ArgumentError::Utf8)
    }

    fn write(self, to: &mut ArgumentWriter<'_>) {
        to.put(|out| wire::put_shortstr(out, self.as_bytes()));
    }
}

impl<'a> Argument<'a> for TableRef<'a> {
    fn read(from: &mut ArgumentReader<'a>) -> Result<Self, ArgumentError> {
        TableRef::parse(from.take(Reader::longstr)?).map_err(ArgumentError::Table)
    }

    fn write(self, to: &mut ArgumentWriter<'_>) {
        to.put(|out| wire::put_longstr(out, self.wire()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_bits_share_an_octet() {
        let mut out = Vec::new();
        let mut writer = ArgumentWriter::new(&mut out);
        [true, false, true].into_iter().for_each(|bit| bit.write(&mut writer));
        7u16.write(&mut writer);
        (0..9).for_each(|_| true.write(&mut writer));
        assert_eq!(out, [0b101, 0, 7, 0xff, 1]);
        let mut reader = ArgumentReader::new(&out);
        let bits: Vec<bool> = (0..3).map(|_| Argument::read(&mut reader).unwrap()).collect();
        assert_eq!(bits, [true, false, true]);
        assert_eq!(u16::read(&mut reader), Ok(7));
        assert!((0..9).all(|_| bool::read(&mut reader) == Ok(true)));
        assert_eq!(bool::read(&mut reader), Ok(false), "the last octet's undefined bits");
        assert_eq!(u8::read(&mut reader), Err(ArgumentError::Truncated));
    }

    #[test]
    fn a_string_that_is_no_utf8_is_refused_where_rabbitmq_looks() {
        assert_eq!(<&str>::read(&mut ArgumentReader::new(b"\x01\xff")), Err(ArgumentError::Utf8));
        assert_eq!(Octets::read(&mut ArgumentReader::new(b"\x01\xff")), Ok(Octets(b"\xff")));
        assert_eq!(<&[u8]>::read(&mut ArgumentReader::new(b"\0\0\0\x01\xff")), Ok(&b"\xff"[..]));
        assert_eq!(TableRef::read(&mut ArgumentReader::new(b"\0\0\0\x01\xff")), Err(ArgumentError::Table(TableError::Truncated)));
    }
}
