// Cipheriv and Decipheriv, what is known about ciphers, and RSA as a cipher.
//
// Invariants: IVs, additional data and tags are copied when they are given; a native cipher is freed
// when it is finished, or by the collector.

import { ops } from "../../ops.ts";
import { checkNumber, checkObject, checkText, checkUint32, failure, missing } from "../checks.ts";
import { invalidArgType } from "../errors.ts";
import { Transform } from "../stream/transform.ts";
import { bytesOf, encoded, findDigest, isBytes, toBuffer } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { privateMaterial, publicMaterial, secretBytes } from "./keys.ts";
import type { Material, RsaMaterial } from "./material.ts";

interface CipherKind {
  readonly name: string;
  readonly nid: number;
  /** As the ops name them. */
  readonly block: string;
  readonly mode: string;
  readonly keyLength: number;
  readonly ivLength: number;
  readonly blockSize: number;
}

const kind = (name: string, nid: number, block: string, mode: string, keyLength: number, ivLength: number, blockSize: number): CipherKind => ({
  name, nid, block, mode, keyLength, ivLength, blockSize,
});

/** Numbers (`nid`) are OpenSSL's. */
const KINDS: readonly CipherKind[] = [
  kind("aes-128-cbc", 419, "aes-128", "cbc", 16, 16, 16),
  kind("aes-128-ccm", 896, "aes-128", "ccm", 16, 12, 1),
  kind("aes-128-ctr", 904, "aes-128", "ctr", 16, 16, 1),
  kind("aes-128-ecb", 418, "aes-128", "ecb", 16, 0, 16),
  kind("aes-128-gcm", 895, "aes-128", "gcm", 16, 12, 1),
  kind("aes-128-ofb", 420, "aes-128", "ofb", 16, 16, 1),
  kind("aes-192-cbc", 423, "aes-192", "cbc", 24, 16, 16),
  kind("aes-192-ccm", 899, "aes-192", "ccm", 24, 12, 1),
  kind("aes-192-ctr", 905, "aes-192", "ctr", 24, 16, 1),
  kind("aes-192-ecb", 422, "aes-192", "ecb", 24, 0, 16),
  kind("aes-192-gcm", 898, "aes-192", "gcm", 24, 12, 1),
  kind("aes-192-ofb", 424, "aes-192", "ofb", 24, 16, 1),
  kind("aes-256-cbc", 427, "aes-256", "cbc", 32, 16, 16),
  kind("aes-256-ccm", 902, "aes-256", "ccm", 32, 12, 1),
  kind("aes-256-ctr", 906, "aes-256", "ctr", 32, 16, 1),
  kind("aes-256-ecb", 426, "aes-256", "ecb", 32, 0, 16),
  kind("aes-256-gcm", 901, "aes-256", "gcm", 32, 12, 1),
  kind("aes-256-ofb", 428, "aes-256", "ofb", 32, 16, 1),
  kind("chacha20-poly1305", 1018, "chacha20", "poly1305", 32, 12, 1),
  kind("des-cbc", 31, "des", "cbc", 8, 8, 8),
  kind("des-ecb", 29, "des", "ecb", 8, 0, 8),
  kind("des-ede", 32, "des-ede", "ecb", 16, 0, 8),
  kind("des-ede-cbc", 43, "des-ede", "cbc", 16, 8, 8),
  kind("des-ede3", 33, "des-ede3", "ecb", 24, 0, 8),
  kind("des-ede3-cbc", 44, "des-ede3", "cbc", 24, 8, 8),
];

const ALIASES: ReadonlyMap<string, string> = new Map([
  ["aes128", "aes-128-cbc"],
  ["aes192", "aes-192-cbc"],
  ["aes256", "aes-256-cbc"],
  ["id-aes128-gcm", "aes-128-gcm"],
  ["id-aes192-gcm", "aes-192-gcm"],
  ["id-aes256-gcm", "aes-256-gcm"],
  ["3des", "des-ede3-cbc"],
  ["des3", "des-ede3-cbc"],
]);

function findKind(name: string): CipherKind | undefined {
  const lower = name.toLowerCase();
  const wanted = ALIASES.get(lower) ?? lower;
  return KINDS.find((each) => each.name === wanted);
}

export function getCiphers(): string[] {
  return KINDS.map(({ name }) => name);
}

function isAuthenticated({ mode }: CipherKind): boolean {
  return mode === "gcm" || mode === "ccm" || mode === "poly1305";
}

