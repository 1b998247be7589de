//! Resource limits of a guest, as data.
//!
//! They bound what the kernel would otherwise hand out without asking the host. Address space is
//! deliberately not among them: Wasm reserves gigabytes that it never touches, so memory is bounded
//! by what is writable ([`limit_data`]) and by the engine's own heap limit.

use crate::{SysError, check};
use std::fs;

/// Tasks of one zygote's whole user namespace: the kernel counts a user's, not a process's. A
/// zygote retires after some hundred guests, each with a few helper threads at most.
pub const NAMESPACE_TASKS_MAX: u64 = 8192;

/// Descriptors are 0-2 (nothing), the socket and the waker; a `poll` may name as many.
pub const DESCRIPTORS_MAX: u64 = 8;

/// `RLIMIT_NICE` counts down from 20: this is nice level 0.
const NICE_ORDINARY: u64 = 20;

/// How ready the kernel is to choose a zygote or guest when the machine is out of memory, from
/// -1000 to 1000: well before the host and what else runs there.
const OOM_SCORE: &str = "500";

/// One limit, soft and hard alike.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// For messages.
    pub name: &'static str,
    /// `RLIMIT_*`.
    pub resource: u32,
    /// Its value.
    pub value: u64,
    /// Why it is that.
    pub why: &'static str,
}

macro_rules! limit {
    ($resource:ident, $value:expr, $why:literal) => {
        Limit {
            name: stringify!($resource),
            resource: libc::$resource,
            value: $value,
            why: $why,
        }
    };
}

/// What every guest gets.
pub const LIMITS: &[Limit] = &[
    limit!(RLIMIT_CORE, 0, "a dump would put a tenant's memory on disk"),
    limit!(RLIMIT_FSIZE, 0, "no file is ever written"),
    limit!(RLIMIT_NOFILE, DESCRIPTORS_MAX, "one socket and a waker"),
    limit!(RLIMIT_NPROC, NAMESPACE_TASKS_MAX, "no flood of threads"),
    limit!(RLIMIT_MEMLOCK, 0, "memory must stay the kernel's to take"),
    limit!(RLIMIT_MSGQUEUE, 0, "no message queues"),
    limit!(RLIMIT_LOCKS, 0, "no file locks"),
    limit!(
        RLIMIT_NICE,
        NICE_ORDINARY,
        "no higher priority; the host may give back the ordinary one, see `schedule`"
    ),
    limit!(RLIMIT_RTPRIO, 0, "no real-time priority"),
    limit!(RLIMIT_RTTIME, 0, "no real-time work"),
];

/// Sets every row of [`LIMITS`] on this process; one that is lower already stays.
pub fn apply() -> Result<(), SysError> {
    LIMITS.iter().try_for_each(|limit| {
        let most = current(limit.name, limit.resource)?;
        set(limit.name, limit.resource, limit.value.min(most))
    })
}

/// Lets this process have as many descriptors as it may: each guest is a socket and a pidfd, and the
/// soft limit that most systems begin with (1024) is meant for programs that use `select`.
pub fn raise_descriptors() -> Result<u64, SysError> {
    let most = current("RLIMIT_NOFILE", libc::RLIMIT_NOFILE)?;
    set("RLIMIT_NOFILE", libc::RLIMIT_NOFILE, most)?;
    Ok(most)
}

/// The hard limit that this process has.
fn current(name: &'static str, resource: u32) -> Result<u64, SysError> {
    let mut limit = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is ours for the call to fill, and pid 0 is the caller.
    check(name, unsafe {
        libc::prlimit64(0, resource, std::ptr::null(), &raw mut limit)
    })?;
    Ok(limit.rlim_max)
}

/// Bounds memory that is writable and private: heaps of every kind, not shared binary pages and
/// not address space that is merely reserved. May be lowered again.
pub fn limit_data(bytes: u64) -> Result<(), SysError> {
    set("RLIMIT_DATA", libc::RLIMIT_DATA, bytes)
}

fn set(name: &'static str, resource: u32, value: u64) -> Result<(), SysError> {
    let limit = libc::rlimit64 {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: the call reads `limit` and, the last pointer being null, writes nothing. Pid 0 is
    // the caller. The system call is made directly so that seccomp sees the one it allows.
    let result = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            0,
            resource,
            &raw const limit,
            std::ptr::null_mut::<libc::rlimit64>(),
        )
    };
    check(name, result as libc::c_int)?;
    Ok(())
}

/// Makes this process and what it forks the first to go when the machine is out of memory.
pub fn prefer_as_oom_victim() -> Result<(), SysError> {
    fs::write("/proc/self/oom_score_adj", OOM_SCORE).map_err(|source| SysError {
        step: "set oom_score_adj",
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_of_descriptors_becomes_the_hard_one() {
        let most = raise_descriptors().unwrap();
        let limits = fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max open files"));
        let words: Vec<&str> = line.unwrap().split_ascii_whitespace().collect();
        assert_eq!(words[3..5], [most.to_string(), most.to_string()]);
    }
}
