// Errors as Node.js makes them: a `code`, and messages that say what was wanted and what came.
//
// Only what the modules here throw. Packages compare codes, and some compare messages.
//
// Invariant: describing a value never runs its code, but for its constructor's name.

import { inspect } from "../web/inspect.ts";

type Coded<E extends Error> = E & { code: string };

/** Gives an error its code, and a text that shows it: packages match `String(error)`. */
export function coded<E extends Error>(error: E, code: string): Coded<E> {
  const made = Object.assign(error, { code });
  const toString = (): string => `${made.name} [${code}]: ${made.message}`;
  return Object.defineProperty(made, "toString", { value: toString, writable: true, configurable: true });
}

/** `kinds`: names of types in lower case, of classes in upper case; others stand as they are. */
export function invalidArgType(name: string, kinds: readonly string[], value: unknown): Error {
  const what = name.endsWith(" argument") ? `The ${name}` : `The "${name}" ${name.includes(".") ? "property" : "argument"}`;
  return coded(new TypeError(`${what} must be ${wanted(kinds)}. Received ${described(value)}`), "ERR_INVALID_ARG_TYPE");
}

export function invalidArgValue(name: string, value: unknown, why = "is invalid"): Error {
  const shown = inspect(value).slice(0, 128);
  const what = name.includes(".") ? "property" : "argument";
  return coded(new TypeError(`The ${what} '${name}' ${why}. Received ${shown}`), "ERR_INVALID_ARG_VALUE");
}

export function outOfRange(name: string, range: string, value: unknown): Error {
  const message = `The value of "${name}" is out of range. It must be ${range}. Received ${received(value)}`;
  return coded(new RangeError(message), "ERR_OUT_OF_RANGE");
}

export function outOfBounds(name?: string): Error {
  const message = name === undefined ? "Attempt to access memory outside buffer bounds" : `"${name}" is outside of buffer bounds`;
  return coded(new RangeError(message), "ERR_BUFFER_OUT_OF_BOUNDS");
}

export function unknownEncoding(name: unknown): Error {
  return coded(new TypeError(`Unknown encoding: ${String(name)}`), "ERR_UNKNOWN_ENCODING");
}

export function invalidBufferSize(bits: string): Error {
  return coded(new RangeError(`Buffer size must be a multiple of ${bits}`), "ERR_INVALID_BUFFER_SIZE");
}

export function invalidState(message: string): Error {
  return coded(new Error(`Invalid state: ${message}`), "ERR_INVALID_STATE");
}

export function missingArgs(...names: string[]): Error {
  const quoted = names.map((name) => `"${name}"`);
  return coded(new TypeError(`The ${listed(quoted, "and")} argument${names.length > 1 ? "s" : ""} must be specified`), "ERR_MISSING_ARGS");
}

export function notImplemented(what: string): Error {
  return coded(new Error(`The ${what} method is not implemented`), "ERR_METHOD_NOT_IMPLEMENTED");
}

export function invalidReturnValue(wanted: string, name: string, value: unknown): Error {
  const kind = typeof value === "object" && value !== null ? described(value) : `type ${typeof value}`;
  return coded(new TypeError(`Expected ${wanted} to be returned from the "${name}" function but got ${kind}.`), "ERR_INVALID_RETURN_VALUE");
}

/** What ends an operation whose signal was aborted. */
export function abortError(reason?: unknown): Error {
  const error = reason === undefined ? new Error("The operation was aborted") : new Error("The operation was aborted", { cause: reason });
  return Object.defineProperty(coded(error, "ABORT_ERR"), "name", { value: "AbortError", writable: true, configurable: true });
}

export function notSupported(what: string): Error {
  return coded(new Error(`${what} is not supported in Workers`), "ERR_METHOD_NOT_IMPLEMENTED");
}

export function requireNumber(value: unknown, name: string): number {
  if (typeof value !== "number") throw invalidArgType(name, ["number"], value);
  return value;
}

