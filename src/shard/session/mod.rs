//! The sessions of a shard: the only place that lists protocols. A protocol's session machine turns
//! a client's bytes into [`Event`]s and writes what the shard tells it. The types between the two
//! are those of [`contract::session`](crate::contract::session).
//!
//! Every method is one call into the session's own machine, chosen by a match that the compiler
//! resolves in place: with one protocol it costs nothing, with several a predictable branch.
//!
//! A new protocol needs a session machine in `protocol/NAME` with these methods (those without a
//! meaning in it answer nothing), a variant in [`Session`], [`Delivery`] and [`Protocol`], and a
//! listener (`io::net::listener`); the shard and the broker stay as they are. The tests prove it with
//! a protocol of a few verbs (`line.rs`).
//!
//! A session keeps what its protocol alone knows: delivery tags, prefetches, how an answer is
//! written. What belongs to the broker is the shard's, for any protocol: open transactions and reply
//! names ([`conns::channels`](crate::shard::conns::channels)), and why input waits
//! ([`conns::parking`](crate::shard::conns::parking)).

mod delivery;
#[cfg(test)]
mod line;
#[cfg(test)]
mod tests;

pub use delivery::Delivery;

use std::sync::Arc;

use crate::base::alarms::AlarmSet;
use crate::base::budget::Budgets;
use crate::base::ids::{ConnAddr, ConsumerId, QueueAddr};
use crate::base::outgoing::Outgoing;
use crate::config::{Config, Protocol};
use crate::contract::session::{
    Assembled, BodyLoan, ChannelQuotas, ChannelState, ConsumerState, Contents, Ended, Event, GivenUp, Late, Rest, Room, SessionFigures,
    Settled, Taker,
};
use crate::contract::{Count, Entry, Fault, Grant, Notice, Origin, Outcome, Tags, VhostId};
use crate::message::MessageView;
use crate::protocol::amqp;

/// The session of one connection, in its protocol.
#[allow(clippy::large_enum_variant, reason = "there is one per connection, and a box would cost every call a step")]
pub enum Session {
    /// AMQP 0-9-1.
    Amqp(amqp::session::Session),
    /// The tests' line protocol.
    #[cfg(test)]
    Line(line::Session),
}

/// Calls the same method of the session, whichever protocol it is.
macro_rules! each {
    ($session:expr, $inner:ident => $call:expr) => {
        match $session {
            Session::Amqp($inner) => $call,
            #[cfg(test)]
            Session::Line($inner) => $call,
        }
    };
}

impl Session {
    /// Makes the session of a connection that a listener for `protocol` has just accepted, `now` in
    /// milliseconds since the start. `seed` makes the names that it gives; `budgets` are those of
    /// its shard.
    pub fn new(protocol: Protocol, config: Arc<Config>, budgets: Budgets, addr: ConnAddr, seed: u64, now: u64) -> Session {
        match protocol {
            Protocol::Amqp => Session::Amqp(amqp::session::Session::new(config, budgets, addr, seed, now)),
            #[cfg(test)]
            Protocol::Line => Session::Line(line::Session::new(budgets, addr)),
        }
    }

