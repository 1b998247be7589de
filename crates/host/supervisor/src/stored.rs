//! Stubs that an object stores: a capability as a token, bytes that outlive every process, and back.
//!
//! A token says what to reach: an entrypoint or a class of a configured Worker with its props, a Durable
//! Object, or what a `[restore]()` method of something that has a token gives (`restored`). Whatever else a
//! guest may hold lives only as long as somebody's process and has none. Whether a stub may be stored is
//! the target's to say: it must have been made with `ctx.exports`, or `ctx.restore()`, by a Worker that
//! has the flag [`FLAG`].
//!
//! Invariant: a token is sealed with the state's own key, since a guest keeps it and brings it back. So what is
//! redeemed is what was stored, if the Worker still is there and still has the flag; and nobody takes out
//! of a token those that are in it, which lead to what its holder was not given.

use std::fmt;
use std::sync::Arc;

use mayfly_store::ObjectId;
use mayfly_wire::{Blob, Failure, FailureKind, Limits, Reader, StoredStub, Wire, WireError};

use crate::actor::ActorCap;
use crate::call::overloaded;
use crate::capability::{Capability, ServiceCap};
use crate::guest::Guest;
use crate::held::{HeldAttachment, HeldPayload, Weight};
use crate::hub::Hub;
use crate::restored::{Origin, RestoredCap};
use crate::worker::Worker;

/// Lets a Worker's stubs be stored by whoever gets them.
pub const FLAG: &str = "allow_irrevocable_stub_storage";

/// Stubs in the props of stubs in the props; the same of args of `[restore]()`, and of those whose method it is.
const DEPTH_MAX: u32 = 16;

/// Bytes of a token; an object's values have a bound of their own.
const TOKEN_BYTES_MAX: usize = 2 * 1024 * 1024;

/// How to get again what a `[restore]()` method gave.
pub struct Recipe {
    /// Why it cannot be stored is told to whoever tries.
    token: Result<Vec<u8>, Failure>,
    /// What is nested in it.
    depth: u32,
    /// The method gave a service and not an object.
    pub service: bool,
    /// Counted on whoever made or read it.
    _weight: Weight,
}

impl Recipe {
    fn new(
        guest: &Guest,
        token: Result<Vec<u8>, Failure>,
        depth: u32,
        service: bool,
    ) -> Result<Self, Failure> {
        let bytes = token.as_ref().map_or(0, Vec::len);
        // The args are in it, and beside it where it was read.
        let weight = Weight::new(&guest.held_bytes, 2 * bytes)
            .ok_or_else(|| overloaded("bytes of this Worker wait in the host"))?;
        Ok(Self {
            token,
            depth,
            service,
            _weight: weight,
        })
    }

    fn at(&self, depth: u32, deepest: &mut u32) -> Result<Vec<u8>, Failure> {
        let below = depth.saturating_add(self.depth);
        if below > DEPTH_MAX {
            return Err(too_deep());
        }
        *deepest = below.max(*deepest);
        self.token.clone()
    }
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recipe")
    }
}

/// The recipe of what the method of `origin`, run by `worker` in `guest`, gave.
pub fn recipe(
    guest: &Guest,
    worker: &Worker,
    origin: &Origin,
    args: &HeldPayload,
    service: bool,
) -> Result<Recipe, Failure> {
    let hub = &guest.hub;
    let mut deepest = 0;
    let token = (|| {
        if !worker.has_flag() {
            return Err(not_storable());
        }
        let from = match origin {
            Origin::Stub(stub) => token_at(hub, stub, 1, &mut deepest)?,
            Origin::Recipe(recipe) => recipe.at(1, &mut deepest)?,
        };
        bounded(seal(
            hub,
            &StoredStub::Restored {
                from: Blob(from),
                args: args.bytes.clone(),
                stubs: tokens(hub, args, 1, &mut deepest)?,
                service,
            },
        ))
    })();
    Recipe::new(guest, token, deepest, service)
}

/// The token of a capability.
pub fn token(hub: &Hub, capability: &Capability) -> Result<Vec<u8>, Failure> {
    bounded(token_at(hub, capability, 0, &mut 0)?)
}

