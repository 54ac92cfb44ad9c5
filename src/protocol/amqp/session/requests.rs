//! Methods that ask the broker, as [`Request`]s. CR and LF are removed from names, and an empty
//! queue name stands for the last queue declared on the channel, both as in RabbitMQ.

use super::answers::Reply;
use super::*;
use crate::base::limits::CHANNEL_CONSUMERS_MAX;
use crate::contract::session::ConsumerTerms;
use crate::contract::{BindingSpec, Code, Destination, ExchangeSpec, QueueSpec, REPLY_TO, Request, Topology, is_reply_name};
use crate::message::{Table, TableRef, Value};
use crate::protocol::amqp::method::{Method, basic, exchange, queue};

/// A request, the reply to it, and whether the client wants no reply.
type Asked = (Request, Reply, bool);

impl Session {
    /// Carries out a method that asks the broker.
    pub(super) fn on_broker_method<'a>(&mut self, number: u16, method: &Method<'_>) -> Option<Event<'a>> {
        match self.ask(number, method) {
            Ok(Some((request, reply, nowait))) => {
                self.expect_answer(number, reply, nowait);
                Some(Event::Request { channel: number, request })
            }
            Ok(None) => None,
            Err(fault) => {
                self.fail(number, self.method, fault);
                None
            }
        }
    }

    fn ask(&mut self, number: u16, method: &Method<'_>) -> Result<Option<Asked>, Fault> {
        let channel = self.channels.find(number).expect("the caller has found the channel");
        Ok(Some(match method {
            Method::ExchangeDeclare(declare) => declare_exchange(declare),
            Method::ExchangeDelete(delete) => {
                let request = Topology::DeleteExchange { name: cleaned(delete.exchange), if_unused: delete.if_unused };
                (request.into(), Reply::ExchangeDeleted, delete.nowait)
            }
            Method::ExchangeBind(exchange::Bind { source, destination, routing_key, nowait, arguments, .. }) => {
                let binding = binding(source, Destination::Exchange, destination, routing_key, *arguments);
                (Topology::Bind(binding).into(), Reply::ExchangeBound, *nowait)
            }
            Method::ExchangeUnbind(exchange::Unbind { source, destination, routing_key, nowait, arguments, .. }) => {
                let binding = binding(source, Destination::Exchange, destination, routing_key, *arguments);
                (Topology::Unbind(binding).into(), Reply::ExchangeUnbound, *nowait)
            }
            Method::QueueDeclare(declare) => self.declare_queue(declare)?,
            Method::QueueBind(queue::Bind { queue, exchange, routing_key, nowait, arguments, .. }) => {
                let (queue, key) = channel.binding_names(queue, routing_key)?;
                let binding = binding(exchange, Destination::Queue, queue, key, *arguments);
                (Topology::Bind(binding).into(), Reply::QueueBound, *nowait)
            }
            Method::QueueUnbind(queue::Unbind { queue, exchange, routing_key, arguments, .. }) => {
                let (queue, key) = channel.binding_names(queue, routing_key)?;
                let binding = binding(exchange, Destination::Queue, queue, key, *arguments);
                (Topology::Unbind(binding).into(), Reply::QueueUnbound, false)
            }
            Method::QueuePurge(purge) => {
                (Request::PurgeQueue { name: channel.queue_name(purge.queue)?.into() }, Reply::QueuePurged, purge.nowait)
            }
            Method::QueueDelete(queue::Delete { queue, if_unused, if_empty, nowait, .. }) => {
                let name = cleaned(channel.queue_name(queue)?);
                let request = Topology::DeleteQueue { name, if_unused: *if_unused, if_empty: *if_empty };
                (request.into(), Reply::QueueDeleted, *nowait)
            }
            Method::BasicGet(get) => {
                let request = Request::Get { queue: channel.queue_name(get.queue)?.into(), no_ack: get.no_ack };
                (request, Reply::Got { no_ack: get.no_ack }, false)
            }
            Method::BasicConsume(consume) => self.consume(number, consume)?,
            Method::BasicCancel(cancel) => return Ok(self.cancel(number, cancel)),
            _ => return Err(Fault::new(Code::CommandInvalid, "unimplemented method")),
        }))
    }

    fn declare_queue(&mut self, declare: &queue::Declare<'_>) -> Result<Asked, Fault> {
        let &queue::Declare { queue, passive, durable, exclusive, auto_delete, nowait, arguments, .. } = declare;
        let name = cleaned(queue);
        if passive {
            return Ok((Request::CheckQueue { name }, Reply::QueueDeclared, nowait));
        }
        if name.starts_with("amq.") && *name != *REPLY_TO && !is_reply_name(name.as_bytes()) {
            let text = format!("queue name '{name}' contains reserved prefix 'amq.*'");
            return Err(Fault::new(Code::AccessRefused, text));
        }
        if name.is_empty() && arguments.find("x-queue-type") == Some(Value::LongString(b"quorum")) {
            return Err(Fault::new(Code::PreconditionFailed, "Cannot declare a server-named queue for type rabbit_quorum_queue"));
        }
        let name = if name.is_empty() { format!("amq.gen-{}", self.rng.name_suffix()).into() } else { name };
        let spec = QueueSpec { name, durable, exclusive, auto_delete, arguments: arguments.to_owned() };
        Ok((Topology::DeclareQueue(spec).into(), Reply::QueueDeclared, nowait))
    }

    fn consume(&mut self, number: u16, consume: &basic::Consume<'_>) -> Result<Asked, Fault> {
        let &basic::Consume { queue, consumer_tag, no_ack, exclusive, nowait, arguments, .. } = consume;
        let channel = self.channels.find_mut(number).expect("the caller has found the channel");
        let queue: Box<str> = channel.queue_name(queue)?.into();
        if channel.consumers.len() >= CHANNEL_CONSUMERS_MAX {
            let text = format!("reached maximum ({CHANNEL_CONSUMERS_MAX}) of consumers per channel");
            return Err(Fault::new(Code::NotAllowed, text));
        }
        if channel.consumers.index_of(consumer_tag).is_some() {
            return Err(Fault::new(Code::NotAllowed, format!("attempt to reuse consumer tag '{consumer_tag}'")));
        }
        let wants_replies = *queue == *REPLY_TO;
        if wants_replies && !no_ack {
            return Err(Fault::new(Code::PreconditionFailed, "reply consumer cannot acknowledge"));
        }
        let given;
        let tag = if consumer_tag.is_empty() {
            given = format!("amq.ctag-{}", self.rng.name_suffix());
            &given
        } else {
            consumer_tag
        };
        self.consumer_generation = self.consumer_generation.wrapping_add(1);
        let index = channel.consumers.insert(number, tag, no_ack, self.consumer_generation);
        if wants_replies {
            return Ok((Request::ConsumeReplies { index }, Reply::Consuming { index }, nowait));
        }
        let prefetch = if no_ack { 0 } else { channel.prefetch.into() };
        let (limited, arguments) = (channel.volume_max > 0, arguments.to_owned());
        let consumer = channel.consumers.find_mut(index).expect("it was just added");
        let shown = if arguments.wire().len() <= SHOWN_ARGUMENTS_MAX { arguments.clone() } else { Table::empty() };
        *consumer.terms = ConsumerTerms { exclusive, prefetch, timeout_ms: None, arguments: shown };
        let window = consumer.window.size();
        Ok((Request::Consume { queue, index, no_ack, exclusive, prefetch, limited, window, arguments }, Reply::Consuming { index }, nowait))
    }

    /// Cancels a consumer. The cancel succeeds at once if the consumer does not exist.
    fn cancel(&mut self, number: u16, cancel: &basic::Cancel<'_>) -> Option<Asked> {
        let channel = self.channels.find(number).expect("the caller has found the channel");
        let Some(index) = channel.consumers.index_of(cancel.consumer_tag) else {
            if !cancel.nowait {
                basic::CancelOk { consumer_tag: cancel.consumer_tag }.write(number, self.output.bytes_mut());
            }
            return None;
        };
        Some((Request::Cancel { index }, Reply::Cancelled { index }, cancel.nowait))
    }
}

