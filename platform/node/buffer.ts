// node:buffer: Buffer, a Uint8Array with text, numbers and comparison.
//
// `Buffer` is a function, because old code calls it without `new`; every instance is a `FastBuffer`,
// whose prototype it shares. There is no pool: each Buffer has memory of its own, so that nothing
// of another is reachable through `.buffer`.
//
// Invariant: memory that is handed out is zeroed, also by `allocUnsafe`.

import { ops } from "../ops.ts";
import { atob, btoa } from "../web/base64.ts";
import { Blob, File } from "../web/blob.ts";
import { inspect } from "../web/inspect.ts";
import type { InspectOptions } from "../web/inspect.ts";
import { isAnyArrayBuffer, isUint8Array } from "./buffer-kinds.ts";
import { numberMethods } from "./buffer-numbers.ts";
import { fill, search } from "./buffer-search.ts";
import { encodings, findEncoding, requireEncoding } from "./buffer-text.ts";
import type { Encoding, EncodingName } from "./buffer-text.ts";
import { invalidArgType, invalidArgValue, invalidBufferSize, invalidState, notImplemented, outOfBounds, outOfRange, requireInteger, requireNumber, requireString } from "./errors.ts";

/** Bytes of the longest Buffer, as in Workers. */
const LENGTH_MAX = 2 ** 31 - 1;

/** Characters of the longest string that the engine makes. */
const STRING_LENGTH_MAX = 2 ** 30 - 2;

/** Bytes that `inspect` shows. */
const INSPECT_BYTES_MAX = 50;

/** Bytes of a Buffer of which `inspect` looks for named properties: it has to list all keys. */
const NAMED_BYTES_MAX = 64 * 1024;

/** Bytes that `transcode` takes, as in Workers. */
const TRANSCODE_BYTES_MAX = 128 * 1024 * 1024 - 1;

const BYTES = ["Buffer", "Uint8Array"];

class FastBuffer extends Uint8Array {}

function allocate(size: number): FastBuffer {
  try {
    return new FastBuffer(size);
  } catch {
    // What the engine throws here is not always an Error.
    throw new RangeError("Array buffer allocation failed");
  }
}

/** The same memory as a Buffer. */
function wrap(bytes: Uint8Array): FastBuffer {
  return new FastBuffer(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length);
}

function requireBytes(value: unknown, name: string): Uint8Array {
  if (!isUint8Array(value)) throw invalidArgType(name, BYTES, value);
  return value;
}

function requireLength(value: unknown): number {
  const size = requireNumber(value, "size");
  if (!(size >= 0 && size <= LENGTH_MAX)) throw outOfRange("size", `>= 0 && <= ${LENGTH_MAX}`, size);
  return Math.trunc(size);
}

// ---- Making ----------------------------------------------------------------------------------

function BufferMaker(this: unknown, value: unknown, encodingOrOffset?: unknown, length?: unknown): FastBuffer {
  if (typeof value !== "number") return from(value, encodingOrOffset, length);
  if (typeof encodingOrOffset === "string") throw invalidArgType("string", ["string"], value);
  return allocate(requireLength(value));
}

function from(value: unknown, encodingOrOffset?: unknown, length?: unknown): FastBuffer {
  if (typeof value === "string") return fromString(value, encodingOrOffset);
  if (typeof value === "object" && value !== null) {
    if (isAnyArrayBuffer(value)) return fromMemory(value, encodingOrOffset, length);
    const plain = plainOf(value);
    if (plain !== undefined) return from(plain, encodingOrOffset, length);
    const made = fromObject(value as ArrayLike<unknown> & { type?: unknown; data?: unknown });
    if (made !== undefined) return made;
    const primitive = (value as { [Symbol.toPrimitive]?: unknown })[Symbol.toPrimitive];
    if (typeof primitive === "function") {
      const text: unknown = Reflect.apply(primitive, value, ["string"]);
      if (typeof text === "string") return fromString(text, encodingOrOffset);
    }
  }
  throw invalidArgType("first argument", ["string", "Buffer", "ArrayBuffer", "Array", "an Array-like Object"], value);
}

/** What `valueOf` gives where it is something else: the text in a String object. */
function plainOf(value: object): unknown {
  const own = (value as { valueOf?: unknown }).valueOf;
  const plain: unknown = typeof own === "function" ? Reflect.apply(own, value, []) : undefined;
  const differs = plain !== null && plain !== value && (typeof plain === "string" || typeof plain === "object");
  return differs ? plain : undefined;
}

