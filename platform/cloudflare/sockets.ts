// The module `cloudflare:sockets`: byte connections, out (`connect()`) and in (a `connect()` handler).
//
// A connection is an event like a request: it goes to the Worker's outbound or to a service, and who
// takes it there gets the other end. Its bytes are two wire streams. TLS is the host's: with
// `starttls` the open connection brings a capability that takes one more `connect` event and goes on
// under TLS with two streams more.
//
// Also here: virtual hosts (`ctx.mapVirtualHost`), by which `connect()` to a made-up name reaches a service.
//
// Deliberately absent: sockets as RPC values, as in workerd without its autogate; `node:net` builds on
// `connect()`.
//
// Invariant: `opened` and `closed` settle once each, and are never reported as unhandled.

import { ops, wire } from "../ops.ts";
import type { CapId, Failure, Secure, StreamId } from "../ops.ts";
import { internalToken } from "../web/webidl.ts";
import { DOMString, boolean, defineInterface, dictionary, isObject, optional, requireInternal, unsignedLongLong } from "../web/webidl.ts";
import { type Deferred, RESOLVED, deferred, setHandled, upon } from "../web/streams/promises.ts";
import { readableCore } from "../web/streams/readable.ts";
import type { ReadableStream } from "../web/streams/readable.ts";
import type { WritableStream } from "../web/streams/writable.ts";
import { type WireReader, type WireSink, openReadable, openWritable } from "../web/streams/wire.ts";
import { type OnOutcome, cancelCall, forgetCall, newCall, requireOutbound } from "./calls.ts";
import { type Cap, hold } from "./caps.ts";
import { currentInvocation } from "./async-context.ts";
import type { Held, Invocation } from "./context.ts";
import { errorOf } from "./failures.ts";
import { serviceStates } from "./fetcher-class.ts";
import { type OpenSpan, callComesFrom, callSpan } from "./trace.ts";

/** What `opened` resolves to. */
interface SocketInfo {
  remoteAddress: string | undefined;
  localAddress: string | undefined;
}

// ---- Arguments

const socketOptions = dictionary("SocketOptions", {
  secureTransport: optional(DOMString),
  allowHalfOpen: optional(boolean),
  highWaterMark: optional(unsignedLongLong),
});
const tlsOptions = dictionary("TlsOptions", { expectedServerHostname: optional(DOMString) });

interface Options {
  secure: Secure;
  allowHalfOpen: boolean;
  /** Bytes; undefined for the usual one chunk. */
  highWaterMark: number | undefined;
}

const DEFAULTS: Options = { secure: "off", allowHalfOpen: false, highWaterMark: undefined };

function parseOptions(given: unknown): Options {
  const { secureTransport, allowHalfOpen, highWaterMark } = socketOptions(given, "connect: options");
  const secure = secureTransport ?? "off";
  if (secure !== "off" && secure !== "on" && secure !== "starttls") {
    throw new TypeError(`Unsupported value in secureTransport socket option: ${secure}`);
  }
  return { secure, allowHalfOpen: allowHalfOpen ?? false, highWaterMark };
}

interface Address {
  /** `host:port` as it was given. */
  text: string;
  host: string;
  port: number;
}

/** No domain name is longer, and an address with its port is shorter. */
const ADDRESS_CHARS_MAX = 255;

function parseAddress(given: unknown): Address {
  const address = isObject(given) ? fromRecord(given) : fromText(DOMString(given, "connect: address"));
  if (!/^[A-Za-z0-9\-._[\]:]+$/.test(address.text) || address.text.length > ADDRESS_CHARS_MAX) {
    throw new TypeError("Specified address is empty string, contains unsupported characters or is too long.");
  }
  return address;
}

function fromRecord(given: object): Address {
  const { hostname, port } = given as { hostname?: unknown; port?: unknown };
  if (hostname === undefined || port === undefined) {
    throw new TypeError("connect: the address needs a hostname and a port.");
  }
  const host = DOMString(hostname, "connect: hostname");
  const number = Number(port);
  if (!Number.isInteger(number) || number < 0 || number > 65_535) {
    throw new TypeError(`connect: the port ${String(port)} is no number from 0 to 65535.`);
  }
  return { text: `${host}:${number}`, host, port: number };
}

