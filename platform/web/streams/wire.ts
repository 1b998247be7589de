// Streams over the guest's socket: `StreamData` frames with credit, joined to ReadableStream and
// WritableStream.
//
// Four joints, by who introduces the stream and who writes it:
//   receiveReadable(id)   the host writes, user code reads (bodies that arrive)
//   sendReadable(stream)  user code wrote, the host reads (bodies that leave)
//   receiveWritable(id)   user code writes, the host reads (a WritableStream that arrived by RPC)
//   sendWritable(stream)  the host writes, user code gets it (a WritableStream that left by RPC)
// The bytes of a stream that arrived come once somebody reads it (`streamRead`). One that nobody touched
// is sent on by leaving it to the host (`streamJoin`); what has come by then, because it had ended, is
// handed over past the streams machinery. Sockets use both kinds of ends without a joint (`openReader`,
// `openWriter`), or with user code's streams on them (`openReadable`, `openWritable`).
//
// Deliberately absent: which invocation waits for which stream (`finished` tells whoever asks), and
// the frames themselves.
//
// Invariants: a writer never sends beyond its credit; a reader grants back exactly what it consumed;
// each stream says its last word (end, abort, cancel) once.

import { engine, ops, wire } from "../../ops.ts";
import type { Failure, StreamId } from "../../ops.ts";
import { errorOf, failureOf } from "../../cloudflare/failures.ts";
import { bytesCopy, bytesView, isBufferSource } from "../webidl.ts";
import { ByteControllerCore } from "./byte-core.ts";
import { RESOLVED, deferred, noop, rejectedWith, upon } from "./promises.ts";
import type { Deferred } from "./promises.ts";
import { Ring } from "./queue.ts";
import { DefaultReaderCore, ReadableCore } from "./readable-core.ts";
import type { ReadRequest, ReadableSource } from "./readable-core.ts";
import { readableCore, wrapReadable } from "./readable.ts";
import type { ReadableStream } from "./readable.ts";
import { WritableControllerCore, WritableCore, WriterCore } from "./writable-core.ts";
import { wrapWritable, writableCore } from "./writable.ts";
import type { WritableStream } from "./writable.ts";

/** What a writer may send before it hears of credit; `STREAM_WINDOW_BYTES` of the wire. */
export const STREAM_WINDOW_BYTES = 512 * 1024;

/** Bytes of one frame; `CHUNK_BYTES_MAX` of the wire. */
export const STREAM_CHUNK_BYTES_MAX = 64 * 1024;

/** Consumed bytes are granted back in portions, so that small chunks do not each cost a frame. */
const GRANT_BYTES_MIN = STREAM_WINDOW_BYTES / 4;

/** Characters of a cancel reason that travel. */
const REASON_CHARS_MAX = 1024;

// ---- Numbers and tables ----------------------------------------------------------------------

/** Odd ones are the guest's. */
let nextId: StreamId = 1;

function takeId(): StreamId {
  const id = nextId;
  nextId += 2;
  return id;
}

/** The reading end of a stream that the host writes. */
interface Inbound {
  /** The host keeps its bytes until they are asked for. */
  readonly waits?: boolean;
  data(bytes: Uint8Array): void;
  end(): void;
  abort(failure: Failure): void;
}

/** The writing end of a stream that the host reads. */
interface Outbound {
  credit(bytes: number): void;
  canceled(reason: string): void;
  /** Of a stream that was left to the host. */
  passed?(): void;
}

const inbound = new Map<StreamId, Inbound>();
const outbound = new Map<StreamId, Outbound>();

/** Streams whose first frames came before the message that names them was looked at. */
const early = new Map<StreamId, WireReader>();
/** Streams of the host's that we cancelled while frames of theirs may still be on the way. */
const canceled = new Set<StreamId>();

export function onData(id: StreamId, bytes: Uint8Array): void {
  inboundFor(id)?.data(bytes);
}

export function onEnd(id: StreamId): void {
  inboundFor(id)?.end();
  inbound.delete(id);
  canceled.delete(id);
}

export function onAbort(id: StreamId, failure: Failure): void {
  inboundFor(id)?.abort(failure);
  inbound.delete(id);
  canceled.delete(id);
}

export function onCredit(id: StreamId, bytes: number): void {
  outbound.get(id)?.credit(bytes);
}

