//! Ids of objects in tables: small, copyable, and never stale.
//!
//! An id is a slot of a dense table with the generation that the slot had when the id was given
//! out. A slot is used again, a generation is not, so nothing is found by the id of a removed
//! object.

/// A shard: one event loop on one thread. Shards are numbered from 0 without gaps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard that orders all changes that must happen in the same order everywhere.
    pub const ORDERER: ShardId = ShardId(0);
}

/// A slot of a table, and the generation of the value in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Key {
    /// Index in the table.
    pub slot: u32,
    /// How many values the slot had before.
    pub generation: u32,
}

macro_rules! key_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
        pub struct $name(pub Key);

        impl From<Key> for $name {
            fn from(key: Key) -> Self {
                $name(key)
            }
        }
        impl From<$name> for Key {
            fn from(id: $name) -> Key {
                id.0
            }
        }
    };
}

key_newtype!(
    /// A connection on the shard that accepted it.
    ConnId
);
key_newtype!(
    /// A queue. The same number on every shard, because every shard applies the same catalog
    /// changes in the same order.
    QueueId
);
key_newtype!(
    /// An exchange. The same number on every shard, like [`QueueId`].
    ExchangeId
);
key_newtype!(
    /// A user. The same number on every shard, like [`QueueId`].
    UserId
);
key_newtype!(
    /// A consumer in the table of its queue.
    ConsumerId
);
key_newtype!(
    /// A timer of a timer wheel, until it fires or is cancelled.
    TimerId
);

/// A connection, seen from any shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConnAddr {
    /// The shard that accepted the connection and reads and writes its socket.
    pub shard: ShardId,
    /// The connection there.
    pub conn: ConnId,
}

/// A channel, seen from any shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ChannelAddr {
    /// Its connection.
    pub conn: ConnAddr,
    /// Its number on the connection, from 1.
    pub channel: u16,
}

/// A level of a queue, on the queue's home shard: one per priority.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct LevelAddr {
    /// The queue.
    pub queue: QueueId,
    /// The level there.
    pub level: u8,
}

/// A queue, seen from any shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct QueueAddr {
    /// The shard where the queue lives.
    pub home: ShardId,
    /// The queue.
    pub queue: QueueId,
}
