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
