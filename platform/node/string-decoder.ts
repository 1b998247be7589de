// node:string_decoder: text out of bytes that come in pieces cut anywhere.
//
// What cannot be text yet is kept until the rest comes: up to three bytes of a UTF-8 character, an odd
// byte or half a pair of UTF-16, what does not fill three bytes of base64.
//
// Invariant: the pieces decoded one after the other are the text that the whole would give.

import { invalidArgType, unknownEncoding } from "./errors.ts";
import { Buffer } from "./buffer.ts";
import { findEncoding } from "./buffer-text.ts";
import type { Encoding, EncodingName } from "./buffer-text.ts";

const NO_BYTES = new Uint8Array(0);

interface State {
  readonly encoding: Encoding;
  kept: Uint8Array;
}

const states = new WeakMap<object, State>();

function stateOf(decoder: object): State {
  const state = states.get(decoder);
  if (state === undefined) throw invalidArgType("this", ["StringDecoder"], decoder);
  return state;
}

/** Bytes that the character begun by `first` has; 0 where none begins. */
function characterBytes(first: number): number {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return 2;
  if (first >= 0xe0 && first < 0xf0) return 3;
  return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

/** How many bytes at the end begin a character that is not there yet. */
function openUtf8(bytes: Uint8Array): number {
  const least = Math.max(0, bytes.length - 3);
  for (let at = bytes.length - 1; at >= least; at--) {
    const byte = bytes[at] as number;
    if ((byte & 0xc0) === 0x80) continue;
    const have = bytes.length - at;
    return characterBytes(byte) <= have ? 0 : have;
  }
  return 0;
}

function openUtf16(bytes: Uint8Array): number {
  const odd = bytes.length % 2;
  const last = bytes[bytes.length - odd - 1];
  // The first half of a pair waits for the other.
  return last !== undefined && bytes.length >= 2 && (last & 0xfc) === 0xd8 ? odd + 2 : odd;
}

const OPEN: Partial<Record<EncodingName, (bytes: Uint8Array) => number>> = {
  utf8: openUtf8,
  utf16le: openUtf16,
  base64: (bytes) => bytes.length % 3,
  base64url: (bytes) => bytes.length % 3,
};

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b;
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}

function bytesOf(value: unknown): Uint8Array {
  if (!ArrayBuffer.isView(value)) throw invalidArgType("buf", ["Buffer", "TypedArray", "DataView"], value);
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

interface Decoder {
  encoding: string;
}

/** A function, not a class: old code calls it without `new` on objects of its own. */
export const StringDecoder = function StringDecoder(this: Decoder, name?: unknown): void {
  const given = name === undefined || name === null || name === "" ? "utf8" : name;
  const encoding = findEncoding(given);
  if (encoding === undefined) throw unknownEncoding(name);
  this.encoding = encoding.name;
  states.set(this, { encoding, kept: NO_BYTES });
} as unknown as { new (name?: unknown): StringDecoder; prototype: object };

export interface StringDecoder {
  readonly encoding: string;
  write(bytes: unknown): string;
  end(bytes?: unknown): string;
}

function write(this: object, given: unknown): string {
  if (typeof given === "string") return given;
  const state = stateOf(this);
  const bytes = joined(state.kept, bytesOf(given));
  const open = OPEN[state.encoding.name]?.(bytes) ?? 0;
  state.kept = open === 0 ? NO_BYTES : bytes.slice(bytes.length - open);
  return state.encoding.decode(open === 0 ? bytes : bytes.subarray(0, bytes.length - open));
}

function end(this: object, given?: unknown): string {
  const text = given === undefined ? "" : Reflect.apply(write, this, [given]);
  const state = stateOf(this);
  const rest = state.kept;
  state.kept = NO_BYTES;
  return rest.length === 0 ? text : text + state.encoding.decode(rest);
}

function text(this: object, given: unknown, offset: number): string {
  stateOf(this).kept = NO_BYTES;
  return Reflect.apply(write, this, [bytesOf(given).subarray(offset)]);
}

function define(name: string, descriptor: PropertyDescriptor): void {
  Object.defineProperty(StringDecoder.prototype, name, { configurable: true, ...descriptor });
}

for (const [name, value] of Object.entries({ write, end, text })) define(name, { value, writable: true, enumerable: true });
define("lastChar", {
  get(this: object): unknown {
    const bytes = Buffer.alloc(4);
    bytes.set(stateOf(this).kept);
    return bytes;
  },
});
define("lastNeed", {
  get(this: object): number {
    const { encoding, kept } = stateOf(this);
    if (kept.length === 0) return 0;
    if (encoding.name === "utf8") return characterBytes(kept[0] as number) - kept.length;
    return encoding.name === "utf16le" ? (kept.length % 2 === 1 ? 1 : 2) : 3 - kept.length;
  },
});
define("lastTotal", {
  get(this: object): number {
    const { encoding, kept } = stateOf(this);
    if (kept.length === 0) return 0;
    if (encoding.name === "utf8") return characterBytes(kept[0] as number);
    return encoding.name === "utf16le" ? (kept.length === 1 ? 2 : 4) : 3;
  },
});

const members = { StringDecoder };
export const stringDecoderModule: Record<string, unknown> = { ...members, default: members };