function fromString(text: string, encoding: unknown): FastBuffer {
  const found = typeof encoding === "string" && encoding !== "" ? requireEncoding(encoding) : encodings.utf8;
  return wrap(found.encode(text));
}

function fromMemory(memory: ArrayBuffer, offset: unknown, length: unknown): FastBuffer {
  const start = offset === undefined ? 0 : +(offset as number) || 0;
  const room = memory.byteLength - start;
  if (start < 0 || room < 0) throw outOfBounds("offset");
  if (length === undefined) return new FastBuffer(memory, start, room);
  const count = +(length as number);
  if (count > room) throw outOfBounds("length");
  return new FastBuffer(memory, start, count > 0 ? count : 0);
}

function fromObject(value: ArrayLike<unknown> & { type?: unknown; data?: unknown; buffer?: unknown }): FastBuffer | undefined {
  if (value.length !== undefined || isAnyArrayBuffer(value.buffer)) {
    return typeof value.length === "number" ? fromList(value) : allocate(0);
  }
  return value.type === "Buffer" && Array.isArray(value.data) ? fromList(value.data) : undefined;
}

function fromList(list: ArrayLike<unknown>): FastBuffer {
  if (!(list.length > 0)) return allocate(0);
  if (isUint8Array(list)) return new FastBuffer(list);
  const made = allocate(requireLength(list.length));
  for (let index = 0; index < made.length; index++) made[index] = list[index] as number;
  return made;
}

function alloc(size: unknown, value?: unknown, encoding?: unknown): FastBuffer {
  const length = requireLength(size);
  if (encoding !== undefined) requireString(encoding, "encoding");
  const made = allocate(length);
  if (value !== undefined && value !== 0 && length > 0) fill(made, value, encoding, undefined, undefined);
  return made;
}

function concat(list: unknown, length?: unknown): FastBuffer {
  if (!Array.isArray(list)) throw invalidArgType("list", ["Array"], list);
  // As in Workers: nothing joined is nothing, whatever the length.
  if (list.length === 0) return allocate(0);
  const parts = list.map((part: unknown, index) => requireBytes(part, `list[${index}]`));
  const total = length === undefined ? parts.reduce((sum, part) => sum + part.length, 0) : requireInteger(length, "length");
  const made = allocate(requireLength(total));
  let at = 0;
  for (const part of parts) {
    if (at >= made.length) break;
    made.set(part.length > made.length - at ? part.subarray(0, made.length - at) : part, at);
    at += part.length;
  }
  return made;
}

function copyBytesFrom(view: unknown, offset?: unknown, length?: unknown): FastBuffer {
  if (!ArrayBuffer.isView(view) || view instanceof DataView) throw invalidArgType("view", ["TypedArray"], view);
  const list = view as Uint8Array;
  const start = offset === undefined ? 0 : requireInteger(offset, "offset");
  const count = length === undefined ? list.length : requireInteger(length, "length");
  if (start >= list.length) return allocate(0);
  const part = list.subarray(start, start + count);
  return new FastBuffer(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
}

function byteLength(value: unknown, encoding?: unknown): number {
  if (ArrayBuffer.isView(value) || isAnyArrayBuffer(value)) return value.byteLength;
  if (typeof value !== "string") throw invalidArgType("string", ["string", "Buffer", "ArrayBuffer"], value);
  return ((encoding ? findEncoding(encoding) : undefined) ?? encodings.utf8).byteLength(value);
}

// ---- Comparing -------------------------------------------------------------------------------

function order(a: Uint8Array, b: Uint8Array): -1 | 0 | 1 {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    const [left, right] = [a[index] as number, b[index] as number];
    if (left !== right) return left < right ? -1 : 1;
  }
  return a.length === b.length ? 0 : a.length < b.length ? -1 : 1;
}

function compare(a: unknown, b: unknown): -1 | 0 | 1 {
  return order(requireBytes(a, "buf1"), requireBytes(b, "buf2"));
}

