//! What each frame of a guest does.
//!
//! [`apply`] is the one door for a guest's words: it takes a decoded frame, changes tables, and
//! writes to other guests' buffers. It never waits and never holds two guests' locks. It does not
//! read sockets (`inbox`) and does not start processes (`pool`).
//!
//! Invariant: whatever the frame, the worst outcome is a [`Violation`], which ends this one guest.

use crate::abroad::Turnout;
use crate::actor::ActorCap;
use crate::bounds::{FACET_NAME_BYTES_MAX, ID_BYTES_MAX, NAME_BYTES_MAX, REASON_BYTES_MAX};
use crate::budget;
use crate::call::{Call, Caller, Target, deliver};
use crate::capability::{AnswerCap, Capability, ServiceCap, StubCap, blocked};
use crate::ending::EndReason;
use crate::gate;
use crate::guest::{Guest, HeldTrace, Role, State};
use crate::held::{HeldEvent, HeldOutcome, HeldPayload, HeldSocket};
use crate::hub::{Chore, Hub};
use crate::link::Link;
use crate::loader;
use crate::network;
use crate::translate::{Lift, LiftError, Lower, Purpose, cut};
use crate::turn::Turn;
use crate::worker::PendingInvoke;
use mayfly_store::ObjectId;
use mayfly_wire::bounds::{
    CALLS_MAX, CAPS_MAX, LOG_BYTES_MAX, LOG_MESSAGE_BYTES_MAX, SPAN_BYTES_MAX, STREAMS_MAX,
};
use mayfly_wire::{
    CallId, CapId, Failure, FailureKind, Limits, Outcome, StreamId, ToGuest, ToHost,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use thiserror::Error;

/// What a guest must not do. It is ended for it.
#[derive(Debug, Clone, Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum Violation {
    #[error("frame cannot be decoded: {0}")]
    Wire(#[from] mayfly_wire::WireError),
    #[error("a frame before Start")]
    NotStarted,
    #[error("compiled code that nobody asked for")]
    NotAsked,
    #[error("capability {0:?} is not held")]
    UnknownCap(CapId),
    #[error("capability number {0:?} cannot be taken")]
    CapTaken(CapId),
    #[error("capability {0:?} cannot be called")]
    NotCallable(CapId),
    #[error("capability {0:?} is not a service")]
    NotAService(CapId),
    #[error("capability {0:?} is not a loader")]
    NotALoader(CapId),
    #[error("capability {0:?} is not a Worker's stub")]
    NotAStub(CapId),
    #[error("capability {0:?} is not a namespace")]
    NotANamespace(CapId),
    #[error("capability {0:?} is not a class")]
    NotAClass(CapId),
    #[error("holds more than {CAPS_MAX} capabilities")]
    TooManyCaps,
    #[error("call number {0:?} is under way")]
    CallTaken(CallId),
    #[error("more than {CALLS_MAX} calls under way")]
    TooManyCalls,
    #[error("call {0:?} is not under way")]
    UnknownCall(CallId),
    #[error("call {0:?} was answered twice")]
    ReturnedTwice(CallId),
    #[error("call {0:?} is done before it was answered")]
    DoneUnanswered(CallId),
    #[error("call {0:?} was answered with something that does not fit its event")]
    WrongOutcome(CallId),
    #[error("an event that only the host sends")]
    NotForGuests,
    #[error("a result slot for an event that has none")]
    ResultOfNothing,
    #[error("property path of {0} segments")]
    PathTooLong(usize),
    #[error("{0} attachments in one payload")]
    TooManyAttachments(usize),
    #[error("inline body of {0} bytes")]
    InlineTooLong(usize),
    #[error("stream number {0:?} cannot be taken")]
    StreamTaken(StreamId),
    #[error("stream {0:?} is not open for that")]
    UnknownStream(StreamId),
    #[error("too many streams")]
    TooManyStreams,
    #[error("stream chunk of {0} bytes")]
    ChunkTooLong(usize),
    #[error("stream bytes above the window")]
    OverWindow,
    #[error("stream credit for bytes never sent")]
    OverCredit,
    #[error("too many unread stream bytes")]
    StreamHoard,
    #[error("bytes beside no payload")]
    NothingBeside,
    #[error("too many bytes beside a payload")]
    TooMuchBeside,
    #[error("call {0:?} does not follow an invocation")]
    NotATail(CallId),
}

/// Does what one frame of `guest` says, or has it wait at the gate.
pub fn apply(guest: &Arc<Guest>, frame: ToHost, turn: &mut Turn) -> Result<(), Violation> {
    gate::pass(guest, frame, 0, turn)
}

/// Does what one frame of `guest` says.
pub(crate) fn act(guest: &Arc<Guest>, frame: ToHost, turn: &mut Turn) -> Result<(), Violation> {
    let mut state = guest.lock();
    if !state.alive {
        return Ok(());
    }
    if let ToHost::Trapped { number } = frame {
        // It may be made up, and then still is the guest's own end.
        drop(state);
        guest.end(turn, EndReason::Trapped(number));
        return Ok(());
    }
    if state.worker.is_none() {
        return compiled(&mut state, frame);
    }
    guest.heard.store(true, Ordering::Relaxed);
    match frame {
        // Dealt with above.
        ToHost::Trapped { .. } => Ok(()),
        ToHost::Compiled { .. } => Err(Violation::NotAsked),
        ToHost::Acting { call } => {
            // One that is over by now means nothing.
            state.acting = call.filter(|call| state.calls_in.contains_key(&call.0));
            Ok(())
        }
        ToHost::Call {
            call,
            cap,
            event,
            result,
        } => {
            if state.calls_out.contains_key(&call.0) {
                return Err(Violation::CallTaken(call));
            }
            if state.calls_out.len() >= CALLS_MAX {
                return Err(Violation::TooManyCalls);
            }
            if result.is_some() && !matches!(event, mayfly_wire::Event::Rpc { .. }) {
                return Err(Violation::ResultOfNothing);
            }
            let capability = callable(&state, cap)?;
            guest.collect_if_due(&mut state);
            let from = state.call_from.take();
            let from = from.filter(|(made, _)| *made == call).map(|(_, span)| span);
            let caller = Caller::Guest(guest.clone(), call);
            let made = Call::made_in(from, caller, result.is_some());
            if let Some(slot) = result {
                let chores = guest.hub.chores.clone();
                let answer = Capability::Answer(Arc::new(AnswerCap::new(made.clone(), chores)));
                introduce(&mut state, slot, answer)?;
            }
            state.calls_out.insert(call.0, made.clone());
            guest.note_waiting(&state);
            let lifted = Lift::new(guest, &mut state).event(event);
            let lifted = match lifted {
                Ok(event) => spend_sub_request(&mut state, &capability).map(|()| event),
                Err(LiftError::Refused(failure)) => Err(failure),
                Err(LiftError::Violation(violation)) => return Err(violation),
            };
            let turnout = match (lifted, &capability) {
                (Ok(event), Capability::Service(service)) if service.worker.is_dynamic() => {
                    let invocations = state.calls_in.len();
                    state.abroad.admit(&made, service, event, invocations)
                }
                (Ok(event), _) => Turnout::Goes(event),
                (Err(failure), _) => Turnout::Refused(failure),
            };
            drop(state);
            match turnout {
                Turnout::Goes(event) => route(turn, &guest.hub, &made, &capability, event),
                Turnout::Waits => {}
                Turnout::Refused(failure) => made.fail(turn, failure),
            }
            Ok(())
        }
        ToHost::Return { call, outcome } => returned(guest, state, turn, call, outcome),
        ToHost::Done { call } => {
            match state.calls_in.get(&call.0) {
                None => return Err(Violation::UnknownCall(call)),
                Some(inbound) if !inbound.returned => {
                    return Err(Violation::DoneUnanswered(call));
                }
                Some(_) => {}
            }
            let done = guest.call_done(&mut state, call);
            if let Some(inbound) = done
                && let Some(mut invocation) = inbound.invocation
            {
                let is_held = invocation.trace_held;
                let trace = invocation.trace.take_if(|_| is_held);
                let late = match trace {
                    Some(trace) => {
                        let held = HeldTrace::of(&invocation, trace, inbound.cpu);
                        state.hold_trace(call, held)
                    }
                    None => None,
                };
                drop(state);
                guest.hub.invocation_done(*invocation, inbound.cpu, None);
                if let Some(late) = late {
                    guest.hub.tell(late);
                }
            }
            Ok(())
        }
        ToHost::StreamData { stream, bytes } => match open_stream(&state, stream, Role::Writes)? {
            Some(link) => {
                drop(state);
                link.data(turn, bytes)
            }
            None => Ok(()),
        },
        ToHost::StreamCredit { stream, bytes } => match open_stream(&state, stream, Role::Reads)? {
            Some(link) => {
                drop(state);
                link.credit(turn, bytes)
            }
            None => Ok(()),
        },
        ToHost::StreamEnd { stream } => {
            if let Some(link) = close_stream(&mut state, stream, Role::Writes)? {
                drop(state);
                link.end(turn);
            }
            Ok(())
        }
        ToHost::Bytes { bytes } => match state.beside(bytes.0) {
            true => Ok(()),
            false => Err(Violation::TooMuchBeside),
        },
        ToHost::StreamRead { stream } => {
            if let Some(link) = open_stream(&state, stream, Role::Reads)? {
                drop(state);
                link.read(turn);
            }
            Ok(())
        }
        ToHost::StreamJoin { from, to } => {
            let read = open_stream(&state, from, Role::Reads)?;
            let written = open_stream(&state, to, Role::Writes)?;
            drop(state);
            // Where one of them has ended meanwhile, the guest hears so and does the rest itself.
            if let (Some(read), Some(written)) = (read, written) {
                read.join(turn, &written, guest, from, to);
            }
            Ok(())
        }
        ToHost::StreamAbort { stream, failure } => {
            let failure = Lift::new(guest, &mut state).failure(failure);
            let failure = accepted(failure)?;
            if let Some((Role::PassesOn, _)) = state.streams.get(&stream.0) {
                let passed_on = state.streams.remove(&stream.0);
                drop(state);
                if let Some((_, link)) = passed_on {
                    link.cut(turn, failure);
                }
                return Ok(());
            }
            if let Some(link) = close_stream(&mut state, stream, Role::Writes)? {
                drop(state);
                link.abort(turn, failure);
            }
            Ok(())
        }
        ToHost::StreamCancel { stream, mut reason } => {
            cut(&mut reason, REASON_BYTES_MAX);
            if let Some(link) = close_stream(&mut state, stream, Role::Reads)? {
                drop(state);
                link.cancel(turn, reason);
            }
            Ok(())
        }
        ToHost::Cancel { call, mut reason } => {
            cut(&mut reason, REASON_BYTES_MAX);
            // An outcome may be on its way already: then there is nothing to cancel.
            let made = state.calls_out.get(&call.0).cloned();
            drop(state);
            if let Some(made) = made {
                made.cancel(turn, &reason);
            }
            Ok(())
        }
        ToHost::ReleaseCap { cap } => {
            let released = state.caps.remove(&cap.0);
            drop(state);
            released.map(drop).ok_or(Violation::UnknownCap(cap))
        }
        ToHost::DupCap { cap, copy } => {
            let capability = state
                .caps
                .get(&cap.0)
                .cloned()
                .ok_or(Violation::UnknownCap(cap))?;
            introduce(&mut state, copy, capability)
        }
        ToHost::Load {
            worker,
            loader,
            code,
        } => {
            guest.collect_if_due(&mut state);
            turn.mark(guest);
            loader::load(guest, state, worker, loader, *code)
        }
        ToHost::Get {
            worker,
            loader,
            id,
            callback,
        } => {
            let id = match id {
                Some(id) if id.len() > ID_BYTES_MAX => {
                    let failure = too_long("id", id.len(), ID_BYTES_MAX);
                    drop(Lift::new(guest, &mut state).export(callback));
                    return introduce(&mut state, worker, failed(failure));
                }
                id => id,
            };
            guest.collect_if_due(&mut state);
            turn.mark(guest);
            loader::get(guest, state, worker, loader, id, callback, turn)
        }
        ToHost::GetEntrypoint {
            service,
            worker,
            name,
            props,
            limits,
        } => get_entrypoint(guest, state, service, worker, name, props, limits),
        ToHost::GetSelf {
            service,
            name,
            props,
        } => get_self(guest, state, service, name, props, Capability::Service),
        ToHost::Running {} => {
            state.starting = None;
            Ok(())
        }
        ToHost::Started { entrypoints } => {
            state.started(guest.process.cpu());
            let worker = state.worker.clone();
            drop(state);
            if let Some(worker) = worker {
                worker.started(guest, entrypoints);
            }
            Ok(())
        }
        ToHost::StartFailed { failure } => {
            let failure = accepted(Lift::new(guest, &mut state).failure(failure))?;
            drop(state);
            guest.end(turn, EndReason::StartFailed(failure));
            Ok(())
        }
        ToHost::Log {
            call,
            level,
            mut text,
            mut message,
        } => {
            let now = Instant::now();
            let allowed = state.log_allowed(now);
            cut(&mut text, LOG_BYTES_MAX);
            cut(&mut message, LOG_MESSAGE_BYTES_MAX);
            // A log line of a call that is done already belongs to nobody's trace.
            if allowed && let Some(trace) = call.and_then(|call| state.trace(call)) {
                trace.log(&level, &text, &message);
            }
            let worker = state.worker.clone();
            drop(state);
            guest
                .hub
                .log(guest, worker.as_deref(), level, text, allowed);
            Ok(())
        }
        ToHost::Exception { call, failure } => {
            let failure = accepted(Lift::new(guest, &mut state).failure(failure))?;
            let allowed = state.log_allowed(Instant::now());
            if let Some(call) = call {
                failed_meanwhile(&mut state, call);
                if allowed && let Some(trace) = state.trace(call) {
                    trace.exception(&failure);
                }
            }
            let worker = state.worker.clone();
            drop(state);
            guest
                .hub
                .exception(guest, worker.as_deref(), failure, allowed);
            Ok(())
        }
        ToHost::TailMore { call } => {
            let inbound = state.calls_in.get(&call.0);
            let session = inbound.and_then(|inbound| inbound.call.session().cloned());
            drop(state);
            session
                .ok_or(Violation::NotATail(call))
                .map(|session| session.more())
        }
        // What is told of a call that is done, or that nobody follows, is nobody's business.
        ToHost::SpanOpen {
            call,
            span,
            parent,
            mut name,
        } => {
            cut(&mut name, SPAN_BYTES_MAX);
            if state.log_allowed(Instant::now())
                && let Some(trace) = state.trace(call)
            {
                trace.span_open(span, parent, name);
            }
            Ok(())
        }
        ToHost::SpanClose {
            call,
            span,
            mut attributes,
        } => {
            cut(&mut attributes, SPAN_BYTES_MAX);
            if let Some(trace) = state.trace(call) {
                trace.span_close(span, attributes);
            }
            Ok(())
        }
        ToHost::Diagnostic {
            call,
            mut channel,
            message,
        } => {
            cut(&mut channel, SPAN_BYTES_MAX);
            if message.0.len() <= LOG_MESSAGE_BYTES_MAX
                && state.log_allowed(Instant::now())
                && let Some(trace) = state.trace(call)
            {
                trace.diagnostic(&channel, &message.0);
            }
            Ok(())
        }
        ToHost::CallFrom { made, call, span } => {
            let from = state
                .trace(call)
                .map(|trace| (made, trace.context_of(span)));
            state.call_from = from;
            Ok(())
        }
        ToHost::TraceHold { call } => {
            let inbound = state.calls_in.get_mut(&call.0);
            if let Some(invocation) = inbound.and_then(|inbound| inbound.invocation.as_mut()) {
                invocation.trace_held = true;
            }
            Ok(())
        }
        ToHost::TraceEnd { call } => {
            let held = state.traces_held.remove(&call.0);
            drop(state);
            if let Some(held) = held {
                guest.hub.tell(held);
            }
            Ok(())
        }
        ToHost::GetActor {
            stub,
            namespace,
            id,
            name,
        } => get_actor(guest, state, stub, namespace, &id.0, name),
        ToHost::GetCaches { caches } => {
            let capability = loader::caches(guest, &state);
            introduce(&mut state, caches, capability)
        }
        ToHost::GetClass {
            class,
            worker,
            name,
            props,
        } => get_class(guest, state, class, worker, name, props),
        ToHost::GetSelfClass { class, name, props } => {
            get_self(guest, state, class, name, props, Capability::Class)
        }
        ToHost::GetFacet {
            stub,
            actor,
            name,
            start,
        } => get_facet(guest, state, stub, actor, name, start),
        ToHost::AbortFacet {
            actor,
            name,
            failure,
        } => {
            let failure = lifted(guest, &mut state, failure)?;
            let resident = state.actors.get(&actor.0).cloned();
            drop(state);
            if let Some(resident) = resident {
                resident.actor.abort_facet(turn, &name, &failure);
            }
            Ok(())
        }
        ToHost::DeleteFacet { actor, name } => {
            let resident = state.actors.get(&actor.0).cloned();
            drop(state);
            if let Some(resident) = resident
                && let Err(error) = resident.actor.delete_facet(turn, &name)
            {
                tracing::error!(%error, "cannot delete a facet");
            }
            Ok(())
        }
        ToHost::SocketSay {
            actor,
            socket,
            parcels,
            last,
        } => {
            let resident = state.actors.get(&actor.0).cloned();
            drop(state);
            if let Some(resident) = resident {
                let sockets = &resident.actor.sockets;
                sockets.say(socket, parcels, last, &guest.held_bytes);
            }
            Ok(())
        }
        ToHost::OpenSocket {
            actor,
            socket,
            hears,
            says,
        } => open_socket(guest, state, turn, actor, socket, hears, says),
        // The gate has dealt with these.
        ToHost::Storage { .. } | ToHost::Settled {} | ToHost::ActorBroken { .. } => Ok(()),
    }
}

/// A failure in a guest's words, cut to its bounds.
pub(crate) fn lifted(
    guest: &Arc<Guest>,
    state: &mut State,
    failure: Failure,
) -> Result<Failure, Violation> {
    accepted(Lift::new(guest, state).failure(failure))
}

type Locked<'a> = std::sync::MutexGuard<'a, State>;

fn returned(
    guest: &Arc<Guest>,
    mut state: Locked<'_>,
    turn: &mut Turn,
    call: CallId,
    outcome: Outcome,
) -> Result<(), Violation> {
    let Some(inbound) = state.calls_in.get_mut(&call.0) else {
        return Err(Violation::UnknownCall(call));
    };
    let made = inbound.call.clone();
    let is_code = matches!(outcome, Outcome::Code { .. });
    let is_class = matches!(outcome, Outcome::Facet { .. });
    let fits = is_code == made.wants_code() && is_class == made.wants_class();
    if !fits && !matches!(outcome, Outcome::Failed { .. }) {
        return Err(Violation::WrongOutcome(call));
    }
    if std::mem::replace(&mut inbound.returned, true) {
        return Err(Violation::ReturnedTwice(call));
    }
    if let Some(invocation) = &mut inbound.invocation {
        if let Outcome::Failed { failure } = &outcome
            && invocation.outcome == "ok"
        {
            invocation.outcome = failed_outcome(failure);
        }
        if let Outcome::Response {
            body: mayfly_wire::Body::Stream { stream, .. },
            ..
        } = &outcome
        {
            invocation.body = Some(*stream);
        }
        if let Some(trace) = &mut invocation.trace {
            trace.returned(&outcome);
        }
    }
    let held = match Lift::new(guest, &mut state).outcome(outcome) {
        Ok(held) => held,
        Err(LiftError::Refused(failure)) => HeldOutcome::Failed(failure),
        Err(LiftError::Violation(violation)) => {
            drop(state);
            made.fail(turn, EndReason::Violation(violation.clone()).failure());
            return Err(violation);
        }
    };
    drop(state);
    made.settle(turn, held);
    Ok(())
}

fn failed_outcome(failure: &Failure) -> &'static str {
    match failure.kind {
        FailureKind::Canceled {} => "canceled",
        _ => "exception",
    }
}

