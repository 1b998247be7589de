// URL and URLSearchParams (WHATWG URL).
//
// Parsing and component setting are ada's, through `ops.urlParse` and `ops.urlSet`, which answer
// with the serialised URL and the offsets of its components. A getter is then one slice. What this
// file adds: Web IDL, `searchParams` and its two-way link, and application/x-www-form-urlencoded.
//
// Invariant: a URL's href is ASCII (the serialiser percent-encodes or punycodes the rest), so the
// byte offsets of the op are string offsets.

import { has } from "../cloudflare/compat.ts";
import { ops } from "../ops.ts";
import {
  USVString,
  defineInterface,
  definePairIterable,
  isObject,
  record,
  requireArguments,
  sequence,
  sequenceFromMethod,
} from "./webidl.ts";

/** `[href, protocolEnd, usernameEnd, hostStart, hostEnd, port, pathnameStart, searchStart, hashStart]`. */
type Parsed = [string, number, number, number, number, number, number, number, number];

const PROTOCOL_END = 1;
const USERNAME_END = 2;
const HOST_START = 3;
const HOST_END = 4;
const PORT = 5;
const PATHNAME_START = 6;
const SEARCH_START = 7;
const HASH_START = 8;

/** ada's mark for a component that is not there. */
const ABSENT = 0xffffffff;

const AT_SIGN = 0x40;

const decodeComponent = decodeURIComponent;
const encodeComponent = encodeURIComponent;

const INVALID_URL = "Invalid URL string.";

/** What `URL.parse` found, on its way into the constructor that it calls next. */
let preParsed: Parsed | undefined;

function parse(url: unknown, base: unknown, context: string): Parsed | undefined {
  const input = USVString(url, `${context}: url`);
  const against = base === undefined ? undefined : USVString(base, `${context}: base`);
  return ops.urlParse(input, against) as Parsed | undefined;
}

let paramsOf: (url: URL, href: string) => URLSearchParams;
let isParams: (value: unknown) => value is URLSearchParams;
let pairsOf: (params: URLSearchParams) => string[];
let resetParams: (params: URLSearchParams, query: string) => void;
let searchChanged: (url: URL, query: string) => void;

export class URL {
  #parsed: Parsed;
  #searchParams: URLSearchParams | undefined;

  constructor(url: string, base: string | undefined = undefined) {
    requireArguments(arguments.length, 1, "URL constructor");
    if (preParsed !== undefined) {
      this.#parsed = preParsed;
      preParsed = undefined;
      return;
    }
    const parsed = parse(url, base, "URL constructor");
    if (parsed === undefined) {
      throw new TypeError(INVALID_URL);
    }
    this.#parsed = parsed;
  }

  static {
    searchChanged = (url, query) => {
      const parsed = ops.urlSet(url.#parsed[0], "search", query);
      if (parsed !== undefined) {
        url.#parsed = parsed as Parsed;
      }
    };
  }

  static createObjectURL(object: unknown): string {
    requireArguments(arguments.length, 1, "URL.createObjectURL");
    void object;
    throw new Error("URL.createObjectURL() is not implemented");
  }

  static revokeObjectURL(url: unknown): void {
    requireArguments(arguments.length, 1, "URL.revokeObjectURL");
    void url;
    throw new Error("URL.revokeObjectURL() is not implemented");
  }

  static canParse(url: string, base: string | undefined = undefined): boolean {
    requireArguments(arguments.length, 1, "URL.canParse");
    return parse(url, base, "URL.canParse") !== undefined;
  }

  static parse(url: string, base: string | undefined = undefined): URL | null {
    requireArguments(arguments.length, 1, "URL.parse");
    preParsed = parse(url, base, "URL.parse");
    return preParsed === undefined ? null : new URL("");
  }

  #set(component: string, value: unknown): boolean {
    const parsed = ops.urlSet(this.#parsed[0], component, USVString(value, `URL.${component}`));
    if (parsed === undefined) {
      return false;
    }
    this.#parsed = parsed as Parsed;
    return true;
  }

  #hostnameStart(): number {
    const parsed = this.#parsed;
    const start = parsed[HOST_START];
    return parsed[HOST_END] > start && parsed[0].charCodeAt(start) === AT_SIGN ? start + 1 : start;
  }

