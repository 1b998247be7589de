// `ctx.storage.kv`: the same keys and values as `ctx.storage`, without promises.
//
// Invariant: of two iterators only the younger one goes on, as in workerd.

import { checkedKey, listRequest, storedBytes, valueOf } from "./storage.ts";
import type { Instance } from "./instance.ts";
import { type OpenSpan, openSpan } from "../trace.ts";

interface KvState {
  readonly instance: Instance;
  readonly valueBytesMax: number;
  /** Counts calls of `list()`. */
  lists: number;
}

const states = new WeakMap<object, KvState>();
let making: KvState | undefined;

function stateOf(kv: object): KvState {
  const state = states.get(kv);
  if (state === undefined) throw new TypeError("Illegal invocation");
  return state;
}

function kvSpan(name: string, operation: string): OpenSpan | undefined {
  const span = openSpan(name);
  if (span === undefined) return undefined;
  span.set("db.system.name", "cloudflare-durable-object-sql");
  span.set("db.operation.name", operation);
  return span;
}

/** A span of an operation on one key. */
function keySpan(name: string, operation: string, key: string): OpenSpan | undefined {
  const span = kvSpan(name, operation);
  span?.set("cloudflare.durable_object.kv.query.keys", key);
  span?.count("cloudflare.durable_object.kv.query.keys.count", 1);
  return span;
}

function tellList(span: OpenSpan, options: unknown): void {
  const given = (options ?? {}) as Record<string, unknown>;
  for (const name of ["start", "startAfter", "end", "prefix", "reverse", "limit"]) {
    const value = given[name];
    if (value === undefined || value === null) continue;
    const place = `cloudflare.durable_object.kv.query.${name}`;
    if (name === "limit") span.count(place, Number(value));
    else span.set(place, name === "reverse" ? Boolean(value) : String(value as string));
  }
}

export class SyncKvStorage {
  constructor() {
    if (making === undefined) throw new TypeError("Illegal constructor");
    states.set(this, making);
  }

  get(key: unknown): unknown {
    const { instance } = stateOf(this);
    const name = checkedKey(key);
    const span = keySpan("durable_object_storage_kv_get", "get", name);
    try {
      const reply = instance.ask(["get", [name]]);
      const found = reply[0] === "values" ? reply[1][0] : undefined;
      return found === undefined ? undefined : valueOf(instance, found);
    } finally {
      span?.end();
    }
  }

  put(key: unknown, value: unknown): void {
    const { instance, valueBytesMax } = stateOf(this);
    if (value === undefined) throw new TypeError("put() called with undefined value.");
    const name = checkedKey(key);
    const span = keySpan("durable_object_storage_kv_put", "put", name);
    try {
      instance.ask(["put", [[name, storedBytes(instance, value, valueBytesMax)]]]);
    } finally {
      span?.end();
    }
  }

  delete(key: unknown): boolean {
    const { instance } = stateOf(this);
    const name = checkedKey(key);
    const span = keySpan("durable_object_storage_kv_delete", "delete", name);
    try {
      const reply = instance.ask(["delete", [name]]);
      const deleted = reply[0] === "count" && reply[1] > 0;
      span?.count("cloudflare.durable_object.kv.response.deleted_count", deleted ? 1 : 0);
      return deleted;
    } finally {
      span?.end();
    }
  }

  list(options?: unknown): IterableIterator<[string, unknown]> {
    const state = stateOf(this);
    const span = kvSpan("durable_object_storage_kv_list", "list");
    try {
      if (span !== undefined) tellList(span, options);
      const request = listRequest(options);
      const reply = request === undefined ? undefined : state.instance.ask(request);
      return entriesOf(state, ++state.lists, reply?.[0] === "entries" ? reply[1] : []);
    } finally {
      span?.end();
    }
  }
}
Object.defineProperty(SyncKvStorage.prototype, Symbol.toStringTag, { value: "SyncKvStorage", configurable: true });

function* entriesOf(
  state: KvState,
  list: number,
  entries: readonly [string, Uint8Array][],
): Generator<[string, unknown], void, undefined> {
  for (const [key, value] of entries) {
    if (state.lists !== list) {
      throw new Error(
        "kv.list() iterator was invalidated because a new call to kv.list() was started. Only one kv.list() iterator " +
          "can exist at a time.",
      );
    }
    yield [key, valueOf(state.instance, value)];
  }
}

export function newSyncKv(instance: Instance, valueBytesMax: number): SyncKvStorage {
  making = { instance, valueBytesMax, lists: 0 };
  try {
    return new SyncKvStorage();
  } finally {
    making = undefined;
  }
}
