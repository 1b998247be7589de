// What is told of an invocation that somebody follows: values of log lines, spans, diagnostics.
//
// The host says of an invocation that it is followed (`Traced`); of any other nothing here is sent and
// nothing is computed. Calls into objects that the invocation exported belong to its trace too. How
// a trace reaches its tails is the host's business.
//
// Invariant: nothing here throws into user code, whatever a value does when it is turned into text.

import { wire } from "../ops.ts";
import type { Body, CallId, LogValues, Outcome } from "../ops.ts";
import { type Frame, currentFrame, currentInvocation, runWith } from "./async-context.ts";
import type { Cap } from "./caps.ts";
import { stackOf } from "./errors.ts";
import { encode } from "./rpc/encode.ts";
import type { EncodeHost } from "./rpc/encode.ts";
import type { Request } from "../web/request.ts";

/** Somebody follows an invocation here, or did: until then a span costs a look at this. */
let followed = false;

/** The trace of one invocation. */
export class Trace {
  readonly call: CallId;
  /** The host keeps the trace open after `Done`. */
  held = false;
  spans = 0;

  constructor(call: CallId) {
    this.call = call;
    followed = true;
  }
}

// ---- log lines

/** The arguments of a console method, whose line is `text`, as tails see them. */
export function logValues(args: readonly unknown[], text: string): LogValues {
  if (text.length <= TEXT_CHARS_MAX) {
    if (args.length === 1 && args[0] === text) return undefined;
    const lengths = textLengths(args, text);
    if (lengths !== undefined) return lengths;
  }
  const message = `[${args.map(argumentJson).join(", ")}]`;
  const errors = errorsAmong(args);
  return errors === undefined ? message : `{"m":${message},"e":${errors}}`;
}

/** A line of so many is not cut. In step with `LOG_BYTES_MAX` of the wire; a character is up to three bytes. */
const TEXT_CHARS_MAX = 5000;

/** Where `text` is `args` with a space between two: their lengths. */
function textLengths(args: readonly unknown[], text: string): number[] | undefined {
  const lengths: number[] = [];
  let end = -1;
  for (let index = 0; index < args.length; index++) {
    const arg = args[index];
    if (typeof arg !== "string") return undefined;
    lengths.push(arg.length);
    end += 1 + arg.length;
  }
  // What a `%` stands for might be as long as what stands for it.
  return end === text.length && !(args[0] as string).includes("%") ? lengths : undefined;
}

/** Plain data as JSON, everything else as its text. */
function argumentJson(value: unknown): string {
  try {
    // Not `String()`, which knows a text for symbols too.
    return JSON.stringify(isPlain(value) ? value : `${value as string}`) ?? "null";
  } catch {
    return "{}";
  }
}

function isPlain(value: unknown): boolean {
  if (value === null || value === undefined) return true;
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return true;
  if (typeof value !== "object") return false;
  if (Array.isArray(value)) return true;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype) return true;
  return typeof (value as { toJSON?: unknown }).toJSON === "function";
}

interface ErrorInfo {
  name: string;
  message: string;
  stack?: string;
}

const isError = (Error as unknown as { isError?: (value: unknown) => boolean }).isError;

/** JSON with one entry an argument, `null` where it is no error; undefined if none is one. */
function errorsAmong(args: readonly unknown[]): string | undefined {
  let infos: (ErrorInfo | null)[] | undefined;
  for (const [index, arg] of args.entries()) {
    const found = isError !== undefined ? isError(arg) : arg instanceof Error;
    const info = found ? errorInfo(arg as Error) : undefined;
    if (info === undefined) continue;
    infos ??= args.map(() => null);
    infos[index] = info;
  }
  return infos === undefined ? undefined : JSON.stringify(infos);
}

function errorInfo(error: Error): ErrorInfo | undefined {
  try {
    const name = error.name === undefined ? "Error" : String(error.name);
    const message = error.message === undefined ? String(error) : String(error.message);
    const stack = withoutHeader(stackOf(error), name, message);
    return stack === "" ? { name, message } : { name, message, stack };
  } catch {
    // A getter that throws. The line has the argument's text all the same.
    return undefined;
  }
}

/** A stack begins with name and message, which stand beside it already. */
function withoutHeader(stack: string, name: string, message: string): string {
  let rest = stack;
  if (rest.startsWith(name)) {
    rest = rest.slice(name.length);
    if (rest.startsWith(": ")) rest = rest.slice(2);
  }
  if (rest.startsWith(message)) {
    rest = rest.slice(message.length);
    if (rest.startsWith("\n")) rest = rest.slice(1);
  }
  return rest;
}

// ---- warnings

const warned = new Set<string>();

/** Different warnings that are remembered, so that each is said once. */
const WARNED_MAX = 1000;

