//! The tool itself: help, its version, completion in shells, and its other names.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use ringmq::config::Config;
use serde_json::json;

use crate::actions::Action;
use crate::call::Call;
use crate::catalog::{self, Command};
use crate::failure::{Failure, Result, UNAVAILABLE, USAGE};
use crate::format::Output;
use crate::help;
use crate::options::Switches;
use crate::suggest::suggest;
use crate::tool::{TOOLS, Tool};

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::anytime("autocomplete", autocomplete),
    Action::anytime("completion", completion),
    Action::anytime("help", show_help),
    Action::anytime("install-links", install_links),
    Action::anytime("version", version),
];

fn show_help(call: &Call) -> Result<Output> {
    let tool = Tool::current();
    let Some(name) = call.given.arguments.first() else {
        return Ok(Output::Text(if call.given.is("list-commands") { help::list(tool) } else { help::of_tool(tool) }));
    };
    match Command::find(tool, name) {
        Some(command) => Ok(Output::Text(help::of_command(tool, &command))),
        None => Err(Failure::error(
            USAGE,
            match suggest(name, catalog::all(tool).map(|command| command.name)) {
                Some(similar) => format!("\nCommand '{name}' not found. \nDid you mean '{similar}'? \n"),
                None => format!("\nCommand '{name}' not found."),
            },
        )),
    }
}

/// Prints the version of RabbitMQ whose behaviour the broker follows, because scripts compare it.
fn version(call: &Call) -> Result<Output> {
    let version = Config::default().product_version;
    Ok(Output::Report { json: json!({ "node": call.node_name(), "result": "ok", "value": { "version": version } }), text: version })
}

/// Prints the commands, or the options of a command, that begin with a text.
fn autocomplete(call: &Call) -> Result<Output> {
    let words = &call.given.arguments;
    let last = words.last().map_or("", String::as_str);
    let mut found: Vec<String> = match words.iter().find_map(|word| Command::find(Tool::current(), word)) {
        Some(command) => command.switches().and(&Switches::common()).names().map(|name| format!("--{name}")).collect(),
        None => catalog::all(Tool::current()).map(|command| command.name.to_owned()).collect(),
    };
    found.retain(|name| name.starts_with(last));
    found.sort_unstable();
    found.dedup();
    Ok(if found.is_empty() { Output::Nothing } else { Output::Lines(found) })
}

fn completion(call: &Call) -> Result<Output> {
    let names = || TOOLS.iter().map(|tool| tool.name).chain(["ringmqctl"]);
    let script = match call.argument(0) {
        "bash" => BASH.replace("NAMES", &names().collect::<Vec<_>>().join(" ")),
        "zsh" => ZSH.replace("NAMES", &names().collect::<Vec<_>>().join(" ")),
        "fish" => names().map(|name| FISH.replace("NAME", name)).collect(),
        shell => return Err(Failure::bad_argument(format!("shell {shell} is not one of bash, zsh, fish"))),
    };
    Ok(Output::Text(script.trim_end().to_owned()))
}

const BASH: &str = r#"_ringmqctl() {
    COMPREPLY=($("${COMP_WORDS[0]}" autocomplete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _ringmqctl NAMES
"#;

const ZSH: &str = r#"_ringmqctl() {
    compadd -- ${(f)"$("${words[1]}" autocomplete -- "${(@)words[2,CURRENT]}" 2>/dev/null)"}
}
compdef _ringmqctl NAMES
"#;

const FISH: &str = r"complete -c NAME -f -a '(NAME autocomplete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
";

/// Links the names of RabbitMQ's tools to this program.
fn install_links(call: &Call) -> Result<Output> {
    let directory = Path::new(call.argument(0));
    let fail = |error: std::io::Error| Failure::error(UNAVAILABLE, format!("{} cannot be written: {error}", directory.display()));
    let program = env::current_exe().map_err(fail)?;
    fs::create_dir_all(directory).map_err(fail)?;
    let mut lines = Vec::new();
    for tool in TOOLS {
        let link = directory.join(tool.name);
        if link.is_symlink() {
            fs::remove_file(&link).map_err(fail)?;
        }
        symlink(&program, &link).map_err(fail)?;
        lines.push(format!("{} -> {}", link.display(), program.display()));
    }
    Ok(Output::Lines(lines))
}
