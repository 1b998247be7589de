//! CPU and wall time: guests with calls in flight are looked at every few milliseconds.
//!
//! The kernel counts each process's CPU, so neither a regular expression nor a Wasm loop hides
//! from it. What a process used is shared evenly among the calls it has in flight. That lets a loop
//! among n idle calls run n times as long, so there is a second rule: a guest that burns a whole
//! limit without a word to the host is stuck in one turn and ends as well.
//!
//! What computes for long gives way to what does not ([`State::is_patient`]): a guest's neighbours
//! answer in a millisecond and should not wait behind it for the kernel's idea of fairness.
//!
//! While the main module runs its own limit holds instead of those of the calls that wait for it.
//!
//! Sleeps while nothing is in flight anywhere.

use crate::bounds::{CPU_TICK, STARTUP_ASK, WALL_GRACE};
use crate::call::Call;
use crate::ending::{EndReason, OUTCOME_WALL, wall_failure};
use crate::guest::{Guest, State};
use crate::hub::Hub;
use crate::pairs::TURN_MAX;
use crate::turn::Turn;
use mayfly_sandbox::schedule::Urgency;
use mayfly_wire::CallId;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// Ticks with nothing in flight before the watch sleeps.
const QUIET_TICKS_MAX: u32 = 40;

/// Runs for the life of the supervisor.
pub(crate) async fn watch_cpu(hub: Arc<Hub>) {
    loop {
        hub.active.notified().await;
        hub.watching.store(true, Ordering::SeqCst);
        let mut tick = tokio::time::interval(CPU_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut quiet = 0;
        loop {
            tick.tick().await;
            if check_all(&hub) {
                quiet = 0;
                continue;
            }
            quiet += 1;
            if quiet < QUIET_TICKS_MAX {
                continue;
            }
            // Whoever begins after this store wakes the watch; whoever began before is seen here.
            hub.watching.store(false, Ordering::SeqCst);
            if !hub.any_busy() {
                break;
            }
            hub.watching.store(true, Ordering::SeqCst);
            quiet = 0;
        }
    }
}

/// `false` if nothing is in flight.
fn check_all(hub: &Arc<Hub>) -> bool {
    let busy = hub.busy_guests();
    hub.pairs.look();
    let mut turn = Turn::new();
    for guest in &busy {
        let over = look(guest, hub.options.cpu_max);
        for late in over.late {
            late.call
                .fail(&mut turn, wall_failure(late.used, late.limit));
            guest.cancel_call(&mut turn, late.id, "the wall time limit");
            guest.lock().set_outcome(late.id, OUTCOME_WALL);
        }
        if let Some(reason) = over.end {
            guest.end(&mut turn, reason);
        }
    }
    !busy.is_empty()
}

/// What one look at a guest found.
#[derive(Default)]
struct Over {
    /// Why it ends, if it does.
    end: Option<EndReason>,
    /// Invocations whose time is over since this look.
    late: Vec<Late>,
}

struct Late {
    id: CallId,
    call: Arc<Call>,
    used: Duration,
    limit: Duration,
}

fn look(guest: &Arc<Guest>, cap: Option<Duration>) -> Over {
    let now = guest.process.cpu();
    let heard = guest.heard.swap(false, Ordering::Relaxed);
    let mut state = guest.lock();
    state.charge(now);
    if heard {
        state.cpu_silent = Duration::ZERO;
    }
    let patient = state.is_patient();
    let long_turn = state.cpu_silent > TURN_MAX;
    drop(state);
    schedule(guest, patient);
    if long_turn && guest.paired.load(Ordering::Relaxed) {
        guest.hub.pairs.too_long();
    }
    let mut state = guest.lock();
    let startup = state
        .starting
        .map(|since| state.cpu_seen.saturating_sub(since));
    let end = match startup {
        None => over_cpu(&state, cap),
        Some(used) => {
            if used > STARTUP_ASK {
                guest.process.ask();
            }
            let limit = state.startup_max;
            (used > limit).then_some(EndReason::ExceededStartup { used, limit })
        }
    };
    if end.is_some() {
        return Over {
            end,
            late: Vec::new(),
        };
    }
    over_wall(&mut state)
}

/// Tells the kernel once where it is news.
pub(crate) fn schedule(guest: &Guest, patient: bool) {
    if guest.patient.swap(patient, Ordering::Relaxed) != patient {
        guest.process.schedule(if patient {
            Urgency::Patient
        } else {
            Urgency::Settled
        });
    }
}

fn over_cpu(state: &State, cap: Option<Duration>) -> Option<EndReason> {
    state.calls_in.values().find_map(|inbound| {
        let limit = match &inbound.invocation {
            Some(invocation) => invocation.cpu_max,
            None => cap,
        }?;
        let used = inbound.own_cpu().max(state.cpu_silent);
        (used > limit).then_some(EndReason::ExceededCpu { used, limit })
    })
}

/// First the caller of a late invocation hears of it and its work is cancelled; what goes on all the
/// same ends with its guest.
fn over_wall(state: &mut State) -> Over {
    let mut over = Over::default();
    let now = Instant::now();
    for (id, inbound) in &mut state.calls_in {
        let Some(invocation) = &mut inbound.invocation else {
            continue;
        };
        let Some(limit) = invocation.wall_max else {
            continue;
        };
        let used = now.duration_since(invocation.began);
        match invocation.wall_over {
            None if used > limit => {
                invocation.wall_over = Some(now);
                over.late.push(Late {
                    id: CallId(*id),
                    call: inbound.call.clone(),
                    used,
                    limit,
                });
            }
            Some(since) if now.duration_since(since) > WALL_GRACE => {
                over.end = Some(EndReason::ExceededWall { used, limit });
            }
            _ => {}
        }
    }
    over
}
