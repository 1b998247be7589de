// Streams and async iterables: `ReadableStream.from`, and iterating over a stream.
//
// Invariant: the iterator uses reader cores, so patched `getReader` or `read` methods change nothing.

import { SymbolAsyncIterator, SymbolIterator, boolean, defineToStringTag, dictionary, isObject, makeEnumerable, withDefault } from "../webidl.ts";
import type { Class } from "../webidl.ts";
import { deferred, react, rejectedWith, resolvedWith, toPromise } from "./promises.ts";
import type { Deferred } from "./promises.ts";
import { DefaultReaderCore, createReadable } from "./readable-core.ts";
import type { DefaultControllerCore, ReadRequest, ReadableCore, ReadableSource } from "./readable-core.ts";

const { apply } = Reflect;
const { defineProperty, getPrototypeOf, setPrototypeOf } = Object;

type Callback = (...args: unknown[]) => unknown;

/** "GetMethod": undefined and null both mean there is none. */
function method(target: unknown, name: PropertyKey): Callback | undefined {
  const value = (target as Record<PropertyKey, unknown>)[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "function") throw new TypeError(`The ${String(name)} member is not a function`);
  return value as Callback;
}

// ---- From an iterable to a stream ------------------------------------------------------------

interface AsyncSource {
  /** Gives what the iterator's `next` gave, or a promise of it. */
  next(): unknown;
  /** Undefined when the iterator has no `return`. */
  finish(reason: unknown): unknown;
}

function openIterator(iterable: unknown): AsyncSource {
  if (iterable === undefined || iterable === null) {
    throw new TypeError("ReadableStream.from: the argument is not iterable");
  }
  const asyncMethod = method(iterable, SymbolAsyncIterator);
  const open = asyncMethod ?? method(iterable, SymbolIterator);
  if (open === undefined) throw new TypeError("ReadableStream.from: the argument is not iterable");
  const iterator = apply(open, iterable, []);
  if (!isObject(iterator)) throw new TypeError("ReadableStream.from: the iterator is not an object");
  const next = (iterator as { next?: unknown }).next as Callback;
  if (asyncMethod === undefined) return new SyncSource(iterator, next);
  return {
    next: () => apply(next, iterator, []),
    finish(reason) {
      const finish = method(iterator, "return");
      return finish === undefined ? undefined : resolvedWith(apply(finish, iterator, [reason]));
    },
  };
}

/** "CreateAsyncFromSyncIterator": promised values are waited for, one at a time. */
class SyncSource implements AsyncSource {
  #iterator: object;
  #next: Callback;

  constructor(iterator: object, next: Callback) {
    this.#iterator = iterator;
    this.#next = next;
  }

  next(): unknown {
    return this.#settle(apply(this.#next, this.#iterator, []), true);
  }

  finish(reason: unknown): unknown {
    const finish = method(this.#iterator, "return");
    if (finish === undefined) return undefined;
    const result = apply(finish, this.#iterator, [reason]);
    if (!isObject(result)) throw new TypeError("The iterator's return did not give an object");
    return this.#settle(result, false);
  }

  #settle(result: unknown, closeOnRejection: boolean): Promise<unknown> {
    if (!isObject(result)) throw new TypeError("The iterator's next did not give an object");
    const step = result as { done?: unknown; value?: unknown };
    const done = !!step.done;
    const onRejected = done || !closeOnRejection
      ? undefined
      : (reason: unknown): never => {
          this.#closeQuietly();
          throw reason;
        };
    return react(toPromise(step.value), (value) => ({ value, done }), onRejected);
  }

  #closeQuietly(): void {
    try {
      const finish = method(this.#iterator, "return");
      if (finish !== undefined) apply(finish, this.#iterator, []);
    } catch {
      // The rejection that led here is what counts.
    }
  }
}

export function readableFrom(iterable: unknown): ReadableCore {
  const iterator = openIterator(iterable);
  let controller: DefaultControllerCore;
  const onResult = (result: unknown): void => {
    if (!isObject(result)) throw new TypeError("The iterator's next did not give an object");
    const step = result as { done?: unknown; value?: unknown };
    if (step.done) controller.close();
    else controller.enqueue(step.value);
  };
  const onFinished = (result: unknown): void => {
    if (!isObject(result)) throw new TypeError("The iterator's return did not give an object");
  };
  const source: ReadableSource = {
    pull() {
      try {
        return react(resolvedWith(iterator.next()), onResult, undefined);
      } catch (error) {
        return rejectedWith(error);
      }
    },
    cancel(reason) {
      try {
        const finished = iterator.finish(reason);
        return finished === undefined ? undefined : react(resolvedWith(finished), onFinished, undefined);
      } catch (error) {
        return rejectedWith(error);
      }
    },
  };
  controller = createReadable(source, 0);
  return controller.stream;
}

// ---- From a stream to an iterator ------------------------------------------------------------

const iteratorOptions = dictionary("ReadableStreamIteratorOptions", {
  preventCancel: withDefault(boolean, () => false),
});

interface IterationResult {
  value: unknown;
  done: boolean;
}

/** A read on behalf of an iterator: the end and a failure release the lock before they are told. */
class IteratorRequest implements ReadRequest {
  result: Deferred<IterationResult> = deferred();
  #reader: DefaultReaderCore;

  constructor(reader: DefaultReaderCore) {
    this.#reader = reader;
  }

  chunk(value: unknown): void {
    this.result.resolve({ value, done: false });
  }

  close(): void {
    this.#reader.release();
    this.result.resolve({ value: undefined, done: true });
  }

  error(reason: unknown): void {
    this.#reader.release();
    this.result.reject(reason);
  }
}

class StreamIterator {
  #reader: DefaultReaderCore;
  #preventCancel: boolean;
  #ongoing: Promise<unknown> | undefined;
  #finished = false;
  /** Made once: an iterator takes these steps for every chunk. */
  #steps = (): Promise<IterationResult> => this.#next();
  #onResult = (result: IterationResult): IterationResult => {
    this.#ongoing = undefined;
    if (result.done) this.#finished = true;
    return result;
  };
  #onFailure = (reason: unknown): never => {
    this.#ongoing = undefined;
    this.#finished = true;
    throw reason;
  };

