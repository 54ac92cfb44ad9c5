//! Runtime parameters of virtual hosts, and those of the whole broker.
//!
//! Operator policies and the limits of virtual hosts are parameters, too, as in RabbitMQ.

use serde_json::{Value, json};

use super::call::Call;
use super::object::{Object, object};
use super::policies::{erlang, failed};
use super::users::limits;
use crate::base::base64url;
use crate::broker::catalog::{Catalog, VhostInfo};
use crate::contract::{Administration, PolicyKind};
use crate::definitions::arguments::to_json;
use crate::definitions::steps::VHOST_LIMITS;
use crate::management::http::{Answer, Outcome, Refusal};
use sha2::{Digest, Sha256};

/// `GET /parameters`, `/parameters/C` and `/parameters/C/V`
pub async fn list(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    let lists = call.lists(&catalog);
    let component = call.variables.iter().find(|(name, _)| *name == "component").map(|(_, component)| &**component);
    let mut vhosts: Vec<&VhostInfo> = catalog.vhosts().filter(|vhost| lists(vhost.id)).collect();
    vhosts.sort_unstable_by_key(|vhost| &vhost.spec.name);
    let all = vhosts.into_iter().flat_map(|vhost| of_vhost(call, vhost));
    let is_wanted = |parameter: &Object| component.is_none_or(|component| parameter["component"] == component);
    Ok(Answer::list(all.filter(is_wanted).collect::<Vec<_>>()))
}

/// `GET /parameters/C/V/P`
pub async fn get(call: &Call) -> Outcome {
    let catalog = call.broker().catalog();
    let vhost = catalog.find_vhost(call.vhost(&catalog)?).ok_or_else(Refusal::absent)?;
    let (component, name) = (call.variable("component"), call.variable("parameter"));
    let found = of_vhost(call, vhost).into_iter().find(|parameter| parameter["component"] == component && parameter["name"] == name);
    found.map(Answer::one).ok_or_else(Refusal::absent)
}

/// `PUT /parameters/C/V/P`
pub async fn put(call: &Call) -> Outcome {
    let body = call.object()?;
    body.need(&["value"])?;
    let (component, name, value) = (call.variable("component"), call.variable("parameter"), &body.0["value"]);
    check(component, name, value)?;
    let is_new = !has(call, &call.broker().catalog());
    let (vhost, value) = (call.variable("vhost").into(), value.to_string().into());
    call.administer(Administration::PutParameter { vhost, component: component.into(), name: name.into(), value }).await?;
    Ok(Answer::put(is_new))
}

/// `DELETE /parameters/C/V/P`
pub async fn delete(call: &Call) -> Outcome {
    let is_there = has(call, &call.broker().catalog());
    if !is_there {
        return Err(Refusal::absent());
    }
    let (vhost, component, name) = (call.variable("vhost").into(), call.variable("component").into(), call.variable("parameter").into());
    call.administer(Administration::DeleteParameter { vhost, component, name }).await?;
    Ok(Answer::done())
}

fn has(call: &Call, catalog: &Catalog) -> bool {
    let key = (Box::from(call.variable("component")), Box::from(call.variable("parameter")));
    call.vhost(catalog).ok().and_then(|vhost| catalog.find_vhost(vhost)).is_some_and(|vhost| vhost.parameters.contains_key(&key))
}

/// All parameters of a virtual host, by component and name.
fn of_vhost(call: &Call, vhost: &VhostInfo) -> Vec<Object> {
    let parameter = |component: &str, name: &str, value: Value| {
        object(json!({ "vhost": vhost.spec.name, "component": component, "name": name, "value": shown(call, value) }))
    };
    let mut all: Vec<Object> = vhost.parameters.iter().map(|((component, name), json)| parameter(component, name, parsed(json))).collect();
    for (_, spec) in vhost.policies.specs().filter(|(kind, _)| *kind == PolicyKind::Operator) {
        let definition = to_json(spec.definition.view());
        let value = json!({ "pattern": spec.pattern, "apply-to": spec.apply_to, "definition": definition, "priority": spec.priority });
        all.push(parameter(PolicyKind::Operator.component(), &spec.name, value));
    }
    let set = limits([("max-connections", vhost.limits.max_connections), ("max-queues", vhost.limits.max_queues)]);
    if !set.is_empty() {
        all.push(parameter(VHOST_LIMITS, "limits", set.into()));
    }
    all.sort_by(|left, right| {
        let key = |parameter: &Object| (parameter["component"].to_string(), parameter["name"].to_string());
        key(left).cmp(&key(right))
    });
    all
}

