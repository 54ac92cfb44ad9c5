//! A blocking connection: the handshake and the calls that prepare a run (declare, bind, qos), one
//! at a time. When a run begins, a worker's epoll loop takes over the socket, see
//! [`crate::load::peer`].

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::amqp::encode::{Encoder, Field, Table};
use crate::amqp::uri::Uri;
use crate::amqp::{FRAME_BODY, FRAME_END, FRAME_METHOD, FRAME_OVERHEAD, PROTOCOL_HEADER, id};
use crate::sys;

/// How connections are made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The broker's address, and the login.
    pub uri: Uri,
    /// The frame_max that the client chooses in tune-ok, unless the server's is smaller.
    pub frame_max: u32,
    /// The TCP congestion control; empty for the system's.
    pub congestion: String,
}

/// An open AMQP connection that makes one call at a time.
pub struct Connection {
    /// The socket.
    pub stream: TcpStream,
    /// The negotiated frame_max.
    pub frame_max: usize,
    /// The server's channel_max.
    pub channel_max: u16,
}

/// The error is a text that says what was tried, and what the server or the system answered.
pub type Result<T> = std::result::Result<T, String>;

impl Connection {
    /// Connects and opens the vhost.
    pub fn open(settings: &Settings) -> Result<Connection> {
        let uri = &settings.uri;
        let mut connection = Connection { stream: connect(settings)?, frame_max: 0, channel_max: 0 };
        connection.send(PROTOCOL_HEADER)?;
        connection.expect(id::CONNECTION_START)?;
        connection.send(&start_ok(uri))?;
        let tune = connection.expect(id::CONNECTION_TUNE)?;
        let frame_max = agreed_frame_max(&tune, settings.frame_max)?;
        connection.frame_max = frame_max as usize;
        connection.channel_max = channel_max(&tune);
        connection.send(&tune_ok_and_open(uri, connection.channel_max, frame_max))?;
        connection.expect(id::CONNECTION_OPEN_OK)?;
        Ok(connection)
    }

    /// Opens a channel.
    pub fn open_channel(&mut self, channel: u16) -> Result<()> {
        self.call(channel, id::CHANNEL_OPEN, id::CHANNEL_OPEN_OK, |e| {
            e.short("");
        })
        .map(drop)
    }

    /// Sends a method and waits for its reply. Returns the reply's arguments.
    pub fn call(&mut self, channel: u16, method: u32, reply: u32, args: impl FnOnce(&mut Encoder)) -> Result<Vec<u8>> {
        let mut e = Encoder::default();
        e.method(channel, method, args);
        self.send(&e.out)?;
        self.expect(reply)
    }

    /// Closes the connection with a handshake.
    pub fn close(&mut self) -> Result<()> {
        self.call(0, id::CONNECTION_CLOSE, id::CONNECTION_CLOSE_OK, |e| {
            e.u16(200).short("").u32(0);
        })
        .map(drop)
    }

    /// Waits for a delivery of one body frame.
    pub fn await_delivery(&mut self) -> Result<()> {
        loop {
            let (kind, payload) = self.read_frame().map_err(|e| format!("waiting for a delivery: {e}"))?;
            match payload.split_first_chunk::<4>().map(|(id, args)| (u32::from_be_bytes(*id), args)) {
                _ if kind == FRAME_BODY => return Ok(()),
                Some((id::CONNECTION_CLOSE | id::CHANNEL_CLOSE, args)) if kind == FRAME_METHOD => return Err(close_text(args)),
                _ => {}
            }
        }
    }

    /// Sends whole frames.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).map_err(|e| format!("send: {e}"))
    }

    /// Waits for a method. Everything else on the connection that is no error is ignored.
    pub fn expect(&mut self, reply: u32) -> Result<Vec<u8>> {
        loop {
            let (kind, payload) = self.read_frame().map_err(|e| format!("waiting for {}: {e}", method_name(reply)))?;
            let Some((id_bytes, args)) = payload.split_first_chunk::<4>().filter(|_| kind == FRAME_METHOD) else { continue };
            match u32::from_be_bytes(*id_bytes) {
                id if id == reply => return Ok(args.to_vec()),
                id::CONNECTION_CLOSE | id::CHANNEL_CLOSE => return Err(close_text(args)),
                _ => {}
            }
        }
    }

    fn read_frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 7];
        self.stream.read_exact(&mut head)?;
        if head.starts_with(b"AMQP") {
            return Err(io::Error::other("the server does not speak AMQP 0-9-1"));
        }
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let mut payload = vec![0; size + 1];
        self.stream.read_exact(&mut payload)?;
        match payload.pop() {
            Some(FRAME_END) => Ok((head[0], payload)),
            _ => Err(io::Error::other("a frame without its end octet")),
        }
    }
}

