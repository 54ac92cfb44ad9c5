//! What the management thread is told of the process and the machine.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::base::alarms::{AlarmSet, Alarms};
use crate::config::Config;
use crate::io::host::clock::Clock;
use crate::io::host::{affinity, cgroup, process};
use crate::management::host::{Host, Usage};

/// This process on this machine.
pub struct ThisHost {
    clock: Clock,
    alarms: Arc<Alarms>,
    data_dir: PathBuf,
    /// The watermarks of memory and of free disk space, bytes.
    watermarks: (u64, u64),
    processors: u32,
}

impl ThisHost {
    /// Makes it for a broker with these alarms, which starts now.
    pub fn new(config: &Config, alarms: Arc<Alarms>) -> ThisHost {
        let memory = cgroup::memory_limit();
        ThisHost {
            clock: Clock::start(),
            alarms,
            data_dir: config.data_dir.clone(),
            watermarks: (config.memory_high_watermark.of(memory), config.disk_free_limit.of(memory)),
            processors: u32::try_from(affinity::available().len()).unwrap_or(u32::MAX),
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

    fn alarms(&self) -> AlarmSet {
        self.alarms.get()
    }

    fn usage(&self) -> Usage {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let most_threads = fs::read_to_string("/proc/sys/kernel/threads-max").ok();
        Usage {
            process: std::process::id(),
            uptime_ms: self.clock.now_ms(),
            processors: self.processors,
            descriptors: (entries("/proc/self/fd"), process::descriptor_limit()),
            threads: (number_of(&status, "Threads:"), most_threads.and_then(|text| text.trim().parse().ok()).unwrap_or_default()),
            memory: (process::resident_memory().unwrap_or_default(), self.watermarks.0),
            disk: (process::free_space(&self.data_dir).unwrap_or_default(), self.watermarks.1),
            context_switches: process::context_switches(),
        }
    }
}

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

    #[test]
    fn a_process_has_threads_descriptors_and_memory() {
        let config = Config { data_dir: std::env::temp_dir(), ..Config::default() };
        let usage = ThisHost::new(&config, Arc::default()).usage();
        assert!(usage.threads.0 > 0 && usage.threads.1 > usage.threads.0, "{usage:?}");
        assert!(usage.descriptors.0 > 2 && usage.descriptors.1 > usage.descriptors.0, "{usage:?}");
        assert!(usage.memory.0 > 1 << 16 && usage.disk.0 > 0 && usage.processors > 0 && usage.context_switches > 0, "{usage:?}");
    }
}
