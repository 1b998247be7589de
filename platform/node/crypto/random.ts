// Random bytes, numbers and primes of node:crypto.
//
// Invariant: randomness comes from the kernel each time; none is kept, so no fork repeats another.

import { ops } from "../../ops.ts";
import { Buffer } from "../buffer.ts";
import { checkBoolean, checkCallable, checkInt32, checkObject, checkWhole, failure } from "../checks.ts";
import { invalidArgType, outOfRange } from "../errors.ts";
import { answer, bigOf, bytesOfBig, isBytes, later, padded, viewOf } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";

const LENGTH_MAX = 2 ** 31 - 1;
/** Bytes that are asked of the kernel at once. */
const PIECE_BYTES = 65_536;

function fill(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    bytes.set(ops.randomBytes(Math.min(PIECE_BYTES, bytes.length - at)), at);
  }
}

export function randomBytes(size: unknown, callback?: unknown): Bytes | undefined {
  const count = checkWhole(size, "size", 0, LENGTH_MAX);
  const done = callback === undefined ? undefined : checkCallable(callback, "callback");
  const buffer = Buffer.alloc(count);
  fill(buffer);
  if (done === undefined) return buffer;
  later(done, null, buffer);
  return undefined;
}

function requireRoom(buffer: unknown): Uint8Array {
  if (!isBytes(buffer)) {
    throw invalidArgType("buffer", ["TypedArray", "DataView", "ArrayBuffer", "SharedArrayBuffer"], buffer);
  }
  return viewOf(buffer);
}

/** The part of `buffer` that is to be filled, counted in its own elements. */
function partOf(buffer: unknown, offset: unknown, size: unknown): Uint8Array {
  const bytes = requireRoom(buffer);
  const unit = (buffer as { BYTES_PER_ELEMENT?: number }).BYTES_PER_ELEMENT ?? 1;
  const start = offset === undefined ? 0 : checkWhole(offset, "offset", 0, LENGTH_MAX) * unit;
  if (start > bytes.length) throw outOfRange("offset", `>= 0 && <= ${bytes.length / unit}`, offset);
  const most = bytes.length - start;
  const count = size === undefined ? most : checkWhole(size, "size", 0, LENGTH_MAX) * unit;
  if (count > most) throw outOfRange("size + offset", `<= ${bytes.length / unit}`, (count + start) / unit);
  return bytes.subarray(start, start + count);
}

export function randomFillSync<T>(buffer: T, offset?: unknown, size?: unknown): T {
  fill(partOf(buffer, offset, size));
  return buffer;
}

export function randomFill(buffer: unknown, ...rest: unknown[]): void {
  requireRoom(buffer);
  const at = rest.findIndex((argument) => typeof argument === "function");
  const callback = checkCallable(at < 0 ? rest[2] : rest[at], "callback");
  const [offset, size] = at < 0 ? rest : rest.slice(0, at);
  const part = partOf(buffer, offset, size);
  answer(callback, () => {
    fill(part);
    return [buffer];
  });
}

/** Ranges up to 48 bits: what six random bytes give. */
const RANGE_MAX = 0xffff_ffff_ffff;

function drawInteger(least: number, limit: number): number {
  const range = limit - least;
  // What is above the largest multiple is drawn again, or small numbers would come more often.
  const even = RANGE_MAX - (RANGE_MAX % range);
  for (;;) {
    const bytes = ops.randomBytes(6);
    const drawn = bytes.reduce((value, byte) => value * 256 + byte, 0);
    if (drawn < even) return least + (drawn % range);
  }
}

