// OutgoingMessage: headers that are set one by one and text that is written, as a request of a client
// or a response of a server.
//
// The head is text (`_header`) because packages read it. Where the message goes is a sink that a
// subclass attaches; until then what is written waits in `outputData`.
//
// Invariant: headers do not change once the head is made; nothing is written after the end.

import { Headers } from "../../web/headers.ts";
import { queueMicrotask } from "../../web/microtask.ts";
import { Buffer } from "../buffer.ts";
import { isUint8Array } from "../buffer-kinds.ts";
import { failure, invalidValue, unimplemented } from "../checks.ts";
import { invalidArgType, requireString } from "../errors.ts";
import { Writable } from "../stream/writable.ts";
import { chunkExpression, headersSent, validateHeaderName, validateHeaderValue } from "./headers.ts";

export type HeaderValue = string | number | readonly string[];
type Callback = (error?: unknown) => void;

export const kOutHeaders: unique symbol = Symbol("kOutHeaders");
export const kHighWaterMark: unique symbol = Symbol("kHighWaterMark");
export const kUniqueHeaders: unique symbol = Symbol("kUniqueHeaders");
const kNeedDrain: unique symbol = Symbol("kNeedDrain");
const kErrored: unique symbol = Symbol("kErrored");

/** Where a message goes. */
export interface Sink {
  head(status: number, message: string, headers: Headers): void;
  /** Whether more is wanted at once. */
  data(bytes: Uint8Array): boolean;
  end(): void;
}

interface Waiting {
  data: string | Uint8Array;
  encoding: string | null | undefined;
  callback: Callback | null | undefined;
}

/** What the head says so far. */
interface Seen {
  connection: boolean;
  length: boolean;
  encoding: boolean;
  date: boolean;
  expect: boolean;
  trailer: boolean;
  text: string;
}

const HIGH_WATER_MARK = 64 * 1024;
const STATUS_LINE = /^HTTP\/\d+\.\d+ (?<code>\d+) ?(?<message>.*)$/;

export function uniqueHeaders(given: unknown): Set<string> | null {
  return Array.isArray(given) ? new Set(given.flat().map((name) => String(name).toLowerCase())) : null;
}

const noop = (): void => undefined;

interface OutgoingOptions {
  highWaterMark?: number;
  rejectNonStandardBodyWrites?: boolean;
}

/** As a class to extend: streams are functions. */
const Base = Writable as unknown as new (options?: object) => {
  _writableState: { finished: boolean; closed: boolean; destroyed: boolean };
  emit(event: string, ...args: unknown[]): boolean;
  on(event: string, listener: (...args: never[]) => unknown): unknown;
  once(event: string, listener: (...args: never[]) => unknown): unknown;
  listenerCount(event: string): number;
};

export class OutgoingMessage extends Base {
  [kOutHeaders]: Record<string, [name: string, value: HeaderValue]> | null = null;
  [kUniqueHeaders]: Set<string> | null = null;
  [kNeedDrain] = false;
  [kErrored]: unknown = null;

  req: unknown;
  outputData: Waiting[] = [];
  outputSize = 0;
  strictContentLength = false;
  chunkedEncoding = false;
  sendDate = false;
  shouldKeepAlive = true;
  writable = true;
  finished = false;
  destroyed = false;
  useChunkedEncodingByDefault = true;
  maxRequestsOnConnectionReached = false;
  connection: unknown = null;
  socket: unknown = null;

  _closed = false;
  _headerSent = false;
  _header: string | null = null;
  _contentLength: number | null = null;
  _hasBody = true;
  _removedContLen = false;
  _removedConnection = false;
  _removedTE = false;
  _last = false;
  _trailer = "";

  [kHighWaterMark]: number;
  readonly #refusesBody: boolean;
  #bytesWritten = 0;
  #corked = 0;
  #sink: Sink | undefined;

  constructor(req?: unknown, options: OutgoingOptions = {}) {
    // It is over when its answer is, not when it is sent.
    super({ autoDestroy: false });
    this.req = req;
    this[kHighWaterMark] = options.highWaterMark ?? HIGH_WATER_MARK;
    this.#refusesBody = options.rejectNonStandardBodyWrites ?? false;
  }

