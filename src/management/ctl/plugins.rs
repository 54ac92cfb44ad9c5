//! Plugins. What RabbitMQ has as plugins is built into RingMQ or not there at all, but operators and
//! their tools enable plugins, list them and look for them, so RingMQ keeps the list of those that are
//! enabled, in RabbitMQ's file `enabled_plugins`:
//!
//! ```text
//! [rabbitmq_management,rabbitmq_prometheus].
//! ```
//!
//! What is built in runs without being on the list, and RabbitMQ's word for that is `implicit`.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::config::Config;
use crate::management::api::Call;
use crate::management::http::{Answer, Outcome, Refusal};

/// A plugin of RabbitMQ, as RingMQ has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// Always there.
    BuiltIn,
    /// There if the management API is.
    Management,
    /// There if metrics are served.
    Metrics,
    /// Has nothing to do on a single node, so it may be enabled.
    Idle,
    /// Not there.
    Absent,
}

/// `GET /ctl/plugins`
pub async fn list(call: &Call) -> Outcome {
    let config = call.broker().config();
    let enabled = call.site.host.plugins_file().map_or_else(|| by_default(config), |text| parse(&text));
    Ok(Answer::one(objects(config, &enabled)))
}

/// `PUT /ctl/plugins`: the plugins that are enabled from now on. Names that are no plugin are kept, as
/// in RabbitMQ.
pub async fn put(call: &Call) -> Outcome {
    let body = call.object()?;
    let names = body.get("enabled").and_then(|names| names.as_array()?.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    let names = names.ok_or_else(|| Refusal::bad_request("'enabled' is not a list of names"))?;
    if let Some(name) = names.iter().find(|name| kind(name) == Some(Kind::Absent)) {
        return Err(Refusal::bad_request(format!("RingMQ has no {name}")));
    }
    if let Some(name) = names.iter().find(|name| !is_name(name)) {
        return Err(Refusal::bad_request(format!("'{name}' cannot be the name of a plugin")));
    }
    let text = format!("[{}].\n", names.join(","));
    let failed = |sentence| Refusal::told(StatusCode::INTERNAL_SERVER_ERROR, "not_written", sentence);
    call.site.host.write_plugins_file(&text).map_err(failed)?;
    Ok(Answer::one(objects(call.broker().config(), &parse(&text))))
}

/// All plugins, by name.
fn objects(config: &Config, enabled: &[String]) -> Value {
    let object = |(name, kind): &(&str, Kind)| {
        let is_enabled = enabled.iter().any(|enabled| enabled == name);
        let running = match kind {
            Kind::BuiltIn => true,
            Kind::Management => config.management.enabled,
            Kind::Metrics => config.metrics.listen.is_some(),
            Kind::Idle => is_enabled,
            Kind::Absent => false,
        };
        let word = match (is_enabled, running) {
            (true, _) => "enabled",
            (false, true) => "implicit",
            (false, false) => "not_enabled",
        };
        json!({ "name": name, "version": config.product_version, "enabled": word, "running": running })
    };
    PLUGINS.iter().map(object).collect()
}

/// The plugins that count as enabled before anybody has said which are.
fn by_default(config: &Config) -> Vec<String> {
    let management = config.management.enabled.then_some("rabbitmq_management");
    let metrics = config.metrics.listen.map(|_| "rabbitmq_prometheus");
    management.into_iter().chain(metrics).map(str::to_owned).collect()
}

/// Reads the names of the file, which may have comments and quotes.
fn parse(text: &str) -> Vec<String> {
    let text: String = text.lines().map(|line| line.split('%').next().unwrap_or_default()).collect();
    let list = text.trim().trim_end_matches('.').trim().trim_start_matches('[').trim_end_matches(']');
    list.split(',').map(|name| name.trim().trim_matches('\'').to_owned()).filter(|name| !name.is_empty()).collect()
}

/// Whether the file can have a name without quotes.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn kind(name: &str) -> Option<Kind> {
    PLUGINS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

/// The plugins of RabbitMQ, and two of others that are built into RingMQ, sorted.
const PLUGINS: [(&str, Kind); 44] = [
    ("rabbitmq_amqp1_0", Kind::Absent),
    ("rabbitmq_auth_backend_cache", Kind::Absent),
    ("rabbitmq_auth_backend_http", Kind::Absent),
    ("rabbitmq_auth_backend_internal_loopback", Kind::Absent),
    ("rabbitmq_auth_backend_ldap", Kind::Absent),
    ("rabbitmq_auth_backend_oauth2", Kind::Absent),
    ("rabbitmq_auth_mechanism_ssl", Kind::Absent),
    ("rabbitmq_consistent_hash_exchange", Kind::BuiltIn),
    ("rabbitmq_delayed_message_exchange", Kind::BuiltIn),
    ("rabbitmq_event_exchange", Kind::Absent),
    ("rabbitmq_exchange_federation", Kind::Absent),
    ("rabbitmq_federation", Kind::Absent),
    ("rabbitmq_federation_common", Kind::Absent),
    ("rabbitmq_federation_management", Kind::Absent),
    ("rabbitmq_federation_prometheus", Kind::Absent),
    ("rabbitmq_jms_topic_exchange", Kind::Absent),
    ("rabbitmq_management", Kind::Management),
    ("rabbitmq_management_agent", Kind::Management),
    ("rabbitmq_message_deduplication", Kind::BuiltIn),
    ("rabbitmq_mqtt", Kind::Absent),
    ("rabbitmq_peer_discovery_aws", Kind::Idle),
    ("rabbitmq_peer_discovery_common", Kind::Idle),
    ("rabbitmq_peer_discovery_consul", Kind::Idle),
    ("rabbitmq_peer_discovery_etcd", Kind::Idle),
    ("rabbitmq_peer_discovery_k8s", Kind::Idle),
    ("rabbitmq_prometheus", Kind::Metrics),
    ("rabbitmq_queue_federation", Kind::Absent),
    ("rabbitmq_random_exchange", Kind::BuiltIn),
    ("rabbitmq_recent_history_exchange", Kind::BuiltIn),
    ("rabbitmq_sharding", Kind::Absent),
    ("rabbitmq_shovel", Kind::Absent),
    ("rabbitmq_shovel_management", Kind::Absent),
    ("rabbitmq_shovel_prometheus", Kind::Absent),
    ("rabbitmq_stomp", Kind::Absent),
    ("rabbitmq_stream", Kind::Absent),
    ("rabbitmq_stream_management", Kind::Absent),
    ("rabbitmq_top", Kind::Absent),
    ("rabbitmq_tracing", Kind::Absent),
    ("rabbitmq_trust_store", Kind::Absent),
    ("rabbitmq_web_dispatch", Kind::Management),
    ("rabbitmq_web_mqtt", Kind::Absent),
    ("rabbitmq_web_mqtt_examples", Kind::Absent),
    ("rabbitmq_web_stomp", Kind::Absent),
    ("rabbitmq_web_stomp_examples", Kind::Absent),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_names_in_brackets() {
        assert_eq!(parse("[rabbitmq_management,rabbitmq_prometheus].\n"), ["rabbitmq_management", "rabbitmq_prometheus"]);
        assert_eq!(parse("%% ours\n[ a ,\n 'b-c' % not d\n].\n"), ["a", "b-c"]);
        assert_eq!((parse("[]."), parse("")), (Vec::new(), Vec::new()));
        assert!(is_name("my_plugin2") && !is_name("b-c") && !is_name("a].") && !is_name(""));
    }

    #[test]
    fn plugins_are_sorted_and_enabled_or_implicit() {
        assert!(PLUGINS.is_sorted_by_key(|(name, _)| *name));
        let config = Config::default();
        let enabled = |names: &[&str], name: &str| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let all = objects(&config, &names);
            let plugin = all.as_array().and_then(|all| all.iter().find(|plugin| plugin["name"] == name)).expect("a plugin").clone();
            (plugin["enabled"].as_str().unwrap_or_default().to_owned(), plugin["running"] == true)
        };
        assert_eq!(enabled(&["rabbitmq_management"], "rabbitmq_management"), ("enabled".into(), true));
        assert_eq!(enabled(&["rabbitmq_management"], "rabbitmq_management_agent"), ("implicit".into(), true));
        assert_eq!(enabled(&[], "rabbitmq_consistent_hash_exchange"), ("implicit".into(), true));
        assert_eq!(enabled(&[], "rabbitmq_peer_discovery_k8s"), ("not_enabled".into(), false));
        assert_eq!(enabled(&["rabbitmq_peer_discovery_k8s"], "rabbitmq_peer_discovery_k8s"), ("enabled".into(), true));
        assert_eq!(enabled(&[], "rabbitmq_mqtt"), ("not_enabled".into(), false));
    }
}
