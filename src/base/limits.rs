//! The limits of the broker, and the relations between them.

/// The smallest frame_max that a client may negotiate. RabbitMQ demands 8192 since 4.1; the
/// specification says 4096, and clients rely on it.
pub const FRAME_SIZE_MIN: usize = 4096;
/// The largest value of `--frame-max`, bytes.
pub const FRAME_SIZE_MAX: usize = 16 << 20;
/// The largest frame before connection.tune-ok, bytes.
pub const FRAME_SIZE_INITIAL: usize = 8192;
/// How far a client's frame may exceed the negotiated frame_max, bytes: RabbitMQ's allowance for
/// clients that forget the frame's own 8 bytes.
pub const FRAME_SIZE_SLACK: usize = 8;
/// The largest value of `--max-message-size`, bytes (RabbitMQ's hard cap).
pub const MESSAGE_SIZE_CAP: usize = 512 << 20;
/// Bodies from this size on are shared buffers that are sent by gather-write; smaller ones are
/// copied, bytes (measured: copying loses from 16 KiB on).
pub const SHARED_BODY_MIN: usize = 16 << 10;
/// Bytes of a segment of the arena: the memory that one message that waits for long keeps in use.
pub const ARENA_SEGMENT_SIZE: usize = 256 << 10;
/// Bytes of a chunk of the arena: a huge page.
pub const ARENA_CHUNK_SIZE: usize = 2 << 20;
/// Chunks that are prepared ahead of their use, count.
pub const ARENA_CHUNKS_AHEAD: usize = 4;
/// Free chunks that are kept for ever for the next use, count.
pub const ARENA_CHUNKS_KEPT: usize = 8;
/// How often some of the other free chunks are given back to the system, milliseconds.
pub const ARENA_TRIM_MS: u64 = 50;
/// Routes that a shard remembers for publishers that use many routing keys, count (a route to one
/// queue takes up to 150 bytes).
pub const KNOWN_ROUTES_MAX: usize = 8192;
/// Memory of the routes that a shard remembers, bytes: a route may lead to many queues.
pub const KNOWN_ROUTES_SIZE_MAX: usize = 8 << 20;
/// The largest route that is remembered, bytes; it leads to some 80,000 queues.
pub const KNOWN_ROUTE_SIZE_MAX: usize = 1 << 20;
/// Queues of a route that a channel remembers, count; a route to more queues is remembered by the
/// shard alone.
pub const ROUTE_CACHE_QUEUES_MAX: usize = 64;
/// Last routes that a connection remembers, count.
pub const ROUTE_CACHES_MAX: usize = 16;
/// Connections beyond `--max-connections` that are accepted and refused only when they open a
/// virtual host, count; further ones are closed at once.
pub const HANDSHAKES_MAX: usize = 256;
/// Steps back that a pattern of a permission or a policy may take, count (some milliseconds);
/// beyond them it does not match.
pub const PATTERN_BACKTRACKS_MAX: usize = 50_000;
/// The largest compiled size of a pattern of a permission or a policy, and of each of its parts
/// that do not backtrack, bytes.
pub const PATTERN_SIZE_MAX: usize = 1 << 20;
/// Messages of one channel, to one exchange with one routing key, that are published in one run,
/// count: what is decided for a run is decided once.
pub const PUBLISH_RUN_MAX: usize = 32;
/// A body of which this much is missing is received in place, bytes (measured: less is better read
/// in one piece with the rest of the turn's input).
pub const LOAN_MIN: usize = 64 << 10;
/// The part of a body that is received in place at once, bytes.
pub const LOAN_MAX: usize = 1 << 20;
/// Memory that is reserved for a body of which only the header has arrived, bytes: a header alone
/// must not cost as much as its sender claims.
pub const BODY_RESERVE_MAX: usize = 1 << 20;
/// The longest TTL of a message or a queue, milliseconds (RabbitMQ: ten years).
pub const EXPIRATION_MS_MAX: u64 = 315_360_000_000;
/// How deep field tables and arrays may be nested.
pub const TABLE_DEPTH_MAX: usize = 64;
/// Output waiting for one connection's socket beyond which its consumers get nothing more, bytes.
/// It is two turns of a flood: messages beyond it go through queue and arena (measured: with one
/// turn 1 KiB bodies lose 18 %, those of 16 KiB 28 %; four are no better).
pub const OUTPUT_SIZE_MAX: usize = 448 << 10;
/// Output waiting for one connection beyond which a publisher that floods its queue is held, bytes:
/// what one receive brings still fits in.
pub const OUTPUT_SIZE_TIGHT: usize = OUTPUT_SIZE_MAX / 2;
/// How long the pace of a queue is measured, and how long publishers are held before the pace is
/// looked at again, milliseconds.
pub const FLOW_WINDOW_MS: u64 = 10;
/// Bytes that a queue must deliver in that time for its publishers to be held: 26 MB in a second,
/// more than RabbitMQ takes of small messages.
pub const FLOW_BYTES_MIN: u64 = 256 << 10;
/// After how many slow windows in a row publishers are not held any more.
pub const FLOW_SLOW_WINDOWS: u32 = 3;
/// How long a publisher is held at most while the queue delivers fast, milliseconds.
pub const FLOW_HOLD_MS: u64 = 50;
/// Bytes that a connection must bring at a time to be held: a flood, not a message now and then.
pub const FLOW_INPUT_MIN: usize = 16 << 10;
/// Bytes that queues of other shards may send to a consumer before it grants more: twice as much as
/// a turn writes, because a grant takes two turns.
pub const CREDIT_BYTES_MAX: usize = 1 << 20;
/// The same for a channel with many consumers, which share [`CREDIT_CHANNEL_BYTES`].
pub const CREDIT_BYTES_MIN: usize = 16 << 10;
/// Such credit of all consumers of one channel together, bytes.
pub const CREDIT_CHANNEL_BYTES: usize = 2 << 20;
/// Messages that a queue asks for at a time if the channel of a consumer on another shard counts
/// them, count.
pub const CREDIT_MESSAGES_MAX: usize = 64;
/// Output waiting for one connection beyond which its input is not processed, bytes. Deliveries
/// stop long before; only a client that asks for output (basic.get, mandatory publishes) and never
/// reads comes this far. Much larger, because a client may well write before it reads.
pub const OUTPUT_SIZE_STALL: usize = 32 << 20;
/// Output that waits for the sockets of one shard, bytes, or the shard's part of an eighth of the
/// high watermark of memory if that is less. The limits of single connections shrink as it fills
/// (see [`budget`](super::budget)).
pub const OUTPUT_TOTAL_MAX: usize = 256 << 20;
/// The high watermark divided by this is the limit of all output.
pub const OUTPUT_MEMORY_PART: usize = 8;
/// The free part of that limit, divided by this, is the share of one connection.
pub const OUTPUT_PART: usize = 8;
/// Output that a connection may have waiting in any case, bytes.
pub const OUTPUT_SIZE_MIN: usize = 16 << 10;
/// Input kept for a parked connection beyond which its socket is not read, bytes.
pub const PARKED_INPUT_MAX: usize = 256 << 10;
/// Bytes handed to one send; more waits for its completion (measured: a body of 1 MiB in one send
/// instead of four costs 30 % less).
pub const SEND_SIZE_MAX: usize = 2 << 20;
/// How long an ending connection waits until its last bytes are taken, milliseconds.
pub const LINGER_MS: u64 = 5_000;
/// Buffers of sent output that a shard keeps for reuse, count.
pub const OUTPUT_SPARE_BUFFERS: usize = 16;
/// How long a closing connection waits for the peer's close-ok, milliseconds.
pub const CLOSING_MS: u64 = 30_000;
/// How long a peer that does not speak the protocol, or failed to log in, may read its last output
/// before its socket is closed, milliseconds (as RabbitMQ; it slows down the guessing of
/// passwords).
pub const SILENT_CLOSE_MS: u64 = 3_000;
/// Consumers of one channel, count.
pub const CHANNEL_CONSUMERS_MAX: usize = 1 << 16;
/// Tags of messages taken back from late consumers that a channel remembers, count.
pub const GIVEN_BACK_MAX: usize = 1 << 16;
/// Memory that a transactional channel may use until its commit, bytes.
pub const TRANSACTION_SIZE_MAX: usize = 256 << 20;
/// The same for all channels of one shard together, bytes, or the shard's part of a quarter of the
/// high watermark of memory if that is less.
pub const TRANSACTIONS_TOTAL_MAX: usize = 512 << 20;
/// The high watermark divided by this is the limit of all uncommitted transactions.
pub const TRANSACTIONS_MEMORY_PART: usize = 4;
/// The free part of that limit, divided by this, is the share of one channel.
pub const TRANSACTION_PART: usize = 2;
/// Memory that a transactional channel may use in any case, bytes.
pub const TRANSACTION_SIZE_MIN: usize = 64 << 10;
/// The largest buffer for messages that arrive in pieces that is kept for the next one, bytes.
pub const ASSEMBLY_KEEP_MAX: usize = 4 << 10;
/// Mail staged for one peer beyond which publishers to it are parked and queues stop delivering to
/// it, count.
pub const MAIL_STAGED_MAX: usize = 1024;
/// Message bodies on their way to one peer beyond which the same happens, bytes.
pub const MAIL_BYTES_MAX: usize = 4 << 20;
/// Bytes of messages in a block of mail beyond which the next block is begun.
pub const MAIL_BLOCK_SIZE: usize = 64 << 10;
/// Slots of a ring between two shards; a power of two.
pub const RING_SLOTS: usize = 2048;
/// Steps of work (some 300 ns each, see `shard::work`) of each kind in a turn, count; the rest
/// waits for the next turns.
pub const TURN_STEPS_MAX: usize = 8192;
/// Steps of one connection before the next connection has its turn, count.
pub const SHARE_STEPS_MAX: usize = 2048;
/// Messages that are settled in one step, of those that one command, or the end of a channel,
/// settles, count.
pub const SETTLE_SHARE: usize = 512;
/// Queues that get messages for very many queues in one step, count: each step keeps a copy of the
/// messages.
pub const SPREAD_QUEUES_MIN: usize = 128;
/// Messages that one queue delivers in one turn before it goes to the tail, count.
pub const QUEUE_BUDGET: usize = 1024;
/// Copies and settlements of one transaction in one turn, count; a smaller transaction is committed
/// at once.
pub const COMMIT_SHARE: usize = 1024;
/// Dead messages, or delayed ones, that are published again in one turn, count.
pub const BURY_BUDGET: usize = 256;
/// Queues that get dead messages in one turn, count.
pub const BURY_QUEUES_BUDGET: usize = 1024;
/// How often messages that were dropped as a cycle are logged, milliseconds.
pub const CYCLES_TOLD_MS: u64 = 1000;
/// Queues that are named each time, count.
pub const CYCLES_TOLD_MAX: usize = 10;
/// After what time a dead message that no queue took, and that must not get lost, is published
/// again, milliseconds.
pub const BURY_AGAIN_MS: u64 = 1000;
/// How long before it is due a delayed message is fetched from the log, milliseconds: reading many
/// takes a while.
pub const DELAY_AHEAD_MS: u64 = 10_000;
/// Delayed messages of one exchange that are fetched at a time, count.
pub const DELAY_FETCH_MAX: usize = 1 << 19;
/// Delayed messages of one exchange that are chosen for fetching in one turn, count.
pub const DELAY_GATHER_BUDGET: usize = 512;
/// How long fetching pauses when there is no memory for delayed messages, milliseconds.
pub const DELAY_REST_MS: u64 = 10;
/// Messages on their way from a queue to other queues at a time, count.
pub const TRANSFERS_MAX: usize = 4096;
/// Messages of a queue that expire in one turn, count.
pub const EXPIRE_BUDGET: usize = 4096;
/// Surplus messages of a queue that are dropped at once, count; the others are dropped in the next
/// turns.
pub const TRIM_BUDGET: usize = 256;
/// How often queues with more of them continue in one turn.
pub const TRIMS_MAX: usize = 16;
/// Queues that look their policies up again in one turn, count.
pub const POLICY_BUDGET: usize = 64;
/// Purged messages that are freed in one turn, count.
pub const PURGE_BUDGET: usize = 4096;
/// Bytes of a segment of the log. (A larger message makes a larger segment; the disk needs two
/// segments more than what is alive.)
pub const LOG_SEGMENT_SIZE: usize = 16 << 20;
/// Bytes of a batch of the log beyond which the next one is begun (measured: writes of 1 to 4 MiB
/// reach what the disk can).
pub const LOG_BATCH_SIZE: usize = 2 << 20;
/// Bytes that wait for the disk beyond which publishers wait, too: two batches, and one that fills
/// in the meantime.
pub const LOG_STAGED_MAX: usize = 4 << 20;
/// Bytes for the disk that are written at once though nothing waits for them.
pub const LOG_LAZY_SIZE: usize = 256 << 10;
/// How long fewer bytes wait for more, milliseconds: acknowledgements, and messages whose
/// publishers want no confirm.
pub const LOG_LAZY_MS: u64 = 5;
/// Bytes of a record of several messages: at most this much is read again for one of them.
pub const LOG_RECORD_SIZE: usize = 64 << 10;
/// Bytes of a deep queue that are read from the log at once (measured: with 512 KiB, a drain waits
/// for the disk half of the time).
pub const LOG_READ_SIZE: usize = 2 << 20;
/// The same while memory is short, bytes: many deep queues may be consumed at a time.
pub const LOG_READ_SIZE_SHORT: usize = 64 << 10;
/// A gap between two messages of a queue in the log that is read along rather than skipped, bytes.
pub const LOG_READ_GAP: usize = 64 << 10;
/// Messages that a queue keeps in memory though memory is short, count: what consumers take until
/// the log is read.
pub const SPILL_MIN: usize = 64;
/// The largest value of `--shards`: rings between shards grow with its square.
pub const SHARDS_MAX: u16 = 256;
/// Completion entries of a shard's ring for each submission entry.
pub const COMPLETIONS_PER_ENTRY: u32 = 8;
/// Completions handled in one turn, count; the rest waits for the next turn, so that timers and
/// peers are served, too.
pub const TURN_COMPLETIONS_MAX: usize = 1024;
/// All receive buffers of one size of one shard, bytes.
pub const RECV_POOL_MAX: usize = 1 << 30;
/// Pieces of one gather-write, count (the kernel's UIO_MAXIOV).
pub const SEND_PIECES_MAX: usize = 1024;
/// How long a send in flight may take when its socket is being closed, milliseconds.
pub const SOCKET_FLUSH_MS: u64 = 5_000;
/// How long a socket is still read after its last send, milliseconds, so that its last bytes are
/// not lost by a reset.
pub const SOCKET_LINGER_MS: u64 = 1_000;
/// How long accepting pauses when the process is out of descriptors or memory, milliseconds.
pub const ACCEPT_BACKOFF_MS: u64 = 100;
/// How often refused connections are logged at most, milliseconds.
pub const ACCEPT_REPORT_MS: u64 = 10_000;
/// How often a shard checks whether it is quiet, and, while memory is short, gives back memory that
/// it does not use, milliseconds.
pub const UPKEEP_MS: u64 = 1000;
/// Completions in that time up to which a shard is quiet, count.
pub const UPKEEP_QUIET_MAX: usize = 100;
/// How often work of the log that found no free descriptor is tried again, milliseconds.
pub const DISK_RETRY_MS: u64 = 200;
/// How long a starting broker tries to get an address that is in use, milliseconds: that of a
/// killed broker is free some 15 ms later.
pub const ADDRESS_TAKEN_MS: u64 = 500;
/// How long connections may take for their close handshakes when the broker ends, milliseconds.
pub const SHUTDOWN_MS: u64 = 4_000;
/// How long similar lines of the log are counted before another one is written, milliseconds.
pub const REPEATS_MS: u64 = 1_000;
/// Pairs of a peer and a source location whose log lines are counted separately, count; the
/// lines of all others are counted as those of one peer.
pub const REPEATS_PEERS_MAX: usize = 1_024;
/// Newest lines of the log that are kept in memory, count: as many as an operator may ask for.
pub const TAIL_LINES_MAX: usize = 10_000;
/// Memory for the texts of those lines, bytes.
pub const TAIL_BYTES_MAX: usize = 2 << 20;
/// How long definitions may take to be fetched, milliseconds.
pub const FETCH_MS: u64 = 60_000;
/// The largest definitions that are fetched, bytes.
pub const FETCH_SIZE_MAX: u64 = 512 << 20;

