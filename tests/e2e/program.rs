//! Client programs in other languages: their start, their time limit, and their output if they
//! fail.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::broker::{self, Broker};

/// Runs `python/NAME` to its end.
pub fn python(broker: &Broker, name: &str) {
    run(broker, &["python", &format!("python/{name}")]);
}

/// Runs `node/NAME` to its end.
pub fn node(broker: &Broker, name: &str) {
    run(broker, &["node", &format!("node/{name}")]);
}

/// Compiles and runs `java/NAME` to its end.
pub fn java(broker: &Broker, name: &str) {
    run(broker, &["java", "-cp", JARS, &format!("java/{name}")]);
}

/// Runs the shell script NAME to its end.
pub fn shell(broker: &Broker, name: &str) {
    run(broker, &["bash", name]);
}

/// Runs a program, given by its interpreter and arguments, to its end; returns its output.
pub fn run(broker: &Broker, words: &[&str]) -> String {
    Program::start(broker, words).finish()
}

/// A running program. Dropping it kills it and the processes that it started.
pub struct Program {
    words: String,
    child: Child,
    output: PathBuf,
}

impl Program {
    /// Starts a program in the directory of the tests.
    pub fn start(broker: &Broker, words: &[&str]) -> Program {
        let output = broker::fresh_directory().join("output");
        let file = File::create(&output).expect("a fresh directory is writable");
        let child = interpreter(words[0])
            .args(&words[1..])
            .current_dir(here())
            .env("AMQP_URL", broker.url())
            .env("API_URL", format!("http://{}/api", broker.api()))
            .env("METRICS_URL", format!("http://{}/metrics", broker.metrics()))
            .env("RINGMQCTL", env!("CARGO_BIN_EXE_ringmqctl"))
            .env("RINGMQ_DATA_DIR", if broker.is_ours() { broker.data_dir() } else { PathBuf::new() })
            .env("NODE_PATH", here().join("node/node_modules"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONPATH", here().join("python"))
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file can be shared"))
            .stderr(file)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start ({error}); scripts/setup installs what is missing", words[0]));
        Program { words: words.join(" "), child, output }
    }

    /// Waits for its end with status 0 and returns its output; shows the output when it fails or
    /// takes too long.
    pub fn finish(mut self) -> String {
        match broker::wait(&mut self.child, RUN_MAX) {
            Some(status) if status.success() => self.written(),
            Some(status) => panic!("{} ended with {status}:\n{}", self.words, self.written()),
            None => panic!("{} did not end within {RUN_MAX:?}:\n{}", self.words, self.written()),
        }
    }

    /// Waits until its output satisfies the condition.
    pub fn wait_for(&mut self, what: &str, holds: impl Fn(&str) -> bool) {
        let end = Instant::now() + WRITE_MAX;
        while !holds(&self.written()) {
            let ended = self.child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "{} ended before it wrote {what}:\n{}", self.words, self.written());
            assert!(Instant::now() < end, "{} did not write {what}:\n{}", self.words, self.written());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns its output so far.
    pub fn written(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        broker::signal("KILL", &format!("-{}", self.child.id()));
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(self.output.parent().expect("the output stands in a directory of its own"));
    }
}

/// Python is the one in the environment that `scripts/setup` makes; everything else is found by the
/// search path.
fn interpreter(name: &str) -> Command {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    Command::new(if name == "python" { python.as_os_str() } else { OsStr::new(name) })
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e")
}

/// The directory in which Debian puts RabbitMQ's client and its dependencies.
const JARS: &str = "/usr/share/java/amqp-client.jar:/usr/share/java/slf4j-api.jar:/usr/share/java/slf4j-nop.jar";

const RUN_MAX: Duration = Duration::from_secs(120);
const WRITE_MAX: Duration = Duration::from_secs(20);
