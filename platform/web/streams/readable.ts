// ReadableStream, its default reader and its default controller, as users see them.
//
// Argument conversion and brand checks happen here; what a stream does is in readable-core.ts. The
// shells hold a core each and nothing else, so a stream that never reaches user code has none.
//
// Invariant: a core has at most one shell of each kind (`wrapper`).

import { has } from "../../cloudflare/compat.ts";
import { signalConverter } from "../abort.ts";
import type { AbortSignal } from "../abort.ts";
import {
  DOMString,
  boolean,
  callbackFunction,
  defineInterface,
  dictionary,
  internalToken,
  isObject,
  optional,
  required,
  requireArguments,
  requireInternal,
  unsignedLongLongEnforceRange,
  withDefault,
} from "../webidl.ts";
import type { Converter } from "../webidl.ts";
import { createByobReader, wrapByteController } from "./byob.ts";
import type { ReadableStreamBYOBReader } from "./byob.ts";
import { ByteControllerCore, WORKERS_AUTO_ALLOCATE } from "./byte-core.ts";
import { defineAsyncIteration, readableFrom } from "./from.ts";
import { pipe } from "./pipe.ts";
import { rejectedWith, setHandled } from "./promises.ts";
import { DefaultControllerCore, DefaultReaderCore, ReadableCore, callForPromise } from "./readable-core.ts";
import type { ReadResult, ReadableSource } from "./readable-core.ts";
import { extractHighWaterMark, extractSizeAlgorithm, queuingStrategy } from "./strategies.ts";
import { tee } from "./tee.ts";
import { WritableStream, isWritableStream, writableCore } from "./writable.ts";

const { apply } = Reflect;

type Callback = (...args: unknown[]) => unknown;

const streamType: Converter<"bytes"> = (value, context) => {
  const text = DOMString(value, context);
  if (text !== "bytes") throw new TypeError(`"${text}" is not a valid type of ReadableStream.`);
  return text;
};

const readerMode: Converter<"byob"> = (value, context) => {
  const text = DOMString(value, context);
  if (text !== "byob") throw new TypeError("mode must be undefined or 'byob' in call to getReader().");
  return text;
};

const underlyingSource = dictionary("UnderlyingSource", {
  autoAllocateChunkSize: optional(unsignedLongLongEnforceRange),
  cancel: optional(callbackFunction),
  // Workers' own: the length of the body that the stream is, for its Content-Length.
  expectedLength: optional(unsignedLongLongEnforceRange),
  pull: optional(callbackFunction),
  start: optional(callbackFunction),
  type: optional(streamType),
});

const getReaderOptions = dictionary("ReadableStreamGetReaderOptions", {
  mode: optional(readerMode),
});

const pipeOptions = dictionary("StreamPipeOptions", {
  preventAbort: withDefault(boolean, () => false),
  preventCancel: withDefault(boolean, () => false),
  preventClose: withDefault(boolean, () => false),
  signal: withDefault<AbortSignal | undefined>(signalConverter, () => undefined),
});

const readableConverter: Converter<ReadableStream> = (value, context) => {
  if (!isReadableStream(value)) throw new TypeError(`${context} is not of type 'ReadableStream'`);
  return value;
};
const writableConverter: Converter<WritableStream> = (value, context) => {
  if (!isWritableStream(value)) throw new TypeError(`${context} is not of type 'WritableStream'`);
  return value;
};

const readableWritablePair = dictionary("ReadableWritablePair", {
  readable: required(readableConverter),
  writable: required(writableConverter),
});

let coreOf: (stream: ReadableStream) => ReadableCore;
let hasCore: (value: object) => boolean;

// ---- ReadableStream --------------------------------------------------------------------------

export class ReadableStream {
  #core: ReadableCore;

