//! The end-to-end harness: starts the real `mayfly` on a free port and speaks HTTP to it.
//!
//! Workers under test live in `tests/workers/<name>/`; each answers `GET /<case>` with `ok` or with
//! the error that case met, so that a failing case reads like a failing unit test. The binaries
//! are the ones beside the test's own (`cargo build --release` first; `make test` does).
//!
//! Invariant: a server is killed with its guests when the value is dropped, also by a panic.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a server may take until it listens. Generous: the machine may be busy with a build.
const START_MAX: Duration = Duration::from_secs(30);

/// How long one request may take. What hangs is to fail; what is to be soon is measured by its test.
const REQUEST_MAX: Duration = Duration::from_secs(120);

/// How long [`wait_until`] waits, with the same reason.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A running `mayfly serve`.
pub struct Server {
    child: Child,
    port: u16,
    output: Arc<Mutex<String>>,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case, in order of arrival.
    pub headers: Vec<(String, String)>,
    /// The whole body, lossily as text.
    pub body: String,
}

/// The folder of the Worker `name`.
pub fn worker(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("workers")
        .join(name)
}

/// The binary `name` that was built with this test.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test
        .ancestors()
        .nth(2)
        .expect("tests run from <target>/<profile>/deps");
    let path = folder.join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --release --workspace --bins --examples` first",
        path.display()
    );
    path
}

impl Server {
    /// Serves the Workers of `tests/workers/<name>`, the first one in front.
    pub fn start(workers: &[&str]) -> Self {
        Self::start_with(workers, &[])
    }

    /// As [`Self::start`], with more arguments for `mayfly serve`.
    pub fn start_with(workers: &[&str], arguments: &[&str]) -> Self {
        Self::start_configs(&configs(workers), arguments)
    }

    /// As [`Self::start_with`], with these variables in the host's environment.
    pub fn start_in(workers: &[&str], arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary("mayfly"));
        command.envs(variables.iter().copied());
        Self::start_command(command, &configs(workers), arguments)
    }

    /// As [`Self::start_with`], and says in its output which guests start: for
    /// [`Self::guests`].
    pub fn start_observed(workers: &[&str], arguments: &[&str]) -> Self {
        let mut command = Command::new(binary("mayfly"));
        command.env("MAYFLY_LOG", "mayfly_supervisor=debug");
        let arguments = [arguments, &["--log", "json"]].concat();
        Self::start_command(command, &configs(workers), &arguments)
    }

    /// Serves these configuration files.
    pub fn start_configs(configs: &[PathBuf], arguments: &[&str]) -> Self {
        Self::start_command(Command::new(binary("mayfly")), configs, arguments)
    }

    /// Serves a configuration file with these environment variables.
    pub fn start_config_in(config: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary("mayfly"));
        command.envs(variables.iter().copied());
        Self::start_command(command, &[config.to_owned()], arguments)
    }

    fn start_command(mut command: Command, configs: &[PathBuf], arguments: &[&str]) -> Self {
        command.arg("serve");
        for config in configs {
            command.arg("--config").arg(config);
        }
        command.args(["--listen", "127.0.0.1:0"]).args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("mayfly starts");
        let output = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take().expect("stdout is piped"), &output);
        collect(child.stderr.take().expect("stderr is piped"), &output);
        let mut server = Self {
            child,
            port: 0,
            output,
        };
        server.port = server.wait_for_port();
        server
    }

    fn wait_for_port(&mut self) -> u16 {
        let began = Instant::now();
        while began.elapsed() < START_MAX {
            if let Some(port) = port_in(&self.output()) {
                return port;
            }
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                panic!("mayfly ended with {status}:\n{}", self.output());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!(
            "mayfly does not listen after {START_MAX:?}:\n{}",
            self.output()
        );
    }

    /// Everything it printed so far.
    pub fn output(&self) -> String {
        self.output.lock().expect("no printer panics").clone()
    }

    /// Waits until it has printed `text`.
    pub fn wait_for_output(&self, text: &str) {
        wait_until(&format!("{text:?} in the output"), || {
            self.output().contains(text)
        });
    }

    /// Where it listens.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Where its admin listener is; started with `--admin 127.0.0.1:0`.
    pub fn admin(&self) -> String {
        let output = self.output();
        let line = output
            .lines()
            .find_map(|line| line.trim().strip_prefix("admin "));
        line.expect("an admin listener is announced")
            .trim()
            .to_owned()
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `GET path`.
    pub fn get(&self, path: &str) -> Reply {
        self.try_get(path)
            .unwrap_or_else(|error| panic!("GET {path}: {error}\n{}", self.output()))
    }

    /// `GET path`, or why the exchange failed.
    pub fn try_get(&self, path: &str) -> Result<Reply, String> {
        let answer = agent()
            .get(self.url(path))
            .call()
            .map_err(|error| error.to_string())?;
        reply(answer)
    }

    /// `GET path` with headers.
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = agent().get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.call().map_err(|error| error.to_string());
        answer
            .and_then(reply)
            .unwrap_or_else(|error| panic!("GET {path}: {error}\n{}", self.output()))
    }

    /// `POST path` with a body, or why the exchange failed.
    pub fn try_post(&self, path: &str, body: &[u8]) -> Result<Reply, String> {
        let answer = agent().post(self.url(path)).send(body);
        answer.map_err(|error| error.to_string()).and_then(reply)
    }

    /// `POST path` with a body.
    pub fn post(&self, path: &str, body: &[u8]) -> Reply {
        self.try_post(path, body)
            .unwrap_or_else(|error| panic!("POST {path}: {error}\n{}", self.output()))
    }

    /// Runs one case of a Worker made with `workers/kit`.
    pub fn case(&self, name: &str) {
        let reply = self.get(&format!("/{name}"));
        let said = self.output();
        assert!(
            reply.status == 200 && reply.body == "ok",
            "{name}: {} {}\n--- output\n{said}",
            reply.status,
            reply.body
        );
    }

    /// Runs every case that the Worker lists at `folder`, one after another, and gathers what failed.
    pub fn every_case(&self, folder: &str) {
        let names: Vec<String> =
            serde_json::from_str(&self.get(folder).body).expect("the Worker lists its cases");
        let failures: Vec<String> = names
            .iter()
            .map(|name| (name, self.get(&format!("{folder}{name}"))))
            .filter(|(_, reply)| reply.status != 200 || reply.body != "ok")
            .map(|(name, reply)| format!("{name}: {} {}", reply.status, reply.body))
            .collect();
        assert!(!names.is_empty());
        assert!(
            failures.is_empty(),
            "{} of {} failed\n{}\n--- output\n{}",
            failures.len(),
            names.len(),
            failures.join("\n"),
            self.output()
        );
    }

    /// The Workers that were started so far and their processes, in order, ended ones included. A
    /// dynamic one is called `<loader binding>/<id>`. Only of [`Self::start_observed`].
    pub fn guests(&self) -> Vec<(String, u32)> {
        let started = |line: &str| {
            let event: serde_json::Value = serde_json::from_str(line).ok()?;
            let pid = u32::try_from(event["pid"].as_u64()?).ok()?;
            let worker = event["worker"].as_str()?.to_owned();
            (event["message"] == "a guest started").then_some((worker, pid))
        };
        self.output().lines().filter_map(started).collect()
    }

    /// The processes among [`Self::guests`] that became `worker`.
    pub fn guests_of(&self, worker: &str) -> Vec<u32> {
        let guests = self.guests().into_iter();
        guests
            .filter_map(|(name, pid)| (name == worker).then_some(pid))
            .collect()
    }

    /// Processes below the host, zygotes included.
    pub fn descendants(&self) -> BTreeSet<u32> {
        descendants_of(self.pid())
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        signal(self.pid(), "TERM");
    }

    /// Waits for the host to end and gives its exit code; `None` after a signal.
    pub fn wait(&mut self) -> Option<i32> {
        let began = Instant::now();
        while began.elapsed() < REQUEST_MAX {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("mayfly is still running:\n{}", self.output());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; there is nothing to do about a failure here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal by its name, through the shell's `kill`.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "kill -{name} {pid}"
    );
}

/// Polls `condition` for at most ten seconds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < WAIT_MAX, "waited {WAIT_MAX:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The processes that `parent` forked and that have not ended.
pub fn children_of(parent: u32) -> BTreeSet<u32> {
    parents()
        .into_iter()
        .filter_map(|(pid, of)| (of == parent).then_some(pid))
        .collect()
}

/// Whether the process exists, also as a zombie.
pub fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// All processes whose ancestry leads to `root`.
pub fn descendants_of(root: u32) -> BTreeSet<u32> {
    let parents = parents();
    let leads_to_root = |mut pid: u32| {
        while let Some((_, parent)) = parents.iter().find(|(child, _)| *child == pid) {
            if *parent == root {
                return true;
            }
            pid = *parent;
        }
        false
    };
    parents
        .iter()
        .map(|(pid, _)| *pid)
        .filter(|pid| leads_to_root(*pid))
        .collect()
}

fn configs(workers: &[&str]) -> Vec<PathBuf> {
    workers
        .iter()
        .map(|name| worker(name).join("wrangler.jsonc"))
        .collect()
}

fn parents() -> Vec<(u32, u32)> {
    let entries = std::fs::read_dir("/proc").expect("procfs is mounted");
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let after_name = stat.rsplit_once(')')?.1;
            Some((pid, after_name.split_whitespace().nth(1)?.parse().ok()?))
        })
        .collect()
}

fn port_in(output: &str) -> Option<u16> {
    // In JSON form the line that says so is one object; an admin listener's address comes after it,
    // in pretty form before it.
    let said = output
        .find("listening on ")
        .or_else(|| output.find("\"kind\":\"listening\""))?;
    let rest = output[said..].split("\"url\":\"").last()?;
    let rest = rest.split("http://127.0.0.1:").nth(1)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    // The line may still be arriving; wait for whatever follows the number.
    (rest.len() > digits.len())
        .then(|| digits.parse().ok())
        .flatten()
}

fn collect(stream: impl Read + Send + 'static, into: &Arc<Mutex<String>>) {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut text = into.lock().expect("no printer panics");
            text.push_str(&line);
            text.push('\n');
        }
    });
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(REQUEST_MAX))
        .http_status_as_error(false)
        .max_redirects(0)
        .build()
        .into()
}

fn reply(answer: ureq::http::Response<ureq::Body>) -> Result<Reply, String> {
    let status = answer.status().as_u16();
    let headers = answer
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into(),
            )
        })
        .collect();
    let bytes = answer
        .into_body()
        .read_to_vec()
        .map_err(|error| error.to_string())?;
    Ok(Reply {
        status,
        headers,
        body: String::from_utf8_lossy(&bytes).into_owned(),
    })
}

/// Declares one test per case of a Worker, and one that no case of it is left out.
#[macro_export]
macro_rules! cases {
    ($workers:expr, $arguments:expr; $($case:ident,)*) => {
        $(
            #[test]
            fn $case() {
                $crate::Server::start_with(&$workers, &$arguments).case(stringify!($case));
            }
        )*

        #[test]
        fn every_case_of_the_worker_is_a_test() {
            let server = $crate::Server::start_with(&$workers, &$arguments);
            let listed: Vec<String> = serde_json::from_str(&server.get("/").body).unwrap();
            assert_eq!(listed, [$(stringify!($case)),*]);
        }
    };
}
