// URLPattern (WHATWG URL Pattern).
//
// A pattern is eight components, each compiled to a regular expression of the engine's own. The pattern
// language is in `urlpattern-parse.ts`, constructor strings in `urlpattern-string.ts`; here are the
// class, the canonical form of each component, and base URLs.
//
// Invariant: what a component is matched against and the fixed text in it went through the same URL
// parser.

import { ops } from "../ops.ts";
import { URL } from "./url.ts";
import {
  type Canonicalize,
  type Component,
  type PatternOptions,
  compileComponent,
  escapePattern,
} from "./urlpattern-parse.ts";
import { type PatternInit, parseConstructorString } from "./urlpattern-string.ts";
import { USVString, boolean, defineInterface, dictionary, isObject, optional, withDefault } from "./webidl.ts";

const COMPONENTS = ["protocol", "username", "password", "hostname", "port", "pathname", "search", "hash"] as const;
type ComponentName = (typeof COMPONENTS)[number];

const SPECIAL_SCHEMES: Readonly<Record<string, string>> = {
  http: "80",
  https: "443",
  ws: "80",
  wss: "443",
  ftp: "21",
  file: "",
};
const isSpecial = (scheme: string): boolean => Object.hasOwn(SPECIAL_SCHEMES, scheme);

const DEFAULT_OPTIONS: PatternOptions = { delimiter: "", prefix: "", ignoreCase: false };
const HOSTNAME_OPTIONS: PatternOptions = { delimiter: ".", prefix: "", ignoreCase: false };
const PATHNAME_OPTIONS: PatternOptions = { delimiter: "/", prefix: "/", ignoreCase: false };

export interface URLPatternComponentResult {
  input: string;
  groups: Record<string, string | undefined>;
}

export type URLPatternResult = { inputs: unknown[] } & Record<ComponentName, URLPatternComponentResult>;

const patternInit = dictionary("URLPatternInit", {
  protocol: optional(USVString),
  username: optional(USVString),
  password: optional(USVString),
  hostname: optional(USVString),
  port: optional(USVString),
  pathname: optional(USVString),
  search: optional(USVString),
  hash: optional(USVString),
  baseURL: optional(USVString),
});

const patternOptions = dictionary("URLPatternOptions", { ignoreCase: withDefault(boolean, () => false) });

/** `URLPatternInput`: a string, or a dictionary without the members that are absent. */
function inputOf(input: unknown, context: string): string | PatternInit {
  if (input !== undefined && input !== null && !isObject(input)) {
    return USVString(input, context);
  }
  if (input instanceof URL) {
    return input.href;
  }
  const given: Record<string, string | undefined> = patternInit(input, context);
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as PatternInit;
}

export class URLPattern {
  #components: Record<ComponentName, Component>;

  constructor(input: unknown = {}, second: unknown = undefined, third: unknown = undefined) {
    // Two overloads: the second argument is a base URL unless it is an object or nothing.
    const hasBase = arguments.length >= 3 || (second !== undefined && second !== null && !isObject(second));
    const base = hasBase ? USVString(second, "URLPattern constructor: baseURL") : undefined;
    const given = inputOf(input, "URLPattern constructor: input");
    const { ignoreCase } = patternOptions(hasBase ? third : second, "URLPattern constructor: options");
    this.#components = compileAll(patternsOf(given, base), ignoreCase);
  }

  get protocol(): string {
    return this.#components.protocol.pattern;
  }

  get username(): string {
    return this.#components.username.pattern;
  }

  get password(): string {
    return this.#components.password.pattern;
  }

  get hostname(): string {
    return this.#components.hostname.pattern;
  }

  get port(): string {
    return this.#components.port.pattern;
  }

  get pathname(): string {
    return this.#components.pathname.pattern;
  }

  get search(): string {
    return this.#components.search.pattern;
  }

  get hash(): string {
    return this.#components.hash.pattern;
  }

