//! The messages: the publishers' routes, and the content of each message. All of it follows from
//! the message's id and the seed.

use std::fmt;

/// Every queue that takes messages.
pub const QUEUES: [&str; 6] = ["kill.a", "kill.b", "kill.kept", "kill.fan.0", "kill.fan.1", "kill.fan.2"];
/// The queue without consumers, which grows until the end.
pub const KEPT: usize = 2;

/// The exchange and key that a publisher publishes to, and the queues that it reaches by them.
pub struct Route {
    pub exchange: &'static str,
    pub key: &'static str,
    pub queues: &'static [usize],
    /// The most unconfirmed messages.
    pub window: usize,
}

/// The publishers. The last ones are the consumers, which publish to their own queue: the confirm
/// of such a message shows that the settlements before it are stored.
pub const ROUTES: [Route; 10] = [
    Route { exchange: "", key: "kill.a", queues: &[0], window: 1000 },
    Route { exchange: "kill.direct", key: "a", queues: &[0], window: 200 },
    Route { exchange: "kill.topic", key: "some.b", queues: &[1], window: 500 },
    Route { exchange: "kill.fan", key: "", queues: &[3, 4, 5], window: 300 },
    Route { exchange: "kill.topic", key: "kept.b", queues: &[1, KEPT], window: 20 },
    Route { exchange: "", key: "kill.a", queues: &[0], window: 1 },
    Route { exchange: "", key: "kill.a", queues: &[0], window: 1 },
    Route { exchange: "", key: "kill.b", queues: &[1], window: 1 },
    Route { exchange: "", key: "kill.fan.0", queues: &[3], window: 1 },
    Route { exchange: "", key: "kill.fan.1", queues: &[4], window: 1 },
];
/// The first consumer among the publishers. `kill.fan.2` and `kill.kept` have no consumers before
/// the end.
pub const CONSUMERS_FROM: usize = 5;

/// One message. The number counts the publisher's messages through all cycles.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub publisher: usize,
    pub number: u32,
}

impl Id {
    /// Reads the id from its text.
    pub fn parse(text: &str) -> Option<Id> {
        let (publisher, number) = text.split_once('-')?;
        Some(Id { publisher: publisher.parse().ok().filter(|&publisher| publisher < ROUTES.len())?, number: number.parse().ok()? })
    }

    /// Makes the body: mostly some hundred bytes, sometimes none, seldom hundreds of KiB, of noise
    /// that only this id gives.
    pub fn body(self, seed: u64) -> Vec<u8> {
        let mut dice = Dice::new(seed ^ ((self.publisher as u64) << 32 | u64::from(self.number)));
        let size = match dice.below(1000) {
            0..3 => dice.below(300 << 10),
            3..30 => dice.below(16 << 10),
            30..60 => 0,
            _ => dice.below(400),
        };
        let mut body = Vec::with_capacity(size as usize + 8);
        while (body.len() as u64) < size {
            body.extend_from_slice(&dice.next().to_le_bytes());
        }
        body.truncate(size as usize);
        body
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.publisher, self.number)
    }
}

/// Random numbers that the seed repeats (splitmix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}
