//! Fewer shards than before: queues of shards that no longer exist get a new home, and their
//! messages move to its log.
//!
//! ```text
//! 1  numbers for the moved queues are set aside      in the catalog's log, written anew
//! 2  their messages are copied, under new numbers    to the logs of the new homes, with arrivals
//! 3  the catalog is written anew                     from here on the copies count
//! 4  the logs of the old shards are deleted
//! ```
//!
//! A crash before 3 leaves copies under numbers that no queue will ever have, which the next start
//! drops; a crash after it leaves logs of queues that live elsewhere. More shards than before need
//! nothing: queues stay where they are, and new ones live everywhere. (Arrivals: see
//! `store::arrivals`.)

use std::fs;
use std::io;
use std::path::Path;

use crate::base::aligned::Aligned;
use crate::base::hash::Map;
use crate::base::ids::{LevelAddr, ShardId};
use crate::base::limits::LOG_READ_SIZE;
use crate::broker::catalog::{Catalog, Saved, Seat};
use crate::config::Config;
use crate::io::StartError;
use crate::io::disk::segment_files::SegmentFiles;
use crate::io::disk::worker::{ACCEPT, write_at, write_index};
use crate::io::disk::{segment_path, shard_directory};
use crate::message::{Body, MessageView, Route, Stamp};
use crate::shard::Found;
use crate::start::catalog_files;
use crate::start::files::{self, unusable};
use crate::store::arrivals::{Arrival, Origin};
use crate::store::format::{level_number, split_number};
use crate::store::{Damage, Op, Opened, Placed, Store};

/// A queue that moves: its numbers before and after, and its new home.
struct Move {
    from: u64,
    to: u64,
    home: ShardId,
}

/// A message that moves.
struct Copied {
    sequence: u64,
    route: Vec<u8>,
    properties: Vec<u8>,
    stamp: Stamp,
    body: Vec<u8>,
}

/// Moves the queues of shards that `config` does not have any more. `gone` are the logs of these
/// shards.
///
/// # Errors
/// One sentence: a file cannot be read or written.
pub fn rehome(config: &Config, found: &mut Found, gone: Vec<(ShardId, Store)>) -> Result<(), StartError> {
    remove_leftovers(&config.data_dir)?;
    if gone.is_empty() {
        return Ok(());
    }
    let failed = |error| unusable(&config.data_dir, &error);
    let catalog = Catalog::restored(&found.catalog);
    let first = found.numbers().next;
    let queues = catalog.queues().filter(|queue| queue.addr.home.0 >= config.shards);
    let moves: Vec<(ShardId, Move)> = (first..)
        .zip(queues)
        .map(|(to, queue)| {
            let home = ShardId((to % u64::from(config.shards)) as u16);
            (queue.addr.home, Move { from: queue.number, to, home })
        })
        .collect();
    found.catalog.push(Saved::NextNumber(first + moves.len() as u64));
    catalog_files::rewrite(&config.data_dir, found)?;
    let shards: Vec<ShardId> = gone.iter().map(|(shard, _)| *shard).collect();
    let mut arrived: Vec<Arrival> = found.stores.iter().flat_map(Store::arrivals).collect();
    let staying = arrived.len();
    for (shard, mut source) in gone {
        let own: Vec<&Move> = moves.iter().filter(|(home, _)| *home == shard).map(|(_, one)| one).collect();
        log::info!("shard {} no longer exists: {} queues move to other shards", shard.0, own.len());
        arrived.extend(source.arrivals());
        let mut levels: Map<u64, Vec<u8>> = Map::default();
        source.found().map(split_number).for_each(|(queue, level)| levels.entry(queue).or_default().push(level));
        for one in own {
            let levels = levels.remove(&one.from).unwrap_or_default();
            let copied = levels.into_iter().try_for_each(|level| copy(config, shard, &mut source, one, level, &mut found.stores));
            copied.map_err(failed)?;
        }
    }
    let moves: Map<u64, Move> = moves.into_iter().map(|(_, one)| (one.from, one)).collect();
    let renamed = arrived.into_iter().enumerate().filter_map(|(at, arrival)| {
        let renamed = rename_arrival(arrival, &moves);
        (at >= staying || renamed != arrival).then_some(renamed)
    });
    let first_store = &mut found.stores[0];
    renamed.for_each(|arrival| first_store.note_arrival(arrival));
    if first_store.is_dirty() {
        let directory = shard_directory(&config.data_dir, ShardId(0));
        perform((&directory, ShardId(0)), first_store, |_, _| unreachable!("nothing is read here")).map_err(failed)?;
    }
    rename(found, &moves);
    catalog_files::rewrite(&config.data_dir, found)?;
    for directory in shards.into_iter().map(|shard| shard_directory(&config.data_dir, shard)) {
        fs::rename(&directory, directory.with_extension(GONE)).map_err(failed)?; // a half deleted log would look damaged
    }
    remove_leftovers(&config.data_dir)
}

