//! What the disks of a broker hold, simulated: a log for each shard (see [`disk`](super::disk)) and the catalog's, and what a restart makes of them.
//! The counterpart of `io::storage`.

use std::collections::BTreeMap;

use ringmq::base::rng::Rng;
use ringmq::broker::catalog::Saved;
use ringmq::shard::{Found, Stop};
use ringmq::store::Store;
use ringmq::store::catalog_log::{self, CatalogLog, CatalogOp};
use ringmq::store::recover::recover;

use super::disk::Disk;

/// The files of the catalog's log, by generation, and what is under way.
#[derive(Default)]
pub struct CatalogDisk {
    files: BTreeMap<u32, Vec<u8>>,
    under_way: Option<CatalogOp>,
}

impl CatalogDisk {
    /// The log wants something.
    pub fn submit(&mut self, op: CatalogOp) {
        assert!(self.under_way.replace(op).is_none(), "two writes of the catalog's log at once");
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// Carries out what is under way; true: the log is to be told.
    pub fn complete(&mut self) -> bool {
        match self.under_way.take() {
            Some(CatalogOp::Append(generation, bytes)) => self.files.entry(generation).or_default().extend(bytes),
            Some(CatalogOp::Replace(generation, bytes)) => self.files = BTreeMap::from([(generation, bytes)]),
            None => return false,
        }
        true
    }

    /// The machine stops: some of what was to be appended is there, or all of it; of a new file all or nothing, and the old one beside it.
    pub fn crash(&mut self, rng: &mut Rng) {
        match self.under_way.take() {
            Some(CatalogOp::Append(generation, mut bytes)) => {
                bytes.truncate(rng.below(1 + bytes.len() as u64) as usize);
                if rng.below(3) == 0 && !bytes.is_empty() {
                    let gap = rng.below(bytes.len() as u64) as usize;
                    bytes[gap..].fill(0); // the file has grown, and the data has not come
                }
                self.files.entry(generation).or_default().extend(bytes);
            }
            Some(CatalogOp::Replace(generation, bytes)) if rng.below(2) == 0 => _ = self.files.insert(generation, bytes),
            _ => {}
        }
    }

    /// The newest generation, its tail cut off if it is torn; older ones are deleted.
    fn find(&mut self) -> (Vec<Saved>, CatalogLog) {
        let (generation, mut bytes) = self.files.pop_last().unwrap_or((1, Vec::new()));
        let (payloads, len) = catalog_log::read(&bytes, generation);
        let records = Saved::read(payloads.into_iter()).expect("this version wrote it");
        bytes.truncate(len as usize);
        self.files = BTreeMap::from([(generation, bytes)]);
        (records, CatalogLog::new(generation, len))
    }
}

/// What a restart finds on the disks: one for each shard, and the catalog's; and what an orderly stop has noted.
pub fn find<'d>(disks: impl Iterator<Item = &'d mut Disk>, catalog: &mut CatalogDisk, stopped: Option<Stop>) -> Found {
    let (catalog, catalog_log) = catalog.find();
    Found { catalog, catalog_log, stores: disks.map(find_store).collect(), stopped }
}

fn find_store(disk: &mut Disk) -> Store {
    let mut read = |segment, place, len| Ok(disk.read(segment, place, len));
    let recovered = recover(&disk.list(), false, &mut read).unwrap_or_else(|trouble| panic!("segment {}: {trouble}", trouble.segment()));
    for segment in recovered.empty {
        disk.files.remove(&segment);
    }
    recovered.store
}
