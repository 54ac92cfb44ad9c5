//! The log's files as their shard uses them: writes and reads through the shard's ring, slow
//! operations by another thread.
//!
//! ```text
//! Op::Write, Op::Read ─▶ ring ─────────────────────────────▶ completion ─▶ Done
//! Op::Create, Index, Compact, Delete, CatalogOp ─▶ worker ─▶ eventfd ─────▶ Finished
//! ```
//!
//! Files are opened with O_DIRECT and O_DSYNC: bytes are on the disk when their write completes,
//! and take no memory of the system's cache. With `--durability os`, files are opened without these
//! flags, and bytes have only reached the system. On a file system without O_DIRECT (tmpfs), that
//! flag is left out.
//!
//! If a file cannot be opened because no descriptor is left, the operation and all later ones wait:
//! a shortage must not end the process.

pub mod segment_files;
pub mod worker;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use io_uring::{opcode, types};
use slab::Slab;

use super::ring::Ring;
use super::token::Token;
use super::wake::Bell;
use crate::base::alarms::Alarms;
use crate::base::aligned::Aligned;
use crate::base::hash::Map;
use crate::base::ids::ShardId;
use crate::base::limits::DISK_RETRY_MS;
use crate::config::{Config, Durability};
use crate::io::host::descriptors;
use crate::io::host::process;
use crate::store::catalog_log::CatalogOp;
use crate::store::{Op, Reader, Write};
use segment_files::SegmentFiles;
use worker::{Finished, Job, Worker};

/// The flags with which files of a log are opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mode {
    /// Whether writes bypass the system's cache.
    direct: bool,
    /// Whether a write completes only when it is on the disk.
    sync: bool,
}

/// The files of one shard's log.
pub struct Disk {
    files: Files,
    /// Operations in the ring.
    operations: Slab<Operation>,
    /// Operations that wait for a descriptor, in order.
    waiting: VecDeque<Op>,
    /// When the waiting operations are tried again.
    retry_at: Option<u64>,
    bell: Arc<Bell>,
    worker: Worker,
    catalog_worker: Worker,
    finished: Receiver<Finished>,
}

/// The open files of a log's segments.
struct Files {
    directory: PathBuf,
    mode: Mode,
    open: Map<u32, Rc<File>>,
    open_max: usize,
    /// The file of the segment that is being rewritten, as it was: until the shard is told that it
    /// was rewritten, it reads at the old offsets.
    rewritten: Option<(u32, Rc<File>)>,
}

/// An operation under way. Its file stays open and its buffer does not move until it completes.
struct Operation {
    file: Rc<File>,
    what: What,
}

enum What {
    Write(Write),
    Read(Reader, Aligned),
}

/// The result of a completed operation.
pub enum Done {
    /// A write is on the disk.
    Written(Write),
    /// A read has completed.
    Read(Reader, Aligned),
}

impl Disk {
    /// Opens the log of a shard, which keeps at most `open_max` files open.
    ///
    /// # Errors
    /// The directory cannot be written to, or the system has no descriptor or no thread left.
    pub fn open(shard: ShardId, config: &Config, open_max: usize, alarms: &Arc<Alarms>) -> io::Result<Disk> {
        let data_dir = &config.data_dir;
        let directory = shard_directory(data_dir, shard);
        std::fs::create_dir_all(&directory)?;
        let mode = Mode::find(config.durability, &directory)?;
        let (sender, finished) = channel();
        let bell = Arc::new(Bell::new()?);
        let name = |what| format!("ringmq-{what}-{}", shard.0);
        let segments = SegmentFiles::open(&directory, shard)?;
        let worker = Worker::start(name("disk"), directory.clone(), Some(segments), alarms.clone(), sender.clone(), bell.clone())?;
        let catalog_worker = Worker::start(name("catalog"), data_dir.clone(), None, alarms.clone(), sender, bell.clone())?;
        let files = Files { directory, mode, open: Map::default(), open_max, rewritten: None };
        let (operations, waiting) = (Slab::new(), VecDeque::new());
        Ok(Disk { files, operations, waiting, retry_at: None, bell, worker, catalog_worker, finished })
    }

    /// Starts to listen to the worker threads.
    pub fn watch(&self, ring: &mut Ring<'_>) {
        self.bell.watch(ring);
    }

    /// Whether the ring is writing or reading, for which the kernel may need this CPU.
    pub fn is_busy(&self) -> bool {
        !self.operations.is_empty()
    }

    /// Begins an operation, or queues it if others wait.
    pub fn start(&mut self, op: Op, now: u64, ring: &mut Ring<'_>) {
        self.waiting.push_back(op);
        if self.retry_at.is_none() {
            self.go_on(now, ring);
        }
    }

