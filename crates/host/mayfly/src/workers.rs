//! From configuration files to Workers that can be deployed.
//!
//! Every file is read and checked before anything starts, the Workers against each other too.
//! Warnings are printed; errors are the caller's to report.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mayfly_bindings::assets::Assets;
use mayfly_bundle::BundleError;
use mayfly_config::modules::Modules;
use mayfly_config::{
    Binding, BindingValue, Build, Caps as ConfiguredCaps, Config, ConfigError, Cron, Migration,
    Outbound, QueueConsumer, ServiceTarget as ConfiguredTarget, WorkerFirst, check_all,
};
use mayfly_supervisor::{
    BindingDefinition, Caps, HostedService, OutboundDefinition, Policy, ServiceTarget,
    WorkerDefinition,
};
use mayfly_wire::{Blob, HostedKind, Module, ModuleKind};

use crate::args::ServeArgs;
use crate::exit::Exit;
use crate::plain_bindings::{RateLimits, hyperdrive, version_of};
use crate::props;

/// A Worker and where it came from.
#[derive(Debug)]
pub struct Loaded {
    /// What is deployed.
    pub definition: WorkerDefinition,
    /// Bindings to what is kept in the state, by name; `state::open` makes them.
    pub kept: Vec<(String, BindingValue)>,
    /// What became of its Durable Object classes; see `state::migrate`.
    pub migrations: Vec<Migration>,
    /// Its configuration.
    pub file: PathBuf,
    /// Where its secrets came from.
    pub secrets: Vec<PathBuf>,
    /// Whether there is more to it than assets.
    pub has_code: bool,
    /// Files that are served besides it, and for which paths it comes first.
    pub assets: Option<(Assets, WorkerFirst)>,
    /// When its `scheduled()` is due.
    pub crons: Vec<Cron>,
    /// Whose messages its `queue()` gets.
    pub consumers: Vec<QueueConsumer>,
}

/// Reads and checks configurations, in their order.
pub fn load(arguments: &ServeArgs) -> Result<Vec<Loaded>, Exit> {
    let environment = arguments.env.as_deref();
    let mut configs = Vec::with_capacity(arguments.config.len());
    let mut secrets = Vec::with_capacity(arguments.config.len());
    let mut errors = Vec::new();
    for file in &arguments.config {
        let read =
            Config::load_environment(file, environment).and_then(|(mut config, warnings)| {
                for warning in warnings {
                    eprintln!("mayfly: warning: {warning}");
                }
                let files = config.add_secrets(environment, &arguments.env_file)?;
                Ok((config, files))
            });
        match read {
            Ok((config, files)) => {
                configs.push(config);
                secrets.push(files);
            }
            Err(error) => errors.extend(error.errors),
        }
    }
    if !errors.is_empty() {
        return Err(ConfigError { errors }.into());
    }
    check_all(&configs)?;
    let mut limits = RateLimits::default();
    let both = configs.into_iter().zip(secrets);
    both.map(|(config, secrets)| define(config, secrets, &mut limits))
        .collect()
}

fn define(config: Config, secrets: Vec<PathBuf>, limits: &mut RateLimits) -> Result<Loaded, Exit> {
    if let Some(build) = &config.build {
        run(&config.name, build)?;
    }
    let (Modules { main, list }, warnings) = match &config.main {
        Some(main) => mayfly_bundle::build(&config, main).map_err(explain)?,
        None => (only_assets(), Vec::new()),
    };
    for warning in warnings {
        eprintln!("mayfly: warning: {warning}");
    }
    let version = version_of(&list);
    let has_code = config.main.is_some();
    let (kept, bindings): (Vec<_>, Vec<_>) = config
        .bindings
        .into_iter()
        .partition(|binding| is_kept(&binding.value));
    let kept = kept
        .into_iter()
        .map(|binding| (binding.name, binding.value));
    let kept = kept.collect();
    let assets = config.assets.map(open_assets).transpose()?;
    let definition = WorkerDefinition {
        name: config.name.clone(),
        modules: list,
        main_module: main,
        compatibility_flags: config
            .enabled_flags
            .iter()
            .map(|flag| (*flag).to_owned())
            .collect(),
        bindings: bindings
            .into_iter()
            .map(|binding| {
                let assets = assets.as_ref().map(|(assets, _)| assets);
                bind(&config.name, binding, assets, &version, limits)
            })
            .chain(only_assets_binding(has_code, assets.as_ref()))
            .collect::<Result<_, _>>()?,
        outbound: match config.outbound {
            Outbound::Internet => OutboundDefinition::Network,
            Outbound::Blocked => OutboundDefinition::Blocked,
            Outbound::Service(target) => OutboundDefinition::Service(aim(target)?),
        },
        limits: config.limits,
        caps: caps(&config.caps),
        tails: aim_all(config.tails)?,
        streaming_tails: aim_all(config.streaming_tails)?,
        actors: Vec::new(),
    };
    Ok(Loaded {
        definition,
        kept,
        migrations: config.migrations,
        file: config.path,
        secrets,
        has_code,
        assets,
        crons: config.crons,
        consumers: config.consumers,
    })
}

