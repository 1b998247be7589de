//! Capabilities: what an entry of a guest's table may lead to.
//!
//! A guest names a capability only by the number it was given; what the number means stands here,
//! on the host's side. Cloning a capability shares it; dropping the last clone tells whoever it
//! leads to, by a chore, never by taking a lock.
//!
//! Invariant: a dynamic Worker's guest lives at least as long as a [`Handle`] to it, and every way
//! to reach it holds one.

use crate::actor::{ActorCap, Namespace};
use crate::call::Call;
use crate::guest::Guest;
use crate::held::HeldPayload;
use crate::hub::{Chore, Chores};
use crate::policy::Policy;
use crate::restored::RestoredCap;
use crate::stored::Recipe;
use crate::worker::Worker;
use mayfly_exchange::SharedService;
use mayfly_wire::{CapKind, ExportId, Failure, FailureKind, Limits};
use std::fmt;
use std::sync::Arc;

/// See the file's head.
#[derive(Clone)]
pub enum Capability {
    /// An entrypoint of a Worker.
    Service(Arc<ServiceCap>),
    /// A service of the host's, such as the internet.
    Network(SharedService),
    /// Global `fetch()` of a Worker that has none.
    Blocked,
    /// A `worker_loaders` binding.
    Loader(Arc<LoaderCap>),
    /// A `WorkerStub`.
    Stub(Arc<StubCap>),
    /// An object of some guest's.
    Object(Arc<ObjectCap>),
    /// The future result of a call.
    Answer(Arc<AnswerCap>),
    /// A Durable Object or a facet.
    Actor(Arc<ActorCap>),
    /// A Durable Object namespace.
    Actors(Arc<Namespace>),
    /// The same as a Worker has its own in `ctx.exports`.
    OwnActors(Arc<Namespace>),
    /// A Durable Object class, for a facet.
    Class(Arc<ServiceCap>),
    /// What a `[restore]()` method gave or will give.
    Restored(Arc<RestoredCap>),
    /// Something that could not be made; every use fails with this.
    Failed(Arc<Failure>),
}

/// An entrypoint, specialised by props and limits.
#[derive(Debug, Clone)]
pub struct ServiceCap {
    /// Whose.
    pub worker: Arc<Worker>,
    /// Absent only in a Worker's own table, where it would keep itself alive.
    pub keep: Option<Handle>,
    /// Export name; empty means `default`.
    pub entrypoint: String,
    /// `ctx.props`.
    pub props: Arc<HeldPayload>,
    /// Besides the Worker's own.
    pub limits: Limits,
    /// Gives the code where the Worker must be loaded again.
    pub callback: Option<Arc<ObjectCap>>,
    /// Made with `ctx.exports` by a Worker that lets its stubs be stored.
    pub storable: bool,
    /// What it was reached by, of a dynamic Worker's: leads back to it.
    pub via: Option<Arc<Recipe>>,
}

/// The right to load Workers.
#[derive(Debug)]
pub struct LoaderCap {
    /// Who shares what is loaded by id.
    pub scope: Scope,
    /// Name of the binding, for messages.
    pub binding: String,
    /// What it imposes on what it loads.
    pub policy: Policy,
}

/// Whose ids are whose: part of the key of the loader's cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One parent's incarnation and one binding of it.
    Private {
        /// The parent's guest.
        parent: u64,
        /// The binding.
        binding: String,
    },
    /// All bindings of this name.
    Shared(String),
}

/// A `WorkerStub`.
#[derive(Debug)]
pub struct StubCap {
    /// Which Worker.
    pub handle: Handle,
    /// Of `get()`.
    pub callback: Option<Arc<ObjectCap>>,
}

/// One reference to an object of a guest's own.
pub struct ObjectCap {
    /// Where it lives.
    pub guest: Arc<Guest>,
    /// Its number there.
    pub export: ExportId,
    /// Keeps a dynamic Worker alive for its object.
    pub keep: Option<Handle>,
    chores: Chores,
}

/// The right to call the result of a call that may not have returned yet.
pub struct AnswerCap {
    /// The call.
    pub call: Arc<Call>,
    chores: Chores,
}

/// A reason for a Worker to stay.
#[derive(Clone)]
pub struct Handle(Arc<HandleInner>);

/// Behind a [`Handle`]; a Worker knows it weakly.
pub struct HandleInner {
    worker: Arc<Worker>,
    chores: Chores,
}

