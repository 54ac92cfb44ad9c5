//! Settings that change while the broker runs.

use serde_json::{Value, json};

use crate::actions::{Action, done};
use crate::call::Call;
use crate::failure::{DATA, Failure, Result};
use crate::format::Output;

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::new("activate_free_disk_space_monitoring", |_| Ok(Output::Done)),
    Action::new("deactivate_free_disk_space_monitoring", |_| Ok(Output::Done)),
    Action::new("environment", environment),
    Action::new("force_gc", |_| Ok(Output::Done)),
    Action::new("reset_stats_db", |call| call.delete(&["api", "reset"]).and_then(done)),
    Action::new("rotate_logs", |_| Err(Failure::refused("This command does not rotate logs anymore [deprecated]"))),
    Action::new("set_disk_free_limit", set_disk_free_limit).checked(|call| disk_free_limit(call).map(|_| ())),
    Action::new("set_log_level", set_log_level).checked(check_log_level),
    Action::new("set_vm_memory_high_watermark", set_memory_high_watermark).checked(|call| memory_high_watermark(call).map(|_| ())),
];

/// Reads a number of bytes with a unit.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let size = UNITS.iter().find(|(known, _)| known.contains(&unit)).map(|(_, size)| *size)?;
    number.parse::<u64>().ok()?.checked_mul(size)
}

const UNITS: &[(&[&str], u64)] = &[
    (&["", "B", "b"], 1),
    (&["k", "kiB", "K", "Ki", "KiB"], 1 << 10),
    (&["M", "MiB", "Mi"], 1 << 20),
    (&["G", "GiB", "Gi"], 1 << 30),
    (&["T", "TiB", "Ti"], 1 << 40),
    (&["kB", "KB"], 1_000),
    (&["MB"], 1_000_000),
    (&["GB"], 1_000_000_000),
    (&["TB"], 1_000_000_000_000),
];

fn bad() -> Failure {
    Failure::Arguments { code: DATA, text: "Bad argument.".into() }
}

fn bad_limit(limit: &str) -> Failure {
    match (limit.starts_with(|letter: char| letter.is_ascii_digit()), limit.contains('.')) {
        (true, true) => Failure::bad_argument("The threshold should be an integer."),
        (true, false) => Failure::bad_argument("Invalid units."),
        (false, _) => bad(),
    }
}

fn memory_high_watermark(call: &Call) -> Result<Value> {
    match &call.given.arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["absolute"] => Err(Failure::not_enough()),
        ["absolute", limit] => bytes(limit).map(|bytes| json!({ "absolute": bytes })).ok_or_else(|| bad_limit(limit)),
        [fraction] => match fraction.parse::<f64>() {
            Ok(fraction) if (0.0..=1.0).contains(&fraction) => Ok(json!({ "relative": fraction })),
            Ok(_) => Err(Failure::bad_argument("The threshold should be a fraction between 0.0 and 1.0")),
            Err(_) => Err(bad()),
        },
        _ => Err(Failure::too_many()),
    }
}

fn set_memory_high_watermark(call: &Call) -> Result<Output> {
    call.put(&["ctl", "settings", "memory_high_watermark"], &memory_high_watermark(call)?).and_then(done)
}

fn disk_free_limit(call: &Call) -> Result<Value> {
    match &call.given.arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["mem_relative"] => Err(Failure::not_enough()),
        ["mem_relative", fraction] => match fraction.parse::<f64>() {
            Ok(fraction) if fraction >= 0.0 => Ok(json!({ "relative": fraction })),
            _ => Err(bad()),
        },
        [limit] => bytes(limit).map(|bytes| json!({ "absolute": bytes })).ok_or_else(bad),
        _ => Err(Failure::too_many()),
    }
}

fn set_disk_free_limit(call: &Call) -> Result<Output> {
    call.put(&["ctl", "settings", "disk_free_limit"], &disk_free_limit(call)?).and_then(done)
}

fn check_log_level(call: &Call) -> Result<()> {
    let level = call.argument(0);
    match LEVELS.contains(&level) {
        true => Ok(()),
        false => Err(Failure::refused(format!("level {level} is not supported. Try one of {}", LEVELS.join(", ")))),
    }
}

fn set_log_level(call: &Call) -> Result<Output> {
    call.put(&["ctl", "settings", "log_level"], &json!({ "level": call.argument(0) })).and_then(done)
}

const LEVELS: &[&str] = &["debug", "info", "warning", "error", "critical", "none"];

fn environment(call: &Call) -> Result<Output> {
    let configuration = call.get(&["api", "config", "effective"])?;
    let text = configuration.as_str().map_or_else(|| format!("{configuration:#}"), str::to_owned);
    Ok(Output::Report { text, json: configuration })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_binary_or_decimal() {
        for (text, expected) in [
            ("100", Some(100)),
            ("1GB", Some(1_000_000_000)),
            ("2G", Some(2 << 30)),
            ("3MiB", Some(3 << 20)),
            ("50kB", Some(50_000)),
            ("nonsense", None),
            ("1XB", None),
            ("-1", None),
            ("99999999999TB", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
