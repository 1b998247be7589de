// `crypto`: random values, and the door to `subtle` (in `crypto/`).
//
// Invariant: random bytes come from the kernel, never from `Math.random` or from before the fork.

import { ops } from "../ops.ts";
import { DigestStream } from "./crypto/digest.ts";
import { SubtleCrypto } from "./crypto/subtle.ts";
import { DOMException } from "./dom-exception.ts";
import {
  arrayBufferView,
  bytesView,
  defineInterface,
  internalToken,
  requireArguments,
  requireInternal,
  typedArrayName,
} from "./webidl.ts";

export { DigestStream } from "./crypto/digest.ts";
export { CryptoKey } from "./crypto/key.ts";
export { SubtleCrypto } from "./crypto/subtle.ts";

/** Bytes that one `getRandomValues` may ask for (Web Cryptography, 10.1.1). */
const RANDOM_BYTES_MAX = 65_536;

const INTEGER_ARRAYS: ReadonlySet<string> = new Set([
  "Int8Array",
  "Uint8Array",
  "Uint8ClampedArray",
  "Int16Array",
  "Uint16Array",
  "Int32Array",
  "Uint32Array",
  "BigInt64Array",
  "BigUint64Array",
]);

export class Crypto {
  #subtle: SubtleCrypto = new SubtleCrypto(internalToken);

  constructor(token: unknown = undefined) {
    requireInternal(token);
  }

  get subtle(): SubtleCrypto {
    return this.#subtle;
  }

  get DigestStream(): typeof DigestStream {
    this.#subtle;
    return DigestStream;
  }

  getRandomValues<T extends ArrayBufferView>(array: T): T {
    this.#subtle;
    requireArguments(arguments.length, 1, "Crypto.getRandomValues");
    const view = arrayBufferView(array, "Crypto.getRandomValues: array");
    if (!INTEGER_ARRAYS.has(typedArrayName(view) ?? "DataView")) {
      throw new DOMException("ArrayBufferView argument to getRandomValues() must be an integer-typed view.", "TypeMismatchError");
    }
    const bytes = bytesView(view);
    if (bytes.length > RANDOM_BYTES_MAX) {
      throw new DOMException(
        `getRandomValues() only accepts buffers of size <= 64K but provided ${bytes.length} bytes.`,
        "QuotaExceededError",
      );
    }
    bytes.set(ops.randomBytes(bytes.length));
    return array;
  }

  randomUUID(): string {
    this.#subtle;
    return ops.randomUuid();
  }
}

defineInterface(Crypto);

export const crypto: Crypto = new Crypto(internalToken);
