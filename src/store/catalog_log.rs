//! The catalog's own log: its changes in the order in which they were made, in one file, which is written anew when most of it is history.
//!
//! It stands beside the logs of the shards because it is small and needed first: the broker serves as soon as it is read. Shard 0, who orders the
//! changes, writes it. File `catalog-G` (G: the generation) is records of kind `catalog` (see [`format`](super::format)); what does not check at its
//! end is the tail of a write that a crash tore.

use super::format::{self, HEADER, Kind};

/// The log of the catalog, on shard 0.
pub struct CatalogLog {
    generation: u32,
    /// Records that wait for the disk.
    staged: Vec<u8>,
    /// How many records were made, and how many of them the disk has.
    made: u64,
    durable: u64,
    /// A write is under way: how many records there will be.
    writing: Option<u64>,
    /// Bytes of the file, and of it when it was begun.
    size: u64,
    begun_with: u64,
}

/// What the driver is asked to do, one at a time; [`CatalogLog::on_written`] follows.
#[derive(PartialEq, Eq, Debug)]
pub enum CatalogOp {
    /// Append to the file of this generation, and have it on the disk.
    Append(u32, Vec<u8>),
    /// Write the file of this generation; when it is on the disk, delete that of the one before.
    Replace(u32, Vec<u8>),
}

impl CatalogLog {
    /// Goes on behind a file of this generation and size.
    pub fn new(generation: u32, size: u64) -> CatalogLog {
        CatalogLog { generation, staged: Vec::new(), made: 0, durable: 0, writing: None, size, begun_with: size }
    }

    /// Adds a record.
    pub fn append(&mut self, payload: &[u8]) {
        put(&mut self.staged, self.generation, payload);
        self.made += 1;
    }

    /// How many records were made.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// How many of them the disk has.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Whether nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Whether there is nothing to be written.
    pub fn is_at_rest(&self) -> bool {
        self.staged.is_empty() && self.writing.is_none()
    }

    /// Whether most of the file is history.
    pub fn is_long(&self) -> bool {
        self.writing.is_none() && self.size > HISTORY_MIN.max(2 * self.begun_with)
    }

    /// Begins a new file with these records, which say all that is to be known, changes that are not on the disk yet included.
    pub fn replace(&mut self, records: &[Vec<u8>]) -> CatalogOp {
        self.generation += 1;
        self.staged.clear();
        let bytes = self::records(self.generation, records.iter());
        self.writing = Some(self.made);
        (self.size, self.begun_with) = (bytes.len() as u64, bytes.len() as u64);
        CatalogOp::Replace(self.generation, bytes)
    }

    /// What is to be written now, if nothing is under way.
    pub fn next_op(&mut self) -> Option<CatalogOp> {
        if self.writing.is_some() || self.staged.is_empty() {
            return None;
        }
        self.writing = Some(self.made);
        self.size += self.staged.len() as u64;
        Some(CatalogOp::Append(self.generation, std::mem::take(&mut self.staged)))
    }

    /// The write is on the disk.
    pub fn on_written(&mut self) {
        self.durable = self.writing.take().expect("a write ends that was begun");
    }
}

/// The payloads of a file of this generation, in order, and how many bytes they take: what stands behind is to be cut off.
pub fn read(bytes: &[u8], generation: u32) -> (Vec<&[u8]>, u64) {
    let (mut payloads, mut at) = (Vec::new(), 0);
    while let Some(record) = format::open(&bytes[at..], generation).filter(|record| record.kind == Kind::Catalog) {
        payloads.push(record.payload);
        at += record.size();
    }
    (payloads, at as u64)
}

/// Records of a file of this generation.
pub fn records<'a>(generation: u32, payloads: impl Iterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    payloads.for_each(|payload| put(&mut bytes, generation, payload));
    bytes
}

fn put(bytes: &mut Vec<u8>, generation: u32, payload: &[u8]) {
    let begin = bytes.len();
    bytes.resize(begin + HEADER, 0);
    bytes.extend_from_slice(payload);
    format::seal(&mut bytes[begin..], generation, Kind::Catalog, 0, 0);
}

/// A file smaller than this is left alone, bytes.
const HISTORY_MIN: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_durable_once_their_write_is() {
        let mut log = CatalogLog::new(3, 0);
        assert_eq!(log.next_op(), None);
        log.append(b"one");
        let Some(CatalogOp::Append(3, first)) = log.next_op() else { panic!("something is staged") };
        log.append(b"two");
        assert_eq!((log.next_op(), log.made(), log.durable()), (None, 2, 0));
        log.on_written();
        assert_eq!(log.durable(), 1);
        let Some(CatalogOp::Append(3, second)) = log.next_op() else { panic!("something is staged") };
        let file = [first, second, b"torn".to_vec()].concat();
        let (payloads, len) = read(&file, 3);
        assert_eq!((payloads, len), (vec![&b"one"[..], b"two"], file.len() as u64 - 4));
        assert!(read(&file, 4).0.is_empty());
    }

    #[test]
    fn history_is_left_behind() {
        let mut log = CatalogLog::new(1, 0);
        let record = vec![7; 100_000];
        for _ in 0..20 {
            log.append(&record);
            assert!(log.next_op().is_some());
            log.on_written();
        }
        assert!(log.is_long());
        log.append(b"part of the new file");
        let CatalogOp::Replace(2, bytes) = log.replace(&[b"all".to_vec()]) else { panic!("the next generation") };
        assert_eq!(read(&bytes, 2).0, [b"all"]);
        assert!(log.next_op().is_none() && !log.is_long());
        log.on_written();
        assert_eq!(log.durable(), log.made());
    }
}
