//! The log against a disk that stops: after every operation of a scripted load, and after random
//! operations of a random load, with torn writes. After each crash the log is opened again, and
//! must have everything that it reported as durable. Then the log against a disk that damages its
//! content: bits flip, files disappear.
//!
//! `RINGMQ_CRASH_SEED=7 cargo test --test crash` repeats seed 7, `RINGMQ_CRASH_SEEDS=1000 …` runs a
//! thousand.

#[allow(dead_code)] // the simulator uses more of it
#[path = "../support/disk.rs"]
mod disk;
mod model;

use std::collections::BTreeSet;
use std::env;

use ringmq::base::ids::LevelAddr;
use ringmq::base::rng::Rng;
use ringmq::message::{Body, Content, Route, Stamp};
use ringmq::store::compact::salvage;
use ringmq::store::recover::{Recovered, Trouble, first_batch};
use ringmq::store::{Op, Placed, Store};

use disk::Disk;
use model::Model;

/// Stops the disk after every operation of a load, with one run for each.
#[test]
fn whenever_the_disk_stops_nothing_promised_is_lost() {
    let mut stops = 0;
    for stop in 0.. {
        let mut model = Model::new(1);
        let whole = model.run(SCRIPT_STEPS, Some(stop));
        model.crash_and_check();
        stops = stop;
        if whole {
            break;
        }
    }
    assert!(stops > 100, "the script has only {stops} operations");
}

#[test]
fn crash_after_crash() {
    let seeds = match variable("RINGMQ_CRASH_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=variable("RINGMQ_CRASH_SEEDS").unwrap_or(20),
    };
    for seed in seeds {
        println!("seed {seed}");
        let mut model = Model::new(seed);
        for _ in 0..6 {
            let stop = model.draw(200);
            model.run(400, Some(stop));
            model.crash_and_check();
        }
        model.run(400, None);
        model.settle_all();
        model.crash_and_check();
        assert_eq!(model.living(), 0);
    }
}

/// Mixed lifetimes: one queue is slow, the others are not. The size of the files stays in
/// proportion to the live messages.
#[test]
fn the_files_take_twice_what_lives_and_two_segments() {
    let mut model = Model::new(3);
    for round in 0..60 {
        model.mixed_lifetimes(20_000, 1000);
        let (size, live) = model.size();
        assert!(size <= 2 * live + 3 * SEGMENT, "round {round}: {size} bytes for {live} that live");
    }
    model.crash_and_check();
    model.settle_all();
    assert!(model.size().0 <= 2 * SEGMENT, "{} bytes for nothing", model.size().0);
}

/// Messages are settled in any order. A segment's records about other segments are kept as long as
/// those hold the messages, and the size of the files stays in proportion.
#[test]
fn what_is_settled_in_any_order_does_not_come_back() {
    let mut model = Model::new(4);
    for round in 1..=24 {
        model.append_many(1000, 20_000);
        model.settle_anywhere(4);
        let (size, live) = model.size();
        assert!(size <= 2 * live + 3 * SEGMENT, "round {round}: {size} bytes for {live} that live");
        if round % 3 == 0 {
            model.crash_and_check();
        }
    }
    model.settle_all();
    assert!(model.size().0 <= 2 * SEGMENT, "{} bytes for nothing", model.size().0);
}

/// A load of acknowledgements only, each with a record of its own: they do not gather in one
/// segment without limit.
#[test]
fn acknowledgements_fill_segments_too() {
    let mut model = Model::new(6);
    model.append_rows(20_000);
    for part in 0..20 {
        model.settle_every_other(part, 20);
        assert!(model.largest_file() <= SEGMENT, "a file of {} bytes", model.largest_file());
    }
    model.crash_and_check();
}

/// An empty batch follows the last messages, but not messages that others follow. A segment is
/// created as soon as the one before holds something.
#[test]
fn one_mark_stands_behind_the_last_messages() {
    let mut store = Store::new(1);
    let slot = store.open_queue(1, LevelAddr::default()).slot;
    let mut done = Vec::new();
    for first in 0..10 {
        let content = Content { properties: &[0, 0], body: Body::Slice(&[7; 5000]) };
        store.append(&[Placed { slot, first }], Route::new(b"\x00\x01q"), Stamp::NONE, &[content], false);
        perform(&mut store, &mut done);
    }
    for _ in 0..3 {
        perform(&mut store, &mut done);
    }
    assert!(store.is_at_rest());
    let expected = ["create 1", "write 8192", "create 2"].into_iter().chain(["write 8192"; 9]).chain(["write 4096"]);
    assert!(done.iter().map(String::as_str).eq(expected), "{done:?}");
}

/// Carries out at once everything that a log asks for in one turn.
fn perform(store: &mut Store, done: &mut Vec<String>) {
    store.seal();
    while let Some(op) = store.next_op() {
        match op {
            Op::Create(segment) => {
                done.push(format!("create {segment}"));
                store.on_created(segment);
                if store.is_dirty() {
                    store.seal(); // the write that waits for the segment
                }
            }
            Op::Write(write) => {
                done.push(format!("write {}", write.buffer.len()));
                store.on_written(write);
            }
            op => unreachable!("{op:?}"),
        }
    }
}

