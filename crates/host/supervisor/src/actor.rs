//! Actors: Durable Objects and facets, whether or not an instance of one runs now.
//!
//! An actor is an id of a namespace (or a facet's name under another actor), the place of its
//! database and, while it lives, one instance in a guest of its class's Worker. The guest is the one
//! that runs the Worker's entrypoints as well, as workerd has one isolate for both: an object costs an
//! instance in a process that is there, not a process, and what `worker` knows about starting, queueing
//! and ending holds for it unchanged. Calls wait in the Worker's queue until there is a guest; the
//! first one that arrives there starts the instance.
//!
//! What an instance writes is `gate`'s business, when it is woken `alarms`', and `hibernation` holds its
//! WebSockets while there is none.
//!
//! Invariant: one instance of an actor has its storage at any time. Each has a serial number, and only
//! the last one's questions are answered, whatever another guest still says.

use crate::bounds::{FACET_DEPTH_MAX, FACETS_MAX, WORKER_QUEUE_MAX};
use crate::call::{Call, Caller, Target, deliver, overloaded};
use crate::capability::{Capability, ObjectCap, ServiceCap};
use crate::ending::EndReason;
use crate::guest::{Guest, State};
use crate::held::{HeldEvent, HeldOutcome};
use crate::hibernation::Sockets;
use crate::hub::Hub;
use crate::lock::Mutex;
use crate::placement;
use crate::restored::Origin;
use crate::stored::Recipe;
use crate::translate::{Attach, Lower};
use crate::turn::Turn;
use crate::worker::{PendingInvoke, Worker};
use mayfly_store::{Database, Namespace as Stored, ObjectId, Place, StoreError};
use mayfly_wire::{ActorId, ActorStart, Failure, FailureKind, ToGuest};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

/// A class's objects.
pub struct Namespace {
    /// Its folder and key.
    pub stored: Stored,
    /// The class: a Worker and an export name.
    pub class: Arc<ServiceCap>,
    actors: Mutex<HashMap<ObjectId, Weak<Actor>>>,
}

/// See the file's head.
pub struct Actor {
    pub(crate) hub: Arc<Hub>,
    kind: Kind,
    place: Place,
    state: Mutex<ActorState>,
    storage: Mutex<Storage>,
    facets: Mutex<HashMap<String, Arc<Actor>>>,
    /// WebSockets that outlive its instances.
    pub(crate) sockets: Sockets,
    /// Events delivered and not done.
    in_flight: AtomicU32,
    used_ms: AtomicU64,
    /// Its last question took long: the next one is answered off the runtime's threads.
    pub(crate) slow: AtomicBool,
}

enum Kind {
    Object {
        namespace: Arc<Namespace>,
        id: ObjectId,
        /// Known once somebody has asked for it by its name; the id does not tell.
        name: OnceLock<String>,
    },
    Facet {
        parent: Weak<Actor>,
        depth: u32,
    },
}

struct ActorState {
    /// An object's is its namespace's. A facet has one while it runs.
    class: Option<Arc<ServiceCap>>,
    /// `ctx.id`, where a facet was given one.
    given_id: Option<String>,
    /// Calls that wait until a facet's class is known.
    asking: Option<Vec<(Arc<Call>, HeldEvent)>>,
    live: Option<Arc<Incarnation>>,
    /// Where an object's instance lives or will: its class's Worker or a sibling of that.
    assigned: Option<Arc<Worker>>,
    /// How many instances broke, and why the last one did.
    breaks: u64,
    broke_with: Option<Failure>,
    /// What a facet was last called by, where that leads back to it.
    via: Option<Arc<Recipe>>,
}

/// One instance.
#[derive(Debug)]
pub struct Incarnation {
    /// Never used again.
    pub serial: u64,
    /// Where it lives.
    pub guest: Arc<Guest>,
    /// Its number there.
    pub number: ActorId,
}

