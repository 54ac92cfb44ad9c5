//! Routing, the slow and simple way: the queues that a message reaches, and the exchanges where it
//! waits.

use std::collections::BTreeSet;

use crate::op::{Binding, Name, Publish, delays, kind};

/// Returns the queues of a message under these bindings, and the exchanges that delay it. `exists`
/// knows the queues to which the default exchange leads, `alternate` the exchange that gets the
/// messages which another one cannot route.
pub fn route(
    bindings: &[Binding],
    exists: impl Fn(&Name) -> bool,
    alternate: impl Fn(Name) -> Option<Name>,
    message: &Publish,
) -> (BTreeSet<Name>, Vec<Name>) {
    let mut waits = Vec::new();
    if message.exchange.is_empty() {
        return (message.keys().filter(exists).collect(), waits);
    }
    let (mut queues, mut exchanges) = (BTreeSet::new(), vec![message.exchange]);
    let mut next = 0;
    while let Some(&exchange) = exchanges.get(next) {
        next += 1;
        if message.delay.is_some() && delays(exchange) {
            waits.push(exchange);
            continue;
        }
        let found = || bindings.iter().filter(|binding| binding.source == exchange && matches(binding, message));
        let instead = alternate(exchange).filter(|alternate| found().next().is_none() && !exchanges.contains(alternate));
        exchanges.extend(instead);
        for binding in found() {
            if binding.to_queue {
                queues.insert(binding.destination);
            } else if !exchanges.contains(&binding.destination) {
                exchanges.push(binding.destination);
            }
        }
    }
    (queues, waits)
}

fn matches(binding: &Binding, message: &Publish) -> bool {
    match kind(binding.source) {
        "direct" => message.keys().any(|key| binding.key == key),
        "fanout" | "x-consistent-hash" => true, // this exchange chooses one of them
        "topic" => {
            let words = |key: Name| key.split('.').collect::<Vec<&str>>();
            message.keys().any(|key| topic_matches(&words(binding.key), &words(key)))
        }
        _ => {
            let Some((all, headers)) = &binding.headers else { return true };
            let has = |header| message.headers.contains(header);
            if *all { headers.iter().all(has) } else { headers.iter().any(has) }
        }
    }
}

fn topic_matches(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern, key) {
        ([], []) => true,
        (["#", rest @ ..], _) => (0..=key.len()).any(|skip| topic_matches(rest, &key[skip..])),
        (["*", rest @ ..], [_, tail @ ..]) => topic_matches(rest, tail),
        ([word, rest @ ..], [first, tail @ ..]) => word == first && topic_matches(rest, tail),
        _ => false,
    }
}
