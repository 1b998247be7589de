// `ctx.storage.kv`: the same keys and values as `ctx.storage`, without promises.
//
// Invariant: of two iterators only the younger one goes on, as in workerd.

import { checkedKey, listRequest, storedBytes, valueOf } from "./storage.ts";
import type { Instance } from "./instance.ts";

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

export class SyncKvStorage {
  constructor() {
    if (making === undefined) throw new TypeError("Illegal constructor");
    states.set(this, making);
  }

  get(key: unknown): unknown {
    const { instance } = stateOf(this);
    const reply = instance.ask(["get", [checkedKey(key)]]);
    const found = reply[0] === "values" ? reply[1][0] : undefined;
    return found === undefined ? undefined : valueOf(instance, found);
  }

  put(key: unknown, value: unknown): void {
    const { instance, valueBytesMax } = stateOf(this);
    if (value === undefined) throw new TypeError("put() called with undefined value.");
    instance.ask(["put", [[checkedKey(key), storedBytes(instance, value, valueBytesMax)]]]);
  }

  delete(key: unknown): boolean {
    const reply = stateOf(this).instance.ask(["delete", [checkedKey(key)]]);
    return reply[0] === "count" && reply[1] > 0;
  }

  list(options?: unknown): IterableIterator<[string, unknown]> {
    const state = stateOf(this);
    const request = listRequest(options);
    const reply = request === undefined ? undefined : state.instance.ask(request);
    return entriesOf(state, ++state.lists, reply?.[0] === "entries" ? reply[1] : []);
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
