// SubtleCrypto: the methods of the standard, each the steps of its text in their order.
//
// What an algorithm does is its family's; here are the checks that all share: the key's algorithm,
// its usages, whether it may be exported. Work is done at once, on the Worker's only thread, and
// every outcome is a promise.
//
// Invariant: arguments are converted before anything is looked up, and data is copied or used before
// any other code runs.

import { ops } from "../../ops.ts";
import {
  boolean,
  bufferSource,
  bytesCopy,
  bytesView,
  defineInterface,
  isBufferSource,
  isObject,
  nullable,
  requireArguments,
  requireInternal,
  sequence,
  unsignedLong,
} from "../webidl.ts";
import { aesFamily } from "./aes.ts";
import { algorithmIdentifier, cryptoKey, find, normalize } from "./algorithm.ts";
import type { Algorithm, Normalized, Operations } from "./algorithm.ts";
import { derivations } from "./derive.ts";
import { bufferOf, digests } from "./digest.ts";
import { ellipticFamily } from "./ec.ts";
import { dataError, invalidAccess, notSupported } from "./errors.ts";
import { hmac } from "./hmac.ts";
import { jsonWebKey } from "./jwk.ts";
import type { JsonWebKey } from "./jwk.ts";
import { checkUseful, keyFormat, keyUsage, slotsOf } from "./key.ts";
import type { CryptoKey, CryptoKeyPair, KeyFormat, KeySlots, KeyUsage } from "./key.ts";
import { octetFamily } from "./okp.ts";
import { rsaFamily } from "./rsa.ts";

const registry: ReadonlyMap<string, Algorithm> = new Map(
  [digests, aesFamily, [hmac], derivations, ellipticFamily, octetFamily, rsaFamily]
    .flat()
    .map((algorithm) => [algorithm.name.toUpperCase(), algorithm]),
);

const keyUsages = sequence(keyUsage);
const optionalLength = nullable(unsignedLong);

/** Throws unless `key` is of this algorithm and may be used so. */
function checkKey(key: KeySlots, algorithm: Algorithm, usage: KeyUsage): void {
  if (key.algorithm.name !== algorithm.name) {
    throw invalidAccess(
      `Requested algorithm "${algorithm.name}" does not match this CryptoKey's algorithm "${key.algorithm.name}".`,
    );
  }
  if (!key.usages.includes(usage)) {
    throw invalidAccess(`Requested key usage "${usage}" does not match any usage listed in this CryptoKey.`);
  }
}

/** The key as bytes or as a JSON Web Key. */
function exported(format: KeyFormat, key: KeySlots): Uint8Array | JsonWebKey {
  const algorithm = registry.get(key.algorithm.name.toUpperCase());
  if (algorithm?.exportKey === undefined) throw notSupported(`${key.algorithm.name} keys cannot be exported`);
  if (!key.extractable) throw invalidAccess(`Attempt to export non-extractable ${key.algorithm.name} key.`);
  return algorithm.exportKey(format, key);
}

function isBytes(data: Uint8Array | JsonWebKey): data is Uint8Array {
  return isBufferSource(data);
}

/** JSON's hooks see none of what is written: neither `toJSON` of user code nor its prototypes. */
function jsonOf(jwk: JsonWebKey): Uint8Array {
  const bare = Object.setPrototypeOf({ ...jwk }, null) as JsonWebKey;
  if (bare.key_ops !== undefined) Object.setPrototypeOf(bare.key_ops, null);
  return ops.textEncode(JSON.stringify(bare));
}

/** "Parse a JWK": what is no JSON object with a `kty` is a DataError. */
function jwkOf(bytes: Uint8Array): JsonWebKey {
  let value: unknown;
  try {
    value = JSON.parse(ops.textDecodeUtf8(bytes, false, false));
  } catch {
    throw dataError("The unwrapped key is not JSON");
  }
  if (!isObject(value)) throw dataError("The unwrapped key is not a JSON Web Key");
  const jwk = jsonWebKey(Object.setPrototypeOf(value, null), "The unwrapped key");
  if (jwk.kty === undefined) throw dataError('Missing "kty" field or corrupt JSON unwrapping key?');
  return jwk;
}

export class SubtleCrypto {
  // Has no state; reading it is the brand check.
  #brand = undefined;

  constructor(token: unknown = undefined) {
    requireInternal(token);
  }

  async encrypt(algorithm: unknown, key: unknown, data: unknown): Promise<ArrayBuffer> {
    this.#brand;
    requireArguments(arguments.length, 3, "SubtleCrypto.encrypt");
    return apply("encrypt", "SubtleCrypto.encrypt", algorithm, key, data);
  }

  async decrypt(algorithm: unknown, key: unknown, data: unknown): Promise<ArrayBuffer> {
    this.#brand;
    requireArguments(arguments.length, 3, "SubtleCrypto.decrypt");
    return apply("decrypt", "SubtleCrypto.decrypt", algorithm, key, data);
  }

