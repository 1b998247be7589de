// Duplex: a readable and a writable side in one object, which know little of each other.
//
// It inherits from Readable; what is Writable's is copied onto its prototype.

import { abortError, invalidArgType, invalidReturnValue } from "../errors.ts";
import { isBlob } from "../../web/blob.ts";
import { AbortController } from "../../web/abort.ts";
import { nextTick } from "../ticks.ts";
import { addAbortSignal } from "./abort.ts";
import { construct, destroyer } from "./destroy.ts";
import { finished } from "./end-of-stream.ts";
import { from } from "./from.ts";
import { Waiting, readThrough, writeThrough } from "./joints.ts";
import { isDuplexNodeStream, isIterable, isNodeStream, isReadable, isReadableNodeStream, isReadableStream, isWritable, isWritableNodeStream, isWritableStream } from "./kinds.ts";
import { defineGetters, defineMethods, Stream } from "./legacy.ts";
import { afterReadableConstruct, Readable, readableState, ReadableStateClass, setDuplexCheck as setReadableCheck, useHooks } from "./readable.ts";
import { afterConstruct, destroyWritable, initWritable, setDuplexCheck as setWritableCheck, writableGetters, writableMethods } from "./writable.ts";
import type { Callback, Duplex as DuplexType, Readable as ReadableType, ReadableState, StreamClass, StreamOptions, Writable as WritableType } from "./types.ts";

export const Duplex = function Duplex(this: DuplexType | undefined, options?: StreamOptions): DuplexType | undefined {
  if (!(this instanceof Duplex)) return new (Duplex as unknown as StreamClass<DuplexType>)(options);
  const self = this as DuplexType;
  self._readableState = Object.assign(Object.create(ReadableStateClass.prototype as object) as ReadableState, readableState(options, true));
  initWritable(self as unknown as WritableType, options);
  self.allowHalfOpen = true;
  if (options) {
    self.allowHalfOpen = options["allowHalfOpen"] !== false;
    if (options["readable"] === false) Object.assign(self._readableState, { readable: false, ended: true, endEmitted: true });
    if (options["writable"] === false) Object.assign(self._writableState, { writable: false, ending: true, ended: true, finished: true });
    useHooks(self, options, ["read", "write", "writev", "destroy", "final", "construct"]);
    if (options.signal) addAbortSignal(options.signal, self);
  }
  Reflect.apply(Stream as unknown as () => void, self, [options]);
  construct(self, () => {
    afterReadableConstruct(self);
    afterConstruct(self as unknown as WritableType);
  });
  return undefined;
} as unknown as StreamClass<DuplexType> & Record<string, unknown>;
Object.setPrototypeOf(Duplex.prototype, Readable.prototype);
Object.setPrototypeOf(Duplex, Readable);

const isDuplex = (stream: object): boolean => stream instanceof Duplex;
setReadableCheck(isDuplex);
setWritableCheck(isDuplex);

defineMethods(Duplex.prototype, {
  ...writableMethods,
  destroy(this: DuplexType, error: unknown, callback?: Callback): DuplexType {
    return destroyWritable(this, error, callback);
  },
});
defineGetters<DuplexType>(Duplex.prototype, {
  ...(writableGetters as unknown as Parameters<typeof defineGetters<DuplexType>>[1]),
  closed: (self) => self._writableState?.closed ?? false,
  errored: (self) => self._writableState?.errored ?? null,
  destroyed: [
    (self) => (self._readableState && self._writableState ? self._readableState.destroyed && self._writableState.destroyed : false),
    (self, value) => {
      if (!self._readableState || !self._writableState) return;
      self._readableState.destroyed = Boolean(value);
      self._writableState.destroyed = Boolean(value);
    },
  ],
});

// ---- Duplex.from -----------------------------------------------------------------------------