/// What became of an event that came for an object.
#[derive(Debug)]
pub(crate) enum Entered {
    /// The instance is in this guest.
    Here(Arc<Incarnation>),
    /// It lives with another Worker's guest.
    Elsewhere,
    /// The guest has ended.
    Ended,
}

/// An instance as its guest's table has it.
#[derive(Debug, Clone)]
pub struct Resident {
    /// Of what.
    pub actor: Arc<Actor>,
    /// Which.
    pub incarnation: Arc<Incarnation>,
}

#[derive(Default)]
pub(crate) struct Storage {
    /// The serial number of the instance that may ask; 0 is nobody.
    pub owner: u64,
    /// The owner has not asked anything yet.
    pub fresh: bool,
    pub database: Option<Database>,
}

/// The right to call an actor.
pub struct ActorCap {
    /// Which.
    pub actor: Arc<Actor>,
    /// Asked for a facet's class where it does not run.
    start: Option<Arc<ObjectCap>>,
    /// How many instances had broken when it was first used.
    breaks: OnceLock<u64>,
    /// Made with `ctx.exports` by a Worker that lets its stubs be stored.
    pub storable: bool,
    /// Leads back to a facet.
    via: Option<Arc<Recipe>>,
}

/// Counts an event under way in an actor.
#[derive(Debug)]
pub struct ActorUse {
    /// Where.
    pub actor: Arc<Actor>,
    /// In which instance.
    pub serial: u64,
}

impl Namespace {
    /// The objects of a class.
    pub fn new(stored: Stored, class: Arc<ServiceCap>) -> Arc<Self> {
        Arc::new(Self {
            stored,
            class,
            actors: Mutex::new(HashMap::new()),
        })
    }

    /// The actor of an id; the same one for as long as anything refers to it.
    pub fn actor(
        self: &Arc<Self>,
        hub: &Arc<Hub>,
        id: ObjectId,
        name: Option<String>,
    ) -> Arc<Actor> {
        let mut actors = self.actors.lock();
        if let Some(actor) = actors.get(&id).and_then(Weak::upgrade) {
            if let (Kind::Object { name: known, .. }, Some(name)) = (&actor.kind, name) {
                known.get_or_init(|| name);
            }
            return actor;
        }
        let name = name.map_or_else(OnceLock::new, OnceLock::from);
        let kind = Kind::Object {
            namespace: self.clone(),
            id,
            name,
        };
        let place = Place::object(&self.stored.folder, &id);
        let actor = Actor::new(hub, kind, place, Some(self.class.clone()));
        actors.insert(id, Arc::downgrade(&actor));
        actor
    }

    fn forget(&self, id: &ObjectId) {
        let mut actors = self.actors.lock();
        if actors
            .get(id)
            .is_some_and(|actor| actor.strong_count() == 0)
        {
            actors.remove(id);
        }
    }
}

impl Actor {
    fn new(hub: &Arc<Hub>, kind: Kind, place: Place, class: Option<Arc<ServiceCap>>) -> Arc<Self> {
        Arc::new(Self {
            hub: hub.clone(),
            kind,
            place,
            state: Mutex::new(ActorState {
                class,
                given_id: None,
                asking: None,
                live: None,
                assigned: None,
                breaks: 0,
                broke_with: None,
                via: None,
            }),
            storage: Mutex::default(),
            facets: Mutex::new(HashMap::new()),
            sockets: Sockets::default(),
            in_flight: AtomicU32::new(0),
            used_ms: AtomicU64::new(hub.now_ms()),
            slow: AtomicBool::new(false),
        })
    }

