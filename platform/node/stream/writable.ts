// Writable: what is written is handed to `_write` one piece at a time; the rest waits.
//
// `write` says whether there is room for more. When there was none, "drain" says that there is again.
//
// Invariant: callbacks of writes run in the order of the writes, and "finish" after the last of them.

import { has } from "../../cloudflare/compat.ts";
import { Buffer } from "../buffer.ts";
import { findEncoding } from "../buffer-text.ts";
import { abortError, invalidArgType, unknownEncoding } from "../errors.ts";
import { captureRejectionSymbol } from "../events.ts";
import { nextTick } from "../ticks.ts";
import { addAbortSignal } from "./abort.ts";
import { construct, destroy, errorOrDestroy, undestroy } from "./destroy.ts";
import { finished } from "./end-of-stream.ts";
import { errors } from "./errors.ts";
import { defineGetters, defineMethods, isView, Stream, toBuffer } from "./legacy.ts";
import { highWaterMarkOf } from "./marks.ts";
import { useHooks } from "./readable.ts";
import type { Callback, Pending, Stream as StreamType, StreamClass, StreamOptions, Writable as WritableType, WritableState } from "./types.ts";

const nothing: Callback = () => {};

let isDuplexStream: (stream: object) => boolean = () => false;

/** Duplex says what it is, so that this file does not import it. */
export function setDuplexCheck(check: typeof isDuplexStream): void {
  isDuplexStream = check;
}

const isV24 = (): boolean => has("enable_streams_nodejs_v24_compat");

const stateMembers = {
  getBuffer(this: WritableState): Pending[] {
    return this.buffered.slice(this.bufferedIndex);
  },
  get bufferedRequestCount(): number {
    const state = this as unknown as WritableState;
    return state.buffered.length - state.bufferedIndex;
  },
};

export const WritableStateClass = function WritableState(this: WritableState, options?: StreamOptions, stream?: WritableType, isDuplex?: boolean): void {
  const objectMode = Boolean(options?.objectMode || (isDuplex && options?.writableObjectMode));
  const encoding = options?.defaultEncoding;
  if (encoding != null && isV24() && findEncoding(encoding) === undefined) throw unknownEncoding(encoding);
  const initial: Omit<WritableState, "bufferedRequestCount" | "getBuffer"> = {
    objectMode,
    highWaterMark: highWaterMarkOf(objectMode, options, "writableHighWaterMark", isDuplex === true),
    finalCalled: false,
    needDrain: false,
    ending: false,
    ended: false,
    finished: false,
    destroyed: false,
    decodeStrings: options?.["decodeStrings"] !== false,
    defaultEncoding: encoding || "utf8",
    length: 0,
    writing: false,
    corked: 0,
    sync: true,
    bufferProcessing: false,
    onwrite: (error) => onWrite(stream as WritableType, error),
    writecb: null,
    writelen: 0,
    afterWriteTickInfo: null,
    buffered: [],
    bufferedIndex: 0,
    allBuffers: true,
    allNoop: true,
    pendingcb: 0,
    constructed: true,
    prefinished: false,
    errorEmitted: false,
    emitClose: options?.emitClose !== false,
    autoDestroy: options?.autoDestroy !== false,
    errored: null,
    closed: false,
    closeEmitted: false,
    onFinished: [],
  };
  Object.assign(this, initial);
} as unknown as { new (options?: StreamOptions, stream?: WritableType, isDuplex?: boolean): WritableState; prototype: WritableState };
Object.defineProperties(WritableStateClass.prototype, Object.getOwnPropertyDescriptors(stateMembers));

/** Of duplexes, of which a side may be switched off, sets up the writable one. */
export function initWritable(self: WritableType, options: StreamOptions | undefined): void {
  self._writableState = new WritableStateClass(options, self, isDuplexStream(self));
}

export function afterConstruct(self: WritableType): void {
  const state = self._writableState;
  if (!state.writing) clearBuffer(self, state);
  finishMaybe(self, state);
}

