//! Plugins: names that operators enable, and that stand for features of the broker.

use fancy_regex::Regex;
use serde_json::{Value, json};

use crate::actions::Action;
use crate::call::Call;
use crate::failure::{Failure, Result, UNAVAILABLE};
use crate::format::Output;

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::new("directories", directories),
    Action::new("disable", disable).checked(check_names),
    Action::new("enable", enable).checked(check_names),
    Action::new("is_enabled", is_enabled),
    Action::new("list", list),
    Action::new("set", set),
];

/// A plugin.
#[derive(Clone, PartialEq, Debug)]
struct Plugin {
    name: String,
    version: String,
    enabled: Enabled,
    is_running: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Enabled {
    /// Because its name is listed.
    Explicitly,
    /// Because another one needs it.
    Implicitly,
    No,
}

impl Plugin {
    fn read(item: &Value) -> Plugin {
        let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
        let enabled = match item["enabled"].as_str() {
            Some("enabled") => Enabled::Explicitly,
            Some("implicit") => Enabled::Implicitly,
            _ => Enabled::No,
        };
        Plugin { name: text("name"), version: text("version"), enabled, is_running: item["running"] == true }
    }

    fn line(&self, width: usize) -> String {
        let enabled = match self.enabled {
            Enabled::Explicitly => 'E',
            Enabled::Implicitly => 'e',
            Enabled::No => ' ',
        };
        let running = if self.is_running { '*' } else { ' ' };
        format!("[{enabled}{running}] {:width$} {}", self.name, self.version)
    }

