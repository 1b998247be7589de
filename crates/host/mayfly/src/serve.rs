//! `mayfly serve`: configurations in, HTTP out, until a signal.
//!
//! What can be wrong with the command line is found before anything starts: files, then guest
//! binary, then address, then sandbox. Stopping goes the other way round: the gateway first, then
//! the guests, so that an accepted request still finds its Worker.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mayfly_exchange::{BoxFuture, Failure, Request, Response, Service, SharedService};
use mayfly_gateway::{FailureDetail, Gateway, Options, Router, Stop};
use mayfly_observe::{Admin, Meter, Otel, Watch};
use mayfly_store::usage::Usage;
use mayfly_supervisor::{Observer, Supervisor};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::args::{Errors, LogForm, ServeArgs};
use crate::exit::Exit;
use crate::logs::{self, Printer};
use crate::workers::Loaded;
use crate::{cron, guest, host, queues, state, workers};

/// Serves until told to stop.
pub async fn serve(arguments: ServeArgs) -> Result<(), Exit> {
    logs::start(arguments.runtime.log);
    let mut loaded = workers::load(&arguments)?;
    let triggers = cron::triggers(&loaded)?;
    let guest = guest::find(arguments.runtime.guest.as_deref())?;
    let options = Options {
        failure_detail: failure_detail(&arguments),
    };
    let gateway = Gateway::bind(arguments.listen, options)?;
    let network = host::network(&arguments.runtime);
    let signals = Signals::new()?;
    let admin = arguments.admin.map(bind_admin).transpose()?;
    let usage = arguments
        .state
        .state
        .as_deref()
        .map(open_usage)
        .transpose()?;
    let printer = Arc::new(Printer::new(arguments.runtime.log));
    let otel = Otel::from_env().map_err(|error| Exit::Definition(error.to_string()))?;
    let otel = otel.map(Arc::new);
    let exporter = otel.clone().map(|otel| otel as Arc<dyn Observer>);
    let watch = Arc::new(Watch::new(printer.clone(), exporter));
    let mut options = host::options(guest, &arguments.runtime, watch.clone());
    options.metered = usage.is_some();
    host::evict(&mut options, &arguments.eviction);
    let (store, consumers) = state::open(&arguments.state, &mut loaded)?;
    options.store = store;
    options.caches = Some(state::caches(options.store.clone()));
    let supervisor = Arc::new(host::supervisor(options).await?);
    let network = host::made(network).await?;
    let definitions = loaded.iter().map(|worker| worker.definition.clone());
    supervisor
        .deploy(definitions.collect(), network)
        .map_err(host::explain)?;
    let scheduled = arguments.test_scheduled.then_some(&supervisor);
    let router = router(&supervisor, &loaded, &printer, scheduled)?;
    let _triggers = cron::run(triggers, &supervisor, &printer);
    let _consumers = queues::run(consumers, &supervisor, &printer);
    announce(&arguments, &supervisor, &loaded, &gateway, admin.as_ref());
    let stop = watch::Sender::new(Stop::No);
    let meter = usage
        .map(|usage| Meter::start(supervisor.clone(), usage))
        .transpose()
        .map_err(|error| Exit::Internal(format!("cannot start a thread: {error}")))?;
    if let Some(otel) = &otel {
        let started = otel.start_metrics(&supervisor, watch.metrics.clone());
        started.map_err(|error| Exit::Definition(error.to_string()))?;
    }
    if let Some(admin) = admin {
        let service: SharedService = Arc::new(Admin::new(supervisor.clone(), watch));
        tokio::spawn(admin.serve(Arc::new(move |_| Some(service.clone())), stop.subscribe()));
    }
    let grace = Duration::from_secs(arguments.grace);
    let stopping = tokio::spawn(follow(signals, stop.clone(), grace));
    let cut = gateway.serve(router, stop.subscribe()).await;
    if cut > 0 {
        eprintln!("mayfly: {cut} connections were cut with a request under way");
    }
    wind_down(&supervisor, &stop, grace).await;
    // Its last write has what the end of every guest added.
    drop(meter);
    if let Some(otel) = otel {
        // It waits for the collector, whose exchange runs on this runtime.
        let _ = tokio::task::spawn_blocking(move || otel.shutdown()).await;
    }
    stopping.abort();
    Ok(())
}

