//! A loan: room for a large body, lent to the receiver. The kernel writes the body where it will
//! stay, and nothing is copied.
//!
//! A body comes in frames, with eight bytes between two of them: the end of one and the header of
//! the next. The sender cuts all frames of a body to one size, so the places of those bytes are
//! guessed, and checked afterwards:
//!
//! ```text
//! socket   [rest of this frame][CE 03 ch size][frame ][CE 03 ch size][last frame][CE, and more]
//! loan      buffer: in place    separator      buffer  separator      buffer      tail
//! ```
//!
//! If the guess was wrong, the bytes behind it are put back into the order in which they came, and
//! parsed as if they had come so.

use super::assembly::Assembly;
use super::input::BodyFrame;
use super::*;
use crate::base::limits::LOAN_MIN;
use crate::contract::session::BodyLoan;
use crate::protocol::amqp::frame::{FRAME_END, FrameHeader, Kind};

/// The loan. Its holder appends to the buffer as many bytes as the pieces have together.
#[derive(Debug, Default)]
pub struct BodyLoan {
    /// The body so far, with capacity for the pieces.
    pub buffer: Vec<u8>,
    filled: usize,
    /// The frame under way.
    frame: BodyFrame,
    /// Bytes to come: of the frame under way, and of it and whole frames behind it.
    first: usize,
    total: usize,
}

/// The number of gaps in front of the first that is wrong or not whole.
fn right_gaps(loan: &BodyLoan, channel: u16, gaps: &[u8]) -> usize {
    let (whole, _) = gaps.as_chunks::<GAP>();
    let is_right = |&(found, piece): &(&[u8; GAP], usize)| *found == gap(channel, piece);
    whole.iter().zip(loan.pieces().skip(1)).take_while(is_right).count()
}

impl BodyLoan {
    /// Makes a loan for the `missing` bytes of a body of which `frame` is under way: whole frames,
    /// as far as `most` bytes reach.
    fn new(buffer: Vec<u8>, frame: BodyFrame, missing: usize, most: usize) -> BodyLoan {
        let first = frame.left.min(most);
        let mut total = first;
        if first == frame.left {
            let next = |total: usize| frame.size.min(missing - total);
            while next(total) > 0 && total + next(total) <= most {
                total += next(total);
            }
        }
        BodyLoan { filled: buffer.len(), buffer, frame, first, total }
    }

    /// Makes a loan with a frame of `first` bytes under way, and one of `second` behind it.
    #[cfg(test)]
    pub fn for_tests(first: usize, second: usize) -> BodyLoan {
        let frame = BodyFrame { channel: 1, size: first, left: first };
        BodyLoan::new(Vec::with_capacity(first + second), frame, first + second, first + second)
    }

    /// Sizes of the pieces; a separator is between two of them.
    pub fn pieces(&self) -> impl Iterator<Item = usize> + use<> {
        let (size, mut left, mut next) = (self.frame.size, self.total, self.first);
        std::iter::from_fn(move || {
            let piece = std::mem::replace(&mut next, size).min(left);
            left -= piece;
            (piece > 0).then_some(piece)
        })
    }

    /// Counts the separators before the first that is wrong or not whole.
    fn right_separators(&self, separators: &[u8]) -> usize {
        let (whole, _) = separators.as_chunks::<SEPARATOR>();
        let is_right = |&(separator, piece): &(&[u8; SEPARATOR], usize)| *separator == self.separator(piece);
        whole.iter().zip(self.pieces().skip(1)).take_while(is_right).count()
    }

    /// The separator before a piece.
    fn separator(&self, piece: usize) -> [u8; SEPARATOR] {
        let size = u32::try_from(piece).expect("a frame's size was a u32");
        let mut separator = [FRAME_END; SEPARATOR];
        separator[1..].copy_from_slice(&FrameHeader { kind: Kind::Body, channel: self.frame.channel, size }.octets());
        separator
    }

    /// Takes the bytes that arrived behind the first `kept` pieces, in the order in which they
    /// came; `separators` are those behind these pieces.
    fn take_behind(&mut self, kept: usize, separators: &[u8]) -> Vec<u8> {
        let end = self.filled + self.pieces().take(kept).sum::<usize>();
        let arrived = self.buffer.split_off(end.min(self.buffer.len()));
        let mut stream = Vec::with_capacity(arrived.len() + separators.len());
        let (mut bytes, mut separators) = (&arrived[..], separators.chunks(SEPARATOR));
        for (at, piece) in self.pieces().enumerate().skip(kept) {
            if at > 0 {
                stream.extend_from_slice(separators.next().unwrap_or_default());
            }
            let (came, behind) = bytes.split_at(piece.min(bytes.len()));
            stream.extend_from_slice(came);
            bytes = behind;
        }
        stream
    }

    /// The frame under way behind the first `right` separators.
    fn frame_after(&self, right: usize) -> BodyFrame {
        let before: usize = self.pieces().take(right).sum();
        let came = self.buffer.len() - self.filled - before;
        let begun = match self.pieces().nth(right) {
            Some(piece) if right > 0 => BodyFrame { size: piece, left: piece, ..self.frame },
            _ => self.frame,
        };
        BodyFrame { left: begun.left - came, ..begun }
    }
}

impl Session {
    /// Lends room for at most `most` bytes of the body that is arriving, if it is large enough to
    /// be worth it. Until [`Session::return_body`] nothing else is received.
    pub fn lend_body(&mut self, most: usize) -> Option<BodyLoan> {
        let frame = self.body_frame.filter(|frame| frame.left > 0 && self.stage == Stage::Running)?;
        let Assembly::Body(draft) = &mut self.channels.find_mut(frame.channel)?.assembly else { return None };
        let missing = usize::try_from(draft.missing()).unwrap_or(usize::MAX);
        if missing < LOAN_MIN {
            return None;
        }
        let buffer = draft.lend(missing.min(most))?;
        Some(loan(buffer, frame, missing, most))
    }

    /// Takes a loan back: its buffer has grown by the bytes that arrived, with `separators`
    /// between. Returns the bytes that are to be parsed now, before any that arrived behind.
    pub fn return_body(&mut self, mut loan: BodyLoan, separators: &[u8]) -> Vec<u8> {
        self.keepalive.received |= loan.buffer.len() > loan.filled;
        let Some(Channel { assembly: Assembly::Body(draft), .. }) = self.channels.find_mut(loan.frame.channel) else {
            return loan.take_behind(0, separators); // the session has ended meanwhile
        };
        let Some(Channel { assembly: Assembly::Body(draft), .. }) = self.channels.find_mut(frame.channel) else {
            return loan.take_behind(0, gaps);
        };
        let right = right_gaps(&loan, frame.channel, gaps);
        let rest = &gaps[right * GAP..];
        let stream = if rest.len() < GAP { rest.to_vec() } else { loan.take_behind(right + 1, rest) };
        self.body_frame = Some(frame_after(&loan, frame, right));
        let filled = loan.filled();
        draft.take_back(loan.buffer, filled);
        stream
    }
}
