// Servers of node:http: a listener under a number that stands for a port. What reaches it are the
// events of the Worker, by `httpServerHandler()` of cloudflare:node.
//
// Deliberately as in Workers: connections are the host's, so what counts, times or closes them does
// nothing, and options that ask for it are refused.
//
// Invariant: a port has one server at a time.

import { has } from "../../cloudflare/compat.ts";
import { queueMicrotask } from "../../web/microtask.ts";
import { Response } from "../../web/response.ts";
import { ReadableStream } from "../../web/streams/index.ts";
import { URL } from "../../web/url.ts";
import { checkBoolean, checkCallable, checkNumber, checkObject, checkWhole, failure, invalidValue, refusing, unimplemented } from "../checks.ts";
import { outOfRange } from "../errors.ts";
import { EventEmitter } from "../events.ts";
import { STATUS_CODES, hasInvalidChar, headersSent, kIncomingMessage, kServerResponse, optionNotImplemented } from "./headers.ts";
import { IncomingMessage, linesOf, socketOf } from "./incoming.ts";
import { OutgoingMessage, kOutHeaders, kUniqueHeaders, uniqueHeaders } from "./outgoing.ts";
import type { HeaderValue, Sink } from "./outgoing.ts";

type Options = Record<string, unknown>;
type Request = { readonly method: string; readonly url: string; readonly headers: never; readonly body: unknown; readonly cf?: unknown };

function requireServers(what: string): void {
  if (!has("enable_nodejs_http_server_modules")) throw unimplemented(what);
}

// ---- ServerResponse --------------------------------------------------------------------------

let responseOf: (response: ServerResponse) => Promise<Response>;

interface Controller {
  readonly desiredSize: number | null;
  enqueue(chunk: Uint8Array): void;
  close(): void;
  error(reason: unknown): void;
}

export class ServerResponse extends OutgoingMessage {
  statusCode = 200;
  statusMessage: string | undefined = undefined;

  readonly #response = Promise.withResolvers<Response>();
  #controller: Controller | undefined;
  #isOver = false;
  /** Bytes that the head has promised and that are still to come. */
  #left = Infinity;

