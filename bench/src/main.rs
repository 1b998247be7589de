//! `mayfly-bench`: the numbers of the README and of SPECIFICATION.md, for anyone to repeat.
//!
//! `compare` runs every case on every system in turn and prints their ratios; absolute times on a
//! shared machine mean little, ratios of one run mean more. `ids` and `live` are Mayfly's own
//! promises: a million distinct Workers in bounded memory, thousands of live ones.

#![forbid(unsafe_code)]

mod cases;
mod http;
mod limits;
mod memory;
mod metering;
mod peer;
mod report;
mod stats;
mod steps;
mod tails;
mod turns;
#[allow(clippy::unwrap_used, reason = "a test's helper: it fails by panicking")]
#[path = "../../crates/guest/process/tests/host/mod.rs"]
mod zygote;

use std::process::ExitCode;
use std::time::Instant;

use cases::Effort;
use clap::{Parser, Subcommand};
use peer::{Peer, Running};
use report::{Column, Report};

#[derive(Parser)]
#[command(version, about = "Mayfly and its peers side by side")]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Every case on Mayfly and its peers, with ratios to workerd.
    Compare(Compare),
    /// Where the time of a cold start and of a warm request goes, in microseconds.
    Steps,
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
    /// A cold load by this build's guest and by another, by turns.
    Guests {
        /// The other guest's binary.
        other: std::path::PathBuf,
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
        #[arg(long, default_value_t = 4000)]
        rounds: usize,
    },
}

#[derive(clap::Args)]
struct Compare {
    /// A few rounds of each, to see that every case runs.
    #[arg(long)]
    short: bool,
    /// Only the cases of Durable Objects.
    #[arg(long)]
    objects: bool,
    /// Only the cases of RPC between a parent and a dynamic Worker.
    #[arg(long, conflicts_with = "objects")]
    rpc: bool,
    /// Only this peer beside Mayfly; may be given several times.
    #[arg(long)]
    only: Vec<String>,
    /// Also write the figures to this file, as JSON.
    #[arg(long)]
    json: Option<std::path::PathBuf>,
    /// Also write the table to this file, as Markdown.
    #[arg(long)]
    markdown: Option<std::path::PathBuf>,
    /// Also draw the ratios into this file, as SVG.
    #[arg(long)]
    svg: Option<std::path::PathBuf>,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        What::Compare(arguments) => compare(&arguments),
        What::Steps => steps::print(),
        What::Ids { count, clients } => ids(count, clients),
        What::Live { count } => live(count),
        What::Metering { count, clients } => metering::run(count, clients),
        What::Tails { rounds } => tails::run(rounds),
        What::Limits { markdown } => limits::run(markdown.as_deref()),
        What::Guests {
            other,
            rounds,
            loads,
        } => turns::guests(&other, rounds, loads),
        What::Layers { rounds, loads } => turns::layers(rounds, loads),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mayfly-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: &Compare) -> Result<(), String> {
    let effort = if arguments.short {
        Effort::SHORT
    } else {
        Effort::FULL
    };
    let chosen = |peer: &Peer| {
        *peer == Peer::Mayfly
            || arguments.only.is_empty()
            || arguments.only.iter().any(|name| name == peer.name())
    };
    let columns = Peer::ALL.into_iter().filter(chosen).map(|peer| {
        eprintln!("running {}", peer.name());
        Column {
            peer,
            figures: match (arguments.objects, arguments.rpc) {
                (true, _) => cases::run_objects(peer, &effort.of(peer)),
                (_, true) => cases::run_rpc(peer, &effort.of(peer)),
                _ => cases::run_all(peer, &effort.of(peer)),
            },
        }
    });
    let report = Report::new(columns.collect());
    print!("{}", report.table());
    for (path, text) in [
        (&arguments.json, report.json()),
        (&arguments.markdown, report.markdown()),
        (&arguments.svg, report.svg()),
    ] {
        if let Some(path) = path {
            std::fs::write(path, text).map_err(|e| format!("write {}: {e}", path.display()))?;
        }
    }
    match report.failures() {
        none if none.is_empty() => Ok(()),
        failures => Err(format!("{} cases failed on mayfly", failures.len())),
    }
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
