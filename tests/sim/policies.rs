//! Policies in the model: a few keys, and patterns that are prefixes of names. No policy applies to
//! the queue that keeps its dead letters, because several letters may return to it in any order,
//! and the one that fills it is not determined.

use ringmq::base::limits::{POLICY_BUDGET, TRIM_BUDGET, TRIMS_MAX};
use ringmq::config::Config;

use crate::choice::Dice;
use crate::limits::join;
use crate::op::Name;
use crate::queues::BURYING;
use crate::support::client::{self, Content};
use crate::support::cluster::Cluster;
use crate::support::ctl::Ctl;
use crate::support::value::Value;
use crate::support::wire::{self, Method};

/// The policies of the broker: at most one of each name, and one of the operator's.
#[derive(Default)]
pub struct Policies {
    own: Vec<Policy>,
    /// The prefix of names, and the most messages of such queues.
    operator: Option<(Name, usize)>,
}

#[derive(Clone, Debug)]
struct Policy {
    name: Name,
    begins: Name,
    priority: u64,
    says: Says,
}

#[derive(Clone, Copy, Debug)]
enum Says {
    Length(usize),
    /// Refuses messages beyond this length.
    Refuses(usize),
    Alternate(Name),
}

/// A command of an operator.
#[derive(Clone, Debug)]
pub struct PolicyCommand {
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Set(Policy),
    Clear(Name),
    SetOperator(Name, usize),
    ClearOperator,
}

impl PolicyCommand {
    /// Chooses one at random.
    pub fn random(dice: &mut Dice) -> PolicyCommand {
        let begins = dice.pick(BEGINNINGS);
        let length = 1 + dice.index(3);
        let change = match dice.below(8) {
            0..5 => {
                let says = match dice.below(4) {
                    0..2 => Says::Length(length),
                    2 => Says::Refuses(length),
                    _ => Says::Alternate(dice.other_exchange()),
                };
                Change::Set(Policy { name: dice.pick(NAMES), begins, priority: dice.below(3), says })
            }
            5 => Change::Clear(dice.pick(NAMES)),
            6 => Change::SetOperator(begins, length),
            _ => Change::ClearOperator,
        };
        PolicyCommand { change }
    }

    /// Returns the commands that remove all policies.
    pub fn last() -> impl Iterator<Item = PolicyCommand> {
        NAMES.iter().map(|name| Change::Clear(name)).chain([Change::ClearOperator]).map(|change| PolicyCommand { change })
    }

