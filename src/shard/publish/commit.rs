//! tx.commit: what a transaction held back is published and then settled, some of it in each turn.
//!
//! ```text
//! tx.commit ─▶ a share is enough ─▶ all at once ─────────────────▶ commit-ok, once the queues have it
//!           └▶ larger ─▶ a job (see `jobs`) ─ a share at a time ─┘
//! ```
//!
//! What a share is enough for is never torn apart: no other client sees a part of it. Of a larger one others may see the first messages before the
//! answer, as of any that goes to several shards. Its connection is parked meanwhile, and if it is lost, it stays until all is through: what was
//! committed is committed.

use std::vec;

use crate::base::budget::Held;
use crate::base::ids::{ConnId, ShardId};
use crate::base::limits::COMMIT_SHARE;
use crate::contract::session::{Assembled, Uncommitted};
use crate::contract::{Outcome, Receipt};
use crate::shard::Shard;
use crate::shard::jobs::Job;
use crate::shard::publish::dispatch::Published;

/// A transaction that is being committed.
pub struct Commit {
    conn: ConnId,
    channel: u16,
    publishes: vec::IntoIter<Assembled>,
    /// How many of its queues have the first of them.
    at: usize,
    settles: vec::IntoIter<(u64, Receipt, Outcome)>,
    /// Its part of the memory of all transactions, until it is through.
    _held: Option<Held>,
}

impl Commit {
    fn new(conn: ConnId, channel: u16, transaction: Uncommitted) -> Commit {
        let Uncommitted { publishes, settles, held } = transaction;
        Commit { conn, channel, publishes: publishes.into_iter(), at: 0, settles: settles.into_iter(), _held: held }
    }

    /// Whether one share is enough for it.
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
    /// tx.commit. The answer waits until remote queues, and the disk, have their part.
    pub(in crate::shard) fn on_commit(&mut self, id: ConnId, channel: u16) {
        let Some(conn) = self.conns.touch(id) else { return };
        let mut commit = Commit::new(id, channel, conn.session.take_transaction(channel));
        conn.commit_pending += 1; // the commit itself
        conn.is_busy = true;
        if commit.is_small() {
            self.commit_some(&mut commit, usize::MAX);
            return self.end_part(commit);
        }
        self.jobs.push_back(Job::Commit(commit));
    }

    /// A transaction goes on with its share.
    pub(in crate::shard) fn go_on_committing(&mut self, mut commit: Commit) {
        let before = self.work.share();
        let done = self.commit_some(&mut commit, before.min(COMMIT_SHARE));
        let counted = before - self.work.share(); // copies
        self.work.spend(done - counted.min(done));
        self.end_part(commit);
    }

    /// A part of a transaction is done.
    fn end_part(&mut self, commit: Commit) {
        if commit.is_through() {
            return self.finish_commit(&commit);
        }
        if commit.publishes.len() == 0 && self.relays_for(commit.conn) {
            let conn = self.conns.get_mut(commit.conn).expect("a connection stays until its commit is through");
            conn.relayed_commit = Some(Box::new(commit));
        } else {
            self.jobs.push_back(Job::Commit(commit));
        }
    }

    /// Queues do not have all messages of a connection yet that go through shard 0: what it settles must not overtake them.
    fn relays_for(&self, id: ConnId) -> bool {
        self.id != ShardId::ORDERER && self.conns.get(id).is_some_and(|conn| conn.relayed > 0)
    }

    /// Publishes and settles some of a transaction: about `most` copies and settlements. The answer is how many, no more than `most`.
    fn commit_some(&mut self, commit: &mut Commit, most: usize) -> usize {
        let mut done = 0;
        while done < most
            && let Some(message) = commit.publishes.as_slice().first()
        {
            let end = message.routes.len().min(commit.at.saturating_add(most - done));
            done += 1 + end - commit.at;
            self.commit_publish(commit.conn, commit.channel, message, (commit.at, end));
            commit.at = end;
            if end == message.routes.len() {
                commit.publishes.next();
                commit.at = 0;
            }
        }
        if self.relays_for(commit.conn) {
            return done.min(most);
        }
        for (_, Receipt { queue, consumer, entry }, outcome) in commit.settles.by_ref().take(most.saturating_sub(done)) {
            self.settle(queue, consumer, &[entry], outcome);
            done += 1;
        }
        done.min(most)
    }

    /// Gives a message to some of its queues, `from` to `to`.
    fn commit_publish(&mut self, id: ConnId, channel: u16, message: &Assembled, (from, to): (usize, usize)) {
        let (mandatory, view) = (message.mandatory, message.view());
        let published = Published { channel, mandatory, hold: Some(0), route: view.route, contents: &[view.content()] };
        if message.is_remembered {
            return self.publish_remembered(id, &published);
        }
        let reply_names = if from == 0 { &message.reply_names[..] } else { &[] };
        self.spread_routed(id, &published, reply_names, &message.routes[from..to]);
    }

    /// A transaction is through here.
    fn finish_commit(&mut self, commit: &Commit) {
        let id = commit.conn;
        if self.store.is_dirty() {
            self.await_log(id, commit.channel, 0, 1); // what was settled, too
        }
        let conn = self.conns.get_mut(id).expect("a connection stays until its commit is through");
        conn.commit_pending -= 1;
        conn.is_busy = false;
        if conn.is_lost {
            return self.on_closed(id);
        }
        self.end_commit(id);
        self.await_disk(id);
    }
}
