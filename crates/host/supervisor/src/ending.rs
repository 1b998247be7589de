//! Why a guest ended, in words for its callers, for the operator and for tails.

use crate::budget;
use crate::relay::Violation;
use mayfly_wire::{Failure, FailureKind};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The guest's exit code when its engine ran out of memory (`EXIT_OUT_OF_MEMORY` in the engine).
pub const EXIT_OUT_OF_MEMORY: i32 = 70;

/// The guest's exit code when its Worker called `abortIsolate()`.
const EXIT_ABORTED: i32 = 69;

const SIGABRT: i32 = 6;
const SIGBUS: i32 = 7;
const SIGKILL: i32 = 9;
const SIGSEGV: i32 = 11;
const SIGXCPU: i32 = 24;
const SIGSYS: i32 = 31;

const CPU_WORDS: &str = "Worker exceeded CPU time limit.";
const MEMORY_WORDS: &str = "Worker exceeded memory limit.";

/// A trace item's `outcome` where the wall time was over.
pub const OUTCOME_WALL: &str = "exceededWallTime";

/// What the caller of an invocation hears whose time is over.
pub fn wall_failure(used: Duration, limit: Duration) -> Failure {
    let words = "Worker exceeded its wall time limit.";
    budget::time(FailureKind::Limit {}, budget::WALL, words, used, limit)
}

/// Why a guest ended or is being ended.
#[derive(Debug, Clone)]
pub enum EndReason {
    /// It exited by itself.
    Exit(i32),
    /// Its Worker called `abortIsolate()`. Callers hear the reference, the log has both.
    Aborted {
        /// Joins what a caller heard to a line of the log.
        reference: u64,
    },
    /// A signal that was not ours.
    Signal(i32),
    /// It made the system call of this number, which its sandbox forbids.
    Trapped(u32),
    /// Its socket closed and nobody said how it ended.
    Closed,
    /// It sent what it must not.
    Violation(Violation),
    /// An invocation used its CPU.
    ExceededCpu {
        /// How much it used.
        used: Duration,
        /// How much it had.
        limit: Duration,
    },
    /// Evaluating its main module took too much CPU.
    ExceededStartup {
        /// How much it used.
        used: Duration,
        /// How much it had.
        limit: Duration,
    },
    /// An invocation was not over in time, nor soon after.
    ExceededWall {
        /// How long it took.
        used: Duration,
        /// How long it might.
        limit: Duration,
    },
    /// It used CPU with nothing to do.
    IdleCpu,
    /// It took more memory than it may.
    ExceededMemory {
        /// Bytes it had, or asked for and did not get.
        used: u64,
        /// Bytes it might have.
        limit: u64,
    },
    /// It does not read its socket.
    NotReading,
    /// Its Worker could not start.
    StartFailed(Failure),
    /// It was idle and its room was needed.
    Evicted,
    /// Nothing refers to its Worker any more.
    Released,
    /// The host is shutting down.
    Shutdown,
    /// The disk did not take what its Durable Objects wrote.
    StorageFailed,
}

impl EndReason {
    /// What callers hear.
    pub fn failure(&self) -> Failure {
        match self {
            Self::StartFailed(failure) => failure.clone(),
            Self::ExceededCpu { used, limit } => budget::time(
                FailureKind::ExceededCpu {},
                budget::CPU,
                CPU_WORDS,
                *used,
                *limit,
            ),
            Self::ExceededStartup { used, limit } => budget::time(
                FailureKind::ExceededCpu {},
                budget::STARTUP,
                "Worker exceeded its startup CPU time limit.",
                *used,
                *limit,
            ),
            Self::ExceededWall { used, limit } => wall_failure(*used, *limit),
            Self::IdleCpu | Self::Signal(SIGXCPU) => {
                Failure::new(FailureKind::ExceededCpu {}, "Error", CPU_WORDS)
            }
            Self::ExceededMemory { used, limit } => budget::bytes(
                FailureKind::ExceededMemory {},
                budget::MEMORY,
                MEMORY_WORDS,
                *used,
                *limit,
            ),
            Self::Exit(EXIT_OUT_OF_MEMORY) => {
                Failure::new(FailureKind::ExceededMemory {}, "Error", MEMORY_WORDS)
            }
            Self::Aborted { reference } => Failure::new(
                FailureKind::Internal {},
                "Error",
                format!("internal error; reference = {reference:016x}"),
            ),
            other => Failure::new(
                FailureKind::Lost {},
                "Error",
                format!("The Worker's process ended: {}.", other.describe()),
            ),
        }
    }

