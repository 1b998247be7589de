//! Calls one after another without a pause: see `workers/streaks`.

mayfly_tests::cases! {
    ["streaks"], [];
    thousands_of_calls,
    messages_of_every_size,
    errors_and_stubs_and_streams,
    callbacks_in_a_streak,
    results_called_before_they_come,
    timers_of_the_callee,
    pauses_and_long_calls,
    two_callees_at_once,
    calls_into_oneself,
    a_callee_that_hangs_in_a_streak,
    a_little_of_all,
}

#[test]
fn streaks_collecting_always() {
    let server = mayfly_tests::Server::start_with(&["streaks"], &["--collect-always"]);
    server.case("a_little_of_all");
}
