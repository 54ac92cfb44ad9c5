//! The report of a run: per interval and in total, as text and as JSON.

use std::path::Path;

use serde::Serialize;

use crate::connection::Result;
use crate::disk;
use crate::load::stats::{Histograms, Tally, collect, total};
use crate::load::verify::Faults;
use crate::load::worker::Shared;
use crate::process::{self, Usage};
use crate::sys;

/// Percentiles in microseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Percentiles {
    /// Number of values.
    pub count: u64,
    /// The smallest value.
    pub min: f64,
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    pub p999: f64,
    /// The 99.99th percentile.
    pub p9999: f64,
    /// The largest value.
    pub max: f64,
}

/// The figures of one interval.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Interval {
    /// Time from the beginning of the measurement to the interval's end.
    pub at_seconds: f64,
    /// Length of the interval.
    pub seconds: f64,
    /// Number of published messages.
    pub sent: u64,
    /// Number of received messages.
    pub received: u64,
    /// Published messages per second.
    pub sent_per_second: f64,
    /// Confirmed publishes per second.
    pub confirmed_per_second: f64,
    /// Received messages per second.
    pub received_per_second: f64,
    /// Received megabytes per second.
    pub received_mb_per_second: f64,
    /// Number of confirmed publishes.
    pub confirmed: u64,
    /// Number of publishes answered with a nack.
    pub nacked: u64,
    /// Number of returned messages.
    pub returned: u64,
    /// Latencies from publish to receipt, microseconds.
    pub latency_us: Percentiles,
    /// Latencies from publish to confirm, microseconds.
    pub confirm_us: Percentiles,
    /// CPU time of the broker.
    pub broker_cpu_seconds: f64,
    /// Resident memory of the broker.
    pub broker_rss_bytes: u64,
    /// CPU time of the generator.
    pub own_cpu_seconds: f64,
    /// Messages received (published, if none was) per CPU second of the broker.
    pub per_broker_cpu_second: f64,
}

/// The whole run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The command line.
    pub command: Vec<String>,
    /// Number of queues that a message reaches.
    pub copies: u64,
    /// The measured time as one interval.
    pub total: Interval,
    /// The intervals.
    pub intervals: Vec<Interval>,
    /// Number of published messages, including warm-up and drain.
    pub published_total: u64,
    /// Number of received messages, including warm-up and drain.
    pub received_total: u64,
    /// Number of returned messages, including warm-up and drain.
    pub returned_total: u64,
    /// Resident memory of the broker at the end.
    pub broker_rss_after_bytes: u64,
    /// Peak of the resident memory of the broker.
    pub broker_rss_peak_bytes: u64,
    /// Size of the directory that was named, if any.
    pub broker_disk_after_bytes: Option<u64>,
    /// The faults that `--verify` found.
    pub faults: Option<Faults>,
    /// Round trips of the probe, from when each was due, microseconds.
    pub probe_us: Option<Percentiles>,
}

/// A meter, which measures interval after interval.
pub struct Meter {
    pids: Vec<u32>,
    begin: Reading,
    last: Reading,
    histograms: Histograms,
    intervals: Vec<Interval>,
}

#[derive(Clone, Copy)]
struct Reading {
    now_ns: u64,
    tally: Tally,
    broker: Usage,
    own_cpu_seconds: f64,
}

impl Reading {
    fn take(pids: &[u32], shared: &Shared) -> Result<Reading> {
        let broker = process::usage(pids)?;
        Ok(Reading { now_ns: sys::now_ns(), tally: total(&shared.workers), broker, own_cpu_seconds: sys::own_cpu_seconds() })
    }
}

impl Meter {
    /// Begins to measure; earlier values in histograms are dropped.
    pub fn start(pids: Vec<u32>, shared: &Shared) -> Result<Meter> {
        collect(&shared.workers);
        let begin = Reading::take(&pids, shared)?;
        Ok(Meter { pids, begin, last: begin, histograms: Histograms::new(), intervals: Vec::new() })
    }

    /// When the measurement began, nanoseconds.
    pub fn begin_ns(&self) -> u64 {
        self.begin.now_ns
    }

    /// Ends an interval.
    pub fn interval(&mut self, shared: &Shared) -> Result<Interval> {
        let reading = Reading::take(&self.pids, shared)?;
        let mut histograms = collect(&shared.workers);
        let interval = between(&self.begin, &self.last, &reading, &histograms);
        self.histograms.take(&mut histograms);
        self.intervals.push(interval.clone());
        self.last = reading;
        Ok(interval)
    }

    /// Ends the measurement with the last interval.
    pub fn finish(self, copies: u64) -> Report {
        let total = between(&self.begin, &self.begin, &self.last, &self.histograms);
        Report { command: std::env::args().skip(1).collect(), copies, total, intervals: self.intervals, ..Report::default() }
    }
}

impl Report {
    /// Notes the counts when everything has come to rest, and the resources that the broker uses
    /// then.
    pub fn totals(&mut self, tally: Tally, pids: &[u32], data: Option<&Path>) -> Result<()> {
        self.published_total = tally.published;
        self.received_total = tally.received;
        self.returned_total = tally.returned;
        self.broker_rss_after_bytes = process::usage(pids)?.rss_bytes;
        self.broker_rss_peak_bytes = process::rss_peak(pids);
        self.broker_disk_after_bytes = data.map(disk::usage);
        Ok(())
    }

