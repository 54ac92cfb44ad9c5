//! A worker: a thread that waits for its connections, reads what is ready, and lets its producers
//! publish. With one worker per core and a few connections, nearly all of its time is spent by the
//! kernel on copying.

use std::sync::atomic::Ordering::SeqCst;

use super::peer::{Peer, Turn};
use super::producer::Pause;
use super::stats::{Control, Credits, Histograms, Phase, Tally, WorkerStats};
use crate::sys::{self, Epoll};

/// The state that workers share.
pub struct Shared {
    /// The reporter's orders.
    pub control: Control,
    /// The room in producers' windows.
    pub credits: Credits,
    /// The published state of each worker.
    pub workers: Vec<WorkerStats>,
    /// Whether workers never sleep.
    pub spin: bool,
}

/// A thread's connections and counts.
pub struct Worker<'a> {
    index: usize,
    shared: &'a Shared,
    peers: Vec<Peer>,
    epoll: Epoll,
    tally: Tally,
    histograms: Histograms,
    ready: Vec<usize>,
    buffer: Vec<u8>,
}

impl<'a> Worker<'a> {
    /// Makes a worker with these connections.
    pub fn new(index: usize, shared: &'a Shared, peers: Vec<Peer>) -> Result<Worker<'a>, String> {
        let epoll = Epoll::new().map_err(|e| e.to_string())?;
        let watch = |peer: &Peer, token| peer.stream.set_nonblocking(true).and_then(|()| epoll.add(&peer.stream, token));
        for (token, peer) in peers.iter().enumerate() {
            watch(peer, token).map_err(|e| format!("epoll: {e}"))?;
        }
        epoll.add(&shared.workers[index].wake, WAKE_TOKEN).map_err(|e| format!("epoll: {e}"))?;
        let ready = Vec::with_capacity(peers.len());
        Ok(Worker {
            index,
            shared,
            peers,
            epoll,
            tally: Tally::default(),
            histograms: Histograms::new(),
            ready,
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// Works until the run ends. Returns the connections.
    pub fn run(mut self) -> Vec<Peer> {
        while self.shared.control.phase() != Phase::Stop {
            if let Err(reason) = self.turn() {
                self.shared.control.fail(reason);
                break;
            }
        }
        self.peers
    }

    fn turn(&mut self) -> Result<(), String> {
        let shared = self.shared;
        let stats = &shared.workers[self.index];
        let epoch = shared.credits.epoch();
        let mut turn = Turn {
            now_ns: sys::now_ns(),
            start_ns: shared.control.start_ns.load(SeqCst),
            phase: shared.control.phase(),
            tally: &mut self.tally,
            histograms: &mut self.histograms,
            credits: &shared.credits,
        };
        let received = turn.tally.received;
        for &token in &self.ready {
            self.peers[token].read(&mut self.buffer, &mut turn)?;
        }
        if shared.workers.len() > 1 && turn.tally.received != received {
            rouse_others(shared, self.index);
        }
        let (mut wait_ns, mut waits_for_window) = (WAIT_MAX_NS, false);
        for (token, peer) in self.peers.iter_mut().enumerate() {
            let pause = peer.write(&mut turn).map_err(|e| format!("send: {e}"))?;
            let full = pause == Pause::Socket;
            if full != peer.waits_for_output {
                peer.waits_for_output = full;
                self.epoll.watch_output(&peer.stream, token, full).map_err(|e| format!("epoll: {e}"))?;
            }
            wait_ns = wait_ns.min(wait_of(pause, turn.now_ns));
            waits_for_window |= pause == Pause::Window && peer.producer.is_some();
        }
        stats.publish(&self.tally);
        stats.hand_over(&mut self.histograms);
        let woken_by_others = waits_for_window && shared.workers.len() > 1;
        self.wait(if shared.spin { 0 } else { wait_ns }, woken_by_others.then_some(epoch))
    }

    /// Waits for connections. Does not wait if a producer waits for room in its window, and another
    /// worker has given some since `epoch`.
    fn wait(&mut self, wait_ns: u64, epoch: Option<u64>) -> Result<(), String> {
        let stats = &self.shared.workers[self.index];
        stats.asleep.store(epoch.is_some() && wait_ns > 0, SeqCst);
        let is_late = epoch.is_some_and(|epoch| self.shared.credits.epoch() != epoch);
        let wait_ns = if is_late { 0 } else { wait_ns };
        self.ready.clear();
        for event in self.epoll.wait(wait_ns).map_err(|e| format!("epoll: {e}"))? {
            match sys::readiness(event) {
                (WAKE_TOKEN, ..) => stats.wake.clear(),
                (token, true, _) => self.ready.push(token),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Wakes sleeping workers whose producers may go on.
fn rouse_others(shared: &Shared, me: usize) {
    shared.credits.advance();
    for (i, worker) in shared.workers.iter().enumerate() {
        if i != me && worker.asleep.swap(false, SeqCst) {
            worker.wake.wake();
        }
    }
}

fn wait_of(pause: Pause, now_ns: u64) -> u64 {
    match pause {
        Pause::Turn => 0,
        Pause::Until(due_ns) => due_ns - now_ns,
        Pause::Socket | Pause::Window => WAIT_MAX_NS,
    }
}

/// How soon a worker notices that the phase has changed, nanoseconds.
const WAIT_MAX_NS: u64 = 5_000_000;
/// Size of the receive buffer that all connections of a worker share, bytes.
const BUFFER_BYTES: usize = 256 << 10;
const WAKE_TOKEN: usize = usize::MAX;
