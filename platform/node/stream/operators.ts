// Iteration helpers of Readable: `map`, `filter`, `take`, `toArray` and their kin.
//
// Those that give a stream do nothing until it is read. Work runs at most `concurrency` at a time, and
// results come in the order of the input.
//
// Invariant: leaving a helper early destroys its source.

import { AbortController, AbortSignal } from "../../web/abort.ts";
import { abortError, invalidArgValue, missingArgs, outOfRange, requireFunction, requireInteger, requireObject, requireSignal } from "../errors.ts";
import type { AbortSignalLike } from "../errors.ts";
import { nextTick } from "../ticks.ts";
import { addAbortSignal } from "./abort.ts";
import { compose as composeStreams } from "./compose.ts";
import { isNodeStream, isWritable } from "./kinds.ts";
import type { Readable } from "./types.ts";

type Work = (chunk: unknown, options: { signal: AbortSignalLike }) => unknown;

interface Options {
  signal?: AbortSignalLike;
  concurrency: number;
  highWaterMark: number;
}

function optionsOf(given: unknown): Options {
  const options: Options = { concurrency: 1, highWaterMark: 1 };
  if (given === undefined || given === null) return options;
  const { signal, concurrency, highWaterMark } = requireObject(given, "options");
  if (signal !== undefined && signal !== null) options.signal = requireSignal(signal, "options.signal");
  if (concurrency !== undefined && concurrency !== null) options.concurrency = Math.floor(concurrency as number);
  options.highWaterMark = highWaterMark === undefined || highWaterMark === null ? options.concurrency - 1 : Math.floor(highWaterMark as number);
  requireInteger(options.concurrency, "options.concurrency", 1);
  requireInteger(options.highWaterMark, "options.highWaterMark", 0);
  options.highWaterMark += options.concurrency;
  return options;
}

const EMPTY: unique symbol = Symbol("nothing");
const END: unique symbol = Symbol("end");

function map(this: Readable, given: unknown, options?: unknown): AsyncGenerator<unknown> {
  const work = requireFunction(given, "fn") as Work;
  const { signal, concurrency, highWaterMark } = optionsOf(options);
  const source = this;
  return (async function* () {
    const controller = new AbortController();
    const inner = signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]);
    const queue: unknown[] = [];
    let running = 0;
    let isDone = false;
    let wakeReader: (() => void) | undefined;
    let wakeWriter: (() => void) | undefined;
    const failed = (): void => {
      isDone = true;
      finishedOne();
    };
    const finishedOne = (): void => {
      running--;
      wakeWriterMaybe();
    };
    const wakeWriterMaybe = (): void => {
      if (wakeWriter === undefined || isDone || running >= concurrency || queue.length >= highWaterMark) return;
      const wake = wakeWriter;
      wakeWriter = undefined;
      wake();
    };
    const wakeReaderMaybe = (): void => {
      const wake = wakeReader;
      wakeReader = undefined;
      wake?.();
    };
    const pump = async (): Promise<void> => {
      try {
        for await (const chunk of source) {
          if (isDone) return;
          if (inner.aborted) throw abortError(inner.reason);
          let result: unknown;
          try {
            result = work(chunk, { signal: inner });
            if (result === EMPTY) continue;
            result = Promise.resolve(result);
          } catch (error) {
            result = Promise.reject(error);
          }
          running++;
          (result as Promise<unknown>).then(finishedOne, failed);
          queue.push(result);
          wakeReaderMaybe();
          if (!isDone && (queue.length >= highWaterMark || running >= concurrency)) await new Promise<void>((resolve) => (wakeWriter = resolve));
        }
        queue.push(END);
      } catch (error) {
        const result = Promise.reject(error);
        result.then(finishedOne, failed);
        queue.push(result);
      } finally {
        isDone = true;
        wakeReaderMaybe();
      }
    };
    void pump();
    try {
      for (;;) {
        while (queue.length > 0) {
          const value = await queue[0];
          if (value === END) return;
          if (inner.aborted) throw abortError(inner.reason);
          if (value !== EMPTY) yield value;
          queue.shift();
          wakeWriterMaybe();
        }
        await new Promise<void>((resolve) => (wakeReader = resolve));
      }
    } finally {
      controller.abort();
      isDone = true;
      const wake = wakeWriter;
      wakeWriter = undefined;
      if (wake !== undefined) nextTick(wake);
    }
  })();
}

function filter(this: Readable, given: unknown, options?: unknown): AsyncGenerator<unknown> {
  const work = requireFunction(given, "fn") as Work;
  return map.call(this, async (chunk: unknown, inner: { signal: AbortSignalLike }) => ((await work(chunk, inner)) ? chunk : EMPTY), options);
}

async function* flatten(source: AsyncIterable<unknown>): AsyncGenerator<unknown> {
  for await (const value of source) yield* value as Iterable<unknown>;
}

