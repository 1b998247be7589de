//! Sockets that the host holds for a Durable Object (`ctx.acceptWebSocket()`), so that its instance and
//! its guest can be gone while they stay open.
//!
//! An accepted socket is two links. The instance's end of them is here; the other end (`client`) goes to
//! whoever gets the response that it leaves in. What comes is cut into messages, each an event for the
//! object like any other, one after another for each socket; the first that finds no instance starts
//! one. A message that the object named as its auto-response's request is answered here and wakes
//! nobody. Numbers of sockets are the object's, chosen here, and never used again while it is known.
//!
//! As in workerd, an object that breaks (`ctx.abort()`, its constructor) loses its sockets; one whose
//! instance or guest merely ended keeps them. Deliberately absent: facets, which the host cannot start
//! without their parent.
//!
//! Invariant: a socket gives at most one last event (closed or failed), and is forgotten after it.

use crate::actor::Actor;
use crate::bounds::{
    AUTO_RESPONSE_BYTES_MAX, SOCKET_ATTACHMENT_BYTES_MAX, SOCKET_CLOSE_WAIT, SOCKET_SAID_BYTES,
    SOCKET_TAG_CHARS_MAX, SOCKET_TAGS_MAX, SOCKET_UNSENT_BYTES_MAX, SOCKETS_MAX,
};
use crate::call::Call;
use crate::held::{HeldEvent, HeldSocket, Weight};
use crate::hub::Chores;
use crate::link::{Link, ReaderEnd, Taken, WriterEnd};
use crate::lock::Mutex;
use crate::turn::Turn;
use mayfly_wire::bounds::{CHUNK_BYTES_MAX, SOCKET_MESSAGE_BYTES_MAX};
use mayfly_wire::parcel::{HEADER_BYTES, Header, Kind};
use mayfly_wire::{Blob, Failure, FailureKind, StorageReply, StorageRequest, StorageResult};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, mpsc};

/// The code of a close that says none.
const NO_CODE: u32 = 1005;
const GONE: u32 = 1006;

/// The sockets of one object.
#[derive(Debug, Default)]
pub(crate) struct Sockets(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: u32,
    open: BTreeMap<u32, Arc<Accepted>>,
    /// A text and what the host answers to it.
    auto_response: Option<(String, String)>,
    event_max: Option<Duration>,
}

/// One of them.
#[derive(Debug)]
struct Accepted {
    number: u32,
    tags: Vec<String>,
    attachment: Mutex<Option<Blob>>,
    /// The other end, until somebody takes it.
    client: Mutex<Option<HeldSocket>>,
    /// What the object says; absent once nothing more may be said.
    says: Mutex<Option<mpsc::UnboundedSender<Said>>>,
    unsent_bytes: AtomicUsize,
    /// When the host last answered by itself, in milliseconds since the epoch; 0 is never.
    answered_ms: AtomicU64,
    /// When the object said its close.
    closed: OnceLock<Instant>,
    closing: Notify,
    /// It is to end without a last event.
    dropped: AtomicBool,
    dropping: Notify,
}

/// A message as parcels.
#[derive(Debug)]
struct Said {
    parcels: Vec<u8>,
    last: bool,
    _weight: Weight,
}

impl Said {
    fn kept_bytes(&self) -> usize {
        self.parcels.len() + SOCKET_SAID_BYTES
    }
}

impl Sockets {
    /// Whether a question is for this module.
    pub(crate) fn are_meant(request: &StorageRequest) -> bool {
        use StorageRequest as Ask;
        matches!(
            request,
            Ask::AcceptSocket { .. }
                | Ask::Sockets { .. }
                | Ask::SocketTags { .. }
                | Ask::SocketAttachment { .. }
                | Ask::SetSocketAttachment { .. }
                | Ask::SetAutoResponse { .. }
                | Ask::AutoResponse {}
                | Ask::AutoResponseTime { .. }
                | Ask::SetSocketTimeout { .. }
                | Ask::SocketTimeout {}
        )
    }

