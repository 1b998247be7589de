//! A Worker: what was deployed or loaded, whether or not a guest runs it now.
//!
//! Its phase goes Cold, (Loading: a callback gives the code), Forking, Live, and back to Cold when the
//! guest ends, whatever the reason; the next call starts it afresh. `Start` and the first `Invoke`
//! leave in one write, without waiting for `Started`. Choosing a guest is `pool`'s business, ending
//! idle ones `evict`'s.
//!
//! Invariant: at most one guest runs a Worker, and a call waits in exactly one place.

use crate::actor::{Actor, ActorUse, Entered, Namespace};
use crate::bounds::{LOADER_DEPTH_MAX, WORKER_QUEUE_MAX};
use crate::caches::CacheOwner;
use crate::call::{Call, Caller, Target, Undelivered, deliver, overloaded};
use crate::capability::{Capability, Handle, HandleInner, LoaderCap, ObjectCap, Scope, ServiceCap};
use crate::code::{self, Code, CodeEnv, HeldBinding};
use crate::ending::EndReason;
use crate::guest::{Guest, Invocation};
use crate::held::{HeldEvent, HeldOutcome};
use crate::hub::{Chore, Hub};
use crate::loader::CacheKey;
use crate::lock::Mutex;
use crate::observe::EventKind;
use crate::policy::{Caps, Policy};
use crate::pool::Taken;
use crate::stored::FLAG;
use crate::trace::{Begin, Tails, Trace};
use crate::translate::Lower;
use crate::turn::Turn;
use crate::usage::{Account, code_hash};
use mayfly_wire::{
    ActorNamespace, Binding, Blob, Entrypoint, Failure, FailureKind, Limits, Payload, Wire,
};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

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
    /// Whether it is configured and has `stored::FLAG`.
    storable: AtomicBool,
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
            storable: AtomicBool::new(false),
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
        self.storable.load(Ordering::Relaxed)
    }

    /// Replaces the code of a configured Worker that has not started.
    pub(crate) fn configure(&self, code: Arc<Code>) {
        let storable = code.compatibility_flags.iter().any(|flag| flag == FLAG);
        self.storable.store(storable, Ordering::Relaxed);
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

    /// Asks `callback` for the code if this Worker has none and does not run. The code waits for the
    /// first call.
    pub(crate) fn fetch_code(self: &Arc<Self>, turn: &mut Turn, callback: &Arc<ObjectCap>) {
        {
            let mut state = self.state.lock();
            let idle = matches!(state.phase, Phase::Cold) && state.code.is_none();
            if !idle || state.released || self.depth > LOADER_DEPTH_MAX {
                return;
            }
            state.phase = Phase::Loading(Vec::new());
        }
        self.ask_for_code(turn, callback);
    }

    fn ask_for_code(self: &Arc<Self>, turn: &mut Turn, callback: &Arc<ObjectCap>) {
        let call = Call::new(Caller::Load(self.clone()), false);
        let target = Target::Export(callback.export);
        let event = HeldEvent::LoadCode;
        if deliver(turn, &callback.guest, target, &call, event, None).is_err() {
            call.fail(turn, callback.guest.lost());
        }
    }

    /// The callback answered.
    pub(crate) fn code_arrived(self: &Arc<Self>, turn: &mut Turn, outcome: HeldOutcome) {
        let code = match outcome {
            HeldOutcome::Code(code) => code::check(&self.hub.options, *code),
            HeldOutcome::Failed(failure) => Err(failure),
            HeldOutcome::Response { .. }
            | HeldOutcome::Value(_)
            | HeldOutcome::Connected { .. }
            | HeldOutcome::Nothing { .. }
            | HeldOutcome::Facet { .. } => {
                let message = "the loader's callback did not give code";
                Err(Failure::new(
                    FailureKind::Exception {},
                    "TypeError",
                    message,
                ))
            }
        };
        let mut state = self.state.lock();
        let waiting = match std::mem::replace(&mut state.phase, Phase::Cold) {
            Phase::Loading(waiting) => waiting,
            // Released meanwhile.
            other => {
                state.phase = other;
                return;
            }
        };
        match code {
            Ok(code) => {
                state.set_code(Arc::new(code));
                if !waiting.is_empty() {
                    self.fork(turn, state, waiting);
                }
            }
            Err(failure) => {
                drop(state);
                for pending in waiting {
                    pending.call.fail(turn, failure.clone());
                }
            }
        }
    }

    fn fork(self: &Arc<Self>, turn: &mut Turn, mut state: Locked<'_>, waiting: Vec<PendingInvoke>) {
        let code = state.code.as_ref();
        let jitless = self.policy.jitless || code.is_some_and(|code| code.jitless);
        let pool = self.hub.pool_of(jitless);
        match pool.take(self) {
            Taken::Guest(guest) => self.start(turn, state, &guest, waiting),
            Taken::Queued => {
                state.phase = Phase::Forking(waiting);
                if pool.is_full() {
                    self.hub.crowded.notify_one();
                }
            }
            Taken::Refused(failure) => {
                state.phase = Phase::Cold;
                drop(state);
                for pending in waiting {
                    pending.call.fail(turn, failure.clone());
                }
            }
        }
    }

    /// The guest that was asked for. Given back where nobody waits for it any more.
    pub(crate) fn adopt(self: &Arc<Self>, turn: &mut Turn, guest: Arc<Guest>) {
        let mut state = self.state.lock();
        match std::mem::replace(&mut state.phase, Phase::Cold) {
            Phase::Forking(waiting) => self.start(turn, state, &guest, waiting),
            other => {
                state.phase = other;
                drop(state);
                self.hub.pool_of(guest.jitless).put_back(turn, guest);
            }
        }
    }

    /// No guest will come.
    pub(crate) fn refuse(self: &Arc<Self>, turn: &mut Turn, failure: &Failure) {
        let waiting = {
            let mut state = self.state.lock();
            match std::mem::replace(&mut state.phase, Phase::Cold) {
                Phase::Forking(waiting) => waiting,
                other => {
                    state.phase = other;
                    return;
                }
            }
        };
        for pending in waiting {
            pending.call.fail(turn, failure.clone());
        }
    }

    fn start(
        self: &Arc<Self>,
        turn: &mut Turn,
        mut state: Locked<'_>,
        guest: &Arc<Guest>,
        waiting: Vec<PendingInvoke>,
    ) {
        let Some(code) = state.code.clone() else {
            state.phase = Phase::Cold;
            drop(state);
            for pending in waiting {
                pending.call.fail(turn, EndReason::Released.failure());
            }
            let pool = self.hub.pool_of(guest.jitless);
            pool.put_back(turn, guest.clone());
            return;
        };
        let caps = state.caps.clone();
        if guest.patient.swap(false, Ordering::Relaxed) {
            guest.process.hurry();
        }
        if !self.send_start(turn, guest, &code, &caps) {
            // It died in the pool: its own affair, so the next one is tried. The pool never gives
            // a guest whose end is known.
            self.fork(turn, state, waiting);
            return;
        }
        if matches!(self.origin, Origin::Named(_) | Origin::Unnamed) {
            state.code = None;
        }
        // In the lock, so that a later call cannot overtake those that waited.
        state.phase = Phase::Live(guest.clone());
        let limits = state.limits.clone();
        let tails = state.tails.clone();
        let mut back = Vec::new();
        for pending in waiting {
            if let Err(pending) = self.deliver(turn, guest, pending, &limits, &caps, &tails) {
                back.push(pending);
            }
        }
        drop(state);
        if guest.end_reason().is_some() {
            self.forget(guest);
        }
        for pending in back {
            pending.call.fail(turn, guest.lost());
        }
        self.hub.guest_started(guest, self);
    }

    /// `false` if the guest has ended.
    fn send_start(
        self: &Arc<Self>,
        turn: &mut Turn,
        guest: &Arc<Guest>,
        code: &Code,
        caps: &Caps,
    ) -> bool {
        let options = &self.hub.options;
        let memory = caps
            .memory_bytes
            .into_iter()
            .chain([options.heap_bytes_max]);
        let memory_max = memory.min().unwrap_or(options.heap_bytes_max);
        let compiled = &self.hub.compiled;
        let compiled = compiled.of(&code.modules, code.keys(), code.bytes(), &self.account);
        let mut attach = Vec::new();
        let mut state = guest.lock();
        if !state.alive {
            return false;
        }
        self.count_start(code);
        state.worker = Some(self.clone());
        // A guest starts once.
        let _ = guest.account.set(self.account.clone());
        state.outbound = code.outbound.clone();
        state.cpu_seen = guest.process.cpu().unwrap_or_default();
        state.starting = Some(state.cpu_seen);
        state.startup_max = caps
            .startup
            .unwrap_or(options.startup_max)
            .min(options.startup_max);
        state.memory_max = memory_max;
        state.abroad.workers_max = caps
            .workers_in_flight
            .map_or(options.workers_in_flight_max, |max| max as usize);
        let mut lower = Lower::new(guest, &mut state, &mut attach);
        let env = match &code.env {
            CodeEnv::Value(payload) => SentEnv::Value(lower.shared(payload)),
            CodeEnv::Bindings(bindings) => {
                SentEnv::Bindings(lower_bindings(guest, &mut lower, bindings))
            }
        };
        let outbound = code.outbound.clone().map(|outbound| lower.cap(outbound));
        let actors: Vec<_> = code
            .actors
            .iter()
            .map(|(class, namespace)| {
                (
                    class.clone(),
                    lower_namespace(&mut lower, namespace, Capability::OwnActors),
                )
            })
            .collect();
        guest.push_raw(&mut state, |out| {
            encode_start(
                out,
                &self.name,
                code,
                &env,
                outbound,
                &actors,
                memory_max,
                options.collect_always,
                &compiled,
            );
        });
        drop(state);
        turn.mark(guest);
        for attachment in attach {
            attachment.attach(turn, guest);
        }
        true
    }

    /// Dynamic Workers are paid for by the day: one of `get()` by id and code, any other each.
    fn count_start(&self, code: &Code) {
        match self.origin {
            Origin::Configured => {}
            Origin::Loaded | Origin::Unnamed => self.account.loaded(),
            Origin::Named(_) if !self.account.is_metered() => {}
            Origin::Named(_) => {
                let hash = code_hash(&code.main_module, &code.modules);
                self.account.started(hash);
            }
        }
    }

    fn deliver(
        self: &Arc<Self>,
        turn: &mut Turn,
        guest: &Arc<Guest>,
        pending: PendingInvoke,
        limits: &Limits,
        caps: &Caps,
        tails: &Arc<Tails>,
    ) -> Result<(), PendingInvoke> {
        let PendingInvoke {
            call,
            service,
            actor,
            event,
            handle,
        } = pending;
        let mut attach = Vec::new();
        let entered = match &actor {
            None => None,
            Some(actor) => match actor.enter(self, guest, &service, &mut attach) {
                Entered::Here(incarnation) => Some((actor, incarnation)),
                Entered::Elsewhere => {
                    // Locks are held here.
                    self.hub
                        .chores
                        .post(Chore::Redirect(Box::new(PendingInvoke {
                            call,
                            service,
                            actor: Some(actor.clone()),
                            event,
                            handle,
                        })));
                    return Ok(());
                }
                Entered::Ended => {
                    return Err(PendingInvoke {
                        call,
                        service,
                        actor: Some(actor.clone()),
                        event,
                        handle,
                    });
                }
            },
        };
        turn.mark(guest);
        for attachment in attach {
            attachment.attach(turn, guest);
        }
        let limits = limits.lower(&service.limits);
        let options = &self.hub.options;
        let cpu_max = limits
            .cpu_ms
            .map(|ms| Duration::from_millis(u64::from(ms)))
            .into_iter()
            .chain(options.cpu_max)
            .chain(caps.cpu)
            .min();
        let sub_requests = limits.sub_requests.or(options.sub_requests_max);
        let sub_requests_max = sub_requests.into_iter().chain(caps.sub_requests).min();
        let begin = Begin {
            worker: self,
            tails,
            entrypoint: &service.entrypoint,
            actor: actor.as_deref(),
            event: &event,
            caller: call.from(),
            trace_bytes: &guest.trace_bytes,
        };
        let trace = Trace::begin(&self.hub, &begin);
        let invocation = Invocation {
            handle: handle.clone(),
            entrypoint: service.entrypoint.clone(),
            cpu_max,
            sub_requests_max,
            sub_requests_left: sub_requests_max.map(u64::from),
            wall_max: caps.wall.into_iter().chain(options.wall_max).min(),
            wall_over: None,
            began: Instant::now(),
            outcome: "ok",
            event: EventKind::of(&event),
            trace,
            trace_held: false,
            body: None,
            actor: entered
                .as_ref()
                .map(|(actor, incarnation)| ActorUse::begin(actor, incarnation.serial)),
        };
        let target = match &entered {
            Some((_, incarnation)) => Target::Actor(incarnation.number),
            None => Target::Invoke {
                entrypoint: &service.entrypoint,
                props: &service.props,
            },
        };
        match deliver(
            turn,
            guest,
            target,
            &call,
            event,
            Some(Box::new(invocation)),
        ) {
            Ok(()) => Ok(()),
            Err(Undelivered(event)) => Err(PendingInvoke {
                call,
                service,
                actor: actor.clone(),
                event,
                handle,
            }),
        }
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

enum SentEnv {
    Bindings(Vec<(String, Binding)>),
    Value(Payload),
}

fn lower_bindings(
    guest: &Arc<Guest>,
    lower: &mut Lower<'_>,
    bindings: &[(String, HeldBinding)],
) -> Vec<(String, Binding)> {
    bindings
        .iter()
        .map(|(name, binding)| {
            let binding = match binding {
                HeldBinding::Text(text) => Binding::Text { text: text.clone() },
                HeldBinding::Json(json) => Binding::Json { json: json.clone() },
                HeldBinding::Data(bytes) => Binding::Data {
                    bytes: bytes.clone(),
                },
                HeldBinding::Service(capability) => Binding::Service {
                    cap: lower.cap(capability.clone()),
                },
                HeldBinding::Hosted(kind, capability) => Binding::Hosted {
                    cap: lower.cap(capability.clone()),
                    kind: kind.clone(),
                },
                HeldBinding::Actors(namespace) => Binding::Actors {
                    namespace: lower_namespace(lower, namespace, Capability::Actors),
                },
                HeldBinding::Loader { shared, policy } => {
                    let scope = match shared {
                        Some(name) => Scope::Shared(name.clone()),
                        None => Scope::Private {
                            parent: guest.id.0,
                            binding: name.clone(),
                        },
                    };
                    let loader = LoaderCap {
                        scope,
                        binding: name.clone(),
                        policy: policy.clone(),
                    };
                    Binding::Loader {
                        cap: lower.cap(Capability::Loader(Arc::new(loader))),
                    }
                }
            };
            (name.clone(), binding)
        })
        .collect()
}

fn lower_namespace(
    lower: &mut Lower<'_>,
    namespace: &Arc<Namespace>,
    make: fn(Arc<Namespace>) -> Capability,
) -> ActorNamespace {
    ActorNamespace {
        cap: lower.cap(make(namespace.clone())),
        key: Blob(namespace.stored.key.to_vec()),
    }
}

/// Encodes `ToGuest::Start` from borrowed parts, so that up to 64 MiB of modules are copied once.
/// The test below holds it to the wire's own encoding.
#[expect(clippy::too_many_arguments, reason = "each is a field of the frame")]
fn encode_start(
    out: &mut Vec<u8>,
    name: &String,
    code: &Code,
    env: &SentEnv,
    outbound: Option<mayfly_wire::CapId>,
    actors: &Vec<(String, ActorNamespace)>,
    heap_bytes_max: u64,
    collect_always: bool,
    compiled: &[(u32, Arc<[u8]>)],
) {
    const START_TAG: u8 = 1;
    const ENV_BINDINGS_TAG: u8 = 1;
    const ENV_VALUE_TAG: u8 = 2;
    out.push(START_TAG);
    name.encode(out);
    code.modules.encode(out);
    code.main_module.encode(out);
    code.compatibility_flags.encode(out);
    match env {
        SentEnv::Bindings(bindings) => {
            out.push(ENV_BINDINGS_TAG);
            bindings.encode(out);
        }
        SentEnv::Value(payload) => {
            out.push(ENV_VALUE_TAG);
            payload.encode(out);
        }
    }
    outbound.encode(out);
    code.limits.encode(out);
    actors.encode(out);
    heap_bytes_max.encode(out);
    collect_always.encode(out);
    encode_length(compiled.len(), out);
    for (place, bytes) in compiled {
        place.encode(out);
        encode_length(bytes.len(), out);
        out.extend_from_slice(bytes);
    }
}

/// As the wire writes the length of a list and of a blob. Both are bounded below it.
fn encode_length(length: usize, out: &mut Vec<u8>) {
    u32::try_from(length).unwrap_or(u32::MAX).encode(out);
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Worker({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::held::Weight;
    use mayfly_wire::{CapId, Env, Module, ModuleKind, Start, ToGuest};

    #[test]
    fn start_is_encoded_as_the_wire_would() {
        let modules = vec![Module {
            name: "main.js".to_owned(),
            kind: ModuleKind::Js {},
            content: Blob(b"export default {}".to_vec()),
        }];
        let limits = Limits {
            cpu_ms: Some(50),
            sub_requests: None,
        };
        let code = Code {
            modules: modules.clone(),
            keys: OnceLock::new(),
            weight: Weight::default(),
            main_module: "main.js".to_owned(),
            compatibility_flags: vec!["nodejs_compat".to_owned()],
            env: CodeEnv::Bindings(Vec::new()),
            outbound: None,
            limits: limits.clone(),
            caps: Caps::default(),
            jitless: false,
            tails: Arc::default(),
            actors: Vec::new(),
        };
        let actors = vec![(
            "A".to_owned(),
            ActorNamespace {
                cap: CapId(6),
                key: Blob(vec![1]),
            },
        )];
        let bindings = vec![(
            "NAME".to_owned(),
            Binding::Text {
                text: "value".to_owned(),
            },
        )];
        let envs = [
            (
                SentEnv::Bindings(bindings.clone()),
                Env::Bindings { bindings },
            ),
            (
                SentEnv::Value(Payload::empty()),
                Env::Value {
                    payload: Payload::empty(),
                },
            ),
        ];
        for (sent, env) in envs {
            let mut ours = Vec::new();
            let name = "name".to_owned();
            encode_start(
                &mut ours,
                &name,
                &code,
                &sent,
                Some(CapId(4)),
                &actors,
                9,
                true,
                &[(0, Arc::from([1, 2, 3]))],
            );
            let mut theirs = Vec::new();
            let start = Start {
                name,
                modules: modules.clone(),
                main_module: "main.js".to_owned(),
                compatibility_flags: code.compatibility_flags.clone(),
                env,
                outbound: Some(CapId(4)),
                limits: limits.clone(),
                actors: actors.clone(),
                heap_bytes_max: 9,
                collect_always: true,
                compiled: vec![(0, Blob(vec![1, 2, 3]))],
            };
            ToGuest::Start {
                start: Box::new(start),
            }
            .encode(&mut theirs);
            assert_eq!(ours, theirs);
        }
    }
}