/// Sends a caller its outcome.
pub fn give_outcome(turn: &mut Turn, guest: &Arc<Guest>, call: CallId, outcome: HeldOutcome) {
    let mut attach = Vec::new();
    let mut state = guest.lock();
    // An ended guest's tables are empty; the outcome's drop cleans up.
    let Some(made) = state.calls_out.remove(&call.0) else {
        return;
    };
    if let Some(worker) = made.abroad()
        && state.abroad.leave(worker)
    {
        // Locks may be held here.
        guest.hub.chores.post(Chore::Resume(guest.clone()));
    }
    guest.note_waiting(&state);
    let outcome = match state.refuse_room(outcome.room()) {
        Some(failure) => HeldOutcome::Failed(failure),
        None => outcome,
    };
    let outcome = Lower::new(guest, &mut state, &mut attach).outcome(outcome);
    guest.push_message(&mut state, ToGuest::Return { call, outcome });
    drop(state);
    drop(made);
    turn.mark(guest);
    for attachment in attach {
        attachment.attach(turn, guest);
    }
}

/// Takes a call to whatever the capability leads to.
pub fn route(
    turn: &mut Turn,
    hub: &Arc<Hub>,
    call: &Arc<Call>,
    capability: &Capability,
    event: HeldEvent,
) {
    match capability {
        Capability::Service(service) => invoke(turn, call, service, event),
        Capability::Network(service) => network::ask(hub, turn, call, service, event),
        Capability::Blocked => call.fail(turn, blocked()),
        Capability::Failed(failure) => call.fail(turn, (**failure).clone()),
        Capability::Object(object) => {
            let target = Target::Export(object.export);
            if deliver(turn, &object.guest, target, call, event, None).is_err() {
                call.fail(turn, object.guest.lost());
            }
        }
        Capability::Answer(answer) => answer.call.pipeline(turn, call.clone(), event),
        Capability::Actor(actor) => actor.call(turn, call, event),
        Capability::Loader(_)
        | Capability::Stub(_)
        | Capability::Actors(_)
        | Capability::OwnActors(_)
        | Capability::Class(_) => {
            // `callable` let only callable ones pass.
            let message = "this capability cannot be called";
            call.fail(
                turn,
                Failure::new(FailureKind::Exception {}, "TypeError", message),
            );
        }
    }
}

