//! RabbitMQ's configuration format (`rabbitmq.conf`): from text to settings in their order, and the
//! files to be read between them.
//!
//! ```text
//! # a comment
//! listeners.tcp.local = 127.0.0.1:5672   # another
//! default_pass        = 'a # b'          quotes keep a sign that would begin a comment
//! loopback_users.first\.last = true      \. is a dot inside a name
//! default_pass        = $(<secret)       the value is the content of a file
//! include conf.d/*.conf                  the settings of other files are inserted here
//! ```
//!
//! A line has a setting, an include, a comment or nothing; anything else is refused, as in
//! RabbitMQ. Paths are relative to the file that has them.

/// A line that is neither empty nor a comment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Line {
    /// A setting.
    Setting(Setting),
    /// An include.
    Include(Include),
}

/// Files whose settings are inserted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Include {
    /// Their path; `*` in the last name stands for any letters.
    pub pattern: String,
    /// The file and line of the include.
    pub place: String,
}

/// A setting that is not interpreted yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// The names of the key, which are separated by dots.
    pub key: Vec<String>,
    /// The value, without quotes.
    pub value: String,
    /// Its place: a file and line, or a variable of the environment.
    pub place: String,
}

impl Setting {
    /// The file whose content is the value.
    pub fn value_file(&self) -> Option<&str> {
        self.value.strip_prefix("$(<")?.strip_suffix(')').map(str::trim)
    }
}

/// Reads the text of a file; `name` is the file's, for messages.
///
/// # Errors
/// One sentence: which line is neither a setting nor an include.
pub fn parse(text: &str, name: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let place = format!("{name}:{number}");
        let line = line.trim_matches(BLANK);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        lines.push(match (setting(line), included(line)) {
            (Some((key, value)), _) => Line::Setting(Setting { key, value, place }),
            (None, Some(pattern)) => Line::Include(Include { pattern: pattern.to_owned(), place }),
            (None, None) => return Err(format!("{place} is not a setting: write KEY = VALUE, or include PATH")),
        });
    }
    Ok(lines)
}

/// The path behind `include`: RabbitMQ takes letters, digits and some signs.
fn included(line: &str) -> Option<&str> {
    let path = line.strip_prefix("include")?.strip_prefix(BLANK)?;
    let path = path.split('#').next().unwrap_or_default().trim_matches(BLANK);
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*/".contains(&byte);
    (!path.is_empty() && path.bytes().all(legal)).then_some(path)
}

fn setting(line: &str) -> Option<(Vec<String>, String)> {
    let (key, value) = line.split_once('=')?;
    let key = key.trim_end_matches(BLANK);
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    // `\.` is kept apart until the names are split at the other dots.
    let names: Vec<String> = key.replace("\\.", "\0").split('.').map(|name| name.replace('\0', ".")).collect();
    let is_key = names.iter().all(|name| !name.is_empty() && name.bytes().all(|byte| legal(byte) || byte == b'.'));
    is_key.then_some((names, unquoted(value.trim_start_matches(BLANK))?))
}

/// A quoted value may have anything but a quote. Any other value ends where a comment begins, and
/// is not empty.
fn unquoted(value: &str) -> Option<String> {
    if let Some((quoted, rest)) = value.strip_prefix('\'').and_then(|rest| rest.split_once('\'')) {
        let rest = rest.trim_start_matches(BLANK);
        return (rest.is_empty() || rest.starts_with('#')).then(|| quoted.to_owned());
    }
    let value = value.split('#').next().unwrap_or_default().trim_end_matches(BLANK);
    (!value.is_empty()).then(|| value.to_owned())
}

const BLANK: [char; 2] = [' ', '\t'];

/// The settings of a file `f` that includes no others.
#[cfg(test)]
pub fn settings(text: &str) -> Result<Vec<Setting>, String> {
    let only = |line| match line {
        Line::Setting(setting) => setting,
        Line::Include(include) => panic!("{include:?}"),
    };
    parse(text, "f").map(|lines| lines.into_iter().map(only).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys with `.` and values with `=` between them.
    fn read(text: &str) -> Result<Vec<String>, String> {
        let show = |setting: Setting| format!("{}={}", setting.key.join("/"), setting.value);
        settings(text).map(|settings| settings.into_iter().map(show).collect())
    }

    #[test]
    fn settings_are_read_as_rabbitmq_reads_them() {
        for (text, expected) in [
            ("a.b = c # d\n", "a/b=c"),
            ("a = b#c", "a=b"),
            ("a = 'x # y' # z\n", "a=x # y"),
            ("a=b", "a=b"),
            ("a\\.b.c = 1\r\n", "a.b/c=1"),
            ("a = b c d  \n", "a=b c d"),
            ("a = 'x\n", "a='x"),
            ("a = \"x\"\n", "a=\"x\""),
            ("a-b_c.D9 = 1\n", "a-b_c/D9=1"),
            ("a = x'y'\n", "a=x'y'"),
            ("\ta\t=\tb\t\n", "a=b"),
            ("a = ''\n", "a="),
            ("a = b = c", "a=b = c"),
            ("a = ä", "a=ä"),
        ] {
            assert_eq!(read(text), Ok(vec![expected.to_owned()]), "{text}");
        }
        assert_eq!(read("## x\n\n  \t\na = 1\n# a = 3\na = 2"), Ok(vec!["a=1".into(), "a=2".into()]));
        assert_eq!(read(""), Ok(vec![]));
    }

    #[test]
    fn what_is_no_setting_is_refused_by_its_line() {
        for line in ["a . b = 1", "a =", "a", "a = #b", "a:b = 1", "a = 'x' y", "= b", "a. = b", ".a = b", "a..b = 1", "ä = 1"] {
            let refusal = read(&format!("x = 1\n{line}\n"));
            assert_eq!(refusal, Err("f:2 is not a setting: write KEY = VALUE, or include PATH".into()), "{line}");
        }
    }

    #[test]
    fn includes_are_read_as_rabbitmq_reads_them() {
        for (line, path) in [
            ("include conf.d/*.conf", "conf.d/*.conf"),
            ("  include\t/a/b-c_d.conf # why", "/a/b-c_d.conf"),
            ("include a#b", "a"),
            ("include a ", "a"),
        ] {
            let include = Include { pattern: path.into(), place: "f:1".into() };
            assert_eq!(parse(line, "f"), Ok(vec![Line::Include(include)]), "{line}");
        }
        for line in ["include", "include ", "include #a", "include a b", "include a?.conf", "includes a", "include 'a'"] {
            assert!(parse(line, "f").is_err(), "{line}");
        }
        assert_eq!(read("include = 1"), Ok(vec!["include=1".into()]));
    }

    #[test]
    fn a_value_may_be_a_file() {
        let file = |text: &str| settings(text).expect("a setting")[0].value_file().map(str::to_owned);
        assert_eq!(file("a = $(<secret)"), Some("secret".into()));
        assert_eq!(file("a = $(< /run/a b ) # why"), Some("/run/a b".into()));
        assert_eq!((file("a = $(secret)"), file("a = x$(<secret)"), file("a = '$(<secret'")), (None, None, None));
    }

    #[test]
    fn a_setting_knows_its_line() {
        let lines = parse("\n# c\na = 1\n", "/etc/rabbitmq.conf").expect("a setting");
        assert!(matches!(&lines[0], Line::Setting(setting) if setting.place == "/etc/rabbitmq.conf:3"));
    }
}