function swap(bytes: Uint8Array, size: 2 | 4 | 8): Uint8Array {
  if (bytes.length % size !== 0) throw invalidBufferSize(`${size * 8}-bits`);
  for (let at = 0; at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
  return bytes;
}

// ---- Methods ---------------------------------------------------------------------------------

function slice(bytes: Uint8Array, encoding: Encoding, start: number, end: number): string {
  return start >= end ? "" : encoding.decode(bytes.subarray(start, end));
}

/** A bound of `toString`: what is no number counts as zero. */
function whole(value: unknown): number {
  return Math.trunc(value as number) || 0;
}

function integerOr(value: unknown, otherwise: number): number {
  const number = Math.trunc(+(value as number));
  return Number.isNaN(number) ? otherwise : number;
}

const methods: Record<string, (this: Uint8Array, ...args: never[]) => unknown> = {
  toString(this: Uint8Array, encoding?: unknown, start?: unknown, end?: unknown): string {
    const length = this.length;
    if (start !== undefined && (start as number) >= length) return "";
    const first = (start as number) > 0 ? whole(start) : 0;
    const last = end === undefined || (end as number) > length ? length : whole(end);
    if (last <= first) return "";
    return slice(this, encoding === undefined ? encodings.utf8 : requireEncoding(encoding), first, last);
  },
  write(this: Uint8Array, text: unknown, offset?: unknown, length?: unknown, encoding?: unknown): number {
    if (typeof text !== "string") throw invalidArgType("string", ["string"], text);
    let [at, count, name] = [0, this.length, encoding];
    if (typeof offset === "string" && length === undefined) {
      name = offset;
    } else if (offset !== undefined) {
      at = requireInteger(offset, "offset", 0, this.length);
      count = this.length - at;
      if (typeof length === "string") name = length;
      else if (length !== undefined) count = Math.min(count, requireInteger(length, "length", 0, this.length));
    }
    const found = name ? requireEncoding(name) : encodings.utf8;
    return found.write(text, this.subarray(at, at + count));
  },
  equals(this: Uint8Array, other: unknown): boolean {
    const bytes = requireBytes(other, "otherBuffer");
    return this.length === bytes.length && order(this, bytes) === 0;
  },
  compare(this: Uint8Array, target: unknown, targetStart?: unknown, targetEnd?: unknown, start?: unknown, end?: unknown): number {
    const other = requireBytes(target, "target");
    const otherFirst = targetStart === undefined ? 0 : requireInteger(targetStart, "targetStart");
    const otherLast = targetEnd === undefined ? other.length : requireInteger(targetEnd, "targetEnd", 0, other.length);
    const first = start === undefined ? 0 : requireInteger(start, "sourceStart");
    const last = end === undefined ? this.length : requireInteger(end, "sourceEnd", 0, this.length);
    if (first >= last) return otherFirst >= otherLast ? 0 : -1;
    if (otherFirst >= otherLast) return 1;
    return order(this.subarray(first, last), other.subarray(otherFirst, otherLast));
  },
  copy(this: Uint8Array, target: unknown, targetStart?: unknown, sourceStart?: unknown, sourceEnd?: unknown): number {
    const other = requireBytes(target, "target");
    requireBytes(this, "source");
    const at = targetStart === undefined ? 0 : integerOr(targetStart, 0);
    if (at < 0) throw outOfRange("targetStart", ">= 0", at);
    const first = sourceStart === undefined ? 0 : integerOr(sourceStart, 0);
    const last = sourceEnd === undefined ? this.length : integerOr(sourceEnd, 0);
    if (first < 0) throw outOfRange("sourceStart", ">= 0", first);
    if (last < 0) throw outOfRange("sourceEnd", ">= 0", last);
    if (at >= other.length || first >= last) return 0;
    if (first > this.length) throw outOfRange("sourceStart", `>= 0 && <= ${this.length}`, first);
    const part = this.subarray(first, Math.min(last, first + other.length - at));
    other.set(part, at);
    return part.length;
  },
  slice(this: Uint8Array, start?: number, end?: number): Uint8Array {
    return this.subarray(start, end);
  },
  fill(this: Uint8Array, value?: unknown, offset?: unknown, end?: unknown, encoding?: unknown): Uint8Array {
    // Reading the length refuses what only looks like a Buffer.
    if (this.length > 0) fill(this, value, offset, end, encoding);
    return this;
  },
  indexOf(this: Uint8Array, value: unknown, offset?: unknown, encoding?: unknown): number {
    return search(this, value, offset, encoding, "forward");
  },
  lastIndexOf(this: Uint8Array, value: unknown, offset?: unknown, encoding?: unknown): number {
    return search(this, value, offset, encoding, "backward");
  },
  includes(this: Uint8Array, value: unknown, offset?: unknown, encoding?: unknown): boolean {
    return search(this, value, offset, encoding, "forward") !== -1;
  },
  swap16(this: Uint8Array): Uint8Array {
    return swap(this, 2);
  },
  swap32(this: Uint8Array): Uint8Array {
    return swap(this, 4);
  },
  swap64(this: Uint8Array): Uint8Array {
    return swap(this, 8);
  },
  toJSON(this: Uint8Array): { type: "Buffer"; data: number[] } {
    return { type: "Buffer", data: Array.from(this) };
  },
  ...numberMethods,
};
methods["toLocaleString"] = methods["toString"] as (this: Uint8Array) => unknown;

// `utf8Slice`, `hexWrite` and their kin: undocumented, and used by packages all the same.
for (const [short, encoding] of Object.entries({ ...encodings, ucs2: encodings.utf16le })) {
  if (short === "utf16le") continue;
  methods[`${short}Slice`] = function (this: Uint8Array, start = 0, end = this.length): string {
    if (start < 0 || start > this.length) throw outOfBounds("start");
    if (end < 0 || end > this.length) throw outOfBounds("end");
    return slice(this, encoding, start, end);
  };
  methods[`${short}Write`] = function (this: Uint8Array, text: string, offset = 0, length = this.length - offset): number {
    if (typeof text !== "string") throw invalidArgType("argument", ["string"], text);
    if (offset < 0 || offset > this.length) throw outOfBounds("offset");
    if (length < 0) throw outOfBounds("length");
    return encoding.write(text, this.subarray(offset, Math.min(offset + length, this.length)));
  };
}

function show(this: Uint8Array, _depth: number, options?: InspectOptions): string {
  const bytes = Array.from(this.subarray(0, INSPECT_BYTES_MAX), (byte) => byte.toString(16).padStart(2, "0"));
  let text = bytes.join(" ");
  const more = this.length - INSPECT_BYTES_MAX;
  if (more > 0) text += ` ... ${more} more byte${more > 1 ? "s" : ""}`;
  const extras = this.length > NAMED_BYTES_MAX ? [] : Object.entries(this).slice(this.length);
  if (extras.length > 0) {
    const shown = inspect(Object.fromEntries(extras), { ...options, breakLength: Infinity, compact: true });
    text += `${this.length > 0 ? ", " : ""}${shown.slice(2, -2)}`;
  }
  return `<${this.constructor.name} ${text}>`;
}

/** Joins the function that is called `Buffer` with the class of its instances. */
function assemble(): BufferClass {
  const made = BufferMaker as unknown as typeof FastBuffer;
  const prototype = FastBuffer.prototype;
  const statics = {
    from,
    of: (...items: number[]) => fromList(items),
    alloc,
    allocUnsafe: (size: unknown) => allocate(requireLength(size)),
    allocUnsafeSlow: (size: unknown) => allocate(requireLength(size)),
    isBuffer: (value: unknown) => value instanceof FastBuffer,
    isEncoding: (name: unknown) => typeof name === "string" && name !== "" && findEncoding(name) !== undefined,
    byteLength,
    compare,
    concat,
    copyBytesFrom,
    poolSize: 8192,
  };
  Object.defineProperty(made, "name", { value: "Buffer", configurable: true });
  Object.defineProperty(made, "prototype", { value: prototype, writable: false });
  Object.setPrototypeOf(made, Uint8Array);
  Object.defineProperty(made, Symbol.species, { get: () => FastBuffer, configurable: true });
  Object.assign(made, statics);
  Object.defineProperty(prototype, "constructor", { value: made, writable: true, configurable: true });
  Object.assign(prototype, methods, { [Symbol.for("nodejs.util.inspect.custom")]: show });
  Object.defineProperties(prototype, {
    parent: { get(this: unknown) { return this instanceof FastBuffer ? this.buffer : undefined; }, enumerable: true, configurable: true },
    offset: { get(this: unknown) { return this instanceof FastBuffer ? this.byteOffset : undefined; }, enumerable: true, configurable: true },
  });
  return made as unknown as BufferClass;
}

/** As much of a Buffer's type as the modules here use. */
export interface Buffer extends Uint8Array {
  toString(encoding?: string, start?: number, end?: number): string;
  write(text: string, offset?: number | string, length?: number, encoding?: string): number;
  copy(target: Uint8Array, targetStart?: number, sourceStart?: number, sourceEnd?: number): number;
  equals(other: Uint8Array): boolean;
  subarray(start?: number, end?: number): Buffer;
  readUInt8(offset?: number): number;
  readUInt16BE(offset?: number): number;
  readUInt32BE(offset?: number): number;
  readUInt32LE(offset?: number): number;
}

export interface BufferClass {
  new (value: unknown, encodingOrOffset?: unknown, length?: unknown): Buffer;
  readonly prototype: Buffer;
  from(value: unknown, encodingOrOffset?: unknown, length?: unknown): Buffer;
  of(...items: number[]): Buffer;
  alloc(size: number, fill?: unknown, encoding?: string): Buffer;
  allocUnsafe(size: number): Buffer;
  allocUnsafeSlow(size: number): Buffer;
  isBuffer(value: unknown): value is Buffer;
  isEncoding(name: unknown): name is string;
  byteLength(value: unknown, encoding?: string): number;
  compare(a: Uint8Array, b: Uint8Array): -1 | 0 | 1;
  concat(list: readonly Uint8Array[], length?: number): Buffer;
}

export const Buffer = assemble();

// ---- The rest of the module ------------------------------------------------------------------

function SlowBuffer(size: unknown): FastBuffer {
  return allocate(requireLength(size));
}
Object.setPrototypeOf(SlowBuffer.prototype, Uint8Array.prototype);
Object.setPrototypeOf(SlowBuffer, Uint8Array);

function bytesOf(value: unknown): Uint8Array {
  if (isAnyArrayBuffer(value)) {
    if (value.detached) throw invalidState("Cannot validate on a detached buffer");
    return new Uint8Array(value);
  }
  if (!ArrayBuffer.isView(value)) throw invalidArgType("input", ["ArrayBuffer", "Buffer", "TypedArray"], value);
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

function isUtf8(value: unknown): boolean {
  try {
    ops.textDecodeUtf8(bytesOf(value), true, true);
    return true;
  } catch (error) {
    if ((error as { code?: unknown }).code !== undefined) throw error;
    return false;
  }
}

function isAscii(value: unknown): boolean {
  return bytesOf(value).every((byte) => byte < 0x80);
}

const TRANSCODED: readonly EncodingName[] = ["utf8", "utf16le", "latin1", "ascii"];

function transcodable(name: unknown): Encoding {
  const found = findEncoding(name);
  if (found === undefined || !TRANSCODED.includes(found.name)) {
    throw Object.assign(new Error("Unable to transcode buffer due to unsupported encoding"), { code: "U_ILLEGAL_ARGUMENT_ERROR" });
  }
  return found;
}

/** The text of `source` in another encoding; `?` stands for what that does not have. */
function transcode(source: unknown, fromEncoding: unknown, toEncoding: unknown): FastBuffer {
  const bytes = requireBytes(source, "source");
  const [reader, writer] = [transcodable(fromEncoding), transcodable(toEncoding)];
  if (bytes.length > TRANSCODE_BYTES_MAX) throw invalidArgValue("source", bytes.length, "is too large to transcode");
  const halved = reader.name === "utf16le" && bytes.length % 2 !== 0;
  const malformed = reader.name === "utf8" && writer.name === "utf16le" && !isUtf8(bytes);
  if (halved || malformed) throw new Error("Unable to transcode buffer");
  const text = reader.decode(bytes);
  const most = writer.name === "ascii" ? 0x7f : writer.name === "latin1" ? 0xff : Infinity;
  if (most === Infinity) return wrap(writer.encode(text));
  return fromList(Array.from(text, (character) => ((character.codePointAt(0) as number) > most ? 0x3f : character.charCodeAt(0))));
}

/** There are no object URLs, as in Workers. */
function resolveObjectURL(): never {
  throw notImplemented("buffer.resolveObjectURL");
}

const members: Record<string, unknown> = {
  Blob,
  Buffer,
  File,
  INSPECT_MAX_BYTES: INSPECT_BYTES_MAX,
  SlowBuffer,
  atob,
  btoa,
  constants: { MAX_LENGTH: LENGTH_MAX, MAX_STRING_LENGTH: STRING_LENGTH_MAX },
  isAscii,
  isUtf8,
  kMaxLength: LENGTH_MAX,
  kStringMaxLength: STRING_LENGTH_MAX,
  resolveObjectURL,
  transcode,
};

export const bufferModule: Record<string, unknown> = { ...members, default: members };
