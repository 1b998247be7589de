//! The tables behind a guest's one lock: what its numbers mean, and what it may still use.
//!
//! Nothing here sends: frames are appended by [`super::Guest`], which also takes the lock.
//!
//! Invariant: a number means one thing at a time, and none of the host's is given twice at once.

use super::{HeldTrace, Inbound, Invocation};
use crate::abroad::Abroad;
use crate::actor::Resident;
use crate::bounds::{
    COLLECT_BYTES, COLLECT_CAPS, COOLING, DYNAMIC_LOG_LINES_PER_SECOND_MAX, HEAP_BYTES_DEFAULT,
    LOG_LINES_PER_SECOND_MAX, OUT_BYTES_BUSY, PATIENT_CPU, STARTUP_CPU_DEFAULT, TRACES_HELD_MAX,
};
use crate::call::{Call, overloaded};
use crate::capability::Capability;
use crate::held::Room;
use crate::link::Link;
use crate::out::Out;
use crate::socket::Socket;
use crate::trace::{SpanContext, Trace};
use crate::worker::Worker;
use mayfly_wire::bounds::{ATTACHMENTS_MAX, CALLS_MAX, CAPS_MAX, MESSAGE_BYTES_MAX, STREAMS_MAX};
use mayfly_wire::{ActorId, Blob, CallId, CapId, Failure, FailureKind, StreamId};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What stands behind a guest's lock.
pub struct State {
    /// `false` after the end: nothing is sent or installed any more.
    pub alive: bool,
    pub(super) out: Out,
    /// What its capability numbers mean.
    pub caps: HashMap<u32, Capability>,
    next_cap: u32,
    /// Open streams.
    pub streams: HashMap<u32, (Role, Arc<Link>)>,
    next_stream: u32,
    stream_seen_max: u32,
    host_ids_wrapped: bool,
    /// Calls it made, until their outcome is sent.
    pub calls_out: HashMap<u32, Arc<Call>>,
    /// Calls delivered to it, until `Done`.
    pub calls_in: HashMap<u32, Inbound>,
    /// Traces of invocations that are done, whose objects are held.
    pub traces_held: HashMap<u32, HeldTrace>,
    /// The next call and the span that it is made in.
    pub call_from: Option<(CallId, SpanContext)>,
    next_call: u32,
    /// Instances of Durable Objects in it.
    pub actors: HashMap<u32, Resident>,
    next_actor: u32,
    /// Its Worker, from `Start` on.
    pub worker: Option<Arc<Worker>>,
    /// It has no Worker, but compiles a module for whoever waits here.
    pub compiling: Option<oneshot::Sender<Blob>>,
    /// Where its global `fetch()` goes; what a dynamic Worker inherits.
    pub outbound: Option<Capability>,
    /// The call on whose behalf the guest says that it makes the next ones.
    pub acting: Option<CallId>,
    /// Subrequests that the last invocation left over: for what goes on after it.
    pub(super) sub_requests_after: Option<u64>,
    /// CPU time at `Start`, until the main module has been evaluated.
    pub starting: Option<Duration>,
    /// CPU that this may take.
    pub startup_max: Duration,
    /// Memory that the Worker may have.
    pub memory_max: u64,
    /// Dynamic Workers that calls of this guest are at.
    pub abroad: Abroad,
    /// It was told to stay awake between calls.
    pub awake: bool,
    /// CPU time at the last look.
    pub cpu_seen: Duration,
    /// When that was.
    cpu_seen_at: Instant,
    /// Of what it used since, by being awake.
    excused: Duration,
    /// CPU used since a frame last came, while calls were in flight.
    pub cpu_silent: Duration,
    log_second: Option<Instant>,
    log_lines: u32,
    /// Capabilities and held bytes above which it is asked to collect garbage.
    pub(super) collect_caps: usize,
    pub(super) collect_bytes: u64,
    /// What came beside a payload that has not come yet.
    beside: VecDeque<Vec<u8>>,
    beside_bytes: usize,
}

/// Which end of a stream the guest has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The guest writes.
    Writes,
    /// The guest reads.
    Reads,
    /// The guest said that it would write, and passes on what another writes: see [`Link::join`].
    PassesOn,
}

