//! Between guests and the host's own services: the gateway in front, the internet behind.
//!
//! Turns events and outcomes into `exchange`'s requests and responses and back. A body that streams
//! gets a pump: a task that moves chunks and grants credit as the other side really takes them, so
//! a body of any length passes in the memory of one window.

use crate::call::Call;
use crate::held::{HeldBody, HeldEvent, HeldOutcome};
use crate::hub::{Chores, Hub};
use crate::link::{Link, ReaderEnd, Taken, WriterEnd};
use crate::turn::Turn;
use bytes::Bytes;
use mayfly_exchange::{
    Body, BodyReader, BodyWriter, Request, Response, SharedService, body_channel,
};
use mayfly_wire::bounds::{CHUNK_BYTES_MAX, INLINE_BODY_BYTES_MAX};
use mayfly_wire::{Blob, Failure, FailureKind};
use std::sync::Arc;
use tokio::runtime;

/// Hands a guest's request to a service of the host's.
pub fn fetch(
    hub: &Arc<Hub>,
    turn: &mut Turn,
    call: &Arc<Call>,
    service: &SharedService,
    event: HeldEvent,
) {
    let HeldEvent::Fetch { request, body, .. } = event else {
        let message = "this service answers HTTP requests only";
        let failure = Failure::new(FailureKind::Exception {}, "TypeError", message);
        call.fail(turn, failure);
        return;
    };
    let service = service.clone();
    let answered = call.clone();
    let chores = hub.chores.clone();
    let runtime = hub.runtime.clone();
    let task = hub.runtime.spawn(async move {
        let request = Request {
            head: *request,
            body: to_exchange(&runtime, body, None),
        };
        let outcome = match service.fetch(request).await {
            Ok(Response { head, body }) => HeldOutcome::Response {
                head: Box::new(head),
                body: from_exchange(&runtime, &chores, body),
            },
            Err(failure) => HeldOutcome::Failed(failure),
        };
        answered.settle(&mut Turn::new(), outcome);
    });
    let abort = task.abort_handle();
    if !call.answered_by(abort.clone()) {
        // Answered already, and then this does nothing; or its caller has left.
        abort.abort();
    }
}

/// A guest's body for the host. `call` is cancelled where the reader leaves before the end.
pub fn to_exchange(runtime: &runtime::Handle, body: HeldBody, call: Option<Arc<Call>>) -> Body {
    match body {
        HeldBody::Empty => Body::Empty,
        HeldBody::Inline(bytes) => Body::Full(Bytes::from(bytes.0)),
        HeldBody::Stream { reader, length } => {
            let (writer, body) = body_channel();
            runtime.spawn(pump_out(reader, writer, call));
            Body::Stream {
                reader: body,
                length,
            }
        }
    }
}

/// A body of the host's for a guest.
pub fn from_exchange(runtime: &runtime::Handle, chores: &Chores, body: Body) -> HeldBody {
    match body {
        Body::Empty => HeldBody::Empty,
        Body::Full(bytes) if bytes.len() <= INLINE_BODY_BYTES_MAX => {
            HeldBody::Inline(Blob(bytes.into()))
        }
        Body::Full(bytes) => {
            let (writer, reader) = Link::pair(chores);
            let length = u64::try_from(bytes.len()).ok();
            runtime.spawn(pump_bytes(bytes, writer));
            HeldBody::Stream { reader, length }
        }
        Body::Stream {
            reader: body,
            length,
        } => {
            let (writer, reader) = Link::pair(chores);
            runtime.spawn(pump_in(body, writer));
            HeldBody::Stream { reader, length }
        }
    }
}

async fn pump_out(reader: ReaderEnd, writer: BodyWriter, call: Option<Arc<Call>>) {
    loop {
        let taken = tokio::select! {
            taken = reader.take() => taken,
            () = writer.closed() => break,
        };
        match taken {
            Taken::Bytes(bytes) => {
                let count = bytes.len();
                if writer.write(Bytes::from(bytes)).await.is_err() {
                    break;
                }
                reader.grant(&mut Turn::new(), count);
            }
            Taken::End => return writer.finish().await,
            Taken::Abort(failure) => return writer.fail(failure).await,
        }
    }
    let mut turn = Turn::new();
    reader.cancel(&mut turn, "the client went away");
    if let Some(call) = call {
        call.abandon(&mut turn, "the client went away");
    }
}

async fn pump_in(mut body: BodyReader, writer: WriterEnd) {
    loop {
        let piece = tokio::select! {
            piece = body.next() => piece,
            () = writer.closed() => return,
        };
        match piece {
            Some(Ok(bytes)) => {
                if !write_all(&writer, &bytes).await {
                    return;
                }
            }
            Some(Err(failure)) => return writer.abort(&mut Turn::new(), failure),
            None => return writer.end(&mut Turn::new()),
        }
    }
}

async fn pump_bytes(bytes: Bytes, writer: WriterEnd) {
    if write_all(&writer, &bytes).await {
        writer.end(&mut Turn::new());
    }
}

async fn write_all(writer: &WriterEnd, bytes: &Bytes) -> bool {
    for chunk in bytes.chunks(CHUNK_BYTES_MAX) {
        if !writer.write(chunk).await {
            return false;
        }
    }
    true
}
