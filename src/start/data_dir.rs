//! The data directory: used by one broker at a time, and has an identity.
//!
//! ```text
//! lock       empty; locked (flock) while a broker runs, so that a second one is refused
//! node-id    32 hexadecimal digits, drawn for a new broker once its catalog is there: its identity
//!            across restarts
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::io::StartError;
use crate::io::host::process;

/// A data directory that is locked until this is dropped.
#[derive(Debug)]
pub struct DataDir {
    _lock: File,
    node_id: PathBuf,
}

impl DataDir {
    /// Creates the directory if there is none, and locks it.
    ///
    /// # Errors
    /// One sentence if it cannot be created, read or written, or if another broker uses it.
    pub fn open(path: &Path) -> Result<DataDir, StartError> {
        fs::create_dir_all(path).map_err(|error| StartError(format!("data directory {} cannot be created: {error}", path.display())))?;
        let lock = lock(path)?;
        Ok(DataDir { _lock: lock, node_id: path.join("node-id") })
    }

    /// The broker's identity across restarts. It is drawn the first time.
    ///
    /// # Errors
    /// One sentence if it cannot be read or written.
    pub fn node_id(&self) -> Result<String, StartError> {
        node_id(&self.node_id)
    }
}

fn lock(directory: &Path) -> Result<File, StartError> {
    let path = directory.join("lock");
    let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(|error| unusable(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError(format!(
            "data directory {} is in use by another broker: stop that one or give another --data-dir",
            directory.display()
        ))),
        Err(TryLockError::Error(error)) => Err(unusable(&path, &error)),
    }
}

/// Reads the identity, or draws one. It is written under another name first, so that a crash leaves
/// none or a whole one.
fn node_id(path: &Path) -> Result<String, StartError> {
    match fs::read_to_string(path) {
        Ok(text) if is_node_id(text.trim_end()) => Ok(text.trim_end().to_string()),
        Ok(_) => Err(StartError(format!(
            "{} does not hold 32 hexadecimal digits: restore it, or delete it to have a new one drawn",
            path.display()
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = format!("{:032x}", u128::from_ne_bytes(process::random()));
            write_whole(path, &id).map_err(|error| unusable(path, &error))?;
            Ok(id)
        }
        Err(error) => Err(unusable(path, &error)),
    }
}

fn is_node_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = File::create(&draft)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(path.parent().expect("a file stands in a directory"))?.sync_all()
}

fn unusable(path: &Path, error: &io::Error) -> StartError {
    StartError(format!("{} cannot be used: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::scratch::Scratch;

    #[test]
    fn the_identity_survives_and_the_lock_does_not() {
        let scratch = Scratch::new();
        let path = scratch.join("deep/down");
        let first = DataDir::open(&path).expect("created");
        let refusal = DataDir::open(&path).expect_err("locked").to_string();
        assert!(refusal.contains("in use by another broker"), "{refusal}");
        let id = first.node_id();
        drop(first);
        assert!(id.is_ok() && DataDir::open(&path).expect("free again").node_id() == id);
    }

    #[test]
    fn what_is_no_directory_and_no_identity_is_refused() {
        let scratch = Scratch::new();
        let data_dir = DataDir::open(scratch.path()).expect("created");
        fs::write(scratch.join("node-id"), "me").expect("written");
        assert!(data_dir.node_id().expect_err("no identity").to_string().contains("32 hexadecimal digits"));
        let below_a_file = scratch.join("node-id/dir");
        assert!(DataDir::open(&below_a_file).expect_err("no directory").to_string().contains("cannot be created"));
    }
}
