// HKDF and PBKDF2: keys that are derived from, and never seen again.
//
// How many bits may be asked for is the native side's to bound; how long PBKDF2 may take is the
// Worker's CPU limit's.

import { ops } from "../../ops.ts";
import { required, unsignedLongEnforceRange } from "../webidl.ts";
import { bufferCopy, noParameters, operation, parameterDictionary } from "./algorithm.ts";
import type { Algorithm, Operations } from "./algorithm.ts";
import { hashIdentifier } from "./digest.ts";
import { notSupported, operationError, syntaxError } from "./errors.ts";
import { checkUsages } from "./key.ts";
import type { KeyUsage } from "./key.ts";
import { secretKey, secretOf } from "./secret.ts";

const USAGES: readonly KeyUsage[] = ["deriveKey", "deriveBits"];
const NO_BYTES = new Uint8Array(0);

const hkdfParameters = parameterDictionary(
  "HkdfParams",
  { hash: required(hashIdentifier), salt: required(bufferCopy), info: required(bufferCopy) },
  noParameters,
);
const pbkdf2Parameters = parameterDictionary(
  "Pbkdf2Params",
  { salt: required(bufferCopy), iterations: required(unsignedLongEnforceRange), hash: required(hashIdentifier) },
  noParameters,
);

function derivation(name: string, deriveBits: Operations["deriveBits"]): Algorithm {
  return {
    name,
    deriveBits,
    importKey: operation(noParameters, (_, format, data, extractable, usages) => {
      if (format !== "raw") {
        throw notSupported(`${name} key must be imported in "raw" format (requested "${format}").`);
      }
      checkUsages(`import secret ${name}`, usages, USAGES);
      if (extractable) throw syntaxError(`${name} key cannot be extractable.`);
      return secretKey({ name }, data as Uint8Array, extractable, usages);
    }),
    keyLength: operation(noParameters, () => null),
  };
}

function wholeBytes(name: string, bits: number | null): number {
  if (bits === null || bits % 8 !== 0) {
    throw operationError(
      bits === null
        ? `${name} cannot derive a key with null length.`
        : `${name} requires a derived key length that is a multiple of eight (requested ${bits}).`,
    );
  }
  return bits / 8;
}

export const derivations: readonly Algorithm[] = [
  derivation(
    "HKDF",
    operation(hkdfParameters, ({ hash, salt, info }, key, length) => {
      const count = wholeBytes("HKDF", length);
      return count === 0 ? NO_BYTES.slice() : ops.cryptoHkdf(hash, secretOf(key), salt, info, count);
    }),
  ),
  derivation(
    "PBKDF2",
    operation(pbkdf2Parameters, ({ hash, salt, iterations }, key, length) => {
      const count = wholeBytes("PBKDF2", length);
      if (iterations === 0) throw operationError("PBKDF2 requires a positive iteration count (requested 0).");
      return count === 0 ? NO_BYTES.slice() : ops.cryptoPbkdf2(hash, secretOf(key), salt, iterations, count);
    }),
  ),
];
