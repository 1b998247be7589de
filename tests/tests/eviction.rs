//! Idle Workers make room: by time, by number and by memory; see `workers/eviction`. Never one with a
//! request under way, and the next call loads them again through the callback of their loader.

#![expect(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::thread::ScopedJoinHandle;

use mayfly_tests::{Server, exists, wait_until};

/// As many distinct Workers as need several rounds of eviction.
const WORKERS: usize = 30;

fn serve(arguments: &[&str]) -> Server {
    Server::start_observed(&["eviction"], arguments)
}

/// Asks the Worker `id`, which is made of `code` where it has to be loaded.
fn ask(server: &Server, id: &str, code: &str) -> String {
    server.get(&format!("/{id}?code={code}")).body
}

/// Guests that run a Worker now.
fn alive(server: &Server) -> Vec<(String, u32)> {
    let mut guests = server.guests();
    guests.retain(|(_, pid)| exists(*pid));
    guests
}

fn pid_of(server: &Server, worker: &str) -> u32 {
    let mut pid = None;
    wait_until(&format!("{worker} to start"), || {
        pid = server.guests_of(worker).last().copied();
        pid.is_some()
    });
    pid.unwrap()
}

/// Runs `work` while the Worker `slow` answers for `ms`; it must be the same afterwards. It is asked
/// while that answer is under way still: as soon as it is idle it may have to go.
fn while_busy(server: &Server, ms: u32, work: impl FnOnce()) {
    std::thread::scope(|scope| {
        let path = format!("/slow?code=a&ms={ms}");
        let slow: ScopedJoinHandle<'_, String> = scope.spawn(move || server.get(&path).body);
        let pid = pid_of(server, "LOADER/slow");
        work();
        assert!(
            !slow.is_finished(),
            "the slow request ended before the work"
        );
        assert!(exists(pid), "a Worker with a request under way was ended");
        // It counts when it answers, so the slow answer is the second of the same guest.
        assert_eq!(ask(server, "slow", "b"), "a:1");
        assert_eq!(slow.join().unwrap(), "a:2");
    });
}

#[test]
fn idle_workers_end_and_are_loaded_again() {
    let server = serve(&["--idle-seconds", "1"]);
    assert_eq!(ask(&server, "x", "a"), "a:1");
    assert_eq!(ask(&server, "x", "b"), "a:2");
    while_busy(&server, 8000, || {
        let idle = pid_of(&server, "LOADER/x");
        wait_until("the idle Worker to end", || !exists(idle));
    });
    assert_eq!(ask(&server, "x", "c"), "c:1");
    // With nothing under way the Worker in front goes too.
    let front = pid_of(&server, "eviction");
    wait_until("every Worker to end", || alive(&server).is_empty());
    assert!(!exists(front));
    assert_eq!(ask(&server, "x", "d"), "d:1");
}

#[test]
fn the_longest_idle_end_where_there_may_be_no_more() {
    let server = serve(&["--guests-max", "8"]);
    while_busy(&server, 10_000, || {
        for id in 0..WORKERS {
            assert_eq!(ask(&server, &id.to_string(), "a"), "a:1");
            // What was ended for this one may still be on its way out of the kernel.
            wait_until("eight Workers at most", || alive(&server).len() <= 8);
        }
        let last = (WORKERS - 1).to_string();
        assert_eq!(ask(&server, &last, "b"), "a:2");
        assert_eq!(ask(&server, "0", "b"), "b:1");
    });
}

#[test]
fn idle_workers_end_where_memory_is_short() {
    // Less than any one Worker takes: whatever is idle at a look has to go.
    let server = serve(&["--memory-max", "64KiB"]);
    while_busy(&server, 8000, || {
        for id in 0..4 {
            assert_eq!(ask(&server, &id.to_string(), "a"), "a:1");
        }
        let idle: Vec<u32> = (0..4)
            .map(|id| pid_of(&server, &format!("LOADER/{id}")))
            .collect();
        wait_until("the idle Workers to end", || {
            idle.iter().all(|pid| !exists(*pid))
        });
    });
    assert_eq!(ask(&server, "0", "b"), "b:1");
}
