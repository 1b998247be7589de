// Readable: what is pushed waits in a buffer until it is read, flows to listeners, or is piped.
//
// A stream flows (`flowing` true), is held (`false`) or has not been asked yet (`null`). `_read` is
// called while there is less than the high water mark and nobody is reading already.
//
// Absent here: iteration helpers (`operators.ts`), web streams (`web.ts`).
//
// Invariant: "end" comes once, after the last byte was handed out, and never when there was an error.

import { has } from "../../cloudflare/compat.ts";
import { Buffer } from "../buffer.ts";
import { findEncoding } from "../buffer-text.ts";
import { abortError, coded, invalidArgType, unknownEncoding } from "../errors.ts";
import { captureRejectionSymbol, listenerCount } from "../events.ts";
import type { EventEmitter } from "../events.ts";
import { StringDecoder } from "../string-decoder.ts";
import { nextTick } from "../ticks.ts";
import { addAbortSignal } from "./abort.ts";
import { construct, destroy, destroyer, errorOrDestroy, undestroy } from "./destroy.ts";
import { finished } from "./end-of-stream.ts";
import { both, errors } from "./errors.ts";
import { from } from "./from.ts";
import { defineGetters, defineMethods, isView, Stream, toBuffer } from "./legacy.ts";
import { highWaterMarkOf } from "./marks.ts";
import type { Callback, Readable as ReadableType, ReadableState, StreamClass, StreamOptions, Writable } from "./types.ts";

/** The largest high water mark that a big `read(n)` raises it to. */
const MARK_MAX = 0x40000000;

let isDuplexStream: (stream: object) => boolean = () => false;

/** Duplex says what it is, so that this file does not import it. */
export function setDuplexCheck(check: typeof isDuplexStream): void {
  isDuplexStream = check;
}

export function readableState(options: StreamOptions | undefined, isDuplex: boolean): ReadableState {
  const objectMode = Boolean(options?.objectMode || (isDuplex && options?.readableObjectMode));
  const encoding = options?.defaultEncoding;
  const isOdd = encoding != null && findEncoding(encoding) === undefined;
  if (isOdd && has("enable_streams_nodejs_v24_compat")) throw unknownEncoding(encoding);
  const wanted = options?.encoding;
  const state: ReadableState = {
    objectMode,
    highWaterMark: highWaterMarkOf(objectMode, options, "readableHighWaterMark", isDuplex),
    buffer: [],
    bufferIndex: 0,
    length: 0,
    pipes: [],
    flowing: null,
    ended: false,
    endEmitted: false,
    reading: false,
    constructed: true,
    sync: true,
    needReadable: false,
    emittedReadable: false,
    readableListening: false,
    resumeScheduled: false,
    errorEmitted: false,
    emitClose: options?.emitClose !== false,
    autoDestroy: options?.autoDestroy !== false,
    destroyed: false,
    errored: null,
    closed: false,
    closeEmitted: false,
    defaultEncoding: (encoding as string | undefined) || "utf8",
    awaitDrainWriters: null,
    multiAwaitDrain: false,
    readingMore: false,
    dataEmitted: false,
    decoder: wanted ? new StringDecoder(wanted) : null,
    encoding: wanted || null,
    paused: null,
  };
  // What nobody set is no property that shows.
  Object.defineProperty(state, "pipesCount", { get: () => state.pipes.length, configurable: true });
  return state;
}

const HOOKS = ["read", "destroy", "construct"] as const;

export function useHooks(stream: object, options: StreamOptions | undefined, names: readonly string[]): void {
  if (options === undefined || options === null) return;
  for (const name of names) {
    const hook = options[name];
    if (typeof hook === "function") (stream as Record<string, unknown>)[`_${name}`] = hook;
  }
}

export const ReadableStateClass = function ReadableState(this: object, options?: StreamOptions, _stream?: unknown, isDuplex?: boolean): void {
  Object.assign(this, readableState(options, isDuplex === true));
};

