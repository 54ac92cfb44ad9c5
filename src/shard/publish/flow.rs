//! Flow control: a shard reads from a flood no faster than its consumers take it.
//!
//! A publisher that does not wait outruns consumers that could keep up, because they share CPUs and
//! caches with it; all its messages would then take the slow way through a queue that grows without
//! end. So a connection that brings much at a time is *held*: its socket is not read.
//!
//! ```text
//! flood ─ press ─▶ candidate ─ end of turn: the queue is fast and not at ease ─▶ held
//! held ─ the queue is at ease, or the backlog shrank, or time is up ─▶ read again
//! ```
//!
//! A queue is *at ease* when it is empty and its next consumer has room for a whole receive. It is
//! *fast* if its consumers have lately taken as much as could be asked of them. Publishers to a
//! slow queue are never held, whatever gathers there. Its [`Pace`](crate::broker::queue::Pace) says
//! what makes a queue fast, and how far its backlog must shrink. A connection that also consumes is
//! never held, because its acknowledgements come with its publishes.
//!
//! A publisher on another shard is held there: the queue's shard tells it when the queue becomes
//! pressed ([`Mail::Press`]) and when it is at ease again.

use smallvec::SmallVec;

use crate::base::ids::{ConnId, QueueAddr, QueueId, ShardId};
use crate::base::limits::{FLOW_HOLD_MS, FLOW_INPUT_MIN, FLOW_WINDOW_MS, OUTPUT_SIZE_TIGHT};
use crate::contract::session::Room;
use crate::shard::Shard;
use crate::shard::conns::outbox::set_paused;
use crate::shard::local_queue;
use crate::shard::peers::mail::Mail;

/// The floods, and the connections that are held for them.
#[derive(Default)]
pub struct Flow {
    /// The queue that the input in hand has gone to although there was little room: one here, or a
    /// pressed one elsewhere.
    pressed: Option<QueueAddr>,
    /// Floods of this turn.
    candidates: Vec<(Source, QueueAddr)>,
    /// Pressed queues, here and elsewhere, with the publishers here that are held for them.
    held: Vec<Held>,
}

/// The origin of a flood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// A connection here.
    Conn(ConnId),
    /// Connections of another shard.
    Shard(ShardId),
}

/// The publishers that are held for one queue.
struct Held {
    queue: QueueAddr,
    sources: SmallVec<[Source; 2]>,
    /// For a queue here: when it is looked at again, and when one publisher is released at the
    /// latest, milliseconds.
    due: u64,
    until: u64,
    /// For a queue here: the backlog at which one publisher is released, bytes.
    target: u64,
}

impl Flow {
    /// Notes that a message went to this queue although there was little room.
    #[inline]
    pub fn press(&mut self, queue: QueueAddr) {
        self.pressed = Some(queue);
    }

    /// Notes the same for a queue of another shard, if that shard has said that it is pressed.
    #[inline]
    pub fn press_remote(&mut self, queue: QueueAddr) {
        if !self.held.is_empty() && self.held.iter().any(|held| held.queue == queue) {
            self.pressed = Some(queue);
        }
    }

    /// When a queue is to be looked at again, milliseconds.
    pub fn due(&self) -> Option<u64> {
        self.held.iter().map(|held| held.due).min().filter(|&due| due < u64::MAX)
    }

    fn find(&mut self, queue: QueueAddr) -> Option<&mut Held> {
        self.held.iter_mut().find(|held| held.queue == queue)
    }
}

impl Shard {
    /// Notes that `len` bytes of a connection's input were dealt with.
    #[inline]
    pub(in crate::shard) fn note_flood(&mut self, id: ConnId, len: usize) {
        if let Some(queue) = self.publishing.flow.pressed.take()
            && len >= FLOW_INPUT_MIN
        {
            self.publishing.flow.candidates.push((Source::Conn(id), queue));
        }
    }

    /// Notes that a mail of another shard was dealt with.
    #[inline]
    pub(in crate::shard) fn note_flood_from(&mut self, shard: ShardId) {
        if let Some(queue) = self.publishing.flow.pressed.take() {
            let candidate = (Source::Shard(shard), queue);
            if self.publishing.flow.candidates.last() != Some(&candidate) {
                self.publishing.flow.candidates.push(candidate);
            }
        }
    }

    /// At the end of a turn, holds the floods of queues that are not at ease, and releases
    /// publishers.
    pub(in crate::shard) fn follow_flow(&mut self) {
        self.publishing.flow.pressed = None;
        for at in 0..self.publishing.flow.candidates.len() {
            let (source, queue) = self.publishing.flow.candidates[at];
            let is_pressed = if queue.home == self.id { self.is_pressed(queue.queue) } else { self.publishing.flow.find(queue).is_some() };
            if is_pressed {
                self.hold(source, queue);
            }
        }
        self.publishing.flow.candidates.clear();
        for at in (0..self.publishing.flow.held.len()).rev() {
            if self.publishing.flow.held[at].queue.home == self.id {
                self.let_go_some(at);
            }
        }
    }