    /// `outcome` of a trace item.
    pub fn outcome(&self) -> &'static str {
        if matches!(self, Self::ExceededWall { .. }) {
            return OUTCOME_WALL;
        }
        match self.failure().kind {
            FailureKind::ExceededCpu {} => "exceededCpu",
            FailureKind::ExceededMemory {} => "exceededMemory",
            FailureKind::Exception {} => "exception",
            _ => "internalError",
        }
    }

    /// Whether an operator should look at it.
    pub fn is_suspicious(&self) -> bool {
        matches!(
            self,
            Self::Violation(_)
                | Self::Trapped(_)
                | Self::Signal(_)
                | Self::IdleCpu
                | Self::Aborted { .. }
                | Self::StorageFailed
        )
    }

    /// In words, without a dot.
    pub fn describe(&self) -> String {
        match self {
            Self::Exit(EXIT_OUT_OF_MEMORY) => "out of memory".to_owned(),
            // The guest binary's own codes.
            Self::Exit(65) => "could not seal its sandbox".to_owned(),
            Self::Exit(66) => "did not understand the host".to_owned(),
            Self::Exit(67) => "the platform failed".to_owned(),
            Self::Exit(68) => "the kernel refused it something".to_owned(),
            Self::Exit(code) => format!("exited with code {code}"),
            Self::Aborted { reference } => {
                format!("called abortIsolate(), reference {reference:016x}")
            }
            Self::Signal(SIGSYS) => {
                "killed by the sandbox for a forbidden system call (SIGSYS)".to_owned()
            }
            Self::Trapped(number) => format!(
                "killed by the sandbox for a forbidden system call: {} (SIGSYS)",
                mayfly_sandbox::syscall_names::name(*number)
            ),
            Self::Signal(SIGSEGV) => "crashed (SIGSEGV)".to_owned(),
            Self::Signal(SIGBUS) => "crashed (SIGBUS)".to_owned(),
            Self::Signal(SIGABRT) => "aborted (SIGABRT)".to_owned(),
            Self::Signal(SIGKILL) => {
                "killed from outside (SIGKILL), perhaps for the machine's memory".to_owned()
            }
            Self::Signal(signal) => format!("killed by signal {signal}"),
            Self::Closed => "its connection closed".to_owned(),
            Self::Violation(violation) => format!("protocol violation: {violation}"),
            Self::ExceededCpu { .. } => "CPU time limit".to_owned(),
            Self::ExceededStartup { .. } => "startup CPU time limit".to_owned(),
            Self::ExceededWall { .. } => "wall time limit".to_owned(),
            Self::IdleCpu => "used CPU with no request under way".to_owned(),
            Self::ExceededMemory { .. } => "memory limit".to_owned(),
            Self::NotReading => "it does not read its messages".to_owned(),
            Self::StartFailed(failure) => format!("could not start: {}", failure.message),
            Self::Evicted => "evicted while idle".to_owned(),
            Self::Released => "its stub was released".to_owned(),
            Self::Shutdown => "shutting down".to_owned(),
            Self::StorageFailed => {
                "what its Durable Objects stored could not be written".to_owned()
            }
        }
    }
}

impl From<mayfly_wire::control::End> for EndReason {
    fn from(end: mayfly_wire::control::End) -> Self {
        match end {
            mayfly_wire::control::End::Exit { code: EXIT_ABORTED } => Self::Aborted {
                reference: RandomState::new().hash_one(()),
            },
            mayfly_wire::control::End::Exit { code } => Self::Exit(code),
            mayfly_wire::control::End::Signal { signal } => Self::Signal(signal),
        }
    }
}
