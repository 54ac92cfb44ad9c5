//! How long a peer may take nothing of what is sent to it, before it is let go: what waits for it takes memory.
//!
//! A send is one operation until all of it is out, so whether the peer takes any of it is asked of the kernel, for each socket with a send under
//! way some times per time-out. A send costs no clock and no timer; a socket without one costs nothing.
//!
//! ```text
//! send ──▶ look after an eighth ──▶ a send completed, or more was acknowledged: goes on ──▶ the next look, while there is a send
//!                               └─▶ nothing for the whole time-out: let go
//! ```

use std::collections::VecDeque;
use std::mem::{MaybeUninit, offset_of};
use std::os::fd::RawFd;

use crate::io::net::socket::SocketId;

/// When which sockets are looked at, soonest first: between two looks lies the same time for all.
pub struct Patience {
    limit_ms: u64,
    looks: VecDeque<(u64, SocketId)>,
}

/// What is known of the progress of one socket's output.
#[derive(Debug, Default)]
pub struct Progress {
    /// Sends that have completed.
    pub sends: u32,
    /// It will be looked at.
    is_awaited: bool,
    /// How many sends had completed and how many bytes were acknowledged at the last look.
    seen: (u32, u64),
    /// The last look at which that had changed.
    since: u64,
}

impl Patience {
    /// With so much for each peer.
    pub fn new(limit_ms: u64) -> Patience {
        Patience { limit_ms, looks: VecDeque::new() }
    }

    /// A send begins.
    #[inline]
    pub fn begin(&mut self, id: SocketId, progress: &mut Progress, now: u64) {
        if !progress.is_awaited {
            progress.since = now;
            self.look_again(id, progress, now);
        }
    }

    /// The next socket to be looked at by now, if any.
    pub fn next(&mut self, now: u64) -> Option<SocketId> {
        let (_, id) = self.looks.pop_front_if(|(due, _)| *due <= now)?;
        Some(id)
    }

    /// When the next look is due.
    pub fn due(&self) -> Option<u64> {
        self.looks.front().map(|&(due, _)| due)
    }

    /// Looks at a socket whose turn it is. True: its peer is to be let go.
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

/// Bytes that the peer's system has taken of a connection; 0 where the kernel does not tell.
fn bytes_acknowledged(fd: RawFd) -> u64 {
    let mut info = MaybeUninit::<TcpInfo>::zeroed();
    let mut len = size_of::<TcpInfo>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into the structure, which lives through the call.
    unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &mut len) };
    // SAFETY: zeros, and whatever numbers the kernel has written over them, are a value of the structure.
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

/// Looks per time-out.
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

    /// When the peer is let go, if it reads as often as `reads` says.
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
