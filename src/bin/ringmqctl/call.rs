//! A call of a command: what is given, and the broker that it is about.

use std::cell::OnceCell;
use std::io::{self, IsTerminal, Write};
use std::rc::Rc;

use hyper::Method;
use ringmq::io::host::process;
use serde_json::Value;

use crate::catalog::Command;
use crate::client::{Answer, Client, path};
use crate::failure::{Failure, Result};
use crate::format::{Format, Output, Style};
use crate::options::Given;

/// A call.
pub struct Call {
    /// The command.
    pub command: Command,
    /// The options, and the arguments without the command's name.
    pub given: Given,
    /// The client of the broker's API.
    pub client: Rc<Client>,
    node: OnceCell<Node>,
}

/// The broker.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// The node's name.
    pub name: String,
    /// Whether clients are served: `running`, `stopped` or `booting`.
    pub app: String,
    /// The process.
    pub pid: Option<u32>,
}

impl Node {
    /// Whether the broker serves clients.
    pub fn is_running(&self) -> bool {
        self.app == "running"
    }
}

impl Call {
    /// Makes a call.
    pub fn new(command: Command, given: Given, client: Rc<Client>) -> Call {
        Call { command, given, client, node: OnceCell::new() }
    }

    /// Returns an argument; an empty text if there are fewer.
    pub fn argument(&self, at: usize) -> &str {
        self.given.arguments.get(at).map_or("", String::as_str)
    }

    /// Returns the virtual host.
    pub fn vhost(&self) -> &str {
        self.given.value("vhost").unwrap_or("/")
    }

    /// Whether only the result may be printed, because it is asked for or because a program reads it.
    pub fn is_terse(&self) -> bool {
        self.is_quiet() || self.given.value("formatter").and_then(Format::named).is_some_and(Format::is_for_programs)
    }

    /// Whether only the result is asked for.
    pub fn is_quiet(&self) -> bool {
        self.given.is("quiet") || self.given.is("silent")
    }

    /// Returns the form in which the output is printed.
    pub fn format(&self) -> Format {
        let named = self.given.value("formatter").and_then(Format::named);
        named.or_else(|| Format::named(self.command.format())).unwrap_or(Format::Plain)
    }

    /// Asks the broker who it is. The name must be the one that is given, if one is given.
    ///
    /// # Errors
    /// The broker cannot be reached, or is another node.
    pub fn node(&self) -> Result<&Node> {
        if let Some(node) = self.node.get() {
            return Ok(node);
        }
        let node = self.ask_node()?;
        match self.given.value("node").filter(|name| !means(name, &node.name)) {
            Some(_) => Err(Failure::unreachable(format!("the node that answers is {}", node.name))),
            None => Ok(self.node.get_or_init(|| node)),
        }
    }

