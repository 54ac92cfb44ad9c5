//! The commands as their users know them: names, usage, options, banners and help.
//!
//! `commands.txt` has a section per command, with lines `KEY = VALUE` and, below an empty line, the
//! help about arguments and options. The words are RabbitMQ's, because scripts and people's fingers
//! know them. The functions that perform commands are listed in `actions`.
//!
//! A command runs for a few milliseconds, so only its own section is read.

use crate::options::{Given, Switches};
use crate::tool::Tool;

/// A command.
#[derive(Clone, Debug)]
pub struct Command {
    /// The name.
    pub name: &'static str,
    section: &'static str,
}

impl Command {
    /// Finds a tool's command by its name.
    pub fn find(tool: Tool, name: &str) -> Option<Command> {
        all(tool).find(|command| command.name == name)
    }

    /// Returns the value of the first line with a key.
    fn line(&self, key: &str) -> Option<&'static str> {
        self.lines(key).next()
    }

    fn lines<'a>(&self, key: &'a str) -> impl Iterator<Item = &'static str> + use<'a> {
        self.head().lines().filter_map(move |line| line.strip_prefix(key)?.strip_prefix(" = "))
    }

    fn head(&self) -> &'static str {
        self.section.split("\n\n").next().unwrap_or_default()
    }

    /// Returns the name of the form that the output usually has.
    pub fn format(&self) -> &'static str {
        self.line("format").unwrap_or("string")
    }

    /// Returns the title of the group in which help lists the command.
    pub fn group(&self) -> &'static str {
        self.line("group").unwrap_or("Other")
    }

    /// Returns the summary.
    pub fn summary(&self) -> &'static str {
        self.line("summary").unwrap_or_default()
    }

    /// Returns the lines of usage, which begin with the command's name.
    pub fn usage(&self) -> impl Iterator<Item = &'static str> {
        self.lines("usage")
    }

    /// Returns the help about arguments and options.
    pub fn details(&self) -> Option<&'static str> {
        self.section.split_once("\n\n").map(|(_, details)| details.trim_end()).filter(|details| !details.is_empty())
    }

    /// Returns the options that only this command has.
    pub fn switches(&self) -> Switches {
        Switches::read(self.line("switches").unwrap_or_default())
    }

    /// Returns the fewest and the most arguments.
    pub fn arity(&self) -> (usize, usize) {
        let text = self.line("arguments").unwrap_or("0");
        let (least, most) = text.split_once("..").unwrap_or((text, text));
        (least.parse().unwrap_or_default(), most.parse().unwrap_or(usize::MAX))
    }

    /// Returns the banner whose conditions hold, with its placeholders.
    pub fn banner(&self, given: &Given) -> Option<String> {
        let banners = self.head().lines().filter_map(|line| line.strip_prefix("banner")?.split_once(" = "));
        let mut lines = Vec::new();
        let mut chosen = None;
        for (conditions, text) in banners {
            if chosen.is_none_or(|chosen| chosen == conditions) && holds(conditions, given) {
                chosen = Some(conditions);
                lines.push(text);
            }
        }
        chosen.map(|_| lines.join("\n"))
    }
}

/// Whether all conditions of a banner hold, for example `[--global]`, `[2]` (there are two arguments)
/// or `[all]` (an argument has this value).
fn holds(conditions: &str, given: &Given) -> bool {
    conditions.trim_matches(['[', ']']).split_whitespace().all(|condition| match (condition.strip_prefix("--"), condition.parse()) {
        (Some(option), _) => given.value(option).is_some_and(|value| value != "false"),
        (_, Ok(count)) => given.arguments.len() >= count,
        _ => given.arguments.iter().any(|argument| argument == condition),
    })
}

/// Returns all commands of a tool.
pub fn all(tool: Tool) -> impl Iterator<Item = Command> {
    let sections = COMMANDS.split("\n\n[").map(|section| section.strip_prefix('[').unwrap_or(section));
    sections.filter_map(|section| section.split_once("]\n")).map(|(name, section)| Command { name, section }).filter(move |command| {
        let scopes = command.line("scopes").unwrap_or_default();
        tool.scope.is_none_or(|scope| scopes.split(' ').any(|known| known == scope))
    })
}

const COMMANDS: &str = include_str!("commands.txt");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions;
    use crate::format::Format;

    const ALL: &str = "ringmqctl";

    #[test]
    fn every_command_has_an_action_and_every_action_a_command() {
        let names: Vec<&str> = all(Tool::called(ALL)).map(|command| command.name).collect();
        assert!(names.len() > 200, "{}", names.len());
        let lost: Vec<&&str> = names.iter().filter(|name| actions::find(name).is_none()).collect();
        assert!(lost.is_empty(), "without action: {lost:?}");
        let lost: Vec<&str> = actions::names().filter(|name| !names.contains(name)).collect();
        assert!(lost.is_empty(), "without command: {lost:?}");
    }

    #[test]
    fn every_command_is_described() {
        for command in all(Tool::called(ALL)) {
            assert!(command.usage().all(|usage| usage.starts_with(command.name)) && command.usage().count() > 0, "{}", command.name);
            assert!(Format::named(command.format()).is_some(), "{}", command.name);
            let (least, most) = command.arity();
            assert!(least <= most, "{}", command.name);
            for line in command.head().lines() {
                let key = line.split_once(" = ").expect("a key and a value").0;
                assert!(KEYS.contains(&key) || key.starts_with("banner["), "{}: {key}", command.name);
            }
        }
    }

    const KEYS: &[&str] = &["scopes", "group", "arguments", "switches", "format", "summary", "usage", "banner"];

    #[test]
    fn tools_have_their_own_commands() {
        let has = |tool: &str, name: &str| Command::find(Tool::called(tool), name).is_some();
        assert!(has("rabbitmqctl", "list_queues") && has("rabbitmq-diagnostics", "list_queues"));
        assert!(!has("rabbitmqctl", "quorum_status") && has("rabbitmq-queues", "quorum_status"));
        assert!(has(ALL, "quorum_status") && !has(ALL, "nonsense"));
    }

    #[test]
    fn banners_depend_on_what_is_given() {
        let banner = |name: &str, line: &str| {
            let command = Command::find(Tool::called(ALL), name).expect("a command");
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            command.banner(&command.switches().and(&Switches::common()).parse(&words))
        };
        assert_eq!(banner("add_user", "u"), Some("Adding user \"{1}\" ...".into()));
        assert_eq!(banner("list_vhost_limits", "--global"), Some("Listing limits for all vhosts ...".into()));
        assert_eq!(banner("list_vhost_limits", ""), Some("Listing limits for vhost \"{vhost}\" ...".into()));
        assert_eq!(banner("enable_feature_flag", "all"), Some("Enabling all feature flags ...".into()));
        assert!(banner("list_queues", "").is_some_and(|banner| banner.lines().count() == 2));
        assert_eq!(banner("await_startup", ""), None);
    }
}
