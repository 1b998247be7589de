// `R2Bucket` and what it gives: R2 over the host's bucket.
//
// Adds to the host's answers the classes, the forms of bytes, and what is wrong with an argument before anything
// is asked. Bytes are bodies, what they are for stands in a header. The host holds every limit again.
//
// Invariant: a refusal of the host reaches the caller as `<operation>: <why> (<code>)`.

import { type Blob, blobFromBytes, isBlob } from "../web/blob.ts";
import { TextEncoder } from "../web/encoding.ts";
import { Headers, isHeaders } from "../web/headers.ts";
import type { Response } from "../web/response.ts";
import { expectedLength } from "../web/streams/internal.ts";
import { type ReadableStream, isReadableStream } from "../web/streams/readable.ts";
import {
  bytesView,
  defineInterface,
  internalToken,
  isBufferSource,
  isObject,
  requireArguments,
  requireInternal,
} from "../web/webidl.ts";
import { has } from "./compat.ts";
import { registerHosted } from "./hosted.ts";
import type { Hosted } from "./hosted.ts";
import { r2Span, tellAnswer, tellBody, tellObject, tellQuestion, uploadSpan } from "./r2-spans.ts";
import type { OpenSpan } from "./trace.ts";

const PARTS_MAX = 10_000;
const encoder = new TextEncoder();
const UNKNOWN_LENGTH =
  "Provided readable stream must have a known length (request/response body or readable half of FixedLengthStream)";
const NO_SSEC =
  "Encryption with a customer-provided key (ssecKey) is not supported here; encrypt the bytes, or the disk they are on.";

/** As workerd names them, with the bytes of each. */
const ALGORITHMS = [
  { field: "md5", name: "MD5", bytes: 16 },
  { field: "sha1", name: "SHA-1", bytes: 20 },
  { field: "sha256", name: "SHA-256", bytes: 32 },
  { field: "sha384", name: "SHA-384", bytes: 48 },
  { field: "sha512", name: "SHA-512", bytes: 64 },
] as const;

type Hash = (typeof ALGORITHMS)[number]["field"];

export interface HttpFields {
  contentType?: string;
  contentLanguage?: string;
  contentDisposition?: string;
  contentEncoding?: string;
  cacheControl?: string;
  /** Milliseconds on the wire. */
  cacheExpiry?: number;
}

type HttpMetadata = Omit<HttpFields, "cacheExpiry"> & { cacheExpiry?: Date };

/** What the host says of an object. */
export interface Described {
  key: string;
  version: string;
  size: number;
  etag: string;
  uploaded: number;
  storageClass: string;
  checksums: Partial<Record<Hash, string>>;
  http?: HttpFields;
  custom?: [name: string, value: string][];
  range?: { offset: number; length: number };
}

interface Etag {
  type: "strong" | "weak" | "wildcard";
  value?: string;
}

interface Conditions {
  etagMatches?: Etag[];
  etagDoesNotMatch?: Etag[];
  uploadedBefore?: number;
  uploadedAfter?: number;
  secondsGranularity?: boolean;
}

/** Fields of HTTP metadata, each with its header. */
const HTTP_FIELDS = [
  ["contentType", "content-type"],
  ["contentLanguage", "content-language"],
  ["contentDisposition", "content-disposition"],
  ["contentEncoding", "content-encoding"],
  ["cacheControl", "cache-control"],
] as const;

// ---- Options -----------------------------------------------------------------------------------

function options(value: unknown, context: string): Record<string, unknown> {
  if (value === undefined || value === null) return {};
  if (!isObject(value)) throw new TypeError(`${context}: the options are not an object.`);
  return value as Record<string, unknown>;
}

function text(value: unknown, name: string): string {
  if (typeof value !== "string") throw new TypeError(`Incorrect type for the '${name}' field on 'R2 options': the provided value is not of type 'string'.`);
  return value;
}

function optionalText(value: unknown, name: string): string | undefined {
  return value === undefined ? undefined : text(value, name);
}