/// Delivers an event to an entrypoint of a Worker.
pub fn invoke(turn: &mut Turn, call: &Arc<Call>, service: &Arc<ServiceCap>, event: HeldEvent) {
    let worker = &service.worker;
    let Some(handle) = service.keep.clone().or_else(|| worker.handle()) else {
        call.fail(turn, EndReason::Released.failure());
        return;
    };
    worker.dispatch(
        turn,
        PendingInvoke {
            call: call.clone(),
            service: service.clone(),
            actor: None,
            event,
            handle,
        },
    );
}

fn callable(state: &State, cap: CapId) -> Result<Capability, Violation> {
    match state.caps.get(&cap.0) {
        None => Err(Violation::UnknownCap(cap)),
        Some(
            Capability::Loader(_)
            | Capability::Stub(_)
            | Capability::Actors(_)
            | Capability::OwnActors(_)
            | Capability::Class(_),
        ) => Err(Violation::NotCallable(cap)),
        Some(capability) => Ok(capability.clone()),
    }
}

fn spend_sub_request(state: &mut State, capability: &Capability) -> Result<(), Failure> {
    if !matches!(
        capability,
        Capability::Service(_) | Capability::Network(_) | Capability::Actor(_)
    ) {
        return Ok(());
    }
    state.spend_sub_request().map_err(|max| {
        budget::count(
            FailureKind::Limit {},
            budget::SUBREQUESTS,
            "Too many subrequests by single Worker invocation.",
            max + 1,
            max,
        )
    })
}

