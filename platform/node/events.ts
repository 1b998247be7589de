// node:events: EventEmitter and the functions around it.
//
// Listeners are kept where Node.js keeps them, in `_events`: one function, or a list of them. Packages
// look there. A list is copied before it changes while it may be read.
//
// Absent: domains, which are a module of their own that does nothing here.
//
// Invariant: a listener added or removed while an event is being emitted does not change who hears it.

import { inspect } from "../web/inspect.ts";
import { isEventTarget, listenersOf } from "../web/events.ts";
import { AsyncResource } from "./async_hooks.ts";
import { abortError, coded, invalidArgType, isAbortSignal, outOfRange, requireBoolean, requireFunction, requireInteger, requireObject, requireSignal } from "./errors.ts";
import type { AbortSignalLike } from "./errors.ts";
import { nextTick, warnings } from "./ticks.ts";

// eslint-style names are Node's: they are seen by packages.
export type Listener = ((...args: never[]) => unknown) & { listener?: Listener; warned?: boolean };
export type EventName = string | symbol;

type Handlers = (Listener[] & { warned?: boolean }) | Listener;

export interface EventEmitter {
  _events: Record<EventName, Handlers> | undefined;
  _eventsCount: number;
  _maxListeners: number | undefined;
  on(event: EventName, listener: (...args: never[]) => unknown): this;
  once(event: EventName, listener: (...args: never[]) => unknown): this;
  addListener(event: EventName, listener: (...args: never[]) => unknown): this;
  prependListener(event: EventName, listener: (...args: never[]) => unknown): this;
  prependOnceListener(event: EventName, listener: (...args: never[]) => unknown): this;
  off(event: EventName, listener: (...args: never[]) => unknown): this;
  removeListener(event: EventName, listener: (...args: never[]) => unknown): this;
  removeAllListeners(event?: EventName): this;
  emit(event: EventName, ...args: unknown[]): boolean;
  listeners(event: EventName): Listener[];
  rawListeners(event: EventName): Listener[];
  listenerCount(event: EventName, listener?: unknown): number;
  eventNames(): EventName[];
  setMaxListeners(count: number): this;
  getMaxListeners(): number;
}

export interface EventEmitterClass {
  new (options?: { captureRejections?: unknown }): EventEmitter;
  (this: object, options?: { captureRejections?: unknown }): void;
  readonly prototype: EventEmitter;
  init(this: object, options?: { captureRejections?: unknown }): void;
}

/** Listeners of one event after which a leak is suspected. */
const LISTENERS_MAX_DEFAULT = 10;

let defaultMaxListeners = LISTENERS_MAX_DEFAULT;
let captureByDefault = false;

export const captureRejectionSymbol: unique symbol = Symbol.for("nodejs.rejection") as never;
export const errorMonitor: unique symbol = Symbol("events.errorMonitor");
/** Whether rejections of listeners become "error" events. */
const kCapture: unique symbol = Symbol("kCapture");
const kMaxEventTargetListeners: unique symbol = Symbol("events.maxEventTargetListeners");

type Inside = EventEmitter & { [kCapture]?: boolean; [captureRejectionSymbol]?: unknown };

function requireListener(listener: unknown): Listener {
  return requireFunction(listener, "listener") as Listener;
}

/** A function, not a class: code written for Node.js calls `EventEmitter.call(this)`. */
export const EventEmitter = function EventEmitter(this: object, options?: { captureRejections?: unknown }): void {
  init.call(this as Inside, options);
} as unknown as EventEmitterClass;

function init(this: Inside, options?: { captureRejections?: unknown }): void {
  const inherited = (Object.getPrototypeOf(this) as Partial<EventEmitter>)._events;
  if (this._events === undefined || this._events === inherited) {
    this._events = Object.create(null) as Record<EventName, Handlers>;
    this._eventsCount = 0;
  }
  this._maxListeners = this._maxListeners || undefined;
  const wish = options?.captureRejections;
  if (wish) this[kCapture] = requireBoolean(wish, "options.captureRejections");
  else this[kCapture] = captureByDefault;
}

