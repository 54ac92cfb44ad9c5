//! A shard's io_uring: which features it needs, and how it is opened and entered.
//!
//! Only one thread submits (`SINGLE_ISSUER`). The kernel's part of the work runs only when that
//! thread enters the kernel and asks for it (`DEFER_TASKRUN`): between two calls of
//! [`Ring::submit`] or [`Ring::wait`], no completion appears and no receive buffer is taken.
//! `TASKRUN_FLAG` shows in shared memory that such work is waiting, so a spinning shard notices a
//! packet without a system call. With `SUBMIT_ALL`, a refused entry does not stop the entries after
//! it. The ring is registered with itself, which makes entering 12 % cheaper.

use std::ffi::CStr;
use std::io;
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{CompletionQueue, EnterFlags, IoUring, Parameters, Probe, SubmissionQueue, Submitter, cqueue, opcode, squeue};

use super::StartError;
use crate::base::limits;
use crate::io::net::receive;

/// A ring in use. Entries are pushed, submitted by the next submit or wait, and come back as
/// completions.
pub struct Ring<'r> {
    submitter: Submitter<'r>,
    submissions: SubmissionQueue<'r>,
    completions: CompletionQueue<'r>,
    sleep_flags: EnterFlags,
    limits_multishot: bool,
}

/// Opens a ring for the calling thread, which is the only one that may use it.
///
/// # Errors
/// One sentence that names what the kernel lacks or forbids.
pub fn open(entries: u32) -> Result<IoUring, StartError> {
    let ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_no_sqarray()
        .setup_cqsize(entries * limits::COMPLETIONS_PER_ENTRY)
        .build(entries)
        .map_err(|error| StartError(explain(&error)))?;
    match missing(&ring) {
        Ok(lacks) if lacks.is_empty() => Ok(ring),
        Ok(lacks) => Err(StartError(format!("{}: its io_uring lacks {}", too_old(), lacks.join(", ")))),
        Err(error) => Err(StartError(explain(&error))),
    }
}

impl<'r> Ring<'r> {
    /// Puts an open ring into use, on the thread that opened it. `multishot`: whether multishot
    /// receives are wanted.
    ///
    /// # Errors
    /// The kernel's error, if the ring cannot be registered.
    pub fn new(ring: &'r mut IoUring, multishot: bool) -> io::Result<Ring<'r>> {
        let no_iowait = if ring.params().is_feature_no_iowait() { EnterFlags::NO_IOWAIT } else { EnterFlags::empty() };
        let (mut submitter, submissions, completions) = ring.split();
        submitter.register_ring_fd()?;
        let sleep_flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG | no_iowait;
        let mut ring = Ring { submitter, submissions, completions, sleep_flags, limits_multishot: false };
        ring.limits_multishot = multishot && ring.knows_limits();
        Ok(ring)
    }

    /// Whether multishot receives are wanted and can be limited to a number of bytes.
    pub fn limits_multishot(&self) -> bool {
        self.limits_multishot
    }

    /// Tries a limited receive on an invalid descriptor: a kernel that knows limits complains about
    /// the descriptor, an older kernel about the limit.
    fn knows_limits(&mut self) -> bool {
        // SAFETY: the operation points to nothing.
        unsafe { self.push(&receive::limited_multishot(-1)) };
        self.wait(None);
        self.refresh();
        self.pop().is_some_and(|complaint| complaint.result() == -libc::EBADF)
    }

    /// The submitter, for registrations.
    pub fn submitter(&self) -> &Submitter<'r> {
        &self.submitter
    }

    /// Stages an entry. If there is no free slot, submits first.
    ///
    /// # Safety
    /// The memory that the entry points to must stay valid and must not move until its (last)
    /// completion.
    pub unsafe fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: as the caller guarantees.
        while unsafe { self.submissions.push(entry) }.is_err() {
            self.submit();
        }
    }

    /// Submits everything staged and lets the kernel post completions. Does not wait.
    pub fn submit(&mut self) {
        self.submissions.sync();
        let staged = u32::try_from(self.submissions.len()).expect("a ring has fewer than 2^32 entries");
        // SAFETY: no argument is passed.
        let result = unsafe { self.submitter.enter::<libc::sigset_t>(staged, 0, EnterFlags::GETEVENTS.bits(), None) };
        self.entered(result);
    }

    /// Submits everything staged, and sleeps until there is a completion or `timeout` has passed.
    pub fn wait(&mut self, timeout: Option<Duration>) {
        self.submissions.sync();
        let staged = u32::try_from(self.submissions.len()).expect("a ring has fewer than 2^32 entries");
        let timeout = timeout.map(Timespec::from);
        let mut arguments = SubmitArgs::new();
        if let Some(timeout) = &timeout {
            arguments = arguments.timespec(timeout);
        }
        // SAFETY: the arguments and the time they point to live through the call.
        let result = unsafe { self.submitter.enter(staged, 1, self.sleep_flags.bits(), Some(&arguments)) };
        self.entered(result);
    }

    /// The next of the completions that [`Ring::refresh`] has found.
    pub fn pop(&mut self) -> Option<cqueue::Entry> {
        self.completions.next()
    }

    /// Returns the popped completions to the kernel and looks for new ones. Returns their number.
    pub fn refresh(&mut self) -> usize {
        self.completions.sync();
        self.completions.len()
    }

    /// Whether there is a completion. Looks at shared memory; enters the kernel only if that has
    /// work for this thread.
    pub fn has_completions(&mut self) -> bool {
        if self.submissions.taskrun() {
            self.submit();
        }
        self.refresh() > 0
    }

    /// Accepts harmless errors of entering: interrupted, timed out, or completions must be taken
    /// first (EBUSY, EAGAIN). Staged entries stay staged for the next call.
    fn entered(&mut self, result: io::Result<usize>) {
        self.submissions.sync();
        if let Err(error) = result {
            let code = error.raw_os_error();
            assert!(matches!(code, Some(libc::EINTR | libc::ETIME | libc::EBUSY | libc::EAGAIN)), "io_uring_enter: {error}");
        }
    }
}

