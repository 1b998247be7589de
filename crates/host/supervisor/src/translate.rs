//! Values between one guest's numbers and another's.
//!
//! [`Lift`] turns what a guest sent into held values, under the sender's lock; [`Lower`] puts held
//! values into the receiver's tables and makes its frame, under the receiver's lock. Never both at
//! once. Links are attached after the receiver's lock is let go: bytes queue in them until then.
//!
//! Invariant: every number in a frame is looked up or freshly introduced; anything else is a
//! violation. What a guest merely may not do (a value too large, a capability that cannot be handed
//! on) is a failure for the caller, and the guest lives on.

use crate::bounds::{FAILURE_BYTES_MAX, NAME_BYTES_MAX, PROPS_BYTES_MAX};
use crate::budget;
use crate::call::overloaded;
use crate::capability::{Capability, LoaderCap, ObjectCap, Scope, ServiceCap, not_transferable};
use crate::guest::{Guest, Role, State};
use crate::held::{
    HeldAttachment, HeldBody, HeldCode, HeldEvent, HeldOutcome, HeldPayload, HeldSocket, Weight,
};
use crate::link::{Link, ReaderEnd, WriterEnd};
use crate::relay::Violation;
use crate::trace::Tails;
use crate::turn::Turn;
use mayfly_wire::bounds::{
    ATTACHMENTS_MAX, AUTHORITY_BYTES_MAX, HEAD_BYTES_MAX, INLINE_BODY_BYTES_MAX, MESSAGE_BYTES_MAX,
    PATH_SEGMENTS_MAX, STREAMS_MAX,
};
use mayfly_wire::{
    ActorId, Attachment, Beside, Body, CapId, CapKind, Event, ExportId, Failure, FailureKind,
    Outbound, Outcome, Payload, Socket, StreamId, WorkerCode,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Why a guest's value does not cross.
#[derive(Debug)]
pub enum LiftError {
    /// The guest must be ended.
    Violation(Violation),
    /// The caller hears this.
    Refused(Failure),
}

impl From<Violation> for LiftError {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

/// Where a payload may come to rest; decides what may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Arguments and results.
    Message,
    /// `ctx.props`: kept, so no streams.
    Props,
    /// A dynamic Worker's `env`: kept, and loaders may be in it.
    Env,
}

/// Reads a guest's values. The guest's lock is held.
pub struct Lift<'a> {
    guest: &'a Arc<Guest>,
    state: &'a mut State,
}

impl<'a> Lift<'a> {
    /// For `guest`, whose lock gave `state`.
    pub fn new(guest: &'a Arc<Guest>, state: &'a mut State) -> Self {
        Self { guest, state }
    }

    /// An event of a call.
    pub fn event(&mut self, event: Event) -> Result<HeldEvent, LiftError> {
        match event {
            Event::Fetch { request, body } => {
                let head_bytes = head_bytes(&request.headers)
                    + request.url.len()
                    + request.method.len()
                    + request.cf.len();
                let body = self.body(body)?;
                check_size("request head", head_bytes, HEAD_BYTES_MAX)?;
                let weight = self.weigh(head_bytes + body.bytes())?;
                Ok(HeldEvent::Fetch {
                    request,
                    body,
                    weight,
                })
            }
            Event::Rpc { path, args } => {
                let args = args
                    .map(|args| self.payload(args, Purpose::Message))
                    .transpose()?;
                if path.len() > PATH_SEGMENTS_MAX {
                    return Err(Violation::PathTooLong(path.len()).into());
                }
                let path_bytes = path.iter().map(String::len).sum();
                check_size("property path", path_bytes, HEAD_BYTES_MAX)?;
                Ok(HeldEvent::Rpc { path, args })
            }
            Event::Scheduled { time_ms, cron } => {
                check_size("cron expression", cron.len(), NAME_BYTES_MAX)?;
                Ok(HeldEvent::Scheduled { time_ms, cron })
            }
            Event::Queue {
                queue,
                messages,
                batch,
            } => {
                let batch = self.payload(batch, Purpose::Message)?;
                check_size("name of the queue", queue.len(), NAME_BYTES_MAX)?;
                Ok(HeldEvent::Queue {
                    queue,
                    messages,
                    batch,
                })
            }
            Event::Connect {
                authority,
                secure,
                socket,
            } => {
                let socket = self.socket(&socket)?;
                check_size("address", authority.len(), AUTHORITY_BYTES_MAX)?;
                Ok(HeldEvent::Connect {
                    authority,
                    secure,
                    socket,
                })
            }
            // Only the host sends these.
            Event::LoadCode {}
            | Event::Tail { .. }
            | Event::TailStream { .. }
            | Event::Alarm { .. }
            | Event::StartFacet {}
            | Event::Restore { .. }
            | Event::SocketText { .. }
            | Event::SocketBytes { .. }
            | Event::SocketClose { .. }
            | Event::SocketError { .. } => Err(Violation::NotForGuests.into()),
        }
    }

