//! The monitor of memory and disk, on a thread of its own. It sets the alarms, wakes the shards
//! when an alarm was raised or cleared, and logs that. It also has the log report the lines that it
//! left out.
//!
//! An alarm that is set elsewhere (by the log, when the disk is full) is noticed here as well, so
//! whatever sets it need not wake the shards.
//!
//! Operators change the limits and force alarms through a [`Remote`]: the monitor carries that out
//! and looks at once. A forced alarm stays on, whatever is measured, until it is cleared.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::base::alarms::{Alarm, AlarmSet, Alarms};
use crate::config::Config;
use crate::io::StartError;
use crate::io::host::cgroup;
use crate::io::host::process;
use crate::io::wake::Signal;

/// The running monitor. Dropping it ends it.
pub struct Monitor {
    remote: Remote,
    /// None while the monitor is dropped.
    thread: Option<JoinHandle<()>>,
}

/// Sends orders to a running monitor. Clones lead to the same one.
#[derive(Clone)]
pub struct Remote(Sender<(Order, Done)>);

/// What the monitor is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Raise the memory alarm above so many bytes in use.
    MemoryMax(u64),
    /// Raise the disk alarm below so many free bytes.
    DiskFreeMin(u64),
    /// Raise an alarm and keep it, or clear it until the next look finds a reason for it.
    Force(Alarm, bool),
    /// End.
    Stop,
}

/// Dropped when the order is carried out.
type Done = Sender<()>;

/// The state of the monitor.
struct Watch {
    data_dir: PathBuf,
    memory_max: u64,
    disk_free_min: u64,
    /// Memory in use and free disk space at the last look, bytes.
    measured: (u64, u64),
    /// The alarms that operators keep on.
    forced: Alarms,
    alarms: Arc<Alarms>,
    /// The alarms that were on when the shards were last told.
    told: AlarmSet,
    shards: Arc<Signal>,
}

impl Monitor {
    /// Checks memory and disk once, so that no client publishes before, and starts the monitor.
    ///
    /// # Errors
    /// One sentence if there is no thread for it.
    pub fn start(config: &Config, alarms: Arc<Alarms>, shards: Arc<Signal>) -> Result<Monitor, StartError> {
        let mut watch = Watch {
            data_dir: config.data_dir.clone(),
            memory_max: config.memory_high_watermark.of(cgroup::memory_limit()),
            disk_free_min: config.disk_free_limit.of(cgroup::memory_limit()),
            measured: (0, 0),
            forced: Alarms::default(),
            alarms,
            told: AlarmSet::default(),
            shards,
        };
        log::info!("memory high watermark {} MB, disk free limit {} MB", mega(watch.memory_max), mega(watch.disk_free_min));
        watch.look();
        let (sender, orders) = channel();
        let thread = thread::Builder::new().name("ringmq-monitor".into()).spawn(move || watch.run(&orders));
        let thread = thread.map_err(|error| StartError(format!("a thread cannot be started: {error}")))?;
        Ok(Monitor { remote: Remote(sender), thread: Some(thread) })
    }

    /// A way to give it orders.
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.remote.order(Order::Stop);
        self.thread.take().into_iter().for_each(|thread| thread.join().expect("a monitor that panics takes the process with it"));
    }
}

impl Remote {
    /// Gives an order, and waits for a moment until it is carried out. A monitor that has ended does
    /// nothing any more.
    pub fn order(&self, order: Order) {
        let (done, wait) = channel();
        if self.0.send((order, done)).is_ok() {
            // The end of the channel is the answer; a measurement that hangs must not hold up others.
            let _ = wait.recv_timeout(ORDER_TIMEOUT);
        }
    }
}

/// The high watermark of memory, bytes.
pub fn memory_max(config: &Config) -> usize {
    usize::try_from(config.memory_high_watermark.of(cgroup::memory_limit())).unwrap_or(usize::MAX)
}

/// How much memory the transient messages of a shard may take before queues leave them to the log,
/// bytes. For all shards together, it is half of the memory at which the alarm would block their
/// publishers.
pub fn transient_memory(config: &Config) -> usize {
    (memory_max(config) / 2 / usize::from(config.shards)).max(config.queue_memory)
}

