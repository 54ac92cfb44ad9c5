//! What the data directory holds when the broker starts.
//!
//! ```text
//! catalog-G          the catalog's log, generation G
//! shard-S/           the log of shard S: NNNNNNNNNN.log; *.spare, *.new: leftovers, deleted
//! ```

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::StartError;
use super::disk::{segment_path, shard_directory};
use super::disk_worker::catalog_path;
use crate::base::ids::ShardId;
use crate::broker::catalog::{Catalog, Saved};
use crate::config::Config;
use crate::shard::Found;
use crate::store::Store;
use crate::store::catalog_log::{self, CatalogLog};
use crate::store::recover::{Recovered, recover};

/// Reads what there is for the shards of `config`.
///
/// # Errors
/// One sentence: a file cannot be read, or is damaged.
pub fn find(config: &Config) -> Result<Found, StartError> {
    let (catalog, catalog_log) = find_catalog(&config.data_dir)?;
    let stores: Result<Vec<Store>, StartError> = std::thread::scope(|scope| {
        let find = |shard| scope.spawn(move || find_store(config, ShardId(shard)));
        let threads: Vec<_> = (0..config.shards).map(find).collect();
        threads.into_iter().map(|thread| thread.join().expect("a panic ends the process")).collect()
    });
    Ok(Found { catalog, catalog_log, stores: stores? })
}

fn find_catalog(data_dir: &Path) -> Result<(Vec<Saved>, CatalogLog), StartError> {
    let generations = list(data_dir, |name| name.strip_prefix("catalog-")?.parse::<u32>().ok())?;
    let Some(&(generation, ref path)) = generations.last() else { return Ok((Vec::new(), CatalogLog::new(1, 0))) };
    let bytes = fs::read(path).map_err(|error| unusable(path, &error))?;
    let (payloads, len) = catalog_log::read(&bytes, generation);
    let names = Catalog::new();
    let decode = |payload| Saved::decode(payload, &names);
    let records = payloads.into_iter().map(decode).collect::<Option<Vec<Saved>>>();
    let records = records.ok_or_else(|| StartError(format!("{} was written by a newer version: start that one", path.display())))?;
    if len < bytes.len() as u64 {
        log::warn!("{}: the tail of a write that a crash tore is cut off at byte {len}", path.display());
        let cut = || File::options().write(true).open(path)?.set_len(len);
        cut().map_err(|error| unusable(path, &error))?;
    }
    for (old, _) in &generations[..generations.len() - 1] {
        remove(&catalog_path(data_dir, *old))?;
    }
    Ok((records, CatalogLog::new(generation, len)))
}

fn find_store(config: &Config, shard: ShardId) -> Result<Store, StartError> {
    let directory = shard_directory(&config.data_dir, shard);
    fs::create_dir_all(&directory).map_err(|error| unusable(&directory, &error))?;
    for (_, leftover) in list(&directory, |name| (name.ends_with(".spare") || name.ends_with(".new")).then_some(0))? {
        remove(&leftover)?;
    }
    let paths = list(&directory, |name| name.strip_suffix(".log")?.parse::<u32>().ok())?;
    let mut files = Vec::new();
    for (number, path) in &paths {
        files.push((*number, fs::metadata(path).map_err(|error| unusable(path, &error))?.len()));
    }
    let mut read = |segment, place, len| read_part(&segment_path(&directory, segment), place, len);
    let Recovered { store, empty, torn, damaged } = recover(&files, config.accept_log_loss, &mut read).map_err(|trouble| {
        let path = segment_path(&directory, trouble.segment());
        StartError(format!("{}: {trouble}; --accept-log-loss starts without what is damaged", path.display()))
    })?;
    empty.iter().try_for_each(|&segment| remove(&segment_path(&directory, segment)))?;
    for (segment, place) in torn {
        let path = segment_path(&directory, segment);
        log::info!("{}: the tail of a write that a crash tore is cut off at byte {place}", path.display());
    }
    for (segment, place) in damaged {
        log::error!("{}: damaged at byte {place}; what was there is lost", segment_path(&directory, segment).display());
    }
    Ok(store)
}

/// What in a directory `parse` knows, in order.
fn list(directory: &Path, parse: impl Fn(&str) -> Option<u32>) -> Result<Vec<(u32, PathBuf)>, StartError> {
    let read = || {
        let entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
        let known = entries.iter().filter_map(|entry| Some((parse(entry.file_name().to_str()?)?, entry.path())));
        let mut known: Vec<_> = known.collect();
        known.sort();
        Ok(known)
    };
    read().map_err(|error| unusable(directory, &error))
}

fn read_part(path: &Path, place: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let file = File::open(path)?;
    let mut done = 0;
    while done < len {
        match file.read_at(&mut bytes[done..], place + done as u64)? {
            0 => break,
            count => done += count,
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

fn remove(path: &Path) -> Result<(), StartError> {
    fs::remove_file(path).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &io::Error) -> StartError {
    StartError(format!("{} cannot be used: {error}", path.display()))
}