export const Writable = function Writable(this: WritableType | undefined, options?: StreamOptions): WritableType | undefined {
  const isDuplex = this !== undefined && isDuplexStream(this);
  if (!isDuplex && !Function.prototype[Symbol.hasInstance].call(Writable, this)) {
    return new (Writable as unknown as StreamClass<WritableType>)(options);
  }
  const self = this as WritableType;
  initWritable(self, options);
  useHooks(self, options, ["write", "writev", "destroy", "final", "construct"]);
  if (options?.signal) addAbortSignal(options.signal, self);
  Reflect.apply(Stream as unknown as () => void, self, [options]);
  construct(self, () => afterConstruct(self));
  return undefined;
} as unknown as StreamClass<WritableType> & Record<string, unknown>;
Object.setPrototypeOf(Writable.prototype, Stream.prototype);
Object.setPrototypeOf(Writable, Stream);

// A Duplex is a Writable too, though it inherits from Readable alone.
Object.defineProperty(Writable, Symbol.hasInstance, {
  value(this: unknown, object: unknown): boolean {
    if (Function.prototype[Symbol.hasInstance].call(this, object)) return true;
    if (this !== Writable) return false;
    return Boolean(object) && (object as Partial<WritableType>)._writableState instanceof WritableStateClass;
  },
});

// ---- Writing ---------------------------------------------------------------------------------

function write(stream: WritableType, given: unknown, encoding: unknown, callback: unknown): Error | boolean {
  const state = stream._writableState;
  let chunk = given;
  let name = encoding as string | null | undefined;
  let done = callback;
  if (typeof encoding === "function") {
    done = encoding;
    name = null;
  }
  if (typeof done !== "function") done = nothing;
  if (chunk === null) throw errors.nullValues();
  // Objects are handed on with whatever was said of their encoding.
  if (!state.objectMode) {
    if (!name) name = state.defaultEncoding;
    else if (name !== "buffer" && !Buffer.isEncoding(name)) throw unknownEncoding(name);
    if (typeof chunk === "string") {
      if (state.decodeStrings) {
        chunk = Buffer.from(chunk, name);
        name = "buffer";
      }
    } else if (Buffer.isBuffer(chunk)) {
      name = "buffer";
    } else if (isView(chunk)) {
      chunk = toBuffer(chunk as Uint8Array);
      name = "buffer";
    } else {
      throw invalidArgType("chunk", ["string", "Buffer", "TypedArray", "DataView"], chunk);
    }
  }
  const error = state.ending ? errors.writeAfterEnd() : state.destroyed ? errors.destroyed("write") : undefined;
  if (error !== undefined) {
    nextTick(done as Callback, error);
    errorOrDestroy(stream, error, true);
    return error;
  }
  state.pendingcb++;
  return writeOrBuffer(stream, state, chunk, name as string, done as Callback);
}

function writeOrBuffer(stream: WritableType, state: WritableState, chunk: unknown, encoding: string, callback: Callback): boolean {
  const length = state.objectMode ? 1 : (chunk as { length: number }).length;
  state.length += length;
  const v24 = isV24();
  let hasRoom = true;
  const judge = (): void => {
    hasRoom = state.length < state.highWaterMark || state.length === 0;
    // An earlier need is not forgotten.
    if (!hasRoom) state.needDrain = true;
  };
  if (!v24) judge();
  if (state.writing || state.corked || state.errored || !state.constructed) {
    state.buffered.push({ chunk, encoding, callback });
    if (state.allBuffers && encoding !== "buffer") state.allBuffers = false;
    if (state.allNoop && callback !== nothing) state.allNoop = false;
  } else {
    state.writelen = length;
    state.writecb = callback;
    state.writing = true;
    state.sync = true;
    stream._write(chunk, encoding, state.onwrite);
    state.sync = false;
  }
  if (v24) judge();
  // There is nothing to wait for on a stream that has failed.
  return hasRoom && !state.errored && !state.destroyed;
}

function doWrite(stream: WritableType, state: WritableState, how: "one" | "many", length: number, chunk: unknown, encoding: string, callback: Callback): void {
  state.writelen = length;
  state.writecb = callback;
  state.writing = true;
  state.sync = true;
  if (state.destroyed) state.onwrite(errors.destroyed("write"));
  else if (how === "many") (stream._writev as (chunks: Pending[], callback: Callback) => void)(chunk as Pending[], state.onwrite);
  else stream._write(chunk, encoding, state.onwrite);
  state.sync = false;
}

