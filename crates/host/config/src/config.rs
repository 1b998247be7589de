//! A checked configuration, as the rest of the host sees it.
//!
//! Plain data: everything here has been checked against its own file. What several Workers mean to
//! each other is checked by [`check_all`] once all of them are known.

use std::path::{Path, PathBuf};

use mayfly_wire::{Limits, ModuleKind};

use crate::nearest;
use crate::read;
use crate::report::{self, ConfigError, Diagnostic, Position, Warning};
use crate::syntax::Source;

/// Bytes of a configuration file; the largest real ones are some tens of kilobytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// One Worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file it was read from.
    pub path: PathBuf,
    /// The folder of that file: what relative paths begin at.
    pub root: PathBuf,
    /// The Worker's name; other Workers bind to it by this.
    pub name: String,
    /// Where the name stands, or the file's start.
    pub name_at: Position,
    /// The main module's file; `None` where there are only assets.
    pub main: Option<PathBuf>,
    /// Where `main` stands.
    pub main_at: Position,
    /// What makes the main module's file before it is read.
    pub build: Option<Build>,
    /// `YYYY-MM-DD`.
    pub compatibility_date: String,
    /// As they are written.
    pub compatibility_flags: Vec<String>,
    /// What date and flags turn on, by enable names.
    pub enabled_flags: Vec<&'static str>,
    /// `env`, in the order of the file.
    pub bindings: Vec<Binding>,
    /// `secrets.required`, each with its place.
    pub required_secrets: Vec<(String, Position)>,
    /// What became of its Durable Object classes, step by step.
    pub migrations: Vec<Migration>,
    /// How the Worker's files become modules.
    pub modules: ModuleOptions,
    /// Where `fetch()` and `connect()` go.
    pub outbound: Outbound,
    /// Limits of every invocation.
    pub limits: Limits,
    /// `tail_consumers`.
    pub tails: Vec<ServiceTarget>,
    /// `streaming_tail_consumers`.
    pub streaming_tails: Vec<ServiceTarget>,
    /// Files that are served besides the Worker.
    pub assets: Option<Assets>,
    /// `triggers.crons`, in their order.
    pub crons: Vec<Cron>,
    /// `queues.consumers`.
    pub consumers: Vec<QueueConsumer>,
    /// Further limits, under a key of Mayfly's own.
    pub caps: Caps,
    /// What only a development server uses.
    pub dev: Dev,
}

/// One entry of `env`.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    /// Its property name.
    pub name: String,
    /// What it is.
    pub value: BindingValue,
    /// Where it stands.
    pub at: Position,
}

/// What a binding gives.
#[derive(Debug, Clone, PartialEq)]
pub enum BindingValue {
    /// A string of `vars`.
    Text(String),
    /// Any other value of `vars`, as JSON.
    Json(String),
    /// An entry of `services`.
    Service(ServiceTarget),
    /// An entry of `durable_objects.bindings`.
    Actors(ActorsTarget),
    /// An entry of `worker_loaders`.
    Loader {
        /// Loaders of the same id share their Workers.
        id: Option<String>,
        /// What it loads runs without executable memory.
        jitless: bool,
        /// Limits of what it loads.
        limits: Caps,
    },
    /// An entry of `kv_namespaces`.
    Kv {
        /// Namespaces of the same id are one; the binding's name where none is given.
        id: String,
    },
    /// An entry of `d1_databases`.
    D1(D1Database),
    /// An entry of `ratelimits`.
    RateLimit {
        /// Bindings of one namespace count together.
        namespace: String,
        /// How often a key may pass in a period.
        limit: u32,
        /// In seconds: 10 or 60.
        period: u32,
    },
    /// An entry of `hyperdrive`.
    Hyperdrive {
        /// `localConnectionString`.
        url: Option<String>,
    },
    /// An entry of `r2_buckets`.
    R2 {
        /// Buckets of the same name are one; the binding's name where none is given.
        bucket: String,
        /// `mayfly_s3`: its bytes are there and not in the state.
        s3: Option<S3Bucket>,
    },
    /// An entry of `queues.producers`.
    Queue {
        /// Its name: whoever names the same sends to the same.
        queue: String,
        /// Seconds that a message waits where it does not say itself.
        delay: u32,
    },
    /// `assets.binding`: the files of the Worker's own `assets`.
    Assets,
    /// `version_metadata.binding`: which version of the Worker's code it is.
    Version,
}

/// A database, and where its migrations lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct D1Database {
    /// Databases of the same id are one; the name where no id is given, or else the binding's.
    pub id: String,
    /// `database_name`.
    pub name: Option<String>,
    /// The folder of its migrations, from the configuration's.
    pub migrations_dir: String,
    /// Which files below that folder are migrations.
    pub migrations_pattern: String,
    /// Where it is kept which of them were applied.
    pub migrations_table: String,
}