function add(emitter: Inside, event: EventName, listener: Listener, where: "first" | "last"): Inside {
  let events = emitter._events;
  if (events === undefined) {
    events = emitter._events = Object.create(null) as Record<EventName, Handlers>;
    emitter._eventsCount = 0;
  } else if (events["newListener"] !== undefined) {
    emitter.emit("newListener", event, listener.listener ?? listener);
    events = emitter._events as Record<EventName, Handlers>;
  }
  const before = events[event];
  if (before === undefined) {
    events[event] = listener;
    emitter._eventsCount++;
    return emitter;
  }
  const list = typeof before === "function" ? [before] : before;
  if (where === "last") list.push(listener);
  else list.unshift(listener);
  events[event] = list;
  suspectLeak(emitter, event, list);
  return emitter;
}

function suspectLeak(emitter: Inside, event: EventName, list: Listener[] & { warned?: boolean }): void {
  const most = maxListenersOf(emitter);
  if (most <= 0 || list.length <= most || list.warned === true) return;
  list.warned = true;
  const message =
    `Possible EventEmitter memory leak detected. ${list.length} ${String(event)} listeners added to ` +
    `${inspect(emitter, { depth: -1 })}. MaxListeners is ${most}. Use emitter.setMaxListeners() to increase limit`;
  const warning = Object.assign(new Error(message), { emitter, type: event, count: list.length });
  warning.name = "MaxListenersExceededWarning";
  warnings.emit(warning);
}

function maxListenersOf(emitter: Inside): number {
  return emitter._maxListeners ?? defaultMaxListeners;
}

function onceWrapper(emitter: Inside, event: EventName, listener: Listener): Listener {
  let isFired = false;
  const wrapper: Listener = function (...args: never[]): unknown {
    if (isFired) return undefined;
    emitter.removeListener(event, wrapper);
    isFired = true;
    return Reflect.apply(listener, emitter, args);
  };
  wrapper.listener = listener;
  return wrapper;
}

function emit(this: Inside, event: EventName, ...args: unknown[]): boolean {
  const events = this._events;
  if (event === "error") {
    if (events?.[errorMonitor] !== undefined) this.emit(errorMonitor, ...args);
    if (events?.["error"] === undefined) throwUnhandled(args[0]);
  }
  const heard = events?.[event];
  if (heard === undefined) return false;
  if (typeof heard === "function") {
    call(this, event, heard, args);
  } else {
    for (const listener of heard.slice()) call(this, event, listener, args);
  }
  return true;
}

function call(emitter: Inside, event: EventName, listener: Listener, args: unknown[]): void {
  const result: unknown = Reflect.apply(listener, emitter, args);
  if (result !== undefined && result !== null && emitter[kCapture] === true) catchRejection(emitter, result, event, args);
}

function catchRejection(emitter: Inside, result: unknown, event: EventName, args: unknown[]): void {
  try {
    const { then } = result as { then?: unknown };
    if (typeof then !== "function") return;
    Reflect.apply(then, result, [undefined, (error: unknown) => nextTick(emitRejection, emitter, error, event, args)]);
  } catch (error) {
    emitter.emit("error", error);
  }
}

function emitRejection(emitter: Inside, error: unknown, event: EventName, args: unknown[]): void {
  const own = emitter[captureRejectionSymbol];
  if (typeof own === "function") {
    Reflect.apply(own, emitter, [error, event, ...args]);
    return;
  }
  // What the listeners of "error" reject with must not come back here.
  const before = emitter[kCapture];
  try {
    emitter[kCapture] = false;
    emitter.emit("error", error);
  } finally {
    if (before !== undefined) emitter[kCapture] = before;
  }
}

function throwUnhandled(error: unknown): never {
  if (error instanceof Error) throw error;
  const shown = typeof error === "string" ? `'${error}'` : inspect(error);
  throw Object.assign(coded(new Error(`Unhandled error. (${shown})`), "ERR_UNHANDLED_ERROR"), { context: error });
}

