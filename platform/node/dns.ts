// node:dns and node:dns/promises: names are asked of a public resolver over HTTPS, as in Workers,
// through the Worker's own outbound.
//
// Deliberately absent: other servers, the system's own resolver, ports of services.
//
// Invariant: an answer is data of a stranger: what does not have its form is a failure, never a crash.

import { fetch } from "../web/fetch.ts";
import { URL } from "../web/url.ts";
import { checkBoolean, checkCallable, checkOneOf, checkText, failure, invalidValue } from "./checks.ts";
import { addressBytes } from "./crypto/x509.ts";
import { invalidArgType, requireNumber } from "./errors.ts";
import { optionNotImplemented } from "./http/headers.ts";
import { isIP } from "./net.ts";
import { nextTick } from "./ticks.ts";

const RESOLVER = "https://cloudflare-dns.com/dns-query";
/** Bytes of an answer that are read as text. */
const ANSWER_CHARS_MAX = 1024 * 1024;

type Order = "verbatim" | "ipv4first" | "ipv6first";
const ORDERS: readonly Order[] = ["verbatim", "ipv4first", "ipv6first"];
let defaultOrder: Order = "verbatim";

const CODES = Object.fromEntries(
  ("NODATA FORMERR SERVFAIL NOTFOUND NOTIMP REFUSED BADQUERY BADNAME BADFAMILY BADRESP CONNREFUSED TIMEOUT EOF FILE NOMEM DESTRUCTION " +
    "BADSTR BADFLAGS NONAME BADHINTS NOTINITIALIZED LOADIPHLPAPI ADDRGETNETWORKPARAMS CANCELLED").split(" ").map((name) => [name, `E${name}`]),
) as Record<string, string>;
const HINTS = { ADDRCONFIG: 1024, ALL: 256, V4MAPPED: 2048 };

interface Answer {
  readonly data: string;
  readonly ttl: number;
}

function dnsError(hostname: string, code: string, syscall: string): Error {
  const error = failure(Error, code, `${syscall} ${code} ${hostname}`);
  return Object.assign(error, { errno: undefined, syscall, hostname });
}

/** Numbers of record types, to leave out the aliases on the way to an answer. */
const TYPES: Readonly<Record<string, number>> = {
  A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, MX: 15, TXT: 16, AAAA: 28, SRV: 33, NAPTR: 35, CAA: 257,
};

async function ask(name: string, type: string): Promise<Answer[]> {
  const syscall = `query${type[0]}${type.slice(1).toLowerCase()}`;
  const url = new URL(RESOLVER);
  url.searchParams.set("name", name);
  url.searchParams.set("type", type);
  let text: string;
  try {
    const response = await fetch(url, { headers: { accept: "application/dns-json" } } as never);
    if (!response.ok) throw new Error(`status ${response.status}`);
    text = await response.text();
  } catch {
    throw dnsError(name, CODES["BADQUERY"] as string, syscall);
  }
  const answers = readAnswers(text, TYPES[type] ?? 0);
  if (answers === undefined) throw dnsError(name, CODES["BADRESP"] as string, syscall);
  if (answers.length === 0) throw dnsError(name, CODES["NOTFOUND"] as string, syscall);
  return answers;
}

function readAnswers(text: string, type: number): Answer[] | undefined {
  if (text.length > ANSWER_CHARS_MAX) return undefined;
  try {
    const { Question, Answer: given = [] } = JSON.parse(text) as { Question?: unknown; Answer?: unknown };
    if (!Array.isArray(Question) || Question.length === 0 || !Array.isArray(given)) return undefined;
    const own = (given as { name?: unknown; type?: unknown; data?: unknown; TTL?: unknown }[]).filter((each) => each.type === type && each.name !== "");
    return own.map(({ data, TTL }) => ({ data: String(data), ttl: Number(TTL) }));
  } catch {
    return undefined;
  }
}

const withoutDot = (name: string): string => name.replace(/\.$/, "");

// ---- Records ---------------------------------------------------------------------------------

type Parse = (data: string) => unknown;

function words(data: string, count: number): string[] {
  const found = data.split(/\s+/);
  if (found.length < count) throw new Error("too short");
  return found;
}

