//! A directory for a test, removed at the test's end.

use std::fs;
use std::path::{Path, PathBuf};

use crate::io::host::process;

/// The directory, which is made with the first file in it.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes an unused path.
    pub fn new() -> Scratch {
        Scratch(std::env::temp_dir().join(format!("ringmq-test-{:016x}", u64::from_ne_bytes(process::random()))))
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in the directory.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file with this text and returns its path.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        fs::create_dir_all(path.parent().expect("it is in our directory")).expect("a directory of ours");
        fs::write(&path, text).expect("a directory of ours");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
