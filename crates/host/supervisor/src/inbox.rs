//! Frames off a guest's socket.
//!
//! One task a guest: it reads what has arrived, hands each whole frame to `relay` (through `gate`), writes what is
//! blocked once there is room, and notices the end. Bytes are read into a buffer that all guests of
//! a thread share; only a frame that is not whole yet is kept, and what is kept grows with bytes
//! that really arrived, so that an idle guest costs no buffer and a claimed length costs nothing.

use crate::bounds::{EXIT_WAIT, READ_BYTES, TURN_BYTES_MAX};
use crate::ending::EndReason;
use crate::gate;
use crate::guest::Guest;
use crate::hub::Inline;
use crate::relay::Violation;
use crate::socket::Socket;
use crate::turn::Turn;
use mayfly_wire::{LENGTH_BYTES, ToHost, frame_length, read_frame};
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Cuts bytes into frames.
#[derive(Debug, Default)]
pub struct Inbox {
    /// The beginning of a frame that is not whole yet.
    rest: Vec<u8>,
}

impl Inbox {
    /// Takes bytes in and gives each whole frame's body to `with`.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut with: impl FnMut(&[u8]) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        while !self.rest.is_empty() {
            let wanted = match length_of(&self.rest)? {
                Some(length) => LENGTH_BYTES + length - self.rest.len(),
                None => LENGTH_BYTES - self.rest.len(),
            };
            let (head, tail) = bytes.split_at(wanted.min(bytes.len()));
            self.rest.extend_from_slice(head);
            bytes = tail;
            if head.len() < wanted {
                return Ok(());
            }
            if let Some(length) = length_of(&self.rest)?
                && self.rest.len() == LENGTH_BYTES + length
            {
                let whole = std::mem::take(&mut self.rest);
                with(&whole[LENGTH_BYTES..])?;
            }
        }
        while let Some(length) = length_of(bytes)? {
            let Some((frame, tail)) = bytes.split_at_checked(LENGTH_BYTES + length) else {
                break;
            };
            with(&frame[LENGTH_BYTES..])?;
            bytes = tail;
        }
        self.rest.extend_from_slice(bytes);
        Ok(())
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
    let mut inbox = Inbox::default();
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
            () = guest.wake.notified() => match gate::release(&guest, &mut Turn::new()) {
                Ok(()) => continue,
                Err(violation) => break Some(EndReason::Violation(violation)),
            },
        };
        let Ok(mut ready) = ready else {
            break None;
        };
        match drain(&guest, &stream, &mut inbox) {
            Ok(Drained::Empty) => ready.clear_ready(),
            Ok(Drained::More) => tokio::task::yield_now().await,
            Ok(Drained::Eof) => break None,
            Err(violation) => break Some(EndReason::Violation(violation)),
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

fn drain(guest: &Arc<Guest>, stream: &Socket, inbox: &mut Inbox) -> Result<Drained, Violation> {
    if guest.paired.load(Ordering::Relaxed) {
        guest.hub.pairs.join();
    }
    SCRATCH.with_borrow_mut(|scratch| {
        let mut turn = Turn::new();
        let inline = Inline::begin();
        let mut total = 0;
        while total < TURN_BYTES_MAX {
            let count = match stream.try_read(scratch) {
                Ok(0) => return Ok(Drained::Eof),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Drained::Empty);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Ok(Drained::Eof),
            };
            total += count;
            guest.bytes_read.fetch_add(count, Ordering::Relaxed);
            inbox.feed(&scratch[..count], |body| {
                let frame = read_frame::<ToHost>(body)?;
                gate::pass(guest, frame, body.len(), &mut turn)?;
                inline.run(&guest.hub, &mut turn);
                turn.breathe();
                Ok(())
            })?;
            // A short read empties the socket; asking again would cost a system call.
            if count < scratch.len() {
                return Ok(Drained::Empty);
            }
        }
        Ok(Drained::More)
    })
}
