//! Tails, whatever the outcome of what they follow: see `workers/tail/index.js`.

mayfly_tests::cases! {
    ["tail", "tailed"], ["--ephemeral"];
    outcome_ok,
    outcome_exception,
    outcome_exception_in_wait_until,
    outcome_exception_at_the_start,
    outcome_exceeded_cpu,
    outcome_exceeded_memory,
    outcome_internal_error,
    outcome_canceled,
    outcome_response_stream_disconnected,
    rpc_is_told_by_its_method,
    spans_of_calls_and_of_the_worker,
    spans_are_free_where_nobody_follows,
    a_stream_may_be_declined_or_taken_by_names,
    a_slow_stream_loses_events_and_hears_how_many,
    a_large_line_is_cut_and_says_so,
    messages_on_diagnostics_channels_are_told,
    a_tail_that_throws_is_its_own_affair,
    a_configured_worker_is_followed,
    an_object_is_followed_by_its_id,
}
