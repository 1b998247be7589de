//! A Worker: what was deployed or loaded, whether or not a guest runs it now.
//!
//! Its phase goes Cold, (Loading: a callback gives the code), Forking, Live, and back to Cold when the
//! guest ends, whatever the reason; the next call starts it afresh. `Start` and the first `Invoke`
//! leave in one write, without waiting for `Started`. Choosing a guest is `pool`'s business, ending
//! idle ones `evict`'s.
//!
//! Invariant: at most one guest runs a Worker, and a call waits in exactly one place.

mod deliver;
mod fetch;
mod start;

use crate::actor::Actor;
use crate::bounds::{LOADER_DEPTH_MAX, WORKER_QUEUE_MAX};
use crate::caches::CacheOwner;
use crate::call::{Call, overloaded};
use crate::capability::{Handle, HandleInner, ServiceCap};
use crate::code::Code;
use crate::ending::EndReason;
use crate::guest::Guest;
use crate::held::HeldEvent;
use crate::hub::Hub;
use crate::loader::CacheKey;
use crate::lock::Mutex;
use crate::policy::{Caps, Policy};
use crate::stored::FLAG;
use crate::trace::Tails;
use crate::turn::Turn;
use crate::usage::Account;
use mayfly_wire::{Entrypoint, Failure, FailureKind, Limits};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

/// Names a Worker for the life of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u64);

/// Where a Worker's code comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The operator's configuration.
    Configured,
    /// `load(code)`: the code is kept while the stub lives.
    Loaded,
    /// `get(null, callback)`.
    Unnamed,
    /// `get(id, callback)`.
    Named(CacheKey),
}

/// See the file's head.
pub struct Worker {
    /// Its name for the life of the host.
    pub id: WorkerId,
    /// Its name for people.
    pub name: String,
    /// Where its code comes from.
    pub origin: Origin,
    /// Loaders above it.
    pub depth: u32,
    /// What these impose on it.
    pub policy: Policy,
    /// Where what it uses is counted.
    pub(crate) account: Arc<Account>,
    /// Whose `caches` it has.
    pub caches: CacheOwner,
    pub(crate) hub: Arc<Hub>,
    handle: OnceLock<Weak<HandleInner>>,
    /// Of a configured Worker: those that take its further objects. See [`crate::placement`].
    siblings: Mutex<Vec<Arc<Worker>>>,
    /// Whether its code has `stored::FLAG`.
    flagged: AtomicBool,
    /// Somebody named it as a tail.
    pub(crate) is_tail: AtomicBool,
    state: Mutex<WorkerState>,
}

struct WorkerState {
    phase: Phase,
    /// Kept by Configured and Loaded; otherwise only until a guest has it.
    code: Option<Arc<Code>>,
    /// Of the code last started; outlive it.
    limits: Limits,
    caps: Caps,
    tails: Arc<Tails>,
    entrypoints: Arc<[Entrypoint]>,
    /// Nothing refers to it any more: it never starts again.
    released: bool,
}

enum Phase {
    Cold,
    /// A callback was asked for the code.
    Loading(Vec<PendingInvoke>),
    /// A guest was asked for.
    Forking(Vec<PendingInvoke>),
    Live(Arc<Guest>),
}

/// An event for an entrypoint, on its way.
#[derive(Debug)]
pub struct PendingInvoke {
    /// The call.
    pub call: Arc<Call>,
    /// Through which capability it came; of a Durable Object its class.
    pub service: Arc<ServiceCap>,
    /// The Durable Object that it is for.
    pub actor: Option<Arc<Actor>>,
    /// What is to be delivered.
    pub event: HeldEvent,
    /// Keeps the Worker while it waits.
    pub handle: Handle,
}

