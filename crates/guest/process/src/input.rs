//! Frames that come from the host.
//!
//! Bytes are read in large pieces and cut into frames in place. The buffer holds what has arrived of
//! one frame and what came behind it, and shrinks again after a large one (a Worker's code). The
//! content of a large `Bytes` frame is read straight into the memory in which JavaScript gets it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use mayfly_sandbox::mailbox::Mailbox;
use mayfly_sandbox::poll::{self, Interest};
use mayfly_wire::{
    BYTES_HEAD, Blob, LENGTH_BYTES, ToGuest, WireError, bytes_that_follow, frame_length, read_frame,
};

/// Bytes asked for at once, and kept between turns: a socket buffer holds about three of them.
const READ_BYTES: usize = 64 * 1024;

/// Looks into the mailbox between two at the socket, by which comes what does not fit there.
const LOOKS: u32 = 64;

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Bytes.
    Some,
    /// Nothing for now.
    None,
    /// The host has closed its end.
    End,
}

/// The socket and what was read ahead of it.
#[derive(Debug)]
pub struct Input {
    socket: Arc<File>,
    mailbox: Option<Arc<Mailbox>>,
    /// Where a message of the mailbox is taken to.
    message: Vec<u8>,
    /// Bytes read from the socket in all.
    consumed: u64,
    /// `buffer[start..end]` has arrived and was not taken.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The content of a `Bytes` frame, and how much of it has arrived: more than `buffer` holds.
    apart: Option<(Vec<u8>, usize)>,
    /// Bytes read since this was last taken.
    arrived: usize,
}

impl Input {
    /// Reads from a nonblocking `socket`, and from `mailbox` where it is awake.
    pub fn new(socket: Arc<File>, mailbox: Option<Arc<Mailbox>>) -> Self {
        Self {
            socket,
            mailbox,
            message: Vec::new(),
            consumed: 0,
            buffer: vec![0; READ_BYTES],
            start: 0,
            end: 0,
            apart: None,
            arrived: 0,
        }
    }

    /// Bytes read since this was last asked.
    pub fn take_arrived(&mut self) -> usize {
        std::mem::take(&mut self.arrived)
    }

