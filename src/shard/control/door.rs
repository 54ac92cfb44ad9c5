//! The door for operators: their demands come in, and are answered by ticket with
//! [`Action::Report`].
//!
//! ```text
//! Demand ─┬ Command ─────▶ order ─ … ─ decided ──────────────┐
//!         ├ Intervention ▶ carried out at once ──────────────┼─▶ Report::Reply
//!         └ Query ───────▶ queries ─ a budget in each turn ──┘
//! shard 0: a change is made ───────────────────────────────────▶ Report::Changed
//! ```
//!
//! Nobody here waits for an operator's thread. A query is answered by one part of a list, which
//! costs a bounded number of steps; queries that the turn's budget does not reach wait for the next
//! turn.

use crate::base::ids::{ConnAddr, QueueId};
use crate::broker::catalog::defaults::completed;
use crate::contract::{Command, Demand, Intervened, Intervention, PART, Reply, Report};
use crate::shard::control::order::Waiter;
use crate::shard::control::wish::Wish;
use crate::shard::{Action, Shard, local_queue};

impl Shard {
    /// Takes an operator's demand. The answer is reported under `ticket`. A turn must follow.
    pub fn demand(&mut self, ticket: u64, demand: Demand) {
        match demand {
            Demand::Command(command) => self.command(ticket, command),
            Demand::Query(query) => self.control.queries.push_back((ticket, query)),
            Demand::Intervention(intervention) => {
                let intervened = self.intervene(intervention);
                self.report_reply(ticket, Reply::Intervened(intervened));
            }
        }
    }

    fn command(&mut self, ticket: u64, command: Command) {
        let command = completed(command.hashed(|| self.salt()), &self.config.defaults);
        self.order(Wish::Command(command), Waiter::Operator(ticket));
    }

    pub(in crate::shard) fn report_reply(&mut self, ticket: u64, reply: Reply) {
        self.actions.push_back(Action::Report(Box::new(Report::Reply(ticket, reply))));
    }

    /// Answers queries, as far as the budget reaches.
    pub(in crate::shard) fn answer_queries(&mut self) {
        while !self.work.is_spent()
            && let Some((ticket, query)) = self.control.queries.pop_front()
        {
            self.work.spend(PART * STEPS_PER_OBJECT);
            let figures = self.figures(&query);
            self.report_reply(ticket, Reply::Figures(figures));
        }
    }

    fn intervene(&mut self, intervention: Intervention) -> Intervened {
        match intervention {
            Intervention::CloseConnection { conn, reason } => self.close_connection(conn, &reason),
            Intervention::Purge(queue) => self.purge_for_operator(queue),
            Intervention::Publish(publication) => {
                _ = self.publish_own(&publication); // an operator does not publish in a hurry
                Intervened::Done { messages: 1 }
            }
        }
    }

    fn close_connection(&mut self, addr: ConnAddr, reason: &str) -> Intervened {
        let Some(conn) = self.conns.touch(addr.conn).filter(|conn| addr.shard == self.id && !conn.ending) else {
            return Intervened::Absent;
        };
        conn.session.force_close(reason);
        self.resume_input(addr.conn);
        Intervened::Done { messages: 0 }
    }

    fn purge_for_operator(&mut self, queue: QueueId) -> Intervened {
        match local_queue(&mut self.queues.slots, queue) {
            Some(_) => Intervened::Done { messages: self.purge(queue) },
            None => Intervened::Absent,
        }
    }
}

/// Steps that one object of a list costs, with what is copied of it.
const STEPS_PER_OBJECT: usize = 2;
