//! The segments of a shard's log as files, and the list of those that must exist.
//!
//! ```text
//! create   NNN.new: head and zeros ─▶ NNN.log ─▶ on the list ─▶ the log may write to it
//! delete   NNN.log ─▶ NNN.spare ─▶ off the list ─▶ used again for another segment, or deleted
//! ```
//!
//! Each step is on the disk before the next one begins. So after a crash, a listed file exists or
//! is spare already, and a file that is not listed yet is empty.
//!
//! A segment is filled with zeros before it is used, because each write to space that was never
//! written would cost a commit of the file system's journal. Files of deleted segments are used
//! again as they are, with a new head: their records name another segment, and are refused.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::base::aligned::BLOCK;
use crate::base::ids::ShardId;
use crate::base::limits::LOG_SEGMENT_SIZE;
use crate::io::disk::segment_path;
use crate::io::disk::worker::{sync_directory, write_whole};
use crate::store::format::{self, Head};

/// The segment files of a running shard.
pub struct SegmentFiles {
    directory: PathBuf,
    shard: u16,
    listed: BTreeSet<u32>,
    /// Files of deleted segments, to be used again.
    spare: Vec<PathBuf>,
}

impl SegmentFiles {
    /// Opens the listed files, which a start has found to exist; none if there is no list.
    ///
    /// # Errors
    /// The list cannot be read.
    pub fn open(directory: &Path, ShardId(shard): ShardId) -> io::Result<SegmentFiles> {
        let listed = match fs::read(list_path(directory)) {
            Ok(list) => format::read_list(&list, shard).ok_or(io::Error::other("the list of the log's segments is damaged"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(SegmentFiles { directory: directory.to_owned(), shard, listed: listed.into_iter().collect(), spare: Vec::new() })
    }

    /// The number of the shard.
    pub fn shard(&self) -> u16 {
        self.shard
    }

    /// Makes the file of a segment.
    ///
    /// # Errors
    /// The disk is full, or the file cannot be written. It may be tried again.
    pub fn create(&mut self, segment: u32) -> io::Result<()> {
        let path = segment_path(&self.directory, segment);
        let head = Head::of(self.shard).block(segment);
        match self.spare.pop() {
            Some(spare) => {
                let file = File::options().write(true).open(&spare)?;
                file.write_all_at(&head, 0)?;
                file.set_len(LOG_SEGMENT_SIZE as u64)?;
                file.sync_all()?;
                fs::rename(&spare, &path)?;
            }
            None => {
                let draft = path.with_extension("new");
                fill(&draft, &head).inspect_err(|_| drop(fs::remove_file(&draft)))?;
                fs::rename(&draft, &path)?;
            }
        }
        sync_directory(&self.directory)?;
        self.listed.insert(segment);
        self.write_list()
    }

    /// Deletes the file of a segment.
    ///
    /// # Errors
    /// There is no space for the list, or something cannot be written. It may be tried again.
    pub fn delete(&mut self, segment: u32) -> io::Result<()> {
        let path = segment_path(&self.directory, segment);
        let spare = path.with_extension("spare");
        if path.exists() {
            fs::rename(path, &spare)?;
        }
        sync_directory(&self.directory)?;
        self.listed.remove(&segment);
        if self.write_list().is_err() {
            File::options().write(true).open(&spare)?.set_len(0)?; // on a full disk this may be the only space for the list
            self.write_list()?;
        }
        let is_whole = fs::metadata(&spare)?.len() >= LOG_SEGMENT_SIZE as u64;
        if !is_whole || self.spare.len() >= SPARE_MAX {
            return fs::remove_file(spare);
        }
        self.spare.push(spare);
        Ok(())
    }

    fn write_list(&self) -> io::Result<()> {
        write_list(&self.directory, self.shard, self.listed.iter().copied())
    }
}

/// Writes the list of a shard's segments.
///
/// # Errors
/// It cannot be written.
pub fn write_list(directory: &Path, shard: u16, segments: impl Iterator<Item = u32>) -> io::Result<()> {
    write_whole(&list_path(directory), &format::list(shard, segments))
}

/// The path of the list of the segments in this directory.
pub fn list_path(directory: &Path) -> PathBuf {
    directory.join("segments")
}

/// Writes and syncs a file with this head and zeros.
fn fill(path: &Path, head: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(head)?;
    let zeros = vec![0; FILL_PIECE];
    let mut left = LOG_SEGMENT_SIZE - BLOCK;
    while left > 0 {
        let piece = left.min(FILL_PIECE);
        file.write_all(&zeros[..piece])?;
        left -= piece;
    }
    file.sync_all()
}

/// The most files of deleted segments that are kept.
const SPARE_MAX: usize = 2;
/// Size of one write of zeros, bytes.
const FILL_PIECE: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::scratch::Scratch;

    #[test]
    fn what_is_listed_is_there_with_its_head() {
        let scratch = Scratch::new();
        fs::create_dir(scratch.path()).expect("ours");
        let open = || SegmentFiles::open(scratch.path(), ShardId(3)).expect("readable");
        let mut files = open();
        (1..=3).for_each(|segment| files.create(segment).expect("there is room"));
        files.delete(1).expect("it is there");
        files.create(4).expect("the spare one");
        assert!(!scratch.join("0000000001.spare").exists() && open().listed == BTreeSet::from([2, 3, 4]));
        for segment in open().listed {
            let file = fs::read(segment_path(scratch.path(), segment)).expect("it is there");
            assert_eq!(file.len(), LOG_SEGMENT_SIZE);
            assert_eq!(format::open(&file, segment).and_then(Head::read), Some(Head::of(3)));
        }
        fs::write(list_path(scratch.path()), "no list").expect("ours");
        assert!(SegmentFiles::open(scratch.path(), ShardId(3)).is_err());
    }
}
