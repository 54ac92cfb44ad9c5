//! Demands: all that an operator's thread may want of a shard, and all that shards tell it.
//!
//! ```text
//! operator's thread ─ Demand, ticket ─▶ shard    commands, queries, interventions
//! operator's thread ◀─ Report ───────── shard    answers by ticket, and what has happened
//! ```

use super::{Command, Fault, Figures, Intervened, Intervention, Query};

/// What an operator wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Demand {
    /// A change of the catalog.
    Command(Command),
    /// Numbers.
    Query(Query),
    /// Something with connections or messages.
    Intervention(Intervention),
}

/// The answer to a [`Demand`].
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// To a command: it is carried out on all shards and durable, or was refused.
    Decided(Result<(), Fault>),
    /// To a query.
    Figures(Figures),
    /// To an intervention.
    Intervened(Intervened),
}

/// What a shard tells the operator's thread; `C` is a change of the catalog.
#[derive(Clone, Debug)]
pub enum Report<C> {
    /// The answer to the demand that was given under this ticket.
    Reply(u64, Reply),
    /// The catalog has changed. Only the shard that orders changes tells it, in their order, and
    /// before it answers the command that asked for it.
    Changed(C),
}

impl From<Command> for Demand {
    fn from(command: Command) -> Demand {
        Demand::Command(command)
    }
}

impl From<Query> for Demand {
    fn from(query: Query) -> Demand {
        Demand::Query(query)
    }
}

impl From<Intervention> for Demand {
    fn from(intervention: Intervention) -> Demand {
        Demand::Intervention(intervention)
    }
}
