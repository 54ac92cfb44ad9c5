//! Feature flags.

use hyper::Method;

use crate::actions::Action;
use crate::call::Call;
use crate::failure::{Failure, Result, USAGE};
use crate::format::Output;

/// The actions.
pub const ACTIONS: &[Action] = &[Action::new("enable_feature_flag", enable).checked(check)];

fn check(call: &Call) -> Result<()> {
    match call.argument(0) {
        "" => Err(Failure::bad_argument("feature flag (or group) name cannot be an empty string")),
        _ => Ok(()),
    }
}

fn enable(call: &Call) -> Result<Output> {
    let wanted = call.argument(0);
    let flags = call.list(&["api", "feature-flags"])?;
    let names = flags.iter().filter(|flag| wanted != "all" || flag["state"] == "disabled").filter_map(|flag| flag["name"].as_str());
    let chosen: Vec<&str> = names.filter(|name| wanted == "all" || wanted == *name).collect();
    if chosen.is_empty() && wanted != "all" {
        return Err(Failure::error(USAGE, format!("This feature flag is not supported by node {}", call.node_name())));
    }
    for name in chosen {
        call.send(Method::PUT, &["api", "feature-flags", name, "enable"], None)?.accepted()?;
    }
    Ok(Output::Done)
}