fn bounded(token: Vec<u8>) -> Result<Vec<u8>, Failure> {
    match token.len() > TOKEN_BYTES_MAX {
        true => Err(too_large()),
        false => Ok(token),
    }
}

fn too_large() -> Failure {
    refused(format!(
        "A stub's props, or the args that restore it, are too large to be stored: the limit is {TOKEN_BYTES_MAX} bytes."
    ))
}

/// The capability of a token that `guest` brings.
pub fn redeem(guest: &Arc<Guest>, token: &[u8]) -> Result<Capability, Failure> {
    revive(guest, token, 0, &mut 0)
}

fn token_at(
    hub: &Hub,
    capability: &Capability,
    depth: u32,
    deepest: &mut u32,
) -> Result<Vec<u8>, Failure> {
    match capability {
        Capability::Restored(restored) => restored.recipe().at(depth, deepest),
        _ => Ok(seal(hub, &describe(hub, capability, depth, deepest)?)),
    }
}

/// Of the stubs in a value.
fn tokens(
    hub: &Hub,
    value: &HeldPayload,
    depth: u32,
    deepest: &mut u32,
) -> Result<Vec<Blob>, Failure> {
    let mut tokens = Vec::with_capacity(value.attachments.len());
    let mut bytes = 0;
    for attachment in &value.attachments {
        let HeldAttachment::Cap(inner) = attachment else {
            return Err(refused("A stream in the props of a stub cannot be stored."));
        };
        let token = token_at(hub, inner, depth, deepest)?;
        // One stub may be there many times.
        bytes += token.len();
        if bytes > TOKEN_BYTES_MAX {
            return Err(too_large());
        }
        tokens.push(Blob(token));
    }
    Ok(tokens)
}

fn describe(
    hub: &Hub,
    capability: &Capability,
    depth: u32,
    deepest: &mut u32,
) -> Result<StoredStub, Failure> {
    if depth > DEPTH_MAX {
        return Err(too_deep());
    }
    *deepest = depth.max(*deepest);
    let (service, is_class) = match capability {
        Capability::Service(service) => (service, false),
        Capability::Class(class) => (class, true),
        Capability::Actor(actor) => return describe_actor(actor),
        Capability::Failed(failure) => return Err((**failure).clone()),
        Capability::Object(_) | Capability::Answer(_) => {
            return Err(refused("RpcStub cannot be serialized in this context."));
        }
        Capability::Network(_)
        | Capability::Blocked
        | Capability::Loader(_)
        | Capability::Stub(_)
        | Capability::Actors(_)
        | Capability::OwnActors(_)
        // Its recipe was taken instead.
        | Capability::Restored(_) => return Err(not_storable()),
    };
    if !service.storable || service.is_dynamic() {
        return Err(not_storable());
    }
    let stubs = tokens(hub, &service.props, depth + 1, deepest)?;
    let worker = service.worker.name.clone();
    let name = service.entrypoint.clone();
    let props = service.props.bytes.clone();
    Ok(match is_class {
        true => StoredStub::Class {
            worker,
            class: name,
            props,
            stubs,
        },
        false => StoredStub::Service {
            worker,
            entrypoint: name,
            props,
            stubs,
        },
    })
}

fn describe_actor(actor: &ActorCap) -> Result<StoredStub, Failure> {
    let found = actor.storable.then(|| actor.actor.identity()).flatten();
    let (class, id, name) = found.ok_or_else(not_storable)?;
    Ok(StoredStub::Actor {
        worker: class.worker.name.clone(),
        class: class.entrypoint.clone(),
        id: Blob(id.bytes().to_vec()),
        name,
    })
}

fn seal(hub: &Hub, stored: &StoredStub) -> Vec<u8> {
    let mut said = Vec::new();
    stored.encode(&mut said);
    hub.store.seal(&said)
}

