//! The vocabulary between the host and one guest.
//!
//! Four things cross: a Worker's start, *calls* (each an event with one outcome), *capabilities*
//! (numbers that name an entry in the table the host keeps for this guest) and *streams* (bytes
//! with credit). Both directions use the same shapes, so that the host can join the call of one
//! guest to the invocation of another without looking into the values it carries.
//!
//! Numbers. A [`CallId`] is chosen by whoever calls; the two directions count separately. A
//! [`CapId`] or [`StreamId`] is chosen by whoever introduces it: odd by the guest, even by the
//! host. An [`ExportId`] is chosen by the guest for an object of its own. A guest that names a
//! number it does not hold is ended.

use crate::beside::Beside;
use crate::codec::{Blob, Reader, Wire, WireError, wire_enum, wire_id, wire_struct};
use crate::storage::{StorageReply, StorageRequest};
use std::sync::Arc;

wire_id! {
    /// One call. Chosen by the caller; free again when the callee has said `Done`.
    CallId
}
wire_id! {
    /// An entry in the capability table that the host keeps for this guest.
    CapId
}
wire_id! {
    /// One direction of bytes between this guest and the host.
    StreamId
}
wire_id! {
    /// An object of the guest's own that others may call: an RpcTarget, a function, a callback.
    ExportId
}
wire_id! {
    /// One instance of a Durable Object in this guest. Chosen by the host, never used again there.
    ActorId
}

wire_enum! {
    /// What the host sends to a guest.
    ToGuest {
        /// The Worker that this guest is from now on. First frame, once.
        1 = Start { start: Box<Start>, },
        /// Deliver an event to an entrypoint. Answered by `Return`, then `Done`. May be sent
        /// right behind `Start`; the guest holds it until its main module has been evaluated.
        2 = Invoke {
            call: CallId,
            /// Export name; empty means `default`.
            entrypoint: String,
            /// `ctx.props`; empty bytes mean `{}`.
            props: Payload,
            event: Event,
        },
        /// Call an object the guest exported.
        3 = CallExport { call: CallId, export: ExportId, event: Event, },
        /// Call the future result of an earlier call into this guest (promise pipelining).
        4 = CallAnswer { call: CallId, answer: CallId, event: Event, },
        /// The outcome of a call that the guest made.
        5 = Return { call: CallId, outcome: Outcome, },
        /// The caller of an invocation no longer wants its outcome; aborts `request.signal`.
        6 = Cancel { call: CallId, reason: String, },
        /// Bytes of a stream that the guest reads.
        ///
        /// Those of a body, of a readable stream in a payload or of a WebSocket come once the guest has said
        /// `StreamRead`, or the writer its last word.
        7 = StreamData { stream: StreamId, bytes: Blob, },
        /// No more bytes will come.
        8 = StreamEnd { stream: StreamId, },
        /// The writer failed.
        9 = StreamAbort { stream: StreamId, failure: Failure, },
        /// The reader of a stream that the guest writes has room for `bytes` more.
        10 = StreamCredit { stream: StreamId, bytes: u32, },
        /// The reader is gone; the guest stops writing.
        11 = StreamCancel { stream: StreamId, reason: String, },
        /// References to an exported object were dropped.
        12 = ReleaseExport { export: ExportId, count: u32, },
        /// Nobody will pipeline on this answer any more. Sent exactly once for every `Event::Rpc`
        /// (right behind it where its caller named no result slot), never for other events.
        13 = ReleaseAnswer { call: CallId, },
        /// A capability the guest holds is broken: its guest died. Feeds `onRpcBroken`.
        14 = CapBroken { cap: CapId, failure: Failure, },
        /// Collect garbage now (memory pressure, or a test's climate).
        15 = Collect { },
        /// A stream that the guest passed on with `StreamJoin` is over for its reader. If the reader
        /// leaves early, `StreamCancel` says so instead.
        140 = StreamPassed { stream: StreamId, },
        /// Bytes that belong beside a payload of the next message.
        142 = Bytes { bytes: Blob, },
        /// Compile one ES module and run none of it. Instead of `Start`, as the first and last frame: the
        /// guest answers with `Compiled` and ends.
        150 = Compile { name: String, source: Blob, },
        /// Somebody follows the invocation that the next frame delivers: what happens in it is to be
        /// told in full. Without this frame log lines go without their values and spans are not told.
        60 = Traced { call: CallId, },
        /// The call that the next frame delivers comes from this guest itself: a guest that waits for such
        /// calls alone waits for itself.
        131 = OwnCall { call: CallId, },
        /// From now on the guest keeps looking for the next frame for so many microseconds after one that
        /// left it with nothing to do, before it sleeps; 0 ends that.
        151 = StayAwake { us: u32, },
        /// More events of the invocation that this guest's `tailStream()` follows, as a JSON array.
        /// Sent after `TailMore`, once for each.
        61 = TailEvents { call: CallId, events: String, },
        /// From now on this guest has an instance of a Durable Object. Its class is constructed with the
        /// first event.
        20 = StartActor { actor: ActorId, start: Box<ActorStart>, },
        /// Deliver an event to an instance. Answered as `Invoke` is.
        21 = InvokeActor { call: CallId, actor: ActorId, event: Event, },
        /// The instance is over: it was idle, or something above it ended. What is under way in it
        /// fails with `failure`.
        22 = StopActor { actor: ActorId, failure: Failure, },
        /// The answer to the one `Storage` that the guest waits for.
        23 = StorageReply { reply: StorageReply, },
    }
}

