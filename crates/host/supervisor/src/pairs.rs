//! Pairs: two guests that call each other in turn share a core with the host's thread between them, and
//! so do a guest that asks its storage one question after another, or calls into itself, and the thread
//! that answers.
//!
//! While one call after another goes from a guest to another and back, only one of caller, host and
//! callee has anything to do at any moment; while an object asks, only one of it and the host. The kernel
//! sees an idle core at each wake-up and moves the woken there, and waking an idle core costs several times
//! what the call does (in a virtual machine 20 to 50 microseconds, four times a call). On one core the same
//! wake-ups are plain switches.
//!
//! So a pair that has made [`STREAK_MIN`] calls like that is bound to the core its calls pass
//! through, and released as soon as it is no pair any more: calls that overlap, calls, questions and
//! requests of others, silence, or more than [`TURN_MAX`] of CPU without a word, which would be in
//! another's way. Where the kernel refuses, all stays as it was. A guest that asks is bound alone, after
//! as many questions.
//!
//! Faster still is not to sleep. Where there is another core, the callee of a pair, or whoever is bound
//! alone, goes there and looks for the next call or answer for a while ([`crate::options::Options::awake_max`]) before it sleeps, as the host does for the
//! answer: two of the four wake-ups are none any more, and what is said goes through a mailbox in shared
//! memory ([`mayfly_sandbox::mailbox`]). That pays only while calls and what is between them are shorter
//! than that; a pair of which too many are not goes back to one core for [`SLEEP_MIN`] to [`SLEEP_MAX`].
//!
//! Invariant: at most one pair, or one guest that asks, is bound, and whatever is bound is released by the CPU watch within a
//! few ticks of its last call.

use crate::guest::{Guest, GuestId};
use crate::lock::Mutex;
use mayfly_sandbox::Pid;
use mayfly_sandbox::affinity::{Cores, current_thread};
use std::cell::Cell;
use std::num::NonZero;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Calls in turn that make a pair, or questions in a row: rarely reached by chance, a millisecond or two for those who mean it.
const STREAK_MIN: u32 = 12;

/// Calls at once that are still taken for one chain: more are better spread over all cores.
pub(crate) const CHAIN_MAX: u32 = 8;

/// Calls that lie farther apart are no streak: there is nothing to gain for them.
const GAP_MAX: Duration = Duration::from_millis(2);

/// A call that is not the bound pair's counts twice, each of the pair's takes one off again; above this
/// the pair is released, for the host has more to do than it.
const STRANGERS_MAX: u32 = 8;

/// How long nobody is bound after that.
const CROWD_PAUSE: Duration = Duration::from_millis(100);

/// CPU time of one turn after which a bound guest needs a core of its own.
pub(crate) const TURN_MAX: Duration = Duration::from_millis(2);

/// Silence after which the CPU watch releases a pair.
const SILENCE_MAX: Duration = Duration::from_millis(20);

/// A call or a pause that was longer counts as many times more than one that was not; above this the pair
/// sleeps again.
const SLEPT_COST: u32 = 4;
const SLEPT_MAX: u32 = 40;

/// How long pairs sleep after that: at first not long, for code that was called a few times only is slower
/// than it will be; then twice as long each time, unless they were awake for that many times as long.
const SLEEP_MIN: Duration = Duration::from_millis(10);
const SLEEP_MAX: Duration = Duration::from_millis(100);
const SLEEP_WORTH: u32 = 8;

/// How long nobody is bound after a turn that was too long.
const PAUSE: Duration = Duration::from_secs(1);

thread_local! {
    /// This thread's number, once it was asked for.
    static THREAD: Cell<i32> = const { Cell::new(0) };
}

/// See the file's head.
pub(crate) struct Pairs {
    awake_max: Duration,
    /// The host's thread that is bound with the pair; 0 while nobody is bound.
    bound_thread: AtomicI32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Caller and callee of the last call.
    last: Option<(GuestId, GuestId)>,
    last_at: Option<Instant>,
    streak: u32,
    /// Who asked last, and how often in a row. Not part of the streak: whoever is called asks meanwhile.
    asker: Option<GuestId>,
    questions: u32,
    strangers: u32,
    bound: Option<Bound>,
    not_before: Option<Instant>,
    /// How often staying awake was for nothing of late; see [`SLEPT_COST`].
    slept: u32,
    answered_at: Option<Instant>,
    awake_not_before: Option<Instant>,
    /// How long pairs slept last.
    sleep: Duration,
    awake_since: Option<Instant>,
    is_awake: bool,
}

struct Bound {
    /// Weak, or a guest would keep its hub, and the hub the guest.
    guests: Vec<Weak<Guest>>,
    core: Cores,
    before: Cores,
    /// The last of them may stay awake: it has nothing else to do between what it is bound for.
    may_be_awake: bool,
}