impl State {
    pub(super) fn new(stream: Option<Arc<Socket>>) -> Self {
        Self {
            alive: true,
            out: Out::new(stream),
            caps: HashMap::new(),
            next_cap: 2,
            streams: HashMap::new(),
            next_stream: 2,
            stream_seen_max: 0,
            host_ids_wrapped: false,
            calls_out: HashMap::new(),
            calls_in: HashMap::new(),
            traces_held: HashMap::new(),
            call_from: None,
            next_call: 1,
            actors: HashMap::new(),
            next_actor: 1,
            worker: None,
            compiling: None,
            outbound: None,
            acting: None,
            sub_requests_after: None,
            starting: None,
            startup_max: STARTUP_CPU_DEFAULT,
            memory_max: HEAP_BYTES_DEFAULT,
            abroad: Abroad::default(),
            awake: false,
            cpu_seen: Duration::ZERO,
            excused: Duration::ZERO,
            cpu_seen_at: Instant::now(),
            cpu_silent: Duration::ZERO,
            log_second: None,
            log_lines: 0,
            collect_caps: COLLECT_CAPS,
            collect_bytes: COLLECT_BYTES,
            beside: VecDeque::new(),
            beside_bytes: 0,
        }
    }

    /// Keeps bytes that belong beside a payload to come. `false` where no payload may have so many.
    pub fn beside(&mut self, bytes: Vec<u8>) -> bool {
        self.beside_bytes += bytes.len();
        self.beside.push_back(bytes);
        self.beside_bytes <= MESSAGE_BYTES_MAX && self.beside.len() <= ATTACHMENTS_MAX
    }

    /// The first of what came beside the payload that is looked at.
    pub fn take_beside(&mut self) -> Option<Vec<u8>> {
        let bytes = self.beside.pop_front()?;
        self.beside_bytes -= bytes.len();
        Some(bytes)
    }

    /// Nobody reads this stream any more. If it is a response's body, its reader left early.
    pub(super) fn body_left(&mut self, id: StreamId) {
        let invocations = self
            .calls_in
            .values_mut()
            .filter_map(|inbound| inbound.invocation.as_mut());
        for invocation in invocations {
            if invocation.body == Some(id) && invocation.outcome == "ok" {
                invocation.outcome = "responseStreamDisconnected";
            }
        }
    }

    /// The trace that what happens under a call's number belongs to.
    pub fn trace(&mut self, call: CallId) -> Option<&mut Trace> {
        let inbound = self.calls_in.get_mut(&call.0);
        let trace = match inbound.and_then(|inbound| inbound.invocation.as_mut()) {
            Some(invocation) => invocation.trace.as_mut(),
            None => self.traces_held.get_mut(&call.0)?.trace.as_mut(),
        };
        trace.map(|trace| &mut **trace)
    }

    /// Keeps the trace of a call that is done; gives one back where there are too many.
    pub fn hold_trace(&mut self, call: CallId, held: HeldTrace) -> Option<HeldTrace> {
        if self.traces_held.len() >= TRACES_HELD_MAX {
            return Some(held);
        }
        self.traces_held.insert(call.0, held)
    }

    /// Leaves a dead guest's state behind and gives what it held.
    pub(super) fn take(&mut self) -> Self {
        let mut dead = Self::new(None);
        dead.alive = false;
        dead.next_cap = self.next_cap;
        dead.next_stream = self.next_stream;
        dead.next_call = self.next_call;
        dead.next_actor = self.next_actor;
        std::mem::replace(self, dead)
    }

    /// A guest that stays awake between calls has another: what it used meanwhile, `awake_max` at most, is the
    /// host's doing and nobody's bill. It need not be read from its clock, for it had nothing else to do.
    pub fn excuse_awake(&mut self, awake_max: Duration) {
        let now = Instant::now();
        self.excused = now.duration_since(self.cpu_seen_at).min(awake_max);
        self.cpu_seen_at = now;
    }

    /// Shares the process's CPU time since the last look among the calls in flight.
    pub fn charge(&mut self, now: Option<Duration>) {
        let Some(now) = now else { return };
        let used = now.saturating_sub(self.cpu_seen);
        let used = used.saturating_sub(std::mem::take(&mut self.excused));
        self.cpu_seen = now;
        let at = Instant::now();
        let cooled = at.duration_since(self.cpu_seen_at) / COOLING;
        self.cpu_seen_at = at;
        if let Some(worker) = &self.worker
            && !used.is_zero()
        {
            worker.account.ran(used);
        }
        let calls = u32::try_from(self.calls_in.len()).unwrap_or(u32::MAX);
        if calls == 0 {
            return;
        }
        self.cpu_silent += used;
        let share = used / calls;
        for inbound in self.calls_in.values_mut() {
            inbound.cpu += share;
            inbound.heat = inbound.heat.saturating_sub(cooled) + share;
        }
    }

