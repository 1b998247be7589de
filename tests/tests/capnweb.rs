//! Cap'n Web: the npm package `capnweb`, unmodified, serves a Worker here and is called by itself from
//! Node.js over HTTP batches and a WebSocket. The cases are in `workers/capnweb/client.mjs`.
//!
//! The package is installed from the lock file where it is not there yet, which needs a registry.

use mayfly_tests::{Server, worker};
use std::path::Path;
use std::process::{Command, Output};

/// Seconds that an installation or the client may take, as `timeout` reads them.
const SECONDS_MAX: &str = "60";

fn run(folder: &Path, command: &[&str]) -> Output {
    Command::new("timeout")
        .arg(SECONDS_MAX)
        .args(command)
        .current_dir(folder)
        .output()
        .expect("timeout(1) runs")
}

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{}\n{out}{err}", output.status)
}

fn install(folder: &Path) {
    if folder.join("node_modules/capnweb/package.json").exists() {
        return;
    }
    let installed = run(
        folder,
        &["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
    );
    assert!(
        installed.status.success(),
        "capnweb cannot be installed; without a registry, put it into {} by other means: {}",
        folder.join("node_modules").display(),
        said(&installed)
    );
}

#[test]
fn capnweb_serves_http_batches_and_websockets() {
    let folder = worker("capnweb");
    install(&folder);
    let server = Server::start(&["capnweb"]);
    // Older releases of Node.js have WebSocket behind this flag, newer ones take it for granted.
    let client = run(
        &folder,
        &[
            "node",
            "--experimental-websocket",
            "client.mjs",
            &server.url("/api"),
        ],
    );
    assert!(
        client.status.success() && client.stdout == b"ok\n",
        "{}\n--- server\n{}",
        said(&client),
        server.output()
    );
}
