//! Negotiation on channel 0, from the protocol header to connection.open, and the close of the
//! connection.
//!
//! ```text
//! client   header        start-ok         tune-ok   open
//! server          start            tune                   open-ok
//! stage    Greeting│ Starting     │ Tuning │ Opening │     Running
//! ```

use super::input::Step;
use super::*;
use crate::base::limits::{FRAME_SIZE_INITIAL, FRAME_SIZE_MIN};
use crate::contract::Code;
use crate::message::{ErlangBinary, Table, TableBuilder, TableRef, Value};
use crate::protocol::amqp::frame::PROTOCOL_HEADER;
use crate::protocol::amqp::method::{Method, MethodError, connection};

/// The properties and choices of the client.
#[derive(Debug)]
pub struct Client {
    /// Its name for this connection.
    pub name: Box<[u8]>,
    /// The user that it logs in as.
    pub user: Box<[u8]>,
    /// Whether it understands basic.cancel from the server.
    pub cancel_notify: bool,
    /// Whether it understands connection.blocked.
    pub blocked: bool,
    /// Whether it wants to be told why its login failed.
    pub failure_close: bool,
    /// Its properties, as it sent them.
    pub properties: Table,
    /// The SASL mechanism that it uses.
    pub mechanism: &'static str,
    /// The largest frame in both directions, bytes; 0 is no limit.
    pub frame_max: u32,
    /// The largest number of channels; 0 is no limit.
    pub channel_max: u16,
    /// Seconds between heartbeats; 0 is none.
    pub heartbeat: u16,
}

impl Default for Client {
    fn default() -> Self {
        Client {
            name: Box::default(),
            user: Box::default(),
            cancel_notify: false,
            blocked: false,
            failure_close: false,
            properties: Table::empty(),
            mechanism: "",
            frame_max: FRAME_SIZE_INITIAL as u32,
            channel_max: 0,
            heartbeat: 0,
        }
    }
}

