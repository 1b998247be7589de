// Between Node's streams and the web's, both ways.
//
// Invariant: an error or an early end on one side reaches the other.

import { Buffer } from "../buffer.ts";
import { isAnyArrayBuffer } from "../buffer-kinds.ts";
import { ByteLengthQueuingStrategy, CountQueuingStrategy } from "../../web/streams/strategies.ts";
import { isReadableStream as isOurReadable, readableCore, ReadableStream } from "../../web/streams/readable.ts";
import { isWritableStream as isOurWritable, writableCore, WritableStream } from "../../web/streams/writable.ts";
import { abortError, invalidArgType, invalidArgValue, requireBoolean, requireObject } from "../errors.ts";
import { nextTick } from "../ticks.ts";
import { setWebFailure } from "./abort.ts";
import { destroyer } from "./destroy.ts";
import { Duplex, setWebAdapters } from "./duplex.ts";
import { finished, setWebClosed } from "./end-of-stream.ts";
import { both, errors } from "./errors.ts";
import { isDestroyed, isReadable, isReadableStream, isWritable, isWritableEnded, isWritableStream } from "./kinds.ts";
import type { Maybe } from "./kinds.ts";
import { Readable } from "./readable.ts";
import type { Callback, Duplex as DuplexType, Pending, Readable as ReadableType, StreamOptions, Writable as WritableType } from "./types.ts";
import { Writable } from "./writable.ts";

interface Controller {
  enqueue(chunk: unknown): void;
  close(): void;
  error(reason: unknown): void;
  readonly desiredSize: number | null;
}

interface Reader {
  readonly closed: Promise<void>;
  read(): Promise<{ value: unknown; done: boolean }>;
  cancel(reason: unknown): Promise<void>;
}

interface Writer {
  readonly closed: Promise<void>;
  readonly ready: Promise<void>;
  write(chunk: unknown): Promise<void>;
  close(): Promise<void>;
  abort(reason: unknown): Promise<void>;
}

interface WebReadable {
  getReader(): Reader;
}
interface WebWritable {
  getWriter(): Writer;
}

/** An early close is an abort to the web's streams. */
function asAbort(error: unknown): unknown {
  if ((error as { code?: unknown } | undefined)?.code !== "ERR_STREAM_PREMATURE_CLOSE") return error;
  return abortError(error);
}

// ---- Node's to the web's -------------------------------------------------------------------------

export function readableToWeb(given: unknown, options: unknown = {}): ReadableStream {
  if (typeof (given as Maybe | undefined)?._readableState !== "object") throw invalidArgType("streamReadable", ["stream.Readable"], given);
  const stream = given as ReadableType;
  const { strategy, type } = requireObject(options, "options") as { strategy?: unknown; type?: unknown };
  if (isDestroyed(stream) || !isReadable(stream)) {
    const ended = new ReadableStream({});
    void ended.cancel(undefined);
    return ended;
  }
  const { readableObjectMode: objectMode, readableHighWaterMark: highWaterMark } = stream;
  const kind = strategy ?? (objectMode ? new CountQueuingStrategy({ highWaterMark }) : { highWaterMark });
  let controller: Controller;
  let wasCanceled = false;
  const onData = (chunk: unknown): void => {
    // A Uint8Array, not a Buffer: the web knows none.
    const value = Buffer.isBuffer(chunk) && !objectMode ? new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength).slice() : chunk;
    controller.enqueue(value);
    if ((controller.desiredSize ?? 0) <= 0) stream.pause();
  };
  stream.pause();
  const cleanup = finished(stream, (failed: unknown) => {
    const error = asAbort(failed);
    cleanup();
    // What comes after the end must not be uncaught.
    stream.on("error", () => {});
    if (error) {
      controller.error(error);
    } else if (!wasCanceled) {
      controller.close();
    }
  });
  stream.on("data", onData);
  const source = {
    start(its: Controller) {
      controller = its;
    },
    pull() {
      stream.resume();
    },
    cancel(reason: unknown) {
      wasCanceled = true;
      destroyer(stream, reason);
    },
    ...(type === "bytes" ? { type } : {}),
  };
  return type === "bytes" ? new ReadableStream(source) : new ReadableStream(source, kind);
}

