// `pipeline`: streams, iterables and functions joined one after the other, which fail together.
//
// Invariant: the callback runs once, after every part has finished or was destroyed.

import { AbortController } from "../../web/abort.ts";
import { abortError, invalidArgType, invalidReturnValue, missingArgs, requireFunction, requireSignal } from "../errors.ts";
import type { AbortSignalLike } from "../errors.ts";
import { addAbortListener } from "../events.ts";
import { nextTick } from "../ticks.ts";
import { destroyer as destroyStream } from "./destroy.ts";
import { Duplex } from "./duplex.ts";
import { finished } from "./end-of-stream.ts";
import { both, errors } from "./errors.ts";
import { isIterable, isNodeStream, isReadable, isReadableFinished, isReadableNodeStream, isReadableStream, isTransformStream, isWebStream } from "./kinds.ts";
import { Readable } from "./readable.ts";
import { PassThrough } from "./transform.ts";
import type { Callback, Readable as ReadableType, Writable } from "./types.ts";

export interface PipelineOptions {
  signal?: AbortSignalLike;
  end?: boolean;
}

type Done = (error?: unknown, value?: unknown) => void;
type AnyFunction = (...args: unknown[]) => unknown;

interface Guard {
  destroy(error?: unknown): void;
  cleanup(): void;
}

/** Destroys a stream when the others fail, unless it is through. */
function guard(stream: unknown, reading: boolean, writing: boolean): Guard {
  let isDone = false;
  (stream as ReadableType).on("close", () => {
    isDone = true;
  });
  const cleanup = finished(stream, { readable: reading, writable: writing }, (error: unknown) => {
    isDone = !error;
  });
  return {
    destroy(error) {
      if (isDone) return;
      isDone = true;
      destroyStream(stream, error || errors.destroyed("pipe"));
    },
    cleanup,
  };
}

function asIterable(value: unknown): unknown {
  if (isIterable(value)) return value;
  if (!isReadableNodeStream(value)) throw invalidArgType("val", ["Readable", "Iterable", "AsyncIterable"], value);
  return {
    [Symbol.asyncIterator]: () => Readable.prototype[Symbol.asyncIterator].call(value as ReadableType),
  };
}

async function pumpToNode(iterable: AsyncIterable<unknown>, writable: Writable, finish: Done, end: boolean): Promise<void> {
  let failure: unknown;
  let wake: (() => void) | null = null;
  const resume = (error?: unknown): void => {
    if (error) failure = error;
    const work = wake;
    wake = null;
    work?.();
  };
  const wait = (): Promise<void> =>
    new Promise((resolve, reject) => {
      if (failure) return reject(failure);
      wake = () => (failure ? reject(failure) : resolve());
    });
  writable.on("drain", resume);
  const cleanup = finished(writable, { readable: false }, resume);
  try {
    if (writable.writableNeedDrain) await wait();
    for await (const chunk of iterable) {
      if (!writable.write(chunk)) await wait();
    }
    if (end) {
      writable.end();
      await wait();
    }
    finish();
  } catch (error) {
    finish(failure !== error ? both(failure, error) : error);
  } finally {
    cleanup();
    writable.off("drain", resume);
  }
}

interface WebWriter {
  readonly ready: Promise<void>;
  write(chunk: unknown): Promise<void>;
  close(): Promise<void>;
  abort(reason: unknown): Promise<void>;
}

async function pumpToWeb(iterable: AsyncIterable<unknown>, stream: unknown, finish: Done, end: boolean): Promise<void> {
  const sink = (isTransformStream(stream) ? (stream as { writable: unknown }).writable : stream) as { getWriter(): WebWriter };
  const writer = sink.getWriter();
  try {
    for await (const chunk of iterable) {
      await writer.ready;
      writer.write(chunk).catch(() => {});
    }
    await writer.ready;
    if (end) await writer.close();
    finish();
  } catch (error) {
    try {
      await writer.abort(error);
      finish(error);
    } catch (failed) {
      finish(failed);
    }
  }
}

