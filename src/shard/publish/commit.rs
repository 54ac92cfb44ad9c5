//! Transactions (row Q9): what a client publishes and settles waits for its commit in a
//! [`Transaction`]; then its messages are published and after them its deliveries settled, a part
//! in each turn.
//!
//! ```text
//! publish ─▶ routed; faults are told now ─┐
//! settle ─▶ taken out of the session ─────┴▶ the channel's transaction
//! commit ─┬ fits into a share ─▶ all at once ─────────────┬▶ the answer, once queues and disk
//!         └ larger ─▶ a job (see `jobs`) ─ part by part ──┘  have everything
//! ```
//!
//! A transaction that fits into a share is never torn apart: no other client sees a part of it. Of
//! a larger one, others may see the first messages before the answer, as of any transaction that
//! goes to several shards. Its connection is parked meanwhile. If the peer is lost, the connection
//! stays until the end, because what was committed is committed.

use std::vec;

use crate::base::budget::Held;
use crate::base::ids::{ConnId, ShardId};
use crate::base::limits::COMMIT_SHARE;
use crate::broker::exchange::Chance;
use crate::broker::routing::router::{self, Publisher};
use crate::contract::session::{Assembled, Rest, Settled};
use crate::contract::{Code, Fault, Outcome, Receipt, RouteSet, Tags};
use crate::shard::Shard;
use crate::shard::conns::parking::OwnReason;
use crate::shard::conns::transaction::Transaction;
use crate::shard::jobs::Job;
use crate::shard::publish::dispatch::{LOOKS_PER_STEP, Published};
use crate::shard::publish::effect::Effect;
use crate::shard::publish::wanted::{Sender, Wanted};

/// A tx.commit that is under way, as its connection sees it.
#[derive(Default)]
pub struct Committing {
    /// Acceptances that it still waits for.
    pub pending: usize,
    /// Whether a queue has refused a message.
    pub has_failed: bool,
    /// The rest of the transaction, whose settlements wait for messages that shard 0 routes.
    pub rest: Option<Box<Commit>>,
}

/// A transaction that is being committed.
pub struct Commit {
    conn: ConnId,
    channel: u16,
    publishes: vec::IntoIter<Assembled>,
    /// How many queues have the first of `publishes`.
    at: usize,
    settles: vec::IntoIter<Settled>,
    /// Its part of the memory of all transactions, until the commit ends.
    _held: Held,
}

impl Commit {
    fn new(conn: ConnId, channel: u16, transaction: Transaction) -> Commit {
        let Transaction { publishes, settles, held, .. } = transaction;
        Commit { conn, channel, publishes: publishes.into_iter(), at: 0, settles: settles.into_iter(), _held: held }
    }

    /// Whether it fits into one share.
    fn is_small(&self) -> bool {
        let count = self.publishes.len() + self.settles.len();
        let copies = || self.publishes.as_slice().iter().map(|message| message.routes.len()).sum::<usize>();
        count <= COMMIT_SHARE && count + copies() <= COMMIT_SHARE
    }

    fn is_through(&self) -> bool {
        self.publishes.len() == 0 && self.settles.len() == 0
    }
}

