//! What all guests of one supervisor share: the registry, the pool, the loader's cache, counters,
//! and the chores.
//!
//! A chore is what a drop or a frame under a lock cannot do on the spot, because it needs another
//! lock: release an export, cancel a stream, end a guest. Those that a guest's frame leads to run right
//! after it, on the same thread ([`Inline`]): the task that runs all others would have to be woken, and
//! mostly another thread for it.

use crate::abroad;
use crate::actor::{Actor, Namespace};
use crate::alarms::Alarms;
use crate::call::Call;
use crate::capability::Handle;
use crate::compiled::{Compiled, Job};
use crate::ending::EndReason;
use crate::guest::HeldTrace;
use crate::guest::{Guest, GuestId, Invocation};
use crate::limits;
use crate::link::{Link, writer_gone};
use crate::loader::{self, Cache, CacheKey};
use crate::lock::Mutex;
use crate::observe::LogLine;
use crate::options::Options;
use crate::pairs::Pairs;
use crate::pool::{Nursery, Pool, PoolCounts};
use crate::process::Process;
use crate::socket::Socket;
use crate::tail::{TailPermit, TailWork, Telling};
use crate::turn::Turn;
use crate::usage::Meter;
use crate::worker::{PendingInvoke, Worker, WorkerId};
use mayfly_sandbox::schedule::Urgency;
use mayfly_store::Store;
use mayfly_wire::{ExportId, Failure, LogLevel};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::runtime;
use tokio::sync::{Notify, mpsc};

/// Chores handled before what they wrote goes out.
const CHORES_PER_TURN: usize = 64;

/// See the file's head.
pub struct Hub {
    /// What the operator set.
    pub options: Options,
    pub(crate) chores: Chores,
    /// Guests whose code is compiled.
    pub(crate) pool: Pool,
    /// Guests that can have no executable memory: none, until a Worker asks for one.
    jitless_pool: Pool,
    pub(crate) cache: Cache,
    pub(crate) compiled: Compiled,
    pub(crate) pairs: Pairs,
    pub(crate) store: Arc<Store>,
    pub(crate) alarms: Alarms,
    /// Namespaces of Durable Objects by their folders.
    namespaces: Mutex<HashMap<String, Weak<Namespace>>>,
    /// Configured Workers by their names.
    deployed: Mutex<HashMap<String, Weak<Worker>>>,
    next_serial: AtomicU64,
    pub(crate) runtime: runtime::Handle,
    guests: Mutex<HashMap<GuestId, Arc<Guest>>>,
    /// Guests that had a call in flight at the last look of the CPU watch, or since.
    busy: Mutex<Vec<Arc<Guest>>>,
    next_guest: AtomicU64,
    next_worker: AtomicU64,
    born: Instant,
    /// A call began somewhere: CPU clocks must be watched.
    pub(crate) active: Notify,
    pub(crate) watching: AtomicBool,
    /// Guests must make room now.
    pub(crate) crowded: Notify,
    pub(crate) counters: Counters,
    pub(crate) meter: Arc<Meter>,
    pub(crate) telling: Telling,
    pub(crate) draining: AtomicBool,
    /// Calls from outside that wait for their outcome.
    pub(crate) host_calls: AtomicU64,
}

/// Things counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub forks: AtomicU64,
    pub starts: AtomicU64,
    pub ends: AtomicU64,
    pub evictions: AtomicU64,
    pub violations: AtomicU64,
    pub invocations: AtomicU64,
    pub logs_dropped: AtomicU64,
    pub traces_dropped: AtomicU64,
    pub traces_under_way: AtomicU64,
    pub tail_events_dropped: AtomicU64,
    /// Bytes of traces that are gathered.
    pub trace_bytes: AtomicU64,
    /// Bytes of events that wait for streaming tails.
    pub session_bytes: AtomicU64,
    pub zygotes: AtomicU64,
    pub memory_bytes: AtomicU64,
    /// The least memory ever seen in a guest: what all of them share with their zygote.
    pub floor_bytes: AtomicU64,
}

