//! The part of AMQP 0-9-1 that a load generator needs: output is encoded once and sent many times
//! ([`encode`]), input is read frame by frame in the receive buffer ([`scan`]), and only the values
//! that are needed are decoded.

pub mod encode;
pub mod scan;
pub mod uri;

/// Method ids as on the wire: class in the upper half, method in the lower.
pub mod id {
    const fn id(class: u32, method: u32) -> u32 {
        class << 16 | method
    }
    pub const CONNECTION_START: u32 = id(10, 10);
    pub const CONNECTION_START_OK: u32 = id(10, 11);
    pub const CONNECTION_TUNE: u32 = id(10, 30);
    pub const CONNECTION_TUNE_OK: u32 = id(10, 31);
    pub const CONNECTION_OPEN: u32 = id(10, 40);
    pub const CONNECTION_OPEN_OK: u32 = id(10, 41);
    pub const CONNECTION_CLOSE: u32 = id(10, 50);
    pub const CONNECTION_CLOSE_OK: u32 = id(10, 51);
    pub const CHANNEL_OPEN: u32 = id(20, 10);
    pub const CHANNEL_OPEN_OK: u32 = id(20, 11);
    pub const CHANNEL_CLOSE: u32 = id(20, 40);
    pub const CHANNEL_CLOSE_OK: u32 = id(20, 41);
    pub const EXCHANGE_DECLARE: u32 = id(40, 10);
    pub const EXCHANGE_DECLARE_OK: u32 = id(40, 11);
    pub const EXCHANGE_DELETE: u32 = id(40, 20);
    pub const EXCHANGE_DELETE_OK: u32 = id(40, 21);
    pub const QUEUE_DECLARE: u32 = id(50, 10);
    pub const QUEUE_DECLARE_OK: u32 = id(50, 11);
    pub const QUEUE_BIND: u32 = id(50, 20);
    pub const QUEUE_BIND_OK: u32 = id(50, 21);
    pub const QUEUE_PURGE: u32 = id(50, 30);
    pub const QUEUE_PURGE_OK: u32 = id(50, 31);
    pub const QUEUE_DELETE: u32 = id(50, 40);
    pub const QUEUE_DELETE_OK: u32 = id(50, 41);
    pub const BASIC_QOS: u32 = id(60, 10);
    pub const BASIC_QOS_OK: u32 = id(60, 11);
    pub const BASIC_CONSUME: u32 = id(60, 20);
    pub const BASIC_CONSUME_OK: u32 = id(60, 21);
    pub const BASIC_CANCEL: u32 = id(60, 30);
    pub const BASIC_CANCEL_OK: u32 = id(60, 31);
    pub const BASIC_PUBLISH: u32 = id(60, 40);
    pub const BASIC_DELIVER: u32 = id(60, 60);
    pub const BASIC_ACK: u32 = id(60, 80);
    pub const BASIC_NACK: u32 = id(60, 120);
    pub const CONFIRM_SELECT: u32 = id(85, 10);
    pub const CONFIRM_SELECT_OK: u32 = id(85, 11);
}

/// Frame type of methods.
pub const FRAME_METHOD: u8 = 1;
/// Frame type of content headers.
pub const FRAME_HEADER: u8 = 2;
/// Frame type of bodies.
pub const FRAME_BODY: u8 = 3;
/// The octet that ends every frame.
pub const FRAME_END: u8 = 0xCE;
/// Size of a frame without its payload, bytes: type, channel, size, end.
pub const FRAME_OVERHEAD: usize = 8;
/// The first bytes that a client sends.
pub const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\0\0\x09\x01";
