//! The supervisor with real guests: `mayfly-guest` forked from a zygote, JavaScript and all.
//!
//! Needs the guest binary where cargo puts it beside this test, or at `MAYFLY_GUEST`.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod fake;

use fake::{network, request, text, within, worker};
use mayfly_exchange::{Body, Request, Response};
use mayfly_supervisor::{
    BindingDefinition, InvocationReport, Observer, Options, Policy, Sandbox, Supervisor,
    WorkerDefinition,
};
use mayfly_wire::{Blob, Failure, FailureKind, Module, ModuleKind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn guest_binary() -> PathBuf {
    if let Some(path) = std::env::var_os("MAYFLY_GUEST") {
        return path.into();
    }
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("mayfly-guest");
    assert!(
        path.exists(),
        "{} is missing: build the package mayfly-guest with this profile first",
        path.display()
    );
    path
}

fn options() -> Options {
    let mut options = Options::new(guest_binary());
    options.sandbox = Sandbox::UnsafeOptional;
    options
}

/// Keeps what each invocation cost.
#[derive(Default)]
struct Costs(Mutex<Vec<(String, Duration, Duration)>>);

impl Observer for Costs {
    fn invocation_done(&self, report: InvocationReport<'_>) {
        let cost = (report.worker.to_owned(), report.cpu, report.wall);
        self.0.lock().unwrap().push(cost);
    }
}

impl Costs {
    fn print(&self, worker: &str) {
        let costs = self.0.lock().unwrap();
        let of = |pick: fn(&(String, Duration, Duration)) -> Duration| {
            let costs = costs.iter().filter(|(name, ..)| name == worker);
            let mut times: Vec<Duration> = costs.map(pick).collect();
            times.sort_unstable();
            times[times.len() / 2]
        };
        println!(
            "{worker}: p50 cpu {:?}, wall {:?}",
            of(|cost| cost.1),
            of(|cost| cost.2)
        );
    }
}

async fn supervisor(options: Options, definitions: Vec<WorkerDefinition>) -> Supervisor {
    let supervisor = within(Supervisor::new(options)).await.unwrap();
    supervisor.deploy(definitions, network()).unwrap();
    supervisor
}

fn js(name: &str, source: &str, bindings: Vec<(&str, BindingDefinition)>) -> WorkerDefinition {
    let mut definition = worker(name, bindings);
    definition.modules = vec![Module {
        name: "main.js".to_owned(),
        kind: ModuleKind::Js {},
        content: Blob(source.as_bytes().to_vec()),
    }];
    definition
}

fn loader() -> Vec<(&'static str, BindingDefinition)> {
    vec![(
        "LOADER",
        BindingDefinition::Loader {
            shared: None,
            policy: Policy::default(),
        },
    )]
}

async fn fetch(supervisor: &Supervisor, worker: &str, path: &str) -> Result<Response, Failure> {
    let service = supervisor.service(worker, "").unwrap();
    within(service.fetch(request(path))).await
}

async fn get(supervisor: &Supervisor, worker: &str, path: &str) -> String {
    text(fetch(supervisor, worker, path).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_answers() {
    let source =
        r#"export default { fetch(request) { return new Response("hi " + request.url) } }"#;
    let costs = Arc::new(Costs::default());
    let mut options = options();
    options.observer = costs.clone();
    let supervisor = supervisor(options, vec![js("a", source, vec![])]).await;
    assert_eq!(get(&supervisor, "a", "/x").await, "hi http://test/x");
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..5000 {
        let since = Instant::now();
        get(&supervisor, "a", "/x").await;
        times.push(since.elapsed());
    }
    times.sort_unstable();
    println!(
        "warm, one hop: p50 {:?}, p99 {:?}",
        times[2500], times[4950]
    );
    costs.print("a");
    supervisor.shutdown(Duration::from_secs(1)).await;
}

const PARENT: &str = r#"
const child = (text) => ({
  compatibilityDate: "2026-01-01",
  mainModule: "main.js",
  modules: { "main.js": `export default { fetch(request) { return new Response(${JSON.stringify(text)}) } }` },
});
let callbacks = 0;
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname === "/load") {
      return env.LOADER.load(child("loaded")).getEntrypoint().fetch(request);
    }
    if (url.pathname === "/get") {
      const stub = env.LOADER.get("one", () => { callbacks++; return child("got"); });
      const response = await stub.getEntrypoint().fetch(request);
      return new Response(await response.text() + callbacks);
    }
    if (url.pathname === "/loop") {
      const code = child("x");
      code.modules["main.js"] = "export default { fetch() { for (;;); } }";
      code.limits = { cpuMs: 50 };
      return env.LOADER.load(code).getEntrypoint().fetch(request);
    }
    if (url.pathname === "/bomb") {
      const code = child("x");
      code.modules["main.js"] = "export default { fetch() { const all = []; for (;;) all.push(new Array(1e5).fill({})); } }";
      return env.LOADER.load(code).getEntrypoint().fetch(request);
    }
    if (url.pathname === "/syntax") {
      const code = child("x");
      code.modules["main.js"] = "export default {";
      return env.LOADER.load(code).getEntrypoint().fetch(request);
    }
    return new Response("parent");
  },
};
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_loads_children() {
    let costs = Arc::new(Costs::default());
    let mut options = options();
    options.observer = costs.clone();
    let supervisor = supervisor(options, vec![js("p", PARENT, loader())]).await;
    assert_eq!(get(&supervisor, "p", "/").await, "parent");
    assert_eq!(get(&supervisor, "p", "/load").await, "loaded");
    assert_eq!(get(&supervisor, "p", "/get").await, "got1");
    assert_eq!(get(&supervisor, "p", "/get").await, "got1");
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..200 {
        // So that the pool's guests are warm, as they are where requests do not come without pause.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let since = Instant::now();
        assert_eq!(get(&supervisor, "p", "/load").await, "loaded");
        times.push(since.elapsed());
    }
    times.sort_unstable();
    println!("cold load: p50 {:?}, p99 {:?}", times[100], times[198]);
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..2000 {
        let since = Instant::now();
        get(&supervisor, "p", "/get").await;
        times.push(since.elapsed());
    }
    times.sort_unstable();
    println!(
        "warm, two hops: p50 {:?}, p99 {:?}",
        times[1000], times[1980]
    );
    for worker in ["p", "LOADER/load", "LOADER/one"] {
        costs.print(worker);
    }
    println!("{:?}", supervisor.metrics());
    supervisor.shutdown(Duration::from_secs(1)).await;
}

