// The groups of RFC 3526 that Diffie-Hellman may use by name, and checks of others.
//
// Their primes are not written down: the RFC defines each by the digits of pi, and pi is quicker
// checked than two thousand digits of hex.
//
// Invariant: a prime, once computed, is kept.

import { ops } from "../../ops.ts";
import { bigOf, bytesOfBig } from "./bytes.ts";

/** `p = 2^n - 2^(n-64) - 1 + 2^64 * (floor(2^(n-130) * pi) + c)`: `n` and `c` of RFC 3526. */
const GROUPS: ReadonlyMap<string, readonly [bits: number, offset: number]> = new Map([
  ["modp14", [2048, 124476]],
  ["modp15", [3072, 1690314]],
  ["modp16", [4096, 240904]],
  ["modp17", [6144, 929484]],
  ["modp18", [8192, 4743158]],
]);

const known = new Map<string, Uint8Array>();

/** Digits below the last one that is wanted: more than the series' rounding errors can reach. */
const GUARD_BITS = 64;

/** `arctan(1/x)` times two to the power of `bits`. */
function arctangent(x: bigint, bits: number): bigint {
  let power = (1n << BigInt(bits)) / x;
  let sum = power;
  for (let n = 3n, sign = -1n; power > 0n; n += 2n, sign = -sign) {
    power /= x * x;
    sum += (sign * power) / n;
  }
  return sum;
}

/** The floor of pi times two to the power of `bits`, by Machin's formula. */
function pi(bits: number): bigint {
  const wide = bits + GUARD_BITS;
  return (16n * arctangent(5n, wide) - 4n * arctangent(239n, wide)) >> BigInt(GUARD_BITS);
}

export function groupPrime(name: string): Uint8Array {
  const key = name.toLowerCase();
  const found = known.get(key);
  if (found !== undefined) return found.slice();
  const group = GROUPS.get(key);
  if (group === undefined) {
    throw new Error(
      "Failed to init DiffieHellmanGroup: invalid group. Only groups {modp14, modp15, modp16, modp17, modp18} are supported.",
    );
  }
  const [bits, offset] = group;
  const n = BigInt(bits);
  const prime = (1n << n) - (1n << (n - 64n)) - 1n + ((pi(bits - 130) + BigInt(offset)) << 64n);
  const bytes = bytesOfBig(prime);
  known.set(key, bytes);
  return bytes.slice();
}

/** A prime must be odd and larger than its generator, or there is no group at all. */
export function generatorOk(p: Uint8Array, g: Uint8Array): void {
  const [prime, generator] = [bigOf(p), bigOf(g)];
  if ((prime & 1n) === 0n || generator >= prime) throw new Error("DiffieHellman init failed: Invalid DH prime generated");
}

/** What `verifyError` says: OpenSSL's bits. */
export function groupProblems(p: Uint8Array, g: Uint8Array): number {
  const generator = bigOf(g);
  let problems = 0;
  if (generator === 2n) {
    if (ops.cryptoNumberRemainder(p, 24) !== 11) problems |= 8;
  } else if (generator === 5n) {
    const rest = ops.cryptoNumberRemainder(p, 10);
    if (rest !== 3 && rest !== 7) problems |= 8;
  } else {
    problems |= 4;
  }
  if (!ops.cryptoPrimeIs(p)) problems |= 1;
  else if (!ops.cryptoPrimeSafe(p)) problems |= 2;
  return problems;
}
