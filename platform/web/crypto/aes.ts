// AES-CTR, AES-CBC, AES-GCM and AES-KW.
//
// Invariant: parameters are checked before any of them reaches the native cipher, which checks them
// again and whose errors are OperationErrors too.

import { ops } from "../../ops.ts";
import { octetEnforceRange, optional, required, unsignedShortEnforceRange } from "../webidl.ts";
import { bufferCopy, noParameters, operation, parameterDictionary } from "./algorithm.ts";
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
const lengthParameters = parameterDictionary("AesKeyGenParams", { length: required(unsignedShortEnforceRange) }, noParameters);
const ctrParameters = parameterDictionary(
  "AesCtrParams",
  { counter: required(bufferCopy), length: required(octetEnforceRange) },
  noParameters,
);
const cbcParameters = parameterDictionary("AesCbcParams", { iv: required(bufferCopy) }, noParameters);
const gcmParameters = parameterDictionary(
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
      checkUsages(`generate ${name}`, usages, allowed);
      if (!KEY_BITS.includes(length)) throw operationError(wrongLength("Generated AES key length", "requested", length));
      return generatedKey({ name, length }, ops.randomBytes(length / 8), extractable, usages);
    }),
    importKey: operation(noParameters, (_, format, data, extractable, usages) => {
      checkUsages(`import secret ${name}`, usages, allowed);
      const secret = importSecret(name, format, data, { use: "enc", extractable, usages }, (jwk, bytes) => {
        checkJwkAlgorithm(jwk, `A${bytes.length * 8}${suffix}`);
      });
      const length = secret.length * 8;
      if (!KEY_BITS.includes(length)) throw dataError(wrongLength("Imported AES key length", "provided", length));
      return secretKey({ name, length }, secret, extractable, usages);
    }),
    exportKey(format, key) {
      return exportSecret(format, key, `A${key.algorithm.length}${suffix}`);
    },
    keyLength: operation(lengthParameters, ({ length }) => {
      if (!KEY_BITS.includes(length)) throw operationError(wrongLength("Derived AES key length", "provided", length));
      return length;
    }),
  };
}

function wrongLength(what: string, was: string, bits: number): string {
  return `${what} must be 128, 192, or 256 bits but ${was} ${bits}.`;
}

const counterMode: Operations["encrypt"] = operation(ctrParameters, ({ counter, length }, key, data) => {
  if (counter.length !== BLOCK_BYTES) {
    throw operationError(`Counter must have length of 16 bytes (provided ${counter.length}).`);
  }
  if (length === 0 || length > BLOCK_BYTES * 8) throw operationError(`Invalid counter of ${length} bits length provided.`);
  return ops.cryptoAesCtr(secretOf(key), counter, length, data);
});

function blockChaining(encrypt: boolean): Operations["encrypt"] {
  return operation(cbcParameters, ({ iv }, key, data) => {
    if (iv.length !== BLOCK_BYTES) {
      throw operationError(`AES-CBC IV must be 16 bytes long (provided ${iv.length} bytes).`);
    }
    const work = (): Uint8Array => ops.cryptoAesCbc(encrypt, secretOf(key), iv, data);
    return encrypt ? work() : decrypted("AES-CBC", data.length, data.length - (data.length % BLOCK_BYTES), work);
  });
}

function galois(encrypt: boolean): Operations["encrypt"] {
  return operation(gcmParameters, ({ iv, additionalData, tagLength = TAG_BITS_DEFAULT }, key, data) => {
    if (iv.length === 0) throw operationError("AES-GCM IV must not be empty.");
    if (!TAG_BITS.includes(tagLength)) throw operationError(`Invalid AES-GCM tag length ${tagLength}.`);
    const work = (): Uint8Array =>
      ops.cryptoAesGcm(encrypt, secretOf(key), iv, additionalData ?? NO_BYTES, tagLength / 8, data);
    if (encrypt) return work();
    const length = data.length - tagLength / 8;
    if (length < 0) {
      throw operationError(
        `Ciphertext length of ${data.length * 8} bits must be greater than or equal to the size of the AES-GCM tag ` +
          `length of ${tagLength} bits.`,
      );
    }
    return decrypted("AES-GCM", length, length, work);
  });
}

/** What goes wrong in decrypting is said of its lengths only: anything more would be an oracle. */
function decrypted(name: string, given: number, expected: number, work: () => Uint8Array): Uint8Array {
  try {
    return work();
  } catch {
    throw operationError(
      "Decryption failed. This could be due to a ciphertext authentication failure, bad padding, incorrect CryptoKey, " +
        `or another algorithm-specific reason. Input length was ${given}, output length expected to be ` +
        `${Math.max(expected, 0)} for ${name}`,
    );
  }
}

function keyWrap(wrap: boolean): Operations["wrapKey"] {
  return operation(noParameters, (_, key, data) => {
    const bits = data.length * 8;
    if (!wrap && bits % 64 !== 0) {
      throw operationError(`Provided a wrapped key to unwrap that is ${bits} bits which isn't a multiple of 64 bits.`);
    }
    return ops.cryptoAesKw(wrap, secretOf(key), data);
  });
}

export const aesFamily: readonly Algorithm[] = [
  aes("AES-CTR", "CTR", CIPHER_USAGES, { encrypt: counterMode, decrypt: counterMode }),
  aes("AES-CBC", "CBC", CIPHER_USAGES, { encrypt: blockChaining(true), decrypt: blockChaining(false) }),
  aes("AES-GCM", "GCM", CIPHER_USAGES, { encrypt: galois(true), decrypt: galois(false) }),
  aes("AES-KW", "KW", WRAP_USAGES, { wrapKey: keyWrap(true), unwrapKey: keyWrap(false) }),
];
