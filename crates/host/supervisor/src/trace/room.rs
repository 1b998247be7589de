//! What the traces of a guest, and of all guests, may take of the host's memory.

use crate::bounds::{GUEST_TRACE_BYTES_MAX, TRACES_BYTES_MAX};
use crate::hub::Hub;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a trace takes of the room that all traces have: of its guest's share and of the host's.
pub(super) struct TraceRoom {
    pub(super) hub: Arc<Hub>,
    guest: Arc<AtomicU64>,
    bytes: u64,
}

impl TraceRoom {
    /// Nothing yet.
    pub(super) fn new(hub: &Arc<Hub>, guest: &Arc<AtomicU64>) -> Self {
        Self {
            hub: hub.clone(),
            guest: guest.clone(),
            bytes: 0,
        }
    }
}

impl TraceRoom {
    pub(super) fn take(&mut self, bytes: u64) -> bool {
        let all = &self.hub.counters.trace_bytes;
        let fits = self.guest.load(Ordering::Relaxed) + bytes <= GUEST_TRACE_BYTES_MAX
            && all.load(Ordering::Relaxed) + bytes <= TRACES_BYTES_MAX;
        if fits {
            self.guest.fetch_add(bytes, Ordering::Relaxed);
            all.fetch_add(bytes, Ordering::Relaxed);
            self.bytes += bytes;
        }
        fits
    }
}

impl Drop for TraceRoom {
    fn drop(&mut self) {
        self.guest.fetch_sub(self.bytes, Ordering::Relaxed);
        let all = &self.hub.counters.trace_bytes;
        all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
