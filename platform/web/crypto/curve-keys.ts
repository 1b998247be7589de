// What all keys on curves share, whether Weierstrass, Edwards or Montgomery: making pairs, checking
// which half is asked for, agreeing on a secret.
//
// Invariant: a private key always carries its public half, computed from it.

import { ops } from "../../ops.ts";
import { required } from "../webidl.ts";
import { cryptoKey, noParameters, operation, parameterDictionary } from "./algorithm.ts";
import type { Operations } from "./algorithm.ts";
import { dataError, invalidAccess, operationError } from "./errors.ts";
import { newKey, slotsOf, usagesIn } from "./key.ts";
import type { CryptoKey, CryptoKeyPair, KeyAlgorithm, KeyMaterial, KeySlots, KeyType, KeyUsage } from "./key.ts";
import { secretOf } from "./secret.ts";

/** Which usages each half of a pair may have. */
export interface PairUsages {
  readonly public: readonly KeyUsage[];
  readonly private: readonly KeyUsage[];
}

export const SIGNING: PairUsages = { public: ["verify"], private: ["sign"] };
export const AGREEING: PairUsages = { public: [], private: ["deriveKey", "deriveBits"] };

export function allUsages(usages: PairUsages): KeyUsage[] {
  return usagesIn([...usages.public, ...usages.private]);
}

/** A public key if `material` has no secret, else a private one. */
export function halfKey(
  algorithm: KeyAlgorithm,
  material: KeyMaterial,
  extractable: boolean,
  usages: readonly KeyUsage[],
): CryptoKey {
  const type: KeyType = material.secret === undefined ? "public" : "private";
  return newKey({ type, extractable, algorithm, usages: usagesIn(usages), material });
}

/** The public half of a new pair is always extractable. */
export function keyPair(
  algorithm: KeyAlgorithm,
  secret: Uint8Array,
  point: Uint8Array,
  allowed: PairUsages,
  extractable: boolean,
  usages: readonly KeyUsage[],
): CryptoKeyPair {
  const publicKey = halfKey(algorithm, { point }, true, usagesIn(usages, allowed.public));
  const privateKey = halfKey(algorithm, { secret, point }, extractable, usagesIn(usages, allowed.private));
  return { publicKey, privateKey };
}

export function generatePair(
  curve: string,
  algorithm: KeyAlgorithm,
  allowed: PairUsages,
  extractable: boolean,
  usages: readonly KeyUsage[],
): CryptoKeyPair {
  const secret = ops.cryptoCurveSecret(curve);
  return keyPair(algorithm, secret, ops.cryptoCurvePublic(curve, secret), allowed, extractable, usages);
}

/** A private key's material; `claimed` is the public half that came with it, if one did. */
export function privateMaterial(curve: string, secret: Uint8Array, claimed: Uint8Array | undefined): KeyMaterial {
  const point = ops.cryptoCurvePublic(curve, secret);
  if (claimed !== undefined && !ops.cryptoTimingSafeEqual(padded(claimed, point.length), point)) {
    throw dataError("The public key does not belong to the private key");
  }
  return { secret, point };
}

function padded(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length === length) return bytes;
  return new Uint8Array(length);
}

export function requireType(key: KeySlots, type: KeyType, doing: string): void {
  if (key.type !== type) throw invalidAccess(`A ${key.type} ${key.algorithm.name} key cannot be used to ${doing}`);
}

export function pointOf(key: KeySlots): Uint8Array {
  const { point } = key.material;
  if (point === undefined) throw new Error(`a ${key.algorithm.name} key has no public half`);
  return point;
}

const agreementParameters = parameterDictionary("EcdhKeyDeriveParams", { public: required(cryptoKey) }, noParameters);

/** Diffie-Hellman with another's public key. */
export function agreement(curveOf: (key: KeySlots) => string): Operations["deriveBits"] {
  return operation(agreementParameters, ({ public: other }, key, length) => {
    requireType(key, "private", "derive bits");
    const theirs = slotsOf(other);
    requireType(theirs, "public", "derive bits with, as another's");
    if (theirs.algorithm.name !== key.algorithm.name || theirs.algorithm.namedCurve !== key.algorithm.namedCurve) {
      throw invalidAccess("The public key is not of the private key's algorithm and curve");
    }
    return truncated(ops.cryptoCurveShare(curveOf(key), secretOf(key), pointOf(theirs)), length);
  });
}

function truncated(secret: Uint8Array, bits: number | null): Uint8Array {
  if (bits === null) return secret;
  if (bits > secret.length * 8) {
    throw operationError(`The shared secret has ${secret.length * 8} bits, ${bits} were asked for`);
  }
  const part = secret.slice(0, Math.ceil(bits / 8));
  const spare = part.length * 8 - bits;
  if (spare > 0) part[part.length - 1] = (part[part.length - 1] as number) & (0xff << spare);
  return part;
}
