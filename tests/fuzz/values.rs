//! Tables and property lists, compared with decoders that copy everything and take no shortcut.

use ringmq::broker::exchange::{delay, without_delay};
use ringmq::message::{Properties, PropertiesBuilder, Table, TableBuilder, TableRef, Value, replace_headers};

use crate::dice::Dice;
use crate::fuzz;

/// A value as the naive decoder reads it.
#[derive(Clone, PartialEq, Debug)]
enum Model {
    Scalar(u8, Vec<u8>),
    Bytes(u8, Vec<u8>),
    Array(Vec<Model>),
    Table(Vec<(Vec<u8>, Model)>),
}

#[test]
fn tables() {
    fuzz(|dice| {
        let table = random_table(dice, 4);
        assert_eq!(TableRef::parse(table.wire()), Ok(table.view()));
        let mut wire = table.wire().to_vec();
        dice.mutate(&mut wire);
        for wire in [table.wire(), &wire] {
            let expected = model_table(wire);
            let parsed = TableRef::parse(wire).ok();
            assert_eq!(parsed.map(of_table), expected, "{wire:?}");
            parsed.inspect(|table| check_derived(*table));
        }
    });
}

/// Checks that values derived from a table are tables again, and that lookups agree with iteration.
fn check_derived(table: TableRef<'_>) {
    let canonical = table.canonical();
    assert_eq!(TableRef::parse(canonical.wire()), Ok(canonical.view()));
    assert_eq!((canonical.view().len(), canonical.view().canonical()), (table.len(), canonical.clone()));
    assert!(Value::Table(table).equivalent(Value::Table(table)));
    let short = |key: &[u8]| key.len() < 2;
    let (dropped, kept): (Vec<_>, Vec<_>) = table.iter().partition(|(key, _)| short(key));
    assert_eq!(table.without(short).iter().collect::<Vec<_>>(), kept);
    for (key, value) in dropped {
        let first = table.iter().find(|(other, _)| *other == key).map(|(_, value)| value);
        assert_eq!(table.find(key), first);
        assert!(value.equivalent(value), "{value}");
    }
}

#[test]
fn properties() {
    fuzz(|dice| {
        let list = random_properties(dice);
        assert!(Properties::parse(&list).is_ok(), "{list:?}");
        let mut mutated = list.clone();
        dice.mutate(&mut mutated);
        let headers = random_table(dice, 1);
        for list in [&list, &mutated] {
            let parsed = Properties::parse(list).ok();
            assert_eq!(parsed.map(of_properties), model_properties(list), "{list:?}");
            parsed.inspect(|parsed| check_rewrite(list, *parsed, &headers));
            of_properties(Properties::trusted(list));
        }
    });
}

fn check_rewrite(list: &[u8], before: Properties<'_>, headers: &Table) {
    let rewritten = replace_headers(list, headers.view(), 0);
    let after = Properties::parse(&rewritten).expect("a rewritten list is one");
    assert_eq!(after.headers(), Some(headers.view()));
    let mut expected = of_properties(before);
    expected[2] = Some(headers.wire().to_vec());
    assert_eq!(of_properties(after), expected);
}

/// A message that has waited has no delay any more; its other properties are unchanged.
#[test]
fn delays() {
    fuzz(|dice| {
        let (number, others) = (dice.next() as i64 >> dice.below(64), random_table(dice, 1));
        let text = number.to_string();
        let waits =
            [Value::Long(number), Value::SignedInt(number as i32), Value::Double(number as f64), Value::LongString(text.as_bytes())];
        let builder = others.view().iter().fold(TableBuilder::new(), |table, (key, value)| table.value(key, value));
        let builder = builder.value("x-delay", waits[dice.below(waits.len())]);
        let headers = random_entry(dice, 1, builder).build();
        let before = replace_headers(&random_properties(dice), headers.view(), 0);
        let after = without_delay(&before);
        let after = Properties::parse(&after).expect("it is a list");
        let is_delay = |key: &[u8]| key == b"x-delay";
        let left = after.headers().expect("it has headers");
        assert_eq!(delay(left), None, "{headers:?}");
        assert_eq!(left.without(is_delay), headers.view().without(is_delay));
        let mut expected = of_properties(Properties::trusted(&before));
        expected[2] = Some(left.wire().to_vec());
        assert_eq!(of_properties(after), expected);
    });
}

