//! The loader's contract, case by case: see `workers/loader/index.js`; and all of them again while
//! garbage is collected at every turn, which is when a stub that nobody refers to any more ends.

use mayfly_tests::Server;

fn collecting() -> Server {
    Server::start_with(&["loader"], &["--collect-always"])
}

#[test]
fn chained_temporary_survives_forced_collection() {
    collecting().case("chained_temporary_survives_collection");
}

#[test]
fn every_case_collecting_always() {
    collecting().every_case("/");
}

mayfly_tests::cases! {
    ["loader"], [] as [&str; 0];
    load_answers,
    a_configured_worker_has_its_vars,
    module_js_by_extension,
    module_js,
    module_cjs,
    module_cjs_requires_an_es_module,
    module_cjs_cycle,
    module_text,
    module_data,
    module_data_from_an_array_buffer,
    module_json,
    module_wasm_bytes,
    module_wasm_compiled,
    module_import_source,
    module_dynamic_import,
    module_top_level_await,
    module_cycle,
    module_import_meta_url,
    module_missing_names_itself_its_importer_and_close_matches,
    module_syntax_error_names_its_place,
    field_compatibility_date,
    field_compatibility_flags,
    field_allow_experimental,
    field_main_module,
    field_modules,
    field_env,
    field_env_names_the_path_of_what_cannot_be_cloned,
    field_env_size,
    field_modules_size,
    field_global_outbound,
    field_tails,
    field_limits,
    limits_sub_requests_stop_the_next_one,
    limits_cpu_ends_an_endless_loop,
    limits_of_an_entrypoint,
    get_calls_its_callback_once_under_100_concurrent_callers,
    get_returns_synchronously_and_keeps_state,
    get_null_never_shares,
    get_with_bad_arguments,
    failed_load_is_not_cached,
    get_asks_for_the_code_before_any_call,
    a_hung_child_is_told_so,
    a_child_that_waits_for_its_parent_is_not_hung,
    abort_isolate_ends_the_child_and_the_next_call_starts_it_afresh,
    batches_and_cron_reach_their_handlers,
    failed_start_rejects_with_its_error,
    loaders_do_not_share_ids,
    entrypoint_by_name_with_props,
    entrypoint_that_is_missing,
    handler_that_is_missing,
    wait_until_outlives_the_response,
    exceptions_reach_the_caller,
    loopback_service_with_props,
    configured_service_in_env,
    outbound_null_blocks,
    outbound_stub_receives_everything,
    outbound_absent_is_the_parents,
    nested_loaders_go_three_deep,
    dynamic_entrypoint_cannot_be_made_persistent,
    chained_temporary_survives_collection,
    bodies_stream_through_a_child,
    a_hundred_children_at_once,
    two_children_never_share_randomness,
    an_empty_wasm_module_is_a_module,
}
