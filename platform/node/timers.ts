// node:timers and node:timers/promises: timers as objects.
//
// With `enable_nodejs_global_timers` they take the place of the global ones, so that
// `setTimeout(...).unref()` works. `ref` and `unref` change what `hasRef` says and nothing else: a
// Worker lives by its events, not by its timers.
//
// Invariant: a Timeout turns into its number where one is wanted, so either form clears it.

import { clearTimeout as clearNumber, setInterval as setIntervalNumber, setTimeout as setTimeoutNumber } from "../web/timers.ts";
import { scheduler } from "../web/scheduler.ts";
import { notImplemented, requireBoolean, requireFunction, requireNumber, requireObject, requireSignal } from "./errors.ts";
import type { AbortSignalLike } from "./errors.ts";

type Callback = (...args: unknown[]) => unknown;

const PROMISIFY: unique symbol = Symbol.for("nodejs.util.promisify.custom") as never;

class Timeout {
  readonly #callback: Callback;
  readonly #delay: number;
  readonly #args: unknown[];
  readonly #start: typeof setTimeoutNumber;
  #id: number;
  #isReferenced = true;

  constructor(start: typeof setTimeoutNumber, callback: unknown, delay: unknown, args: unknown[]) {
    this.#callback = requireFunction(callback, "callback");
    const ms = Number(delay);
    // As in Node.js: what is no delay, or too long for it, is the shortest.
    this.#delay = ms >= 1 && ms <= 2 ** 31 - 1 ? ms : 1;
    this.#args = args;
    this.#start = start;
    this.#id = start(this.#callback, this.#delay, ...args);
  }

  refresh(): this {
    clearNumber(this.#id);
    this.#id = this.#start(this.#callback, this.#delay, ...this.#args);
    return this;
  }

  ref(): this {
    this.#isReferenced = true;
    return this;
  }

  unref(): this {
    this.#isReferenced = false;
    return this;
  }

  hasRef(): boolean {
    return this.#isReferenced;
  }

  close(): this {
    clearNumber(this.#id);
    return this;
  }

  [Symbol.dispose](): void {
    clearNumber(this.#id);
  }

  [Symbol.toPrimitive](): number {
    return this.#id;
  }
}

class Immediate {
  readonly #id: number;
  #isReferenced = true;

  constructor(callback: unknown, args: unknown[]) {
    this.#id = setTimeoutNumber(requireFunction(callback, "callback"), 0, ...args);
  }

  ref(): this {
    this.#isReferenced = true;
    return this;
  }

  unref(): this {
    this.#isReferenced = false;
    return this;
  }

  hasRef(): boolean {
    return this.#isReferenced;
  }

  [Symbol.dispose](): void {
    clearNumber(this.#id);
  }

  static clear(immediate: unknown): void {
    if (typeof immediate === "object" && immediate !== null && #id in immediate) clearNumber(immediate.#id);
  }
}

export function setTimeout(callback: unknown, delay?: unknown, ...args: unknown[]): Timeout {
  return new Timeout(setTimeoutNumber, callback, delay, args);
}

export function setInterval(callback: unknown, delay?: unknown, ...args: unknown[]): Timeout {
  return new Timeout(setIntervalNumber, callback, delay, args);
}

export function clearTimeout(timer?: unknown): void {
  if (timer instanceof Timeout) timer.close();
  else if (typeof timer === "number" || typeof timer === "string") clearNumber(timer);
}

export function setImmediate(callback: unknown, ...args: unknown[]): Immediate {
  return new Immediate(callback, args);
}

export function clearImmediate(immediate?: unknown): void {
  Immediate.clear(immediate);
}

/** The timers that `enable_nodejs_global_timers` puts on the global object. */
export const globalTimers = { clearInterval: clearTimeout, clearTimeout, setInterval, setTimeout };

// ---- Promises --------------------------------------------------------------------------------

function requireDelay(delay: unknown): void {
  if (delay !== undefined) requireNumber(delay, "delay");
}

function signalOf(options: unknown): AbortSignalLike | undefined {
  if (options === undefined) return undefined;
  const { signal, ref } = requireObject(options, "options");
  if (signal !== undefined) requireSignal(signal, "options.signal");
  // As every timer: it holds nothing up.
  if (ref !== undefined) requireBoolean(ref, "options.ref");
  return signal as AbortSignalLike | undefined;
}

function aborted(signal: AbortSignalLike): Error {
  const error = new Error("The operation was aborted", { cause: signal.reason });
  return Object.assign(error, { name: "AbortError", code: "ABORT_ERR" });
}

/** Waits for what `begin` starts; the signal ends the wait by `stop`. */
function waitFor(begin: (done: () => void) => () => void, signal: AbortSignalLike | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(aborted(signal));
    const onAbort = (): void => {
      stop();
      reject(aborted(signal as AbortSignalLike));
    };
    const stop = begin(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

function after(delay: unknown, done: () => void): () => void {
  const timer = setTimeout(done, delay);
  return () => void timer.close();
}

async function setTimeoutPromise(delay?: unknown, value?: unknown, options?: unknown): Promise<unknown> {
  requireDelay(delay);
  await waitFor((done) => after(delay, done), signalOf(options));
  return value;
}

async function setImmediatePromise(value?: unknown, options?: unknown): Promise<unknown> {
  const begin = (done: () => void): (() => void) => {
    const immediate = setImmediate(done);
    return () => clearImmediate(immediate);
  };
  await waitFor(begin, signalOf(options));
  return value;
}

async function* setIntervalPromise(delay?: unknown, value?: unknown, options?: unknown): AsyncGenerator<unknown> {
  requireDelay(delay);
  const signal = signalOf(options);
  if (signal?.aborted === true) throw aborted(signal);
  let ticks = 0;
  let wake = (): void => {};
  const timer = setInterval(() => {
    ticks++;
    wake();
  }, delay);
  try {
    for (;;) {
      if (ticks === 0) await waitFor((done) => ((wake = done), () => (wake = () => {})), signal);
      for (; ticks > 0; ticks--) yield value;
    }
  } finally {
    timer.close();
  }
}

Object.defineProperty(setTimeout, PROMISIFY, { value: setTimeoutPromise, configurable: true });
Object.defineProperty(setImmediate, PROMISIFY, { value: setImmediatePromise, configurable: true });

const promises = {
  setImmediate: setImmediatePromise,
  setInterval: setIntervalPromise,
  setTimeout: setTimeoutPromise,
  scheduler,
};

/** Deprecated in Node.js: `refresh()` under another name. */
function active(timer: unknown): void {
  if (timer instanceof Timeout) timer.refresh();
}

function enroll(): never {
  throw notImplemented("timers.enroll");
}

const members = { ...globalTimers, active, clearImmediate, enroll, promises, setImmediate, unenroll: clearTimeout };

export const timersModule: Record<string, unknown> = { ...members, default: members };
export const timersPromisesModule: Record<string, unknown> = { ...promises, default: promises };
