//! Forking, and only from a process that is alone in itself.
//!
//! A fork copies one thread. Were there others, the child would inherit the locks they held, so
//! [`fork_alone`] counts threads first and refuses more than one. The count comes from a file of
//! `/proc` that is opened early, because the zygote has an empty root by the time it forks.

use crate::{Pid, SysError, check};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use thiserror::Error;

/// Bytes of `/proc/self/stat` that are read; the thread count stands well inside.
const STAT_BYTES: usize = 512;

/// Where `num_threads` stands in `/proc/self/stat`, counted from what follows the name (`proc(5)`
/// numbers it 20; the state that follows the name is 3).
const NUM_THREADS_FIELD: usize = 20 - 3;

/// Why there was no fork.
#[derive(Debug, Error)]
pub enum ForkError {
    /// The process has other threads.
    #[error("{threads} threads, and only one may fork")]
    NotAlone {
        /// How many.
        threads: u32,
    },
    /// Threads could not be counted.
    #[error("count threads")]
    Count(#[source] io::Error),
    /// The kernel refused.
    #[error(transparent)]
    Fork(#[from] SysError),
}

/// Which side of a fork this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forked {
    /// The process that forked; its new child.
    Parent(Pid),
    /// The child.
    Child,
}

/// Counts the threads of the process that opened it.
#[derive(Debug)]
pub struct ThreadCount(File);

impl ThreadCount {
    /// Needs `/proc`; afterwards it works without.
    pub fn open() -> io::Result<Self> {
        File::open("/proc/self/stat").map(Self)
    }

    /// Threads of the process at this moment.
    pub fn read(&self) -> io::Result<u32> {
        let mut bytes = [0; STAT_BYTES];
        let length = self.0.read_at(&mut bytes, 0)?;
        let text = String::from_utf8_lossy(&bytes[..length]);
        // The name stands in parentheses and may hold any character, so count from its end.
        text.rsplit_once(") ")
            .and_then(|(_, rest)| rest.split(' ').nth(NUM_THREADS_FIELD))
            .and_then(|word| word.parse().ok())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "odd /proc/self/stat"))
    }
}

/// Forks the calling process, which must have one thread and have opened `threads` itself.
pub fn fork_alone(threads: &ThreadCount) -> Result<Forked, ForkError> {
    match threads.read().map_err(ForkError::Count)? {
        1 => {}
        threads => return Err(ForkError::NotAlone { threads }),
    }
    // SAFETY: this is the only thread (counted above; only this thread could start another), so
    // the child's memory is whole: no lock is held by a thread that it lacks.
    match check("fork", unsafe { libc::fork() })? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(Pid(pid))),
    }
}

/// Ends the process at once: no destructor and no exit handler runs, as those belong to the
/// process that was forked from.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: the call takes an integer and does not return.
    unsafe { libc::_exit(code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_does_not_fork() {
        let threads = ThreadCount::open().unwrap();
        // The test harness has a thread of its own besides this one.
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || stopped.recv());
        let count = threads.read().unwrap();
        assert!(count >= 2, "{count}");
        assert!(matches!(
            fork_alone(&threads),
            Err(ForkError::NotAlone { .. })
        ));
        drop(stop);
        assert!(other.join().unwrap().is_err());
    }
}
