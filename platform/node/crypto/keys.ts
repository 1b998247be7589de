// KeyObject and its kinds: import, export, comparison, and making keys.
//
// What a key can be is that of Workers: RSA, the NIST curves, Ed25519 and X25519, DSA for import, and
// Diffie-Hellman for agreement.
//
// Invariant: a key's bytes are copies that nobody else holds, in private fields.

import { ops } from "../../ops.ts";
import { inspect, inspectCustom } from "../../web/inspect.ts";
import { CryptoKey, isCryptoKey, slotsOf } from "../../web/crypto/key.ts";
import { checkCallable, checkInt32, checkObject, checkOneOf, checkText, checkUint32, checkWhole, failure } from "../checks.ts";
import { invalidArgType } from "../errors.ts";
import { answer, bigOf, bytesOf, bytesOfBig, isBytes, padded, toBuffer, trimmed, viewOf } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { generatorOk, groupPrime } from "./groups.ts";
import { SEALERS, curveOf, ecFromPoint, ecFromSecret, findCurve, octetFromPoint, octetFromSecret, opCurve, publicHalf, readAnyPrivate, readPrivateInfo, readPublicInfo, rsaFromPrivate, rsaFromPublic, rsaNumbers, rsaOpen, seal, unseal, writePrivateInfo, writePublicInfo, writeSec1 } from "./material.ts";
import type { DhMaterial, Material } from "./material.ts";
import { openPem, readPem, sealPem, writePem } from "./pem.ts";
import { certificateKey } from "./x509-read.ts";

export type KeyKind = "secret" | "public" | "private";
type Jwk = Record<string, unknown>;

const kInternal: unique symbol = Symbol("internal");

interface Inside {
  readonly kind: KeyKind;
  readonly bytes?: Uint8Array;
  readonly material?: Material;
  readonly isExtractable: boolean;
}

let insideOf: (key: KeyObject) => Inside;
let isKey: (value: unknown) => value is KeyObject;

export class KeyObject {
  readonly #inside: Inside;

  constructor(token?: unknown, inside?: unknown) {
    if (token !== kInternal) throw new Error("Illegal constructor");
    this.#inside = inside as Inside;
  }

  static {
    insideOf = (key) => key.#inside;
    isKey = (value): value is KeyObject => typeof value === "object" && value !== null && #inside in value;
  }

  static from(key: unknown): KeyObject {
    if (!isCryptoKey(key)) throw invalidArgType("key", ["CryptoKey"], key);
    return fromCryptoKey(key);
  }

  get type(): KeyKind {
    return this.#inside.kind;
  }

