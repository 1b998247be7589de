// Keys from passwords and from other keys: HKDF, PBKDF2, scrypt.
//
// Deliberately as in Workers: the forms with a callback do their work at once and only call back
// later; there is no thread to wait for.
//
// Invariant: arguments are checked before a callback is promised anything.

import { ops } from "../../ops.ts";
import { checkCallable, checkInt32, checkText, checkUint32, checkWhole, failure } from "../checks.ts";
import { invalidArgType, outOfRange } from "../errors.ts";
import { answer, bytesOf, concat, isBytes, requireDigest, toBuffer } from "./bytes.ts";
import type { Bytes, Digest } from "./bytes.ts";
import { hmacOf } from "./hash.ts";
import { KeyObject, secretBytes } from "./keys.ts";

const LENGTH_MAX = 2 ** 31 - 1;

// ---- HKDF ------------------------------------------------------------------------------------

/** Bytes that `info` may have, as Node.js has it. */
const INFO_BYTES_MAX = 1024;

type Derivation = () => Uint8Array;

function hkdfWork(digest: unknown, key: unknown, salt: unknown, info: unknown, length: unknown): Derivation {
  const name = checkText(digest, "digest");
  const secret = keyBytes(key);
  const saltBytes = bytesOf(salt, "salt").slice();
  const infoBytes = bytesOf(info, "info").slice();
  const count = checkWhole(length, "length", 0, LENGTH_MAX);
  if (infoBytes.length > INFO_BYTES_MAX) {
    throw outOfRange("info", `must not contain more than ${INFO_BYTES_MAX} bytes`, infoBytes.length);
  }
  return () => {
    const kind = requireDigest(name);
    if (count > kind.bytes * 255) throw failure(RangeError, "ERR_CRYPTO_INVALID_KEYLEN", "Invalid key length");
    if (kind.name === "MD5-SHA1") return expand(kind, hmacOf(kind, saltBytes, secret), infoBytes, count);
    return ops.cryptoHkdf(kind.name, secret, saltBytes, infoBytes, count);
  };
}

/** RFC 5869, 2.3, over a digest that the ops do not have. */
function expand(kind: Digest, key: Uint8Array, info: Uint8Array, count: number): Uint8Array {
  const parts: Uint8Array[] = [];
  let last: Uint8Array = new Uint8Array(0);
  for (let have = 0; have < count; have += kind.bytes) {
    last = hmacOf(kind, key, concat([last, info, Uint8Array.of(parts.length + 1)]));
    parts.push(last);
  }
  return concat(parts).subarray(0, count);
}

/** RFC 8018, 5.2, likewise. */
function stretch(kind: Digest, password: Uint8Array, salt: Uint8Array, rounds: number, count: number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let have = 0; have < count; have += kind.bytes) {
    const index = parts.length + 1;
    let last = hmacOf(kind, password, concat([salt, Uint8Array.of(index >>> 24, (index >> 16) & 0xff, (index >> 8) & 0xff, index & 0xff)]));
    const block = last.slice();
    for (let round = 1; round < rounds; round++) {
      last = hmacOf(kind, password, last);
      last.forEach((byte, at) => (block[at] = (block[at] as number) ^ byte));
    }
    parts.push(block);
  }
  return concat(parts).subarray(0, count);
}

function keyBytes(key: unknown): Uint8Array {
  if (key instanceof KeyObject) return secretBytes(key, "ikm");
  if (typeof key !== "string" && !isBytes(key)) {
    throw invalidArgType("ikm", ["string", "SecretKeyObject", "ArrayBuffer", "TypedArray", "DataView", "Buffer"], key);
  }
  return bytesOf(key, "ikm").slice();
}

function whole(bytes: Uint8Array): ArrayBuffer {
  return bytes.byteLength === bytes.buffer.byteLength ? (bytes.buffer as ArrayBuffer) : (bytes.slice().buffer as ArrayBuffer);
}

export function hkdf(digest: unknown, key: unknown, salt: unknown, info: unknown, length: unknown, callback: unknown): void {
  const work = hkdfWork(digest, key, salt, info, length);
  answer(checkCallable(callback, "callback"), () => [whole(work())]);
}

export function hkdfSync(digest: unknown, key: unknown, salt: unknown, info: unknown, length: unknown): ArrayBuffer {
  return whole(hkdfWork(digest, key, salt, info, length)());
}

