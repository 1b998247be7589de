// `caches`, `Cache`: responses that the host keeps for this Worker.
//
// The host is asked with requests for the very URL that is the key; `cf` carries the cache's name and, for
// `put()`, the response's head, whose body is the request's. Whether a response is kept, for how long, ranges
// and conditional requests are the host's (`crates/host/bindings/src/cache.rs`). The capability is asked for
// at the first use, so that a Worker without caches pays nothing.
//
// Deliberately absent, as on Workers: `add`, `addAll`, `matchAll`, `keys` and all of `caches` but `open` and
// `default`.
//
// Invariant: a body given to `put()` is used once it returns, whether or not anything is kept.

import { wire } from "../ops.ts";
import type { Outcome, RequestHead } from "../ops.ts";
import { TextEncoder } from "../web/encoding.ts";
import { requestToWire, responseFromWire, responseToWire } from "../web/fetch-wire.ts";
import type { Headers } from "../web/headers.ts";
import { Request, isRequest } from "../web/request.ts";
import { isResponse } from "../web/response.ts";
import type { Response } from "../web/response.ts";
import { URL } from "../web/url.ts";
import { warn } from "../web/warnings.ts";
import { expectedLength } from "../web/streams/internal.ts";
import { USVString, boolean, defineInterface, dictionary, internalToken, interfaceType, optional, requireArguments, requireInternal } from "../web/webidl.ts";
import { deliverThrough } from "./calls.ts";
import { hold, newSlot } from "./caps.ts";
import type { Cap } from "./caps.ts";
import { followCurrent } from "./context.ts";
import { errorOf } from "./failures.ts";
import { type OpenSpan, openSpan } from "./trace.ts";

/** Bytes of a cache's name. */
const NAME_BYTES_MAX = 1024;

const NOT_A_KEY = "Invalid URL. Cache API keys must be fully-qualified, valid URLs.";
const encoder = new TextEncoder();
const queryOptions = dictionary("CacheQueryOptions", { ignoreMethod: optional(boolean) });
const response = interfaceType("Response", isResponse);

let own: Cap | undefined;

function room(): Cap {
  if (own === undefined) {
    const slot = newSlot();
    wire.getCaches(slot);
    own = hold(slot, "service");
  }
  return own;
}

/** A request that is its own key; its body is not touched. */
function keyOf(input: unknown): Request {
  const request = isRequest(input) ? input : new Request(input);
  const { protocol } = new URL(request.url);
  if (protocol !== "http:" && protocol !== "https:") throw new TypeError(NOT_A_KEY);
  return request;
}

function answered(outcome: Outcome): Response {
  if (outcome[0] === "response") return responseFromWire(outcome[1], outcome[2]);
  if (outcome[0] === "failed") throw errorOf(outcome[1]);
  throw new TypeError(`A cache answered with a ${outcome[0]}.`);
}

/** Headers that are told; a dash in their names becomes an underscore. */
const CONDITIONS = ["range", "if-modified-since", "if-none-match"];
const LIFETIMES = ["cache-control", "cache-tag", "etag", "expires", "last-modified"];

function tellKey(span: OpenSpan, request: Request): void {
  span.set("cache.request.url", request.url);
  span.set("cache.request.method", request.method);
}

function tellHeaders(span: OpenSpan, place: string, headers: Headers, names: readonly string[]): void {
  for (const name of names) span.set(`${place}.${name.replaceAll("-", "_")}`, headers.get(name));
}

function refuse(member: string, type: string): never {
  throw new Error(`Failed to execute '${member}' on '${type}': the method is not implemented.`);
}

export class Cache {
  /** Undefined is `caches.default`. */
  readonly #name: string | undefined;

  constructor(token: unknown = undefined, name: unknown = undefined) {
    requireInternal(token);
    this.#name = name as string | undefined;
  }

  async match(input: unknown, options: unknown = undefined): Promise<Response | undefined> {
    requireArguments(arguments.length, 1, "Cache.match");
    const span = openSpan("cache_match");
    try {
      return await this.#match(input, options, span);
    } finally {
      span?.end();
    }
  }

  async #match(input: unknown, options: unknown, span: OpenSpan | undefined): Promise<Response | undefined> {
    const { ignoreMethod } = queryOptions(options, "Cache.match: options");
    span?.set("cache.request.ignore_method", ignoreMethod);
    const request = keyOf(input);
    if (span !== undefined) tellKey(span, request);
    if (request.method !== "GET" && ignoreMethod !== true) return undefined;
    if (span !== undefined) tellHeaders(span, "cache.request.header", request.headers, CONDITIONS);
    const found = answered(await this.#ask("GET", request));
    const status = found.headers.get("cf-cache-status");
    if (span !== undefined) {
      span.count("cache.response.status_code", found.status);
      span.count("cache.response.body.size", found.body === null ? 0 : expectedLength(found.body));
      span.set("cache.response.cache_status", status);
      span.set("cache.response.success", status === "HIT");
    }
    if (status === "HIT") return found;
    void found.body?.cancel();
    return undefined;
  }

