// ClientRequest: a request of node:http, sent by the platform's `fetch()` once it has ended.
//
// Deliberately as in Workers: the body is gathered before it is sent, redirects are not followed, and
// what needs a socket of one's own (`createConnection`, `lookup`, `socketPath`) is refused.
//
// Invariant: a path never leads to another host than the one that was asked for.

import { AbortController } from "../../web/abort.ts";
import { fetch } from "../../web/fetch.ts";
import { queueMicrotask } from "../../web/microtask.ts";
import { Response } from "../../web/response.ts";
import { clearTimeout, setTimeout } from "../../web/timers.ts";
import { URL } from "../../web/url.ts";
import { Buffer } from "../buffer.ts";
import { checkBoolean, checkCallable, checkText, checkWhole, failure, invalidValue, refusing } from "../checks.ts";
import { concat } from "../crypto/bytes.ts";
import { invalidArgType, outOfRange, requireFunction, requireNumber } from "../errors.ts";
import { addAbortSignal } from "../stream/abort.ts";
import { Writable } from "../stream/writable.ts";
import { globalAgent } from "./agent.ts";
import type { Agent } from "./agent.ts";
import { headersSent, invalidToken, isToken, leadsElsewhere, optionNotImplemented } from "./headers.ts";
import { IncomingMessage, linesOf } from "./incoming.ts";
import { OutgoingMessage, kOutHeaders, kUniqueHeaders, uniqueHeaders } from "./outgoing.ts";
import type { HeaderValue } from "./outgoing.ts";

type Options = Record<string, unknown>;
type OnResponse = (message: IncomingMessage) => void;

/** Characters that a path must not hold: they would end it, or the line. */
const UNESCAPED = /[^\u0021-\u00ff]/;
const TIMEOUT_MAX = 2 ** 31 - 1;

/** What of a URL a request takes as options. */
export function urlOptions(url: URL): Options {
  const options: Options = {
    ...(url as unknown as Options),
    protocol: url.protocol,
    hostname: url.hostname.startsWith("[") ? url.hostname.slice(1, -1) : url.hostname,
    hash: url.hash,
    search: url.search,
    pathname: url.pathname,
    path: `${url.pathname}${url.search}`,
    href: url.href,
  };
  if (url.port !== "") options["port"] = Number(url.port);
  if (url.username !== "" || url.password !== "") {
    options["auth"] = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  }
  return options;
}

export function isUrl(value: unknown): value is URL {
  return value instanceof URL;
}

function timeoutOf(value: unknown, name: string): number {
  const ms = requireNumber(value, name);
  if (!(ms >= 0) || ms === Infinity) throw outOfRange(name, "a non-negative finite number", ms);
  return Math.min(ms, TIMEOUT_MAX);
}

function hostOf(value: unknown, name: string): string | undefined {
  if (value !== undefined && value !== null && typeof value !== "string") {
    throw invalidArgType(`options.${name}`, ["string", "undefined", "null"], value);
  }
  return value || undefined;
}

function notAPath(path: string): Error {
  return invalidValue("options.path", path, "must be a path-only request target");
}

export class ClientRequest extends OutgoingMessage {
  timeout: number | undefined;
  method = "GET";
  path = "/";
  host = "localhost";
  protocol = "http:";
  port = "80";
  joinDuplicateHeaders: boolean | undefined;
  agent: unknown;
  aborted = false;
  reusedSocket = false;
  maxHeadersCount = Infinity;
  res: IncomingMessage | null = null;
  _ended = false;

  readonly #abort = new AbortController();
  readonly #parts: Uint8Array[] = [];
  #timer: number | undefined;
  #isSent = false;

  constructor(input: unknown, given?: unknown, callback?: unknown) {
    super();
    let base: Options = {};
    if (typeof input === "string") base = urlOptions(new URL(input));
    else if (isUrl(input)) base = urlOptions(input);
    else [given, callback] = [input, given];
    if (typeof given === "function") [given, callback] = [undefined, given];
    const options: Options = Object.assign(base, given);
    this.#takePath(options);
    this.#takeAgent(options);
    this.#takeHost(options);
    this.#refuseOptions(options);
    this.#takeMethod(options);
    if (options["timeout"] !== undefined) this.timeout = timeoutOf(options["timeout"], "timeout");
    if (options["joinDuplicateHeaders"] !== undefined) this.joinDuplicateHeaders = checkBoolean(options["joinDuplicateHeaders"], "options.joinDuplicateHeaders");
    this[kUniqueHeaders] = uniqueHeaders(options["uniqueHeaders"]);
    if (callback) this.once("response", requireFunction(callback, "listener") as OnResponse);
    this.#takeHeaders(options);
    if (options["signal"]) addAbortSignal(options["signal"], this as never);
    this.on("finish", () => this.#send());
  }

  #takePath(options: Options): void {
    const { path } = options;
    if (!path) return;
    const text = String(path);
    if (UNESCAPED.test(text)) throw failure(TypeError, "ERR_UNESCAPED_CHARACTERS", "Request path contains unescaped characters");
    if (leadsElsewhere(text)) throw notAPath(text);
    this.path = text;
  }