/// Runs a project's own build; what it prints goes to standard error with everything else that is
/// said before serving begins.
fn run(worker: &str, build: &Build) -> Result<(), Exit> {
    let failed = |what: String| {
        let Build { command, at, .. } = build;
        Exit::Definition(format!("{at}: build.command: `{command}` {what}"))
    };
    eprintln!("mayfly: building {worker}: {}", build.command);
    let mut shell = Command::new("sh")
        .args(["-c", &build.command])
        .current_dir(&build.folder)
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .spawn()
        .map_err(|error| failed(format!("cannot run in {}: {error}", build.folder.display())))?;
    match shell.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(format!("ended with {status}"))),
        Err(error) => Err(failed(format!("cannot be waited for: {error}"))),
    }
}

/// The binding by which a Worker without code of its own reaches its assets.
const ASSETS: &str = "ASSETS";

/// The code of a Worker that is nothing but its assets, for those that bind to it as a service; what
/// comes from outside is answered without it.
fn only_assets() -> Modules {
    let source =
        format!("export default {{ fetch: (request, env) => env.{ASSETS}.fetch(request) }};\n");
    let main = "assets.js".to_owned();
    let module = Module {
        name: main.clone(),
        kind: ModuleKind::Js {},
        content: Blob(source.into_bytes()),
    };
    Modules {
        main,
        list: vec![module],
    }
}

fn only_assets_binding(
    has_code: bool,
    assets: Option<&(Assets, WorkerFirst)>,
) -> Option<Result<(String, BindingDefinition), Exit>> {
    let (assets, _) = assets.filter(|_| !has_code)?;
    let service = BindingDefinition::HostService(HostedService(Arc::new(assets.clone())));
    Some(Ok((ASSETS.to_owned(), service)))
}

fn explain(error: BundleError) -> Exit {
    match error {
        BundleError::Modules(error) => error.into(),
        sources @ BundleError::Sources(_) => Exit::Definition(sources.to_string()),
    }
}

/// Whether a binding is to something that the state keeps.
fn is_kept(value: &BindingValue) -> bool {
    matches!(
        value,
        BindingValue::Kv { .. }
            | BindingValue::D1(_)
            | BindingValue::R2 { .. }
            | BindingValue::Queue { .. }
    )
}

fn open_assets(configured: mayfly_config::Assets) -> Result<(Assets, WorkerFirst), Exit> {
    let (html, not_found) = (configured.html_handling, configured.not_found_handling);
    let assets = Assets::open(&configured.directory, html, not_found)
        .map_err(|error| Exit::Definition(format!("{}: assets: {error}", configured.at)))?;
    Ok((assets, configured.run_worker_first))
}

fn bind(
    worker: &str,
    binding: Binding,
    assets: Option<&Assets>,
    version: &str,
    limits: &mut RateLimits,
) -> Result<(String, BindingDefinition), Exit> {
    let definition = match binding.value {
        BindingValue::Text(text) => BindingDefinition::Text(text),
        BindingValue::Json(json) => BindingDefinition::Json(json),
        BindingValue::Service(target) => BindingDefinition::Service(aim(target)?),
        BindingValue::Loader {
            id,
            jitless,
            limits,
        } => BindingDefinition::Loader {
            shared: id,
            policy: Policy {
                jitless,
                caps: caps(&limits),
            },
        },
        BindingValue::Actors(target) => BindingDefinition::Actors {
            worker: target.script.unwrap_or_else(|| worker.to_owned()),
            class: target.class,
        },
        BindingValue::Kv { .. }
        | BindingValue::D1(_)
        | BindingValue::R2 { .. }
        | BindingValue::Queue { .. } => {
            let message = format!("{}: what is kept is bound by `state`", binding.at);
            return Err(Exit::Internal(message));
        }
        BindingValue::RateLimit {
            namespace,
            limit,
            period,
        } => BindingDefinition::Hosted(
            HostedKind::RateLimit {},
            limits.service(&namespace, limit, period),
        ),
        BindingValue::Hyperdrive { url } => {
            let at = &binding.at;
            BindingDefinition::Json(hyperdrive(&binding.name, url, at)?)
        }
        BindingValue::Version => BindingDefinition::Json(version.to_owned()),
        BindingValue::Assets => {
            let assets = assets.cloned().ok_or_else(|| {
                let message = format!("{}: assets.binding without assets.directory", binding.at);
                Exit::Definition(message)
            })?;
            BindingDefinition::HostService(HostedService(Arc::new(assets)))
        }
    };
    Ok((binding.name, definition))
}

fn aim_all(targets: Vec<ConfiguredTarget>) -> Result<Vec<ServiceTarget>, Exit> {
    targets.into_iter().map(aim).collect()
}

fn caps(configured: &ConfiguredCaps) -> Caps {
    let ms = |ms: Option<u32>| ms.map(|ms| Duration::from_millis(u64::from(ms)));
    Caps {
        cpu: ms(configured.cpu_ms),
        sub_requests: configured.sub_requests,
        wall: ms(configured.wall_ms),
        startup: ms(configured.startup_ms),
        memory_bytes: configured.memory_mb.map(|mb| u64::from(mb) << 20),
        workers_in_flight: configured.workers_in_flight,
    }
}

fn aim(target: ConfiguredTarget) -> Result<ServiceTarget, Exit> {
    let props = props::encode(target.props.as_deref())
        .map_err(|error| Exit::Definition(format!("{}: props are no JSON: {error}", target.at)))?;
    Ok(ServiceTarget {
        worker: target.service,
        entrypoint: target.entrypoint.unwrap_or_default(),
        props,
    })
}
