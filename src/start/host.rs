//! The process and the machine for the management thread: what it is told of them, and what operators
//! may change.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use log::LevelFilter;

use crate::base::alarms::{Alarm, AlarmSet, Alarms};
use crate::config::Config;
use crate::io::disk::worker::write_whole;
use crate::io::host::clock::Clock;
use crate::io::host::monitor::{Order, Remote};
use crate::io::host::{affinity, cgroup, logging, process, signal};
use crate::io::net::admission::{self, Admission};
use crate::management::controls::{Closure, Controls, Limits, LogLines};
use crate::management::host::{Host, Usage};
use crate::start::files::unusable;

/// This process on this machine.
pub struct ThisHost {
    clock: Clock,
    alarms: Arc<Alarms>,
    data_dir: PathBuf,
    limits: Cell<Limits>,
    /// The memory of which limits may be fractions, bytes.
    memory: u64,
    processors: u32,
    reins: Reins,
}

/// What steers a running broker beside its shards.
pub struct Reins {
    /// Its monitor.
    pub monitor: Remote,
    /// Its listeners.
    pub admission: Arc<Admission>,
}

impl ThisHost {
    /// Makes it for a broker with these alarms, which starts now.
    pub fn new(config: &Config, alarms: Arc<Alarms>, reins: Reins) -> ThisHost {
        ThisHost {
            clock: Clock::start(),
            alarms,
            data_dir: config.data_dir.clone(),
            limits: Cell::new(Limits { memory: config.memory_high_watermark, disk_free: config.disk_free_limit }),
            memory: cgroup::memory_limit(),
            processors: u32::try_from(affinity::available().len()).unwrap_or(u32::MAX),
            reins,
        }
    }
}

impl Host for ThisHost {
    fn now_ms(&self) -> u64 {
        u64::try_from(UNIX_EPOCH.elapsed().unwrap_or_default().as_millis()).unwrap_or_default()
    }

    fn random(&self) -> [u8; 16] {
        process::random()
    }

    fn process(&self) -> u32 {
        std::process::id()
    }

    fn alarms(&self) -> AlarmSet {
        self.alarms.get()
    }

    fn usage(&self) -> Usage {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let most_threads = fs::read_to_string("/proc/sys/kernel/threads-max").ok();
        let limits = self.limits.get();
        Usage {
            process: self.process(),
            uptime_ms: self.clock.now_ms(),
            processors: self.processors,
            descriptors: (entries("/proc/self/fd"), process::descriptor_limit()),
            threads: (number_of(&status, "Threads:"), most_threads.and_then(|text| text.trim().parse().ok()).unwrap_or_default()),
            memory: (process::resident_memory().unwrap_or_default(), limits.memory.of(self.memory)),
            disk: (process::free_space(&self.data_dir).unwrap_or_default(), limits.disk_free.of(self.memory)),
            context_switches: process::context_switches(),
        }
    }
}

impl Controls for ThisHost {
    fn shut_down(&self) {
        signal::end_process();
    }

    fn limits(&self) -> Limits {
        self.limits.get()
    }

    fn set_limits(&self, limits: Limits) {
        let old = self.limits.replace(limits);
        if limits.memory != old.memory {
            self.reins.monitor.order(Order::MemoryMax(limits.memory.of(self.memory)));
        }
        if limits.disk_free != old.disk_free {
            self.reins.monitor.order(Order::DiskFreeMin(limits.disk_free.of(self.memory)));
        }
    }

    fn force_alarm(&self, alarm: Alarm, on: bool) {
        self.reins.monitor.order(Order::Force(alarm, on));
    }

    fn log_level(&self) -> LevelFilter {
        log::max_level()
    }

    fn set_log_level(&self, level: LevelFilter) {
        log::set_max_level(level);
    }

    fn newest_log_lines(&self, lines_max: u64) -> LogLines {
        logging::tail().newest(lines_max)
    }

    fn log_lines_from(&self, place: u64) -> LogLines {
        logging::tail().from(place)
    }

    fn plugins_file(&self) -> Option<String> {
        fs::read_to_string(self.data_dir.join(PLUGINS)).ok()
    }

    fn write_plugins_file(&self, text: &str) -> Result<(), String> {
        let path = self.data_dir.join(PLUGINS);
        write_whole(&path, text.as_bytes()).map_err(|error| unusable(&path, &error).0)
    }

    fn close_listeners(&self, closure: Closure, on: bool) {
        self.reins.admission.set(io_closure(closure), on);
    }

    fn is_in_maintenance(&self) -> bool {
        self.reins.admission.has(admission::Closure::Maintenance)
    }
}

/// The listeners' word for a reason to close them.
fn io_closure(closure: Closure) -> admission::Closure {
    match closure {
        Closure::Suspension => admission::Closure::Suspension,
        Closure::Maintenance => admission::Closure::Maintenance,
    }
}

/// The file of the enabled plugins in the data directory.
const PLUGINS: &str = "enabled_plugins";

/// Number of entries of a directory; 0 if it cannot be read.
fn entries(path: &str) -> u64 {
    fs::read_dir(path).map_or(0, |entries| entries.count() as u64)
}

/// The number behind a name in the kernel's tables; 0 if there is none.
fn number_of(table: &str, name: &str) -> u64 {
    let line = table.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::host::monitor::Monitor;
    use crate::io::wake::Signal;

    #[test]
    fn a_process_has_threads_descriptors_and_memory() {
        let config = Config { data_dir: std::env::temp_dir(), ..Config::default() };
        let signal = Arc::new(Signal::new().expect("an eventfd"));
        let monitor = Monitor::start(&config, Arc::default(), signal.clone()).expect("a monitor");
        let reins = Reins { monitor: monitor.remote(), admission: Arc::new(Admission::new(signal)) };
        let usage = ThisHost::new(&config, Arc::default(), reins).usage();
        assert!(usage.threads.0 > 0 && usage.threads.1 > usage.threads.0, "{usage:?}");
        assert!(usage.descriptors.0 > 2 && usage.descriptors.1 > usage.descriptors.0, "{usage:?}");
        assert!(usage.memory.0 > 1 << 16 && usage.disk.0 > 0 && usage.processors > 0 && usage.context_switches > 0, "{usage:?}");
    }
}
