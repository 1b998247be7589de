//! Cron triggers, run on request: when they are due is tested where expressions are read.

use std::path::PathBuf;
use std::process::Command;

use mayfly_tests::{Server, binary};

#[test]
fn a_trigger_runs_with_its_expression_and_time_and_what_it_throws_is_told() {
    let server = Server::start_with(&["scheduled"], &["--test-scheduled"]);
    let run = "/cdn-cgi/handler/scheduled";
    assert_eq!(
        server.get(&format!("{run}?cron=0+0+1+1+*&time=1000")).body,
        "ok"
    );
    assert_eq!(server.get("/").body, r#"[["0 0 1 1 *",1000]]"#);
    let reply = server.get(&format!("{run}?cron=bad"));
    assert_eq!(reply.status, 500);
    assert!(reply.body.contains("the trigger threw"), "{}", reply.body);
}

#[test]
fn the_path_is_the_workers_own_unless_asked_for() {
    let server = Server::start(&["scheduled"]);
    assert_eq!(server.get("/cdn-cgi/handler/scheduled").body, "[]");
}

#[test]
fn an_expression_that_means_nothing_is_refused_by_place() {
    let folder: PathBuf = std::env::temp_dir().join(format!("mayfly-cron-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    std::fs::write(folder.join("index.js"), "export default {}").expect("a module");
    let config = folder.join("wrangler.jsonc");
    let text = r#"{"main": "index.js", "compatibility_date": "2026-08-01",
  "triggers": {"crons": ["61 * * * *"]}}"#;
    std::fs::write(&config, text).expect("a configuration");
    let output = Command::new(binary("mayfly"))
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(&config)
        .output()
        .expect("mayfly runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let _ = std::fs::remove_dir_all(&folder);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("wrangler.jsonc:2:") && said.contains("61 * * * *"),
        "{said}"
    );
}
