// node:test, as Workers have it: mocks, and no runner.
//
// Invariant: what a mock replaced is put back by `restore`, and by nothing else.

import { checkCallable, checkObject, checkWhole, failure } from "./checks.ts";
import { invalidArgType } from "./errors.ts";

type AnyFunction = (this: unknown, ...args: unknown[]) => unknown;

interface Call {
  arguments: unknown[];
  error: unknown;
  result: unknown;
  stack: Error;
  target: unknown;
  this: unknown;
}

interface MockOptions {
  times?: unknown;
  getter?: unknown;
  setter?: unknown;
}

class MockFunctionContext {
  #calls: Call[] = [];
  #implementation: AnyFunction;
  readonly #original: AnyFunction;
  readonly #once = new Map<number, AnyFunction>();
  readonly #times: number;
  readonly #putBack: (() => void) | undefined;

  constructor(original: AnyFunction, implementation: AnyFunction, times: number, putBack?: () => void) {
    this.#original = original;
    this.#implementation = implementation;
    this.#times = times;
    this.#putBack = putBack;
  }

  get calls(): Call[] {
    return this.#calls.slice();
  }

  callCount(): number {
    return this.#calls.length;
  }

  mockImplementation(implementation: unknown): void {
    this.#implementation = checkCallable(implementation, "implementation");
  }

  mockImplementationOnce(implementation: unknown, onCall?: unknown): void {
    const next = this.#calls.length;
    const call = onCall === undefined ? next : checkWhole(onCall, "onCall", next, Number.MAX_SAFE_INTEGER);
    this.#once.set(call, checkCallable(implementation, "implementation"));
  }

  resetCalls(): void {
    this.#calls = [];
  }

  restore(): void {
    this.#putBack?.();
    this.#implementation = this.#original;
  }

  /** Which function this call is for. */
  next(): AnyFunction {
    const call = this.#calls.length;
    const once = this.#once.get(call);
    if (once !== undefined) {
      this.#once.delete(call);
      return once;
    }
    return call < this.#times ? this.#implementation : this.#original;
  }

  record(call: Call): void {
    this.#calls.push(call);
  }
}

type Mocked = AnyFunction & { mock: MockFunctionContext };

/** A proxy, so that it looks like the original in all but its calls. */
function mocked(original: AnyFunction, context: MockFunctionContext): Mocked {
  const call = (target: unknown, thisArg: unknown, args: unknown[], run: (work: AnyFunction) => unknown): unknown => {
    const work = context.next();
    const entry: Call = { arguments: args, error: undefined, result: undefined, stack: new Error(), target, this: thisArg };
    try {
      entry.result = run(work);
      return entry.result;
    } catch (error) {
      entry.error = error;
      throw error;
    } finally {
      context.record(entry);
    }
  };
  return new Proxy(original, {
    apply: (_target, thisArg: unknown, args: unknown[]) => call(undefined, thisArg, args, (work) => Reflect.apply(work, thisArg, args) as unknown),
    construct(target, args: unknown[], newTarget): object {
      const made = (work: AnyFunction): unknown => Reflect.construct(work, args, newTarget === proxyOf.get(context) ? work : newTarget) as unknown;
      return call(target, undefined, args, made) as object;
    },
    get: (target, name, receiver): unknown => (name === "mock" ? context : Reflect.get(target, name, receiver)),
  }) as Mocked;
}

const proxyOf = new WeakMap<MockFunctionContext, unknown>();

function timesOf(options: MockOptions): number {
  return options.times === undefined ? Infinity : checkWhole(options.times, "options.times", 1, Number.MAX_SAFE_INTEGER);
}

function findDescriptor(object: object, name: PropertyKey): [owner: object, descriptor: PropertyDescriptor] | undefined {
  for (let owner: object | null = object; owner !== null; owner = Object.getPrototypeOf(owner) as object | null) {
    const descriptor = Object.getOwnPropertyDescriptor(owner, name);
    if (descriptor !== undefined) return [owner, descriptor];
  }
  return undefined;
}

class MockTracker {
  #contexts: MockFunctionContext[] = [];

  fn(original: unknown = function (): void {}, implementation: unknown = original, options: unknown = {}): Mocked {
    if (typeof original === "object" && original !== null) [original, implementation, options] = [function (): void {}, undefined, original];
    else if (typeof implementation === "object" && implementation !== null) [implementation, options] = [original, implementation];
    const work = checkCallable(original, "original");
    return this.#track(work, checkCallable(implementation ?? work, "implementation"), timesOf(checkObject(options, "options")));
  }

  #track(original: AnyFunction, implementation: AnyFunction, times: number, putBack?: () => void): Mocked {
    const context = new MockFunctionContext(original, implementation, times, putBack);
    this.#contexts.push(context);
    const proxy = mocked(original, context);
    proxyOf.set(context, proxy);
    return proxy;
  }

  method(target: unknown, name: PropertyKey, implementation?: unknown, options: unknown = {}): Mocked {
    if ((typeof target !== "object" || target === null) && typeof target !== "function") throw invalidArgType("object", ["Object"], target);
    if (typeof implementation === "object" && implementation !== null) [implementation, options] = [undefined, implementation];
    const given = checkObject(options, "options") as MockOptions;
    if (given.getter && given.setter) {
      throw failure(TypeError, "ERR_INVALID_ARG_VALUE", "The property 'options.setter' cannot be used with 'options.getter'. Received true");
    }
    const found = findDescriptor(target, name);
    const part = given.getter ? "get" : given.setter ? "set" : "value";
    const original: unknown = found?.[1][part];
    if (found === undefined || typeof original !== "function") {
      throw failure(TypeError, "ERR_INVALID_ARG_VALUE", `The argument 'methodName' must be a method. Received ${String(original)}`);
    }
    const [owner, descriptor] = found;
    const putBack = (): void => {
      // What was inherited is inherited again.
      if (owner === target) Object.defineProperty(target, name, descriptor);
      else delete (target as Record<PropertyKey, unknown>)[name];
    };
    const work = implementation === undefined ? (original as AnyFunction) : checkCallable(implementation, "implementation");
    const proxy = this.#track(original as AnyFunction, work, timesOf(given), putBack);
    Object.defineProperty(target, name, { ...descriptor, [part]: proxy, configurable: true });
    return proxy;
  }

  getter(target: unknown, name: PropertyKey, implementation?: unknown, options: unknown = {}): Mocked {
    if (typeof implementation === "object" && implementation !== null) [implementation, options] = [undefined, implementation];
    return this.method(target, name, implementation, { ...checkObject(options, "options"), getter: true });
  }

  setter(target: unknown, name: PropertyKey, implementation?: unknown, options: unknown = {}): Mocked {
    if (typeof implementation === "object" && implementation !== null) [implementation, options] = [undefined, implementation];
    return this.method(target, name, implementation, { ...checkObject(options, "options"), setter: true });
  }

  reset(): void {
    this.restoreAll();
    this.#contexts = [];
  }

  restoreAll(): void {
    for (const context of this.#contexts) context.restore();
  }
}

const members = { MockFunctionContext, MockTracker, mock: new MockTracker() };

export const testModule: Record<string, unknown> = { ...members, default: members };
