// The controller of byte streams: a queue of buffers, and the buffers of readers waiting to be filled.
//
// Follows the standard's ReadableByteStreamController operation by operation; names are kept where
// they help a reader who has the text open. Buffers of users are always transferred, never shared;
// `enqueueOwned` is the runtime's way in for bytes that nobody else can see.
//
// Invariant: bytes in `queue` and in the first pull-into descriptor never overlap in a live buffer,
// and `total` is the sum of the queue's lengths.

import { Ring } from "./queue.ts";
import { RESOLVED, resolvedWith, upon } from "./promises.ts";
import { ReadableCore } from "./readable-core.ts";
import type { ByobReaderCore, DefaultReaderCore, ReadIntoRequest, ReadRequest, ReadableSource } from "./readable-core.ts";
import { typedArrayName, viewBuffer, viewByteLength, viewByteOffset } from "../webidl.ts";

export type ViewConstructor = new (buffer: ArrayBuffer, offset: number, length: number) => ArrayBufferView;

const typedArrays = new Map<string, { constructor: ViewConstructor; elementSize: number }>();
for (const constructor of [
  Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array,
  Float32Array, Float64Array, BigInt64Array, BigUint64Array,
]) {
  typedArrays.set(constructor.name, { constructor, elementSize: constructor.BYTES_PER_ELEMENT });
}
const { Float16Array } = globalThis as { Float16Array?: ViewConstructor };
if (Float16Array !== undefined) typedArrays.set("Float16Array", { constructor: Float16Array, elementSize: 2 });
const dataView = { constructor: DataView as ViewConstructor, elementSize: 1 };

/** The kind of a view: its intrinsic constructor, whatever its `constructor` property says. */
export function viewKind(view: ArrayBufferView): { constructor: ViewConstructor; elementSize: number } {
  const name = typedArrayName(view);
  return (name === undefined ? undefined : typedArrays.get(name)) ?? dataView;
}

const { apply } = Reflect;
const bufferTransfer = ArrayBuffer.prototype.transfer;
const bufferSlice = ArrayBuffer.prototype.slice;
const setBytes = Uint8Array.prototype.set;
const bufferDetached = Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, "detached")?.get as () => boolean;
const { min } = Math;

export function transferBuffer(buffer: ArrayBuffer): ArrayBuffer {
  return apply(bufferTransfer, buffer, []);
}

export function isDetached(buffer: ArrayBufferLike): boolean {
  // Only ArrayBuffers can be detached; shared memory never gets this far.
  return apply(bufferDetached, buffer, []);
}

function copyBytes(
  target: ArrayBuffer, targetOffset: number, source: ArrayBuffer, sourceOffset: number, count: number,
): void {
  apply(setBytes, new Uint8Array(target, targetOffset, count), [new Uint8Array(source, sourceOffset, count)]);
}

interface QueuedBytes {
  buffer: ArrayBuffer;
  offset: number;
  length: number;
}

/** "Pull-into descriptor": a buffer some reader wants filled. */
interface PullInto {
  buffer: ArrayBuffer;
  bufferLength: number;
  offset: number;
  length: number;
  filled: number;
  minimumFill: number;
  elementSize: number;
  constructor: ViewConstructor;
  readerType: "default" | "byob" | "none";
}

/** A byob request as its controller sees it; the class users see is in byob.ts. */
export interface ByobRequestCore {
  controller: ByteControllerCore | undefined;
  view: Uint8Array | null;
  wrapper: object | undefined;
}

/** What Workers allocate for a read of a byte stream whose maker named no size. */
export const WORKERS_AUTO_ALLOCATE = 4096;

export class ByteControllerCore {
  readonly kind = "byte" as const;
  /** A read without a buffer takes all that is queued, up to what would have been allocated for it. */
  joinsQueued = false;
  stream: ReadableCore;
  queue = new Ring<QueuedBytes>();
  total = 0;
  started = false;
  closeRequested = false;
  wrapper: object | undefined = undefined;
  pending: PullInto[] = [];

  /** How many bytes the first waiting read still needs. */
  get atLeast(): number | null {
    const first = this.pending[0];
    return first === undefined ? null : Math.max(first.minimumFill - first.filled, 1);
  }

  #byobRequest: ByobRequestCore | undefined;
  #highWaterMark: number;
  #autoAllocate: number | undefined;
  #source: ReadableSource | undefined;
  #pulling = false;
  #pullAgain = false;
  #pulled: () => void;
  #failed: (reason: unknown) => void;

