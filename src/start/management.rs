//! The management thread: it follows the shards' reports and serves operators.
//!
//! It listens on the addresses of the management API, and on a socket in the data directory for the
//! command line tool: whoever may write to that file is an administrator.

use std::fs::{self, File, Permissions};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::runtime;
use tokio::sync::{mpsc, oneshot};

use crate::broker::catalog::Catalog;
use crate::config::Config;
use crate::config::metrics::Metrics;
use crate::io::StartError;
use crate::io::door::Door;
use crate::io::host::affinity;
use crate::management::broker::{Broker, Reported};
use crate::management::server::{self, Sockets};
use crate::management::site::{Listeners, Site};
use crate::start::host::ThisHost;

/// The shards' doors, and what comes out of them.
pub struct Doors {
    doors: Vec<Door>,
    reports: mpsc::UnboundedReceiver<Reported>,
}

/// The listening sockets of the management thread.
pub struct Bound {
    http: Vec<TcpListener>,
    metrics: Option<TcpListener>,
    local: Option<UnixListener>,
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

impl Bound {
    /// Binds the addresses, and the socket in the data directory.
    ///
    /// # Errors
    /// One sentence: an address is taken.
    pub fn bind(config: &Config) -> Result<Bound, StartError> {
        let local = bind_local(&config.data_dir);
        let listen = &config.management.listen;
        let http = match config.management.enabled {
            false => Vec::new(),
            true if listen.is_empty() => DEFAULT.into_iter().filter_map(|address| bind_default(address, &API)).collect(),
            true => listen.iter().map(|&address| bind(address, &API)).collect::<Result<_, _>>()?,
        };
        let metrics = match config.metrics.listen {
            address if address == Metrics::default().listen => address.and_then(|address| bind_default(address, &METRICS)),
            address => address.map(|address| bind(address, &METRICS)).transpose()?,
        };
        Ok(Bound { http, metrics, local })
    }

    /// The addresses of the API and of metrics, with the ports that the kernel chose for port 0.
    pub fn addresses(&self) -> [Vec<SocketAddr>; 2] {
        let of = |listener: &TcpListener| listener.local_addr().ok();
        [self.http.iter().filter_map(of).collect(), self.metrics.iter().filter_map(of).collect()]
    }

    /// Hands the sockets to the runtime of the calling thread.
    fn into_sockets(self) -> io::Result<Sockets> {
        let http = self.http.into_iter().map(tokio::net::TcpListener::from_std).collect::<io::Result<_>>()?;
        let metrics = self.metrics.into_iter().map(tokio::net::TcpListener::from_std).collect::<io::Result<_>>()?;
        let local = self.local.map(tokio::net::UnixListener::from_std).transpose()?;
        Ok(Sockets { http, metrics, local })
    }
}

/// Binds a listener; the service and the flag that chooses its address are for the error.
fn bind(address: SocketAddr, (service, flag): &(&str, &str)) -> Result<TcpListener, StartError> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|error: io::Error| {
        StartError(format!("{service} cannot listen on {address}: {error}; choose another address with {flag}"))
    })
}

/// Binds a listener that nobody has asked for. If it cannot be had, the broker goes without: there
/// may be another broker on this machine, or no IPv6.
fn bind_default(address: SocketAddr, service: &(&str, &str)) -> Option<TcpListener> {
    let bound = bind(address, service);
    bound.inspect_err(|error| if address.is_ipv4() { log::warn!("{error}") } else { log::debug!("{error}") }).ok()
}

/// Binds the socket of the command line tool. The data directory is locked, so a socket that is
/// there is left over from a crash. If it cannot be had, the broker goes without.
///
/// The kernel takes short paths only, so the directory is named by its descriptor. The socket gets
/// its name once its permissions are right.
fn bind_local(data_dir: &Path) -> Option<UnixListener> {
    let bind = || {
        let directory = File::open(data_dir)?;
        let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string());
        let draft = short.join(SOCKET_DRAFT);
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&draft)?;
        listener.set_nonblocking(true)?;
        fs::set_permissions(&draft, Permissions::from_mode(0o660))?;
        fs::rename(&draft, short.join(SOCKET))?;
        Ok(listener)
    };
    let told = |error: &io::Error| {
        log::warn!("the socket {} cannot be made, ringmqctl needs --url: {error}", data_dir.join(SOCKET).display());
    };
    bind().inspect_err(told).ok()
}

impl Management {
    /// Starts the thread for a broker whose AMQP listeners have the addresses `amqp`.
    ///
    /// # Errors
    /// One sentence: it cannot be started.
    pub fn start(
        broker: Broker,
        reports: mpsc::UnboundedReceiver<Reported>,
        bound: Bound,
        host: ThisHost,
        amqp: Vec<SocketAddr>,
    ) -> Result<Management, StartError> {
        let unstarted = |error| StartError(format!("the management thread cannot be started: {error}"));
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(unstarted)?;
        let (stop, stopped) = oneshot::channel();
        let [http, metrics] = bound.addresses();
        let listeners = Listeners { amqp, http, metrics };
        let sockets = {
            let _in_runtime = runtime.enter();
            bound.into_sockets().map_err(unstarted)?
        };
        let run = move || {
            leave_shards_alone(broker.config());
            let site = Site::new(broker.clone(), host, listeners);
            runtime.block_on(async {
                tokio::select! {
                    () = broker.follow(reports) => {}
                    () = server::serve(site, sockets) => {}
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

/// Services, and the flags with their addresses.
const API: (&str, &str) = ("the management API", "--management-listen");
const METRICS: (&str, &str) = ("the server of metrics", "--metrics-listen");
/// The name of the command line tool's socket in the data directory.
const SOCKET: &str = "management.sock";
/// Its name while it is made.
const SOCKET_DRAFT: &str = "management.sock.new";
/// The addresses of the API, unless others are configured.
const DEFAULT: [SocketAddr; 2] =
    [SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 15672), SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::LOCALHOST), 15672)];
