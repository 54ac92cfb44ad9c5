//! `ringmqctl`, the command line tool of operators and their scripts.
//!
//! ```text
//! words ─ options ─▶ command (commands.txt) ─ check ─▶ banner ─▶ action ─▶ requests to the API
//!                                                                   └─▶ output ─ form ─▶ stdout
//! ```
//!
//! It is RabbitMQ's command line in names, options, texts and exit codes, because scripts, probes and
//! deployment tools depend on all of them. It is also all of RabbitMQ's tools in one program: called
//! `rabbitmq-diagnostics`, for example through a link, it has the commands of that tool. Called by
//! its own name it has all commands.
//!
//! It is a client of the management API and knows nothing else of the broker: the API is served on a
//! Unix socket in the data directory, or on a port that `--url` names.

mod actions;
mod call;
mod catalog;
mod client;
mod failure;
mod format;
mod help;
mod options;
mod suggest;
mod term;
mod tool;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use call::Call;
use catalog::Command;
use client::{Client, Place};
use failure::{Failure, Result, USAGE};
use format::Format;
use options::{Given, Switches};
use tool::Tool;

fn main() -> ExitCode {
    let tool = Tool::current();
    let words: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    ExitCode::from(match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => say(USAGE, &help::of_tool(tool)),
        ["--help"] => say(0, &help::of_tool(tool)),
        ["--version"] => execute(tool, &["version".to_owned()]),
        ["--auto-complete", ..] => execute(tool, &[&["autocomplete".to_owned()], &words[1..]].concat()),
        _ => execute(tool, &words),
    })
}

/// Finds the command and performs it. Returns the exit code.
fn execute(tool: Tool, words: &[String]) -> u8 {
    let Some(name) = Switches::common().parse(words).arguments.into_iter().next() else { return say(USAGE, &help::of_tool(tool)) };
    let Some(command) = Command::find(tool, &name) else { return say(USAGE, &unknown(tool, &name)) };
    let mut given = command.switches().and(&Switches::common()).parse(words);
    if let Some(at) = given.arguments.iter().position(|argument| *argument == name) {
        given.arguments.remove(at);
    }
    if given.is("help") && given.invalid.is_empty() {
        return say(0, &help::of_command(tool, &command));
    }
    match perform(&command, given) {
        Ok(()) => 0,
        Err(failure) => say(failure.code(), &explain(tool, &command, words, &failure)),
    }
}

/// Returns what is said about a command that does not exist.
fn unknown(tool: Tool, name: &str) -> String {
    match suggest::suggest(name, catalog::all(tool).map(|command| command.name)) {
        Some(similar) => format!("\nCommand '{name}' not found. \nDid you mean '{similar}'? \n"),
        None => format!("\nCommand '{name}' not found. \n{}", help::of_tool(tool)),
    }
}

/// Performs a command.
fn perform(command: &Command, given: Given) -> Result<()> {
    check(command, &given)?;
    let action = actions::find(command.name).ok_or_else(|| Failure::usage("this command does nothing here."))?;
    let timeout = given.number("timeout").and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    let client = Client::new(place(&given)?, timeout);
    let client = client.map_err(|error| Failure::refused(error.to_string()))?;
    let call = Call::new(command.clone(), given, Rc::new(client));
    actions::perform(action, &call).map_err(|failure| failure.of_node(|| call.known_name()))
}

/// Checks what can be checked of any command.
fn check(command: &Command, given: &Given) -> Result<()> {
    if !given.invalid.is_empty() {
        let options = given.invalid.iter().map(|(name, value)| format!("\n{name} : {}", value.as_deref().unwrap_or_default()));
        return Err(Failure::usage(format!("Invalid options for this command:{}", options.collect::<String>())));
    }
    if given.value("formatter").is_some_and(|name| Format::named(name).is_none()) {
        return Err(Failure::usage("the requested formatter is not supported by this command"));
    }
    let (least, most) = command.arity();
    match given.arguments.len() {
        count if count < least => Err(Failure::not_enough()),
        count if count > most => Err(Failure::too_many()),
        _ => Ok(()),
    }
}

