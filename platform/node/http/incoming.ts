// IncomingMessage: a request as a server gets it, or the response to a client's.
//
// Invariant: the body is read from the platform's stream only as far as someone asks for it.

import type { Headers } from "../../web/headers.ts";
import { queueMicrotask } from "../../web/microtask.ts";
import { EventEmitter } from "../events.ts";
import { Readable } from "../stream/readable.ts";

type HeaderMap = Record<string, string | string[] | undefined>;

interface Reader {
  read(): Promise<{ done: boolean; value?: Uint8Array }>;
  releaseLock(): void;
  cancel(reason: unknown): Promise<void>;
}

export interface Body {
  getReader(): unknown;
}

/** Of these the first counts, however often they come. */
const SINGLE = new Set([
  "age", "authorization", "content-length", "content-type", "etag", "expires", "from", "host", "if-modified-since", "if-unmodified-since",
  "last-modified", "location", "max-forwards", "proxy-authorization", "referer", "retry-after", "server", "user-agent",
]);

const Base = Readable as unknown as new (options?: object) => {
  readonly destroyed: boolean;
  readonly readable: boolean;
  readonly readableEnded: boolean;
  push(chunk: unknown): boolean;
  destroy(error?: unknown): unknown;
  emit(event: string, ...args: unknown[]): boolean;
  on(event: string, listener: (...args: never[]) => unknown): unknown;
  once(event: string, listener: (...args: never[]) => unknown): unknown;
  listenerCount(event: string): number;
  removeAllListeners(event?: string): unknown;
  resume(): unknown;
};

export class IncomingMessage extends Base {
  aborted = false;
  url = "";
  method: string | null = null;
  statusCode: number | null = null;
  statusMessage: string | null = null;
  httpVersionMajor = 1;
  httpVersionMinor = 1;
  httpVersion = "1.1";
  complete = false;
  rawHeaders: string[] = [];
  rawTrailers: string[] = [];
  joinDuplicateHeaders = false;
  socket: unknown;
  upgrade = false;

  cloudflare: { cf?: unknown; env?: unknown; ctx?: unknown } = { cf: undefined, env: undefined, ctx: undefined };

  _dumped = false;
  _consuming = false;

  #headers: HeaderMap | null = null;
  #distinct: Record<string, string[]> | null = null;
  #body: Body | null = null;
  #reader: Reader | undefined;
  #isReading = false;

  constructor(socket?: unknown) {
    super({});
    this.socket = socket;
  }

  get connection(): unknown {
    return this.socket;
  }
  set connection(value: unknown) {
    this.socket = value;
  }

  /** Names and values one after the other. */
  _addHeaderLines(lines: readonly string[], count: number): void {
    if (this.complete) return;
    this.rawHeaders = lines.slice(0, count);
    this.#headers = null;
    this.#distinct = null;
  }

  _setBody(body: Body | null): void {
    this.#body = body;
  }

  _addHeaderLine(field: string, value: string, into: HeaderMap): void {
    const name = field.toLowerCase();
    const before = into[name];
    if (name === "set-cookie") {
      if (Array.isArray(before)) before.push(value);
      else into[name] = [value];
    } else if (before === undefined) {
      into[name] = value;
    } else if (name === "cookie") {
      into[name] = `${String(before)}; ${value}`;
    } else if (this.joinDuplicateHeaders || !SINGLE.has(name)) {
      into[name] = `${String(before)}, ${value}`;
    }
  }

  _addHeaderLineDistinct(field: string, value: string, into: Record<string, string[]>): void {
    (into[field.toLowerCase()] ??= []).push(value);
  }

  get headers(): HeaderMap {
    if (this.#headers === null) {
      this.#headers = {};
      this.#eachLine((name, value) => this._addHeaderLine(name, value, this.#headers as HeaderMap));
    }
    return this.#headers;
  }
  set headers(value: HeaderMap) {
    this.#headers = value;
  }

