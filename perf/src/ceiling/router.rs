//! Queues, their consumers, and the one hash table that leads to them.

use std::collections::HashMap;

use super::log::Log;
use super::output::{Chunk, Output, Pool, copy_short};
use super::routes::Routes;

/// The state that connections share.
pub struct Broker {
    /// Numbers of fans by exchange and key, in wire form.
    routes: Routes,
    /// The queues of each route.
    fans: Vec<Vec<usize>>,
    names: HashMap<Box<[u8]>, usize>,
    queues: Vec<Queue>,
    /// The output of each connection.
    pub outputs: Vec<Output>,
    /// Connections with new output in this turn.
    pub dirty: Vec<usize>,
    /// Chunks to be used again.
    pub pool: Pool,
    /// The log, if the broker is durable.
    pub log: Option<Log>,
    /// Size of the messages that a queue keeps, bytes; later ones are dropped.
    kept_max: usize,
}

#[derive(Default)]
struct Queue {
    consumer: Option<Consumer>,
    /// Messages that no consumer has taken: length of route, length of content, route, content.
    store: Vec<u8>,
}

/// A consumer and the beginning of its deliver frames.
struct Consumer {
    link: usize,
    channel: [u8; 2],
    /// The deliver frame up to the delivery tag; its size is not filled in.
    prefix: Vec<u8>,
}

impl Broker {
    /// Makes a broker without queues.
    pub fn new(log: Option<Log>) -> Broker {
        let (routes, names, fans) = (Routes::default(), HashMap::new(), Vec::new());
        let (queues, outputs, dirty, pool) = (Vec::new(), Vec::new(), Vec::new(), Pool::default());
        let kept_max = if log.is_some() { DURABLE_KEPT_MAX } else { usize::MAX };
        Broker { routes, fans, names, queues, outputs, dirty, pool, log, kept_max }
    }

    /// Makes a queue, if it does not exist, bound to the default exchange by its name.
    pub fn declare(&mut self, name: &[u8]) {
        if !self.names.contains_key(name) {
            self.names.insert(name.into(), self.queues.len());
            self.queues.push(Queue::default());
            self.bind(name, b"", name);
        }
    }

    /// Binds a queue to an exchange by a key, or by all keys if the key is empty.
    pub fn bind(&mut self, queue: &[u8], exchange: &[u8], key: &[u8]) {
        let Some(&queue) = self.names.get(queue) else { return };
        let fan = self.routes.find_or_insert(route(exchange, key), self.fans.len());
        if fan == self.fans.len() {
            self.fans.push(Vec::new());
        }
        if !self.fans[fan].contains(&queue) {
            self.fans[fan].push(queue);
        }
    }

    /// Drops a queue's messages.
    pub fn purge(&mut self, queue: &[u8]) {
        if let Some(&queue) = self.names.get(queue) {
            self.queues[queue].store = Vec::new();
        }
    }

    /// Removes the routes of an exchange.
    pub fn forget_exchange(&mut self, exchange: &[u8]) {
        self.routes.retain(|route| exchange.is_empty() || route[1..1 + usize::from(route[0])] != *exchange);
    }

    /// Begins to deliver a queue's messages to a connection.
    pub fn consume(&mut self, queue: &[u8], link: usize, channel: u16, tag: &[u8]) {
        let Some(&queue) = self.names.get(queue) else { return };
        let channel = channel.to_be_bytes();
        let mut prefix = vec![1, channel[0], channel[1], 0, 0, 0, 0, 0, 60, 0, 60];
        prefix.push(u8::try_from(tag.len()).expect("read from a short string"));
        prefix.extend_from_slice(tag);
        self.queues[queue].consumer = Some(Consumer { link, channel, prefix });
        let store = std::mem::take(&mut self.queues[queue].store);
        let mut rest = &store[..];
        while let Some((lens, after)) = rest.split_first_chunk::<8>() {
            let route_len = u32::from_ne_bytes([lens[0], lens[1], lens[2], lens[3]]) as usize;
            let content_len = u32::from_ne_bytes([lens[4], lens[5], lens[6], lens[7]]) as usize;
            self.deliver(queue, &after[..route_len], &after[route_len..route_len + content_len]);
            rest = &after[route_len + content_len..];
        }
    }

    /// Removes the consumers of a connection that is gone.
    pub fn forget_link(&mut self, link: usize) {
        for queue in self.queues.iter_mut().filter(|q| q.consumer.as_ref().is_some_and(|c| c.link == link)) {
            queue.consumer = None;
        }
        self.outputs[link].clear(&mut self.pool);
    }

    /// Routes a whole message: `route` is exchange and key, `content` header and body frames, all
    /// as received.
    #[inline]
    pub fn publish(&mut self, route: &[u8], content: &[u8]) {
        if let Some(log) = &mut self.log {
            log.append(route, content);
        }
        let Some(fan) = self.lookup(route) else { return };
        if let &[queue] = &self.fans[fan][..] {
            return self.deliver(queue, route, content);
        }
        let queues = std::mem::take(&mut self.fans[fan]);
        for &queue in &queues {
            self.deliver(queue, route, content);
        }
        self.fans[fan] = queues;
    }

