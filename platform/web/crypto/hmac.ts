// HMAC over the SHA family.
//
// Invariant: signatures are compared in constant time.

import { ops } from "../../ops.ts";
import { optional, required, unsignedLongEnforceRange } from "../webidl.ts";
import { noParameters, operation, parameterDictionary } from "./algorithm.ts";
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
const parameters = parameterDictionary(
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
    checkUsages(`generate ${NAME}`, usages, USAGES);
    if (length === 0) throw operationError("HMAC key length must be a non-zero unsigned long integer (requested 0).");
    if (length > KEY_BITS_MAX) throw operationError(`An HMAC key has at most ${KEY_BITS_MAX} bits here, not ${length}`);
    const secret = masked(ops.randomBytes(Math.ceil(length / 8)), length);
    return generatedKey(keyAlgorithm(hash, length), secret, extractable, usages);
  }),
  importKey: operation(parameters, ({ hash, length }, format, data, extractable, usages) => {
    checkUsages(`import secret ${NAME}`, usages, USAGES);
    const secret = importSecret(NAME, format, data, { use: "sig", extractable, usages }, (jwk) => {
      checkJwkAlgorithm(jwk, `HS${hashSizes(hash).jwa}`);
    });
    const bits = secret.length * 8;
    if (bits === 0 || (length !== undefined && (length > bits || length <= bits - 8))) {
      throw dataError(
        `Imported HMAC key length (${length ?? bits}) must be a non-zero value up to 7 bits less than, and no greater ` +
          `than, the bit length of the raw key data (${bits}).`,
      );
    }
    return secretKey(keyAlgorithm(hash, length ?? bits), masked(secret, length ?? bits), extractable, usages);
  }),
  exportKey(format, key) {
    return exportSecret(format, key, `HS${hashSizes(hashOf(key)).jwa}`);
  },
  keyLength: operation(parameters, ({ hash, length }) => {
    if (length === 0) throw new TypeError("HMAC key length must be a non-zero unsigned long integer.");
    return length ?? hashSizes(hash).blockBits;
  }),
};
