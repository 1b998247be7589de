//! A configured Worker as the rest of the host describes it: by name, checked by whoever made it.

use std::fmt;

use crate::policy::{Caps, Policy};
use mayfly_exchange::SharedService;
use mayfly_store::Namespace;
use mayfly_wire::{HostedKind, Limits, Module};

/// One Worker to deploy.
#[derive(Debug, Clone)]
pub struct WorkerDefinition {
    /// Unique among those deployed together.
    pub name: String,
    /// Its module table.
    pub modules: Vec<Module>,
    /// One of `modules`.
    pub main_module: String,
    /// Enabled flags, after the compatibility date was applied.
    pub compatibility_flags: Vec<String>,
    /// `env`, in the order it is enumerated.
    pub bindings: Vec<(String, BindingDefinition)>,
    /// Where global `fetch()` goes.
    pub outbound: OutboundDefinition,
    /// Of every invocation.
    pub limits: Limits,
    /// Further limits.
    pub caps: Caps,
    /// Workers that receive its trace items.
    pub tails: Vec<ServiceTarget>,
    /// Workers that follow its invocations while they run.
    pub streaming_tails: Vec<ServiceTarget>,
    /// Its Durable Object classes, with their namespaces.
    pub actors: Vec<(String, Namespace)>,
}

/// One entry of `env`.
#[derive(Debug, Clone)]
pub enum BindingDefinition {
    /// A string.
    Text(String),
    /// Any other JSON value.
    Json(String),
    /// Bytes.
    Data(Vec<u8>),
    /// An entrypoint of a Worker deployed together with this one, or of itself.
    Service(ServiceTarget),
    /// The internet, as a service.
    Network,
    /// The namespace of a Durable Object class of this Worker's or another's.
    Actors {
        /// Whose class.
        worker: String,
        /// The class.
        class: String,
    },
    /// A `worker_loaders` entry. Loaders of one shared name have their ids in common.
    Loader {
        /// The shared name.
        shared: Option<String>,
        /// What it imposes on what it loads.
        policy: Policy,
    },
    /// A service of the host's own, such as a folder of assets.
    HostService(HostedService),
    /// Something that the host answers itself, with an API of its own.
    Hosted(HostedKind, HostedService),
}

/// A service of the host's behind a binding.
#[derive(Clone)]
pub struct HostedService(pub SharedService);

impl fmt::Debug for HostedService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostedService")
    }
}

/// An entrypoint by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceTarget {
    /// The Worker's name.
    pub worker: String,
    /// Export name; empty means `default`.
    pub entrypoint: String,
    /// `ctx.props` in the platform's codec; empty means `{}`.
    pub props: Vec<u8>,
}

/// Where a configured Worker's global `fetch()` goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboundDefinition {
    /// The internet, through the service given to `deploy`.
    Network,
    /// Nowhere: the documented error.
    Blocked,
    /// A Worker.
    Service(ServiceTarget),
}
