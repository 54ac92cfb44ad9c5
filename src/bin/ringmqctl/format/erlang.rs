//! Terms in Erlang's notation, with line breaks where a line would be longer than 80 columns.

use crate::term::{Row, Term, kind};

/// Prints a list of rows.
pub fn rows(rows: &[Row]) -> String {
    Node::List(rows.iter().map(|row| Node::List(row.iter().map(property).collect())).collect()).print(0)
}

fn property((name, value): &(String, Term)) -> Node {
    Node::Tuple(vec![Node::Leaf(atom(name)), node(value)])
}

/// Prints a term.
pub fn print(term: &Term) -> String {
    node(term).print(0)
}

/// A term as it is laid out.
enum Node {
    Leaf(String),
    List(Vec<Node>),
    Tuple(Vec<Node>),
    Map(Vec<(String, Node)>),
}

fn node(term: &Term) -> Node {
    match term {
        Term::Nothing => Node::Leaf("<<>>".into()),
        Term::Text(text) => Node::Leaf(binary(text)),
        Term::Atom(text) => Node::Leaf(atom(text)),
        Term::Integer(number) => Node::Leaf(number.to_string()),
        Term::Float(number) => Node::Leaf(float(*number)),
        Term::List(items) => Node::List(items.iter().map(node).collect()),
        Term::Tuple(items) => Node::Tuple(items.iter().map(node).collect()),
        Term::Arguments(table) => Node::List(table.iter().map(typed).collect()),
        Term::Pairs(pairs) => Node::List(pairs.iter().map(pair).collect()),
        Term::Properties(pairs) => Node::List(pairs.iter().map(property).collect()),
        Term::Map(pairs) => Node::Map(pairs.iter().map(|(key, value)| (atom(key), node(value))).collect()),
        Term::Address(address) => Node::Leaf(format!("{{{}}}", address.to_string().replace(['.', ':'], ","))),
    }
}

fn typed((key, value): &(String, Term)) -> Node {
    Node::Tuple(vec![Node::Leaf(binary(key)), Node::Leaf(kind(value).into()), node(value)])
}

fn pair((key, value): &(String, Term)) -> Node {
    Node::Tuple(vec![Node::Leaf(binary(key)), node(value)])
}

impl Node {
    /// Prints the node from a column on: on one line if it fits, else one element a line.
    fn print(&self, column: usize) -> String {
        let flat = self.flat();
        if column + flat.chars().count() <= WIDTH {
            return flat;
        }
        match self {
            Node::Leaf(text) => text.clone(),
            Node::List(items) => stacked("[", items.iter().map(|item| item.print(column + 1)), "]", column + 1),
            Node::Tuple(items) => tuple(items, column),
            Node::Map(pairs) => {
                let member = |(key, value): &(String, Node)| format!("{key} => {}", value.print(column + key.len() + 6));
                stacked("#{", pairs.iter().map(member), "}", column + 2)
            }
        }
    }

    fn flat(&self) -> String {
        let join = |items: &[Node]| items.iter().map(Node::flat).collect::<Vec<_>>().join(",");
        match self {
            Node::Leaf(text) => text.clone(),
            Node::List(items) => format!("[{}]", join(items)),
            Node::Tuple(items) => format!("{{{}}}", join(items)),
            Node::Map(pairs) => {
                let members: Vec<String> = pairs.iter().map(|(key, value)| format!("{key} => {}", value.flat())).collect();
                format!("#{{{}}}", members.join(","))
            }
        }
    }
}

/// Prints a tuple whose first element stays on the first line.
fn tuple(items: &[Node], column: usize) -> String {
    let [Node::Leaf(tag), rest @ ..] = items else {
        return stacked("{", items.iter().map(|item| item.print(column + 1)), "}", column + 1);
    };
    let inner = column + tag.chars().count() + 2;
    stacked(&format!("{{{tag},"), rest.iter().map(|item| item.print(inner)), "}", inner)
}

fn stacked(open: &str, items: impl Iterator<Item = String>, close: &str, indent: usize) -> String {
    let separator = format!(",\n{}", " ".repeat(indent));
    format!("{open}{}{close}", items.collect::<Vec<_>>().join(&separator))
}

/// Prints an atom, in quotes where Erlang needs them.
pub fn atom(text: &str) -> String {
    let is_plain = text.starts_with(|letter: char| letter.is_ascii_lowercase())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '@');
    if is_plain { text.to_owned() } else { format!("'{}'", escaped(text, '\'')) }
}

/// Prints a binary.
pub fn binary(text: &str) -> String {
    match text {
        "" => "<<>>".into(),
        _ if text.is_ascii() => format!("<<\"{}\">>", escaped(text, '"')),
        _ => format!("<<\"{}\"/utf8>>", escaped(text, '"')),
    }
}

/// Prints a list of characters: a string, or an empty list.
pub fn string(text: &str) -> String {
    if text.is_empty() { "[]".into() } else { format!("\"{}\"", escaped(text, '"')) }
}

fn escaped(text: &str, quote: char) -> String {
    let mut written = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' => written.push_str("\\n"),
            '\t' => written.push_str("\\t"),
            '\r' => written.push_str("\\r"),
            '\\' => written.push_str("\\\\"),
            _ if letter == quote => written.extend(['\\', letter]),
            _ => written.push(letter),
        }
    }
    written
}

/// Prints a number with a point, as Erlang does.
fn float(number: f64) -> String {
    format!("{number:?}")
}

const WIDTH: usize = 80;
