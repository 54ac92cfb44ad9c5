//! lapin, the Rust client: confirms, consumers, gets, every exchange type, many channels, errors,
//! large bodies.

#![expect(clippy::unwrap_used, reason = "a test: an error of the client is a failure, and its text says enough")]

use std::future::Future;
use std::time::Duration;

use futures_lite::StreamExt;
use lapin::message::Delivery;
use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind, ExchangeKind};

use super::broker::Broker;

/// Runs every case on one thread, each within a time limit.
pub fn every_case(broker: &Broker) {
    let url = broker.url();
    block_on(async {
        within("publish and consume", publish_and_consume(url)).await;
        within("get and requeue", get_and_requeue(url)).await;
        within("returned", returned(url)).await;
        within("exchange types", exchange_types(url)).await;
        within("many channels", many_channels(url)).await;
        within("many connections", many_connections(url)).await;
        within("errors", errors(url)).await;
        within("large bodies", large_bodies(url)).await;
    });
}

/// Drives a future on this thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made").block_on(future)
}

/// Connects without recovery, so that the test sees the end of the connection.
pub async fn connect(url: &str) -> Connection {
    Connection::connect(url, ConnectionProperties::default()).await.expect("the broker accepts guest")
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(CASE_MAX, future).await.unwrap_or_else(|_| panic!("lapin: {what} took more than {CASE_MAX:?}"))
}

async fn publish_and_consume(url: &str) {
    let (one, two) = (connect(url).await, connect(url).await);
    let (publisher, receiver) = (one.create_channel().await.unwrap(), two.create_channel().await.unwrap());
    let queue = declare(&receiver, "e2e.lapin.consume").await;
    publisher.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    receiver.basic_qos(20, BasicQosOptions::default()).await.unwrap();
    let mut consumer = consume(&receiver, &queue).await;
    for n in 0..500u32 {
        let confirm = publish(&publisher, "", &queue, &n.to_be_bytes()).await;
        if n % 100 == 99 {
            assert!(matches!(confirm.await.unwrap(), Confirmation::Ack(None)));
        }
    }
    for n in 0..500u32 {
        let delivery = next(&mut consumer).await;
        assert_eq!((delivery.data.as_slice(), delivery.redelivered), (n.to_be_bytes().as_slice(), false));
        delivery.ack(BasicAckOptions::default()).await.unwrap();
    }
    assert!(publisher.wait_for_confirms().await.unwrap().is_empty());
    receiver.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await.unwrap();
    assert_eq!(receiver.queue_delete(queue, QueueDeleteOptions::default()).await.unwrap(), 0);
}

async fn get_and_requeue(url: &str) {
    let connection = connect(url).await;
    let channel = connection.create_channel().await.unwrap();
    let queue = own_queue(&channel).await;
    assert!(channel.basic_get(queue.clone(), BasicGetOptions::default()).await.unwrap().is_none());
    for body in [b"a", b"b"] {
        publish(&channel, "", &queue, body).await;
    }
    let first = get(&channel, &queue).await;
    first.nack(BasicNackOptions { requeue: true, multiple: false }).await.unwrap();
    let again = get(&channel, &queue).await;
    assert_eq!((again.data.as_slice(), again.redelivered), (b"a".as_slice(), true));
    again.reject(BasicRejectOptions { requeue: false }).await.unwrap();
    assert_eq!(get(&channel, &queue).await.data, b"b");
    channel.basic_recover(BasicRecoverOptions { requeue: true }).await.unwrap();
    let recovered = get(&channel, &queue).await;
    assert_eq!((recovered.data.as_slice(), recovered.redelivered), (b"b".as_slice(), true));
    recovered.ack(BasicAckOptions::default()).await.unwrap();
}

async fn returned(url: &str) {
    let connection = connect(url).await;
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let properties = BasicProperties::default().with_message_id("42".into());
    let confirm = channel.basic_publish("amq.topic".into(), "e2e.nobody".into(), options, b"lost", properties).await.unwrap();
    let Confirmation::Ack(Some(message)) = confirm.await.unwrap() else { panic!("neither returned nor confirmed") };
    assert_eq!((message.reply_code, message.reply_text.as_str()), (312, "NO_ROUTE"));
    assert_eq!((message.delivery.data.as_slice(), message.delivery.routing_key.as_str()), (b"lost".as_slice(), "e2e.nobody"));
}

async fn exchange_types(url: &str) {
    let connection = connect(url).await;
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let mut headers = FieldTable::default();
    headers.insert("kind".into(), AMQPValue::LongString("a".into()));
    for (kind, binding, arguments) in [
        (ExchangeKind::Direct, "key", FieldTable::default()),
        (ExchangeKind::Fanout, "", FieldTable::default()),
        (ExchangeKind::Topic, "*.#", FieldTable::default()),
        (ExchangeKind::Headers, "", headers.clone()),
    ] {
        let exchange: ShortString = format!("e2e.lapin.{kind:?}").into();
        let options = ExchangeDeclareOptions { auto_delete: true, ..Default::default() };
        channel.exchange_declare(exchange.clone(), kind, options, FieldTable::default()).await.unwrap();
        let queue = own_queue(&channel).await;
        channel.queue_bind(queue.clone(), exchange.clone(), binding.into(), QueueBindOptions::default(), arguments).await.unwrap();
        let properties = BasicProperties::default().with_headers(headers.clone());
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let confirm = channel.basic_publish(exchange.clone(), "key".into(), options, b"x", properties).await.unwrap();
        assert!(matches!(confirm.await.unwrap(), Confirmation::Ack(None)), "{exchange} routes");
        let message = get(&channel, &queue).await;
        assert_eq!((message.exchange.as_str(), message.properties.headers()), (exchange.as_str(), &Some(headers.clone())));
    }
}

