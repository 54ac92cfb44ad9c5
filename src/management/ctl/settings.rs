//! Settings that are in force at once and until the process ends: watermarks, forced alarms, the level
//! of the log.

use ::log::LevelFilter;
use serde_json::{Value, json};

use crate::base::alarms::Alarm;
use crate::config::watermark::Watermark;
use crate::management::api::Call;
use crate::management::controls::Limits;
use crate::management::http::{Answer, Body, Outcome, Refusal};

/// `GET /ctl/settings`
pub async fn get(call: &Call) -> Outcome {
    let host = &call.site.host;
    let limits = host.limits();
    Ok(Answer::one(json!({
        "memory_high_watermark": watermark_object(limits.memory),
        "disk_free_limit": watermark_object(limits.disk_free),
        "log_level": level_name(host.log_level()),
    })))
}

/// `PUT /ctl/settings/memory_high_watermark`
pub async fn put_memory(call: &Call) -> Outcome {
    let memory = watermark(&call.object()?, 1.0)?;
    call.site.host.set_limits(Limits { memory, ..call.site.host.limits() });
    Ok(Answer::done())
}

/// `PUT /ctl/settings/disk_free_limit`
pub async fn put_disk_free(call: &Call) -> Outcome {
    let disk_free = watermark(&call.object()?, Watermark::MULTIPLE_MAX)?;
    call.site.host.set_limits(Limits { disk_free, ..call.site.host.limits() });
    Ok(Answer::done())
}

/// `PUT /ctl/settings/log_level`
pub async fn put_log_level(call: &Call) -> Outcome {
    let body = call.object()?;
    let name = body.text("level")?.unwrap_or_default();
    let level = LEVELS.iter().find(|(known, _)| *known == name).map(|(_, level)| *level);
    let names = || LEVELS.map(|(name, _)| name).join(", ");
    call.site.host.set_log_level(level.ok_or_else(|| Refusal::bad_request(format!("'level' is one of {}", names())))?);
    Ok(Answer::done())
}

/// `PUT /ctl/alarms/A`
pub async fn raise_alarm(call: &Call) -> Outcome {
    force_alarm(call, true)
}

/// `DELETE /ctl/alarms/A`
pub async fn clear_alarm(call: &Call) -> Outcome {
    force_alarm(call, false)
}

fn force_alarm(call: &Call, on: bool) -> Outcome {
    let alarm = match call.variable("alarm") {
        "memory" => Alarm::Memory,
        "disk" => Alarm::DiskFree,
        _ => return Err(Refusal::absent()),
    };
    call.site.host.force_alarm(alarm, on);
    Ok(Answer::done())
}

fn watermark_object(watermark: Watermark) -> Value {
    match watermark {
        Watermark::Fraction(fraction) => json!({ "relative": fraction }),
        Watermark::Bytes(bytes) => json!({ "absolute": bytes }),
    }
}

/// Reads a watermark: a share of the memory, or bytes.
fn watermark(body: &Body, relative_max: f64) -> Result<Watermark, Refusal> {
    let relative = body.get("relative").and_then(Value::as_f64).filter(|share| (0.0..=relative_max).contains(share));
    let absolute = body.get("absolute").and_then(Value::as_u64);
    let refusal = || Refusal::bad_request(format!("give 'relative', from 0 to {relative_max}, or 'absolute', a number of bytes"));
    relative.map(Watermark::Fraction).or(absolute.map(Watermark::Bytes)).ok_or_else(refusal)
}

/// RabbitMQ's name of a level. `trace` is more than RabbitMQ has.
fn level_name(level: LevelFilter) -> &'static str {
    LEVELS.iter().find(|(_, known)| *known == level).map_or("debug", |(name, _)| name)
}

/// RabbitMQ's levels. No line of RingMQ is critical, so the most severe ones are errors.
const LEVELS: [(&str, LevelFilter); 6] = [
    ("debug", LevelFilter::Debug),
    ("info", LevelFilter::Info),
    ("warning", LevelFilter::Warn),
    ("error", LevelFilter::Error),
    ("critical", LevelFilter::Error),
    ("none", LevelFilter::Off),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, relative_max: f64) -> Result<Watermark, Refusal> {
        watermark(&Body::parse(text.as_bytes()).expect("an object"), relative_max)
    }

    #[test]
    fn a_watermark_is_a_share_or_bytes() {
        assert_eq!(read(r#"{"relative": 0.4}"#, 1.0), Ok(Watermark::Fraction(0.4)));
        assert_eq!(read(r#"{"relative": 1}"#, 1.0), Ok(Watermark::Fraction(1.0)));
        assert_eq!(read(r#"{"absolute": 1073741824}"#, 1.0), Ok(Watermark::Bytes(1 << 30)));
        for wrong in ["", "{}", r#"{"relative": 1.5}"#, r#"{"relative": -1}"#, r#"{"absolute": -1}"#, r#"{"absolute": "2GB"}"#] {
            let refusal = Refusal::bad_request("give 'relative', from 0 to 1, or 'absolute', a number of bytes");
            assert_eq!(read(wrong, 1.0), Err(refusal), "{wrong}");
        }
        assert_eq!(read(r#"{"relative": 1.5}"#, 1000.0), Ok(Watermark::Fraction(1.5)));
        assert_eq!(watermark_object(Watermark::Bytes(7)), json!({ "absolute": 7 }));
    }

    #[test]
    fn every_level_has_a_name() {
        let names = LevelFilter::iter().map(level_name).collect::<Vec<_>>();
        assert_eq!(names, ["none", "error", "warning", "info", "debug", "debug"]);
    }
}
