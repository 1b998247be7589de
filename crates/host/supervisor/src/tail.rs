//! Delivery to tails: items once an invocation is over, events while it runs.
//!
//! A [`Session`] is one streaming tail's hold on one invocation: an event `TailStream` for the tail's
//! Worker, answered when the invocation is over or the tail wants no more. It brings what has happened
//! by then, which of a short invocation is everything; the rest waits here until the tail asks for it
//! (`TailMore`), so a slow tail costs memory up to a bound and never the Worker's time; what exceeds
//! the bound is dropped, counted, and told to the tail.
//!
//! All of it is done by one task that looks every few milliseconds, [`run`]: a request that is followed
//! queues what is to be told and wakes nobody, so what it costs comes after its response, and what many
//! have queued leaves in one write a tail. Only a call to a tail's own Worker lets it be told at once, so that
//! who asks a tail hears of what was over before.
//!
//! Invariant: an event is queued under the session's lock alone; sending is the task's, because the
//! source's lock is held where events come from.

use crate::bounds::{SESSION_BYTES_MAX, SESSIONS_BYTES_MAX, TRACES_UNDER_WAY_MAX};
use crate::call::{Call, Caller};
use crate::capability::Capability;
use crate::guest::HeldTrace;
use crate::held::HeldEvent;
use crate::hub::Hub;
use crate::lock::Mutex;
use crate::relay;
use crate::trace::{Event, events_json};
use crate::turn::Turn;
use mayfly_wire::ToGuest;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// See the file's head.
pub struct Session {
    hub: Arc<Hub>,
    call: OnceLock<Weak<Call>>,
    state: Mutex<SessionState>,
}

#[derive(Default)]
struct SessionState {
    queue: Vec<Arc<Event>>,
    /// What they take.
    bytes: usize,
    dropped: u64,
    /// The tail has dealt with what it got.
    ready: bool,
    /// The outcome is queued.
    ended: bool,
    /// Nobody listens any more.
    over: bool,
    /// The task will look at the queue.
    due: bool,
}

/// What a full queue does to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Must {
    /// It is dropped and counted.
    MayBeDropped,
    /// It is queued all the same: an invocation has two such events.
    Arrive,
}

impl Session {
    /// Begins to tell `tail` of an invocation. `None` where too much is told already.
    pub fn open(
        hub: &Arc<Hub>,
        tail: &Capability,
        onset: &Arc<Event>,
        generation: u32,
    ) -> Option<Arc<Self>> {
        let permit = TailPermit::new(hub)?;
        let session = Arc::new(Self {
            hub: hub.clone(),
            call: OnceLock::new(),
            state: Mutex::new(SessionState::default()),
        });
        hub.telling.post(TailWork::Open(Box::new(Opening {
            session: session.clone(),
            permit,
            tail: tail.clone(),
            onset: onset.clone(),
            generation,
            looks: 0,
        })));
        Some(session)
    }

    /// What the tail hears first: the onset and, unless it is much, what came after it.
    fn begin(&self, onset: Arc<Event>) -> String {
        let mut events = vec![onset];
        let mut state = self.state.lock();
        if state.bytes <= OPENING_BYTES_MAX {
            events.append(&mut state.take(&self.hub));
        }
        drop(state);
        events_json(&events)
    }

