//! What is known without the broker, or of its process: hashes, addresses, the environment.

use std::fs;
use std::net::ToSocketAddrs;

use ringmq::contract::{Hashing, PasswordHash};
use ringmq::io::host::process;

use crate::actions::{Action, users};
use crate::call::Call;
use crate::failure::{DATA, Failure, Result, UNAVAILABLE};
use crate::format::Output;
use crate::term::Term;

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::anytime("command_line_arguments", command_line),
    Action::anytime("hash_password", hash_password).checked(check_hashing),
    Action::anytime("list_ciphers", |_| words(&["aes_256_cbc"])),
    Action::anytime("list_hashes", |_| words(&["sha256", "sha512", "md5"])),
    Action::anytime("list_network_interfaces", interfaces),
    Action::anytime("os_env", environment),
    Action::anytime("resolve_hostname", resolve),
    Action::anytime("tls_versions", |_| Ok(Output::Lines(vec!["tlsv1.3".into(), "tlsv1.2".into()]))),
];

fn words(words: &[&str]) -> Result<Output> {
    Ok(Output::Term(Term::List(words.iter().copied().map(Term::atom).collect())))
}

fn hashing(call: &Call) -> Option<Hashing> {
    match call.given.value("hashing-algorithm").unwrap_or("sha256").trim_start_matches("rabbit_password_hashing_") {
        "sha256" => Some(Hashing::Sha256),
        "sha512" => Some(Hashing::Sha512),
        "md5" => Some(Hashing::Md5),
        _ => None,
    }
}

fn check_hashing(call: &Call) -> Result<()> {
    match hashing(call) {
        Some(_) => Ok(()),
        None => Err(Failure::bad_argument("hashing algorithm must be one of: sha256, sha512, md5")),
    }
}

fn hash_password(call: &Call) -> Result<Output> {
    let asked = || users::ask("Password: ").ok_or_else(|| Failure::error(DATA, "Password is not provided via argument or stdin"));
    let password = call.given.arguments.first().cloned().map_or_else(asked, Ok)?;
    let hash = PasswordHash::new(hashing(call).unwrap_or(Hashing::Sha256), process::random(), password.as_bytes());
    Ok(Output::Text(hash.to_base64()))
}

fn resolve(call: &Call) -> Result<Output> {
    let host = call.argument(0);
    let is_v6 = call.given.value("address-family").is_some_and(|family| family.to_lowercase().ends_with('6'));
    let addresses = (host, 0).to_socket_addrs().map_err(|error| Failure::refused(format!("Could not resolve {host}: {error}")))?;
    let mut lines: Vec<String> = addresses.filter(|address| address.is_ipv6() == is_v6).map(|address| address.ip().to_string()).collect();
    lines.dedup();
    if lines.is_empty() {
        return Err(Failure::error(DATA, "Hostname does not resolve (resolution failed with an nxdomain)"));
    }
    Ok(Output::Lines(lines))
}

fn interfaces(_: &Call) -> Result<Output> {
    let entries = fs::read_dir("/sys/class/net").map_err(|error| Failure::refused(error.to_string()))?;
    let mut names: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    Ok(Output::Lines(names))
}

/// Reads a list of the broker's process, whose items end in a zero byte.
fn read_process(call: &Call, file: &str) -> Result<Vec<String>> {
    let unknown = || Failure::error(UNAVAILABLE, "the process of the broker is not known");
    let path = format!("/proc/{}/{file}", call.node()?.pid.ok_or_else(unknown)?);
    let octets = fs::read(&path).map_err(|error| Failure::refused(format!("{path} cannot be read: {error}")))?;
    let items = octets.split(|octet| *octet == 0).filter(|item| !item.is_empty());
    Ok(items.map(|item| String::from_utf8_lossy(item).into_owned()).collect())
}

fn command_line(call: &Call) -> Result<Output> {
    Ok(Output::Term(Term::List(read_process(call, "cmdline")?.into_iter().map(Term::Text).collect())))
}

fn environment(call: &Call) -> Result<Output> {
    let mut variables = read_process(call, "environ")?;
    variables.retain(|variable| variable.starts_with("RABBITMQ_") || variable.starts_with("RINGMQ_"));
    variables.sort_unstable();
    Ok(Output::Lines(variables))
}