function removeListener(this: Inside, event: EventName, given: unknown): Inside {
  const listener = requireListener(given);
  const events = this._events;
  const before = events?.[event];
  if (events === undefined || before === undefined) return this;
  if (typeof before === "function") {
    if (before === listener || before.listener === listener) dropEvent(this, events, event, before);
    return this;
  }
  const at = before.findLastIndex((each) => each === listener || each.listener === listener);
  if (at < 0) return this;
  const [removed] = before.splice(at, 1) as [Listener];
  if (before.length === 1) events[event] = before[0] as Listener;
  if (events["removeListener"] !== undefined) this.emit("removeListener", event, removed.listener ?? removed);
  return this;
}

/** Takes away the only listener of an event. */
function dropEvent(emitter: Inside, events: Record<EventName, Handlers>, event: EventName, listener: Listener): void {
  if (--emitter._eventsCount === 0) emitter._events = Object.create(null) as Record<EventName, Handlers>;
  else delete events[event];
  if (events["removeListener"] !== undefined) emitter.emit("removeListener", event, listener.listener ?? listener);
}

function removeAllListeners(this: Inside, event?: EventName): Inside {
  const events = this._events;
  if (events === undefined) return this;
  if (events["removeListener"] === undefined) {
    if (arguments.length === 0) {
      this._events = Object.create(null) as Record<EventName, Handlers>;
      this._eventsCount = 0;
    } else if (events[event as EventName] !== undefined) {
      if (--this._eventsCount === 0) this._events = Object.create(null) as Record<EventName, Handlers>;
      else delete events[event as EventName];
    }
    return this;
  }
  if (arguments.length === 0) {
    for (const name of Reflect.ownKeys(events)) if (name !== "removeListener") this.removeAllListeners(name);
    this.removeAllListeners("removeListener");
    this._events = Object.create(null) as Record<EventName, Handlers>;
    this._eventsCount = 0;
    return this;
  }
  const heard = events[event as EventName];
  for (const listener of typeof heard === "function" ? [heard] : (heard ?? []).toReversed()) this.removeListener(event as EventName, listener);
  return this;
}

function handlersOf(emitter: Inside, event: EventName): readonly Listener[] {
  const heard = emitter._events?.[event];
  return heard === undefined ? [] : typeof heard === "function" ? [heard] : heard;
}

const methods = {
  setMaxListeners(this: Inside, count: unknown): Inside {
    this._maxListeners = requireCount(count, "n");
    return this;
  },
  getMaxListeners(this: Inside): number {
    return maxListenersOf(this);
  },
  emit,
  addListener(this: Inside, event: EventName, listener: unknown): Inside {
    return add(this, event, requireListener(listener), "last");
  },
  prependListener(this: Inside, event: EventName, listener: unknown): Inside {
    return add(this, event, requireListener(listener), "first");
  },
  once(this: Inside, event: EventName, listener: unknown): Inside {
    return this.on(event, onceWrapper(this, event, requireListener(listener)));
  },
  prependOnceListener(this: Inside, event: EventName, listener: unknown): Inside {
    return this.prependListener(event, onceWrapper(this, event, requireListener(listener)));
  },
  removeListener,
  removeAllListeners,
  listeners(this: Inside, event: EventName): Listener[] {
    return handlersOf(this, event).map((each) => each.listener ?? each);
  },
  rawListeners(this: Inside, event: EventName): Listener[] {
    return [...handlersOf(this, event)];
  },
  listenerCount(this: Inside, event: EventName, listener?: unknown): number {
    const found = handlersOf(this, event);
    if (listener === undefined || listener === null) return found.length;
    return found.filter((each) => each === listener || each.listener === listener).length;
  },
  eventNames(this: Inside): EventName[] {
    return this._eventsCount > 0 && this._events !== undefined ? Reflect.ownKeys(this._events) : [];
  },
};