export const Readable = function Readable(this: ReadableType | undefined, options?: StreamOptions): ReadableType | undefined {
  if (!(this instanceof Readable)) return new (Readable as unknown as StreamClass<ReadableType>)(options);
  const self = this as ReadableType;
  self._readableState = Object.assign(Object.create(ReadableStateClass.prototype as object) as ReadableState, readableState(options, isDuplexStream(self)));
  useHooks(self, options, HOOKS);
  if (options?.signal && !isDuplexStream(self)) addAbortSignal(options.signal, self);
  Reflect.apply(Stream as unknown as () => void, self, [options]);
  construct(self, () => afterReadableConstruct(self));
  return undefined;
} as unknown as StreamClass<ReadableType> & Record<string, unknown>;
Object.setPrototypeOf(Readable.prototype, Stream.prototype);
Object.setPrototypeOf(Readable, Stream);

export function afterReadableConstruct(self: ReadableType): void {
  if (self._readableState.needReadable) maybeReadMore(self, self._readableState);
}

// ---- The buffer ------------------------------------------------------------------------------

function takeFirst(state: ReadableState): unknown {
  const chunk = state.buffer[state.bufferIndex];
  state.buffer[state.bufferIndex++] = null;
  if (state.bufferIndex === state.buffer.length) {
    state.buffer.length = 0;
    state.bufferIndex = 0;
  } else if (state.bufferIndex > 1024) {
    state.buffer.splice(0, state.bufferIndex);
    state.bufferIndex = 0;
  }
  return chunk;
}

function putFirst(state: ReadableState, chunk: unknown): void {
  if (state.bufferIndex > 0) state.buffer[--state.bufferIndex] = chunk;
  else state.buffer.unshift(chunk);
}

function lengthOf(chunk: unknown): number {
  return (chunk as { length: number }).length;
}

/** Takes `count` units out of the buffer; all of it where that is wanted. */
function take(count: number, state: ReadableState): unknown {
  if (state.length === 0) return null;
  if (state.objectMode) return takeFirst(state);
  if (!count || count >= state.length) {
    const parts = state.buffer.slice(state.bufferIndex);
    state.buffer.length = 0;
    state.bufferIndex = 0;
    if (state.decoder !== null) return parts.join("");
    if (parts.length === 0) return Buffer.alloc(0);
    return parts.length === 1 ? parts[0] : Buffer.concat(parts as Uint8Array[], state.length);
  }
  return takeSome(count, state);
}

function takeSome(count: number, state: ReadableState): unknown {
  const parts: unknown[] = [];
  let left = count;
  while (left > 0) {
    const chunk = takeFirst(state) as string | Buffer;
    if (chunk.length <= left) {
      parts.push(chunk);
    } else {
      parts.push(typeof chunk === "string" ? chunk.slice(0, left) : chunk.subarray(0, left));
      putFirst(state, typeof chunk === "string" ? chunk.slice(left) : chunk.subarray(left));
    }
    left -= chunk.length;
  }
  if (state.decoder !== null) return parts.join("");
  return parts.length === 1 ? parts[0] : Buffer.concat(parts as Uint8Array[], count);
}

// ---- Pushing ---------------------------------------------------------------------------------

type Where = "back" | "front";

function addChunk(stream: ReadableType, given: unknown, encoding: string | undefined, where: Where): boolean {
  const state = stream._readableState;
  let chunk = given;
  if (chunk === null) {
    state.reading = false;
    onEnd(stream, state);
    return false;
  }
  let name: string | undefined = encoding;
  if (!state.objectMode) {
    if (typeof chunk === "string") {
      const from_ = encoding || state.defaultEncoding;
      if (state.encoding !== from_) {
        // Text that goes to the front is what the reader gave back: already decoded.
        if (where === "front" && state.encoding) chunk = Buffer.from(chunk, from_).toString(state.encoding);
        else {
          chunk = Buffer.from(chunk, from_);
          name = "";
        }
      }
    } else if (Buffer.isBuffer(chunk)) {
      name = "";
    } else if (isView(chunk)) {
      chunk = toBuffer(chunk as Uint8Array);
      name = "";
    } else if (chunk !== undefined) {
      errorOrDestroy(stream, invalidArgType("chunk", ["string", "Buffer", "TypedArray", "DataView"], chunk));
      return false;
    }
    if (chunk === undefined || lengthOf(chunk) <= 0) {
      if (where === "front") return hasRoom(state);
      state.reading = false;
      maybeReadMore(stream, state);
      return hasRoom(state);
    }
  }
  if (where === "front") {
    if (state.endEmitted) errorOrDestroy(stream, errors.unshiftAfterEnd());
    else if (state.destroyed || state.errored) return false;
    else store(stream, state, chunk, "front");
    return hasRoom(state);
  }
  if (state.ended) {
    errorOrDestroy(stream, errors.pushAfterEof());
    return false;
  }
  if (state.destroyed || state.errored) return false;
  state.reading = false;
  if (state.decoder !== null && !name) {
    chunk = state.decoder.write(chunk);
    if (!state.objectMode && lengthOf(chunk) === 0) {
      maybeReadMore(stream, state);
      return hasRoom(state);
    }
  }
  store(stream, state, chunk, "back");
  return hasRoom(state);
}

