//! Bytes on their way to a guest.
//!
//! Frames are appended to one buffer and leave in one write. What is large is not copied into it: it
//! waits between two buffers as it is, and all that waits is given to the kernel at once.
//!
//! Invariant: `sent` bytes of the first piece are out, and of no other.

use crate::socket::Socket;
use mayfly_sandbox::mailbox::Mailbox;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// Capacity that an emptied buffer may keep.
const KEEP_BYTES: usize = 64 * 1024;

/// Pieces that one write takes.
const SLICES_MAX: usize = 8;

/// See the file's head.
#[derive(Default)]
pub(crate) struct Out {
    /// What goes before `end`.
    pieces: VecDeque<Vec<u8>>,
    end: Vec<u8>,
    /// Of the first piece.
    sent: usize,
    /// Of all.
    waiting: usize,
    stream: Option<Arc<Socket>>,
    /// Of a guest that may be awake.
    mailbox: Option<Arc<Mailbox>>,
    /// Bytes written to the socket in all.
    sent_all: u64,
    /// The socket is full; its task waits for room.
    blocked: bool,
}

impl Out {
    pub(crate) fn new(stream: Option<Arc<Socket>>) -> Self {
        Self {
            stream,
            ..Self::default()
        }
    }

    /// What a guest that is awake may be sent through.
    pub(crate) fn use_mailbox(&mut self, mailbox: Arc<Mailbox>) {
        self.mailbox = Some(mailbox);
    }

    /// Where frames are appended.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.end
    }

    /// Appends what is large, without a copy.
    pub(crate) fn append(&mut self, bytes: Vec<u8>) {
        let before = std::mem::take(&mut self.end);
        for piece in [before, bytes] {
            if !piece.is_empty() {
                self.waiting += piece.len();
                self.pieces.push_back(piece);
            }
        }
    }

    /// Bytes that are not out yet.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting + self.end.len() - self.sent
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// The socket has room again.
    pub(crate) fn unblock(&mut self) {
        self.blocked = false;
    }

    pub(crate) fn socket(&self) -> Option<Arc<Socket>> {
        self.stream.clone()
    }

    /// All that waits, where there is no socket.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.sent = 0;
        self.waiting = 0;
        let mut all: Vec<u8> = self.pieces.drain(..).flatten().collect();
        all.append(&mut self.end);
        all
    }

    /// Whether the socket is full, and the bytes that went out.
    pub(crate) fn flush(&mut self) -> (bool, usize) {
        let Some(stream) = self.stream.clone() else {
            return (false, 0);
        };
        if self.blocked {
            return (false, 0);
        }
        if self.pieces.is_empty()
            && self.sent == 0
            && !self.end.is_empty()
            && let Some(mailbox) = &self.mailbox
            && mailbox.put(&self.end, self.sent_all)
        {
            let written = self.end.len();
            self.end.clear();
            return (false, written);
        }
        let mut written = 0;
        while self.waiting() > 0 {
            let wrote = match self.pieces.is_empty() {
                true => stream.try_write(&self.end[self.sent..]),
                false => stream.try_write_vectored(&self.slices()),
            };
            match wrote {
                Ok(count) => {
                    written += count;
                    self.sent_all += count as u64;
                    self.advance(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    self.compact();
                    return (true, written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The reading side sees the end of the socket and reports it.
                Err(_) => self.advance(self.waiting()),
            }
        }
        self.end.clear();
        self.sent = 0;
        self.end.shrink_to(KEEP_BYTES);
        (false, written)
    }

    fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut sent = self.sent;
        self.pieces
            .iter()
            .chain([&self.end])
            .take(SLICES_MAX)
            .map(|piece| IoSlice::new(&piece[std::mem::take(&mut sent)..]))
            .collect()
    }

    fn advance(&mut self, count: usize) {
        self.sent += count;
        while let Some(first) = self.pieces.front()
            && self.sent >= first.len()
        {
            self.sent -= first.len();
            self.waiting -= first.len();
            self.pieces.pop_front();
        }
    }

    /// Gives up what is out, where that is most of the buffer.
    fn compact(&mut self) {
        if self.pieces.is_empty() && self.sent > self.end.len() / 2 {
            self.end.drain(..self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[tokio::test]
    async fn pieces_of_every_size_leave_in_order() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let stream = Socket::new(near).unwrap();
        let mut out = Out::new(Some(Arc::new(stream)));
        let mut wanted = Vec::new();
        for round in 0..20u8 {
            let small = vec![round; 100];
            let large = vec![round; 50_000 * usize::from(round % 3)];
            out.end().extend_from_slice(&small);
            wanted.extend_from_slice(&small);
            wanted.extend_from_slice(&large);
            out.append(large);
        }
        assert_eq!(out.waiting(), wanted.len());
        let mut found = Vec::new();
        let mut buffer = vec![0; 70_000];
        while out.waiting() > 0 {
            let (blocked, _) = out.flush();
            assert_eq!(blocked, out.waiting() > 0);
            let count = far.read(&mut buffer).unwrap();
            found.extend_from_slice(&buffer[..count]);
            out.unblock();
        }
        drop(out);
        far.read_to_end(&mut found).unwrap();
        assert!(found == wanted);
    }
}
