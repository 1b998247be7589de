//! Metering: what each Worker used, in numbers that only grow until somebody takes them away.
//!
//! An [`Account`] belongs to a configured Worker or to one id of its dynamic ones; all the Workers of
//! `load()` of one configured Worker share one. The hot path adds to atomics and, the first time
//! since the last look, puts the account on a list; [`Meter::drain`] empties the list. Where nobody
//! drains, nothing is listed. What the numbers cost is not this file's business.
//!
//! Invariant: what was used is drained exactly once, also of a Worker that is gone meanwhile.

use crate::lock::Mutex;
use crate::observe::EventKind;
use mayfly_wire::Module;
use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The id under which Workers of `load()` are counted.
pub const LOADED: &str = "(load)";

/// The id under which Workers of `get(null)` are counted.
pub const UNNAMED: &str = "(get)";

/// Codes of one account between two drains: an id whose code changes with each load is one that
/// counts each time, up to here.
const CODES_MAX: usize = 1024;

/// See the file's head.
pub struct Account {
    /// The configured Worker that it is counted under.
    pub worker: Arc<str>,
    /// The dynamic Worker's id; empty for the configured Worker itself.
    pub id: Arc<str>,
    meter: Arc<Meter>,
    listed: AtomicBool,
    requests: AtomicU64,
    cpu_ns: AtomicU64,
    wall_us: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    memory_peak: AtomicU64,
    egress: Egress,
    /// Workers of `load()` and `get(null)` that started: each is one.
    loads: AtomicU64,
    /// The code of the guest that runs now, for days that it was not started on.
    code: AtomicU64,
    codes: Mutex<Vec<u64>>,
}

/// What an account used since the last drain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Used {
    /// The configured Worker.
    pub worker: String,
    /// See [`Account::id`].
    pub id: String,
    /// Events for entrypoints: `fetch` and RPC calls, cron triggers, queues.
    pub requests: u64,
    /// CPU time of its processes, start-up included.
    pub cpu: Duration,
    /// From delivery to the end of all work, summed over its invocations.
    pub wall: Duration,
    /// To its processes.
    pub bytes_in: u64,
    /// From them.
    pub bytes_out: u64,
    /// The most memory that one of its processes was seen with.
    pub memory_peak: u64,
    /// What it asked of the internet: requests, WebSockets and connections.
    pub egress_requests: u64,
    /// Bytes that it sent there: bodies and what a connection carried, and heads as they were asked for.
    pub egress_sent: u64,
    /// Bytes that came back.
    pub egress_received: u64,
    /// Dynamic Workers that count each: of `load()` and `get(null)`.
    pub loads: u64,
    /// Hashes of the code that its id had; each counts once a day.
    pub codes: Vec<u64>,
}

/// What leaves the host and what comes back.
#[derive(Default)]
pub(crate) struct Egress {
    pub requests: AtomicU64,
    pub sent: AtomicU64,
    pub received: AtomicU64,
}

/// Books what passes between a Worker and the internet, and bounds how much is under way at once; nothing
/// where a service of the host's answers.
#[derive(Clone, Debug, Default)]
pub struct Toll(Option<Arc<Passage>>);

/// One exchange or connection. Whoever moves its bytes holds it, so its place is free once all have
/// ended.
#[derive(Debug)]
struct Passage {
    account: Arc<Account>,
    places: Arc<Semaphore>,
    place: OnceLock<OwnedSemaphorePermit>,
}

impl Toll {
    /// One that a Worker pays, whose guest has so many places.
    pub fn of(account: Arc<Account>, places: Arc<Semaphore>) -> Self {
        Self(Some(Arc::new(Passage {
            account,
            places,
            place: OnceLock::new(),
        })))
    }

    /// Waits for a place.
    pub async fn admitted(&self) {
        if let Some(passage) = &self.0
            && let Ok(place) = passage.places.clone().acquire_owned().await
        {
            // It is asked for once.
            let _ = passage.place.set(place);
        }
    }

