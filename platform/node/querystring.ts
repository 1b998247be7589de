// node:querystring: query strings as Node.js reads and writes them, which is older than the URL Standard.
//
// Invariant: `parse` never fails: what cannot be decoded stands for itself or as U+FFFD.

import { Buffer } from "./buffer.ts";
import { coded } from "./errors.ts";

type Decode = (text: string) => string;
type Encode = (text: string) => string;

/** Pairs that `parse` reads when nobody says otherwise: a bound on what a request can ask for. */
const PAIRS_MAX_DEFAULT = 1000;

/** What stands for itself in an escaped text. */
function isPlain(unit: number): boolean {
  return (
    (unit >= 0x30 && unit <= 0x39) || (unit >= 0x41 && unit <= 0x5a) || (unit >= 0x61 && unit <= 0x7a) ||
    unit === 0x21 || (unit >= 0x27 && unit <= 0x2a) || unit === 0x2d || unit === 0x2e || unit === 0x5f || unit === 0x7e
  );
}

function escapeText(text: string): string {
  let isClean = true;
  for (let at = 0; at < text.length && isClean; at++) isClean = isPlain(text.charCodeAt(at));
  if (isClean) return text;
  return text.isWellFormed() ? encodeURIComponent(text) : escapeOdd(text);
}

/** As Node.js has it: half a pair takes whatever follows for its other half. */
function escapeOdd(text: string): string {
  let escaped = "";
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit < 0xd800 || unit > 0xdfff) {
      escaped += isPlain(unit) ? text[at] : encodeURIComponent(text[at] as string);
      continue;
    }
    at++;
    if (at >= text.length) throw coded(new URIError("URI malformed"), "ERR_INVALID_URI");
    escaped += encodeURIComponent(String.fromCodePoint(0x10000 + (((unit & 0x3ff) << 10) | (text.charCodeAt(at) & 0x3ff))));
  }
  return escaped;
}

function escape(value: unknown): string {
  if (typeof value === "string") return escapeText(value);
  return escapeText(typeof value === "object" ? String(value) : `${value as string}`);
}

const HEX_PAIR = /^[0-9A-Fa-f]{2}$/;

function unescapeBuffer(given: unknown, decodeSpaces?: unknown): Uint8Array {
  const text = String(given);
  const bytes = Buffer.allocUnsafe(text.length);
  let length = 0;
  for (let at = 0; at < text.length; at++) {
    let unit = text.charCodeAt(at);
    if (unit === 0x2b && decodeSpaces) unit = 0x20;
    else if (unit === 0x25 && HEX_PAIR.test(text.slice(at + 1, at + 3))) {
      unit = Number.parseInt(text.slice(at + 1, at + 3), 16);
      at += 2;
    }
    bytes[length++] = unit;
  }
  return bytes.subarray(0, length);
}

function unescape(given: string, decodeSpaces?: unknown): string {
  try {
    return decodeURIComponent(given);
  } catch {
    return String(querystring.unescapeBuffer(given, decodeSpaces));
  }
}

// ---- Writing ---------------------------------------------------------------------------------

function primitiveText(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" && Number.isFinite(value)) return String(value);
  if (typeof value === "bigint" || typeof value === "boolean") return String(value);
  return "";
}

/** Numbers, BigInts and booleans need no escaping by the default encoder. */
function encodedText(value: unknown, encode: Encode): string {
  if (typeof value === "string") return value.length > 0 ? encode(value) : "";
  if (typeof value === "number" && Number.isFinite(value)) return Math.abs(value) < 1e21 ? String(value) : encode(String(value));
  return typeof value === "bigint" || typeof value === "boolean" ? String(value) : "";
}

function stringify(given: unknown, separator?: string | null, equals?: string | null, options?: { encodeURIComponent?: unknown } | null): string {
  const [sep, eq] = [separator || "&", equals || "="];
  const own = options?.encodeURIComponent;
  const encode = (typeof own === "function" ? own : querystring.escape) as Encode;
  // An encoder of the caller's own sees every value as text.
  const write = (value: unknown): string => (encode === escape ? encodedText(value, encode) : encode(primitiveText(value)));
  if (typeof given !== "object" || given === null) return "";
  const pairs: string[] = [];
  for (const [name, value] of Object.entries(given)) {
    const start = write(name) + eq;
    for (const item of Array.isArray(value) ? (value as unknown[]) : [value]) pairs.push(start + write(item));
  }
  return pairs.join(sep);
}

// ---- Reading ---------------------------------------------------------------------------------

function decodeWith(decode: Decode, text: string): string {
  // A text without signs to decode is the decoder's result already, unless it is the caller's own.
  if (decode === unescape && !/%[0-9a-f]{2}/i.test(text)) return text;
  try {
    return decode(text);
  } catch {
    return unescape(text, true);
  }
}

function parse(given: unknown, separator?: unknown, equals?: unknown, options?: { maxKeys?: unknown; decodeURIComponent?: unknown } | null): Record<string, unknown> {
  const found = Object.create(null) as Record<string, unknown>;
  if (typeof given !== "string" || given.length === 0) return found;
  const sep = separator ? String(separator) : "&";
  const eq = equals ? String(equals) : "=";
  const own = options?.decodeURIComponent;
  const decode = (typeof own === "function" ? own : querystring.unescape) as Decode;
  const most = typeof options?.maxKeys === "number" ? options.maxKeys : PAIRS_MAX_DEFAULT;
  let left = most > 0 ? most : Number.POSITIVE_INFINITY;
  let from = 0;
  // Empty pairs count as well.
  for (; from <= given.length && left > 0; left--) {
    const at = sep === "" ? -1 : given.indexOf(sep, from);
    const end = at < 0 ? given.length : at;
    if (end > from) addPair(found, given.slice(from, end), eq, decode);
    from = at < 0 ? given.length + 1 : end + sep.length;
  }
  return found;
}

function addPair(found: Record<string, unknown>, pair: string, eq: string, decode: Decode): void {
  const at = pair.indexOf(eq);
  const read = (text: string): string => {
    const spaced = text.replaceAll("+", decode === unescape ? " " : "%20");
    return spaced.length > 0 ? decodeWith(decode, spaced) : "";
  };
  const name = read(at < 0 ? pair : pair.slice(0, at));
  const value = at < 0 ? "" : read(pair.slice(at + eq.length));
  const before = found[name];
  if (before === undefined) found[name] = value;
  else if (Array.isArray(before)) before.push(value);
  else found[name] = [before, value];
}

/** `parse` and `stringify` look their coders up here, so that a program may replace them. */
export const querystring = {
  decode: parse,
  encode: stringify,
  escape,
  parse,
  stringify,
  unescape,
  unescapeBuffer,
};

export const querystringModule: Record<string, unknown> = { ...querystring, default: querystring };
