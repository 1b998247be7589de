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
    /// This project.
    Mayfly,
    /// Cloudflare's open runtime, from npm.
    Workerd,
}

impl Peer {
    /// As the table names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mayfly => "mayfly",
            Self::Workerd => "workerd",
        }
    }
}

/// A started system; killed when dropped.
pub struct Running {
    child: Child,
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
        };
        Self::start_command(peer, command, port, arguments)
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
    let folder = scratch()?.join("peers");
    let binary = folder.join("node_modules/@cloudflare/workerd-linux-64/bin/workerd");
    if !binary.exists() {
        install_workerd(&folder)?;
    }
    let config = scratch()?.join("workerd.capnp");
    let target = scratch()?;
    ["index.js", "web.js"]
        .iter()
        .try_for_each(|name| {
            std::fs::copy(self::folder("worker").join(name), target.join(name)).map(|_| ())
        })
        .and_then(|()| std::fs::write(&config, workerd_config(port)))
        .map_err(|e| format!("write workerd's config: {e}"))?;
    let mut command = Command::new(binary);
    command.arg("serve").arg(config).arg("--experimental");
    Ok(command)
}

fn install_workerd(folder: &Path) -> Result<(), String> {
    eprintln!("installing workerd from npm");
    std::fs::create_dir_all(folder).map_err(|e| e.to_string())?;
    let status = Command::new("npm")
        .args([
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
        ])
        .arg(folder)
        .arg("workerd")
        .stdout(Stdio::null())
        .status()
        .map_err(|e| format!("run npm: {e}"))?;
    status
        .success()
        .then_some(())
        .ok_or_else(|| "npm could not install workerd".to_owned())
}

fn workerd_config(port: u16) -> String {
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "bench", worker = (
    modules = [(name = "index.js", esModule = embed "index.js"),
               (name = "web.js", esModule = embed "web.js")],
    compatibilityDate = "2026-01-01",
    compatibilityFlags = ["rpc", "experimental", "enable_ctx_exports"],
    bindings = [(name = "LOADER", workerLoader = ())]))],
  sockets = [(name = "http", address = "127.0.0.1:{port}", http = (), service = "bench")]);
"#
    )
}
