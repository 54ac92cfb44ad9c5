//! Blocks of messages between shards: what is written is read back. A block that was spoiled is
//! refused by the check, or it can be read; neither panics, whatever the bytes are.

use bytes::Bytes;
use ringmq::contract::Entry;
use ringmq::message::{Body, Content, MessageRef, MessageView, Properties, Route, Stamp};
use ringmq::shard::block::{Block, Records, check_entries, settled_entries};

use crate::dice::Dice;
use crate::fuzz;
use crate::values::random_properties;

/// The part of a mail that refers to a block of messages.
#[derive(Debug)]
struct Run {
    at: u32,
    count: u32,
    with_entry: bool,
    shared: Option<Bytes>,
}

/// A message with everything that a block carries of it.
type Sent = (Option<Entry>, Vec<u8>, Vec<u8>, Stamp, Vec<u8>);

impl Run {
    fn records<'a>(&'a self, block: &'a [u8]) -> Records<'a> {
        Records::new(block, self.at, self.count, self.with_entry, self.shared.as_ref())
    }

    /// Reads the messages, if the block passes the check.
    fn read(&self, block: &[u8]) -> Option<Vec<Sent>> {
        self.records(block).check().ok()?;
        let messages: Vec<Sent> = self.records(block).map(|(entry, message)| self.sent(entry, &message)).collect();
        assert_eq!(messages.len(), self.count as usize);
        Some(messages)
    }

    fn sent(&self, entry: Entry, message: &MessageView<'_>) -> Sent {
        let MessageView { route, properties, stamp, body } = message;
        assert_eq!([&[route.exchange().len() as u8][..], route.exchange(), &[route.key().len() as u8], route.key()].concat(), route.wire());
        assert!(Properties::parse(properties).is_ok(), "{properties:?}");
        (self.with_entry.then_some(entry), route.wire().to_vec(), properties.to_vec(), *stamp, body.bytes().to_vec())
    }
}

#[test]
fn blocks() {
    fuzz(|dice| {
        let (mut block, mut written) = (Block::default(), Vec::new());
        for _ in 0..=dice.below(4) {
            written.push(write_run(dice, &mut block));
        }
        let bytes = block.take();
        for (run, sent) in &written {
            assert_eq!(run.read(&bytes).as_ref(), Some(sent), "{run:?}");
        }
        let (last, _) = written.last().expect("there is a run");
        let cut = dice.below(bytes.len());
        assert_eq!(last.read(&bytes[..cut]), None, "{last:?} cut to {cut} of {}", bytes.len());
        let mut mutated = bytes.to_vec();
        dice.mutate(&mut mutated);
        for (run, _) in &mut written {
            run.read(&mutated);
            spoil(dice, run);
            run.read(&bytes);
        }
    });
}

/// Writes messages with the same head, or one with a shared body.
fn write_run(dice: &mut Dice, block: &mut Block) -> (Run, Vec<Sent>) {
    let (exchange, key, properties) = (dice.word(3), dice.word(5), random_properties(dice));
    let route = [&[exchange.len() as u8], exchange.as_bytes(), &[key.len() as u8], key.as_bytes()].concat();
    let bodies: Vec<Vec<u8>> = (0..=dice.below(3)).map(|_| dice.bytes(20)).collect();
    let stamp = Stamp::from_bits(dice.next());
    let (with_entry, shared) = (dice.one_in(2), dice.one_in(4).then(|| Bytes::from(bodies[0].clone())));
    let first = shared.as_ref().map_or(Body::Slice(&bodies[0]), Body::Shared);
    let message = |body| MessageView { route: Route::new(&route), properties: &properties, stamp, body };
    let mut entry = || with_entry.then(|| random_entry(dice));
    let sent = |entry, body: &[u8]| (entry, route.clone(), properties.clone(), stamp, body.to_vec());
    let first_entry = entry();
    let at = block.write(first_entry, &message(first), false).at;
    let mut written = vec![sent(first_entry, &bodies[0])];
    let rest: Vec<Content<'_>> = bodies[1..].iter().map(|body| Content { properties: &properties, body: Body::Slice(body) }).collect();
    if shared.is_none() && !with_entry {
        let count = block.write_alike(&properties, &rest, usize::MAX);
        written.extend(bodies[1..=count].iter().map(|body| sent(None, body)));
    } else if shared.is_none() {
        for body in &bodies[1..] {
            let entry = entry();
            block.write(entry, &message(Body::Slice(body)), true);
            written.push(sent(entry, body));
        }
    }
    (Run { at, count: written.len() as u32, with_entry, shared }, written)
}

fn random_entry(dice: &mut Dice) -> Entry {
    Entry::new(dice.next() as u8, dice.next() >> 10, MessageRef::from_bits(dice.next()))
}

/// Changes one thing that the mail says.
fn spoil(dice: &mut Dice, run: &mut Run) {
    match dice.below(4) {
        0 => run.at = [run.at.wrapping_add(1), dice.below(300) as u32, u32::MAX][dice.below(3)],
        1 => run.count = [run.count + 1, u32::MAX][dice.below(2)],
        2 => run.with_entry = !run.with_entry,
        _ => run.shared = dice.maybe(|dice| Bytes::from(dice.bytes(20))),
    }
}

#[test]
fn random_blocks() {
    fuzz(|dice| {
        let mut bytes = dice.bytes(200);
        // Small numbers, so that some of them are lengths and offsets that fit.
        bytes.iter_mut().for_each(|byte| *byte = if dice.one_in(3) { *byte % 40 } else { 0 });
        let shared = dice.maybe(|dice| Bytes::from(dice.bytes(20)));
        Run { at: dice.below(20) as u32, count: dice.below(4) as u32, with_entry: dice.one_in(2), shared }.read(&bytes);
    });
}

#[test]
fn entries() {
    fuzz(|dice| {
        let entries: Vec<Entry> = (0..dice.below(5)).map(|_| random_entry(dice)).collect();
        let mut block = Block::default();
        let at = block.write_entries(&entries).at;
        let mut bytes = block.take().to_vec();
        let read = |bytes: &[u8], at, count| {
            check_entries(bytes, at, count).ok()?;
            Some(settled_entries(bytes, at, count).map(|entry| (entry, entry.place()).0).collect::<Vec<_>>())
        };
        let count = entries.len() as u32;
        assert_eq!(read(&bytes, at, count), Some(entries));
        assert_eq!(read(&bytes, at, count + 1), None);
        dice.mutate(&mut bytes);
        read(&bytes, at, count);
        let small: Vec<u8> = (0..dice.below(100)).map(|_| if dice.one_in(16) { dice.below(3) as u8 } else { 0 }).collect();
        read(&small, dice.below(20) as u32, dice.below(3) as u32);
    });
}
