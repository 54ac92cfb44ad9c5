//! The clients of a cycle, each on a connection of its own. They work until the broker ends, and
//! tell the journal everything that they see.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::StreamExt;
use lapin::message::Delivery;
use lapin::options::*;
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ErrorKind, PublisherConfirm, Result};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::Instant;

use super::super::lapin::connect;
use super::definitions::{self, Definitions};
use super::journal::{Journal, Order};
use super::message::{CONSUMERS_FROM, Dice, Id, QUEUES, ROUTES};

type Shared = Rc<RefCell<Journal>>;

/// The running clients.
pub struct Clients(Vec<JoinHandle<()>>);

/// Connects all of them.
pub async fn start(url: &str, journal: &Shared, definitions: &Rc<RefCell<Definitions>>, dice: &mut Dice) -> Clients {
    let (mut tasks, mut connections) = (Vec::new(), Vec::new());
    for _ in 0..=ROUTES.len() {
        connections.push(connect(url).await);
    }
    let churn = definitions::churn(connections.swap_remove(0), definitions.clone());
    for (publisher, connection) in connections.into_iter().enumerate() {
        let (journal, dice) = (journal.clone(), Dice::new(dice.next()));
        tasks.push(spawn_local(async move {
            let result = match publisher {
                CONSUMERS_FROM.. => Consumer::run(&connection, publisher, journal.clone(), dice).await,
                _ => publish(&connection, publisher, &journal, dice).await,
            };
            complain(&journal, publisher, result);
        }));
    }
    let journal = journal.clone();
    tasks.push(spawn_local(async move { complain(&journal, ROUTES.len(), churn.await) }));
    Clients(tasks)
}

impl Clients {
    /// Waits until all clients have noticed that the broker has gone. lapin sometimes leaves a call
    /// without an answer when a connection breaks; a client that waits for such an answer is ended,
    /// and the call counts as unanswered.
    pub async fn ended(self) {
        let deadline = Instant::now() + NOTICE;
        for mut task in self.0 {
            match tokio::time::timeout_at(deadline, &mut task).await {
                Ok(ended) => ended.expect("no client panics"),
                Err(_) => task.abort(),
            }
        }
    }
}

/// Checks that a client ended because it lost its connection, not by an error of the broker.
fn complain(journal: &Shared, client: usize, result: Result<()>) {
    if let Err(error) = result
        && let ErrorKind::ProtocolError(told) = error.kind()
    {
        journal.borrow_mut().complain(format!("the broker told client {client} an error: {told}"));
    }
}

/// Publishes in bursts, with a window of unconfirmed messages, then waits for the remaining
/// confirms.
async fn publish(connection: &Connection, publisher: usize, journal: &Shared, mut dice: Dice) -> Result<()> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut window = VecDeque::new();
    let result = loop {
        let (id, confirm) = publish_next(&channel, publisher, journal).await;
        match confirm {
            Ok(confirm) => window.push_back((id, confirm)),
            Err(error) => break Err(error),
        }
        if window.len() >= ROUTES[publisher].window
            && let Some((id, confirm)) = window.pop_front()
        {
            note(journal, id, confirm).await;
        }
        if dice.one_in(BURST) {
            tokio::time::sleep(Duration::from_millis(dice.below(PAUSE_MS))).await;
        }
    };
    for (id, confirm) in window {
        note(journal, id, confirm).await;
    }
    result
}

async fn publish_next(channel: &Channel, publisher: usize, journal: &Shared) -> (Id, Result<PublisherConfirm>) {
    let route = &ROUTES[publisher];
    let (id, body) = journal.borrow_mut().publish(publisher);
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let properties = BasicProperties::default().with_delivery_mode(2).with_message_id(id.to_string().into());
    (id, channel.basic_publish(route.exchange.into(), route.key.into(), options, &body, properties).await)
}

/// Waits for a confirm. Returns false if it did not come.
async fn note(journal: &Shared, id: Id, confirm: PublisherConfirm) -> bool {
    let outcome = confirm.await;
    let mut journal = journal.borrow_mut();
    match outcome {
        Ok(Confirmation::Ack(None)) => {
            journal.confirmed(id);
            return true;
        }
        Ok(Confirmation::Ack(Some(_))) => journal.complain(format!("{id} was returned: a queue or its binding is gone")),
        Ok(other) => journal.complain(format!("{id} was not confirmed but: {other:?}")),
        Err(_) => {}
    }
    false
}

/// Consumes the queue that its route leads to, and publishes a message of its own after a number of
/// settlements.
struct Consumer {
    channel: Channel,
    publisher: usize,
    queue: usize,
    journal: Shared,
    dice: Dice,
    order: Order,
    /// Settlements since the last message of its own.
    settled: Vec<Id>,
    /// The number of deliveries that it has left unsettled.
    left: usize,
    seals: Vec<JoinHandle<()>>,
}

