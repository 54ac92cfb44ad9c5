//! Headers, prefixes, origins, alarms and imports over HTTP.

use serde_json::json;

use super::*;
use crate::config::management::Management;
use crate::management::fixture::set_alarm;

fn config(management: Management) -> Config {
    Config { management, ..Config::default() }
}

#[test]
fn every_answer_has_rabbitmq_s_headers() {
    with_server(Config::default(), Numbers::default(), |client| async move {
        let answer = client.get("/api/exchanges/%2F/amq.topic").await;
        for (name, value) in [
            ("content-type", "application/json"),
            ("cache-control", "no-cache"),
            ("vary", "accept, accept-encoding, origin"),
            ("content-security-policy", "script-src 'self'; object-src 'self'"),
            ("allow", "HEAD, GET, PUT, DELETE, OPTIONS"),
        ] {
            assert_eq!(answer.header(name), Some(value));
        }
        assert!(answer.header("date").is_some() && answer.header("server").is_none());
        let challenge = client.send("GET", "/api/whoami", None, "", "").await;
        assert_eq!(challenge.header("www-authenticate"), Some("Basic realm=\"RabbitMQ Management\""));
        assert_eq!((challenge.status, challenge.bytes.len()), (401, 0));
        let wrong = client.send("GET", "/api/whoami", Some("guest:wrong"), "", "").await;
        assert_eq!((wrong.status, wrong.header("www-authenticate")), (401, None));
        let asked = client.send("OPTIONS", "/api/queues/%2F/q", None, "origin: http://other\r\n", "").await;
        assert_eq!((asked.status, asked.header("access-control-allow-origin")), (200, None));
    });
}

#[test]
fn origins_that_are_listed_may_read() {
    let origins = vec!["http://page".to_owned()];
    with_server(config(Management { cors_origins: origins, ..Management::default() }), Numbers::default(), |client| async move {
        let wanted = "origin: http://page\r\naccess-control-request-headers: authorization\r\n";
        let asked = client.send("OPTIONS", "/api/queues", None, wanted, "").await;
        for (name, value) in [
            ("access-control-allow-origin", "http://page"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "HEAD, GET, OPTIONS"),
            ("access-control-allow-headers", "authorization"),
            ("access-control-max-age", "1800"),
        ] {
            assert_eq!(asked.header(name), Some(value));
        }
        let other = client.send("GET", "/api/queues", Some("guest:guest"), "origin: http://other\r\n", "").await;
        assert_eq!((other.status, other.header("access-control-allow-origin")), (200, None));
    });
}

#[test]
fn a_prefix_moves_everything() {
    with_server(config(Management { path_prefix: "/mq".into(), ..Management::default() }), Numbers::default(), |client| async move {
        assert_eq!(client.get("/mq/api/whoami").await.status, 200);
        assert_eq!(client.get("/api/whoami").await.status, 404);
        let root = client.get("/").await;
        assert_eq!((root.status, root.header("location")), (301, Some("/mq/")));
        assert_eq!(client.get("/mq/api").await.header("location"), Some("/mq/api/index.html"));
        let page = client.send("GET", "/mq/api/index.html", None, "", "").await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        let text = String::from_utf8(page.bytes).expect("text");
        assert!(text.contains("<tr><td>DELETE</td><td>/api/queues/{vhost}/{queue}/contents</td><td>management</td></tr>"));
    });
}