    /// Returns the command as an operator writes it.
    pub fn ctl(&self) -> Ctl {
        let line = match &self.change {
            Change::Set(Policy { name, begins, priority, says }) => {
                let definition = match says {
                    Says::Length(length) => format!(r#"{{"max-length":{length}}}"#),
                    Says::Refuses(length) => format!(r#"{{"max-length":{length},"overflow":"reject-publish"}}"#),
                    Says::Alternate(exchange) => format!(r#"{{"alternate-exchange":"{exchange}"}}"#),
                };
                format!("set_policy {name} {} '{definition}' priority={priority}", pattern(begins))
            }
            Change::Clear(name) => format!("clear_policy {name}"),
            Change::SetOperator(begins, length) => format!(r#"set_operator_policy o {} '{{"max-length":{length}}}'"#, pattern(begins)),
            Change::ClearOperator => "clear_operator_policy o".to_owned(),
        };
        Ctl::parse(&line).expect("a command")
    }
}

impl Policies {
    /// Applies an operator's command.
    pub fn apply(&mut self, command: &PolicyCommand) {
        match &command.change {
            Change::Set(policy) => {
                self.own.retain(|other| other.name != policy.name);
                self.own.push(policy.clone());
            }
            Change::Clear(name) => self.own.retain(|other| other.name != *name),
            Change::SetOperator(begins, length) => self.operator = Some((begins, *length)),
            Change::ClearOperator => self.operator = None,
        }
    }

    /// Returns how many messages a queue may have.
    pub fn length(&self, queue: Name) -> Option<usize> {
        let own = match self.best(queue) {
            Some(Says::Length(length) | Says::Refuses(length)) => Some(length),
            _ => None,
        };
        let operator = self.operator.filter(|(begins, _)| fits(begins, queue)).map(|(_, length)| length);
        own.into_iter().chain(operator).min()
    }

    /// Whether the queue refuses new messages beyond its length instead of dropping its oldest.
    pub fn refuses(&self, queue: Name) -> bool {
        matches!(self.best(queue), Some(Says::Refuses(_)))
    }

    /// Returns the exchange that gets the messages which this exchange cannot route.
    pub fn alternate(&self, exchange: Name) -> Option<Name> {
        match self.best(exchange) {
            Some(Says::Alternate(alternate)) => Some(alternate),
            _ => None,
        }
    }

    fn best(&self, name: Name) -> Option<Says> {
        let fitting = self.own.iter().filter(|policy| fits(policy.begins, name));
        fitting.min_by_key(|policy| (std::cmp::Reverse(policy.priority), policy.name)).map(|policy| policy.says)
    }
}

fn pattern(begins: Name) -> String {
    format!("^(?!{BURYING}){begins}")
}

fn fits(begins: Name, name: Name) -> bool {
    name.starts_with(begins) && name != BURYING
}

#[test]
fn what_a_policy_makes_too_much_goes_some_in_each_turn() {
    for shards in [1, 3] {
        let mut cluster = filled(shards, 1, 10_000);
        let most = messages_that_go_in_a_turn(&mut cluster, r#"set_policy p ^q '{"max-length":10}'"#, 10);
        assert!(most <= (1 + TRIMS_MAX) * TRIM_BUDGET, "{most} messages of a queue went in one turn");
    }
}

#[test]
fn queues_follow_a_policy_some_in_each_turn() {
    for shards in [1, 3] {
        let mut cluster = filled(shards, 1_000, 2);
        let most = messages_that_go_in_a_turn(&mut cluster, r#"set_policy p ^q '{"max-length":1}'"#, 1_000);
        assert!((1..=POLICY_BUDGET).contains(&most), "{most} queues followed in one turn");
    }
}

/// Makes a broker with this many queues on its last shard, each with this many messages.
fn filled(shards: u16, queues: usize, messages: usize) -> Cluster {
    let mut cluster = Cluster::new(Config { shards, ..Config::default() }, 1);
    let client = join(&mut cluster, usize::from(shards) - 1);
    for queue in 0..queues {
        let name = format!("q{queue}");
        let declare = Method::new("queue.declare", &[("queue", Value::text(&name))]).expect("the list knows it");
        let publish = Method::new("basic.publish", &[("routing_key", Value::text(&name))]).expect("the list knows it");
        let content = Content { properties: Vec::new(), body: b"x".to_vec(), parts: Vec::new() };
        cluster.write(client, &wire::method_frame(1, &declare));
        cluster.write(client, &client::publish(1, &publish, &content, 1000).repeat(messages));
        cluster.settle();
    }
    assert_eq!(messages_in(&cluster), queues * messages);
    cluster
}

/// Carries out an operator's command, after which this many messages are `left`. Returns the most
/// messages that were dropped in one turn of a shard.
fn messages_that_go_in_a_turn(cluster: &mut Cluster, line: &str, left: usize) -> usize {
    let commands = Ctl::parse(line).and_then(|ctl| ctl.commands()).expect("a command");
    commands.into_iter().for_each(|command| _ = cluster.demand(0, command));
    let (mut most, mut before) = (0, messages_in(cluster));
    for turn in 0..100 * cluster.shard_count() {
        cluster.turn(turn % cluster.shard_count());
        most = most.max(before - messages_in(cluster));
        before = messages_in(cluster);
    }
    assert_eq!(before, left, "the policy is in force");
    most
}

fn messages_in(cluster: &Cluster) -> usize {
    (0..cluster.shard_count()).map(|shard| cluster.shard(shard).messages().0).sum()
}

const NAMES: &[Name] = &["pa", "pb", "pc"];
const BEGINNINGS: &[Name] = &["", "q", "p", "a", "d0", "f0", "m", "amq", "q2", "v", "w", "r", "u"];
