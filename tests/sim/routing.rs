//! Which queues a message reaches, the slow and plain way.

use std::collections::BTreeSet;

use crate::op::{Binding, Name, Publish, kind};

/// The queues of a message under these bindings; `exists` knows the queues that the default exchange leads to, `alternate` where an exchange sends
/// what it cannot route.
pub fn route(
    bindings: &[Binding],
    exists: impl Fn(&Name) -> bool,
    alternate: impl Fn(Name) -> Option<Name>,
    message: &Publish,
) -> BTreeSet<Name> {
    if message.exchange.is_empty() {
        return Some(message.key).filter(exists).into_iter().collect();
    }
    let (mut queues, mut exchanges) = (BTreeSet::new(), vec![message.exchange]);
    let mut next = 0;
    while let Some(&exchange) = exchanges.get(next) {
        next += 1;
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
    queues
}

fn matches(binding: &Binding, message: &Publish) -> bool {
    match kind(binding.source) {
        "direct" => binding.key == message.key,
        "fanout" | "x-consistent-hash" => true, // this one chooses one of them
        "topic" => {
            let (pattern, key): (Vec<&str>, Vec<&str>) = (binding.key.split('.').collect(), message.key.split('.').collect());
            topic_matches(&pattern, &key)
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
