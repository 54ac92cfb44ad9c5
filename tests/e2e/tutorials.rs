//! RabbitMQ's six tutorials; the receivers of each run before its senders.

use std::time::{Duration, Instant};

use super::broker::Broker;
use super::program::{Program, run};

/// The way to start the tutorials of a language.
#[derive(Clone, Copy)]
pub struct Language {
    interpreter: &'static str,
    directory: &'static str,
    extension: &'static str,
}

pub const PYTHON: Language = Language { interpreter: "python", directory: "python", extension: "py" };
pub const NODE: Language = Language { interpreter: "node", directory: "node", extension: "js" };

/// Runs all six.
pub fn all(broker: &Broker, language: Language) {
    let tutorial = Tutorial { broker, language };
    tutorial.hello();
    tutorial.work_queues();
    tutorial.publish_subscribe();
    tutorial.routing();
    tutorial.topics();
    tutorial.rpc();
}

struct Tutorial<'a> {
    broker: &'a Broker,
    language: Language,
}

impl Tutorial<'_> {
    fn hello(&self) {
        self.send("send", &[]);
        let mut receiver = self.receive("receive", &[]);
        expect(&mut receiver, &["received Hello World!"]);
    }

    fn work_queues(&self) {
        let mut workers = [self.receive("worker", &[]), self.receive("worker", &[])];
        for task in ["one .", "two .", "three .", "four ."] {
            self.send("new_task", &[task]);
        }
        for worker in &mut workers {
            worker.wait_for("a finished task", |written| written.contains("done"));
        }
        let total = |word| workers.iter().map(|worker| worker.written().matches(word).count()).sum::<usize>();
        let end = Instant::now() + Duration::from_secs(10);
        while total("done") < 4 {
            assert!(Instant::now() < end, "four tasks were given, {} are done", total("done"));
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(total("received"), 4, "every task is done once");
    }

    fn publish_subscribe(&self) {
        let mut listeners = [self.receive("receive_logs", &[]), self.receive("receive_logs", &[])];
        self.send("emit_log", &["first"]);
        self.send("emit_log", &["second", "line"]);
        for listener in &mut listeners {
            expect(listener, &["received first", "received second line"]);
        }
    }

    fn routing(&self) {
        let mut errors = self.receive("receive_logs_direct", &["error"]);
        let mut all = self.receive("receive_logs_direct", &["info", "warning", "error"]);
        for severity in ["info", "error", "debug", "warning"] {
            self.send("emit_log_direct", &[severity, "text"]);
        }
        expect(&mut all, &["received info:text", "received error:text", "received warning:text"]);
        expect(&mut errors, &["received error:text"]);
    }

    fn topics(&self) {
        let mut all = self.receive("receive_logs_topic", &["#"]);
        let mut kernel = self.receive("receive_logs_topic", &["kern.*"]);
        let mut two = self.receive("receive_logs_topic", &["kern.*", "*.critical"]);
        for key in ["kern.critical", "cron.info", "cron.critical", "kern.a.b"] {
            self.send("emit_log_topic", &[key, "text"]);
        }
        expect(
            &mut all,
            &["received kern.critical:text", "received cron.info:text", "received cron.critical:text", "received kern.a.b:text"],
        );
        expect(&mut kernel, &["received kern.critical:text"]);
        expect(&mut two, &["received kern.critical:text", "received cron.critical:text"]);
    }

    fn rpc(&self) {
        let _server = self.receive("rpc_server", &[]);
        assert!(self.send("rpc_client", &["20"]).contains("got 6765"));
        assert!(self.send("rpc_client", &["10"]).contains("got 55"));
    }

    /// Starts a receiver and waits until it consumes.
    fn receive(&self, name: &str, arguments: &[&str]) -> Program {
        let path = self.path(name);
        let mut receiver = Program::start(self.broker, &[&[self.language.interpreter, &path], arguments].concat());
        receiver.wait_for("that it waits", |written| written.contains("waiting"));
        receiver
    }

    /// Runs a sender to its end and returns its output.
    fn send(&self, name: &str, arguments: &[&str]) -> String {
        run(self.broker, &[&[self.language.interpreter, self.path(name).as_str()], arguments].concat())
    }

    fn path(&self, name: &str) -> String {
        let Language { directory, extension, .. } = self.language;
        format!("tutorials/{directory}/{name}.{extension}")
    }
}

/// Checks that the receiver writes these lines in this order, and no other line with "received".
fn expect(receiver: &mut Program, lines: &[&str]) {
    let last = lines[lines.len() - 1];
    receiver.wait_for(last, |written| written.contains(last));
    let written = receiver.written();
    let received: Vec<&str> = written.lines().filter(|line| line.starts_with("received")).collect();
    assert_eq!(received, lines);
}
