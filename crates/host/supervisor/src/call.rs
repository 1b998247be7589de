//! A call: one event on its way from a caller to a callee and one outcome on its way back.
//!
//! The call outlives both numbers it has (the caller's and the callee's) and is where calls that
//! pipeline on its answer wait. It does not choose the callee (`relay`, `worker`) and does not
//! translate values (`translate`).
//!
//! Invariant: a caller gets exactly one outcome, whoever ends first.

use crate::actor::Actor;
use crate::guest::{Guest, Inbound};
use crate::held::{HeldEvent, HeldOutcome, HeldPayload};
use crate::hub::Hub;
use crate::lock::Mutex;
use crate::pairs::{CHAIN_MAX, Company};
use crate::relay;
use crate::restored::RestoredCap;
use crate::tail::{Session, TailPermit};
use crate::trace::SpanContext;
use crate::translate::Lower;
use crate::turn::Turn;
use crate::usage::Toll;
use crate::worker::{Worker, WorkerId};
use mayfly_wire::{ActorId, CallId, ExportId, Failure, FailureKind, ToGuest};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// See the file's head.
pub struct Call {
    caller: Caller,
    /// Whether anyone may pipeline on the answer.
    result_wanted: AtomicBool,
    settled: AtomicBool,
    /// The span of a followed invocation that it was made in.
    from: Option<SpanContext>,
    /// The dynamic Worker that its caller is counted at.
    abroad: OnceLock<WorkerId>,
    phase: Mutex<Phase>,
}

/// Who gets the outcome.
pub enum Caller {
    /// A guest, under the number it chose.
    Guest(Arc<Guest>, CallId),
    /// The host: the gateway, a test.
    Host(Mutex<Option<oneshot::Sender<HeldOutcome>>>),
    /// A Worker that waits for its code.
    Load(Arc<Worker>),
    /// Nobody: a trace item for a tail.
    Tail(TailPermit),
    /// Nobody: an invocation told to a streaming tail.
    TailStream(Arc<Session>, TailPermit),
    /// A facet that waits for its class.
    Facet(Arc<Actor>),
    /// A stored stub that waits for what it leads to.
    Restore(Arc<RestoredCap>, Arc<Hub>),
}

enum Phase {
    /// Not delivered yet.
    Waiting(Vec<Pipelined>),
    /// In a guest.
    At(Arc<Guest>, CallId),
    /// A service of the host's is at it.
    Network(AbortHandle),
    /// Over, and nothing can be pipelined on it.
    Over(Failure),
}

/// A call on the answer of another.
pub struct Pipelined {
    call: Arc<Call>,
    event: HeldEvent,
}

/// What in a guest is called.
pub enum Target<'a> {
    /// An entrypoint.
    Invoke {
        /// Export name; empty means `default`.
        entrypoint: &'a str,
        /// `ctx.props`.
        props: &'a HeldPayload,
    },
    /// An object.
    Export(ExportId),
    /// The answer of an earlier call into the same guest.
    Answer(CallId),
    /// An instance of a Durable Object.
    Actor(ActorId),
}

impl Call {
    /// A call not delivered yet.
    pub fn new(caller: Caller, result_wanted: bool) -> Arc<Self> {
        Self::made_in(None, caller, result_wanted)
    }

    /// The same, made in a span.
    pub fn made_in(from: Option<SpanContext>, caller: Caller, result_wanted: bool) -> Arc<Self> {
        Arc::new(Self {
            from,
            caller,
            result_wanted: AtomicBool::new(result_wanted),
            settled: AtomicBool::new(false),
            abroad: OnceLock::new(),
            phase: Mutex::new(Phase::Waiting(Vec::new())),
        })
    }

    /// A call by the host and where its outcome arrives.
    pub fn by_host() -> (Arc<Self>, oneshot::Receiver<HeldOutcome>) {
        let (sender, receiver) = oneshot::channel();
        let caller = Caller::Host(Mutex::new(Some(sender)));
        (Self::new(caller, false), receiver)
    }

