// Service stubs (`Fetcher`): what stands for an entrypoint of this or another Worker.
//
// `fetch()` is an HTTP event; every other string property is an RPC member, read or called through
// the machinery of `rpc/stub.ts`. `then` is none, or a stub could not be returned from an async
// function. A stub of a dynamic Worker's entrypoint looks the same but cannot be handed on.
//
// Invariant: a service owns one reference to its slot and gives it back when it is disposed or collected.

import { Fetcher, serviceStates } from "./fetcher-class.ts";
import type { ServiceState } from "./fetcher-class.ts";
import type { CallEvent, Outcome } from "../ops.ts";
import { checkIntegrity } from "../web/integrity.ts";
import { fetchFollowing } from "../web/redirect.ts";
import { deliverThrough, fetchThrough } from "./calls.ts";
import { Cap, disowned, ownedBy } from "./caps.ts";
import type { Owned } from "./caps.ts";
import { has } from "./compat.ts";
import type { Held, Invocation } from "./context.ts";
import { dataCloneError } from "./errors.ts";
import { ClosedHandler, platformProxy } from "./proxies.ts";
import { emptyResult, packBatch } from "./queues.ts";
import type { QueueResult } from "./queues.ts";
import { unpack } from "./rpc/message.ts";
import { callThrough, newProperty, registerOrigin } from "./rpc/stub.ts";
import type { Origin, Result } from "./rpc/stub.ts";
import { Request, requestIntegrity } from "../web/request.ts";
import type { Response } from "../web/response.ts";
import { connectThrough } from "./sockets.ts";
import { callSpan } from "./trace.ts";
import { DISPOSE } from "./symbols.ts";

export { Fetcher };

export const NOT_TRANSFERABLE =
  "Entrypoints to dynamically-loaded workers cannot be transferred to other Workers, because the system does not " +
  "know how to reload this Worker from scratch. Instead, have the parent Worker expose an entrypoint which " +
  "constructs the dynamic worker and forwards to it.";

/** A service that is a slot of the host's table. */
export class HeldService implements ServiceState, Origin, Owned, Held {
  #cap: Cap | undefined;
  readonly #invocation: Invocation | undefined;

  constructor(cap: Cap, invocation?: Invocation) {
    this.#cap = cap;
    this.#invocation = invocation;
    invocation?.hold(this);
  }

  cap(): Cap {
    if (this.#cap === undefined) {
      throw new Error(
        this.#invocation === undefined
          ? "Service stub used after being disposed."
          : "Service stub used after being disposed, or after the invocation that made it has ended.",
      );
    }
    return this.#cap;
  }

  contextEnded(): void {
    this.letGo();
  }

  transferable(): Cap {
    const cap = this.cap();
    if (cap.kind === "dynamicService") throw dataCloneError(NOT_TRANSFERABLE);
    return cap;
  }

  startCall(path: string[], args: unknown[] | undefined): Result {
    return callThrough(this.cap(), path, args);
  }

  letGo(): void {
    const cap = this.#cap;
    if (cap === undefined) return;
    this.#cap = undefined;
    this.#invocation?.letGo(this);
    disowned(this);
    cap.release();
  }
}

/** A service stub that takes over one reference to `cap`; where it belongs to an invocation, it ends with that. */
export function newService(cap: Cap, invocation?: Invocation): object {
  const state = new HeldService(cap, invocation);
  const service = serviceProxy({}, state, Fetcher.prototype);
  ownedBy(service, state);
  return service;
}

/** The proxy of a service whose state may be anything that has a slot in the end. */
export function serviceProxy(
  target: object,
  state: ServiceState & Origin,
  proto: object,
  apply?: (args: unknown[]) => unknown,
  own?: Readonly<Record<string, unknown>>,
): object {
  Object.setPrototypeOf(target, proto);
  const service = platformProxy(target, new ServiceHandler(state, apply, own));
  serviceStates.set(service, state);
  registerOrigin(service);
  return service;
}

export function serviceOf(value: unknown): ServiceState | undefined {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return undefined;
  return serviceStates.get(value);
}

