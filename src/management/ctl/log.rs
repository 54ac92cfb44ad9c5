//! The log: its newest lines, and those that are written from now on.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::base::limits::TAIL_LINES_MAX;
use crate::management::api::Call;
use crate::management::http::{Answer, Outcome, Refusal};
use crate::management::site::Site;

/// `GET /ctl/log`: `lines=N` for the newest ones, `follow=true` for those to come.
pub async fn get(call: &Call) -> Outcome {
    if call.params.is_true("follow") {
        let (sender, pieces) = mpsc::channel(WAITING_MAX);
        spawn_local(follow(call.site.clone(), sender));
        return Ok(Answer::live(TEXT, pieces));
    }
    let lines_max = match call.params.get("lines") {
        None => DEFAULT_LINES,
        Some(text) => text.parse().ok().filter(|lines| *lines <= TAIL_LINES_MAX as u64).ok_or_else(wrong_number)?,
    };
    let (lines, _) = call.site.host.newest_log_lines(lines_max);
    Ok(Answer::raw(TEXT, lines.iter().flat_map(|line| [line, "\n"]).collect::<String>()))
}

fn wrong_number() -> Refusal {
    Refusal::bad_request(format!("'lines' is a number up to {TAIL_LINES_MAX}"))
}

/// Sends the lines that are written from now on, until nobody takes them any more. Writers do not
/// wait: a reader that is too slow misses lines.
async fn follow(site: Rc<Site>, sender: Sender<Bytes>) {
    let (_, mut place) = site.host.newest_log_lines(0);
    while !sender.is_closed() {
        let (lines, end) = site.host.log_lines_from(place);
        for line in lines {
            if sender.send(format!("{line}\n").into()).await.is_err() {
                return;
            }
        }
        place = end;
        sleep(LOOK).await;
    }
}

const TEXT: &str = "text/plain";
const DEFAULT_LINES: u64 = 50;
/// Lines that wait for the client to take them.
const WAITING_MAX: usize = 64;
/// How often to look for new lines.
const LOOK: Duration = Duration::from_millis(100);
