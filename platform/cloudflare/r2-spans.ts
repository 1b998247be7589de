// What is told of operations on an R2 bucket: spans with the names and attributes of workerd.
//
// The bucket's own name stays with the host, so `cloudflare.r2.bucket` is absent.
//
// Invariant: nothing here is called where nobody follows, but `r2Span`, which then gives nothing.

import type { Described, HttpFields } from "./r2.ts";
import { type OpenSpan, openSpan } from "./trace.ts";
import { isBlob } from "../web/blob.ts";
import { TextEncoder } from "../web/encoding.ts";
import { expectedLength } from "../web/streams/internal.ts";
import { isReadableStream } from "../web/streams/readable.ts";

const encoder = new TextEncoder();

/** A span around one operation on the bucket of the name `binding`. */
export function r2Span(name: string, operation: string, binding: string): OpenSpan | undefined {
  const span = openSpan(name);
  if (span === undefined) return undefined;
  span.set("cloudflare.binding.type", "r2");
  span.set("cloudflare.binding.name", binding);
  span.set("cloudflare.r2.operation", operation);
  return span;
}

/** The same for one part of an upload, or the whole of it. */
export function uploadSpan(name: string, operation: string, binding: string, key: string, uploadId: string): OpenSpan | undefined {
  const span = r2Span(name, operation, binding);
  span?.set("cloudflare.r2.request.upload_id", uploadId);
  span?.set("cloudflare.r2.request.key", key);
  return span;
}

interface Question {
  key?: string;
  onlyIf?: {
    etagMatches?: { value?: string }[];
    etagDoesNotMatch?: { value?: string }[];
    uploadedBefore?: number;
    uploadedAfter?: number;
  };
  range?: { offset?: number; length?: number; suffix?: number };
  rangeHeader?: string;
  http?: HttpFields;
  custom?: unknown[];
  checksums?: Readonly<Record<string, string>>;
  storageClass?: string;
}

/** What is asked for, of whichever operation. */
export function tellQuestion(span: OpenSpan, given: object): void {
  const { key, onlyIf, range, rangeHeader, http, custom, checksums, storageClass } = given as Question;
  span.set("cloudflare.r2.request.key", key);
  if (onlyIf !== undefined) {
    span.set("cloudflare.r2.request.only_if.etag_matches", etags(onlyIf.etagMatches));
    span.set("cloudflare.r2.request.only_if.etag_does_not_match", etags(onlyIf.etagDoesNotMatch));
    span.set("cloudflare.r2.request.only_if.uploaded_before", date(onlyIf.uploadedBefore));
    span.set("cloudflare.r2.request.only_if.uploaded_after", date(onlyIf.uploadedAfter));
  }
  span.count("cloudflare.r2.request.range.offset", range?.offset);
  span.count("cloudflare.r2.request.range.length", range?.length);
  span.count("cloudflare.r2.request.range.suffix", range?.suffix);
  span.set("cloudflare.r2.request.range", rangeHeader);
  if (custom !== undefined && custom.length > 0) span.set("cloudflare.r2.request.custom_metadata", true);
  if (http !== undefined) {
    tellHttp(span, "cloudflare.r2.request.http_metadata", http);
    span.count("cloudflare.r2.request.http_metadata.cache_expiry", http.cacheExpiry);
  }
  for (const [type, value] of Object.entries(checksums ?? {})) {
    span.set("cloudflare.r2.request.checksum.type", type);
    span.set("cloudflare.r2.request.checksum.value", value);
  }
  span.set("cloudflare.r2.request.storage_class", storageClass);
}

function tellHttp(span: OpenSpan, place: string, http: HttpFields): void {
  span.set(`${place}.content_type`, http.contentType);
  span.set(`${place}.content_encoding`, http.contentEncoding);
  span.set(`${place}.content_disposition`, http.contentDisposition);
  span.set(`${place}.content_language`, http.contentLanguage);
  span.set(`${place}.cache_control`, http.cacheControl);
}

function etags(given: readonly { value?: string }[] | undefined): string | undefined {
  return given?.map(({ value }) => value ?? "*").join(", ");
}

function date(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString();
}

/** The size of a value to be stored. */
export function tellBody(span: OpenSpan, body: unknown): void {
  const bytes =
    typeof body === "string" ? encoder.encode(body).length
    : isReadableStream(body) ? expectedLength(body)
    : isBlob(body) ? body.size
    : (body as ArrayBuffer).byteLength;
  span.count("cloudflare.r2.request.size", bytes);
}

/** The host says it with a status alone. */
const NO_OBJECT = { v4code: 10007, message: "The specified key does not exist." };

/** How the host answered. */
export function tellAnswer(span: OpenSpan, status: number, given: { v4code: number; message: string } | undefined): void {
  span.set("cloudflare.r2.response.success", status >= 200 && status < 400);
  const error = given ?? (status === 404 ? NO_OBJECT : undefined);
  if (error === undefined) return;
  span.set("error.type", error.message);
  span.set("cloudflare.r2.error.message", error.message);
  span.count("cloudflare.r2.error.code", error.v4code);
}

/** The object that an answer describes. */
export function tellObject(span: OpenSpan, { etag, size, uploaded, checksums, storageClass, http, custom }: Described): void {
  span.set("cloudflare.r2.response.etag", etag);
  span.set("cloudflare.r2.response.size", size);
  span.set("cloudflare.r2.response.uploaded", date(uploaded));
  for (const [type, digits] of Object.entries(checksums)) span.set(`cloudflare.r2.response.checksum.${type}`, digits);
  span.set("cloudflare.r2.response.storage_class", storageClass);
  if (http !== undefined) {
    tellHttp(span, "cloudflare.r2.response", http);
    span.set("cloudflare.r2.response.cache_expiry", date(http.cacheExpiry));
  }
  if (custom !== undefined) span.set("cloudflare.r2.response.custom_metadata", true);
}
