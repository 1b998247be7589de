// Streams for the rest of the runtime: bodies, blobs, files, the wire.
//
// Bytes that come from Rust or from memory go in without a transfer or a copy, and whole streams are
// read without a promise per chunk. Nothing here runs user code, except where a user's own stream is
// read.
//
// Invariant: functions that read a stream lock it first and leave it disturbed, as a user's reader
// would.

import { bytesCopy, isBufferSource } from "../webidl.ts";
import { ByteControllerCore } from "./byte-core.ts";
import { readableFrom } from "./from.ts";
import { RESOLVED, deferred, react, rejectedWith, upon } from "./promises.ts";
import type { Deferred } from "./promises.ts";
import { DefaultReaderCore, ReadableCore } from "./readable-core.ts";
import type { ReadRequest, ReadableSource } from "./readable-core.ts";
import { readableCore, wrapReadable } from "./readable.ts";
import type { ReadableStream } from "./readable.ts";
import { tee as teeCore } from "./tee.ts";

// ---- Looking at streams ----------------------------------------------------------------------

export function isLocked(stream: ReadableStream): boolean {
  return readableCore(stream).locked;
}

/** Whether the stream was ever read or cancelled. */
export function isDisturbed(stream: ReadableStream): boolean {
  return readableCore(stream).disturbed;
}

export function isClosed(stream: ReadableStream): boolean {
  return readableCore(stream).state === "closed";
}

export function isErrored(stream: ReadableStream): boolean {
  return readableCore(stream).state === "errored";
}

/** How many bytes the stream will give in all, if its maker said so. */
export function expectedLength(stream: ReadableStream): number | undefined {
  return readableCore(stream).expectedLength;
}

export function setExpectedLength(stream: ReadableStream, bytes: number | undefined): void {
  readableCore(stream).expectedLength = bytes;
}

/** `stream.tee()` whatever the user's prototype says. */
export function tee(stream: ReadableStream, clones = false): [ReadableStream, ReadableStream] {
  const [first, second] = teeCore(readableCore(stream), clones);
  return [wrapReadable(first), wrapReadable(second)];
}

// ---- Making streams --------------------------------------------------------------------------

/** A byte stream of exactly these bytes, which nobody else may hold. */
export function readableFromBytes(bytes: Uint8Array): ReadableStream {
  const stream = readableFromPull(() => undefined, undefined, 0);
  const controller = stream.controller as ByteControllerCore;
  stream.expectedLength = bytes.byteLength;
  controller.enqueueOwned(bytes);
  controller.close();
  return wrapReadable(stream);
}

/** `ReadableStream.from`, whatever the user's constructor says. */
export function readableFromIterable(iterable: unknown): ReadableStream {
  return wrapReadable(readableFrom(iterable));
}

/**
 * A byte stream over a function that gives the next bytes, which nobody else may hold, or undefined
 * at the end, or a promise of either.
 */
export function readableFromPull(
  pull: () => Promise<Uint8Array | undefined> | Uint8Array | undefined,
  cancel: ((reason: unknown) => Promise<unknown> | undefined) | undefined,
  highWaterMark = 0,
): ReadableCore {
  const take = (bytes: Uint8Array | undefined): void => {
    if (bytes !== undefined && bytes.byteLength > 0) {
      controller.enqueueOwned(bytes);
    } else {
      controller.close();
      // A reader's own buffer waits for an answer even at the end.
      if (controller.pending.length > 0) controller.respond(0);
    }
  };
  const source: ReadableSource = {
    pull() {
      try {
        const next = pull();
        if (next instanceof Promise) return react(next, take, undefined);
        take(next);
        return undefined;
      } catch (error) {
        return rejectedWith(error);
      }
    },
    cancel,
  };
  const controller = new ByteControllerCore(new ReadableCore(), source, highWaterMark, undefined);
  controller.startNow();
  return controller.stream;
}

