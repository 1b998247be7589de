//! Saying which forbidden system call a guest made, in the moment before it dies of it.
//!
//! The filter traps a call that has no row: the kernel does not make it and raises SIGSYS. The
//! handler here writes the call's number to the guest's own socket and makes another call without a
//! row, which kills. It allocates nothing, takes no lock and touches only its own bytes.
//!
//! What this is not: evidence. A guest that was taken over can send the same bytes, or overwrite the
//! handler and survive one trap; the kernel has put back the default action by then
//! (`SA_RESETHAND`), and the filter refuses to change it again, so the next trap kills. Either way
//! the call was not made, and the report is about that guest alone.

use crate::descriptors::SOCKET;
use crate::{SysError, check};
use std::mem::zeroed;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes of a report before the number.
pub const HEAD_BYTES: usize = 5;

/// The report before its number, as the first bytes of a little-endian word.
static HEAD: AtomicU64 = AtomicU64::new(0);

/// Whether what was written to the socket so far ends where a report may begin.
static AT_BOUNDARY: AtomicBool = AtomicBool::new(true);

/// `siginfo_t` of a SIGSYS, which the bindings lack.
#[repr(C)]
struct Trapped {
    signal: libc::c_int,
    error: libc::c_int,
    code: libc::c_int,
    // The union that follows begins at a pointer's alignment.
    call_address: *const libc::c_void,
    number: libc::c_int,
    architecture: libc::c_uint,
}

const _: () = assert!(size_of::<Trapped>() <= size_of::<libc::siginfo_t>());

/// From now on a trapped call writes `head` and the number, as four little-endian bytes, to
/// [`SOCKET`] and kills the process. Call it before the filter is applied.
pub fn report(head: [u8; HEAD_BYTES]) -> Result<(), SysError> {
    let mut word = [0; 8];
    word[..HEAD_BYTES].copy_from_slice(&head);
    HEAD.store(u64::from_le_bytes(word), Ordering::Relaxed);
    // SAFETY: all zeroes is a valid `sigaction`: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = on_trap as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESETHAND | libc::SA_ONSTACK;
    // SAFETY: `action` is initialised, and its handler has the signature that SA_SIGINFO asks for.
    check("handle SIGSYS", unsafe {
        libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut())
    })?;
    Ok(())
}

/// Whether a report may begin now. It would be lost inside a frame of which a part is still to be
/// sent.
pub fn set_boundary(at: bool) {
    AT_BOUNDARY.store(at, Ordering::Relaxed);
}

/// Whether a frame may begin now.
pub(crate) fn is_at_boundary() -> bool {
    AT_BOUNDARY.load(Ordering::Relaxed)
}

extern "C" fn on_trap(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a `siginfo_t` that lives until the handler returns. Of any other
    // SIGSYS than a trap the number is meaningless, and harmless.
    let number = unsafe { (*info.cast::<Trapped>()).number };
    let mut bytes = [0; HEAD_BYTES + 4];
    bytes[..HEAD_BYTES].copy_from_slice(&HEAD.load(Ordering::Relaxed).to_le_bytes()[..HEAD_BYTES]);
    bytes[HEAD_BYTES..].copy_from_slice(&number.to_le_bytes());
    if is_at_boundary() {
        // SAFETY: `bytes` is ours. The socket does not block; where it is full there is no report.
        unsafe { libc::write(SOCKET, bytes.as_ptr().cast(), bytes.len()) };
    }
    // SAFETY: the call takes nothing. It has no row, so this is the end; without a filter the next one
    // is.
    unsafe { libc::syscall(libc::SYS_getppid) };
    crate::fork::exit_now(128 + libc::SIGSYS)
}
