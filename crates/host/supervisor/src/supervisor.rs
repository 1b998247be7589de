//! The supervisor as the rest of the host sees it: start, deploy, call, shut down.

use crate::actor::Namespace;
use crate::caches::CacheOwner;
use crate::call::Call;
use crate::capability::{Capability, Handle, ServiceCap};
use crate::code::{Code, CodeEnv, HeldBinding, check_modules};
use crate::definition::{
    BindingDefinition, HostedService, OutboundDefinition, ServiceTarget, WorkerDefinition,
};
use crate::ending::EndReason;
use crate::error::SupervisorError;
use crate::held::{HeldEvent, HeldOutcome, HeldPayload, Weight};
use crate::hub::{self, Hub};
use crate::lock::Mutex;
use crate::network::{from_exchange, to_exchange};
use crate::options::Options;
use crate::policy::Policy;
use crate::pool::{NoNursery, Nursery};
use crate::relay::{invoke, no_props};
use crate::trace::Tails;
use crate::turn::Turn;
use crate::usage::{Toll, Used};
use crate::worker::{Origin, Worker};
use crate::zygote::{self, ZygoteNursery};
use crate::{alarms, compiled, evict, limits, tail};
use mayfly_exchange::{BoxFuture, Request, Response, Service, SharedService};
use mayfly_sandbox::seccomp::Jit;
use mayfly_wire::control::Layer;
use mayfly_wire::{Blob, Failure, FailureKind, Limits};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often a shutdown looks whether the last invocation has ended.
const DRAIN_TICK: Duration = Duration::from_millis(5);

/// How long the zygotes may take to end.
const ZYGOTES_WAIT: Duration = Duration::from_secs(3);

/// Lives of guests and the relay between them. Must be made inside a tokio runtime.
pub struct Supervisor {
    hub: Arc<Hub>,
    workers: Mutex<HashMap<String, Handle>>,
    layers: Vec<Layer>,
    closing: watch::Sender<bool>,
    managers: Mutex<Vec<JoinHandle<()>>>,
    tasks: Vec<JoinHandle<()>>,
}

/// Numbers for an operator, all at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each name says it")]
pub struct Metrics {
    pub guests_live: u64,
    pub guests_ready: u64,
    pub guests_forking: u64,
    pub workers_waiting: u64,
    pub forks: u64,
    pub starts: u64,
    pub ends: u64,
    pub evictions: u64,
    pub violations: u64,
    pub invocations: u64,
    pub zygotes: u64,
    pub cached_workers: u64,
    /// Modules that were sent compiled, and bytes kept for that.
    pub modules_sent_compiled: u64,
    pub compiled_bytes: u64,
    pub memory_bytes: u64,
    pub logs_dropped: u64,
    pub traces_dropped: u64,
    pub tail_events_dropped: u64,
    pub egress_requests: u64,
    pub egress_sent_bytes: u64,
    pub egress_received_bytes: u64,
}

impl Supervisor {
    /// Starts the first zygote and fills the pool.
    pub async fn new(options: Options) -> Result<Self, SupervisorError> {
        let first = zygote::start(&options, Jit::On).await?;
        let layers = first.layers.clone();
        let (nursery, wanted) = ZygoteNursery::new();
        let (jitless, jitless_wanted) = ZygoteNursery::new();
        let mut supervisor = Self::with_nurseries(options, Box::new(nursery), Box::new(jitless));
        supervisor.layers = layers;
        let hub = supervisor.hub.clone();
        let closing = supervisor.closing.subscribe();
        let on_demand = zygote::manage_on_demand(hub.clone(), jitless_wanted, closing.clone());
        let managers = vec![
            tokio::spawn(zygote::manage(hub, first, wanted, closing, Jit::On)),
            tokio::spawn(on_demand),
        ];
        *supervisor.managers.lock() = managers;
        supervisor.hub.pool.refill();
        Ok(supervisor)
    }