/// All requests go to the first Worker; the others are there for its service bindings.
fn router(
    supervisor: &Supervisor,
    loaded: &[Loaded],
    printer: &Arc<Printer>,
    scheduled: Option<&Arc<Supervisor>>,
) -> Result<Router, Exit> {
    let missing = || Exit::Internal("no worker was deployed".to_owned());
    let first = loaded.first().ok_or_else(missing)?;
    let name = &first.definition.name;
    let mut front: SharedService = Arc::new(Front {
        worker: name.clone(),
        service: supervisor.service(name, "").ok_or_else(missing)?,
        printer: printer.clone(),
    });
    if let Some((assets, worker_first)) = first.assets.clone() {
        front = assets.before(Some(front).filter(|_| first.has_code), worker_first);
    }
    if let Some(supervisor) = scheduled {
        front = Arc::new(TestScheduled {
            worker: name.clone(),
            supervisor: supervisor.clone(),
            service: front,
        });
    }
    Ok(Arc::new(move |_| Some(front.clone())))
}

/// `--test-scheduled`: a request for [`TEST_SCHEDULED`] runs the first Worker's `scheduled()`.
struct TestScheduled {
    worker: String,
    supervisor: Arc<Supervisor>,
    service: SharedService,
}

/// The path that wrangler's development server has for this.
const TEST_SCHEDULED: &str = "/cdn-cgi/handler/scheduled";

impl Service for TestScheduled {
    fn fetch(&self, request: Request) -> BoxFuture<Result<Response, Failure>> {
        let url = url::Url::parse(&request.head.url).ok();
        let Some(url) = url.filter(|url| url.path() == TEST_SCHEDULED) else {
            return self.service.fetch(request);
        };
        let parameter = |name: &str| {
            let found = url.query_pairs().find(|(given, _)| given == name);
            found.map(|(_, value)| value.into_owned())
        };
        let cron = parameter("cron").unwrap_or_else(|| "* * * * *".to_owned());
        let time_ms = parameter("time").and_then(|time| time.parse().ok());
        let time_ms = time_ms.unwrap_or_else(|| logs::now_ms() as f64);
        let (worker, supervisor) = (self.worker.clone(), self.supervisor.clone());
        Box::pin(async move {
            supervisor.scheduled(&worker, &cron, time_ms).await?;
            Ok(Response::text(200, "ok"))
        })
    }
}

/// The first Worker's default entrypoint. A request that fails is told to the operator too: the
/// client may be shown less, and a nested caller would have heard it as an error of its own.
struct Front {
    worker: String,
    service: SharedService,
    printer: Arc<Printer>,
}

impl Service for Front {
    fn fetch(&self, request: Request) -> BoxFuture<Result<Response, Failure>> {
        let answer = self.service.fetch(request);
        let (worker, printer) = (self.worker.clone(), self.printer.clone());
        Box::pin(async move {
            let answer = answer.await;
            if let Err(failure) = &answer {
                printer.exception(&worker, failure);
            }
            answer
        })
    }
}

fn failure_detail(arguments: &ServeArgs) -> FailureDetail {
    match arguments.errors {
        Errors::Full => FailureDetail::Full,
        Errors::Brief => FailureDetail::Brief,
        Errors::Auto if arguments.listen.ip().is_loopback() => FailureDetail::Full,
        Errors::Auto => FailureDetail::Brief,
    }
}

/// Somebody else's machine may be listening on purpose, so that is said and not refused.
fn bind_admin(address: SocketAddr) -> Result<Gateway, Exit> {
    if !address.ip().is_loopback() {
        eprintln!(
            "mayfly: warning: --admin {address} is not of this machine alone: whoever reaches it \
             can read what Workers log"
        );
    }
    let options = Options {
        failure_detail: FailureDetail::Brief,
    };
    Ok(Gateway::bind(address, options)?)
}

