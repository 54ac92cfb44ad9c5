//! Removes the remains of a trace from a broker that outlives it.

use crate::names::Names;
use crate::player::{PATIENCE, Player};
use crate::support::broker::Broker;
use crate::support::script::{ClientAction, Line, What};
use crate::support::value::Value;

/// Removes everything that the trace may have left: its virtual hosts, users, queues and exchanges.
pub fn clean(lines: &[Line], made: &Names, broker: &mut dyn Broker) -> Result<(), String> {
    for line in lines {
        if let What::Operate(ctl) = &line.what {
            ctl.undo().map_or(Ok(()), |undo| broker.operate(&undo))?;
        }
    }
    let mut player = Player::new(broker, false);
    player.act("cleaner", &ClientAction::Connect(Vec::new()))?;
    let queues = declared(lines, "queue.declare", "queue").into_iter().chain(made.queues().iter().map(Value::text));
    let queues = queues.map(|queue| ("queue.delete", "queue", queue));
    let exchanges = declared(lines, "exchange.declare", "exchange").into_iter().map(|exchange| ("exchange.delete", "exchange", exchange));
    for (channel, (name, field, value)) in (1..).zip(queues.chain(exchanges)) {
        player.act("cleaner", &ClientAction::Channels(vec![channel]))?;
        let fields = vec![(field.to_owned(), value)];
        player.act("cleaner", &ClientAction::Send { channel, held: false, name: name.to_owned(), fields })?;
        player.wait_for(&[("cleaner".to_owned(), channel)], PATIENCE);
    }
    player.act("cleaner", &ClientAction::HangUp)
}

fn declared(lines: &[Line], method: &str, field: &str) -> Vec<Value> {
    let mut names: Vec<Value> = Vec::new();
    for line in lines {
        let What::Do(_, ClientAction::Send { name, fields, .. }) = &line.what else { continue };
        let declared = fields.iter().filter(|(key, _)| name == method && key == field).map(|(_, value)| value);
        for value in
            declared.filter(|value| value.as_text().is_some_and(|text| !text.is_empty() && !text.starts_with(b"$") && text.len() <= 255))
        {
            if !names.contains(value) {
                names.push(value.clone());
            }
        }
    }
    names
}
