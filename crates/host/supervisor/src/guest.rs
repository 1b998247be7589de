//! One guest: its socket, the tables of what it may name, and its end.
//!
//! `State` is everything behind the guest's one lock: capabilities, streams, calls both ways, and
//! bytes on their way out. Whoever sends appends to the buffer under the lock, so a frame that
//! introduces a number is out before any frame that uses it. What frames mean stands in `relay`;
//! reading them off the socket in `inbox`.
//!
//! Invariant: after `end` the tables are empty, every caller has its outcome, every stream its last
//! word, and nothing can be sent any more.

use crate::abroad::Abroad;
use crate::actor::{ActorUse, Resident};
use crate::bounds::{
    COLLECT_BYTES, COLLECT_CAPS, HEAP_BYTES_DEFAULT, LOG_LINES_PER_SECOND_MAX, OUT_BYTES_BUSY,
    OUT_BYTES_MAX, STARTUP_CPU_DEFAULT, TRACES_HELD_MAX,
};
use crate::call::{Call, overloaded};
use crate::capability::{Capability, Handle};
use crate::ending::{EXIT_OUT_OF_MEMORY, EndReason};
use crate::gate::{Gate, Synced};
use crate::held::Room;
use crate::hub::{Chore, Hub};
use crate::link::Link;
use crate::lock::Mutex;
use crate::observe::{EventKind, InvocationReport};
use crate::out::Out;
use crate::process::Process;
use crate::socket::Socket;
use crate::trace::{SpanContext, Trace};
use crate::turn::Turn;
use crate::usage::Account;
use crate::worker::Worker;
use mayfly_wire::bounds::{ATTACHMENTS_MAX, CALLS_MAX, CAPS_MAX, MESSAGE_BYTES_MAX, STREAMS_MAX};
use mayfly_wire::{
    ActorId, CallId, CapId, ExportId, Failure, FailureKind, LENGTH_BYTES, StreamId, ToGuest, Wire,
    bytes_head, write_frame,
};
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Names a guest for the life of the host; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GuestId(pub u64);

/// See the file's head.
pub struct Guest {
    /// Its name.
    pub id: GuestId,
    /// It can have no executable memory.
    pub jitless: bool,
    /// What it belongs to.
    pub(crate) hub: Arc<Hub>,
    pub(crate) process: Arc<dyn Process>,
    state: Mutex<State>,
    /// Why it ended; set once, before the tables are taken.
    ended: OnceLock<EndReason>,
    /// Wakes the socket's task: bytes wait for room, or the guest has ended.
    pub(crate) wake: Notify,
    /// What the zygote said about its end.
    exit: Mutex<Option<EndReason>>,
    last_cpu: Mutex<LastCpu>,
    /// Bytes since they were last booked on the Worker's account.
    pub(crate) bytes_read: AtomicUsize,
    bytes_written: AtomicUsize,
    pub(crate) exit_told: Notify,
    /// Guests that hold objects of this one and must hear of its end.
    dependents: Mutex<HashSet<GuestId>>,
    /// Calls delivered and not `Done`.
    pub(crate) calls_in_flight: AtomicU32,
    /// References to its objects that others hold.
    pub(crate) exports_held: AtomicU32,
    /// Milliseconds of the hub's clock at the last call's begin or end.
    pub(crate) used_ms: AtomicU64,
    /// Bytes of its streams that nobody has read yet.
    pub(crate) unread: AtomicU64,
    /// Bytes it makes the host hold; see [`crate::held::Weight`].
    pub(crate) held_bytes: Arc<AtomicU64>,
    /// Bytes of the traces of its invocations.
    pub(crate) trace_bytes: Arc<AtomicU64>,
    /// Resident memory at the last look.
    pub(crate) memory_bytes: AtomicU64,
    /// Counted as live by the pool, under whose lock this changes.
    pub(crate) taken: AtomicBool,
    /// On the CPU watch's list.
    pub(crate) watched: AtomicBool,
    /// A frame has come since the last CPU tick.
    pub(crate) heard: AtomicBool,
    /// Calls it made that have no outcome yet.
    pub(crate) calls_waiting: AtomicU32,
    /// Bound to a core with another guest; `pairs` changes it.
    pub(crate) paired: AtomicBool,
    /// What it said after writes that are not durable yet.
    pub(crate) gate: Mutex<Gate>,
    pub(crate) synced: Synced,
}