    /// Delivers an event, starting an instance where there is none.
    pub fn dispatch(
        self: &Arc<Self>,
        turn: &mut Turn,
        call: &Arc<Call>,
        event: HeldEvent,
        start: Option<&Arc<ObjectCap>>,
    ) {
        let class = {
            let mut locked = self.state.lock();
            let state = &mut *locked;
            match (&state.class, &mut state.asking) {
                (Some(class), _) => class.clone(),
                (None, Some(waiting)) => {
                    if waiting.len() < WORKER_QUEUE_MAX {
                        waiting.push((call.clone(), event));
                        return;
                    }
                    drop(locked);
                    call.fail(turn, overloaded("calls wait for this facet to start"));
                    return;
                }
                (None, asking) => {
                    let Some(start) = start else {
                        drop(locked);
                        call.fail(turn, EndReason::Released.failure());
                        return;
                    };
                    *asking = Some(vec![(call.clone(), event)]);
                    drop(locked);
                    self.ask_for_class(turn, start);
                    return;
                }
            }
        };
        self.dispatch_to(turn, call, event, class);
    }

    fn dispatch_to(
        self: &Arc<Self>,
        turn: &mut Turn,
        call: &Arc<Call>,
        event: HeldEvent,
        class: Arc<ServiceCap>,
    ) {
        let worker = self.worker_for(turn, &class);
        let Some(handle) = class.keep.clone().or_else(|| worker.handle()) else {
            call.fail(turn, EndReason::Released.failure());
            return;
        };
        worker.dispatch(
            turn,
            PendingInvoke {
                call: call.clone(),
                service: class,
                actor: Some(self.clone()),
                event,
                handle,
            },
        );
    }

    /// An event that came to another Worker than the one that the object is assigned to.
    pub(crate) fn redirect(turn: &mut Turn, pending: PendingInvoke) {
        let PendingInvoke {
            call,
            service,
            actor,
            event,
            ..
        } = pending;
        match actor {
            Some(actor) => actor.dispatch_to(turn, &call, event, service),
            None => call.fail(turn, EndReason::Closed.failure()),
        }
    }

    /// The Worker in whose guest the instance lives, or is to start.
    fn worker_for(self: &Arc<Self>, turn: &mut Turn, class: &ServiceCap) -> Arc<Worker> {
        if matches!(self.kind, Kind::Facet { .. }) {
            return class.worker.clone();
        }
        let (assigned, live) = {
            let state = self.state.lock();
            (state.assigned.clone(), state.live.clone())
        };
        match (assigned, live) {
            (Some(assigned), None) => return assigned,
            (Some(assigned), Some(live)) => {
                // One that is idle in a guest that is busy lives on elsewhere.
                if self.is_busy() || !placement::is_stalled(&live.guest) || !self.rest(turn) {
                    return assigned;
                }
            }
            (None, _) => {}
        }
        let chosen = placement::choose(&class.worker);
        let mut state = self.state.lock();
        state.assigned.get_or_insert(chosen).clone()
    }

    fn ask_for_class(self: &Arc<Self>, turn: &mut Turn, start: &Arc<ObjectCap>) {
        let call = Call::new(Caller::Facet(self.clone()), false);
        let target = Target::Export(start.export);
        if deliver(
            turn,
            &start.guest,
            target,
            &call,
            HeldEvent::StartFacet,
            None,
        )
        .is_err()
        {
            call.fail(turn, start.guest.lost());
        }
    }

    /// The callback of `facets.get()` answered.
    pub(crate) fn class_arrived(self: &Arc<Self>, turn: &mut Turn, outcome: HeldOutcome) {
        let found = match outcome {
            HeldOutcome::Facet { class, id } => Ok((class, id)),
            HeldOutcome::Failed(failure) => Err(failure),
            _ => Err(Failure::new(
                FailureKind::Exception {},
                "TypeError",
                "the callback of facets.get() did not give a class",
            )),
        };
        let waiting = {
            let mut state = self.state.lock();
            if let Ok((class, id)) = &found {
                state.class = Some(class.clone());
                state.given_id.clone_from(id);
            }
            state.asking.take().unwrap_or_default()
        };
        for (call, event) in waiting {
            match &found {
                Ok((class, _)) => self.dispatch_to(turn, &call, event, class.clone()),
                Err(failure) => call.fail(turn, failure.clone()),
            }
        }
    }

