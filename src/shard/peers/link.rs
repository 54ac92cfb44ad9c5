//! A link: one shard's end of the two rings that join it to another shard, its peer.
//!
//! ```text
//! stage ─▶ staged ─ flush ─▶ ring ═▶ peer     block: records of this turn's messages, up to 64 KiB
//!                                             accepts: gathered, one mail per turn
//! ```
//!
//! Messages travel in runs: a message for the same queue (or consumer) as the mail before joins it,
//! if its record follows directly. Settlements do the same.
//!
//! Never drop, never block: staging always succeeds. Mail that asks for more work (a publish, a
//! delivery) is staged only while [`has_room`](Link::has_room). Mail that ends work (a settlement,
//! an answer) is always staged; its number is bounded by the work that was admitted. Room is
//! counted in mails that stay staged, and in bytes of messages that the peer has not taken yet.
//! Without room, or while the ring is full, `starved` asks the peer to wake this shard once it has
//! read. Until then publishers are parked (`SharedReason::Link`) and queues wait in
//! `Queues::blocked`; all of them go on in `turn::send_mail`, once every link has room.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize, fence};

use bytes::Bytes;

use crate::base::ids::{ChannelAddr, ConsumerId, QueueId};
use crate::base::limits::{MAIL_BLOCK_SIZE, MAIL_BYTES_MAX, MAIL_STAGED_MAX, RING_SLOTS};
use crate::base::spsc::{self, Doorbell, Receiver, Sender};
use crate::contract::{Entry, Outcome};
use crate::message::{Body, Content, MessageView, Route, Stamp};
use crate::shard::peers::block::{Block, ENTRY_LEN, Written};
use crate::shard::peers::mail::{Deliver, Got, Hold, Mail, Publish, Relay, Reply, Returned, Settled};
use crate::store::arrivals::Origin;

/// This shard's end of the rings to and from one peer.
pub struct Link {
    out: Sender<Mail>,
    inbox: Receiver<Mail>,
    bell: Arc<Doorbell>,
    /// Set by this shard when its ring is full; the peer clears it and rings.
    starved: Arc<AtomicBool>,
    /// The same flag of the peer.
    peer_starved: Arc<AtomicBool>,
    staged: VecDeque<Mail>,
    /// Bytes of blocks and shared bodies staged so far, and bytes that the peer has taken.
    sent_bytes: usize,
    peer_taken: Arc<AtomicUsize>,
    /// Bytes taken so far from the other direction.
    taken_bytes: usize,
    taken: Arc<AtomicUsize>,
    /// Whether the last flush set `starved`.
    waits: bool,
    block: Block,
    /// The block's place in `staged`.
    block_at: Option<usize>,
    accepts: Vec<(Hold, u32)>,
    /// The block that incoming mail refers to.
    pub in_block: Bytes,
    /// A shared body whose mail has not come yet.
    pub in_body: Option<Bytes>,
}

impl Link {
    /// Joins two shards; `bells` wake the first and the second.
    pub fn pair(bells: [Arc<Doorbell>; 2]) -> (Link, Link) {
        let [first_bell, second_bell] = bells;
        let (to_second, from_first) = spsc::ring(RING_SLOTS);
        let (to_first, from_second) = spsc::ring(RING_SLOTS);
        let first_starved = Arc::new(AtomicBool::new(false));
        let second_starved = Arc::new(AtomicBool::new(false));
        let first_taken = Arc::new(AtomicUsize::new(0));
        let second_taken = Arc::new(AtomicUsize::new(0));
        let first = Link {
            starved: first_starved.clone(),
            peer_starved: second_starved.clone(),
            peer_taken: second_taken.clone(),
            taken: first_taken.clone(),
            ..Link::new(to_second, from_second, second_bell)
        };
        let second = Link {
            starved: second_starved,
            peer_starved: first_starved,
            peer_taken: first_taken,
            taken: second_taken,
            ..Link::new(to_first, from_first, first_bell)
        };
        (first, second)
    }

    fn new(out: Sender<Mail>, inbox: Receiver<Mail>, bell: Arc<Doorbell>) -> Link {
        Link {
            out,
            inbox,
            bell,
            starved: Arc::default(),
            peer_starved: Arc::default(),
            staged: VecDeque::new(),
            sent_bytes: 0,
            peer_taken: Arc::default(),
            taken_bytes: 0,
            taken: Arc::default(),
            waits: false,
            block: Block::default(),
            block_at: None,
            accepts: Vec::new(),
            in_block: Bytes::new(),
            in_body: None,
        }
    }

