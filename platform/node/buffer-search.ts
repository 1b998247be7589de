// Searching and filling: `indexOf`, `lastIndexOf`, `includes` and `fill` of Buffer.
//
// The search is the plain one, which skips to the first byte with the engine's own search.
//
// Invariant: an offset is turned into a place inside the bytes before anything is read.

import { findEncoding, requireEncoding } from "./buffer-text.ts";
import type { Encoding } from "./buffer-text.ts";
import { invalidArgType, invalidArgValue, outOfRange, requireNumber, requireString, unknownEncoding } from "./errors.ts";
import { isUint8Array } from "./buffer-kinds.ts";

const { indexOf, lastIndexOf, fill: fillPlain } = Uint8Array.prototype;

type Direction = "forward" | "backward";

/** Where a search starts, -1 when it finds nothing. */
function startOf(length: number, offset: number, needle: number, direction: Direction): number {
  if (offset < 0) {
    if (offset + length >= 0) return offset + length;
    return direction === "forward" || needle === 0 ? 0 : -1;
  }
  if (offset + needle <= length) return offset;
  if (needle === 0) return length;
  return direction === "forward" ? -1 : length - 1;
}

export function search(bytes: Uint8Array, value: unknown, offset: unknown, encoding: unknown, direction: Direction): number {
  const length = bytes.length;
  let name = encoding;
  let given = offset;
  if (typeof given === "string") {
    name = given;
    given = undefined;
  }
  const number = +(given as number);
  const from = Number.isNaN(number) ? (direction === "forward" ? 0 : length) : Math.trunc(Math.min(Math.max(number, -(2 ** 31)), 2 ** 31 - 1));
  if (typeof value === "number") return searchByte(bytes, value & 255, startOf(length, from, 1, direction), direction);
  const found: Encoding | undefined = name === undefined ? findEncoding("utf8") : findEncoding(name);
  if (typeof value !== "string" && !isUint8Array(value)) {
    throw invalidArgType("value", ["number", "string", "Buffer", "Uint8Array"], value);
  }
  if (typeof value === "string" && found === undefined) throw unknownEncoding(name);
  const needle = typeof value === "string" ? (found as Encoding).encode(value) : value;
  const start = startOf(length, from, needle.length, direction);
  if (needle.length === 0) return start;
  if (start < 0 || needle.length > length) return -1;
  return searchBytes(bytes, needle, start, direction, found?.name === "utf16le" ? 2 : 1);
}

function searchByte(bytes: Uint8Array, byte: number, start: number, direction: Direction): number {
  if (start < 0 || bytes.length === 0) return -1;
  // The plain methods: those of a Buffer come here.
  return Reflect.apply(direction === "forward" ? indexOf : lastIndexOf, bytes, [byte, start]);
}

/** `step` is 2 where only places at an even distance from the first byte count. */
function searchBytes(bytes: Uint8Array, needle: Uint8Array, start: number, direction: Direction, step: 1 | 2): number {
  if (step === 2 && (needle.length < 2 || bytes.length < 2)) return -1;
  const last = bytes.length - needle.length;
  let at = direction === "forward" ? start : Math.min(start, last);
  for (;;) {
    at = searchByte(bytes, needle[0] as number, at, direction);
    if (at < 0 || at > last) return -1;
    if (at % step === 0 && isAt(bytes, needle, at)) return at;
    at += direction === "forward" ? 1 : -1;
    if (at < 0 || at > last) return -1;
  }
}

function isAt(bytes: Uint8Array, needle: Uint8Array, at: number): boolean {
  for (let index = 1; index < needle.length; index++) {
    if (bytes[at + index] !== needle[index]) return false;
  }
  return true;
}

export function fill(bytes: Uint8Array, value: unknown, offset: unknown, end: unknown, encoding: unknown): void {
  let [from, to, name] = [offset, end, encoding];
  let pattern: unknown = value;
  if (typeof value === "string") {
    if (typeof from === "string") [name, from, to] = [from, undefined, undefined];
    else if (typeof to === "string") [name, to] = [to, undefined];
    const found = name === undefined || name === null || name === "" ? requireEncoding("utf8") : requireEncoding(requireString(name, "encoding"));
    // The empty string fills with zeros.
    pattern = value === "" ? 0 : found.encode(value);
  }
  const start = from === undefined ? 0 : within(from, "offset", Number.MAX_SAFE_INTEGER);
  const stop = from === undefined || to === undefined ? bytes.length : within(to, "end", bytes.length);
  if (start >= stop) return;
  if (start > bytes.length) throw outOfRange("offset", `>= 0 && <= ${bytes.length}`, start);
  const unit = ArrayBuffer.isView(pattern) ? new Uint8Array(pattern.buffer, pattern.byteOffset, pattern.byteLength) : undefined;
  if (unit === undefined) {
    Reflect.apply(fillPlain, bytes, [Number(pattern) & 255, start, stop]);
    return;
  }
  if (unit.length === 0) throw invalidArgValue("value", value);
  repeat(bytes.subarray(start, stop), unit);
}

function within(value: unknown, name: string, most: number): number {
  const number = requireNumber(value, name);
  if (!(number >= 0 && number <= most)) throw outOfRange(name, `>= 0 && <= ${most}`, number);
  return Math.trunc(number);
}

/** Doubles what is filled until all is. */
function repeat(bytes: Uint8Array, unit: Uint8Array): void {
  let filled = Math.min(unit.length, bytes.length);
  bytes.set(unit.subarray(0, filled));
  while (filled < bytes.length) {
    bytes.copyWithin(filled, 0, Math.min(filled, bytes.length - filled));
    filled *= 2;
  }
}
