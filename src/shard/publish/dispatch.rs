//! Publishing: from a run of messages with one exchange and routing key to the queues it leads to.
//!
//! ```text
//! run ─▶ find its queues   the channel's last route, a route that the shard knows, or the router
//!     ▼
//!   spread ─┬ queue here       to a consumer, or into the arena              queues::enqueue
//!           ├ queues elsewhere one mail per shard and message                peers::link
//!           ├ no queue         to a waiting reply-to channel, back to its publisher, or dropped
//!           └ the log          once, if a queue here must keep it            durability
//! confirm ◀─ once each queue elsewhere has accepted it, and the disk has what must last
//! ```
//!
//! A run is split where its messages need different treatment: where routing must look at
//! properties, where durability differs, and, if a queue asks for it, where priority differs or
//! message by message. A run that leads to very many queues goes on in [`spread`](super::spread),
//! some queues at a time.

use crate::base::ids::{ConnId, QueueAddr, QueueId, ShardId};
use crate::base::limits::{PUBLISH_RUN_MAX, SHARE_STEPS_MAX};
use crate::broker::exchange::Chance;
use crate::broker::queue::{Settings, lasts, priority};
use crate::broker::routing::router::{self, Publisher};
use crate::contract::session::Contents;
use crate::contract::{Count, Fault, ReplyName, copy_routes};
use crate::message::{Content, MessageView, Properties, Route, Stamp};
use crate::shard::Shard;
use crate::shard::conns::parking::SharedReason;
use crate::shard::local_queue;
use crate::shard::peers::mail::{Hold, Mail};
use crate::shard::publish::effect::Effect;
use crate::shard::publish::wanted::{Sender, Wanted};
use crate::shard::queues::enqueue::Batch;
use crate::shard::queues::lifetime::has_expiration;

/// A run of messages to the same place, and the answer that their publisher waits for.
#[derive(Clone, Copy)]
pub struct Published<'b, 'm> {
    /// The publisher's channel.
    pub channel: u16,
    /// Messages that find no queue are returned.
    pub mandatory: bool,
    /// The answer that the publisher waits for.
    pub wanted: Wanted,
    /// Exchange and routing key.
    pub route: Route<'m>,
    /// The messages.
    pub contents: &'b [Content<'m>],
}

/// The answer of routing; the queues are in
/// [`Publishing::routes`](crate::shard::publish::Publishing::routes).
#[derive(Default)]
pub struct Found {
    /// How many messages of the run, from its start, go there.
    pub count: usize,
    /// Properties that replace those of the first message, if the router rewrote them.
    pub properties: Option<Vec<u8>>,
    /// The first message has been dealt with already.
    pub is_done: bool,
    /// Somebody other than a queue has received the first message.
    pub is_received: bool,
    /// The effect of what was done with the first message already.
    pub effect: Effect,
}

impl Shard {
    /// Publishes a run of a client's messages.
    pub(in crate::shard) fn publish(&mut self, id: ConnId, mut published: Published<'_, '_>) -> Effect {
        let mut effect = Effect::NONE;
        while !published.contents.is_empty() {
            let plain = count_plain(published.contents);
            let found = match self.remembers(id, &published, plain) {
                Ok(0) => self.route_one(id, &published),
                known => known.map(|count| Found { count, ..Found::default() }),
            };
            if self.publishing.is_traced
                && let Ok(found) = &found
            {
                effect |= self.trace_published(id, &published, found.count);
            }
            match found {
                Ok(found) if self.publishing.routes.len() > 1 && found.count * self.publishing.routes.len() > SHARE_STEPS_MAX => {
                    self.keep_spread(id, &published, &found);
                    return effect | found.effect;
                }
                Ok(found) => {
                    effect |= self.spread_found(id, &published, &found);
                    published = published.behind(found.count);
                }
                // The fault closes the channel, which ignores the rest of the run.
                Err(fault) => {
                    self.fault(id, published.channel, fault);
                    break;
                }
            }
        }
        effect
    }

    /// Gives messages to the queues that were found for them.
    #[inline]
    pub(in crate::shard) fn spread_found(&mut self, id: ConnId, published: &Published<'_, '_>, found: &Found) -> Effect {
        if found.is_done {
            return found.effect;
        }
        let routes = std::mem::take(&mut self.publishing.routes);
        let effect = match &found.properties {
            None => self.spread(id, &published.first(found.count).received(found.is_received), &routes),
            Some(properties) => {
                let contents = &[Content { properties, ..published.contents[0] }];
                self.spread(id, &Published { contents, ..*published }.received(found.is_received), &routes)
            }
        };
        self.publishing.routes = routes;
        effect | found.effect
    }

