//! The end of channels and connections. Only here does a [`Fault`] become a frame.

use super::ended::take_channel;
use super::*;
use crate::base::limits::{CLOSING_MS, SILENT_CLOSE_MS};
use crate::contract::session::Ended;
use crate::contract::{Code, Scope};
use crate::protocol::amqp::method::{channel, connection};

impl Session {
    /// Takes a fault that the broker found with the present publish or commit. A channel that has
    /// ended is not closed again.
    pub fn fault(&mut self, channel: u16, fault: Fault) {
        self.fail(channel, self.method, fault);
    }

    /// Closes the connection because the broker stops (320).
    pub fn shut_down(&mut self) {
        match self.stage {
            Stage::Running => self.force_close("broker forced connection closure with reason 'shutdown'"),
            Stage::Greeting | Stage::Starting | Stage::Tuning | Stage::Opening => self.stage = Stage::Finished,
            _ => {}
        }
    }

    /// Closes an open connection for a reason that the client has not caused (320).
    pub fn force_close(&mut self, why: &str) {
        if self.stage == Stage::Running {
            self.fail(0, (0, 0), Fault::new(Code::ConnectionForced, why));
        }
    }

    /// Takes the consumers and unsettled messages of a channel, after [`Event::ChannelEnded`].
    /// [`Session::release_channel`] follows.
    pub fn end_channel(&mut self, channel: u16) -> Ended {
        let mut ended = Ended::default();
        if let Some(found) = self.channels.find_mut(channel) {
            take_channel(&mut ended, found);
        }
        ended
    }

    /// Notes that everything that [`Session::end_channel`] returned is cleaned up, on every shard.
    /// If the client closed the channel, close-ok is written now.
    pub fn release_channel(&mut self, channel: u16) {
        let Some(found) = self.channels.find_mut(channel) else {
            return;
        };
        if found.life != Life::Leaving {
            found.life = Life::Closing;
            return;
        }
        self.channels.remove(channel);
        if self.stage == Stage::Running {
            channel::CloseOk {}.write(channel, self.output.bytes_mut());
        }
    }

    /// Takes the consumers and unsettled messages of all channels. The connection must have ended:
    /// after [`Event::Closing`] or [`Event::Finished`], or when the socket is closed.
    pub fn end(&mut self) -> Ended {
        let mut ended = Ended::default();
        for number in self.channels.numbers() {
            let mut channel = self.channels.remove(number).expect("its number was listed");
            take_channel(&mut ended, &mut channel);
        }
        self.channels = Channels::default();
        (self.assembled, self.spare) = (None, Spare::default());
        ended
    }

    /// Notes that everything that [`Session::end`] returned is cleaned up: the close goes on.
    pub fn released(&mut self) {
        self.stage = match self.stage {
            Stage::Ending(Farewell::CloseOk) => {
                connection::CloseOk {}.write(0, self.output.bytes_mut());
                Stage::Closed
            }
            Stage::Ending(Farewell::Await) => Stage::Closing,
            Stage::Ending(Farewell::Mute) => Stage::Muted,
            other => other,
        };
    }

    /// Closes the channel or the connection, as the fault demands. Before the connection is open,
    /// no frame is sent.
    pub(super) fn fail(&mut self, number: u16, method: MethodIds, fault: Fault) {
        match self.stage {
            Stage::Running if fault.scope == Scope::Channel && number != 0 => self.close_channel(number, method, &fault),
            Stage::Running | Stage::Opening => self.close_connection(method, fault, Farewell::Await),
            Stage::Greeting | Stage::Starting | Stage::Tuning => self.begin_end(Some(fault), Farewell::Mute),
            _ => {}
        }
    }

    fn close_channel(&mut self, number: u16, (class_id, method_id): MethodIds, fault: &Fault) {
        if let Some(channel) = self.open_channel(number) {
            channel.life = Life::Failed;
            self.announcements.push_back(Announcement::ChannelEnded(number));
            let close = channel::Close { reply_code: fault.code as u16, reply_text: &fault.reply_text(), class_id, method_id };
            close.write(number, self.output.bytes_mut());
        }
    }

    /// Sends connection.close.
    pub(super) fn close_connection(&mut self, (class_id, method_id): MethodIds, fault: Fault, farewell: Farewell) {
        let close = connection::Close { reply_code: fault.code as u16, reply_text: &fault.reply_text(), class_id, method_id };
        close.write(0, self.output.bytes_mut());
        self.begin_end(Some(fault), farewell);
    }

    /// Begins the end of the connection: from now on nothing is carried out.
    pub(super) fn begin_end(&mut self, fault: Option<Fault>, farewell: Farewell) {
        let heartbeat_ms = self.keepalive.heartbeat() * 1000;
        self.keepalive.limit(match farewell {
            Farewell::Mute => SILENT_CLOSE_MS,
            _ if heartbeat_ms > 0 => heartbeat_ms.min(CLOSING_MS),
            _ => CLOSING_MS,
        });
        self.stage = Stage::Ending(farewell);
        self.body_frame = None;
        (self.throttle.blocked, self.throttle.told) = (false, false);
        self.announcements.clear();
        self.announcements.push_back(Announcement::Closing(fault));
    }

    /// Carries out the client's close of the connection.
    pub(super) fn on_connection_close(&mut self) {
        self.begin_end(None, Farewell::CloseOk);
    }

    /// Carries out the client's close of a channel.
    pub(super) fn on_channel_close(&mut self, number: u16) {
        let Some(channel) = self.channels.find_mut(number) else {
            return;
        };
        match channel.life {
            Life::Open => {
                channel.life = Life::Leaving;
                self.announcements.push_back(Announcement::ChannelEnded(number));
            }
            // Both sides have closed it at the same time: the client's close-ok is still to come.
            Life::Failed | Life::Closing => channel::CloseOk {}.write(number, self.output.bytes_mut()),
            Life::Leaving => {}
        }
    }

    /// Ends a handshake or a close that took too long, or a connection whose peer is silent.
    pub(super) fn on_expired(&mut self) {
        self.stage = Stage::Finished;
        self.announcements.clear();
    }
}
