//! The program: its arguments, its data directory, its signals.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::ctl::{ask, follow_until};
use crate::support::value::Value;

/// The directory of one test, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("ringmq-program-{}-{name}", std::process::id()));
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running program, killed at the end.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    fn start(scratch: &Scratch) -> Running {
        Running::launch(command(scratch, "127.0.0.1:0"))
    }

    fn launch(mut command: Command) -> Running {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let line = lines.find_map(|line| line.ok().filter(|line| line.contains("listening"))).expect("it says where it listens");
        let address = line.rsplit(' ').next().expect("an address").parse().expect("an address");
        std::thread::spawn(move || lines.for_each(drop));
        Running { child, address }
    }

    /// Returns the number of its open descriptors.
    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("a process of ours").count()
    }

    /// Returns its memory, in bytes.
    fn memory(&self) -> usize {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).expect("a process of ours");
        let pages: usize = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
        pages * 4096
    }

    /// Limits the number of descriptors that it may open from now on; those already open stay open.
    fn limit_descriptors(&self, limit: usize) {
        let status = Command::new("prlimit").args([format!("--pid={}", self.child.id()), format!("--nofile={limit}:")]).status();
        assert!(status.expect("util-linux is there").success());
    }

    fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        // SAFETY: the call takes no pointers; the process is our child and not waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Returns its exit code (`None`: killed by a signal), and how long it took.
    fn wait(mut self) -> (Option<i32>, Duration) {
        let begin = Instant::now();
        let status = self.child.wait().expect("our child");
        (status.code(), begin.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(scratch: &Scratch, listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringmq"));
    command.arg("--data-dir").arg(&scratch.0).args(["--listen", listen, "--shards", "2", "--no-pin"]);
    command
}

/// Starts the program with a limit of descriptors.
fn limited_command(scratch: &Scratch, descriptors: usize) -> Command {
    let unlimited = command(scratch, "127.0.0.1:0");
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={descriptors}")).arg(unlimited.get_program()).args(unlimited.get_args());
    command
}

fn refusal(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_wrong_value_is_one_line_and_code_2() {
    let scratch = Scratch::new("wrong");
    let output = command(&scratch, "nowhere").output().expect("the program");
    let expected =
        "ringmq: invalid value 'nowhere' for '--listen <ADDR:PORT>': give an IP address and a port, such as 127.0.0.1:5672 or [::1]:5672\n";
    assert_eq!(refusal(&output), (Some(2), expected.into()));
    assert!(!scratch.0.exists());
}

#[test]
fn a_second_broker_is_refused_by_port_and_by_directory() {
    let (scratch, other) = (Scratch::new("second"), Scratch::new("second-other"));
    let running = Running::start(&scratch);
    let (code, text) = refusal(&command(&scratch, "127.0.0.1:0").output().expect("the program"));
    assert!(code == Some(1) && text.contains("in use by another broker"), "{code:?} {text}");
    let (code, text) = refusal(&command(&other, &running.address.to_string()).output().expect("the program"));
    assert!(code == Some(1) && text.contains(&format!("{} is in use", running.address)), "{code:?} {text}");
}

#[test]
fn the_first_signal_ends_it_in_good_order() {
    let scratch = Scratch::new("first");
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let running = Running::start(&scratch);
        let mut client = Client::open(running.address);
        running.signal(signal);
        client.expect("connection.close");
        client.call(0, "connection.close-ok", &[]);
        assert_eq!(client.next(), None);
        drop(client);
        let (code, time) = running.wait();
        assert!(code == Some(0) && time < Duration::from_secs(2), "{code:?} after {time:?}");
    }
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let scratch = Scratch::new("both");
    let running = Running::start(&scratch);
    let mut client = Client::open(running.address);
    running.signal(libc::SIGTERM);
    client.expect("connection.close");
    running.signal(libc::SIGTERM);
    let (code, time) = running.wait();
    assert!(code.is_none() && time < Duration::from_secs(1), "{code:?} after {time:?}");
    let mut rest = Vec::new();
    let _ = client.stream().read_to_end(&mut rest);
}

#[test]
fn operators_read_its_log_change_its_level_and_end_it() {
    let scratch = Scratch::new("operators");
    let running = Running::start(&scratch);
    let log = |lines: u32| ask(&scratch.0, &format!("GET /ctl/log?lines={lines}"), "").1;
    let set_level = |level: &str| ask(&scratch.0, "PUT /ctl/settings/log_level", &format!("{{\"level\": \"{level}\"}}")).0;
    assert!(log(100).contains("listening for AMQP 0-9-1 on"), "{}", log(100));
    let line = follow_until(&scratch.0, "memory_high", || {
        let (status, _) = ask(&scratch.0, "PUT /ctl/settings/memory_high_watermark", "{\"relative\": 0.5}");
        assert_eq!(status, 204);
    });
    assert!(line.ends_with("PUT /ctl/settings/memory_high_watermark: 204"), "{line}");
    assert_eq!(log(1).lines().count(), 1);
    assert_eq!(set_level("none"), 204);
    let last = log(1);
    assert_eq!(set_level("debug"), 204);
    assert!(log(1) != last, "it is written again");
    let (status, _) = ask(&scratch.0, "POST /ctl/shutdown", "");
    let (code, time) = running.wait();
    assert!(status == 202 && code == Some(0) && time < Duration::from_secs(2), "{status}, {code:?} after {time:?}");
}

#[test]
fn connections_leave_the_descriptors_that_the_log_needs() {
    const LIMIT: usize = 200;
    let scratch = Scratch::new("descriptors");
    let running = Running::launch(limited_command(&scratch, LIMIT));
    let mut publisher = Client::open(running.address);
    publisher.confirm_durable("log");
    let silent: Vec<TcpStream> = (0..2 * LIMIT).filter_map(|_| TcpStream::connect(running.address).ok()).collect();
    // The log fills several segments, each of them a file.
    (1..=60).for_each(|count| {
        publisher.publish_persistent("log", &[7; 1 << 20]);
        publisher.await_confirms(count);
    });
    assert!(running.descriptors() + SPARE_MIN <= LIMIT, "{} descriptors of {LIMIT} are in use", running.descriptors());
    drop(silent);
    let is_served = || std::panic::catch_unwind(|| Client::open(running.address)).is_ok();
    let end = Instant::now() + Duration::from_secs(5);
    while !is_served() {
        assert!(Instant::now() < end, "places are not given back");
    }
}

#[test]
fn a_log_without_descriptors_waits_for_some() {
    let scratch = Scratch::new("no-descriptors");
    let running = Running::start(&scratch);
    let mut publisher = Client::open(running.address);
    publisher.confirm_durable("log");
    running.limit_descriptors(5);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(1));
            running.limit_descriptors(1000);
        });
        // The broker does not read the publisher meanwhile.
        (0..60).for_each(|_| publisher.publish_persistent("log", &[7; 1 << 20]));
    });
    publisher.await_confirms(60);
}

