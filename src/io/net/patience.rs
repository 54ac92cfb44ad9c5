//! The time limit for peers that take nothing of what is sent to them: their output occupies
//! memory, so the connection is closed.
//!
//! A send is one operation until all of it is out, so the kernel is asked whether the peer takes
//! any of it, for each socket with a send under way a few times per time limit. Sends need no clock
//! and no timer, and a socket without a send costs nothing.
//!
//! ```text
//! send ──▶ look after an eighth ─┬▶ a send completed, or more was acknowledged: look again later,
//!                                │  as long as there is a send
//!                                └▶ nothing for the whole time limit: close the connection
//! ```

use std::collections::VecDeque;
use std::mem::{MaybeUninit, offset_of};
use std::os::fd::RawFd;

use crate::io::net::socket::SocketId;

/// The sockets to look at and when, soonest first: the time between two looks is the same for all.
pub struct Patience {
    limit_ms: u64,
    looks: VecDeque<(u64, SocketId)>,
}

/// The known progress of one socket's output.
#[derive(Debug, Default)]
pub struct Progress {
    /// Number of sends that have completed.
    pub sends: u32,
    /// Whether a look at the socket is scheduled.
    is_awaited: bool,
    /// Number of completed sends and of acknowledged bytes at the last look.
    seen: (u32, u64),
    /// The last look at which those numbers had changed.
    since: u64,
}

impl Patience {
    /// Makes an empty schedule with this time limit for each peer.
    pub fn new(limit_ms: u64) -> Patience {
        Patience { limit_ms, looks: VecDeque::new() }
    }

    /// Notes that a send begins.
    #[inline]
    pub fn begin(&mut self, id: SocketId, progress: &mut Progress, now: u64) {
        if !progress.is_awaited {
            progress.since = now;
            self.look_again(id, progress, now);
        }
    }

    /// Takes the next socket to look at, if its look is due by `now`.
    pub fn next(&mut self, now: u64) -> Option<SocketId> {
        let (_, id) = self.looks.pop_front_if(|(due, _)| *due <= now)?;
        Some(id)
    }

    /// When the next look is due.
    pub fn due(&self) -> Option<u64> {
        self.looks.front().map(|&(due, _)| due)
    }

    /// Looks at a socket. Returns true if its peer has exceeded the time limit.
    pub fn is_over(&mut self, id: SocketId, progress: &mut Progress, fd: RawFd, is_sending: bool, now: u64) -> bool {
        progress.is_awaited = false;
        if !is_sending {
            return false;
        }
        let seen = (progress.sends, bytes_acknowledged(fd));
        if std::mem::replace(&mut progress.seen, seen) != seen {
            progress.since = now;
        }
        let is_over = now - progress.since >= self.limit_ms;
        if !is_over {
            self.look_again(id, progress, now);
        }
        is_over
    }

    fn look_again(&mut self, id: SocketId, progress: &mut Progress, now: u64) {
        progress.is_awaited = true;
        self.looks.push_back((now + (self.limit_ms / LOOKS).max(1), id));
    }
}

/// Number of bytes of a connection that the peer's system has acknowledged; 0 if the kernel does
/// not tell.
fn bytes_acknowledged(fd: RawFd) -> u64 {
    let mut info = MaybeUninit::<TcpInfo>::zeroed();
    let mut len = size_of::<TcpInfo>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into the structure, which lives through the
    // call.
    unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &mut len) };
    // SAFETY: zeros, and any numbers that the kernel has written over them, are a valid value of
    // the structure.
    unsafe { info.assume_init() }.bytes_acked
}

/// The beginning of the kernel's `struct tcp_info`.
#[repr(C)]
struct TcpInfo {
    states: [u8; 8],
    counts: [u32; 24],
    pacing_rates: [u64; 2],
    bytes_acked: u64,
}

/// Number of looks per time limit.
const LOOKS: u64 = 8;

const _: () = assert!(offset_of!(TcpInfo, bytes_acked) == 120);

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let client = TcpStream::connect(listener.local_addr().expect("a bound port")).expect("a listener");
        (client, listener.accept().expect("a client").0)
    }

    /// Returns when the peer exceeds the time limit, if it reads at the times that `reads` says.
    fn ends(reads: impl Fn(u64) -> bool) -> Option<u64> {
        let ((mut client, server), mut patience, mut progress) = (pair(), Patience::new(800), Progress::default());
        server.set_nonblocking(true).expect("a socket");
        let fill = || while (&server).write(&[0; 4096]).is_ok() {};
        patience.begin(SocketId::default(), &mut progress, 0);
        (0..4000).find(|&now| {
            fill();
            if reads(now) {
                client.read_exact(&mut vec![0; 1 << 20]).expect("there is enough");
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            patience.next(now).is_some_and(|id| patience.is_over(id, &mut progress, server.as_raw_fd(), true, now))
        })
    }

    #[test]
    fn who_reads_nothing_is_let_go_and_who_reads_a_little_is_not() {
        assert!(matches!(ends(|_| false), Some(800..1100)));
        assert_eq!(ends(|now| now % 500 == 0), None);
    }

    #[test]
    fn without_a_send_nobody_is_looked_at() {
        let ((_client, server), mut patience, mut progress) = (pair(), Patience::new(800), Progress::default());
        let id = SocketId::default();
        patience.begin(id, &mut progress, 0);
        patience.begin(id, &mut progress, 1);
        assert_eq!((patience.due(), patience.next(99), patience.next(100)), (Some(100), None, Some(id)));
        assert!(!patience.is_over(id, &mut progress, server.as_raw_fd(), false, 100));
        assert_eq!(patience.due(), None);
        patience.begin(id, &mut progress, 5000);
        assert_eq!(patience.due(), Some(5100));
    }
}
