//! The values of policies' keys.

use crate::message::Value;

/// The values that a key of policies may have.
#[derive(Clone, Copy, Debug)]
pub enum PolicyRule {
    /// An integer within these bounds.
    Number(i64, i64),
    /// A text.
    Text,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A text with a number of years, months, …
    Age,
    /// Any value.
    Anything,
}

impl PolicyRule {
    /// Whether the key may have this value.
    pub fn allows(self, value: Value<'_>) -> bool {
        match self {
            PolicyRule::Number(least, most) => value.as_int().is_some_and(|number| (least..=most).contains(&number)),
            PolicyRule::Text => value.as_text().is_some(),
            PolicyRule::OneOf(texts) => value.as_text().is_some_and(|text| texts.iter().any(|known| known.as_bytes() == text)),
            PolicyRule::Age => value.as_text().is_some_and(is_age),
            PolicyRule::Anything => true,
        }
    }
}

fn is_age(text: &[u8]) -> bool {
    let Some((unit, number)) = text.split_last() else { return false };
    let is_number = number.iter().all(u8::is_ascii_digit) && number.iter().any(|digit| *digit != b'0');
    b"YMDhms".contains(unit) && is_number
}
