//! `mayfly-bench tails`: what it costs a request that its Worker is followed.
//!
//! The same Worker without a tail, with a buffered and with a streaming one, asked by turns in small
//! blocks on one connection. Between two requests there is a pause in which the tail does its work:
//! that it is off the request's path is the claim, not that it is free. Without the pause too, for
//! comparison. And what metering and the admin listener cost a request that nobody follows: two hosts in turn.

use std::time::Duration;

use crate::http::Connection;
use crate::peer::{self, Running};
use crate::stats::Turns;

/// How much slower the median may be.
const SLOWER_MAX: f64 = 1.05;

/// Requests of one kind before it is another's turn.
const BLOCK: usize = 25;

/// Time for the tails of one block to be told before the next begins.
const REST: Duration = Duration::from_millis(8);

/// Runs it; an error where a promise is broken.
pub fn run(rounds: usize) -> Result<(), String> {
    let folder = peer::folder("followed");
    let configs = [&folder.join("wrangler.jsonc"), &folder.join("sink.jsonc")];
    let host = Running::start_mayfly(&configs, &["--log", "json"])?;
    let mut connection = Connection::open(host.port)?;
    let mut asked = 0;
    let mut block = |path: &str, pause: Duration| {
        asked += usize::from(path != "/none") * BLOCK;
        block(&mut connection, path, pause)
    };
    for path in ["/none", "/tail", "/stream"] {
        for _ in 0..WARM_BLOCKS {
            block(path, Duration::ZERO)?;
        }
    }
    let mut slower: f64 = 0.0;
    for (what, pause, counts) in [
        ("3 ms between two requests", Duration::from_millis(3), true),
        ("one after another", Duration::ZERO, false),
    ] {
        for (name, path) in [("a tail", "/tail"), ("a streaming tail", "/stream")] {
            let mut turns = Turns::default();
            for _ in 0..rounds.div_ceil(BLOCK) {
                turns.other(block("/none", pause)?);
                turns.thing(block(path, pause)?);
            }
            turns.other(block("/none", pause)?);
            let (none, with) = turns.medians_ms();
            let ratio = turns.ratio();
            println!(
                "{what}: p50 without a tail {none:.3} ms, with {name} {with:.3} ms ({:+.1} %)",
                (ratio - 1.0) * 100.0
            );
            if counts {
                slower = slower.max(ratio);
            }
        }
    }
    // Each followed request has one kind of tail.
    println!("{}", heard(&host, asked / 2)?);
    drop(host);
    metered(rounds)?;
    if slower > SLOWER_MAX {
        return Err(format!(
            "a request that is followed is {slower:.3} times as slow"
        ));
    }
    Ok(())
}

/// Blocks of each kind before any is measured.
const WARM_BLOCKS: usize = 8;

fn block(
    connection: &mut Connection,
    path: &str,
    pause: Duration,
) -> Result<Vec<Duration>, String> {
    let mut times = Vec::with_capacity(BLOCK);
    for _ in 0..BLOCK {
        let (_, time) = connection.get(path)?;
        times.push(time);
        std::thread::sleep(pause);
    }
    std::thread::sleep(REST);
    Ok(times)
}

fn metered(rounds: usize) -> Result<(), String> {
    let folder = peer::folder("followed");
    let configs = [&folder.join("wrangler.jsonc"), &folder.join("sink.jsonc")];
    let state = peer::scratch()?.join(format!("state-tails-{}", std::process::id()));
    let text = state.display().to_string();
    let plain = Running::start_mayfly(&configs, &[])?;
    let more = Running::start_mayfly(&configs, &["--state", &text, "--admin", "127.0.0.1:0"])?;
    let mut connections = [Connection::open(plain.port)?, Connection::open(more.port)?];
    let mut turns = Turns::default();
    for connection in &mut connections {
        for _ in 0..WARM_BLOCKS {
            block(connection, "/hello", Duration::ZERO)?;
        }
    }
    let [plain, more] = &mut connections;
    for _ in 0..rounds.div_ceil(BLOCK) {
        turns.other(block(plain, "/hello", Duration::ZERO)?);
        turns.thing(block(more, "/hello", Duration::ZERO)?);
    }
    turns.other(block(plain, "/hello", Duration::ZERO)?);
    let _ = std::fs::remove_dir_all(&state);
    let (plain, more) = turns.medians_ms();
    println!(
        "nobody follows: p50 {plain:.4} ms, with --state and --admin {more:.4} ms ({:+.1} %)",
        (turns.ratio() - 1.0) * 100.0
    );
    Ok(())
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
