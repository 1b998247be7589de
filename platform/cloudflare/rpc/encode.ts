// Values to bytes. The other direction is `decode.ts`, the alphabet `tags.ts`.
//
// Takes every structured-clonable type. What is not data (stubs, functions, streams, platform
// objects) is the `EncodeHost`'s to recognise: it gives an `External` that travels beside the
// bytes, or parts to write, or throws. Native promises are not awaited here: they are handed back
// for the caller to await, who then encodes again.
//
// Deliberately absent: side effects. Externals are only listed; nothing is exported, duplicated
// or piped until the whole value is known to be encodable.
//
// Invariant: the order in which objects are numbered is the order in which `decode.ts` makes them.

import { dataCloneError, stackOf } from "../errors.ts";
import { isPlainProxy, proxiesExist } from "../proxies.ts";
import { ByteWriter } from "./bytes.ts";
import {
  BESIDE_BYTES_MIN, ERROR_KINDS, ErrorPart, EXTERNALS_MAX, INT_INLINE, INT_INLINE_MAX, Key, STRING_INLINE,
  STRING_INLINE_MAX, Tag, VALUE_DEPTH_MAX, VIEW_KINDS,
} from "./tags.ts";

/** A platform object as the decoder's tag and the values that make it again. */
export interface Parts {
  tag: number;
  values: unknown[];
}

export interface EncodeHost<External> {
  /** For a function, a proxy, or an object that is no plain data. Throws if it cannot travel. */
  recognise(value: object): { external: External } | { parts: Parts } | { promise: Promise<unknown> } | undefined;
  /** A copy of a large buffer that goes beside the bytes; absent where there is no beside. */
  beside?(buffer: ArrayBuffer): External;
}

export interface Encoded<External> {
  bytes: Uint8Array;
  externals: External[];
}

/** Encode again when these have settled, with the map filled. */
export interface Awaiting {
  promises: Promise<unknown>[];
}

export type Settled = Map<Promise<unknown>, unknown>;

export interface EncodeOptions {
  bytesMax: number;
  settled?: Settled | undefined;
}

/** Encodes `value`; throws `DataCloneError`, or `TooLargeError` beyond `bytesMax`. */
export function encode<External>(
  value: unknown,
  host: EncodeHost<External>,
  options: EncodeOptions,
  disposer?: External,
): Encoded<External> | Awaiting {
  const encoder = new Encoder(host, options);
  try {
    if (disposer !== undefined) encoder.disposer(disposer);
    encoder.value(value);
  } catch (error) {
    encoder.abandon();
    throw error;
  }
  return encoder.finish();
}

/** Fails for an object of a type that cannot travel, in workerd's words. */
export function refuse(value: object): never {
  const error = dataCloneError(
    `Could not serialize object of type "${typeName(value)}". This type does not support serialization.`,
  );
  refused.set(error, value);
  throw error;
}

/** What `refuse` was about, for those who want to say where it stood. */
export const refused = new WeakMap<object, unknown>();

function typeName(value: object): string {
  let proto: unknown = value;
  // The name of the class, not of whatever an instance calls `constructor`.
  for (let i = 0; i < 2 && proto !== null; i++) {
    proto = Object.getPrototypeOf(proto);
    if (proto === null) return "Object";
    const maker: unknown = Object.getOwnPropertyDescriptor(proto, "constructor")?.value;
    if (typeof maker === "function" && maker.name !== "") return maker.name;
  }
  return "Object";
}

const viewKinds = new Map<string, number>(VIEW_KINDS.map((name, index) => [name, index]));
const typedArrayTag = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype) as object,
  Symbol.toStringTag,
)?.get as (this: unknown) => string | undefined;

const errorKinds = new Map<object, number>();
ERROR_KINDS.forEach((name, index) => {
  const maker = (globalThis as unknown as Record<string, { prototype: object } | undefined>)[name];
  if (maker !== undefined) errorKinds.set(maker.prototype, index);
});
const ERROR_OWN = new Set(["name", "message", "stack", "cause", "errors"]);

/** Above this length an array's named properties are not looked for: listing the keys of a large
 * array costs more than encoding it. */
const NAMED_PROPERTIES_LENGTH_MAX = 65_536;

/** Objects up to which a list is searched; a Map costs more to make than such a search. */
const FEW_OBJECTS = 8;
/** The same for keys. */
const FEW_KEYS = 16;

class Encoder<External> {
  #out: ByteWriter;
  #host: EncodeHost<External>;
  #options: EncodeOptions;
  /** Objects by number: the first in a list, because most messages have few; see `#idOf`. */
  #few: object[] = [];
  #seen: Map<object, number> | undefined;
  /** Keys by number, likewise; see `#keyId`. */
  #fewKeys: string[] = [];
  #keys: Map<string, number> | undefined;
  #externals: External[] | undefined;
  #promises: Promise<unknown>[] | undefined;
  #depth = 0;
  /** Whether user code gave `Object.prototype` enumerable properties. */
  #inherits: boolean | undefined;

