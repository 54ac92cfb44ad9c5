//! The command line: raw arguments → a checked [`Config`], or a task.
//!
//! There are three steps. Clap splits the line and turns each value into its type, so that a wrong
//! value is refused where it stands. The settings of configuration files and of the environment are
//! added as flags, each unless the line has that flag itself. Then [`check`] looks at the relations
//! between values. Every error becomes one sentence that says what to do.

use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use super::check::check;
use super::conf::Setting;
use super::flags::{CommandLine, Task};
use super::settings::{self, Given, Warnings};
use super::{Config, Surroundings};

/// The result of reading the command line.
#[derive(Debug)]
pub enum Asked {
    /// Run the broker.
    Run(Invocation),
    /// Perform this task instead.
    Perform(Task),
    /// Print this and end (`--help`, `--version`).
    Print(String),
}

/// A command line that runs the broker, before the settings of configuration files are added.
#[derive(Debug)]
pub struct Invocation {
    arguments: Vec<OsString>,
    matches: ArgMatches,
}

/// Reads the arguments; the first is the program's name.
///
/// # Errors
/// One sentence for the user: which argument is wrong and what to give instead.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let matches = match CommandLine::command().try_get_matches_from(&arguments) {
        Ok(matches) => matches,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Ok(Asked::Print(error.to_string()));
        }
        Err(error) => return Err(one_sentence(&error)),
    };
    let line = CommandLine::from_arg_matches(&matches).map_err(|error| one_sentence(&error))?;
    Ok(line.task.map_or(Asked::Run(Invocation { arguments, matches }), Asked::Perform))
}

impl Invocation {
    /// The configuration files and directories that it names.
    pub fn config_paths(&self) -> Vec<PathBuf> {
        self.matches.get_many("config").into_iter().flatten().cloned().collect()
    }

    /// Makes the whole configuration, with these settings for flags that are not given; `available`
    /// are the CPUs that this process may use.
    ///
    /// # Errors
    /// One sentence: what is wrong, and where.
    pub fn configure(&self, settings: &[Setting], around: Surroundings<'_>) -> Result<(Config, Warnings), String> {
        let (given, defaults, warnings) = settings::flags(settings)?;
        given.iter().try_for_each(check_alone)?;
        let missing = given.iter().filter(|given| !self.has(given.flag)).map(|given| OsString::from(&given.argument));
        let (program, flags) = self.arguments.split_at(1.min(self.arguments.len()));
        let line = program.iter().cloned().chain(missing).chain(flags.iter().cloned());
        let line = <CommandLine as clap::Parser>::try_parse_from(line).map_err(|error| one_sentence(&error))?;
        Ok((Config { defaults, ..check(line.flags, around)? }, warnings))
    }

    fn has(&self, flag: &str) -> bool {
        self.matches.value_source(&flag.replace('-', "_")) == Some(ValueSource::CommandLine)
    }
}

/// Checks a setting by itself, so that a wrong value is reported with its place, also if the
/// command line overrides it.
fn check_alone(given: &Given) -> Result<(), String> {
    let alone = CommandLine::command().try_get_matches_from(["ringmq", &given.argument]);
    let why = |error: &clap::Error| error.source().map_or_else(|| one_sentence(error), ToString::to_string);
    alone.map(drop).map_err(|error| format!("{}: {}", given.place, why(&error)))
}

