//! The figures that answer operators' queries. A part of a list is made in one go; whatever was
//! made or has gone between two parts may be in the list or not.

use crate::base::ids::{ChannelAddr, ConnAddr, ConnId, Key, QueueId, ShardId};
use crate::broker::queue::Queue;
use crate::contract::session::{ChannelState, ConsumerState, SessionFigures};
use crate::contract::{
    ChannelFigures, ConnectionFigures, ConnectionState, ConsumerFigures, Count, ExchangeFigures, Figures, PART, Part, Query, QueueFigures,
    Totals,
};
use crate::shard::conns::conn::Conn;
use crate::shard::{Shard, local_queue};

impl Shard {
    /// Answers a query.
    pub(in crate::shard) fn figures(&mut self, query: &Query) -> Figures {
        match *query {
            Query::Totals => Figures::Totals(Box::new(self.totals())),
            Query::Queues { from } => Figures::Queues(self.queues_from(from)),
            Query::QueuesById(ref ids) => {
                let items = ids.iter().take(PART).filter_map(|&id| self.queue_by_id(id)).collect();
                Figures::Queues(Part { items, next: None })
            }
            Query::Exchanges { from } => Figures::Exchanges(self.exchanges_from(from)),
            Query::Connections { from } => Figures::Connections(self.conns_from(from, |shard, id, conn| vec![shard.connection(id, conn)])),
            Query::Channels { from } => Figures::Channels(self.conns_from(from, Shard::channels_of)),
            Query::Consumers { from } => Figures::Consumers(self.conns_from(from, Shard::consumers_of)),
        }
    }

    fn totals(&self) -> Totals {
        let (messages, message_memory) = self.messages();
        let mut counts = self.tally.counts;
        counts[Count::Publish] = self.publishing.exchanges.published();
        let (log_bytes, _) = self.durability.store.size();
        let mut churn = self.tally.churn;
        let mut channels = 0;
        if self.id == ShardId::ORDERER {
            let quota = &self.conns.quotas.channels; // it counts those of all shards
            channels = quota.taken() as usize;
            churn.channel_created = quota.ever_taken();
            churn.channel_closed = churn.channel_created.saturating_sub(channels as u64);
        }
        Totals {
            counts,
            connections: self.conns.len(),
            consumers: self.tally.consumers,
            channels,
            churn,
            messages,
            message_memory,
            log_bytes,
            writes: self.tally.writes,
            octets: self.tally.traffic.octets,
            packets: self.tally.traffic.packets,
            logins: (self.tally.logins, self.tally.refused_logins),
        }
    }

    fn queues_from(&self, from: u32) -> Part<QueueFigures> {
        let slots = &self.queues.slots;
        let end = slots.len().min(from as usize + PART);
        let here = slots.get(from as usize..end).unwrap_or_default().iter().flatten();
        let items = here.filter(|queue| self.is_shown(queue)).map(|queue| self.queue(queue)).collect();
        Part { items, next: (end < slots.len()).then_some(end as u32) }
    }

    fn queue_by_id(&mut self, id: QueueId) -> Option<QueueFigures> {
        local_queue(&mut self.queues.slots, id)?;
        let queue = self.queues.slots[Key::from(id).slot as usize].as_deref()?;
        self.is_shown(queue).then(|| self.queue(queue))
    }

    /// Whether clients see the queue: it is not one for the delayed messages of an exchange.
    fn is_shown(&self, queue: &Queue) -> bool {
        self.catalog.queue(queue.id).is_some_and(|info| info.delays.is_none())
    }

    fn queue(&self, queue: &Queue) -> QueueFigures {
        QueueFigures {
            id: queue.id,
            counts: queue.counted(),
            ready: queue.len() as u64,
            unacked: queue.unsettled(),
            delayed: queue.delayed() as u64,
            ready_bytes: queue.ready_bytes(),
            unacked_bytes: queue.unsettled_bytes(),
            spilled: queue.spilled(),
            consumers: queue.consumers.len() as u32,
            consumer_capacity: if queue.consumers.is_empty() { 0.0 } else { f32::from(u8::from(queue.consumers.any_ready())) },
            single_active: queue.consumers.active().map(|target| target.channel),
            is_exclusively_consumed: queue.consumers.is_exclusive(),
            memory: size_of::<Queue>() + queue.at_hand() * ENTRY_SIZE,
            head_timestamp_ms: queue.head_timestamp(&self.arena).map(|seconds| seconds.saturating_mul(1000)),
        }
    }