    /// Tries the waiting operations again, if it is time.
    pub fn expire(&mut self, now: u64, ring: &mut Ring<'_>) {
        if self.retry_at.is_some_and(|due| due <= now) {
            self.go_on(now, ring);
        }
    }

    /// When [`Disk::expire`] has something to do next.
    pub fn due(&self) -> Option<u64> {
        self.retry_at
    }

    fn go_on(&mut self, now: u64, ring: &mut Ring<'_>) {
        let waited = self.retry_at.take().is_some();
        while let Some(op) = self.waiting.pop_front() {
            if needed(&op).is_some_and(|segment| !self.files.is_to_be_had(segment)) {
                if !waited {
                    log::warn!("the log in {} waits for a free file descriptor", self.files.directory.display());
                }
                self.waiting.push_front(op);
                self.retry_at = Some(now + DISK_RETRY_MS);
                return;
            }
            self.begin(op, ring);
        }
    }

    fn begin(&mut self, op: Op, ring: &mut Ring<'_>) {
        match op {
            Op::Write(write) => {
                let file = self.files.get(write.segment);
                self.push(Operation { file, what: What::Write(write) }, ring);
            }
            Op::Read(reader, segment, place, len) => {
                let file = self.files.get(segment);
                let operation = Operation { file, what: What::Read(reader, Aligned::zeroed(len)) };
                self.push_at(operation, place, ring);
            }
            Op::Create(segment) => self.worker.give(Job::Create(segment)),
            Op::Index(indexing) => self.worker.give(Job::Index(indexing)),
            Op::Compact(compaction) => {
                self.files.keep(compaction.segment);
                self.worker.give(Job::Compact(compaction));
            }
            Op::Delete(segment) => {
                self.files.close(segment);
                self.worker.give(Job::Delete(segment));
            }
        }
    }

    /// Begins a write of the catalog's log.
    pub fn start_catalog(&mut self, op: CatalogOp) {
        self.catalog_worker.give(Job::Catalog(op));
    }

    /// Returns the result of an operation of the ring. Ends the process if the operation has
    /// failed: no confirm may be wrong.
    pub fn on_completion(&mut self, number: u32, result: i32) -> Done {
        let Operation { what, .. } = self.operations.remove(number as usize);
        let bytes = usize::try_from(result);
        match what {
            What::Write(write) if bytes == Ok(write.buffer.len()) => Done::Written(write),
            What::Read(reader, buffer) if bytes.is_ok() => Done::Read(reader, buffer),
            What::Write(write) => self.fail("written", write.segment, result),
            What::Read(reader, _) => self.fail("read", reader.segment(), result),
        }
    }

    /// Returns what the worker threads have finished, and listens to them again.
    pub fn on_bell(&mut self, ring: &mut Ring<'_>) -> Vec<Finished> {
        self.bell.watch(ring);
        let finished: Vec<Finished> = self.finished.try_iter().collect();
        if finished.iter().any(|done| matches!(done, Finished::Compacted(_) | Finished::Left)) {
            self.files.let_go();
        }
        finished
    }

    fn push(&mut self, operation: Operation, ring: &mut Ring<'_>) {
        let What::Write(write) = &operation.what else { unreachable!("only writes know their place") };
        let place = write.place;
        self.push_at(operation, place, ring);
    }

    fn push_at(&mut self, operation: Operation, place: u64, ring: &mut Ring<'_>) {
        let number = self.operations.insert(operation);
        let Operation { file, what } = &mut self.operations[number];
        let fd = types::Fd(file.as_raw_fd());
        let token = Token::Disk(number as u32).encode();
        let entry = match what {
            What::Write(write) => {
                let bytes = write.buffer.blocks();
                let len = u32::try_from(bytes.len()).expect("a batch is shorter than 4 GiB");
                opcode::Write::new(fd, bytes.as_ptr(), len).offset(place).build()
            }
            What::Read(_, buffer) => {
                let bytes = buffer.blocks_mut();
                let len = u32::try_from(bytes.len()).expect("a read is shorter than 4 GiB");
                opcode::Read::new(fd, bytes.as_mut_ptr(), len).offset(place).build()
            }
        };
        // SAFETY: the buffer's memory does not move in `operations` until the completion takes it
        // out.
        unsafe { ring.push(&entry.user_data(token)) };
    }

