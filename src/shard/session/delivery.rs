//! A consumer being served, in its connection's protocol.

use crate::contract::Entry;
use crate::message::MessageView;
use crate::protocol::amqp;

/// A consumer being served with one message, or with several in a row.
#[derive(Debug)]
pub enum Delivery<'s, 'm> {
    /// In AMQP 0-9-1.
    Amqp(amqp::session::Delivery<'s, 'm>),
    /// In the tests' line protocol.
    #[cfg(test)]
    Line(super::line::Delivery<'s>),
}

/// Calls the same method of the delivery, whichever protocol it is.
macro_rules! each {
    ($delivery:expr, $inner:ident => $call:expr) => {
        match $delivery {
            Delivery::Amqp($inner) => $call,
            #[cfg(test)]
            Delivery::Line($inner) => $call,
        }
    };
}

impl<'m> Delivery<'_, 'm> {
    /// Whether there is room for another message.
    #[inline]
    pub fn has_room(&self) -> bool {
        each!(self, delivery => delivery.has_room())
    }

    /// Bytes that were written so far.
    #[inline]
    pub fn written(&self) -> usize {
        each!(self, delivery => delivery.written())
    }

    /// Whether little room is left.
    #[inline]
    pub fn is_tight(&self) -> bool {
        each!(self, delivery => delivery.is_tight())
    }

    /// Delivers a message.
    #[inline(always)]
    pub fn deliver(&mut self, entry: Entry, message: &MessageView<'m>) {
        each!(self, delivery => delivery.deliver(entry, message))
    }
}
