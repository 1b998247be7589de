// Ids of Durable Objects: 32 bytes of which the second half vouches for the first.
//
// The first 16 bytes are random or made of a name, the last of them says the jurisdiction; the other
// 16 are an HMAC of these with the namespace's key. `crates/host/store/src/id.rs` computes the same
// and checks every id again, so nothing here is a boundary.
//
// Invariant: an id object is of the namespace whose key it holds.

import { ops } from "../../ops.ts";
import { describe } from "../errors.ts";

const BASE_BYTES = 16;
const ID_BYTES = 32;

/** Places that data may be bound to. Accepted, and kept in the id; there is one place here. */
const JURISDICTIONS = [undefined, "eu", "fedramp", "fedramp-high", "us"] as const;
export type Jurisdiction = (typeof JURISDICTIONS)[number];

export function jurisdictionOf(value: unknown): Jurisdiction {
  if (value === undefined || value === null) return undefined;
  const found = JURISDICTIONS.find((known) => known === value);
  if (found === undefined) {
    throw new TypeError(`jurisdiction must be "eu", "fedramp", "fedramp-high" or "us", not ${describe(value)}.`);
  }
  return found;
}

interface IdState {
  readonly bytes: Uint8Array;
  readonly hex: string;
  readonly key: Uint8Array;
  readonly name: string | undefined;
}

const states = new WeakMap<object, IdState>();
let making: IdState | undefined;

export class DurableObjectId {
  constructor() {
    if (making === undefined) throw new TypeError("Illegal constructor");
    const { name, bytes } = making;
    states.set(this, making);
    const jurisdiction = JURISDICTIONS[bytes[BASE_BYTES - 1] as number];
    if (name !== undefined) Object.defineProperty(this, "name", { value: name, enumerable: true });
    if (jurisdiction !== undefined) Object.defineProperty(this, "jurisdiction", { value: jurisdiction, enumerable: true });
  }

  toString(): string {
    return stateOf(this).hex;
  }

  equals(other: unknown): boolean {
    return stateOf(this).hex === stateOf(other).hex;
  }
}
Object.defineProperty(DurableObjectId.prototype, Symbol.toStringTag, { value: "DurableObjectId", configurable: true });

function stateOf(value: unknown): IdState {
  const state = typeof value === "object" && value !== null ? states.get(value) : undefined;
  if (state === undefined) throw new TypeError(`a DurableObjectId is needed, not ${describe(value)}.`);
  return state;
}

function make(bytes: Uint8Array, key: Uint8Array, name: string | undefined): DurableObjectId {
  making = { bytes, hex: toHex(bytes), key, name };
  try {
    return new DurableObjectId();
  } finally {
    making = undefined;
  }
}

export function isId(value: unknown): value is DurableObjectId {
  return typeof value === "object" && value !== null && states.has(value);
}

export function idBytes(id: DurableObjectId): Uint8Array {
  return stateOf(id).bytes;
}

export function idName(id: DurableObjectId): string | undefined {
  return stateOf(id).name;
}

export function idJurisdiction(id: DurableObjectId): Jurisdiction {
  return JURISDICTIONS[stateOf(id).bytes[BASE_BYTES - 1] as number];
}

/** Whether an id is of the namespace with `key`. */
export function isOf(id: DurableObjectId, key: Uint8Array): boolean {
  return stateOf(id).key === key || ops.cryptoTimingSafeEqual(stateOf(id).key, key);
}

export function idFromName(key: Uint8Array, name: string, jurisdiction: Jurisdiction): DurableObjectId {
  const base = ops.cryptoHmac("SHA-256", key, ops.textEncode(name)).slice(0, BASE_BYTES);
  return complete(base, key, jurisdiction, name);
}

export function uniqueId(key: Uint8Array, jurisdiction: Jurisdiction): DurableObjectId {
  return complete(ops.randomBytes(BASE_BYTES), key, jurisdiction, undefined);
}

function complete(
  base: Uint8Array,
  key: Uint8Array,
  jurisdiction: Jurisdiction,
  name: string | undefined,
): DurableObjectId {
  base[BASE_BYTES - 1] = JURISDICTIONS.indexOf(jurisdiction);
  const bytes = new Uint8Array(ID_BYTES);
  bytes.set(base);
  bytes.set(tailOf(base, key), BASE_BYTES);
  return make(bytes, key, name);
}

function tailOf(base: Uint8Array, key: Uint8Array): Uint8Array {
  return ops.cryptoHmac("SHA-256", key, base).subarray(0, BASE_BYTES);
}

export function idFromString(key: Uint8Array, text: string): DurableObjectId {
  if (!/^[0-9a-fA-F]{64}$/.test(text)) {
    throw new TypeError("Invalid Durable Object ID: must be 64 hex digits");
  }
  const bytes = new Uint8Array(ID_BYTES);
  for (let i = 0; i < ID_BYTES; i++) bytes[i] = Number.parseInt(text.slice(i * 2, i * 2 + 2), 16);
  if (!ops.cryptoTimingSafeEqual(tailOf(bytes.slice(0, BASE_BYTES), key), bytes.slice(BASE_BYTES))) {
    throw new TypeError("Durable Object ID is not valid for this namespace.");
  }
  return make(bytes, key, undefined);
}

/** The id of an instance, whose namespace it need not know; undefined if `text` is none. */
export function ownId(text: string, name: string | undefined): DurableObjectId | undefined {
  if (!/^[0-9a-f]{64}$/.test(text)) return undefined;
  const bytes = new Uint8Array(ID_BYTES);
  for (let i = 0; i < ID_BYTES; i++) bytes[i] = Number.parseInt(text.slice(i * 2, i * 2 + 2), 16);
  return make(bytes, NO_KEY, name);
}

const NO_KEY = new Uint8Array(0);

/** Whether the id came from an instance's own `ctx.id`: the host knows whose it is. */
export function isKeyless(id: DurableObjectId): boolean {
  return stateOf(id).key === NO_KEY;
}

function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += (byte < 16 ? "0" : "") + byte.toString(16);
  return text;
}
