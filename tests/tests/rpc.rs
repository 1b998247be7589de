//! Workers RPC by behaviour, in each direction: see `workers/rpc/cases.js`. The second half runs
//! every case again with garbage collected at every turn.

use mayfly_tests::Server;

fn all(direction: &str, arguments: &[&str]) {
    Server::start_with(&["rpc", "rpc-peer"], arguments).every_case(&format!("/{direction}/"));
}

#[test]
fn parent_calls_dynamic_worker() {
    all("down", &[]);
}

#[test]
fn dynamic_worker_calls_parent() {
    all("up", &[]);
}

#[test]
fn service_calls_service() {
    all("across", &[]);
}

#[test]
fn guests_that_die_and_third_parties() {
    all("lost", &[]);
}

#[test]
fn parent_calls_dynamic_worker_collecting_always() {
    all("down", &["--collect-always"]);
}

#[test]
fn dynamic_worker_calls_parent_collecting_always() {
    all("up", &["--collect-always"]);
}

#[test]
fn service_calls_service_collecting_always() {
    all("across", &["--collect-always"]);
}
