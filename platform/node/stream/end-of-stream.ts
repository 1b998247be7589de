// `finished`: calls back once a stream of any kind will neither give nor take any more.
//
// Invariant: the callback runs at most once, and never while `finished` itself is on the stack.

import { AsyncLocalStorage } from "../async_hooks.ts";
import { abortError, invalidArgType, isAbortSignal, requireBoolean, requireFunction, requireObject } from "../errors.ts";
import type { AbortSignalLike } from "../errors.ts";
import { addAbortListener } from "../events.ts";
import type { EventEmitter } from "../events.ts";
import { nextTick } from "../ticks.ts";
import { errors } from "./errors.ts";
import {
  isClosed, isNodeStream, isReadable, isReadableFinished, isReadableNodeStream, isReadableStream, isRequest, isWritable,
  isWritableFinished, isWritableNodeStream, isWritableStream, readableErrored, willEmitClose, writableErrored,
} from "./kinds.ts";
import type { Maybe } from "./kinds.ts";

export interface FinishedOptions {
  error?: boolean;
  readable?: boolean;
  writable?: boolean;
  signal?: AbortSignalLike;
  cleanup?: boolean;
}

type Done = (error?: unknown) => void;
type AnyStream = Maybe & EventEmitter & { readable?: unknown; writable?: unknown; req?: EventEmitter };

let closedOf: (stream: unknown) => Promise<unknown> = () => Promise.resolve();

/** How the end of a web stream is heard of; `web.ts` knows. */
export function setWebClosed(closed: typeof closedOf): void {
  closedOf = closed;
}

const nothing = (): void => {};

function once(callback: Done): Done {
  let isCalled = false;
  return function (this: unknown, ...args: [error?: unknown]): void {
    if (isCalled) return;
    isCalled = true;
    Reflect.apply(callback, this, args);
  };
}

export function finished(stream: unknown, options: unknown, done?: unknown): () => void {
  let given: FinishedOptions = {};
  let work = done;
  if (arguments.length === 2) work = options;
  else if (options !== undefined && options !== null) given = requireObject(options, "options") as FinishedOptions;
  const callback = once(AsyncLocalStorage.bind(requireFunction(work, "callback")) as Done);
  if (given.signal !== undefined && !isAbortSignal(given.signal)) throw invalidArgType("options.signal", ["AbortSignal"], given.signal);
  if (isReadableStream(stream) || isWritableStream(stream)) return finishedWeb(stream, given, callback);
  if (!isNodeStream(stream)) throw invalidArgType("stream", ["ReadableStream", "WritableStream", "Stream"], stream);
  return finishedNode(stream as AnyStream, given, callback);
}

