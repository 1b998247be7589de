//! How soon the kernel's scheduler lets another process run.
//!
//! The host tells it of guests that compute for long, so that those that answer in a millisecond do not
//! wait behind them; see the supervisor's `limits`. A patient process gives way to whoever wakes up, and
//! where that can be undone it gets a smaller share of a contended core as well. The kernel lets
//! everybody lower a priority, but raising it again takes `CAP_SYS_NICE` or an `RLIMIT_NICE`, so
//! whether this host may is tried once, on a thread made for it.
//!
//! Invariant: what is set here can be undone by this process.

use crate::{Pid, check_io, check_long};
use std::io;
use std::mem::size_of;
use std::sync::OnceLock;

/// Nice levels that a patient process is set back by: a ninth of the share of one that is not.
const NICE_STEP: i32 = 10;

/// The longest slice that the kernel takes. Whoever wakes with a shorter one goes first (Linux 6.12;
/// before it there are no slices, and the field is not read).
const SLICE_NS: u64 = 100_000_000;

/// A short one: shorter than the kernel's own, so that whoever has it goes first when it wakes.
const SHORT_SLICE_NS: u64 = 300_000;

/// See the file's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// As the host, and a Worker that has answered before: its turns are short, so it is let through.
    Settled,
    /// As any process.
    Prompt,
    /// What it does takes long anyway.
    Patient,
}

/// `struct sched_attr` of the kernel's first version.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime_ns: u64,
    deadline_ns: u64,
    period_ns: u64,
}

/// What this process may do to its guests.
#[derive(Debug, Clone, Copy)]
struct Means {
    /// Its own nice level, which its guests inherited.
    nice: i32,
    /// A level that was lowered can be raised again.
    reversible: bool,
}

impl Urgency {
    /// Applies it to all threads that a process has now; those it starts later inherit it.
    pub fn apply(self, process: Pid) -> io::Result<()> {
        let attributes = self.attributes();
        for entry in std::fs::read_dir(format!("/proc/{}/task", process.0))? {
            let name = entry?.file_name();
            if let Some(thread) = name.to_str().and_then(|name| name.parse().ok()) {
                // It may have ended meanwhile.
                let _ = set(Pid(thread), &attributes);
            }
        }
        Ok(())
    }

    /// Applies it to a process's first thread, which is cheaper where there is no other.
    pub fn apply_to_first(self, process: Pid) -> io::Result<()> {
        set(process, &self.attributes())
    }

    /// Applies it to the calling thread, and to those that it starts from now on.
    pub fn apply_here(self) -> io::Result<()> {
        set(Pid(0), &self.attributes())
    }

    fn attributes(self) -> Attributes {
        let means = means();
        let step = match self {
            Self::Patient if means.reversible => NICE_STEP,
            _ => 0,
        };
        Attributes {
            size: size_of::<Attributes>() as u32,
            policy: libc::SCHED_OTHER as u32,
            nice: (means.nice + step).min(19),
            runtime_ns: match self {
                Self::Settled => SHORT_SLICE_NS,
                Self::Prompt => 0,
                Self::Patient => SLICE_NS,
            },
            ..Attributes::default()
        }
    }
}

fn set(thread: Pid, attributes: &Attributes) -> io::Result<()> {
    // SAFETY: the kernel reads `attributes` for the size that stands in it, which is its own.
    check_long(unsafe {
        libc::syscall(
            libc::SYS_sched_setattr,
            thread.0,
            std::ptr::from_ref(attributes),
            0,
        )
    })?;
    Ok(())
}

fn means() -> Means {
    static MEANS: OnceLock<Means> = OnceLock::new();
    *MEANS.get_or_init(|| {
        let probe = std::thread::Builder::new().spawn(|| {
            let nice = nice_of_this_thread();
            let there = set_nice(nice + 1).is_ok();
            Means {
                nice,
                reversible: there && set_nice(nice).is_ok(),
            }
        });
        let means = probe.ok().and_then(|probe| probe.join().ok());
        means.unwrap_or(Means {
            nice: 0,
            reversible: false,
        })
    })
}

fn nice_of_this_thread() -> i32 {
    // SAFETY: 0 means the calling thread, which exists, so that the result is its level.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

fn set_nice(nice: i32) -> io::Result<()> {
    // SAFETY: the call takes numbers; 0 means the calling thread.
    check_io(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::affinity::current_thread;
    use std::sync::mpsc::channel;

    #[test]
    fn a_patient_process_gives_way_and_can_be_hurried_again() {
        // A thread of its own: another test's must not be slowed down.
        std::thread::spawn(|| {
            let before = nice_of_this_thread();
            let attributes = |nice, runtime_ns| Attributes {
                size: size_of::<Attributes>() as u32,
                nice,
                runtime_ns,
                ..Attributes::default()
            };
            set(current_thread(), &attributes(before, SLICE_NS)).unwrap();
            set(current_thread(), &attributes(before, 0)).unwrap();
            assert_eq!(nice_of_this_thread(), before);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_process_is_set_back_with_all_its_threads() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = Pid(i32::try_from(child.id()).unwrap());
        let nice = || {
            // SAFETY: the call takes numbers; the child is not reaped before the end of the test.
            unsafe { libc::getpriority(libc::PRIO_PROCESS, child.id()) }
        };
        let before = nice();
        Urgency::Patient.apply(pid).unwrap();
        let step = if means().reversible { NICE_STEP } else { 0 };
        assert_eq!(nice(), (before + step).min(19));
        for urgency in [Urgency::Prompt, Urgency::Patient, Urgency::Settled] {
            urgency.apply(pid).unwrap();
            assert_eq!(nice() > before, step > 0 && urgency == Urgency::Patient);
        }
        Urgency::Patient.apply_to_first(pid).unwrap();
        assert_eq!(nice(), (before + step).min(19));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(Urgency::Patient.apply(pid).is_err(), "it is gone");
    }

    #[test]
    fn what_this_process_may_is_known_once() {
        let (tell, told) = channel();
        for _ in 0..4 {
            let tell = tell.clone();
            std::thread::spawn(move || tell.send(means().reversible).unwrap());
        }
        drop(tell);
        assert!(told.iter().all(|one| one == means().reversible));
    }
}
