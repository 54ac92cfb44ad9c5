//! Changes of the catalog: ordered by shard 0, applied everywhere, answered when all shards have
//! them.
//!
//! ```text
//! asker ── Order ─▶ shard 0: check, log, apply ── Apply ─▶ each shard: apply ── Applied ─▶ shard 0
//! asker ◀── Decided ────────────────────────────────────────────── when the last shard has it
//! ```
//!
//! A change that survives a restart is in the catalog's log, on the disk, before the other shards
//! hear of it and before anybody is answered.
//!
//! Strict and rare: a client that has its answer may rely on every shard. Links keep order, so all
//! shards apply the same changes in the same order, and an asker has applied its change before it
//! hears of the decision. With one shard, all of this happens in one call.

use std::sync::Arc;

use crate::base::ids::{ChannelAddr, Key, QueueAddr, ShardId};
use crate::broker::catalog::{Applied, Change, Numbers, Quotas, Saved, Verdict};
use crate::broker::queue::{Queue, Rules, Settings};
use crate::contract::{Administration, Command, Fault, Notice, Reply, Report, Request, Target, Topology};
use crate::shard::Action;
use crate::shard::Shard;
use crate::shard::control::request::catalog_done;
use crate::shard::control::wish::Wish;
use crate::shard::peers::mail::{Answer, Mail, Order, Removal};
use crate::store::format::fleeting_number;

/// The party that waits for a decision.
pub enum Waiter {
    /// A session's request.
    Request {
        /// The session.
        from: ChannelAddr,
        /// The operation.
        topology: Topology,
    },
    /// An operator, by the ticket of the command.
    Operator(u64),
    /// Those who hear of a queue's end, in this order.
    QueueGone {
        /// The party that asked for it, and how many messages went.
        remover: Option<(Remover, u32)>,
        /// The queue's consumers.
        consumers: Vec<Target>,
    },
}

/// The party that asked to delete a queue.
#[derive(Clone, Copy)]
pub enum Remover {
    /// A session.
    Session(ChannelAddr),
    /// An operator, who waits under this ticket of the shard.
    Operator(ShardId, u32),
}

/// Shard 0: a change that some shards have not applied, or that the disk does not have.
pub struct Pending {
    number: u64,
    /// The record of the catalog's log that the disk must have.
    record: u64,
    shard: ShardId,
    ticket: u32,
}

impl Pending {
    /// The change's number.
    pub fn number(&self) -> u64 {
        self.number
    }
}

/// A change on its way to all shards.
#[derive(Debug)]
pub struct Made {
    /// The change.
    pub change: Change,
    /// The quotas of the user or the virtual host that it makes: all shards count by the same ones.
    pub quotas: Quotas,
}

/// Shard 0's counts: changes made so far, and how many of them each shard has applied.
#[derive(Default)]
pub struct Ledger {
    made: u64,
    applied: Vec<u64>,
}

impl Shard {
    /// Asks for a change; `waiter` hears of the decision.
    pub(in crate::shard) fn order(&mut self, wish: Wish, waiter: Waiter) {
        debug_assert!(Wish::decode(&wish.encode()).is_some_and(|read| read.encode() == wish.encode()), "a wish can be written");
        let ticket = self.await_decision(waiter);
        self.send(ShardId::ORDERER, Mail::Order(Box::new(Order { shard: self.id, ticket, wish })));
    }

    /// Asks for a change that was checked against the catalog here. On shard 0 this check is final;
    /// for another shard, shard 0 checks `wish` again.
    pub(in crate::shard) fn order_checked(&mut self, verdict: Verdict, wish: impl FnOnce(&Shard) -> Wish, waiter: Waiter) {
        if self.id == ShardId::ORDERER {
            let ticket = self.await_decision(waiter);
            self.carry_out(self.id, ticket, Ok(verdict));
        } else {
            let wish = wish(self);
            self.order(wish, waiter);
        }
    }

    fn await_decision(&mut self, waiter: Waiter) -> u32 {
        self.control.waiters.insert(waiter) as u32
    }

    /// Shard 0: decides on the next order.
    pub(in crate::shard) fn on_order(&mut self, order: Order) {
        let Order { shard, ticket, wish } = order;
        let verdict = match wish {
            Wish::Decided(change) => Ok(Verdict::Change(change)),
            Wish::Request { home, owner, user, vhost, topology } => {
                let found = self.catalog.find_asker(home, owner, &user, &vhost);
                found.and_then(|(vhost, asker)| self.catalog.check(vhost, asker, &topology))
            }
            Wish::Command(command) => match (self.catalog.check_command(&command, self.next_home()), command) {
                (Ok(Verdict::Queue(queue)), Command::Topology { vhost, topology: Topology::DeleteQueue { name, if_unused, if_empty } }) => {
                    return self.remove(queue, Removal { shard, ticket, vhost, name, if_unused, if_empty });
                }
                (verdict, _) => verdict,
            },
        };
        self.carry_out(shard, ticket, verdict);
    }

