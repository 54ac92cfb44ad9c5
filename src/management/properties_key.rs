//! The `properties_key` of a binding: its routing key, and a hash of its arguments if it has any.
//!
//! Terraform keeps it in its state, so the hash must be RabbitMQ's: Erlang's `phash2` of the table as
//! a list of tuples `{Key, Type, Value}`, sorted by key. `phash2` is Bob Jenkins' hash of 1996,
//! applied to one part of the term after the other.

use crate::base::base64url;
use crate::management::http::form;
use crate::message::{TableRef, Value, Values};

/// Makes the key of a binding with this routing key and these arguments.
pub fn properties_key(key: &[u8], arguments: TableRef<'_>) -> String {
    let hash = || base64url::encode(&hash(arguments).to_be_bytes());
    match (key, arguments.is_empty()) {
        (b"", true) => "~".to_owned(),
        (_, true) => form::encode(key),
        (_, false) => format!("{}~{}", form::encode(key), hash()),
    }
}

fn hash(arguments: TableRef<'_>) -> u32 {
    let mut hash = Hash(0);
    hash.table(arguments);
    hash.0
}

/// The hash of the part of a term that was seen so far.
struct Hash(u32);

impl Hash {
    fn table(&mut self, table: TableRef<'_>) {
        for (key, value) in table.canonical().iter() {
            self.tuple(3);
            self.bytes(key);
            self.typed(value);
        }
        self.end_of_list();
    }

    fn array(&mut self, values: Values<'_>) {
        for value in values {
            self.tuple(2);
            self.typed(value);
        }
        self.end_of_list();
    }

    fn typed(&mut self, value: Value<'_>) {
        self.atom(value.type_name());
        match value {
            Value::Bool(truth) => self.atom(if truth { "true" } else { "false" }),
            Value::Float(real) => self.real(real.into()),
            Value::Double(real) => self.real(real),
            Value::Decimal(scale, digits) => {
                self.tuple(2);
                self.int(scale.into());
                self.int(digits.into());
            }
            Value::LongString(bytes) | Value::Binary(bytes) => self.bytes(bytes),
            Value::Array(values) => self.array(values),
            Value::Table(table) => self.table(table),
            Value::Timestamp(seconds) => self.int(seconds.into()),
            Value::Void => self.atom("undefined"),
            integer => self.int(integer.as_int().unwrap_or_default().into()),
        }
    }

    fn one(&mut self, x: u32, n: u32) {
        self.two(x, 0, n);
    }

    fn two(&mut self, x: u32, y: u32, n: u32) {
        let constant = GOLDEN.wrapping_mul(n);
        self.0 = mix(constant.wrapping_add(x), constant.wrapping_add(y), self.0).2;
    }

    fn tuple(&mut self, arity: u32) {
        self.one(arity, 9);
    }

    fn end_of_list(&mut self) {
        if self.0 == 0 { self.0 = NIL } else { self.one(2, 2) }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let start = GOLDEN.wrapping_mul(13).wrapping_add(self.0);
        if bytes.is_empty() {
            self.0 = start;
            return;
        }
        let (mut a, mut b, mut c) = (GOLDEN, GOLDEN, start);
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0_u32, |word, &byte| word << 8 | u32::from(byte));
        let mut blocks = bytes.chunks_exact(12);
        for block in &mut blocks {
            (a, b, c) = mix(a.wrapping_add(word(&block[..4])), b.wrapping_add(word(&block[4..8])), c.wrapping_add(word(&block[8..])));
        }
        let rest = blocks.remainder();
        let part = |from: usize, to: usize| word(&rest[from.min(rest.len())..to.min(rest.len())]);
        let c = c.wrapping_add(bytes.len() as u32).wrapping_add(part(8, 12) << 8);
        self.0 = mix(a.wrapping_add(part(0, 4)), b.wrapping_add(part(4, 8)), c).2;
    }

    fn atom(&mut self, name: &str) {
        let value = name.bytes().fold(0_u32, |value, byte| {
            let value = (value << 4).wrapping_add(byte.into());
            let high = value & 0xf000_0000;
            if high == 0 { value } else { (value ^ high >> 24) ^ high }
        });
        if self.0 == 0 { self.0 = value } else { self.one(value, 3) }
    }

    fn int(&mut self, number: i128) {
        if (-(1 << 27)..1 << 27).contains(&number) {
            if number < 0 {
                self.one(number.unsigned_abs() as u32, 1);
            }
            return self.one(number as u32, 1);
        }
        let (magnitude, n) = (number.unsigned_abs(), if number < 0 { 10 } else { 11 });
        self.two(magnitude as u32, (magnitude >> 32) as u32, n); // no number here has more than 64 bits
    }

    fn real(&mut self, real: f64) {
        let bits = if real == 0.0 { 0 } else { real.to_bits() };
        self.two((bits >> 32) as u32, bits as u32, 12);
    }
}

