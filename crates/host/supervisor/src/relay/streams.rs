//! Streams by a guest's numbers: found, closed, and those of a socket that it takes.

use super::{Locked, Violation};
use crate::guest::{Guest, Role, State};
use crate::held::HeldSocket;
use crate::link::Link;
use crate::translate::{Lift, LiftError};
use crate::turn::Turn;
use mayfly_wire::StreamId;
use mayfly_wire::bounds::STREAMS_MAX;
use std::sync::Arc;

pub(super) fn open_stream(
    state: &State,
    id: StreamId,
    role: Role,
) -> Result<Option<Arc<Link>>, Violation> {
    match state.streams.get(&id.0) {
        Some((known, link)) if *known == role => Ok(Some(link.clone())),
        // Closed by the other end while this frame was under way.
        None if state.stream_was_known(id) => Ok(None),
        Some(_) | None => Err(Violation::UnknownStream(id)),
    }
}

pub(super) fn close_stream(
    state: &mut State,
    id: StreamId,
    role: Role,
) -> Result<Option<Arc<Link>>, Violation> {
    let link = open_stream(state, id, role)?;
    if link.is_some() {
        state.streams.remove(&id.0);
    }
    Ok(link)
}

/// The guest that holds an instance takes the other end of the instance's socket itself.
pub(super) fn open_socket(
    guest: &Arc<Guest>,
    mut state: Locked<'_>,
    turn: &mut Turn,
    actor: mayfly_wire::ActorId,
    socket: u32,
    hears: StreamId,
    says: StreamId,
) -> Result<(), Violation> {
    let end = match Lift::new(guest, &mut state).held(actor, socket) {
        Ok(end) => end,
        Err(LiftError::Violation(violation)) => return Err(violation),
        Err(LiftError::Refused(_)) => {
            // Its instance ended meanwhile: a socket without another end, so that the guest's numbers
            // are known.
            let (_, reader) = Link::pair(&guest.hub.chores);
            let (writer, _) = Link::pair(&guest.hub.chores);
            HeldSocket { reader, writer }
        }
    };
    if state.streams.len() + 2 > STREAMS_MAX {
        return Err(Violation::TooManyStreams);
    }
    for (link, id, role) in [
        (end.reader.link(), hears, Role::Reads),
        (end.writer.link(), says, Role::Writes),
    ] {
        let Some(link) = link else { continue };
        if !state.open_guest_stream(id, role, link.clone()) {
            return Err(Violation::StreamTaken(id));
        }
    }
    drop(state);
    end.reader.attach(turn, guest, hears, false);
    end.writer.attach(turn, guest, says);
    Ok(())
}
