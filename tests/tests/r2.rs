//! R2, against `workers/r2` and `workers/r2-other`.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use mayfly_tests::{Server, cases, signal, wait_until};

cases! {
    ["r2"], ["--ephemeral"];
    a_put_tells_what_head_and_get_tell,
    values_go_and_come_in_every_form,
    a_large_object_streams_both_ways,
    a_body_that_breaks_off_leaves_what_was_there,
    a_reader_reads_to_the_end_what_is_replaced_meanwhile,
    ranges_are_parts_of_the_object,
    a_get_whose_condition_fails_has_no_body,
    a_put_whose_condition_fails_gives_null_and_changes_nothing,
    checksums_are_verified_and_kept,
    metadata_goes_to_headers_and_comes_from_them,
    keys_are_any_text,
    limits_are_errors_with_their_code,
    deletes_take_one_key_or_many,
    lists_go_by_prefix_delimiter_and_cursor,
    lists_tell_metadata_where_it_is_asked_for,
    parts_become_one_object,
    uploads_are_checked_when_they_end,
    bindings_of_one_bucket_share_and_others_do_not,
    a_dynamic_worker_reaches_a_bucket_only_through_its_parent,
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("mayfly-r2-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn text(&self) -> &str {
        self.0.to_str().expect("the folder for tests is UTF-8")
    }

    /// Files of a bucket's bytes.
    fn blobs(&self, bucket: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        walk(&self.0.join(format!("r2/{bucket}.blobs")), &mut files);
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path().is_dir() {
            true => walk(&entry.path(), files),
            false => files.push(entry.path()),
        }
    }
}

#[test]
fn on_disk_as_in_memory_and_no_file_is_left_that_nothing_names() {
    let folder = Folder::new("disk");
    let server = Server::start_with(&["r2"], &["--state", folder.text()]);
    server.every_case("/");
    let mut before: Vec<PathBuf> = Vec::new();
    walk(&folder.0, &mut before);
    let inside = before.iter().all(|path| path.starts_with(&folder.0));
    assert!(inside, "a key left the folder: {before:?}");
    let put = server.post("/put?key=last", b"last");
    assert_eq!(put.status, 200, "{}", put.body);
    signal(server.pid(), "KILL");
    drop(server);

    let server = Server::start_with(&["r2"], &["--state", folder.text()]);
    assert_eq!(server.get("/get?key=last").body, "last");
    server.case("bindings_of_one_bucket_share_and_others_do_not");
}

/// Goal: a put that was answered is there after `kill -9`, whole, and one that was not is there whole or not
/// at all; what was half written is gone. Method: rounds of puts of one byte repeated over 3 MB to few keys,
/// the host killed at a random moment of each.
#[test]
fn a_host_killed_amid_puts_loses_nothing_and_keeps_no_half() {
    let folder = Folder::new("kill");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let mut seed = now.expect("after 1970").as_nanos() as u64 | 1;
    println!("seed {seed}");
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    const BYTES: usize = 3_000_000;
    let mut acknowledged = [None::<u8>; 3];
    for round in 0..8_u8 {
        let server = Server::start_with(&["r2"], &["--state", folder.text()]);
        for (key, kept) in acknowledged.iter().enumerate() {
            let got = server.get(&format!("/get?key={key}"));
            let Some(kept) = *kept else { continue };
            assert_eq!(got.status, 200, "round {round}, key {key}");
            assert_eq!(got.body.len(), BYTES, "round {round}, key {key}");
            let first = got.body.as_bytes()[0];
            assert!(got.body.bytes().all(|byte| byte == first), "round {round}");
            // The put under way when the host was killed may have come through.
            assert!(first >= kept, "round {round}: {first} is older than {kept}");
        }
        let pid = server.pid();
        let wait = Duration::from_millis(20 + random() % 400);
        let killer = thread::spawn(move || {
            thread::sleep(wait);
            signal(pid, "KILL");
        });
        for step in 0_u8..u8::MAX {
            // Never less than before: it says which of two puts is the later one.
            let byte = b'a' + round * 3 + (step / 3).min(2);
            let key = usize::from(step % 3);
            let path = format!("/put?key={key}");
            match server.try_post(&path, &vec![byte; BYTES]) {
                Ok(reply) if reply.status == 200 => acknowledged[key] = Some(byte),
                _ => break,
            }
        }
        killer.join().expect("the killer does not panic");
    }
    let server = Server::start_with(&["r2"], &["--state", folder.text()]);
    assert_eq!(server.get("/get?key=never").status, 404);
    let files = folder.blobs("shared");
    assert!(files.len() <= 3, "{files:?}");
}