  async sign(algorithm: unknown, key: unknown, data: unknown): Promise<ArrayBuffer> {
    this.#brand;
    requireArguments(arguments.length, 3, "SubtleCrypto.sign");
    return apply("sign", "SubtleCrypto.sign", algorithm, key, data);
  }

  async verify(algorithm: unknown, key: unknown, signature: unknown, data: unknown): Promise<boolean> {
    this.#brand;
    const context = "SubtleCrypto.verify";
    requireArguments(arguments.length, 4, context);
    const given = algorithmIdentifier(algorithm, `${context}: algorithm`);
    const slots = slotsOf(cryptoKey(key, `${context}: key`));
    const signatureSource = bufferSource(signature, `${context}: signature`);
    const source = bufferSource(data, `${context}: data`);
    const { algorithm: found, run } = normalize(registry, "verify", given, context);
    checkKey(slots, found, "verify");
    return run(slots, bytesView(signatureSource), bytesView(source));
  }

  async digest(algorithm: unknown, data: unknown): Promise<ArrayBuffer> {
    this.#brand;
    const context = "SubtleCrypto.digest";
    requireArguments(arguments.length, 2, context);
    const given = algorithmIdentifier(algorithm, `${context}: algorithm`);
    const source = bufferSource(data, `${context}: data`);
    return bufferOf(normalize(registry, "digest", given, context).run(bytesView(source)));
  }

  async generateKey(
    algorithm: unknown,
    extractable: unknown,
    keyUsages_: unknown,
  ): Promise<CryptoKey | CryptoKeyPair> {
    this.#brand;
    const context = "SubtleCrypto.generateKey";
    requireArguments(arguments.length, 3, context);
    const given = algorithmIdentifier(algorithm, `${context}: algorithm`);
    const mayLeave = boolean(extractable, `${context}: extractable`);
    const usages = keyUsages(keyUsages_, `${context}: keyUsages`);
    return normalize(registry, "generateKey", given, context).run(mayLeave, usages);
  }

  async deriveKey(
    algorithm: unknown,
    baseKey: unknown,
    derivedKeyType: unknown,
    extractable: unknown,
    keyUsages_: unknown,
  ): Promise<CryptoKey> {
    this.#brand;
    const context = "SubtleCrypto.deriveKey";
    requireArguments(arguments.length, 5, context);
    const given = algorithmIdentifier(algorithm, `${context}: algorithm`);
    const slots = slotsOf(cryptoKey(baseKey, `${context}: baseKey`));
    const wanted = algorithmIdentifier(derivedKeyType, `${context}: derivedKeyType`);
    const mayLeave = boolean(extractable, `${context}: extractable`);
    const usages = keyUsages(keyUsages_, `${context}: keyUsages`);
    const derive = normalize(registry, "deriveBits", given, context);
    const make = normalize(registry, "importKey", wanted, context);
    const length = normalize(registry, "keyLength", wanted, context);
    checkKey(slots, derive.algorithm, "deriveKey");
    const secret = derive.run(slots, length.run());
    return checkUseful(make.run("raw", secret, mayLeave, usages));
  }

  async deriveBits(algorithm: unknown, baseKey: unknown, length: unknown = null): Promise<ArrayBuffer> {
    this.#brand;
    const context = "SubtleCrypto.deriveBits";
    requireArguments(arguments.length, 2, context);
    const given = algorithmIdentifier(algorithm, `${context}: algorithm`);
    const slots = slotsOf(cryptoKey(baseKey, `${context}: baseKey`));
    const bits = optionalLength(length, `${context}: length`);
    const derive = normalize(registry, "deriveBits", given, context);
    checkKey(slots, derive.algorithm, "deriveBits");
    return bufferOf(derive.run(slots, bits));
  }

  async importKey(
    format: unknown,
    keyData: unknown,
    algorithm: unknown,
    extractable: unknown,
    keyUsages_: unknown,
  ): Promise<CryptoKey> {
    this.#brand;
    const context = "SubtleCrypto.importKey";
    requireArguments(arguments.length, 5, context);
    const form = keyFormat(format, `${context}: format`);
    const source = isBufferSource(keyData) ? keyData : jsonWebKey(keyData, `${context}: keyData`);
    const given = algorithmIdentifier(algorithm, `${context}: algorithm`);
    const mayLeave = boolean(extractable, `${context}: extractable`);
    const usages = keyUsages(keyUsages_, `${context}: keyUsages`);
    const { run } = normalize(registry, "importKey", given, context);
    if (isBufferSource(source) !== (form !== "jwk")) {
      throw new TypeError(
        form === "jwk"
          ? 'Import data provided for "jwk" import format must be a JsonWebKey.'
          : 'Import data provided for "raw", "pkcs8", or "spki" import formats must be a buffer source.',
      );
    }
    const data = isBufferSource(source) ? bytesCopy(source) : source;
    return checkUseful(run(form, data, mayLeave, usages));
  }

