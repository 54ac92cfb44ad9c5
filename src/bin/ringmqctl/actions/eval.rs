//! The few expressions of Erlang that scripts evaluate. They are recognized by their text, because
//! there is no Erlang here.

use std::io::{self, Read};

use fancy_regex::{Captures, Regex};
use hyper::Method;

use crate::actions::{Action, users};
use crate::call::Call;
use crate::failure::{DATA, Failure, Result, USAGE};
use crate::format::Output;

/// The actions.
pub const ACTIONS: &[Action] = &[Action::new("eval", eval), Action::anytime("eval_file", refuse), Action::anytime("exec", refuse)];

/// A pattern of expressions, without blanks, and the evaluation.
type Expression = (&'static str, fn(&Call, &Captures<'_, str>) -> Result<Output>);

const EXPRESSIONS: &[Expression] = &[
    (r"^node\(\)\.$", |call, _| said(call.node()?.name.clone())),
    (r"^rabbit_nodes:reached_target_cluster_size\(\)\.$", reached_target_cluster_size),
    (r"^rabbit_alarm:(set)_alarm\(\{\{resource_limit,(memory|disk),node\(\)\},\[\]\}\)\.$", alarm),
    (r"^rabbit_alarm:(clear)_alarm\(\{resource_limit,(memory|disk),node\(\)\}\)\.$", alarm),
    (r#"^rabbit_access_control:check_user_pass_login\(<<"(.*)">>,<<"(.*)">>\)\.$"#, log_in),
    (r"^rabbit_log:(debug|info|warning|error)\(.*\)\.$", |_, _| said("ok".into())),
    (r"^rabbit:(?:is_running|is_booted)\(\)\.$", |_, _| said("true".into())),
];

fn eval(call: &Call) -> Result<Output> {
    let mut given = call.given.arguments.join(" ");
    if given.is_empty() {
        io::stdin().read_to_string(&mut given).map_err(|error| Failure::error(DATA, error.to_string()))?;
    }
    if given.is_empty() {
        return Err(Failure::error(DATA, "Expression to evaluate is not provided via argument or stdin"));
    }
    let expression = without_blanks(&given);
    for (pattern, evaluate) in EXPRESSIONS {
        let pattern = Regex::new(pattern).expect("the patterns are right");
        if let Ok(Some(captures)) = pattern.captures(expression.as_str()) {
            return evaluate(call, &captures);
        }
    }
    refuse(call)
}

/// Returns a value that is a term already.
fn said(term: String) -> Result<Output> {
    Ok(Output::Lines(vec![term]))
}

/// Removes blanks that do not stand in quotes.
fn without_blanks(text: &str) -> String {
    let mut is_quoted = false;
    text.chars()
        .filter(|letter| {
            is_quoted ^= *letter == '"';
            is_quoted || !letter.is_whitespace()
        })
        .collect()
}

fn refuse(_: &Call) -> Result<Output> {
    Err(Failure::error(USAGE, "This broker is not written in Erlang and evaluates only a few expressions that scripts use"))
}

fn text(captures: &Captures<'_, str>, at: usize) -> String {
    captures.get(at).map(|found| found.as_str().to_owned()).unwrap_or_default()
}

fn reached_target_cluster_size(call: &Call, _: &Captures<'_, str>) -> Result<Output> {
    let answer = call.send(Method::GET, &["api", "health", "checks", "reached-target-cluster-size"], None)?;
    said(answer.is_ok().to_string())
}

fn alarm(call: &Call, captures: &Captures<'_, str>) -> Result<Output> {
    let method = if text(captures, 1) == "set" { Method::PUT } else { Method::DELETE };
    call.send(method, &["ctl", "alarms", &text(captures, 2)], None)?.accepted()?;
    said("ok".into())
}

fn log_in(call: &Call, captures: &Captures<'_, str>) -> Result<Output> {
    let name = text(captures, 1);
    said(match users::log_in(call, &name, &text(captures, 2))? {
        Ok(user) => format!("{{ok,{{user,<<\"{name}\">>,{},[{{rabbit_auth_backend_internal,none}}]}}}}", tags(&user["tags"])),
        Err(_) => format!("{{refused,<<\"{name}\">>,\"user '~ts' - invalid credentials\",[<<\"{name}\">>]}}"),
    })
}

fn tags(tags: &serde_json::Value) -> String {
    let tags: Vec<&str> = tags.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str).collect();
    format!("[{}]", tags.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_found_whatever_their_blanks() {
        let found = |text: &str| {
            let text = without_blanks(text);
            EXPRESSIONS.iter().position(|(pattern, _)| Regex::new(pattern).expect("a pattern").is_match(&text).expect("no limit"))
        };
        assert_eq!(found("node()."), Some(0));
        assert_eq!(found("rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})."), Some(2));
        assert_eq!(found("rabbit_alarm:clear_alarm({resource_limit, disk, node()})."), Some(3));
        assert_eq!(found("rabbit_access_control:check_user_pass_login(<<\"a b\">>, <<\"p\">>)."), Some(4));
        assert_eq!(found("1 + 1."), None);
        assert_eq!(without_blanks("<<\"a b\">> , x"), "<<\"a b\">>,x");
    }
}
