//! What a guest must not do, in words for the operator. It ends the guest that did it.

use mayfly_wire::bounds::{CALLS_MAX, CAPS_MAX};
use mayfly_wire::{CallId, CapId, StreamId};
use thiserror::Error;

/// What a guest must not do. It is ended for it.
#[derive(Debug, Clone, Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum Violation {
    #[error("frame cannot be decoded: {0}")]
    Wire(#[from] mayfly_wire::WireError),
    #[error("a frame before Start")]
    NotStarted,
    #[error("compiled code that nobody asked for")]
    NotAsked,
    #[error("capability {0:?} is not held")]
    UnknownCap(CapId),
    #[error("capability number {0:?} cannot be taken")]
    CapTaken(CapId),
    #[error("capability {0:?} cannot be called")]
    NotCallable(CapId),
    #[error("capability {0:?} is not a service")]
    NotAService(CapId),
    #[error("capability {0:?} is not a loader")]
    NotALoader(CapId),
    #[error("capability {0:?} is not a Worker's stub")]
    NotAStub(CapId),
    #[error("capability {0:?} is not a namespace")]
    NotANamespace(CapId),
    #[error("capability {0:?} is not a class")]
    NotAClass(CapId),
    #[error("holds more than {CAPS_MAX} capabilities")]
    TooManyCaps,
    #[error("call number {0:?} is under way")]
    CallTaken(CallId),
    #[error("more than {CALLS_MAX} calls under way")]
    TooManyCalls,
    #[error("call {0:?} is not under way")]
    UnknownCall(CallId),
    #[error("call {0:?} was answered twice")]
    ReturnedTwice(CallId),
    #[error("call {0:?} is done before it was answered")]
    DoneUnanswered(CallId),
    #[error("call {0:?} was answered with something that does not fit its event")]
    WrongOutcome(CallId),
    #[error("a [restore]() method that gave no stub")]
    NotRestorable,
    #[error("an event that only the host sends")]
    NotForGuests,
    #[error("a result slot for an event that has none")]
    ResultOfNothing,
    #[error("property path of {0} segments")]
    PathTooLong(usize),
    #[error("{0} attachments in one payload")]
    TooManyAttachments(usize),
    #[error("inline body of {0} bytes")]
    InlineTooLong(usize),
    #[error("stream number {0:?} cannot be taken")]
    StreamTaken(StreamId),
    #[error("stream {0:?} is not open for that")]
    UnknownStream(StreamId),
    #[error("too many streams")]
    TooManyStreams,
    #[error("stream chunk of {0} bytes")]
    ChunkTooLong(usize),
    #[error("stream bytes above the window")]
    OverWindow,
    #[error("stream credit for bytes never sent")]
    OverCredit,
    #[error("too many unread stream bytes")]
    StreamHoard,
    #[error("bytes beside no payload")]
    NothingBeside,
    #[error("too many bytes beside a payload")]
    TooMuchBeside,
    #[error("call {0:?} does not follow an invocation")]
    NotATail(CallId),
}
