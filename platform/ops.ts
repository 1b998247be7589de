// The only module that names native ops. Everything the platform asks of Rust goes through here.
//
// Ops are plain functions over numbers, strings, bytes, lists and records, implemented in
// `crates/guest/ops` (pure work) and `crates/guest/process` (the socket, the clock). `engine`
// members need the engine's own objects and live in `crates/guest/engine`. The object `ops` is put
// on the global for the length of the boot and taken away again here, so user code never sees it.
//
// Invariant: no other platform module touches `globalThis.__mayfly`.

/** A number the host knows an object by; see `crates/wall/wire/src/frames.rs`. */
export type CallId = number;
export type CapId = number;
export type StreamId = number;
export type ExportId = number;
export type ActorId = number;

export type CapKind = "service" | "dynamicService" | "object" | "loader" | "actorClass";

/** Something in a payload that is not plain data. */
export type Attachment =
  | ["cap", CapId, CapKind]
  | ["export", ExportId]
  | ["readable", StreamId]
  | ["writable", StreamId]
  | WireSocket
  | LargeBytes
  | HeldSocket
  | PassedSocket;

/** Bytes that go beside a payload; see `wire/src/beside.rs`. One that is sent is an ArrayBuffer of its
 * own, and gone with the call; one that comes is a view of all of its own. */
export type LargeBytes = ["bytes", ArrayBuffer | Uint8Array<ArrayBuffer>];

/** The other end of a socket that the host holds for an instance here: sent, never received. */
export type HeldSocket = ["held", ActorId, socket: number];

/** A socket that this guest was given and passes on untouched: sent, never received. */
export type PassedSocket = ["passed", hears: StreamId, says: StreamId];

/** Both directions of a socket: the sender writes the first stream and reads the second. */
export type WireSocket = ["socket", readable: StreamId, writable: StreamId];

export interface Payload {
  bytes: Uint8Array;
  attachments: Attachment[];
}

/** `undefined` is no body, bytes are the whole of it, a tuple is a stream and its length if known, or
 * the WebSocket of a response with status 101. */
export type Body = undefined | Uint8Array | [StreamId, number | undefined] | WireSocket | HeldSocket | PassedSocket;

/** Whether a connection speaks TLS: `starttls` is not yet. */
export type Secure = "off" | "on" | "starttls";

export interface RequestHead {
  method: string;
  url: string;
  /** Flat: name, value, name, value. Isomorphic strings. */
  headers: string[];
  redirect: "follow" | "manual" | "error";
  /** JSON; empty means none. */
  cf: string;
  /** The answer's body is wanted as it is encoded. */
  encoded: boolean;
}

export interface ResponseHead {
  status: number;
  statusText: string;
  headers: string[];
  url: string;
  redirected: boolean;
  encoded: boolean;
}

export type FailureKind =
  | "exception"
  | "lost"
  | "exceededCpu"
  | "exceededMemory"
  | "limit"
  | "canceled"
  | "overloaded"
  | "network"
  | "internal";

export interface Failure {
  kind: FailureKind;
  name: string;
  message: string;
  stack: string;
  value: Payload;
  /** Which limit fired; only the host says so. */
  budget: { name: string; value: number; limit: number } | undefined;
}

/** What is called: a path of one name is that name. */
export type RpcPath = string | string[];

/** The arguments of an RPC event, undefined where a property is read. */
export type RpcArguments = Arrived | undefined;

/** Attachments that are one number each: its kind's place in `PLAIN_KINDS`, then the number, and so on. */
export type Attached = number[] | undefined;

/** In step with `crates/guest/process/src/convert/tuples.rs`. */
export const PLAIN_KINDS = [
  "service",
  "dynamicService",
  "object",
  "loader",
  "actorClass",
  "export",
  "readable",
  "writable",
] as const;

/** Bytes that came: as many at the start of the page given to `setArrivals`, where they stand until the
 * handler that was called with them returns; or an array of their own. */
export type Arrived = number | Uint8Array;

export type CallEvent =
  | ["fetch", RequestHead, Body]
  | ["rpc", string[], Payload | undefined]
  | ["scheduled", number, string]
  | ["loadCode"]
  | ["tail", string]
  | ["queue", name: string, messages: number, batch: Payload]
  | ["tailStream", events: string]
  | ["connect", authority: string, secure: Secure, readable: StreamId, writable: StreamId]
  | ["alarm", scheduledMs: number, retries: number]
  | ["startFacet"]
  | ["restore", args: Payload]
  | SocketEvent;