    /// Shares CPU that the host used for it among the calls in flight: what a query costs is its
    /// Worker's, wherever it runs.
    pub fn charge_for_question(&mut self, used: Duration) {
        if let Some(worker) = &self.worker {
            worker.account.ran(used);
        }
        let calls = u32::try_from(self.calls_in.len()).unwrap_or(u32::MAX);
        for inbound in self.calls_in.values_mut() {
            inbound.cpu += used / calls;
            inbound.heat += used / calls;
        }
    }

    /// What the call that has the least left may still use.
    pub fn cpu_left(&self) -> Option<Duration> {
        let left = self.calls_in.values().filter_map(|inbound| {
            let limit = inbound.invocation.as_ref()?.cpu_max?;
            Some(limit.saturating_sub(inbound.own_cpu()))
        });
        left.min()
    }

    /// Whether all that is under way computes for long, so that it may wait for what does not. A
    /// Worker that answers many is none of those, however busy: each of its calls uses little.
    pub fn is_patient(&self) -> bool {
        let coolest = self.calls_in.values().map(|inbound| inbound.heat).min();
        self.cpu_silent > PATIENT_CPU || coolest.is_some_and(|heat| heat > PATIENT_CPU)
    }

    /// The main module was evaluated, with the CPU used so far.
    pub fn started(&mut self, now: Option<Duration>) {
        self.charge(now);
        if self.starting.take().is_none() {
            return;
        }
        self.cpu_silent = Duration::ZERO;
        for inbound in self.calls_in.values_mut() {
            inbound.cpu_of_start = inbound.cpu;
        }
    }

    /// Says how an invocation under way will have ended.
    pub fn set_outcome(&mut self, id: CallId, outcome: &'static str) {
        let inbound = self.calls_in.get_mut(&id.0);
        if let Some(invocation) = inbound.and_then(|inbound| inbound.invocation.as_mut()) {
            invocation.outcome = outcome;
        }
    }

