//! What nodejs_compat adds: see `workers/node/index.js`.

mayfly_tests::cases! {
    ["node"], [] as [&str; 0];
    buffer_text,
    buffer_is_a_uint8array,
    buffer_numbers,
    buffer_too_large_is_a_range_error,
    process_has_the_variables,
    process_says_what_it_is,
    process_next_tick_comes_before_timers,
    process_warnings_are_events,
    process_exit_ends_the_request,
    timers_are_objects,
    timers_as_promises,
}