/** What is heard on a socket that the host holds for a Durable Object. */
export type SocketEvent =
  | ["socketText", socket: number, text: string]
  | ["socketBytes", socket: number, bytes: Uint8Array]
  | ["socketClose", socket: number, code: number, reason: string, clean: boolean]
  | ["socketError", socket: number, failure: Failure];

export type Outcome =
  | ["response", ResponseHead, Body]
  | ["value", Payload]
  | ["nothing", boolean]
  | ["code", WorkerCode]
  | ["connected", upgrade: CapId | undefined]
  | ["facet", cls: CapId, id: string | undefined]
  | ["restored", target: Attachment]
  | ["failed", Failure];

export type ModuleKind = "js" | "cjs" | "text" | "data" | "json" | "wasm";

export interface Limits {
  cpuMs: number | undefined;
  subRequests: number | undefined;
}

export interface WorkerCode {
  compatibilityDate: string;
  compatibilityFlags: string[];
  allowExperimental: boolean;
  mainModule: string;
  modules: [name: string, kind: ModuleKind, content: string | Uint8Array][];
  env: Payload;
  /** `["service", cap]`, or the bare word. */
  outbound: ["inherit"] | ["blocked"] | ["service", CapId];
  tails: CapId[];
  streamingTails: CapId[];
  limits: Limits;
  /** Run it without executable memory; an extension of Mayfly's. */
  jitless: boolean;
}

export type Binding =
  | ["text", string]
  | ["json", string]
  | ["service", CapId]
  | ["loader", CapId]
  | ["data", Uint8Array]
  | ["hosted", CapId, HostedKind]
  | ["actors", ActorNamespace];

/** Which API a binding gets that the host answers itself. */
export type HostedKind = "kv" | "r2" | "queue" | "d1" | "cache" | "rateLimit";

export interface ActorNamespace {
  cap: CapId;
  /** What its ids are made with. */
  key: Uint8Array;
}

/** What an instance of a Durable Object is made of. */
export interface ActorStart {
  class: string;
  props: Payload;
  id: string;
  name: string | undefined;
  /** `storage.sql` may be used. */
  sql: boolean;
  alarms: boolean;
}

export type SqlValue = null | number | string | Uint8Array;

/** What an instance asks its storage; see `crates/wall/wire/src/storage.rs`. */
export type StorageRequest =
  | ["exec", sql: string, bindings: SqlValue[]]
  | ["more", cursor: number]
  | ["close", cursor: number]
  | ["ingest", sql: string]
  | ["get", keys: string[]]
  | ["put", entries: [key: string, value: Uint8Array][]]
  | ["delete", keys: string[]]
  | [
      "list",
      start: string | undefined,
      startAfter: boolean,
      end: string | undefined,
      prefix: string,
      reverse: boolean,
      limit: number | undefined,
    ]
  | ["deleteAll", alarm: boolean]
  | ["size"]
  | ["begin"]
  | ["commit"]
  | ["rollback"]
  | ["getAlarm"]
  | ["setAlarm", timeMs: number | undefined]
  | ["bookmark"]
  | ["limitPages", pages: number]
  | ["acceptSocket", tags: string[]]
  | ["sockets", tag: string | undefined]
  | ["socketTags", socket: number]
  | ["socketAttachment", socket: number]
  | ["setSocketAttachment", socket: number, attachment: Uint8Array]
  | ["setAutoResponse", request: string | undefined, response: string]
  | ["autoResponse"]
  | ["autoResponseTime", socket: number]
  | ["setSocketTimeout", ms: number | undefined]
  | ["socketTimeout"]
  | ["bookmarkAt", timeMs: number]
  | ["restore", bookmark: string]
  | ["token", cap: CapId]
  | ["redeem", cap: CapId, token: Uint8Array];