fn open_usage(folder: &Path) -> Result<Usage, Exit> {
    std::fs::create_dir_all(folder).map_err(|error| {
        Exit::State(format!(
            "cannot make the folder {}: {error}",
            folder.display()
        ))
    })?;
    Usage::open(folder).map_err(|error| Exit::State(error.to_string()))
}

fn announce(
    arguments: &ServeArgs,
    supervisor: &Supervisor,
    loaded: &[Loaded],
    gateway: &Gateway,
    admin: Option<&Gateway>,
) {
    let url = format!("http://{}", gateway.local_addr());
    let admin = admin.map(|admin| format!("http://{}", admin.local_addr()));
    match arguments.runtime.log {
        LogForm::Pretty => announce_to_people(supervisor, loaded, &url, admin.as_deref()),
        LogForm::Json => announce_to_programs(supervisor, loaded, &url, admin.as_deref()),
    }
}

fn announce_to_people(supervisor: &Supervisor, loaded: &[Loaded], url: &str, admin: Option<&str>) {
    eprintln!("mayfly {}", env!("CARGO_PKG_VERSION"));
    for worker in loaded {
        eprintln!(
            "  worker   {} ({})",
            worker.definition.name,
            worker.file.display()
        );
        for file in &worker.secrets {
            eprintln!("  secrets  {}", file.display());
        }
    }
    let layers = supervisor.layers();
    let active = layers.iter().filter(|layer| layer.active);
    let names: Vec<_> = active.map(|layer| layer.name.as_str()).collect();
    eprintln!("  sandbox  {}", names.join(", "));
    for layer in layers.iter().filter(|layer| !layer.active) {
        eprintln!("  NOT active: {} ({})", layer.name, layer.reason);
    }
    // The line with the main address is the last: whoever waits for it finds the rest there.
    if let Some(admin) = admin {
        eprintln!("  admin    {admin}");
    }
    eprintln!("listening on {url}");
}

fn announce_to_programs(
    supervisor: &Supervisor,
    loaded: &[Loaded],
    url: &str,
    admin: Option<&str>,
) {
    let workers: Vec<_> = loaded
        .iter()
        .map(|worker| &worker.definition.name)
        .collect();
    let layers = supervisor.layers().iter().map(|layer| {
        serde_json::json!({
            "name": layer.name, "active": layer.active, "reason": layer.reason,
        })
    });
    let line = serde_json::json!({
        "time": logs::now_ms(),
        "kind": "listening",
        "version": env!("CARGO_PKG_VERSION"),
        "url": url,
        "admin": admin,
        "workers": workers,
        "sandbox": layers.collect::<Vec<_>>(),
    });
    eprintln!("{line}");
}

/// Asked to stop: by a service manager, or by Ctrl-C.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Exit> {
        let listen = |kind| {
            signal(kind).map_err(|error| Exit::Internal(format!("cannot await signals: {error}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The first signal asks for a graceful end; the second, or the end of the grace time, for an
/// immediate one.
async fn follow(mut signals: Signals, stop: watch::Sender<Stop>, grace: Duration) {
    signals.next().await;
    stop.send_replace(Stop::Graceful);
    tokio::select! {
        () = signals.next() => {}
        () = tokio::time::sleep(grace) => {}
    }
    stop.send_replace(Stop::Now);
}

/// Waits for work that outlives its answers, such as `waitUntil`, for what is left of the grace
/// time: `follow` says when it is over.
async fn wind_down(supervisor: &Supervisor, stop: &watch::Sender<Stop>, grace: Duration) {
    let mut stopping = stop.subscribe();
    tokio::select! {
        () = supervisor.shutdown(grace) => {}
        _ = stopping.wait_for(|step| *step == Stop::Now) => {
            supervisor.shutdown(Duration::ZERO).await;
        }
    }
}
