//! The stamp: the first bytes of every body. It has the time of the publish, the producer, and the
//! message's number.
//!
//! ```text
//! 0        8          14        16
//! │ time   │ number   │ producer│ content (see `verify`)
//! ```
//!
//! Little-endian. The time is the monotonic clock in nanoseconds, 0 for a message whose latency is
//! not measured. By producer and number, a consumer gives a producer room in its window back, and
//! checks the order.

/// Size of a stamp, bytes.
pub const STAMP_LEN: usize = 16;

/// A stamp that was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stamp {
    /// When the message was published, nanoseconds.
    pub time_ns: u64,
    /// The producer's number.
    pub producer: u16,
    /// The message's number, from 0 for each producer; 48 bits.
    pub number: u64,
}

impl Stamp {
    /// Writes the stamp to the beginning of a body.
    #[inline]
    pub fn write(self, body: &mut [u8]) {
        let second = self.number & NUMBER_MASK | u64::from(self.producer) << NUMBER_BITS;
        body[..8].copy_from_slice(&self.time_ns.to_le_bytes());
        body[8..16].copy_from_slice(&second.to_le_bytes());
    }

    /// Reads a stamp. Returns `None` if the body is too short for one.
    #[inline]
    pub fn read(body: &[u8]) -> Option<Stamp> {
        let (time, rest) = body.split_first_chunk::<8>()?;
        let second = u64::from_le_bytes(*rest.first_chunk::<8>()?);
        Some(Stamp { time_ns: u64::from_le_bytes(*time), producer: (second >> NUMBER_BITS) as u16, number: second & NUMBER_MASK })
    }
}

const NUMBER_BITS: u32 = 48;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let stamp = Stamp { time_ns: u64::MAX, producer: 0xABCD, number: NUMBER_MASK - 1 };
        let mut body = [0; 20];
        stamp.write(&mut body);
        assert_eq!(Stamp::read(&body), Some(stamp));
        assert_eq!(Stamp::read(&body[..15]), None);
    }
}
