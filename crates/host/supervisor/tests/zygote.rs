//! The death of a zygote, and what a shutdown leaves behind. One test: it looks at all children of
//! its process.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod fake;

use fake::{eventually, network, request, text, within, worker};
use mayfly_supervisor::{Options, Sandbox, Supervisor, SupervisorError};
use mayfly_wire::{Blob, Module, ModuleKind};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

fn guest_binary() -> PathBuf {
    if let Some(path) = std::env::var_os("MAYFLY_GUEST") {
        return path.into();
    }
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("mayfly-guest");
    assert!(
        path.exists(),
        "{} is missing: build the package mayfly-guest with this profile first",
        path.display()
    );
    path
}

/// Children of this process, by any of its threads.
fn children() -> Vec<String> {
    let mut all = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path().join("children");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        all.extend(text.split_whitespace().map(str::to_owned));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pool_recovers_from_a_zygotes_death_and_a_shutdown_leaves_nothing() {
    a_binary_that_is_no_guest_is_refused_by_kind().await;
    eventually("the reaping", || children().is_empty()).await;
    let mut options = Options::new(guest_binary());
    options.sandbox = Sandbox::UnsafeOptional;
    options.pool_min = 4;
    let supervisor = within(Supervisor::new(options)).await.unwrap();
    let mut definition = worker("a", vec![]);
    definition.modules = vec![Module {
        name: "main.js".to_owned(),
        kind: ModuleKind::Js {},
        content: Blob(b"export default { fetch() { return new Response('up') } }".to_vec()),
    }];
    supervisor.deploy(vec![definition], network()).unwrap();
    let service = supervisor.service("a", "").unwrap();
    assert_eq!(text(within(service.fetch(request("/"))).await).await, "up");
    for round in 1..=3 {
        let zygotes = children();
        assert_eq!(zygotes.len(), 1, "{zygotes:?}");
        let status = Command::new("kill").args(["-9", &zygotes[0]]).status();
        assert!(status.unwrap().success());
        eventually("a new zygote", || supervisor.metrics().zygotes > round).await;
        // The first request may still meet the guest that died with its zygote.
        let mut answer = within(service.fetch(request("/"))).await;
        if answer.is_err() {
            answer = within(service.fetch(request("/"))).await;
        }
        assert_eq!(text(answer).await, "up");
        eventually("the old one's reaping", || children().len() == 1).await;
    }
    within(supervisor.shutdown(Duration::from_secs(1))).await;
    eventually("the end of all processes", || children().is_empty()).await;
}

/// In the one test, because of the children.
async fn a_binary_that_is_no_guest_is_refused_by_kind() {
    let missing = Supervisor::new(Options::new("/nonexistent/mayfly-guest".into())).await;
    assert!(matches!(missing, Err(SupervisorError::Spawn { .. })));
    let other = Supervisor::new(Options::new("/bin/false".into())).await;
    assert!(
        matches!(other, Err(SupervisorError::EndedEarly { .. })),
        "{other:?}"
    );
}
