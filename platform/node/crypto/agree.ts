// DiffieHellman, DiffieHellmanGroup, ECDH and the stateless `diffieHellman()`.
//
// Invariant: another's public number is checked before a secret of ours is applied to it.

import { ops } from "../../ops.ts";
import { findEncoding } from "../buffer-text.ts";
import { checkInt32, checkObject, checkOneOf, checkText, failure, invalidValue } from "../checks.ts";
import { invalidArgType } from "../errors.ts";
import { bigOf, bytesOf, bytesOfBig, encoded, isBytes, padded, toBuffer, trimmed, viewOf } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { generatorOk, groupPrime, groupProblems } from "./groups.ts";
import { PrivateKeyObject, PublicKeyObject, dhMaterial, isKeyObject, materialOf } from "./keys.ts";
import { findCurve, opCurve } from "./material.ts";
import type { CurveName } from "./material.ts";

/** Bits of a prime, as BoringSSL has it. */
const PRIME_BITS_MAX = 10_000;

const kGroup: unique symbol = Symbol("group");

interface Group {
  readonly p: Uint8Array;
  readonly g: Uint8Array;
  y: Uint8Array | undefined;
  secret: Uint8Array | undefined;
  problems: number | undefined;
}

export interface DiffieHellman {
  [kGroup]: Group;
}
type GroupClass = { new (...args: unknown[]): DiffieHellman; (...args: unknown[]): DiffieHellman; prototype: DiffieHellman };

function newGroup(p: Uint8Array, g: Uint8Array): Group {
  generatorOk(p, g);
  return { p, g, y: undefined, secret: undefined, problems: undefined };
}

/** Primes that suit the generator: those for which it generates the large subgroup. */
function drawGroup(bits: number, generator: number): Group {
  if (bits > PRIME_BITS_MAX) throw new RangeError("DiffieHellman init failed: requested prime size too large");
  if (bits < 3) throw new Error("DiffieHellman init failed: could not generate parameters");
  if (generator < 2) throw new Error("DiffieHellman init failed: could not generate parameters");
  const [step, rest] = generator === 2 ? [24, 11] : generator === 5 ? [10, 3] : [2, 1];
  return newGroup(ops.cryptoPrimeDraw(bits, true, step, rest), bytesOfBig(BigInt(generator)));
}

function groupOf(prime: Uint8Array, generator: number | Uint8Array): Group {
  if (prime.length > PRIME_BITS_MAX / 8) throw new RangeError("DiffieHellman init failed: key is too large");
  if (prime.length === 0) throw new Error("DiffieHellman init failed: invalid key");
  if (typeof generator === "number") {
    if (generator < 2) throw new RangeError("DiffieHellman init failed: generator too small");
    return newGroup(trimmed(prime.slice()), bytesOfBig(BigInt(generator)));
  }
  if (generator.length > PRIME_BITS_MAX / 8) throw new RangeError("DiffieHellman init failed: generator is too large");
  if (generator.length === 0 || bigOf(generator) < 2n) throw new Error("DiffieHellman init failed: invalid generator");
  return newGroup(trimmed(prime.slice()), trimmed(generator.slice()));
}

const NUMBER_KINDS = ["number", "string", "ArrayBuffer", "Buffer", "TypedArray", "DataView"];

/** The generator as a number or bytes; a number of none is the usual one. */
function generatorOf(value: unknown, encoding: unknown): number | Uint8Array {
  if (!value) return 2;
  if (typeof value === "number") return checkInt32(value, "generator");
  if (typeof value === "string" || isBytes(value)) return bytesOf(value, "generator", encoding);
  throw invalidArgType("generator", NUMBER_KINDS, value);
}

