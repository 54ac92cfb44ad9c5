//! The null broker's io_uring: typed operations out, typed completions in.

use std::io;
use std::os::fd::RawFd;

use io_uring::{IoUring, cqueue, opcode, squeue, types};

use super::buffers::Buffers;

/// A completion.
#[derive(Clone, Copy, Debug)]
pub enum Done {
    /// A new connection's descriptor, or a negative error number.
    Accepted(i32),
    /// Bytes from a connection; 0 at its end, negative for an error. `more`: the receive goes on by
    /// itself.
    Received { link: usize, result: i32, more: bool },
    /// The send of a connection's chunk.
    Sent { link: usize, result: i32 },
    /// The write of the log.
    Logged(i32),
}

/// The ring.
pub struct Ring {
    uring: IoUring,
}

impl Ring {
    /// Opens the ring.
    pub fn new() -> io::Result<Ring> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_no_sqarray()
            .setup_cqsize(CQ_ENTRIES)
            .build(SQ_ENTRIES)?;
        Ok(Ring { uring })
    }

    /// Registers receive buffers.
    pub fn buffers(&self, count: u16, len: usize) -> io::Result<Buffers> {
        Buffers::new(&self.uring.submitter(), GROUP, count, len)
    }

    /// Accepts connections from a listener, again and again.
    pub fn accept(&mut self, listener: RawFd) -> io::Result<()> {
        self.push(opcode::AcceptMulti::new(types::Fd(listener)).build().user_data(ACCEPT))
    }

    /// Receives from a connection, again and again.
    pub fn receive(&mut self, fd: RawFd, link: usize) -> io::Result<()> {
        self.push(opcode::RecvMultiBundle::new(types::Fd(fd), GROUP).build().user_data(RECEIVE | (link as u64) << KIND_BITS))
    }

    /// Sends all of `bytes`, which must not move until the completion.
    pub fn send(&mut self, fd: RawFd, link: usize, bytes: &[u8]) -> io::Result<()> {
        let len = u32::try_from(bytes.len()).expect("chunks are small");
        let send = opcode::Send::new(types::Fd(fd), bytes.as_ptr(), len).flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL);
        self.push(send.build().user_data(SEND | (link as u64) << KIND_BITS))
    }

    /// Writes `bytes`, which must not move until the completion.
    pub fn write(&mut self, fd: RawFd, bytes: &[u8], offset: u64) -> io::Result<()> {
        let len = u32::try_from(bytes.len()).expect("log buffers are small");
        self.push(opcode::Write::new(types::Fd(fd), bytes.as_ptr(), len).offset(offset).build().user_data(LOG))
    }

    /// Submits everything and waits for at least one completion.
    pub fn wait(&mut self, done: &mut Vec<Done>) -> io::Result<()> {
        match self.uring.submit_and_wait(1) {
            Ok(_) => {}
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINTR | libc::EBUSY | libc::EAGAIN)) => {}
            Err(e) => return Err(e),
        }
        done.extend(self.uring.completion().map(|cqe| decode(&cqe)));
        Ok(())
    }

    fn push(&mut self, entry: squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: the memory that the entry points to stays valid by the contracts of the
            // functions above: chunks and log buffers are kept until their completion is seen, and
            // descriptors are closed after it.
            if unsafe { self.uring.submission().push(&entry) }.is_ok() {
                return Ok(());
            }
            self.uring.submit()?;
        }
    }
}

fn decode(cqe: &cqueue::Entry) -> Done {
    let link = (cqe.user_data() >> KIND_BITS) as usize;
    match cqe.user_data() & KIND_MASK {
        ACCEPT => Done::Accepted(cqe.result()),
        RECEIVE => Done::Received { link, result: cqe.result(), more: cqueue::more(cqe.flags()) },
        SEND => Done::Sent { link, result: cqe.result() },
        _ => Done::Logged(cqe.result()),
    }
}

const SQ_ENTRIES: u32 = 1024;
const CQ_ENTRIES: u32 = 16 << 10;
const GROUP: u16 = 0;
const KIND_BITS: u32 = 2;
const KIND_MASK: u64 = 3;
const ACCEPT: u64 = 0;
const RECEIVE: u64 = 1;
const SEND: u64 = 2;
const LOG: u64 = 3;