    /// The instance in the guest of `worker`, started there if there is none. The frame that starts it
    /// goes before whatever is sent next.
    pub(crate) fn enter(
        self: &Arc<Self>,
        worker: &Arc<Worker>,
        guest: &Arc<Guest>,
        class: &Arc<ServiceCap>,
        attach: &mut Vec<Attach>,
    ) -> Entered {
        let mut state = self.state.lock();
        if let Some(assigned) = &state.assigned
            && !Arc::ptr_eq(assigned, worker)
        {
            return Entered::Elsewhere;
        }
        if state.assigned.is_none() && matches!(self.kind, Kind::Object { .. }) {
            // Its instance ended after the event was on its way here.
            state.assigned = Some(worker.clone());
        }
        if let Some(live) = &state.live
            && Arc::ptr_eq(&live.guest, guest)
        {
            return Entered::Here(live.clone());
        }
        let mut there = guest.lock();
        if !there.alive {
            return Entered::Ended;
        }
        let incarnation = Arc::new(Incarnation {
            serial: self.hub.next_serial(),
            guest: guest.clone(),
            number: there.next_actor_id(),
        });
        let resident = Resident {
            actor: self.clone(),
            incarnation: incarnation.clone(),
        };
        there.actors.insert(incarnation.number.0, resident);
        let frame = ToGuest::StartActor {
            actor: incarnation.number,
            start: Box::new(self.start_of(&state, class, guest, &mut there, attach)),
        };
        guest.push(&mut there, &frame);
        drop(there);
        let mut storage = self.storage.lock();
        if storage.owner != 0
            && let Some(database) = &mut storage.database
        {
            // The one before did not end in order: what it had not finished is forgotten.
            database.rollback();
        }
        storage.owner = incarnation.serial;
        storage.fresh = true;
        drop(storage);
        state.live = Some(incarnation.clone());
        Entered::Here(incarnation)
    }

    fn start_of(
        &self,
        state: &ActorState,
        class: &ServiceCap,
        guest: &Arc<Guest>,
        there: &mut State,
        attach: &mut Vec<Attach>,
    ) -> ActorStart {
        let (id, name) = match &state.given_id {
            Some(id) => (id.clone(), None),
            None => self.id(),
        };
        let (sql, alarms) = match &self.kind {
            Kind::Object { namespace, .. } => (namespace.stored.sql, true),
            Kind::Facet { .. } => (true, false),
        };
        ActorStart {
            class: class.entrypoint.clone(),
            props: Lower::new(guest, there, attach).shared(&class.props),
            id,
            name,
            sql,
            alarms,
        }
    }

    /// Whether another instance runs it beside itself.
    pub(crate) fn is_facet(&self) -> bool {
        matches!(self.kind, Kind::Facet { .. })
    }

    /// Whether it is a facet of `object`.
    pub(crate) fn is_facet_of(&self, object: &Arc<Self>) -> bool {
        match &self.kind {
            Kind::Facet { parent, .. } => std::ptr::eq(parent.as_ptr(), Arc::as_ptr(object)),
            Kind::Object { .. } => false,
        }
    }

    /// The id that a trace tells of it: a facet's is its object's.
    pub(crate) fn traced_id(&self) -> String {
        self.id().0
    }

    /// Its class, id and name; none of a facet, which only its parent reaches.
    pub(crate) fn identity(&self) -> Option<(Arc<ServiceCap>, ObjectId, Option<String>)> {
        match &self.kind {
            Kind::Object {
                namespace,
                id,
                name,
            } => Some((namespace.class.clone(), *id, name.get().cloned())),
            Kind::Facet { .. } => None,
        }
    }

