//! The cost of another process, from `/proc`: CPU time of all its threads, resident memory.

use std::fs;

/// CPU time and memory of the broker at one moment, summed over its processes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time since the process began, in seconds (resolution: the kernel's tick, 10
    /// ms).
    pub cpu_seconds: f64,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
}

/// Reads what the processes have used so far.
///
/// # Errors
/// A text that names the process that cannot be read.
pub fn usage(pids: &[u32]) -> Result<Usage, String> {
    let mut total = Usage::default();
    for pid in pids {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|e| format!("process {pid}: {e}"))?;
        let (ticks, pages) = parse_stat(&stat).ok_or_else(|| format!("process {pid}: strange /proc/{pid}/stat"))?;
        total.cpu_seconds += ticks as f64 / TICKS_PER_SECOND;
        total.rss_bytes += pages * PAGE;
    }
    Ok(total)
}

/// The peak of the resident memory of the processes, in bytes; 0 for one that is gone.
pub fn rss_peak(pids: &[u32]) -> u64 {
    let status = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    pids.iter().map(|pid| parse_peak(&status(pid)).unwrap_or(0)).sum()
}

/// Reads the peak: `VmHWM:      123 kB`.
fn parse_peak(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    value.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// Reads ticks of user and system time, and resident pages. The command's name may contain blanks
/// and brackets, so fields are counted from its end.
fn parse_stat(stat: &str) -> Option<(u64, u64)> {
    let fields: Vec<&str> = stat[stat.rfind(')')? + 2..].split(' ').collect();
    let number = |i: usize| fields.get(i)?.parse::<u64>().ok();
    Some((number(11)? + number(12)?, number(21)?))
}

/// USER_HZ: a constant of Linux's user interface.
const TICKS_PER_SECOND: f64 = 100.0;
const PAGE: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4 5 0 0 0 30 12 0 0 20 0 9 0 100 1000000 321 18446744073709551615 1";
        assert_eq!(parse_stat(stat), Some((42, 321)));
    }

    #[test]
    fn reads_itself() {
        let me = [std::process::id()];
        assert!(usage(&me).unwrap().rss_bytes > 0);
        assert!(rss_peak(&me) > 0);
    }
}
