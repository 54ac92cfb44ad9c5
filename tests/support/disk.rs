//! A disk that forgets everything that was not synced. It carries out the operations of a log one
//! at a time, and may stop at any of them.
//!
//! ```text
//! submit ─▶ waiting ─▶ complete   done and durable; the log is told
//!                   └▶ crash      some sectors of an unfinished write may be there
//! ```
//!
//! Reads and the write overtake each other. Slow operations on files are done beside them, in
//! order. A file is created, and then listed; later it leaves the list, and then it is deleted (see
//! `io::segment_files`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ringmq::base::aligned::Aligned;
use ringmq::base::limits::LOG_SEGMENT_SIZE;
use ringmq::base::rng::Rng;
use ringmq::store::compact::Compacted;
use ringmq::store::format::Head;
use ringmq::store::index::{Indexed, Indexing};
use ringmq::store::recover::{Files, Recovered, Trouble, recover};
use ringmq::store::{Op, Reader, Write};

/// The files of one log, and the operations under way.
#[derive(Default)]
pub struct Disk {
    pub files: BTreeMap<u32, Vec<u8>>,
    /// The listed files, which must be there.
    pub listed: BTreeSet<u32>,
    /// Deleted files, to be reused with their old content.
    spare: Vec<Vec<u8>>,
    waiting: VecDeque<Ring>,
    /// Operations of the disk's second thread, beside the ring.
    beside: VecDeque<Op>,
    /// The number of completed operations.
    pub completed: u64,
    /// Whether the disk is full: no further file can be created.
    pub is_full: bool,
    /// The mean number of turns that an operation takes, if more than one.
    pub slowness: u64,
}

/// An operation under way in the ring. A read has opened its file: it returns the file's bytes even
/// if the file is deleted meanwhile.
enum Ring {
    Write(Write),
    Read(Reader, Aligned),
}

/// The end of an operation, for the log.
pub enum Done {
    Created(u32),
    Written(Write),
    Read(Reader, Aligned),
    Indexed(Indexed),
    Compacted(Compacted),
    Deleted,
}

impl Disk {
    /// Copies the files, with no operation under way.
    pub fn copy(&self) -> Disk {
        Disk { files: self.files.clone(), listed: self.listed.clone(), ..Disk::default() }
    }

    /// Returns the files that a start finds.
    pub fn recover(&self) -> Result<Recovered, Trouble> {
        let there: Vec<(u32, u64)> = self.list();
        let listed: Vec<u32> = self.listed.iter().copied().collect();
        let files = Files { shard: 0, there: &there, listed: Some(&listed), check_all: false };
        recover(files, &mut |segment, place, len| Ok(self.read(segment, place, len)))
    }

    /// Prepares the files after a start has read them.
    pub fn clear(&mut self, recovered: &Recovered) {
        self.listed = recovered.segments.iter().copied().collect();
        recovered.empty.iter().for_each(|empty| _ = self.files.remove(empty));
    }

    /// Takes an operation of the log.
    pub fn submit(&mut self, op: Op) {
        match op {
            Op::Write(write) => self.waiting.push_back(Ring::Write(write)),
            Op::Read(reader, segment, place, len) => {
                let bytes = aligned(&self.read(segment, place, len));
                self.waiting.push_back(Ring::Read(reader, bytes));
            }
            Op::Create(_) | Op::Index(_) | Op::Compact(_) | Op::Delete(_) => self.beside.push_back(op),
        }
    }