/// Deletes logs of old shards.
fn remove_leftovers(data_dir: &Path) -> Result<(), StartError> {
    let leftovers = files::list(data_dir, |name| name.strip_suffix(GONE).map(|_| 0))?;
    leftovers.iter().try_for_each(|(_, leftover)| fs::remove_dir_all(leftover).map_err(|error| unusable(leftover, &error)))
}

/// Copies the messages of a queue's level from the log of an old shard.
fn copy(config: &Config, shard: ShardId, source: &mut Store, one: &Move, level: u8, stores: &mut [Store]) -> io::Result<()> {
    let from = shard_directory(&config.data_dir, shard);
    let to = shard_directory(&config.data_dir, one.home);
    let target = &mut stores[usize::from(one.home.0)];
    let open = |store: &mut Store, queue| store.open_queue(level_number(queue, level), LevelAddr::default());
    let to_slot = open(target, one.to).slot;
    let Opened { slot: from_slot, count: mut left, .. } = open(source, one.from);
    while left > 0 {
        source.load(from_slot, 0, LOG_READ_SIZE);
        let mut messages: Vec<Copied> = Vec::new();
        perform((&from, shard), source, |sequence, message| {
            let (route, properties) = (message.route.wire().to_vec(), message.properties.to_vec());
            messages.push(Copied { sequence, route, properties, stamp: message.stamp, body: message.body.bytes().to_vec() });
        })?;
        for &Copied { sequence, ref route, ref properties, stamp, ref body } in &messages {
            let message = MessageView { route: Route::new(route), properties, stamp, body: Body::Slice(body) };
            target.append(&[Placed { slot: to_slot, first: sequence }], message.route, stamp, &[message.content()], false);
        }
        // Accepted damage leaves fewer than were counted.
        left = if messages.is_empty() { 0 } else { left.saturating_sub(messages.len() as u64) };
        perform((&to, one.home), target, |_, _| unreachable!("nothing is read here"))?;
    }
    source.leave_queue(from_slot);
    target.leave_queue(to_slot);
    Ok(())
}

/// Carries out everything that a log asks for, at once.
pub(super) fn perform(
    (directory, shard): (&Path, ShardId),
    store: &mut Store,
    mut take: impl FnMut(u64, &MessageView<'_>),
) -> io::Result<()> {
    loop {
        store.seal();
        let Some(op) = store.next_op() else { return Ok(()) };
        match op {
            Op::Create(segment) => {
                SegmentFiles::open(directory, shard)?.create(segment)?;
                store.on_created(segment);
            }
            Op::Write(write) => {
                write_at(&segment_path(directory, write.segment), write.place, write.buffer.blocks())?;
                store.on_written(write);
            }
            Op::Index(indexing) => store.on_indexed(write_index(directory, &indexing)?),
            Op::Read(reader, segment, place, len) => {
                let mut bytes = Aligned::zeroed(len);
                files::read_into(&segment_path(directory, segment), place, bytes.blocks_mut())?;
                let read = store.on_read(reader, &bytes, |sequence, _, message| take(sequence, message));
                read.map_err(|Damage { segment, place }| {
                    let path = segment_path(directory, segment);
                    let what = format!("{} is damaged at byte {place}", path.display());
                    io::Error::other(format!("{what}; put the file back from a backup, or start with {ACCEPT} what is damaged"))
                })?;
            }
            Op::Delete(segment) => SegmentFiles::open(directory, shard)?.delete(segment)?,
            Op::Compact(_) => store.on_left(),
        }
    }
}

/// Puts the new homes and numbers into what was found.
fn rename(found: &mut Found, moves: &Map<u64, Move>) {
    for saved in &mut found.catalog {
        if let Saved::Change(change) = saved
            && let Some(seat) = change.new_seat_mut()
            && let Some(one) = moves.get(&seat.number)
        {
            *seat = Seat { home: one.home, number: one.to };
        }
    }
    let Some(stop) = &mut found.stopped else { return };
    let (delivered, counts) = (stop.delivered.iter_mut().map(|range| &mut range.0), stop.counts.iter_mut().map(|one| &mut one.0));
    for number in delivered.chain(counts) {
        *number = renamed(*number, moves);
    }
}

/// Puts the new numbers into an arrival.
fn rename_arrival(arrival: Arrival, moves: &Map<u64, Move>) -> Arrival {
    let Origin { place: (queue, sequence), copies } = arrival.origin;
    Arrival { origin: Origin { place: (renamed(queue, moves), sequence), copies }, queue: renamed(arrival.queue, moves) }
}

/// The number of a queue, or of its level, after the move.
fn renamed(number: u64, moves: &Map<u64, Move>) -> u64 {
    let (queue, level) = split_number(number);
    moves.get(&queue).map_or(number, |one| level_number(one.to, level))
}

/// The suffix of an old log's directory.
const GONE: &str = "gone";
