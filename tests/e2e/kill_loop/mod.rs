//! The broker is killed again and again while clients work, and every confirmed message is
//! accounted for.
//!
//! A cycle: publishers with confirms, consumers that ack most deliveries and leave some, and a
//! client that declares and deletes, work for a random part of a second; SIGKILL; a start, which
//! may itself be killed before it succeeds; then a check of the broker's state. New connections go
//! on in the next cycle, with one shard, two or three. After the last cycle (or the first one with
//! complaints) every queue is drained.
//!
//! The journal holds the clients' knowledge, from which the broker's duties follow (`journal.rs`):
//!
//! - A confirmed message that was not settled is there, in every queue that it was routed to, with
//!   its content and in its publisher's order.
//! - A settlement that was followed, on its channel, by a confirmed message to the same queue is
//!   stored: that message never comes again.
//! - A message that was delivered before is flagged `redelivered`; one without the flag comes once
//!   and in order; every message that comes was published.
//! - Exchanges, queues and bindings are there once their declarations were answered, and gone once
//!   their deletions were.
//!
//! `RINGMQ_E2E_CYCLES` sets the number of cycles, `RINGMQ_E2E_SEED` repeats the choices of a run,
//! though not the moments of its kills.

mod clients;
mod definitions;
mod journal;
mod message;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use lapin::options::*;
use lapin::types::FieldTable;
use tokio::task::LocalSet;

use super::broker::Broker;
use super::lapin::{block_on, connect};
use definitions::Definitions;
use journal::Journal;
use message::{Dice, QUEUES};

#[test]
fn confirmed_messages_outlive_fifty_kills() {
    let seed = number("RINGMQ_E2E_SEED").unwrap_or_else(|| SystemTime::UNIX_EPOCH.elapsed().map_or(1, |now| now.subsec_nanos().into()));
    let cycles = number("RINGMQ_E2E_CYCLES").unwrap_or(CYCLES) as u16;
    println!("RINGMQ_E2E_SEED={seed} RINGMQ_E2E_CYCLES={cycles}");
    let Some(broker) = Broker::restartable(&["--shards", "1"]) else { return };
    block_on(LocalSet::new().run_until(Loop::new(broker, seed).run(cycles)));
}

struct Loop {
    broker: Broker,
    dice: Dice,
    journal: Rc<RefCell<Journal>>,
    definitions: Rc<RefCell<Definitions>>,
}

impl Loop {
    fn new(broker: Broker, seed: u64) -> Loop {
        // A RabbitMQ that was killed gives settled messages back, even a second later.
        let settled_lasts = broker.is_ours();
        let journal = Journal::new(seed, settled_lasts);
        Loop { broker, dice: Dice::new(seed), journal: Rc::new(RefCell::new(journal)), definitions: Rc::default() }
    }

    async fn run(mut self, cycles: u16) {
        definitions::declare(self.broker.url()).await;
        let mut done = 0;
        while done < cycles && !self.journal.borrow().has_trouble() {
            done += 1;
            self.journal.borrow_mut().cycle = done;
            self.work().await;
            self.look().await;
        }
        self.drain().await;
        println!("{done} cycles: {}", self.journal.borrow().summary());
        let trouble = self.journal.borrow().trouble();
        assert!(trouble.is_empty(), "after {done} of {cycles} cycles:\n{trouble}");
        if let Some(status) = self.broker.stop() {
            assert!(status.success(), "the broker ended with {status}");
        }
    }

    /// Runs a load, a kill, and a start that succeeds.
    async fn work(&mut self) {
        let clients = clients::start(self.broker.url(), &self.journal, &self.definitions, &mut self.dice).await;
        tokio::time::sleep(Duration::from_millis(self.dice.below(LOAD_MS.1 - LOAD_MS.0) + LOAD_MS.0)).await;
        if !self.broker.is_ours() {
            self.broker.restart("KILL", &[]);
            return clients.ended().await;
        }
        self.broker.end("KILL");
        clients.ended().await;
        let shards = (1 + self.dice.below(3)).to_string();
        if self.dice.one_in(4) {
            self.broker.die_at_start(&["--shards", &shards], Duration::from_millis(self.dice.below(40)));
        }
        self.broker.start_again(&["--shards", &shards]);
    }

    /// Checks the state right after a start: the definitions are there, and every queue has as many
    /// messages as it must have, and no more than it may have.
    async fn look(&mut self) {
        let definitions = self.definitions.take();
        let (definitions, mut trouble) = definitions.check(self.broker.url()).await;
        self.definitions.replace(definitions);
        let connection = connect(self.broker.url()).await;
        for (queue, name) in QUEUES.iter().enumerate() {
            let channel = connection.create_channel().await.expect("a new connection gives a channel");
            let passive = QueueDeclareOptions { passive: true, ..Default::default() };
            match channel.queue_declare((*name).into(), passive, FieldTable::default()).await {
                Err(error) => trouble.push(format!("queue {name} is gone: {error}")),
                Ok(found) => trouble.extend(self.journal.borrow().check_count(queue, found.message_count())),
            }
        }
        trouble.into_iter().for_each(|text| self.journal.borrow_mut().complain(text));
        clients::close(connection).await;
    }

    /// Drains all queues; messages that are missing then are lost.
    async fn drain(&mut self) {
        for (queue, name) in QUEUES.iter().enumerate() {
            if let Err(error) = clients::drain(self.broker.url(), &self.journal, queue).await {
                self.journal.borrow_mut().complain(format!("{name} cannot be drained: {error}"));
            }
        }
        self.journal.borrow_mut().complain_about_lost();
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

/// The number of cycles: each takes a little less than a second, and the drain some seconds.
const CYCLES: u64 = 50;
/// The shortest and the longest time from the first connection to the kill.
const LOAD_MS: (u64, u64) = (200, 800);
