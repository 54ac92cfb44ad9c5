//! AMQP values with their types, and their encoding in field tables (RabbitMQ's dialect).

/// A field table: names and values in wire order, repeated names included.
pub type Table = Vec<(Vec<u8>, Value)>;

/// One value. Its type is part of it: `I:1` and `l:1` are different values.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// `t`, and a method's bits.
    Bool(bool),
    /// A number with its tag: `b B s u I i l L T`; [`Value::PLAIN`] for a method's own field.
    Number(char, i128),
    /// `S`, and a method's strings, short or long.
    Text(Vec<u8>),
    /// `x`.
    Bytes(Vec<u8>),
    /// `f`, as bits, so that a NaN is kept exactly.
    Float(u32),
    /// `d`, as bits.
    Double(u64),
    /// `D`: digits behind the point, and the number without it.
    Decimal(u8, u32),
    /// `A`.
    Array(Vec<Value>),
    /// `F`.
    Table(Table),
    /// `V`.
    Void,
}

impl Value {
    /// The tag of a number outside a table.
    pub const PLAIN: char = '#';

    /// Makes a method's number.
    pub fn number(n: impl Into<i128>) -> Value {
        Value::Number(Value::PLAIN, n.into())
    }

    /// Makes a method's string.
    pub fn text(text: impl AsRef<[u8]>) -> Value {
        Value::Text(text.as_ref().to_vec())
    }

    /// Returns the number, whatever its tag.
    pub fn as_number(&self) -> Option<i128> {
        match self {
            Value::Number(_, n) => Some(*n),
            _ => None,
        }
    }

    /// Returns the string.
    pub fn as_text(&self) -> Option<&[u8]> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A cursor over received bytes. It returns `None` where bytes are missing.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// Takes the next `n` bytes.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    /// Takes a big-endian unsigned number of `n` bytes.
    pub fn uint(&mut self, n: usize) -> Option<u64> {
        Some(self.take(n)?.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
    }

    /// Takes a string behind a length of `n` bytes.
    pub fn string(&mut self, n: usize) -> Option<&'a [u8]> {
        let len = self.uint(n)? as usize;
        self.take(len)
    }

    /// Takes a field table behind its length.
    pub fn table(&mut self) -> Option<Table> {
        let mut inner = Reader(self.string(4)?);
        let mut table = Vec::new();
        while !inner.0.is_empty() {
            table.push((inner.string(1)?.to_vec(), inner.value()?));
        }
        Some(table)
    }

    fn value(&mut self) -> Option<Value> {
        let tag = char::from(self.uint(1)? as u8);
        if let Some((width, signed)) = width(tag) {
            let n = self.uint(width)?;
            let shift = 64 - 8 * width as u32;
            let signed_n = i128::from((n << shift).cast_signed() >> shift);
            return Some(Value::Number(tag, if signed { signed_n } else { i128::from(n) }));
        }
        Some(match tag {
            't' => Value::Bool(self.uint(1)? != 0),
            'S' => Value::Text(self.string(4)?.to_vec()),
            'x' => Value::Bytes(self.string(4)?.to_vec()),
            'f' => Value::Float(self.uint(4)? as u32),
            'd' => Value::Double(self.uint(8)?),
            'D' => Value::Decimal(self.uint(1)? as u8, self.uint(4)? as u32),
            'F' => Value::Table(self.table()?),
            'V' => Value::Void,
            'A' => self.array()?,
            _ => return None,
        })
    }

    fn array(&mut self) -> Option<Value> {
        let mut inner = Reader(self.string(4)?);
        let mut items = Vec::new();
        while !inner.0.is_empty() {
            items.push(inner.value()?);
        }
        Some(Value::Array(items))
    }
}

/// Appends the low `n` bytes of `value`, big-endian.
pub fn put_uint(out: &mut Vec<u8>, n: usize, value: u64) {
    out.extend_from_slice(&value.to_be_bytes()[8 - n..]);
}

/// Appends a string behind a length of `n` bytes.
pub fn put_string(out: &mut Vec<u8>, n: usize, text: &[u8]) {
    put_uint(out, n, text.len() as u64);
    out.extend_from_slice(text);
}

/// Appends a field table with its length in front.
pub fn put_table(out: &mut Vec<u8>, table: &[(Vec<u8>, Value)]) {
    let mut inner = Vec::new();
    put_entries(&mut inner, table);
    put_string(out, 4, &inner);
}

/// Appends a field table's entries without a length (AMQPLAIN's response).
pub fn put_entries(out: &mut Vec<u8>, table: &[(Vec<u8>, Value)]) {
    for (name, value) in table {
        put_string(out, 1, name);
        put_value(out, value);
    }
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    let (tag, mut bytes) = (tag(value), Vec::new());
    match value {
        Value::Bool(bit) => bytes.push(u8::from(*bit)),
        Value::Number(tag, n) => put_uint(&mut bytes, width(*tag).expect("a tag of a number").0, *n as u64),
        Value::Text(text) | Value::Bytes(text) => put_string(&mut bytes, 4, text),
        Value::Float(bits) => put_uint(&mut bytes, 4, u64::from(*bits)),
        Value::Double(bits) => put_uint(&mut bytes, 8, *bits),
        Value::Decimal(scale, n) => {
            bytes.push(*scale);
            put_uint(&mut bytes, 4, u64::from(*n));
        }
        Value::Table(table) => put_table(&mut bytes, table),
        Value::Array(items) => {
            let mut inner = Vec::new();
            items.iter().for_each(|item| put_value(&mut inner, item));
            put_string(&mut bytes, 4, &inner);
        }
        Value::Void => {}
    }
    out.push(tag as u8);
    out.extend_from_slice(&bytes);
}

fn tag(value: &Value) -> char {
    match value {
        Value::Bool(_) => 't',
        Value::Number(tag, _) => *tag,
        Value::Text(_) => 'S',
        Value::Bytes(_) => 'x',
        Value::Float(_) => 'f',
        Value::Double(_) => 'd',
        Value::Decimal(..) => 'D',
        Value::Array(_) => 'A',
        Value::Table(_) => 'F',
        Value::Void => 'V',
    }
}

/// Returns the size and the signedness of a number's tag.
pub fn width(tag: char) -> Option<(usize, bool)> {
    Some(match tag {
        'b' => (1, true),
        'B' => (1, false),
        's' => (2, true),
        'u' => (2, false),
        'I' => (4, true),
        'i' => (4, false),
        'l' | 'L' => (8, true),
        'T' => (8, false),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_comes_back_as_it_was() {
        let numbers = [('b', -1), ('B', 255), ('s', -2), ('u', 65535), ('I', -3), ('i', 4_000_000_000), ('l', -4), ('L', -5), ('T', 6)];
        let mut table: Table = numbers.iter().map(|&(tag, n)| (vec![tag as u8], Value::Number(tag, n))).collect();
        table.push((b"many".to_vec(), Value::Array(vec![Value::Void, Value::text("x"), Value::Bytes(vec![0, 255])])));
        table.push((b"deep".to_vec(), Value::Table(vec![(b"d".to_vec(), Value::Double(1.5f64.to_bits()))])));
        table.push((b"t".to_vec(), Value::Bool(true)));
        table.push((b"D".to_vec(), Value::Decimal(2, 314)));
        table.push((b"f".to_vec(), Value::Float(0.5f32.to_bits())));
        let mut bytes = Vec::new();
        put_table(&mut bytes, &table);
        let mut reader = Reader(&bytes);
        assert_eq!((reader.table(), reader.0.len()), (Some(table), 0));
    }
}
