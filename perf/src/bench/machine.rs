//! The machine and the commit that figures depend on. A machine is described by its hardware and
//! kernel, not by its name.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The machine at the beginning of a run.
pub struct Machine {
    /// The CPU's model.
    pub cpu: String,
    /// Number of CPUs.
    pub cores: usize,
    /// The kernel's version.
    pub kernel: String,
    /// Size of the memory, GiB.
    pub memory_gib: u64,
    /// Number of runnable processes, averaged over the last minute.
    pub load: String,
    /// The commit of the source.
    pub commit: String,
}

impl Machine {
    /// Reads `/proc`; what is missing there is empty.
    pub fn read() -> Machine {
        let proc = |name: &str| fs::read_to_string(Path::new("/proc").join(name)).unwrap_or_default();
        let kib: u64 = field(&proc("meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
        Machine {
            cpu: field(&proc("cpuinfo"), "model name").to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: proc("sys/kernel/osrelease").trim().to_owned(),
            memory_gib: (kib + (1 << 19)) >> 20,
            load: proc("loadavg").split(' ').next().unwrap_or_default().to_owned(),
            commit: said("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
        }
    }

    /// The machine's name in paths: intel-xeon-processor-2-cores.
    pub fn slug(&self) -> String {
        slug(&format!("{} {} cores", self.cpu, self.cores))
    }
}

/// Returns the day, in UTC.
pub fn today() -> String {
    said("date", &["-u", "+%F"])
}

/// Returns the CPUs that a process may run on, as the kernel lists them; empty if they cannot be
/// read.
pub fn cpus_of(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    field(&status, "Cpus_allowed_list").to_owned()
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or_else(|_| "unknown".to_owned(), |o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
}

/// The value of `name:` in one of the kernel's texts.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let value = |line: &'a str| line.strip_prefix(name)?.trim_start().strip_prefix(':').map(str::trim);
    text.lines().find_map(value).unwrap_or_default()
}

fn slug(text: &str) -> String {
    let plain = text.replace("(R)", " ").replace("(TM)", " ").to_lowercase();
    let parts = plain.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_name_the_machine() {
        assert_eq!(slug("Intel(R) Xeon(R) CPU @ 2.70GHz 2 cores"), "intel-xeon-cpu-2-70ghz-2-cores");
    }

    #[test]
    fn fields() {
        let text = "MemTotal:       100 kB\nmodel name\t: A: B\n";
        assert_eq!([field(text, "model name"), field(text, "MemTotal"), field(text, "x")], ["A: B", "100 kB", ""]);
    }
}
