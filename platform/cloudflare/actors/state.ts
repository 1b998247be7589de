// `ctx` of a Durable Object.
//
// Absent: containers and read replication.
//
// Invariant: one object for the life of an instance.

import { engine } from "../../ops.ts";
import { has } from "../compat.ts";
import { exportsOf } from "../exports.ts";
import { restoreBy } from "../restore.ts";
import { newFacets } from "./facets.ts";
import type { DurableObjectFacets } from "./facets.ts";
import { ownId } from "./id.ts";
import type { DurableObjectId } from "./id.ts";
import type { Instance } from "./instance.ts";
import { newStorage } from "./storage.ts";
import type { DurableObjectStorage } from "./storage.ts";

const instances = new WeakMap<object, Instance>();
let making: Instance | undefined;

function instanceOf(state: object): Instance {
  const instance = instances.get(state);
  if (instance === undefined) throw new TypeError("Illegal invocation");
  return instance;
}

export class DurableObjectState {
  readonly id: DurableObjectId | string;
  readonly storage: DurableObjectStorage;
  readonly facets: DurableObjectFacets;
  readonly props: unknown;

  constructor() {
    if (making === undefined) throw new TypeError("Illegal constructor");
    const { start, props } = making;
    instances.set(this, making);
    this.id = ownId(start.id, start.name) ?? start.id;
    this.storage = newStorage(making);
    this.facets = newFacets(making);
    this.props = props;
  }

  get exports(): unknown {
    instanceOf(this);
    return has("enable_ctx_exports") ? exportsOf() : undefined;
  }

  get restore(): ((args: unknown) => Promise<object>) | undefined {
    const instance = instanceOf(this);
    return has("allow_irrevocable_stub_storage") ? (args) => restoreBy(instance.restorer(), args) : undefined;
  }

  /** There are no containers here. */
  get container(): undefined {
    instanceOf(this);
    return undefined;
  }

  waitUntil(promise: unknown): void {
    const invocation = instanceOf(this).invocation();
    if (invocation !== undefined) invocation.waitUntil(promise);
    else engine.markHandled(Promise.resolve(promise));
  }

  blockConcurrencyWhile(callback: () => unknown): Promise<unknown> {
    return instanceOf(this).blockConcurrencyWhile(callback);
  }

  abort(reason?: unknown): never {
    const instance = instanceOf(this);
    instance.break(reason ?? "Application called abort() to reset Durable Object.");
    throw instance.ended?.reason;
  }

  acceptWebSocket(socket: unknown, tags?: unknown): void {
    instanceOf(this).sockets.accept(socket, tags);
  }

  getWebSockets(tag?: unknown): object[] {
    return instanceOf(this).sockets.list(tag);
  }

  getTags(socket: unknown): string[] {
    return instanceOf(this).sockets.tags(socket);
  }

  setWebSocketAutoResponse(pair?: unknown): void {
    instanceOf(this).sockets.setAutoResponse(pair);
  }

  getWebSocketAutoResponse(): object | null {
    return instanceOf(this).sockets.autoResponse();
  }

  getWebSocketAutoResponseTimestamp(socket: unknown): Date | null {
    return instanceOf(this).sockets.autoResponseTime(socket);
  }

  setHibernatableWebSocketEventTimeout(ms?: unknown): void {
    instanceOf(this).sockets.setTimeout(ms);
  }

  getHibernatableWebSocketEventTimeout(): number | null {
    return instanceOf(this).sockets.timeout();
  }
}
Object.defineProperty(DurableObjectState.prototype, Symbol.toStringTag, {
  value: "DurableObjectState",
  configurable: true,
});

export function newState(instance: Instance): DurableObjectState {
  making = instance;
  try {
    return new DurableObjectState();
  } finally {
    making = undefined;
  }
}
