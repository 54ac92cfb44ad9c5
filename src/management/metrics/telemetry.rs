//! The clock, and the scrapes so far, by endpoint and format.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use super::format::Format;

/// Tells the time since 1970.
pub type Clock = Box<dyn Fn() -> Duration>;

/// Counts scrapes.
pub struct Telemetry {
    clock: Clock,
    scrapes: RefCell<BTreeMap<(&'static str, Format), Scrapes>>,
}

/// The scrapes of an endpoint in a format.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Scrapes {
    /// Their number.
    pub count: u64,
    /// Bytes of their answers.
    pub bytes: u64,
    /// Seconds that they took.
    pub seconds: f64,
}

impl Telemetry {
    /// Makes a telemetry without any scrapes.
    pub fn new(clock: Clock) -> Telemetry {
        Telemetry { clock, scrapes: RefCell::default() }
    }

    /// The time since 1970.
    pub fn now(&self) -> Duration {
        (self.clock)()
    }

    /// Counts a scrape of a registry in a format that ends now.
    pub fn add(&self, of: (&'static str, Format), bytes: usize, started: Duration) {
        let mut all = self.scrapes.borrow_mut();
        let scrapes = all.entry(of).or_default();
        scrapes.count += 1;
        scrapes.bytes += bytes as u64;
        scrapes.seconds += self.now().saturating_sub(started).as_secs_f64();
    }

    /// The scrapes of this registry.
    pub fn of(&self, registry: &str) -> Vec<(Format, Scrapes)> {
        let all = self.scrapes.borrow();
        all.iter().filter(|((of, _), _)| *of == registry).map(|((_, format), scrapes)| (*format, *scrapes)).collect()
    }
}