    /// Routes a long message, whose frames fill a chunk of their own.
    pub fn publish_chunk(&mut self, route: &[u8], mut content: Chunk) {
        if let Some(fan) = self.lookup(route)
            && let &[queue] = &self.fans[fan][..]
            && let Some(consumer) = &self.queues[queue].consumer
        {
            if let Some(log) = &mut self.log {
                log.append(route, content.filled());
            }
            patch_channels(content.filled_mut(), consumer.channel);
            let output = &mut self.outputs[consumer.link];
            let len = consumer.prefix.len() + route.len() + DELIVER_REST;
            write_deliver(output.tag + 1, consumer, route, output.room(len, &mut self.pool));
            output.tag += 1;
            output.push(content);
            note(output, consumer.link, &mut self.dirty);
            return;
        }
        self.publish(route, content.filled());
        self.pool.give(content);
    }

    /// Returns the fan of a route. For a key without a binding, it is that of the exchange's empty
    /// key.
    #[inline]
    fn lookup(&self, route: &[u8]) -> Option<usize> {
        self.routes.find(route).or_else(|| {
            let exchange = &route[..1 + usize::from(route[0])];
            self.routes.find(&[exchange, &[0]].concat())
        })
    }

    #[inline(always)]
    fn deliver(&mut self, queue: usize, route: &[u8], content: &[u8]) {
        let queue = &mut self.queues[queue];
        let Some(consumer) = &queue.consumer else { return queue.keep(route, content, self.kept_max) };
        let output = &mut self.outputs[consumer.link];
        output.tag += 1;
        let head = consumer.prefix.len() + route.len() + DELIVER_REST;
        let tag = output.tag;
        let room = output.room(head + content.len(), &mut self.pool);
        let (frame, rest) = room.split_at_mut(head);
        write_deliver(tag, consumer, route, frame);
        copy_frames(rest, content, consumer.channel);
        note(output, consumer.link, &mut self.dirty);
    }

    /// Sends frames to a connection.
    pub fn reply(&mut self, link: usize, frames: &[u8]) {
        let output = &mut self.outputs[link];
        output.extend(frames, &mut self.pool);
        note(output, link, &mut self.dirty);
    }
}

impl Queue {
    fn keep(&mut self, route: &[u8], content: &[u8], kept_max: usize) {
        if self.store.len() >= kept_max {
            self.store.clear();
        }
        for len in [route.len(), content.len()] {
            self.store.extend_from_slice(&u32::try_from(len).expect("messages are small").to_ne_bytes());
        }
        self.store.extend_from_slice(route);
        self.store.extend_from_slice(content);
    }
}

/// Adds a connection to those that are handled at the end of the turn.
#[inline]
pub fn note(output: &mut Output, link: usize, dirty: &mut Vec<usize>) {
    if !output.dirty {
        output.dirty = true;
        dirty.push(link);
    }
}

#[inline(always)]
fn write_deliver(tag: u64, consumer: &Consumer, route: &[u8], frame: &mut [u8]) {
    let at = consumer.prefix.len();
    let size = u32::try_from(frame.len() - 8).expect("frames are small");
    let (prefix, rest) = frame.split_at_mut(at);
    copy_short(prefix, &consumer.prefix);
    prefix[3..7].copy_from_slice(&size.to_be_bytes());
    rest[..8].copy_from_slice(&tag.to_be_bytes());
    rest[8] = 0;
    let end = 9 + route.len();
    copy_short(&mut rest[9..end], route);
    rest[end] = crate::amqp::FRAME_END;
}

/// Sets the channel of every frame in a long message.
fn patch_channels(frames: &mut [u8], channel: [u8; 2]) {
    let mut at = 0;
    while let Some(head) = frames.get_mut(at..at + 7) {
        head[1..3].copy_from_slice(&channel);
        at += 8 + u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    }
}

/// Copies frames and sets their channel. Sizes are read from the source: reading bytes that were
/// just written would wait for the store.
#[inline(always)]
fn copy_frames(to: &mut [u8], from: &[u8], channel: [u8; 2]) {
    copy_short(to, from);
    let mut at = 0;
    while let (Some(head), Some(copied)) = (from.get(at..at + 7), to.get_mut(at + 1..at + 3)) {
        copied.copy_from_slice(&channel);
        at += 8 + u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    }
}

fn route(exchange: &[u8], key: &[u8]) -> Box<[u8]> {
    let short = |s: &[u8]| [&[u8::try_from(s.len()).expect("read from a short string")], s].concat();
    [short(exchange), short(key)].concat().into_boxed_slice()
}

/// A durable broker keeps in its log the messages that do not fit into memory; this one drops them,
/// and saves the same page faults.
const DURABLE_KEPT_MAX: usize = 64 << 20;
/// Size of delivery tag, redelivered flag and frame end, bytes.
const DELIVER_REST: usize = 10;