function fromText(text: string): Address {
  const parsed = ops.urlParse(`fake://${text}`, undefined);
  if (parsed === undefined) throw new TypeError("Specified address could not be parsed.");
  const [href, , , hostStart, hostEnd, port] = parsed as [string, number, number, number, number, number];
  const host = href.slice(hostStart, hostEnd).replace(/^@/, "");
  if (host === "") throw new TypeError("Specified address is missing hostname.");
  if (port > 65_535) throw new TypeError("Specified address is missing port.");
  return { text, host, port };
}

/** Ports where people try to speak HTTP by hand. */
function isFetchPort({ port }: Address): boolean {
  return port === 80 || port === 443;
}

// ---- Connecting

/** The global `connect()`. */
export function connect(address: unknown, options: unknown = undefined): Socket {
  const target = parseAddress(address);
  const parsed = parseOptions(options);
  const service = virtualHost(target);
  return connectTo(service?.id ?? requireOutbound(), target, parsed, callSpan(service, "connect"));
}

/** `connect()` of a service stub. */
export function connectThrough(cap: Cap, address: unknown, options: unknown): Socket {
  return connectTo(cap.id, parseAddress(address), parseOptions(options), callSpan(cap, "connect"));
}

function connectTo(target: CapId, address: Address, options: Options, span: OpenSpan | undefined): Socket {
  const ends = new Ends(options);
  const socket = new Socket(internalToken, ends, options, address);
  const call = newCall((outcome) => {
    span?.end();
    if (outcome[0] === "connected") return ends.opened(outcome[1], address.text, undefined);
    if (outcome[0] === "failed") return ends.refused(refusal(outcome[1], address));
    ends.refused(new TypeError(`A connection was answered with a ${outcome[0]}.`));
  });
  ends.whenLeft = () => cancelCall(call, "the socket was closed", discardConnection);
  try {
    callComesFrom(span, call);
    wire.call(call, target, ["connect", address.text, options.secure, ends.sink.id, ends.reader.id], undefined);
  } catch (error) {
    span?.end();
    forgetCall(call);
    ends.abandon(error);
    throw error;
  }
  ends.start();
  return socket;
}

const discardConnection: OnOutcome = (outcome) => {
  if (outcome[0] === "connected" && outcome[1] !== undefined) wire.releaseCap(outcome[1]);
};

function refusal(failure: Failure, address: Address): unknown {
  // A Worker's own error is its own; the network's begins with workerd's words.
  if (failure.kind !== "network") return errorOf(failure);
  const hint = isFetchPort(address)
    ? ". It looks like you might be trying to connect to a HTTP-based service — consider using fetch instead"
    : "";
  return new Error(`proxy request failed, cannot connect to the specified address${hint} (${failure.message})`);
}

// ---- The ends of a connection

/** The two streams of a connection and what happens to them. */
class Ends implements Held {
  readonly reader: WireReader;
  readonly sink: WireSink;
  readonly readable: ReadableStream;
  readonly writable: WritableStream;
  readonly info: Deferred<SocketInfo> = deferred();
  readonly closed: Deferred<undefined> = deferred();
  readonly #halfOpen: boolean;
  readonly #invocation: Invocation | undefined = currentInvocation();
  /** Takes the `connect` event that begins TLS. */
  #upgrade: CapId | undefined;
  #isOpen = false;
  #over = false;
  #heardAll = false;
  #saidAll = false;
  #beforeOpen: (() => void)[] = [];
  whenLeft: (() => void) | undefined;