/// Puts a capability into a slot of the guest's choice.
pub fn introduce(state: &mut State, slot: CapId, capability: Capability) -> Result<(), Violation> {
    if slot.0.is_multiple_of(2) || state.caps.contains_key(&slot.0) {
        return Err(Violation::CapTaken(slot));
    }
    if state.caps.len() >= CAPS_MAX {
        return Err(Violation::TooManyCaps);
    }
    state.caps.insert(slot.0, capability);
    Ok(())
}

/// A capability whose every use fails.
pub fn failed(failure: Failure) -> Capability {
    Capability::Failed(Arc::new(failure))
}

fn too_long(what: &str, bytes: usize, limit: usize) -> Failure {
    Failure::new(
        FailureKind::Limit {},
        "TypeError",
        format!("{what} is {bytes} bytes, limit {limit}"),
    )
}

fn open_stream(state: &State, id: StreamId, role: Role) -> Result<Option<Arc<Link>>, Violation> {
    match state.streams.get(&id.0) {
        Some((known, link)) if *known == role => Ok(Some(link.clone())),
        // Closed by the other end while this frame was under way.
        None if state.stream_was_known(id) => Ok(None),
        Some(_) | None => Err(Violation::UnknownStream(id)),
    }
}

fn close_stream(
    state: &mut State,
    id: StreamId,
    role: Role,
) -> Result<Option<Arc<Link>>, Violation> {
    let link = open_stream(state, id, role)?;
    if link.is_some() {
        state.streams.remove(&id.0);
    }
    Ok(link)
}

