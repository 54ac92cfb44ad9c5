//! The newest lines of a log: so many that they fit into a number of lines and of bytes. Lines have
//! places, counted from the first one that was ever added, by which a reader goes on where it was.

use std::collections::VecDeque;

use super::limits::{TAIL_BYTES_MAX, TAIL_LINES_MAX};

/// The newest lines of a log.
#[derive(Debug, Default)]
pub struct Tail {
    lines: VecDeque<Box<str>>,
    bytes: usize,
    /// The place of the next line.
    end: u64,
}

impl Tail {
    /// Makes it without lines.
    pub const fn new() -> Tail {
        Tail { lines: VecDeque::new(), bytes: 0, end: 0 }
    }

    /// Adds a line, and drops the oldest ones beyond the limits.
    pub fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line.into());
        self.end += 1;
        while self.lines.len() > TAIL_LINES_MAX || self.bytes > TAIL_BYTES_MAX {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len());
        }
    }

    /// The lines from a place on, without those that are dropped, and the place behind them.
    pub fn from(&self, place: u64) -> (Vec<Box<str>>, u64) {
        let first = self.end - self.lines.len() as u64;
        let skipped = usize::try_from(place.saturating_sub(first)).unwrap_or(usize::MAX);
        (self.lines.iter().skip(skipped).cloned().collect(), self.end)
    }

    /// The newest lines, at most so many, and the place behind them.
    pub fn newest(&self, lines_max: u64) -> (Vec<Box<str>>, u64) {
        self.from(self.end.saturating_sub(lines_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts((lines, end): (Vec<Box<str>>, u64)) -> (String, u64) {
        (lines.join(" "), end)
    }

    #[test]
    fn a_reader_goes_on_where_it_was() {
        let mut tail = Tail::new();
        assert_eq!(texts(tail.newest(5)), (String::new(), 0));
        ["a", "b", "c"].into_iter().for_each(|line| tail.push(line.into()));
        assert_eq!(texts(tail.newest(2)), ("b c".into(), 3));
        assert_eq!(texts(tail.newest(0)), (String::new(), 3));
        tail.push("d".into());
        assert_eq!(texts(tail.from(3)), ("d".into(), 4));
        assert_eq!(texts(tail.from(9)), (String::new(), 4));
    }

    #[test]
    fn the_oldest_lines_are_dropped() {
        let mut tail = Tail::new();
        (0..=TAIL_LINES_MAX).for_each(|n| tail.push(n.to_string()));
        let (lines, end) = tail.from(0);
        assert_eq!((&*lines[0], lines.len() as u64, end), ("1", end - 1, TAIL_LINES_MAX as u64 + 1));
        tail.push("x".repeat(TAIL_BYTES_MAX));
        assert_eq!(tail.from(0).0.len(), 1);
        tail.push("y".into());
        assert_eq!(texts(tail.from(0)).0, "y");
    }
}
