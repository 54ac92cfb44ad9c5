//! The log, and the stream of events.

use std::time::Duration;

use fancy_regex::Regex;
use hyper::Method;
use serde_json::{Value, json};

use crate::actions::Action;
use crate::call::Call;
use crate::failure::{Failure, Result};
use crate::format::Output;

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::new("consume_event_stream", events),
    Action::new("log_location", location),
    Action::new("log_tail", tail),
    Action::new("log_tail_stream", stream),
];

fn location(call: &Call) -> Result<Output> {
    let mut node = call.get(&["api", "nodes", &call.node()?.name])?;
    let Value::Array(files) = node["log_files"].take() else { return Ok(Output::Nothing) };
    let count = if call.given.is("all") { files.len() } else { 1 };
    Ok(Output::Lines(files.iter().take(count).filter_map(Value::as_str).map(str::to_owned).collect()))
}

fn tail(call: &Call) -> Result<Output> {
    let lines = call.given.number("number").unwrap_or_default();
    let text = call.client.send(Method::GET, &format!("/ctl/log?lines={lines}"), None, None)?.accepted()?;
    Ok(Output::Lines(text.as_str().unwrap_or_default().lines().map(str::to_owned).collect()))
}

fn duration(call: &Call) -> Option<Duration> {
    call.given.number("duration").and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs)
}

fn stream(call: &Call) -> Result<Output> {
    call.client.follow("/ctl/log?follow=true", duration(call), |line| call.say(line))?;
    Ok(Output::Nothing)
}

fn events(call: &Call) -> Result<Output> {
    let pattern = call.given.value("pattern").unwrap_or(".*");
    let pattern = Regex::new(pattern).map_err(|error| Failure::bad_argument(error.to_string()))?;
    call.client.follow("/ctl/events", duration(call), |line| {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|_| json!({}));
        let is_wanted = pattern.is_match(event["event"].as_str().unwrap_or_default()).unwrap_or(false);
        !is_wanted || call.say(line)
    })?;
    Ok(Output::Nothing)
}