    /// A queue of another shard is pressed: floods of it here are to be held.
    pub(in crate::shard) fn on_press(&mut self, queue: QueueAddr) {
        self.publishing.flow.held.push(Held { queue, sources: SmallVec::new(), due: u64::MAX, until: u64::MAX, target: 0 });
    }

    /// A queue of another shard is at ease again.
    pub(in crate::shard) fn on_ease(&mut self, queue: QueueAddr) {
        if let Some(at) = self.publishing.flow.held.iter().position(|held| held.queue == queue) {
            let held = self.publishing.flow.held.swap_remove(at);
            held.sources.into_iter().for_each(|source| self.end_hold(source, queue));
        }
    }

    /// Whether floods of a queue here are to be held.
    fn is_pressed(&mut self, id: QueueId) -> bool {
        let now = self.now;
        local_queue(&mut self.queues.slots, id).is_some_and(|queue| queue.pace.is_fast(now)) && !self.is_at_ease(id)
    }

    /// Whether a queue here is empty and its next consumer has room for a whole receive.
    fn is_at_ease(&mut self, id: QueueId) -> bool {
        let Some(queue) = local_queue(&mut self.queues.slots, id) else { return true };
        let Some((_, consumer)) = queue.consumers.next().filter(|_| queue.is_empty()) else { return false };
        if let Some(credit) = consumer.credit {
            return !credit.is_tight();
        }
        let target = consumer.target;
        let (channel, index) = (target.channel.channel, target.index);
        let conn = self.conns.get(target.channel.conn.conn);
        conn.is_some_and(|conn| conn.room(channel, index) == Room::Yes && conn.session.output_len() < OUTPUT_SIZE_TIGHT)
    }

    fn hold(&mut self, source: Source, queue: QueueAddr) {
        if let Source::Conn(id) = source {
            let Some(conn) = self.conns.get_mut(id).filter(|conn| !conn.is_held && !conn.session.has_consumers()) else { return };
            conn.is_held = true;
            set_paused(&mut self.actions, conn, id, true);
        }
        if self.publishing.flow.find(queue).is_none() {
            let (due, until) = (self.now + FLOW_WINDOW_MS, self.now + FLOW_HOLD_MS);
            self.publishing.flow.held.push(Held { queue, sources: SmallVec::new(), due, until, target: 0 });
        }
        if queue.home == self.id {
            let target = self.queue_mut(queue.queue).map_or(0, |queue| queue.pace.target(queue.backlog()));
            self.publishing.flow.find(queue).expect("it was just added, or found").target = target;
        }
        let held = self.publishing.flow.find(queue).expect("it was just added, or found");
        if held.sources.contains(&source) {
            return;
        }
        held.sources.push(source);
        if let Source::Shard(shard) = source {
            self.link(shard).stage(Mail::Press(queue.queue));
        }
    }

    /// Releases publishers of a queue here: all if it is at ease or no longer fast, one if its
    /// backlog has shrunk or too much time has passed.
    fn let_go_some(&mut self, at: usize) {
        let now = self.now;
        let &Held { queue: QueueAddr { queue: id, .. }, due, until, target, .. } = &self.publishing.flow.held[at];
        let is_at_ease = self.is_at_ease(id);
        let (backlog, is_fast) = self.queue_mut(id).map_or((0, false), |queue| (queue.backlog(), queue.pace.is_fast(now)));
        match () {
            () if is_at_ease || !is_fast => self.end_holds(at, usize::MAX, backlog),
            () if backlog > 0 && backlog <= target || until <= now => self.end_holds(at, 1, backlog),
            () if due <= now => self.publishing.flow.held[at].due = now + FLOW_WINDOW_MS,
            () => {}
        }
    }

    /// Releases `count` publishers of a queue here, which has this backlog.
    fn end_holds(&mut self, at: usize, count: usize, backlog: u64) {
        let held = &mut self.publishing.flow.held[at];
        let queue = held.queue;
        (held.due, held.until, held.target) = (self.now + FLOW_WINDOW_MS, self.now + FLOW_HOLD_MS, backlog);
        let count = count.min(held.sources.len());
        let released: SmallVec<[Source; 2]> = held.sources.drain(..count).collect();
        if held.sources.is_empty() {
            self.publishing.flow.held.swap_remove(at);
        }
        if let Some(queue) = self.queue_mut(queue.queue) {
            queue.pace.on_let_go(backlog);
        }
        released.into_iter().for_each(|source| self.end_hold(source, queue));
    }

    fn end_hold(&mut self, source: Source, queue: QueueAddr) {
        match source {
            Source::Shard(shard) => self.link(shard).stage(Mail::Ease(queue.queue)),
            Source::Conn(id) => {
                if let Some(conn) = self.conns.get_mut(id) {
                    conn.is_held = false;
                    if !conn.is_parked() {
                        set_paused(&mut self.actions, conn, id, false);
                    }
                }
            }
        }
    }
}