    /// A supervisor whose guests come from elsewhere: [`Hub::adopt`].
    pub fn with_nursery(options: Options, nursery: Box<dyn Nursery>) -> Self {
        Self::with_nurseries(options, nursery, Box::new(NoNursery))
    }

    fn with_nurseries(
        options: Options,
        nursery: Box<dyn Nursery>,
        jitless: Box<dyn Nursery>,
    ) -> Self {
        let (hub, chores, jobs) = Hub::new(options, nursery, jitless);
        let tasks = vec![
            tokio::spawn(hub::run_chores(hub.clone(), chores)),
            tokio::spawn(limits::watch_cpu(hub.clone())),
            tokio::spawn(tail::run(hub.clone())),
            tokio::spawn(evict::run(hub.clone())),
            tokio::spawn(alarms::run(hub.clone())),
            tokio::spawn(compiled::run(hub.clone(), jobs)),
        ];
        Self {
            hub,
            workers: Mutex::new(HashMap::new()),
            layers: Vec::new(),
            closing: watch::Sender::new(false),
            managers: Mutex::new(Vec::new()),
            tasks,
        }
    }

    /// What all guests share; for tests and nurseries.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// The sandbox's layers and which of them this machine gave.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Deploys Workers that may name each other. `network` is where outgoing requests go.
    pub fn deploy(
        &self,
        definitions: Vec<WorkerDefinition>,
        network: SharedService,
    ) -> Result<(), SupervisorError> {
        let mut handles: HashMap<String, Handle> = HashMap::new();
        for definition in &definitions {
            let problem = |problem: String| SupervisorError::Definition {
                worker: definition.name.clone(),
                problem,
            };
            check_modules(&definition.modules, &definition.main_module)
                .map_err(|failure| problem(failure.message))?;
            let name = definition.name.clone();
            let account = self.hub.meter.account(&Arc::from(name.as_str()), "");
            let handle = Worker::create(
                &self.hub,
                name.clone(),
                Origin::Configured,
                0,
                None,
                Policy::default(),
                account,
                CacheOwner::configured(&name),
            );
            if handles.insert(name, handle).is_some() {
                return Err(problem("is defined twice".to_owned()));
            }
        }
        let namespaces = self.namespaces_of(&definitions, &handles);
        let deployed = self.workers.lock();
        let find = |name: &str| handles.get(name).or_else(|| deployed.get(name));
        let mut codes = Vec::with_capacity(definitions.len());
        for definition in definitions {
            let Some(handle) = handles.get(&definition.name) else {
                continue;
            };
            let name = definition.name.clone();
            let code = code_of(definition, &network, &namespaces, find).map_err(|problem| {
                SupervisorError::Definition {
                    worker: name,
                    problem,
                }
            })?;
            codes.push((handle.worker().clone(), Arc::new(code)));
        }
        drop(deployed);
        for (worker, code) in codes {
            worker.configure(code);
        }
        for (name, handle) in &handles {
            self.hub.deploy(name, handle.worker());
        }
        self.workers.lock().extend(handles);
        self.hub
            .alarms
            .load(&self.hub)
            .map_err(|error| SupervisorError::State(error.to_string()))
    }

    fn namespaces_of(
        &self,
        definitions: &[WorkerDefinition],
        handles: &HashMap<String, Handle>,
    ) -> Namespaces {
        let mut namespaces = Namespaces::new();
        for definition in definitions {
            let Some(handle) = handles.get(&definition.name) else {
                continue;
            };
            for (class, stored) in &definition.actors {
                let service = ServiceCap {
                    keep: None,
                    ..plain(handle.clone(), class.clone())
                };
                let namespace = Namespace::new(stored.clone(), Arc::new(service));
                self.hub.add_namespace(&namespace);
                namespaces.insert((definition.name.clone(), class.clone()), namespace);
            }
        }
        namespaces
    }