/// What is under way in caller and callee beside a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Company {
    /// Nothing: the callee has no other call, and the caller waits for no other.
    None,
    /// Calls of the same caller to the same callee, a few.
    Chain,
    /// The callee's other calls wait for calls of its own.
    Waiting,
    /// Something that may need a core.
    Busy,
}

impl State {
    /// Notes that something came now; also gives whether it came soon after what came before.
    fn moment(&mut self) -> (Instant, bool) {
        let now = Instant::now();
        let before = self.last_at.replace(now);
        let soon = before.is_some_and(|at| now.duration_since(at) < GAP_MAX);
        (now, soon)
    }

    fn may_bind(&self, now: Instant) -> bool {
        self.bound.is_none() && self.not_before.is_none_or(|at| now >= at)
    }
}

impl Pairs {
    pub(crate) fn new(awake_max: Duration) -> Self {
        // A container may have many cores and the time of one: two who do not sleep would use it up.
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let awake_max = match cores {
            1 => Duration::ZERO,
            _ => awake_max,
        };
        Self {
            awake_max,
            bound_thread: AtomicI32::new(0),
            state: Mutex::default(),
        }
    }

    /// How long to look for an answer.
    pub(crate) fn awake_max(&self) -> Duration {
        self.awake_max
    }

    /// A call went from one guest into another. Whether its answer is to be waited for at once.
    pub(crate) fn note_call(
        &self,
        caller: &Arc<Guest>,
        callee: &Arc<Guest>,
        company: Company,
    ) -> bool {
        // Whoever holds it shows that there is more going on than one pair's calls.
        let Some(mut state) = self.state.try_lock() else {
            return false;
        };
        let pair = (caller.id, callee.id);
        let (now, soon) = state.moment();
        let alone = company != Company::Busy;
        let own = alone && caller.id == callee.id;
        let may_be_awake = own || matches!(company, Company::None | Company::Chain);
        let follows = alone && soon && state.last == Some(pair);
        if state.bound.is_some() {
            let fits = alone && is_bound(caller) && is_bound(callee);
            self.count_in(&mut state, fits);
            if !fits || company == Company::Chain {
                // Nothing is learned of pauses.
            } else if callee.awake.load(Ordering::Relaxed) {
                let pause = state.answered_at.map(|at| now.duration_since(at));
                let slept = pause.is_none_or(|pause| pause > self.awake_max);
                self.count_sleep_in(&mut state, slept);
            } else if may_be_awake {
                self.retry_awake_in(&mut state, now);
            }
        }
        state.streak = if follows { state.streak + 1 } else { 0 };
        state.last = Some(pair);
        // Few questions a call make no row: caller and callee belong together.
        state.questions = 0;
        if state.may_bind(now) && state.streak >= STREAK_MIN {
            state.streak = 0;
            match own {
                true => self.bind_in(&mut state, now, &[callee], may_be_awake),
                false => self.bind_in(&mut state, now, &[caller, callee], may_be_awake),
            }
        }
        may_be_awake && callee.awake.load(Ordering::Relaxed)
    }

    /// The answer that was waited for came in time, or did not.
    pub(crate) fn note_answer(&self, came: bool) {
        if let Some(mut state) = self.state.try_lock() {
            state.answered_at = Some(Instant::now());
            self.count_sleep_in(&mut state, !came);
        }
    }

    fn count_sleep_in(&self, state: &mut State, slept: bool) {
        state.slept = if slept {
            state.slept + SLEPT_COST
        } else {
            state.slept.saturating_sub(1)
        };
        if state.slept > SLEPT_MAX {
            self.sleep_in(state);
        }
    }

    /// Whoever stays awake sleeps for a while.
    fn sleep_in(&self, state: &mut State) {
        let now = Instant::now();
        let was_worth_it = state
            .awake_since
            .is_some_and(|at| now.duration_since(at) > state.sleep * SLEEP_WORTH);
        state.sleep = match was_worth_it {
            true => SLEEP_MIN,
            false => (state.sleep * 2).clamp(SLEEP_MIN, SLEEP_MAX),
        };
        state.awake_not_before = Some(now + state.sleep);
        self.stay_awake_in(state, false);
    }

    /// A guest asks its storage something, and waits for the answer. Whether its next question is to be
    /// waited for at once.
    pub(crate) fn note_question(&self, asker: &Arc<Guest>) -> bool {
        let Some(mut state) = self.state.try_lock() else {
            return false;
        };
        let (now, soon) = state.moment();
        let follows = soon && state.asker == Some(asker.id);
        if state.bound.is_some() {
            let fits = is_bound(asker);
            self.count_in(&mut state, fits);
            if fits {
                self.retry_awake_in(&mut state, now);
            }
        }
        state.questions = if follows { state.questions + 1 } else { 0 };
        state.asker = Some(asker.id);
        if state.may_bind(now) && state.questions >= STREAK_MIN {
            state.questions = 0;
            self.bind_in(&mut state, now, &[asker], true);
        }
        asker.awake.load(Ordering::Relaxed)
    }