    /// Asks the broker again.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub fn ask_node(&self) -> Result<Node> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if self.client.is_local() {
            let found = self.get(&["ctl", "node"])?;
            let pid = found["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
            return Ok(Node { name: text(&found["name"]), app: text(&found["app"]), pid });
        }
        let found = self.get(&["api", "overview"])?;
        Ok(Node { name: text(&found["node"]), app: "running".into(), pid: None })
    }

    /// Returns the name of the node that is meant, also if it cannot be reached.
    pub fn node_name(&self) -> String {
        if self.given.value("node").is_none() {
            _ = self.node();
        }
        self.known_name()
    }

    /// Returns the name of the node that is meant, without asking the broker.
    pub fn known_name(&self) -> String {
        let given = self.given.value("node").map(str::to_owned);
        let known = || self.node.get().map(|node| node.name.clone());
        let set = || std::env::var("RABBITMQ_NODENAME").ok();
        given.or_else(known).or_else(set).unwrap_or_else(|| format!("rabbit@{}", process::host_name()))
    }

    /// Fails unless the broker serves clients.
    ///
    /// # Errors
    /// The broker cannot be reached, or is stopped.
    pub fn require_running(&self) -> Result<()> {
        match self.node()?.app.as_str() {
            "running" => Ok(()),
            "booting" => Err(Failure::refused(format!("node {} is still booting", self.node_name()))),
            _ => Err(Failure::app_stopped()),
        }
    }

    /// Returns the body of an object.
    ///
    /// # Errors
    /// The broker cannot be reached, or refuses.
    pub fn get(&self, segments: &[&str]) -> Result<Value> {
        self.send(Method::GET, segments, None)?.accepted()
    }

    /// Returns a list, and an empty one if the place does not exist.
    ///
    /// # Errors
    /// The broker cannot be reached, or refuses.
    pub fn list(&self, segments: &[&str]) -> Result<Vec<Value>> {
        match self.send(Method::GET, segments, None)? {
            Answer { status: 404, .. } => Ok(Vec::new()),
            answer => Ok(match answer.accepted()? {
                Value::Array(items) => items,
                _ => Vec::new(),
            }),
        }
    }

    /// Returns a list of the virtual host, which must exist.
    ///
    /// # Errors
    /// The virtual host does not exist, or the broker cannot be reached, or refuses.
    pub fn list_in_vhost(&self, segments: &[&str]) -> Result<Vec<Value>> {
        match self.send(Method::GET, segments, None)? {
            Answer { status: 404, .. } => Err(Failure::no_vhost(self.vhost())),
            answer => Ok(answer.accepted()?.as_array().cloned().unwrap_or_default()),
        }
    }

    /// Fails unless the virtual host exists.
    ///
    /// # Errors
    /// It does not exist, or the broker cannot be reached.
    pub fn require_vhost(&self) -> Result<()> {
        match self.send(Method::GET, &["api", "vhosts", self.vhost()], None)?.status {
            404 => Err(Failure::no_vhost(self.vhost())),
            _ => Ok(()),
        }
    }

    /// Puts an object.
    ///
    /// # Errors
    /// The broker cannot be reached, or refuses.
    pub fn put(&self, segments: &[&str], body: &Value) -> Result<Value> {
        self.send(Method::PUT, segments, Some(body))?.accepted()
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// The broker cannot be reached, or refuses.
    pub fn delete(&self, segments: &[&str]) -> Result<Value> {
        self.send(Method::DELETE, segments, None)?.accepted()
    }

    /// Sends a request.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub fn send(&self, method: Method, segments: &[&str], body: Option<&Value>) -> Result<Answer> {
        self.client.send(method, &path(segments), body, None)
    }

    /// Prints the banner, if the command has one.
    pub fn print_banner(&self) {
        if let Some(banner) = self.command.banner(&self.given) {
            self.tell(&self.filled(&banner));
        }
    }

    /// Fills the placeholders of a banner.
    fn filled(&self, banner: &str) -> String {
        let mut filled = String::new();
        let mut rest = banner;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            filled.push_str(before);
            filled.push_str(&self.placeholder(name));
            rest = after;
        }
        filled + rest
    }

    fn placeholder(&self, name: &str) -> String {
        let seconds = || self.given.number("timeout").unwrap_or_default();
        match name {
            "node" => self.node_name(),
            "vhost" => self.vhost().to_owned(),
            "tail" => self.given.arguments.get(1..).unwrap_or_default().join(", "),
            "all" => self.given.arguments.join(", "),
            "lines" => self.given.arguments.join("\n"),
            "ms" => seconds().saturating_mul(1000).to_string(),
            _ => match name.parse::<usize>() {
                Ok(at) => self.argument(at.saturating_sub(1)).to_owned(),
                Err(_) => self.given.value(name).unwrap_or_default().to_owned(),
            },
        }
    }

    /// Prints a line about what is done, unless only the result may be printed.
    pub fn tell(&self, line: &str) {
        if !self.is_terse() {
            self.say(line);
        }
    }

    /// Prints a line at once, for commands that report what they do. Returns whether somebody reads it.
    pub fn say(&self, line: &str) -> bool {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
    }

    /// Prints the output.
    pub fn print(&self, output: &Output) {
        let has_headers = !self.given.is("silent") && !self.given.is_not("table-headers");
        let needs_node = self.format().is_for_programs();
        let node = if needs_node { self.node_name() } else { String::new() };
        let style = Style { has_headers, is_terminal: io::stdout().is_terminal(), node: &node };
        // A reader that closes the pipe early has read enough.
        _ = io::stdout().write_all(self.format().print(output, style).as_bytes());
    }
}

/// Whether a name means a node: it is the node's name, or that without the host, or the name that
/// RabbitMQ's nodes usually have.
fn means(given: &str, name: &str) -> bool {
    let (base, host) = name.split_once('@').unwrap_or((name, ""));
    let (given_base, given_host) = given.split_once('@').unwrap_or((given, host));
    let is_here = given_host == host || given_host == "localhost" || given_host.split('.').next() == host.split('.').next();
    is_here && (given_base == base || given_base == "rabbit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_called_by_its_name_or_as_rabbit() {
        for (given, is) in [
            ("ringmq@host", true),
            ("ringmq", true),
            ("rabbit@host", true),
            ("rabbit@host.example.org", true),
            ("rabbit@localhost", true),
            ("nope@host", false),
            ("ringmq@elsewhere", false),
        ] {
            assert_eq!(means(given, "ringmq@host"), is, "{given}");
        }
    }
}
