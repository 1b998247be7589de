//! Spans that the platform opens for what a Worker does: see `workers/spans/index.js`.

mayfly_tests::cases! {
    ["spans", "spanned"], ["--ephemeral"];
    kv_is_told_by_operation_and_keys,
    a_failed_operation_ends_its_span,
    r2_is_told_by_operation_and_object,
    uploads_to_r2_are_told_part_by_part,
    d1_is_told_by_operation_and_text,
    the_cache_is_told_by_url_and_status,
    queues_are_told_at_both_ends,
    an_object_is_told_by_its_id,
    storage_of_an_object_is_told,
    sql_and_its_keys_are_told_with_their_rows,
    a_facet_is_told_by_its_name,
    a_span_is_inside_the_one_around_it,
    services_are_told_by_what_they_are_asked_for,
    hibernating_sockets_are_told_as_events,
    a_span_that_nobody_ends_ends_with_its_invocation,
}
