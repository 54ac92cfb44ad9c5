//! The loan of memory for a large body (see [`BodyLoan`]).
//!
//! Eight bytes are between two frames of a body: the end of one and the header of the next. Senders
//! cut all frames of a body to one size, so the positions of those bytes are guessed, and checked
//! afterwards:
//!
//! ```text
//! socket   [rest of this frame][CE 03 ch size][frame ][CE 03 ch size][last frame][CE, and more]
//! loan      buffer: in place    gap            buffer  gap            buffer      tail
//! ```
//!
//! If the guess was wrong, the bytes after the first wrong gap are put back into the order in which
//! they came, and parsed as usual.

use super::assembly::Assembly;
use super::input::BodyFrame;
use super::*;
use crate::base::limits::LOAN_MIN;
use crate::contract::session::BodyLoan;
use crate::protocol::amqp::frame::{FRAME_END, FrameHeader, Kind};

/// Bytes between two frames of a body.
const GAP: usize = 8;

/// Makes a loan for the `missing` bytes of a body, of which `frame` has arrived in part: as many
/// whole frames as `most` bytes allow.
fn loan(buffer: Vec<u8>, frame: BodyFrame, missing: usize, most: usize) -> BodyLoan {
    let first = frame.left.min(most);
    let mut total = first;
    if first == frame.left {
        let next = |total: usize| frame.size.min(missing - total);
        while next(total) > 0 && total + next(total) <= most {
            total += next(total);
        }
    }
    BodyLoan::new(buffer, first, frame.size, total, GAP)
}

/// Counts the gaps before the first one that is wrong or incomplete.
fn right_gaps(loan: &BodyLoan, channel: u16, gaps: &[u8]) -> usize {
    let (whole, _) = gaps.as_chunks::<GAP>();
    let is_right = |&(found, piece): &(&[u8; GAP], usize)| *found == gap(channel, piece);
    whole.iter().zip(loan.pieces().skip(1)).take_while(is_right).count()
}

/// Returns the bytes of the gap before a piece.
fn gap(channel: u16, piece: usize) -> [u8; GAP] {
    let size = u32::try_from(piece).expect("a frame's size was a u32");
    let mut gap = [FRAME_END; GAP];
    gap[1..].copy_from_slice(&FrameHeader { kind: Kind::Body, channel, size }.octets());
    gap
}

/// Returns the incomplete frame after the first `right` gaps; `frame` was incomplete when the loan
/// began.
fn frame_after(loan: &BodyLoan, frame: BodyFrame, right: usize) -> BodyFrame {
    let before: usize = loan.pieces().take(right).sum();
    let came = loan.arrived() - before;
    let begun = match loan.pieces().nth(right) {
        Some(piece) if right > 0 => BodyFrame { size: piece, left: piece, ..frame },
        _ => frame,
    };
    BodyFrame { left: begun.left - came, ..begun }
}

impl Session {
    /// Lends memory for at most `most` bytes of the body that is arriving, if it is large enough to
    /// be worth it. Nothing else is received until [`Session::return_body`].
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

    /// Takes a loan back: its buffer has grown by the bytes that arrived, with `gaps` between them.
    /// Returns bytes that are to be parsed before any that arrived after them.
    pub fn return_body(&mut self, mut loan: BodyLoan, gaps: &[u8]) -> Vec<u8> {
        self.keepalive.received |= loan.arrived() > 0;
        let Some(frame) = self.body_frame else {
            return loan.take_behind(0, gaps); // the session has ended in the meantime
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