/// What a process used between the last look at its clock and its end, once both the host and the
/// kernel have said theirs.
#[derive(Debug, Default)]
struct LastCpu {
    /// The account, and what was booked there.
    booked: Option<(Arc<Account>, Duration)>,
    /// What the kernel counted in all.
    all: Option<Duration>,
}

impl LastCpu {
    fn settle(&mut self) {
        if let (Some((account, booked)), Some(all)) = (&self.booked, self.all) {
            account.ran(all.saturating_sub(*booked));
            *self = Self::default();
        }
    }
}

/// What stands behind a guest's lock.
pub struct State {
    /// `false` after the end: nothing is sent or installed any more.
    pub alive: bool,
    out: Out,
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
    /// Where its global `fetch()` goes; what a dynamic Worker inherits.
    pub outbound: Option<Capability>,
    /// The call on whose behalf the guest says that it makes the next ones.
    pub acting: Option<CallId>,
    /// Subrequests that the last invocation left over: for what goes on after it.
    sub_requests_after: Option<u64>,
    /// CPU time at `Start`, until the main module has been evaluated.
    pub starting: Option<Duration>,
    /// CPU that this may take.
    pub startup_max: Duration,
    /// Memory that the Worker may have.
    pub memory_max: u64,
    /// Dynamic Workers that calls of this guest are at.
    pub abroad: Abroad,
    /// CPU time at the last look.
    pub cpu_seen: Duration,
    /// CPU used since a frame last came, while calls were in flight.
    pub cpu_silent: Duration,
    log_second: Option<Instant>,
    log_lines: u32,
    /// Capabilities and held bytes above which it is asked to collect garbage.
    collect_caps: usize,
    collect_bytes: u64,
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

/// A call delivered to a guest.
pub struct Inbound {
    /// The call.
    pub call: Arc<Call>,
    /// Its outcome has come; `Done` has not.
    pub returned: bool,
    /// Its share of the process's CPU time.
    pub cpu: Duration,
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
    fn is_of(&self, serial: u64) -> bool {
        let actor = self.invocation.as_ref().and_then(|it| it.actor.as_ref());
        actor.is_some_and(|actor| actor.serial == serial)
    }

