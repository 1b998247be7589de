//! Streams: one writer joined to one reader, each in a guest or in the host.
//!
//! A link forwards bytes, credit, end, abort and cancel one to one, translating only the numbers.
//! While the reader is not attached yet (its Worker is still starting), has not begun to read, or sits
//! in the host, bytes queue here, never more than the window. It does not know what the bytes mean.
//!
//! A guest that was given a WebSocket and passes it on untouched gives its ends up ([`ReaderEnd::passed`])
//! and has no more to do with it. One that passes a stream of bytes on unread has its two links *joined* ([`Link::join`]): the reader of
//! the second becomes the first's, and no byte enters the guest. It hears how that ended
//! (`StreamPassed`, or `StreamCancel` from the reader), and what it joined ends with it.
//!
//! Invariants: a writer has at most [`STREAM_WINDOW_BYTES`] unread at any time; one that sends more
//! and a reader that grants more than it got are violations and end their guest. A link that gave its
//! reader away (`joined`) never has anything of its own again, and following `joined` ends.

use crate::bounds::{STREAM_BYTES_MAX, UNASKED_BYTES_MAX};
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
use std::task::{Context, Poll, Waker};
use tokio::sync::Notify;

/// See the file's head.
pub struct Link {
    state: Mutex<LinkState>,
    /// Wakes a writing end that sits in the host.
    writable: Notify,
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
    /// Bytes of the queue that are counted on the guest that they wait for.
    counted: u64,
    /// The writer said its last word and the reader has not been told.
    finish: Option<Finish>,
    /// The reader left and the writer has not been told.
    cancel: Option<String>,
    /// Wakes a reading end that sits in the host.
    waker: Option<Waker>,
    /// Bytes that such a reader has taken and the writer has not been granted.
    taken: u32,
    /// Where this link's reader reads now.
    joined: Option<Arc<Link>>,
    /// Guests that passed this stream on unread, and the stream that each said it would write: they
    /// hear of the end.
    passers: Vec<(Arc<Guest>, StreamId)>,
}

enum Side {
    /// Not attached yet.
    Open,
    /// A reading guest that has not begun to read.
    Waits(Arc<Guest>, StreamId),
    Guest(Arc<Guest>, StreamId),
    Host,
    Gone,
}

/// Bytes that a reader in the host grants at once: each grant wakes the writer.
const GRANT_BYTES_MIN: u32 = STREAM_WINDOW_BYTES / 4;

/// Pieces below this are put together while they wait.
const SMALL_BYTES: usize = 4096;

/// Two joins at once must not make a circle of links.
static JOINING: Mutex<()> = Mutex::new(());

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
pub struct ReaderEnd(Option<Arc<Link>>, Origin);

/// The right to write a link, not yet given to a guest. Dropping it aborts the stream.
pub struct WriterEnd(Option<Arc<Link>>, Origin);

/// Where an end comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Fresh,
    /// A guest had it, untouched, and gives it up. The link learns of that when the end is next used,
    /// since links are not locked under a guest's lock.
    Passed,
}

