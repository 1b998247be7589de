// Headers (Fetch).
//
// A header list is one flat list of lower-case names and values. One that came over the wire stays
// as it came until someone reads or changes it, so that a message passed through costs one copy of a
// list. Deliberately absent are the "request" and "response" guards with their forbidden names: those
// protect a browser's user from a page, and Workers set any header.
//
// As in Workers, a value may hold any character. Beyond ASCII it is UTF-8 on the wire in both
// directions; bytes from the wire that are not UTF-8 are read as Latin-1.
//
// Invariant: unless `#raw` is set, names in `#list` are valid, lower-case tokens and values are
// normalised.

import { ops } from "../ops.ts";
import {
  DOMString,
  SymbolIterator,
  defineInterface,
  definePairIterable,
  isObject,
  record,
  requireArguments,
  sequence,
  sequenceFromMethod,
} from "./webidl.ts";

export type HeadersGuard = "none" | "immutable";

export type HeadersInit = Headers | Iterable<Iterable<string>> | Record<string, string>;

let internals: {
  is(value: unknown): value is Headers;
  list(headers: Headers): string[];
  wire(headers: Headers): string[];
  make(list: string[], raw: boolean, guard: HeadersGuard): Headers;
  copy(headers: Headers, guard: HeadersGuard | undefined): Headers;
  touched(headers: Headers): void;
  sorted(headers: Headers): string[];
};

export class Headers {
  /** Flat: name, value, name, value. */
  #list: string[] = [];
  /** `#list` is as the wire gave it. */
  #raw = false;
  #guard: HeadersGuard = "none";
  /** What iteration shows, kept until the list changes. */
  #sorted: string[] | undefined;

  constructor(init: unknown = undefined) {
    if (init !== undefined) {
      fill(this, init);
    }
  }

