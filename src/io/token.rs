//! Tokens: the kind and the target of an operation, in the 64 bits that the kernel returns with its
//! completion.
//!
//! ```text
//! 63    56 55            32 31                     0
//! [ kind ][      slot      ][      generation      ]
//! ```

use crate::base::ids::Key;
use crate::io::net::receive::Way;

/// The meaning of a completion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Token {
    /// A listener (by its number) has a connection.
    Accept(u32),
    /// A socket has received.
    Recv(Way, Key),
    /// A socket has sent.
    Send(Key),
    /// The peer of a socket that is not read has gone.
    HangUp(Key),
    /// Another shard has sent mail.
    Wake,
    /// The broker is to end.
    Stop,
    /// An alarm was raised or cleared.
    Alarm,
    /// An operator has left a demand.
    Door,
    /// Memory is prepared.
    Prepare,
    /// An operation of the disk, with this number, is complete.
    Disk(u32),
    /// Another thread of the shard has done something.
    Bell,
    /// An operation whose completion needs no attention, and which completes only on failure: a
    /// cancel that came too late, a wake-up of a shard that is gone.
    Ignore,
}

impl Token {
    /// Encodes the token as `user_data`.
    pub fn encode(self) -> u64 {
        match self {
            Token::Accept(listener) => pack(ACCEPT, Key { slot: listener, generation: 0 }),
            Token::Recv(Way::Trickle, key) => pack(TRICKLE, key),
            Token::Recv(Way::Bulk, key) => pack(BULK, key),
            Token::Recv(Way::Direct, key) => pack(DIRECT, key),
            Token::Send(key) => pack(SEND, key),
            Token::HangUp(key) => pack(HANG_UP, key),
            Token::Wake => pack(WAKE, Key::default()),
            Token::Stop => pack(STOP, Key::default()),
            Token::Alarm => pack(ALARM, Key::default()),
            Token::Door => pack(DOOR, Key::default()),
            Token::Prepare => pack(PREPARE, Key::default()),
            Token::Disk(number) => pack(DISK, Key { slot: number, generation: 0 }),
            Token::Bell => pack(BELL, Key::default()),
            Token::Ignore => pack(IGNORE, Key::default()),
        }
    }

    /// Decodes `user_data`.
    pub fn decode(data: u64) -> Token {
        let key = Key { slot: (data >> 32) as u32 & SLOT_MASK, generation: data as u32 };
        match data >> 56 {
            ACCEPT => Token::Accept(key.slot),
            TRICKLE => Token::Recv(Way::Trickle, key),
            BULK => Token::Recv(Way::Bulk, key),
            DIRECT => Token::Recv(Way::Direct, key),
            SEND => Token::Send(key),
            HANG_UP => Token::HangUp(key),
            WAKE => Token::Wake,
            STOP => Token::Stop,
            ALARM => Token::Alarm,
            DOOR => Token::Door,
            PREPARE => Token::Prepare,
            DISK => Token::Disk(key.slot),
            BELL => Token::Bell,
            IGNORE => Token::Ignore,
            kind => unreachable!("the kernel hands back what it was given, not kind {kind}"),
        }
    }
}

fn pack(kind: u64, key: Key) -> u64 {
    assert!(key.slot <= SLOT_MASK, "a shard has fewer than 2^24 sockets");
    kind << 56 | u64::from(key.slot) << 32 | u64::from(key.generation)
}

const SLOT_MASK: u32 = (1 << 24) - 1;

const ACCEPT: u64 = 1;
const TRICKLE: u64 = 2;
const SEND: u64 = 3;
const WAKE: u64 = 4;
const STOP: u64 = 5;
const IGNORE: u64 = 6;
const BULK: u64 = 7;
const DIRECT: u64 = 8;
const PREPARE: u64 = 9;
const DISK: u64 = 10;
const BELL: u64 = 11;
const ALARM: u64 = 12;
const HANG_UP: u64 = 13;
const DOOR: u64 = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_went() {
        let keys = [(0, 0), (1, u32::MAX), (SLOT_MASK, 7)].map(|(slot, generation)| Key { slot, generation });
        let with_keys = keys.into_iter().flat_map(|key| {
            [Way::Trickle, Way::Bulk, Way::Direct]
                .map(|way| Token::Recv(way, key))
                .into_iter()
                .chain([Token::Send(key), Token::HangUp(key)])
        });
        let others = [
            Token::Accept(3),
            Token::Wake,
            Token::Stop,
            Token::Alarm,
            Token::Prepare,
            Token::Disk(5),
            Token::Bell,
            Token::Door,
            Token::Ignore,
        ];
        for token in with_keys.chain(others) {
            assert_eq!(Token::decode(token.encode()), token);
        }
    }

    #[test]
    #[should_panic(expected = "2^24")]
    fn a_slot_that_does_not_fit_is_refused() {
        Token::Send(Key { slot: SLOT_MASK + 1, generation: 0 }).encode();
    }
}
