// node:tls: sockets under TLS. The handshake is the host's, with the host's certificates.
//
// Deliberately as in Workers: options that would change whom the host trusts are refused, and a
// connection tells nothing of the other side's certificate.
//
// Invariant: a socket says it is authorized only once the host has said so.

import { has } from "../cloudflare/compat.ts";
import { queueMicrotask } from "../web/microtask.ts";
import { setTimeout } from "../web/timers.ts";
import { isUint8Array } from "./buffer-kinds.ts";
import { Buffer } from "./buffer.ts";
import { checkCallable, checkInt32, checkObject, checkText, checkUint32, failure, refusing } from "./checks.ts";
import { addressBytes } from "./crypto/x509.ts";
import { invalidArgType, outOfRange, requireInteger, requireNumber } from "./errors.ts";
import { optionNotImplemented } from "./http/headers.ts";
import { SocketClass, isIP, normalizeArgs } from "./net.ts";
import type { Handle } from "./net.ts";

type Options = Record<string, unknown>;

// ---- Contexts --------------------------------------------------------------------------------

export const SecureContext = function (this: object | undefined, _protocol?: unknown, options?: unknown): object {
  if (!(this instanceof (SecureContext as unknown as { new (): object }))) return new SecureContext(_protocol, options);
  if (options !== undefined) requireInteger(options, "secureOptions");
  Object.assign(this, { context: undefined });
  return this;
} as unknown as { new (...args: unknown[]): object; (...args: unknown[]): object };
Object.defineProperty(SecureContext, "name", { value: "SecureContext" });

function createSecureContext(options: Options = {}): object {
  return new SecureContext(options["secureProtocol"], options["secureOptions"]);
}

// ---- Names in certificates (RFC 6125) --------------------------------------------------------

interface Certificate {
  subject?: { CN?: string | string[] };
  subjectaltname?: string;
}

const withoutDot = (name: string): string => name.replace(/\.$/, "");

function labelsOf(name: string): string[] {
  return withoutDot(name).toLowerCase().split(".");
}

function matches(host: readonly string[], pattern: string): boolean {
  if (pattern === "") return false;
  const wanted = labelsOf(pattern);
  // Neither empty labels nor anything outside of ASCII has a sure meaning.
  if (host.length !== wanted.length || wanted.some((label) => label === "" || /[^\u0021-\u007f]/.test(label))) return false;
  for (let at = 1; at < host.length; at++) if (host[at] !== wanted[at]) return false;
  const [own, first] = [host[0] as string, wanted[0] as string];
  const parts = first.split("*");
  if (parts.length === 1 || first.includes("xn--")) return own === first;
  if (parts.length > 2 || wanted.length <= 2) return false;
  const [before, after] = parts as [string, string];
  return before.length + after.length <= own.length && own.startsWith(before) && own.endsWith(after);
}

const JSON_STRING = /^"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/;

/** Names are separated by commas, but for those inside JSON strings. */
function splitNames(text: string): string[] {
  if (!text.includes("\"")) return text.split(", ");
  const names: string[] = [];
  let [current, at] = ["", 0];
  while (at < text.length) {
    const [comma, quote] = [text.indexOf(",", at), text.indexOf("\"", at)];
    if (quote >= 0 && (comma < 0 || quote < comma)) {
      const found = JSON_STRING.exec(text.slice(quote));
      if (found === null) throw failure(SyntaxError, "ERR_TLS_CERT_ALTNAME_FORMAT", "Invalid subject alternative name string");
      current += text.slice(at, quote) + (JSON.parse(found[0]) as string);
      at = quote + found[0].length;
    } else if (comma >= 0) {
      names.push(current + text.slice(at, comma));
      [current, at] = ["", comma + 2];
    } else {
      current += text.slice(at);
      at = text.length;
    }
  }
  names.push(current);
  return names;
}

const canonical = (address: string): string => addressBytes(address)?.toHex() ?? "";

