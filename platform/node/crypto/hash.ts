// Hash and Hmac, streams that digest what is written to them, and `hash()` for one go.
//
// HMAC (RFC 2104) is put together from two digests, so that it can be fed in pieces.
//
// Invariant: a native digest is freed when it is finished, or by the collector.

import { ops } from "../../ops.ts";
import { checkText, checkUint32, failure, invalidValue } from "../checks.ts";
import { invalidArgType, unknownEncoding } from "../errors.ts";
import { Transform } from "../stream/transform.ts";
import { findEncoding } from "../buffer-text.ts";
import { bytesOf, concat, digestOf, encoded, findDigest, isBytes } from "./bytes.ts";
import type { Bytes, Digest } from "./bytes.ts";
import { secretBytes } from "./keys.ts";

const dropped = new FinalizationRegistry<number[]>((handles) => handles.forEach((handle) => ops.cryptoHashFree(handle)));

/** A digest under way: one native one, or the two of `md5-sha1`. */
export class Running {
  readonly #kind: Digest;
  #handles: number[];

  constructor(kind: Digest, handles?: number[]) {
    this.#kind = kind;
    const names = kind.name === "MD5-SHA1" ? ["MD5", "SHA-1"] : [kind.name];
    this.#handles = handles ?? names.map((name) => ops.cryptoHashNew(name));
    dropped.register(this, this.#handles, this);
  }

  update(bytes: Uint8Array): void {
    for (const handle of this.#handles) ops.cryptoHashUpdate(handle, bytes);
  }

  copy(): Running {
    return new Running(this.#kind, this.#handles.map((handle) => ops.cryptoHashCopy(handle)));
  }

  finish(): Uint8Array {
    dropped.unregister(this);
    const parts = this.#handles.map((handle) => ops.cryptoHashFinish(handle));
    this.#handles = [];
    return parts.length === 1 ? (parts[0] as Uint8Array) : concat(parts);
  }
}

const kState: unique symbol = Symbol("state");

interface State {
  readonly kind: Digest;
  running: Running;
  /** Bytes that `digest()` gives, where that was asked for. */
  readonly length: number | undefined;
  finished: Uint8Array | undefined;
}

export interface Hash extends Transform {
  [kState]: State;
  update(data: unknown, encoding?: string): this;
  digest(encoding?: string): Bytes | string;
  copy(options?: unknown): Hash;
}

type HashClass = { new (algorithm: unknown, options?: unknown): Hash; (algorithm: unknown, options?: unknown): Hash; prototype: Hash };

function finalized(): Error {
  return failure(Error, "ERR_CRYPTO_HASH_FINALIZED", "Digest already called");
}

function lengthOption(options: unknown): number | undefined {
  if (typeof options !== "object" || options === null) return undefined;
  const { outputLength } = options as { outputLength?: unknown };
  return outputLength === undefined ? undefined : checkUint32(outputLength, "options.outputLength");
}

function unsupported(): Error {
  return failure(Error, "ERR_OSSL_EVP_UNSUPPORTED", "Digest method not supported");
}

/** None of the digests here can give more or less than it has. */
function checkLength(kind: Digest, length: number | undefined): void {
  if (length !== undefined && length !== kind.bytes && length !== 0) {
    throw failure(Error, "ERR_OSSL_EVP_NOT_XOF_OR_INVALID_LENGTH", "Unsupported state or unable to set output length");
  }
}

export const Hash = function (this: Hash | undefined, algorithm: unknown, options?: unknown): Hash {
  if (!(this instanceof (Hash as unknown as { new (): Hash }))) return new Hash(algorithm, options);
  const name = checkText(algorithm, "algorithm");
  const length = lengthOption(options);
  const kind = findDigest(name);
  if (kind === undefined) throw unsupported();
  checkLength(kind, length);
  this[kState] = { kind, running: new Running(kind), length, finished: undefined };
  Reflect.apply(Transform as never, this, [options]);
  return this;
} as unknown as HashClass;
Object.defineProperty(Hash, "name", { value: "Hash", configurable: true });
Object.setPrototypeOf(Hash.prototype, Transform.prototype);
Object.setPrototypeOf(Hash, Transform);

type Done = (error?: unknown) => void;

function dataBytes(data: unknown, encoding: unknown): Uint8Array {
  if (typeof data === "string" && typeof encoding === "string" && encoding !== "buffer" && findEncoding(encoding) === undefined) {
    throw unknownEncoding(encoding);
  }
  if (typeof data !== "string" && !ArrayBuffer.isView(data)) {
    throw invalidArgType("data", ["string", "Buffer", "TypedArray", "DataView"], data);
  }
  if (encoding === "hex" && typeof data === "string" && data.length % 2 !== 0) {
    throw invalidValue("encoding", encoding, `is invalid for data of length ${data.length}`);
  }
  return bytesOf(data, "data", encoding);
}

Object.assign(Hash.prototype, {
  copy(this: Hash, options?: unknown): Hash {
    const state = this[kState];
    if (state.finished !== undefined) throw finalized();
    const given = lengthOption(options);
    checkLength(state.kind, given);
    const copy = Object.create(Hash.prototype) as Hash;
    copy[kState] = { kind: state.kind, running: state.running.copy(), length: given ?? state.length, finished: undefined };
    Reflect.apply(Transform as never, copy, [options]);
    return copy;
  },

  _transform(this: Hash, chunk: unknown, encoding: unknown, done: Done): void {
    this[kState].running.update(bytesOf(chunk, "chunk", encoding));
    done();
  },

  _flush(this: Hash, done: Done): void {
    this.push(this.digest());
    done();
  },

  update(this: Hash, data: unknown, encoding?: string): Hash {
    const state = this[kState];
    if (state.finished !== undefined) throw finalized();
    state.running.update(dataBytes(data, encoding));
    return this;
  },

  digest(this: Hash, encoding?: string): Bytes | string {
    const state = this[kState];
    if (state.finished !== undefined) throw finalized();
    const digest = state.running.finish();
    state.finished = state.length === 0 ? digest.subarray(0, 0) : digest;
    return encoded(state.finished, encoding);
  },
});

export function createHash(algorithm: unknown, options?: unknown): Hash {
  return new Hash(algorithm, options);
}

/** The digest of `data` in one go. */
export function hash(algorithm: unknown, data: unknown, outputEncoding: unknown = "hex"): Bytes | string {
  const name = checkText(algorithm, "algorithm");
  const encoding = typeof outputEncoding === "object" && outputEncoding !== null
    ? (outputEncoding as { outputEncoding?: unknown }).outputEncoding ?? "hex"
    : outputEncoding;
  checkText(encoding, "outputEncoding");
  if (typeof data !== "string" && !isBytes(data)) throw invalidArgType("data", ["string", "Buffer", "TypedArray", "DataView"], data);
  const kind = findDigest(name);
  if (kind === undefined) throw unsupported();
  if (encoding !== "buffer" && findEncoding(encoding) === undefined) throw invalidValue("outputEncoding", encoding);
  return encoded(digestOf(kind, bytesOf(data, "data")), encoding);
}

// ---- Hmac ------------------------------------------------------------------------------------

interface HmacState {
  inner: Running;
  readonly outer: Running;
  isFinished: boolean;
}

export interface Hmac extends Transform {
  [kHmac]: HmacState;
  update(data: unknown, encoding?: string): this;
  digest(encoding?: string): Bytes | string;
}

const kHmac: unique symbol = Symbol("hmac");

type HmacClass = {
  new (algorithm: unknown, key: unknown, options?: unknown): Hmac;
  (algorithm: unknown, key: unknown, options?: unknown): Hmac;
  prototype: Hmac;
};

function padOf(key: Uint8Array, kind: Digest, mask: number): Running {
  const pad = new Uint8Array(kind.blockBytes).fill(mask);
  key.forEach((byte, index) => (pad[index] = byte ^ mask));
  const running = new Running(kind);
  running.update(pad);
  return running;
}

export const Hmac = function (this: Hmac | undefined, algorithm: unknown, key: unknown, options?: unknown): Hmac {
  if (!(this instanceof (Hmac as unknown as { new (): Hmac }))) return new Hmac(algorithm, key, options);
  const name = checkText(algorithm, "hmac");
  if (key === null || key === undefined) {
    throw invalidArgType("key", ["string", "ArrayBuffer", "Buffer", "ArrayBufferView", "KeyObject", "CryptoKey"], key);
  }
  const encoding = (options as { encoding?: unknown } | undefined)?.encoding;
  if (encoding !== undefined && encoding !== null) checkText(encoding, "options.encoding");
  let secret = secretBytes(key, "key", encoding);
  const kind = findDigest(name);
  if (kind === undefined) throw failure(Error, "ERR_CRYPTO_INVALID_DIGEST", `Invalid digest: ${name}`);
  if (secret.length > kind.blockBytes) secret = digestOf(kind, secret);
  this[kHmac] = { inner: padOf(secret, kind, 0x36), outer: padOf(secret, kind, 0x5c), isFinished: false };
  Reflect.apply(Transform as never, this, [options]);
  return this;
} as unknown as HmacClass;
Object.defineProperty(Hmac, "name", { value: "Hmac", configurable: true });
Object.setPrototypeOf(Hmac.prototype, Transform.prototype);
Object.setPrototypeOf(Hmac, Transform);

Object.assign(Hmac.prototype, {
  update(this: Hmac, data: unknown, encoding?: string): Hmac {
    if (this[kHmac].isFinished) throw finalized();
    this[kHmac].inner.update(dataBytes(data, encoding));
    return this;
  },

  digest(this: Hmac, encoding?: string): Bytes | string {
    const state = this[kHmac];
    // As in Node.js: a second digest of an Hmac is empty, not an error.
    if (state.isFinished) return encoded(new Uint8Array(0), encoding);
    state.isFinished = true;
    state.outer.update(state.inner.finish());
    return encoded(state.outer.finish(), encoding);
  },

  _transform: function (this: Hmac, chunk: unknown, encoding: unknown, done: Done): void {
    this[kHmac].inner.update(bytesOf(chunk, "chunk", encoding));
    done();
  },

  _flush(this: Hmac, done: Done): void {
    this.push(this.digest());
    done();
  },
});

/** HMAC in one go, also of the digest that the ops do not have. */
export function hmacOf(kind: Digest, key: Uint8Array, bytes: Uint8Array): Uint8Array {
  if (kind.name !== "MD5-SHA1") return ops.cryptoHmac(kind.name, key, bytes);
  const secret = key.length > kind.blockBytes ? digestOf(kind, key) : key;
  const [inner, outer] = [padOf(secret, kind, 0x36), padOf(secret, kind, 0x5c)];
  inner.update(bytes);
  outer.update(inner.finish());
  return outer.finish();
}

export function createHmac(algorithm: unknown, key: unknown, options?: unknown): Hmac {
  return new Hmac(algorithm, key, options);
}