impl Worker {
    /// A cold Worker and the first handle to it.
    #[expect(clippy::too_many_arguments, reason = "each is a fact about the Worker")]
    pub(crate) fn create(
        hub: &Arc<Hub>,
        name: String,
        origin: Origin,
        depth: u32,
        code: Option<Arc<Code>>,
        policy: Policy,
        account: Arc<Account>,
        caches: CacheOwner,
    ) -> Handle {
        let policy_caps = policy.caps.clone();
        let worker = Arc::new(Self {
            id: hub.next_worker_id(),
            name,
            origin,
            depth,
            policy,
            account,
            caches,
            hub: hub.clone(),
            handle: OnceLock::new(),
            siblings: Mutex::new(Vec::new()),
            flagged: AtomicBool::new(false),
            is_tail: AtomicBool::new(false),
            state: Mutex::new(WorkerState {
                phase: Phase::Cold,
                code: None,
                limits: Limits::NONE,
                caps: policy_caps,
                tails: Arc::default(),
                entrypoints: Arc::from([]),
                released: false,
            }),
        });
        if let Some(code) = code {
            worker.note_flag(&code);
            worker.state.lock().set_code(code);
        }
        let handle = Handle::new(worker.clone(), hub.chores.clone());
        // Just made, so it is empty.
        let _ = worker.handle.set(handle.downgrade());
        handle
    }

    /// Whether it was loaded by another Worker.
    pub fn is_dynamic(&self) -> bool {
        self.origin != Origin::Configured
    }

    /// A further handle. One that lives by its stubs alone gives none once the last was dropped.
    pub fn handle(self: &Arc<Self>) -> Option<Handle> {
        let inner = self.handle.get().and_then(Weak::upgrade);
        match (inner, &self.origin) {
            (Some(inner), _) => Some(Handle::from_inner(inner)),
            (None, Origin::Configured | Origin::Named(_)) => {
                Some(Handle::new(self.clone(), self.hub.chores.clone()))
            }
            (None, Origin::Loaded | Origin::Unnamed) => None,
        }
    }

    /// Whether stubs of this Worker may be stored; see `stored`. Takes no lock.
    pub(crate) fn lets_stubs_be_stored(&self) -> bool {
        !self.is_dynamic() && self.has_flag()
    }

    /// Whether its code, as far as that was ever known, has `stored::FLAG`.
    pub(crate) fn has_flag(&self) -> bool {
        self.flagged.load(Ordering::Relaxed)
    }

    fn note_flag(&self, code: &Code) {
        let flagged = code.compatibility_flags.iter().any(|flag| flag == FLAG);
        self.flagged.store(flagged, Ordering::Relaxed);
    }

    /// Replaces the code of a configured Worker that has not started.
    pub(crate) fn configure(&self, code: Arc<Code>) {
        self.note_flag(&code);
        self.state.lock().set_code(code);
    }

    /// Gives up the code, what it is bound to and its tails: it never starts again.
    pub(crate) fn unconfigure(&self) {
        let (code, tails) = {
            let mut state = self.state.lock();
            state.released = true;
            (state.code.take(), std::mem::take(&mut state.tails))
        };
        // Outside the lock: dropping them may lead back to this Worker.
        drop((code, tails));
        let siblings = std::mem::take(&mut *self.siblings.lock());
        for sibling in siblings {
            sibling.unconfigure();
        }
    }

    /// Those that take its further objects.
    pub(crate) fn siblings(&self) -> Vec<Arc<Self>> {
        self.siblings.lock().clone()
    }

    /// One more of them, unless there are enough.
    pub(crate) fn new_sibling(&self) -> Option<Arc<Self>> {
        let code = {
            let state = self.state.lock();
            state.code.clone().filter(|_| !state.released)?
        };
        let mut siblings = self.siblings.lock();
        if siblings.len() + 1 >= self.hub.options.actor_guests_max {
            return None;
        }
        let made = Self::create(
            &self.hub,
            self.name.clone(),
            Origin::Configured,
            self.depth,
            Some(code),
            self.policy.clone(),
            self.account.clone(),
            self.caches.clone(),
        );
        let sibling = made.worker().clone();
        siblings.push(sibling.clone());
        Some(sibling)
    }

    /// Its entrypoints, as its guest last told.
    pub fn entrypoints(&self) -> Arc<[Entrypoint]> {
        self.state.lock().entrypoints.clone()
    }

    /// The guest that runs it now.
    pub fn guest(&self) -> Option<Arc<Guest>> {
        match &self.state.lock().phase {
            Phase::Live(guest) => Some(guest.clone()),
            Phase::Cold | Phase::Loading(_) | Phase::Forking(_) => None,
        }
    }