    /// Takes one subrequest off whoever makes it; where none is left, how many there were.
    ///
    /// The guest says which invocation it acts for, and may lie: then it spends another's, and all of
    /// them together no more than they have.
    pub fn spend_sub_request(&mut self) -> Result<(), u64> {
        let claimed = self.acting.map(|call| call.0);
        let mut invocations: Vec<(u32, &mut Invocation)> = self
            .calls_in
            .iter_mut()
            .filter_map(|(id, inbound)| Some((*id, inbound.invocation.as_deref_mut()?)))
            .collect();
        let (left, max) = match invocations.len() {
            // What an invocation started goes on after it, at its expense.
            0 => (&mut self.sub_requests_after, 0),
            _ => {
                let chosen = invocations
                    .iter()
                    .position(|(id, _)| Some(*id) == claimed)
                    .or_else(|| {
                        let left = |one: &Invocation| one.sub_requests_left.unwrap_or(u64::MAX);
                        let indexes = 0..invocations.len();
                        indexes.max_by_key(|index| left(&*invocations[*index].1))
                    })
                    .unwrap_or(0);
                let (_, invocation) = invocations.swap_remove(chosen);
                let max = u64::from(invocation.sub_requests_max.unwrap_or(0));
                (&mut invocation.sub_requests_left, max)
            }
        };
        match left {
            None => Ok(()),
            Some(0) => Err(max),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    /// Why a call cannot be delivered now, if so.
    pub fn refuse_call(&self, room: Room) -> Option<Failure> {
        if self.calls_in.len() >= CALLS_MAX {
            return Some(overloaded("calls are under way in this Worker"));
        }
        if self.out.waiting() + room.bytes > OUT_BYTES_BUSY {
            return Some(overloaded("bytes wait for this Worker"));
        }
        self.refuse_room(room)
    }

    /// Why a value does not fit into the tables, if so.
    pub fn refuse_room(&self, room: Room) -> Option<Failure> {
        let what = if self.caps.len() + room.caps > CAPS_MAX {
            "stubs are held by this Worker"
        } else if self.streams.len() + room.streams > STREAMS_MAX {
            "streams are open in this Worker"
        } else {
            return None;
        };
        Some(Failure::new(
            FailureKind::Limit {},
            "Error",
            format!("too many {what}"),
        ))
    }

    /// A number for a call into this guest.
    pub fn next_call_id(&mut self) -> CallId {
        loop {
            let id = self.next_call;
            self.next_call = self.next_call.wrapping_add(1).max(1);
            if !self.calls_in.contains_key(&id) && !self.traces_held.contains_key(&id) {
                return CallId(id);
            }
        }
    }

    /// A number for an instance; never used again.
    pub fn next_actor_id(&mut self) -> ActorId {
        let id = self.next_actor;
        self.next_actor = self.next_actor.saturating_add(1);
        ActorId(id)
    }

    /// Numbers of the calls under way in an instance.
    pub fn call_ids_of(&self, serial: u64) -> impl Iterator<Item = u32> {
        self.calls_in
            .iter()
            .filter(move |(_, inbound)| inbound.is_of(serial))
            .map(|(id, _)| *id)
    }

    /// The calls under way in an instance.
    pub fn calls_of(&self, serial: u64) -> impl Iterator<Item = Arc<Call>> {
        self.calls_in
            .values()
            .filter(move |inbound| inbound.is_of(serial))
            .map(|inbound| inbound.call.clone())
    }

    /// Puts a capability into a slot of the host's choice.
    pub fn install(&mut self, capability: Capability) -> CapId {
        loop {
            let id = self.next_cap;
            self.next_cap = self.next_cap.wrapping_add(2).max(2);
            if let std::collections::hash_map::Entry::Vacant(slot) = self.caps.entry(id) {
                slot.insert(capability);
                return CapId(id);
            }
        }
    }

    /// Opens a stream under a number of the host's choice.
    pub fn open_stream(&mut self, role: Role, link: Arc<Link>) -> StreamId {
        loop {
            let id = self.next_stream;
            self.next_stream = self.next_stream.wrapping_add(2);
            if self.next_stream < 2 {
                self.next_stream = 2;
                self.host_ids_wrapped = true;
            }
            if let std::collections::hash_map::Entry::Vacant(entry) = self.streams.entry(id) {
                entry.insert((role, link));
                return StreamId(id);
            }
        }
    }

    /// Opens a stream under a number of the guest's choice; `false` if it may not have that one.
    pub fn open_guest_stream(&mut self, id: StreamId, role: Role, link: Arc<Link>) -> bool {
        if id.0.is_multiple_of(2) || self.streams.contains_key(&id.0) {
            return false;
        }
        self.stream_seen_max = self.stream_seen_max.max(id.0);
        self.streams.insert(id.0, (role, link));
        true
    }

    /// Whether the guest may be answering a stream that the host has just closed.
    pub fn stream_was_known(&self, id: StreamId) -> bool {
        if id.0 % 2 == 1 {
            id.0 <= self.stream_seen_max
        } else {
            id.0 >= 2 && (self.host_ids_wrapped || id.0 < self.next_stream)
        }
    }

    /// Whether one more log line may pass now.
    pub fn log_allowed(&mut self, now: Instant) -> bool {
        let fresh = self
            .log_second
            .is_none_or(|second| now.duration_since(second) >= Duration::from_secs(1));
        if fresh {
            self.log_second = Some(now);
            self.log_lines = 0;
        }
        self.log_lines = self.log_lines.saturating_add(1);
        self.log_lines <= self.log_lines_max()
    }

    /// Whether it writes more lines than are printed, by a second's worth of them.
    pub fn floods_logs(&self) -> bool {
        self.log_lines > self.log_lines_max().saturating_mul(2)
            && self
                .log_second
                .is_some_and(|second| second.elapsed() < Duration::from_secs(1))
    }

    fn log_lines_max(&self) -> u32 {
        let dynamic = self.worker.as_ref().is_some_and(|one| one.is_dynamic());
        match dynamic {
            true => DYNAMIC_LOG_LINES_PER_SECOND_MAX,
            false => LOG_LINES_PER_SECOND_MAX,
        }
    }
}