  constructor(host: EncodeHost<External>, options: EncodeOptions) {
    this.#host = host;
    this.#options = options;
    this.#out = new ByteWriter(options.bytesMax);
  }

  finish(): Encoded<External> | Awaiting {
    if (this.#promises !== undefined) {
      this.#out.abandon();
      return { promises: this.#promises };
    }
    return { bytes: this.#out.finish(), externals: this.#externals ?? [] };
  }

  abandon(): void {
    this.#out.abandon();
  }

  disposer(external: External): void {
    this.#out.byte(Tag.Disposable);
    this.#out.varint(this.#external(external));
  }

  value(value: unknown): void {
    switch (typeof value) {
      case "number":
        return this.#number(value);
      case "string":
        return this.#string(value);
      case "undefined":
        return this.#out.byte(Tag.Undefined);
      case "boolean":
        return this.#out.byte(value ? Tag.True : Tag.False);
      case "bigint":
        return this.#bigint(value);
      case "symbol":
        throw dataCloneError(`${String(value)} could not be cloned.`);
      case "function":
        return this.#special(value);
      default:
        if (value === null) return this.#out.byte(Tag.Null);
        return this.#object(value as object);
    }
  }

  #number(value: number): void {
    const out = this.#out;
    if ((value | 0) !== value || (value === 0 && 1 / value < 0)) {
      out.byte(Tag.Double);
      out.float64(value);
    } else if (value >= 0 && value <= INT_INLINE_MAX) {
      out.byte(INT_INLINE + value);
    } else {
      out.byte(Tag.Int);
      out.varint(value >= 0 ? value * 2 : -value * 2 - 1);
    }
  }

  #string(value: string): void {
    const out = this.#out;
    const start = out.position;
    if (value.length <= STRING_INLINE_MAX) {
      out.byte(STRING_INLINE + value.length);
    } else {
      out.byte(Tag.Latin1);
      out.varint(value.length);
    }
    if (out.latin1(value)) return;
    out.position = start;
    out.byte(Tag.Utf16);
    out.varint(value.length);
    out.utf16(value);
  }

