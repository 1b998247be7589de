// WritableStream, its writer and its controller, as users see them.
//
// Argument conversion and brand checks happen here; what a stream does is in writable-core.ts.
//
// Invariant: a core has at most one shell of each kind (`wrapper`).

import type { AbortSignal } from "../abort.ts";
import {
  any,
  callbackFunction,
  defineInterface,
  dictionary,
  internalToken,
  isObject,
  optional,
  requireArguments,
  requireInternal,
} from "../webidl.ts";
import { rejectedWith } from "./promises.ts";
import { callForPromise } from "./readable-core.ts";
import { extractHighWaterMark, extractSizeAlgorithm, queuingStrategy } from "./strategies.ts";
import { WritableControllerCore, WritableCore, WriterCore } from "./writable-core.ts";
import type { WritableSink } from "./writable-core.ts";

const { apply } = Reflect;

type Callback = (...args: unknown[]) => unknown;

const underlyingSink = dictionary("UnderlyingSink", {
  abort: optional(callbackFunction),
  close: optional(callbackFunction),
  start: optional(callbackFunction),
  type: optional(any),
  write: optional(callbackFunction),
});

// ---- WritableStream --------------------------------------------------------------------------

let coreOf: (value: unknown) => WritableCore | undefined;

export class WritableStream {
  #core: WritableCore;

  constructor(sink: unknown = undefined, strategy: unknown = undefined) {
    if (sink === internalToken) {
      this.#core = strategy as WritableCore;
      return;
    }
    this.#core = new WritableCore();
    this.#core.wrapper = this;
    setUpFromUser(this.#core, sink, strategy);
  }

  get locked(): boolean {
    return this.#core.locked;
  }

  abort(reason: unknown = undefined): Promise<undefined> {
    const core = coreOf(this);
    if (core === undefined) return rejectedWith(notWritable());
    if (core.locked) return rejectedWith(new TypeError("This WritableStream is currently locked to a writer."));
    return core.abort(reason);
  }

  close(): Promise<undefined> {
    const core = coreOf(this);
    if (core === undefined) return rejectedWith(notWritable());
    if (core.locked) return rejectedWith(new TypeError("This WritableStream is currently locked to a writer."));
    if (core.closeQueuedOrInFlight) return rejectedWith(new TypeError("This WritableStream has been closed."));
    return core.close();
  }

  getWriter(): WritableStreamDefaultWriter {
    return new WritableStreamDefaultWriter(internalToken, this.#core);
  }

  static {
    coreOf = (value) => (isObject(value) && #core in value ? value.#core : undefined);
  }
}
defineInterface(WritableStream);

function notWritable(): TypeError {
  return new TypeError("Illegal invocation: not a WritableStream");
}

export function isWritableStream(value: unknown): value is WritableStream {
  return coreOf(value) !== undefined;
}

export function writableCore(stream: WritableStream): WritableCore {
  return coreOf(stream) as WritableCore;
}

/** The object by which user code knows `core`. */
export function wrapWritable(core: WritableCore): WritableStream {
  core.wrapper ??= new WritableStream(internalToken, core);
  return core.wrapper;
}

function setUpFromUser(core: WritableCore, given: unknown, strategyGiven: unknown): void {
  if (given !== undefined && !isObject(given)) {
    throw new TypeError("WritableStream constructor: underlyingSink is not an object");
  }
  const strategy = queuingStrategy(strategyGiven, "WritableStream constructor: strategy");
  const dict = underlyingSink(given, "WritableStream constructor: underlyingSink");
  if (dict.type !== undefined) throw new RangeError("Invalid underlying sink type. Only undefined is valid.");
  const size = extractSizeAlgorithm(strategy);
  const highWaterMark = extractHighWaterMark(strategy, 1);
  const sink: WritableSink = { write: undefined, close: undefined, abort: undefined };
  const controller = new WritableControllerCore(core, sink, highWaterMark, size);
  const shell = new WritableStreamDefaultController(internalToken, controller);
  controller.wrapper = shell;
  const { abort, close, start, write } = dict as Record<"abort" | "close" | "start" | "write", Callback | undefined>;
  if (write !== undefined) sink.write = (chunk) => callForPromise(write, given, [chunk, shell]);
  if (close !== undefined) sink.close = () => callForPromise(close, given, []);
  if (abort !== undefined) sink.abort = (reason) => callForPromise(abort, given, [reason]);
  controller.start(start === undefined ? undefined : apply(start, given, [shell]));
}

// ---- The writer ------------------------------------------------------------------------------

let writerOf: (value: unknown) => WriterCore | undefined;

export class WritableStreamDefaultWriter {
  #core: WriterCore;

  constructor(stream: unknown, core: unknown = undefined) {
    if (stream === internalToken) {
      this.#core = new WriterCore(core as WritableCore);
      return;
    }
    requireArguments(arguments.length, 1, "WritableStreamDefaultWriter constructor");
    if (!isWritableStream(stream)) {
      throw new TypeError("WritableStreamDefaultWriter constructor: stream is not of type 'WritableStream'");
    }
    this.#core = new WriterCore(writableCore(stream));
  }

  get closed(): Promise<undefined> {
    return writerOf(this)?.closed.promise ?? rejectedWith(notWriter());
  }

  get desiredSize(): number | null {
    const core = this.#core;
    if (core.stream === undefined) throw new TypeError("This WritableStream writer has been released.");
    return core.desiredSize;
  }

  get ready(): Promise<undefined> {
    return writerOf(this)?.ready.promise ?? rejectedWith(notWriter());
  }

  abort(reason: unknown = undefined): Promise<undefined> {
    const core = writerOf(this);
    if (core === undefined) return rejectedWith(notWriter());
    if (core.stream === undefined) return rejectedWith(new TypeError("This WritableStream writer has been released."));
    return core.abort(reason);
  }

  close(): Promise<undefined> {
    const core = writerOf(this);
    if (core === undefined) return rejectedWith(notWriter());
    if (core.stream === undefined) return rejectedWith(new TypeError("This WritableStream writer has been released."));
    if (core.stream.closeQueuedOrInFlight) return rejectedWith(new TypeError("This WritableStream has been closed."));
    return core.close();
  }

  releaseLock(): void {
    this.#core.release();
  }

  write(chunk: unknown = undefined): Promise<undefined> {
    return writerOf(this)?.write(chunk) ?? rejectedWith(notWriter());
  }

  static {
    writerOf = (value) => (isObject(value) && #core in value ? value.#core : undefined);
  }
}
defineInterface(WritableStreamDefaultWriter);

function notWriter(): TypeError {
  return new TypeError("Illegal invocation: not a WritableStreamDefaultWriter");
}

// ---- The controller --------------------------------------------------------------------------

export class WritableStreamDefaultController {
  #core: WritableControllerCore;

  constructor(token: unknown = undefined, core: unknown = undefined) {
    requireInternal(token);
    this.#core = core as WritableControllerCore;
  }

  get signal(): AbortSignal {
    return this.#core.abortController.signal;
  }

  error(reason: unknown = undefined): void {
    this.#core.errorIfNeeded(reason);
  }
}
defineInterface(WritableStreamDefaultController);
