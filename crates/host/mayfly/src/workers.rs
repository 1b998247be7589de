//! From configuration files to Workers that can be deployed.
//!
//! Every file is read and checked before anything starts, the Workers against each other too.
//! Warnings are printed; errors are the caller's to report.

use std::path::PathBuf;

use mayfly_bundle::BundleError;
use mayfly_config::modules::Modules;
use mayfly_config::{
    Binding, BindingValue, Config, ConfigError, Migration, Outbound,
    ServiceTarget as ConfiguredTarget, check_all,
};
use mayfly_supervisor::{BindingDefinition, OutboundDefinition, ServiceTarget, WorkerDefinition};

use crate::exit::Exit;
use crate::props;

/// A Worker and where it came from.
#[derive(Debug)]
pub struct Loaded {
    /// What is deployed.
    pub definition: WorkerDefinition,
    /// What became of its Durable Object classes; see `state::migrate`.
    pub migrations: Vec<Migration>,
    /// Its configuration.
    pub file: PathBuf,
}

/// Reads and checks configurations, in their order.
pub fn load(files: &[PathBuf]) -> Result<Vec<Loaded>, Exit> {
    let mut configs = Vec::with_capacity(files.len());
    let mut errors = Vec::new();
    for file in files {
        match Config::load(file) {
            Ok((config, warnings)) => {
                for warning in warnings {
                    eprintln!("mayfly: warning: {warning}");
                }
                configs.push(config);
            }
            Err(error) => errors.extend(error.errors),
        }
    }
    if !errors.is_empty() {
        return Err(ConfigError { errors }.into());
    }
    check_all(&configs)?;
    configs.into_iter().map(define).collect()
}

fn define(config: Config) -> Result<Loaded, Exit> {
    let (Modules { main, list }, warnings) = mayfly_bundle::build(&config).map_err(explain)?;
    for warning in warnings {
        eprintln!("mayfly: warning: {warning}");
    }
    let definition = WorkerDefinition {
        name: config.name.clone(),
        modules: list,
        main_module: main,
        compatibility_flags: config
            .enabled_flags
            .iter()
            .map(|flag| (*flag).to_owned())
            .collect(),
        bindings: config
            .bindings
            .into_iter()
            .map(|binding| bind(&config.name, binding))
            .collect::<Result<_, _>>()?,
        outbound: match config.outbound {
            Outbound::Internet => OutboundDefinition::Network,
            Outbound::Blocked => OutboundDefinition::Blocked,
            Outbound::Service(target) => OutboundDefinition::Service(aim(target)?),
        },
        limits: config.limits,
        tails: aim_all(config.tails)?,
        streaming_tails: aim_all(config.streaming_tails)?,
        actors: Vec::new(),
    };
    Ok(Loaded {
        definition,
        migrations: config.migrations,
        file: config.path,
    })
}

fn explain(error: BundleError) -> Exit {
    match error {
        BundleError::Modules(error) => error.into(),
        sources @ BundleError::Sources(_) => Exit::Definition(sources.to_string()),
    }
}

fn bind(worker: &str, binding: Binding) -> Result<(String, BindingDefinition), Exit> {
    let definition = match binding.value {
        BindingValue::Text(text) => BindingDefinition::Text(text),
        BindingValue::Json(json) => BindingDefinition::Json(json),
        BindingValue::Service(target) => BindingDefinition::Service(aim(target)?),
        BindingValue::Loader { id } => BindingDefinition::Loader { shared: id },
        BindingValue::Actors(target) => BindingDefinition::Actors {
            worker: target.script.unwrap_or_else(|| worker.to_owned()),
            class: target.class,
        },
    };
    Ok((binding.name, definition))
}

fn aim_all(targets: Vec<ConfiguredTarget>) -> Result<Vec<ServiceTarget>, Exit> {
    targets.into_iter().map(aim).collect()
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
