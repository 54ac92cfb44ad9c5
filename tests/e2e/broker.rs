//! A broker process for one test: a free port, a fresh data directory, stopped at the end, and
//! restarted on both if the test asks for that.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A running broker. Dropping it kills the process, if there is one.
pub struct Broker {
    url: String,
    process: Option<Process>,
    _turn: Option<MutexGuard<'static, ()>>,
}

struct Process {
    child: Child,
    home: PathBuf,
    /// The address that it listens on; port 0 until that is known.
    address: String,
}

impl Broker {
    /// Runs `check` against a broker with this many shards, then stops it, which must take at most
    /// five seconds and give status 0.
    pub fn with_shards(shards: u16, check: impl FnOnce(&Broker)) {
        let broker = match std::env::var("RINGMQ_E2E_URL") {
            Ok(_) if shards > 1 => return, // the shards of a broker that is already running cannot be chosen
            Ok(url) => Broker::external(url),
            Err(_) => Broker::start(&["--shards", &shards.to_string()]),
        };
        check(&broker);
        if let Some(status) = broker.stop() {
            assert!(status.success(), "the broker ended with {status}");
        }
    }

    /// Starts a broker on a free port with these flags beside those that every test needs, and
    /// waits until it listens.
    pub fn start(flags: &[&str]) -> Broker {
        Broker::start_with(flags, |_| {})
    }

    /// Does the same after `set` has changed the command, for example its environment.
    pub fn start_with(flags: &[&str], set: impl FnOnce(&mut Command)) -> Broker {
        let (home, address) = (fresh_directory(), "127.0.0.1:0".to_owned());
        let child = launch(&home, &address, flags, set);
        let mut broker = Broker { url: String::new(), process: Some(Process { child, home, address }), _turn: None };
        let address = broker.wait_until_it_listens();
        broker.url = format!("amqp://guest:guest@{address}/%2f");
        broker.process.as_mut().expect("this one was just started").address = address;
        broker
    }

    /// Starts a broker that can be restarted; `None` if the broker is already running and the test
    /// cannot restart it.
    pub fn restartable(flags: &[&str]) -> Option<Broker> {
        match std::env::var("RINGMQ_E2E_URL") {
            Ok(url) => std::env::var_os("RINGMQ_E2E_RESTART").map(|_| Broker::external(url)),
            Err(_) => Some(Broker::start(flags)),
        }
    }

    /// Returns a broker that is already running. Tests take turns, because they use the same names.
    fn external(url: String) -> Broker {
        static TURN: Mutex<()> = Mutex::new(());
        Broker { url, process: None, _turn: Some(TURN.lock().unwrap_or_else(PoisonError::into_inner)) }
    }

    /// Returns the URL for clients.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the address of its management API.
    pub fn api(&self) -> String {
        self.said("listening for the management API on ")
    }

    /// Returns the address of its metrics.
    pub fn metrics(&self) -> String {
        self.said("listening for metrics on ")
    }

    /// Returns the rest of the first line of its log that has these words; nothing if no line has.
    fn said(&self, words: &str) -> String {
        let log = self.log();
        let said = log.split_once(words).and_then(|(_, rest)| rest.split_once('\n'));
        said.map(|(rest, _)| rest.to_owned()).unwrap_or_default()
    }

    /// Sends the process a signal, named without SIG.
    pub fn send_signal(&self, name: &str) {
        let process = self.process.as_ref().expect("only a broker of our own is told to end");
        signal(name, &process.child.id().to_string());
    }

    /// Ends it by TERM or KILL and starts it again on its port and its directory.
    pub fn restart(&mut self, signal: &str, flags: &[&str]) {
        if self.process.is_none() {
            return restart_external(signal);
        }
        self.end(signal);
        self.start_again(flags);
    }

    /// Ends it by a signal; TERM must give status 0.
    pub fn end(&mut self, signal: &str) {
        self.send_signal(signal);
        let status = self.wait();
        assert!(signal != "TERM" || status.success(), "the broker ended with {status}; its log:\n{}", self.log());
    }

    /// Starts a broker that has ended again, on its port and its directory, and waits until it
    /// listens.
    pub fn start_again(&mut self, flags: &[&str]) {
        self.launch_again(flags);
        self.wait_until_it_listens();
    }

