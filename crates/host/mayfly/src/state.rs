//! Where state lives: the store of a server, and what becomes of classes before it serves.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use mayfly_bindings::cache::{Caches, Owner};
use mayfly_bindings::kv::KvService;
use mayfly_config::{Migration, MigrationStep};
use mayfly_store::kv::Kv;
use mayfly_store::{Applied, ClassChange, Store, StoreError};
use mayfly_supervisor::{BindingDefinition, CacheOwner, HostedService, MakeCaches};
use mayfly_wire::HostedKind;

use crate::args::StateArgs;
use crate::exit::Exit;
use crate::workers::Loaded;

/// Beside the first configuration, unless the command line says otherwise.
const FOLDER: &str = ".mayfly/state";

/// Opens the store, if any of these Workers needs one, and gives each its classes' namespaces.
pub fn open(arguments: &StateArgs, loaded: &mut [Loaded]) -> Result<Option<Arc<Store>>, Exit> {
    if !loaded.iter().any(needs_store) {
        return Ok(None);
    }
    let store = match arguments.ephemeral {
        true => Store::ephemeral(),
        false => Store::open(&folder(arguments, loaded)),
    };
    let store = store.map_err(|error| explain(&error))?;
    for worker in loaded.iter() {
        migrate(&store, worker)?;
    }
    for worker in loaded.iter() {
        bind(&store, worker)?;
    }
    let namespaces = store.namespaces().map_err(|error| explain(&error))?;
    let mut kv: HashMap<String, HostedService> = HashMap::new();
    for worker in loaded {
        for (name, id) in &worker.kv {
            let service = match kv.get(id) {
                Some(service) => service.clone(),
                None => {
                    let namespace = Kv::open(&store, id).map_err(|error| explain(&error))?;
                    let service = HostedService(Arc::new(KvService::new(namespace)));
                    kv.insert(id.clone(), service.clone());
                    service
                }
            };
            let binding = BindingDefinition::Hosted(HostedKind::Kv {}, service);
            worker.definition.bindings.push((name.clone(), binding));
        }
        worker.definition.actors = namespaces
            .iter()
            .filter(|namespace| namespace.worker == worker.definition.name)
            .map(|found| (found.class.clone(), found.namespace.clone()))
            .collect();
    }
    Ok(Some(store))
}

/// What keeps the entries of `caches`: beside the other state where there is some, else in memory.
pub fn caches(store: Option<Arc<Store>>) -> MakeCaches {
    let caches = Arc::new(Caches::new(store));
    Arc::new(move |owner: &CacheOwner| {
        let CacheOwner {
            family,
            member,
            passing,
        } = owner.clone();
        caches.of(Owner {
            family,
            member,
            passing,
        })
    })
}

fn needs_store(worker: &Loaded) -> bool {
    let bound = worker.definition.bindings.iter();
    !worker.kv.is_empty()
        || !worker.migrations.is_empty()
        || bound
            .map(|(_, binding)| binding)
            .any(|binding| matches!(binding, BindingDefinition::Actors { .. }))
}

/// The folder that holds the state.
fn folder(arguments: &StateArgs, loaded: &[Loaded]) -> PathBuf {
    if let Some(folder) = &arguments.state {
        return folder.clone();
    }
    let beside = loaded.first().and_then(|worker| worker.file.parent());
    beside.map_or_else(|| PathBuf::from(FOLDER), |parent| parent.join(FOLDER))
}

fn migrate(store: &Store, worker: &Loaded) -> Result<(), Exit> {
    let name = &worker.definition.name;
    for Migration { tag, steps, at } in &worker.migrations {
        let changes: Vec<_> = steps.iter().map(change).collect();
        let applied = store
            .migrate(name, tag, &changes)
            .map_err(|error| Exit::Definition(format!("{at}: {}", chain(&error))))?;
        if applied == Applied::Now {
            tracing::info!(worker = name, tag, "a migration was applied");
        }
    }
    Ok(())
}

fn change(step: &MigrationStep) -> ClassChange {
    match step.clone() {
        MigrationStep::New { class, sqlite } => ClassChange::New { class, sql: sqlite },
        MigrationStep::Renamed { from, to } => ClassChange::Renamed { from, to },
        MigrationStep::Deleted { class } => ClassChange::Deleted { class },
        MigrationStep::Transferred { script, from, to } => ClassChange::Transferred {
            worker: script,
            from,
            to,
        },
    }
}

/// A class that is bound and that no migration made is one of `new_classes`, as in `wrangler dev`.
fn bind(store: &Store, worker: &Loaded) -> Result<(), Exit> {
    for (name, binding) in &worker.definition.bindings {
        let BindingDefinition::Actors { worker, class } = binding else {
            continue;
        };
        let found = store
            .namespace(worker, class)
            .map_err(|error| explain(&error))?;
        if found.is_none() {
            eprintln!(
                "mayfly: warning: {name}: no migration makes the class \"{class}\" of \"{worker}\"; it \
                 is taken for one of new_classes, without SQL"
            );
            store
                .make_namespace(worker, class, false)
                .map_err(|error| explain(&error))?;
        }
    }
    Ok(())
}

/// A store's error with the exit code it deserves.
pub fn explain(error: &StoreError) -> Exit {
    Exit::State(chain(error))
}

fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
