//! What is measured. A case drives a running system and gives numbers; lower is better unless the
//! unit is "per second".
//!
//! Groups stand in the order of the table. Each gets systems that are fresh where what an earlier
//! case left behind would count (memory, ids), and one that has answered already elsewhere.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::http::Connection;
use crate::memory;
use crate::peer::{Peer, Running};
use crate::stats::{Samples, median};

/// One measured number.
#[derive(Debug, Clone)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// Its value; `Err` says why there is none.
    pub value: Result<f64, String>,
    /// `ms`, `us`, `KiB` (lower is better), `/s` or `ids` (higher is better).
    pub unit: &'static str,
}

impl Figure {
    /// Whether more is better.
    pub fn more_is_better(&self) -> bool {
        matches!(self.unit, "/s" | "ids")
    }
}

/// How much of everything: the full run takes minutes, the short one only shows that cases run.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Starts of the host.
    pub starts: usize,
    /// Cold loads per latency case.
    pub loads: usize,
    /// How long a throughput case drives.
    pub drive: Duration,
    /// How long loads are sustained.
    pub sustain: Duration,
    /// RPC calls in one request.
    pub calls: usize,
    /// Live Durable Objects whose memory is taken.
    pub objects: usize,
    /// Steps of live Workers whose memory is taken.
    pub live: &'static [usize],
    /// fib(n).
    pub fib: u32,
    /// Rounds of the other CPU work, in percent.
    pub cpu: u32,
    /// Times that a case of one request is repeated.
    pub repeats: usize,
    /// Bytes of the stream.
    pub stream_bytes: usize,
    /// Distinct ids, and how long is taken for them at most.
    pub ids: usize,
    /// See [`Effort::ids`].
    pub ids_time: Duration,
}

impl Effort {
    /// For the table in docs/performance.md.
    pub const FULL: Self = Self {
        starts: 5,
        loads: 1000,
        drive: Duration::from_secs(5),
        sustain: Duration::from_secs(60),
        calls: 10_000,
        objects: 10_000,
        live: &[100, 1000, 5000],
        fib: 35,
        cpu: 100,
        repeats: 7,
        stream_bytes: 100_000_000,
        ids: 100_000,
        ids_time: Duration::from_secs(90),
    };
    /// For continuous integration.
    pub const SHORT: Self = Self {
        starts: 1,
        loads: 40,
        drive: Duration::from_millis(300),
        sustain: Duration::from_millis(500),
        calls: 300,
        objects: 300,
        live: &[30],
        fib: 22,
        cpu: 2,
        repeats: 2,
        stream_bytes: 2_000_000,
        ids: 50,
        ids_time: Duration::from_secs(10),
    };

    /// What one peer gets of it.
    pub fn of(self, peer: Peer) -> Self {
        let share = peer.share();
        Self {
            loads: (self.loads / share).max(4),
            calls: (self.calls / share).max(100),
            repeats: if share == 1 {
                self.repeats
            } else {
                self.repeats.min(3)
            },
            ..self
        }
    }
}

/// The cases of the CPU set; `fib` has a row of its own besides.
const CPU_CASES: [&str; 6] = [
    "json",
    "regex",
    "collections",
    "typedArrays",
    "strings",
    "wasm",
];

/// Rounds of the Wasm loop at full effort.
const WASM_ROUNDS: u64 = 10_000_000;

/// Every case on one system, in the order of the table.
pub fn run_all(peer: Peer, effort: &Effort) -> Result<Vec<Figure>, String> {
    let mut figures = vec![starts(peer, effort)];
    {
        let system = Running::start(peer, &[])?;
        loads(&mut figures, &system, effort);
        warm(&mut figures, &system, effort);
        rpc(&mut figures, &system, effort);
        cpu(&mut figures, &system, effort);
        if peer.is_runtime() {
            neighbour(&mut figures, &system, effort);
            figures.push(stream(&system, effort));
            web(&mut figures, &system, effort);
        }
    }
    if peer.is_runtime() {
        objects(&mut figures, peer, effort)?;
        live(&mut figures, peer, effort)?;
        ids(&mut figures, peer, effort)?;
    }
    Ok(figures)
}

