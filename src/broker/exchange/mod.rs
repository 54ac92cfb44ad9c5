//! The exchange types: from a message to the destinations of the bindings that match.
//!
//! Each type keeps its bindings in the form in which it can match them fastest. The catalog decides
//! what the identity of a binding is, and binds each binding once. A type may get the same
//! destination by several bindings (with other keys or arguments) and forgets it with the last of
//! them.
//!
//! `matching` finds a destination at least once per way in which it matches; the router removes
//! repetitions of queues.
//!
//! Two features are independent of the types: an exchange of any type may drop duplicates
//! ([`Deduplication`](crate::broker::deduplication::Deduplication)), and a fanout may keep the last
//! messages ([`History`]). Both are [`remembered`] in one place for the whole broker.

mod consistent_hash;
mod delayed;
mod destinations;
mod direct;
mod fanout;
mod headers;
mod history;
mod keys;
mod members;
mod modulus_hash;
mod places;
mod random;
pub mod remembered;
mod topic;

pub use consistent_hash::{ConsistentHash, check_weight};
pub use delayed::{DELAYED, delay, without_delay};
pub use destinations::Destinations;
pub use direct::Direct;
pub use fanout::Fanout;
pub use headers::{Headers, check_binding};
pub use history::{History, Kept};
pub use keys::RoutingKeys;
pub use modulus_hash::ModulusHash;
pub use random::{Chance, Random};
pub use topic::Topic;

use crate::base::ids::{ExchangeId, QueueAddr};
use crate::contract::{ExchangeSpec, Fault};
use crate::message::{Properties, Table, TableRef};

/// The destination of a binding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dest {
    /// A queue.
    Queue(QueueAddr),
    /// Another exchange, which routes on by its own bindings.
    Exchange(ExchangeId),
}

/// The type of an exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The routing key is the binding key.
    Direct,
    /// Every binding matches.
    Fanout,
    /// The binding key is a pattern of words.
    Topic,
    /// The binding's arguments are compared with the message's headers.
    Headers,
    /// A hash chooses a destination, by the weights in the binding keys.
    ConsistentHash,
    /// A hash of the routing keys chooses a destination.
    ModulusHash,
    /// A random choice of a destination.
    Random,
    /// A random choice of a queue, on the publisher's shard if there is one.
    LocalRandom,
    /// Every binding matches, and new bindings get the last messages.
    RecentHistory,
    /// Every binding matches, and a message with a header value that was seen before is dropped.
    Deduplication,
}

impl Kind {
    /// The type with this name.
    pub fn named(name: &str) -> Option<Kind> {
        match name {
            "direct" => Some(Kind::Direct),
            "fanout" => Some(Kind::Fanout),
            "topic" => Some(Kind::Topic),
            "headers" => Some(Kind::Headers),
            "x-consistent-hash" => Some(Kind::ConsistentHash),
            "x-modulus-hash" => Some(Kind::ModulusHash),
            "x-random" => Some(Kind::Random),
            "x-local-random" => Some(Kind::LocalRandom),
            "x-recent-history" => Some(Kind::RecentHistory),
            "x-message-deduplication" => Some(Kind::Deduplication),
            _ => None,
        }
    }

    /// The type by which an exchange routes messages: its own, or the one that a delaying exchange
    /// names. `None` if there is no such type.
    pub fn of(spec: &ExchangeSpec) -> Option<Kind> {
        if &*spec.kind == DELAYED { delayed::inner(spec) } else { Kind::named(&spec.kind) }
    }
}

/// Checks those arguments of a new exchange that its type knows. `exchange_text` is `exchange
/// 'NAME' in vhost 'VHOST'`.
pub fn check_arguments(spec: &ExchangeSpec, exchange_text: &str) -> Result<(), Fault> {
    delayed::check_arguments(spec)?;
    if Kind::of(spec) == Some(Kind::ConsistentHash) {
        consistent_hash::check_arguments(&spec.arguments, exchange_text)?;
    }
    history::check_arguments(spec)?;
    super::deduplication::check_exchange(spec)
}

/// The parts of a message, besides its routing keys, that may decide its destinations.
#[derive(Clone, Copy)]
pub struct Features<'m> {
    /// Its headers; empty if it has none.
    pub headers: TableRef<'m>,
    /// All its properties.
    pub properties: Properties<'m>,
}

/// The bindings of which one exchange is the source.
pub enum Matcher {
    /// See [`Direct`].
    Direct(Direct),
    /// See [`Fanout`].
    Fanout(Fanout),
    /// See [`Topic`].
    Topic(Topic),
    /// See [`Headers`].
    Headers(Headers),
    /// See [`ConsistentHash`].
    ConsistentHash(ConsistentHash),
    /// See [`ModulusHash`].
    ModulusHash(ModulusHash),
    /// See [`Random`].
    Random(Random),
}