impl Watch {
    /// Looks from time to time and carries out orders, until it is told to stop.
    fn run(mut self, orders: &Receiver<(Order, Done)>) {
        loop {
            match orders.recv_timeout(self.pause()) {
                Ok((Order::Stop, _)) | Err(RecvTimeoutError::Disconnected) => return,
                Ok((order, _done)) => self.carry_out(order),
                Err(RecvTimeoutError::Timeout) => {
                    self.look();
                    log::logger().flush(); // reports the lines that were left out
                }
            }
        }
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::MemoryMax(bytes) => self.memory_max = bytes,
            Order::DiskFreeMin(bytes) => self.disk_free_min = bytes,
            Order::Force(alarm, on) => {
                self.forced.set(alarm, on);
                self.alarms.set(alarm, on);
                return self.tell();
            }
            Order::Stop => return,
        }
        log::info!("memory high watermark {} MB, disk free limit {} MB", mega(self.memory_max), mega(self.disk_free_min));
        self.look();
    }

    /// Sets the alarms. If something cannot be measured, its alarm stays as it is.
    fn look(&mut self) {
        let forced = self.forced.get();
        if let Ok(used) = process::resident_memory() {
            self.measured.0 = used;
            self.alarms.set(Alarm::Memory, used > self.memory_max || forced.has(Alarm::Memory));
        }
        if let Ok(free) = process::free_space(&self.data_dir) {
            self.measured.1 = free;
            self.alarms.set(Alarm::DiskFree, free < self.disk_free_min || forced.has(Alarm::DiskFree));
        }
        self.tell();
    }

    /// Tells the shards and the log which alarms are on, if others are than before.
    fn tell(&mut self) {
        let alarms = self.alarms.get();
        if alarms != self.told {
            self.log(alarms);
            self.told = alarms;
            self.shards.wake();
        }
    }

    /// Logs one line for each shortage that has begun or ended.
    fn log(&self, alarms: AlarmSet) {
        let (used, free) = (mega(self.measured.0), mega(self.measured.1));
        let (memory_max, disk_free_min, data_dir) = (mega(self.memory_max), mega(self.disk_free_min), self.data_dir.display());
        match (self.told.low_on_memory(), alarms.low_on_memory()) {
            (false, true) => log::warn!("memory alarm: {used} MB in use, the high watermark is {memory_max} MB; publishers are blocked"),
            (true, false) => log::info!("memory alarm is over: {used} MB in use, the high watermark is {memory_max} MB"),
            _ => {}
        }
        match (self.told.low_on_disk(), alarms.low_on_disk()) {
            (false, true) if alarms.has(Alarm::DiskFull) => log::warn!("disk alarm: no room in {data_dir}; publishers are blocked"),
            (false, true) => {
                log::warn!("disk alarm: {free} MB free in {data_dir}, the limit is {disk_free_min} MB; publishers are blocked")
            }
            (true, false) => log::info!("disk alarm is over: {free} MB free in {data_dir}, the limit is {disk_free_min} MB"),
            _ => {}
        }
    }

    /// How long to wait before the next look: longer while an alarm is on, so that an alarm at its
    /// limit is not raised and cleared all the time.
    fn pause(&self) -> Duration {
        if self.told.is_empty() { CALM } else { ALARMED }
    }
}

/// Converts bytes to megabytes, as in RabbitMQ's log.
fn mega(bytes: u64) -> u64 {
    bytes / 1_000_000
}

/// The time between two looks without an alarm. A publisher may fill some hundred megabytes in it.
const CALM: Duration = Duration::from_millis(250);
const ALARMED: Duration = Duration::from_secs(1);
/// How long to wait until an order is carried out.
const ORDER_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::watermark::Watermark;

    #[test]
    fn alarms_follow_the_limits() {
        let config = |memory, disk_free| Config {
            data_dir: std::env::temp_dir(),
            memory_high_watermark: Watermark::Bytes(memory),
            disk_free_limit: Watermark::Bytes(disk_free),
            ..Config::default()
        };
        let alarms = |config: &Config| {
            let (alarms, shards) = (Arc::<Alarms>::default(), Arc::new(Signal::new().expect("an eventfd")));
            drop(Monitor::start(config, alarms.clone(), shards).expect("a monitor"));
            (alarms.get().low_on_memory(), alarms.get().low_on_disk())
        };
        assert_eq!(alarms(&config(u64::MAX, 0)), (false, false));
        assert_eq!(alarms(&config(0, 0)), (true, false));
        assert_eq!(alarms(&config(u64::MAX, u64::MAX)), (false, true));
        let nowhere = Config { data_dir: "/nowhere/to/be/found".into(), ..config(0, u64::MAX) };
        assert_eq!(alarms(&nowhere), (true, false));
    }

    #[test]
    fn an_alarm_of_somebody_else_stays_and_is_told() {
        let (alarms, shards) = (Arc::<Alarms>::default(), Arc::new(Signal::new().expect("an eventfd")));
        let config =
            Config { memory_high_watermark: Watermark::Bytes(u64::MAX), disk_free_limit: Watermark::Bytes(0), ..Config::default() };
        let monitor = Monitor::start(&config, alarms.clone(), shards.clone()).expect("a monitor");
        assert!(!shards.was_called());
        alarms.set(Alarm::DiskFull, true);
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while !shards.was_called() && std::time::Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        assert!(shards.was_called() && alarms.get().has(Alarm::DiskFull));
        drop(monitor);
    }

    #[test]
    fn orders_are_carried_out_at_once() {
        let (alarms, shards) = (Arc::<Alarms>::default(), Arc::new(Signal::new().expect("an eventfd")));
        let config = Config {
            data_dir: std::env::temp_dir(),
            memory_high_watermark: Watermark::Bytes(u64::MAX),
            disk_free_limit: Watermark::Bytes(0),
            ..Config::default()
        };
        let monitor = Monitor::start(&config, alarms.clone(), shards).expect("a monitor");
        let after = |order| {
            monitor.remote().order(order);
            (alarms.get().low_on_memory(), alarms.get().low_on_disk())
        };
        assert_eq!(after(Order::MemoryMax(0)), (true, false));
        assert_eq!(after(Order::DiskFreeMin(u64::MAX)), (true, true));
        assert_eq!(after(Order::MemoryMax(u64::MAX)), (false, true));
        assert_eq!(after(Order::Force(Alarm::Memory, true)), (true, true));
        assert_eq!(after(Order::DiskFreeMin(0)), (true, false), "a look does not end a forced alarm");
        assert_eq!(after(Order::Force(Alarm::Memory, false)), (false, false));
        let late = monitor.remote();
        drop(monitor);
        late.order(Order::MemoryMax(0));
        assert!(alarms.get().is_empty());
    }
}