  constructor(stream: ReadableCore, source: ReadableSource, highWaterMark: number, autoAllocate: number | undefined) {
    this.stream = stream;
    this.#source = source;
    this.#highWaterMark = highWaterMark;
    this.#autoAllocate = autoAllocate;
    stream.controller = this;
    this.#pulled = () => {
      this.#pulling = false;
      if (this.#pullAgain) {
        this.#pullAgain = false;
        this.callPull();
      }
    };
    this.#failed = (reason) => this.error(reason);
  }

  start(result: unknown): void {
    upon(resolvedWith(result), () => this.startNow(), this.#failed);
  }

  startNow(): void {
    this.started = true;
    this.callPull();
  }

  get source(): ReadableSource | undefined {
    return this.#source;
  }

  get desiredSize(): number | null {
    const { state } = this.stream;
    if (state === "errored") return null;
    if (state === "closed") return 0;
    return this.#highWaterMark - this.total;
  }

  // ---- What the source does --------------------------------------------------------------------

  close(): void {
    if (this.closeRequested || this.stream.state !== "readable") return;
    if (this.total > 0) {
      this.closeRequested = true;
      return;
    }
    const first = this.pending[0];
    if (first !== undefined && first.filled % first.elementSize !== 0) {
      const error = new TypeError("The stream closed in the middle of an element of the reader's view");
      this.error(error);
      throw error;
    }
    this.#source = undefined;
    this.stream.close();
  }

  enqueue(view: ArrayBufferView): void {
    if (this.closeRequested || this.stream.state !== "readable") return;
    const buffer = viewBuffer(view) as ArrayBuffer;
    const offset = viewByteOffset(view);
    const length = viewByteLength(view);
    if (isDetached(buffer)) throw new TypeError("The buffer of the chunk has been detached");
    this.#enqueueBuffer(transferBuffer(buffer), offset, length);
  }

  /** Enqueues bytes that nobody else holds: their buffer is used as it is. */
  enqueueOwned(bytes: Uint8Array): void {
    if (this.closeRequested || this.stream.state !== "readable" || bytes.byteLength === 0) return;
    this.#enqueueBuffer(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
  }

  #enqueueBuffer(buffer: ArrayBuffer, offset: number, length: number): void {
    const { stream } = this;
    const first = this.pending[0];
    if (first !== undefined) {
      if (isDetached(first.buffer)) {
        throw new TypeError("The buffer of the BYOB request has been detached and so cannot be filled");
      }
      this.invalidateByobRequest();
      first.buffer = transferBuffer(first.buffer);
      if (first.readerType === "none") this.#requeueDetached(first);
    }
    if (stream.hasDefaultReader) {
      this.#serveReadRequests();
      const { requests } = stream.reader as DefaultReaderCore;
      if (requests.length === 0) {
        this.#push(buffer, offset, length);
      } else {
        if (this.pending.length > 0) this.pending.shift();
        requests.shift().chunk(new Uint8Array(buffer, offset, length));
      }
    } else {
      this.#push(buffer, offset, length);
      if (stream.hasByobReader) this.#commitAll(this.#fillFromQueue());
    }
    this.callPull();
  }

  error(reason: unknown): void {
    if (this.stream.state !== "readable") return;
    this.#clearPending();
    this.#resetQueue();
    this.#source = undefined;
    this.stream.error(reason);
  }

  get byobRequest(): ByobRequestCore | undefined {
    const first = this.pending[0];
    if (this.#byobRequest === undefined && first !== undefined) {
      const view = new Uint8Array(first.buffer, first.offset + first.filled, first.length - first.filled);
      this.#byobRequest = { controller: this, view, wrapper: undefined };
    }
    return this.#byobRequest;
  }

  /**
   * For sources of the runtime: copies `bytes` into the waiting reader's buffer, if one waits, and
   * says how many fitted; 0 when none waits.
   */
  fillPending(bytes: Uint8Array): number {
    const first = this.pending[0];
    if (first === undefined || first.readerType === "none") return 0;
    const count = min(first.length - first.filled, bytes.byteLength);
    copyBytes(first.buffer, first.offset + first.filled, bytes.buffer as ArrayBuffer, bytes.byteOffset, count);
    this.respond(count);
    return count;
  }

  respond(bytesWritten: number): void {
    const first = this.pending[0] as PullInto;
    if (this.stream.state === "closed") {
      if (bytesWritten !== 0) throw new TypeError("The bytesWritten must be zero after the stream is closed.");
    } else {
      if (bytesWritten === 0) throw new TypeError("The bytesWritten must be more than zero while the stream is open.");
      if (first.filled + bytesWritten > first.length) {
        throw new RangeError(`Too many bytes [${bytesWritten}] in response to a BYOB read request.`);
      }
    }
    first.buffer = transferBuffer(first.buffer);
    this.#respondInternal(bytesWritten);
  }

  respondWithNewView(view: ArrayBufferView): void {
    const first = this.pending[0] as PullInto;
    const length = viewByteLength(view);
    const buffer = viewBuffer(view) as ArrayBuffer;
    if (this.stream.state === "closed") {
      if (length !== 0) throw new TypeError("The view byte length must be zero after the stream is closed.");
    } else if (length === 0) {
      throw new TypeError("The view byte length must be more than zero while the stream is open.");
    }
    if (first.offset + first.filled !== viewByteOffset(view)) {
      throw new RangeError("The given view has an invalid byte offset.");
    }
    if (first.bufferLength !== buffer.byteLength) {
      throw new RangeError("The underlying ArrayBuffer is not the correct length.");
    }
    if (first.filled + length > first.length) throw new RangeError("The view is not the correct length.");
    first.buffer = transferBuffer(buffer);
    this.#respondInternal(length);
  }

  #respondInternal(bytesWritten: number): void {
    const first = this.pending[0] as PullInto;
    this.invalidateByobRequest();
    if (this.stream.state === "closed") this.#respondClosed(first);
    else this.#respondReadable(bytesWritten, first);
    this.callPull();
  }

  #respondClosed(first: PullInto): void {
    if (first.readerType === "none") this.pending.shift();
    const { stream } = this;
    if (!stream.hasByobReader) return;
    const filled: PullInto[] = [];
    while (filled.length < stream.waiting) filled.push(this.pending.shift() as PullInto);
    this.#commitAll(filled);
  }

  #respondReadable(bytesWritten: number, first: PullInto): void {
    first.filled += bytesWritten;
    if (first.readerType === "none") {
      this.#requeueDetached(first);
      this.#commitAll(this.#fillFromQueue());
      return;
    }
    if (first.filled < first.minimumFill) return;
    this.pending.shift();
    const rest = first.filled % first.elementSize;
    if (rest > 0) {
      this.#pushClone(first.buffer, first.offset + first.filled - rest, rest);
      first.filled -= rest;
    }
    const filled = this.#fillFromQueue();
    this.#commit(first);
    this.#commitAll(filled);
  }

  // ---- What readers do -------------------------------------------------------------------------

  pullSteps(request: ReadRequest): void {
    if (this.total > 0) {
      this.#serveReadRequest(request);
      return;
    }
    if (this.#autoAllocate !== undefined) {
      let buffer: ArrayBuffer;
      try {
        buffer = new ArrayBuffer(this.#autoAllocate);
      } catch (error) {
        request.error(error);
        return;
      }
      this.pending.push({
        buffer,
        bufferLength: this.#autoAllocate,
        offset: 0,
        length: this.#autoAllocate,
        filled: 0,
        minimumFill: 1,
        elementSize: 1,
        constructor: Uint8Array,
        readerType: "default",
      });
    }
    (this.stream.reader as DefaultReaderCore).requests.push(request);
    this.callPull();
  }

  pullInto(view: ArrayBufferView, minimum: number, request: ReadIntoRequest): void {
    const { constructor, elementSize } = viewKind(view);
    const offset = viewByteOffset(view);
    const length = viewByteLength(view);
    let buffer: ArrayBuffer;
    try {
      buffer = transferBuffer(viewBuffer(view) as ArrayBuffer);
    } catch (error) {
      request.error(error);
      return;
    }
    const descriptor: PullInto = {
      buffer,
      bufferLength: buffer.byteLength,
      offset,
      length,
      filled: 0,
      minimumFill: minimum * elementSize,
      elementSize,
      constructor,
      readerType: "byob",
    };
    const { requests } = this.stream.reader as ByobReaderCore;
    if (this.pending.length > 0) {
      this.pending.push(descriptor);
      requests.push(request);
      return;
    }
    if (this.stream.state === "closed") {
      request.close(new constructor(buffer, offset, 0));
      return;
    }
    if (this.total > 0) {
      if (this.#fill(descriptor)) {
        const view = convert(descriptor);
        this.#drained();
        request.chunk(view);
        return;
      }
      if (this.closeRequested) {
        const error = new TypeError("The stream closed in the middle of an element of the reader's view");
        this.error(error);
        request.error(error);
        return;
      }
    }
    this.pending.push(descriptor);
    requests.push(request);
    this.callPull();
  }

  cancelSteps(reason: unknown): Promise<unknown> | undefined {
    this.#clearPending();
    this.#resetQueue();
    const source = this.#source;
    this.#source = undefined;
    return source?.cancel?.(reason);
  }

  releaseSteps(): void {
    const first = this.pending[0];
    if (first === undefined) return;
    first.readerType = "none";
    this.pending = [first];
  }

  // ---- The parts -------------------------------------------------------------------------------

  callPull(): void {
    const pull = this.#source?.pull;
    if (pull === undefined || !this.#shouldPull()) return;
    if (this.#pulling) {
      this.#pullAgain = true;
      return;
    }
    this.#pulling = true;
    upon(pull.call(this.#source) ?? RESOLVED, this.#pulled, this.#failed);
  }

  #shouldPull(): boolean {
    if (this.stream.state !== "readable" || this.closeRequested || !this.started) return false;
    return this.stream.waiting > 0 || this.#highWaterMark - this.total > 0;
  }

  invalidateByobRequest(): void {
    const request = this.#byobRequest;
    if (request === undefined) return;
    request.controller = undefined;
    request.view = null;
    this.#byobRequest = undefined;
  }

  #clearPending(): void {
    this.invalidateByobRequest();
    this.pending = [];
  }

  #resetQueue(): void {
    this.queue.clear();
    this.total = 0;
  }

  #push(buffer: ArrayBuffer, offset: number, length: number): void {
    this.queue.push({ buffer, offset, length });
    this.total += length;
  }

  #pushClone(buffer: ArrayBuffer, offset: number, length: number): void {
    let clone: ArrayBuffer;
    try {
      clone = apply(bufferSlice, buffer, [offset, offset + length]) as ArrayBuffer;
    } catch (error) {
      this.error(error);
      throw error;
    }
    this.#push(clone, 0, length);
  }

  #requeueDetached(first: PullInto): void {
    if (first.filled > 0) this.#pushClone(first.buffer, first.offset, first.filled);
    this.pending.shift();
  }

  #drained(): void {
    if (this.total === 0 && this.closeRequested) {
      this.#source = undefined;
      this.stream.close();
    } else {
      this.callPull();
    }
  }

  #serveReadRequests(): void {
    const { requests } = this.stream.reader as DefaultReaderCore;
    while (requests.length > 0 && this.total > 0) this.#serveReadRequest(requests.shift());
  }

  #serveReadRequest(request: ReadRequest): void {
    const first = this.queue.shift();
    let chunk = new Uint8Array(first.buffer, first.offset, first.length);
    if (this.joinsQueued && first.length < WORKERS_AUTO_ALLOCATE) chunk = this.#joined(chunk);
    this.total -= chunk.byteLength;
    this.#drained();
    request.chunk(chunk);
  }

  /** `first` and what else is queued, as far as it fits into the buffer that Workers would have allocated. */
  #joined(first: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const parts = [first];
    let length = first.byteLength;
    while (this.queue.length > 0 && length + this.queue.peek().length <= WORKERS_AUTO_ALLOCATE) {
      const { buffer, offset, length: more } = this.queue.shift();
      parts.push(new Uint8Array(buffer, offset, more));
      length += more;
    }
    if (parts.length === 1) return first;
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.byteLength;
    }
    return bytes;
  }

  /** Moves queued bytes into `descriptor`; true when it has at least its minimum. */
  #fill(descriptor: PullInto): boolean {
    const possible = descriptor.filled + min(this.total, descriptor.length - descriptor.filled);
    const aligned = possible - (possible % descriptor.elementSize);
    const ready = aligned >= descriptor.minimumFill;
    let remaining = (ready ? aligned : possible) - descriptor.filled;
    while (remaining > 0) {
      const head = this.queue.peek();
      const count = min(remaining, head.length);
      copyBytes(descriptor.buffer, descriptor.offset + descriptor.filled, head.buffer, head.offset, count);
      if (head.length === count) {
        this.queue.shift();
      } else {
        head.offset += count;
        head.length -= count;
      }
      this.total -= count;
      descriptor.filled += count;
      remaining -= count;
    }
    return ready;
  }

  #fillFromQueue(): PullInto[] {
    const filled: PullInto[] = [];
    while (this.pending.length > 0 && this.total > 0) {
      const first = this.pending[0] as PullInto;
      if (this.#fill(first)) {
        this.pending.shift();
        filled.push(first);
      }
    }
    return filled;
  }

  #commitAll(descriptors: readonly PullInto[]): void {
    for (let i = 0; i < descriptors.length; i++) this.#commit(descriptors[i] as PullInto);
  }

  #commit(descriptor: PullInto): void {
    const { stream } = this;
    const done = stream.state === "closed";
    const view = convert(descriptor);
    if (descriptor.readerType === "default") {
      const request = (stream.reader as DefaultReaderCore).requests.shift();
      if (done) request.close();
      else request.chunk(view);
    } else {
      const request = (stream.reader as ByobReaderCore).requests.shift();
      if (done) request.close(view);
      else request.chunk(view);
    }
  }
}

function convert(descriptor: PullInto): ArrayBufferView {
  const { constructor, offset, filled, elementSize } = descriptor;
  return new constructor(transferBuffer(descriptor.buffer), offset, filled / elementSize);
}
