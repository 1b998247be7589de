//! What one Worker can do to the others: nothing. Each attack runs while 50 neighbours keep
//! answering; then the attacker's caller must have heard what happened.

#![expect(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mayfly_tests::{Server, children_of, exists, signal, wait_until};

const NEIGHBOURS: usize = 50;

/// The longest a neighbour may take while an attacker runs. Two cores are shared with the attacker
/// and with whatever else the machine does; what this rules out is waiting for the attacker's end.
const NEIGHBOUR_MAX: Duration = Duration::from_secs(2);

/// How the host names what `/attack` loads: by its loader, and without an id.
const ATTACKER: &str = "LOADER/load";

/// How soon a caller hears that its Worker's process was killed.
const HEARD_MAX: Duration = Duration::from_millis(500);

fn town() -> Server {
    let server = Server::start_observed(&["neighbours"], &[]);
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

#[test]
fn sigkill_of_a_guest_is_heard_at_once_and_by_its_caller_alone() {
    let server = town();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let neighbours = scope.spawn(|| keep_asking(&server, &done));
        let hanging = scope.spawn(|| (server.get("/attack?kind=sleep"), Instant::now()));
        wait_until("the attacker's process", || {
            !server.guests_of(ATTACKER).is_empty()
        });
        // By then it is asleep.
        std::thread::sleep(Duration::from_millis(200));
        let killed = Instant::now();
        for pid in server.guests_of(ATTACKER) {
            signal(pid, "KILL");
        }
        let (reply, heard) = hanging.join().unwrap();
        done.store(true, Ordering::SeqCst);
        let (asked, worst) = neighbours.join().unwrap();
        let after = heard.duration_since(killed);
        println!(
            "SIGKILL: {:?} after {after:?}; {asked} asked, worst {worst:?}",
            reply.body
        );
        assert!(reply.body.contains("SIGKILL"), "{}", reply.body);
        assert!(after < HEARD_MAX, "heard after {after:?}");
        assert!(worst < NEIGHBOUR_MAX, "a neighbour waited {worst:?}");
    });
}

#[test]
fn a_zygote_that_dies_is_replaced_and_its_guests_go_on() {
    let server = town();
    // Neither its launcher nor its init: those have one child each.
    let zygote = server
        .descendants()
        .into_iter()
        .find(|pid| children_of(*pid).len() > NEIGHBOURS)
        .expect("some process has forked the town");
    signal(zygote, "KILL");
    wait_until("the zygote to be gone", || !exists(zygote));
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
        family.iter().all(|pid| !exists(*pid))
    });
}