/** Sides that are off from the start, also where the pair's own say so only later. */
class Duplexify extends (Duplex as unknown as { new (options?: StreamOptions): DuplexType }) {
  constructor(options?: StreamOptions) {
    super(options);
    if (options?.["readable"] === false) Object.assign(this._readableState, { readable: false, ended: true, endEmitted: true });
    if (options?.["writable"] === false) Object.assign(this._writableState, { writable: false, ending: true, ended: true, finished: true });
  }
}

interface Pair {
  readable?: unknown;
  writable?: unknown;
}

type AnyFunction = (...args: unknown[]) => unknown;

let webPair: (pair: Pair, options: StreamOptions) => DuplexType;
let webReadable: (stream: unknown) => unknown;
let webWritable: (stream: unknown) => unknown;

/** `web.ts` says how the web's streams become ours. */
export function setWebAdapters(pair: typeof webPair, readable: typeof webReadable, writable: typeof webWritable): void {
  [webPair, webReadable, webWritable] = [pair, readable, writable];
}

function thenOf(value: unknown): AnyFunction | undefined {
  const then = (value as { then?: unknown } | null | undefined)?.then;
  return typeof then === "function" ? (then as AnyFunction) : undefined;
}

export function duplexFrom(body: unknown, name = "body"): unknown {
  if (isDuplexNodeStream(body)) return body;
  if (isReadableNodeStream(body)) return joinPair({ readable: body });
  if (isWritableNodeStream(body)) return joinPair({ writable: body });
  if (isNodeStream(body)) return joinPair({ writable: false, readable: false });
  if (isReadableStream(body)) return joinPair({ readable: webReadable(body) });
  if (isWritableStream(body)) return joinPair({ writable: webWritable(body) });
  if (typeof body === "function") return fromFunction(body as AnyFunction, name);
  if (isBlob(body)) return duplexFrom(body.arrayBuffer(), name);
  if (isIterable(body)) return from(Duplexify as never, body, { objectMode: true, writable: false });
  const pair = body as Pair | null | undefined;
  if (isReadableStream(pair?.readable) && isWritableStream(pair?.writable)) return webPair(pair as Pair, {});
  if (typeof pair?.writable === "object" || typeof pair?.readable === "object") {
    const side = (value: unknown, isOne: (value: unknown) => boolean): unknown => (!value ? undefined : isOne(value) ? value : duplexFrom(value, name));
    return joinPair({ readable: side(pair.readable, isReadableNodeStream), writable: side(pair.writable, isWritableNodeStream) });
  }
  const then = thenOf(body);
  if (then !== undefined) {
    const duplex = new Duplexify({ objectMode: true, writable: false, read() {} });
    Reflect.apply(then, body, [
      (value: unknown) => {
        if (value != null) duplex.push(value);
        duplex.push(null);
      },
      (error: unknown) => destroyer(duplex, error),
    ]);
    return duplex;
  }
  const kinds = ["Blob", "ReadableStream", "WritableStream", "Stream", "Iterable", "AsyncIterable", "Function", "{ readable, writable } pair", "Promise"];
  throw invalidArgType(name, kinds, body);
}

function fromFunction(work: AnyFunction, name: string): unknown {
  const { value, write, final, destroy } = feed(work);
  // What is a whole stream already is the answer.
  if (isDuplexNodeStream(value)) return value;
  if (isIterable(value)) return from(Duplexify as never, value, { objectMode: true, write, final, destroy });
  const then = thenOf(value);
  if (then === undefined) throw invalidReturnValue("Iterable, AsyncIterable or AsyncFunction", name, value);
  let duplex: DuplexType | undefined;
  const promise = Reflect.apply(then, value, [
    (result: unknown) => {
      if (result != null) throw invalidReturnValue("nully", "body", result);
    },
    (error: unknown) => destroyer(duplex, error),
  ]) as Promise<unknown>;
  duplex = new Duplexify({
    objectMode: true,
    readable: false,
    write,
    final(callback: Callback) {
      final(() => {
        promise.then(
          () => nextTick(callback, null),
          (error: unknown) => nextTick(callback, error),
        );
      });
    },
    destroy,
  });
  return duplex;
}

