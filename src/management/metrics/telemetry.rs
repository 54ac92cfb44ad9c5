//! The scrapes so far, by endpoint and format.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::format::Format;

/// Counts scrapes.
#[derive(Default)]
pub struct Telemetry(Mutex<BTreeMap<(&'static str, Format), Scrapes>>);

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
    /// Counts a scrape of this registry.
    pub fn add(&self, registry: &'static str, format: Format, bytes: usize, took: Duration) {
        let mut all = self.all();
        let scrapes = all.entry((registry, format)).or_default();
        scrapes.count += 1;
        scrapes.bytes += bytes as u64;
        scrapes.seconds += took.as_secs_f64();
    }

    /// The scrapes of this registry.
    pub fn of(&self, registry: &str) -> Vec<(Format, Scrapes)> {
        let all = self.all();
        all.iter().filter(|((of, _), _)| *of == registry).map(|((_, format), scrapes)| (*format, *scrapes)).collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<(&'static str, Format), Scrapes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