/// Returns the place of the API: a port if a URL is given, else the socket in the data directory.
fn place(given: &Given) -> Result<Place> {
    if let Some(url) = given.value("url") {
        return Place::from_url(url).map_err(|text| Failure::bad_argument(text.replace(url, &without_password(url))));
    }
    let named = given.value("data-dir").or_else(|| given.value("mnesia-dir")).map(PathBuf::from);
    let set = || DATA_DIRECTORIES.iter().find_map(std::env::var_os).map(PathBuf::from);
    Ok(Place::Socket(named.or_else(set).unwrap_or_else(|| "ringmq-data".into()).join(SOCKET)))
}

/// Returns what is said about a failure.
fn explain(tool: Tool, command: &Command, words: &[String], failure: &Failure) -> String {
    let usage = |text: String| format!("{text}\nArguments given:\n\t{}\n{}", shown(command, words).join(" "), help::usage(tool, command));
    match failure {
        Failure::Arguments { text, .. } => usage(format!("Error (argument validation): {text}")),
        Failure::State(text) => usage(format!("Error: {text}")),
        Failure::Error { text, .. } => format!("Error:\n{text}"),
        Failure::Plain { text, .. } => text.clone(),
        Failure::Timeout { node } => {
            let ms = Switches::common().parse(words).number("timeout").unwrap_or_default().saturating_mul(1000);
            format!("Error: operation {} on node {node} timed out. Timeout value used: {ms}", command.name)
        }
        Failure::Unreachable { node, reason } => unreachable_node(node, reason),
    }
}

/// Returns the words of a command line without passwords.
fn shown(command: &Command, words: &[String]) -> Vec<String> {
    let given = command.switches().and(&Switches::common()).parse(words);
    // The first argument is the command's name.
    let at = match command.name {
        "add_user" | "authenticate_user" | "change_password" => Some(2),
        "hash_password" => Some(1),
        _ => None,
    };
    // Several words may be one password whose quotes were forgotten.
    let secrets = at.and_then(|at| given.arguments.get(at..)).unwrap_or_default();
    let url = given.value("url").filter(|url| !url.is_empty());
    let show = |word: &String| match url {
        _ if secrets.contains(word) => HIDDEN.to_owned(),
        Some(url) if word.contains(url) => word.replace(url, &without_password(url)),
        _ if word.contains("://") => without_password(word),
        _ => word.clone(),
    };
    words.iter().map(show).collect()
}

/// Returns a URL without its password.
fn without_password(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    match url[start..].rsplit_once('@').and_then(|(login, place)| Some((login.split_once(':')?.0, place))) {
        Some((user, place)) => format!("{}{user}:{HIDDEN}@{place}", &url[..start]),
        None => url.to_owned(),
    }
}

fn unreachable_node(node: &str, reason: &str) -> String {
    format!(
        "Error: unable to perform an operation on node '{node}'. Please see diagnostics information and suggestions below.

Most common reasons for this are:

 * Target node is not running
 * Target node uses another data directory than the tool: name it by --data-dir or RINGMQ_DATA_DIR
 * Target node is on another host: use its HTTP API by --url

In addition to the diagnostics info below:

 * Consult server logs on node {node}

DIAGNOSTICS
===========

attempted to contact: [{node}]

{node}:
  * {reason}
  * suggestion: start the node
"
    )
}

/// Prints a text, to stderr if there is an error. Returns the exit code.
fn say(code: u8, text: &str) -> u8 {
    // A reader that closes the pipe early has read enough.
    _ = match code {
        0 => writeln!(io::stdout(), "{text}"),
        _ if text.is_empty() => Ok(()),
        _ => writeln!(io::stderr(), "{text}"),
    };
    code
}

/// What is shown instead of a password.
const HIDDEN: &str = "***";

/// The file name of the socket.
const SOCKET: &str = "management.sock";

/// The variables of the environment that may name the data directory.
const DATA_DIRECTORIES: &[&str] = &["RINGMQ_DATA_DIR", "RABBITMQ_MNESIA_DIR"];