impl Session {
    /// Reads the first eight bytes: 0-9-1, or 0-9 (which hardly differs); others are refused.
    pub(super) fn on_greeting<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        let Some(greeting) = input.first_chunk::<GREETING_SIZE>() else {
            return Step::Starved;
        };
        match greeting {
            &PROTOCOL_HEADER | b"AMQP\x01\x01\x00\x09" => self.start(),
            other => return Step::Event(GREETING_SIZE, Event::WrongProtocol(self.refuse_greeting(other))),
        }
        Step::Took(GREETING_SIZE)
    }

    fn start(&mut self) {
        let properties = server_properties(&self.config);
        let mechanisms = sasl::offer(&self.config.auth);
        let start = connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: properties.view(),
            mechanisms: mechanisms.as_bytes(),
            locales: b"en_US",
        };
        start.write(0, self.output.bytes_mut());
        self.stage = Stage::Starting;
    }

    /// Refuses a protocol header: offers 0-9-1 to a later 0-x, and to others AMQP 1.0 with SASL, as
    /// RabbitMQ 4 does.
    fn refuse_greeting(&mut self, greeting: &[u8; GREETING_SIZE]) -> Box<str> {
        let answer = match greeting {
            [b'A', b'M', b'Q', b'P', 0, 0, 9..=255, _] => PROTOCOL_HEADER,
            _ => *b"AMQP\x03\x01\x00\x00",
        };
        self.output.bytes_mut().extend_from_slice(&answer);
        self.stage = Stage::Finished;
        match greeting {
            [0x16, 0x03, _, _, _, 0x01, ..] => "TLS client detected on non-TLS AMQP port".into(),
            [b'G', b'E', b'T', b' ', ..] => "HTTP GET request detected on AMQP port".into(),
            _ => format!("bad protocol header {}", ErlangBinary(greeting)).into(),
        }
    }

    /// Takes a method on channel 0.
    pub(super) fn on_connection_method<'a>(&mut self, payload: &[u8]) -> Option<Event<'a>> {
        let method = match Method::parse(payload) {
            Ok(method) => method,
            Err(error) => {
                self.fail(0, culprit(&error, payload), error.fault());
                return None;
            }
        };
        self.method = method.ids();
        match (self.stage, method) {
            (Stage::Starting, Method::ConnectionStartOk(start_ok)) => return self.on_start_ok(&start_ok),
            (Stage::Tuning, Method::ConnectionTuneOk(tune_ok)) => self.on_tune_ok(&tune_ok),
            (Stage::Opening, Method::ConnectionOpen(open)) => {
                self.vhost_name = open.virtual_host.into();
                return Some(Event::OpenVhost(open.virtual_host.into()));
            }
            (Stage::Running, Method::ConnectionClose(_)) => self.on_connection_close(),
            // The secret is not needed after the login.
            (Stage::Running, Method::ConnectionUpdateSecret(_)) => connection::UpdateSecretOk {}.write(0, self.output.bytes_mut()),
            _ => {
                let text = format!("unexpected method in connection state {}", self.stage.name());
                self.fail(0, self.method, Fault::new(Code::ChannelError, text));
            }
        }
        None
    }

    /// Takes a method on channel 0 while the connection closes: only those of the close have an
    /// effect.
    pub(super) fn on_last_words(&mut self, payload: &[u8]) {
        match Method::parse(payload) {
            Ok(Method::ConnectionClose(_)) => connection::CloseOk {}.write(0, self.output.bytes_mut()),
            Ok(Method::ConnectionCloseOk(_)) => self.on_expired(),
            _ => {}
        }
    }

    fn on_start_ok<'a>(&mut self, start_ok: &connection::StartOk<'_>) -> Option<Event<'a>> {
        self.client.remember(start_ok.client_properties);
        match sasl::login(&self.config.auth, start_ok.mechanism, start_ok.response) {
            Ok(login) => {
                self.client.mechanism = login.mechanism;
                self.client.user = login.user.clone();
                Some(Event::Login(login))
            }
            Err(fault) => {
                self.fail(0, self.method, fault);
                None
            }
        }
    }

    /// Answers [`Event::Login`].
    pub fn logged_in(&mut self, accepted: bool) {
        if self.stage != Stage::Starting {
            return;
        }
        if accepted {
            let Config { channel_max, frame_max, heartbeat, .. } = *self.config;
            connection::Tune { channel_max, frame_max, heartbeat }.write(0, self.output.bytes_mut());
            self.stage = Stage::Tuning;
            return;
        }
        let mechanism = self.client.mechanism;
        let text = format!("Login was refused using authentication mechanism {mechanism}. For details see the broker logfile.");
        let fault = Fault::new(Code::AccessRefused, text).hard();
        match self.client.failure_close {
            true => self.close_connection((0, 0), fault, Farewell::Await),
            false => self.begin_end(Some(fault), Farewell::Mute),
        }
    }

    fn on_tune_ok(&mut self, tune_ok: &connection::TuneOk) {
        let frame_max = (tune_ok.frame_max, FRAME_SIZE_MIN as u32, self.config.frame_max);
        let channel_max = (u32::from(tune_ok.channel_max), 1, u32::from(self.config.channel_max));
        if let Err(fault) = check_limit("frame_max", frame_max).and_then(|()| check_limit("channel_max", channel_max)) {
            return self.fail(0, self.method, fault);
        }
        self.client.frame_max = tune_ok.frame_max;
        self.client.channel_max = tune_ok.channel_max;
        self.client.heartbeat = tune_ok.heartbeat;
        self.stage = Stage::Opening;
    }

    /// Answers [`Event::OpenVhost`], with the limits of channels if it is accepted.
    pub fn opened(&mut self, opened: Result<(VhostId, ChannelQuotas), Fault>) {
        if self.stage != Stage::Opening {
            return;
        }
        match opened {
            Ok((vhost, channel_quotas)) => {
                (self.vhost, self.channel_quotas) = (vhost, channel_quotas);
                self.stage = Stage::Running;
                self.keepalive.start_heartbeats(self.client.heartbeat);
                connection::OpenOk::default().write(0, self.output.bytes_mut());
            }
            Err(fault) => self.fail(0, self.method, fault),
        }
    }
}

