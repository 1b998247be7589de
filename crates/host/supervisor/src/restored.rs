//! Stubs that `ctx.restore()` makes: whatever a `[restore](args)` method gave, beside how to get it again.
//!
//! The recipe is a sealed token (see `stored`): whose method with which args. Calls go to what the method gave;
//! wherever the stub goes, its recipe goes along, so whoever stores it stores the recipe. One that was
//! stored and read back has nothing yet to call: its first call makes the host call the method, and
//! those that come until it has answered wait.
//!
//! Whose method it is, is the host's to know: an entrypoint of the calling guest's own Worker, a Durable
//! Object in that guest, or, of a dynamic Worker and a facet, which nobody but their parents can start
//! again, the recipe that they were reached by. So nobody makes a recipe for what it is not. A recipe
//! leads on only through what its method gave of its own: a dynamic Worker that it loaded, a facet of the
//! object whose method it is. What it was given by others keeps the way back that it had, and hears of no
//! args but those that were made for it; else a Worker could learn the args of another, or choose them.
//!
//! Invariant: what is called is never a restored stub itself, so no call goes from one to the next for ever.

use std::fmt;
use std::sync::Arc;

use mayfly_wire::{
    ActorId, Attachment, CallId, CapId, CapKind, Failure, FailureKind, Limits, Payload,
};

use crate::actor::{Actor, ActorCap};
use crate::bounds::{NAME_BYTES_MAX, PIPELINE_QUEUE_MAX};
use crate::call::{Call, Caller, overloaded};
use crate::capability::{Capability, ObjectCap, ServiceCap};
use crate::ending::EndReason;
use crate::guest::{Guest, State};
use crate::held::{HeldEvent, HeldOutcome, HeldPayload};
use crate::hub::Hub;
use crate::lock::Mutex;
use crate::relay::{self, Violation};
use crate::stored::{self, Recipe};
use crate::translate::{Lift, LiftError, Purpose};
use crate::turn::Turn;

/// See the file's head.
pub struct RestoredCap {
    recipe: Arc<Recipe>,
    phase: Mutex<Phase>,
}

enum Phase {
    /// Nobody has called it since it was read.
    Asleep {
        from: Capability,
        args: Box<HeldPayload>,
    },
    /// The method was called.
    Asked {
        /// Of this object, where it is one's.
        giver: Option<Arc<Actor>>,
        waiting: Vec<(Arc<Call>, HeldEvent)>,
    },
    Live(Capability),
    Failed(Failure),
}

/// Whose method gives a stub.
pub enum Origin {
    /// Of what a stub can be stored of.
    Stub(Capability),
    /// Of what was reached by a recipe.
    Recipe(Arc<Recipe>),
}

impl RestoredCap {
    /// What a method gave just now.
    fn live(recipe: Arc<Recipe>, giver: Option<&Arc<Actor>>, target: Capability) -> Self {
        let live = reached_by(&recipe, giver, target);
        Self {
            recipe,
            phase: Mutex::new(Phase::Live(live)),
        }
    }

    /// What `[restore](args)` of `from` will give.
    pub fn asleep(recipe: Arc<Recipe>, from: Capability, args: HeldPayload) -> Self {
        let args = Box::new(args);
        Self {
            recipe,
            phase: Mutex::new(Phase::Asleep { from, args }),
        }
    }

    /// How to get it again.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// What its holder may do with it.
    pub fn kind(&self) -> CapKind {
        match self.recipe.service {
            true => CapKind::Service {},
            false => CapKind::Object {},
        }
    }

    /// What calls go to, where that is known.
    pub fn target(&self) -> Option<Capability> {
        match &*self.phase.lock() {
            Phase::Live(target) => Some(target.clone()),
            Phase::Asleep { .. } | Phase::Asked { .. } | Phase::Failed(_) => None,
        }
    }

    /// The object that calls go to.
    pub fn object(&self) -> Option<Arc<ObjectCap>> {
        match self.target() {
            Some(Capability::Object(object)) => Some(object),
            _ => None,
        }
    }

