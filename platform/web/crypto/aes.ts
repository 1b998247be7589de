// AES-CTR, AES-CBC, AES-GCM and AES-KW.
//
// Invariant: parameters are checked before any of them reaches the native cipher, which checks them
// again and whose errors are OperationErrors too.

import { ops } from "../../ops.ts";
import { dictionary, octetEnforceRange, optional, required, unsignedShortEnforceRange } from "../webidl.ts";
import { bufferCopy, noParameters, operation } from "./algorithm.ts";
import type { Algorithm, Operations } from "./algorithm.ts";
import { dataError, operationError } from "./errors.ts";
import { checkJwkAlgorithm } from "./jwk.ts";
import { checkUsages } from "./key.ts";
import type { KeyUsage } from "./key.ts";
import { exportSecret, generatedKey, importSecret, secretKey, secretOf } from "./secret.ts";

const BLOCK_BYTES = 16;
const KEY_BITS: readonly number[] = [128, 192, 256];

/** NIST SP 800-38D, 5.2.1.2, and the two short ones that it allows for special uses. */
const TAG_BITS: readonly number[] = [32, 64, 96, 104, 112, 120, 128];
const TAG_BITS_DEFAULT = 128;

const NO_BYTES = new Uint8Array(0);

const CIPHER_USAGES: readonly KeyUsage[] = ["encrypt", "decrypt", "wrapKey", "unwrapKey"];
const WRAP_USAGES: readonly KeyUsage[] = ["wrapKey", "unwrapKey"];

/** `AesKeyGenParams`, and `AesDerivedKeyParams`, which says the same. */
const lengthParameters = dictionary("AesKeyGenParams", { length: required(unsignedShortEnforceRange) }, noParameters);
const ctrParameters = dictionary(
  "AesCtrParams",
  { counter: required(bufferCopy), length: required(octetEnforceRange) },
  noParameters,
);
const cbcParameters = dictionary("AesCbcParams", { iv: required(bufferCopy) }, noParameters);
const gcmParameters = dictionary(
  "AesGcmParams",
  { iv: required(bufferCopy), additionalData: optional(bufferCopy), tagLength: optional(octetEnforceRange) },
  noParameters,
);

type AesOperations = Pick<Operations, "encrypt" | "decrypt"> | Pick<Operations, "wrapKey" | "unwrapKey">;

/** `suffix` ends the name that JSON Web Algorithms have for it: `A128CBC`. */
function aes(name: string, suffix: string, allowed: readonly KeyUsage[], operations: AesOperations): Algorithm {
  return {
    name,
    ...operations,
    generateKey: operation(lengthParameters, ({ length }, extractable, usages) => {
      checkUsages(name, usages, allowed);
      if (!KEY_BITS.includes(length)) throw operationError(wrongLength(length));
      return generatedKey({ name, length }, ops.randomBytes(length / 8), extractable, usages);
    }),
    importKey: operation(noParameters, (_, format, data, extractable, usages) => {
      checkUsages(name, usages, allowed);
      const secret = importSecret(name, format, data, { use: "enc", extractable, usages }, (jwk, bytes) => {
        checkJwkAlgorithm(jwk, `A${bytes.length * 8}${suffix}`);
      });
      const length = secret.length * 8;
      if (!KEY_BITS.includes(length)) throw dataError(wrongLength(length));
      return secretKey({ name, length }, secret, extractable, usages);
    }),
    exportKey(format, key) {
      return exportSecret(format, key, `A${key.algorithm.length}${suffix}`);
    },
    keyLength: operation(lengthParameters, ({ length }) => {
      if (!KEY_BITS.includes(length)) throw operationError(wrongLength(length));
      return length;
    }),
  };
}

function wrongLength(bits: number): string {
  return `An AES key has 128, 192 or 256 bits, not ${bits}`;
}

function checkBlock(what: string, bytes: Uint8Array): void {
  if (bytes.length !== BLOCK_BYTES) throw operationError(`The ${what} must have 16 bytes, not ${bytes.length}`);
}

const counterMode: Operations["encrypt"] = operation(ctrParameters, ({ counter, length }, key, data) => {
  checkBlock("counter", counter);
  if (length === 0 || length > BLOCK_BYTES * 8) throw operationError(`A counter has 1 to 128 bits, not ${length}`);
  return ops.cryptoAesCtr(secretOf(key), counter, length, data);
});

function blockChaining(encrypt: boolean): Operations["encrypt"] {
  return operation(cbcParameters, ({ iv }, key, data) => {
    checkBlock("initialization vector", iv);
    return ops.cryptoAesCbc(encrypt, secretOf(key), iv, data);
  });
}

function galois(encrypt: boolean): Operations["encrypt"] {
  return operation(gcmParameters, ({ iv, additionalData, tagLength = TAG_BITS_DEFAULT }, key, data) => {
    if (iv.length === 0) throw operationError("The initialization vector is empty");
    if (!TAG_BITS.includes(tagLength)) throw operationError(`AES-GCM has no tag of ${tagLength} bits`);
    return ops.cryptoAesGcm(encrypt, secretOf(key), iv, additionalData ?? NO_BYTES, tagLength / 8, data);
  });
}

function keyWrap(wrap: boolean): Operations["wrapKey"] {
  return operation(noParameters, (_, key, data) => ops.cryptoAesKw(wrap, secretOf(key), data));
}

export const aesFamily: readonly Algorithm[] = [
  aes("AES-CTR", "CTR", CIPHER_USAGES, { encrypt: counterMode, decrypt: counterMode }),
  aes("AES-CBC", "CBC", CIPHER_USAGES, { encrypt: blockChaining(true), decrypt: blockChaining(false) }),
  aes("AES-GCM", "GCM", CIPHER_USAGES, { encrypt: galois(true), decrypt: galois(false) }),
  aes("AES-KW", "KW", WRAP_USAGES, { wrapKey: keyWrap(true), unwrapKey: keyWrap(false) }),
];