    /// Delivers an event, starting the Worker where it does not run.
    pub fn dispatch(self: &Arc<Self>, turn: &mut Turn, mut pending: PendingInvoke) {
        // A guest may end between the look and the delivery; then the Worker is cold again.
        for _ in 0..3 {
            let mut state = self.state.lock();
            match &mut state.phase {
                Phase::Live(guest) => {
                    let guest = guest.clone();
                    let limits = state.limits.clone();
                    let caps = state.caps.clone();
                    let tails = state.tails.clone();
                    drop(state);
                    match self.deliver(turn, &guest, pending, &limits, &caps, &tails) {
                        Ok(()) => return,
                        Err(back) => pending = back,
                    }
                    self.forget(&guest);
                }
                Phase::Loading(waiting) | Phase::Forking(waiting) => {
                    if waiting.len() < WORKER_QUEUE_MAX {
                        waiting.push(pending);
                        return;
                    }
                    drop(state);
                    let failure = overloaded("calls wait for this Worker to start");
                    pending.call.fail(turn, failure);
                    return;
                }
                Phase::Cold => {
                    self.wake(turn, state, pending);
                    return;
                }
            }
        }
        pending.call.fail(turn, EndReason::Closed.failure());
    }

    fn wake(self: &Arc<Self>, turn: &mut Turn, mut state: Locked<'_>, pending: PendingInvoke) {
        if state.released {
            drop(state);
            pending.call.fail(turn, EndReason::Released.failure());
            return;
        }
        if self.depth > LOADER_DEPTH_MAX {
            drop(state);
            pending.call.fail(turn, too_deep());
            return;
        }
        if state.code.is_some() {
            self.fork(turn, state, vec![pending]);
            return;
        }
        let Some(callback) = pending.service.callback.clone() else {
            drop(state);
            pending.call.fail(turn, EndReason::Evicted.failure());
            return;
        };
        state.phase = Phase::Loading(vec![pending]);
        drop(state);
        self.ask_for_code(turn, &callback);
    }

    fn forget(&self, guest: &Arc<Guest>) {
        let mut state = self.state.lock();
        if matches!(&state.phase, Phase::Live(live) if Arc::ptr_eq(live, guest)) {
            state.phase = Phase::Cold;
        }
    }

    pub(crate) fn guest_ended(&self, guest: &Arc<Guest>) {
        self.forget(guest);
    }

    pub(crate) fn started(&self, _guest: &Arc<Guest>, entrypoints: Vec<Entrypoint>) {
        self.state.lock().entrypoints = entrypoints.into();
    }

    /// The last handle was dropped: ends the guest, unless the cache keeps the Worker.
    pub(crate) fn unheld(self: &Arc<Self>, turn: &mut Turn) {
        if matches!(self.origin, Origin::Configured | Origin::Named(_)) {
            // A named one stays cached while its guest lives; a new stub may take it up again.
            return;
        }
        let guest = {
            let mut state = self.state.lock();
            state.released = true;
            state.code = None;
            match std::mem::replace(&mut state.phase, Phase::Cold) {
                Phase::Live(guest) => Some(guest),
                // Whoever waits holds a handle, so nobody does.
                Phase::Cold | Phase::Loading(_) | Phase::Forking(_) => None,
            }
        };
        if let Some(guest) = guest {
            guest.end(turn, EndReason::Released);
        }
    }

    /// Ends its guest if no call is in flight; a call that comes at the same time wins.
    pub(crate) fn evict(self: &Arc<Self>, turn: &mut Turn, guest: &Arc<Guest>) -> bool {
        {
            let mut state = self.state.lock();
            let live = matches!(&state.phase, Phase::Live(live) if Arc::ptr_eq(live, guest));
            if !live || guest.calls_in_flight.load(Ordering::Acquire) > 0 {
                return false;
            }
            // From here on nobody finds the guest through its Worker.
            state.phase = Phase::Cold;
        }
        guest.end(turn, EndReason::Evicted);
        true
    }
}

type Locked<'a> = std::sync::MutexGuard<'a, WorkerState>;

impl WorkerState {
    fn set_code(&mut self, code: Arc<Code>) {
        self.limits = code.limits.clone();
        self.caps = self.caps.lower(&code.caps);
        self.tails = code.tails.clone();
        self.code = Some(code);
    }
}

fn too_deep() -> Failure {
    Failure::new(
        FailureKind::Limit {},
        "Error",
        format!("Workers are loaded {LOADER_DEPTH_MAX} deep at most"),
    )
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Worker({})", self.name)
    }
}
