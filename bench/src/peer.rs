//! The systems under test: how each is installed, configured and started. All run `worker/` as it
//! stands.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a system may take until it accepts connections.
const START_MAX: Duration = Duration::from_secs(30);

/// One of the systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Cloudflare's open runtime, from npm.
    Workerd,
    /// This project.
    Mayfly,
    /// V8 isolates in one Node.js process.
    IsolatedVm,
    /// An interpreter in Wasm in one Node.js process.
    QuickJs,
    /// `node:vm` in a forked Node.js each.
    NodeVm,
}

impl Peer {
    /// All, in the order of the table.
    pub const ALL: [Self; 5] = [
        Self::Workerd,
        Self::Mayfly,
        Self::IsolatedVm,
        Self::QuickJs,
        Self::NodeVm,
    ];

    /// As the table names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Workerd => "workerd",
            Self::Mayfly => "mayfly",
            Self::IsolatedVm => "isolated-vm",
            Self::QuickJs => "quickjs",
            Self::NodeVm => "node-vm",
        }
    }

    /// What its column can be compared with.
    pub fn remark(self) -> &'static str {
        match self {
            Self::Workerd => "runs worker/index.js as it stands; Workers share one process",
            Self::Mayfly => "runs worker/index.js as it stands; each Worker is a sealed process",
            Self::IsolatedVm => {
                "no Workers runtime: the child is a function without Request, streams or RPC, the parent \
                 plain Node.js; isolates share one process"
            }
            Self::QuickJs => {
                "as isolated-vm; an interpreter without a JIT, so its CPU figures are not comparable; its call \
                 is a call of a function, without a copy of the arguments"
            }
            Self::NodeVm => {
                "as isolated-vm; a process each, without a sandbox around it, started from scratch each time"
            }
        }
    }

    /// Whether it runs Workers, so that every case is the same job.
    pub fn is_runtime(self) -> bool {
        matches!(self, Self::Workerd | Self::Mayfly)
    }

    /// How much less of everything it does: those that start a process for each load would take
    /// most of the run.
    pub fn share(self) -> usize {
        match self {
            Self::Workerd | Self::Mayfly => 1,
            Self::IsolatedVm | Self::QuickJs => 4,
            Self::NodeVm => 20,
        }
    }
}

/// A started system; killed when dropped.
pub struct Running {
    child: Child,
    /// What it is.
    pub peer: Peer,
    /// Where it listens.
    pub port: u16,
    /// Until the first answer, from the start of the process.
    pub start: Duration,
    /// `MemAvailable` before it started, in KiB.
    pub available_before_kib: u64,
}

impl Running {
    /// Starts `peer` on a free port and waits for its first answer.
    pub fn start(peer: Peer, arguments: &[&str]) -> Result<Self, String> {
        let port = free_port()?;
        let command = match peer {
            Peer::Mayfly => mayfly(port, None, &[&folder("worker").join("wrangler.jsonc")])?,
            Peer::Workerd => workerd(port)?,
            Peer::IsolatedVm | Peer::QuickJs | Peer::NodeVm => library(peer, port)?,
        };
        Self::start_command(peer, command, port, arguments)
    }