fn figure(name: &str, unit: &'static str, value: Result<f64, String>) -> Figure {
    Figure {
        name: name.to_owned(),
        value,
        unit,
    }
}

fn starts(peer: Peer, effort: &Effort) -> Figure {
    let times: Result<Vec<f64>, String> = (0..effort.starts)
        .map(|_| Running::start(peer, &[]).map(|system| system.start.as_secs_f64() * 1e3))
        .collect();
    figure("start of the host to first answer", "ms", times.map(median))
}

fn loads(figures: &mut Vec<Figure>, system: &Running, effort: &Effort) {
    let port = system.port;
    for (label, bytes, part) in [
        ("", 0, 1),
        (", 100 KB of code", 100_000, 3),
        (", 1 MB of code", 1_000_000, 25),
    ] {
        if bytes > 0 && !system.peer.is_runtime() {
            continue;
        }
        let path = move |_| format!("/load?n={bytes}");
        let count = effort.loads.div_ceil(part);
        latency(figures, &format!("cold load{label}"), port, 1, count, path);
    }
    if !system.peer.is_runtime() {
        return;
    }
    let path = |_| "/load-same?n=100000".to_owned();
    let name = "cold load, 100 KB that was loaded before";
    latency(figures, name, port, 1, effort.loads.div_ceil(3), path);
    for clients in [16, 64] {
        let name = format!("cold load, {clients} at once");
        let path = |_| "/load".to_owned();
        latency(figures, &name, port, clients, effort.loads, path);
    }
    sustained(figures, system, effort);
}

/// Loads for a minute; what the processes hold at its begin and end shows what is left behind.
fn sustained(figures: &mut Vec<Figure>, system: &Running, effort: &Effort) {
    let before = memory::of_tree(system.pid(), 0);
    let driven = drive(system.port, 8, effort.sustain, |connection| {
        connection.get("/load")
    });
    let after = memory::of_tree(system.pid(), 0);
    let rate = driven.map(|samples| samples.count() as f64 / effort.sustain.as_secs_f64());
    figures.push(figure("cold loads, sustained by 8 clients", "/s", rate));
    for (when, memory) in [("before", before), ("after", after)] {
        let name = format!("memory of all processes {when} sustained loads");
        let kib = memory.pss_kib + memory.page_tables_kib;
        figures.push(figure(&name, "KiB", Ok(kib as f64)));
    }
}

fn warm(figures: &mut Vec<Figure>, system: &Running, effort: &Effort) {
    for (case, path, many) in [
        ("warm get()", "/get?n=1", &[1, 32, 256][..]),
        ("hello without a child", "/hello", &[1, 32][..]),
    ] {
        for clients in many {
            let driven = drive(system.port, *clients, effort.drive, |connection| {
                connection.get(path)
            });
            let rate = driven
                .as_ref()
                .map(|samples| samples.count() as f64 / effort.drive.as_secs_f64());
            let name = format!("{case}, {clients} connections");
            figures.push(figure(&name, "/s", rate.map_err(Clone::clone)));
            let p99 = driven.map(|samples| samples.percentile_ms(99));
            figures.push(figure(&format!("{name}, p99"), "ms", p99));
        }
    }
}

fn rpc(figures: &mut Vec<Figure>, system: &Running, effort: &Effort) {
    let calls = effort.calls;
    let one = per_call("RPC call, one after another", system, "/rpc", calls, effort);
    let rate = one.value.clone().map(|us| 1e6 / us);
    figures.push(one);
    figures.push(figure("RPC calls, one after another", "/s", rate));
    if !system.peer.is_runtime() {
        return;
    }
    figures.push(per_call(
        "RPC calls, 100 at once",
        system,
        "/rpc-concurrent",
        calls,
        effort,
    ));
    figures.push(per_call(
        "RPC chain of 4 calls, pipelined",
        system,
        "/rpc-chain",
        calls / 4,
        effort,
    ));
    let path = "/rpc-payload?n=10485760";
    figures.push(figure(
        "RPC payload of 10 MB",
        "ms",
        once(system, path, effort),
    ));
}

