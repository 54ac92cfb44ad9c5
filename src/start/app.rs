//! The broker inside its process: found on the disk, started, stopped in order, and started again.
//! RabbitMQ's tools call these `start_app` and `stop_app`.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::broker::catalog::Catalog;
use crate::config::Config;
use crate::io::host::process;
use crate::io::{Broker, StartError};
use crate::shard;
use crate::start::data_dir::DataDir;
use crate::start::host::{Reins, ThisHost};
use crate::start::management::{Bound, Doors, Management};
use crate::start::{definitions, storage};

/// A broker that runs, and the data directory that it has locked. Dropping it stops it, but without
/// the notes of a stop: the next start finds what a crash would have left.
pub struct App {
    config: Arc<Config>,
    /// Dropped before the broker, which it asks.
    management: Management,
    broker: Broker,
    api: Vec<SocketAddr>,
    /// Dropped after the broker, which uses it until its end.
    _data_dir: DataDir,
}

impl App {
    /// Starts a broker with what the data directory has.
    ///
    /// # Errors
    /// One sentence that gives the reason; then nothing runs, and the data directory is free.
    pub fn start(config: &Arc<Config>) -> Result<App, StartError> {
        let data_dir = DataDir::open(&config.data_dir)?;
        let mut shards = shard::joined(config, u64::from_ne_bytes(process::random()));
        shard::keep_secrets(&mut shards, process::random);
        let mut found = storage::find(config)?;
        definitions::load(config, &mut found)?;
        let node_id = data_dir.node_id()?;
        let catalog = Catalog::restored(&found.catalog);
        shard::restore(&mut shards, found);
        let bound = Bound::bind(config)?;
        let alarms = shards[0].alarms().clone();
        let (handle, doors, reports) = Doors::open(config)?.into_parts(config, catalog);
        let [api, metrics] = bound.addresses();
        let broker = Broker::start(config, shards.into_iter().zip(doors).collect())?;
        let reins = Reins { monitor: broker.monitor().remote(), admission: broker.admission().clone() };
        let host = ThisHost::new(config, alarms, reins);
        let management = Management::start(handle, reports, bound, host, broker.addresses().to_vec())?;
        announce(config, &node_id, &broker);
        api.iter().for_each(|address| log::info!("listening for the management API on {address}"));
        metrics.iter().for_each(|address| log::info!("listening for metrics on {address}"));
        Ok(App { config: config.clone(), management, broker, api, _data_dir: data_dir })
    }

    /// The addresses of its listeners, with the ports that the kernel chose for port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.broker.addresses()
    }

    /// The addresses of the management API.
    pub fn api_addresses(&self) -> &[SocketAddr] {
        &self.api
    }

    /// Stops the broker. Clients are told and get some seconds. Then the data directory is free.
    ///
    /// # Errors
    /// One sentence: the notes of the stop cannot be written.
    pub fn stop(self) -> Result<(), StartError> {
        let App { config, management, broker, _data_dir, .. } = self;
        drop(management);
        let shards = broker.stop();
        if shards.len() == usize::from(config.shards) {
            storage::note_stop(&config.data_dir, &shards)?;
        }
        Ok(())
    }
}

fn announce(config: &Config, node_id: &str, broker: &Broker) {
    let pinned = if config.cpus.is_empty() { "not pinned".into() } else { format!("on CPUs {:?}", config.cpus) };
    log::info!("RingMQ {} node {} in {}", env!("CARGO_PKG_VERSION"), node_id, config.data_dir.display());
    log::info!("{} shards, {pinned}", config.shards);
    for address in broker.addresses() {
        log::info!("listening for AMQP 0-9-1 on {address}");
    }
}