    /// Shard 0: carries out an order that was checked.
    fn carry_out(&mut self, shard: ShardId, ticket: u32, verdict: Result<Verdict, Fault>) {
        let change = match verdict {
            Ok(Verdict::Change(change)) => change,
            Ok(Verdict::Already | Verdict::Queue(_)) => return self.await_pending(shard, ticket),
            Err(fault) => return self.decide(shard, ticket, Err(fault)),
        };
        let new_vhost = self.catalog.new_vhost(&change);
        self.make(change);
        new_vhost.inspect(|vhost| self.make_defaults(vhost));
        self.tell_durable();
        self.await_pending(shard, ticket);
    }

    /// Shard 0: makes a change that was checked, in the log and on all shards.
    pub(in crate::shard) fn make(&mut self, change: Change) {
        let change = change.numbered(&mut self.control.next_queue_number);
        debug_assert!(Change::decode(&change.encode()).is_some_and(|read| read.encode() == change.encode()), "a change can be written");
        let made = Arc::new(Made { change, quotas: Quotas::default() });
        if let Some(record) = self.catalog.save(&made.change) {
            self.durability.catalog_log.append(&record);
        }
        self.reserve_numbers();
        self.control.ledger.made += 1;
        self.control.unheard.push_back((self.durability.catalog_log.made(), made.clone()));
        self.actions.push_back(Action::Report(Box::new(Report::Changed(made.clone()))));
        self.apply(&made); // which may make further changes
        self.catalog.save_fallen().iter().for_each(|record| self.durability.catalog_log.append(record));
    }

    /// Shard 0: reserves numbers in the catalog's log before queues get them, because the log has no
    /// record of a queue that does not survive a restart.
    fn reserve_numbers(&mut self) {
        if self.control.next_queue_number > self.control.reserved_below {
            self.control.reserved_below = self.control.next_queue_number + NUMBERS_RESERVED;
            self.durability.catalog_log.append(&Saved::ReservedBelow(self.control.reserved_below).encode());
        }
    }

    /// Shard 0: answers an order whose effect the catalog has, once the disk and all shards have the
    /// changes so far.
    fn await_pending(&mut self, shard: ShardId, ticket: u32) {
        self.control.pending.push_back(Pending {
            number: self.control.ledger.made,
            record: self.durability.catalog_log.made(),
            shard,
            ticket,
        });
        self.decide_applied();
    }

    /// Whether a request for something that the catalog has already must wait: the disk or other
    /// shards may not have it yet.
    pub(in crate::shard) fn is_undecided(&self) -> bool {
        !self.control.pending.is_empty()
    }

    /// Returns the home of the next queue that an operator declares: all shards in turn.
    fn next_home(&self) -> ShardId {
        ShardId((self.control.ledger.made % u64::from(self.config.shards)) as u16)
    }

    /// Shard 0: the disk has more of the catalog's log.
    pub(in crate::shard) fn on_catalog_durable(&mut self) {
        self.tell_durable();
        self.decide_applied();
    }

    /// Shard 0: tells the other shards and the log here of the changes that the disk has. The log
    /// must not know of a queue before the disk has it, and other shards must not confirm messages
    /// to it.
    fn tell_durable(&mut self) {
        let durable = self.durability.catalog_log.durable();
        while let Some((_, made)) = self.control.unheard.pop_front_if(|(record, _)| *record <= durable) {
            made.change.new_seat().inspect(|seat| self.durability.store.know_below(seat.number + 1));
            for link in self.peers.links.iter_mut().flatten() {
                link.stage(Mail::Apply(made.clone()));
            }
        }
    }

    /// Shard 0: writes what the catalog's log has gathered.
    pub(in crate::shard) fn seal_catalog(&mut self) {
        if self.durability.catalog_log.is_at_rest() {
            return;
        }
        let op = if self.durability.catalog_log.is_long() {
            let numbers = Numbers { declared_below: self.control.next_queue_number, next: self.control.reserved_below };
            let numbers = numbers.records().map(|record| record.encode());
            let records: Vec<Vec<u8>> = self.catalog.snapshot().into_iter().chain(numbers).collect();
            Some(self.durability.catalog_log.replace(&records))
        } else {
            self.durability.catalog_log.next_op()
        };
        self.actions.extend(op.map(Action::Catalog));
    }

    /// Applies a change from shard 0.
    pub(in crate::shard) fn on_apply(&mut self, made: &Made) {
        self.apply(made);
        self.catalog.save_fallen(); // shard 0 logs them
        self.link(ShardId::ORDERER).stage(Mail::Applied);
    }

