//! The list of AMQP 0-9-1's methods in RabbitMQ's dialect. Tests describe methods only here.
//!
//! One line per method: its id, its name, its fields in wire order. `content` marks a method that a
//! content header follows.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The encoding of a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// One bit; neighbours share an octet.
    Bit,
    /// 8 bits.
    Octet,
    /// 16 bits.
    Short,
    /// 32 bits.
    Long,
    /// 64 bits.
    Longlong,
    /// At most 255 bytes.
    Shortstr,
    /// At most 2^32-1 bytes.
    Longstr,
    /// A field table.
    Table,
}

/// The list's entry for one method.
#[derive(Debug)]
pub struct Shape {
    /// `class.method`.
    pub name: &'static str,
    /// The class id.
    pub class: u16,
    /// The method id.
    pub method: u16,
    /// Names and kinds in wire order.
    pub fields: Vec<(&'static str, Kind)>,
    /// Whether content follows.
    pub content: bool,
}

/// Returns the method called `name`.
pub fn by_name(name: &str) -> Option<&'static Shape> {
    LIST.by_name.get(name).map(|&at| &LIST.shapes[at])
}

/// Returns the method with these ids.
pub fn by_id(class: u16, method: u16) -> Option<&'static Shape> {
    LIST.by_id.get(&(class, method)).map(|&at| &LIST.shapes[at])
}

/// The content properties of class basic, in flag order: the first one has bit 15.
pub fn properties() -> &'static [(&'static str, Kind)] {
    &LIST.properties
}

