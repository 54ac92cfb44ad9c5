//! A shard's log at the start: the files that must be there, and their contents.
//!
//! ```text
//! the list ─▶ recover ─┬ all in order: go on; delete leftovers, and segments that have nothing
//!                      └ trouble: refuse and change nothing;
//!                        with --accept-log-loss: move the file out of the way, and try again
//! ```
//!
//! Damage is accepted once: the list forgets a segment that is missing, a damaged one is written
//! anew with its whole records, and one that is not what its name says is left out. The old files
//! stay beside, as `*.damaged`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::aligned::BLOCK;
use crate::base::ids::ShardId;
use crate::config::Config;
use crate::io::StartError;
use crate::io::disk::segment_files::{list_path, write_list};
use crate::io::disk::worker::{ACCEPT, write_whole};
use crate::io::disk::{segment_path, shard_directory};
use crate::start::files::{aside, list, read_part, remove, set_aside, unusable};
use crate::store::Store;
use crate::store::compact::salvage;
use crate::store::format;
use crate::store::recover::{Files, Recovered, Trouble, first_batch, recover};

/// The facts of the catalog that concern the logs.
pub struct Known {
    /// All queues that it has declared have numbers below this.
    pub declared_below: u64,
    /// Whether it is of a version without lists, as the logs may be, too.
    pub is_unlisted: bool,
    /// Shards that have durable queues, and so must have a list.
    pub homes: BTreeSet<ShardId>,
}

/// A log that is being looked for.
struct Finding<'c> {
    config: &'c Config,
    shard: ShardId,
    directory: PathBuf,
    /// The segments that must be there; none: there is no list yet.
    listed: Option<Vec<u32>>,
    /// Segments that were written anew.
    salvaged: BTreeSet<u32>,
}

/// A log that was found.
pub struct FoundLog<'c> {
    finding: Finding<'c>,
    store: Store,
    /// The segments with records, and those without.
    segments: Vec<u32>,
    empty: Vec<u32>,
}

/// Finds a shard's log, and changes nothing unless a loss is accepted.
///
/// # Errors
/// One sentence: a file is missing, damaged, or cannot be read, or has messages of queues that the
/// catalog has lost.
pub fn find_log<'c>(config: &'c Config, shard: ShardId, known: &Known) -> Result<FoundLog<'c>, StartError> {
    let directory = shard_directory(&config.data_dir, shard);
    let mut finding = Finding { config, shard, directory, listed: None, salvaged: BTreeSet::new() };
    finding.listed = finding.find_list(known)?;
    let spare = finding.numbers(".spare")?;
    finding.listed.iter_mut().for_each(|listed| listed.retain(|segment| !spare.iter().any(|(spare, _)| spare == segment)));
    let Recovered { mut store, segments, empty, torn } = finding.recover()?;
    finding.refuse_unknown(&store, known)?;
    for (segment, place) in torn {
        let path = segment_path(&finding.directory, segment);
        log::info!("{}: a crash tore the last write; its tail is dropped from byte {place} on", path.display());
    }
    if config.accept_log_loss {
        store.accept_loss();
    }
    Ok(FoundLog { finding, store, segments, empty })
}

impl FoundLog<'_> {
    /// Lists the segments with records, then deletes the others: the log is taken up.
    ///
    /// # Errors
    /// One sentence: a file cannot be written or deleted.
    pub fn take_up(self) -> Result<Store, StartError> {
        let Finding { directory, shard, listed, .. } = self.finding;
        fs::create_dir_all(&directory).map_err(|error| unusable(&directory, &error))?;
        let remove_empty = || self.empty.iter().try_for_each(|&segment| remove(&segment_path(&directory, segment)));
        let list_path = list_path(&directory);
        if listed.is_none() {
            remove_empty()?; // a list would not have them
        }
        if fs::read(&list_path).ok() != Some(format::list(shard.0, self.segments.iter().copied())) {
            let written = write_list(&directory, shard.0, self.segments.iter().copied());
            written.map_err(|error| unusable(&list_path, &error))?;
        }
        if listed.is_some() {
            remove_empty()?; // listed segments must be there
        }
        let is_leftover = |name: &str| (name.ends_with(".spare") || name.ends_with(".new")).then_some(0);
        list(&directory, is_leftover)?.iter().try_for_each(|(_, leftover)| remove(leftover))?;
        Ok(self.store)
    }
}

