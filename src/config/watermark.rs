//! Watermarks: how much memory the broker may use, or disk space it must leave, before it stops
//! reading from publishers.

use super::values;

/// A share of the memory that the process may use, or a size.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Watermark {
    /// A share; for memory from 0 to 1.
    Fraction(f64),
    /// A size in bytes.
    Bytes(u64),
}

impl Watermark {
    /// The largest multiple of the memory: more than any machine has of disk space.
    pub const MULTIPLE_MAX: f64 = 1000.0;

    /// The watermark in bytes, for a process that may use `available` bytes.
    pub fn of(self, available: u64) -> u64 {
        match self {
            Watermark::Fraction(fraction) => (available as f64 * fraction) as u64,
            Watermark::Bytes(bytes) => bytes,
        }
    }

    /// Reads a share or a size: `"0.6"` is a share, and so are 0 and 1; any other number is a size.
    ///
    /// # Errors
    /// What to give instead.
    pub fn parse(text: &str) -> Result<Watermark, String> {
        let fraction = text.parse().ok().filter(|fraction| (0.0..=1.0).contains(fraction)).map(Watermark::Fraction);
        fraction.or_else(|| values::bytes(text).map(Watermark::Bytes)).ok_or_else(|| WRONG.into())
    }

    /// Reads a multiple or a size: `"1.5"` is a multiple of the memory; a number without a point is
    /// a size.
    ///
    /// # Errors
    /// What to give instead.
    pub fn parse_multiple(text: &str) -> Result<Watermark, String> {
        let multiple = || text.parse().ok().filter(|multiple| (0.0..=Watermark::MULTIPLE_MAX).contains(multiple)).map(Watermark::Fraction);
        let watermark = if text.contains('.') { multiple() } else { values::bytes(text).map(Watermark::Bytes) };
        watermark.ok_or_else(|| WRONG_MULTIPLE.into())
    }
}

const WRONG_MULTIPLE: &str = "give 0 (no limit), a size, such as 50MB or 2GiB, or a multiple of the memory, such as 1.5";
const WRONG: &str = "give a share of the memory from 0 to 1, such as 0.6, or a size, such as 2GiB";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_up_to_one_is_a_share() {
        assert_eq!(Watermark::parse("0.6"), Ok(Watermark::Fraction(0.6)));
        assert_eq!(Watermark::parse("0"), Ok(Watermark::Fraction(0.0)));
        assert_eq!(Watermark::parse("1"), Ok(Watermark::Fraction(1.0)));
        assert_eq!(Watermark::parse("2"), Ok(Watermark::Bytes(2)));
        assert_eq!(Watermark::parse("2GiB"), Ok(Watermark::Bytes(2 << 30)));
        for wrong in ["", "1.5", "-0.1", "60%", "NaN", "inf", "much"] {
            assert!(Watermark::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_number_with_a_point_is_a_multiple() {
        assert_eq!(Watermark::parse_multiple("0"), Ok(Watermark::Bytes(0)));
        assert_eq!(Watermark::parse_multiple("2"), Ok(Watermark::Bytes(2)));
        assert_eq!(Watermark::parse_multiple("2.0"), Ok(Watermark::Fraction(2.0)));
        assert_eq!(Watermark::parse_multiple("50MB"), Ok(Watermark::Bytes(50_000_000)));
        for wrong in ["", "-1.0", "1e9.", "2.0GB", "1000.5", "much"] {
            assert!(Watermark::parse_multiple(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_share_is_taken_of_what_there_is() {
        assert_eq!(Watermark::Fraction(0.25).of(1000), 250);
        assert_eq!(Watermark::Fraction(0.0).of(1000), 0);
        assert_eq!(Watermark::Bytes(7).of(1000), 7);
    }
}