/// A value as the asker may see it: passwords in URIs are for administrators only.
fn shown(call: &Call, value: Value) -> Value {
    match value {
        Value::String(text) if !call.login.is_administrator() && text.contains("://") => without_password(&text).into(),
        Value::Array(values) => values.into_iter().map(|value| shown(call, value)).collect(),
        Value::Object(object) => object.into_iter().map(|(key, value)| (key, shown(call, value))).collect::<Object>().into(),
        other => other,
    }
}

/// Cuts user and password out of a URI.
fn without_password(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => uri.to_owned(),
    }
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|_| json.into())
}

/// Checks a value as far as RabbitMQ's component does.
fn check(component: &str, name: &str, value: &Value) -> Result<(), Refusal> {
    let lacks = |key: &str| value.get(key).is_none();
    let missing = |key: &str| format!("Key \"{key}\" not found in {name}");
    let mut errors: Vec<String> = Vec::new();
    match component {
        "federation-upstream" => {
            if lacks("uri") {
                errors.push(missing("uri"));
            }
            let unknown = value.as_object().into_iter().flatten().filter(|(key, _)| !UPSTREAM_KEYS.contains(&&***key));
            let unknown: Object = unknown.map(|(key, value)| (key.clone(), value.clone())).collect();
            if !unknown.is_empty() {
                errors.push(format!("Unrecognised terms {} in {name}", erlang(&unknown.into())));
            }
        }
        "shovel" => {
            if ["src-exchange", "src-queue", "src-address"].into_iter().all(lacks) {
                errors.push("Must specify 'src-exchange' or 'src-queue'".to_owned());
            }
            errors.extend(["src-uri", "dest-uri"].into_iter().filter(|key| lacks(key)).map(missing));
        }
        "federation-upstream-set" => {}
        _ => errors.push(format!("component {component} not found")),
    }
    if errors.is_empty() { Ok(()) } else { Err(failed(&errors.join("\n"))) }
}

const UPSTREAM_KEYS: [&str; 19] = [
    "uri",
    "prefetch-count",
    "reconnect-delay",
    "ack-mode",
    "trust-user-id",
    "max-hops",
    "expires",
    "message-ttl",
    "ha-policy",
    "queue-type",
    "exchange",
    "queue",
    "consumer-tag",
    "bind-nowait",
    "resource-cleanup-mode",
    "channel-use-mode",
    "internal-exchange-cleanup",
    "queue-args",
    "exchange-args",
];

/// `GET /global-parameters`
pub async fn list_global(call: &Call) -> Outcome {
    Ok(Answer::list(all_global(call)))
}

/// `GET /global-parameters/P`
pub async fn get_global(call: &Call) -> Outcome {
    let name = call.variable("parameter");
    all_global(call).into_iter().find(|parameter| parameter["name"] == name).map(Answer::one).ok_or_else(Refusal::absent)
}

/// `PUT /global-parameters/P`
pub async fn put_global(call: &Call) -> Outcome {
    let body = call.object()?;
    body.need(&["value"])?;
    let name = call.variable("parameter");
    let is_new = !has_global(call, name);
    call.administer(Administration::PutGlobalParameter { name: name.into(), value: body.0["value"].to_string().into() }).await?;
    Ok(Answer::put(is_new))
}

/// `DELETE /global-parameters/P`
pub async fn delete_global(call: &Call) -> Outcome {
    let name = call.variable("parameter");
    if !has_global(call, name) {
        return Err(Refusal::absent());
    }
    call.administer(Administration::DeleteGlobalParameter { name: name.into() }).await?;
    Ok(Answer::done())
}