    fn has_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// Something happened.
    pub fn event(self: &Arc<Self>, event: &Arc<Event>, must: Must) {
        let mut state = self.state.lock();
        if state.over {
            return;
        }
        let bytes = event.bytes();
        let all = self.hub.counters.session_bytes.load(Ordering::Relaxed);
        let full =
            state.bytes + bytes > SESSION_BYTES_MAX || all + bytes as u64 > SESSIONS_BYTES_MAX;
        if full && must == Must::MayBeDropped {
            state.dropped += 1;
            self.hub
                .counters
                .tail_events_dropped
                .fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.push(&self.hub, event.clone());
        self.post_if_due(&mut state);
    }

    /// The last event was queued.
    pub fn ended(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.ended = true;
        if state.over || state.dropped == 0 {
            return;
        }
        let count = std::mem::take(&mut state.dropped);
        // Before the outcome, which is the last of the queue.
        if let Some(outcome) = state.pop(&self.hub) {
            for event in Event::clone(&outcome).after_dropped(count) {
                state.push(&self.hub, Arc::new(event));
            }
        }
        self.post_if_due(&mut state);
    }

    fn post_if_due(self: &Arc<Self>, state: &mut SessionState) {
        if state.ready && !state.due && !state.queue.is_empty() {
            state.due = true;
            self.hub.telling.post(TailWork::Feed(self.clone()));
        }
    }

    /// The tail asks for more.
    pub fn more(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.ready = true;
        self.post_if_due(&mut state);
    }

    /// Sends what waits, if it is wanted.
    pub fn feed(&self, turn: &mut Turn) {
        let place = self
            .call
            .get()
            .and_then(Weak::upgrade)
            .and_then(|call| call.place());
        let events = {
            let mut state = self.state.lock();
            state.due = false;
            if state.over || !state.ready || state.queue.is_empty() {
                return;
            }
            state.ready = false;
            state.take(&self.hub)
        };
        if let Some((guest, call)) = place {
            let events = events_json(&events);
            guest.send(turn, &ToGuest::TailEvents { call, events });
        }
    }

    /// The tail wants no more, or is gone.
    pub fn over(&self) {
        let mut state = self.state.lock();
        state.over = true;
        drop(state.take(&self.hub));
    }
}

impl SessionState {
    fn push(&mut self, hub: &Hub, event: Arc<Event>) {
        let bytes = event.bytes();
        self.bytes += bytes;
        let all = &hub.counters.session_bytes;
        all.fetch_add(bytes as u64, Ordering::Relaxed);
        self.queue.push(event);
    }

    fn pop(&mut self, hub: &Hub) -> Option<Arc<Event>> {
        let event = self.queue.pop()?;
        let bytes = event.bytes();
        self.bytes -= bytes;
        let all = &hub.counters.session_bytes;
        all.fetch_sub(bytes as u64, Ordering::Relaxed);
        Some(event)
    }

    fn take(&mut self, hub: &Hub) -> Vec<Arc<Event>> {
        let bytes = std::mem::take(&mut self.bytes);
        let all = &hub.counters.session_bytes;
        all.fetch_sub(bytes as u64, Ordering::Relaxed);
        std::mem::take(&mut self.queue)
    }
}

/// Counts something that is being told to a tail.
pub struct TailPermit(Arc<Hub>);

impl TailPermit {
    /// `None`, and counted as dropped, where too many are under way.
    pub fn new(hub: &Arc<Hub>) -> Option<Self> {
        let counters = &hub.counters;
        let before = counters.traces_under_way.fetch_add(1, Ordering::Relaxed);
        let permit = Self(hub.clone());
        if before >= TRACES_UNDER_WAY_MAX as u64 {
            counters.traces_dropped.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(permit)
    }
}

impl Drop for TailPermit {
    fn drop(&mut self) {
        self.0
            .counters
            .traces_under_way
            .fetch_sub(1, Ordering::Relaxed);
    }
}

/// Hands a finished trace to whoever follows: its streaming tails hear that it is over, the others
/// get the item.
pub fn tell(hub: &Arc<Hub>, turn: &mut Turn, mut done: HeldTrace) {
    let Some(mut trace) = done.trace.take() else {
        return;
    };
    let report = done.report();
    let item = trace.end(&report);
    if trace.is_observed() {
        hub.options.observer.trace(&trace.report(&report, &item));
    }
    let items = format!("[{item}]");
    let generation = trace.generation() + 1;
    for tail in &trace.tails().buffered {
        let Some(permit) = TailPermit::new(hub) else {
            continue;
        };
        let call = Call::new(Caller::Tail(permit), false);
        let items = items.clone();
        relay::route(
            turn,
            hub,
            &call,
            tail,
            HeldEvent::Tail { items, generation },
        );
    }
}

/// How often the task looks while there is something to tell: late enough for a short request to be over and
/// for what comes close together to be told together, so that few of the next requests find a tail at
/// work; soon enough for a person.
const TICK: Duration = Duration::from_millis(20);

/// With so much queued it looks at once.
const WORK_MAX: usize = 256;

/// Looks that find nothing before the task sleeps.
const QUIET_TICKS_MAX: u32 = 5;

/// Looks that find an invocation still running before its streaming tails hear of it: one that takes less
/// than a tick is told in one frame.
const OPENING_LOOKS_MAX: u32 = 1;

/// Bytes of events that come with the onset. More is handed over when the tail asks for it, so that what
/// waits for a slow one is counted as its queue.
const OPENING_BYTES_MAX: usize = 64 * 1024;

/// Pieces of work before the host's thread looks whether somebody else has something to do.
const STRETCH: usize = 8;

/// What the task does.
pub enum TailWork {
    /// A trace is finished.
    Tell(Box<HeldTrace>, TailPermit),
    /// An invocation has begun that a streaming tail may follow.
    Open(Box<Opening>),
    /// Events wait for a streaming tail that wants them.
    Feed(Arc<Session>),
}

/// The begin of a session.
pub struct Opening {
    session: Arc<Session>,
    permit: TailPermit,
    /// Who hears it.
    tail: Capability,
    /// Its first event.
    onset: Arc<Event>,
    /// See `HeldEvent::Tail`.
    generation: u32,
    /// How often the invocation was found to be running still.
    looks: u32,
}

impl Opening {
    fn deliver(self, turn: &mut Turn, hub: &Arc<Hub>) {
        let event = HeldEvent::TailStream {
            events: self.session.begin(self.onset),
            generation: self.generation,
        };
        let call = Call::new(Caller::TailStream(self.session.clone(), self.permit), false);
        // Set here alone, so it is empty.
        let _ = self.session.call.set(Arc::downgrade(&call));
        relay::route(turn, hub, &call, &self.tail, event);
    }
}

/// Where it is queued. Bounded by the permits that traces and sessions hold.
#[derive(Default)]
pub struct Telling {
    work: Mutex<Vec<TailWork>>,
    /// The task looks by itself.
    awake: AtomicBool,
    wake: Notify,
}

impl Telling {
    /// Queues something; wakes the task only where it sleeps or has enough to do.
    pub fn post(&self, work: TailWork) {
        let mut queue = self.work.lock();
        queue.push(work);
        let is_enough = queue.len() >= WORK_MAX;
        drop(queue);
        if is_enough || !self.awake.load(Ordering::SeqCst) {
            self.wake.notify_one();
        }
    }

