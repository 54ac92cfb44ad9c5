//! System calls that the standard library lacks: epoll, pinning, the monotonic clock, one socket
//! option, an eventfd. All `unsafe` code of the load generator is here; the null broker has its
//! own.

use std::ffi::CString;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Nanoseconds of the monotonic clock, which all processes of a machine share.
pub fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call's duration.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// CPU time that this process has used, in seconds.
pub fn own_cpu_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call's duration.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Pins the calling thread to the given CPUs.
pub fn pin(cpus: &[usize]) -> io::Result<()> {
    // SAFETY: a cpu_set_t is plain bits; CPU_SET checks its index against the set's size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for &cpu in cpus {
            libc::CPU_SET(cpu, &mut set);
        }
        check(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)).map(drop)
    }
}

/// Gives the calling thread precedence over all others on its CPU, so that it waits for the broker
/// and not for other threads; needs the right to.
pub fn urgent() -> io::Result<()> {
    let param = libc::sched_param { sched_priority: 1 };
    // SAFETY: `param` is valid for the call's duration.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) }).map(drop)
}

/// Lets the kernel's timers fire on time instead of up to 50 µs late.
pub fn precise_timers() {
    // SAFETY: no memory is passed.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64) };
}

/// Raises the limit of open files to the most that is allowed.
pub fn raise_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// Whether a directory's file system is in memory.
pub fn is_in_memory(path: &Path) -> io::Result<bool> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a statfs is plain numbers, for which zeros are valid; `path` ends with a zero; both
    // are valid for the call's duration.
    let found = unsafe {
        let mut found: libc::statfs = std::mem::zeroed();
        check(libc::statfs(path.as_ptr(), &raw mut found))?;
        found
    };
    Ok([libc::TMPFS_MAGIC, RAMFS_MAGIC].contains(&found.f_type))
}

/// Sets the congestion control of a socket; a kernel without it keeps its default.
pub fn set_congestion(socket: BorrowedFd<'_>, name: &str) {
    let len = libc::socklen_t::try_from(name.len()).expect("names of congestion controls are short");
    // SAFETY: pointer and length describe `name`.
    unsafe { libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_CONGESTION, name.as_ptr().cast(), len) };
}

/// Reads and discards up to `len` bytes that have arrived, without copying them. Returns how many.
pub fn discard(stream: &TcpStream, len: usize) -> io::Result<usize> {
    // SAFETY: with MSG_TRUNC a TCP socket writes nothing to the buffer, which may be null.
    let n = unsafe { libc::recv(stream.as_raw_fd(), std::ptr::null_mut(), len, libc::MSG_TRUNC | libc::MSG_DONTWAIT) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// An epoll instance, with a token per file.
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    /// Makes an instance that watches nothing.
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: no memory is passed; the descriptor is new, and nothing else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Epoll { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX] })
    }

    /// Watches `file` for input, level-triggered.
    pub fn add(&self, file: impl AsFd, token: usize) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, file, token, false)
    }

    /// Sets whether `file` is also watched for space to write.
    pub fn watch_output(&self, file: impl AsFd, token: usize, output: bool) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, file, token, output)
    }

    fn control(&self, operation: libc::c_int, file: impl AsFd, token: usize, output: bool) -> io::Result<()> {
        let events = libc::EPOLLIN | if output { libc::EPOLLOUT } else { 0 };
        let mut event = libc::epoll_event { events: events.cast_unsigned(), u64: token as u64 };
        // SAFETY: `event` is valid for the call; both descriptors are open.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, file.as_fd().as_raw_fd(), &raw mut event) }).map(drop)
    }

    /// Waits at most `timeout_ns`. Returns the events.
    pub fn wait(&mut self, timeout_ns: u64) -> io::Result<&[libc::epoll_event]> {
        let time =
            libc::timespec { tv_sec: (timeout_ns / 1_000_000_000).cast_signed(), tv_nsec: (timeout_ns % 1_000_000_000).cast_signed() };
        let max = libc::c_int::try_from(self.events.len()).expect("a small constant");
        // SAFETY: the vector has space for `max` events; `time` outlives the call; a null signal
        // mask is allowed.
        let n = unsafe { libc::epoll_pwait2(self.fd.as_raw_fd(), self.events.as_mut_ptr(), max, &raw const time, std::ptr::null()) };
        match check(n) {
            Ok(n) => Ok(&self.events[..n.cast_unsigned() as usize]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(&[]),
            Err(e) => Err(e),
        }
    }
}

/// The parts of an event: (token, input or hang-up, space to write).
pub fn readiness(event: &libc::epoll_event) -> (usize, bool, bool) {
    let (events, token) = (event.events, event.u64);
    let output = libc::EPOLLOUT.cast_unsigned();
    (usize::try_from(token).expect("a token was a usize"), events & !output != 0, events & output != 0)
}

/// An eventfd by which one thread wakes another from epoll.
pub struct Wake(OwnedFd);

impl Wake {
    /// Makes an eventfd that is not set.
    pub fn new() -> io::Result<Wake> {
        // SAFETY: no memory is passed; the descriptor is new, and nothing else owns it.
        Ok(Wake(unsafe { OwnedFd::from_raw_fd(check(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?) }))
    }

    /// Wakes the other thread.
    pub fn wake(&self) {
        let one = 1_u64;
        // SAFETY: the pointer covers the eight bytes that an eventfd takes.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// Clears the eventfd after a wake-up.
    pub fn clear(&self) {
        let mut count = 0_u64;
        // SAFETY: the pointer covers the eight bytes that an eventfd gives.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), 8) };
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Calls `handler` on SIGINT and SIGTERM; it may only store to atomics.
pub fn on_interrupt(handler: extern "C" fn(libc::c_int)) {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler is async-signal-safe by this function's contract.
        unsafe { libc::signal(signal, handler as *const () as libc::sighandler_t) };
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

const RAMFS_MAGIC: i64 = 0x8584_58F6;
const EVENTS_MAX: usize = 1024;
