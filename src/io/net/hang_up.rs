//! A wait for the end of a peer whose socket is not read.
//!
//! While a socket is read, the receive shows that the peer is gone. But a publisher that an alarm
//! blocks is not read, perhaps for hours, and its end comes behind unread bytes. A poll notices an
//! end nevertheless, as soon as it has arrived: an orderly one (RDHUP) or a reset. An orderly end
//! does not arrive while more bytes are unread than the receive window takes; then the next
//! heartbeat finds by a reset that the peer is gone.

use std::os::fd::RawFd;

use io_uring::{opcode, types};

use crate::io::net::socket::{SocketId, cancel};
use crate::io::ring::Ring;
use crate::io::token::Token;

/// The wait for one socket.
#[derive(Debug, Default)]
pub struct Watch {
    /// Whether the shard wants to know of the peer's end.
    pub is_wanted: bool,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Off,
    /// The poll is in flight.
    Armed,
    /// The poll is being cancelled; its completion has not come yet.
    Stopping,
}

/// The way in which a peer has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The peer sends no more.
    Finished,
    /// The connection is broken.
    Lost,
}

impl Watch {
    /// Whether no poll is in flight.
    pub fn is_off(&self) -> bool {
        self.state == State::Off
    }

    /// Starts or stops the wait. `may_end`: the shard does not know yet that the peer has ended.
    pub fn steer(&mut self, may_end: bool, id: SocketId, fd: RawFd, ring: &mut Ring<'_>) {
        match (self.state, self.is_wanted && may_end) {
            (State::Off, true) => {
                let poll = opcode::PollAdd::new(types::Fd(fd), u32::from(libc::POLLRDHUP.cast_unsigned())).build();
                // SAFETY: the operation points to nothing.
                unsafe { ring.push(&poll.user_data(Token::HangUp(id.0).encode())) };
                self.state = State::Armed;
            }
            (State::Armed, false) => {
                cancel(Token::HangUp(id.0), ring);
                self.state = State::Stopping;
            }
            _ => {}
        }
    }

    /// Notes that the poll has completed, with events or because it was cancelled. Returns how the
    /// peer has ended, if the shard wants to know that.
    pub fn on_ended(&mut self, result: i32) -> Option<End> {
        self.state = State::Off;
        let has = |event: i16| result > 0 && result & i32::from(event) != 0;
        let end = match () {
            () if has(libc::POLLERR | libc::POLLHUP) => Some(End::Lost),
            () if has(libc::POLLRDHUP) => Some(End::Finished),
            () => None,
        };
        end.filter(|_| self.is_wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_tells_how_it_ended_if_that_is_still_wanted() {
        let mut watch = Watch { is_wanted: true, state: State::Armed };
        let ends = [libc::POLLRDHUP, libc::POLLRDHUP | libc::POLLHUP, libc::POLLERR].map(|events| watch.on_ended(events.into()));
        assert_eq!((ends, watch.is_off()), ([Some(End::Finished), Some(End::Lost), Some(End::Lost)], true));
        assert_eq!(watch.on_ended(-libc::ECANCELED), None);
        watch.is_wanted = false;
        assert_eq!(watch.on_ended(libc::POLLRDHUP.into()), None);
    }
}
