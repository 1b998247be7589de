//! A guest's socket as the host uses it: read when told, written at once, waited for only when full.
//!
//! Tokio's own `UnixStream` also asks to hear of room to write, so that each frame a guest reads
//! wakes the host for nothing, and a read that empties the socket is followed by one that finds it
//! empty. Between two processes that call each other, both cost more than the frames.
//!
//! Invariant: readiness is forgotten only after a read that emptied the socket; bytes that came
//! meanwhile are a new event.

use mayfly_sandbox::poll;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

/// See the file's head. Needs a runtime, as all of Tokio's registrations do.
pub struct Socket {
    inner: AsyncFd<UnixStream>,
}

impl Socket {
    /// Takes a socket over.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        register(stream, Interest::READABLE).map(|inner| Self { inner })
    }

    /// Waits for bytes or the end. The guard's `clear_ready` says that all of it was read.
    pub async fn readable(&self) -> io::Result<AsyncFdReadyGuard<'_, UnixStream>> {
        self.inner.readable().await
    }

    /// Waits for room. Registers with the kernel for this once only.
    pub async fn writable(&self) -> io::Result<()> {
        let copy = register(self.inner.get_ref().try_clone()?, Interest::WRITABLE)?;
        copy.writable().await.map(drop)
    }

    /// Whether the other end is closed, whatever there is to read before it.
    pub async fn is_abandoned(&self) -> bool {
        let ready = self.inner.readable();
        let ready = tokio::time::timeout(Duration::ZERO, ready).await;
        ready.is_ok_and(|ready| ready.is_ok_and(|ready| ready.ready().is_read_closed()))
    }

    /// Whether there is something to read, or the end, without waiting.
    pub fn has_bytes(&self) -> bool {
        let socket = (self.inner.get_ref().as_fd(), poll::Interest::Read);
        poll::poll([socket], Some(Duration::ZERO)).is_ok_and(|[ready]| ready.read)
    }

    /// Reads what is there, without waiting.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.get_ref().read(buffer)
    }

    /// Writes what there is room for, without waiting.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.get_ref().write(bytes)
    }

    /// The same for pieces that go one behind the other.
    pub fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.inner.get_ref().write_vectored(pieces)
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe for types that may change their descriptor; a UnixStream owns one for life"
)]
fn register(stream: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    AsyncFd::with_interest(stream, interest)
}