/// See the file's head.
#[derive(Debug)]
pub enum Chore {
    /// End a guest.
    End {
        /// Which.
        guest: Arc<Guest>,
        /// Why.
        reason: EndReason,
    },
    /// A reference to an object was dropped.
    ReleaseExport {
        /// Where it lives.
        guest: Arc<Guest>,
        /// Its number there.
        export: ExportId,
    },
    /// Nobody can pipeline on a call any more.
    ReleaseAnswer(Arc<Call>),
    /// A stream's reader was dropped.
    CancelLink(Arc<Link>),
    /// A stream's writer was dropped.
    AbortLink(Arc<Link>),
    /// A Worker's last handle was dropped.
    Unheld(Arc<Worker>),
    /// A named Worker was dropped.
    Tidy(CacheKey),
    /// An object's event came to a Worker that the object is not assigned to any more.
    Redirect(Box<PendingInvoke>),
    /// Calls of a guest's may wait for a dynamic Worker's turn that has come.
    Resume(Arc<Guest>),
}

/// Where chores are posted. Unbounded in form; in fact bounded by the things that exist to be
/// dropped, each of which is counted against a bound of its own.
#[derive(Debug, Clone)]
pub struct Chores(mpsc::UnboundedSender<Chore>);

impl Chores {
    /// Posts one.
    pub fn post(&self, chore: Chore) {
        INLINE.with_borrow_mut(|inline| match inline {
            Some(waiting) => waiting.push((self.clone(), chore)),
            None => self.send(chore),
        });
    }

    /// Chores that nobody does.
    #[cfg(test)]
    pub(crate) fn unread() -> Self {
        Self(mpsc::unbounded_channel().0)
    }

    fn send(&self, chore: Chore) {
        // The receiver is gone only when the supervisor is, and everything with it.
        let _ = self.0.send(chore);
    }
}

thread_local! {
    /// Chores posted on this thread while an [`Inline`] lives.
    static INLINE: RefCell<Option<Vec<(Chores, Chore)>>> = const { RefCell::new(None) };
}

/// While it lives, chores posted on this thread wait for [`Inline::run`]. What waits when it is dropped
/// goes to the task.
#[derive(Debug)]
pub(crate) struct Inline(());

impl Inline {
    /// There is none yet on this thread.
    pub(crate) fn begin() -> Self {
        INLINE.set(Some(Vec::new()));
        Self(())
    }

    /// Runs what waits, and what that leads to. The caller holds no lock.
    pub(crate) fn run(&self, hub: &Arc<Hub>, turn: &mut Turn) {
        loop {
            let waiting = INLINE.with_borrow_mut(|inline| inline.as_mut().map(std::mem::take));
            match waiting {
                Some(waiting) if !waiting.is_empty() => {
                    for (_, chore) in waiting {
                        run_chore(hub, turn, chore);
                        turn.breathe();
                    }
                }
                _ => return,
            }
        }
    }
}

impl Drop for Inline {
    fn drop(&mut self) {
        for (chores, chore) in INLINE.take().unwrap_or_default() {
            chores.send(chore);
        }
    }
}

