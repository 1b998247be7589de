// Signatures: Sign and Verify, which gather what is written to them, and `sign()` and `verify()`.
//
// Invariant: a signature that is malformed does not hold; only a wrong key or option throws.

import { ops } from "../../ops.ts";
import { DerReader, SEQUENCE, der, derUnsigned } from "../../web/crypto/der.ts";
import { checkText, failure, invalidValue } from "../checks.ts";
import { invalidArgType } from "../errors.ts";
import { Writable } from "../stream/writable.ts";
import type { Writable as WritableType } from "../stream/types.ts";
import { answer, bytesOf, concat, digestOf, encoded, findDigest, padded, toBuffer, viewOf } from "./bytes.ts";
import type { Bytes, Digest } from "./bytes.ts";
import { privateMaterial, publicMaterial } from "./keys.ts";
import { curveOf, rsaNumbers } from "./material.ts";
import type { DsaMaterial, EcMaterial, Material, RsaMaterial } from "./material.ts";

const PKCS1 = 1;
const PSS = 6;
/** Salt lengths that are no lengths: the digest's, and the longest there can be (or, verifying, any). */
const SALT_DIGEST = -1;
const SALT_MAX = -2;
const SALT_ANY = 0xffff_ffff;

interface Options {
  padding: number | undefined;
  saltLength: number | undefined;
  isPlain: boolean;
}

function integerOption(options: Record<string, unknown>, name: string): number | undefined {
  const value = options[name];
  if (value === undefined) return undefined;
  if (value !== (value as number) >> 0) throw invalidValue(`options.${name}`, value);
  return value as number;
}

function optionsOf(given: unknown): Options {
  if (typeof given !== "object" || given === null) return { padding: undefined, saltLength: undefined, isPlain: false };
  const options = given as Record<string, unknown>;
  const padding = integerOption(options, "padding");
  const saltLength = integerOption(options, "saltLength");
  const { dsaEncoding = "der" } = options;
  if (dsaEncoding !== "der" && dsaEncoding !== "ieee-p1363") throw invalidValue("options.dsaEncoding", dsaEncoding);
  return { padding, saltLength, isPlain: dsaEncoding === "ieee-p1363" };
}

/** `r` and `s` side by side, or as the DER sequence that is usual. */
function dsaForm(plain: Uint8Array, isPlain: boolean): Uint8Array {
  if (isPlain) return plain;
  const half = plain.length / 2;
  return der(SEQUENCE, derUnsigned(plain.subarray(0, half)), derUnsigned(plain.subarray(half)));
}

/** Side by side, each number of `length` bytes; undefined if that is no signature. */
function plainForm(signature: Uint8Array, isPlain: boolean, length: number): Uint8Array | undefined {
  if (isPlain) return signature.length === 2 * length ? signature : undefined;
  try {
    const outer = new DerReader(signature);
    const reader = outer.sequence();
    outer.end();
    const [r, s] = [reader.unsigned(), reader.unsigned()];
    reader.end();
    return r.length > length || s.length > length ? undefined : concat([padded(r, length), padded(s, length)]);
  } catch {
    return undefined;
  }
}

function unsupported(): Error {
  return failure(Error, "ERR_OSSL_EVP_UNSUPPORTED", "Unsupported digest for this kind of key");
}

/** A digest that signatures can name. Without one it is the key's usual, SHA-256. */
function signatureDigest(name: string | undefined): Digest {
  const found = findDigest(name ?? "sha256");
  if (found === undefined) throw failure(Error, "ERR_CRYPTO_INVALID_DIGEST", `Invalid digest: ${name}`);
  return found;
}

function modulusBytes(key: RsaMaterial): number {
  return rsaNumbers(key.open).n.length;
}

function pssSalt(key: RsaMaterial, digest: Digest, asked: number | undefined): number {
  const longest = modulusBytes(key) - digest.bytes - 2;
  if (asked === SALT_DIGEST) return digest.bytes;
  if (asked === undefined || asked === SALT_MAX) return longest;
  if (asked < 0) throw failure(Error, "ERR_OSSL_INVALID_SALT_LENGTH", "Invalid salt length");
  return asked;
}

function signRsa(key: RsaMaterial, digest: Digest, { padding = PKCS1, saltLength }: Options, data: Uint8Array): Uint8Array {
  const secret = key.secret as Uint8Array;
  if (padding === PSS) return ops.cryptoRsaSign("pss", digest.name, pssSalt(key, digest, saltLength), secret, data);
  if (padding !== PKCS1) throw failure(Error, "ERR_OSSL_RSA_UNKNOWN_PADDING_TYPE", "Unknown padding type");
  // MD5 with SHA-1 stands in the signature by itself, as TLS had it.
  if (digest.name === "MD5-SHA1") return ops.cryptoRsaApply("privateEncrypt", "pkcs1", secret, digestOf(digest, data));
  return ops.cryptoRsaSign("pkcs1", digest.name, 0, secret, data);
}