  async put(input: unknown, given: unknown): Promise<void> {
    requireArguments(arguments.length, 2, "Cache.put");
    const kept = response(given, "Cache.put: response");
    if (kept.type === "error") throw new TypeError("Cache is unable to store an error response");
    const request = keyOf(input);
    const span = openSpan("cache_put");
    try {
      await this.#put(request, kept, span);
    } finally {
      span?.end();
    }
  }

  async #put(request: Request, kept: Response, span: OpenSpan | undefined): Promise<void> {
    if (span !== undefined) {
      tellKey(span, request);
      span.count("cache.request.payload.status_code", kept.status);
    }
    if (request.method !== "GET") throw new TypeError("Cannot cache response to non-GET request.");
    if (kept.status === 206) throw new TypeError("Cannot cache response to a range request (206 Partial Content).");
    if (kept.headers.get("vary")?.includes("*")) throw new TypeError("Cannot cache response with 'Vary: *' header.");
    if (span !== undefined) tellHeaders(span, "cache.request.payload.header", kept.headers, LIFETIMES);
    if (kept.webSocket !== null) throw new TypeError("Cannot cache WebSocket upgrade response.");
    if (kept.status === 304) {
      warn(
        "Ignoring attempt to Cache.put() a 304 status response. 304 responses are not meaningful to cache, and a " +
          "potential source of bugs. Consider validating that the response status is meaningful to cache before " +
          "calling Cache.put().",
      );
      return;
    }
    const { head, body, finished } = responseToWire(kept);
    span?.count("cache.request.payload.size", body instanceof Uint8Array ? body.length : Array.isArray(body) ? body[1] : 0);
    const { status, statusText, headers, encoded } = head;
    const cf = JSON.stringify({ name: this.#name, response: { status, statusText, headers, encoded } });
    const asked: RequestHead = { method: "PUT", url: request.url, headers: [], redirect: "manual", cf, encoded: false };
    const outcome = deliverThrough(room(), ["fetch", asked, body]);
    if (Array.isArray(body)) followCurrent(finished);
    // What was not kept (413) is the cache's own affair.
    const { status: said } = answered(await outcome);
    span?.set("cache.response.success", said === 204);
  }

  async delete(input: unknown, options: unknown = undefined): Promise<boolean> {
    requireArguments(arguments.length, 1, "Cache.delete");
    const span = openSpan("cache_delete");
    try {
      return await this.#delete(input, options, span);
    } finally {
      span?.end();
    }
  }

  async #delete(input: unknown, options: unknown, span: OpenSpan | undefined): Promise<boolean> {
    const { ignoreMethod } = queryOptions(options, "Cache.delete: options");
    span?.set("cache.request.ignore_method", ignoreMethod);
    const request = keyOf(input);
    if (span !== undefined) tellKey(span, request);
    if (request.method !== "GET" && ignoreMethod !== true) return false;
    const { status } = answered(await this.#ask("DELETE", request));
    span?.count("cache.response.status_code", status);
    span?.set("cache.response.success", status === 200);
    return status === 200;
  }

  #ask(method: string, request: Request): Promise<Outcome> {
    const cap = room();
    const { head } = requestToWire(new Request(request.url, { headers: request.headers }));
    return deliverThrough(cap, ["fetch", { ...head, method, cf: JSON.stringify({ name: this.#name }) }, undefined]);
  }

  add(): never {
    return refuse("add", "Cache");
  }

  addAll(): never {
    return refuse("addAll", "Cache");
  }

  matchAll(): never {
    return refuse("matchAll", "Cache");
  }

  keys(): never {
    return refuse("keys", "Cache");
  }
}
defineInterface(Cache);

export class CacheStorage {
  readonly #default: Cache;

  constructor(token: unknown = undefined) {
    requireInternal(token);
    this.#default = new Cache(internalToken);
    // Of the instance, as on Workers.
    Object.defineProperty(this, "default", { get: () => this.#default, enumerable: true, configurable: true });
  }

  async open(name: unknown): Promise<Cache> {
    requireArguments(arguments.length, 1, "CacheStorage.open");
    const given = USVString(name, "CacheStorage.open: cacheName");
    if (encoder.encode(given).length >= NAME_BYTES_MAX) throw new TypeError("Cache name is too long.");
    return new Cache(internalToken, given);
  }

  delete(): never {
    return refuse("delete", "CacheStorage");
  }

  has(): never {
    return refuse("has", "CacheStorage");
  }

  keys(): never {
    return refuse("keys", "CacheStorage");
  }

  match(): never {
    return refuse("match", "CacheStorage");
  }
}
defineInterface(CacheStorage);

export const globals: Record<string, unknown> = { Cache, CacheStorage, caches: new CacheStorage(internalToken) };
