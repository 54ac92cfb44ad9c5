//! Wire protocols, blind to each other: codecs, and a session machine each. A shard knows them through
//! `shard::session` alone, which says what a new one needs.

pub mod amqp;