export type StorageReply =
  | ["done"]
  | [
      "rows",
      columns: string[],
      values: SqlValue[],
      count: number,
      cursor: number | undefined,
      rowsRead: number,
      rowsWritten: number,
      cached: boolean,
    ]
  | ["values", (Uint8Array | undefined)[]]
  | ["entries", [key: string, value: Uint8Array][]]
  | ["count", number]
  | ["time", number | undefined]
  | ["text", string]
  | ["ingested", remainder: string, rowsRead: number, rowsWritten: number, statements: number]
  | ["sockets", sockets: number[], closed: number[]]
  | ["texts", string[]]
  | ["failed", name: string, message: string];

export interface StartInfo {
  name: string;
  /** Names and kinds only: contents stay in Rust, where the engine's module loader reads them. */
  modules: [name: string, kind: ModuleKind][];
  mainModule: string;
  compatibilityFlags: string[];
  env: ["bindings", [name: string, binding: Binding][]] | ["value", Payload];
  outbound: CapId | undefined;
  /** Namespaces of the Worker's own Durable Object classes. */
  actors: [cls: string, ActorNamespace][];
  collectAlways: boolean;
}

export interface EntrypointInfo {
  name: string;
  kind: "object" | "class" | "durableObject";
  handlers: string[];
}

export type LogLevel = "debug" | "log" | "info" | "warn" | "error";

/**
 * The arguments of a console method: undefined where the line's text is the only one, their lengths where they are
 * texts and the line is these with a space between two, else JSON.
 */
export type LogValues = undefined | readonly number[] | string;

/** What Rust calls. Each is one frame of `ToGuest`, or the clock. Microtasks run after each. */
export interface Handlers {
  /**
   * Called once in every fork, sealed but still without a Worker: runs what most starts run, so that
   * their pages and code are there already. Sends no frame and leaves nothing that can be seen.
   */
  warm(): void;
  start(info: StartInfo): void;
  /** `traced` where somebody follows the invocation (`cloudflare/trace.ts`). */
  invoke(call: CallId, entrypoint: string, props: Payload, event: CallEvent, traced?: boolean): void;
  /** The same without props, for an RPC event with plain attachments alone; so the others called `Rpc`. */
  invokeRpc(
    call: CallId,
    entrypoint: string,
    path: RpcPath,
    args: RpcArguments,
    attached: Attached,
    traced?: boolean,
  ): void;
  callExport(call: CallId, target: ExportId, event: CallEvent): void;
  callExportRpc(call: CallId, target: ExportId, path: RpcPath, args: RpcArguments, attached: Attached): void;
  callAnswer(call: CallId, answer: CallId, event: CallEvent): void;
  callAnswerRpc(call: CallId, answer: CallId, path: RpcPath, args: RpcArguments, attached: Attached): void;
  returned(call: CallId, outcome: Outcome): void;
  /** The outcome is a value with plain attachments alone. */
  returnedValue(call: CallId, value: Arrived, attached: Attached): void;
  cancel(call: CallId, reason: string): void;
  streamData(stream: StreamId, bytes: Uint8Array): void;
  streamEnd(stream: StreamId): void;
  streamAbort(stream: StreamId, failure: Failure): void;
  streamCredit(stream: StreamId, bytes: number): void;
  streamCancel(stream: StreamId, reason: string): void;
  streamPassed(stream: StreamId): void;
  releaseExport(target: ExportId, count: number): void;
  releaseAnswer(call: CallId): void;
  capBroken(cap: CapId, failure: Failure): void;
  /** More events of the invocation that the `tailStream` call follows, as JSON. */
  tailEvents(call: CallId, events: string): void;
  startActor(actor: ActorId, start: ActorStart): void;
  invokeActor(call: CallId, actor: ActorId, event: CallEvent, traced?: boolean): void;
  invokeActorRpc(
    call: CallId,
    actor: ActorId,
    path: RpcPath,
    args: RpcArguments,
    attached: Attached,
    traced?: boolean,
  ): void;
  stopActor(actor: ActorId, failure: Failure): void;
  /** The time asked for with `timeWake` has come. */
  wake(): void;
  /** Calls into this guest are unanswered, and for a while nothing has happened: no call of its own is
   * under way, no timer is set, no thread is at work. */
  silence(own: CallId | undefined): void;
  /**
   * The microtask queue is empty and `promise` was rejected with nobody listening (`handled` false),
   * or someone began to listen after that was said (`handled` true).
   */
  rejection(promise: Promise<unknown>, reason: unknown, handled: boolean): void;
  /** An exception left a handler or a queued microtask. */
  uncaught(error: unknown): void;
  /** The exports of a built-in module (`cloudflare:workers`, `node:assert`), or undefined. */
  builtin(specifier: string): Record<string, unknown> | undefined;
  /** Evaluates a CommonJS module of the table and gives its `module.exports`. */
  commonJs(name: string): unknown;
}

