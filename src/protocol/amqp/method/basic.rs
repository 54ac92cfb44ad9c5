//! Class basic: messages. The four methods with content take names as bytes, see [`Octets`].

use super::argument::Octets;
use crate::message::TableRef;

methods! { 60 "basic";
    /// Client: limits the number of unsettled deliveries.
    Qos = 10 "qos" {
        prefetch_size: u32,
        prefetch_count: u16,
        global: bool,
    }
    /// Server: the limit is set.
    QosOk = 11 "qos-ok" {}
    /// Client: starts a consumer.
    Consume<'a> = 20 "consume" {
        ticket: u16,
        queue: &'a str,
        consumer_tag: &'a str,
        no_local: bool,
        no_ack: bool,
        exclusive: bool,
        nowait: bool,
        arguments: TableRef<'a>,
    }
    /// Server: the consumer is started; its tag.
    ConsumeOk<'a> = 21 "consume-ok" {
        consumer_tag: &'a str,
    }
    /// Either: ends a consumer.
    Cancel<'a> = 30 "cancel" {
        consumer_tag: &'a str,
        nowait: bool,
    }
    /// Either: the consumer is ended.
    CancelOk<'a> = 31 "cancel-ok" {
        consumer_tag: &'a str,
    }
    /// Client: a message, with content.
    Publish<'a> = 40 "publish" {
        ticket: u16,
        exchange: Octets<'a>,
        routing_key: Octets<'a>,
        mandatory: bool,
        immediate: bool,
    }
    /// Server: a message that found no queue, with content.
    Return<'a> = 50 "return" {
        reply_code: u16,
        reply_text: Octets<'a>,
        exchange: Octets<'a>,
        routing_key: Octets<'a>,
    }
    /// Server: a message for a consumer, with content.
    Deliver<'a> = 60 "deliver" {
        consumer_tag: Octets<'a>,
        delivery_tag: u64,
        redelivered: bool,
        exchange: Octets<'a>,
        routing_key: Octets<'a>,
    }
    /// Client: fetches one message.
    Get<'a> = 70 "get" {
        ticket: u16,
        queue: &'a str,
        no_ack: bool,
    }
    /// Server: that message, with content, and how many are left in the queue.
    GetOk<'a> = 71 "get-ok" {
        delivery_tag: u64,
        redelivered: bool,
        exchange: Octets<'a>,
        routing_key: Octets<'a>,
        message_count: u32,
    }
    /// Server: the queue is empty; the field is reserved.
    GetEmpty<'a> = 72 "get-empty" {
        cluster_id: &'a str,
    }
    /// Client: acknowledges deliveries. Server: confirms publishes.
    Ack = 80 "ack" {
        delivery_tag: u64,
        multiple: bool,
    }
    /// Client: rejects one delivery.
    Reject = 90 "reject" {
        delivery_tag: u64,
        requeue: bool,
    }
    /// Client: returns all unsettled deliveries to their queues, without an answer.
    RecoverAsync = 100 "recover-async" {
        requeue: bool,
    }
    /// Client: the same, with an answer.
    Recover = 110 "recover" {
        requeue: bool,
    }
    /// Server: answers that.
    RecoverOk = 111 "recover-ok" {}
    /// Client: rejects deliveries. Server: reports publishes that were not accepted.
    Nack = 120 "nack" {
        delivery_tag: u64,
        multiple: bool,
        requeue: bool,
    }
}
