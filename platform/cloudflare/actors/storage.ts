// `ctx.storage`: keys and values, transactions and alarms of a Durable Object.
//
// Every method asks the host at once and waits for its reply, also those that give a promise: nothing
// else is delivered to the object meanwhile (the input gate of the documentation), and what was
// written between two awaits is one transaction of the host's. `allowConcurrency`, `allowUnconfirmed`
// and `noCache` are accepted and change nothing: the host lets no answer out before its writes are
// durable.
//
// Invariant: values are stored as a version byte and the codec's bytes.

import { ops } from "../../ops.ts";
import type { StorageRequest } from "../../ops.ts";
import { Cap, hold, newSlot } from "../caps.ts";
import { has } from "../compat.ts";
import { dataCloneError, describe } from "../errors.ts";
import { newService, serviceOf } from "../fetcher.ts";
import { TooLargeError } from "../rpc/bytes.ts";
import { decode } from "../rpc/decode.ts";
import type { DecodeHost } from "../rpc/decode.ts";
import { encode, refuse } from "../rpc/encode.ts";
import type { EncodeHost } from "../rpc/encode.ts";
import { buildDomException, domExceptionParts } from "../failures.ts";
import { newStub, stubState } from "../rpc/stub.ts";
import { openSpan } from "../trace.ts";
import { Tag } from "../rpc/tags.ts";
import { isDOMException } from "../../web/dom-exception.ts";
import { startTimer } from "../../web/timers.ts";
import { classOf, newClass } from "./class.ts";
import type { Instance } from "./instance.ts";
import { newSyncKv } from "./kv.ts";
import type { SyncKvStorage } from "./kv.ts";
import { newSql } from "./sql.ts";
import type { SqlStorage } from "./sql.ts";

/** Bytes of one key, and of one value: as documented, for objects with SQL and without. In step with
 * `crates/host/store/src/object/mod.rs`. */
const KEY_BYTES_MAX = 2048;
const VALUE_BYTES_MAX = { sql: 2 * 1024 * 1024, kv: 128 * 1024 } as const;

/** Keys of one call, as documented. */
const KEYS_MAX = 128;

/** What a stored value begins with; another number will mean another form of the rest. */
const VALUE_VERSION = 1;
/** The same of a value with stubs, whose tokens come first. */
const STUBS_VERSION = 2;

const NO_SQL =
  "SQL is not enabled for this Durable Object class. To enable it, change `new_classes` to `new_sqlite_classes` " +
  "within the 'migrations' field in your wrangler.jsonc or wrangler.toml file. Note that this change cannot be made " +
  "after the class is already deployed to production.";

const NO_SYNC_KV =
  "The storage.kv (synchronous KV) API is only available for SQLite-backed Durable Objects, but this object's " +
  "namespace is not declared to use SQLite. You can use the older, asyncronous interface via methods of `storage` " +
  "itself (e.g. `storage.get()`). Alternatively, to enable SQLite, change `new_classes` to `new_sqlite_classes` " +
  "within the 'migrations' field in your wrangler.jsonc or wrangler.toml file.";

const NO_RECOVERY = "This Durable Object's storage back-end does not implement point-in-time recovery.";

// ---- values

const plainOnly: EncodeHost<Cap> = {
  recognise(value) {
    const cap = storableCap(value);
    if (cap !== undefined) return { external: cap };
    if (isDOMException(value)) return { parts: { tag: Tag.DomException, values: domExceptionParts(value as unknown as Error) } };
    if (typeof value === "function") throw dataCloneError(`${String(value.name || "A function")} could not be cloned.`);
    // Plain data is the codec's; anything else that it asks about cannot be stored.
    return undefined;
  },
};

/** The slot of a stub that may be stored, which the host has the last word on; undefined for what is none. */
function storableCap(value: object): Cap | undefined {
  const service = serviceOf(value);
  const found = service ?? classOf(value);
  if (found === undefined) {
    const stub = stubState(value);
    if (stub === undefined) return undefined;
    // What `ctx.restore()` made is the host's.
    if (stub.callee instanceof Cap && has("allow_irrevocable_stub_storage")) return stub.callee;
    throw dataCloneError("RpcStub cannot be serialized in this context.");
  }
  if (!has("allow_irrevocable_stub_storage")) {
    const name = service === undefined ? "DurableObjectClass" : "ServiceStub";
    throw dataCloneError(`${name} cannot be serialized in this context.`);
  }
  return found.transferable();
}

