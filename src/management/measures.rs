//! Measures: the numbers of objects by their names in the API, in the order in which they are
//! sampled. The value of a measure has its rate beside it, and its samples if they are asked for.

use serde_json::{Map, Value, json};

use super::host::Usage;
use super::rates::{Sample, Series, Window};
use crate::contract::{Churn, Count, Counts};

/// The counts of messages, in RabbitMQ's words.
pub const COUNTS: [&str; 14] = {
    let mut names = ["deliver_get"; 14];
    let mut at = 0;
    while at < Count::ALL.len() {
        names[at] = Count::ALL[at].name();
        at += 1;
    }
    names
};

/// The values of [`COUNTS`].
pub fn counts(counts: &Counts) -> [u64; 14] {
    std::array::from_fn(|at| Count::ALL.get(at).map_or_else(|| counts.deliver_get(), |&count| counts[count]))
}

/// The numbers of messages in queues.
pub const LENGTHS: [&str; 3] = ["messages", "messages_ready", "messages_unacknowledged"];

/// The values of [`LENGTHS`].
pub fn lengths(ready: u64, unacked: u64) -> [u64; 3] {
    [ready + unacked, ready, unacked]
}

/// Octets received and sent.
pub const OCTETS: [&str; 2] = ["recv_oct", "send_oct"];

/// How often objects came and went.
pub const CHURN: [&str; 7] =
    ["connection_created", "connection_closed", "channel_created", "channel_closed", "queue_declared", "queue_created", "queue_deleted"];

/// The values of [`CHURN`].
pub fn churn(churn: &Churn) -> [u64; 7] {
    [
        churn.connection_created,
        churn.connection_closed,
        churn.channel_created,
        churn.channel_closed,
        churn.queue_declared,
        churn.queue_created,
        churn.queue_deleted,
    ]
}

/// The place of [`CHURN`] in the samples of the broker, behind [`COUNTS`] and [`LENGTHS`].
pub const CHURN_FROM: usize = COUNTS.len() + LENGTHS.len();

/// The numbers of the node.
pub const NODE: [&str; 5] = ["mem_used", "fd_used", "proc_used", "disk_free", "context_switches"];

/// The values of [`NODE`].
pub fn node(usage: &Usage) -> [u64; 5] {
    [usage.memory.0, usage.descriptors.0, usage.threads.0, usage.disk.0, usage.context_switches]
}

/// Where values come from: the samples of their subject, beginning at a place in them.
#[derive(Clone, Copy, Default)]
pub struct History<'a> {
    /// The samples, once there are some.
    pub series: Option<&'a Series>,
    /// The place of the first value.
    pub from: usize,
    /// The window that is asked for.
    pub window: Option<Window>,
}

impl History<'_> {
    /// The details of a value: its rate, and samples if a window is asked for.
    fn details(&self, at: usize) -> Value {
        let rate = self.series.map_or(0.0, |series| series.rate(self.from + at));
        let samples = self.window.zip(self.series).map(|(window, series)| series.samples(self.from + at, window));
        match samples {
            None => json!({ "rate": rate }),
            Some(samples) => json!({
                "rate": rate,
                "avg": mean(&samples),
                "avg_rate": mean_rate(&samples),
                "samples": samples.iter().map(|sample| json!({ "sample": sample.value, "timestamp": sample.at_ms })).collect::<Vec<_>>(),
            }),
        }
    }

    /// The same history, from another place.
    #[must_use]
    pub fn at(self, from: usize, window: Option<Window>) -> Self {
        History { from, window, ..self }
    }
}

/// Puts values with their details into an object; the names are among those of the history.
pub fn put(object: &mut Map<String, Value>, names: &[&str], values: &[u64], history: History<'_>) {
    for (at, (name, value)) in names.iter().zip(values).enumerate() {
        object.insert((*name).to_owned(), (*value).into());
        object.insert(format!("{name}_details"), history.details(at));
    }
}

/// Makes the object `message_stats` of some of the counts.
pub fn message_stats(of: &Counts, names: &[&str], history: History<'_>) -> Value {
    let values = counts(of);
    let mut object = Map::new();
    for (at, (name, value)) in COUNTS.iter().zip(values).enumerate().filter(|(_, (name, _))| names.contains(name)) {
        object.insert((*name).to_owned(), value.into());
        object.insert(format!("{name}_details"), history.details(at));
    }
    object.into()
}

/// The counts of a queue.
pub const OF_QUEUE: [&str; 9] =
    ["publish", "deliver", "deliver_no_ack", "deliver_get", "get", "get_no_ack", "get_empty", "ack", "redeliver"];

/// The counts of an exchange.
pub const OF_EXCHANGE: [&str; 2] = ["publish_in", "publish_out"];

/// The counts of a channel, a virtual host and the broker.
pub const OF_CHANNEL: [&str; 12] = [
    "publish",
    "confirm",
    "return_unroutable",
    "drop_unroutable",
    "deliver",
    "deliver_no_ack",
    "deliver_get",
    "get",
    "get_no_ack",
    "get_empty",
    "ack",
    "redeliver",
];

fn mean(samples: &[Sample]) -> f64 {
    samples.iter().map(|sample| sample.value as f64).sum::<f64>() / samples.len().max(1) as f64
}

fn mean_rate(samples: &[Sample]) -> f64 {
    match samples {
        [newest, .., oldest] => (newest.value as f64 - oldest.value as f64) * 1000.0 / (newest.at_ms - oldest.at_ms) as f64,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::rates::{Rates, Subject};
    use super::*;

    #[test]
    fn every_count_has_its_name_and_value() {
        let mut of = Counts::default();
        (1..).zip(Count::ALL).for_each(|(n, count)| of.add(count, n));
        for (name, value) in COUNTS.iter().zip(counts(&of)) {
            let count = Count::ALL.into_iter().find(|count| count.name() == *name);
            assert_eq!(value, count.map_or(of.deliver_get(), |count| of[count]), "{name}");
        }
        assert!([&OF_QUEUE[..], &OF_EXCHANGE, &OF_CHANNEL].concat().iter().all(|name| COUNTS.contains(name)));
    }

    #[test]
    fn a_value_has_its_rate_and_samples_beside_it() {
        let mut rates = Rates::default();
        [(0, 0), (5_000, 10), (10_000, 30)].iter().for_each(|&(at, value)| rates.note(Subject::Broker, at, &[9, value]));
        let history = History { series: rates.of(Subject::Broker), from: 1, window: None };
        let mut object = Map::new();
        put(&mut object, &["messages"], &[31], history);
        assert_eq!(Value::Object(object), json!({"messages": 31, "messages_details": {"rate": 4.0}}));
        let window = Some(Window { age_ms: 10_000, step_ms: 5_000 });
        let samples = json!([{"sample": 30, "timestamp": 10_000}, {"sample": 10, "timestamp": 5_000}, {"sample": 0, "timestamp": 0}]);
        let expected = json!({"rate": 4.0, "avg": 40.0 / 3.0, "avg_rate": 3.0, "samples": samples});
        assert_eq!(History { window, ..history }.details(0), expected);
    }
}
