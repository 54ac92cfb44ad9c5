//! Direct reply-to (row S15): a reply goes straight to the channel that waits for it, on whatever
//! shard it is. It needs no queue, no log and no change of the catalog.
//!
//! ```text
//! requester's channel: consume amq.rabbitmq.reply-to ─▶ a name of its own, [`ReplyName`], which
//!   the shard keeps                                                        conns::channels
//!   its publishes with that reply-to carry the name                        broker::routing
//!   a publish to "" with the name as key ─▶ the name's shard ─▶ the channel's output,
//!                                           or back to its publisher if the channel is gone
//! ```
//!
//! A name cannot be guessed: it has a keyed hash of its other parts, and the key stays on the
//! shard.

use sha2::{Digest, Sha256};

use crate::base::ids::{ChannelAddr, ConnId, ShardId};
use crate::contract::session::Room;
use crate::contract::{
    Code, Entry, Fault, Notice, QueueSpec, REPLY_TO, ReplyConsumer, ReplyName, Request, Topology, VhostId, is_reply_name,
};
use crate::message::{MessageRef, MessageView};
use crate::shard::Shard;
use crate::shard::conns::conn::Conn;
use crate::shard::peers::mail::{Answer, Hold, Mail, Reply, Returned};
use crate::shard::publish::dispatch::Published;
use crate::shard::publish::effect::Effect;

impl Shard {
    /// Answers a request to use a reply name as a queue. Returns false for any other request.
    pub(in crate::shard) fn answer_for_replies(&mut self, from: ChannelAddr, vhost: VhostId, request: &Request) -> bool {
        let notice = match request {
            Request::CheckQueue { name } | Request::Topology(Topology::DeclareQueue(QueueSpec { name, .. })) if **name == *REPLY_TO => {
                awaited(name)
            }
            Request::CheckQueue { name } | Request::Topology(Topology::DeclareQueue(QueueSpec { name, .. }))
                if is_reply_name(name.as_bytes()) =>
            {
                return self.look_for(from, vhost, name);
            }
            Request::PurgeQueue { name } if ReplyName::parse(name.as_bytes()).is_some() => Notice::MessagesGone { messages: 0 },
            Request::Get { queue, .. } if ReplyName::parse(queue.as_bytes()).is_some() => {
                let text = format!("basic.get not supported by volatile queue '{queue}' in vhost '{}'", self.catalog.vhost_name(vhost));
                Notice::Failed(Fault::new(Code::NotImplemented, text))
            }
            Request::Consume { queue, .. } if let Some(name) = ReplyName::parse(queue.as_bytes()) => {
                let is_own = (name.shard, name.consumer.conn, name.consumer.channel) == (self.id, from.conn.conn, from.channel);
                let why = if is_own { "multiple consumers are unsupported for" } else { "only creator channel may consume from" };
                let text = format!("{why} queue '{queue}' in vhost '{}'", self.catalog.vhost_name(vhost));
                Notice::Failed(Fault::new(Code::PreconditionFailed, text))
            }
            _ => return false,
        };
        self.answer(from.conn.conn, notice);
        true
    }

    /// Lets a channel consume replies, and names it for them.
    pub(in crate::shard) fn consume_replies(&mut self, from: ChannelAddr, index: u32) {
        let name = self.name_replies(from, index);
        let Some(conn) = self.conns.get_mut(from.conn.conn) else { return };
        let notice = conn.channels.consume_replies(&name).map_or_else(Notice::Failed, |()| Notice::Replying(name));
        self.answer(from.conn.conn, notice);
    }

    fn name_replies(&self, from: ChannelAddr, index: u32) -> ReplyName {
        let ChannelAddr { conn, channel } = from;
        let mut name = ReplyName { shard: self.id, consumer: ReplyConsumer { conn: conn.conn, secret: 0, index, channel } };
        let hash = Sha256::new().chain_update(self.publishing.reply_key).chain_update(name.encode().as_bytes()).finalize();
        name.consumer.secret = hash.iter().take(8).fold(0, |secret, &byte| secret << 8 | u64::from(byte));
        name
    }

