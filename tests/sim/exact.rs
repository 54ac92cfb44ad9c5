//! One operation at a time: several connections to several shards, and after each operation all
//! shards come to rest. Then there is exactly one right answer, and the model of the broker knows
//! it.

mod compare;

use std::collections::BTreeMap;

use crate::choice::{Dice, letter_binding};
use crate::history::History;
use crate::model::{Mode, Model};
use crate::op::{DELAY_MAX, DELAYING, EXCHANGES, MEMORY, MessageId, Name, Op, Place, Publish, Saw, Settle};
use crate::policies::PolicyCommand;
use crate::queues::{BURYING, LANES, LETTERS, PLAIN, QUEUES, UNIQUE};
use crate::support::broker::{Broker, Conn};
use crate::support::client::{self, Incoming};
use crate::support::value::Value;
use crate::support::wire::{self, Method};

/// A run: the broker, the model of it, and the clients.
pub struct Exact<'b> {
    broker: &'b mut dyn Broker,
    history: &'b mut History,
    dice: Dice,
    model: Model,
    clients: BTreeMap<usize, Client>,
    clients_made: usize,
    tags: u32,
    messages: MessageId,
    /// The number of steps without news after which a broker behind sockets is taken to be at rest.
    quiet_steps: usize,
}

struct Client {
    conn: Conn,
    incoming: Incoming,
    piece: usize,
}

