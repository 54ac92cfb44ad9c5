//! Exchanges, queues and bindings under kills: those of the load, declared once, and a stream of
//! short-lived ones.

#![expect(clippy::unwrap_used, reason = "a test: an error of the client is a failure, and its text says enough")]

use std::cell::RefCell;
use std::rc::Rc;

use lapin::options::*;
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ExchangeKind};

use super::super::lapin::connect;
use super::clients::close;
use super::message::QUEUES;

/// Declares everything that the load needs; never again after that.
pub async fn declare(url: &str) {
    let connection = connect(url).await;
    let channel = connection.create_channel().await.unwrap();
    for (exchange, kind) in EXCHANGES {
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        channel.exchange_declare(exchange.into(), kind, durable, FieldTable::default()).await.unwrap();
    }
    for queue in QUEUES {
        channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), FieldTable::default()).await.unwrap();
        channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await.unwrap();
    }
    for (queue, exchange, key) in BINDINGS {
        bind(&channel, queue, exchange, key).await.unwrap();
    }
    close(connection).await;
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> lapin::Result<()> {
    channel.queue_bind(queue.into(), exchange.into(), key.into(), QueueBindOptions::default(), FieldTable::default()).await
}

/// The short-lived definitions: each is a queue with a binding to `kill.direct` by its name.
#[derive(Default)]
pub struct Definitions {
    next: u32,
    /// Declaration and binding were answered, and no deletion was sent.
    present: Vec<String>,
    /// Their deletion was answered.
    absent: Vec<String>,
}

impl Definitions {
    /// Checks the definitions of the last cycle and returns complaints; the next cycle starts
    /// without them.
    pub async fn check(mut self, url: &str) -> (Definitions, Vec<String>) {
        let (present, absent) = (std::mem::take(&mut self.present), std::mem::take(&mut self.absent));
        let connection = connect(url).await;
        let (mut unbound, mut lost, mut back) = (Vec::new(), Vec::new(), Vec::new());
        for queue in present {
            match is_bound(&connection, &queue).await {
                Ok(true) => self.absent.push(queue),
                Ok(false) => unbound.push(queue),
                Err(error) => lost.push(format!("{queue} ({error})")),
            }
        }
        for queue in absent {
            let channel = connection.create_channel().await.unwrap();
            let passive = QueueDeclareOptions { passive: true, ..Default::default() };
            if channel.queue_declare(queue.as_str().into(), passive, FieldTable::default()).await.is_ok() {
                back.push(queue);
            }
        }
        close(connection).await;
        let say = |what: &str, queues: Vec<String>| queues.first().map(|first| format!("{} queues {what}: {first}, …", queues.len()));
        let trouble = [
            say("were declared and bound, and are not there", lost),
            say("are there, but not bound, though that was answered", unbound),
            say("are back, though their deletion was answered", back),
        ];
        (self, trouble.into_iter().flatten().collect())
    }
}

/// Whether there is such a queue, with its binding. The queue is deleted then.
async fn is_bound(connection: &Connection, queue: &str) -> lapin::Result<bool> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let confirm = channel.basic_publish("kill.direct".into(), queue.into(), options, b"", BasicProperties::default()).await?;
    let routed = matches!(confirm.await?, Confirmation::Ack(None));
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
    channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
    Ok(routed)
}

/// Declares and binds queues, and deletes every third of them, until the broker ends.
pub async fn churn(connection: Connection, definitions: Rc<RefCell<Definitions>>) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    loop {
        let n = definitions.borrow().next;
        definitions.borrow_mut().next += 1;
        let queue = format!("kill.short.{n}");
        channel.queue_declare(queue.as_str().into(), QueueDeclareOptions::durable(), FieldTable::default()).await?;
        bind(&channel, &queue, "kill.direct", &queue).await?;
        if n.is_multiple_of(3) {
            channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await?;
            definitions.borrow_mut().absent.push(queue);
        } else {
            definitions.borrow_mut().present.push(queue);
        }
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
    }
}

const EXCHANGES: [(&str, ExchangeKind); 3] =
    [("kill.direct", ExchangeKind::Direct), ("kill.topic", ExchangeKind::Topic), ("kill.fan", ExchangeKind::Fanout)];
const BINDINGS: [(&str, &str, &str); 6] = [
    ("kill.a", "kill.direct", "a"),
    ("kill.b", "kill.topic", "*.b"),
    ("kill.kept", "kill.topic", "kept.#"),
    ("kill.fan.0", "kill.fan", ""),
    ("kill.fan.1", "kill.fan", ""),
    ("kill.fan.2", "kill.fan", ""),
];
