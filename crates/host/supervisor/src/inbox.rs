//! Frames off a guest's socket.
//!
//! One task a guest: it reads what has arrived, hands each whole frame to `relay` (through `gate`), writes what is
//! blocked once there is room, and notices the end. Bytes are read into a buffer that all guests of
//! a thread share; only a frame that is not whole yet is kept, and what is kept grows with bytes
//! that really arrived, so that an idle guest costs no buffer and a claimed length costs nothing. The
//! content of a large `Bytes` frame is read straight into the memory in which it goes on.

use crate::bounds::{
    EXIT_WAIT, LOG_FLOOD_PAUSE, READ_BYTES, READ_BYTES_COSTLY, TURN_BYTES_MAX, TURN_TIME_MAX,
};
use crate::ending::EndReason;
use crate::gate;
use crate::guest::Guest;
use crate::hub::Inline;
use crate::relay::Violation;
use crate::socket::Socket;
use crate::turn::Turn;
use mayfly_wire::bounds::MESSAGE_BYTES_MAX;
use mayfly_wire::{
    BYTES_HEAD, Blob, LENGTH_BYTES, ToHost, bytes_that_follow, frame_length, read_frame,
};
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often it is looked whether a guest that is not read is still there.
const FULL_LOOK: Duration = Duration::from_millis(10);

