//! The descriptors that the process may open, and their use: connections get what the broker itself
//! does not need.
//!
//! ```text
//! limit   [ connections ……………………………………………… ][ files of the log ][ rings, listeners, bells ]
//!           a unit each, taken at accept      the reserve: never given to connections
//! ```
//!
//! Clients that only connect must not be able to take the descriptors that the log needs. If they
//! run out nevertheless (the kernel accepts some connections before the broker counts them, and
//! other processes may use up the system's), the disk's work waits until there are some again.

use std::io;

use crate::base::quota::Quota;
use crate::io::StartError;

/// The shares of the descriptors.
#[derive(Clone, Debug)]
pub struct Descriptors {
    /// A quota with a unit for each connection's socket.
    pub sockets: Quota,
    /// The number of files of its log that a shard keeps open.
    pub files: usize,
}

impl Descriptors {
    /// Shares out `limit` descriptors among `shards` shards, each with `listeners` listeners.
    ///
    /// # Errors
    /// One sentence, if too few are left for connections.
    pub fn share_out(limit: u64, shards: usize, listeners: usize) -> Result<Descriptors, StartError> {
        let total = usize::try_from(limit).unwrap_or(usize::MAX);
        let files = (total / FILES_SHARE / shards).clamp(FILES_MIN, FILES_MAX);
        let connections = total.saturating_sub(FIXED + shards * (FIXED_PER_SHARD + listeners + files));
        if connections < CONNECTIONS_MIN {
            return Err(StartError(format!("a limit of {limit} file descriptors leaves none for connections: raise it (ulimit -n)")));
        }
        let sockets = Quota::default();
        sockets.set_max(u32::try_from(connections).ok());
        Ok(Descriptors { sockets, files })
    }
}

/// Whether an error says that the process, or the system, has no descriptor left at the moment.
pub fn are_used_up(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The limit divided by this is what files of the log may use at most.
const FILES_SHARE: usize = 8;
const FILES_MIN: usize = 8;
const FILES_MAX: usize = 128;
/// Descriptors that the process needs whatever the number of shards, and some for files that it
/// reads now and then.
const FIXED: usize = 24;
/// Descriptors of a shard's ring and bells, and of the threads for its files.
const FIXED_PER_SHARD: usize = 12;
const CONNECTIONS_MIN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn shared_out(limit: u64, shards: usize) -> Result<(u32, usize), String> {
        let shared = Descriptors::share_out(limit, shards, 2).map_err(|error| error.to_string())?;
        let places: Vec<_> = std::iter::from_fn(|| shared.sockets.take().ok()).take(10_000_000).collect();
        Ok((u32::try_from(places.len()).expect("few"), shared.files))
    }

    #[test]
    fn connections_get_what_the_broker_does_not_need() {
        assert_eq!(shared_out(1024, 2), Ok((1024 - 24 - 2 * (14 + 64), 64)));
        assert_eq!(shared_out(1 << 20, 4), Ok(((1 << 20) - 24 - 4 * (14 + 128), 128)));
        assert_eq!(shared_out(256, 1), Ok((256 - 24 - (14 + 32), 32)));
        let refusal = "a limit of 64 file descriptors leaves none for connections: raise it (ulimit -n)";
        assert_eq!(shared_out(64, 2), Err(refusal.into()));
    }
}
