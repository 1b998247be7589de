// node:net: sockets over `connect()` of cloudflare:sockets, and the arithmetic of addresses.
//
// Deliberately absent, as in Workers: servers (a Worker is reached by its events), paths of sockets
// in a file system, and what only the system's own socket could do.
//
// Invariant: a socket reads from its connection only as far as someone asks for it.

import { connect as connectTcp } from "../cloudflare/sockets.ts";
import { queueMicrotask } from "../web/microtask.ts";
import { clearTimeout, setTimeout } from "../web/timers.ts";
import { inspectCustom } from "../web/inspect.ts";
import { checkObject, checkText, failure, invalidValue, missing } from "./checks.ts";
import { bytesOf, toBuffer } from "./crypto/bytes.ts";
import { addressBytes } from "./crypto/x509.ts";
import { invalidArgType, outOfRange, requireFunction, requireInteger, requireNumber } from "./errors.ts";
import { optionNotImplemented } from "./http/headers.ts";
import { validatePort } from "./http/server.ts";
import { addAbortSignal } from "./stream/abort.ts";
import { Duplex } from "./stream/duplex.ts";

type Options = Record<string, unknown>;
type Done = (error?: unknown) => void;

// ---- Addresses -------------------------------------------------------------------------------

export function isIP(input: unknown): 0 | 4 | 6 {
  const bytes = addressBytes(String(input).replace(/%[0-9a-zA-Z.]+$/, ""));
  if (bytes === undefined || (bytes.length === 4 && !/^(?:(?:0|[1-9]\d{0,2})(?:\.|$)){4}$/.test(String(input)))) return 0;
  return bytes.length === 4 ? 4 : 6;
}

export const isIPv4 = (input: unknown): boolean => isIP(input) === 4;
export const isIPv6 = (input: unknown): boolean => isIP(input) === 6;

function familyOf(value: unknown, name: string): "ipv4" | "ipv6" {
  const family = typeof value === "string" ? value.toLowerCase() : value;
  if (family !== "ipv4" && family !== "ipv6") throw invalidValue(name, value);
  return family;
}

function invalidAddress(): Error {
  return failure(Error, "ERR_INVALID_ADDRESS", "Invalid address");
}

export class SocketAddress {
  readonly #address: string;
  readonly #port: number;
  readonly #family: "ipv4" | "ipv6";
  readonly #flowlabel: number;

