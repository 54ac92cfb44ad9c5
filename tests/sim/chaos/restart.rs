//! Crashes at any moment, after which the broker starts from its disks; and disks that are full.

use super::{CLIENTS, Chaos};
use crate::exact::handshake;
use crate::op::{EXCHANGES, HASH, Name, Op};
use crate::queues::QUEUES;
use crate::support::broker::{Broker, Conn};
use crate::support::client::{Event, Incoming};
use crate::support::value::Value;
use crate::support::wire::{self, Method};

impl Chaos<'_> {
    /// Crashes the machine, or makes its disks full or no longer full.
    pub(super) fn trouble_disks(&mut self) {
        if self.faults.crashes && self.dice.one_in(8) {
            self.crash();
            (0..CLIENTS).for_each(|_| self.connect());
        } else if self.faults.full_disks {
            self.are_disks_full = self.dice.one_in(3);
            self.history.note(format_args!("full disks: {}", self.are_disks_full));
            self.cluster.set_full(self.are_disks_full);
        }
    }

    /// Makes the disks fast and no longer full.
    pub(super) fn relieve_disks(&mut self) {
        self.are_disks_full = false;
        self.cluster.set_full(false);
        self.cluster.set_slowness(1, 1);
    }

    /// Crashes the broker at any moment, and starts it again.
    pub(super) fn crash(&mut self) {
        self.history.note("the broker crashes");
        self.oracle.now = self.cluster.time_of_day();
        self.cluster.crash();
        self.oracle.on_crash();
        self.clients.clear();
        self.turned.fill(false);
        self.cluster.start();
        self.oracle.now = self.cluster.time_of_day();
        if !self.are_disks_full && self.dice.one_in(2) {
            self.look_around();
        }
    }

    /// Looks, as the first client after a restart, at the queues and exchanges that exist.
    fn look_around(&mut self) {
        let conn = self.cluster.connect();
        self.cluster.send(conn, &handshake(FRAME));
        self.cluster.drain(conn);
        for (number, name) in (1..).zip(QUEUES) {
            let count = self
                .look(conn, number, &Op::CheckQueue(name).encode(number, FRAME))
                .map(|found| found.field("message_count").and_then(Value::as_number).expect("declare-ok has a count") as u64);
            self.history.note(format_args!("queue {name}: {count:?}"));
            self.oracle.on_queue_looked(name, count);
        }
        for (number, name) in (100..).zip(EXCHANGES.iter().map(|(name, _)| *name).chain([HASH])) {
            let is_there = self.look(conn, number, &check_exchange(number, name)).is_some();
            self.history.note(format_args!("exchange {name}: {is_there}"));
            self.oracle.topology.on_looked(name, false, is_there);
        }
        self.cluster.reset(conn);
    }

    /// Returns the answer to a passive declaration on a new channel, or `None` if the queue or
    /// exchange does not exist.
    fn look(&mut self, conn: Conn, channel: u16, declaration: &[u8]) -> Option<Method> {
        self.cluster.send(conn, &Op::Open.encode(channel, FRAME));
        self.cluster.send(conn, declaration);
        let (_, answer) = Incoming::default().feed(&self.cluster.drain(conn)).pop().expect("every request is answered");
        match answer {
            Event::Method(method, None) if method.name.ends_with("declare-ok") => Some(method),
            Event::Method(method, None) if method.field("reply_code").and_then(Value::as_number) == Some(404) => None,
            _ => panic!("{answer:?} answers a passive declaration"),
        }
    }
}

fn check_exchange(channel: u16, name: Name) -> Vec<u8> {
    let fields = [("exchange", Value::text(name)), ("type", Value::text("")), ("passive", Value::Bool(true))];
    wire::method_frame(channel, &Method::new("exchange.declare", &fields).expect("the list knows it"))
}

const FRAME: usize = 4096;
