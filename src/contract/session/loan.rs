//! A loan: room for a large body, lent to the reader of the socket. The kernel writes the body
//! where it will stay, and nothing is copied.
//!
//! A protocol may send a body in pieces with a few bytes in between, the *gaps*. The session
//! guesses their places and checks them afterwards:
//!
//! ```text
//! socket   [rest of this piece][gap][piece        ][gap][last piece][what follows]
//! loan      buffer: in place         buffer              buffer      tail
//! ```

/// The loan. Its holder appends to the buffer as many bytes as the pieces have together.
#[derive(Debug, Default)]
pub struct BodyLoan {
    /// The body so far, with capacity for the pieces.
    pub buffer: Vec<u8>,
    /// Bytes of the buffer that were there before.
    filled: usize,
    /// Bytes of the first piece, of each later one except the last, and of all together.
    first: usize,
    size: usize,
    total: usize,
    /// Bytes between two pieces.
    gap: usize,
}

impl BodyLoan {
    /// Makes a loan of `buffer` for pieces of `total` bytes together: one of `first` bytes, then of
    /// `size` bytes each, the last one of the rest, with `gap` bytes between two of them.
    pub fn new(buffer: Vec<u8>, first: usize, size: usize, total: usize, gap: usize) -> BodyLoan {
        BodyLoan { filled: buffer.len(), buffer, first, size, total, gap }
    }

    /// Sizes of the pieces; a gap is between two of them.
    pub fn pieces(&self) -> impl Iterator<Item = usize> + use<> {
        let (size, mut left, mut next) = (self.size, self.total, self.first);
        std::iter::from_fn(move || {
            let piece = std::mem::replace(&mut next, size).min(left);
            left -= piece;
            (piece > 0).then_some(piece)
        })
    }

    /// Bytes between two pieces.
    pub fn gap(&self) -> usize {
        self.gap
    }

    /// Bytes that the buffer had when it was lent.
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// Bytes that the buffer has got since.
    pub fn arrived(&self) -> usize {
        self.buffer.len() - self.filled
    }

    /// Takes the bytes that arrived behind the first `kept` pieces, in the order in which they
    /// came; `gaps` are the bytes between the pieces from there on.
    pub fn take_behind(&mut self, kept: usize, gaps: &[u8]) -> Vec<u8> {
        let end = self.filled + self.pieces().take(kept).sum::<usize>();
        let arrived = self.buffer.split_off(end.min(self.buffer.len()));
        let mut stream = Vec::with_capacity(arrived.len() + gaps.len());
        let (mut bytes, mut gaps) = (&arrived[..], gaps.chunks(self.gap.max(1)));
        for (at, piece) in self.pieces().enumerate().skip(kept) {
            if at > 0 {
                stream.extend_from_slice(gaps.next().unwrap_or_default());
            }
            let (came, behind) = bytes.split_at(piece.min(bytes.len()));
            stream.extend_from_slice(came);
            bytes = behind;
        }
        stream
    }
}