impl Matcher {
    /// Makes an empty table for an exchange of this type with these arguments.
    pub fn new(kind: Kind, arguments: &Table) -> Matcher {
        match kind {
            Kind::Direct => Matcher::Direct(Direct::default()),
            Kind::Fanout | Kind::RecentHistory | Kind::Deduplication => Matcher::Fanout(Fanout::default()),
            Kind::Topic => Matcher::Topic(Topic::default()),
            Kind::Headers => Matcher::Headers(Headers::default()),
            Kind::ConsistentHash => Matcher::ConsistentHash(ConsistentHash::new(arguments)),
            Kind::ModulusHash => Matcher::ModulusHash(ModulusHash::default()),
            Kind::Random => Matcher::Random(Random::default()),
            Kind::LocalRandom => Matcher::Random(Random::local()),
        }
    }

    /// Adds a binding, which must be new. `identity` is the identity of `dest` across restarts, see
    /// [`members`].
    pub fn bind(&mut self, key: &[u8], arguments: &Table, dest: Dest, identity: u64) {
        match self {
            Matcher::Direct(direct) => direct.bind(key, dest),
            Matcher::Fanout(fanout) => fanout.bind(dest),
            Matcher::Topic(topic) => topic.bind(key, dest),
            Matcher::Headers(headers) => headers.bind(arguments, dest),
            Matcher::ConsistentHash(hash) => hash.bind(key, dest, identity),
            Matcher::ModulusHash(hash) => hash.bind(dest, identity),
            Matcher::Random(random) => random.bind(dest),
        }
    }

    /// Removes a binding, which must exist.
    pub fn unbind(&mut self, key: &[u8], arguments: &Table, dest: Dest, identity: u64) {
        match self {
            Matcher::Direct(direct) => direct.unbind(key, dest),
            Matcher::Fanout(fanout) => fanout.unbind(dest),
            Matcher::Topic(topic) => topic.unbind(key, dest),
            Matcher::Headers(headers) => headers.unbind(arguments, dest),
            Matcher::ConsistentHash(hash) => hash.unbind(key, dest, identity),
            Matcher::ModulusHash(hash) => hash.unbind(dest, identity),
            Matcher::Random(random) => random.unbind(dest),
        }
    }

    /// Finds the destinations of a message with these routing keys and features. Returns the work
    /// that was done: number of nodes of a trie, or of headers and arguments compared with them.
    #[inline]
    pub fn matching(&self, keys: &RoutingKeys<'_>, features: Features<'_>, chance: &mut Chance<'_>, found: &mut impl FnMut(Dest)) -> usize {
        match self {
            Matcher::Direct(direct) => keys.distinct().for_each(|key| direct.matching(key, found)),
            Matcher::Fanout(fanout) => fanout.matching(found),
            Matcher::Topic(topic) => return topic.matching(keys.distinct(), found),
            Matcher::Headers(bindings) => return bindings.matching(features.headers, found),
            Matcher::ConsistentHash(hash) => _ = hash.matching(keys.own(), features).map(found),
            Matcher::ModulusHash(hash) => _ = hash.matching(keys.all()).map(found),
            Matcher::Random(random) => _ = random.matching(chance).map(found),
        }
        0
    }

    /// Whether the routing keys alone decide the destinations, without headers, properties or
    /// random choices.
    pub fn is_by_key(&self) -> bool {
        match self {
            Matcher::Direct(_) | Matcher::Fanout(_) | Matcher::Topic(_) | Matcher::ModulusHash(_) => true,
            Matcher::Headers(_) | Matcher::Random(_) => false,
            Matcher::ConsistentHash(hash) => hash.is_by_key(),
        }
    }

    /// Whether the routing keys and the headers together decide the destinations.
    pub fn is_by_headers(&self) -> bool {
        matches!(self, Matcher::Headers(_)) || self.is_by_key()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Key, QueueId, ShardId};

    pub(super) fn queue(slot: u32) -> Dest {
        Dest::Queue(QueueAddr { home: ShardId(0), queue: QueueId(Key { slot, generation: 0 }) })
    }

    pub(super) fn collect(matching: impl FnOnce(&mut Collect<'_>)) -> Vec<Dest> {
        let mut all = Vec::new();
        matching(&mut (Box::new(|dest| all.push(dest)) as Collect<'_>));
        all
    }

    pub(super) type Collect<'a> = Box<dyn FnMut(Dest) + 'a>;
}
