// Service-worker syntax: a Worker that exports nothing and listens on the global instead,
// `addEventListener("fetch", (event) => event.respondWith(…))`.
//
// Such a main module is given a default export that turns each delivery into an event, so that nothing
// else knows of the syntax. Its bindings become globals, as there is no `env` argument to find them in.
//
// Deliberately absent: bindings as globals while the main module is being evaluated; its form is only
// known afterwards.
//
// Invariant: a module with a default export is never changed.

import type { ExecutionContext } from "./context.ts";
import { ownEnv } from "./env.ts";
import { Event, fireEvent, hasListeners, trustEvent } from "../web/events.ts";
import { fetch } from "../web/fetch.ts";
import { Request } from "../web/request.ts";
import { defineInterface, internalToken, requireArguments, requireInternal } from "../web/webidl.ts";

let contextOf: (event: ExtendableEvent) => ExecutionContext;

export class ExtendableEvent extends Event {
  #ctx: ExecutionContext;

  constructor(token: unknown = undefined, type: unknown = undefined, ctx: unknown = undefined) {
    requireInternal(token);
    super(type, { cancelable: true });
    this.#ctx = ctx as ExecutionContext;
  }

  waitUntil(promise: unknown): void {
    requireArguments(arguments.length, 1, "ExtendableEvent.waitUntil");
    this.#ctx.waitUntil(promise as Promise<unknown>);
  }

  static {
    contextOf = (event) => event.#ctx;
  }
}
defineInterface(ExtendableEvent);

let responseOf: (event: FetchEvent) => Promise<unknown> | undefined;
let seal: (event: FetchEvent) => void;

export class FetchEvent extends ExtendableEvent {
  #request: Request;
  #response: Promise<unknown> | undefined;
  #dispatched = false;

  constructor(token: unknown = undefined, request: unknown = undefined, ctx: unknown = undefined) {
    super(token, "fetch", ctx);
    this.#request = request as Request;
  }

  static {
    responseOf = (event) => event.#response;
    seal = (event) => {
      event.#dispatched = true;
    };
  }

  get request(): Request {
    return this.#request;
  }

  respondWith(response: unknown): void {
    requireArguments(arguments.length, 1, "FetchEvent.respondWith");
    if (this.#response !== undefined) {
      throw new TypeError("FetchEvent.respondWith() has already been called; it can only be called once.");
    }
    if (this.#dispatched) {
      throw new TypeError(
        "Too late to call FetchEvent.respondWith(). It must be called synchronously in the event handler.",
      );
    }
    this.#response = Promise.resolve(response);
    // Nobody may listen before the listeners are done.
    this.#response.catch(() => {});
    this.stopImmediatePropagation();
  }

  passThroughOnException(): void {
    contextOf(this).passThroughOnException();
  }
}
defineInterface(FetchEvent);

interface Scheduled {
  readonly scheduledTime: number;
  readonly cron: string;
  noRetry(): void;
}

export class ScheduledEvent extends ExtendableEvent {
  #controller: Scheduled;

  constructor(token: unknown = undefined, controller: unknown = undefined, ctx: unknown = undefined) {
    super(token, "scheduled", ctx);
    this.#controller = controller as Scheduled;
  }

  get scheduledTime(): number {
    return this.#controller.scheduledTime;
  }

  get cron(): string {
    return this.#controller.cron;
  }

  noRetry(): void {
    this.#controller.noRetry();
  }
}
defineInterface(ScheduledEvent);

export class TailEvent extends ExtendableEvent {
  #events: readonly unknown[];

  constructor(token: unknown = undefined, type: unknown = undefined, events: unknown = undefined, ctx: unknown = undefined) {
    super(token, type, ctx);
    this.#events = events as readonly unknown[];
  }

  get events(): readonly unknown[] {
    return this.#events;
  }

  get traces(): readonly unknown[] {
    return this.#events;
  }
}
defineInterface(TailEvent);

// ---- The default export of a module that listens -------------------------------------------------

const handlers = {
  async fetch(request: Request, _env: unknown, ctx: ExecutionContext): Promise<unknown> {
    const event = trustEvent(new FetchEvent(internalToken, request, ctx));
    fireEvent(globalThis, event);
    seal(event);
    // Without an answer the request goes where it would have gone without this Worker.
    return responseOf(event) ?? fetch(new Request(request));
  },

  scheduled(controller: Scheduled, _env: unknown, ctx: ExecutionContext): void {
    fireEvent(globalThis, trustEvent(new ScheduledEvent(internalToken, controller, ctx)));
  },

  tail(events: readonly unknown[], _env: unknown, ctx: ExecutionContext): void {
    for (const type of ["tail", "trace"]) {
      if (hasListeners(globalThis, type)) {
        fireEvent(globalThis, trustEvent(new TailEvent(internalToken, type, events, ctx)));
      }
    }
  },
};

/** What a main module exports, or what stands for it where it listens on the global instead. */
export function exportsOf(namespace: Record<string, unknown>): Record<string, unknown> {
  if (Object.hasOwn(namespace, "default")) return namespace;
  const heard: Record<string, unknown> = {};
  if (hasListeners(globalThis, "fetch")) heard["fetch"] = handlers.fetch;
  if (hasListeners(globalThis, "scheduled")) heard["scheduled"] = handlers.scheduled;
  if (hasListeners(globalThis, "tail") || hasListeners(globalThis, "trace")) heard["tail"] = handlers.tail;
  if (Object.keys(heard).length === 0) return namespace;
  for (const [name, value] of Object.entries(ownEnv())) {
    Object.defineProperty(globalThis, name, { value, writable: true, enumerable: true, configurable: true });
  }
  return { ...namespace, default: heard };
}

/** The names of the scope itself, for `instanceof` and for those who ask what they run in. */
export class WorkerGlobalScope {
  constructor() {
    throw new TypeError("Illegal constructor");
  }

  static [Symbol.hasInstance](value: unknown): boolean {
    return value === globalThis;
  }
}
defineInterface(WorkerGlobalScope);

export class ServiceWorkerGlobalScope extends WorkerGlobalScope {}
defineInterface(ServiceWorkerGlobalScope);

export const globals: Record<string, unknown> = {
  ExtendableEvent,
  FetchEvent,
  ScheduledEvent,
  ServiceWorkerGlobalScope,
  TailEvent,
  TraceEvent: TailEvent,
  WorkerGlobalScope,
};
