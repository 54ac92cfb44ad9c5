//! A disk that forgets what was not synced: it carries out what a log asks for, one operation at a time, and may stop at any of them.
//!
//! ```text
//! submit ─▶ waiting ─▶ complete: done and durable, the log is told           crash: of the operation under way some sectors may have come
//! ```

use std::collections::{BTreeMap, VecDeque};

use ringmq::base::aligned::Aligned;
use ringmq::base::limits::LOG_SEGMENT_SIZE;
use ringmq::base::rng::Rng;
use ringmq::store::compact::Compacted;
use ringmq::store::{Op, Reader, Write};

/// The files of one log, and what is under way.
#[derive(Default)]
pub struct Disk {
    pub files: BTreeMap<u32, Vec<u8>>,
    /// Files that were deleted, to be used again with what they hold.
    spare: Vec<Vec<u8>>,
    waiting: VecDeque<Op>,
    /// What a thread of its own does beside that.
    beside: VecDeque<Op>,
    /// Operations that were completed.
    pub completed: u64,
}

/// What became of an operation: to be told to the log.
pub enum Done {
    Created(u32),
    Written(Write),
    Read(Reader, Aligned),
    Compacted(Compacted),
    Deleted,
}

impl Disk {
    /// Nothing under way, and these files.
    pub fn with_files(files: BTreeMap<u32, Vec<u8>>) -> Disk {
        Disk { files, ..Disk::default() }
    }

    /// The log wants something.
    pub fn submit(&mut self, op: Op) {
        match op {
            Op::Write(_) | Op::Read(..) => self.waiting.push_back(op),
            Op::Create(_) | Op::Compact(_) | Op::Delete(_) => self.beside.push_back(op),
        }
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.beside.is_empty()
    }

    /// Carries out the oldest operation of either kind.
    pub fn complete(&mut self, rng: &mut Rng) -> Option<Done> {
        let mut queues = [&mut self.waiting, &mut self.beside];
        queues.rotate_left(rng.below(2) as usize);
        let op = queues.into_iter().find_map(VecDeque::pop_front)?;
        self.completed += 1;
        Some(match op {
            Op::Create(segment) => {
                let mut file = self.spare.pop().unwrap_or_default();
                file.resize(LOG_SEGMENT_SIZE, 0);
                self.files.insert(segment, file);
                Done::Created(segment)
            }
            Op::Write(write) => {
                let len = write.buffer.len();
                self.put(&write, |_| true, len);
                Done::Written(write)
            }
            Op::Read(reader, segment, place, len) => Done::Read(reader, aligned(&self.read(segment, place, len))),
            Op::Compact(compaction) => {
                let (file, compacted) = compaction.run(&self.files[&compaction.segment]).expect("nothing is damaged");
                self.files.insert(compacted.segment, file.bytes().to_vec());
                Done::Compacted(compacted)
            }
            Op::Delete(segment) => {
                self.spare.push(self.files.remove(&segment).expect("it is there"));
                Done::Deleted
            }
        })
    }

    /// The machine stops: of a write under way any sectors may have reached the disk, and what had not begun did not happen.
    pub fn crash(&mut self, rng: &mut Rng) {
        if let Some(Op::Write(write)) = self.waiting.front() {
            let keep = rng.below(4);
            let mut drawn = |_| keep == 3 || keep > 0 && rng.below(2) == 0;
            let flags: Vec<bool> = (0..write.buffer.len().div_ceil(SECTOR)).map(&mut drawn).collect();
            let Some(Op::Write(write)) = self.waiting.pop_front() else { unreachable!("just seen") };
            let len = write.buffer.len();
            self.put(&write, |sector| flags[sector], len);
        }
        self.waiting.clear();
        self.beside.clear();
        self.spare.clear(); // deleted at the next start
    }

    /// Bytes of a file, fewer at its end.
    pub fn read(&self, segment: u32, place: u64, len: usize) -> Vec<u8> {
        let file = &self.files[&segment];
        let from = (place as usize).min(file.len());
        file[from..(from + len).min(file.len())].to_vec()
    }

    /// Numbers and sizes of the files.
    pub fn list(&self) -> Vec<(u32, u64)> {
        self.files.iter().map(|(&segment, file)| (segment, file.len() as u64)).collect()
    }

    fn put(&mut self, write: &Write, comes: impl Fn(usize) -> bool, len: usize) {
        let file = self.files.get_mut(&write.segment).expect("only what was created is written to");
        let place = write.place as usize;
        file.resize(file.len().max(place + len), 0);
        for (sector, bytes) in write.buffer.bytes().chunks(SECTOR).enumerate().filter(|(sector, _)| comes(*sector)) {
            file[place + sector * SECTOR..][..bytes.len()].copy_from_slice(bytes);
        }
    }
}

fn aligned(bytes: &[u8]) -> Aligned {
    let mut buffer = Aligned::default();
    buffer.extend(bytes.len()).copy_from_slice(bytes);
    buffer
}

/// What a disk writes wholly or not at all.
const SECTOR: usize = 512;
