// node:events: EventEmitter, `once` and `on`.
//
// Absent: domains and `captureRejections` on emitters. `EventTarget`s are accepted by `once` alone.
//
// Invariant: a listener added or removed while an event is being emitted does not change who hears it.

type Listener = (this: unknown, ...args: unknown[]) => unknown;
type EventName = string | symbol;

/** Listeners of one event after which a leak is suspected. */
const LISTENERS_MAX_DEFAULT = 10;

interface Entry {
  /** What `listeners()` shows. */
  readonly listener: Listener;
  readonly once: boolean;
}

function requireListener(listener: unknown): Listener {
  if (typeof listener === "function") return listener as Listener;
  throw Object.assign(new TypeError('The "listener" argument must be of type function.'), { code: "ERR_INVALID_ARG_TYPE" });
}

const entries = new WeakMap<object, Map<EventName, Entry[]>>();
const listenersMax = new WeakMap<object, number>();

function entriesOf(emitter: object): Map<EventName, Entry[]> {
  let found = entries.get(emitter);
  if (found === undefined) entries.set(emitter, (found = new Map()));
  return found;
}

/** A function, not a class: code written for Node.js calls `EventEmitter.call(this)`. */
export interface EventEmitter {
  on(event: EventName, listener: Listener): this;
  off(event: EventName, listener: Listener): this;
  emit(event: EventName, ...args: unknown[]): boolean;
}
export const EventEmitter = function (this: object): void {} as unknown as { new (): EventEmitter; prototype: object };

function add(emitter: object, event: EventName, entry: Entry, where: "first" | "last"): object {
  const all = entriesOf(emitter);
  if (all.has("newListener")) emit(emitter, "newListener", [event, entry.listener]);
  const before = all.get(event) ?? [];
  all.set(event, where === "last" ? [...before, entry] : [entry, ...before]);
  return emitter;
}

function remove(emitter: object, event: EventName, entry: Entry | undefined): object {
  const all = entriesOf(emitter);
  const before = all.get(event);
  if (entry === undefined || before === undefined) return emitter;
  const after = before.filter((each) => each !== entry);
  if (after.length === 0) all.delete(event);
  else all.set(event, after);
  if (all.has("removeListener")) emit(emitter, "removeListener", [event, entry.listener]);
  return emitter;
}

function emit(emitter: object, event: EventName, args: unknown[]): boolean {
  const heard = entriesOf(emitter).get(event);
  if (heard === undefined) {
    if (event === "error") throwUnhandled(args[0]);
    return false;
  }
  for (const entry of heard) {
    if (entry.once) remove(emitter, event, entry);
    Reflect.apply(entry.listener, emitter, args);
  }
  return true;
}

function throwUnhandled(error: unknown): never {
  if (error instanceof Error) throw error;
  throw Object.assign(new Error(`Unhandled error. (${String(error)})`), { code: "ERR_UNHANDLED_ERROR", context: error });
}

const methods = {
  on(this: object, event: EventName, listener: unknown): object {
    return add(this, event, { listener: requireListener(listener), once: false }, "last");
  },
  once(this: object, event: EventName, listener: unknown): object {
    return add(this, event, { listener: requireListener(listener), once: true }, "last");
  },
  prependListener(this: object, event: EventName, listener: unknown): object {
    return add(this, event, { listener: requireListener(listener), once: false }, "first");
  },
  prependOnceListener(this: object, event: EventName, listener: unknown): object {
    return add(this, event, { listener: requireListener(listener), once: true }, "first");
  },
  off(this: object, event: EventName, listener: unknown): object {
    const wanted = requireListener(listener);
    return remove(this, event, entriesOf(this).get(event)?.findLast((entry) => entry.listener === wanted));
  },
  removeAllListeners(this: object, event?: EventName): object {
    const all = entriesOf(this);
    for (const name of event === undefined ? [...all.keys()] : [event]) {
      for (const entry of all.get(name) ?? []) remove(this, name, entry);
    }
    return this;
  },
  emit(this: object, event: EventName, ...args: unknown[]): boolean {
    return emit(this, event, args);
  },
  listeners(this: object, event: EventName): Listener[] {
    return (entriesOf(this).get(event) ?? []).map((entry) => entry.listener);
  },
  rawListeners(this: object, event: EventName): Listener[] {
    return (entriesOf(this).get(event) ?? []).map((entry) => entry.listener);
  },
  listenerCount(this: object, event: EventName, listener?: unknown): number {
    const found = entriesOf(this).get(event) ?? [];
    return listener === undefined ? found.length : found.filter((entry) => entry.listener === listener).length;
  },
  eventNames(this: object): EventName[] {
    return [...entriesOf(this).keys()];
  },
  setMaxListeners(this: object, count: number): object {
    listenersMax.set(this, count);
    return this;
  },
  getMaxListeners(this: object): number {
    return listenersMax.get(this) ?? LISTENERS_MAX_DEFAULT;
  },
};

for (const [name, value] of Object.entries({ ...methods, addListener: methods.on, removeListener: methods.off })) {
  Object.defineProperty(EventEmitter.prototype, name, { value, writable: true, enumerable: true, configurable: true });
}
Object.defineProperty(EventEmitter, "name", { value: "EventEmitter", configurable: true });

interface Options {
  signal?: { aborted: boolean; reason: unknown; addEventListener(type: string, work: () => void): void };
}

/** A promise of the arguments of the next `event`; rejects on `error`. */
function once(emitter: EventEmitter | EventTargetLike, event: EventName, options: Options = {}): Promise<unknown[]> {
  return new Promise((resolve, reject) => {
    const { signal } = options;
    if (signal?.aborted === true) return reject(signal.reason);
    signal?.addEventListener("abort", () => reject(signal.reason));
    if ("addEventListener" in emitter) {
      return emitter.addEventListener(event, (heard: unknown) => resolve([heard]), { once: true });
    }
    const failed: Listener = (error) => {
      emitter.off(event, heard);
      reject(error);
    };
    const heard: Listener = (...args) => {
      emitter.off("error", failed);
      emitter.off(event, heard);
      resolve(args);
    };
    emitter.on(event, heard);
    if (event !== "error") emitter.on("error", failed);
  });
}

interface EventTargetLike {
  addEventListener(type: EventName, work: (event: unknown) => void, options: { once: boolean }): void;
}

/** The arguments of each `event` from now on; ends by `return()`, an `error` or the signal. */
async function* on(emitter: EventEmitter, event: EventName, options: Options = {}): AsyncGenerator<unknown[]> {
  const queue: unknown[][] = [];
  let failure: { error: unknown } | undefined;
  let wake = (): void => {};
  const heard: Listener = (...args) => {
    queue.push(args);
    wake();
  };
  const failed: Listener = (error) => {
    failure = { error };
    wake();
  };
  emitter.on(event, heard);
  emitter.on("error", failed);
  options.signal?.addEventListener("abort", () => failed(options.signal?.reason));
  try {
    for (;;) {
      const next = queue.shift();
      if (next !== undefined) yield next;
      else if (failure !== undefined) throw failure.error;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    emitter.off(event, heard);
    emitter.off("error", failed);
  }
}

const members: Record<string, unknown> = {
  EventEmitter,
  once,
  on,
  defaultMaxListeners: LISTENERS_MAX_DEFAULT,
  listenerCount: (emitter: object, event: EventName): number => methods.listenerCount.call(emitter, event),
  getEventListeners: (emitter: object, event: EventName): Listener[] => methods.listeners.call(emitter, event),
};
Object.assign(EventEmitter, members);

export const eventsModule: Record<string, unknown> = { ...members, default: EventEmitter };