impl Shard {
    /// Checks and routes a message of a transaction, and keeps it for the commit.
    pub(in crate::shard) fn publish_at_commit(&mut self, id: ConnId, channel: u16) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let message = conn.session.take_assembled();
        let too_large = |max| Fault::new(Code::ResourceError, format!("transaction is larger than {max} bytes"));
        let refusal = conn.channels.transaction(channel).exceeds(&message).map(too_large);
        match refusal.map_or_else(|| self.route_for_commit(id, message), Err) {
            Ok(message) => {
                let conn = self.conns.get_mut(id).expect("a publisher is connected");
                conn.channels.transaction(channel).publish(message);
            }
            Err(fault) => self.fault(id, channel, fault),
        }
    }

    /// Finds the queues of a message that is published later.
    fn route_for_commit(&mut self, id: ConnId, mut message: Assembled) -> Result<Assembled, Fault> {
        let conn = self.conns.get(id).expect("a publisher is connected");
        let reply_name = conn.channels.reply_name(message.channel);
        let chance = Chance { rng: &mut self.rng, here: self.id };
        let mut publisher = Publisher { vhost: conn.session.vhost(), user: conn.user(), reply_name, chance };
        let mut routes = std::mem::take(&mut message.routes);
        let routed = router::route(&self.catalog, &mut publisher, &message.view(), &mut routes)?;
        self.work.spend(routed.looked_at / LOOKS_PER_STEP);
        (message.routes, message.reply_names, message.is_remembered) = (routes, routed.reply_names, routed.is_remembered);
        routed.properties.inspect(|properties| message.set_properties(properties));
        Ok(message)
    }

    /// Keeps settlements of a transaction for the commit.
    pub(in crate::shard) fn settle_at_commit(&mut self, id: ConnId, channel: u16, tags: Tags, outcome: Outcome) {
        let conn = self.conns.get_mut(id).expect("a client that settles is connected");
        let transaction = conn.channels.transaction(channel);
        let rest = transaction.settle(outcome, |out| conn.session.settle(channel, tags, outcome, out));
        if let Some(rest) = rest {
            self.settle_rest_at_commit(id, rest);
        }
    }

    /// Goes on keeping very many settlements. Returns whether others are left.
    pub(in crate::shard) fn settle_more_at_commit(&mut self, id: ConnId, rest: &Rest) -> bool {
        let conn = self.conns.get_mut(id).expect("a connection stays until its job is done");
        let transaction = conn.channels.transaction(rest.channel);
        transaction.settle(rest.outcome, |out| conn.session.settle_rest(rest, out))
    }

    /// Carries out a commit. The answer waits until queues elsewhere, and the disk, have their part.
    pub(in crate::shard) fn on_commit(&mut self, id: ConnId, channel: u16) {
        let Some(conn) = self.conns.touch(id) else { return };
        let transaction = conn.channels.take_transaction(channel);
        conn.session.committed(channel, transaction.consumed());
        let mut commit = Commit::new(id, channel, transaction);
        conn.commit = Some(Committing { pending: 1, ..Committing::default() }); // the commit itself
        conn.park(OwnReason::Answer);
        conn.park(OwnReason::Job);
        if commit.is_small() {
            let (_, effect) = self.commit_some(&mut commit, usize::MAX);
            self.park_if_congested(id, effect);
            return self.end_part(commit);
        }
        self.jobs.push_back(Job::Commit(commit));
    }

    /// Goes on with a commit, for one share.
    pub(in crate::shard) fn go_on_committing(&mut self, mut commit: Commit) {
        let before = self.work.share();
        let (done, effect) = self.commit_some(&mut commit, before.min(COMMIT_SHARE));
        self.park_if_congested(commit.conn, effect);
        let counted = before - self.work.share(); // copies
        self.work.spend(done - counted.min(done));
        self.end_part(commit);
    }

    /// Ends a part of a commit.
    fn end_part(&mut self, commit: Commit) {
        if commit.is_through() {
            return self.finish_commit(&commit);
        }
        if commit.publishes.len() == 0 && self.relays_for(commit.conn) {
            let conn = self.conns.get_mut(commit.conn).expect("a connection stays until its commit ends");
            conn.committing().rest = Some(Box::new(commit));
        } else {
            self.jobs.push_back(Job::Commit(commit));
        }
    }

    /// Whether shard 0 still routes messages of this connection: the transaction's settlements must
    /// not overtake them.
    fn relays_for(&self, id: ConnId) -> bool {
        self.id != ShardId::ORDERER && self.conns.get(id).is_some_and(|conn| conn.relayed > 0)
    }

    /// Publishes and settles a part of a transaction, about `most` copies and settlements. Returns
    /// how many, at most `most`, and the effect.
    fn commit_some(&mut self, commit: &mut Commit, most: usize) -> (usize, Effect) {
        let (mut done, mut effect) = (0, Effect::NONE);
        while done < most
            && let Some(message) = commit.publishes.as_slice().first()
        {
            let end = message.routes.len().min(commit.at.saturating_add(most - done));
            done += 1 + end - commit.at;
            effect |= self.commit_publish(commit.conn, commit.channel, message, (commit.at, end));
            commit.at = end;
            if end == message.routes.len() {
                commit.publishes.next();
                commit.at = 0;
            }
        }
        if self.relays_for(commit.conn) {
            return (done.min(most), effect);
        }
        for Settled { receipt: Receipt { queue, consumer, entry }, outcome, .. } in commit.settles.by_ref().take(most.saturating_sub(done))
        {
            self.settle(queue, consumer, &[entry], outcome);
            done += 1;
        }
        (done.min(most), effect)
    }

    /// Gives a message to its queues number `from` to `to`.
    fn commit_publish(&mut self, id: ConnId, channel: u16, message: &Assembled, (from, to): (usize, usize)) -> Effect {
        let (mandatory, view) = (message.mandatory, message.view());
        let published = Published { channel, mandatory, wanted: Wanted::Commit, route: view.route, contents: &[view.content()] };
        let mut effect = Effect::NONE;
        if from == 0 {
            effect |= self.note_committed(id, &published, &message.routes);
        }
        if message.is_remembered {
            return effect | self.publish_remembered(id, &published);
        }
        let reply_names = if from == 0 { &message.reply_names[..] } else { &[] };
        effect | self.spread_routed(id, &published, reply_names, &message.routes[from..to])
    }

    /// Counts a message that is published now for its exchange, and traces it.
    fn note_committed(&mut self, id: ConnId, published: &Published<'_, '_>, routes: &RouteSet) -> Effect {
        let Some(conn) = self.conns.get(id) else { return Effect::NONE };
        let (vhost, exchange) = (conn.session.vhost(), published.route.exchange());
        let slot = self.publishing.exchanges.slot_of(&self.catalog, vhost, exchange);
        self.publishing.exchanges.count(slot, 1, routes.len());
        if !self.publishing.is_traced {
            return Effect::NONE;
        }
        self.publishing.routes.clone_from(routes);
        self.trace_published(id, published, 1)
    }

    /// Ends a commit: this shard has done its part.
    fn finish_commit(&mut self, commit: &Commit) {
        let id = commit.conn;
        if self.durability.store.is_dirty() {
            self.await_log(Sender::Client { conn: id, channel: commit.channel, wanted: Wanted::Commit }, 1); // for the settlements, too
        }
        let conn = self.conns.get_mut(id).expect("a connection stays until its commit ends");
        conn.committing().pending -= 1;
        conn.unpark(OwnReason::Job);
        if conn.is_lost {
            return self.on_closed(id);
        }
        self.end_commit(id);
        self.await_disk(id);
    }
}