    /// One that has slept for long enough is awake again.
    fn retry_awake_in(&self, state: &mut State, now: Instant) {
        if !state.is_awake
            && state.bound.as_ref().is_some_and(|bound| bound.may_be_awake)
            && state.awake_not_before.take_if(|at| now >= *at).is_some()
        {
            self.stay_awake_in(state, true);
        }
    }

    /// The last of those that are bound sleeps on the core of the others, or stays awake on another.
    fn stay_awake_in(&self, state: &mut State, awake: bool) {
        state.slept = 0;
        state.answered_at = None;
        state.awake_since = Some(Instant::now());
        let Some(bound) = &state.bound else { return };
        let Some(guest) = bound.guests.last().and_then(Weak::upgrade) else {
            return;
        };
        match awake {
            true => {
                guest.use_mailbox();
                guest.process.bind(&bound.before.without(&bound.core));
            }
            false => guest.process.bind(&bound.core),
        }
        guest.awake.store(awake, Ordering::Relaxed);
        state.is_awake = awake;
    }

    /// The host called a guest by itself: a request from outside.
    pub(crate) fn note_request(&self, callee: &Guest) {
        if self.bound_thread.load(Ordering::Relaxed) != 0
            && !is_bound(callee)
            && let Some(mut state) = self.state.try_lock()
        {
            self.count_in(&mut state, false);
        }
    }

    fn count_in(&self, state: &mut State, fits: bool) {
        state.strangers = if fits {
            state.strangers.saturating_sub(1)
        } else {
            state.strangers + 2
        };
        if !fits && state.is_awake {
            // Somebody else has use for the core.
            self.sleep_in(state);
        }
        if state.strangers > STRANGERS_MAX {
            state.not_before = Some(Instant::now() + CROWD_PAUSE);
            self.release_in(state);
        }
    }

    /// Where it may be, the last of them is awake, on another core.
    fn bind_in(&self, state: &mut State, now: Instant, guests: &[&Arc<Guest>], may_be_awake: bool) {
        let (Ok(before), Ok(core)) = (Cores::allowed(), Cores::current()) else {
            return;
        };
        if before.count() < 2 {
            return;
        }
        state.strangers = 0;
        for guest in guests {
            guest.process.bind(&core);
            guest.paired.store(true, Ordering::Relaxed);
        }
        state.bound = Some(Bound {
            guests: guests.iter().map(|guest| Arc::downgrade(guest)).collect(),
            core,
            before,
            may_be_awake,
        });
        let slept_enough = state.awake_not_before.is_none_or(|at| now >= at);
        if may_be_awake && slept_enough && !self.awake_max.is_zero() {
            self.stay_awake_in(state, true);
        }
        self.join_in(state);
    }

    /// The calling thread is about to handle frames of a bound guest: it belongs to the same core.
    pub(crate) fn join(&self) {
        let bound = self.bound_thread.load(Ordering::Relaxed);
        if bound != 0
            && bound != this_thread().0
            && let Some(mut state) = self.state.try_lock()
        {
            self.join_in(&mut state);
        }
    }

    /// One thread at a time: the others are free for whatever else there is to do.
    fn join_in(&self, state: &mut State) {
        if let Some(bound) = &state.bound {
            let thread = this_thread();
            // Only speed is lost where the kernel refuses.
            let _ = bound.core.bind(thread);
            self.free(self.bound_thread.swap(thread.0, Ordering::Relaxed), bound);
        }
    }

    fn free(&self, thread: i32, bound: &Bound) {
        if thread != 0 {
            // A thread that has ended needs no core.
            let _ = bound.before.bind(Pid(thread));
        }
    }

    /// A look every few milliseconds: nobody stays bound for nothing.
    pub(crate) fn look(&self) {
        if self.bound_thread.load(Ordering::Relaxed) == 0 {
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
        state.streak = 0;
        state.questions = 0;
        state.is_awake = false;
        for guest in bound.guests.iter().filter_map(Weak::upgrade) {
            guest.paired.store(false, Ordering::Relaxed);
            guest.awake.store(false, Ordering::Relaxed);
            guest.process.release(&bound.before);
        }
        self.free(self.bound_thread.swap(0, Ordering::Relaxed), &bound);
    }
}

fn this_thread() -> Pid {
    if THREAD.get() == 0 {
        THREAD.set(current_thread().0);
    }
    Pid(THREAD.get())
}

fn is_bound(guest: &Guest) -> bool {
    guest.paired.load(Ordering::Relaxed)
}