function safeInteger(value: unknown, name: string): number {
  return checkWhole(value, name, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
}

export function randomInt(...args: [first?: unknown, second?: unknown, third?: unknown]): number | undefined {
  const [first, second, third] = args;
  const isOneBound = args.length < 2 || typeof second === "function" || (args.length > 2 && typeof third !== "function");
  const callback = typeof third === "function" ? third : typeof second === "function" ? second : undefined;
  const least = isOneBound ? 0 : safeInteger(first, "min");
  const limit = safeInteger(isOneBound ? first : second, "max");
  if (limit <= least) throw outOfRange("min", "min < max", least);
  const range = limit - least;
  if (range > RANGE_MAX) throw outOfRange(limit !== 0 && !isOneBound ? "max - min" : "max", `<= ${RANGE_MAX}`, range);
  const drawn = drawInteger(least, limit);
  if (callback === undefined) return drawn;
  later(callback as () => unknown, null, drawn);
  return undefined;
}

export function randomUUID(options?: unknown): string {
  if (options !== undefined) {
    const { disableEntropyCache } = checkObject(options, "options");
    if (disableEntropyCache !== undefined) checkBoolean(disableEntropyCache, "options.disableEntropyCache");
  }
  return ops.randomUuid();
}

// ---- Primes ----------------------------------------------------------------------------------

/** Bits of a prime that is made or checked here, as Workers have it. */
export const PRIME_BITS_MAX = 8192;

/** What a remainder may be asked for: those of Diffie-Hellman's generators. */
const REMAINDERS: readonly (readonly [step: bigint, rest: bigint])[] = [[12n, 11n], [24n, 23n], [60n, 59n]];

function unsigned(value: unknown, name: string): Uint8Array {
  if (typeof value === "bigint") {
    if (value < 0n) throw outOfRange(name, ">= 0", value);
    return bytesOfBig(value);
  }
  if (!isBytes(value)) throw invalidArgType(name, ["ArrayBuffer", "TypedArray", "Buffer", "DataView", "bigint"], value);
  return viewOf(value);
}

interface PrimeOptions {
  isSafe: boolean;
  isBig: boolean;
  step: Uint8Array | undefined;
  rest: Uint8Array | undefined;
}

function primeOptions(given: unknown): PrimeOptions {
  const { safe = false, bigint = false, add, rem } = checkObject(given, "options");
  return {
    isSafe: checkBoolean(safe, "options.safe"),
    isBig: checkBoolean(bigint, "options.bigint"),
    step: add === undefined ? undefined : unsigned(add, "options.add"),
    rest: rem === undefined ? undefined : unsigned(rem, "options.rem"),
  };
}

function drawPrime(bits: number, { isSafe, isBig, step, rest }: PrimeOptions): bigint | ArrayBuffer {
  if (bits > PRIME_BITS_MAX) throw new RangeError(`generatePrime size exceeds maximum (${PRIME_BITS_MAX} bits)`);
  let [by, left] = [2n, 1n];
  if (step !== undefined) {
    [by, left] = [bigOf(step), rest === undefined ? -1n : bigOf(rest)];
    if (!REMAINDERS.some(([add, rem]) => add === by && rem === left)) throw new RangeError("Invalid values for add and rem");
    if (by.toString(2).length > bits) {
      throw new RangeError("options.add must not be bigger than size of the requested prime");
    }
  }
  if (bits < (isSafe ? 3 : 2)) throw new Error("Error while generating prime");
  const prime = padded(ops.cryptoPrimeDraw(bits, isSafe, Number(by), Number(left)), Math.ceil(bits / 8));
  return isBig ? bigOf(prime) : (prime.slice().buffer as ArrayBuffer);
}

export function generatePrimeSync(size: unknown, options: unknown = {}): bigint | ArrayBuffer {
  const bits = checkInt32(size, "size", 1);
  return drawPrime(bits, primeOptions(options));
}

export function generatePrime(size: unknown, options: unknown, callback?: unknown): void {
  const bits = checkInt32(size, "size", 1);
  if (typeof options === "function") [options, callback] = [{}, options];
  const done = checkCallable(callback, "callback");
  const checked = primeOptions(options);
  answer(done, () => [drawPrime(bits, checked)]);
}

/** Rounds of the test that may be asked for. The one that is done here has no known exception. */
const CHECKS_MAX = 64;

function isPrime(candidate: Uint8Array, options: unknown): boolean {
  const { checks = 0 } = options as { checks?: number };
  if (checks > CHECKS_MAX) throw new RangeError("Invalid number of checks");
  if (candidate.length > PRIME_BITS_MAX / 8) throw new RangeError("checkPrime candidate exceeds maximum size");
  return ops.cryptoPrimeIs(candidate);
}

function checkOptions(options: unknown): unknown {
  const { checks = 0 } = checkObject(options, "options");
  checkInt32(checks, "options.checks", 0);
  return options;
}

export function checkPrimeSync(candidate: unknown, options: unknown = {}): boolean {
  const bytes = unsigned(candidate, "candidate");
  return isPrime(bytes, checkOptions(options));
}

export function checkPrime(candidate: unknown, options: unknown, callback?: unknown): void {
  const bytes = unsigned(candidate, "candidate");
  if (typeof options === "function") [options, callback] = [{}, options];
  const done = checkCallable(callback, "callback");
  checkOptions(options);
  answer(done, () => [isPrime(bytes, options)]);
}

export function timingSafeEqual(a: unknown, b: unknown): boolean {
  if (!isBytes(a)) throw invalidArgType("buf1", ["ArrayBuffer", "Buffer", "TypedArray", "DataView"], a);
  if (!isBytes(b)) throw invalidArgType("buf2", ["ArrayBuffer", "Buffer", "TypedArray", "DataView"], b);
  const [left, right] = [viewOf(a), viewOf(b)];
  if (left.length !== right.length) {
    throw failure(RangeError, "ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH", "Input buffers must have the same byte length");
  }
  return ops.cryptoTimingSafeEqual(left, right);
}