  #bigint(value: bigint): void {
    const out = this.#out;
    const hex = (value < 0n ? -value : value).toString(16);
    const count = (hex.length + 1) >> 1;
    out.byte(Tag.BigInt);
    out.byte(value < 0n ? 1 : 0);
    out.varint(count);
    const bytes = out.reserve(count);
    for (let i = 0; i < count; i++) {
      const end = hex.length - i * 2;
      bytes[out.position + i] = Number.parseInt(hex.slice(Math.max(end - 2, 0), end), 16);
    }
    out.position += count;
  }

  #object(value: object): void {
    const id = this.#idOf(value);
    if (id !== undefined) {
      this.#out.byte(Tag.Ref);
      this.#out.varint(id);
      return;
    }
    if (proxiesExist() && isPlainProxy(value)) return this.#special(value);
    if (++this.#depth > VALUE_DEPTH_MAX) {
      throw dataCloneError(`The value is nested deeper than ${VALUE_DEPTH_MAX} levels (VALUE_DEPTH_MAX).`);
    }
    const proto: unknown = Object.getPrototypeOf(value);
    if (proto === Object.prototype) {
      this.#know(value);
      this.#out.byte(Tag.Object);
      this.#members(value as Record<string, unknown>);
    } else if (Array.isArray(value)) {
      this.#know(value);
      this.#array(value);
    } else {
      this.#builtin(value);
    }
    this.#depth--;
  }

  #idOf(value: object): number | undefined {
    if (this.#seen !== undefined) return this.#seen.get(value);
    const few = this.#few;
    for (let id = 0; id < few.length; id++) if (few[id] === value) return id;
    return undefined;
  }

  #know(value: object): void {
    if (this.#seen === undefined) {
      if (this.#few.push(value) <= FEW_OBJECTS) return;
      this.#seen = new Map(this.#few.map((object, id) => [object, id]));
    } else {
      this.#seen.set(value, this.#seen.size);
    }
  }

  /** The own properties of a plain object; for-in makes no array of their names. */
  #members(value: Record<string, unknown>): void {
    const inherits = (this.#inherits ??= hasEnumerable(NOTHING_OWN));
    for (const key in value) {
      if (inherits && !Object.hasOwn(value, key)) continue;
      this.#key(key);
      this.value(value[key]);
    }
    this.#out.byte(Key.End);
  }

  #properties(value: Record<string, unknown>, keys: string[]): void {
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] as string;
      this.#key(key);
      this.value(value[key]);
    }
    this.#out.byte(Key.End);
  }

  #key(key: string): void {
    const out = this.#out;
    const id = this.#keyId(key);
    if (id !== undefined) return out.varint(id * 4 + Key.Seen);
    const start = out.position;
    out.varint(key.length * 4 + Key.Latin1);
    if (out.latin1(key)) return;
    out.position = start;
    out.varint(key.length * 4 + Key.Utf16);
    out.utf16(key);
  }

  /** The number of a key that came before; one that did not gets the next. */
  #keyId(key: string): number | undefined {
    const few = this.#fewKeys;
    if (this.#keys === undefined) {
      for (let id = 0; id < few.length; id++) if (few[id] === key) return id;
      if (few.push(key) > FEW_KEYS) this.#keys = new Map(few.map((known, id) => [known, id]));
      return undefined;
    }
    const id = this.#keys.get(key);
    if (id === undefined) this.#keys.set(key, this.#keys.size);
    return id;
  }

  #array(value: unknown[]): void {
    const length = value.length;
    if (length <= NAMED_PROPERTIES_LENGTH_MAX) {
      const keys = Object.keys(value);
      if (keys.length !== length) return this.#sparseArray(value, keys);
    }
    const out = this.#out;
    out.byte(Tag.Array);
    out.varint(length);
    for (let i = 0; i < length; i++) {
      const item = value[i];
      if (item === undefined && !Object.hasOwn(value, i)) out.byte(Tag.Hole);
      else this.value(item);
    }
  }

  #sparseArray(value: unknown[], keys: string[]): void {
    this.#out.byte(Tag.SparseArray);
    this.#out.varint(value.length);
    this.#properties(value as unknown as Record<string, unknown>, keys);
  }

  /** What is neither a plain object nor an array; numbers itself. */
  #builtin(value: object): void {
    const out = this.#out;
    if (ArrayBuffer.isView(value)) {
      this.#know(value);
      this.#view(value);
    } else if (value instanceof ArrayBuffer) {
      this.#know(value);
      this.#arrayBuffer(value);
    } else if (value instanceof Map) {
      this.#know(value);
      out.byte(Tag.Map);
      for (const [key, item] of value) {
        this.value(key);
        this.value(item);
      }
      out.byte(Tag.Hole);
    } else if (value instanceof Set) {
      this.#know(value);
      out.byte(Tag.Set);
      for (const item of value) this.value(item);
      out.byte(Tag.Hole);
    } else if (value instanceof Date) {
      const time = value.getTime();
      this.#know(value);
      out.byte(Tag.Date);
      out.float64(time);
    } else if (value instanceof RegExp) {
      this.#know(value);
      out.byte(Tag.RegExp);
      this.#string(value.source);
      this.#string(value.flags);
    } else if (value instanceof Promise) {
      this.#promise(value);
    } else if (isBoxed(value)) {
      this.#know(value);
      out.byte(Tag.Boxed);
      this.value(value.valueOf());
    } else if (value instanceof Error && !isDomException(value)) {
      this.#know(value);
      this.#error(value);
    } else {
      this.#special(value);
    }
  }

  #view(value: ArrayBufferView): void {
    const out = this.#out;
    const buffer = value.buffer;
    if (!(buffer instanceof ArrayBuffer)) {
      throw dataCloneError("A view of a SharedArrayBuffer could not be cloned.");
    }
    if (buffer.detached) throw dataCloneError("An ArrayBuffer is detached and could not be cloned.");
    out.byte(Tag.View);
    out.byte(viewKinds.get(typedArrayTag.call(value) ?? "DataView") ?? 0);
    this.#object(buffer);
    const outOfBounds = value instanceof DataView ? false : value.byteLength === 0 && value.byteOffset > buffer.byteLength;
    const offset = outOfBounds ? 0 : value.byteOffset;
    out.varint(offset);
    // A view that ends with its resizable buffer is taken to follow it: the language does not
    // tell which of the two it is.
    const follows = buffer.resizable && offset + value.byteLength === buffer.byteLength;
    out.varint(follows ? 0 : value.byteLength + 1);
  }

  #arrayBuffer(value: ArrayBuffer): void {
    if (value.detached) throw dataCloneError("An ArrayBuffer is detached and could not be cloned.");
    const out = this.#out;
    if (value.byteLength >= BESIDE_BYTES_MIN && !value.resizable && this.#host.beside !== undefined) {
      out.beside(value.byteLength);
      out.byte(Tag.Beside);
      out.varint(this.#external(this.#host.beside(value)));
      return;
    }
    out.byte(value.resizable ? Tag.ResizableArrayBuffer : Tag.ArrayBuffer);
    out.varint(value.byteLength);
    if (value.resizable) out.varint(value.maxByteLength);
    out.raw(new Uint8Array(value));
  }

  #promise(value: Promise<unknown>): void {
    const settled = this.#options.settled;
    if (settled?.has(value)) return this.value(settled.get(value));
    (this.#promises ??= []).push(value);
  }

  #error(error: Error): void {
    const out = this.#out;
    const kind = errorKind(error);
    const message: unknown = error.message;
    const stack = stackOf(error);
    const name: unknown = error.name;
    const own = Object.keys(error).filter((key) => !ERROR_OWN.has(key));
    let parts = own.length > 0 ? ErrorPart.Properties : 0;
    if (typeof message === "string" && message !== "") parts |= ErrorPart.Message;
    if (stack !== "") parts |= ErrorPart.Stack;
    if (typeof name === "string" && name !== ERROR_KINDS[kind]) parts |= ErrorPart.Name;
    if (Object.hasOwn(error, "cause")) parts |= ErrorPart.Cause;
    if (Object.hasOwn(error, "errors")) parts |= ErrorPart.Errors;
    out.byte(Tag.Error);
    out.byte(kind);
    out.byte(parts);
    if (parts & ErrorPart.Message) this.#string(message as string);
    if (parts & ErrorPart.Stack) this.#string(stack);
    if (parts & ErrorPart.Name) this.#string(name as string);
    if (parts & ErrorPart.Cause) this.value(error.cause);
    if (parts & ErrorPart.Errors) this.value((error as AggregateError).errors);
    if (parts & ErrorPart.Properties) this.#properties(error as unknown as Record<string, unknown>, own);
  }

  /** A function, a proxy, an instance of a class, a platform object. */
  #special(value: object): void {
    const out = this.#out;
    const id = this.#idOf(value);
    if (id !== undefined) {
      out.byte(Tag.Ref);
      out.varint(id);
      return;
    }
    const found = this.#host.recognise(value);
    if (found === undefined) refuse(value);
    if ("promise" in found) return this.#promise(found.promise);
    this.#know(value);
    if ("external" in found) {
      out.byte(Tag.External);
      out.varint(this.#external(found.external));
      return;
    }
    out.byte(found.parts.tag);
    for (const part of found.parts.values) this.value(part);
  }

  #external(external: External): number {
    const externals = (this.#externals ??= []);
    if (externals.length >= EXTERNALS_MAX) {
      throw dataCloneError(`A message may carry at most ${EXTERNALS_MAX} stubs and streams (EXTERNALS_MAX).`);
    }
    externals.push(external);
    return externals.length - 1;
  }
}

