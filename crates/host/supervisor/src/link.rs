//! Streams: one writer joined to one reader, each in a guest or in the host.
//!
//! A link forwards bytes, credit, end, abort and cancel one to one, translating only the numbers.
//! While the reader is not attached yet (its Worker is still starting) or sits in the host, bytes
//! queue here, never more than the window. It does not know what the bytes mean.
//!
//! Invariant: a writer has at most [`STREAM_WINDOW_BYTES`] unread at any time; one that sends more
//! and a reader that grants more than it got are violations and end their guest.

use crate::bounds::STREAM_BYTES_MAX;
use crate::guest::Guest;
use crate::hub::{Chore, Chores};
use crate::lock::Mutex;
use crate::relay::Violation;
use crate::turn::Turn;
use mayfly_wire::bounds::{CHUNK_BYTES_MAX, STREAM_WINDOW_BYTES};
use mayfly_wire::{Blob, Failure, FailureKind, StreamId, ToGuest};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// See the file's head.
pub struct Link {
    state: Mutex<LinkState>,
    /// Wakes the end that sits in the host.
    changed: Notify,
    /// What comes is messages of a WebSocket: each is an event of its own for the reader's CPU limit.
    messages: AtomicBool,
    chores: Chores,
}

struct LinkState {
    writer: Side,
    reader: Side,
    /// Bytes sent and not granted back.
    unread: u32,
    /// Only while the reader is `Open` or `Host`.
    queue: VecDeque<Vec<u8>>,
    /// The writer said its last word and the reader has not been told.
    finish: Option<Finish>,
    /// The reader left and the writer has not been told.
    cancel: Option<String>,
}

enum Side {
    /// Not attached yet.
    Open,
    Guest(Arc<Guest>, StreamId),
    Host,
    Gone,
}

#[derive(Debug)]
enum Finish {
    End,
    Abort(Failure),
}

/// What the host's reading end gets.
#[derive(Debug)]
pub enum Taken {
    /// Bytes; grant them back with [`ReaderEnd::grant`] once they are gone.
    Bytes(Vec<u8>),
    /// No more will come.
    End,
    /// The writer failed.
    Abort(Failure),
}

/// The right to read a link, not yet given to a guest. Dropping it cancels the stream.
pub struct ReaderEnd(Option<Arc<Link>>);

/// The right to write a link, not yet given to a guest. Dropping it aborts the stream.
pub struct WriterEnd(Option<Arc<Link>>);