export function writableToWeb(given: unknown): WritableStream {
  if (typeof (given as Maybe | undefined)?._writableState !== "object") throw invalidArgType("streamWritable", ["stream.Writable"], given);
  const stream = given as WritableType;
  if (isDestroyed(stream) || !isWritable(stream)) {
    const closed = new WritableStream({});
    void closed.close();
    return closed;
  }
  const { writableHighWaterMark: highWaterMark, writableObjectMode: objectMode } = stream;
  const strategy = objectMode ? new CountQueuingStrategy({ highWaterMark }) : new ByteLengthQueuingStrategy({ highWaterMark });
  let controller: Controller;
  let room: PromiseWithResolvers<void> | undefined;
  let closed: PromiseWithResolvers<void> | undefined;
  const onDrain = (): void => room?.resolve();
  const cleanup = finished(stream, (failed: unknown) => {
    const error = asAbort(failed);
    cleanup();
    stream.on("error", () => {});
    if (error) {
      room?.reject(error);
      closed?.reject(error);
      closed = undefined;
      controller.error(error);
      return;
    }
    if (closed !== undefined) {
      closed.resolve();
      closed = undefined;
      return;
    }
    controller.error(abortError());
  });
  stream.on("drain", onDrain);
  return new WritableStream(
    {
      start(its: Controller) {
        controller = its;
      },
      write(chunk: unknown) {
        const value = isAnyArrayBuffer(chunk) && !objectMode ? new Uint8Array(chunk) : chunk;
        if (!stream.writableNeedDrain && stream.write(value)) return undefined;
        room = Promise.withResolvers();
        return room.promise.finally(() => {
          room = undefined;
        });
      },
      abort(reason: unknown) {
        destroyer(stream, reason);
      },
      close() {
        if (closed === undefined && !isWritableEnded(stream)) {
          closed = Promise.withResolvers();
          const { promise } = closed;
          stream.end();
          return promise;
        }
        controller.error(errors.alreadyFinished("close"));
        return Promise.reject(errors.alreadyFinished("close"));
      },
    },
    strategy,
  );
}

// ---- The web's to Node's -----------------------------------------------------------------------

const kStateReader: unique symbol = Symbol("reader");

export function readableFromWeb(given: unknown, options: StreamOptions = {}): ReadableType {
  if (!isReadableStream(given)) throw invalidArgType("readableStream", ["ReadableStream"], given);
  requireObject(options, "options");
  const { highWaterMark, encoding, objectMode = false, signal } = options;
  if (encoding !== undefined && !Buffer.isEncoding(encoding)) throw invalidArgValue("options.encoding", encoding);
  requireBoolean(objectMode, "options.objectMode");
  const reader = (given as unknown as WebReadable).getReader();
  let isClosed = false;
  const readable = new Readable({
    objectMode,
    ...(highWaterMark === undefined ? {} : { highWaterMark }),
    ...(encoding === undefined ? {} : { encoding }),
    signal,
    read() {
      reader.read().then(
        ({ value, done }) => readable.push(done ? null : value),
        (error: unknown) => destroyer(readable, error),
      );
    },
    destroy(error: unknown, callback: Callback) {
      const done = (): void => nextTick(callback, error);
      if (isClosed) done();
      else reader.cancel(error).then(done, done);
    },
  });
  Object.defineProperty(readable, kStateReader, { value: reader });
  reader.closed.then(
    () => (isClosed = true),
    (error: unknown) => {
      isClosed = true;
      destroyer(readable, error);
    },
  );
  return readable;
}

/** `_write`, `_writev`, `_final` and `_destroy` over a writer of the web's. */
function sinkOf(writer: Writer, of: () => WritableType, decode: (chunk: unknown, encoding: string) => unknown): { hooks: StreamOptions; closed: () => boolean } {
  let isClosed = false;
  writer.closed.then(
    () => {
      isClosed = true;
      // Nobody else closes it: that is an early end.
      if (!isWritableEnded(of())) destroyer(of(), errors.prematureClose());
    },
    (error: unknown) => {
      isClosed = true;
      destroyer(of(), error);
    },
  );
  const settle = (callback: Callback) => (error?: unknown): void => {
    try {
      callback(error);
    } catch (thrown) {
      // A callback that throws fails its stream, and is told so outside of any promise.
      nextTick(() => destroyer(of(), thrown));
    }
  };
  const hooks: StreamOptions = {
    writev(chunks: Pending[], callback: Callback) {
      const done = settle(callback);
      writer.ready.then(
        () => Promise.all(chunks.map(({ chunk, encoding }) => writer.write(decode(chunk, encoding)))).then(() => done(), done),
        done,
      );
    },
    write(chunk: unknown, encoding: string, callback: Callback) {
      const done = settle(callback);
      writer.ready.then(() => writer.write(decode(chunk, encoding)).then(() => done(), done), done);
    },
    destroy(error: unknown, callback: Callback) {
      const done = (): void => nextTick(callback, error);
      if (isClosed) done();
      else if (error != null) writer.abort(error).then(done, done);
      else writer.close().then(done, done);
    },
    final(callback: Callback) {
      const done = settle(callback);
      if (!isClosed) writer.close().then(() => done(), done);
      else done();
    },
  };
  return { hooks, closed: () => isClosed };
}