    /// Looks the run up among the remembered routes; puts the queues into `routes`. Returns how
    /// many of its messages go there: `plain` (which need no checks), 1 after a check, or none.
    #[inline]
    fn remembers(&mut self, id: ConnId, published: &Published<'_, '_>, plain: usize) -> Result<usize, Fault> {
        let conn = self.conns.get_mut(id).expect("a publisher is connected");
        let (version, publisher, route) = (self.catalog.version(), conn.publisher(), published.route.wire());
        let cache = conn.last_routes.of(published.channel);
        let exchange = if let Some((found, exchange)) = cache.find(version, route) {
            copy_routes(found, &mut self.publishing.routes);
            exchange
        } else if let Some((found, exchange)) = self.publishing.known_routes.by_key.find(version, publisher, route) {
            copy_routes(found, &mut self.publishing.routes);
            if published.contents.len() > 1 {
                cache.remember(version, route, (found, exchange));
            }
            exchange
        } else {
            return self.remembers_headers(id, published).map(usize::from);
        };
        let count = match plain {
            0 => router::check_known(&self.catalog, conn.user(), published.contents[0].properties).map(usize::from)?,
            plain => plain,
        };
        self.publishing.exchanges.count(exchange, count, self.publishing.routes.len());
        Ok(count)
    }

    /// Looks the first message up by its headers; puts the queues into `routes`.
    fn remembers_headers(&mut self, id: ConnId, published: &Published<'_, '_>) -> Result<bool, Fault> {
        let conn = self.conns.get(id).expect("a publisher is connected");
        let properties = Properties::trusted(published.contents[0].properties);
        let Some(headers) = properties.headers() else { return Ok(false) };
        let (version, publisher, route) = (self.catalog.version(), conn.publisher(), published.route.wire());
        let found = self.publishing.known_routes.by_headers.find(version, publisher, route, headers.wire());
        let Some((found, exchange)) = found else { return Ok(false) };
        copy_routes(found, &mut self.publishing.routes);
        let may = router::check_known_headers(&self.catalog, conn.user(), properties)?;
        self.publishing.exchanges.count(exchange, may.into(), self.publishing.routes.len());
        Ok(may)
    }

    /// Routes one message, whose properties the router may rewrite. The route is remembered if it
    /// depends on nothing but exchange and key, or on the headers as well.
    fn route_one(&mut self, id: ConnId, published: &Published<'_, '_>) -> Result<Found, Fault> {
        let message = published.contents[0].sent_to(published.route);
        let conn = self.conns.get(id).expect("a publisher is connected");
        let publisher = conn.publisher();
        let chance = Chance { rng: &mut self.rng, here: self.id };
        let reply_name = conn.channels.reply_name(published.channel);
        let mut asking = Publisher { vhost: publisher.0, user: conn.user(), reply_name, chance };
        let routed = router::route(&self.catalog, &mut asking, &message, &mut self.publishing.routes)?;
        self.work.spend(routed.looked_at / LOOKS_PER_STEP);
        let exchange = self.publishing.exchanges.slot_of(&self.catalog, publisher.0, published.route.exchange());
        self.publishing.exchanges.count(exchange, 1, self.publishing.routes.len());
        if routed.is_remembered {
            let properties = routed.properties.as_deref().unwrap_or(message.properties);
            let contents = &[Content { properties, ..published.contents[0] }];
            return Ok(self.find_remembered(id, &Published { contents, ..*published }));
        }
        let (version, route) = (self.catalog.version(), published.route.wire());
        if routed.cacheable && self.publishing.known_routes.by_key.find(version, publisher, route).is_none() {
            self.publishing.known_routes.by_key.remember(version, publisher, route, &self.publishing.routes, exchange);
        } else if routed.cacheable_by_headers {
            let headers = Properties::trusted(message.properties).headers().unwrap_or_default();
            let memory = &mut self.publishing.known_routes.by_headers;
            memory.remember(version, publisher, (route, exchange), headers.wire(), &self.publishing.routes);
        }
        let contents = [Content { properties: routed.properties.as_deref().unwrap_or(message.properties), ..published.contents[0] }];
        let effect = self.reply_all(id, &Published { contents: &contents, ..*published }, &routed.reply_names);
        Ok(Found { count: 1, properties: routed.properties, is_done: false, is_received: !routed.reply_names.is_empty(), effect })
    }