impl<'b> Exact<'b> {
    /// Makes clients of `broker` that act by the seed.
    pub fn new(broker: &'b mut dyn Broker, history: &'b mut History, seed: u64, quiet_steps: usize) -> Exact<'b> {
        let queues = if quiet_steps == 0 { QUEUES } else { PLAIN };
        let (dice, model, clients) = (Dice::new(seed, queues), Model::new(), BTreeMap::new());
        Exact { broker, history, dice, model, clients, clients_made: 0, tags: 0, messages: 0, quiet_steps }
    }

    /// Does this many operations; panics where the broker and the model disagree.
    pub fn run(&mut self, operations: usize) {
        for _ in 0..CLIENTS {
            self.connect();
        }
        if self.quiet_steps == 0 && self.dice.one_in(2) {
            self.lead_letters();
        }
        for _ in 0..operations {
            match self.dice.weighted(&[20, 30, 14, 5, 6, 16, 1, 1, 2, 5]) {
                0 => self.topology(),
                1 => self.publish(),
                2 => self.consume(),
                3 => self.get(),
                4 => self.change_channel(),
                5 => self.settle(),
                6 => self.reconnect(),
                7 => self.transaction(),
                8 => self.operate(),
                _ => {
                    let longest = self.dice.pick(&[3, 50, 2000, DELAY_MAX / 2]);
                    let ms = 1 + self.dice.below(longest);
                    self.pass_time(ms);
                }
            }
        }
    }

    /// Removes everything that the run made, and hangs up.
    pub fn finish(&mut self) {
        if self.dice.one_in(2) {
            self.pass_time(DELAY_MAX + LANES);
        }
        let at = self.place();
        self.clients
            .keys()
            .copied()
            .filter(|&client| client != at.0)
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|client| self.hang_up(client));
        let (queues, exchanges): (Vec<_>, Vec<_>) =
            (self.model.queues.keys().copied().collect(), self.model.exchanges.iter().copied().collect());
        queues.into_iter().for_each(|name| self.act(at, &[Op::DeleteQueue { name, if_unused: false, if_empty: false }]));
        for name in exchanges {
            if !name.is_empty() && !name.starts_with("amq.") && self.model.exchanges.contains(name) {
                self.act(at, &[Op::DeleteExchange { name, if_unused: false }]);
            }
        }
        if self.quiet_steps == 0 {
            PolicyCommand::last().for_each(|command| self.carry_out(&command));
        }
        self.hang_up(at.0);
    }

    /// Binds queues for dead letters from the beginning, so that letters find queues for a while at
    /// least.
    fn lead_letters(&mut self) {
        let at = self.place();
        self.act(at, &[Op::DeclareExchange(LETTERS)]);
        for destination in [BURYING, "q0", UNIQUE] {
            self.act(at, &[Op::DeclareQueue(destination)]);
            self.act(at, &[Op::Bind(letter_binding(destination))]);
        }
    }

    /// Sets or clears a policy. (A run is no operator of a broker behind an address.)
    fn operate(&mut self) {
        let command = PolicyCommand::random(&mut self.dice);
        if self.quiet_steps == 0 {
            self.carry_out(&command);
        }
    }

    fn carry_out(&mut self, command: &PolicyCommand) {
        self.history.note(format_args!("{command:?}"));
        self.broker.operate(&command.ctl()).expect("it is in order");
        self.model.operate(command);
        self.compare();
    }

    /// Lets time pass, except on a broker behind an address, which has a clock of its own and is
    /// told to delay nothing.
    fn pass_time(&mut self, ms: u64) {
        let end = (self.model.now + ms).next_multiple_of(LANES);
        while self.quiet_steps == 0 && self.model.now < end {
            let time = self.model.next_due().map_or(end, |due| due.min(end));
            self.history.note(format_args!("{} ms pass", time - self.model.now));
            self.broker.pass_time(time - self.model.now);
            self.model.pass_to(time);
            self.compare();
        }
    }

    /// Chooses the delay of a message for this exchange. Messages that wait in several exchanges
    /// are never due at the same time, because their order would be open.
    fn delay(&mut self, exchange: Name) -> Option<u64> {
        let lane = DELAYING.iter().position(|&name| name == exchange).unwrap_or(0) as u64;
        let delay = self.dice.delay(exchange).filter(|_| self.quiet_steps == 0)?;
        Some(delay.next_multiple_of(LANES) + lane + 1)
    }

    fn topology(&mut self) {
        let (at, op) = (self.place(), self.dice.topology());
        self.act(at, &[op]);
    }

    fn publish(&mut self) {
        let at = self.place();
        let count = 1 + self.dice.below(5);
        let messages = (0..count).map(|_| self.message()).collect();
        self.act(at, &[Op::Publish(self.without_race(&[], messages))]);
    }

    /// Keeps only messages whose effects have a determined order. A publish that closes its channel
    /// is alone, because deliveries of publishes before it may or may not be seen there. Messages
    /// that shard 0 routes are not mixed with others, nor with those `staged` in the same
    /// transaction.
    fn without_race(&self, staged: &[Publish], mut messages: Vec<Publish>) -> Vec<Publish> {
        let is_first_remembered = staged.iter().chain(&messages).next().is_some_and(|message| message.exchange == MEMORY);
        messages.retain(|message| (message.exchange == MEMORY) == is_first_remembered);
        let fails = |message: &Publish| !self.model.exchanges.contains(message.exchange);
        let alone = messages.iter().position(fails).unwrap_or(messages.len());
        messages.truncate(alone.max(1));
        messages
    }

    fn message(&mut self) -> Publish {
        self.messages += 1;
        let mut message = self.dice.publish(self.messages);
        if message.exchange.is_empty() {
            message.key = self.queue();
        }
        if !self.model.exchanges.contains(message.exchange) && !self.dice.one_in(8) {
            message.exchange = self.dice.pick(&self.model.exchanges.iter().copied().collect::<Vec<_>>());
        }
        message.delay = self.delay(message.exchange);
        message
    }

    /// Chooses a queue, mostly one that exists.
    fn queue(&mut self) -> Name {
        let queues: Vec<_> = self.model.queues.keys().copied().collect();
        let is_burying = self.quiet_steps == 0 && self.dice.one_in(8);
        match () {
            () if is_burying => BURYING,
            () if queues.is_empty() || self.dice.one_in(8) => self.dice.queue(),
            () => self.dice.pick(&queues),
        }
    }

    fn consume(&mut self) {
        let consumers: Vec<(Place, u32)> =
            self.model.queues.values().flat_map(|queue| queue.consumers.iter().map(|consumer| (consumer.place, consumer.tag))).collect();
        let queue = self.queue();
        let at = self.place_for(queue);
        let op = match self.dice.below(6) {
            0 | 1 if !consumers.is_empty() => {
                let (place, tag) = self.dice.pick(&consumers);
                return self.act(place, &[Op::Cancel(tag)]);
            }
            2 => Op::Qos { prefetch: self.dice.below(4) as u16, global: false },
            3 if self.dice.one_in(2) => Op::Purge(queue),
            _ => {
                self.tags += 1;
                let (no_ack, exclusive) = (self.dice.one_in(4), self.dice.one_in(12));
                let priority = if self.dice.one_in(4) { self.dice.below(3) as i32 - 1 } else { 0 };
                Op::Consume { queue, tag: self.tags, no_ack, exclusive, priority }
            }
        };
        self.act(at, &[op]);
    }

    fn get(&mut self) {
        let queue = self.queue();
        let (at, no_ack) = (self.place_for(queue), self.dice.one_in(3));
        self.act(at, &[Op::Get { queue, no_ack }]);
    }

    fn change_channel(&mut self) {
        let at = self.place();
        match self.dice.below(4) {
            0 => {
                self.act(at, &[Op::Close]);
                self.act(at, &[Op::Open]);
            }
            1 => self.act(at, &[Op::Recover]),
            _ if matches!(self.model.channels[&at].mode, Mode::Plain) => self.act(at, &[Op::ConfirmSelect]),
            _ => {}
        }
    }

    fn settle(&mut self) {
        let mut at = self.place();
        if self.dice.one_in(4) {
            at.1 = BURYING_CHANNEL;
        }
        let op = self.choose_settle(at);
        self.act(at, &[op]);
    }

    fn choose_settle(&mut self, at: Place) -> Op {
        let how = self.dice.pick(&[
            Settle::Ack,
            Settle::Ack,
            Settle::Nack,
            Settle::Requeue,
            Settle::Requeue,
            Settle::Reject,
            Settle::RejectRequeue,
        ]);
        let held: Vec<u64> = self.model.channels[&at].held.keys().copied().collect();
        let can_multiple = !matches!(how, Settle::Reject | Settle::RejectRequeue);
        let multiple = can_multiple && self.dice.one_in(3);
        let tag = match held.len() {
            _ if multiple && self.dice.one_in(4) => 0,
            0 if self.dice.one_in(8) => 77_777,
            0 => return Op::Qos { prefetch: self.dice.below(5) as u16, global: false },
            _ => self.dice.pick(&held),
        };
        Op::Settle { how, tag, multiple }
    }

    /// Runs a transaction from its first publish to its end, on a channel of its own.
    fn transaction(&mut self) {
        let client = self.dice.pick(&self.clients.keys().copied().collect::<Vec<_>>());
        let at = (client, TX_CHANNEL);
        self.act(at, &[Op::Open]);
        self.act(at, &[Op::TxSelect]);
        for _ in 0..1 + self.dice.below(3) {
            for _ in 0..self.dice.below(3) {
                let queue = self.queue();
                if queue != BURYING {
                    self.act(at, &[Op::Get { queue, no_ack: false }]);
                }
            }
            if !self.is_transactional(at) {
                break;
            }
            let messages = (0..self.dice.below(4)).map(|_| self.message()).collect();
            let Mode::Tx(staged, _) = &self.model.channels[&at].mode else { unreachable!("it was just found so") };
            self.act(at, &[Op::Publish(self.without_race(staged, messages))]);
            if !self.is_transactional(at) {
                break;
            }
            if !self.model.channels[&at].held.is_empty() {
                let op = self.choose_settle(at);
                self.act(at, &[op]);
            }
            let end = if self.dice.one_in(3) { Op::Rollback } else { Op::Commit };
            if self.is_transactional(at) && !self.dice.one_in(6) {
                self.act(at, &[end]);
            }
        }
        self.act(at, &[Op::Close]);
    }

    fn is_transactional(&self, at: Place) -> bool {
        matches!(self.model.channels[&at].mode, Mode::Tx(..))
    }

    fn reconnect(&mut self) {
        let client = self.place().0;
        if self.dice.one_in(2) {
            self.hang_up(client);
        } else {
            self.act((client, BURYING_CHANNEL), &[Op::Close]);
            let close = Method::new("connection.close", &[("reply_code", Value::number(200))]).expect("the list knows it");
            self.history.note(format_args!("{client} closes"));
            self.send(client, &wire::method_frame(0, &close));
            self.model.disconnect(client);
            self.model.expected.entry((client, 0)).or_default().push(Saw::Reply("connection.close-ok".to_owned()));
            self.compare();
            self.hang_up(client);
        }
        self.connect();
    }

    fn hang_up(&mut self, client: usize) {
        if self.model.channels.contains_key(&(client, BURYING_CHANNEL)) {
            self.act((client, BURYING_CHANNEL), &[Op::Close]);
        }
        self.history.note(format_args!("{client} hangs up"));
        let gone = self.clients.remove(&client).expect("it was connected");
        self.broker.hang_up(gone.conn);
        self.model.disconnect(client);
        self.model.expected.retain(|place, _| place.0 != client);
        self.compare();
    }

    fn connect(&mut self) {
        let client = self.clients_made;
        self.clients_made += 1;
        let piece = self.dice.pick(&[8192, 131_072]) - 8;
        self.clients.insert(client, Client { conn: self.broker.connect(), incoming: Incoming::default(), piece });
        self.send(client, &handshake(piece + 8));
        self.collect();
        for channel in (1..=CHANNELS).chain([BURYING_CHANNEL]) {
            self.act((client, channel), &[Op::Open]);
        }
    }

    /// Chooses an open channel.
    fn place(&mut self) -> Place {
        self.dice.pick(&self.model.channels.keys().copied().collect::<Vec<_>>())
    }

    /// Chooses an open channel for an operation that takes messages from this queue. When a channel
    /// ends, its letters may come to a queue before or after the messages that it gives back, so
    /// one channel of each client is reserved for the queue that has letters.
    fn place_for(&mut self, queue: Name) -> Place {
        let client = self.place().0;
        (client, if queue == BURYING { BURYING_CHANNEL } else { 1 + self.dice.below(CHANNELS.into()) as u16 })
    }

    /// Sends these operations in one write, carries them out on the model, and compares. A channel
    /// that was closed is opened again.
    fn act(&mut self, at: Place, ops: &[Op]) {
        self.history.note(format_args!("{at:?} {ops:?}"));
        let piece = self.clients[&at.0].piece;
        let bytes: Vec<u8> = ops.iter().flat_map(|op| op.encode(at.1, piece)).collect();
        self.send(at.0, &bytes);
        ops.iter().for_each(|op| self.model.apply(at, op));
        let failed = self.model.expected.get(&at).is_some_and(|seen| seen.iter().any(|saw| matches!(saw, Saw::ChannelClosed(_))));
        self.compare();
        if failed {
            self.act(at, &[Op::CloseOk, Op::Open]);
        }
    }

    fn send(&mut self, client: usize, bytes: &[u8]) {
        self.broker.send(self.clients[&client].conn, bytes);
    }
}