export function writableFromWeb(given: unknown, options: StreamOptions = {}): WritableType {
  if (!isWritableStream(given)) throw invalidArgType("writableStream", ["WritableStream"], given);
  requireObject(options, "options");
  const { highWaterMark, decodeStrings = true, objectMode = false, signal } = options;
  requireBoolean(objectMode, "options.objectMode");
  requireBoolean(decodeStrings, "options.decodeStrings");
  const writer = (given as unknown as WebWritable).getWriter();
  const { hooks } = sinkOf(writer, () => writable, (chunk) => chunk);
  const writable: WritableType = new Writable({ ...(highWaterMark === undefined ? {} : { highWaterMark }), objectMode, decodeStrings, signal, ...hooks });
  return writable;
}

export function duplexFromWeb(given: unknown, options: StreamOptions = {}): DuplexType {
  const { readable, writable } = requireObject(given, "pair");
  if (!isReadableStream(readable)) throw invalidArgType("pair.readable", ["ReadableStream"], readable);
  if (!isWritableStream(writable)) throw invalidArgType("pair.writable", ["WritableStream"], writable);
  requireObject(options, "options");
  const { allowHalfOpen = false, objectMode = false, encoding, decodeStrings = true, highWaterMark, signal } = options;
  requireBoolean(objectMode, "options.objectMode");
  if (encoding !== undefined && !Buffer.isEncoding(encoding)) throw invalidArgValue("options.encoding", encoding);
  const writer = (writable as unknown as WebWritable).getWriter();
  const reader = (readable as unknown as WebReadable).getReader();
  let isReaderClosed = false;
  const sink = sinkOf(writer, () => duplex as unknown as WritableType, (chunk) => chunk);
  const duplex: DuplexType = new Duplex({
    allowHalfOpen,
    ...(highWaterMark === undefined ? {} : { highWaterMark }),
    objectMode,
    ...(encoding === undefined ? {} : { encoding }),
    decodeStrings,
    signal,
    ...sink.hooks,
    read() {
      reader.read().then(
        ({ value, done }) => duplex.push(done ? null : value),
        (error: unknown) => destroyer(duplex, error),
      );
    },
    destroy(error: unknown, callback: Callback) {
      const waits: Promise<unknown>[] = [];
      if (!sink.closed()) waits.push(writer.abort(error));
      if (!isReaderClosed) waits.push(reader.cancel(error));
      Promise.all(waits).then(
        () => nextTick(callback, error),
        (failed: unknown) => nextTick(callback, both(failed, error)),
      );
    },
  });
  reader.closed.then(
    () => (isReaderClosed = true),
    (error: unknown) => {
      isReaderClosed = true;
      destroyer(duplex, error);
    },
  );
  return duplex;
}

export function duplexToWeb(given: unknown): { readable: ReadableStream; writable: WritableStream } {
  const it = given as Maybe | undefined;
  if (typeof it?._writableState !== "object" || typeof it._readableState !== "object") throw invalidArgType("duplex", ["stream.Duplex"], given);
  const duplex = given as DuplexType;
  if (isDestroyed(duplex)) {
    const writable = new WritableStream({});
    const readable = new ReadableStream({});
    void writable.close();
    void readable.cancel(undefined);
    return { readable, writable };
  }
  const writable = isWritable(duplex) ? writableToWeb(duplex) : new WritableStream({});
  if (!isWritable(duplex)) void writable.close();
  const readable = isReadable(duplex) ? readableToWeb(duplex) : new ReadableStream({});
  if (!isReadable(duplex)) void readable.cancel(undefined);
  return { readable, writable };
}

// ---- What the other files ask for --------------------------------------------------------------

setWebAdapters((pair, options) => duplexFromWeb(pair, options), (stream) => readableFromWeb(stream), (stream) => writableFromWeb(stream));
setWebFailure((stream, error) => {
  if (isOurReadable(stream)) {
    const core = readableCore(stream);
    if (core.state === "readable") core.controller.error(error);
  } else if (isOurWritable(stream)) {
    writableCore(stream).controller.errorIfNeeded(error);
  }
});
setWebClosed((stream) => {
  if (isOurReadable(stream)) return settled(readableCore(stream));
  return isOurWritable(stream) ? settled(writableCore(stream)) : new Promise(() => {});
});

interface Core {
  readonly state: string;
  readonly storedError: unknown;
  settled: ((...failure: [reason?: unknown]) => void) | undefined;
}

/** Resolves once the stream is closed, rejects once it has failed. */
function settled(core: Core): Promise<void> {
  if (core.state === "closed") return Promise.resolve();
  if (core.state === "errored") return Promise.reject(core.storedError);
  return new Promise((resolve, reject) => {
    const before = core.settled;
    core.settled = (...failure) => {
      before?.(...failure);
      if (failure.length > 0) reject(failure[0]);
      else resolve();
    };
  });
}

Object.assign(Readable, { fromWeb: readableFromWeb, toWeb: readableToWeb });
Object.assign(Writable, { fromWeb: writableFromWeb, toWeb: writableToWeb });
Object.assign(Duplex, { fromWeb: duplexFromWeb, toWeb: duplexToWeb });
