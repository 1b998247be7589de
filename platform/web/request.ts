// Request (Fetch), with what Workers add to it (`cf`, `encodeResponseBody`) and leave out.
//
// Left out, as in Workers, are the members that only a browser has a use for: mode, credentials,
// destination, referrer, referrerPolicy and the navigation flags. Init members for them are ignored.
// A GET or HEAD request that was received with a body keeps it when it is rebuilt, so that a proxy
// passes on what it got.
//
// Invariant: `url` is a serialised absolute URL and `method` a valid token.

import { engine, ops } from "../ops.ts";
import { has as compatFlag } from "../cloudflare/compat.ts";
import { AbortSignal, createSignal, followSignals, signalConverter } from "./abort.ts";
import {
  Body,
  type BodyState,
  assertUsable,
  bodyState,
  cloneBody,
  extractBody,
  setBody,
  takeBody,
  typeByDefault,
} from "./body.ts";
import { Headers, copyHeaders, headersFromInit } from "./headers.ts";
import { DOMString, USVString, defineInterface, internalToken, isObject, requireArguments } from "./webidl.ts";

export type Redirect = "follow" | "manual" | "error";
export type CacheMode = "no-store" | "no-cache" | "reload";
export type EncodeBody = "automatic" | "manual";

/** What the platform itself makes a Request from. */
export interface RequestParts {
  method: string;
  url: string;
  headers: Headers;
  body: BodyState | undefined;
  redirect: Redirect;
  /** JSON, empty for none; parsed when `cf` is read. */
  cf: string;
  signal: AbortSignal | undefined;
  /** Left out, it is automatic. */
  responseEncoding?: EncodeBody;
}

const JSON_parse = JSON.parse;
const JSON_stringify = JSON.stringify;

let internals: {
  is(value: unknown): value is Request;
  fromParts(parts: RequestParts): Request;
  signal(request: Request): AbortSignal | undefined;
  integrity(request: Request): string;
  cfJson(request: Request): string;
  responseEncoding(request: Request): EncodeBody;
};

export class Request extends Body {
  #method = "GET";
  #url = "";
  #headers: Headers | undefined;
  #redirect: Redirect = "follow";
  #cache: CacheMode | undefined;
  #integrity = "";
  #encodeResponseBody: EncodeBody = "automatic";
  #signal: AbortSignal | undefined;
  /** What `signal` shows: one that follows the given one, or never aborts where none was given. */
  #shownSignal: AbortSignal | undefined;
  #cf: object | undefined;
  /** `cf` as it came over the wire, until it is read. */
  #cfJson = "";

  constructor(input: unknown, init: unknown = undefined) {
    super(internalToken);
    if (input === internalToken) {
      return;
    }
    requireArguments(arguments.length, 1, "Request constructor");
    if (init !== undefined && init !== null && !isObject(init)) {
      throw new TypeError(
        "Failed to construct 'Request': constructor parameter 2 is not of type 'RequestInitializerDict or Request'.",
      );
    }
    const given = (init ?? undefined) as RequestInitObject | undefined;
    let inherited: BodyState | undefined;
    if (internals.is(input)) {
      inherited = this.#copyFrom(input);
    } else {
      this.#url = parseUrl(input);
    }
    this.#setBody(this.#applyInit(given), inherited, internals.is(input) ? input : undefined);
  }

  static {
    internals = {
      is: (value): value is Request => isObject(value) && #method in value,
      fromParts(parts) {
        const request = new Request(internalToken);
        request.#method = parts.method;
        request.#url = parts.url;
        request.#headers = parts.headers;
        request.#redirect = parts.redirect;
        request.#cfJson = parts.cf;
        request.#encodeResponseBody = parts.responseEncoding ?? "automatic";
        request.#signal = parts.signal;
        request.#shownSignal = parts.signal;
        setBody(request, parts.body, parts.headers);
        return request;
      },
      signal: (request) => request.#signal,
      integrity: (request) => request.#integrity,
      cfJson: (request) => request.#cfJsonNow(),
      responseEncoding: (request) => request.#encodeResponseBody,
    };
  }