    /// Answers one.
    pub(crate) fn answer(actor: &Arc<Actor>, request: StorageRequest) -> StorageReply {
        let result = actor
            .sockets
            .try_answer(actor, request)
            .unwrap_or_else(|message| StorageResult::Failed {
                name: "Error".to_owned(),
                message,
            });
        StorageReply {
            open: false,
            result,
        }
    }

    fn try_answer(
        &self,
        actor: &Arc<Actor>,
        request: StorageRequest,
    ) -> Result<StorageResult, String> {
        Ok(match request {
            StorageRequest::AcceptSocket { tags } => StorageResult::Count {
                count: u64::from(self.accept(actor, tags)?),
            },
            StorageRequest::Sockets { tag } => self.list(tag.as_ref()),
            StorageRequest::SocketTags { socket } => StorageResult::Texts {
                texts: self
                    .find(socket)
                    .map_or_else(Vec::new, |it| it.tags.clone()),
            },
            StorageRequest::SocketAttachment { socket } => {
                let found = self.find(socket);
                let attachment = found.and_then(|found| found.attachment.lock().clone());
                StorageResult::Values {
                    values: vec![attachment],
                }
            }
            StorageRequest::SetSocketAttachment { socket, attachment } => {
                let bytes = attachment.0.len();
                if bytes > SOCKET_ATTACHMENT_BYTES_MAX {
                    return Err(format!(
                        "an attachment of {bytes} bytes is above the limit of \
                         {SOCKET_ATTACHMENT_BYTES_MAX}"
                    ));
                }
                if let Some(found) = self.find(socket) {
                    *found.attachment.lock() = Some(attachment);
                }
                StorageResult::Done {}
            }
            StorageRequest::SetAutoResponse { request, response } => {
                let bytes = response.len().max(request.as_ref().map_or(0, String::len));
                if bytes > AUTO_RESPONSE_BYTES_MAX {
                    return Err(format!(
                        "an auto-response of {bytes} bytes is above the limit of \
                         {AUTO_RESPONSE_BYTES_MAX}"
                    ));
                }
                self.0.lock().auto_response = request.map(|request| (request, response));
                StorageResult::Done {}
            }
            StorageRequest::AutoResponse {} => StorageResult::Texts {
                texts: match &self.0.lock().auto_response {
                    Some((request, response)) => vec![request.clone(), response.clone()],
                    None => Vec::new(),
                },
            },
            StorageRequest::AutoResponseTime { socket } => {
                let found = self.find(socket);
                let time = found.map_or(0, |found| found.answered_ms.load(Ordering::Relaxed));
                StorageResult::Time {
                    // Milliseconds of any date that JavaScript has are exact.
                    time_ms: (time > 0).then_some(time as f64),
                }
            }
            StorageRequest::SetSocketTimeout { ms } => {
                self.0.lock().event_max = ms.map(|ms| Duration::from_millis(u64::from(ms)));
                StorageResult::Done {}
            }
            StorageRequest::SocketTimeout {} => StorageResult::Time {
                time_ms: self.0.lock().event_max.map(|most| most.as_millis() as f64),
            },
            // `are_meant` let no other pass.
            _ => return Err("this is no question about sockets".to_owned()),
        })
    }

    fn find(&self, number: u32) -> Option<Arc<Accepted>> {
        self.0.lock().open.get(&number).cloned()
    }

    fn list(&self, tag: Option<&String>) -> StorageResult {
        let state = self.0.lock();
        let mut sockets = Vec::new();
        let mut closed = Vec::new();
        for (number, socket) in state.open.iter().rev() {
            if tag.is_some_and(|tag| !socket.tags.contains(tag)) {
                continue;
            }
            sockets.push(*number);
            if socket.closed.get().is_some() {
                closed.push(*number);
            }
        }
        StorageResult::Sockets { sockets, closed }
    }

