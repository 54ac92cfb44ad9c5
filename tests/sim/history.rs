//! The history of a run: a hash of all lines, and the last lines.

use std::collections::VecDeque;
use std::fmt::Display;

/// The history of a run.
pub struct History {
    hash: u64,
    events: u64,
    last: VecDeque<String>,
    kept: usize,
}

impl History {
    /// Makes a history that keeps this many lines.
    pub fn new(kept: usize) -> History {
        History { hash: 0, events: 0, last: VecDeque::new(), kept }
    }

    /// Adds a line.
    pub fn note(&mut self, event: impl Display) {
        let line = format!("{} {event}", self.events);
        self.events += 1;
        self.hash =
            line.bytes().fold(self.hash ^ 0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
        self.last.push_back(line);
        if self.last.len() > self.kept {
            self.last.pop_front();
        }
    }

    /// Returns a number that tells this history from others.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Returns the last lines.
    pub fn tail(&self) -> String {
        self.last.iter().map(|line| format!("    {line}\n")).collect()
    }
}
