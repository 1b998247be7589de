//! What guests say, read and handed on.
//!
//! One task a guest: it reads what has arrived, hands each whole frame to `relay` (through `gate`), writes what is
//! blocked once there is room, and notices the end. Bytes are read into a buffer that all guests of
//! a thread share. Where a pair stays awake ([`crate::pairs`]) the caller's task also looks for the
//! callee's answer.
//!
//! Invariant: whoever reads from a guest, or lets out what it said before, holds its [`Reading`], so
//! that frames are acted on in the order in which they were said.

use crate::bounds::{
    EXIT_WAIT, LOG_FLOOD_PAUSE, READ_BYTES, READ_BYTES_COSTLY, TURN_BYTES_MAX, TURN_TIME_MAX,
};
use crate::ending::EndReason;
use crate::gate;
use crate::guest::Guest;
use crate::hub::Inline;
use crate::inbox::{Cut, Inbox};
use crate::relay::Violation;
use crate::socket::Socket;
use crate::turn::Turn;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often it is looked whether a guest that is not read is still there.
const FULL_LOOK: Duration = Duration::from_millis(10);

/// How many reads that were costly are one that was not.
const READ_RATIO: u32 = (READ_BYTES / READ_BYTES_COSTLY) as u32;

/// Looks into a mailbox between two at the socket, by which comes what does not fit there.
const LOOKS: u32 = 64;

/// How long a thread of the host's may do nothing else for that.
const AWAKE_TURN_MAX: Duration = Duration::from_millis(1);

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// How far a guest has been read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    inbox: Inbox,
    /// Many small frames came, each of which is work.
    costly: bool,
    /// Bytes read from the socket in all.
    consumed: u64,
    /// Where a message of the mailbox is taken to.
    message: Vec<u8>,
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
            () = guest.wake.notified() => match let_out(&guest) {
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
        await_answers(&mut turn);
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

/// What waited for the disk goes first: nothing is read meanwhile.
fn let_out(guest: &Arc<Guest>) -> Result<(), Violation> {
    let _reading = guest.reading.lock();
    gate::release(guest, &mut Turn::new())
}

/// Looks for what guests that are awake on another core say next, without sleeping: two processes that
/// sleep in turn are woken in turn, which takes longer than short calls do. What does not come in time, and
/// what comes behind it, is read by the guest's own task.
fn await_answers(turn: &mut Turn) {
    let until = Instant::now() + AWAKE_TURN_MAX;
    while let Some(guest) = turn.take_awaited() {
        await_answer(&guest, turn);
        if Instant::now() > until {
            turn.take_awaited();
        }
    }
}

fn await_answer(callee: &Arc<Guest>, turn: &mut Turn) {
    let Some(stream) = callee.socket() else {
        return;
    };
    if gate::is_full(callee) {
        return;
    }
    // Until the end, so that nothing newer is read elsewhere.
    let mut reading = callee.reading.lock();
    let mut message = std::mem::take(&mut reading.message);
    let in_socket = look(callee, &stream, reading.consumed, &mut message);
    let came = in_socket || !message.is_empty();
    let handed_on =
        hand_message_on(callee, &mut reading.inbox, &message, turn).and_then(
            |()| match in_socket {
                true => drain_into(callee, &stream, &mut reading, turn).map(drop),
                false => Ok(()),
            },
        );
    message.clear();
    reading.message = message;
    drop(reading);
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
    drain_into(guest, stream, &mut guest.reading.lock(), turn)
}

fn drain_into(
    guest: &Arc<Guest>,
    stream: &Socket,
    reading: &mut Reading,
    turn: &mut Turn,
) -> Result<Drained, Violation> {
    SCRATCH.with_borrow_mut(|scratch| {
        let inline = Inline::begin();
        let mut total = 0;
        let mut with = |cut: Cut<'_>| hand_on(guest, cut, turn, &inline);
        let began = Instant::now();
        let mut before = began;
        while total < TURN_BYTES_MAX {
            let most = if reading.costly {
                READ_BYTES_COSTLY
            } else {
                READ_BYTES
            };
            let scratch = &mut scratch[..most];
            let (read, asked, apart) = match reading.inbox.room() {
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
            reading.consumed += count as u64;
            guest.bytes_read.fetch_add(count, Ordering::Relaxed);
            match apart {
                true => reading.inbox.filled(count, &mut with)?,
                false => reading.inbox.feed(&scratch[..count], &mut with)?,
            }
            let now = Instant::now();
            let took = now.duration_since(before);
            before = now;
            reading.costly = !apart
                && (took > TURN_TIME_MAX || reading.costly && took * READ_RATIO > TURN_TIME_MAX);
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