fn accepted(failure: Result<Failure, LiftError>) -> Result<Failure, Violation> {
    match failure {
        Ok(failure) | Err(LiftError::Refused(failure)) => Ok(failure),
        Err(LiftError::Violation(violation)) => Err(violation),
    }
}

/// An error outside the handler itself, in `waitUntil` say, makes the whole invocation a failed one.
fn failed_meanwhile(state: &mut State, call: CallId) {
    if let Some(invocation) = state
        .calls_in
        .get_mut(&call.0)
        .and_then(|inbound| inbound.invocation.as_mut())
        && invocation.outcome == "ok"
    {
        invocation.outcome = "exception";
    }
}

fn get_entrypoint(
    guest: &Arc<Guest>,
    mut state: Locked<'_>,
    service: CapId,
    worker: CapId,
    name: Option<String>,
    props: mayfly_wire::Payload,
    limits: Limits,
) -> Result<(), Violation> {
    let props = Lift::new(guest, &mut state).payload(props, Purpose::Props);
    let stub: Arc<StubCap> = match state.caps.get(&worker.0) {
        Some(Capability::Stub(stub)) => stub.clone(),
        Some(Capability::Failed(failure)) => {
            let failure = Capability::Failed(failure.clone());
            return introduce(&mut state, service, failure);
        }
        Some(_) => return Err(Violation::NotAStub(worker)),
        None => return Err(Violation::UnknownCap(worker)),
    };
    let capability = match (props, name.unwrap_or_default()) {
        (Err(LiftError::Violation(violation)), _) => return Err(violation),
        (Err(LiftError::Refused(failure)), _) => failed(failure),
        (Ok(_), name) if name.len() > NAME_BYTES_MAX => {
            failed(too_long("entrypoint name", name.len(), NAME_BYTES_MAX))
        }
        (Ok(props), name) => Capability::Service(Arc::new(ServiceCap {
            worker: stub.handle.worker().clone(),
            keep: Some(stub.handle.clone()),
            entrypoint: name,
            props: Arc::new(props),
            limits,
            callback: stub.callback.clone(),
            storable: false,
        })),
    };
    introduce(&mut state, service, capability)
}