    /// The report as text.
    pub fn text(&self) -> String {
        let t = &self.total;
        let mut lines = vec![
            format!("sent       {:>14} msg/s", grouped(t.sent_per_second)),
            format!("received   {:>14} msg/s   {:.1} MB/s of bodies", grouped(t.received_per_second), t.received_mb_per_second),
        ];
        let probe = self.probe_us.clone().unwrap_or_default();
        for (name, p) in [("latency", &t.latency_us), ("confirm", &t.confirm_us), ("probe", &probe)] {
            if p.count > 0 {
                lines.push(format!(
                    "{name:<10} min {:.0}  p50 {:.0}  p90 {:.0}  p99 {:.0}  p99.9 {:.0}  p99.99 {:.0}  max {:.0} us  ({} samples)",
                    p.min, p.p50, p.p90, p.p99, p.p999, p.p9999, p.max, p.count
                ));
            }
        }
        if t.confirmed + t.nacked + t.returned > 0 {
            let rate = grouped(t.confirmed_per_second);
            lines.push(format!("confirmed  {rate:>14} msg/s   {} in all, {} nacked, {} returned", t.confirmed, t.nacked, t.returned));
        }
        if t.broker_cpu_seconds > 0.0 {
            lines.push(format!(
                "broker     {:.2} CPU s of {:.2} s   {} msg per CPU second   {:.1} MiB resident, {:.1} MiB at the end, {:.1} MiB at most",
                t.broker_cpu_seconds,
                t.seconds,
                grouped(t.per_broker_cpu_second),
                mib(t.broker_rss_bytes),
                mib(self.broker_rss_after_bytes),
                mib(self.broker_rss_peak_bytes)
            ));
        }
        if let Some(bytes) = self.broker_disk_after_bytes {
            lines.push(format!("disk       {:.1} MiB at the end", mib(bytes)));
        }
        let own = per(t.own_cpu_seconds * 1e9, (t.sent + t.received) as f64 / 2.0);
        lines.push(format!("generator  {:.2} CPU s   {own:.1} ns per message", t.own_cpu_seconds));
        if let Some(f) = &self.faults {
            let verdict = if *f == Faults::default() { "all right" } else { "FAULTS" };
            lines.push(format!(
                "verified   {verdict}: {} published, {} received; {} missing, {} duplicated, {} disordered, {} corrupted, {} foreign",
                self.published_total, self.received_total, f.missing, f.duplicated, f.disordered, f.corrupted, f.foreign
            ));
        }
        lines.join("\n")
    }
}

impl Interval {
    /// The interval as a line of progress.
    pub fn line(&self) -> String {
        let mut line = format!(
            "{:6.1} s  sent {:>12} msg/s  received {:>12} msg/s",
            self.at_seconds,
            grouped(self.sent_per_second),
            grouped(self.received_per_second)
        );
        for (name, p) in [("latency", &self.latency_us), ("confirm", &self.confirm_us)] {
            if p.count > 0 {
                line += &format!("  {name} p50/p99/max {:.0}/{:.0}/{:.0} us", p.p50, p.p99, p.max);
            }
        }
        if self.broker_cpu_seconds > 0.0 {
            line += &format!("  broker {:.0}% {:.0} MiB", 100.0 * self.broker_cpu_seconds / self.seconds, mib(self.broker_rss_bytes));
        }
        line
    }
}

fn between(begin: &Reading, from: &Reading, to: &Reading, histograms: &Histograms) -> Interval {
    let seconds = (to.now_ns - from.now_ns) as f64 / 1e9;
    let tally = to.tally - from.tally;
    let broker_cpu_seconds = to.broker.cpu_seconds - from.broker.cpu_seconds;
    Interval {
        at_seconds: (to.now_ns - begin.now_ns) as f64 / 1e9,
        seconds,
        sent: tally.published,
        received: tally.received,
        sent_per_second: per(tally.published as f64, seconds),
        confirmed_per_second: per(tally.confirmed as f64, seconds),
        received_per_second: per(tally.received as f64, seconds),
        received_mb_per_second: per(tally.received_bytes as f64 / 1e6, seconds),
        confirmed: tally.confirmed,
        nacked: tally.nacked,
        returned: tally.returned,
        latency_us: percentiles(&histograms.latency),
        confirm_us: percentiles(&histograms.confirm),
        broker_cpu_seconds,
        broker_rss_bytes: to.broker.rss_bytes,
        own_cpu_seconds: to.own_cpu_seconds - from.own_cpu_seconds,
        per_broker_cpu_second: per(if tally.received > 0 { tally.received } else { tally.published } as f64, broker_cpu_seconds),
    }
}

/// The percentiles of a histogram of nanoseconds.
pub fn percentiles(histogram: &hdrhistogram::Histogram<u64>) -> Percentiles {
    if histogram.is_empty() {
        return Percentiles::default();
    }
    let us = |ns: u64| ns as f64 / 1e3;
    let at = |q: f64| us(histogram.value_at_quantile(q));
    let (min, max) = (us(histogram.min()), us(histogram.max()));
    Percentiles { count: histogram.len(), min, p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), p9999: at(0.9999), max }
}

fn per(amount: f64, of: f64) -> f64 {
    if of > 0.0 { amount / of } else { 0.0 }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Formats a rounded number with commas between thousands.
pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0.0, 999.4, 1000.0, 1_234_567.0].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
