//! Methods: all of AMQP 0-9-1 with RabbitMQ's extensions, in both directions.
//!
//! A file per class lists its methods as structs; the type of a field decides how it is encoded
//! (see [`argument`]). [`Method`] is any of them. Structs can be written directly, `queue::DeleteOk
//! { message_count }.write(channel, out)`, or by [`Method::write`].

use std::fmt;

use super::frame::{self, Kind};
use crate::contract::{Code, Fault};
use crate::message::{ErlangBinary, TableError};
use argument::{ArgumentError, ArgumentReader, ArgumentWriter};

/// Declares the methods of a class: struct, number, name and fields in wire order.
macro_rules! methods {
    ($class:literal $class_name:literal; $(
        $(#[$doc:meta])*
        $name:ident $(<$lifetime:lifetime>)? = $id:literal $method_name:literal { $($field:ident: $type:ty),* $(,)? }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Debug, Default)]
        #[allow(missing_docs, reason = "the fields are the specification's, in its order")]
        pub struct $name $(<$lifetime>)? {
            $(pub $field: $type,)*
        }

        impl $(<$lifetime>)? $name $(<$lifetime>)? {
            /// Class and method number in one number.
            pub const ID: u32 = ($class << 16) | $id;
            /// The method's name in the specification.
            pub const NAME: &'static str = concat!($class_name, ".", $method_name);

            /// Writes the whole method frame.
            pub fn write(&self, channel: u16, out: &mut Vec<u8>) {
                super::write_frame(self, channel, out);
            }
        }

        impl<'a> super::Arguments<'a> for $name $(<$lifetime>)? {
            fn id(&self) -> u32 {
                Self::ID
            }

            fn read(_from: &mut super::ArgumentReader<'a>) -> Result<Self, super::ArgumentError> {
                Ok($name { $($field: super::argument::Argument::read(_from)?,)* })
            }

            fn write_arguments(&self, _to: &mut super::ArgumentWriter<'_>) {
                $(super::argument::Argument::write(self.$field, _to);)*
            }
        }
    )*};
}

pub mod access;
pub mod argument;
pub mod basic;
pub mod channel;
pub mod confirm;
pub mod connection;
pub mod exchange;
pub mod queue;
pub mod tx;

/// The functions of all methods' structs.
trait Arguments<'a>: Sized {
    fn id(&self) -> u32;
    fn read(from: &mut ArgumentReader<'a>) -> Result<Self, ArgumentError>;
    fn write_arguments(&self, to: &mut ArgumentWriter<'_>);
}

fn write_frame<'a>(method: &impl Arguments<'a>, channel: u16, out: &mut Vec<u8>) {
    let start = frame::begin_frame(Kind::Method, channel, out);
    out.extend_from_slice(&method.id().to_be_bytes());
    method.write_arguments(&mut ArgumentWriter::new(out));
    frame::end_frame(start, out);
}

macro_rules! method_enum {
    ($($variant:ident($module:ident::$name:ident $(<$lifetime:lifetime>)?),)*) => {
        /// Any method.
        #[derive(Clone, Copy, PartialEq, Debug)]
        #[allow(missing_docs, reason = "class and method, documented at the struct")]
        pub enum Method<'a> {
            $($variant($module::$name $(<$lifetime>)?),)*
        }

        impl<'a> Method<'a> {
            /// Reads a method frame's payload: class, method, and all arguments; nothing may
            /// follow.
            pub fn parse(payload: &'a [u8]) -> Result<Method<'a>, MethodError<'a>> {
                let Some((id, arguments)) = payload.split_first_chunk() else {
                    return Err(MethodError::NoMethod(payload));
                };
                let ids @ (class, method) = split(u32::from_be_bytes(*id));
                match u32::from_be_bytes(*id) {
                    $($module::$name::ID => read_all(ids, arguments).map(Method::$variant),)*
                    _ => Err(MethodError::Unknown { class, method }),
                }
            }

            /// Writes the whole method frame. Short strings have at most 255 bytes; a longer one is
            /// a bug of the caller and panics.
            pub fn write(&self, channel: u16, out: &mut Vec<u8>) {
                match self {
                    $(Method::$variant(method) => method.write(channel, out),)*
                }
            }

            /// Class and method number.
            pub fn ids(&self) -> (u16, u16) {
                match self {
                    $(Method::$variant(method) => split(method.id()),)*
                }
            }

            /// The method's name in the specification, for example `basic.get-ok`.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Method::$variant(_) => $module::$name::NAME,)*
                }
            }
        }

        $(impl<'a> From<$module::$name $(<$lifetime>)?> for Method<'a> {
            fn from(method: $module::$name $(<$lifetime>)?) -> Method<'a> {
                Method::$variant(method)
            }
        })*
    };
}