/// Stubs are garbage that the engine does not know to be heavy: without the host asking, a parent
/// that loads without a pause would run into its bounds.
#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_never_pauses_keeps_loading() {
    let source = PARENT.replace(
        "modules: {",
        "modules: { \"big.txt\": { text: \"x\".repeat(4 << 20) },",
    );
    let supervisor = supervisor(options(), vec![js("p", &source, loader())]).await;
    for _ in 0..120 {
        assert_eq!(get(&supervisor, "p", "/load").await, "loaded");
    }
    let metrics = supervisor.metrics();
    assert!(metrics.guests_live < 100, "{metrics:?}");
    supervisor.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn children_that_misbehave_end_and_say_why() {
    let supervisor = supervisor(options(), vec![js("p", PARENT, loader())]).await;
    for (path, kind) in [
        ("/loop", FailureKind::ExceededCpu {}),
        ("/bomb", FailureKind::ExceededMemory {}),
        ("/syntax", FailureKind::Exception {}),
    ] {
        let since = Instant::now();
        let failure = fetch(&supervisor, "p", path).await.unwrap_err();
        println!(
            "{path}: {:?} {} after {:?}",
            failure.kind,
            failure.message,
            since.elapsed()
        );
        let expected = match kind {
            FailureKind::ExceededCpu {} => "CPU",
            FailureKind::ExceededMemory {} => "memory",
            _ => "",
        };
        assert!(failure.message.contains(expected), "{path}: {failure:?}");
        assert_eq!(get(&supervisor, "p", "/").await, "parent");
    }
    supervisor.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_passes_through_a_worker() {
    let source = "export default { fetch(request) { return new Response(request.body) } }";
    let supervisor = supervisor(options(), vec![js("a", source, vec![])]).await;
    let service = supervisor.service("a", "").unwrap();
    let bytes = vec![b'x'; 8 * 1024 * 1024];
    let mut head = request("/").head;
    head.method = "POST".to_owned();
    let request = Request {
        head,
        body: Body::Full(bytes.into()),
    };
    let answer = within(service.fetch(request)).await;
    assert_eq!(text(answer).await.len(), 8 * 1024 * 1024);
    supervisor.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zygote_is_retired_and_its_guests_go_on() {
    let mut options = options();
    options.zygote_children_max = 20;
    let supervisor = supervisor(options, vec![js("p", PARENT, loader())]).await;
    for _ in 0..60 {
        assert_eq!(get(&supervisor, "p", "/load").await, "loaded");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let metrics = supervisor.metrics();
    assert!(metrics.zygotes >= 2, "{metrics:?}");
    // The parent still lives in the first zygote's family.
    assert_eq!(get(&supervisor, "p", "/").await, "parent");
    supervisor.shutdown(Duration::from_secs(1)).await;
}
