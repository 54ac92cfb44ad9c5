//! The record of a run: a directory with a summary and the raw reports, and a line of history per
//! scenario.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::figures::{Spread, Verdict};
use super::machine::{self, Machine};
use super::scenario::{Bar, Target};
use super::{BenchArgs, Outcome};
use crate::connection::Result;
use crate::report::grouped;

/// Writes the record. Returns the run's directory and the summary.
pub fn write(args: &BenchArgs, machine: &Machine, outcomes: &[Outcome]) -> Result<(PathBuf, String)> {
    let date = machine::today();
    let directory = create(&args.results().join("runs"), &format!("{date}-{}", machine.slug()))?;
    let summary = outcomes.iter().map(section).collect::<Vec<_>>().join("\n");
    let file = |name: &str, text: String| fs::write(directory.join(name), text).map_err(|e| format!("{name}: {e}"));
    file("README.md", format!("{}\n{summary}", head(args, machine, &date)))?;
    file("raw.json", raw(outcomes)?)?;
    append(&args.results().join("history.jsonl"), &date, machine, outcomes)?;
    Ok((directory, summary))
}

/// Makes a new directory: a second run on one day gets a number.
fn create(parent: &Path, name: &str) -> Result<PathBuf> {
    fs::create_dir_all(parent).map_err(|e| format!("{}: {e}", parent.display()))?;
    let names = std::iter::once(name.to_owned()).chain((2..).map(|n| format!("{name}-{n}")));
    for path in names.map(|name| parent.join(name)) {
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(format!("{}: {e}", path.display())),
        }
    }
    unreachable!("the numbers do not end")
}

fn head(args: &BenchArgs, machine: &Machine, date: &str) -> String {
    let mut text = format!("# Run of {date}\n\n");
    let _ = writeln!(text, "- machine: {}, {} cores, {} GiB, Linux {}", machine.cpu, machine.cores, machine.memory_gib, machine.kernel);
    let _ = writeln!(text, "- commit: {}", machine.commit);
    let _ = writeln!(text, "- load average at the beginning: {}", machine.load);
    let kind = if args.quick { "short ones: for a first look, not to be quoted" } else { "interleaved" };
    let _ = writeln!(
        text,
        "- repetitions: {}, {kind}; broker on CPU 0, generator on CPU 1 unless a scenario says otherwise",
        args.repetitions()
    );
    let rabbitmq = args.rabbitmq_pid.filter(|_| args.rabbitmq.is_some()).map(machine::cpus_of);
    let _ = match rabbitmq.as_deref() {
        None => writeln!(text, "- RabbitMQ: not measured"),
        Some("0") => writeln!(text, "- RabbitMQ: on CPU 0"),
        Some(cpus) => writeln!(text, "- RabbitMQ: **not pinned as the others are**, on CPUs {cpus}"),
    };
    text += "\nFigures are medians with their range. Ratios are taken within a repetition. `raw.json` has every report.\n";
    text
}

fn section(outcome: &Outcome) -> String {
    let mut text = format!("## {}\n\n{}\n", outcome.scenario.name, outcome.scenario.about);
    for step in &outcome.scenario.steps {
        let _ = writeln!(text, "- {}: `ringmq-perf {}`", step.name, step.run);
    }
    text.push('\n');
    text += &row("figure", outcome, |target| target.name().to_owned());
    text += &row("---", outcome, |_| "---".to_owned());
    for value in outcome.scenario.values() {
        text += &row(value, outcome, |target| figure(outcome, value, target));
    }
    if !outcome.verdicts.is_empty() {
        text += "\n| bar | reached | |\n|---|---|---|\n";
    }
    for (bar, verdict) in outcome.scenario.bars.iter().zip(&outcome.verdicts) {
        let shown = verdict.reached.map_or("–".to_owned(), |r| spread(r, |n| quantity(bar, n)));
        let _ = writeln!(text, "| {} | {shown} | {} |", verdict.bar, word(verdict));
    }
    for sample in outcome.samples.iter().filter(|s| s.failed.is_some()) {
        let reason = sample.failed.as_deref().unwrap_or_default();
        let _ = writeln!(text, "\n**{} failed** in repetition {}: {reason}", sample.target.name(), sample.repetition + 1);
    }
    text
}

/// Returns a line of a table with a column for each measured broker.
fn row(head: &str, outcome: &Outcome, cell: impl Fn(Target) -> String) -> String {
    let cells: Vec<String> = outcome.scenario.targets().map(cell).collect();
    format!("| {head} | {} |\n", cells.join(" | "))
}

fn figure(outcome: &Outcome, value: &str, target: Target) -> String {
    let found = outcome.figures.iter().find(|f| f.value == value && f.broker == target);
    found.map_or("–".to_owned(), |f| spread(f.spread, |n| number(value, n)))
}

fn word(verdict: &Verdict) -> &'static str {
    match (verdict.reached, verdict.pass) {
        (None, _) => "not measured",
        (_, None) => "reported",
        (_, Some(true)) => "pass",
        (_, Some(false)) => "**missed**",
    }
}

fn spread(spread: Spread, show: impl Fn(f64) -> String) -> String {
    format!("{} ({}–{})", show(spread.median), show(spread.min), show(spread.max))
}

fn quantity(bar: &Bar, n: f64) -> String {
    if bar.is_ratio() { format!("{n:.2}") } else { number(&bar.value, n) }
}

/// Returns a number with its unit, which follows from the last key, or from the last but one for
/// percentiles.
fn number(value: &str, n: f64) -> String {
    if value.contains("_us.") {
        format!("{n:.0} µs")
    } else if value.ends_with("_bytes") && n >= f64::from(1 << 20) {
        format!("{:.1} MiB", n / f64::from(1 << 20))
    } else if value.ends_with("_bytes") {
        format!("{:.2} KiB", n / 1024.0)
    } else if value.ends_with("_seconds") {
        format!("{n:.2} s")
    } else {
        grouped(n)
    }
}

fn raw(outcomes: &[Outcome]) -> Result<String> {
    let all: Vec<_> = outcomes.iter().map(|o| json!({ "scenario": o.scenario.name, "samples": o.samples })).collect();
    serde_json::to_string(&all).map_err(|e| e.to_string())
}

fn append(path: &Path, date: &str, machine: &Machine, outcomes: &[Outcome]) -> Result<()> {
    let mut text = String::new();
    for outcome in outcomes {
        let line = json!({
            "date": date, "commit": machine.commit, "machine": machine.slug(), "scenario": outcome.scenario.name,
            "figures": outcome.figures, "bars": outcome.verdicts,
        });
        let _ = writeln!(text, "{line}");
    }
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units() {
        assert_eq!(number("load.total.latency_us.p99", 79.6), "80 µs");
        assert_eq!(number("idle.rss_per_connection_bytes", 6144.0), "6.00 KiB");
        assert_eq!(number("fill.broker_rss_after_bytes", 3.0 * f64::from(1 << 20)), "3.0 MiB");
        assert_eq!(number("await.served_seconds", 0.123), "0.12 s");
        assert_eq!(number("load.total.per_broker_cpu_second", 1_234_567.8), "1,234,568");
    }

    #[test]
    fn verdicts_in_words() {
        let reached = Some(Spread { median: 1.0, min: 1.0, max: 1.0 });
        let verdict = |reached, pass| Verdict { bar: String::new(), reached, pass };
        assert_eq!(word(&verdict(None, None)), "not measured");
        assert_eq!(word(&verdict(reached, None)), "reported");
        assert_eq!(word(&verdict(reached, Some(false))), "**missed**");
    }
}