    /// Shard 0: `peer` has applied its next change.
    pub(in crate::shard) fn on_applied(&mut self, peer: ShardId) {
        let peer = peer.0 as usize;
        if self.control.ledger.applied.len() <= peer {
            self.control.ledger.applied.resize(self.config.shards as usize, 0);
        }
        self.control.ledger.applied[peer] += 1;
        self.decide_applied();
    }

    /// Decides all changes that every shard has applied.
    fn decide_applied(&mut self) {
        let peers = self.config.shards as usize - 1;
        let everywhere = match self.control.ledger.applied.iter().skip(1).min() {
            _ if peers == 0 => self.control.ledger.made,
            Some(&least) => least,
            None => 0,
        };
        let durable = self.durability.catalog_log.durable();
        while let Some(pending) = self.control.pending.pop_front_if(|pending| pending.number <= everywhere && pending.record <= durable) {
            self.decide(pending.shard, pending.ticket, Ok(()));
        }
    }

    pub(in crate::shard) fn decide(&mut self, shard: ShardId, ticket: u32, verdict: Result<(), Fault>) {
        self.send(shard, Mail::Decided(ticket, Box::new(verdict)));
    }

    /// Delivers the decision on an order of this shard.
    pub(in crate::shard) fn on_decided(&mut self, ticket: u32, verdict: Result<(), Fault>) {
        match (self.control.waiters.remove(ticket as usize), verdict) {
            (Waiter::Request { from, topology: topology @ Topology::DeclareQueue(_) }, Ok(())) => {
                self.run_decided(from, Request::Topology(topology));
            }
            (Waiter::Request { from, topology }, Ok(())) => self.answer(from.conn.conn, catalog_done(&topology)),
            (Waiter::Request { from, .. }, Err(fault)) => self.answer(from.conn.conn, Notice::Failed(fault)),
            (Waiter::Operator(ticket), verdict) => self.report_reply(ticket, Reply::Decided(verdict)),
            (Waiter::QueueGone { remover, consumers }, _) => {
                match remover {
                    Some((Remover::Session(to), messages)) => self.tell(to, Answer::Notice(Notice::MessagesGone { messages })),
                    Some((Remover::Operator(shard, ticket), _)) => self.decide(shard, ticket, Ok(())),
                    None => {}
                }
                consumers.into_iter().for_each(|target| self.tell_consumer_gone(target));
            }
        }
    }

    fn apply(&mut self, Made { change, quotas }: &Made) {
        let applied = self.catalog.apply_with(change, quotas);
        if self.id == ShardId::ORDERER && applied != Applied::Stale {
            self.remember_change(change);
        }
        let here = self.id;
        for addr in self.catalog.closed_delay_queues().into_iter().filter(|addr| addr.home == here) {
            self.take_queue(addr.queue);
        }
        if let Change::Administration(Administration::PutVhost(_)) = change {
            self.follow_tracing();
        }
        match applied {
            Applied::Queue(addr) if addr.home == self.id => {
                self.tally.churn.queue_created += 1;
                self.create_queue(addr);
            }
            Applied::VhostGone { vhost, queues } => self.end_vhost(vhost, &queues),
            Applied::UserGone(user) => self.end_user(user),
            Applied::Policies => self.begin_sweep(),
            _ => {}
        }
        self.retry_early();
    }

    /// Creates a queue on this shard. If its owner's connection went meanwhile, the queue ends at
    /// once.
    pub(in crate::shard) fn create_queue(&mut self, addr: QueueAddr) {
        let id = addr.queue;
        let info = self.catalog.queue(id).expect("a queue is created from the catalog");
        let terms = self.catalog.terms(info);
        let (rules, owner, delays) = (Rules::of(&info.spec, &terms), info.owner, info.delays);
        let number = if info.spec.durable { info.number } else { fleeting_number(info.number) };
        let settings = Settings::of(&terms, rules.quorum);
        let slot = Key::from(id).slot as usize;
        if self.queues.slots.len() <= slot {
            self.queues.slots.resize_with(slot + 1, || None);
        }
        self.queues.slots[slot] = Some(Box::new(Queue::new(id, rules)));
        self.queues.levelled += usize::from(rules.priorities.has_levels());
        self.promise(id, settings); // before its messages are found: their TTL is that of the present policies
        self.open_log(id, rules.priorities, number);
        self.keep_promises(id);
        delays.into_iter().for_each(|exchange| self.delay_for(id, exchange));
        if owner.is_some_and(|owner| self.conns.get(owner.conn).is_none_or(|conn| conn.ending)) {
            self.delete_queue(id, None);
        }
    }

    /// Takes up mail for queues that were not declared here when it came.
    fn retry_early(&mut self) {
        for (from, block, body, mail) in std::mem::take(&mut self.peers.early) {
            self.on_queue_mail(from, &block, body, mail);
        }
    }
}

/// How many numbers are reserved at a time.
const NUMBERS_RESERVED: u64 = 1 << 16;