export function requireString(value: unknown, name: string): string {
  if (typeof value !== "string") throw invalidArgType(name, ["string"], value);
  return value;
}

/** A whole number between the two, both allowed. */
export function requireInteger(value: unknown, name: string, least = 0, most: number = Number.MAX_SAFE_INTEGER): number {
  const number = requireNumber(value, name);
  if (!Number.isInteger(number)) throw outOfRange(name, "an integer", number);
  if (number < least || number > most) throw outOfRange(name, `>= ${least} && <= ${most}`, number);
  return number;
}

export function requireFunction(value: unknown, name: string): (...args: unknown[]) => unknown {
  if (typeof value !== "function") throw invalidArgType(name, ["function"], value);
  return value as (...args: unknown[]) => unknown;
}

export function requireBoolean(value: unknown, name: string): boolean {
  if (typeof value !== "boolean") throw invalidArgType(name, ["boolean"], value);
  return value;
}

export function requireObject(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalidArgType(name, ["Object"], value);
  return value as Record<string, unknown>;
}

/** What the modules here need of an AbortSignal. */
export interface AbortSignalLike {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: "abort", work: () => void, options?: { once: boolean }): void;
  removeEventListener(type: "abort", work: () => void): void;
}

export function isAbortSignal(value: unknown): value is AbortSignalLike {
  return typeof value === "object" && value !== null && "aborted" in value;
}

export function requireSignal(value: unknown, name: string): AbortSignalLike {
  if (!isAbortSignal(value)) throw invalidArgType(name, ["AbortSignal"], value);
  return value;
}

const TYPES: ReadonlySet<string> = new Set(["string", "function", "number", "object", "boolean", "bigint", "symbol"]);

function wanted(kinds: readonly string[]): string {
  const lower = kinds.map((kind) => (kind === "Object" || kind === "Function" ? kind.toLowerCase() : kind));
  let types = lower.filter((kind) => TYPES.has(kind));
  const classes = lower.filter((kind) => /^[A-Z]\w*$/.test(kind));
  const others = lower.filter((kind) => !types.includes(kind) && !classes.includes(kind));
  // Beside classes, an object is one more of them.
  if (classes.length > 0 && types.includes("object")) {
    types = types.filter((kind) => kind !== "object");
    classes.push("Object");
  }
  const parts: string[] = [];
  if (types.length > 0) parts.push(`${types.length > 1 ? "one of type" : "of type"} ${listed(types)}`);
  if (classes.length > 0) parts.push(`an instance of ${listed(classes)}`);
  if (others.length === 1) parts.push(/[A-Z]/.test(others[0] as string) ? `an ${others[0]}` : (others[0] as string));
  else if (others.length > 1) parts.push(`one of ${listed(others)}`);
  return parts.join(" or ");
}

function listed(names: readonly string[], word: "or" | "and" = "or"): string {
  if (names.length < 3) return names.join(` ${word} `);
  return `${names.slice(0, -1).join(", ")}, ${word} ${names.at(-1)}`;
}

function described(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === "function" && value.name) return `function ${value.name}`;
  if (typeof value === "object") {
    const maker = (value as { constructor?: { name?: unknown } }).constructor?.name;
    if (typeof maker === "string" && maker !== "") return `an instance of ${maker}`;
    return inspect(value, { depth: -1 });
  }
  const shown = inspect(value);
  return `type ${typeof value} (${shown.length > 28 ? `${shown.slice(0, 25)}...` : shown})`;
}

/** Large numbers are shown in groups of three. */
function received(value: unknown): string {
  const large =
    (typeof value === "number" && Number.isInteger(value) && Math.abs(value) > 2 ** 32) ||
    (typeof value === "bigint" && (value > 2n ** 32n || value < -(2n ** 32n)));
  if (!large) return inspect(value);
  const grouped = String(value).replace(/(?<=\d)(?=(\d{3})+$)/g, "_");
  return typeof value === "bigint" ? `${grouped}n` : grouped;
}
