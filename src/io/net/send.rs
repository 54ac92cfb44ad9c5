//! A batch of output on its way: the next send operation is made from what is left of it.
//!
//! ```text
//! batch    [frames……][body by reference…………………][frames…]
//!                ^ sent          ^ up to SEND_SIZE_MAX from there: the next operation
//! ```
//!
//! One piece is sent with SEND, several with SENDMSG. Both say MSG_WAITALL: the kernel then waits
//! until the socket has taken all bytes. If it comes back short nevertheless, the next operation
//! starts where it stopped. A socket has one operation at a time: two would interleave.

use std::os::fd::RawFd;

use io_uring::{opcode, squeue, types};

use crate::base::limits;
use crate::base::outgoing::Outgoing;

/// A batch, and how much of it is sent.
pub struct Sending {
    batch: Outgoing,
    sent: usize,
    gather: Option<Box<Gather>>,
}

/// The pieces of one SENDMSG. The kernel reads them, so they must not move.
pub struct Gather {
    header: libc::msghdr,
    pieces: Vec<libc::iovec>,
}

impl Sending {
    /// Starts with a batch of which nothing is sent.
    pub fn new(batch: Outgoing) -> Sending {
        assert!(!batch.is_empty(), "the shard sends something");
        Sending { batch, sent: 0, gather: None }
    }

    /// Returns the next operation. It points into the batch and into `self.gather`, which do not
    /// move even if `self` does. `spare` provides memory for the pieces.
    pub fn operation(&mut self, fd: RawFd, spare: &mut Vec<Box<Gather>>) -> squeue::Entry {
        let mut pieces = pieces(self.batch.slices(), self.sent);
        let first = pieces.next().expect("something is left to send");
        let Some(second) = pieces.next() else {
            let len = u32::try_from(first.len()).expect("a send is cut to SEND_SIZE_MAX");
            return opcode::Send::new(types::Fd(fd), first.as_ptr(), len).flags(FLAGS).build();
        };
        let gather = self.gather.get_or_insert_with(|| spare.pop().unwrap_or_default());
        gather.set([first, second].into_iter().chain(pieces));
        let flags = u32::try_from(FLAGS).expect("the flags are positive");
        opcode::SendMsg::new(types::Fd(fd), &raw const gather.header).flags(flags).build()
    }

    /// Notes that an operation has sent `sent` bytes. Returns whether that was all.
    pub fn advance(&mut self, sent: usize) -> bool {
        self.sent += sent;
        assert!(self.sent <= self.batch.len(), "the kernel sends what it was given");
        self.sent == self.batch.len()
    }

    /// Returns the batch, for reuse. No operation may be in flight.
    pub fn finish(self, spare: &mut Vec<Box<Gather>>) -> Outgoing {
        if spare.len() < SPARE_MAX {
            spare.extend(self.gather);
        }
        self.batch
    }
}

impl Gather {
    fn set<'a>(&mut self, slices: impl Iterator<Item = &'a [u8]>) {
        self.pieces.clear();
        self.pieces.extend(slices.map(|slice| libc::iovec { iov_base: slice.as_ptr().cast_mut().cast(), iov_len: slice.len() }));
        self.header.msg_iov = self.pieces.as_mut_ptr();
        self.header.msg_iovlen = self.pieces.len();
    }
}

impl Default for Gather {
    fn default() -> Self {
        // SAFETY: a message header is numbers and pointers, for which zero means "none".
        let header = unsafe { std::mem::zeroed() };
        Gather { header, pieces: Vec::new() }
    }
}

/// Returns the slices without their first `skip` bytes, cut to what one operation may send.
fn pieces<'a>(slices: impl Iterator<Item = &'a [u8]>, mut skip: usize) -> impl Iterator<Item = &'a [u8]> {
    let mut room = limits::SEND_SIZE_MAX;
    let rest = slices.filter_map(move |slice| {
        let skipped = skip.min(slice.len());
        skip -= skipped;
        let left = &slice[skipped..];
        let piece = &left[..left.len().min(room)];
        room -= piece.len();
        (!piece.is_empty()).then_some(piece)
    });
    rest.take(limits::SEND_PIECES_MAX)
}

/// How many memories for pieces a shard keeps for its next batches.
const SPARE_MAX: usize = 64;

const FLAGS: i32 = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

#[cfg(test)]
mod tests {
    use super::*;

    fn lens(slices: &[&[u8]], skip: usize) -> Vec<usize> {
        pieces(slices.iter().copied(), skip).map(<[u8]>::len).collect()
    }

    #[test]
    fn pieces_start_where_the_last_send_stopped() {
        let slices: [&[u8]; 3] = [b"abc", b"defg", b"h"];
        let rest = |skip| pieces(slices.iter().copied(), skip).collect::<Vec<_>>().concat();
        assert_eq!((0..=8).map(rest).collect::<Vec<_>>(), (0..=8).map(|skip| b"abcdefgh"[skip..].to_vec()).collect::<Vec<_>>());
        assert_eq!(lens(&slices, 3), [4, 1]);
    }

    #[test]
    fn pieces_are_cut_to_one_operation() {
        let large = vec![0; limits::SEND_SIZE_MAX];
        assert_eq!(lens(&[b"12", &large, b"34"], 0), [2, large.len() - 2]);
        assert_eq!(lens(&[b"12", &large, b"34"], large.len()), [2, 2]);
        let small: Vec<&[u8]> = vec![b"x"; 2000];
        assert_eq!(lens(&small, 500).len(), limits::SEND_PIECES_MAX);
    }
}
