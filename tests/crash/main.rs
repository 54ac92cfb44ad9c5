//! The log against a disk that stops: at every operation of a scripted load, and at random ones of a random load; with torn writes, and with
//! bits that flip. After each crash the log is taken up again, and what it has must be what was promised.
//!
//! `RINGMQ_CRASH_SEED=7 cargo test --test crash` repeats seed 7, `RINGMQ_CRASH_SEEDS=1000 …` runs a thousand.

#[allow(dead_code)] // the simulator uses more of it
#[path = "../support/disk.rs"]
mod disk;
mod model;

use std::env;

use ringmq::base::rng::Rng;
use ringmq::store::recover::{Trouble, recover};

use disk::Disk;
use model::Model;

/// Every operation of a load, one run for each: the disk stops behind it.
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

/// Mixed lifetimes: one queue is slow, the others are not. The files stay in proportion to what lives.
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

/// Messages go in any order: what a segment says of others is kept as long as they hold it, and the files stay in proportion.
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

/// Nothing but acknowledgements, of which each is a word of its own: they do not gather in one segment without end.
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

/// A flipped bit is either harmless (nothing is there) or found: at the start, with its place.
#[test]
fn flipped_bits_are_found() {
    let mut model = Model::new(5);
    model.run(60, None);
    let (whole, mut rng) = (model.into_disk(), Rng::seeded(9));
    let (mut found, mut cut) = (0, 0);
    for _ in 0..150 {
        let mut disk = Disk::with_files(whole.files.clone());
        let (&segment, file) = disk.files.iter_mut().next().expect("a segment");
        let used = file.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1).min(1 << 20);
        let at = rng.below(used as u64) as usize;
        let was = file[at];
        file[at] ^= 1 << rng.below(8);
        match take_up(&disk, false) {
            Err(Trouble::Damaged(number, place)) => {
                found += 1;
                assert!(number == segment && place <= at as u64);
                assert!(take_up(&disk, true).is_ok(), "with its loss accepted the log is taken up");
            }
            Ok(torn) if torn > 0 => cut += 1,
            Ok(_) => assert!(was == 0, "byte {at} was not missed"),
            Err(trouble) => panic!("{trouble}"),
        }
    }
    assert!(found > 50 && cut < 50, "{found} found, {cut} cut");
}

/// How many tails were cut.
fn take_up(disk: &Disk, accept_loss: bool) -> Result<usize, Trouble> {
    let mut read = |segment, place, len| Ok(disk.read(segment, place, len));
    recover(&disk.list(), accept_loss, &mut read).map(|recovered| recovered.torn.len())
}

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

const SCRIPT_STEPS: usize = 300;
const SEGMENT: u64 = ringmq::base::limits::LOG_SEGMENT_SIZE as u64;
