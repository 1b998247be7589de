// Bytes to values. The other direction is `encode.ts`, the alphabet `tags.ts`.
//
// The bytes come from another Worker and may be anything. Whatever they are, the outcome is a
// value or a thrown `MalformedError`: counts are checked against the bytes that are left, nesting
// against a bound, and a key called `__proto__` is a property like any other. Externals are
// looked up through the `DecodeHost`, which holds only what really arrived.
//
// Invariant: nothing is called on a decoded value while it is being built.

import { remoteStack } from "../errors.ts";
import { ByteReader, MalformedError } from "./bytes.ts";
import {
  ERROR_KINDS, ErrorPart, INT_INLINE, Key, RESIZABLE_BYTES_MAX, STRING_INLINE, Tag, VALUE_DEPTH_MAX,
  VIEW_KINDS,
} from "./tags.ts";

export interface DecodeHost {
  /** The object that stands for external `index`; throws if there is none. */
  external(index: number): unknown;
  /** The buffer that came beside the bytes as external `index`; throws if there is none. Absent where
   * there is no beside. */
  beside?(index: number): ArrayBuffer;
  /** Notes that the message's root has a disposer at external `index`. */
  disposer(index: number): void;
  /** Makes a platform object again; `next` reads its parts, one call each. */
  build(tag: number, next: () => unknown): unknown;
}

/** The value of the first `length` of `bytes`. */
export function decode(bytes: Uint8Array, host: DecodeHost, length: number = bytes.length): unknown {
  return new Decoder(bytes, host, length).root();
}

const scope = globalThis as unknown as Record<string, unknown>;
const viewMakers = VIEW_KINDS.map((name) => scope[name]) as (
  | (new (buffer: ArrayBuffer, offset: number, length?: number) => ArrayBufferView)
  | undefined
)[];
const viewBytesEach = VIEW_KINDS.map(
  (name) => (scope[name] as { BYTES_PER_ELEMENT?: number } | undefined)?.BYTES_PER_ELEMENT ?? 1,
);
const errorMakers = ERROR_KINDS.map((name) => scope[name]) as (new (message?: string) => Error)[];

class Decoder {
  #in: ByteReader;
  #host: DecodeHost;
  #objects: unknown[] = [];
  #keys: string[] = [];
  #depth = 0;

  constructor(bytes: Uint8Array, host: DecodeHost, length: number) {
    this.#in = new ByteReader(bytes, length);
    this.#host = host;
  }

  root(): unknown {
    let tag = this.#in.byte();
    if (tag === Tag.Disposable) {
      this.#host.disposer(this.#in.varint());
      tag = this.#in.byte();
    }
    const value = this.#tagged(tag);
    if (this.#in.left !== 0) throw new MalformedError("bytes are left over");
    return value;
  }

  #value(): unknown {
    return this.#tagged(this.#in.byte());
  }

