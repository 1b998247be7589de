//! Which descriptors a process holds.
//!
//! The launcher keeps what it was given on purpose, a guest keeps its socket: everything else is
//! closed by number, known or not, so that a descriptor leaked by a library cannot reach a guest.

use crate::{SysError, check, check_io};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Where a zygote finds its control socket and a guest its own socket.
pub const SOCKET: RawFd = 3;

/// Moves `descriptor` to [`SOCKET`], in place of whatever was there.
pub fn move_to_socket(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    if descriptor.as_raw_fd() == SOCKET {
        return Ok(descriptor);
    }
    // SAFETY: the call takes numbers; what was at SOCKET is closed by it, which `close_from` and
    // the callers of this function mean to happen.
    check_io(unsafe { libc::dup3(descriptor.as_raw_fd(), SOCKET, libc::O_CLOEXEC) })?;
    // SAFETY: `dup3` made SOCKET a new copy that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(SOCKET) })
}

/// Takes the socket that the parent left at [`SOCKET`]; `None` if there is nothing open there.
pub fn inherited_socket() -> Option<OwnedFd> {
    // SAFETY: F_GETFD touches no memory; a closed descriptor gives an error.
    check_io(unsafe { libc::fcntl(SOCKET, libc::F_GETFD) }).ok()?;
    // SAFETY: it is open, and by the contract of a zygote's command line it was put there for the
    // process to own. A process calls this once, first thing in `main`.
    Some(unsafe { OwnedFd::from_raw_fd(SOCKET) })
}

/// Has a socket take so many bytes before its reader has read any, or as many as the system allows. It
/// makes no difference to one that is read as fast as it is written.
pub fn widen(socket: BorrowedFd<'_>, bytes: libc::c_int) -> io::Result<()> {
    // SAFETY: the option is an integer, which outlives the call, and its size is told.
    check_io(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDBUF,
            (&raw const bytes).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// Closes every descriptor from `first` upwards, known or not.
///
/// Owners of these descriptors must never be dropped or used afterwards; the callers are a child
/// just forked, whose inherited owners are forgotten, and a process that has just been executed.
pub fn close_from(first: RawFd) -> Result<(), SysError> {
    let first = libc::c_uint::try_from(first).unwrap_or(0);
    // SAFETY: the call takes three integers.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    check("close descriptors", result as libc::c_int)?;
    Ok(())
}

/// Makes standard input and output copies of `null`. Standard error stays: it is where a zygote
/// that cannot speak on its socket still says why.
pub fn use_as_input_and_output(null: BorrowedFd<'_>) -> Result<(), SysError> {
    for standard in [libc::STDIN_FILENO, libc::STDOUT_FILENO] {
        // SAFETY: the call takes numbers; nothing owns the standard descriptors.
        check("replace standard input and output", unsafe {
            libc::dup2(null.as_raw_fd(), standard)
        })?;
    }
    Ok(())
}

/// Makes standard error a copy of standard input: nothing, after [`use_as_input_and_output`].
pub fn silence_errors() -> Result<(), SysError> {
    // SAFETY: the call takes numbers; nothing owns the standard descriptors.
    check("replace standard error", unsafe {
        libc::dup2(libc::STDIN_FILENO, libc::STDERR_FILENO)
    })?;
    Ok(())
}