impl Hub {
    /// A hub, the chores to run for it, and the modules to compile.
    pub(crate) fn new(
        options: Options,
        nursery: Box<dyn Nursery>,
        jitless: Box<dyn Nursery>,
    ) -> (
        Arc<Self>,
        mpsc::UnboundedReceiver<Chore>,
        mpsc::Receiver<Job>,
    ) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let pool = Pool::new(
            options.pool_min,
            options.pool_max,
            options.guests_max,
            nursery,
        );
        let (compiled, jobs) = Compiled::new();
        let meter = Meter::new(options.metered);
        let jitless_pool = Pool::new(0, options.pool_max, options.guests_max, jitless);
        let store = options
            .store
            .clone()
            .unwrap_or_else(|| Store::ephemeral().expect("SQLite opens a database in memory"));
        let hub = Arc::new(Self {
            meter,
            telling: Telling::default(),
            pairs: Pairs::new(options.awake_max),
            options,
            chores: Chores(sender),
            pool,
            jitless_pool,
            cache: Cache::default(),
            compiled,
            store,
            alarms: Alarms::default(),
            namespaces: Mutex::new(HashMap::new()),
            deployed: Mutex::new(HashMap::new()),
            next_serial: AtomicU64::new(1),
            runtime: runtime::Handle::current(),
            guests: Mutex::new(HashMap::new()),
            busy: Mutex::new(Vec::new()),
            next_guest: AtomicU64::new(1),
            next_worker: AtomicU64::new(1),
            born: Instant::now(),
            active: Notify::new(),
            watching: AtomicBool::new(false),
            crowded: Notify::new(),
            counters: Counters {
                floor_bytes: AtomicU64::new(u64::MAX),
                ..Counters::default()
            },
            draining: AtomicBool::new(false),
            host_calls: AtomicU64::new(0),
        });
        (hub, receiver, jobs)
    }

    pub(crate) fn next_guest_id(&self) -> GuestId {
        GuestId(self.next_guest.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn next_worker_id(&self) -> WorkerId {
        WorkerId(self.next_worker.fetch_add(1, Ordering::Relaxed))
    }

    /// Of an instance of a Durable Object; 0 is none's.
    pub(crate) fn next_serial(&self) -> u64 {
        self.next_serial.fetch_add(1, Ordering::Relaxed)
    }

    /// The namespace that is kept in `folder`.
    pub(crate) fn namespace(&self, folder: &str) -> Option<Arc<Namespace>> {
        self.namespaces.lock().get(folder).and_then(Weak::upgrade)
    }

    /// The namespace of a class.
    pub(crate) fn namespace_of(&self, worker: &str, class: &str) -> Option<Arc<Namespace>> {
        let namespaces = self.namespaces.lock();
        let mut live = namespaces.values().filter_map(Weak::upgrade);
        live.find(|found| found.class.worker.name == worker && found.class.entrypoint == class)
    }

    /// A configured Worker.
    pub(crate) fn deployed(&self, name: &str) -> Option<Handle> {
        let worker = self.deployed.lock().get(name).and_then(Weak::upgrade)?;
        worker.handle()
    }

    pub(crate) fn deploy(&self, name: &str, worker: &Arc<Worker>) {
        let worker = Arc::downgrade(worker);
        self.deployed.lock().insert(name.to_owned(), worker);
    }

    pub(crate) fn add_namespace(&self, namespace: &Arc<Namespace>) {
        let folder = namespace.stored.folder.clone();
        self.namespaces
            .lock()
            .insert(folder, Arc::downgrade(namespace));
    }

    /// A call of the host's own begins; it ends when the result is dropped.
    pub(crate) fn count_host_call(self: &Arc<Self>) -> HostCallCount {
        self.host_calls.fetch_add(1, Ordering::SeqCst);
        HostCallCount(self.clone())
    }

    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn pools(&self) -> [&Pool; 2] {
        [&self.pool, &self.jitless_pool]
    }

    /// Where guests of a kind wait.
    pub(crate) fn pool_of(&self, jitless: bool) -> &Pool {
        if jitless {
            &self.jitless_pool
        } else {
            &self.pool
        }
    }

    /// Guests of every kind.
    pub(crate) fn counts(&self) -> PoolCounts {
        let [one, other] = self.pools().map(Pool::counts);
        PoolCounts {
            ready: one.ready + other.ready,
            forking: one.forking + other.forking,
            waiting: one.waiting + other.waiting,
            live: one.live + other.live,
        }
    }

    /// Takes in a guest that was forked and starts its task. It waits in the pool from now on.
    pub fn adopt(self: &Arc<Self>, stream: Socket, process: Arc<dyn Process>) -> Arc<Guest> {
        self.adopt_as(stream, process, false, Urgency::Prompt)
    }

    /// The same for a guest of either kind, whose zygote may have been in no hurry.
    pub(crate) fn adopt_as(
        self: &Arc<Self>,
        stream: Socket,
        process: Arc<dyn Process>,
        jitless: bool,
        urgency: Urgency,
    ) -> Arc<Guest> {
        let stream = Arc::new(stream);
        let guest = Guest::new(self, Some(stream.clone()), process, jitless);
        let patient = urgency == Urgency::Patient;
        guest.patient.store(patient, Ordering::Relaxed);
        self.counters.forks.fetch_add(1, Ordering::Relaxed);
        self.guests.lock().insert(guest.id, guest.clone());
        self.runtime
            .spawn(crate::reader::run(guest.clone(), stream));
        self.guest_born(&mut Turn::new(), guest.clone());
        guest
    }

    /// A guest without a socket, for tests and fuzzing of `relay::apply`.
    pub fn adopt_detached(self: &Arc<Self>, process: Arc<dyn Process>) -> Arc<Guest> {
        let guest = Guest::new(self, None, process, false);
        self.guests.lock().insert(guest.id, guest.clone());
        self.guest_born(&mut Turn::new(), guest.clone());
        guest
    }

    pub(crate) fn guest(&self, id: GuestId) -> Option<Arc<Guest>> {
        self.guests.lock().get(&id).cloned()
    }

    pub(crate) fn all_guests(&self) -> Vec<Arc<Guest>> {
        self.guests.lock().values().cloned().collect()
    }

    /// Guests that run a Worker.
    pub(crate) fn taken_guests(&self) -> Vec<Arc<Guest>> {
        self.guests_where(|guest| guest.taken.load(Ordering::Relaxed))
    }

    /// Guests with calls in flight.
    pub(crate) fn busy_guests(&self) -> Vec<Arc<Guest>> {
        let mut busy = self.busy.lock();
        busy.retain(|guest| {
            if guest.is_busy() {
                return true;
            }
            limits::schedule(guest, false);
            guest.watched.store(false, Ordering::SeqCst);
            // A call that began before that store did not put the guest on the list again.
            guest.is_busy() && !guest.watched.swap(true, Ordering::SeqCst)
        });
        busy.clone()
    }

    /// Nobody looks any more; a guest on the list would keep this hub, and this hub the list.
    pub(crate) fn forget_busy(&self) {
        let busy = std::mem::take(&mut *self.busy.lock());
        drop(busy);
    }

    pub(crate) fn any_busy(&self) -> bool {
        self.guests.lock().values().any(|guest| guest.is_busy())
    }

    fn guests_where(&self, wanted: impl Fn(&Guest) -> bool) -> Vec<Arc<Guest>> {
        let guests = self.guests.lock();
        guests
            .values()
            .filter(|guest| wanted(guest))
            .cloned()
            .collect()
    }

    pub(crate) fn guest_started(&self, guest: &Arc<Guest>, worker: &Worker) {
        self.counters.starts.fetch_add(1, Ordering::Relaxed);
        let pid = guest.process.pid();
        tracing::debug!(worker = worker.name, pid, "a guest started");
        self.options.observer.guest_started(&worker.name, pid);
        let counts = self.counts();
        // Room is made before it is needed, so that nobody waits for an eviction.
        if counts.live >= self.options.guests_max - self.options.guests_max / 16 {
            self.crowded.notify_one();
        }
    }

    pub(crate) fn guest_ended(
        &self,
        turn: &mut Turn,
        guest: &Arc<Guest>,
        worker: Option<&Worker>,
        reason: &EndReason,
    ) {
        self.guests.lock().remove(&guest.id);
        self.counters.ends.fetch_add(1, Ordering::Relaxed);
        let counter = match reason {
            EndReason::Evicted => Some(&self.counters.evictions),
            EndReason::Violation(_) => Some(&self.counters.violations),
            _ => None,
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let name = worker.map(|worker| worker.name.as_str());
        let pid = guest.process.pid();
        if reason.is_suspicious() {
            tracing::warn!(worker = name, pid, reason = %reason.describe(), "a guest ended");
        } else {
            tracing::debug!(worker = name, pid, reason = %reason.describe(), "a guest ended");
        }
        self.options.observer.guest_ended(name, pid, reason);
        self.pool_of(guest.jitless).ended(turn, guest);
    }

    /// A call began in `guest`: its CPU is watched from now on.
    pub(crate) fn activity(&self, guest: &Arc<Guest>) {
        if !guest.watched.swap(true, Ordering::SeqCst) {
            self.busy.lock().push(guest.clone());
        }
        if !self.watching.load(Ordering::SeqCst) {
            self.active.notify_one();
        }
    }

    pub(crate) fn log(
        &self,
        guest: &Arc<Guest>,
        worker: Option<&Worker>,
        level: LogLevel,
        text: String,
        allowed: bool,
    ) {
        if !allowed {
            self.counters.logs_dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.options.observer.log(LogLine {
            worker: worker.map_or("", |worker| worker.name.as_str()),
            pid: guest.process.pid(),
            level,
            text: &text,
        });
    }

    pub(crate) fn exception(
        &self,
        _guest: &Arc<Guest>,
        worker: Option<&Worker>,
        failure: Failure,
        allowed: bool,
    ) {
        if !allowed {
            self.counters.logs_dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let name = worker.map_or("", |worker| worker.name.as_str());
        self.options.observer.exception(name, &failure);
    }

    /// An invocation is over.
    pub(crate) fn invocation_done(
        self: &Arc<Self>,
        invocation: Invocation,
        cpu: Duration,
        end: Option<&EndReason>,
    ) {
        self.counters.invocations.fetch_add(1, Ordering::Relaxed);
        let mut done = HeldTrace::new(invocation, cpu);
        if let Some(reason) = end {
            done.ended_by(reason);
        }
        done.account();
        self.options.observer.invocation_done(done.report());
        self.tell(done);
    }

    /// Hands a finished trace to whoever follows.
    pub(crate) fn tell(self: &Arc<Self>, mut done: HeldTrace) {
        if done.trace.is_none() {
            return;
        }
        let Some(permit) = TailPermit::new(self) else {
            self.options.observer.trace_dropped(done.report().worker);
            // Streaming tails hear the end all the same.
            if let Some(mut trace) = done.trace.take() {
                trace.end(&done.report());
            }
            return;
        };
        // Later, so that it is off the request's path.
        self.telling.post(TailWork::Tell(Box::new(done), permit));
    }

    /// Memory that would be free without a guest that is seen with so much.
    pub(crate) fn cost_of(&self, bytes: u64) -> u64 {
        let floor = self.counters.floor_bytes.load(Ordering::Relaxed);
        bytes.saturating_sub(floor) + crate::evict::GUEST_BYTES_FIXED
    }

    pub(crate) fn worker_dropped(&self, key: &CacheKey) {
        self.chores.post(Chore::Tidy(key.clone()));
    }
}

/// Counts a call of the host's own, so that a shutdown waits for it.
pub(crate) struct HostCallCount(Arc<Hub>);

impl Drop for HostCallCount {
    fn drop(&mut self) {
        self.0.host_calls.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Runs chores until the supervisor is gone.
pub(crate) async fn run_chores(hub: Arc<Hub>, mut chores: mpsc::UnboundedReceiver<Chore>) {
    let mut batch = Vec::with_capacity(CHORES_PER_TURN);
    while chores.recv_many(&mut batch, CHORES_PER_TURN).await > 0 {
        let mut turn = Turn::new();
        for chore in batch.drain(..) {
            run_chore(&hub, &mut turn, chore);
            turn.breathe();
        }
    }
}

fn run_chore(hub: &Arc<Hub>, turn: &mut Turn, chore: Chore) {
    match chore {
        Chore::End { guest, reason } => guest.end(turn, reason),
        Chore::ReleaseExport { guest, export } => guest.release_export(turn, export),
        Chore::ReleaseAnswer(call) => call.release_answer(turn),
        Chore::CancelLink(link) => link.cancel(turn, "nobody reads it".to_owned()),
        Chore::AbortLink(link) => link.abort(turn, writer_gone()),
        Chore::Unheld(worker) => worker.unheld(turn),
        Chore::Resume(guest) => abroad::resume(turn, &guest),
        Chore::Redirect(pending) => Actor::redirect(turn, *pending),
        Chore::Tidy(key) => loader::tidy(hub, &key),
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hub")
    }
}
