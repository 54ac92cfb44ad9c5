//! The socket of the command line tool: what it serves beside the API, and that no port does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringmq::config::Config;
use ringmq::config::management::Management;
use ringmq::config::metrics::Metrics;
use ringmq::start::app::App;
use serde_json::{Value, json};

use crate::client::Client;
use crate::scratch::Scratch;
use crate::support::value::Value as Field;

fn start(data: &Scratch) -> App {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = Config {
        listen: vec![any],
        data_dir: data.0.clone(),
        shards: 2,
        management: Management { listen: vec![any], path_prefix: "/below".into(), ..Management::default() },
        metrics: Metrics { listen: None, ..Metrics::default() },
        ..Config::default()
    };
    App::start(&Arc::new(config)).expect("a broker")
}

/// Sends a request to the socket of a data directory. Returns the status and the body.
pub fn ask(data_dir: &Path, request: &str, body: &str) -> (u16, String) {
    converse(UnixStream::connect(data_dir.join("management.sock")).expect("a socket"), request, body)
}

fn converse(mut stream: impl Read + Write, request: &str, body: &str) -> (u16, String) {
    let head = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head[9..12].parse().expect("a status"), body.to_owned())
}

/// Reads lines of a log that is followed until one has this text.
pub fn follow_until(data_dir: &Path, text: &str, cause: impl FnOnce()) -> String {
    let mut stream = UnixStream::connect(data_dir.join("management.sock")).expect("a socket");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    stream.write_all(b"GET /ctl/log?follow=true HTTP/1.1\r\nhost: x\r\n\r\n").expect("it is taken");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("it goes on"));
    let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    assert!(head.iter().any(|line| line == "transfer-encoding: chunked"), "{head:?}");
    std::thread::sleep(Duration::from_millis(200)); // it looks for the place from which on it follows
    cause();
    lines.find(|line| line.contains(text)).expect("such a line")
}

