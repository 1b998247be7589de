// ReadableByteStreamController, ReadableStreamBYOBRequest and ReadableStreamBYOBReader, as users see them.
//
// What they do is in byte-core.ts. `readAtLeast` is Workers' older way to say `read(view, { min })`.
//
// Invariant: a BYOB request object is dead (its view null) as soon as its controller moved on.

import { has } from "../../cloudflare/compat.ts";
import {
  arrayBufferView,
  defineInterface,
  dictionary,
  internalToken,
  isObject,
  requireArguments,
  requireInternal,
  unsignedLongLongEnforceRange,
  viewBuffer,
  viewByteLength,
  viewByteOffset,
  withDefault,
} from "../webidl.ts";
import { isDetached, viewKind } from "./byte-core.ts";
import type { ByobRequestCore, ByteControllerCore } from "./byte-core.ts";
import { rejectedWith } from "./promises.ts";
import { ByobReaderCore, PromiseRequest } from "./readable-core.ts";
import type { ReadResult, ReadableCore } from "./readable-core.ts";
import { isReadableStream, readableCore } from "./readable.ts";

// ---- The controller --------------------------------------------------------------------------

export class ReadableByteStreamController {
  #core: ByteControllerCore;

  constructor(token: unknown = undefined, core: unknown = undefined) {
    requireInternal(token);
    this.#core = core as ByteControllerCore;
  }

  get byobRequest(): ReadableStreamBYOBRequest | null {
    const request = this.#core.byobRequest;
    if (request === undefined) return null;
    request.wrapper ??= new ReadableStreamBYOBRequest(internalToken, request);
    return request.wrapper as ReadableStreamBYOBRequest;
  }

  get desiredSize(): number | null {
    return this.#core.desiredSize;
  }

  close(): void {
    const core = this.#core;
    if (core.closeRequested) throw new TypeError("This ReadableStream is closed.");
    if (core.stream.state !== "readable") throw new TypeError("This ReadableStream is closed.");
    core.close();
  }

  enqueue(chunk: unknown): void {
    const core = this.#core;
    requireArguments(arguments.length, 1, "ReadableByteStreamController.enqueue");
    const view = arrayBufferView(chunk, "ReadableByteStreamController.enqueue: chunk");
    if (viewByteLength(view) === 0) throw new TypeError("Cannot enqueue a zero-length ArrayBuffer.");
    if (viewBuffer(view).byteLength === 0) throw new TypeError("Cannot enqueue a zero-length ArrayBuffer.");
    if (core.closeRequested) throw new TypeError("This ReadableByteStreamController is closed.");
    if (core.stream.state !== "readable") throw new TypeError("This ReadableByteStreamController is closed.");
    core.enqueue(view);
  }

  error(reason: unknown = undefined): void {
    this.#core.error(reason);
  }
}
defineInterface(ReadableByteStreamController);

export function wrapByteController(core: ByteControllerCore): ReadableByteStreamController {
  return new ReadableByteStreamController(internalToken, core);
}

// ---- The request -----------------------------------------------------------------------------

export class ReadableStreamBYOBRequest {
  #core: ByobRequestCore;

  constructor(token: unknown = undefined, core: unknown = undefined) {
    requireInternal(token);
    this.#core = core as ByobRequestCore;
  }

  get view(): Uint8Array | null {
    return this.#core.view;
  }

  /** Workers' own: how many bytes the reader waits for at least. */
  get atLeast(): number | null {
    return this.#core.controller?.atLeast ?? null;
  }

  respond(bytesWritten: unknown): void {
    const core = this.#core;
    requireArguments(arguments.length, 1, "ReadableStreamBYOBRequest.respond");
    const count = unsignedLongLongEnforceRange(bytesWritten, "ReadableStreamBYOBRequest.respond: bytesWritten");
    if (core.controller === undefined) throw new TypeError("This ReadableStreamBYOBRequest has been invalidated.");
    if (isDetached(viewBuffer(core.view as Uint8Array))) {
      throw new TypeError("Cannot respond with a zero-length or detached view");
    }
    core.controller.respond(count);
  }

  respondWithNewView(view: unknown): void {
    const core = this.#core;
    requireArguments(arguments.length, 1, "ReadableStreamBYOBRequest.respondWithNewView");
    const converted = arrayBufferView(view, "ReadableStreamBYOBRequest.respondWithNewView: view");
    if (core.controller === undefined) throw new TypeError("This ReadableStreamBYOBRequest has been invalidated.");
    if (isDetached(viewBuffer(converted))) throw new TypeError("The underlying ArrayBuffer has been detached.");
    core.controller.respondWithNewView(converted);
  }
}
defineInterface(ReadableStreamBYOBRequest);

// ---- The reader ------------------------------------------------------------------------------

const readOptions = dictionary("ReadableStreamBYOBReaderReadOptions", {
  min: withDefault(unsignedLongLongEnforceRange, () => 1),
});

let coreOf: (value: unknown) => ByobReaderCore | undefined;

export class ReadableStreamBYOBReader {
  #core: ByobReaderCore;

  constructor(stream: unknown, core: unknown = undefined) {
    if (stream === internalToken) {
      this.#core = new ByobReaderCore(core as ReadableCore);
      return;
    }
    requireArguments(arguments.length, 1, "ReadableStreamBYOBReader constructor");
    if (!isReadableStream(stream)) {
      throw new TypeError("ReadableStreamBYOBReader constructor: stream is not of type 'ReadableStream'");
    }
    this.#core = new ByobReaderCore(readableCore(stream));
  }

