//! Web APIs, case by case: see `workers/web/`.

mayfly_tests::cases! {
    ["web"], [] as [&str; 0];
    html_content_goes_where_it_is_asked_to,
    html_elements_go_with_or_without_their_content,
    html_attributes_keep_their_form_until_they_are_set,
    html_a_new_name_is_also_the_end_tags,
    html_end_tags_have_handlers,
    html_text_comments_doctype_and_the_end,
    html_handlers_run_one_at_a_time_in_order,
    html_a_token_is_dead_after_its_handler,
    html_what_a_handler_throws_is_what_the_body_fails_with,
    html_streams_may_be_inserted,
    html_it_passes_on_what_it_has,
    html_a_large_document_in_small_memory,
    html_other_encodings,
    html_mistakes_say_what_is_wrong,
    html_a_cancelled_body_ends_its_input,
    stack_lines_are_v8s,
    stack_capture_leaves_out_what_is_above,
    stack_limit_is_kept,
    stack_call_sites_are_prepared,
    stack_places_are_those_of_typescript,
    stack_of_endless_recursion_is_a_range_error,
    stack_too_large_allocations_are_range_errors,
    observers_are_told_of_marks_and_measures,
    flags_are_there_to_be_read,
    names_of_the_scope,
    fetch_checks_integrity,
    object_prototype_then_does_not_see_bodies,
    words_of_headers_and_bodies,
    words_of_forms,
    forms_may_have_lines_without_a_carriage_return,
    words_of_streams,
    a_method_of_something_else_says_so,
    byte_transforms_are_transform_streams,
    dispatch_event_throws_what_a_listener_throws,
}

#[test]
fn a_module_that_listens_is_a_service_worker() {
    let server = mayfly_tests::Server::start(&["listener"]);
    let body = |path: &str| server.get(path).body;
    assert_eq!(body("/greeting"), "hello");
    assert_eq!(body("/second"), "false");
    assert_eq!(
        body("/twice"),
        "TypeError: FetchEvent.respondWith() has already been called; it can only be called once."
    );
    assert_eq!(body("/event"), r#"[true,true,true,"fetch"]"#);
}