impl Link {
    fn new(chores: &Chores, writer: Side, reader: Side) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(LinkState {
                writer,
                reader,
                unread: 0,
                queue: VecDeque::new(),
                finish: None,
                cancel: None,
            }),
            changed: Notify::new(),
            messages: AtomicBool::new(false),
            chores: chores.clone(),
        })
    }

    /// It carries the messages of a WebSocket.
    pub fn carries_messages(&self) {
        self.messages.store(true, Ordering::Relaxed);
    }

    /// A message comes for a guest: from outside it, not from itself, or it could go on for ever.
    fn excuse_reader(&self, state: &LinkState) {
        if !self.messages.load(Ordering::Relaxed) {
            return;
        }
        match (&state.writer, &state.reader) {
            (Side::Guest(writer, _), Side::Guest(reader, _)) if Arc::ptr_eq(writer, reader) => {}
            (_, Side::Guest(reader, _)) => reader.excuse_cpu(),
            _ => {}
        }
    }

    /// A stream that `guest` writes.
    pub fn written_by(chores: &Chores, guest: &Arc<Guest>, id: StreamId) -> (Arc<Self>, ReaderEnd) {
        let link = Self::new(chores, Side::Guest(guest.clone(), id), Side::Open);
        (link.clone(), ReaderEnd(Some(link)))
    }

    /// A stream that `guest` reads.
    pub fn read_by(chores: &Chores, guest: &Arc<Guest>, id: StreamId) -> (Arc<Self>, WriterEnd) {
        let link = Self::new(chores, Side::Open, Side::Guest(guest.clone(), id));
        (link.clone(), WriterEnd(Some(link)))
    }

    /// A stream whose ends are both to be attached.
    pub fn pair(chores: &Chores) -> (WriterEnd, ReaderEnd) {
        let link = Self::new(chores, Side::Open, Side::Open);
        (WriterEnd(Some(link.clone())), ReaderEnd(Some(link)))
    }

    /// Bytes from the writing guest.
    pub fn data(&self, turn: &mut Turn, bytes: Blob) -> Result<(), Violation> {
        if bytes.0.len() > CHUNK_BYTES_MAX {
            return Err(Violation::ChunkTooLong(bytes.0.len()));
        }
        let mut state = self.state.lock();
        let Side::Guest(writer, _) = &state.writer else {
            return Ok(());
        };
        if bytes.0.is_empty() || matches!(state.reader, Side::Gone) {
            return Ok(());
        }
        // At most CHUNK_BYTES_MAX, so it fits.
        let length = u32::try_from(bytes.0.len()).unwrap_or(u32::MAX);
        let unread = state.unread.saturating_add(length);
        if unread > STREAM_WINDOW_BYTES {
            return Err(Violation::OverWindow);
        }
        let hoarded = writer
            .unread
            .fetch_add(u64::from(length), Ordering::Relaxed);
        if hoarded + u64::from(length) > STREAM_BYTES_MAX {
            return Err(Violation::StreamHoard);
        }
        state.unread = unread;
        self.excuse_reader(&state);
        state.forward(turn, bytes.0);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The writing guest's last word; its table has forgotten the stream already.
    pub fn end(&self, turn: &mut Turn) {
        self.finish(turn, Finish::End);
    }

    /// As [`Self::end`], failed.
    pub fn abort(&self, turn: &mut Turn, failure: Failure) {
        self.finish(turn, Finish::Abort(failure));
    }

    fn finish(&self, turn: &mut Turn, finish: Finish) {
        let mut state = self.state.lock();
        if matches!(state.writer, Side::Gone) {
            return;
        }
        state.forget_unread();
        state.writer = Side::Gone;
        if !matches!(state.reader, Side::Gone) && state.finish.is_none() {
            state.finish = Some(finish);
        }
        state.tell_reader(turn);
        drop(state);
        self.changed.notify_one();
    }

    /// Room granted by the reading guest.
    pub fn credit(&self, turn: &mut Turn, bytes: u32) -> Result<(), Violation> {
        let mut state = self.state.lock();
        if matches!(state.writer, Side::Gone) {
            return Ok(());
        }
        state.grant(turn, bytes)?;
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The reader leaves; a reading guest's table has forgotten the stream already.
    pub fn cancel(&self, turn: &mut Turn, reason: String) {
        let mut state = self.state.lock();
        if matches!(state.reader, Side::Gone) {
            return;
        }
        state.reader = Side::Gone;
        state.queue.clear();
        state.finish = None;
        state.cancel = Some(reason);
        state.tell_writer(turn);
        drop(state);
        self.changed.notify_one();
    }

    fn attach_reader(&self, turn: &mut Turn, guest: &Arc<Guest>, id: StreamId) {
        let mut state = self.state.lock();
        // Gone: the guest cancelled, or ended, between learning the number and this moment.
        if matches!(state.reader, Side::Open) {
            state.reader = Side::Guest(guest.clone(), id);
            let queued = std::mem::take(&mut state.queue);
            for bytes in queued {
                state.forward(turn, bytes);
            }
            state.tell_reader(turn);
        }
    }

    fn attach_writer(&self, turn: &mut Turn, guest: &Arc<Guest>, id: StreamId) {
        let mut state = self.state.lock();
        if matches!(state.writer, Side::Open) {
            state.writer = Side::Guest(guest.clone(), id);
            state.tell_writer(turn);
        }
    }
}

impl LinkState {
    fn forward(&mut self, turn: &mut Turn, bytes: Vec<u8>) {
        match &self.reader {
            Side::Guest(guest, id) => {
                let frame = ToGuest::StreamData {
                    stream: *id,
                    bytes: Blob(bytes),
                };
                guest.send(turn, &frame);
            }
            Side::Open | Side::Host => self.queue.push_back(bytes),
            Side::Gone => {}
        }
    }

    fn grant(&mut self, turn: &mut Turn, bytes: u32) -> Result<(), Violation> {
        let Some(unread) = self.unread.checked_sub(bytes) else {
            return Err(Violation::OverCredit);
        };
        self.unread = unread;
        if let Side::Guest(guest, id) = &self.writer {
            guest.unread.fetch_sub(u64::from(bytes), Ordering::Relaxed);
            let frame = ToGuest::StreamCredit { stream: *id, bytes };
            guest.send(turn, &frame);
        }
        Ok(())
    }

    /// Gives the reading guest the writer's last word once everything before it is sent.
    fn tell_reader(&mut self, turn: &mut Turn) {
        let Side::Guest(guest, id) = &self.reader else {
            return;
        };
        let Some(finish) = self.finish.take() else {
            return;
        };
        let frame = match finish {
            Finish::End => ToGuest::StreamEnd { stream: *id },
            Finish::Abort(failure) => ToGuest::StreamAbort {
                stream: *id,
                failure,
            },
        };
        guest.close_stream(turn, *id, &frame);
        self.reader = Side::Gone;
    }

    fn tell_writer(&mut self, turn: &mut Turn) {
        if self.cancel.is_none() {
            return;
        }
        match &self.writer {
            Side::Guest(guest, id) => {
                let frame = ToGuest::StreamCancel {
                    stream: *id,
                    reason: self.cancel.take().unwrap_or_default(),
                };
                guest.close_stream(turn, *id, &frame);
                self.forget_unread();
                self.writer = Side::Gone;
            }
            // The host's writer looks at `reader`.
            Side::Open | Side::Host | Side::Gone => {}
        }
    }

    fn forget_unread(&mut self) {
        if let Side::Guest(guest, _) = &self.writer {
            guest
                .unread
                .fetch_sub(u64::from(self.unread), Ordering::Relaxed);
        }
        self.unread = 0;
    }
}

impl ReaderEnd {
    /// Gives the end to a guest that has just been told its number.
    pub fn attach(mut self, turn: &mut Turn, guest: &Arc<Guest>, id: StreamId) {
        if let Some(link) = self.0.take() {
            link.attach_reader(turn, guest, id);
        }
    }

    /// The link, for the guest's table.
    pub fn link(&self) -> Option<&Arc<Link>> {
        self.0.as_ref()
    }

    /// Waits for what comes next. The host reads this end from now on.
    pub async fn take(&self) -> Taken {
        let Some(link) = &self.0 else {
            return Taken::End;
        };
        loop {
            let changed = link.changed.notified();
            {
                let mut state = link.state.lock();
                if matches!(state.reader, Side::Open) {
                    state.reader = Side::Host;
                }
                if let Some(bytes) = state.queue.pop_front() {
                    return Taken::Bytes(bytes);
                }
                match state.finish.take() {
                    Some(Finish::End) => {
                        state.reader = Side::Gone;
                        return Taken::End;
                    }
                    Some(Finish::Abort(failure)) => {
                        state.reader = Side::Gone;
                        return Taken::Abort(failure);
                    }
                    None if matches!(state.reader, Side::Gone) => return Taken::End,
                    None => {}
                }
            }
            changed.await;
        }
    }

    /// The host has room for `bytes` more.
    pub fn grant(&self, turn: &mut Turn, bytes: usize) {
        if let Some(link) = &self.0 {
            let mut state = link.state.lock();
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(state.unread);
            if bytes > 0 && !matches!(state.writer, Side::Gone) {
                let _ = state.grant(turn, bytes);
            }
        }
    }

    /// Nobody wants the rest.
    pub fn cancel(mut self, turn: &mut Turn, reason: &str) {
        if let Some(link) = self.0.take() {
            link.cancel(turn, reason.to_owned());
        }
    }
}

impl WriterEnd {
    /// Gives the end to a guest that has just been told its number.
    pub fn attach(mut self, turn: &mut Turn, guest: &Arc<Guest>, id: StreamId) {
        if let Some(link) = self.0.take() {
            link.attach_writer(turn, guest, id);
        }
    }

    /// The link, for the guest's table.
    pub fn link(&self) -> Option<&Arc<Link>> {
        self.0.as_ref()
    }

    /// Writes from the host once there is room; `false` if the reader is gone. At most
    /// [`CHUNK_BYTES_MAX`] at a time.
    pub async fn write(&self, bytes: &[u8]) -> bool {
        debug_assert!(bytes.len() <= CHUNK_BYTES_MAX, "the caller cuts chunks");
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let Some(link) = &self.0 else {
            return false;
        };
        loop {
            let changed = link.changed.notified();
            {
                let mut turn = Turn::new();
                let mut state = link.state.lock();
                if matches!(state.writer, Side::Open) {
                    state.writer = Side::Host;
                }
                if matches!(state.reader, Side::Gone) {
                    return false;
                }
                if state.unread + length <= STREAM_WINDOW_BYTES {
                    state.unread += length;
                    link.excuse_reader(&state);
                    state.forward(&mut turn, bytes.to_vec());
                    drop(state);
                    return true;
                }
            }
            changed.await;
        }
    }

    /// Completes when the reader is gone.
    pub async fn closed(&self) {
        let Some(link) = &self.0 else {
            return;
        };
        loop {
            let changed = link.changed.notified();
            if matches!(link.state.lock().reader, Side::Gone) {
                return;
            }
            changed.await;
        }
    }

    /// All was written.
    pub fn end(mut self, turn: &mut Turn) {
        if let Some(link) = self.0.take() {
            link.end(turn);
        }
    }

    /// Writing failed.
    pub fn abort(mut self, turn: &mut Turn, failure: Failure) {
        if let Some(link) = self.0.take() {
            link.abort(turn, failure);
        }
    }
}

impl Drop for ReaderEnd {
    fn drop(&mut self) {
        if let Some(link) = self.0.take() {
            let chores = link.chores.clone();
            chores.post(Chore::CancelLink(link));
        }
    }
}

impl Drop for WriterEnd {
    fn drop(&mut self) {
        if let Some(link) = self.0.take() {
            let chores = link.chores.clone();
            chores.post(Chore::AbortLink(link));
        }
    }
}

/// What a reader hears whose writer was dropped unfinished.
pub fn writer_gone() -> Failure {
    Failure::new(
        FailureKind::Lost {},
        "Error",
        "the stream's writer went away before its end",
    )
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

impl fmt::Debug for ReaderEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReaderEnd")
    }
}

impl fmt::Debug for WriterEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WriterEnd")
    }
}
