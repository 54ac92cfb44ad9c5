//! A data directory of a test's own, removed at its end.

use std::fs;
use std::path::PathBuf;

use ringmq::io::host::process;

/// The directory; the broker makes it.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// A path that nobody has.
    pub fn new() -> Scratch {
        Scratch(std::env::temp_dir().join(format!("ringmq-io-{:016x}", u64::from_ne_bytes(process::random()))))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
