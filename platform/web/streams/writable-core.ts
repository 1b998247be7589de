// The machinery of writable streams, without the classes users see.
//
// Follows the standard's operations; a `WritableCore` is the stream with its slots, a `WriterCore`
// the writer. Pipes write through `writeQuietly`, which makes no promise per chunk and asks for one
// only when it must wait for the last write (`lastWrite`).
//
// Invariant: at most one sink operation is under way; `writes` holds one entry per queued chunk, the
// one under way not among them.

import { AbortController } from "../abort.ts";
import { LazyPromise, RESOLVED, deferred, noop, rejectedWith, resolvedWith, upon } from "./promises.ts";
import type { Deferred } from "./promises.ts";
import { Ring, SizedQueue } from "./queue.ts";
import type { SizeAlgorithm } from "./strategies.ts";
import type { WritableStream } from "./writable.ts";

export type WritableState = "writable" | "closed" | "erroring" | "errored";

/** Where chunks go. Steps may be missing or give undefined for "done at once"; they never throw. */
export interface WritableSink {
  write?: ((chunk: unknown) => Promise<unknown> | undefined) | undefined;
  close?: (() => Promise<unknown> | undefined) | undefined;
  abort?: ((reason: unknown) => Promise<unknown> | undefined) | undefined;
  /** Told of an abort at once, before the write under way has ended: what `signal` is to users. */
  aborting?: ((reason: unknown) => void) | undefined;
}

interface PendingAbort {
  done: Deferred<undefined>;
  reason: unknown;
  wasErroring: boolean;
}

/** A write whose end nobody has asked for yet has no promise. */
type Write = Deferred<undefined> | undefined;

const CLOSE: unique symbol = Symbol("close");

export class WritableCore {
  state: WritableState = "writable";
  storedError: unknown = undefined;
  writer: WriterCore | undefined = undefined;
  controller: WritableControllerCore = undefined as unknown as WritableControllerCore;
  wrapper: WritableStream | undefined = undefined;
  /** Told once when the stream closes or fails, whoever writes to it: for node:stream. */
  settled: ((...failure: [reason?: unknown]) => void) | undefined = undefined;
  backpressure = false;
  writes = new Ring<Write>();
  #writing = false;
  #inFlightWrite: Write;
  #closeRequest: Deferred<undefined> | undefined;
  #inFlightClose: Deferred<undefined> | undefined;
  #pendingAbort: PendingAbort | undefined;

  get locked(): boolean {
    return this.writer !== undefined;
  }

  get closeQueuedOrInFlight(): boolean {
    return this.#closeRequest !== undefined || this.#inFlightClose !== undefined;
  }

  /** Whether a sink operation is under way. */
  get busy(): boolean {
    return this.#writing || this.#inFlightClose !== undefined;
  }