  get href(): string {
    return this.#parsed[0];
  }

  set href(value: string) {
    if (!this.#set("href", value)) {
      throw new TypeError(
        "Failed to set the 'href' property on 'URL': the provided value is not of type 'valid URL string'.",
      );
    }
    this.#queryReplaced();
  }

  get origin(): string {
    void this.#parsed;
    switch (this.protocol) {
      case "http:":
      case "https:":
      case "ws:":
      case "wss:":
      case "ftp:":
        return `${this.protocol}//${this.host}`;
      case "blob:": {
        const inner = ops.urlParse(this.pathname, undefined);
        if (inner === undefined) {
          return "null";
        }
        const url = new URL(this.pathname);
        return url.protocol === "http:" || url.protocol === "https:" ? url.origin : "null";
      }
      default:
        return "null";
    }
  }

  get protocol(): string {
    return this.#parsed[0].slice(0, this.#parsed[PROTOCOL_END]);
  }

  set protocol(value: string) {
    this.#set("protocol", value);
  }

  get username(): string {
    const parsed = this.#parsed;
    const start = parsed[PROTOCOL_END] + 2;
    return start < parsed[USERNAME_END] ? parsed[0].slice(start, parsed[USERNAME_END]) : "";
  }

  set username(value: string) {
    this.#set("username", value);
  }

  get password(): string {
    const parsed = this.#parsed;
    return parsed[HOST_START] > parsed[USERNAME_END]
      ? parsed[0].slice(parsed[USERNAME_END] + 1, parsed[HOST_START])
      : "";
  }

  set password(value: string) {
    this.#set("password", value);
  }

  get host(): string {
    const parsed = this.#parsed;
    const start = this.#hostnameStart();
    // An empty host may be followed by `/.`, which belongs to neither host nor path.
    return start === parsed[HOST_END] ? "" : parsed[0].slice(start, parsed[PATHNAME_START]);
  }

  set host(value: string) {
    this.#set("host", value);
  }

  get hostname(): string {
    return this.#parsed[0].slice(this.#hostnameStart(), this.#parsed[HOST_END]);
  }

  set hostname(value: string) {
    this.#set("hostname", value);
  }

  get port(): string {
    const port = this.#parsed[PORT];
    return port === ABSENT ? "" : `${port}`;
  }

  set port(value: string) {
    this.#set("port", value);
  }

  get pathname(): string {
    const parsed = this.#parsed;
    const end = Math.min(parsed[SEARCH_START], parsed[HASH_START]);
    return end === ABSENT ? parsed[0].slice(parsed[PATHNAME_START]) : parsed[0].slice(parsed[PATHNAME_START], end);
  }

  set pathname(value: string) {
    this.#set("pathname", value);
  }

  get search(): string {
    const parsed = this.#parsed;
    const start = parsed[SEARCH_START];
    if (start === ABSENT) {
      return "";
    }
    const end = parsed[HASH_START] === ABSENT ? parsed[0].length : parsed[HASH_START];
    return end - start <= 1 ? "" : parsed[0].slice(start, end);
  }

  set search(value: string) {
    this.#set("search", value);
    this.#queryReplaced();
  }

  get searchParams(): URLSearchParams {
    return (this.#searchParams ??= paramsOf(this, this.search));
  }

  get hash(): string {
    const parsed = this.#parsed;
    const start = parsed[HASH_START];
    return start === ABSENT || parsed[0].length - start <= 1 ? "" : parsed[0].slice(start);
  }

  set hash(value: string) {
    this.#set("hash", value);
  }

  toString(): string {
    return this.#parsed[0];
  }

  toJSON(): string {
    return this.#parsed[0];
  }

  #queryReplaced(): void {
    if (this.#searchParams !== undefined) {
      resetParams(this.#searchParams, this.search);
    }
  }
}

/** The second argument of `has` and `delete`, which older Workers do not look at. */
function valueArgument(value: string | undefined, context: string): string | undefined {
  return value === undefined || !has("urlsearchparams_delete_has_value_arg") ? undefined : USVString(value, context);
}

export class URLSearchParams {
  /** Flat: name, value, name, value. */
  #list: string[] = [];
  /** The query that `#list` is yet to be parsed from: most URLs' params are never asked for. */
  #unparsed: string | undefined;
  #url: URL | undefined;