    /// Takes a call to what the method gave or will give.
    pub fn call(
        self: &Arc<Self>,
        turn: &mut Turn,
        hub: &Arc<Hub>,
        call: &Arc<Call>,
        event: HeldEvent,
    ) {
        let mut phase = self.phase.lock();
        let failure = match &mut *phase {
            Phase::Live(target) => {
                let target = target.clone();
                drop(phase);
                return self.pass(turn, hub, call, &target, event);
            }
            Phase::Asked { waiting, .. } if waiting.len() < PIPELINE_QUEUE_MAX => {
                waiting.push((call.clone(), event));
                return;
            }
            Phase::Asked { .. } => overloaded("calls wait for a stub to be restored"),
            Phase::Failed(failure) => failure.clone(),
            Phase::Asleep { .. } => {
                let asked = Phase::Asked {
                    giver: None,
                    waiting: vec![(call.clone(), event)],
                };
                let before = std::mem::replace(&mut *phase, asked);
                drop(phase);
                if let Phase::Asleep { from, args } = before {
                    let ask = Call::new(Caller::Restore(self.clone(), hub.clone()), false);
                    let event = HeldEvent::Restore { args: *args };
                    match &from {
                        Capability::Actor(actor) => self.asks(&actor.actor),
                        Capability::Restored(restored) => {
                            return restored.call(turn, hub, &ask, event);
                        }
                        _ => {}
                    }
                    relay::route(turn, hub, &ask, &from, event);
                }
                return;
            }
        };
        drop(phase);
        call.fail(turn, failure);
    }

    /// The method that is called is this object's.
    fn asks(&self, actor: &Arc<Actor>) {
        if let Phase::Asked { giver, .. } = &mut *self.phase.lock() {
            *giver = Some(actor.clone());
        }
    }

    /// A call to what the method gave.
    fn pass(
        &self,
        turn: &mut Turn,
        hub: &Arc<Hub>,
        call: &Arc<Call>,
        target: &Capability,
        event: HeldEvent,
    ) {
        if matches!(event, HeldEvent::Restore { .. }) {
            let via = match target {
                Capability::Service(service) => service.via.as_ref(),
                Capability::Actor(actor) => actor.via(),
                _ => None,
            };
            if !via.is_some_and(|via| Arc::ptr_eq(via, &self.recipe)) {
                let message = "The [restore]() method of a stored stub gave a dynamic Worker or a facet of its own, \
                               whose [restore]() made the stub. On replay it returned something else.";
                return call.fail(turn, type_error(message));
            }
            if let (Capability::Actor(actor), Some(restored)) = (target, call.restores()) {
                restored.asks(&actor.actor);
            }
        }
        relay::route(turn, hub, call, target, event);
    }

    /// The method has answered.
    pub(crate) fn arrived(self: &Arc<Self>, turn: &mut Turn, hub: &Arc<Hub>, outcome: HeldOutcome) {
        let found = match outcome {
            HeldOutcome::Restored { target } => self.fitting(target),
            HeldOutcome::Failed(failure) => Err(failure),
            _ => Err(type_error("The [restore]() method gave no stub.")),
        };
        let mut phase = self.phase.lock();
        let Phase::Asked { giver, waiting } = &mut *phase else {
            return;
        };
        let (giver, waiting) = (giver.take(), std::mem::take(waiting));
        let found = found.map(|target| reached_by(&self.recipe, giver.as_ref(), target));
        *phase = match &found {
            Ok(target) => Phase::Live(target.clone()),
            Err(failure) => Phase::Failed(failure.clone()),
        };
        drop(phase);
        for (call, event) in waiting {
            match &found {
                Ok(target) => self.pass(turn, hub, &call, target, event),
                Err(failure) => call.fail(turn, failure.clone()),
            }
        }
    }

    fn fitting(&self, target: Capability) -> Result<Capability, Failure> {
        let target = followed(target)?;
        match (self.recipe.service, is_service(&target)) {
            (true, false) => Err(type_error(
                "The [restore]() method originally returned a ServiceStub, but on replay it returned an \
                 RpcStub instead. It must always return the same type.",
            )),
            (false, true) => Err(type_error(
                "The [restore]() method originally returned an RpcStub, but on replay it returned a \
                 ServiceStub instead. It must always return the same type.",
            )),
            (true, true) | (false, false) => Ok(target),
        }
    }
}

/// What a `Restored` frame asks for.
pub struct Asked {
    /// Where it goes.
    pub slot: CapId,
    /// Whose `ctx`, of an entrypoint.
    pub call: CallId,
    /// Whose `ctx`, of a Durable Object.
    pub actor: Option<ActorId>,
    /// Of an entrypoint.
    pub entrypoint: String,
    /// Of an entrypoint.
    pub props: Payload,
    /// Of the method.
    pub args: Payload,
    /// What it gave.
    pub target: Attachment,
}

