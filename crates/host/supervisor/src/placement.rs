//! Which guest an object of a configured Worker lives in.
//!
//! A Worker's objects live in the guest that runs its entrypoints, as workerd has one isolate for both,
//! until that has many of them or is busy computing. Then *siblings* take the next ones: Workers of the
//! same code that are given nothing but objects, as many as the options allow. An object whose guest is
//! busy while the object itself is idle moves: its instance ends, and the next one starts elsewhere.
//!
//! Deliberately absent: facets, which live where their class's Worker does, and dynamic Workers, whose
//! objects are facets.
//!
//! Invariant: an object is assigned to one Worker at a time, and its instance starts nowhere else
//! (`Actor::enter`); the assignment changes only while there is no instance.

use crate::bounds::{OBJECTS_PER_GUEST, STALLED_AFTER};
use crate::guest::Guest;
use crate::worker::{Origin, Worker};
use std::sync::Arc;

/// A Worker for the next object of `class`'s Worker.
pub(crate) fn choose(worker: &Arc<Worker>) -> Arc<Worker> {
    if worker.origin != Origin::Configured {
        return worker.clone();
    }
    let load = |worker: &Arc<Worker>| worker.guest().map_or(0, |guest| load_of(&guest));
    let own = load(worker);
    if own < OBJECTS_PER_GUEST {
        return worker.clone();
    }
    let siblings = worker.siblings();
    let least = siblings
        .iter()
        .map(|sibling| (load(sibling), sibling))
        .min_by_key(|(load, _)| *load);
    match least {
        Some((load, sibling)) if load < OBJECTS_PER_GUEST => sibling.clone(),
        // All have many, or are busy.
        least => match worker.new_sibling() {
            Some(fresh) => fresh,
            None => match least {
                Some((load, sibling)) if load < own => sibling.clone(),
                _ => worker.clone(),
            },
        },
    }
}

/// Objects that live there; more than any bound while it computes without a word.
fn load_of(guest: &Arc<Guest>) -> usize {
    let state = guest.lock();
    match state.cpu_silent > STALLED_AFTER {
        true => usize::MAX,
        false => state.actors.len(),
    }
}

/// Whether a guest has been computing for a while without a word.
pub(crate) fn is_stalled(guest: &Arc<Guest>) -> bool {
    guest.lock().cpu_silent > STALLED_AFTER
}