fn cpu(figures: &mut Vec<Figure>, system: &Running, effort: &Effort) {
    if system.peer != Peer::QuickJs {
        let fib = format!("/cpu?case=fib&n={}", effort.fib);
        figures.push(figure("CPU: fib", "ms", once(system, &fib, effort)));
    }
    for case in CPU_CASES {
        if case == "wasm" && !system.peer.is_runtime() {
            continue;
        }
        let n = if case == "wasm" {
            WASM_ROUNDS * u64::from(effort.cpu) / 100
        } else {
            u64::from(effort.cpu)
        };
        let path = format!("/cpu?case={case}&n={n}");
        figures.push(figure(
            &format!("CPU: {case}"),
            "ms",
            once(system, &path, effort),
        ));
    }
}

/// Web APIs by throughput; what each does stands in `worker/web.js`.
fn web(figures: &mut Vec<Figure>, system: &Running, effort: &Effort) {
    for (label, bytes) in [("1 KB", 1_000), ("100 KB", 100_000)] {
        let json = json_of(bytes);
        let driven = drive(system.port, 8, effort.drive, |connection| {
            connection.post("/web/json", &json)
        });
        let rate = driven.map(|samples| samples.count() as f64 / effort.drive.as_secs_f64());
        figures.push(figure(&format!("JSON echo of {label}"), "/s", rate));
    }
    for (name, path) in [
        ("100 MB through a TransformStream", "/web/transform"),
        ("SHA-256 of 1 MB", "/web/sha256"),
        ("AES-GCM of 1 MB", "/web/aes"),
        ("gzip of 1 MB", "/web/gzip"),
        ("TextDecoder of 1 MB", "/web/decode"),
        ("1,000 URLs parsed", "/web/urls"),
        ("HTMLRewriter over 1 MB", "/web/html"),
        ("multipart of 1 MB parsed", "/web/multipart"),
    ] {
        figures.push(figure(name, "ms", warmed(system.port, path, effort)));
    }
}

/// An array of small objects that is about `bytes` long.
fn json_of(bytes: usize) -> String {
    let item = r#"{"id":17,"name":"a name","tags":["one","two"],"price":12.5,"on":true}"#;
    let items = vec![item; (bytes / (item.len() + 1)).max(1)];
    format!("[{}]", items.join(","))
}

/// The median of many rounds, after some in which both engines compile what is hot.
fn warmed(port: u16, path: &str, effort: &Effort) -> Result<f64, String> {
    collect(port, 1, effort.repeats * 3, &|_| path.to_owned())?;
    let samples = collect(port, 1, effort.repeats * 4, &|_| path.to_owned())?;
    Ok(samples.percentile_ms(50))
}

/// Requests of one Worker while another computes without end.
fn neighbour(figures: &mut Vec<Figure>, system: &Running, effort: &Effort) {
    let port = system.port;
    let rounds = effort.drive.as_millis() / 2;
    let spinning = AtomicBool::new(true);
    let samples = std::thread::scope(|scope| {
        scope.spawn(|| {
            let spun =
                Connection::open(port).and_then(|mut one| one.get(&format!("/spin?n={rounds}")));
            spinning.store(false, Ordering::Relaxed);
            spun.map(drop)
        });
        let mut connection = Connection::open(port)?;
        let mut samples = Vec::new();
        // The first may overtake the loop.
        std::thread::sleep(Duration::from_millis(20));
        while spinning.load(Ordering::Relaxed) || samples.is_empty() {
            samples.push(connection.get("/get?n=1")?.1);
            std::thread::sleep(Duration::from_millis(1));
        }
        Samples::new(samples).ok_or_else(|| "no samples".to_owned())
    });
    let p99 = samples.map(|samples| samples.percentile_ms(99));
    figures.push(figure(
        "a neighbour's p99 while one Worker spins",
        "ms",
        p99,
    ));
}