const prototypeMembers: Record<string, unknown> = {
  _events: undefined,
  _eventsCount: 0,
  _maxListeners: undefined,
  ...methods,
  on: methods.addListener,
  off: removeListener,
};
for (const [name, value] of Object.entries(prototypeMembers)) {
  Object.defineProperty(EventEmitter.prototype, name, { value, writable: true, enumerable: true, configurable: true });
}
Object.defineProperty(EventEmitter.prototype, kCapture, { value: false, writable: true });

function requireCount(count: unknown, name: string): number {
  if (typeof count !== "number" || !(count >= 0)) throw outOfRange(name, "a non-negative number", count);
  return count;
}

// ---- Functions of the module -----------------------------------------------------------------

type Target = EventEmitter | EventTargetLike;

interface EventTargetLike {
  addEventListener(type: EventName, work: (event: unknown) => void, options?: { once: boolean }): void;
  removeEventListener(type: EventName, work: (event: unknown) => void): void;
}

function isEmitter(value: unknown): value is EventEmitter {
  return typeof (value as EventEmitter | undefined)?.on === "function";
}

function isTarget(value: unknown): value is EventTargetLike {
  return typeof (value as EventTargetLike | undefined)?.addEventListener === "function";
}

function listen(target: Target, event: EventName, work: (...args: unknown[]) => void, how: "once" | "always"): void {
  if (isEmitter(target)) {
    if (how === "once") target.once(event, work);
    else target.on(event, work);
  } else if (isTarget(target)) {
    target.addEventListener(event, work, { once: how === "once" });
  } else {
    throw invalidArgType("emitter", ["EventEmitter"], target);
  }
}

function unlisten(target: Target, event: EventName, work: (...args: unknown[]) => void): void {
  if (typeof (target as EventEmitter).removeListener === "function") (target as EventEmitter).removeListener(event, work);
  else if (isTarget(target)) target.removeEventListener(event, work);
}

function signalOf(options: unknown): AbortSignalLike | undefined {
  const { signal } = requireObject(options, "options");
  return signal === undefined ? undefined : requireSignal(signal, "options.signal");
}

/** A promise of the arguments of the next `event`; rejects on `error`. */
async function once(emitter: Target, event: EventName, options: unknown = {}): Promise<unknown[]> {
  const signal = signalOf(options);
  if (signal?.aborted === true) throw abortError(signal.reason);
  const { promise, resolve, reject } = Promise.withResolvers<unknown[]>();
  const failed = (error: unknown): void => {
    unlisten(emitter, event, heard);
    if (signal !== undefined) signal.removeEventListener("abort", aborted);
    reject(error);
  };
  const heard = (...args: unknown[]): void => {
    if (isEmitter(emitter)) emitter.removeListener("error", failed);
    if (signal !== undefined) signal.removeEventListener("abort", aborted);
    resolve(args);
  };
  const aborted = (): void => {
    unlisten(emitter, event, heard);
    unlisten(emitter, "error", failed);
    reject(abortError(signal?.reason));
  };
  listen(emitter, event, heard, "once");
  if (event !== "error" && isEmitter(emitter)) emitter.once("error", failed);
  signal?.addEventListener("abort", aborted, { once: true });
  return promise;
}

interface Waiting {
  resolve(result: IteratorResult<unknown[], undefined>): void;
  reject(error: unknown): void;
}

