//! Asking a guest that is too busy to look at its socket whether its Worker has started.
//!
//! `Started` leaves with the first answer, in one write, because nobody waits for it. Where that turn
//! is long the host must know whether the main module or a request is to blame: it sends a signal,
//! and the handler here, which allocates nothing and takes no lock, writes one short frame if the
//! main module is done. A guest may answer too early, and then pays as for a request; or never.

use crate::descriptors::SOCKET;
use crate::trap;
use crate::{SysError, check};
use std::mem::zeroed;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

/// What the host sends.
pub const SIGNAL: i32 = libc::SIGUSR1;

/// Bytes of the answer.
pub const ANSWER_BYTES: usize = 5;

/// The answer, as the first bytes of a little-endian word.
static ANSWER: AtomicU64 = AtomicU64::new(0);

/// Whether there is anything to answer.
static READY: AtomicBool = AtomicBool::new(false);

/// The thread that writes to the socket: only between its own writes may another begin.
static MAIN_THREAD: AtomicI32 = AtomicI32::new(0);

/// From now on this thread answers with `frame`, once there is something to answer.
pub fn answer_with(frame: [u8; ANSWER_BYTES]) -> Result<(), SysError> {
    let mut word = [0; 8];
    word[..ANSWER_BYTES].copy_from_slice(&frame);
    ANSWER.store(u64::from_le_bytes(word), Ordering::Relaxed);
    // SAFETY: the call takes nothing and gives a number.
    MAIN_THREAD.store(unsafe { libc::gettid() }, Ordering::Relaxed);
    // SAFETY: all zeroes is a valid `sigaction`: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = on_ask as *const () as usize;
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: `action` is initialised, and its handler has the signature of one without SA_SIGINFO.
    check("handle SIGUSR1", unsafe {
        libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut())
    })?;
    Ok(())
}

/// Whether there is something to answer from now on.
pub fn set_ready(ready: bool) {
    READY.store(ready, Ordering::Relaxed);
}

extern "C" fn on_ask(_: libc::c_int) {
    // SAFETY: the address is this thread's own errno, which whoever was interrupted may be about to
    // read.
    let error = unsafe { *libc::__errno_location() };
    // SAFETY: the call takes nothing and gives a number.
    let is_main = unsafe { libc::gettid() } == MAIN_THREAD.load(Ordering::Relaxed);
    if is_main && trap::is_at_boundary() && READY.swap(false, Ordering::Relaxed) {
        let bytes = ANSWER.load(Ordering::Relaxed).to_le_bytes();
        // SAFETY: `bytes` is ours. The socket does not block; five bytes fit or are lost, and then
        // the host waits for `Started`.
        unsafe { libc::write(SOCKET, bytes.as_ptr().cast(), ANSWER_BYTES) };
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = error };
}