impl Consumer {
    async fn run(connection: &Connection, publisher: usize, journal: Shared, dice: Dice) -> Result<()> {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let queue = ROUTES[publisher].queues[0];
        let (order, settled, left, seals) = (Order::default(), Vec::new(), 0, Vec::new());
        let mut consumer = Consumer { channel, publisher, queue, journal, dice, order, settled, left, seals };
        let result = consumer.work().await;
        for seal in consumer.seals {
            seal.await.expect("no client panics");
        }
        result
    }

    async fn work(&mut self) -> Result<()> {
        let (tag, options) = ("".into(), BasicConsumeOptions::default());
        let mut deliveries = self.channel.basic_consume(QUEUES[self.queue].into(), tag, options, FieldTable::default()).await?;
        while let Some(delivery) = deliveries.next().await {
            self.on_delivery(delivery?).await?;
        }
        Ok(())
    }

    async fn on_delivery(&mut self, delivery: Delivery) -> Result<()> {
        let Some(id) = receive(&self.journal, self.queue, &delivery) else { return Ok(()) };
        if !delivery.redelivered {
            self.journal.borrow_mut().ordered(self.queue, &mut self.order, id);
        }
        let choice = self.dice.below(100);
        if choice < 3 && self.left < LEFT_MAX {
            self.left += 1;
            return Ok(());
        }
        if choice < 8 {
            self.journal.borrow_mut().requeued(self.queue, id);
            return delivery.nack(BasicNackOptions { requeue: true, multiple: false }).await.map(drop);
        }
        self.journal.borrow_mut().settled(self.queue, id);
        self.settled.push(id);
        match choice {
            8 => delivery.reject(BasicRejectOptions { requeue: false }).await?,
            _ => delivery.ack(BasicAckOptions::default()).await?,
        };
        if self.settled.len() >= SEAL_AFTER { self.seal().await } else { Ok(()) }
    }

    /// Publishes to the queue: once that message is confirmed, the settlements before it are
    /// stored.
    async fn seal(&mut self) -> Result<()> {
        let (id, confirm) = publish_next(&self.channel, self.publisher, &self.journal).await;
        let (confirm, settled, journal, queue) = (confirm?, std::mem::take(&mut self.settled), self.journal.clone(), self.queue);
        self.seals.push(spawn_local(async move {
            if note(&journal, id, confirm).await {
                settled.into_iter().for_each(|id| journal.borrow_mut().gone(queue, id));
            }
        }));
        Ok(())
    }
}

fn receive(journal: &Shared, queue: usize, delivery: &Delivery) -> Option<Id> {
    let id = delivery.properties.message_id().as_ref().map_or("", |id| id.as_str());
    journal.borrow_mut().delivered(queue, id, &delivery.data, delivery.redelivered)
}

/// Takes all messages out of a queue whose order only the kill can have changed.
pub async fn drain(url: &str, journal: &Shared, queue: usize) -> Result<()> {
    let connection = connect(url).await;
    let channel = connection.create_channel().await?;
    let (tag, options) = ("".into(), BasicConsumeOptions::default());
    let mut deliveries = channel.basic_consume(QUEUES[queue].into(), tag, options, FieldTable::default()).await?;
    let mut order = Order::default();
    loop {
        match tokio::time::timeout(QUIET, deliveries.next()).await {
            Ok(Some(delivery)) => {
                if let Some(id) = receive(journal, queue, &delivery?) {
                    journal.borrow_mut().ordered(queue, &mut order, id);
                    journal.borrow_mut().settled(queue, id);
                }
            }
            Ok(None) => break,
            Err(_) if ready(&channel, queue).await? == 0 => break,
            Err(_) => {}
        }
    }
    channel.basic_ack(0, BasicAckOptions { multiple: true }).await?;
    close(connection).await;
    Ok(())
}

/// Closes the connection. lapin refuses this while it still closes a channel.
pub async fn close(connection: Connection) {
    let _ = connection.close(200, "done".into()).await;
}

async fn ready(channel: &Channel, queue: usize) -> Result<u32> {
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    Ok(channel.queue_declare(QUEUES[queue].into(), passive, FieldTable::default()).await?.message_count())
}

/// The time in which clients read what the broker sent before it was killed.
const NOTICE: Duration = Duration::from_millis(200);
/// The mean number of messages in a burst, and the longest pause after one, so that the load of
/// publishers stays near what consumers can take.
const BURST: u64 = 100;
const PAUSE_MS: u64 = 50;
const PREFETCH: u16 = 300;
/// The most messages that a consumer leaves unsettled, so that it goes on.
const LEFT_MAX: usize = 150;
const SEAL_AFTER: usize = 100;
/// The silence after which a queue is asked whether it is empty.
const QUIET: Duration = Duration::from_millis(200);
