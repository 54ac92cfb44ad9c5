//! Tests of the forms, against what RabbitMQ's tool prints.

use super::table::cell;
use super::*;
use serde_json::json;

fn rows() -> Vec<Row> {
    let row = |name: &str, arguments: Value, tags: Value| {
        vec![
            ("name".to_owned(), Term::text(name)),
            ("arguments".to_owned(), Term::arguments(&arguments)),
            ("tags".to_owned(), Term::atoms(&tags)),
            ("policy".to_owned(), Term::Nothing),
        ]
    };
    vec![row("a \"b\"", json!({ "x-priority": 10, "x-queue-type": "quorum" }), json!(["a", "b"])), row("", json!({}), json!([]))]
}

const STYLE: Style<'static> = Style { has_headers: true, is_terminal: true, node: "n@h" };

#[test]
fn tables_have_tabs() {
    let expected = "name\targuments\ttags\tpolicy\na \"b\"\t[{\"x-priority\",10},{\"x-queue-type\",\"quorum\"}]\t[a, b]\t\n\t[]\t[]\t\n";
    assert_eq!(Format::Table.print(&Output::Rows(rows()), STYLE), expected);
    let silent = Style { has_headers: false, ..STYLE };
    assert_eq!(Format::Table.print(&Output::Rows(rows()), silent), expected.split_once('\n').expect("a header").1);
    assert_eq!(Format::Table.print(&Output::Rows(Vec::new()), STYLE), "");
    assert_eq!(Format::Table.print(&Output::List(Vec::new()), STYLE), "\n");
}

#[test]
fn csv_is_quoted() {
    let expected = "\"name\",\"arguments\",\"tags\",\"policy\"\n\"a \"\"b\"\"\",\"[{\"\"x-priority\"\",10},{\"\"x-queue-type\"\",\"\"quorum\"\"}]\",\"[a, b]\",\"\"\n\"\",\"[]\",\"[]\",\"\"\n";
    assert_eq!(Format::Csv.print(&Output::Rows(rows()), STYLE), expected);
}

#[test]
fn json_has_one_row_a_line() {
    let first =
        r#"{"name":"a \"b\"","arguments":[["x-priority","long",10],["x-queue-type","longstr","quorum"]],"tags":["a","b"],"policy":""}"#;
    let second = r#"{"name":"","arguments":[],"tags":[],"policy":""}"#;
    assert_eq!(Format::Json.print(&Output::Rows(rows()), STYLE), format!("[\n{first}\n,{second}\n]\n"));
    assert_eq!(Format::JsonStream.print(&Output::Rows(rows()), STYLE), format!("{first}\n\n{second}\n\n"));
    assert_eq!(Format::Json.print(&Output::Done, STYLE), "{\"node\":\"n@h\",\"result\":\"ok\"}\n");
    assert_eq!(Format::Json.print(&Output::Rows(Vec::new()), STYLE), "[\n]\n");
    assert_eq!(Format::Json.print(&Output::List(Vec::new()), STYLE), "[]\n");
}

#[test]
fn erlang_breaks_long_lines() {
    let expected = r#"[[{name,<<"a \"b\"">>},
  {arguments,[{<<"x-priority">>,long,10},{<<"x-queue-type">>,longstr,<<"quorum">>}]},
  {tags,[a,b]},
  {policy,<<>>}],
 [{name,<<>>},{arguments,[]},{tags,[]},{policy,<<>>}]]
"#;
    let printed = Format::Erlang.print(&Output::Rows(rows()), STYLE);
    assert_eq!(printed.replace(",\n              ", ","), expected);
    assert!(printed.lines().all(|line| line.len() <= 80), "{printed}");
}

#[test]
fn texts_are_binaries_of_erlang() {
    assert_eq!(Format::Erlang.print(&Output::Text("a \"b\"".into()), STYLE), "<<\"a \\\"b\\\"\">>\n");
    assert_eq!(Format::Erlang.print(&Output::Lines(vec!["a".into()]), STYLE), "a\n");
}

#[test]
fn boxes_are_for_terminals() {
    let rows = vec![vec![("name".to_owned(), Term::text("café")), ("n".to_owned(), Term::Integer(12))]];
    let expected = "┌──────┬────┐\n│ name │ n  │\n├──────┼────┤\n│ café │ 12 │\n└──────┴────┘\n";
    assert_eq!(Format::Pretty.print(&Output::Rows(rows.clone()), STYLE), expected);
    assert_eq!(Format::Pretty.print(&Output::Rows(rows), Style { is_terminal: false, ..STYLE }), "name\tn\ncafé\t12\n");
}

#[test]
fn cells_show_addresses_pairs_and_tuples() {
    for (term, expected) in [
        (Term::address(&json!("::1")), "::1"),
        (Term::pairs(&json!({ "overflow": "reject-publish" })), "[{<<\"overflow\">>, reject-publish}]"),
        (Term::pairs(&json!({})), "#{}"),
        (Term::properties(&json!({ "n@h": "running", "N": "down" })), "[{'N', down}, {n@h, running}]"),
        (Term::Tuple(vec![Term::Integer(0), Term::Integer(9), Term::Integer(1)]), "{0,9,1}"),
        (Term::Float(0.5), "0.5"),
        (Term::arguments(&json!({ "t": { "k": "" }, "l": [1, "a"] })), "[{\"l\",[1,\"a\"]},{\"t\",[{\"k\",[]}]}]"),
    ] {
        assert_eq!(cell(&term), expected);
    }
}