export interface PushedReadable {
  stream: ReadableStream;
  /** Takes bytes that nobody else holds. */
  push(bytes: Uint8Array): void;
  end(): void;
  fail(reason: unknown): void;
}

/** A byte stream whose owner pushes; `wanted` is called whenever more may be pushed. */
export function readableFromPush(
  wanted: () => void,
  canceled: (reason: unknown) => void,
  highWaterMark = 0,
): PushedReadable {
  const source: ReadableSource = {
    pull() {
      wanted();
      return undefined;
    },
    cancel(reason) {
      canceled(reason);
      return undefined;
    },
  };
  const controller = new ByteControllerCore(new ReadableCore(), source, highWaterMark, undefined);
  controller.startNow();
  return {
    stream: wrapReadable(controller.stream),
    push: (bytes) => controller.enqueueOwned(bytes),
    end() {
      if (controller.stream.state !== "readable" || controller.closeRequested) return;
      controller.close();
      if (controller.pending.length > 0) controller.respond(0);
    },
    fail: (reason) => controller.error(reason),
  };
}

// ---- Reading whole streams -------------------------------------------------------------------

/** The bytes of a chunk of a body, or a TypeError. Strings are refused, as in the fetch standard. */
export function chunkBytes(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  if (isBufferSource(chunk)) return bytesCopy(chunk);
  throw new TypeError("This ReadableStream did not return bytes.");
}

/** Bytes in an object without a prototype: a promise that is resolved with it asks nobody for a `then`, not
 * even an `Object.prototype` that a Worker has patched. */
export interface Boxed {
  bytes: Uint8Array;
}

class ReadAll implements ReadRequest {
  result: Deferred<Boxed> = deferred();
  #reader: DefaultReaderCore;
  #chunks: Uint8Array[] = [];
  #total = 0;
  #arrived = false;
  #limit: number;

  constructor(stream: ReadableCore, limit: number) {
    this.#reader = new DefaultReaderCore(stream);
    this.#limit = limit;
  }

  /** Reads until a chunk is not there at once; its arrival begins the loop again. */
  run(): void {
    do {
      this.#arrived = false;
      this.#reader.read(this);
    } while (this.#arrived);
    this.#sync = false;
  }
  #sync = true;

  chunk(value: unknown): void {
    try {
      const bytes = chunkBytes(value);
      this.#chunks.push(bytes);
      this.#total += bytes.byteLength;
      if (this.#total > this.#limit) throw new RangeError(`The stream has more than ${this.#limit} bytes`);
    } catch (error) {
      this.result.reject(error);
      upon(this.#reader.cancel(error), undefined, () => {});
      return;
    }
    if (this.#sync) {
      this.#arrived = true;
      return;
    }
    // Asking again from within the source's enqueue could starve it; a tick lies between.
    upon(
      RESOLVED,
      () => {
        this.#sync = true;
        this.run();
      },
      undefined,
    );
  }

  close(): void {
    this.result.resolve({ __proto__: null, bytes: joinBytes(this.#chunks, this.#total) } as Boxed);
  }

  error(reason: unknown): void {
    this.result.reject(reason);
  }
}

export function joinBytes(chunks: readonly Uint8Array[], total: number): Uint8Array {
  const [only] = chunks;
  if (only !== undefined && chunks.length === 1) return only;
  const bytes = new Uint8Array(total);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return bytes;
}

/**
 * All bytes of the stream, which stays locked. What comes back may be a chunk itself, shared with
 * whoever enqueued it into a default stream.
 */
export function readAllBytes(stream: ReadableStream, limit = Infinity): Promise<Uint8Array> {
  return react(readAllBoxed(stream, limit), (box) => box.bytes, undefined);
}

export function readAllBoxed(stream: ReadableStream, limit = Infinity): Promise<Boxed> {
  try {
    const reading = new ReadAll(readableCore(stream), limit);
    reading.run();
    return reading.result.promise;
  } catch (error) {
    return rejectedWith(error);
  }
}
