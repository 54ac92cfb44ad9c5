//! The processes of a run: brokers that serve while a scenario runs, and runs of this program. Each
//! is ended by its own handle, also on an early return, and no other process is touched.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::connection::Result;
use crate::sys;

/// A broker that accepts connections.
pub struct Broker {
    /// Its address.
    pub uri: String,
    /// Its process id.
    pub pid: u32,
    /// When it was started, nanoseconds of the monotonic clock.
    pub since_ns: u64,
    /// The process; `None` for a broker that this run has not started.
    own: Option<Own>,
}

struct Own {
    child: Child,
    data: Scratch,
}

impl Broker {
    /// Describes a broker that runs already.
    pub fn foreign(uri: &str, pid: u32) -> Broker {
        Broker { uri: uri.to_owned(), pid, since_ns: 0, own: None }
    }

    /// Starts RingMQ on a free port, with a data directory that exists as long as the broker.
    pub fn ringmq(program: &Path, flags: &str, data: Scratch) -> Result<Broker> {
        let port = free_port()?;
        Broker::spawn(program, port, &ringmq_args(port, flags, &data), data)?.await_port(port)
    }

    /// Starts the null broker on a free port, on the CPU of brokers.
    pub fn null(program: &Path, flags: &str, data: Scratch) -> Result<Broker> {
        let port = free_port()?;
        let args = ["ceiling", "--cpu", "0", "--port"].map(str::to_owned);
        let args: Vec<String> = args.into_iter().chain([port.to_string()]).chain(words(&data.fill(flags))).collect();
        Broker::spawn(program, port, &args, data)?.await_port(port)
    }

    /// Kills RingMQ, drops the kernel's cache of the disk, and starts RingMQ again with the same
    /// data. It may not accept connections yet when this returns.
    pub fn restart(mut self, program: &Path, flags: &str) -> Result<Broker> {
        let Own { mut child, data } = self.own.take().ok_or("only a broker of our own can be restarted")?;
        end(&mut child);
        if let Err(reason) = forget_disk() {
            eprintln!("the page cache stays warm: {reason}");
        }
        let port = free_port()?;
        Broker::spawn(program, port, &ringmq_args(port, flags, &data), data)
    }

    /// Replaces `%data` in a text by the data directory.
    pub fn fill(&self, text: &str) -> Result<String> {
        match &self.own {
            Some(own) => Ok(own.data.fill(text)),
            None if text.contains(DATA) => Err("others know where the data of their broker is".to_owned()),
            None => Ok(text.to_owned()),
        }
    }

    fn spawn(program: &Path, port: u16, args: &[String], data: Scratch) -> Result<Broker> {
        let since_ns = sys::now_ns();
        let child = Command::new(program).args(args).stdout(Stdio::null()).spawn();
        let child = child.map_err(|e| format!("cannot start {}: {e}", program.display()))?;
        Ok(Broker { uri: format!("amqp://guest:guest@127.0.0.1:{port}"), pid: child.id(), since_ns, own: Some(Own { child, data }) })
    }

    fn await_port(mut self, port: u16) -> Result<Broker> {
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = self.own.as_mut().and_then(|own| own.child.try_wait().ok().flatten());
            if ended.is_some() || begin.elapsed() > START_TIME {
                return Err(format!("the broker does not listen on port {port}"));
            }
            sleep(POLL);
        }
        Ok(self)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(own) = &mut self.own {
            end(&mut own.child);
        }
    }
}

fn ringmq_args(port: u16, flags: &str, data: &Scratch) -> Vec<String> {
    let mut args = vec!["--listen".to_owned(), format!("127.0.0.1:{port}"), "--log".into(), "error".into()];
    args.extend(["--data-dir".to_owned(), data.0.display().to_string()]);
    args.extend(words(flags));
    args
}

/// Syncs the disk and drops clean pages, directory entries and inodes: the next reads come from the
/// disk.
fn forget_disk() -> std::io::Result<()> {
    Command::new("sync").status()?;
    fs::write("/proc/sys/vm/drop_caches", "3")
}

/// Runs this program with `args` and returns the JSON that it prints.
pub fn report(program: &Path, args: &[String], scratch: &Scratch) -> Result<Value> {
    let (out, err) = (scratch.0.join("out"), scratch.0.join("err"));
    let create = |path: &Path| File::create(path).map_err(|e| format!("{}: {e}", path.display()));
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(create(&out)?)
        .stderr(create(&err)?)
        .spawn()
        .map_err(|e| format!("cannot start {}: {e}", program.display()))?;
    await_end(&mut child)?;
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    // A run that found faults fails, but still reports all of them.
    serde_json::from_str(&read(&out)).map_err(|_| read(&err).lines().last().unwrap_or("no report").to_owned())
}

fn await_end(child: &mut Child) -> Result<()> {
    let begin = Instant::now();
    loop {
        let reason = match child.try_wait() {
            Ok(Some(_)) => return Ok(()),
            Ok(None) if interrupted() => "interrupted".to_owned(),
            Ok(None) if begin.elapsed() > RUN_TIME_MAX => format!("no end after {} s", RUN_TIME_MAX.as_secs()),
            Ok(None) => {
                sleep(POLL);
                continue;
            }
            Err(e) => e.to_string(),
        };
        end(child);
        return Err(reason);
    }
}

fn end(child: &mut Child) {
    // A process that has ended already cannot be killed: nothing is left to do.
    let _ = child.kill();
    let _ = child.wait();
}

/// Asks the operating system for an unused port.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    listener.map(|address| address.port()).map_err(|e| format!("no free port: {e}"))
}

/// Splits a text at blanks.
pub fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(str::to_owned)
}

/// A directory that is removed on drop.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes a directory in `parent`.
    pub fn new(parent: &Path) -> Result<Scratch> {
        let path = parent.join(format!("scratch-{}-{}", std::process::id(), COUNT.fetch_add(1, SeqCst)));
        fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Scratch(path))
    }

    fn fill(&self, text: &str) -> String {
        text.replace(DATA, &self.0.display().to_string())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Refuses a directory in memory, in which nothing is durable.
pub fn check_disk(path: &Path) -> Result<()> {
    let in_memory = fs::create_dir_all(path).and_then(|()| sys::is_in_memory(path)).map_err(|e| format!("{}: {e}", path.display()))?;
    if in_memory { Err(format!("{} is memory: name a directory on a disk with --scratch", path.display())) } else { Ok(()) }
}

/// Lets SIGINT and SIGTERM end the run in good order.
pub fn catch_interrupts() {
    sys::on_interrupt(on_interrupt);
}

/// Whether such a signal has arrived.
pub fn interrupted() -> bool {
    INTERRUPTED.load(SeqCst)
}

extern "C" fn on_interrupt(_: libc::c_int) {
    INTERRUPTED.store(true, SeqCst);
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU32 = AtomicU32::new(0);
/// Is replaced by a broker's data directory.
const DATA: &str = "%data";
const POLL: Duration = Duration::from_millis(10);
const START_TIME: Duration = Duration::from_secs(10);
/// The longest time that a step may take.
const RUN_TIME_MAX: Duration = Duration::from_secs(120);