function hasRoom(state: ReadableState): boolean {
  return !state.ended && (state.length < state.highWaterMark || state.length === 0);
}

function store(stream: ReadableType, state: ReadableState, chunk: unknown, where: Where): void {
  if (state.flowing && state.length === 0 && !state.sync && stream.listenerCount("data") > 0) {
    if (state.multiAwaitDrain) (state.awaitDrainWriters as Set<Writable>).clear();
    else state.awaitDrainWriters = null;
    state.dataEmitted = true;
    stream.emit("data", chunk);
  } else {
    state.length += state.objectMode ? 1 : lengthOf(chunk);
    if (where === "front") putFirst(state, chunk);
    else state.buffer.push(chunk);
    if (state.needReadable) emitReadable(stream);
  }
  maybeReadMore(stream, state);
}

function onEnd(stream: ReadableType, state: ReadableState): void {
  if (state.ended) return;
  if (state.decoder !== null) {
    const rest = state.decoder.end();
    if (rest.length > 0) {
      state.buffer.push(rest);
      state.length += state.objectMode ? 1 : rest.length;
    }
  }
  state.ended = true;
  if (state.sync) {
    // Waits for the rest of the turn: the reader may still be about to ask.
    emitReadable(stream);
  } else {
    state.needReadable = false;
    state.emittedReadable = true;
    emitReadableNow(stream);
  }
}

// ---- Reading ---------------------------------------------------------------------------------

function raisedMark(size: number): number {
  if (size > MARK_MAX) throw coded(new RangeError(`The value of "size" is out of range. It must be <= 1GiB. Received ${size}`), "ERR_OUT_OF_RANGE");
  let mark = 1;
  while (mark < size) mark *= 2;
  return mark;
}

function howMuch(size: number, state: ReadableState): number {
  if (size <= 0 || (state.length === 0 && state.ended)) return 0;
  if (state.objectMode) return 1;
  if (Number.isNaN(size)) {
    // One chunk at a time while it flows, all of it else.
    return state.flowing && state.length > 0 ? lengthOf(state.buffer[state.bufferIndex]) : state.length;
  }
  if (size <= state.length) return size;
  return state.ended ? state.length : 0;
}

function read(this: ReadableType, given?: unknown): unknown {
  const state = this._readableState;
  let size = given === undefined ? Number.NaN : Number.isInteger(given) ? (given as number) : Number.parseInt(String(given), 10);
  const asked = size;
  if (size > state.highWaterMark) state.highWaterMark = raisedMark(size);
  if (size !== 0) state.emittedReadable = false;
  // `read(0)` asks for more without taking any; with enough there it only says so again.
  const isEnough = state.highWaterMark !== 0 ? state.length >= state.highWaterMark : state.length > 0;
  if (size === 0 && state.needReadable && (isEnough || state.ended)) {
    if (state.length === 0 && state.ended) endReadable(this);
    else emitReadable(this);
    return null;
  }
  size = howMuch(size, state);
  if (size === 0 && state.ended) {
    if (state.length === 0) endReadable(this);
    return null;
  }
  let wantsMore = state.needReadable || state.length === 0 || state.length - size < state.highWaterMark;
  if (state.ended || state.reading || state.destroyed || state.errored || !state.constructed) {
    wantsMore = false;
  } else if (wantsMore) {
    askForMore(this, state);
    // What `_read` pushed at once may change how much there is to take.
    if (!state.reading) size = howMuch(asked, state);
  }
  const chunk = size > 0 ? take(size, state) : null;
  if (chunk === null) {
    state.needReadable = state.length <= state.highWaterMark;
    size = 0;
  } else {
    state.length -= size;
    if (state.multiAwaitDrain) (state.awaitDrainWriters as Set<Writable>).clear();
    else state.awaitDrainWriters = null;
  }
  if (state.length === 0) {
    if (!state.ended) state.needReadable = true;
    if (asked !== size && state.ended) endReadable(this);
  }
  if (chunk !== null && !state.errorEmitted && !state.closeEmitted) {
    state.dataEmitted = true;
    this.emit("data", chunk);
  }
  return chunk;
}

