//! The JSON body of a request. Unknown keys are ignored, and the content type is, as in RabbitMQ.
//! Old tools send every value as a text, so booleans and numbers are taken in this form, too.

use serde_json::{Map, Value};

use super::Refusal;

/// A JSON object.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Body(pub Map<String, Value>);

impl Body {
    /// Reads a body; an empty one is `{}`.
    ///
    /// # Errors
    /// It is no JSON object.
    pub fn parse(bytes: &[u8]) -> Result<Body, Refusal> {
        if bytes.trim_ascii().is_empty() {
            return Ok(Body::default());
        }
        serde_json::from_slice(bytes).map(Body).map_err(|_| Refusal::bad_request("not_json"))
    }

    /// Demands that the body has these keys.
    ///
    /// # Errors
    /// It names the missing ones.
    pub fn need(&self, keys: &[&str]) -> Result<(), Refusal> {
        let missing: Vec<String> =
            keys.iter().filter(|key| !self.0.contains_key(**key)).map(|key| format!("{{key_missing,{key}}}")).collect();
        if missing.is_empty() { Ok(()) } else { Err(Refusal::bad_request(format!("[{}]", missing.join(",\n ")))) }
    }

    /// The value of a key; `null` counts as missing.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// A boolean, which may be given as a text; `default` if it is missing.
    ///
    /// # Errors
    /// It is something else.
    pub fn bool(&self, key: &str, default: bool) -> Result<bool, Refusal> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(truth)) => Ok(*truth),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(other) => Err(Refusal::bad_request(format!("not_boolean: {}", plain(other)))),
        }
    }

    /// A text, if there is one.
    ///
    /// # Errors
    /// It is something else.
    pub fn text(&self, key: &str) -> Result<Option<&str>, Refusal> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Refusal::bad_request(format!("not_string: {key}"))),
        }
    }

    /// A whole number, which may be given as a text, if there is one.
    ///
    /// # Errors
    /// It is something else.
    pub fn int(&self, key: &str) -> Result<Option<i64>, Refusal> {
        let refusal = || Refusal::bad_request(format!("not_int: {key}"));
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => text.trim().parse().map(Some).map_err(|_| refusal()),
            Some(other) => other.as_i64().map(Some).ok_or_else(refusal),
        }
    }

    /// An object; empty if it is missing or an empty list, which is how PHP writes an empty object.
    ///
    /// # Errors
    /// It is something else.
    pub fn object(&self, key: &str) -> Result<Map<String, Value>, Refusal> {
        match self.get(key) {
            None => Ok(Map::new()),
            Some(Value::Object(object)) => Ok(object.clone()),
            Some(Value::Array(list)) if list.is_empty() => Ok(Map::new()),
            Some(_) => Err(Refusal::bad_request(format!("'{key}' is not an object"))),
        }
    }

    /// Tags: a list, or a text with commas; none if they are missing.
    ///
    /// # Errors
    /// They are something else.
    pub fn tags(&self, key: &str) -> Result<Option<Box<[Box<str>]>>, Refusal> {
        let refusal = || Refusal::bad_request(format!("'{key}' is neither a list of texts nor a text with commas"));
        let tags: Vec<&str> = match self.get(key) {
            None => return Ok(None),
            Some(Value::String(text)) => text.split(',').collect(),
            Some(Value::Array(list)) => list.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(refusal)?,
            Some(_) => return Err(refusal()),
        };
        Ok(Some(tags.into_iter().map(str::trim).filter(|tag| !tag.is_empty()).map(Into::into).collect()))
    }
}

/// A value in a sentence: a text without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Body {
        Body::parse(text.as_bytes()).expect("an object")
    }

    fn reason<T: std::fmt::Debug>(refused: Result<T, Refusal>) -> String {
        let Err(Refusal::Told { reason, .. }) = refused else { panic!("{refused:?} is no refusal") };
        reason
    }

    #[test]
    fn a_body_is_an_object_or_empty() {
        assert_eq!([" \n", "", "{}"].map(body), [(); 3].map(|()| Body::default()));
        assert_eq!(["{bad", "[1]", "1"].map(|text| reason(Body::parse(text.as_bytes()))), ["not_json"; 3]);
    }

    #[test]
    fn missing_keys_are_named() {
        assert_eq!(reason(body("{}").need(&["routing_key", "payload"])), "[{key_missing,routing_key},\n {key_missing,payload}]");
        assert_eq!(body(r#"{"a": null}"#).need(&["a"]), Ok(()));
    }

    #[test]
    fn values_may_be_texts() {
        let body = body(r#"{"t": "true", "f": false, "y": "yes", "n": "7", "i": -1, "l": [], "o": {"a": 1}, "g": ["a"], "c": "a, b,,"}"#);
        assert_eq!((body.bool("t", false), body.bool("f", true), body.bool("none", true)), (Ok(true), Ok(false), Ok(true)));
        assert_eq!(reason(body.bool("y", true)), "not_boolean: yes");
        assert_eq!((body.int("n"), body.int("i"), body.int("none")), (Ok(Some(7)), Ok(Some(-1)), Ok(None)));
        assert_eq!(reason(body.int("y")), "not_int: y");
        assert_eq!((body.object("l").map(|map| map.len()), body.object("o").map(|map| map.len())), (Ok(0), Ok(1)));
        assert_eq!(reason(body.object("y")), "'y' is not an object");
        assert_eq!(body.tags("c"), Ok(Some(["a", "b"].map(Box::from).into())));
        assert_eq!(body.tags("g"), Ok(Some(["a"].map(Box::from).into())));
        assert_eq!(reason(body.text("i")), "not_string: i");
    }
}