/** Text in quotes, pieces of a long one side by side. */
function texts(data: string): string[] {
  const pieces = data.match(/"(?:[^"\\]|\\.)*"/g);
  return pieces === null ? [data] : pieces.map((piece) => piece.slice(1, -1).replace(/\\(.)/g, "$1"));
}

/** What the resolver does not know how to print: `\# length bytes`. */
function generic(data: string): Uint8Array | undefined {
  const found = /^\\#\s+\d+\s+([0-9a-fA-F\s]+)$/.exec(data);
  return found === null ? undefined : Uint8Array.fromHex((found[1] as string).replace(/\s+/g, ""));
}

const ascii = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

function caa(data: string): object {
  const bytes = generic(data);
  if (bytes !== undefined) {
    const length = bytes[1] as number;
    return { critical: bytes[0], [ascii(bytes.subarray(2, 2 + length))]: ascii(bytes.subarray(2 + length)) };
  }
  const [critical, field, ...rest] = words(data, 3);
  return { critical: Number(critical), [field as string]: texts(rest.join(" "))[0] };
}

function naptr(data: string): object {
  const bytes = generic(data);
  if (bytes === undefined) {
    const found = /^(\d+)\s+(\d+)\s+"(.*?)"\s+"(.*?)"\s+"(.*?)"\s+(\S+)$/.exec(data);
    if (found === null) throw new Error("malformed");
    const [, order, preference, flags, service, regexp, replacement] = found;
    return { flags, service, regexp, replacement: withoutDot(replacement as string), order: Number(order), preference: Number(preference) };
  }
  let at = 4;
  const next = (): string => {
    const length = bytes[at] as number;
    const text = ascii(bytes.subarray(at + 1, at + 1 + length));
    at += 1 + length;
    return text;
  };
  const number = (from: number): number => ((bytes[from] as number) << 8) | (bytes[from + 1] as number);
  const [flags, service, regexp] = [next(), next(), next()];
  const labels: string[] = [];
  while (at < bytes.length && bytes[at] !== 0) labels.push(next());
  return { flags, service, regexp, replacement: labels.join("."), order: number(0), preference: number(2) };
}

const PARSERS: Readonly<Record<string, Parse>> = {
  CAA: caa,
  CNAME: withoutDot,
  MX(data) {
    const [priority, exchange] = words(data, 2);
    return { exchange: withoutDot(exchange as string), priority: Number(priority) };
  },
  NAPTR: naptr,
  NS: withoutDot,
  PTR: withoutDot,
  SRV(data) {
    const [priority, weight, port, name] = words(data, 4);
    return { priority: Number(priority), weight: Number(weight), port: Number(port), name };
  },
  SOA(data) {
    const [nsname, hostmaster, ...numbers] = words(data, 7);
    const [serial, refresh, retry, expire, minttl] = numbers.map(Number);
    return { nsname: withoutDot(nsname as string), hostmaster: withoutDot(hostmaster as string), serial, refresh, retry, expire, minttl };
  },
  TXT: texts,
};

async function records(name: unknown, type: string): Promise<unknown[]> {
  const host = checkText(name, "name");
  const answers = await ask(host, type);
  try {
    return answers.map(({ data }) => (PARSERS[type] as Parse)(data));
  } catch {
    throw dnsError(host, CODES["BADRESP"] as string, `query${type[0]}${type.slice(1).toLowerCase()}`);
  }
}

async function addresses(name: unknown, type: "A" | "AAAA", options: unknown): Promise<unknown[]> {
  const wantsTtl = Boolean((options as { ttl?: unknown } | undefined)?.ttl);
  const answers = await ask(checkText(name, "name"), type);
  return answers.map(({ data, ttl }) => (wantsTtl ? { ttl, address: data } : data));
}

/** The name under which an address stands in the reverse tree. */
function reverseName(address: string): string {
  const bytes = isIP(address) === 0 ? undefined : addressBytes(address);
  if (bytes === undefined) throw Object.assign(failure(Error, "EINVAL", `getHostByAddr EINVAL ${address}`), { syscall: "getHostByAddr", hostname: address });
  if (bytes.length === 4) return `${[...bytes].reverse().join(".")}.in-addr.arpa`;
  return `${[...bytes.toHex()].reverse().join(".")}.ip6.arpa`;
}