/// Makes a table with up to a handful of entries of any type.
pub fn random_table(dice: &mut Dice, depth: usize) -> Table {
    (0..dice.below(5)).fold(TableBuilder::new(), |builder, _| random_entry(dice, depth, builder)).build()
}

fn random_entry(dice: &mut Dice, depth: usize, builder: TableBuilder) -> TableBuilder {
    let key = dice.word(4);
    let bytes = dice.bytes(20);
    match dice.below(if depth == 0 { 6 } else { 9 }) {
        0 => builder.long(&key, dice.next() as i64),
        1 => builder.bool(&key, dice.one_in(2)),
        2 => builder.value(&key, Value::Double(dice.next() as f64 / 3.0)),
        3 => builder.value(&key, Value::Decimal(dice.next() as u8, dice.next() as u32)),
        4 => builder.value(&key, Value::LongString(&bytes)),
        5 => builder.value(&key, Value::Short(dice.next() as i16)).value(&key, Value::Void).timestamp(&key, dice.next()),
        6 => builder.table(&key, &random_table(dice, depth - 1)),
        7 => builder.array(&key, |array| (0..dice.below(4)).fold(array, |array, _| array.table(&random_table(dice, depth - 1)))),
        _ => builder.array(&key, |array| array.text(&dice.word(3)).value(Value::Binary(&bytes)).value(Value::Float(1.5))),
    }
}

/// Makes a list with any of the properties.
pub fn random_properties(dice: &mut Dice) -> Vec<u8> {
    let words: Vec<String> = (0..10).map(|_| dice.word(9)).collect();
    let mut text = |index: usize| dice.one_in(2).then(|| words[index].as_str());
    let mut list = PropertiesBuilder {
        content_type: text(0),
        content_encoding: text(1),
        correlation_id: text(2),
        reply_to: text(3),
        expiration: text(4),
        message_id: text(5),
        kind: text(6),
        user_id: text(7),
        app_id: text(8),
        cluster_id: text(9),
        ..Default::default()
    };
    list.delivery_mode = dice.maybe(|dice| dice.next() as u8);
    list.priority = dice.maybe(|dice| dice.next() as u8);
    list.timestamp = dice.maybe(Dice::next);
    let headers = random_table(dice, 1);
    list.headers = dice.one_in(2).then(|| headers.view());
    list.build()
}

fn of_table(table: TableRef<'_>) -> Vec<(Vec<u8>, Model)> {
    table.iter().map(|(key, value)| (key.to_vec(), of_value(value))).collect()
}

fn of_value(value: Value<'_>) -> Model {
    match value {
        Value::Bool(truth) => Model::Scalar(b't', vec![truth.into()]),
        Value::Byte(n) => Model::Scalar(b'b', n.to_be_bytes().into()),
        Value::UnsignedByte(n) => Model::Scalar(b'B', vec![n]),
        Value::Short(n) => Model::Scalar(b's', n.to_be_bytes().into()),
        Value::UnsignedShort(n) => Model::Scalar(b'u', n.to_be_bytes().into()),
        Value::SignedInt(n) => Model::Scalar(b'I', n.to_be_bytes().into()),
        Value::UnsignedInt(n) => Model::Scalar(b'i', n.to_be_bytes().into()),
        Value::Long(n) => Model::Scalar(b'l', n.to_be_bytes().into()),
        Value::Float(n) => Model::Scalar(b'f', n.to_be_bytes().into()),
        Value::Double(n) => Model::Scalar(b'd', n.to_be_bytes().into()),
        Value::Decimal(scale, digits) => Model::Scalar(b'D', [&[scale][..], &digits.to_be_bytes()].concat()),
        Value::LongString(bytes) => Model::Bytes(b'S', bytes.into()),
        Value::Array(values) => Model::Array(values.map(of_value).collect()),
        Value::Timestamp(seconds) => Model::Scalar(b'T', seconds.to_be_bytes().into()),
        Value::Table(table) => Model::Table(of_table(table)),
        Value::Void => Model::Scalar(b'V', vec![]),
        Value::Binary(bytes) => Model::Bytes(b'x', bytes.into()),
    }
}