    fn accept(&self, actor: &Arc<Actor>, tags: Vec<String>) -> Result<u32, String> {
        if actor.object().is_none() {
            return Err(
                "ctx.acceptWebSocket() is not supported in a facet: nobody could start it when a \
                 message comes. Accept the WebSocket with accept(), or in the object itself."
                    .to_owned(),
            );
        }
        if tags.len() > SOCKET_TAGS_MAX {
            return Err(format!(
                "a Hibernatable WebSocket cannot have more than {SOCKET_TAGS_MAX} tags"
            ));
        }
        // A char takes four bytes at most; the platform counts exactly.
        if let Some(tag) = tags.iter().find(|tag| tag.len() > SOCKET_TAG_CHARS_MAX * 4) {
            return Err(format!(
                "\"{tag}\" is longer than the max tag length ({SOCKET_TAG_CHARS_MAX} characters)."
            ));
        }
        let (socket, ends) = {
            let mut state = self.0.lock();
            if state.open.len() >= SOCKETS_MAX {
                return Err(format!(
                    "only {SOCKETS_MAX} websockets can be accepted on a single Durable Object \
                     instance"
                ));
            }
            let number = state
                .last
                .checked_add(1)
                .ok_or("this object has accepted too many WebSockets")?;
            state.last = number;
            let (socket, ends) = Accepted::new(&actor.hub.chores, number, tags);
            state.open.insert(number, socket.clone());
            (socket, ends)
        };
        let Ends { hears, tells, said } = ends;
        let number = socket.number;
        actor.hub.runtime.spawn(write(socket.clone(), tells, said));
        actor.hub.runtime.spawn(read(actor.clone(), socket, hears));
        Ok(number)
    }

    /// The other end of a socket, once.
    pub(crate) fn claim(&self, number: u32) -> Option<HeldSocket> {
        self.find(number)?.client.lock().take()
    }

    /// The object says something.
    pub(crate) fn say(&self, number: u32, parcels: Blob, last: bool, meter: &Arc<AtomicU64>) {
        let Some(socket) = self.find(number) else {
            // Closed on the other side meanwhile: nobody hears it, as the standard says.
            return;
        };
        match Weight::new(meter, parcels.0.len() + SOCKET_SAID_BYTES) {
            Some(weight) => socket.say(Said {
                parcels: parcels.0,
                last,
                _weight: weight,
            }),
            None => socket.drop_unread(),
        }
    }

    /// Ends those whose other end nobody has taken: whoever could have is gone.
    pub(crate) fn drop_unclaimed(&self) {
        let unclaimed: Vec<_> = {
            let state = self.0.lock();
            let sockets = state.open.values();
            sockets
                .filter_map(|socket| socket.client.lock().take())
                .collect()
        };
        drop(unclaimed);
    }

    /// The object broke: its sockets end with it.
    pub(crate) fn drop_all(&self) {
        let sockets: Vec<_> = {
            let mut state = self.0.lock();
            state.auto_response = None;
            state.event_max = None;
            std::mem::take(&mut state.open).into_values().collect()
        };
        for socket in sockets {
            socket.drop_now();
        }
    }

    fn forget(&self, number: u32) {
        self.0.lock().open.remove(&number);
    }

    /// The answer to a text that the host gives by itself.
    fn auto_response(&self, text: &str) -> Option<String> {
        let state = self.0.lock();
        let (request, response) = state.auto_response.as_ref()?;
        (request == text).then(|| response.clone())
    }
}

/// What the tasks of a socket work with.
struct Ends {
    hears: ReaderEnd,
    tells: WriterEnd,
    said: mpsc::UnboundedReceiver<Said>,
}

impl Accepted {
    fn new(chores: &Chores, number: u32, tags: Vec<String>) -> (Arc<Self>, Ends) {
        let (tells, client_hears) = Link::pair(chores);
        let (client_tells, hears) = Link::pair(chores);
        for link in [tells.link(), hears.link()].into_iter().flatten() {
            link.carries_messages();
        }
        let (sender, said) = mpsc::unbounded_channel();
        let client = HeldSocket {
            reader: client_hears,
            writer: client_tells,
        };
        let socket = Arc::new(Self {
            number,
            tags,
            attachment: Mutex::new(None),
            client: Mutex::new(Some(client)),
            says: Mutex::new(Some(sender)),
            unsent_bytes: AtomicUsize::new(0),
            answered_ms: AtomicU64::new(0),
            closed: OnceLock::new(),
            closing: Notify::new(),
            dropped: AtomicBool::new(false),
            dropping: Notify::new(),
        });
        (socket, Ends { hears, tells, said })
    }

