//! Usage and help.

use crate::catalog::{self, Command};
use crate::tool::Tool;

/// Returns the usage of a tool and the list of its commands.
pub fn of_tool(tool: Tool) -> String {
    let name = tool.name;
    let commands = list(tool);
    format!(
        "\nUsage\n\n{name} [--node <node>] [--timeout <timeout>] [--longnames] [--quiet] <command> [<command options>]\n\n\
         Available commands:\n{commands}\nUse '{name} help <command>' to learn more about a specific command"
    )
}

/// Returns the list of a tool's commands, by groups.
pub fn list(tool: Tool) -> String {
    let commands: Vec<Command> = catalog::all(tool).collect();
    let width = commands.iter().map(|command| command.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for group in GROUPS {
        let mut members: Vec<&Command> = commands.iter().filter(|command| command.group() == *group).collect();
        members.sort_by_key(|command| command.name);
        members.dedup_by_key(|command| command.name);
        if !members.is_empty() {
            text += &format!("\n{group}:\n\n");
            text.extend(members.iter().map(|command| format!("   {:width$}  {}\n", command.name, command.summary())));
        }
    }
    text
}

/// Returns the usage of a command.
pub fn usage(tool: Tool, command: &Command) -> String {
    let lines: Vec<&str> = command.usage().collect();
    format!("\nUsage\n\n{} [--node <node>] [--longnames] [--quiet] {}", tool.name, lines.join("\n"))
}

/// Returns the help about a command.
pub fn of_command(tool: Tool, command: &Command) -> String {
    let mut parts = vec![usage(tool, command)];
    if !command.summary().is_empty() {
        parts.push(format!("{}.\n", command.summary()));
    }
    parts.extend(command.details().map(|details| format!("Arguments and Options\n\n{details}\n")));
    parts.push(GENERAL.to_owned());
    parts.join("\n\n") + "\n"
}

/// The groups, in the order of the help.
const GROUPS: &[&str] = &[
    "Help",
    "Nodes",
    "Cluster",
    "Replication",
    "Users",
    "Access Control",
    "Monitoring, observability and health checks",
    "Parameters",
    "Policies",
    "Virtual hosts",
    "Queues",
    "Upgrade",
    "Configuration and Environment",
    "Feature flags",
    "Operations",
    "Definitions",
    "Plugin Management",
    "Federation plugin",
    "MQTT plugin",
    "Management plugin",
    "Shovel plugin",
    "STOMP plugin",
    "Stream plugin",
    "Web MQTT plugin",
    "AMQP 1.0 plugin",
    "Other",
    "Deprecated",
];

const GENERAL: &str = "General Options

The following options are accepted by most or all commands.

short            | long          | description
-----------------|---------------|--------------------------------
-?               | --help        | displays command help
-n <node>        | --node <node> | connect to node <node>
-l               | --longnames   | use long host names
-t               | --timeout <n> | for commands that support it, operation timeout in seconds
-q               | --quiet       | suppress informational messages
-s               | --silent      | suppress informational messages
                                 | and table header row
-p               | --vhost       | for commands that are scoped to a virtual host,
                 |               | virtual host to use
                 | --formatter   | alternative result formatter to use
                                 | if supported: json, pretty_table, table, csv, erlang
                                   not all commands support all (or any) alternative formatters.
                 | --data-dir    | data directory of the broker, whose socket is used
                 | --url <url>   | use a broker's HTTP API, http://user:password@host:port,
                                   instead of the socket";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_is_listed() {
        for command in catalog::all(Tool::called("ringmqctl")) {
            assert!(GROUPS.contains(&command.group()), "{}: {}", command.name, command.group());
        }
    }

    #[test]
    fn help_has_the_usage_the_summary_and_the_arguments() {
        let tool = Tool::called("rabbitmqctl");
        let command = Command::find(tool, "delete_user").expect("a command");
        let help = of_command(tool, &command);
        let expected = "\nUsage\n\nrabbitmqctl [--node <node>] [--longnames] [--quiet] delete_user <username>\n\nRemoves a user";
        assert!(help.starts_with(expected), "{help}");
        assert!(
            help.contains("\n\n\nArguments and Options\n\n<username>\n\tName of the user to delete.\n\n\nGeneral Options\n\n"),
            "{help}"
        );
        let all = of_tool(tool);
        assert!(all.contains("\n   delete_user    "), "{all}");
    }
}
