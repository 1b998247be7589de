//! What a guest costs: prints the figures, and holds them to bounds so wide that only a mistake of
//! kind (a copy of the heap, a warm-up that does not happen) breaks them.
//!
//! Run it alone for figures worth reading:
//! `cargo test --release -p mayfly-guest --test measure -- --nocapture`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod host;

use std::fs;
use std::time::{Duration, Instant};

use host::{Guest, Host, start};
use mayfly_sandbox::Pid;
use mayfly_sandbox::process_stat::memory_exact;
use mayfly_wire::ToHost;

const GUESTS: u32 = 60;
const HELLO: &str = "export default { fetch() { return new Response('hello'); } };";

#[test]
fn what_a_guest_costs() {
    let started = Instant::now();
    let mut host = Host::start();
    let ready = started.elapsed();

    let started = Instant::now();
    let mut guests = host.fork_many(GUESTS);
    let fork = started.elapsed() / GUESTS;
    // Let them seal and warm up.
    std::thread::sleep(Duration::from_millis(300));

    let faults_warm: Vec<u64> = guests.iter().map(faults).collect();
    let warm = memory(&guests[0]);
    let mut first = Vec::new();
    let mut next = Vec::new();
    for guest in &mut guests {
        let sent = Instant::now();
        guest.send(&start(HELLO));
        assert_eq!(guest.fetch("http://x/"), "hello");
        first.push(sent.elapsed());
        for _ in 0..20 {
            let sent = Instant::now();
            guest.fetch("http://x/");
            next.push(sent.elapsed());
        }
    }
    let faults_started: Vec<u64> = guests.iter().map(faults).collect();
    let live = memory(&guests[0]);

    // One that is given its Worker at once: not warm.
    let sent = Instant::now();
    let mut cold = host.fork();
    cold.send(&start(HELLO));
    while !matches!(cold.receive(), Some(ToHost::Started { .. })) {}
    let cold_start = sent.elapsed();

    let middle = |values: &mut Vec<u64>| {
        values.sort_unstable();
        values[values.len() / 2]
    };
    let fault_warm = middle(&mut faults_warm.clone());
    let fault_start = middle(&mut faults_started.clone()) - fault_warm;
    first.sort_unstable();
    next.sort_unstable();
    println!("zygote ready              {ready:?}");
    println!("fork, handed over         {fork:?} each, {GUESTS} in a row");
    println!(
        "Start to first answer     {:?} p50, {:?} p99",
        at(&first, 50),
        at(&first, 99)
    );
    println!(
        "request to answer         {:?} p50, {:?} p99",
        at(&next, 50),
        at(&next, 99)
    );
    println!("fork to Started, not warm {cold_start:?}");
    println!(
        "minor faults              {fault_warm} to be warm, {fault_start} to start and answer 21 times"
    );
    println!("memory when warm          {warm}");
    println!("memory when live          {live}");
    println!(
        "mappings                  {}",
        fs::read_to_string(guests[0].proc("maps"))
            .unwrap()
            .lines()
            .count()
    );
    assert!(at(&first, 50) < Duration::from_millis(50));
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

fn pid(guest: &Guest) -> Pid {
    guest.pidfd.pid().unwrap().unwrap()
}

/// Minor faults so far (`proc(5)`: field 10 of `stat`).
fn faults(guest: &Guest) -> u64 {
    let stat = fs::read_to_string(guest.proc("stat")).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    rest.split(' ').nth(7).unwrap().parse().unwrap()
}

/// Needs the right to trace the guest, as root has.
fn memory(guest: &Guest) -> String {
    match memory_exact(pid(guest)) {
        Ok(memory) => format!(
            "{} KiB private, {} KiB proportional, {} KiB page tables",
            memory.private_bytes / 1024,
            memory.proportional_bytes / 1024,
            memory.page_table_bytes / 1024
        ),
        Err(error) => format!("not shown to this user: {error}"),
    }
}