async fn many_channels(url: &str) {
    let (one, two) = (connect(url).await, connect(url).await);
    let publisher = one.create_channel().await.unwrap();
    publisher.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let mut consumers = Vec::new();
    for _ in 0..100 {
        let channel = two.create_channel().await.unwrap();
        let queue = own_queue_named(&channel, format!("e2e.lapin.many.{}", consumers.len())).await;
        consumers.push((consume(&channel, &queue).await, queue));
    }
    for round in 0..10u8 {
        for (_, queue) in &consumers {
            publish_mandatory(&publisher, queue, round).await;
        }
    }
    for (consumer, _) in &mut consumers {
        for round in 0..10u8 {
            let delivery = next(consumer).await;
            assert_eq!(delivery.data, [round]);
            delivery.ack(BasicAckOptions::default()).await.unwrap();
        }
    }
    assert!(publisher.wait_for_confirms().await.unwrap().is_empty(), "every message had its queue");
}

async fn many_connections(url: &str) {
    let tasks: Vec<_> = (0..24u8).map(|n| tokio::spawn(visit(url.to_owned(), n))).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn visit(url: String, n: u8) {
    let connection = connect(&url).await;
    let channel = connection.create_channel().await.unwrap();
    let queue = own_queue(&channel).await;
    let mut consumer = consume(&channel, &queue).await;
    for i in 0..50u8 {
        publish(&channel, "", &queue, &[n, i]).await;
    }
    for i in 0..50u8 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.data, [n, i]);
        delivery.ack(BasicAckOptions::default()).await.unwrap();
    }
    connection.close(200, "done".into()).await.unwrap();
}

async fn errors(url: &str) {
    let connection = connect(url).await;
    let channel = connection.create_channel().await.unwrap();
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let missing = channel.queue_declare("e2e.missing".into(), passive, FieldTable::default()).await;
    assert_eq!(code(missing.expect_err("there is no such queue").kind()), 404);
    let channel = connection.create_channel().await.unwrap();
    let other =
        channel.exchange_declare("amq.direct".into(), ExchangeKind::Fanout, ExchangeDeclareOptions::default(), FieldTable::default());
    assert_eq!(code(other.await.expect_err("it is of another type").kind()), 406);
    let refused = Connection::connect(&url.replace("guest:guest", "guest:wrong"), ConnectionProperties::default()).await;
    assert_eq!(code(refused.expect_err("a wrong password").kind()), 403);
}

/// Returns the reply code with which the broker closed a channel or connection.
pub fn code(kind: &ErrorKind) -> u16 {
    match kind {
        ErrorKind::ProtocolError(error) => error.get_id(),
        other => panic!("the broker should have told an error, but: {other:?}"),
    }
}

async fn large_bodies(url: &str) {
    let (one, two) = (connect(url).await, connect(url).await);
    let (publisher, receiver) = (one.create_channel().await.unwrap(), two.create_channel().await.unwrap());
    let queue = declare(&receiver, "e2e.lapin.large").await;
    let mut consumer = consume(&receiver, &queue).await;
    let bodies: Vec<Vec<u8>> =
        [0, 1, 131_064, 131_065, 1 << 20, 10 << 20].map(|size| (0..size).map(|at| (at % 251) as u8).collect()).into();
    for body in &bodies {
        publish(&publisher, "", &queue, body).await;
    }
    for body in &bodies {
        let delivery = next(&mut consumer).await;
        assert!(delivery.data == *body, "{} bytes came as {}", body.len(), delivery.data.len());
        delivery.ack(BasicAckOptions::default()).await.unwrap();
    }
    receiver.queue_delete(queue, QueueDeleteOptions::default()).await.unwrap();
}

async fn publish_mandatory(channel: &Channel, queue: &ShortString, round: u8) {
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    channel.basic_publish("".into(), queue.clone(), options, &[round], BasicProperties::default()).await.unwrap();
}

async fn declare(channel: &Channel, name: &str) -> ShortString {
    let queue = channel.queue_declare(name.into(), QueueDeclareOptions::durable(), FieldTable::default()).await.unwrap();
    queue.name().clone()
}

async fn own_queue(channel: &Channel) -> ShortString {
    own_queue_named(channel, String::new()).await
}

async fn own_queue_named(channel: &Channel, name: String) -> ShortString {
    let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
    channel.queue_declare(name.into(), options, FieldTable::default()).await.unwrap().name().clone()
}

async fn publish(channel: &Channel, exchange: &str, key: &ShortString, body: &[u8]) -> lapin::PublisherConfirm {
    let options = BasicPublishOptions::default();
    channel.basic_publish(exchange.into(), key.clone(), options, body, BasicProperties::default()).await.unwrap()
}

async fn consume(channel: &Channel, queue: &ShortString) -> Consumer {
    channel.basic_consume(queue.clone(), "".into(), BasicConsumeOptions::default(), FieldTable::default()).await.unwrap()
}

async fn next(consumer: &mut Consumer) -> Delivery {
    consumer.next().await.expect("the consumer was not cancelled").expect("a delivery, no error")
}

async fn get(channel: &Channel, queue: &ShortString) -> Delivery {
    channel.basic_get(queue.clone(), BasicGetOptions::default()).await.unwrap().expect("a message waits").delivery
}

const CASE_MAX: Duration = Duration::from_secs(40);