function milliseconds(value: unknown, name: string): number | undefined {
  if (value === undefined) return undefined;
  const number = value instanceof Date ? value.getTime() : typeof value === "number" ? value : Number.NaN;
  if (!Number.isFinite(number)) throw new TypeError(`'${name}' is not a valid Date.`);
  return number;
}

function refuseEncryption(given: Record<string, unknown>): void {
  if (given["ssecKey"] !== undefined) throw new Error(NO_SSEC);
}

/** `If-Match` and `If-None-Match`: a list of etags, or anything. */
function etagsOfHeader(header: string): Etag[] {
  const etags: Etag[] = [];
  const separated = (): void => {
    if (separator) return;
    throw new Error("Comma was expected to separate etags.");
  };
  let separator = true;
  let at = 0;
  while (at < header.length) {
    const char = header[at];
    if (char === " " || char === "\t") {
      at++;
    } else if (char === ",") {
      separator = true;
      at++;
    } else if (char === "*") {
      separated();
      return [{ type: "wildcard" }];
    } else if (char === '"' || char === "W") {
      separated();
      const weak = char === "W";
      if (weak && !header.startsWith('W/"', at)) {
        throw new Error("Weak etags must start with W/ and their value must be quoted");
      }
      const begin = at + (weak ? 3 : 1);
      const end = header.indexOf('"', begin);
      if (end < 0) throw new Error("Unclosed double quote for Etag");
      etags.push({ type: weak ? "weak" : "strong", value: header.slice(begin, end) });
      separator = false;
      at = end + 1;
    } else {
      break;
    }
  }
  return etags;
}

function etagOf(value: unknown, name: string): Etag[] | undefined {
  if (value === undefined) return undefined;
  const etag = text(value, name);
  if (etag.startsWith('"') && etag.endsWith('"')) {
    throw new TypeError(`Conditional ETag should not be wrapped in quotes (${etag}).`);
  }
  return [etag === "*" ? { type: "wildcard" } : { type: "strong", value: etag }];
}

function conditionsOfHeaders(headers: Headers): Conditions {
  const etags = (name: string): Etag[] | undefined => {
    const header = headers.get(name);
    if (header === null) return undefined;
    const found = etagsOfHeader(header);
    if (found.length === 0) throw new Error(`Invalid ETag in ${name} header`);
    return found;
  };
  const date = (name: string): number | undefined => {
    const header = headers.get(name);
    if (header === null) return undefined;
    const time = Date.parse(header);
    return Number.isNaN(time) ? undefined : time;
  };
  return defined({
    etagMatches: etags("if-match"),
    etagDoesNotMatch: etags("if-none-match"),
    uploadedAfter: date("if-modified-since"),
    uploadedBefore: date("if-unmodified-since"),
    secondsGranularity: true,
  });
}

function conditionsOf(value: unknown): Conditions | undefined {
  if (value === undefined) return undefined;
  if (isHeaders(value)) return conditionsOfHeaders(value);
  const given = options(value, "onlyIf");
  return defined({
    etagMatches: etagOf(given["etagMatches"], "etagMatches"),
    etagDoesNotMatch: etagOf(given["etagDoesNotMatch"], "etagDoesNotMatch"),
    uploadedBefore: milliseconds(given["uploadedBefore"], "uploadedBefore"),
    uploadedAfter: milliseconds(given["uploadedAfter"], "uploadedAfter"),
    secondsGranularity: given["secondsGranularity"] === undefined ? undefined : Boolean(given["secondsGranularity"]),
  });
}

/** Without what is undefined. */
function defined<T extends object>(fields: { [K in keyof T]: T[K] | undefined }): T {
  for (const key of Object.keys(fields) as (keyof T)[]) if (fields[key] === undefined) delete fields[key];
  return fields as T;
}

function bound(value: unknown, what: string): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!(number >= 0)) throw new RangeError(`Invalid ${what} (${number}) must be greater than or equal to 0.`);
  if (!Number.isSafeInteger(number)) {
    throw new RangeError(`Invalid ${what} (${number}) must be an integer, not floating point.`);
  }
  return number;
}

