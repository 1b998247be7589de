//! A turn: one batch of work, after which what it wrote goes out.
//!
//! Frames are appended to guests' buffers under their locks; the sockets are written when the
//! turn ends, once per guest, with no lock but that guest's. So ten frames cost one system call.

use crate::guest::Guest;
use std::sync::Arc;

/// Guests with unsent bytes before they are flushed within a turn.
const DIRTY_MAX: usize = 32;

/// See the file's head. Must be dropped with no lock held.
#[derive(Debug, Default)]
pub struct Turn {
    dirty: Vec<Arc<Guest>>,
    /// Whose answer is worth waiting for right here; see [`crate::pairs`].
    awaited: Option<Arc<Guest>>,
}

impl Turn {
    /// Nothing written yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `guest` has bytes to go out.
    pub(crate) fn mark(&mut self, guest: &Arc<Guest>) {
        if !self.dirty.iter().any(|known| Arc::ptr_eq(known, guest)) {
            self.dirty.push(guest.clone());
        }
    }

    /// The answer of `guest` is about to come.
    pub(crate) fn await_answer(&mut self, guest: &Arc<Guest>) {
        self.awaited = Some(guest.clone());
    }

    /// Whose answer is about to come, once.
    pub(crate) fn take_awaited(&mut self) -> Option<Arc<Guest>> {
        self.awaited.take()
    }

    /// Between two frames: keeps the list short.
    pub(crate) fn breathe(&mut self) {
        if self.dirty.len() >= DIRTY_MAX {
            self.flush();
        }
    }

    /// Writes everything.
    pub fn flush(&mut self) {
        for guest in self.dirty.drain(..) {
            guest.flush();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.flush();
    }
}
