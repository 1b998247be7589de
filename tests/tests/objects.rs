//! Durable Objects, case by case: see `workers/objects/index.js`; what outlives a process; what is there
//! after kills; exact counts under load.

use mayfly_tests::{Server, signal, wait_until, worker};
use std::path::PathBuf;
use std::time::Duration;

const WORKERS: [&str; 2] = ["objects", "objects-other"];

/// A state folder that is removed with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mayfly-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn text(&self) -> &str {
        self.0.to_str().expect("the path is text")
    }

    fn serve(&self) -> Server {
        Server::start_with(&WORKERS, &["--state", self.text()])
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_case_in_memory() {
    Server::start_with(&WORKERS, &["--ephemeral"]).every_case("/");
}

#[test]
fn every_case_on_disk_and_again_after_a_restart() {
    let folder = Folder::new("cases");
    folder.serve().every_case("/");
    folder.serve().every_case("/");
}

#[test]
fn every_case_collecting_always() {
    Server::start_with(&WORKERS, &["--ephemeral", "--collect-always"]).every_case("/");
}

#[test]
fn what_was_stored_is_there_after_a_restart_and_ids_are_the_same() {
    let folder = Folder::new("restart");
    let first = {
        let server = folder.serve();
        let id = server.get("/do/id?name=kept").body;
        for n in 1..=3 {
            assert_eq!(server.get("/do/increment?name=kept").body, n.to_string());
        }
        id
    };
    let server = folder.serve();
    assert_eq!(server.get("/do/id?name=kept").body, first);
    assert_eq!(server.get("/do/increment?name=kept").body, "4");
    assert_eq!(server.get("/do/increment?name=another").body, "1");
}

#[test]
fn an_alarm_fires_although_its_host_ended() {
    let folder = Folder::new("alarm");
    folder.serve().get("/do/ring?name=late&ms=700");
    std::thread::sleep(Duration::from_millis(900));
    let server = folder.serve();
    wait_until("the alarm of before the restart", || {
        server.get("/do/rings?name=late").body == "1"
    });
}

#[test]
fn nothing_is_left_behind_by_an_ephemeral_server() {
    let beside = worker("objects").join(".mayfly");
    let _ = std::fs::remove_dir_all(&beside);
    let server = Server::start_with(&WORKERS, &["--ephemeral"]);
    assert_eq!(server.get("/do/increment?name=gone").body, "1");
    assert!(!beside.exists(), "{}", beside.display());
}

#[test]
fn two_hosts_never_share_a_folder() {
    let folder = Folder::new("shared");
    let _first = folder.serve();
    let second = std::panic::catch_unwind(|| folder.serve());
    assert!(second.is_err(), "a second host serves the same folder");
}

#[test]
fn two_hundred_clients_of_one_object_count_exactly() {
    let folder = Folder::new("clients");
    let server = folder.serve();
    let mut seen: Vec<u32> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..200)
            .map(|_| {
                scope.spawn(|| {
                    (0..5)
                        .map(|_| server.get("/do/increment?name=busy").body.parse().unwrap())
                        .collect::<Vec<u32>>()
                })
            })
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    });
    seen.sort_unstable();
    assert_eq!(seen, (1..=1000).collect::<Vec<_>>());
}

#[test]
fn an_idle_object_ends_and_comes_back_with_what_it_stored() {
    let server = Server::start_with(&WORKERS, &["--ephemeral", "--object-idle-seconds", "1"]);
    assert_eq!(server.get("/do/remember?name=idle").body, "1");
    assert_eq!(server.get("/do/remember?name=idle").body, "2");
    assert_eq!(server.get("/do/increment?name=idle").body, "1");
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(server.get("/do/remember?name=idle").body, "1");
    assert_eq!(server.get("/do/increment?name=idle").body, "2");
}

// ---- kills

/// Rounds of each of the two tests below; a full run sets a thousand.
fn rounds() -> u64 {
    let given = std::env::var("MAYFLY_CRASH_ROUNDS").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(6)
}