impl Link {
    fn new(chores: &Chores, writer: Side, reader: Side) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(LinkState {
                writer,
                reader,
                unread: 0,
                queue: VecDeque::new(),
                counted: 0,
                finish: None,
                cancel: None,
                waker: None,
                taken: 0,
                joined: None,
                passers: Vec::new(),
            }),
            writable: Notify::new(),
            messages: AtomicBool::new(false),
            chores: chores.clone(),
        })
    }

    /// The link that this one's reader reads, locked, and what `act` makes of it.
    fn at_source<R>(self: &Arc<Self>, act: impl FnOnce(&Arc<Self>, &mut LinkState) -> R) -> R {
        let mut link = self.clone();
        loop {
            let mut state = link.state.lock();
            let Some(source) = state.joined.clone() else {
                return act(&link, &mut state);
            };
            drop(state);
            link = source;
        }
    }

    /// It carries the messages of a WebSocket.
    pub fn carries_messages(&self) {
        self.messages.store(true, Ordering::Relaxed);
    }

    /// Whether it does.
    pub fn has_messages(&self) -> bool {
        self.messages.load(Ordering::Relaxed)
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
        (link.clone(), ReaderEnd(Some(link), Origin::Fresh))
    }

    /// A stream that `guest` reads.
    pub fn read_by(chores: &Chores, guest: &Arc<Guest>, id: StreamId) -> (Arc<Self>, WriterEnd) {
        let link = Self::new(chores, Side::Open, Side::Guest(guest.clone(), id));
        (link.clone(), WriterEnd(Some(link), Origin::Fresh))
    }

    /// A stream whose ends are both to be attached.
    pub fn pair(chores: &Chores) -> (WriterEnd, ReaderEnd) {
        let link = Self::new(chores, Side::Open, Side::Open);
        (
            WriterEnd(Some(link.clone()), Origin::Fresh),
            ReaderEnd(Some(link), Origin::Fresh),
        )
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
        // Nothing more will come: what waits is better kept by whoever it is for. A WebSocket may still
        // be given up, whole.
        if !self.has_messages() {
            state.begin_reading(turn);
        }
        state.tell_reader(turn);
        state.wake_reader();
    }

    /// Room granted by the reading guest.
    pub fn credit(self: &Arc<Self>, turn: &mut Turn, bytes: u32) -> Result<(), Violation> {
        self.at_source(|link, state| {
            if matches!(state.writer, Side::Gone) {
                return Ok(());
            }
            if matches!(state.reader, Side::Waits(..)) {
                // What it has not been given waits here, within the window.
                return Err(Violation::OverCredit);
            }
            state.grant(turn, bytes)?;
            link.writable.notify_one();
            Ok(())
        })
    }

    /// The reading guest begins to read.
    pub fn read(self: &Arc<Self>, turn: &mut Turn) {
        self.at_source(|_, state| {
            state.begin_reading(turn);
            state.tell_reader(turn);
        });
    }

    /// The reader leaves; a reading guest's table has forgotten the stream already.
    pub fn cancel(self: &Arc<Self>, turn: &mut Turn, reason: String) {
        self.at_source(|link, state| {
            state.canceled(turn, reason);
            link.writable.notify_one();
        });
    }

    /// `passer` passes on what it would read here, under the number `from`, as what it would write to
    /// `to`, under the number `out`. From then on its table knows `out` alone, until it hears that all
    /// is over. Nothing changes where it has begun to read or to write, or where the other end of
    /// either has left: then the bytes go through it, as it would do itself.
    pub fn join(
        self: &Arc<Self>,
        turn: &mut Turn,
        to: &Arc<Self>,
        passer: &Arc<Guest>,
        from: StreamId,
        out: StreamId,
    ) {
        let joining = JOINING.lock();
        self.at_source(|link, state| {
            if Arc::ptr_eq(link, to) {
                // It would read what it writes.
                return;
            }
            // Only joins lock two links, and there is one at a time.
            let mut target = to.state.lock();
            if !state.is_unread_by(passer) || !target.is_unwritten_by(passer, out) {
                return;
            }
            if !passer.passes_on(from, out, link) {
                return;
            }
            target.writer = Side::Gone;
            target.joined = Some(link.clone());
            state.passers.push((passer.clone(), out));
            state.passers.append(&mut target.passers);
            state.uncount();
            state.reader = std::mem::replace(&mut target.reader, Side::Gone);
            // A reading end in the host waits at the link that it had.
            target.wake_reader();
            drop(target);
            if to.messages.load(Ordering::Relaxed) {
                link.carries_messages();
            }
            if matches!(state.reader, Side::Guest(..)) {
                state.flush(turn);
            }
            state.count_all(turn);
        });
        drop(joining);
    }

    /// Both ends hear that what is between them has broken: the guest that passed it on ended, or
    /// says so.
    pub fn cut(self: &Arc<Self>, turn: &mut Turn, failure: Failure) {
        self.at_source(|link, state| {
            state.cancel = Some(failure.message.clone());
            state.tell_writer(turn);
            state.cancel = None;
            state.forget_unread();
            state.writer = Side::Gone;
            state.uncount();
            state.queue.clear();
            if !matches!(state.reader, Side::Gone) {
                state.finish = Some(Finish::Abort(failure));
            }
            state.begin_reading(turn);
            state.tell_reader(turn);
            state.wake_reader();
            link.writable.notify_one();
        });
    }

    fn attach_reader(
        self: &Arc<Self>,
        turn: &mut Turn,
        guest: &Arc<Guest>,
        id: StreamId,
        waits: bool,
        origin: Origin,
    ) {
        self.at_source(|link, state| {
            state.reader_came(origin);
            // Gone: the guest cancelled, or ended, between learning the number and this moment.
            if !matches!(state.reader, Side::Open) {
                return;
            }
            if waits && (link.has_messages() || !matches!(state.writer, Side::Gone)) {
                state.reader = Side::Waits(guest.clone(), id);
                state.count_all(turn);
                return;
            }
            state.reader = Side::Guest(guest.clone(), id);
            state.flush(turn);
            state.tell_reader(turn);
        });
    }

    fn attach_writer(&self, turn: &mut Turn, guest: &Arc<Guest>, id: StreamId, origin: Origin) {
        let mut state = self.state.lock();
        state.writer_came(origin);
        if matches!(state.writer, Side::Open) {
            state.writer = Side::Guest(guest.clone(), id);
            state.tell_writer(turn);
        }
    }
}

