//! Every raw system call of the project, behind a safe API.
//!
//! Both sides of the wall use it. The host: [`spawn`] starts a zygote, [`packets`] carries the
//! control socket, [`pidfd`], [`process_stat`] and [`schedule`] watch, hold back and end guests. The
//! zygote and its guests: the rest. It knows no frames, no JavaScript and no policy beyond the tables
//! it keeps as data.
//!
//! Invariant: `unsafe` stands behind safe functions; no caller can break memory safety by the
//! order or the arguments of its calls.

pub mod affinity;
pub mod huge;
pub mod mailbox;
pub mod packets;
pub mod pidfd;
pub mod poll;
pub mod process_stat;
pub mod schedule;
pub mod spawn;

pub mod ask;
pub mod descriptors;
pub mod fork;
pub mod landlock;
pub mod libc_state;
pub mod namespaces;
pub mod near;
pub mod pages;
pub mod privileges;
pub mod probe;
pub mod rlimits;
pub mod seccomp;
pub mod signals;
pub mod syscall_names;
pub mod text;
pub mod trap;

use std::io;
use thiserror::Error;

/// A process id, as the namespace of whoever reads it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid(pub i32);

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It called `exit` with this code.
    Exit(i32),
    /// This signal killed it.
    Signal(i32),
}

/// A system call that failed, and for what.
#[derive(Debug, Error)]
#[error("{step}")]
pub struct SysError {
    /// What was tried, in words.
    pub step: &'static str,
    /// What the kernel said.
    #[source]
    pub source: io::Error,
}

/// Turns the -1 of a C call into the error it stands for.
pub(crate) fn check(step: &'static str, result: libc::c_int) -> Result<libc::c_int, SysError> {
    check_io(result).map_err(|source| SysError { step, source })
}

pub(crate) fn check_io(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// The same for calls that give a `long` or `ssize_t`.
pub(crate) fn check_long(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Calls `attempt` again for as long as a signal interrupts it.
pub(crate) fn retry<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}
