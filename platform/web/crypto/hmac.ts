// HMAC over the SHA family.
//
// Invariant: signatures are compared in constant time.

import { ops } from "../../ops.ts";
import { dictionary, optional, required, unsignedLongEnforceRange } from "../webidl.ts";
import { noParameters, operation } from "./algorithm.ts";
import type { Algorithm } from "./algorithm.ts";
import { hashIdentifier, hashSizes } from "./digest.ts";
import type { HashName } from "./digest.ts";
import { dataError, operationError } from "./errors.ts";
import { checkJwkAlgorithm } from "./jwk.ts";
import { checkUsages } from "./key.ts";
import type { KeyAlgorithm, KeySlots, KeyUsage } from "./key.ts";
import { exportSecret, generatedKey, importSecret, secretKey, secretOf } from "./secret.ts";

const NAME = "HMAC";
const USAGES: readonly KeyUsage[] = ["sign", "verify"];

/** Bits of a generated key. Anything beyond a block is hashed down first, so this is ample. */
const KEY_BITS_MAX = 8 * 65_536;

/** `HmacKeyGenParams`, and `HmacImportParams`, which says the same. */
const parameters = dictionary(
  "HmacKeyGenParams",
  { hash: required(hashIdentifier), length: optional(unsignedLongEnforceRange) },
  noParameters,
);

function keyAlgorithm(hash: HashName, length: number): KeyAlgorithm {
  return { name: NAME, length, hash: { name: hash } };
}

/** The bits beyond `length` in the last byte are zero. */
function masked(secret: Uint8Array, length: number): Uint8Array {
  const spare = secret.length * 8 - length;
  if (spare > 0) secret[secret.length - 1] = (secret[secret.length - 1] as number) & (0xff << spare);
  return secret;
}

function hashOf(key: KeySlots): string {
  return key.algorithm.hash?.name ?? "";
}

function sign(key: KeySlots, data: Uint8Array): Uint8Array {
  return ops.cryptoHmac(hashOf(key), secretOf(key), data);
}

export const hmac: Algorithm = {
  name: NAME,
  sign: operation(noParameters, (_, key, data) => sign(key, data)),
  verify: operation(noParameters, (_, key, signature, data) => {
    const expected = sign(key, data);
    return signature.length === expected.length && ops.cryptoTimingSafeEqual(signature, expected);
  }),
  generateKey: operation(parameters, ({ hash, length = hashSizes(hash).blockBits }, extractable, usages) => {
    checkUsages(NAME, usages, USAGES);
    if (length === 0) throw operationError("An HMAC key has at least one bit");
    if (length > KEY_BITS_MAX) throw operationError(`An HMAC key has at most ${KEY_BITS_MAX} bits here, not ${length}`);
    const secret = masked(ops.randomBytes(Math.ceil(length / 8)), length);
    return generatedKey(keyAlgorithm(hash, length), secret, extractable, usages);
  }),
  importKey: operation(parameters, ({ hash, length }, format, data, extractable, usages) => {
    checkUsages(NAME, usages, USAGES);
    const secret = importSecret(NAME, format, data, { use: "sig", extractable, usages }, (jwk) => {
      checkJwkAlgorithm(jwk, `HS${hashSizes(hash).jwa}`);
    });
    const bits = secret.length * 8;
    if (bits === 0) throw dataError("An HMAC key has at least one byte");
    if (length !== undefined && (length > bits || length <= bits - 8)) {
      throw dataError(`The HMAC key has ${bits} bits, which cannot be cut to ${length}`);
    }
    return secretKey(keyAlgorithm(hash, length ?? bits), masked(secret, length ?? bits), extractable, usages);
  }),
  exportKey(format, key) {
    return exportSecret(format, key, `HS${hashSizes(hashOf(key)).jwa}`);
  },
  keyLength: operation(parameters, ({ hash, length }) => {
    if (length === 0) throw new TypeError("An HMAC key has at least one bit");
    return length ?? hashSizes(hash).blockBits;
  }),
};
