//! The simulated disks of a broker: a log for each shard (see [`disk`](super::disk)) and the
//! catalog's log, and their recovery after a restart. The counterpart of `start::storage`.

use std::collections::BTreeMap;

use ringmq::base::rng::Rng;
use ringmq::broker::catalog::{Catalog, Numbers, Saved};
use ringmq::shard::{Found, Stop};
use ringmq::store::Store;
use ringmq::store::catalog_log::{self, CatalogLog, CatalogOp};

use super::disk::Disk;

/// The two copies of the catalog's log, by generation, and the operation under way.
#[derive(Default)]
pub struct CatalogDisk {
    files: BTreeMap<u32, [Option<Vec<u8>>; 2]>,
    under_way: Option<CatalogOp>,
}

impl CatalogDisk {
    /// Takes an operation of the log.
    pub fn submit(&mut self, op: CatalogOp) {
        assert!(self.under_way.replace(op).is_none(), "two writes of the catalog's log at once");
    }

    /// Whether no operation is under way.
    pub fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// Carries out the operation under way. Returns true if the log is to be told.
    pub fn complete(&mut self) -> bool {
        match self.under_way.take() {
            Some(CatalogOp::Append(generation, bytes)) => self.append(generation, [&bytes, &bytes]),
            Some(CatalogOp::Replace(generation, bytes)) => self.begin(generation, bytes),
            None => return false,
        }
        true
    }

    fn append(&mut self, generation: u32, bytes: [&[u8]; 2]) {
        let copies = self.files.get_mut(&generation).expect("its files were begun").iter_mut().flatten();
        copies.zip(bytes).for_each(|(copy, bytes)| copy.extend(bytes));
    }

    fn begin(&mut self, generation: u32, bytes: Vec<u8>) {
        self.files = BTreeMap::from([(generation, [Some(bytes.clone()), Some(bytes)])]);
    }

    /// Stops the machine. Each copy has some or all of the bytes that were being appended; of new
    /// files none, one or both may exist, beside the old ones.
    pub fn crash(&mut self, rng: &mut Rng) {
        match self.under_way.take() {
            Some(CatalogOp::Append(generation, bytes)) => {
                let [one, other] = [torn(&bytes, rng), torn(&bytes, rng)];
                self.append(generation, [&one, &other]);
            }
            Some(CatalogOp::Replace(generation, bytes)) => match rng.below(3) {
                0 => {}
                1 => _ = self.files.insert(generation, [Some(bytes), None]),
                _ => _ = self.files.insert(generation, [Some(bytes.clone()), Some(bytes)]),
            },
            None => {}
        }
    }

    /// Opens the newest files, written anew if a crash came in between; older ones are deleted. On
    /// empty disks it founds a new broker.
    fn find(&mut self) -> (Vec<Saved>, CatalogLog) {
        let Some((generation, copies)) = self.files.pop_last() else {
            let founding = Catalog::restored(&Saved::read(std::iter::empty()).expect("nothing is unknown in nothing")).snapshot();
            return self.write_anew(1, founding.iter().map(Vec::as_slice).collect());
        };
        let read = catalog_log::read(copies.each_ref().map(Option::as_deref), generation);
        assert!(read.lost.is_empty(), "a crash was taken for damage");
        if read.faults != [None; 2] || copies.contains(&None) {
            return self.write_anew(generation + 1, read.payloads);
        }
        let (records, log) = (saved(&read.payloads), CatalogLog::new(generation, read.size, read.next_write));
        self.files = BTreeMap::from([(generation, copies)]);
        (records, log)
    }

    fn write_anew(&mut self, generation: u32, payloads: Vec<&[u8]>) -> (Vec<Saved>, CatalogLog) {
        let bytes = catalog_log::records(generation, 0, payloads.iter().copied());
        let log = CatalogLog::new(generation, bytes.len() as u64, 1);
        self.begin(generation, bytes);
        (saved(&payloads), log)
    }
}

fn saved(payloads: &[&[u8]]) -> Vec<Saved> {
    Saved::read(payloads.iter().copied()).expect("this version wrote it")
}

/// Returns bytes that may remain of an unfinished append: their beginning, perhaps without the
/// length by which the file has already grown.
fn torn(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = bytes[..rng.below(1 + bytes.len() as u64) as usize].to_vec();
    if rng.below(3) == 0 && !bytes.is_empty() {
        let gap = rng.below(bytes.len() as u64) as usize;
        let end = gap + rng.below((bytes.len() - gap) as u64 + 1) as usize;
        bytes[gap..end].fill(0);
    }
    bytes
}

/// Recovers the logs after a restart, with the notes of an orderly stop: one log for each shard,
/// and the catalog's. The shards' logs have no messages of queues that the catalog does not know.
pub fn find<'d>(disks: impl Iterator<Item = &'d mut Disk>, catalog: &mut CatalogDisk, stopped: Option<Stop>) -> Found {
    let (catalog, catalog_log) = catalog.find();
    let declared_below = Numbers::of(&catalog).declared_below;
    let stores: Vec<Store> = disks.map(find_store).collect();
    let unknown: Vec<_> = stores.iter().flat_map(|store| store.found_from(declared_below)).collect();
    assert!(unknown.is_empty(), "queue, segment, messages of what the catalog has lost: {unknown:?}");
    Found { catalog, catalog_log, stores, stopped }
}

fn find_store(disk: &mut Disk) -> Store {
    let recovered = disk.recover().unwrap_or_else(|trouble| panic!("segment {}: {trouble}", trouble.segment()));
    disk.clear(&recovered);
    recovered.store
}
