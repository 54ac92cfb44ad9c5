//! Replays RabbitMQ's answers to users with each of the tags.

use super::*;
use crate::management::fixture::Client;

const MATRIX: &str = include_str!("../data/permission-matrix.tsv");

/// Paths of protocols and plugins that RingMQ does not have, and of objects that no test makes.
const LEFT_OUT: [&str; 5] = ["/api/traces", "/api/trace-files", "/q.quorum/", "/publish", "/api/connections/username/nope"];

async fn prepare(client: &Client) {
    for (user, tags) in [("app", ""), ("man", "management"), ("pol", "policymaker"), ("mon", "monitoring"), ("adm", "administrator")] {
        client.put(&format!("/api/users/{user}"), &format!(r#"{{"password": "pw", "tags": "{tags}"}}"#)).await;
        client.put(&format!("/api/permissions/%2F/{user}"), r#"{"configure": ".*", "write": ".*", "read": ".*"}"#).await;
    }
    for (path, body) in [
        ("vhosts/orders", ""),
        ("permissions/orders/man", r#"{"configure": ".*", "write": ".*", "read": ".*"}"#),
        ("queues/%2F/jobs", ""),
        ("queues/%2F/inbox", ""),
        ("exchanges/%2F/events", ""),
        ("topic-permissions/%2F/app", r#"{"exchange": "amq.topic", "write": "", "read": ""}"#),
        ("policies/%2F/lazy-jobs", r#"{"pattern": "", "definition": {"max-length": 1}}"#),
    ] {
        let status = client.put(&format!("/api/{path}"), body).await.status;
        assert!(status == 201 || status == 204, "{path}: {status}");
    }
}

/// The body of a write that has to be in order for the path.
fn body(path: &str) -> &'static str {
    match path.split('/').nth(2).unwrap_or_default() {
        "users" if path.ends_with("bulk-delete") => r#"{"users": []}"#,
        "users" => r#"{"password": "x", "tags": ""}"#,
        "permissions" => r#"{"configure": "", "write": "", "read": ""}"#,
        "topic-permissions" => r#"{"exchange": "amq.topic", "write": "", "read": ""}"#,
        "policies" | "operator-policies" => r#"{"pattern": "^x", "definition": {"expires": 1000}}"#,
        "parameters" => r#"{"value": {"uri": "amqp://"}}"#,
        "global-parameters" | "vhost-limits" | "user-limits" => r#"{"value": 1}"#,
        "cluster-name" => r#"{"name": "x"}"#,
        _ => "{}",
    }
}

#[test]
fn each_tag_may_do_what_it_may_in_rabbitmq() {
    let config = Config { node_name: "peer@localhost".into(), ..Config::default() };
    with_server(config, Numbers::default(), |client| async move {
        prepare(&client).await;
        let users = [None, Some("app:pw"), Some("man:pw"), Some("pol:pw"), Some("mon:pw"), Some("guest:guest")];
        let (mut rows, mut wrong) = (0, Vec::new());
        for line in MATRIX.lines().skip(1).filter(|line| !LEFT_OUT.iter().any(|path| line.contains(path))) {
            let mut cells = line.split('\t');
            let (method, path) = cells.next().and_then(|cell| cell.split_once(' ')).expect("method and path");
            for (user, expected) in users.iter().zip(cells) {
                let status = client.send(method, path, *user, "", body(path)).await.status.to_string();
                if status != expected {
                    wrong.push(format!("{method} {path} as {user:?}: {status}, not {expected}"));
                }
            }
            rows += 1;
        }
        assert!(rows > 100, "{rows} rows");
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}
