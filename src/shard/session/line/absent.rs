//! The parts of the waist that mean nothing in this protocol: fetches, returned messages, large
//! bodies, counted grants, prefetches of channels, several channels, alarms and timers.

use super::Session;
use crate::base::alarms::AlarmSet;
use crate::base::ids::QueueAddr;
use crate::contract::session::{
    Assembled, BodyLoan, ChannelState, ConsumerState, Ended, GivenUp, Late, Rest, SessionFigures, Settled, Taker, Unsettled,
};
use crate::contract::{Count, Entry, Origin, Outcome};
use crate::message::{MessageView, Table};

impl Session {
    pub fn heard(&mut self) {}

    pub fn lend_body(&mut self, _: usize) -> Option<BodyLoan> {
        None
    }

    pub fn return_body(&mut self, _: BodyLoan, _: &[u8]) -> Vec<u8> {
        Vec::new()
    }

    pub fn figures(&self) -> SessionFigures {
        SessionFigures {
            protocol: "line",
            mechanism: "",
            client_properties: Table::empty(),
            channels: 1,
            channel_max: 1,
            frame_max: 0,
            heartbeat: 0,
        }
    }

    pub fn channel_states(&self) -> Vec<ChannelState> {
        Vec::new()
    }

    pub fn consumer_states(&self) -> Vec<ConsumerState> {
        Vec::new()
    }

    pub fn count(&mut self, _: u16, _: Count, _: usize) {}

    pub fn generation(&self, _: u16) -> u32 {
        0
    }

    pub fn deliver_get(&mut self, _: QueueAddr, _: Entry, _: u32, _: Option<u64>, _: &MessageView<'_>) {}

    pub fn await_disk(&mut self) {}

    pub fn recycle(&mut self, _: Assembled) {}

    pub fn committed(&mut self, _: u16, _: u32) {}

    pub fn settle_rest(&mut self, _: &Rest, _: &mut impl Taker) -> bool {
        false
    }

    pub fn recovery(&mut self, channel: u16) -> Rest {
        Rest { channel, up_to: 0, outcome: Outcome::Requeued }
    }

    pub fn give_up(&mut self, _: &Late, _: Vec<Settled>) -> GivenUp {
        GivenUp { unsettled: Unsettled::default(), cancelled: None }
    }

    pub fn return_message(&mut self, _: u16, _: &MessageView<'_>) {}

    pub fn on_wanted(&mut self, _: u16, _: u32, _: u32) -> bool {
        false
    }

    pub fn on_unused(&mut self, _: u16, _: u32, _: u32) {}

    pub fn on_alarms(&mut self, _: AlarmSet) -> bool {
        false
    }

    pub fn is_alarmed(&self) -> bool {
        false
    }

    pub fn is_blocked(&self) -> bool {
        false
    }

    pub fn on_timer(&mut self, _: u64, _: impl Fn(u16, Origin) -> Option<u64>) -> Option<u64> {
        None
    }

    pub fn wants_timer(&self) -> bool {
        false
    }

    pub fn end_channel(&mut self, _: u16) -> Ended {
        Ended::default()
    }

    pub fn release_channel(&mut self, _: u16) {}

    pub fn released(&mut self) {}
}