  constructor(source: unknown = undefined, strategy: unknown = undefined) {
    if (source === internalToken) {
      this.#core = strategy as ReadableCore;
      return;
    }
    this.#core = new ReadableCore();
    this.#core.wrapper = this;
    setUpFromUser(this.#core, source, strategy);
  }

  static from(asyncIterable: unknown): ReadableStream {
    requireArguments(arguments.length, 1, "ReadableStream.from");
    return wrapReadable(readableFrom(asyncIterable));
  }

  get locked(): boolean {
    return this.#core.locked;
  }

  cancel(reason: unknown = undefined): Promise<undefined> {
    if (!isReadableStream(this)) return rejectedWith(new TypeError("Illegal invocation: not a ReadableStream"));
    if (this.#core.locked) return rejectedWith(new TypeError("This ReadableStream is currently locked to a reader."));
    return this.#core.cancel(reason);
  }

  getReader(options: unknown = undefined): ReadableStreamDefaultReader | ReadableStreamBYOBReader {
    const core = this.#core;
    if (options === undefined) return new ReadableStreamDefaultReader(internalToken, core);
    const { mode } = getReaderOptions(options, "ReadableStream.getReader: options");
    return mode === "byob" ? createByobReader(core) : new ReadableStreamDefaultReader(internalToken, core);
  }

  pipeThrough(transform: unknown, options: unknown = undefined): ReadableStream {
    const core = this.#core;
    requireArguments(arguments.length, 1, "ReadableStream.pipeThrough");
    const { readable, writable } = readableWritablePair(transform, "ReadableStream.pipeThrough: transform");
    const converted = pipeOptions(options, "ReadableStream.pipeThrough: options");
    const target = writableCore(writable);
    if (core.locked) throw new TypeError("This ReadableStream is currently locked to a reader.");
    if (target.locked) throw new TypeError("This WritableStream is currently locked to a writer.");
    setHandled(pipe(core, target, converted));
    return readable;
  }

  pipeTo(destination: unknown, options: unknown = undefined): Promise<undefined> {
    if (!isReadableStream(this)) return rejectedWith(new TypeError("Illegal invocation: not a ReadableStream"));
    try {
      requireArguments(arguments.length, 1, "ReadableStream.pipeTo");
      const target = writableCore(writableConverter(destination, "ReadableStream.pipeTo: destination"));
      const converted = pipeOptions(options, "ReadableStream.pipeTo: options");
      if (this.#core.locked) throw new TypeError("This ReadableStream is currently locked to a reader.");
      if (target.locked) throw new TypeError("This WritableStream is currently locked to a writer.");
      return pipe(this.#core, target, converted);
    } catch (error) {
      return rejectedWith(error);
    }
  }

  tee(): [ReadableStream, ReadableStream] {
    const [first, second] = tee(this.#core);
    return [wrapReadable(first), wrapReadable(second)];
  }

  static {
    coreOf = (stream) => stream.#core;
    hasCore = (value) => #core in value;
  }
}
defineAsyncIteration(ReadableStream, (stream) => coreOf(stream));
defineInterface(ReadableStream);

export function isReadableStream(value: unknown): value is ReadableStream {
  return isObject(value) && hasCore(value);
}

export function readableCore(stream: ReadableStream): ReadableCore {
  return coreOf(stream);
}

/** The object by which user code knows `core`. */
export function wrapReadable(core: ReadableCore): ReadableStream {
  core.wrapper ??= new ReadableStream(internalToken, core);
  return core.wrapper;
}

function setUpFromUser(core: ReadableCore, given: unknown, strategyGiven: unknown): void {
  if (given !== undefined && !isObject(given)) {
    throw new TypeError("ReadableStream constructor: underlyingSource is not an object");
  }
  const strategy = queuingStrategy(strategyGiven, "ReadableStream constructor: strategy");
  const dict = underlyingSource(given, "ReadableStream constructor: underlyingSource");
  const source: ReadableSource = { pull: undefined, cancel: undefined };
  core.expectedLength = dict.expectedLength;
  let controller: DefaultControllerCore | ByteControllerCore;
  let shell: object;
  if (dict.type === "bytes") {
    if (strategy.size !== undefined) throw new RangeError("The strategy of a byte stream cannot have a size function");
    const highWaterMark = extractHighWaterMark(strategy, 0);
    if (dict.autoAllocateChunkSize === 0) throw new TypeError("The autoAllocateChunkSize option cannot be zero.");
    // The standard allocates only where the source asks for it; Workers always do.
    const always = !has("streams_no_default_auto_allocate_chunk_size") && !has("pedantic_wpt");
    const size = dict.autoAllocateChunkSize ?? (always ? WORKERS_AUTO_ALLOCATE : undefined);
    controller = new ByteControllerCore(core, source, highWaterMark, size);
    controller.joinsQueued = always && dict.autoAllocateChunkSize === undefined;
    shell = wrapByteController(controller);
  } else {
    const size = extractSizeAlgorithm(strategy);
    const highWaterMark = extractHighWaterMark(strategy, 1);
    controller = new DefaultControllerCore(core, source, highWaterMark, size);
    shell = new ReadableStreamDefaultController(internalToken, controller);
  }
  controller.wrapper = shell;
  const { pull, cancel, start } = dict as { pull?: Callback; cancel?: Callback; start?: Callback };
  if (pull !== undefined) {
    const args = [shell];
    source.pull = () => callForPromise(pull, given, args);
  }
  if (cancel !== undefined) source.cancel = (reason) => callForPromise(cancel, given, [reason]);
  controller.start(start === undefined ? undefined : apply(start, given, [shell]));
}

// ---- The default reader ----------------------------------------------------------------------

let isDefaultReader: (value: unknown) => value is ReadableStreamDefaultReader;

export class ReadableStreamDefaultReader {
  #core: DefaultReaderCore;

  constructor(stream: unknown, core: unknown = undefined) {
    if (stream === internalToken) {
      this.#core = new DefaultReaderCore(core as ReadableCore);
      return;
    }
    requireArguments(arguments.length, 1, "ReadableStreamDefaultReader constructor");
    this.#core = new DefaultReaderCore(coreOf(readableConverter(stream, "ReadableStreamDefaultReader constructor: stream")));
  }

  get closed(): Promise<undefined> {
    if (!isDefaultReader(this)) return rejectedWith(new TypeError("Illegal invocation: not a ReadableStreamDefaultReader"));
    this.#core.stream?.whenAwaited?.();
    return this.#core.closed.promise;
  }

  cancel(reason: unknown = undefined): Promise<undefined> {
    if (!isDefaultReader(this)) return rejectedWith(new TypeError("Illegal invocation: not a ReadableStreamDefaultReader"));
    if (this.#core.stream === undefined) return rejectedWith(new TypeError("This ReadableStream reader has been released."));
    return this.#core.cancel(reason);
  }

  read(): Promise<ReadResult> {
    if (!isDefaultReader(this)) return rejectedWith(new TypeError("Illegal invocation: not a ReadableStreamDefaultReader"));
    return this.#core.readPromise();
  }

  releaseLock(): void {
    this.#core.release();
  }

  static {
    isDefaultReader = (value): value is ReadableStreamDefaultReader => isObject(value) && #core in value;
  }
}
defineInterface(ReadableStreamDefaultReader);

// ---- The default controller ------------------------------------------------------------------

export class ReadableStreamDefaultController {
  #core: DefaultControllerCore;

  constructor(token: unknown = undefined, core: unknown = undefined) {
    requireInternal(token);
    this.#core = core as DefaultControllerCore;
  }

  get desiredSize(): number | null {
    return this.#core.desiredSize;
  }

  close(): void {
    if (!this.#core.canCloseOrEnqueue) throw new TypeError("This ReadableStream is closed.");
    this.#core.close();
  }

  enqueue(chunk: unknown = undefined): void {
    if (!this.#core.canCloseOrEnqueue) throw new TypeError("Unable to enqueue");
    this.#core.enqueue(chunk);
  }

  error(reason: unknown = undefined): void {
    this.#core.error(reason);
  }
}
defineInterface(ReadableStreamDefaultController);
