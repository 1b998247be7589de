//! Which cores a thread may run on.
//!
//! The host binds two guests that call each other in turn, and its own thread between them, to one
//! core; see the supervisor's `pairs`. It knows processes and threads by number, and what it does to
//! them is undone by the set they had before.

use crate::{Pid, check_io};
use std::io;
use std::mem::{size_of, zeroed};

/// A set of cores.
#[derive(Clone, Copy)]
pub struct Cores(libc::cpu_set_t);

impl Cores {
    /// Those that the calling thread may use.
    pub fn allowed() -> io::Result<Self> {
        // SAFETY: all zeroes is the empty set.
        let mut set: libc::cpu_set_t = unsafe { zeroed() };
        // SAFETY: 0 means the calling thread; `set` is ours for the call to fill and of that size.
        check_io(unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) })?;
        Ok(Self(set))
    }

    /// The one that the calling thread runs on.
    pub fn current() -> io::Result<Self> {
        // SAFETY: the call takes nothing.
        let core = check_io(unsafe { libc::sched_getcpu() })?;
        let core = usize::try_from(core).unwrap_or(0);
        if core >= size_of::<libc::cpu_set_t>() * 8 {
            return Err(io::Error::other("more cores than a set holds"));
        }
        // SAFETY: all zeroes is the empty set.
        let mut set: libc::cpu_set_t = unsafe { zeroed() };
        // SAFETY: `core` is within the set, as looked at above.
        unsafe { libc::CPU_SET(core, &mut set) };
        Ok(Self(set))
    }

    /// These without those of `others`.
    pub fn without(&self, others: &Self) -> Self {
        let mut set = self.0;
        for core in 0..size_of::<libc::cpu_set_t>() * 8 {
            // SAFETY: `core` is within both sets, which hold that many.
            unsafe {
                if libc::CPU_ISSET(core, &others.0) {
                    libc::CPU_CLR(core, &mut set);
                }
            }
        }
        Self(set)
    }

    /// How many.
    pub fn count(&self) -> usize {
        // SAFETY: the call only reads the set.
        usize::try_from(unsafe { libc::CPU_COUNT(&self.0) }).unwrap_or(0)
    }

    /// Lets a thread run on these only: a process's number means its first thread.
    pub fn bind(&self, thread: Pid) -> io::Result<()> {
        // SAFETY: the set is read for its true size.
        check_io(unsafe {
            libc::sched_setaffinity(thread.0, size_of_val(&self.0), &raw const self.0)
        })?;
        Ok(())
    }

    /// The same for all threads that a process has now.
    pub fn bind_all(&self, process: Pid) -> io::Result<()> {
        for entry in std::fs::read_dir(format!("/proc/{}/task", process.0))? {
            let name = entry?.file_name();
            if let Some(thread) = name.to_str().and_then(|name| name.parse().ok()) {
                // It may have ended meanwhile.
                let _ = self.bind(Pid(thread));
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Cores {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Cores({})", self.count())
    }
}

/// The calling thread's number.
pub fn current_thread() -> Pid {
    // SAFETY: the call takes nothing and cannot fail.
    Pid(unsafe { libc::gettid() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_thread_stays_where_it_is_and_can_be_released() {
        let before = Cores::allowed().unwrap();
        let here = Cores::current().unwrap();
        here.bind(current_thread()).unwrap();
        assert_eq!(Cores::allowed().unwrap().count(), 1);
        before
            .bind_all(Pid(i32::try_from(std::process::id()).unwrap()))
            .unwrap();
        assert_eq!(Cores::allowed().unwrap().count(), before.count());
    }
}
