//! The output gate: nothing that a guest says leaves before what it wrote is durable.
//!
//! A question to storage is answered at once. Everything else that a guest says after a write waits
//! here, in order, until the turn that wrote is over (`Settled`: it commits) and the disk has it (one
//! `fsync` on a thread of its own, for all turns that wait by then). So a reply, a fetch and an RPC
//! call are heard by nobody who could not be told the same after a loss of power; and an object whose
//! guest or host ends in between has told nobody anything.
//!
//! The gate is the guest's, not the instance's: frames carry no instance, and a guest's turns are in
//! order anyway. Only whoever holds the guest's `reading` looks into it.
//!
//! Invariant: `held` begins with a barrier or is empty; an open barrier is there exactly while an
//! instance of this guest has written in a turn that is not over.

use crate::actor::{Actor, Resident};
use crate::bounds::{GATE_BYTES_MAX, SLOW_QUESTION};
use crate::capability::Capability;
use crate::ending::EndReason;
use crate::guest::Guest;
use crate::hibernation::Sockets;
use crate::relay::{self, Violation};
use crate::stored;
use crate::turn::Turn;
use mayfly_sandbox::process_stat::thread_cpu;
use mayfly_store::Syncer;
use mayfly_wire::{
    ActorId, Blob, CapId, Failure, FailureKind, Outcome, StorageReply, StorageRequest,
    StorageResult, ToGuest, ToHost,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::RuntimeFlavor;

/// See the file's head.
#[derive(Debug, Default)]
pub struct Gate {
    held: VecDeque<Held>,
    held_bytes: usize,
    /// Instances that have written in the turn under way.
    dirty: Vec<Resident>,
    syncing: bool,
}

#[derive(Debug)]
enum Held {
    Frame(ToHost, usize),
    Barrier(Barrier),
}

#[derive(Debug)]
enum Barrier {
    /// The turn goes on.
    Open,
    /// It is committed; the disk is to be waited for.
    Sealed(Vec<Syncer>),
    Syncing,
    Done,
}

/// What a thread that waited for the disk tells the guest's task.
#[derive(Debug, Default)]
pub struct Synced {
    done: AtomicBool,
    failed: AtomicBool,
}

/// Does what a frame says, now or when what was written before it is durable.
pub fn pass(
    guest: &Arc<Guest>,
    frame: ToHost,
    bytes: usize,
    turn: &mut Turn,
) -> Result<(), Violation> {
    match frame {
        ToHost::Storage { actor, request } => {
            guest.heard.store(true, Ordering::Relaxed);
            if guest.hub.pairs.note_question(guest) {
                turn.await_answer(guest);
            }
            answer(guest, actor, request, turn)
        }
        ToHost::Settled {} => settle(guest, turn),
        ToHost::ActorBroken { actor, failure } => broken(guest, actor, failure, turn),
        frame => {
            let mut gate = guest.gate.lock();
            if gate.held.is_empty() || says_nothing(&frame) {
                drop(gate);
                return relay::act(guest, frame, turn);
            }
            // A small frame takes more here than on the wire.
            let bytes = bytes + size_of::<Held>();
            gate.held_bytes += bytes;
            gate.held.push_back(Held::Frame(frame, bytes));
            Ok(())
        }
    }
}

/// Whether a frame only names what the guest can reach already: nobody hears of it, so it need not wait, and
/// the stub that it makes can be stored in the same turn.
fn says_nothing(frame: &ToHost) -> bool {
    match frame {
        ToHost::GetActor { .. } => true,
        ToHost::GetSelf { props, .. } | ToHost::GetSelfClass { props, .. } => {
            props.attachments.is_empty()
        }
        _ => false,
    }
}

/// Whether the guest has said so much meanwhile that it must wait to be heard.
pub fn is_full(guest: &Guest) -> bool {
    guest.gate.lock().held_bytes > GATE_BYTES_MAX
}

/// The disk may have answered: lets out what waited for it.
pub fn release(guest: &Arc<Guest>, turn: &mut Turn) -> Result<(), Violation> {
    if !guest.synced.done.swap(false, Ordering::AcqRel) {
        return Ok(());
    }
    if guest.synced.failed.load(Ordering::Acquire) {
        guest.end(turn, EndReason::StorageFailed);
        return Ok(());
    }
    {
        let mut gate = guest.gate.lock();
        gate.syncing = false;
        for held in &mut gate.held {
            if let Held::Barrier(barrier @ Barrier::Syncing) = held {
                *barrier = Barrier::Done;
            }
        }
    }
    advance(guest, turn)
}

/// Acts on everything before the next barrier that holds.
fn advance(guest: &Arc<Guest>, turn: &mut Turn) -> Result<(), Violation> {
    loop {
        let mut gate = guest.gate.lock();
        let syncing = gate.syncing;
        match gate.held.front() {
            None => return Ok(()),
            Some(Held::Frame(..)) => {}
            Some(Held::Barrier(Barrier::Done)) => {
                gate.held.pop_front();
                continue;
            }
            Some(Held::Barrier(Barrier::Sealed(_))) if !syncing => {
                start_sync(guest, &mut gate);
                return Ok(());
            }
            Some(Held::Barrier(_)) => return Ok(()),
        }
        let Some(Held::Frame(frame, bytes)) = gate.held.pop_front() else {
            continue;
        };
        gate.held_bytes = gate.held_bytes.saturating_sub(bytes);
        drop(gate);
        relay::act(guest, frame, turn)?;
        turn.breathe();
    }
}

/// One wait for the disk for all turns that are over.
fn start_sync(guest: &Arc<Guest>, gate: &mut Gate) {
    let mut syncers: Vec<Syncer> = Vec::new();
    for held in &mut gate.held {
        if let Held::Barrier(barrier @ Barrier::Sealed(_)) = held
            && let Barrier::Sealed(more) = std::mem::replace(barrier, Barrier::Syncing)
        {
            for syncer in more {
                if !syncers.iter().any(|known| known.is_same(&syncer)) {
                    syncers.push(syncer);
                }
            }
        }
    }
    gate.syncing = true;
    let guest = guest.clone();
    let runtime = guest.hub.runtime.clone();
    runtime.spawn_blocking(move || {
        for syncer in syncers {
            if let Err(error) = syncer.sync() {
                tracing::error!(%error, "cannot write what Durable Objects stored");
                guest.synced.failed.store(true, Ordering::Release);
            }
        }
        guest.synced.done.store(true, Ordering::Release);
        guest.wake.notify_one();
    });
}

/// A question of an instance's to its storage. It is answered whatever it was, since the guest waits.
fn answer(
    guest: &Arc<Guest>,
    number: ActorId,
    request: StorageRequest,
    turn: &mut Turn,
) -> Result<(), Violation> {
    let (resident, left, awake) = {
        let mut state = guest.lock();
        guest.tell_awake(&mut state);
        let resident = state.actors.get(&number.0).cloned();
        (resident, state.cpu_left(), state.awake)
    };
    let reply = match (&resident, request) {
        (Some(_), StorageRequest::Token { cap }) => token(guest, cap),
        (Some(_), StorageRequest::Redeem { cap, token }) => redeem(guest, cap, &token.0)?,
        (Some(resident), request) => {
            let before = thread_cpu();
            let reply = ask(resident, request, left);
            let used = thread_cpu().saturating_sub(before);
            // One that is awake pays for so much by waiting for it.
            let waited = match awake {
                true => guest.hub.pairs.awake_max(),
                false => Duration::ZERO,
            };
            let used = used.saturating_sub(waited);
            if !used.is_zero() {
                guest.lock().charge_for_question(used);
            }
            reply
        }
        (None, _) => over(),
    };
    if reply.open
        && let Some(resident) = resident
    {
        guest.gate.lock().dirtied(resident);
    }
    guest.send(turn, &ToGuest::StorageReply { reply });
    Ok(())
}

/// A stub that an instance stores.
fn token(guest: &Arc<Guest>, cap: CapId) -> StorageReply {
    let capability = guest.lock().caps.get(&cap.0).cloned();
    let Some(capability) = capability else {
        // What was sent with it waits at this gate.
        return failed(
            "A stub that was made in this turn, with other stubs in its props, cannot be stored yet: \
             await storage.sync() first.",
        );
    };
    match stored::token(&guest.hub, &capability) {
        Ok(token) => done(StorageResult::Values {
            values: vec![Some(Blob(token))],
        }),
        Err(failure) => failed_as(failure),
    }
}

/// A stored stub in a slot that the guest chose.
fn redeem(guest: &Arc<Guest>, cap: CapId, token: &[u8]) -> Result<StorageReply, Violation> {
    let capability = match stored::redeem(guest, token) {
        Ok(capability) => capability,
        Err(failure) => return Ok(failed_as(failure)),
    };
    let text = match &capability {
        Capability::Class(_) => "actorClass",
        Capability::Restored(restored) if !restored.recipe().service => "object",
        _ => "service",
    };
    relay::introduce(&mut guest.lock(), cap, capability)?;
    Ok(done(StorageResult::Text {
        text: text.to_owned(),
    }))
}

fn done(result: StorageResult) -> StorageReply {
    StorageReply {
        open: false,
        result,
    }
}

fn failed_as(failure: Failure) -> StorageReply {
    done(StorageResult::Failed {
        name: failure.name,
        message: failure.message,
    })
}

fn ask(resident: &Resident, request: StorageRequest, left: Option<Duration>) -> StorageReply {
    let Resident { actor, incarnation } = resident;
    let began = Instant::now();
    let mut storage = actor.storage();
    if storage.owner != incarnation.serial {
        return over();
    }
    if Sockets::are_meant(&request) {
        drop(storage);
        return Sockets::answer(actor, request);
    }
    let fresh = std::mem::take(&mut storage.fresh);
    let database = match actor.open(&mut storage) {
        Ok(database) => database,
        Err(error) => {
            tracing::error!(%error, "cannot open a database");
            return failed("internal error: the object's database cannot be opened");
        }
    };
    if fresh && let Err(error) = database.begin_session() {
        storage.fresh = true;
        return failed(&error.message);
    }
    database.limit_cpu(left);
    // A facet's class is mostly a dynamic Worker's, so its first question may be meant to be in the way.
    let apart = actor.is_facet() || actor.slow.load(Ordering::Relaxed);
    let outcome = match apart && may_block() {
        true => tokio::task::block_in_place(|| database.answer(request)),
        false => database.answer(request),
    };
    drop(storage);
    let slow = began.elapsed() > SLOW_QUESTION;
    actor.slow.store(slow, Ordering::Relaxed);
    if let Some(Some(time_ms)) = outcome.alarm {
        actor.hub.alarms.hint(&actor.hub, actor, time_ms);
    }
    outcome.reply
}

/// Whether other tasks can be taken off this thread first.
fn may_block() -> bool {
    tokio::runtime::Handle::try_current()
        .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

fn over() -> StorageReply {
    failed(
        "The Durable Object's instance that this storage belongs to has ended: it was reset, or \
         evicted while idle.",
    )
}

fn failed(message: &str) -> StorageReply {
    StorageReply {
        open: false,
        result: StorageResult::Failed {
            name: "Error".to_owned(),
            message: message.to_owned(),
        },
    }
}

impl Gate {
    fn dirtied(&mut self, resident: Resident) {
        let serial = resident.incarnation.serial;
        if self
            .dirty
            .iter()
            .any(|known| known.incarnation.serial == serial)
        {
            return;
        }
        if self.dirty.is_empty() {
            self.held.push_back(Held::Barrier(Barrier::Open));
        }
        self.dirty.push(resident);
    }

    /// The turn is over: its barrier holds until `syncers` have run.
    fn seal(&mut self, syncers: Vec<Syncer>) {
        let open = self
            .held
            .iter_mut()
            .rev()
            .find(|held| matches!(held, Held::Barrier(Barrier::Open)));
        if let Some(barrier) = open {
            *barrier = Held::Barrier(match syncers.is_empty() {
                true => Barrier::Done,
                false => Barrier::Sealed(syncers),
            });
        }
    }
}

fn settle(guest: &Arc<Guest>, turn: &mut Turn) -> Result<(), Violation> {
    let dirty = std::mem::take(&mut guest.gate.lock().dirty);
    let mut syncers = Vec::new();
    for resident in dirty {
        match commit(&resident, &mut syncers) {
            Ok(()) => {}
            Err(failure) => break_instance(guest, &resident, &failure, turn),
        }
    }
    guest.gate.lock().seal(syncers);
    advance(guest, turn)
}

fn commit(resident: &Resident, syncers: &mut Vec<Syncer>) -> Result<(), Failure> {
    let Resident { actor, incarnation } = resident;
    let settled = {
        let mut storage = actor.storage();
        let owned = storage.owner == incarnation.serial;
        let Some(database) = storage.database.as_mut().filter(|_| owned) else {
            return Ok(());
        };
        database.settle().map_err(|failed| {
            Failure::new(FailureKind::Exception {}, failed.name, failed.message)
        })?
    };
    syncers.extend(settled.syncer);
    if let Some(alarm) = settled.alarm {
        actor.hub.alarms.set(&actor.hub, actor, alarm);
        syncers.extend(actor.hub.store.index_syncer());
    }
    Ok(())
}

/// The instance cannot go on with what it believes it wrote.
fn break_instance(guest: &Arc<Guest>, resident: &Resident, failure: &Failure, turn: &mut Turn) {
    fail_held(guest, resident.incarnation.serial, failure);
    resident.actor.abort(turn, failure);
}

/// An instance says that it is over.
fn broken(
    guest: &Arc<Guest>,
    number: ActorId,
    failure: Failure,
    turn: &mut Turn,
) -> Result<(), Violation> {
    let resident = {
        let mut state = guest.lock();
        if !state.alive {
            return Ok(());
        }
        if state.worker.is_none() {
            return Err(Violation::NotStarted);
        }
        let failure = relay::lifted(guest, &mut state, failure)?;
        state
            .actors
            .remove(&number.0)
            .map(|resident| (resident, failure))
    };
    // It may have ended on this side meanwhile.
    let Some((resident, failure)) = resident else {
        return Ok(());
    };
    let serial = resident.incarnation.serial;
    resident.actor.broke(turn, serial, &failure);
    fail_held(guest, serial, &failure);
    guest
        .gate
        .lock()
        .dirty
        .retain(|dirty| dirty.incarnation.serial != serial);
    Ok(())
}

/// What an instance answered in the turn that is forgotten was not so.
fn fail_held(guest: &Arc<Guest>, serial: u64, failure: &Failure) {
    let calls: Vec<u32> = {
        let state = guest.lock();
        state.call_ids_of(serial).collect()
    };
    let mut gate = guest.gate.lock();
    let open = gate
        .held
        .iter()
        .rposition(|held| matches!(held, Held::Barrier(Barrier::Open)));
    let Some(open) = open else { return };
    for held in gate.held.iter_mut().skip(open) {
        if let Held::Frame(ToHost::Return { call, outcome }, _) = held
            && calls.contains(&call.0)
            && !matches!(outcome, Outcome::Failed { .. })
        {
            *outcome = Outcome::Failed {
                failure: failure.clone(),
            };
        }
    }
}

/// For those who work on an actor's database without an instance.
pub(crate) fn settle_alone(actor: &Arc<Actor>) -> std::io::Result<()> {
    let settled = {
        let mut storage = actor.storage();
        match storage.database.as_mut().map(|database| database.settle()) {
            Some(Ok(settled)) => settled,
            _ => return Ok(()),
        }
    };
    if let Some(alarm) = settled.alarm {
        actor.hub.alarms.set(&actor.hub, actor, alarm);
    }
    match settled.syncer {
        Some(syncer) => syncer.sync(),
        None => Ok(()),
    }
}