    /// Whether new work for the peer may be staged.
    pub fn has_room(&self) -> bool {
        self.staged.len() < MAIL_STAGED_MAX && self.sent_bytes - self.peer_taken.load(Relaxed) < MAIL_BYTES_MAX
    }

    /// Stages a mail behind all others.
    pub fn stage(&mut self, mail: Mail) {
        self.staged.push_back(mail);
    }

    /// Stages messages in a row for each of `queues`. `hold` waits for the first one; the sequence
    /// numbers behind it wait for the others.
    pub fn publish(
        &mut self,
        queues: impl Iterator<Item = QueueId> + Clone,
        route: Route<'_>,
        stamp: Stamp,
        contents: &[Content<'_>],
        hold: Option<Hold>,
    ) {
        let mut done = 0;
        while done < contents.len() {
            let (written, count) = self.write_run(route, stamp, &contents[done..]);
            for queue in queues.clone() {
                let hold = hold.map(|hold| hold.behind(done as u32));
                self.stage_publish(Publish { queue, hold, at: written.at, count: count as u32 }, written, contents[done].body);
            }
            done += count;
        }
    }

    /// Stages a message for several queues, each with a hold of its own. With an `origin`, the
    /// queues note its arrival.
    pub fn transfer(&mut self, queues: impl Iterator<Item = (QueueId, Hold)>, origin: Option<Origin>, message: &MessageView<'_>) {
        let (written, count) = self.write_run(message.route, message.stamp, &[message.content()]);
        for (queue, hold) in queues {
            let publish = Publish { queue, hold: Some(hold), at: written.at, count: count as u32 };
            match origin {
                Some(origin) => self.stage_with(message.body, Mail::Transfer(Box::new((publish, origin)))),
                None => self.stage_publish(publish, written, message.body),
            }
        }
    }

    /// Writes as many messages as fit into one block and one mail. Returns the place of the first
    /// one, and how many.
    fn write_run(&mut self, route: Route<'_>, stamp: Stamp, contents: &[Content<'_>]) -> (Written, usize) {
        let (first, rest) = contents.split_first().expect("there is something to write");
        let written = self.write(None, &MessageView { stamp, ..first.sent_to(route) }, false);
        if matches!(first.body, Body::Shared(_)) {
            return (written, 1);
        }
        let before = self.block.len();
        let count = self.block.write_alike(first.properties, rest, MAIL_BLOCK_SIZE);
        self.sent_bytes += self.block.len() - before;
        (written, 1 + count)
    }

    /// Stages the mail of written messages. It joins the mail before if that is for the same queue
    /// and the messages follow directly.
    fn stage_publish(&mut self, publish: Publish, written: Written, body: Body<'_>) {
        if let (Some(Mail::Publish(last)), true) = (self.staged.back_mut(), written.continues_run)
            && last.is_followed_by(&publish)
        {
            last.count += publish.count;
        } else {
            self.stage_with(body, Mail::Publish(publish));
        }
    }

    /// Stages a message, `entry` in its queue, for a consumer that `deliver` names. It joins the
    /// mail before if that is for the same consumer. `repeats`: it has the head of the message
    /// before.
    #[inline]
    pub fn deliver(&mut self, message: &MessageView<'_>, repeats: bool, entry: Entry, deliver: Deliver) {
        let written = self.write(Some(entry), message, repeats);
        if let (Some(Mail::Deliver(last)), true) = (self.staged.back_mut(), written.continues_run)
            && *last == (Deliver { at: last.at, count: last.count, ..deliver })
        {
            last.count += 1;
        } else {
            self.stage_with(message.body, Mail::Deliver(Deliver { at: written.at, count: 1, ..deliver }));
        }
    }

