//! One shard's end of the two rings that join it to a peer.
//!
//! ```text
//! stage ──▶ staged ──flush──▶ ring ══▶ peer           block: records of this turn's messages, up to 64 KiB, then the next one
//!                                                     accepts: gathered, one mail per turn
//! ```
//!
//! Messages travel in runs: one that is for the same queue (or consumer) as the mail before, and whose record stands right behind, joins it.
//! So do settles.
//!
//! Never drop, never block: staging always succeeds. What asks for more work (a publish, a delivery) is staged only while
//! [`has_room`](Link::has_room); what ends work (a settle, an answer) always, and its number is bounded by the work that was admitted.
//! Room is counted in mails that stay staged and in bytes of messages that the peer has not taken yet. Without it, or while the ring is
//! full, `starved` asks the peer to wake this shard once it has read.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize, fence};

use bytes::Bytes;

use super::mail::{Deliver, Got, Hold, Mail, Publish, Settled};
use crate::base::ids::{ChannelAddr, ConsumerId, QueueId};
use crate::base::limits::{MAIL_BLOCK_SIZE, MAIL_BYTES_MAX, MAIL_STAGED_MAX, RING_SLOTS};
use crate::base::spsc::{self, Doorbell, Receiver, Sender};
use crate::contract::{Entry, Outcome};
use crate::message::{Body, MessageRef, MessageView, RECORD_HEADER, RecordHeader, write_record};