impl LinkState {
    /// A guest has given its end up.
    fn reader_came(&mut self, origin: Origin) {
        if origin == Origin::Passed && matches!(self.reader, Side::Waits(..) | Side::Guest(..)) {
            self.reader = Side::Open;
        }
    }

    fn writer_came(&mut self, origin: Origin) {
        if origin == Origin::Passed
            && let Side::Guest(guest, _) = &self.writer
        {
            let unread = u64::from(self.unread);
            guest.unread.fetch_sub(unread, Ordering::Relaxed);
            self.writer = Side::Open;
        }
    }

    /// A reader that waited is given what waits for it, and what comes.
    fn begin_reading(&mut self, turn: &mut Turn) {
        self.uncount();
        if let Side::Waits(guest, id) = &self.reader {
            self.reader = Side::Guest(guest.clone(), *id);
            self.flush(turn);
        }
    }

    /// Keeps bytes until they are read. Many small pieces would take more memory than they have bytes.
    fn keep(&mut self, bytes: Vec<u8>) {
        match self.queue.back_mut() {
            Some(last)
                if bytes.len() < SMALL_BYTES && last.len() + bytes.len() <= CHUNK_BYTES_MAX =>
            {
                last.extend_from_slice(&bytes);
            }
            _ => self.queue.push_back(bytes),
        }
    }

    /// Counts all that waits on the guest that it has just begun to wait for.
    fn count_all(&mut self, turn: &mut Turn) {
        let waiting = self.queue.iter().map(|bytes| bytes.len() as u64).sum();
        self.count(turn, waiting);
    }

    /// Counts what waits on the guest that it waits for, and sends it there where that is too much.
    fn count(&mut self, turn: &mut Turn, more: u64) {
        let Side::Waits(guest, _) = &self.reader else {
            return;
        };
        self.counted += more;
        if guest.unasked.fetch_add(more, Ordering::Relaxed) + more > UNASKED_BYTES_MAX {
            self.begin_reading(turn);
        }
    }

    /// What waits is about to go, or to wait for another.
    fn uncount(&mut self) {
        if let Side::Waits(guest, _) = &self.reader {
            guest.unasked.fetch_sub(self.counted, Ordering::Relaxed);
        }
        self.counted = 0;
    }

    fn flush(&mut self, turn: &mut Turn) {
        for bytes in std::mem::take(&mut self.queue) {
            self.forward(turn, bytes);
        }
    }

    fn canceled(&mut self, turn: &mut Turn, reason: String) {
        if matches!(self.reader, Side::Gone) {
            return;
        }
        self.uncount();
        self.reader = Side::Gone;
        self.queue.clear();
        self.finish = None;
        for (passer, stream) in std::mem::take(&mut self.passers) {
            let reason = reason.clone();
            passer.close_stream(turn, stream, &ToGuest::StreamCancel { stream, reason });
        }
        self.cancel = Some(reason);
        self.tell_writer(turn);
    }

    fn is_unread_by(&self, passer: &Arc<Guest>) -> bool {
        matches!(&self.reader, Side::Waits(guest, _) if Arc::ptr_eq(guest, passer))
    }

    /// It may write under the number `out`, has not, and there is somebody to read.
    fn is_unwritten_by(&self, passer: &Arc<Guest>, out: StreamId) -> bool {
        let writes = matches!(
            &self.writer,
            Side::Guest(guest, id) if Arc::ptr_eq(guest, passer) && *id == out
        );
        writes && self.unread == 0 && self.queue.is_empty() && !matches!(self.reader, Side::Gone)
    }