struct List {
    shapes: Vec<Shape>,
    by_name: HashMap<&'static str, usize>,
    by_id: HashMap<(u16, u16), usize>,
    properties: Vec<(&'static str, Kind)>,
}

static LIST: LazyLock<List> = LazyLock::new(|| {
    let shapes: Vec<Shape> = METHODS.lines().filter(|line| !line.trim().is_empty()).map(shape).collect();
    let by_name = shapes.iter().enumerate().map(|(at, shape)| (shape.name, at)).collect();
    let by_id = shapes.iter().enumerate().map(|(at, shape)| ((shape.class, shape.method), at)).collect();
    List { shapes, by_name, by_id, properties: PROPERTIES.split_whitespace().map(field).collect() }
});

fn shape(line: &'static str) -> Shape {
    let mut words = line.split_whitespace();
    let (class, method) = words.next().and_then(|ids| ids.split_once('.')).expect("a line starts with its ids");
    let name = words.next().expect("the name follows the ids");
    let rest: Vec<&'static str> = words.collect();
    Shape {
        name,
        class: class.parse().expect("a class id"),
        method: method.parse().expect("a method id"),
        fields: rest.iter().filter(|word| **word != "content").map(|word| field(word)).collect(),
        content: rest.contains(&"content"),
    }
}

fn field(word: &'static str) -> (&'static str, Kind) {
    let (name, kind) = word.split_once(':').expect("a field is name:kind");
    let kind = match kind {
        "bit" => Kind::Bit,
        "octet" => Kind::Octet,
        "short" => Kind::Short,
        "long" => Kind::Long,
        "longlong" => Kind::Longlong,
        "shortstr" => Kind::Shortstr,
        "longstr" => Kind::Longstr,
        "table" => Kind::Table,
        other => panic!("no such kind: {other}"),
    };
    (name, kind)
}

const METHODS: &str = "
10.10 connection.start version_major:octet version_minor:octet server_properties:table mechanisms:longstr locales:longstr
10.11 connection.start-ok client_properties:table mechanism:shortstr response:longstr locale:shortstr
10.20 connection.secure challenge:longstr
10.21 connection.secure-ok response:longstr
10.30 connection.tune channel_max:short frame_max:long heartbeat:short
10.31 connection.tune-ok channel_max:short frame_max:long heartbeat:short
10.40 connection.open virtual_host:shortstr capabilities:shortstr insist:bit
10.41 connection.open-ok known_hosts:shortstr
10.50 connection.close reply_code:short reply_text:shortstr class_id:short method_id:short
10.51 connection.close-ok
10.60 connection.blocked reason:shortstr
10.61 connection.unblocked
10.70 connection.update-secret new_secret:longstr reason:shortstr
10.71 connection.update-secret-ok
20.10 channel.open out_of_band:shortstr
20.11 channel.open-ok channel_id:longstr
20.20 channel.flow active:bit
20.21 channel.flow-ok active:bit
20.40 channel.close reply_code:short reply_text:shortstr class_id:short method_id:short
20.41 channel.close-ok
30.10 access.request realm:shortstr exclusive:bit passive:bit active:bit write:bit read:bit
30.11 access.request-ok ticket:short
40.10 exchange.declare ticket:short exchange:shortstr type:shortstr passive:bit durable:bit auto_delete:bit internal:bit nowait:bit arguments:table
40.11 exchange.declare-ok
40.20 exchange.delete ticket:short exchange:shortstr if_unused:bit nowait:bit
40.21 exchange.delete-ok
40.30 exchange.bind ticket:short destination:shortstr source:shortstr routing_key:shortstr nowait:bit arguments:table
40.31 exchange.bind-ok
40.40 exchange.unbind ticket:short destination:shortstr source:shortstr routing_key:shortstr nowait:bit arguments:table
40.51 exchange.unbind-ok
50.10 queue.declare ticket:short queue:shortstr passive:bit durable:bit exclusive:bit auto_delete:bit nowait:bit arguments:table
50.11 queue.declare-ok queue:shortstr message_count:long consumer_count:long
50.20 queue.bind ticket:short queue:shortstr exchange:shortstr routing_key:shortstr nowait:bit arguments:table
50.21 queue.bind-ok
50.30 queue.purge ticket:short queue:shortstr nowait:bit
50.31 queue.purge-ok message_count:long
50.40 queue.delete ticket:short queue:shortstr if_unused:bit if_empty:bit nowait:bit
50.41 queue.delete-ok message_count:long
50.50 queue.unbind ticket:short queue:shortstr exchange:shortstr routing_key:shortstr arguments:table
50.51 queue.unbind-ok
60.10 basic.qos prefetch_size:long prefetch_count:short global:bit
60.11 basic.qos-ok
60.20 basic.consume ticket:short queue:shortstr consumer_tag:shortstr no_local:bit no_ack:bit exclusive:bit nowait:bit arguments:table
60.21 basic.consume-ok consumer_tag:shortstr
60.30 basic.cancel consumer_tag:shortstr nowait:bit
60.31 basic.cancel-ok consumer_tag:shortstr
60.40 basic.publish ticket:short exchange:shortstr routing_key:shortstr mandatory:bit immediate:bit content
60.50 basic.return reply_code:short reply_text:shortstr exchange:shortstr routing_key:shortstr content
60.60 basic.deliver consumer_tag:shortstr delivery_tag:longlong redelivered:bit exchange:shortstr routing_key:shortstr content
60.70 basic.get ticket:short queue:shortstr no_ack:bit
60.71 basic.get-ok delivery_tag:longlong redelivered:bit exchange:shortstr routing_key:shortstr message_count:long content
60.72 basic.get-empty cluster_id:shortstr
60.80 basic.ack delivery_tag:longlong multiple:bit
60.90 basic.reject delivery_tag:longlong requeue:bit
60.100 basic.recover-async requeue:bit
60.110 basic.recover requeue:bit
60.111 basic.recover-ok
60.120 basic.nack delivery_tag:longlong multiple:bit requeue:bit
85.10 confirm.select nowait:bit
85.11 confirm.select-ok
90.10 tx.select
90.11 tx.select-ok
90.20 tx.commit
90.21 tx.commit-ok
90.30 tx.rollback
90.31 tx.rollback-ok
";

const PROPERTIES: &str = "content_type:shortstr content_encoding:shortstr headers:table delivery_mode:octet priority:octet \
     correlation_id:shortstr reply_to:shortstr expiration:shortstr message_id:shortstr timestamp:longlong type:shortstr \
     user_id:shortstr app_id:shortstr cluster_id:shortstr";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_answers_by_name_and_by_id() {
        let declare = by_name("queue.declare").expect("it is in the list");
        assert_eq!((declare.class, declare.method, declare.fields.len()), (50, 10, 8));
        assert_eq!(by_id(60, 71).map(|shape| (shape.name, shape.content)), Some(("basic.get-ok", true)));
        assert_eq!(properties().len(), 14);
    }
}