  /** From now on what is sent goes there. */
  protected attach(sink: Sink): void {
    this.#sink = sink;
  }

  /** The sink wants more. */
  protected drained(): void {
    if (!this[kNeedDrain] || this.destroyed || this.finished) return;
    this[kNeedDrain] = false;
    this.emit("drain");
  }

  // ---- Headers

  setHeader(name: string, value: HeaderValue): this {
    if (this._header) throw headersSent("set");
    validateHeaderName(name);
    validateHeaderValue(name, value);
    (this[kOutHeaders] ??= {})[name.toLowerCase()] = [name, value];
    return this;
  }

  setHeaders(headers: unknown): this {
    if (this.headersSent) throw headersSent("set");
    const isMap = typeof headers === "object" && headers !== null && !Array.isArray(headers) &&
      typeof (headers as Map<string, unknown>).keys === "function" && typeof (headers as Map<string, unknown>).get === "function";
    if (!isMap) throw invalidArgType("headers", ["Headers", "Map"], headers);
    const cookies: string[] = [];
    for (const [name, value] of headers as unknown as Iterable<[string, HeaderValue]>) {
      if (name === "set-cookie") cookies.push(...(Array.isArray(value) ? (value as string[]) : [value as string]));
      else this.setHeader(name, value);
    }
    if (cookies.length > 0) this.setHeader("set-cookie", cookies);
    return this;
  }

  appendHeader(name: string, value: HeaderValue): this {
    if (this._header) throw headersSent("append");
    validateHeaderName(name);
    validateHeaderValue(name, value);
    const entry = this[kOutHeaders]?.[name.toLowerCase()];
    if (entry === undefined) return this.setHeader(name, value);
    const before = Array.isArray(entry[1]) ? (entry[1] as string[]) : [entry[1] as string];
    entry[1] = before.concat(value as string | string[]);
    return this;
  }

  getHeader(name: unknown): HeaderValue | undefined {
    return this[kOutHeaders]?.[requireString(name, "name").toLowerCase()]?.[1];
  }

  hasHeader(name: unknown): boolean {
    return this[kOutHeaders]?.[requireString(name, "name").toLowerCase()] !== undefined;
  }

  removeHeader(name: unknown): void {
    const key = requireString(name, "name").toLowerCase();
    if (this._header) throw headersSent("remove");
    if (key === "connection") this._removedConnection = true;
    else if (key === "content-length") this._removedContLen = true;
    else if (key === "transfer-encoding") this._removedTE = true;
    else if (key === "date") this.sendDate = false;
    if (this[kOutHeaders] !== null) delete this[kOutHeaders][key];
  }

  getHeaderNames(): string[] {
    return Object.keys(this[kOutHeaders] ?? {});
  }

  getRawHeaderNames(): string[] {
    return Object.values(this[kOutHeaders] ?? {}).map(([name]) => name);
  }

  getHeaders(): Record<string, HeaderValue> {
    const found = Object.create(null) as Record<string, HeaderValue>;
    for (const [key, [, value]] of Object.entries(this[kOutHeaders] ?? {})) found[key] = value;
    return found;
  }

  get headersSent(): boolean {
    return Boolean(this._header);
  }

  addTrailers(headers: unknown): void {
    this._trailer = "";
    const pairs = Array.isArray(headers) ? (headers as [string, string][]) : Object.entries(headers as Record<string, string>);
    for (const [name, value] of pairs) {
      validateHeaderName(name, "Trailer name");
      validateHeaderValue(name, value);
      this._trailer += `${name}: ${value}\r\n`;
    }
  }

  flushHeaders(): void {
    if (!this._header) this._implicitHeader();
    this._send("");
  }

  _implicitHeader(): void {
    throw unimplemented("_implicitHeader()");
  }

  _renderHeaders(): Record<string, HeaderValue> {
    if (this._header) throw headersSent("render");
    return Object.fromEntries(Object.values(this[kOutHeaders] ?? {}));
  }