#[test]
fn an_object_passes_through_the_host_in_bounded_memory() {
    let folder = Folder::new("memory");
    let server = Server::start_with(&["r2"], &["--state", folder.text()]);
    server.post("/put?key=small", b"small");
    let before = peak(server.pid());
    let body = vec![b'x'; 192 * 1024 * 1024];
    let put = server.post("/put?key=large", &body);
    assert_eq!(put.status, 200, "{}", put.body);
    let length = server.get("/length?key=large").body;
    assert_eq!(length, body.len().to_string());
    let grown = peak(server.pid()).saturating_sub(before);
    assert!(grown < 48 * 1024, "the host grew by {grown} kB");
}

/// The most memory that a process ever had, in kB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .expect("VmHWM is a number")
}

#[test]
fn two_workers_have_two_buckets_and_old_ones_list_all_metadata() {
    let folder = Folder::new("two");
    {
        let server = Server::start_with(&["r2", "r2-other"], &["--state", folder.text()]);
        assert_eq!(server.post("/put?key=secret", b"of r2").status, 200);
        assert_eq!(server.get("/metadata").body, "null");
        server.terminate();
    }
    let server = Server::start_with(&["r2-other", "r2"], &["--state", folder.text()]);
    for key in ["secret", "../shared/secret", "..%2Fshared.blobs", "%00"] {
        assert_eq!(server.get(&format!("/get?key={key}")).status, 404, "{key}");
    }
    assert_eq!(server.get("/metadata").body, r#"{"c":"1"}"#);
    wait_until("the bucket of the other Worker has its file", || {
        folder.blobs("others").len() == 1
    });
    assert_eq!(folder.blobs("shared").len(), 2);
}

#[test]
fn operators_list_export_import_and_delete_buckets_and_namespaces() {
    let folder = Folder::new("operator");
    {
        let server = Server::start_with(&["r2", "kv"], &["--state", folder.text()]);
        assert_eq!(server.post("/put?key=moved", b"of a bucket").status, 200);
        server.terminate();
    }
    let state = |arguments: &[&str]| {
        let output = std::process::Command::new(mayfly_tests::binary("mayfly"))
            .arg("state")
            .args(arguments)
            .args(["--state", folder.text()])
            .stdin(std::process::Stdio::null())
            .output()
            .expect("mayfly starts");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        (output.status.code(), said)
    };
    wait_until("the server has let go of its folder", || {
        state(&["list"]).0 == Some(0)
    });
    let (_, listed) = state(&["list"]);
    assert!(
        listed.contains("r2:shared  1 entries, 11 bytes"),
        "{listed}"
    );
    assert!(listed.contains("kv:shared  0 entries, 0 bytes"), "{listed}");
    let to = folder.0.join("exported");
    let to = to.to_str().expect("the folder for tests is UTF-8");
    assert_eq!(state(&["export", "r2:shared", to]).0, Some(0));
    let (code, said) = state(&["export", "r2:shared", "id", to]);
    assert_eq!(code, Some(2), "{said}");
    let (code, said) = state(&["import", "r2:shared", to]);
    assert_eq!(code, Some(2), "over what is there: {said}");
    let (code, said) = state(&["delete", "r2:shared"]);
    assert_eq!(code, Some(2), "without a confirmation: {said}");
    assert_eq!(state(&["delete", "r2:shared", "--yes"]).0, Some(0));
    assert!(folder.blobs("shared").is_empty());
    let (code, said) = state(&["delete", "r2:../objects", "--yes"]);
    assert_eq!(code, Some(10), "{said}");
    assert_eq!(state(&["import", "r2:shared", to]).0, Some(0));
    assert_eq!(state(&["delete", "kv:shared", "--yes"]).0, Some(0));
    let server = Server::start_with(&["r2"], &["--state", folder.text()]);
    assert_eq!(server.get("/get?key=moved").body, "of a bucket");
}