export function getCipherInfo(nameOrId: unknown, options: unknown = {}): Record<string, unknown> | undefined {
  if (typeof nameOrId !== "string" && typeof nameOrId !== "number") {
    throw invalidArgType("nameOrId", ["string", "number"], nameOrId);
  }
  const given = checkObject(options, "options");
  const ivLength = given["ivLength"] === undefined ? undefined : checkNumber(given["ivLength"], "options.ivLength");
  const keyLength = given["keyLength"] === undefined ? undefined : checkNumber(given["keyLength"], "options.keyLength");
  const found = typeof nameOrId === "string" ? findKind(nameOrId) : KINDS.find(({ nid }) => nid === nameOrId);
  if (found === undefined || (keyLength !== undefined && keyLength !== found.keyLength)) return undefined;
  if (ivLength !== undefined && !isIvLength(found, ivLength)) return undefined;
  const { name, nid, blockSize, mode } = found;
  return {
    name,
    nid,
    blockSize,
    ivLength: ivLength ?? found.ivLength,
    keyLength: found.keyLength,
    mode: mode === "poly1305" ? "stream" : mode,
  };
}

function isIvLength(kind: CipherKind, length: number): boolean {
  if (kind.mode === "ccm") return length >= 7 && length <= 13;
  if (kind.mode === "gcm") return length > 0;
  return length === kind.ivLength;
}

// ---- Cipheriv and Decipheriv -----------------------------------------------------------------

type Direction = "cipher" | "decipher";

interface State {
  readonly direction: Direction;
  readonly kind: CipherKind;
  handle: number | undefined;
  /** Bytes of the tag, if told; GCM's may be left open. */
  tagBytes: number | undefined;
  /** What was set, of a decipher; what came out, of a cipher. */
  tag: Uint8Array | undefined;
}

const kCipher: unique symbol = Symbol("cipher");
const dropped = new FinalizationRegistry<number>((handle) => ops.cryptoCipherFree(handle));

export interface Cipheriv extends Transform {
  [kCipher]: State;
}
type CipherClass = {
  new (algorithm: unknown, key: unknown, iv: unknown, options?: unknown): Cipheriv;
  (algorithm: unknown, key: unknown, iv: unknown, options?: unknown): Cipheriv;
  prototype: Cipheriv;
};

const KEY_KINDS = ["string", "Buffer", "TypedArray", "DataView", "KeyObject", "CryptoKey"];

function keyOf(key: unknown): Uint8Array {
  if (key === null || key === undefined) throw invalidArgType("key", KEY_KINDS, key);
  return secretBytes(key, "key");
}

function ivOf(iv: unknown, kind: CipherKind | undefined): Uint8Array {
  // Null is Node.js's word for none, and right for ECB alone.
  if (iv === null && (kind === undefined || kind.ivLength === 0)) return new Uint8Array(0);
  if (typeof iv === "string" || isBytes(iv)) return bytesOf(iv, "iv").slice();
  throw invalidArgType("iv", ["string", "Buffer", "TypedArray", "DataView", "null"], iv);
}

const GCM_TAGS = [4, 8, 12, 13, 14, 15, 16];

function invalidTag(length: number): Error {
  return failure(TypeError, "ERR_CRYPTO_INVALID_AUTH_TAG", `Invalid authentication tag length: ${length}`);
}

function checkTagBytes(kind: CipherKind, asked: number | undefined): number | undefined {
  if (!isAuthenticated(kind)) return undefined;
  if (kind.mode === "ccm" && asked === undefined) {
    throw failure(TypeError, "ERR_CRYPTO_INVALID_AUTH_TAG", `authTagLength required for ${kind.name}`);
  }
  if (asked === undefined) return kind.mode === "poly1305" ? 16 : undefined;
  const isRight = kind.mode === "gcm" ? GCM_TAGS.includes(asked)
    : kind.mode === "ccm" ? asked >= 4 && asked <= 16 && asked % 2 === 0
      : asked >= 1 && asked <= 16;
  if (!isRight) throw invalidTag(asked);
  return asked;
}

function start(direction: Direction, algorithm: unknown, key: unknown, iv: unknown, given: unknown): State {
  const name = checkText(algorithm, "algorithm");
  const secret = keyOf(key);
  const kind = findKind(name);
  const vector = ivOf(iv, kind);
  const options = (given ?? {}) as Record<string, unknown>;
  const asked = options["authTagLength"] ?? options["authLengthTag"];
  const length = asked === undefined || asked === null ? undefined : checkUint32(asked, "options.authTagLength");
  if (kind === undefined) throw failure(Error, "ERR_CRYPTO_UNKNOWN_CIPHER", `Unknown or unsupported cipher: ${name}`);
  if (secret.length !== kind.keyLength) throw failure(RangeError, "ERR_CRYPTO_INVALID_KEYLEN", "Invalid key length");
  if (!isIvLength(kind, vector.length)) throw failure(TypeError, "ERR_CRYPTO_INVALID_IV", "Invalid initialization vector");
  const tagBytes = checkTagBytes(kind, length);
  const handle = ops.cryptoCipherNew(direction === "cipher", kind.block, kind.mode, secret, vector, tagBytes);
  return { direction, kind, handle, tagBytes, tag: undefined };
}