impl Handle {
    /// The first handle of a Worker.
    pub fn new(worker: Arc<Worker>, chores: Chores) -> Self {
        Self(Arc::new(HandleInner { worker, chores }))
    }

    /// A further one, from the Worker's weak knowledge.
    pub fn from_inner(inner: Arc<HandleInner>) -> Self {
        Self(inner)
    }

    /// For the Worker to remember.
    pub fn downgrade(&self) -> std::sync::Weak<HandleInner> {
        Arc::downgrade(&self.0)
    }

    /// The Worker.
    pub fn worker(&self) -> &Arc<Worker> {
        &self.0.worker
    }
}

impl Drop for HandleInner {
    fn drop(&mut self) {
        self.chores.post(Chore::Unheld(self.worker.clone()));
    }
}

impl ObjectCap {
    /// Takes over one reference that `guest` gave.
    pub fn new(guest: &Arc<Guest>, export: ExportId, keep: Option<Handle>, chores: Chores) -> Self {
        Self {
            guest: guest.clone(),
            export,
            keep,
            chores,
        }
    }
}

impl Drop for ObjectCap {
    fn drop(&mut self) {
        self.chores.post(Chore::ReleaseExport {
            guest: self.guest.clone(),
            export: self.export,
        });
    }
}

impl AnswerCap {
    /// The only right to pipeline on `call`.
    pub fn new(call: Arc<Call>, chores: Chores) -> Self {
        Self { call, chores }
    }
}

impl Drop for AnswerCap {
    fn drop(&mut self) {
        self.chores.post(Chore::ReleaseAnswer(self.call.clone()));
    }
}

impl ServiceCap {
    /// Whether it belongs to a dynamic Worker, which nobody but its loader could start again.
    pub fn is_dynamic(&self) -> bool {
        self.worker.is_dynamic()
    }
}

impl Capability {
    /// What its holder may do with it.
    pub fn kind(&self) -> CapKind {
        match self {
            Self::Service(service) if service.is_dynamic() => CapKind::DynamicService {},
            Self::Service(_)
            | Self::Network(_)
            | Self::Blocked
            | Self::Failed(_)
            | Self::Actor(_) => CapKind::Service {},
            Self::Object(_)
            | Self::Answer(_)
            | Self::Stub(_)
            | Self::Actors(_)
            | Self::OwnActors(_) => CapKind::Object {},
            Self::Class(_) => CapKind::ActorClass {},
            Self::Loader(_) => CapKind::Loader {},
            Self::Restored(restored) => restored.kind(),
        }
    }

    /// The object of a guest's that calls go to.
    pub fn object(&self) -> Option<Arc<ObjectCap>> {
        match self {
            Self::Object(object) => Some(object.clone()),
            Self::Restored(restored) => restored.object(),
            _ => None,
        }
    }
}

impl fmt::Debug for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service(_) => "Service",
            Self::Network(_) => "Network",
            Self::Blocked => "Blocked",
            Self::Loader(_) => "Loader",
            Self::Stub(_) => "Stub",
            Self::Object(_) => "Object",
            Self::Answer(_) => "Answer",
            Self::Actor(_) => "Actor",
            Self::Actors(_) => "Actors",
            Self::OwnActors(_) => "OwnActors",
            Self::Class(_) => "Class",
            Self::Restored(_) => "Restored",
            Self::Failed(_) => "Failed",
        })
    }
}

impl fmt::Debug for ObjectCap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({:?} in {:?})", self.export, self.guest.id)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.0.worker.name)
    }
}

/// What a Worker without a way to the internet hears.
pub fn blocked() -> Failure {
    Failure::new(
        FailureKind::Exception {},
        "Error",
        "This worker is not permitted to access the internet via global functions like fetch(). \
         It must use capabilities (such as bindings in 'env') to talk to the outside world.",
    )
}

/// What whoever hands on a dynamic Worker's entrypoint hears.
pub fn not_transferable() -> Failure {
    Failure::new(
        FailureKind::Exception {},
        "DataCloneError",
        "Entrypoints to dynamically-loaded workers cannot be transferred to other Workers, \
         because the system does not know how to reload this Worker from scratch. Instead, \
         have the parent Worker expose an entrypoint which constructs the dynamic worker \
         and forwards to it.",
    )
}
