//! The catalog → definitions: all objects that outlive a connection.
//!
//! Unlike RabbitMQ's, an export includes internal exchanges, because bindings to them could not be
//! made without them.

use serde_json::{Map, Value, json};

use super::arguments::{text, to_json};
use super::model::{
    Binding, Definitions, Destination, Exchange, GlobalParameter, Limits, Metadata, Parameter, Permission, Policy, Queue, TopicPermission,
    User, Vhost,
};
use super::steps::{VHOST_LIMITS, is_reserved};
use crate::broker::catalog::{BindingView, Catalog, ExchangeInfo, QueueInfo, UserInfo, VhostInfo};
use crate::config::Config;
use crate::contract::{Limit, PolicyKind, PolicySpec};

/// Exports all objects except those that belong to a connection, that every virtual host has, or
/// that a broker keeps for itself.
pub fn export(catalog: &Catalog) -> Definitions {
    let mut administration = administration(catalog);
    administration.global_parameters.retain(|parameter| !parameter.name.starts_with("internal"));
    Definitions {
        queues: catalog.queues().filter(|queue| queue.owner.is_none() && queue.delays.is_none()).map(|info| queue(catalog, info)).collect(),
        exchanges: catalog.exchanges().filter(|exchange| !is_reserved(&exchange.spec.name)).map(|info| exchange(catalog, info)).collect(),
        bindings: catalog.bindings().filter(|view| lasts(catalog, view)).map(|view| binding(catalog, &view)).collect(),
        ..administration
    }
}

/// Exports everything except queues, exchanges and bindings.
pub(super) fn administration(catalog: &Catalog) -> Definitions {
    let (parameters, policies) = parameters(catalog);
    let version = Config::default().product_version;
    Definitions {
        rabbitmq_version: version.clone(),
        rabbit_version: version,
        product_name: "RingMQ".to_owned(),
        product_version: env!("CARGO_PKG_VERSION").to_owned(),
        rabbitmq_definition_format: "cluster".to_owned(),
        explanation: "Definitions of the whole broker".to_owned(),
        users: catalog.users().map(user).collect(),
        vhosts: catalog.vhosts().map(vhost).collect(),
        permissions: permissions(catalog),
        topic_permissions: topic_permissions(catalog),
        parameters,
        global_parameters: catalog
            .global_parameters()
            .map(|(name, json)| GlobalParameter { name: name.into(), value: value(json) })
            .collect(),
        policies,
        ..Definitions::default()
    }
}

fn user(user: &UserInfo) -> User {
    User {
        name: user.name.to_string(),
        password_hash: Some(user.password.to_base64()),
        password: None,
        hashing_algorithm: Some(user.password.hashing.name().to_owned()),
        tags: owned(&user.tags),
        limits: limits([("max-connections", user.limits.max_connections), ("max-channels", user.limits.max_channels)]),
    }
}

fn vhost(vhost: &VhostInfo) -> Vhost {
    let spec = &vhost.spec;
    Vhost {
        name: spec.name.to_string(),
        metadata: Metadata {
            description: Some(spec.description.to_string()),
            tags: owned(&spec.tags),
            default_queue_type: spec.default_queue_type.as_ref().map(ToString::to_string),
            protected_from_deletion: spec.protected.then_some(true),
        },
        bare: Metadata::default(),
        tracing: spec.tracing.then_some(true),
        limits: vhost_limits(vhost),
    }
}

fn vhost_limits(vhost: &VhostInfo) -> Limits {
    limits([("max-connections", vhost.limits.max_connections), ("max-queues", vhost.limits.max_queues)])
}

fn limits(limits: [(&str, Limit); 2]) -> Limits {
    limits.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), i64::from(limit?)))).collect()
}

fn permissions(catalog: &Catalog) -> Vec<Permission> {
    let of_user = |user: &UserInfo| {
        let grants = user.access.iter().filter_map(|(&vhost, access)| Some((vhost, access.permissions()?.clone())));
        let name = user.name.to_string();
        let permission = |(vhost, grant): (_, crate::contract::Permissions)| Permission {
            user: name.clone(),
            vhost: catalog.vhost_name(vhost).to_owned(),
            configure: grant.configure.into(),
            write: grant.write.into(),
            read: grant.read.into(),
        };
        grants.map(permission).collect::<Vec<_>>()
    };
    catalog.users().flat_map(of_user).collect()
}

