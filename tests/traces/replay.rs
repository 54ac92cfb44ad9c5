//! Plays one trace against a broker and compares every answer.
//!
//! Order is compared per connection and channel. Where time stands still (shards in this process),
//! an answer must have arrived before the next client line, and nothing else may have arrived. A
//! real broker gets some time, and is checked for further answers at the end.

use crate::answers::{self, HEARTBEAT};
use crate::player::{Answer, PATIENCE, Place, Player};
use crate::support::broker::Broker;
use crate::support::script::{Line, Side, What, ranges, tags};

/// Plays `lines`. `Err` names the line and the mistake.
pub fn replay(lines: &[Line], side: Side, broker: &mut dyn Broker, byte_by_byte: bool) -> Result<(), String> {
    let mut player = Player::new(broker, byte_by_byte);
    for line in lines.iter().filter(|line| line.side.counts_for(side)) {
        play(&mut player, line).map_err(|error| format!("{}: {}\n    {error}", line.number, line.text))?;
    }
    player.wait_for_quiet(QUIET);
    nothing_left(&mut player).map_err(|error| format!("{}: at the end\n    {error}", lines.len()))
}

fn play(player: &mut Player<'_>, line: &Line) -> Result<(), String> {
    match &line.what {
        What::Comment | What::Differs => Ok(()),
        What::Answer(conn, channel, text) => expect(player, &(conn.clone(), *channel), text),
        What::Pass(ms) => {
            before_action(player)?;
            player.pass(*ms);
            Ok(())
        }
        What::Alarm(alarm, on) => {
            before_action(player)?;
            player.set_alarm(*alarm, *on);
            Ok(())
        }
        What::Operate(ctl) => {
            before_action(player)?;
            player.operate(ctl);
            Ok(())
        }
        What::Restart => {
            before_action(player)?;
            player.restart();
            Ok(())
        }
        What::Do(conn, action) => {
            before_action(player)?;
            player.act(conn, action)
        }
    }
}

fn before_action(player: &mut Player<'_>) -> Result<(), String> {
    if player.wait_for_quiet(1) { nothing_left(player) } else { Ok(()) }
}

fn nothing_left(player: &mut Player<'_>) -> Result<(), String> {
    for place in player.places("") {
        while let Some(answer) = player.take(&place) {
            let text = answers::print(&answer, &mut player.names);
            if text != HEARTBEAT {
                return Err(format!("unexpected: {} {} < {text}", place.0, place.1));
            }
        }
    }
    Ok(())
}

fn expect(player: &mut Player<'_>, place: &Place, expected: &str) -> Result<(), String> {
    if let Some((kind @ ("confirmed" | "refused"), tags)) = expected.split_once(' ') {
        return expect_confirms(player, place, kind == "confirmed", tags);
    }
    loop {
        player.wait_for(std::slice::from_ref(place), PATIENCE);
        let Some(answer) = player.take(place) else { return Err("got nothing".into()) };
        let got = answers::print(&answer, &mut player.names);
        // Heartbeats may come at any time.
        if got == expected {
            return Ok(());
        } else if got != HEARTBEAT {
            return Err(format!("got {got}"));
        }
    }
}

fn expect_confirms(player: &mut Player<'_>, place: &Place, good: bool, expected: &str) -> Result<(), String> {
    let mut missing = tags(expected);
    while !missing.is_empty() {
        player.wait_for(std::slice::from_ref(place), PATIENCE);
        match player.front(place) {
            Some(Answer::Confirms(kind, set)) if *kind == good && missing.iter().any(|tag| set.contains(tag)) => {
                missing.retain(|tag| !set.remove(tag));
                if set.is_empty() {
                    player.take(place);
                }
            }
            None => return Err(format!("got nothing for {}", ranges(&missing))),
            Some(_) => {
                let other = player.take(place).expect("it is in front");
                return Err(format!("got {} while {} are missing", answers::print(&other, &mut player.names), ranges(&missing)));
            }
        }
    }
    Ok(())
}

/// Steps without an answer after which a real broker is taken to have sent everything (2 ms each).
pub const QUIET: usize = 15;