/** A warning of the platform's about what the Worker does: on the console and in the trace. */
export function warn(text: string): void {
  const invocation = currentInvocation();
  const trace = invocation?.trace;
  wire.log(trace?.call ?? invocation?.call, "warn", text);
}

/** The same, once for the Worker's life. */
export function warnOnce(text: string): void {
  if (warned.has(text) || warned.size >= WARNED_MAX) return;
  warned.add(text);
  warn(text);
}

// ---- messages on diagnostics channels

const NOT_SERIALIZABLE = "[[ Diagnostic event was not serializable ]]";

const nothingSpecial: EncodeHost<never> = { recognise: () => undefined };

/** A message was published on a channel of `node:diagnostics_channel`. */
export function published(channel: string, message: unknown): void {
  const trace = currentInvocation()?.trace;
  if (trace === undefined) return;
  wire.diagnostic(trace.call, channel, codedOr(message, NOT_SERIALIZABLE));
}

function codedOr(message: unknown, instead: string): Uint8Array {
  for (const value of [message, instead]) {
    try {
      const encoded = encode(value, nothingSpecial, { bytesMax: DIAGNOSTIC_BYTES_MAX });
      if ("bytes" in encoded) return encoded.bytes;
    } catch {
      // A function, say. The placeholder is a string.
    }
  }
  return new Uint8Array(0);
}

/** In step with `LOG_MESSAGE_BYTES_MAX` of the wire. */
const DIAGNOSTIC_BYTES_MAX = 256 * 1024;

// ---- spans

type AttributeValue = boolean | number | string | bigint;

/** Characters of a span's name that a Worker may choose. */
const NAME_CHARS_MAX = 64;

/** Characters of a span's attributes together. */
const ATTRIBUTE_CHARS_MAX = 32 * 1024;

/** Spans of one invocation. */
const SPANS_MAX = 10_000;

/** A span under way. */
export class OpenSpan {
  readonly trace: Trace;
  readonly number: number;
  readonly name: string;
  #attributes: { name: string; value: boolean | number | string | { int: string } }[] = [];
  #chars = 0;
  #ended = false;

  constructor(trace: Trace, parent: number, name: string) {
    this.trace = trace;
    this.number = ++trace.spans;
    this.name = name;
    wire.spanOpen(trace.call, this.number, parent, name);
  }

  get isOpen(): boolean {
    return !this.#ended;
  }

  /** What is undefined or null is not told. */
  set(name: string, value: AttributeValue | undefined | null): void {
    if (value === undefined || value === null) return;
    if (this.#ended || this.#chars > ATTRIBUTE_CHARS_MAX) return;
    const size = typeof value === "string" ? value.length : 8;
    this.#chars += name.length + size;
    if (this.#chars > ATTRIBUTE_CHARS_MAX) return this.#sayTooMuch(name, size);
    const known = this.#attributes.find((attribute) => attribute.name === name);
    const held = typeof value === "bigint" ? { int: String(value) } : value;
    if (known !== undefined) known.value = held;
    else this.#attributes.push({ name, value: held });
  }

  /** A whole number, which tails get as a BigInt. */
  count(name: string, value: number | undefined): void {
    if (value !== undefined && Number.isFinite(value)) this.set(name, BigInt(Math.trunc(value)));
  }

  #sayTooMuch(name: string, size: number): void {
    const shown = name.length > 64 ? `"${name.slice(0, 64)}..." (key length ${name.length})` : `"${name}"`;
    this.#attributes.push(
      { name: "cloudflare.warning.type", value: "span_data_limit_exceeded" },
      {
        name: "cloudflare.warning.message",
        value: `exceeded span data limit while trying to record attribute ${shown} of size ${size}`,
      },
    );
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    const attributes = this.#attributes;
    wire.spanClose(this.trace.call, this.number, attributes.length === 0 ? "" : JSON.stringify(attributes));
  }
}

/**
 * A span inside the one under way; undefined where nobody follows. Whoever opens one for what the platform does
 * ends it in a `finally`. Names and attributes are workerd's.
 */
export function openSpan(name: string): OpenSpan | undefined {
  if (!followed) return undefined;
  const frame = currentFrame();
  const trace = frame.invocation?.trace;
  if (trace === undefined || trace.spans >= SPANS_MAX) return undefined;
  return new OpenSpan(trace, parentIn(frame, trace), name);
}

function parentIn(frame: Frame, trace: Trace): number {
  const { span } = frame;
  return span !== undefined && span.trace === trace && span.isOpen ? span.number : 0;
}

/** Says that the call about to be sent was made in `span`. */
export function callComesFrom(span: OpenSpan | undefined, made: CallId): void {
  if (span !== undefined) wire.callFrom(made, span.trace.call, span.number);
}