  abort(reason: unknown): Promise<undefined> {
    if (this.state === "closed" || this.state === "errored") return resolvedWith(undefined);
    this.controller.signalAbort(reason);
    // The signal's listeners may have ended the stream.
    const { state } = this as { state: WritableState };
    if (state === "closed" || state === "errored") return resolvedWith(undefined);
    if (this.#pendingAbort !== undefined) return this.#pendingAbort.done.promise;
    const wasErroring = state === "erroring";
    const pending = { done: deferred<undefined>(), reason: wasErroring ? undefined : reason, wasErroring };
    this.#pendingAbort = pending;
    if (!wasErroring) this.startErroring(reason);
    return pending.done.promise;
  }

  close(): Promise<undefined> {
    const { state } = this;
    if (state === "closed" || state === "errored") {
      return rejectedWith(new TypeError(`The stream is ${state} and so cannot be closed`));
    }
    const request = deferred<undefined>();
    this.#closeRequest = request;
    if (this.writer !== undefined && this.backpressure && state === "writable") this.writer.ready.resolve();
    this.controller.close();
    return request.promise;
  }

  /** Adds the entry of a chunk about to be queued. */
  addWrite(write: Write): void {
    this.writes.push(write);
  }

  /** A promise of the end of the last write, or undefined when none is queued or under way. */
  lastWrite(): Promise<undefined> | undefined {
    const { writes } = this;
    if (writes.length > 0) {
      let last = writes.last();
      if (last === undefined) {
        last = deferred();
        upon(last.promise, undefined, noop);
        writes.replaceLast(last);
      }
      return last.promise;
    }
    if (!this.#writing) return undefined;
    if (this.#inFlightWrite === undefined) {
      this.#inFlightWrite = deferred();
      upon(this.#inFlightWrite.promise, undefined, noop);
    }
    return this.#inFlightWrite.promise;
  }

  dealWithRejection(reason: unknown): void {
    if (this.state === "writable") this.startErroring(reason);
    else this.#finishErroring();
  }

  startErroring(reason: unknown): void {
    this.state = "erroring";
    this.storedError = reason;
    this.writer?.ready.replaceRejected(reason);
    if (!this.busy && this.controller.started) this.#finishErroring();
  }

  /** Called when the controller has started while the stream was erroring. */
  finishErroringIfIdle(): void {
    if (!this.busy) this.#finishErroring();
  }

  #finishErroring(): void {
    this.state = "errored";
    this.settled?.(this.storedError);
    this.controller.errorSteps();
    const { writes } = this;
    this.writes = new Ring();
    while (writes.length > 0) writes.shift()?.reject(this.storedError);
    const pending = this.#pendingAbort;
    this.#pendingAbort = undefined;
    if (pending === undefined) {
      this.#rejectClose();
      return;
    }
    if (pending.wasErroring) {
      pending.done.reject(this.storedError);
      this.#rejectClose();
      return;
    }
    upon(
      this.controller.abortSteps(pending.reason) ?? RESOLVED,
      () => {
        pending.done.resolve(undefined);
        this.#rejectClose();
      },
      (reason) => {
        pending.done.reject(reason);
        this.#rejectClose();
      },
    );
  }

  #rejectClose(): void {
    this.#closeRequest?.reject(this.storedError);
    this.#closeRequest = undefined;
    this.writer?.closed.reject(this.storedError);
  }

  beginWrite(): void {
    this.#writing = true;
    this.#inFlightWrite = this.writes.shift();
  }

  finishWrite(): void {
    const write = this.#inFlightWrite;
    this.#writing = false;
    this.#inFlightWrite = undefined;
    write?.resolve(undefined);
  }

  failWrite(reason: unknown): void {
    const write = this.#inFlightWrite;
    this.#writing = false;
    this.#inFlightWrite = undefined;
    write?.reject(reason);
    this.dealWithRejection(reason);
  }

  beginClose(): void {
    this.#inFlightClose = this.#closeRequest;
    this.#closeRequest = undefined;
  }

  finishClose(): void {
    this.#inFlightClose?.resolve(undefined);
    this.#inFlightClose = undefined;
    if (this.state === "erroring") {
      this.storedError = undefined;
      this.#pendingAbort?.done.resolve(undefined);
      this.#pendingAbort = undefined;
    }
    this.state = "closed";
    this.settled?.();
    this.writer?.closed.resolve();
  }

  failClose(reason: unknown): void {
    this.#inFlightClose?.reject(reason);
    this.#inFlightClose = undefined;
    this.#pendingAbort?.done.reject(reason);
    this.#pendingAbort = undefined;
    this.dealWithRejection(reason);
  }

  updateBackpressure(backpressure: boolean): void {
    const { writer } = this;
    if (writer !== undefined && backpressure !== this.backpressure) {
      if (backpressure) writer.ready.reset();
      else writer.ready.resolve();
      if (!backpressure) writer.onReady?.();
    }
    this.backpressure = backpressure;
  }
}

// ---- The writer ------------------------------------------------------------------------------

function releasedError(): TypeError {
  return new TypeError("This WritableStream writer has been released.");
}

export class WriterCore {
  stream: WritableCore | undefined;
  ready = new LazyPromise();
  closed = new LazyPromise();
  /** A pipe's wish to hear of the end of backpressure without a promise. */
  onReady: (() => void) | undefined = undefined;