function pipe(source: ReadableType, destination: Writable, finish: Done, fail: Done, end: boolean): () => void {
  let isEnded = false;
  destination.on("close", () => {
    // A destination that closes before it was ended takes the others down.
    if (!isEnded) fail(errors.prematureClose());
  });
  source.pipe(destination, { end: false });
  if (end) {
    const endDestination = (): void => {
      isEnded = true;
      destination.end();
    };
    if (isReadableFinished(source)) nextTick(endDestination);
    else source.once("end", endDestination);
  } else {
    finish();
  }
  finished(source, { readable: true, writable: false }, (error: unknown) => {
    const state = source._readableState;
    const isClosedEarly = (error as { code?: unknown } | undefined)?.code === "ERR_STREAM_PREMATURE_CLOSE";
    if (isClosedEarly && state?.ended && !state.errored && !state.errorEmitted) {
      // Some streams close before they have handed out their last bytes.
      source.once("end", finish).once("error", finish);
    } else {
      finish(error);
    }
  });
  return finished(destination, { readable: false, writable: true }, finish);
}

export function pipeline(...args: unknown[]): unknown {
  const callback = requireFunction(args.pop(), "streams[stream.length - 1]") as Callback;
  let isCalled = false;
  return runPipeline(args, (error, value) => {
    if (isCalled) return;
    isCalled = true;
    callback(error, value);
  });
}