/// Calls that do not wait for each other: they are sent together, then their replies are awaited in
/// order.
pub struct Calls<'a> {
    connection: &'a mut Connection,
    encoder: Encoder,
    replies: Vec<u32>,
}

impl<'a> Calls<'a> {
    /// Begins with no calls.
    pub fn new(connection: &'a mut Connection) -> Calls<'a> {
        Calls { connection, encoder: Encoder::default(), replies: Vec::new() }
    }

    /// Adds a call, and makes the calls so far if they are many.
    pub fn add(&mut self, channel: u16, method: u32, reply: u32, args: impl FnOnce(&mut Encoder)) -> Result<()> {
        self.encoder.method(channel, method, args);
        self.replies.push(reply);
        if self.replies.len() == CALLS_MAX { self.make() } else { Ok(()) }
    }

    /// Makes the remaining calls.
    pub fn finish(mut self) -> Result<()> {
        self.make()
    }

    fn make(&mut self) -> Result<()> {
        self.connection.send(&self.encoder.out)?;
        self.encoder.out.clear();
        self.replies.drain(..).try_for_each(|reply| self.connection.expect(reply).map(drop))
    }
}

/// Makes a TCP connection with these settings.
pub fn connect(settings: &Settings) -> Result<TcpStream> {
    let Uri { host, port, .. } = &settings.uri;
    let stream = TcpStream::connect((host.as_str(), *port)).map_err(|e| format!("connect to {host}:{port}: {e}"))?;
    prepare(&stream, &settings.congestion).map_err(|e| e.to_string())?;
    Ok(stream)
}

/// The text of a channel.close or connection.close.
pub fn close_text(args: &[u8]) -> String {
    match args {
        [high, low, len, rest @ ..] if rest.len() >= usize::from(*len) => {
            format!("{} {}", u16::from_be_bytes([*high, *low]), String::from_utf8_lossy(&rest[..usize::from(*len)]))
        }
        _ => "closed without a reason".to_owned(),
    }
}

/// Encodes the first bytes of a client after connection.start.
pub fn start_ok(uri: &Uri) -> Vec<u8> {
    let mut e = Encoder::default();
    let capabilities: Table =
        ["publisher_confirms", "basic.nack", "consumer_cancel_notify"].map(|c| (c.to_owned(), Field::Bool(true))).to_vec();
    let properties = vec![
        ("product".to_owned(), Field::Text("ringmq-perf".to_owned())),
        ("version".to_owned(), Field::Text(env!("CARGO_PKG_VERSION").to_owned())),
        ("capabilities".to_owned(), Field::Table(capabilities)),
    ];
    let response = format!("\0{}\0{}", uri.user, uri.password);
    e.method(0, id::CONNECTION_START_OK, |e| {
        e.table(&properties).short("PLAIN").long(response.as_bytes()).short("en_US");
    });
    e.out
}

/// Encodes tune-ok without heartbeats, followed by connection.open.
pub fn tune_ok_and_open(uri: &Uri, channel_max: u16, frame_max: u32) -> Vec<u8> {
    let mut e = Encoder::default();
    e.method(0, id::CONNECTION_TUNE_OK, |e| {
        e.u16(channel_max).u32(frame_max).u16(0);
    });
    e.method(0, id::CONNECTION_OPEN, |e| {
        e.short(&uri.vhost).short("").u8(0);
    });
    e.out
}

/// Returns the smaller of the server's frame_max in connection.tune and the wanted one; 0 means no
/// limit.
pub fn agreed_frame_max(tune: &[u8], wanted: u32) -> Result<u32> {
    let offer = tune.get(2..6).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes).ok_or("a short connection.tune")?;
    Ok(if offer == 0 { wanted } else { offer.min(wanted) }.max(FRAME_MAX_MIN))
}

fn channel_max(tune: &[u8]) -> u16 {
    tune.first_chunk().map_or(0, |b| u16::from_be_bytes(*b))
}

fn prepare(stream: &TcpStream, congestion: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(CALL_TIMEOUT))?;
    if !congestion.is_empty() {
        sys::set_congestion(stream.as_fd(), congestion);
    }
    Ok(())
}

fn method_name(id: u32) -> String {
    format!("method {}.{}", id >> 16, id & 0xFFFF)
}

/// The smallest frame_max that the specification allows.
const FRAME_MAX_MIN: u32 = 4096;
/// Number of calls under way: calls and replies fit into the sockets' buffers, so that neither side
/// waits for the other to read.
const CALLS_MAX: usize = 256;
/// How long a server may take for a call.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const _: () = assert!(FRAME_OVERHEAD < FRAME_MAX_MIN as usize);