  constructor(stream: WritableCore) {
    if (stream.locked) throw new TypeError("This WritableStream is currently locked to a writer.");
    this.stream = stream;
    stream.writer = this;
    switch (stream.state) {
      case "writable":
        if (stream.closeQueuedOrInFlight || !stream.backpressure) this.ready.resolve();
        break;
      case "erroring":
        this.ready.reject(stream.storedError);
        break;
      case "closed":
        this.ready.resolve();
        this.closed.resolve();
        break;
      default:
        this.ready.reject(stream.storedError);
        this.closed.reject(stream.storedError);
    }
  }

  get desiredSize(): number | null {
    const stream = this.stream as WritableCore;
    if (stream.state === "errored" || stream.state === "erroring") return null;
    if (stream.state === "closed") return 0;
    return stream.controller.desiredSize;
  }

  write(chunk: unknown): Promise<undefined> {
    const { stream } = this;
    if (stream === undefined) return rejectedWith(releasedError());
    const { controller } = stream;
    const size = controller.sizeOf(chunk);
    if (stream !== this.stream) return rejectedWith(releasedError());
    if (stream.state === "errored") return rejectedWith(stream.storedError);
    if (stream.closeQueuedOrInFlight || stream.state === "closed") {
      return rejectedWith(new TypeError("This WritableStream has been closed."));
    }
    if (stream.state === "erroring") return rejectedWith(stream.storedError);
    const write = deferred<undefined>();
    stream.addWrite(write);
    controller.write(chunk, size);
    return write.promise;
  }

  /** A pipe's write: the stream is writable and nobody waits for this chunk alone. */
  writeQuietly(chunk: unknown): void {
    const stream = this.stream as WritableCore;
    const size = stream.controller.sizeOf(chunk);
    if (stream !== this.stream || stream.closeQueuedOrInFlight || stream.state !== "writable") return;
    stream.addWrite(undefined);
    stream.controller.write(chunk, size);
  }

  close(): Promise<undefined> {
    return (this.stream as WritableCore).close();
  }

  closeWithErrorPropagation(): Promise<undefined> {
    const stream = this.stream as WritableCore;
    if (stream.closeQueuedOrInFlight || stream.state === "closed") return RESOLVED;
    if (stream.state === "errored") return rejectedWith(stream.storedError);
    return stream.close();
  }

  abort(reason: unknown): Promise<undefined> {
    return (this.stream as WritableCore).abort(reason);
  }

  release(): void {
    const { stream } = this;
    if (stream === undefined) return;
    const error = releasedError();
    this.ready.replaceRejected(error);
    this.closed.replaceRejected(error);
    stream.writer = undefined;
    this.stream = undefined;
  }
}

// ---- The controller --------------------------------------------------------------------------

export class WritableControllerCore {
  stream: WritableCore;
  started = false;
  wrapper: object | undefined = undefined;
  #queue = new SizedQueue();
  #highWaterMark: number;
  #size: SizeAlgorithm;
  #sizeGone = false;
  #sink: WritableSink | undefined;
  #abortController: AbortController | undefined;
  #aborted: { reason: unknown } | undefined;
  #written: () => void;
  #failed: (reason: unknown) => void;

  constructor(stream: WritableCore, sink: WritableSink, highWaterMark: number, size: SizeAlgorithm) {
    this.stream = stream;
    this.#sink = sink;
    this.#highWaterMark = highWaterMark;
    this.#size = size;
    stream.controller = this;
    stream.updateBackpressure(this.#hasBackpressure);
    this.#written = () => this.#finishWrite();
    this.#failed = (reason) => {
      if (stream.state === "writable") this.#clear();
      stream.failWrite(reason);
    };
  }

