//! Why a supervisor cannot start. Each kind can have an exit code of its own.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// See the file's head.
#[derive(Debug, Error)]
pub enum SupervisorError {
    /// The guest binary cannot be executed.
    #[error("start guest binary {path}")]
    Spawn {
        /// Where it should be.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Its control socket failed.
    #[error("talk to the guest binary")]
    Control(#[source] io::Error),
    /// It ended, or closed its socket, before it was ready.
    #[error("guest binary {path} ended before it was ready ({status})")]
    EndedEarly {
        /// Where it is.
        path: PathBuf,
        /// How it ended, in words.
        status: String,
    },
    /// It took too long.
    #[error("guest binary was not ready after {seconds} s")]
    Slow {
        /// How long it was waited for.
        seconds: u64,
    },
    /// It said something else than `Ready`.
    #[error("guest binary sent an unexpected first message")]
    Unexpected,
    /// It is of another build.
    #[error("guest binary is version {guest}, this host needs {host}")]
    Version {
        /// What it said.
        guest: String,
        /// What was expected.
        host: &'static str,
    },
    /// It cannot get ready, and said why.
    #[error("guest binary is not ready: {0}")]
    Unready(String),
    /// It would fork with threads.
    #[error("guest binary has {0} threads at the moment of forking, must be 1")]
    Threads(u32),
    /// What was stored before cannot be read.
    #[error("state: {0}")]
    State(String),
    /// No seccomp, and the operator did not allow that.
    #[error(
        "this machine gives no seccomp sandbox ({reason}); untrusted code will not be run without"
    )]
    NoSandbox {
        /// Why not.
        reason: String,
    },
    /// A definition that contradicts itself or another.
    #[error("worker {worker:?}: {problem}")]
    Definition {
        /// Which Worker.
        worker: String,
        /// What is wrong.
        problem: String,
    },
}