    /// Takes the next event out of `input`, the contiguous bytes that have arrived and were not
    /// consumed before. Returns the number of bytes consumed, and the event; `contents` receives
    /// the messages of an [`Event::Publish`]. The session of a parked connection is not polled.
    #[inline]
    pub fn poll<'a>(&mut self, input: &'a [u8], contents: &mut Contents<'a>) -> (usize, Event<'a>) {
        each!(self, session => session.poll(input, contents))
    }

    /// How many bytes poll must see, contiguous from `head` on, to get any further. `head` is what
    /// it left over.
    #[inline]
    pub fn needed(&self, head: &[u8]) -> usize {
        each!(self, session => session.needed(head))
    }

    /// Notes that bytes have come from the client, though the session is not polled for them.
    #[inline]
    pub fn heard(&mut self) {
        each!(self, session => session.heard())
    }

    /// Whether more output waits for the client than one connection may have now, because it asks
    /// for more and more and does not read. Then the session should not be polled, nor its socket
    /// read, until the output was taken.
    #[inline]
    pub fn is_stalled(&self) -> bool {
        each!(self, session => session.is_stalled())
    }

    /// Lends room for at most `most` bytes of the body that is arriving, if it is large enough to
    /// be worth it. Until [`Session::return_body`] nothing else is received.
    #[inline]
    pub fn lend_body(&mut self, most: usize) -> Option<BodyLoan> {
        each!(self, session => session.lend_body(most))
    }

    /// Takes a loan back: its buffer has grown by the bytes that arrived, with `gaps` between.
    /// Returns the bytes that are to be parsed now, before any that arrived behind.
    #[inline]
    pub fn return_body(&mut self, loan: BodyLoan, gaps: &[u8]) -> Vec<u8> {
        each!(self, session => session.return_body(loan, gaps))
    }

    /// The connection's address in the broker.
    #[inline]
    pub fn addr(&self) -> ConnAddr {
        each!(self, session => session.addr())
    }

    /// The virtual host, once it is open.
    #[inline]
    pub fn vhost(&self) -> VhostId {
        each!(self, session => session.vhost())
    }

    /// The virtual host's name, once the client has asked for it.
    #[inline]
    pub fn vhost_name(&self) -> &str {
        each!(self, session => session.vhost_name())
    }

    /// Whether one of its channels has a consumer.
    #[inline]
    pub fn has_consumers(&self) -> bool {
        each!(self, session => session.has_consumers())
    }

    /// Returns the queue and id of a consumer of an open channel.
    #[inline]
    pub fn consumer(&self, channel: u16, index: u32) -> Option<(QueueAddr, ConsumerId)> {
        each!(self, session => session.consumer(channel, index))
    }

    /// Returns the queues and ids of a channel's consumers that acknowledge.
    #[inline]
    pub fn acking_consumers(&self, channel: u16) -> impl Iterator<Item = (QueueAddr, ConsumerId)> + '_ {
        let consumers = match self {
            Session::Amqp(session) => Some(session.acking_consumers(channel)),
            #[cfg(test)]
            Session::Line(_) => None, // its channel is never metered
        };
        consumers.into_iter().flatten()
    }

    /// Tells the open channel with this number from others that had the number before.
    #[inline]
    pub fn generation(&self, channel: u16) -> u32 {
        each!(self, session => session.generation(channel))
    }

    /// Answers [`Event::Login`].
    #[inline]
    pub fn logged_in(&mut self, accepted: bool) {
        each!(self, session => session.logged_in(accepted))
    }

    /// Answers [`Event::OpenVhost`], with the limits of channels if it is accepted.
    #[inline]
    pub fn opened(&mut self, opened: Result<(VhostId, ChannelQuotas), Fault>) {
        each!(self, session => session.opened(opened))
    }

    /// Takes the answer to [`Event::Request`] or [`Event::Commit`]. The answer to a basic.get that
    /// found a message is [`Session::deliver_get`].
    #[inline]
    pub fn answer(&mut self, notice: Notice) {
        each!(self, session => session.answer(notice))
    }

    /// Takes the answer to a basic.get that found a message. `remaining` others are ready in
    /// `queue`; the channel may keep the message for `timeout_ms`.
    #[inline]
    pub fn deliver_get(&mut self, queue: QueueAddr, entry: Entry, remaining: u32, timeout_ms: Option<u64>, message: &MessageView<'_>) {
        each!(self, session => session.deliver_get(queue, entry, remaining, timeout_ms, message))
    }

    /// Notes that the answer that the client waits for, if any, must be on the disk first. If the
    /// disk is full, the client is told.
    #[inline]
    pub fn await_disk(&mut self) {
        each!(self, session => session.await_disk())
    }

    /// Takes a fault that the broker found with the publish or the commit in hand. A channel that
    /// is gone is not closed again.
    #[inline]
    pub fn fault(&mut self, channel: u16, fault: Fault) {
        each!(self, session => session.fault(channel, fault))
    }

    /// Takes the message of [`Event::Assembled`] or [`Event::PublishAtCommit`].
    #[inline]
    pub fn take_assembled(&mut self) -> Assembled {
        each!(self, session => session.take_assembled())
    }

    /// Takes a message's buffers back, for the next one.
    #[inline]
    pub fn recycle(&mut self, message: Assembled) {
        each!(self, session => session.recycle(message))
    }

    /// Notes that a commit settles this many deliveries to consumers of a channel: they no longer
    /// count towards a prefetch.
    #[inline]
    pub fn committed(&mut self, channel: u16, consumed: u32) {
        each!(self, session => session.committed(channel, consumed))
    }

    /// Takes the deliveries back that a transaction had settled, after [`Event::Rollback`].
    /// [`Session::roll_back`] follows until everything is done, before the next poll.
    #[inline]
    pub fn begin_rollback(&mut self, channel: u16, settles: Vec<Settled>) {
        each!(self, session => session.begin_rollback(channel, settles))
    }

    /// Goes on with a rollback. Returns whether something is left; if not, the client was told.
    #[inline]
    pub fn roll_back(&mut self) -> bool {
        each!(self, session => session.roll_back())
    }

    /// Takes out the deliveries that [`Event::Settle`] or [`Event::SettleAtCommit`] settles; `out`
    /// has none yet that is consumed. An unknown tag ends it with a fault (406). If there is a rest,
    /// [`Session::settle_rest`] follows before the next poll.
    #[inline]
    pub fn settle(&mut self, channel: u16, tags: Tags, outcome: Outcome, out: &mut impl Taker) -> Option<Rest> {
        each!(self, session => session.settle(channel, tags, outcome, out))
    }

    /// Takes out more deliveries to be settled; `out` has none yet that is consumed. Returns whether
    /// others are left.
    #[inline]
    pub fn settle_rest(&mut self, rest: &Rest, out: &mut impl Taker) -> bool {
        each!(self, session => session.settle_rest(rest, out))
    }

    /// The deliveries that [`Event::Recover`] settles: all, also on a channel with a transaction.
    /// [`Session::settle_rest`] takes them out.
    #[inline]
    pub fn recovery(&mut self, channel: u16) -> Rest {
        each!(self, session => session.recovery(channel))
    }

    /// Takes all deliveries of a late consumer back, with those that a transaction had `settled`,
    /// and cancels it, after [`Event::Late`]. The channel is closed instead if the client does not
    /// understand that, if it has cancelled the consumer already, or if the channel itself is late.
    /// The tags taken back may still be settled, without effect.
    #[inline]
    pub fn give_up(&mut self, late: &Late, settled: Vec<Settled>) -> GivenUp {
        each!(self, session => session.give_up(late, settled))
    }

    /// Holds the `publishes` publishes from sequence number `first` on until `queues` queues have
    /// accepted each. Called while they are in hand; publishes that are not held are confirmed at
    /// the next flush.
    #[inline]
    pub fn hold(&mut self, channel: u16, first: u64, publishes: u64, queues: u32) {
        each!(self, session => session.hold(channel, first, publishes, queues))
    }

    /// Notes that `count` queues have accepted `sequence` of a channel and its
    /// [`generation`](Session::generation). If the channel is gone, nothing happens.
    #[inline]
    pub fn accepted(&mut self, channel: u16, generation: u32, sequence: u64, count: u32) {
        each!(self, session => session.accepted(channel, generation, sequence, count))
    }

    /// Notes that a queue has refused the publish `sequence` of the channel, if it is still the
    /// same channel. A nack follows.
    #[inline]
    pub fn refused(&mut self, channel: u16, generation: u32, sequence: u64) {
        each!(self, session => session.refused(channel, generation, sequence))
    }

    /// Tells of the session.
    pub fn figures(&self) -> SessionFigures {
        each!(self, session => session.figures())
    }

    /// Tells of each channel.
    pub fn channel_states(&self) -> Vec<ChannelState> {
        each!(self, session => session.channel_states())
    }

    /// Tells of each consumer of a queue.
    pub fn consumer_states(&self) -> Vec<ConsumerState> {
        each!(self, session => session.consumer_states())
    }

    /// Counts for a channel what its session does not see: messages that were dropped, and
    /// deliveries of messages that had been delivered before.
    pub fn count(&mut self, channel: u16, count: Count, messages: usize) {
        each!(self, session => session.count(channel, count, messages))
    }

    /// Writes the confirms since the last flush, at the end of a turn. Returns of how many messages.
    #[inline]
    pub fn flush_confirms(&mut self) -> u64 {
        each!(self, session => session.flush_confirms())
    }

    /// Returns a mandatory message that found no queue, before its confirm, and before the close-ok
    /// of a channel that its client closes.
    #[inline]
    pub fn return_message(&mut self, channel: u16, message: &MessageView<'_>) {
        each!(self, session => session.return_message(channel, message))
    }

    /// Whether the consumer at `index` of `channel` can take a message now.
    #[inline]
    pub fn can_take(&self, channel: u16, index: u32) -> Room {
        each!(self, session => session.can_take(channel, index))
    }

    /// Opens the consumer at `index` of `channel` for one delivery or several in a row. It must be
    /// there ([`Session::can_take`]).
    #[inline]
    pub fn delivery<'m>(&mut self, channel: u16, index: u32) -> Delivery<'_, 'm> {
        match self {
            Session::Amqp(session) => Delivery::Amqp(session.delivery(channel, index)),
            #[cfg(test)]
            Session::Line(session) => Delivery::Line(session.delivery(channel, index)),
        }
    }

    /// Returns what is to be granted to a queue on another shard for a consumer, as far as there is
    /// room, and whether a grant waits for room. Then this is to be called again when there is
    /// some.
    #[inline]
    pub fn grant(&mut self, channel: u16, index: u32) -> (Grant, bool) {
        each!(self, session => session.grant(channel, index))
    }

    /// Notes that messages of a queue on another shard arrived for a consumer, and were delivered.
    /// Returns whether a grant is due.
    #[inline]
    pub fn on_arrived(&mut self, channel: u16, index: u32, messages: u32, bytes: usize) -> bool {
        each!(self, session => session.on_arrived(channel, index, messages, bytes))
    }

    /// Notes that a queue on another shard asks for messages for a consumer. Returns whether that
    /// is to be answered now; otherwise a grant waits already.
    #[inline]
    pub fn on_wanted(&mut self, channel: u16, index: u32, messages: u32) -> bool {
        each!(self, session => session.on_wanted(channel, index, messages))
    }

    /// Takes back messages that a queue on another shard was granted for a consumer and does not
    /// need.
    #[inline]
    pub fn on_unused(&mut self, channel: u16, index: u32, messages: u32) {
        each!(self, session => session.on_unused(channel, index, messages))
    }

    /// Ends a consumer whose queue is gone. The client is told if it understands that.
    #[inline]
    pub fn consumer_gone(&mut self, channel: u16, index: u32) {
        each!(self, session => session.consumer_gone(channel, index))
    }

    /// Takes the broker's present alarms. Returns true if the connection was blocked and is no
    /// longer: its input goes on.
    #[inline]
    pub fn on_alarms(&mut self, alarms: AlarmSet) -> bool {
        each!(self, session => session.on_alarms(alarms))
    }

    /// Whether an alarm is on, as far as the connection knows.
    #[inline]
    pub fn is_alarmed(&self) -> bool {
        each!(self, session => session.is_alarmed())
    }

    /// Whether the connection publishes while an alarm is on. Then nothing is read from it.
    #[inline]
    pub fn is_blocked(&self) -> bool {
        each!(self, session => session.is_blocked())
    }

    /// Looks at the clock: heartbeats both ways, limits of handshake and close, late consumers.
    /// `oldest_settled` returns the lowest tag of a delivery of a channel and of this origin that a
    /// transaction has settled. Returns when it is to be called again.
    #[inline]
    pub fn on_timer(&mut self, now: u64, oldest_settled: impl Fn(u16, Origin) -> Option<u64>) -> Option<u64> {
        each!(self, session => session.on_timer(now, oldest_settled))
    }

    /// Whether [`Session::on_timer`] should be called in this turn, because the instant that it
    /// wants has changed.
    #[inline]
    pub fn wants_timer(&self) -> bool {
        each!(self, session => session.wants_timer())
    }

    /// The output that waits for the socket.
    #[inline]
    pub fn output_mut(&mut self) -> &mut Outgoing {
        each!(self, session => session.output_mut())
    }

    /// Bytes that wait for the socket.
    #[inline]
    pub fn output_len(&self) -> usize {
        each!(self, session => session.output_len())
    }

    /// Takes the waiting output, to be sent.
    #[inline]
    pub fn take_output(&mut self) -> Outgoing {
        each!(self, session => session.take_output())
    }

    /// Closes the connection because the broker stops (320).
    #[inline]
    pub fn shut_down(&mut self) {
        each!(self, session => session.shut_down())
    }

    /// Closes an open connection for a reason that is not the client's (320).
    #[inline]
    pub fn force_close(&mut self, why: &str) {
        each!(self, session => session.force_close(why))
    }

    /// Takes the consumers and unsettled messages of a channel, after [`Event::ChannelEnded`].
    /// [`Session::release_channel`] follows.
    #[inline]
    pub fn end_channel(&mut self, channel: u16) -> Ended {
        each!(self, session => session.end_channel(channel))
    }

    /// Everything that [`Session::end_channel`] returned is cleaned up, on every shard: if the
    /// client closed the channel, close-ok is written now.
    #[inline]
    pub fn release_channel(&mut self, channel: u16) {
        each!(self, session => session.release_channel(channel))
    }

    /// Takes the consumers and unsettled messages of all channels. The connection must be over:
    /// after [`Event::Closing`] or [`Event::Finished`], or when the socket is gone.
    #[inline]
    pub fn end(&mut self) -> Ended {
        each!(self, session => session.end())
    }

    /// Everything that [`Session::end`] returned is cleaned up: the close goes on.
    #[inline]
    pub fn released(&mut self) {
        each!(self, session => session.released())
    }
}
