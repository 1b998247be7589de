// node:zlib: streams and functions over the native coders.
//
// Input goes to a coder in slices, output comes in pieces of `chunkSize`; a stream whose reader has
// enough waits with what is left. The functions with a callback work in a tick of their own.
//
// Memory levels and strategies are checked and change nothing: the encoder has one of each.
//
// Invariant: a coder is freed when its stream is destroyed, when a function is done, or by the collector.

import { has } from "../cloudflare/compat.ts";
import { ops } from "../ops.ts";
import { Buffer } from "./buffer.ts";
import { isAnyArrayBuffer } from "./buffer-kinds.ts";
import { coded, invalidArgType, outOfRange, requireFunction, requireInteger, requireNumber } from "./errors.ts";
import { defineGetters, defineMethods } from "./stream/legacy.ts";
import { finished } from "./stream/end-of-stream.ts";
import { Transform } from "./stream/transform.ts";
import type { Transform as TransformType } from "./stream/transform.ts";
import type { Callback, StreamClass, StreamOptions } from "./stream/types.ts";
import { nextTick } from "./ticks.ts";
import { promisifySymbol } from "./promisify.ts";
import { zlibCodes, zlibConstants as Z } from "./zlib-constants.ts";

type Kind =
  | "deflate" | "inflate" | "gzip" | "gunzip" | "deflateRaw" | "inflateRaw" | "unzip"
  | "brotliCompress" | "brotliDecompress" | "zstdCompress" | "zstdDecompress";

/** Input bytes of one write: ops copy what they get. */
const SLICE_BYTES = 64 * 1024;

/** Output bytes of one write where nobody waits for pieces. */
const ROOM_BYTES = 256 * 1024;

const LENGTH_MAX = 2 ** 31 - 1;

const MINIMUM_CHUNK = 64;

const kFlush: unique symbol = Symbol("kFlushFlag");
const kState: unique symbol = Symbol("state");

interface Options {
  [name: string]: unknown;
}

/** What a coder is made with, checked. */
interface Settings {
  kind: Kind;
  numbers: number[];
  dictionary: Uint8Array | undefined;
  flush: number;
  finishFlush: number;
  fullFlush: number;
  chunkSize: number;
  maxOutputLength: number;
  info: boolean;
}

interface State {
  settings: Settings;
  handle: number | undefined;
  bytesWritten: number;
  level: number;
  strategy: number;
  hasEnded: boolean;
  /** What `_handle` shows, once somebody looked. */
  shown?: Handle;
}

export interface ZlibStream extends TransformType {
  [kState]: State;
  readonly bytesWritten: number;
  close(callback?: Callback): void;
  flush(kind?: unknown, callback?: unknown): void;
  reset(): void;
}

const dropped = new FinalizationRegistry<number>((handle) => ops.zlibFree(handle));

/** In the order of Node's numbers, from 1. */
const KINDS: readonly Kind[] = [
  "deflate", "inflate", "gzip", "gunzip", "deflateRaw", "inflateRaw", "unzip", "brotliDecompress", "brotliCompress", "zstdCompress", "zstdDecompress",
];

/** What packages find under `_handle`: a coder of its own, with the few methods that they call. */
class Handle {
  readonly #kind: Kind;
  #coder: number | undefined;

  constructor(mode: unknown) {
    const kind = KINDS[Number(mode) - 1];
    if (kind === undefined) throw new TypeError("Illegal constructor");
    this.#kind = kind;
  }

  #open(numbers: number[], dictionary?: Uint8Array): number {
    if (this.#coder === undefined) {
      this.#coder = ops.zlibNew(this.#kind, numbers, dictionary);
      dropped.register(this, this.#coder, this);
    }
    return this.#coder;
  }

  initialize(windowBits: unknown, level: unknown, _memLevel: unknown, _strategy: unknown, _result: unknown, _callback: unknown, dictionary?: unknown): void {
    this.close();
    this.#open([Number(windowBits), Number(level)], dictionaryOf(dictionary));
  }