impl Channel {
    /// The queue that a name stands for on this channel.
    fn queue_name<'n>(&'n self, name: &'n str) -> Result<&'n str, Fault> {
        match (name, &*self.last_queue) {
            ("", "") => Err(Fault::new(Code::NotFound, "no previously declared queue")),
            ("", last) => Ok(last),
            (name, _) => Ok(name),
        }
    }

    /// The queue and the key of a binding: if both are empty, the queue's name is the key.
    fn binding_names<'n>(&'n self, queue: &'n str, key: &'n str) -> Result<(&'n str, &'n str), Fault> {
        let name = self.queue_name(queue)?;
        Ok((name, if queue.is_empty() && key.is_empty() { name } else { key }))
    }
}

fn declare_exchange(declare: &exchange::Declare<'_>) -> Asked {
    let &exchange::Declare { exchange, kind, passive, durable, auto_delete, internal, nowait, arguments, .. } = declare;
    let name = cleaned(exchange);
    let request = if passive {
        Request::CheckExchange { name }
    } else {
        let arguments = arguments.to_owned();
        Topology::DeclareExchange(ExchangeSpec { name, kind: kind.into(), durable, auto_delete, internal, arguments }).into()
    };
    (request, Reply::ExchangeDeclared, nowait)
}

fn binding(source: &str, kind: Destination, destination: &str, key: &str, arguments: TableRef<'_>) -> BindingSpec {
    BindingSpec {
        source: cleaned(source),
        kind,
        destination: cleaned(destination),
        key: key.as_bytes().into(),
        arguments: arguments.canonical(),
    }
}

/// Returns a name without CR and LF.
fn cleaned(name: &str) -> Box<str> {
    if name.contains(['\r', '\n']) { name.replace(['\r', '\n'], "").into() } else { name.into() }
}

/// Longer arguments of a consumer are not kept for operators, bytes: a client has many consumers.
const SHOWN_ARGUMENTS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_name_means_the_last_queue() {
        let mut channel = Channel::default();
        assert!(channel.queue_name("").is_err());
        channel.last_queue = "last".into();
        assert_eq!(channel.queue_name(""), Ok("last"));
        assert_eq!(channel.binding_names("", ""), Ok(("last", "last")));
        assert_eq!(channel.binding_names("", "k"), Ok(("last", "k")));
        assert_eq!(channel.binding_names("q", ""), Ok(("q", "")));
        assert_eq!(&*cleaned("a\r\nb"), "ab");
    }
}
