//! The methods of a channel. Those that concern only the session are carried out here; the others
//! become events.

use super::channel::take_places;
use super::unacked::UnknownTag;
use super::*;
use crate::contract::session::Taker;
use crate::contract::{Code, Outcome, Tags};
use crate::protocol::amqp::method::{Method, access, basic, channel, confirm, tx};

impl Session {
    /// Carries out a method on a channel.
    pub(super) fn on_method<'a>(&mut self, number: u16, method: &Method<'_>) -> Option<Event<'a>> {
        let Some(channel) = self.channels.find_mut(number) else {
            self.on_unopened(number, method);
            return None;
        };
        if channel.life != Life::Open {
            self.on_method_too_late(number, method);
            return None;
        }
        let settle = |tag, multiple, outcome| {
            let tags = if multiple { Tags::UpTo(tag) } else { Tags::Each { first: tag, last: tag } };
            Some(channel.settlement(number, tags, outcome))
        };
        match method {
            Method::BasicPublish(publish) => self.on_publish(number, publish),
            Method::BasicAck(ack) => return settle(ack.delivery_tag, ack.multiple, Outcome::Acked),
            Method::BasicNack(nack) => return settle(nack.delivery_tag, nack.multiple, refused(nack.requeue)),
            Method::BasicReject(reject) => {
                return settle(reject.delivery_tag, false, if reject.requeue { Outcome::Failed } else { Outcome::Discarded });
            }
            Method::BasicRecover(basic::Recover { requeue }) => return self.on_recover(number, *requeue, true),
            Method::BasicRecoverAsync(basic::RecoverAsync { requeue }) => return self.on_recover(number, *requeue, false),
            Method::TxCommit(_) => return self.on_commit(number),
            Method::TxRollback(_) => return self.on_rollback(number),
            Method::ChannelClose(_) => self.on_channel_close(number),
            // Answers the server's own basic.cancel, which asks for no answer.
            Method::BasicCancelOk(_) => {}
            other => {
                return match self.on_session_method(number, other) {
                    Ok(true) => None,
                    Ok(false) => self.on_broker_method(number, other),
                    Err(fault) => {
                        self.fail(number, self.method, fault);
                        None
                    }
                };
            }
        }
        None
    }

    /// Opens a channel by its first method; any other method is an error.
    fn on_unopened(&mut self, number: u16, method: &Method<'_>) {
        let (count, max) = (self.channels.len(), self.client.channel_max);
        if max != 0 && count >= usize::from(max) {
            let text = format!("number of channels opened ({count}) has reached the negotiated channel_max ({max})");
            return self.fail(0, (0, 0), Fault::new(Code::NotAllowed, text));
        }
        match (take_places(&self.channel_quotas, &self.client.user, &self.config.node_name), method) {
            (Err(fault), _) => self.fail(0, (0, 0), fault),
            (Ok(places), Method::ChannelOpen(_)) => {
                self.channels.open(number, places);
                channel::OpenOk::default().write(number, self.output.bytes_mut());
            }
            _ => self.fail(0, self.method, Fault::new(Code::ChannelError, "expected 'channel.open'")),
        }
    }

    /// Takes a method on a closing channel, which only waits for close-ok. Other methods are
    /// ignored, but must be valid.
    fn on_method_too_late(&mut self, number: u16, method: &Method<'_>) {
        match method {
            Method::ChannelCloseOk(_) => drop(self.channels.remove(number)),
            Method::ChannelClose(_) => self.on_channel_close(number),
            Method::ChannelOpen(_) => self.fail(0, self.method, second_open()),
            Method::BasicPublish(publish) => self.on_publish(number, publish),
            _ => {}
        }
    }

    /// Carries out a method that needs no broker. Returns whether the method was such a one.
    fn on_session_method(&mut self, number: u16, method: &Method<'_>) -> Result<bool, Fault> {
        let channel = self.channels.find_mut(number).expect("the caller has found the channel");
        let out = self.output.bytes_mut();
        match method {
            Method::ChannelOpen(_) => return Err(second_open()),
            Method::ChannelFlow(flow) if flow.active => channel::FlowOk { active: true }.write(number, out),
            Method::ChannelFlow(_) => return Err(Fault::new(Code::NotImplemented, "active=false")),
            Method::AccessRequest(_) => access::RequestOk { ticket: 1 }.write(number, out),
            Method::BasicQos(qos) => {
                let relieved = channel.set_prefetch(qos)?;
                if channel.volume_max > 0 && channel.consumers.len() > 0 {
                    self.announcements.push_back(Announcement::Metered(number));
                }
                basic::QosOk {}.write(number, out);
                self.announce_relief(number, relieved);
            }
            Method::ConfirmSelect(select) => {
                channel.select_confirm()?;
                if !select.nowait {
                    confirm::SelectOk {}.write(number, out);
                }
            }
            Method::TxSelect(_) => {
                channel.select_tx()?;
                tx::SelectOk {}.write(number, out);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes basic.recover, which is a basic.nack of all deliveries. The answer is sent before
    /// anything is delivered again.
    fn on_recover<'a>(&mut self, number: u16, requeue: bool, ok: bool) -> Option<Event<'a>> {
        if !requeue {
            self.fail(number, self.method, Fault::new(Code::NotImplemented, "requeue=false"));
            return None;
        }
        if ok {
            basic::RecoverOk {}.write(number, self.output.bytes_mut());
        }
        Some(Event::Recover { channel: number })
    }

    /// Takes out the deliveries that [`Event::Settle`] or [`Event::SettleAtCommit`] settles; `out`
    /// has none yet that is consumed. An unknown tag is an error (406). If there is a rest,
    /// [`Session::settle_rest`] follows before the next poll.
    pub fn settle(&mut self, channel: u16, tags: Tags, outcome: Outcome, out: &mut impl Taker) -> Option<Rest> {
        let number = channel;
        let channel = self.open_channel(number)?;
        let known = channel.counting_acks(outcome, |unacked| unacked.settle(tags, out));
        let relieved = channel.relieve(|channel| channel.volume -= out.consumed());
        self.announce_relief(number, relieved);
        match known {
            Ok(rest) => rest.map(|up_to| Rest { channel: number, up_to, outcome }),
            Err(UnknownTag(tag)) => {
                let fault = Fault::new(Code::PreconditionFailed, format!("unknown delivery tag {tag}"));
                self.fail(number, self.method, fault);
                None
            }
        }
    }

    /// Takes out more deliveries to be settled; `out` has none yet that is consumed. Returns whether
    /// any are left.
    pub fn settle_rest(&mut self, rest: &Rest, out: &mut impl Taker) -> bool {
        let Some(channel) = self.open_channel(rest.channel) else { return false };
        let is_more = channel.counting_acks(rest.outcome, |unacked| unacked.settle_rest(rest.up_to, out));
        let relieved = channel.relieve(|channel| channel.volume -= out.consumed());
        self.announce_relief(rest.channel, relieved);
        is_more
    }

    /// Returns the deliveries that [`Event::Recover`] settles: all, also on a transactional
    /// channel. [`Session::settle_rest`] takes them out.
    pub fn recovery(&mut self, channel: u16) -> Rest {
        let up_to = self.open_channel(channel).map_or(0, |channel| channel.unacked.next_tag() - 1);
        Rest { channel, up_to, outcome: Outcome::Requeued }
    }

    fn on_commit<'a>(&mut self, number: u16) -> Option<Event<'a>> {
        if self.is_transactional(number) {
            self.expect_answer(number, answers::Reply::Committed, false);
            return Some(Event::Commit { channel: number });
        }
        None
    }

    fn on_rollback<'a>(&mut self, number: u16) -> Option<Event<'a>> {
        self.is_transactional(number).then_some(Event::Rollback { channel: number })
    }

    /// Whether a channel has a transaction; if not, it is closed with an error.
    fn is_transactional(&mut self, number: u16) -> bool {
        let channel = self.channels.find(number).expect("the caller has found the channel");
        let is_so = matches!(channel.mode, Mode::Tx);
        if !is_so {
            self.fail(number, self.method, Fault::new(Code::PreconditionFailed, "channel is not transactional"));
        }
        is_so
    }

    /// Notes that a commit settles this many deliveries to consumers of a channel.
    pub fn committed(&mut self, channel: u16, consumed: u32) {
        if let Some(found) = self.open_channel(channel) {
            let relieved = found.relieve(|channel| channel.volume -= consumed);
            self.announce_relief(channel, relieved);
        }
    }

    pub(super) fn announce_relief(&mut self, number: u16, relieved: bool) {
        if relieved {
            self.announcements.push_back(Announcement::Relieved(number));
        }
    }
}

impl Channel {
    /// Returns the event that settles deliveries, now or at the commit.
    #[inline]
    pub fn settlement<'a>(&self, channel: u16, tags: Tags, outcome: Outcome) -> Event<'a> {
        match self.mode {
            Mode::Tx => Event::SettleAtCommit { channel, tags, outcome },
            _ => Event::Settle { channel, tags, outcome },
        }
    }

    /// Carries out basic.qos. Returns whether the channel was full before and is not now. Without
    /// `global`, it removes the limit of the whole channel (as in RabbitMQ).
    fn set_prefetch(&mut self, qos: &basic::Qos) -> Result<bool, Fault> {
        if qos.prefetch_size != 0 {
            return Err(Fault::new(Code::NotImplemented, format!("prefetch_size!=0 ({})", qos.prefetch_size)));
        }
        if !qos.global {
            self.prefetch = qos.prefetch_count;
        }
        let volume_max = if qos.global { qos.prefetch_count.into() } else { 0 };
        Ok(self.relieve(|channel| channel.volume_max = volume_max))
    }

    fn select_confirm(&mut self) -> Result<(), Fault> {
        match self.mode {
            Mode::Tx => return Err(Fault::new(Code::PreconditionFailed, "cannot switch from tx to confirm mode")),
            Mode::Plain => self.mode = Mode::Confirm(confirms::Confirms::default()),
            Mode::Confirm(_) => {}
        }
        Ok(())
    }

    fn select_tx(&mut self) -> Result<(), Fault> {
        match self.mode {
            Mode::Confirm(_) => return Err(Fault::new(Code::PreconditionFailed, "cannot switch from confirm to tx mode")),
            Mode::Plain => self.mode = Mode::Tx,
            Mode::Tx => {}
        }
        Ok(())
    }
}

fn second_open() -> Fault {
    Fault::new(Code::ChannelError, "second 'channel.open' seen")
}

fn refused(requeue: bool) -> Outcome {
    if requeue { Outcome::Requeued } else { Outcome::Discarded }
}
