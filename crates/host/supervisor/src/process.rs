//! A guest's process as the supervisor needs it: to kill, to read its clock, to weigh.
//!
//! A trait, so that tests put a made-up guest behind a socket; the real one is a pidfd.

use mayfly_sandbox::Pid;
use mayfly_sandbox::affinity::Cores;
use mayfly_sandbox::mailbox::{Mailbox, Side};
use mayfly_sandbox::pidfd::Pidfd;
use mayfly_sandbox::process_stat::{CpuClock, parent, resident};
use mayfly_sandbox::schedule::Urgency;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
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
    /// Says how soon it should run, as far as the kernel allows.
    fn schedule(&self, _urgency: Urgency) {}
    /// Lets it run like any other: it was forked by a patient zygote, and has one thread yet.
    fn hurry(&self) {}
    /// It has answered, and has one thread most likely: what it does next is short.
    fn settle(&self) {}
    /// The host's side of the memory that it shares; the same each time.
    fn mailbox(&self) -> Option<Arc<Mailbox>> {
        None
    }
    /// Lets it run on these cores only, as far as the kernel allows.
    fn bind(&self, _cores: &Cores) {}
    /// Lets all of its threads run on these cores again.
    fn release(&self, _cores: &Cores) {}
}

/// A forked guest.
#[derive(Debug)]
pub struct GuestProcess {
    pidfd: Pidfd,
    pid: Option<Pid>,
    clock: Option<CpuClock>,
    mailbox: Option<Arc<Mailbox>>,
}

impl GuestProcess {
    /// Takes over a pidfd and the memory of a mailbox from a zygote. That is mapped at once: descriptors are
    /// scarcer, and pages that nobody touches cost nothing.
    pub fn new(pidfd: Pidfd, memory: Option<OwnedFd>) -> Self {
        let pid = pidfd.pid().ok().flatten();
        let clock = pid.and_then(|pid| CpuClock::of(pid).ok());
        Self {
            pidfd,
            pid,
            clock,
            // Only speed is lost without it.
            mailbox: memory
                .and_then(|memory| Mailbox::map(memory.as_fd(), Side::Host).ok())
                .map(Arc::new),
        }
    }

    /// The zygote that forked it.
    pub(crate) fn parent(&self) -> Option<Pid> {
        parent(self.named()?).ok()
    }

    /// The pid, while it still names this process. It may end right after: then another that got
    /// its number meanwhile would be bound to a core for a while, which harms nobody.
    fn named(&self) -> Option<Pid> {
        self.pidfd.send_signal(0).ok()?;
        self.pid
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

    fn schedule(&self, urgency: Urgency) {
        if let Some(pid) = self.named() {
            // Only its neighbours' speed is lost without it.
            let _ = urgency.apply(pid);
        }
    }

    fn hurry(&self) {
        if let Some(pid) = self.named() {
            let _ = Urgency::Prompt.apply_to_first(pid);
        }
    }

    fn settle(&self) {
        if let Some(pid) = self.named() {
            let _ = Urgency::Settled.apply_to_first(pid);
        }
    }

    fn mailbox(&self) -> Option<Arc<Mailbox>> {
        self.mailbox.clone()
    }

    fn bind(&self, cores: &Cores) {
        if let Some(pid) = self.named() {
            // Only speed is lost without it.
            let _ = cores.bind(pid);
        }
    }

    fn release(&self, cores: &Cores) {
        if let Some(pid) = self.named() {
            // Threads that it started meanwhile are bound as it was.
            let _ = cores.bind_all(pid);
        }
    }
}