    /// A deployed Worker's entrypoint as a service; `None` if there is no such Worker. Whether the
    /// entrypoint exists is known once the Worker has started.
    pub fn service(&self, worker: &str, entrypoint: &str) -> Option<SharedService> {
        let handle = self.workers.lock().get(worker)?.clone();
        Some(Arc::new(WorkerService {
            hub: self.hub.clone(),
            service: Arc::new(plain(handle, entrypoint.to_owned())),
        }))
    }

    /// Delivers a cron trigger; the result says whether `noRetry()` was called.
    pub async fn scheduled(&self, worker: &str, cron: &str, time_ms: f64) -> Result<bool, Failure> {
        let event = HeldEvent::Scheduled {
            time_ms,
            cron: cron.to_owned(),
        };
        match self.deliver(worker, event).await? {
            HeldOutcome::Nothing { no_retry } => Ok(no_retry),
            HeldOutcome::Failed(failure) => Err(failure),
            _ => Err(wrong_outcome()),
        }
    }

    /// Delivers a batch of so many `messages` of a queue, in the platform's codec; the result is what was said of it.
    pub async fn queue(
        &self,
        worker: &str,
        queue: &str,
        messages: u32,
        batch: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        let event = HeldEvent::Queue {
            queue: queue.to_owned(),
            messages,
            batch: HeldPayload {
                bytes: Blob(batch),
                ..HeldPayload::default()
            },
        };
        match self.deliver(worker, event).await? {
            HeldOutcome::Value(payload) => Ok(payload.bytes.0.clone()),
            HeldOutcome::Failed(failure) => Err(failure),
            _ => Err(wrong_outcome()),
        }
    }

    /// Calls the default entrypoint of a deployed Worker.
    async fn deliver(&self, worker: &str, event: HeldEvent) -> Result<HeldOutcome, Failure> {
        let Some(handle) = self.workers.lock().get(worker).cloned() else {
            let message = format!("there is no worker {worker:?}");
            return Err(Failure::new(FailureKind::Exception {}, "Error", message));
        };
        let service = Arc::new(plain(handle, String::new()));
        Ok(host_call(&self.hub, &service, event).await.0)
    }

    /// What Workers used since the last time; nothing unless `metered` was set.
    pub fn drain_usage(&self) -> Vec<Used> {
        self.hub.meter.drain()
    }

    /// Whether it takes calls.
    pub fn is_open(&self) -> bool {
        !self.hub.draining.load(Ordering::SeqCst)
    }

    /// Numbers for an operator.
    pub fn metrics(&self) -> Metrics {
        let counts = self.hub.counts();
        let counters = &self.hub.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Metrics {
            guests_live: counts.live as u64,
            guests_ready: counts.ready as u64,
            guests_forking: counts.forking as u64,
            workers_waiting: counts.waiting as u64,
            forks: read(&counters.forks),
            starts: read(&counters.starts),
            ends: read(&counters.ends),
            evictions: read(&counters.evictions),
            violations: read(&counters.violations),
            invocations: read(&counters.invocations),
            zygotes: read(&counters.zygotes),
            cached_workers: self.hub.cache.entries() as u64,
            modules_sent_compiled: read(&self.hub.compiled.sent),
            compiled_bytes: self.hub.compiled.bytes() as u64,
            memory_bytes: read(&counters.memory_bytes),
            logs_dropped: read(&counters.logs_dropped),
            traces_dropped: read(&counters.traces_dropped),
            tail_events_dropped: read(&counters.tail_events_dropped),
            egress_requests: read(&self.hub.meter.egress.requests),
            egress_sent_bytes: read(&self.hub.meter.egress.sent),
            egress_received_bytes: read(&self.hub.meter.egress.received),
        }
    }

    /// A call of the host's waits for its outcome, or a guest has not said `Done`.
    fn is_busy(&self) -> bool {
        self.hub.host_calls.load(Ordering::SeqCst) > 0 || self.hub.any_busy()
    }

