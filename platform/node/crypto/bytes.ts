// What the parts of node:crypto share: bytes in and out, names of digests, callbacks.
//
// Invariant: bytes that are given to an op are a view of what the caller holds; ops copy them.

import { ops } from "../../ops.ts";
import { queueMicrotask } from "../../web/microtask.ts";
import { reportException } from "../../web/events.ts";
import { isAnyArrayBuffer } from "../buffer-kinds.ts";
import { Buffer } from "../buffer.ts";
import { failure } from "../checks.ts";
import { invalidArgType } from "../errors.ts";

export type Bytes = InstanceType<typeof Buffer>;
export type Data = string | ArrayBuffer | ArrayBufferView;

export function toBuffer(bytes: Uint8Array): Bytes {
  return Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
}

/** Bytes as the caller wants them: text in an encoding, or a Buffer. */
export function encoded(bytes: Uint8Array, encoding: unknown): Bytes | string {
  const buffer = toBuffer(bytes);
  return typeof encoding === "string" && encoding !== "buffer" ? buffer.toString(encoding) : buffer;
}

export function isBytes(value: unknown): value is ArrayBuffer | ArrayBufferView {
  return ArrayBuffer.isView(value) || isAnyArrayBuffer(value);
}

export function viewOf(value: ArrayBuffer | ArrayBufferView): Uint8Array {
  return ArrayBuffer.isView(value) ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : new Uint8Array(value);
}

const ANY_BYTES = ["string", "ArrayBuffer", "Buffer", "TypedArray", "DataView"];

/** Text is read in `encoding`, UTF-8 unless told otherwise. */
export function bytesOf(value: unknown, name: string, encoding?: unknown, kinds: readonly string[] = ANY_BYTES): Uint8Array {
  if (typeof value === "string") return Buffer.from(value, encoding === "buffer" || encoding == null ? "utf8" : encoding as string);
  if (isBytes(value)) return viewOf(value);
  throw invalidArgType(name, kinds, value);
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** A number without leading zeros; zero is one byte. */
export function trimmed(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  return bytes.subarray(start);
}

export function bigOf(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${bytes.toHex()}`);
}

export function bytesOfBig(value: bigint): Uint8Array {
  const hex = value.toString(16);
  return Uint8Array.fromHex(hex.length % 2 === 0 ? hex : `0${hex}`);
}

export function padded(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length >= length) return bytes.subarray(bytes.length - length);
  const out = new Uint8Array(length);
  out.set(bytes, length - bytes.length);
  return out;
}

// ---- Digests ---------------------------------------------------------------------------------

export interface Digest {
  /** As the ops name it; `MD5-SHA1` is both, one after the other. */
  readonly name: string;
  readonly bytes: number;
  readonly blockBytes: number;
}

const digest = (name: string, bytes: number, blockBytes = 64): Digest => ({ name, bytes, blockBytes });

const DIGESTS: ReadonlyMap<string, Digest> = new Map([
  ["md4", digest("MD4", 16)],
  ["md5", digest("MD5", 16)],
  ["sha1", digest("SHA-1", 20)],
  ["sha224", digest("SHA-224", 28)],
  ["sha256", digest("SHA-256", 32)],
  ["sha384", digest("SHA-384", 48, 128)],
  ["sha512", digest("SHA-512", 64, 128)],
  ["sha512256", digest("SHA-512/256", 32, 128)],
  ["md5sha1", digest("MD5-SHA1", 36)],
]);

/** A digest by any of its names: `sha256`, `SHA-256`, `RSA-SHA256`, `ecdsa-with-SHA256`. */
export function findDigest(name: string): Digest | undefined {
  const short = name.toLowerCase().replace(/^(?:rsa|ecdsa-with|dsa)-/, "").replace(/withrsaencryption$/, "").replace(/[-/_]/g, "");
  return DIGESTS.get(short === "sha" || short === "dss1" ? "sha1" : short);
}

export function requireDigest(name: string): Digest {
  const found = findDigest(name);
  if (found === undefined) throw failure(TypeError, "ERR_CRYPTO_INVALID_DIGEST", `Invalid digest: ${name}`);
  return found;
}

export function digestOf(kind: Digest, bytes: Uint8Array): Uint8Array {
  if (kind.name !== "MD5-SHA1") return ops.cryptoDigest(kind.name, bytes);
  return concat([ops.cryptoDigest("MD5", bytes), ops.cryptoDigest("SHA-1", bytes)]);
}

// ---- Callbacks -------------------------------------------------------------------------------

type Callback = (...args: unknown[]) => unknown;

/** Calls back once the caller's own code has run; what the callback throws is nobody's to catch. */
export function later(callback: Callback, ...args: unknown[]): void {
  queueMicrotask(() => {
    try {
      callback(...args);
    } catch (error) {
      reportException(error);
    }
  });
}

/** Does the work now and tells the callback what came of it. */
export function answer(callback: Callback, work: () => unknown[]): void {
  let results: unknown[];
  try {
    results = [null, ...work()];
  } catch (error) {
    results = [error];
  }
  later(callback, ...results);
}
