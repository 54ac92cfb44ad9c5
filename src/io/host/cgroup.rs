//! How much memory this process may use: that of the machine, or less if a control group around the
//! process limits it (a container, a systemd unit).
//!
//! ```text
//! /proc/self/cgroup   0::/system.slice/ringmq.service    version 2:  /sys/fs/cgroup/…/memory.max
//!                     9:memory:/docker/4f2a              version 1:  /sys/fs/cgroup/memory/…/
//!                                                                    memory.limit_in_bytes
//! ```
//!
//! The limits of all groups from that of the process up to the root apply. Inside a container, the
//! path is often one of the host and does not exist: then the root is the container's own group.

use std::fs;
use std::path::Path;

use crate::io::host::process;

/// The memory that this process may use, bytes.
pub fn memory_limit() -> u64 {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().filter_map(|line| group_limit(line, Path::new("/sys/fs/cgroup")));
    limits.min().unwrap_or(u64::MAX).min(process::machine_memory())
}

/// The lowest limit of a line's group and of the groups around it, if any has a limit; `mount` is
/// where control groups are mounted.
fn group_limit(line: &str, mount: &Path) -> Option<u64> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let (root, file) = match controllers {
        "" => (mount.to_path_buf(), "memory.max"),
        some if some.split(',').any(|controller| controller == "memory") => (mount.join("memory"), "memory.limit_in_bytes"),
        _ => return None,
    };
    // A group without a limit says "max" (version 2), or a number beyond all memory (version 1).
    let limit = |group: &Path| fs::read_to_string(root.join(group).join(file)).ok()?.trim().parse().ok();
    Path::new(path.trim_start_matches('/')).ancestors().filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::scratch::Scratch;

    #[test]
    fn the_lowest_limit_up_to_the_root_holds() {
        let scratch = Scratch::new();
        let write = |file: &str, text: &str| _ = scratch.file(file, text);
        write("a/memory.max", "1000\n");
        write("a/b/memory.max", "max\n");
        write("a/c/memory.max", "10\n");
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/d/memory.limit_in_bytes", "2000\n");
        let limit = |line| group_limit(line, scratch.path());
        assert_eq!(limit("0::/a/b"), Some(1000));
        assert_eq!(limit("0::/a/c"), Some(10));
        assert_eq!(limit("0::/"), None);
        assert_eq!(limit("7:cpu,memory:/d"), Some(2000));
        assert_eq!(limit("7:memory:/not/seen/here"), Some(9_223_372_036_854_771_712));
        assert_eq!((limit("7:cpu:/d"), limit("nothing")), (None, None));
    }

    #[test]
    fn the_machine_has_memory() {
        assert!((1 << 20..=process::machine_memory()).contains(&memory_limit()));
    }
}
