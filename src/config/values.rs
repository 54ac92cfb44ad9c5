//! Values as people write them: sizes, numbers within limits, addresses, lists of CPUs. A refusal
//! says what to give instead.

use std::fmt::Display;
use std::net::SocketAddr;
use std::str::FromStr;

use super::auth::Mechanism;
use super::{Congestion, Durability};
use crate::base::limits;

/// The names of one flag.
#[derive(Clone, PartialEq, Debug)]
pub struct Names(pub Vec<String>);

/// The mechanisms of one `--auth-mechanisms`.
#[derive(Clone, PartialEq, Debug)]
pub struct Mechanisms(pub Vec<Mechanism>);

/// The CPUs of one `--cpus`.
#[derive(Clone, PartialEq, Debug)]
pub struct CpuList(pub Vec<usize>);

/// The address of a listener that may be missing.
#[derive(Clone, PartialEq, Debug)]
pub struct Listener(pub Option<SocketAddr>);

pub fn listener(text: &str) -> Result<Listener, String> {
    let listen = (text != "none").then(|| text.parse()).transpose();
    listen.map(Listener).map_err(|_| "give an IP address and a port, such as 127.0.0.1:15692 or [::1]:15692, or none".to_string())
}

/// Reads the path of a URL.
pub fn path(text: &str) -> Result<String, String> {
    let is_path = text.starts_with('/') && text.len() > 1 && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#%".contains(&byte));
    is_path.then(|| text.to_owned()).ok_or_else(|| "give a path that begins with a slash, such as /metrics".to_string())
}

pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "give an IP address and a port, such as 127.0.0.1:5672 or [::1]:5672".to_string())
}

/// Reads a prefix of paths: `/a/b`, without a slash at the end.
pub fn path_prefix(text: &str) -> Result<String, String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/-_.".contains(letter);
    let prefix = text.trim_end_matches('/');
    if (prefix.is_empty() || prefix.starts_with('/')) && prefix.chars().all(is_plain) && !prefix.contains("//") {
        return Ok(prefix.to_owned());
    }
    Err("give a path of letters, digits, '-', '_' and '.', such as /mq".to_string())
}

pub fn durability(text: &str) -> Result<Durability, String> {
    match text {
        "sync" => Ok(Durability::Sync),
        "os" => Ok(Durability::Os),
        _ => Err("give sync or os".to_string()),
    }
}

pub fn congestion(text: &str) -> Result<Congestion, String> {
    match text {
        "system" => Ok(Congestion::System),
        "" => Err("give the name of a congestion control, such as cubic or bbr, or system".to_string()),
        name => Ok(Congestion::Named(name.to_string())),
    }
}

pub fn level(text: &str) -> Result<log::LevelFilter, String> {
    text.parse().map_err(|_| "give off, error, warn, info, debug or trace".to_string())
}

pub fn number<T: FromStr + TryFrom<u64>, const MIN: u64, const MAX: u64>(text: &str) -> Result<T, String> {
    let number = text.parse::<u64>().ok().filter(|number| (MIN..=MAX).contains(number));
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| format!("give a number from {MIN} to {MAX}"))
}

pub fn power_of_two<T: FromStr + TryFrom<u64>, const MIN: u64, const MAX: u64>(text: &str) -> Result<T, String> {
    let number = text.parse::<u64>().ok().filter(|number| (MIN..=MAX).contains(number) && number.is_power_of_two());
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| format!("give a power of two from {MIN} to {MAX}"))
}

pub fn size<T: TryFrom<u64>, const MIN: u64, const MAX: u64>(text: &str) -> Result<T, String> {
    let bytes = bytes(text).filter(|bytes| (MIN..=MAX).contains(bytes));
    let wrong = || format!("give a size from {} to {}, such as 65536 or 64KiB", Size(MIN), Size(MAX));
    bytes.and_then(|bytes| T::try_from(bytes).ok()).ok_or_else(wrong)
}