/// Asks a broker and demands this status.
fn status(data: &Scratch, request: &str, body: &str, expected: u16) -> Value {
    let (status, text) = ask(&data.0, request, body);
    assert_eq!(status, expected, "{request}: {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

#[test]
fn the_socket_tells_of_the_node_and_no_port_does() {
    let data = Scratch::new();
    let app = start(&data);
    let node = status(&data, "GET /ctl/node", "", 200);
    assert_eq!(node["pid"], std::process::id());
    assert_eq!((&node["app"], &node["maintenance"]), (&json!("running"), &json!(false)));
    assert_eq!(status(&data, "GET /api/nodes", "", 200)[0]["name"], node["name"]);
    status(&data, "GET /ctl/nothing", "", 404);
    status(&data, "POST /ctl/node", "", 405);
    for path in ["/ctl/node", "/below/ctl/node"] {
        let port = TcpStream::connect(app.api_addresses()[0]).expect("the API");
        assert_eq!(converse(port, &format!("GET {path}"), "").0, 404);
    }
    let log_in = |user: &str, password: &str, expected| {
        let body = json!({ "username": user, "password": password }).to_string();
        status(&data, "POST /ctl/authentication", &body, expected)
    };
    assert_eq!(log_in("guest", "guest", 200), json!({ "name": "guest", "tags": ["administrator"] }));
    let refusal = json!({ "error": "not_authorized", "reason": "user 'guest' - invalid credentials" });
    assert_eq!(log_in("guest", "wrong", 401), refusal);
    app.stop().expect("it notes its stop");
}

#[test]
fn limits_and_alarms_are_in_force_at_once() {
    let data = Scratch::new();
    let app = start(&data);
    let put = |name: &str, limit: &str| status(&data, &format!("PUT /ctl/settings/{name}"), limit, 204);
    let alarms = |expected: u16| _ = status(&data, "GET /api/health/checks/alarms", "", expected);
    put("disk_free_limit", r#"{"absolute": 1}"#);
    put("memory_high_watermark", r#"{"absolute": 1000}"#);
    alarms(503);
    let node = &status(&data, "GET /api/nodes", "", 200)[0];
    assert_eq!((&node["mem_limit"], &node["mem_alarm"], &node["disk_free_limit"]), (&json!(1000), &json!(true), &json!(1)));
    put("memory_high_watermark", r#"{"relative": 1.0}"#);
    alarms(200);
    let settings = status(&data, "GET /ctl/settings", "", 200);
    assert_eq!((&settings["memory_high_watermark"], &settings["disk_free_limit"]), (&json!({"relative": 1.0}), &json!({"absolute": 1})));
    for alarm in ["memory", "disk"] {
        status(&data, &format!("PUT /ctl/alarms/{alarm}"), "", 204);
        std::thread::sleep(Duration::from_millis(1200)); // the monitor has looked
        alarms(503);
        status(&data, &format!("DELETE /ctl/alarms/{alarm}"), "", 204);
        alarms(200);
    }
    status(&data, "PUT /ctl/alarms/other", "", 404);
    status(&data, "PUT /ctl/settings/memory_high_watermark", r#"{"relative": 2}"#, 400);
    status(&data, "PUT /ctl/settings/log_level", r#"{"level": "loud"}"#, 400);
    app.stop().expect("it notes its stop");
}

#[test]
fn listeners_are_suspended_and_drained() {
    let data = Scratch::new();
    let app = start(&data);
    let address = app.addresses()[0];
    let is_refused = || (0..8).all(|_| TcpStream::connect(address).is_err());
    let mut client = Client::open(address);
    status(&data, "PUT /ctl/suspension", "", 204);
    assert!(is_refused());
    client.consume("still-served");
    status(&data, "PUT /ctl/maintenance", "", 204);
    assert_eq!(client.expect("connection.close").field("reply_code"), Some(&Field::number(320)));
    client.call(0, "connection.close-ok", &[]);
    assert_eq!(client.next(), None);
    for check in ["is-in-service", "ready-to-serve-clients"] {
        let failed = status(&data, &format!("GET /api/health/checks/{check}"), "", 503);
        assert_eq!(failed["reason"], "this rabbit node is not currently available to serve");
    }
    assert_eq!(status(&data, "GET /ctl/node", "", 200)["maintenance"], true);
    assert_eq!(status(&data, "GET /api/nodes", "", 200)[0]["being_drained"], true);
    status(&data, "DELETE /ctl/suspension", "", 204);
    assert!(is_refused(), "it is still in maintenance");
    status(&data, "DELETE /ctl/maintenance", "", 204);
    (0..8).for_each(|n| Client::open(address).consume(&format!("served-again-{n}")));
    status(&data, "GET /api/health/checks/is-in-service", "", 200);
    app.stop().expect("it notes its stop");
}

#[test]
fn the_list_of_plugins_is_kept() {
    let data = Scratch::new();
    let app = start(&data);
    let word = |plugins: &Value, name: &str| {
        let plugin = plugins.as_array().and_then(|all| all.iter().find(|plugin| plugin["name"] == name)).expect("a plugin");
        plugin["enabled"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(word(&status(&data, "GET /ctl/plugins", "", 200), "rabbitmq_management"), "enabled");
    let list = r#"{"enabled": ["rabbitmq_consistent_hash_exchange", "of_somebody"]}"#;
    let plugins = status(&data, "PUT /ctl/plugins", list, 200);
    assert_eq!(word(&plugins, "rabbitmq_consistent_hash_exchange"), "enabled");
    assert_eq!(word(&plugins, "rabbitmq_management"), "implicit");
    let kept = std::fs::read_to_string(data.0.join("enabled_plugins")).expect("a file");
    assert_eq!(kept, "[rabbitmq_consistent_hash_exchange,of_somebody].\n");
    for wrong in [r#"{"enabled": ["rabbitmq_mqtt"]}"#, r#"{"enabled": ["]."]}"#, r#"{"enabled": "x"}"#] {
        status(&data, "PUT /ctl/plugins", wrong, 400);
    }
    assert_eq!(status(&data, "GET /ctl/plugins", "", 200), plugins);
    app.stop().expect("it notes its stop");
}
