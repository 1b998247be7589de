//! One guest: what is sent to it, what is booked for it, and its end.
//!
//! `state` is everything behind the guest's one lock: capabilities, streams, calls both ways, and
//! bytes on their way out; `invocation` what was delivered. Whoever sends appends to the buffer under
//! the lock, so a frame that introduces a number is out before any frame that uses it. What frames mean
//! stands in `relay`; reading them in `reader`.
//!
//! Invariant: after `end` the tables are empty, every caller has its outcome, every stream its last
//! word, and nothing can be sent any more.

mod invocation;
mod state;

pub use invocation::{HeldTrace, Inbound, Invocation};
pub use state::{Role, State};

use crate::actor::Resident;
use crate::bounds::{COLLECT_BYTES, COLLECT_CAPS, EGRESS_AT_ONCE_MAX, OUT_BYTES_MAX};
use crate::ending::{EXIT_OUT_OF_MEMORY, EndReason};
use crate::gate::{Gate, Synced};
use crate::hub::{Chore, Hub};
use crate::link::Link;
use crate::lock::Mutex;
use crate::process::Process;
use crate::reader::Reading;
use crate::socket::Socket;
use crate::turn::Turn;
use crate::usage::Account;
use mayfly_wire::{
    CallId, CapId, ExportId, Failure, LENGTH_BYTES, StreamId, ToGuest, Wire, bytes_head,
    write_frame,
};
use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};

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
    /// Its Worker's, from `Start` on.
    pub(crate) account: OnceLock<Arc<Account>>,
    /// For what it has under way outside of this host.
    pub(crate) egress_places: Arc<Semaphore>,
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
    /// Bytes of streams that wait for it to read them.
    pub(crate) unasked: AtomicU64,
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
    /// It computes for long and gives way to others; the CPU watch changes it.
    pub(crate) patient: AtomicBool,
    /// It has answered, which the kernel was told of.
    pub(crate) settled: AtomicBool,
    /// Bound to a core with another guest; `pairs` changes it.
    pub(crate) paired: AtomicBool,
    /// It is to stay awake between calls; `pairs` changes it, and it hears so with the next call.
    pub(crate) awake: AtomicBool,
    /// How far it has been read.
    pub(crate) reading: Mutex<Reading>,
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
            account: OnceLock::new(),
            egress_places: Arc::new(Semaphore::new(EGRESS_AT_ONCE_MAX)),
            bytes_read: AtomicUsize::new(0),
            bytes_written: AtomicUsize::new(0),
            exit_told: Notify::new(),
            dependents: Mutex::new(HashSet::new()),
            calls_in_flight: AtomicU32::new(0),
            exports_held: AtomicU32::new(0),
            used_ms: AtomicU64::new(hub.now_ms()),
            unread: AtomicU64::new(0),
            unasked: AtomicU64::new(0),
            held_bytes: Arc::default(),
            trace_bytes: Arc::default(),
            memory_bytes: AtomicU64::new(0),
            taken: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            heard: AtomicBool::new(false),
            calls_waiting: AtomicU32::new(0),
            patient: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            paired: AtomicBool::new(false),
            awake: AtomicBool::new(false),
            reading: Mutex::default(),
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

    /// Says whether to stay awake, where that is news.
    pub(crate) fn tell_awake(self: &Arc<Self>, state: &mut State) {
        let awake = self.awake.load(Ordering::Relaxed);
        if awake == state.awake {
            return;
        }
        state.awake = awake;
        let us = match awake {
            true => self.hub.pairs.awake_max().as_micros(),
            false => 0,
        };
        let us = u32::try_from(us).unwrap_or(u32::MAX);
        self.push(state, &ToGuest::StayAwake { us });
    }

    /// What is sent to it goes through its mailbox while it listens there.
    pub(crate) fn use_mailbox(&self) {
        if let Some(mailbox) = self.process.mailbox() {
            self.lock().out.use_mailbox(mailbox);
        }
    }

    pub(crate) fn socket(&self) -> Option<Arc<Socket>> {
        self.lock().out.socket()
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
        match state.awake && state.calls_in.is_empty() {
            true => state.excuse_awake(self.hub.pairs.awake_max()),
            false => state.charge(self.process.cpu()),
        }
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

    /// From here on its CPU is on an account although it becomes no Worker; booked when it has ended.
    pub(crate) fn bill(&self, account: Arc<Account>) {
        let before = self.process.cpu().unwrap_or_default();
        self.last_cpu.lock().booked = Some((account, before));
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
            if let Some(object) = capability.object() {
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
                let object = capability.object();
                object.is_some_and(|object| Arc::ptr_eq(&object.guest, ended))
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

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guest({})", self.id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Meter;

    #[test]
    fn what_was_used_before_the_bill_is_nobodys() {
        let meter = Meter::new(true);
        let account = meter.account(&Arc::from("front"), "a");
        let mut last = LastCpu {
            booked: Some((account, Duration::from_millis(3))),
            all: None,
        };
        last.settle();
        assert_eq!(meter.drain(), []);
        last.all = Some(Duration::from_millis(10));
        last.settle();
        last.settle();
        let [used] = meter.drain().try_into().unwrap();
        assert_eq!(used.cpu, Duration::from_millis(7));
        assert_eq!(meter.drain(), []);
    }
}