/** A span around one call through `cap`, named for the object behind it or else `name`. */
export function callSpan(cap: Cap | undefined, name: string): OpenSpan | undefined {
  if (!followed) return undefined;
  const about = cap?.about;
  if (about === undefined) return openSpan(name);
  const [called, attribute] = typeof about === "string" ? FACET : OBJECT;
  const span = openSpan(called);
  try {
    span?.set(attribute, String(about));
  } catch {
    // The Worker replaced what gives an id its text.
  }
  return span;
}

const FACET = ["facet_subrequest", "facet_name"] as const;
const OBJECT = ["durable_object_subrequest", "objectId"] as const;

const REQUEST_HEADERS = ["content-type", "content-length", "accept", "accept-encoding"];

/** A span around one request of the kind `name`; only those of `fetch()` tell what they are about. */
export function fetchSpan(cap: Cap | undefined, name: string | null, request: Request): OpenSpan | undefined {
  const span = name === null ? undefined : callSpan(cap, name);
  if (span?.name !== FETCH) return span;
  span.set("network.protocol.name", "http");
  span.set("network.protocol.version", "HTTP/1.1");
  span.set("http.request.method", request.method);
  span.set("url.full", request.url);
  const agent = request.headers.get("user-agent");
  if (agent !== null) span.set("user_agent.original", agent);
  for (const name of REQUEST_HEADERS) {
    const value = request.headers.get(name);
    if (value !== null) span.set(`http.request.header.${name}`, value);
  }
  return span;
}

const FETCH = "fetch";

/** Its body is on its way. */
export function fetchSent(span: OpenSpan, body: Body): void {
  if (span.name === FETCH && body !== undefined) span.count("http.request.body.size", bodyBytes(body));
}

/** Its end. */
export function fetchAnswered(span: OpenSpan, outcome: Outcome): void {
  if (outcome[0] === "response" && span.name === FETCH) {
    const [, head, body] = outcome;
    span.count("http.response.status_code", head.status);
    span.count("http.response.body.size", bodyBytes(body));
    const ray = head.headers.findIndex((name, at) => at % 2 === 0 && name.toLowerCase() === "cf-ray");
    if (ray >= 0) span.set("cloudflare.ray_id", head.headers[ray + 1]);
  }
  span.end();
}

function bodyBytes(body: Body): number | undefined {
  if (body instanceof Uint8Array) return body.length;
  return Array.isArray(body) ? body[1] : body === undefined ? 0 : undefined;
}

// ---- spans of the Worker's own

/** What a Worker sees of a span. */
class Span {
  #span: OpenSpan | undefined;

  constructor(key: symbol, span: OpenSpan | undefined) {
    if (key !== OURS) throw new TypeError("Illegal constructor");
    this.#span = span;
  }

  get isTraced(): boolean {
    return this.#span?.isOpen ?? false;
  }

  setAttribute(key: string, value?: unknown): this {
    if (value === undefined) return this;
    const kept = typeof value === "boolean" || typeof value === "number" ? value : String(value as string);
    this.#span?.set(String(key), kept);
    return this;
  }

  setAttributes(attributes: Record<string, unknown>): this {
    for (const [key, value] of Object.entries(attributes)) this.setAttribute(key, value);
    return this;
  }

  end(): void {
    this.#span?.end();
  }
}

const OURS = Symbol("ours");

type Callback = (span: Span, ...args: unknown[]) => unknown;

class Tracing {
  constructor(key: symbol) {
    if (key !== OURS) throw new TypeError("Illegal constructor");
  }

  /** Runs `callback` in a new span, which ends with it (with its promise, if it gives one). */
  enterSpan(name: string, callback: Callback, ...args: unknown[]): unknown {
    const [span, run] = entered(name, callback, args);
    let result: unknown;
    try {
      result = run();
    } catch (error) {
      span.end();
      throw error;
    }
    if (!(result instanceof Promise)) {
      span.end();
      return result;
    }
    return result.finally(() => span.end());
  }

  /** The same, but whoever calls it ends the span. */
  startActiveSpan(name: string, callback: Callback, ...args: unknown[]): unknown {
    return entered(name, callback, args)[1]();
  }

  /** A span that is not around anything. */
  startSpan(name: string): Span {
    return new Span(OURS, openSpan(nameOf(name)));
  }

  get Span(): typeof Span {
    return Span;
  }
}

function nameOf(name: unknown): string {
  return String(name).slice(0, NAME_CHARS_MAX);
}

function entered(name: unknown, callback: unknown, args: unknown[]): [Span, () => unknown] {
  if (typeof callback !== "function") {
    throw new TypeError("The second argument must be a function that gets the span.");
  }
  const open = openSpan(nameOf(name));
  const span = new Span(OURS, open);
  const call = (): unknown => (callback as Callback)(span, ...args);
  return [span, open === undefined ? call : () => runWith({ span: open }, call)];
}

/** `tracing` of `cloudflare:workers`, and `ctx.tracing`. */
export const tracing = new Tracing(OURS);
