//! Listening sockets: on each address one per shard. The kernel distributes the connections among
//! them (SO_REUSEPORT).
//!
//! SO_REUSEPORT alone would let a second broker of the same user join the port and silently take
//! half of the connections. So the first socket of an address binds and listens *without* it, which
//! fails if another process listens there, and only then allows the other shards' sockets to join.
//! At that time the kernel already knows the first one as listening, so two brokers that start at
//! the same moment cannot both succeed.
//!
//! Accepted sockets inherit TCP_NODELAY (batches are made by the turn, not by the kernel) and the
//! congestion control. It is Cubic even if the system uses BBR, whose pacing timers cost 10 to 30 %
//! of the throughput over loopback and in a data centre (measured).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::time::{Duration, Instant};

use io_uring::{opcode, types};
use socket2::{Domain, SockRef, Socket, Type};

use crate::base::limits;
use crate::base::quota::{Place, Quota};
use crate::config::{Config, Congestion, Protocol};
use crate::io::StartError;
use crate::io::ring::Ring;
use crate::io::token::Token;

/// The result of [`bind`].
pub struct Bound {
    /// The addresses, with the ports that the kernel chose where 0 was asked for.
    pub addresses: Vec<SocketAddr>,
    /// The listeners of each shard, one per address.
    pub by_shard: Vec<Vec<Listener>>,
}

/// A listening socket of one shard.
pub struct Listener {
    protocol: Protocol,
    socket: TcpListener,
    /// Its address, with the port that the kernel chose for port 0.
    address: SocketAddr,
    backlog: i32,
}

/// A connection that was accepted.
pub struct Accepted {
    /// Its socket.
    pub stream: TcpStream,
    /// Its share of the number of connections that there may be.
    pub place: Place,
    /// The protocol of its listener.
    pub protocol: Protocol,
}

/// The listeners of one shard.
pub struct Listeners {
    list: Vec<Listener>,
    /// Whether they listen. While they do not, the kernel refuses connections, but nobody else can
    /// take the ports.
    is_open: bool,
    /// When to accept again after an error (out of descriptors or memory), which would only repeat
    /// itself if the listener accepted again at once.
    retry_at: Option<u64>,
    /// The listeners that wait for `retry_at`.
    resting: Vec<u32>,
    /// The limit of the number of connections.
    places: Quota,
    /// Until this time, no further refused connection is logged.
    quiet_until: u64,
}

/// Binds each configured address once per shard. If none is configured, it binds 127.0.0.1:5672,
/// and `[::1]:5672` if the machine has IPv6. Without IPv6, 0.0.0.0 stands in for `[::]`.
///
/// # Errors
/// One sentence that names the address and the reason.
pub fn bind(config: &Config, shards: usize) -> Result<Bound, StartError> {
    let mut bound = Bound { addresses: Vec::new(), by_shard: (0..shards).map(|_| Vec::new()).collect() };
    for &address in &config.listen {
        match bind_one(address, config, &mut bound) {
            Err(refusal) if address.ip() == Ipv6Addr::UNSPECIFIED && refusal.is_without_ipv6() => {
                let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
                bind_one(address, config, &mut bound).map_err(|refusal| refusal.explain(address))?;
            }
            result => result.map_err(|refusal| refusal.explain(address))?,
        }
    }
    if config.listen.is_empty() {
        let [v4, v6] = DEFAULT;
        bind_one(v4, config, &mut bound).map_err(|refusal| refusal.explain(v4))?;
        match bind_one(v6, config, &mut bound) {
            Err(refusal) if refusal.is_without_ipv6() => {}
            result => result.map_err(|refusal| refusal.explain(v6))?,
        }
    }
    Ok(bound)
}

impl Listeners {
    /// Starts to accept from all listeners.
    pub fn open(list: Vec<Listener>, places: Quota, ring: &mut Ring<'_>) -> Listeners {
        let listeners = Listeners { list, is_open: true, retry_at: None, resting: Vec::new(), places, quiet_until: 0 };
        (0..).zip(&listeners.list).for_each(|(number, listener)| arm(number, listener, ring));
        listeners
    }

    /// Handles the completion of a listener. Returns the connection, or `None` if there is none to
    /// take; a connection beyond the limit is closed at once. `more`: the listener goes on
    /// accepting by itself.
    pub fn on_accept(&mut self, number: u32, result: i32, more: bool, now: u64, ring: &mut Ring<'_>) -> Option<Accepted> {
        // SAFETY: a descriptor that a completed accept returns is new, and nothing else owns it.
        let stream = (result >= 0).then(|| unsafe { TcpStream::from_raw_fd(result) });
        let listener = self.list.get(number as usize);
        let protocol = listener.map(|listener| listener.protocol);
        match listener {
            _ if !self.is_open => return None,
            Some(listener) if !more && stream.is_some() => arm(number, listener, ring),
            Some(_) if !more => self.rest(number, result, now),
            _ => {}
        }
        let (stream, protocol) = (stream?, protocol?);
        let place = self.places.take().map_err(|max| self.report(now, &format!("there are {max} connections, more are refused")));
        Some(Accepted { stream, place: place.ok()?, protocol })
    }

