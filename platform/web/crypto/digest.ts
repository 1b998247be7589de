// Digests: the algorithms, names of hashes in other algorithms' parameters, and `DigestStream`.
//
// MD5 is there for checksums alone, as in Workers: no key and no signature may name it.
//
// Invariant: a native digest under way is freed when its stream ends, or by the collector.

import { ops } from "../../ops.ts";
import { WritableStream } from "../streams/index.ts";
import { bytesView, defineInterface, isBufferSource, requireArguments } from "../webidl.ts";
import type { Converter } from "../webidl.ts";
import { algorithmIdentifier, canonicalName, find, noParameters, operation } from "./algorithm.ts";
import type { Algorithm, Registry } from "./algorithm.ts";
import { notSupported } from "./errors.ts";

export type HashName = "SHA-1" | "SHA-256" | "SHA-384" | "SHA-512";

interface HashSizes {
  readonly name: HashName;
  /** Of HMAC, whose keys are a block long unless told otherwise. */
  readonly blockBits: number;
  /** How JSON Web Algorithms name it: the digits in `HS256`. */
  readonly jwa: string;
}

const HASHES: ReadonlyMap<string, HashSizes> = new Map(
  (
    [
      { name: "SHA-1", blockBits: 512, jwa: "1" },
      { name: "SHA-256", blockBits: 512, jwa: "256" },
      { name: "SHA-384", blockBits: 1024, jwa: "384" },
      { name: "SHA-512", blockBits: 1024, jwa: "512" },
    ] as const
  ).map((hash) => [hash.name, hash]),
);

/** `HashAlgorithmIdentifier`, normalized to the hash's name. */
export const hashIdentifier: Converter<HashName> = (value, context) => {
  const { name } = noParameters(algorithmIdentifier(value, context), context);
  const hash = HASHES.get(canonicalName(name));
  if (hash === undefined) throw notSupported(`${context} "${name}" is not a hash that is supported here`);
  return hash.name;
};

export function hashSizes(name: string): HashSizes {
  const sizes = HASHES.get(name);
  if (sizes === undefined) throw new Error(`no hash ${name}`);
  return sizes;
}

/** Data longer than some of these is hashed in pieces: each is copied for the native side, and what is copied
 * a piece at a time stays in the processor's cache. */
const PIECE_BYTES = 64 * 1024;

function digestOf(name: string): Algorithm {
  return { name, digest: operation(noParameters, (_, data) => digestBytes(name, data)) };
}

function digestBytes(name: string, data: Uint8Array): Uint8Array {
  if (data.length <= 4 * PIECE_BYTES) return ops.cryptoDigest(name, data);
  const hashing = new Hashing(name);
  for (let at = 0; at < data.length; at += PIECE_BYTES) hashing.update(data.subarray(at, at + PIECE_BYTES));
  return hashing.finish();
}

export const digests: readonly Algorithm[] = [...HASHES.keys(), "MD5"].map(digestOf);
const digestRegistry: Registry = new Map(digests.map((algorithm) => [algorithm.name, algorithm]));

export function bufferOf(bytes: Uint8Array): ArrayBuffer {
  const buffer = bytes.buffer as ArrayBuffer;
  return buffer.byteLength === bytes.byteLength ? buffer : (bytes.slice().buffer as ArrayBuffer);
}

const dropped = new FinalizationRegistry<Hashing>((hashing) => hashing.free());

/** A native digest under way, shared between a stream and its sink. */
class Hashing {
  #handle: number | undefined;
  #length = 0;

  constructor(name: string) {
    this.#handle = ops.cryptoHashNew(name);
  }

  get length(): number {
    return this.#length;
  }

  update(bytes: Uint8Array): void {
    if (this.#handle === undefined) return;
    ops.cryptoHashUpdate(this.#handle, bytes);
    this.#length += bytes.length;
  }

  finish(): Uint8Array {
    if (this.#handle === undefined) throw new TypeError("The digest is finished");
    const digest = ops.cryptoHashFinish(this.#handle);
    this.#handle = undefined;
    return digest;
  }

  free(): void {
    if (this.#handle !== undefined) ops.cryptoHashFree(this.#handle);
    this.#handle = undefined;
  }
}

/** A writable stream that digests what is written to it. */
export class DigestStream extends WritableStream {
  #hashing: Hashing;
  #digest: Promise<ArrayBuffer>;

  constructor(algorithm: unknown) {
    requireArguments(arguments.length, 1, "DigestStream constructor");
    const hashing = new Hashing(digestName(algorithm));
    const { promise, resolve, reject } = Promise.withResolvers<ArrayBuffer>();
    super({
      write(chunk: unknown): void {
        try {
          hashing.update(chunkBytes(chunk));
        } catch (error) {
          hashing.free();
          reject(error);
          throw error;
        }
      },
      close(): void {
        resolve(bufferOf(hashing.finish()));
      },
      abort(reason: unknown): void {
        hashing.free();
        reject(reason);
      },
    });
    // Whoever aborts the stream need not ask for the digest as well.
    promise.catch(() => {});
    this.#hashing = hashing;
    this.#digest = promise;
    dropped.register(this, hashing);
  }

  get digest(): Promise<ArrayBuffer> {
    return this.#digest;
  }

  get bytesWritten(): bigint {
    return BigInt(this.#hashing.length);
  }
}

defineInterface(DigestStream);

function digestName(algorithm: unknown): string {
  const context = "DigestStream constructor";
  const given = algorithmIdentifier(algorithm, `${context}: algorithm`);
  const found = find(digestRegistry, "digest", given, context);
  if (found !== undefined) return found.algorithm.name;
  throw notSupported("Unrecognized or unimplemented digest algorithm requested.");
}

function chunkBytes(chunk: unknown): Uint8Array {
  if (typeof chunk === "string") {
    return ops.textEncode(chunk);
  }
  if (!isBufferSource(chunk)) {
    throw new TypeError("DigestStream is a byte stream but received an object of non-ArrayBuffer/ArrayBufferView/string type on its " +
        "writable side.");
  }
  return bytesView(chunk);
}