export function onPassed(id: StreamId): void {
  outbound.get(id)?.passed?.();
}

export function onCancel(id: StreamId, reason: string): void {
  const stream = outbound.get(id);
  outbound.delete(id);
  stream?.canceled(reason);
}

/** The stream a frame is for; one not heard of yet is begun, to be claimed by its message. */
function inboundFor(id: StreamId): Inbound | undefined {
  const known = inbound.get(id);
  if (known !== undefined || id % 2 === 1 || canceled.has(id)) return known;
  const reader = new WireReader(id);
  inbound.set(id, reader);
  early.set(id, reader);
  return reader;
}

/** Whether bytes, or the end, of any stream may still come or go. Nothing comes of one that waits. */
export function streamsOpen(): boolean {
  if (outbound.size > 0) return true;
  for (const stream of inbound.values()) if (!stream.waits) return true;
  return false;
}

function reasonText(reason: unknown): string {
  try {
    const text = reason instanceof Error ? reason.message || reason.name : String(reason ?? "");
    return text.slice(0, REASON_CHARS_MAX);
  } catch {
    return "";
  }
}

function cancelReason(reason: string): Error {
  return new Error(reason === "" ? "The reader of the stream is gone" : reason);
}

/** Bytes of a chunk that user code gave, not copied; strings go as UTF-8, as in Workers. */
function chunkToSend(chunk: unknown): Uint8Array {
  if (isBufferSource(chunk)) return bytesView(chunk);
  if (typeof chunk === "string") return ops.textEncode(chunk);
  throw new TypeError("This ReadableStream did not return bytes.");
}

// ---- Receiving a readable --------------------------------------------------------------------

/** Where chunks go past the stream. */
export interface Drain {
  push(bytes: Uint8Array): void;
  end(): void;
  abort(failure: Failure): void;
}

/** Who wants to know how a stream of a socket ends. */
export interface ReaderEvents {
  /** The end was reached, and all before it read. */
  ended(): void;
  /** The writer failed; what came before may still be unread. */
  failed(failure: Failure): void;
}

export class WireReader implements Inbound, ReadableSource {
  readonly id: StreamId;
  stream = new ReadableCore();
  events: ReaderEvents | undefined;
  waits = false;
  #controller: ByteControllerCore;
  #chunks = new Ring<Uint8Array>();
  #ended = false;
  #failure: Failure | undefined;
  /** Set once the stream was sent on untouched, or is a socket's. */
  #forward: Drain | undefined;
  #toGrant = 0;
  /** The host passes it on, unless it had ended by then. */
  #left = false;

  constructor(id: StreamId) {
    this.id = id;
    this.#controller = new ByteControllerCore(this.stream, this, 0, undefined);
    this.#controller.startNow();
  }

  // Frames.

  data(bytes: Uint8Array): void {
    if (this.#forward !== undefined) {
      this.#forward.push(bytes);
    } else if (this.stream.waiting > 0 && this.#chunks.length === 0) {
      this.#consume(bytes);
    } else {
      this.#chunks.push(bytes);
    }
  }