  get hasRegExpGroups(): boolean {
    return COMPONENTS.some((name) => this.#components[name].hasRegExpGroups);
  }

  test(input: unknown = {}, baseURL: unknown = undefined): boolean {
    const found = this.#parts(input, baseURL, "URLPattern.test");
    return found !== undefined && COMPONENTS.every((name) => this.#components[name].regexp.test(found.parts[name]));
  }

  exec(input: unknown = {}, baseURL: unknown = undefined): URLPatternResult | null {
    const found = this.#parts(input, baseURL, "URLPattern.exec");
    if (found === undefined) {
      return null;
    }
    const result: Partial<URLPatternResult> = { inputs: found.inputs };
    for (const name of COMPONENTS) {
      const component = this.#components[name];
      const text = found.parts[name];
      const match = component.regexp.exec(text);
      if (match === null) {
        return null;
      }
      const groups: Record<string, string | undefined> = {};
      component.names.forEach((group, i) => {
        groups[group] = match[i + 1];
      });
      result[name] = { input: text, groups };
    }
    return result as URLPatternResult;
  }

  #parts(input: unknown, baseURL: unknown, context: string): { parts: UrlParts; inputs: unknown[] } | undefined {
    this.#components;
    const given = inputOf(input, `${context}: input`);
    const base = baseURL === undefined ? undefined : USVString(baseURL, `${context}: baseURL`);
    if (typeof given !== "string") {
      if (base !== undefined) {
        throw new TypeError(`${context}: a base URL goes inside the input when that is an object`);
      }
      try {
        return { parts: { ...NO_PARTS, ...processInit(given, "url") }, inputs: [given] };
      } catch {
        return undefined;
      }
    }
    const url = URL.parse(given, base);
    return url === null ? undefined : { parts: partsOf(url), inputs: base === undefined ? [given] : [given, base] };
  }
}

defineInterface(URLPattern);

// ---- Making the components ---------------------------------------------------------------------

type UrlParts = Record<ComponentName, string>;

const NO_PARTS: UrlParts = {
  protocol: "",
  username: "",
  password: "",
  hostname: "",
  port: "",
  pathname: "",
  search: "",
  hash: "",
};

function partsOf(url: URL): UrlParts {
  return {
    protocol: url.protocol.slice(0, -1),
    username: url.username,
    password: url.password,
    hostname: url.hostname,
    port: url.port,
    pathname: url.pathname,
    search: url.search.slice(1),
    hash: url.hash.slice(1),
  };
}

function patternsOf(input: string | PatternInit, base: string | undefined): UrlParts {
  let init: PatternInit;
  if (typeof input === "string") {
    init = parseConstructorString(input, matchesSpecialScheme);
    if (base === undefined && init.protocol === undefined) {
      throw new TypeError(`URLPattern constructor: ${JSON.stringify(input)} is relative, and no base URL was given`);
    }
    if (base !== undefined) {
      init.baseURL = base;
    }
  } else {
    if (base !== undefined) {
      throw new TypeError("URLPattern constructor: a base URL goes inside the input when that is an object");
    }
    init = input;
  }
  const processed = processInit(init, "pattern");
  const patterns = Object.fromEntries(COMPONENTS.map((name) => [name, processed[name] ?? "*"])) as UrlParts;
  if (isSpecial(patterns.protocol) && patterns.port === SPECIAL_SCHEMES[patterns.protocol]) {
    patterns.port = "";
  }
  return patterns;
}

function matchesSpecialScheme(protocol: string): boolean {
  const { regexp } = compileComponent(protocol, canonicalProtocol, DEFAULT_OPTIONS);
  return Object.keys(SPECIAL_SCHEMES).some((scheme) => regexp.test(scheme));
}

function compileAll(patterns: UrlParts, ignoreCase: boolean): Record<ComponentName, Component> {
  const protocol = compileComponent(patterns.protocol, canonicalProtocol, DEFAULT_OPTIONS);
  const hierarchical = Object.keys(SPECIAL_SCHEMES).some((scheme) => protocol.regexp.test(scheme));
  const cased = (options: PatternOptions): PatternOptions => ({ ...options, ignoreCase });
  const isIpv6 = /^(?:\[|\{\[|\\\[)/.test(patterns.hostname);
  return {
    protocol,
    username: compileComponent(patterns.username, canonicalUsername, DEFAULT_OPTIONS),
    password: compileComponent(patterns.password, canonicalPassword, DEFAULT_OPTIONS),
    hostname: compileComponent(patterns.hostname, isIpv6 ? canonicalIpv6 : canonicalHostname, HOSTNAME_OPTIONS),
    port: compileComponent(patterns.port, canonicalPort, DEFAULT_OPTIONS),
    pathname: hierarchical
      ? compileComponent(patterns.pathname, canonicalPathname, cased(PATHNAME_OPTIONS))
      : compileComponent(patterns.pathname, canonicalOpaquePathname, cased(DEFAULT_OPTIONS)),
    search: compileComponent(patterns.search, canonicalSearch, cased(DEFAULT_OPTIONS)),
    hash: compileComponent(patterns.hash, canonicalHash, cased(DEFAULT_OPTIONS)),
  };
}

// ---- "Process a URLPatternInit" ----------------------------------------------------------------

type InitKind = "pattern" | "url";

function processInit(init: PatternInit, kind: InitKind): Partial<UrlParts> {
  const result: Partial<UrlParts> = {};
  const base = init.baseURL === undefined ? null : URL.parse(init.baseURL);
  if (init.baseURL !== undefined && base === null) {
    throw new TypeError(`URLPattern: the base URL ${JSON.stringify(init.baseURL)} is invalid`);
  }
  if (base !== null) {
    inherit(result, init, base, kind);
  }
  const canonical = (value: string, canonicalize: Canonicalize): string =>
    kind === "pattern" ? value : canonicalize(value);
  if (init.protocol !== undefined) {
    result.protocol = canonical(init.protocol.replace(/:$/, ""), canonicalProtocol);
  }
  if (init.username !== undefined) {
    result.username = canonical(init.username, canonicalUsername);
  }
  if (init.password !== undefined) {
    result.password = canonical(init.password, canonicalPassword);
  }
  if (init.hostname !== undefined) {
    result.hostname = canonical(init.hostname, canonicalHostname);
  }
  const protocol = result.protocol ?? "";
  if (init.port !== undefined) {
    result.port = canonical(init.port, (port) => canonicalPort(port, protocol));
  }
  if (init.pathname !== undefined) {
    const pathname = absolutePathname(init.pathname, base, kind);
    const hierarchical = protocol === "" || isSpecial(protocol);
    result.pathname = canonical(pathname, hierarchical ? canonicalPathname : canonicalOpaquePathname);
  }
  if (init.search !== undefined) {
    result.search = canonical(init.search.replace(/^\?/, ""), canonicalSearch);
  }
  if (init.hash !== undefined) {
    result.hash = canonical(init.hash.replace(/^#/, ""), canonicalHash);
  }
  return result;
}

/** Takes from the base URL what stands before the first component that `init` gives. */
function inherit(result: Partial<UrlParts>, init: PatternInit, base: URL, kind: InitKind): void {
  const from = partsOf(base);
  const none = (...names: ComponentName[]): boolean => names.every((name) => init[name] === undefined);
  const take = (name: ComponentName): void => {
    result[name] = kind === "pattern" ? escapePattern(from[name]) : from[name];
  };
  if (none("protocol")) {
    take("protocol");
  }
  // A pattern never takes credentials over: they would silently narrow it.
  if (kind === "url" && none("protocol", "hostname", "port", "username")) {
    take("username");
  }
  if (kind === "url" && none("protocol", "hostname", "port", "username", "password")) {
    take("password");
  }
  if (none("protocol", "hostname")) {
    take("hostname");
  }
  if (none("protocol", "hostname", "port")) {
    take("port");
  }
  if (none("protocol", "hostname", "port", "pathname")) {
    take("pathname");
  }
  if (none("protocol", "hostname", "port", "pathname", "search")) {
    take("search");
  }
  if (none("protocol", "hostname", "port", "pathname", "search", "hash")) {
    take("hash");
  }
}

function absolutePathname(pathname: string, base: URL | null, kind: InitKind): string {
  const isAbsolute = pathname.startsWith("/") || (kind === "pattern" && /^(?:\\\/|\{\/)/.test(pathname));
  // A base URL with an opaque path has nothing to be relative to.
  if (base === null || isAbsolute || !base.pathname.startsWith("/")) {
    return pathname;
  }
  const from = kind === "pattern" ? escapePattern(base.pathname) : base.pathname;
  return from.slice(0, from.lastIndexOf("/") + 1) + pathname;
}

// ---- Canonical forms ---------------------------------------------------------------------------

const DUMMY = "https://dummy.invalid/";

function refused(what: string, value: string): TypeError {
  return new TypeError(`URLPattern: ${JSON.stringify(value)} is not a valid ${what}`);
}

function canonicalProtocol(value: string): string {
  if (value === "") {
    return "";
  }
  const url = URL.parse(`${value}://dummy.invalid/`);
  if (url === null) {
    throw refused("protocol", value);
  }
  return url.protocol.slice(0, -1);
}

function canonicalUsername(value: string): string {
  const url = new URL(DUMMY);
  url.username = value;
  return url.username;
}

function canonicalPassword(value: string): string {
  const url = new URL(DUMMY);
  url.password = value;
  return url.password;
}

function canonicalHostname(value: string): string {
  if (value === "") {
    return "";
  }
  const url = new URL(DUMMY);
  if (/[:\]|^%]/.test(value) && !value.startsWith("[")) {
    throw refused("hostname", value);
  }
  if (ops.urlSet(DUMMY, "hostname", value) === undefined) {
    throw refused("hostname", value);
  }
  url.hostname = value;
  return url.hostname;
}

function canonicalIpv6(value: string): string {
  if (!/^[0-9a-fA-F[\]:]*$/.test(value)) {
    throw refused("IPv6 address", value);
  }
  return value.toLowerCase();
}

function canonicalPort(value: string, protocol: string = ""): string {
  if (value === "") {
    return "";
  }
  // The URL parser reads as far as there are digits; tabs and newlines are no characters to it.
  const digits = /^[\t\n\r]*[0-9][0-9\t\n\r]*/.exec(value)?.[0].replace(/[\t\n\r]/g, "");
  if (digits === undefined || Number(digits) > 0xffff) {
    throw refused("port", value);
  }
  const port = `${Number(digits)}`;
  return SPECIAL_SCHEMES[protocol] === port ? "" : port;
}

function canonicalPathname(value: string): string {
  if (value === "") {
    return "";
  }
  // Text in the middle of a path must not look like its beginning.
  const leads = value.startsWith("/");
  const url = new URL(DUMMY);
  url.pathname = leads ? value : `/-${value}`;
  return leads ? url.pathname : url.pathname.slice(2);
}

function canonicalOpaquePathname(value: string): string {
  if (value === "") {
    return "";
  }
  const url = URL.parse(`data:${value}`);
  if (url === null) {
    throw refused("pathname", value);
  }
  return url.pathname;
}

function canonicalSearch(value: string): string {
  const url = new URL(DUMMY);
  url.search = `?${value}`;
  return url.search.slice(1);
}

function canonicalHash(value: string): string {
  const url = new URL(DUMMY);
  url.hash = `#${value}`;
  return url.hash.slice(1);
}
