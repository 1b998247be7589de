//! The command line without any Worker: every way to end before one starts has its line and its
//! number. What Workers do behind it is tested end to end in `tests/`.

#![expect(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

fn mayfly(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mayfly"))
        .args(arguments)
        .output()
        .unwrap()
}

/// Expects an exit code and one line on standard error with these words.
fn ends(arguments: &[&str], code: i32, words: &[&str]) {
    let output = mayfly(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
    if code != 2 {
        assert_eq!(said.trim_end().lines().count(), 1, "one line: {said}");
    }
}

fn worker(folder: &Path, config: &str) -> String {
    std::fs::write(folder.join("index.js"), "export default {};").unwrap();
    let path = folder.join("wrangler.jsonc");
    std::fs::write(&path, config).unwrap();
    path.to_str().unwrap().to_owned()
}

const VALID: &str = r#"{ "name": "w", "main": "index.js", "compatibility_date": "2026-01-01" }"#;

#[test]
fn version_and_help_are_printed() {
    let version = mayfly(&["--version"]);
    assert_eq!(
        version.stdout,
        format!("mayfly {}\n", env!("CARGO_PKG_VERSION")).as_bytes()
    );
    let help = String::from_utf8(mayfly(&["--help"]).stdout).unwrap();
    for word in ["serve", "run", "Examples:", "Exit codes:", "MAYFLY_LOG"] {
        assert!(help.contains(word), "{word}");
    }
}

#[test]
fn a_wrong_command_line_is_usage() {
    ends(&[], 2, &["Usage"]);
    ends(&["serve"], 2, &["--config"]);
    ends(
        &["serve", "-c", "x", "--listen", "nonsense"],
        2,
        &["HOST:PORT"],
    );
    ends(
        &["serve", "-c", "x", "--allow-egress", "10.0.0.0/99"],
        2,
        &["egress rule"],
    );
    ends(&["sreve"], 2, &["serve"]);
    ends(&["run", "x.js", "--url", "x.js"], 2, &["absolute URL"]);
    ends(&["run", "x.ts"], 2, &["x.ts", "mayfly serve"]);
}

#[test]
fn a_missing_file_is_named() {
    ends(&["run", "nowhere.js"], 4, &["nowhere.js"]);
    ends(&["serve", "-c", "nowhere.jsonc"], 4, &["nowhere.jsonc"]);
}

#[test]
fn an_invalid_configuration_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let broken = worker(folder.path(), "{\n  \"name\": \"w\",\n  \"main\": 7\n}");
    ends(
        &["serve", "-c", &broken],
        3,
        &["wrangler.jsonc", "3", "main"],
    );
    let unknown_flag = VALID.replace("}", r#", "compatibility_flags": ["nodejs_compta"] }"#);
    let broken = worker(folder.path(), &unknown_flag);
    ends(
        &["serve", "-c", &broken],
        3,
        &["nodejs_compta", "nodejs_compat"],
    );
}

#[test]
fn a_missing_or_foreign_guest_binary_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = worker(folder.path(), VALID);
    let serve = ["serve", "-c", &config, "--listen", "127.0.0.1:0", "--guest"];
    ends(
        &[&serve[..], &["/nowhere/guest"]].concat(),
        6,
        &["/nowhere/guest"],
    );
    ends(&[&serve[..], &["/bin/true"]].concat(), 6, &["/bin/true"]);
}

#[test]
fn a_state_folder_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let state = state.to_str().unwrap();
    ends(&["usage", "--state", state], 10, &[state, "no usage"]);
    ends(
        &["state", "list", "--state", state],
        10,
        &[state, "no state"],
    );
}

#[test]
fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = worker(folder.path(), VALID);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    ends(
        &[
            "serve",
            "-c",
            &config,
            "--listen",
            &addr,
            "--guest",
            "/bin/true",
        ],
        5,
        &[&addr, "in use"],
    );
}