/** The arguments of each `event` from now on; ends by `return()`, an `error`, the signal or a `close` event. */
function on(emitter: Target, event: EventName, options: unknown = {}): AsyncIterableIterator<unknown[]> {
  const given = requireObject(options, "options");
  const signal = signalOf(options);
  if (signal?.aborted === true) throw abortError(signal.reason);
  const highWaterMark = requireInteger(given["highWaterMark"] ?? given["highWatermark"] ?? Number.MAX_SAFE_INTEGER, "options.highWaterMark", 1);
  const lowWaterMark = requireInteger(given["lowWaterMark"] ?? given["lowWatermark"] ?? 1, "options.lowWaterMark", 1);
  const closing = (given["close"] as EventName[] | undefined) ?? [];
  const queue: unknown[][] = [];
  const waiting: Waiting[] = [];
  let failure: { error: unknown } | undefined;
  let isPaused = false;
  let isFinished = false;

  const heard = (...args: unknown[]): void => {
    const next = waiting.shift();
    if (next !== undefined) {
      next.resolve({ value: args, done: false });
      return;
    }
    queue.push(args);
    if (isPaused || queue.length <= highWaterMark) return;
    isPaused = true;
    (emitter as { pause?: () => void }).pause?.();
  };
  const failed = (error: unknown): void => {
    const next = waiting.shift();
    if (next === undefined) failure = { error };
    else next.reject(error);
    stop();
  };
  const aborted = (): void => failed(abortError(signal?.reason));
  const closed = (): void => void finish();
  const stop = (): void => {
    signal?.removeEventListener("abort", aborted);
    unlisten(emitter, event, heard);
    if (event !== "error" && isEmitter(emitter)) unlisten(emitter, "error", failed);
    for (const name of closing) unlisten(emitter, name, closed);
  };
  const finish = (): Promise<IteratorResult<unknown[], undefined>> => {
    stop();
    isFinished = true;
    for (const next of waiting.splice(0)) next.resolve({ value: undefined, done: true });
    return Promise.resolve({ value: undefined, done: true });
  };

  const iterator = {
    next(): Promise<IteratorResult<unknown[], undefined>> {
      const value = queue.shift();
      if (value !== undefined) {
        if (isPaused && queue.length < lowWaterMark) {
          isPaused = false;
          (emitter as { resume?: () => void }).resume?.();
        }
        return Promise.resolve({ value, done: false });
      }
      if (failure !== undefined) {
        const { error } = failure;
        failure = undefined;
        return Promise.reject(error);
      }
      if (isFinished) return finish();
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
    },
    return: finish,
    throw(error: unknown): Promise<IteratorResult<unknown[], undefined>> {
      if (!(error instanceof Error)) throw invalidArgType("EventEmitter.AsyncIterator", ["Error"], error);
      failed(error);
      return Promise.resolve({ value: undefined, done: true });
    },
    [Symbol.asyncIterator](): unknown {
      return this;
    },
  };
  Object.setPrototypeOf(iterator, AsyncIteratorPrototype);
  listen(emitter, event, heard, "always");
  if (event !== "error" && isEmitter(emitter)) emitter.on("error", failed);
  for (const name of closing) listen(emitter, name, closed, "always");
  signal?.addEventListener("abort", aborted, { once: true });
  return iterator as unknown as AsyncIterableIterator<unknown[]>;
}

const AsyncIteratorPrototype = Object.getPrototypeOf(
  Object.getPrototypeOf((async function* () {})()).constructor.prototype as object,
) as object | null;

function getEventListeners(target: unknown, event: EventName): unknown[] {
  if (typeof (target as EventEmitter | undefined)?.listeners === "function") return (target as EventEmitter).listeners(event);
  if (isEventTarget(target)) return listenersOf(target, String(event));
  throw invalidArgType("emitter", ["EventEmitter", "EventTarget"], target);
}

function getMaxListeners(target: unknown): number {
  if (typeof (target as EventEmitter | undefined)?.getMaxListeners === "function") return maxListenersOf(target as Inside);
  if (isEventTarget(target)) {
    const own = (target as { [kMaxEventTargetListeners]?: number })[kMaxEventTargetListeners];
    return own ?? (isAbortSignal(target) ? 0 : defaultMaxListeners);
  }
  throw invalidArgType("emitter", ["EventEmitter", "EventTarget"], target);
}