function onWrite(stream: WritableType, error: unknown): void {
  const state = stream._writableState;
  const { sync, writecb: callback } = state;
  if (typeof callback !== "function") {
    errorOrDestroy(stream, errors.multipleCallback());
    return;
  }
  state.writing = false;
  state.writecb = null;
  state.length -= state.writelen;
  state.writelen = 0;
  if (error) {
    void (error as Error).stack;
    state.errored ||= error;
    // A Duplex must not go on giving data of a stream that failed.
    if (stream._readableState && !stream._readableState.errored) stream._readableState.errored = error;
    if (sync) nextTick(onWriteError, stream, state, error, callback);
    else onWriteError(stream, state, error, callback);
    return;
  }
  if (state.buffered.length > state.bufferedIndex) clearBuffer(stream, state);
  if (!sync) {
    afterWrite(stream, state, 1, callback);
    return;
  }
  // Many writes that end at once are told of in one tick, as long as the callback is the same.
  const waiting = state.afterWriteTickInfo;
  if (waiting !== null && waiting.callback === callback) {
    waiting.count++;
    return;
  }
  const info = { count: 1, callback, stream, state };
  state.afterWriteTickInfo = info;
  nextTick(() => {
    state.afterWriteTickInfo = null;
    afterWrite(stream, state, info.count, callback);
  });
}

function onWriteError(stream: WritableType, state: WritableState, error: unknown, callback: Callback): void {
  state.pendingcb--;
  callback(error);
  // Those that wait have failed too.
  errorBuffer(state);
  errorOrDestroy(stream, error);
}

function afterWrite(stream: WritableType, state: WritableState, count: number, callback: Callback): void {
  const isDrained = !state.ending && !stream.destroyed && state.length === 0 && state.needDrain;
  if (isDrained) {
    state.needDrain = false;
    stream.emit("drain");
  }
  for (let left = count; left > 0; left--) {
    state.pendingcb--;
    callback(isV24() ? null : undefined);
  }
  if (state.destroyed) errorBuffer(state);
  finishMaybe(stream, state);
}

function errorBuffer(state: WritableState): void {
  if (state.writing) return;
  for (const { chunk, callback } of state.buffered.slice(state.bufferedIndex)) {
    state.length -= state.objectMode ? 1 : (chunk as { length: number }).length;
    callback(state.errored ?? errors.destroyed("write"));
  }
  callFinished(state, state.errored ?? errors.destroyed("end"));
  resetBuffer(state);
}

function resetBuffer(state: WritableState): void {
  state.buffered = [];
  state.bufferedIndex = 0;
  state.allBuffers = true;
  state.allNoop = true;
}

/** Writes what waits: together where the stream can take it so. */
function clearBuffer(stream: WritableType, state: WritableState): void {
  if (state.corked || state.bufferProcessing || state.destroyed || !state.constructed) return;
  const { buffered } = state;
  const count = buffered.length - state.bufferedIndex;
  if (count === 0) return;
  state.bufferProcessing = true;
  if (count > 1 && stream._writev) {
    state.pendingcb -= count - 1;
    const chunks = state.allNoop && state.bufferedIndex === 0 ? buffered : buffered.slice(state.bufferedIndex);
    const callback: Callback = state.allNoop
      ? nothing
      : (error) => {
          for (const each of chunks) each.callback(error);
        };
    (chunks as Pending[] & { allBuffers?: boolean }).allBuffers = state.allBuffers;
    doWrite(stream, state, "many", state.length, chunks, "", callback);
    resetBuffer(state);
  } else {
    do {
      const { chunk, encoding, callback } = buffered[state.bufferedIndex] as Pending;
      buffered[state.bufferedIndex++] = null as never;
      doWrite(stream, state, "one", state.objectMode ? 1 : (chunk as { length: number }).length, chunk, encoding, callback);
    } while (state.bufferedIndex < buffered.length && !state.writing);
    if (state.bufferedIndex === buffered.length) {
      resetBuffer(state);
    } else if (state.bufferedIndex > 256) {
      buffered.splice(0, state.bufferedIndex);
      state.bufferedIndex = 0;
    }
  }
  state.bufferProcessing = false;
}

