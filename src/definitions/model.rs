//! The form of RabbitMQ's definitions JSON.
//!
//! Whatever may be missing in a file has a default here; what this version does not know is overlooked. Values of parameters and definitions of
//! policies are JSON that only their component understands, so they stay what they are.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// All of a file. A file of a single virtual host has been turned into one of the whole broker when it was read.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Definitions {
    /// The version of RabbitMQ that the file is from, or is for.
    pub rabbitmq_version: String,
    /// The same; RabbitMQ writes both.
    pub rabbit_version: String,
    /// Who wrote it.
    pub product_name: String,
    /// And which version.
    pub product_version: String,
    /// `cluster`: the whole broker.
    pub rabbitmq_definition_format: String,
    /// What the file is, for people.
    pub explanation: String,
    /// Users.
    pub users: Vec<User>,
    /// Virtual hosts.
    pub vhosts: Vec<Vhost>,
    /// What users may do.
    pub permissions: Vec<Permission>,
    /// Which routing keys users may use.
    pub topic_permissions: Vec<TopicPermission>,
    /// Runtime parameters of a virtual host, among them operator policies.
    pub parameters: Vec<Parameter>,
    /// Those of the whole broker.
    pub global_parameters: Vec<GlobalParameter>,
    /// Policies.
    pub policies: Vec<Policy>,
    /// Queues.
    pub queues: Vec<Queue>,
    /// Exchanges.
    pub exchanges: Vec<Exchange>,
    /// Bindings.
    pub bindings: Vec<Binding>,
}

/// A user.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Salt and hash of its password, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
    /// The password itself, in files that people write.
    #[serde(default, skip_serializing)]
    pub password: Option<String>,
    /// How it is hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashing_algorithm: Option<String>,
    /// Tags.
    #[serde(default, deserialize_with = "tags")]
    pub tags: Vec<String>,
    /// `max-connections`, `max-channels`.
    #[serde(default, deserialize_with = "limits")]
    pub limits: Limits,
}

/// A virtual host.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Vhost {
    /// Its name.
    pub name: String,
    /// What is said of it.
    #[serde(default)]
    pub metadata: Metadata,
    /// Also here, in files of older versions.
    #[serde(flatten, skip_serializing)]
    pub bare: Metadata,
    /// Whether messages are traced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<bool>,
    /// `max-connections`, `max-queues`.
    #[serde(default, deserialize_with = "limits")]
    pub limits: Limits,
}

/// What is said of a virtual host.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Metadata {
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Tags.
    #[serde(default, deserialize_with = "tags")]
    pub tags: Vec<String>,
    /// The type of queues that are declared without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_queue_type: Option<String>,
    /// Whether it refuses to be deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_from_deletion: Option<bool>,
}

/// Limits by their names; negative: none.
pub type Limits = std::collections::BTreeMap<String, i64>;

/// What a user may do in a virtual host.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Permission {
    pub user: String,
    pub vhost: String,
    pub configure: String,
    pub write: String,
    pub read: String,
}

/// Which routing keys a user may use with a topic exchange.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct TopicPermission {
    pub user: String,
    pub vhost: String,
    pub exchange: String,
    pub write: String,
    pub read: String,
}

/// A runtime parameter of a virtual host.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Parameter {
    pub vhost: String,
    pub component: String,
    pub name: String,
    pub value: Value,
}

/// A runtime parameter of the whole broker.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct GlobalParameter {
    pub name: String,
    pub value: Value,
}

/// A policy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Policy {
    /// Its virtual host.
    pub vhost: String,
    /// Its name.
    pub name: String,
    /// Which names it is for.
    pub pattern: String,
    /// What it is for: `queues`, `exchanges`, `all`, or queues of one type.
    #[serde(rename = "apply-to", default = "all")]
    pub apply_to: String,
    /// What it says.
    pub definition: Map<String, Value>,
    /// Of several the highest counts.
    #[serde(default)]
    pub priority: i64,
}

/// A queue.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Its virtual host.
    pub vhost: String,
    /// Its type, for people: the arguments say which it is.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Survives a restart.
    #[serde(default = "yes")]
    pub durable: bool,
    /// Goes with its last consumer.
    #[serde(default)]
    pub auto_delete: bool,
    /// The x-arguments.
    #[serde(default, deserialize_with = "arguments")]
    pub arguments: Map<String, Value>,
}

/// An exchange.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// Its virtual host.
    pub vhost: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Survives a restart.
    #[serde(default = "yes")]
    pub durable: bool,
    /// Goes with its last binding as a source.
    #[serde(default)]
    pub auto_delete: bool,
    /// Clients may not publish to it.
    #[serde(default)]
    pub internal: bool,
    /// The x-arguments.
    #[serde(default, deserialize_with = "arguments")]
    pub arguments: Map<String, Value>,
}

/// A binding.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Binding {
    /// The exchange that messages come from.
    pub source: String,
    /// Its virtual host.
    pub vhost: String,
    /// Where they go.
    pub destination: String,
    /// What that is.
    pub destination_type: Destination,
    /// The binding key.
    #[serde(default)]
    pub routing_key: String,
    /// The arguments.
    #[serde(default, deserialize_with = "arguments")]
    pub arguments: Map<String, Value>,
}

/// What a binding leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Destination {
    Queue,
    Exchange,
}

fn yes() -> bool {
    true
}

fn all() -> String {
    "all".to_owned()
}

/// `["a", "b"]`, or `"a,b"` with blanks where they please.
fn tags<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected tags: a list of texts, or one text with commas")]
    enum Tags {
        List(Vec<String>),
        Text(String),
        Null(()),
    }
    Ok(match Tags::deserialize(from)? {
        Tags::List(tags) => tags,
        Tags::Text(text) => text.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
        Tags::Null(()) => Vec::new(),
    })
}

/// Old versions write what is empty as a list.
fn or_empty_list<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected an object")]
    enum Either<T> {
        Object(T),
        Empty([(); 0]),
        Null(()),
    }
    Ok(match Either::deserialize(from)? {
        Either::Object(object) => object,
        Either::Empty([]) | Either::Null(()) => T::default(),
    })
}

fn limits<'de, D: Deserializer<'de>>(from: D) -> Result<Limits, D::Error> {
    or_empty_list(from)
}

fn arguments<'de, D: Deserializer<'de>>(from: D) -> Result<Map<String, Value>, D::Error> {
    or_empty_list(from)
}