export const DiffieHellman = function (
  this: DiffieHellman | undefined,
  sizeOrKey: unknown,
  keyEncoding?: unknown,
  generator?: unknown,
  generatorEncoding?: unknown,
): DiffieHellman {
  if (!(this instanceof (DiffieHellman as unknown as { new (): DiffieHellman }))) {
    return new DiffieHellman(sizeOrKey, keyEncoding, generator, generatorEncoding);
  }
  if (typeof sizeOrKey !== "number" && typeof sizeOrKey !== "string" && !isBytes(sizeOrKey)) {
    throw invalidArgType("sizeOrKey", NUMBER_KINDS, sizeOrKey);
  }
  if (typeof sizeOrKey === "number") checkInt32(sizeOrKey, "sizeOrKey");
  const isEncoding = typeof keyEncoding === "string" && (keyEncoding === "buffer" || findEncoding(keyEncoding) !== undefined);
  if (keyEncoding && !isEncoding) [keyEncoding, generator, generatorEncoding] = [undefined, keyEncoding, generator];
  const by = generatorOf(generator, generatorEncoding);
  if (typeof sizeOrKey === "number") {
    if (typeof by !== "number") throw new Error("DiffieHellman init failed: invalid parameters");
    this[kGroup] = drawGroup(sizeOrKey, by);
  } else {
    this[kGroup] = groupOf(bytesOf(sizeOrKey, "sizeOrKey", keyEncoding), by);
  }
  return this;
} as unknown as GroupClass;

export const DiffieHellmanGroup = function (this: DiffieHellman | undefined, name: unknown): DiffieHellman {
  if (!(this instanceof (DiffieHellmanGroup as unknown as { new (): DiffieHellman }))) return new DiffieHellmanGroup(name);
  this[kGroup] = newGroup(groupPrime(checkText(name, "name")), Uint8Array.of(2));
  return this;
} as unknown as GroupClass;

function checkPublic(p: Uint8Array, key: Uint8Array, what: string): void {
  const [prime, number] = [bigOf(p), bigOf(key)];
  if (number < 2n) throw new RangeError(`${what} is too small`);
  if (number > prime - 2n) throw new RangeError(`${what} is too large`);
}

const shared = {
  generateKeys(this: DiffieHellman, encoding?: unknown): Bytes | string {
    const group = this[kGroup];
    const made = dhMaterial(group.p, group.g, group.secret);
    group.secret = made.secret;
    group.y = made.y;
    return encoded(group.y, encoding);
  },

  computeSecret(this: DiffieHellman, key: unknown, keyEncoding?: unknown, encoding?: unknown): Bytes | string {
    const { p, secret } = this[kGroup];
    const other = bytesOf(key, "key", keyEncoding);
    if (other.length === 0) throw new Error("DiffieHellman computeSecret() failed: invalid key");
    checkPublic(p, other, "DiffieHellman computeSecret() failed: Supplied key");
    if (secret === undefined) throw new Error("DiffieHellman computeSecret() failed: error computing shared secret");
    return encoded(ops.cryptoPower(other, secret, p), encoding);
  },

  getPrime(this: DiffieHellman, encoding?: unknown): Bytes | string {
    return encoded(this[kGroup].p.slice(), encoding);
  },

  getGenerator(this: DiffieHellman, encoding?: unknown): Bytes | string {
    return encoded(this[kGroup].g.slice(), encoding);
  },

  getPublicKey(this: DiffieHellman, encoding?: unknown): Bytes | string {
    const { y } = this[kGroup];
    if (y === undefined) throw new Error("No public key");
    return encoded(y.slice(), encoding);
  },

  getPrivateKey(this: DiffieHellman, encoding?: unknown): Bytes | string {
    const { secret } = this[kGroup];
    if (secret === undefined) throw new Error("No private key");
    return encoded(secret.slice(), encoding);
  },
};

const verifyError = {
  get(this: DiffieHellman): number {
    const group = this[kGroup];
    return (group.problems ??= groupProblems(group.p, group.g));
  },
  configurable: true,
  enumerable: true,
};

for (const Class of [DiffieHellman, DiffieHellmanGroup]) {
  Object.assign(Class.prototype, shared);
  Object.defineProperty(Class.prototype, "verifyError", verifyError);
}
Object.defineProperty(DiffieHellman, "name", { value: "DiffieHellman", configurable: true });
Object.defineProperty(DiffieHellmanGroup, "name", { value: "DiffieHellmanGroup", configurable: true });

