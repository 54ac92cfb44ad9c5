//! Options and arguments, which may stand in any order.
//!
//! The rules are those of RabbitMQ's tool, that is, of Elixir's `OptionParser`: `--name VALUE` or
//! `--name=VALUE`, `--no-name` for a flag, letters after one dash, and `--` before arguments that
//! begin with a dash. Two passes are needed: the first one knows the options of every command and
//! finds the command, the second one knows the command's own options as well.

/// An option that may be given.
#[derive(Clone, PartialEq, Debug)]
pub struct Switch {
    /// The name, without `--`.
    pub name: String,
    /// The kind of value.
    pub kind: Kind,
    /// The value if the option is not given.
    pub default: Option<String>,
}

/// The kind of an option's value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// True if the option is given.
    Flag,
    /// A text.
    Text,
    /// A whole number.
    Number,
    /// Any number.
    Fraction,
}

/// The options that may be given, and their letters.
#[derive(Clone, Default, Debug)]
pub struct Switches {
    switches: Vec<Switch>,
    letters: Vec<(char, String)>,
}

/// The options and arguments that were given.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Given {
    /// The arguments, in order, the command's name among them.
    pub arguments: Vec<String>,
    options: Vec<(String, String)>,
    /// The options that mean nothing or have a wrong value, with the value.
    pub invalid: Vec<(String, Option<String>)>,
}

impl Switches {
    /// The options of every command.
    pub fn common() -> Switches {
        Switches::read(COMMON)
    }

    /// Reads a list of `NAME`, `NAME:KIND`, `NAME:KIND=DEFAULT` and `-LETTER=NAME`.
    pub fn read(text: &str) -> Switches {
        let mut switches = Switches::default();
        for word in text.split_whitespace() {
            match word.strip_prefix('-').and_then(|letter| letter.split_once('=')) {
                Some((letter, name)) => switches.letters.extend(letter.chars().map(|letter| (letter, name.to_owned()))),
                None => switches.switches.push(Switch::read(word)),
            }
        }
        switches
    }

    /// Adds the options of a command, which come before those of all commands.
    #[must_use]
    pub fn and(mut self, common: &Switches) -> Switches {
        self.switches.extend(common.switches.iter().cloned());
        self.letters.extend(common.letters.iter().cloned());
        self
    }

    /// Returns the names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.switches.iter().map(|switch| switch.name.as_str())
    }

    /// Parses a command line.
    pub fn parse(&self, words: &[String]) -> Given {
        let mut given = Given::default();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            if word == "--" {
                given.arguments.extend(rest.by_ref().cloned());
            } else if let Some(option) = word.strip_prefix("--") {
                self.take(option, word, &mut rest, &mut given);
            } else if is_letters(word) {
                self.take_letters(&word[1..], &mut rest, &mut given);
            } else {
                given.arguments.push(word.clone());
            }
        }
        for switch in &self.switches {
            if let Some(value) = switch.default.as_ref().filter(|_| given.value(&switch.name).is_none()) {
                given.options.push((switch.name.clone(), value.clone()));
            }
        }
        given
    }

    fn take(&self, option: &str, word: &str, rest: &mut std::slice::Iter<'_, String>, given: &mut Given) {
        let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value.to_owned())));
        if let Some(switch) = self.named(name) {
            return given.add(switch, &format!("--{name}"), value, rest);
        }
        match name.strip_prefix("no-").and_then(|name| self.named(name)).filter(|switch| switch.kind == Kind::Flag && value.is_none()) {
            Some(switch) => given.options.push((switch.name.clone(), "false".into())),
            None => given.invalid.push((word.split('=').next().unwrap_or(word).to_owned(), None)),
        }
    }

    fn take_letters(&self, letters: &str, rest: &mut std::slice::Iter<'_, String>, given: &mut Given) {
        let (letters, value) = letters.split_once('=').map_or((letters, None), |(letters, value)| (letters, Some(value.to_owned())));
        let last = letters.chars().count().saturating_sub(1);
        for (at, letter) in letters.chars().enumerate() {
            let name = self.letters.iter().find(|(known, _)| *known == letter).map(|(_, name)| name);
            match name.and_then(|name| self.named(name)) {
                Some(switch) if at == last => given.add(switch, &format!("-{letter}"), value.clone(), rest),
                Some(switch) if switch.kind == Kind::Flag => given.options.push((switch.name.clone(), "true".into())),
                _ => given.invalid.push((format!("-{letters}"), None)),
            }
        }
    }

    fn named(&self, name: &str) -> Option<&Switch> {
        self.switches.iter().find(|switch| switch.name == name)
    }
}

