//! Properties and headers of messages: JSON ↔ AMQP's types, as RabbitMQ converts them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::{Value, json};

use super::object::Object;
use crate::management::http::Refusal;

/// Makes the properties of a message; unknown ones are ignored.
///
/// # Errors
/// A property has the wrong type.
pub fn to_properties(object: &Object) -> Result<BasicProperties, Refusal> {
    let mut properties = BasicProperties::default();
    for (name, value) in object {
        properties = match &**name {
            "content_type" => properties.with_content_type(text(name, value)?),
            "content_encoding" => properties.with_content_encoding(text(name, value)?),
            "delivery_mode" => properties.with_delivery_mode(number(name, value)?),
            "priority" => properties.with_priority(number(name, value)?),
            "correlation_id" => properties.with_correlation_id(text(name, value)?),
            "reply_to" => properties.with_reply_to(text(name, value)?),
            "expiration" => properties.with_expiration(text(name, value)?),
            "message_id" => properties.with_message_id(text(name, value)?),
            "timestamp" => properties.with_timestamp(number(name, value)?),
            "type" => properties.with_type(text(name, value)?),
            "user_id" => properties.with_user_id(text(name, value)?),
            "app_id" => properties.with_app_id(text(name, value)?),
            "cluster_id" => properties.with_cluster_id(text(name, value)?),
            "headers" => properties.with_headers(headers(value)?),
            _ => properties,
        };
    }
    Ok(properties)
}

fn text(name: &str, value: &Value) -> Result<ShortString, Refusal> {
    short(value.as_str().ok_or_else(|| Refusal::bad_request(format!("not_string: {name}")))?)
}

/// A short string of AMQP.
///
/// # Errors
/// It is too long.
pub fn short(text: &str) -> Result<ShortString, Refusal> {
    ShortString::try_new(text).map_err(|_| Refusal::bad_request(format!("'{text}' has more than 255 bytes")))
}

fn number<T: TryFrom<u64>>(name: &str, value: &Value) -> Result<T, Refusal> {
    value.as_u64().and_then(|number| T::try_from(number).ok()).ok_or_else(|| Refusal::bad_request(format!("not_int: {name}")))
}

fn headers(value: &Value) -> Result<FieldTable, Refusal> {
    match value {
        Value::Object(object) => to_table(object),
        Value::Array(list) if list.is_empty() => Ok(FieldTable::default()),
        _ => Err(Refusal::bad_request("'headers' is not an object")),
    }
}

fn to_table(object: &Object) -> Result<FieldTable, Refusal> {
    let mut table = FieldTable::default();
    for (key, value) in object {
        table.insert(short(key)?, to_value(value)?);
    }
    Ok(table)
}

fn to_value(value: &Value) -> Result<AMQPValue, Refusal> {
    Ok(match value {
        Value::Null => return Err(Refusal::bad_request("null_not_allowed")),
        Value::Bool(truth) => AMQPValue::Boolean(*truth),
        Value::String(text) => AMQPValue::LongString(text.as_str().into()),
        Value::Object(object) => AMQPValue::FieldTable(to_table(object)?),
        Value::Array(values) => AMQPValue::FieldArray(values.iter().map(to_value).collect::<Result<Vec<_>, _>>()?.into()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => AMQPValue::LongLongInt(whole),
            (None, Some(real)) if number.is_f64() => AMQPValue::Double(real),
            _ => return Err(Refusal::bad_request(format!("{number} has more than 64 bits"))),
        },
    })
}

/// Makes the JSON of properties; those that a message does not have are left out.
pub fn from_properties(properties: &BasicProperties) -> Object {
    let texts = [
        ("content_type", properties.content_type()),
        ("content_encoding", properties.content_encoding()),
        ("correlation_id", properties.correlation_id()),
        ("reply_to", properties.reply_to()),
        ("expiration", properties.expiration()),
        ("message_id", properties.message_id()),
        ("type", properties.kind()),
        ("user_id", properties.user_id()),
        ("app_id", properties.app_id()),
        ("cluster_id", properties.cluster_id()),
    ];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name, Value::from(text.as_ref()?.as_str()))));
    let numbers = [
        ("delivery_mode", properties.delivery_mode().map(u64::from)),
        ("priority", properties.priority().map(u64::from)),
        ("timestamp", *properties.timestamp()),
    ];
    let numbers = numbers.into_iter().filter_map(|(name, number)| Some((name, Value::from(number?))));
    let headers = properties.headers().as_ref().map(|headers| ("headers", from_table(headers)));
    texts.chain(numbers).chain(headers).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn from_table(table: &FieldTable) -> Value {
    table.inner().iter().map(|(key, value)| (key.as_str().to_owned(), from_value(value))).collect::<Object>().into()
}