  static {
    internals = {
      is: (value): value is Headers => isObject(value) && #list in value,
      list: (headers) => headers.#normal(),
      wire: (headers) => (headers.#raw ? headers.#list : toWire(headers.#list)),
      make(list, raw, guard) {
        const headers = new Headers();
        headers.#list = list;
        headers.#raw = raw;
        headers.#guard = guard;
        return headers;
      },
      copy: (headers, guard) => internals.make(headers.#list.slice(), headers.#raw, guard ?? headers.#guard),
      touched(headers) {
        headers.#sorted = undefined;
      },
      sorted: (headers) => (headers.#sorted ??= sortAndCombine(headers.#normal())),
    };
  }

  #normal(): string[] {
    if (this.#raw) {
      this.#raw = false;
      fromWire(this.#list);
    }
    return this.#list;
  }

  /** The list, about to be changed. */
  #writable(): string[] {
    if (this.#guard === "immutable") {
      throw new TypeError("Can't modify immutable headers.");
    }
    this.#sorted = undefined;
    return this.#normal();
  }

  append(name: string, value: string): void {
    requireArguments(arguments.length, 2, "Headers.append");
    const key = headerName(name, "Headers.append: name");
    const text = headerValue(value, "Headers.append: value");
    this.#writable().push(key, text);
  }

  delete(name: string): void {
    requireArguments(arguments.length, 1, "Headers.delete");
    const key = headerName(name, "Headers.delete: name");
    removeFrom(this.#writable(), key, 0);
  }

  get(name: string): string | null {
    requireArguments(arguments.length, 1, "Headers.get");
    return combined(this.#normal(), headerName(name, "Headers.get: name"));
  }

  getAll(name: string): string[] {
    requireArguments(arguments.length, 1, "Headers.getAll");
    if (headerName(name, "Headers.getAll: name") !== "set-cookie") {
      throw new TypeError('getAll() can only be used with the header name "Set-Cookie".');
    }
    return this.getSetCookie();
  }

  getSetCookie(): string[] {
    const list = this.#normal();
    const cookies: string[] = [];
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === "set-cookie") {
        cookies.push(list[i + 1] as string);
      }
    }
    return cookies;
  }

  has(name: string): boolean {
    requireArguments(arguments.length, 1, "Headers.has");
    return indexOf(this.#normal(), headerName(name, "Headers.has: name")) !== -1;
  }

  set(name: string, value: string): void {
    requireArguments(arguments.length, 2, "Headers.set");
    const key = headerName(name, "Headers.set: name");
    const text = headerValue(value, "Headers.set: value");
    setIn(this.#writable(), key, text);
  }
}

export interface Headers {
  entries(): IterableIterator<[string, string]>;
  keys(): IterableIterator<string>;
  values(): IterableIterator<string>;
  forEach(callback: (value: string, name: string, headers: Headers) => void, thisArg?: unknown): void;
  [Symbol.iterator](): IterableIterator<[string, string]>;
}

defineInterface(Headers);
definePairIterable(Headers, "Headers", (headers: Headers, index) => {
  const list = internals.sorted(headers);
  const at = index * 2;
  return at < list.length ? [list[at], list[at + 1]] : undefined;
});

const builtinIterator = Headers.prototype[SymbolIterator];

// ---- For the rest of the platform ------------------------------------------------------------

export function isHeaders(value: unknown): value is Headers {
  return internals.is(value);
}

/** Takes the wire's list over: the caller does not use it again. */
export function headersFromWire(list: string[], guard: HeadersGuard): Headers {
  return internals.make(list, true, guard);
}

/** A list for the wire; not to be changed. */
export function headersToWire(headers: Headers): string[] {
  return internals.wire(headers);
}

/** A copy with a guard of its own, or with the same one. */
export function copyHeaders(headers: Headers, guard?: HeadersGuard): Headers {
  return internals.copy(headers, guard);
}

/** The combined value of a header whose name is given in lower case, past any patched method. */
export function headerOf(headers: Headers, name: string): string | null {
  return combined(internals.list(headers), name);
}

/** Adds a header that the platform itself implies (`content-type`), unless there is one; `false` then. */
export function defaultHeader(headers: Headers, name: string, value: string): boolean {
  const list = internals.list(headers);
  if (indexOf(list, name) !== -1) return false;
  list.push(name, value);
  internals.touched(headers);
  return true;
}

/** A fresh header list from `HeadersInit`. */
export function headersFromInit(init: unknown, context: string): Headers {
  const headers = new Headers();
  fill(headers, init, context);
  return headers;
}

// ---- Initialising ----------------------------------------------------------------------------

const stringSequence = sequence(DOMString);
const stringRecord = record(DOMString, DOMString);

const CONSTRUCTED = "Headers constructor: init";

function fill(headers: Headers, init: unknown, context: string = CONSTRUCTED): void {
  if (!isObject(init)) {
    throw new TypeError(
      context === CONSTRUCTED
        ? "Failed to construct 'Headers': constructor parameter 1 is not of type 'Headers or Sequence or object'."
        : `${context} is neither an object nor a sequence of [name, value] pairs`,
    );
  }
  const method = (init as { [Symbol.iterator]?: unknown })[SymbolIterator];
  const list = internals.list(headers);
  if (method === builtinIterator && internals.is(init)) {
    const source = internals.list(init);
    for (let i = 0; i < source.length; i++) {
      list[i] = source[i] as string;
    }
    return;
  }
  if (method !== undefined && method !== null) {
    for (const pair of sequenceFromMethod(init, method, stringSequence, context)) {
      if (pair.length !== 2) {
        throw new TypeError("To initialize a Headers object from a sequence, each inner sequence must have exactly two elements.");
      }
      list.push(headerName(pair[0], `${context}: name`), headerValue(pair[1], `${context}: value`));
    }
    return;
  }
  for (const [name, value] of stringRecord(init, context)) {
    list.push(headerName(name, `${context}: name`), headerValue(value, `${context}: value`));
  }
}

// ---- Names and values ------------------------------------------------------------------------

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const LOWER_TOKEN = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const FORBIDDEN_IN_VALUE = /[\0\r\n]/;
const OUTER_WHITESPACE = /^[\t\n\r ]+|[\t\n\r ]+$/g;
const NON_ASCII = /[^\0-\x7f]/;

function headerName(value: unknown, context: string): string {
  const name = DOMString(value, context);
  if (LOWER_TOKEN.test(name)) {
    return name;
  }
  if (!TOKEN.test(name)) {
    throw new TypeError("Invalid header name.");
  }
  return name.toLowerCase();
}

function headerValue(value: unknown, context: string): string {
  const given = DOMString(value, context);
  const text = normalizeValue(given);
  if (FORBIDDEN_IN_VALUE.test(text)) {
    throw new TypeError("Invalid header value.");
  }
  return text;
}

function isHttpWhitespace(code: number): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d;
}

function normalizeValue(text: string): string {
  const { length } = text;
  if (length === 0 || !(isHttpWhitespace(text.charCodeAt(0)) || isHttpWhitespace(text.charCodeAt(length - 1)))) {
    return text;
  }
  return text.replace(OUTER_WHITESPACE, "");
}

// ---- The list --------------------------------------------------------------------------------

function indexOf(list: readonly string[], name: string): number {
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] === name) {
      return i;
    }
  }
  return -1;
}

