//! Users and their passwords.

use std::io::{self, BufRead, IsTerminal, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use serde_json::{Value, json};

use crate::actions::Action;
use crate::call::Call;
use crate::failure::{DATA, Failure, NO_USER, Result, SOFTWARE};
use crate::format::Output;
use crate::term::Term;

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::new("add_user", add).checked(check_add),
    Action::new("authenticate_user", authenticate),
    Action::new("change_password", change_password).checked(check_name),
    Action::new("clear_password", clear_password).checked(check_name),
    Action::new("delete_user", delete).checked(check_name),
    Action::new("list_users", list),
    Action::new("set_user_tags", set_tags).checked(check_name),
];

/// Checks that the first argument, the name of a user, is not empty.
pub fn check_name(call: &Call) -> Result<()> {
    if call.argument(0).is_empty() { Err(Failure::bad_argument("user cannot be an empty string")) } else { Ok(()) }
}

fn check_add(call: &Call) -> Result<()> {
    check_name(call)?;
    match &call.given.arguments[..] {
        [_, hash] if call.given.is("pre-hashed-password") && STANDARD.decode(hash).is_err() => Err(bad_hash()),
        _ => Ok(()),
    }
}

fn bad_hash() -> Failure {
    Failure::bad_argument("Could not Base64 decode provided password hash value")
}

fn add(call: &Call) -> Result<Output> {
    let name = call.argument(0);
    let is_hash = call.given.is("pre-hashed-password");
    let password = password(call, if is_hash { "Hashed and salted password: " } else { "Password: " })?;
    if find(call, name)?.is_some() {
        return Err(Failure::error(SOFTWARE, format!("User \"{name}\" already exists")));
    }
    call.put(&["api", "users", name], &json!({ (if is_hash { "password_hash" } else { "password" }): password, "tags": "" }))?;
    let text = "Done. Don't forget to grant the user permissions to some virtual hosts! \
                See 'rabbitmqctl help set_permissions' to learn more.";
    if call.is_quiet() && !call.format().is_for_programs() {
        return Ok(Output::Done);
    }
    Ok(Output::Report { text: text.into(), json: json!({ "status": "ok", "node": call.node_name(), "message": text }) })
}

/// Returns the second argument, or a line of the standard input.
fn password(call: &Call, prompt: &str) -> Result<String> {
    if let Some(password) = call.given.arguments.get(1) {
        return Ok(password.clone());
    }
    ask(prompt).ok_or_else(|| Failure::error(DATA, "Password is not provided via argument or stdin"))
}

/// Asks for a password, which is not shown if a person types it.
pub fn ask(prompt: &str) -> Option<String> {
    if io::stdin().is_terminal() {
        return rpassword::prompt_password(prompt).ok();
    }
    let mut out = io::stdout();
    _ = write!(out, "{prompt}").and_then(|()| out.flush());
    let mut line = String::new();
    let length = io::stdin().lock().read_line(&mut line).ok()?;
    _ = writeln!(out);
    (length > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Finds a user.
pub fn find(call: &Call, name: &str) -> Result<Option<Value>> {
    let answer = call.send(Method::GET, &["api", "users", name], None)?;
    if answer.status == 404 { Ok(None) } else { answer.accepted().map(Some) }
}

/// The failure of commands that show RabbitMQ's own term for a user who does not exist.
pub fn missing(name: &str) -> Failure {
    Failure::refused(format!("{{:no_such_user, \"{name}\"}}"))
}

fn known(call: &Call) -> Result<Value> {
    let name = call.argument(0);
    find(call, name)?.ok_or_else(|| Failure::error(NO_USER, format!("User \"{name}\" does not exist")))
}

fn change_password(call: &Call) -> Result<Output> {
    let password = password(call, "Password: ")?;
    let user = known(call)?;
    call.put(&["api", "users", call.argument(0)], &json!({ "password": password, "tags": user["tags"] }))?;
    Ok(Output::Done)
}

fn clear_password(call: &Call) -> Result<Output> {
    let user = find(call, call.argument(0))?.ok_or_else(|| missing(call.argument(0)))?;
    call.put(&["api", "users", call.argument(0)], &json!({ "password_hash": "", "tags": user["tags"] }))?;
    Ok(Output::Done)
}

fn delete(call: &Call) -> Result<Output> {
    match call.send(Method::DELETE, &["api", "users", call.argument(0)], None)? {
        answer if answer.status == 404 => Ok(Output::Done),
        answer => answer.accepted().map(|_| Output::Done),
    }
}

/// Logs a user in. The broker alone can tell whether a password is right.
pub fn log_in(call: &Call, name: &str, password: &str) -> Result<std::result::Result<Value, String>> {
    let body = json!({ "username": name, "password": password });
    let answer = call.send(Method::POST, &["ctl", "authentication"], Some(&body))?;
    if answer.status == 401 { Ok(Err(answer.reason())) } else { answer.accepted().map(Ok) }
}

fn authenticate(call: &Call) -> Result<Output> {
    let name = call.argument(0);
    match log_in(call, name, &password(call, "Password: ")?)? {
        Ok(_) => Ok(Output::Report { text: "Success".into(), json: json!({ "message": "Success" }) }),
        Err(reason) => Err(Failure::error(DATA, format!("Error: failed to authenticate user \"{name}\"\n{reason}"))),
    }
}

fn set_tags(call: &Call) -> Result<Output> {
    let user = known(call)?;
    let tags: Vec<&str> = call.given.arguments[1..].iter().map(|tag| tag.trim()).collect();
    let mut body = json!({ "tags": tags, "password_hash": user["password_hash"] });
    if user["hashing_algorithm"].is_string() {
        body["hashing_algorithm"] = user["hashing_algorithm"].clone();
    }
    call.put(&["api", "users", call.argument(0)], &body)?;
    Ok(Output::Done)
}

fn list(call: &Call) -> Result<Output> {
    let row = |user: &Value| vec![("user".to_owned(), Term::from(&user["name"])), ("tags".to_owned(), Term::atoms(&user["tags"]))];
    Ok(Output::Rows(call.list(&["api", "users"])?.iter().map(row).collect()))
}
