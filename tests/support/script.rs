//! The lines of a trace: the clients' actions, and the broker's answers.
//!
//! ```text
//! # a comment; blank lines are free
//! a connect                              the whole handshake, with any of these options:
//!     capabilities=none heartbeat=0 frame_max=131072 channel_max=2047
//!     user=guest password=guest vhost="/"
//! a connect until=start                  a part of it, until connection.start has come;
//!                                        or until `start-ok`, `tune`, `tune-ok`
//! a channel 1 2                          channel.open and its answer
//! a socket                               a connection that sends nothing
//! a > bytes "AMQP\x00\x00\x09\x01"       these bytes
//! a 1 > queue.declare queue=q            a method; fields not given are zero, false or empty
//! a 1 > basic.publish routing_key=q props={delivery_mode=2} body="x"    a method with content
//! a 1 >> basic.ack delivery_tag=1        as `>`, but in one write with the connection's next line
//! a 1 > header class_id=60 body_size=5   single frames: header, body, frame (of any form)
//! a hangup                               the client closes its socket
//! pass 500                               milliseconds
//! alarm memory on                        turns the alarm for `memory` or `disk` on or `off`
//! ctl add_user u secret                  an operator's command: see `ctl.rs`
//! ctl 0 < denied "why"                   and the broker's refusal
//! restart                                all clients hang up; then the broker stops in an orderly
//!                                        way and starts again
//! a 1 < queue.declare-ok queue=q message_count=0 consumer_count=0    an answer, all its fields
//! a < closed                             the broker closed the socket; also `header 0 0 9 1`,
//!                                        `heartbeat`, `garbage "…"`
//! a 1 < confirmed 1..3 5                 confirms in any bundles; `refused` for nacks
//! differs: why                           up to the next client line the brokers differ on purpose:
//! rabbitmq: a 0 < …                      RabbitMQ's answer
//! ringmq: a 0 < …                        and ours; a client line, too, may be for one broker only
//! ```
//!
//! Names that the broker makes are variables in order of their appearance: `$gen1` for a queue,
//! `$ctag1` for a consumer.

use ringmq::base::alarms::Alarm;

use super::ctl::Ctl;
use super::text::{Scanner, quote};
use super::value::Value;

/// The broker that a line is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Every broker.
    Both,
    /// RabbitMQ only.
    RabbitMq,
    /// RingMQ only.
    RingMq,
}

impl Side {
    /// Whether the line counts for `broker`.
    pub fn counts_for(self, broker: Side) -> bool {
        self == Side::Both || self == broker
    }
}

/// One line, with its text.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its number, from 1.
    pub number: usize,
    /// Its text in the file.
    pub text: String,
    /// The broker that it is for.
    pub side: Side,
    /// Its content.
    pub what: What,
}

/// The content of a line.
#[derive(Clone, PartialEq, Debug)]
pub enum What {
    /// A comment or a blank line.
    Comment,
    /// `differs:` and the reason.
    Differs,
    /// `pass`, milliseconds.
    Pass(u64),
    /// `alarm`, the resource, and whether the alarm is on.
    Alarm(Alarm, bool),
    /// `ctl`, and the operator's command.
    Operate(Ctl),
    /// `restart`.
    Restart,
    /// The client `conn` does something.
    Do(String, ClientAction),
    /// The broker answers `conn` on a channel; the text after `<`, in canonical form.
    Answer(String, u16, String),
}

/// A client's action.
#[derive(Clone, PartialEq, Debug)]
pub enum ClientAction {
    /// The whole handshake, with options.
    Connect(Vec<(String, Value)>),
    /// Opens channels.
    Channels(Vec<u16>),
    /// Opens a socket and sends nothing.
    Socket,
    /// Closes its socket.
    HangUp,
    /// Sends on a channel; held back until the next send if `held`.
    Send {
        /// The channel.
        channel: u16,
        /// Whether it waits for the next line.
        held: bool,
        /// A method's name, or `bytes`, `header`, `body`, `frame`, `heartbeat`.
        name: String,
        /// Fields as written; for `bytes` and `body` the bytes are in a field without a name.
        fields: Vec<(String, Value)>,
    },
}

/// Reads a whole file. `Err` names the line.
pub fn parse(text: &str) -> Result<Vec<Line>, String> {
    text.lines().enumerate().map(|(at, line)| parse_line(at + 1, line).map_err(|error| format!("line {}: {error}", at + 1))).collect()
}

fn parse_line(number: usize, text: &str) -> Result<Line, String> {
    let (side, said) = match text.split_once(": ") {
        Some(("rabbitmq", rest)) => (Side::RabbitMq, rest),
        Some(("ringmq", rest)) => (Side::RingMq, rest),
        _ => (Side::Both, text),
    };
    let what = what(said)?;
    Ok(Line { number, text: text.to_owned(), side, what })
}

