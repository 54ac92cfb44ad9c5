//! The last sample of a subject whose numbers do not change, in as few bytes as possible: that of a
//! queue which was never used has none.

/// A sample.
pub struct Still {
    at_ms: u64,
    round: u64,
    /// The values as little-endian numbers of a length each, without the zeros at the end.
    values: Box<[u8]>,
}

impl Still {
    /// Makes the sample.
    pub fn new(at_ms: u64, values: &[u64]) -> Still {
        Still { at_ms, round: 0, values: packed(values) }
    }

    /// Whether these are its values.
    pub fn is_of(&self, values: &[u64]) -> bool {
        *self.values == *packed(values)
    }

    /// Notes that the values were the same then.
    pub fn confirm(&mut self, at_ms: u64, round: u64) {
        (self.at_ms, self.round) = (at_ms, round);
    }

    /// The last round in which it was confirmed.
    pub fn round(&self) -> u64 {
        self.round
    }

    /// Its time and its values, of which there are this many.
    pub fn sample(&self, len: usize) -> (u64, Vec<u64>) {
        let mut values = vec![0_u64; len];
        let mut rest = &*self.values;
        for value in &mut values {
            let Some((&size, behind)) = rest.split_first() else { break };
            let (bytes, behind) = behind.split_at(usize::from(size).min(behind.len()));
            *value = bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
            rest = behind;
        }
        (self.at_ms, values)
    }
}

fn packed(values: &[u64]) -> Box<[u8]> {
    let used = values.iter().rposition(|&value| value != 0).map_or(0, |last| last + 1);
    let mut bytes = Vec::new();
    for value in &values[..used] {
        let size = 8 - value.leading_zeros() as usize / 8;
        bytes.push(size as u8);
        bytes.extend_from_slice(&value.to_le_bytes()[..size]);
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back() {
        for values in [&[0, 0, 0][..], &[1, 0, 256], &[0, u64::MAX, 0], &[255, 65_535, 1 << 56]] {
            let still = Still::new(7, values);
            assert!(still.is_of(values) && !still.is_of(&[9, 9, 9]));
            assert_eq!(still.sample(3), (7, values.to_vec()));
        }
        assert!(Still::new(7, &[0; 17]).values.is_empty());
    }
}