    /// An outcome of a call.
    pub fn outcome(&mut self, outcome: Outcome) -> Result<HeldOutcome, LiftError> {
        Ok(match outcome {
            Outcome::Response { head, body } => {
                let body = self.body(body)?;
                let bytes = head_bytes(&head.headers) + head.status_text.len() + head.url.len();
                check_size("response head", bytes, HEAD_BYTES_MAX)?;
                HeldOutcome::Response { head, body }
            }
            Outcome::Value { payload } => {
                HeldOutcome::Value(self.payload(payload, Purpose::Message)?)
            }
            Outcome::Nothing { no_retry } => HeldOutcome::Nothing { no_retry },
            Outcome::Code { code } => HeldOutcome::Code(Box::new(self.code(*code)?)),
            // TLS is the host's alone to give, so a guest's claim of it means nothing.
            Outcome::Connected { .. } => HeldOutcome::Connected { upgrade: None },
            Outcome::Failed { failure } => HeldOutcome::Failed(self.failure(failure)?),
            Outcome::Restored { target } => HeldOutcome::Restored {
                target: self.restored(target)?,
            },
            Outcome::Facet { class, id } => {
                let class = match self.cap(class)? {
                    Capability::Class(class) => class.clone(),
                    Capability::Failed(failure) => {
                        return Err(LiftError::Refused((**failure).clone()));
                    }
                    _ => return Err(Violation::NotAClass(class).into()),
                };
                check_size(
                    "id of a facet",
                    id.as_ref().map_or(0, String::len),
                    NAME_BYTES_MAX,
                )?;
                HeldOutcome::Facet { class, id }
            }
        })
    }

    /// A failure, its texts cut to their bounds. One whose value refers to anything loses the value.
    pub fn failure(&mut self, mut failure: Failure) -> Result<Failure, LiftError> {
        if !failure.value.attachments.is_empty() {
            let value = std::mem::replace(&mut failure.value, Payload::empty());
            drop(self.payload(value, Purpose::Message)?);
        }
        if failure.value.bytes.0.len() > FAILURE_BYTES_MAX {
            failure.value = Payload::empty();
        }
        cut(&mut failure.name, FAILURE_BYTES_MAX);
        cut(&mut failure.message, FAILURE_BYTES_MAX);
        cut(&mut failure.stack, FAILURE_BYTES_MAX);
        // A guest speaks for its user's code only. Other kinds would pass its failure off as ours.
        failure.kind = match failure.kind {
            kind @ (FailureKind::Exception {}
            | FailureKind::Canceled {}
            | FailureKind::Network {}
            | FailureKind::Limit {}
            | FailureKind::Overloaded {}
            | FailureKind::Lost {}) => kind,
            _ => FailureKind::Exception {},
        };
        failure.budget = None;
        Ok(failure)
    }

