//! JSON objects.

use serde_json::{Map, Value};

/// A JSON object.
pub type Object = Map<String, Value>;

/// Takes an object out of a value that was written as one.
pub fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

/// Adds the members of an object to another one.
pub fn extend(object: &mut Object, more: Value) {
    if let Value::Object(more) = more {
        object.extend(more);
    }
}