    /// Whether the caller has its outcome.
    pub fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// Books what it makes pass between its caller and the internet.
    pub(crate) fn toll(&self) -> Toll {
        let Caller::Guest(guest, _) = &self.caller else {
            return Toll::default();
        };
        let account = guest.account.get().cloned();
        account.map_or_else(Toll::default, |account| {
            Toll::of(account, guest.egress_places.clone())
        })
    }

    /// Its caller is counted at `worker` until it is over.
    pub(crate) fn is_abroad_at(&self, worker: WorkerId) {
        // A call is admitted once.
        let _ = self.abroad.set(worker);
    }

    /// Where its caller is counted.
    pub(crate) fn abroad(&self) -> Option<WorkerId> {
        self.abroad.get().copied()
    }

    /// Whether its outcome is a dynamic Worker's code.
    pub fn wants_code(&self) -> bool {
        matches!(self.caller, Caller::Load(_))
    }

    /// The span that it was made in, where that is followed.
    pub fn from(&self) -> Option<SpanContext> {
        self.from
    }

    /// The session that a streaming tail has with this call.
    pub fn session(&self) -> Option<&Arc<Session>> {
        match &self.caller {
            Caller::TailStream(session, _) => Some(session),
            _ => None,
        }
    }

    /// Nobody waits for it: it only tells a tail.
    fn is_telling(&self) -> bool {
        matches!(self.caller, Caller::Tail(_) | Caller::TailStream(..))
    }

    /// Where it was delivered to, and its number there.
    pub fn place(&self) -> Option<(Arc<Guest>, CallId)> {
        match &*self.phase.lock() {
            Phase::At(guest, id) => Some((guest.clone(), *id)),
            _ => None,
        }
    }

    /// Whether its outcome is a facet's class.
    pub fn wants_class(&self) -> bool {
        matches!(self.caller, Caller::Facet(_))
    }

    /// Whether its outcome is what a `[restore]()` method gives.
    pub fn wants_restored(&self) -> bool {
        matches!(self.caller, Caller::Restore(..))
    }

    /// The stub that it restores.
    pub fn restores(&self) -> Option<&Arc<RestoredCap>> {
        match &self.caller {
            Caller::Restore(restored, _) => Some(restored),
            _ => None,
        }
    }

    /// The guest that made the call.
    pub fn calling_guest(&self) -> Option<&Arc<Guest>> {
        match &self.caller {
            Caller::Guest(guest, _) => Some(guest),
            Caller::Host(_)
            | Caller::Load(_)
            | Caller::Tail(_)
            | Caller::TailStream(..)
            | Caller::Facet(_)
            | Caller::Restore(..) => None,
        }
    }

    /// Gives the caller its outcome, unless it has one.
    pub fn settle(self: &Arc<Self>, turn: &mut Turn, outcome: HeldOutcome) {
        if self.settled.swap(true, Ordering::AcqRel) {
            return;
        }
        if let HeldOutcome::Failed(failure) = &outcome {
            self.fail_pipelined(turn, failure);
        } else {
            self.end_network(turn);
        }
        match &self.caller {
            Caller::Guest(guest, id) => relay::give_outcome(turn, guest, *id, outcome),
            Caller::Host(sender) => {
                let sender = sender.lock().take();
                if let Some(sender) = sender {
                    // A receiver that left has cancelled; the outcome's drop cleans up.
                    drop(sender.send(outcome));
                }
            }
            Caller::Load(worker) => worker.code_arrived(turn, outcome),
            Caller::Facet(actor) => actor.class_arrived(turn, outcome),
            Caller::Restore(restored, hub) => restored.arrived(turn, hub, outcome),
            Caller::Tail(_) => {}
            Caller::TailStream(session, _) => session.over(),
        }
    }

    /// [`Self::settle`] with a failure.
    pub fn fail(self: &Arc<Self>, turn: &mut Turn, failure: Failure) {
        self.settle(turn, HeldOutcome::Failed(failure));
    }

