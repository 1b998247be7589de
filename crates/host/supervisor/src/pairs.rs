//! Pairs: two guests that call each other in turn share a core with the host's thread between them.
//!
//! While one call after another goes from a guest to another and back, only one of caller, host and
//! callee has anything to do at any moment. The kernel sees an idle core at each wake-up and moves
//! the woken there, and waking an idle core costs several times what the call does (in a virtual
//! machine 20 to 50 microseconds, four times a call). On one core the same wake-ups are plain
//! switches.
//!
//! So a pair that has made [`STREAK_MIN`] calls like that is bound to the core its calls pass
//! through, and released as soon as it is no pair any more: calls that overlap, calls of others,
//! silence, or a turn of more than [`TURN_MAX`], which would be in another's way. Where the kernel
//! refuses, all stays as it was.
//!
//! Invariant: at most one pair is bound, and whatever is bound is released by the CPU watch within a
//! few ticks of its last call.

use crate::guest::{Guest, GuestId};
use crate::lock::Mutex;
use mayfly_sandbox::Pid;
use mayfly_sandbox::affinity::{Cores, current_thread};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Calls in turn that make a pair: rarely reached by chance, a millisecond or two for those who mean it.
const STREAK_MIN: u32 = 24;

/// Calls that lie farther apart are no streak: there is nothing to gain for them.
const GAP_MAX: Duration = Duration::from_millis(2);

/// Calls that fit no pair before a bound one is released.
const STRANGERS_MAX: u32 = 4;

/// CPU time of one turn after which a bound guest needs a core of its own.
pub(crate) const TURN_MAX: Duration = Duration::from_millis(2);

/// Silence after which the CPU watch releases a pair.
const SILENCE_MAX: Duration = Duration::from_millis(20);

/// How long nobody is bound after a turn that was too long.
const PAUSE: Duration = Duration::from_secs(1);

thread_local! {
    /// The binding that this thread is part of.
    static BOUND_AS: Cell<u64> = const { Cell::new(0) };
}

/// See the file's head.
#[derive(Default)]
pub(crate) struct Pairs {
    /// Numbers bindings; 0 while nobody is bound.
    bound_as: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Caller and callee of the last call.
    last: Option<(GuestId, GuestId)>,
    last_at: Option<Instant>,
    streak: u32,
    strangers: u32,
    bindings: u64,
    bound: Option<Bound>,
    not_before: Option<Instant>,
}

struct Bound {
    /// Weak, or a guest would keep its hub, and the hub the guest.
    guests: [Weak<Guest>; 2],
    /// Threads of the host's.
    threads: Vec<Pid>,
    core: Cores,
    before: Cores,
}

impl Pairs {
    /// A call went from one guest into another; `alone` says that neither has any other.
    pub(crate) fn note_call(&self, caller: &Arc<Guest>, callee: &Arc<Guest>, alone: bool) {
        // Whoever holds it shows that there is more going on than one pair's calls.
        let Some(mut state) = self.state.try_lock() else {
            return;
        };
        let now = Instant::now();
        let pair = (caller.id, callee.id);
        let soon = state
            .last_at
            .is_some_and(|at| now.duration_since(at) < GAP_MAX);
        let follows = alone && soon && state.last == Some(pair);
        if state.bound.is_some() {
            let fits = alone && is_bound(caller) && is_bound(callee);
            state.strangers = if fits { 0 } else { state.strangers + 1 };
            if state.strangers >= STRANGERS_MAX {
                self.release_in(&mut state);
            }
        }
        state.streak = if follows { state.streak + 1 } else { 0 };
        state.last = Some(pair);
        state.last_at = Some(now);
        let may = state.bound.is_none() && state.not_before.is_none_or(|at| now >= at);
        if may && state.streak >= STREAK_MIN {
            state.streak = 0;
            self.bind_in(&mut state, caller, callee);
        }
    }

    fn bind_in(&self, state: &mut State, caller: &Arc<Guest>, callee: &Arc<Guest>) {
        let (Ok(before), Ok(core)) = (Cores::allowed(), Cores::current()) else {
            return;
        };
        if before.count() < 2 {
            return;
        }
        state.bindings += 1;
        state.strangers = 0;
        for guest in [caller, callee] {
            guest.process.bind(&core);
            guest.paired.store(true, Ordering::Relaxed);
        }
        state.bound = Some(Bound {
            guests: [Arc::downgrade(caller), Arc::downgrade(callee)],
            threads: Vec::new(),
            core,
            before,
        });
        self.bound_as.store(state.bindings, Ordering::Relaxed);
        self.join_in(state);
    }

    /// The calling thread is about to handle frames of a bound guest: it belongs to the same core.
    pub(crate) fn join(&self) {
        let number = self.bound_as.load(Ordering::Relaxed);
        if number != 0
            && number != BOUND_AS.get()
            && let Some(mut state) = self.state.try_lock()
        {
            self.join_in(&mut state);
        }
    }

    fn join_in(&self, state: &mut State) {
        let number = state.bindings;
        if let Some(bound) = &mut state.bound {
            let thread = current_thread();
            if bound.core.bind(thread).is_ok() {
                bound.threads.push(thread);
            }
            BOUND_AS.set(number);
        }
    }

    /// A look every few milliseconds: nobody stays bound for nothing.
    pub(crate) fn look(&self) {
        if self.bound_as.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut state = self.state.lock();
        if state.last_at.is_none_or(|at| at.elapsed() > SILENCE_MAX) {
            self.release_in(&mut state);
        }
    }

    /// A bound guest had a long turn.
    pub(crate) fn too_long(&self) {
        let mut state = self.state.lock();
        state.not_before = Some(Instant::now() + PAUSE);
        self.release_in(&mut state);
    }

    /// Nobody is bound any more: a guest has ended.
    pub(crate) fn release(&self) {
        self.release_in(&mut self.state.lock());
    }

    fn release_in(&self, state: &mut State) {
        let Some(bound) = state.bound.take() else {
            return;
        };
        self.bound_as.store(0, Ordering::Relaxed);
        state.streak = 0;
        for guest in bound.guests.iter().filter_map(Weak::upgrade) {
            guest.paired.store(false, Ordering::Relaxed);
            guest.process.release(&bound.before);
        }
        for thread in bound.threads {
            // A thread that has ended needs no core.
            let _ = bound.before.bind(thread);
        }
    }
}

fn is_bound(guest: &Guest) -> bool {
    guest.paired.load(Ordering::Relaxed)
}