/** What needs the engine's own objects. Implemented in `crates/guest/engine`. */
export interface Engine {
  setHandlers(handlers: Handlers): void;
  /** The page that bytes are written to which a handler reads at once. */
  setArrivals(page: Uint8Array): void;
  /** What stands there from `start` to `end` as one char each; the empty string beyond the page. */
  arrivedText(start: number, end: number): string;
  /** `import(name)` of a module of the table, already resolved; with top-level await awaited. */
  importModule(name: string): Promise<Record<string, unknown>>;
  /** Synchronous import for `require()`: throws if the graph has top-level await pending. */
  requireModule(name: string): Record<string, unknown>;
  /** A module of the platform that the boot left out, evaluated when it is first asked for: its
   * namespace. `file` is its path below `platform/`. */
  platformModule(file: string): Record<string, unknown>;
  /** The name in the table that `specifier` means to `referrer`, or a thrown Error that names the
   * importer and close matches. Built-in specifiers resolve to themselves. */
  resolveModule(specifier: string, referrer: string): string;
  /** A module's source text (js, cjs, text, json). */
  moduleText(name: string): string;
  /** A module's bytes (data, wasm), as a fresh ArrayBuffer. */
  moduleBytes(name: string): ArrayBuffer;
  /** Compiles `source` as the body of a function with these parameters; `name` stands in stacks. */
  compileFunction(name: string, source: string, parameters: string[]): (...args: unknown[]) => unknown;
  /** The engine's structured clone; throws DataCloneError (as an Error with that name). */
  structuredClone(value: unknown, transfer: unknown[]): unknown;
  /** `[state, value]` with state 0 pending, 1 fulfilled, 2 rejected. */
  promiseState(promise: Promise<unknown>): [number, unknown];
  /** A promise without resolving functions: an allocation instead of four. */
  newPromise(): Promise<unknown>;
  /** What its resolving functions would do; nothing once it is resolved. */
  resolvePromise(promise: Promise<unknown>, value: unknown): void;
  rejectPromise(promise: Promise<unknown>, reason: unknown): void;
  /** `[target, handler]` of a proxy, or undefined. */
  proxyDetails(value: unknown): [unknown, unknown] | undefined;
  /** The handler of a proxy, or undefined. Runs no script. */
  proxyHandler(value: unknown): object | undefined;
  /** The async context frame: an opaque value that follows promise reactions. */
  contextGet(): unknown;
  contextSet(frame: unknown): void;
  /** Marks a promise as handled, so that it is never reported. */
  markHandled(promise: Promise<unknown>): void;
  /** Queues a function as a microtask; what it throws goes to `uncaught`. Keeps the async context. */
  enqueueMicrotask(task: () => void): void;
  /** Detaches a buffer and gives its bytes to a new one (`ArrayBuffer.prototype.transfer`). */
  collect(): void;
}