  async exportKey(format: unknown, key: unknown): Promise<ArrayBuffer | JsonWebKey> {
    this.#brand;
    const context = "SubtleCrypto.exportKey";
    requireArguments(arguments.length, 2, context);
    const form = keyFormat(format, `${context}: format`);
    const data = exported(form, slotsOf(cryptoKey(key, `${context}: key`)));
    // A copy: what is exported may be the key's own bytes.
    return isBytes(data) ? (data.slice().buffer as ArrayBuffer) : data;
  }

  async wrapKey(
    format: unknown,
    key: unknown,
    wrappingKey: unknown,
    wrapAlgorithm: unknown,
  ): Promise<ArrayBuffer> {
    this.#brand;
    const context = "SubtleCrypto.wrapKey";
    requireArguments(arguments.length, 4, context);
    const form = keyFormat(format, `${context}: format`);
    const slots = slotsOf(cryptoKey(key, `${context}: key`));
    const wrapping = slotsOf(cryptoKey(wrappingKey, `${context}: wrappingKey`));
    const given = algorithmIdentifier(wrapAlgorithm, `${context}: wrapAlgorithm`);
    const { algorithm, run } = wrapper("wrapKey", "encrypt", given, context);
    checkKey(wrapping, algorithm, "wrapKey");
    const data = exported(form, slots);
    return bufferOf(run(wrapping, isBytes(data) ? data : jsonOf(data)));
  }

  async unwrapKey(
    format: unknown,
    wrappedKey: unknown,
    unwrappingKey: unknown,
    unwrapAlgorithm: unknown,
    unwrappedKeyAlgorithm: unknown,
    extractable: unknown,
    keyUsages_: unknown,
  ): Promise<CryptoKey> {
    this.#brand;
    const context = "SubtleCrypto.unwrapKey";
    requireArguments(arguments.length, 7, context);
    const form = keyFormat(format, `${context}: format`);
    const source = bufferSource(wrappedKey, `${context}: wrappedKey`);
    const unwrapping = slotsOf(cryptoKey(unwrappingKey, `${context}: unwrappingKey`));
    const given = algorithmIdentifier(unwrapAlgorithm, `${context}: unwrapAlgorithm`);
    const wanted = algorithmIdentifier(unwrappedKeyAlgorithm, `${context}: unwrappedKeyAlgorithm`);
    const mayLeave = boolean(extractable, `${context}: extractable`);
    const usages = keyUsages(keyUsages_, `${context}: keyUsages`);
    const { algorithm, run } = wrapper("unwrapKey", "decrypt", given, context);
    const make = normalize(registry, "importKey", wanted, context);
    checkKey(unwrapping, algorithm, "unwrapKey");
    const bytes = run(unwrapping, bytesView(source));
    return checkUseful(make.run(form, form === "jwk" ? jwkOf(bytes) : bytes, mayLeave, usages));
  }

  /** Workers' own: whether two buffers hold the same, in a time that depends on their length alone. */
  timingSafeEqual(a: unknown, b: unknown): boolean {
    this.#brand;
    requireArguments(arguments.length, 2, "SubtleCrypto.timingSafeEqual");
    const left = bytesView(bufferSource(a, "SubtleCrypto.timingSafeEqual: a"));
    const right = bytesView(bufferSource(b, "SubtleCrypto.timingSafeEqual: b"));
    if (left.length !== right.length) {
      throw new TypeError("Input buffers must have the same byte length.");
    }
    return ops.cryptoTimingSafeEqual(left, right);
  }
}

defineInterface(SubtleCrypto);

function apply(
  usage: "encrypt" | "decrypt" | "sign",
  context: string,
  algorithm: unknown,
  key: unknown,
  data: unknown,
): ArrayBuffer {
  const given = algorithmIdentifier(algorithm, `${context}: algorithm`);
  const slots = slotsOf(cryptoKey(key, `${context}: key`));
  const source = bufferSource(data, `${context}: data`);
  const { algorithm: found, run } = normalize(registry, usage, given, context);
  checkKey(slots, found, usage);
  return bufferOf(run(slots, bytesView(source)));
}

/** Algorithms without an operation of their own for wrapping encrypt keys as they do data. */
function wrapper(
  own: "wrapKey" | "unwrapKey",
  general: "encrypt" | "decrypt",
  given: object,
  context: string,
): Normalized<keyof Pick<Operations, "wrapKey" | "unwrapKey" | "encrypt" | "decrypt">> {
  return find(registry, own, given, context) ?? normalize(registry, general, given, context);
}
