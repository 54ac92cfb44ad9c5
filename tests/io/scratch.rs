//! A data directory for one test, removed at the test's end.

use std::fs;
use std::path::PathBuf;

use ringmq::io::host::process;

/// The directory's path; the broker creates it.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// Chooses a path that no other test has.
    pub fn new() -> Scratch {
        Scratch(std::env::temp_dir().join(format!("ringmq-io-{:016x}", u64::from_ne_bytes(process::random()))))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
