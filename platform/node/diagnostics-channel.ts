// node:diagnostics_channel: named channels that libraries publish to, and tracing channels of five.
//
// What is published is told to whoever follows the invocation, too, subscribers or none.
//
// Invariant: a subscriber that throws is reported and keeps nobody else from hearing the message.

import { has } from "../cloudflare/compat.ts";
import { published } from "../cloudflare/trace.ts";
import { queueMicrotask } from "../web/microtask.ts";
import type { AsyncLocalStorage } from "./async_hooks.ts";
import { checkCallable, checkObject } from "./checks.ts";
import { invalidArgType } from "./errors.ts";

type Name = string | symbol;
type Subscriber = (message: unknown, name: Name) => unknown;
type Work = (...args: unknown[]) => unknown;
type Transform = (data: unknown) => unknown;

const kInternal: unique symbol = Symbol("internal");

let countOf: (channel: Channel) => number;

export class Channel {
  readonly #name: Name;
  #subscribers: Subscriber[] = [];
  readonly #stores = new Map<AsyncLocalStorage, Transform | undefined>();

  constructor(token: unknown, name: unknown) {
    if (token !== kInternal) throw new TypeError("Illegal constructor");
    this.#name = name as Name;
  }

  static {
    countOf = (channel) => channel.#subscribers.length + channel.#stores.size;
  }

  get name(): Name {
    return this.#name;
  }

  subscribe(subscriber: unknown): void {
    this.#subscribers = [...this.#subscribers, checkCallable(subscriber, "subscription") as Subscriber];
  }

  unsubscribe(subscriber: unknown): boolean {
    const at = this.#subscribers.indexOf(subscriber as Subscriber);
    if (at < 0) return false;
    this.#subscribers = this.#subscribers.toSpliced(at, 1);
    return true;
  }

