//! Calls that were delivered to a guest, and what is told and booked of them.
//!
//! Invariant: an invocation keeps its dynamic Worker until it is done.

use crate::actor::ActorUse;
use crate::call::Call;
use crate::capability::Handle;
use crate::ending::EndReason;
use crate::observe::{EventKind, InvocationReport};
use crate::stored::Recipe;
use crate::trace::Trace;
use mayfly_wire::StreamId;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A call delivered to a guest.
pub struct Inbound {
    /// The call.
    pub call: Arc<Call>,
    /// Its outcome has come; `Done` has not.
    pub returned: bool,
    /// Its share of the process's CPU time.
    pub cpu: Duration,
    /// The recent part of it: what it uses beyond a part of a core
    /// ([`COOLING`](crate::bounds::COOLING)).
    pub heat: Duration,
    /// The part of it that went into starting the Worker.
    pub cpu_of_start: Duration,
    /// What of that does not count against its limit any more: a message came since.
    pub excused: Duration,
    /// Of an entrypoint, not of an object.
    pub invocation: Option<Box<Invocation>>,
    /// Keeps a dynamic Worker while one of its objects is called.
    pub keep: Option<Handle>,
}

/// One event delivered to a Worker's entrypoint.
pub struct Invocation {
    /// Keeps a dynamic Worker until the invocation is done.
    pub handle: Handle,
    /// Export name; empty means `default`.
    pub entrypoint: String,
    /// What it may use.
    pub cpu_max: Option<Duration>,
    /// Calls to services it may make.
    pub sub_requests_max: Option<u32>,
    /// Those of them it has not made.
    pub sub_requests_left: Option<u64>,
    /// How long it may take.
    pub wall_max: Option<Duration>,
    /// When that was over.
    pub wall_over: Option<Instant>,
    /// When it was delivered.
    pub began: Instant,
    /// How it ended, once returned.
    pub outcome: &'static str,
    /// What kind of event it is.
    pub event: EventKind,
    /// What is told of it, where somebody follows.
    pub trace: Option<Box<Trace>>,
    /// Of a Durable Object rather than a stateless entrypoint.
    pub actor: Option<ActorUse>,
    /// Objects of it are held, so that its trace goes on after `Done`.
    pub trace_held: bool,
    /// The body of its response.
    pub body: Option<StreamId>,
    /// What a dynamic Worker's entrypoint was reached by, where that leads back to it.
    pub via: Option<Arc<Recipe>>,
}

/// A trace whose invocation is over.
#[derive(Debug)]
pub struct HeldTrace {
    pub(crate) trace: Option<Box<Trace>>,
    handle: Handle,
    entrypoint: String,
    event: EventKind,
    outcome: &'static str,
    cpu: Duration,
    wall: Duration,
}

impl HeldTrace {
    /// Of an invocation and the CPU it used.
    pub fn new(invocation: Invocation, cpu: Duration) -> Self {
        Self {
            wall: invocation.began.elapsed(),
            trace: invocation.trace,
            handle: invocation.handle,
            entrypoint: invocation.entrypoint,
            event: invocation.event,
            outcome: invocation.outcome,
            cpu,
        }
    }

    /// The trace of an invocation that goes on without it.
    pub fn of(invocation: &Invocation, trace: Box<Trace>, cpu: Duration) -> Self {
        Self {
            wall: invocation.began.elapsed(),
            trace: Some(trace),
            handle: invocation.handle.clone(),
            entrypoint: invocation.entrypoint.clone(),
            event: invocation.event,
            outcome: invocation.outcome,
            cpu,
        }
    }

    /// Its guest ended before it was over.
    pub fn ended_by(&mut self, reason: &EndReason) {
        if self.outcome != "ok" {
            return;
        }
        self.outcome = reason.outcome();
        if let Some(trace) = &mut self.trace {
            trace.exception(&reason.failure());
        }
    }

    /// Books it on its Worker's account.
    pub fn account(&self) {
        let account = &self.handle.worker().account;
        account.invoked(self.event, self.wall);
    }

    /// In numbers.
    pub fn report(&self) -> InvocationReport<'_> {
        InvocationReport {
            worker: &self.handle.worker().name,
            root: &self.handle.worker().account.worker,
            entrypoint: &self.entrypoint,
            event: self.event,
            outcome: self.outcome,
            cpu: self.cpu,
            wall: self.wall,
        }
    }
}

impl Inbound {
    pub(super) fn is_of(&self, serial: u64) -> bool {
        let actor = self.invocation.as_ref().and_then(|it| it.actor.as_ref());
        actor.is_some_and(|actor| actor.serial == serial)
    }

    /// What counts against its limit.
    pub fn own_cpu(&self) -> Duration {
        let free = self.cpu_of_start.max(self.excused);
        self.cpu.saturating_sub(free)
    }

    /// Nothing happened to it yet.
    pub fn new(call: Arc<Call>, invocation: Option<Box<Invocation>>, keep: Option<Handle>) -> Self {
        Self {
            keep,
            call,
            returned: false,
            cpu: Duration::ZERO,
            heat: Duration::ZERO,
            cpu_of_start: Duration::ZERO,
            excused: Duration::ZERO,
            invocation,
        }
    }
}