    /// Whose method `ctx.restore()` calls in it; none of a facet that was reached by no recipe.
    pub(crate) fn origin(self: &Arc<Self>) -> Option<Origin> {
        let Kind::Object { namespace, .. } = &self.kind else {
            return self.state.lock().via.clone().map(Origin::Recipe);
        };
        let mut stub = ActorCap::new(self.clone(), None);
        stub.storable = namespace.class.worker.lets_stubs_be_stored();
        Some(Origin::Stub(Capability::Actor(Arc::new(stub))))
    }

    /// Its id and name; a facet's are its parent's.
    fn id(&self) -> (String, Option<String>) {
        match &self.kind {
            Kind::Object { id, name, .. } => (id.hex(), name.get().cloned()),
            Kind::Facet { parent, .. } => parent
                .upgrade()
                .map(|parent| {
                    let given = parent.state.lock().given_id.clone();
                    match given {
                        Some(id) => (id, None),
                        None => parent.id(),
                    }
                })
                .unwrap_or_default(),
        }
    }

    /// Which object has an alarm; facets have none.
    pub(crate) fn object(&self) -> Option<(&str, &ObjectId)> {
        match &self.kind {
            Kind::Object { namespace, id, .. } => Some((&namespace.stored.folder, id)),
            Kind::Facet { .. } => None,
        }
    }

    /// The instance that lives now.
    fn live(&self) -> Option<Arc<Incarnation>> {
        self.state.lock().live.clone()
    }

    /// An instance is over without an end of its own: its guest is gone. What it had not finished is
    /// forgotten, and its facets end.
    pub(crate) fn lost(self: &Arc<Self>, turn: &mut Turn, serial: u64, failure: &Failure) {
        if self.leave(serial, None) {
            self.end_facets(turn, failure);
        }
    }

    /// An instance is over because of what happened in it.
    pub(crate) fn broke(self: &Arc<Self>, turn: &mut Turn, serial: u64, failure: &Failure) {
        if self.leave(serial, Some(failure)) {
            self.end_facets(turn, failure);
        }
    }

    /// Forgets an instance; `false` if it was not the one that lives.
    fn leave(&self, serial: u64, broken: Option<&Failure>) -> bool {
        let mut state = self.state.lock();
        if state.live.take_if(|live| live.serial == serial).is_none() {
            return false;
        }
        if let Some(failure) = broken {
            state.breaks += 1;
            state.broke_with = Some(failure.clone());
        }
        if matches!(self.kind, Kind::Facet { .. }) {
            state.class = None;
            state.given_id = None;
            state.via = None;
        }
        let mut storage = self.storage.lock();
        if storage.owner == serial {
            storage.owner = 0;
            if let Some(database) = &mut storage.database {
                database.rollback();
            }
        }
        drop(storage);
        drop(state);
        match broken {
            Some(_) => self.sockets.drop_all(),
            None => self.sockets.drop_unclaimed(),
        }
        true
    }

    fn end_facets(&self, turn: &mut Turn, failure: &Failure) {
        let facets: Vec<_> = self.facets.lock().values().cloned().collect();
        for facet in facets {
            facet.abort(turn, failure);
        }
    }

    /// Ends its instance from outside: what is under way in it fails with `failure`.
    pub(crate) fn abort(self: &Arc<Self>, turn: &mut Turn, failure: &Failure) {
        let Some(live) = self.live() else {
            self.end_facets(turn, failure);
            return;
        };
        let mut under_way = Vec::new();
        {
            let mut there = live.guest.lock();
            there.actors.remove(&live.number.0);
            let frame = ToGuest::StopActor {
                actor: live.number,
                failure: failure.clone(),
            };
            live.guest.push(&mut there, &frame);
            under_way.extend(there.calls_of(live.serial));
        }
        turn.mark(&live.guest);
        self.broke(turn, live.serial, failure);
        for call in under_way {
            call.fail(turn, failure.clone());
        }
    }