function verifyRsa(key: RsaMaterial, digest: Digest, { padding = PKCS1, saltLength }: Options, signature: Uint8Array, data: Uint8Array): boolean {
  if (padding === PSS) {
    const isAny = saltLength === undefined || saltLength === SALT_MAX;
    const salt = isAny ? SALT_ANY : pssSalt(key, digest, saltLength);
    return ops.cryptoRsaVerify("pss", digest.name, salt, key.open, signature, data);
  }
  if (padding !== PKCS1) throw failure(Error, "ERR_OSSL_RSA_UNKNOWN_PADDING_TYPE", "Unknown padding type");
  if (digest.name !== "MD5-SHA1") return ops.cryptoRsaVerify("pkcs1", digest.name, 0, key.open, signature, data);
  if (signature.length !== modulusBytes(key)) return false;
  try {
    const found = ops.cryptoRsaApply("publicDecrypt", "pkcs1", key.open, signature);
    const expected = digestOf(digest, data);
    return found.length === expected.length && ops.cryptoTimingSafeEqual(found, expected);
  } catch {
    return false;
  }
}

function orderBytes(key: EcMaterial | DsaMaterial): number {
  return key.kind === "ec" ? curveOf(key.curve).bytes : key.q.length;
}

function signDsa(key: EcMaterial | DsaMaterial, digest: Digest, isPlain: boolean, data: Uint8Array): Uint8Array {
  if (digest.name === "MD5-SHA1") throw unsupported();
  const secret = key.secret as Uint8Array;
  const plain = key.kind === "ec"
    ? ops.cryptoCurveSign(key.curve, digest.name, secret, data)
    : ops.cryptoDsaSign(digest.name, key.p, key.q, key.g, key.y, secret, data);
  return dsaForm(plain, isPlain);
}

function verifyDsa(key: EcMaterial | DsaMaterial, digest: Digest, isPlain: boolean, signature: Uint8Array, data: Uint8Array): boolean {
  if (digest.name === "MD5-SHA1") throw unsupported();
  const plain = plainForm(signature, isPlain, orderBytes(key));
  if (plain === undefined) return false;
  return key.kind === "ec"
    ? ops.cryptoCurveVerify(key.curve, digest.name, key.point, plain, data)
    : ops.cryptoDsaVerify(digest.name, key.p, key.q, key.g, key.y, plain, data);
}

/** Ed25519 signs the data itself. */
function requireNoDigest(name: string | undefined): void {
  if (name !== undefined) throw unsupported();
}

function cannotSign(kind: string): Error {
  return failure(Error, "ERR_OSSL_EVP_OPERATION_NOT_SUPPORTED_FOR_THIS_KEYTYPE", `Keys of type ${kind} make no signatures`);
}

function signWith(key: Material, digest: string | undefined, options: Options, data: Uint8Array): Uint8Array {
  switch (key.kind) {
    case "rsa":
      return signRsa(key, signatureDigest(digest), options, data);
    case "ec":
    case "dsa":
      return signDsa(key, signatureDigest(digest), options.isPlain, data);
    case "ed25519":
      requireNoDigest(digest);
      return ops.cryptoCurveSign("Ed25519", "", key.secret as Uint8Array, data);
    default:
      throw cannotSign(key.kind);
  }
}

export function verifyWith(key: Material, digest: string | undefined, options: Options, signature: Uint8Array, data: Uint8Array): boolean {
  switch (key.kind) {
    case "rsa":
      return verifyRsa(key, signatureDigest(digest), options, signature, data);
    case "ec":
    case "dsa":
      return verifyDsa(key, signatureDigest(digest), options.isPlain, signature, data);
    case "ed25519":
      requireNoDigest(digest);
      return ops.cryptoCurveVerify("Ed25519", "", key.point, signature, data);
    default:
      throw cannotSign(key.kind);
  }
}

function keyRequired(): Error {
  return failure(Error, "ERR_CRYPTO_SIGN_KEY_REQUIRED", "No key provided to sign");
}

// ---- Sign and Verify -------------------------------------------------------------------------

const kGathered: unique symbol = Symbol("gathered");

interface Gathered {
  readonly digest: string;
  parts: Uint8Array[];
  isDone: boolean;
}

interface Gathering extends WritableType {
  [kGathered]: Gathered;
  update(data: unknown, encoding?: unknown): this;
}

export interface Sign extends Gathering {
  sign(key: unknown, encoding?: unknown): Bytes | string;
}

export interface Verify extends Gathering {
  verify(key: unknown, signature: unknown, encoding?: unknown): boolean;
}