    /// Starts a broker that has ended again, and kills it so soon that it may not listen yet.
    pub fn die_at_start(&mut self, flags: &[&str], after: Duration) {
        self.launch_again(flags);
        std::thread::sleep(after);
        self.end("KILL");
    }

    fn launch_again(&mut self, flags: &[&str]) {
        let process = self.process.as_mut().expect("only a broker of our own is started");
        process.child = launch(&process.home, &process.address, flags, |_| {});
    }

    /// Whether the test started this broker.
    pub fn is_ours(&self) -> bool {
        self.process.is_some()
    }

    /// Tells it to end, as a supervisor does, and waits for that; `None` if the test did not start
    /// the broker. Panics after five seconds.
    pub fn stop(mut self) -> Option<ExitStatus> {
        self.process.is_some().then(|| {
            self.send_signal("TERM");
            self.wait()
        })
    }

    /// Waits five seconds for the end of a broker that was told to end.
    pub fn wait(&mut self) -> ExitStatus {
        let process = self.process.as_mut().expect("only a broker of our own ends");
        match wait(&mut process.child, STOP_MAX) {
            Some(status) => status,
            None => panic!("the broker did not end within {STOP_MAX:?}; its log:\n{}", self.log()),
        }
    }

    /// Returns its data directory, if the test started it.
    pub fn data_dir(&self) -> PathBuf {
        self.process.as_ref().expect("only a broker of our own has one").home.join("data")
    }

    /// Returns its log so far.
    pub fn log(&self) -> String {
        let read = |process: &Process| fs::read_to_string(process.home.join("log")).unwrap_or_default();
        self.process.as_ref().map(read).unwrap_or_default()
    }

    /// Waits for the address that it reports in its log.
    fn wait_until_it_listens(&mut self) -> String {
        let end = Instant::now() + START_MAX;
        loop {
            let log = self.log();
            let said = log.split_once("listening for AMQP 0-9-1 on ").and_then(|(_, rest)| rest.split_once('\n'));
            if let Some((address, _)) = said {
                return address.to_owned();
            }
            let process = self.process.as_mut().expect("this one was just started");
            let ended = process.child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none() && Instant::now() < end, "the broker does not listen; its log:\n{log}");
            std::thread::sleep(STEP);
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the broker's log:\n{}", self.log());
        }
        if let Some(process) = &mut self.process {
            let _ = process.child.kill();
            let _ = process.child.wait();
            let _ = fs::remove_dir_all(&process.home);
        }
    }
}

/// Starts the binary with an empty log.
fn launch(home: &Path, address: &str, flags: &[&str], set: impl FnOnce(&mut Command)) -> Child {
    let log = File::create(home.join("log")).expect("a directory of ours is writable");
    let mut command = command();
    command.args(["--listen", address, "--no-pin", "--data-dir"]).arg(home.join("data")).args(flags);
    command.args(["--management-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
    set(&mut command);
    command.stdout(log.try_clone().expect("a file can be shared")).stderr(log);
    command.spawn().expect("the broker's binary starts")
}

/// Restarts a broker that is already running by the command that was named for this.
fn restart_external(signal: &str) {
    let command = std::env::var("RINGMQ_E2E_RESTART").expect("only a broker that can be restarted is");
    let status = Command::new("sh").args(["-c", &format!("{command} {signal}")]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.expect("there is a shell").success(), "`{command} {signal}` failed");
}

/// Returns the path of the binary under test.
pub fn command() -> Command {
    Command::new(std::env::var("RINGMQ_E2E_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_ringmq").into()))
}

/// Waits for a child, up to a time limit.
pub fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + limit;
    loop {
        let status = child.try_wait().expect("a child can be waited for");
        if status.is_some() || Instant::now() >= end {
            return status;
        }
        std::thread::sleep(STEP);
    }
}

/// Sends a signal to a process, or with a minus before the id to a group of processes; does nothing
/// if it has ended.
pub fn signal(name: &str, id: &str) {
    let _ = Command::new("kill").args(["-s", name, "--", id]).stderr(Stdio::null()).status();
}

/// Returns an empty directory for this test.
pub fn fresh_directory() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("ringmq-e2e-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    fs::create_dir_all(&path).expect("the temporary directory is writable");
    path
}

const START_MAX: Duration = Duration::from_secs(10);
const STOP_MAX: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(10);
