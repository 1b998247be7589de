//! `mayfly-bench metering`: what is metered is what happened, also where the host is killed.
//!
//! Clients ask paths that are each a known number of requests and Workers, and note when each answer
//! came. In the middle the host is killed with SIGKILL and started again on the same folder. What it
//! knows then must be at least what was answered a second before the kill, and at most what was
//! asked. The second half ends gracefully and must be exact. CPU is compared with the kernel's own
//! accounts of the guests (`/proc/<pid>/task/*/schedstat`), over Workers that live all the time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::http::Connection;
use crate::memory;
use crate::peer::{self, Running};

/// What may be lost at a kill.
const LOST_MAX: Duration = Duration::from_secs(1);

/// Longer than the host takes to write what it knows.
const WRITTEN: Duration = Duration::from_millis(1200);

/// Ids that `/get` and `/rpc` take turns in.
const IDS: usize = 40;

/// How far the metered CPU may be from the kernel's.
const CPU_ERROR_MAX: f64 = 0.02;

/// What one path is.
struct Kind {
    path: &'static str,
    requests: u64,
    loads: u64,
}

const KINDS: [Kind; 4] = [
    Kind {
        path: "/hello",
        requests: 1,
        loads: 0,
    },
    Kind {
        path: "/load",
        requests: 2,
        loads: 1,
    },
    Kind {
        path: "/get",
        requests: 2,
        loads: 0,
    },
    Kind {
        path: "/rpc",
        requests: 3,
        loads: 0,
    },
];

/// Requests and Workers of `load()`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    requests: u64,
    loads: u64,
}

impl Count {
    fn add(&mut self, kind: &Kind) {
        self.requests += kind.requests;
        self.loads += kind.loads;
    }
}

/// What clients saw: answers with their time, and everything that was asked.
#[derive(Default)]
struct Seen {
    answered: Vec<(Instant, usize)>,
    asked: Count,
}

/// Runs it; an error where a promise is broken.
pub fn run(count: usize, clients: usize) -> Result<(), String> {
    let state = peer::scratch()?.join(format!("state-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&state);
    let done = measure(&state, count, clients);
    let _ = std::fs::remove_dir_all(&state);
    done
}

fn measure(state: &Path, count: usize, clients: usize) -> Result<(), String> {
    let folder = state.display().to_string();
    let config = peer::folder("metered").join("wrangler.jsonc");
    let start = || Running::start_mayfly(&[&config], &["--state", &folder]);

    let mut host = start()?;
    // The harness's own look whether the host answers.
    let greeting = Count {
        requests: 1,
        loads: 0,
    };
    let half = count / 2;
    let (seen, killed) = drive(&host, clients, count, Some(half))?;
    host.kill();
    let killed = killed.ok_or("the host was not killed")?;
    let mut sure = greeting;
    for (at, kind) in &seen.answered {
        if *at + LOST_MAX <= killed {
            sure.add(&KINDS[*kind]);
        }
    }
    let mut asked = seen.asked;
    asked.requests += greeting.requests;
    let known = totals(state)?;
    println!(
        "killed after {} answers: {} requests metered, between {} (a second before) and {} (asked)",
        seen.answered.len(),
        known.requests,
        sure.requests,
        asked.requests,
    );
    println!(
        "                         {} Workers of load(), between {} and {}",
        known.loads, sure.loads, asked.loads
    );
    let inside = |known, sure, asked| (sure..=asked).contains(&known);
    if !inside(known.requests, sure.requests, asked.requests)
        || !inside(known.loads, sure.loads, asked.loads)
    {
        return Err("what was metered is not what happened".to_owned());
    }

    let mut host = start()?;
    let before = known;
    let (seen, _) = drive(&host, clients, count - half, None)?;
    check_cpu(&host, state)?;
    host.terminate()?;
    let mut expected = before;
    expected.requests += greeting.requests + seen.asked.requests;
    expected.loads += seen.asked.loads;
    // What `check_cpu` asked.
    expected.requests += 2 * (CPU_IDS + CPU_IDS * CPU_ROUNDS) as u64;
    let known = totals(state)?;
    println!(
        "ended gracefully: {} requests metered of {}, {} Workers of load() of {}",
        known.requests, expected.requests, known.loads, expected.loads
    );
    let ids = usage(state, &["--by", "id"])?;
    let named = ids
        .iter()
        .filter(|row| row["key"].as_str().is_some_and(|key| key.contains("/id-")));
    let worker_days: u64 = named
        .map(|row| row["workerDays"].as_u64().unwrap_or(0))
        .sum();
    println!(
        "unique Workers by id and code: {worker_days} of {}",
        IDS + CPU_IDS
    );
    if known != expected || worker_days != (IDS + CPU_IDS) as u64 {
        return Err("what was metered is not what happened".to_owned());
    }
    Ok(())
}

/// Asks `count` times; kills the host after `kill_after` answers and then stops at the first failure.
fn drive(
    host: &Running,
    clients: usize,
    count: usize,
    kill_after: Option<usize>,
) -> Result<(Seen, Option<Instant>), String> {
    let next = AtomicUsize::new(0);
    let seen = Mutex::new(Seen::default());
    let killed: Mutex<Option<Instant>> = Mutex::new(None);
    let failure: Mutex<Option<String>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let done = ask(host, &next, count, kill_after, &seen, &killed);
                if let Err(error) = done
                    && kill_after.is_none()
                {
                    *failure.lock().expect("no client panics") = Some(error);
                }
            });
        }
    });
    if let Some(error) = failure.into_inner().map_err(|error| error.to_string())? {
        return Err(error);
    }
    let seen = seen.into_inner().map_err(|error| error.to_string())?;
    let killed = killed.into_inner().map_err(|error| error.to_string())?;
    Ok((seen, killed))
}