/** Why the certificate is not this host's, or undefined if it is. */
function mismatch(host: string, { subject, subjectaltname: names }: Certificate): string | undefined {
  const all = names ? splitNames(names) : [];
  const dns = all.filter((name) => name.startsWith("DNS:")).map((name) => name.slice(4));
  const addresses = all.filter((name) => name.startsWith("IP Address:")).map((name) => name.slice(11));
  if (isIP(host) !== 0) {
    const isListed = addresses.some((address) => canonical(address) !== "" && canonical(address) === canonical(host));
    return isListed ? undefined : `IP: ${host} is not in the cert's list: ${addresses.filter((address) => isIP(address) !== 0).join(", ")}`;
  }
  const labels = labelsOf(host);
  if (dns.length > 0) {
    return dns.some((name) => matches(labels, name)) ? undefined : `Host: ${host}. is not in the cert's altnames: ${names}`;
  }
  const common = subject?.CN;
  if (!common) return "Cert does not contain a DNS name";
  return [common].flat().some((name) => matches(labels, name)) ? undefined : `Host: ${host}. is not cert's CN: ${String(common)}`;
}

function checkServerIdentity(hostname: unknown, certificate: Certificate): Error | undefined {
  const host = withoutDot(String(hostname));
  const reason = mismatch(host, certificate);
  if (reason === undefined) return undefined;
  const error = failure(Error, "ERR_TLS_CERT_ALTNAME_INVALID", `Hostname/IP does not match certificate's altnames: ${reason}`);
  return Object.assign(error, { reason, host, cert: certificate });
}

function protocolList(protocols: readonly unknown[]): Uint8Array {
  const parts = protocols.map((protocol, at) => {
    const bytes = Buffer.from(String(protocol));
    if (bytes.length > 255) {
      const message = `The byte length of the protocol at index ${at} exceeds the maximum length. It must be <= 255. Received ${bytes.length}`;
      throw failure(RangeError, "ERR_OUT_OF_RANGE", message);
    }
    return Buffer.concat([Uint8Array.of(bytes.length), bytes]);
  });
  return Buffer.concat(parts);
}

function convertALPNProtocols(protocols: unknown, out: { ALPNProtocols?: unknown }): void {
  if (Array.isArray(protocols)) out.ALPNProtocols = protocolList(protocols);
  else if (isUint8Array(protocols)) out.ALPNProtocols = Buffer.from(protocols);
  else if (ArrayBuffer.isView(protocols)) {
    out.ALPNProtocols = Buffer.from(protocols.buffer.slice(protocols.byteOffset, protocols.byteOffset + protocols.byteLength) as ArrayBuffer);
  }
}

interface PeerCertificate {
  issuerCertificate?: unknown;
  infoAccess?: unknown;
}

function translatePeerCertificate(given: unknown): unknown {
  if (!given) return null;
  const certificate = given as PeerCertificate;
  const { issuerCertificate, infoAccess } = certificate;
  if (issuerCertificate !== undefined && issuerCertificate !== null && issuerCertificate !== given) {
    certificate.issuerCertificate = translatePeerCertificate(issuerCertificate);
  }
  if (infoAccess !== undefined && infoAccess !== null) {
    const found = Object.create(null) as Record<string, string[]>;
    for (const [, name = "", value = ""] of String(infoAccess).matchAll(/([^\n:]*):([^\n]*)(?:\n|$)/g)) {
      (found[name] ??= []).push(value.startsWith("\"") ? (JSON.parse(value) as string) : value);
    }
    certificate.infoAccess = found;
  }
  return certificate;
}

// ---- Sockets ---------------------------------------------------------------------------------

const REFUSED = ["enableTrace", "isServer", "server", "requestCert", "requestOCSP"];
const REFUSED_IF_GIVEN = ["ALPNProtocols", "SNICallback", "pskCallback"];