function decodeHost(stubs: readonly object[]): DecodeHost {
  return {
    external(index) {
      const stub = stubs[index];
      if (stub === undefined) throw new Error("a stored value refers to something that is not data");
      return stub;
    },
    disposer() {
      throw new Error("a stored value refers to something that is not data");
    },
    build(tag, next) {
      if (tag === Tag.DomException) return buildDomException(next);
      throw new Error("a stored value has an unknown form");
    },
  };
}

const plainDecode = decodeHost([]);

export function storedBytes(instance: Instance, value: unknown, limit: number): Uint8Array {
  let encoded: ReturnType<typeof encode<Cap>>;
  try {
    encoded = encode(value, plainOnly, { bytesMax: limit + 64 });
  } catch (error) {
    if (error instanceof TooLargeError) throw tooLarge(error.bytes, limit);
    throw error;
  }
  if (!("bytes" in encoded)) return refuse(encoded.promises[0] as object);
  const { bytes, externals } = encoded;
  if (bytes.length > limit) throw tooLarge(bytes.length, limit);
  if (externals.length > 0) return withStubs(instance, bytes, externals, limit);
  const stored = new Uint8Array(bytes.length + 1);
  stored[0] = VALUE_VERSION;
  stored.set(bytes, 1);
  return stored;
}

/** How many stubs, each as the length of its token and the token, then the value. */
function withStubs(instance: Instance, bytes: Uint8Array, caps: readonly Cap[], limit: number): Uint8Array {
  const tokens = caps.map((cap) => {
    const reply = instance.ask(["token", cap.id]);
    return (reply[0] === "values" && reply[1][0]) || new Uint8Array(0);
  });
  const size = tokens.reduce((sum, token) => sum + 4 + token.length, 5 + bytes.length);
  if (size - 5 > limit) throw tooLarge(size - 5, limit);
  const stored = new Uint8Array(size);
  const view = new DataView(stored.buffer);
  stored[0] = STUBS_VERSION;
  view.setUint32(1, tokens.length, true);
  let at = 5;
  for (const token of tokens) {
    view.setUint32(at, token.length, true);
    stored.set(token, at + 4);
    at += 4 + token.length;
  }
  stored.set(bytes, at);
  return stored;
}

function valueWithStubs(instance: Instance, stored: Uint8Array): unknown {
  const view = new DataView(stored.buffer, stored.byteOffset, stored.byteLength);
  const stubs: object[] = [];
  let at = 5;
  for (let left = view.getUint32(1, true); left > 0; left--) {
    const end = at + 4 + view.getUint32(at, true);
    stubs.push(redeemed(instance, stored.slice(at + 4, end)));
    at = end;
  }
  return decode(stored.subarray(at), decodeHost(stubs));
}

function redeemed(instance: Instance, token: Uint8Array): object {
  const slot = newSlot();
  const reply = instance.ask(["redeem", slot, token]);
  switch (reply[0] === "text" ? reply[1] : undefined) {
    case "actorClass":
      return newClass(hold(slot, "actorClass"), "configured");
    case "object":
      return newStub(hold(slot, "object"));
    default:
      return newService(hold(slot, "service"));
  }
}

function tooLarge(bytes: number, limit: number): RangeError {
  return new RangeError(`Values cannot be larger than ${limit} bytes. A value of size ${bytes} was provided.`);
}

export function valueOf(instance: Instance, stored: Uint8Array): unknown {
  if (stored[0] === STUBS_VERSION) return valueWithStubs(instance, stored);
  if (stored[0] !== VALUE_VERSION) throw new Error(`a stored value has the unknown form ${String(stored[0])}`);
  return decode(stored.subarray(1), plainDecode);
}

export function checkedKey(key: unknown): string {
  if (key === undefined || key === null || typeof key === "symbol") {
    throw new TypeError(`a key must be a string, not ${describe(key)}.`);
  }
  const text = String(key);
  // A char is at most three bytes, so only long keys are measured.
  if (text.length * 3 > KEY_BYTES_MAX && ops.textEncode(text).length > KEY_BYTES_MAX) {
    throw new RangeError(`Keys cannot be larger than ${KEY_BYTES_MAX} bytes. A key of size ${text.length} was provided.`);
  }
  return text;
}

