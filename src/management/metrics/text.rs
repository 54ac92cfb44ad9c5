//! The text of an answer, chunk by chunk, so that an answer about very many objects is never whole
//! in memory.

use std::rc::Rc;

use super::families::Planned;
use super::family::{Samples, Source};
use super::format::Format;
use super::snapshot::{PROTOCOL, Row, Snapshot};
use super::telemetry::Telemetry;
use super::value::{Value, labels, sample};

/// The text of an answer: an iterator of chunks.
pub struct Text {
    snapshot: Snapshot,
    plan: Vec<Planned>,
    format: Format,
    /// The family that comes next, and the object in it.
    next: (usize, usize),
    /// Bytes so far.
    written: usize,
    /// Where the scrape is counted at its end.
    telemetry: Option<Rc<Telemetry>>,
}

impl Text {
    /// Makes the text of these families.
    pub(super) fn new(snapshot: Snapshot, plan: Vec<Planned>, format: Format, telemetry: Rc<Telemetry>) -> Text {
        Text { snapshot, plan, format, next: (0, 0), written: 0, telemetry: Some(telemetry) }
    }

    /// The value of the header `Content-Type`.
    pub fn content_type(&self) -> &'static str {
        self.format.content_type()
    }
}

impl Iterator for Text {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.telemetry.as_ref()?;
        let mut out = String::with_capacity(CHUNK + CHUNK / 4);
        while out.len() < CHUNK {
            let (family, object) = self.next;
            let Some(planned) = self.plan.get(family) else {
                self.end(&mut out);
                break;
            };
            if object == 0 {
                let name = [planned.prefix, planned.family.name].concat();
                self.format.announce(&mut out, &name, planned.family.kind, planned.family.help);
            }
            let rest = planned.write(&self.snapshot, object, &mut out);
            self.next = rest.map_or((family + 1, 0), |object| (family, object));
        }
        self.written += out.len();
        (!out.is_empty()).then_some(out)
    }
}

impl Text {
    fn end(&mut self, out: &mut String) {
        self.format.end(out);
        if let Some(telemetry) = self.telemetry.take() {
            telemetry.add((self.snapshot.registry, self.format), self.written + out.len(), self.snapshot.now);
        }
    }
}

impl Planned {
    /// Writes samples from an object on. Returns the object that comes next, if the chunk is full.
    fn write(&self, node: &Snapshot, from: usize, out: &mut String) -> Option<usize> {
        let name = (self.prefix, self.family.name);
        let (value, named) = match self.family.source {
            Source::Queues(of) if self.per_object => return write_rows(out, name, &node.queues, from, of),
            Source::Channels(of) if self.per_object => return write_rows(out, name, &node.channels, from, of),
            Source::Connections(of) if self.per_object => return write_rows(out, name, &node.connections, from, of),
            Source::Exchanges(of) if self.per_object => return write_rows(out, name, &node.exchanges, from, of),
            Source::Declared(of) => return write_rows(out, name, &node.declared, from, of),
            Source::QueueInfo => return self.write_types(node, from, out),
            Source::Queues(of) => (of(&node.sums.queue), String::new()),
            Source::Channels(of) => (of(&node.sums.channel), String::new()),
            Source::Connections(of) => (of(&node.sums.connection), String::new()),
            Source::Exchanges(of) => (of(&node.sums.exchange), String::new()),
            Source::Node(of) => (of(node), String::new()),
            Source::Shards(of) => (node.sum(of).into(), String::new()),
            Source::Protocol(of) => (of(node), labels(&[("protocol", PROTOCOL)])),
            Source::PerShard(of) => {
                let mut samples = Samples { out, name };
                node.shards.iter().enumerate().for_each(|(at, shard)| samples.put(&[("shard", &at.to_string())], of(shard)));
                return None;
            }
            Source::Labelled(write) => {
                write(node, &mut Samples { out, name });
                return None;
            }
            Source::None => return None,
        };
        sample(out, name, &named, value);
        None
    }

    /// Writes the types of queues.
    fn write_types(&self, node: &Snapshot, from: usize, out: &mut String) -> Option<usize> {
        for (at, row) in node.queues.iter().enumerate().skip(from) {
            let kind = if row.numbers.quorums > 0 { "rabbit_quorum_queue" } else { "rabbit_classic_queue" };
            let more = labels(&[("queue_type", kind), ("membership", "leader")]);
            sample(out, (self.prefix, self.family.name), &format!("{},{more}", row.labels), true.into());
            if out.len() >= CHUNK {
                return Some(at + 1);
            }
        }
        None
    }
}

/// Writes a sample for each object. Returns the object that comes next, if the chunk is full.
fn write_rows<T>(out: &mut String, name: (&str, &str), rows: &[Row<T>], from: usize, of: fn(&T) -> Value) -> Option<usize> {
    for (at, row) in rows.iter().enumerate().skip(from) {
        sample(out, name, &row.labels, of(&row.numbers));
        if out.len() >= CHUNK {
            return Some(at + 1);
        }
    }
    None
}

/// Bytes of a chunk, about.
const CHUNK: usize = 64 << 10;
