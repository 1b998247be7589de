//! Between guests and the host's own services: the gateway in front, the internet behind.
//!
//! Turns events and outcomes into `exchange`'s requests and responses and back. A body that leaves is
//! read from its link by whoever sends it on, one that comes gets a pump: a task that moves chunks.
//! Credit is granted as the other side really takes them, so a body of any length passes in the memory
//! of one window. A socket has two pumps, one each way.

use crate::call::Call;
use crate::capability::Capability;
use crate::held::{HeldBody, HeldEvent, HeldOutcome, HeldSocket};
use crate::hub::{Chores, Hub};
use crate::link::{Link, ReaderEnd, Taken, WriterEnd};
use crate::turn::Turn;
use crate::usage::Toll;
use bytes::Bytes;
use mayfly_exchange::{
    Body, BodyReader, BodyWriter, BoxFuture, Connect, Connected, Duplex, Request, Response,
    SharedService, Source, body_channel,
};
use mayfly_wire::bounds::{CHUNK_BYTES_MAX, INLINE_BODY_BYTES_MAX};
use mayfly_wire::{Blob, Failure, FailureKind, RequestHead};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::runtime;

/// Hands a guest's request, or its wish for a connection, to a service of the host's.
pub fn ask(
    hub: &Arc<Hub>,
    turn: &mut Turn,
    call: &Arc<Call>,
    service: &SharedService,
    event: HeldEvent,
) {
    let toll = if service.reaches_out() {
        call.toll()
    } else {
        Toll::default()
    };
    let outcome = match event {
        HeldEvent::Fetch { request, body, .. } => {
            toll.asked();
            toll.sent(head_bytes(&request));
            let body = to_exchange(&hub.runtime, body, None, &toll);
            let request = Request {
                head: Arc::unwrap_or_clone(request),
                body,
            };
            fetch(hub, service.clone(), request, toll)
        }
        HeldEvent::Connect {
            authority,
            secure,
            socket,
        } => {
            toll.asked();
            let socket = socket_to_exchange(&hub.runtime, socket, &toll);
            let connect = Connect {
                authority,
                secure,
                socket,
            };
            open(service.clone(), connect, toll)
        }
        _ => {
            let message = "this service answers HTTP requests and takes connections only";
            let failure = Failure::new(FailureKind::Exception {}, "TypeError", message);
            call.fail(turn, failure);
            return;
        }
    };
    let answered = call.clone();
    let task = hub.runtime.spawn(async move {
        let outcome = outcome.await;
        answered.settle(&mut Turn::new(), outcome);
    });
    let abort = task.abort_handle();
    if !call.answered_by(abort.clone()) {
        // Answered already, and then this does nothing; or its caller has left.
        abort.abort();
    }
}

fn head_bytes(head: &RequestHead) -> usize {
    head.method.len() + head.url.len() + headers_bytes(&head.headers)
}

fn headers_bytes(headers: &[(String, String)]) -> usize {
    let each = headers.iter().map(|(name, value)| name.len() + value.len());
    each.sum()
}

fn fetch(
    hub: &Hub,
    service: SharedService,
    request: Request,
    toll: Toll,
) -> BoxFuture<HeldOutcome> {
    let (runtime, chores) = (hub.runtime.clone(), hub.chores.clone());
    Box::pin(async move {
        toll.admitted().await;
        match service.fetch(request).await {
            Ok(Response { head, body }) => {
                toll.received(headers_bytes(&head.headers));
                HeldOutcome::Response {
                    head: Box::new(head),
                    body: from_exchange(&runtime, &chores, body, &toll),
                }
            }
            Err(failure) => HeldOutcome::Failed(failure),
        }
    })
}

fn open(service: SharedService, connect: Connect, toll: Toll) -> BoxFuture<HeldOutcome> {
    Box::pin(async move {
        toll.admitted().await;
        match service.connect(connect).await {
            Ok(Connected { upgrade }) => HeldOutcome::Connected {
                upgrade: upgrade.map(Capability::Network),
            },
            Err(failure) => HeldOutcome::Failed(failure),
        }
    })
}

/// A socket of a guest's for the host.
fn socket_to_exchange(runtime: &runtime::Handle, socket: HeldSocket, toll: &Toll) -> Duplex {
    let (to_host, reader) = body_channel();
    let (writer, to_guest) = body_channel();
    runtime.spawn(pump_out(socket.reader, to_host, toll.clone()));
    runtime.spawn(pump_in(to_guest, socket.writer, toll.clone()));
    Duplex { reader, writer }
}

