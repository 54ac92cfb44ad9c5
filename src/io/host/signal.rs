//! SIGTERM and SIGINT: the first one asks for an orderly end, the second one ends the process at
//! once.
//!
//! All threads inherit the signal mask that the main thread sets before it starts them, so no
//! system call of a shard is ever interrupted. The main thread waits for the signals; after the
//! first one, it restores their default action.

use std::io;

/// Ends the process as SIGTERM from outside does.
pub fn end_process() {
    // SAFETY: the call takes no pointers, and a process may signal itself.
    let failed = unsafe { libc::kill(libc::getpid(), libc::SIGTERM) } != 0;
    assert!(!failed, "a process may signal itself: {}", io::Error::last_os_error());
}

/// The signals that end the broker.
pub struct EndSignals {
    set: libc::sigset_t,
}

impl EndSignals {
    /// Blocks the signals in this thread and in all threads that it will start.
    pub fn block() -> EndSignals {
        // SAFETY: a signal set is plain bits; sigemptyset and sigaddset write only into it, for
        // signal numbers that exist.
        let set = unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGTERM);
            libc::sigaddset(&mut set, libc::SIGINT);
            set
        };
        // SAFETY: the set is initialized, the old mask is not asked for.
        let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
        assert_eq!(error, 0, "a thread may block its own signals: {}", io::Error::from_raw_os_error(error));
        EndSignals { set }
    }

    /// Sleeps until one of the signals arrives. Returns its name.
    pub fn wait(&self) -> &'static str {
        let mut signal = 0;
        // SAFETY: both point to values that live through the call.
        while unsafe { libc::sigwait(&self.set, &mut signal) } != 0 {}
        if signal == libc::SIGINT { "SIGINT" } else { "SIGTERM" }
    }

    /// Lets the next signal end the process.
    pub fn unblock(self) {
        // SAFETY: the set is initialized, the old mask is not asked for.
        let error = unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &self.set, std::ptr::null_mut()) };
        assert_eq!(error, 0, "a thread may unblock its own signals: {}", io::Error::from_raw_os_error(error));
    }
}
