//! Why a guest ended, in words for its callers, for the operator and for tails.

use crate::relay::Violation;
use mayfly_wire::{Failure, FailureKind};
use std::hash::{BuildHasher, RandomState};

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
    /// Its socket closed and nobody said how it ended.
    Closed,
    /// It sent what it must not.
    Violation(Violation),
    /// An invocation used its CPU.
    ExceededCpu,
    /// It used CPU with nothing to do.
    IdleCpu,
    /// It took more memory than it may.
    ExceededMemory,
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
            Self::ExceededCpu | Self::IdleCpu | Self::Signal(SIGXCPU) => Failure::new(
                FailureKind::ExceededCpu {},
                "Error",
                "Worker exceeded CPU time limit.",
            ),
            Self::ExceededMemory | Self::Exit(EXIT_OUT_OF_MEMORY) => Failure::new(
                FailureKind::ExceededMemory {},
                "Error",
                "Worker exceeded memory limit.",
            ),
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
            Self::Signal(SIGSEGV) => "crashed (SIGSEGV)".to_owned(),
            Self::Signal(SIGBUS) => "crashed (SIGBUS)".to_owned(),
            Self::Signal(SIGABRT) => "aborted (SIGABRT)".to_owned(),
            Self::Signal(SIGKILL) => {
                "killed from outside (SIGKILL), perhaps for the machine's memory".to_owned()
            }
            Self::Signal(signal) => format!("killed by signal {signal}"),
            Self::Closed => "its connection closed".to_owned(),
            Self::Violation(violation) => format!("protocol violation: {violation}"),
            Self::ExceededCpu => "CPU time limit".to_owned(),
            Self::IdleCpu => "used CPU with no request under way".to_owned(),
            Self::ExceededMemory => "memory limit".to_owned(),
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
