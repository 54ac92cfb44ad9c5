//! RabbitMQ's management API, as far as traces with operators need it: PUT and DELETE as guest,
//! with a new connection each.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::ctl::{Ctl, Http};

/// Sends the request of a `ctl` line to the broker at `address`.
pub fn operate(address: &str, ctl: &Ctl) -> Result<(), String> {
    ctl.requests().iter().try_for_each(|request| send(address, request))
}

/// Sends a request. The object of a DELETE may be gone already.
fn send(address: &str, Http { method, path, body }: &Http) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("no management API at {address}: {error}");
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    let head = format!("{method} /api/{path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Basic {GUEST}\r\nConnection: close\r\n");
    let request = format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    match answer.split(' ').nth(1) {
        Some(status) if status.starts_with('2') || (*method == "DELETE" && status == "404") => Ok(()),
        _ => Err(reason(&answer).unwrap_or_else(|| format!("{method} {path} {body}: {answer}"))),
    }
}

/// Returns the broker's reason for refusing a request.
fn reason(answer: &str) -> Option<String> {
    let body: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    let reason = body.get("reason")?.as_str()?;
    Some(reason.trim_start_matches("Validation failed\n\n").trim_end().to_owned())
}

/// `guest:guest` in base64.
const GUEST: &str = "Z3Vlc3Q6Z3Vlc3Q=";
