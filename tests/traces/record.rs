//! Records traces: carries out the client lines against a real RabbitMQ, and writes its answers
//! into the files.
//!
//! ```text
//! cargo run --example record-traces -- \
//!     [--address 127.0.0.1:5710] [--management 127.0.0.1:15710] [--quiet MS] FILES…
//! ```
//!
//! A script without answers becomes a trace. A trace that is recorded again stays the same, byte
//! for byte, unless the broker's behaviour has changed. After every client line the recorder waits
//! for the answer, if there must be one, and then until all connections have been quiet for some
//! milliseconds. RingMQ's own lines (`ringmq:`) and comments stay where they are.
//!
//! RingMQ keeps two features that RabbitMQ 4.3 has switched off. To record them, RabbitMQ's
//! configuration needs `deprecated_features.permit.transient_nonexcl_queues = true` and
//! `deprecated_features.permit.global_qos = true`.
//!
//! `RINGMQ_TRACES_ALARM` names a program that raises alarms: its arguments are `memory` or `disk`,
//! and `on` or `off`. It makes RabbitMQ run `rabbitmqctl set_vm_memory_high_watermark 0` (0.6), or
//! `rabbitmqctl set_disk_free_limit 1000GB` (50MB). `RINGMQ_TRACES_RESTART` names a program that
//! restarts RabbitMQ: `rabbitmqctl stop_app` and `rabbitmqctl start_app` are sufficient.

mod answers;
mod clean;
mod names;
mod player;
#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write;
use std::{env, fs, process};

use answers::HEARTBEAT;
use player::{PATIENCE, Player};
use support::methods;
use support::script::{self, ClientAction, Line, Side, What};
use support::socket::SocketBroker;
use support::value::Value;

fn main() {
    let (mut address, mut management) = (String::from("127.0.0.1:5710"), String::from("127.0.0.1:15710"));
    let (mut quiet, mut files) = (50, Vec::new());
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--address" => address = args.next().expect("--address takes host:port"),
            "--management" => management = args.next().expect("--management takes host:port"),
            "--quiet" => quiet = args.next().and_then(|ms| ms.parse().ok()).expect("--quiet takes milliseconds"),
            _ => files.push(arg),
        }
    }
    let connect = || SocketBroker::new(&*address).managed_at(Some(management.clone()));
    let bad = files.iter().filter(|file| !record_file(file, &connect, quiet)).count();
    process::exit(i32::from(bad > 0));
}

fn record_file(file: &str, connect: &dyn Fn() -> SocketBroker, quiet_ms: usize) -> bool {
    let old = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let result = script::parse(&old).and_then(|lines| record(&lines, connect, quiet_ms));
    match result {
        Ok(new) => {
            println!("{file}: {}", if new == old { "as it was" } else { "recorded" });
            fs::write(file, new).unwrap_or_else(|error| panic!("{file}: {error}"));
            true
        }
        Err(error) => {
            println!("{file}: {error}");
            false
        }
    }
}

fn record(lines: &[Line], connect: &dyn Fn() -> SocketBroker, quiet_ms: usize) -> Result<String, String> {
    let mut broker = connect();
    clean::clean(lines, &names::Names::default(), &mut broker)?;
    let mut player = Player::new(&mut broker, false);
    let mut tape = Tape::default();
    let result = lines.iter().try_for_each(|line| tape.on_line(line, &mut player, quiet_ms / 2));
    tape.flush();
    let made = player.names;
    // Closing the sockets ends the connections, and with them their exclusive queues.
    drop(broker);
    clean::clean(lines, &made, &mut connect())?;
    result.map_err(|error| format!("{error}\n{}", tape.text))?;
    Ok(tape.text)
}

/// Whether a client's action asks for an answer on its channel.
fn asks(action: &ClientAction) -> Option<u16> {
    let ClientAction::Send { channel, held: false, name, fields } = action else { return None };
    let nowait = fields.iter().any(|(field, value)| field == "nowait" && *value == Value::Bool(true));
    let has_reply = name == "basic.get" || methods::by_name(&format!("{name}-ok")).is_some();
    (has_reply && !nowait).then_some(*channel)
}

/// The new text of the trace, and the answers that are not written yet.
#[derive(Default)]
struct Tape {
    text: String,
    pending: Vec<String>,
    differs: bool,
}

impl Tape {
    fn on_line(&mut self, line: &Line, player: &mut Player<'_>, quiet: usize) -> Result<(), String> {
        match &line.what {
            What::Answer(..) if line.side != Side::RingMq => return Ok(()),
            What::Differs => {
                self.differs = true;
                self.text += &format!("{}\n", line.text);
                return Ok(());
            }
            _ => self.flush(),
        }
        self.text += &format!("{}\n", line.text);
        if line.side == Side::RingMq {
            return Ok(());
        }
        let conn = match &line.what {
            What::Do(conn, action) => {
                player.act(conn, action).map_err(|error| format!("line {}: {error}", line.number))?;
                if let Some(channel) = asks(action) {
                    player.wait_for(&[(conn.clone(), channel), (conn.clone(), 0)], PATIENCE);
                }
                conn.as_str()
            }
            What::Pass(ms) => {
                player.pass(*ms);
                ""
            }
            What::Alarm(alarm, on) => {
                player.set_alarm(*alarm, *on);
                ""
            }
            What::Operate(ctl) => {
                player.operate(ctl);
                ""
            }
            What::Restart => {
                player.restart();
                ""
            }
            _ => return Ok(()),
        };
        self.differs = line.side == Side::RabbitMq;
        let held = matches!(&line.what, What::Do(_, ClientAction::Send { held: true, .. }));
        if !held {
            player.wait_for_quiet(quiet);
            self.take_answers(player, conn);
        }
        if matches!(line.what, What::Alarm(..)) {
            // A heartbeat only shows that RabbitMQ is slow.
            self.pending.retain(|answer| !answer.ends_with(HEARTBEAT));
        }
        Ok(())
    }

    fn take_answers(&mut self, player: &mut Player<'_>, first: &str) {
        for place in player.places(first) {
            while let Some(answer) = player.take(&place) {
                let text = answers::print(&answer, &mut player.names);
                self.pending.push(format!("{} {} < {text}", place.0, place.1));
            }
        }
    }

    fn flush(&mut self) {
        let prefix = if self.differs { "rabbitmq: " } else { "" };
        for line in self.pending.drain(..) {
            writeln!(self.text, "{prefix}{line}").expect("a string takes everything");
        }
    }
}