  constructor(given: unknown = {}) {
    const options = checkObject(given, "options");
    this.#family = options["family"] === undefined ? "ipv4" : familyOf(checkText(options["family"], "options.family"), "options.family");
    const usual = this.#family === "ipv4" ? "127.0.0.1" : "::";
    this.#address = checkText(options["address"] ?? usual, "options.address");
    this.#port = validatePort(options["port"] ?? 0, "options.port");
    const flowlabel = options["flowlabel"] ?? 0;
    this.#flowlabel = requireInteger(flowlabel, "options.flowlabel", 0, 2 ** 32 - 1);
    if (isIP(this.#address) !== (this.#family === "ipv4" ? 4 : 6)) throw invalidAddress();
  }

  static isSocketAddress(value: unknown): value is SocketAddress {
    return typeof value === "object" && value !== null && #address in value;
  }

  static parse(input: unknown): SocketAddress | undefined {
    const found = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(checkText(input, "input"));
    if (found === null) return undefined;
    const [, six, four, port] = found;
    try {
      return new SocketAddress({ address: six ?? four, family: six === undefined ? "ipv4" : "ipv6", port: Number(port ?? 0) });
    } catch {
      return undefined;
    }
  }

  get address(): string {
    return this.#address;
  }
  get port(): number {
    return this.#port;
  }
  get family(): string {
    return this.#family;
  }
  get flowlabel(): number {
    return this.#flowlabel;
  }
  toJSON(): object {
    return { address: this.#address, port: this.#port, family: this.#family, flowlabel: this.#flowlabel };
  }
}

/** What a rule of a block list covers: all numbers between two. */
interface Range {
  readonly family: "ipv4" | "ipv6";
  readonly low: bigint;
  readonly high: bigint;
  readonly text: string;
}

function numberOf(address: string, family: "ipv4" | "ipv6"): bigint {
  const bytes = isIP(address) === 0 ? undefined : addressBytes(address);
  if (bytes === undefined || bytes.length !== (family === "ipv4" ? 4 : 16)) {
    throw failure(TypeError, "ERR_INVALID_IP_ADDRESS", `Invalid IP address: ${address}`);
  }
  return BigInt(`0x${bytes.toHex()}`);
}

function readAddress(value: unknown, family: unknown, name: string): [address: string, family: "ipv4" | "ipv6"] {
  if (SocketAddress.isSocketAddress(value)) return [value.address, value.family as "ipv4"];
  const text = checkText(value, name);
  return [text, familyOf(checkText(family, "family"), "family")];
}

const FOUR_IN_SIX = 0xffffn << 32n;

export class BlockList {
  #ranges: Range[] = [];

  static isBlockList(value: unknown): value is BlockList {
    return typeof value === "object" && value !== null && #ranges in value;
  }

  addAddress(address: unknown, family: unknown = "ipv4"): void {
    const [text, kind] = readAddress(address, family, "address");
    const number = numberOf(text, kind);
    this.#add(kind, number, number, `Address: ${named(kind)} ${text}`);
  }

  addRange(start: unknown, end: unknown, family: unknown = "ipv4"): void {
    const [first, kind] = readAddress(start, family, "start");
    const [last] = readAddress(end, family, "end");
    const [low, high] = [numberOf(first, kind), numberOf(last, kind)];
    if (low > high) throw invalidValue("start", start, `must come before ${last}`);
    this.#add(kind, low, high, `Range: ${named(kind)} ${first}-${last}`);
  }

  addSubnet(network: unknown, prefix: unknown, family: unknown = "ipv4"): void {
    const [text, kind] = readAddress(network, family, "network");
    const bits = kind === "ipv4" ? 32 : 128;
    const length = requireInteger(prefix, "prefix", 0, bits);
    const rest = (1n << BigInt(bits - length)) - 1n;
    const low = numberOf(text, kind) & ~rest;
    this.#add(kind, low, low | rest, `Subnet: ${named(kind)} ${text}/${length}`);
  }

  #add(family: "ipv4" | "ipv6", low: bigint, high: bigint, text: string): void {
    this.#ranges.unshift({ family, low, high, text });
  }

  check(address: unknown, family: unknown = "ipv4"): boolean {
    const [text, kind] = readAddress(address, family, "address");
    if (isIP(text) !== (kind === "ipv4" ? 4 : 6)) return false;
    const number = numberOf(text, kind);
    const isMapped = kind === "ipv6" && number >> 32n === 0xffffn;
    return this.#ranges.some(({ family: own, low, high }) => {
      if (own === kind) return number >= low && number <= high;
      return isMapped && own === "ipv4" && number - FOUR_IN_SIX >= low && number - FOUR_IN_SIX <= high;
    });
  }

  get rules(): string[] {
    return this.#ranges.map(({ text }) => text);
  }

  toJSON(): string[] {
    return this.rules;
  }

  fromJSON(data: unknown): void {
    const rules: unknown = typeof data === "string" ? JSON.parse(data) : data;
    if (!Array.isArray(rules)) throw invalidArgType("data", ["string", "Array"], data);
    for (const rule of (rules as unknown[]).toReversed()) this.#read(checkText(rule, "data"));
  }

  #read(rule: string): void {
    const found = /^(Address|Range|Subnet): (IPv4|IPv6) ([^-/]+)(?:[-/](.+))?$/.exec(rule);
    if (found === null) throw invalidValue("data", rule);
    const [, kind, family, first, second] = found;
    if (kind === "Address") this.addAddress(first, family);
    else if (kind === "Range") this.addRange(first, second, family);
    else this.addSubnet(first, Number(second), family);
  }

  [inspectCustom](depth: number): unknown {
    return depth < 0 ? this : `BlockList ${JSON.stringify({ rules: this.rules })}`;
  }
}

const named = (family: "ipv4" | "ipv6"): string => (family === "ipv4" ? "IPv4" : "IPv6");

