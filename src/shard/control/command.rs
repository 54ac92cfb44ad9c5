//! What operators ask: their [`Command`]s take the way of all catalog [changes](crate::shard::control::order), and deleting a virtual host or a user ends what depends
//! on it on every shard.

use std::collections::VecDeque;

use crate::base::ids::{QueueAddr, ShardId, UserId};
use crate::broker::access::SALT;
use crate::broker::catalog::Verdict;
use crate::broker::catalog::defaults::completed;
use crate::contract::{Command, Fault, VhostId};
use crate::shard::Shard;
use crate::shard::conns::conn::Conn;
use crate::shard::control::order::{Waiter, Wish};
use crate::shard::peers::mail::{Mail, Order, Removal};

/// Operators' commands that were given here.
#[derive(Default)]
pub struct Commands {
    given: u64,
    /// Those that are decided and whose answer was not taken yet.
    pub decisions: VecDeque<(u64, Result<(), Fault>)>,
}

impl Shard {
    /// Takes an operator's command; [`next_decision`](Self::next_decision) answers it by the number returned here. A turn is to follow.
    pub fn command(&mut self, command: Command) -> u64 {
        let command = completed(self.hashed(command), &self.config.defaults);
        let ticket = self.commands.given;
        self.commands.given += 1;
        self.order(Wish::Command(command), Waiter::Command(ticket));
        ticket
    }

    fn hashed(&mut self, command: Command) -> Command {
        command.hashed(|| std::array::from_fn::<u8, SALT, _>(|_| self.rng.next_u64() as u8))
    }

    /// Shard 0: what the configuration has for a virtual host that was just made.
    pub(in crate::shard) fn make_defaults(&mut self, vhost: &str) {
        for command in self.catalog.defaults_for(vhost, &self.config.defaults) {
            let command = self.hashed(command);
            if let Ok(Verdict::Change(change)) = self.catalog.check_command(&command, self.id) {
                self.make(change);
            }
        }
    }

    /// Shard 0: an operator wants a queue gone that the catalog knows.
    pub(in crate::shard) fn remove(&mut self, queue: QueueAddr, removal: Removal) {
        if queue.home == self.id {
            self.on_removal(queue.queue, removal);
        } else {
            self.link(queue.home).stage(Mail::Remove(queue.queue, Box::new(removal)));
        }
    }

    /// A queue's home does not have it: shard 0 checks the command again.
    pub(in crate::shard) fn retry_removal(&mut self, Removal { shard, ticket, command }: Removal) {
        let order = Order { shard, ticket, wish: Wish::Command(command) };
        self.link(ShardId::ORDERER).stage(Mail::Order(Box::new(order)));
    }

    /// A command that was given here and is carried out on all shards and durable, or was refused.
    pub fn next_decision(&mut self) -> Option<(u64, Result<(), Fault>)> {
        self.commands.decisions.pop_front()
    }

    /// A virtual host is gone from the catalog: so are its connections here, and its queues that live here.
    pub(in crate::shard) fn end_vhost(&mut self, vhost: VhostId, queues: &[QueueAddr]) {
        let is_there = |conn: &Conn| conn.session.vhost() == vhost;
        self.close_opened(is_there, |conn| format!("vhost '{}' is down", conn.session.vhost_name()));
        let here = self.id;
        for queue in queues.iter().filter(|queue| queue.home == here) {
            self.take_queue(queue.queue);
        }
    }

    /// A user is gone from the catalog: so are its connections here.
    pub(in crate::shard) fn end_user(&mut self, user: UserId) {
        self.close_opened(|conn| conn.user().id == user, |conn| format!("user '{}' is deleted", conn.user().name));
    }

    /// Closes those of the connections with an open virtual host that `which` names, and tells them why.
    fn close_opened(&mut self, which: impl Fn(&Conn) -> bool, why: impl Fn(&Conn) -> String) {
        for id in self.conns.ids() {
            let Some(conn) = self.conns.touch(id).filter(|conn| conn.stay.is_some() && which(conn)) else { continue };
            let why = why(conn);
            conn.session.force_close(&why);
            self.resume_input(id);
        }
    }
}
