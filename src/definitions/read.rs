//! Reads the text of a definitions file.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::Definitions;
use super::model::Vhost;

impl Definitions {
    /// Reads RabbitMQ's JSON: that of a whole broker, or of a single virtual host. An empty text
    /// has no objects.
    ///
    /// # Errors
    /// One sentence: the text is not JSON, or a part that an object must have is missing.
    pub fn read(text: &str) -> Result<Definitions, String> {
        if text.trim().is_empty() {
            return Ok(Definitions::default());
        }
        let top: Map<String, Value> = serde_json::from_str(text).map_err(|error| format!("this is not a JSON object: {error}"))?;
        let text = |key: &str| top.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let single = single_vhost(&top);
        let vhost = single.as_deref();
        let mut vhosts: Vec<Vhost> = list(&top, "vhosts", "vhost", None)?;
        if let Some(name) = vhost {
            vhosts.push(object("vhost", name.to_owned(), vhost_of_its_file(&top, name))?);
        }
        Ok(Definitions {
            rabbitmq_version: Some(text("rabbitmq_version"))
                .filter(|version| !version.is_empty())
                .unwrap_or_else(|| text("rabbit_version")),
            rabbit_version: text("rabbit_version"),
            product_name: text("product_name"),
            product_version: text("product_version"),
            rabbitmq_definition_format: text("rabbitmq_definition_format"),
            explanation: text("explanation"),
            users: list(&top, "users", "user", None)?,
            vhosts,
            permissions: list(&top, "permissions", "permission", vhost)?,
            topic_permissions: list(&top, "topic_permissions", "topic permission", vhost)?,
            parameters: list(&top, "parameters", "parameter", vhost)?,
            global_parameters: list(&top, "global_parameters", "global parameter", None)?,
            policies: list(&top, "policies", "policy", vhost)?,
            queues: list(&top, "queues", "queue", vhost)?,
            exchanges: list(&top, "exchanges", "exchange", vhost)?,
            bindings: list(&top, "bindings", "binding", vhost)?,
        })
    }

    /// Writes the JSON in a readable form.
    pub fn write(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("keys are texts and numbers finite");
        text.push('\n');
        text
    }
}

/// The virtual host of a file that has only one: its objects do not name the virtual host.
fn single_vhost(top: &Map<String, Value>) -> Option<String> {
    let is_single = top.get("rabbitmq_definition_format").and_then(Value::as_str) == Some("single_virtual_host");
    let name = top.get("original_vhost_name").and_then(Value::as_str);
    name.map(str::to_owned).or_else(|| is_single.then(|| "/".to_owned()))
}

/// Returns the virtual host itself, from such a file.
fn vhost_of_its_file(top: &Map<String, Value>, name: &str) -> Value {
    let part = |key: &str| top.get(key).cloned().unwrap_or_else(|| json!({}));
    json!({ "name": name, "metadata": part("metadata"), "limits": part("limits") })
}

/// Reads the objects of one kind; `vhost` is that of objects that name none.
fn list<T: DeserializeOwned>(top: &Map<String, Value>, key: &str, kind: &str, vhost: Option<&str>) -> Result<Vec<T>, String> {
    let values = match top.get(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(values)) => values,
        Some(_) => return Err(format!("'{key}' is not a list")),
    };
    let read = |(position, value): (usize, &Value)| {
        let mut value = value.clone();
        if let (Value::Object(fields), Some(vhost)) = (&mut value, vhost) {
            fields.entry("vhost").or_insert_with(|| vhost.into());
        }
        object(kind, name(position, &value), value)
    };
    (1..).zip(values).map(read).collect()
}

fn object<T: DeserializeOwned>(kind: &str, name: String, value: Value) -> Result<T, String> {
    if !value.is_object() {
        return Err(format!("{kind} {name} is not an object"));
    }
    serde_json::from_value(value).map_err(|error| format!("{kind} {name}: {error}"))
}

