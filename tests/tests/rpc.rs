//! Workers RPC by behaviour, in each direction: see `workers/rpc/cases.js`. The second half runs
//! every case again with garbage collected at every turn.

use mayfly_tests::Server;

fn all(direction: &str, arguments: &[&str]) {
    let server = Server::start_with(&["rpc", "rpc-peer"], arguments);
    let names: Vec<String> = serde_json::from_str(&server.get(&format!("/{direction}/")).body)
        .expect("the Worker lists its cases");
    let failures: Vec<String> = names
        .iter()
        .filter_map(|name| {
            let reply = server.get(&format!("/{direction}/{name}"));
            (reply.body != "ok").then(|| format!("{name}: {} {}", reply.status, reply.body))
        })
        .collect();
    println!("{direction}: {} of {} passed", names.len() - failures.len(), names.len());
    assert!(!names.is_empty());
    assert!(failures.is_empty(), "{}\n--- output\n{}", failures.join("\n"), server.output());
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
