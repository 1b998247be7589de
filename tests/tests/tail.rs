//! Tails, whatever the outcome of what they follow: see `workers/tail/index.js`.

use mayfly_tests::{Server, wait_until};

/// The kernel, an operator or a bug ends a process: nobody in it can say so any more.
#[test]
fn outcome_of_a_killed_process_with_all_that_it_had_said() {
    let server = Server::start_observed(&["tail", "tailed"], &["--ephemeral"]);
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| server.get("/killed"));
        server.wait_for_output("about to be killed");
        wait_until("the process", || {
            !server.guests_of("LOADER/load").is_empty()
        });
        for pid in server.guests_of("LOADER/load") {
            mayfly_tests::signal(pid, "KILL");
        }
        let reply = asked.join().expect("it is answered");
        let told: serde_json::Value = serde_json::from_str(&reply.body).expect("it is JSON");
        assert_eq!(told["outcome"], "internalError", "{told}");
        assert_eq!(told["logs"], serde_json::json!([["about to be killed"]]));
        // Its caller heard the same.
        assert_eq!(told["heard"], told["said"]);
        assert!(reply.body.contains("SIGKILL"), "{told}");
    });
}

mayfly_tests::cases! {
    ["tail", "tailed"], ["--ephemeral"];
    outcome_ok,
    outcome_exception,
    outcome_exception_in_wait_until,
    outcome_exception_at_the_start,
    outcome_exceeded_cpu,
    outcome_exceeded_memory,
    outcome_exceeded_cpu_at_the_start,
    outcome_exceeded_wall_time,
    outcome_of_too_many_subrequests,
    outcome_of_memory_that_the_engine_refuses,
    outcome_internal_error,
    outcome_canceled,
    outcome_response_stream_disconnected,
    rpc_is_told_by_its_method,
    spans_of_calls_and_of_the_worker,
    spans_are_free_where_nobody_follows,
    a_stream_may_be_declined_or_taken_by_names,
    a_slow_stream_loses_events_and_hears_how_many,
    a_large_line_is_cut_and_says_so,
    a_line_is_told_by_its_values,
    who_asks_a_tail_hears_of_what_was_over_before,
    messages_on_diagnostics_channels_are_told,
    a_tail_that_throws_is_its_own_affair,
    a_configured_worker_is_followed,
    an_object_is_followed_by_its_id,
}