function rangeOf(value: unknown): { range?: object; rangeHeader?: string } {
  if (value === undefined) return {};
  if (isHeaders(value)) {
    const rangeHeader = value.get("range");
    return rangeHeader === null ? {} : { rangeHeader };
  }
  const given = options(value, "range");
  const { offset, length, suffix } = given;
  if (suffix !== undefined) {
    if (offset !== undefined) throw new TypeError("Suffix is incompatible with offset.");
    if (length !== undefined) throw new TypeError("Suffix is incompatible with length.");
  }
  const range = defined({
    offset: bound(offset, "range. Starting offset"),
    length: bound(length, "range. Length"),
    suffix: bound(suffix, "suffix. Suffix"),
  });
  return Object.keys(range).length === 0 ? {} : { range };
}

function httpOf(value: unknown): HttpMetadata {
  const metadata: HttpMetadata = {};
  if (value === undefined) return metadata;
  if (isHeaders(value)) {
    for (const [field, header] of HTTP_FIELDS) {
      const found = value.get(header);
      if (found !== null) metadata[field] = found;
    }
    const expires = value.get("expires");
    if (expires !== null && !Number.isNaN(Date.parse(expires))) metadata.cacheExpiry = new Date(expires);
    return metadata;
  }
  const given = options(value, "httpMetadata");
  for (const [field] of HTTP_FIELDS) {
    if (given[field] !== undefined) metadata[field] = `${given[field] as string}`;
  }
  const expiry = milliseconds(given["cacheExpiry"], "cacheExpiry");
  if (expiry !== undefined) metadata.cacheExpiry = new Date(expiry);
  return metadata;
}

function httpToWire({ cacheExpiry, ...fields }: HttpMetadata): HttpFields {
  return cacheExpiry === undefined ? fields : { ...fields, cacheExpiry: cacheExpiry.getTime() };
}

function httpFromWire({ cacheExpiry, ...fields }: HttpFields): HttpMetadata {
  return cacheExpiry === undefined ? fields : { ...fields, cacheExpiry: new Date(cacheExpiry) };
}

function customOf(value: unknown): [name: string, value: string][] {
  const given = options(value, "customMetadata");
  return Object.keys(given).map((name) => [name, `${given[name] as string}`]);
}

function hexOf(bytes: Uint8Array): string {
  let digits = "";
  for (const byte of bytes) digits += byte.toString(16).padStart(2, "0");
  return digits;
}

function bytesOfHex(digits: string): ArrayBuffer {
  const bytes = new Uint8Array(digits.length >> 1);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(digits.slice(i * 2, i * 2 + 2), 16);
  return bytes.buffer;
}

function checksumsOf(given: Record<string, unknown>): Partial<Record<Hash, string>> {
  const checksums: Partial<Record<Hash, string>> = {};
  for (const { field, name, bytes } of ALGORITHMS) {
    const value = given[field];
    if (value === undefined) continue;
    if (Object.keys(checksums).length > 0) throw new TypeError("You cannot specify multiple hashing algorithms.");
    if (isBufferSource(value)) {
      const view = bytesView(value);
      if (view.length !== bytes) throw new TypeError(`${name} is ${bytes} bytes, not ${view.length}`);
      checksums[field] = hexOf(view);
    } else {
      const digits = text(value, field);
      if (digits.length !== bytes * 2) {
        throw new TypeError(`${name} is ${bytes * 2} hex characters, not ${digits.length}`);
      }
      if (!/^[0-9a-f]+$/i.test(digits)) throw new TypeError(`Provided ${name} wasn't a valid hex string`);
      checksums[field] = digits;
    }
  }
  return checksums;
}

/** The body that a value is; null is an empty one. */
function bodyOf(value: unknown, method: string): unknown {
  if (value === null || value === undefined) return encoder.encode("");
  if (typeof value === "string" || isBlob(value) || isBufferSource(value)) return value;
  if (isReadableStream(value)) {
    if (expectedLength(value) === undefined) throw new TypeError(UNKNOWN_LENGTH);
    return value;
  }
  throw new TypeError(
    `Failed to execute '${method}' on 'R2Bucket': parameter 2 is not of type 'ReadableStream or ArrayBuffer or ` +
      "ArrayBufferView or string or Blob'.",
  );
}

