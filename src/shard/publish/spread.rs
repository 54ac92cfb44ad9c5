//! Messages for so many queues that one share of a turn is not enough: they are given to some
//! queues at a time.
//!
//! ```text
//! publish ─▶ too many copies ─▶ [messages, queues, at], kept with the connection, which is parked
//!   └▶ each turn, a share's worth of queues ─▶ … ─▶ the messages behind them ─▶ input goes on
//! ```
//!
//! Each queue still gets the publisher's messages in order, because the connection does nothing
//! else meanwhile. A confirm waits until the last queue has its message: the spread itself counts
//! as one more queue that must accept each of them. Other publishers go on between the parts; a
//! queue that is deleted meanwhile gets nothing.

use crate::base::ids::ConnId;
use crate::base::limits::{SHARE_STEPS_MAX, SPREAD_QUEUES_MIN};
use crate::contract::RouteSet;
use crate::contract::session::Contents;
use crate::message::{Body, Content, OwnedBody, Route};
use crate::shard::Shard;
use crate::shard::conns::conn::Conn;
use crate::shard::publish::dispatch::{Found, Published};
use crate::shard::publish::wanted::Wanted;

/// Messages of one publisher; the first of them are on their way to their queues.
pub struct Spread {
    channel: u16,
    generation: u32,
    mandatory: bool,
    wanted: Wanted,
    route: Box<[u8]>,
    properties: Vec<u8>,
    /// The place of each message's properties, and its body.
    messages: Vec<(usize, usize, OwnedBody)>,
    /// How many messages go to `queues`; those behind them are still to be routed.
    count: usize,
    queues: RouteSet,
    /// How many of the queues have them.
    at: usize,
}

impl Shard {
    /// Keeps messages of which the first were routed to more queues than a share can serve.
    pub(in crate::shard) fn keep_spread(&mut self, id: ConnId, published: &Published<'_, '_>, found: &Found) {
        self.hold_published(id, published.channel, published.wanted, published.contents.len(), 1);
        let queues = std::mem::take(&mut self.publishing.routes);
        self.work.spend(queues.len() / QUEUES_PER_STEP);
        let conn = self.conns.get_mut(id).expect("a publisher is connected");
        let generation = conn.session.generation(published.channel);
        conn.spread = Some(Box::new(Spread::new(published, generation, found, queues)));
        self.wait_for_turn(id);
    }

    /// Goes on with a connection's spread, unless the connection is parked for another reason.
    pub(in crate::shard) fn go_on_spreading(&mut self, id: ConnId) {
        let is_free = |conn: &&mut Conn| conn.spread.is_some() && !conn.is_parked();
        while !self.work.is_share_spent()
            && let Some(spread) = self.conns.get_mut(id).filter(is_free).and_then(|conn| conn.spread.take())
        {
            self.spread_part(id, spread);
        }
        if self.conns.get_mut(id).filter(is_free).is_some() {
            self.wait_for_turn(id);
        }
    }

    /// Serves some more queues; after the last one, publishes the messages behind.
    fn spread_part(&mut self, id: ConnId, mut spread: Box<Spread>) {
        let contents = spread.contents();
        let generation = self.conns.get(id).map(|conn| conn.session.generation(spread.channel));
        let wanted = if generation == Some(spread.generation) { spread.wanted } else { Wanted::Nothing };
        let &Spread { channel, mandatory, count, at, .. } = &*spread;
        let published = Published { channel, mandatory, wanted, route: Route::new(&spread.route), contents: &contents };
        let end = spread.queues.len().min(at + (SHARE_STEPS_MAX / count).max(SPREAD_QUEUES_MIN));
        let mut effect = self.spread(id, &published.first(count), &spread.queues[at..end]);
        if end == spread.queues.len() {
            effect |= self.publish(id, published.behind(count));
            self.end_spread(id, &published, spread.generation);
        } else {
            drop(contents);
            spread.at = end;
            self.conns.get_mut(id).expect("a connection stays while it spreads").spread = Some(spread);
        }
        self.park_if_congested(id, effect);
    }

    /// Accepts the messages on behalf of the spread. (Messages behind that are spread, too, are
    /// held by the next spread.)
    fn end_spread(&mut self, id: ConnId, published: &Published<'_, '_>, generation: u32) {
        if let (Some(conn), Wanted::Confirm(first)) = (self.live(id), published.wanted) {
            let sequences = first..first + published.contents.len() as u64;
            sequences.for_each(|sequence| conn.session.accepted(published.channel, generation, sequence, 1));
        }
    }
}

impl Spread {
    fn new(published: &Published<'_, '_>, generation: u32, found: &Found, queues: RouteSet) -> Spread {
        let mut spread = Spread {
            channel: published.channel,
            generation,
            mandatory: published.mandatory,
            wanted: published.wanted,
            route: published.route.wire().into(),
            properties: Vec::new(),
            messages: Vec::with_capacity(published.contents.len()),
            count: found.count,
            queues,
            at: 0,
        };
        let mut last: Option<&[u8]> = None;
        for (n, content) in published.contents.iter().enumerate() {
            let own = found.properties.as_deref().filter(|_| n == 0).unwrap_or(content.properties);
            spread.keep(content.body, own, last.is_some_and(|last| std::ptr::eq(last, own)));
            last = Some(own);
        }
        spread
    }

    /// Keeps a message. `repeats`: it has the properties of the one before.
    fn keep(&mut self, body: Body<'_>, properties: &[u8], repeats: bool) {
        let (start, end) = match self.messages.last() {
            Some(&(start, end, _)) if repeats => (start, end),
            _ => {
                self.properties.extend_from_slice(properties);
                (self.properties.len() - properties.len(), self.properties.len())
            }
        };
        self.messages.push((start, end, body.to_owned()));
    }

    fn contents(&self) -> Contents<'_> {
        let messages = self.messages.iter();
        messages.map(|(start, end, body)| Content { properties: &self.properties[*start..*end], body: body.as_body() }).collect()
    }
}

/// Queues that are found and written down in about a step.
const QUEUES_PER_STEP: usize = 32;