/// Numbers from a seed that is printed, so that a failure can be had again.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let fresh = now.map_or(1, |since| since.as_nanos() as u64);
        let given = std::env::var("MAYFLY_CRASH_SEED").ok();
        let seed = given.and_then(|text| text.parse().ok()).unwrap_or(fresh);
        println!("MAYFLY_CRASH_SEED={seed}");
        Self(seed | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What clients were told of one object: numbers that were acknowledged, and those that were sent.
#[derive(Default)]
struct Told {
    acknowledged: Vec<u64>,
    sent: u64,
}

/// Writes to `name` until an answer fails; each write is a pair in two tables and an alarm.
fn write_until_it_fails(server: &Server, name: &str, told: &mut Told) {
    for _ in 0..400 {
        let n = told.sent;
        told.sent += 1;
        match server.try_get(&format!("/do/pair?name={name}&n={n}")) {
            Ok(reply) if reply.status == 200 => told.acknowledged.push(n),
            _ => return,
        }
    }
}

/// Every acknowledged pair is there, and no pair is half there.
fn check(server: &Server, name: &str, told: &Told) {
    let body = server.get(&format!("/do/pairs?name={name}")).body;
    let (left, right): (Vec<u64>, Vec<u64>) =
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    assert_eq!(left, right, "{name}: half of a turn is there");
    for n in &told.acknowledged {
        assert!(
            left.binary_search(n).is_ok(),
            "{name}: {n} was acknowledged and is gone"
        );
    }
    for n in &left {
        assert!(*n < told.sent, "{name}: {n} was never sent");
    }
}

const WRITERS: [&str; 3] = ["one", "two", "three"];

fn write_and_kill(
    server: &Server,
    told: &mut [Told; 3],
    chance: &mut Chance,
    pid: impl Fn() -> Option<u32>,
) {
    let pause = Duration::from_millis(chance.below(60));
    std::thread::scope(|scope| {
        for (name, told) in WRITERS.iter().zip(told.iter_mut()) {
            scope.spawn(move || write_until_it_fails(server, name, told));
        }
        std::thread::sleep(pause);
        if let Some(pid) = pid() {
            signal(pid, "KILL");
        }
    });
}

#[test]
fn kills_of_the_guest_lose_nothing_that_was_acknowledged() {
    let folder = Folder::new("guest-kills");
    let server = Server::start_observed(&WORKERS, &["--state", folder.text()]);
    let mut chance = Chance::new();
    let mut told: [Told; 3] = Default::default();
    for _ in 0..rounds() {
        server.get("/do/increment?name=warm");
        write_and_kill(&server, &mut told, &mut chance, || {
            server.guests_of("objects").last().copied()
        });
        for (name, told) in WRITERS.iter().zip(&told) {
            check(&server, name, told);
        }
    }
}

#[test]
fn kills_of_the_host_lose_nothing_that_was_acknowledged() {
    let folder = Folder::new("host-kills");
    let mut chance = Chance::new();
    let mut told: [Told; 3] = Default::default();
    for _ in 0..rounds() {
        let mut server = folder.serve();
        for (name, told) in WRITERS.iter().zip(&told) {
            check(&server, name, told);
        }
        let pid = server.pid();
        write_and_kill(&server, &mut told, &mut chance, || Some(pid));
        server.wait();
    }
    let server = folder.serve();
    for (name, told) in WRITERS.iter().zip(&told) {
        check(&server, name, told);
        // Every fifth write set one.
        if told.acknowledged.iter().any(|n| n % 5 == 0) {
            wait_until("an alarm that was set before a kill", || {
                server.get(&format!("/do/rung?name={name}")).body == "true"
            });
        }
    }
}

#[test]
fn operators_list_export_import_and_delete() {
    let folder = Folder::new("operator");
    let id = {
        let server = folder.serve();
        for _ in 0..3 {
            server.get("/do/increment?name=moved");
        }
        server.get("/do/id?name=moved").body
    };
    let state = |arguments: &[&str]| {
        let output = std::process::Command::new(mayfly_tests::binary("mayfly"))
            .arg("state")
            .args(arguments)
            .args(["--state", folder.text()])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let (code, listed, _) = state(&["list"]);
    assert_eq!(code, Some(0));
    assert!(listed.contains("objects/Room"), "{listed}");
    assert!(listed.contains(&id), "{listed}");
    let file = folder.0.join("moved");
    let file = file.to_str().unwrap();
    assert_eq!(state(&["export", "objects/Room", &id, file]).0, Some(0));
    let (code, _, said) = state(&["delete", "objects/Room", &id]);
    assert_eq!(code, Some(2), "without a confirmation: {said}");
    assert_eq!(state(&["delete", "objects/Room", &id, "--yes"]).0, Some(0));
    assert!(!state(&["list"]).1.contains(&id));
    assert_eq!(state(&["import", "objects/Room", &id, file]).0, Some(0));
    let (code, _, said) = state(&["import", "objects/Room", &id, file]);
    assert_eq!(code, Some(2), "over what is there: {said}");
    let (code, _, said) = state(&["delete", "objects/Nothing", &id, "--yes"]);
    assert_eq!(code, Some(10), "{said}");
    let server = folder.serve();
    assert_eq!(server.get("/do/increment?name=moved").body, "4");
    let (code, _, said) = state(&["list"]);
    assert_eq!(code, Some(10), "while a host runs: {said}");
}