fn stream(system: &Running, effort: &Effort) -> Figure {
    let path = format!("/stream?n={}", effort.stream_bytes);
    let name = format!(
        "{} MB streamed through parent and child",
        effort.stream_bytes / 1_000_000
    );
    figure(&name, "ms", once(system, &path, effort))
}

/// Those alone.
pub fn run_objects(peer: Peer, effort: &Effort) -> Result<Vec<Figure>, String> {
    let mut figures = Vec::new();
    if peer.is_runtime() {
        objects(&mut figures, peer, effort)?;
    }
    Ok(figures)
}

/// Those of RPC alone.
pub fn run_rpc(peer: Peer, effort: &Effort) -> Result<Vec<Figure>, String> {
    let mut figures = Vec::new();
    rpc(&mut figures, &Running::start(peer, &[])?, effort);
    Ok(figures)
}

/// Durable Objects; what each case does stands in `worker/objects.js`.
fn objects(figures: &mut Vec<Figure>, peer: Peer, effort: &Effort) -> Result<(), String> {
    let system = Running::start_objects(peer)?;
    for (name, path, calls) in [
        (
            "sql.exec of a small select, in an object",
            "/select",
            effort.calls,
        ),
        (
            "sql.exec of an insert, in an object",
            "/inserts",
            effort.calls,
        ),
        (
            "RPC to an object that inserts, durable",
            "/durable",
            effort.calls / 10,
        ),
        ("RPC to an object, one after another", "/rpc", effort.calls),
    ] {
        let took = per_call(name, &system, path, calls, effort);
        let rate = took.value.map(|us| 1e6 / us);
        figures.push(figure(name, "/s", rate));
    }
    let path = |_| "/cold".to_owned();
    latency(
        figures,
        "cold start of an object",
        system.port,
        1,
        effort.loads,
        path,
    );
    let before = memory::of_tree(system.pid(), 0);
    let made = collect(system.port, 8, effort.objects, &|i| format!("/live?n={i}"));
    let after = memory::of_tree(system.pid(), 0);
    let kib = |tree: memory::Memory| tree.pss_kib + tree.page_tables_kib;
    let each = kib(after).saturating_sub(kib(before)) as f64 / effort.objects as f64;
    figures.push(figure("memory per live object", "KiB", made.map(|_| each)));
    Ok(())
}

fn live(figures: &mut Vec<Figure>, peer: Peer, effort: &Effort) -> Result<(), String> {
    let most = effort.live.last().copied().unwrap_or(0);
    // None may be evicted: this measures how many fit, not how many are kept.
    let guests = (most + most / 4 + 200).to_string();
    let bounds = [
        "--guests-max",
        &guests,
        "--idle-seconds",
        "3600",
        "--memory-max",
        "1T",
    ];
    let system = Running::start(peer, if peer == Peer::Mayfly { &bounds } else { &[] })?;
    let (mut count, mut available) = (0, memory::available_kib());
    let mut tree = memory::of_tree(system.pid(), 0);
    for step in effort.live {
        let made = collect(system.port, 8, step - count, &|i| {
            format!("/get?n={}", 1000 + count + i)
        });
        let now = memory::of_tree(system.pid(), 0);
        let left = memory::available_kib();
        let each = |kib: u64| kib as f64 / (step - count) as f64;
        let pages = each(
            (now.pss_kib + now.page_tables_kib).saturating_sub(tree.pss_kib + tree.page_tables_kib),
        );
        let all = each(available.saturating_sub(left));
        let name = format!("memory per live Worker, {count} to {step}");
        let made = made.map(drop);
        figures.push(figure(
            &format!("{name}, all told"),
            "KiB",
            made.clone().map(|()| all),
        ));
        figures.push(figure(
            &format!("{name}, pages and their tables"),
            "KiB",
            made.map(|()| pages),
        ));
        (count, available, tree) = (*step, left, now);
    }
    Ok(())
}

