//! The end of a run: the faults stop, clients settle and leave, a last client consumes the
//! remaining messages and those that become due, and nothing remains.

use super::{ALARMS, CHANNELS, Chaos, REST_MAX};
use crate::choice::letter_binding;
use crate::op::{DELAY_MAX, Op, Settle};
use crate::queues::{LETTERS, QUEUES, is_quorum};
use crate::support::broker::Broker;
use crate::support::value::Value;
use crate::support::wire::{self, Method};

impl Chaos<'_> {
    /// Ends the faults. Everything arrives and is answered, clients settle their deliveries and
    /// leave, and one client consumes the rest.
    pub(super) fn finish(&mut self) {
        self.clients.iter_mut().for_each(|client| client.stalled = false);
        self.relieve_disks();
        ALARMS.iter().for_each(|&alarm| self.cluster.raise(alarm, false));
        self.come_to_rest();
        self.history.note("all clients settle and leave");
        for client in 0..self.clients.len() {
            self.settle_all(client);
        }
        self.come_to_rest();
        self.oracle.check_answers();
        self.oracle.is_at_rest = true;
        for client in 0..self.clients.len() {
            self.clients[client].closing = true;
            // One client after the other: a message that one gives back must not be lost on the way
            // to another that goes.
            for channel in 1..=CHANNELS {
                self.send(client, channel, Op::Close);
                self.come_to_rest();
            }
            let close = Method::new("connection.close", &[("reply_code", Value::number(200))]).expect("the list knows it");
            self.clients[client].outbox.extend(wire::method_frame(0, &close));
        }
        self.come_to_rest();
        self.hang_up();
        if self.faults.crashes {
            self.crash();
        }
        self.drain();
        self.hang_up();
        self.clear_policies();
        crate::check_empty(&self.cluster);
    }

    /// Hangs up all clients, and waits until the disks have everything.
    fn hang_up(&mut self) {
        self.clients.drain(..).for_each(|client| self.cluster.reset(client.conn));
        self.cluster.pass_time(crate::LOGS_REST_MS);
    }

    fn drain(&mut self) {
        self.history.note("a last client takes what is left");
        self.faults.global_prefetch = false; // a quorum queue has no consumers on such a channel
        self.connect();
        self.come_to_rest();
        for name in &QUEUES[..10] {
            self.consumers += 1;
            self.send(0, 1, Op::DeclareQueue(name));
            self.send(0, 1, Op::Consume { queue: name, tag: self.consumers, no_ack: false, exclusive: false, priority: 0 });
        }
        self.send(0, 1, Op::DeclareExchange(LETTERS));
        self.send(0, 1, Op::Bind(letter_binding("q0")));
        self.come_to_rest();
        self.settle_all(0);
        for _ in 0..DELAY_ROUNDS {
            self.history.note("what is delayed becomes due");
            self.cluster.pass_time(DELAY_MAX / DELAY_ROUNDS + 1000);
            self.come_to_rest();
            self.settle_all(0);
        }
        self.oracle.check_end();
        for name in &QUEUES[..10] {
            self.send(0, 2, Op::DeleteQueue { name, if_unused: false, if_empty: !is_quorum(name) });
        }
        self.come_to_rest();
        self.clients[0].closing = true;
        let close = Method::new("connection.close", &[("reply_code", Value::number(200))]).expect("the list knows it");
        self.clients[0].outbox.extend(wire::method_frame(0, &close));
        self.come_to_rest();
    }

    /// Acks everything that a client holds, again and again until nothing arrives any more.
    fn settle_all(&mut self, client: usize) {
        for channel in 1..=CHANNELS {
            for round in 0.. {
                assert!(round < REST_MAX, "client {client} is given the same again and again");
                let at = self.clients[client].channels[&channel];
                let tag = self.oracle.channels[at].held.keys().next_back().copied();
                if let Some(tag) = tag {
                    self.send(client, channel, Op::Settle { how: Settle::Ack, tag, multiple: true });
                }
                if self.oracle.channels[at].transacts {
                    self.send(client, channel, Op::Commit);
                }
                self.come_to_rest();
                if tag.is_none() {
                    break;
                }
            }
        }
    }
}

/// The number of parts in which the longest delay passes; after each of them the last client
/// settles its deliveries.
const DELAY_ROUNDS: u64 = 4;
