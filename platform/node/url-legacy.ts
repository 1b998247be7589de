// The URLs of Node.js before the URL Standard: `url.parse`, `url.format`, `url.resolve` and `Url`.
//
// They are laxer than the standard's: a URL may lack any part, and nothing is checked but the host.
//
// Invariant: `parse` leaves every part that a URL does not have `null`, and never an empty text, but for
// a host that is there and empty.

import { ops } from "../ops.ts";
import { coded, invalidArgType, requireString } from "./errors.ts";
import { querystring } from "./querystring.ts";

const HOSTLESS = new Set(["javascript", "javascript:"]);
const SLASHED = new Set(["http", "https", "ftp", "gopher", "file", "ws", "wss"].flatMap((name) => [name, `${name}:`]));

/** Names longer than a domain can be are dropped. */
const HOSTNAME_LENGTH_MAX = 255;

const PROTOCOL = /^[a-z0-9.+-]+:/i;
const PORT = /:[0-9]*$/;
const HOST_WITH_AUTH = /^\/\/[^@/]+@[^@/]+/;
const SIMPLE_PATH = /^(\/\/?(?!\/)[^?\s]*)(\?[^\s]*)?$/;
const FORBIDDEN_IN_HOST = /[\0\t\n\r #%/:<>?@[\\\]^|]/;
const FORBIDDEN_IN_IPV6 = /[\0\t\n\r #%/<>?@\\^|]/;
const OUTER_SPACE = /^[\s\ufeff]+|[\s\ufeff]+$/g;
const ESCAPED = /[\t\n\r "'<>\\^`{|}]/g;

type Query = string | Record<string, unknown> | null;

export interface UrlObject {
  protocol: string | null;
  slashes: boolean | null;
  auth: string | null;
  host: string | null;
  port: string | null;
  hostname: string | null;
  hash: string | null;
  search: string | null;
  query: Query;
  pathname: string | null;
  path: string | null;
  href: string | null;
}

const EMPTY: UrlObject = {
  protocol: null,
  slashes: null,
  auth: null,
  host: null,
  port: null,
  hostname: null,
  hash: null,
  search: null,
  query: null,
  pathname: null,
  path: null,
  href: null,
};

const PARTS = Object.keys(EMPTY) as (keyof UrlObject)[];

export interface Url extends UrlObject {
  parse(url: unknown, parseQueryString?: unknown, slashesDenoteHost?: unknown): Url;
  format(): string;
  resolve(relative: unknown): string;
  resolveObject(relative: unknown): Url;
  parseHost(): void;
}

export const Url = function Url(this: Url): void {
  Object.assign(this, EMPTY);
} as unknown as { new (): Url; prototype: Url };

function invalidUrl(input: string): Error {
  return Object.assign(coded(new TypeError("Invalid URL"), "ERR_INVALID_URL"), { input });
}

// ---- Reading ---------------------------------------------------------------------------------

/** Backslashes before the query are slashes, as browsers have it. */
function straighten(url: string): string {
  const end = url.search(/[?#]/);
  return end < 0 ? url.replaceAll("\\", "/") : url.slice(0, end).replaceAll("\\", "/") + url.slice(end);
}

function parse(this: Url, given: unknown, parseQueryString?: unknown, slashesDenoteHost?: unknown): Url {
  const url = requireString(given, "url");
  let rest = straighten(url.replace(OUTER_SPACE, ""));
  if (!slashesDenoteHost && !/^[^?]*@|#/.test(rest)) {
    const simple = SIMPLE_PATH.exec(rest);
    if (simple !== null) return parseSimple(this, rest, simple, parseQueryString);
  }
  const found = PROTOCOL.exec(rest)?.[0];
  const protocol = found?.toLowerCase();
  if (found !== undefined && protocol !== undefined) {
    this.protocol = protocol;
    rest = rest.slice(found.length);
  }
  const isHostless = protocol !== undefined && HOSTLESS.has(protocol);
  let hasSlashes = false;
  if (slashesDenoteHost || protocol !== undefined || HOST_WITH_AUTH.test(rest)) {
    hasSlashes = rest.startsWith("//");
    if (hasSlashes && !isHostless) {
      rest = rest.slice(2);
      this.slashes = true;
    }
  }
  if (!isHostless && (hasSlashes || (found !== undefined && !SLASHED.has(found)))) rest = parseAuthority(this, rest, url);
  if (!isHostless) rest = rest.replace(ESCAPED, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
  parseTail(this, rest, parseQueryString);
  if (protocol !== undefined && SLASHED.has(protocol) && this.hostname && !this.pathname) this.pathname = "/";
  if (this.pathname || this.search) this.path = `${this.pathname ?? ""}${this.search ?? ""}`;
  this.href = this.format();
  return this;
}

function queryOf(text: string, parseQueryString: unknown): Query {
  return parseQueryString ? querystring.parse(text) : text;
}

function parseSimple(self: Url, rest: string, found: RegExpExecArray, parseQueryString: unknown): Url {
  self.path = rest;
  self.href = rest;
  self.pathname = found[1] as string;
  if (found[2]) {
    self.search = found[2];
    self.query = queryOf(found[2].slice(1), parseQueryString);
  } else if (parseQueryString) {
    self.search = null;
    self.query = Object.create(null) as Record<string, unknown>;
  }
  return self;
}

/** Reads what stands before the path; gives what is left. */
function parseAuthority(self: Url, given: string, url: string): string {
  let text = given;
  let at = -1;
  let nonHost = -1;
  for (let index = 0; index < text.length; index++) {
    const sign = text[index] as string;
    // As in the URL Standard, these vanish; behind the host they are escaped.
    if (sign === "\t" || sign === "\n" || sign === "\r") {
      text = text.slice(0, index) + text.slice(index + 1);
      index--;
      continue;
    }
    if (sign === "#" || sign === "/" || sign === "?") {
      if (nonHost < 0) nonHost = index;
      break;
    }
    if (sign === "@") {
      // Whatever stood before it belongs to the user and the password.
      at = index;
      nonHost = -1;
    } else if (nonHost < 0 && /[ "%';<>\\^`{|}]/.test(sign)) {
      nonHost = index;
    }
  }
  if (at >= 0) self.auth = decodeURIComponent(text.slice(0, at));
  const start = at + 1;
  self.host = nonHost < 0 ? text.slice(start) : text.slice(start, nonHost);
  let rest = nonHost < 0 ? "" : text.slice(nonHost);
  self.parseHost();
  if (typeof self.hostname !== "string") self.hostname = "";
  const hostname = self.hostname;
  const isIpv6 = hostname.startsWith("[") && hostname.endsWith("]");
  if (!isIpv6) {
    const end = hostname.search(/[/\\#?:]/);
    if (end >= 0) {
      self.hostname = hostname.slice(0, end);
      rest = `/${hostname.slice(end)}${rest}`;
    }
  }
  self.hostname = self.hostname.length > HOSTNAME_LENGTH_MAX ? "" : self.hostname.toLowerCase();
  if (self.hostname !== "") {
    if (isIpv6) {
      if (FORBIDDEN_IN_IPV6.test(self.hostname)) throw invalidUrl(url);
    } else {
      self.hostname = toAscii(self.hostname);
      // What turns into another host by being converted would deceive whoever looked at it before.
      if (self.hostname === "" || FORBIDDEN_IN_HOST.test(self.hostname)) throw invalidUrl(url);
    }
  }
  self.host = `${self.hostname}${self.port ? `:${self.port}` : ""}`;
  if (!isIpv6) return rest;
  self.hostname = self.hostname.slice(1, -1);
  return rest.startsWith("/") ? rest : `/${rest}`;
}

/** As the legacy parser wants it: what is ASCII stays, even where no domain looks like that. */
function toAscii(hostname: string): string {
  return /^[\x21-\x7e]*$/.test(hostname) && !hostname.includes("xn--") ? hostname : ops.urlDomainToAscii(hostname);
}

function parseHost(this: Url): void {
  let host = this.host ?? "";
  const port = PORT.exec(host)?.[0];
  if (port !== undefined) {
    if (port !== ":") this.port = port.slice(1);
    host = host.slice(0, host.length - port.length);
  }
  if (host) this.hostname = host;
}

function parseTail(self: Url, rest: string, parseQueryString: unknown): void {
  const hash = rest.indexOf("#");
  if (hash >= 0) self.hash = rest.slice(hash);
  const before = hash < 0 ? rest : rest.slice(0, hash);
  const question = before.indexOf("?");
  if (question >= 0) {
    self.search = before.slice(question);
    self.query = queryOf(before.slice(question + 1), parseQueryString);
  } else if (parseQueryString) {
    self.search = null;
    self.query = Object.create(null) as Record<string, unknown>;
  }
  const pathname = question < 0 ? before : before.slice(0, question);
  if (pathname.length > 0) self.pathname = pathname;
}

// ---- Writing ---------------------------------------------------------------------------------

function format(this: Partial<UrlObject>): string {
  const auth = this.auth ? `${encodeURIComponent(this.auth).replaceAll("%3A", ":")}@` : "";
  let protocol = this.protocol || "";
  let pathname = this.pathname || "";
  let hash = this.hash || "";
  let host = "";
  if (this.host) {
    host = auth + this.host;
  } else if (this.hostname) {
    const isBare = this.hostname.includes(":") && !(this.hostname.startsWith("[") && this.hostname.endsWith("]"));
    host = auth + (isBare ? `[${this.hostname}]` : this.hostname);
    if (this.port) host += `:${this.port}`;
  }
  const query = this.query !== null && typeof this.query === "object" ? querystring.stringify(this.query) : "";
  let search = this.search || (query && `?${query}`) || "";
  if (protocol && !protocol.endsWith(":")) protocol += ":";
  pathname = pathname.replace(/[#?]/g, (sign) => (sign === "#" ? "%23" : "%3F"));
  if (this.slashes || SLASHED.has(protocol)) {
    if (this.slashes || host) {
      if (pathname && !pathname.startsWith("/")) pathname = `/${pathname}`;
      host = `//${host}`;
    } else if (protocol.startsWith("file")) {
      host = "//";
    }
  }
  search = search.replaceAll("#", "%23");
  if (hash && !hash.startsWith("#")) hash = `#${hash}`;
  if (search && !search.startsWith("?")) search = `?${search}`;
  return `${protocol}${host}${pathname}${search}${hash}`;
}

// ---- Resolving -------------------------------------------------------------------------------

function finish(url: Url): Url {
  url.href = url.format();
  return url;
}

function setPath(url: Url): void {
  if (url.pathname !== null || url.search !== null) url.path = `${url.pathname || ""}${url.search || ""}`;
}

function copyParts(from: UrlObject, into: Url, but?: keyof UrlObject): void {
  for (const part of PARTS) if (part !== but) (into as unknown as Record<string, unknown>)[part] = from[part];
}

/** Of a protocol without slashes the host may hold the user's name. */
function splitAuth(url: Url): void {
  const at = url.host?.indexOf("@") ?? -1;
  if (at <= 0) return;
  const [auth, host] = (url.host as string).split("@") as [string, string];
  url.auth = auth;
  url.host = url.hostname = host;
}

function resolveObject(this: Url, given: unknown): Url {
  const relative: UrlObject = typeof given === "string" ? new Url().parse(given, false, true) : (given as UrlObject);
  const result = new Url();
  copyParts(this, result);
  // A fragment never comes from the base.
  result.hash = relative.hash;
  if (relative.href === "") return finish(result);
  if (relative.slashes && !relative.protocol) {
    copyParts(relative, result, "protocol");
    if (result.protocol && SLASHED.has(result.protocol) && result.hostname && !result.pathname) result.path = result.pathname = "/";
    return finish(result);
  }
  if (relative.protocol && relative.protocol !== result.protocol) return resolveOther(result, relative);
  return resolveWithin(result, relative);
}

/** Another protocol: the base gives next to nothing. */
function resolveOther(result: Url, relative: UrlObject): Url {
  const protocol = relative.protocol as string;
  if (!SLASHED.has(protocol)) {
    copyParts(relative, result);
    return finish(result);
  }
  result.protocol = protocol;
  if (!relative.host && !/^file:?$/.test(protocol) && !HOSTLESS.has(protocol)) {
    const names = (relative.pathname || "").split("/");
    while (names.length > 0 && !(relative.host = names.shift() as string));
    relative.host ||= "";
    relative.hostname ||= "";
    if (names[0] !== "") names.unshift("");
    if (names.length < 2) names.unshift("");
    result.pathname = names.join("/");
  } else {
    result.pathname = relative.pathname;
  }
  result.search = relative.search;
  result.query = relative.query;
  result.host = relative.host || "";
  result.auth = relative.auth;
  result.hostname = relative.hostname || relative.host;
  result.port = relative.port;
  if (result.pathname || result.search) result.path = `${result.pathname || ""}${result.search || ""}`;
  result.slashes = result.slashes || relative.slashes;
  return finish(result);
}

function resolveWithin(result: Url, relative: UrlObject): Url {
  const isBaseAbsolute = result.pathname?.startsWith("/") ?? false;
  const isAbsolute = Boolean(relative.host || relative.pathname?.startsWith("/"));
  let mustBeAbsolute = isAbsolute || isBaseAbsolute || Boolean(result.host && relative.pathname);
  const removesAllDots = mustBeAbsolute;
  let names = result.pathname ? result.pathname.split("/") : [];
  const added = relative.pathname ? relative.pathname.split("/") : [];
  const isSlashless = Boolean(result.protocol && !SLASHED.has(result.protocol));
  if (isSlashless) {
    // The host is the first name of the path here.
    const hold = (list: string[], host: string | null): void => {
      if (!host) return;
      if (list[0] === "") list[0] = host;
      else list.unshift(host);
    };
    result.hostname = "";
    result.port = null;
    hold(names, result.host);
    result.host = "";
    if (relative.protocol) {
      relative.hostname = null;
      relative.port = null;
      result.auth = null;
      hold(added, relative.host);
      relative.host = null;
    }
    mustBeAbsolute = mustBeAbsolute && (added[0] === "" || names[0] === "");
  }
  if (isAbsolute) {
    if (relative.host || relative.host === "") {
      if (result.host !== relative.host) result.auth = null;
      result.host = relative.host;
      result.port = relative.port;
    }
    if (relative.hostname || relative.hostname === "") {
      if (result.hostname !== relative.hostname) result.auth = null;
      result.hostname = relative.hostname;
    }
    result.search = relative.search;
    result.query = relative.query;
    names = added;
  } else if (added.length > 0) {
    names.pop();
    names = names.concat(added);
    result.search = relative.search;
    result.query = relative.query;
  } else if (relative.search !== null && relative.search !== undefined) {
    if (isSlashless) {
      result.hostname = result.host = names.shift() ?? null;
      splitAuth(result);
    }
    result.search = relative.search;
    result.query = relative.query;
    setPath(result);
    return finish(result);
  }
  if (names.length === 0) {
    result.pathname = null;
    result.path = result.search ? `/${result.search}` : null;
    return finish(result);
  }
  names = withoutDots(names, Boolean(result.host || relative.host), mustBeAbsolute, removesAllDots);
  const first = names[0];
  const isNowAbsolute = first === "" || Boolean(first?.startsWith("/"));
  if (isSlashless) {
    result.hostname = result.host = isNowAbsolute ? "" : (names.shift() ?? "");
    splitAuth(result);
  }
  mustBeAbsolute = mustBeAbsolute || Boolean(result.host && names.length > 0);
  if (mustBeAbsolute && !isNowAbsolute) names.unshift("");
  if (names.length === 0) {
    result.pathname = null;
    result.path = null;
  } else {
    result.pathname = names.join("/");
  }
  setPath(result);
  result.auth = relative.auth || result.auth;
  result.slashes = result.slashes || relative.slashes;
  return finish(result);
}

function withoutDots(given: string[], hasHost: boolean, mustBeAbsolute: boolean, removesAllDots: boolean): string[] {
  const names = [...given];
  const last = names.at(-1);
  const endsInSlash = ((hasHost || names.length > 1) && (last === "." || last === "..")) || last === "";
  let up = 0;
  for (let at = names.length - 1; at >= 0; at--) {
    const name = names[at];
    if (name === ".") {
      names.splice(at, 1);
    } else if (name === "..") {
      names.splice(at, 1);
      up++;
    } else if (up > 0) {
      names.splice(at, 1);
      up--;
    }
  }
  if (!mustBeAbsolute && !removesAllDots) while (up-- > 0) names.unshift("..");
  if (mustBeAbsolute && names[0] !== "" && !names[0]?.startsWith("/")) names.unshift("");
  if (endsInSlash && !names.join("/").endsWith("/")) names.push("");
  return names;
}

for (const [name, value] of Object.entries({
  parse,
  format,
  resolve(this: Url, relative: unknown): string {
    return this.resolveObject(new Url().parse(relative, false, true)).format();
  },
  resolveObject,
  parseHost,
})) {
  Object.defineProperty(Url.prototype, name, { value, writable: true, enumerable: true, configurable: true });
}

// ---- Functions -------------------------------------------------------------------------------

export function urlParse(url: unknown, parseQueryString?: unknown, slashesDenoteHost?: unknown): Url {
  if (url instanceof Url) return url;
  return new Url().parse(url, parseQueryString, slashesDenoteHost);
}

export function urlResolve(source: unknown, relative: unknown): string {
  return urlParse(source, false, true).resolve(relative);
}

export function urlResolveObject(source: unknown, relative: unknown): unknown {
  return source ? urlParse(source, false, true).resolveObject(relative) : relative;
}

export function formatLegacy(url: unknown): string {
  if (typeof url === "string") return urlParse(url).format();
  if (typeof url !== "object" || url === null) throw invalidArgType("urlObject", ["Object", "string"], url);
  return format.call(url as UrlObject);
}