  /** Makes the head: the first line, the headers given, and those that are implied. */
  _storeHeader(firstLine: string, headers: unknown): void {
    const seen: Seen = { connection: false, length: false, encoding: false, date: false, expect: false, trailer: false, text: firstLine };
    for (const [name, value, isChecked] of this.#pairsOf(headers)) this.#addHeader(seen, name, value, isChecked);
    if (this.sendDate && !seen.date) seen.text += `Date: ${new Date().toUTCString()}\r\n`;
    const { statusCode } = this as unknown as { statusCode?: number };
    if (this.chunkedEncoding && (statusCode === 204 || statusCode === 304)) {
      this.chunkedEncoding = false;
      this.shouldKeepAlive = false;
    }
    this.#implyConnection(seen);
    if (!seen.length && !seen.encoding) this.#implyLength(seen);
    this._header = `${seen.text}\r\n`;
    this._headerSent = false;
    if (seen.expect) this._send("");
  }

  #pairsOf(headers: unknown): [name: string, value: HeaderValue, isChecked: boolean][] {
    if (headers === null || headers === undefined) return [];
    if (headers === this[kOutHeaders]) return Object.values(this[kOutHeaders] ?? {}).map(([name, value]) => [name, value, false]);
    if (!Array.isArray(headers)) return Object.entries(headers as Record<string, HeaderValue>).map(([name, value]) => [name, value, true]);
    if (Array.isArray(headers[0])) return (headers as [string, HeaderValue][]).map(([name, value]) => [name, value, true]);
    if (headers.length % 2 !== 0) throw invalidValue("headers", headers);
    const pairs: [string, HeaderValue, boolean][] = [];
    for (let at = 0; at < headers.length; at += 2) pairs.push([headers[at] as string, headers[at + 1] as HeaderValue, true]);
    return pairs;
  }