    /// Nothing happened to it yet.
    pub fn new(call: Arc<Call>, invocation: Option<Box<Invocation>>, keep: Option<Handle>) -> Self {
        Self {
            keep,
            call,
            returned: false,
            cpu: Duration::ZERO,
            cpu_of_start: Duration::ZERO,
            excused: Duration::ZERO,
            invocation,
        }
    }
}

impl Guest {
    /// A guest behind `stream`. Without one its output is kept for [`Guest::take_output`].
    pub(crate) fn new(
        hub: &Arc<Hub>,
        stream: Option<Arc<Socket>>,
        process: Arc<dyn Process>,
        jitless: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            jitless,
            id: hub.next_guest_id(),
            hub: hub.clone(),
            process,
            state: Mutex::new(State::new(stream)),
            ended: OnceLock::new(),
            wake: Notify::new(),
            exit: Mutex::new(None),
            last_cpu: Mutex::new(LastCpu::default()),
            bytes_read: AtomicUsize::new(0),
            bytes_written: AtomicUsize::new(0),
            exit_told: Notify::new(),
            dependents: Mutex::new(HashSet::new()),
            calls_in_flight: AtomicU32::new(0),
            exports_held: AtomicU32::new(0),
            used_ms: AtomicU64::new(hub.now_ms()),
            unread: AtomicU64::new(0),
            held_bytes: Arc::default(),
            trace_bytes: Arc::default(),
            memory_bytes: AtomicU64::new(0),
            taken: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            heard: AtomicBool::new(false),
            calls_waiting: AtomicU32::new(0),
            paired: AtomicBool::new(false),
            gate: Mutex::default(),
            synced: Synced::default(),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Appends a frame; the caller marks the turn once it has let go of the lock.
    pub(crate) fn push<F: Wire>(self: &Arc<Self>, state: &mut State, frame: &F) {
        if !state.alive {
            return;
        }
        write_frame(frame, state.out.end());
        self.check_out(state);
    }

    /// Appends a frame and, ahead of it, what goes beside its payload.
    pub(crate) fn push_message(self: &Arc<Self>, state: &mut State, mut frame: ToGuest) {
        if !state.alive {
            return;
        }
        for bytes in frame.take_beside() {
            state.out.end().extend_from_slice(&bytes_head(bytes.len()));
            state.out.append(bytes);
        }
        self.push(state, &frame);
    }

    /// Appends what `encode` makes as one frame.
    pub(crate) fn push_raw(self: &Arc<Self>, state: &mut State, encode: impl FnOnce(&mut Vec<u8>)) {
        if !state.alive {
            return;
        }
        let out = state.out.end();
        let start = out.len();
        out.extend_from_slice(&[0; LENGTH_BYTES]);
        encode(out);
        let body_bytes = out.len() - start - LENGTH_BYTES;
        let length = u32::try_from(body_bytes).unwrap_or(u32::MAX);
        out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
        self.check_out(state);
    }

    fn check_out(self: &Arc<Self>, state: &mut State) {
        if state.out.waiting() > OUT_BYTES_MAX {
            // Locks are held here, so its end is a chore.
            self.doom(EndReason::NotReading);
        }
    }

    /// Appends a frame and marks the turn.
    pub(crate) fn send<F: Wire>(self: &Arc<Self>, turn: &mut Turn, frame: &F) {
        self.push(&mut self.lock(), frame);
        turn.mark(self);
    }

    /// Forgets a stream and tells the guest with `frame`.
    pub(crate) fn close_stream(self: &Arc<Self>, turn: &mut Turn, id: StreamId, frame: &ToGuest) {
        let mut state = self.lock();
        if matches!(frame, ToGuest::StreamCancel { .. }) {
            state.body_left(id);
        }
        let link = state.streams.remove(&id.0);
        self.push(&mut state, frame);
        drop(state);
        drop(link);
        turn.mark(self);
    }

    /// What it would have read as `from` goes on as `out`, through `link`. `false` if it has ended.
    pub(crate) fn passes_on(&self, from: StreamId, out: StreamId, link: &Arc<Link>) -> bool {
        let mut state = self.lock();
        let link = (Role::PassesOn, link.clone());
        let before = state.alive.then(|| {
            let read = state.streams.remove(&from.0);
            (read, state.streams.insert(out.0, link))
        });
        drop(state);
        before.is_some()
    }

    /// Writes what waits, as far as the socket takes it.
    pub(crate) fn flush(&self) {
        let (blocked, written) = self.lock().out.flush();
        self.bytes_written.fetch_add(written, Ordering::Relaxed);
        if blocked {
            self.wake.notify_one();
        }
    }

    /// The socket has room again.
    pub(crate) fn unblock(&self) {
        self.lock().out.unblock();
        self.flush();
    }

    /// Whether bytes wait for room.
    pub(crate) fn is_blocked(&self) -> bool {
        self.lock().out.is_blocked()
    }

    /// What was written to a guest that has no socket.
    pub fn take_output(&self) -> Vec<u8> {
        self.lock().out.take()
    }

    /// Tells the callee that its caller left.
    pub(crate) fn cancel_call(self: &Arc<Self>, turn: &mut Turn, call: CallId, reason: &str) {
        let mut state = self.lock();
        let under_way = state.calls_in.get_mut(&call.0);
        if let Some(inbound) = under_way {
            if let Some(invocation) = &mut inbound.invocation {
                // Whoever left after the response did not read it to its end.
                invocation.outcome = match inbound.returned {
                    true => "responseStreamDisconnected",
                    false => "canceled",
                };
            }
            let reason = reason.to_owned();
            self.push(&mut state, &ToGuest::Cancel { call, reason });
            drop(state);
            turn.mark(self);
        }
    }

    /// Books a delivered call.
    pub(crate) fn call_began(self: &Arc<Self>, state: &mut State, id: CallId, inbound: Inbound) {
        state.charge(self.process.cpu());
        state.calls_in.insert(id.0, inbound);
        self.note_use(state);
        self.hub.activity(self);
    }

    /// Books `Done`; `None` if there is no such call.
    pub(crate) fn call_done(&self, state: &mut State, id: CallId) -> Option<Inbound> {
        state.charge(self.process.cpu());
        let inbound = state.calls_in.remove(&id.0)?;
        if state.acting == Some(id) {
            state.acting = None;
        }
        if let Some(invocation) = &inbound.invocation {
            state.sub_requests_after = invocation.sub_requests_left;
        }
        if state.calls_in.is_empty() {
            state.cpu_silent = Duration::ZERO;
        }
        self.note_use(state);
        Some(inbound)
    }

    /// A WebSocket's message comes: as in Workers its limits begin anew, for whatever goes on here.
    pub(crate) fn excuse_cpu(&self) {
        let mut state = self.lock();
        state.charge(self.process.cpu());
        for inbound in state.calls_in.values_mut() {
            inbound.excused = inbound.cpu;
        }
    }

    fn note_use(&self, state: &State) {
        if let Some(worker) = &state.worker {
            self.book_bytes(&worker.account);
        }
        let count = u32::try_from(state.calls_in.len()).unwrap_or(u32::MAX);
        self.calls_in_flight.store(count, Ordering::SeqCst);
        self.used_ms.store(self.hub.now_ms(), Ordering::Relaxed);
    }

    fn book_bytes(&self, account: &Arc<Account>) {
        account.sent(self.bytes_written.swap(0, Ordering::Relaxed));
        account.received(self.bytes_read.swap(0, Ordering::Relaxed));
    }

    /// Books how many calls it waits for.
    pub(crate) fn note_waiting(&self, state: &State) {
        let count = u32::try_from(state.calls_out.len()).unwrap_or(u32::MAX);
        self.calls_waiting.store(count, Ordering::Relaxed);
    }

    /// Whether a call is in flight.
    pub(crate) fn is_busy(&self) -> bool {
        self.calls_in_flight.load(Ordering::SeqCst) > 0
    }

    /// `holder` has an object of this guest's. `false` if this guest has ended.
    pub(crate) fn add_dependent(&self, holder: GuestId) -> bool {
        self.dependents.lock().insert(holder);
        self.ended.get().is_none()
    }

    /// Why it ended, if it has.
    pub fn end_reason(&self) -> Option<&EndReason> {
        self.ended.get()
    }

    /// What callers of an ended guest hear.
    pub(crate) fn lost(&self) -> Failure {
        self.ended.get().unwrap_or(&EndReason::Closed).failure()
    }

    /// The zygote says how it ended, and what CPU the kernel counted for it.
    pub(crate) fn exited(&self, reason: EndReason, cpu: Duration) {
        let mut last = self.last_cpu.lock();
        last.all = Some(cpu);
        last.settle();
        drop(last);
        self.exit.lock().get_or_insert(reason);
        self.exit_told.notify_one();
    }

    pub(crate) fn exit_reason(&self) -> Option<EndReason> {
        self.exit.lock().clone()
    }

    /// Ends it soon: for callers that hold locks.
    pub(crate) fn doom(self: &Arc<Self>, reason: EndReason) {
        self.hub.chores.post(Chore::End {
            guest: self.clone(),
            reason,
        });
    }

    /// Ends it now. The caller holds no lock.
    pub fn end(self: &Arc<Self>, turn: &mut Turn, reason: EndReason) {
        let reason = match reason {
            EndReason::Exit(EXIT_OUT_OF_MEMORY) => {
                let limit = self.lock().memory_max;
                let used = self.memory_bytes.load(Ordering::Relaxed).max(limit);
                EndReason::ExceededMemory { used, limit }
            }
            reason => reason,
        };
        if self.ended.set(reason.clone()).is_err() {
            return;
        }
        let cpu = self.process.cpu();
        let memory_bytes = match self.is_taken() {
            true => self.process.memory_bytes(),
            false => None,
        };
        self.process.kill();
        let mut taken = self.lock().take();
        taken.charge(cpu);
        self.close_account(&taken, memory_bytes);
        self.calls_in_flight.store(0, Ordering::Release);
        if self.paired.load(Ordering::Relaxed) {
            self.hub.pairs.release();
        }
        self.wake.notify_one();
        let failure = reason.failure();
        if let Some(worker) = &taken.worker {
            worker.guest_ended(self);
        }
        self.hub
            .guest_ended(turn, self, taken.worker.as_deref(), &reason);
        *self.gate.lock() = Gate::default();
        for (_, Resident { actor, incarnation }) in taken.actors {
            actor.lost(turn, incarnation.serial, &failure);
        }
        for (_, inbound) in taken.calls_in {
            inbound.call.fail(turn, failure.clone());
            if let Some(invocation) = inbound.invocation {
                self.hub
                    .invocation_done(*invocation, inbound.cpu, Some(&reason));
            }
        }
        for (_, held) in taken.traces_held {
            self.hub.tell(held);
        }
        for (_, call) in taken.calls_out {
            call.cancel(turn, "the caller's process ended");
        }
        for (_, (role, link)) in taken.streams {
            match role {
                Role::Writes => link.abort(turn, failure.clone()),
                Role::Reads => link.cancel(turn, "the reader's process ended".to_owned()),
                Role::PassesOn => link.cut(turn, failure.clone()),
            }
        }
        for capability in taken.caps.values() {
            if let Capability::Object(object) = capability {
                object.guest.dependents.lock().remove(&self.id);
            }
        }
        drop(taken.caps);
        let dependents = std::mem::take(&mut *self.dependents.lock());
        for holder in dependents {
            if let Some(holder) = self.hub.guest(holder) {
                holder.break_objects_of(turn, self, &failure);
            }
        }
    }

    fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }

    fn close_account(&self, taken: &State, memory_bytes: Option<u64>) {
        let Some(worker) = &taken.worker else { return };
        let account = &worker.account;
        self.book_bytes(account);
        if let Some(bytes) = memory_bytes {
            account.weighed(self.hub.cost_of(bytes));
        }
        let mut last = self.last_cpu.lock();
        last.booked = Some((account.clone(), taken.cpu_seen));
        last.settle();
    }

    fn break_objects_of(self: &Arc<Self>, turn: &mut Turn, ended: &Arc<Self>, failure: &Failure) {
        let mut state = self.lock();
        let broken: Vec<u32> = state
            .caps
            .iter()
            .filter(|(_, capability)| {
                matches!(capability, Capability::Object(object) if Arc::ptr_eq(&object.guest, ended))
            })
            .map(|(slot, _)| *slot)
            .collect();
        for slot in broken {
            let frame = ToGuest::CapBroken {
                cap: CapId(slot),
                failure: failure.clone(),
            };
            self.push(&mut state, &frame);
        }
        drop(state);
        turn.mark(self);
    }

    /// Asks it to collect garbage where it has taken on much since it last gave some back.
    pub(crate) fn collect_if_due(self: &Arc<Self>, state: &mut State) {
        let caps = state.caps.len();
        let bytes = self.held_bytes.load(Ordering::Relaxed);
        // Follows what is given back, so that a guest that needs much is not asked all the time.
        state.collect_caps = state.collect_caps.min(caps + COLLECT_CAPS);
        state.collect_bytes = state.collect_bytes.min(bytes + COLLECT_BYTES);
        if caps >= state.collect_caps || bytes >= state.collect_bytes {
            state.collect_caps = caps + COLLECT_CAPS;
            state.collect_bytes = bytes + COLLECT_BYTES;
            self.push(state, &ToGuest::Collect {});
        }
    }

