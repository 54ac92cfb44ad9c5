//! The commands' actions.
//!
//! An action checks the arguments, then the banner is printed, then it does its work, mostly by a
//! request or two to the API.

mod about;
mod absent;
mod cluster_status;
mod connections;
mod definitions;
mod eval;
mod features;
mod health;
mod host;
mod lifecycle;
mod limits;
mod links;
mod lists;
mod logs;
mod node;
mod parameters;
mod permissions;
mod plugins;
mod policies;
mod queues;
mod settings;
mod statistics;
mod status;
mod streams;
mod users;
mod vhosts;

use serde_json::Value;

use crate::call::Call;
use crate::failure::{Failure, Result, UNAVAILABLE};
use crate::format::Output;

/// The work of a command.
#[derive(Clone, Copy)]
pub struct Action {
    /// The command's name.
    name: &'static str,
    needs: Needs,
    check: fn(&Call) -> Result<()>,
    run: fn(&Call) -> Result<Output>,
}

/// The state of the broker in which a command can be performed.
#[derive(Clone, Copy)]
enum Needs {
    Nothing,
    Running,
    Stopped,
}

impl Action {
    /// Makes the action of a command that needs a broker which serves clients.
    const fn new(name: &'static str, run: fn(&Call) -> Result<Output>) -> Action {
        Action { name, needs: Needs::Running, check: |_| Ok(()), run }
    }

    /// Makes the action of a command that works in any state of the broker.
    const fn anytime(name: &'static str, run: fn(&Call) -> Result<Output>) -> Action {
        Action { needs: Needs::Nothing, ..Action::new(name, run) }
    }

    /// Makes the action of a command that needs a broker which serves no clients.
    const fn stopped(name: &'static str, run: fn(&Call) -> Result<Output>) -> Action {
        Action { needs: Needs::Stopped, ..Action::new(name, run) }
    }

    /// The same action after a check of its arguments.
    const fn checked(self, check: fn(&Call) -> Result<()>) -> Action {
        Action { check, ..self }
    }
}

/// Finds the action of a command.
pub fn find(name: &str) -> Option<&'static Action> {
    ACTIONS.iter().copied().flatten().find(|action| action.name == name)
}

/// Returns the names of all commands that have an action.
#[cfg(test)]
pub fn names() -> impl Iterator<Item = &'static str> {
    ACTIONS.iter().copied().flatten().map(|action| action.name)
}

/// Performs an action and prints its output.
///
/// # Errors
/// The reason why it failed.
pub fn perform(action: &Action, call: &Call) -> Result<()> {
    (action.check)(call)?;
    match action.needs {
        Needs::Nothing => {}
        Needs::Running => call.require_running()?,
        Needs::Stopped if call.node()?.is_running() => return Err(Failure::app_running()),
        Needs::Stopped => {}
    }
    call.print_banner();
    if !call.given.is("dry-run") {
        call.print(&(action.run)(call)?);
    }
    Ok(())
}

/// Returns success for any answer.
fn done(_: Value) -> Result<Output> {
    Ok(Output::Done)
}

/// Reads JSON that is given as an argument.
fn json(text: &str) -> Result<Value> {
    let refuse =
        |_| Failure::error(UNAVAILABLE, format!("Could not parse JSON document: {{error,{{failed_to_decode_json,<<\"{text}\">>}}}}"));
    serde_json::from_str(text).map_err(refuse)
}

const ACTIONS: &[&[Action]] = &[
    about::ACTIONS,
    absent::ACTIONS,
    connections::ACTIONS,
    definitions::ACTIONS,
    eval::ACTIONS,
    features::ACTIONS,
    health::ACTIONS,
    host::ACTIONS,
    lifecycle::ACTIONS,
    limits::ACTIONS,
    links::ACTIONS,
    lists::ACTIONS,
    logs::ACTIONS,
    node::ACTIONS,
    parameters::ACTIONS,
    permissions::ACTIONS,
    plugins::ACTIONS,
    policies::ACTIONS,
    queues::ACTIONS,
    settings::ACTIONS,
    statistics::ACTIONS,
    status::ACTIONS,
    streams::ACTIONS,
    users::ACTIONS,
    vhosts::ACTIONS,
];
