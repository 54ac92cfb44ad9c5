//! Metrics in the form that Prometheus reads.
//!
//! ```text
//! path, query ─▶ endpoint ─▶ plan: the families of the tables ─┐
//!                                                              ├─▶ text, chunk by chunk
//! broker, facts ─▶ snapshot: totals, sums or every object ─────┘
//! ```
//!
//! - [`endpoint`]: what is asked for; [`format`]: in which format;
//! - [`families`]: the tables of all [families](family); a family has one function, which makes the
//!   [value](value) of one object and of the sum of all of them ([`numbers`]);
//! - [`snapshot`]: the numbers of one answer; [`sums`] over all objects; the [`process`];
//!   [`telemetry`] about earlier answers;
//! - [`text`]: the answer.
//!
//! A figure that the broker does not have is no sample: its family is told, without a number.

pub mod endpoint;
mod families;
mod family;
pub mod format;
mod numbers;
pub mod process;
mod snapshot;
mod sums;
mod telemetry;
#[cfg(test)]
mod tests;
mod text;
mod value;

use std::rc::Rc;

use self::endpoint::{Endpoint, Wanted};
use self::format::Format;
use self::process::Process;
use self::snapshot::Snapshot;
use self::sums::Keeper;
pub use self::telemetry::Clock;
use self::telemetry::Telemetry;
pub use self::text::Text;
use super::broker::{Broker, Unanswered};
use crate::base::alarms::AlarmSet;

/// The metrics of a broker, for all listeners.
pub struct Metrics {
    broker: Broker,
    keeper: Keeper,
    telemetry: Rc<Telemetry>,
}

/// What an answer tells that no shard knows.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Facts {
    /// The process.
    pub process: Process,
    /// The high watermark of memory, bytes.
    pub memory_max: Option<u64>,
    /// Free bytes in the file system of the data directory.
    pub disk_free: Option<u64>,
    /// The limit of those.
    pub disk_free_min: Option<u64>,
    /// Switches between threads since the start of the process.
    pub context_switches: Option<u64>,
    /// The alarms that are on.
    pub alarms: AlarmSet,
    /// Logins at the management server that were accepted and that failed.
    pub http_logins: (u64, u64),
}

impl Metrics {
    /// Makes the metrics of this broker. The clock tells the time since 1970.
    pub fn new(broker: Broker, clock: Clock) -> Metrics {
        Metrics { broker, keeper: Keeper::default(), telemetry: Rc::new(Telemetry::new(clock)) }
    }

    /// Renews sums over very many objects from time to time. Never returns.
    pub async fn keep_sums(&self) {
        self.keeper.renew_regularly(&self.broker, || self.telemetry.now()).await;
    }

    /// Answers a request.
    ///
    /// # Errors
    /// A shard does not answer.
    pub async fn render(&self, facts: Facts, endpoint: &Endpoint, format: Format) -> Result<Text, Unanswered> {
        let (now, plan) = (self.telemetry.now(), families::plan(endpoint));
        let mut snapshot = Snapshot::of_node(&self.broker, endpoint, facts).await?;
        snapshot.now = now;
        snapshot.scrapes = self.telemetry.of(endpoint.registry());
        match endpoint {
            Endpoint::Aggregated | Endpoint::MemoryBreakdown => {
                let objects = snapshot.queue_count + snapshot.sum(|shard| (shard.connections + shard.channels) as u64) as usize;
                snapshot.add_sums(self.keeper.sums(&self.broker, objects, now).await?);
            }
            Endpoint::PerObject => snapshot.add_objects(&self.broker, &plan, &Wanted::default()).await?,
            Endpoint::Detailed(wanted) => snapshot.add_objects(&self.broker, &plan, wanted).await?,
        }
        Ok(Text::new(snapshot, plan, format, self.telemetry.clone()))
    }
}