/** What is enumerable here is inherited. The engine remembers what an object of this shape has, not what
 * `Object.prototype` itself has. */
const NOTHING_OWN = {};

function hasEnumerable(value: object): boolean {
  for (const _ in value) return true;
  return false;
}

function isBoxed(value: object): boolean {
  return value instanceof Number || value instanceof String || value instanceof Boolean || value instanceof BigInt;
}

function isDomException(value: object): boolean {
  const maker = (globalThis as unknown as { DOMException?: new () => object }).DOMException;
  return maker !== undefined && value instanceof maker;
}

function errorKind(error: Error): number {
  let proto: object | null = Object.getPrototypeOf(error) as object | null;
  while (proto !== null) {
    const kind = errorKinds.get(proto);
    if (kind !== undefined) return kind;
    proto = Object.getPrototypeOf(proto) as object | null;
  }
  return 0;
}

/**
 * Where `wanted` stands inside `root`, as code would reach it: `env.db.list[1]`. Undefined when it
 * is not found among plain objects, arrays, Maps and Sets.
 */
export function pathTo(wanted: unknown, root: unknown, rootName: string): string | undefined {
  const seen = new Set<object>();
  const search = (value: unknown, path: string, depth: number): string | undefined => {
    if (value === wanted) return path;
    if (typeof value !== "object" || value === null || depth > VALUE_DEPTH_MAX || seen.has(value)) return undefined;
    seen.add(value);
    for (const [step, item] of members(value)) {
      const found = search(item, path + step, depth + 1);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return search(root, rootName, 0);
}

function* members(value: object): Generator<[string, unknown]> {
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) yield [`[${i}]`, value[i]];
  } else if (value instanceof Map) {
    for (const [key, item] of value) {
      yield [".keys()", key];
      yield [`.get(${typeof key === "string" ? JSON.stringify(key) : String(key)})`, item];
    }
  } else if (value instanceof Set) {
    for (const item of value) yield [".values()", item];
  } else {
    for (const key of Object.keys(value)) {
      const step = /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
      yield [step, (value as Record<string, unknown>)[key]];
    }
  }
}
