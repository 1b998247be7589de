//! What `ctx.storage` promises, phrase by phrase: see `workers/storage/index.js`. What outlives processes is
//! in `objects`.

use mayfly_tests::Server;

#[test]
fn every_case_in_memory() {
    Server::start_with(&["storage"], &["--ephemeral"]).every_case("/");
}

#[test]
fn every_case_on_disk() {
    let folder = std::env::temp_dir().join(format!("mayfly-storage-{}", std::process::id()));
    let state = folder.to_str().expect("the folder for tests is UTF-8");
    Server::start_with(&["storage"], &["--state", state]).every_case("/");
    let _ = std::fs::remove_dir_all(&folder);
}