/// The operations and features that the broker needs and this ring lacks.
fn missing(ring: &IoUring) -> io::Result<Vec<&'static str>> {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let operations = OPERATIONS.iter().filter(|(code, _)| !probe.is_supported(*code)).map(|(_, name)| *name);
    let features = FEATURES.iter().filter(|(has, _)| !has(ring.params())).map(|(_, name)| *name);
    Ok(operations.chain(features).collect())
}

fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => "this kernel has no io_uring: use Linux 6.10 or later".into(),
        Some(libc::EPERM | libc::EACCES) => {
            "io_uring is forbidden here: set the sysctl kernel.io_uring_disabled to 0, and in a container allow io_uring in its seccomp profile".into()
        }
        Some(libc::EINVAL) => format!("{}: its io_uring does not know SINGLE_ISSUER, DEFER_TASKRUN or NO_SQARRAY", too_old()),
        Some(libc::ENOMEM) => "there is not enough memory for an io_uring: raise the memory limit (and RLIMIT_MEMLOCK), or lower --ring-entries".into(),
        _ => format!("io_uring cannot be opened: {error}"),
    }
}

fn too_old() -> String {
    // SAFETY: utsname is plain bytes, for which zero is a value.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills in one utsname, which lives through the call.
    unsafe { libc::uname(&mut name) };
    // SAFETY: the kernel ends the release with a zero within the field.
    let release = unsafe { CStr::from_ptr(name.release.as_ptr()) };
    format!("Linux {} is too old, use 6.10 or later", release.to_string_lossy())
}

type Feature = (fn(&Parameters) -> bool, &'static str);

const OPERATIONS: [(u8, &str); 9] = [
    (opcode::AcceptMulti::CODE, "accept"),
    (opcode::Recv::CODE, "recv"),
    (opcode::RecvMsg::CODE, "recvmsg"),
    (opcode::Send::CODE, "send"),
    (opcode::SendMsg::CODE, "sendmsg"),
    (opcode::Madvise::CODE, "madvise"),
    (opcode::AsyncCancel::CODE, "async cancel"),
    (opcode::PollAdd::CODE, "poll"),
    (opcode::MsgRingData::CODE, "msg_ring"),
];

const FEATURES: [Feature; 4] = [
    (Parameters::is_feature_nodrop, "NODROP"),
    (Parameters::is_feature_ext_arg, "EXT_ARG"),
    (Parameters::is_feature_fast_poll, "FAST_POLL"),
    (Parameters::is_feature_skip_cqe_on_success, "CQE_SKIP"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn nops(count: u64) -> Vec<u64> {
        let mut io_uring = open(64).expect("the kernel has what we need");
        let mut ring = Ring::new(&mut io_uring, true).expect("registered");
        for number in 0..count {
            // SAFETY: a NOP points to nothing.
            unsafe { ring.push(&opcode::Nop::new().build().user_data(number)) };
        }
        ring.wait(Some(Duration::from_secs(1)));
        ring.refresh();
        std::iter::from_fn(|| ring.pop()).map(|cqe| cqe.user_data()).collect()
    }

    #[test]
    fn more_entries_than_the_ring_has_are_submitted_in_between() {
        assert_eq!(nops(200), (0..200).collect::<Vec<_>>());
    }

    #[test]
    fn waiting_ends_with_its_time() {
        assert_eq!(nops(1), [0]);
        let mut io_uring = open(64).expect("the kernel has what we need");
        let mut ring = Ring::new(&mut io_uring, true).expect("registered");
        ring.wait(Some(Duration::from_millis(2)));
        assert!(!ring.has_completions());
    }
}