    fn json(&self) -> Value {
        let enabled = match self.enabled {
            Enabled::Explicitly => "enabled",
            Enabled::Implicitly => "implicit",
            Enabled::No => "not_enabled",
        };
        let running_version = if self.is_running { self.version.as_str() } else { "" };
        json!({
            "name": self.name,
            "version": self.version,
            "enabled": enabled,
            "running": self.is_running,
            "running_version": running_version,
        })
    }
}

fn read(value: &Value) -> Vec<Plugin> {
    value.as_array().into_iter().flatten().map(Plugin::read).collect()
}

fn all(call: &Call) -> Result<Vec<Plugin>> {
    call.get(&["ctl", "plugins"]).map(|plugins| read(&plugins))
}

fn list(call: &Call) -> Result<Output> {
    let pattern = call.given.arguments.first().map_or(".*", String::as_str);
    let pattern = Regex::new(pattern).map_err(|error| Failure::bad_argument(error.to_string()))?;
    let mut plugins = all(call)?;
    let width = plugins.iter().map(|plugin| plugin.name.len()).max().unwrap_or_default();
    plugins.retain(|plugin| pattern.is_match(&plugin.name).unwrap_or(false));
    plugins.retain(|plugin| match plugin.enabled {
        Enabled::Explicitly => true,
        Enabled::Implicitly => !call.given.is("enabled"),
        Enabled::No => !call.given.is("enabled") && !call.given.is("implicitly-enabled"),
    });
    let json = json!({ "status": "running", "format": "normal", "plugins": plugins.iter().map(Plugin::json).collect::<Vec<_>>() });
    let mut lines = Vec::new();
    if !call.is_quiet() && !call.given.is("minimal") {
        lines.push(" Configured: E = explicitly enabled; e = implicitly enabled".to_owned());
        lines.push(format!(" | Status: * = running on {}", call.node_name()));
        lines.push(" |/".to_owned());
    }
    let line = |plugin: &Plugin| if call.given.is("minimal") { plugin.name.clone() } else { plugin.line(width) };
    lines.extend(plugins.iter().map(line));
    Ok(Output::Report { text: lines.join("\n"), json })
}

fn is_enabled(call: &Call) -> Result<Output> {
    let plugins = all(call)?;
    let enabled = names(&plugins, |plugin| plugin.enabled != Enabled::No);
    let name = call.node_name();
    let missing: Vec<&str> = call.given.arguments.iter().map(String::as_str).filter(|name| !enabled.contains(name)).collect();
    let (plural, verb) = if call.given.arguments.len() == 1 { ("Plugin", "is") } else { ("Plugins", "are") };
    match missing[..] {
        [] => {
            let text = format!("{plural} {} {verb} enabled on node {name}", call.given.arguments.join(", "));
            Ok(Output::Report { json: json!({ "result": "ok", "message": text }), text })
        }
        _ => Err(Failure::refused(format!(
            "{plural} {} {verb} not enabled on node {name}. Enabled plugins and dependencies: {}",
            missing.join(", "),
            enabled.join(", ")
        ))),
    }
}

fn names(plugins: &[Plugin], is: impl Fn(&Plugin) -> bool) -> Vec<&str> {
    plugins.iter().filter(|plugin| is(plugin)).map(|plugin| plugin.name.as_str()).collect()
}

fn check_names(call: &Call) -> Result<()> {
    match (call.given.is("all"), call.given.arguments.is_empty()) {
        (false, true) => Err(Failure::not_enough()),
        (true, false) => Err(Failure::bad_argument("Cannot set both --all and a list of plugins")),
        _ => Ok(()),
    }
}

fn enable(call: &Call) -> Result<Output> {
    let plugins = all(call)?;
    let mut wanted = names(&plugins, |plugin| plugin.enabled == Enabled::Explicitly || call.given.is("all"));
    wanted.extend(call.given.arguments.iter().map(String::as_str));
    apply(call, &plugins, wanted)
}

fn disable(call: &Call) -> Result<Output> {
    let plugins = all(call)?;
    let mut wanted = names(&plugins, |plugin| plugin.enabled == Enabled::Explicitly && !call.given.is("all"));
    wanted.retain(|name| !call.given.arguments.iter().any(|disabled| disabled == name));
    apply(call, &plugins, wanted)
}

fn set(call: &Call) -> Result<Output> {
    let wanted = call.given.arguments.iter().map(String::as_str).collect();
    apply(call, &all(call)?, wanted)
}

/// Enables these plugins and no others, and reports what changes.
fn apply(call: &Call, before: &[Plugin], mut wanted: Vec<&str>) -> Result<Output> {
    wanted.sort_unstable();
    wanted.dedup();
    let unknown: Vec<&str> = wanted.iter().copied().filter(|name| !before.iter().any(|plugin| plugin.name == *name)).collect();
    let after = read(&call.put(&["ctl", "plugins"], &json!({ "enabled": wanted }))?);
    let is_on = |plugin: &Plugin| plugin.enabled != Enabled::No;
    let (was, now) = (names(before, is_on), names(&after, is_on));
    let started: Vec<&str> = now.iter().copied().filter(|name| !was.contains(name)).collect();
    let stopped: Vec<&str> = was.iter().copied().filter(|name| !now.contains(name)).collect();
    let mut lines = Vec::new();
    if !unknown.is_empty() {
        lines.push(format!("WARNING - plugins currently enabled but missing: {}\n", unknown.join(", ")));
    }
    lines.push("The following plugins have been configured:".to_owned());
    lines.extend(indented(&now));
    lines.push(format!("Applying plugin configuration to {}...", call.node_name()));
    lines.extend(changes(call, &started, &stopped, now.len()));
    let json = json!({ "mode": mode(call), "started": started, "stopped": stopped, "enabled": now, "set": wanted });
    Ok(Output::Report { text: lines.join("\n"), json })
}

fn mode(call: &Call) -> &'static str {
    if call.given.is("offline") { "offline" } else { "online" }
}

fn changes(call: &Call, started: &[&str], stopped: &[&str], count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for (names, word) in [(started, "enabled"), (stopped, "disabled")] {
        if !names.is_empty() {
            lines.push(format!("The following plugins have been {word}:"));
            lines.extend(indented(names));
            lines.push(String::new());
        }
    }
    if call.given.is("offline") {
        lines.push(format!("set {count} plugins."));
        lines.push("Offline change; changes will take effect at broker restart.".into());
        return lines;
    }
    let counts = [(started.len(), "started"), (stopped.len(), "stopped")];
    let told: Vec<String> = counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{word} {count} plugins")).collect();
    lines.push(if told.is_empty() { "Plugin configuration unchanged.".into() } else { format!("{}.", told.join(" and ")) });
    lines
}

fn indented(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("  {name}")).collect()
}

fn directories(call: &Call) -> Result<Output> {
    let node = call.get(&["api", "nodes", &call.node()?.name])?;
    let directory = node["db_dir"].as_str().ok_or_else(|| Failure::error(UNAVAILABLE, "the broker does not tell its data directory"))?;
    let text = format!("Plugin archives directory: \nPlugin expansion directory: \nEnabled plugins file: {directory}/enabled_plugins");
    Ok(Output::Report { text, json: json!({ "enabled_plugins_file": format!("{directory}/enabled_plugins") }) })
}