/// This shard's end of the rings to and from one peer.
pub struct Link {
    out: Sender<Mail>,
    inbox: Receiver<Mail>,
    bell: Arc<Doorbell>,
    /// Set by this shard when its ring is full; the peer clears it and rings.
    starved: Arc<AtomicBool>,
    /// The same, of the peer.
    peer_starved: Arc<AtomicBool>,
    staged: VecDeque<Mail>,
    /// Bytes of message bodies staged so far, and those that the peer has taken.
    sent_bytes: usize,
    peer_taken: Arc<AtomicUsize>,
    /// The same for the other direction.
    taken_bytes: usize,
    taken: Arc<AtomicUsize>,
    /// `starved` was set by the last flush.
    waits: bool,
    block: Vec<u8>,
    /// Where in `staged` the block will stand.
    block_at: Option<usize>,
    /// Where the last record ends in the block, if the next one may join its mail; else 0.
    run_end: usize,
    accepts: Vec<(Hold, u32)>,
    /// The block that incoming mail refers to.
    pub in_block: Bytes,
    /// The shared body whose mail has not come yet.
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
            block: Vec::new(),
            block_at: None,
            run_end: 0,
            accepts: Vec::new(),
            in_block: Bytes::new(),
            in_body: None,
        }
    }

    /// Whether new work for the peer may be staged.
    pub fn has_room(&self) -> bool {
        self.staged.len() < MAIL_STAGED_MAX && self.sent_bytes - self.peer_taken.load(Relaxed) < MAIL_BYTES_MAX
    }

    /// Stages a mail behind all that was staged before.
    pub fn stage(&mut self, mail: Mail) {
        self.staged.push_back(mail);
    }

    /// Stages a message for `queue`. It joins the mail before if that is for the same queue.
    pub fn publish(&mut self, message: &MessageView<'_>, queue: QueueId, hold: Option<Hold>) {
        let record = self.write(None, message);
        if let (Some(Mail::Publish(last)), true) = (self.staged.back_mut(), record.continues_run)
            && last.queue == queue
            && match (last.hold, hold) {
                (None, None) => true,
                (Some(last_hold), Some(hold)) => last_hold.is_followed_by(hold, last.count),
                _ => false,
            }
        {
            last.count += 1;
            self.sent_bytes += weight(message);
        } else {
            self.stage_written(message, Mail::Publish(Publish { queue, hold, at: record.at, count: 1 }));
        }
    }

    /// Stages one message for several queues.
    pub fn publish_to_all(&mut self, message: &MessageView<'_>, queues: impl Iterator<Item = QueueId>, hold: Option<Hold>) {
        let at = self.write(None, message).at;
        for queue in queues {
            self.stage_written(message, Mail::Publish(Publish { queue, hold, at, count: 1 }));
        }
    }

    /// Stages a message at `entry` of its queue for a consumer; `deliver` says for whom. It joins the mail before if that is for the same.
    pub fn deliver(&mut self, message: &MessageView<'_>, entry: Entry, deliver: Deliver) {
        let record = self.write(Some(entry), message);
        if let (Some(Mail::Deliver(last)), true) = (self.staged.back_mut(), record.continues_run)
            && *last == (Deliver { at: last.at, count: last.count, ..deliver })
        {
            last.count += 1;
            self.sent_bytes += weight(message);
        } else {
            self.stage_written(message, Mail::Deliver(Deliver { at: record.at, count: 1, ..deliver }));
        }
    }

    /// Stages the answer to basic.get.
    pub fn got(&mut self, message: &MessageView<'_>, to: ChannelAddr, got: Got) {
        let at = self.write(None, message).at;
        self.stage_written(message, Mail::Got(Box::new((to, Got { at, ..got }))));
    }

    /// Writes a record into the block, behind its entry if it has one.
    fn write(&mut self, entry: Option<Entry>, message: &MessageView<'_>) -> Record {
        let header = RecordHeader::of(message, 0);
        let (entry_len, record_len) = (if entry.is_some() { ENTRY_LEN } else { 0 }, header.record_len());
        let at = self.make_room(entry_len + record_len);
        entry.inspect(|entry| self.block.extend_from_slice(&entry.to_bytes()));
        self.block.resize(at + entry_len + record_len, 0);
        write_record(header, message, 0, &mut self.block[at + entry_len..]);
        let continues_run = self.run_end == at && at > 0 && !header.is_shared();
        self.run_end = if header.is_shared() { 0 } else { self.block.len() };
        Record { at: at as u32, continues_run }
    }

    /// Stages the mail for a message that was written.
    fn stage_written(&mut self, message: &MessageView<'_>, mail: Mail) {
        if let Body::Shared(body) = message.body {
            self.staged.push_back(Mail::Body(body.clone()));
        }
        self.sent_bytes += weight(message);
        self.staged.push_back(mail);
    }

    /// Makes sure that `len` bytes fit into a block; the answer is where they begin.
    fn make_room(&mut self, len: usize) -> usize {
        if !self.block.is_empty() && self.block.len() + len > MAIL_BLOCK_SIZE {
            self.seal_block();
        }
        if self.block_at.is_none() {
            self.block_at = Some(self.staged.len());
            self.staged.push_back(Mail::Block(Bytes::new()));
            self.block.reserve(MAIL_BLOCK_SIZE.min(len.max(4096)));
        }
        self.block.len()
    }

    /// Stages settled deliveries. They join the mail before if that is for the same queue and consumer.
    pub fn settle(&mut self, queue: QueueId, consumer: Option<ConsumerId>, entries: &[Entry], outcome: Outcome) {
        for entries in entries.chunks(MAIL_BLOCK_SIZE / ENTRY_LEN) {
            let at = self.make_room(entries.len() * ENTRY_LEN);
            entries.iter().for_each(|entry| self.block.extend_from_slice(&entry.to_bytes()));
            let continues_run = self.run_end == at && at > 0;
            self.run_end = self.block.len();
            let settled = Settled { queue, consumer, outcome, at: at as u32, count: entries.len() as u32 };
            match self.staged.back_mut() {
                Some(Mail::Settled(last)) if continues_run && *last == (Settled { at: last.at, count: last.count, ..settled }) => {
                    last.count += settled.count;
                }
                _ => self.staged.push_back(Mail::Settled(settled)),
            }
        }
    }

    /// Stages the acceptance of `count` messages; those of one turn travel together.
    pub fn accept(&mut self, hold: Hold, count: u32) {
        match self.accepts.last_mut() {
            Some((last, so_far)) if last.is_followed_by(hold, *so_far) => *so_far += count,
            _ => self.accepts.push((hold, count)),
        }
    }

    /// Moves what is staged into the ring. True if the peer must be woken.
    pub fn flush(&mut self) -> bool {
        self.seal_block();
        if !self.accepts.is_empty() {
            self.staged.push_back(Mail::Accepted(std::mem::take(&mut self.accepts).into_boxed_slice()));
        }
        self.fill_ring();
        self.waits = !self.staged.is_empty() || !self.has_room();
        if self.waits {
            self.starved.store(true, SeqCst);
            fence(SeqCst); // pairs with the fence in `release`: either the peer sees the flag or this look sees the room
            self.fill_ring();
        }
        self.out.publish() && self.bell.ring()
    }

    /// Mail that has arrived and can be taken now.
    pub fn available(&mut self) -> usize {
        self.inbox.available()
    }

    /// The next mail.
    pub fn take(&mut self) -> Option<Mail> {
        self.inbox.pop()
    }

    /// Counts a message of taken mail.
    pub fn on_taken(&mut self, message: &MessageView<'_>) {
        self.taken_bytes += weight(message);
    }

    /// Gives the slots of taken mail back. True if the peer waited for them and must be woken.
    pub fn release(&mut self) -> bool {
        self.taken.store(self.taken_bytes, Relaxed);
        self.inbox.release();
        fence(SeqCst);
        self.peer_starved.load(SeqCst) && self.peer_starved.swap(false, SeqCst) && self.bell.ring()
    }

    /// Whether what the last flush waited for is there: free slots, room.
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
            self.staged[at] = Mail::Block(Bytes::from(std::mem::take(&mut self.block)));
            self.run_end = 0;
        }
    }
}

