//! What each frame of a guest does.
//!
//! [`apply`] is the one door for a guest's words: it takes a decoded frame, changes tables, and
//! writes to other guests' buffers. It never waits and never holds two guests' locks. It does not
//! read sockets (`inbox`) and does not start processes (`pool`).
//!
//! Invariant: whatever the frame, the worst outcome is a [`Violation`], which ends this one guest.

mod calls;
mod slots;
mod streams;
mod violation;

pub use calls::{give_outcome, invoke, route};
pub use slots::{failed, introduce, no_props};
pub use violation::Violation;

use calls::{callable, failed_meanwhile, returned, spend_sub_request};
use slots::{get_actor, get_class, get_entrypoint, get_facet, get_self, too_long};
use streams::{close_stream, open_socket, open_stream};

use crate::abroad::Turnout;
use crate::bounds::{ID_BYTES_MAX, REASON_BYTES_MAX};
use crate::call::{Call, Caller};
use crate::capability::{AnswerCap, Capability};
use crate::ending::EndReason;
use crate::gate;
use crate::guest::{Guest, HeldTrace, Role, State};
use crate::held::HeldOutcome;
use crate::loader;
use crate::restored::{Asked, restored};
use crate::translate::{Lift, LiftError, cut};
use crate::turn::Turn;
use mayfly_wire::bounds::{CALLS_MAX, LOG_BYTES_MAX, LOG_MESSAGE_BYTES_MAX, SPAN_BYTES_MAX};
use mayfly_wire::{Event, Failure, LogValues, ToHost};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

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
            if result.is_some() && !matches!(event, Event::Rpc { .. }) {
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
            if let Event::Restore { .. } = event {
                // The guest asks whether `ctx.restore()` came to something.
                drop(state);
                return match capability {
                    Capability::Restored(_) => {
                        made.settle(turn, HeldOutcome::Nothing { no_retry: false });
                        Ok(())
                    }
                    Capability::Failed(failure) => {
                        made.fail(turn, (*failure).clone());
                        Ok(())
                    }
                    _ => Err(Violation::NotForGuests),
                };
            }
            let capability = match &capability {
                Capability::Restored(restored) => restored.target().unwrap_or(capability),
                _ => capability,
            };
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
                if !guest.settled.swap(true, Ordering::Relaxed) {
                    guest.process.settle();
                }
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
            mut values,
        } => {
            let now = Instant::now();
            let allowed = state.log_allowed(now);
            cut(&mut text, LOG_BYTES_MAX);
            if let LogValues::Json { json } = &mut values {
                cut(json, LOG_MESSAGE_BYTES_MAX);
            }
            // A log line of a call that is done already belongs to nobody's trace.
            if allowed && let Some(trace) = call.and_then(|call| state.trace(call)) {
                trace.log(&level, &text, values);
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
        ToHost::Restored {
            slot,
            call,
            actor,
            entrypoint,
            props,
            args,
            target,
        } => {
            let asked = Asked {
                slot,
                call,
                actor,
                entrypoint,
                props,
                args,
                target,
            };
            restored(guest, state, asked)
        }
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

fn accepted(failure: Result<Failure, LiftError>) -> Result<Failure, Violation> {
    match failure {
        Ok(failure) | Err(LiftError::Refused(failure)) => Ok(failure),
        Err(LiftError::Violation(violation)) => Err(violation),
    }
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
