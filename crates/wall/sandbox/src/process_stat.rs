//! What another process has used: its CPU clock and its memory.
//!
//! The host meters guests with it. [`CpuClock`] costs one system call to read. [`resident`] reads
//! one small file and counts pages that a guest still shares with its zygote as well;
//! [`memory_exact`] separates them, but walks the process's page tables (tens of microseconds and
//! more), so it is for evidence and eviction, never for a hot path.

use crate::{Pid, check_io};
use std::io;
use std::mem::zeroed;
use std::time::Duration;

/// The CPU time of one process, all its threads. Valid while the process lives.
#[derive(Debug, Clone, Copy)]
pub struct CpuClock(libc::clockid_t);

impl CpuClock {
    /// The clock of `pid`.
    pub fn of(pid: Pid) -> io::Result<Self> {
        let mut clock: libc::clockid_t = 0;
        // SAFETY: `clock` is ours for the call to fill.
        let error = unsafe { libc::clock_getcpuclockid(pid.0, &raw mut clock) };
        // This call returns its error rather than set errno.
        if error == 0 {
            Ok(Self(clock))
        } else {
            Err(io::Error::from_raw_os_error(error))
        }
    }

    /// CPU time used so far; an error once the process was reaped.
    pub fn read(&self) -> io::Result<Duration> {
        // SAFETY: all zeroes is a valid `timespec`.
        let mut time: libc::timespec = unsafe { zeroed() };
        // SAFETY: `time` is ours for the call to fill.
        check_io(unsafe { libc::clock_gettime(self.0, &raw mut time) })?;
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
        Ok(Duration::new(seconds, nanos))
    }
}

/// CPU time that the calling thread has used.
pub fn thread_cpu() -> Duration {
    // SAFETY: all zeroes is a valid `timespec`.
    let mut time: libc::timespec = unsafe { zeroed() };
    // SAFETY: `time` is ours for the call to fill, which the kernel does for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

/// Pages a process has in memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resident {
    /// All of them.
    pub bytes: u64,
    /// Those that map files (the binary); the rest are memory it or its zygote wrote.
    pub file_bytes: u64,
}

/// Resident memory of `pid`, cheaply.
pub fn resident(pid: Pid) -> io::Result<Resident> {
    let text = std::fs::read_to_string(format!("/proc/{}/statm", pid.0))?;
    let mut pages = text
        .split_ascii_whitespace()
        .map(|word| word.parse::<u64>().ok());
    let (Some(Some(_)), Some(Some(resident)), Some(Some(shared))) =
        (pages.next(), pages.next(), pages.next())
    else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "odd statm"));
    };
    let page_bytes = page_bytes();
    Ok(Resident {
        bytes: resident.saturating_mul(page_bytes),
        file_bytes: shared.saturating_mul(page_bytes),
    })
}

/// The process that forked `pid`, or took it over.
pub fn parent(pid: Pid) -> io::Result<Pid> {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", pid.0))?;
    // The name stands in parentheses and may hold any character; the state and the parent follow.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let parent = rest.split_ascii_whitespace().nth(1);
    let parent = parent.and_then(|word| word.parse().ok()).map(Pid);
    parent.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "odd stat"))
}

/// Writable private memory of the calling process, in use or not: what `RLIMIT_DATA` counts.
pub fn data_bytes() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmData:"))
        .and_then(|rest| rest.split_ascii_whitespace().next())
        .and_then(|word| word.parse::<u64>().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "status without VmData"))?;
    Ok(kilobytes.saturating_mul(1024))
}

/// What a process costs: memory that would be free without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Bytes of pages that only this process has.
    pub private_bytes: u64,
    /// Its share of pages it has in common with others.
    pub proportional_bytes: u64,
    /// Bytes of its page tables.
    pub page_table_bytes: u64,
}

/// What `pid` costs, exactly. Needs the right to trace it: a non-dumpable process shows it only
/// to a host with `CAP_SYS_PTRACE`.
pub fn memory_exact(pid: Pid) -> io::Result<Memory> {
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", pid.0))?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.0))?;
    let kilobytes = |text: &str, key: &str| -> u64 {
        text.lines()
            .find_map(|line| line.strip_prefix(key))
            .and_then(|rest| rest.trim_start_matches(':').split_ascii_whitespace().next())
            .and_then(|word| word.parse().ok())
            .unwrap_or(0)
    };
    let private = kilobytes(&rollup, "Private_Clean:") + kilobytes(&rollup, "Private_Dirty:");
    Ok(Memory {
        private_bytes: private.saturating_mul(1024),
        proportional_bytes: kilobytes(&rollup, "Pss:").saturating_mul(1024),
        page_table_bytes: kilobytes(&status, "VmPTE:").saturating_mul(1024),
    })
}

fn page_bytes() -> u64 {
    // SAFETY: the call takes a constant and gives a number.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_pid() -> Pid {
        Pid(i32::try_from(std::process::id()).unwrap())
    }

    #[test]
    fn the_cpu_clock_of_a_process_advances_with_its_work() {
        let clock = CpuClock::of(own_pid()).unwrap();
        let before = clock.read().unwrap();
        let mut sum = 0u64;
        while clock.read().unwrap() < before + Duration::from_millis(5) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }

    #[test]
    fn a_child_knows_its_parent() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = Pid(i32::try_from(child.id()).unwrap());
        assert_eq!(parent(pid).unwrap(), own_pid());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(parent(pid).is_err());
    }

    #[test]
    fn writable_memory_grows_with_what_is_allocated() {
        let before = data_bytes().unwrap();
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        assert!(data_bytes().unwrap() >= before + (32 << 20));
        drop(block);
    }

    #[test]
    fn memory_is_told_cheaply_and_exactly() {
        let resident = resident(own_pid()).unwrap();
        assert!(resident.bytes > resident.file_bytes && resident.file_bytes > 0);
        let exact = memory_exact(own_pid()).unwrap();
        assert!(exact.private_bytes > 0 && exact.page_table_bytes > 0);
        assert!(exact.private_bytes <= exact.proportional_bytes);
    }
}