    /// Refuses new calls from outside, waits at most `grace` for those under way, then ends every
    /// guest and zygote. Nothing is left behind.
    pub async fn shutdown(&self, grace: Duration) {
        self.hub.draining.store(true, Ordering::SeqCst);
        let since = Instant::now();
        while since.elapsed() < grace && self.is_busy() {
            tokio::time::sleep(DRAIN_TICK).await;
        }
        let failure = EndReason::Shutdown.failure();
        {
            let mut turn = Turn::new();
            for pool in self.hub.pools() {
                pool.refuse_all(&mut turn, &failure, true);
            }
            for guest in self.hub.all_guests() {
                guest.end(&mut turn, EndReason::Shutdown);
            }
        }
        self.closing.send_replace(true);
        let managers = std::mem::take(&mut *self.managers.lock());
        for manager in managers {
            let _ = tokio::time::timeout(ZYGOTES_WAIT, manager).await;
        }
        // Forks that arrived in between.
        let mut turn = Turn::new();
        for guest in self.hub.all_guests() {
            guest.end(&mut turn, EndReason::Shutdown);
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.closing.send_replace(true);
        for guest in self.hub.all_guests() {
            guest.end(&mut Turn::new(), EndReason::Shutdown);
        }
        for task in &self.tasks {
            task.abort();
        }
        self.hub.forget_busy();
        drop(self.hub.telling.take());
        // Configured Workers hold each other through their bindings, and so would stay for ever.
        for handle in self.workers.lock().values() {
            handle.worker().unconfigure();
        }
    }
}

/// An entrypoint with nothing besides: no props, no limits of its own.
fn plain(handle: Handle, entrypoint: String) -> ServiceCap {
    ServiceCap {
        worker: handle.worker().clone(),
        keep: Some(handle),
        entrypoint,
        props: no_props(),
        limits: Limits::NONE,
        callback: None,
        storable: false,
        via: None,
    }
}

/// By Worker and class.
type Namespaces = HashMap<(String, String), Arc<Namespace>>;

fn code_of<'a>(
    definition: WorkerDefinition,
    network: &SharedService,
    namespaces: &Namespaces,
    find: impl Fn(&str) -> Option<&'a Handle> + Copy,
) -> Result<Code, String> {
    let service = |target: ServiceTarget| -> Result<Capability, String> {
        let handle = find(&target.worker)
            .ok_or_else(|| format!("there is no worker {:?} to bind to", target.worker))?;
        Ok(Capability::Service(Arc::new(ServiceCap {
            worker: handle.worker().clone(),
            keep: Some(handle.clone()),
            entrypoint: target.entrypoint,
            props: Arc::new(HeldPayload {
                bytes: Blob(target.props),
                ..HeldPayload::default()
            }),
            limits: Limits::NONE,
            callback: None,
            storable: false,
            via: None,
        })))
    };
    let mut bindings = Vec::with_capacity(definition.bindings.len());
    for (name, binding) in definition.bindings {
        let held = match binding {
            BindingDefinition::Text(text) => HeldBinding::Text(text),
            BindingDefinition::Json(json) => HeldBinding::Json(json),
            BindingDefinition::Data(bytes) => HeldBinding::Data(Blob(bytes)),
            BindingDefinition::Service(target) => HeldBinding::Service(service(target)?),
            BindingDefinition::Network => {
                HeldBinding::Service(Capability::Network(network.clone()))
            }
            BindingDefinition::Loader { shared, policy } => HeldBinding::Loader { shared, policy },
            BindingDefinition::HostService(HostedService(service)) => {
                HeldBinding::Service(Capability::Network(service))
            }
            BindingDefinition::Hosted(kind, HostedService(service)) => {
                HeldBinding::Hosted(kind, Capability::Network(service))
            }
            BindingDefinition::Actors { worker, class } => {
                let key = (worker, class);
                let found = namespaces.get(&key).cloned();
                HeldBinding::Actors(found.ok_or_else(|| {
                    format!("worker {:?} has no Durable Object class {:?}", key.0, key.1)
                })?)
            }
        };
        bindings.push((name, held));
    }
    let outbound = match definition.outbound {
        OutboundDefinition::Network => Some(Capability::Network(network.clone())),
        OutboundDefinition::Blocked => None,
        OutboundDefinition::Service(target) => Some(service(target)?),
    };
    let services = |targets: Vec<ServiceTarget>| -> Result<Vec<Capability>, String> {
        targets.into_iter().map(service).collect()
    };
    let tails = Tails::new(
        services(definition.tails)?,
        services(definition.streaming_tails)?,
    );
    Ok(Code {
        modules: definition.modules,
        keys: OnceLock::new(),
        weight: Weight::default(),
        main_module: definition.main_module,
        compatibility_flags: definition.compatibility_flags,
        env: CodeEnv::Bindings(bindings),
        outbound,
        limits: definition.limits,
        caps: definition.caps,
        jitless: false,
        tails: Arc::new(tails),
        actors: definition
            .actors
            .iter()
            .filter_map(|(class, _)| {
                let key = (definition.name.clone(), class.clone());
                Some((class.clone(), namespaces.get(&key)?.clone()))
            })
            .collect(),
    })
}