    /// A value. Everything it refers to is taken over even where the value is then refused.
    pub fn payload(
        &mut self,
        payload: Payload,
        purpose: Purpose,
    ) -> Result<HeldPayload, LiftError> {
        if payload.attachments.len() > ATTACHMENTS_MAX {
            return Err(Violation::TooManyAttachments(payload.attachments.len()).into());
        }
        let mut refusal = None;
        let mut attachments = Vec::with_capacity(payload.attachments.len());
        for attachment in payload.attachments {
            match self.attachment(attachment, purpose) {
                Ok(attachment) => attachments.push(attachment),
                Err(LiftError::Refused(failure)) => refusal = Some(failure),
                Err(violation) => return Err(violation),
            }
        }
        if let Some(failure) = refusal {
            return Err(LiftError::Refused(failure));
        }
        let limit = match purpose {
            Purpose::Props => PROPS_BYTES_MAX,
            // The message about `env` has its own words, see `code`.
            Purpose::Message | Purpose::Env => MESSAGE_BYTES_MAX,
        };
        let beside = attachments.iter().map(|attachment| match attachment {
            HeldAttachment::Bytes(bytes) => bytes.len(),
            _ => 0,
        });
        let bytes = payload.bytes.0.len() + beside.sum::<usize>();
        check_size("message", bytes, limit)?;
        Ok(HeldPayload {
            weight: self.weigh(bytes)?,
            bytes: payload.bytes,
            attachments,
        })
    }

    fn attachment(
        &mut self,
        attachment: Attachment,
        purpose: Purpose,
    ) -> Result<HeldAttachment, LiftError> {
        Ok(match attachment {
            Attachment::Cap { cap, .. } => HeldAttachment::Cap(self.handed_on(cap, purpose)?),
            Attachment::Export { export } => {
                HeldAttachment::Cap(Capability::Object(self.export(export)))
            }
            Attachment::Readable { stream } => {
                HeldAttachment::Readable(kept_none(self.reader(stream)?, purpose)?)
            }
            Attachment::Writable { stream } => {
                HeldAttachment::Writable(kept_none(self.writer(stream)?, purpose)?)
            }
            Attachment::Socket { socket } => {
                HeldAttachment::Socket(kept_none(self.websocket(&socket)?, purpose)?)
            }
            Attachment::Bytes { .. } => {
                let bytes = self.state.take_beside();
                let bytes = bytes.ok_or(Violation::NothingBeside)?;
                HeldAttachment::Bytes(kept_none(bytes, purpose)?)
            }
            Attachment::Held { actor, socket } => {
                HeldAttachment::Socket(kept_none(self.held(actor, socket)?, purpose)?)
            }
            Attachment::Passed { hears, says } => {
                HeldAttachment::Socket(kept_none(self.passed(hears, says)?, purpose)?)
            }
        })
    }

    /// A capability that the guest holds.
    pub fn cap(&self, cap: CapId) -> Result<&Capability, Violation> {
        self.state
            .caps
            .get(&cap.0)
            .ok_or(Violation::UnknownCap(cap))
    }

    /// A capability that the guest wants another to hold.
    pub fn handed_on(&self, cap: CapId, purpose: Purpose) -> Result<Capability, LiftError> {
        let capability = self.cap(cap)?.clone();
        match &capability {
            Capability::Service(service) if service.is_dynamic() => {
                Err(LiftError::Refused(not_transferable()))
            }
            Capability::Service(service) if service.keep.is_none() => Ok(kept(service)),
            Capability::Loader(_) if purpose != Purpose::Env => Err(cannot_clone("WorkerLoader")),
            Capability::Stub(_) => Err(cannot_clone("WorkerStub")),
            Capability::Actors(_) | Capability::OwnActors(_) => {
                Err(cannot_clone("DurableObjectNamespace"))
            }
            Capability::Class(class) if class.is_dynamic() => {
                Err(LiftError::Refused(not_transferable()))
            }
            Capability::Actor(_) | Capability::Class(_) => Ok(capability),
            Capability::Service(_)
            | Capability::Network(_)
            | Capability::Blocked
            | Capability::Loader(_)
            | Capability::Object(_)
            | Capability::Answer(_)
            | Capability::Restored(_)
            | Capability::Failed(_) => Ok(capability),
        }
    }