export function runPipeline(given: unknown[], callback: Done, options?: PipelineOptions): unknown {
  const streams = given.length === 1 && Array.isArray(given[0]) ? (given[0] as unknown[]) : given;
  if (streams.length < 2) throw missingArgs("streams");
  const controller = new AbortController();
  const { signal } = controller;
  const outer = options?.signal === undefined ? undefined : requireSignal(options.signal, "options.signal");
  const cleanups: (() => void)[] = [];
  const destroys: ((error?: unknown) => void)[] = [];
  let failure: unknown;
  let value: unknown;
  let left = 0;

  const abort = (): void => settle(abortError(outer?.reason), false);
  const listening = outer === undefined ? undefined : addAbortListener(outer, abort);
  const finish = (error?: unknown): void => settle(error, --left === 0);
  const fail = (error?: unknown): void => settle(error, false);
  function settle(error: unknown, isLast: boolean): void {
    if (error && (!failure || (failure as { code?: unknown }).code === "ERR_STREAM_PREMATURE_CLOSE")) failure = error;
    if (!failure && !isLast) return;
    for (const destroy of destroys.splice(0)) destroy(failure);
    listening?.[Symbol.dispose]();
    controller.abort();
    if (!isLast) return;
    if (!failure) for (const cleanup of cleanups) cleanup();
    nextTick(callback, failure, value);
  }

  let result: unknown;
  for (const [index, stream] of streams.entries()) {
    const reading = index < streams.length - 1;
    const writing = index > 0;
    const isLast = !reading;
    const end = reading || options?.end !== false;
    if (isNodeStream(stream)) watch(stream as ReadableType, reading, writing, isLast, end);
    if (index === 0) result = sourceOf(stream, signal);
    else if (typeof stream === "function") result = through(stream as AnyFunction, result, index, reading, isLast, end);
    else if (isNodeStream(stream)) result = into(stream as Writable, result, isLast, end);
    else if (isWebStream(stream)) result = intoWeb(stream, result, end);
    else result = (Duplex["from"] as (body: unknown) => unknown)(stream);
  }
  if (signal.aborted || outer?.aborted) nextTick(abort);
  return result;

  function watch(stream: ReadableType, reading: boolean, writing: boolean, isLast: boolean, end: boolean): void {
    if (end) {
      const { destroy, cleanup } = guard(stream, reading, writing);
      destroys.push(destroy);
      if (isReadable(stream) && isLast) cleanups.push(cleanup);
    }
    // Errors after the end must not be uncaught.
    const onError = (error: unknown): void => {
      const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown };
      if (error && name !== "AbortError" && code !== "ERR_STREAM_PREMATURE_CLOSE") fail(error);
    };
    stream.on("error", onError);
    if (isReadable(stream) && isLast) cleanups.push(() => void stream.removeListener("error", onError));
  }

  function through(work: AnyFunction, before: unknown, index: number, reading: boolean, isLast: boolean, end: boolean): unknown {
    const input = asIterable(isTransformStream(before) ? (before as { readable: unknown }).readable : before);
    const output = work(input, { signal });
    if (reading) {
      if (!isIterable(output, "async")) throw invalidReturnValue("AsyncIterable", `transform[${index - 1}]`, output);
      return output;
    }
    const pass = new PassThrough({ objectMode: true }) as unknown as Writable;
    const then = (output as { then?: unknown } | null | undefined)?.then;
    if (typeof then === "function") {
      left++;
      Reflect.apply(then, output, [
        (settled: unknown) => {
          value = settled;
          if (settled != null) pass.write(settled);
          if (end) pass.end();
          nextTick(finish);
        },
        (error: unknown) => {
          pass.destroy(error);
          nextTick(finish, error);
        },
      ]);
    } else if (isIterable(output, "async") || isReadableStream(output) || isTransformStream(output)) {
      left++;
      const readable = isTransformStream(output) ? (output as { readable: unknown }).readable : output;
      void pumpToNode(readable as AsyncIterable<unknown>, pass, finish, end);
    } else {
      throw invalidReturnValue("AsyncIterable or Promise", "destination", output);
    }
    const { destroy, cleanup } = guard(pass, false, true);
    destroys.push(destroy);
    if (isLast) cleanups.push(cleanup);
    return pass;
  }

  function into(stream: Writable, before: unknown, isLast: boolean, end: boolean): unknown {
    if (isReadableNodeStream(before)) {
      left += 2;
      const cleanup = pipe(before as ReadableType, stream, finish, fail, end);
      if (isReadable(stream) && isLast) cleanups.push(cleanup);
    } else if (isTransformStream(before) || isReadableStream(before) || isIterable(before)) {
      left++;
      const source = isTransformStream(before) ? (before as { readable: unknown }).readable : before;
      void pumpToNode(source as AsyncIterable<unknown>, stream, finish, end);
    } else {
      throw invalidArgType("val", ["Readable", "Iterable", "AsyncIterable", "ReadableStream", "TransformStream"], before);
    }
    return stream;
  }

  function intoWeb(stream: unknown, before: unknown, end: boolean): unknown {
    const isOne = isReadableNodeStream(before) || isReadableStream(before) || isIterable(before) || isTransformStream(before);
    if (!isOne) throw invalidArgType("val", ["Readable", "Iterable", "AsyncIterable", "ReadableStream", "TransformStream"], before);
    left++;
    const source = isReadableNodeStream(before) ? asIterable(before) : isTransformStream(before) ? (before as { readable: unknown }).readable : before;
    void pumpToWeb(source as AsyncIterable<unknown>, stream, finish, end);
    return stream;
  }
}

function sourceOf(stream: unknown, signal: unknown): unknown {
  if (typeof stream === "function") {
    const made: unknown = (stream as AnyFunction)({ signal });
    if (!isIterable(made)) throw invalidReturnValue("Iterable, AsyncIterable or Stream", "source", made);
    return made;
  }
  if (isIterable(stream) || isReadableNodeStream(stream) || isTransformStream(stream)) return stream;
  return (Duplex["from"] as (body: unknown) => unknown)(stream);
}

/** `stream.promises.pipeline`. */
export function pipelinePromise(...streams: unknown[]): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let options: PipelineOptions | undefined;
    const last = streams.at(-1);
    if (last && typeof last === "object" && !isNodeStream(last) && !isIterable(last) && !isWebStream(last)) {
      options = streams.pop() as PipelineOptions;
    }
    runPipeline(streams, (error, value) => (error ? reject(error) : resolve(value)), options);
  });
}
