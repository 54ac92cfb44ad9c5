//! Files of the data directory: listed, read in part, moved out of the way, deleted; and the sentence
//! about one that cannot be used.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::base::ids::ShardId;
use crate::io::StartError;
use crate::io::disk::shard_directory;

/// The file that shows that a broker has used a directory.
///
/// # Errors
/// One sentence: the directory cannot be read.
pub fn sign_of_use(data_dir: &Path) -> Result<Option<PathBuf>, StartError> {
    let node_id = data_dir.join("node-id");
    if node_id.exists() {
        return Ok(Some(node_id));
    }
    for shard in shard_directories(data_dir)? {
        let segment = |name: &str| name.strip_suffix(".log")?.parse().ok();
        if let Some((_, log)) = list(&shard_directory(data_dir, shard), segment)?.into_iter().next() {
            return Ok(Some(log));
        }
    }
    Ok(None)
}

/// Moves a damaged file out of the way, but keeps it.
///
/// # Errors
/// One sentence: it cannot be renamed.
pub fn set_aside(path: &Path) -> Result<(), StartError> {
    fs::rename(path, aside(path)).map_err(|error| unusable(path, &error))
}

/// The name under which a damaged file is kept: one that is free.
pub fn aside(path: &Path) -> PathBuf {
    let name = |count: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(if count > 1 { format!(".{count}.damaged") } else { ".damaged".into() });
        PathBuf::from(name)
    };
    (1..).map(name).find(|aside| !aside.exists()).expect("some name is free")
}

/// The entries of a directory that `parse` knows, in order.
///
/// # Errors
/// One sentence: the directory cannot be read.
pub fn list(directory: &Path, parse: impl Fn(&str) -> Option<u32>) -> Result<Vec<(u32, PathBuf)>, StartError> {
    let read = || {
        let entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
        let known = entries.iter().filter_map(|entry| Some((parse(entry.file_name().to_str()?)?, entry.path())));
        let mut known: Vec<_> = known.collect();
        known.sort();
        Ok(known)
    };
    read().map_err(|error| unusable(directory, &error))
}

/// The shards that have a log.
///
/// # Errors
/// One sentence: the directory cannot be read.
pub fn shard_directories(data_dir: &Path) -> Result<Vec<ShardId>, StartError> {
    let shards = list(data_dir, |name| name.strip_prefix("shard-")?.parse::<u16>().ok().map(u32::from))?;
    Ok(shards.into_iter().map(|(shard, _)| ShardId(shard as u16)).collect())
}

/// Reads `len` bytes from a place in a file, fewer at its end.
///
/// # Errors
/// It cannot be read.
pub fn read_part(path: &Path, place: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let count = read_into(path, place, &mut bytes)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// Fills `bytes` from a place in a file, as far as that goes; returns how far.
///
/// # Errors
/// It cannot be read.
pub fn read_into(path: &Path, place: u64, bytes: &mut [u8]) -> io::Result<usize> {
    let file = File::open(path)?;
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], place + done as u64)? {
            0 => break,
            count => done += count,
        }
    }
    Ok(done)
}

/// Deletes a file.
///
/// # Errors
/// One sentence: it cannot be deleted.
pub fn remove(path: &Path) -> Result<(), StartError> {
    fs::remove_file(path).map_err(|error| unusable(path, &error))
}

/// A sentence about a file.
pub fn unusable(path: &Path, error: &io::Error) -> StartError {
    StartError(format!("{} cannot be used: {error}", path.display()))
}
