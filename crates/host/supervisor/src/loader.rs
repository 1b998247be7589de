//! The loader: `load(code)`, `get(id, callback)`, and which Worker an id means.
//!
//! A stub is made at once. `get()` asks its callback for the code right away where the Worker is not
//! there, as users can see; a process is taken only by the first call (`worker`). So concurrent
//! calls share one load, and a failed load is simply a Worker that is cold again.
//!
//! The cache knows Workers weakly. What keeps a named Worker is its guest, a stub, or a call under
//! way; when the last of these goes, its entry goes too, so a million ids need room for those in
//! use only.
//!
//! Invariant: a key holds the parent's incarnation or a shared loader's name, so no parent ever
//! gets another parent's Worker.

use crate::caches::CacheOwner;
use crate::capability::{Capability, LoaderCap, Scope, StubCap};
use crate::code;
use crate::guest::{Guest, State};
use crate::hub::Hub;
use crate::lock::Mutex;
use crate::policy::Policy;
use crate::relay::{Violation, failed, introduce};
use crate::translate::{Lift, LiftError};
use crate::turn::Turn;
use crate::usage::{LOADED, UNNAMED};
use crate::worker::{Origin, Worker};
use mayfly_wire::{CapId, ExportId, Failure, FailureKind, WorkerCode};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, MutexGuard, Weak};

/// What an id means to whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CacheKey {
    /// Whose ids.
    pub scope: Scope,
    /// The id.
    pub id: String,
    /// Whether it is of a loader without executable memory: the same id is another Worker then.
    pub jitless: bool,
}

/// See the file's head.
#[derive(Debug, Default)]
pub struct Cache {
    workers: Mutex<HashMap<CacheKey, Weak<Worker>>>,
}

impl Cache {
    /// The Worker of `key`, or the one that `make` makes.
    fn worker(&self, key: &CacheKey, make: impl FnOnce() -> Arc<Worker>) -> Arc<Worker> {
        match self.workers.lock().entry(key.clone()) {
            Entry::Occupied(mut entry) => match entry.get().upgrade() {
                Some(worker) => worker,
                None => {
                    let worker = make();
                    entry.insert(Arc::downgrade(&worker));
                    worker
                }
            },
            Entry::Vacant(entry) => {
                let worker = make();
                entry.insert(Arc::downgrade(&worker));
                worker
            }
        }
    }

    /// Forgets `key` if its Worker is gone.
    pub fn tidy(&self, key: &CacheKey) {
        if let Entry::Occupied(entry) = self.workers.lock().entry(key.clone())
            && entry.get().strong_count() == 0
        {
            entry.remove();
        }
    }

    /// Entries, for metrics.
    pub fn entries(&self) -> usize {
        self.workers.lock().len()
    }
}

/// `LOADER.load(code)`.
pub fn load(
    guest: &Arc<Guest>,
    mut state: MutexGuard<'_, State>,
    slot: CapId,
    loader: CapId,
    code: WorkerCode,
) -> Result<(), Violation> {
    let loader = loader_cap(&state, loader)?;
    let depth = depth_of(&state);
    let root = root_of(&state);
    let owner = owner_of(&state);
    let policy = policy_of(guest, &state, &loader);
    let held = match Lift::new(guest, &mut state).code(code) {
        Ok(held) => held,
        Err(LiftError::Refused(failure)) => return introduce(&mut state, slot, failed(failure)),
        Err(LiftError::Violation(violation)) => return Err(violation),
    };
    let capability = match code::check(&guest.hub.options, held) {
        Ok(code) => {
            let name = format!("{}/load", loader.binding);
            let account = guest.hub.meter.shared(&root, LOADED);
            let code = Some(Arc::new(code));
            let origin = Origin::Loaded;
            let caches = owner.unnamed(guest.hub.next_worker_id());
            let handle = Worker::create(
                &guest.hub, name, origin, depth, code, policy, account, caches,
            );
            stub(handle, None)
        }
        Err(failure) => failed(failure),
    };
    introduce(&mut state, slot, capability)
}

