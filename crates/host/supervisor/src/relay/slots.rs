//! Capabilities in slots of a guest's choice: entrypoints, classes, objects and facets.
//!
//! What a guest asks for and may not have is a capability all of whose uses fail, so it hears why when it
//! uses it; a slot that it had no right to name is a violation.

use super::{Locked, Violation};
use crate::actor::ActorCap;
use crate::bounds::{FACET_NAME_BYTES_MAX, NAME_BYTES_MAX};
use crate::capability::{Capability, ServiceCap, StubCap};
use crate::ending::EndReason;
use crate::guest::{Guest, State};
use crate::held::HeldPayload;
use crate::translate::{Lift, LiftError, Purpose};
use mayfly_store::ObjectId;
use mayfly_wire::bounds::CAPS_MAX;
use mayfly_wire::{CapId, Failure, FailureKind, Limits};
use std::sync::Arc;

/// Puts a capability into a slot of the guest's choice.
pub fn introduce(state: &mut State, slot: CapId, capability: Capability) -> Result<(), Violation> {
    if slot.0.is_multiple_of(2) || state.caps.contains_key(&slot.0) {
        return Err(Violation::CapTaken(slot));
    }
    if state.caps.len() >= CAPS_MAX {
        return Err(Violation::TooManyCaps);
    }
    state.caps.insert(slot.0, capability);
    Ok(())
}

/// A capability whose every use fails.
pub fn failed(failure: Failure) -> Capability {
    Capability::Failed(Arc::new(failure))
}

pub(super) fn too_long(what: &str, bytes: usize, limit: usize) -> Failure {
    Failure::new(
        FailureKind::Limit {},
        "TypeError",
        format!("{what} is {bytes} bytes, limit {limit}"),
    )
}

pub(super) fn get_entrypoint(
    guest: &Arc<Guest>,
    state: Locked<'_>,
    service: CapId,
    worker: CapId,
    name: Option<String>,
    props: mayfly_wire::Payload,
    limits: Limits,
) -> Result<(), Violation> {
    let export = Export {
        what: "entrypoint name",
        name: name.unwrap_or_default(),
        props,
        limits,
        make: Capability::Service,
    };
    get_export(guest, state, service, worker, export)
}

/// What is asked for of a dynamic Worker.
struct Export {
    /// What the name is, in an error.
    what: &'static str,
    name: String,
    props: mayfly_wire::Payload,
    limits: Limits,
    make: fn(Arc<ServiceCap>) -> Capability,
}

fn get_export(
    guest: &Arc<Guest>,
    mut state: Locked<'_>,
    slot: CapId,
    worker: CapId,
    export: Export,
) -> Result<(), Violation> {
    let Export {
        what,
        name,
        props,
        limits,
        make,
    } = export;
    let props = Lift::new(guest, &mut state).payload(props, Purpose::Props);
    let stub: Arc<StubCap> = match state.caps.get(&worker.0) {
        Some(Capability::Stub(stub)) => stub.clone(),
        Some(Capability::Failed(failure)) => {
            let failure = Capability::Failed(failure.clone());
            return introduce(&mut state, slot, failure);
        }
        Some(_) => return Err(Violation::NotAStub(worker)),
        None => return Err(Violation::UnknownCap(worker)),
    };
    let capability = match props {
        Err(LiftError::Violation(violation)) => return Err(violation),
        Err(LiftError::Refused(failure)) => failed(failure),
        Ok(_) if name.len() > NAME_BYTES_MAX => failed(too_long(what, name.len(), NAME_BYTES_MAX)),
        Ok(props) => make(Arc::new(ServiceCap {
            worker: stub.handle.worker().clone(),
            keep: Some(stub.handle.clone()),
            entrypoint: name,
            props: Arc::new(props),
            limits,
            callback: stub.callback.clone(),
            storable: false,
            via: None,
        })),
    };
    introduce(&mut state, slot, capability)
}