  constructor(req: unknown, options: Options = {}) {
    requireServers("ServerResponse");
    super(req, options);
    const { method, httpVersionMajor, httpVersionMinor } = req as Partial<IncomingMessage>;
    if (method === "HEAD") this._hasBody = false;
    if (httpVersionMajor !== undefined && (httpVersionMajor < 1 || (httpVersionMinor ?? 1) < 1)) {
      this.useChunkedEncodingByDefault = false;
      this.shouldKeepAlive = false;
    }
    this.#response.promise.catch(() => undefined);
    this.attach(this.#sink());
  }

  static {
    responseOf = (response) => response.#response.promise;
  }

  #sink(): Sink {
    return {
      head: (status, statusText, headers) => {
        const length = headers.get("content-length");
        if (length !== null && /^\d+$/.test(length)) this.#left = Number(length);
        const isBodiless = !this._hasBody || [101, 204, 205, 304].includes(status);
        this.#response.resolve(new Response((isBodiless ? null : this.#body()) as never, { status, statusText, headers } as never));
      },
      data: (bytes) => {
        // What is more than the head promised is left out.
        const piece = bytes.subarray(0, Math.min(bytes.length, this.#left));
        this.#left -= piece.length;
        if (piece.length > 0 && !this.#isOver) this.#controller?.enqueue(piece.slice());
        return (this.#controller?.desiredSize ?? 1) > 0;
      },
      end: () => {
        if (!this.#isOver) this.#controller?.close();
        this.#isOver = true;
      },
    };
  }

  #body(): unknown {
    const { writableHighWaterMark } = this;
    return new ReadableStream(
      {
        start: (controller: Controller): void => {
          this.#controller = controller;
        },
        pull: (): void => this.drained(),
        cancel: (reason: unknown): void => {
          this.#isOver = true;
          if (!this.finished) this.destroy(reason);
        },
      } as never,
      { highWaterMark: writableHighWaterMark, size: (chunk: Uint8Array) => chunk.length } as never,
    );
  }

  override destroy(error?: unknown): this {
    const reason = error ?? failure(Error, "ECONNRESET", "The response was destroyed before it was sent");
    this.#response.reject(reason);
    if (!this.#isOver) this.#controller?.error(reason);
    this.#isOver = true;
    return super.destroy(error);
  }

  override _implicitHeader(): void {
    this.writeHead(this.statusCode);
  }

  writeHead(statusCode: number, reason?: unknown, given?: unknown): this {
    if (this._header) throw headersSent("write");
    const status = statusCode | 0;
    if (status < 100 || status > 999) throw failure(RangeError, "ERR_HTTP_INVALID_STATUS_CODE", `Invalid status code: ${String(statusCode)}`);
    if (typeof reason === "string") this.statusMessage = reason;
    else given ??= reason;
    this.statusMessage ||= STATUS_CODES[String(status)] ?? "unknown";
    this.statusCode = status;
    if (hasInvalidChar(this.statusMessage)) throw failure(TypeError, "ERR_INVALID_CHAR", "Invalid character in statusMessage");
    if (status === 204 || status === 304 || status < 200) this._hasBody = false;
    this._storeHeader(`HTTP/1.1 ${status} ${this.statusMessage}\r\n`, this.#merged(given));
    return this;
  }

  /** Headers given with the head come on top of those set before. */
  #merged(given: unknown): unknown {
    if (this[kOutHeaders] === null || given === undefined || given === null) return given ?? this[kOutHeaders];
    if (!Array.isArray(given)) {
      for (const [name, value] of Object.entries(given as Record<string, HeaderValue>)) if (name) this.setHeader(name, value);
      return this[kOutHeaders];
    }
    const flat = (Array.isArray(given[0]) ? given.flat() : given) as HeaderValue[];
    if (flat.length % 2 !== 0) throw invalidValue("headers", given);
    for (let at = 0; at < flat.length; at += 2) this.removeHeader(String(flat[at]));
    for (let at = 0; at < flat.length; at += 2) this.appendHeader(String(flat[at]), flat[at + 1] as HeaderValue);
    return this[kOutHeaders];
  }

  writeHeader(statusCode: number, reason?: unknown, headers?: unknown): this {
    return this.writeHead(statusCode, reason, headers);
  }

  assignSocket(): never {
    return refusing("assignSocket")();
  }
  detachSocket(): never {
    return refusing("detachSocket")();
  }
  writeContinue(): never {
    return refusing("writeContinue")();
  }
  writeProcessing(): never {
    return refusing("writeProcessing")();
  }
  writeEarlyHints(): never {
    return refusing("writeEarlyHints")();
  }
}

// ---- Server ----------------------------------------------------------------------------------

export interface Listening {
  fetch(request: Request, env: unknown, ctx: unknown): Promise<Response>;
}

/** The servers of this Worker by port. */
export const servers = new Map<number, Listening>();

export const kConnectionsCheckingInterval: unique symbol = Symbol("http.server.connectionsCheckingInterval");

/** Of these a list would have no meaning; what stands behind a comma is not the client's. */
const SINGLE = new Set([
  "host", "content-type", "user-agent", "referer", "authorization", "proxy-authorization", "if-modified-since", "if-unmodified-since",
  "from", "location", "max-forwards",
]);

/** What stands before the first comma that is not inside quotes. */
function firstOf(value: string): string {
  let isQuoted = false;
  for (let at = 0; at < value.length; at++) {
    if (value[at] === "\"") isQuoted = !isQuoted;
    else if (value[at] === "\\" && isQuoted) at++;
    else if (value[at] === "," && !isQuoted) return value.slice(0, at);
  }
  return value;
}

const PORTS_TRIED = 100;

function freePort(): number {
  for (let tries = 0; tries < PORTS_TRIED; tries++) {
    const port = 1 + Math.floor(Math.random() * 65_535);
    if (!servers.has(port)) return port;
  }
  throw new Error("Failed to find a suitable port");
}

export function validatePort(value: unknown, name: string): number {
  const isText = typeof value === "string" && value.trim() !== "";
  const port = Number(value);
  if ((typeof value !== "number" && !isText) || !Number.isInteger(port) || port < 0 || port > 65_535) {
    throw failure(Error, "ERR_SOCKET_BAD_PORT", `${name} should be >= 0 and < 65536. Received ${typeof value}.`);
  }
  return port;
}

/** `listen(port, host, backlog, callback)`, each of them optional, or an object first. */
function listenArguments(args: readonly unknown[]): [port: number, callback: unknown] {
  const callback = args.findLast((argument) => typeof argument === "function");
  const [first] = args;
  const given = typeof first === "object" && first !== null ? (first as Options)["port"] : first;
  const hasPort = (typeof given === "number" || typeof given === "string");
  return [hasPort ? validatePort(given, "options.port") : 0, callback];
}

export class Server extends EventEmitter {
  [kIncomingMessage]: new () => IncomingMessage = IncomingMessage as never;
  [kServerResponse]: new (req: unknown, options?: Options) => ServerResponse = ServerResponse;
  [kUniqueHeaders]: Set<string> | null = null;
  [kConnectionsCheckingInterval]: unknown = undefined;

  httpAllowHalfOpen = false;
  timeout = 0;
  maxHeadersCount: number | null = null;
  maxRequestsPerSocket = 0;
  connectionsCheckingInterval = 30_000;
  requestTimeout = 300_000;
  headersTimeout = 60_000;
  requireHostHeader = true;
  joinDuplicateHeaders = false;
  rejectNonStandardBodyWrites = false;
  keepAliveTimeout = 5_000;
  keepAliveTimeoutBuffer = 1_000;
  highWaterMark = 64 * 1024;

  #port: number | null = null;

  constructor(given?: unknown, listener?: unknown) {
    requireServers("Server");
    super();
    if (typeof given === "function") [given, listener] = [undefined, given];
    const options = given === undefined || given === null ? {} : checkObject(given, "options");
    storeHTTPOptions.call(this, options);
    if (options["highWaterMark"] !== undefined) {
      const mark = checkNumber(options["highWaterMark"], "options.highWaterMark");
      if (mark > 0) this.highWaterMark = mark;
    }
    if (listener) this.on("request", listener as never);
    this[kUniqueHeaders] = uniqueHeaders(options["uniqueHeaders"]);
  }

  async #serve(request: Request, env: unknown, ctx: unknown): Promise<Response> {
    const message = new this[kIncomingMessage]();
    const headers = request.headers as never;
    message.socket = socketOf(message, headers, this.#port ?? 0);
    const { pathname, search } = new URL(request.url);
    message.url = pathname + search;
    message.method = request.method;
    message.joinDuplicateHeaders = this.joinDuplicateHeaders;
    message._addHeaderLines(linesOf(headers, (name, value) => (SINGLE.has(name) ? firstOf(value) : value)), Infinity);
    message._setBody(request.body as never);
    message.cloudflare = { env, ctx, cf: request.cf };
    const { highWaterMark, rejectNonStandardBodyWrites } = this;
    const response = new this[kServerResponse](message, { highWaterMark, rejectNonStandardBodyWrites });
    response.socket = message.socket;
    response.connection = message.socket;
    try {
      this.emit("connection", message.socket);
      this.emit("request", message, response);
      return await responseOf(response);
    } catch (error) {
      if (response.listenerCount("error") === 0) response.on("error", () => undefined);
      response.destroy(error);
      throw error;
    }
  }

  listen(...args: unknown[]): this {
    const [asked, callback] = listenArguments(args);
    if (this.#port !== null || servers.has(asked)) {
      throw failure(Error, "ERR_SERVER_ALREADY_LISTEN", "Listen method has been called more than once without closing.");
    }
    if (callback !== undefined) this.once("listening", callback as never);
    this.#port = asked === 0 ? freePort() : asked;
    servers.set(this.#port, { fetch: (request, env, ctx) => this.#serve(request, env, ctx) });
    queueMicrotask(() => this.emit("listening"));
    return this;
  }

  close(callback?: unknown): this {
    if (this.#port !== null) servers.delete(this.#port);
    this.#port = null;
    if (typeof callback === "function") this.once("close", callback as never);
    queueMicrotask(() => this.emit("close"));
    return this;
  }

  closeAllConnections(): void {}
  closeIdleConnections(): void {}

  setTimeout(msecs?: unknown, callback?: unknown): this {
    if (typeof msecs === "function") callback = msecs;
    else if (typeof msecs === "number") this.timeout = msecs;
    if (typeof callback === "function") this.once("timeout", callback as never);
    return this;
  }

  getConnections(callback?: unknown): this {
    if (callback !== undefined && callback !== null) {
      const done = checkCallable(callback, "callback");
      queueMicrotask(() => void done(null, 0));
    }
    return this;
  }

  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
  address(): { port: number; family: string; address: string } | null {
    return this.#port === null ? null : { port: this.#port, family: "IPv4", address: "127.0.0.1" };
  }
  get listening(): boolean {
    return this.#port !== null;
  }
  get maxConnections(): number {
    return Infinity;
  }
  get connections(): number {
    return 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => void this.close(resolve));
  }
}

/** Checks the options that servers share and keeps those that mean something here. */
export function storeHTTPOptions(this: Server, options: Options): void {
  const { IncomingMessage: Incoming, ServerResponse: Outgoing } = options;
  if (Incoming) this[kIncomingMessage] = Incoming as never;
  if (Outgoing) this[kServerResponse] = Outgoing as never;
  const most = Number.MAX_SAFE_INTEGER;
  if (options["maxHeaderSize"] !== undefined) {
    checkWhole(options["maxHeaderSize"], "maxHeaderSize", 0, most);
    throw optionNotImplemented("maxHeaderSize");
  }
  if (options["insecureHTTPParser"] !== undefined) checkBoolean(options["insecureHTTPParser"], "options.insecureHTTPParser");
  if (options["requestTimeout"] !== undefined) this.requestTimeout = checkWhole(options["requestTimeout"], "requestTimeout", 0, most);
  this.headersTimeout = options["headersTimeout"] === undefined
    ? Math.min(60_000, this.requestTimeout)
    : checkWhole(options["headersTimeout"], "headersTimeout", 0, most);
  if (this.requestTimeout > 0 && this.headersTimeout > this.requestTimeout) {
    throw outOfRange("headersTimeout", "<= requestTimeout", this.headersTimeout);
  }
  for (const name of ["keepAliveTimeout", "keepAliveTimeoutBuffer", "connectionsCheckingInterval"]) {
    if (options[name] === undefined) continue;
    checkWhole(options[name], name, 0, most);
    throw optionNotImplemented(name);
  }
  for (const name of ["requireHostHeader", "joinDuplicateHeaders", "rejectNonStandardBodyWrites"] as const) {
    if (options[name] !== undefined) this[name] = checkBoolean(options[name], `options.${name}`);
  }
}

export const connectionListener = refusing("_connectionListener");
