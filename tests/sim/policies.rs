//! Policies as the model knows them: a few keys, and patterns that are the beginnings of names.

use crate::choice::Dice;
use crate::op::{EXCHANGES, MEMORY, Name};
use crate::support::ctl::Ctl;

/// The policies of the broker: at most one of each name, and one of the operator's.
#[derive(Default)]
pub struct Policies {
    own: Vec<Policy>,
    /// What names begin with, and the length of such queues.
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
    /// Refuses what is more than this length.
    Refuses(usize),
    Alternate(Name),
}

/// What an operator does.
#[derive(Clone, Debug)]
pub struct Deed {
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Set(Policy),
    Clear(Name),
    SetOperator(Name, usize),
    ClearOperator,
}

impl Deed {
    /// One at random.
    pub fn random(dice: &mut Dice) -> Deed {
        let begins = dice.pick(BEGINNINGS);
        let length = 1 + dice.index(3);
        let change = match dice.below(8) {
            0..5 => {
                let alternates: Vec<Name> = EXCHANGES.iter().map(|(name, _)| *name).filter(|&name| name != MEMORY).collect();
                let says = match dice.below(4) {
                    0..2 => Says::Length(length),
                    2 => Says::Refuses(length),
                    _ => Says::Alternate(dice.pick(&alternates)),
                };
                Change::Set(Policy { name: dice.pick(NAMES), begins, priority: dice.below(3), says })
            }
            5 => Change::Clear(dice.pick(NAMES)),
            6 => Change::SetOperator(begins, length),
            _ => Change::ClearOperator,
        };
        Deed { change }
    }

    /// Those after which there is none left.
    pub fn last() -> impl Iterator<Item = Deed> {
        NAMES.iter().map(|name| Change::Clear(name)).chain([Change::ClearOperator]).map(|change| Deed { change })
    }

    /// The same as an operator says it.
    pub fn ctl(&self) -> Ctl {
        let line = match &self.change {
            Change::Set(Policy { name, begins, priority, says }) => {
                let definition = match says {
                    Says::Length(length) => format!(r#"{{"max-length":{length}}}"#),
                    Says::Refuses(length) => format!(r#"{{"max-length":{length},"overflow":"reject-publish"}}"#),
                    Says::Alternate(exchange) => format!(r#"{{"alternate-exchange":"{exchange}"}}"#),
                };
                format!("set_policy {name} ^{begins} '{definition}' priority={priority}")
            }
            Change::Clear(name) => format!("clear_policy {name}"),
            Change::SetOperator(begins, length) => format!(r#"set_operator_policy o ^{begins} '{{"max-length":{length}}}'"#),
            Change::ClearOperator => "clear_operator_policy o".to_owned(),
        };
        Ctl::parse(&line).expect("a command")
    }
}

impl Policies {
    /// An operator has done something.
    pub fn apply(&mut self, deed: &Deed) {
        match &deed.change {
            Change::Set(policy) => {
                self.own.retain(|other| other.name != policy.name);
                self.own.push(policy.clone());
            }
            Change::Clear(name) => self.own.retain(|other| other.name != *name),
            Change::SetOperator(begins, length) => self.operator = Some((begins, *length)),
            Change::ClearOperator => self.operator = None,
        }
    }

    /// How many messages a queue may have.
    pub fn length(&self, queue: Name) -> Option<usize> {
        let own = match self.best(queue) {
            Some(Says::Length(length) | Says::Refuses(length)) => Some(length),
            _ => None,
        };
        let operator = self.operator.filter(|(begins, _)| queue.starts_with(begins)).map(|(_, length)| length);
        own.into_iter().chain(operator).min()
    }

    /// Whether it refuses what is more, instead of dropping its oldest.
    pub fn refuses(&self, queue: Name) -> bool {
        matches!(self.best(queue), Some(Says::Refuses(_)))
    }

    /// Where an exchange sends what it cannot route.
    pub fn alternate(&self, exchange: Name) -> Option<Name> {
        match self.best(exchange) {
            Some(Says::Alternate(alternate)) => Some(alternate),
            _ => None,
        }
    }

    fn best(&self, name: Name) -> Option<Says> {
        let fitting = self.own.iter().filter(|policy| name.starts_with(policy.begins));
        fitting.min_by_key(|policy| (std::cmp::Reverse(policy.priority), policy.name)).map(|policy| policy.says)
    }
}

const NAMES: &[Name] = &["pa", "pb", "pc"];
const BEGINNINGS: &[Name] = &["", "q", "p", "a", "d0", "f0", "m", "amq", "q2", "v"];