/** Sends frames of `ToHost`. Implemented in `crates/guest/process`. */
export interface Wire {
  started(entrypoints: EntrypointInfo[]): void;
  startFailed(failure: Failure): void;
  call(call: CallId, cap: CapId, event: CallEvent, result: CapId | undefined): void;
  /**
   * An RPC call whose arguments are the first `length` of `bytes`; undefined reads. With `result` it leaves at
   * once, without one when the job that made it is over, or ahead of what must not overtake it: see
   * `crates/guest/process/src/state.rs`.
   */
  callRpc(
    call: CallId,
    cap: CapId,
    path: RpcPath,
    bytes: Uint8Array | undefined,
    length: number,
    attached?: Attached,
    result?: CapId,
  ): void;
  /** Asks for a slot that names the future result of such a call; false once the call has left. */
  callResult(call: CallId, result: CapId): boolean;
  /** The calls that follow are made for this invocation. */
  acting(call: CallId | undefined): void;
  cancel(call: CallId, reason: string): void;
  return(call: CallId, outcome: Outcome): void;
  /** Returns the first `length` of `bytes` as a value, and says `done` if it is. */
  returnValue(call: CallId, bytes: Uint8Array, length: number, done: boolean, attached: Attached): void;
  done(call: CallId): void;
  load(worker: CapId, loader: CapId, code: WorkerCode): void;
  get(worker: CapId, loader: CapId, id: string | undefined, callback: ExportId): void;
  getEntrypoint(service: CapId, worker: CapId, name: string | undefined, props: Payload, limits: Limits): void;
  getSelf(service: CapId, name: string, props: Payload): void;
  releaseCap(cap: CapId): void;
  dupCap(cap: CapId, copy: CapId): void;
  streamData(stream: StreamId, bytes: Uint8Array): void;
  streamEnd(stream: StreamId): void;
  streamAbort(stream: StreamId, failure: Failure): void;
  streamCredit(stream: StreamId, bytes: number): void;
  streamCancel(stream: StreamId, reason: string): void;
  streamRead(stream: StreamId): void;
  /** What would come on `from` goes out on `to` without this Worker; neither has been begun. */
  streamJoin(from: StreamId, to: StreamId): void;
  log(call: CallId | undefined, level: LogLevel, text: string, values?: LogValues): void;
  exception(call: CallId | undefined, failure: Failure): void;
  tailMore(call: CallId): void;
  /** Spans have numbers from 1 on; `parent` 0 is the invocation. */
  spanOpen(call: CallId, span: number, parent: number, name: string): void;
  spanClose(call: CallId, span: number, attributes: string): void;
  diagnostic(call: CallId, channel: string, message: Uint8Array): void;
  /** Goes right before the call `made`. */
  callFrom(made: CallId, call: CallId, span: number): void;
  traceHold(call: CallId): void;
  traceEnd(call: CallId): void;
  /** Asks an instance's storage and waits for the reply. Frames that come meanwhile are handled later. */
  storage(actor: ActorId, request: StorageRequest): StorageReply;
  actorBroken(actor: ActorId, failure: Failure): void;
  getActor(stub: CapId, namespace: CapId, id: Uint8Array, name: string | undefined): void;
  getCaches(caches: CapId): void;
  getClass(cls: CapId, worker: CapId, name: string | undefined, props: Payload): void;
  getSelfClass(cls: CapId, name: string, props: Payload): void;
  getFacet(stub: CapId, actor: ActorId, name: string, start: ExportId): void;
  /** What the own method gave, in `slot`: as an entrypoint's, or as that of the instance `actor`. */
  restored(
    slot: CapId,
    call: CallId,
    actor: ActorId | undefined,
    entrypoint: string,
    props: Payload,
    args: Payload,
    target: Attachment,
  ): void;
  abortFacet(actor: ActorId, name: string, failure: Failure): void;
  deleteFacet(actor: ActorId, name: string): void;
  /** Says a message, as parcels, through a socket that the host holds; `last` where it is a close. */
  socketSay(actor: ActorId, socket: number, parcels: Uint8Array, last: boolean): void;
  /** Takes the other end of such a socket: this guest reads `hears` and writes `says`. */
  openSocket(actor: ActorId, socket: number, hears: StreamId, says: StreamId): void;
  /** Ends this guest after an exception with `reason`. Does not return. */
  abort(reason: string): never;
}

/** A token that handlers wait for: kind, its place in the bytes of the push, and the registrations to
 * call (for an end tag, the numbers of the elements that it ends, innermost first). */
export type HtmlToken =
  | [
      kind: 0,
      start: number,
      end: number,
      registrations: number[],
      element: number,
      tagName: string,
      namespace: string,
      canHaveContent: boolean,
      selfClosing: boolean,
      /** Flat: name, value, where it begins and ends within the tag (a closing quote not counted). */
      attributes: (string | number)[],
    ]
  | [kind: 1, start: number, end: number, elements: number[], name: string]
  | [kind: 2, start: number, end: number, registrations: number[], text: string]
  | [kind: 3, start: number, end: number, registrations: number[], text: string, last: boolean]
  | [
      kind: 4,
      start: number,
      end: number,
      registrations: number[],
      name: string | null,
      publicId: string | null,
      systemId: string | null,
    ]
  | [kind: 5, start: number, end: number, registrations: number[]];