impl Client {
    fn remember(&mut self, properties: TableRef<'_>) {
        let capabilities = properties.find("capabilities").and_then(Value::as_table).unwrap_or(TableRef::EMPTY);
        let can = |what| capabilities.find(what) == Some(Value::Bool(true));
        self.cancel_notify = can("consumer_cancel_notify");
        self.blocked = can("connection.blocked");
        self.failure_close = can("authentication_failure_close");
        self.properties = properties.to_owned();
        self.name = properties.find("connection_name").and_then(Value::as_text).unwrap_or_default().into();
    }
}

impl Stage {
    /// RabbitMQ's name of the stage.
    fn name(self) -> &'static str {
        match self {
            Stage::Greeting => "pre_init",
            Stage::Starting => "starting",
            Stage::Tuning => "tuning",
            Stage::Opening => "opening",
            Stage::Running => "running",
            Stage::Ending(_) | Stage::Closing => "closing",
            Stage::Closed | Stage::Muted | Stage::Finished => "closed",
        }
    }
}

/// Returns the ids of a method that could not be read. Unlike on channels, on channel 0 RabbitMQ
/// names the method even if a name in it is not UTF-8.
fn culprit(error: &MethodError<'_>, payload: &[u8]) -> MethodIds {
    match (error, payload) {
        (MethodError::Utf8, &[c0, c1, m0, m1, ..]) => (u16::from_be_bytes([c0, c1]), u16::from_be_bytes([m0, m1])),
        _ => error.ids(),
    }
}

/// Checks one limit: the client's choice, the smallest value allowed, and the broker's proposal. 0
/// is no limit.
fn check_limit(name: &str, (chosen, min, proposed): (u32, u32, u32)) -> Result<(), Fault> {
    let unlimited = if chosen == 0 { " (no limit)" } else { "" };
    let (relation, bound) = if chosen != 0 && chosen < min {
        ("lower than the minimum", min)
    } else if proposed != 0 && (chosen == 0 || chosen > proposed) {
        ("higher than the maximum", proposed)
    } else {
        return Ok(());
    };
    let text = format!("negotiated {name} = {chosen}{unlimited} is {relation} allowed value ({bound})");
    Err(Fault::new(Code::NotAllowed, text))
}

fn server_properties(config: &Config) -> Table {
    let capabilities = CAPABILITIES.iter().fold(TableBuilder::new(), |table, name| table.bool(name, true)).build();
    TableBuilder::new()
        .table("capabilities", &capabilities)
        .text("cluster_name", &config.node_name)
        .text("copyright", "Copyright (c) the RingMQ authors.")
        .text("information", "Licensed under the Apache License 2.0.")
        .text("platform", "Rust")
        .text("product", &config.product)
        .text("ringmq_version", env!("CARGO_PKG_VERSION"))
        .text("version", &config.product_version)
        .build()
}

/// Size of a protocol header, octets.
pub const GREETING_SIZE: usize = 8;
/// The capabilities of RabbitMQ 4.3.
const CAPABILITIES: [&str; 9] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_checked_with_rabbitmqs_texts() {
        let text = |name, limits| check_limit(name, limits).map_err(|fault| fault.text);
        assert_eq!(text("frame_max", (4096, 4096, 131_072)), Ok(()));
        assert_eq!(text("frame_max", (0, 4096, 0)), Ok(()));
        let low = "negotiated frame_max = 100 is lower than the minimum allowed value (4096)";
        assert_eq!(text("frame_max", (100, 4096, 131_072)), Err(low.into()));
        let high = "negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)";
        assert_eq!(text("channel_max", (0, 1, 2047)), Err(high.into()));
        assert!(text("channel_max", (2048, 1, 2047)).is_err());
    }
}
