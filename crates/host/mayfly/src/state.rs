//! Where state lives: the store of a server, and what becomes of classes before it serves.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use mayfly_bindings::cache::{Caches, Owner};
use mayfly_bindings::d1::{self, D1Service};
use mayfly_bindings::kv::KvService;
use mayfly_bindings::queue::{Line, QueueService};
use mayfly_bindings::r2::{OpenError, R2Service, S3Options};
use mayfly_config::{BindingValue, Migration, MigrationStep, S3Bucket};
use mayfly_store::d1::D1;
use mayfly_store::kv::Kv;
use mayfly_store::queue::Queue;
use mayfly_store::{Applied, ClassChange, Store, StoreError};
use mayfly_supervisor::{BindingDefinition, CacheOwner, HostedService, MakeCaches};
use mayfly_wire::HostedKind;

use crate::args::StateArgs;
use crate::exit::Exit;
use crate::queues::Consumer;
use crate::workers::Loaded;

/// Beside the first configuration, unless the command line says otherwise.
pub const FOLDER: &str = ".mayfly/state";

/// Opens the store, if any of these Workers needs one, gives each its classes' namespaces and what else it
/// is bound to, and says who consumes which queue.
pub fn open(
    arguments: &StateArgs,
    loaded: &mut [Loaded],
) -> Result<(Option<Arc<Store>>, Vec<Consumer>), Exit> {
    if !loaded.iter().any(needs_store) {
        return Ok((None, Vec::new()));
    }
    let store = match arguments.ephemeral {
        true => Store::ephemeral(),
        false => Store::open(&folder(arguments, loaded)),
    };
    let store = store.map_err(|error| explain(&error))?;
    migrate(&store, loaded)?;
    for worker in loaded.iter() {
        bind(&store, worker)?;
    }
    let namespaces = store.namespaces().map_err(|error| explain(&error))?;
    let mut open = Open::default();
    let consumers = open.consumers(&store, loaded)?;
    for worker in loaded {
        for (name, value) in &worker.kept {
            let binding = open.bind(&store, value)?;
            let bindings = &mut worker.definition.bindings;
            bindings.extend(binding.map(|binding| (name.clone(), binding)));
        }
        worker.definition.actors = namespaces
            .iter()
            .filter(|namespace| namespace.worker == worker.definition.name)
            .map(|found| (found.class.clone(), found.namespace.clone()))
            .collect();
    }
    Ok((Some(store), consumers))
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

/// What is open already: two bindings to one thing share it.
#[derive(Default)]
struct Open {
    kv: HashMap<String, HostedService>,
    d1: HashMap<String, Arc<d1::Line>>,
    r2: HashMap<String, (Option<S3Bucket>, HostedService)>,
    queues: HashMap<String, Arc<Line>>,
}

impl Open {
    /// The binding of something that the state keeps.
    fn bind(
        &mut self,
        store: &Arc<Store>,
        value: &BindingValue,
    ) -> Result<Option<BindingDefinition>, Exit> {
        let (kind, service) = match value {
            BindingValue::Kv { id } => (HostedKind::Kv {}, self.kv(store, id)?),
            BindingValue::D1(database) => {
                let service = D1Service::new(self.d1(store, &database.id)?);
                (HostedKind::D1 {}, HostedService(Arc::new(service)))
            }
            BindingValue::R2 { bucket, s3 } => (HostedKind::R2 {}, self.r2(store, bucket, s3)?),
            BindingValue::Queue { queue, delay } => {
                let service = QueueService::new(self.queue(store, queue)?, *delay);
                (HostedKind::Queue {}, HostedService(Arc::new(service)))
            }
            _ => return Ok(None),
        };
        Ok(Some(BindingDefinition::Hosted(kind, service)))
    }

    fn kv(&mut self, store: &Store, id: &str) -> Result<HostedService, Exit> {
        if let Some(service) = self.kv.get(id) {
            return Ok(service.clone());
        }
        let namespace = Kv::open(store, id).map_err(|error| explain(&error))?;
        let service = HostedService(Arc::new(KvService::new(namespace)));
        self.kv.insert(id.to_owned(), service.clone());
        Ok(service)
    }

    fn d1(&mut self, store: &Store, id: &str) -> Result<Arc<d1::Line>, Exit> {
        if let Some(line) = self.d1.get(id) {
            return Ok(line.clone());
        }
        let database = D1::open(store, id).map_err(|error| explain(&error))?;
        let line = d1::Line::new(database);
        self.d1.insert(id.to_owned(), line.clone());
        Ok(line)
    }

    fn queue(&mut self, store: &Store, name: &str) -> Result<Arc<Line>, Exit> {
        if let Some(line) = self.queues.get(name) {
            return Ok(line.clone());
        }
        let queue = Queue::open(store, name).map_err(|error| explain(&error))?;
        let line = Line::new(queue);
        self.queues.insert(name.to_owned(), line.clone());
        Ok(line)
    }

    /// A queue has one consumer, as on Cloudflare.
    fn consumers(&mut self, store: &Store, loaded: &[Loaded]) -> Result<Vec<Consumer>, Exit> {
        let mut consumers: Vec<Consumer> = Vec::new();
        for worker in loaded {
            for config in &worker.consumers {
                let name = &worker.definition.name;
                let known = consumers
                    .iter()
                    .find(|known| known.config.queue == config.queue);
                if let Some(known) = known {
                    return Err(Exit::Definition(format!(
                        "queues.consumers: \"{}\" is consumed by \"{}\" and by \"{name}\"; a queue has one \
                         consumer",
                        config.queue, known.worker
                    )));
                }
                let dead = config.dead_letter_queue.as_deref();
                let dead = dead.map(|dead| self.queue(store, dead)).transpose()?;
                consumers.push(Consumer {
                    worker: name.clone(),
                    config: config.clone(),
                    line: self.queue(store, &config.queue)?,
                    dead,
                });
            }
        }
        Ok(consumers)
    }

    fn r2(
        &mut self,
        store: &Store,
        bucket: &str,
        s3: &Option<S3Bucket>,
    ) -> Result<HostedService, Exit> {
        if let Some((before, service)) = self.r2.get(bucket) {
            if before != s3 {
                return Err(Exit::Definition(format!(
                    "r2_buckets: \"{bucket}\" is bound twice, with two different `mayfly_s3`"
                )));
            }
            return Ok(service.clone());
        }
        let options = s3.as_ref().map(|s3| s3_options(bucket, s3)).transpose()?;
        let service = R2Service::open(store, bucket, options.as_ref());
        let service = service.map_err(|error| match error {
            OpenError::Store(error) => explain(&error),
            error => Exit::Definition(format!("r2_buckets: \"{bucket}\": {error}")),
        })?;
        let service = HostedService(Arc::new(service));
        let opened = (s3.clone(), service.clone());
        self.r2.insert(bucket.to_owned(), opened);
        Ok(service)
    }
}

/// The settings with the credentials that the environment has.
fn s3_options(bucket: &str, s3: &S3Bucket) -> Result<S3Options, Exit> {
    let optional = |what: &str| {
        let value = std::env::var(format!("{}_{what}", s3.credentials)).ok();
        value.filter(|value| !value.is_empty())
    };
    let required = |what: &str| {
        optional(what).ok_or_else(|| {
            Exit::Definition(format!(
                "r2_buckets: \"{bucket}\" has `mayfly_s3`, but the environment variable {}_{what} is \
                 not set",
                s3.credentials
            ))
        })
    };
    Ok(S3Options {
        endpoint: s3.endpoint.clone(),
        region: s3.region.clone(),
        bucket: s3.bucket.clone(),
        prefix: s3.prefix.clone(),
        access_key_id: required("ACCESS_KEY_ID")?,
        secret_access_key: required("SECRET_ACCESS_KEY")?,
        session_token: optional("SESSION_TOKEN"),
    })
}

fn needs_store(worker: &Loaded) -> bool {
    let bound = worker.definition.bindings.iter();
    !worker.kept.is_empty()
        || !worker.consumers.is_empty()
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

/// Applies what has not been applied yet: each Worker's migrations in their order. One that needs a class
/// of another Worker waits for that Worker's.
fn migrate(store: &Store, loaded: &[Loaded]) -> Result<(), Exit> {
    for worker in loaded {
        refuse_removed(store, worker)?;
    }
    let mut left: Vec<(&str, &[Migration])> = loaded
        .iter()
        .map(|worker| (worker.definition.name.as_str(), &*worker.migrations))
        .collect();
    loop {
        let before: usize = left.iter().map(|(_, migrations)| migrations.len()).sum();
        let mut failed = None;
        for (name, migrations) in &mut left {
            while let [next, rest @ ..] = *migrations {
                match apply(store, name, next) {
                    Ok(()) => *migrations = rest,
                    Err(error) => {
                        failed.get_or_insert(error);
                        break;
                    }
                }
            }
        }
        let after: usize = left.iter().map(|(_, migrations)| migrations.len()).sum();
        match failed {
            None => return Ok(()),
            Some(error) if after == before => return Err(error),
            Some(_) => {}
        }
    }
}

fn apply(store: &Store, name: &str, migration: &Migration) -> Result<(), Exit> {
    let Migration { tag, steps, at } = migration;
    let changes: Vec<_> = steps.iter().map(change).collect();
    let applied = store.migrate(name, tag, &changes).map_err(|error| {
        Exit::Definition(format!("{at}: migration \"{tag}\": {}", chain(&error)))
    })?;
    if applied == Applied::Now {
        tracing::info!(worker = name, tag, "a migration was applied");
    }
    Ok(())
}

/// A tag that is gone from the file might come back for something else, which would then never be applied;
/// and the file would make other classes elsewhere than it made here.
fn refuse_removed(store: &Store, worker: &Loaded) -> Result<(), Exit> {
    let name = &worker.definition.name;
    let applied = store.migrations(name).map_err(|error| explain(&error))?;
    let listed = |tag: &String| worker.migrations.iter().any(|one| one.tag == *tag);
    match applied.iter().find(|tag| !listed(tag)) {
        Some(tag) => Err(Exit::Definition(format!(
            "{}: the migration \"{tag}\" was applied to the objects of \"{name}\" and is missing from \
             `migrations`: put it back, or choose another --state; nothing was changed",
            worker.file.display()
        ))),
        None => Ok(()),
    }
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