/// Whether a word is letters of options, and neither a dash alone nor a negative number.
fn is_letters(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|letters| letters.starts_with(|first: char| !first.is_ascii_digit()))
}

impl Switch {
    fn read(word: &str) -> Switch {
        let (word, default) = word.split_once('=').map_or((word, None), |(word, default)| (word, Some(default.to_owned())));
        let (name, kind) = word.split_once(':').unwrap_or((word, ""));
        let kind = match kind {
            "" => Kind::Flag,
            "number" => Kind::Number,
            "fraction" => Kind::Fraction,
            _ => Kind::Text,
        };
        Switch { name: name.to_owned(), kind, default }
    }

    fn takes(&self, value: &str) -> bool {
        match self.kind {
            Kind::Flag => value == "true" || value == "false",
            Kind::Text => true,
            Kind::Number => value.parse::<i64>().is_ok(),
            Kind::Fraction => value.parse::<f64>().is_ok(),
        }
    }
}

impl Given {
    fn add(&mut self, switch: &Switch, shown: &str, value: Option<String>, rest: &mut std::slice::Iter<'_, String>) {
        let is_value = |next: &&String| *next == "-" || !is_letters(next);
        let value = match (value, switch.kind) {
            (None, Kind::Flag) => Some("true".to_owned()),
            (None, _) => rest.as_slice().first().filter(is_value).cloned().inspect(|_| _ = rest.next()),
            (value, _) => value,
        };
        match value {
            Some(value) if switch.takes(&value) => self.options.push((switch.name.clone(), value)),
            value => self.invalid.push((shown.to_owned(), value)),
        }
    }

    /// Returns the value of an option; of several, the last one.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a flag is given.
    pub fn is(&self, name: &str) -> bool {
        self.value(name) == Some("true")
    }

    /// Whether a flag is denied, as in `--no-NAME`.
    pub fn is_not(&self, name: &str) -> bool {
        self.value(name) == Some("false")
    }

    /// Returns the number that an option has.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.value(name)?.parse().ok()
    }
}

/// The options that every command takes, some of them for the sake of old scripts only.
const COMMON: &str = "node:text quiet silent dry-run vhost:text timeout:number longnames formatter:text printer:text file:text \
    script-name:text rabbitmq-home:text data-dir:text mnesia-dir:text plugins-dir:text enabled-plugins-file:text aliases-file:text \
    erlang-cookie:text help print-stacktrace table-headers pad-to-header url:text \
    -p=vhost -n=node -q=quiet -s=silent -l=longnames -t=timeout -?=help";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Given {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Switches::read("priority:number=0 if-empty -e=if-empty").and(&Switches::common()).parse(&words)
    }

    #[test]
    fn options_stand_anywhere() {
        for line in ["-p v cmd a --quiet", "--vhost=v -q cmd a", "cmd --vhost v a -q", "-q -p=v cmd a --priority 0"] {
            let given = parse(line);
            assert_eq!(given.arguments, ["cmd", "a"], "{line}");
            assert!(given.is("quiet") && given.value("vhost") == Some("v") && given.invalid.is_empty(), "{given:?}");
            assert_eq!(given.number("priority"), Some(0));
        }
    }

    #[test]
    fn flags_can_be_denied_and_letters_joined() {
        let given = parse("cmd -qs --no-table-headers -e");
        assert!(given.is("quiet") && given.is("silent") && given.is("if-empty") && given.is_not("table-headers"), "{given:?}");
    }

    #[test]
    fn dashes_end_options_and_negative_numbers_are_arguments() {
        assert_eq!(parse("cmd -1 - -- --quiet").arguments, ["cmd", "-1", "-", "--quiet"]);
        assert_eq!(parse("cmd --priority -1").number("priority"), Some(-1));
    }

    #[test]
    fn wrong_options_are_told() {
        for (line, name, value) in [
            ("--nonsense ping", "--nonsense", None),
            ("cmd --nonsense=1", "--nonsense", None),
            ("cmd --priority x", "--priority", Some("x")),
            ("cmd --vhost", "--vhost", None),
            ("cmd --quiet=x", "--quiet", Some("x")),
            ("cmd -x", "-x", None),
            ("cmd --no-vhost", "--no-vhost", None),
        ] {
            assert_eq!(parse(line).invalid, [(name.to_owned(), value.map(str::to_owned))], "{line}");
        }
    }
}