wire_enum! {
    /// What a guest sends to the host. Every field is hostile.
    ToHost {
        /// The main module was evaluated; these are its entrypoints.
        1 = Started { entrypoints: Vec<Entrypoint>, },
        /// The Worker cannot start. The host fails what waits and ends the guest.
        2 = StartFailed { failure: Failure, },
        /// Call a capability. Answered by `ToGuest::Return`.
        3 = Call {
            call: CallId,
            cap: CapId,
            event: Event,
            /// Slot that names the future result, for pipelining; released like any other.
            result: Option<CapId>,
        },
        /// The caller no longer wants the outcome.
        4 = Cancel { call: CallId, reason: String, },
        /// The outcome of an invocation, `CallExport` or `CallAnswer`.
        5 = Return { call: CallId, outcome: Outcome, },
        /// All work of the invocation has ended, `waitUntil` and body streams included.
        6 = Done { call: CallId, },
        /// `LOADER.load(code)`: a new Worker in slot `worker`.
        7 = Load { worker: CapId, loader: CapId, code: Box<WorkerCode>, },
        /// `LOADER.get(id, callback)`. When the Worker must be loaded the host calls `callback`
        /// with `Event::LoadCode`; the outcome is `Outcome::Code`.
        8 = Get { worker: CapId, loader: CapId, id: Option<String>, callback: ExportId, },
        /// `WorkerStub.getEntrypoint(name, {props, limits})`: a service in slot `service`.
        9 = GetEntrypoint {
            service: CapId,
            worker: CapId,
            name: Option<String>,
            props: Payload,
            limits: Limits,
        },
        /// `ctx.exports.Name({props})`: a service of the Worker's own in slot `service`.
        10 = GetSelf { service: CapId, name: String, props: Payload, },
        /// The guest dropped a capability: `[Symbol.dispose]()` or its collector. Calls under way
        /// on it go on.
        11 = ReleaseCap { cap: CapId, },
        /// The guest now holds the capability in two places (`dup()`): a second slot for it.
        12 = DupCap { cap: CapId, copy: CapId, },
        /// As in [`ToGuest`], for streams that the guest writes.
        13 = StreamData { stream: StreamId, bytes: Blob, },
        /// As in [`ToGuest`].
        14 = StreamEnd { stream: StreamId, },
        /// As in [`ToGuest`].
        15 = StreamAbort { stream: StreamId, failure: Failure, },
        /// As in [`ToGuest`], for streams that the guest reads.
        16 = StreamCredit { stream: StreamId, bytes: u32, },
        /// As in [`ToGuest`].
        17 = StreamCancel { stream: StreamId, reason: String, },
        /// The guest begins to read a stream that the host told it of.
        140 = StreamRead { stream: StreamId, },
        /// Instead of reading `from` and writing what comes to `to`, neither of which it has begun,
        /// the guest leaves both to the host. It hears `StreamPassed` or `StreamCancel` of `to`, and may
        /// break it off with `StreamAbort`. Where the other end of one has just ended this means
        /// nothing: the guest passes on what comes as if it had not said it.
        141 = StreamJoin { from: StreamId, to: StreamId, },
        /// Bytes that belong beside a payload of the next message.
        142 = Bytes { bytes: Blob, },
        /// One console line.
        18 = Log {
            /// The invocation it belongs to, where there is one.
            call: Option<CallId>,
            level: LogLevel,
            /// As a person reads it, at most [`crate::bounds::LOG_BYTES_MAX`].
            text: String,
            /// For tails, of an invocation that is `Traced`.
            values: LogValues,
        },
        /// An uncaught error or unhandled rejection.
        19 = Exception { call: Option<CallId>, failure: Failure, },
        /// `tailStream()` has dealt with what it got and wants to hear more of the invocation.
        60 = TailMore { call: CallId, },
        /// A span of a `Traced` invocation began; a number that the guest chose, never 0.
        61 = SpanOpen {
            call: CallId,
            span: u32,
            /// The span around it; 0 is the invocation itself.
            parent: u32,
            name: String,
        },
        /// It ended.
        62 = SpanClose {
            call: CallId,
            span: u32,
            /// A JSON array of `{name, value}`; may be empty.
            attributes: String,
        },
        /// A message on a channel of `node:diagnostics_channel`, in a `Traced` invocation.
        63 = Diagnostic {
            call: CallId,
            channel: String,
            /// A value in the platform's codec.
            message: Blob,
        },
        /// The call under the number `made`, which the next frame makes, comes from this span of this
        /// `Traced` invocation.
        64 = CallFrom { made: CallId, call: CallId, span: u32, },
        /// A `Traced` invocation goes on after its `Done`, because objects of it are held; its end is
        /// told with `TraceEnd`.
        65 = TraceHold { call: CallId, },
        /// See `TraceHold`.
        66 = TraceEnd { call: CallId, },
        /// What `Compile` asked for, in the engine's own form; empty where the source does not compile.
        150 = Compiled { bytes: Blob, },
        /// The guest made a system call that its sandbox forbids, and dies of it.
        80 = Trapped { number: u32, },
        /// The calls that follow are made for this invocation, until the next such frame.
        81 = Acting { call: Option<CallId>, },
        /// The main module was evaluated, and `Started` is still to be sent: said when the host asks,
        /// by a signal.
        82 = Running {},
        /// An instance asks its storage. The guest waits for the `StorageReply`.
        30 = Storage { actor: ActorId, request: StorageRequest, },
        /// The turn that wrote is over: what was written since the last one becomes durable, and what
        /// was said since then may leave.
        31 = Settled {},
        /// An instance is over: its constructor threw, it was aborted. What it wrote in this turn is
        /// forgotten; the next event starts a fresh one.
        32 = ActorBroken { actor: ActorId, failure: Failure, },
        /// `namespace.get(id)`: a stub in slot `stub`.
        33 = GetActor {
            stub: CapId,
            namespace: CapId,
            /// Its 32 bytes.
            id: Blob,
            /// Where the id was made of a name.
            name: Option<String>,
        },
        /// `WorkerStub.getDurableObjectClass(name, {props})`: a class in slot `class`.
        34 = GetClass { class: CapId, worker: CapId, name: Option<String>, props: Payload, },
        /// `ctx.exports.Name({props})` of a Durable Object class of the Worker's own.
        35 = GetSelfClass { class: CapId, name: String, props: Payload, },
        /// `ctx.facets.get(name, start)` of an instance: a stub in slot `stub`. Where the facet does not
        /// run, `start` is asked with `Event::StartFacet`.
        36 = GetFacet { stub: CapId, actor: ActorId, name: String, start: ExportId, },
        /// `ctx.facets.abort(name, reason)`.
        37 = AbortFacet { actor: ActorId, name: String, failure: Failure, },
        /// `ctx.facets.delete(name)`.
        38 = DeleteFacet { actor: ActorId, name: String, },
        /// An instance says something through a socket that the host holds: the parcels of one message.
        110 = SocketSay {
            actor: ActorId,
            socket: u32,
            parcels: Blob,
            /// It is a close: nothing more will be said.
            last: bool,
        },
        /// The guest itself takes the other end of a socket that the host holds: it reads `hears` and
        /// writes `says`.
        111 = OpenSocket { actor: ActorId, socket: u32, hears: StreamId, says: StreamId, },
        /// The Worker's `caches`: a service in slot `caches` that `HostedKind::Cache` describes.
        120 = GetCaches { caches: CapId, },
        /// `ctx.restore(args)`: what the guest's own `[restore](args)` gave, in slot `slot`, as something that
        /// can be stored because the host knows how to get it again.
        160 = Restored {
            slot: CapId,
            /// The invocation whose `ctx` it is, where that is an entrypoint's.
            call: CallId,
            /// The instance whose `ctx` it is, where that is a Durable Object's.
            actor: Option<ActorId>,
            /// Whose method it was: the export's name and `ctx.props`. Of an entrypoint only.
            entrypoint: String,
            props: Payload,
            args: Payload,
            /// What it gave: a capability or an object of the guest's own.
            target: Attachment,
        },
    }
}