impl Finding<'_> {
    /// Reads the list of the log's segments; none: the log is of a version without lists.
    fn find_list(&self, known: &Known) -> Result<Option<Vec<u32>>, StartError> {
        let path = list_path(&self.directory);
        let what = match fs::read(&path) {
            Ok(file) => match format::read_list(&file, self.shard.0) {
                Some(listed) => return Ok(Some(listed)),
                None => "damaged at byte 0, or that of another shard",
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let is_new = self.numbers(".log")?.is_empty();
                match known {
                    Known { is_unlisted: true, .. } => return Ok(None),
                    Known { homes, .. } if is_new && !homes.contains(&self.shard) => return Ok(Some(Vec::new())),
                    _ => "missing",
                }
            }
            Err(error) => return Err(unusable(&path, &error)),
        };
        let what = format!("{} (the list of the log's segments): {what}", path.display());
        self.accept(&what, "what may be missing")?;
        if path.exists() {
            set_aside(&path)?;
        }
        fs::create_dir_all(&self.directory).map_err(|error| unusable(&self.directory, &error))?;
        Ok(Some(self.there()?.into_iter().map(|(segment, _)| segment).collect()))
    }

    /// The segments whose files have this suffix.
    fn numbers(&self, suffix: &str) -> Result<Vec<(u32, PathBuf)>, StartError> {
        if self.directory.is_dir() { list(&self.directory, |name| number(name, suffix)) } else { Ok(Vec::new()) }
    }

    /// The segments that are there, with the sizes of their files.
    fn there(&self) -> Result<Vec<(u32, u64)>, StartError> {
        let paths = self.numbers(".log")?;
        let size = |(number, path): (u32, PathBuf)| match fs::metadata(&path) {
            Ok(file) => Ok((number, file.len())),
            Err(error) => Err(unusable(&path, &error)),
        };
        paths.into_iter().map(size).collect()
    }

    /// Goes on in spite of a loss, if that is accepted.
    fn accept(&self, what: &str, without: &str) -> Result<(), StartError> {
        if !self.config.accept_log_loss {
            return Err(StartError(format!("{what}; put the file back from a backup, or start with {ACCEPT} {without}")));
        }
        log::error!("{what}: messages may be lost, which --accept-log-loss accepts");
        Ok(())
    }

    fn recover(&mut self) -> Result<Recovered, StartError> {
        loop {
            let there = self.there()?;
            let (listed, check_all) = (self.listed.as_deref(), self.config.accept_log_loss);
            let files = Files { shard: self.shard.0, there: &there, listed, check_all };
            let mut read = |segment, place, len| read_part(&segment_path(&self.directory, segment), place, len);
            match recover(files, &mut read) {
                Ok(recovered) => return Ok(recovered),
                Err(trouble) => self.have_out_of_the_way(&trouble)?,
            }
        }
    }

    fn have_out_of_the_way(&mut self, trouble: &Trouble) -> Result<(), StartError> {
        let segment = trouble.segment();
        let path = segment_path(&self.directory, segment);
        let what = format!("{}: {trouble}", path.display());
        match trouble {
            Trouble::Unreadable(_, error) if error.raw_os_error() != Some(libc::EIO) => return Err(StartError(what)),
            Trouble::Newer(_) => return Err(StartError(what)),
            Trouble::Unreadable(..) | Trouble::Damaged(..) => self.accept(&what, "what is damaged")?,
            Trouble::Missing(_) => self.accept(&what, "what was in it")?,
            Trouble::Swapped(..) => self.accept(&what, "what is in it (if files were renamed, give them their names back instead)")?,
            Trouble::Unlisted(_) => self.accept(&what, "knowing whether it belongs there")?,
        }
        let is_damaged = matches!(trouble, Trouble::Unreadable(..) | Trouble::Damaged(..));
        if is_damaged && self.salvaged.insert(segment) && self.salvage(segment, &path)? {
            return Ok(());
        }
        if !matches!(trouble, Trouble::Missing(_) | Trouble::Unlisted(_)) {
            set_aside(&path)?;
        }
        if let Some(listed) = &mut self.listed {
            listed.retain(|listed| *listed != segment);
            listed.extend(matches!(trouble, Trouble::Unlisted(_)).then_some(segment));
            listed.sort_unstable();
        }
        Ok(())
    }

    /// Writes a damaged segment anew with its whole records. Returns false if there are none. The
    /// old file stays beside.
    fn salvage(&self, segment: u32, path: &Path) -> Result<bool, StartError> {
        let failed = |error| unusable(path, &error);
        let damaged = read_around_bad_sectors(path).map_err(failed)?;
        let next = segment_path(&self.directory, segment + 1);
        let next = read_part(&next, 0, 2 * BLOCK).ok().and_then(|front| first_batch(&front, segment + 1, self.shard.0));
        let Some(file) = salvage(&damaged, segment, self.shard.0, next) else { return Ok(false) };
        let aside = aside(path);
        fs::hard_link(path, &aside).or_else(|_| fs::write(&aside, &damaged)).map_err(failed)?;
        write_whole(path, file.bytes()).map_err(failed)?;
        Ok(true)
    }

    /// Refuses messages of queues that the catalog never declared: it has lost these queues.
    fn refuse_unknown(&self, store: &Store, known: &Known) -> Result<(), StartError> {
        for (queue, segment, count) in store.found_from(known.declared_below) {
            let path = segment_path(&self.directory, segment);
            let what = format!("{} has {count} messages of a queue (number {queue}) that the catalog has lost", path.display());
            if !self.config.accept_log_loss {
                return Err(StartError(format!(
                    "{what}; put the catalog's files back from a backup, or start with {ACCEPT} these messages"
                )));
            }
            log::error!("{what}: these messages are dropped");
        }
        Ok(())
    }
}

fn number(name: &str, suffix: &str) -> Option<u32> {
    name.strip_suffix(suffix)?.parse().ok()
}

/// Reads all of a file, with zeros where it cannot be read.
fn read_around_bad_sectors(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; fs::metadata(path)?.len() as usize];
    for (at, block) in bytes.chunks_mut(BLOCK).enumerate() {
        match read_part(path, (at * BLOCK) as u64, block.len()) {
            Ok(read) => block[..read.len()].copy_from_slice(&read),
            Err(error) if error.raw_os_error() == Some(libc::EIO) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