  start(result: unknown): void {
    upon(
      resolvedWith(result),
      () => this.startNow(),
      (reason) => {
        this.started = true;
        this.stream.dealWithRejection(reason);
      },
    );
  }

  startNow(): void {
    this.started = true;
    this.#advance();
  }

  get sink(): WritableSink | undefined {
    return this.#sink;
  }

  /** Made when first asked for: few sinks look at it. */
  get abortController(): AbortController {
    if (this.#abortController === undefined) {
      this.#abortController = new AbortController();
      if (this.#aborted !== undefined) this.#abortController.abort(this.#aborted.reason);
    }
    return this.#abortController;
  }

  signalAbort(reason: unknown): void {
    if (this.#aborted !== undefined) return;
    this.#aborted = { reason };
    this.#abortController?.abort(reason);
    this.#sink?.aborting?.(reason);
  }

  get desiredSize(): number {
    return this.#highWaterMark - this.#queue.total;
  }

  get #hasBackpressure(): boolean {
    return this.desiredSize <= 0;
  }

  sizeOf(chunk: unknown): number {
    // A plain call: the strategy is not the function's receiver, and neither is this.
    const size = this.#size;
    if (size === undefined || this.#sizeGone) return 1;
    try {
      return size(chunk);
    } catch (error) {
      this.errorIfNeeded(error);
      return 1;
    }
  }

  write(chunk: unknown, size: number): void {
    try {
      this.#queue.enqueue(chunk, size);
    } catch (error) {
      this.errorIfNeeded(error);
      return;
    }
    const { stream } = this;
    if (!stream.closeQueuedOrInFlight && stream.state === "writable") {
      stream.updateBackpressure(this.#hasBackpressure);
    }
    this.#advance();
  }

  close(): void {
    this.#queue.enqueue(CLOSE, 0);
    this.#advance();
  }

  errorIfNeeded(reason: unknown): void {
    if (this.stream.state === "writable") this.error(reason);
  }

  error(reason: unknown): void {
    this.#clear();
    this.stream.startErroring(reason);
  }

  errorSteps(): void {
    this.#queue.reset();
  }

  abortSteps(reason: unknown): Promise<unknown> | undefined {
    const sink = this.#sink;
    this.#clear();
    return sink?.abort?.(reason);
  }

  #clear(): void {
    this.#sink = undefined;
    this.#size = undefined;
    this.#sizeGone = true;
  }

  #advance(): void {
    const { stream } = this;
    if (!this.started || stream.busy) return;
    if (stream.state === "erroring") {
      stream.finishErroringIfIdle();
      return;
    }
    if (this.#queue.length === 0) return;
    const chunk = this.#queue.peek();
    if (chunk === CLOSE) this.#processClose();
    else this.#processWrite(chunk);
  }

  #processWrite(chunk: unknown): void {
    this.stream.beginWrite();
    upon(this.#sink?.write?.(chunk) ?? RESOLVED, this.#written, this.#failed);
  }

  #finishWrite(): void {
    const { stream } = this;
    stream.finishWrite();
    this.#queue.dequeue();
    if (!stream.closeQueuedOrInFlight && stream.state === "writable") {
      stream.updateBackpressure(this.#hasBackpressure);
    }
    this.#advance();
  }

  #processClose(): void {
    const { stream } = this;
    stream.beginClose();
    this.#queue.dequeue();
    const sink = this.#sink;
    const done = sink?.close?.();
    this.#clear();
    upon(
      done ?? RESOLVED,
      () => stream.finishClose(),
      (reason) => stream.failClose(reason),
    );
  }
}

/** A stream over a sink of the runtime, started as the standard's "create" does. */
export function createWritable(
  sink: WritableSink,
  highWaterMark = 1,
  size: SizeAlgorithm = undefined,
): WritableControllerCore {
  const controller = new WritableControllerCore(new WritableCore(), sink, highWaterMark, size);
  controller.start(undefined);
  return controller;
}
