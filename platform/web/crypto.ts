// `crypto`: random values, digests, and Workers' `DigestStream` and `timingSafeEqual`.
//
// Deliberately absent for now is the rest of `subtle`: each of its methods rejects with a
// NotSupportedError that names the algorithm. Digests are one native call over all bytes, so a
// DigestStream keeps what it was given until it is closed.
//
// Invariant: random bytes come from the kernel, never from `Math.random` or from before the fork.

import { ops } from "../ops.ts";
import { DOMException } from "./dom-exception.ts";
import { WritableStream } from "./streams/index.ts";
import {
  DOMString,
  arrayBufferView,
  bufferSource,
  bytesCopy,
  bytesView,
  defineInterface,
  internalToken,
  isBufferSource,
  isObject,
  requireArguments,
  requireInternal,
  typedArrayName,
} from "./webidl.ts";

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

const DIGESTS: ReadonlySet<string> = new Set(["SHA-1", "SHA-256", "SHA-384", "SHA-512", "MD5"]);

/** The name of an `AlgorithmIdentifier`: a string, or an object with a name. */
function algorithmName(algorithm: unknown, context: string): string {
  if (!isObject(algorithm)) {
    return DOMString(algorithm, `${context}: algorithm`);
  }
  const { name } = algorithm as { name?: unknown };
  if (name === undefined) {
    throw new TypeError(`${context}: the algorithm has no name`);
  }
  return DOMString(name, `${context}: algorithm name`);
}

function digestName(algorithm: unknown, context: string): string {
  const given = algorithmName(algorithm, context);
  const name = given.toUpperCase();
  if (!DIGESTS.has(name)) {
    throw new DOMException(`${context}: unrecognized or unimplemented digest algorithm "${given}"`, "NotSupportedError");
  }
  return name;
}

function notYet(operation: string, algorithm: unknown): DOMException {
  const context = `crypto.subtle.${operation}`;
  const name = algorithm === undefined ? "" : ` with ${algorithmName(algorithm, context)}`;
  return new DOMException(`${context}${name} is not supported yet`, "NotSupportedError");
}

export class SubtleCrypto {
  constructor(token: unknown = undefined) {
    requireInternal(token);
  }

  async digest(algorithm: unknown, data: unknown): Promise<ArrayBuffer> {
    requireArguments(arguments.length, 2, "SubtleCrypto.digest");
    const source = bufferSource(data, "SubtleCrypto.digest: data");
    const name = digestName(algorithm, "SubtleCrypto.digest");
    return bufferOf(ops.cryptoDigest(name, bytesView(source)));
  }

  timingSafeEqual(a: unknown, b: unknown): boolean {
    requireArguments(arguments.length, 2, "SubtleCrypto.timingSafeEqual");
    const left = bytesView(bufferSource(a, "SubtleCrypto.timingSafeEqual: a"));
    const right = bytesView(bufferSource(b, "SubtleCrypto.timingSafeEqual: b"));
    if (left.length !== right.length) {
      throw new TypeError("Input buffers must have the same byte length");
    }
    return ops.cryptoTimingSafeEqual(left, right);
  }

  async encrypt(algorithm: unknown, _key: unknown, _data: unknown): Promise<ArrayBuffer> {
    throw notYet("encrypt", algorithm);
  }

  async decrypt(algorithm: unknown, _key: unknown, _data: unknown): Promise<ArrayBuffer> {
    throw notYet("decrypt", algorithm);
  }

  async sign(algorithm: unknown, _key: unknown, _data: unknown): Promise<ArrayBuffer> {
    throw notYet("sign", algorithm);
  }

  async verify(algorithm: unknown, _key: unknown, _signature: unknown, _data: unknown): Promise<boolean> {
    throw notYet("verify", algorithm);
  }

  async generateKey(algorithm: unknown, _extractable: unknown, _usages: unknown): Promise<unknown> {
    throw notYet("generateKey", algorithm);
  }

  async deriveKey(algorithm: unknown, _base: unknown, _derived: unknown, _extractable: unknown, _usages: unknown): Promise<unknown> {
    throw notYet("deriveKey", algorithm);
  }

  async deriveBits(algorithm: unknown, _base: unknown, _length: unknown = null): Promise<ArrayBuffer> {
    throw notYet("deriveBits", algorithm);
  }

  async importKey(_format: unknown, _data: unknown, algorithm: unknown, _extractable: unknown, _usages: unknown): Promise<unknown> {
    throw notYet("importKey", algorithm);
  }

  async exportKey(_format: unknown, _key: unknown): Promise<unknown> {
    throw notYet("exportKey", undefined);
  }

  async wrapKey(_format: unknown, _key: unknown, _wrapping: unknown, algorithm: unknown): Promise<ArrayBuffer> {
    throw notYet("wrapKey", algorithm);
  }

  async unwrapKey(_format: unknown, _wrapped: unknown, _unwrapping: unknown, algorithm: unknown): Promise<unknown> {
    throw notYet("unwrapKey", algorithm);
  }
}

defineInterface(SubtleCrypto);

function bufferOf(bytes: Uint8Array): ArrayBuffer {
  const buffer = bytes.buffer as ArrayBuffer;
  return buffer.byteLength === bytes.byteLength ? buffer : (bytes.slice().buffer as ArrayBuffer);
}

/** What a DigestStream has gathered, shared between the stream and its sink. */
interface Gathered {
  chunks: Uint8Array[];
  length: number;
}

/** A writable stream that digests what is written to it. */
export class DigestStream extends WritableStream {
  #gathered: Gathered;
  #digest: Promise<ArrayBuffer>;

  constructor(algorithm: unknown) {
    requireArguments(arguments.length, 1, "DigestStream constructor");
    const name = digestName(algorithm, "DigestStream constructor");
    const gathered: Gathered = { chunks: [], length: 0 };
    const { promise, resolve, reject } = Promise.withResolvers<ArrayBuffer>();
    super({
      write(chunk: unknown): void {
        let bytes: Uint8Array;
        try {
          bytes = chunkBytes(chunk);
        } catch (error) {
          reject(error);
          throw error;
        }
        gathered.chunks.push(bytes);
        gathered.length += bytes.length;
      },
      close(): void {
        resolve(bufferOf(ops.cryptoDigest(name, joined(gathered))));
        gathered.chunks = [];
      },
      abort(reason: unknown): void {
        gathered.chunks = [];
        reject(reason);
      },
    });
    // Whoever aborts the stream need not ask for the digest as well.
    promise.catch(() => {});
    this.#gathered = gathered;
    this.#digest = promise;
  }

  get digest(): Promise<ArrayBuffer> {
    return this.#digest;
  }

  get bytesWritten(): bigint {
    return BigInt(this.#gathered.length);
  }
}

defineInterface(DigestStream);

function chunkBytes(chunk: unknown): Uint8Array {
  if (typeof chunk === "string") {
    return ops.textEncode(chunk);
  }
  if (!isBufferSource(chunk)) {
    throw new TypeError("DigestStream is a byte stream but received an object of a type that is not a buffer or a string");
  }
  return bytesCopy(chunk);
}

function joined({ chunks, length }: Gathered): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

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
      throw new DOMException("Crypto.getRandomValues: the array is not one of integers", "TypeMismatchError");
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