  constructor(init: unknown = "") {
    if (isObject(init)) {
      this.#list = listFromObject(init);
      return;
    }
    const query = USVString(init, "URLSearchParams constructor: init");
    this.#unparsed = query.startsWith("?") ? query.slice(1) : query;
  }

  static {
    isParams = (value): value is URLSearchParams => isObject(value) && #list in value;
    pairsOf = (params) => params.#pairs();
    paramsOf = (url, query) => {
      const params = new URLSearchParams(query);
      params.#url = url;
      return params;
    };
    resetParams = (params, query) => {
      params.#unparsed = query.startsWith("?") ? query.slice(1) : query;
      params.#list = [];
    };
  }

  #pairs(): string[] {
    if (this.#unparsed !== undefined) {
      this.#list = parseUrlEncoded(this.#unparsed);
      this.#unparsed = undefined;
    }
    return this.#list;
  }

  #changed(): void {
    if (this.#url !== undefined) {
      searchChanged(this.#url, serializeUrlEncoded(this.#list));
    }
  }

  get size(): number {
    return this.#pairs().length / 2;
  }

  append(name: string, value: string): void {
    requireArguments(arguments.length, 2, "URLSearchParams.append");
    const pair: [string, string] = [USVString(name, "URLSearchParams.append: name"), USVString(value, "URLSearchParams.append: value")];
    this.#pairs().push(...pair);
    this.#changed();
  }

  delete(name: string, value: string | undefined = undefined): void {
    requireArguments(arguments.length, 1, "URLSearchParams.delete");
    const wanted = USVString(name, "URLSearchParams.delete: name");
    const wantedValue = valueArgument(value, "URLSearchParams.delete: value");
    const list = this.#pairs();
    let kept = 0;
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === wanted && (wantedValue === undefined || list[i + 1] === wantedValue)) {
        continue;
      }
      list[kept] = list[i] as string;
      list[kept + 1] = list[i + 1] as string;
      kept += 2;
    }
    list.length = kept;
    this.#changed();
  }

  get(name: string): string | null {
    requireArguments(arguments.length, 1, "URLSearchParams.get");
    const wanted = USVString(name, "URLSearchParams.get: name");
    const list = this.#pairs();
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === wanted) {
        return list[i + 1] as string;
      }
    }
    return null;
  }

  getAll(name: string): string[] {
    requireArguments(arguments.length, 1, "URLSearchParams.getAll");
    const wanted = USVString(name, "URLSearchParams.getAll: name");
    const list = this.#pairs();
    const values: string[] = [];
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === wanted) {
        values.push(list[i + 1] as string);
      }
    }
    return values;
  }

  has(name: string, value: string | undefined = undefined): boolean {
    requireArguments(arguments.length, 1, "URLSearchParams.has");
    const wanted = USVString(name, "URLSearchParams.has: name");
    const wantedValue = valueArgument(value, "URLSearchParams.has: value");
    const list = this.#pairs();
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === wanted && (wantedValue === undefined || list[i + 1] === wantedValue)) {
        return true;
      }
    }
    return false;
  }

  set(name: string, value: string): void {
    requireArguments(arguments.length, 2, "URLSearchParams.set");
    const wanted = USVString(name, "URLSearchParams.set: name");
    const wantedValue = USVString(value, "URLSearchParams.set: value");
    const list = this.#pairs();
    let kept = 0;
    let found = false;
    for (let i = 0; i < list.length; i += 2) {
      const match = list[i] === wanted;
      if (match && found) {
        continue;
      }
      list[kept] = list[i] as string;
      list[kept + 1] = match ? wantedValue : (list[i + 1] as string);
      found ||= match;
      kept += 2;
    }
    list.length = kept;
    if (!found) {
      list.push(wanted, wantedValue);
    }
    this.#changed();
  }

  sort(): void {
    const list = this.#pairs();
    const order = Array.from({ length: list.length / 2 }, (_, index) => index * 2);
    // By code units, which is what `<` compares; the sort is stable as the standard asks.
    order.sort((a, b) => compareCodeUnits(list[a] as string, list[b] as string));
    this.#list = order.flatMap((index) => [list[index] as string, list[index + 1] as string]);
    this.#changed();
  }

  toString(): string {
    return serializeUrlEncoded(this.#pairs());
  }
}