/// A WebSocket of the host's for a guest.
fn websocket_from_exchange(
    runtime: &runtime::Handle,
    chores: &Chores,
    socket: Duplex,
    toll: &Toll,
) -> HeldSocket {
    let (to_guest, reader) = Link::pair(chores);
    let (writer, to_host) = Link::pair(chores);
    if let Some(link) = to_guest.link() {
        link.carries_messages();
    }
    runtime.spawn(pump_in(socket.reader, to_guest, toll.clone()));
    runtime.spawn(pump_out(to_host, socket.writer, toll.clone()));
    HeldSocket { reader, writer }
}

/// A guest's body for the host. `call` is cancelled where the reader leaves before the end.
pub fn to_exchange(
    runtime: &runtime::Handle,
    body: HeldBody,
    call: Option<Arc<Call>>,
    toll: &Toll,
) -> Body {
    match body {
        HeldBody::Empty => Body::Empty,
        HeldBody::Inline(bytes) => {
            toll.sent(bytes.0.len());
            Body::Full(Bytes::from(bytes.0))
        }
        HeldBody::Stream { reader, length } => {
            let leaving = Leaving {
                reader: Some(reader),
                call,
                taken: 0,
                toll: toll.clone(),
            };
            Body::Stream {
                reader: BodyReader::from_source(leaving),
                length,
            }
        }
        HeldBody::Socket(socket) => Body::Socket(socket_to_exchange(runtime, socket, toll)),
    }
}

/// A body of the host's for a guest.
pub fn from_exchange(
    runtime: &runtime::Handle,
    chores: &Chores,
    body: Body,
    toll: &Toll,
) -> HeldBody {
    match body {
        Body::Empty => HeldBody::Empty,
        Body::Full(bytes) if bytes.len() <= INLINE_BODY_BYTES_MAX => {
            toll.received(bytes.len());
            HeldBody::Inline(Blob(bytes.into()))
        }
        Body::Full(bytes) => {
            let (writer, reader) = Link::pair(chores);
            let length = u64::try_from(bytes.len()).ok();
            toll.received(bytes.len());
            runtime.spawn(pump_bytes(bytes, writer));
            HeldBody::Stream { reader, length }
        }
        Body::Stream {
            reader: body,
            length,
        } => {
            let (writer, reader) = Link::pair(chores);
            runtime.spawn(pump_in(body, writer, toll.clone()));
            HeldBody::Stream { reader, length }
        }
        Body::Socket(socket) => {
            HeldBody::Socket(websocket_from_exchange(runtime, chores, socket, toll))
        }
    }
}

/// What whoever left hears of.
const READER_LEFT: &str = "the client went away";

/// A guest's body on its way out.
#[derive(Debug)]
struct Leaving {
    /// Until the end.
    reader: Option<ReaderEnd>,
    /// Nobody waits for it any more where the body's reader leaves.
    call: Option<Arc<Call>>,
    /// Bytes of the last piece: gone when the next one is asked for.
    taken: usize,
    toll: Toll,
}

impl Source for Leaving {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let Some(reader) = &self.reader else {
            return Poll::Ready(None);
        };
        if self.taken > 0 {
            reader.grant(&mut Turn::new(), std::mem::take(&mut self.taken));
        }
        reader.poll_take(cx).map(|taken| match taken {
            Taken::Bytes(bytes) => {
                self.taken = bytes.len();
                self.toll.sent(bytes.len());
                Some(Ok(Bytes::from(bytes)))
            }
            Taken::End => {
                self.reader = None;
                None
            }
            Taken::Abort(failure) => {
                self.reader = None;
                Some(Err(failure))
            }
        })
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let Some(reader) = self.reader.take() else {
            return;
        };
        let mut turn = Turn::new();
        reader.cancel(&mut turn, READER_LEFT);
        if let Some(call) = self.call.take() {
            call.abandon(&mut turn, READER_LEFT);
        }
    }
}

async fn pump_out(reader: ReaderEnd, writer: BodyWriter, toll: Toll) {
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
                toll.sent(count);
                reader.grant(&mut Turn::new(), count);
            }
            Taken::End => return writer.finish().await,
            Taken::Abort(failure) => return writer.fail(failure).await,
        }
    }
    reader.cancel(&mut Turn::new(), READER_LEFT);
}

async fn pump_in(mut body: BodyReader, writer: WriterEnd, toll: Toll) {
    loop {
        let piece = tokio::select! {
            piece = body.next() => piece,
            () = writer.closed() => return,
        };
        match piece {
            Some(Ok(bytes)) => {
                toll.received(bytes.len());
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