function checkedKeys(keys: readonly unknown[]): string[] {
  if (keys.length > KEYS_MAX) throw new RangeError(`Maximum number of keys is ${KEYS_MAX}.`);
  return keys.map(checkedKey);
}

/** By code points, as SQLite compares UTF-8. */
function byUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (x === y) continue;
    const [high, low] = [x >= 0xd800 && x < 0xe000, y >= 0xd800 && y < 0xe000];
    if (high !== low) return high ? 1 : -1;
    return x - y;
  }
  return a.length - b.length;
}

interface ListOptions {
  start?: unknown;
  startAfter?: unknown;
  end?: unknown;
  prefix?: unknown;
  reverse?: unknown;
  limit?: unknown;
}

/** The question that `list(options)` is; undefined where it can give nothing. */
export function listRequest(options: unknown): StorageRequest | undefined {
  if (options !== undefined && options !== null && typeof options !== "object") {
    throw new TypeError(`list(options): options must be an object, not ${describe(options)}.`);
  }
  const { start, startAfter, end, prefix, reverse, limit } = (options ?? {}) as ListOptions;
  if (start !== undefined && startAfter !== undefined) {
    throw new TypeError("list() cannot be called with both start and startAfter values.");
  }
  let most: number | undefined;
  if (limit !== undefined && limit !== null) {
    most = Math.trunc(Number(limit));
    if (!(most > 0)) throw new TypeError("List limit must be positive.");
    most = Math.min(most, 0xffff_ffff);
  }
  const first = startAfter ?? start;
  const last = end === undefined || end === null ? undefined : String(end);
  const from = first === undefined || first === null ? undefined : String(first);
  if (from !== undefined && last !== undefined && byUtf8(last, from) <= 0) return undefined;
  const begins = prefix === undefined || prefix === null ? "" : String(prefix);
  const after = startAfter !== undefined && startAfter !== null;
  return ["list", from, after, last, begins, Boolean(reverse), most];
}

// ---- the object

const instances = new WeakMap<object, Instance>();
let making: Instance | undefined;

function instanceOf(holder: object): Instance {
  const instance = instances.get(holder);
  if (instance === undefined) throw new TypeError("Illegal invocation");
  return instance;
}

/** The instance, where its class has point-in-time recovery: one of `new_sqlite_classes`. */
function recoverable(holder: object): Instance {
  const instance = instanceOf(holder);
  if (!instance.start.sql) throw new Error(NO_RECOVERY);
  return instance;
}

function illegal(): TypeError {
  return new TypeError("Illegal constructor");
}

/** What storage and a transaction have in common. */
class Operations {
  constructor() {
    if (making === undefined) throw illegal();
    instances.set(this, making);
  }

  async get(keys: unknown, _options?: unknown): Promise<unknown> {
    const span = openSpan("durable_object_storage_get");
    try {
      const instance = usable(this, "get()");
      if (!Array.isArray(keys)) {
        const reply = instance.ask(["get", [checkedKey(keys)]]);
        const found = reply[0] === "values" ? reply[1][0] : undefined;
        return found === undefined ? undefined : valueOf(instance, found);
      }
      const names = [...new Set(checkedKeys(keys))].sort(byUtf8);
      const reply = instance.ask(["get", names]);
      const map = new Map<string, unknown>();
      if (reply[0] === "values") {
        reply[1].forEach((value, index) => {
          if (value !== undefined) map.set(names[index] as string, valueOf(instance, value));
        });
      }
      return map;
    } finally {
      span?.end();
    }
  }

  async put(key: unknown, value?: unknown, _options?: unknown): Promise<void> {
    const span = openSpan("durable_object_storage_put");
    try {
      const instance = usable(this, "put()");
      const limit = VALUE_BYTES_MAX[instance.start.sql ? "sql" : "kv"];
      if (typeof key === "object" && key !== null) {
        const given = Object.entries(key);
        checkedKeys(given.map(([name]) => name));
        const entries = given
          .filter(([, each]) => each !== undefined)
          .map(([name, each]): [string, Uint8Array] => [name, storedBytes(instance, each, limit)]);
        if (entries.length > 0) instance.ask(["put", entries]);
        return;
      }
      if (value === undefined) throw new TypeError("put() called with undefined value.");
      instance.ask(["put", [[checkedKey(key), storedBytes(instance, value, limit)]]]);
    } finally {
      span?.end();
    }
  }