    /// Stops to listen, or listens again.
    pub fn admit(&mut self, is_open: bool, now: u64, ring: &mut Ring<'_>) {
        if self.is_open == is_open {
            return;
        }
        self.is_open = is_open;
        (self.retry_at, self.resting) = (None, Vec::new());
        for number in (0..).take(self.list.len()) {
            let listener = &self.list[number as usize];
            match if is_open { listener.listen() } else { listener.shut() } {
                Ok(()) if is_open => arm(number, listener, ring),
                Ok(()) => {}
                Err(error) => self.report(now, &format!("a listener cannot be suspended or resumed: {error}")),
            }
        }
    }

    /// Accepts again from the listeners that failed, once `retry_at` has come.
    pub fn expire(&mut self, now: u64, ring: &mut Ring<'_>) {
        if self.retry_at.take_if(|due| *due <= now).is_some() {
            for number in std::mem::take(&mut self.resting) {
                self.list.get(number as usize).into_iter().for_each(|listener| arm(number, listener, ring));
            }
        }
    }

    /// When [`Listeners::expire`] has something to do next.
    pub fn due(&self) -> Option<u64> {
        self.retry_at
    }

    /// Stops accepting: cancels the operations in flight and closes the sockets.
    pub fn close(&mut self, ring: &mut Ring<'_>) {
        for (number, _) in (0..).zip(self.list.drain(..)) {
            let cancel = opcode::AsyncCancel::new(Token::Accept(number).encode()).build().user_data(Token::Ignore.encode());
            // SAFETY: the operation points to nothing.
            unsafe { ring.push(&cancel) };
        }
        self.retry_at = None;
    }

    fn rest(&mut self, number: u32, result: i32, now: u64) {
        self.report(now, &format!("cannot accept connections for the moment: {}", io::Error::from_raw_os_error(-result)));
        self.retry_at.get_or_insert(now + limits::ACCEPT_BACKOFF_MS);
        self.resting.push(number);
    }

    fn report(&mut self, now: u64, what: &str) {
        if self.quiet_until <= now {
            log::warn!("{what}");
            self.quiet_until = now + limits::ACCEPT_REPORT_MS;
        }
    }
}

impl Listener {
    /// Has the kernel refuse connections. The operation that accepts them ends with an error.
    fn shut(&self) -> io::Result<()> {
        SockRef::from(&self.socket).shutdown(Shutdown::Read)
    }

    /// Listens again.
    fn listen(&self) -> io::Result<()> {
        let socket = SockRef::from(&self.socket);
        // A port that the kernel chose was given back; any other is still bound, which is an error.
        let _ = socket.bind(&self.address.into());
        socket.listen(self.backlog)
    }
}

fn arm(number: u32, listener: &Listener, ring: &mut Ring<'_>) {
    let accept = opcode::AcceptMulti::new(types::Fd(listener.socket.as_raw_fd())).flags(libc::SOCK_CLOEXEC).build();
    // SAFETY: the operation points to nothing.
    unsafe { ring.push(&accept.user_data(Token::Accept(number).encode())) };
}

/// The reason why an address cannot be listened on.
enum Refusal {
    /// The error of a call on the address.
    Address(io::Error),
    /// The congestion control that the configuration asks for is not available.
    Congestion(String, io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::Address(error)
    }
}

fn bind_one(address: SocketAddr, config: &Config, bound: &mut Bound) -> Result<(), Refusal> {
    let first = listen_alone(address, config)?;
    first.set_reuse_port(true)?;
    let first = TcpListener::from(first);
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..bound.by_shard.len() {
        let next = socket(address, config)?;
        next.set_reuse_port(true)?;
        next.bind(&address.into())?;
        next.listen(config.backlog.into())?;
        sockets.push(next.into());
    }
    bound.addresses.push(address);
    let listener = |socket| Listener { protocol: Protocol::Amqp, socket, address, backlog: config.backlog.into() };
    bound.by_shard.iter_mut().zip(sockets).for_each(|(list, socket)| list.push(listener(socket)));
    Ok(())
}

/// Makes the first listening socket of an address. If the address is in use, it tries again for a
/// moment: the listeners of a killed broker stay until the kernel has torn down its rings, some
/// milliseconds after the process, and a supervisor's restart would fail.
fn listen_alone(address: SocketAddr, config: &Config) -> Result<Socket, Refusal> {
    let end = Instant::now() + Duration::from_millis(limits::ADDRESS_TAKEN_MS);
    loop {
        let first = socket(address, config)?;
        match first.bind(&address.into()).and_then(|()| first.listen(config.backlog.into())) {
            Ok(()) => return Ok(first),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < end => std::thread::sleep(Duration::from_millis(2)),
            Err(error) => return Err(error.into()),
        }
    }
}