    fn say(&self, said: Said) {
        let mut says = self.says.lock();
        let Some(sender) = &*says else { return };
        let last = said.last;
        let kept = said.kept_bytes();
        if self.unsent_bytes.load(Ordering::Relaxed) + kept > SOCKET_UNSENT_BYTES_MAX {
            drop(says);
            return self.drop_unread();
        }
        self.unsent_bytes.fetch_add(kept, Ordering::Relaxed);
        // The writing task is gone only where nobody hears it any more.
        let _ = sender.send(said);
        if last {
            *says = None;
            drop(says);
            self.closed.get_or_init(Instant::now);
            self.closing.notify_one();
        }
    }

    fn drop_unread(&self) {
        tracing::debug!(
            number = self.number,
            "a WebSocket whose other side does not read is dropped"
        );
        self.drop_now();
    }

    fn drop_now(&self) {
        *self.says.lock() = None;
        drop(self.client.lock().take());
        self.dropped.store(true, Ordering::Release);
        self.dropping.notify_one();
    }

    async fn is_dropped(&self) {
        loop {
            let dropping = self.dropping.notified();
            if self.dropped.load(Ordering::Acquire) {
                return;
            }
            dropping.await;
        }
    }

    /// The object has closed it and the other side does not answer.
    async fn is_overdue(&self) {
        loop {
            let closing = self.closing.notified();
            if let Some(since) = self.closed.get() {
                tokio::time::sleep_until((*since + SOCKET_CLOSE_WAIT).into()).await;
                return;
            }
            closing.await;
        }
    }
}

/// Says what the object said, until its close, or until nobody will say or hear anything.
async fn write(socket: Arc<Accepted>, tells: WriterEnd, mut said: mpsc::UnboundedReceiver<Said>) {
    loop {
        let next = tokio::select! {
            next = said.recv() => next,
            () = tells.closed() => return,
        };
        let Some(said) = next else {
            let failure = Failure::new(FailureKind::Lost {}, "Error", "the socket was dropped");
            return tells.abort(&mut Turn::new(), failure);
        };
        for chunk in said.parcels.chunks(CHUNK_BYTES_MAX) {
            let written = tokio::select! {
                written = tells.write(chunk) => written,
                () = socket.is_dropped() => false,
            };
            if !written {
                return;
            }
        }
        socket
            .unsent_bytes
            .fetch_sub(said.kept_bytes(), Ordering::Relaxed);
        if said.last {
            return tells.end(&mut Turn::new());
        }
    }
}

/// Hears what comes and makes events of it.
async fn read(actor: Arc<Actor>, socket: Arc<Accepted>, hears: ReaderEnd) {
    let last = hear(&actor, &socket, &hears).await;
    if let Some(last) = last {
        deliver(&actor, last).await;
    }
    actor.sockets.forget(socket.number);
    // What was said before still leaves.
    *socket.says.lock() = None;
}

/// The last event; `None` where there is none.
async fn hear(actor: &Arc<Actor>, socket: &Accepted, hears: &ReaderEnd) -> Option<HeldEvent> {
    let number = socket.number;
    let mut messages = Messages::default();
    loop {
        match messages.next() {
            Ok(Some(Message::Text(text))) => match actor.sockets.auto_response(&text) {
                Some(response) => answer_alone(socket, &response),
                None => {
                    let socket = number;
                    deliver(actor, HeldEvent::SocketText { socket, text }).await;
                }
            },
            Ok(Some(Message::Bytes(bytes))) => {
                let (socket, bytes) = (number, Blob(bytes));
                deliver(actor, HeldEvent::SocketBytes { socket, bytes }).await;
            }
            Ok(Some(Message::Close(code, reason))) => {
                return Some(HeldEvent::SocketClose {
                    socket: number,
                    code,
                    reason,
                    clean: true,
                });
            }
            Err(what) => {
                let failure = Failure::new(FailureKind::Limit {}, "Error", what);
                return Some(failed(number, failure));
            }
            Ok(None) => {
                let taken = tokio::select! {
                    taken = hears.take() => taken,
                    () = socket.is_overdue() => Taken::End,
                    () = socket.is_dropped() => return None,
                };
                match taken {
                    Taken::Bytes(bytes) => {
                        hears.grant(&mut Turn::new(), bytes.len());
                        messages.push(bytes);
                    }
                    Taken::Abort(failure) if matches!(failure.kind, FailureKind::Limit {}) => {
                        return Some(failed(number, failure));
                    }
                    Taken::End | Taken::Abort(_) => return Some(gone(number)),
                }
            }
        }
        if socket.dropped.load(Ordering::Acquire) {
            return None;
        }
    }
}

