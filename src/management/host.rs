//! What only the process and the machine know. The part that starts the server gives it, so that
//! management itself has no clock and makes no system calls, but for the files in /proc that
//! [`metrics::process`](super::metrics::process) reads.

use super::controls::Controls;
use crate::base::alarms::AlarmSet;

/// The process and the machine.
pub trait Host: Controls {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
    /// Octets that nobody can guess.
    fn random(&self) -> [u8; 16];
    /// The number of the process.
    fn process(&self) -> u32;
    /// The alarms that are on.
    fn alarms(&self) -> AlarmSet;
    /// The use of resources now.
    fn usage(&self) -> Usage;
}

/// The use of resources.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// The number of the process.
    pub process: u32,
    /// Milliseconds since the start of the process.
    pub uptime_ms: u64,
    /// Number of CPUs.
    pub processors: u32,
    /// Descriptors that are open, and that may be open.
    pub descriptors: (u64, u64),
    /// Threads that run, and that may run.
    pub threads: (u64, u64),
    /// Bytes of memory in use (resident), and beyond which publishers are blocked.
    pub memory: (u64, u64),
    /// Bytes that are free in the file system of the data directory, and below which publishers are
    /// blocked.
    pub disk: (u64, u64),
    /// Switches between threads.
    pub context_switches: u64,
}
