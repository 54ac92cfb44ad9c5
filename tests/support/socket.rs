//! A broker behind a TCP address.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::time::Duration;

use ringmq::base::alarms::Alarm;

use super::broker::{Broker, Conn};
use super::ctl::Ctl;
use super::management;

/// The broker at an address.
pub struct SocketBroker {
    address: String,
    management: Option<String>,
    connections: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    closed: bool,
}

impl SocketBroker {
    /// Makes a broker at `host:port`.
    pub fn new(address: impl Into<String>) -> SocketBroker {
        SocketBroker { address: address.into(), management: None, connections: Vec::new() }
    }

    /// Adds the address of its management API, which operators need.
    pub fn managed_at(self, management: Option<String>) -> SocketBroker {
        SocketBroker { management, ..self }
    }
}

impl Broker for SocketBroker {
    fn connect(&mut self) -> Conn {
        let stream = TcpStream::connect(&self.address).unwrap_or_else(|error| panic!("no broker at {}: {error}", self.address));
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_nonblocking(true).expect("a TCP socket");
        self.connections.push(Connection { stream, closed: false });
        self.connections.len() - 1
    }

    fn send(&mut self, conn: Conn, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.connections[conn].stream.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(STEP),
                // The broker closed the connection during the write; the next read reports it.
                Err(_) => return,
            }
        }
    }

    fn drain(&mut self, conn: Conn) -> Vec<u8> {
        let connection = &mut self.connections[conn];
        let (mut bytes, mut piece) = (Vec::new(), [0; 65536]);
        while !connection.closed {
            match connection.stream.read(&mut piece) {
                Ok(0) => connection.closed = true,
                Ok(n) => bytes.extend_from_slice(&piece[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => connection.closed = true,
            }
        }
        bytes
    }

    fn closed(&mut self, conn: Conn) -> bool {
        self.connections[conn].closed
    }

    fn hang_up(&mut self, conn: Conn) {
        // The broker may have closed the connection already.
        let _ = self.connections[conn].stream.shutdown(Shutdown::Both);
        self.connections[conn].closed = true;
    }

    /// Raises or clears an alarm by a program, because the test has no other access to the broker.
    fn set_alarm(&mut self, alarm: Alarm, on: bool) {
        let program = alarm_program().expect("RINGMQ_TRACES_ALARM names a program that raises the broker's alarms");
        let (name, state) = (if alarm == Alarm::Memory { "memory" } else { "disk" }, if on { "on" } else { "off" });
        run(&program, &[name, state]);
    }

    fn operate(&mut self, ctl: &Ctl) -> Result<(), String> {
        management::operate(self.management.as_deref().ok_or("no management API is known")?, ctl)
    }

    /// Restarts the broker by a program, because the test has no other access to it. The broker
    /// first gets some time to notice that its clients are gone.
    fn restart(&mut self) {
        std::thread::sleep(PARTING);
        run(&restart_program().expect("RINGMQ_TRACES_RESTART names a program that restarts the broker"), &[]);
    }

    fn pass_time(&mut self, ms: u64) {
        std::thread::sleep(Duration::from_millis(ms));
    }

    fn wait(&mut self) -> bool {
        std::thread::sleep(STEP);
        true
    }
}

/// The program that raises the broker's alarm for `memory` or `disk` (`on`), or clears it (`off`).
pub fn alarm_program() -> Option<String> {
    std::env::var("RINGMQ_TRACES_ALARM").ok()
}

/// The program that restarts the broker, and ends when the broker serves again.
pub fn restart_program() -> Option<String> {
    std::env::var("RINGMQ_TRACES_RESTART").ok()
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(status.success(), "{program} {args:?} ended with {status}");
}

const PARTING: Duration = Duration::from_millis(200);
const STEP: Duration = Duration::from_millis(2);