function live(state: State): number {
  if (state.handle === undefined) {
    throw failure(Error, "ERR_CRYPTO_INVALID_STATE", "Cipher/decipher context has already been finalized");
  }
  return state.handle;
}

type Done = (error?: unknown) => void;

function update(cipher: Cipheriv, bytes: Uint8Array): Uint8Array {
  return ops.cryptoCipherUpdate(live(cipher[kCipher]), bytes);
}

function finish(cipher: Cipheriv): Uint8Array {
  const state = cipher[kCipher];
  const handle = live(state);
  // A wrong tag must not be followed by another try.
  state.handle = undefined;
  dropped.unregister(cipher);
  const [rest, tag] = ops.cryptoCipherFinish(handle);
  if (tag !== undefined) state.tag = tag;
  return rest;
}

const members = {
  update(this: Cipheriv, data: unknown, inputEncoding?: unknown, outputEncoding?: unknown): Bytes | string {
    if (typeof data !== "string" && !isBytes(data)) throw invalidArgType("data", ["string", "Buffer", "TypedArray", "DataView"], data);
    return encoded(update(this, bytesOf(data, "data", inputEncoding)), outputEncoding);
  },

  final(this: Cipheriv, outputEncoding?: unknown): Bytes | string {
    return encoded(finish(this), outputEncoding);
  },

  setAutoPadding(this: Cipheriv, padding: unknown = true): Cipheriv {
    ops.cryptoCipherPadding(live(this[kCipher]), Boolean(padding));
    return this;
  },

  setAAD(this: Cipheriv, buffer: unknown, options: unknown = {}): Cipheriv {
    const { plaintextLength, encoding } = checkObject(options, "options");
    if (plaintextLength !== undefined) checkUint32(plaintextLength, "options.plaintextLength");
    if (encoding !== undefined) checkText(encoding, "options.encoding");
    const state = this[kCipher];
    if (state.kind.mode === "ccm" && plaintextLength === undefined) {
      throw failure(TypeError, "ERR_MISSING_ARGS", "options.plaintextLength is required for CCM mode with AAD");
    }
    ops.cryptoCipherAdditional(live(state), bytesOf(buffer, "buffer", encoding).slice());
    return this;
  },

  _transform(this: Cipheriv, chunk: unknown, encoding: unknown, done: Done): void {
    try {
      this.push(toBuffer(update(this, bytesOf(chunk, "chunk", encoding))));
    } catch (error) {
      done(error);
      return;
    }
    done();
  },

  _flush(this: Cipheriv, done: Done): void {
    try {
      this.push(toBuffer(finish(this)));
    } catch (error) {
      done(error);
      return;
    }
    done();
  },
};

function define(name: string, direction: Direction, methods: object): CipherClass {
  const Class = function (this: Cipheriv | undefined, algorithm: unknown, key: unknown, iv: unknown, options?: unknown): Cipheriv {
    if (!(this instanceof (Class as unknown as { new (): Cipheriv }))) return new Class(algorithm, key, iv, options);
    this[kCipher] = start(direction, algorithm, key, iv, options);
    dropped.register(this, live(this[kCipher]), this);
    Reflect.apply(Transform as never, this, [options]);
    return this;
  } as unknown as CipherClass;
  Object.defineProperty(Class, "name", { value: name, configurable: true });
  Object.setPrototypeOf(Class.prototype, Transform.prototype);
  Object.setPrototypeOf(Class, Transform);
  Object.assign(Class.prototype, members, methods);
  return Class;
}

export const Cipheriv: CipherClass = define("Cipheriv", "cipher", {
  getAuthTag(this: Cipheriv): Bytes {
    const state = this[kCipher];
    if (state.handle !== undefined || state.tag === undefined) {
      throw failure(Error, "ERR_CRYPTO_INVALID_STATE", "Auth tag is only available once cipher context has been finalized");
    }
    return toBuffer(state.tag.slice());
  },
});

