//! Frames on their way to the host.
//!
//! Ops append; the loop flushes once per turn, so that a turn costs one system call however many
//! frames it makes. What is large is not copied among them but waits as it is, between two buffers. A
//! turn that makes more than [`OUT_BYTES_MAX`] is held inside its op until the
//! host has read: back-pressure for a script that logs or sends without end.
//!
//! Invariant: never more than [`OUT_BYTES_MAX`] and one frame are waiting.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use mayfly_engine::data::OpError;
use mayfly_sandbox::fork::exit_now;
use mayfly_sandbox::mailbox::Mailbox;
use mayfly_sandbox::poll::{self, Interest};
use mayfly_sandbox::trap;
use mayfly_wire::bounds::FRAME_BYTES_MAX;
use mayfly_wire::{LENGTH_BYTES, ToHost, bytes_head, write_frame};

use crate::exit;

/// Bytes that may wait before a turn is held up: several windows of stream data.
pub const OUT_BYTES_MAX: usize = 1024 * 1024;

/// Capacity that an empty buffer keeps; more is given back after a turn that needed less.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// The buffer and the socket it drains to.
#[derive(Debug, Default)]
pub struct Output {
    socket: Option<Arc<File>>,
    mailbox: Option<Arc<Mailbox>>,
    /// Bytes written to the socket in all.
    sent_all: u64,
    /// Frames of a rehearsal are made and thrown away.
    rehearsing: bool,
    /// What goes before `buffer`.
    pieces: VecDeque<Vec<u8>>,
    /// Bytes of all pieces.
    pieces_bytes: usize,
    buffer: Vec<u8>,
    /// Bytes of the first piece, or else of `buffer`, that are sent.
    sent: usize,
    /// Bytes written since this was last taken.
    written: usize,
}

impl Output {
    /// Starts sending to a nonblocking `socket`, and to `mailbox` while the host listens there.
    pub fn connect(&mut self, socket: Arc<File>, mailbox: Option<Arc<Mailbox>>) {
        self.socket = Some(socket);
        self.mailbox = mailbox;
    }

    /// Begins or ends a rehearsal. With a socket there is none.
    pub fn rehearse(&mut self, rehearsing: bool) {
        self.rehearsing = rehearsing && self.socket.is_none();
    }

    /// Forgets what was not sent.
    pub fn discard(&mut self) {
        self.pieces.clear();
        self.pieces_bytes = 0;
        self.buffer.clear();
        self.sent = 0;
    }

    /// Bytes written since this was last asked.
    pub fn take_written(&mut self) -> usize {
        std::mem::take(&mut self.written)
    }

    /// Whether anything waits.
    pub fn is_pending(&self) -> bool {
        self.waiting() > 0
    }

    fn waiting(&self) -> usize {
        self.pieces_bytes + self.buffer.len() - self.sent
    }

    /// Appends a frame, and waits while there is too much.
    pub fn push(&mut self, frame: &ToHost) -> Result<(), OpError> {
        self.push_message(frame, Vec::new())
    }

    /// The same with what goes beside its payload, ahead of it.
    pub fn push_message(&mut self, frame: &ToHost, beside: Vec<Vec<u8>>) -> Result<(), OpError> {
        if self.rehearsing {
            self.discard();
            write_frame(frame, &mut self.buffer);
            self.discard();
            return Ok(());
        }
        if self.socket.is_none() {
            return Err(OpError {
                class: "Error",
                message: "nothing can be sent before a Worker has started".to_owned(),
            });
        }
        for bytes in beside {
            self.buffer.extend_from_slice(&bytes_head(bytes.len()));
            let before = std::mem::take(&mut self.buffer);
            self.pieces_bytes += before.len() + bytes.len();
            self.pieces.extend([before, bytes]);
        }
        let start = self.buffer.len();
        write_frame(frame, &mut self.buffer);
        let length = self.buffer.len() - start - LENGTH_BYTES;
        if length > FRAME_BYTES_MAX {
            self.buffer.truncate(start);
            return Err(OpError {
                class: "RangeError",
                message: format!("this would send {length} bytes at once, limit {FRAME_BYTES_MAX}"),
            });
        }
        if self.waiting() > OUT_BYTES_MAX {
            self.flush_all();
        }
        Ok(())
    }