    /// Everything that is queued; also for a hub that is done, which its work would keep.
    pub(crate) fn take(&self) -> Vec<TailWork> {
        std::mem::take(&mut *self.work.lock())
    }
}

/// Runs for the life of the supervisor.
pub(crate) async fn run(hub: Arc<Hub>) {
    loop {
        hub.telling.wake.notified().await;
        hub.telling.awake.store(true, Ordering::SeqCst);
        let mut quiet = 0;
        while quiet < QUIET_TICKS_MAX {
            // An error is a tick that has passed.
            let _ = tokio::time::timeout(TICK, hub.telling.wake.notified()).await;
            quiet = if look(&hub).await { 0 } else { quiet + 1 };
        }
        // Whoever queues after this store wakes the task; whoever queued before is seen here.
        hub.telling.awake.store(false, Ordering::SeqCst);
        look(&hub).await;
    }
}

/// Does what is queued; `false` where nothing is.
async fn look(hub: &Arc<Hub>) -> bool {
    let work = hub.telling.take();
    if work.is_empty() {
        return false;
    }
    let (ends, others) = ends_first(work);
    do_all(hub, ends).await;
    do_all(hub, others).await;
    true
}

/// Tells what is queued at once: a call to a tail's own Worker, which then knows of everything that was over
/// before the call was made.
pub fn tell_queued(hub: &Arc<Hub>, turn: &mut Turn) {
    let (ends, others) = ends_first(hub.telling.take());
    for work in ends.into_iter().chain(others) {
        do_one(hub, turn, work);
    }
}

/// They are the last events of sessions that are opened or fed behind them.
fn ends_first(work: Vec<TailWork>) -> (Vec<TailWork>, Vec<TailWork>) {
    work.into_iter()
        .partition(|work| matches!(work, TailWork::Tell(..)))
}

async fn do_all(hub: &Arc<Hub>, work: Vec<TailWork>) {
    let mut work = work.into_iter().peekable();
    while work.peek().is_some() {
        {
            let mut turn = Turn::new();
            for work in work.by_ref().take(STRETCH) {
                do_one(hub, &mut turn, work);
            }
        }
        tokio::task::yield_now().await;
    }
}

fn do_one(hub: &Arc<Hub>, turn: &mut Turn, work: TailWork) {
    match work {
        TailWork::Tell(done, _permit) => tell(hub, turn, *done),
        TailWork::Open(mut opening) => {
            if !opening.session.has_ended() && opening.looks < OPENING_LOOKS_MAX {
                opening.looks += 1;
                return hub.telling.post(TailWork::Open(opening));
            }
            opening.deliver(turn, hub);
        }
        TailWork::Feed(session) => session.feed(turn),
    }
    turn.breathe();
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}
