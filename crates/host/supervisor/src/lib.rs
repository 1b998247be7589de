//! Lives of guests and the relay between them: the heart of the host.
//!
//! The journey of a call: `supervisor` (or a guest's frame: `inbox`, `relay`) -> `worker` (which
//! guest, start it where there is none: `pool`, `zygote`) -> `call` (deliver) -> `translate` (one
//! guest's numbers to another's) -> `guest` (its buffer and socket). Streams are `link`s, the host's
//! own services `network`, dynamic Workers `loader` and `code`, Durable Objects `actor`, `placement`, `gate`,
//! `alarms` and `hibernation`. Compiled code is kept in `compiled`. What is told of an invocation is a `trace`, delivered by `tail`; what Workers use is
//! counted in `usage`. `limits` and `evict` end guests, `ending` says why. Start with `supervisor`.
//!
//! It never runs JavaScript, reads no value in the platform's codec, and opens no listening socket.
//!
//! Invariant: every byte from a guest is an attack; the worst outcome is that this guest is ended.

#![forbid(unsafe_code)]

mod supervisor;

pub mod abroad;
pub mod actor;
mod alarms;
pub mod bounds;
pub mod budget;
mod caches;
pub mod call;
pub mod capability;
pub mod code;
pub mod compiled;
pub mod definition;
pub mod ending;
pub mod error;
mod evict;
pub mod gate;
pub mod guest;
pub mod held;
mod hibernation;
pub mod hub;
pub mod inbox;
mod limits;
pub mod link;
pub mod loader;
pub mod lock;
mod network;
pub mod observe;
pub mod options;
mod out;
mod pairs;
mod placement;
pub mod policy;
pub mod pool;
pub mod process;
mod reader;
pub mod relay;
pub mod restored;
pub mod socket;
pub mod stored;
pub mod tail;
pub mod trace;
pub mod translate;
pub mod turn;
pub mod usage;
pub mod worker;
mod zygote;

pub use caches::CacheOwner;
pub use definition::{
    BindingDefinition, HostedService, OutboundDefinition, ServiceTarget, WorkerDefinition,
};
pub use ending::EndReason;
pub use error::SupervisorError;
pub use observe::{EventKind, InvocationReport, LogLine, Observer, Silent};
pub use options::{Compatibility, MakeCaches, Options, Sandbox};
pub use policy::{Caps, Policy};
pub use supervisor::{Metrics, Supervisor};
pub use trace::{Span, SpanContext, TraceReport};
pub use usage::Used;
