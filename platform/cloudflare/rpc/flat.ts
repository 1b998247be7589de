// The codec for the commonest messages: primitives, and lists of arguments that are primitives.
//
// What it writes is what `encode.ts` would, without an encoder, a buffer and a copy: it writes into one page
// that the op reads from, and reads from the page that Rust writes what comes to (`arrivals` of `bytes.ts`).
// Whatever it does not know it leaves to the others: it gives `NOT_FLAT`, and has neither thrown nor asked
// the Worker's objects for anything, which have getters.
//
// Invariant: what stands on either page is used up before any code of a Worker runs.

import { PLAIN_KINDS } from "../../ops.ts";
import type { Arrived, Attached, Attachment } from "../../ops.ts";
import { arrivals, latin1Of } from "./bytes.ts";
import { INT_INLINE, INT_INLINE_MAX, STRING_INLINE, STRING_INLINE_MAX, Tag } from "./tags.ts";

/** Bytes of the page that is written to. Larger messages have a buffer of their own. */
const PAGE_BYTES = 4096;

/** Not a flat message: a length or a value that none has. */
export const NO_LENGTH = -1;
export const NOT_FLAT = Symbol("not flat");

/** Chars of a string up to which it is written here. */
const STRING_CHARS_MAX = 1000;
/** The most that another primitive takes, and a string beside its chars. */
const PRIMITIVE_BYTES_MAX = 9;

/** The page that messages are written to. */
export const departures = new Uint8Array(PAGE_BYTES);

const doubleBytes = new Uint8Array(8);
const double = new Float64Array(doubleBytes.buffer);

/** The globals may be replaced. */
const Bytes = Uint8Array;
const { floor } = Math;

// ---- writing

let position = 0;

/** Writes the arguments of a call; how many bytes, or `NO_LENGTH`. */
export function writeArguments(args: readonly unknown[]): number {
  const count = args.length;
  if (count > INT_INLINE_MAX) return NO_LENGTH;
  departures[0] = Tag.Array;
  departures[1] = count;
  position = 2;
  for (let i = 0; i < count; i++) if (!writePrimitive(args[i])) return NO_LENGTH;
  return position;
}

/** Writes a value; how many bytes, or `NO_LENGTH`. */
export function writeValue(value: unknown): number {
  position = 0;
  return writePrimitive(value) ? position : NO_LENGTH;
}

function writePrimitive(value: unknown): boolean {
  if (position + PRIMITIVE_BYTES_MAX > PAGE_BYTES) return false;
  switch (typeof value) {
    case "number":
      writeNumber(value);
      return true;
    case "string":
      return writeString(value);
    case "undefined":
      departures[position++] = Tag.Undefined;
      return true;
    case "boolean":
      departures[position++] = value ? Tag.True : Tag.False;
      return true;
    default:
      if (value !== null) return false;
      departures[position++] = Tag.Null;
      return true;
  }
}

function writeNumber(value: number): void {
  if ((value | 0) !== value || (value === 0 && 1 / value < 0)) {
    departures[position++] = Tag.Double;
    double[0] = value;
    for (let i = 0; i < 8; i++) departures[position++] = doubleBytes[i] as number;
  } else if (value >= 0 && value <= INT_INLINE_MAX) {
    departures[position++] = INT_INLINE + value;
  } else {
    departures[position++] = Tag.Int;
    writeVarint(value >= 0 ? value * 2 : -value * 2 - 1);
  }
}

function writeVarint(value: number): void {
  while (value >= 0x80) {
    departures[position++] = (value % 0x80) | 0x80;
    value = floor(value / 0x80);
  }
  departures[position++] = value;
}

function writeString(value: string): boolean {
  const { length } = value;
  if (length > STRING_CHARS_MAX || position + PRIMITIVE_BYTES_MAX + length > PAGE_BYTES) return false;
  if (length <= STRING_INLINE_MAX) {
    departures[position++] = STRING_INLINE + length;
  } else {
    departures[position++] = Tag.Latin1;
    writeVarint(length);
  }
  for (let i = 0; i < length; i++) {
    const unit = value.charCodeAt(i);
    if (unit > 0xff) return false;
    departures[position++] = unit;
  }
  return true;
}

// ---- reading

/** Where the message ends that is read. */
let end = 0;

/** The arguments of a call, or `NOT_FLAT`. */
export function readArguments(arrived: Arrived): unknown[] | typeof NOT_FLAT {
  if (typeof arrived !== "number" || arrived < 2 || arrivals[0] !== Tag.Array) return NOT_FLAT;
  const count = arrivals[1] as number;
  if (count > INT_INLINE_MAX) return NOT_FLAT;
  position = 2;
  end = arrived;
  const args: unknown[] = [];
  for (let i = 0; i < count; i++) {
    const value = readPrimitive();
    if (value === NOT_FLAT) return NOT_FLAT;
    args[i] = value;
  }
  return position === end ? args : NOT_FLAT;
}

/** A value, or `NOT_FLAT`. */
export function readValue(arrived: Arrived): unknown {
  if (typeof arrived !== "number") return NOT_FLAT;
  position = 0;
  end = arrived;
  const value = readPrimitive();
  return position === end ? value : NOT_FLAT;
}

function readPrimitive(): unknown {
  if (position >= end) return NOT_FLAT;
  const tag = arrivals[position++] as number;
  if (tag >= INT_INLINE) return tag - INT_INLINE;
  if (tag >= STRING_INLINE) return readString(tag - STRING_INLINE);
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
      const number = readVarint();
      return number % 2 === 0 ? number / 2 : -(number + 1) / 2;
    }
    case Tag.Double:
      if (end - position < 8) return NOT_FLAT;
      for (let i = 0; i < 8; i++) doubleBytes[i] = arrivals[position++] as number;
      return double[0];
    case Tag.Latin1:
      return readString(readVarint());
    default:
      return NOT_FLAT;
  }
}

/** One that is too long ends behind the message, which is seen there. */
function readVarint(): number {
  let byte = arrivals[position++] as number;
  if (byte < 0x80) return byte;
  let value = byte & 0x7f;
  for (let scale = 0x80; scale <= 2 ** 42; scale *= 0x80) {
    byte = arrivals[position++] as number;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value;
  }
  position = end + 1;
  return 0;
}

function readString(count: number): unknown {
  if (count > end - position) return NOT_FLAT;
  const start = position;
  position += count;
  return latin1Of(arrivals, start, position);
}

// ---- what is not flat

/** What came, to be kept. */
export function keptBytes(arrived: Arrived): Uint8Array {
  if (typeof arrived !== "number") return arrived;
  const kept = new Bytes(arrived);
  for (let i = 0; i < arrived; i++) kept[i] = arrivals[i] as number;
  return kept;
}

/** Plain attachments as those of a payload. */
export function attachmentsOf(attached: Attached): Attachment[] {
  const attachments: Attachment[] = [];
  for (let i = 0; attached !== undefined && i < attached.length; i += 2) {
    const kind = PLAIN_KINDS[attached[i] as number];
    const id = attached[i + 1] as number;
    if (kind === "export" || kind === "readable" || kind === "writable") attachments.push([kind, id]);
    else if (kind !== undefined) attachments.push(["cap", id, kind]);
  }
  return attachments;
}

/** Writes the one thing that is attached to a message; how many bytes. */
export function writeAttached(): number {
  departures[0] = Tag.External;
  departures[1] = 0;
  return 2;
}