fn topic_permissions(catalog: &Catalog) -> Vec<TopicPermission> {
    let mut all = Vec::new();
    for user in catalog.users() {
        for (&vhost, access) in &user.access {
            all.extend(access.topic_permissions().map(|(exchange, grant)| TopicPermission {
                user: user.name.to_string(),
                vhost: catalog.vhost_name(vhost).to_owned(),
                exchange: exchange.to_owned(),
                write: grant.write.to_string(),
                read: grant.read.to_string(),
            }));
        }
    }
    all
}

/// Returns parameters and policies. As in RabbitMQ, the limits of a virtual host and operator
/// policies are parameters, too.
fn parameters(catalog: &Catalog) -> (Vec<Parameter>, Vec<Policy>) {
    let (mut parameters, mut policies) = (Vec::new(), Vec::new());
    for info in catalog.vhosts() {
        let vhost = info.spec.name.to_string();
        let parameter = |component: &str, name: &str, value| Parameter {
            vhost: vhost.clone(),
            component: component.to_owned(),
            name: name.to_owned(),
            value,
        };
        let limits = vhost_limits(info);
        if !limits.is_empty() {
            parameters.push(parameter(VHOST_LIMITS, "limits", json!(limits)));
        }
        parameters.extend(info.parameters.iter().map(|((component, name), json)| parameter(component, name, value(json))));
        for (kind, spec) in info.policies.specs() {
            let definition = to_json(spec.definition.view());
            match kind {
                PolicyKind::User => policies.push(policy(&vhost, spec, definition)),
                PolicyKind::Operator => {
                    let PolicySpec { name, pattern, apply_to, priority, .. } = spec;
                    let value = json!({ "pattern": pattern, "apply-to": apply_to, "definition": definition, "priority": priority });
                    parameters.push(parameter(kind.component(), name, value));
                }
            }
        }
    }
    (parameters, policies)
}

fn policy(vhost: &str, spec: &PolicySpec, definition: Map<String, Value>) -> Policy {
    let (name, pattern, apply_to) = (spec.name.to_string(), spec.pattern.to_string(), spec.apply_to.to_string());
    Policy { vhost: vhost.to_owned(), name, pattern, apply_to, definition, priority: spec.priority }
}

fn queue(catalog: &Catalog, queue: &QueueInfo) -> Queue {
    let arguments = to_json(queue.spec.arguments.view());
    Queue {
        name: queue.spec.name.to_string(),
        vhost: catalog.vhost_name(queue.vhost).to_owned(),
        kind: Some(arguments.get("x-queue-type").and_then(Value::as_str).unwrap_or("classic").to_owned()),
        durable: queue.spec.durable,
        auto_delete: queue.spec.auto_delete,
        arguments,
    }
}

fn exchange(catalog: &Catalog, exchange: &ExchangeInfo) -> Exchange {
    Exchange {
        name: exchange.spec.name.to_string(),
        vhost: catalog.vhost_name(exchange.vhost).to_owned(),
        kind: exchange.spec.kind.to_string(),
        durable: exchange.spec.durable,
        auto_delete: exchange.spec.auto_delete,
        internal: exchange.spec.internal,
        arguments: to_json(exchange.spec.arguments.view()),
    }
}

/// Whether a binding outlives connections: one to an exclusive queue is deleted with the queue.
fn lasts(catalog: &Catalog, binding: &BindingView<'_>) -> bool {
    let to_queue = binding.kind == crate::contract::Destination::Queue;
    let queue = catalog.queue_by_name(binding.vhost, binding.destination).filter(|_| to_queue);
    queue.is_none_or(|queue| queue.owner.is_none())
}

fn binding(catalog: &Catalog, binding: &BindingView<'_>) -> Binding {
    Binding {
        source: binding.source.to_owned(),
        vhost: catalog.vhost_name(binding.vhost).to_owned(),
        destination: binding.destination.to_owned(),
        destination_type: match binding.kind {
            crate::contract::Destination::Queue => Destination::Queue,
            crate::contract::Destination::Exchange => Destination::Exchange,
        },
        routing_key: text(binding.key),
        arguments: to_json(binding.arguments.view()),
    }
}

/// The value of a parameter: JSON, or a text if it is none.
fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|_| json.into())
}

fn owned(texts: &[Box<str>]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}