fn from_value(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Boolean(truth) => json!(truth),
        AMQPValue::ShortShortInt(number) => json!(number),
        AMQPValue::ShortShortUInt(number) => json!(number),
        AMQPValue::ShortInt(number) => json!(number),
        AMQPValue::ShortUInt(number) => json!(number),
        AMQPValue::LongInt(number) => json!(number),
        AMQPValue::LongUInt(number) => json!(number),
        AMQPValue::LongLongInt(number) => json!(number),
        AMQPValue::Timestamp(seconds) => json!(seconds),
        AMQPValue::Float(real) => json!(real),
        AMQPValue::Double(real) => json!(real),
        AMQPValue::DecimalValue(decimal) => json!(f64::from(decimal.value) / 10_f64.powi(decimal.scale.into())),
        AMQPValue::ShortString(text) => json!(text.as_str()),
        AMQPValue::LongString(text) => printable(text.as_bytes()),
        AMQPValue::ByteArray(bytes) => printable(bytes.as_slice()),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(from_value).collect(),
        AMQPValue::FieldTable(table) => from_table(table),
        AMQPValue::Void => json!("undefined"),
    }
}

fn printable(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => format!("Not UTF-8, base64 is: {}", BASE64_STANDARD.encode(bytes)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::types::FieldArray;

    fn object(value: Value) -> Object {
        super::super::object::object(value)
    }

    #[test]
    fn properties_come_back() {
        let all = json!({
            "app_id": "a", "user_id": "guest", "type": "t", "timestamp": 1_700_000_000, "message_id": "m", "expiration": "60000",
            "reply_to": "r", "correlation_id": "c", "priority": 3, "delivery_mode": 2, "content_encoding": "utf-8",
            "content_type": "text/plain", "cluster_id": "x",
            "headers": {"b": true, "e": {}, "el": [], "f": 1.5, "i": 1, "l": [1, "a", {"k": "v"}], "o": {"k": 1}, "s": "x"},
        });
        let properties = to_properties(&object(all.clone())).expect("in order");
        assert_eq!(Value::Object(from_properties(&properties)), all);
        assert_eq!(from_properties(&BasicProperties::default()), Object::new());
        assert!(to_properties(&object(json!({"nonsense": 1, "headers": []}))).is_ok());
    }

    #[test]
    fn wrong_types_are_named() {
        let reason = |value| match to_properties(&object(value)) {
            Err(Refusal::Told { reason, .. }) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(json!({"delivery_mode": "2"})), "not_int: delivery_mode");
        assert_eq!(reason(json!({"priority": 256})), "not_int: priority");
        assert_eq!(reason(json!({"expiration": 1000})), "not_string: expiration");
        assert_eq!(reason(json!({"headers": {"a": [null]}})), "null_not_allowed");
        assert_eq!(reason(json!({"headers": {"big": 12_345_678_901_234_567_890_u64}})), "12345678901234567890 has more than 64 bits");
        assert_eq!(reason(json!({"headers": "x"})), "'headers' is not an object");
    }

    #[test]
    fn what_json_has_no_type_for_is_text() {
        let values = vec![
            AMQPValue::Void,
            AMQPValue::ByteArray(vec![0, 255].into()),
            AMQPValue::DecimalValue(lapin::types::DecimalValue { scale: 2, value: 275 }),
            AMQPValue::Timestamp(7),
        ];
        let expected = json!(["undefined", "Not UTF-8, base64 is: AP8=", 2.75, 7]);
        assert_eq!(from_value(&AMQPValue::FieldArray(FieldArray::from(values))), expected);
    }
}