    /// What a `[restore]()` method gave. A dynamic Worker's entrypoint may be: the method can give it again.
    pub fn restored(&self, target: Attachment) -> Result<Capability, Violation> {
        match target {
            Attachment::Export { export } => Ok(Capability::Object(self.export(export))),
            Attachment::Cap { cap, .. } => match self.cap(cap)? {
                Capability::Service(service) if service.keep.is_none() => Ok(kept(service)),
                capability @ (Capability::Service(_)
                | Capability::Network(_)
                | Capability::Blocked
                | Capability::Object(_)
                | Capability::Answer(_)
                | Capability::Actor(_)
                | Capability::Restored(_)
                | Capability::Failed(_)) => Ok(capability.clone()),
                Capability::Loader(_)
                | Capability::Stub(_)
                | Capability::Actors(_)
                | Capability::OwnActors(_)
                | Capability::Class(_) => Err(Violation::NotCallable(cap)),
            },
            _ => Err(Violation::NotRestorable),
        }
    }

    /// A reference to an object of the guest's own.
    pub fn export(&self, export: ExportId) -> Arc<ObjectCap> {
        self.guest.exports_held.fetch_add(1, Ordering::Relaxed);
        let keep = self
            .state
            .worker
            .as_ref()
            .filter(|worker| worker.is_dynamic())
            .and_then(|worker| worker.handle());
        let chores = self.guest.hub.chores.clone();
        Arc::new(ObjectCap::new(self.guest, export, keep, chores))
    }

    fn body(&mut self, body: Body) -> Result<HeldBody, LiftError> {
        Ok(match body {
            Body::Empty {} => HeldBody::Empty,
            Body::Inline { bytes } => {
                if bytes.0.len() > INLINE_BODY_BYTES_MAX {
                    return Err(Violation::InlineTooLong(bytes.0.len()).into());
                }
                HeldBody::Inline(bytes)
            }
            Body::Stream { stream, length } => HeldBody::Stream {
                reader: self.reader(stream)?,
                length,
            },
            Body::Socket { socket } => HeldBody::Socket(self.websocket(&socket)?),
            Body::Held { actor, socket } => HeldBody::Socket(self.held(actor, socket)?),
            Body::Passed { hears, says } => HeldBody::Socket(self.passed(hears, says)?),
        })
    }

    fn socket(&mut self, socket: &Socket) -> Result<HeldSocket, LiftError> {
        Ok(HeldSocket {
            reader: self.reader(socket.readable)?,
            writer: self.writer(socket.writable)?,
        })
    }

    fn websocket(&mut self, socket: &Socket) -> Result<HeldSocket, LiftError> {
        let socket = self.socket(socket)?;
        let links = [socket.reader.link(), socket.writer.link()];
        for link in links.into_iter().flatten() {
            link.carries_messages();
        }
        Ok(socket)
    }

    /// The other end of a socket that the host holds for one of the guest's instances.
    pub fn held(&self, actor: ActorId, socket: u32) -> Result<HeldSocket, LiftError> {
        let resident = self.state.actors.get(&actor.0);
        let end = resident.and_then(|resident| resident.actor.sockets.claim(socket));
        end.ok_or_else(|| {
            LiftError::Refused(Failure::new(
                FailureKind::Exception {},
                "TypeError",
                "this WebSocket was given away already, or its Durable Object has ended",
            ))
        })
    }

    /// A WebSocket that the guest was given and passes on. What the other end has broken off meanwhile
    /// is broken off for the receiver too.
    fn passed(&mut self, hears: StreamId, says: StreamId) -> Result<HeldSocket, LiftError> {
        let (hears, says) = (
            self.given_up(hears, Role::Reads)?,
            self.given_up(says, Role::Writes)?,
        );
        let chores = &self.guest.hub.chores;
        Ok(HeldSocket {
            reader: hears.map_or_else(|| Link::pair(chores).1, ReaderEnd::passed),
            writer: says.map_or_else(|| Link::pair(chores).0, WriterEnd::passed),
        })
    }

    fn given_up(&mut self, id: StreamId, role: Role) -> Result<Option<Arc<Link>>, Violation> {
        match self.state.streams.get(&id.0) {
            Some((known, link)) if *known == role && link.has_messages() => {}
            None if self.state.stream_was_known(id) => return Ok(None),
            Some(_) | None => return Err(Violation::UnknownStream(id)),
        }
        Ok(self.state.streams.remove(&id.0).map(|(_, link)| link))
    }