  constructor(reader: DefaultReaderCore, preventCancel: boolean) {
    this.#reader = reader;
    this.#preventCancel = preventCancel;
  }

  next(): Promise<IterationResult> {
    if (!isObject(this) || !(#reader in this)) return rejectedWith(new TypeError("Illegal invocation"));
    const ongoing = this.#ongoing;
    if (ongoing === undefined && !this.#finished) {
      const chunk = this.#reader.takeQueued();
      if (chunk !== undefined) return toPromise({ value: chunk.value, done: false });
    }
    const result = ongoing === undefined ? this.#next() : react(ongoing, this.#steps, this.#steps);
    this.#ongoing = result;
    return result;
  }

  return(value: unknown): Promise<IterationResult> {
    if (!isObject(this) || !(#reader in this)) return rejectedWith(new TypeError("Illegal invocation"));
    const steps = (): Promise<unknown> => this.#return(value);
    const finished = this.#ongoing === undefined ? steps() : react(this.#ongoing, steps, steps);
    this.#ongoing = finished;
    return react(finished, () => ({ value, done: true }), undefined);
  }

  #next(): Promise<IterationResult> {
    if (this.#finished) return toPromise({ value: undefined, done: true });
    const request = new IteratorRequest(this.#reader);
    this.#reader.read(request);
    return react(request.result.promise, this.#onResult, this.#onFailure);
  }

  #return(value: unknown): Promise<unknown> {
    if (this.#finished) return toPromise({ value, done: true });
    this.#finished = true;
    const reader = this.#reader;
    if (reader.stream === undefined) return toPromise(undefined);
    const canceled = this.#preventCancel ? toPromise(undefined) : reader.cancel(value);
    reader.release();
    return canceled;
  }
}
const steps = StreamIterator.prototype as { constructor?: unknown };
delete steps.constructor;
// %AsyncIteratorPrototype% has no name of its own; it is what async generators' prototypes share.
const generatorPrototype = (async function* () {}).prototype as object;
setPrototypeOf(steps, getPrototypeOf(getPrototypeOf(generatorPrototype) as object));
makeEnumerable(steps, []);
defineToStringTag(steps, "ReadableStream AsyncIterator");

/** Defines `values` and `Symbol.asyncIterator`, which are one function. */
export function defineAsyncIteration<S extends object>(stream: Class<S>, coreOf: (stream: S) => ReadableCore): void {
  const holder = {
    values(this: S): unknown {
      const core = coreOf(this);
      const { preventCancel } = iteratorOptions(arguments[0], "ReadableStream.values: options");
      return new StreamIterator(new DefaultReaderCore(core), preventCancel);
    },
  };
  const prototype = stream.prototype as object;
  const value = holder.values;
  defineProperty(prototype, "values", { value, writable: true, enumerable: true, configurable: true });
  defineProperty(prototype, SymbolAsyncIterator, { value, writable: true, enumerable: false, configurable: true });
}
