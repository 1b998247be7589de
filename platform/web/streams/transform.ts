// TransformStream and its controller.
//
// A transform is two cores tied together: the sink of the writable one calls the transformer, whose
// controller enqueues into the readable one; backpressure of the readable one holds back the sink.
// `createTransform` is the way in for the runtime's own transforms (text, compression), which give
// plain functions.
//
// Invariant: `#change` is the promise of the next change of backpressure, settled once per change.

import { has } from "../../cloudflare/compat.ts";
import {
  any,
  callbackFunction,
  defineInterface,
  dictionary,
  internalToken,
  isObject,
  optional,
  requireInternal,
  unsignedLongLongEnforceRange,
} from "../webidl.ts";
import { RESOLVED, deferred, react, rejectedWith } from "./promises.ts";
import type { Deferred } from "./promises.ts";
import { DefaultControllerCore, ReadableCore, callForPromise } from "./readable-core.ts";
import { wrapReadable } from "./readable.ts";
import type { ReadableStream } from "./readable.ts";
import { extractHighWaterMark, extractSizeAlgorithm, queuingStrategy } from "./strategies.ts";
import type { SizeAlgorithm } from "./strategies.ts";
import { WritableControllerCore, WritableCore } from "./writable-core.ts";
import { wrapWritable } from "./writable.ts";
import type { WritableStream } from "./writable.ts";

/** Steps of a transform; undefined means done at once, a failure is a rejected promise. */
export interface Transformer {
  /** Missing: chunks pass as they are. */
  transform?: ((chunk: unknown, controller: TransformCore) => Promise<unknown> | undefined) | undefined;
  flush?: ((controller: TransformCore) => Promise<unknown> | undefined) | undefined;
  cancel?: ((reason: unknown) => Promise<unknown> | undefined) | undefined;
}

interface Side {
  highWaterMark: number;
  size: SizeAlgorithm;
}

export class TransformCore {
  readable = new ReadableCore();
  writable = new WritableCore();
  wrapper: object | undefined = undefined;
  /** Without the flag `fixup-transform-stream-backpressure` a Worker's own transform streams are not
   * held back any more once they were read from. */
  original = false;
  #transformer: Transformer | undefined;
  #backpressure: boolean | undefined;
  #change: Deferred<undefined> | undefined;
  #finish: Deferred<undefined> | undefined;
  #readableController: DefaultControllerCore;
  #writableController: WritableControllerCore;
  #transformFailed: (reason: unknown) => never;