// ---- PBKDF2 ----------------------------------------------------------------------------------

function pbkdf2Work(password: unknown, salt: unknown, iterations: unknown, length: unknown, digest: unknown): Derivation {
  const name = checkText(digest, "digest");
  const secret = bytesOf(password, "password").slice();
  const saltBytes = bytesOf(salt, "salt").slice();
  const rounds = checkInt32(iterations, "iterations", 1);
  const count = checkInt32(length, "keylen", 0);
  return () => {
    const kind = requireDigest(name);
    if (kind.name === "MD5-SHA1") return stretch(kind, secret, saltBytes, rounds, count);
    return ops.cryptoPbkdf2(kind.name, secret, saltBytes, rounds, count);
  };
}

export function pbkdf2Sync(password: unknown, salt: unknown, iterations: unknown, length: unknown, digest: unknown): Bytes {
  return toBuffer(pbkdf2Work(password, salt, iterations, length, digest)());
}

export function pbkdf2(
  password: unknown,
  salt: unknown,
  iterations: unknown,
  length: unknown,
  digest: unknown,
  callback?: unknown,
): void {
  if (typeof digest === "function") throw invalidArgType("digest", ["string"], undefined);
  checkCallable(callback, "callback");
  const work = pbkdf2Work(password, salt, iterations, length, digest);
  answer(callback as () => unknown, () => [toBuffer(work())]);
}

// ---- scrypt ----------------------------------------------------------------------------------

const MEMORY_DEFAULT = 32 * 1024 * 1024;
/** `N * r * p` that one call may spend, as Workers have it. */
const COST_MAX = 2 ** 20;

interface Costs {
  N: number;
  r: number;
  p: number;
  maxmem: number;
}

/** An option that has two names; giving both is refused. */
function twoNames(options: Record<string, unknown>, short: string, long: string, fallback: number): number {
  let value = fallback;
  const given = options[short];
  if (given !== undefined) value = checkUint32(given, short);
  const other = options[long];
  if (other !== undefined) {
    if (given !== undefined) {
      throw failure(TypeError, "ERR_INCOMPATIBLE_OPTION_PAIR", `Option "${short}" cannot be used in combination with option "${long}"`);
    }
    value = checkUint32(other, long);
  }
  return value === 0 ? fallback : value;
}

function costsOf(given: unknown): Costs {
  const options = (given ?? {}) as Record<string, unknown>;
  const costs = {
    N: twoNames(options, "N", "cost", 16384),
    r: twoNames(options, "r", "blockSize", 8),
    p: twoNames(options, "p", "parallelization", 1),
    maxmem: MEMORY_DEFAULT,
  };
  if (options["maxmem"] !== undefined) {
    costs.maxmem = checkWhole(options["maxmem"], "maxmem", 0, Number.MAX_SAFE_INTEGER) || MEMORY_DEFAULT;
  }
  return costs;
}

function invalidCosts(why: string): Error {
  return failure(RangeError, "ERR_CRYPTO_INVALID_SCRYPT_PARAMS", `Invalid scrypt params${why}`);
}

function scryptWork(password: unknown, salt: unknown, length: unknown, options: unknown): Derivation {
  const secret = bytesOf(password, "password").slice();
  const saltBytes = bytesOf(salt, "salt").slice();
  const count = checkWhole(length, "keylen", 0, LENGTH_MAX);
  const { N, r, p, maxmem } = costsOf(options);
  return () => {
    const logN = Math.log2(N);
    if (N < 2 || !Number.isInteger(logN)) throw invalidCosts("");
    if (N * r * p > COST_MAX) throw invalidCosts(`: N * r * p exceeds ${COST_MAX}`);
    // What OpenSSL counts: the large table, one block a lane, and two of working space.
    if (128 * r * (N + p + 2) > maxmem) throw invalidCosts(": memory limit exceeded");
    return ops.cryptoScrypt(secret, saltBytes, logN, r, p, count);
  };
}

export function scryptSync(password: unknown, salt: unknown, length: unknown, options?: unknown): Bytes {
  return toBuffer(scryptWork(password, salt, length, options)());
}

export function scrypt(password: unknown, salt: unknown, length: unknown, options: unknown, callback?: unknown): void {
  if (typeof options === "function") [options, callback] = [undefined, options];
  const work = scryptWork(password, salt, length, options);
  answer(checkCallable(callback, "callback"), () => [toBuffer(work())]);
}