pub fn frame_max(text: &str) -> Result<u32, String> {
    let (min, max) = (limits::FRAME_SIZE_MIN as u64, limits::FRAME_SIZE_MAX as u64);
    let bytes = bytes(text).filter(|bytes| *bytes == 0 || (min..=max).contains(bytes));
    let wrong = || format!("give 0 (no limit) or a size from {} to {}, such as 128KiB", Size(min), Size(max));
    bytes.and_then(|bytes| u32::try_from(bytes).ok()).ok_or_else(wrong)
}

/// Reads a size: `"64KiB"` → 65536.
pub fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Reads names: `"a, b"` → a and b; an empty name is left out, and `none` is an empty list.
pub fn names(text: &str) -> Result<Names, String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty() && text != "none");
    Ok(Names(names.map(str::to_owned).collect()))
}

/// Reads at least one mechanism, because otherwise nobody could log in.
pub fn mechanisms(text: &str) -> Result<Mechanisms, String> {
    let known: Option<Vec<Mechanism>> = text.split(',').map(|name| Mechanism::named(name.trim())).collect();
    known.map(Mechanisms).ok_or_else(|| "give some of ANONYMOUS, PLAIN and AMQPLAIN, separated by commas".to_string())
}

/// Reads CPUs: `"0,2-3"` → 0, 2, 3; each CPU once.
pub fn cpu_list(text: &str) -> Result<CpuList, String> {
    let wrong = || "give CPU numbers and ranges, each CPU once, such as 0,2-3".to_string();
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = first.parse().ok().zip(last.parse().ok()).ok_or_else(wrong)?;
        let range: std::ops::RangeInclusive<usize> = first..=last;
        if range.is_empty() || last >= CPUS_MAX || range.clone().any(|cpu| cpus.contains(&cpu)) {
            return Err(wrong());
        }
        cpus.extend(range);
    }
    Ok(CpuList(cpus))
}

/// A size as a person writes it.
struct Size(u64);

impl Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => write!(f, "{}MiB", bytes >> 20),
            bytes if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => write!(f, "{}KiB", bytes >> 10),
            bytes => write!(f, "{bytes}"),
        }
    }
}

/// The size of the kernel's CPU sets.
const CPUS_MAX: usize = 1024;

/// A node's name: `NAME` or `NAME@HOST`.
pub fn node_name(text: &str) -> Result<String, String> {
    let is_name = |part: &str| !part.is_empty() && part.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
    let (name, host) = text.split_once('@').map_or((text, None), |(name, host)| (name, Some(host)));
    match is_name(name) && host.is_none_or(is_name) {
        true => Ok(text.to_owned()),
        false => Err("a node is named NAME or NAME@HOST, of letters, digits, '-', '_' and '.'".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_suffixes() {
        let cases = [
            ("0", 0),
            ("17", 17),
            ("4k", 4096),
            ("4KiB", 4096),
            ("2m", 2 << 20),
            ("2 MiB", 2 << 20),
            ("1G", 1 << 30),
            ("50MB", 50_000_000),
        ];
        assert_eq!(cases.map(|(text, _)| bytes(text)), cases.map(|(_, bytes)| Some(bytes)));
        assert_eq!(["", "k", "4tb", "-1", "1.5k", "99999999999g"].map(bytes), [None; 6]);
    }

    #[test]
    fn names_stand_between_commas() {
        let list = |text| names(text).expect("any text is a list").0;
        assert_eq!(list("a, b c,,d"), ["a", "b c", "d"]);
        assert!(list("").is_empty() && list("none").is_empty());
    }

    #[test]
    fn cpu_lists_name_each_cpu_once() {
        let list = |text| cpu_list(text).map(|CpuList(cpus)| cpus).ok();
        assert_eq!(list("0,2-3"), Some(vec![0, 2, 3]));
        assert_eq!(list("3,1"), Some(vec![3, 1]));
        assert_eq!(["", "a", "1-", "3-2", "0,0", "0-2,1", "0-99999999"].map(list), [const { None }; 7]);
    }
}
