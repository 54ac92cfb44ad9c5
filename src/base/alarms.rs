//! Alarms: shortages of the broker. The part of the broker that notices one sets an alarm, and
//! every shard checks once per turn which alarms are on.

use std::sync::atomic::{AtomicU8, Ordering};

/// A shortage, as one part of the broker notices it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Alarm {
    /// The process uses more memory than its high watermark.
    Memory = 1,
    /// The file system of the data directory has less free space than its limit.
    DiskFree = 2,
    /// The log found no free space on the disk, whatever the limit says.
    DiskFull = 4,
}

/// The alarms of one broker, shared by the parts that set them and the shards.
#[derive(Debug, Default)]
pub struct Alarms(AtomicU8);

impl Alarms {
    /// Raises (`true`) or clears an alarm.
    pub fn set(&self, alarm: Alarm, on: bool) {
        // An alarm publishes no other memory, so no ordering is needed.
        match on {
            true => self.0.fetch_or(alarm as u8, Ordering::Relaxed),
            false => self.0.fetch_and(!(alarm as u8), Ordering::Relaxed),
        };
    }

    /// The alarms that are on.
    #[inline]
    pub fn get(&self) -> AlarmSet {
        AlarmSet(self.0.load(Ordering::Relaxed))
    }
}

/// A set of alarms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AlarmSet(u8);

impl AlarmSet {
    /// Whether none is on.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this alarm is on.
    pub fn has(self, alarm: Alarm) -> bool {
        self.0 & alarm as u8 != 0
    }

    /// Whether memory is short.
    pub fn low_on_memory(self) -> bool {
        self.has(Alarm::Memory)
    }

    /// Whether disk space is short: either alarm of the disk is on.
    pub fn low_on_disk(self) -> bool {
        self.has(Alarm::DiskFree) || self.has(Alarm::DiskFull)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_short_until_nobody_says_so_any_more() {
        let alarms = Alarms::default();
        alarms.set(Alarm::DiskFree, true);
        alarms.set(Alarm::DiskFull, true);
        alarms.set(Alarm::DiskFree, false);
        assert!(alarms.get().low_on_disk() && !alarms.get().low_on_memory());
        alarms.set(Alarm::Memory, true);
        alarms.set(Alarm::DiskFull, false);
        assert!(alarms.get().low_on_memory() && !alarms.get().low_on_disk());
        alarms.set(Alarm::Memory, false);
        assert!(alarms.get().is_empty());
    }
}
