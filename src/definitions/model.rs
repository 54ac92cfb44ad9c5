//! The form of RabbitMQ's definitions JSON.
//!
//! Parts that may be missing in a file have a default here; unknown parts are ignored. Values of
//! parameters and definitions of policies are JSON that only their component understands, so they
//! are kept as they are.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// The content of a file. A file of a single virtual host was converted to one of the whole broker
/// when it was read.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Definitions {
    /// The version of RabbitMQ that the file comes from, or is for.
    pub rabbitmq_version: String,
    /// The same version; RabbitMQ writes both.
    pub rabbit_version: String,
    /// The product that wrote the file.
    pub product_name: String,
    /// The version of that product.
    pub product_version: String,
    /// The scope of the file; `cluster` means the whole broker.
    pub rabbitmq_definition_format: String,
    /// A description of the file, for people.
    pub explanation: String,
    /// Users.
    pub users: Vec<User>,
    /// Virtual hosts.
    pub vhosts: Vec<Vhost>,
    /// Permissions of users.
    pub permissions: Vec<Permission>,
    /// Topic permissions of users.
    pub topic_permissions: Vec<TopicPermission>,
    /// Runtime parameters of a virtual host, among them operator policies.
    pub parameters: Vec<Parameter>,
    /// Runtime parameters of the whole broker.
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
    /// Salt and hash of its password, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
    /// The password itself, in files written by hand.
    #[serde(default, skip_serializing)]
    pub password: Option<String>,
    /// The hash function.
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
    /// Its description and settings.
    #[serde(default)]
    pub metadata: Metadata,
    /// The same, in files of older versions.
    #[serde(flatten, skip_serializing)]
    pub bare: Metadata,
    /// Whether messages are traced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<bool>,
    /// `max-connections`, `max-queues`.
    #[serde(default, deserialize_with = "limits")]
    pub limits: Limits,
}

/// The description and settings of a virtual host.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Metadata {
    /// Its purpose.
    #[serde(default)]
    pub description: Option<String>,
    /// Tags.
    #[serde(default, deserialize_with = "tags")]
    pub tags: Vec<String>,
    /// The default type of queues that are declared in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_queue_type: Option<String>,
    /// Whether it is protected from deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_from_deletion: Option<bool>,
}

/// Limits by name; a negative number means no limit.
pub type Limits = std::collections::BTreeMap<String, i64>;

/// The permissions of a user in a virtual host.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Permission {
    pub user: String,
    pub vhost: String,
    pub configure: String,
    pub write: String,
    pub read: String,
}

/// The permissions of a user for routing keys of a topic exchange.
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
    /// The pattern of the names that it applies to.
    pub pattern: String,
    /// The kind of objects that it applies to: `queues`, `exchanges`, `all`, or queues of one type.
    #[serde(rename = "apply-to", default = "all")]
    pub apply_to: String,
    /// Its settings.
    pub definition: Map<String, Value>,
    /// Its priority; the highest one wins.
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
    /// Its type, for people: the arguments decide.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Whether it survives a restart.
    #[serde(default = "yes")]
    pub durable: bool,
    /// Whether it is deleted with its last consumer.
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
    /// Whether it survives a restart.
    #[serde(default = "yes")]
    pub durable: bool,
    /// Whether it is deleted with the last binding that it is the source of.
    #[serde(default)]
    pub auto_delete: bool,
    /// Whether clients may not publish to it.
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
    /// The name of the queue or exchange that messages go to.
    pub destination: String,
    /// The kind of the destination.
    pub destination_type: Destination,
    /// The binding key.
    #[serde(default)]
    pub routing_key: String,
    /// The arguments.
    #[serde(default, deserialize_with = "arguments")]
    pub arguments: Map<String, Value>,
}

/// The kind of a binding's destination.
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

/// Reads `["a", "b"]`, or `"a,b"` with any blanks.
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

/// Reads a value that old versions write as a list if it is empty.
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