    /// Ends its instance if nothing happens in it or its facets. The next event starts a fresh one.
    pub(crate) fn rest(self: &Arc<Self>, turn: &mut Turn) -> bool {
        let facets: Vec<_> = self.facets.lock().values().cloned().collect();
        if facets.iter().any(|facet| facet.is_busy()) {
            return false;
        }
        let live = {
            let mut state = self.state.lock();
            if self.is_busy() {
                return false;
            }
            let Some(live) = state.live.take() else {
                return false;
            };
            let mut there = live.guest.lock();
            there.actors.remove(&live.number.0);
            let frame = ToGuest::StopActor {
                actor: live.number,
                failure: EndReason::Evicted.failure(),
            };
            live.guest.push(&mut there, &frame);
            drop(there);
            state.assigned = None;
            if matches!(self.kind, Kind::Facet { .. }) {
                state.class = None;
                state.given_id = None;
                state.via = None;
            }
            let mut storage = self.storage.lock();
            storage.owner = 0;
            storage.database = None;
            live
        };
        turn.mark(&live.guest);
        self.sockets.drop_unclaimed();
        self.end_facets(turn, &EndReason::Evicted.failure());
        true
    }

    /// An event in a facet is one in everything above it.
    fn counts(&self, count: &dyn Fn(&Self)) {
        count(self);
        if let Kind::Facet { parent, .. } = &self.kind
            && let Some(parent) = parent.upgrade()
        {
            parent.counts(count);
        }
    }

    /// Closes its database where nothing is under way in it. The next question opens it again.
    pub(crate) fn close_quiet_database(&self) {
        let mut storage = self.storage.lock();
        if storage.database.as_ref().is_some_and(Database::is_quiet) {
            storage.database = None;
        }
    }

    /// Whether an event is under way in it or its facets.
    fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::SeqCst) > 0
    }

    /// Since when it is idle, in the hub's milliseconds.
    pub(crate) fn used_ms(&self) -> u64 {
        self.used_ms.load(Ordering::Relaxed)
    }

    /// Works on its database, whoever owns it.
    pub(crate) fn with_database<T>(
        &self,
        work: impl FnOnce(&mut Database) -> T,
    ) -> Result<T, StoreError> {
        let mut storage = self.storage.lock();
        Ok(work(self.open(&mut storage)?))
    }

    /// Its storage, locked.
    pub(crate) fn storage(&self) -> std::sync::MutexGuard<'_, Storage> {
        self.storage.lock()
    }

    /// The database, opened where it is not.
    pub(crate) fn open<'a>(
        &self,
        storage: &'a mut Storage,
    ) -> Result<&'a mut Database, StoreError> {
        if storage.database.is_none() {
            storage.database = Some(self.hub.store.database(&self.place)?);
        }
        storage
            .database
            .as_mut()
            .ok_or_else(|| StoreError::NotFound("a database".to_owned()))
    }

    // ---- facets

    /// The facet of a name.
    pub(crate) fn facet(self: &Arc<Self>, name: &str) -> Result<Arc<Self>, Failure> {
        let depth = match &self.kind {
            Kind::Object { .. } => 1,
            Kind::Facet { depth, .. } => depth + 1,
        };
        let limit = |what: String| Failure::new(FailureKind::Limit {}, "Error", what);
        if depth >= FACET_DEPTH_MAX {
            return Err(limit(format!(
                "Facet nesting depth limit exceeded. The maximum depth including the root Durable \
                 Object is {FACET_DEPTH_MAX}."
            )));
        }
        let mut facets = self.facets.lock();
        if let Some(facet) = facets.get(name) {
            return Ok(facet.clone());
        }
        if facets.len() >= FACETS_MAX {
            facets.retain(|_, facet| Arc::strong_count(facet) > 1);
        }
        if facets.len() >= FACETS_MAX {
            return Err(limit(format!(
                "an object has {FACETS_MAX} facets at once at most"
            )));
        }
        let kind = Kind::Facet {
            parent: Arc::downgrade(self),
            depth,
        };
        let facet = Self::new(&self.hub, kind, self.place.facet(name), None);
        facets.insert(name.to_owned(), facet.clone());
        Ok(facet)
    }

    /// `facets.abort()`.
    pub(crate) fn abort_facet(&self, turn: &mut Turn, name: &str, failure: &Failure) {
        let facet = self.facets.lock().get(name).cloned();
        if let Some(facet) = facet {
            facet.abort(turn, failure);
        }
    }

    /// `facets.delete()`: ends the facet and deletes what it stored, its own facets included.
    pub(crate) fn delete_facet(&self, turn: &mut Turn, name: &str) -> Result<(), StoreError> {
        let facet = self.facets.lock().get(name).cloned();
        if let Some(facet) = facet {
            let failure =
                Failure::new(FailureKind::Exception {}, "Error", "The facet was deleted.");
            facet.abort(turn, &failure);
            facet.close();
        }
        self.hub.store.delete(&self.place.facet(name))
    }

    /// Closes its database and those below it.
    fn close(&self) {
        let facets = std::mem::take(&mut *self.facets.lock());
        for facet in facets.values() {
            facet.close();
        }
        self.storage.lock().database = None;
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        if let Kind::Object { namespace, id, .. } = &self.kind {
            namespace.forget(id);
        }
    }
}

