//! Variables for names that the broker makes: `amq.gen-…` becomes `$gen1`, `amq.ctag-…` `$ctag1`,
//! `amq.rabbitmq.reply-to.…` `$reply1`, numbered in order of appearance. The time of a death
//! becomes `$now`.

use crate::support::value::{Table, Value};

/// The names so far, per prefix.
#[derive(Default)]
pub struct Names {
    made: [Vec<String>; 3],
}

const PREFIXES: [(&str, &str); 3] = [("amq.gen-", "$gen"), ("amq.ctag-", "$ctag"), ("amq.rabbitmq.reply-to.", "$reply")];

/// The time in an entry of x-death.
const TIME: &str = " time=T:";
/// The number of decimal digits of today's time in seconds.
const SECONDS_DIGITS: usize = 10;

/// The least length of a name after its prefix: 16 bytes in a form of base64.
const RANDOM_CHARS: usize = 22;

impl Names {
    /// Replaces the names in an answer by variables, with new ones for new names.
    pub fn take_out(&mut self, answer: &str) -> String {
        let mut text = answer.to_owned();
        for (made, (prefix, variable)) in self.made.iter_mut().zip(PREFIXES) {
            while let Some(name) = made_name(&text, prefix) {
                let number = made.iter().position(|known| *known == name).unwrap_or_else(|| {
                    made.push(name.clone());
                    made.len() - 1
                });
                text = text.replace(&name, &format!("{variable}{}", number + 1));
            }
        }
        hide_times(&text)
    }

    /// Replaces the variables in a value to be sent by their names.
    pub fn put_in(&self, value: &Value) -> Value {
        match value {
            Value::Text(text) => Value::Text(self.put_in_text(text)),
            Value::Table(table) => Value::Table(table.iter().map(|(name, value)| (name.clone(), self.put_in(value))).collect::<Table>()),
            Value::Array(items) => Value::Array(items.iter().map(|item| self.put_in(item)).collect()),
            other => other.clone(),
        }
    }

    /// Returns the names of queues that the broker made.
    pub fn queues(&self) -> &[String] {
        &self.made[0]
    }

    fn put_in_text(&self, text: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(text) else { return text.to_vec() };
        let mut text = text.to_owned();
        for (made, (_, variable)) in self.made.iter().zip(PREFIXES) {
            for (at, name) in made.iter().enumerate().rev() {
                text = text.replace(&format!("{variable}{}", at + 1), name);
            }
        }
        text.into_bytes()
    }
}

/// Returns the first name with this prefix, if the broker made it.
fn made_name(text: &str, prefix: &str) -> Option<String> {
    let name = &text[text.find(prefix)?..];
    let is_random = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-+/=.".contains(byte);
    let random = name.bytes().skip(prefix.len()).take_while(|byte| is_random(byte)).count();
    (random >= RANDOM_CHARS).then(|| name[..prefix.len() + random].to_owned())
}

/// Replaces the times of deaths in this century by `$now`.
fn hide_times(text: &str) -> String {
    let mut parts = text.split(TIME);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        out.push_str(TIME);
        out.push_str(if digits == SECONDS_DIGITS { "$now" } else { &part[..digits] });
        out.push_str(&part[digits..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_variable_and_back() {
        let mut names = Names::default();
        let said =
            names.take_out("queue=amq.gen-0123456789abcdefghijkl tag=amq.ctag-0123456789abcdefghij-_ again amq.gen-0123456789abcdefghijkl");
        assert_eq!(said, "queue=$gen1 tag=$ctag1 again $gen1");
        assert_eq!(names.put_in(&Value::text("$gen1")), Value::text("amq.gen-0123456789abcdefghijkl"));
        assert_eq!(names.take_out("amq.gen-short"), "amq.gen-short");
        assert_eq!(names.take_out("reply_to=\"amq.rabbitmq.reply-to.g1h2AA5yZXBseUAxMTM2+/==.a==\""), "reply_to=\"$reply1\"");
        assert_eq!(names.take_out("{count=l:1 time=T:1764000000 a=I:1} time=T:1000"), "{count=l:1 time=T:$now a=I:1} time=T:1000");
    }
}
