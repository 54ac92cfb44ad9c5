//! Input: the session takes events out of a connection's bytes, and the shard carries them out.
//!
//! ```text
//! socket ─▶ [..frame|frame|fra]   whole frames are parsed where they are; only a torn one is kept
//! socket ─▶ [me|frame|frame..]    in `input`, and completed with as few bytes as it needs
//! ```
//!
//! A parked connection (see [`Conn::is_parked`]) keeps its bytes in `input` and goes on with them
//! when it is resumed.

use crate::base::ids::ConnId;
use crate::base::limits::PARKED_INPUT_MAX;
use crate::broker::access;
use crate::contract::session::{BodyLoan, ChannelQuotas, Contents, Event, Login, Publish};
use crate::contract::{Code, Fault};
use crate::shard::Shard;
use crate::shard::conns::BrokerQuotas;
use crate::shard::conns::conn::Conn;
use crate::shard::conns::credit::recheck_waiting;
use crate::shard::conns::lifecycle::Last;
use crate::shard::conns::outbox::set_paused;
use crate::shard::conns::parking::OwnReason;
use crate::shard::publish::dispatch::Published;
use crate::shard::publish::wanted::Wanted;

impl Shard {
    /// Takes bytes from the socket. The shard copies those that it must keep.
    pub fn on_bytes(&mut self, id: ConnId, bytes: &[u8]) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.traffic.receive(bytes.len());
        }
        self.read(id, bytes);
    }

    fn read(&mut self, id: ConnId, mut bytes: &[u8]) {
        while let Some(conn) = self.conns.get_mut(id).filter(|conn| !conn.ending) {
            if conn.is_parked() {
                conn.session.heard();
                conn.input.extend_from_slice(bytes);
                if conn.input.len() > PARKED_INPUT_MAX {
                    set_paused(&mut self.actions, conn, id, true);
                }
                return;
            }
            if conn.input.is_empty() {
                let used = self.feed(id, bytes);
                self.note_flood(id, bytes.len());
                return self.keep(id, &bytes[used..]);
            }
            if bytes.is_empty() {
                return;
            }
            let missing = conn.session.needed(&conn.input).saturating_sub(conn.input.len()).clamp(1, bytes.len());
            conn.input.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            self.feed_kept(id);
        }
    }

    /// Lends room for at most `most` bytes of a large body that is arriving, if there is one.
    /// [`Shard::return_body`] follows, before any other bytes of the connection.
    pub fn lend_body(&mut self, id: ConnId, most: usize) -> Option<BodyLoan> {
        let conn = self.conns.get_mut(id).filter(|conn| !conn.ending && !conn.is_parked() && conn.input.is_empty())?;
        conn.session.lend_body(most)
    }

    /// Takes the room back, with the bytes that have arrived there, the gaps between its
    /// pieces, and the bytes behind.
    pub fn return_body(&mut self, id: ConnId, loan: BodyLoan, gaps: &[u8], tail: &[u8]) {
        if let Some(conn) = self.conns.get_mut(id) {
            let lent = loan.arrived();
            let stream = conn.session.return_body(loan, gaps);
            conn.traffic.receive(lent + gaps.len() + tail.len());
            self.read(id, &stream);
            self.read(id, tail);
        }
    }

    /// Parses the input that was kept.
    pub(in crate::shard) fn feed_kept(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let mut input = std::mem::take(&mut conn.input);
        let used = self.feed(id, &input);
        input.drain(..used);
        let Some(conn) = self.conns.get_mut(id) else { return };
        if input.is_empty() && input.capacity() > INPUT_KEPT {
            input = Vec::new();
        }
        conn.input = input;
    }

    /// Resumes a connection whose reason to wait has ended.
    pub(in crate::shard) fn resume_input(&mut self, id: ConnId) {
        self.feed_kept(id);
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.is_lost {
            return self.end_gone(id);
        }
        if !conn.is_parked() && !conn.is_held {
            set_paused(&mut self.actions, conn, id, false);
        }
    }

    /// Stops reading a connection that publishes during an alarm. Its data stays in the socket,
    /// because memory may be short.
    fn pause(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            set_paused(&mut self.actions, conn, id, true);
        }
    }

    fn keep(&mut self, id: ConnId, rest: &[u8]) {
        if let Some(conn) = self.conns.get_mut(id).filter(|_| !rest.is_empty()) {
            conn.input.extend_from_slice(rest);
        }
    }

    /// Carries out all events of `input`; returns how many bytes are used up.
    fn feed(&mut self, id: ConnId, input: &[u8]) -> usize {
        let (mut at, mut contents) = (0, Contents::new());
        self.set_feeding(id, true);
        self.work.begin_share();
        self.go_on_spreading(id);
        while let Some(conn) = self.conns.get_mut(id).filter(|conn| !conn.is_parked() && !conn.ending) {
            if self.work.is_share_spent() {
                self.wait_for_turn(id);
                break;
            }
            if conn.session.is_stalled() {
                conn.park(OwnReason::Output);
                set_paused(&mut self.actions, conn, id, true);
                break;
            }
            let (used, event) = conn.session.poll(&input[at..], &mut contents);
            at += used;
            match event {
                Event::Publish(Publish { channel, mandatory, confirm, route }) => {
                    let wanted = Wanted::confirm(confirm);
                    let effect = self.publish(id, Published { channel, mandatory, wanted, route, contents: &contents });
                    self.park_if_congested(id, effect);
                }
                Event::Settle { channel, tags, outcome } => self.on_settle(id, channel, tags, outcome),
                Event::Starved => break,
                other => self.on_event(id, other),
            }
        }
        self.set_feeding(id, false);
        let is_over = self.conns.get(id).is_none_or(|conn| conn.ending);
        if is_over { input.len() } else { at }
    }

    fn set_feeding(&mut self, id: ConnId, feeding: bool) {
        if let Some(conn) = self.conns.touch(id) {
            conn.feeding = feeding;
            conn.count_output();
        }
    }

    fn on_event(&mut self, id: ConnId, event: Event<'_>) {
        match event {
            Event::Publish(_) | Event::Settle { .. } | Event::Starved => unreachable!("handled by feed"),
            Event::Assembled { .. } => self.on_assembled(id),
            Event::Recover { channel } => self.on_recover(id, channel),
            Event::Login(login) => self.on_login(id, &login),
            Event::OpenVhost(name) => self.on_open_vhost(id, &name),
            Event::Request { channel, request } => self.on_request(id, channel, request),
            Event::Rollback { channel } => self.on_rollback(id, channel),
            Event::Commit { channel } => self.on_commit(id, channel),
            Event::PublishAtCommit { channel } => self.publish_at_commit(id, channel),
            Event::SettleAtCommit { channel, tags, outcome } => self.settle_at_commit(id, channel, tags, outcome),
            Event::Relieved { .. } => recheck_waiting(self, id),
            Event::Metered { channel } => self.on_metered(id, channel),
            Event::Late(late) => self.on_late(id, &late),
            Event::Blocked => self.pause(id),
            Event::ChannelEnded { channel } => self.end_channel(id, channel),
            Event::Closing(reason) => self.on_closing(id, reason),
            Event::WrongProtocol(what) => self.on_wrong_protocol(id, &what),
            Event::Finished => self.end_session(id),
        }
    }

    fn on_assembled(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let assembled = conn.session.take_assembled();
        let (channel, mandatory, wanted) = (assembled.channel, assembled.mandatory, Wanted::confirm(assembled.confirm));
        let message = assembled.view();
        let effect = self.publish(id, Published { channel, mandatory, wanted, route: message.route, contents: &[message.content()] });
        self.park_if_congested(id, effect);
        if let Some(conn) = self.conns.get_mut(id) {
            conn.session.recycle(assembled);
        }
    }

    /// Cleans up after a connection that the protocol ends; after that it says its last word.
    fn on_closing(&mut self, id: ConnId, reason: Option<Fault>) {
        // Before the login, only a refused login has this code, and it has been logged.
        let is_told = |conn: &Conn, fault: &Fault| conn.user.is_none() && fault.code == Code::AccessRefused;
        if let (Some(conn), Some(fault)) = (self.conns.get(id), reason)
            && !is_told(conn, &fault)
        {
            log::warn!(peer:% = conn.peer.ip(); "{} -> {}: {}", conn.peer, conn.local, fault.reply_text());
        }
        self.release(id, Some(Last::Connection));
    }

    /// Logs a client that does not speak AMQP 0-9-1. The session has told it what to speak, and is
    /// finished.
    fn on_wrong_protocol(&mut self, id: ConnId, what: &str) {
        if let Some(conn) = self.conns.get(id) {
            log::warn!(peer:% = conn.peer.ip(); "{} -> {}: {what}", conn.peer, conn.local);
        }
    }

    fn on_login(&mut self, id: ConnId, login: &Login) {
        let Some(conn) = self.conns.touch(id) else { return };
        let user = String::from_utf8_lossy(&login.user);
        let confined = if conn.peer.ip().is_loopback() { &[] } else { &self.config.loopback_users[..] };
        conn.user = match access::authenticate(&self.catalog, &user, &login.password, confined) {
            Ok(user) => Some(user),
            Err(refusal) => {
                let (peer, why) = (conn.peer, refusal.text(&user));
                log::warn!(peer:% = peer.ip(); "{peer} -> {}: {} login refused: {why}", conn.local, login.mechanism);
                None
            }
        };
        match conn.user {
            Some(_) => self.tally.logins += 1,
            None => self.tally.refused_logins += 1,
        }
        conn.session.logged_in(conn.user.is_some());
    }

    fn on_open_vhost(&mut self, id: ConnId, name: &str) {
        let BrokerQuotas { opened_connections, channels: in_broker } = self.conns.quotas.clone();
        let Some(conn) = self.conns.touch(id) else { return };
        let (peer, user) = (conn.peer, &conn.user().name);
        log::info!(peer:% = peer.ip(); "{peer} -> {}: user '{user}' opens vhost '{name}'", conn.local);
        let opened = access::open_vhost(&self.catalog, &opened_connections, conn.user(), name);
        conn.session.opened(opened.map(|(vhost, channels, stay)| {
            conn.stay = Some(stay);
            conn.is_traced = self.catalog.find_vhost(vhost).is_some_and(|vhost| vhost.spec.tracing);
            (vhost, ChannelQuotas { of_user: channels, in_broker })
        }));
    }
}

/// Memory for torn frames that a connection keeps while it has none, bytes.
const INPUT_KEPT: usize = 4096;