fn mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    for (first, second, third) in [(13, 8, 13), (12, 16, 5), (3, 10, 15)] {
        a = a.wrapping_sub(b).wrapping_sub(c) ^ c >> first;
        b = b.wrapping_sub(c).wrapping_sub(a) ^ a << second;
        c = c.wrapping_sub(a).wrapping_sub(b) ^ b >> third;
    }
    (a, b, c)
}

/// The golden ratio, from which the constants of all kinds of terms come.
const GOLDEN: u32 = 0x9e37_79b9;
/// The hash of the empty list.
const NIL: u32 = 3_468_870_702;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::arguments::to_table;
    use crate::message::{Table, TableBuilder};
    use serde_json::{Value as Json, from_str};

    /// Bindings that RabbitMQ made of JSON, and where it put them.
    const MADE: &str = include_str!("data/binding-hash-vectors.json");
    /// Bindings that a client made with other types.
    const BOUND: &str = include_str!("data/binding-hash-vectors-amqp.json");

    fn vectors(text: &str) -> Vec<Json> {
        let vectors: Vec<Json> = from_str(text).expect("JSON");
        assert!(vectors.len() > 10);
        vectors
    }

    #[test]
    fn hashes_of_json_are_rabbitmq_s() {
        for vector in vectors(MADE) {
            let arguments = to_table(vector["arguments"].as_object().expect("an object")).expect("a table");
            let location = vector["location"].as_str().expect("a text");
            let key = location.rsplit_once('/').expect("a path").1;
            assert_eq!(properties_key(b"", arguments.view()), key, "{vector}");
        }
    }

    #[test]
    fn hashes_of_all_types_are_rabbitmq_s() {
        for vector in vectors(BOUND) {
            let [name, kind, value] = &vector["argument"].as_array().expect("a list")[..] else { panic!("{vector}") };
            let arguments = typed(name.as_str().expect("a text"), kind.as_str().expect("a text"), value);
            assert_eq!(properties_key(b"rk", arguments.view()), vector["properties_key"].as_str().expect("a text"), "{vector}");
        }
    }

    fn typed(name: &str, kind: &str, value: &Json) -> Table {
        let int = || value.as_i64().expect("a number");
        let text = || value.as_str().expect("a text").as_bytes();
        let table = TableBuilder::new();
        match kind {
            "I" => table.int(name, int() as i32),
            "l" => table.long(name, int()),
            "S" => table.value(name, Value::LongString(text())),
            "x" => table.value(name, Value::Binary(text())),
            "t" => table.bool(name, value.as_bool().expect("a truth")),
            "V" => table.value(name, Value::Void),
            "D" => table.value(name, Value::Decimal(value["scale"].as_i64().unwrap() as u8, value["value"].as_i64().unwrap() as u32)),
            "T" => table.timestamp(name, int() as u64),
            "A" => table.array(name, |array| {
                value.as_array().expect("a list").iter().fold(array, |array, element| match element[0].as_str() {
                    Some("I") => array.value(Value::SignedInt(element[1].as_i64().unwrap() as i32)),
                    _ => array.text(element[1].as_str().unwrap()),
                })
            }),
            "F" => table.table(
                name,
                &value
                    .as_array()
                    .expect("a list")
                    .iter()
                    .fold(TableBuilder::new(), |table, entry| table.int(entry[0].as_str().unwrap(), entry[2].as_i64().unwrap() as i32))
                    .build(),
            ),
            other => panic!("{other}"),
        }
        .build()
    }

    #[test]
    fn keys_stand_for_themselves() {
        assert_eq!(properties_key(b"", TableRef::EMPTY), "~");
        assert_eq!(properties_key(b"a/b c%d", TableRef::EMPTY), "a%2Fb+c%25d");
        let arguments = TableBuilder::new().long("x", 1).build();
        assert_eq!(properties_key(b"a/b c%d", arguments.view()), "a%2Fb+c%25d~9nmLZQ");
    }
}