    /// Stages replies in a row; `reply` names their receiver.
    pub fn reply(&mut self, reply: Reply, route: Route<'_>, contents: &[Content<'_>]) {
        let mut done = 0;
        while done < contents.len() {
            let (written, count) = self.write_run(route, Stamp::NONE, &contents[done..]);
            let hold = reply.hold.behind(done as u32);
            self.stage_with(contents[done].body, Mail::Reply(Reply { hold, at: written.at, count: count as u16, ..reply }));
            done += count;
        }
    }

    /// Stages a message that is returned to its publisher.
    pub fn give_back(&mut self, message: &MessageView<'_>, returned: Returned) {
        let at = self.write(None, message, false).at;
        self.stage_with(message.body, Mail::Returned(Box::new(Returned { at, ..returned })));
    }

    /// Stages the answer to basic.get.
    pub fn got(&mut self, message: &MessageView<'_>, to: ChannelAddr, got: Got) {
        let at = self.write(None, message, false).at;
        self.stage_with(message.body, Mail::Got(Box::new((to, Got { at, ..got }))));
    }

    /// Stages a message for shard 0 to route.
    pub fn relay(&mut self, message: &MessageView<'_>, relay: Relay) {
        let at = self.write(None, message, false).at;
        self.stage_with(message.body, Mail::Relay(Relay { at, ..relay }));
    }

    /// Stages settled deliveries. They join the mail before if that is for the same queue and
    /// consumer.
    pub fn settle(&mut self, queue: QueueId, consumer: Option<ConsumerId>, entries: &[Entry], outcome: Outcome) {
        for entries in entries.chunks(MAIL_BLOCK_SIZE / ENTRY_LEN) {
            self.make_room(entries.len() * ENTRY_LEN);
            let written = self.block.write_entries(entries);
            self.sent_bytes += entries.len() * ENTRY_LEN;
            let settled = Settled { queue, consumer, outcome, at: written.at, count: entries.len() as u32 };
            match self.staged.back_mut() {
                Some(Mail::Settled(last)) if written.continues_run && *last == (Settled { at: last.at, count: last.count, ..settled }) => {
                    last.count += settled.count;
                }
                _ => self.staged.push_back(Mail::Settled(settled)),
            }
        }
    }

    /// Writes a message into the block.
    #[inline]
    fn write(&mut self, entry: Option<Entry>, message: &MessageView<'_>, repeats: bool) -> Written {
        self.make_room(Block::len_max(message));
        let before = self.block.len();
        let written = self.block.write(entry, message, repeats);
        self.sent_bytes += self.block.len() - before;
        written
    }

    /// Makes sure that `len` bytes fit into the block, or begins a new one.
    #[inline]
    fn make_room(&mut self, len: usize) {
        if self.block.len() > 0 && self.block.len() + len > MAIL_BLOCK_SIZE {
            self.seal_block();
        }
        if self.block_at.is_none() {
            self.block_at = Some(self.staged.len());
            self.staged.push_back(Mail::Block(Bytes::new()));
            self.block.begin(len);
        }
    }

    /// Stages the mail of a written message, behind its body if that is a shared one.
    fn stage_with(&mut self, body: Body<'_>, mail: Mail) {
        if let Body::Shared(body) = body {
            self.sent_bytes += body.len();
            self.staged.push_back(Mail::Body(body.clone()));
        }
        self.staged.push_back(mail);
    }

    /// Gathers the acceptance of `count` messages for the next [`flush`](Self::flush). A refusal is
    /// staged at once, so it is never behind the acceptance of its message, with which the party
    /// that waits may end.
    pub fn accept(&mut self, hold: Hold, count: u32) {
        match self.accepts.last_mut() {
            Some((last, so_far)) if last.is_followed_by(hold, *so_far) => *so_far += count,
            _ => self.accepts.push((hold, count)),
        }
    }

    /// Moves staged mail into the ring. Returns true if the peer must be woken.
    pub fn flush(&mut self) -> bool {
        self.seal_block();
        if !self.accepts.is_empty() {
            self.staged.push_back(Mail::Accepted(std::mem::take(&mut self.accepts).into_boxed_slice()));
        }
        self.fill_ring();
        self.waits = !self.staged.is_empty() || !self.has_room();
        if self.waits {
            self.starved.store(true, SeqCst);
            fence(SeqCst); // pairs with the fence in `release`: either the peer sees the flag, or this shard sees the room
            self.fill_ring();
        }
        self.out.publish() && self.bell.ring()
    }

    /// Number of mails that have arrived and can be taken now.
    pub fn available(&mut self) -> usize {
        self.inbox.available()
    }

    /// Takes the next mail.
    pub fn take(&mut self) -> Option<Mail> {
        let mail = self.inbox.pop()?;
        if let Mail::Block(bytes) | Mail::Body(bytes) = &mail {
            self.taken_bytes += bytes.len();
        }
        Some(mail)
    }

    /// Gives the slots of taken mail back. Returns true if the peer waited for them and must be
    /// woken.
    pub fn release(&mut self) -> bool {
        self.taken.store(self.taken_bytes, Relaxed);
        self.inbox.release();
        fence(SeqCst);
        self.peer_starved.load(SeqCst) && self.peer_starved.swap(false, SeqCst) && self.bell.ring()
    }

    /// Whether free slots and room, for which the last flush waited, are there.
    pub fn can_go_on(&mut self) -> bool {
        self.waits && if self.staged.is_empty() { self.has_room() } else { self.out.free() > 0 }
    }

    fn fill_ring(&mut self) {
        while let Some(mail) = self.staged.pop_front() {
            if let Err(mail) = self.out.push(mail) {
                self.staged.push_front(mail);
                return;
            }
        }
    }

    fn seal_block(&mut self) {
        if let Some(at) = self.block_at.take() {
            self.staged[at] = Mail::Block(self.block.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Key;
    use crate::shard::peers::block::Records;

    fn joined() -> (Link, Link) {
        Link::pair([Arc::new(Doorbell::default()), Arc::new(Doorbell::default())])
    }

    fn publish(link: &mut Link, body: Body<'_>) {
        publish_to(link, 0, body);
    }

    fn publish_to(link: &mut Link, queue: u32, body: Body<'_>) {
        let queue = QueueId(Key { slot: queue, generation: 0 });
        link.publish(std::iter::once(queue), Route::new(b"\x00\x01q"), Stamp::NONE, &[Content { properties: &[0, 0], body }], None);
    }

    /// Takes what has arrived: the bodies of published messages.
    fn bodies(link: &mut Link) -> Vec<Vec<u8>> {
        let (mut got, mut shared) = (Vec::new(), None);
        for _ in 0..link.available() {
            match link.take().expect("counted as available") {
                Mail::Block(block) => link.in_block = block,
                Mail::Body(body) => shared = Some(body),
                Mail::Publish(Publish { at, count, .. }) => {
                    let body = shared.take();
                    let records = Records::new(&link.in_block, at, count, false, body.as_ref());
                    got.extend(records.map(|(_, message)| message.body.bytes().to_vec()));
                }
                _ => panic!("nothing else was sent"),
            }
        }
        link.release();
        got
    }

    #[test]
    fn messages_cross_in_order() {
        let (mut a, mut b) = joined();
        let large = Bytes::from(vec![9; 40_000]);
        publish(&mut a, Body::Slice(b"one"));
        publish(&mut a, Body::Shared(&large));
        publish(&mut a, Body::Slice(b"two"));
        a.flush();
        assert_eq!(bodies(&mut b), [b"one".to_vec(), large.to_vec(), b"two".to_vec()]);
    }

    #[test]
    fn a_full_ring_keeps_the_rest_staged() {
        let (mut a, mut b) = joined();
        let sent: Vec<Vec<u8>> = (0..RING_SLOTS as u32 * 2).map(|n| n.to_be_bytes().to_vec()).collect();
        for (n, body) in (0..).zip(&sent) {
            publish_to(&mut a, n % 2, Body::Slice(body));
        }
        assert!(!a.has_room());
        let mut got = Vec::new();
        while got.len() < sent.len() {
            a.flush();
            got.extend(bodies(&mut b));
        }
        assert_eq!(got, sent);
        a.flush();
        assert!(a.has_room() && !a.can_go_on());
    }

    #[test]
    fn bytes_that_the_peer_has_not_taken_use_up_room() {
        let (mut a, mut b) = joined();
        let body = Bytes::from(vec![0; MAIL_BYTES_MAX]);
        publish(&mut a, Body::Shared(&body));
        a.flush();
        assert!(!a.has_room() && !a.can_go_on());
        assert_eq!(bodies(&mut b).len(), 1);
        assert!(a.has_room() && a.can_go_on());
    }

    #[test]
    fn a_block_is_sealed_when_it_is_full() {
        let (mut a, mut b) = joined();
        let body = vec![1; 10_000];
        (0..20).for_each(|_| publish(&mut a, Body::Slice(&body)));
        a.flush();
        assert_eq!(bodies(&mut b).len(), 20);
        assert!(b.in_block.len() <= MAIL_BLOCK_SIZE);
    }

    #[test]
    fn a_row_for_several_queues_is_written_once() {
        let (mut a, mut b) = joined();
        let contents: Vec<_> = (0..40_u8).map(|_| Content { properties: &[0, 0], body: Body::Slice(b"body") }).collect();
        let queues = [0, 1, 2].map(|slot| QueueId(Key { slot, generation: 0 }));
        a.publish(queues.into_iter(), Route::new(b"\x00\x01q"), Stamp::NONE, &contents, None);
        assert_eq!(a.staged.len(), 1 + 3);
        a.flush();
        assert_eq!(bodies(&mut b).len(), 120);
        assert!(b.in_block.len() < 40 * 20);
    }
}