  get closed(): Promise<undefined> {
    return coreOf(this)?.closed.promise ?? rejectedWith(notReader());
  }

  cancel(reason: unknown = undefined): Promise<undefined> {
    const core = coreOf(this);
    if (core === undefined) return rejectedWith(notReader());
    if (core.stream === undefined) return rejectedWith(new TypeError("This ReadableStream reader has been released."));
    return core.cancel(reason);
  }

  read(view: unknown, options: unknown = undefined): Promise<ReadResult> {
    try {
      const core = coreOf(this);
      if (core === undefined) throw notReader();
      requireArguments(arguments.length, 1, "ReadableStreamBYOBReader.read");
      const converted = arrayBufferView(view, "ReadableStreamBYOBReader.read: view");
      return readInto(core, converted, readOptions(options, "ReadableStreamBYOBReader.read: options").min);
    } catch (error) {
      return rejectedWith(error);
    }
  }

  readAtLeast(minElements: unknown, view: unknown): Promise<ReadResult> {
    try {
      const core = coreOf(this);
      if (core === undefined) throw notReader();
      requireArguments(arguments.length, 2, "ReadableStreamBYOBReader.readAtLeast");
      const min = unsignedLongLongEnforceRange(minElements, "ReadableStreamBYOBReader.readAtLeast: minElements");
      const converted = arrayBufferView(view, "ReadableStreamBYOBReader.readAtLeast: view");
      if (min > viewByteLength(converted) / viewKind(converted).elementSize) {
        throw new TypeError(`Minimum bytes to read (${min}) exceeds size of buffer (${viewByteLength(view as ArrayBufferView)}).`);
      }
      return readInto(core, converted, min, new AtLeastRequest());
    } catch (error) {
      return rejectedWith(error);
    }
  }

  releaseLock(): void {
    this.#core.release();
  }

  static {
    coreOf = (value) => (isObject(value) && #core in value ? value.#core : undefined);
  }
}
defineInterface(ReadableStreamBYOBReader);

function notReader(): TypeError {
  return new TypeError("Illegal invocation: not a ReadableStreamBYOBReader");
}

/** Workers' rule: bytes left at the end come with `done` false, and only the next read says true. */
class AtLeastRequest extends PromiseRequest {
  override close(view: ArrayBufferView | undefined = undefined): void {
    if (view !== undefined && viewByteLength(view) > 0) this.chunk(view);
    else super.close(view);
  }
}

/**
 * For Workers without `streams_byob_reader_detaches_buffer`: the reader's own buffer stays attached. What was
 * read is copied to where the view was, as far as its buffer still reaches.
 */
class CopyRequest extends PromiseRequest {
  #target: ArrayBufferView;
  #offset: number;
  #inner: PromiseRequest;

  constructor(target: ArrayBufferView, inner: PromiseRequest) {
    super();
    this.#target = target;
    this.#offset = viewByteOffset(target);
    this.#inner = inner;
  }

  override chunk(value: unknown): void {
    this.#inner.chunk(this.#copied(value as ArrayBufferView));
  }

  override close(view: ArrayBufferView | undefined = undefined): void {
    this.#inner.close(view === undefined ? undefined : this.#copied(view));
  }

  override error(reason: unknown): void {
    this.#inner.error(reason);
  }

  #copied(view: ArrayBufferView): ArrayBufferView {
    const buffer = viewBuffer(this.#target) as ArrayBuffer;
    const { constructor: View, elementSize } = viewKind(view);
    if (isDetached(buffer)) return new View(new ArrayBuffer(0), 0, 0);
    const offset = Math.min(this.#offset, buffer.byteLength - (buffer.byteLength % elementSize));
    const count = Math.floor(Math.min(viewByteLength(view), buffer.byteLength - offset) / elementSize);
    const bytes = new Uint8Array(viewBuffer(view) as ArrayBuffer, viewByteOffset(view), count * elementSize);
    new Uint8Array(buffer, offset, bytes.length).set(bytes);
    return new View(buffer, offset, count);
  }
}

function readInto(
  core: ByobReaderCore,
  view: ArrayBufferView,
  min: number,
  request = new PromiseRequest(),
): Promise<ReadResult> {
  const buffer = viewBuffer(view);
  const byteLength = viewByteLength(view);
  if (byteLength === 0) throw new TypeError('You must call read() on a "byob" reader with a positive-sized TypedArray object.');
  if (buffer.byteLength === 0) throw new TypeError('You must call read() on a "byob" reader with a positive-sized TypedArray object.');
  if (isDetached(buffer)) throw new TypeError("The buffer of the view has been detached");
  if (min === 0) throw new TypeError("Requested invalid minimum number of bytes to read (0).");
  if (min > byteLength / viewKind(view).elementSize) throw new RangeError(`Minimum bytes to read (${min}) exceeds size of buffer (${byteLength}).`);
  if (core.stream === undefined) throw new TypeError("This ReadableStream reader has been released.");
  if (has("streams_byob_reader_detaches_buffer")) {
    core.read(view, min, request);
  } else {
    const { constructor: View, elementSize } = viewKind(view);
    const own = new View(new ArrayBuffer(byteLength), 0, byteLength / elementSize);
    core.read(own, min, new CopyRequest(view, request));
  }
  return request.result.promise;
}

export function createByobReader(core: ReadableCore): ReadableStreamBYOBReader {
  return new ReadableStreamBYOBReader(internalToken, core);
}
