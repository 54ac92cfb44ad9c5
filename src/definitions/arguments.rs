//! X-arguments: JSON ↔ field tables, converted as in RabbitMQ.
//!
//! JSON has fewer types: integers become `l`, other numbers `d`. In the other direction, types get
//! lost, and bytes that are not UTF-8 are written as base64.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value as Json};

use crate::message::{ArrayBuilder, Table, TableBuilder, TableRef, Value};

/// Converts a JSON object to a field table.
///
/// # Errors
/// The part of the object that has no field table.
pub fn to_table(json: &Map<String, Json>) -> Result<Table, String> {
    let table = build_table(json)?;
    TableRef::parse(table.wire()).map_err(|_| "its arguments are nested too deeply".to_owned())?;
    Ok(table)
}

/// Converts a field table to a JSON object.
pub fn to_json(table: TableRef<'_>) -> Map<String, Json> {
    table.iter().map(|(key, value)| (text(key), value_to_json(value))).collect()
}

/// Converts bytes to text. If they are not UTF-8, the result is RabbitMQ's.
pub fn text(bytes: &[u8]) -> String {
    let encode = |_| format!("Invalid UTF-8, base64 is: {}", BASE64_STANDARD.encode(bytes));
    std::str::from_utf8(bytes).map_or_else(encode, str::to_owned)
}

fn build_table(json: &Map<String, Json>) -> Result<Table, String> {
    let mut table = TableBuilder::new();
    for (key, value) in json {
        if key.len() > usize::from(u8::MAX) {
            return Err(format!("its argument '{key}' has a name of more than 255 bytes"));
        }
        table = match value {
            Json::Array(values) => {
                let array = build_array(values)?;
                table.array(key, |_| array)
            }
            Json::Object(object) => table.table(key, &build_table(object)?),
            scalar => table.value(key, to_value(scalar).map_err(|why| format!("its argument '{key}' {why}"))?),
        };
    }
    Ok(table.build())
}

fn build_array(values: &[Json]) -> Result<ArrayBuilder, String> {
    values.iter().try_fold(ArrayBuilder::default(), |array, value| {
        Ok(match value {
            Json::Array(values) => {
                let inner = build_array(values)?;
                array.array(|_| inner)
            }
            Json::Object(object) => array.table(&build_table(object)?),
            scalar => array.value(to_value(scalar).map_err(|why| format!("an element of its arguments {why}"))?),
        })
    })
}

fn to_value(scalar: &Json) -> Result<Value<'_>, String> {
    match scalar {
        Json::Bool(truth) => Ok(Value::Bool(*truth)),
        Json::String(text) => Ok(Value::LongString(text.as_bytes())),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(Value::Long(whole)),
            (None, Some(real)) if number.is_f64() => Ok(Value::Double(real)),
            _ => Err(format!("is {number}, more than 64 bits hold")),
        },
        _ => Err("is null".to_owned()),
    }
}

fn value_to_json(value: Value<'_>) -> Json {
    match value {
        Value::Bool(truth) => truth.into(),
        Value::Float(real) => real.into(),
        Value::Double(real) => real.into(),
        Value::Decimal(scale, digits) => (f64::from(digits) / 10_f64.powi(scale.into())).into(),
        Value::LongString(bytes) | Value::Binary(bytes) => text(bytes).into(),
        Value::Array(values) => values.map(value_to_json).collect(),
        Value::Timestamp(seconds) => seconds.into(),
        Value::Table(table) => to_json(table).into(),
        Value::Void => "undefined".into(),
        number => number.as_int().unwrap_or_default().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn table(json: Json) -> Result<Table, String> {
        to_table(json.as_object().expect("an object"))
    }

    #[test]
    fn json_comes_back_from_a_table() {
        let json = json!({"a": [1, "two", true, 2.5, {"k": "v"}, [[]]], "b": {"c": {"d": []}}, "e": {}, "f": 1.5, "ü": "ö", "i": -5});
        let table = table(json.clone()).expect("all of it");
        assert_eq!(Json::from(to_json(table.view())), json);
        assert_eq!((table.find("i"), table.find("f")), (Some(Value::Long(-5)), Some(Value::Double(1.5))));
    }

    #[test]
    fn what_json_has_no_type_for_is_written_as_rabbitmq_does() {
        let table = TableBuilder::new().timestamp("t", 7).value("v", Value::Void).value("d", Value::Decimal(2, 275)).int("i", 3);
        let table = table.value("x", Value::Binary(b"\xff\xfe")).value("f", Value::Float(0.5)).build();
        let expected = json!({"t": 7, "v": "undefined", "d": 2.75, "i": 3, "x": "Invalid UTF-8, base64 is: //4=", "f": 0.5});
        assert_eq!(Json::from(to_json(table.view())), expected);
    }

    #[test]
    fn what_a_table_cannot_hold_is_refused() {
        let long = "k".repeat(256);
        let deep = (0..200).fold(json!({}), |inner, _| json!({ "k": inner }));
        for (json, why) in [
            (json!({"a": null}), "its argument 'a' is null"),
            (json!({"a": [null]}), "an element of its arguments is null"),
            (json!({"a": u64::MAX}), "its argument 'a' is 18446744073709551615, more than 64 bits hold"),
            (json!({ long.clone(): 1 }), &*format!("its argument '{long}' has a name of more than 255 bytes")),
            (deep, "its arguments are nested too deeply"),
        ] {
            assert_eq!(table(json), Err(why.to_owned()));
        }
    }
}