#[test]
fn memory_goes_back_after_a_burst() {
    let scratch = Scratch::new("memory");
    let running = Running::start(&scratch);
    let mut client = Client::open(running.address);
    client.call(1, "queue.declare", &[("queue", Value::text("burst"))]);
    client.expect("queue.declare-ok");
    client.call(1, "confirm.select", &[]);
    client.expect("confirm.select-ok");
    let before = running.memory();
    for is_consumed in [true, false] {
        (0..200).for_each(|_| client.publish("burst", &[7; 1 << 20]));
        (0..10).for_each(|_| client.publish("burst", &[7; 16 << 20]));
        (0..200_000).for_each(|_| client.publish("burst", &[7; 100]));
        client.await_confirms(if is_consumed { 200_210 } else { 400_420 });
        assert!(running.memory() > before + (300 << 20), "all of it is in memory");
        if is_consumed {
            let mut consumer = Client::open(running.address);
            consumer.call(1, "basic.consume", &[("queue", Value::text("burst")), ("no_ack", Value::Bool(true))]);
            consumer.expect("basic.consume-ok");
            (0..200_210).for_each(|_| _ = consumer.delivery());
        } else {
            client.call(1, "queue.delete", &[("queue", Value::text("burst"))]);
            client.expect("queue.delete-ok");
        }
        let end = Instant::now() + Duration::from_secs(10);
        while running.memory() > before + (30 << 20) {
            assert!(Instant::now() < end, "{} MiB of memory are in use, before it were {}", running.memory() >> 20, before >> 20);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The least number of descriptors that remain for files which the broker opens now and then.
const SPARE_MIN: usize = 8;