function askForMore(stream: ReadableType, state: ReadableState): void {
  state.reading = true;
  state.sync = true;
  if (state.length === 0) state.needReadable = true;
  try {
    stream._read(state.highWaterMark);
  } catch (error) {
    errorOrDestroy(stream, error);
  }
  state.sync = false;
}

function emitReadable(stream: ReadableType): void {
  const state = stream._readableState;
  state.needReadable = false;
  if (state.emittedReadable) return;
  state.emittedReadable = true;
  nextTick(emitReadableNow, stream);
}

function emitReadableNow(stream: ReadableType): void {
  const state = stream._readableState;
  if (!state.destroyed && !state.errored && (state.length > 0 || state.ended)) {
    stream.emit("readable");
    state.emittedReadable = false;
  }
  // Another "readable" is wanted when nothing flows, more may come and there is room.
  state.needReadable = !state.flowing && !state.ended && state.length <= state.highWaterMark;
  flow(stream);
}

/** Fills the buffer up ahead of its readers. */
function maybeReadMore(stream: ReadableType, state: ReadableState): void {
  if (state.readingMore || !state.constructed) return;
  state.readingMore = true;
  nextTick(readMore, stream, state);
}

function readMore(stream: ReadableType, state: ReadableState): void {
  while (!state.reading && !state.ended && (state.length < state.highWaterMark || (state.flowing && state.length === 0))) {
    const before = state.length;
    stream.read(0);
    // Nothing came at once: it will come by itself.
    if (before === state.length) break;
  }
  state.readingMore = false;
}

function endReadable(stream: ReadableType): void {
  const state = stream._readableState;
  if (state.endEmitted) return;
  state.ended = true;
  nextTick(endReadableNow, state, stream);
}

function endReadableNow(state: ReadableState, stream: ReadableType): void {
  if (state.errored || state.closeEmitted || state.endEmitted || state.length !== 0) return;
  state.endEmitted = true;
  stream.emit("end");
  const duplex = stream as ReadableType & { writable?: boolean; allowHalfOpen?: boolean };
  if (duplex.writable && duplex.allowHalfOpen === false) {
    nextTick(endWritable, stream as unknown as Writable);
  } else if (state.autoDestroy) {
    // The other side may still be at work.
    const other = (stream as { _writableState?: { autoDestroy: boolean; finished: boolean; writable?: boolean } })._writableState;
    if (!other || (other.autoDestroy && (other.finished || other.writable === false))) stream.destroy();
  }
}

function endWritable(stream: Writable): void {
  if (stream.writable && !stream.writableEnded && !stream.destroyed) stream.end();
}

// ---- Flowing and piping ------------------------------------------------------------------------

function flow(stream: ReadableType): void {
  const state = stream._readableState;
  while (state.flowing && stream.read() !== null);
}

function resumeNow(stream: ReadableType, state: ReadableState): void {
  if (!state.reading) stream.read(0);
  state.resumeScheduled = false;
  stream.emit("resume");
  flow(stream);
  if (state.flowing && !state.reading) stream.read(0);
}

function resume(this: ReadableType): ReadableType {
  const state = this._readableState;
  if (!state.flowing) {
    // "readable" listeners read by themselves.
    state.flowing = !state.readableListening;
    if (!state.resumeScheduled) {
      state.resumeScheduled = true;
      nextTick(resumeNow, this, state);
    }
  }
  state.paused = false;
  return this;
}

function pause(this: ReadableType): ReadableType {
  const state = this._readableState;
  if (state.flowing !== false) {
    state.flowing = false;
    this.emit("pause");
  }
  state.paused = true;
  return this;
}

function waitForDrain(state: ReadableState, destination: Writable): void {
  if (state.pipes.length === 1 && state.pipes[0] === destination) {
    state.awaitDrainWriters = destination;
    state.multiAwaitDrain = false;
  } else if (state.pipes.length > 1 && state.pipes.includes(destination)) {
    (state.awaitDrainWriters as Set<Writable>).add(destination);
  }
}