impl ActorUse {
    /// An event begins in `actor`.
    pub(crate) fn begin(actor: &Arc<Actor>, serial: u64) -> Self {
        actor.counts(&|counted: &Actor| {
            counted.in_flight.fetch_add(1, Ordering::SeqCst);
        });
        Self {
            actor: actor.clone(),
            serial,
        }
    }
}

impl Drop for ActorUse {
    fn drop(&mut self) {
        let now = self.actor.hub.now_ms();
        self.actor.counts(&|counted: &Actor| {
            counted.used_ms.store(now, Ordering::Relaxed);
            counted.in_flight.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

impl ActorCap {
    /// The right to call `actor`; `start` says what a facet is.
    pub fn new(actor: Arc<Actor>, start: Option<Arc<ObjectCap>>) -> Self {
        Self {
            actor,
            start,
            breaks: OnceLock::new(),
            storable: false,
            via: None,
        }
    }

    /// What leads back to a facet.
    pub fn via(&self) -> Option<&Arc<Recipe>> {
        self.via.as_ref()
    }

    /// The same way to a facet, which learns how to get back to it.
    pub fn reached_by(cap: &Self, recipe: Arc<Recipe>) -> Self {
        Self {
            actor: cap.actor.clone(),
            start: cap.start.clone(),
            breaks: cap.breaks.clone(),
            storable: cap.storable,
            via: Some(recipe),
        }
    }

    /// The same for somebody who may store it.
    pub fn storable(mut self) -> Self {
        self.storable = true;
        self
    }

    /// Takes a call there. A stub that was used before an instance broke fails as that did, as on
    /// Cloudflare: whoever wants the next instance asks for a new stub.
    pub fn call(&self, turn: &mut Turn, call: &Arc<Call>, event: HeldEvent) {
        let broken = {
            let mut state = self.actor.state.lock();
            if let Some(via) = &self.via {
                state.via = Some(via.clone());
            }
            let known = self.breaks.get_or_init(|| state.breaks);
            match *known < state.breaks {
                true => state.broke_with.clone(),
                false => None,
            }
        };
        match broken {
            Some(failure) => call.fail(turn, failure),
            None => self.actor.dispatch(turn, call, event, self.start.as_ref()),
        }
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Actor({:?})", self.place)
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Namespace({})", self.stored.folder)
    }
}

impl fmt::Debug for ActorCap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorCap({:?})", self.actor.place)
    }
}
