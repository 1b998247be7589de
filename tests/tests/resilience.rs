//! What one Worker can do to the others: nothing. Each attack runs while 50 neighbours keep
//! answering; then the attacker's caller must have heard what happened.

#![expect(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mayfly_tests::{Server, descendants_of, signal, wait_until};

const NEIGHBOURS: usize = 50;

/// The longest a neighbour may take while an attacker runs. Two cores are shared with the attacker
/// and with whatever else the machine does; what this rules out is waiting for the attacker's end.
const NEIGHBOUR_MAX: Duration = Duration::from_secs(2);

fn town() -> Server {
    let server = Server::start(&["neighbours"]);
    for id in 0..NEIGHBOURS {
        assert_eq!(
            server.get(&format!("/neighbour?id={id}")).body,
            format!("{id}:1")
        );
    }
    server
}

/// Asks the neighbours in turn until `done`; each must keep its own count without a gap.
fn keep_asking(server: &Server, done: &AtomicBool) -> (usize, Duration) {
    let asked = AtomicUsize::new(0);
    let mut worst = Duration::ZERO;
    let mut round = 2;
    while !done.load(Ordering::SeqCst) || round == 2 {
        for id in 0..NEIGHBOURS {
            let began = Instant::now();
            let reply = server.get(&format!("/neighbour?id={id}"));
            worst = worst.max(began.elapsed());
            assert_eq!(reply.body, format!("{id}:{round}"), "neighbour {id}");
            asked.fetch_add(1, Ordering::SeqCst);
        }
        round += 1;
    }
    (asked.into_inner(), worst)
}

fn attack(kind: &str, expected: &[&str]) {
    let server = town();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let neighbours = scope.spawn(|| keep_asking(&server, &done));
        let began = Instant::now();
        let reply = server.get(&format!("/attack?kind={kind}"));
        let stopped = began.elapsed();
        done.store(true, Ordering::SeqCst);
        let (asked, worst) = neighbours.join().unwrap();
        println!(
            "{kind}: {:?} after {stopped:?}; {asked} asked, worst {worst:?}",
            reply.body
        );
        assert!(
            expected.iter().any(|text| reply.body.contains(text)),
            "the attacker's caller heard {:?}",
            reply.body
        );
        assert!(worst < NEIGHBOUR_MAX, "a neighbour waited {worst:?}");
    });
    assert_eq!(server.get("/").body, "town hall");
}

#[test]
fn an_endless_loop_is_ended_by_its_cpu_limit() {
    attack("endless-loop", &["CPU"]);
}

#[test]
fn a_promise_loop_is_ended_by_its_cpu_limit() {
    attack("promise-loop", &["CPU"]);
}

#[test]
fn a_stack_overflow_is_an_error_of_its_own() {
    attack("stack-overflow", &["recursion", "call stack"]);
}

#[test]
fn a_native_stack_overflow_is_an_error_of_its_own() {
    attack("native-stack-overflow", &["recursion", "call stack"]);
}

#[test]
fn an_allocation_bomb_ends_itself() {
    attack("allocation-bomb", &["memory", "CPU"]);
}

#[test]
fn a_buffer_bomb_ends_itself() {
    attack("buffer-bomb", &["memory", "allocation", "CPU"]);
}

#[test]
fn a_string_bomb_ends_itself() {
    attack("string-bomb", &["memory", "allocation", "CPU"]);
}

/// The guests with an age in clock ticks, youngest last.
fn youngest(pids: impl IntoIterator<Item = u32>) -> Option<u32> {
    pids.into_iter().max_by_key(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.to_owned())
            .unwrap_or_default();
        after
            .split_whitespace()
            .nth(19)
            .and_then(|ticks| ticks.parse::<u64>().ok())
            .unwrap_or(0)
    })
}

