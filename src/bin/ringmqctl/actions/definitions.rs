//! Export and import of definitions.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use hyper::Method;
use serde_json::{Value, json};

use crate::actions::Action;
use crate::call::Call;
use crate::failure::{DATA, Failure, Result};
use crate::format::Output;

/// The actions.
pub const ACTIONS: &[Action] =
    &[Action::new("export_definitions", export).checked(check_export), Action::new("import_definitions", import).checked(check_import)];

fn check_format(call: &Call) -> Result<()> {
    match call.given.value("format") {
        None | Some("json" | "JSON") => Ok(()),
        Some("erlang") => Err(Failure::bad_argument("This broker writes and reads definitions as json only")),
        Some(_) => Err(Failure::bad_argument("Format should be either json or erlang")),
    }
}

fn check_export(call: &Call) -> Result<()> {
    check_format(call)?;
    let directory = Path::new(call.argument(0)).parent().filter(|directory| !directory.as_os_str().is_empty());
    match directory.filter(|directory| !directory.exists()) {
        Some(directory) => Err(Failure::bad_argument(format!("Directory {} does not exist", directory.display()))),
        None => Ok(()),
    }
}

fn check_import(call: &Call) -> Result<()> {
    check_format(call)?;
    match call.given.arguments.first().filter(|file| !Path::new(file).exists()) {
        Some(file) => Err(Failure::bad_argument(format!("File {file} does not exist"))),
        None => Ok(()),
    }
}

fn export(call: &Call) -> Result<Output> {
    let file = call.argument(0);
    if file != "-" {
        call.tell(&format!("Exporting definitions in JSON to a file at \"{file}\" ..."));
    }
    let definitions = call.get(&["api", "definitions"])?;
    if file == "-" {
        return Ok(Output::Report { text: definitions.to_string(), json: definitions });
    }
    let refuse = |error: io::Error| Failure::error(DATA, format!("Could not write to file {file}: {error}"));
    fs::write(file, definitions.to_string()).map_err(refuse)?;
    Ok(Output::Nothing)
}

fn import(call: &Call) -> Result<Output> {
    let file = call.given.arguments.first();
    call.tell(&match file {
        Some(file) => format!("Importing definitions in JSON from a file at \"{file}\" ..."),
        None => "Importing definitions in JSON from standard input ...".to_owned(),
    });
    let text = read(file).map_err(|error| Failure::error(DATA, format!("Could not read definitions: {error}")))?;
    let definitions: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::error(DATA, format!("Failed to deserialise input (format: JSON) (error: {error})")))?;
    call.send(Method::POST, &["api", "definitions"], Some(&definitions))?.accepted()?;
    let text = "Successfully started definition import. This process is asynchronous and can take some time. \
                Watch target node logs for completion.";
    match call.is_quiet() {
        true => Ok(Output::Done),
        false => Ok(Output::Report { text: text.into(), json: json!({ "result": "ok", "node": call.node_name() }) }),
    }
}

fn read(file: Option<&String>) -> io::Result<String> {
    let Some(file) = file else {
        let mut text = String::new();
        return io::stdin().read_to_string(&mut text).map(|_| text);
    };
    fs::read_to_string(file)
}
