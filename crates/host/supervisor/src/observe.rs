//! What happened, for whoever on the host wants to know. What Workers hear of each other is `trace`'s
//! and `tail`'s business.
//!
//! An [`Observer`] has silent defaults, so a test or a small setup passes none. Its methods are
//! called on the hot path and must not block.

use crate::ending::EndReason;
use crate::held::HeldEvent;
use crate::trace::TraceReport;
use mayfly_wire::{Failure, LogLevel};
use std::sync::Arc;
use std::time::Duration;

/// One console line.
#[derive(Debug)]
pub struct LogLine<'a> {
    /// The Worker's name.
    pub worker: &'a str,
    /// The guest's pid.
    pub pid: i32,
    /// How loud.
    pub level: LogLevel,
    /// As a person reads it. From user code: not to be trusted on a terminal.
    pub text: &'a str,
}

/// What an invocation was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each name says it")]
pub enum EventKind {
    Fetch,
    Rpc,
    Scheduled,
    Queue,
    Tail,
    Connect,
    Alarm,
    WebSocket,
    Other,
}

impl EventKind {
    /// Of an event.
    pub fn of(event: &HeldEvent) -> Self {
        match event {
            HeldEvent::Fetch { .. } => Self::Fetch,
            HeldEvent::Rpc { .. } => Self::Rpc,
            HeldEvent::Scheduled { .. } => Self::Scheduled,
            HeldEvent::Queue { .. } => Self::Queue,
            HeldEvent::Tail { .. } | HeldEvent::TailStream { .. } => Self::Tail,
            HeldEvent::Connect { .. } => Self::Connect,
            HeldEvent::Alarm { .. } => Self::Alarm,
            HeldEvent::SocketText { .. }
            | HeldEvent::SocketBytes { .. }
            | HeldEvent::SocketClose { .. }
            | HeldEvent::SocketError { .. } => Self::WebSocket,
            HeldEvent::LoadCode | HeldEvent::StartFacet | HeldEvent::Restore { .. } => Self::Other,
        }
    }

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Rpc => "rpc",
            Self::Scheduled => "scheduled",
            Self::Queue => "queue",
            Self::Tail => "tail",
            Self::Connect => "connect",
            Self::Alarm => "alarm",
            Self::WebSocket => "websocket",
            Self::Other => "other",
        }
    }
}

/// One invocation that has ended.
#[derive(Debug)]
pub struct InvocationReport<'a> {
    /// The Worker's name.
    pub worker: &'a str,
    /// The configured Worker that it is counted under.
    pub root: &'a Arc<str>,
    /// Export name; empty means `default`.
    pub entrypoint: &'a str,
    /// What it was about.
    pub event: EventKind,
    /// As in a trace item: `ok`, `exception`, `exceededCpu`, ...
    pub outcome: &'static str,
    /// CPU time, from the kernel.
    pub cpu: Duration,
    /// From delivery to the end of all its work.
    pub wall: Duration,
}

/// Hears what happens. Called from many threads.
pub trait Observer: Send + Sync {
    /// A Worker wrote to its console.
    fn log(&self, _line: LogLine<'_>) {}
    /// An error that nobody caught.
    fn exception(&self, _worker: &str, _failure: &Failure) {}
    /// A guest became a Worker.
    fn guest_started(&self, _worker: &str, _pid: i32) {}
    /// A guest ended.
    fn guest_ended(&self, _worker: Option<&str>, _pid: i32, _reason: &EndReason) {}
    /// An invocation ended.
    fn invocation_done(&self, _report: InvocationReport<'_>) {}
    /// Whether invocations are to be followed for [`Self::trace`]. Asked at the begin of each.
    fn wants_traces(&self) -> bool {
        false
    }
    /// What happened in an invocation that was followed.
    fn trace(&self, _report: &TraceReport<'_>) {}
    /// A trace item was dropped because too many were under way.
    fn trace_dropped(&self, _worker: &str) {}
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}