// A group by name has the keys it makes, and no others.
Object.assign(DiffieHellman.prototype, {
  setPublicKey(this: DiffieHellman, key: unknown, encoding?: unknown): DiffieHellman {
    const bytes = bytesOf(key, "key", encoding);
    checkPublic(this[kGroup].p, bytes, "DiffieHellman setPublicKey() failed: key");
    this[kGroup].y = trimmed(bytes.slice());
    return this;
  },

  setPrivateKey(this: DiffieHellman, key: unknown, encoding?: unknown): DiffieHellman {
    this[kGroup].secret = trimmed(bytesOf(key, "key", encoding).slice());
    return this;
  },
});

export function createDiffieHellman(...args: unknown[]): DiffieHellman {
  return new DiffieHellman(...args);
}

export function createDiffieHellmanGroup(name: unknown): DiffieHellman {
  return new DiffieHellmanGroup(name);
}

/** Of two keys, the secret they share. */
export function diffieHellman(options: unknown): Bytes {
  const { publicKey, privateKey } = checkObject(options, "options");
  if (!isKeyObject(publicKey)) throw invalidArgType("options.publicKey", ["KeyObject"], publicKey);
  if (!isKeyObject(privateKey)) throw invalidArgType("options.privateKey", ["KeyObject"], privateKey);
  if (!(publicKey instanceof PublicKeyObject)) throw invalidArgType("options.publicKey", ["public key"], publicKey);
  if (!(privateKey instanceof PrivateKeyObject)) throw invalidArgType("options.privateKey", ["private key"], privateKey);
  const [open, own] = [materialOf(publicKey), materialOf(privateKey)];
  if (open.kind !== own.kind) {
    throw invalidValue("options.publicKey.asymmetricKeyType", open.kind, "must equal privateKey.asymmetricKeyType");
  }
  const failed = (): Error => new Error("Failed to derive shared diffie-hellman secret");
  if (open.kind === "x25519" && own.kind === "x25519") {
    return toBuffer(ops.cryptoCurveShare(opCurve("x25519"), own.secret as Uint8Array, open.point));
  }
  if (open.kind === "ec" && own.kind === "ec" && open.curve === own.curve) {
    return toBuffer(ops.cryptoCurveShare(own.curve, own.secret as Uint8Array, open.point));
  }
  if (open.kind !== "dh" || own.kind !== "dh" || bigOf(open.p) !== bigOf(own.p)) throw failed();
  checkPublic(own.p, open.y, "The public key");
  return toBuffer(ops.cryptoPower(open.y, own.secret as Uint8Array, own.p));
}

// ---- ECDH ------------------------------------------------------------------------------------

const kCurve: unique symbol = Symbol("curve");

interface EcdhState {
  readonly curve: CurveName;
  readonly bytes: number;
  secret: Uint8Array | undefined;
  point: Uint8Array | undefined;
}

export interface ECDH {
  [kCurve]: EcdhState;
  getPublicKey(encoding?: unknown, format?: unknown): Bytes | string;
}
type EcdhClass = { new (curve: unknown): ECDH; (curve: unknown): ECDH; prototype: ECDH };

const FORMATS = ["compressed", "uncompressed", "hybrid"] as const;
const POINT_KINDS = ["string", "Buffer", "TypedArray", "DataView"];

function requireCurve(name: string): { name: CurveName; bytes: number } {
  const found = findCurve(name);
  // As OpenSSL knows them: the NIST names are WebCrypto's.
  if (found === undefined || found.name === name) throw failure(Error, "ERR_CRYPTO_INVALID_CURVE", "Invalid curve");
  return found;
}

function formatted(point: Uint8Array, format: (typeof FORMATS)[number]): Uint8Array {
  if (format === "uncompressed") return point.slice();
  const half = (point.length - 1) / 2;
  const isOdd = (point[point.length - 1] as number) & 1;
  if (format === "hybrid") return Uint8Array.of(6 + isOdd, ...point.subarray(1));
  return Uint8Array.of(2 + isOdd, ...point.subarray(1, 1 + half));
}

/** A point in any of its forms; hybrid is the uncompressed one with another head. */
function pointOf(curve: CurveName, given: Uint8Array): Uint8Array {
  const head = given[0];
  const plain = head === 6 || head === 7 ? Uint8Array.of(4, ...given.subarray(1)) : given;
  const point = ops.cryptoCurvePoint(curve, plain);
  if (point === undefined) throw new Error("Failed to set point");
  return point;
}

