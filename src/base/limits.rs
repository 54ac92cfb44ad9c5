//! Every limit of the broker, and how they relate.

/// The smallest frame_max that a client may negotiate. RabbitMQ asks for 8192 since 4.1; the specification says 4096, and clients rely on it.
pub const FRAME_SIZE_MIN: usize = 4096;
/// The largest value of `--frame-max`, bytes.
pub const FRAME_SIZE_MAX: usize = 16 << 20;
/// What a frame may be before connection.tune-ok, bytes.
pub const FRAME_SIZE_INITIAL: usize = 8192;
/// How far a client's frame may exceed the negotiated frame_max, bytes: RabbitMQ's allowance for clients that forget the frame's own 8 bytes.
pub const FRAME_SIZE_SLACK: usize = 8;
/// The largest value of `--max-message-size`, bytes (RabbitMQ's hard cap).
pub const MESSAGE_SIZE_CAP: usize = 512 << 20;
/// Bodies from here on are counted buffers that are sent by gather-write; smaller ones are copied (measured: copying loses from 16 KiB on).
pub const SHARED_BODY_MIN: usize = 16 << 10;
/// Bytes of a segment of the arena: what one message that waits for long keeps from being used again.
pub const ARENA_SEGMENT_SIZE: usize = 256 << 10;
/// Bytes of a chunk of the arena: a huge page.
pub const ARENA_CHUNK_SIZE: usize = 2 << 20;
/// Chunks that are prepared ahead of their use, count.
pub const ARENA_CHUNKS_AHEAD: usize = 4;
/// Chunks that were used and are kept for the next time for ever, count.
pub const ARENA_CHUNKS_KEPT: usize = 8;
/// How often some of those beyond them go back to the system, milliseconds.
pub const ARENA_TRIM_MS: u64 = 50;
/// Routes that a shard remembers for publishers that use many routing keys, count (of one queue, up to 150 bytes each).
pub const KNOWN_ROUTES_MAX: usize = 8192;
/// The same in bytes: a route may lead to many queues.
pub const KNOWN_ROUTES_SIZE_MAX: usize = 8 << 20;
/// Bytes of a route that is remembered; it has some 80,000 queues.
pub const KNOWN_ROUTE_SIZE_MAX: usize = 1 << 20;
/// Queues of a route that a channel remembers; more are remembered by the shard alone.
pub const ROUTE_CACHE_QUEUES_MAX: usize = 64;
/// Places for last routes in a connection.
pub const ROUTE_CACHES_MAX: usize = 16;
/// Connections beyond `--max-connections` that are accepted, to be told that they are too many when they open a virtual host; more are closed at once.
pub const HANDSHAKES_MAX: usize = 256;
/// Steps back that a pattern of a permission or a policy may take, count (some milliseconds); then it does not match.
pub const PATTERN_BACKTRACKS_MAX: usize = 50_000;
/// What a pattern of a permission or a policy may grow to when it is compiled, bytes (each of its parts that do not backtrack).
pub const PATTERN_SIZE_MAX: usize = 1 << 20;
/// Messages of one channel to one place that are published in one go: what is decided once per run is decided for all of them.
pub const PUBLISH_RUN_MAX: usize = 32;
/// A body of which so many bytes are missing is received in place, bytes (measured: below, what a turn brings is better read in one piece).
pub const LOAN_MIN: usize = 64 << 10;
/// The most of a body that is received in place at once, bytes.
pub const LOAN_MAX: usize = 1 << 20;
/// How much is reserved at once for a body of which only the header has arrived, bytes: a header alone must not cost its sender's claim.
pub const BODY_RESERVE_MAX: usize = 1 << 20;
/// The longest time that a message or a queue may be told to live, milliseconds (RabbitMQ: ten years).
pub const EXPIRATION_MS_MAX: u64 = 315_360_000_000;
/// How deep field tables and arrays may nest.
pub const TABLE_DEPTH_MAX: usize = 64;
/// Output waiting for one connection's socket beyond which its consumers get nothing more, bytes. Two turns of a flood: what finds no room
/// takes the way through queue and arena (measured: with one turn 1 KiB bodies lose 18 %, those of 16 KiB 28 %; four are no better).
pub const OUTPUT_SIZE_MAX: usize = 448 << 10;
/// Output waiting for one connection beyond which who floods its queue is held, bytes: what one receive brings still fits in.
pub const OUTPUT_SIZE_TIGHT: usize = OUTPUT_SIZE_MAX / 2;
/// How long the pace of a queue is measured, and how long publishers are held at most before it is looked at again, milliseconds.
pub const FLOW_WINDOW_MS: u64 = 10;
/// What a queue must deliver in that time for its publishers to be held, bytes: 26 MB in a second, more than RabbitMQ takes of small messages.
pub const FLOW_BYTES_MIN: u64 = 256 << 10;
/// After how many windows in a row in which less is delivered publishers are not held any more.
pub const FLOW_SLOW_WINDOWS: u32 = 3;
/// How long a publisher is held at most while the queue delivers fast, milliseconds.
pub const FLOW_HOLD_MS: u64 = 50;
/// What a connection must bring at a time to be held, bytes: a flood, not a message now and then.
pub const FLOW_INPUT_MIN: usize = 16 << 10;
/// What queues of other shards may send to a consumer before it has room for more, bytes: as much as a turn writes, twice, as it takes two turns to hear.
pub const CREDIT_BYTES_MAX: usize = 1 << 20;
/// The same where a channel has many consumers, which share [`CREDIT_CHANNEL_BYTES`].
pub const CREDIT_BYTES_MIN: usize = 16 << 10;
/// What the consumers of one channel share of such credit, bytes.
pub const CREDIT_CHANNEL_BYTES: usize = 2 << 20;
/// Messages that a queue asks for at a time where the channel of a consumer on another shard counts them.
pub const CREDIT_MESSAGES_MAX: usize = 64;
/// Output waiting for one connection beyond which its input is not looked at, bytes. Deliveries stop long before; only who asks (basic.get,
/// mandatory publishes) and never reads comes here. Much larger, because a client may well write before it reads.
pub const OUTPUT_SIZE_STALL: usize = 32 << 20;
/// Output that waits for the sockets of one shard, bytes, or the shard's part of an eighth of the high watermark of memory if that is less. The
/// limits of one connection shrink as it fills (see [`budget`](super::budget)).
pub const OUTPUT_TOTAL_MAX: usize = 256 << 20;
/// The part of the high watermark that output may take.
pub const OUTPUT_MEMORY_PART: usize = 8;
/// The part of what is left of it that one connection may fill.
pub const OUTPUT_PART: usize = 8;
/// Output that a connection may have waiting whatever others have, bytes.
pub const OUTPUT_SIZE_MIN: usize = 16 << 10;
/// Input kept for a parked connection beyond which its socket is not read, bytes.
pub const PARKED_INPUT_MAX: usize = 256 << 10;
/// Bytes handed to one send; more waits for its completion (measured: a body of 1 MiB in one send instead of four costs 30 % less).
pub const SEND_SIZE_MAX: usize = 2 << 20;
/// How long a connection that is over waits for its last bytes to be taken, milliseconds.
pub const LINGER_MS: u64 = 5_000;
/// Buffers of sent output that a shard keeps for reuse, count.
pub const OUTPUT_SPARE_BUFFERS: usize = 16;
/// How long a closing connection waits for the peer's close-ok, milliseconds.
pub const CLOSING_MS: u64 = 30_000;
/// How long a peer that cannot be talked to may read what was sent to it before its socket is closed, milliseconds (RabbitMQ; slows down who guesses passwords).
pub const SILENT_CLOSE_MS: u64 = 3_000;
/// Consumers of one channel.
pub const CHANNEL_CONSUMERS_MAX: usize = 1 << 16;
/// Tags of messages taken back from late consumers that a channel remembers.
pub const GIVEN_BACK_MAX: usize = 1 << 16;
/// What a transactional channel holds back until its commit, bytes of memory.
pub const TRANSACTION_SIZE_MAX: usize = 256 << 20;
/// The same of all channels of one shard together, bytes, or the shard's part of a quarter of the high watermark of memory if that is less.
pub const TRANSACTIONS_TOTAL_MAX: usize = 512 << 20;
/// The part of the high watermark that uncommitted transactions may take.
pub const TRANSACTIONS_MEMORY_PART: usize = 4;
/// The part of what is left of it that one channel may hold.
pub const TRANSACTION_PART: usize = 2;
/// What a channel may hold back whatever others do, bytes.
pub const TRANSACTION_SIZE_MIN: usize = 64 << 10;
/// Buffers for messages that arrive in pieces are kept for the next one up to this size, bytes.
pub const ASSEMBLY_KEEP_MAX: usize = 4 << 10;
/// Mail staged for one peer beyond which publishers to it are parked and queues stop delivering to it, count.
pub const MAIL_STAGED_MAX: usize = 1024;
/// Message bodies on their way to one peer beyond which the same holds, bytes.
pub const MAIL_BYTES_MAX: usize = 4 << 20;
/// Bytes of messages that travel together before the next block is begun.
pub const MAIL_BLOCK_SIZE: usize = 64 << 10;
/// Slots of a ring between two shards; a power of two.
pub const RING_SLOTS: usize = 2048;
/// Steps of work (some 300 ns each, see `shard::work`) of each kind in a turn; what is beyond waits for the next turns.
pub const TURN_STEPS_MAX: usize = 8192;
/// Steps of one connection before the next one has its turn.
pub const SHARE_STEPS_MAX: usize = 2048;
/// Messages that are settled together in one go, of those that one command, or the end of a channel,
/// settles.
pub const SETTLE_SHARE: usize = 512;
/// Queues that messages for very many queues are given to in one go: each go keeps a copy of the messages.
pub const SPREAD_QUEUES_MIN: usize = 128;
/// Messages that one queue delivers in one turn before it goes to the tail.
pub const QUEUE_BUDGET: usize = 1024;
/// Copies and settlements of one transaction in one turn; a smaller one is done at once.
pub const COMMIT_SHARE: usize = 1024;
/// Dead messages, or delayed ones, that are published again in one turn.
pub const BURY_BUDGET: usize = 256;
/// Queues that dead messages are given to in one turn.
pub const BURY_QUEUES_BUDGET: usize = 1024;
/// How often the log is told of messages that were dropped because they went in a circle, milliseconds.
pub const CYCLES_TOLD_MS: u64 = 1000;
/// Queues that it is told of by name each time.
pub const CYCLES_TOLD_MAX: usize = 10;
/// When a dead message tries again that nobody took and that may not get lost, milliseconds.
pub const BURY_AGAIN_MS: u64 = 1000;
/// How long before it is due a delayed message is fetched from the log, milliseconds: reading many takes a while.
pub const DELAY_AHEAD_MS: u64 = 10_000;
/// Delayed messages of one exchange that are fetched at a time.
pub const DELAY_FETCH_MAX: usize = 1 << 19;
/// Delayed messages of one exchange that are chosen to be fetched in one turn.
pub const DELAY_GATHER_BUDGET: usize = 512;
/// How long none is fetched when there is no memory for them, milliseconds.
pub const DELAY_REST_MS: u64 = 10;
/// Messages on their way from a queue to others at a time.
pub const TRANSFERS_MAX: usize = 4096;
/// Messages of a queue that expire in one turn.
pub const EXPIRE_BUDGET: usize = 4096;
/// Messages of a queue that go at once because there are too many; the others go in the next turns.
pub const TRIM_BUDGET: usize = 256;
/// How often queues with more of them go on in one turn.
pub const TRIMS_MAX: usize = 16;
/// Queues that find their policies anew in one turn.
pub const POLICY_BUDGET: usize = 64;
/// Places of purged messages that are freed in one turn.
pub const PURGE_BUDGET: usize = 4096;
/// Bytes of a segment of the log. (A larger message makes a larger segment; the disk needs two segments more than what lives.)
pub const LOG_SEGMENT_SIZE: usize = 16 << 20;
/// Bytes of a batch of the log beyond which the next one is begun (measured: writes of 1 to 4 MiB reach what the disk can).
pub const LOG_BATCH_SIZE: usize = 2 << 20;
/// Bytes that wait for the disk beyond which publishers wait, too: two batches, and one that fills meanwhile.
pub const LOG_STAGED_MAX: usize = 4 << 20;
/// Bytes for the disk that are written at once though nobody waits for them.
pub const LOG_LAZY_SIZE: usize = 256 << 10;
/// How long fewer of them wait for more, milliseconds: acknowledgements, and messages whose publishers want no confirm.
pub const LOG_LAZY_MS: u64 = 5;
/// Bytes of a record of several messages: what is read again for one of them at most.
pub const LOG_RECORD_SIZE: usize = 64 << 10;
/// Bytes of a deep queue that are read from the log at once (measured: with 512 KiB, a drain waits for the disk half of the time).
pub const LOG_READ_SIZE: usize = 2 << 20;
/// The same while memory is short: many deep queues may be consumed at a time.
pub const LOG_READ_SIZE_SHORT: usize = 64 << 10;
/// Bytes between two messages of a queue in the log that are read along rather than left out.
pub const LOG_READ_GAP: usize = 64 << 10;
/// Messages that a queue keeps in memory though memory is short: what consumers take next, until the log is read.
pub const SPILL_MIN: usize = 64;
/// The largest value of `--shards`: rings between shards grow with its square.
pub const SHARDS_MAX: u16 = 256;
/// Completion entries of a shard's ring for each submission entry.
pub const COMPLETIONS_PER_ENTRY: u32 = 8;
/// Completions handled in one turn; the rest waits for the next, so that timers and peers are not kept waiting.
pub const TURN_COMPLETIONS_MAX: usize = 1024;
/// Receive buffers of one kind of one shard together, bytes.
pub const RECV_POOL_MAX: usize = 1 << 30;
/// Pieces of one gather-write (the kernel's UIO_MAXIOV).
pub const SEND_PIECES_MAX: usize = 1024;
/// How long the send in flight of a socket that is to be closed may take, milliseconds.
pub const SOCKET_FLUSH_MS: u64 = 5_000;
/// How long a socket is still read after its last send, so that its last bytes are not lost to a reset, milliseconds.
pub const SOCKET_LINGER_MS: u64 = 1_000;
/// How long accepting pauses when the process is out of descriptors or memory, milliseconds.
pub const ACCEPT_BACKOFF_MS: u64 = 100;
/// How long nothing more is said of connections that cannot be accepted, milliseconds.
pub const ACCEPT_REPORT_MS: u64 = 10_000;
/// How often a shard looks whether it is quiet, and, while memory is short, gives back what it does not use, milliseconds.
pub const UPKEEP_MS: u64 = 1000;
/// Completions in this time up to which a shard is quiet, count.
pub const UPKEEP_QUIET_MAX: usize = 100;
/// How often work of the log that found no descriptor is tried again, milliseconds.
pub const DISK_RETRY_MS: u64 = 200;
/// How long a starting broker tries to get a taken address, milliseconds: that of one just killed is free some 15 ms later.
pub const ADDRESS_TAKEN_MS: u64 = 500;
/// How long connections have to say goodbye when the broker ends, milliseconds.
pub const SHUTDOWN_MS: u64 = 4_000;
/// How long lines of the log that are alike are counted before there is another one, milliseconds.
pub const REPEATS_MS: u64 = 1_000;
/// Peers whose lines in the log are counted each by itself, together with the places of the program that wrote them; those of more count as one's.
pub const REPEATS_PEERS_MAX: usize = 1_024;
/// How long definitions may take to be fetched, milliseconds.
pub const FETCH_MS: u64 = 60_000;
/// Octets of definitions that are fetched.
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
