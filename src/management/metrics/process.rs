//! What the kernel tells about this process, read from /proc.

use std::fs;

/// Numbers of the process. Those that the kernel does not tell are missing.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Process {
    /// Descriptors that are open.
    pub descriptors: Option<u64>,
    /// Descriptors that it may open.
    pub descriptors_max: Option<u64>,
    /// Bytes of memory that it occupies.
    pub resident: Option<u64>,
    /// Bytes of memory that its program occupies.
    pub program: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Threads that its user may have.
    pub threads_max: Option<u64>,
    /// Bytes that it had read from disks, and that it had written to them.
    pub disk: (Option<u64>, Option<u64>),
    /// When it was started, seconds since 1970.
    pub started: Option<f64>,
    /// Seconds since then.
    pub uptime: Option<f64>,
}

impl Process {
    /// Reads the numbers.
    pub fn read() -> Process {
        let (status, limits, io) = (read("status"), read("limits"), read("io"));
        let start = start();
        let kilobytes = |name| number(&status, name).map(|kilobytes| kilobytes << 10);
        Process {
            descriptors: fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64),
            descriptors_max: number(&limits, "Max open files"),
            resident: kilobytes("VmRSS:"),
            program: kilobytes("VmExe:"),
            threads: number(&status, "Threads:"),
            threads_max: number(&limits, "Max processes"),
            disk: (number(&io, "read_bytes:"), number(&io, "write_bytes:")),
            started: machine_start().zip(start).map(|(machine, start)| machine + start),
            uptime: machine_uptime().zip(start).map(|(machine, start)| ((machine - start) * TICKS_PER_SECOND).round() / TICKS_PER_SECOND),
        }
    }
}

/// A file about the process; empty if there is none.
fn read(name: &str) -> String {
    fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default()
}

/// The first number in the line that begins with this name.
fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Seconds from the start of the machine to that of the process.
fn start() -> Option<f64> {
    let stat = read("stat");
    // The name of the program, in parentheses, may contain spaces: fields count from behind it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: f64 = fields.split(' ').nth(START_TIME)?.parse().ok()?;
    Some(ticks / TICKS_PER_SECOND)
}

/// Seconds from the start of the machine to now.
fn machine_uptime() -> Option<f64> {
    fs::read_to_string("/proc/uptime").ok()?.split(' ').next()?.parse().ok()
}

/// When the machine was started, seconds since 1970.
fn machine_start() -> Option<f64> {
    fs::read_to_string("/proc/stat").ok().and_then(|stat| number(&stat, "btime")).map(|seconds| seconds as f64)
}

/// Index of the time of the start among the fields of /proc/PID/stat behind the program's name.
const START_TIME: usize = 19;

/// Unit of that time: the same on every machine of the architectures that the broker runs on.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_all_numbers() {
        let process = Process::read();
        assert!(process.descriptors > Some(2) && process.descriptors < process.descriptors_max, "{process:?}");
        assert!(process.resident > Some(1 << 20) && process.program > Some(1 << 10), "{process:?}");
        assert!(process.threads > Some(0), "{process:?}");
        assert!(process.uptime.is_some_and(|uptime| (0.0..86_400.0).contains(&uptime)), "{process:?}");
        let year = 31_556_952.0;
        assert!(process.started.is_some_and(|started| started > 50.0 * year), "{process:?}");
    }

    #[test]
    fn a_number_stands_behind_its_name() {
        let text = "Max processes             127707               127707               processes\nMax x   unlimited  1\n";
        assert_eq!(["Max processes", "Max x", "Max y"].map(|name| number(text, name)), [Some(127_707), None, None]);
    }
}