  async delete(keys: unknown, _options?: unknown): Promise<boolean | number> {
    const span = openSpan("durable_object_storage_delete");
    try {
      const instance = usable(this, "delete()");
      const names = Array.isArray(keys) ? [...new Set(checkedKeys(keys))] : [checkedKey(keys)];
      const reply = instance.ask(["delete", names]);
      const count = reply[0] === "count" ? reply[1] : 0;
      return Array.isArray(keys) ? count : count > 0;
    } finally {
      span?.end();
    }
  }

  async list(options?: unknown): Promise<Map<string, unknown>> {
    const span = openSpan("durable_object_storage_list");
    try {
      const instance = usable(this, "list()");
      const request = listRequest(options);
      const reply = request === undefined ? undefined : instance.ask(request);
      const map = new Map<string, unknown>();
      if (reply?.[0] === "entries") for (const [key, value] of reply[1]) map.set(key, valueOf(instance, value));
      return map;
    } finally {
      span?.end();
    }
  }

  async getAlarm(_options?: unknown): Promise<number | null> {
    const span = openSpan("durable_object_storage_getAlarm");
    try {
      const reply = usable(this, "getAlarm()").ask(["getAlarm"]);
      return reply[0] === "time" ? (reply[1] ?? null) : null;
    } finally {
      span?.end();
    }
  }

  async setAlarm(time: unknown, _options?: unknown): Promise<void> {
    const span = openSpan("durable_object_storage_setAlarm");
    try {
      const instance = usable(this, "setAlarm()");
      const ms = Math.trunc(Number(time));
      if (Number.isNaN(ms)) throw new TypeError(`setAlarm(time): time must be a Date or milliseconds, not ${describe(time)}.`);
      if (ms <= 0) throw new TypeError("setAlarm() cannot be called with an alarm time <= 0");
      if (!instance.start.alarms) throw new Error("Facets currently cannot set alarms.");
      if (!instance.handlesAlarms) {
        throw new TypeError("Your Durable Object class must have an alarm() handler in order to call setAlarm()");
      }
      instance.ask(["setAlarm", Math.max(ms, Math.trunc(Date.now()))]);
    } finally {
      span?.end();
    }
  }

  async deleteAlarm(_options?: unknown): Promise<void> {
    const span = openSpan("durable_object_storage_deleteAlarm");
    try {
      usable(this, "deleteAlarm()").ask(["setAlarm", undefined]);
    } finally {
      span?.end();
    }
  }
}

/** The instance, unless a transaction that is over is used. */
function usable(holder: object, what: string): Instance {
  const over = transactionEnds.get(holder);
  if (over === "rolled back") throw new Error(`Cannot ${what} on rolled back transaction`);
  if (over === "ended") {
    throw new Error(
      `Cannot call ${what} on transaction that has already committed: did you move \`txn\` outside of the closure?`,
    );
  }
  return instanceOf(holder);
}

const transactionEnds = new WeakMap<object, "rolled back" | "ended">();

export class DurableObjectTransaction extends Operations {
  deleteAll(): never {
    throw new Error("Cannot call deleteAll() within a transaction");
  }

  rollback(): void {
    const instance = usable(this, "rollback()");
    instance.ask(["rollback"]);
    transactionEnds.set(this, "rolled back");
  }
}

export class DurableObjectStorage extends Operations {
  declare sql: SqlStorage;
  declare kv: SyncKvStorage;

  async deleteAll(_options?: unknown): Promise<void> {
    const span = openSpan("durable_object_storage_deleteAll");
    try {
      instanceOf(this).ask(["deleteAll", has("delete_all_deletes_alarm")]);
    } finally {
      span?.end();
    }
  }

  /** Ends the turn, which commits. Whatever leaves the object afterwards waits for the disk in the host. */
  sync(): Promise<void> {
    instanceOf(this);
    const span = openSpan("durable_object_storage_sync");
    return new Promise((resolve) => {
      startTimer(span === undefined ? resolve : () => resolve(span.end()), 0);
    });
  }