    fn exchanges_from(&self, from: u32) -> Part<ExchangeFigures> {
        let counts = self.publishing.exchanges.from(from, PART);
        let figures = counts.iter().filter(|count| count.published_in > 0 && self.catalog.exchange(count.id).is_some());
        let figures = figures.map(|count| ExchangeFigures { id: count.id, counts: count.counts() });
        Part { items: figures.collect(), next: (counts.len() == PART).then_some(from + PART as u32) }
    }

    /// Makes a part of a list that goes from connection to connection. A connection is not divided.
    fn conns_from<T>(&self, from: u32, figures: impl Fn(&Shard, ConnId, &Conn) -> Vec<T>) -> Part<T> {
        let mut items = Vec::new();
        let end = self.conns.slots();
        for slot in from..end {
            if items.len() >= PART || (slot - from) as usize >= PART {
                return Part { items, next: Some(slot) };
            }
            if let Some((id, conn)) = self.conns.at_slot(slot) {
                items.append(&mut figures(self, id, conn));
            }
        }
        Part { items, next: None }
    }

    fn connection(&self, id: ConnId, conn: &Conn) -> ConnectionFigures {
        let SessionFigures { protocol, mechanism, client_properties, channels, channel_max, frame_max, heartbeat, .. } =
            conn.session.figures();
        ConnectionFigures {
            addr: ConnAddr { shard: self.id, conn: id },
            peer: conn.peer,
            local: conn.local,
            protocol,
            user: conn.user.as_ref().map(|user| (user.id, user.name.clone())),
            vhost: conn.stay.is_some().then(|| conn.session.vhost()),
            state: state(conn),
            connected_at_ms: self.epoch_ms + conn.accepted_at,
            mechanism,
            client_properties,
            channels,
            channel_max,
            frame_max,
            heartbeat,
            octets: conn.traffic.octets,
            packets: conn.traffic.packets,
            pending: conn.in_flight + conn.session.output_len(),
        }
    }

    fn channels_of(&self, id: ConnId, conn: &Conn) -> Vec<ChannelFigures> {
        let Some(user) = &conn.user else { return Vec::new() };
        let addr = |channel| ChannelAddr { conn: ConnAddr { shard: self.id, conn: id }, channel };
        let figures = |of: ChannelState| {
            let (uncommitted, acks_uncommitted) = conn.channels.uncommitted(of.channel);
            ChannelFigures {
                addr: addr(of.channel),
                ends: (conn.peer, conn.local),
                user: user.name.clone(),
                vhost: conn.session.vhost(),
                state: state(conn),
                confirm: of.confirm,
                transactional: of.transactional,
                prefetch: of.prefetch,
                global_prefetch: of.global_prefetch,
                consumers: of.consumers,
                unacked: of.unacked + acks_uncommitted,
                unconfirmed: of.unconfirmed,
                uncommitted,
                acks_uncommitted,
                counts: of.counts,
            }
        };
        conn.session.channel_states().into_iter().map(figures).collect()
    }

    fn consumers_of(&self, id: ConnId, conn: &Conn) -> Vec<ConsumerFigures> {
        let Some(user) = &conn.user else { return Vec::new() };
        let figures = |of: ConsumerState| ConsumerFigures {
            queue: of.queue.queue,
            channel: ChannelAddr { conn: ConnAddr { shard: self.id, conn: id }, channel: of.channel },
            ends: (conn.peer, conn.local),
            user: user.name.clone(),
            tag: of.tag,
            exclusive: of.terms.exclusive,
            ack_required: of.ack_required,
            prefetch: of.terms.prefetch,
            timeout_ms: of.terms.timeout_ms,
            arguments: of.terms.arguments,
        };
        conn.session.consumer_states().into_iter().map(figures).collect()
    }
}

/// The state of a connection, in RabbitMQ's words.
fn state(conn: &Conn) -> ConnectionState {
    match () {
        () if conn.ending || conn.last_word.is_some() => ConnectionState::Closing,
        () if conn.stay.is_none() && conn.session.vhost_name().is_empty() => ConnectionState::Opening,
        () if conn.stay.is_none() => ConnectionState::Closing,
        () if conn.session.is_blocked() => ConnectionState::Blocked,
        () if conn.session.is_alarmed() => ConnectionState::Blocking,
        () if conn.is_held => ConnectionState::Flow,
        () => ConnectionState::Running,
    }
}

/// Memory of an entry of a queue, bytes.
const ENTRY_SIZE: usize = 16;
