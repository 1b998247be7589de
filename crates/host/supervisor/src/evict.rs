//! Making room: idle guests end, least recently used first.
//!
//! A sweep twice a second, or at once when live guests come near their bound. It ends guests that
//! were idle for long, then as many more as the count or the memory budget asks for; guests whose
//! objects others still hold go last. A guest with a call in flight is never touched, except one
//! that is over its own memory or that burns CPU with nothing to do.

use crate::bounds::{GUEST_BYTES_BESIDE, IDLE_CPU_MAX, SWEEP_SAMPLES_MAX, SWEEP_TICK};
use crate::ending::EndReason;
use crate::guest::Guest;
use crate::hub::Hub;
use crate::turn::Turn;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a guest costs beside what it wrote since it was forked: page tables and kernel memory.
pub(crate) const GUEST_BYTES_FIXED: u64 = 640 * 1024;

/// Sweeps between two looks at a guest's memory grow with the number of guests; this is where the
/// next look begins.
#[derive(Debug, Default)]
struct Sweep {
    cursor: usize,
    /// The least memory ever seen in a guest: what all of them share with their zygote.
    floor_bytes: u64,
}

/// Runs for the life of the supervisor.
pub(crate) async fn run(hub: Arc<Hub>) {
    let mut sweep = Sweep {
        cursor: 0,
        floor_bytes: u64::MAX,
    };
    loop {
        let crowded = tokio::select! {
            () = tokio::time::sleep(SWEEP_TICK) => false,
            () = hub.crowded.notified() => true,
        };
        let mut turn = Turn::new();
        if crowded {
            sweep.evict(&hub, &mut turn, 0);
        } else {
            for pool in hub.pools() {
                pool.sweep(&mut turn);
            }
            rest_idle_actors(&hub, &mut turn);
            let excess_bytes = sweep.look(&hub, &mut turn);
            sweep.evict(&hub, &mut turn, excess_bytes);
        }
    }
}

impl Sweep {
    /// Ends guests that misbehave while idle or take too much; gives the bytes above the budget.
    fn look(&mut self, hub: &Arc<Hub>, turn: &mut Turn) -> u64 {
        let guests = hub.taken_guests();
        for guest in &guests {
            if burns_idle(guest) {
                guest.end(turn, EndReason::IdleCpu);
            }
        }
        if guests.is_empty() {
            hub.counters.memory_bytes.store(0, Ordering::Relaxed);
            return 0;
        }
        let samples = guests.len().min(SWEEP_SAMPLES_MAX);
        for offset in 0..samples {
            let guest = &guests[(self.cursor + offset) % guests.len()];
            let Some(bytes) = guest.process.memory_bytes() else {
                continue;
            };
            guest.memory_bytes.store(bytes, Ordering::Relaxed);
            self.floor_bytes = self.floor_bytes.min(bytes);
            hub.counters.floor_bytes.fetch_min(bytes, Ordering::Relaxed);
            let (worker, limit) = {
                let state = guest.lock();
                (state.worker.clone(), state.memory_max)
            };
            if let Some(worker) = worker {
                worker.account.weighed(hub.cost_of(bytes));
            }
            let used = bytes.saturating_sub(self.floor_bytes);
            if used > limit.saturating_add(GUEST_BYTES_BESIDE) {
                guest.end(turn, EndReason::ExceededMemory { used, limit });
            }
        }
        self.cursor = (self.cursor + samples) % guests.len();
        let total: u64 = guests.iter().map(|guest| self.cost(guest)).sum();
        hub.counters.memory_bytes.store(total, Ordering::Relaxed);
        total.saturating_sub(hub.options.memory_bytes_max)
    }

    /// Memory that would be free without a guest, as of the last look.
    fn cost(&self, guest: &Guest) -> u64 {
        let bytes = guest.memory_bytes.load(Ordering::Relaxed);
        bytes.saturating_sub(self.floor_bytes) + GUEST_BYTES_FIXED
    }

    fn evict(&self, hub: &Arc<Hub>, turn: &mut Turn, excess_bytes: u64) {
        let options = &hub.options;
        let counts = hub.counts();
        // Some more than is missing, so that not every start needs an eviction of its own.
        let low_water = options.guests_max - options.guests_max / 8;
        let mut excess = 0;
        if counts.live + counts.waiting > options.guests_max - options.guests_max / 16 {
            excess = (counts.live + counts.waiting).saturating_sub(low_water);
        }
        let idle_ms_max = u64::try_from(options.idle_max.as_millis()).unwrap_or(u64::MAX);
        let now = hub.now_ms();
        let mut idle: Vec<(bool, u64, Arc<Guest>)> = hub
            .taken_guests()
            .into_iter()
            .filter(|guest| guest.calls_in_flight.load(Ordering::Acquire) == 0)
            .map(|guest| {
                let held = guest.exports_held.load(Ordering::Relaxed) > 0;
                (held, guest.used_ms.load(Ordering::Relaxed), guest)
            })
            .collect();
        idle.sort_unstable_by_key(|(held, used, _)| (*held, *used));
        let mut freed_bytes = 0;
        for (held, used, guest) in idle {
            let expired = !held && now.saturating_sub(used) > idle_ms_max;
            if !expired && excess == 0 && freed_bytes >= excess_bytes {
                continue;
            }
            let worker = guest.lock().worker.clone();
            if let Some(worker) = worker
                && worker.evict(turn, &guest)
            {
                excess = excess.saturating_sub(1);
                freed_bytes += self.cost(&guest);
            }
        }
    }
}

/// How long the database of an object may be idle before its descriptors and its cache are given back.
const DATABASE_IDLE_MS: u64 = 5_000;

/// Ends instances of Durable Objects that nobody has asked for a while.
fn rest_idle_actors(hub: &Arc<Hub>, turn: &mut Turn) {
    let idle_ms = u64::try_from(hub.options.actor_idle_max.as_millis()).unwrap_or(u64::MAX);
    let now = hub.now_ms();
    for guest in hub.taken_guests() {
        let quiet: Vec<_> = {
            let state = guest.lock();
            let residents = state.actors.values();
            residents
                .map(|resident| (now.saturating_sub(resident.actor.used_ms()), resident))
                .filter(|(idle, _)| *idle > idle_ms.min(DATABASE_IDLE_MS))
                .map(|(idle, resident)| (idle > idle_ms, resident.actor.clone()))
                .collect()
        };
        for (is_idle, actor) in quiet {
            if is_idle {
                actor.rest(turn);
            } else {
                actor.close_quiet_database();
            }
            turn.breathe();
        }
    }
}

fn burns_idle(guest: &Arc<Guest>) -> bool {
    if guest.calls_in_flight.load(Ordering::Acquire) > 0 {
        return false;
    }
    let Some(now) = guest.process.cpu() else {
        return false;
    };
    let mut state = guest.lock();
    let used = now.saturating_sub(state.cpu_seen);
    if !state.calls_in.is_empty() {
        return false;
    }
    state.charge(Some(now));
    used > IDLE_CPU_MAX
}