/// A flipped bit is either harmless, or a start reports its place; then the log can be opened
/// without the damaged record.
#[test]
fn flipped_bits_are_found() {
    let (mut model, mut rng) = (some_segments(5), Rng::seeded(9));
    let used = |file: &Vec<u8>| file.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let used: Vec<usize> = model.disk().files.values().map(used).collect();
    let mut found = 0;
    for _ in 0..100 {
        let mut disk = model.disk().copy();
        let which = rng.below(disk.files.len() as u64) as usize;
        let (&segment, file) = disk.files.iter_mut().nth(which).expect("counted");
        let within = 1 << [12, 16, 24][rng.below(3) as usize];
        let at = rng.below(used[which].min(within) as u64) as usize;
        file[at] ^= 1 << rng.below(8);
        let what = format!("byte {at} of segment {segment}");
        if let Some(Trouble::Damaged(number, place)) = judge(&mut model, disk, RECORD_MOST, &what) {
            found += 1;
            assert!(number == segment && place <= at as u64, "{what}: found in {number} at {place}");
        }
    }
    assert!(found > 50, "{found} found");
}

/// A start finds files that are missing, emptied, cut short, copied over each other, or swapped.
#[test]
fn files_that_are_not_what_they_should_be_are_found() {
    let mut model = some_segments(7);
    let segments: Vec<u32> = model.disk().files.keys().copied().collect();
    let holding = |(&segment, file): (&u32, &Vec<u8>)| first_batch(file, segment, 0).map(|_| segment);
    let last = model.disk().files.iter().filter_map(holding).max().expect("something was written");
    let mut found = 0;
    for &one in &segments {
        for (what, change) in changes(one, one == last, &segments) {
            let mut disk = model.disk().copy();
            change(&mut disk);
            found += usize::from(judge(&mut model, disk, usize::MAX, &format!("segment {one} {what}")).is_some());
        }
    }
    assert!(found > 8 * segments.len(), "{found} found");
}

/// Returns the ways in which a segment's file may be damaged. (In the last segment with content,
/// bytes that are overwritten after a whole batch look as if they had never been written.)
fn changes(one: u32, is_last: bool, segments: &[u32]) -> Vec<(String, Change)> {
    let mut changes: Vec<(String, Change)> = Vec::new();
    let mut add = |what: String, change: Change| changes.push((what, change));
    add("missing".into(), Box::new(move |disk| drop(disk.files.remove(&one))));
    add("not listed".into(), Box::new(move |disk| assert!(disk.listed.remove(&one))));
    for len in [0, 100, 4096, 8192, 1 << 20, SEGMENT as usize - 1] {
        add(format!("cut to {len}"), Box::new(move |disk| disk.files.get_mut(&one).expect("there").truncate(len)));
        if len <= 4096 || !is_last {
            let byte = if len < 4096 { 0 } else { 7 };
            add(format!("overwritten from {len} on"), Box::new(move |disk| disk.files.get_mut(&one).expect("there")[len..].fill(byte)));
        }
    }
    for &other in segments.iter().filter(|&&other| other != one) {
        add(format!("copied from {other}"), Box::new(move |disk| _ = disk.files.insert(one, disk.files[&other].clone())));
        let swap = move |disk: &mut Disk| {
            let [own, others] = [one, other].map(|segment| disk.files[&segment].clone());
            disk.files.extend([(one, others), (other, own)]);
        };
        if other < one {
            add(format!("swapped with {other}"), Box::new(swap));
        }
    }
    changes
}

type Change = Box<dyn Fn(&mut Disk)>;

/// Makes a log of some segments, with its disk at rest.
fn some_segments(seed: u64) -> Model {
    let mut model = Model::new(seed);
    while model.disk().files.len() < 4 {
        model.run(10, None);
    }
    model
}

/// Opens a damaged log. It has everything that it must have, or a start refuses it; then it is
/// opened with its loss accepted, which is at most `most` messages and is reported only once.
fn judge(model: &mut Model, mut disk: Disk, most: usize, what: &str) -> Option<Trouble> {
    let (trouble, most) = match disk.recover() {
        Ok(_) => (None, 0),
        Err(trouble) => (Some(trouble), most),
    };
    let recovered = accept(&mut disk);
    disk.clear(&recovered);
    assert!(disk.recover().is_ok(), "{what}: it is accepted once");
    let lost = model.lacks(disk, recovered.store);
    assert!(lost <= most, "{what}: {lost} messages are lost, {trouble:?}");
    trouble
}

/// Removes the damaged parts until a start succeeds.
fn accept(disk: &mut Disk) -> Recovered {
    let mut salvaged = BTreeSet::new();
    loop {
        let trouble = match disk.recover() {
            Ok(recovered) => return recovered,
            Err(trouble) => trouble,
        };
        let segment = trouble.segment();
        let next = disk.files.get(&(segment + 1)).and_then(|next| first_batch(next, segment + 1, 0));
        match trouble {
            Trouble::Unlisted(_) => _ = disk.listed.insert(segment),
            Trouble::Damaged(..) if salvaged.insert(segment) => {
                let file = salvage(&disk.files[&segment], segment, 0, next).map(|file| file.bytes().to_vec());
                disk.files.insert(segment, file.unwrap_or_default());
            }
            _ => {
                disk.files.remove(&segment);
                disk.listed.remove(&segment);
            }
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

/// The number of messages in one record, counted once per queue.
const RECORD_MOST: usize = 3 * 40;
const SCRIPT_STEPS: usize = 220;
const SEGMENT: u64 = ringmq::base::limits::LOG_SEGMENT_SIZE as u64;