/// An entrypoint, for the gateway.
struct WorkerService {
    hub: Arc<Hub>,
    service: Arc<ServiceCap>,
}

impl Service for WorkerService {
    fn fetch(&self, request: Request) -> BoxFuture<Result<Response, Failure>> {
        let hub = self.hub.clone();
        let service = self.service.clone();
        Box::pin(async move {
            let event = HeldEvent::Fetch {
                request: Arc::new(request.head),
                body: from_exchange(&hub.runtime, &hub.chores, request.body, &Toll::default()),
                weight: Weight::default(),
            };
            let (outcome, call) = host_call(&hub, &service, event).await;
            match outcome {
                HeldOutcome::Response { head, body } => Ok(Response {
                    head: *head,
                    body: to_exchange(&hub.runtime, body, Some(call), &Toll::default()),
                }),
                HeldOutcome::Failed(failure) => Err(failure),
                _ => Err(wrong_outcome()),
            }
        })
    }
}

/// A call of the host's: counted while it waits, cancelled where its future is dropped.
struct HostCall {
    hub: Arc<Hub>,
    call: Option<Arc<Call>>,
}

impl Drop for HostCall {
    fn drop(&mut self) {
        self.hub.host_calls.fetch_sub(1, Ordering::SeqCst);
        if let Some(call) = self.call.take() {
            call.cancel(&mut Turn::new(), "the client went away");
        }
    }
}

async fn host_call(
    hub: &Arc<Hub>,
    service: &Arc<ServiceCap>,
    event: HeldEvent,
) -> (HeldOutcome, Arc<Call>) {
    let (call, outcome) = Call::by_host();
    // Counted before the look, so that a shutdown either sees this call or is seen by it.
    hub.host_calls.fetch_add(1, Ordering::SeqCst);
    let mut waiting = HostCall {
        hub: hub.clone(),
        call: Some(call.clone()),
    };
    if hub.draining.load(Ordering::SeqCst) {
        waiting.call = None;
        return (HeldOutcome::Failed(EndReason::Shutdown.failure()), call);
    }
    invoke(&mut Turn::new(), &call, service, event);
    let outcome = outcome
        .await
        .unwrap_or_else(|_| HeldOutcome::Failed(EndReason::Closed.failure()));
    waiting.call = None;
    (outcome, call)
}

fn wrong_outcome() -> Failure {
    Failure::new(
        FailureKind::Exception {},
        "Error",
        "The Worker answered with something that does not fit the event.",
    )
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Supervisor")
    }
}
