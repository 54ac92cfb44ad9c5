//! The log, on standard error: the way of every line, wherever it comes from.
//!
//! ```text
//! log::warn!(…)                    ─▶ level? ────────────────────▶ escaped, one line ─┬▶ stderr
//! log::warn!(peer:% = address; …)  ─▶ level? ─▶ once a second? ─▶ ┘                   └▶ newest lines
//!                                               └ no: counted, and reported by flush
//! ```
//!
//! The level is that of the crate `log`, for the whole process, and may change at any time. The
//! newest lines stay in memory for operators.
//!
//! A line that a peer can cause at will names the peer (`tests/tidy` checks this): clients must not
//! be able to fill the disk, nor to bury the lines of others among theirs. IPv6 addresses count by
//! their first 64 bits, because a host has any number of addresses that share them.

use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use env_logger::fmt::Formatter;
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::base::escaped::Escaped;
use crate::base::repeats::Repeats;
use crate::base::tail::Tail;

/// The newest lines of the process.
static TAIL: Mutex<Tail> = Mutex::new(Tail::new());

/// Starts logging at this level. `timed`: with the time of day.
pub fn start(level: LevelFilter, timed: bool) {
    let all = LevelFilter::max();
    let writer = env_logger::Builder::new().filter_level(all).format(move |out, record| write_line(out, record, timed)).build();
    log::set_max_level(level);
    let logger = Logger { writer, repeats: Mutex::default(), begin: Instant::now() };
    log::set_boxed_logger(Box::new(logger)).expect("the process starts to log once");
}

/// The newest lines, without those of a process that has not started to log.
pub fn tail() -> MutexGuard<'static, Tail> {
    TAIL.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Logger<W> {
    writer: W,
    repeats: Mutex<Repeats<Line>>,
    begin: Instant,
}

/// A line that stands for similar ones.
#[derive(Clone, Debug)]
struct Line {
    level: Level,
    target: String,
    text: String,
}

impl<W: Log> Log for Logger<W> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.writer.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let Some(peer) = peer(record) else { return self.writer.log(record) };
        if !self.enabled(record.metadata()) {
            return;
        }
        let place = (record.file_static().unwrap_or_default(), record.line().unwrap_or_default());
        let line = || Line { level: record.level(), target: record.target().to_owned(), text: record.args().to_string() };
        let admitted = self.repeats().admit(self.now(), place, &peer, line);
        if let Some(line) = admitted {
            self.write(&line, format_args!("{}", line.text));
        }
    }

    /// Reports the lines that were left out.
    fn flush(&self) {
        let told = self.repeats().tell(self.now());
        for left_out in told {
            let (line, more) =
                (left_out.first, if left_out.count == 1 { "one more".to_owned() } else { format!("{} more", left_out.count) });
            self.write(&line, format_args!("{} ({more} like this of {} since)", line.text, left_out.peer));
        }
    }
}

impl<W: Log> Logger<W> {
    fn write(&self, line: &Line, text: fmt::Arguments<'_>) {
        self.writer.log(&Record::builder().level(line.level).target(&line.target).args(text).build());
    }

    fn repeats(&self) -> MutexGuard<'_, Repeats<Line>> {
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.begin.elapsed().as_millis() as u64
    }
}

/// The peer that has caused a line, if the line names one.
fn peer(record: &Record<'_>) -> Option<String> {
    let peer = record.key_values().get("peer".into())?.to_string();
    Some(match peer.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => {
            let net = u128::from(address) & !u128::from(u64::MAX);
            format!("{}/64", Ipv6Addr::from(net))
        }
        Ok(address) => address.to_string(),
        Err(_) => peer,
    })
}

fn write_line(out: &mut Formatter, record: &Record<'_>, timed: bool) -> io::Result<()> {
    let (level, style, target) = (record.level(), out.default_level_style(record.level()), record.target());
    let text = Escaped(record.args());
    let time = if timed { format!("{} ", out.timestamp_millis()) } else { String::new() };
    tail().push(format!("[{time}{level:<5} {target}] {text}"));
    writeln!(out, "[{time}{style}{level:<5}{style:#} {target}] {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps the written lines.
    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl Log for Kept {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.level() <= Level::Info
        }

        fn log(&self, record: &Record<'_>) {
            self.0.lock().expect("nobody panics").push(format!("{} {}", record.level(), record.args()));
        }

        fn flush(&self) {}
    }

    fn log(logger: &Logger<Kept>, peer: Option<&str>, level: Level, text: &str) {
        let peers = peer.map(|peer| ("peer", peer));
        let args = format_args!("{text}");
        logger.log(&Record::builder().level(level).file_static(Some("f")).line(Some(1)).key_values(&peers).args(args).build());
    }

    #[test]
    fn what_a_peer_causes_is_written_once() {
        let logger = Logger { writer: Kept::default(), repeats: Mutex::default(), begin: Instant::now() };
        let written = || std::mem::take(&mut *logger.writer.0.lock().expect("nobody panics"));
        for _ in 0..3 {
            log(&logger, None, Level::Warn, "ours");
        }
        assert_eq!(written(), ["WARN ours"; 3]);
        for peer in ["127.0.0.1", "::ffff:127.0.0.1", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "any"] {
            log(&logger, Some(peer), Level::Warn, peer);
            log(&logger, Some(peer), Level::Debug, "not wanted");
        }
        assert_eq!(written(), ["WARN 127.0.0.1", "WARN 2001:db8::1", "WARN 2001:db8:0:1::1", "WARN any"]);
        logger.flush();
        assert_eq!(written(), [""; 0], "not before the second is over");
        let later = Logger { begin: logger.begin - std::time::Duration::from_millis(1000), ..logger };
        later.flush();
        let mut told = later.writer.0.into_inner().expect("nobody panics");
        told.sort();
        let expected =
            ["WARN 127.0.0.1 (one more like this of 127.0.0.1 since)", "WARN 2001:db8::1 (one more like this of 2001:db8::/64 since)"];
        assert_eq!(told, expected);
    }
}