    /// Gives a message to the channels that wait for replies under these names.
    fn reply_all(&mut self, id: ConnId, published: &Published<'_, '_>, reply_names: &[Vec<u8>]) -> Effect {
        let published = published.received(!reply_names.is_empty());
        let names = reply_names.iter().filter_map(|name| ReplyName::parse(name));
        names.fold(Effect::NONE, |effect, name| effect | self.reply(id, &published, name))
    }

    /// Gives a message to the channels that wait under these names, and to its queues.
    pub(in crate::shard) fn spread_routed(
        &mut self,
        id: ConnId,
        published: &Published<'_, '_>,
        reply_names: &[Vec<u8>],
        routes: &[QueueAddr],
    ) -> Effect {
        let effect = self.reply_all(id, published, reply_names);
        effect | self.spread(id, &published.received(!reply_names.is_empty()), routes)
    }

    /// Gives messages to their queues, in runs that every queue treats alike.
    pub(in crate::shard) fn spread(&mut self, id: ConnId, published: &Published<'_, '_>, routes: &[QueueAddr]) -> Effect {
        if published.contents.len() == 1 || self.queues.special + self.queues.levelled == 0 {
            return self.spread_alike(id, published, routes);
        }
        let (selects, have_levels, mut rest) = (self.any_selects(routes), self.have_levels(routes), *published);
        let mut effect = Effect::NONE;
        while !rest.contents.is_empty() {
            let count = match (selects, have_levels) {
                (true, _) => 1,
                (_, true) => count_same_level(rest.contents),
                _ => rest.contents.len(),
            };
            effect |= self.spread_alike(id, &rest.first(count), routes);
            rest = rest.behind(count);
        }
        effect
    }

    fn spread_alike(&mut self, id: ConnId, published: &Published<'_, '_>, routes: &[QueueAddr]) -> Effect {
        let &Published { channel, wanted, route, contents, .. } = published;
        let stamp = self.stamp(contents[0].properties);
        let sender = Sender::Client { conn: id, channel, wanted };
        let mut effect = match routes {
            [] => return self.unroutable(id, published),
            [queue] if queue.home == self.id => self.enqueue(queue.queue, &sender, Batch::new(route, stamp, contents)),
            _ => {
                self.work.spend(contents.len() * (routes.len() - 1));
                let effect = self.enqueue_here(&sender, route, stamp, contents, routes, |_, _, _| {});
                let generation = || self.conns.get(id).expect("a publisher is connected").session.generation(channel);
                let hold = (wanted != Wanted::Nothing).then(|| wanted.hold(id, channel, generation()));
                let (queues, posted) = self.post(hold, route, Stamp::at(self.span_start_time()), contents, routes);
                self.hold_published(id, channel, wanted, contents.len(), queues);
                effect | posted
            }
        };
        effect |= self.log_taken(route, stamp, contents);
        if effect.has(Effect::REFUSED) {
            self.tell_refused(id, published);
        }
        effect
    }

    /// Whether a queue here has levels: it gets messages of one priority at a time.
    fn have_levels(&mut self, routes: &[QueueAddr]) -> bool {
        let here = self.id;
        routes.iter().filter(|queue| queue.home == here).any(|queue| self.has_levels(queue.queue))
    }

    /// Whether this queue lives here and has levels.
    fn has_levels(&mut self, id: QueueId) -> bool {
        self.queues.levelled > 0 && local_queue(&mut self.queues.slots, id).is_some_and(|queue| queue.rules.priorities.has_levels())
    }

    /// Whether a queue here rejects surplus or drops duplicates: it gets messages one by one.
    fn any_selects(&mut self, routes: &[QueueAddr]) -> bool {
        let here = self.id;
        let mut own = routes.iter().filter(|queue| queue.home == here);
        own.any(|queue| local_queue(&mut self.queues.slots, queue.queue).and_then(|queue| queue.settings()).is_some_and(Settings::selects))
    }

    /// Gives a message that no session here publishes, such as a dead letter, to its queues. Nobody
    /// hears whether they have it.
    pub(in crate::shard) fn forward(&mut self, message: &MessageView<'_>, routes: &[QueueAddr]) -> Effect {
        self.work.spend(routes.len());
        let (route, contents) = (message.route, [message.content()]);
        let (stamp, for_others) = self.stamps(message);
        let effect = self.enqueue_here(&Sender::Nobody, route, stamp, &contents, routes, |_, _, _| {});
        let (_, posted) = self.post(None, route, for_others, &contents, routes);
        effect | posted | self.log_taken(route, stamp, &contents)
    }