function combined(list: readonly string[], name: string): string | null {
  let value: string | null = null;
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] === name) {
      value = value === null ? (list[i + 1] as string) : `${value}, ${list[i + 1] as string}`;
    }
  }
  return value;
}

/** Removes every `name` from index `start` on. */
function removeFrom(list: string[], name: string, start: number): void {
  let kept = start;
  for (let i = start; i < list.length; i += 2) {
    if (list[i] !== name) {
      list[kept] = list[i] as string;
      list[kept + 1] = list[i + 1] as string;
      kept += 2;
    }
  }
  list.length = kept;
}

function setIn(list: string[], name: string, value: string): void {
  const at = indexOf(list, name);
  if (at === -1) {
    list.push(name, value);
    return;
  }
  list[at + 1] = value;
  removeFrom(list, name, at + 2);
}

/** "Sort and combine": names ascending, values combined, but each Set-Cookie for itself. */
function sortAndCombine(list: readonly string[]): string[] {
  const values = new Map<string, string>();
  let cookies: string[] = [];
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] as string;
    const value = list[i + 1] as string;
    if (name === "set-cookie") {
      cookies.push(name, value);
      continue;
    }
    const before = values.get(name);
    values.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  const names = [...values.keys()];
  if (cookies.length > 0) {
    names.push("set-cookie");
  }
  names.sort();
  const sorted: string[] = [];
  for (const name of names) {
    if (name === "set-cookie") {
      sorted.push(...cookies);
      cookies = [];
    } else {
      sorted.push(name, values.get(name) as string);
    }
  }
  return sorted;
}

// ---- The wire --------------------------------------------------------------------------------

/** Makes a list from the wire a normal one, in place. */
function fromWire(list: string[]): void {
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i] as string;
    if (!LOWER_TOKEN.test(name)) {
      list[i] = name.toLowerCase();
    }
    const value = list[i + 1] as string;
    if (NON_ASCII.test(value)) {
      list[i + 1] = utf8OrLatin1(value);
    }
  }
}

function utf8OrLatin1(value: string): string {
  try {
    return ops.textDecodeUtf8(ops.textLatin1Encode(value), true, true);
  } catch {
    return value;
  }
}

function toWire(list: string[]): string[] {
  let wire = list;
  for (let i = 1; i < list.length; i += 2) {
    const value = list[i] as string;
    if (NON_ASCII.test(value)) {
      if (wire === list) {
        wire = list.slice();
      }
      wire[i] = ops.textLatin1Decode(ops.textEncode(value));
    }
  }
  return wire;
}