#[test]
fn sigkill_of_guests_is_heard_at_once_and_survived() {
    let server = town();
    let guests: Vec<u32> = server.descendants().into_iter().collect();
    std::thread::scope(|scope| {
        let hanging = scope.spawn(|| {
            let began = Instant::now();
            (server.get("/attack?kind=sleep"), began)
        });
        std::thread::sleep(Duration::from_millis(300));
        let attacker = youngest_busy(&server, &guests);
        let killed = Instant::now();
        for pid in attacker {
            signal(pid, "KILL");
        }
        let (reply, _) = hanging.join().unwrap();
        println!("{:?} after {:?}", reply.body, killed.elapsed());
        assert!(killed.elapsed() < Duration::from_millis(500));
        assert!(!reply.body.contains("answered"), "{}", reply.body);
    });
    // Whatever was killed with it (the attack's guest came out of the pool, so all the young ones
    // were), every neighbour answers again, by a fresh guest where need be.
    for id in 0..NEIGHBOURS {
        let reply = server.get(&format!("/neighbour?id={id}"));
        assert!(reply.body.starts_with(&format!("{id}:")), "{}", reply.body);
    }
}

/// Guests that were waiting in the pool when the town was built, or came after: one of them took
/// the attack. The town's own guests, the front Worker's among them, are older.
fn youngest_busy(server: &Server, _before: &[u32]) -> Vec<u32> {
    let mut left = server.descendants();
    let mut picked = Vec::new();
    // Zygotes have children or are older than every guest; the youngest processes are guests.
    for _ in 0..left.len().saturating_sub(NEIGHBOURS + 4) {
        if let Some(pid) = youngest(left.iter().copied()) {
            left.remove(&pid);
            picked.push(pid);
        }
    }
    picked
}

#[test]
fn a_zygote_that_dies_is_replaced_and_its_guests_go_on() {
    let server = town();
    let zygotes: Vec<u32> = server
        .descendants()
        .into_iter()
        .filter(|pid| descendants_of(*pid).len() > NEIGHBOURS)
        .collect();
    let zygote = *zygotes.last().expect("some process has forked the town");
    signal(zygote, "KILL");
    std::thread::sleep(Duration::from_millis(100));
    for id in 0..NEIGHBOURS {
        assert_eq!(
            server.get(&format!("/neighbour?id={id}")).body,
            format!("{id}:2")
        );
    }
    // New ones need a new zygote.
    for id in 100..200 {
        assert_eq!(
            server.get(&format!("/neighbour?id={id}")).body,
            format!("{id}:1")
        );
    }
}

#[test]
fn two_parents_with_the_same_id_never_share_a_worker() {
    let server = Server::start(&["front", "parent-a", "parent-b"]);
    for n in 1..4 {
        assert_eq!(server.get("/a").body, format!("secret of a {n}"));
        assert_eq!(server.get("/b").body, format!("secret of b {n}"));
    }
}

#[test]
fn sigterm_under_load_loses_no_accepted_request_and_leaves_nothing_behind() {
    let mut server = town();
    let family = server.descendants();
    assert!(family.len() > NEIGHBOURS);
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..20)
            .map(|id| {
                let server = &server;
                scope.spawn(move || {
                    let mut answered = 0;
                    loop {
                        match server.try_get(&format!("/neighbour?id={id}")) {
                            Ok(reply) => {
                                assert_eq!(reply.status, 200, "{}", reply.body);
                                answered += 1;
                            }
                            // Not accepted any more; an accepted request that is cut off would say
                            // something else than that nobody listens.
                            Err(error) => {
                                assert!(error.to_lowercase().contains("refused"), "{error}");
                                return answered;
                            }
                        }
                    }
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        server.terminate();
        let answered: usize = askers.into_iter().map(|asker| asker.join().unwrap()).sum();
        println!("{answered} answered before the end");
        assert!(answered > 0);
    });
    assert_eq!(server.wait(), Some(0));
    wait_until("every process to be gone", || {
        family
            .iter()
            .all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists())
    });
}