  #tagged(tag: number): unknown {
    if (tag >= INT_INLINE) return tag - INT_INLINE;
    if (tag >= STRING_INLINE) return this.#in.latin1(tag - STRING_INLINE);
    switch (tag) {
      case Tag.Undefined:
        return undefined;
      case Tag.Null:
        return null;
      case Tag.True:
        return true;
      case Tag.False:
        return false;
      case Tag.Int: {
        const number = this.#in.varint();
        return number % 2 === 0 ? number / 2 : -(number + 1) / 2;
      }
      case Tag.Double:
        return this.#in.float64();
      case Tag.BigInt:
        return this.#bigint();
      case Tag.Latin1:
        return this.#in.latin1(this.#in.count(1));
      case Tag.Utf16:
        return this.#in.utf16(this.#in.count(2));
      case Tag.Ref:
        return this.#ref();
      default:
        return this.#compound(tag);
    }
  }

  #ref(): unknown {
    const id = this.#in.varint();
    if (id >= this.#objects.length) throw new MalformedError("a reference to what has not come yet");
    return this.#objects[id];
  }

  #bigint(): bigint {
    const negative = this.#in.byte() !== 0;
    const bytes = this.#in.raw(this.#in.count(1));
    let hex = "";
    for (let i = bytes.length - 1; i >= 0; i--) hex += (bytes[i] as number).toString(16).padStart(2, "0");
    const magnitude = hex === "" ? 0n : BigInt(`0x${hex}`);
    return negative ? -magnitude : magnitude;
  }

  #compound(tag: number): unknown {
    if (++this.#depth > VALUE_DEPTH_MAX + 8) throw new MalformedError("it is nested too deep");
    const value = this.#compoundIn(tag);
    this.#depth--;
    return value;
  }

  #compoundIn(tag: number): unknown {
    const objects = this.#objects;
    switch (tag) {
      case Tag.Object: {
        const object: Record<string, unknown> = {};
        objects.push(object);
        this.#properties(object);
        return object;
      }
      case Tag.Array:
        return this.#array();
      case Tag.SparseArray: {
        const array: unknown[] = [];
        objects.push(array);
        const length = this.#in.varint();
        if (length > 0xffff_ffff) throw new MalformedError("an array is too long");
        array.length = length;
        this.#properties(array as unknown as Record<string, unknown>);
        return array;
      }
      case Tag.Map:
        return this.#map();
      case Tag.Set:
        return this.#set();
      case Tag.Date: {
        const date = new Date(this.#in.float64());
        objects.push(date);
        return date;
      }
      case Tag.RegExp:
        return this.#regExp();
      case Tag.ArrayBuffer: {
        const buffer = this.#in.buffer(this.#in.count(1));
        objects.push(buffer);
        return buffer;
      }
      case Tag.Beside: {
        const buffer = this.#host.beside?.(this.#in.varint());
        if (buffer === undefined) throw new MalformedError("there is nothing beside it");
        objects.push(buffer);
        return buffer;
      }
      case Tag.ResizableArrayBuffer:
        return this.#resizable();
      case Tag.View:
        return this.#view();
      case Tag.Error:
        return this.#error();
      case Tag.Boxed: {
        const slot = this.#slot();
        const value = this.#value();
        if (typeof value === "object" || typeof value === "function" || value === undefined) {
          throw new MalformedError("a box holds no primitive");
        }
        return (objects[slot] = Object(value));
      }
      case Tag.External: {
        const slot = this.#slot();
        return (objects[slot] = this.#host.external(this.#in.varint()));
      }
      default: {
        const slot = this.#slot();
        return (objects[slot] = this.#host.build(tag, () => this.#value()));
      }
    }
  }

  #slot(): number {
    return this.#objects.push(undefined) - 1;
  }

  #properties(object: Record<string, unknown>): void {
    for (let head = this.#in.varint(); head !== Key.End; head = this.#in.varint()) {
      const key = this.#key(head);
      const value = this.#value();
      if (key === "__proto__") {
        Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
      } else {
        object[key] = value;
      }
    }
  }

  #key(head: number): string {
    const kind = head % 4;
    const number = (head - kind) / 4;
    if (kind === Key.Seen) {
      const key = this.#keys[number];
      if (key === undefined) throw new MalformedError("a key that has not come yet");
      return key;
    }
    if (kind === Key.End) throw new MalformedError("a key of no kind");
    const key = kind === Key.Latin1 ? this.#in.key(number) : this.#in.utf16(number);
    this.#keys.push(key);
    return key;
  }

  #array(): unknown[] {
    const array: unknown[] = [];
    this.#objects.push(array);
    const count = this.#in.count(1);
    for (let i = 0; i < count; i++) {
      const tag = this.#in.byte();
      if (tag === Tag.Hole) array.length = i + 1;
      else array[i] = this.#tagged(tag);
    }
    return array;
  }

  #map(): Map<unknown, unknown> {
    const map = new Map<unknown, unknown>();
    this.#objects.push(map);
    for (let tag = this.#in.byte(); tag !== Tag.Hole; tag = this.#in.byte()) {
      const key = this.#tagged(tag);
      map.set(key, this.#value());
    }
    return map;
  }

  #set(): Set<unknown> {
    const set = new Set<unknown>();
    this.#objects.push(set);
    for (let tag = this.#in.byte(); tag !== Tag.Hole; tag = this.#in.byte()) set.add(this.#tagged(tag));
    return set;
  }

  #regExp(): RegExp {
    const slot = this.#slot();
    const source = this.#text();
    const flags = this.#text();
    let made: RegExp;
    try {
      made = new RegExp(source, flags);
    } catch {
      throw new MalformedError("a regular expression does not parse");
    }
    this.#objects[slot] = made;
    return made;
  }

  #text(): string {
    const text = this.#value();
    if (typeof text !== "string") throw new MalformedError("a string is missing");
    return text;
  }

  #resizable(): ArrayBuffer {
    const length = this.#in.count(1);
    const maxByteLength = this.#in.varint();
    if (maxByteLength < length || maxByteLength > RESIZABLE_BYTES_MAX) {
      throw new MalformedError(`a resizable ArrayBuffer may reserve ${RESIZABLE_BYTES_MAX} bytes (RESIZABLE_BYTES_MAX)`);
    }
    const buffer = new ArrayBuffer(length, { maxByteLength });
    new Uint8Array(buffer).set(this.#in.raw(length));
    this.#objects.push(buffer);
    return buffer;
  }

  #view(): ArrayBufferView {
    const slot = this.#slot();
    const kind = this.#in.byte();
    const Maker = viewMakers[kind];
    const bytesEach = viewBytesEach[kind];
    const buffer = this.#value();
    const offset = this.#in.varint();
    const length = this.#in.varint();
    if (Maker === undefined || bytesEach === undefined || !(buffer instanceof ArrayBuffer)) {
      throw new MalformedError("a view of nothing");
    }
    let view: ArrayBufferView;
    try {
      view = length === 0 ? new Maker(buffer, offset) : new Maker(buffer, offset, (length - 1) / bytesEach);
    } catch {
      throw new MalformedError("a view reaches beyond its buffer");
    }
    this.#objects[slot] = view;
    return view;
  }

  #error(): Error {
    const Maker = errorMakers[this.#in.byte()];
    const parts = this.#in.byte();
    if (Maker === undefined) throw new MalformedError("an error of no known type");
    const error: Error = Maker === AggregateError ? new AggregateError([]) : new Maker();
    this.#objects.push(error);
    if (parts & ErrorPart.Message) define(error, "message", this.#text());
    const stack = parts & ErrorPart.Stack ? this.#text() : "";
    define(error, "stack", remoteStack(error, stack));
    if (parts & ErrorPart.Name) define(error, "name", this.#text());
    if (parts & ErrorPart.Cause) define(error, "cause", this.#value());
    if (parts & ErrorPart.Errors) define(error, "errors", this.#value());
    if (parts & ErrorPart.Properties) this.#properties(error as unknown as Record<string, unknown>);
    return error;
  }
}

function define(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, enumerable: false, configurable: true });
}