  params(level: unknown, _strategy?: unknown): void {
    ops.zlibLevel(this.#open([0, -1]), Number(level));
  }

  reset(): void {
    ops.zlibReset(this.#open([0, -1]));
  }

  close(): void {
    if (this.#coder === undefined) return;
    ops.zlibFree(this.#coder);
    dropped.unregister(this);
    this.#coder = undefined;
  }
}

// ---- Options ---------------------------------------------------------------------------------

function ranged(value: unknown, name: string, least: number, most: number, otherwise: number): number {
  if (value === undefined || (typeof value === "number" && Number.isNaN(value))) return otherwise;
  const number = requireNumber(value, name);
  if (!Number.isFinite(number)) throw outOfRange(name, "a finite number", number);
  if (number < least || number > most) throw outOfRange(name, `>= ${least} and <= ${most}`, number);
  return number;
}

function dictionaryOf(value: unknown): Uint8Array | undefined {
  if (value === undefined) return undefined;
  if (isAnyArrayBuffer(value)) return new Uint8Array(value);
  if (!ArrayBuffer.isView(value)) throw invalidArgType("options.dictionary", ["Buffer", "TypedArray", "DataView", "ArrayBuffer"], value);
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

interface Flushes {
  flush: number;
  finishFlush: number;
  fullFlush: number;
  most: number;
}

const ZLIB_FLUSHES: Flushes = { flush: Z.Z_NO_FLUSH, finishFlush: Z.Z_FINISH, fullFlush: Z.Z_FULL_FLUSH, most: Z.Z_BLOCK };
const BROTLI_FLUSHES: Flushes = {
  flush: Z.BROTLI_OPERATION_PROCESS,
  finishFlush: Z.BROTLI_OPERATION_FINISH,
  fullFlush: Z.BROTLI_OPERATION_FLUSH,
  most: Z.BROTLI_OPERATION_EMIT_METADATA,
};
const ZSTD_FLUSHES: Flushes = { flush: Z.ZSTD_e_continue, finishFlush: Z.ZSTD_e_end, fullFlush: Z.ZSTD_e_flush, most: Z.ZSTD_e_end };

function flushesOf(kind: Kind): Flushes {
  return kind.startsWith("brotli") ? BROTLI_FLUSHES : kind.startsWith("zstd") ? ZSTD_FLUSHES : ZLIB_FLUSHES;
}

function settingsOf(kind: Kind, given: Options | undefined): Settings {
  const options = given ?? {};
  const flushes = flushesOf(kind);
  let chunkSize = Z.Z_DEFAULT_CHUNK as number;
  if (options["chunkSize"] !== undefined && !Number.isNaN(options["chunkSize"])) {
    chunkSize = requireNumber(options["chunkSize"], "options.chunkSize");
    if (!Number.isFinite(chunkSize)) throw outOfRange("options.chunkSize", "a finite number", chunkSize);
    if (chunkSize < MINIMUM_CHUNK || chunkSize > Z.Z_MAX_CHUNK) {
      throw outOfRange("options.chunkSize", `>= ${MINIMUM_CHUNK} and <= ${Z.Z_MAX_CHUNK}`, chunkSize);
    }
    chunkSize = Math.floor(chunkSize);
  }
  const settings: Settings = {
    kind,
    numbers: [],
    dictionary: undefined,
    flush: ranged(options["flush"], "options.flush", 0, flushes.most, flushes.flush),
    finishFlush: ranged(options["finishFlush"], "options.finishFlush", 0, flushes.most, flushes.finishFlush),
    fullFlush: flushes.fullFlush,
    chunkSize,
    maxOutputLength: ranged(options["maxOutputLength"], "options.maxOutputLength", 1, LENGTH_MAX, LENGTH_MAX),
    info: Boolean(options["info"]),
  };
  if (flushes === ZLIB_FLUSHES) setZlib(settings, options);
  else setParameters(settings, options);
  return settings;
}

function setZlib(settings: Settings, options: Options): void {
  const { kind } = settings;
  const isReader = kind === "inflate" || kind === "gunzip" || kind === "unzip";
  // Zero is what a reader takes from the header.
  const windowBits =
    isReader && (options["windowBits"] === undefined || options["windowBits"] === null || options["windowBits"] === 0)
      ? 0
      : ranged(options["windowBits"], "options.windowBits", kind === "gzip" ? 9 : Z.Z_MIN_WINDOWBITS, Z.Z_MAX_WINDOWBITS, Z.Z_DEFAULT_WINDOWBITS);
  const level = ranged(options["level"], "options.level", Z.Z_MIN_LEVEL, Z.Z_MAX_LEVEL, Z.Z_DEFAULT_COMPRESSION);
  ranged(options["memLevel"], "options.memLevel", Z.Z_MIN_MEMLEVEL, Z.Z_MAX_MEMLEVEL, Z.Z_DEFAULT_MEMLEVEL);
  ranged(options["strategy"], "options.strategy", Z.Z_DEFAULT_STRATEGY, Z.Z_FIXED, Z.Z_DEFAULT_STRATEGY);
  settings.dictionary = dictionaryOf(options["dictionary"]);
  settings.numbers = [windowBits, level];
}

/** Numbers that parameters of brotli and zstd may have. */
const BROTLI_ENCODER = new Set([0, 1, 2, 3, 4, 5, 6, 7, 8]);
const BROTLI_DECODER = new Set([0, 1]);
const ZSTD_ENCODER = new Set([100, 101, 102, 103, 104, 105, 106, 107, 160, 161, 162, 163, 164, 200, 201, 202, 400, 401, 402]);
const ZSTD_DECODER = new Set([100]);

function setParameters(settings: Settings, options: Options): void {
  const { kind } = settings;
  const isBrotli = kind.startsWith("brotli");
  const known = kind === "brotliCompress" ? BROTLI_ENCODER : kind === "brotliDecompress" ? BROTLI_DECODER : kind === "zstdCompress" ? ZSTD_ENCODER : ZSTD_DECODER;
  const { params } = options;
  if (params !== undefined && params !== null && typeof params !== "object") throw invalidArgType("options.params", ["Object"], params);
  for (const [name, value] of Object.entries((params ?? {}) as Options)) {
    const key = Number(name);
    if (!known.has(key)) {
      throw coded(new RangeError(`${name} is not a valid ${isBrotli ? "Brotli" : "zstd"} parameter`), isBrotli ? "ERR_BROTLI_INVALID_PARAM" : "ERR_ZSTD_INVALID_PARAM");
    }
    if (typeof value !== "number" && typeof value !== "boolean") throw invalidArgType("options.params[key]", ["number"], value);
    settings.numbers.push(key, Number(value));
  }
  if (!isBrotli) settings.dictionary = dictionaryOf(options["dictionary"]);
  if (options["pledgedSrcSize"] !== undefined) requireNumber(options["pledgedSrcSize"], "options.pledgedSrcSize");
}

// ---- Coding ----------------------------------------------------------------------------------

function zlibError(message: string, code: string, errno: number): Error {
  return Object.assign(new Error(message), { errno, code });
}

/** What a write's code means; `isFull` says that the output took all the room there was. */
function errorOf(settings: Settings, code: number, message: string, flush: number, isFull: boolean): Error | undefined {
  const { kind } = settings;
  const isLast = flush === settings.finishFlush && flush === flushesOf(kind).finishFlush;
  if (kind.startsWith("brotli") || kind.startsWith("zstd")) {
    const isReader = kind.endsWith("Decompress");
    const isZstd = kind.startsWith("zstd");
    const failed = isReader ? "ERR_ZSTD_DECOMPRESSION_FAILED" : "ERR_ZSTD_COMPRESSION_FAILED";
    if (code < 0) {
      if (isZstd) return zlibError(message, failed, -1);
      if (!isReader) return zlibError("Compression failed", "ERR_BROTLI_COMPRESSION_FAILED", -1);
      const errno = (Z as unknown as Options)[`BROTLI_DECODER_${message}`] ?? code;
      return zlibError("Decompression failed", `ERR__${message}`, Number(errno));
    }
    if (isReader && isLast && !isFull && code !== 1) {
      return isZstd ? zlibError("unexpected end of file", failed, -1) : zlibError("Unexpected end of file", "Z_BUF_ERROR", Z.Z_BUF_ERROR);
    }
    return undefined;
  }
  if (code === Z.Z_OK || code === Z.Z_BUF_ERROR) {
    if (isFull || flush !== Z.Z_FINISH) return undefined;
    // Everything was read and nothing more came out: there should have been more input.
    return code === Z.Z_OK && !isReaderKind(kind) ? undefined : zlibError("unexpected end of file", "Z_BUF_ERROR", Z.Z_BUF_ERROR);
  }
  if (code === Z.Z_STREAM_END) return undefined;
  if (code === Z.Z_NEED_DICT) {
    return zlibError(settings.dictionary === undefined ? "Missing dictionary" : "Bad dictionary", "Z_NEED_DICT", code);
  }
  return zlibError(message === "" ? "Zlib error" : message, String(zlibCodes[code] ?? "Z_STREAM_ERROR"), code);
}

function isReaderKind(kind: Kind): boolean {
  return kind === "inflate" || kind === "gunzip" || kind === "inflateRaw" || kind === "unzip";
}

function newHandle(settings: Settings): number {
  const { kind, numbers, dictionary } = settings;
  try {
    return ops.zlibNew(kind, numbers, dictionary);
  } catch (error) {
    throw coded(new Error((error as Error).message), "ERR_ZLIB_INITIALIZATION_FAILED");
  }
}

/** One piece of output, and whether more waits for room. */
interface Step {
  output: Uint8Array;
  read: number;
  isFull: boolean;
  hasEnded: boolean;
}

function step(settings: Settings, handle: number, input: Uint8Array, flush: number, room: number): Step {
  const slice = input.length > SLICE_BYTES ? input.subarray(0, SLICE_BYTES) : input;
  // Only the last slice is flushed.
  const now = slice.length < input.length ? flushesOf(settings.kind).flush : flush;
  const [read, output, code, message] = ops.zlibWrite(handle, now, slice, room);
  const isFull = output.length === room;
  const error = errorOf(settings, code, message, now, isFull);
  if (error !== undefined) throw error;
  return { output, read, isFull, hasEnded: code === Z.Z_STREAM_END };
}

/** A write that read all and had room left is through, and so is one that can read no more. */
function isThrough(done: Step, rest: number): boolean {
  return !done.isFull && (rest === 0 || done.read === 0 || done.hasEnded);
}

function bytesOf(value: unknown): Uint8Array {
  if (typeof value === "string") return Buffer.from(value);
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  if (isAnyArrayBuffer(value)) return new Uint8Array(value);
  throw invalidArgType("buffer", ["string", "Buffer", "TypedArray", "DataView", "ArrayBuffer"], value);
}

function tooLarge(most: number): Error {
  return coded(new RangeError(`Cannot create a Buffer larger than ${most} bytes`), "ERR_BUFFER_TOO_LARGE");
}

function codeAll(settings: Settings, bytes: Uint8Array): Buffer {
  const handle = newHandle(settings);
  const parts: Uint8Array[] = [];
  let total = 0;
  let rest = bytes;
  try {
    for (;;) {
      const done = step(settings, handle, rest, settings.finishFlush, Math.max(ROOM_BYTES, Math.min(settings.chunkSize, ROOM_BYTES)));
      rest = rest.subarray(done.read);
      total += done.output.length;
      if (total > settings.maxOutputLength) throw tooLarge(settings.maxOutputLength);
      if (done.output.length > 0) parts.push(done.output);
      if (isThrough(done, rest.length)) break;
    }
  } finally {
    ops.zlibFree(handle);
  }
  return parts.length === 1 ? Buffer.from((parts[0] as Uint8Array).buffer) : Buffer.concat(parts, total);
}

// ---- Streams ---------------------------------------------------------------------------------

/** Flushes by how much they do. */
const ZLIB_ORDER: readonly number[] = [Z.Z_NO_FLUSH, Z.Z_BLOCK, Z.Z_PARTIAL_FLUSH, Z.Z_SYNC_FLUSH, Z.Z_FULL_FLUSH, Z.Z_FINISH];

function stronger(a: number, b: number): number {
  return ZLIB_ORDER.indexOf(a) > ZLIB_ORDER.indexOf(b) ? a : b;
}

function setUp(self: ZlibStream, kind: Kind, options: Options | undefined): void {
  const settings = settingsOf(kind, options);
  Reflect.apply(Transform as unknown as () => void, self, [{ autoDestroy: true, ...options } as StreamOptions]);
  const handle = newHandle(settings);
  dropped.register(self, handle, self);
  self[kState] = { settings, handle, bytesWritten: 0, level: settings.numbers[1] ?? -1, strategy: 0, hasEnded: false };
}

function release(self: ZlibStream): void {
  const state = self[kState];
  if (state.handle === undefined) return;
  ops.zlibFree(state.handle);
  dropped.unregister(self);
  state.handle = undefined;
}

const flushBuffers = new Map<number, Uint8Array>();

/** A write of nothing that asks for a flush. */
function flushBuffer(kind: number): Uint8Array {
  let found = flushBuffers.get(kind);
  if (found === undefined) flushBuffers.set(kind, (found = Object.assign(Buffer.alloc(0), { [kFlush]: kind })));
  return found;
}

function runChunk(self: ZlibStream, given: Uint8Array, flush: number, callback: Callback): void {
  const state = self[kState];
  const { settings } = state;
  let rest = given;
  const next = (): void => {
    if (state.handle === undefined) {
      callback();
      return;
    }
    let done: Step;
    try {
      done = step(settings, state.handle, rest, flush, Math.min(settings.chunkSize, ROOM_BYTES));
    } catch (error) {
      self.destroy(error);
      return;
    }
    rest = rest.subarray(done.read);
    state.bytesWritten += done.read;
    if (done.hasEnded) state.hasEnded = true;
    let hasRoom = true;
    if (done.output.length > 0) {
      const { buffer, byteOffset, length } = done.output;
      hasRoom = self.push(Buffer.from(buffer, byteOffset, length));
    }
    if (self.destroyed) {
      callback();
      return;
    }
    if (isThrough(done, rest.length)) {
      // What stands behind the end of the data is not ours.
      if (done.hasEnded && isReaderKind(settings.kind) && rest.length > 0) self.push(null);
      callback();
    } else if (hasRoom) {
      nextTick(next);
    } else {
      waitForReader(self, next);
    }
  };
  nextTick(next);
}

/** Goes on when somebody reads. */
function waitForReader(self: ZlibStream, next: () => void): void {
  const before = Object.getOwnPropertyDescriptor(self, "_read");
  self._read = (size: number) => {
    if (before === undefined) delete (self as Partial<ZlibStream>)._read;
    else Object.defineProperty(self, "_read", before);
    next();
    self._read(size);
  };
}

const ZlibBase = function ZlibBase(this: ZlibStream, kind: Kind, options: Options | undefined): void {
  setUp(this, kind, options);
} as unknown as { new (kind: Kind, options?: Options): ZlibStream; prototype: ZlibStream };
Object.setPrototypeOf(ZlibBase.prototype, Transform.prototype);
Object.setPrototypeOf(ZlibBase, Transform);

function flush(this: ZlibStream, given?: unknown, callback?: unknown): void {
  const done = typeof given === "function" ? given : callback;
  const kind = given === undefined || typeof given === "function" ? this[kState].settings.fullFlush : (given as number);
  if (this.writableFinished) {
    if (typeof done === "function") nextTick(done as Callback);
  } else if (this.writableEnded) {
    if (typeof done === "function") this.once("end", done as () => void);
  } else {
    this.write(flushBuffer(kind), "", done);
  }
}

function params(this: ZlibStream, level: unknown, strategy: unknown, callback: unknown): void {
  const state = this[kState];
  const wanted = ranged(level, "level", Z.Z_MIN_LEVEL, Z.Z_MAX_LEVEL, Z.Z_DEFAULT_COMPRESSION);
  const plan = ranged(strategy, "strategy", Z.Z_DEFAULT_STRATEGY, Z.Z_FIXED, Z.Z_DEFAULT_STRATEGY);
  if (state.level === wanted && state.strategy === plan) {
    nextTick(callback as Callback);
    return;
  }
  // What was written before must be coded as it was.
  flush.call(this, Z.Z_SYNC_FLUSH, () => {
    if (state.handle === undefined) return;
    ops.zlibLevel(state.handle, wanted);
    state.level = wanted;
    state.strategy = plan;
    if (typeof callback === "function") (callback as Callback)();
  });
}

defineMethods(ZlibBase.prototype, {
  _transform(this: ZlibStream, chunk: Uint8Array & { [kFlush]?: number }, _encoding: string, callback: Callback): void {
    const { settings } = this[kState];
    const isLast = this.writableEnded && this.writableLength === chunk.byteLength;
    const asked = chunk[kFlush];
    let kind = settings.flush;
    if (asked !== undefined) kind = asked;
    else if (isLast) kind = flushesOf(settings.kind) === ZLIB_FLUSHES ? stronger(kind, settings.finishFlush) : settings.finishFlush;
    runChunk(this, chunk, kind, callback);
  },
  _flush(this: ZlibStream, callback: Callback): void {
    if (this[kState].hasEnded) callback();
    else runChunk(this, Buffer.alloc(0), this[kState].settings.finishFlush, callback);
  },
  _final(_callback: Callback): void {
    _callback();
  },
  _destroy(this: ZlibStream, error: unknown, callback: Callback): void {
    release(this);
    callback(error);
  },
  flush,
  close(this: ZlibStream, callback?: Callback): void {
    if (typeof callback === "function") finished(this, callback);
    this.destroy();
  },
  reset(this: ZlibStream): void {
    const state = this[kState];
    if (state.handle === undefined) throw coded(new Error("zlib binding closed"), "ERR_INTERNAL_ASSERTION");
    state.hasEnded = false;
    ops.zlibReset(state.handle);
  },
  /** All of `chunk` at once; old packages call it. */
  _processChunk(this: ZlibStream, chunk: Uint8Array, kind: number, callback?: Callback): Buffer | undefined {
    if (typeof callback === "function") {
      runChunk(this, chunk, kind, callback);
      return undefined;
    }
    const state = this[kState];
    if (state.handle === undefined) throw coded(new Error("zlib binding closed"), "ERR_INTERNAL_ASSERTION");
    const parts: Uint8Array[] = [];
    for (let rest = chunk; ; ) {
      const done = step(state.settings, state.handle, rest, kind, ROOM_BYTES);
      rest = rest.subarray(done.read);
      parts.push(done.output);
      if (isThrough(done, rest.length)) return Buffer.concat(parts);
    }
  },
});
defineGetters<ZlibStream>(ZlibBase.prototype, {
  bytesWritten: [(self) => self[kState].bytesWritten, (self, value) => void (self[kState].bytesWritten = Number(value))],
  _closed: (self) => self[kState].handle === undefined,
  _handle: (self) => (self[kState].handle === undefined ? null : (self[kState].shown ??= new Handle(KINDS.indexOf(self[kState].settings.kind) + 1))),
  _chunkSize: (self) => self[kState].settings.chunkSize,
  _level: (self) => self[kState].level,
  _strategy: (self) => self[kState].strategy,
  _maxOutputLength: (self) => self[kState].settings.maxOutputLength,
  _defaultFlushFlag: (self) => self[kState].settings.flush,
  _finishFlushFlag: (self) => self[kState].settings.finishFlush,
  _defaultFullFlushFlag: (self) => self[kState].settings.fullFlush,
  _info: (self) => self[kState].settings.info,
});

// ---- Classes and functions -------------------------------------------------------------------

type ZlibClass = StreamClass<ZlibStream> & Record<string, unknown>;

function makeClass(name: string, kind: Kind): ZlibClass {
  const made = function (this: ZlibStream | undefined, options?: Options): ZlibStream | undefined {
    if (!(this instanceof made)) return new (made as unknown as new (options?: Options) => ZlibStream)(options);
    setUp(this as ZlibStream, kind, options);
    return undefined;
  } as unknown as ZlibClass;
  Object.defineProperty(made, "name", { value: name, configurable: true });
  Object.setPrototypeOf(made.prototype, ZlibBase.prototype);
  Object.setPrototypeOf(made, ZlibBase);
  if (kind === "deflate" || kind === "gzip" || kind === "deflateRaw") defineMethods(made.prototype, { params });
  return made;
}

const CLASSES: readonly [name: string, kind: Kind][] = [
  ["Deflate", "deflate"],
  ["Inflate", "inflate"],
  ["Gzip", "gzip"],
  ["Gunzip", "gunzip"],
  ["DeflateRaw", "deflateRaw"],
  ["InflateRaw", "inflateRaw"],
  ["Unzip", "unzip"],
  ["BrotliCompress", "brotliCompress"],
  ["BrotliDecompress", "brotliDecompress"],
  ["ZstdCompress", "zstdCompress"],
  ["ZstdDecompress", "zstdDecompress"],
];

function withEngine(engine: ZlibClass, options: Options | undefined, buffer: Buffer): unknown {
  return options?.["info"] ? { buffer, engine: new engine(options as StreamOptions) } : buffer;
}

function synchronous(engine: ZlibClass, kind: Kind): (buffer: unknown, options?: Options) => unknown {
  return (buffer, options) => {
    const bytes = bytesOf(buffer);
    return withEngine(engine, options, codeAll(settingsOf(kind, options), bytes));
  };
}

function asynchronous(engine: ZlibClass, kind: Kind): (buffer: unknown, options?: unknown, callback?: unknown) => void {
  const work = (buffer: unknown, given?: unknown, last?: unknown): void => {
    const [options, callback] = typeof given === "function" ? [undefined, given] : [given as Options | undefined, last];
    const done = requireFunction(callback, "callback");
    const bytes = bytesOf(buffer);
    const settings = settingsOf(kind, options);
    nextTick(() => {
      let result: unknown;
      try {
        result = withEngine(engine, options, codeAll(settings, bytes));
      } catch (error) {
        done(error);
        return;
      }
      done(null, result);
    });
  };
  Object.defineProperty(work, promisifySymbol, {
    value: (buffer: unknown, options?: unknown) =>
      new Promise((resolve, reject) => work(buffer, options, (error: unknown, value: unknown) => (error ? reject(error) : resolve(value)))),
    configurable: true,
  });
  return work;
}

function crc32(data: unknown, value: unknown = 0): number {
  if (typeof data !== "string" && !ArrayBuffer.isView(data)) throw invalidArgType("data", ["Buffer", "TypedArray", "DataView", "string"], data);
  const start = requireInteger(value, "value", 0, 2 ** 32 - 1);
  const bytes = bytesOf(data);
  return ops.zlibCrc32(bytes, start);
}

const members: Record<string, unknown> = {};
for (const [name, kind] of CLASSES) {
  const made = makeClass(name, kind);
  members[name] = made;
  members[`create${name}`] = (options?: Options) => new made(options as StreamOptions);
  members[kind] = asynchronous(made, kind);
  members[`${kind}Sync`] = synchronous(made, kind);
}
for (const name of Object.keys(members)) {
  if (!name.startsWith("create") && name.endsWith("Sync")) Object.defineProperty(members[name] as object, "name", { value: name });
}

/** Without its flag the module is there, as in Workers, and does nothing. */
function guarded(work: unknown): unknown {
  const refuse = function (): never {
    throw new Error('Compatibility flag "nodejs_zlib" is not enabled');
  };
  return typeof work === "function" ? refuse : work;
}

// Older code takes the constants from the module itself.
const shared: Record<string, unknown> = { ...Z, codes: zlibCodes, constants: Z, crc32 };

let made: Record<string, unknown> | undefined;

/** Made when it is first asked for: what it holds depends on the Worker's flags. */
export function zlibModule(): Record<string, unknown> {
  if (made !== undefined) return made;
  const isOn = has("nodejs_zlib");
  const all = { ...shared, ...Object.fromEntries(Object.entries(members).map(([name, value]) => [name, isOn ? value : guarded(value)])) };
  return (made = { ...all, default: all });
}
