// Keys from passwords and from other keys: HKDF, PBKDF2, scrypt.
//
// Deliberately as in Workers: the forms with a callback do their work at once and only call back
// later; there is no thread to wait for.
//
// Invariant: arguments are checked before a callback is promised anything.

import { ops } from "../../ops.ts";
import { checkCallable, checkInt32, checkText, checkUint32, checkWhole, failure, invalidValue } from "../checks.ts";
import { invalidArgType, outOfRange } from "../errors.ts";
import { answer, bytesOf, isBytes, requireDigest, toBuffer, viewOf } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
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
    if (kind.name === "MD5-SHA1") throw failure(TypeError, "ERR_CRYPTO_INVALID_DIGEST", `Invalid digest: ${name}`);
    if (count > kind.bytes * 255) throw failure(RangeError, "ERR_CRYPTO_INVALID_KEYLEN", "Invalid key length");
    return ops.cryptoHkdf(kind.name, secret, saltBytes, infoBytes, count);
  };
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
    if (kind.name === "MD5-SHA1") throw failure(TypeError, "ERR_CRYPTO_INVALID_DIGEST", `Invalid digest: ${name}`);
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

export { invalidValue, viewOf };
