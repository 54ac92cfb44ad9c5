//! RabbitMQ's configuration format (`rabbitmq.conf`): text → settings in their order.
//!
//! ```text
//! # a comment
//! listeners.tcp.local = 127.0.0.1:5672   # another
//! default_pass        = 'a # b'          quotes keep what would begin a comment
//! loopback_users.first\.last = true      \. is a dot inside a name
//! ```
//!
//! A line holds a setting, a comment or nothing; anything else is refused, as RabbitMQ does.

/// One setting, not understood yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// The names of the key, which dots separate.
    pub key: Vec<String>,
    /// The value, without quotes.
    pub value: String,
    /// Where it stands: a file and line, or a variable of the environment.
    pub place: String,
}

/// Reads the text of a file; `name` is the file's, for messages.
///
/// # Errors
/// One sentence: which line is none.
pub fn parse(text: &str, name: &str) -> Result<Vec<Setting>, String> {
    let mut settings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let place = format!("{name}:{number}");
        let line = line.trim_matches(BLANK);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match setting(line) {
            Some((key, value)) => settings.push(Setting { key, value, place }),
            None if line.starts_with("include ") => {
                return Err(format!("{place}: files are not included by others: give each with --config"));
            }
            None => return Err(format!("{place} is no setting: write KEY = VALUE")),
        }
    }
    Ok(settings)
}

fn setting(line: &str) -> Option<(Vec<String>, String)> {
    let (key, value) = line.split_once('=')?;
    let key = key.trim_end_matches(BLANK);
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    // `\.` stands for itself until the names are taken apart at the other dots.
    let names: Vec<String> = key.replace("\\.", "\0").split('.').map(|name| name.replace('\0', ".")).collect();
    let is_key = names.iter().all(|name| !name.is_empty() && name.bytes().all(|byte| legal(byte) || byte == b'.'));
    is_key.then_some((names, unquoted(value.trim_start_matches(BLANK))?))
}

/// A quoted value may hold anything but a quote; any other ends where a comment begins, and is not empty.
fn unquoted(value: &str) -> Option<String> {
    if let Some((quoted, rest)) = value.strip_prefix('\'').and_then(|rest| rest.split_once('\'')) {
        let rest = rest.trim_start_matches(BLANK);
        return (rest.is_empty() || rest.starts_with('#')).then(|| quoted.to_owned());
    }
    let value = value.split('#').next().unwrap_or_default().trim_end_matches(BLANK);
    (!value.is_empty()).then(|| value.to_owned())
}

const BLANK: [char; 2] = [' ', '\t'];

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys with `.` and values with `=` between them.
    fn read(text: &str) -> Result<Vec<String>, String> {
        let show = |setting: Setting| format!("{}={}", setting.key.join("/"), setting.value);
        parse(text, "f").map(|settings| settings.into_iter().map(show).collect())
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
            assert_eq!(refusal, Err("f:2 is no setting: write KEY = VALUE".into()), "{line}");
        }
        assert_eq!(read("include conf.d/*.conf"), Err("f:1: files are not included by others: give each with --config".into()));
        assert!(read("include = 1").is_ok());
    }

    #[test]
    fn a_setting_knows_its_line() {
        let settings = parse("\n# c\na = 1\n", "/etc/rabbitmq.conf").expect("a setting");
        assert_eq!(settings[0].place, "/etc/rabbitmq.conf:3");
    }
}
