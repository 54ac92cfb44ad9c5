//! Values of samples and their labels, as the exposition formats write them.

use std::fmt::{self, Display, Formatter, Write};

/// The value of a sample.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value {
    /// A whole number.
    Whole(u64),
    /// Any other.
    Real(f64),
    /// Nobody knows: there is no sample.
    Unknown,
}

impl From<u64> for Value {
    fn from(whole: u64) -> Value {
        Value::Whole(whole)
    }
}

impl From<usize> for Value {
    fn from(whole: usize) -> Value {
        Value::Whole(whole as u64)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Whole(truth.into())
    }
}

impl From<f64> for Value {
    fn from(real: f64) -> Value {
        Value::Real(real)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Unknown, Into::into)
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Value::Whole(whole) => write!(f, "{whole}"),
            // With a fraction in any case.
            Value::Real(real) => write!(f, "{real:?}"),
            Value::Unknown => Ok(()),
        }
    }
}

/// Writes labels: `vhost="/",queue="a"`.
pub fn labels(labels: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (at, (name, value)) in labels.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        write!(text, "{comma}{name}=\"{}\"", Escaped(value)).expect("a string takes everything");
    }
    text
}

/// Writes a sample, unless its value is unknown. The name is in two parts.
#[inline]
pub fn sample(out: &mut String, name: (&str, &str), labels: &str, value: Value) {
    if value == Value::Unknown {
        return;
    }
    out.push_str(name.0);
    out.push_str(name.1);
    if !labels.is_empty() {
        out.push('{');
        out.push_str(labels);
        out.push('}');
    }
    writeln!(out, " {value}").expect("a string takes everything");
}

/// A label's value between quotation marks.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(['\\', '"', '\n']) {
            let (plain, special) = rest.split_at(at);
            f.write_str(plain)?;
            f.write_str(match special.as_bytes()[0] {
                b'\n' => "\\n",
                b'"' => "\\\"",
                _ => "\\\\",
            })?;
            rest = &special[1..];
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        assert_eq!(labels(&[]), "");
        assert_eq!(labels(&[("vhost", "/"), ("queue", "a\\b\"c\nd\u{e9}{}")]), "vhost=\"/\",queue=\"a\\\\b\\\"c\\nd\u{e9}{}\"");
    }

    #[test]
    fn whole_numbers_have_no_fraction_and_others_have_it_in_full() {
        let values = [7u64.into(), 0.0.into(), (0.1 + 0.2).into(), f64::NAN.into(), true.into()];
        assert_eq!(values.map(|value: Value| value.to_string()), ["7", "0.0", "0.30000000000000004", "NaN", "1"]);
    }

    #[test]
    fn what_is_unknown_is_no_sample() {
        let mut out = String::new();
        sample(&mut out, ("a_", "b"), "", 1u64.into());
        sample(&mut out, ("a_", "c"), "x=\"y\"", 0.5.into());
        sample(&mut out, ("a_", "d"), "", None::<u64>.into());
        assert_eq!(out, "a_b 1\na_c{x=\"y\"} 0.5\n");
    }
}
