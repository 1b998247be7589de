//! `mayfly-bench`: the numbers of the README and of SPECIFICATION.md, for anyone to repeat.
//!
//! `compare` runs every case on every system in turn and prints their ratios; absolute times on a
//! shared machine mean little, ratios of one run mean more. `ids` and `live` are Mayfly's own
//! promises: a million distinct Workers in bounded memory, thousands of live ones.

#![forbid(unsafe_code)]

mod cases;
mod http;
mod memory;
mod metering;
mod peer;
mod safety;
mod stats;
mod tails;

use std::process::ExitCode;
use std::time::Instant;

use cases::{Effort, Figure};
use clap::{Parser, Subcommand};
use peer::{Peer, Running};

#[derive(Parser)]
#[command(version, about = "Mayfly and its peers side by side")]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Every case on Mayfly and workerd, with ratios.
    Compare {
        /// A few rounds of each, to see that every case runs.
        #[arg(long)]
        short: bool,
        /// The cases of web APIs alone.
        #[arg(long)]
        web: bool,
        /// Also write the figures to this file, as JSON.
        #[arg(long)]
        json: Option<std::path::PathBuf>,
    },
    /// Distinct ids through `get()` on one host.
    Ids {
        /// How many.
        #[arg(long, default_value_t = 1_000_000)]
        count: usize,
        /// Clients at once.
        #[arg(long, default_value_t = 16)]
        clients: usize,
    },
    /// Every limit: the case, the time to stop it, what the caller and the tail heard.
    Limits {
        /// Also write the table to this file, as Markdown.
        #[arg(long)]
        markdown: Option<std::path::PathBuf>,
    },
    /// A cold load with every layer of the sandbox and with none, by turns.
    Layers {
        /// Turns of each.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Cold loads in a turn.
        #[arg(long, default_value_t = 400)]
        loads: usize,
    },
    /// Live guests at once, and what one takes.
    Live {
        /// How many.
        #[arg(long, default_value_t = 5000)]
        count: usize,
    },
    /// What is metered against what happened, with the host killed in the middle.
    Metering {
        /// Invocations that clients ask for.
        #[arg(long, default_value_t = 10_000)]
        count: usize,
        /// Clients at once.
        #[arg(long, default_value_t = 8)]
        clients: usize,
    },
    /// A request's latency without a tail, with one, and with a streaming one.
    Tails {
        /// Requests of each kind.
        #[arg(long, default_value_t = 2000)]
        rounds: usize,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        What::Compare { short, web, json } => compare(short, web, json.as_deref()),
        What::Ids { count, clients } => ids(count, clients),
        What::Live { count } => live(count),
        What::Metering { count, clients } => metering::run(count, clients),
        What::Tails { rounds } => tails::run(rounds),
        What::Limits { markdown } => safety::limits(markdown.as_deref()),
        What::Layers { rounds, loads } => safety::layers(rounds, loads),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mayfly-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(short: bool, web: bool, json: Option<&std::path::Path>) -> Result<(), String> {
    let effort = if short { Effort::SHORT } else { Effort::FULL };
    let workerd = match run(Peer::Workerd, &effort, web) {
        // Where there is no npm, the short run still shows that Mayfly's cases run.
        Err(error) if short => {
            eprintln!("workerd is left out: {error}");
            None
        }
        result => Some(result?),
    };
    let mayfly = run(Peer::Mayfly, &effort, web)?;
    let workerd = workerd.unwrap_or_else(|| left_out(&mayfly));
    print_table(&workerd, &mayfly);
    if let Some(path) = json {
        std::fs::write(path, to_json(&workerd, &mayfly)).map_err(|e| format!("write: {e}"))?;
    }
    let failed = mayfly.iter().filter(|figure| figure.value.is_err()).count();
    if failed > 0 {
        Err(format!("{failed} cases failed on mayfly"))
    } else {
        Ok(())
    }
}

fn run(peer: Peer, effort: &Effort, web: bool) -> Result<Vec<Figure>, String> {
    eprintln!("running {}", peer.name());
    let mut system = Running::start(peer, &[])?;
    Ok(if web {
        cases::web(system.port, effort)
    } else {
        cases::run_all(&mut system, effort)
    })
}

/// The column of a system that did not run.
fn left_out(other: &[Figure]) -> Vec<Figure> {
    let mut column = other.to_vec();
    for figure in &mut column {
        figure.value = Err("did not run".to_owned());
    }
    column
}

fn print_table(workerd: &[Figure], mayfly: &[Figure]) {
    println!(
        "{:<44} {:>12} {:>12} {:>5}  {:>8}",
        "case", "workerd", "mayfly", "", "better by"
    );
    for (theirs, ours) in workerd.iter().zip(mayfly) {
        println!(
            "{:<44} {:>12} {:>12} {:>5}  {:>8}",
            ours.name,
            cell(theirs),
            cell(ours),
            ours.unit,
            advantage(theirs, ours).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}x")),
        );
    }
    for figure in workerd.iter().chain(mayfly) {
        if let Err(error) = &figure.value {
            println!("failed: {}: {error}", figure.name);
        }
    }
}

