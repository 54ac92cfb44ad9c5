//! The ways in which a command may fail, and the exit codes, which are those of `sysexits.h` as
//! RabbitMQ's tool uses them.

/// Wrong use: an unknown command or option, too few arguments, the broker in the wrong state.
pub const USAGE: u8 = 64;
/// A bad value, or an object that does not exist.
pub const DATA: u8 = 65;
/// A user who does not exist.
pub const NO_USER: u8 = 67;
/// The broker refuses, cannot be reached or is not healthy.
pub const UNAVAILABLE: u8 = 69;
/// A fault, or a user who exists already.
pub const SOFTWARE: u8 = 70;
/// It took too long.
pub const TEMPORARY: u8 = 75;

/// The result of what may fail.
pub type Result<T> = std::result::Result<T, Failure>;

/// The reason why a command failed.
#[derive(Clone, PartialEq, Debug)]
pub enum Failure {
    /// The arguments are wrong: the usage is shown.
    Arguments { code: u8, text: String },
    /// The broker is not in the state that the command needs: the usage is shown.
    State(String),
    /// A text, shown below `Error:`.
    Error { code: u8, text: String },
    /// A text, shown as it is.
    Plain { code: u8, text: String },
    /// The node does not answer, for this reason.
    Unreachable { node: String, reason: String },
    /// The node takes too long.
    Timeout { node: String },
}

impl Failure {
    /// The arguments cannot be used like this.
    pub fn usage(text: impl Into<String>) -> Failure {
        Failure::Arguments { code: USAGE, text: text.into() }
    }

    /// An argument has a bad value.
    pub fn bad_argument(text: impl Into<String>) -> Failure {
        Failure::Arguments { code: DATA, text: format!("Bad argument: {}", text.into()) }
    }

    /// There are too few arguments.
    pub fn not_enough() -> Failure {
        Failure::usage("not enough arguments.")
    }

    /// There are too many arguments.
    pub fn too_many() -> Failure {
        Failure::usage("too many arguments.")
    }

    /// The command failed for a reason that is shown below `Error:`.
    pub fn error(code: u8, text: impl Into<String>) -> Failure {
        Failure::Error { code, text: text.into() }
    }

    /// The broker refuses.
    pub fn refused(text: impl Into<String>) -> Failure {
        Failure::error(UNAVAILABLE, text)
    }

    /// The command failed for a reason that is shown as it is.
    pub fn plain(code: u8, text: impl Into<String>) -> Failure {
        Failure::Plain { code, text: text.into() }
    }

    /// A health check failed.
    pub fn unhealthy(text: impl Into<String>) -> Failure {
        Failure::plain(UNAVAILABLE, text)
    }

    /// A virtual host does not exist.
    pub fn no_vhost(name: &str) -> Failure {
        Failure::plain(DATA, format!("Virtual host '{name}' does not exist"))
    }

    /// The broker is stopped, although its process runs.
    pub fn app_stopped() -> Failure {
        Failure::State(
            "this command requires the 'rabbit' app to be running on the target node. Start it with 'rabbitmqctl start_app'.".into(),
        )
    }

    /// The broker runs, but the command needs it stopped.
    pub fn app_running() -> Failure {
        Failure::State(
            "this command requires the 'rabbit' app to be stopped on the target node. Stop it with 'rabbitmqctl stop_app'.".into(),
        )
    }

    /// The node does not answer. Its name is told later.
    pub fn unreachable(reason: impl Into<String>) -> Failure {
        Failure::Unreachable { node: String::new(), reason: reason.into() }
    }

    /// The node takes too long. Its name is told later.
    pub fn timeout() -> Failure {
        Failure::Timeout { node: String::new() }
    }

    /// Tells the name of the node, if the failure is about it.
    #[must_use]
    pub fn of_node(self, name: impl FnOnce() -> String) -> Failure {
        match self {
            Failure::Unreachable { reason, .. } => Failure::Unreachable { node: name(), reason },
            Failure::Timeout { .. } => Failure::Timeout { node: name() },
            failure => failure,
        }
    }

    /// Returns the exit code.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Arguments { code, .. } | Failure::Error { code, .. } | Failure::Plain { code, .. } => *code,
            Failure::State(_) => USAGE,
            Failure::Unreachable { .. } => UNAVAILABLE,
            Failure::Timeout { .. } => TEMPORARY,
        }
    }
}