    /// A stream that the guest writes.
    fn reader(&mut self, id: StreamId) -> Result<ReaderEnd, LiftError> {
        self.stream_room()?;
        let (link, reader) = Link::written_by(&self.guest.hub.chores, self.guest, id);
        if !self.state.open_guest_stream(id, Role::Writes, link) {
            return Err(Violation::StreamTaken(id).into());
        }
        Ok(reader)
    }

    /// A stream that the guest reads.
    fn writer(&mut self, id: StreamId) -> Result<WriterEnd, LiftError> {
        self.stream_room()?;
        let (link, writer) = Link::read_by(&self.guest.hub.chores, self.guest, id);
        if !self.state.open_guest_stream(id, Role::Reads, link) {
            return Err(Violation::StreamTaken(id).into());
        }
        Ok(writer)
    }

    fn stream_room(&self) -> Result<(), Violation> {
        if self.state.streams.len() >= STREAMS_MAX {
            return Err(Violation::TooManyStreams);
        }
        Ok(())
    }

    fn weigh(&self, bytes: usize) -> Result<Weight, LiftError> {
        Weight::new(&self.guest.held_bytes, bytes)
            .ok_or_else(|| LiftError::Refused(overloaded("bytes of this Worker wait in the host")))
    }

    /// A dynamic Worker's code; sizes and names are checked later, outside the lock (`code`).
    pub fn code(&mut self, code: WorkerCode) -> Result<HeldCode, LiftError> {
        let env = self.payload(code.env, Purpose::Env)?;
        let outbound = match code.outbound {
            Outbound::Inherit {} => self.state.outbound.clone(),
            Outbound::Blocked {} => None,
            Outbound::Service { cap } => Some(self.service(cap)?),
        };
        let services = |caps: Vec<CapId>| -> Result<Vec<Capability>, LiftError> {
            caps.into_iter().map(|cap| self.service(cap)).collect()
        };
        let tails = Tails::new(services(code.tails)?, services(code.streaming_tails)?);
        let code_bytes = code
            .modules
            .iter()
            .map(|module| module.content.0.len())
            .sum();
        Ok(HeldCode {
            weight: self.weigh(code_bytes)?,
            compatibility_date: code.compatibility_date,
            compatibility_flags: code.compatibility_flags,
            allow_experimental: code.allow_experimental,
            main_module: code.main_module,
            modules: code.modules,
            env,
            outbound,
            tails,
            limits: code.limits,
            jitless: code.jitless,
        })
    }

    fn service(&self, cap: CapId) -> Result<Capability, LiftError> {
        let capability = self.handed_on(cap, Purpose::Props)?;
        match capability.kind() {
            CapKind::Service {} => Ok(capability),
            _ => Err(Violation::NotAService(cap).into()),
        }
    }
}

/// In its own table a service does not keep its Worker; elsewhere it does.
fn kept(service: &ServiceCap) -> Capability {
    Capability::Service(Arc::new(ServiceCap {
        keep: service.worker.handle(),
        ..service.clone()
    }))
}

fn kept_none<T>(end: T, purpose: Purpose) -> Result<T, LiftError> {
    match purpose {
        Purpose::Message => Ok(end),
        Purpose::Props | Purpose::Env => Err(cannot_clone("stream")),
    }
}

fn cannot_clone(what: &str) -> LiftError {
    LiftError::Refused(Failure::new(
        FailureKind::Exception {},
        "DataCloneError",
        format!("A {what} cannot be handed to another Worker here."),
    ))
}

fn check_size(what: &str, bytes: usize, limit: usize) -> Result<(), LiftError> {
    if bytes <= limit {
        return Ok(());
    }
    Err(LiftError::Refused(
        Failure::new(
            FailureKind::Limit {},
            "Error",
            format!("{what} is {bytes} bytes, limit {limit}"),
        )
        .of_budget(budget::MESSAGE_SIZE, bytes as f64, limit as f64),
    ))
}

fn head_bytes(headers: &[(String, String)]) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

