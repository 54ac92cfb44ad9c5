//! The objects in the broker during a run: exchanges, queues, bindings; and which consumers and
//! producers use them.

use super::CONSUME_CHANNEL;
use super::batch::Target;
use crate::amqp::encode::{Encoder, Table};
use crate::amqp::id;
use crate::cli::RunArgs;
use crate::connection::{Calls, Connection, Result};
use crate::values::numbered;

/// The names of a run's objects.
pub struct Topology<'a> {
    args: &'a RunArgs,
    /// Queue names, by number.
    pub queues: Vec<String>,
    /// Exchange names; empty for the default exchange.
    pub exchanges: Vec<String>,
}

impl<'a> Topology<'a> {
    /// Makes the names that the options ask for.
    pub fn new(args: &'a RunArgs) -> Topology<'a> {
        let queues = (0..args.queues).map(|i| numbered(&args.queue_pattern, i)).collect();
        let exchanges = if args.exchange.is_empty() { 0 } else { args.exchanges };
        Topology { args, queues, exchanges: (0..exchanges).map(|i| numbered(&args.exchange, i)).collect() }
    }

    /// Number of queues that a message reaches, if all bindings are those of this run.
    pub fn copies(&self) -> u64 {
        self.args.copies.unwrap_or(if self.is_fanout() { self.queues.len() as u64 } else { 1 })
    }

    /// The queues of consumer `i`: every queue has a consumer, and every consumer a queue.
    pub fn queues_of_consumer(&self, i: usize) -> Vec<usize> {
        share(self.queues.len(), self.args.consumers, i)
    }

    /// The consumer whose connection declares queue `q` if the queue is exclusive.
    pub fn owner(&self, q: usize) -> Option<usize> {
        (self.args.exclusive && self.args.consumers > 0).then(|| q % self.args.consumers)
    }

    /// The targets of producer `i`.
    pub fn targets_of_producer(&self, i: usize) -> Vec<Target> {
        let headers = |n| self.args.headers.numbered(n);
        if self.exchanges.is_empty() {
            let queues = share(self.queues.len(), self.args.producers, i);
            return queues
                .into_iter()
                .map(|q| Target { exchange: String::new(), key: self.queues[q].clone(), headers: headers(q) })
                .collect();
        }
        let exchange = &self.exchanges[i % self.exchanges.len()];
        let running = !self.is_fanout() && self.args.routing_key.contains("%d") || !self.args.headers.0.is_empty();
        let keys = self.args.routing_keys.unwrap_or(if running { self.bindings() } else { 1 });
        let target = |n| Target { exchange: exchange.clone(), key: self.key(&self.args.routing_key, n), headers: headers(n) };
        (0..keys.max(1)).map(target).collect()
    }

    /// Declares the exchanges.
    pub fn declare_exchanges(&self, connection: &mut Connection) -> Result<()> {
        for exchange in &self.exchanges {
            connection.call(1, id::EXCHANGE_DECLARE, id::EXCHANGE_DECLARE_OK, |e| {
                e.u16(0).short(exchange).short(&self.args.kind).u8(u8::from(self.args.queue_durable) << 1).table(&Table::new());
            })?;
        }
        Ok(())
    }

    /// Declares the queues of one owner, purges and binds them. Thousands of calls need not wait
    /// for each other's replies.
    pub fn declare_queues(&self, connection: &mut Connection, channel: u16, owner: Option<usize>) -> Result<()> {
        let mut calls = Calls::new(connection);
        (0..self.queues.len()).filter(|q| self.owner(*q) == owner).try_for_each(|q| self.declare_queue(&mut calls, channel, q))?;
        calls.finish()
    }

    fn declare_queue(&self, calls: &mut Calls<'_>, channel: u16, q: usize) -> Result<()> {
        let args = self.args;
        let name = &self.queues[q];
        let bits = u8::from(args.queue_durable) << 1 | u8::from(args.exclusive) << 2 | u8::from(args.auto_delete) << 3;
        calls.add(channel, id::QUEUE_DECLARE, id::QUEUE_DECLARE_OK, |e| {
            e.u16(0).short(name).u8(bits).table(&args.queue_args.0);
        })?;
        calls.add(channel, id::QUEUE_PURGE, id::QUEUE_PURGE_OK, |e| {
            e.u16(0).short(name).u8(0);
        })?;
        let key = args.binding_key.as_ref().unwrap_or(&args.routing_key);
        for exchange in &self.exchanges {
            for b in (q..self.bindings()).step_by(self.queues.len()) {
                calls.add(channel, id::QUEUE_BIND, id::QUEUE_BIND_OK, |e| {
                    e.u16(0).short(name).short(exchange).short(&self.key(key, b)).u8(0).table(&args.binding_headers.numbered(b));
                })?;
            }
        }
        Ok(())
    }

    /// Deletes what was declared.
    pub fn delete(&self, connection: &mut Connection) -> Result<()> {
        for queue in self.queues.iter().filter(|_| !self.args.exclusive) {
            connection.call(1, id::QUEUE_DELETE, id::QUEUE_DELETE_OK, |e| {
                e.u16(0).short(queue).u8(0);
            })?;
        }
        for exchange in &self.exchanges {
            connection.call(1, id::EXCHANGE_DELETE, id::EXCHANGE_DELETE_OK, |e| {
                e.u16(0).short(exchange).u8(0);
            })?;
        }
        Ok(())
    }

    /// Encodes the frames that start consumer `i`; its tag is its queue's number.
    pub fn consume_frames(&self, i: usize) -> Vec<u8> {
        let mut e = Encoder::default();
        for q in self.queues_of_consumer(i) {
            e.method(CONSUME_CHANNEL, id::BASIC_CONSUME, |e| {
                e.u16(0).short(&self.queues[q]).short(&q.to_string()).u8(u8::from(self.args.autoack) << 1).table(&Table::new());
            });
        }
        e.out
    }

    fn is_fanout(&self) -> bool {
        self.args.kind == "fanout" && !self.exchanges.is_empty()
    }

    /// The routing key with a number. A fanout exchange uses none.
    fn key(&self, pattern: &str, number: usize) -> String {
        if self.is_fanout() { String::new() } else { numbered(pattern, number) }
    }

    fn bindings(&self) -> usize {
        self.args.bindings.unwrap_or(self.queues.len()).max(self.queues.len())
    }
}

/// The share of member `i` of `members` in `things`: several each if there are more things,
/// otherwise one each, in turn.
fn share(things: usize, members: usize, i: usize) -> Vec<usize> {
    if things <= members { vec![i % things] } else { (i..things).step_by(members).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_everything() {
        assert_eq!(share(2, 5, 3), [1]);
        assert_eq!(share(5, 2, 0), [0, 2, 4]);
        assert_eq!(share(5, 2, 1), [1, 3]);
    }
}
