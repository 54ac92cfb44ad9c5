//! Answers as a trace has them: one line of text each, and equal answers have equal text.

use crate::names::Names;
use crate::player::Answer;
use crate::support::client::{Content, Event};
use crate::support::script::{garbage, ranges};
use crate::support::text;
use crate::support::value::{Table, Value};
use crate::support::wire::Method;

/// Formats the text after `<`.
pub fn print(answer: &Answer, names: &mut Names) -> String {
    let said = match answer {
        Answer::Confirms(good, tags) => {
            let tags: Vec<u64> = tags.iter().copied().collect();
            format!("{} {}", if *good { "confirmed" } else { "refused" }, ranges(&tags))
        }
        Answer::Denied(why) => format!("denied {}", text::quote(why.as_bytes())),
        Answer::Event(Event::Method(method, content)) => print_method(method, content.as_ref()),
        Answer::Event(Event::ProtocolHeader([a, b, c, d])) => format!("header {a} {b} {c} {d}"),
        Answer::Event(Event::Heartbeat) => HEARTBEAT.into(),
        Answer::Event(Event::Garbage(bytes)) => garbage(bytes),
        Answer::Event(Event::Closed) => "closed".into(),
    };
    names.take_out(&said)
}

fn print_method(method: &Method, content: Option<&Content>) -> String {
    let mut said = method.name.clone();
    for (name, value) in &method.fields {
        let value = if name == "server_properties" { text::value(&server_properties(value)) } else { text::field(value) };
        said.push_str(&format!(" {name}={value}"));
    }
    if let Some(content) = content {
        said.push_str(&print_content(content));
    }
    said
}

fn print_content(content: &Content) -> String {
    let properties: Vec<String> = content.properties.iter().map(|(name, value)| format!("{name}={}", text::field(value))).collect();
    let props = if properties.is_empty() { String::new() } else { format!(" props={{{}}}", properties.join(" ")) };
    let parts: Vec<String> = content.parts.iter().map(usize::to_string).collect();
    // Usually there is one body frame, or none for an empty body.
    let parts =
        if content.parts.len() == usize::from(!content.body.is_empty()) { String::new() } else { format!(" parts={}", parts.join("+")) };
    format!("{props} body={}{parts}", text::quote(&content.body))
}

/// The server properties that every broker must have, in order of names. The identity and the
/// platform of the broker are written as `…`, because they differ on purpose; a broker's own
/// entries are left out.
fn server_properties(sent: &Value) -> Value {
    let Value::Table(sent) = sent else { return sent.clone() };
    let mut shown: Table = sent.iter().filter(|(name, _)| STRICT.contains(&name.as_slice())).cloned().collect();
    let own = sent.iter().filter(|(name, _)| OWN.contains(&name.as_slice()));
    shown.extend(own.map(|(name, _)| (name.clone(), Value::text("…"))));
    for (_, value) in &mut shown {
        if let Value::Table(capabilities) = value {
            capabilities.sort_by(|a, b| a.0.cmp(&b.0));
        }
    }
    shown.sort_by(|a, b| a.0.cmp(&b.0));
    Value::Table(shown)
}

/// A heartbeat in the notation of traces.
pub const HEARTBEAT: &str = "heartbeat";

const STRICT: [&[u8]; 2] = [b"capabilities", b"version"];
const OWN: [&[u8]; 5] = [b"product", b"platform", b"cluster_name", b"copyright", b"information"];