// ---- Answers -----------------------------------------------------------------------------------

function read<T>(header: string | null): T | undefined {
  return header === null ? undefined : (JSON.parse(decodeURIComponent(header)) as T);
}

function errorIn(response: Response): { v4code: number; message: string } | undefined {
  return read(response.headers.get("cf-r2-error"));
}

/** Throws what a caller hears of a request that the host refused. */
function refuseFailure(method: string, response: Response): void {
  if (response.ok) return;
  const error = errorIn(response);
  const { v4code, message } = error ?? { v4code: 10001, message: response.statusText };
  throw new Error(`${method}: ${message} (${v4code})`);
}

/** Own properties, as workerd has them: an object spreads and prints as what it knows. */
function describe(target: object, properties: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(properties)) {
    Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: false });
  }
}

export class R2Checksums {
  declare readonly md5?: ArrayBuffer;
  readonly #hex: Partial<Record<Hash, string>>;

  constructor(token: unknown, hex: Partial<Record<Hash, string>>) {
    requireInternal(token);
    this.#hex = hex;
    const known = ALGORITHMS.filter(({ field }) => hex[field] !== undefined);
    describe(this, Object.fromEntries(known.map(({ field }) => [field, bytesOfHex(hex[field] ?? "")])));
  }

  toJSON(): Partial<Record<Hash, string>> {
    return { ...this.#hex };
  }
}
defineInterface(R2Checksums);

export class R2Object {
  declare readonly key: string;
  declare readonly httpMetadata: HttpMetadata | undefined;

  constructor(token: unknown, described: Described) {
    requireInternal(token);
    const { key, version, size, etag, uploaded, storageClass, checksums, http, custom, range } = described;
    describe(this, {
      key,
      version,
      size,
      etag,
      httpEtag: `"${etag}"`,
      checksums: new R2Checksums(internalToken, checksums),
      uploaded: new Date(uploaded),
      httpMetadata: http === undefined ? undefined : httpFromWire(http),
      customMetadata: custom === undefined ? undefined : Object.fromEntries(custom),
      range,
      storageClass,
      ssecKeyMd5: undefined,
    });
  }

  writeHttpMetadata(headers: unknown): void {
    if (!isHeaders(headers)) {
      throw new TypeError("Failed to execute 'writeHttpMetadata' on 'R2Object': parameter 1 is not of type 'Headers'.");
    }
    const metadata = this.httpMetadata;
    if (metadata === undefined) {
      throw new TypeError(
        `HTTP metadata unknown for key \`${this.key}\`. Did you forget to add 'httpMetadata' to \`include\` when listing?`,
      );
    }
    for (const [field, header] of HTTP_FIELDS) {
      const value = metadata[field];
      if (value !== undefined) headers.set(header, value);
    }
    if (metadata.cacheExpiry !== undefined) headers.set("expires", metadata.cacheExpiry.toUTCString());
  }
}
defineInterface(R2Object);

export class R2ObjectBody extends R2Object {
  readonly #response: Response;

  constructor(token: unknown, described: Described, response: Response) {
    super(token, described);
    this.#response = response;
  }

  get body(): ReadableStream | null {
    return this.#response.body;
  }

  get bodyUsed(): boolean {
    return this.#response.bodyUsed;
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#response.arrayBuffer();
  }

  bytes(): Promise<Uint8Array> {
    return this.#response.bytes();
  }

  text(): Promise<string> {
    return this.#response.text();
  }

  json(): Promise<unknown> {
    return this.#response.json();
  }

  async blob(): Promise<Blob> {
    return blobFromBytes(await this.#response.bytes(), this.httpMetadata?.contentType ?? "");
  }
}
defineInterface(R2ObjectBody);

export class R2MultipartUpload {
  declare readonly key: string;
  declare readonly uploadId: string;
  readonly #hosted: Hosted;
  readonly #binding: string;

  constructor(token: unknown, hosted: Hosted, binding: string, key: string, uploadId: string) {
    requireInternal(token);
    this.#hosted = hosted;
    this.#binding = binding;
    describe(this, { key, uploadId });
  }