/// The naive decoder. It has no limit of depth, because mutations do not reach that limit.
fn model_table(mut wire: &[u8]) -> Option<Vec<(Vec<u8>, Model)>> {
    let mut entries = Vec::new();
    while !wire.is_empty() {
        let len = usize::from(model_take(&mut wire, 1)?[0]);
        let key = model_take(&mut wire, len)?;
        entries.push((key, model_value(&mut wire)?));
    }
    Some(entries)
}

fn model_value(wire: &mut &[u8]) -> Option<Model> {
    let kind = model_take(wire, 1)?[0];
    let len = match kind {
        b't' | b'b' | b'B' => 1,
        b's' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'L' | b'd' | b'T' => 8,
        b'V' => 0,
        b'S' | b'A' | b'F' | b'x' => model_long(wire)?,
        _ => return None,
    };
    let bytes = model_take(wire, len)?;
    let finite = match kind {
        b'f' => bytes[0] & 0x7f != 0x7f || bytes[1] & 0x80 == 0,
        b'd' => bytes[0] & 0x7f != 0x7f || bytes[1] & 0xf0 != 0xf0,
        _ => true,
    };
    match kind {
        _ if !finite => None,
        b'S' | b'x' => Some(Model::Bytes(kind, bytes)),
        b'F' => model_table(&bytes).map(Model::Table),
        b'A' => {
            let mut rest = &bytes[..];
            let mut values = Vec::new();
            while !rest.is_empty() {
                values.push(model_value(&mut rest)?);
            }
            Some(Model::Array(values))
        }
        b't' => Some(Model::Scalar(kind, vec![u8::from(bytes[0] != 0)])),
        b'L' => Some(Model::Scalar(b'l', bytes)),
        _ => Some(Model::Scalar(kind, bytes)),
    }
}

fn model_take(wire: &mut &[u8], len: usize) -> Option<Vec<u8>> {
    if wire.len() < len {
        return None;
    }
    let taken = wire[..len].to_vec();
    *wire = &wire[len..];
    Some(taken)
}

fn model_long(wire: &mut &[u8]) -> Option<usize> {
    let octets = model_take(wire, 4)?;
    Some(octets.iter().fold(0, |sum, &octet| sum << 8 | usize::from(octet)))
}

/// Returns the fourteen values as bytes, in the order of their flags.
fn of_properties(list: Properties<'_>) -> Vec<Option<Vec<u8>>> {
    let texts = |value: Option<&[u8]>| value.map(<[u8]>::to_vec);
    vec![
        texts(list.content_type()),
        texts(list.content_encoding()),
        list.headers().map(|headers| headers.wire().to_vec()),
        list.delivery_mode().map(|mode| vec![mode]),
        list.priority().map(|priority| vec![priority]),
        texts(list.correlation_id()),
        texts(list.reply_to()),
        texts(list.expiration()),
        texts(list.message_id()),
        list.timestamp().map(|seconds| seconds.to_be_bytes().to_vec()),
        texts(list.kind()),
        texts(list.user_id()),
        texts(list.app_id()),
        texts(list.cluster_id()),
    ]
}

fn model_properties(mut wire: &[u8]) -> Option<Vec<Option<Vec<u8>>>> {
    let octets = model_take(&mut wire, 2)?;
    let flags = u16::from_be_bytes([octets[0], octets[1]]);
    let mut values = Vec::new();
    for index in 0..14 {
        if flags & (0x8000 >> index) == 0 {
            values.push(None);
            continue;
        }
        let len = match index {
            2 => model_long(&mut wire)?,
            3 | 4 => 1,
            9 => 8,
            _ => usize::from(model_take(&mut wire, 1)?[0]),
        };
        let value = model_take(&mut wire, len)?;
        if index == 2 {
            model_table(&value)?;
        }
        values.push(Some(value));
    }
    (flags & 3 == 0 && wire.is_empty()).then_some(values)
}
