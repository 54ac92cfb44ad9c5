//! The null broker's turn: completions, acks, sends, log, wait.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, FromRawFd};

use super::CeilingArgs;
use super::buffers::Buffers;
use super::log::Log;
use super::ring::{Done, Ring};
use super::router::{Broker, note};
use super::session::Session;
use crate::amqp::encode::ack;
use crate::sys;

/// A connection.
struct Link {
    stream: TcpStream,
    session: Session,
    carry: Vec<u8>,
    /// Whether a receive is under way.
    receiving: bool,
    /// Number of publishes that the write under way covers.
    sealed: u64,
    gone: bool,
}

/// The ring and all that it serves.
pub struct Driver {
    listener: TcpListener,
    ring: Ring,
    buffers: Buffers,
    broker: Broker,
    links: Vec<Option<Link>>,
    /// Links that publish with confirms.
    confirming: Vec<usize>,
    /// Links whose receive found no free buffer.
    starved: Vec<usize>,
}

impl Driver {
    /// Makes the ring and starts to accept connections.
    pub fn new(args: &CeilingArgs) -> io::Result<Driver> {
        let listener = TcpListener::bind(("127.0.0.1", args.port))?;
        if !args.congestion.is_empty() {
            sys::set_congestion(listener.as_fd(), &args.congestion);
        }
        let ring = Ring::new()?;
        let buffers = ring.buffers(args.buffers, args.buffer_bytes)?;
        let log = args.log.as_ref().map(|path| Log::open(path, args.log_bytes)).transpose()?;
        let (links, confirming, starved) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Driver { listener, ring, buffers, broker: Broker::new(log), links, confirming, starved })
    }

    /// Serves until the process ends.
    pub fn run(mut self) -> io::Result<()> {
        self.ring.accept(self.listener.as_raw_fd())?;
        let mut done = Vec::new();
        loop {
            self.ring.wait(&mut done)?;
            let mut later = Vec::new();
            for event in done.drain(..) {
                let full = self.broker.log.as_ref().is_some_and(|log| !log.has_room());
                if full && matches!(event, Done::Received { .. }) { later.push(event) } else { self.handle(event)? }
            }
            done = later;
            self.resume()?;
            self.confirm(self.broker.log.is_none());
            self.flush()?;
            self.seal()?;
        }
    }

    fn handle(&mut self, event: Done) -> io::Result<()> {
        match event {
            Done::Accepted(fd) if fd >= 0 => self.accepted(fd),
            Done::Accepted(_) => self.ring.accept(self.listener.as_raw_fd()),
            Done::Received { link, result, more } => self.received(link, result, more),
            Done::Sent { link, result } => self.sent(link, result),
            Done::Logged(result) => self.logged(result),
        }
    }

    fn accepted(&mut self, fd: i32) -> io::Result<()> {
        // SAFETY: the kernel has just made this descriptor, and nothing else owns it.
        let stream = unsafe { TcpStream::from_raw_fd(fd) };
        stream.set_nodelay(true)?;
        let index = self.links.iter().position(Option::is_none).unwrap_or(self.links.len());
        if index == self.links.len() {
            self.links.push(None);
            self.broker.outputs.push(Default::default());
        }
        self.links[index] = Some(Link { stream, session: Session::default(), carry: Vec::new(), receiving: true, sealed: 0, gone: false });
        self.ring.receive(fd, index)
    }

    fn received(&mut self, index: usize, result: i32, more: bool) -> io::Result<()> {
        let Some(link) = self.links[index].as_mut() else { return Ok(()) };
        link.receiving = more;
        let Ok(mut left) = usize::try_from(result) else {
            link.gone |= result != -libc::ENOBUFS;
            self.starved.push(index);
            return Ok(());
        };
        link.gone |= left == 0;
        while left > 0 {
            let id = self.buffers.take();
            let len = left.min(self.buffers.buffer_len());
            let bytes = self.buffers.filled(id, &link.carry, len);
            let used = if link.session.closing { bytes.len() } else { link.session.feed(index, bytes, &mut self.broker) };
            link.carry.clear();
            link.carry.extend_from_slice(&bytes[used..]);
            self.buffers.put(id);
            left -= len;
        }
        if link.session.confirms.is_some() && !self.confirming.contains(&index) {
            self.confirming.push(index);
        }
        if !more {
            self.starved.push(index);
        }
        Ok(())
    }

    /// Begins receives again that have ended, and closes connections that have ended.
    fn resume(&mut self) -> io::Result<()> {
        for index in std::mem::take(&mut self.starved) {
            let Some(link) = self.links[index].as_mut() else { continue };
            if link.gone {
                self.retire(index);
            } else if !link.receiving {
                link.receiving = true;
                self.ring.receive(link.stream.as_raw_fd(), index)?;
            }
        }
        Ok(())
    }

    /// Closes a connection as soon as the kernel uses none of its buffers any more.
    fn retire(&mut self, index: usize) {
        let Some(link) = self.links[index].as_mut() else { return };
        link.gone = true;
        if link.receiving || self.broker.outputs[index].is_sending() {
            return;
        }
        self.links[index] = None;
        self.broker.forget_link(index);
        self.confirming.retain(|i| *i != index);
    }

    fn sent(&mut self, index: usize, result: i32) -> io::Result<()> {
        let output = &mut self.broker.outputs[index];
        output.sent(&mut self.broker.pool);
        let Some(link) = self.links[index].as_mut() else { return Ok(()) };
        if result < 0 || link.gone {
            self.retire(index);
        } else if !output.is_empty() {
            note(output, index, &mut self.broker.dirty);
        } else if link.session.closing {
            let _ = link.stream.shutdown(std::net::Shutdown::Both);
        }
        Ok(())
    }

    /// Confirms all publishes that are covered: by the log's last write, or, if they are transient,
    /// because they were taken.
    fn confirm(&mut self, all: bool) {
        for &index in &self.confirming {
            let Some(Link { session, sealed, .. }) = self.links[index].as_mut() else { continue };
            let Some((channel, published)) = session.confirms else { continue };
            let covered = if all { published } else { *sealed };
            if covered > session.confirmed {
                session.confirmed = covered;
                self.broker.reply(index, &ack(channel, covered, true));
            }
        }
    }

    /// Begins one send per dirty connection.
    fn flush(&mut self) -> io::Result<()> {
        for index in std::mem::take(&mut self.broker.dirty) {
            let output = &mut self.broker.outputs[index];
            output.dirty = false;
            if let Some(link) = self.links[index].as_ref()
                && let Some(bytes) = output.send()
            {
                self.ring.send(link.stream.as_raw_fd(), index, bytes)?;
            }
        }
        Ok(())
    }

    /// Writes what was appended to the log, if no write is under way.
    fn seal(&mut self) -> io::Result<()> {
        let Some((fd, bytes, offset)) = self.broker.log.as_mut().and_then(Log::seal) else { return Ok(()) };
        self.ring.write(fd, bytes, offset)?;
        for &index in &self.confirming {
            if let Some(link) = self.links[index].as_mut() {
                link.sealed = link.session.confirms.map_or(0, |(_, published)| published);
            }
        }
        Ok(())
    }

    fn logged(&mut self, result: i32) -> io::Result<()> {
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result));
        }
        if let Some(log) = &mut self.broker.log {
            log.writing = false;
        }
        self.confirm(false);
        Ok(())
    }
}