  publish(message: unknown): void {
    published(String(this.#name), message);
    for (const subscriber of this.#subscribers) {
      try {
        subscriber(message, this.#name);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  bindStore(store: AsyncLocalStorage, transform?: unknown): void {
    this.#stores.set(store, transform === undefined ? undefined : (checkCallable(transform, "transform") as Transform));
  }

  unbindStore(store: AsyncLocalStorage): boolean {
    return this.#stores.delete(store);
  }

  /** Publishes, then runs `work` with each bound store holding the message. */
  runStores(message: unknown, work: Work, thisArg?: unknown, ...args: unknown[]): unknown {
    let run = (): unknown => {
      this.publish(message);
      return Reflect.apply(work, thisArg, args) as unknown;
    };
    for (const [store, transform] of this.#stores) {
      const inner = run;
      run = () => {
        let value = message;
        if (transform !== undefined) {
          try {
            value = transform(message);
          } catch (error) {
            queueMicrotask(() => {
              throw error;
            });
            return inner();
          }
        }
        return store.run(value, inner);
      };
    }
    return run();
  }
}

const channels = new Map<Name, Channel>();

export function channel(name: unknown): Channel {
  if (typeof name !== "string" && typeof name !== "symbol") throw invalidArgType("channel", ["string", "symbol"], name);
  let found = channels.get(name);
  if (found === undefined) channels.set(name, (found = new Channel(kInternal, name)));
  return found;
}

const PARTS = ["start", "end", "asyncStart", "asyncEnd", "error"] as const;
type Part = (typeof PARTS)[number];
type Parts = Record<Part, Channel>;
type Context = Record<string, unknown>;

export class TracingChannel {
  readonly #parts: Parts;

  constructor(token?: unknown, parts?: unknown) {
    if (token !== kInternal) throw new Error("Use diagnostic_channel.tracingChannels() to create TracingChannel");
    this.#parts = parts as Parts;
  }

  get start(): Channel {
    return this.#parts.start;
  }
  get end(): Channel {
    return this.#parts.end;
  }
  get asyncStart(): Channel {
    return this.#parts.asyncStart;
  }
  get asyncEnd(): Channel {
    return this.#parts.asyncEnd;
  }
  get error(): Channel {
    return this.#parts.error;
  }

  subscribe(subscriptions: Partial<Record<Part, Subscriber>>): void {
    for (const part of PARTS) if (subscriptions[part] !== undefined) this.#parts[part].subscribe(subscriptions[part]);
  }

  unsubscribe(subscriptions: Partial<Record<Part, Subscriber>>): boolean {
    let all = true;
    for (const part of PARTS) {
      if (subscriptions[part] !== undefined && !this.#parts[part].unsubscribe(subscriptions[part])) all = false;
    }
    return all;
  }

  /** Runs `work` between `start` and `end`; what it throws is published, too. */
  #traced(context: Context, thisArg: unknown, work: () => unknown): unknown {
    const { start, end, error } = this.#parts;
    const run = (): unknown => {
      try {
        return work();
      } catch (reason) {
        context["error"] = reason;
        error.publish(context);
        throw reason;
      } finally {
        end.publish(context);
      }
    };
    return start.runStores(context, run, thisArg);
  }

  traceSync(work: Work, context: Context = {}, thisArg: unknown = globalThis, ...args: unknown[]): unknown {
    return this.#traced(context, thisArg, () => (context["result"] = Reflect.apply(work, thisArg, args) as unknown));
  }

  tracePromise(work: Work, context: Context = {}, thisArg: unknown = globalThis, ...args: unknown[]): unknown {
    const { asyncStart, asyncEnd, error } = this.#parts;
    const settled = (): void => {
      asyncStart.publish(context);
      asyncEnd.publish(context);
    };
    return this.#traced(context, thisArg, () => {
      const result: unknown = Reflect.apply(work, thisArg, args);
      const promise = result instanceof Promise ? (result as Promise<unknown>) : Promise.resolve(result);
      return promise.then(
        (value) => {
          context["result"] = value;
          settled();
          return value;
        },
        (reason: unknown) => {
          context["error"] = reason;
          error.publish(context);
          settled();
          throw reason;
        },
      );
    });
  }

  traceCallback(work: Work, position = -1, context: Context = {}, thisArg: unknown = globalThis, ...args: unknown[]): unknown {
    const { asyncStart, asyncEnd, error } = this.#parts;
    const callback = checkCallable(args.at(position), "callback");
    const wrapped = function (this: unknown, ...results: unknown[]): void {
      const [reason, value] = results;
      if (reason) {
        context["error"] = reason;
        error.publish(context);
      } else {
        context["result"] = value;
      }
      const run = (): void => {
        try {
          Reflect.apply(callback, this, results);
        } finally {
          asyncEnd.publish(context);
        }
      };
      asyncStart.runStores(context, run, thisArg);
    };
    args.splice(position, 1, wrapped);
    return this.#traced(context, thisArg, () => Reflect.apply(work, thisArg, args) as unknown);
  }
}

function partsOf(nameOrChannels: unknown): Parts {
  const part = (name: Part): Channel => {
    if (typeof nameOrChannels === "string") return channel(`tracing:${nameOrChannels}:${name}`);
    const given = checkObject(nameOrChannels, "channels")[name];
    if (!(given instanceof Channel)) throw invalidArgType(`channels.${name}`, ["Channel"], given);
    return given;
  };
  return Object.fromEntries(PARTS.map((name) => [name, part(name)])) as Parts;
}

/** A getter as in Node.js, or the method that Workers had before. */
function defineCheck<T extends object>(Class: { prototype: T }, read: (self: T) => boolean): void {
  const get = function (this: T): boolean {
    return read(this);
  };
  const shape = has("diagnostics_channel_has_subscribers_getter") ? { get } : { value: get, writable: true };
  Object.defineProperty(Class.prototype, "hasSubscribers", { ...shape, configurable: true, enumerable: false });
}

const members = {
  Channel,
  TracingChannel,
  channel,
  hasSubscribers: (name: Name): boolean => {
    const found = channels.get(name);
    return found !== undefined && countOf(found) > 0;
  },
  subscribe: (name: unknown, subscriber: unknown): void => channel(name).subscribe(subscriber),
  tracingChannel: (nameOrChannels: unknown): TracingChannel => new TracingChannel(kInternal, partsOf(nameOrChannels)),
  unsubscribe: (name: unknown, subscriber: unknown): boolean => channel(name).unsubscribe(subscriber),
};

let made: Record<string, unknown> | undefined;

/** Made when it is first asked for: what `hasSubscribers` is depends on the Worker's flags. */
export function diagnosticsChannelModule(): Record<string, unknown> {
  if (made !== undefined) return made;
  defineCheck(Channel, (self) => countOf(self) > 0);
  defineCheck(TracingChannel, (self) => PARTS.some((part) => countOf(self[part]) > 0));
  return (made = { ...members, default: members });
}
