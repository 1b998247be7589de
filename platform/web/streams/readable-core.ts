// The machinery of readable streams, without the classes users see.
//
// A `ReadableCore` is the standard's stream with its slots; `ReadableStream` (readable.ts) is a thin
// branded shell that is made only when user code gets to hold one. The runtime's own pumps, tees and
// pipes work on cores and on reader cores, so that no user patch and no promise per chunk comes in
// between.
//
// Byte streams have their own controller (byte-core.ts). Reading is by requests: objects with three
// methods, called exactly once between them.
//
// Invariant: a stream leaves "readable" once; requests wait only in a reader that holds the lock.

import { Ring, SizedQueue } from "./queue.ts";
import { LazyPromise, RESOLVED, deferred, react, rejectedWith, resolvedWith, toPromise, upon } from "./promises.ts";
import type { Deferred } from "./promises.ts";
import type { SizeAlgorithm } from "./strategies.ts";
import type { ByteControllerCore } from "./byte-core.ts";
import type { ReadableStream } from "./readable.ts";

export type ReadableState = "readable" | "closed" | "errored";

/** Who waits for a chunk. */
export interface ReadRequest {
  chunk(value: unknown): void;
  close(): void;
  error(reason: unknown): void;
}

/** Who waits for a buffer to be filled. */
export interface ReadIntoRequest {
  chunk(view: ArrayBufferView): void;
  close(view: ArrayBufferView | undefined): void;
  error(reason: unknown): void;
}

/**
 * Where chunks come from. Both steps may be missing, and may give undefined for "done at once".
 * They never throw: a failure is a rejected promise.
 */
export interface ReadableSource {
  pull?: (() => Promise<unknown> | undefined) | undefined;
  cancel?: ((reason: unknown) => Promise<unknown> | undefined) | undefined;
}

export type ReadableController = DefaultControllerCore | ByteControllerCore;

const undefinedResult = (): undefined => undefined;

// ---- The stream ------------------------------------------------------------------------------

export class ReadableCore {
  state: ReadableState = "readable";
  storedError: unknown = undefined;
  disturbed = false;
  reader: DefaultReaderCore | ByobReaderCore | undefined = undefined;
  /** Set right after construction, by the controller's own set-up. */
  controller: ReadableController = undefined as unknown as ReadableController;
  /** The object user code knows this stream by, if it has one yet. */
  wrapper: ReadableStream | undefined = undefined;
  /** How many bytes there will be in all, where the maker knows (FixedLengthStream, blobs, bodies). */
  expectedLength: number | undefined = undefined;
  /** Reads that wait fail when the stream is cancelled, as in Workers' own; in the standard they end. */
  cancelFailsReads = false;
  /** Workers' own pairs refuse a read while another waits. */
  oneReadAtATime = false;

  /** Told once when the stream closes or fails, whoever reads it: for node:stream. */
  settled: ((...failure: [reason?: unknown]) => void) | undefined = undefined;
  /** Told when somebody wants to hear of the end, who may not read. */
  whenAwaited: (() => void) | undefined = undefined;

  get locked(): boolean {
    return this.reader !== undefined;
  }

  close(): void {
    this.state = "closed";
    this.settled?.();
    const { reader } = this;
    if (reader === undefined) return;
    reader.closed.resolve();
    if (reader.kind === "default") {
      const { requests } = reader;
      reader.requests = new Ring();
      while (requests.length > 0) requests.shift().close();
    }
  }

  error(reason: unknown): void {
    this.state = "errored";
    this.storedError = reason;
    this.settled?.(reason);
    const { reader } = this;
    if (reader === undefined) return;
    reader.closed.reject(reason);
    reader.failRequests(reason);
  }

  cancel(reason: unknown): Promise<undefined> {
    this.disturbed = true;
    if (this.state === "closed") return resolvedWith(undefined);
    if (this.state === "errored") return rejectedWith(this.storedError);
    if (this.cancelFailsReads) this.reader?.failRequests(reason);
    this.close();
    const { reader } = this;
    if (reader !== undefined && reader.kind === "byob") {
      const { requests } = reader;
      reader.requests = new Ring();
      while (requests.length > 0) requests.shift().close(undefined);
    }
    const done = this.controller.cancelSteps(reason);
    return react(done ?? RESOLVED, undefinedResult, undefined);
  }