/// The first line of clap's explanation: it names the argument and what is wrong.
fn one_sentence(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let sentence = first.strip_prefix("error: ").unwrap_or(first);
    match error.kind() {
        ErrorKind::ValueValidation => sentence.to_string(),
        _ => format!("{sentence} (ringmq --help explains every argument)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::flags::Definitions;
    use crate::config::watermark::Watermark;
    use crate::config::{Congestion, conf};

    const AROUND: Surroundings<'_> = Surroundings { cpus: &[0, 1, 2, 3], host: "localhost", node_name: None };

    #[test]
    fn a_node_has_the_name_of_the_flag_or_of_the_environment_and_a_host() {
        let named = |line: &str, variable| {
            let words = ["ringmq"].into_iter().chain(line.split_whitespace()).map(OsString::from);
            let Ok(Asked::Run(invocation)) = parse(words) else { return Err("no such flag".to_owned()) };
            let around = Surroundings { host: "h", node_name: variable, ..AROUND };
            invocation.configure(&[], around).map(|(config, _)| config.node_name)
        };
        assert_eq!(named("", None), Ok("rabbit@h".into()));
        assert_eq!(named("", Some("one")), Ok("one@h".into()));
        assert_eq!(named("--node-name two@there", Some("one")), Ok("two@there".into()));
        for wrong in ["", "a@", "@b", "a@b@c", "a b"] {
            assert_eq!(
                named("", Some(wrong)),
                Err("RABBITMQ_NODENAME: a node is named NAME or NAME@HOST, of letters, digits, '-', '_' and '.'".into())
            );
        }
        assert!(named("--node-name a@", None).is_err());
    }

    fn run(line: &str) -> Result<Config, String> {
        run_with(line, "").map(|(config, _)| config)
    }

    /// With a file `f` of settings.
    fn run_with(line: &str, settings: &str) -> Result<(Config, Warnings), String> {
        let words = ["ringmq"].into_iter().chain(line.split_whitespace()).map(OsString::from);
        match parse(words)? {
            Asked::Run(invocation) => invocation.configure(&conf::settings(settings)?, AROUND),
            Asked::Perform(task) => Err(format!("{task:?}")),
            Asked::Print(text) => Err(text),
        }
    }

    fn refusal(line: &str) -> String {
        let sentence = run(line).expect_err("a refusal");
        assert_eq!(sentence.lines().count(), 1, "{sentence}");
        sentence
    }

    #[test]
    fn without_arguments_the_defaults_stand() {
        let expected = Config { shards: 4, cpus: vec![0, 1, 2, 3], ..Config::default() };
        assert_eq!(run("").expect("defaults"), expected);
    }

    #[test]
    fn cpus_and_shards_follow_each_other() {
        let chosen = |line| run(line).map(|config| (config.shards, config.cpus));
        assert_eq!(chosen("--cpus 1,3"), Ok((2, vec![1, 3])));
        assert_eq!(chosen("--cpus 1 --shards 2"), Ok((2, vec![1])));
        assert_eq!(chosen("--no-pin --shards 3"), Ok((3, vec![])));
        assert_eq!(refusal("--cpus 0-2 --shards 2"), "--cpus names 3 CPUs for 2 shards: name at most 2");
        assert_eq!(refusal("--cpus 7"), "--cpus names CPU 7, which this process may not use: choose among 0,1,2,3");
    }

    #[test]
    fn a_wrong_value_is_one_sentence_that_says_what_to_do() {
        let cases = [
            ("--shards 0", "from 1 to"),
            ("--listen localhost", "such as 127.0.0.1:5672"),
            ("--frame-max 100", "0 (no limit) or a size from 4KiB to 16MiB"),
            ("--recv-buffers 100", "a power of two from 16 to 32768"),
            ("--max-message-size 1g", "from 1 to 512MiB"),
            ("--log loud", "off, error, warn"),
            ("--heartbeat", "--heartbeat"),
            ("--max-channels 0", "from 1 to 4294967295"),
            ("--consumer-timeout soon", "from 0 to"),
            ("--memory-high-watermark 1.5", "from 0 to 1, such as 0.6, or a size"),
            ("--disk-free-limit much", "such as 50MB"),
            ("--metrics-listen 15692", "such as 127.0.0.1:15692 or [::1]:15692, or none"),
            ("--metrics-path metrics", "begins with a slash"),
            ("--handshake-timeout 10", "from 1000 to 3600000"),
            ("--tcp-congestion=", "such as cubic or bbr"),
            ("--definitions-cert a", "belong together"),
            ("--no-such-thing", "ringmq --help"),
            ("--no-pin --cpus 0", "cannot be used with"),
            ("--ring-entries 64 --recv-buffers 1024", "fewer buffers or more entries"),
            ("--recv-buffers 32768 --ring-entries 4096 --recv-buffer-size 1MiB", "at most"),
            ("--listen 127.0.0.1:1 --listen 127.0.0.1:1", "twice"),
            ("--listen [::]:1 --listen 127.0.0.1:1", "same port"),
        ];
        for (line, part) in cases {
            let sentence = refusal(line);
            assert!(sentence.contains(part), "{line}: {sentence}");
        }
    }

    #[test]
    fn tcp_is_set_by_name() {
        let chosen = |line| run(line).map(|config| (config.tcp_nodelay, config.tcp_congestion));
        assert_eq!(chosen(""), Ok((true, Congestion::Usual)));
        assert_eq!(chosen("--no-tcp-nodelay --tcp-congestion system"), Ok((false, Congestion::System)));
        assert_eq!(chosen("--tcp-congestion bbr"), Ok((true, Congestion::Named("bbr".into()))));
    }

    #[test]
    fn metrics_are_served_on_loopback_unless_told_otherwise() {
        let chosen = |line| run(line).map(|config| config.metrics.listen.map(|listen| listen.to_string()));
        assert_eq!(chosen(""), Ok(Some("127.0.0.1:15692".into())));
        assert_eq!(chosen("--metrics-listen [::]:1"), Ok(Some("[::]:1".into())));
        assert_eq!(chosen("--metrics-listen none"), Ok(None));
    }

    #[test]
    fn different_ports_and_families_stand_side_by_side() {
        assert!(run("--listen 127.0.0.1:1 --listen [::1]:1 --listen 0.0.0.0:2 --listen [::1]:2").is_ok());
        assert!(run("--listen 127.0.0.1:0 --listen 127.0.0.1:0").is_ok());
    }

    #[test]
    fn help_explains_every_flag() {
        let help = run("--help").expect_err("the help text");
        for flag in ["--listen", "--shards", "--spin", "--max-connections", "[default: 16MiB]"] {
            assert!(help.contains(flag), "{flag} in {help}");
        }
        assert!(run("--version").expect_err("the version").starts_with("ringmq "));
    }

    #[test]
    fn settings_are_flags_in_other_words() {
        let settings = "listeners.tcp.default = 5673\nheartbeat = 7\nmax_connections = 9\nchannel_max_per_node = 8\nframe_max = 64KB\ndisk_free_limit.relative = 1.5\n\
                        tcp_listen_options.nodelay = false\ntcp_listen_options.backlog = 128\nhandshake_timeout = 20000\nlog.console.level = warning";
        let (config, warnings) = run_with("", settings).expect("a configuration");
        let expected = Config {
            listen: vec!["[::]:5673".parse().expect("an address")],
            shards: 4,
            cpus: vec![0, 1, 2, 3],
            heartbeat: 7,
            max_connections: 9,
            max_channels: Some(8),
            frame_max: 64 << 10,
            disk_free_limit: Watermark::Fraction(1.5),
            tcp_nodelay: false,
            backlog: 128,
            handshake_ms: 20_000,
            log: log::LevelFilter::Warn,
            ..Config::default()
        };
        assert_eq!((config, warnings), (expected, vec![]));
    }

    #[test]
    fn a_flag_wins_over_a_setting_and_a_setting_over_the_default() {
        let settings = "heartbeat = 7\nchannel_max = 8\nlisteners.tcp.1 = 127.0.0.1:1\nlisteners.tcp.2 = ::1:2\nproduct.name = A B";
        let chosen = |line| run_with(line, settings).map(|(config, _)| (config.heartbeat, config.channel_max, config.listen.len()));
        assert_eq!(chosen(""), Ok((7, 8, 2)));
        assert_eq!(chosen("--heartbeat 9 --listen 127.0.0.1:3"), Ok((9, 8, 1)));
        assert_eq!(chosen("--heartbeat 60 --channel-max=2047"), Ok((60, 2047, 2)));
        assert_eq!(run_with("", settings).expect("a configuration").0.product, "A B");
    }

    #[test]
    fn defaults_of_virtual_hosts_are_settings_alone() {
        let (config, warnings) = run_with("", "default_limits.vhosts.a.max_queues = 3\ndefault_users.u.foo = 1").expect("a configuration");
        assert_eq!(config.defaults.limits["a"].max_queues, Some(3));
        assert_eq!(warnings, ["f:2: default_users.u.foo means nothing to this broker and is left out"]);
        let refusal = run_with("", "default_limits.vhosts.a.max_queues = x").expect_err("no number");
        assert_eq!(refusal, "f:1: default_limits.vhosts.a.max_queues: give a number from 1 to 4294967295");
        assert!(run_with("", "default_users.u.password = encrypted:x").expect_err("encrypted").contains("is encrypted"));
    }

    #[test]
    fn a_wrong_setting_is_told_by_its_place() {
        for (setting, sentence) in [
            ("\nheartbeat = 70000", "f:2: heartbeat: give a number from 0 to 65535"),
            ("frame_max = 17B", "f:1: frame_max: give bytes, or a size in KB, MB or GB, powers of 1024"),
            ("frame_max = 17", "f:1: frame_max: give 0 (no limit) or a size from 4KiB to 16MiB, such as 128KiB"),
            ("handshake_timeout = infinity", "f:1: handshake_timeout: give a number from 1000 to 3600000"),
        ] {
            assert_eq!(run_with("", setting).expect_err("a refusal"), sentence);
        }
        assert!(run_with("--heartbeat 1", "heartbeat = x").is_err(), "also one that a flag outdoes");
    }

    #[test]
    fn tasks_stand_instead_of_flags() {
        let task = |line: &str| parse(["ringmq"].into_iter().chain(line.split_whitespace()).map(OsString::from));
        let export = task("definitions export --data-dir d out.json");
        let expected = Task::Definitions(Definitions::Export { data_dir: "d".into(), file: Some("out.json".into()) });
        assert!(matches!(export, Ok(Asked::Perform(task)) if task == expected));
        for wrong in ["definitions", "definitions import", "definitions burn", "--shards 1 definitions export", "sing"] {
            let sentence = task(wrong).expect_err(wrong);
            assert_eq!(sentence.lines().count(), 1, "{sentence}");
        }
    }
}