    /// Reads once. Take all frames first, so that there is room.
    pub fn read(&mut self) -> io::Result<Arrival> {
        if self.apart.is_none() {
            self.make_room();
        }
        let (room, arrived) = match &mut self.apart {
            Some((bytes, arrived)) => (&mut bytes[*arrived..], arrived),
            None => (&mut self.buffer[self.end..], &mut self.end),
        };
        match (&*self.socket).read(room) {
            Ok(0) => Ok(Arrival::End),
            Ok(count) => {
                *arrived += count;
                self.arrived += count;
                self.consumed += count as u64;
                Ok(Arrival::Some)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Arrival::None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Arrival::None),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Arrival::End),
            Err(error) => Err(error),
        }
    }

    /// Looks for something to read until then, without sleeping. Take all frames first.
    pub fn read_awake(&mut self, until: Instant) -> io::Result<Arrival> {
        if let Some(mailbox) = &self.mailbox {
            mailbox.listen(self.consumed);
        }
        let arrival = loop {
            if self.look() {
                break Ok(Arrival::Some);
            }
            match self.read() {
                Ok(Arrival::None) if Instant::now() < until => {}
                arrival => break arrival,
            }
        };
        if let Some(mailbox) = &self.mailbox {
            mailbox.stop_listening();
        }
        // What came in the last moment.
        if self.take_message() {
            return Ok(Arrival::Some);
        }
        arrival
    }

    /// A few looks into the mailbox: they cost next to nothing, a look at the socket a system call.
    fn look(&mut self) -> bool {
        for _ in 0..LOOKS {
            if self.take_message() {
                return true;
            }
            std::hint::spin_loop();
        }
        false
    }

    /// Takes what is in the mailbox. It is older than what was read from the socket meanwhile, and nothing
    /// else is in the buffer: whoever puts a message there has seen that all before it was read.
    fn take_message(&mut self) -> bool {
        let Some(mailbox) = &self.mailbox else {
            return false;
        };
        let count = mailbox.take(&mut self.message);
        if count == 0 {
            return false;
        }
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        let (start, end) = (self.start, self.end + count);
        if end > self.buffer.len() {
            self.buffer.resize(end, 0);
        }
        self.buffer.copy_within(start..self.end, start + count);
        self.buffer[start..start + count].copy_from_slice(&self.message);
        self.message.clear();
        self.end = end;
        self.arrived += count;
        true
    }

    /// Waits until there is something to read, and reads once.
    pub fn wait(&mut self) -> io::Result<Arrival> {
        poll::poll([(self.socket.as_fd(), Interest::Read)], None)
            .map_err(|_| io::Error::other("poll"))?;
        self.read()
    }

    /// The next whole frame, if it is there.
    pub fn frame(&mut self) -> Result<Option<ToGuest>, WireError> {
        if self.apart.is_none() {
            self.set_apart()?;
        }
        if self.apart.is_some() {
            let whole = self
                .apart
                .take_if(|(bytes, arrived)| *arrived == bytes.len());
            return Ok(whole.map(|(bytes, _)| ToGuest::Bytes { bytes: Blob(bytes) }));
        }
        let Some(length) = self.next_length()? else {
            return Ok(None);
        };
        let body = self.start + LENGTH_BYTES;
        if self.end < body + length {
            return Ok(None);
        }
        let frame = read_frame(&self.buffer[body..body + length])?;
        self.start = body + length;
        Ok(Some(frame))
    }

    /// Moves what has arrived of a large `Bytes` frame to where the rest of it will be read.
    fn set_apart(&mut self) -> Result<(), WireError> {
        let here = &self.buffer[self.start..self.end];
        let Some(head) = here.first_chunk::<BYTES_HEAD>() else {
            return Ok(());
        };
        let Some(length) = bytes_that_follow(head)?.filter(|length| *length > READ_BYTES) else {
            return Ok(());
        };
        let arrived = &here[BYTES_HEAD..];
        let count = arrived.len().min(length);
        let mut bytes = vec![0; length];
        bytes[..count].copy_from_slice(&arrived[..count]);
        self.start += BYTES_HEAD + count;
        self.apart = Some((bytes, count));
        Ok(())
    }

    fn next_length(&self) -> Result<Option<usize>, WireError> {
        match self.buffer[self.start..self.end].first_chunk::<LENGTH_BYTES>() {
            Some(prefix) => frame_length(*prefix).map(Some),
            None => Ok(None),
        }
    }

    fn make_room(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        // A length that breaks its bound was reported by `frame` already.
        let wanted = match self.next_length() {
            Ok(Some(length)) => (LENGTH_BYTES + length).max(READ_BYTES),
            _ => READ_BYTES,
        };
        if wanted < self.buffer.len() {
            self.buffer.truncate(wanted.max(self.end));
            self.buffer.shrink_to_fit();
        } else {
            // Zeroes from the kernel, untouched until bytes arrive.
            self.buffer.resize(wanted, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mayfly_wire::{Blob, StreamId, write_frame};
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let (near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut input = Input::new(Arc::new(File::from(OwnedFd::from(near))), None);
        assert_eq!(input.read().unwrap(), Arrival::None);
        let frames: Vec<ToGuest> = [0, 1, 200_000, 5]
            .map(|length| ToGuest::StreamData {
                stream: StreamId(2),
                bytes: Blob(vec![9; length]),
            })
            .into();
        let bytes_frames = [0, 1, 200_000, 3_000_000].map(|length| ToGuest::Bytes {
            bytes: Blob(vec![8; length]),
        });
        let frames = [&bytes_frames[..], &frames, &bytes_frames].concat();
        let mut bytes = Vec::new();
        frames
            .iter()
            .for_each(|frame| write_frame(frame, &mut bytes));
        let mut found = Vec::new();
        for piece in bytes.chunks(50_001) {
            far.write_all(piece).unwrap();
            while input.read().unwrap() == Arrival::Some {
                while let Some(frame) = input.frame().unwrap() {
                    found.push(frame);
                }
            }
        }
        assert_eq!(found, frames);
        assert!(input.apart.is_none());
        assert_eq!(input.buffer.len(), READ_BYTES);
        drop(far);
        assert_eq!(input.read().unwrap(), Arrival::End);
    }

    #[test]
    fn a_length_above_its_bound_is_refused() {
        let (near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut input = Input::new(Arc::new(File::from(OwnedFd::from(near))), None);
        far.write_all(&u32::MAX.to_le_bytes()).unwrap();
        assert_eq!(input.read().unwrap(), Arrival::Some);
        assert!(input.frame().is_err());
    }
}