    /// A failed call that never reached a guest fails what waits on it. One that did leaves that to
    /// the guest, which knows the answer's failure itself.
    fn fail_pipelined(self: &Arc<Self>, turn: &mut Turn, failure: &Failure) {
        let waiting = {
            let mut phase = self.phase.lock();
            match &mut *phase {
                Phase::Waiting(waiting) => {
                    let waiting = std::mem::take(waiting);
                    *phase = Phase::Over(failure.clone());
                    waiting
                }
                Phase::Network(_) => {
                    *phase = Phase::Over(failure.clone());
                    Vec::new()
                }
                Phase::At(..) | Phase::Over(_) => Vec::new(),
            }
        };
        for pipelined in waiting {
            pipelined.call.fail(turn, failure.clone());
        }
    }

    fn end_network(&self, _turn: &mut Turn) {
        let mut phase = self.phase.lock();
        if matches!(&*phase, Phase::Network(_) | Phase::Waiting(_)) {
            *phase = Phase::Over(no_rpc());
        }
    }

    /// The caller no longer wants the outcome.
    pub fn cancel(self: &Arc<Self>, turn: &mut Turn, reason: &str) {
        self.abandon(turn, reason);
        let failure = Failure::new(FailureKind::Canceled {}, "AbortError", reason);
        self.fail(turn, failure);
    }

    /// Tells whoever is at it that nobody waits any more; the outcome may have come already.
    pub fn abandon(&self, turn: &mut Turn, reason: &str) {
        let at = match &*self.phase.lock() {
            Phase::At(guest, id) => Some((guest.clone(), *id)),
            Phase::Network(task) => {
                task.abort();
                None
            }
            Phase::Waiting(_) | Phase::Over(_) => None,
        };
        if let Some((guest, id)) = at {
            guest.cancel_call(turn, id, reason);
        }
    }

    /// Nobody can pipeline on the answer any more.
    pub fn release_answer(&self, turn: &mut Turn) {
        let phase = self.phase.lock();
        if !self.result_wanted.swap(false, Ordering::AcqRel) {
            return;
        }
        if let Phase::At(guest, id) = &*phase {
            guest.send(turn, &ToGuest::ReleaseAnswer { call: *id });
        }
    }

    /// A service of the host's answers this call. `false` if the caller has left meanwhile.
    pub fn answered_by(&self, task: AbortHandle) -> bool {
        let mut phase = self.phase.lock();
        if !matches!(&*phase, Phase::Waiting(_)) {
            return false;
        }
        *phase = Phase::Network(task);
        true
    }

    /// Calls the answer of this call.
    pub fn pipeline(self: &Arc<Self>, turn: &mut Turn, call: Arc<Call>, event: HeldEvent) {
        let failure = {
            let mut phase = self.phase.lock();
            match &mut *phase {
                Phase::Waiting(waiting) if waiting.len() < crate::bounds::PIPELINE_QUEUE_MAX => {
                    waiting.push(Pipelined { call, event });
                    return;
                }
                Phase::Waiting(_) => overloaded("calls wait on the answer of a call"),
                Phase::At(guest, id) => {
                    let (guest, id) = (guest.clone(), *id);
                    match deliver(turn, &guest, Target::Answer(id), &call, event, None) {
                        Ok(()) => return,
                        Err(_) => guest.lost(),
                    }
                }
                Phase::Network(_) => no_rpc(),
                Phase::Over(failure) => failure.clone(),
            }
        };
        call.fail(turn, failure);
    }
}

/// An event that could not be delivered because its guest has ended, for another try.
#[derive(Debug)]
pub struct Undelivered(pub HeldEvent);

/// What goes along with an invocation of an entrypoint.
pub type Extra = Option<Box<crate::guest::Invocation>>;

