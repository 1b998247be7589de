//! Stubs as stored values, against `workers/stored-stubs`.

use mayfly_tests::{Server, cases, signal};

cases! {
    ["stored-stubs", "stored-stubs-peer"], ["--ephemeral"];
    a_service_stub_with_props_is_stored_and_called,
    stubs_in_props_and_in_larger_values_come_back,
    a_stub_is_stored_in_the_turn_that_makes_it,
    many_values_are_listed_with_their_stubs,
    a_class_is_stored_and_started_as_a_facet,
    a_durable_objects_stub_leads_back_to_the_same_object,
    what_was_received_may_be_stored_if_its_maker_lets_it,
    what_a_restore_method_gives_is_called_stored_and_got_again,
    a_durable_object_restores_what_it_made,
    a_restored_stub_travels_and_is_stored_elsewhere,
    the_args_of_a_restore_method_may_hold_stubs,
    an_object_of_an_entrypoint_restores_after_its_call_is_over,
    facets_and_dynamic_workers_are_restored_by_who_made_them,
    who_is_reached_by_no_restored_stub_cannot_restore,
    what_others_gave_keeps_its_own_way_back,
    a_restore_method_that_gives_no_stub_is_an_error,
    a_restore_method_that_changes_its_mind_is_an_error,
    a_stub_that_leads_back_to_itself_is_refused,
    what_restores_a_stub_is_bounded,
    props_of_a_configured_service_arrive,
    entrypoints_of_dynamic_workers_have_their_own_error,
}

#[test]
fn a_stored_stub_outlives_the_host_and_means_nothing_to_another_state() {
    let folder = std::env::temp_dir().join(format!("mayfly-stubs-{}", std::process::id()));
    let state = folder.join("state");
    let other = folder.join("other");
    let text = |path: &std::path::Path| path.to_str().expect("a folder in UTF-8").to_owned();
    let workers = ["stored-stubs", "stored-stubs-peer"];
    let server = Server::start_with(&workers, &["--state", &text(&state)]);
    assert_eq!(server.get("/keep").body, "kept");
    signal(server.pid(), "KILL");
    drop(server);
    let server = Server::start_with(&workers, &["--state", &text(&state)]);
    assert_eq!(server.get("/call").body, "kept, again");
    assert_eq!(server.get("/restored").body, "2");
    signal(server.pid(), "KILL");
    drop(server);
    // The objects in the folder of another state, which signs with another key.
    drop(Server::start_with(&workers, &["--state", &text(&other)]));
    let copied = std::process::Command::new("cp")
        .args(["-r", &text(&state.join("objects")), &text(&other)])
        .status();
    assert!(copied.is_ok_and(|status| status.success()));
    let server = Server::start_with(&workers, &["--state", &text(&other)]);
    for path in ["/call", "/restored"] {
        let answer = server.get(path);
        assert_eq!(answer.status, 500, "{}", answer.body);
        let told = "is not one of this host's";
        assert!(answer.body.contains(told), "{}", answer.body);
    }
    drop(server);
    let _ = std::fs::remove_dir_all(&folder);
}