function flatMap(this: Readable, work: unknown, options?: unknown): AsyncGenerator<unknown> {
  return flatten(map.call(this, work, options));
}

function countOf(given: unknown): number {
  const number = Number(given);
  if (Number.isNaN(number)) return 0;
  if (number < 0) throw outOfRange("number", ">= 0", number);
  return Math.trunc(number);
}

function signalIn(options: unknown): AbortSignalLike | undefined {
  if (options === undefined || options === null) return undefined;
  const { signal } = requireObject(options, "options");
  return signal === undefined || signal === null ? undefined : requireSignal(signal, "options.signal");
}

function checked(signal: AbortSignalLike | undefined): void {
  if (signal?.aborted) throw abortError(signal.reason);
}

function drop(this: Readable, given: unknown, options?: unknown): AsyncGenerator<unknown> {
  const signal = signalIn(options);
  let left = countOf(given);
  const source = this;
  return (async function* () {
    checked(signal);
    for await (const chunk of source) {
      checked(signal);
      if (left-- <= 0) yield chunk;
    }
  })();
}

function take(this: Readable, given: unknown, options?: unknown): AsyncGenerator<unknown> {
  const signal = signalIn(options);
  let left = countOf(given);
  const source = this;
  return (async function* () {
    checked(signal);
    for await (const chunk of source) {
      checked(signal);
      if (left-- > 0) yield chunk;
      // One more is not waited for.
      if (left <= 0) return;
    }
  })();
}

function asIndexedPairs(this: Readable, options?: unknown): AsyncGenerator<unknown> {
  const signal = signalIn(options);
  const source = this;
  return (async function* () {
    let index = 0;
    for await (const chunk of source) {
      checked(signal);
      yield [index++, chunk];
    }
  })();
}

async function some(this: Readable, work: unknown, options?: unknown): Promise<boolean> {
  for await (const _ of filter.call(this, work, options)) return true;
  return false;
}

async function every(this: Readable, given: unknown, options?: unknown): Promise<boolean> {
  const work = requireFunction(given, "fn") as Work;
  return !(await some.call(this, async (chunk: unknown, inner: { signal: AbortSignalLike }) => !(await work(chunk, inner)), options));
}

async function find(this: Readable, work: unknown, options?: unknown): Promise<unknown> {
  for await (const chunk of filter.call(this, work, options)) return chunk;
  return undefined;
}

async function forEach(this: Readable, given: unknown, options?: unknown): Promise<void> {
  const work = requireFunction(given, "fn") as Work;
  const visit = async (chunk: unknown, inner: { signal: AbortSignalLike }): Promise<unknown> => {
    await work(chunk, inner);
    return EMPTY;
  };
  for await (const _ of map.call(this, visit, options));
}

async function reduce(this: Readable, given: unknown, ...rest: [initial?: unknown, options?: unknown]): Promise<unknown> {
  const work = requireFunction(given, "reducer");
  const [initial, options] = rest;
  const signal = signalIn(options);
  let hasValue = rest.length > 0;
  let value: unknown = initial;
  if (signal?.aborted) {
    const error = abortError(signal.reason);
    this.once("error", () => {});
    this.destroy(error);
    throw error;
  }
  const controller = new AbortController();
  const inner = controller.signal;
  signal?.addEventListener("abort", () => controller.abort(), { once: true });
  let isEmpty = true;
  try {
    for await (const chunk of this) {
      isEmpty = false;
      checked(signal);
      if (hasValue) {
        value = await work(value, chunk, { signal: inner });
      } else {
        value = chunk;
        hasValue = true;
      }
    }
    if (isEmpty && !hasValue) throw reduceOfNothing();
  } finally {
    controller.abort();
  }
  return value;
}

function reduceOfNothing(): Error {
  const error = missingArgs("reduce");
  return Object.assign(error, { message: "Reduce of an empty stream requires an initial value" });
}

async function toArray(this: Readable, options?: unknown): Promise<unknown[]> {
  const signal = signalIn(options);
  const all: unknown[] = [];
  for await (const chunk of this) {
    checked(signal);
    all.push(chunk);
  }
  return all;
}

function compose(this: Readable, stream: unknown, options?: unknown): unknown {
  const signal = signalIn(options);
  if (isNodeStream(stream) && !isWritable(stream)) throw invalidArgValue("stream", stream, "must be writable");
  const made = composeStreams(this, stream);
  if (signal !== undefined) addAbortSignal(signal, made);
  return made;
}

/** Helpers that give an iterable, of which the method makes a stream. */
export const streamHelpers: Record<string, (this: Readable, ...args: never[]) => unknown> = { asIndexedPairs, drop, filter, flatMap, map, take };

/** Helpers that give a promise. */
export const promiseHelpers: Record<string, unknown> = { every, find, forEach, reduce, some, toArray };

export { compose };