  /** How many reads wait at the reader, of whichever kind it is. */
  get waiting(): number {
    return this.reader === undefined ? 0 : this.reader.requests.length;
  }

  get hasDefaultReader(): boolean {
    return this.reader !== undefined && this.reader.kind === "default";
  }

  get hasByobReader(): boolean {
    return this.reader !== undefined && this.reader.kind === "byob";
  }
}

// ---- Readers ---------------------------------------------------------------------------------

abstract class ReaderCore<Request extends { error(reason: unknown): void }> {
  abstract readonly kind: "default" | "byob";
  stream: ReadableCore | undefined;
  closed = new LazyPromise();
  requests = new Ring<Request>();

  constructor(stream: ReadableCore) {
    this.stream = stream;
    if (stream.state === "closed") this.closed.resolve();
    else if (stream.state === "errored") this.closed.reject(stream.storedError);
  }

  failRequests(reason: unknown): void {
    const { requests } = this;
    this.requests = new Ring();
    while (requests.length > 0) requests.shift().error(reason);
  }

  cancel(reason: unknown): Promise<undefined> {
    return (this.stream as ReadableCore).cancel(reason);
  }

  release(): void {
    const { stream } = this;
    if (stream === undefined) return;
    this.closed.replaceRejected(new TypeError("This ReadableStream reader has been released."));
    stream.controller.releaseSteps();
    stream.reader = undefined;
    this.stream = undefined;
    if (this.requests.length > 0) this.failRequests(new TypeError("This ReadableStream reader has been released."));
  }
}

function lockedError(): TypeError {
  return new TypeError("This ReadableStream is currently locked to a reader.");
}

export class DefaultReaderCore extends ReaderCore<ReadRequest> {
  readonly kind = "default" as const;

  constructor(stream: ReadableCore) {
    if (stream.reader !== undefined) throw lockedError();
    super(stream);
    stream.reader = this;
  }

  read(request: ReadRequest): void {
    const stream = this.stream as ReadableCore;
    stream.disturbed = true;
    if (stream.state === "readable") stream.controller.pullSteps(request);
    else if (stream.state === "closed") request.close();
    else request.error(stream.storedError);
  }

  /** A chunk that is there already, of a default stream; the iterator's way past a promise. */
  takeQueued(): { value: unknown } | undefined {
    const { stream } = this;
    if (stream === undefined || stream.state !== "readable") return undefined;
    const { controller } = stream;
    if (controller.kind !== "default" || controller.queue.length === 0) return undefined;
    stream.disturbed = true;
    return { value: controller.takeChunk() };
  }

  /** `reader.read()`: as `read`, but a chunk that is there already costs one promise and no request. */
  readPromise(): Promise<ReadResult> {
    const { stream } = this;
    if (stream === undefined) return rejectedWith(new TypeError("This ReadableStream reader has been released."));
    stream.disturbed = true;
    if (stream.state === "readable") {
      const { controller } = stream;
      if (controller.kind === "default" && controller.queue.length > 0) {
        return toPromise({ value: controller.takeChunk(), done: false });
      }
      if (stream.oneReadAtATime && this.requests.length > 0) {
        return rejectedWith(
          new TypeError("This ReadableStream only supports a single pending read request at a time."),
        );
      }
      const request = new PromiseRequest();
      controller.pullSteps(request);
      return request.result.promise;
    }
    if (stream.state === "closed") return toPromise({ value: undefined, done: true });
    return rejectedWith(stream.storedError);
  }
}

export interface ReadResult {
  value: unknown;
  done: boolean;
}

/** The request behind a promise of `{ value, done }`; it serves both kinds of reader. */
export class PromiseRequest implements ReadRequest, ReadIntoRequest {
  result: Deferred<ReadResult> = deferred();

  chunk(value: unknown): void {
    this.result.resolve({ value, done: false });
  }

  close(view: ArrayBufferView | undefined = undefined): void {
    this.result.resolve({ value: view, done: true });
  }

  error(reason: unknown): void {
    this.result.reject(reason);
  }
}

export class ByobReaderCore extends ReaderCore<ReadIntoRequest> {
  readonly kind = "byob" as const;

  constructor(stream: ReadableCore) {
    if (stream.reader !== undefined) throw lockedError();
    if (stream.controller.kind !== "byte") {
      throw new TypeError("This ReadableStream does not support BYOB reads.");
    }
    super(stream);
    stream.reader = this;
  }

