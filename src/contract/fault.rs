//! Faults: the peer's mistakes. A fault is a reply code and a text, which the session turns into a
//! close frame in one place.

/// How much a [`Fault`] closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// The channel (AMQP's soft errors).
    Channel,
    /// The whole connection (hard errors).
    Connection,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal, $scope:ident;)*) => {
        /// AMQP 0-9-1 reply codes (specification 1.2, and RabbitMQ's use of them).
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u16)]
        pub enum Code {
            $($(#[$doc])* $name = $number,)*
        }

        impl Code {
            /// The constant's name, which RabbitMQ puts in front of every reply text.
            pub fn name(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// Whether the code closes a channel or the connection.
            pub fn scope(self) -> Scope {
                match self { $(Code::$name => Scope::$scope,)* }
            }
        }
    };
}

codes! {
    /// A message was too large for a queue.
    ContentTooLarge = 311, "CONTENT_TOO_LARGE", Channel;
    /// A mandatory message found no queue.
    NoRoute = 312, "NO_ROUTE", Channel;
    /// An immediate message found no consumer.
    NoConsumers = 313, "NO_CONSUMERS", Channel;
    /// The operator closes the connection.
    ConnectionForced = 320, "CONNECTION_FORCED", Connection;
    /// An unknown virtual host.
    InvalidPath = 402, "INVALID_PATH", Connection;
    /// No permission.
    AccessRefused = 403, "ACCESS_REFUSED", Channel;
    /// No such exchange or queue.
    NotFound = 404, "NOT_FOUND", Channel;
    /// Another connection's exclusive queue.
    ResourceLocked = 405, "RESOURCE_LOCKED", Channel;
    /// A condition of the method does not hold.
    PreconditionFailed = 406, "PRECONDITION_FAILED", Channel;
    /// A frame that cannot be read.
    FrameError = 501, "FRAME_ERROR", Connection;
    /// A frame with illegal values.
    SyntaxError = 502, "SYNTAX_ERROR", Connection;
    /// A method that is not allowed in the present state.
    CommandInvalid = 503, "COMMAND_INVALID", Connection;
    /// A channel that is not open, or open twice.
    ChannelError = 504, "CHANNEL_ERROR", Connection;
    /// A frame that was not expected.
    UnexpectedFrame = 505, "UNEXPECTED_FRAME", Connection;
    /// A resource ran out.
    ResourceError = 506, "RESOURCE_ERROR", Connection;
    /// A breach of the broker's rules.
    NotAllowed = 530, "NOT_ALLOWED", Connection;
    /// A feature that does not exist.
    NotImplemented = 540, "NOT_IMPLEMENTED", Connection;
    /// An error of the broker itself.
    InternalError = 541, "INTERNAL_ERROR", Connection;
}

/// A mistake of the peer: the reply, and how much of its connection ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What the fault closes; by default the code's own scope.
    pub scope: Scope,
    /// The reply code.
    pub code: Code,
    /// The explanation, without the code's name in front.
    pub text: String,
}

impl Fault {
    /// A fault with the scope of its code.
    pub fn new(code: Code, text: impl Into<String>) -> Fault {
        Fault { scope: code.scope(), code, text: text.into() }
    }

    /// The same fault, closing the connection whatever its code (for example 403 on login).
    #[must_use]
    pub fn hard(self) -> Fault {
        Fault { scope: Scope::Connection, ..self }
    }

    /// The text as it goes over the wire: `<NAME> - <text>`, or the name alone if there is nothing
    /// to explain, cut to 255 bytes with `...` at the end (RabbitMQ).
    pub fn reply_text(&self) -> String {
        if self.text.is_empty() {
            return self.code.name().to_owned();
        }
        let mut full = format!("{} - {}", self.code.name(), self.text);
        if full.len() > 255 {
            let cut = (0..=252).rev().find(|&at| full.is_char_boundary(at)).unwrap_or(0);
            full.truncate(cut);
            full.push_str("...");
        }
        full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_text_is_cut_at_255_bytes() {
        let fault = Fault::new(Code::NotFound, "ä".repeat(200));
        let text = fault.reply_text();
        assert!(text.len() <= 255 && text.ends_with("..."), "{text}");
        assert_eq!(Fault::new(Code::NotFound, "no queue 'q' in vhost '/'").reply_text(), "NOT_FOUND - no queue 'q' in vhost '/'");
    }
}