/// An entry of `queues.consumers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueConsumer {
    /// The queue's name.
    pub queue: String,
    /// Messages of one batch.
    pub max_batch_size: u32,
    /// Seconds until a batch that is not full goes.
    pub max_batch_timeout: u32,
    /// How often a message is tried again.
    pub max_retries: u32,
    /// Where messages go that failed once more.
    pub dead_letter_queue: Option<String>,
    /// Batches at work at once.
    pub max_concurrency: Option<u32>,
    /// Seconds until a message is tried again where the handler does not say.
    pub retry_delay: u32,
}

/// Where an S3-compatible store keeps the bytes of an R2 bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Bucket {
    /// `https://host`; Amazon's own where none is given.
    pub endpoint: Option<String>,
    /// The store's name for a region.
    pub region: String,
    /// The bucket there.
    pub bucket: String,
    /// What all names there begin with.
    pub prefix: String,
    /// What the names of the environment variables with the credentials begin with: `AWS` for
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`.
    pub credentials: String,
}

/// Limits of a Worker, or of what a loader loads; absent ones are the host's defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caps {
    /// CPU of one invocation.
    pub cpu_ms: Option<u32>,
    /// Subrequests of one invocation.
    pub sub_requests: Option<u32>,
    /// Time from an invocation's beginning until all its work has ended.
    pub wall_ms: Option<u32>,
    /// CPU until the main module has been evaluated.
    pub startup_ms: Option<u32>,
    /// Memory of the Worker, in MiB.
    pub memory_mb: Option<u32>,
    /// Distinct dynamic Workers that one invocation may have at work at once.
    pub workers_in_flight: Option<u32>,
}

/// Another Worker, or this one.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceTarget {
    /// The Worker's name.
    pub service: String,
    /// The named entrypoint; `None` is the default export.
    pub entrypoint: Option<String>,
    /// `ctx.props`, as JSON.
    pub props: Option<String>,
    /// Where the name stands.
    pub at: Position,
}

/// A Durable Object class of this Worker's or another's.
#[derive(Debug, Clone, PartialEq)]
pub struct ActorsTarget {
    /// The class's export name.
    pub class: String,
    /// The other Worker's name.
    pub script: Option<String>,
    /// Where the class or the Worker stands.
    pub at: Position,
}

/// One entry of `migrations`.
#[derive(Debug, Clone, PartialEq)]
pub struct Migration {
    /// Its name: a migration is applied once.
    pub tag: String,
    /// What it does, in the order of the file's keys.
    pub steps: Vec<MigrationStep>,
    /// Where it stands.
    pub at: Position,
}

/// What becomes of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MigrationStep {
    /// `new_classes`, or `new_sqlite_classes` where `sqlite` is set.
    New {
        /// Its export name.
        class: String,
        /// `storage.sql` may be used.
        sqlite: bool,
    },
    /// `renamed_classes`.
    Renamed {
        /// The old name.
        from: String,
        /// The new one.
        to: String,
    },
    /// `deleted_classes`: its objects are deleted with all they stored.
    Deleted {
        /// Its name.
        class: String,
    },
    /// `transferred_classes`.
    Transferred {
        /// The Worker that had it.
        script: String,
        /// What it was called there.
        from: String,
        /// What it is called here.
        to: String,
    },
}

/// `global_outbound`, a key of Mayfly's own.
#[derive(Debug, Clone, PartialEq)]
pub enum Outbound {
    /// The key is absent: the internet, as far as the host's policy goes.
    Internet,
    /// `null`: nowhere.
    Blocked,
    /// Everything goes to this Worker.
    Service(ServiceTarget),
}

/// `assets`.
#[derive(Debug, Clone, PartialEq)]
pub struct Assets {
    /// The folder.
    pub directory: PathBuf,
    /// Where it stands.
    pub at: Position,
    /// Which addresses pages have.
    pub html_handling: HtmlHandling,
    /// What answers where there is no file.
    pub not_found_handling: NotFoundHandling,
    /// For which paths the Worker comes before the files.
    pub run_worker_first: WorkerFirst,
}

/// `assets.html_handling`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HtmlHandling {
    /// `auto-trailing-slash`: `/a` for `a.html`, `/a/` for `a/index.html`.
    #[default]
    AutoTrailingSlash,
    /// `force-trailing-slash`: `/a/` for both.
    ForceTrailingSlash,
    /// `drop-trailing-slash`: `/a` for both.
    DropTrailingSlash,
    /// `none`: files by their own names only.
    None,
}

/// `assets.not_found_handling`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NotFoundHandling {
    /// `none`: the Worker is asked, or the answer is 404.
    #[default]
    None,
    /// `404-page`: the nearest `404.html`, with status 404.
    NotFoundPage,
    /// `single-page-application`: `/index.html`, with status 200.
    SinglePageApplication,
}

/// `assets.run_worker_first`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerFirst {
    /// `false`: assets first.
    Never,
    /// `true`: the Worker alone; it has the binding.
    Always,
    /// The Worker for paths that match one of the patterns and none of those that begin with `!`.
    Paths(Vec<String>),
}

/// `build`.
#[derive(Debug, Clone, PartialEq)]
pub struct Build {
    /// A command for the shell.
    pub command: String,
    /// Where it runs.
    pub folder: PathBuf,
    /// Where it stands.
    pub at: Position,
}

/// One of `triggers.crons`.
#[derive(Debug, Clone, PartialEq)]
pub struct Cron {
    /// As it is written.
    pub expression: String,
    /// Where it stands.
    pub at: Position,
}

/// How the Worker's files become modules.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModuleOptions {
    /// Take files as they are.
    pub no_bundle: bool,
    /// Take files that match a rule although nothing imports them.
    pub find_additional_modules: bool,
    /// Where names of such files begin; the folder of `main` unless given.
    pub base_dir: PathBuf,
    /// The file's rules, in order, without the default ones.
    pub rules: Vec<Rule>,
    /// Other names for specifiers.
    pub alias: Vec<(String, String)>,
    /// Expressions that are put in the place of free names.
    pub define: Vec<Define>,
    /// Where the project's `tsconfig.json` is, from the configuration's folder.
    pub tsconfig: Option<PathBuf>,
    /// JSX's function; `None` is `React.createElement`.
    pub jsx_factory: Option<String>,
    /// JSX's fragment; `None` is `React.Fragment`.
    pub jsx_fragment: Option<String>,
}

/// One entry of `define`.
#[derive(Debug, Clone, PartialEq)]
pub struct Define {
    /// `NAME` or `a.b.NAME`.
    pub name: String,
    /// JavaScript, as it was written.
    pub expression: String,
    /// Where it stands.
    pub at: Position,
}

/// Files by name, and what they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What matching files become.
    pub kind: ModuleKind,
    /// `*` matches within a folder, `**` across folders; everything else is literal.
    pub globs: Vec<String>,
    /// Whether later rules of the same kind count as well.
    pub fallthrough: bool,
}

/// `dev`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dev {
    /// The address to listen on.
    pub ip: Option<String>,
    /// The port to listen on.
    pub port: Option<u16>,
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<(Self, Vec<Warning>), ConfigError> {
        Self::load_environment(path, None)
    }

    /// Reads and checks a file for one of its environments (`env.NAME`).
    pub fn load_environment(
        path: &Path,
        environment: Option<&str>,
    ) -> Result<(Self, Vec<Warning>), ConfigError> {
        let text = report::read_text(path, FILE_BYTES_MAX)?;
        let source = Source::new(path, &text);
        read::config(&source, environment)
    }

    /// The services that this Worker reaches, with the key each stands under.
    pub fn targets(&self) -> impl Iterator<Item = (&str, &ServiceTarget)> {
        let outbound = match &self.outbound {
            Outbound::Service(target) => Some(("global_outbound", target)),
            Outbound::Internet | Outbound::Blocked => None,
        };
        let bound = self
            .bindings
            .iter()
            .filter_map(|binding| match &binding.value {
                BindingValue::Service(target) => Some((binding.name.as_str(), target)),
                _ => None,
            });
        let tails = self.tails.iter().map(|tail| ("tail_consumers", tail));
        let streaming = self
            .streaming_tails
            .iter()
            .map(|tail| ("streaming_tail_consumers", tail));
        bound.chain(outbound).chain(tails).chain(streaming)
    }

    /// The Durable Object classes that it binds, with the binding each stands under.
    pub fn actors(&self) -> impl Iterator<Item = (&str, &ActorsTarget)> {
        self.bindings
            .iter()
            .filter_map(|binding| match &binding.value {
                BindingValue::Actors(target) => Some((binding.name.as_str(), target)),
                _ => None,
            })
    }
}

/// Checks Workers against each other: no two of a name, and every service is one of them.
pub fn check_all(configs: &[Config]) -> Result<(), ConfigError> {
    let mut errors = Vec::new();
    for (index, config) in configs.iter().enumerate() {
        let same = configs[..index].iter().find(|one| one.name == config.name);
        if let Some(first) = same {
            let (name, other) = (&config.name, &first.name_at);
            let message = format!("a Worker named \"{name}\" is already defined at {other}");
            errors.push(Diagnostic::at(config.name_at.clone(), "name", message));
        }
        let services = config
            .targets()
            .map(|(key, target)| (key, &target.service, &target.at));
        let scripts = config
            .actors()
            .filter_map(|(key, target)| Some((key, target.script.as_ref()?, &target.at)));
        for (key, name, at) in services.chain(scripts) {
            if configs.iter().any(|one| one.name == *name) {
                continue;
            }
            let names = configs.iter().map(|one| one.name.as_str());
            let near = nearest::among(name, names.clone());
            let known: Vec<&str> = names.collect();
            let message = format!(
                "no Worker is named \"{name}\"{near}; configured here: {}",
                known.join(", ")
            );
            errors.push(Diagnostic::at(at.clone(), key, message));
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(ConfigError { errors })
    }
}