wire_struct! {
    /// What an instance is made of.
    ActorStart {
        /// The class's export name.
        class: String,
        /// `ctx.props`.
        props: Payload,
        /// `ctx.id`: 64 hexadecimal digits, or whatever a facet was given.
        id: String,
        /// `ctx.id.name`.
        name: Option<String>,
        /// `storage.sql` and `storage.kv` may be used.
        sql: bool,
        /// It may have alarms; a facet may not.
        alarms: bool,
    }
}

wire_struct! {
    /// A Durable Object namespace.
    ActorNamespace {
        cap: CapId,
        /// Its ids are made and checked with this; no secret from those who hold the namespace.
        key: Blob,
    }
}

wire_struct! {
    /// Everything a guest needs to become a Worker.
    Start {
        /// Name for logs.
        name: String,
        modules: Vec<Module>,
        main_module: String,
        /// Enabled compatibility flags after the date was applied, each by its enable name.
        compatibility_flags: Vec<String>,
        env: Env,
        /// Where global `fetch()` and `connect()` go; `None` blocks them with the documented error.
        outbound: Option<CapId>,
        limits: Limits,
        /// Namespaces of the Worker's own Durable Object classes, by class: `ctx.exports`.
        actors: Vec<(String, ActorNamespace)>,
        /// Bytes that the collector's heap may take.
        heap_bytes_max: u64,
        /// Collect garbage at every turn: a test climate.
        collect_always: bool,
        /// Of modules by their places: what another guest made of `Compile` with this name and content.
        compiled: Vec<(u32, Blob)>,
    }
}