const _: () = assert!(FRAME_SIZE_MIN <= FRAME_SIZE_INITIAL && FRAME_SIZE_INITIAL <= FRAME_SIZE_MAX);
const _: () = assert!(OUTPUT_SIZE_MIN < OUTPUT_SIZE_MAX && OUTPUT_SIZE_MAX < OUTPUT_SIZE_STALL);
const _: () =
    assert!(OUTPUT_TOTAL_MAX / OUTPUT_PART >= OUTPUT_SIZE_STALL && TRANSACTIONS_TOTAL_MAX / TRANSACTION_PART >= TRANSACTION_SIZE_MAX);
const _: () = assert!(CREDIT_BYTES_MIN <= CREDIT_BYTES_MAX && CREDIT_BYTES_MAX <= CREDIT_CHANNEL_BYTES);
const _: () = assert!(BURY_BUDGET <= BURY_QUEUES_BUDGET);
const _: () = assert!(SHARE_STEPS_MAX <= TURN_STEPS_MAX);
const _: () = assert!(RING_SLOTS.is_power_of_two());
const _: () = assert!(ARENA_CHUNK_SIZE.is_multiple_of(ARENA_SEGMENT_SIZE));
const _: () = assert!(BODY_RESERVE_MAX <= MESSAGE_SIZE_CAP);
