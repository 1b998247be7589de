//! What an operator may set, with defaults that suit one machine.

use crate::bounds::{
    AWAKE_DEFAULT, HEAP_BYTES_DEFAULT, STARTUP_CPU_DEFAULT, WORKERS_IN_FLIGHT_DEFAULT,
};
use crate::caches::CacheOwner;
use crate::observe::{Observer, Silent};
use mayfly_exchange::SharedService;
use mayfly_store::Store;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Resolves a compatibility date, flags and `allowExperimental` to the enable names of all flags
/// in force, or says in words what is wrong with them.
pub type Compatibility =
    Arc<dyn Fn(&str, &[String], bool) -> Result<Vec<String>, String> + Send + Sync>;

/// Gives a Worker's `caches`.
pub type MakeCaches = Arc<dyn Fn(&CacheOwner) -> SharedService + Send + Sync>;

/// Whether a guest binary that lacks the sandbox's main layer may run code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// Refuse to start without seccomp.
    Required,
    /// The operator said so on the command line.
    UnsafeOptional,
}

/// See the file's head.
#[derive(Clone)]
pub struct Options {
    /// The binary `mayfly-guest`.
    pub guest_binary: PathBuf,
    /// What to do where the kernel gives no seccomp.
    pub sandbox: Sandbox,
    /// Warmed guests that wait when nothing happens.
    pub pool_min: usize,
    /// Warmed guests that wait during a burst.
    pub pool_max: usize,
    /// Children after which a zygote retires: its forks get slower with their number.
    pub zygote_children_max: u32,
    /// Age at which a zygote retires: renews the address layout.
    pub zygote_age_max: Duration,
    /// Guests that run Workers at once.
    pub guests_max: usize,
    /// Memory of all guests above which idle ones are evicted.
    pub memory_bytes_max: u64,
    /// How long a Worker may be idle.
    pub idle_max: Duration,
    /// How long a Durable Object may be idle before its instance ends.
    pub actor_idle_max: Duration,
    /// Guests that one Worker's Durable Objects are spread over.
    pub actor_guests_max: usize,
    /// Where Durable Objects keep what they store; `None` is memory.
    pub store: Option<Arc<Store>>,
    /// CPU of one invocation where nothing lower is given; `None` is no cap.
    pub cpu_max: Option<Duration>,
    /// Subrequests of one invocation where nothing is given.
    pub sub_requests_max: Option<u32>,
    /// Memory of one Worker: heap, buffers, WebAssembly and strings together. No configuration raises it.
    pub heap_bytes_max: u64,
    /// CPU until a Worker's main module has been evaluated. No configuration raises it.
    pub startup_max: Duration,
    /// How long an invocation may take, with all the work it started; `None` is no cap.
    pub wall_max: Option<Duration>,
    /// Distinct dynamic Workers that one invocation may have at work at once where nothing is given.
    pub workers_in_flight_max: usize,
    /// How long a guest that another calls in turn, and the host with it, look for the next message
    /// before they sleep; zero is not at all. See [`crate::pairs`].
    pub awake_max: Duration,
    /// Collect garbage at every turn: a test climate.
    pub collect_always: bool,
    /// What keeps the entries of `caches`; without it every use of them fails.
    pub caches: Option<MakeCaches>,
    /// Knows compatibility dates and flags.
    pub compatibility: Compatibility,
    /// Whether what Workers use is gathered for [`crate::Supervisor::drain_usage`].
    pub metered: bool,
    /// Hears what happens.
    pub observer: Arc<dyn Observer>,
}

impl Options {
    /// Defaults around a guest binary. Every date passes and flags are taken as they are.
    pub fn new(guest_binary: PathBuf) -> Self {
        Self {
            guest_binary,
            sandbox: Sandbox::Required,
            pool_min: 8,
            pool_max: 64,
            zygote_children_max: 2000,
            zygote_age_max: Duration::from_secs(15 * 60),
            guests_max: 4096,
            memory_bytes_max: half_of_memory(),
            idle_max: Duration::from_secs(300),
            actor_idle_max: Duration::from_secs(70),
            actor_guests_max: cores(),
            store: None,
            cpu_max: Some(Duration::from_secs(30)),
            sub_requests_max: None,
            heap_bytes_max: HEAP_BYTES_DEFAULT,
            startup_max: STARTUP_CPU_DEFAULT,
            wall_max: None,
            workers_in_flight_max: WORKERS_IN_FLIGHT_DEFAULT,
            awake_max: AWAKE_DEFAULT,
            collect_always: false,
            caches: None,
            compatibility: Arc::new(|_, flags, _| Ok(flags.to_vec())),
            metered: false,
            observer: Arc::new(Silent),
        }
    }
}

/// As many guests as can run at a time, and one beside one that computes.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2))
}

/// Half of what the machine has free now, so that the host and its neighbours have the rest.
fn half_of_memory() -> u64 {
    const FALLBACK_BYTES: u64 = 2 * 1024 * 1024 * 1024;
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    info.lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.split_ascii_whitespace().next())
        .and_then(|kilobytes| kilobytes.parse::<u64>().ok())
        .map_or(FALLBACK_BYTES, |kilobytes| kilobytes.saturating_mul(512))
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("guest_binary", &self.guest_binary)
            .field("sandbox", &self.sandbox)
            .field("guests_max", &self.guests_max)
            .finish_non_exhaustive()
    }
}