/// `ctx.restore()`, whose method has answered. Where it cannot be, the slot's every use says why.
pub fn restored(
    guest: &Arc<Guest>,
    mut state: std::sync::MutexGuard<'_, State>,
    asked: Asked,
) -> Result<(), Violation> {
    let slot = asked.slot;
    let Some(worker) = state.worker.clone() else {
        return Err(Violation::NotStarted);
    };
    let mut lift = Lift::new(guest, &mut state);
    // Everything is taken over, whatever is then refused.
    let target = lift.restored(asked.target)?;
    let props = taken(lift.payload(asked.props, Purpose::Props))?;
    let args = taken(lift.payload(asked.args, Purpose::Props))?;
    let resident = asked.actor.map(|actor| state.actors.get(&actor.0).cloned());
    let reached_by = state
        .calls_in
        .get(&asked.call.0)
        .and_then(|inbound| inbound.invocation.as_ref())
        .and_then(|invocation| invocation.via.clone());
    // An actor's lock comes before a guest's.
    drop(state);
    let made = (|| {
        let (target, props, args) = (followed(target)?, props?, args?);
        let giver = resident
            .iter()
            .flatten()
            .next()
            .map(|resident| resident.actor.clone());
        let origin = match resident {
            Some(None) => return Err(EndReason::Released.failure()),
            Some(Some(resident)) => resident.actor.origin(),
            None if worker.is_dynamic() => reached_by.map(Origin::Recipe),
            None if asked.entrypoint.len() > NAME_BYTES_MAX => {
                return Err(type_error("The entrypoint's name is too long."));
            }
            None => Some(Origin::Stub(Capability::Service(Arc::new(ServiceCap {
                storable: worker.lets_stubs_be_stored(),
                keep: worker.handle(),
                worker: worker.clone(),
                entrypoint: asked.entrypoint,
                props: Arc::new(props),
                limits: Limits::NONE,
                callback: None,
                via: None,
            })))),
        };
        let origin = origin.ok_or_else(no_self)?;
        let service = is_service(&target);
        let recipe = stored::recipe(guest, &worker, &origin, &args, service)?;
        let live = RestoredCap::live(Arc::new(recipe), giver.as_ref(), target);
        Ok(Capability::Restored(Arc::new(live)))
    })();
    let mut state = guest.lock();
    if !state.alive {
        return Ok(());
    }
    relay::introduce(&mut state, slot, made.unwrap_or_else(relay::failed))
}

/// A refusal is for the caller, a violation is the guest's end.
fn taken(
    lifted: Result<HeldPayload, LiftError>,
) -> Result<Result<HeldPayload, Failure>, Violation> {
    match lifted {
        Ok(payload) => Ok(Ok(payload)),
        Err(LiftError::Refused(failure)) => Ok(Err(failure)),
        Err(LiftError::Violation(violation)) => Err(violation),
    }
}

/// What a restored stub leads to instead of the stub itself.
fn followed(target: Capability) -> Result<Capability, Failure> {
    match &target {
        Capability::Restored(restored) => restored.target().ok_or_else(|| {
            type_error(
                "The [restore]() method returned a stub that was read from storage and never called, which \
                 would have to be restored itself. Restore it with this.ctx.restore(), or call it first.",
            )
        }),
        _ => Ok(target),
    }
}

fn is_service(target: &Capability) -> bool {
    matches!(
        target.kind(),
        CapKind::Service {} | CapKind::DynamicService {}
    )
}

/// What knows no way back to itself learns the one that it is called by, if it is the giver's own.
fn reached_by(recipe: &Arc<Recipe>, giver: Option<&Arc<Actor>>, target: Capability) -> Capability {
    match target {
        // One of another's came with a way back: nobody else can hand it on.
        Capability::Service(service) if service.is_dynamic() && service.via.is_none() => {
            Capability::Service(Arc::new(ServiceCap {
                via: Some(recipe.clone()),
                ..(*service).clone()
            }))
        }
        Capability::Actor(actor)
            if actor.via().is_none()
                && giver.is_some_and(|giver| actor.actor.is_facet_of(giver)) =>
        {
            Capability::Actor(Arc::new(ActorCap::reached_by(&actor, recipe.clone())))
        }
        other => other,
    }
}

fn no_self() -> Failure {
    Failure::new(
        FailureKind::Exception {},
        "Error",
        "ctx.restore() cannot be used in this context: nobody knows how to get back to a dynamic Worker or a facet \
         whose caller does not say so. Call it through a stub that its parent's own ctx.restore() made.",
    )
}

fn type_error(message: &str) -> Failure {
    Failure::new(FailureKind::Exception {}, "TypeError", message)
}

impl fmt::Debug for RestoredCap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Restored")
    }
}