// ---- Sockets ---------------------------------------------------------------------------------

interface Reader {
  read(): Promise<{ done: boolean; value?: Uint8Array }>;
  cancel(reason?: unknown): Promise<void>;
  releaseLock(): void;
}

interface Writer {
  write(chunk: Uint8Array): Promise<void>;
  close(): Promise<void>;
  abort(reason?: unknown): Promise<void>;
  releaseLock(): void;
}

/** A connection of cloudflare:sockets. */
export interface Connection {
  readonly readable: { getReader(): Reader };
  readonly writable: { getWriter(): Writer };
  readonly opened: Promise<{ remoteAddress?: string; localAddress?: string }>;
  readonly closed: Promise<void>;
  readonly secureTransport?: string;
  close(): Promise<void>;
  startTls(options?: { expectedServerHostname?: string }): Connection;
}

/** A connection with its two ends in our hands. */
export interface Handle {
  readonly socket: Connection;
  readonly reader: Reader;
  readonly writer: Writer;
  readonly host: string;
  readonly port: number;
  reading: boolean;
}

const Base = Duplex as unknown as new (options?: object) => {
  destroyed: boolean;
  readable: boolean;
  writable: boolean;
  readonly writableLength: number;
  readonly writableEnded: boolean;
  readonly readableEnded: boolean;
  readonly _readableState: { ended: boolean; endEmitted: boolean };
  push(chunk: unknown): boolean;
  read(size?: number): unknown;
  destroy(error?: unknown, callback?: Done): unknown;
  end(...args: unknown[]): unknown;
  emit(event: string, ...args: unknown[]): boolean;
  on(event: string, listener: (...args: never[]) => unknown): unknown;
  once(event: string, listener: (...args: never[]) => unknown): unknown;
  removeListener(event: string, listener: (...args: never[]) => unknown): unknown;
  listenerCount(event: string): number;
  pause(): unknown;
  resume(): unknown;
};

function socketClosed(): Error {
  return failure(Error, "ERR_SOCKET_CLOSED", "Socket is closed");
}

export function timerDuration(value: unknown, name: string): number {
  const ms = requireNumber(value, name);
  if (!(ms >= 0) || ms === Infinity) throw outOfRange(name, "a non-negative finite number", ms);
  return Math.min(ms, 2 ** 31 - 1);
}

const kNormalized: unique symbol = Symbol("normalizedArgs");

/** `(port, host, callback)`, `(path, callback)` or `(options, callback)`. */
export function normalizeArgs(args: unknown[]): [options: Options, callback: ((...args: unknown[]) => unknown) | null] {
  const [first, second] = args;
  let options: Options = {};
  if (typeof first === "object" && first !== null) options = first as Options;
  else if (typeof first === "string" && Number.isNaN(Number(first))) options["path"] = first;
  else if (args.length > 0 && typeof first !== "function") {
    options["port"] = first;
    if (typeof second === "string") options["host"] = second;
  }
  const last = args.at(-1);
  const normalized: [Options, ((...args: unknown[]) => unknown) | null] = [options, typeof last === "function" ? (last as () => unknown) : null];
  return Object.assign(normalized, { [kNormalized]: true });
}

export class SocketClass extends Base {
  connecting = false;
  _hadError = false;
  _host: string | null = null;
  _parent: unknown = null;
  _handle: Handle | null = null;
  timeout = 0;
  allowHalfOpen: boolean;
  autoSelectFamilyAttemptedAddresses: string[] | undefined = undefined;
  readonly #isManual: boolean;
  #timer: number | undefined;
  #bytesRead = 0;
  #bytesWritten = 0;
  #remote: string | undefined;
  #local: string | undefined;
  #onread: { buffer: Uint8Array; callback: (count: number, buffer: Uint8Array) => unknown } | undefined;
  /** Reads asked for before there was a connection. */
  #wantsRead = false;

