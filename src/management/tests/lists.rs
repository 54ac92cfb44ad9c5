//! Lists, pages, columns and numbers over HTTP.

use serde_json::{Value, json};

use super::shapes::numbers;
use super::*;
use crate::base::ids::{ExchangeId, Key, QueueId};
use crate::contract::{Count, Counts, ExchangeFigures, QueueFigures};
use crate::management::fixture::Client;

fn names(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|item| item["name"].as_str().expect("a name")).collect()
}

async fn declare(client: &Client, count: usize) {
    for at in (0..count).rev() {
        assert_eq!(client.put(&format!("/api/queues/%2F/q{at:03}"), "").await.status, 201);
    }
}

#[test]
fn a_page_of_queues_has_their_numbers() {
    let id = |slot| QueueId(Key { slot, generation: 0 });
    let figures = |slot, ready| QueueFigures { id: id(slot), ready, ..QueueFigures::default() };
    let numbers = Numbers { queues: vec![figures(0, 7), figures(4, 9)], ..Numbers::default() };
    with_server(Config::default(), numbers, |client| async move {
        declare(&client, 5).await;
        let page = client.get("/api/queues?page=2&page_size=2").await.json();
        assert_eq!(names(&page["items"]), ["q002", "q003"]);
        assert_eq!((&page["total_count"], &page["page_count"], &page["item_count"]), (&json!(5), &json!(3), &json!(2)));
        let last = client.get("/api/queues/%2F?page=1&page_size=2&name=Q00&sort_reverse=true&columns=name,messages").await.json();
        assert_eq!(last["items"], json!([{"name": "q004", "messages": 7}, {"name": "q003", "messages": 0}]));
        let sorted = client.get("/api/queues?page=1&page_size=1&sort=messages&sort_reverse=true&columns=name,messages").await.json();
        assert_eq!(sorted["items"], json!([{"name": "q000", "messages": 9}]));
        let beyond = client.get("/api/queues?page=4&page_size=2").await;
        assert_eq!((beyond.status, beyond.json()["error"].clone()), (400, json!("page_out_of_range")));
        let all = client.get("/api/queues?page_size=2&name=nothing&columns=name").await.json();
        assert_eq!(names(&all), ["q000", "q001", "q002", "q003", "q004"]);
    });
}

#[test]
fn lists_without_numbers_have_attributes_only() {
    with_server(Config::default(), Numbers::default(), |client| async move {
        declare(&client, 1).await;
        let without = client.get("/api/queues?disable_stats=true").await.json();
        assert!(without[0].get("messages").is_none() && without[0]["policy"].is_null() && without[0]["state"] == "running");
        let totals = client.get("/api/queues?disable_stats=true&enable_queue_totals=true").await.json();
        assert_eq!((&totals[0]["messages"], totals[0].get("policy")), (&json!(0), None));
        assert!(client.get("/api/overview?disable_stats=true").await.json().get("message_stats").is_none());
        let consumers = client.get("/api/consumers?disable_stats=true").await;
        assert_eq!((consumers.status, &*consumers.reason()), (400, "Stats in management UI are disabled on this node"));
        let window = client.get("/api/queues/%2F/q000?lengths_age=86400&lengths_incr=1").await;
        assert_eq!((window.status, &*window.reason()), (400, "Invalid range parameters: age 86400, incr 1"));
        let samples = client.get("/api/queues/%2F/q000?lengths_age=60&lengths_incr=5&columns=messages_details").await.json();
        assert!(samples["messages_details"]["samples"].is_array() || samples["messages_details"]["rate"] == 0.0);
    });
}

#[test]
fn a_long_list_is_compressed_for_those_who_ask() {
    with_server(Config::default(), Numbers::default(), |client| async move {
        declare(&client, 120).await;
        let plain = client.get("/api/queues?columns=name").await;
        assert_eq!(plain.header("transfer-encoding"), Some("chunked"));
        assert_eq!(names(&plain.json()).len(), 120);
        let packed = client.send("GET", "/api/queues?columns=name", Some("guest:guest"), "accept-encoding: br, gzip\r\n", "").await;
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed.bytes[..]), &mut text).expect("gzip");
        assert_eq!(text.as_bytes(), plain.bytes);
        let head = client.send("HEAD", "/api/whoami", Some("guest:guest"), "", "").await;
        assert_eq!((head.status, head.bytes.len(), head.header("content-length")), (200, 0, Some("65")));
    });
}

#[test]
fn a_virtual_host_sums_up_what_happened_in_it() {
    let mut counts = Counts::default();
    counts.add(Count::PublishIn, 7);
    counts.add(Count::DropUnroutable, 2);
    let exchanges = vec![ExchangeFigures { id: ExchangeId(Key::default()), counts }];
    with_server(Config::default(), Numbers { exchanges, ..numbers() }, |client| async move {
        loop {
            let vhosts = client.get("/api/vhosts").await.json();
            let stats = &vhosts[0]["message_stats"];
            if stats["publish"] == 0 {
                continue; // no sample was taken yet
            }
            assert_eq!(
                (&stats["publish"], &stats["drop_unroutable"], &stats["publish_details"]["rate"]),
                (&json!(7), &json!(2), &json!(0.0))
            );
            assert_eq!((&vhosts[0]["recv_oct"], &vhosts[0]["send_oct"]), (&json!(1), &json!(2)));
            return;
        }
    });
}