// ---- Ending ----------------------------------------------------------------------------------

function end(this: WritableType, given?: unknown, encoding?: unknown, callback?: unknown): WritableType {
  const state = this._writableState;
  let [chunk, name, done] = [given, encoding, callback];
  if (typeof chunk === "function") [done, chunk, name] = [chunk, null, null];
  else if (typeof name === "function") [done, name] = [name, null];
  let error: Error | undefined;
  if (chunk !== null && chunk !== undefined) {
    const result = write(this, chunk, name, undefined);
    if (result instanceof Error) error = result;
  }
  // Ending uncorks for good.
  if (state.corked) {
    state.corked = 1;
    this.uncork();
  }
  if (error === undefined) {
    if (!state.errored && !state.ending) {
      state.ending = true;
      finishMaybe(this, state, true);
      state.ended = true;
    } else if (state.finished) {
      error = errors.alreadyFinished("end");
    } else if (state.destroyed) {
      error = errors.destroyed("end");
    }
  }
  if (typeof done === "function") callAtEnd(state, done as Callback, error);
  return this;
}

function callAtEnd(state: WritableState, done: Callback, error: Error | undefined): void {
  if (error !== undefined) nextTick(done, error);
  else if (isV24() && state.errored) nextTick(done, state.errored);
  else if (state.finished) nextTick(() => (isV24() ? done(null) : done()));
  else state.onFinished.push(done);
}

function needFinish(state: WritableState): boolean {
  return (
    state.ending && !state.destroyed && state.constructed && state.length === 0 && !state.errored &&
    state.buffered.length === 0 && !state.finished && !state.writing && !state.errorEmitted && !state.closeEmitted
  );
}

function callFinal(stream: WritableType, state: WritableState): void {
  let isCalled = false;
  const done: Callback = (error) => {
    if (isCalled) {
      errorOrDestroy(stream, error ?? errors.multipleCallback());
      return;
    }
    isCalled = true;
    state.pendingcb--;
    if (error) {
      callFinished(state, error);
      errorOrDestroy(stream, error, state.sync);
    } else if (needFinish(state)) {
      state.prefinished = true;
      stream.emit("prefinish");
      // A Transform may still push in its own `prefinish`.
      state.pendingcb++;
      nextTick(finish, stream, state);
    }
  };
  state.sync = true;
  state.pendingcb++;
  try {
    (stream._final as (callback: Callback) => void)(done);
  } catch (error) {
    done(error);
  }
  state.sync = false;
}

function prefinish(stream: WritableType, state: WritableState): void {
  if (state.prefinished || state.finalCalled) return;
  if (typeof stream._final === "function" && !state.destroyed) {
    state.finalCalled = true;
    callFinal(stream, state);
  } else {
    state.prefinished = true;
    stream.emit("prefinish");
  }
}

function finishMaybe(stream: WritableType, state: WritableState, sync?: boolean): void {
  if (!needFinish(state)) return;
  prefinish(stream, state);
  if (state.pendingcb !== 0) return;
  if (sync === true) {
    state.pendingcb++;
    nextTick(() => {
      if (needFinish(state)) finish(stream, state);
      else state.pendingcb--;
    });
  } else if (needFinish(state)) {
    state.pendingcb++;
    finish(stream, state);
  }
}

function finish(stream: WritableType, state: WritableState): void {
  state.pendingcb--;
  state.finished = true;
  callFinished(state, null);
  stream.emit("finish");
  if (!state.autoDestroy) return;
  // The other side may still be at work.
  const other = stream._readableState;
  if (!other || (other.autoDestroy && (other.endEmitted || other.readable === false))) stream.destroy();
}

function callFinished(state: WritableState, error: unknown): void {
  const callbacks = state.onFinished;
  state.onFinished = [];
  for (const callback of callbacks) callback(error);
}