wire_struct! {
    /// One module of a Worker's table.
    Module { name: String, kind: ModuleKind, content: Blob, }
}

wire_enum! {
    /// What a module's content is and what importing it yields.
    ModuleKind {
        /// An ES module.
        1 = Js {},
        /// A CommonJS module; `module.exports` is the default export.
        2 = CommonJs {},
        /// UTF-8 text; the default export is a string.
        3 = Text {},
        /// Bytes; the default export is an ArrayBuffer.
        4 = Data {},
        /// JSON text; the default export is its value.
        5 = Json {},
        /// A Wasm binary; the default export is a `WebAssembly.Module`.
        6 = Wasm {},
    }
}

wire_enum! {
    /// What the Worker sees as `env`.
    Env {
        /// Built by the host from a configuration.
        1 = Bindings { bindings: Vec<(String, Binding)>, },
        /// Built by a parent Worker: a value in the platform's codec.
        2 = Value { payload: Payload, },
    }
}

wire_enum! {
    /// One configured entry of `env`.
    Binding {
        /// A string var.
        1 = Text { text: String, },
        /// A var of any other JSON type.
        2 = Json { json: String, },
        /// A service.
        3 = Service { cap: CapId, },
        /// A `worker_loaders` entry.
        4 = Loader { cap: CapId, },
        /// A data blob.
        5 = Data { bytes: Blob, },
        /// A Durable Object namespace.
        10 = Actors { namespace: ActorNamespace, },
        /// Something that the host answers itself, as requests to `cap`.
        20 = Hosted { cap: CapId, kind: HostedKind, },
    }
}

wire_enum! {
    /// Which API the platform gives a binding that the host answers itself.
    HostedKind {
        /// A Workers KV namespace.
        1 = Kv {},
        /// An R2 bucket.
        2 = R2 {},
        /// The producing end of a queue.
        3 = Queue {},
        /// A D1 database.
        4 = D1 {},
        /// `caches`. No property of `env`: a guest asks for it with `GetCaches`.
        5 = Cache {},
        /// A rate limit.
        6 = RateLimit {},
    }
}