  get headersDistinct(): Record<string, string[]> {
    if (this.#distinct === null) {
      this.#distinct = {};
      this.#eachLine((name, value) => this._addHeaderLineDistinct(name, value, this.#distinct as Record<string, string[]>));
    }
    return this.#distinct;
  }
  set headersDistinct(value: Record<string, string[]>) {
    this.#distinct = value;
  }

  #eachLine(work: (name: string, value: string) => void): void {
    for (let at = 0; at + 1 < this.rawHeaders.length; at += 2) work(this.rawHeaders[at] as string, this.rawHeaders[at + 1] as string);
  }

  get trailers(): HeaderMap {
    return {};
  }
  set trailers(_: HeaderMap) {}
  get trailersDistinct(): Record<string, string[]> {
    return {};
  }
  set trailersDistinct(_: Record<string, string[]>) {}

  _read(): void {
    this._consuming = true;
    if (this.#body === null) {
      this.complete = true;
      this.push(null);
      return;
    }
    if (!this.#isReading) void this.#readOn(this.#body);
  }

  async #readOn(body: Body): Promise<void> {
    this.#isReading = true;
    try {
      this.#reader ??= body.getReader() as Reader;
      while (!this.destroyed) {
        const { done, value } = await this.#reader.read();
        if (this.destroyed) break;
        if (done) {
          this.complete = true;
          this.push(null);
          break;
        }
        if (!this.push(value)) break;
      }
    } catch (error) {
      this.destroy(error);
    } finally {
      this.#isReading = false;
    }
  }

  _destroy(error: unknown, callback: (error?: unknown) => void): void {
    if (!this.readableEnded || !this.complete) {
      this.aborted = true;
      this.emit("aborted");
    }
    if (this.#reader !== undefined && !this.complete) this.#reader.cancel(error).catch(() => undefined);
    // Without a listener an error of the body is nobody's: whoever reads hears it.
    queueMicrotask(() => callback(this.listenerCount("error") === 0 ? undefined : error));
  }

  _dump(): void {
    if (this._dumped) return;
    this._dumped = true;
    this.removeAllListeners("data");
    this.resume();
  }

  setTimeout(_msecs: number, callback?: () => void): this {
    if (callback) this.on("timeout", callback);
    return this;
  }
}

/** Names and values of headers as they came, cookies each by itself. */
export function linesOf(headers: Headers, pick: (name: string, value: string) => string = (_, value) => value): string[] {
  const lines: string[] = [];
  for (const [name, value] of headers as unknown as Iterable<[string, string]>) lines.push(name, pick(name, value));
  return lines;
}

/** What can be said of a request's connection. */
export function socketOf(message: IncomingMessage, headers: Headers, localPort: number): EventEmitter {
  const address = headers.get("cf-connecting-ip");
  const isFour = address === null || !address.includes(":");
  // A port of the ephemeral range: the real one is the host's.
  const remotePort = 0x8000 | Math.floor(Math.random() * 0x8000);
  const alive = <T>(value: T): T | undefined => (message.destroyed ? undefined : value);
  const socket = new EventEmitter();
  const getters: Record<string, () => unknown> = {
    encrypted: () => headers.get("x-forwarded-proto") === "https",
    readable: () => message.readable,
    remoteFamily: () => alive(isFour ? "IPv4" : "IPv6"),
    remoteAddress: () => alive(address ?? "127.0.0.1"),
    remotePort: () => alive(remotePort),
    localAddress: () => headers.get("host") ?? "127.0.0.1",
    localPort: () => localPort,
  };
  for (const [name, get] of Object.entries(getters)) Object.defineProperty(socket, name, { get, enumerable: true, configurable: true });
  return Object.assign(socket, { destroy: (error?: unknown) => message.destroy(error), setTimeout: () => socket, setNoDelay: () => socket, setKeepAlive: () => socket });
}