fn gone(socket: u32) -> HeldEvent {
    HeldEvent::SocketClose {
        socket,
        code: GONE,
        reason: "WebSocket disconnected without sending Close frame.".to_owned(),
        clean: false,
    }
}

fn failed(socket: u32, failure: Failure) -> HeldEvent {
    HeldEvent::SocketError {
        socket,
        failure: Box::new(failure),
    }
}

fn answer_alone(socket: &Accepted, response: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = now.map_or(1, |since| since.as_millis());
    let now_ms = u64::try_from(now_ms).unwrap_or(u64::MAX);
    socket.answered_ms.store(now_ms, Ordering::Relaxed);
    let header = Header {
        kind: Kind::Text,
        more: false,
        // At most AUTO_RESPONSE_BYTES_MAX.
        length: u32::try_from(response.len()).unwrap_or(u32::MAX),
    };
    let mut parcels = header.encode().to_vec();
    parcels.extend_from_slice(response.as_bytes());
    socket.say(Said {
        parcels,
        last: false,
        _weight: Weight::default(),
    });
}

/// One event, and the wait for its end: the next one of this socket comes after it.
async fn deliver(actor: &Arc<Actor>, event: HeldEvent) {
    let event_max = actor.sockets.0.lock().event_max;
    let (call, mut outcome) = Call::by_host();
    let _counted = actor.hub.count_host_call();
    actor.dispatch(&mut Turn::new(), &call, event, None);
    // What it came to is told where every invocation's is; a socket has nobody to tell.
    match event_max {
        None => drop(outcome.await),
        Some(most) => {
            if tokio::time::timeout(most, &mut outcome).await.is_err() {
                let reason =
                    "the event took longer than setHibernatableWebSocketEventTimeout() allows";
                call.cancel(&mut Turn::new(), reason);
            }
        }
    }
}

// ---- parcels into messages

/// What a socket hears.
#[derive(Debug, PartialEq, Eq)]
enum Message {
    Text(String),
    Bytes(Vec<u8>),
    Close(u32, String),
}

/// Cuts bytes into messages. They may come from another Worker, so they are checked.
#[derive(Debug, Default)]
struct Messages {
    bytes: Vec<u8>,
    /// Bytes of `bytes` that are used up.
    used: usize,
    /// The parcel under way, and how much of it has not come.
    parcel: Option<(Header, usize)>,
    message: Vec<u8>,
}

impl Messages {
    fn push(&mut self, bytes: Vec<u8>) {
        if self.used == self.bytes.len() {
            self.bytes = bytes;
        } else {
            self.bytes.drain(..self.used);
            self.bytes.extend_from_slice(&bytes);
        }
        self.used = 0;
    }

    /// The next whole message, as soon as all of it is here.
    fn next(&mut self) -> Result<Option<Message>, String> {
        loop {
            let rest = self.bytes.get(self.used..).unwrap_or_default();
            let (header, left) = match self.parcel {
                Some(parcel) => parcel,
                None => {
                    let Some(head) = rest.first_chunk::<HEADER_BYTES>() else {
                        return Ok(None);
                    };
                    let header = Header::decode(*head).map_err(|error| error.to_string())?;
                    if self.message.len() + header.length as usize > SOCKET_MESSAGE_BYTES_MAX {
                        return Err(format!(
                            "WebSocket message is too large: more than {SOCKET_MESSAGE_BYTES_MAX} \
                             bytes"
                        ));
                    }
                    self.used += HEADER_BYTES;
                    self.parcel = Some((header, header.length as usize));
                    continue;
                }
            };
            let part = rest.get(..left.min(rest.len())).unwrap_or_default();
            self.message.extend_from_slice(part);
            self.used += part.len();
            let left = left - part.len();
            if left > 0 {
                self.parcel = Some((header, left));
                return Ok(None);
            }
            self.parcel = None;
            if !header.more {
                let message = std::mem::take(&mut self.message);
                return Ok(Some(Message::of(header.kind, message)));
            }
        }
    }
}