/** `outcome` of a trace for a call that failed. */
function outcomeName(outcome: Outcome): string {
  const kind = outcome[0] === "failed" ? outcome[1].kind : "exception";
  return kind === "exceededCpu" || kind === "exceededMemory" || kind === "canceled" ? kind : "exception";
}

class ServiceHandler extends ClosedHandler<object> {
  readonly #state: ServiceState & Origin;
  readonly #apply: ((args: unknown[]) => unknown) | undefined;
  /** Properties that are the stub's own rather than remote. */
  readonly #own: Readonly<Record<string, unknown>> | undefined;

  constructor(
    state: ServiceState & Origin,
    apply: ((args: unknown[]) => unknown) | undefined,
    own: Readonly<Record<string, unknown>> | undefined,
  ) {
    super();
    this.#state = state;
    this.#apply = apply;
    this.#own = own;
  }

  override get(target: object, key: string | symbol, proxy: object): unknown {
    switch (key) {
      case "fetch":
        return (input: unknown, init?: unknown): Promise<Response> => this.#fetch(input, init);
      case "connect":
        return (address: unknown, options?: unknown) => connectThrough(this.#state.cap(), address, options);
      case "queue":
        if (!has("service_binding_extra_handlers")) break;
        return (name: unknown, messages: unknown, metadata?: unknown) => this.#queue(name, messages, metadata);
      case "scheduled":
        if (!has("service_binding_extra_handlers")) break;
        return (options?: unknown) => this.#scheduled(options);
      case "then":
        return undefined;
      case "dup":
        return () => newService(this.#state.cap().retain());
      case "onRpcBroken":
        return undefined;
      case "getRpcMethodForTestOnly":
        if (!has("experimental")) break;
        return (name: string) => newProperty(proxy, [name], this.#state);
      case DISPOSE:
        return () => (this.#state as Partial<Owned>).letGo?.(false);
    }
    if (this.#own !== undefined && Object.hasOwn(this.#own, key)) return this.#own[key as string];
    if (typeof key === "symbol" || key in Object.prototype || !has("rpc")) return Reflect.get(target, key, proxy);
    return newProperty(proxy, [key], this.#state);
  }

  async #fetch(input: unknown, init: unknown): Promise<Response> {
    const request = new Request(input, init);
    const response = fetchFollowing(request, (next) => fetchThrough(this.#state.cap(), next));
    return requestIntegrity(request) === "" ? response : checkIntegrity(request, response);
  }

  async #queue(name: unknown, messages: unknown, metadata: unknown): Promise<QueueResult> {
    const payload = packBatch(messages, metadata);
    const outcome = await this.#deliver(["queue", String(name), (messages as unknown[]).length, payload]);
    if (outcome[0] === "value") return unpack(outcome[1]).value as QueueResult;
    return emptyResult(outcomeName(outcome));
  }

  async #scheduled(options: unknown): Promise<{ outcome: string; noRetry: boolean }> {
    const { scheduledTime, cron } = (options ?? {}) as { scheduledTime?: Date | number; cron?: unknown };
    const time = scheduledTime === undefined ? Date.now() : Number(scheduledTime);
    const event: CallEvent = ["scheduled", time, String(cron ?? "")];
    const outcome = await this.#deliver(event);
    if (outcome[0] === "nothing") return { outcome: "ok", noRetry: outcome[1] };
    return { outcome: outcomeName(outcome), noRetry: false };
  }

  async #deliver(event: CallEvent): Promise<Outcome> {
    const cap = this.#state.cap();
    const span = callSpan(cap, event[0]);
    try {
      return await deliverThrough(cap, event, span);
    } finally {
      span?.end();
    }
  }

  override apply(_target: object, _thisArg: unknown, args: unknown[]): unknown {
    if (this.#apply === undefined) throw new TypeError("A service stub is not a function.");
    return this.#apply(args);
  }
  override has(target: object, key: string | symbol): boolean {
    return typeof key === "string" ? key !== "then" : Reflect.has(target, key) || key === DISPOSE;
  }
}