/** Pure work on well-kept crates. Implemented in `crates/guest/ops`, one file per family. */
export interface Ops {
  /** Milliseconds since the epoch, with fractions. */
  timeNow(): number;
  /** Monotonic milliseconds since the guest's time origin. */
  timeMonotonic(): number;
  /** Ask for `wake()` in `ms` milliseconds; replaces the last request; negative forgets it. */
  timeWake(ms: number): void;
  /** Fresh random bytes from the kernel. */
  randomBytes(count: number): Uint8Array;
  randomUuid(): string;

  textEncode(text: string): Uint8Array;
  /** As much UTF-8 of `text` as `room` bytes take, in whole characters: `[UTF-16 units read, bytes]`.
   * (Ops get copies of bytes, so the caller writes them into its target.) */
  textEncodeInto(text: string, room: number): [number, Uint8Array];
  /** One whole UTF-8 input; throws TypeError when `fatal` and malformed. */
  textDecodeUtf8(bytes: Uint8Array, fatal: boolean, ignoreBom: boolean): string;
  /** The WHATWG name of an encoding label in lower case, or undefined. */
  textEncodingName(label: string): string | undefined;
  /** A streaming decoder of any encoding; a handle to give to the two below. */
  textDecoderNew(label: string, fatal: boolean, ignoreBom: boolean): number;
  textDecoderDecode(handle: number, bytes: Uint8Array, last: boolean): string;
  textDecoderFree(handle: number): void;
  /** A copy of bytes, with zeroes behind them up to `length`; from some megabytes on quicker than the engine's. */
  bytesCopy(bytes: Uint8Array, length: number): Uint8Array<ArrayBuffer>;
  /** Bytes as one char each (isomorphic decode), and back (chars above 255 throw). */
  textLatin1Decode(bytes: Uint8Array): string;
  textLatin1Encode(text: string): Uint8Array;
  base64Encode(bytes: Uint8Array): string;
  /** Forgiving-base64 decode; undefined when malformed. */
  base64Decode(text: string): Uint8Array | undefined;

  /**
   * WHATWG URL parse: `[href, protocolEnd, usernameEnd, hostStart, hostEnd, port, pathnameStart,
   * searchStart, hashStart]` in ada's url_aggregator terms (4294967295 means absent), or undefined.
   */
  urlParse(input: string, base: string | undefined): (string | number)[] | undefined;
  /** Sets one component (`href`, `protocol`, ..., `hash`); the parse result, undefined if refused. */
  urlSet(href: string, component: string, value: string): (string | number)[] | undefined;
  /** A domain by UTS 46; the empty string when it is not one. */
  urlDomainToAscii(domain: string): string;
  urlDomainToUnicode(domain: string): string;

  /** Hash of all of `bytes`: algorithm `SHA-1`, `SHA-224`, `SHA-256`, `SHA-384`, `SHA-512`,
   * `SHA-512/256`, `MD5`, `MD4`; so wherever an op below takes a `hash`. */
  cryptoDigest(algorithm: string, bytes: Uint8Array): Uint8Array;
  cryptoTimingSafeEqual(a: Uint8Array, b: Uint8Array): boolean;
  /** A digest in pieces: a handle, which `Finish` and `Free` forget. */
  cryptoHashNew(hash: string): number;
  cryptoHashUpdate(handle: number, bytes: Uint8Array): void;
  cryptoHashCopy(handle: number): number;
  cryptoHashFinish(handle: number): Uint8Array;
  cryptoHashFree(handle: number): void;
  cryptoHmac(hash: string, key: Uint8Array, bytes: Uint8Array): Uint8Array;
  /** `count` bytes derived from a key; OperationError beyond what the algorithm can give. */
  cryptoHkdf(hash: string, key: Uint8Array, salt: Uint8Array, info: Uint8Array, count: number): Uint8Array;
  cryptoPbkdf2(hash: string, password: Uint8Array, salt: Uint8Array, rounds: number, count: number): Uint8Array;
  /** `N` is two to the power of `logN`; RangeError when that and the others ask for too much. */
  cryptoScrypt(password: Uint8Array, salt: Uint8Array, logN: number, r: number, p: number, count: number): Uint8Array;

