//! Publishing: from a message in somebody's hands to the queues that it leads to.

use super::Shard;
use super::mail::Hold;
use crate::base::ids::{ConnId, QueueAddr, QueueId, ShardId};
use crate::base::limits::PUBLISH_RUN_MAX;
use crate::broker::router;
use crate::contract::{Fault, Notice, RouteSet};
use crate::message::{Body, Content, MessageView};
use crate::protocol::amqp::session::{Contents, Publish};

/// A message and what its publisher wants to hear of it.
#[derive(Clone, Copy)]
pub struct Published<'a> {
    /// The publisher's channel.
    pub channel: u16,
    /// Return the message if it finds no queue.
    pub mandatory: bool,
    /// Who waits until the queues have it: a sequence number of a confirm channel, or 0 for a transaction.
    pub hold: Option<u64>,
    /// The message.
    pub message: MessageView<'a>,
}

impl Shard {
    /// Messages published one after the other to the same place.
    pub(super) fn publish_run(&mut self, id: ConnId, publish: &Publish<'_>, contents: &[Content<'_>]) {
        match self.sole_queue(id, publish, contents) {
            Some(queue) if queue.home == self.id => return self.enqueue_run(queue.queue, publish.route, contents),
            Some(queue) => return self.post_run(id, queue, publish, contents),
            None => {}
        }
        let &Publish { channel, mandatory, confirm, route } = publish;
        for (sequence, content) in (confirm.unwrap_or(0)..).zip(contents) {
            let hold = confirm.map(|_| sequence);
            if !self.publish(id, Published { channel, mandatory, hold, message: content.sent_to(route) }) {
                return; // the fault closes the channel, and what follows on it is ignored
            }
        }
    }

    /// The one queue of all messages of a run, if the channel remembers it.
    fn sole_queue(&mut self, id: ConnId, publish: &Publish<'_>, contents: &[Content<'_>]) -> Option<QueueAddr> {
        let cache = self.conns.get_mut(id)?.session.route_cache(publish.channel);
        let &[queue] = &cache.find(self.catalog.version(), publish.route.wire())?[..] else { return None };
        let plain = !contents.iter().any(|content| router::needs_checks(content.properties));
        plain.then_some(queue)
    }

    /// Posts a run to its one queue on another shard.
    fn post_run(&mut self, id: ConnId, queue: QueueAddr, publish: &Publish<'_>, contents: &[Content<'_>]) {
        let &Publish { channel, confirm, route, .. } = publish;
        let link = self.links[queue.home.0 as usize].as_mut().expect("every other shard has a link");
        let session = &mut self.conns.get_mut(id).expect("who publishes is connected").session;
        let generation = session.generation(channel);
        for (sequence, content) in (confirm.unwrap_or(0)..).zip(contents) {
            let hold = confirm.map(|_| Hold { conn: id, channel, generation, sequence });
            link.publish(&content.sent_to(route), queue.queue, hold);
            hold.inspect(|_| session.hold(channel, sequence, 1));
        }
        self.link_full |= !link.has_room();
    }

    /// basic.publish, complete. False: it was a fault.
    pub(super) fn publish(&mut self, id: ConnId, published: Published<'_>) -> bool {
        let mut routes = std::mem::take(&mut self.routes);
        let routed = self.route(id, &published, &mut routes);
        let is_fine = routed.is_ok();
        match routed {
            Ok(None) => self.spread(id, &published, &routes),
            Ok(Some(properties)) => {
                let message = MessageView { properties: &properties, ..published.message };
                self.spread(id, &Published { message, ..published }, &routes);
            }
            Err(fault) => self.fault(id, published.channel, fault),
        }
        self.routes = routes;
        is_fine
    }

    /// The queues of a message: from the channel's memory if it only depends on exchange and key, else from the router, which may also
    /// rewrite the properties.
    fn route(&mut self, id: ConnId, published: &Published<'_>, routes: &mut RouteSet) -> Result<Option<Vec<u8>>, Fault> {
        let message = &published.message;
        let conn = self.conns.get_mut(id).expect("who publishes is connected");
        let checked = router::needs_checks(message.properties);
        let version = self.catalog.version();
        let cache = conn.session.route_cache(published.channel);
        if !checked && let Some(found) = cache.find(version, message.route.wire()) {
            routes.clear();
            routes.extend_from_slice(found);
            return Ok(None);
        }
        routes.clear();
        let routed = router::route(&self.catalog, conn.session.vhost(), conn.user_name(), message, routes)?;
        if routed.cacheable && !checked {
            conn.session.route_cache(published.channel).remember(version, message.route.wire(), routes);
        }
        Ok(routed.properties)
    }

    /// Gives the message to its queues, here and elsewhere.
    pub(super) fn spread(&mut self, id: ConnId, published: &Published<'_>, routes: &[QueueAddr]) {
        if routes.is_empty() {
            return self.unroutable(id, published);
        }
        let mut stored = None;
        let mut remote = 0;
        for queue in routes {
            if queue.home == self.id {
                self.enqueue(queue.queue, &published.message, &mut stored);
            } else {
                remote += 1;
            }
        }
        if remote > 0 {
            self.post(id, published, routes, remote);
        }
    }

    /// Posts the message to the queues on other shards, one record per shard.
    #[inline(never)]
    fn post(&mut self, id: ConnId, published: &Published<'_>, routes: &[QueueAddr], remote: usize) {
        let channel = published.channel;
        let session = &self.conns.get(id).expect("who publishes is connected").session;
        let hold = published.hold.map(|sequence| Hold { conn: id, channel, generation: session.generation(channel), sequence });
        for peer in (0..self.config.shards).map(ShardId) {
            let mut queues = routes.iter().filter(|queue| queue.home == peer).map(|queue| queue.queue).peekable();
            if peer != self.id && queues.peek().is_some() {
                self.post_to(peer, queues, &published.message, hold);
            }
        }
        let conn = self.conns.get_mut(id).expect("who publishes is connected");
        match published.hold {
            Some(0) => conn.commit_pending += remote,
            Some(sequence) => conn.session.hold(published.channel, sequence, remote as u32),
            None => {}
        }
    }

    fn post_to(&mut self, peer: ShardId, queues: impl Iterator<Item = QueueId>, message: &MessageView<'_>, hold: Option<Hold>) {
        let link = self.links[peer.0 as usize].as_mut().expect("every other shard has a link");
        link.publish_to_all(message, queues, hold);
        self.link_full |= !link.has_room();
    }

    /// After a publish by `id` that may have filled a link: its socket is not read until the link has room.
    pub(super) fn park_if_link_full(&mut self, id: ConnId) {
        if std::mem::take(&mut self.link_full)
            && let Some(conn) = self.conns.get_mut(id).filter(|conn| !conn.waits_for_link)
        {
            conn.waits_for_link = true;
            self.mail_waiters.push(id);
        }
    }

    fn unroutable(&mut self, id: ConnId, published: &Published<'_>) {
        if published.mandatory {
            let conn = self.conns.touch(id).expect("who publishes is connected");
            conn.session.return_message(published.channel, &published.message);
        }
    }

    /// Messages from another shard, for a queue here.
    pub(super) fn on_posted<'a>(&mut self, queue: QueueId, mut messages: impl Iterator<Item = MessageView<'a>>) {
        let (mut route, mut contents) = (None, Contents::new());
        loop {
            let message = messages.next();
            let joins = message.is_some_and(|message| route == Some(message.route) && contents.len() < PUBLISH_RUN_MAX);
            if !joins && let Some(route) = route.take() {
                self.enqueue_run(queue, route, &contents);
                contents.clear();
            }
            match message {
                Some(MessageView { route: to, properties, body: Body::Slice(body) }) => {
                    route = Some(to);
                    contents.push(Content { properties, body });
                }
                Some(message) => self.enqueue(queue, &message, &mut None),
                None => return,
            }
        }
    }

    /// Remote queues have messages that sessions here wait for.
    pub(super) fn on_accepted_by_queue(&mut self, holds: &[(Hold, u32)]) {
        for &(Hold { conn: id, channel, generation, sequence }, count) in holds {
            let Some(conn) = self.live(id) else { continue };
            if sequence > 0 {
                let sequences = sequence..sequence + u64::from(count);
                sequences.for_each(|sequence| conn.session.accepted(channel, generation, sequence, 1));
                continue;
            }
            conn.commit_pending -= count as usize;
            if conn.commit_pending == 0 {
                self.answer(id, Notice::Done);
            }
        }
    }
}