    /// Writes what the socket takes now.
    pub fn flush(&mut self) {
        let Some(socket) = &self.socket else { return };
        if self.pieces.is_empty()
            && self.sent == 0
            && !self.buffer.is_empty()
            && let Some(mailbox) = &self.mailbox
            && mailbox.put(&self.buffer, self.sent_all)
        {
            self.written += self.buffer.len();
            self.discard();
            return;
        }
        trap::set_boundary(!self.is_pending());
        loop {
            let piece = self.pieces.front().unwrap_or(&self.buffer);
            if self.sent == piece.len() {
                if self.pieces.is_empty() {
                    break;
                }
                self.pieces_bytes -= self.sent;
                self.sent = 0;
                self.pieces.pop_front();
                continue;
            }
            match (&**socket).write(&piece[self.sent..]) {
                Ok(count) => {
                    self.sent += count;
                    self.written += count;
                    self.sent_all += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The host is gone, and with it all reason to be.
                Err(_) => exit_now(exit::DONE),
            }
        }
        // A stream fills it again and again: it shrinks after a turn that needed little of it.
        let needed = self.buffer.len();
        self.discard();
        trap::set_boundary(true);
        if needed <= KEPT_BYTES_MAX {
            self.buffer.shrink_to(KEPT_BYTES_MAX);
        }
    }

    /// Writes everything, however long the host takes to read it.
    pub fn flush_all(&mut self) {
        loop {
            self.flush();
            let Some(socket) = self.socket.as_ref().filter(|_| self.is_pending()) else {
                return;
            };
            if poll::poll([(socket.as_fd(), Interest::Write)], None).is_err() {
                exit_now(exit::SYSTEM);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mayfly_wire::{Blob, StreamId};
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    fn chunk() -> ToHost {
        ToHost::StreamData {
            stream: StreamId(1),
            bytes: Blob(vec![7; 60_000]),
        }
    }

    fn connected() -> (Output, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut output = Output::default();
        output.connect(Arc::new(File::from(OwnedFd::from(near))), None);
        (output, far)
    }

    #[test]
    fn a_turn_that_sends_too_much_waits_for_the_reader() {
        let (mut output, mut far) = connected();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            far.read_to_end(&mut all).unwrap();
            all.len()
        });
        for _ in 0..200 {
            output.push(&chunk()).unwrap();
            assert!(output.waiting() <= OUT_BYTES_MAX + 70_000);
        }
        output.flush_all();
        assert!(!output.is_pending());
        drop(output);
        let mut one = Vec::new();
        write_frame(&chunk(), &mut one);
        assert_eq!(reader.join().unwrap(), one.len() * 200);
    }

    #[test]
    fn what_goes_beside_a_frame_leaves_ahead_of_it() {
        let (mut output, mut far) = connected();
        let beside = vec![vec![1; 300_000], Vec::new(), vec![2; 70_000]];
        let mut wanted = Vec::new();
        write_frame(&chunk(), &mut wanted);
        for bytes in &beside {
            let bytes = Blob(bytes.clone());
            write_frame(&ToHost::Bytes { bytes }, &mut wanted);
        }
        write_frame(&chunk(), &mut wanted);
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            far.read_to_end(&mut all).unwrap();
            all
        });
        output.push(&chunk()).unwrap();
        output.push_message(&chunk(), beside).unwrap();
        output.flush_all();
        assert!(!output.is_pending());
        drop(output);
        assert!(reader.join().unwrap() == wanted);
    }

    #[test]
    fn a_full_socket_does_not_block_a_flush() {
        let (mut output, _far) = connected();
        for _ in 0..10 {
            output.push(&chunk()).unwrap();
        }
        output.flush();
        assert!(output.is_pending());
    }

    #[test]
    fn a_zygote_sends_nothing() {
        assert!(Output::default().push(&chunk()).is_err());
    }
}
