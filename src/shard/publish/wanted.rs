//! Answers to publishers: confirms (row Q11), and the answer to tx.commit (row Q9).
//!
//! ```text
//! publish ─▶ hold_published: so many queues must answer ─┬ a queue elsewhere ─▶ Accepted, Refused
//!                                                        └ a queue here, for the disk ─▶ on_durable
//! the last answer ─▶ the session confirms, or the commit ends
//! ```
//!
//! A shard waits in the same way for messages of its own: relayed ones and transfers.

use crate::base::ids::{ConnId, ShardId};
use crate::contract::{Code, Fault, Notice};
use crate::shard::Shard;
use crate::shard::peers::mail::Hold;
use crate::shard::publish::commit::Committing;
use crate::shard::publish::dispatch::Published;

/// The answer that the publisher of a run of messages waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// None.
    Nothing,
    /// A confirm of each; the first one has this sequence number.
    Confirm(u64),
    /// The answer to tx.commit.
    Commit,
}

/// The sender of messages, as their queues see it: it hears later what they cannot answer at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// Nobody waits for an answer.
    Nobody,
    /// A client of this shard.
    Client {
        /// Its connection.
        conn: ConnId,
        /// Its channel.
        channel: u16,
        /// The answer that it waits for.
        wanted: Wanted,
    },
    /// A shard, this one or another, by its hold of the first message.
    Shard(ShardId, Hold),
}

impl Wanted {
    /// Makes the answer for messages from this sequence number on; none: no confirm is wanted.
    #[inline]
    pub fn confirm(first: Option<u64>) -> Wanted {
        first.map_or(Wanted::Nothing, Wanted::Confirm)
    }

    /// Makes the hold of the first message for the publisher's channel.
    #[inline]
    pub fn hold(self, conn: ConnId, channel: u16, generation: u32) -> Hold {
        match self {
            Wanted::Nothing => Hold::Unconfirmed { conn, channel, generation },
            Wanted::Confirm(sequence) => Hold::Confirm { conn, channel, generation, sequence },
            Wanted::Commit => Hold::Commit { conn, channel, generation },
        }
    }
}

impl Shard {
    /// Lets `count` publishes wait for `remote` answers each, if their publisher wants an answer.
    pub(in crate::shard) fn hold_published(&mut self, id: ConnId, channel: u16, wanted: Wanted, count: usize, remote: usize) {
        if remote == 0 || wanted == Wanted::Nothing {
            return;
        }
        let conn = self.conns.get_mut(id).expect("a publisher is connected");
        match wanted {
            Wanted::Nothing => {}
            Wanted::Confirm(sequence) => conn.session.hold(channel, sequence, count as u64, remote as u32),
            Wanted::Commit => conn.committing().pending += remote * count,
        }
    }

    /// Tells a publisher that a queue has refused its message (row D14).
    pub(in crate::shard) fn tell_refused(&mut self, id: ConnId, published: &Published<'_, '_>) {
        let conn = self.conns.get_mut(id).expect("a publisher is connected");
        match published.wanted {
            Wanted::Nothing => {}
            Wanted::Commit => conn.committing().has_failed = true,
            Wanted::Confirm(sequence) => {
                let generation = conn.session.generation(published.channel);
                conn.session.refused(published.channel, generation, sequence);
            }
        }
    }

    /// A queue has refused a message, or a part of one, that somebody here waits for. (Its acceptance
    /// follows; see `Link::accept`.)
    pub(in crate::shard) fn on_refused(&mut self, hold: Hold) {
        match hold {
            Hold::Confirm { conn, channel, generation, sequence } => {
                if let Some(conn) = self.live(conn) {
                    conn.session.refused(channel, generation, sequence);
                }
            }
            Hold::Commit { conn, .. } => {
                if let Some(commit) = self.live(conn).and_then(|conn| conn.commit.as_mut()) {
                    commit.has_failed = true;
                }
            }
            Hold::Unconfirmed { .. } => {}
            Hold::Relay { at, part } => self.on_relay_refused(at as usize, part as usize),
            Hold::Transfer { at, part } => self.on_transfer_refused(at as usize, part as usize),
            Hold::Delayed { .. } => unreachable!("shard 0 names the queues that have refused it"),
        }
    }

    /// Queues elsewhere, or the disk, have messages that somebody here waits for.
    pub(in crate::shard) fn on_accepted_by_queue(&mut self, holds: &[(Hold, u32)]) {
        for &(hold, count) in holds {
            match hold {
                Hold::Confirm { conn, channel, generation, sequence } => {
                    let Some(conn) = self.live(conn) else { continue };
                    let sequences = sequence..sequence + u64::from(count);
                    sequences.for_each(|sequence| conn.session.accepted(channel, generation, sequence, 1));
                }
                Hold::Commit { conn: id, .. } => {
                    let Some(conn) = self.live(id) else { continue };
                    conn.committing().pending -= count as usize;
                    self.end_commit(id);
                }
                Hold::Unconfirmed { .. } => {}
                Hold::Relay { at, .. } => self.on_relay_accepted(at as usize),
                Hold::Transfer { at, .. } | Hold::Delayed { at, .. } => self.on_transfer_accepted(at as usize),
            }
        }
    }

    /// Answers tx.commit once all queues have accepted or refused their messages (row Q9).
    pub(in crate::shard) fn end_commit(&mut self, id: ConnId) {
        let commit = self.conns.get_mut(id).and_then(|conn| conn.commit.take_if(|commit| commit.pending == 0));
        let Some(Committing { has_failed, .. }) = commit else { return };
        let fault = || Notice::Failed(Fault::new(Code::PreconditionFailed, "partial tx completion"));
        self.answer(id, if has_failed { fault() } else { Notice::Done });
    }
}
