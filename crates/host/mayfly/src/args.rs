//! The command line as it was typed.
//!
//! clap checks its form; what the words mean (does the file exist, is the port free) is checked by
//! the commands. The help texts here are the manual that everybody reads first.

pub mod d1;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use mayfly_bindings::AllowRule;

const EXAMPLES: &str = "\
Examples:
  Serve one Worker:
    mayfly serve --config wrangler.jsonc
  Several Workers; the first one gets the requests, the others are its services:
    mayfly serve -c front/wrangler.jsonc -c api/wrangler.jsonc --listen 0.0.0.0:8080
  One environment of a configuration, with the secrets in a file:
    mayfly serve -c wrangler.jsonc --env staging --env-file staging.secrets
  Run one module once:
    mayfly run hello.js
  Follow what fails, and see what it all used:
    mayfly serve -c wrangler.jsonc --admin 8788 --state state
    mayfly tail --status error
    mayfly usage --state state --by id

Exit codes:
  0 done      1 the Worker threw      2 usage      3 invalid configuration
  4 a file is missing or unreadable   5 cannot listen, such as a port in use
  6 mayfly-guest is missing or of another version  7 no sandbox on this machine
  8 layers of the sandbox are missing (doctor)  9 no running host answers
  10 the state folder cannot be used, such as one in use
  11 SQL failed, and nothing of it happened (d1)
  70 a fault of Mayfly itself

Environment:
  MAYFLY_LOG  what mayfly logs about itself: error, warn (default), info, debug, or
              filters such as mayfly::http=debug, which shows every request";

/// Runs Workers on your own machine, each in a sandboxed process, and lets them start others.
#[derive(Debug, Parser)]
#[command(name = "mayfly", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve Workers over HTTP until told to stop
    Serve(ServeArgs),
    /// Run one module once: its fetch handler with GET /, or the script itself
    Run(RunArgs),
    /// Follow the invocations of a running host: what was asked, what was logged, how it ended
    Tail(TailArgs),
    /// What Workers used, by month, with what that would cost
    Usage(UsageArgs),
    /// Try which layers of the sandbox this machine gives
    Doctor(DoctorArgs),
    /// List, copy and delete what Durable Objects, KV, D1 and R2 stored, while no server runs
    State(StateCommandArgs),
    /// Run SQL and migrations on a D1 database, while no server runs
    D1(d1::D1Args),
}

/// `mayfly serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// A wrangler.jsonc, .json or .toml; may be given several times, the first Worker is in front
    #[arg(short, long, required = true, value_name = "FILE")]
    pub config: Vec<PathBuf>,

    /// Read the configurations for this environment of theirs (env.NAME)
    #[arg(short, long, value_name = "NAME", value_parser = environment)]
    pub env: Option<String>,

    /// Files of secrets, NAME=VALUE a line, for every Worker; the first that has a name counts
    /// [default: .dev.vars.ENV or .dev.vars beside each configuration, else .env and its kin]
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,

    /// Where to listen for HTTP/1.1 and HTTP/2 (h2c); port 0 takes a free one
    #[arg(short, long, default_value = "127.0.0.1:8787", value_name = "ADDR", value_parser = listen_address)]
    pub listen: SocketAddr,

    /// How long requests under way may take to finish after SIGTERM or Ctrl-C; a second signal
    /// ends them at once
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    pub grace: u64,

    /// What a client sees of an error
    #[arg(long, default_value = "auto", value_name = "WHAT")]
    pub errors: Errors,

    /// Where to answer /healthz, /metrics (Prometheus) and `mayfly tail`; a port alone is one of
    /// this machine's only, and whoever reaches the address can read what Workers log
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    pub admin: Option<SocketAddr>,

    /// Where state lives.
    #[command(flatten)]
    pub state: StateArgs,

    /// Run the first Worker's scheduled() at a request for /cdn-cgi/handler/scheduled, with ?cron=
    /// and ?time= (milliseconds) where given: for tests
    #[arg(long)]
    pub test_scheduled: bool,

    /// How Workers run.
    #[command(flatten)]
    pub runtime: RuntimeArgs,

    /// When idle Workers end.
    #[command(flatten)]
    pub eviction: EvictionArgs,
}

/// How long Workers with nothing to do are kept. A Worker that is ended loses the state of its
/// module; the next call loads it again. One with a request under way is never ended by these.
#[derive(Debug, Args)]
#[command(next_help_heading = "When idle Workers end, the longest idle first")]
pub struct EvictionArgs {
    /// How many Workers may be in processes at once; when more are called, idle ones end and, where
    /// none is idle, the call waits [default: 4096]
    #[arg(long, value_name = "N", value_parser = count)]
    pub guests_max: Option<usize>,

    /// Memory that all Workers together may take before idle ones end, such as 512MiB or 8G
    /// [default: half of what is free at the start]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub memory_max: Option<u64>,

    /// How long a Worker may be idle [default: 300]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub idle_seconds: Option<Duration>,