fn ask(
    host: &Running,
    next: &AtomicUsize,
    count: usize,
    kill_after: Option<usize>,
    seen: &Mutex<Seen>,
    killed: &Mutex<Option<Instant>>,
) -> Result<(), String> {
    let mut connection = Connection::open(host.port)?;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            return Ok(());
        }
        let kind = number % KINDS.len();
        seen.lock()
            .expect("no client panics")
            .asked
            .add(&KINDS[kind]);
        let path = format!("{}?n=id-{}", KINDS[kind].path, (number / KINDS.len()) % IDS);
        connection.get(&path)?;
        let mut seen = seen.lock().expect("no client panics");
        seen.answered.push((Instant::now(), kind));
        if kill_after == Some(seen.answered.len()) {
            *killed.lock().expect("no client panics") = Some(Instant::now());
            host.signal("KILL")?;
        }
    }
}

/// Workers that burn CPU, how often, and how long each time.
const CPU_IDS: usize = 4;
const CPU_ROUNDS: usize = 12;
const BURN_MS: usize = 50;

fn check_cpu(host: &Running, state: &Path) -> Result<(), String> {
    let mut connection = Connection::open(host.port)?;
    let mut burn = |ms: usize, rounds: usize| -> Result<(), String> {
        for round in 0..CPU_IDS * rounds {
            connection.get(&format!("/burn?n=id-cpu-{}&ms={ms}", round % CPU_IDS))?;
        }
        Ok(())
    };
    // They live from here on, so the difference is theirs alone.
    burn(0, 1)?;
    std::thread::sleep(WRITTEN);
    let (metered_before, kernel_before) = (cpu_ms(state)?, kernel_cpu_ms(host));
    burn(BURN_MS, CPU_ROUNDS)?;
    std::thread::sleep(WRITTEN);
    let metered = cpu_ms(state)? - metered_before;
    let kernel = kernel_cpu_ms(host) - kernel_before;
    let error = metered / kernel - 1.0;
    println!(
        "CPU: {metered:.1} ms metered, {kernel:.1} ms by the kernel ({:+.2} %)",
        error * 100.0
    );
    if error.abs() > CPU_ERROR_MAX {
        return Err("metered CPU is not the kernel's".to_owned());
    }
    Ok(())
}

/// What the kernel says that the guests ran, in milliseconds. Warm guests of the pool do nothing
/// meanwhile but warm up, which is nobody's; they count only from when they are Workers, so the
/// pool is left alone between two looks.
fn kernel_cpu_ms(host: &Running) -> f64 {
    let ns: u64 = memory::tree(host.pid())
        .into_iter()
        .filter(|pid| *pid != host.pid())
        .flat_map(threads_ns)
        .sum();
    ns as f64 / 1e6
}

/// Of each thread: the engine compiles on helpers.
fn threads_ns(pid: u32) -> Vec<u64> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    let each = |thread: std::fs::DirEntry| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    let threads = threads.into_iter().flatten().flatten();
    threads.filter_map(each).collect()
}

fn cpu_ms(state: &Path) -> Result<f64, String> {
    let rows = usage(state, &[])?;
    Ok(rows.iter().filter_map(|row| row["cpuMs"].as_f64()).sum())
}

fn totals(state: &Path) -> Result<Count, String> {
    let rows = usage(state, &["--by", "id"])?;
    let mut count = Count::default();
    for row in rows {
        count.requests += row["requests"].as_u64().unwrap_or(0);
        if row["key"]
            .as_str()
            .is_some_and(|key| key.ends_with("/(load)"))
        {
            count.loads += row["workerDays"].as_u64().unwrap_or(0);
        }
    }
    Ok(count)
}

/// Rows of `mayfly usage`.
fn usage(state: &Path, arguments: &[&str]) -> Result<Vec<serde_json::Value>, String> {
    let output = Command::new(binary()?)
        .arg("usage")
        .arg("--state")
        .arg(state)
        .arg("--json")
        .args(arguments)
        .output()
        .map_err(|error| format!("run mayfly usage: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    Ok(report["rows"].as_array().cloned().unwrap_or_default())
}

fn binary() -> Result<PathBuf, String> {
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(here.with_file_name("mayfly"))
}