function encodingOption(value: unknown, name: string): unknown {
  return value === undefined || value === null ? undefined : checkText(value, name);
}

function given(key: unknown, name: string, encoding: unknown): Uint8Array {
  if (typeof key !== "string" && !ArrayBuffer.isView(key)) throw invalidArgType(name, POINT_KINDS, key);
  return typeof key === "string" ? bytesOf(key, name, encoding) : viewOf(key);
}

export const ECDH = function (this: ECDH | undefined, curve: unknown): ECDH {
  if (!(this instanceof (ECDH as unknown as { new (): ECDH }))) return new ECDH(curve);
  const { name, bytes } = requireCurve(checkText(curve, "curveName"));
  this[kCurve] = { curve: name, bytes, secret: undefined, point: undefined };
  return this;
} as unknown as EcdhClass;
Object.defineProperty(ECDH, "name", { value: "ECDH", configurable: true });

Object.assign(ECDH.prototype, {
  generateKeys(this: ECDH, encoding?: unknown, format: unknown = "uncompressed"): Bytes | string {
    encodingOption(encoding, "encoding");
    checkOneOf(format ?? "uncompressed", "format", FORMATS);
    const state = this[kCurve];
    state.secret = ops.cryptoCurveSecret(state.curve);
    state.point = ops.cryptoCurvePublic(state.curve, state.secret);
    return this.getPublicKey(encoding, format ?? undefined);
  },

  computeSecret(this: ECDH, otherPublicKey: unknown, inputEncoding?: unknown, outputEncoding?: unknown): Bytes | string {
    const other = given(otherPublicKey, "otherPublicKey", inputEncoding);
    encodingOption(inputEncoding, "inputEncoding");
    encodingOption(outputEncoding, "outputEncoding");
    const { curve, secret } = this[kCurve];
    if (secret === undefined) throw failure(Error, "ERR_CRYPTO_ECDH_INVALID_KEY_PAIR", "Invalid keypair");
    const point = pointOf(curve, other);
    return encoded(ops.cryptoCurveShare(curve, secret, point), outputEncoding);
  },

  getPrivateKey(this: ECDH, encoding?: unknown): Bytes | string {
    encodingOption(encoding, "encoding");
    const { secret } = this[kCurve];
    if (secret === undefined) throw new Error("Failed to get ECDH private key");
    return encoded(trimmed(secret.slice()), encoding);
  },

  getPublicKey(this: ECDH, encoding?: unknown, format: unknown = "uncompressed"): Bytes | string {
    encodingOption(encoding, "encoding");
    const form = checkOneOf(format as "hybrid", "format", FORMATS);
    const { point } = this[kCurve];
    if (point === undefined) throw new Error("Failed to get ECDH public key");
    return encoded(formatted(point, form), encoding);
  },

  setPrivateKey(this: ECDH, key: unknown, encoding?: unknown): void {
    encodingOption(encoding, "encoding");
    const bytes = trimmed(given(key, "key", encoding));
    const state = this[kCurve];
    try {
      const secret = padded(bytes, state.bytes).slice();
      if (bytes.length > state.bytes) throw new Error("too long");
      state.point = ops.cryptoCurvePublic(state.curve, secret);
      state.secret = secret;
    } catch {
      throw new Error("Private key is not valid for specified curve.");
    }
  },
});

Object.assign(ECDH, {
  convertKey(key: unknown, curve: unknown, inputEncoding?: unknown, outputEncoding?: unknown, format: unknown = "uncompressed"): Bytes | string {
    const bytes = given(key, "key", inputEncoding);
    const name = checkText(curve, "curve");
    encodingOption(inputEncoding, "inputEncoding");
    encodingOption(outputEncoding, "outputEncoding");
    const form = checkOneOf(format as "hybrid", "format", FORMATS);
    if (bytes.length === 0) return encoded(bytes.slice(), outputEncoding);
    return encoded(formatted(pointOf(requireCurve(name).name, bytes), form), outputEncoding);
  },
});

export function createECDH(curve: unknown): ECDH {
  return new ECDH(curve);
}
