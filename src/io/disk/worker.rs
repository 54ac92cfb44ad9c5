//! A thread of a shard for slow operations on files: making segments, writing their indexes,
//! compacting and deleting them, and writing the catalog's log.
//!
//! If the disk is full, the thread raises the alarm and waits: segments become free as messages are
//! consumed. It also waits if no descriptor is left. Any other failure ends the process. A job that
//! has waited is done again from its start, so a job that must not be done twice opens all of its
//! files first.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::base::alarms::{Alarm, Alarms};
use crate::base::limits;
use crate::io::disk::segment_files::SegmentFiles;
use crate::io::disk::segment_path;
use crate::io::host::descriptors;
use crate::io::host::process;
use crate::io::wake::Bell;
use crate::store::catalog_log::CatalogOp;
use crate::store::compact::{Compacted, Compaction};
use crate::store::index::{Indexed, Indexing};

/// The end of the sentence about a damaged file.
pub const ACCEPT: &str = "--accept-log-loss, which goes on without";

/// A job of a worker.
pub enum Job {
    /// Make the file of this segment.
    Create(u32),
    /// Write the index of a segment.
    Index(Box<Indexing>),
    /// Rewrite a segment.
    Compact(Box<Compaction>),
    /// Delete the file of this segment.
    Delete(u32),
    /// A write of the catalog's log.
    Catalog(CatalogOp),
}

/// The result of a job.
pub enum Finished {
    /// The file of this segment is ready.
    Created(u32),
    /// The index of a segment is written.
    Indexed(Indexed),
    /// A segment is rewritten.
    Compacted(Compacted),
    /// A segment is damaged and left as it is.
    Left,
    /// The catalog's log is written.
    Catalog,
}

/// A worker thread, as its shard sees it. Dropping it waits until the jobs in hand are done, except
/// those that wait for disk space or a descriptor, which are thrown away: afterwards the thread
/// changes no file any more.
pub struct Worker {
    /// None while it is dropped.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// The state of a worker thread.
struct Hand {
    directory: PathBuf,
    alarms: Arc<Alarms>,
    /// Whether it has raised the alarm.
    is_full: bool,
    /// Whether it has logged that no descriptor is left.
    is_without_descriptor: bool,
    jobs: Receiver<Job>,
    /// Jobs to be done, among them those that wait for disk space.
    waiting: VecDeque<Job>,
    finished: Sender<Finished>,
    bell: Arc<Bell>,
    /// The segments of the shard's log; the catalog's worker has none.
    segments: Option<SegmentFiles>,
    /// The open copies of the catalog's log, and their generation.
    catalog: Option<(u32, [File; 2])>,
}

impl Worker {
    /// Starts a thread that works in `directory`. It sends its results to `finished` and then rings
    /// the bell.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        name: String,
        directory: PathBuf,
        segments: Option<SegmentFiles>,
        alarms: Arc<Alarms>,
        finished: Sender<Finished>,
        bell: Arc<Bell>,
    ) -> io::Result<Worker> {
        let (sender, jobs) = mpsc::channel();
        let hand = Hand {
            directory,
            alarms,
            is_full: false,
            is_without_descriptor: false,
            jobs,
            waiting: VecDeque::new(),
            finished,
            bell,
            segments,
            catalog: None,
        };
        let thread = thread::Builder::new().name(name).spawn(move || hand.work())?;
        Ok(Worker { jobs: Some(sender), thread: Some(thread) })
    }

    /// Adds a job. Jobs are done in order, except those that wait.
    pub fn give(&self, job: Job) {
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok());
        if !sent {
            process::fail("the thread for the log's files is gone");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None; // after the jobs that were given, the thread finds that there are no more
        self.thread.take().into_iter().for_each(|thread| drop(thread.join()));
    }
}