impl Message {
    fn of(kind: Kind, bytes: Vec<u8>) -> Self {
        let text = |bytes: Vec<u8>| match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        match kind {
            Kind::Text => Self::Text(text(bytes)),
            Kind::Binary => Self::Bytes(bytes),
            Kind::Close => match bytes.split_first_chunk::<2>() {
                Some((code, reason)) => {
                    Self::Close(u32::from(u16::from_le_bytes(*code)), text(reason.to_vec()))
                }
                None => Self::Close(NO_CODE, String::new()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(kind: Kind, more: bool, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap();
        let mut bytes = Header { kind, more, length }.encode().to_vec();
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn a_socket_nobody_reads_keeps_no_endless_row_of_empty_messages() {
        let (socket, mut ends) = Accepted::new(&Chores::unread(), 1, Vec::new());
        let most = SOCKET_UNSENT_BYTES_MAX / SOCKET_SAID_BYTES;
        for _ in 0..=most {
            assert!(!socket.dropped.load(Ordering::Relaxed));
            socket.say(Said {
                parcels: Vec::new(),
                last: false,
                _weight: Weight::default(),
            });
        }
        assert!(socket.dropped.load(Ordering::Relaxed));
        let mut kept = 0;
        while ends.said.try_recv().is_ok() {
            kept += 1;
        }
        assert_eq!(kept, most);
    }

    #[test]
    fn messages_are_cut_wherever_the_bytes_are() {
        let mut bytes = parcel(Kind::Text, true, b"he");
        bytes.extend(parcel(Kind::Text, false, b"llo"));
        bytes.extend(parcel(Kind::Binary, false, &[1, 255]));
        bytes.extend(parcel(Kind::Text, false, b""));
        bytes.extend(parcel(Kind::Close, false, b"\xa1\x0fbye"));
        let wanted = [
            Message::Text("hello".to_owned()),
            Message::Bytes(vec![1, 255]),
            Message::Text(String::new()),
            Message::Close(4001, "bye".to_owned()),
        ];
        for size in 1..=bytes.len() {
            let mut messages = Messages::default();
            let mut found = Vec::new();
            for piece in bytes.chunks(size) {
                messages.push(piece.to_vec());
                while let Some(message) = messages.next().unwrap() {
                    found.push(message);
                }
            }
            assert_eq!(found, wanted, "in pieces of {size}");
        }
    }

    #[test]
    fn a_close_without_a_code_and_text_that_is_none() {
        let mut messages = Messages::default();
        messages.push(parcel(Kind::Text, false, b"a\xff"));
        messages.push(parcel(Kind::Close, false, b""));
        let text = Message::Text("a\u{fffd}".to_owned());
        assert_eq!(messages.next(), Ok(Some(text)));
        let close = Message::Close(NO_CODE, String::new());
        assert_eq!(messages.next(), Ok(Some(close)));
    }

    #[test]
    fn what_is_no_message_or_too_large_is_refused() {
        let mut messages = Messages::default();
        messages.push(vec![9, 0, 0, 0, 0]);
        assert!(messages.next().is_err());
        let mut messages = Messages::default();
        messages.push(parcel(Kind::Binary, true, &[7; 100]));
        let length = u32::try_from(SOCKET_MESSAGE_BYTES_MAX).unwrap();
        let header = Header {
            kind: Kind::Binary,
            more: false,
            length,
        };
        messages.push(header.encode().to_vec());
        assert!(messages.next().is_err());
    }
}
