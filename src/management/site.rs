//! The site: all that requests share. One thread serves them, so nothing here is locked but the
//! broker's own handle.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::broker::Broker;
use super::host::Host;
use super::login::Attempts;
use super::names::Names;
use super::rates::Rates;

/// All that requests share.
pub struct Site {
    /// The broker.
    pub broker: Broker,
    /// The process and the machine.
    pub host: Box<dyn Host>,
    /// The addresses of the listeners.
    pub listeners: Listeners,
    /// The samples of numbers.
    pub rates: RefCell<Rates>,
    /// The sorted names.
    pub names: RefCell<Names>,
    /// The logins over HTTP.
    pub attempts: Attempts,
    /// The places for answers with the metrics of every object.
    pub scrapes: Arc<Semaphore>,
}

/// The addresses of the broker's listeners.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listeners {
    /// Of AMQP.
    pub amqp: Vec<SocketAddr>,
    /// Of this API.
    pub http: Vec<SocketAddr>,
    /// Of metrics.
    pub metrics: Vec<SocketAddr>,
}

impl Listeners {
    /// All of them, with the names of their protocols.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &SocketAddr)> {
        let named = [("amqp", &self.amqp), ("http", &self.http), ("http/prometheus", &self.metrics)];
        named.into_iter().flat_map(|(protocol, addresses)| addresses.iter().map(move |address| (protocol, address)))
    }
}

impl Site {
    /// Makes a site.
    pub fn new(broker: Broker, host: impl Host + 'static, listeners: Listeners) -> Site {
        let (rates, names) = Default::default();
        Site {
            broker,
            host: Box::new(host),
            listeners,
            rates,
            names,
            attempts: Attempts::default(),
            scrapes: Arc::new(Semaphore::new(SCRAPES_MAX)),
        }
    }

    /// The name of the node.
    pub fn node(&self) -> &str {
        &self.broker.config().node_name
    }
}

/// Answers with the metrics of every object at a time.
const SCRAPES_MAX: usize = 4;