    /// How long a Durable Object may be idle before its instance ends [default: 70]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub object_idle_seconds: Option<Duration>,

    /// Guests that one Worker's Durable Objects are spread over [default: one for each core, 2 at least]
    #[arg(long, value_name = "COUNT", value_parser = count)]
    pub object_guests: Option<usize>,
}

/// Where state lives.
#[derive(Debug, Args)]
pub struct StateArgs {
    /// The folder of what Durable Objects store [default: .mayfly/state beside the first
    /// configuration]. Where it is given, what Workers use is counted there too
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    pub state: Option<PathBuf>,

    /// Keep it in memory: nothing is left behind
    #[arg(long)]
    pub ephemeral: bool,
}

/// `mayfly state`.
#[derive(Debug, Args)]
pub struct StateCommandArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: StateCommand,

    /// The folder of the state
    #[arg(
        long,
        global = true,
        default_value = ".mayfly/state",
        value_name = "DIR"
    )]
    pub state: PathBuf,
}

/// What may be done with state.
#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// Namespaces and their objects, KV namespaces, D1 databases, buckets, and what these take
    List,
    /// Copy an object and its facets, a KV namespace, a D1 database or a bucket into a folder
    Export {
        /// WORKER/CLASS with an id, or kv:ID, d1:ID, or r2:BUCKET
        namespace: String,
        /// Of an object: 64 hexadecimal digits, or name:NAME. Then the folder to make
        #[arg(num_args = 1..=2, required = true, value_name = "[ID] FOLDER")]
        rest: Vec<String>,
    },
    /// Copy what was exported in, where there is none of that name
    Import {
        /// WORKER/CLASS with an id, or kv:ID, d1:ID, or r2:BUCKET
        namespace: String,
        /// Of an object: 64 hexadecimal digits, or name:NAME. Then the folder that `export` made
        #[arg(num_args = 1..=2, required = true, value_name = "[ID] FOLDER")]
        rest: Vec<String>,
    },
    /// Delete an object, its facets and its alarm; without an id every object of the class, or all that
    /// is in a KV namespace, a D1 database or a bucket
    Delete {
        /// WORKER/CLASS, or kv:ID, d1:ID, or r2:BUCKET
        namespace: String,
        /// 64 hexadecimal digits, or name:NAME
        id: Option<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// `mayfly doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,

    /// The binary mayfly-guest, where it does not lie beside mayfly
    #[arg(long, value_name = "PATH")]
    pub guest: Option<PathBuf>,
}

/// `mayfly run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// An ES module
    #[arg(value_name = "FILE.js")]
    pub file: PathBuf,

    /// The URL of the request that its fetch handler gets
    #[arg(long, default_value = "http://localhost/", value_name = "URL", value_parser = web_url)]
    pub url: String,

    /// How Workers run.
    #[command(flatten)]
    pub runtime: RuntimeArgs,
}

/// `mayfly tail`.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Only these Workers: a configured one and all that it loads, or a dynamic one (LOADER/id)
    #[arg(value_name = "WORKER")]
    pub workers: Vec<String>,

    /// The host's --admin address
    #[arg(long, default_value = "127.0.0.1:8788", value_name = "ADDR", value_parser = listen_address)]
    pub admin: SocketAddr,

    /// Only invocations that ended so
    #[arg(long, value_name = "STATUS")]
    pub status: Vec<StatusArg>,

    /// Only invocations with this outcome, such as exceededCpu
    #[arg(long, value_name = "OUTCOME")]
    pub outcome: Vec<String>,

    /// Only requests with this HTTP method
    #[arg(long, value_name = "METHOD")]
    pub method: Vec<String>,

    /// Only invocations whose log lines or exceptions have this text in them
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,

    /// The share of invocations to show, from 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub sampling_rate: Option<f64>,

    /// One trace item of JSON per line, as tail() gets it, instead of text for people
    #[arg(long)]
    pub json: bool,
}

/// `--status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatusArg {
    /// It returned
    Ok,
    /// It threw, or a limit ended it
    Error,
    /// Its caller left
    Canceled,
}

/// `mayfly usage`.
#[derive(Debug, Args)]
pub struct UsageArgs {
    /// The host's --state folder
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,

    /// Which month of UTC [default: this one]
    #[arg(long, value_name = "YYYY-MM", value_parser = month)]
    pub month: Option<Month>,

    /// What makes a row
    #[arg(long, default_value = "worker", value_name = "WHAT")]
    pub by: ByArg,

    /// Prices, as JSON; see docs/observability.md [default: DIR/prices.json if it is there, else
    /// the published ones]
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,

    /// As JSON
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,

    /// As CSV, rows only
    #[arg(long)]
    pub csv: bool,
}

/// `--by`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ByArg {
    /// A configured Worker with all that it loads
    Worker,
    /// A dynamic Worker's id
    Id,
    /// A day of UTC
    Day,
}

/// A month of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month {
    /// Its year.
    pub year: i64,
    /// From 1.
    pub month: i64,
}