fn revive(
    guest: &Arc<Guest>,
    token: &[u8],
    depth: u32,
    deepest: &mut u32,
) -> Result<Capability, Failure> {
    let hub = &guest.hub;
    let invalid = || refused("A stored stub is not one of this host's.");
    if depth > DEPTH_MAX {
        return Err(invalid());
    }
    *deepest = depth.max(*deepest);
    let said = hub.store.open_sealed(token).ok_or_else(invalid)?;
    match read(&said).map_err(|_| invalid())? {
        StoredStub::Service {
            worker,
            entrypoint,
            props,
            stubs,
        } => {
            let props = value(guest, props, &stubs, depth, deepest)?;
            let service = service(hub, &worker, entrypoint, props)?;
            Ok(Capability::Service(service))
        }
        StoredStub::Class {
            worker,
            class,
            props,
            stubs,
        } => {
            let props = value(guest, props, &stubs, depth, deepest)?;
            Ok(Capability::Class(service(hub, &worker, class, props)?))
        }
        StoredStub::Actor {
            worker,
            class,
            id,
            name,
        } => {
            let namespace = hub.namespace_of(&worker, &class).ok_or_else(|| {
                refused(format!(
                    "A stored stub's Durable Object class \"{class}\" of \"{worker}\" is not there any more."
                ))
            })?;
            check_flag(&namespace.class)?;
            let key = &namespace.stored.key;
            let id = ObjectId::check(&id.0, key).ok_or_else(invalid)?;
            let name = name.filter(|name| id.is_of(name, key));
            let actor = namespace.actor(hub, id, name);
            let stub = ActorCap::new(actor, None).storable();
            Ok(Capability::Actor(Arc::new(stub)))
        }
        StoredStub::Restored {
            from,
            args,
            stubs,
            service,
        } => {
            let mut below = depth;
            let from = revive(guest, &from.0, depth + 1, &mut below)?;
            let args = value(guest, args, &stubs, depth, &mut below)?;
            *deepest = below.max(*deepest);
            let recipe = Recipe::new(guest, Ok(token.to_vec()), below - depth, service)?;
            let asleep = RestoredCap::asleep(Arc::new(recipe), from, args);
            Ok(Capability::Restored(Arc::new(asleep)))
        }
    }
}

/// A value whose stubs are tokens.
fn value(
    guest: &Arc<Guest>,
    bytes: Blob,
    stubs: &[Blob],
    depth: u32,
    deepest: &mut u32,
) -> Result<HeldPayload, Failure> {
    let revived = |stub: &Blob| {
        let inner = revive(guest, &stub.0, depth + 1, deepest)?;
        Ok(HeldAttachment::Cap(inner))
    };
    Ok(HeldPayload {
        weight: Weight::default(),
        bytes,
        attachments: stubs.iter().map(revived).collect::<Result<_, _>>()?,
    })
}

fn read(said: &[u8]) -> Result<StoredStub, WireError> {
    let mut reader = Reader::new(said);
    let stored = StoredStub::decode(&mut reader)?;
    reader.finish()?;
    Ok(stored)
}

fn service(
    hub: &Arc<Hub>,
    worker: &str,
    entrypoint: String,
    props: HeldPayload,
) -> Result<Arc<ServiceCap>, Failure> {
    let handle = hub.deployed(worker).ok_or_else(|| {
        refused(format!(
            "A stored stub's Worker \"{worker}\" is not there any more."
        ))
    })?;
    let service = ServiceCap {
        worker: handle.worker().clone(),
        keep: Some(handle),
        entrypoint,
        props: Arc::new(props),
        limits: Limits::NONE,
        callback: None,
        storable: true,
        via: None,
    };
    check_flag(&service)?;
    Ok(Arc::new(service))
}

fn check_flag(service: &ServiceCap) -> Result<(), Failure> {
    match service.worker.lets_stubs_be_stored() {
        true => Ok(()),
        false => Err(no_flag_any_more()),
    }
}

/// What whoever uses a stored stub hears.
pub fn no_flag_any_more() -> Failure {
    Failure::new(
        FailureKind::Exception {},
        "Error",
        format!(
            "Invoked a Worker from a stored stub, but the target worker no longer has the {FLAG} \
             compatibility flag enabled."
        ),
    )
}

fn too_deep() -> Failure {
    refused(format!(
        "Stubs in the props of a stub, or in what restores it, are nested deeper than {DEPTH_MAX}."
    ))
}

fn not_storable() -> Failure {
    refused(format!(
        "Cannot store this stub because the target worker does not have the {FLAG} compatibility flag enabled."
    ))
}

fn refused(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Exception {}, "DataCloneError", message)
}