    /// Starts `peer` with the Durable Objects of `worker/objects.js`, on an empty disk.
    pub fn start_objects(peer: Peer) -> Result<Self, String> {
        let port = free_port()?;
        let state = scratch()?.join(format!("{}-objects", peer.name()));
        match std::fs::remove_dir_all(&state) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(format!("empty {}: {error}", state.display()));
            }
            _ => {}
        }
        std::fs::create_dir_all(&state).map_err(|e| format!("make {}: {e}", state.display()))?;
        let mut command = match peer {
            Peer::Mayfly => {
                let mut command = mayfly(port, None, &[&folder("worker").join("objects.jsonc")])?;
                // None may end while they are counted.
                command.args(["--object-idle-seconds", "3600"]);
                command.arg("--state").arg(&state);
                command
            }
            Peer::Workerd => workerd_by("objects.capnp", &workerd_objects(port, &state))?,
            Peer::IsolatedVm | Peer::QuickJs | Peer::NodeVm => {
                return Err("has no Durable Objects".to_owned());
            }
        };
        if peer == Peer::Workerd {
            command.arg("--experimental");
        }
        Self::start_command(peer, command, port, &[])
    }

    /// Starts Mayfly with other Workers, the first of which answers `/hello`.
    pub fn start_mayfly(configs: &[&PathBuf], arguments: &[&str]) -> Result<Self, String> {
        Self::start_mayfly_by(None, configs, arguments)
    }

    /// The same by another program, which is given Mayfly's command line.
    pub fn start_mayfly_by(
        wrapper: Option<&str>,
        configs: &[&PathBuf],
        arguments: &[&str],
    ) -> Result<Self, String> {
        let port = free_port()?;
        let command = mayfly(port, wrapper, configs)?;
        Self::start_command(Peer::Mayfly, command, port, arguments)
    }

    fn start_command(
        peer: Peer,
        mut command: Command,
        port: u16,
        arguments: &[&str],
    ) -> Result<Self, String> {
        let available_before_kib = crate::memory::available_kib();
        let log = std::fs::File::create(scratch()?.join(format!("{}.log", peer.name())))
            .map_err(|e| format!("create the log: {e}"))?;
        let errors = log.try_clone().map_err(|e| e.to_string())?;
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        let began = Instant::now();
        let child = command
            .spawn()
            .map_err(|e| format!("start {}: {e}", peer.name()))?;
        let mut running = Self {
            child,
            peer,
            port,
            start: Duration::ZERO,
            available_before_kib,
        };
        running.wait_for_answer(peer, began)?;
        running.start = began.elapsed();
        Ok(running)
    }

    fn wait_for_answer(&mut self, peer: Peer, began: Instant) -> Result<(), String> {
        while began.elapsed() < START_MAX {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("{} ended with {status}; see its log", peer.name()));
            }
            let answered = TcpStream::connect(("127.0.0.1", self.port)).is_ok()
                && crate::http::Connection::open(self.port)
                    .and_then(|mut connection| connection.get("/hello"))
                    .is_ok();
            if answered {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(format!(
            "{} does not answer after {START_MAX:?}",
            peer.name()
        ))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, through the shell's `kill`.
    pub fn signal(&self, name: &str) -> Result<(), String> {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()
            .map_err(|error| format!("run kill: {error}"))?;
        status
            .success()
            .then_some(())
            .ok_or_else(|| format!("kill -{name} {} failed", self.pid()))
    }

    /// Ends it at once and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end and waits until it has.
    pub fn terminate(&mut self) -> Result<(), String> {
        self.signal("TERM")?;
        self.child
            .wait()
            .map(drop)
            .map_err(|error| error.to_string())
    }

    /// Whether it is still running.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have died under the load; that is a result, not a fault of this bench.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where logs, peers and results go: outside the checkout, kept between runs.
pub fn scratch() -> Result<PathBuf, String> {
    let home = std::env::var_os("HOME").ok_or("HOME is not set")?;
    let folder = Path::new(&home).join(".cache/mayfly/bench");
    std::fs::create_dir_all(&folder).map_err(|e| format!("create {}: {e}", folder.display()))?;
    Ok(folder)
}

fn free_port() -> Result<u16, String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    listener
        .local_addr()
        .map(|address| address.port())
        .map_err(|e| e.to_string())
}

/// A folder of Workers beside this bench's sources.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn mayfly(port: u16, wrapper: Option<&str>, configs: &[&PathBuf]) -> Result<Command, String> {
    let binary = built("mayfly")?;
    let mut command = match wrapper {
        None => Command::new(binary),
        Some(wrapper) => {
            let mut command = Command::new(built(wrapper)?);
            command.arg(binary);
            command
        }
    };
    command.arg("serve");
    for config in configs {
        command.arg("--config").arg(config);
    }
    command.arg("--listen").arg(format!("127.0.0.1:{port}"));
    Ok(command)
}

/// A binary that was built with this one.
fn built(name: &str) -> Result<PathBuf, String> {
    let here = std::env::current_exe().map_err(|e| e.to_string())?;
    let binary = here.with_file_name(name);
    match binary.exists() {
        true => Ok(binary),
        false => Err(format!(
            "{} is missing: run `cargo build --release --bins --examples`",
            binary.display()
        )),
    }
}

fn workerd(port: u16) -> Result<Command, String> {
    let mut command = workerd_by("workerd.capnp", &workerd_config(port))?;
    command.arg("--experimental");
    Ok(command)
}

