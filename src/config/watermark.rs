//! How much memory the broker may use before it stops reading from publishers.

use super::args;

/// A share of the memory that the process may use, or so many bytes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Watermark {
    /// From 0 to 1.
    Fraction(f64),
    /// Bytes.
    Bytes(u64),
}

impl Watermark {
    /// In bytes, for a process that may use so many.
    pub fn of(self, available: u64) -> u64 {
        match self {
            Watermark::Fraction(fraction) => (available as f64 * fraction) as u64,
            Watermark::Bytes(bytes) => bytes,
        }
    }

    /// `"0.6"` is a fraction, and so are 0 and 1; everything else is a size.
    ///
    /// # Errors
    /// What to give instead.
    pub fn parse(text: &str) -> Result<Watermark, String> {
        let fraction = text.parse().ok().filter(|fraction| (0.0..=1.0).contains(fraction)).map(Watermark::Fraction);
        fraction.or_else(|| args::bytes(text).map(Watermark::Bytes)).ok_or_else(|| WRONG.into())
    }
}

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
    fn a_share_is_taken_of_what_there_is() {
        assert_eq!(Watermark::Fraction(0.25).of(1000), 250);
        assert_eq!(Watermark::Fraction(0.0).of(1000), 0);
        assert_eq!(Watermark::Bytes(7).of(1000), 7);
    }
}
