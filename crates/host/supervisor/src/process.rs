//! A guest's process as the supervisor needs it: to kill, to read its clock, to weigh.
//!
//! A trait, so that tests put a made-up guest behind a socket; the real one is a pidfd.

use mayfly_sandbox::Pid;
use mayfly_sandbox::pidfd::Pidfd;
use mayfly_sandbox::process_stat::{CpuClock, resident};
use std::fmt;
use std::time::Duration;

/// See the file's head.
pub trait Process: Send + Sync + fmt::Debug {
    /// Ends it now; no error if it has ended already.
    fn kill(&self);
    /// Asks it to say whether its Worker has started, if it is too busy to have said so.
    fn ask(&self) {}
    /// CPU time used so far, all its threads; `None` once it has ended.
    fn cpu(&self) -> Option<Duration>;
    /// Bytes of memory it wrote, or its zygote before it, that are resident.
    fn memory_bytes(&self) -> Option<u64>;
    /// Its pid in the host's namespace, for messages; 0 where unknown.
    fn pid(&self) -> i32;
}

/// A forked guest.
#[derive(Debug)]
pub struct GuestProcess {
    pidfd: Pidfd,
    pid: Option<Pid>,
    clock: Option<CpuClock>,
}

impl GuestProcess {
    /// Takes over a pidfd from a zygote.
    pub fn new(pidfd: Pidfd) -> Self {
        let pid = pidfd.pid().ok().flatten();
        let clock = pid.and_then(|pid| CpuClock::of(pid).ok());
        Self { pidfd, pid, clock }
    }
}

impl Process for GuestProcess {
    fn kill(&self) {
        if let Err(error) = self.pidfd.kill() {
            tracing::error!(pid = self.pid(), %error, "cannot kill a guest");
        }
    }

    fn ask(&self) {
        // One that has ended answers by its end.
        let _ = self.pidfd.send_signal(mayfly_sandbox::ask::SIGNAL);
    }

    fn cpu(&self) -> Option<Duration> {
        self.clock?.read().ok()
    }

    fn memory_bytes(&self) -> Option<u64> {
        let resident = resident(self.pid?).ok()?;
        Some(resident.bytes.saturating_sub(resident.file_bytes))
    }

    fn pid(&self) -> i32 {
        self.pid.map_or(0, |pid| pid.0)
    }
}