  constructor(given: Options = {}) {
    const options = typeof given === "number" ? { fd: given } as Options : { ...given };
    if (options["objectMode"] || options["readableObjectMode"] || options["writableObjectMode"]) {
      const name = options["objectMode"] ? "objectMode" : options["readableObjectMode"] ? "readableObjectMode" : "writableObjectMode";
      throw invalidValue(`options.${name}`, options[name], "is not supported");
    }
    if (options["fd"] !== undefined) throw optionNotImplemented("options.fd");
    super({ ...options, allowHalfOpen: true, emitClose: false, autoDestroy: true, decodeStrings: false, signal: undefined });
    this.allowHalfOpen = Boolean(options["allowHalfOpen"]);
    this.#isManual = Boolean(options["manualStart"]);
    const onread = options["onread"];
    if (typeof onread === "object" && onread !== null) {
      const { buffer, callback } = onread as Options;
      const bytes = typeof buffer === "function" ? (buffer as () => unknown)() : buffer;
      if (bytes instanceof Uint8Array && typeof callback === "function") this.#onread = { buffer: bytes, callback: callback as never };
    }
    if (options["handle"]) this.adopt(options["handle"] as Handle);
    if (options["signal"] !== undefined && options["signal"] !== null) addAbortSignal(options["signal"], this as never);
    this.on("end", () => {
      if (!this.allowHalfOpen && !this.writableEnded) this.end();
    });
  }

  // ---- Connecting

  connect(...args: unknown[]): this {
    const first = args[0] as { [kNormalized]?: true } | undefined;
    const [options, callback] = Array.isArray(first) && first[kNormalized] === true ? (first as unknown as [Options, null]) : normalizeArgs(args);
    if (callback !== null) this.once("connect", callback);
    const { port, path, host, lookup, localAddress, localPort } = options;
    if (this.connecting || this._handle !== null) throw failure(Error, "ERR_SOCKET_CONNECTING", "Socket is already connecting");
    if (path !== undefined && path !== null) throw invalidValue("path", path, "is not supported");
    if (port === undefined || port === null) throw missing("options", "port", "path");
    if (typeof port !== "number" && typeof port !== "string") throw invalidArgType("options.port", ["number", "string"], port);
    const number = validatePort(port, "Port");
    const name = checkText(host ?? "localhost", "options.host");
    if (lookup !== undefined) requireFunction(lookup, "options.lookup");
    if (localAddress !== undefined && isIP(localAddress) === 0) {
      throw failure(TypeError, "ERR_INVALID_IP_ADDRESS", `Invalid IP address: ${String(localAddress)}`);
    }
    if (localPort !== undefined) requireNumber(localPort, "options.localPort");
    if (options["timeout"] !== undefined) this.setTimeout(options["timeout"]);
    this._host = name;
    this.connecting = true;
    this.refreshTimer();
    if (lookup !== undefined && isIP(name) === 0) this.#lookUp(lookup as never, options, name, number);
    else this.#open(options, name, number);
    return this;
  }