  constructor(options: Options, ids?: [readable: StreamId, writable: StreamId]) {
    this.#halfOpen = options.allowHalfOpen;
    setHandled(this.info.promise);
    setHandled(this.closed.promise);
    const readable = openReadable(
      { ended: () => this.#heard(), failed: (failure) => this.#onceOpen(() => this.broke(errorOf(failure))) },
      ids?.[0],
    );
    const strategy = options.highWaterMark === undefined ? undefined : { highWaterMark: options.highWaterMark, size: chunkBytes };
    const writable = openWritable(
      { closed: () => this.#said(), canceled: () => this.#onceOpen(() => this.#finish()) },
      strategy,
      ids?.[1],
    );
    this.reader = readable.reader;
    this.readable = readable.stream;
    this.sink = writable.sink;
    this.writable = writable.stream;
    this.#invocation?.hold(this);
  }

  /** The host knows of the streams. */
  start(): void {
    this.sink.start();
  }

  opened(upgrade: CapId | undefined, remoteAddress: string | undefined, localAddress: string | undefined): void {
    this.#isOpen = true;
    this.whenLeft = undefined;
    if (this.#over && upgrade !== undefined) wire.releaseCap(upgrade);
    else this.#upgrade = upgrade;
    if (this.#saidAll) this.releaseUpgrade();
    this.info.resolve({ remoteAddress, localAddress });
    for (const happened of this.#beforeOpen.splice(0)) happened();
  }

  /** A connection that is refused ends both streams, too; why it was refused comes with the outcome. */
  #onceOpen(happened: () => void): void {
    if (this.#isOpen) happened();
    else this.#beforeOpen.push(happened);
  }

  refused(error: unknown): void {
    this.whenLeft = undefined;
    this.info.reject(error);
    this.broke(error);
  }

  get isOver(): boolean {
    return this.#over;
  }

  takeUpgrade(): CapId | undefined {
    const upgrade = this.#upgrade;
    this.#upgrade = undefined;
    return upgrade;
  }

  /** Without it the host knows that the end of what was said is the end. */
  releaseUpgrade(): void {
    const upgrade = this.takeUpgrade();
    if (upgrade !== undefined) wire.releaseCap(upgrade);
  }

  #heard(): void {
    this.#heardAll = true;
    if (this.#halfOpen) {
      if (this.#saidAll) this.#finish();
      return;
    }
    const { stream } = this.sink;
    if (stream.state !== "writable" || stream.closeQueuedOrInFlight) {
      this.#finish();
      return;
    }
    upon(stream.close(), () => this.#finish(), (error) => this.broke(error));
  }

  #said(): void {
    this.#saidAll = true;
    this.releaseUpgrade();
    if (this.#heardAll) this.#finish();
  }

  #finish(): void {
    this.#leave();
    this.closed.resolve(undefined);
  }

  #leave(): void {
    this.#over = true;
    this.#invocation?.letGo(this);
    this.releaseUpgrade();
  }

  /** The connection is gone. */
  broke(error: unknown): void {
    if (this.#over) return;
    this.#leave();
    this.info.reject(error);
    this.closed.reject(error);
    this.sink.fail(error);
    this.reader.sayCancel("the socket is closed");
    readableCore(this.readable).controller.error(error);
  }

  /** Everything written is sent, then both directions end. */
  async close(): Promise<undefined> {
    try {
      await this.info.promise;
      const { stream } = this.sink;
      if (!this.#over) {
        await stream.lastWrite();
        if (stream.state === "writable" && !stream.closeQueuedOrInFlight) await stream.close();
        await readableCore(this.readable).cancel(undefined);
        this.#finish();
      }
    } catch (error) {
      this.broke(error);
    }
    return this.closed.promise;
  }

  /** The streams go on under TLS elsewhere. */
  detach(): void {
    this.#leave();
    const error = new TypeError("The socket was upgraded to TLS; use the one that startTls() returned.");
    this.sink.detach(error);
    this.reader.sayCancel("upgraded");
    readableCore(this.readable).close();
    this.closed.resolve(undefined);
  }

  /** The host was never told of these streams. */
  abandon(error: unknown): void {
    this.#leave();
    this.sink.abandon(error);
    this.reader.forget();
    this.info.reject(error);
    this.closed.reject(error);
    readableCore(this.readable).controller.error(error);
  }

  contextEnded(): void {
    if (this.#over) return;
    if (!this.#isOpen) this.whenLeft?.();
    this.broke(new Error("The socket was closed because the invocation that opened it has ended."));
  }
}

function chunkBytes(chunk: unknown): number {
  const { byteLength } = (chunk ?? {}) as { byteLength?: unknown };
  return typeof byteLength === "number" ? byteLength : 1;
}

// ---- What user code sees

export class Socket {
  readonly #ends: Ends;
  readonly #options: Options;
  readonly #address: Address | undefined;
  #upgraded = false;
  #tlsBegun = false;
  #closing: Promise<undefined> | undefined;

  constructor(token: unknown = undefined, ends?: Ends, options: Options = DEFAULTS, address?: Address) {
    requireInternal(token);
    this.#ends = ends as Ends;
    this.#options = options;
    this.#address = address;
  }

  get readable(): ReadableStream {
    return this.#ends.readable;
  }

  get writable(): WritableStream {
    return this.#ends.writable;
  }

  get closed(): Promise<undefined> {
    return this.#ends.closed.promise;
  }

  get opened(): Promise<SocketInfo> {
    return this.#ends.info.promise;
  }

  get upgraded(): boolean {
    return this.#upgraded;
  }

  get secureTransport(): Secure {
    return this.#options.secure;
  }

  close(): Promise<undefined> {
    return (this.#closing ??= this.#ends.close());
  }

  startTls(options: unknown = undefined): Socket {
    const { secure } = this.#options;
    if (secure === "on") throw new TypeError("Cannot startTls on a TLS socket.");
    if (this.#ends.isOver && !this.#tlsBegun) {
      throw new TypeError("The connection was closed before startTls could be started.");
    }
    if (secure !== "starttls") {
      throw new TypeError("The `secureTransport` socket option must be set to 'starttls' for startTls to be used.");
    }
    const address = this.#address;
    if (this.#tlsBegun || address === undefined) {
      throw new TypeError("startTls has already been called on this socket, or the socket was transferred over RPC.");
    }
    this.#tlsBegun = true;
    const { expectedServerHostname } = tlsOptions(options, "Socket.startTls: options");
    const tls: Options = { ...this.#options, secure: "on" };
    const ends = new Ends(tls);
    const name = expectedServerHostname ?? address.host;
    void this.#begin(ends, name, address).catch((error: unknown) => ends.abandon(error));
    return new Socket(internalToken, ends, tls, address);
  }

  /** Sends what was written in the open, then hands the connection over. */
  async #begin(ends: Ends, name: string, address: Address): Promise<void> {
    const plain = this.#ends;
    await plain.info.promise;
    await plain.sink.stream.lastWrite();
    const upgrade = plain.takeUpgrade();
    if (upgrade === undefined || plain.isOver) {
      throw new TypeError("The connection was closed before startTls completed.");
    }
    this.#upgraded = true;
    const cap = hold(upgrade, "service");
    const call = newCall((outcome) => {
      cap.release();
      if (outcome[0] === "connected") ends.opened(undefined, address.text, undefined);
      else ends.refused(outcome[0] === "failed" ? errorOf(outcome[1]) : new TypeError("TLS could not be started."));
    });
    wire.call(call, cap.id, ["connect", name, "on", ends.sink.id, ends.reader.id], undefined);
    ends.start();
    plain.detach();
  }
}
defineInterface(Socket);

/** The socket that a `connect()` handler gets: it is open already. */
export function acceptedSocket(authority: string, readable: StreamId, writable: StreamId): Socket {
  const ends = new Ends(DEFAULTS, [readable, writable]);
  ends.start();
  ends.opened(undefined, undefined, authority);
  const socket = new Socket(internalToken, ends, DEFAULTS);
  accepted.set(socket, ends);
  return socket;
}

const accepted = new WeakMap<Socket, Ends>();

/** The handler is done with it: what it wrote still goes out. */
export function releaseSocket(socket: Socket, failed: { error: unknown } | undefined): Promise<unknown> {
  const ends = accepted.get(socket);
  if (ends === undefined || ends.isOver) return RESOLVED;
  if (failed !== undefined) {
    ends.broke(failed.error);
    return RESOLVED;
  }
  return socket.close().catch(() => {});
}

// ---- Virtual hosts

/** The name of a service's virtual host, once it has one. */
const namesOf = new WeakMap<object, string>();
const services = new Map<string, Cap>();

/** Virtual hosts of one Worker: each keeps a stub. */
const VIRTUAL_HOSTS_MAX = 1024;

/** `ctx.mapVirtualHost`: `host:port` at which `connect()` reaches `service`. */
export function mapVirtualHost(service: unknown, port: unknown): string {
  const state = isObject(service) ? serviceStates.get(service) : undefined;
  if (state === undefined) {
    throw new TypeError("Failed to execute 'mapVirtualHost' on 'ExecutionContext': parameter 1 is not of type 'Fetcher'.");
  }
  const known = namesOf.get(service as object);
  if (known !== undefined) return known;
  if (services.size >= VIRTUAL_HOSTS_MAX) {
    throw new Error(`Too many virtual hosts: the limit is ${VIRTUAL_HOSTS_MAX} (VIRTUAL_HOSTS_MAX).`);
  }
  const label = Array.from(ops.randomBytes(16), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const name = `${label}.workers.alt:${Number(port) & 0xffff}`;
  namesOf.set(service as object, name);
  services.set(name, state.cap().retain());
  return name;
}

function virtualHost({ text }: Address): Cap | undefined {
  return services.get(text);
}

export const sockets: Record<string, unknown> = { connect };
