//! What is measured. A case drives one running system and gives one number, lower is better unless
//! its unit is "per second".

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::http::Connection;
use crate::peer::Running;
use crate::stats::Samples;

/// One measured number.
#[derive(Debug, Clone)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// Its value; `Err` says why there is none.
    pub value: Result<f64, String>,
    /// `ms`, `us`, `KiB` (lower is better) or `/s` (higher is better).
    pub unit: &'static str,
}

/// How much of everything: the full run takes minutes, the short one only shows that cases run.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Cold loads per latency case.
    pub loads: usize,
    /// How long a throughput case drives.
    pub drive: Duration,
    /// RPC calls in one request.
    pub calls: usize,
    /// Steps of live Workers whose memory is taken.
    pub live: &'static [usize],
    /// fib(n).
    pub fib: u32,
}

impl Effort {
    /// For the table in the README.
    pub const FULL: Self = Self {
        loads: 1000,
        drive: Duration::from_secs(10),
        calls: 20_000,
        live: &[100, 1000],
        fib: 35,
    };
    /// For continuous integration.
    pub const SHORT: Self = Self {
        loads: 60,
        drive: Duration::from_millis(500),
        calls: 500,
        live: &[50],
        fib: 25,
    };
}

/// Every case, in the order of the table.
pub fn run_all(system: &mut Running, effort: &Effort) -> Vec<Figure> {
    let port = system.port;
    let mut figures = vec![figure("start of the host to first answer", "ms", {
        Ok(system.start.as_secs_f64() * 1e3)
    })];
    for (label, bytes) in [
        ("", 0),
        (", 100 KB of code", 100_000),
        (", 1 MB of code", 1_000_000),
    ] {
        let count = if bytes > 500_000 {
            effort.loads / 10
        } else {
            effort.loads
        };
        let path = move |_| format!("/load?n={bytes}");
        latency(
            &mut figures,
            &format!("cold load{label}"),
            port,
            1,
            count,
            path,
        );
    }
    for clients in [16, 64] {
        let name = format!("cold load, {clients} at once");
        latency(&mut figures, &name, port, clients, effort.loads, |_| {
            "/load".to_owned()
        });
    }
    for clients in [1, 32] {
        let name = format!("warm get(), {clients} connections");
        figures.push(throughput(&name, port, clients, effort.drive, "/get?n=1"));
    }
    figures.push(throughput(
        "hello without a child",
        port,
        32,
        effort.drive,
        "/hello",
    ));
    let calls = effort.calls;
    figures.push(per_call("RPC call, one after another", port, "/rpc", calls));
    figures.push(per_call(
        "RPC call, 100 at once",
        port,
        "/rpc-concurrent",
        100,
    ));
    figures.push(once(
        "RPC payload of 10 MB",
        port,
        "/rpc-payload?n=10485760",
    ));
    figures.push(once("CPU: fib", port, &format!("/fib?n={}", effort.fib)));
    figures.extend(web(port, effort));
    figures.extend(memory(system, effort.live));
    figures
}

/// Web APIs by throughput; what each does stands in `worker/web.js`.
pub fn web(port: u16, effort: &Effort) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (label, bytes) in [("1 KB", 1_000), ("100 KB", 100_000)] {
        let json = json_of(bytes);
        let path = "/web/json";
        figures.push(driven(
            &format!("JSON echo of {label}"),
            port,
            8,
            effort.drive,
            &|connection| connection.post(path, &json).map(|_| ()),
        ));
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
        figures.push(warmed(name, port, path));
    }
    figures
}

/// An array of small objects that is about `bytes` long.
fn json_of(bytes: usize) -> String {
    let item = r#"{"id":17,"name":"a name","tags":["one","two"],"price":12.5,"on":true}"#;
    let items = vec![item; (bytes / (item.len() + 1)).max(1)];
    format!("[{}]", items.join(","))
}

/// The median of many rounds, after some in which both engines compile what is hot.
fn warmed(name: &str, port: u16, path: &str) -> Figure {
    let measure = || -> Result<f64, String> {
        collect(port, 1, 20, &|_| path.to_owned())?;
        let samples = collect(port, 1, 30, &|_| path.to_owned())?;
        Ok(samples.percentile_ms(50))
    };
    figure(name, "ms", measure())
}

fn figure(name: &str, unit: &'static str, value: Result<f64, String>) -> Figure {
    Figure {
        name: name.to_owned(),
        value,
        unit,
    }
}

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
    let work = || -> Result<Vec<Duration>, String> {
        let mut connection = Connection::open(port)?;
        let mut samples = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed) as usize;
            if index >= count {
                return Ok(samples);
            }
            samples.push(connection.get(&path(index))?.1);
        }
    };
    let samples: Result<Vec<_>, String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(work)).collect();
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

fn throughput(name: &str, port: u16, clients: usize, drive: Duration, path: &str) -> Figure {
    driven(name, port, clients, drive, &|connection| {
        connection.get(path).map(|_| ())
    })
}

/// How often `clients` connections at once do `step` in a second.
fn driven(
    name: &str,
    port: u16,
    clients: usize,
    drive: Duration,
    step: &(impl Fn(&mut Connection) -> Result<(), String> + Sync),
) -> Figure {
    let end = Instant::now() + drive;
    let work = || -> Result<u64, String> {
        let mut connection = Connection::open(port)?;
        let mut count = 0;
        while Instant::now() < end {
            step(&mut connection)?;
            count += 1;
        }
        Ok(count)
    };
    let counts: Result<Vec<u64>, String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err("a client panicked".to_owned()))
            })
            .collect()
    });
    figure(
        name,
        "/s",
        counts.map(|c| c.iter().sum::<u64>() as f64 / drive.as_secs_f64()),
    )
}

fn per_call(name: &str, port: u16, path: &str, calls: usize) -> Figure {
    let measure = || -> Result<f64, String> {
        let mut connection = Connection::open(port)?;
        // Both engines compile hot code: the first request is theirs.
        connection.get(&format!("{path}?n={calls}"))?;
        let (_, took) = connection.get(&format!("{path}?n={calls}"))?;
        Ok(took.as_secs_f64() * 1e6 / calls as f64)
    };
    figure(name, "us", measure())
}

fn once(name: &str, port: u16, path: &str) -> Figure {
    let measure = || -> Result<f64, String> {
        let samples = collect(port, 1, 5, &|_| path.to_owned())?;
        Ok(samples.percentile_ms(50))
    };
    figure(name, "ms", measure())
}

fn memory(system: &mut Running, steps: &[usize]) -> Vec<Figure> {
    let mut figures = Vec::new();
    let (mut live, mut before) = (0, crate::memory::available_kib());
    for step in steps {
        let from = live;
        let made = collect(system.port, 8, step - from, &|i| {
            format!("/get?n={}", 1000 + from + i)
        });
        let after = crate::memory::available_kib();
        let per_worker = before.saturating_sub(after) as f64 / (step - from) as f64;
        let name = format!("memory per live Worker, {from} to {step}");
        figures.push(figure(&name, "KiB", made.map(|_| per_worker)));
        (live, before) = (*step, after);
    }
    figures
}
