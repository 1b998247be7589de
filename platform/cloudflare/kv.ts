// `KvNamespace`: Workers KV over the host's store.
//
// Checks keys and options, and gives values in the form that was asked for. Values go as bodies; metadata and
// expiry as headers and parameters. The limits (512 bytes a key, 25 MiB a value, 1,024 bytes of metadata, 60
// seconds to live) are the documentation's; the host holds them all again.
//
// Invariant: an error of the host reaches the caller as `KV <METHOD> failed: <status> <why>`.

import { TextEncoder } from "../web/encoding.ts";
import { ReadableStream } from "../web/streams/index.ts";
import type { Response } from "../web/response.ts";
import { expectedLength } from "../web/streams/internal.ts";
import { defineInterface, internalToken, isObject, requireArguments, requireInternal } from "../web/webidl.ts";
import { query, registerHosted } from "./hosted.ts";
import type { Hosted } from "./hosted.ts";
import { type OpenSpan, openSpan } from "./trace.ts";

const KEY_BYTES_MAX = 512;
const BULK_KEYS_MAX = 100;
const encoder = new TextEncoder();
const NOT_A_VALUE = "KV put() accepts only strings, ArrayBuffers, ArrayBufferViews, and ReadableStreams as values.";
const NOT_A_TYPE = 'Unknown response type. Possible types are "text", "arrayBuffer", "json", and "stream".';

interface WithMetadata {
  value: unknown;
  metadata: unknown;
  cacheStatus: null;
}

interface ListedKey {
  name: string;
  expiration?: number;
  metadata?: string;
}

interface Listed {
  keys: ListedKey[];
  list_complete: boolean;
  cursor?: string;
}

function checkKey(method: string, key: unknown): string {
  const name = `${key as string}`;
  if (name === "") throw new TypeError("Key name cannot be empty.");
  if (name === "." || name === "..") throw new TypeError(`"${name}" is not allowed as a key name.`);
  const bytes = encoder.encode(name).length;
  if (bytes > KEY_BYTES_MAX) {
    const why = `UTF-8 encoded length of ${bytes} exceeds key length limit of ${KEY_BYTES_MAX}.`;
    throw new Error(`KV ${method} failed: 414 ${why}`);
  }
  return name;
}

function path(key: string): string {
  return `/values/${encodeURIComponent(key)}`;
}

/** Type and cache time out of `"json"` or `{type, cacheTtl}`. */
function getOptions(options: unknown): { type: string | undefined; cacheTtl: number | undefined } {
  if (!isObject(options)) return { type: options === undefined ? undefined : `${options as string}`, cacheTtl: undefined };
  const { type, cacheTtl } = options as { type?: unknown; cacheTtl?: unknown };
  return {
    type: type === undefined ? undefined : `${type as string}`,
    cacheTtl: cacheTtl === undefined ? undefined : Number(cacheTtl) | 0,
  };
}

/** Throws what a caller hears of a request that the host refused. */
function refuseFailure(method: string, response: Response): void {
  if (response.ok) return;
  void response.body?.cancel();
  throw new Error(`KV ${method} failed: ${response.status} ${response.statusText}`);
}

function valueOf(response: Response, type: string): unknown {
  switch (type) {
    case "text":
      return response.text();
    case "json":
      return response.json();
    case "arrayBuffer":
      return response.arrayBuffer();
    case "stream":
      return response.body;
  }
  void response.body?.cancel();
  throw new TypeError(NOT_A_TYPE);
}

function integer(value: unknown): number | undefined {
  return value === undefined ? undefined : Number(value) | 0;
}

function text(value: unknown): string | undefined {
  return value === undefined || value === null ? undefined : `${value as string}`;
}

// ---- What is told of it

function kvSpan(name: string, operation: string, binding: string): OpenSpan | undefined {
  const span = openSpan(name);
  if (span === undefined) return undefined;
  span.set("db.system.name", "cloudflare-kv");
  span.set("db.operation.name", operation);
  span.set("cloudflare.binding.name", binding);
  span.set("cloudflare.binding.type", "KV");
  return span;
}

/** Chars of the keys of a bulk read that are told. */
const TOLD_KEYS_CHARS_MAX = 512;

function tellKeys(span: OpenSpan, names: readonly string[], type?: string, cacheTtl?: number): void {
  const keys = names.join(", ");
  span.set("cloudflare.kv.query.keys", keys.length > TOLD_KEYS_CHARS_MAX ? `${keys.slice(0, TOLD_KEYS_CHARS_MAX - 3)}...` : keys);
  span.count("cloudflare.kv.query.keys.count", names.length);
  span.set("cloudflare.kv.query.type", type);
  span.count("cloudflare.kv.query.cache_ttl", cacheTtl);
}