/// A guest without a Worker may say one thing, once, where it was asked for it.
fn compiled(state: &mut Locked<'_>, frame: ToHost) -> Result<(), Violation> {
    match (frame, state.compiling.take()) {
        (ToHost::Compiled { bytes }, Some(answer)) => {
            // Whoever asked may have given up.
            let _ = answer.send(bytes);
            Ok(())
        }
        _ => Err(Violation::NotStarted),
    }
}

fn get_self(
    guest: &Arc<Guest>,
    mut state: Locked<'_>,
    service: CapId,
    name: String,
    props: mayfly_wire::Payload,
    make: fn(Arc<ServiceCap>) -> Capability,
) -> Result<(), Violation> {
    let props = Lift::new(guest, &mut state).payload(props, Purpose::Props);
    let Some(worker) = state.worker.clone() else {
        return Err(Violation::NotStarted);
    };
    let storable = worker.lets_stubs_be_stored();
    let capability = match props {
        Err(LiftError::Violation(violation)) => return Err(violation),
        Err(LiftError::Refused(failure)) => failed(failure),
        Ok(_) if name.len() > NAME_BYTES_MAX => {
            failed(too_long("entrypoint name", name.len(), NAME_BYTES_MAX))
        }
        Ok(props) => make(Arc::new(ServiceCap {
            worker,
            keep: None,
            entrypoint: name,
            props: Arc::new(props),
            limits: Limits::NONE,
            callback: None,
            storable,
        })),
    };
    introduce(&mut state, service, capability)
}

