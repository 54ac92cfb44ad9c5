//! The contents of the data directory at the start.
//!
//! ```text
//! catalog-G.a, .b    two copies of the catalog's log, generation G (see `catalog_files`)
//! stopped            messages that were delivered and came back, and how often; written by an
//!                    orderly stop
//! shard-S/           the log of shard S: NNNNNNNNNN.log, and their list, segments;
//!                    *.spare, *.new: leftovers, deleted
//! enabled_plugins    names that operators have enabled (see `management::ctl`); the start ignores it
//! *.damaged          files without which --accept-log-loss went on: nothing reads them
//! ```
//!
//! Damaged or missing files stop the start, and nothing is changed. So do messages of queues that
//! the catalog does not know although it should: the log has messages of a queue only when the
//! catalog's files have the queue.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use crate::base::ids::ShardId;
use crate::config::Config;
use crate::io::StartError;
use crate::io::disk::worker::{sync_directory, write_whole};
use crate::shard::Found;
use crate::shard::Shard;
use crate::shard::Stop;
use crate::start::catalog_files;
use crate::start::files::{shard_directories, unusable};
use crate::start::log_files::{FoundLog, find_log};
use crate::start::rehome::rehome;
use crate::store::Store;
use crate::store::format::{self, COUNTED, HEADER, Kind, SETTLED};

/// Reads what there is for the shards of `config`. Nothing is changed before everything is known to
/// be in order, unless loss is accepted.
///
/// # Errors
/// One sentence: a file cannot be read, is damaged, or is missing.
pub fn find(config: &Config) -> Result<Found, StartError> {
    let mut catalog = catalog_files::read(&config.data_dir, config.accept_log_loss)?;
    let known = catalog.known();
    let mut shards: BTreeSet<ShardId> = (0..config.shards).map(ShardId).chain(known.homes.iter().copied()).collect();
    shards.extend(shard_directories(&config.data_dir)?);
    let logs: Result<Vec<FoundLog<'_>>, StartError> = std::thread::scope(|scope| {
        let known = &known;
        let find = |shard| scope.spawn(move || find_log(config, shard, known));
        let threads: Vec<_> = shards.iter().copied().map(find).collect();
        threads.into_iter().map(|thread| thread.join().expect("a panic ends the process")).collect()
    });
    let mut stores = logs?.into_iter().map(FoundLog::take_up).collect::<Result<Vec<Store>, _>>()?;
    catalog.mend(&config.data_dir)?;
    let gone: Vec<(ShardId, Store)> = shards.into_iter().skip(config.shards.into()).zip(stores.split_off(config.shards.into())).collect();
    let stopped = find_stop(&config.data_dir)?;
    let mut found = Found { catalog: catalog.records, catalog_log: catalog.log, stores, stopped };
    rehome(config, &mut found, gone)?;
    Ok(found)
}

/// Notes what the next start must know of deliveries, now that the disk has everything else.
///
/// # Errors
/// One sentence: it cannot be written.
pub fn note_stop(data_dir: &Path, shards: &[Shard]) -> Result<(), StartError> {
    let mut stop = Stop::default();
    shards.iter().for_each(|shard| shard.note_stop(&mut stop));
    write_stop(data_dir, &stop)
}

/// Writes that note.
///
/// # Errors
/// One sentence: it cannot be written.
pub fn write_stop(data_dir: &Path, stop: &Stop) -> Result<(), StartError> {
    let mut delivered = vec![0; HEADER + stop.delivered.len() * SETTLED];
    format::write_ranges(&mut delivered[HEADER..], &stop.delivered);
    format::seal(&mut delivered, 0, Kind::Settled, 0, 0);
    let mut counts = vec![0; HEADER + stop.counts.len() * COUNTED];
    format::write_counts(&mut counts[HEADER..], &stop.counts);
    format::seal(&mut counts, 0, Kind::Counts, 0, 0);
    let path = data_dir.join(STOPPED);
    write_whole(&path, &[delivered, counts].concat()).map_err(|error| unusable(&path, &error))
}

/// Reads and deletes the note of the last stop, which holds once.
fn find_stop(data_dir: &Path) -> Result<Option<Stop>, StartError> {
    let path = data_dir.join(STOPPED);
    let take = || {
        let records = fs::read(&path)?;
        fs::remove_file(&path)?;
        sync_directory(data_dir)?;
        Ok(read_stop(&records))
    };
    take().or_else(|error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(None),
        _ => Err(unusable(&path, &error)),
    })
}

/// Reads the two records of a stop's note; older versions wrote only the first.
fn read_stop(records: &[u8]) -> Option<Stop> {
    let delivered = format::open(records, 0)?;
    let counts = format::open(&records[delivered.size()..], 0).map(|record| format::read_counts(record.payload).collect());
    Some(Stop { delivered: format::read_ranges(delivered.payload).collect(), counts: counts.unwrap_or_default() })
}

const STOPPED: &str = "stopped";
