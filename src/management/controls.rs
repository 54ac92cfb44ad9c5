//! Controls: what an operator may change of the running process. Nothing of it outlives the process
//! but the list of plugins.

use log::LevelFilter;

use crate::base::alarms::Alarm;
use crate::config::watermark::Watermark;

/// The controls of the process.
pub trait Controls {
    /// Ends the process as SIGTERM does.
    fn shut_down(&self);
    /// The limits in force.
    fn limits(&self) -> Limits;
    /// Puts other limits in force, at once.
    fn set_limits(&self, limits: Limits);
    /// Raises an alarm until it is cleared, or clears it until a shortage is found.
    fn force_alarm(&self, alarm: Alarm, on: bool);
    /// The level of the log.
    fn log_level(&self) -> LevelFilter;
    /// Changes the level of the log.
    fn set_log_level(&self, level: LevelFilter);
    /// The newest lines of the log, at most so many, and the place behind them.
    fn newest_log_lines(&self, lines_max: u64) -> LogLines;
    /// The lines of the log from a place on, and the place behind them.
    fn log_lines_from(&self, place: u64) -> LogLines;
    /// The file that names the enabled plugins, if there is one.
    fn plugins_file(&self) -> Option<String>;
    /// Writes that file.
    ///
    /// # Errors
    /// One sentence: it cannot be written.
    fn write_plugins_file(&self, text: &str) -> Result<(), String>;
    /// Has the listeners of clients refuse connections for this reason, or no longer. A shard that is
    /// asked for something afterwards has followed.
    fn close_listeners(&self, closure: Closure, on: bool);
    /// Whether the broker is in maintenance.
    fn is_in_maintenance(&self) -> bool;
}

/// Lines of the log, and the place behind them.
pub type LogLines = (Vec<Box<str>>, u64);

/// The limits of memory and disk space.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Limits {
    /// The high watermark of memory.
    pub memory: Watermark,
    /// The limit of free disk space; a fraction is one of the memory.
    pub disk_free: Watermark,
}

/// A reason to take no connections of clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closure {
    /// An operator has suspended the listeners.
    Suspension,
    /// The broker is in maintenance.
    Maintenance,
}