fn get_actor(
    guest: &Arc<Guest>,
    mut state: Locked<'_>,
    stub: CapId,
    namespace: CapId,
    id: &[u8],
    name: Option<String>,
) -> Result<(), Violation> {
    let (found, storable) = match state.caps.get(&namespace.0) {
        Some(Capability::Actors(found)) => (found.clone(), false),
        Some(Capability::OwnActors(found)) => {
            let storable = found.class.worker.lets_stubs_be_stored();
            (found.clone(), storable)
        }
        Some(_) => return Err(Violation::NotANamespace(namespace)),
        None => return Err(Violation::UnknownCap(namespace)),
    };
    let key = &found.stored.key;
    // The platform has checked the id; a guest that talks past it hears the same.
    let capability = match ObjectId::check(id, key) {
        Some(id) => {
            let name = name.filter(|name| id.is_of(name, key));
            let actor = found.actor(&guest.hub, id, name);
            let stub = ActorCap::new(actor, None);
            Capability::Actor(Arc::new(match storable {
                true => stub.storable(),
                false => stub,
            }))
        }
        None => failed(Failure::new(
            FailureKind::Exception {},
            "TypeError",
            "Invalid Durable Object ID. The ID does not match this Durable Object class.",
        )),
    };
    introduce(&mut state, stub, capability)
}

