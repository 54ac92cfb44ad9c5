//! `--apart`: producers are served by another thread of the broker than their consumers, so that
//! every message crosses threads. The thread that serves a connection can be found from outside: it
//! works while the connection sends many requests.

use std::collections::HashMap;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use crate::amqp::encode::Encoder;
use crate::amqp::id;
use crate::connection::{Connection, Result, Settings};

/// A thread of a broker.
pub type Tid = u32;

/// Finds the thread that serves a connection. The requests use a channel of their own, which stays
/// open.
pub fn thread_of(connection: &mut Connection, pids: &[u32]) -> Result<Tid> {
    connection.open_channel(CHANNEL)?;
    let mut e = Encoder::default();
    for _ in 0..QUESTIONS {
        e.method(CHANNEL, id::BASIC_QOS, |e| _ = e.u32(0).u16(0).u8(0));
    }
    let before = run_times(pids)?;
    connection.send(&e.out)?;
    for _ in 0..QUESTIONS {
        connection.expect(id::BASIC_QOS_OK)?;
    }
    // The kernel updates a thread's run time when the thread goes to sleep.
    sleep(SETTLE);
    let grown = run_times(pids)?.into_iter().map(|(tid, ns)| (ns - before.get(&tid).copied().unwrap_or(0), tid));
    grown.max().map(|(_, tid)| tid).ok_or_else(|| "the broker has no threads".to_owned())
}

/// Opens a connection that another thread than `taken` serves.
pub fn open(settings: &Settings, pids: &[u32], taken: Tid) -> Result<Connection> {
    for _ in 0..ATTEMPTS {
        let mut connection = Connection::open(settings)?;
        if thread_of(&mut connection, pids)? != taken {
            return Ok(connection);
        }
        connection.close()?;
    }
    Err("one thread of the broker serves all connections".to_owned())
}

/// The nanoseconds that each thread has run.
fn run_times(pids: &[u32]) -> Result<HashMap<Tid, u64>> {
    let mut times = HashMap::new();
    for pid in pids {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(|e| format!("process {pid}: {e}"))?;
        for path in tasks.flatten().map(|task| task.path()) {
            let text = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            let tid = path.file_name().and_then(|name| name.to_str()?.parse::<Tid>().ok());
            times.extend(tid.zip(text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok())));
        }
    }
    Ok(times)
}

/// The channel of the requests, which is not that of publishing or consuming.
const CHANNEL: u16 = 3;
/// Number of requests: enough to stand out against other work of the broker.
const QUESTIONS: u32 = 2000;
const SETTLE: Duration = Duration::from_millis(1);
const ATTEMPTS: u32 = 64;
