//! CPU limits: guests with calls in flight are looked at every few milliseconds.
//!
//! The kernel counts each process's CPU, so neither a regular expression nor a Wasm loop hides
//! from it. What a process used is shared evenly among the calls it has in flight. That lets a loop
//! among n idle calls run n times as long, so there is a second rule: a guest that burns a whole
//! limit without a word to the host is stuck in one turn and ends as well.
//!
//! Sleeps while nothing is in flight anywhere.

use crate::bounds::CPU_TICK;
use crate::ending::EndReason;
use crate::guest::{Guest, State};
use crate::hub::Hub;
use crate::turn::Turn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
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
    let mut turn = Turn::new();
    for guest in &busy {
        if over_limit(guest, hub.options.cpu_max) {
            guest.end(&mut turn, EndReason::ExceededCpu);
        }
    }
    !busy.is_empty()
}

fn over_limit(guest: &Arc<Guest>, cap: Option<Duration>) -> bool {
    let now = guest.process.cpu();
    let heard = guest.heard.swap(false, Ordering::Relaxed);
    let mut state = guest.lock();
    state.charge(now);
    if heard {
        state.cpu_silent = Duration::ZERO;
    }
    is_over(&state, cap)
}

fn is_over(state: &State, cap: Option<Duration>) -> bool {
    state.calls_in.values().any(|inbound| {
        let max = match &inbound.invocation {
            Some(invocation) => invocation.cpu_max,
            None => cap,
        };
        let used = inbound.cpu.saturating_sub(inbound.excused);
        max.is_some_and(|max| used > max || state.cpu_silent > max)
    })
}
