//! `mayfly-bench tails`: what it costs a request that its Worker is followed.
//!
//! The same Worker without a tail, with a buffered and with a streaming one, asked in turn on one
//! connection. Between two requests there is a pause in which the tail does its work: that it is
//! off the request's path is the claim, not that it is free. Without the pause too, for comparison.
//! And what metering and the admin listener cost a request that nobody follows: two hosts in turn.

use std::time::Duration;

use crate::http::Connection;
use crate::peer::{self, Running};
use crate::stats::Samples;

const PATHS: [&str; 3] = ["/none", "/tail", "/stream"];

/// How much slower the median may be.
const SLOWER_MAX: f64 = 1.05;

/// Runs it; an error where a promise is broken.
pub fn run(rounds: usize) -> Result<(), String> {
    let folder = peer::folder("followed");
    let configs = [&folder.join("wrangler.jsonc"), &folder.join("sink.jsonc")];
    let host = Running::start_mayfly(&configs, &["--log", "json"])?;
    let paused = medians(&host, rounds, Duration::from_millis(3))?;
    print("3 ms between two requests", &paused);
    let busy = medians(&host, rounds, Duration::ZERO)?;
    print("one after another", &busy);
    let heard = heard(&host, 2 * (rounds + WARM))?;
    println!("{heard}");
    drop(host);
    metered(rounds)?;
    let slower = paused[1].max(paused[2]) / paused[0];
    if slower > SLOWER_MAX {
        return Err(format!(
            "a request that is followed is {slower:.3} times as slow"
        ));
    }
    Ok(())
}

/// Requests of each kind before any is measured.
const WARM: usize = 200;

fn medians(host: &Running, rounds: usize, pause: Duration) -> Result<[f64; 3], String> {
    let mut connection = Connection::open(host.port)?;
    let mut samples = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..WARM + rounds {
        for (path, samples) in PATHS.iter().zip(&mut samples) {
            let (_, time) = connection.get(path)?;
            if round >= WARM {
                samples.push(time);
            }
            std::thread::sleep(pause);
        }
    }
    let median = |samples: Vec<Duration>| -> Result<f64, String> {
        let samples = Samples::new(samples).ok_or("no rounds")?;
        Ok(samples.percentile_ms(50))
    };
    let [none, tail, stream] = samples;
    Ok([median(none)?, median(tail)?, median(stream)?])
}

fn metered(rounds: usize) -> Result<(), String> {
    let folder = peer::folder("followed");
    let configs = [&folder.join("wrangler.jsonc"), &folder.join("sink.jsonc")];
    let state = peer::scratch()?.join(format!("state-tails-{}", std::process::id()));
    let text = state.display().to_string();
    let plain = Running::start_mayfly(&configs, &[])?;
    let more = Running::start_mayfly(&configs, &["--state", &text, "--admin", "127.0.0.1:0"])?;
    let mut connections = [Connection::open(plain.port)?, Connection::open(more.port)?];
    let mut samples = [Vec::new(), Vec::new()];
    for round in 0..WARM + 5 * rounds {
        for (connection, samples) in connections.iter_mut().zip(&mut samples) {
            let (_, time) = connection.get("/hello")?;
            if round >= WARM {
                samples.push(time);
            }
        }
    }
    let [plain, more] = samples
        .map(|samples| Samples::new(samples).map_or(f64::NAN, |samples| samples.percentile_ms(50)));
    let _ = std::fs::remove_dir_all(&state);
    println!(
        "nobody follows: p50 {plain:.4} ms, with --state and --admin {more:.4} ms ({:+.1} %)",
        (more / plain - 1.0) * 100.0
    );
    Ok(())
}

fn print(what: &str, [none, tail, stream]: &[f64; 3]) {
    println!(
        "{what}: p50 without a tail {none:.3} ms, with one {tail:.3} ms ({:+.1} %), with a \
         streaming one {stream:.3} ms ({:+.1} %)",
        (tail / none - 1.0) * 100.0,
        (stream / none - 1.0) * 100.0,
    );
}

/// Everything must have arrived: an item a request, and four events.
fn heard(host: &Running, expected: usize) -> Result<String, String> {
    let mut connection = Connection::open(host.port)?;
    let mut count = serde_json::Value::Null;
    for _ in 0..100 {
        let (body, _) = connection.get("/count")?;
        count = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let (items, events) = (count["items"].as_u64(), count["events"].as_u64());
        if items == Some(expected as u64) && events == Some(4 * expected as u64) {
            return Ok(format!(
                "{expected} items and {} events arrived, none was lost",
                4 * expected
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!(
        "{expected} items and {} events were due: {count}",
        4 * expected
    ))
}
