//! Replays requests that RabbitMQ was seen to answer: statuses, kinds of errors, reasons, locations.

use serde_json::Value;

use super::*;
use crate::management::fixture::{Client, Response};

/// One request and RabbitMQ's answer per line, in the order in which they were made.
const CONVERSATIONS: &str = include_str!("../data/conversations.jsonl");

#[test]
fn requests_are_answered_as_by_rabbitmq() {
    let config = Config { node_name: "peer@localhost".into(), ..Config::default() };
    with_server(config, Numbers::default(), |client| async move {
        let (mut replayed, mut wrong) = (0, Vec::new());
        for line in CONVERSATIONS.lines() {
            let row: Value = serde_json::from_str(line).expect("JSON");
            let answer = send(&client, &row).await;
            let told = told(&answer);
            let expected = expected(&row);
            if told != expected {
                wrong.push(format!("{} {} {}\n  ours:   {told}\n  theirs: {expected}", row["method"], row["path"], row["body"]));
            }
            replayed += 1;
        }
        assert!(replayed > 300, "{replayed} requests");
        assert!(wrong.is_empty(), "{} of {replayed}:\n{}", wrong.len(), wrong.join("\n"));
    });
}

async fn send(client: &Client, row: &Value) -> Response {
    let text = |key: &str| row[key].as_str().unwrap_or_default();
    let headers: String = row["headers"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}: {}\r\n", value.as_str().unwrap_or_default()))
        .collect();
    client.send(text("method"), text("path"), row["user"].as_str(), &headers, text("body")).await
}

/// What an answer tells, in one line.
fn told(answer: &Response) -> String {
    let body = answer.json();
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    format!("{} {} {}: {}", answer.status, answer.header("location").unwrap_or_default(), text("error"), text("reason"))
}

/// What RabbitMQ's answer told, or what RingMQ tells instead, for the reason that the row gives.
fn expected(row: &Value) -> String {
    if let Some(ours) = row["ours"].as_str() {
        assert!(row["why"].is_string(), "a difference has a reason: {row}");
        return ours.to_owned();
    }
    let text = |key: &str| row[key].as_str().unwrap_or_default();
    format!("{} {} {}: {}", row["status"], text("location"), text("error"), text("reason"))
}