// ---- The prototype ---------------------------------------------------------------------------

export const writableMethods: Record<string, unknown> = {
  write(this: WritableType, chunk: unknown, encoding?: unknown, callback?: unknown): boolean {
    return write(this, chunk, encoding, callback) === true;
  },
  cork(this: WritableType): void {
    this._writableState.corked++;
  },
  uncork(this: WritableType): void {
    const state = this._writableState;
    if (!state.corked) return;
    state.corked--;
    if (!state.writing) clearBuffer(this, state);
  },
  setDefaultEncoding(this: WritableType, encoding: unknown): WritableType {
    const name = typeof encoding === "string" ? encoding.toLowerCase() : encoding;
    if (!Buffer.isEncoding(name)) throw unknownEncoding(name);
    this._writableState.defaultEncoding = name;
    return this;
  },
  _write(this: WritableType, chunk: unknown, encoding: string, callback: Callback): void {
    if (!this._writev) throw errors.missingImplementation("_write()");
    this._writev([{ chunk, encoding } as Pending], callback);
  },
  _writev: null,
  end,
};

defineMethods(Writable.prototype, {
  ...writableMethods,
  pipe(this: WritableType): void {
    errorOrDestroy(this, errors.cannotPipe());
  },
  destroy(this: WritableType, error: unknown, callback?: Callback): WritableType {
    return destroyWritable(this, error, callback);
  },
  _undestroy: undestroy,
  _destroy(_error: unknown, callback: Callback): void {
    callback(_error);
  },
  [captureRejectionSymbol](this: WritableType, error: unknown): void {
    this.destroy(error);
  },
  [Symbol.asyncDispose](this: WritableType): Promise<void> {
    const error = this.destroyed || this.writableFinished ? null : abortError();
    if (!this.destroyed) this.destroy(error ?? undefined);
    return new Promise((resolve, reject) => {
      finished(this, (failed: unknown) => (failed && (failed as Error).name !== "AbortError" ? reject(failed) : resolve()));
    });
  },
});

export function destroyWritable<T extends StreamType>(stream: T, error: unknown, callback?: Callback): T {
  const state = (stream as unknown as WritableType)._writableState;
  // Those that wait must hear of it.
  if (!state.destroyed && (state.bufferedIndex < state.buffered.length || state.onFinished.length > 0)) nextTick(errorBuffer, state);
  destroy.call(stream, error, callback);
  return stream;
}

export const writableGetters: Parameters<typeof defineGetters<WritableType>>[1] = {
  writable: [
    (self) => {
      const w = self._writableState as WritableState | undefined;
      // A stream of old has a writable side that it says nothing of.
      return w !== undefined && w.writable !== false && !w.destroyed && !w.errored && !w.ending && !w.ended;
    },
    (self, value) => {
      if (self._writableState) self._writableState.writable = Boolean(value);
    },
  ],
  writableFinished: (self) => self._writableState?.finished ?? false,
  writableObjectMode: (self) => self._writableState?.objectMode ?? false,
  writableBuffer: (self) => self._writableState?.getBuffer(),
  writableEnded: (self) => self._writableState?.ending ?? false,
  writableNeedDrain: (self) => {
    const w = self._writableState;
    return w ? !w.destroyed && !w.ending && w.needDrain : false;
  },
  writableHighWaterMark: (self) => self._writableState?.highWaterMark,
  writableCorked: (self) => self._writableState?.corked ?? 0,
  writableLength: (self) => self._writableState?.length,
  writableAborted: (self) => {
    const w = self._writableState;
    return w.writable !== false && (w.destroyed || Boolean(w.errored)) && !w.finished;
  },
};

defineGetters<WritableType>(Writable.prototype, {
  ...writableGetters,
  closed: (self) => self._writableState?.closed ?? false,
  destroyed: [
    (self) => self._writableState?.destroyed ?? false,
    (self, value) => {
      if (self._writableState) self._writableState.destroyed = Boolean(value);
    },
  ],
  errored: (self) => self._writableState?.errored ?? null,
});

Writable["WritableState"] = WritableStateClass;
