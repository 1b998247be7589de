//! A guest's bytes, cut into frames.
//!
//! Only a frame that is not whole yet is kept, and what is kept grows with bytes that really arrived, so
//! that an idle guest costs no buffer and a claimed length costs nothing. The content of a large `Bytes`
//! frame is read straight into the memory in which it goes on.

use crate::relay::Violation;
use mayfly_wire::bounds::MESSAGE_BYTES_MAX;
use mayfly_wire::{
    BYTES_HEAD, Blob, LENGTH_BYTES, ToHost, bytes_that_follow, frame_length, read_frame,
};

/// Bytes of a `Bytes` frame from which on they are read where they stay.
const APART_BYTES_MIN: usize = 64 * 1024;

/// Memory that a large frame gets at first, and how many times what has arrived it gets later: all that a
/// message may have once this much is there.
const APART_FIRST: usize = 1024 * 1024;
const APART_AHEAD: usize = MESSAGE_BYTES_MAX / APART_FIRST;

/// What bytes were cut into.
#[derive(Debug)]
pub enum Cut<'a> {
    /// A frame's body.
    Frame(&'a [u8]),
    /// The content of a large `Bytes` frame.
    Bytes(Vec<u8>),
}

impl Cut<'_> {
    /// The frame, and how long it was.
    pub fn decode(self) -> Result<(ToHost, usize), Violation> {
        Ok(match self {
            Self::Frame(body) => (read_frame(body)?, body.len()),
            Self::Bytes(bytes) => {
                let length = bytes.len();
                let bytes = Blob(bytes);
                (ToHost::Bytes { bytes }, length)
            }
        })
    }
}

/// Cuts bytes into frames.
#[derive(Debug, Default)]
pub struct Inbox {
    /// The beginning of a frame that is not whole yet.
    rest: Vec<u8>,
    apart: Option<Apart>,
}

/// A large `Bytes` frame of which some has come.
#[derive(Debug)]
struct Apart {
    /// What has come, and room for more.
    bytes: Vec<u8>,
    filled: usize,
    whole: usize,
}

impl Apart {
    fn new(whole: usize) -> Self {
        let mut apart = Self {
            bytes: Vec::new(),
            filled: 0,
            whole,
        };
        apart.grow();
        apart
    }

    fn grow(&mut self) {
        if self.filled == self.bytes.len() {
            let room = APART_FIRST.max(self.filled.saturating_mul(APART_AHEAD));
            self.bytes.resize(room.min(self.whole), 0);
        }
    }

    fn take(&mut self, bytes: &[u8]) -> usize {
        let room = self.room();
        let count = room.len().min(bytes.len());
        room[..count].copy_from_slice(&bytes[..count]);
        self.filled(count);
        count
    }

    fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    fn filled(&mut self, count: usize) {
        self.filled += count;
        self.grow();
    }

    fn is_whole(&self) -> bool {
        self.filled == self.whole
    }
}

impl Inbox {
    /// Memory that what has not come yet takes.
    pub fn reserved(&self) -> usize {
        self.apart.as_ref().map_or(0, |apart| apart.bytes.len())
    }

    /// Where the next bytes are to be read, if they have a place of their own.
    pub(crate) fn room(&mut self) -> Option<&mut [u8]> {
        self.apart.as_mut().map(Apart::room)
    }

    /// So many bytes were read there.
    pub(crate) fn filled(
        &mut self,
        count: usize,
        mut with: impl FnMut(Cut<'_>) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        if let Some(apart) = &mut self.apart {
            apart.filled(count);
        }
        self.give_whole(&mut with)
    }

    fn give_whole(
        &mut self,
        with: &mut impl FnMut(Cut<'_>) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        match self.apart.take_if(|apart| apart.is_whole()) {
            Some(apart) => with(Cut::Bytes(apart.bytes)),
            None => Ok(()),
        }
    }

    /// Takes bytes in and gives each whole frame to `with`.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut with: impl FnMut(Cut<'_>) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        while !bytes.is_empty() {
            while let Some(apart) = &mut self.apart {
                let count = apart.take(bytes);
                bytes = &bytes[count..];
                self.give_whole(&mut with)?;
                if bytes.is_empty() {
                    return Ok(());
                }
            }
            bytes = self.feed_frames(bytes, &mut with)?;
        }
        Ok(())
    }

    /// The same up to a large `Bytes` frame, whose content begins what is given back.
    fn feed_frames<'a>(
        &mut self,
        mut bytes: &'a [u8],
        with: &mut impl FnMut(Cut<'_>) -> Result<(), Violation>,
    ) -> Result<&'a [u8], Violation> {
        while !self.rest.is_empty() {
            if self.rest.len() < BYTES_HEAD {
                // Enough to know what it is, as far as it goes.
                let length =
                    length_of(&self.rest)?.map_or(BYTES_HEAD, |length| length + LENGTH_BYTES);
                let wanted = length.min(BYTES_HEAD).saturating_sub(self.rest.len());
                let (head, tail) = bytes.split_at(wanted.min(bytes.len()));
                self.rest.extend_from_slice(head);
                bytes = tail;
                if head.len() < wanted {
                    return Ok(bytes);
                }
            }
            if let Some(whole) = apart_of(&self.rest)? {
                self.rest.clear();
                self.apart = Some(Apart::new(whole));
                return Ok(bytes);
            }
            let wanted = match length_of(&self.rest)? {
                Some(length) => LENGTH_BYTES + length - self.rest.len(),
                None => LENGTH_BYTES - self.rest.len(),
            };
            let (head, tail) = bytes.split_at(wanted.min(bytes.len()));
            self.rest.extend_from_slice(head);
            bytes = tail;
            if head.len() < wanted {
                return Ok(bytes);
            }
            if let Some(length) = length_of(&self.rest)?
                && self.rest.len() == LENGTH_BYTES + length
            {
                let whole = std::mem::take(&mut self.rest);
                with(Cut::Frame(&whole[LENGTH_BYTES..]))?;
            }
        }
        while let Some(length) = length_of(bytes)? {
            if let Some(whole) = apart_of(bytes)? {
                self.apart = Some(Apart::new(whole));
                return Ok(&bytes[BYTES_HEAD..]);
            }
            let Some((frame, tail)) = bytes.split_at_checked(LENGTH_BYTES + length) else {
                break;
            };
            with(Cut::Frame(&frame[LENGTH_BYTES..]))?;
            bytes = tail;
        }
        self.rest.extend_from_slice(bytes);
        Ok(&[])
    }
}

/// The length of the content if a large `Bytes` frame begins here.
fn apart_of(bytes: &[u8]) -> Result<Option<usize>, Violation> {
    match bytes.first_chunk::<BYTES_HEAD>() {
        Some(head) => Ok(bytes_that_follow(head)?.filter(|length| *length >= APART_BYTES_MIN)),
        None => Ok(None),
    }
}

fn length_of(bytes: &[u8]) -> Result<Option<usize>, Violation> {
    match bytes.first_chunk::<LENGTH_BYTES>() {
        Some(prefix) => Ok(Some(frame_length(*prefix)?)),
        None => Ok(None),
    }
}