async function notImplemented(): Promise<never> {
  throw new Error("Not implemented");
}

// ---- lookup ----------------------------------------------------------------------------------

interface Lookup {
  family: 0 | 4 | 6;
  all: boolean;
  order: Order;
}

const FAMILIES = [0, 4, 6] as const;

function lookupOptions(options: unknown): Lookup {
  const asked: Lookup = { family: 0, all: false, order: defaultOrder };
  if (options === undefined || options === null) return asked;
  if (typeof options === "number") return { ...asked, family: checkOneOf(options as 4, "family", FAMILIES) };
  if (typeof options !== "object") throw invalidArgType("options", ["integer", "Object"], options);
  const { hints, family, all, verbatim, order } = options as Record<string, unknown>;
  if (hints !== undefined && hints !== null) {
    requireNumber(hints, "options.hints");
    throw optionNotImplemented("options.hints");
  }
  if (family !== undefined && family !== null) {
    asked.family = family === "IPv4" ? 4 : family === "IPv6" ? 6 : checkOneOf(family as 4, "options.family", FAMILIES);
  }
  if (all !== undefined && all !== null) asked.all = checkBoolean(all, "options.all");
  if (verbatim !== undefined && verbatim !== null) asked.order = checkBoolean(verbatim, "options.verbatim") ? "verbatim" : "ipv4first";
  if (order !== undefined && order !== null) asked.order = checkOneOf(order as Order, "options.order", ORDERS);
  return asked;
}

interface Found {
  address: string;
  family: number;
}

async function find(hostname: string, { family, order }: Lookup): Promise<Found[]> {
  const of = async (type: "A" | "AAAA", number: 4 | 6): Promise<Found[]> =>
    (await ask(hostname, type)).map(({ data }) => ({ address: data, family: number }));
  if (family === 4) return of("A", 4);
  if (family === 6) return of("AAAA", 6);
  const none = (): Found[] => [];
  const [four, six] = await Promise.all([of("A", 4).catch(none), of("AAAA", 6).catch(none)]);
  const all = order === "ipv6first" ? [...six, ...four] : [...four, ...six];
  if (all.length === 0) throw dnsError(hostname, CODES["NOTFOUND"] as string, "queryA");
  return all;
}

/** Names that need no question: none at all, and addresses. */
function known(hostname: string): Found[] | undefined {
  if (hostname === "") return [];
  const family = isIP(hostname);
  return family === 0 ? undefined : [{ address: hostname, family }];
}

function lookup(hostname: unknown, options: unknown, callback?: unknown): void {
  const host = hostname ? checkText(hostname, "hostname") : "";
  if (typeof options === "function") [options, callback] = [undefined, options];
  const done = checkCallable(callback, "callback");
  const asked = lookupOptions(options);
  const tell = (found: readonly Found[]): void => {
    if (asked.all) done(null, found);
    else if (found[0] === undefined) done(null, null, asked.family === 6 ? 6 : 4);
    else done(null, found[0].address, found[0].family);
  };
  const at = known(host);
  if (at !== undefined) nextTick(() => tell(at));
  else find(host, asked).then(tell, (error: unknown) => done(error));
}

/** As in Workers, what is wrong with the arguments is thrown, and does not reject the promise. */
function lookupPromise(hostname: unknown, options?: unknown): Promise<unknown> {
  const host = hostname ? checkText(hostname, "hostname") : "";
  return answerTo(host, lookupOptions(options));
}

async function answerTo(host: string, asked: Lookup): Promise<unknown> {
  const found = known(host) ?? (await find(host, asked));
  if (asked.all) return found;
  return found[0] ?? { address: null, family: asked.family === 6 ? 6 : 4 };
}

// ---- The modules -----------------------------------------------------------------------------