function refuseOptions(options: Options): void {
  for (const name of REFUSED) if (options[name]) throw optionNotImplemented(`options.${name}`);
  if (options["rejectUnauthorized"] === false) throw optionNotImplemented("options.rejectUnauthorized");
  for (const name of REFUSED_IF_GIVEN) if (options[name] !== undefined) throw optionNotImplemented(`options.${name}`);
  const { secureContext, checkServerIdentity: verifier } = options;
  if (secureContext !== undefined && !(secureContext instanceof SecureContext)) {
    throw failure(TypeError, "ERR_TLS_INVALID_CONTEXT", "context must be a SecureContext");
  }
  if (verifier !== undefined) {
    checkCallable(verifier, "options.checkServerIdentity");
    throw optionNotImplemented("options.checkServerIdentity");
  }
}

function notImplemented(name: string): never {
  throw new Error(`${name} is not implemented`);
}

export class TLSSocketClass extends SocketClass {
  encrypted = true;
  authorized = false;
  authorizationError: unknown = null;
  secureConnecting = true;
  servername: string | null;
  alpnProtocol: string | false | null = null;
  _tlsOptions: Options;
  _secureEstablished = false;
  _parentWrap: unknown;

  constructor(socket?: unknown, given: Options = {}) {
    const options = { ...given };
    refuseOptions(options);
    const { allowHalfOpen } = (socket ?? options) as Options;
    super({ allowHalfOpen, highWaterMark: options["highWaterMark"], onread: socket ? undefined : options["onread"], signal: options["signal"], manualStart: true });
    this._tlsOptions = options;
    this._parentWrap = socket ?? null;
    this.servername = (options["servername"] as string | undefined) ?? null;
    if (socket !== undefined && socket !== null) this.#wrap(socket);
  }

  protected override secureTransport(): "on" {
    return "on";
  }

  /** Goes on under TLS where another socket is connected, or will be. */
  #wrap(socket: unknown): void {
    if (typeof (socket as Partial<SocketClass> | null)?.once !== "function") throw invalidArgType("socket", ["net.Socket"], socket);
    this.connecting = true;
    (socket as SocketClass).once("close", () => void this.destroy());
    if (!(socket instanceof SocketClass)) {
      // TLS is the host's, over connections of its own. Workers send in the clear here.
      setTimeout(() => {
        if (!this.destroyed) this.destroy(new Error("TLS is only possible over a net.Socket"));
      }, 0);
    }
  }

  /** Begins the handshake over the socket that this one was made of, once that is connected. */
  _start(): void {
    const socket = this._parentWrap;
    if (!(socket instanceof SocketClass)) return;
    if (socket.connecting || socket._handle === null) {
      if (!socket.destroyed) socket.once("connect", () => this._start());
      return;
    }
    if (this.destroyed || this._handle !== null) return;
    const handle = socket._handle;
    // The other socket no longer reads: what comes is this one's.
    socket._handle = null;
    try {
      this.adopt(secured(handle, this.servername));
    } catch (error) {
      queueMicrotask(() => void this.destroy(error));
    }
  }

  protected override opened(): void {
    if (this.destroyed || this._secureEstablished) return;
    this._secureEstablished = true;
    this.authorized = true;
    super.opened();
    this.emit("secure");
    this.secureConnecting = false;
    this.emit("secureConnect");
    this.startReading();
  }

  disableRenegotiation(): void {}

  renegotiate(options: unknown, callback?: unknown): boolean {
    checkObject(options, "options");
    if (callback !== undefined) checkCallable(callback, "callback");
    return false;
  }

  exportKeyingMaterial(length: unknown, label: unknown, context?: unknown): never {
    checkUint32(length, "length", true);
    checkText(label, "label");
    if (context !== undefined && !ArrayBuffer.isView(context)) throw invalidArgType("context", ["Buffer", "TypedArray", "DataView"], context);
    return notImplemented("exportKeyingMaterial");
  }

  setMaxSendFragment(size: unknown): boolean {
    checkInt32(size, "size");
    return false;
  }
  setServername(name: unknown): void {
    this.servername = checkText(name, "name");
  }
  setSession(): void {}
  getPeerCertificate(): never {
    return notImplemented("getPeerCertificate");
  }
  getCertificate(): never {
    return notImplemented("TLSSocket.getCertificate");
  }
  getPeerX509Certificate(): never {
    return notImplemented("TLSSocket.getPeerX509Certificate");
  }
  getX509Certificate(): never {
    return notImplemented("TLSSocket.getX509Certificate");
  }
  setKeyCert(): never {
    return notImplemented("TLSSocket.setKeyCert");
  }
}
for (const name of [
  "getCipher", "getSharedSigalgs", "getEphemeralKeyInfo", "getFinished", "getPeerFinished", "getProtocol", "getSession", "getTLSTicket",
  "isSessionReused", "enableTrace",
]) {
  Object.defineProperty(TLSSocketClass.prototype, name, { value: () => null, writable: true, configurable: true });
}

