//! The tools that the program is, depending on the name by which it is called.

use std::path::Path;

/// A tool: a name, and the commands that it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tool {
    /// The name of the program.
    pub name: &'static str,
    /// The scope whose commands it has; none: all commands.
    pub scope: Option<&'static str>,
}

impl Tool {
    /// Returns the tool that this process is.
    pub fn current() -> Tool {
        Tool::called(&std::env::args_os().next().unwrap_or_default().to_string_lossy())
    }

    /// Finds the tool by the path by which the program is called, and falls back on the one that has
    /// all commands.
    pub fn called(path: &str) -> Tool {
        let name = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        TOOLS.iter().copied().find(|tool| tool.name == name).unwrap_or(ALL)
    }
}

/// The tool that has the commands of all others.
const ALL: Tool = Tool { name: "ringmqctl", scope: None };

/// RabbitMQ's names.
pub const TOOLS: &[Tool] = &[
    Tool { name: "rabbitmqctl", scope: Some("ctl") },
    Tool { name: "rabbitmq-diagnostics", scope: Some("diagnostics") },
    Tool { name: "rabbitmq-queues", scope: Some("queues") },
    Tool { name: "rabbitmq-plugins", scope: Some("plugins") },
    Tool { name: "rabbitmq-streams", scope: Some("streams") },
    Tool { name: "rabbitmq-upgrade", scope: Some("upgrade") },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_known_by_their_file_names() {
        assert_eq!(Tool::called("/usr/sbin/rabbitmq-queues").scope, Some("queues"));
        assert_eq!(Tool::called("rabbitmqctl").scope, Some("ctl"));
        assert_eq!(Tool::called("target/debug/ringmqctl"), ALL);
        assert_eq!(Tool::called(""), ALL);
    }
}
