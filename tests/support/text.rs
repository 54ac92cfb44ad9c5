//! Values in the notation of traces.
//!
//! ```text
//! 5   true   word   "a string\n\x00"   "x"*20000             fields of methods
//! I:5   l:-1   true   d:1.5   D:2/314   x:"bytes"   void    in tables, where numbers need a type
//! {a=I:1 b="text" c=[I:1 {}]}                               tables and arrays
//! ```
//!
//! Inside tables a word is always quoted (a longstr), except `true`, `false` and `void`.

use super::value::{Table, Value, width};

/// Reads a line from left to right.
pub struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    /// Makes a scanner at the start of `line`.
    pub fn new(line: &'a str) -> Scanner<'a> {
        Scanner { rest: line.trim() }
    }

    /// Whether only space is left.
    pub fn at_end(&mut self) -> bool {
        self.rest = self.rest.trim_start();
        self.rest.is_empty()
    }

    /// Returns the rest of the line.
    pub fn rest(&self) -> &'a str {
        self.rest.trim()
    }

    /// Takes `text` if it comes next.
    pub fn eat(&mut self, text: &str) -> bool {
        self.rest = self.rest.trim_start();
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Takes the next characters up to a space or a sign of the notation.
    pub fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| c.is_whitespace() || "=\"{}[]".contains(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// Takes `name=` before a value.
    pub fn name(&mut self) -> Result<String, String> {
        self.rest = self.rest.trim_start();
        let name = if self.rest.starts_with('"') { lossless(self.quoted()?)? } else { self.word().to_owned() };
        if self.eat("=") { Ok(name) } else { Err(format!("`=` is missing after {name:?}")) }
    }

    /// Takes a method's field: a number, a boolean, a string, quoted or not, or a table.
    pub fn field(&mut self) -> Result<Value, String> {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with(['"', '{', '[']) {
            return self.value();
        }
        match self.word() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            word => Ok(word.parse::<i128>().map_or_else(|_| Value::text(word), Value::number)),
        }
    }

    /// Takes a value inside a table.
    pub fn value(&mut self) -> Result<Value, String> {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with('"') {
            return self.quoted().map(Value::Text);
        }
        if self.eat("{") {
            return self.table_rest().map(Value::Table);
        }
        if self.eat("[") {
            return self.array_rest();
        }
        match self.word() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "void" => Ok(Value::Void),
            "x:" => self.quoted().map(Value::Bytes),
            word => tagged(word).ok_or_else(|| format!("no value: {word:?}")),
        }
    }

    fn table_rest(&mut self) -> Result<Table, String> {
        let mut table = Table::new();
        while !self.eat("}") {
            if self.at_end() {
                return Err("`}` is missing".into());
            }
            self.rest = self.rest.trim_start();
            let name = if self.rest.starts_with('"') { self.quoted()? } else { self.word().as_bytes().to_vec() };
            if !self.eat("=") {
                return Err("`=` is missing in a table".into());
            }
            table.push((name, self.value()?));
        }
        Ok(table)
    }

    fn array_rest(&mut self) -> Result<Value, String> {
        let mut items = Vec::new();
        while !self.eat("]") {
            if self.at_end() {
                return Err("`]` is missing".into());
            }
            items.push(self.value()?);
        }
        Ok(Value::Array(items))
    }

    /// Takes a string in quotes, repeated if `*n` follows.
    pub fn quoted(&mut self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let body = self.rest.strip_prefix('"').ok_or("a quote is missing")?;
        let mut chars = body.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &body[at + 1..];
                    return self.repeated(bytes);
                }
                '\\' => bytes.push(escaped(&mut chars)?),
                c => bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        Err("a closing quote is missing".into())
    }

    fn repeated(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        let Some(rest) = self.rest.strip_prefix('*') else { return Ok(bytes) };
        self.rest = rest;
        let times = self.word();
        times.parse().map(|n| bytes.repeat(n)).map_err(|_| format!("how often is {times:?}?"))
    }
}

/// Formats a string in quotes. Long runs of one byte are written as `"x"*n`.
pub fn quote(bytes: &[u8]) -> String {
    if bytes.len() > RUN_MIN && bytes.iter().all(|byte| *byte == bytes[0]) {
        return format!("{}*{}", quote(&bytes[..1]), bytes.len());
    }
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_escaped(&mut out, c));
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out + "\""
}