function drained(source: ReadableType, destination: Writable): void {
  const state = source._readableState;
  if (state.awaitDrainWriters === destination) state.awaitDrainWriters = null;
  else if (state.multiAwaitDrain) (state.awaitDrainWriters as Set<Writable>).delete(destination);
  const isFree = !state.awaitDrainWriters || (state.awaitDrainWriters as Set<Writable>).size === 0;
  if (isFree && source.listenerCount("data") > 0) source.resume();
}

/** In front of the listeners that are there already. */
function listenFirst(emitter: EventEmitter, event: string, listener: (...args: never[]) => void): void {
  emitter.prependListener(event, listener);
}

function pipe(this: ReadableType, destination: Writable, options?: { end?: boolean }): Writable {
  const state = this._readableState;
  if (state.pipes.length === 1 && !state.multiAwaitDrain) {
    state.multiAwaitDrain = true;
    state.awaitDrainWriters = new Set(state.awaitDrainWriters ? [state.awaitDrainWriters as Writable] : []);
  }
  state.pipes.push(destination);
  const isStdio = (destination as { _isStdio?: boolean; isTTY?: boolean })._isStdio === true;
  const finish = options?.end !== false && !isStdio ? onSourceEnd : unpipeDestination;
  if (state.endEmitted) nextTick(finish);
  else this.once("end", finish);

  const onUnpipe = (source: unknown, info?: { hasUnpiped: boolean }): void => {
    if (source !== this || info?.hasUnpiped !== false) return;
    info.hasUnpiped = true;
    cleanup();
  };
  destination.on("unpipe", onUnpipe);

  let onDrain: (() => void) | undefined;
  let isCleanedUp = false;
  const source = this;

  function onSourceEnd(): void {
    destination.end();
  }
  function cleanup(): void {
    destination.removeListener("close", onClose);
    destination.removeListener("finish", onFinish);
    if (onDrain !== undefined) destination.removeListener("drain", onDrain);
    destination.removeListener("error", onError);
    destination.removeListener("unpipe", onUnpipe);
    source.removeListener("end", onSourceEnd);
    source.removeListener("end", unpipeDestination);
    source.removeListener("data", onData);
    isCleanedUp = true;
    // It waited for a drain that nobody will hear of any more.
    if (onDrain !== undefined && state.awaitDrainWriters && (!destination._writableState || destination._writableState.needDrain)) onDrain();
  }
  function hold(): void {
    if (!isCleanedUp) {
      waitForDrain(state, destination);
      source.pause();
    }
    if (onDrain === undefined) {
      onDrain = () => drained(source, destination);
      destination.on("drain", onDrain);
    }
  }
  function onData(chunk: unknown): void {
    if (!has("enable_streams_nodejs_v24_compat")) {
      if (destination.write(chunk) === false) hold();
      return;
    }
    try {
      if (destination.write(chunk) === false) hold();
    } catch (error) {
      destination.destroy(error);
    }
  }
  function onError(error: unknown): void {
    unpipeDestination();
    destination.removeListener("error", onError);
    if (listenerCount(destination, "error") > 0) return;
    const inner = destination._writableState ?? destination._readableState;
    if (inner && !inner.errorEmitted) errorOrDestroy(destination, error);
    else destination.emit("error", error);
  }
  function onClose(): void {
    destination.removeListener("finish", onFinish);
    unpipeDestination();
  }
  function onFinish(): void {
    destination.removeListener("close", onClose);
    unpipeDestination();
  }
  function unpipeDestination(): void {
    source.unpipe(destination);
  }

  this.on("data", onData);
  listenFirst(destination, "error", onError);
  destination.once("close", onClose);
  destination.once("finish", onFinish);
  destination.emit("pipe", this);
  if (destination.writableNeedDrain === true) hold();
  else if (!state.flowing) this.resume();
  return destination;
}

function unpipe(this: ReadableType, destination?: Writable): ReadableType {
  const state = this._readableState;
  if (state.pipes.length === 0) return this;
  if (destination === undefined) {
    const all = state.pipes;
    state.pipes = [];
    this.pause();
    for (const each of all) each.emit("unpipe", this, { hasUnpiped: false });
    return this;
  }
  const at = state.pipes.indexOf(destination);
  if (at < 0) return this;
  state.pipes.splice(at, 1);
  if (state.pipes.length === 0) this.pause();
  destination.emit("unpipe", this, { hasUnpiped: false });
  return this;
}

// ---- Listeners -------------------------------------------------------------------------------

