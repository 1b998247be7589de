//! Signals of a zygote and its guests.
//!
//! A zygote hears of its children through a descriptor; a guest hears of nothing. The engine's own
//! handlers (Wasm turns faults into traps) are installed before the fork and stay.

use crate::{SysError, check};
use std::mem::{MaybeUninit, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Readable when a child has ended, as often as one may have.
#[derive(Debug)]
pub struct ChildSignals(OwnedFd);

impl ChildSignals {
    /// Blocks `SIGCHLD` and opens the descriptor.
    pub fn open() -> Result<Self, SysError> {
        let set = set_of(libc::SIGCHLD);
        change_mask(libc::SIG_BLOCK, &set)?;
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: -1 asks for a new descriptor and `set` is an initialised signal set.
        let descriptor = check("open signalfd", unsafe {
            libc::signalfd(-1, &raw const set, flags)
        })?;
        // SAFETY: the call succeeded, so this is a new descriptor that nobody else knows.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// Forgets what was signalled. Call it before reaping, so that no child is missed.
    pub fn clear(&self) {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        // SAFETY: the buffer has the size of the one record that is read. An error means that
        // there was none.
        unsafe {
            libc::read(
                self.0.as_raw_fd(),
                info.as_mut_ptr().cast(),
                size_of::<libc::signalfd_siginfo>(),
            );
        }
    }
}

impl AsFd for ChildSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Unblocks every signal and ignores `SIGPIPE`, for a child of a zygote.
pub fn reset() -> Result<(), SysError> {
    // SAFETY: SIG_IGN is a valid disposition.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    // SAFETY: all zeroes is a valid set for `sigemptyset` to fill.
    let mut none: libc::sigset_t = unsafe { zeroed() };
    // SAFETY: `none` is ours to fill.
    unsafe { libc::sigemptyset(&raw mut none) };
    change_mask(libc::SIG_SETMASK, &none)
}

fn set_of(signal: libc::c_int) -> libc::sigset_t {
    // SAFETY: all zeroes is a valid set for `sigemptyset` to fill; both calls write only to it.
    unsafe {
        let mut set: libc::sigset_t = zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        set
    }
}

fn change_mask(how: libc::c_int, set: &libc::sigset_t) -> Result<(), SysError> {
    // SAFETY: `set` is initialised; the old mask is not asked for.
    let result = unsafe { libc::sigprocmask(how, set, std::ptr::null_mut()) };
    check("change the signal mask", result)?;
    Ok(())
}