  #copyFrom(input: Request): BodyState | undefined {
    this.#method = input.#method;
    this.#url = input.#url;
    this.#headers = copyHeaders(input.#headers as Headers, "none");
    this.#redirect = input.#redirect;
    this.#cache = input.#cache;
    this.#integrity = input.#integrity;
    this.#encodeResponseBody = input.#encodeResponseBody;
    this.#signal = input.#signal;
    this.#copyCf(input);
    return bodyState(input);
  }

  #copyCf(input: Request): void {
    if (input.#cf === undefined) {
      this.#cfJson = input.#cfJson;
    } else {
      this.#cf = cloneCf(input.#cf);
    }
  }

  /** Applies everything of `init` but its body, which is returned as given. */
  #applyInit(init: RequestInitObject | undefined): unknown {
    if (init === undefined) {
      return undefined;
    }
    // Read in alphabetical order, as Web IDL reads a dictionary.
    const { body, cache, cf, encodeResponseBody, headers, integrity, method, redirect, signal } = init;
    if (integrity !== undefined) {
      this.#integrity = DOMString(integrity, "Request constructor: integrity");
    }
    if (method !== undefined) {
      this.#method = parseMethod(method);
    }
    if (headers !== undefined) {
      this.#headers = headersFromInit(headers, "Request constructor: headers");
    }
    if (signal !== undefined) {
      this.#signal = signal === null ? undefined : signalConverter(signal, "Request constructor: signal");
    }
    if (cf !== undefined && cf !== null) {
      checkCf(cf, cache);
      this.#cf = cloneCf(cf as object);
      this.#cfJson = "";
    }
    if (redirect !== undefined) {
      this.#redirect = parseRedirect(redirect);
    }
    if (cache !== undefined) {
      if (!compatFlag("cache_option_enabled")) {
        throw new Error("The 'cache' field on 'RequestInitializerDict' is not implemented.");
      }
      this.#cache = parseCache(cache);
    }
    if (internals.is(init)) {
      this.#encodeResponseBody = init.#encodeResponseBody;
    } else if (encodeResponseBody !== undefined) {
      this.#encodeResponseBody = parseEncodeBody(encodeResponseBody, "encodeResponseBody");
    }
    if (method !== undefined || (body !== undefined && body !== null)) {
      this.#refuseBodyOfGet(body !== undefined && body !== null);
    }
    return body;
  }

  #refuseBodyOfGet(hasBody: boolean): void {
    if (hasBody && (this.#method === "GET" || this.#method === "HEAD")) {
      throw new TypeError("Request with a GET or HEAD method cannot have a body.");
    }
  }

  #setBody(given: unknown, inherited: BodyState | undefined, input: Request | undefined): void {
    const headers = (this.#headers ??= new Headers());
    if (given !== undefined && given !== null) {
      const { state, type } = extractBody(given, "Request constructor: body");
      if (type !== null) {
        typeByDefault(headers, type);
      }
      setBody(this, state, headers);
      return;
    }
    // `body: null` drops the body of the input; no `body` at all takes it over.
    if (given === null || inherited === undefined) {
      setBody(this, undefined, headers);
      return;
    }
    try {
      assertUsable(inherited);
    } catch {
      throw new TypeError("Cannot reconstruct a Request with a used body.");
    }
    // A method of its own brings the rule for GET and HEAD with it.
    this.#refuseBodyOfGet(input !== undefined && input.#method !== this.#method);
    setBody(this, takeBody(inherited), headers);
  }

  get method(): string {
    return this.#method;
  }

  get url(): string {
    return this.#url;
  }

  get headers(): Headers {
    return this.#headers as Headers;
  }

  get redirect(): Redirect {
    return this.#redirect;
  }

  get signal(): AbortSignal {
    this.#shownSignal ??= this.#signal === undefined ? createSignal() : followSignals([this.#signal]);
    return this.#shownSignal;
  }

  get cf(): unknown {
    if (this.#cf === undefined && this.#cfJson !== "") {
      this.#cf = JSON_parse(this.#cfJson) as object;
      this.#cfJson = "";
    }
    return this.#cf;
  }

  get cache(): CacheMode | undefined {
    return this.#cache;
  }

  get integrity(): string {
    return this.#integrity;
  }

  get keepalive(): boolean {
    this.#method;
    return false;
  }

  clone(): Request {
    const body = bodyState(this);
    if (body !== undefined) {
      assertUsable(body);
    }
    const clone = new Request(internalToken);
    const headers = copyHeaders(this.#headers as Headers);
    clone.#method = this.#method;
    clone.#url = this.#url;
    clone.#headers = headers;
    clone.#redirect = this.#redirect;
    clone.#cache = this.#cache;
    clone.#integrity = this.#integrity;
    clone.#encodeResponseBody = this.#encodeResponseBody;
    clone.#signal = this.#signal;
    clone.#copyCf(this);
    setBody(clone, body === undefined ? undefined : cloneBody(body), headers);
    return clone;
  }

  #cfJsonNow(): string {
    if (this.#cache !== undefined) {
      return JSON_stringify({ ...cacheAsCf(this.#cache), ...(this.cf as object | undefined) });
    }
    return this.#cf === undefined ? this.#cfJson : JSON_stringify(this.#cf);
  }
}

defineInterface(Request);

interface RequestInitObject {
  body?: unknown;
  cache?: unknown;
  cf?: unknown;
  encodeResponseBody?: unknown;
  headers?: unknown;
  integrity?: unknown;
  method?: unknown;
  redirect?: unknown;
  signal?: unknown;
}

// ---- Members of init -------------------------------------------------------------------------

function parseUrl(input: unknown): string {
  const text = USVString(input, "Request constructor: input");
  const parsed = ops.urlParse(text, undefined);
  if (parsed === undefined) {
    throw new TypeError(`Invalid URL: ${text}`);
  }
  return parsed[0] as string;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const USUAL_METHOD = /^(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH)$/;
/** Those that the standard writes in upper case whatever the caller wrote. */
const NORMALIZED_METHOD = /^(?:GET|HEAD|POST|PUT|DELETE|OPTIONS)$/i;
const FORBIDDEN_METHOD = /^(?:CONNECT|TRACE|TRACK)$/i;

function parseMethod(value: unknown): string {
  const method = DOMString(value, "Request constructor: method");
  if (USUAL_METHOD.test(method)) {
    return method;
  }
  if (!TOKEN.test(method) || FORBIDDEN_METHOD.test(method)) {
    throw new TypeError(`Invalid HTTP method string: ${method}`);
  }
  return NORMALIZED_METHOD.test(method) || compatFlag("upper_case_all_http_methods") ? method.toUpperCase() : method;
}

function parseRedirect(value: unknown): Redirect {
  const redirect = DOMString(value, "Request constructor: redirect");
  if (redirect === "follow" || redirect === "manual" || redirect === "error") {
    return redirect;
  }
  throw new TypeError(`Invalid redirect value '${redirect}', must be one of "follow", "manual" or "error".`);
}

function parseCache(value: unknown): CacheMode | undefined {
  const cache = DOMString(value, "Request constructor: cache");
  if (cache === "no-store" || cache === "no-cache" || cache === "reload") {
    return cache;
  }
  throw new TypeError(`Unsupported cache mode: ${cache}`);
}

export function parseEncodeBody(value: unknown, what: string): EncodeBody {
  const text = DOMString(value, what);
  if (text === "automatic" || text === "manual") {
    return text;
  }
  throw new TypeError(`${what}: unexpected value: ${text}`);
}

function checkCf(cf: unknown, cache: unknown): void {
  if (!isObject(cf)) {
    throw new TypeError(
      "Incorrect type for the 'cf' field on 'RequestInitializerDict': the provided value is not of type 'Object'.",
    );
  }
  const { cacheControl, cacheTtl } = cf as { cacheControl?: unknown; cacheTtl?: unknown };
  if (cacheControl === undefined) return;
  if (cacheTtl !== undefined) {
    throw new TypeError(
      "The 'cacheControl' and 'cacheTtl' options on cf are mutually exclusive. Use 'cacheControl' for explicit " +
        "Cache-Control header directives, or 'cacheTtl' for a simplified TTL, but not both.",
    );
  }
  if (cache !== undefined) {
    throw new TypeError(
      "The 'cacheControl' option on cf cannot be used together with the 'cache' request option. The 'cache' option " +
        "('no-store'/'no-cache') maps to cache TTL behavior internally, which conflicts with explicit Cache-Control " +
        "directives.",
    );
  }
}

export function cloneCf(cf: object): object {
  return engine.structuredClone(cf, []) as object;
}

/** What a cache mode asks of the cache in front of the origin, in the words of `cf`. */
function cacheAsCf(mode: CacheMode): object {
  switch (mode) {
    case "no-store":
      return { cacheTtl: -1, cacheLevel: "bypass", cacheControl: "no-store" };
    case "reload":
      return { cacheLevel: "bypass" };
    case "no-cache":
      return { cacheForceRevalidate: true, cacheControl: "no-cache" };
  }
}

// ---- For the rest of the platform ------------------------------------------------------------

export function isRequest(value: unknown): value is Request {
  return internals.is(value);
}

export function requestFromParts(parts: RequestParts): Request {
  return internals.fromParts(parts);
}

/** The signal that was given, if any: one that is merely asked for never aborts. */
export function requestSignal(request: Request): AbortSignal | undefined {
  return internals.signal(request);
}

/** What the response's bytes must hash to, in the form of Subresource Integrity. */
export function requestIntegrity(request: Request): string {
  return internals.integrity(request);
}

/** `cf` as JSON, empty for none. */
export function requestCfJson(request: Request): string {
  return internals.cfJson(request);
}

/** What to do with a content encoding of the response. */
export function requestResponseEncoding(request: Request): EncodeBody {
  return internals.responseEncoding(request);
}
