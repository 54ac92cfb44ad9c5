//! Brokers whose files were damaged, removed, copied over each other or swapped, and brokers of versions before.

use super::*;
use crate::base::ids::LevelAddr;
use crate::base::limits::LOG_SEGMENT_SIZE;
use crate::broker::catalog::{Catalog, Change, Saved, Seat};
use crate::contract::{QueueSpec, Topology};
use crate::io::scratch::Scratch;
use crate::message::{Body, Content, Route, Stamp, Table};
use crate::start::catalog_files;
use crate::start::data_dir::DataDir;
use crate::start::definitions;
use crate::start::rehome;
use crate::start::storage;
use crate::store::Placed;

/// A broker with two shards, and with a durable queue on each: number 1 with messages in two segments, and number 2.
fn broker(scratch: &Scratch) -> Config {
    let config = Config { data_dir: scratch.path().to_owned(), shards: 2, ..Config::default() };
    let data_dir = DataDir::open(&config.data_dir).expect("ours");
    let mut found = storage::find(&config).expect("nothing is there");
    definitions::load(&config, &mut found).expect("a new broker");
    data_dir.node_id().expect("a name");
    found.catalog.extend((1..=2).map(|number| Saved::Change(queue(number))));
    catalog_files::rewrite(&config.data_dir, &mut found).expect("there is room");
    for (number, mut store) in (1..).zip(found.stores) {
        let shard = ShardId(number as u16 - 1);
        let slot = store.open_queue(number, LevelAddr::default()).slot;
        for first in 0..COUNTS[usize::from(shard.0)] {
            let content = Content { properties: &[0, 0], body: Body::Slice(&[7; BODY]) };
            store.append(&[Placed { slot, first }], Route::new(b"\x00\x01q"), Stamp::NONE, &[content], false);
            let directory = shard_directory(&config.data_dir, shard);
            rehome::perform((&directory, shard), &mut store, |_, _| {}).expect("there is room");
        }
    }
    config
}

fn queue(number: u64) -> Change {
    let (name, arguments) = (format!("q{number}").into(), Table::empty());
    let spec = QueueSpec { name, durable: true, exclusive: false, auto_delete: false, arguments };
    let seat = Some(Seat { home: ShardId(number as u16 - 1), number });
    Change::Topology { vhost: "/".into(), topology: Topology::DeclareQueue(spec), seat, owner: None }
}

/// How many messages each queue has.
fn start(config: &Config) -> Result<[u64; 2], StartError> {
    let mut found = storage::find(config)?;
    assert_eq!(Catalog::restored(&found.catalog).queues().count(), 2, "the catalog is whole in one copy at least");
    Ok([0, 1].map(|shard: usize| found.stores[shard].open_queue(shard as u64 + 1, LevelAddr::default()).count))
}

/// All files, each with what tells whether it is still the same.
fn files(config: &Config) -> Vec<(PathBuf, u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let directories = [config.data_dir.clone(), config.data_dir.join("shard-0"), config.data_dir.join("shard-1")];
    let all = directories.iter().filter(|directory| directory.is_dir()).flat_map(|directory| list(directory, |_| Some(0)).expect("ours"));
    let seen = all.map(|(_, path)| fs::metadata(&path).map(|file| (path, file.ino(), file.len())).expect("there"));
    seen.filter(|(path, ..)| path.is_file() && !path.ends_with("lock")).collect()
}

/// The same files under other names.
fn copy(config: &Config, scratch: &Scratch) -> Config {
    let copied = Config { data_dir: scratch.path().to_owned(), ..config.clone() };
    for (path, ..) in files(config) {
        let path_there = scratch.path().join(path.strip_prefix(&config.data_dir).expect("it is in it"));
        fs::create_dir_all(path_there.parent().expect("a directory")).expect("ours");
        fs::hard_link(path, path_there).expect("ours");
    }
    copied
}

/// What is damaged so has lost nothing, or stops the start with a sentence that names it; that changes nothing, and may be accepted, once. What was
/// damaged is kept.
fn judge(config: &Config, what: &str, names: &[&Path]) -> bool {
    let before = files(config);
    let refused = match start(config) {
        Ok(counts) => {
            assert_eq!(counts, COUNTS, "{what}");
            return false;
        }
        Err(StartError(sentence)) => sentence,
    };
    let named = names.iter().find(|name| refused.contains(&name.display().to_string()));
    let named = named.unwrap_or_else(|| panic!("{what}: {refused}"));
    assert!(refused.contains("--accept-log-loss"), "{what}: {refused}");
    assert!(files(config) == before, "{what}: something was changed");
    let accepted = start(&Config { accept_log_loss: true, ..config.clone() });
    let counts = accepted.unwrap_or_else(|why| panic!("{what}: not even with its loss accepted: {why}"));
    assert!(counts.iter().zip(COUNTS).all(|(count, all)| *count <= all) && counts != [0, 0], "{what}: {counts:?}");
    assert_eq!(start(config).expect("it is accepted once"), counts, "{what}");
    let after = files(config);
    let is_kept = |(_, inode, _): &(PathBuf, u64, u64)| after.iter().any(|(_, kept, _)| kept == inode);
    assert!(before.iter().filter(|(path, ..)| path == named).all(is_kept), "{what}: {} is gone", named.display());
    true
}