fn cell(figure: &Figure) -> String {
    match &figure.value {
        Ok(value) if *value >= 100.0 => format!("{value:.0}"),
        Ok(value) => format!("{value:.3}"),
        Err(_) => "failed".to_owned(),
    }
}

/// How many times better ours is; below 1 it is worse.
fn advantage(theirs: &Figure, ours: &Figure) -> Option<f64> {
    let (theirs_value, ours_value) = (*theirs.value.as_ref().ok()?, *ours.value.as_ref().ok()?);
    let ratio = if ours.unit == "/s" {
        ours_value / theirs_value
    } else {
        theirs_value / ours_value
    };
    ratio.is_finite().then_some(ratio)
}

fn to_json(workerd: &[Figure], mayfly: &[Figure]) -> String {
    let rows: Vec<_> = workerd
        .iter()
        .zip(mayfly)
        .map(|(theirs, ours)| {
            serde_json::json!({
                "case": ours.name, "unit": ours.unit,
                "workerd": theirs.value.as_ref().ok(), "mayfly": ours.value.as_ref().ok(),
                "better_by": advantage(theirs, ours),
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::Array(rows))
}

fn ids(count: usize, clients: usize) -> Result<(), String> {
    // Few at once: a fork takes longer the more guests its zygote has.
    let mut host = Running::start(Peer::Mayfly, &["--guests-max", "256"])?;
    let began = Instant::now();
    let step = (count / 10).max(1);
    let mut done = 0;
    println!(
        "{:>9} {:>9} {:>12} {:>12} {:>12}",
        "ids", "seconds", "host RSS", "tree PSS", "guests"
    );
    while done < count {
        let from = done;
        let batch = step.min(count - done);
        cases::collect(host.port, clients, batch, &|i| {
            format!("/get?n={}", from + i)
        })?;
        done += batch;
        let memory = memory::of_tree(host.pid(), host.available_before_kib);
        println!(
            "{done:>9} {:>9.1} {:>8} KiB {:>8} KiB {:>12}",
            began.elapsed().as_secs_f64(),
            memory::rss_kib(host.pid()),
            memory.pss_kib,
            memory::tree(host.pid()).len() - 1,
        );
        if !host.alive() {
            return Err(format!("the host ended after {done} ids"));
        }
    }
    let rate = count as f64 / began.elapsed().as_secs_f64();
    println!("{count} distinct ids, no error, {rate:.0} per second");
    Ok(())
}

fn live(count: usize) -> Result<(), String> {
    // None of them may be evicted: this measures how many fit, not how many are kept. The host makes
    // room an eighth below its bound.
    let most = (count + count / 4 + 200).to_string();
    let bounds = ["--idle-seconds", "3600", "--memory-max", "1T"];
    let host = Running::start(
        Peer::Mayfly,
        &[&["--guests-max", &most], &bounds[..]].concat(),
    )?;
    let base = memory::of_tree(host.pid(), host.available_before_kib);
    cases::collect(host.port, 8, count, &|i| format!("/get?n={i}"))?;
    let now = memory::of_tree(host.pid(), host.available_before_kib);
    let processes = memory::tree(host.pid()).len();
    let per = |now: u64, base: u64| now.saturating_sub(base) / count as u64;
    println!("{count} live Workers, {processes} processes");
    println!(
        "proportional pages   {:>6} KiB each",
        per(now.pss_kib, base.pss_kib)
    );
    println!(
        "page tables          {:>6} KiB each",
        per(now.page_tables_kib, base.page_tables_kib)
    );
    let all = per(now.available_drop_kib, base.available_drop_kib);
    println!("all told             {all:>6} KiB each (drop of MemAvailable: kernel included)");
    // Every one of them still answers.
    cases::collect(host.port, 8, count, &|i| format!("/get?n={i}"))?;
    println!("all {count} answered again");
    Ok(())
}