/// Serves a configuration, written to a file of this name.
fn workerd_by(name: &str, text: &str) -> Result<Command, String> {
    let binary = packages()?.join("node_modules/@cloudflare/workerd-linux-64/bin/workerd");
    if !binary.exists() {
        install("workerd", &[])?;
    }
    let config = scratch()?.join(name);
    for file in ["index.js", "objects.js", "cpu.js", "web.js", "sum.wasm"] {
        std::fs::copy(self::folder("worker").join(file), scratch()?.join(file))
            .map_err(|e| format!("copy {file}: {e}"))?;
    }
    std::fs::write(&config, text).map_err(|e| format!("write its config: {e}"))?;
    let mut command = Command::new(binary);
    command.arg("serve").arg(config);
    Ok(command)
}

/// A library for Node.js behind `peers/server.mjs`.
fn library(peer: Peer, port: u16) -> Result<Command, String> {
    let package = match peer {
        Peer::IsolatedVm => Some("isolated-vm"),
        Peer::QuickJs => Some("quickjs-emscripten"),
        _ => None,
    };
    if let Some(package) = package
        && !packages()?.join("node_modules").join(package).exists()
    {
        // It brings a native module that its own script fetches or builds.
        let scripts: &[&str] = if peer == Peer::IsolatedVm {
            &["isolated-vm"]
        } else {
            &[]
        };
        install(package, scripts)?;
    }
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/server.mjs");
    let mut command = Command::new("node");
    // V8 takes snapshots apart otherwise, which isolated-vm does not survive.
    command.arg("--no-node-snapshot").arg(server);
    command
        .args([peer.name(), &port.to_string()])
        .arg(packages()?);
    Ok(command)
}

fn packages() -> Result<PathBuf, String> {
    Ok(scratch()?.join("peers"))
}

/// Installs a package; only those in `with_scripts` may run a script of theirs.
fn install(package: &str, with_scripts: &[&str]) -> Result<(), String> {
    let folder = packages()?;
    eprintln!("installing {package} from npm");
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let mut command = Command::new("npm");
    command.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
    command.arg(&folder);
    if with_scripts.is_empty() {
        command.arg("--ignore-scripts");
    }
    let status = command
        .arg(package)
        .stdout(Stdio::null())
        .status()
        .map_err(|e| format!("run npm: {e}"))?;
    status
        .success()
        .then_some(())
        .ok_or_else(|| format!("npm could not install {package}"))
}

/// The version of a system, for the record.
pub fn version(peer: Peer) -> String {
    let package = match peer {
        Peer::Mayfly => return env!("CARGO_PKG_VERSION").to_owned(),
        Peer::NodeVm => {
            let output = Command::new("node").arg("--version").output();
            let text =
                output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
            return text.unwrap_or_default();
        }
        Peer::Workerd => "workerd",
        Peer::IsolatedVm => "isolated-vm",
        Peer::QuickJs => "quickjs-emscripten",
    };
    let file = packages().map(|folder| {
        folder
            .join("node_modules")
            .join(package)
            .join("package.json")
    });
    let text = file
        .ok()
        .and_then(|file| std::fs::read_to_string(file).ok());
    text.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
        .and_then(|json| Some(json.get("version")?.as_str()?.to_owned()))
        .unwrap_or_else(|| "not installed".to_owned())
}

fn workerd_objects(port: u16, state: &Path) -> String {
    let state = state.display();
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "bench", worker = (
      modules = [(name = "objects.js", esModule = embed "objects.js")],
      compatibilityDate = "2026-01-01",
      durableObjectNamespaces = [
        (className = "Bench", uniqueKey = "bench", enableSql = true, preventEviction = true),
        (className = "Light", uniqueKey = "light", enableSql = true, preventEviction = true)],
      durableObjectStorage = (localDisk = "state"),
      bindings = [
        (name = "BENCH", durableObjectNamespace = "Bench"),
        (name = "LIGHT", durableObjectNamespace = "Light")])),
    (name = "state", disk = (path = "{state}", writable = true))],
  sockets = [(name = "http", address = "127.0.0.1:{port}", http = (), service = "bench")]);
"#
    )
}

fn workerd_config(port: u16) -> String {
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "bench", worker = (
    modules = [
      (name = "index.js", esModule = embed "index.js"),
      (name = "cpu.js", esModule = embed "cpu.js"),
      (name = "web.js", esModule = embed "web.js"),
      (name = "sum.wasm", wasm = embed "sum.wasm")],
    compatibilityDate = "2026-01-01",
    compatibilityFlags = ["rpc", "experimental", "enable_ctx_exports"],
    bindings = [(name = "LOADER", workerLoader = ())]))],
  sockets = [(name = "http", address = "127.0.0.1:{port}", http = (), service = "bench")]);
"#
    )
}