function on(this: ReadableType, event: string | symbol, listener: (...args: never[]) => unknown): ReadableType {
  Stream.prototype.on.call(this, event, listener);
  const state = this._readableState;
  if (event === "data") {
    // Listening for data begins the flow, unless "readable" is listened to as well.
    state.readableListening = this.listenerCount("readable") > 0;
    if (state.flowing !== false) this.resume();
  } else if (event === "readable" && !state.endEmitted && !state.readableListening) {
    state.readableListening = state.needReadable = true;
    state.flowing = false;
    state.emittedReadable = false;
    if (state.length > 0) emitReadable(this);
    else if (!state.reading) nextTick((self: ReadableType) => self.read(0), this);
  }
  return this;
}

function removeListener(this: ReadableType, event: string | symbol, listener: (...args: never[]) => unknown): ReadableType {
  Stream.prototype.removeListener.call(this, event, listener);
  // A tick later, so that replacing a listener does not stop the stream.
  if (event === "readable") nextTick(updateListening, this);
  return this;
}

function removeAllListeners(this: ReadableType, ...args: [event?: string | symbol]): ReadableType {
  Stream.prototype.removeAllListeners.apply(this, args);
  if (args[0] === "readable" || args[0] === undefined) nextTick(updateListening, this);
  return this;
}

function updateListening(stream: ReadableType): void {
  const state = stream._readableState;
  state.readableListening = stream.listenerCount("readable") > 0;
  if (state.resumeScheduled && state.paused === false) state.flowing = true;
  else if (stream.listenerCount("data") > 0) stream.resume();
  else if (!state.readableListening) state.flowing = null;
}

// ---- The rest --------------------------------------------------------------------------------

function setEncoding(this: ReadableType, encoding: string): ReadableType {
  const state = this._readableState;
  const decoder = new StringDecoder(encoding);
  state.decoder = decoder;
  state.encoding = decoder.encoding;
  let text = "";
  for (const chunk of state.buffer.slice(state.bufferIndex)) text += decoder.write(chunk);
  state.buffer.length = 0;
  state.bufferIndex = 0;
  if (text !== "") state.buffer.push(text);
  state.length = text.length;
  return this;
}

/** Takes over an old stream, with "data" and "end" and no buffer. */
function wrap(this: ReadableType, old: EventEmitter & { pause?: () => void; resume?: () => void; [name: string]: unknown }): ReadableType {
  let isPaused = false;
  old.on("data", (chunk: unknown) => {
    if (!this.push(chunk) && old.pause) {
      isPaused = true;
      old.pause();
    }
  });
  old.on("end", () => this.push(null));
  old.on("error", (error: unknown) => errorOrDestroy(this, error));
  old.on("close", () => destroyer(this));
  old.on("destroy", () => destroyer(this));
  this._read = () => {
    if (!isPaused || !old.resume) return;
    isPaused = false;
    old.resume();
  };
  for (const name of Object.keys(old)) {
    const member = old[name];
    if ((this as unknown as Record<string, unknown>)[name] === undefined && typeof member === "function") {
      (this as unknown as Record<string, unknown>)[name] = member.bind(old);
    }
  }
  return this;
}

async function* iterate(stream: ReadableType, options: { destroyOnReturn?: boolean } | undefined): AsyncGenerator<unknown> {
  let wake = (): void => {};
  let isReady = false;
  const onReadable = (): void => {
    isReady = true;
    wake();
  };
  stream.on("readable", onReadable);
  /** `undefined` is not known yet, `null` a good end. */
  let failure: unknown;
  const stop = finished(stream, { writable: false }, (error: unknown) => {
    failure = error ? both(failure, error) : null;
    onReadable();
  });
  try {
    for (;;) {
      const chunk = stream.destroyed ? null : stream.read();
      if (chunk !== null) yield chunk;
      else if (failure) throw failure;
      else if (failure === null) return;
      else {
        if (!isReady) await new Promise<void>((resolve) => (wake = resolve));
        isReady = false;
        wake = () => {};
      }
    }
  } catch (error) {
    failure = both(failure, error);
    throw failure;
  } finally {
    const isDone = (failure || options?.destroyOnReturn !== false) && (failure === undefined || stream._readableState.autoDestroy);
    if (isDone) {
      destroyer(stream, null);
    } else {
      stream.removeListener("readable", onReadable);
      stop();
    }
  }
}