  equals(other: unknown): boolean {
    if (!isKey(other)) throw invalidArgType("otherKeyObject", ["KeyObject"], other);
    return this === other || equalKeys(this.#inside, other.#inside);
  }

  export(options?: unknown): Bytes | string | Jwk {
    return exportKey(this.#inside, options);
  }

  get [Symbol.toStringTag](): string {
    return "KeyObject";
  }
}

function shown(key: object, contents: object, depth: number, options: { depth?: number | null }): unknown {
  if (depth < 0) return key;
  return `${key.constructor.name} ${inspect(contents, { ...options, depth: options.depth == null ? null : options.depth - 1 })}`;
}

export class SecretKeyObject extends KeyObject {
  get symmetricKeySize(): number {
    return (insideOf(this).bytes as Uint8Array).length;
  }

  toCryptoKey(): never {
    throw failure(Error, "ERR_METHOD_NOT_IMPLEMENTED", "The toCryptoKey method is not implemented");
  }

  [inspectCustom](depth: number, options: { depth?: number | null }): unknown {
    return shown(this, { size: this.symmetricKeySize }, depth, options);
  }
}

class AsymmetricKeyObject extends KeyObject {
  get asymmetricKeyType(): string {
    return materialOf(this).kind;
  }

  get asymmetricKeyDetails(): Record<string, unknown> {
    return detailsOf(materialOf(this));
  }

  toCryptoKey(): never {
    throw failure(Error, "ERR_METHOD_NOT_IMPLEMENTED", "The toCryptoKey method is not implemented");
  }

  [inspectCustom](depth: number, options: { depth?: number | null }): unknown {
    return shown(this, { type: this.asymmetricKeyType, details: this.asymmetricKeyDetails }, depth, options);
  }
}

export class PublicKeyObject extends AsymmetricKeyObject {}
export class PrivateKeyObject extends AsymmetricKeyObject {}

export function isKeyObject(value: unknown): value is KeyObject {
  return isKey(value);
}

export function materialOf(key: KeyObject): Material {
  return insideOf(key).material as Material;
}

function make(inside: Inside): KeyObject {
  const Class = inside.kind === "secret" ? SecretKeyObject : inside.kind === "public" ? PublicKeyObject : PrivateKeyObject;
  return new Class(kInternal, inside);
}

export function newSecretKey(bytes: Uint8Array): SecretKeyObject {
  return make({ kind: "secret", bytes, isExtractable: true }) as SecretKeyObject;
}

export function newPublicKey(material: Material): PublicKeyObject {
  return make({ kind: "public", material: publicHalf(material), isExtractable: true }) as PublicKeyObject;
}

export function newPrivateKey(material: Material): PrivateKeyObject {
  return make({ kind: "private", material, isExtractable: true }) as PrivateKeyObject;
}

function fromCryptoKey(key: CryptoKey): KeyObject {
  const { type, extractable: isExtractable, algorithm, material } = slotsOf(key);
  if (type === "secret") return make({ kind: type, bytes: material.secret as Uint8Array, isExtractable });
  return make({ kind: type, material: materialOfSlots(algorithm.name, algorithm.namedCurve, material, type), isExtractable });
}

function materialOfSlots(name: string, curve: string | undefined, given: { secret?: Uint8Array; point?: Uint8Array }, type: KeyKind): Material {
  const isPrivate = type === "private";
  if (name.startsWith("RSA")) return isPrivate ? rsaFromPrivate(given.secret as Uint8Array) : rsaFromPublic(given.point as Uint8Array);
  const named = findCurve(curve ?? "");
  if (named !== undefined) return isPrivate ? ecFromSecret(named.name, given.secret as Uint8Array) : ecFromPoint(named.name, given.point as Uint8Array);
  const kind = name === "X25519" ? "x25519" : "ed25519";
  return isPrivate ? octetFromSecret(kind, given.secret as Uint8Array) : octetFromPoint(kind, given.point as Uint8Array);
}

function equalKeys(a: Inside, b: Inside): boolean {
  if (a.kind !== b.kind || !a.isExtractable || !b.isExtractable) return false;
  if (a.bytes !== undefined && b.bytes !== undefined) return equalBytes(a.bytes, b.bytes);
  const [left, right] = [a.material as Material, b.material as Material];
  if (left.kind !== right.kind) return false;
  return Object.entries(left).every(([name, value]) => {
    const other = (right as unknown as Record<string, unknown>)[name];
    return value instanceof Uint8Array && other instanceof Uint8Array ? equalBytes(value, other) : value === other;
  });
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && ops.cryptoTimingSafeEqual(a, b);
}

function detailsOf(material: Material): Record<string, unknown> {
  switch (material.kind) {
    case "rsa": {
      const { n, e } = rsaNumbers(material.open);
      return { modulusLength: bigOf(n).toString(2).length, publicExponent: bigOf(e) };
    }
    case "dsa":
      return { modulusLength: bigOf(material.p).toString(2).length, divisorLength: bigOf(material.q).toString(2).length };
    case "ec":
      return { namedCurve: curveOf(material.curve).short };
    default:
      return {};
  }
}

// ---- Export ----------------------------------------------------------------------------------

interface ExportOptions {
  format: string;
  type: string | undefined;
  cipher: string | undefined;
  passphrase: Uint8Array | undefined;
}

function exportOptions(given: unknown, kind: KeyKind, name = "options"): ExportOptions {
  const options = checkObject(given, name);
  const { format = "buffer", type, cipher, passphrase, encoding } = options;
  const checked: ExportOptions = { format: checkText(format, `${name}.format`), type: undefined, cipher: undefined, passphrase: undefined };
  if (type !== undefined) checked.type = checkText(type, `${name}.type`);
  if (kind === "private" && cipher !== undefined && cipher !== null) {
    checked.cipher = checkText(cipher, `${name}.cipher`);
    if (typeof passphrase !== "string" && !isBytes(passphrase)) {
      throw invalidArgType(`${name}.passphrase`, ["string", "Uint8Array"], passphrase);
    }
    checked.passphrase = bytesOf(passphrase, `${name}.passphrase`, encoding);
  }
  return checked;
}

function exportKey(inside: Inside, given: unknown = {}): Bytes | string | Jwk {
  const options = exportOptions(given, inside.kind);
  if (!inside.isExtractable) throw new TypeError("Unable to export non-extractable key");
  if (inside.bytes !== undefined) {
    if (options.format === "jwk") return { kty: "oct", k: base64Url(inside.bytes), ext: true };
    if (options.format !== "buffer") throw new TypeError(`Invalid format for secret key export: ${options.format}`);
    return toBuffer(inside.bytes.slice());
  }
  const material = inside.material as Material;
  if (options.format === "jwk") return exportJwk(material, inside.kind);
  if (options.type === undefined) throw new TypeError("Missing type option");
  return exportMaterial(material, inside.kind, options as ExportOptions & { type: string });
}

/** DER and its label, before any encryption. */
function encodedKey(material: Material, kind: KeyKind, type: string): [label: string, bytes: Uint8Array] {
  if (!["pkcs1", "pkcs8", "sec1", "spki"].includes(type)) throw new Error("Invalid key encoding");
  if (type === "pkcs1" && material.kind !== "rsa") throw new Error("PKCS1 can only be used for RSA keys");
  if (type === "sec1" && material.kind !== "ec") throw new Error("SEC1 can only be used for EC keys");
  let found: [string, Uint8Array | undefined] = ["", undefined];
  if (kind === "public") {
    if (type === "pkcs1" && material.kind === "rsa") found = ["RSA PUBLIC KEY", material.open];
    if (type === "spki") found = ["PUBLIC KEY", writePublicInfo(material)];
  } else {
    if (type === "pkcs1" && material.kind === "rsa") found = ["RSA PRIVATE KEY", material.secret];
    if (type === "sec1" && material.kind === "ec") found = ["EC PRIVATE KEY", writeSec1(material, true)];
    if (type === "pkcs8") found = ["PRIVATE KEY", writePrivateInfo(material)];
  }
  if (found[1] === undefined) throw new Error("Failed to export key");
  return found as [string, Uint8Array];
}

function exportMaterial(material: Material, kind: KeyKind, options: ExportOptions & { type: string }): Bytes | string {
  const { format, type, cipher, passphrase } = options;
  if (format !== "pem" && format !== "der") throw new Error("Invalid key format");
  let [label, bytes] = encodedKey(material, kind, type);
  if (cipher !== undefined && passphrase !== undefined) {
    const sealer = SEALERS.get(cipher.toLowerCase());
    if (sealer === undefined) throw new Error(`Unknown cipher: ${cipher}`);
    if (type !== "pkcs8") {
      // The older formats are encrypted in PEM or not at all.
      if (format === "pem") return sealPem(label, bytes, cipher, sealer, passphrase);
      throw failure(Error, "ERR_CRYPTO_INCOMPATIBLE_KEY_OPTIONS", `The selected key encoding ${type} does not support encryption.`);
    }
    [label, bytes] = ["ENCRYPTED PRIVATE KEY", seal(bytes, sealer, passphrase)];
  }
  return format === "pem" ? writePem(label, bytes) : toBuffer(bytes.slice());
}

function base64Url(bytes: Uint8Array): string {
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

function exportJwk(material: Material, kind: KeyKind): Jwk {
  const isPrivate = kind === "private";
  switch (material.kind) {
    case "rsa": {
      const { n, e } = rsaNumbers(material.open);
      const jwk: Jwk = { kty: "RSA", n: base64Url(n), e: base64Url(e) };
      if (!isPrivate) return jwk;
      const { d, p, q, dp, dq, qi } = rsaNumbers(material.secret as Uint8Array);
      return { ...jwk, d: base64Url(d), p: base64Url(p), q: base64Url(q), dp: base64Url(dp), dq: base64Url(dq), qi: base64Url(qi) };
    }
    case "ec": {
      if (material.curve === "P-224") throw failure(Error, "ERR_CRYPTO_JWK_UNSUPPORTED_CURVE", "Unsupported JWK EC curve: secp224r1.");
      const half = (material.point.length - 1) / 2;
      const jwk: Jwk = {
        crv: material.curve,
        kty: "EC",
        x: base64Url(material.point.subarray(1, 1 + half)),
        y: base64Url(material.point.subarray(1 + half)),
      };
      return isPrivate ? { ...jwk, d: base64Url(material.secret as Uint8Array) } : jwk;
    }
    case "ed25519":
    case "x25519": {
      const jwk: Jwk = { crv: opCurve(material.kind), kty: "OKP", x: base64Url(material.point) };
      if (material.kind === "ed25519") jwk["alg"] = "EdDSA";
      return isPrivate ? { ...jwk, d: base64Url(material.secret as Uint8Array) } : jwk;
    }
    default:
      throw new Error("Key type is invalid for JWK export");
  }
}

// ---- Import ----------------------------------------------------------------------------------

function jwkPart(jwk: Jwk, family: string, name: string): Uint8Array {
  const value = jwk[name];
  if (typeof value !== "string") throw new Error(`${family} JWK missing ${name} parameter`);
  try {
    return Uint8Array.fromBase64(value, { alphabet: "base64url" });
  } catch {
    throw new Error(`${family} JWK has an invalid ${name} parameter`);
  }
}

function jwkText(jwk: Jwk, family: string, name: string): string {
  const value = jwk[name];
  if (typeof value !== "string") throw new Error(`${family} JWK missing ${name} parameter`);
  return value;
}

function materialOfJwk(jwk: Jwk, kind: "public" | "private"): Material | undefined {
  const isPrivate = kind === "private";
  switch (jwk["kty"]) {
    case "RSA": {
      const [n, e] = [jwkPart(jwk, "RSA", "n"), jwkPart(jwk, "RSA", "e")];
      if (!isPrivate) return rsaFromPublic(rsaOpen(n, e));
      return rsaFromPrivate(ops.cryptoRsaRecover(n, e, jwkPart(jwk, "RSA", "d")));
    }
    case "EC": {
      const curve = findCurve(jwkText(jwk, "EC", "crv"));
      if (curve === undefined || curve.name === "P-224") throw new Error("Unsupported JWK EC curve");
      const [x, y] = [jwkPart(jwk, "EC", "x"), jwkPart(jwk, "EC", "y")];
      const point = ecFromPoint(curve.name, Uint8Array.of(4, ...padded(x, curve.bytes), ...padded(y, curve.bytes)));
      return isPrivate ? ecFromSecret(curve.name, jwkPart(jwk, "EC", "d")) : point;
    }
    case "OKP": {
      const name = jwkText(jwk, "OKP", "crv");
      if (name !== "Ed25519" && name !== "X25519") throw new Error("Unsupported OKP JWK curve");
      const family = name === "Ed25519" ? "ed25519" : "x25519";
      const x = jwkPart(jwk, "OKP", "x");
      return isPrivate ? octetFromSecret(family, jwkPart(jwk, "OKP", "d")) : octetFromPoint(family, x);
    }
    default:
      return undefined;
  }
}

const KEY_KINDS = ["string", "ArrayBuffer", "Buffer", "TypedArray", "DataView", "Object"];

interface Given {
  bytes: Uint8Array | undefined;
  jwk: Jwk | undefined;
  format: "pem" | "der";
  type: string | undefined;
  passphrase: Uint8Array | undefined;
}

function given(key: unknown, types: readonly string[]): Given {
  if (key === null || key === undefined) throw invalidArgType("key", KEY_KINDS, key);
  const isPlain = typeof key === "string" || isBytes(key);
  const options = (isPlain ? { key } : key) as Record<string, unknown>;
  const { key: data, encoding, format = "pem", type, passphrase } = options;
  if (data === null || data === undefined || isKey(data) || isCryptoKey(data)) throw invalidArgType("options.key", KEY_KINDS, data);
  if (typeof data === "string" || isBytes(data)) {
    checkOneOf(format, "format", ["pem", "der"]);
    if (type !== undefined) checkOneOf(type, "type", types);
    return {
      bytes: bytesOf(data, "key", encoding),
      jwk: undefined,
      format: format as "pem" | "der",
      type: type as string | undefined,
      passphrase: passphrase === null || passphrase === undefined ? undefined : bytesOf(passphrase, "passphrase", encoding),
    };
  }
  if (typeof data !== "object") throw invalidArgType("key", KEY_KINDS, data);
  return { bytes: undefined, jwk: data as Jwk, format: "pem", type: undefined, passphrase: undefined };
}

const PRIVATE_LABELS: ReadonlySet<string> = new Set([
  "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY",
]);
const PUBLIC_LABELS: ReadonlySet<string> = new Set(["PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"]);

function textOf(bytes: Uint8Array): string {
  return ops.textLatin1Decode(bytes);
}

function readPrivate({ bytes, format, type, passphrase }: Given): Material {
  const data = bytes as Uint8Array;
  if (format === "der") {
    if (type === "pkcs8" || type === undefined) {
      // An encrypted key begins with another sequence, where a plain one has its version.
      return passphrase === undefined ? readPrivateInfo(data) : tryEach(() => readPrivateInfo(unseal(data, passphrase)), () => readPrivateInfo(data));
    }
    return readAnyPrivate(data);
  }
  const pem = readPem(textOf(data), (label) => PRIVATE_LABELS.has(label));
  if (pem === undefined) throw new Error("There is no private key");
  if (pem.label === "ENCRYPTED PRIVATE KEY") {
    if (passphrase === undefined) throw new Error("A passphrase is needed");
    return readPrivateInfo(unseal(pem.bytes, passphrase));
  }
  const opened = openPem(pem, passphrase);
  // What stands under an older label is now and then PKCS #8 all the same.
  return pem.label === "PRIVATE KEY" ? readPrivateInfo(opened) : readAnyPrivate(opened);
}

function tryEach<T>(...works: (() => T)[]): T {
  let last: unknown;
  for (const work of works) {
    try {
      return work();
    } catch (error) {
      last = error;
    }
  }
  throw last;
}

function readPublic({ bytes, format, type }: Given): Material {
  const data = bytes as Uint8Array;
  if (format === "der") {
    if (type === "pkcs1") return rsaFromPublic(data);
    if (type === "spki") return readPublicInfo(data);
    return tryEach(() => readPublicInfo(data), () => rsaFromPublic(data), () => certificateKey(data));
  }
  const pem = readPem(textOf(data), (label) => PUBLIC_LABELS.has(label));
  if (pem === undefined) throw new Error("There is no public key");
  if (pem.label === "PUBLIC KEY") return readPublicInfo(pem.bytes);
  return pem.label === "RSA PUBLIC KEY" ? rsaFromPublic(pem.bytes) : certificateKey(pem.bytes);
}

export function createPrivateKey(key: unknown): PrivateKeyObject {
  const options = given(key, ["pkcs1", "pkcs8", "sec1"]);
  if (options.jwk !== undefined) {
    const material = materialOfJwk(options.jwk, "private");
    if (material === undefined) throw new Error("JWK private key import is not implemented for this key type");
    return newPrivateKey(material);
  }
  let material: Material;
  try {
    material = readPrivate(options);
  } catch {
    throw new Error("Failed to parse private key");
  }
  return newPrivateKey(material);
}

export function createPublicKey(key: unknown): PublicKeyObject {
  if (isKey(key) || isCryptoKey(key)) {
    const source = isKey(key) ? key : fromCryptoKey(key);
    if (source.type !== "private") throw invalidArgType("key", ["PrivateKeyObject"], key);
    return newPublicKey(materialOf(source));
  }
  const options = given(key, ["pkcs1", "spki"]);
  if (options.jwk !== undefined) {
    const material = materialOfJwk(options.jwk, "public");
    if (material === undefined) throw new Error("JWK public key import is not implemented for this key type");
    return newPublicKey(material);
  }
  try {
    return newPublicKey(tryEach(() => readPublic(options), () => readPrivate(options)));
  } catch {
    throw new Error("Failed to parse public key");
  }
}

const SECRET_KINDS = ["string", "ArrayBuffer", "TypedArray", "DataView"];

export function createSecretKey(key: unknown, encoding?: unknown): SecretKeyObject {
  if (key === null || key === undefined) throw invalidArgType("key", SECRET_KINDS, key);
  return newSecretKey(bytesOf(key, "key", encoding, SECRET_KINDS).slice());
}

// ---- What other parts ask for ----------------------------------------------------------------

function wrongKind(actual: string, expected: string): Error {
  return failure(Error, "ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE", `Invalid key object type ${actual}, expected ${expected}.`);
}

/** The bytes of a secret in any form it may be passed in. */
export function secretBytes(key: unknown, name: string, encoding?: unknown): Uint8Array {
  if (isKey(key) || isCryptoKey(key)) {
    const source = isKey(key) ? key : fromCryptoKey(key);
    if (source.type !== "secret") throw wrongKind(source.type, "secret");
    return insideOf(source).bytes as Uint8Array;
  }
  return bytesOf(key, name, encoding, ["string", "ArrayBuffer", "Buffer", "TypedArray", "DataView", "KeyObject", "CryptoKey"]);
}

function isHeld(key: unknown): key is KeyObject | CryptoKey {
  return isKey(key) || isCryptoKey(key);
}

/** A key as an argument: an object that is one, one under `key`, or what `create...Key` takes. */
function heldIn(key: unknown): KeyObject | undefined {
  const inner = typeof key === "object" && key !== null && !isHeld(key) && !isBytes(key) ? (key as { key?: unknown }).key : key;
  if (!isHeld(inner)) return undefined;
  return isKey(inner) ? inner : fromCryptoKey(inner);
}

export function privateMaterial(key: unknown): Material {
  const held = heldIn(key);
  if (held === undefined) return materialOf(createPrivateKey(key));
  if (held.type === "secret") throw invalidArgType("options", ["PublicKeyObject", "PrivateKeyObject", "CryptoKey", "object"], held.type);
  if (held.type === "public") throw wrongKind("public", "private");
  return materialOf(held);
}

/** A private key will do as well: its public half is meant. */
export function publicMaterial(key: unknown): Material {
  const held = heldIn(key);
  if (held === undefined) return materialOf(createPublicKey(key));
  if (held.type === "secret") throw wrongKind("secret", "private or public");
  return publicHalf(materialOf(held));
}

// ---- Making keys -----------------------------------------------------------------------------

export function generateKeySync(type: unknown, options: unknown): SecretKeyObject {
  checkOneOf(type, "type", ["hmac", "aes"]);
  const { length } = checkObject(options, "options");
  const bits = type === "hmac" ? checkWhole(length, "options.length", 8, 65_536) : checkOneOf(length as number, "options.length", [128, 192, 256]);
  return newSecretKey(ops.randomBytes(Math.floor(bits / 8)));
}

export function generateKey(type: unknown, options: unknown, callback: unknown): void {
  const done = checkCallable(callback, "callback");
  answer(done, () => [generateKeySync(type, options)]);
}

interface Pair {
  publicKey: PublicKeyObject | Bytes | string | Jwk;
  privateKey: PrivateKeyObject | Bytes | string | Jwk;
}

/** Bits of an RSA key that may be asked for at all. */
const MODULUS_BITS_MAX = 16_384;
const PRIME_BYTES_MAX = 1024;

function rsaPair(options: Record<string, unknown>): Material {
  const bits = checkUint32(options["modulusLength"], "options.modulusLength");
  const exponent = checkUint32(options["publicExponent"] ?? 0x10001, "options.publicExponent");
  if (bits > MODULUS_BITS_MAX) throw new RangeError(`RSA modulusLength exceeds maximum (${MODULUS_BITS_MAX})`);
  return rsaFromPrivate(ops.cryptoRsaGenerate(bits, bytesOfBig(BigInt(exponent))));
}

function ecPair({ namedCurve, paramEncoding = "named" }: Record<string, unknown>): Material {
  const name = checkText(namedCurve, "options.namedCurve");
  checkOneOf(paramEncoding, "options.paramEncoding", ["named", "explicit"]);
  const curve = findCurve(name);
  if (curve === undefined) throw new Error("Invalid or unsupported curve");
  return ecFromSecret(curve.name, ops.cryptoCurveSecret(curve.name));
}

function incompatible(one: string, other: string): Error {
  return failure(TypeError, "ERR_INCOMPATIBLE_OPTION_PAIR", `Option "${one}" cannot be used in combination with option "${other}"`);
}

function dhPair(options: Record<string, unknown>): Material {
  const { prime, primeLength, generator, group, groupName } = options;
  if (generator !== undefined && generator !== null) checkInt32(generator, "options.generator", 0);
  if ((group ?? groupName) != null) {
    for (const [name, value] of Object.entries({ prime, primeLength, generator })) {
      if (value != null) throw incompatible("group", name);
    }
    return dhMaterial(groupPrime(checkText(group || groupName, "options.group")), Uint8Array.of(2));
  }
  if (prime != null) {
    if (primeLength != null) throw incompatible("prime", "primeLength");
    if (!isBytes(prime)) throw invalidArgType("options.prime", ["Buffer", "TypedArray", "ArrayBuffer"], prime);
    const bytes = trimmed(viewOf(prime).slice());
    if (viewOf(prime).length > PRIME_BYTES_MAX) throw new RangeError(`DH prime size exceeds maximum (${PRIME_BYTES_MAX * 8} bits)`);
    return dhMaterial(bytes, bytesOfBig(BigInt((generator as number | undefined) ?? 2)));
  }
  if (primeLength == null) {
    throw failure(TypeError, "ERR_MISSING_OPTION", "At least one of the group, prime, or primeLength options is required");
  }
  checkInt32(primeLength, "options.primeLength", 0);
  throw new Error("Generating DH keys from a prime length is not yet implemented");
}

/** A secret below the prime, and the public number of it. */
export function dhMaterial(p: Uint8Array, g: Uint8Array, given?: Uint8Array): DhMaterial {
  generatorOk(p, g);
  const secret = given ?? drawBelow(p);
  return { kind: "dh", p, g: trimmed(g), y: trimmed(ops.cryptoPower(g, secret, p)), secret };
}

/** From 1 to p - 2, near enough uniform: 64 bits more are drawn than the prime has. */
function drawBelow(p: Uint8Array): Uint8Array {
  const limit = bigOf(p) - 2n;
  const drawn = bigOf(ops.randomBytes(p.length + 8));
  return bytesOfBig(limit > 0n ? (drawn % limit) + 1n : 1n);
}

function newPair(type: string, options: Record<string, unknown>): Material {
  switch (type) {
    case "rsa":
      return rsaPair(options);
    case "ec":
      return ecPair(options);
    case "dh":
      return dhPair(options);
    default:
      return octetFromSecret(type as "ed25519" | "x25519", ops.cryptoCurveSecret(opCurve(type as "ed25519" | "x25519")));
  }
}

export function generateKeyPairSync(type: unknown, given: unknown = {}): Pair {
  const name = checkOneOf(type as string, "type", ["rsa", "ec", "ed25519", "x25519", "dh"]);
  const options = checkObject(given, "options");
  const { publicKeyEncoding, privateKeyEncoding } = options;
  if (publicKeyEncoding !== undefined) exportOptions(publicKeyEncoding, "public", "options.publicKeyEncoding");
  if (privateKeyEncoding !== undefined) exportOptions(privateKeyEncoding, "private", "options.privateKeyEncoding");
  const material = newPair(name, options);
  const [publicKey, privateKey] = [newPublicKey(material), newPrivateKey(material)];
  return {
    publicKey: publicKeyEncoding === undefined ? publicKey : publicKey.export(publicKeyEncoding),
    privateKey: privateKeyEncoding === undefined ? privateKey : privateKey.export(privateKeyEncoding),
  };
}

export function generateKeyPair(type: unknown, options: unknown, callback?: unknown): void {
  if (typeof options === "function") [options, callback] = [{}, options];
  answer(checkCallable(callback, "callback"), () => {
    const { publicKey, privateKey } = generateKeyPairSync(type, options);
    return [publicKey, privateKey];
  });
}

/** `util.promisify` gives both keys as an object. */
Object.defineProperty(generateKeyPair, Symbol.for("nodejs.util.promisify.custom"), {
  value: (type: unknown, options: unknown): Promise<Pair> =>
    new Promise((resolve, reject) => {
      generateKeyPair(type, options, (error: unknown, publicKey: Pair["publicKey"], privateKey: Pair["privateKey"]) =>
        error ? reject(error) : resolve({ publicKey, privateKey }),
      );
    }),
  configurable: true,
});