fn socket(address: SocketAddr, config: &Config) -> Result<Socket, Refusal> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(socket2::Protocol::TCP))?;
    // A port whose old connections are still in TIME_WAIT may be bound again.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_tcp_nodelay(config.tcp_nodelay)?;
    match &config.tcp_congestion {
        Congestion::System => {}
        Congestion::Named(name) => {
            socket.set_tcp_congestion(name.as_bytes()).map_err(|error| Refusal::Congestion(name.clone(), error))?;
        }
        Congestion::Usual => {
            if let Err(error) = socket.set_tcp_congestion(b"cubic") {
                log::debug!("cubic congestion control is not available, the system's default is kept: {error}");
            }
        }
    }
    Ok(socket)
}

impl Refusal {
    /// Whether the error is that of an IPv6 address on a machine without IPv6.
    fn is_without_ipv6(&self) -> bool {
        matches!(self, Refusal::Address(error) if matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT)))
    }

    fn explain(self, address: SocketAddr) -> StartError {
        let error = match self {
            Refusal::Address(error) => error,
            Refusal::Congestion(name, error) => {
                let names = "choose one of net.ipv4.tcp_available_congestion_control, or give --tcp-congestion system";
                return StartError(format!("congestion control '{name}' is not available ({error}): {names}"));
            }
        };
        StartError(match error.raw_os_error() {
            Some(libc::EADDRINUSE) => format!("{address} is in use: stop the program that listens there or give another --listen"),
            Some(libc::EADDRNOTAVAIL) => format!("{address} is not an address of this machine: give another --listen"),
            Some(libc::EACCES) => format!("{address} needs more rights than this process has: give a port from 1024 on with --listen"),
            _ => format!("{address} cannot be listened on: {error}"),
        })
    }
}

const DEFAULT: [SocketAddr; 2] =
    [SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5672), SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::LOCALHOST), 5672)];

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn a_second_broker_on_the_port_is_refused() {
        let on = |address| Config { listen: vec![address], ..Config::default() };
        let bound = bind(&on(ANY), 2).expect("a free port");
        let taken = bound.addresses[0];
        let refusal = bind(&on(taken), 2).err().expect("a refusal").to_string();
        assert_eq!(refusal, format!("{taken} is in use: stop the program that listens there or give another --listen"));
        drop(bound);
        bind(&on(taken), 2).map(drop).expect("free again");
    }

    #[test]
    fn a_congestion_control_that_is_not_there_is_refused() {
        let config = |tcp_congestion| Config { listen: vec![ANY], tcp_congestion, ..Config::default() };
        let refusal = bind(&config(Congestion::Named("snail".into())), 1).err().expect("a refusal").to_string();
        assert!(refusal.starts_with("congestion control 'snail' is not available"), "{refusal}");
        bind(&config(Congestion::Named("reno".into())), 1).map(drop).expect("every Linux has it");
        bind(&config(Congestion::System), 1).map(drop).expect("nothing is asked for");
    }

    #[test]
    fn connections_are_spread_over_the_sockets_of_an_address() {
        let bound = bind(&Config { listen: vec![ANY], ..Config::default() }, 2).expect("a free port");
        let clients: Vec<_> = (0..64).map(|_| TcpStream::connect(bound.addresses[0]).expect("a listener")).collect();
        let accepted = bound.by_shard.iter().flatten().map(|listener| {
            listener.socket.set_nonblocking(true).expect("a socket of ours");
            listener.socket.incoming().map_while(Result::ok).count()
        });
        let accepted: Vec<_> = accepted.collect();
        assert_eq!(accepted.iter().sum::<usize>(), clients.len());
        assert!(accepted.iter().all(|&count| count > 0), "{accepted:?}");
    }

    #[test]
    fn listeners_that_are_shut_refuse_and_listen_again_on_their_port() {
        let bound = bind(&Config { listen: vec![ANY], ..Config::default() }, 2).expect("a free port");
        let (address, listeners) = (bound.addresses[0], || bound.by_shard.iter().flatten());
        for _ in 0..2 {
            listeners().for_each(|listener| listener.shut().expect("it listens"));
            let refused = TcpStream::connect(address).expect_err("nobody listens");
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            listeners().for_each(|listener| listener.listen().expect("the port is still ours"));
            assert!(listeners().all(|listener| listener.socket.local_addr().is_ok_and(|own| own == address)));
            TcpStream::connect(address).expect("a listener");
        }
    }
}
