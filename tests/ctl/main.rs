//! The command line tool against recorded conversations.
//!
//! A conversation is a command, the requests that it sends with the answers that it gets, and what
//! it prints. The answers and what is printed were recorded from RabbitMQ and its tool, so that a
//! test fails if a text, an exit code or a request changes.

mod broker;
mod conversation;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use broker::Broker;
use conversation::Conversation;

/// Holds a conversation. Returns what differs.
fn hold(conversation: &Conversation, directory: &Path) -> Vec<String> {
    let broker = Broker::start(directory, conversation.exchanges.clone());
    let output = Command::new(env!("CARGO_BIN_EXE_ringmqctl"))
        .arg0(&conversation.words[0])
        .args(&conversation.words[1..])
        .env("RINGMQ_DATA_DIR", directory)
        .env_remove("RABBITMQ_NODENAME")
        .stdin(Stdio::null())
        .output()
        .expect("the tool was built");
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

/// Holds all conversations of a file.
fn hold_all(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ctl/conversations").join(name);
    let conversations = conversation::parse(&fs::read_to_string(&file).expect("the file is in the repository"));
    assert!(!conversations.is_empty(), "{name} has no conversations");
    let directory = std::env::temp_dir().join(format!("ringmqctl-{}-{name}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory of our own");
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

conversations!(health, lifecycle, lists, node, plugins, policies, queues, usage, users, vhosts);

#[test]
fn a_difference_is_seen() {
    let directory = std::env::temp_dir().join(format!("ringmqctl-{}-difference", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory of our own");
    let right = "$ rabbitmqctl -q list_vhosts\n> GET /api/vhosts?columns=name\n< 200 [{\"name\":\"/\"}]\n| name\n| /\n= 0\n";
    for (from, to) in [("", ""), ("| /", "| v"), ("= 0", "= 1"), ("columns=name", "columns=names"), ("= 0", "! x\n= 0")] {
        let conversation = &conversation::parse(&right.replacen(from, to, 1))[0];
        assert_eq!(hold(conversation, &directory).is_empty(), from.is_empty(), "{from} → {to}");
    }
    fs::remove_dir_all(&directory).expect("a directory of our own");
}