fn replace(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).expect("ours");
    fs::write(path, bytes).expect("ours");
}

/// What may happen to a file with this content, each with its new content; none: it is removed.
fn damages(bytes: &[u8]) -> Vec<(String, Option<Vec<u8>>)> {
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let mut damages = vec![("removed".into(), None)];
    damages.extend([0, bytes.len() / 2, bytes.len() - 1].map(|len| (format!("cut to {len}"), Some(bytes[..len].to_vec()))));
    for at in [9, BLOCK + 17, used / 2, used - 1].into_iter().filter(|&at| at < used) {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << (at % 8);
        damages.push((format!("flipped at {at}"), Some(flipped)));
    }
    damages
}

#[test]
fn whatever_happens_to_a_file_is_harmless_or_told() {
    let origin = Scratch::new();
    let config = broker(&origin);
    let (mut told, mut cases) = (0, 0);
    for (path, ..) in files(&config) {
        let name = path.strip_prefix(&config.data_dir).expect("it is in it");
        for (what, damaged) in damages(&fs::read(&path).expect("there")) {
            let scratch = Scratch::new();
            let copied = copy(&config, &scratch);
            let path = copied.data_dir.join(name);
            match damaged {
                Some(bytes) => replace(&path, &bytes),
                None => fs::remove_file(&path).expect("ours"),
            }
            cases += 1;
            told += usize::from(judge(&copied, &format!("{} {what}", name.display()), &[&path]));
        }
    }
    assert!(told * 2 > cases, "{told} of {cases}");
}

/// Two files of a copy are swapped, or one of them is copied over the other.
fn mix(config: &Config, one: &str, other: &str, is_swap: bool) -> bool {
    let scratch = Scratch::new();
    let copied = copy(config, &scratch);
    let [one, other] = [one, other].map(|name| copied.data_dir.join(name));
    let draft = copied.data_dir.join("draft");
    fs::rename(&one, &draft).expect("ours");
    fs::hard_link(&other, &one).expect("ours");
    if is_swap {
        fs::rename(&draft, &other).expect("ours");
    } else {
        fs::remove_file(&draft).expect("ours");
    }
    let what = format!("{} {} {}", one.display(), if is_swap { "swapped with" } else { "copied from" }, other.display());
    judge(&copied, &what, &[&one, &other])
}

#[test]
fn files_that_were_swapped_or_copied_are_told() {
    let origin = Scratch::new();
    let config = broker(&origin);
    let logs: Vec<String> =
        ["shard-0/0000000001.log", "shard-0/0000000002.log", "shard-0/0000000003.log", "shard-1/0000000001.log"].map(String::from).into();
    for (at, one) in logs.iter().enumerate() {
        for other in &logs[..at] {
            assert!(mix(&config, one, other, true), "{one}, {other}");
            assert!(mix(&config, one, other, false) && mix(&config, other, one, false), "{one}, {other}");
        }
    }
    assert!(mix(&config, "shard-0/segments", "shard-1/segments", true));
    assert!(mix(&config, "shard-0/segments", "shard-0/0000000001.log", true));
    assert!(mix(&config, "catalog-2.b", "shard-0/0000000001.log", false));
}

#[test]
fn a_log_that_is_gone_is_told_and_so_are_messages_of_lost_queues() {
    let origin = Scratch::new();
    let config = broker(&origin);
    let scratch = Scratch::new();
    let copied = copy(&config, &scratch);
    fs::remove_dir_all(copied.data_dir.join("shard-1")).expect("ours");
    assert!(judge(&copied, "a log is gone", &[&list_path(&copied.data_dir.join("shard-1"))]));
    let scratch = Scratch::new();
    let copied = copy(&Config { shards: 1, ..config.clone() }, &scratch);
    fs::remove_dir_all(copied.data_dir.join("shard-1")).expect("ours");
    assert!(storage::find(&copied).is_err_and(|why| why.0.contains("shard-1")), "of a shard that is no more, too");
    let (scratch, empty) = (Scratch::new(), Scratch::new());
    let copied = copy(&config, &scratch);
    let new = Config { data_dir: empty.path().to_owned(), shards: 1, ..config };
    let _ours = DataDir::open(&new.data_dir).expect("ours");
    let mut found = storage::find(&new).expect("nothing is there");
    definitions::load(&new, &mut found).expect("a new broker");
    found.catalog.push(Saved::ReservedBelow(1 << 20)); // it has served: transient queues may have had these numbers
    catalog_files::rewrite(&new.data_dir, &mut found).expect("there is room");
    for (path, ..) in files(&copied).into_iter().filter(|(path, ..)| path.display().to_string().contains("catalog-")) {
        fs::remove_file(path).expect("ours");
    }
    ["a", "b"].iter().for_each(|copy| {
        let name = format!("catalog-2.{copy}");
        _ = fs::copy(empty.join(&name), copied.data_dir.join(&name)).expect("ours");
    });
    let sentence = storage::find(&copied).map(drop).expect_err("the catalog is another one").0;
    assert!(sentence.contains("0000000001.log has") && sentence.contains("catalog has lost"), "{sentence}");
    assert!(storage::find(&Config { accept_log_loss: true, ..copied }).is_ok());
}

