//! A cold load in two ways, by turns: with and without the layers of the sandbox, and by this build's guest
//! and another's.
//!
//! Without the layers is not a mode of Mayfly's: a wrapper (`crates/wall/sandbox/examples`) refuses the
//! system calls that set them up, as a poor kernel would, and `--unsafe-no-sandbox` goes on. What
//! another guest binary is for is up to who built it; `scripts/bare-guest.mjs` makes one with less of the
//! platform.

use std::path::Path;
use std::time::Duration;

use crate::http::Connection;
use crate::peer::{Running, folder};
use crate::stats::{Turns, median};

/// The wrapper, beside this binary.
const WITHOUT_LAYERS: &str = "examples/without_layers";

/// How much longer a cold load may take with every layer, and with the whole platform.
const COST_MAX: f64 = 1.15;

/// Loads before any counts.
const WARM_UP: usize = 30;

/// Loads of one host before it is the other's turn.
const BLOCK: usize = 20;

/// Prints what a cold load takes with all layers and with none.
pub fn layers(rounds: usize, loads: usize) -> Result<(), String> {
    let config = folder("worker/wrangler.jsonc");
    let none =
        || Running::start_mayfly_by(Some(WITHOUT_LAYERS), &[&config], &["--unsafe-no-sandbox"]);
    let all = || Running::start_mayfly(&[&config], &[]);
    let verdict = by_turns(rounds, loads, none, all)?;
    println!("cold load, all layers   p50 {:.3} ms", verdict.thing_ms);
    println!("cold load, no layers    p50 {:.3} ms", verdict.other_ms);
    verdict.judge("all layers take")
}

/// Prints what a cold load takes with this build's guest and with another one.
pub fn guests(other: &Path, rounds: usize, loads: usize) -> Result<(), String> {
    let config = folder("worker/wrangler.jsonc");
    let path = other.to_str().ok_or("the guest's path is not UTF-8")?;
    let verdict = by_turns(
        rounds,
        loads,
        || Running::start_mayfly(&[&config], &["--guest", path]),
        || Running::start_mayfly(&[&config], &[]),
    )?;
    println!("cold load, this guest   p50 {:.3} ms", verdict.thing_ms);
    println!("cold load, the other    p50 {:.3} ms", verdict.other_ms);
    verdict.judge("this guest takes")
}

/// What the turns say.
struct Verdict {
    other_ms: f64,
    thing_ms: f64,
    ratio: f64,
}

impl Verdict {
    /// Says it, and whether that is too much.
    fn judge(&self, what: &str) -> Result<(), String> {
        println!(
            "{what} {:+.1}% of a cold load (goal: at most {:+.0}%)",
            (self.ratio - 1.0) * 100.0,
            (COST_MAX - 1.0) * 100.0
        );
        match self.ratio <= COST_MAX {
            true => Ok(()),
            false => Err(format!("more than {COST_MAX} times as long")),
        }
    }
}

fn by_turns(
    rounds: usize,
    loads: usize,
    other: impl Fn() -> Result<Running, String>,
    thing: impl Fn() -> Result<Running, String>,
) -> Result<Verdict, String> {
    let (mut other_ms, mut thing_ms, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    // New hosts now and then: where a zygote's pages come to lie differs from one to the next.
    for _ in 0..rounds {
        let hosts = (other()?, thing()?);
        let mut other = Connection::open(hosts.0.port)?;
        let mut thing = Connection::open(hosts.1.port)?;
        cold_loads(&mut other, WARM_UP)?;
        cold_loads(&mut thing, WARM_UP)?;
        let mut turns = Turns::default();
        for _ in 0..loads.div_ceil(BLOCK) {
            turns.other(cold_loads(&mut other, BLOCK)?);
            turns.thing(cold_loads(&mut thing, BLOCK)?);
        }
        turns.other(cold_loads(&mut other, BLOCK)?);
        let (other, thing) = turns.medians_ms();
        other_ms.push(other);
        thing_ms.push(thing);
        ratios.extend(turns.ratios());
    }
    Ok(Verdict {
        other_ms: median(other_ms),
        thing_ms: median(thing_ms),
        ratio: median(ratios),
    })
}

fn cold_loads(connection: &mut Connection, count: usize) -> Result<Vec<Duration>, String> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let (_, time) = connection.get("/load")?;
        times.push(time);
        // The pool refills off the measured path.
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(times)
}