  constructor(transformer: Transformer, writable: Side, readable: Side) {
    this.#transformer = transformer;
    this.#transformFailed = (reason) => {
      this.fail(reason);
      throw reason;
    };
    this.#writableController = new WritableControllerCore(
      this.writable,
      {
        write: (chunk) => this.#write(chunk),
        abort: (reason) => this.#abort(reason),
        close: () => this.#close(),
      },
      writable.highWaterMark,
      writable.size,
    );
    this.#readableController = new DefaultControllerCore(
      this.readable,
      { pull: () => this.#pull(), cancel: (reason) => this.#cancel(reason) },
      readable.highWaterMark,
      readable.size,
    );
    this.#setBackpressure(true);
  }

  start(result: Promise<unknown>): void {
    this.#writableController.start(result);
    this.#readableController.start(result);
  }

  // ---- For the transformer ---------------------------------------------------------------------

  get desiredSize(): number | null {
    return this.#readableController.desiredSize;
  }

  enqueue(chunk: unknown): void {
    const controller = this.#readableController;
    if (!controller.canCloseOrEnqueue) throw new TypeError("The readable side of this TransformStream is no longer readable.");
    try {
      controller.enqueue(chunk);
    } catch (error) {
      this.#failWritable(error);
      throw this.readable.storedError;
    }
    const backpressure = controller.hasBackpressure;
    if (backpressure !== this.#backpressure && !this.original) this.#setBackpressure(true);
  }

  /** When the reader wants more, or the stream has ended; undefined when it does already. */
  room(): Promise<undefined> | undefined {
    if (!this.#backpressure || this.readable.state !== "readable") return undefined;
    return this.#change?.promise;
  }

  fail(reason: unknown): void {
    this.#readableController.error(reason);
    this.#failWritable(reason);
  }

  terminate(): void {
    this.#readableController.close();
    this.#failWritable(new TypeError("The transform stream has been terminated"));
  }

  // ---- The writable side -----------------------------------------------------------------------

  #write(chunk: unknown): Promise<unknown> | undefined {
    if (!this.#backpressure) return this.#transform(chunk);
    return react(
      (this.#change as Deferred<undefined>).promise,
      () => {
        if (this.writable.state === "erroring") throw this.writable.storedError;
        return this.#transform(chunk);
      },
      undefined,
    );
  }

  #transform(chunk: unknown): Promise<unknown> | undefined {
    const transformer = this.#transformer;
    if (transformer?.transform === undefined) {
      try {
        this.enqueue(chunk);
        return undefined;
      } catch (error) {
        return react(rejectedWith(error), undefined, this.#transformFailed);
      }
    }
    return react(transformer.transform(chunk, this) ?? RESOLVED, undefined, this.#transformFailed);
  }

  #abort(reason: unknown): Promise<unknown> {
    if (this.#finish !== undefined) return this.#finish.promise;
    const finish = (this.#finish = deferred<undefined>());
    const done = this.#transformer?.cancel?.(reason);
    return this.#finishReadable(finish, done, () => this.#readableController.error(reason));
  }

  #close(): Promise<unknown> {
    if (this.#finish !== undefined) return this.#finish.promise;
    const finish = (this.#finish = deferred<undefined>());
    const done = this.#transformer?.flush?.(this);
    return this.#finishReadable(finish, done, () => this.#readableController.close());
  }

  /** When the transformer is done, `end` is the readable side's last word. */
  #finishReadable(finish: Deferred<undefined>, done: Promise<unknown> | undefined, end: () => void): Promise<unknown> {
    this.#transformer = undefined;
    react(
      done ?? RESOLVED,
      () => {
        if (this.readable.state === "errored") {
          finish.reject(this.readable.storedError);
        } else {
          end();
          finish.resolve(undefined);
        }
      },
      (error) => {
        this.#readableController.error(error);
        finish.reject(error);
      },
    );
    return finish.promise;
  }

  // ---- The readable side -----------------------------------------------------------------------

  #pull(): Promise<unknown> {
    this.#setBackpressure(false);
    return (this.#change as Deferred<undefined>).promise;
  }

  #cancel(reason: unknown): Promise<unknown> {
    if (this.#finish !== undefined) return this.#finish.promise;
    const finish = (this.#finish = deferred<undefined>());
    const done = this.#transformer?.cancel?.(reason) ?? RESOLVED;
    this.#transformer = undefined;
    react(
      done,
      () => {
        if (this.writable.state === "errored") {
          finish.reject(this.writable.storedError);
        } else {
          this.#writableController.errorIfNeeded(reason);
          this.#unblockWrite();
          finish.resolve(undefined);
        }
      },
      (error) => {
        this.#writableController.errorIfNeeded(error);
        this.#unblockWrite();
        finish.reject(error);
      },
    );
    return finish.promise;
  }

  // ---- Between them ----------------------------------------------------------------------------

  #failWritable(reason: unknown): void {
    this.#transformer = undefined;
    this.#writableController.errorIfNeeded(reason);
    this.#unblockWrite();
  }

  #unblockWrite(): void {
    if (this.#backpressure) this.#setBackpressure(false);
  }

  #setBackpressure(backpressure: boolean): void {
    this.#change?.resolve(undefined);
    this.#change = deferred();
    this.#backpressure = backpressure;
  }
}

/**
 * A transform of the runtime. `transform` and `flush` are plain synchronous functions that may throw.
 */
export function createTransform(
  transform: (chunk: unknown, controller: TransformCore) => void,
  flush: ((controller: TransformCore) => void) | undefined,
  cancel: (() => void) | undefined = undefined,
): TransformCore {
  const guarded = (steps: () => void): Promise<unknown> | undefined => {
    try {
      steps();
      return undefined;
    } catch (error) {
      return rejectedWith(error);
    }
  };
  const core = new TransformCore(
    {
      transform: (chunk, controller) => guarded(() => transform(chunk, controller)),
      flush: flush === undefined ? undefined : (controller) => guarded(() => flush(controller)),
      cancel: cancel === undefined ? undefined : () => guarded(cancel),
    },
    { highWaterMark: 1, size: undefined },
    { highWaterMark: 0, size: undefined },
  );
  core.start(RESOLVED);
  return core;
}

// ---- TransformStream -------------------------------------------------------------------------

const { apply } = Reflect;

type Callback = (...args: unknown[]) => unknown;

const transformerMembers = dictionary("Transformer", {
  cancel: optional(callbackFunction),
  expectedLength: optional(unsignedLongLongEnforceRange),
  flush: optional(callbackFunction),
  readableType: optional(any),
  start: optional(callbackFunction),
  transform: optional(callbackFunction),
  writableType: optional(any),
});

export class TransformStream {
  #core: TransformCore;

  constructor(transformer: unknown = undefined, writableStrategy: unknown = undefined, readableStrategy: unknown = undefined) {
    if (transformer !== undefined && !isObject(transformer)) {
      throw new TypeError("TransformStream constructor: transformer is not an object");
    }
    const writable = queuingStrategy(writableStrategy, "TransformStream constructor: writableStrategy");
    const readable = queuingStrategy(readableStrategy, "TransformStream constructor: readableStrategy");
    const dict = transformerMembers(transformer, "TransformStream constructor: transformer");
    if (dict.readableType !== undefined) throw new RangeError("transformer.readableType must be undefined.");
    if (dict.writableType !== undefined) throw new RangeError("transformer.writableType must be undefined.");
    const readableSide = { highWaterMark: extractHighWaterMark(readable, 0), size: extractSizeAlgorithm(readable) };
    const writableSide = { highWaterMark: extractHighWaterMark(writable, 1), size: extractSizeAlgorithm(writable) };
    const started = deferred<unknown>();
    const steps: Transformer = { transform: undefined, flush: undefined, cancel: undefined };
    this.#core = new TransformCore(steps, writableSide, readableSide);
    this.#core.original = !has("fixup-transform-stream-backpressure");
    this.#core.readable.expectedLength = dict.expectedLength;
    const shell = new TransformStreamDefaultController(internalToken, this.#core);
    this.#core.wrapper = shell;
    const { cancel, flush, start, transform } = dict as Record<"cancel" | "flush" | "start" | "transform", Callback | undefined>;
    if (transform !== undefined) steps.transform = (chunk) => callForPromise(transform, transformer, [chunk, shell]);
    if (flush !== undefined) steps.flush = () => callForPromise(flush, transformer, [shell]);
    if (cancel !== undefined) steps.cancel = (reason) => callForPromise(cancel, transformer, [reason]);
    this.#core.start(started.promise);
    try {
      started.resolve(start === undefined ? undefined : apply(start, transformer, [shell]));
    } catch (error) {
      // The standard throws here; Workers make a stream that has failed.
      if (has("pedantic_wpt")) throw error;
      started.reject(error);
    }
  }

  get readable(): ReadableStream {
    return wrapReadable(this.#core.readable);
  }

  get writable(): WritableStream {
    return wrapWritable(this.#core.writable);
  }
}
defineInterface(TransformStream);

export class TransformStreamDefaultController {
  #core: TransformCore;

  constructor(token: unknown = undefined, core: unknown = undefined) {
    requireInternal(token);
    this.#core = core as TransformCore;
  }

  get desiredSize(): number | null {
    return this.#core.desiredSize;
  }

  enqueue(chunk: unknown = undefined): void {
    this.#core.enqueue(chunk);
  }

  error(reason: unknown = undefined): void {
    this.#core.fail(reason);
  }

  terminate(): void {
    this.#core.terminate();
  }
}
defineInterface(TransformStreamDefaultController);