function toIterator(given: ReadableType, options?: { destroyOnReturn?: boolean }): AsyncGenerator<unknown> {
  const stream = typeof given.read === "function" ? given : ((Readable as unknown as { wrap(it: unknown, o: object): ReadableType }).wrap(given, { objectMode: true }) as ReadableType);
  const iterator = iterate(stream, options);
  return Object.assign(iterator, { stream });
}

defineMethods(Readable.prototype, {
  destroy,
  _undestroy: undestroy,
  _destroy(this: ReadableType, error: unknown, callback: Callback): void {
    callback(error);
  },
  [captureRejectionSymbol](this: ReadableType, error: unknown): void {
    this.destroy(error);
  },
  [Symbol.asyncDispose](this: ReadableType): Promise<void> {
    const error = this.destroyed ? null : this.readableEnded ? null : abortError();
    if (!this.destroyed) this.destroy(error ?? undefined);
    return new Promise((resolve, reject) => {
      finished(this, (failed: unknown) => (failed && failed !== error ? reject(failed) : resolve()));
    });
  },
  push(this: ReadableType, chunk: unknown, encoding?: string): boolean {
    return addChunk(this, chunk, encoding, "back");
  },
  unshift(this: ReadableType, chunk: unknown, encoding?: string): boolean {
    return addChunk(this, chunk, encoding, "front");
  },
  isPaused(this: ReadableType): boolean {
    return this._readableState.paused === true || this._readableState.flowing === false;
  },
  setEncoding,
  read,
  _read(): void {
    throw errors.missingImplementation("_read()");
  },
  pipe,
  unpipe,
  on,
  addListener: on,
  removeListener,
  off: removeListener,
  removeAllListeners,
  resume,
  pause,
  wrap,
  [Symbol.asyncIterator](this: ReadableType): AsyncGenerator<unknown> {
    return toIterator(this);
  },
  iterator(this: ReadableType, options?: { destroyOnReturn?: boolean }): AsyncGenerator<unknown> {
    if (options !== undefined) {
      if (typeof options !== "object" || options === null) throw invalidArgType("options", ["Object"], options);
      if (options.destroyOnReturn !== undefined && typeof options.destroyOnReturn !== "boolean") {
        throw invalidArgType("options.destroyOnReturn", ["boolean"], options.destroyOnReturn);
      }
    }
    return toIterator(this, options);
  },
});

defineGetters<ReadableType>(Readable.prototype, {
  readable: [
    (self) => {
      const r = self._readableState as ReadableState | undefined;
      return r !== undefined && r.readable !== false && !r.destroyed && !r.errorEmitted && !r.endEmitted;
    },
    (self, value) => {
      if (self._readableState) self._readableState.readable = Boolean(value);
    },
  ],
  readableDidRead: (self) => self._readableState.dataEmitted,
  readableAborted: (self) => {
    const r = self._readableState;
    return r.readable !== false && (r.destroyed || Boolean(r.errored)) && !r.endEmitted;
  },
  readableHighWaterMark: (self) => self._readableState.highWaterMark,
  readableBuffer: (self) => self._readableState?.buffer,
  readableFlowing: [
    (self) => self._readableState.flowing,
    (self, value) => {
      if (self._readableState) self._readableState.flowing = value as boolean | null;
    },
  ],
  readableLength: (self) => self._readableState.length,
  readableObjectMode: (self) => self._readableState?.objectMode ?? false,
  readableEncoding: (self) => self._readableState?.encoding ?? null,
  errored: (self) => self._readableState?.errored ?? null,
  closed: (self) => self._readableState?.closed ?? false,
  destroyed: [
    (self) => self._readableState?.destroyed ?? false,
    (self, value) => {
      // Code of old sets it by hand.
      if (self._readableState) self._readableState.destroyed = Boolean(value);
    },
  ],
  readableEnded: (self) => self._readableState?.endEmitted ?? false,
});

Object.assign(Readable, {
  ReadableState: ReadableStateClass,
  _fromList: take,
  from: (iterable: unknown, options?: StreamOptions) => from(Readable as never, iterable, options),
  wrap: (source: ReadableType & { objectMode?: boolean }, options?: StreamOptions) =>
    new Readable({
      objectMode: source.readableObjectMode ?? source.objectMode ?? true,
      ...options,
      destroy(error: unknown, callback: Callback) {
        destroyer(source, error);
        callback(error);
      },
    }).wrap(source),
});