/// Cuts a text to `limit` bytes at a character's border.
pub fn cut(text: &mut String, limit: usize) {
    if text.len() > limit {
        let mut end = limit;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
}

/// What remains to be done once the receiver's lock is let go.
#[derive(Debug)]
pub enum Attach {
    /// The receiver may read this.
    Reader(ReaderEnd, StreamId),
    /// The receiver reads this at once.
    Hearer(ReaderEnd, StreamId),
    /// The receiver writes this.
    Writer(WriterEnd, StreamId),
    /// The object's guest had ended already.
    Broken(CapId, Failure),
}

impl Attach {
    /// Does it.
    pub fn attach(self, turn: &mut Turn, guest: &Arc<Guest>) {
        match self {
            Self::Reader(end, id) => end.attach(turn, guest, id, true),
            Self::Hearer(end, id) => end.attach(turn, guest, id, false),
            Self::Writer(end, id) => end.attach(turn, guest, id),
            Self::Broken(cap, failure) => {
                guest.send(turn, &mayfly_wire::ToGuest::CapBroken { cap, failure });
            }
        }
    }
}

/// Makes frames for a guest. Its lock is held, and room was asked for.
pub struct Lower<'a> {
    guest: &'a Arc<Guest>,
    state: &'a mut State,
    attach: &'a mut Vec<Attach>,
}

impl<'a> Lower<'a> {
    /// For `guest`, whose lock gave `state`.
    pub fn new(guest: &'a Arc<Guest>, state: &'a mut State, attach: &'a mut Vec<Attach>) -> Self {
        Self {
            guest,
            state,
            attach,
        }
    }

    /// Puts a capability into a slot.
    pub fn cap(&mut self, capability: Capability) -> CapId {
        let capability = self.own(capability);
        let object = capability.object();
        let cap = self.state.install(capability);
        if let Some(object) = object
            && !object.guest.add_dependent(self.guest.id)
        {
            self.attach.push(Attach::Broken(cap, object.guest.lost()));
        }
        cap
    }

    /// The form a capability has in this guest's own table.
    fn own(&self, capability: Capability) -> Capability {
        match capability {
            // No parent ever reaches what another parent loaded.
            Capability::Loader(loader) => match &loader.scope {
                Scope::Shared(_) => Capability::Loader(loader),
                Scope::Private { .. } => Capability::Loader(Arc::new(LoaderCap {
                    scope: Scope::Private {
                        parent: self.guest.id.0,
                        binding: loader.binding.clone(),
                    },
                    binding: loader.binding.clone(),
                    policy: loader.policy.clone(),
                })),
            },
            other => other,
        }
    }

    /// A value that is kept and may be sent again: capabilities only.
    pub fn shared(&mut self, payload: &HeldPayload) -> Payload {
        let mut attachments = Vec::with_capacity(payload.attachments.len());
        for attachment in &payload.attachments {
            if let HeldAttachment::Cap(capability) = attachment {
                attachments.push(self.cap_attachment(capability.clone()));
            }
        }
        Payload {
            bytes: payload.bytes.clone(),
            attachments,
        }
    }

    fn cap_attachment(&mut self, capability: Capability) -> Attachment {
        let kind = capability.kind();
        let cap = self.cap(capability);
        Attachment::Cap { cap, kind }
    }

    /// A value.
    pub fn payload(&mut self, payload: HeldPayload) -> Payload {
        let mut attachments = Vec::with_capacity(payload.attachments.len());
        for attachment in payload.attachments {
            attachments.push(match attachment {
                HeldAttachment::Cap(capability) => self.cap_attachment(capability),
                HeldAttachment::Readable(end) => Attachment::Readable {
                    stream: self.reader(end),
                },
                HeldAttachment::Writable(end) => Attachment::Writable {
                    stream: self.writer(end),
                },
                HeldAttachment::Socket(socket) => Attachment::Socket {
                    socket: self.socket(socket),
                },
                HeldAttachment::Bytes(bytes) => Attachment::Bytes {
                    bytes: Beside(bytes),
                },
            });
        }
        Payload {
            bytes: payload.bytes,
            attachments,
        }
    }

    fn reader(&mut self, end: ReaderEnd) -> StreamId {
        self.reads(end, Attach::Reader)
    }

