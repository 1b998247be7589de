//! The wall in the graph of dependencies: the host has no engine to attack, and a guest has neither
//! a network nor a database.

use std::process::Command;

/// The names of everything that is compiled into `package`.
fn linked_into(package: &str) -> Vec<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["tree", "--locked", "--offline", "--edges", "normal"])
        .args(["--prefix", "none", "--format", "{p}", "--package", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said.lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

fn assert_links(package: &str, present: &str, absent: &[&str]) {
    let linked = linked_into(package);
    // Else the list is not what this test takes it for.
    assert!(linked.iter().any(|name| name == present), "{linked:?}");
    for name in absent {
        assert!(
            !linked.iter().any(|linked| linked == name),
            "{package} links {name}"
        );
    }
}

#[test]
fn the_host_links_no_engine() {
    let engine = ["mozjs", "mozjs_sys", "mayfly-engine", "mayfly-ops"];
    assert_links("mayfly", "tokio", &engine);
}

#[test]
fn a_guest_links_no_network_and_no_database() {
    let host = [
        "tokio",
        "mio",
        "hyper",
        "hyper-util",
        "h2",
        "rustls",
        "rusqlite",
        "libsqlite3-sys",
        "socket2",
    ];
    assert_links("mayfly-guest", "mozjs", &host);
}
