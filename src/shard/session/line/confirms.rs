//! The publishes of a connection that are not answered yet.

use std::collections::VecDeque;

use super::Session;
use crate::contract::Fault;

/// The publishes, in their order.
#[derive(Debug, Default)]
pub struct Confirms {
    waiting: VecDeque<Waiting>,
    /// Number of publishes that were answered.
    answered: u64,
}

/// One publish.
#[derive(Debug, Default)]
struct Waiting {
    /// Queues that have yet to accept it.
    queues: u32,
    failure: Option<String>,
}

impl Confirms {
    /// Counts a publish. Returns its sequence number, from 1.
    pub fn publish(&mut self) -> u64 {
        self.waiting.push_back(Waiting::default());
        self.answered + self.waiting.len() as u64
    }

    fn find(&mut self, sequence: u64) -> &mut Waiting {
        let at = (sequence - self.answered - 1) as usize;
        self.waiting.get_mut(at).expect("a publish in hand or held is not answered")
    }
}

impl Session {
    pub fn hold(&mut self, _: u16, first: u64, publishes: u64, queues: u32) {
        (first..first + publishes).for_each(|sequence| self.confirms.find(sequence).queues += queues);
    }

    pub fn accepted(&mut self, _: u16, _: u32, sequence: u64, count: u32) {
        self.confirms.find(sequence).queues -= count;
    }

    pub fn refused(&mut self, _: u16, _: u32, sequence: u64) {
        self.confirms.find(sequence).failure = Some("a queue refuses it".into());
    }

    pub fn fault(&mut self, _: u16, fault: Fault) {
        let published = self.confirms.waiting.back_mut().expect("a fault is about the publish in hand");
        published.failure = Some(fault.reply_text());
    }

    pub fn flush_confirms(&mut self) -> u64 {
        let before = self.confirms.answered;
        while let Some(done) = self.confirms.waiting.pop_front_if(|waiting| waiting.queues == 0) {
            self.confirms.answered += 1;
            match done.failure {
                None => self.say("OK"),
                Some(why) => self.refuse(&why),
            }
        }
        self.confirms.answered - before
    }
}
