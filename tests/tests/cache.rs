//! The Cache API, against `workers/cache`.

use mayfly_tests::{Server, cases};

cases! {
    ["cache"], ["--ephemeral"];
    what_was_put_is_matched_with_status_age_and_headers,
    a_put_replaces_and_a_delete_says_what_it_found,
    only_get_unless_the_method_is_ignored,
    caches_by_name_are_apart,
    what_may_not_be_put_is_an_error,
    what_its_headers_forbid_is_not_kept,
    a_cookie_may_be_private,
    entries_end_with_their_time,
    ranges_are_parts,
    conditions_are_answered_with_304,
    bodies_stream_both_ways,
    a_body_that_fails_leaves_the_entry_as_it_was,
    what_is_encoded_comes_back_as_it_went,
    a_matched_response_is_an_ordinary_one,
    dynamic_workers_have_caches_of_their_own,
}

#[test]
fn what_was_put_outlives_a_host_that_is_killed() {
    let folder = std::env::temp_dir().join(format!("mayfly-cache-e2e-{}", std::process::id()));
    let state = folder.to_str().expect("the folder for tests is UTF-8");
    let arguments = ["--state", state];
    for before in ["nothing", "kept", "kept"] {
        let server = Server::start_with(&["cache"], &arguments);
        let reply = server.post("/kept", b"child's");
        let expected = match before {
            "nothing" => "nothing, nothing",
            _ => "kept, child's",
        };
        assert_eq!(reply.body, expected);
        mayfly_tests::signal(server.pid(), "KILL");
    }
    let _ = std::fs::remove_dir_all(&folder);
}