/// The same broker as the version before would have left it: segments without heads and lists, the last one a file that is to be used again.
fn older_broker(scratch: &Scratch) -> Config {
    let config = broker(scratch);
    for shard in 0..2 {
        let directory = shard_directory(&config.data_dir, ShardId(shard));
        fs::remove_dir_all(&directory).expect("ours");
        fs::create_dir(&directory).expect("ours");
        let (count, first) = (COUNTS[usize::from(shard)], 4);
        for (number, half) in [(first, 0..count / 2), (first + 1, count / 2..count)] {
            fs::write(segment_path(&directory, number), older_segment(number, shard.into(), half)).expect("ours");
        }
        fs::write(segment_path(&directory, first + 2), older_segment(2, shard.into(), 0..1)).expect("ours");
    }
    for (path, ..) in files(&config).into_iter().filter(|(path, ..)| path.display().to_string().contains("catalog-")) {
        let (mut file, mut at) = (fs::read(&path).expect("there"), 0);
        while let Some((generation, record)) = file.get(at..).and_then(format::open_any) {
            let (size, flags, extra) = (record.size(), record.flags & !format::LISTED, record.extra);
            format::seal(&mut file[at..at + size], generation, format::Kind::Catalog, flags, extra);
            at += size;
        }
        replace(&path, &file);
    }
    config
}

/// Messages of the queue on this shard with these sequence numbers, each in a batch of its own, from the first byte of the file on.
fn older_segment(number: u32, shard: u64, messages: std::ops::Range<u64>) -> Vec<u8> {
    let (content, route) = (Content { properties: &[0, 0], body: Body::Slice(&[7; 100]) }, Route::new(b"\x00\x01q"));
    let len = format::messages_len(1, route, &[content]);
    let mut file: Vec<u8> = Vec::new();
    for sequence in messages {
        let mut batch = vec![0; BLOCK];
        let placement = (shard + 1, sequence);
        format::write_messages(&mut batch[format::BATCH..][..len], number, 0, &[placement], &content.sent_to(route), &[content]);
        format::write_batch(&mut batch, number, sequence + 1);
        file.extend(batch);
    }
    file.resize(LOG_SEGMENT_SIZE, 0);
    file
}

#[test]
fn a_broker_of_the_version_before_is_taken_up_and_has_lists_then() {
    let origin = Scratch::new();
    let config = older_broker(&origin);
    let directories = [0, 1].map(|shard| shard_directory(&config.data_dir, ShardId(shard)));
    for _ in 0..2 {
        assert_eq!(start(&config).expect("it is known"), COUNTS);
        for (shard, directory) in directories.iter().enumerate() {
            let list = fs::read(list_path(directory)).expect("it was written");
            assert_eq!(format::read_list(&list, shard as u16), Some(vec![4, 5]));
            assert!(!segment_path(directory, 6).exists(), "it held nothing");
        }
    }
    for lost in [list_path(&directories[0]), segment_path(&directories[0], 5)] {
        let scratch = Scratch::new();
        let copied = copy(&config, &scratch);
        let lost = copied.data_dir.join(lost.strip_prefix(&config.data_dir).expect("it is in it"));
        fs::remove_file(&lost).expect("ours");
        assert!(judge(&copied, &lost.display().to_string(), &[&lost]));
    }
}

#[test]
fn a_broker_of_the_version_before_is_not_taken_up_with_segments_mixed_up() {
    let origin = Scratch::new();
    let config = older_broker(&origin);
    let [one, other] = ["shard-0/0000000004.log", "shard-0/0000000005.log"];
    assert!(mix(&config, one, other, true) && mix(&config, one, other, false) && mix(&config, other, one, false));
    let scratch = Scratch::new();
    let copied = copy(&config, &scratch);
    replace(&copied.data_dir.join(one), b"");
    assert!(judge(&copied, "an empty one", &[&copied.data_dir.join(one)]));
}

#[test]
fn the_flag_is_not_suggested_where_it_does_not_help() {
    let scratch = Scratch::new();
    let config = broker(&scratch);
    let path = segment_path(&shard_directory(&config.data_dir, ShardId(1)), 1);
    let mut newer = fs::read(&path).expect("there");
    let (segment, head) = format::open_any(&newer).expect("a head");
    let (size, kind, version) = (head.size(), head.kind, head.extra + 1);
    format::seal(&mut newer[..size], segment, kind, 0, version);
    replace(&path, &newer);
    for accept_log_loss in [false, true] {
        let before = files(&config);
        let StartError(refused) = start(&Config { accept_log_loss, ..config.clone() }).expect_err("it is not known");
        assert!(refused.contains("0000000001.log: written by a newer version") && !refused.contains("--accept-log-loss"), "{refused}");
        assert!(files(&config) == before, "something was changed");
    }
}

const BODY: usize = 1 << 20;
const COUNTS: [u64; 2] = [20, 3];
