//! Requests of channels: declare, bind, consume, get and the like.
//!
//! A request names things, so this shard's copy of the catalog is asked first, and may refuse it. A
//! request that changes the catalog becomes an [`order`](crate::shard::control::order); one that a
//! queue must answer is sent to the queue's home. The connection is parked until the answer.

use crate::base::ids::{ChannelAddr, ConnId, QueueAddr, ShardId};
use crate::broker::catalog::{ConsumerArguments, Verdict};
use crate::contract::{Fault, Notice, Request};
use crate::shard::Shard;
use crate::shard::control::order::{Waiter, Wish};
use crate::shard::peers::mail::{Answer, Ask, Mail, Question};

impl Shard {
    /// Takes a request of a session, which is parked until [`answer`](Self::answer). It runs once
    /// the queues have the messages that were published before.
    pub(in crate::shard) fn on_request(&mut self, id: ConnId, channel: u16, request: Request) {
        if let Some(conn) = self.conns.get_mut(id).filter(|conn| conn.relayed > 0) {
            conn.delayed = Some((channel, request));
            return;
        }
        let from = ChannelAddr { conn: self.conn_addr(id), channel };
        let is_change = request.is_change();
        self.run_request(from, request);
        if is_change {
            self.await_disk(id);
        }
    }

    /// Tells a connection that waits for an answer if the disk is full, because its request may
    /// have to be on the disk.
    pub(in crate::shard) fn await_disk(&mut self, id: ConnId) {
        if let Some(conn) = self.live(id) {
            conn.session.await_disk();
        }
    }

    /// Carries a request out as far as this shard can. Called again when the catalog has changed
    /// meanwhile.
    pub(in crate::shard) fn run_request(&mut self, from: ChannelAddr, request: Request) {
        let is_promise = !matches!(request, Request::CheckExchange { .. });
        self.run(from, request, is_promise && self.is_undecided());
    }

    /// Carries out a queue's declaration that is decided.
    pub(in crate::shard) fn run_decided(&mut self, from: ChannelAddr, request: Request) {
        self.run(from, request, false);
    }

    /// Carries a request out. With `waits`, the answer about something that the catalog has already
    /// waits until that is decided.
    fn run(&mut self, from: ChannelAddr, request: Request, waits: bool) {
        let Some(conn) = self.live(from.conn.conn) else { return };
        let vhost = conn.session.vhost();
        if let Request::Cancel { index } = request {
            return match conn.session.consumer(from.channel, index) {
                Some((queue, consumer)) => {
                    self.ask(queue.home, Ask { from, queue: queue.queue, question: Question::Cancel(consumer) });
                }
                None => self.answer(from.conn.conn, Notice::Done),
            };
        }
        let asker = conn.asker();
        if self.answer_for_replies(from, vhost, &request) {
            return;
        }
        match self.catalog.check(vhost, asker, &request) {
            Err(fault) => self.answer(from.conn.conn, Notice::Failed(fault)),
            Ok(Verdict::Already) if !waits => self.answer(from.conn.conn, catalog_done(&request)),
            Ok(Verdict::Queue(queue)) if !waits || !matches!(request, Request::DeclareQueue(_)) => self.ask_queue(from, queue, request),
            Ok(_) => {
                let wish = Wish::Request { asker, vhost, request: request.clone() };
                self.order(wish, Waiter::Request { from, request });
            }
        }
    }

    /// Sends the rest of a request to its queue as a question.
    fn ask_queue(&mut self, from: ChannelAddr, queue: QueueAddr, request: Request) {
        let question = question(&request);
        if let Some(conn) = self.conns.get_mut(from.conn.conn) {
            conn.asked = Some(request);
            self.ask(queue.home, Ask { from, queue: queue.queue, question });
        }
    }

    /// Asks a queue, wherever it lives.
    fn ask(&mut self, home: ShardId, ask: Ask) {
        if home == self.id {
            self.on_ask(ask);
        } else {
            self.link(home).stage(Mail::Ask(Box::new(ask)));
        }
    }

    /// Answers a session's request here; the connection goes on.
    pub(in crate::shard) fn answer(&mut self, id: ConnId, notice: Notice) {
        let Some(conn) = self.live(id) else { return };
        conn.asked = None;
        conn.session.answer(notice);
        self.end_request(id);
    }

    /// Resumes the input of a connection whose request is answered.
    pub(in crate::shard) fn end_request(&mut self, id: ConnId) {
        if self.conns.get(id).is_some_and(|conn| !conn.feeding) {
            self.conns.resumed.push_back(id);
        }
    }

    /// Takes a queue's answer to a session here, except for a message.
    pub(in crate::shard) fn on_told(&mut self, to: ChannelAddr, answer: Answer) {
        let id = to.conn.conn;
        match answer {
            Answer::Notice(Notice::Consuming { queue, consumer, .. }) if self.live(id).is_none() => self.leave(queue, consumer),
            Answer::Notice(notice) => self.answer(id, notice),
            Answer::Retry => self.control.retries.push(to),
        }
    }

    /// Reports a peer's mistake to its session, which closes channel or connection.
    pub(in crate::shard) fn fault(&mut self, id: ConnId, channel: u16, fault: Fault) {
        if let Some(conn) = self.live(id) {
            log::debug!(peer:% = conn.peer.ip(); "{}: channel {channel}: {}", conn.peer, fault.reply_text());
            conn.session.fault(channel, fault);
        }
    }
}

/// The answer to a request that the catalog alone could carry out.
pub(in crate::shard) fn catalog_done(request: &Request) -> Notice {
    match request {
        Request::DeleteQueue { .. } => Notice::MessagesGone { messages: 0 }, // there was none (row D9)
        _ => Notice::Done,
    }
}

/// Returns the question of a request to its queue.
fn question(request: &Request) -> Question {
    match *request {
        Request::DeclareQueue(_) | Request::CheckQueue { .. } => Question::Counts,
        Request::PurgeQueue { .. } => Question::Purge,
        Request::DeleteQueue { if_unused, if_empty, .. } => Question::Delete { if_unused, if_empty },
        Request::Consume { index, no_ack, exclusive, prefetch, limited, window, ref arguments, .. } => {
            let arguments = ConsumerArguments::of(arguments);
            Question::Consume { index, no_ack, exclusive, prefetch, window, metered: limited && !no_ack, arguments }
        }
        Request::Get { no_ack, .. } => Question::Get { no_ack },
        Request::DeclareExchange(_)
        | Request::CheckExchange { .. }
        | Request::DeleteExchange { .. }
        | Request::Bind(_)
        | Request::Unbind(_)
        | Request::ConsumeReplies { .. }
        | Request::Cancel { .. } => unreachable!("the catalog asks no queue for these"),
    }
}