/// A record that was written.
struct Record {
    at: u32,
    /// It stands right behind the record before.
    continues_run: bool,
}

/// What a message counts towards the bytes on their way to a peer.
fn weight(message: &MessageView<'_>) -> usize {
    RECORD_HEADER + message.properties.len() + message.body.bytes().len()
}

/// Bytes of an [`Entry`] in front of a record.
const ENTRY_LEN: usize = 16;

/// The messages of a run, in the block that came with it: from `at` on `count` records, each behind its entry if `with_entry`.
pub fn records<'a>(
    block: &'a [u8],
    at: u32,
    count: u32,
    with_entry: bool,
    body: Option<&'a Bytes>,
) -> impl Iterator<Item = (Entry, MessageView<'a>)> {
    let mut rest = &block[at as usize..];
    (0..count).map(move |_| {
        let entry = match rest.split_first_chunk::<ENTRY_LEN>() {
            Some((entry, behind)) if with_entry => {
                rest = behind;
                Entry::from_bytes(*entry)
            }
            _ => Entry::new(0, MessageRef::default()),
        };
        let header = RecordHeader::read(rest);
        let message = header.view(rest, body);
        rest = &rest[header.record_len()..];
        (entry, message)
    })
}

/// The entries of settled deliveries, in the block that came with them.
pub fn settled_entries(block: &[u8], at: u32, count: u32) -> impl ExactSizeIterator<Item = Entry> {
    let bytes = &block[at as usize..][..count as usize * ENTRY_LEN];
    let (entries, _) = bytes.as_chunks::<ENTRY_LEN>();
    entries.iter().map(|entry| Entry::from_bytes(*entry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Key;
    use crate::message::Route;

    fn joined() -> (Link, Link) {
        Link::pair([Arc::new(Doorbell::default()), Arc::new(Doorbell::default())])
    }

    fn publish(link: &mut Link, body: Body<'_>) {
        publish_to(link, 0, body);
    }

    fn publish_to(link: &mut Link, queue: u32, body: Body<'_>) {
        let queue = QueueId(Key { slot: queue, generation: 0 });
        let message = MessageView { route: Route::new(b"\x00\x01q"), properties: &[0, 0], body };
        link.publish(&message, queue, None);
    }

    /// Takes what has arrived: the bodies of published messages.
    fn bodies(link: &mut Link) -> Vec<Vec<u8>> {
        let (mut got, mut shared) = (Vec::new(), None);
        for _ in 0..link.available() {
            match link.take().expect("counted as available") {
                Mail::Block(block) => link.in_block = block,
                Mail::Body(body) => shared = Some(body),
                Mail::Publish(Publish { at, count, .. }) => {
                    let (block, body) = (link.in_block.clone(), shared.take());
                    for (_, message) in records(&block, at, count, false, body.as_ref()) {
                        got.push(message.body.bytes().to_vec());
                        link.on_taken(&message);
                    }
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
}