/// Removes the remains of earlier runs from a broker that outlives them.
pub fn tidy(broker: &mut dyn Broker) {
    let conn = broker.connect();
    let queues = QUEUES.iter().map(|name| Op::DeleteQueue { name, if_unused: false, if_empty: false });
    let exchanges = EXCHANGES.iter().map(|(name, _)| Op::DeleteExchange { name, if_unused: false });
    let ops = [Op::Open].into_iter().chain(queues).chain(exchanges);
    broker.send(conn, &handshake(8192));
    ops.for_each(|op| broker.send(conn, &op.encode(1, 8192)));
    broker.pass_time(1000);
}

/// Encodes all methods of a client up to connection.open.
pub fn handshake(frame_max: usize) -> Vec<u8> {
    let tune = [("channel_max", Value::number(2047)), ("frame_max", Value::number(frame_max as u64)), ("heartbeat", Value::number(0))];
    let methods = [
        client::start_ok(client::CAPABILITIES),
        Method::new("connection.tune-ok", &tune).expect("the list knows it"),
        Method::new("connection.open", &[("virtual_host", Value::text("/"))]).expect("the list knows it"),
    ];
    let frames = methods.iter().flat_map(|method| wire::method_frame(0, method));
    client::PROTOCOL_HEADER.iter().copied().chain(frames).collect()
}

const CLIENTS: usize = 4;
const CHANNELS: u16 = 2;
const BURYING_CHANNEL: u16 = 3;
const TX_CHANNEL: u16 = 9;
