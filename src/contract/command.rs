//! Commands: what an operator asks by the management API, a definitions file or the command line
//! tool. No connection is behind a command, and no user's permissions limit it.
//!
//! A command goes to any shard. Shard 0 checks it against the catalog and orders it among all other
//! changes; it is answered when the disk and every shard have it.

use super::{Administration, Topology};

/// One command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// A declaration, a deletion, a binding. No connection owns a queue that is declared, so it
    /// cannot be exclusive.
    Topology {
        /// The virtual host.
        vhost: Box<str>,
        /// The operation.
        topology: Topology,
    },
    /// Administration.
    Administration(Administration),
}

impl Command {
    /// Makes the command of an operation on the topology of a virtual host.
    pub fn topology(vhost: &str, topology: Topology) -> Command {
        Command::Topology { vhost: vhost.into(), topology }
    }
}

impl From<Administration> for Command {
    fn from(administration: Administration) -> Command {
        Command::Administration(administration)
    }
}
