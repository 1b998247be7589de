// CryptoKey: what a Worker holds of a key. The key's bytes are a private field that only the
// platform reads, through `slotsOf`.
//
// Deliberately absent is the structured clone of keys: no Worker's key leaves its process.
//
// Invariant: what user code does to `algorithm` or `usages` changes nothing here; both getters give
// copies made once.

import { defineInterface, enumeration, internalToken, requireInternal } from "../webidl.ts";
import { syntaxError } from "./errors.ts";

export type KeyType = "public" | "private" | "secret";

/** In the standard's order, which is the order of every list of usages that is given out. */
const USAGES = ["encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey", "unwrapKey"] as const;
export type KeyUsage = (typeof USAGES)[number];
export const keyUsage = enumeration("KeyUsage", USAGES);

export const KEY_FORMATS = ["raw", "pkcs8", "spki", "jwk"] as const;
export type KeyFormat = (typeof KEY_FORMATS)[number];
export const keyFormat = enumeration("KeyFormat", KEY_FORMATS);

/** A KeyAlgorithm of any family; each fills in its own members. */
export interface KeyAlgorithm {
  readonly name: string;
  /** Bits of an AES or HMAC key. */
  readonly length?: number;
  readonly namedCurve?: string;
  readonly modulusLength?: number;
  readonly publicExponent?: Uint8Array;
  readonly hash?: { readonly name: string };
}

/**
 * A key's bytes. `secret` are those of a symmetric key, a curve's scalar or seed, or RSA's private
 * key (PKCS #1); `point` are a curve's uncompressed point or 32 bytes, or RSA's public key (PKCS #1).
 */
export interface KeyMaterial {
  readonly secret?: Uint8Array;
  readonly point?: Uint8Array;
}

export interface KeySlots {
  readonly type: KeyType;
  readonly extractable: boolean;
  readonly algorithm: KeyAlgorithm;
  readonly usages: readonly KeyUsage[];
  readonly material: KeyMaterial;
}

let readSlots: (key: CryptoKey) => KeySlots;
let isKey: (value: unknown) => value is CryptoKey;

export class CryptoKey {
  #slots: KeySlots;
  #algorithm: KeyAlgorithm | undefined;
  #usages: KeyUsage[] | undefined;

  constructor(token: unknown = undefined, slots: unknown = undefined) {
    requireInternal(token);
    this.#slots = slots as KeySlots;
  }

  static {
    readSlots = (key) => key.#slots;
    isKey = (value): value is CryptoKey => typeof value === "object" && value !== null && #slots in value;
  }

  get type(): KeyType {
    return this.#slots.type;
  }

  get extractable(): boolean {
    return this.#slots.extractable;
  }

  get algorithm(): KeyAlgorithm {
    return (this.#algorithm ??= algorithmCopy(this.#slots.algorithm));
  }

  get usages(): KeyUsage[] {
    return (this.#usages ??= [...this.#slots.usages]);
  }
}
defineInterface(CryptoKey);

function algorithmCopy(algorithm: KeyAlgorithm): KeyAlgorithm {
  const { hash, publicExponent } = algorithm;
  const copy: { -readonly [K in keyof KeyAlgorithm]: KeyAlgorithm[K] } = { ...algorithm };
  if (publicExponent !== undefined) copy.publicExponent = publicExponent.slice();
  if (hash !== undefined) copy.hash = { name: hash.name };
  return copy;
}

export interface CryptoKeyPair {
  publicKey: CryptoKey;
  privateKey: CryptoKey;
}

export const slotsOf: (key: CryptoKey) => KeySlots = readSlots;
export const isCryptoKey: (value: unknown) => value is CryptoKey = isKey;

export function newKey(slots: KeySlots): CryptoKey {
  return new CryptoKey(internalToken, slots);
}

/** Those of `usages` that `allowed` has, in the standard's order and once each. */
export function usagesIn(usages: readonly KeyUsage[], allowed: readonly KeyUsage[] = USAGES): KeyUsage[] {
  return USAGES.filter((usage) => usages.includes(usage) && allowed.includes(usage));
}

/** Throws the SyntaxError for a usage that such a key cannot have; `what` is as in `generate AES-GCM`. */
export function checkUsages(what: string, usages: readonly KeyUsage[], allowed: readonly KeyUsage[]): void {
  for (const usage of usages) {
    if (!allowed.includes(usage)) {
      throw syntaxError(`Attempt to ${what} key with invalid usage "${usage}".`);
    }
  }
}

/** The last step of making keys: a secret or private key that may be used for nothing is refused. */
export function checkUseful(key: CryptoKey): CryptoKey {
  const { type, usages } = slotsOf(key);
  if (type !== "public" && usages.length === 0) {
    throw syntaxError("Secret/private CryptoKeys must have at least one usage.");
  }
  return key;
}
