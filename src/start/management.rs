//! The management thread: the broker's handle follows the shards, and serves operators.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::runtime;
use tokio::sync::{mpsc, oneshot};

use crate::broker::catalog::Catalog;
use crate::config::Config;
use crate::io::StartError;
use crate::io::door::Door;
use crate::io::host::affinity;
use crate::management::broker::{Broker, Reported};

/// The shards' doors, and what comes out of them.
pub struct Doors {
    doors: Vec<Door>,
    reports: mpsc::UnboundedReceiver<Reported>,
}

/// The thread. Dropping it ends it.
pub struct Management {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Doors {
    /// Makes a door for each shard.
    ///
    /// # Errors
    /// One sentence: there is no descriptor left.
    pub fn open(config: &Config) -> Result<Doors, StartError> {
        let (sender, reports) = mpsc::unbounded_channel();
        let door = |_| {
            let sender = sender.clone();
            // Nobody listens any more when the broker ends.
            Door::new(Arc::new(move |report| _ = sender.send(report)))
        };
        let doors: Result<Vec<Door>, _> = (0..config.shards).map(door).collect();
        let doors = doors.map_err(|error| StartError(format!("an eventfd cannot be created: {error}")))?;
        Ok(Doors { doors, reports })
    }

    /// Makes the broker's handle from a copy of its catalog. Returns it with the doors and the
    /// reports.
    pub fn into_parts(self, config: &Arc<Config>, catalog: Catalog) -> (Broker, Vec<Door>, mpsc::UnboundedReceiver<Reported>) {
        let inboxes = self.doors.iter().map(|door| door.inbox().clone()).collect();
        (Broker::new(config.clone(), catalog, inboxes), self.doors, self.reports)
    }
}

impl Management {
    /// Starts the thread.
    ///
    /// # Errors
    /// One sentence: it cannot be started.
    pub fn start(broker: Broker, reports: mpsc::UnboundedReceiver<Reported>) -> Result<Management, StartError> {
        let unstarted = |error| StartError(format!("the management thread cannot be started: {error}"));
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(unstarted)?;
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            leave_shards_alone(broker.config());
            runtime.block_on(async {
                tokio::select! {
                    () = broker.follow(reports) => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = thread::Builder::new().name("ringmq-manage".into()).spawn(run).map_err(unstarted)?;
        Ok(Management { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Management {
    fn drop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
        self.thread.take().map(JoinHandle::join);
    }
}

/// Keeps the calling thread off the CPUs of shards, if there are others.
fn leave_shards_alone(config: &Config) {
    let mut others = affinity::available();
    others.retain(|cpu| !config.cpus.contains(cpu));
    if !config.cpus.is_empty() && !others.is_empty() {
        affinity::confine(others).unwrap_or_else(|error| log::warn!("the management thread cannot be confined: {error}"));
    }
}