pub(super) fn get_self(
    guest: &Arc<Guest>,
    mut state: Locked<'_>,
    service: CapId,
    name: String,
    props: mayfly_wire::Payload,
    make: fn(Arc<ServiceCap>) -> Capability,
) -> Result<(), Violation> {
    let props = Lift::new(guest, &mut state).payload(props, Purpose::Props);
    let Some(worker) = state.worker.clone() else {
        return Err(Violation::NotStarted);
    };
    let storable = worker.lets_stubs_be_stored();
    let capability = match props {
        Err(LiftError::Violation(violation)) => return Err(violation),
        Err(LiftError::Refused(failure)) => failed(failure),
        Ok(_) if name.len() > NAME_BYTES_MAX => {
            failed(too_long("entrypoint name", name.len(), NAME_BYTES_MAX))
        }
        Ok(props) => make(Arc::new(ServiceCap {
            worker,
            keep: None,
            entrypoint: name,
            props: Arc::new(props),
            limits: Limits::NONE,
            callback: None,
            storable,
            via: None,
        })),
    };
    introduce(&mut state, service, capability)
}

pub(super) fn get_actor(
    guest: &Arc<Guest>,
    mut state: Locked<'_>,
    stub: CapId,
    namespace: CapId,
    id: &[u8],
    name: Option<String>,
) -> Result<(), Violation> {
    let (found, storable) = match state.caps.get(&namespace.0) {
        Some(Capability::Actors(found)) => (found.clone(), false),
        Some(Capability::OwnActors(found)) => {
            let storable = found.class.worker.lets_stubs_be_stored();
            (found.clone(), storable)
        }
        Some(_) => return Err(Violation::NotANamespace(namespace)),
        None => return Err(Violation::UnknownCap(namespace)),
    };
    let key = &found.stored.key;
    // The platform has checked the id; a guest that talks past it hears the same.
    let capability = match ObjectId::check(id, key) {
        Some(id) => {
            let name = name.filter(|name| id.is_of(name, key));
            let actor = found.actor(&guest.hub, id, name);
            let stub = ActorCap::new(actor, None);
            Capability::Actor(Arc::new(match storable {
                true => stub.storable(),
                false => stub,
            }))
        }
        None => failed(Failure::new(
            FailureKind::Exception {},
            "TypeError",
            "Invalid Durable Object ID. The ID does not match this Durable Object class.",
        )),
    };
    introduce(&mut state, stub, capability)
}

pub(super) fn get_class(
    guest: &Arc<Guest>,
    state: Locked<'_>,
    class: CapId,
    worker: CapId,
    name: Option<String>,
    props: mayfly_wire::Payload,
) -> Result<(), Violation> {
    let export = Export {
        what: "class name",
        name: name.unwrap_or_else(|| "default".to_owned()),
        props,
        limits: Limits::NONE,
        make: Capability::Class,
    };
    get_export(guest, state, class, worker, export)
}

pub(super) fn get_facet(
    guest: &Arc<Guest>,
    mut state: Locked<'_>,
    stub: CapId,
    actor: mayfly_wire::ActorId,
    name: String,
    start: mayfly_wire::ExportId,
) -> Result<(), Violation> {
    let start = Lift::new(guest, &mut state).export(start);
    let capability = match state.actors.get(&actor.0) {
        _ if name.len() > FACET_NAME_BYTES_MAX => {
            failed(too_long("facet name", name.len(), FACET_NAME_BYTES_MAX))
        }
        Some(resident) => match resident.actor.facet(&name) {
            Ok(facet) => Capability::Actor(Arc::new(ActorCap::new(facet, Some(start)))),
            Err(failure) => failed(failure),
        },
        // It ended on this side meanwhile.
        None => failed(EndReason::Released.failure()),
    };
    introduce(&mut state, stub, capability)
}

/// No props.
pub fn no_props() -> Arc<HeldPayload> {
    Arc::new(HeldPayload::default())
}