fn what(said: &str) -> Result<What, String> {
    let said = said.trim();
    if said.is_empty() || said.starts_with('#') {
        return Ok(What::Comment);
    }
    if said.starts_with("differs: ") {
        return Ok(What::Differs);
    }
    let mut scanner = Scanner::new(said);
    let conn = scanner.word().to_owned();
    if conn == "pass" {
        return scanner.word().parse().map(What::Pass).map_err(|_| "pass takes milliseconds".into());
    }
    if conn == "ctl" && !scanner.rest().starts_with("0 <") {
        return Ctl::parse(scanner.rest()).map(What::Operate);
    }
    if conn == "restart" && scanner.at_end() {
        return Ok(What::Restart);
    }
    let next = scanner.word();
    if conn == "alarm" {
        return alarm(next, scanner.word());
    }
    let action = match next {
        "connect" => ClientAction::Connect(fields(&mut scanner)?),
        "channel" => ClientAction::Channels(scanner.rest().split_whitespace().map(number).collect::<Result<_, _>>()?),
        "socket" => ClientAction::Socket,
        "hangup" => ClientAction::HangUp,
        "<" => return Ok(What::Answer(conn, 0, scanner.rest().to_owned())),
        ">" | ">>" => send(0, next, &mut scanner)?,
        channel => {
            let channel = number(channel)?;
            match scanner.word() {
                "<" => return Ok(What::Answer(conn, channel, scanner.rest().to_owned())),
                arrow @ (">" | ">>") => send(channel, arrow, &mut scanner)?,
                other => return Err(format!("neither < nor >: {other:?}")),
            }
        }
    };
    Ok(What::Do(conn, action))
}

fn alarm(name: &str, state: &str) -> Result<What, String> {
    let alarm = match name {
        "memory" => Alarm::Memory,
        "disk" => Alarm::DiskFree,
        other => return Err(format!("no alarm: {other:?}")),
    };
    match state {
        "on" => Ok(What::Alarm(alarm, true)),
        "off" => Ok(What::Alarm(alarm, false)),
        other => Err(format!("neither on nor off: {other:?}")),
    }
}

fn send(channel: u16, arrow: &str, scanner: &mut Scanner<'_>) -> Result<ClientAction, String> {
    let name = scanner.word().to_owned();
    let fields = match name.as_str() {
        "bytes" | "body" => {
            scanner.at_end();
            vec![(String::new(), Value::Text(scanner.quoted()?))]
        }
        _ => fields(scanner)?,
    };
    Ok(ClientAction::Send { channel, held: arrow == ">>", name, fields })
}

fn fields(scanner: &mut Scanner<'_>) -> Result<Vec<(String, Value)>, String> {
    let mut fields = Vec::new();
    while !scanner.at_end() {
        let name = scanner.name()?;
        let value = match name.as_str() {
            // Properties are written like fields of a method.
            "props" => props(scanner)?,
            _ => scanner.field()?,
        };
        fields.push((name, value));
    }
    Ok(fields)
}

fn props(scanner: &mut Scanner<'_>) -> Result<Value, String> {
    let mut table = Vec::new();
    if !scanner.eat("{") {
        return Err("props={…}".into());
    }
    while !scanner.eat("}") {
        if scanner.at_end() {
            return Err("`}` is missing".into());
        }
        table.push((scanner.name()?.into_bytes(), scanner.field()?));
    }
    Ok(Value::Table(table))
}

fn number(word: &str) -> Result<u16, String> {
    word.parse().map_err(|_| format!("no channel: {word:?}"))
}

/// Formats a sorted list of tags as `1..3 5`.
pub fn ranges(tags: &[u64]) -> String {
    let mut out: Vec<(u64, u64)> = Vec::new();
    for &tag in tags {
        match out.last_mut() {
            Some((_, last)) if *last + 1 == tag => *last = tag,
            _ => out.push((tag, tag)),
        }
    }
    out.iter().map(|(from, to)| if from == to { from.to_string() } else { format!("{from}..{to}") }).collect::<Vec<_>>().join(" ")
}

/// Reads `1..3 5` as a list of tags.
pub fn tags(ranges: &str) -> Vec<u64> {
    let bound = |text: &str| text.parse::<u64>().expect("a tag");
    ranges
        .split_whitespace()
        .map(|range| range.split_once("..").unwrap_or((range, range)))
        .flat_map(|(from, to)| bound(from)..=bound(to))
        .collect()
}

/// Formats bytes that could not be read as an answer.
pub fn garbage(bytes: &[u8]) -> String {
    format!("garbage {}", quote(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read() {
        let text = "# D1\na connect heartbeat=0\na 1 >> basic.publish body=\"x\" props={priority=3}\nringmq: a < closed\npass 20\n";
        let lines = parse(text).expect("a good script");
        assert!(matches!(&lines[1].what, What::Do(conn, ClientAction::Connect(options)) if conn == "a" && options.len() == 1));
        assert!(matches!(&lines[2].what, What::Do(_, ClientAction::Send { channel: 1, held: true, fields, .. }) if fields.len() == 2));
        assert_eq!((lines[3].side, &lines[3].what), (Side::RingMq, &What::Answer("a".into(), 0, "closed".into())));
        assert_eq!(lines[4].what, What::Pass(20));
        assert_eq!(parse("alarm disk off").expect("an alarm")[0].what, What::Alarm(Alarm::DiskFree, false));
        assert_eq!(parse("restart").expect("a restart")[0].what, What::Restart);
        assert!(parse("a 1 ? x").is_err() && parse("restart a").is_err());
    }

    #[test]
    fn tags_are_ranges() {
        assert_eq!(ranges(&[1, 2, 3, 5]), "1..3 5");
        assert_eq!(tags("1..3 5"), [1, 2, 3, 5]);
    }
}