  /** A cipher in pieces: `name` is `aes-128`, `des-ede3`, `chacha20`...; `mode` is `cbc`, `ctr`,
   * `ecb`, `gcm`, `ccm`, `ofb`, or `poly1305` with `chacha20`. A handle, which `Finish` and `Free`
   * forget. `Finish` gives the rest and the tag of an encryption; `Tag` sets that of a decryption. */
  cryptoCipherNew(
    encrypt: boolean,
    name: string,
    mode: string,
    key: Uint8Array,
    iv: Uint8Array,
    tagBytes: number | undefined,
  ): number;
  cryptoCipherUpdate(handle: number, bytes: Uint8Array): Uint8Array;
  cryptoCipherAdditional(handle: number, bytes: Uint8Array): void;
  cryptoCipherPadding(handle: number, padding: boolean): void;
  cryptoCipherTag(handle: number, tag: Uint8Array): void;
  cryptoCipherFinish(handle: number): [rest: Uint8Array, tag: Uint8Array | undefined];
  cryptoCipherFree(handle: number): void;

  /** AES with a key of 16, 24 or 32 bytes (DataError otherwise); OperationError when data or
   * parameters are wrong. CBC has PKCS#7 padding; CTR counts in the low `counterBits` of a 16-byte
   * `counter`; GCM puts a tag of `tagBytes` at the end of the ciphertext; KW is RFC 3394. */
  cryptoAesCbc(encrypt: boolean, key: Uint8Array, iv: Uint8Array, bytes: Uint8Array): Uint8Array;
  cryptoAesCtr(key: Uint8Array, counter: Uint8Array, counterBits: number, bytes: Uint8Array): Uint8Array;
  cryptoAesGcm(
    encrypt: boolean,
    key: Uint8Array,
    iv: Uint8Array,
    additional: Uint8Array,
    tagBytes: number,
    bytes: Uint8Array,
  ): Uint8Array;
  cryptoAesKw(wrap: boolean, key: Uint8Array, bytes: Uint8Array): Uint8Array;

  /** Elliptic curves `P-224`, `P-256`, `P-384`, `P-521`, and `Ed25519`, `X25519`. A secret is the scalar
   * (big endian) or the seed; a public key is the uncompressed point (SEC 1) or the 32 bytes.
   * DataError when a key is none. */
  cryptoCurveSecret(curve: string): Uint8Array;
  cryptoCurvePublic(curve: string, secret: Uint8Array): Uint8Array;
  /** A point given compressed or not, as it is named above; undefined when it is none. */
  cryptoCurvePoint(curve: string, point: Uint8Array): Uint8Array | undefined;
  /** ECDSA gives `r` and `s` side by side; `hash` is ignored for Ed25519. */
  cryptoCurveSign(curve: string, hash: string, secret: Uint8Array, bytes: Uint8Array): Uint8Array;
  cryptoCurveVerify(
    curve: string,
    hash: string,
    point: Uint8Array,
    signature: Uint8Array,
    bytes: Uint8Array,
  ): boolean;
  /** ECDH and X25519: the shared secret's bytes (X25519's all zero is an OperationError). */
  cryptoCurveShare(curve: string, secret: Uint8Array, point: Uint8Array): Uint8Array;

  /** RSA. Keys are PKCS #1 DER (DataError when one is none), `scheme` is `pkcs1` or `pss`; the salt's
   * length is PSS's. `Private` and `Public` check a key and give it back as it is stored best. */
  cryptoRsaGenerate(bits: number, exponent: Uint8Array): Uint8Array;
  cryptoRsaPrivate(key: Uint8Array): Uint8Array;
  cryptoRsaPublic(key: Uint8Array): Uint8Array;
  /** A private key of which only modulus and exponents are known. */
  cryptoRsaRecover(n: Uint8Array, e: Uint8Array, d: Uint8Array): Uint8Array;
  cryptoRsaSign(scheme: string, hash: string, saltBytes: number, key: Uint8Array, bytes: Uint8Array): Uint8Array;
  cryptoRsaVerify(
    scheme: string,
    hash: string,
    saltBytes: number,
    key: Uint8Array,
    signature: Uint8Array,
    bytes: Uint8Array,
  ): boolean;
  /** OAEP; `hash` is that of its mask too. */
  cryptoRsaEncrypt(hash: string, label: Uint8Array, key: Uint8Array, bytes: Uint8Array): Uint8Array;
  cryptoRsaDecrypt(hash: string, label: Uint8Array, key: Uint8Array, bytes: Uint8Array): Uint8Array;
  /** The bare key: `work` is `publicEncrypt`, `privateDecrypt`, `privateEncrypt` or `publicDecrypt`,
   * `padding` is `pkcs1` (version 1.5) or `none`. */
  cryptoRsaApply(work: string, padding: string, key: Uint8Array, bytes: Uint8Array): Uint8Array;