    /// Looks for the consumer of replies to `name`, on its shard.
    fn look_for(&mut self, from: ChannelAddr, vhost: VhostId, name: &str) -> bool {
        match ReplyName::parse(name.as_bytes()).filter(|found| self.is_peer(found.shard)) {
            Some(found) => self.send(found.shard, Mail::LookFor(Box::new((from, vhost, found.consumer, name.into())))),
            None => self.answer(from.conn.conn, Notice::Failed(self.catalog.no_queue(vhost, name))),
        }
        true
    }

    /// Answers another channel's question whether replies to `name`, a name of this shard, are
    /// awaited.
    pub(in crate::shard) fn on_look_for(&mut self, from: ChannelAddr, vhost: VhostId, consumer: &ReplyConsumer, name: &str) {
        let notice = if self.awaits_reply(vhost, consumer) { awaited(name) } else { Notice::Failed(self.catalog.no_queue(vhost, name)) };
        self.tell(from, Answer::Notice(notice));
    }

    fn is_peer(&self, shard: ShardId) -> bool {
        shard.0 < self.config.shards
    }

    fn awaits_reply(&self, vhost: VhostId, consumer: &ReplyConsumer) -> bool {
        let conn = self.conns.get(consumer.conn).filter(|conn| !conn.ending && conn.session.vhost() == vhost);
        let is_there = |conn: &Conn| conn.session.can_take(consumer.channel, consumer.index) != Room::Gone;
        conn.is_some_and(|conn| conn.channels.awaits_reply(consumer) && is_there(conn))
    }

    /// Delivers messages of a publisher here that are replies to `name`.
    pub(in crate::shard) fn reply(&mut self, id: ConnId, published: &Published<'_, '_>, name: ReplyName) -> Effect {
        let ReplyName { shard, consumer } = name;
        let session = &self.conns.get(id).expect("a publisher is connected").session;
        let (vhost, generation) = (session.vhost(), session.generation(published.channel));
        if shard == self.id && self.awaits_reply(vhost, &consumer) {
            let messages = published.contents.iter().map(|content| content.sent_to(published.route));
            messages.for_each(|message| self.deliver_reply(&consumer, &message));
            Effect::NONE
        } else if shard == self.id || !self.is_peer(shard) {
            self.return_unroutable(id, published);
            Effect::NONE
        } else {
            let &Published { channel, mandatory, wanted, route, contents } = published;
            let hold = wanted.hold(id, channel, generation);
            let link = self.link(shard);
            link.reply(Reply { consumer, hold, mandatory, vhost, at: 0, count: 0 }, route, contents);
            let effect = Effect::LINK_FULL.when(!link.has_room());
            self.hold_published(id, channel, wanted, contents.len(), 1);
            effect
        }
    }

    /// Delivers replies from another shard.
    pub(in crate::shard) fn on_reply<'a>(&mut self, from: ShardId, reply: &Reply, messages: impl Iterator<Item = MessageView<'a>>) {
        let is_awaited = self.awaits_reply(reply.vhost, &reply.consumer);
        for message in messages {
            if is_awaited {
                self.deliver_reply(&reply.consumer, &message);
            } else if reply.mandatory
                && let Some(way_back) = reply.hold.way_back()
            {
                self.link(from).give_back(&message, way_back);
            }
        }
        if !matches!(reply.hold, Hold::Unconfirmed { .. }) {
            self.link(from).accept(reply.hold, reply.count.into());
        }
    }

    /// Delivers a reply to a consumer that awaits it. Nothing holds a reply back: a client that does
    /// not read loses it.
    fn deliver_reply(&mut self, consumer: &ReplyConsumer, message: &MessageView<'_>) {
        let in_no_queue = Entry::new(0, 0, MessageRef::default());
        if let Some(conn) = self.conns.touch(consumer.conn).filter(|conn| !conn.session.is_stalled()) {
            conn.session.delivery(consumer.channel, consumer.index).deliver(in_no_queue, message);
        }
    }

    /// Returns a mandatory message to a publisher here, because its receiver on another shard is
    /// gone.
    pub(in crate::shard) fn on_returned(&mut self, returned: &Returned, message: &MessageView<'_>) {
        let Returned { conn, channel, generation, .. } = *returned;
        if let Some(conn) = self.live(conn).filter(|conn| conn.session.generation(channel) == generation) {
            conn.session.return_message(channel, message);
        }
    }
}

/// The answer to a declaration: no messages, one consumer.
fn awaited(name: &str) -> Notice {
    Notice::QueueDeclared { name: name.into(), messages: 0, consumers: 1 }
}