impl Hand {
    fn work(mut self) {
        loop {
            let next = if self.waiting.is_empty() {
                self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.jobs.recv_timeout(RETRY)
            };
            match next {
                Ok(job) => self.waiting.push_back(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            for job in std::mem::take(&mut self.waiting) {
                self.try_to(job);
            }
            if self.waiting.is_empty() {
                self.is_without_descriptor = false;
                if std::mem::take(&mut self.is_full) {
                    self.alarms.set(Alarm::DiskFull, false);
                }
            }
        }
    }

    /// Does a job, or keeps it for later if the disk is full or no descriptor is left.
    fn try_to(&mut self, job: Job) {
        let result = match &job {
            Job::Create(segment) => self.segments().create(*segment).map(|()| Some(Finished::Created(*segment))),
            Job::Index(indexing) => write_index(&self.directory, indexing).map(|indexed| Some(Finished::Indexed(indexed))),
            Job::Compact(compaction) => self.compact(compaction).map(Some),
            Job::Delete(segment) => self.segments().delete(*segment).map(|()| None),
            Job::Catalog(op) => self.write_catalog(op).map(|()| Some(Finished::Catalog)),
        };
        match result {
            Ok(done) => {
                if let Some(done) = done {
                    // A shard that has ended needs no result.
                    let _ = self.finished.send(done);
                    self.bell.ring();
                }
            }
            Err(error) if error.kind() == io::ErrorKind::StorageFull || error.kind() == io::ErrorKind::QuotaExceeded => {
                self.is_full = true;
                self.alarms.set(Alarm::DiskFull, true);
                self.waiting.push_back(job);
            }
            Err(error) if descriptors::are_used_up(&error) => {
                if !std::mem::replace(&mut self.is_without_descriptor, true) {
                    log::warn!("the log in {} waits for a free file descriptor", self.directory.display());
                }
                self.waiting.push_back(job);
            }
            Err(error) => process::fail(&format!("the log in {} failed: {error}", self.directory.display())),
        }
    }

    fn segments(&mut self) -> &mut SegmentFiles {
        self.segments.as_mut().expect("only a shard's worker is asked for segments")
    }

    fn compact(&mut self, compaction: &Compaction) -> io::Result<Finished> {
        let shard = self.segments().shard();
        let path = segment_path(&self.directory, compaction.segment);
        let old = fs::read(&path)?;
        match compaction.run(&old, shard) {
            Ok((file, compacted)) => write_whole(&path, file.bytes()).map(|()| Finished::Compacted(compacted)),
            Err(damage) => {
                let what = format!("{}: damaged at byte {}", path.display(), damage.place);
                if !compaction.accept_loss {
                    process::fail(&format!("{what}; put the file back from a backup, or start with {ACCEPT} what is damaged"));
                }
                log::error!("{what}; the file is left as it is");
                Ok(Finished::Left)
            }
        }
    }

    fn write_catalog(&mut self, op: &CatalogOp) -> io::Result<()> {
        match op {
            CatalogOp::Append(generation, bytes) => {
                let files = match &mut self.catalog {
                    Some((open, files)) if open == generation => files,
                    catalog => &mut catalog.insert((*generation, open_catalog(&self.directory, *generation)?)).1,
                };
                append(files, bytes)
            }
            CatalogOp::Replace(generation, bytes) => {
                self.catalog = None;
                catalog_paths(&self.directory, *generation).iter().try_for_each(|path| write_whole(path, bytes))?;
                catalog_paths(&self.directory, generation - 1).iter().try_for_each(|old| match fs::remove_file(old) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                    _ => Ok(()),
                })
            }
        }
    }
}

fn open_catalog(directory: &Path, generation: u32) -> io::Result<[File; 2]> {
    let open = |path| File::options().append(true).create(true).open(path);
    let [one, other] = catalog_paths(directory, generation).map(open);
    let files = [one?, other?];
    sync_directory(directory)?;
    Ok(files)
}

/// Appends to both copies. If the disk is full, no copy keeps a part of the bytes, which would
/// precede those of the next try.
fn append(files: &mut [File; 2], bytes: &[u8]) -> io::Result<()> {
    let [one, other] = &*files;
    let before = [one.metadata()?.len(), other.metadata()?.len()];
    let written = files.iter_mut().try_for_each(|file| file.write_all(bytes));
    written.inspect_err(|_| files.iter().zip(before).for_each(|(file, before)| drop(file.set_len(before))))?;
    files.iter().try_for_each(File::sync_data)
}

/// The paths of the two copies of the catalog's log.
pub fn catalog_paths(directory: &Path, generation: u32) -> [PathBuf; 2] {
    ["a", "b"].map(|copy| directory.join(format!("catalog-{generation}.{copy}")))
}

/// Writes a file under another name first, so that a crash leaves the old file or the new one.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    let directory = File::open(path.parent().expect("a file stands in a directory"))?;
    let write = || {
        let mut file = File::create(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().inspect_err(|_| drop(fs::remove_file(&draft)))?;
    fs::rename(&draft, path)?;
    directory.sync_all()
}

/// Writes the index of a segment whose file is in this directory.
pub fn write_index(directory: &Path, indexing: &Indexing) -> io::Result<Indexed> {
    let (place, bytes, indexed) = indexing.run();
    write_at(&segment_path(directory, indexing.segment), place, bytes.blocks())?;
    Ok(indexed)
}

/// Writes to an offset of an existing file, and syncs it.
pub fn write_at(path: &Path, place: u64, bytes: &[u8]) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    file.write_all_at(bytes, place)?;
    file.sync_data()
}

/// Syncs a directory, so that created and renamed files in it are on the disk.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// How often the waiting jobs are tried again.
const RETRY: Duration = Duration::from_millis(limits::DISK_RETRY_MS);