    /// Gives messages to their queues on this shard; calls `then` with each one's place in `routes`
    /// and its effect.
    pub(in crate::shard) fn enqueue_here(
        &mut self,
        sender: &Sender,
        route: Route<'_>,
        stamp: Stamp,
        contents: &[Content<'_>],
        routes: &[QueueAddr],
        mut then: impl FnMut(&mut Shard, usize, Effect),
    ) -> Effect {
        let mut stored = std::mem::take(&mut self.publishing.stored);
        stored.resize(contents.len(), None);
        let (here, mut effect) = (self.id, Effect::NONE);
        for (part, queue) in routes.iter().enumerate().filter(|(_, queue)| queue.home == here) {
            let of_part = self.enqueue(queue.queue, sender, Batch::shared(route, stamp, contents, &mut stored));
            then(self, part, of_part);
            effect |= of_part;
        }
        stored.clear();
        self.publishing.stored = stored;
        effect
    }

    /// Mails messages to their queues on other shards, one record per shard and message. Returns
    /// the number of these queues.
    fn post(
        &mut self,
        hold: Option<Hold>,
        route: Route<'_>,
        stamp: Stamp,
        contents: &[Content<'_>],
        routes: &[QueueAddr],
    ) -> (usize, Effect) {
        let remote = routes.iter().filter(|queue| queue.home != self.id).count();
        let mut effect = Effect::NONE;
        if remote == 0 {
            return (0, effect);
        }
        for peer in (0..self.config.shards).map(ShardId).filter(|&peer| peer != self.id) {
            let queues = routes.iter().filter(|queue| queue.home == peer).map(|queue| queue.queue);
            if queues.clone().next().is_some() {
                let link = self.peers.links[peer.0 as usize].as_mut().expect("every other shard has a link");
                link.publish(queues, route, stamp, contents, hold);
                effect |= Effect::LINK_FULL.when(!link.has_room());
                routes.iter().filter(|queue| queue.home == peer).for_each(|&queue| self.publishing.flow.press_remote(queue));
            }
        }
        (remote, effect)
    }

    /// Parks the input of `id` if a publish has filled a link or the log, or used up the memory.
    #[inline]
    pub(in crate::shard) fn park_if_congested(&mut self, id: ConnId, effect: Effect) {
        if effect.is_congestion() {
            self.park_congested(id, effect);
        }
    }

    #[cold]
    fn park_congested(&mut self, id: ConnId, effect: Effect) {
        for (fact, reason) in
            [(Effect::MEMORY_SHORT, SharedReason::Memory), (Effect::LOG_FULL, SharedReason::Log), (Effect::LINK_FULL, SharedReason::Link)]
        {
            if effect.has(fact) {
                self.conns.park(id, reason);
            }
        }
    }

    /// Messages for no queue are replies to a waiting channel, or unroutable.
    fn unroutable(&mut self, id: ConnId, published: &Published<'_, '_>) -> Effect {
        let route = published.route;
        let Some(name) = ReplyName::parse(route.key()).filter(|_| route.exchange().is_empty()) else {
            self.return_unroutable(id, published);
            return Effect::NONE;
        };
        self.reply(id, published, name)
    }

    pub(in crate::shard) fn return_unroutable(&mut self, id: ConnId, published: &Published<'_, '_>) {
        let (count, messages) =
            (if published.mandatory { Count::ReturnUnroutable } else { Count::DropUnroutable }, published.contents.len());
        self.tally.counts.add(count, messages);
        if published.mandatory {
            let conn = self.conns.touch(id).expect("a publisher is connected");
            for content in published.contents {
                conn.session.return_message(published.channel, &content.sent_to(published.route));
            }
        } else if let Some(conn) = self.conns.get_mut(id) {
            conn.session.count(published.channel, count, messages);
        }
    }

    /// Enqueues messages of another shard. `holder` waits for the first one, if any shard does.
    pub(in crate::shard) fn on_posted<'a>(
        &mut self,
        queue: QueueId,
        mut holder: Option<Holder>,
        messages: impl Iterator<Item = MessageView<'a>>,
    ) {
        let (mut route, mut stamp, mut contents) = (Route::EMPTY, Stamp::NONE, Contents::new());
        let selects = local_queue(&mut self.queues.slots, queue).and_then(|queue| queue.settings()).is_some_and(Settings::selects);
        let most = if selects { 1 } else { PUBLISH_RUN_MAX };
        for message in messages {
            if contents.len() == most || message.route != route || message.stamp != stamp {
                self.enqueue_posted(queue, holder, route, stamp, &contents);
                holder = behind(holder, contents.len());
                contents.clear();
                (route, stamp) = (message.route, message.stamp);
            }
            contents.push(message.content());
        }
        self.enqueue_posted(queue, holder, route, stamp, &contents);
    }

    /// Enqueues messages that may differ in whether they survive a restart, and in priority.
    fn enqueue_posted(&mut self, queue: QueueId, mut holder: Option<Holder>, route: Route<'_>, stamp: Stamp, mut contents: &[Content<'_>]) {
        let has_levels = self.has_levels(queue);
        while !contents.is_empty() {
            let first = contents[0].properties;
            let (first_lasts, first_expires) = (lasts(first), has_expiration(first));
            let is_alike = |content: &&Content<'_>| {
                let properties = content.properties;
                std::ptr::eq(properties, first) || lasts(properties) == first_lasts && !first_expires && !has_expiration(properties)
            };
            let alike = contents.iter().take_while(is_alike).count();
            let (alike, rest) = contents.split_at(if has_levels { count_same_level(&contents[..alike]) } else { alike });
            let stamp = self.stamp_posted(stamp, first);
            let sender = holder.map_or(Sender::Nobody, |(from, hold)| Sender::Shard(from, hold));
            let enqueued = self.enqueue(queue, &sender, Batch::new(route, stamp, alike));
            let effect = enqueued | self.log_taken(route, stamp, alike);
            self.answer_posted(holder, alike.len(), effect);
            (holder, contents) = (behind(holder, alike.len()), rest);
        }
    }

    /// Tells another shard that its queue here has messages, unless the log answers for the queue,
    /// and whether it has refused them.
    fn answer_posted(&mut self, holder: Option<Holder>, count: usize, effect: Effect) {
        let Some((from, hold)) = holder else { return };
        if effect.has(Effect::REFUSED) {
            self.link(from).stage(Mail::Refused(hold));
        }
        if !effect.has(Effect::MUST_LAST) {
            self.link(from).accept(hold, count as u32);
        }
    }
}