  #span(name: string, operation: string): OpenSpan | undefined {
    return uploadSpan(name, operation, this.#binding, this.key, this.uploadId);
  }

  async uploadPart(partNumber: unknown, value: unknown, given?: unknown): Promise<{ partNumber: number; etag: string }> {
    requireArguments(arguments.length, 2, "R2MultipartUpload.uploadPart");
    const number = checkPart(partNumber);
    refuseEncryption(options(given, "uploadPart"));
    const body = bodyOf(value, "uploadPart");
    const asked = { key: this.key, uploadId: this.uploadId, partNumber: number };
    const span = this.#span("r2_uploadPart", "UploadPart");
    try {
      if (span !== undefined) {
        span.count("cloudflare.r2.request.part_number", number);
        tellBody(span, body);
      }
      const response = await send(this.#hosted, "/part", asked, body, span);
      refuseFailure("uploadPart", response);
      const { etag } = (await response.json()) as { etag: string };
      span?.set("cloudflare.r2.response.etag", etag);
      return { partNumber: number, etag };
    } finally {
      span?.end();
    }
  }

  async complete(uploadedParts: unknown): Promise<R2Object> {
    requireArguments(arguments.length, 1, "R2MultipartUpload.complete");
    if (!Array.isArray(uploadedParts)) throw new TypeError("The uploaded parts are not an array.");
    const parts = (uploadedParts as unknown[]).map((part) => {
      const { partNumber, etag } = options(part, "complete");
      return { partNumber: checkPart(partNumber), etag: `${etag as string}` };
    });
    const span = this.#span("r2_completeMultipartUpload", "CompleteMultipartUpload");
    try {
      span?.set("cloudflare.r2.request.uploaded_parts", parts.map(({ partNumber }) => partNumber).join(", "));
      const response = await ask(this.#hosted, "/complete", { key: this.key, uploadId: this.uploadId, parts }, span);
      refuseFailure("completeMultipartUpload", response);
      return await objectIn(response, span);
    } finally {
      span?.end();
    }
  }

  async abort(): Promise<void> {
    const span = this.#span("r2_abortMultipartUpload", "AbortMultipartUpload");
    try {
      refuseFailure("abortMultipartUpload", await ask(this.#hosted, "/abort", { key: this.key, uploadId: this.uploadId }, span));
    } finally {
      span?.end();
    }
  }
}
defineInterface(R2MultipartUpload);

function checkPart(partNumber: unknown): number {
  const number = Number(partNumber) | 0;
  if (number >= 1 && number <= PARTS_MAX) return number;
  throw new TypeError(`Part number must be between 1 and ${PARTS_MAX} (inclusive). Actual value was: ${number}`);
}

// ---- The bucket --------------------------------------------------------------------------------

async function ask(hosted: Hosted, path: string, question: object, span: OpenSpan | undefined): Promise<Response> {
  const response = await hosted.ask("POST", path, { body: JSON.stringify(question) });
  if (span !== undefined) tellAnswer(span, response.status, errorIn(response));
  return response;
}

/** Bytes, and in a header what they are for. */
async function send(hosted: Hosted, path: string, question: object, body: unknown, span: OpenSpan | undefined): Promise<Response> {
  const headers = { "cf-r2-request": encodeURIComponent(JSON.stringify(question)) };
  const response = await hosted.ask("PUT", path, { headers, body });
  if (span !== undefined) tellAnswer(span, response.status, errorIn(response));
  return response;
}

async function objectIn(response: Response, span: OpenSpan | undefined): Promise<R2Object> {
  const described = (await response.json()) as Described;
  if (span !== undefined) tellObject(span, described);
  return new R2Object(internalToken, described);
}

interface ListResult {
  objects: R2Object[];
  truncated: boolean;
  cursor?: string;
  delimitedPrefixes: string[];
}

export class R2Bucket {
  readonly #hosted: Hosted;
  readonly #binding: string;

  constructor(token: unknown, hosted: Hosted, binding: string) {
    requireInternal(token);
    this.#hosted = hosted;
    this.#binding = binding;
  }

  async head(key: unknown): Promise<R2Object | null> {
    requireArguments(arguments.length, 1, "R2Bucket.head");
    const question = { key: keyOf(key) };
    const span = r2Span("r2_head", "HeadObject", this.#binding);
    try {
      if (span !== undefined) tellQuestion(span, question);
      const response = await ask(this.#hosted, "/head", question, span);
      if (response.status === 404) return null;
      refuseFailure("head", response);
      return await objectIn(response, span);
    } finally {
      span?.end();
    }
  }

  async get(key: unknown, given?: unknown): Promise<R2ObjectBody | R2Object | null> {
    requireArguments(arguments.length, 1, "R2Bucket.get");
    const span = r2Span("r2_get", "GetObject", this.#binding);
    try {
      return await this.#get(key, given, span);
    } finally {
      span?.end();
    }
  }

  async #get(key: unknown, given: unknown, span: OpenSpan | undefined): Promise<R2ObjectBody | R2Object | null> {
    const asked = options(given, "get");
    refuseEncryption(asked);
    const onlyIf = conditionsOf(asked["onlyIf"]);
    const question = { key: keyOf(key), ...(onlyIf !== undefined && { onlyIf }), ...rangeOf(asked["range"]) };
    if (span !== undefined) tellQuestion(span, question);
    const response = await ask(this.#hosted, "/get", question, span);
    if (response.status === 404) return null;
    const described = read<Described>(response.headers.get("cf-r2-object"));
    if (span !== undefined && described !== undefined) tellObject(span, described);
    if (response.status === 412 && described !== undefined) return new R2Object(internalToken, described);
    refuseFailure("get", response);
    return new R2ObjectBody(internalToken, described as Described, response);
  }

  async put(key: unknown, value: unknown, given?: unknown): Promise<R2Object | null> {
    requireArguments(arguments.length, 2, "R2Bucket.put");
    const span = r2Span("r2_put", "PutObject", this.#binding);
    try {
      return await this.#put(key, value, given, span);
    } finally {
      span?.end();
    }
  }

  async #put(key: unknown, value: unknown, given: unknown, span: OpenSpan | undefined): Promise<R2Object | null> {
    const body = bodyOf(value, "put");
    let question;
    try {
      question = putQuestion(keyOf(key), options(given, "put"));
    } catch (error) {
      const why = "Stream cancelled because the associated put operation encountered an error.";
      if (isReadableStream(value)) value.cancel(new Error(why)).catch(() => undefined);
      throw error;
    }
    if (span !== undefined) {
      tellQuestion(span, question);
      if (value !== null && value !== undefined) tellBody(span, body);
    }
    const response = await send(this.#hosted, "/put", question, body, span);
    if (response.status === 412) return null;
    refuseFailure("put", response);
    return await objectIn(response, span);
  }

  async createMultipartUpload(key: unknown, given?: unknown): Promise<R2MultipartUpload> {
    requireArguments(arguments.length, 1, "R2Bucket.createMultipartUpload");
    const asked = options(given, "createMultipartUpload");
    refuseEncryption(asked);
    const name = keyOf(key);
    const question = { key: name, ...metadataOf(asked) };
    const span = r2Span("r2_createMultipartUpload", "CreateMultipartUpload", this.#binding);
    try {
      if (span !== undefined) tellQuestion(span, question);
      const response = await ask(this.#hosted, "/upload", question, span);
      refuseFailure("createMultipartUpload", response);
      const { uploadId } = (await response.json()) as { uploadId: string };
      span?.set("cloudflare.r2.response.upload_id", uploadId);
      return new R2MultipartUpload(internalToken, this.#hosted, this.#binding, name, uploadId);
    } finally {
      span?.end();
    }
  }

  resumeMultipartUpload(key: unknown, uploadId: unknown): R2MultipartUpload {
    requireArguments(arguments.length, 2, "R2Bucket.resumeMultipartUpload");
    return new R2MultipartUpload(internalToken, this.#hosted, this.#binding, keyOf(key), `${uploadId as string}`);
  }

  async delete(keys: unknown): Promise<void> {
    requireArguments(arguments.length, 1, "R2Bucket.delete");
    const names = (Array.isArray(keys) ? (keys as unknown[]) : [keys]).map(keyOf);
    const span = r2Span("r2_delete", "DeleteObject", this.#binding);
    try {
      span?.set("cloudflare.r2.request.keys", names.join(", "));
      refuseFailure("delete", await ask(this.#hosted, "/delete", { keys: names }, span));
    } finally {
      span?.end();
    }
  }

  async list(given?: unknown): Promise<ListResult> {
    const span = r2Span("r2_list", "ListObjects", this.#binding);
    try {
      return await this.#list(given, span);
    } finally {
      span?.end();
    }
  }

  async #list(given: unknown, span: OpenSpan | undefined): Promise<ListResult> {
    const asked = options(given, "list");
    const include = includeOf(asked["include"]);
    const question = defined({
      limit: asked["limit"] === undefined ? undefined : Number(asked["limit"]) | 0,
      prefix: optionalText(asked["prefix"], "prefix"),
      cursor: optionalText(asked["cursor"], "cursor"),
      delimiter: optionalText(asked["delimiter"], "delimiter"),
      startAfter: optionalText(asked["startAfter"], "startAfter"),
      http: include.has("httpMetadata"),
      custom: include.has("customMetadata"),
    });
    if (span !== undefined) {
      span.count("cloudflare.r2.request.limit", question.limit);
      span.set("cloudflare.r2.request.prefix", question.prefix);
      span.set("cloudflare.r2.request.cursor", question.cursor);
      span.set("cloudflare.r2.request.delimiter", question.delimiter);
      span.set("cloudflare.r2.request.start_after", question.startAfter);
      if (asked["include"] !== undefined) {
        if (include.has("httpMetadata")) span.set("cloudflare.r2.request.include.http_metadata", true);
        if (include.has("customMetadata")) span.set("cloudflare.r2.request.include.custom_metadata", true);
      }
    }
    const response = await ask(this.#hosted, "/list", question, span);
    refuseFailure("list", response);
    const listed = (await response.json()) as Omit<ListResult, "objects"> & { objects: Described[] };
    const { truncated, cursor, delimitedPrefixes } = listed;
    if (span !== undefined) {
      span.set("cloudflare.r2.response.cursor", cursor);
      span.count("cloudflare.r2.response.returned_objects", listed.objects.length);
      span.count("cloudflare.r2.response.delimited_prefixes", delimitedPrefixes.length);
      span.set("cloudflare.r2.response.truncated", truncated);
    }
    const objects = listed.objects.map((object) => new R2Object(internalToken, object));
    return { objects, truncated, ...(cursor !== undefined && { cursor }), delimitedPrefixes };
  }
}
defineInterface(R2Bucket);

function keyOf(key: unknown): string {
  // What has no form in UTF-8 could not be told apart afterwards.
  return `${key as string}`.toWellFormed();
}

function metadataOf(asked: Record<string, unknown>): object {
  const storageClass = asked["storageClass"];
  return {
    http: httpToWire(httpOf(asked["httpMetadata"])),
    custom: customOf(asked["customMetadata"]),
    ...(storageClass !== undefined && { storageClass: `${storageClass as string}` }),
  };
}

function putQuestion(key: string, asked: Record<string, unknown>): object {
  refuseEncryption(asked);
  const onlyIf = conditionsOf(asked["onlyIf"]);
  const checksums = checksumsOf(asked);
  return { key, ...(onlyIf !== undefined && { onlyIf }), ...metadataOf(asked), checksums };
}

/** What a list is to tell besides the objects; before `r2_list_honor_include`, always all. */
function includeOf(include: unknown): Set<string> {
  const named = new Set<string>();
  for (const item of (include ?? []) as Iterable<unknown>) {
    const name = text(item, "include");
    if (name !== "httpMetadata" && name !== "customMetadata") throw new RangeError(`Unsupported include value ${name}`);
    named.add(name);
  }
  return has("r2_list_honor_include") ? named : new Set(["httpMetadata", "customMetadata"]);
}

registerHosted("r2", (hosted, name) => new R2Bucket(internalToken, hosted, name));