function setMaxListeners(count: unknown = LISTENERS_MAX_DEFAULT, ...targets: unknown[]): void {
  const most = requireCount(count, "n");
  if (targets.length === 0) defaultMaxListeners = most;
  for (const target of targets) {
    if (isEventTarget(target)) {
      Object.defineProperty(target, kMaxEventTargetListeners, { value: most, writable: true, configurable: true });
    } else if (typeof (target as EventEmitter | undefined)?.setMaxListeners === "function") {
      (target as EventEmitter).setMaxListeners(most);
    } else {
      throw invalidArgType("eventTargets", ["EventEmitter", "EventTarget"], target);
    }
  }
}

export function listenerCount(emitter: unknown, event: EventName): number {
  if (typeof (emitter as EventEmitter | undefined)?.listenerCount === "function") return (emitter as EventEmitter).listenerCount(event);
  if (isEventTarget(emitter)) return listenersOf(emitter, String(event)).length;
  return methods.listenerCount.call(emitter as Inside, event);
}

/** Listens once to the end of a signal; what comes back takes the listener away. */
export function addAbortListener(signal: unknown, listener: unknown): { [Symbol.dispose](): void } {
  const given = requireSignal(signal, "signal");
  const work = requireFunction(listener, "listener") as (event?: unknown) => void;
  let remove = (): void => {};
  if (given.aborted) {
    nextTick(() => work());
  } else {
    given.addEventListener("abort", work, { once: true });
    remove = () => given.removeEventListener("abort", work);
  }
  return { [Symbol.dispose]: () => remove() };
}

// ---- EventEmitterAsyncResource ---------------------------------------------------------------

interface ResourceOptions {
  name?: string;
  triggerAsyncId?: number;
  requireManualDestroy?: boolean;
  captureRejections?: boolean;
}

class EventEmitterReferencingAsyncResource extends AsyncResource {
  readonly #emitter: object;

  constructor(emitter: object, type: string, options: unknown) {
    super(type, options);
    this.#emitter = emitter;
  }

  get eventEmitter(): object {
    return this.#emitter;
  }
}

/** Its listeners run in the async context in which it was made. */
export class EventEmitterAsyncResource extends EventEmitter {
  readonly #resource: EventEmitterReferencingAsyncResource;

  constructor(options: ResourceOptions | string | undefined = undefined) {
    const given: ResourceOptions = typeof options === "string" ? { name: options } : (options ?? {});
    super(given);
    this.#resource = new EventEmitterReferencingAsyncResource(this, given.name ?? new.target.name, given);
  }

  override emit(event: EventName, ...args: unknown[]): boolean {
    const work = (...all: unknown[]): boolean => super.emit(all[0] as EventName, ...all.slice(1));
    return this.#resource.runInAsyncScope(work as never, this, event, ...args) as boolean;
  }

  emitDestroy(): void {
    this.#resource.emitDestroy();
  }

  get asyncId(): number {
    return this.#resource.asyncId();
  }

  get triggerAsyncId(): number {
    return this.#resource.triggerAsyncId();
  }

  get asyncResource(): AsyncResource {
    return this.#resource;
  }
}

// ---- The module ------------------------------------------------------------------------------

const members: Record<string, unknown> = {
  addAbortListener,
  captureRejectionSymbol,
  errorMonitor,
  EventEmitter,
  EventEmitterAsyncResource,
  getEventListeners,
  getMaxListeners,
  init,
  listenerCount,
  on,
  once,
  setMaxListeners,
  usingDomains: false,
};
Object.assign(EventEmitter, members);
Object.defineProperties(EventEmitter, {
  captureRejections: {
    get: () => captureByDefault,
    set: (value: unknown) => {
      captureByDefault = requireBoolean(value, "EventEmitter.captureRejections");
    },
    enumerable: true,
    configurable: true,
  },
  defaultMaxListeners: {
    get: () => defaultMaxListeners,
    set: (value: unknown) => {
      defaultMaxListeners = requireCount(value, "defaultMaxListeners");
    },
    enumerable: true,
    configurable: true,
  },
});

export const eventsModule: Record<string, unknown> = {
  ...members,
  captureRejections: captureByDefault,
  defaultMaxListeners,
  default: EventEmitter,
};