  end(): void {
    this.#ended = true;
    if (this.#forward !== undefined) this.#forward.end();
    else if (this.#chunks.length === 0) this.#finish();
  }

  abort(failure: Failure): void {
    this.#ended = true;
    this.#failure = failure;
    this.events?.failed(failure);
    if (this.#forward !== undefined) this.#forward.abort(failure);
    else if (this.#chunks.length === 0) this.#finish();
  }

  // The stream's source.

  pull(): undefined {
    this.begin();
    if (this.#chunks.length === 0) return;
    this.#consume(this.#chunks.shift());
    if (this.#ended && this.#chunks.length === 0) this.#finish();
  }

  waitToBeRead(): void {
    this.waits = true;
    this.stream.whenAwaited = () => this.begin();
  }

  /** Asks for what the host keeps. */
  begin(): void {
    if (!this.waits) return;
    this.waits = false;
    if (!this.#ended) wire.streamRead(this.id);
  }

  cancel(reason: unknown): undefined {
    this.sayCancel(reasonText(reason));
    // Whoever it was sent on to, or moved to, is not to take what there was for the whole.
    this.#forward?.abort(failureOf(reason));
    this.#controller.error(reason);
  }

  sayCancel(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#chunks.clear();
    inbound.delete(this.id);
    if (this.id % 2 === 0) canceled.add(this.id);
    wire.streamCancel(this.id, reason);
  }

  #consume(bytes: Uint8Array): void {
    this.grant(bytes.byteLength);
    this.#controller.enqueueOwned(bytes);
  }

  grant(bytes: number): void {
    this.#toGrant += bytes;
    if (this.#toGrant < GRANT_BYTES_MIN || this.#ended) return;
    wire.streamCredit(this.id, this.#toGrant);
    this.#toGrant = 0;
  }

  #finish(): void {
    if (this.#failure !== undefined) {
      this.#controller.error(errorOf(this.#failure));
      return;
    }
    const controller = this.#controller;
    if (this.stream.state !== "readable") return;
    try {
      controller.close();
      if (controller.pending.length > 0) controller.respond(0);
    } catch {
      // The stream ended within an element of the reader's view; `close` has failed its read.
    }
    this.events?.ended();
  }

  /** Forgets a stream that the host was never told of. */
  forget(): void {
    this.#ended = true;
    inbound.delete(this.id);
  }

  /** A forward has passed everything on, or the host has. */
  passed(): void {
    if (this.#left) this.forget();
    if (this.stream.state === "readable") this.stream.close();
  }

  /** The same stream under another core; the one that there was is left locked and read. */
  moved(): ReadableCore {
    const { stream } = this;
    this.lock();
    this.stream = new ReadableCore();
    this.stream.expectedLength = stream.expectedLength;
    this.stream.whenAwaited = stream.whenAwaited;
    this.#controller = new ByteControllerCore(this.stream, this, 0, undefined);
    this.#controller.startNow();
    return this.stream;
  }

  /** Nobody else reads the stream from now on. */
  lock(): void {
    this.stream.disturbed = true;
    new DefaultReaderCore(this.stream);
  }

  /** Has the host pass on what will come as `out`. What may have come by then still goes to `forward`. */
  leave(out: StreamId): void {
    if (!this.waits || this.#ended || this.#chunks.length > 0) return;
    this.waits = false;
    this.#left = true;
    wire.streamJoin(this.id, out);
  }

  /** Sends what is here and what will come to `forward`. */
  redirect(forward: Drain): void {
    this.#forward = forward;
    while (this.#chunks.length > 0) forward.push(this.#chunks.shift());
    if (this.#failure !== undefined) forward.abort(this.#failure);
    else if (this.#ended) forward.end();
  }
}

/** The reading end of a stream: of the host's when it has a number, else of one that is told now. */
export function openReader(id: StreamId = takeId()): WireReader {
  let reader = early.get(id);
  early.delete(id);
  canceled.delete(id);
  if (reader === undefined) {
    reader = new WireReader(id);
    inbound.set(id, reader);
  }
  return reader;
}

/** Made by a stream's arrival; its bytes come once it is read. */
export function receiveReadable(id: StreamId, length: number | undefined = undefined): ReadableStream {
  const reader = openReader(id);
  reader.waitToBeRead();
  reader.stream.expectedLength = length;
  return wrapReadable(reader.stream);
}

/** The source of a stream that arrived and that nobody has touched. */
function untouched(core: ReadableCore): WireReader | undefined {
  const { source } = core.controller;
  if (!(source instanceof WireReader) || core.disturbed || core.locked || core.state !== "readable") return undefined;
  return source;
}

/** Moves an untouched stream to a new core, to be sent on from there; undefined for any other. */
export function moveReadable(core: ReadableCore): ReadableCore | undefined {
  return untouched(core)?.moved();
}

/** The same for a socket, whose owner hears of the end. */
export function openReadable(events: ReaderEvents, id?: StreamId): { reader: WireReader; stream: ReadableStream } {
  const reader = openReader(id);
  reader.events = events;
  return { reader, stream: wrapReadable(reader.stream) };
}

// ---- The credit of a writer ------------------------------------------------------------------

/** Sends bytes as far as credit goes and keeps the rest. */
class Window {
  readonly id: StreamId;
  #credit = STREAM_WINDOW_BYTES;
  #rest: Uint8Array | undefined;

  constructor(id: StreamId) {
    this.id = id;
  }

  /** Nothing waits and more may be sent. */
  get open(): boolean {
    return this.#rest === undefined && this.#credit > 0;
  }

  /** True when all of it went out. What is kept is a view of `bytes`. */
  send(bytes: Uint8Array): boolean {
    let offset = 0;
    while (offset < bytes.byteLength && this.#credit > 0) {
      const count = Math.min(bytes.byteLength - offset, this.#credit, STREAM_CHUNK_BYTES_MAX);
      wire.streamData(this.id, offset === 0 && count === bytes.byteLength ? bytes : bytes.subarray(offset, offset + count));
      this.#credit -= count;
      offset += count;
    }
    this.#rest = offset < bytes.byteLength ? bytes.subarray(offset) : undefined;
    return this.#rest === undefined;
  }

  get waiting(): boolean {
    return this.#rest !== undefined;
  }

  /** The rest is user code's memory: what waits for credit must not change meanwhile. */
  keepCopy(): void {
    if (this.#rest !== undefined) this.#rest = bytesCopy(this.#rest);
  }

  /** True when nothing is left of what waited. */
  grant(bytes: number): boolean {
    this.#credit += bytes;
    return this.#rest === undefined || this.send(this.#rest);
  }
}

// ---- Sending a readable ----------------------------------------------------------------------

export interface SentStream {
  id: StreamId;
  /** Settles when the stream has said its last word, however it ended; never rejects. */
  finished: Promise<undefined>;
}

class WireSender implements Outbound, ReadRequest {
  readonly finished: Deferred<undefined> = deferred();
  #window: Window;
  #reader: DefaultReaderCore;
  /** The async context of the sender; a source's `pull` runs in it also when a frame causes it. */
  #frame: unknown;
  #reading = false;
  #looping = false;
  #closing = false;
  #done = false;

  constructor(id: StreamId, stream: ReadableCore) {
    this.#window = new Window(id);
    this.#reader = new DefaultReaderCore(stream);
    this.#frame = engine.contextGet();
  }

  run = (): void => {
    if (this.#looping) return;
    this.#looping = true;
    while (!this.#done && !this.#reading && !this.#closing && this.#window.open) {
      this.#reading = true;
      this.#reader.read(this);
    }
    this.#looping = false;
  };

  chunk(value: unknown): void {
    this.#reading = false;
    if (this.#done) return;
    try {
      const bytes = chunkToSend(value);
      // A rest waits for credit, and its owner may change it meanwhile.
      if (!this.#window.send(bytes)) this.#window.keepCopy();
    } catch (error) {
      this.#fail(error);
      upon(this.#reader.cancel(error), undefined, noop);
      return;
    }
    if (!this.#looping) upon(RESOLVED, this.run, undefined);
  }

  close(): void {
    this.#reading = false;
    this.#closing = true;
    this.#endIfSent();
  }

  error(reason: unknown): void {
    this.#reading = false;
    this.#fail(reason);
  }

  credit(bytes: number): void {
    if (!this.#window.grant(bytes) || this.#done) return;
    if (this.#closing) {
      this.#endIfSent();
      return;
    }
    const previous = engine.contextGet();
    engine.contextSet(this.#frame);
    try {
      this.run();
    } finally {
      engine.contextSet(previous);
    }
  }

  canceled(reason: string): void {
    if (this.#done) return;
    this.#finish();
    upon(this.#reader.cancel(cancelReason(reason)), undefined, noop);
  }

  #endIfSent(): void {
    if (this.#done || this.#window.waiting) return;
    wire.streamEnd(this.#window.id);
    this.#finish();
  }

  #fail(reason: unknown): void {
    if (this.#done) return;
    wire.streamAbort(this.#window.id, failureOf(reason));
    this.#finish();
  }

  #finish(): void {
    this.#done = true;
    outbound.delete(this.#window.id);
    this.finished.resolve(undefined);
  }
}

/** Where a forward's bytes come from: another wire stream, or a socket of this Worker's. */
export interface Feed {
  /** Bytes have been sent. */
  grant(bytes: number): void;
  /** Nobody reads any more. */
  sayCancel(reason: string): void;
  /** The last word has been said. */
  passed(): void;
}

/** From one wire stream to another without a stream in between. */
export class Forward implements Outbound, Drain {
  readonly finished: Deferred<undefined> = deferred();
  readonly id: StreamId;
  from: Feed;
  #window: Window;
  #waiting = new Ring<Uint8Array>();
  /** Bytes handed to the window that it has not sent yet. */
  #inWindow = 0;
  #ended = false;
  #done = false;

  constructor(id: StreamId, from: Feed) {
    this.id = id;
    this.#window = new Window(id);
    this.from = from;
  }

  get done(): boolean {
    return this.#done;
  }

  push(bytes: Uint8Array): void {
    if (this.#done) return;
    this.#waiting.push(bytes);
    this.#advance();
  }

  end(): void {
    this.#ended = true;
    this.#advance();
  }

  abort(failure: Failure): void {
    if (this.#done) return;
    wire.streamAbort(this.#window.id, failure);
    this.#finish();
  }

  credit(bytes: number): void {
    if (this.#done || !this.#window.grant(bytes)) return;
    this.#sent();
    this.#advance();
  }

  canceled(reason: string): void {
    if (this.#done) return;
    // Said also where the host has joined the two: it may have heard of that too late.
    this.from.sayCancel(reason);
    this.#finish();
  }

  /** The host has passed everything on. */
  passed(): void {
    if (!this.#done) this.#finish();
  }

  #advance(): void {
    while (this.#waiting.length > 0 && this.#window.open) {
      const bytes = this.#waiting.shift();
      this.#inWindow = bytes.byteLength;
      if (!this.#window.send(bytes)) return;
      this.#sent();
    }
    if (this.#ended && !this.#done && this.#waiting.length === 0 && !this.#window.waiting) {
      wire.streamEnd(this.#window.id);
      this.#finish();
    }
  }

  #sent(): void {
    if (this.#inWindow > 0) this.from.grant(this.#inWindow);
    this.#inWindow = 0;
  }

  #finish(): void {
    this.#done = true;
    outbound.delete(this.#window.id);
    this.from.passed();
    this.finished.resolve(undefined);
  }
}

/** The writing end of a stream: of the host's when it has a number, else of one that is told now. */
export function openWriter(from: Feed, id: StreamId = takeId()): Forward {
  const forward = new Forward(id, from);
  outbound.set(id, forward);
  return forward;
}

/** Locks `stream` and sends its bytes. Throws a TypeError when it is locked. */
export function sendReadable(stream: ReadableStream): SentStream {
  const core = readableCore(stream);
  const id = takeId();
  const source = untouched(core);
  if (source !== undefined) {
    const forward = openWriter(source, id);
    source.lock();
    // The message that names the stream goes first.
    upon(
      RESOLVED,
      () => {
        source.leave(id);
        source.redirect(forward);
      },
      undefined,
    );
    return { id, finished: forward.finished.promise };
  }
  const sender = new WireSender(id, core);
  outbound.set(id, sender);
  // The message that names the stream goes first.
  upon(RESOLVED, sender.run, undefined);
  return { id, finished: sender.finished.promise };
}

// ---- Receiving a writable --------------------------------------------------------------------

/** Who wants to know how a stream of a socket ends. */
export interface SinkEvents {
  /** The last byte was sent, and the end said. */
  closed(): void;
  /** Nobody reads any more. */
  canceled(reason: string): void;
}

/** How much may wait in a stream before it says that it is full. */
export interface SinkStrategy {
  highWaterMark: number;
  size: ((chunk: unknown) => number) | undefined;
}

export class WireSink implements Outbound {
  readonly id: StreamId;
  readonly stream = new WritableCore();
  events: SinkEvents | undefined;
  #window: Window;
  #controller: WritableControllerCore;
  #blocked: Deferred<undefined> | undefined;

  constructor(id: StreamId, strategy: SinkStrategy = { highWaterMark: 1, size: undefined }) {
    this.id = id;
    this.#window = new Window(id);
    this.#controller = new WritableControllerCore(
      this.stream,
      {
        write: (chunk) => this.#write(chunk),
        close: () => this.#close(),
        abort: (reason) => this.#abort(reason),
      },
      strategy.highWaterMark,
      strategy.size,
    );
  }

  /** The stream is known to the host: what waits may go. */
  start(): void {
    this.#controller.startNow();
  }

  credit(bytes: number): void {
    if (!this.#window.grant(bytes)) return;
    this.#blocked?.resolve(undefined);
    this.#blocked = undefined;
  }

  canceled(reason: string): void {
    const error = cancelReason(reason);
    this.#blocked?.reject(error);
    this.#blocked = undefined;
    this.#controller.errorIfNeeded(error);
    this.events?.canceled(reason);
  }

  /** Says the end and takes no more; what waits unsent is lost. */
  detach(error: unknown): void {
    this.#controller.errorIfNeeded(error);
    if (outbound.delete(this.#window.id)) wire.streamEnd(this.#window.id);
  }

  /** Fails the stream on both sides. */
  fail(error: unknown): void {
    this.#blocked?.reject(error);
    this.#blocked = undefined;
    this.#controller.errorIfNeeded(error);
    if (outbound.delete(this.#window.id)) wire.streamAbort(this.#window.id, failureOf(error));
  }

  /** Forgets a stream that the host was never told of. */
  abandon(error: unknown): void {
    outbound.delete(this.#window.id);
    this.#controller.errorIfNeeded(error);
  }

  #write(chunk: unknown): Promise<undefined> | undefined {
    let sent: boolean;
    try {
      sent = this.#window.send(chunkToSend(chunk));
    } catch (error) {
      wire.streamAbort(this.#window.id, failureOf(error));
      outbound.delete(this.#window.id);
      return rejectedWith(error);
    }
    if (sent) return undefined;
    this.#window.keepCopy();
    this.#blocked = deferred();
    return this.#blocked.promise;
  }

  #close(): undefined {
    if (!outbound.delete(this.#window.id)) return;
    wire.streamEnd(this.#window.id);
    this.events?.closed();
  }

  #abort(reason: unknown): undefined {
    this.#blocked?.reject(reason);
    this.#blocked = undefined;
    if (!outbound.delete(this.#window.id)) return;
    wire.streamAbort(this.#window.id, failureOf(reason));
  }
}

export function receiveWritable(id: StreamId): WritableStream {
  const sink = new WireSink(id);
  sink.start();
  outbound.set(id, sink);
  return wrapWritable(sink.stream);
}

/** The same for a socket, whose owner hears of the end and starts it. */
export function openWritable(
  events: SinkEvents,
  strategy?: SinkStrategy,
  id: StreamId = takeId(),
): { sink: WireSink; stream: WritableStream } {
  const sink = new WireSink(id, strategy);
  sink.events = events;
  outbound.set(id, sink);
  return { sink, stream: wrapWritable(sink.stream) };
}

// ---- Sending a writable ----------------------------------------------------------------------

class WireFeeder implements Inbound {
  readonly finished: Deferred<undefined> = deferred();
  readonly id: StreamId;
  #writer: WriterCore;
  #done = false;
  #toGrant = 0;

  constructor(id: StreamId, stream: WritableCore) {
    this.id = id;
    this.#writer = new WriterCore(stream);
    upon(
      this.#writer.closed.promise,
      () => this.#stop(undefined),
      (reason) => this.#stop({ reason }),
    );
  }

  data(bytes: Uint8Array): void {
    if (this.#done) return;
    const count = bytes.byteLength;
    // A failed write fails the stream too, which the closed promise tells.
    upon(this.#writer.write(bytes), () => this.#grant(count), noop);
  }

  end(): void {
    if (this.#done) return;
    this.#done = true;
    const finish = (): void => this.finished.resolve(undefined);
    upon(this.#writer.closeWithErrorPropagation(), finish, finish);
  }

  abort(failure: Failure): void {
    if (this.#done) return;
    this.#done = true;
    const finish = (): void => this.finished.resolve(undefined);
    upon(this.#writer.abort(errorOf(failure)), finish, finish);
  }

  #grant(bytes: number): void {
    this.#toGrant += bytes;
    if (this.#done || this.#toGrant < GRANT_BYTES_MIN) return;
    wire.streamCredit(this.id, this.#toGrant);
    this.#toGrant = 0;
  }

  #stop(failure: { reason: unknown } | undefined): void {
    if (!this.#done) {
      this.#done = true;
      inbound.delete(this.id);
      wire.streamCancel(this.id, failure === undefined ? "" : reasonText(failure.reason));
    }
    this.finished.resolve(undefined);
  }
}

/** Locks `stream`; the host writes into it. Throws a TypeError when it is locked. */
export function sendWritable(stream: WritableStream): SentStream {
  const id = takeId();
  const feeder = new WireFeeder(id, writableCore(stream));
  inbound.set(id, feeder);
  return { id, finished: feeder.finished.promise };
}
