//! Fewer shards than before: queues of shards that are no more get a new home, and their messages move to its log.
//!
//! ```text
//! 1  numbers for the moved queues are set aside           in the catalog's log, written anew
//! 2  their messages are copied, under the new numbers     to the logs of the new homes
//! 3  the catalog is written anew with homes and numbers   from here on the copies count
//! 4  the logs of the shards that are no more are deleted
//! ```
//!
//! A crash before 3 leaves copies under numbers that nobody will ever know, which the next start drops; one behind it leaves logs of queues
//! that live elsewhere. More shards than before need nothing: queues stay where they are, new ones live everywhere.

use std::fs;
use std::io;
use std::path::Path;

use super::StartError;
use super::disk::{segment_path, shard_directory};
use super::disk_worker::{fill, sync_directory, write_at, write_index};
use super::storage::{self, unusable};
use crate::base::aligned::Aligned;
use crate::base::hash::Map;
use crate::base::ids::{LevelAddr, ShardId};
use crate::base::limits::{LOG_READ_SIZE, LOG_SEGMENT_SIZE};
use crate::broker::catalog::{Catalog, Saved};
use crate::config::Config;
use crate::message::{Body, MessageView, Route, Stamp};
use crate::shard::Found;
use crate::store::format::{level_number, split_number};
use crate::store::{Op, Opened, Placed, Store};

/// A queue that moves: its numbers before and after, and its new home.
struct Move {
    from: u64,
    to: u64,
    home: ShardId,
}

/// A message on its way.
struct Copied {
    sequence: u64,
    route: Vec<u8>,
    properties: Vec<u8>,
    stamp: Stamp,
    body: Vec<u8>,
}

/// Moves the queues of shards that `config` does not have any more. The catalog has given queues numbers below `next_number`.
///
/// # Errors
/// One sentence: a file cannot be read or written.
pub fn rehome(config: &Config, found: &mut Found, next_number: u64) -> Result<(), StartError> {
    let gone = storage::shard_directories(&config.data_dir)?.into_iter().filter(|shard| shard.0 >= config.shards);
    let gone: Vec<ShardId> = gone.collect();
    if gone.is_empty() {
        return Ok(());
    }
    let failed = |error| unusable(&config.data_dir, &error);
    let catalog = Catalog::restored(&found.catalog);
    let first = found.next_number();
    let queues = catalog.queues().filter(|queue| queue.addr.home.0 >= config.shards);
    let moves: Vec<(ShardId, Move)> = (first..)
        .zip(queues)
        .map(|(to, queue)| {
            let home = ShardId((to % u64::from(config.shards)) as u16);
            (queue.addr.home, Move { from: queue.number, to, home })
        })
        .collect();
    found.catalog.push(Saved::NextNumber(first + moves.len() as u64));
    storage::write_catalog(&config.data_dir, found)?;
    for &shard in &gone {
        let own: Vec<&Move> = moves.iter().filter(|(home, _)| *home == shard).map(|(_, one)| one).collect();
        log::info!("shard {} is no more: {} queues move", shard.0, own.len());
        let mut source = storage::find_store(config, shard, next_number)?;
        let mut levels: Map<u64, Vec<u8>> = Map::default();
        source.found().map(split_number).for_each(|(queue, level)| levels.entry(queue).or_default().push(level));
        for one in own {
            let levels = levels.remove(&one.from).unwrap_or_default();
            let copied = levels.into_iter().try_for_each(|level| copy(config, shard, &mut source, one, level, &mut found.stores));
            copied.map_err(failed)?;
        }
    }
    let moves: Map<u64, Move> = moves.into_iter().map(|(_, one)| (one.from, one)).collect();
    rename(found, &moves);
    storage::write_catalog(&config.data_dir, found)?;
    gone.iter().try_for_each(|&shard| fs::remove_dir_all(shard_directory(&config.data_dir, shard))).map_err(failed)
}

/// Copies the messages of a queue's level from the log of a shard that is no more.
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
        perform(&from, source, |sequence, message| {
            let (route, properties) = (message.route.wire().to_vec(), message.properties.to_vec());
            messages.push(Copied { sequence, route, properties, stamp: message.stamp, body: message.body.bytes().to_vec() });
        })?;
        for &Copied { sequence, ref route, ref properties, stamp, ref body } in &messages {
            let message = MessageView { route: Route::new(route), properties, stamp, body: Body::Slice(body) };
            target.append(&[Placed { slot: to_slot, first: sequence }], message.route, stamp, &[message.content()], false);
        }
        // Damage that is accepted leaves fewer than were counted.
        left = if messages.is_empty() { 0 } else { left.saturating_sub(messages.len() as u64) };
        perform(&to, target, |_, _| unreachable!("nothing is read here"))?;
    }
    source.leave_queue(from_slot);
    target.leave_queue(to_slot);
    Ok(())
}

/// Carries out all that a log asks for, at once.
fn perform(directory: &Path, store: &mut Store, mut take: impl FnMut(u64, &MessageView<'_>)) -> io::Result<()> {
    loop {
        store.seal();
        let Some(op) = store.next_op() else { return Ok(()) };
        match op {
            Op::Create(segment) => {
                fill(&segment_path(directory, segment), LOG_SEGMENT_SIZE)?;
                sync_directory(directory)?;
                store.on_created(segment);
            }
            Op::Write(write) => {
                write_at(&segment_path(directory, write.segment), write.place, write.buffer.blocks())?;
                store.on_written(write);
            }
            Op::Index(indexing) => store.on_indexed(write_index(directory, &indexing)?),
            Op::Read(reader, segment, place, len) => {
                let mut bytes = Aligned::zeroed(len);
                storage::read_into(&segment_path(directory, segment), place, bytes.blocks_mut())?;
                let read = store.on_read(reader, &bytes, |sequence, _, message| take(sequence, message));
                read.map_err(|damage| io::Error::other(format!("segment {} is damaged at byte {}", damage.segment, damage.place)))?;
            }
            Op::Delete(segment) => fs::remove_file(segment_path(directory, segment))?,
            Op::Compact(_) => store.on_left(),
        }
    }
}

/// What was found speaks of the new homes and numbers.
fn rename(found: &mut Found, moves: &Map<u64, Move>) {
    for saved in &mut found.catalog {
        if let Saved::Change(change) = saved
            && let Some((home, number)) = change.place()
            && let Some(one) = moves.get(number)
        {
            (*home, *number) = (one.home, one.to);
        }
    }
    let Some(stop) = &mut found.stopped else { return };
    let (delivered, counts) = (stop.delivered.iter_mut().map(|range| &mut range.0), stop.counts.iter_mut().map(|one| &mut one.0));
    for number in delivered.chain(counts) {
        let (queue, level) = split_number(*number);
        *number = moves.get(&queue).map_or(*number, |one| level_number(one.to, level));
    }
}