function tellSize(span: OpenSpan, response: Response): void {
  const { body } = response;
  span.count("cloudflare.kv.response.size", body === null ? 0 : expectedLength(body));
}

function tellValue(span: OpenSpan, value: unknown): void {
  if (value instanceof ReadableStream) {
    span.set("cloudflare.kv.query.value_type", "ReadableStream");
    span.count("cloudflare.kv.query.payload.size", expectedLength(value));
  } else if (typeof value === "string") {
    span.set("cloudflare.kv.query.value_type", "text");
    span.count("cloudflare.kv.query.payload.size", encoder.encode(value).length);
  } else {
    span.set("cloudflare.kv.query.value_type", "ArrayBuffer");
    span.count("cloudflare.kv.query.payload.size", (value as ArrayBuffer).byteLength);
  }
}

export class KvNamespace {
  readonly #hosted: Hosted;
  readonly #binding: string;

  constructor(token: unknown, hosted: Hosted, binding: string) {
    requireInternal(token);
    this.#hosted = hosted;
    this.#binding = binding;
  }

  async get(key: unknown, options?: unknown): Promise<unknown> {
    requireArguments(arguments.length, 1, "KvNamespace.get");
    const span = kvSpan("kv_get", "get", this.#binding);
    try {
      if (Array.isArray(key)) return await this.#bulk(key, options, false, span);
      return (await this.#one(key, options, span)).value;
    } finally {
      span?.end();
    }
  }

  async getWithMetadata(key: unknown, options?: unknown): Promise<unknown> {
    requireArguments(arguments.length, 1, "KvNamespace.getWithMetadata");
    const span = kvSpan("kv_getWithMetadata", "get", this.#binding);
    try {
      return await (Array.isArray(key) ? this.#bulk(key, options, true, span) : this.#one(key, options, span));
    } finally {
      span?.end();
    }
  }

  async #one(key: unknown, given: unknown, span: OpenSpan | undefined): Promise<WithMetadata> {
    const name = checkKey("GET", key);
    const { type, cacheTtl } = getOptions(given);
    if (span !== undefined) tellKeys(span, [name], type, cacheTtl);
    const response = await this.#hosted.ask("GET", path(name) + query({ cache_ttl: cacheTtl }));
    if (response.status === 404) return { value: null, metadata: null, cacheStatus: null };
    refuseFailure("GET", response);
    const metadata = response.headers.get("cf-kv-metadata");
    if (span !== undefined) {
      if (metadata !== null) span.set("cloudflare.kv.response.metadata", true);
      tellSize(span, response);
      span.count("cloudflare.kv.response.returned_rows", 1);
    }
    const value = await valueOf(response, type ?? "text");
    return { value, metadata: metadata === null ? null : JSON.parse(decodeURIComponent(metadata)), cacheStatus: null };
  }

  async #bulk(keys: unknown[], given: unknown, withMetadata: boolean, span: OpenSpan | undefined): Promise<Map<string, unknown>> {
    const { type, cacheTtl } = getOptions(given);
    const refuse = (status: number, why: string): never => {
      throw new Error(`KV GET_BULK failed: ${status} ${why}`);
    };
    if (keys.length === 0) refuse(400, "You must request a minimum of 1 key");
    if (keys.length > BULK_KEYS_MAX) refuse(400, `You can request a maximum of ${BULK_KEYS_MAX} keys`);
    if (type !== undefined && type !== "text" && type !== "json") {
      refuse(400, `"${type}" is not a valid type. Use "json" or "text"`);
    }
    const names = keys.map((key) => checkKey("GET_BULK", key));
    if (span !== undefined) tellKeys(span, names, type, cacheTtl);
    const response = await this.#hosted.ask("POST", "/bulk/get", { body: JSON.stringify({ keys: names, cacheTtl }) });
    refuseFailure("GET_BULK", response);
    if (span !== undefined) tellSize(span, response);
    const found = (await response.json()) as [name: string, value: string, metadata: string | null][];
    const values = new Map<string, unknown>(names.map((name) => [name, null]));
    span?.count("cloudflare.kv.response.returned_rows", values.size);
    for (const [name, value, metadata] of found) {
      const whole = type === "json" ? (JSON.parse(value) as unknown) : value;
      values.set(name, withMetadata ? { value: whole, metadata: metadata === null ? null : JSON.parse(metadata) } : whole);
    }
    if (!withMetadata) return values;
    for (const [name, value] of values) if (value === null) values.set(name, { value: null, metadata: null });
    return values;
  }

  async list(options?: unknown): Promise<object> {
    const span = kvSpan("kv_list", "list", this.#binding);
    try {
      return await this.#list(options, span);
    } finally {
      span?.end();
    }
  }

  async #list(options: unknown, span: OpenSpan | undefined): Promise<object> {
    const given = (options ?? {}) as { limit?: unknown; prefix?: unknown; cursor?: unknown };
    const [limit, prefix, cursor] = [integer(given.limit), text(given.prefix), text(given.cursor)];
    if (span !== undefined) {
      span.count("cloudflare.kv.query.limit", limit);
      span.set("cloudflare.kv.query.prefix", prefix);
      span.set("cloudflare.kv.query.cursor", cursor);
    }
    const response = await this.#hosted.ask("GET", `/keys${query({ limit, prefix, cursor })}`);
    refuseFailure("GET", response);
    if (span !== undefined) tellSize(span, response);
    const listed = (await response.json()) as Listed;
    if (span !== undefined) {
      span.set("cloudflare.kv.response.list_complete", listed.list_complete);
      span.set("cloudflare.kv.response.cursor", listed.cursor);
      span.count("cloudflare.kv.response.returned_rows", listed.keys.length);
    }
    const keys = listed.keys.map(({ metadata, ...rest }) =>
      metadata === undefined ? rest : { ...rest, metadata: JSON.parse(metadata) as unknown },
    );
    return { ...listed, keys, cacheStatus: null };
  }

  async put(key: unknown, value: unknown, options?: unknown): Promise<void> {
    requireArguments(arguments.length, 2, "KvNamespace.put");
    const name = checkKey("PUT", key);
    const span = kvSpan("kv_put", "put", this.#binding);
    try {
      await this.#put(name, value, options, span);
    } finally {
      span?.end();
    }
  }

  async #put(name: string, value: unknown, options: unknown, span: OpenSpan | undefined): Promise<void> {
    if (span !== undefined) tellKeys(span, [name]);
    const given = (options ?? {}) as Record<string, unknown>;
    const { metadata } = given;
    const [expiration, expirationTtl] = [integer(given["expiration"]), integer(given["expirationTtl"])];
    if (span !== undefined) {
      span.count("cloudflare.kv.query.expiration", expiration);
      span.count("cloudflare.kv.query.expiration_ttl", expirationTtl);
      if (metadata !== undefined && metadata !== null) span.set("cloudflare.kv.query.metadata", true);
    }
    const headers: Record<string, string> = {};
    if (metadata !== undefined && metadata !== null) {
      headers["cf-kv-metadata"] = encodeURIComponent(JSON.stringify(metadata));
    }
    let body = value;
    if (isObject(value)) {
      const bytes = value instanceof ArrayBuffer || ArrayBuffer.isView(value);
      if (!bytes && !(value instanceof ReadableStream)) throw new TypeError(NOT_A_VALUE);
    } else {
      body = `${value as string}`;
    }
    if (span !== undefined) tellValue(span, body);
    const parameters = query({ expiration, expiration_ttl: expirationTtl });
    const response = await this.#hosted.ask("PUT", path(name) + parameters, { headers, body });
    refuseFailure("PUT", response);
  }

  async delete(key: unknown): Promise<void> {
    requireArguments(arguments.length, 1, "KvNamespace.delete");
    const name = checkKey("DELETE", key);
    const span = kvSpan("kv_delete", "delete", this.#binding);
    try {
      if (span !== undefined) tellKeys(span, [name]);
      refuseFailure("DELETE", await this.#hosted.ask("DELETE", path(name)));
    } finally {
      span?.end();
    }
  }

  async deleteBulk(keys: unknown): Promise<void> {
    requireArguments(arguments.length, 1, "KvNamespace.deleteBulk");
    const names = (Array.isArray(keys) ? keys : [keys]).map((key) => checkKey("DELETE", key));
    // An RPC call on Workers, and told as one.
    const span = openSpan("jsRpcSession");
    try {
      refuseFailure("DELETE", await this.#hosted.ask("POST", "/bulk/delete", { body: JSON.stringify({ keys: names }) }));
    } finally {
      span?.end();
    }
  }
}
defineInterface(KvNamespace);

registerHosted("kv", (hosted, name) => new KvNamespace(internalToken, hosted, name));
