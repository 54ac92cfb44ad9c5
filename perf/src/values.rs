//! Values of options: each is read from text once and is valid from then on.

use std::str::FromStr;

use crate::amqp::encode::{Field, Table};
use crate::load::stamp::STAMP_LEN;

/// Body sizes in bytes, which are used in turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Sizes {
    /// A list; one size is a list of one.
    List(Vec<usize>),
    /// Evenly spread between two sizes, inclusive.
    Range(usize, usize),
}

/// How much may be published and not yet received.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Window {
    /// Bytes on the wire of all producers together, every copy counted.
    Bytes(u64),
    /// Messages of each producer.
    Messages(u64),
    /// No limit.
    Unbounded,
}

/// CPU numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Cpus(pub Vec<usize>);

/// A field table; `%d` in its texts stands for a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Headers(pub Table);

impl Headers {
    /// Returns the table for one number. A text that is a number after that is sent as one.
    pub fn numbered(&self, number: usize) -> Table {
        let fill = |field: &Field| match field {
            Field::Text(text) if text.contains("%d") => scalar(&numbered(text, number)),
            other => other.clone(),
        };
        self.0.iter().map(|(key, field)| (numbered(key, number), fill(field))).collect()
    }
}

/// Replaces `%d` by a number.
pub fn numbered(pattern: &str, number: usize) -> String {
    pattern.replace("%d", &number.to_string())
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Sizes, String> {
        let sizes = match text.split_once('-') {
            Some((from, to)) => Sizes::Range(bytes(from)?, bytes(to)?),
            None => Sizes::List(text.split(',').map(bytes).collect::<Result<_, _>>()?),
        };
        let smallest = match &sizes {
            Sizes::List(list) => list.iter().copied().min().unwrap_or(0),
            Sizes::Range(from, to) if from <= to => *from,
            Sizes::Range(..) => return Err("a range goes from the smaller to the larger size".to_owned()),
        };
        if smallest < STAMP_LEN {
            return Err(format!("a body has at least {STAMP_LEN} bytes: time, producer and number of the message"));
        }
        Ok(sizes)
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Window, String> {
        match text.strip_suffix("msg") {
            _ if text == "none" => Ok(Window::Unbounded),
            Some(count) => count.trim().parse().map(Window::Messages).map_err(|_| format!("not a number: {count}")),
            None => Ok(Window::Bytes(bytes(text)? as u64)),
        }
    }
}

impl FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Cpus, String> {
        let number = |t: &str| t.parse::<usize>().ok().filter(|n| *n < CPU_MAX).ok_or_else(|| format!("not a CPU: {t}"));
        let mut cpus = Vec::new();
        for part in text.split(',') {
            match part.split_once('-') {
                Some((from, to)) => cpus.extend(number(from)?..=number(to)?),
                None => cpus.push(number(part)?),
            }
        }
        Ok(Cpus(cpus))
    }
}

impl FromStr for Headers {
    type Err = String;

    fn from_str(text: &str) -> Result<Headers, String> {
        let pair = |pair: &str| match pair.split_once('=') {
            Some((key, value)) if key.len() <= 255 => Ok((key.to_owned(), scalar(value))),
            _ => Err(format!("not KEY=VALUE: {pair}")),
        };
        text.split(',').filter(|p| !p.is_empty()).map(pair).collect::<Result<_, _>>().map(Headers)
    }
}

/// Reads an integer, a bool or a text.
fn scalar(text: &str) -> Field {
    match text {
        "true" => Field::Bool(true),
        "false" => Field::Bool(false),
        _ => text.parse().map_or_else(|_| Field::Text(text.to_owned()), Field::Int),
    }
}

/// Reads a number of bytes: 100, 16KiB, 1MiB, 1GiB (k, M, G mean the same).
fn bytes(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return Err(format!("not a size: {text}")),
    };
    text[..digits].parse::<usize>().ok().and_then(|n| n.checked_mul(unit)).ok_or_else(|| format!("not a size: {text}"))
}

/// Number of CPUs in a cpu_set_t.
const CPU_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!("16,1KiB".parse(), Ok(Sizes::List(vec![16, 1024])));
        assert_eq!("100-2k".parse(), Ok(Sizes::Range(100, 2048)));
        assert!("15".parse::<Sizes>().is_err());
        assert!("20-16".parse::<Sizes>().is_err());
    }

    #[test]
    fn windows_and_cpus() {
        assert_eq!("1MiB".parse(), Ok(Window::Bytes(1 << 20)));
        assert_eq!("1msg".parse(), Ok(Window::Messages(1)));
        assert_eq!("none".parse(), Ok(Window::Unbounded));
        assert_eq!("0,2-4".parse(), Ok(Cpus(vec![0, 2, 3, 4])));
    }

    #[test]
    fn headers_take_the_number() {
        let headers: Headers = "x-match=all,h=%d,t=k%d".parse().unwrap();
        let own = |k: &str, f| (k.to_owned(), f);
        let text = |t: &str| Field::Text(t.to_owned());
        assert_eq!(headers.numbered(7), vec![own("x-match", text("all")), own("h", Field::Int(7)), own("t", text("k7"))]);
    }
}