  read(view: ArrayBufferView, min: number, request: ReadIntoRequest): void {
    const stream = this.stream as ReadableCore;
    stream.disturbed = true;
    if (stream.state === "errored") request.error(stream.storedError);
    else (stream.controller as ByteControllerCore).pullInto(view, min, request);
  }
}

// ---- The default controller ------------------------------------------------------------------

export class DefaultControllerCore {
  readonly kind = "default" as const;
  stream: ReadableCore;
  queue = new SizedQueue();
  started = false;
  closeRequested = false;
  /** The object user code knows this controller by. */
  wrapper: object | undefined = undefined;
  #highWaterMark: number;
  #size: SizeAlgorithm;
  #source: ReadableSource | undefined;
  #pulling = false;
  #pullAgain = false;
  #pulled: () => void;
  #failed: (reason: unknown) => void;

  constructor(stream: ReadableCore, source: ReadableSource, highWaterMark: number, size: SizeAlgorithm) {
    this.stream = stream;
    this.#source = source;
    this.#highWaterMark = highWaterMark;
    this.#size = size;
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

  /** The standard's start: pulling begins one tick after `result` is there. */
  start(result: unknown): void {
    upon(resolvedWith(result), () => this.startNow(), this.#failed);
  }

  /** For sources of the runtime, which have nothing to wait for. */
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
    return this.#highWaterMark - this.queue.total;
  }

  get hasBackpressure(): boolean {
    return !this.#shouldPull();
  }

  get canCloseOrEnqueue(): boolean {
    return !this.closeRequested && this.stream.state === "readable";
  }

  close(): void {
    if (!this.canCloseOrEnqueue) return;
    this.closeRequested = true;
    if (this.queue.length === 0) {
      this.#source = undefined;
      this.#size = undefined;
      this.stream.close();
    }
  }

  enqueue(chunk: unknown): void {
    if (!this.canCloseOrEnqueue) return;
    const { stream } = this;
    if (stream.waiting > 0) {
      ((stream.reader as DefaultReaderCore).requests.shift()).chunk(chunk);
    } else {
      try {
        const size = this.#size;
        this.queue.enqueue(chunk, size === undefined ? 1 : size(chunk));
      } catch (error) {
        this.error(error);
        throw error;
      }
    }
    this.callPull();
  }

  error(reason: unknown): void {
    if (this.stream.state !== "readable") return;
    this.queue.reset();
    this.#source = undefined;
    this.#size = undefined;
    this.stream.error(reason);
  }

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
    if (!this.started || !this.canCloseOrEnqueue) return false;
    return this.stream.waiting > 0 || this.#highWaterMark - this.queue.total > 0;
  }

  /** The head of the queue, which is not empty, with all that follows from taking it. */
  takeChunk(): unknown {
    const chunk = this.queue.dequeue();
    if (this.closeRequested && this.queue.length === 0) {
      this.#source = undefined;
      this.#size = undefined;
      this.stream.close();
    } else {
      this.callPull();
    }
    return chunk;
  }

  pullSteps(request: ReadRequest): void {
    if (this.queue.length > 0) {
      request.chunk(this.takeChunk());
      return;
    }
    (this.stream.reader as DefaultReaderCore).requests.push(request);
    this.callPull();
  }

  cancelSteps(reason: unknown): Promise<unknown> | undefined {
    this.queue.reset();
    const source = this.#source;
    this.#source = undefined;
    this.#size = undefined;
    return source?.cancel?.(reason);
  }

  releaseSteps(): void {}
}

// ---- User sources ----------------------------------------------------------------------------

const { apply } = Reflect;

type Callback = (...args: unknown[]) => unknown;

/** Calls a user's function that gives a promise; undefined when it gave undefined. */
export function callForPromise(
  callback: Callback,
  receiver: unknown,
  args: readonly unknown[],
): Promise<unknown> | undefined {
  try {
    const result = apply(callback, receiver, args);
    return result === undefined ? undefined : toPromise(result);
  } catch (error) {
    return rejectedWith(error);
  }
}

/** A default-type stream over a source of the runtime, started as the standard's "create" does. */
export function createReadable(
  source: ReadableSource,
  highWaterMark = 1,
  size: SizeAlgorithm = undefined,
): DefaultControllerCore {
  const controller = new DefaultControllerCore(new ReadableCore(), source, highWaterMark, size);
  controller.start(undefined);
  return controller;
}
