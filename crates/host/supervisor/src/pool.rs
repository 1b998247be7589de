//! The pool: warmed guests that wait for a Worker.
//!
//! A taker gets a waiting guest at once; where there is none it queues and the next fork is its.
//! How many wait follows demand: every time the pool runs dry its target doubles, every quiet sweep
//! it shrinks again. Forking itself is the nursery's business (`zygote`; a made-up one in tests).
//!
//! Invariant: a guest in the pool has never been given a Worker.

use crate::bounds::{POOL_QUEUE_MAX, POOL_WAIT_MAX};
use crate::call::overloaded;
use crate::guest::Guest;
use crate::hub::Hub;
use crate::lock::Mutex;
use crate::turn::Turn;
use crate::worker::Worker;
use mayfly_wire::Failure;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Makes guests.
pub trait Nursery: Send + Sync {
    /// Asks for `count` more, if any, and for haste if somebody waits; each arrives at [`Hub::guest_born`] or is told to
    /// [`Pool::fork_failed`].
    fn fork(&self, count: usize);
}

/// Makes none.
#[derive(Debug)]
pub struct NoNursery;

impl Nursery for NoNursery {
    fn fork(&self, _count: usize) {}
}

/// What a taker gets.
pub enum Taken {
    /// A guest.
    Guest(Arc<Guest>),
    /// One comes later, to [`Worker::adopt`].
    Queued,
    /// None comes.
    Refused(Failure),
}

/// See the file's head.
pub struct Pool {
    min: usize,
    max: usize,
    guests_max: usize,
    nursery: Box<dyn Nursery>,
    state: Mutex<PoolState>,
}

#[derive(Default)]
struct PoolState {
    ready: VecDeque<Arc<Guest>>,
    waiting: VecDeque<(Arc<Worker>, Instant)>,
    forking: usize,
    target: usize,
    /// Guests that run a Worker.
    live: usize,
    /// The pool ran dry since the last sweep.
    dry: bool,
    closed: bool,
}

/// How many guests there are, for metrics and eviction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolCounts {
    /// Waiting for a Worker.
    pub ready: usize,
    /// Being forked.
    pub forking: usize,
    /// Workers that wait for a guest.
    pub waiting: usize,
    /// Running a Worker.
    pub live: usize,
}

impl Pool {
    /// An empty pool.
    pub fn new(min: usize, max: usize, guests_max: usize, nursery: Box<dyn Nursery>) -> Self {
        Self {
            min,
            max: max.max(min),
            guests_max,
            nursery,
            state: Mutex::new(PoolState {
                target: min,
                ..PoolState::default()
            }),
        }
    }

    /// A guest for `worker`. The caller holds the Worker's lock, so this only counts and queues.
    pub(crate) fn take(&self, worker: &Arc<Worker>) -> Taken {
        let (taken, forks) = {
            let mut state = self.state.lock();
            if state.closed {
                return Taken::Refused(crate::ending::EndReason::Shutdown.failure());
            }
            let full = state.live >= self.guests_max;
            let guest = if full { None } else { state.pop_ready() };
            let taken = match guest {
                Some(guest) => {
                    state.live += 1;
                    guest.taken.store(true, Ordering::Relaxed);
                    Taken::Guest(guest)
                }
                None if state.waiting.len() >= POOL_QUEUE_MAX => {
                    Taken::Refused(overloaded("Workers wait for a process"))
                }
                None => {
                    state.waiting.push_back((worker.clone(), Instant::now()));
                    Taken::Queued
                }
            };
            if state.ready.is_empty() && !full {
                state.dry = true;
                state.target = (state.target * 2).max(1).clamp(self.min, self.max);
            }
            (taken, state.wanted(self.guests_max))
        };
        match taken {
            // Forks under way are waited for now, which the nursery has to know.
            Taken::Queued => self.nursery.fork(forks),
            _ => self.ask(forks),
        }
        taken
    }