const promises: Record<string, (...args: never[]) => Promise<unknown>> = {
  resolve4: (name: unknown, options?: unknown) => addresses(name, "A", options),
  resolve6: (name: unknown, options?: unknown) => addresses(name, "AAAA", options),
  resolveAny: notImplemented,
  resolveCaa: (name: unknown) => records(name, "CAA"),
  resolveCname: (name: unknown) => records(name, "CNAME"),
  resolveMx: (name: unknown) => records(name, "MX"),
  resolveNaptr: (name: unknown) => records(name, "NAPTR"),
  resolveNs: (name: unknown) => records(name, "NS"),
  resolvePtr: (name: unknown) => records(name, "PTR"),
  resolveSoa: async (name: unknown) => (await records(name, "SOA"))[0],
  resolveSrv: (name: unknown) => records(name, "SRV"),
  resolveTxt: (name: unknown) => records(name, "TXT"),
  reverse: async (address: unknown) => records(reverseName(checkText(address, "ip")), "PTR"),
};

const BY_TYPE: Readonly<Record<string, string>> = {
  A: "resolve4", AAAA: "resolve6", ANY: "resolveAny", CAA: "resolveCaa", CNAME: "resolveCname", MX: "resolveMx", NAPTR: "resolveNaptr",
  NS: "resolveNs", PTR: "resolvePtr", SOA: "resolveSoa", SRV: "resolveSrv", TXT: "resolveTxt",
};

promises["resolve"] = (name: unknown, type: unknown = "A") => {
  checkText(name, "name");
  const method = typeof type === "string" ? BY_TYPE[type] : undefined;
  if (method === undefined) throw invalidValue("rrtype", type);
  return (promises[method] as (name: unknown) => Promise<unknown>)(name);
};
for (const [name, method] of Object.entries(promises)) {
  if (name === "resolveAny") continue;
  promises[name] = (...args: unknown[]): Promise<unknown> => {
    checkText(args[0], name === "reverse" ? "ip" : "name");
    return (method as (...args: unknown[]) => Promise<unknown>)(...args);
  };
}
promises["lookupService"] = notImplemented;

/** The form with a callback. */
function called(name: string): (...args: unknown[]) => void {
  const method = promises[name] as (...args: unknown[]) => Promise<unknown>;
  const holder = {
    [name](...args: unknown[]): void {
      const done = checkCallable(args.pop(), "callback");
      // What is wrong with the arguments is thrown at the caller, not told to the callback.
      checkText(args[0], name === "reverse" ? "ip" : "name");
      method(...args).then((value) => nextTick(() => void done(null, value)), (error: unknown) => nextTick(() => void done(error)));
    },
  };
  return holder[name] as (...args: unknown[]) => void;
}

const shared = {
  ...CODES,
  getDefaultResultOrder: (): Order => defaultOrder,
  getServers: (): string[] => ["1.1.1.1", "2606:4700:4700::1111", "1.0.0.1", "2606:4700:4700::1001"],
  setDefaultResultOrder: (order: unknown): void => void (defaultOrder = checkOneOf(order as Order, "dnsOrder", ORDERS)),
  setServers(): never {
    throw new Error("Not implemented");
  },
};

const callbacks = Object.fromEntries(Object.keys(promises).map((name) => [name, called(name)]));

function resolverOf(methods: Record<string, unknown>): unknown {
  class Resolver {
    cancel(): never {
      throw new Error("Not implemented");
    }
    setLocalAddress(): never {
      throw new Error("Not implemented");
    }
  }
  const { getServers, setServers } = shared;
  for (const [name, value] of Object.entries({ ...methods, getServers, setServers })) {
    if (name !== "lookupService") Object.defineProperty(Resolver.prototype, name, { value, writable: true, configurable: true });
  }
  return Resolver;
}

const promiseMembers: Record<string, unknown> = { ...shared, ...promises, Resolver: resolverOf(promises), lookup: lookupPromise };
const members: Record<string, unknown> = { ...shared, ...HINTS, ...callbacks, Resolver: resolverOf(callbacks), lookup, promises: promiseMembers };

export const dnsModule: Record<string, unknown> = { ...members, default: members };
export const dnsPromisesModule: Record<string, unknown> = { ...HINTS, ...promiseMembers, default: promiseMembers };