/** The connection once more, under TLS. */
function secured(handle: Handle, servername: string | null): Handle {
  handle.reader.releaseLock();
  handle.writer.releaseLock();
  const socket = handle.socket.startTls(servername === null ? undefined : { expectedServerHostname: servername });
  return { ...handle, socket, reader: socket.readable.getReader(), writer: socket.writable.getWriter(), reading: false };
}

export const TLSSocket = new Proxy(TLSSocketClass, {
  apply: (Class, _this, args: [unknown?, Options?]) => new Class(...args),
});
Object.defineProperty(TLSSocketClass, "name", { value: "TLSSocket" });
Object.defineProperty(TLSSocketClass.prototype, "constructor", { value: TLSSocket, writable: true, configurable: true });

export function connect(...args: unknown[]): TLSSocketClass {
  const [first, callback] = normalizeArgs(args);
  const extra = args.slice(1).find((argument) => typeof argument === "object" && argument !== null) as Options | undefined;
  const options: Options = { ...first, ...extra };
  if (options["minDHSize"] !== undefined) {
    if (requireNumber(options["minDHSize"], "options.minDHSize") < 1) throw outOfRange("options.minDHSize", ">= 1", options["minDHSize"]);
    throw optionNotImplemented("options.minDHSize");
  }
  const { socket, servername, timeout } = options;
  const made = new TLSSocketClass(socket, options);
  if (typeof servername === "string") made.servername = servername;
  if (callback !== null) made.once("secureConnect", callback);
  if (socket) made._start();
  else {
    if (timeout) made.setTimeout(timeout);
    made.connect({ ...options, timeout: undefined });
  }
  return made;
}

// ---- The modules -----------------------------------------------------------------------------

const constants = {
  CLIENT_RENEG_LIMIT: 3,
  CLIENT_RENEG_WINDOW: 600,
  DEFAULT_CIPHERS: "",
  DEFAULT_ECDH_CURVE: "auto",
  DEFAULT_MAX_VERSION: "TLSv1.3",
  DEFAULT_MIN_VERSION: "TLSv1.2",
  rootCertificates: [] as string[],
};

class Server {
  constructor() {
    throw new Error("Not implemented");
  }
}

let made: Record<string, unknown> | undefined;

export function tlsModule(): Record<string, unknown> {
  if (made !== undefined) return made;
  const members: Record<string, unknown> = {
    SecureContext,
    Server,
    TLSSocket,
    checkServerIdentity,
    connect,
    convertALPNProtocols,
    createSecureContext,
    createSecurePair: has("remove_nodejs_compat_eol_v24") ? undefined : refusing("createSecurePair"),
    createServer: () => notImplemented("createServer"),
    getCiphers: () => [],
    ...constants,
  };
  return (made = { ...members, default: members });
}

const common = { SecureContext, createSecureContext, translatePeerCertificate };
const wrap = { TLSSocket, connect };
export const tlsCommonModule: Record<string, unknown> = { ...common, default: common };
export const tlsWrapModule: Record<string, unknown> = { ...wrap, default: wrap };