    /// Whether no operation is under way.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.beside.is_empty()
    }

    /// Whether an operation waits because the disk is full.
    pub fn is_starved(&self) -> bool {
        self.is_full && self.beside.iter().any(needs_room)
    }

    /// Carries out an operation that is under way, unless it takes more turns.
    pub fn complete(&mut self, rng: &mut Rng) -> Option<Done> {
        if self.slowness > 1 && rng.below(self.slowness) > 0 {
            return None;
        }
        let beside = self.beside.iter().position(|op| !self.is_full || !needs_room(op));
        let done = match beside {
            Some(at) if self.waiting.is_empty() || rng.below(2) == 0 => self.beside.remove(at).map(|op| self.carry_out(op)),
            _ if self.waiting.is_empty() => None,
            _ => self.waiting.remove(rng.below(self.waiting.len() as u64) as usize).map(|ring| self.end(ring)),
        };
        self.completed += u64::from(done.is_some());
        done
    }

    fn end(&mut self, ring: Ring) -> Done {
        match ring {
            Ring::Read(reader, bytes) => Done::Read(reader, bytes),
            Ring::Write(write) => {
                self.put(write.segment, write.place, write.buffer.bytes(), |_| true);
                Done::Written(write)
            }
        }
    }

    fn carry_out(&mut self, op: Op) -> Done {
        match op {
            Op::Create(segment) => {
                self.create(segment);
                self.listed.insert(segment);
                Done::Created(segment)
            }
            Op::Index(indexing) => Done::Indexed(self.index(&indexing, |_| true)),
            Op::Compact(compaction) => {
                let (file, compacted) = compaction.run(&self.files[&compaction.segment], 0).expect("nothing is damaged");
                self.files.insert(compacted.segment, file.bytes().to_vec());
                Done::Compacted(compacted)
            }
            Op::Delete(segment) => {
                self.spare.extend(self.files.remove(&segment));
                self.listed.remove(&segment);
                Done::Deleted
            }
            Op::Write(_) | Op::Read(..) => unreachable!("the ring does that"),
        }
    }

    fn create(&mut self, segment: u32) {
        let mut file = self.spare.pop().unwrap_or_default();
        file.resize(LOG_SEGMENT_SIZE, 0);
        let head = Head::of(0).block(segment);
        file[..head.len()].copy_from_slice(&head);
        self.files.insert(segment, file);
    }

    fn index(&mut self, indexing: &Indexing, comes: impl FnMut(usize) -> bool) -> Indexed {
        let (place, bytes, indexed) = indexing.run();
        self.put(indexing.segment, place, bytes.bytes(), comes);
        indexed
    }

    /// Stops the machine. Any sectors of a write under way may have reached the disk, the oldest
    /// operation of the second thread may be half done, and all others did not happen.
    pub fn crash(&mut self, rng: &mut Rng) {
        for op in std::mem::take(&mut self.waiting) {
            if let Ring::Write(write) = op {
                self.put(write.segment, write.place, write.buffer.bytes(), torn(rng));
            }
        }
        let beside = std::mem::take(&mut self.beside).into_iter().find(|op| !self.is_full || !needs_room(op));
        match beside {
            Some(Op::Create(segment)) if rng.below(2) == 0 => self.create(segment), // created, but not listed
            Some(Op::Index(indexing)) => drop(self.index(&indexing, torn(rng))),
            Some(op) if rng.below(2) == 0 => drop(self.carry_out(op)),
            _ => {}
        }
        self.spare.clear(); // a start deletes them
    }

    /// Returns bytes of a file, fewer at its end.
    pub fn read(&self, segment: u32, place: u64, len: usize) -> Vec<u8> {
        let Some(file) = self.files.get(&segment) else { return vec![0; len] }; // deleted meanwhile: the bytes are not needed any more
        let from = (place as usize).min(file.len());
        file[from..(from + len).min(file.len())].to_vec()
    }

    /// Returns the numbers and sizes of the files.
    pub fn list(&self) -> Vec<(u32, u64)> {
        self.files.iter().map(|(&segment, file)| (segment, file.len() as u64)).collect()
    }

    fn put(&mut self, segment: u32, place: u64, bytes: &[u8], mut comes: impl FnMut(usize) -> bool) {
        let file = self.files.get_mut(&segment).expect("only what was created is written to");
        let place = place as usize;
        file.resize(file.len().max(place + bytes.len()), 0);
        for (sector, bytes) in bytes.chunks(SECTOR).enumerate().filter(|(sector, _)| comes(*sector)) {
            file[place + sector * SECTOR..][..bytes.len()].copy_from_slice(bytes);
        }
    }
}

/// Writes any sectors of a write, in particular none or all.
fn torn(rng: &mut Rng) -> impl FnMut(usize) -> bool {
    let keep = rng.below(4);
    move |_| keep == 3 || keep > 0 && rng.below(2) == 0
}

fn needs_room(op: &Op) -> bool {
    matches!(op, Op::Create(_) | Op::Compact(_))
}

fn aligned(bytes: &[u8]) -> Aligned {
    let mut buffer = Aligned::default();
    buffer.extend(bytes.len()).copy_from_slice(bytes);
    buffer
}

/// The unit that a disk writes wholly or not at all, bytes.
const SECTOR: usize = 512;