/// `LOADER.get(id, callback)`.
pub fn get(
    guest: &Arc<Guest>,
    mut state: MutexGuard<'_, State>,
    slot: CapId,
    loader: CapId,
    id: Option<String>,
    callback: ExportId,
    turn: &mut Turn,
) -> Result<(), Violation> {
    let loader = loader_cap(&state, loader)?;
    let depth = depth_of(&state);
    let root = root_of(&state);
    let owner = owner_of(&state);
    let policy = policy_of(guest, &state, &loader);
    let callback = Lift::new(guest, &mut state).export(callback);
    let handle = match id {
        None => {
            let name = format!("{}/get", loader.binding);
            Some(Worker::create(
                &guest.hub,
                name,
                Origin::Unnamed,
                depth,
                None,
                policy,
                guest.hub.meter.shared(&root, UNNAMED),
                owner.unnamed(guest.hub.next_worker_id()),
            ))
        }
        Some(id) => named(&guest.hub, &loader, id, depth, policy, &root, &owner).handle(),
    };
    let Some(handle) = handle else {
        // A named Worker always gives a handle.
        return Err(Violation::NotAStub(slot));
    };
    let worker = handle.worker().clone();
    introduce(&mut state, slot, stub(handle, Some(callback.clone())))?;
    drop(state);
    worker.fetch_code(turn, &callback);
    Ok(())
}

/// What binds a Worker to be loaded: its loader's policy and that of every loader above. A Worker
/// without executable memory loads nothing that has some.
fn policy_of(guest: &Guest, state: &State, loader: &LoaderCap) -> Policy {
    let own = state.worker.as_ref().map(|worker| &worker.policy);
    let mut policy = own.map_or_else(|| loader.policy.clone(), |own| loader.policy.and(own));
    policy.jitless |= guest.jitless;
    policy
}

fn named(
    hub: &Arc<Hub>,
    loader: &LoaderCap,
    id: String,
    depth: u32,
    policy: Policy,
    root: &Arc<str>,
    owner: &CacheOwner,
) -> Arc<Worker> {
    let name = format!("{}/{id}", loader.binding);
    let key = CacheKey {
        scope: loader.scope.clone(),
        id,
        jitless: policy.jitless,
    };
    hub.cache.worker(&key, || {
        let origin = Origin::Named(key.clone());
        let account = hub.meter.account(root, &key.id);
        let caches = owner.named(&key.scope, &loader.binding, &key.id, key.jitless);
        Worker::create(hub, name, origin, depth, None, policy, account, caches)
            .worker()
            .clone()
    })
}

fn stub(
    handle: crate::capability::Handle,
    callback: Option<Arc<crate::capability::ObjectCap>>,
) -> Capability {
    Capability::Stub(Arc::new(StubCap { handle, callback }))
}

fn loader_cap(state: &State, cap: CapId) -> Result<Arc<LoaderCap>, Violation> {
    match state.caps.get(&cap.0) {
        Some(Capability::Loader(loader)) => Ok(loader.clone()),
        Some(_) => Err(Violation::NotALoader(cap)),
        None => Err(Violation::UnknownCap(cap)),
    }
}

fn depth_of(state: &State) -> u32 {
    state.worker.as_ref().map_or(0, |worker| worker.depth) + 1
}

/// The configured Worker at the top.
fn root_of(state: &State) -> Arc<str> {
    match &state.worker {
        Some(worker) => worker.account.worker.clone(),
        // `apply` refuses frames of a guest without a Worker.
        None => Arc::from(""),
    }
}

/// The `caches` of the guest's Worker.
pub fn caches(guest: &Guest, state: &State) -> Capability {
    match &guest.hub.options.caches {
        Some(make) => Capability::Network(make(&owner_of(state))),
        None => failed(Failure::new(
            FailureKind::Exception {},
            "Error",
            "This host keeps no caches.",
        )),
    }
}

/// Whose `caches` the guest's are.
fn owner_of(state: &State) -> CacheOwner {
    match &state.worker {
        Some(worker) => worker.caches.clone(),
        // `apply` refuses frames of a guest without a Worker.
        None => CacheOwner::configured(""),
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Origin::Named(key) = &self.origin {
            self.hub.worker_dropped(key);
        }
    }
}

/// Posted when a named Worker is dropped; see [`Cache::tidy`].
pub fn tidy(hub: &Hub, key: &CacheKey) {
    hub.cache.tidy(key);
}