  #addHeader(seen: Seen, name: string, value: HeaderValue, isChecked: boolean): void {
    if (isChecked) validateHeaderName(name);
    const key = name.toLowerCase();
    // Cookies of a request are one line, and so is what was declared to be.
    const isJoined = Array.isArray(value) && ((value.length > 1 && key === "cookie") || this[kUniqueHeaders]?.has(key) === true);
    const values = Array.isArray(value) && !isJoined ? (value as string[]) : [isJoined ? (value as string[]).join("; ") : String(value)];
    for (const text of values) {
      if (isChecked) validateHeaderValue(name, text);
      seen.text += `${name}: ${text}\r\n`;
      this.#note(seen, key, String(text));
    }
  }

  #note(seen: Seen, key: string, value: string): void {
    switch (key) {
      case "connection":
        seen.connection = true;
        this._removedConnection = false;
        if (/(?:^|\W)close(?:$|\W)/i.test(value)) this._last = true;
        else this.shouldKeepAlive = true;
        break;
      case "transfer-encoding":
        seen.encoding = true;
        this._removedTE = false;
        if (chunkExpression.test(value)) this.chunkedEncoding = true;
        break;
      case "content-length":
        seen.length = true;
        this._contentLength = Number(value);
        this._removedContLen = false;
        break;
      case "date":
      case "expect":
      case "trailer":
        seen[key] = true;
        break;
    }
  }

  #implyConnection(seen: Seen): void {
    if (this._removedConnection) {
      this._last = !this.shouldKeepAlive;
      return;
    }
    if (seen.connection) return;
    const { agent } = this as unknown as { agent?: unknown };
    const isKept = this.shouldKeepAlive && (seen.length || this.useChunkedEncodingByDefault || Boolean(agent));
    if (isKept && !this.maxRequestsOnConnectionReached) {
      seen.text += "Connection: keep-alive\r\n";
    } else {
      this._last = !isKept;
      seen.text += "Connection: close\r\n";
    }
  }

  #implyLength(seen: Seen): void {
    if (!this._hasBody) {
      this.chunkedEncoding = false;
    } else if (!this.useChunkedEncodingByDefault) {
      this._last = true;
    } else if (!seen.trailer && !this._removedContLen && this._contentLength !== null) {
      seen.text += `Content-Length: ${this._contentLength}\r\n`;
    } else if (!this._removedTE) {
      seen.text += "Transfer-Encoding: chunked\r\n";
      this.chunkedEncoding = true;
    } else {
      this._last = true;
    }
  }

  // ---- Data

  /** Sends the head, if it was not, and what follows it. */
  _send(data: string | Uint8Array, encoding?: string | null | Callback, callback?: Callback | null): boolean {
    if (!this._headerSent && typeof this._header === "string") {
      this._headerSent = true;
      this.#sendHead(this._header);
    }
    return this._writeRaw(data, encoding, callback);
  }

  #sendHead(text: string): void {
    const [first = "", ...lines] = text.split("\r\n");
    const status = STATUS_LINE.exec(first)?.groups;
    if (status === undefined) return;
    const headers = new Headers();
    for (const line of lines) {
      const colon = line.indexOf(":");
      if (colon > 0) headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
    }
    const [statusCode, statusMessage] = [Number(status["code"]), status["message"] ?? ""];
    this.emit("_headersSent", { statusCode, statusMessage, headers });
    this.#sink?.head(statusCode, statusMessage, headers);
  }

  _writeRaw(data: string | Uint8Array, encoding?: string | null | Callback, callback?: Callback | null): boolean {
    if (this.destroyed) return false;
    if (typeof encoding === "function") [encoding, callback] = [null, encoding];
    const isOpen = this.#sink !== undefined && this._headerSent;
    if (isOpen && this.#corked === 0) {
      this._flush();
      return this.#pass(data, encoding, callback);
    }
    this.outputData.push({ data, encoding, callback });
    this.outputSize += data.length;
    return this.outputSize < this[kHighWaterMark];
  }

  #pass(data: string | Uint8Array, encoding: string | null | undefined, callback: Callback | null | undefined): boolean {
    const bytes = typeof data === "string" ? Buffer.from(data, encoding ?? "utf8") : data;
    const wantsMore = bytes.length === 0 || (this.#sink as Sink).data(bytes);
    if (callback) queueMicrotask(() => callback());
    return wantsMore;
  }

  /** Passes on what waited. */
  _flush(): void {
    if (this.#sink === undefined || this.outputData.length === 0) return;
    const waiting = this.outputData;
    this.outputData = [];
    this.outputSize = 0;
    for (const { data, encoding, callback } of waiting) this.#pass(data, encoding, callback);
    this.drained();
  }

  cork(): void {
    this.#corked++;
  }

  uncork(): void {
    if (this.#corked > 0) this.#corked--;
    if (this.#corked === 0 && this._headerSent) this._flush();
  }

  write(chunk: unknown, encoding?: unknown, callback?: unknown): boolean {
    if (typeof encoding === "function") [encoding, callback] = [null, encoding];
    const wantsMore = this.#write(chunk, encoding as string | null, typeof callback === "function" ? (callback as Callback) : noop, false);
    if (!wantsMore) this[kNeedDrain] = true;
    return wantsMore;
  }

  #write(chunk: unknown, encoding: string | null | undefined, callback: Callback, isEnd: boolean): boolean {
    if (chunk === null) throw failure(TypeError, "ERR_STREAM_NULL_VALUES", "May not write null values to stream");
    if (typeof chunk !== "string" && !isUint8Array(chunk)) throw invalidArgType("chunk", ["string", "Buffer", "Uint8Array"], chunk);
    if (this.finished || this.destroyed) {
      const error = this.finished
        ? failure(Error, "ERR_STREAM_WRITE_AFTER_END", "write after end")
        : failure(Error, "ERR_STREAM_DESTROYED", "Cannot call write after a stream was destroyed");
      this.#fail(error, callback);
      return false;
    }
    const length = typeof chunk === "string" ? Buffer.byteLength(chunk, encoding ?? "utf8") : chunk.length;
    this.#bytesWritten += length;
    if (this.#isStrict() && (isEnd ? this.#bytesWritten !== this._contentLength : this.#bytesWritten > (this._contentLength ?? 0))) {
      throw this.#lengthMismatch();
    }
    if (!this._header) {
      if (isEnd) this._contentLength = length;
      this._implicitHeader();
    }
    if (!this._hasBody) {
      if (this.#refusesBody) {
        throw failure(Error, "ERR_HTTP_BODY_NOT_ALLOWED", "Adding content for this request method or response status is not allowed.");
      }
      queueMicrotask(() => callback());
      return true;
    }
    return this._send(chunk, encoding, callback);
  }

  #isStrict(): boolean {
    return this.strictContentLength && this._contentLength !== null && this._hasBody && !this._removedContLen && !this.chunkedEncoding &&
      !this.hasHeader("transfer-encoding");
  }

  #lengthMismatch(): Error {
    const message = `Response body's content-length of ${this.#bytesWritten} byte(s) does not match the content-length of ${this._contentLength ?? 0} byte(s) set in header`;
    return failure(Error, "ERR_HTTP_CONTENT_LENGTH_MISMATCH", message);
  }

  /** Tells the callback; and who listens for errors, unless the message is gone. */
  #fail(error: Error, callback: Callback): void {
    const wasDestroyed = this.destroyed;
    queueMicrotask(() => {
      callback(error);
      if (!wasDestroyed && !this.destroyed) this.emit("error", error);
    });
  }

  end(chunk?: unknown, encoding?: unknown, callback?: unknown): this {
    if (typeof chunk === "function") [chunk, encoding, callback] = [undefined, undefined, chunk];
    else if (typeof encoding === "function") [encoding, callback] = [undefined, encoding];
    const done = typeof callback === "function" ? (callback as Callback) : undefined;
    if (chunk !== undefined && chunk !== null && chunk !== "") {
      if (this.finished) {
        this.#fail(failure(Error, "ERR_STREAM_WRITE_AFTER_END", "write after end"), done ?? noop);
        return this;
      }
      this.#write(chunk, encoding as string | undefined, noop, true);
    } else if (this.finished) {
      if (done !== undefined) {
        if (this.writableFinished) done(failure(Error, "ERR_STREAM_ALREADY_FINISHED", "Cannot call end after a stream was finished"));
        else this.on("finish", done as never);
      }
      return this;
    } else if (!this._header) {
      this._contentLength = 0;
      this._implicitHeader();
    }
    if (done !== undefined) this.once("finish", done as never);
    if (this.#isStrict() && this.#bytesWritten !== this._contentLength) throw this.#lengthMismatch();
    this._send("");
    this.#corked = 0;
    this._flush();
    this.finished = true;
    this._finish();
    return this;
  }

  _finish(): void {
    this.emit("prefinish");
    this.#sink?.end();
    queueMicrotask(() => {
      this.emit("finish");
      queueMicrotask(() => this.close());
    });
  }

  /** The last event. */
  protected close(): void {
    if (this._closed) return;
    this.destroyed = true;
    this._closed = true;
    this._writableState.closed = true;
    this.emit("close");
  }

  destroy(error?: unknown): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    this[kErrored] = error;
    if (error !== undefined && error !== null) this.emit("error", error);
    queueMicrotask(() => this.close());
    return this;
  }

  pipe(): this {
    this.emit("error", failure(Error, "ERR_STREAM_CANNOT_PIPE", "Cannot pipe, not readable"));
    return this;
  }

  setTimeout(_msecs: number, callback?: () => void): this {
    if (callback) this.once("timeout", callback);
    return this;
  }

  get errored(): unknown {
    return this[kErrored];
  }
  get closed(): boolean {
    return this._closed;
  }
  get writableEnded(): boolean {
    return this.finished;
  }
  get writableFinished(): boolean {
    return this.finished && this.outputSize === 0;
  }
  get writableLength(): number {
    return this.outputSize;
  }
  get writableHighWaterMark(): number {
    return this[kHighWaterMark];
  }
  get writableCorked(): number {
    return this.#corked;
  }
  get writableNeedDrain(): boolean {
    return !this.destroyed && !this.finished && this[kNeedDrain];
  }
  get writableObjectMode(): boolean {
    return false;
  }
  get _headers(): Record<string, HeaderValue> {
    return this.getHeaders();
  }

  [Symbol.for("nodejs.rejection")](error: unknown): void {
    this.destroy(error);
  }
}