  #lookUp(lookup: (host: string, options: object, done: (...args: unknown[]) => void) => void, options: Options, host: string, port: number): void {
    const { family, hints } = options;
    lookup(host, { family, hints, all: false }, (error, address, foundFamily) => {
      this.emit("lookup", error, address, foundFamily, host);
      if (!this.connecting || this.destroyed) return;
      if (error) {
        queueMicrotask(() => void this.destroy(error));
      } else if (isIP(address) === 0) {
        queueMicrotask(() => void this.destroy(failure(TypeError, "ERR_INVALID_IP_ADDRESS", `Invalid IP address: ${String(address)}`)));
      } else {
        this.#open(options, address as string, port);
      }
    });
  }

  /** How a connection is asked for; TLS asks otherwise. */
  protected secureTransport(): "off" | "on" | "starttls" {
    // Whether `tls.connect({socket})` will want it is not known yet.
    return "starttls";
  }

  #open(options: Options, host: string, port: number): void {
    const family = isIP(host);
    let socket: Connection;
    try {
      const hostname = family === 6 ? `[${host}]` : host;
      socket = (connectTcp as (address: unknown, options: unknown) => unknown)(
        `${hostname}:${port}`,
        { allowHalfOpen: true, secureTransport: this.secureTransport() },
      ) as Connection;
    } catch (error) {
      queueMicrotask(() => void this.destroy(error));
      return;
    }
    this.emit("connectionAttempt", host, port, family);
    this.adopt({ socket, reader: socket.readable.getReader(), writer: socket.writable.getWriter(), host, port, reading: false });
    void options;
  }

  /** Takes a connection as its own and waits until it is open. */
  adopt(handle: Handle): void {
    this._handle = handle;
    const { socket, host, port } = handle;
    socket.closed.then(undefined, (error: unknown) => this._handle === handle && void this.destroy(error));
    socket.opened.then(
      (info) => {
        if (this._handle !== handle || this.destroyed) return;
        this.#remote = info?.remoteAddress ?? `${host}:${port}`;
        this.#local = info?.localAddress;
        this.opened();
      },
      (error: unknown) => {
        if (this._handle !== handle) return;
        this.emit("connectionAttemptFailed", host, port, isIP(host), error);
        this.destroy(error);
      },
    );
  }

  protected opened(): void {
    if (!this.connecting) return;
    this.connecting = false;
    this.refreshTimer();
    this.emit("connect");
    this.emit("ready");
    if (!this.#isManual || this.#wantsRead) this.startReading();
  }

  // ---- Reading

  _read(): void {
    this.#wantsRead = true;
    if (this.connecting || this._handle === null) return;
    this.startReading();
  }

  startReading(): void {
    const handle = this._handle;
    if (handle === null || handle.reading || this.destroyed || this.connecting) return;
    handle.reading = true;
    void this.#pump(handle);
  }

  async #pump(handle: Handle): Promise<void> {
    try {
      for (;;) {
        const { done, value } = await handle.reader.read();
        if (this._handle !== handle || this.destroyed) return;
        this.refreshTimer();
        if (done || value === undefined) {
          this.push(null);
          if (this.#onread !== undefined || this.listenerCount("end") > 1) this.read(0);
          return;
        }
        this.#bytesRead += value.length;
        if (!this.#deliver(value)) break;
      }
    } catch (error) {
      if (this._handle === handle) this.destroy(error);
    } finally {
      handle.reading = false;
    }
  }

  #deliver(bytes: Uint8Array): boolean {
    const onread = this.#onread;
    if (onread === undefined) return this.push(toBuffer(bytes));
    for (let at = 0; at < bytes.length; at += onread.buffer.length) {
      const piece = bytes.subarray(at, at + onread.buffer.length);
      onread.buffer.set(piece);
      if (onread.callback(piece.length, onread.buffer) === false) this.pause();
    }
    return true;
  }

  // ---- Writing

  _write(data: unknown, encoding: unknown, done: Done): void {
    if (this.connecting) {
      const closed = (): void => done(failure(Error, "ERR_SOCKET_CLOSED_BEFORE_CONNECTION", "Socket closed before the connection was established"));
      this.once("connect", () => {
        this.removeListener("close", closed);
        this._write(data, encoding, done);
      });
      this.once("close", closed);
      return;
    }
    const handle = this._handle;
    if (handle === null) return done(socketClosed());
    const bytes = bytesOf(data, "chunk", encoding);
    this.refreshTimer();
    this.#bytesWritten += bytes.length;
    handle.writer.write(bytes.slice()).then(() => done(), (error: unknown) => done(error));
  }

  _final(done: Done): void {
    if (this.connecting) {
      this.once("connect", () => this._final(done));
      return;
    }
    const handle = this._handle;
    if (handle === null) return done();
    handle.writer.close().then(() => done(), () => done());
  }

  _destroy(error: unknown, done: Done): void {
    this.connecting = false;
    this.#stopTimer();
    const handle = this._handle;
    this._handle = null;
    if (error) this._hadError = true;
    done(error);
    const isHad = Boolean(error);
    if (handle !== null) {
      handle.reader.cancel(error).catch(() => undefined);
      handle.writer.abort(error).catch(() => undefined);
      handle.socket.close().catch(() => undefined);
    }
    queueMicrotask(() => this.emit("close", isHad));
  }

  destroySoon(): void {
    if (this.writable) this.end();
    if ((this as unknown as { writableFinished: boolean }).writableFinished) this.destroy();
    else this.once("finish", () => void this.destroy());
  }

  resetAndDestroy(): this {
    if (this._handle === null && !this.connecting) this.destroy(socketClosed());
    else this.destroy();
    return this;
  }

  // ---- Time and the rest

  setTimeout(msecs: unknown, callback?: unknown): this {
    if (this.destroyed) return this;
    this.timeout = timerDuration(msecs, "msecs");
    if (callback !== undefined) {
      const listener = requireFunction(callback, "callback");
      if (this.timeout === 0) this.removeListener("timeout", listener);
      else this.once("timeout", listener);
    }
    this.refreshTimer();
    return this;
  }

  refreshTimer(): void {
    this.#stopTimer();
    if (this.timeout > 0 && !this.destroyed) this.#timer = setTimeout(() => this._onTimeout(), this.timeout);
  }

  _onTimeout(): void {
    this.emit("timeout");
  }

  #stopTimer(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
  getTypeOfService(): number {
    return 0;
  }

  address(): object {
    const local = splitAddress(this.#local);
    return local === undefined ? {} : { address: local[0], port: local[1], family: `IPv${isIP(local[0]) || 4}` };
  }

  get pending(): boolean {
    return this._handle === null || this.connecting;
  }
  get readyState(): string {
    if (this.connecting) return "opening";
    if (this.readable && this.writable) return "open";
    if (this.readable) return "readOnly";
    return this.writable ? "writeOnly" : "closed";
  }
  get bufferSize(): number | undefined {
    return this._handle === null ? undefined : this.writableLength;
  }
  get bytesRead(): number {
    return this.#bytesRead;
  }
  get bytesWritten(): number {
    return this.#bytesWritten + this.writableLength;
  }
  get remoteAddress(): string | undefined {
    return splitAddress(this.#remote)?.[0];
  }
  get remotePort(): number | undefined {
    return splitAddress(this.#remote)?.[1];
  }
  get remoteFamily(): string | undefined {
    const address = this.remoteAddress;
    return address === undefined ? undefined : `IPv${isIP(address) || 4}`;
  }
  get localAddress(): string {
    return splitAddress(this.#local)?.[0] ?? "0.0.0.0";
  }
  get localPort(): number {
    return splitAddress(this.#local)?.[1] ?? 0;
  }
  get localFamily(): string {
    return `IPv${isIP(this.localAddress) || 4}`;
  }
}

function splitAddress(text: string | undefined): [host: string, port: number] | undefined {
  const found = text === undefined ? null : /^\[?(.*?)\]?:(\d+)$/.exec(text);
  return found === null ? undefined : [found[1] as string, Number(found[2])];
}

/** Callable without `new`, as code for older versions does. */
export const Socket = new Proxy(SocketClass, {
  apply: (Class, _this, args: [Options?]) => new Class(...args),
});
Object.defineProperty(SocketClass, "name", { value: "Socket" });
Object.defineProperty(SocketClass.prototype, "constructor", { value: Socket, writable: true, configurable: true });

export function connect(...args: unknown[]): SocketClass {
  const normalized = normalizeArgs(args);
  const [options] = normalized;
  const socket = new SocketClass(options);
  return socket.connect(normalized);
}

let attemptTimeout = 250;
let selectsFamily = false;

class Server {
  constructor() {
    throw new Error("Server is not implemented");
  }
}

const members: Record<string, unknown> = {
  BlockList,
  Server,
  Socket,
  SocketAddress,
  Stream: Socket,
  _normalizeArgs: normalizeArgs,
  connect,
  createConnection: connect,
  createServer(): never {
    throw new Error("createServer() is not implemented");
  },
  getDefaultAutoSelectFamily: () => selectsFamily,
  getDefaultAutoSelectFamilyAttemptTimeout: () => attemptTimeout,
  isIP,
  isIPv4,
  isIPv6,
  setDefaultAutoSelectFamily(value: unknown): void {
    if (value) throw invalidValue("val", value);
    selectsFamily = false;
  },
  setDefaultAutoSelectFamilyAttemptTimeout: (value: unknown) => void (attemptTimeout = Math.max(10, requireInteger(value, "value", 1, 2 ** 31 - 1))),
};

export const netModule: Record<string, unknown> = { ...members, default: members };