    fn fail(&self, what: &str, segment: u32, result: i32) -> ! {
        let path = segment_path(&self.files.directory, segment);
        let why = if result < 0 { io::Error::from_raw_os_error(-result).to_string() } else { format!("only {result} bytes of it") };
        process::fail(&format!("the log file {} cannot be {what}: {why}", path.display()))
    }
}

impl Files {
    /// Opens the file of a segment, if it is not open. Returns false if there is no descriptor for
    /// it.
    fn is_to_be_had(&mut self, segment: u32) -> bool {
        if self.found(segment).is_some() {
            return true;
        }
        if self.open.len() >= self.open_max {
            self.open.clear();
        }
        let path = segment_path(&self.directory, segment);
        let mut opened = self.mode.open(&path);
        if opened.as_ref().is_err_and(descriptors::are_used_up) {
            self.open.clear(); // closing files may free one
            opened = self.mode.open(&path);
        }
        match opened {
            Ok(file) => _ = self.open.insert(segment, Rc::new(file)),
            Err(error) if descriptors::are_used_up(&error) => return false,
            Err(error) => process::fail(&format!("{} cannot be opened: {error}", path.display())),
        }
        true
    }

    /// The file of a segment, after [`Files::is_to_be_had`].
    fn get(&self, segment: u32) -> Rc<File> {
        self.found(segment).expect("it was just opened").clone()
    }

    fn found(&self, segment: u32) -> Option<&Rc<File>> {
        let rewritten = self.rewritten.as_ref().filter(|(rewritten, _)| *rewritten == segment);
        rewritten.map(|(_, file)| file).or_else(|| self.open.get(&segment))
    }

    /// Keeps the file of a segment that is going to be rewritten: another file will get its name.
    fn keep(&mut self, segment: u32) {
        self.rewritten = Some((segment, self.get(segment)));
    }

    /// Releases the file of the segment that was kept by [`keep`](Self::keep).
    fn let_go(&mut self) {
        if let Some((segment, _)) = self.rewritten.take() {
            self.close(segment);
        }
    }

    fn close(&mut self, segment: u32) {
        self.open.remove(&segment);
    }
}

impl Mode {
    /// Chooses the mode for this durability, as far as the file system of the directory supports
    /// it.
    fn find(durability: Durability, directory: &Path) -> io::Result<Mode> {
        let sync = durability == Durability::Sync;
        let path = directory.join("probe");
        File::create(&path)?;
        let direct = sync && Mode { direct: true, sync }.open(&path).is_ok();
        std::fs::remove_file(&path)?;
        if sync && !direct {
            log::warn!(
                "the file system of {} does not support O_DIRECT: the log is written through the system's cache",
                directory.display()
            );
        }
        Ok(Mode { direct, sync })
    }

    fn open(self, path: &Path) -> io::Result<File> {
        let flags = if self.direct { libc::O_DIRECT } else { 0 } | if self.sync { libc::O_DSYNC } else { 0 };
        File::options().read(true).write(true).custom_flags(flags).open(path)
    }
}

/// The directory of a shard's log.
pub fn shard_directory(data_dir: &Path, shard: ShardId) -> PathBuf {
    data_dir.join(format!("shard-{}", shard.0))
}

/// The path of a segment's file.
pub fn segment_path(directory: &Path, segment: u32) -> PathBuf {
    directory.join(format!("{segment:010}.log"))
}

/// The segment whose file must be open before an operation can begin.
fn needed(op: &Op) -> Option<u32> {
    match op {
        Op::Write(write) => Some(write.segment),
        Op::Read(_, segment, ..) => Some(*segment),
        Op::Compact(compaction) => Some(compaction.segment),
        Op::Create(_) | Op::Index(_) | Op::Delete(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::scratch::Scratch;
    use std::io::Read;

    #[test]
    fn a_segment_that_is_being_rewritten_is_read_as_it_was() {
        let scratch = Scratch::new();
        let path = segment_path(scratch.path(), 7);
        std::fs::create_dir(scratch.path()).and_then(|()| std::fs::write(&path, "old")).expect("ours");
        let directory = scratch.path().to_owned();
        let mut files = Files { directory, mode: Mode { direct: false, sync: false }, open: Map::default(), open_max: 8, rewritten: None };
        let read = |files: &mut Files| {
            assert!(files.is_to_be_had(7));
            let mut text = String::new();
            (&*files.get(7)).read_to_string(&mut text).expect("it can be read");
            text
        };
        assert!(files.is_to_be_had(7));
        files.keep(7);
        files.open.clear();
        std::fs::rename(scratch.file("other", "new"), &path).expect("it is replaced");
        assert_eq!(read(&mut files), "old");
        files.let_go();
        assert_eq!(read(&mut files), "new");
    }
}