fn get_class(
    guest: &Arc<Guest>,
    mut state: Locked<'_>,
    class: CapId,
    worker: CapId,
    name: Option<String>,
    props: mayfly_wire::Payload,
) -> Result<(), Violation> {
    let props = Lift::new(guest, &mut state).payload(props, Purpose::Props);
    let stub: Arc<StubCap> = match state.caps.get(&worker.0) {
        Some(Capability::Stub(stub)) => stub.clone(),
        Some(Capability::Failed(failure)) => {
            let failure = Capability::Failed(failure.clone());
            return introduce(&mut state, class, failure);
        }
        Some(_) => return Err(Violation::NotAStub(worker)),
        None => return Err(Violation::UnknownCap(worker)),
    };
    let capability = match (props, name.unwrap_or_else(|| "default".to_owned())) {
        (Err(LiftError::Violation(violation)), _) => return Err(violation),
        (Err(LiftError::Refused(failure)), _) => failed(failure),
        (Ok(_), name) if name.len() > NAME_BYTES_MAX => {
            failed(too_long("class name", name.len(), NAME_BYTES_MAX))
        }
        (Ok(props), name) => Capability::Class(Arc::new(ServiceCap {
            worker: stub.handle.worker().clone(),
            keep: Some(stub.handle.clone()),
            entrypoint: name,
            props: Arc::new(props),
            limits: Limits::NONE,
            callback: stub.callback.clone(),
            storable: false,
        })),
    };
    introduce(&mut state, class, capability)
}

fn get_facet(
    guest: &Arc<Guest>,
    mut state: Locked<'_>,
    stub: CapId,
    actor: mayfly_wire::ActorId,
    name: String,
    start: mayfly_wire::ExportId,
) -> Result<(), Violation> {
    let start = Lift::new(guest, &mut state).export(start);
    let capability = match state.actors.get(&actor.0) {
        _ if name.len() > FACET_NAME_BYTES_MAX => {
            failed(too_long("facet name", name.len(), FACET_NAME_BYTES_MAX))
        }
        Some(resident) => match resident.actor.facet(&name) {
            Ok(facet) => Capability::Actor(Arc::new(ActorCap::new(facet, Some(start)))),
            Err(failure) => failed(failure),
        },
        // It ended on this side meanwhile.
        None => failed(EndReason::Released.failure()),
    };
    introduce(&mut state, stub, capability)
}

/// The guest that holds an instance takes the other end of the instance's socket itself.
fn open_socket(
    guest: &Arc<Guest>,
    mut state: Locked<'_>,
    turn: &mut Turn,
    actor: mayfly_wire::ActorId,
    socket: u32,
    hears: StreamId,
    says: StreamId,
) -> Result<(), Violation> {
    let end = match Lift::new(guest, &mut state).held(actor, socket) {
        Ok(end) => end,
        Err(LiftError::Violation(violation)) => return Err(violation),
        Err(LiftError::Refused(_)) => {
            // Its instance ended meanwhile: a socket without another end, so that the guest's numbers
            // are known.
            let (_, reader) = Link::pair(&guest.hub.chores);
            let (writer, _) = Link::pair(&guest.hub.chores);
            HeldSocket { reader, writer }
        }
    };
    if state.streams.len() + 2 > STREAMS_MAX {
        return Err(Violation::TooManyStreams);
    }
    for (link, id, role) in [
        (end.reader.link(), hears, Role::Reads),
        (end.writer.link(), says, Role::Writes),
    ] {
        let Some(link) = link else { continue };
        if !state.open_guest_stream(id, role, link.clone()) {
            return Err(Violation::StreamTaken(id));
        }
    }
    drop(state);
    end.reader.attach(turn, guest, hears, false);
    end.writer.attach(turn, guest, says);
    Ok(())
}

/// No props.
pub fn no_props() -> Arc<HeldPayload> {
    Arc::new(HeldPayload::default())
}