method_enum! {
    ConnectionStart(connection::Start<'a>),
    ConnectionStartOk(connection::StartOk<'a>),
    ConnectionSecure(connection::Secure<'a>),
    ConnectionSecureOk(connection::SecureOk<'a>),
    ConnectionTune(connection::Tune),
    ConnectionTuneOk(connection::TuneOk),
    ConnectionOpen(connection::Open<'a>),
    ConnectionOpenOk(connection::OpenOk<'a>),
    ConnectionClose(connection::Close<'a>),
    ConnectionCloseOk(connection::CloseOk),
    ConnectionBlocked(connection::Blocked<'a>),
    ConnectionUnblocked(connection::Unblocked),
    ConnectionUpdateSecret(connection::UpdateSecret<'a>),
    ConnectionUpdateSecretOk(connection::UpdateSecretOk),
    ChannelOpen(channel::Open<'a>),
    ChannelOpenOk(channel::OpenOk<'a>),
    ChannelFlow(channel::Flow),
    ChannelFlowOk(channel::FlowOk),
    ChannelClose(channel::Close<'a>),
    ChannelCloseOk(channel::CloseOk),
    AccessRequest(access::Request<'a>),
    AccessRequestOk(access::RequestOk),
    ExchangeDeclare(exchange::Declare<'a>),
    ExchangeDeclareOk(exchange::DeclareOk),
    ExchangeDelete(exchange::Delete<'a>),
    ExchangeDeleteOk(exchange::DeleteOk),
    ExchangeBind(exchange::Bind<'a>),
    ExchangeBindOk(exchange::BindOk),
    ExchangeUnbind(exchange::Unbind<'a>),
    ExchangeUnbindOk(exchange::UnbindOk),
    QueueDeclare(queue::Declare<'a>),
    QueueDeclareOk(queue::DeclareOk<'a>),
    QueueBind(queue::Bind<'a>),
    QueueBindOk(queue::BindOk),
    QueuePurge(queue::Purge<'a>),
    QueuePurgeOk(queue::PurgeOk),
    QueueDelete(queue::Delete<'a>),
    QueueDeleteOk(queue::DeleteOk),
    QueueUnbind(queue::Unbind<'a>),
    QueueUnbindOk(queue::UnbindOk),
    BasicQos(basic::Qos),
    BasicQosOk(basic::QosOk),
    BasicConsume(basic::Consume<'a>),
    BasicConsumeOk(basic::ConsumeOk<'a>),
    BasicCancel(basic::Cancel<'a>),
    BasicCancelOk(basic::CancelOk<'a>),
    BasicPublish(basic::Publish<'a>),
    BasicReturn(basic::Return<'a>),
    BasicDeliver(basic::Deliver<'a>),
    BasicGet(basic::Get<'a>),
    BasicGetOk(basic::GetOk<'a>),
    BasicGetEmpty(basic::GetEmpty<'a>),
    BasicAck(basic::Ack),
    BasicReject(basic::Reject),
    BasicRecoverAsync(basic::RecoverAsync),
    BasicRecover(basic::Recover),
    BasicRecoverOk(basic::RecoverOk),
    BasicNack(basic::Nack),
    ConfirmSelect(confirm::Select),
    ConfirmSelectOk(confirm::SelectOk),
    TxSelect(tx::Select),
    TxSelectOk(tx::SelectOk),
    TxCommit(tx::Commit),
    TxCommitOk(tx::CommitOk),
    TxRollback(tx::Rollback),
    TxRollbackOk(tx::RollbackOk),
}

impl Method<'_> {
    /// Whether a content header and a body follow.
    pub fn has_content(&self) -> bool {
        matches!(self, Method::BasicPublish(_) | Method::BasicReturn(_) | Method::BasicDeliver(_) | Method::BasicGetOk(_))
    }
}

/// Splits an id into class and method number.
fn split(id: u32) -> (u16, u16) {
    ((id >> 16) as u16, (id & 0xffff) as u16)
}

fn read_all<'a, T: Arguments<'a>>((class, method): (u16, u16), arguments: &'a [u8]) -> Result<T, MethodError<'a>> {
    let mut reader = ArgumentReader::new(arguments);
    let cannot_decode = MethodError::CannotDecode { class, method, arguments };
    match T::read(&mut reader) {
        Ok(read) if reader.is_empty() => Ok(read),
        Ok(_) | Err(ArgumentError::Truncated) => Err(cannot_decode),
        Err(ArgumentError::Utf8) => Err(MethodError::Utf8),
        Err(ArgumentError::Table(error)) => Err(MethodError::Table { class, method, error }),
    }
}

/// The reason why a payload is no method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MethodError<'a> {
    /// It is too short for class and method; the payload.
    NoMethod(&'a [u8]),
    /// There is no such method.
    #[allow(missing_docs)]
    Unknown { class: u16, method: u16 },
    /// Its arguments are incomplete, or bytes follow them.
    #[allow(missing_docs)]
    CannotDecode { class: u16, method: u16, arguments: &'a [u8] },
    /// A name is not UTF-8.
    Utf8,
    /// A table cannot be read.
    #[allow(missing_docs)]
    Table { class: u16, method: u16, error: TableError },
}

impl MethodError<'_> {
    /// The method that connection.close names, or (0, 0) if RabbitMQ names none.
    pub fn ids(&self) -> (u16, u16) {
        match *self {
            MethodError::NoMethod(_) | MethodError::Utf8 => (0, 0),
            MethodError::Unknown { class, method } => (class, method),
            MethodError::CannotDecode { class, method, .. } | MethodError::Table { class, method, .. } => (class, method),
        }
    }

    /// Returns the fault for the peer. RabbitMQ drops the connection without an answer for unknown
    /// methods and for tables that it cannot read; here the specification's codes are used.
    pub fn fault(&self) -> Fault {
        let code = match self {
            MethodError::NoMethod(_) | MethodError::CannotDecode { .. } | MethodError::Utf8 => Code::FrameError,
            MethodError::Unknown { .. } => Code::NotImplemented,
            MethodError::Table { .. } => Code::SyntaxError,
        };
        Fault::new(code, self.to_string())
    }
}

impl fmt::Display for MethodError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            MethodError::NoMethod(payload) => write!(f, "{}: unknown_frame", frame::describe(Kind::Method, payload)),
            MethodError::Unknown { class, method } => write!(f, "unknown method {method} of class {class}"),
            // A reply text is cut at 255 bytes, and each octet takes at least two.
            MethodError::CannotDecode { arguments, .. } => {
                write!(f, "cannot decode {:#}", ErlangBinary(&arguments[..arguments.len().min(256)]))
            }
            MethodError::Utf8 => f.write_str("Malformed UTF-8 in shortstr"),
            MethodError::Table { error, .. } => write!(f, "cannot decode a table: {error}"),
        }
    }
}

impl std::error::Error for MethodError<'_> {}

#[cfg(test)]
mod tests;