/// The name of an object in errors: its names, or else its position, from 1.
fn name(position: usize, value: &Value) -> String {
    let field = |key: &str| value.get(key).and_then(Value::as_str);
    let name = match (field("name").or(field("user")), field("source"), field("destination")) {
        (Some(name), ..) => format!("'{name}'"),
        (None, Some(source), Some(destination)) => format!("from '{source}' to '{destination}'"),
        _ => format!("number {position}"),
    };
    field("vhost").map_or(name.clone(), |vhost| format!("{name} in vhost '{vhost}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_rabbitmq_s_is_read_whole() {
        let read = Definitions::read(include_str!("../../tests/definitions/cluster.json")).expect("RabbitMQ wrote it");
        let counts = [read.users.len(), read.vhosts.len(), read.permissions.len(), read.topic_permissions.len(), read.parameters.len()];
        assert_eq!(counts, [6, 5, 9, 2, 2]);
        let counts = [read.global_parameters.len(), read.policies.len(), read.queues.len(), read.exchanges.len(), read.bindings.len()];
        assert_eq!(counts, [4, 3, 9, 9, 11]);
        let again = Definitions::read(&read.write()).expect("we wrote it");
        assert_eq!(again, read);
    }

    #[test]
    fn a_file_of_one_vhost_names_it_once() {
        let read = Definitions::read(include_str!("../../tests/definitions/vhost.json")).expect("RabbitMQ wrote it");
        assert_eq!(read.vhosts.iter().map(|vhost| (&*vhost.name, vhost.limits.len())).collect::<Vec<_>>(), [("shop", 2)]);
        assert_eq!(read.vhosts[0].metadata.description.as_deref(), Some("the shop"));
        assert!(read.queues.iter().all(|queue| queue.vhost == "shop") && read.queues.len() == 7);
        assert!(read.policies.iter().all(|policy| policy.vhost == "shop") && read.policies.len() == 3);
        let unnamed = Definitions::read(r#"{"rabbitmq_definition_format": "single_virtual_host", "queues": [{"name": "q"}]}"#);
        assert_eq!(unnamed.expect("as above").queues[0].vhost, "/");
    }

    #[test]
    fn what_may_be_missing_has_its_default() {
        let read = Definitions::read(
            r#"{"users": [{"name": "a", "password": "p", "tags": "x, y,"}, {"name": "b", "tags": ["x"], "limits": []}, {"name": "c", "tags": null}],
                "vhosts": [{"name": "v", "description": "d", "tags": ["t"]}], "policies": null,
                "queues": [{"name": "q", "vhost": "v", "arguments": []}],
                "bindings": [{"source": "s", "vhost": "v", "destination": "q", "destination_type": "queue"}]}"#,
        );
        let read = read.expect("lenient");
        assert_eq!(read.users.iter().map(|user| user.tags.join("|")).collect::<Vec<_>>(), ["x|y", "x", ""]);
        assert_eq!((read.vhosts[0].bare.description.as_deref(), &*read.vhosts[0].bare.tags[0]), (Some("d"), "t"));
        assert_eq!((read.queues[0].durable, read.queues[0].auto_delete, read.queues[0].arguments.len()), (true, false, 0));
        assert_eq!((read.bindings[0].destination_type, &*read.bindings[0].routing_key), (super::super::model::Destination::Queue, ""));
        assert_eq!(Definitions::read(" \n"), Ok(Definitions::default()));
    }

    #[test]
    fn what_is_wrong_names_the_object() {
        for (text, sentence) in [
            ("[]", "this is not a JSON object: invalid type: sequence, expected a map at line 1 column 0"),
            ("{\n\"users\": [}", "this is not a JSON object: expected value at line 2 column 11"),
            (r#"{"users": {}}"#, "'users' is not a list"),
            (r#"{"users": [5]}"#, "user number 1 is not an object"),
            (r#"{"users": [{"tags": []}]}"#, "user number 1: missing field `name`"),
            (r#"{"users": [{"name": "a", "tags": 5}]}"#, "user 'a': expected tags: a list of texts, or one text with commas"),
            (r#"{"queues": [{"name": "q"}]}"#, "queue 'q': missing field `vhost`"),
            (
                r#"{"queues": [{"name": "q", "vhost": "v", "durable": 1}]}"#,
                "queue 'q' in vhost 'v': invalid type: integer `1`, expected a boolean",
            ),
            (r#"{"queues": [{"name": "q", "vhost": "v", "arguments": [1]}]}"#, "queue 'q' in vhost 'v': expected an object"),
            (
                r#"{"bindings": [{"vhost": "v", "source": "s", "destination": "d", "destination_type": "x"}]}"#,
                "binding from 's' to 'd' in vhost 'v': unknown variant `x`, expected `queue` or `exchange`",
            ),
            (r#"{"permissions": [{"user": "u", "vhost": "v"}]}"#, "permission 'u' in vhost 'v': missing field `configure`"),
        ] {
            assert_eq!(Definitions::read(text), Err(sentence.to_owned()), "{text}");
        }
    }
}
