//! Stubs that an object stores: a capability as a token, bytes that outlive every process, and back.
//!
//! A token says what to reach: an entrypoint or a class of a configured Worker with its props, or a Durable
//! Object. Whatever else a guest may hold lives only as long as somebody's process and has none. Whether a
//! stub may be stored is the target's to say: it must have been made with `ctx.exports` by a Worker that has
//! the flag [`FLAG`].
//!
//! Invariant: a token is signed with the state's own key, since a guest brings it back; what is redeemed is
//! what was stored, if the Worker still is there and still has the flag.

use std::sync::Arc;

use mayfly_store::ObjectId;
use mayfly_wire::{Blob, Failure, FailureKind, Limits, Reader, StoredStub, Wire, WireError};

use crate::actor::ActorCap;
use crate::capability::{Capability, ServiceCap};
use crate::held::{HeldAttachment, HeldPayload, Weight};
use crate::hub::Hub;

/// Lets a Worker's stubs be stored by whoever gets them.
pub const FLAG: &str = "allow_irrevocable_stub_storage";

/// Stubs in the props of stubs in the props.
const DEPTH_MAX: u32 = 16;

/// Bytes of a token; an object's values have a bound of their own.
const TOKEN_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The token of a capability.
pub fn token(hub: &Hub, capability: &Capability) -> Result<Vec<u8>, Failure> {
    let token = sign(hub, &describe(hub, capability, 0)?);
    match token.len() > TOKEN_BYTES_MAX {
        true => Err(refused(format!(
            "A stub's props are too large to be stored: the limit is {TOKEN_BYTES_MAX} bytes."
        ))),
        false => Ok(token),
    }
}

/// The capability of a token.
pub fn redeem(hub: &Arc<Hub>, token: &[u8]) -> Result<Capability, Failure> {
    revive(hub, token, 0)
}

fn describe(hub: &Hub, capability: &Capability, depth: u32) -> Result<StoredStub, Failure> {
    if depth > DEPTH_MAX {
        let message = format!("Stubs in the props of a stub are nested deeper than {DEPTH_MAX}.");
        return Err(refused(message));
    }
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
        | Capability::OwnActors(_) => return Err(not_storable()),
    };
    if !service.storable || service.is_dynamic() {
        return Err(not_storable());
    }
    let mut stubs = Vec::with_capacity(service.props.attachments.len());
    for attachment in &service.props.attachments {
        let HeldAttachment::Cap(inner) = attachment else {
            return Err(refused("A stream in the props of a stub cannot be stored."));
        };
        let inner = describe(hub, inner, depth + 1)?;
        stubs.push(Blob(sign(hub, &inner)));
    }
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

fn sign(hub: &Hub, stored: &StoredStub) -> Vec<u8> {
    let mut said = Vec::new();
    stored.encode(&mut said);
    let mut token = hub.store.sign(&said).to_vec();
    token.extend_from_slice(&said);
    token
}

fn revive(hub: &Arc<Hub>, token: &[u8], depth: u32) -> Result<Capability, Failure> {
    let invalid = || refused("A stored stub is not one of this host's.");
    if depth > DEPTH_MAX {
        return Err(invalid());
    }
    let (signature, said) = token
        .split_at_checked(mayfly_store::SIGNATURE_BYTES)
        .ok_or_else(invalid)?;
    // Guests learn nothing from how long this takes that they could use: they cannot choose a key.
    if hub.store.sign(said) != *signature {
        return Err(invalid());
    }
    match read(said).map_err(|_| invalid())? {
        StoredStub::Service {
            worker,
            entrypoint,
            props,
            stubs,
        } => {
            let service = service(hub, worker, entrypoint, props, &stubs, depth)?;
            Ok(Capability::Service(service))
        }
        StoredStub::Class {
            worker,
            class,
            props,
            stubs,
        } => Ok(Capability::Class(service(
            hub, worker, class, props, &stubs, depth,
        )?)),
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
    }
}

fn read(said: &[u8]) -> Result<StoredStub, WireError> {
    let mut reader = Reader::new(said);
    let stored = StoredStub::decode(&mut reader)?;
    reader.finish()?;
    Ok(stored)
}

fn service(
    hub: &Arc<Hub>,
    worker: String,
    entrypoint: String,
    props: Blob,
    stubs: &[Blob],
    depth: u32,
) -> Result<Arc<ServiceCap>, Failure> {
    let handle = hub.deployed(&worker).ok_or_else(|| {
        refused(format!(
            "A stored stub's Worker \"{worker}\" is not there any more."
        ))
    })?;
    let attachments = stubs
        .iter()
        .map(|stub| revive(hub, &stub.0, depth + 1).map(HeldAttachment::Cap))
        .collect::<Result<_, _>>()?;
    let service = ServiceCap {
        worker: handle.worker().clone(),
        keep: Some(handle),
        entrypoint,
        props: Arc::new(HeldPayload {
            weight: Weight::default(),
            bytes: props,
            attachments,
        }),
        limits: Limits::NONE,
        callback: None,
        storable: true,
    };
    check_flag(&service)?;
    Ok(Arc::new(service))
}

fn check_flag(service: &ServiceCap) -> Result<(), Failure> {
    match service.worker.lets_stubs_be_stored() {
        true => Ok(()),
        false => Err(Failure::new(
            FailureKind::Exception {},
            "Error",
            format!(
                "Invoked a Worker from a stored stub, but the target worker no longer has the {FLAG} \
                 compatibility flag enabled."
            ),
        )),
    }
}

fn not_storable() -> Failure {
    refused(format!(
        "Cannot store this stub because the target worker does not have the {FLAG} compatibility flag enabled."
    ))
}

fn refused(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Exception {}, "DataCloneError", message)
}
