//! Policies that come and go while everything else happens.

use super::Chaos;
use crate::support::ctl::Ctl;

impl Chaos<'_> {
    /// Sets or clears a policy. Queues get more or fewer limits in the middle of everything;
    /// clients see no difference.
    pub(super) fn set_or_clear_policy(&mut self) {
        let line = self.dice.pick(&POLICIES);
        self.history.note(line);
        self.operate(line);
    }

    fn operate(&mut self, line: &str) {
        let shard = self.dice.index(self.cluster.shard_count());
        let commands = Ctl::parse(line).and_then(|ctl| ctl.commands()).expect("a command");
        commands.into_iter().for_each(|command| _ = self.cluster.demand(shard, command));
    }

    /// Clears all policies, and checks that every command since the last crash was carried out.
    pub(super) fn clear_policies(&mut self) {
        ["clear_policy p", "clear_policy r", "clear_operator_policy o"].into_iter().for_each(|line| self.operate(line));
        self.cluster.settle();
        for shard in 0..self.cluster.shard_count() {
            while let Some((_, decision)) = self.cluster.next_decision(shard) {
                assert_eq!(decision, Ok(()), "a policy is refused");
            }
        }
    }
}

/// Policies that make no queue drop or refuse a message that a client would miss.
const POLICIES: [&str; 6] = [
    r#"set_policy p ^[qp] '{"max-length":1000000,"dead-letter-exchange":"nowhere"}'"#,
    r#"set_policy p . '{"max-length-bytes":1000000000,"overflow":"reject-publish"}' priority=1"#,
    r#"set_policy r ^(?!a) '{"max-length":1000000}'"#,
    r#"set_operator_policy o ^. '{"max-length":2000000}'"#,
    "clear_policy p",
    "clear_operator_policy o",
];
