//! Processes of ours: brokers that serve while a scenario runs, and runs of this program. Each is ended by its own handle, also when we
//! return early, and nobody else's process is touched.

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

/// A broker that listens.
pub struct Broker {
    pub uri: String,
    pub pid: u32,
    /// None for a broker that others started.
    own: Option<(Child, Scratch)>,
}

impl Broker {
    /// One that stands already.
    pub fn foreign(uri: &str, pid: u32) -> Broker {
        Broker { uri: uri.to_owned(), pid, own: None }
    }

    /// RingMQ on a free port, with a data directory for its lifetime.
    pub fn ringmq(program: &Path, flags: &str) -> Result<Broker> {
        Broker::start(program, |port, data| {
            let mut args = vec!["--listen".to_owned(), format!("127.0.0.1:{port}"), "--log".into(), "error".into()];
            args.extend(["--data-dir".to_owned(), data.display().to_string()]);
            args.extend(words(flags));
            args
        })
    }

    /// The null broker on a free port, on the CPU that brokers have.
    pub fn null(program: &Path, flags: &str) -> Result<Broker> {
        Broker::start(program, |port, _| {
            let args = ["ceiling", "--cpu", "0", "--port"].map(str::to_owned);
            args.into_iter().chain([port.to_string()]).chain(words(flags)).collect()
        })
    }

    fn start(program: &Path, args: impl Fn(u16, &Path) -> Vec<String>) -> Result<Broker> {
        let scratch = Scratch::new()?;
        let port = free_port()?;
        let child = Command::new(program)
            .args(args(port, &scratch.0))
            .stdout(Stdio::null())
            .spawn()
            .map_err(|e| format!("cannot start {}: {e}", program.display()))?;
        let mut broker = Broker { uri: format!("amqp://guest:guest@127.0.0.1:{port}"), pid: child.id(), own: Some((child, scratch)) };
        broker.await_port(port)?;
        Ok(broker)
    }

    fn await_port(&mut self, port: u16) -> Result<()> {
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = self.own.as_mut().and_then(|(child, _)| child.try_wait().ok().flatten());
            if ended.is_some() || begin.elapsed() > START_TIME {
                return Err(format!("the broker does not listen on port {port}"));
            }
            sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.own {
            end(child);
        }
    }
}

/// Runs this program with `args` and returns the JSON that it prints.
pub fn report(program: &Path, args: &[String]) -> Result<Value> {
    let scratch = Scratch::new()?;
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
    // A run that found faults fails and reports them all the same.
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
    // A process that has ended already cannot be ended: nothing is left to do.
    let _ = child.kill();
    let _ = child.wait();
}

/// Asks the operating system for a port that nobody has.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    listener.map(|address| address.port()).map_err(|e| format!("no free port: {e}"))
}

pub fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(str::to_owned)
}

/// A directory that goes with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch> {
        let name = format!("ringmq-bench-{}-{}", std::process::id(), COUNT.fetch_add(1, SeqCst));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// From now on SIGINT and SIGTERM end the run in good order.
pub fn catch_interrupts() {
    sys::on_interrupt(on_interrupt);
}

pub fn interrupted() -> bool {
    INTERRUPTED.load(SeqCst)
}

extern "C" fn on_interrupt(_: libc::c_int) {
    INTERRUPTED.store(true, SeqCst);
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU32 = AtomicU32::new(0);
const POLL: Duration = Duration::from_millis(10);
const START_TIME: Duration = Duration::from_secs(10);
/// Nothing that a scenario does takes so long.
const RUN_TIME_MAX: Duration = Duration::from_secs(120);
