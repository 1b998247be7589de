//! What a Worker is made of, checked: its own rules, on the host, whatever the platform checked.
//!
//! The platform has validated `WorkerCode` with messages that name each field; a guest that talks
//! past it meets the same limits here. Compatibility dates and flags are another room's knowledge
//! (`mayfly-config`), given to the supervisor as a function.

use crate::actor::Namespace;
use crate::bounds::{MODULES_MAX, TAILS_MAX};
use crate::budget;
use crate::capability::Capability;
use crate::compiled::{self, Key};
use crate::held::{HeldCode, HeldPayload, Weight};
use crate::options::Options;
use crate::policy::{Caps, Policy};
use crate::trace::Tails;
use mayfly_wire::bounds::{CODE_BYTES_MAX, ENV_BYTES_MAX};
use mayfly_wire::{Blob, Failure, FailureKind, HostedKind, Limits, Module};
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

/// Everything `Start` needs but numbers.
#[derive(Debug)]
pub struct Code {
    /// Its module table.
    pub modules: Vec<Module>,
    /// What `modules` are looked up by in [`crate::compiled`], once somebody has looked.
    pub keys: OnceLock<Box<[Option<Key>]>>,
    /// Of the modules, counted on the parent that gave them.
    pub weight: Weight,
    /// One of `modules`.
    pub main_module: String,
    /// Enabled flags.
    pub compatibility_flags: Vec<String>,
    /// What it sees as `env`.
    pub env: CodeEnv,
    /// Where its global `fetch()` goes.
    pub outbound: Option<Capability>,
    /// Of every invocation.
    pub limits: Limits,
    /// Further limits.
    pub caps: Caps,
    /// It asked for a process without executable memory.
    pub jitless: bool,
    /// Services that hear of its invocations.
    pub tails: Arc<Tails>,
    /// Namespaces of its own Durable Object classes.
    pub actors: Vec<(String, Arc<Namespace>)>,
}

impl Code {
    /// See the field.
    pub fn keys(&self) -> &[Option<Key>] {
        self.keys
            .get_or_init(|| self.modules.iter().map(compiled::key).collect())
    }

    /// Bytes of its modules and their names.
    pub fn bytes(&self) -> usize {
        let bytes = |module: &Module| module.name.len() + module.content.0.len();
        self.modules.iter().map(bytes).sum()
    }
}

/// What a Worker sees as `env`.
#[derive(Debug)]
pub enum CodeEnv {
    /// From a configuration.
    Bindings(Vec<(String, HeldBinding)>),
    /// From a parent Worker.
    Value(HeldPayload),
}

/// One configured entry of `env`.
#[derive(Debug)]
pub enum HeldBinding {
    /// A string.
    Text(String),
    /// Any other JSON value.
    Json(String),
    /// Bytes.
    Data(Blob),
    /// A service.
    Service(Capability),
    /// A Durable Object namespace.
    Actors(Arc<Namespace>),
    /// A loader; with a name, its ids are shared with all loaders of that name.
    Loader {
        /// The name.
        shared: Option<String>,
        /// What it imposes on what it loads.
        policy: Policy,
    },
    /// Something that the host answers itself.
    Hosted(HostedKind, Capability),
}

/// Checks what a parent gave.
pub fn check(options: &Options, code: HeldCode) -> Result<Code, Failure> {
    check_modules(&code.modules, &code.main_module)?;
    let env_bytes = code.env.bytes.0.len();
    if env_bytes > ENV_BYTES_MAX {
        return Err(error(
            "Error",
            format!(
                "Dynamic Worker env size ({env_bytes} bytes) exceeds the maximum allowed size of \
                 {ENV_BYTES_MAX} bytes."
            ),
        )
        .of_budget(budget::ENV_SIZE, env_bytes as f64, ENV_BYTES_MAX as f64));
    }
    let tails = code.tails.buffered.len() + code.tails.streaming.len();
    if tails > TAILS_MAX {
        let message = format!("{tails} tails, limit {TAILS_MAX}");
        return Err(error("TypeError", message));
    }
    let compatibility_flags = (options.compatibility)(
        &code.compatibility_date,
        &code.compatibility_flags,
        code.allow_experimental,
    )
    .map_err(|message| error("Error", message))?;
    Ok(Code {
        modules: code.modules,
        keys: OnceLock::new(),
        weight: code.weight,
        main_module: code.main_module,
        compatibility_flags,
        env: CodeEnv::Value(code.env),
        outbound: code.outbound,
        limits: code.limits,
        caps: Caps::default(),
        jitless: code.jitless,
        tails: code.tails.into(),
        actors: Vec::new(),
    })
}

/// Checks a module table.
pub fn check_modules(modules: &[Module], main_module: &str) -> Result<(), Failure> {
    if modules.is_empty() {
        let message = "Dynamic Worker code must contain at least one module.".to_owned();
        return Err(error("TypeError", message));
    }
    if modules.len() > MODULES_MAX {
        let message = format!("{} modules, limit {MODULES_MAX}", modules.len());
        return Err(error("TypeError", message));
    }
    let code_bytes: usize = modules
        .iter()
        .map(|module| module.name.len() + module.content.0.len())
        .sum();
    if code_bytes > CODE_BYTES_MAX {
        return Err(error(
            "Error",
            format!(
                "Dynamic Worker code size ({code_bytes} bytes) exceeds the maximum allowed size \
                 of {CODE_BYTES_MAX} bytes."
            ),
        )
        .of_budget(budget::CODE_SIZE, code_bytes as f64, CODE_BYTES_MAX as f64));
    }
    let mut names = HashSet::with_capacity(modules.len());
    for module in modules {
        if !names.insert(module.name.as_str()) {
            let message = format!("module {:?} is given twice", module.name);
            return Err(error("TypeError", message));
        }
    }
    if !names.contains(main_module) {
        let message = format!("mainModule {main_module:?} is not one of the modules");
        return Err(error("TypeError", message));
    }
    Ok(())
}

fn error(name: &str, message: String) -> Failure {
    Failure::new(FailureKind::Exception {}, name, message)
}
