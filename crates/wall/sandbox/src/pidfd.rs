//! Processes by descriptor: a pidfd names one process for ever, where a pid may be used again.
//!
//! The host gets a guest's pidfd from its zygote and signals through it, learns its pid in the
//! host's own namespace, and polls it (readable once the process has ended). Only a parent may
//! [`reap`]; to others a pidfd tells that a process ended but not how.

use crate::{Ended, Pid, check_long, retry};
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// A process, whoever's child it is. Readable to `poll` once the process has ended.
#[derive(Debug)]
pub struct Pidfd(OwnedFd);

impl Pidfd {
    /// Opens `pid`. To be sure of whom it names, `pid` should be a child not yet reaped.
    pub fn open(pid: Pid) -> io::Result<Self> {
        // SAFETY: the call takes two integers.
        let descriptor =
            check_long(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.0, 0 as libc::c_uint) })?;
        // SAFETY: the call succeeded, so this is a new descriptor that nobody else knows. The
        // kernel gives descriptors as `int`, so the cast loses nothing.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) }))
    }

    /// Sends `signal`; an error of kind `ESRCH` means that the process has ended.
    pub fn send_signal(&self, signal: i32) -> io::Result<()> {
        // SAFETY: a null `siginfo` asks for what `kill` would send; no memory is read.
        check_long(unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0 as libc::c_uint,
            )
        })?;
        Ok(())
    }

    /// Kills the process; it is no error if it has ended already.
    pub fn kill(&self) -> io::Result<()> {
        match self.send_signal(libc::SIGKILL) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            outcome => outcome,
        }
    }

    /// The process's pid in the reader's own pid namespace; `None` once it was reaped.
    pub fn pid(&self) -> io::Result<Option<Pid>> {
        let path = format!("/proc/self/fdinfo/{}", self.0.as_raw_fd());
        let info = std::fs::read_to_string(path)?;
        let pid = info
            .lines()
            .find_map(|line| line.strip_prefix("Pid:"))
            .and_then(|value| value.trim().parse::<i32>().ok())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "fdinfo without Pid"))?;
        // 0: not visible from this namespace; -1: reaped.
        Ok((pid > 0).then_some(Pid(pid)))
    }

    /// Waits for a child of the caller and reaps it.
    pub fn wait(&self) -> io::Result<Ended> {
        let which = self.0.as_raw_fd() as libc::id_t;
        wait_on(libc::P_PIDFD, which, 0)?
            .map(|(_, ended, _)| ended)
            .ok_or_else(|| io::Error::other("waitid came back with nobody"))
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Pidfd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl From<OwnedFd> for Pidfd {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl From<Pidfd> for OwnedFd {
    fn from(pidfd: Pidfd) -> Self {
        pidfd.0
    }
}

/// Whether [`reap`] waits for a child to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until one has.
    Block,
    /// Only those that have.
    Poll,
}

/// What [`reap`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaped {
    /// This child ended and is no more; with the CPU time that it used in all.
    Child(Pid, Ended, Duration),
    /// There are children and none has ended ([`Wait::Poll`] only).
    None,
    /// There are no children.
    Childless,
}

/// Reaps any one child of the caller.
pub fn reap(wait: Wait) -> io::Result<Reaped> {
    let flags = match wait {
        Wait::Block => 0,
        Wait::Poll => libc::WNOHANG,
    };
    match wait_on(libc::P_ALL, 0, flags) {
        Ok(Some((pid, ended, cpu))) => Ok(Reaped::Child(pid, ended, cpu)),
        Ok(None) => Ok(Reaped::None),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(Reaped::Childless),
        Err(error) => Err(error),
    }
}

fn wait_on(
    kind: libc::idtype_t,
    which: libc::id_t,
    flags: libc::c_int,
) -> io::Result<Option<(Pid, Ended, Duration)>> {
    // SAFETY: all zeroes is a valid `siginfo_t`; a zero pid in it afterwards means that nobody
    // was reaped.
    let mut info: libc::siginfo_t = unsafe { zeroed() };
    // SAFETY: all zeroes is a valid `rusage`.
    let mut used: libc::rusage = unsafe { zeroed() };
    // The system call itself: libc's function has no place for what the child used.
    retry(|| {
        // SAFETY: `info` and `used` are ours for the call to fill; the others are plain numbers.
        check_long(unsafe {
            libc::syscall(
                libc::SYS_waitid,
                kind,
                which,
                &raw mut info,
                libc::WEXITED | flags,
                &raw mut used,
            )
        })
    })?;
    // SAFETY: `waitid` filled the SIGCHLD fields, or left them zero.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let ended = if info.si_code == libc::CLD_EXITED {
        Ended::Exit(status)
    } else {
        Ended::Signal(status)
    };
    Ok(Some((
        Pid(pid),
        ended,
        time(used.ru_utime) + time(used.ru_stime),
    )))
}

fn time(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    #[expect(clippy::zombie_processes, reason = "the pidfd reaps it")]
    fn a_child_is_named_signalled_and_reaped() {
        let child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid(i32::try_from(child.id()).unwrap());
        let pidfd = Pidfd::open(pid).unwrap();
        assert_eq!(pidfd.pid().unwrap(), Some(pid));
        pidfd.kill().unwrap();
        assert_eq!(pidfd.wait().unwrap(), Ended::Signal(libc::SIGKILL));
        assert_eq!(pidfd.pid().unwrap(), None);
        pidfd.kill().unwrap();
    }
}