  /** Other events wait; what `closure` throws undoes what it wrote. */
  async transaction(closure: (txn: DurableObjectTransaction) => unknown): Promise<unknown> {
    const span = openSpan("durable_object_storage_transaction");
    try {
      const instance = instanceOf(this);
      return await instance.critical(async () => {
        const txn = made(DurableObjectTransaction, instance);
        instance.ask(["begin"]);
        try {
          const result = await closure(txn);
          if (!transactionEnds.has(txn)) instance.ask(["commit"]);
          return result;
        } catch (error) {
          if (!transactionEnds.has(txn) && instance.ended === undefined) instance.ask(["rollback"]);
          throw error;
        } finally {
          if (!transactionEnds.has(txn)) transactionEnds.set(txn, "ended");
        }
      });
    } finally {
      span?.end();
    }
  }

  transactionSync(closure: () => unknown): unknown {
    const instance = instanceOf(this);
    if (!instance.start.sql) throw new Error("Durable Object is not backed by SQL.");
    instance.ask(["begin"]);
    let result: unknown;
    try {
      result = closure();
    } catch (error) {
      try {
        instance.ask(["rollback"]);
      } catch {
        // The database has rolled back already, and the instance will be reset; `error` says why.
      }
      throw error;
    }
    instance.ask(["commit"]);
    return result;
  }

  async getCurrentBookmark(): Promise<string> {
    const span = openSpan("durable_object_storage_getCurrentBookmark");
    try {
      const reply = instanceOf(this).ask(["bookmark"]);
      return reply[0] === "text" ? reply[1] : "";
    } finally {
      span?.end();
    }
  }

  async waitForBookmark(_bookmark: unknown): Promise<void> {
    const span = openSpan("durable_object_storage_waitForBookmark");
    try {
      instanceOf(this);
    } finally {
      span?.end();
    }
  }

  async getBookmarkForTime(time: unknown): Promise<string> {
    const instance = recoverable(this);
    const ms = time instanceof Date ? time.getTime() : Number(time);
    if (!Number.isFinite(ms)) throw new TypeError(`getBookmarkForTime() needs a Date or milliseconds, not ${describe(time)}.`);
    const reply = instance.ask(["bookmarkAt", ms]);
    return reply[0] === "text" ? reply[1] : "";
  }

  async onNextSessionRestoreBookmark(bookmark: unknown): Promise<string> {
    const reply = recoverable(this).ask(["restore", String(bookmark)]);
    return reply[0] === "text" ? reply[1] : "";
  }
}

for (const [made, names] of [
  [Operations, ["get", "put", "delete", "list", "getAlarm", "setAlarm", "deleteAlarm"]],
  [DurableObjectStorage, ["deleteAll", "sync", "transaction", "transactionSync", "getCurrentBookmark", "getBookmarkForTime",
    "onNextSessionRestoreBookmark"]],
  [DurableObjectTransaction, ["deleteAll", "rollback"]],
] as const) {
  for (const name of names) Object.defineProperty(made.prototype, name, { enumerable: true });
}
for (const each of [DurableObjectStorage, DurableObjectTransaction]) {
  Object.defineProperty(each.prototype, Symbol.toStringTag, { value: each.name, configurable: true });
}

function made<T>(maker: new () => T, instance: Instance): T {
  const before = making;
  making = instance;
  try {
    return new maker();
  } finally {
    making = before;
  }
}

export function newStorage(instance: Instance): DurableObjectStorage {
  const storage = made(DurableObjectStorage, instance);
  lazily(storage, "sql", () => {
    if (!instance.start.sql) throw new Error(NO_SQL);
    return newSql(instance);
  });
  lazily(storage, "kv", () => {
    if (!instance.start.sql) throw new Error(NO_SYNC_KV);
    return newSyncKv(instance, VALUE_BYTES_MAX.sql);
  });
  return storage;
}

/** A property that is made when it is first read, and may be overwritten. */
function lazily(holder: object, name: string, make: () => unknown): void {
  const set = (value: unknown): void => {
    Object.defineProperty(holder, name, { value, writable: true, enumerable: true, configurable: true });
  };
  const get = (): unknown => {
    const value = make();
    set(value);
    return value;
  };
  Object.defineProperty(holder, name, { get, set, enumerable: true, configurable: true });
}