/// `GET /cluster-name`
pub async fn cluster_name(call: &Call) -> Outcome {
    Ok(Answer::one(json!({ "name": name_of_cluster(call) })))
}

/// `PUT /cluster-name`
pub async fn put_cluster_name(call: &Call) -> Outcome {
    let body = call.object()?;
    body.need(&["name"])?;
    let value = json!(body.text("name")?).to_string().into();
    call.administer(Administration::PutGlobalParameter { name: CLUSTER_NAME.into(), value }).await?;
    Ok(Answer::done())
}

/// The name of the cluster: the one that was set, or that of the node.
pub fn name_of_cluster(call: &Call) -> Value {
    global_value(&call.broker().catalog(), CLUSTER_NAME).unwrap_or_else(|| call.site.node().into())
}

/// The value of a global parameter that was set.
pub fn global_value(catalog: &Catalog, name: &str) -> Option<Value> {
    catalog.global_parameters().find(|(known, _)| *known == name).map(|(_, json)| parsed(json))
}

fn has_global(call: &Call, name: &str) -> bool {
    global_value(&call.broker().catalog(), name).is_some()
}

/// All global parameters: those that were set, and those that every broker has.
pub fn all_global(call: &Call) -> Vec<Object> {
    let set: Vec<(String, Value)> =
        call.broker().catalog().global_parameters().map(|(name, json)| (name.to_owned(), parsed(json))).collect();
    let own = [(CLUSTER_NAME, name_of_cluster(call)), (CLUSTER_ID, cluster_id(call.site.node()).into())];
    let missing = own.into_iter().filter(|(name, _)| !set.iter().any(|(known, _)| known == name));
    let mut all: Vec<(String, Value)> = missing.map(|(name, value)| (name.to_owned(), value)).chain(set.iter().cloned()).collect();
    all.sort_by(|left, right| left.0.cmp(&right.0));
    all.into_iter().map(|(name, value)| object(json!({ "name": name, "value": value }))).collect()
}

/// The id of the cluster of a node that stands alone. It stays the same over restarts.
pub fn cluster_id(node: &str) -> String {
    let digest = Sha256::digest(node.as_bytes());
    format!("rabbitmq-cluster-id-{}", base64url::encode(&digest[..16]))
}

const CLUSTER_NAME: &str = "cluster_name";
const CLUSTER_ID: &str = "internal_cluster_id";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_cut_out_of_uris() {
        for (uri, shown) in [
            ("amqp://guest:guest@127.0.0.1:5672?sasl=plain", "amqp://127.0.0.1:5672?sasl=plain"),
            ("amqps://u:p%40@h/v", "amqps://h/v"),
            ("amqp://h/a@b", "amqp://h/a@b"),
            ("amqp://", "amqp://"),
        ] {
            assert_eq!(without_password(uri), shown);
        }
    }

    #[test]
    fn values_are_checked_as_their_components_do() {
        let told = |component: &str, value: Value| match check(component, "bad", &value) {
            Ok(()) => String::new(),
            Err(Refusal::Told { reason, .. }) => reason,
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(told("federation-upstream", json!({"uri": "amqp://", "max-hops": 1})), "");
        assert_eq!(told("federation-upstream", json!({"prefetch-count": 1})), "Validation failed\n\nKey \"uri\" not found in bad\n");
        let unknown = "Validation failed\n\nUnrecognised terms [{<<\"nonsense\">>,1}] in bad\n";
        assert_eq!(told("federation-upstream", json!({"uri": "amqp://", "nonsense": 1})), unknown);
        let shovel = "Validation failed\n\nMust specify 'src-exchange' or 'src-queue'\nKey \"dest-uri\" not found in bad\n";
        assert_eq!(told("shovel", json!({"src-uri": "amqp://"})), shovel);
        assert_eq!(told("nonsense", json!({})), "Validation failed\n\ncomponent nonsense not found\n");
    }

    #[test]
    fn a_cluster_id_looks_like_rabbitmq_s() {
        let id = cluster_id("rabbit@localhost");
        assert_eq!((id.len(), &id[..20]), (42, "rabbitmq-cluster-id-"));
        assert!(cluster_id("other@localhost") != id);
    }
}