fn ids(figures: &mut Vec<Figure>, peer: Peer, effort: &Effort) -> Result<(), String> {
    let bounds = ["--guests-max", "256"];
    let mut system = Running::start(peer, if peer == Peer::Mayfly { &bounds } else { &[] })?;
    let began = Instant::now();
    let step = 500.min(effort.ids);
    let (mut done, mut most_kib) = (0, 0);
    while done < effort.ids && began.elapsed() < effort.ids_time {
        if collect(system.port, 8, step, &|i| format!("/get?n={}", done + i)).is_err()
            || !system.alive()
        {
            break;
        }
        done += step;
        let now = memory::of_tree(system.pid(), 0);
        most_kib = most_kib.max(now.pss_kib + now.page_tables_kib);
    }
    let name = format!(
        "distinct ids until failure, {} s or {}",
        effort.ids_time.as_secs(),
        effort.ids
    );
    figures.push(figure(&name, "ids", Ok(done as f64)));
    figures.push(figure(
        "memory of all processes at most meanwhile",
        "KiB",
        Ok(most_kib as f64),
    ));
    Ok(())
}

// ---- ways to drive

fn latency(
    figures: &mut Vec<Figure>,
    name: &str,
    port: u16,
    clients: usize,
    count: usize,
    path: impl Fn(usize) -> String + Sync,
) {
    let samples = collect(port, clients, count, &path);
    for percent in [50, 99] {
        let value = samples
            .as_ref()
            .map(|s| s.percentile_ms(percent))
            .map_err(Clone::clone);
        figures.push(figure(&format!("{name}, p{percent}"), "ms", value));
    }
}

/// `count` requests by `clients` connections; the first error of any ends them all.
pub fn collect(
    port: u16,
    clients: usize,
    count: usize,
    path: &(impl Fn(usize) -> String + Sync),
) -> Result<Samples, String> {
    let next = AtomicU64::new(0);
    clients_at_once(clients, || {
        let mut connection = Connection::open(port)?;
        let mut samples = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed) as usize;
            if index >= count {
                return Ok(samples);
            }
            samples.push(connection.get(&path(index))?.1);
        }
    })
}

/// Requests without pause for so long.
fn drive(
    port: u16,
    clients: usize,
    time: Duration,
    step: impl Fn(&mut Connection) -> Result<(Vec<u8>, Duration), String> + Sync,
) -> Result<Samples, String> {
    let end = Instant::now() + time;
    clients_at_once(clients, || {
        let mut connection = Connection::open(port)?;
        let mut samples = Vec::new();
        while Instant::now() < end {
            samples.push(step(&mut connection)?.1);
        }
        Ok(samples)
    })
}

fn clients_at_once(
    clients: usize,
    work: impl Fn() -> Result<Vec<Duration>, String> + Sync,
) -> Result<Samples, String> {
    let samples: Result<Vec<_>, String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(&work)).collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err("a client panicked".to_owned()))
            })
            .collect()
    });
    Samples::new(samples?.concat()).ok_or_else(|| "no samples".to_owned())
}

/// Microseconds a call: the median of some requests of `calls` calls each.
fn per_call(name: &str, system: &Running, path: &str, calls: usize, effort: &Effort) -> Figure {
    // Whole batches only.
    let calls = calls.next_multiple_of(100);
    let ms = once(system, &format!("{path}?n={calls}"), effort);
    figure(name, "us", ms.map(|ms| ms * 1e3 / calls as f64))
}

/// Milliseconds of one request, repeated; the first is the compilers'.
fn once(system: &Running, path: &str, effort: &Effort) -> Result<f64, String> {
    let mut connection = Connection::open(system.port)?;
    connection.get(path)?;
    let times: Result<Vec<f64>, String> = (0..effort.repeats)
        .map(|_| {
            connection
                .get(path)
                .map(|(_, took)| took.as_secs_f64() * 1e3)
        })
        .collect();
    times.map(median)
}
