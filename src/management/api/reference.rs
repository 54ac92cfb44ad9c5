//! The reference page of the API, made from the table of routes.

use std::fmt::Write;

use super::route::Route;
use super::table::TABLES;
use crate::management::http::Answer;
use crate::management::login::Needs;

/// `GET /api/index.html`
pub fn page() -> Answer {
    let mut rows = String::new();
    for Route { path, actions } in TABLES.iter().flat_map(|table| table.iter()) {
        for action in *actions {
            let (verbs, needs) = (action.verb.names(), needs(action.needs));
            writeln!(rows, "<tr><td>{verbs}</td><td>/api/{path}</td><td>{needs}</td></tr>").expect("a text takes all");
        }
    }
    Answer::raw("text/html; charset=utf-8", format!("{HEAD}{rows}{TAIL}"))
}

fn needs(needs: Needs) -> &'static str {
    match needs {
        Needs::Nothing => "no login",
        Needs::Management => "management",
        Needs::Policymaker => "policymaker",
        Needs::Monitoring => "monitoring",
        Needs::Administrator => "administrator",
    }
}

const HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head><meta charset=\"utf-8\"><title>RingMQ HTTP API</title></head>
<body>
<h1>RingMQ HTTP API</h1>
<p>Bodies are JSON. Every part of a path is percent-encoded: the virtual host / is %2F. Lists take the parameters page, page_size,
name, use_regex, sort, sort_reverse and columns.</p>
<table>
<tr><th>method</th><th>path</th><th>tag</th></tr>
";

const TAIL: &str = "</table>
</body>
</html>
";
