// The encodings of Buffer: text to bytes and back, each with the tolerance that Node.js has.
//
// Malformed text is never refused here: what cannot be read ends the text (hex) or is skipped
// (base64), characters beyond an encoding lose their upper bits.
//
// Invariant: `encode(text).length <= byteLength(text)`, so that a length may be reserved first.

import { ops } from "../ops.ts";
import { unknownEncoding } from "./errors.ts";

export type EncodingName = "utf8" | "utf16le" | "latin1" | "ascii" | "base64" | "base64url" | "hex";

export interface Encoding {
  readonly name: EncodingName;
  byteLength(text: string): number;
  encode(text: string): Uint8Array;
  decode(bytes: Uint8Array): string;
  /** Puts as many whole characters as fit at the start of `into`; gives the bytes they took. */
  write(text: string, into: Uint8Array): number;
}

/** Characters that one call of String.fromCharCode gets. */
const CHARS_AT_ONCE = 8192;

/** Puts what fits of an encoding in which every byte stands alone. */
function writeSome(encode: (text: string) => Uint8Array, text: string, into: Uint8Array): number {
  const bytes = encode(text);
  const fits = bytes.length > into.length ? bytes.subarray(0, into.length) : bytes;
  into.set(fits);
  return fits.length;
}

// ---- UTF-8 and UTF-16 ----------------------------------------------------------------------------

function utf8Length(text: string): number {
  let length = text.length;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit < 0x80) continue;
    length += unit < 0x800 ? 1 : 2;
    // A pair is four bytes: one less for each half than the three of a lone one.
    if (unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00) at++;
  }
  return length;
}

const utf8: Encoding = {
  name: "utf8",
  byteLength: utf8Length,
  encode: (text) => ops.textEncode(text),
  decode: (bytes) => ops.textDecodeUtf8(bytes, false, true),
  write(text, into) {
    const [, bytes] = ops.textEncodeInto(text, into.length);
    into.set(bytes);
    return bytes.length;
  },
};

function utf16Write(text: string, into: Uint8Array): number {
  const units = Math.min(text.length, into.length >>> 1);
  for (let at = 0; at < units; at++) {
    const unit = text.charCodeAt(at);
    into[at * 2] = unit;
    into[at * 2 + 1] = unit >>> 8;
  }
  return units * 2;
}

/** Half a unit at the end is left out; lone surrogates stay. */
function utf16Decode(bytes: Uint8Array): string {
  const units = bytes.length >>> 1;
  let text = "";
  for (let from = 0; from < units; from += CHARS_AT_ONCE) {
    const count = Math.min(CHARS_AT_ONCE, units - from);
    const part = new Uint16Array(count);
    new Uint8Array(part.buffer).set(bytes.subarray(from * 2, (from + count) * 2));
    text += String.fromCharCode(...part);
  }
  return text;
}

const utf16le: Encoding = {
  name: "utf16le",
  byteLength: (text) => text.length * 2,
  encode(text) {
    const bytes = new Uint8Array(text.length * 2);
    utf16Write(text, bytes);
    return bytes;
  },
  decode: utf16Decode,
  write: utf16Write,
};

// ---- One byte per character ----------------------------------------------------------------------

function latin1Encode(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

const latin1: Encoding = {
  name: "latin1",
  byteLength: (text) => text.length,
  encode: latin1Encode,
  decode: (bytes) => ops.textLatin1Decode(bytes),
  write: (text, into) => writeSome(latin1Encode, text.slice(0, into.length), into),
};

const ascii: Encoding = {
  ...latin1,
  name: "ascii",
  decode: (bytes) => ops.textLatin1Decode(bytes.map((byte) => byte & 0x7f)),
};

// ---- Base64 and hexadecimal ----------------------------------------------------------------------

function base64Encode(text: string): Uint8Array {
  const strict = ops.base64Decode(text);
  if (strict !== undefined) return strict;
  const padding = text.indexOf("=");
  const whole = padding < 0 ? text : text.slice(0, padding);
  const clean = whole.replaceAll("-", "+").replaceAll("_", "/").replace(/[^A-Za-z0-9+/]+/g, "");
  // A last character on its own has too few bits for a byte.
  return ops.base64Decode(clean.length % 4 === 1 ? clean.slice(0, -1) : clean) ?? new Uint8Array();
}

function base64Length(text: string): number {
  let length = text.length;
  if (length > 0 && text.charCodeAt(length - 1) === 0x3d) length--;
  if (length > 1 && text.charCodeAt(length - 1) === 0x3d) length--;
  return Math.floor((length * 3) / 4);
}

const base64: Encoding = {
  name: "base64",
  byteLength: base64Length,
  encode: base64Encode,
  decode: (bytes) => ops.base64Encode(bytes),
  write: (text, into) => writeSome(base64Encode, text, into),
};

const base64url: Encoding = {
  ...base64,
  name: "base64url",
  decode: (bytes) => ops.base64Encode(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, ""),
};

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** The value of a hexadecimal digit, negative when it is none. */
function digit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** Stops at the first pair that is not two digits. */
function hexWrite(text: string, into: Uint8Array): number {
  const pairs = Math.min(text.length >>> 1, into.length);
  for (let at = 0; at < pairs; at++) {
    const [high, low] = [digit(text.charCodeAt(at * 2)), digit(text.charCodeAt(at * 2 + 1))];
    if (high < 0 || low < 0) return at;
    into[at] = high * 16 + low;
  }
  return pairs;
}

const hex: Encoding = {
  name: "hex",
  byteLength: (text) => text.length >>> 1,
  encode(text) {
    const bytes = new Uint8Array(text.length >>> 1);
    return bytes.subarray(0, hexWrite(text, bytes));
  },
  decode(bytes) {
    let text = "";
    for (const byte of bytes) text += HEX[byte];
    return text;
  },
  write: hexWrite,
};

// ---- Names -----------------------------------------------------------------------------------

const byName = new Map<string, Encoding>([
  ["utf8", utf8],
  ["utf-8", utf8],
  ["ucs2", utf16le],
  ["ucs-2", utf16le],
  ["utf16le", utf16le],
  ["utf-16le", utf16le],
  ["latin1", latin1],
  ["binary", latin1],
  ["ascii", ascii],
  ["base64", base64],
  ["base64url", base64url],
  ["hex", hex],
]);

export const encodings: Readonly<Record<EncodingName, Encoding>> = { utf8, utf16le, latin1, ascii, base64, base64url, hex };

export function findEncoding(name: unknown): Encoding | undefined {
  const text = String(name);
  return byName.get(text) ?? byName.get(text.toLowerCase());
}

export function requireEncoding(name: unknown): Encoding {
  const found = findEncoding(name);
  if (found === undefined) throw unknownEncoding(name);
  return found;
}
