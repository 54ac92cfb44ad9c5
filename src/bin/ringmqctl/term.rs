//! The values that commands print.
//!
//! Scripts read what RabbitMQ's tool prints of Erlang's terms, and JSON has fewer kinds of values: a
//! table of arguments and a list of pairs are both objects in JSON, yet look different in a table. So
//! the commands turn the API's JSON into terms, and the formatters print terms.

use std::net::IpAddr;

use serde_json::{Map, Value};

/// A value.
#[derive(Clone, PartialEq, Debug)]
pub enum Term {
    /// An unknown value: an empty cell.
    Nothing,
    /// A text.
    Text(String),
    /// A word of Erlang, for example a node's name or `true`.
    Atom(String),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A list.
    List(Vec<Term>),
    /// A tuple.
    Tuple(Vec<Term>),
    /// Arguments of a declaration, whose values have types of AMQP.
    Arguments(Vec<(String, Term)>),
    /// Keys with values, in an order.
    Pairs(Vec<(String, Term)>),
    /// Atoms with values, in an order.
    Properties(Vec<(String, Term)>),
    /// Keys with values.
    Map(Vec<(String, Term)>),
    /// An address of the network.
    Address(IpAddr),
}

/// A row of a table: the columns' names with their values.
pub type Row = Vec<(String, Term)>;

impl Term {
    /// Makes a text.
    pub fn text(text: impl Into<String>) -> Term {
        Term::Text(text.into())
    }

    /// Makes an atom.
    pub fn atom(text: impl Into<String>) -> Term {
        Term::Atom(text.into())
    }

    /// Makes a list of atoms from a list of texts.
    pub fn atoms(value: &Value) -> Term {
        let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        Term::List(texts.map(Term::atom).collect())
    }

    /// Makes arguments of a declaration from an object. Anything else is an empty table.
    pub fn arguments(value: &Value) -> Term {
        Term::Arguments(pairs(value, argument))
    }

    /// Makes pairs from an object, and an empty map from an empty one.
    pub fn pairs(value: &Value) -> Term {
        match value {
            Value::Object(map) if !map.is_empty() => Term::Pairs(pairs(value, |value| Term::from(value))),
            _ => Term::Map(Vec::new()),
        }
    }

    /// Makes properties from an object whose values are words.
    pub fn properties(value: &Value) -> Term {
        Term::Properties(pairs(value, |value| value.as_str().map_or_else(|| Term::from(value), Term::atom)))
    }

    /// Makes an address from its text, or keeps the text if it is none.
    pub fn address(value: &Value) -> Term {
        match value.as_str().map(str::parse) {
            Some(Ok(address)) => Term::Address(address),
            _ => Term::from(value),
        }
    }

    /// Makes a text of JSON from a value.
    pub fn json(value: &Value) -> Term {
        Term::Text(value.to_string())
    }
}

/// Makes the value of an argument: objects in it are tables as well.
fn argument(value: &Value) -> Term {
    match value {
        Value::Object(_) => Term::arguments(value),
        Value::Array(items) => Term::List(items.iter().map(argument).collect()),
        Value::Null => Term::atom("undefined"),
        _ => Term::from(value),
    }
}

fn pairs(value: &Value, make: impl Fn(&Value) -> Term) -> Vec<(String, Term)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), make(value))).collect()
}

impl From<&Value> for Term {
    fn from(value: &Value) -> Term {
        match value {
            Value::Null => Term::Nothing,
            Value::Bool(is) => Term::Atom(is.to_string()),
            Value::Number(number) => number.as_i64().map_or_else(|| Term::Float(number.as_f64().unwrap_or_default()), Term::Integer),
            Value::String(text) => Term::Text(text.clone()),
            Value::Array(items) => Term::List(items.iter().map(Term::from).collect()),
            Value::Object(_) => Term::Map(pairs(value, |value| Term::from(value))),
        }
    }
}

impl From<&Term> for Value {
    fn from(term: &Term) -> Value {
        match term {
            Term::Nothing => "".into(),
            Term::Text(text) => text.as_str().into(),
            Term::Atom(text) if text == "true" || text == "false" => (text == "true").into(),
            Term::Atom(text) => text.as_str().into(),
            Term::Integer(number) => (*number).into(),
            Term::Float(number) => (*number).into(),
            Term::List(items) | Term::Tuple(items) => items.iter().map(Value::from).collect(),
            Term::Arguments(table) => table.iter().map(typed).collect(),
            Term::Pairs(pairs) | Term::Properties(pairs) | Term::Map(pairs) => Value::Object(object(pairs)),
            Term::Address(IpAddr::V4(address)) => address.octets().into_iter().map(Value::from).collect(),
            Term::Address(IpAddr::V6(address)) => address.segments().into_iter().map(Value::from).collect(),
        }
    }
}

fn object(pairs: &[(String, Term)]) -> Map<String, Value> {
    pairs.iter().map(|(key, value)| (key.clone(), value.into())).collect()
}

/// Makes the JSON of one argument: its key, its type and its value.
fn typed((key, value): &(String, Term)) -> Value {
    let value_of = |item: &Term| Value::from(vec![Value::from(kind(item)), Value::from(item)]);
    let value_json = match value {
        Term::List(items) => items.iter().map(value_of).collect(),
        _ => Value::from(value),
    };
    vec![Value::from(key.as_str()), Value::from(kind(value)), value_json].into()
}

/// Returns the name that Erlang's client has for the type of an argument.
pub fn kind(value: &Term) -> &'static str {
    match value {
        Term::Atom(text) if text == "undefined" => "void",
        Term::Atom(_) => "bool",
        Term::Integer(_) => "long",
        Term::Float(_) => "double",
        Term::List(_) | Term::Tuple(_) => "array",
        Term::Arguments(_) | Term::Pairs(_) | Term::Properties(_) | Term::Map(_) => "table",
        Term::Nothing | Term::Text(_) | Term::Address(_) => "longstr",
    }
}