wire_struct! {
    /// A dynamic Worker's code as its parent gave it (`WorkerCode`).
    WorkerCode {
        compatibility_date: String,
        compatibility_flags: Vec<String>,
        allow_experimental: bool,
        main_module: String,
        modules: Vec<Module>,
        /// In the platform's codec; empty bytes mean `{}`.
        env: Payload,
        outbound: Outbound,
        tails: Vec<CapId>,
        streaming_tails: Vec<CapId>,
        limits: Limits,
        /// Run it without executable memory; an extension of ours.
        jitless: bool,
    }
}

wire_enum! {
    /// `WorkerCode.globalOutbound`.
    Outbound {
        /// Absent: the parent's own.
        1 = Inherit {},
        /// `null`.
        2 = Blocked {},
        /// A service that receives every outgoing request.
        3 = Service { cap: CapId, },
    }
}

wire_struct! {
    /// `limits` of a Worker or an entrypoint; the lower of all that apply wins.
    Limits { cpu_ms: Option<u32>, sub_requests: Option<u32>, }
}

wire_struct! {
    /// A thing exported from the main module that can be invoked.
    Entrypoint {
        name: String,
        kind: EntrypointKind,
        /// Names of the event handlers it has (`fetch`, `scheduled`, ...); RPC methods are not listed.
        handlers: Vec<String>,
    }
}

wire_enum! {
    /// How an export is invoked.
    EntrypointKind {
        /// A plain object of handlers.
        1 = Object {},
        /// A `WorkerEntrypoint` class, constructed for every invocation.
        2 = Class {},
        /// A `DurableObject` class.
        3 = DurableObject {},
    }
}

wire_enum! {
    /// What is delivered to a callee.
    Event {
        /// An HTTP request to `fetch()`.
        1 = Fetch { request: Arc<RequestHead>, body: Body, },
        /// An RPC call or property read.
        2 = Rpc {
            /// Property names from the callee to the member.
            path: Vec<String>,
            /// Arguments as an array in the platform's codec; `None` reads the property.
            args: Option<Payload>,
        },
        /// A cron trigger.
        3 = Scheduled {
            /// Milliseconds since the epoch.
            time_ms: f64,
            cron: String,
        },
        /// Ask a loader callback for its code.
        4 = LoadCode {},
        /// Trace items for `tail()`, as JSON.
        5 = Tail { items: String, },
        /// A batch of messages for `queue()`. Its outcome is a value.
        6 = Queue {
            queue: String,
            /// How many there are, for whoever follows.
            messages: u32,
            batch: Payload,
        },
        /// An invocation began that `tailStream()` may follow: a JSON array of its `onset` and of what has
        /// happened since, perhaps all. The rest comes as `TailEvents`.
        25 = TailStream { events: String, },
        /// A byte connection to `authority`, for `connect()`. Its outcome is `Connected`.
        15 = Connect { authority: String, secure: Secure, socket: Socket, },
        /// The alarm of a Durable Object.
        10 = Alarm {
            /// Milliseconds since the epoch.
            scheduled_ms: f64,
            /// How often it has failed.
            retries: u32,
        },
        /// Ask the callback of `facets.get()` for the class. Its outcome is `Outcome::Facet`.
        11 = StartFacet {},
        /// A message of text on a socket that the host holds for a Durable Object.
        45 = SocketText { socket: u32, text: String, },
        /// A message of bytes.
        46 = SocketBytes { socket: u32, bytes: Blob, },
        /// The socket's last event: the other side has closed, or is gone.
        47 = SocketClose { socket: u32, code: u32, reason: String, clean: bool, },
        /// The socket's last event: what came could not be taken.
        48 = SocketError { socket: u32, failure: Failure, },
        /// Call `[restore](args)`, for a stub that was stored. Its outcome is `Outcome::Restored`.
        70 = Restore { args: Payload, },
    }
}