function finishedNode(stream: AnyStream, options: FinishedOptions, given: Done): () => void {
  let callback = given;
  const readable = options.readable ?? isReadableNodeStream(stream);
  const writable = options.writable ?? isWritableNodeStream(stream);
  const { _writableState: w, _readableState: r } = stream;
  // A stream with sides that are not asked about may close before they are done.
  let expectsClose = Boolean(
    willEmitClose(stream) && isReadableNodeStream(stream) === readable && isWritableNodeStream(stream) === writable,
  );
  let writableFinished: boolean | null | undefined = isWritableFinished(stream, false);
  let readableFinished: boolean | null | undefined = isReadableFinished(stream, false);

  const onLegacyFinish = (): void => {
    if (!stream.writable) onFinish();
  };
  const onFinish = (): void => {
    writableFinished = true;
    // Somebody destroyed it in the same tick: "close" is the last word.
    if (stream["destroyed"]) expectsClose = false;
    if (expectsClose && (!stream.readable || readable)) return;
    if (!readable || readableFinished) callback.call(stream);
  };
  const onEnd = (): void => {
    readableFinished = true;
    if (stream["destroyed"]) expectsClose = false;
    if (expectsClose && (!stream.writable || writable)) return;
    if (!writable || writableFinished) callback.call(stream);
  };
  const onError = (error: unknown): void => callback.call(stream, error);
  let closed = isClosed(stream);
  const onClose = (): void => {
    closed = true;
    const errored = writableErrored(stream) || readableErrored(stream);
    if (errored && typeof errored !== "boolean") return callback.call(stream, errored);
    if (readable && !readableFinished && isReadableNodeStream(stream) && !isReadableFinished(stream, false)) {
      return callback.call(stream, errors.prematureClose());
    }
    if (writable && !writableFinished && !isWritableFinished(stream, false)) return callback.call(stream, errors.prematureClose());
    callback.call(stream);
  };
  const onClosed = (): void => {
    closed = true;
    const errored = writableErrored(stream) || readableErrored(stream);
    if (errored && typeof errored !== "boolean") return callback.call(stream, errored);
    callback.call(stream);
  };
  const onRequest = (): void => void stream.req?.on("finish", onFinish);

  if (isRequest(stream)) {
    stream.on("complete", onFinish);
    if (!expectsClose) stream.on("abort", onClose);
    if (stream.req) onRequest();
    else stream.on("request", onRequest);
  } else if (writable && !w) {
    stream.on("end", onLegacyFinish);
    stream.on("close", onLegacyFinish);
  }
  if (!expectsClose && typeof stream["aborted"] === "boolean") stream.on("aborted", onClose);
  stream.on("end", onEnd);
  stream.on("finish", onFinish);
  if (options.error !== false) stream.on("error", onError);
  stream.on("close", onClose);

  if (closed) {
    nextTick(onClose);
  } else if (w?.errorEmitted || r?.errorEmitted) {
    if (!expectsClose) nextTick(onClosed);
  } else if (!readable && (!expectsClose || isReadable(stream)) && (writableFinished || isWritable(stream) === false) && (w == null || w.pendingcb === undefined || w.pendingcb === 0)) {
    nextTick(onClosed);
  } else if (!writable && (!expectsClose || isWritable(stream)) && (readableFinished || isReadable(stream) === false)) {
    nextTick(onClosed);
  } else if (r !== undefined && stream.req && stream["aborted"]) {
    nextTick(onClosed);
  }

  const cleanup = (): void => {
    callback = nothing;
    for (const [event, listener] of [
      ["aborted", onClose], ["complete", onFinish], ["abort", onClose], ["request", onRequest], ["end", onLegacyFinish],
      ["close", onLegacyFinish], ["finish", onFinish], ["end", onEnd], ["error", onError], ["close", onClose],
    ] as const) {
      stream.removeListener(event, listener as () => void);
    }
    stream.req?.removeListener("finish", onFinish);
  };
  if (options.signal && !closed) {
    const { signal } = options;
    const abort = (): void => {
      // Keep the callback: cleaning up takes it away.
      const last = callback;
      cleanup();
      last.call(stream, abortError(signal.reason));
    };
    callback = orAborted(stream, signal, abort, callback);
  }
  return cleanup;
}

/** Has `abort` run when the signal says so; the callback that is given back ends that. */
function orAborted(stream: unknown, signal: AbortSignalLike, abort: () => void, callback: Done): Done {
  if (signal.aborted) {
    nextTick(abort);
    return callback;
  }
  const listening = addAbortListener(signal, abort);
  return once((...args) => {
    listening[Symbol.dispose]();
    Reflect.apply(callback, stream, args);
  });
}

function finishedWeb(stream: unknown, options: FinishedOptions, given: Done): () => void {
  let callback = given;
  let isAborted = false;
  if (options.signal) {
    const { signal } = options;
    const abort = (): void => {
      isAborted = true;
      callback.call(stream, abortError(signal.reason));
    };
    callback = orAborted(stream, signal, abort, callback);
  }
  const settled = (...args: [error?: unknown]): void => {
    if (!isAborted) nextTick(() => callback.apply(stream, args));
  };
  closedOf(stream).then(() => settled(), settled);
  return nothing;
}

export function finishedPromise(stream: unknown, options?: unknown): Promise<void> {
  let autoCleanup = false;
  let given: FinishedOptions = {};
  if (options !== undefined && options !== null) given = requireObject(options, "options") as FinishedOptions;
  if (given.cleanup !== undefined) autoCleanup = requireBoolean(given.cleanup, "cleanup");
  return new Promise((resolve, reject) => {
    const stop = finished(stream, given, (error: unknown) => {
      if (autoCleanup) stop();
      if (error) reject(error);
      else resolve();
    });
  });
}