/// How many reads that were costly are one that was not.
const READ_RATIO: u32 = (READ_BYTES / READ_BYTES_COSTLY) as u32;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Looks into a mailbox between two at the socket, by which comes what does not fit there.
const LOOKS: u32 = 64;

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
    /// Many small frames came, each of which is work.
    costly: bool,
    /// Bytes read from the socket in all.
    consumed: u64,
    /// Where a message of the mailbox is taken to.
    message: Vec<u8>,
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
    fn room(&mut self) -> Option<&mut [u8]> {
        self.apart.as_mut().map(Apart::room)
    }

    /// So many bytes were read there.
    fn filled(
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

enum Drained {
    /// Nothing more for now.
    Empty,
    /// There may be more; others first.
    More,
    /// The guest is gone.
    Eof,
}

/// A guest's task: runs until the guest has ended.
pub(crate) async fn run(guest: Arc<Guest>, stream: Arc<Socket>) {
    let reason = loop {
        if guest.end_reason().is_some() {
            return;
        }
        let blocked = guest.is_blocked();
        let full = gate::is_full(&guest);
        let ready = tokio::select! {
            ready = stream.readable(), if !full => ready,
            room = stream.writable(), if blocked => match room {
                Ok(()) => {
                    guest.unblock();
                    continue;
                }
                Err(_) => break None,
            },
            // Its socket is not read now, so its end would not be seen there.
            () = tokio::time::sleep(FULL_LOOK), if full => match stream.is_abandoned().await {
                true => break None,
                false => continue,
            },
            () = guest.wake.notified() => match gate::release(&guest, &mut Turn::new()) {
                Ok(()) => continue,
                Err(violation) => break Some(EndReason::Violation(violation)),
            },
        };
        let Ok(mut ready) = ready else {
            break None;
        };
        let mut turn = Turn::new();
        let drained = drain(&guest, &stream, &mut turn);
        turn.flush();
        if let Some(callee) = turn.take_awaited() {
            await_answer(&callee);
        }
        match drained {
            Ok(Drained::Empty) => ready.clear_ready(),
            Ok(Drained::More) => tokio::task::yield_now().await,
            Ok(Drained::Eof) => break None,
            Err(violation) => break Some(EndReason::Violation(violation)),
        }
        if guest.lock().floods_logs() {
            tokio::time::sleep(LOG_FLOOD_PAUSE).await;
        }
    };
    let reason = match reason {
        Some(reason) => reason,
        None => exit_reason(&guest).await,
    };
    guest.end(&mut Turn::new(), reason);
}

/// The socket has closed; the zygote is about to say why.
async fn exit_reason(guest: &Arc<Guest>) -> EndReason {
    let told = guest.exit_told.notified();
    if guest.exit_reason().is_none() {
        // Without word from the zygote (it may have died too) callers still hear in time.
        let _ = tokio::time::timeout(EXIT_WAIT, told).await;
    }
    guest.exit_reason().unwrap_or(EndReason::Closed)
}

/// Looks for the answer of a guest that is awake on another core, without sleeping: two processes that
/// sleep in turn are woken in turn, which takes longer than short calls do. What does not come in time, and
/// what comes behind it, is read by the guest's own task.
fn await_answer(callee: &Arc<Guest>) {
    let Some(stream) = callee.socket() else {
        return;
    };
    if gate::is_full(callee) {
        return;
    }
    // Until the end, so that nothing newer is read elsewhere.
    let mut inbox = callee.inbox.lock();
    let mut message = std::mem::take(&mut inbox.message);
    let in_socket = look(callee, &stream, inbox.consumed, &mut message);
    let came = in_socket || !message.is_empty();
    let mut turn = Turn::new();
    let handed_on =
        hand_message_on(callee, &mut inbox, &message, &mut turn).and_then(|()| match in_socket {
            true => drain_into(callee, &stream, &mut inbox, &mut turn).map(drop),
            false => Ok(()),
        });
    message.clear();
    inbox.message = message;
    drop(inbox);
    turn.flush();
    match handed_on {
        Ok(()) => callee.hub.pairs.note_answer(came),
        Err(violation) => callee.doom(EndReason::Violation(violation)),
    }
}

/// Looks for a message in the mailbox, which is older than anything in the socket, and whether there is
/// something in the socket.
fn look(callee: &Guest, stream: &Socket, consumed: u64, message: &mut Vec<u8>) -> bool {
    let mailbox = callee.process.mailbox();
    if let Some(mailbox) = &mailbox {
        mailbox.listen(consumed);
    }
    let until = Instant::now() + callee.hub.pairs.awake_max();
    let in_socket = loop {
        let came = mailbox.as_ref().is_some_and(|mailbox| {
            (0..LOOKS).any(|_| {
                std::hint::spin_loop();
                mailbox.take(message) > 0
            })
        });
        if came {
            break false;
        }
        if stream.has_bytes() {
            break true;
        }
        if Instant::now() >= until {
            break false;
        }
    };
    if let Some(mailbox) = &mailbox {
        mailbox.stop_listening();
        mailbox.take(message);
    }
    in_socket
}

fn hand_message_on(
    guest: &Arc<Guest>,
    inbox: &mut Inbox,
    message: &[u8],
    turn: &mut Turn,
) -> Result<(), Violation> {
    let inline = Inline::begin();
    guest.bytes_read.fetch_add(message.len(), Ordering::Relaxed);
    inbox.feed(message, |cut| hand_on(guest, cut, turn, &inline))
}

fn hand_on(
    guest: &Arc<Guest>,
    cut: Cut<'_>,
    turn: &mut Turn,
    inline: &Inline,
) -> Result<(), Violation> {
    let (frame, length) = cut.decode()?;
    gate::pass(guest, frame, length, turn)?;
    inline.run(&guest.hub, turn);
    turn.breathe();
    Ok(())
}

fn drain(guest: &Arc<Guest>, stream: &Socket, turn: &mut Turn) -> Result<Drained, Violation> {
    if guest.paired.load(Ordering::Relaxed) {
        guest.hub.pairs.join();
    }
    drain_into(guest, stream, &mut guest.inbox.lock(), turn)
}

fn drain_into(
    guest: &Arc<Guest>,
    stream: &Socket,
    inbox: &mut Inbox,
    turn: &mut Turn,
) -> Result<Drained, Violation> {
    SCRATCH.with_borrow_mut(|scratch| {
        let inline = Inline::begin();
        let mut total = 0;
        let mut with = |cut: Cut<'_>| hand_on(guest, cut, turn, &inline);
        let began = Instant::now();
        let mut before = began;
        while total < TURN_BYTES_MAX {
            let most = if inbox.costly {
                READ_BYTES_COSTLY
            } else {
                READ_BYTES
            };
            let scratch = &mut scratch[..most];
            let (read, asked, apart) = match inbox.room() {
                Some(room) => (stream.try_read(room), room.len(), true),
                None => (stream.try_read(scratch), scratch.len(), false),
            };
            let count = match read {
                Ok(0) => return Ok(Drained::Eof),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Drained::Empty);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Ok(Drained::Eof),
            };
            total += count;
            inbox.consumed += count as u64;
            guest.bytes_read.fetch_add(count, Ordering::Relaxed);
            match apart {
                true => inbox.filled(count, &mut with)?,
                false => inbox.feed(&scratch[..count], &mut with)?,
            }
            let now = Instant::now();
            let took = now.duration_since(before);
            before = now;
            inbox.costly = !apart
                && (took > TURN_TIME_MAX || inbox.costly && took * READ_RATIO > TURN_TIME_MAX);
            // A short read empties the socket; asking again would cost a system call.
            if count < asked {
                return Ok(Drained::Empty);
            }
            if now.duration_since(began) > TURN_TIME_MAX {
                break;
            }
        }
        Ok(Drained::More)
    })
}