wire_enum! {
    /// How a call ended.
    Outcome {
        1 = Response { head: Box<ResponseHead>, body: Body, },
        /// An RPC result.
        2 = Value { payload: Payload, },
        /// An event with no result (`scheduled`, `tail`).
        3 = Nothing {
            /// `controller.noRetry()` was called.
            no_retry: bool,
        },
        /// A loader callback's code.
        4 = Code { code: Box<WorkerCode>, },
        5 = Failed { failure: Failure, },
        /// The connection is open.
        15 = Connected {
            /// Takes one more `Connect`, whose authority is the name that the certificate must
            /// have: the same connection goes on under TLS. Only where `Secure::Later` was asked for.
            upgrade: Option<CapId>,
        },
        /// What a facet is to be: its class, and `ctx.id` where it is not its parent's.
        10 = Facet { class: CapId, id: Option<String>, },
        /// What `[restore](args)` gave: a capability or an object of the guest's own.
        70 = Restored { target: Attachment, },
    }
}

wire_enum! {
    /// Whether a connection speaks TLS.
    Secure {
        1 = Off {},
        2 = On {},
        /// Not yet: from a second `Connect` on.
        3 = Later {},
    }
}

wire_struct! {
    /// Both directions of a socket, told by whoever sends this frame: it writes `readable` and reads
    /// `writable`; its receiver does the opposite. What they carry is bytes of a connection, or the
    /// messages of a WebSocket as [`crate::parcel`]s.
    Socket { readable: StreamId, writable: StreamId, }
}

wire_struct! {
    /// A request without its body. Header values are isomorphic: one char is one byte.
    RequestHead {
        method: String,
        /// Absolute URL.
        url: String,
        headers: Vec<(String, String)>,
        redirect: Redirect,
        /// `request.cf` as JSON; empty means none.
        cf: String,
        /// The answer's body is wanted in the content encoding that it has (`encodeResponseBody: "manual"`).
        encoded: bool,
    }
}

wire_enum! {
    /// `RequestInit.redirect`.
    Redirect { 1 = Follow {}, 2 = Manual {}, 3 = Error {}, }
}

wire_struct! {
    /// A response without its body.
    ResponseHead {
        status: u16,
        status_text: String,
        headers: Vec<(String, String)>,
        /// URL after redirects, where the host fetched it; else empty.
        url: String,
        redirected: bool,
        /// The body is already in the content encoding its headers name (`encodeBody: "manual"`).
        encoded: bool,
    }
}

wire_enum! {
    /// A message's body.
    Body {
        /// None: `body` is null.
        1 = Empty {},
        /// All of it, at most [`crate::bounds::INLINE_BODY_BYTES_MAX`].
        2 = Inline { bytes: Blob, },
        /// Follows as a stream whose writer is the sender of this frame.
        3 = Stream { stream: StreamId, length: Option<u64>, },
        /// Of a response with status 101: the WebSocket that the exchange became.
        15 = Socket { socket: Socket, },
        /// The same, of the other end of a socket that the host holds for an instance in this guest.
        /// Never sent to a guest.
        45 = Held { actor: ActorId, socket: u32, },
        /// The same, of a socket that the guest was given: it gives both streams up, untouched. Never
        /// sent to a guest.
        46 = Passed { hears: StreamId, says: StreamId, },
    }
}

wire_struct! {
    /// A value in the platform's codec and what it refers to. The host moves the attachments
    /// from one guest's tables to another's and never reads the bytes.
    Payload { bytes: Blob, attachments: Vec<Attachment>, }
}

impl Payload {
    /// No value at all.
    pub fn empty() -> Self {
        Self {
            bytes: Blob::default(),
            attachments: Vec::new(),
        }
    }
}

wire_enum! {
    /// Something in a payload that is not plain data.
    Attachment {
        /// A capability. From a guest: one it holds, and keeps. To a guest: a new slot.
        1 = Cap { cap: CapId, kind: CapKind, },
        /// Bytes that came ahead, in the next of the `Bytes` frames; see [`crate::beside`].
        60 = Bytes { bytes: Beside, },
        /// An object of the sending guest's own; adds one reference to it. Never sent to a guest.
        2 = Export { export: ExportId, },
        /// A stream that the sender of this frame writes and its receiver reads.
        3 = Readable { stream: StreamId, },
        /// A stream that the receiver of this frame writes and its sender reads.
        4 = Writable { stream: StreamId, },
        /// A WebSocket of a response.
        15 = Socket { socket: Socket, },
        /// As [`Body::Held`]. Never sent to a guest.
        45 = Held { actor: ActorId, socket: u32, },
        /// As [`Body::Passed`]. Never sent to a guest.
        46 = Passed { hears: StreamId, says: StreamId, },
    }
}