export interface URLSearchParams {
  entries(): IterableIterator<[string, string]>;
  keys(): IterableIterator<string>;
  values(): IterableIterator<string>;
  forEach(callback: (value: string, name: string, params: URLSearchParams) => void, thisArg?: unknown): void;
  [Symbol.iterator](): IterableIterator<[string, string]>;
}

defineInterface(URL);
defineInterface(URLSearchParams);
definePairIterable(URLSearchParams, "URLSearchParams", (params: URLSearchParams, index) => {
  const list = pairsOf(params);
  const at = index * 2;
  return at < list.length ? [list[at], list[at + 1]] : undefined;
});

function compareCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

const stringSequence = sequence(USVString);
const stringRecord = record(USVString, USVString);

function listFromObject(init: object): string[] {
  const context = "URLSearchParams constructor: init";
  const method = (init as { [Symbol.iterator]?: unknown })[Symbol.iterator];
  if (method === undefined || method === null) {
    return stringRecord(init, context).flat();
  }
  const list: string[] = [];
  for (const pair of sequenceFromMethod(init, method, stringSequence, context)) {
    if (pair.length !== 2) {
      throw new TypeError("Invalid URL search params sequence.");
    }
    list.push(pair[0] as string, pair[1] as string);
  }
  return list;
}

export function isURLSearchParams(value: unknown): value is URLSearchParams {
  return isParams(value);
}

/** The body that `params` is, past any patched method. */
export function urlEncodedBody(params: URLSearchParams): string {
  return serializeUrlEncoded(pairsOf(params));
}

/** application/x-www-form-urlencoded parsing: a flat list of names and values. */
export function parseUrlEncoded(input: string): string[] {
  const list: string[] = [];
  let start = 0;
  while (start <= input.length) {
    let end = input.indexOf("&", start);
    if (end === -1) {
      end = input.length;
    }
    if (end > start) {
      const equals = input.indexOf("=", start);
      const nameEnd = equals === -1 || equals > end ? end : equals;
      list.push(formDecode(input.slice(start, nameEnd)), nameEnd === end ? "" : formDecode(input.slice(nameEnd + 1, end)));
    }
    start = end + 1;
  }
  return list;
}

/** application/x-www-form-urlencoded serialising of a flat list of names and values. */
export function serializeUrlEncoded(list: readonly string[]): string {
  let text = "";
  for (let i = 0; i < list.length; i += 2) {
    text += `${i === 0 ? "" : "&"}${formEncode(list[i] as string)}=${formEncode(list[i + 1] as string)}`;
  }
  return text;
}

const PLAIN = /^[A-Za-z0-9*\-._]*$/;
const REMAINING = /[!'()~]|%20/g;

function formEncode(text: string): string {
  if (PLAIN.test(text)) {
    return text;
  }
  // encodeURIComponent leaves five characters that a form encodes, and spaces are written as plus.
  return encodeComponent(text).replace(REMAINING, (match) =>
    match === "%20" ? "+" : `%${match.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function formDecode(text: string): string {
  const spaced = text.includes("+") ? text.replaceAll("+", " ") : text;
  if (!spaced.includes("%")) {
    return spaced;
  }
  try {
    return decodeComponent(spaced);
  } catch {
    return percentDecodeLossy(spaced);
  }
}

/** Percent-decoding where the escapes are not all well formed, or not all UTF-8. */
function percentDecodeLossy(text: string): string {
  return ops.textDecodeUtf8(percentDecode(ops.textEncode(text)), false, true);
}

/** The standard's percent-decode of bytes. */
export function percentDecode(bytes: Uint8Array): Uint8Array {
  const output = new Uint8Array(bytes.length);
  let length = 0;
  for (let i = 0; i < bytes.length; i += 1) {
    const byte = bytes[i] as number;
    const high = byte === 0x25 && i + 2 < bytes.length ? hexDigit(bytes[i + 1] as number) : -1;
    const low = high >= 0 ? hexDigit(bytes[i + 2] as number) : -1;
    if (low >= 0) {
      output[length] = high * 16 + low;
      i += 2;
    } else {
      output[length] = byte;
    }
    length += 1;
  }
  return output.subarray(0, length);
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) {
    return byte - 0x30;
  }
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1;
}
