// The loader binding: `load(code)`, `get(id, callback)`, and the stub of a dynamic Worker.
//
// A stub is here at once; the load, its failure and its cache are the host's. What a field of
// `WorkerCode` may hold is in `loader-code.ts`.
//
// A stub and each of its entrypoints own one slot each. An entrypoint keeps its Worker alive by
// itself, so the stub in `env.LOADER.load(code).getEntrypoint()` may be collected at any time. Both
// belong to the invocation that made them and end with it, as all its I/O does: a Worker that was
// loaded for one request is gone with that request, without waiting for the collector.
//
// Invariant: a slot is taken only after everything that may throw has not.

import { wire } from "../ops.ts";
import { newClass } from "./actors/class.ts";
import { disowned, hold, newSlot, ownedBy } from "./caps.ts";
import type { Cap, Owned } from "./caps.ts";
import { owningInvocation } from "./context.ts";
import type { Held, Invocation } from "./context.ts";
import { describe } from "./errors.ts";
import { newService } from "./fetcher.ts";
import { checkCode, checkLimits, NO_LIMITS, shipCode } from "./loader-code.ts";
import { watchWasm } from "./loader-wasm.ts";
import { NO_PROPS, packProps } from "./payloads.ts";
import { quiet } from "./rpc/message.ts";
import { LocalTarget } from "./rpc/target.ts";
import { DISPOSE } from "./symbols.ts";

/** Chars of a Worker's id: it is a key in the host's cache. */
const ID_CHARS_MAX = 2048;

let making: Cap | undefined;

/** Runs `make` with the slot that the constructor under it takes. */
function withCap<T>(cap: Cap, make: () => T): T {
  making = cap;
  try {
    return make();
  } finally {
    making = undefined;
  }
}

function takeCap(): Cap {
  if (making === undefined) throw new TypeError("Illegal constructor");
  return making;
}

class Slot implements Owned, Held {
  #cap: Cap | undefined;
  readonly #invocation: Invocation | undefined;

  constructor(holder: object, cap: Cap, invocation: Invocation | undefined) {
    this.#cap = cap;
    this.#invocation = invocation;
    ownedBy(holder, this);
    invocation?.hold(this);
  }

  cap(what: string): Cap {
    if (this.#cap === undefined) {
      throw new Error(`${what} used after being disposed, or after the invocation that made it has ended.`);
    }
    return this.#cap;
  }

  contextEnded(): void {
    this.letGo();
  }

  letGo(): void {
    const cap = this.#cap;
    this.#cap = undefined;
    this.#invocation?.letGo(this);
    disowned(this);
    cap?.release();
  }
}

export class WorkerLoader {
  readonly #slot: Slot;

  constructor() {
    this.#slot = new Slot(this, takeCap(), undefined);
    loaders.set(this, this.#slot);
  }

  load(code: unknown): WorkerStub {
    const loader = this.#slot.cap("WorkerLoader");
    const checked = shipCode(checkCode(code));
    const slot = newSlot();
    wire.load(slot, loader.id, checked);
    return withCap(hold(slot, "object"), () => new WorkerStub());
  }

  get(id: unknown, callback: unknown): WorkerStub {
    const loader = this.#slot.cap("WorkerLoader");
    const name = idOf(id);
    if (typeof callback !== "function") {
      throw new TypeError(`WorkerLoader.get(id, callback): callback must be a function that gives the Worker's code, not ${describe(callback)}.`);
    }
    const asked = (): unknown => Reflect.apply(callback, undefined, []);
    callbacks.add(asked);
    quiet.add(asked);
    const target = new LocalTarget(asked, "own", true).export();
    const slot = newSlot();
    wire.get(slot, loader.id, name, target);
    return withCap(hold(slot, "object"), () => new WorkerStub());
  }
}

function idOf(id: unknown): string | undefined {
  if (id === undefined || id === null) return undefined;
  if (typeof id !== "string" && typeof id !== "number") {
    throw new TypeError(`WorkerLoader.get(id, callback): id must be a string or null, not ${describe(id)}.`);
  }
  const name = String(id);
  if (name.length > ID_CHARS_MAX) {
    throw new TypeError(`WorkerLoader.get(id, callback): id has ${name.length} chars, the limit is ${ID_CHARS_MAX}.`);
  }
  return name;
}

interface EntrypointOptions {
  props?: unknown;
  limits?: unknown;
}

export class WorkerStub {
  readonly #slot: Slot;

  constructor() {
    this.#slot = new Slot(this, takeCap(), owningInvocation());
  }

  getEntrypoint(name?: unknown, options?: unknown): object {
    const worker = this.#slot.cap("WorkerStub");
    if (name !== undefined && name !== null && typeof name !== "string") {
      throw new TypeError(`WorkerStub.getEntrypoint(name, options): name must be a string or null, not ${describe(name)}.`);
    }
    if (options !== undefined && options !== null && typeof options !== "object") {
      throw new TypeError(`WorkerStub.getEntrypoint(name, options): options must be an object like { props, limits }, not ${describe(options)}.`);
    }
    const { props, limits } = (options ?? {}) as EntrypointOptions;
    const checked = limits === undefined ? NO_LIMITS : checkLimits(limits, "options.limits");
    const payload = props === undefined ? NO_PROPS : packProps(props);
    const slot = newSlot();
    wire.getEntrypoint(slot, worker.id, name === "default" || name === null ? undefined : name, payload, checked);
    return newService(hold(slot, "dynamicService"), owningInvocation());
  }

  getDurableObjectClass(name?: unknown, options?: unknown): object {
    const worker = this.#slot.cap("WorkerStub");
    if (name !== undefined && name !== null && typeof name !== "string") {
      throw new TypeError(`WorkerStub.getDurableObjectClass(name, options): name must be a string or null, not ${describe(name)}.`);
    }
    if (options !== undefined && options !== null && typeof options !== "object") {
      throw new TypeError(`WorkerStub.getDurableObjectClass(name, options): options must be an object like { props }, not ${describe(options)}.`);
    }
    const { props } = (options ?? {}) as EntrypointOptions;
    const payload = props === undefined ? NO_PROPS : packProps(props);
    const slot = newSlot();
    wire.getClass(slot, worker.id, name ?? undefined, payload);
    return newClass(hold(slot, "actorClass"), "dynamic");
  }

  [DISPOSE](): void {
    this.#slot.letGo();
  }
}

const loaders = new WeakMap<object, Slot>();
const callbacks = new WeakSet<object>();

export function newLoader(cap: Cap): WorkerLoader {
  // Only a Worker with a loader can pass a compiled module on as code.
  watchWasm();
  return withCap(cap, () => new WorkerLoader());
}

/** The slot of a loader that is handed on. */
export function loaderCap(value: object): Cap | undefined {
  return loaders.get(value)?.cap("WorkerLoader");
}

export function isLoaderCallback(value: object): value is () => unknown {
  return callbacks.has(value);
}

for (const [made, names] of [
  [WorkerLoader, ["load", "get"]],
  [WorkerStub, ["getEntrypoint", "getDurableObjectClass"]],
] as const) {
  Object.defineProperty(made.prototype, Symbol.toStringTag, { value: made.name, configurable: true });
  for (const name of names) Object.defineProperty(made.prototype, name, { enumerable: true });
}
