//! The command line tool against recorded conversations.
//!
//! A conversation is a command, the requests that it sends with the answers that it gets, and what
//! it prints. The answers and what is printed were recorded from RabbitMQ and its tool, so that a
//! test fails if a text, an exit code or a request changes.

mod broker;
mod conversation;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use broker::Broker;
use conversation::Conversation;

/// Runs the tool with a data directory and input.
fn run(words: &[String], directory: &Path, stdin: &str) -> Output {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_ringmqctl"))
        .arg0(&words[0])
        .args(&words[1..])
        .env("RINGMQ_DATA_DIR", directory)
        .env_remove("RABBITMQ_NODENAME")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool was built");
    // A tool that does not read its input may have ended already.
    _ = tool.stdin.take().expect("it is a pipe").write_all(stdin.as_bytes());
    tool.wait_with_output().expect("the tool ends")
}

/// Holds a conversation. Returns what differs.
fn hold(conversation: &Conversation, directory: &Path) -> Vec<String> {
    let broker = Broker::start(directory, conversation.exchanges.clone());
    let output = run(&conversation.words, directory, &conversation.stdin);
    let mut differences = broker.stop();
    let lines = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    for (name, expected, found) in
        [("stdout", &conversation.stdout, lines(&output.stdout)), ("stderr", &conversation.stderr, lines(&output.stderr))]
    {
        if *expected != found {
            differences.push(format!("{name}: expected\n{expected}--- found\n{found}---"));
        }
    }
    if output.status.code() != Some(conversation.code) {
        differences.push(format!("exit code: expected {}, found {}", conversation.code, output.status));
    }
    differences
}

/// Makes an empty directory for a test.
fn scratch(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("ringmqctl-{}-{name}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory of our own");
    directory
}

/// Holds all conversations of a file.
fn hold_all(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ctl/conversations").join(name);
    let conversations = conversation::parse(&fs::read_to_string(&file).expect("the file is in the repository"));
    assert!(!conversations.is_empty(), "{name} has no conversations");
    let directory = scratch(name);
    let mut failures = Vec::new();
    for conversation in &conversations {
        let differences = hold(conversation, &directory);
        failures.extend(differences.into_iter().map(|difference| format!("$ {}\n{difference}", conversation.words.join(" "))));
    }
    fs::remove_dir_all(&directory).expect("a directory of our own");
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
}

/// Makes a test of each file.
macro_rules! conversations {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                hold_all(concat!(stringify!($name), ".txt"));
            }
        )*

        #[test]
        fn every_file_is_a_test() {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ctl/conversations");
            let files = fs::read_dir(directory).expect("it is in the repository").count();
            assert_eq!(files, [$(stringify!($name)),*].len());
        }
    };
}

conversations!(forms, health, lifecycle, lists, node, plugins, policies, queues, usage, users, vhosts);

#[test]
fn a_difference_is_seen() {
    let directory = scratch("difference");
    let right = "$ rabbitmqctl -q list_vhosts\n> GET /api/vhosts?columns=name\n< 200 [{\"name\":\"/\"}]\n| name\n| /\n= 0\n";
    for (from, to) in [("", ""), ("| /", "| v"), ("= 0", "= 1"), ("columns=name", "columns=names"), ("= 0", "! x\n= 0")] {
        let conversation = &conversation::parse(&right.replacen(from, to, 1))[0];
        assert_eq!(hold(conversation, &directory).is_empty(), from.is_empty(), "{from} → {to}");
    }
    fs::remove_dir_all(&directory).expect("a directory of our own");
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// Asserts how a command fails whose broker is not there or hangs.
fn assert_failure(line: &str, directory: &Path, code: i32, start: &str) {
    let output = run(&words(line), directory, "");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{line}: {stderr}");
    assert!(stderr.starts_with(start), "{line}: {stderr}");
}

#[test]
fn a_node_that_does_not_run_is_told() {
    let directory = scratch("absent");
    let start = "Error: unable to perform an operation on node 'n@h'. Please see diagnostics information and suggestions below.\n";
    assert_failure("rabbitmqctl -n n@h status", &directory, 69, start);
    assert_failure("rabbitmqctl -n n@h ping", &directory, 69, "Error:\nFailed to connect and authenticate to n@h in 60000 ms\n");
    assert_failure(
        "rabbitmqctl -n n@h await_startup -t 0",
        &directory,
        70,
        "Error:\nError: timed out while waiting for node n@h to start\n",
    );
    fs::remove_dir_all(&directory).expect("a directory of our own");
}

#[test]
fn a_node_that_hangs_is_given_up() {
    let directory = scratch("hanging");
    let _silent = UnixListener::bind(directory.join("management.sock")).expect("a directory of our own");
    let start = "Error: operation list_queues on node n@h timed out. Timeout value used: 1000\n";
    assert_failure("rabbitmqctl -n n@h list_queues -t 1", &directory, 75, start);
    assert_failure("rabbitmqctl -n n@h ping -t 1", &directory, 69, "Error:\nFailed to connect and authenticate to n@h in 1000 ms\n");
    fs::remove_dir_all(&directory).expect("a directory of our own");
}

#[test]
fn the_path_of_the_socket_may_be_long() {
    let directory = scratch("long");
    let long = directory.join("d".repeat(120));
    fs::create_dir_all(&long).expect("a directory of our own");
    let broker = Broker::start(&directory, Vec::new());
    symlink(directory.join("management.sock"), long.join("management.sock")).expect("a directory of our own");
    let output = run(&words("rabbitmqctl -q ping"), &long, "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Ping succeeded\n");
    assert!(broker.stop().is_empty());
    fs::remove_dir_all(&directory).expect("a directory of our own");
}

#[test]
fn the_names_of_rabbitmq_can_be_linked() {
    let directory = scratch("links");
    let links = directory.join("bin");
    let output = run(&words(&format!("ringmqctl install-links {}", links.display())), &directory, "");
    assert!(output.status.success(), "{output:?}");
    let help = Command::new(links.join("rabbitmq-queues")).arg("help").output().expect("the link is there");
    assert!(String::from_utf8_lossy(&help.stdout).starts_with("\nUsage\n\nrabbitmq-queues "), "{help:?}");
    fs::remove_dir_all(&directory).expect("a directory of our own");
}