  #takeAgent(options: Options): void {
    const usual = (options["_defaultAgent"] as Agent | undefined) ?? globalAgent;
    let { agent } = options as { agent: unknown };
    if (agent === false) agent = new (usual.constructor as new () => Agent)();
    else if (agent === null || agent === undefined) agent = typeof options["createConnection"] === "function" ? undefined : usual;
    else if (typeof (agent as Partial<Agent>).addRequest !== "function") {
      throw invalidArgType("options.agent", ["Agent-like Object", "undefined", "false"], agent);
    }
    this.agent = agent;
    const expected = (agent as Agent | undefined)?.protocol || usual.protocol;
    const protocol = (options["protocol"] as string | undefined) || usual.protocol;
    if (protocol !== expected) {
      throw failure(TypeError, "ERR_INVALID_PROTOCOL", `Protocol "${protocol}" not supported. Expected "${expected}"`);
    }
    this.protocol = protocol;
  }

  #takeHost(options: Options): void {
    const usual = options["defaultPort"] || (this.agent as Agent | undefined)?.defaultPort || 80;
    options["port"] = options["port"] || usual;
    options["defaultPort"] = usual;
    this.port = String(options["port"]);
    this.host = hostOf(options["hostname"], "hostname") ?? hostOf(options["host"], "host") ?? "localhost";
  }

  #refuseOptions(options: Options): void {
    const { maxHeaderSize, insecureHTTPParser, createConnection, lookup, socketPath } = options;
    if (maxHeaderSize !== undefined) {
      checkWhole(maxHeaderSize, "maxHeaderSize", 0, Number.MAX_SAFE_INTEGER);
      throw optionNotImplemented("options.maxHeaderSize");
    }
    if (insecureHTTPParser !== undefined) checkBoolean(insecureHTTPParser, "options.insecureHTTPParser");
    if (createConnection !== undefined) {
      checkCallable(createConnection, "options.createConnection");
      throw optionNotImplemented("options.createConnection");
    }
    if (lookup !== undefined) {
      checkCallable(lookup, "options.lookup");
      throw optionNotImplemented("options.lookup");
    }
    if (socketPath !== undefined) {
      checkText(socketPath, "options.socketPath");
      throw optionNotImplemented("options.socketPath");
    }
  }

  #takeMethod({ method }: Options): void {
    if (method !== undefined && method !== null && typeof method !== "string") throw invalidArgType("options.method", ["string"], method);
    if (!method) return;
    if (!isToken(method)) throw invalidToken("Method", method);
    this.method = method.toUpperCase();
  }

  #takeHeaders(options: Options): void {
    const { headers, auth, setHost, setDefaultHeaders, port, defaultPort } = options;
    if (Array.isArray(headers)) {
      if (headers.length % 2 !== 0) throw invalidValue("headers", headers);
      for (let at = 0; at < headers.length; at += 2) this.setHeader(headers[at] as string, headers[at + 1] as HeaderValue);
      return;
    }
    if (headers !== undefined && headers !== null) {
      const given = headers as Record<string, HeaderValue>;
      if ("host" in given) checkText(given["host"], "host");
      for (const [name, value] of Object.entries(given)) this.setHeader(name, value);
    }
    const wantsHost = setHost === undefined ? setDefaultHeaders !== false : Boolean(setHost);
    if (wantsHost && this.getHeader("host") === undefined) {
      // An address of IPv6 stands in brackets before a port.
      const isBare = this.host.split(":").length > 2 && !this.host.startsWith("[");
      const host = isBare ? `[${this.host}]` : this.host;
      this.setHeader("Host", Number(port) === Number(defaultPort) ? host : `${host}:${String(port)}`);
    }
    if (auth && this.getHeader("Authorization") === undefined) {
      this.setHeader("Authorization", `Basic ${Buffer.from(String(auth)).toString("base64")}`);
    }
  }

  get #hasRequestBody(): boolean {
    return this.method !== "GET" && this.method !== "HEAD";
  }

  override write(chunk: unknown, encoding?: unknown, callback?: unknown): boolean {
    return Reflect.apply(Writable.prototype.write as never, this, [chunk, encoding, callback]) as boolean;
  }

  _write(chunk: Uint8Array, _encoding: unknown, done: () => void): void {
    if (this.#hasRequestBody) this.#parts.push(chunk.slice());
    done();
  }

  override end(chunk?: unknown, encoding?: unknown, callback?: unknown): this {
    this._ended = true;
    Reflect.apply(Writable.prototype.end as never, this, [chunk, encoding, callback]);
    this.finished = true;
    return this;
  }

  override get writableFinished(): boolean {
    return this._writableState.finished;
  }

  #send(): void {
    if (this.destroyed || this.#isSent) return;
    this.#isSent = true;
    const headers: [string, string][] = [];
    for (const [name, value] of Object.values(this[kOutHeaders] ?? {})) {
      if (!Array.isArray(value)) headers.push([name, String(value)]);
      else if (this.joinDuplicateHeaders === true) headers.push([name, value.join(", ")]);
      else for (const item of value as string[]) headers.push([name, item]);
    }
    this.#startTimer();
    // A server would answer a request without a host like this.
    if (headers.length === 0) {
      queueMicrotask(() => this.#answered(new Response(null, { status: 400, statusText: "Bad Request", headers: { connection: "close" } })));
      return;
    }
    if (leadsElsewhere(this.path)) {
      this.destroy(notAPath(this.path));
      return;
    }
    const host = this.host.includes(":") && !this.host.startsWith("[") ? `[${this.host}]` : this.host;
    const url = new URL(this.path, `${this.protocol}//${host}:${this.port}`);
    const body = this.#hasRequestBody && this.#parts.length > 0 ? concat(this.#parts) : null;
    fetch(url, { method: this.method, headers, body, signal: this.#abort.signal, redirect: "manual", encodeResponseBody: "manual" } as never).then(
      (response) => this.#answered(response as unknown as Response),
      (error: unknown) => this.#failed(error),
    );
  }

  #answered(response: Response): void {
    if (this.destroyed) return;
    const message = new IncomingMessage(this.socket);
    message._addHeaderLines(linesOf(response.headers), Infinity);
    message.url = response.url;
    message.statusCode = response.status;
    message.statusMessage = response.statusText;
    message._setBody(response.body as never);
    message.on("error", (error: unknown) => this.emit("error", error));
    message.once("end", () => {
      this.#stopTimer();
      queueMicrotask(() => this.close());
    });
    this.res = message;
    this._header ??= "\r\n";
    // Nobody who listens is nobody who reads: the body must not be waited for.
    if (!this.emit("response", message)) message._dump();
  }

  #failed(error: unknown): void {
    this.#stopTimer();
    if (this.destroyed) return;
    this.emit("error", error);
    this.destroyed = true;
    queueMicrotask(() => this.close());
  }

  #startTimer(): void {
    this.#stopTimer();
    if (!this.timeout) return;
    this.#timer = setTimeout(() => {
      this.emit("timeout");
      this.res?.emit("timeout");
      this.#abort.abort();
    }, this.timeout);
  }

  #stopTimer(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  override setTimeout(msecs: unknown, callback?: () => void): this {
    this.timeout = timeoutOf(msecs, "msecs");
    this.#startTimer();
    if (callback) this.once("timeout", callback);
    return this;
  }

  clearTimeout(callback?: () => void): void {
    this.setTimeout(0, callback);
  }

  abort(): void {
    if (this.aborted) return;
    this.aborted = true;
    queueMicrotask(() => this.emit("abort"));
    this.destroy();
  }

  override destroy(error?: unknown): this {
    if (this.destroyed) return this;
    this.#stopTimer();
    this.#abort.abort();
    if (this.res !== null && !this.res.destroyed && !this.res.complete) this.res.destroy(error);
    return super.destroy(error);
  }

  override addTrailers(): never {
    return refusing("addTrailers")();
  }

  onSocket(): void {}

  setNoDelay(noDelay?: unknown): void {
    if (noDelay !== undefined) checkBoolean(noDelay, "noDelay");
  }

  setSocketKeepAlive(enable?: unknown, delay?: unknown): void {
    if (enable !== undefined) checkBoolean(enable, "enable");
    if (delay !== undefined) requireNumber(delay, "initialDelay");
  }

  override _implicitHeader(): void {
    if (this._header) throw headersSent("render");
    this._storeHeader(`${this.method} ${this.path} HTTP/1.1\r\n`, this[kOutHeaders]);
  }
}

