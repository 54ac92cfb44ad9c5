//! The machine and the process: CPUs ([`affinity`]), limits ([`cgroup`], [`descriptors`]),
//! [`clock`], [`memory`], [`signal`]s, the log on standard error ([`logging`]), and the [`monitor`]
//! of memory and disk. [`process`] has the small system calls.

pub mod affinity;
pub mod cgroup;
pub mod clock;
pub mod descriptors;
pub mod logging;
pub mod memory;
pub mod monitor;
pub mod process;
pub mod signal;
