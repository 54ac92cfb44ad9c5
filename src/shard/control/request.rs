//! Requests of channels: declare, bind, consume, get and the like.
//!
//! A request names things, so this shard's copy of the catalog is asked first, and may refuse it. A
//! request that changes the catalog becomes an [`order`](crate::shard::control::order); one that a
//! queue must answer is sent to the queue's home. The connection is parked until the answer.

use crate::base::ids::{ChannelAddr, ConnId, QueueAddr, ShardId};
use crate::broker::catalog::{ConsumerArguments, Verdict};
use crate::contract::{Fault, Notice, Request, Topology, VhostId};
use crate::shard::Shard;
use crate::shard::conns::parking::OwnReason;
use crate::shard::control::order::Waiter;
use crate::shard::control::wish::Wish;
use crate::shard::peers::mail::{Answer, Ask, Mail, Question};

impl Shard {
    /// Takes a request of a session. It runs once the queues have the messages that were published
    /// before. The connection is parked until the answer.
    pub(in crate::shard) fn on_request(&mut self, id: ConnId, channel: u16, request: Request) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.park(OwnReason::Answer);
        if conn.relayed > 0 {
            conn.delayed = Some((channel, request));
            return;
        }
        let from = ChannelAddr { conn: self.conn_addr(id), channel };
        let is_declaration = matches!(request, Request::Topology(Topology::DeclareQueue(_)));
        self.tally.churn.queue_declared += u64::from(is_declaration);
        let is_change = matches!(request, Request::Topology(_));
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
        self.run(from, request, self.is_undecided());
    }

    /// Carries out a queue's declaration that is decided.
    pub(in crate::shard) fn run_decided(&mut self, from: ChannelAddr, request: Request) {
        self.run(from, request, false);
    }

    /// Carries a request out. With `waits`, the answer about something that the catalog has already
    /// waits until that is decided.
    fn run(&mut self, from: ChannelAddr, request: Request, waits: bool) {
        let Some(conn) = self.live(from.conn.conn) else { return };
        let (vhost, asker) = (conn.session.vhost(), conn.asker());
        if self.answer_for_replies(from, vhost, &request) {
            return;
        }
        let checked = match &request {
            Request::Topology(topology) => return self.run_topology(from, vhost, topology.clone(), waits),
            Request::Cancel { index } => return self.cancel(from, *index),
            Request::ConsumeReplies { index } => return self.consume_replies(from, *index),
            Request::CheckExchange { name } => {
                let checked = self.catalog.check_exchange(vhost, asker, name);
                return self.answer(from.conn.conn, checked.map_or_else(Notice::Failed, |()| Notice::Done));
            }
            Request::CheckQueue { name } => self.catalog.check_queue(vhost, asker, name).map(|queue| (queue, Question::Counts)),
            Request::PurgeQueue { name } => self.catalog.check_read(vhost, asker, name).map(|queue| (queue, Question::Purge)),
            &Request::Get { queue: ref name, no_ack } => {
                self.catalog.check_read(vhost, asker, name).map(|queue| (queue, Question::Get { no_ack }))
            }
            &Request::Consume { queue: ref name, index, no_ack, exclusive, prefetch, limited, window, ref arguments } => {
                let checked = self.catalog.check_consume(vhost, asker, name, limited, arguments);
                let (metered, arguments) = (limited && !no_ack, ConsumerArguments::of(arguments));
                checked.map(|queue| (queue, Question::Consume { index, no_ack, exclusive, prefetch, window, metered, arguments }))
            }
        };
        match checked {
            Ok((queue, question)) => self.ask_queue(from, queue, question, request),
            Err(fault) => self.answer(from.conn.conn, Notice::Failed(fault)),
        }
    }

    /// Carries out a request to change the topology.
    fn run_topology(&mut self, from: ChannelAddr, vhost: VhostId, topology: Topology, waits: bool) {
        let Some(conn) = self.conns.get(from.conn.conn) else { return };
        let (asker, user) = (conn.asker(), conn.user().name.clone());
        let verdict = match self.catalog.check(vhost, asker, &topology) {
            Ok(verdict) => verdict,
            Err(fault) => return self.answer(from.conn.conn, Notice::Failed(fault)),
        };
        match (&verdict, &topology) {
            (Verdict::Already, _) if !waits => return self.answer(from.conn.conn, catalog_done(&topology)),
            (&Verdict::Queue(queue), &Topology::DeleteQueue { if_unused, if_empty, .. }) => {
                return self.ask_queue(from, queue, Question::Delete { if_unused, if_empty }, topology.into());
            }
            (&Verdict::Queue(queue), _) if !waits => return self.ask_queue(from, queue, Question::Counts, topology.into()),
            _ => {}
        }
        let wanted = topology.clone();
        let wish = |shard: &Shard| Wish::Request {
            home: asker.home,
            owner: asker.conn,
            user,
            vhost: shard.catalog.vhost_name(vhost).into(),
            topology: wanted,
        };
        self.order_checked(verdict, wish, Waiter::Request { from, topology });
    }

    /// Ends a consumer, at its queue if that has it. A consumer of replies has no queue.
    fn cancel(&mut self, from: ChannelAddr, index: u32) {
        let Some(conn) = self.conns.get_mut(from.conn.conn) else { return };
        conn.channels.cancel_replies(from.channel, index);
        match conn.session.consumer(from.channel, index) {
            Some((queue, consumer)) => self.ask(queue.home, Ask { from, queue: queue.queue, question: Question::Cancel(consumer) }),
            None => self.answer(from.conn.conn, Notice::Done),
        }
    }

    /// Sends the rest of a request to its queue as a question.
    fn ask_queue(&mut self, from: ChannelAddr, queue: QueueAddr, question: Question, request: Request) {
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
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.unpark(OwnReason::Answer);
        if !conn.feeding {
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

/// The answer to an operation that the catalog alone could carry out.
pub(in crate::shard) fn catalog_done(topology: &Topology) -> Notice {
    match topology {
        Topology::DeleteQueue { .. } => Notice::MessagesGone { messages: 0 }, // there was none (row D9)
        _ => Notice::Done,
    }
}