    fn wake_reader(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Nothing that is written goes anywhere.
    fn is_over(&self) -> bool {
        matches!(self.reader, Side::Gone) || matches!(self.writer, Side::Gone)
    }

    /// What is there for the host's reading end.
    fn take(&mut self, turn: &mut Turn) -> Option<Taken> {
        if matches!(self.reader, Side::Open) {
            self.reader = Side::Host;
        }
        if let Some(bytes) = self.queue.pop_front() {
            return Some(Taken::Bytes(bytes));
        }
        let taken = match self.finish.take() {
            Some(Finish::End) => Taken::End,
            Some(Finish::Abort(failure)) => Taken::Abort(failure),
            None if matches!(self.reader, Side::Gone) => Taken::End,
            None => return None,
        };
        self.reader = Side::Gone;
        self.passed(turn);
        Some(taken)
    }

    /// The reader has its last word: those who passed the stream on have no more to do with it.
    fn passed(&mut self, turn: &mut Turn) {
        for (passer, stream) in std::mem::take(&mut self.passers) {
            passer.close_stream(turn, stream, &ToGuest::StreamPassed { stream });
        }
    }

    fn forward(&mut self, turn: &mut Turn, bytes: Vec<u8>) {
        match &self.reader {
            Side::Guest(guest, id) => {
                let frame = ToGuest::StreamData {
                    stream: *id,
                    bytes: Blob(bytes),
                };
                guest.send(turn, &frame);
            }
            Side::Open | Side::Host => {
                self.keep(bytes);
                self.wake_reader();
            }
            Side::Waits(..) => {
                let more = bytes.len() as u64;
                self.keep(bytes);
                self.count(turn, more);
            }
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
        self.passed(turn);
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
            Side::Open | Side::Waits(..) | Side::Host | Side::Gone => {}
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
    /// Of a link whose reading guest gives it up.
    pub fn passed(link: Arc<Link>) -> Self {
        Self(Some(link), Origin::Passed)
    }

    /// Gives the end to a guest that has just been told its number; with `waits` bytes come once it
    /// says that it reads.
    pub fn attach(mut self, turn: &mut Turn, guest: &Arc<Guest>, id: StreamId, waits: bool) {
        if let Some(link) = self.0.take() {
            link.attach_reader(turn, guest, id, waits, self.1);
        }
    }

    /// The link, for the guest's table.
    pub fn link(&self) -> Option<&Arc<Link>> {
        self.0.as_ref()
    }

    /// Waits for what comes next. The host reads this end from now on.
    pub async fn take(&self) -> Taken {
        std::future::poll_fn(|cx| self.poll_take(cx)).await
    }

    /// The same for whoever polls. One at a time.
    pub fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Taken> {
        let Some(end) = &self.0 else {
            return Poll::Ready(Taken::End);
        };
        let mut turn = Turn::new();
        end.at_source(|_, state| {
            state.reader_came(self.1);
            match state.take(&mut turn) {
                Some(taken) => Poll::Ready(taken),
                None => {
                    state.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
    }

    /// The host has room for `bytes` more. The writer hears of it by the quarter of its window.
    pub fn grant(&self, turn: &mut Turn, bytes: usize) {
        if let Some(end) = &self.0 {
            end.at_source(|link, state| {
                let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
                state.taken = state.taken.saturating_add(bytes).min(state.unread);
                if state.taken >= GRANT_BYTES_MIN && !matches!(state.writer, Side::Gone) {
                    let bytes = std::mem::take(&mut state.taken);
                    let _ = state.grant(turn, bytes);
                    link.writable.notify_one();
                }
            });
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
    /// Of a link whose writing guest gives it up.
    pub fn passed(link: Arc<Link>) -> Self {
        Self(Some(link), Origin::Passed)
    }

    /// Gives the end to a guest that has just been told its number.
    pub fn attach(mut self, turn: &mut Turn, guest: &Arc<Guest>, id: StreamId) {
        if let Some(link) = self.0.take() {
            link.attach_writer(turn, guest, id, self.1);
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
            let changed = link.writable.notified();
            {
                let mut turn = Turn::new();
                let mut state = link.state.lock();
                state.writer_came(self.1);
                if matches!(state.writer, Side::Open) {
                    state.writer = Side::Host;
                }
                if state.is_over() {
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

    /// Completes when nobody reads any more.
    pub async fn closed(&self) {
        let Some(link) = &self.0 else {
            return;
        };
        loop {
            let changed = link.writable.notified();
            if link.state.lock().is_over() {
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