#[test]
fn bodies_have_a_limit() {
    with_server(config(Management { body_max: 1000, ..Management::default() }), Numbers::default(), |client| async move {
        let body = format!(r#"{{"description": "{}"}}"#, "x".repeat(1000));
        let refused = client.put("/api/vhosts/v", &body).await;
        assert_eq!((refused.status, &*refused.reason()), (400, "Exceeded HTTP request body size limit"));
        let definitions = format!(r#"{{"explanation": "{}"}}"#, "x".repeat(1000));
        assert_eq!(client.post("/api/definitions", &definitions).await.status, 204);
    });
}

#[test]
fn alarms_fail_the_checks_of_health() {
    with_server(Config::default(), Numbers::default(), |client| async move {
        for path in ["alarms", "local-alarms", "is-in-service", "ready-to-serve-clients", "port-listener/5672", "protocol-listener/amqp091"]
        {
            let answer = client.get(&format!("/api/health/checks/{path}")).await;
            assert_eq!((answer.status, answer.json()["status"].clone()), (200, json!("ok")), "{path}");
        }
        set_alarm(&client, true);
        let failed = client.get("/api/health/checks/alarms").await;
        let alarms = json!([{"node": "rabbit@localhost", "resource": "memory"}]);
        let expected = json!({"status": "failed", "reason": "There are alarms in effect in the cluster", "alarms": alarms});
        assert_eq!((failed.status, failed.json()), (503, expected));
        let old = client.get("/api/healthchecks/node").await;
        assert_eq!(old.reason(), "resource alarm(s) in effect:[{resource_limit,memory,rabbit@localhost}]");
        assert_eq!(client.get("/api/health/checks/ready-to-serve-clients").await.status, 200);
        set_alarm(&client, false);
        assert_eq!(client.get("/api/health/checks/alarms").await.status, 200);
        let port = client.get("/api/health/checks/port-listener/1").await;
        assert_eq!((port.status, port.json()["missing"].clone()), (503, json!(1)));
        let protocol = client.get("/api/health/checks/protocol-listener/amqp,nope").await;
        assert_eq!((protocol.status, protocol.json()["missing"].clone()), (503, json!(["nope"])));
    });
}

#[test]
fn definitions_go_in_and_come_out() {
    const DEFINITIONS: &str = r#"{
        "vhosts": [{"name": "imp"}],
        "users": [{"name": "u", "password": "x", "tags": "management"}],
        "permissions": [{"user": "u", "vhost": "imp", "configure": ".*", "write": ".*", "read": ".*"}],
        "queues": [{"name": "q", "vhost": "imp", "durable": true, "auto_delete": false, "arguments": {}}],
        "exchanges": [{"name": "x", "vhost": "imp", "type": "topic", "durable": true, "auto_delete": false, "arguments": {}}],
        "bindings": [{"source": "x", "vhost": "imp", "destination": "q", "destination_type": "queue", "routing_key": "k", "arguments": {}}]
    }"#;
    with_server(Config::default(), Numbers::default(), |client| async move {
        assert_eq!(client.post("/api/definitions", DEFINITIONS).await.status, 204);
        let own = client.get("/api/definitions/imp").await.json();
        assert_eq!((own["queues"][0]["name"].clone(), own["queues"][0].get("vhost")), (json!("q"), None));
        assert_eq!((&own["bindings"][0]["routing_key"], own.get("users")), (&json!("k"), None));
        let form = "------b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"d.json\"\r\n\r\n{\"vhosts\": [{\"name\": \"imp2\"}]}\r\n------b--";
        let kind = "content-type: multipart/form-data; boundary=----b\r\n";
        assert_eq!(client.send("POST", "/api/definitions", Some("guest:guest"), kind, form).await.status, 204);
        assert_eq!(client.get("/api/vhosts/imp2").await.status, 200);
        let other =
            r#"{"queues": [{"name": "q2", "vhost": "elsewhere", "durable": true, "arguments": {}}, {"name": "q", "durable": false}]}"#;
        assert_eq!(client.post("/api/definitions/imp", other).await.status, 204);
        assert_eq!(client.get("/api/queues/imp/q2").await.status, 200);
        assert_eq!(client.get("/api/queues/imp/q").await.json()["durable"], true, "what exists stays");
        for (body, reason) in [
            ("{bad", "failed_to_parse_json"),
            ("[]", "failed_to_parse_json"),
            (r#"{"queues": [{"name": "x"}]}"#, "queue 'x': missing field `vhost`"),
            (
                r#"{"permissions": [{"user": "no", "vhost": "imp", "configure": "", "write": "", "read": ""}]}"#,
                "permission of user 'no' in vhost 'imp': User 'no' does not exist",
            ),
        ] {
            let refused = client.post("/api/definitions", body).await;
            assert_eq!((refused.status, &*refused.reason()), (400, reason));
        }
        let file = client.get("/api/definitions?download=d.json").await;
        assert_eq!(file.header("content-disposition"), Some("attachment; filename=d.json"));
    });
}
