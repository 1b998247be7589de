//! Workers KV, against `workers/kv`.

use std::path::PathBuf;

use mayfly_tests::{Server, cases};

cases! {
    ["kv"], ["--ephemeral"];
    values_come_in_every_form,
    what_expires_is_gone,
    values_go_in_every_form,
    a_put_replaces_and_a_delete_removes,
    metadata_stays_with_its_key,
    keys_are_any_text,
    limits_are_errors_with_their_status,
    lists_go_by_prefix_limit_and_cursor,
    many_keys_are_asked_at_once,
    bindings_of_one_id_share_and_others_do_not,
}

#[test]
fn what_was_put_outlives_a_host_that_is_killed() {
    let folder: PathBuf =
        std::env::temp_dir().join(format!("mayfly-kv-e2e-{}", std::process::id()));
    let state = folder.to_str().expect("the folder for tests is UTF-8");
    let arguments = ["--state", state];
    let first = Server::start_with(&["kv"], &arguments);
    first.case("metadata_stays_with_its_key");
    mayfly_tests::signal(first.pid(), "KILL");
    drop(first);
    let entries = std::fs::read_dir(folder.join("kv")).expect("the namespaces' folder");
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    assert!(
        names.iter().any(|name| name == "shared.sqlite"),
        "{names:?}"
    );
    let second = Server::start_with(&["kv"], &arguments);
    second.case("metadata_stays_with_its_key");
    drop(second);
    let _ = std::fs::remove_dir_all(&folder);
}
