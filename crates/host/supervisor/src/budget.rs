//! The limits by name, and the error of each: what fired, how much was used, how much was allowed.
//!
//! People read it in the message, programs as own properties of the error (`budget`, `value`,
//! `limit`), HTTP clients as a header. The names are for good.

use mayfly_wire::{Failure, FailureKind};
use std::time::Duration;

/// CPU of one invocation, in milliseconds.
pub const CPU: &str = "cpu";
/// Memory of one Worker, in bytes.
pub const MEMORY: &str = "memory";
/// Calls to services that one invocation makes.
pub const SUBREQUESTS: &str = "subrequests";
/// Time from an invocation's delivery until all its work has ended, in milliseconds.
pub const WALL: &str = "wall";
/// CPU until the main module was evaluated, in milliseconds.
pub const STARTUP: &str = "startup";
/// Modules of a Worker, in bytes.
pub const CODE_SIZE: &str = "code-size";
/// `env` of a Worker, in bytes.
pub const ENV_SIZE: &str = "env-size";
/// One message, in bytes.
pub const MESSAGE_SIZE: &str = "message-size";
/// Things at work, or waiting, at once.
pub const CONCURRENCY: &str = "concurrency";

/// CPU, start-up and wall time.
pub fn time(
    kind: FailureKind,
    budget: &str,
    what: &str,
    used: Duration,
    limit: Duration,
) -> Failure {
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let (used, limit) = (ms(used), ms(limit));
    let message = format!("{what} [{budget}: {used:.1} ms, limit {limit} ms]");
    Failure::new(kind, "Error", message).of_budget(budget, (used * 10.0).round() / 10.0, limit)
}

/// Bytes.
pub fn bytes(kind: FailureKind, budget: &str, what: &str, used: u64, limit: u64) -> Failure {
    let message = format!("{what} [{budget}: {used} bytes, limit {limit} bytes]");
    Failure::new(kind, "Error", message).of_budget(budget, used as f64, limit as f64)
}

/// A count.
pub fn count(kind: FailureKind, budget: &str, what: &str, used: u64, limit: u64) -> Failure {
    let message = format!("{what} [{budget}: {used}, limit {limit}]");
    Failure::new(kind, "Error", message).of_budget(budget, used as f64, limit as f64)
}