    /// Somebody waits for the next fork.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.state.lock().waiting.is_empty()
    }

    /// A guest for work that can wait: only where nobody waits for one and others are left. It runs no
    /// Worker, so it is not counted.
    pub(crate) fn take_spare(&self) -> Option<Arc<Guest>> {
        let (guest, forks) = {
            let mut state = self.state.lock();
            let spare = state.waiting.is_empty() && state.ready.len() > state.target / 2;
            if state.closed || !spare || state.live >= self.guests_max {
                return None;
            }
            (state.pop_ready(), state.wanted(self.guests_max))
        };
        self.ask(forks);
        guest
    }

    /// No guest is given before another ends.
    pub(crate) fn is_full(&self) -> bool {
        self.state.lock().live >= self.guests_max
    }

    fn ask(&self, forks: usize) {
        if forks > 0 {
            self.nursery.fork(forks);
        }
    }

    /// Forks what is missing.
    pub(crate) fn refill(&self) {
        let forks = self.state.lock().wanted(self.guests_max);
        self.ask(forks);
    }

    /// A fork succeeded.
    pub(crate) fn add(&self, turn: &mut Turn, guest: Arc<Guest>) {
        {
            let mut state = self.state.lock();
            state.forking = state.forking.saturating_sub(1);
        }
        self.offer(turn, guest);
    }

    fn offer(&self, turn: &mut Turn, guest: Arc<Guest>) {
        let worker = {
            let mut state = self.state.lock();
            if guest.end_reason().is_some() {
                None
            } else if state.live < self.guests_max
                && let Some((worker, _)) = state.waiting.pop_front()
            {
                state.live += 1;
                guest.taken.store(true, Ordering::Relaxed);
                Some(worker)
            } else {
                state.ready.push_back(guest.clone());
                None
            }
        };
        if let Some(worker) = worker {
            worker.adopt(turn, guest);
        }
    }

    /// A guest that was taken and not used.
    pub(crate) fn put_back(&self, turn: &mut Turn, guest: Arc<Guest>) {
        {
            let mut state = self.state.lock();
            state.count_out(&guest);
        }
        self.offer(turn, guest);
    }

    /// Forks that will not come.
    pub(crate) fn fork_failed(&self, count: usize) {
        let mut state = self.state.lock();
        state.forking = state.forking.saturating_sub(count);
    }

    /// A guest ended.
    pub(crate) fn ended(&self, turn: &mut Turn, guest: &Arc<Guest>) {
        let next = {
            let mut state = self.state.lock();
            if !state.count_out(guest) {
                state.ready.retain(|ready| !Arc::ptr_eq(ready, guest));
            }
            // Room for a Worker that waited only for the bound.
            if !state.waiting.is_empty() && state.live < self.guests_max {
                state.pop_ready()
            } else {
                None
            }
        };
        if let Some(guest) = next {
            self.offer(turn, guest);
        }
        self.refill();
    }

    /// Once a sweep: shrinks what a burst grew and refuses those who waited too long.
    pub(crate) fn sweep(&self, turn: &mut Turn) {
        let mut late = Vec::new();
        {
            let mut state = self.state.lock();
            if !std::mem::take(&mut state.dry) {
                state.target = (state.target - state.target / 4).max(self.min);
            }
            while let Some((_, since)) = state.waiting.front()
                && since.elapsed() > POOL_WAIT_MAX
            {
                late.extend(state.waiting.pop_front());
            }
        }
        for (worker, _) in late {
            worker.refuse(turn, &overloaded("Workers wait for a process"));
        }
        self.refill();
    }

    /// Refuses everybody who waits, and everybody who comes.
    pub(crate) fn refuse_all(&self, turn: &mut Turn, failure: &Failure, closed: bool) {
        let waiting = {
            let mut state = self.state.lock();
            state.closed |= closed;
            std::mem::take(&mut state.waiting)
        };
        for (worker, _) in waiting {
            worker.refuse(turn, failure);
        }
    }

    /// How many there are.
    pub fn counts(&self) -> PoolCounts {
        let state = self.state.lock();
        PoolCounts {
            ready: state.ready.len(),
            forking: state.forking,
            waiting: state.waiting.len(),
            live: state.live,
        }
    }
}

impl PoolState {
    /// Counts a taken guest no longer, once; `false` if it was not taken.
    fn count_out(&mut self, guest: &Guest) -> bool {
        let taken = guest.taken.swap(false, Ordering::Relaxed);
        if taken {
            self.live = self.live.saturating_sub(1);
        }
        taken
    }

    fn pop_ready(&mut self) -> Option<Arc<Guest>> {
        // The one that waited longest: it has certainly finished warming up.
        while let Some(guest) = self.ready.pop_front() {
            if guest.end_reason().is_none() {
                return Some(guest);
            }
        }
        None
    }

    /// Books and gives the forks to ask for.
    fn wanted(&mut self, guests_max: usize) -> usize {
        if self.closed {
            return 0;
        }
        let room = guests_max.saturating_sub(self.live);
        let waiting = self.waiting.len().min(room);
        let coming = self.ready.len() + self.forking;
        // Half a pool at a time: a fork takes a core's time from the request that caused it, so
        // most requests cause none.
        if waiting <= self.forking && coming > self.target / 2 {
            return 0;
        }
        let forks = (self.target + waiting).saturating_sub(coming);
        self.forking += forks;
        forks
    }
}

impl Hub {
    /// A fork of the nursery's: it waits in the pool from now on.
    pub(crate) fn guest_born(&self, turn: &mut Turn, guest: Arc<Guest>) {
        self.pool_of(guest.jitless).add(turn, guest);
    }
}
