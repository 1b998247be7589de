// Workers' IdentityTransformStream and FixedLengthStream: bytes in, the same bytes out.
//
// Unlike a TransformStream nothing is queued between the two sides: a write ends when a reader has
// taken its bytes, and a reader's own buffer is filled straight from the writer's. Chunks may be
// buffers or strings (sent as UTF-8). A fixed-length one fails on the first byte too many, and on a
// close that comes too early; the reader then fails too.
//
// Invariant: at most one write waits (`#waiting`), and only while no reader does.

import { ops } from "../../ops.ts";
import { bytesCopy, defineInterface, dictionary, double, isBufferSource, optional, requireArguments } from "../webidl.ts";
import { ByteControllerCore } from "./byte-core.ts";
import { deferred, rejectedWith } from "./promises.ts";
import type { Deferred } from "./promises.ts";
import { ReadableCore } from "./readable-core.ts";
import { wrapReadable } from "./readable.ts";
import type { ReadableStream } from "./readable.ts";
import { WritableControllerCore, WritableCore } from "./writable-core.ts";
import { wrapWritable } from "./writable.ts";
import type { WritableStream } from "./writable.ts";

const EMPTY = new Uint8Array(0);

function writtenBytes(chunk: unknown): Uint8Array {
  if (typeof chunk === "string") return ops.textEncode(chunk);
  if (chunk === undefined) return EMPTY;
  // A copy, since the writer may change its buffer before the reader comes.
  if (isBufferSource(chunk)) return bytesCopy(chunk);
  throw new TypeError(
    "This TransformStream is being used as a byte stream, but received an object of " +
      "non-ArrayBuffer/ArrayBufferView type on its writable side.",
  );
}

/** What an identity pair shares; the runtime uses it without the classes. */
export class IdentityPair {
  readable = new ReadableCore();
  writable = new WritableCore();
  #reader: ByteControllerCore;
  #writer: WritableControllerCore;
  #waiting: { bytes: Uint8Array; done: Deferred<undefined> } | undefined;
  /** The pull of a reader that waits for a write. */
  #pulled: Deferred<undefined> | undefined;
  #left: number | undefined;

  constructor(length: number | undefined, highWaterMark: number | undefined) {
    this.#left = length;
    this.readable.expectedLength = length;
    this.readable.oneReadAtATime = true;
    this.#reader = new ByteControllerCore(
      this.readable,
      { pull: () => this.#pull(), cancel: (reason) => this.#cancel(reason) },
      0,
      undefined,
    );
    this.#writer = new WritableControllerCore(
      this.writable,
      {
        write: (chunk) => this.#write(chunk),
        close: () => this.#close(),
        abort: (reason) => this.#abort(reason),
        // A waiting write ends at once, not when a reader comes.
        aborting: (reason) => this.#abort(reason),
      },
      highWaterMark ?? 1,
      // A given mark counts bytes; without one, each write stands for itself.
      highWaterMark === undefined ? undefined : chunkSize,
    );
    this.#reader.startNow();
    this.#writer.startNow();
  }

  #write(chunk: unknown): Promise<unknown> | undefined {
    let bytes: Uint8Array;
    try {
      bytes = writtenBytes(chunk);
      if (this.#left !== undefined) {
        if (bytes.byteLength > this.#left) {
          throw new TypeError("Attempt to write too many bytes through a FixedLengthStream.");
        }
        this.#left -= bytes.byteLength;
      }
    } catch (error) {
      this.#reader.error(error);
      return rejectedWith(error);
    }
    if (bytes.byteLength === 0) return undefined;
    const done = deferred<undefined>();
    this.#waiting = { bytes, done };
    if (this.#pulled !== undefined) this.#serve();
    return done.promise;
  }

  #close(): Promise<unknown> | undefined {
    if (this.#left !== undefined && this.#left > 0) {
      const error = new TypeError("FixedLengthStream did not see all expected bytes before close().");
      this.#reader.error(error);
      return rejectedWith(error);
    }
    if (this.readable.state !== "readable") return undefined;
    try {
      this.#reader.close();
      if (this.#reader.pending.length > 0) this.#reader.respond(0);
    } catch (error) {
      return rejectedWith(error);
    }
    return undefined;
  }

  #abort(reason: unknown): undefined {
    this.#waiting?.done.reject(reason);
    this.#waiting = undefined;
    this.#reader.error(reason);
  }

  #pull(): Promise<unknown> | undefined {
    this.#pulled = deferred();
    const { promise } = this.#pulled;
    if (this.#waiting !== undefined) this.#serve();
    return promise;
  }

  #cancel(reason: unknown): undefined {
    const error = cancelError(reason);
    this.#waiting?.done.reject(error);
    this.#waiting = undefined;
    this.#writer.errorIfNeeded(error);
  }

  /** A write and a reader have met. */
  #serve(): void {
    const waiting = this.#waiting as { bytes: Uint8Array; done: Deferred<undefined> };
    const pulled = this.#pulled as Deferred<undefined>;
    this.#pulled = undefined;
    const taken = this.#reader.fillPending(waiting.bytes);
    if (taken === 0) {
      this.#reader.enqueueOwned(waiting.bytes);
    }
    if (taken === 0 || taken === waiting.bytes.byteLength) {
      this.#waiting = undefined;
      waiting.done.resolve(undefined);
    } else {
      waiting.bytes = waiting.bytes.subarray(taken);
    }
    pulled.resolve(undefined);
  }
}

/** What a writer sees when the reader cancelled. */
function cancelError(reason: unknown): unknown {
  if (reason === undefined) return new Error("Stream was cancelled.");
  return reason instanceof Error ? reason : new Error(String(reason));
}

function chunkSize(chunk: unknown): number {
  if (typeof chunk === "string") return chunk.length;
  return isBufferSource(chunk) ? chunk.byteLength : 0;
}

const strategy = dictionary("QueuingStrategy", { highWaterMark: optional(double) });

export class IdentityTransformStream {
  #pair: IdentityPair;

  constructor(queuingStrategy: unknown = undefined) {
    const { highWaterMark } = strategy(queuingStrategy, "IdentityTransformStream constructor: queuingStrategy");
    this.#pair = new IdentityPair(takeLength(), highWaterMark);
  }

  get readable(): ReadableStream {
    return wrapReadable(this.#pair.readable);
  }

  get writable(): WritableStream {
    return wrapWritable(this.#pair.writable);
  }
}
defineInterface(IdentityTransformStream);

/** Handed from the subclass's constructor to its parent's, which users see with one parameter. */
let lengthForNext: number | undefined;

function takeLength(): number | undefined {
  const length = lengthForNext;
  lengthForNext = undefined;
  return length;
}

export class FixedLengthStream extends IdentityTransformStream {
  constructor(expectedLength: unknown, queuingStrategy: unknown = undefined) {
    requireArguments(arguments.length, 1, "FixedLengthStream constructor");
    const length = Math.trunc(Number(expectedLength)) + 0;
    if (Number.isNaN(length)) throw new TypeError("The value cannot be converted because it is not an integer.");
    if (length < 0) {
      throw new TypeError("The value cannot be converted because it is negative and this API expects a positive bigint.");
    }
    if (length > Number.MAX_SAFE_INTEGER) {
      throw new TypeError("FixedLengthStream requires an integer expected length less than 2^53.");
    }
    const { highWaterMark } = strategy(queuingStrategy, "FixedLengthStream constructor: queuingStrategy");
    lengthForNext = length;
    super(highWaterMark === undefined ? undefined : { highWaterMark: Math.min(length, highWaterMark) });
  }
}
defineInterface(FixedLengthStream);
