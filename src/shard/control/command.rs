//! What commands of operators do, beyond the catalog. Each takes the way of all catalog
//! [changes](crate::shard::control::order). Deleting a virtual host or a user also ends, on every
//! shard, the connections and queues that depend on it.

use crate::base::ids::{QueueAddr, ShardId, UserId};
use crate::broker::access::SALT;
use crate::broker::catalog::Verdict;
use crate::contract::{Command, Topology, VhostId};
use crate::shard::Shard;
use crate::shard::conns::conn::Conn;
use crate::shard::control::wish::Wish;
use crate::shard::peers::mail::{Mail, Order, Removal};

impl Shard {
    pub(in crate::shard) fn salt(&mut self) -> [u8; SALT] {
        std::array::from_fn(|_| self.rng.next_u64() as u8)
    }

    /// Shard 0: makes the configured defaults of a virtual host that was just made.
    pub(in crate::shard) fn make_defaults(&mut self, vhost: &str) {
        for administration in self.catalog.defaults_for(vhost, &self.config.defaults) {
            let command = Command::from(administration.hashed(|| self.salt()));
            if let Ok(Verdict::Change(change)) = self.catalog.check_command(&command, self.id) {
                self.make(change);
            }
        }
    }

    /// Shard 0: removes a queue that the catalog knows, for an operator.
    pub(in crate::shard) fn remove(&mut self, queue: QueueAddr, removal: Removal) {
        self.send(queue.home, Mail::Remove(queue.queue, Box::new(removal)));
    }

    /// Sends a command back to shard 0, which checks it again, because the queue's home does not
    /// have the queue.
    pub(in crate::shard) fn retry_removal(&mut self, Removal { shard, ticket, vhost, name, if_unused, if_empty }: Removal) {
        let command = Command::Topology { vhost, topology: Topology::DeleteQueue { name, if_unused, if_empty } };
        let order = Order { shard, ticket, wish: Wish::Command(command) };
        self.link(ShardId::ORDERER).stage(Mail::Order(Box::new(order)));
    }

    /// Ends the connections here of a virtual host that is gone from the catalog, and its queues
    /// here.
    pub(in crate::shard) fn end_vhost(&mut self, vhost: VhostId, queues: &[QueueAddr]) {
        let is_there = |conn: &Conn| conn.session.vhost() == vhost;
        self.close_opened(is_there, |conn| format!("vhost '{}' is down", conn.session.vhost_name()));
        let here = self.id;
        for queue in queues.iter().filter(|queue| queue.home == here) {
            self.take_queue(queue.queue);
        }
    }

    /// Ends the connections here of a user who is gone from the catalog.
    pub(in crate::shard) fn end_user(&mut self, user: UserId) {
        self.close_opened(|conn| conn.user().id == user, |conn| format!("user '{}' is deleted", conn.user().name));
    }

    /// Closes the connections that have a virtual host open and match `which`, and tells them why.
    fn close_opened(&mut self, which: impl Fn(&Conn) -> bool, why: impl Fn(&Conn) -> String) {
        for id in self.conns.ids() {
            let Some(conn) = self.conns.touch(id).filter(|conn| conn.stay.is_some() && which(conn)) else { continue };
            let why = why(conn);
            conn.session.force_close(&why);
            self.resume_input(id);
        }
    }
}