/// What `serve` and `run` share.
#[derive(Debug, Args)]
pub struct RuntimeArgs {
    /// Let fetch() and connect() reach an address that is not of the public internet: a network
    /// (10.0.0.0/8), an address or host with an optional port (127.0.0.1:5432, db.internal), or *
    #[arg(long, value_name = "RULE")]
    pub allow_egress: Vec<AllowRule>,

    /// Let Workers reach no other port of the public internet than this; may be given several times
    /// [default: every port]
    #[arg(long, value_name = "PORT")]
    pub egress_port: Vec<u16>,

    /// How logs look on standard error; pretty ones are coloured on a terminal
    #[arg(long, default_value = "pretty", value_name = "FORM")]
    pub log: LogForm,

    /// Run Workers although this kernel gives no seccomp. Never for code you do not trust
    #[arg(long)]
    pub unsafe_no_sandbox: bool,

    /// The binary mayfly-guest, where it does not lie beside mayfly
    #[arg(long, value_name = "PATH")]
    pub guest: Option<PathBuf>,

    /// Collect garbage at every turn of every Worker: slow, for tests
    #[arg(long, hide = true)]
    pub collect_always: bool,
}

/// `--log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogForm {
    /// For people.
    Pretty,
    /// One object per line.
    Json,
}

/// `--errors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Errors {
    /// full where only this machine can connect, brief otherwise
    Auto,
    /// Message and stack
    Full,
    /// What kind of error it was
    Brief,
}

/// A name that becomes a part of file names.
fn environment(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match !text.is_empty() && text.chars().all(allowed) {
        true => Ok(text.to_owned()),
        false => Err("expected letters, digits, dashes and underscores".to_owned()),
    }
}

/// `127.0.0.1:8787`, `localhost:8787`, `:8787` or `8787`.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let text = match text.strip_prefix(':') {
        Some(port) => format!("127.0.0.1:{port}"),
        None if text.parse::<u16>().is_ok() => format!("127.0.0.1:{text}"),
        None => text.to_owned(),
    };
    text.to_socket_addrs()
        .map_err(|error| format!("expected HOST:PORT, such as 127.0.0.1:8787 ({error})"))?
        .next()
        .ok_or_else(|| format!("{text} has no address"))
}

fn month(text: &str) -> Result<Month, String> {
    let expected = || "expected a month like 2026-11".to_owned();
    let (year, month) = text.split_once('-').ok_or_else(expected)?;
    let year = year.parse().map_err(|_| expected())?;
    let month = month.parse().map_err(|_| expected())?;
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) {
        return Err(expected());
    }
    Ok(Month { year, month })
}

fn web_url(text: &str) -> Result<String, String> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url.into()),
        _ => Err("expected an absolute URL of http or https".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "expected a whole number")?;
    Ok(Duration::from_secs(seconds))
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("expected a whole number above 0".to_owned()),
    }
}

/// `4096`, `512K`, `512KiB`, `8G`: powers of 1024, except `KB`, `MB`, `GB` and `TB`.
fn bytes(text: &str) -> Result<u64, String> {
    let expected = || "expected bytes, such as 512MiB, 8G or 8000000000".to_owned();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| expected())?;
    let unit = unit.trim_start().to_ascii_uppercase();
    let (base, power) = match unit.as_str() {
        "" | "B" => (1, 1),
        "K" | "KIB" => (1024, 1),
        "M" | "MIB" => (1024, 2),
        "G" | "GIB" => (1024, 3),
        "T" | "TIB" => (1024, 4),
        "KB" => (1000, 1),
        "MB" => (1000, 2),
        "GB" => (1000, 3),
        "TB" => (1000, 4),
        _ => return Err(expected()),
    };
    number
        .checked_mul(u64::pow(base, power))
        .ok_or_else(|| format!("{text} is more than any machine has"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn addresses_may_be_short() {
        for (text, expect) in [
            ("8080", "127.0.0.1:8080"),
            (":8080", "127.0.0.1:8080"),
            ("0.0.0.0:1", "0.0.0.0:1"),
            ("[::1]:1", "[::1]:1"),
        ] {
            assert_eq!(listen_address(text).unwrap().to_string(), expect);
        }
        assert!(listen_address("nonsense").is_err());
        assert!(listen_address("127.0.0.1:99999").is_err());
    }

    #[test]
    fn bytes_may_have_a_unit() {
        for (text, expect) in [
            ("0", 0),
            ("4096", 4096),
            ("512MiB", 512 << 20),
            ("8G", 8 << 30),
            ("8 gib", 8 << 30),
            ("2KB", 2000),
        ] {
            assert_eq!(bytes(text), Ok(expect), "{text}");
        }
        for text in ["", "G", "-1", "1.5G", "8GG", "99999999999T"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_worker_at_all_is_not_a_bound() {
        assert_eq!(count("1"), Ok(1));
        assert!(count("0").is_err());
    }
}