interface Fed {
  chunk?: unknown;
  isDone: boolean;
  callback: Callback;
}

/** Calls `work` with an iterable of what will be written. */
function feed(work: AnyFunction): { value: unknown; write: AnyFunction; final: (callback: Callback) => void; destroy: AnyFunction } {
  let next = Promise.withResolvers<Fed>();
  const controller = new AbortController();
  const { signal } = controller;
  const iterable = (async function* () {
    for (;;) {
      const { chunk, isDone, callback } = await next.promise;
      nextTick(callback);
      if (isDone) return;
      if (signal.aborted) throw abortError(signal.reason);
      next = Promise.withResolvers<Fed>();
      yield chunk;
    }
  })();
  const value = work(iterable, { signal });
  return {
    value,
    write: (chunk, _encoding, callback) => next.resolve({ chunk, isDone: false, callback: callback as Callback }),
    final: (callback) => next.resolve({ isDone: true, callback }),
    destroy: (error, callback) => {
      controller.abort();
      (callback as Callback)(error);
    },
  };
}

function joinPair(pair: Pair): DuplexType {
  const given = pair.readable as ReadableType | undefined;
  const source = given && typeof given.read !== "function" ? (Readable["wrap"] as (stream: unknown) => ReadableType)(given) : given;
  const sink = pair.writable as WritableType | undefined;
  let readable = Boolean(isReadable(source));
  let writable = Boolean(isWritable(sink));
  const waiting = new Waiting();
  let onClose: Callback | null | undefined;

  const duplex = new Duplexify({
    readableObjectMode: Boolean(source?.readableObjectMode),
    writableObjectMode: Boolean(sink?.writableObjectMode),
    readable,
    writable,
  });
  const onEnd = (error: unknown): void => {
    const callback = onClose;
    onClose = null;
    if (callback) callback(error);
    else if (error) duplex.destroy(error);
  };

  if (writable && sink) {
    finished(sink, (error: unknown) => {
      writable = false;
      if (error) destroyer(source, error);
      onEnd(error);
    });
    writeThrough(duplex, sink, waiting);
    sink.on("finish", () => waiting.call("finish"));
  }
  if (readable && source) {
    finished(source, (error: unknown) => {
      readable = false;
      if (error) destroyer(source, error);
      onEnd(error);
    });
    readThrough(duplex, source, waiting);
  }
  duplex._destroy = (given_, callback) => {
    const error = !given_ && onClose !== null ? abortError() : given_;
    waiting.forget();
    if (onClose === null) {
      callback(error);
    } else {
      onClose = callback;
      destroyer(sink, error);
      destroyer(source, error);
    }
  };
  return duplex;
}

// ---- duplexPair ------------------------------------------------------------------------------

const kOther: unique symbol = Symbol("other side");
const kCallback: unique symbol = Symbol("callback");

type Side = DuplexType & { [kOther]: Side | null; [kCallback]: Callback | null };

function DuplexSide(options?: StreamOptions): Side {
  const side = new Duplex(options) as Side;
  side[kOther] = null;
  side[kCallback] = null;
  side._read = () => {
    const callback = side[kCallback];
    side[kCallback] = null;
    callback?.();
  };
  side._write = (chunk, _encoding, callback) => {
    const other = side[kOther] as Side;
    if ((chunk as { length?: number }).length === 0) {
      nextTick(callback);
    } else {
      other.push(chunk);
      other[kCallback] = callback;
    }
  };
  side._final = (callback) => {
    const other = side[kOther] as Side;
    other.on("end", callback);
    other.push(null);
  };
  return side;
}

/** Two streams, each of which gives what is written to the other. */
export function duplexPair(options?: StreamOptions): [DuplexType, DuplexType] {
  const [a, b] = [DuplexSide(options), DuplexSide(options)];
  a[kOther] = b;
  b[kOther] = a;
  return [a, b];
}

Duplex["from"] = (body: unknown) => duplexFrom(body, "body");
