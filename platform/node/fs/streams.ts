// `fs.createReadStream`, `fs.createWriteStream`, and their classes.
//
// Invariant: a file that a stream opened is closed with it, unless `autoClose` says otherwise.

import { Buffer } from "../buffer.ts";
import { invalidArgType, invalidArgValue, outOfRange, requireBoolean, requireInteger, requireObject, requireSignal } from "../errors.ts";
import { nextTick } from "../ticks.ts";
import { addAbortSignal } from "../stream/abort.ts";
import { finished } from "../stream/end-of-stream.ts";
import { Readable } from "../stream/readable.ts";
import { Writable } from "../stream/writable.ts";
import type { Callback, Pending, Readable as ReadableType, StreamClass, StreamOptions, Writable as WritableType } from "../stream/types.ts";
import { defineGetters, defineMethods } from "../stream/legacy.ts";
import { requirePath } from "./arguments.ts";
import type { Options } from "./arguments.ts";
import { FileHandle } from "./handle.ts";
import { closeSync, openSync, readSync, writeSync, writevSync } from "./sync.ts";

/** Bytes of one read. */
const CHUNK_BYTES = 64 * 1024;

interface FileParts {
  path: unknown;
  fd: number | null;
  flags: unknown;
  mode: unknown;
  start: number | undefined;
  end: number;
  pos: number | undefined;
  bytesRead: number;
  bytesWritten: number;
  handle: FileHandle | undefined;
  closed_: boolean;
}

export type ReadStream = ReadableType & FileParts & { close(callback?: Callback): void };
export type WriteStream = WritableType & FileParts & { close(callback?: Callback): void };

function settingsOf(given: unknown): Options {
  if (given === undefined || given === null) return {};
  const options: Options = typeof given === "string" ? { encoding: given } : requireObject(given, "options");
  const { encoding } = options;
  const isKnown = encoding === undefined || encoding === null || encoding === "buffer" || Buffer.isEncoding(encoding);
  if (!isKnown) throw invalidArgValue("options.encoding", encoding);
  return options;
}

/** Takes what both kinds take; opening happens in `_construct`. */
function setUp(self: FileParts, path: unknown, options: Options, flags: string): void {
  const { fd } = options;
  self.fd = null;
  self.handle = undefined;
  if (fd === undefined || fd === null) {
    requirePath(path);
  } else if (fd instanceof FileHandle) {
    self.handle = fd;
    self.fd = fd.fd as number;
  } else if (typeof fd === "number") {
    self.fd = requireInteger(fd, "fd", 0, 2 ** 31 - 1);
  } else {
    throw invalidArgType("options.fd", ["number", "FileHandle"], fd);
  }
  self.path = path;
  self.flags = options["flags"] ?? flags;
  self.mode = options["mode"] ?? 0o666;
  self.start = options["start"] === undefined ? undefined : requireInteger(options["start"], "start", 0);
  self.pos = self.start;
  if (options["autoClose"] !== undefined) requireBoolean(options["autoClose"], "options.autoClose");
}

function openFile(this: FileParts & ReadableType, callback: Callback): void {
  if (this.fd !== null) {
    callback();
    return;
  }
  try {
    this.fd = openSync(this.path, this.flags, this.mode);
    callback();
    this.emit("open", this.fd);
    this.emit("ready");
  } catch (error) {
    callback(error);
  }
}

function closeFile(this: FileParts & ReadableType, error: unknown, callback: Callback): void {
  const { fd, handle } = this;
  this.fd = null;
  if (fd === null) {
    callback(error);
    return;
  }
  if (handle !== undefined) {
    handle.close().then(
      () => callback(error),
      (failed: unknown) => callback(failed || error),
    );
    return;
  }
  try {
    closeSync(fd);
    nextTick(callback, error);
  } catch (failed) {
    nextTick(callback, failed || error);
  }
}

function close(this: ReadableType, callback?: Callback): void {
  if (typeof callback === "function") finished(this, callback);
  this.destroy();
}

// ---- Reading ---------------------------------------------------------------------------------

export const ReadStream = function ReadStream(this: ReadStream | undefined, path: unknown, given?: unknown): ReadStream | undefined {
  if (!(this instanceof ReadStream)) return new (ReadStream as unknown as new (path: unknown, options: unknown) => ReadStream)(path, given);
  const self = this as ReadStream;
  const options = settingsOf(given);
  setUp(self, path, options, "r");
  self.end = options["end"] === undefined || options["end"] === Number.POSITIVE_INFINITY ? Number.POSITIVE_INFINITY : requireInteger(options["end"], "end", 0);
  if (self.start !== undefined && self.start > self.end) throw outOfRange("start", `<= "end" (here: ${self.end})`, self.start);
  self.bytesRead = 0;
  const { signal, ...rest } = options;
  if (signal !== undefined) requireSignal(signal, "options.signal");
  const streamOptions: StreamOptions = {
    highWaterMark: CHUNK_BYTES,
    ...rest,
    autoDestroy: options["autoClose"] !== false,
    construct: undefined,
    read: undefined,
    destroy: undefined,
  };
  Reflect.apply(Readable as unknown as () => void, self, [streamOptions]);
  if (signal !== undefined) addAbortSignal(signal, self);
  return undefined;
} as unknown as StreamClass<ReadStream> & Record<string, unknown>;
Object.setPrototypeOf(ReadStream.prototype, Readable.prototype);
Object.setPrototypeOf(ReadStream, Readable);

