// What AES and HMAC share: keys that are a row of bytes, raw or as a JSON Web Key of type "oct".
//
// Invariant: a key's bytes are a copy of their own from the moment it is made.

import { notSupported } from "./errors.ts";
import { checkJwk, fromBase64Url, toBase64Url } from "./jwk.ts";
import type { Expected, JsonWebKey } from "./jwk.ts";
import { checkUseful, newKey, usagesIn } from "./key.ts";
import type { CryptoKey, KeyAlgorithm, KeyFormat, KeySlots, KeyUsage } from "./key.ts";

export function secretKey(
  algorithm: KeyAlgorithm,
  secret: Uint8Array,
  extractable: boolean,
  usages: readonly KeyUsage[],
): CryptoKey {
  return newKey({ type: "secret", extractable, algorithm, usages: usagesIn(usages), material: { secret } });
}

/** As `secretKey`, for a new key: one without a usage is refused. */
export function generatedKey(
  algorithm: KeyAlgorithm,
  secret: Uint8Array,
  extractable: boolean,
  usages: readonly KeyUsage[],
): CryptoKey {
  return checkUseful(secretKey(algorithm, secret, extractable, usages));
}

/** The bytes of a raw key or of a JSON Web Key; `check` looks at the latter's `alg`. */
export function importSecret(
  name: string,
  format: KeyFormat,
  data: Uint8Array | JsonWebKey,
  expected: Omit<Expected, "kty" | "name">,
  check: (jwk: JsonWebKey, secret: Uint8Array) => void,
): Uint8Array {
  if (format === "raw") return data as Uint8Array;
  if (format !== "jwk") throw notSupported(`Unrecognized key import format "${format}".`);
  const jwk = data as JsonWebKey;
  checkJwk(jwk, { name, kty: "oct", ...expected });
  const secret = fromBase64Url(jwk.k, "k");
  check(jwk, secret);
  return secret;
}

export function exportSecret(format: KeyFormat, key: KeySlots, alg: string): Uint8Array | JsonWebKey {
  const secret = secretOf(key);
  if (format === "raw") return secret;
  if (format !== "jwk") {
    throw notSupported(`${key.algorithm.name} key only supports exporting "raw" & "jwk", not "${format}".`);
  }
  return { kty: "oct", k: toBase64Url(secret), alg, key_ops: [...key.usages], ext: key.extractable };
}

/** The secret part of a key, which the operation at hand is known to have. */
export function secretOf(key: KeySlots): Uint8Array {
  const { secret } = key.material;
  if (secret === undefined) throw new Error(`a ${key.type} ${key.algorithm.name} key has no secret`);
  return secret;
}