impl Published<'_, '_> {
    /// The first `count` messages.
    pub(in crate::shard) fn first(self, count: usize) -> Self {
        Published { contents: &self.contents[..count], ..self }
    }

    /// The messages behind the first `count`.
    pub(in crate::shard) fn behind(self, count: usize) -> Self {
        let wanted = match self.wanted {
            Wanted::Confirm(sequence) => Wanted::Confirm(sequence + count as u64),
            wanted => wanted,
        };
        Published { wanted, contents: &self.contents[count..], ..self }
    }

    /// The same messages, but not to be returned to their publisher if somebody has received them.
    fn received(self, is_received: bool) -> Self {
        Published { mandatory: self.mandatory && !is_received, ..self }
    }
}

/// The shard that sent a message and waits for its acceptance, with its hold.
type Holder = (ShardId, Hold);

/// Returns the holder of the message `count` behind.
fn behind(holder: Option<Holder>, count: usize) -> Option<Holder> {
    holder.map(|(from, hold)| (from, hold.behind(count as u32)))
}

/// Nodes, keys or headers that routing looks at in about a step.
pub const LOOKS_PER_STEP: usize = 8;

/// Counts the messages in front of the first whose priority differs.
fn count_same_level(contents: &[Content<'_>]) -> usize {
    let (first, of_first) = (contents[0].properties, priority(contents[0].properties));
    let is_alike = |content: &&Content<'_>| std::ptr::eq(content.properties, first) || priority(content.properties) == of_first;
    1 + contents[1..].iter().take_while(is_alike).count()
}

/// Counts the messages in front of the first whose properties need checks, or that differs in
/// whether it survives a restart.
#[inline]
fn count_plain(contents: &[Content<'_>]) -> usize {
    let is_plain = |&at: &usize| {
        let properties = contents[at].properties;
        let is_as_before = at > 0 && std::ptr::eq(contents[at - 1].properties, properties);
        is_as_before || !router::needs_checks(properties) && (at == 0 || lasts(properties) == lasts(contents[0].properties))
    };
    (0..contents.len()).take_while(is_plain).count()
}