defineMethods(ReadStream.prototype, {
  _construct: openFile,
  _read(this: ReadStream, size: number): void {
    const most = this.end === Number.POSITIVE_INFINITY ? size : Math.min(size, this.end - (this.pos ?? this.bytesRead) + 1);
    if (most <= 0) {
      this.push(null);
      return;
    }
    try {
      const buffer = Buffer.allocUnsafe(most);
      const count = readSync(this.fd, buffer, 0, most, this.pos ?? null);
      this.bytesRead += count;
      if (this.pos !== undefined) this.pos += count;
      // In a tick of its own: code that reads expects it to take time.
      nextTick(() => {
        if (!this.destroyed) this.push(count > 0 ? buffer.subarray(0, count) : null);
      });
    } catch (error) {
      this.destroy(error);
    }
  },
  _destroy: closeFile,
  close,
});
defineGetters<ReadStream>(ReadStream.prototype, {
  autoClose: [(self) => self._readableState.autoDestroy, (self, value) => void (self._readableState.autoDestroy = Boolean(value))],
  pending: (self) => self.fd === null,
});

// ---- Writing ---------------------------------------------------------------------------------

export const WriteStream = function WriteStream(this: WriteStream | undefined, path: unknown, given?: unknown): WriteStream | undefined {
  if (!(this instanceof WriteStream)) return new (WriteStream as unknown as new (path: unknown, options: unknown) => WriteStream)(path, given);
  const self = this as WriteStream;
  const options = settingsOf(given);
  setUp(self, path, options, "w");
  self.bytesWritten = 0;
  const { signal, encoding, ...rest } = options;
  if (signal !== undefined) requireSignal(signal, "options.signal");
  const streamOptions: StreamOptions = {
    ...rest,
    decodeStrings: true,
    autoDestroy: options["autoClose"] !== false,
    construct: undefined,
    write: undefined,
    writev: undefined,
    destroy: undefined,
  };
  Reflect.apply(Writable as unknown as () => void, self, [streamOptions]);
  if (encoding) (self as unknown as { setDefaultEncoding(name: unknown): void }).setDefaultEncoding(encoding);
  if (signal !== undefined) addAbortSignal(signal, self);
  return undefined;
} as unknown as StreamClass<WriteStream> & Record<string, unknown>;
Object.setPrototypeOf(WriteStream.prototype, Writable.prototype);
Object.setPrototypeOf(WriteStream, Writable);

function write(self: WriteStream, callback: Callback, work: (fd: number, position: number | null) => number): void {
  try {
    const count = work(self.fd as number, self.pos ?? null);
    self.bytesWritten += count;
    if (self.pos !== undefined) self.pos += count;
    nextTick(callback);
  } catch (error) {
    nextTick(callback, error);
  }
}

defineMethods(WriteStream.prototype, {
  _construct: openFile,
  _write(this: WriteStream, chunk: Uint8Array, _encoding: string, callback: Callback): void {
    write(this, callback, (fd, position) => writeSync(fd, chunk, 0, chunk.length, position));
  },
  _writev(this: WriteStream, chunks: Pending[], callback: Callback): void {
    write(this, callback, (fd, position) => writevSync(fd, chunks.map(({ chunk }) => chunk), position));
  },
  _destroy: closeFile,
  close(this: WriteStream, callback?: Callback): void {
    if (typeof callback === "function") {
      if (this.closed) {
        nextTick(callback);
        return;
      }
      this.on("close", () => callback());
    }
    if (!this._writableState.autoDestroy) this.on("finish", () => void this.destroy());
    // What was written is still written.
    this.end();
  },
  destroySoon(this: WriteStream): void {
    this.end();
  },
});
defineGetters<WriteStream>(WriteStream.prototype, {
  autoClose: [(self) => self._writableState.autoDestroy, (self, value) => void (self._writableState.autoDestroy = Boolean(value))],
  pending: (self) => self.fd === null,
});

export function createReadStream(path: unknown, options?: unknown): ReadStream {
  return new (ReadStream as unknown as new (path: unknown, options: unknown) => ReadStream)(path, options);
}

export function createWriteStream(path: unknown, options?: unknown): WriteStream {
  return new (WriteStream as unknown as new (path: unknown, options: unknown) => WriteStream)(path, options);
}