    fn reads(&mut self, end: ReaderEnd, attach: fn(ReaderEnd, StreamId) -> Attach) -> StreamId {
        let Some(link) = end.link().cloned() else {
            // An end without a link was attached already; nothing will come on this number.
            return StreamId(0);
        };
        let id = self.state.open_stream(Role::Reads, link);
        self.attach.push(attach(end, id));
        id
    }

    fn writer(&mut self, end: WriterEnd) -> StreamId {
        let Some(link) = end.link().cloned() else {
            return StreamId(0);
        };
        let id = self.state.open_stream(Role::Writes, link);
        self.attach.push(Attach::Writer(end, id));
        id
    }

    fn body(&mut self, body: HeldBody) -> Body {
        match body {
            HeldBody::Empty => Body::Empty {},
            HeldBody::Inline(bytes) => Body::Inline { bytes },
            HeldBody::Stream { reader, length } => Body::Stream {
                stream: self.reader(reader),
                length,
            },
            HeldBody::Socket(socket) => Body::Socket {
                socket: self.socket(socket),
            },
        }
    }

    fn socket(&mut self, socket: HeldSocket) -> Socket {
        Socket {
            // A WebSocket may be passed on; a connection is heard at once.
            readable: match socket.reader.link().is_some_and(|link| link.has_messages()) {
                true => self.reads(socket.reader, Attach::Reader),
                false => self.reads(socket.reader, Attach::Hearer),
            },
            writable: self.writer(socket.writer),
        }
    }

    /// An event.
    pub fn event(&mut self, event: HeldEvent) -> Event {
        match event {
            HeldEvent::Fetch { request, body, .. } => Event::Fetch {
                request,
                body: self.body(body),
            },
            HeldEvent::Rpc { path, args } => Event::Rpc {
                path,
                args: args.map(|args| self.payload(args)),
            },
            HeldEvent::Scheduled { time_ms, cron } => Event::Scheduled { time_ms, cron },
            HeldEvent::LoadCode => Event::LoadCode {},
            HeldEvent::Alarm {
                scheduled_ms,
                retries,
            } => Event::Alarm {
                scheduled_ms,
                retries,
            },
            HeldEvent::StartFacet => Event::StartFacet {},
            HeldEvent::Restore { args } => Event::Restore {
                args: self.payload(args),
            },
            HeldEvent::SocketText { socket, text } => Event::SocketText { socket, text },
            HeldEvent::SocketBytes { socket, bytes } => Event::SocketBytes { socket, bytes },
            HeldEvent::SocketClose {
                socket,
                code,
                reason,
                clean,
            } => Event::SocketClose {
                socket,
                code,
                reason,
                clean,
            },
            HeldEvent::SocketError { socket, failure } => Event::SocketError {
                socket,
                failure: *failure,
            },
            HeldEvent::Tail { items, .. } => Event::Tail { items },
            HeldEvent::TailStream { events, .. } => Event::TailStream { events },
            HeldEvent::Queue {
                queue,
                messages,
                batch,
            } => Event::Queue {
                queue,
                messages,
                batch: self.payload(batch),
            },
            HeldEvent::Connect {
                authority,
                secure,
                socket,
            } => Event::Connect {
                authority,
                secure,
                socket: self.socket(socket),
            },
        }
    }

    /// An outcome.
    pub fn outcome(&mut self, outcome: HeldOutcome) -> Outcome {
        match outcome {
            HeldOutcome::Response { head, body } => Outcome::Response {
                head,
                body: self.body(body),
            },
            HeldOutcome::Value(payload) => Outcome::Value {
                payload: self.payload(payload),
            },
            HeldOutcome::Nothing { no_retry } => Outcome::Nothing { no_retry },
            HeldOutcome::Connected { upgrade } => Outcome::Connected {
                upgrade: upgrade.map(|capability| self.cap(capability)),
            },
            HeldOutcome::Failed(failure) => Outcome::Failed { failure },
            // `relay` accepts these from callbacks of the host's only.
            HeldOutcome::Code(_) | HeldOutcome::Facet { .. } | HeldOutcome::Restored { .. } => {
                Outcome::Nothing { no_retry: false }
            }
        }
    }
}
