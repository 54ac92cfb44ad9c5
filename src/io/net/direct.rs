//! A large body, received straight into the memory where it will stay: one receive, scattered over
//! the pieces of the loan, the gaps between them, and a few bytes for what follows the body.
//!
//! ```text
//! pieces   [rest of a frame ─▶ loan's buffer][gap][frame ─▶ buffer] … [last frame ─▶ buffer][tail]
//! ```

use std::os::fd::RawFd;

use io_uring::{opcode, squeue, types};

use crate::contract::session::BodyLoan;

/// One receive into a loan. The kernel writes into it, so it must not move.
pub struct Direct {
    loan: BodyLoan,
    gaps: Vec<u8>,
    tail: [u8; TAIL],
    pieces: Vec<libc::iovec>,
    header: libc::msghdr,
}

/// The result of a receive.
pub struct Brought<'d> {
    /// The loan with a longer buffer.
    pub loan: BodyLoan,
    /// The bytes that came between its pieces.
    pub gaps: &'d [u8],
    /// The bytes that came after the body.
    pub tail: &'d [u8],
}

impl Direct {
    /// Prepares a receive into a loan.
    pub fn new(loan: BodyLoan) -> Box<Direct> {
        // SAFETY: a message header is numbers and pointers, for which zero means "none".
        let header = unsafe { std::mem::zeroed() };
        let gaps = vec![0; loan.gap() * (loan.pieces().count().max(1) - 1)];
        let mut direct = Box::new(Direct { loan, gaps, tail: [0; TAIL], pieces: Vec::new(), header });
        direct.scatter();
        direct
    }

    /// Returns the operation. It points into `self`, which must not move.
    pub fn operation(&mut self, fd: RawFd) -> squeue::Entry {
        opcode::RecvMsg::new(types::Fd(fd), &raw mut self.header).build()
    }

    /// Number of bytes that the receive may bring, without gaps and tail.
    pub fn room(&self) -> usize {
        self.loan.pieces().sum()
    }

    /// Divides the `received` bytes into body, gaps and tail. No operation may be in flight.
    pub fn finish(&mut self, received: usize) -> Brought<'_> {
        let (mut left, mut filled, mut between) = (received, 0, 0);
        let mut take = |most: usize| {
            let came = left.min(most);
            left -= came;
            came
        };
        for (at, piece) in self.loan.pieces().enumerate() {
            between += if at > 0 { take(self.loan.gap()) } else { 0 };
            filled += take(piece);
        }
        assert!(left <= TAIL, "the kernel fills at most what it was given");
        let mut loan = std::mem::take(&mut self.loan);
        let len = loan.buffer.len() + filled;
        assert!(len <= loan.buffer.capacity(), "the pieces were inside the buffer");
        // SAFETY: the bytes are inside the capacity, and the kernel has written them: pieces are
        // filled in their order.
        unsafe { loan.buffer.set_len(len) };
        Brought { loan, gaps: &self.gaps[..between], tail: &self.tail[..left] }
    }

    fn scatter(&mut self) {
        let (pieces, gap) = (self.loan.pieces(), self.loan.gap());
        let (mut rest, mut gaps) = (self.loan.buffer.spare_capacity_mut(), self.gaps.chunks_mut(gap.max(1)));
        for (at, piece) in pieces.enumerate() {
            if at > 0 && gap > 0 {
                self.pieces.push(vec_of(gaps.next().expect("one between two pieces")));
            }
            let (place, behind) = rest.split_at_mut(piece);
            self.pieces.push(libc::iovec { iov_base: place.as_mut_ptr().cast(), iov_len: place.len() });
            rest = behind;
        }
        self.pieces.push(vec_of(&mut self.tail));
        self.header.msg_iov = self.pieces.as_mut_ptr();
        self.header.msg_iovlen = self.pieces.len();
    }
}

fn vec_of(bytes: &mut [u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }
}

/// Bytes for what follows a body: the end of its last frame, and the method, header and frame
/// header of the next message. Bytes that do not fit are left to the next receive.
const TAIL: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_sorted_out_in_the_order_of_the_pieces() {
        for (received, expected) in [(0, (0, 0, 0)), (5, (5, 0, 0)), (12, (10, 2, 0)), (21, (13, 8, 0)), (25, (15, 8, 2))] {
            let loan = BodyLoan::new(Vec::with_capacity(15), 10, 10, 15, 8);
            let mut direct = Direct::new(loan);
            assert_eq!((direct.room(), direct.pieces.iter().map(|piece| piece.iov_len).collect::<Vec<_>>()), (15, vec![10, 8, 5, TAIL]));
            let Brought { loan, gaps, tail } = direct.finish(received);
            assert_eq!((loan.buffer.len(), gaps.len(), tail.len()), expected);
        }
    }
}