wire_enum! {
    /// What the receiver may do with a capability. A guest's claim is ignored; the host's is law.
    CapKind {
        /// `fetch` and RPC, may be stored in `env` and `props`.
        1 = Service {},
        /// The same of a dynamic Worker: cannot be made persistent.
        2 = DynamicService {},
        /// RPC on an object that lives in some guest.
        3 = Object {},
        /// A loader, so that a dynamic Worker may load others. May be stored in `env` and `props`.
        4 = Loader {},
        /// A Durable Object class, for a facet. May be stored in `env` and `props`.
        10 = ActorClass {},
    }
}

wire_enum! {
    /// The arguments of a console method.
    LogValues {
        /// The line's text is the only one, or nobody asks.
        1 = Text {},
        /// They are texts, and the line is these with a space between two: their lengths in UTF-16 units. A
        /// guest says it so because putting them into JSON takes longer than the rest of the line.
        2 = Texts { lengths: Vec<u32>, },
        /// They as a JSON array, or an object with them as `m` and what is known of errors among them as
        /// `e`. Cut, and so no JSON, where it would exceed [`crate::bounds::LOG_MESSAGE_BYTES_MAX`].
        3 = Json { json: String, },
    }
}

wire_enum! {
    /// Console levels.
    LogLevel { 1 = Debug {}, 2 = Log {}, 3 = Info {}, 4 = Warn {}, 5 = Error {}, }
}

wire_struct! {
    /// Why something failed, in the words its receiver may see.
    Failure {
        kind: FailureKind,
        /// `Error`, `TypeError`, `DataCloneError`...
        name: String,
        message: String,
        /// As the engine printed it; may be empty.
        stack: String,
        /// Own properties and cause of a thrown error in the platform's codec; may be empty.
        value: Payload,
        /// Which limit fired, where one did. Only the host says so.
        budget: Option<Box<Budget>>,
    }
}

wire_struct! {
    /// A limit that was exceeded, for programs.
    Budget {
        /// `cpu`, `memory`, `subrequests`, `wall`, `startup`, `code-size`, `env-size`,
        /// `message-size` or `concurrency`.
        name: String,
        /// How much was used or asked for: milliseconds, bytes or a count.
        value: f64,
        /// How much was allowed, in the same unit.
        limit: f64,
    }
}

wire_enum! {
    /// Whose fault a failure is; decides status, log level and retry.
    FailureKind {
        /// User code threw.
        1 = Exception {},
        /// The Worker's guest ended (crash, kill, eviction); its memory is gone.
        2 = Lost {},
        3 = ExceededCpu {},
        4 = ExceededMemory {},
        /// Any other limit; the message names it.
        5 = Limit {},
        /// The caller went away.
        6 = Canceled {},
        /// Too much is queued for this Worker.
        7 = Overloaded {},
        /// The other end of an HTTP exchange failed.
        8 = Network {},
        /// Mayfly's own fault; the message carries a reference number, the log the rest.
        9 = Internal {},
    }
}

impl<T: Wire> Wire for Box<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        T::decode(reader).map(Box::new)
    }
}

impl<T: Wire> Wire for Arc<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        T::decode(reader).map(Self::new)
    }
}

impl Failure {
    /// A failure with a message and nothing else.
    pub fn new(kind: FailureKind, name: &str, message: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            message: message.into(),
            stack: String::new(),
            value: Payload::empty(),
            budget: None,
        }
    }

    /// The same with the limit that fired.
    #[must_use]
    pub fn of_budget(mut self, name: &str, value: f64, limit: f64) -> Self {
        self.budget = Some(Box::new(Budget {
            name: name.to_owned(),
            value,
            limit,
        }));
        self
    }
}

impl Limits {
    /// No limit of its own.
    pub const NONE: Self = Self {
        cpu_ms: None,
        sub_requests: None,
    };

    /// The lower of each.
    pub fn lower(&self, other: &Self) -> Self {
        fn min(a: Option<u32>, b: Option<u32>) -> Option<u32> {
            a.into_iter().chain(b).min()
        }
        Self {
            cpu_ms: min(self.cpu_ms, other.cpu_ms),
            sub_requests: min(self.sub_requests, other.sub_requests),
        }
    }
}
