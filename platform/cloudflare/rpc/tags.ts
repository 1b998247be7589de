// The codec's alphabet and its bounds. Both directions import it, nothing else defines a byte.
//
// A value is one tag byte and what it needs. The two commonest values are a tag by themselves:
// 0x80..0xff are the integers 0..127, 0x60..0x7f start a Latin-1 string of 0..31 chars. Every
// object gets the next number when it begins; `Ref` names one seen before, so that cycles and
// sharing survive. Things that are not data are `External`: an index into the list that travels
// beside the bytes.
//
// Invariant: a tag keeps its number: what Durable Objects store is in this form, behind a version byte
// (`actors/storage.ts`). On the wire there is none, since encoder and decoder ship in one binary.

export const INT_INLINE = 0x80;
export const INT_INLINE_MAX = 0x7f;
export const STRING_INLINE = 0x60;
export const STRING_INLINE_MAX = 0x1f;

export const Tag = {
  Undefined: 0,
  Null: 1,
  True: 2,
  False: 3,
  /** Zigzag varint. */
  Int: 4,
  /** Eight bytes, little endian. */
  Double: 5,
  /** Sign byte, varint byte count, magnitude, least significant byte first. */
  BigInt: 6,
  /** Varint count, one byte a char. */
  Latin1: 7,
  /** Varint count of code units, two bytes each; keeps lone surrogates. */
  Utf16: 8,
  Ref: 9,
  /** Key and value each, until the key that is none. */
  Object: 10,
  /** Varint length, then that many values or `Hole`. */
  Array: 11,
  /** Inside an array a missing element; behind a Map's or Set's entries their end. */
  Hole: 12,
  /** Varint length, then key and value each, as an object's: many holes, or named properties. */
  SparseArray: 13,
  Date: 14,
  RegExp: 15,
  /** Key and value each, until `Hole`. */
  Map: 16,
  /** Values, until `Hole`. */
  Set: 17,
  ArrayBuffer: 18,
  ResizableArrayBuffer: 19,
  /** Kind byte, buffer value, varint offset, varint length + 1 (0 follows the buffer). */
  View: 20,
  /** Kind byte, flags byte, then what the flags say. */
  Error: 21,
  DomException: 22,
  /** A boxed primitive: the primitive follows. */
  Boxed: 23,
  /** Varint index into the externals. */
  External: 24,
  /** Varint index into the externals of a disposer, then the value it belongs to. Root only. */
  Disposable: 25,
  Headers: 26,
  Request: 27,
  Response: 28,
  Blob: 29,
  File: 30,
  Url: 31,
  UrlSearchParams: 32,
  FormData: 33,
  AbortSignal: 34,
  /** Varint index into the externals of an ArrayBuffer that goes beside the bytes. Never stored. */
  Beside: 35,
} as const;

/** A key is a varint whose low two bits say what it is. */
export const Key = {
  /** The rest is the number of a key that came before. */
  Seen: 0,
  /** The rest is a count of chars, one byte each. */
  Latin1: 1,
  /** The rest is a count of code units, two bytes each. */
  Utf16: 2,
  /** No more keys. */
  End: 3,
} as const;

export const ERROR_KINDS = [
  "Error",
  "EvalError",
  "RangeError",
  "ReferenceError",
  "SyntaxError",
  "TypeError",
  "URIError",
  "AggregateError",
] as const;

/** Which optional parts of an error follow, in this order. */
export const ErrorPart = { Message: 1, Stack: 2, Name: 4, Cause: 8, Errors: 16, Properties: 32 } as const;

export const VIEW_KINDS = [
  "DataView",
  "Int8Array",
  "Uint8Array",
  "Uint8ClampedArray",
  "Int16Array",
  "Uint16Array",
  "Int32Array",
  "Uint32Array",
  "Float16Array",
  "Float32Array",
  "Float64Array",
  "BigInt64Array",
  "BigUint64Array",
] as const;

/** Bytes of one message: Cloudflare's documented limit. In step with `wire/src/bounds.rs`. */
export const MESSAGE_BYTES_MAX = 32 * 1024 * 1024;
/** Bytes from which on an ArrayBuffer goes beside its message: below, a frame of its own costs more than
 * the copies that it saves. */
export const BESIDE_BYTES_MIN = 64 * 1024;
/** Bytes of a Worker's serialised `env`. In step with `wire/src/bounds.rs`. */
export const ENV_BYTES_MAX = 1024 * 1024;
/** Stubs, streams and the like in one message. In step with `wire/src/bounds.rs`. */
export const EXTERNALS_MAX = 1024;
/** Levels of nesting. A level costs both sides a few stack frames; the engine's stack has room
 * for several times as many. */
export const VALUE_DEPTH_MAX = 1000;
/** Bytes that a resizable ArrayBuffer may ask its receiver to reserve. */
export const RESIZABLE_BYTES_MAX = 256 * 1024 * 1024;
/** Chars of a remote stack that are kept. */
export const STACK_CHARS_MAX = 8192;