export const Decipheriv: CipherClass = define("Decipheriv", "decipher", {
  setAuthTag(this: Cipheriv, tag: unknown, encoding?: unknown): Cipheriv {
    const state = this[kCipher];
    const handle = live(state);
    const bytes = bytesOf(tag, "buffer", encoding).slice();
    if (!isAuthenticated(state.kind)) {
      throw failure(Error, "ERR_CRYPTO_INVALID_STATE", "Cipher does not support authenticated mode");
    }
    if (state.tag !== undefined) throw failure(Error, "ERR_CRYPTO_INVALID_STATE", "Auth tag is already set");
    const isRight = state.tagBytes === undefined ? GCM_TAGS.includes(bytes.length) : bytes.length === state.tagBytes;
    if (!isRight) throw invalidTag(bytes.length);
    ops.cryptoCipherTag(handle, bytes);
    state.tag = bytes;
    return this;
  },
});

export function createCipheriv(algorithm: unknown, key: unknown, iv: unknown, options?: unknown): Cipheriv {
  return new Cipheriv(algorithm, key, iv, options);
}

export function createDecipheriv(algorithm: unknown, key: unknown, iv: unknown, options?: unknown): Cipheriv {
  return new Decipheriv(algorithm, key, iv, options);
}

// ---- RSA as a cipher -------------------------------------------------------------------------

const PKCS1 = 1;
const NONE = 3;
const OAEP = 4;

interface Padding {
  readonly padding: number;
  readonly hash: string;
  readonly label: Uint8Array | undefined;
}

function paddingOf(key: unknown, usual: number): Padding {
  const options = (typeof key === "object" && key !== null ? key : {}) as Record<string, unknown>;
  const { padding = usual, oaepHash = "sha1", oaepLabel, encoding = "utf8" } = options;
  const number = checkNumber(padding, "options.padding");
  const hash = checkText(oaepHash, "options.oaepHash");
  if (oaepLabel !== undefined && typeof oaepLabel !== "string" && !isBytes(oaepLabel)) {
    throw invalidArgType("options.oaepLabel", ["string", "Buffer", "TypedArray", "DataView", "ArrayBuffer"], oaepLabel);
  }
  const label = oaepLabel === undefined ? undefined : bytesOf(oaepLabel, "options.oaepLabel", encoding);
  return { padding: number, hash, label };
}

function requireRsa(material: Material): RsaMaterial {
  if (material.kind !== "rsa") throw new Error("publicEncrypt() currently only supports RSA keys");
  return material;
}

type Work = "publicEncrypt" | "privateDecrypt" | "privateEncrypt" | "publicDecrypt";

function apply(work: Work, material: Material, key: unknown, bytes: Uint8Array): Bytes {
  const rsa = requireRsa(material);
  const isSignature = work === "privateEncrypt" || work === "publicDecrypt";
  const { padding, hash, label } = paddingOf(key, isSignature ? PKCS1 : OAEP);
  const der = work.startsWith("private") ? (rsa.secret as Uint8Array) : rsa.open;
  const digest = findDigest(hash);
  if (digest === undefined) throw failure(Error, "ERR_OSSL_EVP_INVALID_DIGEST", "Unsupported hash digest");
  if (padding === OAEP && !isSignature) {
    return toBuffer(work === "publicEncrypt"
      ? ops.cryptoRsaEncrypt(digest.name, label ?? new Uint8Array(0), der, bytes)
      : ops.cryptoRsaDecrypt(digest.name, label ?? new Uint8Array(0), der, bytes));
  }
  if (padding !== PKCS1 && padding !== NONE) throw new Error("Failed to set the padding");
  if (label !== undefined && !isSignature) throw new Error("Failed to set the OAEP label");
  return toBuffer(ops.cryptoRsaApply(work, padding === PKCS1 ? "pkcs1" : "none", der, bytes));
}

function dataOf(key: unknown, buffer: unknown): Uint8Array {
  const encoding = typeof key === "object" && key !== null ? (key as { encoding?: unknown }).encoding : undefined;
  return bytesOf(buffer, "buffer", encoding);
}

function define2(work: Work): (key?: unknown, buffer?: unknown) => Bytes {
  const isPrivate = work.startsWith("private");
  const named = {
    [work](key?: unknown, buffer?: unknown): Bytes {
      if (key === undefined) throw missing(isPrivate ? "privateKey" : "key");
      if (buffer === undefined) throw missing("buffer");
      const material = isPrivate ? privateMaterial(key) : publicMaterial(key);
      return apply(work, material, key, dataOf(key, buffer));
    },
  };
  return named[work] as (key?: unknown, buffer?: unknown) => Bytes;
}

export const publicEncrypt = define2("publicEncrypt");
export const privateDecrypt = define2("privateDecrypt");
export const privateEncrypt = define2("privateEncrypt");
export const publicDecrypt = define2("publicDecrypt");