/// Sends a call into a guest. `Ok` also where the call was settled instead (cancelled, refused).
pub fn deliver(
    turn: &mut Turn,
    guest: &Arc<Guest>,
    target: Target<'_>,
    call: &Arc<Call>,
    event: HeldEvent,
    mut extra: Extra,
) -> Result<(), Undelivered> {
    let is_rpc = event.is_rpc();
    let mut phase = call.phase.lock();
    if !matches!(&*phase, Phase::Waiting(_)) || call.is_settled() {
        return Ok(());
    }
    let mut attach = Vec::new();
    let mut state = guest.lock();
    if !state.alive {
        return Err(Undelivered(event));
    }
    if let Some(refusal) = state.refuse_call(event.room()) {
        drop(state);
        drop(phase);
        call.fail(turn, refusal);
        return Ok(());
    }
    let id = state.next_call_id();
    let mut lower = Lower::new(guest, &mut state, &mut attach);
    let frame = match target {
        Target::Invoke { entrypoint, props } => ToGuest::Invoke {
            call: id,
            entrypoint: entrypoint.to_owned(),
            props: lower.shared(props),
            event: lower.event(event),
        },
        Target::Export(export) => ToGuest::CallExport {
            call: id,
            export,
            event: lower.event(event),
        },
        Target::Actor(actor) => ToGuest::InvokeActor {
            call: id,
            actor,
            event: lower.event(event),
        },
        Target::Answer(answer) => ToGuest::CallAnswer {
            call: id,
            answer,
            event: lower.event(event),
        },
    };
    let trace = extra
        .as_mut()
        .and_then(|invocation| invocation.trace.as_mut());
    if let Some(trace) = trace {
        trace.delivered();
        guest.push(&mut state, &ToGuest::Traced { call: id });
    }
    if call
        .calling_guest()
        .is_some_and(|it| Arc::ptr_eq(it, guest))
    {
        guest.push(&mut state, &ToGuest::OwnCall { call: id });
    }
    guest.tell_awake(&mut state);
    guest.push_message(&mut state, frame);
    if is_rpc && !call.result_wanted.load(Ordering::Acquire) {
        guest.push(&mut state, &ToGuest::ReleaseAnswer { call: id });
    }
    let keep = match (&extra, &state.worker) {
        (None, Some(worker)) if worker.is_dynamic() => worker.handle(),
        _ => None,
    };
    guest.call_began(&mut state, id, Inbound::new(call.clone(), extra, keep));
    let calls_in = state.calls_in.len();
    drop(state);
    if let Some(caller) = call.calling_guest() {
        let calls_in = u32::try_from(calls_in).unwrap_or(u32::MAX);
        let company = match caller.calls_waiting.load(Ordering::Relaxed) {
            1 if calls_in == 1 => Company::None,
            // Calls that are made on each other's results.
            waiting if waiting == calls_in && calls_in <= CHAIN_MAX => Company::Chain,
            // What it is called back for, or calls into itself from.
            1 if calls_in <= 1 + guest.calls_waiting.load(Ordering::Relaxed) => Company::Waiting,
            _ => Company::Busy,
        };
        if guest.hub.pairs.note_call(caller, guest, company) {
            turn.await_answer(guest);
        }
    } else if !call.is_telling() {
        guest.hub.pairs.note_request(guest);
    }
    turn.mark(guest);
    let before = std::mem::replace(&mut *phase, Phase::At(guest.clone(), id));
    for attachment in attach {
        attachment.attach(turn, guest);
    }
    if let Phase::Waiting(waiting) = before {
        for Pipelined { call, event } in waiting {
            if deliver(turn, guest, Target::Answer(id), &call, event, None).is_err() {
                call.fail(turn, guest.lost());
            }
        }
    }
    Ok(())
}

/// What a full queue answers.
pub fn overloaded(what: &str) -> Failure {
    let message = format!("too many {what}");
    Failure::new(FailureKind::Overloaded {}, "Error", message)
}

fn no_rpc() -> Failure {
    Failure::new(
        FailureKind::Exception {},
        "TypeError",
        "the result is not an object that can be called",
    )
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Call")
    }
}
