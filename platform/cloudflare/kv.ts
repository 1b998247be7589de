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
import { defineInterface, internalToken, isObject, requireArguments, requireInternal } from "../web/webidl.ts";
import { query, registerHosted } from "./hosted.ts";
import type { Hosted } from "./hosted.ts";

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

export class KvNamespace {
  readonly #hosted: Hosted;

  constructor(token: unknown, hosted: Hosted) {
    requireInternal(token);
    this.#hosted = hosted;
  }

  async get(key: unknown, options?: unknown): Promise<unknown> {
    requireArguments(arguments.length, 1, "KvNamespace.get");
    if (Array.isArray(key)) return this.#bulk(key, options, false);
    return (await this.#one(key, options)).value;
  }

  async getWithMetadata(key: unknown, options?: unknown): Promise<unknown> {
    requireArguments(arguments.length, 1, "KvNamespace.getWithMetadata");
    return Array.isArray(key) ? this.#bulk(key, options, true) : this.#one(key, options);
  }

  async #one(key: unknown, given: unknown): Promise<WithMetadata> {
    const name = checkKey("GET", key);
    const { type, cacheTtl } = getOptions(given);
    const response = await this.#hosted.ask("GET", path(name) + query({ cache_ttl: cacheTtl }));
    if (response.status === 404) return { value: null, metadata: null, cacheStatus: null };
    refuseFailure("GET", response);
    const metadata = response.headers.get("cf-kv-metadata");
    const value = await valueOf(response, type ?? "text");
    return { value, metadata: metadata === null ? null : JSON.parse(decodeURIComponent(metadata)), cacheStatus: null };
  }

  async #bulk(keys: unknown[], given: unknown, withMetadata: boolean): Promise<Map<string, unknown>> {
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
    const response = await this.#hosted.ask("POST", "/bulk/get", { body: JSON.stringify({ keys: names, cacheTtl }) });
    refuseFailure("GET_BULK", response);
    const found = (await response.json()) as [name: string, value: string, metadata: string | null][];
    const values = new Map<string, unknown>(names.map((name) => [name, null]));
    for (const [name, value, metadata] of found) {
      const whole = type === "json" ? (JSON.parse(value) as unknown) : value;
      values.set(name, withMetadata ? { value: whole, metadata: metadata === null ? null : JSON.parse(metadata) } : whole);
    }
    if (!withMetadata) return values;
    for (const [name, value] of values) if (value === null) values.set(name, { value: null, metadata: null });
    return values;
  }

  async list(options?: unknown): Promise<object> {
    const { limit, prefix, cursor } = (options ?? {}) as { limit?: unknown; prefix?: unknown; cursor?: unknown };
    const response = await this.#hosted.ask(
      "GET",
      `/keys${query({ limit: integer(limit), prefix: text(prefix), cursor: text(cursor) })}`,
    );
    refuseFailure("GET", response);
    const listed = (await response.json()) as Listed;
    const keys = listed.keys.map(({ metadata, ...rest }) =>
      metadata === undefined ? rest : { ...rest, metadata: JSON.parse(metadata) as unknown },
    );
    return { ...listed, keys, cacheStatus: null };
  }

  async put(key: unknown, value: unknown, options?: unknown): Promise<void> {
    requireArguments(arguments.length, 2, "KvNamespace.put");
    const name = checkKey("PUT", key);
    const { expiration, expirationTtl, metadata } = (options ?? {}) as Record<string, unknown>;
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
    const parameters = query({ expiration: integer(expiration), expiration_ttl: integer(expirationTtl) });
    const response = await this.#hosted.ask("PUT", path(name) + parameters, { headers, body });
    refuseFailure("PUT", response);
  }

  async delete(key: unknown): Promise<void> {
    requireArguments(arguments.length, 1, "KvNamespace.delete");
    refuseFailure("DELETE", await this.#hosted.ask("DELETE", path(checkKey("DELETE", key))));
  }

  async deleteBulk(keys: unknown): Promise<void> {
    requireArguments(arguments.length, 1, "KvNamespace.deleteBulk");
    const names = (Array.isArray(keys) ? keys : [keys]).map((key) => checkKey("DELETE", key));
    refuseFailure("DELETE", await this.#hosted.ask("POST", "/bulk/delete", { body: JSON.stringify({ keys: names }) }));
  }
}
defineInterface(KvNamespace);

registerHosted("kv", (hosted) => new KvNamespace(internalToken, hosted));