    /// One reference to an object of this guest's was dropped.
    pub(crate) fn release_export(self: &Arc<Self>, turn: &mut Turn, export: ExportId) {
        self.exports_held.fetch_sub(1, Ordering::Relaxed);
        self.send(turn, &ToGuest::ReleaseExport { export, count: 1 });
    }
}

impl State {
    fn new(stream: Option<Arc<Socket>>) -> Self {
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
            outbound: None,
            acting: None,
            sub_requests_after: None,
            starting: None,
            startup_max: STARTUP_CPU_DEFAULT,
            memory_max: HEAP_BYTES_DEFAULT,
            abroad: Abroad::default(),
            cpu_seen: Duration::ZERO,
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
    fn body_left(&mut self, id: StreamId) {
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
    fn take(&mut self) -> Self {
        let mut dead = Self::new(None);
        dead.alive = false;
        dead.next_cap = self.next_cap;
        dead.next_stream = self.next_stream;
        dead.next_call = self.next_call;
        dead.next_actor = self.next_actor;
        std::mem::replace(self, dead)
    }

    /// Shares the process's CPU time since the last look among the calls in flight.
    pub fn charge(&mut self, now: Option<Duration>) {
        let Some(now) = now else { return };
        let used = now.saturating_sub(self.cpu_seen);
        self.cpu_seen = now;
        if let Some(worker) = &self.worker
            && !used.is_zero()
        {
            worker.account.ran(used);
        }
        let calls = u32::try_from(self.calls_in.len()).unwrap_or(u32::MAX);
        if calls == 0 || used.is_zero() {
            return;
        }
        self.cpu_silent += used;
        let share = used / calls;
        for inbound in self.calls_in.values_mut() {
            inbound.cpu += share;
        }
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
        self.log_lines <= LOG_LINES_PER_SECOND_MAX
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guest({})", self.id.0)
    }
}