    fn book(&self, number: impl Fn(&Egress) -> &AtomicU64, by: usize) {
        if let Some(Passage { account, .. }) = self.0.as_deref() {
            for egress in [&account.egress, &account.meter.egress] {
                number(egress).fetch_add(by as u64, Ordering::Relaxed);
            }
            account.touch();
        }
    }

    /// A request, a WebSocket or a connection is asked for.
    pub fn asked(&self) {
        self.book(|egress| &egress.requests, 1);
    }

    /// Bytes leave.
    pub fn sent(&self, bytes: usize) {
        self.book(|egress| &egress.sent, bytes);
    }

    /// Bytes came back.
    pub fn received(&self, bytes: usize) {
        self.book(|egress| &egress.received, bytes);
    }
}

/// The name of the Worker that loaded them, and the id that they share.
type Owner = (Arc<str>, &'static str);

/// Where accounts are listed.
#[derive(Default)]
pub struct Meter {
    enabled: bool,
    /// Of all accounts, since the start.
    pub(crate) egress: Egress,
    listed: Mutex<Vec<Arc<Account>>>,
    /// Accounts that several Workers share.
    shared: Mutex<HashMap<Owner, Arc<Account>>>,
}

impl Meter {
    /// A meter; where it is not enabled nothing is ever listed.
    pub fn new(enabled: bool) -> Arc<Self> {
        Arc::new(Self {
            enabled,
            ..Self::default()
        })
    }

    /// An account of a Worker's own.
    pub fn account(self: &Arc<Self>, worker: &Arc<str>, id: &str) -> Arc<Account> {
        Arc::new(Account {
            worker: worker.clone(),
            id: Arc::from(id),
            meter: self.clone(),
            listed: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            cpu_ns: AtomicU64::new(0),
            wall_us: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            memory_peak: AtomicU64::new(0),
            egress: Egress::default(),
            loads: AtomicU64::new(0),
            code: AtomicU64::new(0),
            codes: Mutex::new(Vec::new()),
        })
    }

    /// The account that all of a configured Worker's dynamic ones of a kind share.
    pub fn shared(self: &Arc<Self>, worker: &Arc<str>, id: &'static str) -> Arc<Account> {
        let mut shared = self.shared.lock();
        let entry = shared.entry((worker.clone(), id));
        entry.or_insert_with(|| self.account(worker, id)).clone()
    }

    /// What was used since the last drain.
    pub fn drain(&self) -> Vec<Used> {
        let listed = std::mem::take(&mut *self.listed.lock());
        listed.iter().map(|account| account.take()).collect()
    }
}

impl Account {
    /// Whether anybody will ask.
    pub fn is_metered(&self) -> bool {
        self.meter.enabled
    }

    fn touch(self: &Arc<Self>) {
        if self.meter.enabled && !self.listed.swap(true, Ordering::AcqRel) {
            self.meter.listed.lock().push(self.clone());
        }
    }

    /// An invocation is over.
    pub fn invoked(self: &Arc<Self>, event: EventKind, wall: Duration) {
        // A tail is paid for by its CPU.
        if !matches!(event, EventKind::Tail | EventKind::Other) {
            self.requests.fetch_add(1, Ordering::Relaxed);
        }
        let wall_us = u64::try_from(wall.as_micros()).unwrap_or(u64::MAX);
        self.wall_us.fetch_add(wall_us, Ordering::Relaxed);
        self.touch();
    }

    /// One of its processes used CPU.
    pub fn ran(self: &Arc<Self>, cpu: Duration) {
        let cpu_ns = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
        self.cpu_ns.fetch_add(cpu_ns, Ordering::Relaxed);
        self.touch();
    }

    /// Bytes went to one of its processes.
    pub fn sent(self: &Arc<Self>, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes came from one of its processes.
    pub fn received(self: &Arc<Self>, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// One of its processes was seen with so much memory.
    pub fn weighed(self: &Arc<Self>, bytes: u64) {
        if self.memory_peak.fetch_max(bytes, Ordering::Relaxed) < bytes {
            self.touch();
        }
    }

    /// A Worker that counts as one started.
    pub fn loaded(self: &Arc<Self>) {
        self.loads.fetch_add(1, Ordering::Relaxed);
        self.touch();
    }

    /// A Worker that counts once a day by its code started.
    pub fn started(self: &Arc<Self>, code: u64) {
        self.code.store(code, Ordering::Relaxed);
        let mut codes = self.codes.lock();
        if codes.len() < CODES_MAX && !codes.contains(&code) {
            codes.push(code);
        }
        drop(codes);
        self.touch();
    }

    fn take(&self) -> Used {
        // Before the numbers: what is added from here on lists the account again.
        self.listed.store(false, Ordering::Release);
        let take = |number: &AtomicU64| number.swap(0, Ordering::Relaxed);
        let requests = take(&self.requests);
        let mut codes = std::mem::take(&mut *self.codes.lock());
        let code = self.code.load(Ordering::Relaxed);
        if requests > 0 && code != 0 && !codes.contains(&code) {
            codes.push(code);
        }
        Used {
            worker: self.worker.to_string(),
            id: self.id.to_string(),
            requests,
            cpu: Duration::from_nanos(take(&self.cpu_ns)),
            wall: Duration::from_micros(take(&self.wall_us)),
            bytes_in: take(&self.bytes_in),
            bytes_out: take(&self.bytes_out),
            memory_peak: take(&self.memory_peak),
            egress_requests: take(&self.egress.requests),
            egress_sent: take(&self.egress.sent),
            egress_received: take(&self.egress.received),
            loads: take(&self.loads),
            codes,
        }
    }
}

/// What tells one code from another; never 0. Not for secrets: a Worker that finds a collision
/// counts as one where it is two.
pub fn code_hash(main_module: &str, modules: &[Module]) -> u64 {
    let mut hasher = DefaultHasher::new();
    main_module.hash(&mut hasher);
    for module in modules {
        module.name.hash(&mut hasher);
        module.content.0.hash(&mut hasher);
    }
    hasher.finish().max(1)
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({}, {})", self.worker, self.id)
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meter")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_is_drained_once() {
        let meter = Meter::new(true);
        let account = meter.account(&Arc::from("front"), "a");
        account.invoked(EventKind::Fetch, Duration::from_micros(3));
        account.invoked(EventKind::Tail, Duration::from_micros(4));
        account.ran(Duration::from_micros(7));
        account.started(5);
        drop(account);
        let [used] = meter.drain().try_into().unwrap();
        assert_eq!((used.requests, used.codes), (1, vec![5]));
        assert_eq!(used.cpu, Duration::from_micros(7));
        assert_eq!(used.wall, Duration::from_micros(7));
        assert_eq!(meter.drain(), []);
    }

    #[test]
    fn a_worker_that_is_warm_counts_on_each_day_that_it_is_called() {
        let meter = Meter::new(true);
        let account = meter.account(&Arc::from("front"), "a");
        account.started(5);
        drop(meter.drain());
        account.ran(Duration::from_micros(1));
        assert!(meter.drain()[0].codes.is_empty());
        account.invoked(EventKind::Rpc, Duration::ZERO);
        assert_eq!(meter.drain()[0].codes, [5]);
    }

    #[test]
    fn workers_of_load_share_an_account() {
        let meter = Meter::new(true);
        let worker: Arc<str> = Arc::from("front");
        meter.shared(&worker, LOADED).loaded();
        meter.shared(&worker, LOADED).loaded();
        assert_eq!(meter.drain()[0].loads, 2);
    }

    #[test]
    fn nothing_is_kept_where_nobody_drains() {
        let meter = Meter::new(false);
        meter.account(&Arc::from("front"), "a").loaded();
        assert_eq!(meter.drain(), []);
    }
}
