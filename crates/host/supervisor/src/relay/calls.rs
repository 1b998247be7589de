//! Calls on their way: from the capability that was called to whoever answers, and the outcome back.
//!
//! Invariant: a call that cannot be taken where it was to go fails, so that its caller hears.

use super::{Locked, Violation};
use crate::budget;
use crate::call::{Call, Target, deliver};
use crate::capability::{Capability, ServiceCap, blocked};
use crate::ending::EndReason;
use crate::guest::{Guest, State};
use crate::held::{HeldEvent, HeldOutcome};
use crate::hub::{Chore, Hub};
use crate::network;
use crate::tail;
use crate::translate::{Lift, LiftError, Lower};
use crate::turn::Turn;
use crate::worker::PendingInvoke;
use mayfly_wire::{CallId, CapId, Failure, FailureKind, Outcome, ToGuest};
use std::sync::Arc;
use std::sync::atomic::Ordering;

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
        Capability::Restored(restored) => restored.call(turn, hub, call, event),
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
    if worker.is_tail.load(Ordering::Relaxed) && !event.is_told() {
        tail::tell_queued(&worker.hub, turn);
    }
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

pub(super) fn callable(state: &State, cap: CapId) -> Result<Capability, Violation> {
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

pub(super) fn spend_sub_request(state: &mut State, capability: &Capability) -> Result<(), Failure> {
    if !matches!(
        capability,
        Capability::Service(_)
            | Capability::Network(_)
            | Capability::Actor(_)
            | Capability::Restored(_)
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

pub(super) fn returned(
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
    let is_restored = matches!(outcome, Outcome::Restored { .. });
    let fits = is_code == made.wants_code()
        && is_class == made.wants_class()
        && is_restored == made.wants_restored();
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

pub(super) fn failed_outcome(failure: &Failure) -> &'static str {
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

/// An error outside the handler itself, in `waitUntil` say, makes the whole invocation a failed one.
pub(super) fn failed_meanwhile(state: &mut State, call: CallId) {
    if let Some(invocation) = state
        .calls_in
        .get_mut(&call.0)
        .and_then(|inbound| inbound.invocation.as_mut())
        && invocation.outcome == "ok"
    {
        invocation.outcome = "exception";
    }
}