/// Formats a method's field as a trace has it.
pub fn field(value: &Value) -> String {
    match value {
        Value::Text(text) => word_or_quote(text),
        Value::Number(Value::PLAIN, n) => n.to_string(),
        other => self::value(other),
    }
}

/// Formats a value inside a table.
pub fn value(value: &Value) -> String {
    match value {
        Value::Bool(bit) => bit.to_string(),
        Value::Number(tag, n) => format!("{tag}:{n}"),
        Value::Text(text) => quote(text),
        Value::Bytes(bytes) => format!("x:{}", quote(bytes)),
        Value::Float(bits) => format!("f:{:?}", f32::from_bits(*bits)),
        Value::Double(bits) => format!("d:{:?}", f64::from_bits(*bits)),
        Value::Decimal(scale, n) => format!("D:{scale}/{n}"),
        Value::Array(items) => format!("[{}]", items.iter().map(self::value).collect::<Vec<_>>().join(" ")),
        Value::Table(table) => format!("{{{}}}", table.iter().map(entry).collect::<Vec<_>>().join(" ")),
        Value::Void => "void".into(),
    }
}

fn entry((name, value): &(Vec<u8>, Value)) -> String {
    let plain = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(byte));
    let name = if plain { String::from_utf8_lossy(name).into_owned() } else { quote(name) };
    format!("{name}={}", self::value(value))
}

fn word_or_quote(text: &[u8]) -> String {
    let plain = text.len() <= RUN_MIN && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-.$/@".contains(byte));
    match std::str::from_utf8(text) {
        Ok(word) if plain && !word.is_empty() && word.parse::<i128>().is_err() && !["true", "false"].contains(&word) => word.to_owned(),
        _ => quote(text),
    }
}

fn push_escaped(out: &mut String, c: char) {
    match c {
        '"' | '\\' => out.extend(['\\', c]),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if c.is_control() => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| out.push_str(&format!("\\x{byte:02x}"))),
        c => out.push(c),
    }
}

fn escaped(chars: &mut std::str::CharIndices<'_>) -> Result<u8, String> {
    let mut next = || chars.next().map(|(_, c)| c).ok_or("the string ends in an escape".to_owned());
    match next()? {
        'n' => Ok(b'\n'),
        'r' => Ok(b'\r'),
        't' => Ok(b'\t'),
        '0' => Ok(0),
        'x' => {
            let hex: String = [next()?, next()?].into_iter().collect();
            u8::from_str_radix(&hex, 16).map_err(|_| format!("no hex byte: {hex}"))
        }
        c @ ('"' | '\\') => Ok(c as u8),
        c => Err(format!("no escape: \\{c}")),
    }
}

fn tagged(word: &str) -> Option<Value> {
    let (tag, rest) = word.split_once(':')?;
    match tag {
        "f" => rest.parse::<f32>().ok().map(|f| Value::Float(f.to_bits())),
        "d" => rest.parse::<f64>().ok().map(|d| Value::Double(d.to_bits())),
        "D" => {
            let (scale, n) = rest.split_once('/')?;
            Some(Value::Decimal(scale.parse().ok()?, n.parse().ok()?))
        }
        _ => {
            let tag = tag.chars().next().filter(|_| tag.len() == 1)?;
            width(tag)?;
            rest.parse().ok().map(|n| Value::Number(tag, n))
        }
    }
}

fn lossless(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|_| "a name is not UTF-8".into())
}

/// Shorter runs are written out.
const RUN_MIN: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["{a=I:1 b=\"x\\n\\x00\\xff\" \"\"=void c=[l:-1 {} f:1.5] d=d:0.1 e=D:2/314 x=x:\"\\x01\"}", "[true B:255]", "\"y\"*50"]
        {
            let value = Scanner::new(text).value().expect(text);
            assert_eq!(self::value(&value), text);
        }
        for text in ["5", "\"5\"", "true", "a.word", "\"two words\"", "\"\""] {
            assert_eq!(field(&Scanner::new(text).field().expect(text)), text);
        }
    }
}