type GatheringClass<T> = { new (algorithm: unknown, options?: unknown): T; (algorithm: unknown, options?: unknown): T; prototype: T };

function define<T extends Gathering>(name: string, methods: Record<string, unknown>): GatheringClass<T> {
  const Class = function (this: T | undefined, algorithm: unknown, options?: unknown): T {
    if (!(this instanceof (Class as unknown as { new (): T }))) return new Class(algorithm, options);
    const digest = checkText(algorithm, "algorithm");
    if (findDigest(digest) === undefined) throw failure(Error, "ERR_CRYPTO_INVALID_DIGEST", `Invalid digest: ${digest}`);
    this[kGathered] = { digest, parts: [], isDone: false };
    Reflect.apply(Writable as never, this, [options]);
    return this;
  } as unknown as GatheringClass<T>;
  Object.defineProperty(Class, "name", { value: name, configurable: true });
  Object.setPrototypeOf(Class.prototype as object, Writable.prototype);
  Object.setPrototypeOf(Class, Writable);
  Object.assign(Class.prototype, {
    _write(this: T, chunk: unknown, encoding: unknown, done: () => void): void {
      this.update(chunk, encoding);
      done();
    },

    update(this: T, data: unknown, encoding?: unknown): T {
      if (typeof data !== "string" && !ArrayBuffer.isView(data)) {
        throw invalidArgType("data", ["string", "Buffer", "TypedArray", "DataView"], data);
      }
      if (this[kGathered].isDone) throw failure(Error, "ERR_CRYPTO_INVALID_STATE", "Signing context has already been finalized");
      this[kGathered].parts.push(bytesOf(data, "data", encoding).slice());
      return this;
    },
    ...methods,
  });
  return Class;
}

function gathered(of: Gathering): Uint8Array {
  const state = of[kGathered];
  if (state.isDone) throw failure(Error, "ERR_CRYPTO_INVALID_STATE", "Signing context has already been finalized");
  state.isDone = true;
  const all = concat(state.parts);
  state.parts = [];
  return all;
}

export const Sign: GatheringClass<Sign> = define<Sign>("Sign", {
  sign(this: Sign, key: unknown, encoding?: unknown): Bytes | string {
    if (!key) throw keyRequired();
    const material = privateMaterial(key);
    const signature = signWith(material, this[kGathered].digest, optionsOf(key), gathered(this));
    return encoded(signature, encoding);
  },
});

export const Verify: GatheringClass<Verify> = define<Verify>("Verify", {
  verify(this: Verify, key: unknown, signature: unknown, encoding?: unknown): boolean {
    if (!key) throw keyRequired();
    const material = publicMaterial(key);
    const options = optionsOf(key);
    if (typeof signature !== "string" && !ArrayBuffer.isView(signature)) {
      throw invalidArgType("signature", ["string", "Buffer", "TypedArray", "DataView"], signature);
    }
    return verifyWith(material, this[kGathered].digest, options, bytesOf(signature, "signature", encoding), gathered(this));
  },
});

export function createSign(algorithm: unknown, options?: unknown): Sign {
  return new Sign(algorithm, options);
}

export function createVerify(algorithm: unknown, options?: unknown): Verify {
  return new Verify(algorithm, options);
}

const VIEWS = ["Buffer", "TypedArray", "DataView"];

function digestName(algorithm: unknown): string | undefined {
  return algorithm === null || algorithm === undefined ? undefined : checkText(algorithm, "algorithm");
}

function requireView(value: unknown, name: string): Uint8Array {
  if (!ArrayBuffer.isView(value)) throw invalidArgType(name, VIEWS, value);
  return viewOf(value);
}

export function sign(algorithm: unknown, data: unknown, key: unknown, callback?: unknown): Bytes | undefined {
  const digest = digestName(algorithm);
  const bytes = requireView(data, "data");
  if (!key) throw keyRequired();
  const work = (): Bytes => toBuffer(signWith(privateMaterial(key), digest, optionsOf(key), bytes));
  if (callback === undefined) return work();
  const options = optionsOf(key);
  const material = privateMaterial(key);
  answer(callback as () => unknown, () => [toBuffer(signWith(material, digest, options, bytes))]);
  return undefined;
}

export function verify(algorithm: unknown, data: unknown, key: unknown, signature: unknown, callback?: unknown): boolean | undefined {
  const digest = digestName(algorithm);
  const bytes = requireView(data, "data");
  const given = requireView(signature, "signature");
  if (!key) throw keyRequired();
  const material = publicMaterial(key);
  const options = optionsOf(key);
  if (callback === undefined) return verifyWith(material, digest, options, given, bytes);
  answer(callback as () => unknown, () => [verifyWith(material, digest, options, given, bytes)]);
  return undefined;
}

export const PLAIN_OPTIONS: Options = { padding: undefined, saltLength: undefined, isPlain: false };