  /** DSA: `r` and `s` side by side. Numbers are big endian, here and in what follows. */
  cryptoDsaSign(
    hash: string,
    p: Uint8Array,
    q: Uint8Array,
    g: Uint8Array,
    y: Uint8Array,
    x: Uint8Array,
    bytes: Uint8Array,
  ): Uint8Array;
  cryptoDsaVerify(
    hash: string,
    p: Uint8Array,
    q: Uint8Array,
    g: Uint8Array,
    y: Uint8Array,
    signature: Uint8Array,
    bytes: Uint8Array,
  ): boolean;

  /** `base` to the `exponent` modulo an odd number, as long as that is. */
  cryptoPower(base: Uint8Array, exponent: Uint8Array, modulus: Uint8Array): Uint8Array;
  cryptoPrimeIs(candidate: Uint8Array): boolean;
  /** Whether half of a number, rounded down, is a prime. */
  cryptoPrimeSafe(candidate: Uint8Array): boolean;
  /** A random prime of `bits` that leaves `rest` when divided by the even `step`. */
  cryptoPrimeDraw(bits: number, safe: boolean, step: number, rest: number): Uint8Array;
  cryptoNumberRemainder(value: Uint8Array, divisor: number): number;

  /** A streaming coder: format `gzip`, `deflate`, `deflate-raw`, `br`, `zstd`; level -1 is the default. */
  compressNew(format: string, level: number): number;
  /** `loose` lets bytes after the end, and an end that comes too early, pass without an error. */
  decompressNew(format: string, loose?: boolean): number;
  /** Feeds `bytes`; output so far. Throws TypeError on malformed input. `last` ends the stream.
   * One push yields at most 64 MiB (RangeError): cut what is decompressed into 16 KiB pieces. */
  compressPush(handle: number, bytes: Uint8Array, last: boolean): Uint8Array;
  compressFree(handle: number): void;

  /** Throws the TypeError that says what is wrong with a CSS selector. */
  htmlSelector(selector: string): void;
  /** A parser of one document. `registrations` is flat: a selector or undefined for the whole document,
   * and which tokens it asks for (1 elements, 2 comments, 4 text, 8 doctype, 16 the document's end). */
  htmlNew(encoding: string, registrations: (string | undefined | number)[], esi: boolean): number;
  /** Parses a piece: its bytes as they are to be written, what was met in them, and the message of the
   * TypeError that ended the parse. */
  htmlPush(handle: number, bytes: Uint8Array, last: boolean): [Uint8Array, HtmlToken[], string | undefined];
  htmlFree(handle: number): void;
  /** Text in the document's encoding; what it lacks becomes a character reference, or with `exact`
   * makes the result undefined. */
  htmlEncode(handle: number, text: string, exact: boolean): Uint8Array | undefined;

  /** A coder for node:zlib. `kind` is the name of the function (`gzip`, `inflateRaw`, `brotliCompress`);
   * `numbers` are `[windowBits, level]` for zlib's kinds, parameters and values in turn for the others. */
  zlibNew(kind: string, numbers: number[], dictionary: Uint8Array | undefined): number;
  /** One write with at most `room` bytes of output: `[read, output, zlib's code, message]`. */
  zlibWrite(handle: number, flush: number, bytes: Uint8Array, room: number): [number, Uint8Array, number, string];
  zlibReset(handle: number): void;
  zlibLevel(handle: number, level: number): void;
  zlibFree(handle: number): void;
  zlibCrc32(bytes: Uint8Array, start: number): number;
}

interface Mayfly {
  engine: Engine;
  wire: Wire;
  ops: Ops;
}

const scope = globalThis as unknown as { __mayfly?: Mayfly };
const mayfly = scope.__mayfly as Mayfly;
delete scope.__mayfly;

export const engine: Engine = mayfly.engine;
export const wire: Wire = mayfly.wire;
export const ops: Ops = mayfly.ops;
