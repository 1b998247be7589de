//! What every command needs: guests, a network, and descriptors for both.

use std::path::PathBuf;
use std::sync::Arc;

use mayfly_bindings::{Egress, Network, NetworkOptions};
use mayfly_config::compat::{Experimental, resolve};
use mayfly_exchange::SharedService;
use mayfly_supervisor::{Observer, Options, Sandbox, Supervisor, SupervisorError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinHandle;

use crate::args::{EvictionArgs, RuntimeArgs};
use crate::exit::Exit;

/// The internet, as far as the command line lets Workers reach it: on its way. Reading the system's
/// certificates takes as long as starting a zygote, so both are done at once; see [`made`].
pub fn network(arguments: &RuntimeArgs) -> JoinHandle<Result<SharedService, Exit>> {
    let options = NetworkOptions {
        egress: Egress::new(arguments.allow_egress.clone())
            .with_ports(arguments.egress_port.clone()),
        ..NetworkOptions::default()
    };
    tokio::task::spawn_blocking(move || {
        let network = Network::new(options).map_err(|error| Exit::Internal(error.to_string()))?;
        Ok(Arc::new(network) as SharedService)
    })
}

/// What [`network`] began.
pub async fn made(network: JoinHandle<Result<SharedService, Exit>>) -> Result<SharedService, Exit> {
    network
        .await
        .map_err(|error| Exit::Internal(error.to_string()))?
}

/// What the command line says about Workers, on top of the defaults.
pub fn options(guest: PathBuf, arguments: &RuntimeArgs, observer: Arc<dyn Observer>) -> Options {
    let mut options = Options::new(guest);
    options.sandbox = match arguments.unsafe_no_sandbox {
        true => Sandbox::UnsafeOptional,
        false => Sandbox::Required,
    };
    options.collect_always = arguments.collect_always;
    options.compatibility = Arc::new(compatibility);
    options.observer = observer;
    options
}

/// Sets what the command line says about eviction.
pub fn evict(options: &mut Options, arguments: &EvictionArgs) {
    if let Some(count) = arguments.guests_max {
        options.guests_max = count;
    }
    if let Some(bytes) = arguments.memory_max {
        options.memory_bytes_max = bytes;
    }
    if let Some(duration) = arguments.idle_seconds {
        options.idle_max = duration;
    }
    if let Some(duration) = arguments.object_idle_seconds {
        options.actor_idle_max = duration;
    }
    if let Some(count) = arguments.object_guests {
        options.actor_guests_max = count;
    }
}

/// A supervisor with its first zygote.
pub async fn supervisor(options: Options) -> Result<Supervisor, Exit> {
    raise_descriptor_limit();
    Supervisor::new(options).await.map_err(explain)
}

/// What a dynamic Worker's date and flags come to.
fn compatibility(date: &str, flags: &[String], experimental: bool) -> Result<Vec<String>, String> {
    let experimental = match experimental {
        true => Experimental::Allowed,
        false => Experimental::Refused,
    };
    resolve(date, flags, experimental)
        .map(|flags| flags.into_iter().map(str::to_owned).collect())
        .map_err(|error| error.to_string())
}

/// A supervisor's error with the exit code it deserves.
pub fn explain(error: SupervisorError) -> Exit {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    match error {
        SupervisorError::Spawn { .. }
        | SupervisorError::EndedEarly { .. }
        | SupervisorError::Unexpected
        | SupervisorError::Version { .. } => Exit::Guest(text),
        SupervisorError::NoSandbox { .. } => Exit::Sandbox(format!(
            "{text} (--unsafe-no-sandbox overrides this, for code you trust)"
        )),
        SupervisorError::Definition { .. } => Exit::Definition(text),
        SupervisorError::State(_) => Exit::State(text),
        SupervisorError::Control(_)
        | SupervisorError::Slow { .. }
        | SupervisorError::Unready(_)
        | SupervisorError::Threads(_) => Exit::Internal(text),
    }
}

/// Each guest takes two descriptors and each connection one; a login shell's soft limit is 1024.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}
