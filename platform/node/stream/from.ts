// `Readable.from`: a stream of what an iterable gives.

import { Buffer } from "../buffer.ts";
import { invalidArgType } from "../errors.ts";
import { nextTick } from "../ticks.ts";
import { errors } from "./errors.ts";
import type { Callback, Readable, StreamOptions } from "./types.ts";

type Maker = new (options?: StreamOptions) => Readable;

interface AnyIterator {
  next(): unknown;
  throw?: (error: unknown) => unknown;
  return?: () => unknown;
}

export function from(Readable: Maker, iterable: unknown, options?: StreamOptions): Readable {
  // A text is one piece, not its characters.
  if (typeof iterable === "string" || Buffer.isBuffer(iterable)) {
    return new Readable({
      objectMode: true,
      ...options,
      read(this: Readable) {
        this.push(iterable);
        this.push(null);
      },
    });
  }
  const source = iterable as { [Symbol.asyncIterator]?: () => AnyIterator; [Symbol.iterator]?: () => AnyIterator } | null | undefined;
  const isAsync = Boolean(source?.[Symbol.asyncIterator]);
  const iterator = isAsync ? source?.[Symbol.asyncIterator]?.() : source?.[Symbol.iterator]?.();
  if (iterator === undefined) throw invalidArgType("iterable", ["Iterable"], iterable);

  const readable = new Readable({ objectMode: true, highWaterMark: 1, ...options });
  let isReading = false;
  readable._read = () => {
    if (isReading) return;
    isReading = true;
    void next();
  };
  readable._destroy = (error: unknown, callback: Callback) => {
    close(error).then(
      () => nextTick(callback, error),
      (failed: unknown) => nextTick(callback, failed || error),
    );
  };

  async function close(error: unknown): Promise<void> {
    const hadError = error !== undefined && error !== null;
    if (hadError && typeof iterator?.throw === "function") {
      const { value, done } = (await iterator.throw(error)) as { value: unknown; done: boolean };
      await value;
      if (done) return;
    }
    if (typeof iterator?.return === "function") {
      const { value } = (await iterator.return()) as { value: unknown };
      await value;
    }
  }

  async function next(): Promise<void> {
    for (;;) {
      try {
        const step = iterator?.next();
        const { value, done } = (isAsync ? await step : step) as { value: unknown; done: boolean };
        if (done) {
          readable.push(null);
          return;
        }
        const isPromise = typeof (value as { then?: unknown } | null | undefined)?.then === "function";
        const chunk = isPromise ? await value : value;
        if (chunk === null) {
          isReading = false;
          throw errors.nullValues();
        }
        if (readable.push(chunk)) continue;
        isReading = false;
      } catch (error) {
        readable.destroy(error);
      }
      return;
    }
  }
  return readable;
}
