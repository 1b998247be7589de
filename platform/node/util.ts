// node:util: inspection, formatting, promisify, the type checks, and the small things beside them.
//
// `inspect` is the platform's own. Deliberately as in Workers: `deprecate` gives the function back as
// it is, `debuglog` always writes (there is no variable to turn it on), and `aborted` does not hold its
// resource weakly.
//
// Invariant: nothing here keeps state but the writers of `debuglog`.

import { has } from "../cloudflare/compat.ts";
import { engine } from "../ops.ts";
import { AbortController, AbortSignal } from "../web/abort.ts";
import { console } from "../web/console.ts";
import { isCryptoKey } from "../web/crypto/key.ts";
import { TextDecoder, TextEncoder } from "../web/encoding.ts";
import { format } from "../web/format.ts";
import { inspect as inspectValue, setShownInspect } from "../web/inspect.ts";
import type { InspectOptions } from "../web/inspect.ts";
import { Buffer } from "./buffer.ts";
import { checkBoolean, checkCallable, checkObject, checkOneOf, checkText, failure, refusing } from "./checks.ts";
import { isKeyObject } from "./crypto/keys.ts";
import { diffLines } from "./diff.ts";
import type { DiffEntry } from "./diff.ts";
import { isDeepEqual } from "./equality.ts";
import { invalidArgType, requireFunction, requireInteger, requireNumber } from "./errors.ts";
import { signalConstants } from "./os-constants.ts";
import { systemErrors } from "./util/errno.ts";
import { MIMEParams, MIMEType } from "./util/mime.ts";
import { parseArgs } from "./util/parse-args.ts";
import { parseEnv } from "./util/parse-env.ts";
import { colors, styleText, styles, stylize } from "./util/style.ts";

type AnyFunction = (this: unknown, ...args: unknown[]) => unknown;

/** Node.js's defaults. A program may change them, member by member. */
const usual: InspectOptions = {
  showHidden: false,
  depth: 2,
  colors: false,
  customInspect: true,
  showProxy: false,
  maxArrayLength: 100,
  maxStringLength: 10_000,
  breakLength: 80,
  compact: 3,
  sorted: false,
  getters: false,
  numericSeparator: false,
};

function inspect(value: unknown, options?: InspectOptions | boolean | null, depth?: number | null, colored?: boolean): string {
  const given: InspectOptions = { ...usual };
  if (typeof options === "boolean") given.showHidden = options;
  else Object.assign(given, options);
  if (depth !== undefined) given.depth = depth;
  if (colored !== undefined) given.colors = colored;
  if (given.colors) given.stylize = stylize;
  return inspectValue(value, given);
}
setShownInspect(inspect);
inspect.custom = Symbol.for("nodejs.util.inspect.custom");
inspect.colors = colors;
inspect.styles = styles;
Object.defineProperty(inspect, "defaultOptions", {
  get: () => usual,
  set: (options: unknown) => Object.assign(usual, checkObject(options, "options")),
  enumerable: true,
  configurable: true,
});

const CUSTOM_PROMISIFY: unique symbol = Symbol.for("nodejs.util.promisify.custom") as never;

/** Names of what a callback gets beside its error, for those that get several values. */
const CUSTOM_PROMISIFY_ARGS: unique symbol = Symbol.for("nodejs.util.promisify.custom.args") as never;

function promisify(original: unknown): AnyFunction {
  const work = requireFunction(original, "original") as AnyFunction & {
    [CUSTOM_PROMISIFY]?: unknown;
    [CUSTOM_PROMISIFY_ARGS]?: readonly string[];
  };
  const custom = work[CUSTOM_PROMISIFY];
  if (custom) {
    const made = requireFunction(custom, "util.promisify.custom");
    return Object.defineProperty(made, CUSTOM_PROMISIFY, { value: made, configurable: true });
  }
  const names = work[CUSTOM_PROMISIFY_ARGS];
  const promised = function fn(this: unknown, ...args: unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const settle = (error: unknown, ...values: unknown[]): void => {
        if (error) reject(error);
        else if (names === undefined || values.length < 2) resolve(values[0]);
        else resolve(Object.fromEntries(names.map((name, at) => [name, values[at]])));
      };
      Reflect.apply(work, this, [...args, settle]);
    });
  };
  Object.setPrototypeOf(promised, Object.getPrototypeOf(work) as object);
  Object.defineProperty(promised, CUSTOM_PROMISIFY, { value: promised, configurable: true });
  return Object.defineProperties(promised, Object.getOwnPropertyDescriptors(work)) as AnyFunction;
}
promisify.custom = CUSTOM_PROMISIFY;

function callbackify(original: unknown): AnyFunction {
  const work = requireFunction(original, "original");
  const callbackified = function (this: unknown, ...args: unknown[]): void {
    const callback = requireFunction(args.pop(), "last argument");
    // Out of the promise, so that what the callback throws is an uncaught exception.
    const later = (...results: unknown[]): void => queueMicrotask(() => Reflect.apply(callback, this, results));
    (Reflect.apply(work, this, args) as PromiseLike<unknown>).then(
      (value) => later(null, value),
      (reason: unknown) => later(reason || falsyReason(reason)),
    );
  };
  const described = Object.getOwnPropertyDescriptors(work) as Record<string, PropertyDescriptor>;
  // The callback is one parameter more, and the name says what was done.
  if (typeof described["length"]?.value === "number") described["length"].value++;
  if (typeof described["name"]?.value === "string") described["name"].value += "Callbackified";
  return Object.defineProperties(callbackified, described) as AnyFunction;
}

function falsyReason(reason: unknown): Error {
  return Object.assign(new Error("Promise was rejected with falsy value"), { code: "ERR_FALSY_VALUE_REJECTION", reason });
}

declare function queueMicrotask(work: () => unknown): void;

function inherits(maker: unknown, parent: unknown): void {
  if (maker === undefined || maker === null) checkCallable(maker, "ctor");
  if (parent === undefined || parent === null) checkCallable(parent, "superCtor");
  const { prototype } = parent as { prototype?: object };
  const ancestor = checkObject(prototype, "superCtor.prototype");
  Object.defineProperty(maker, "super_", { value: parent, writable: true, configurable: true });
  Object.setPrototypeOf((maker as { prototype: object }).prototype, ancestor);
}

function extend(target: Record<string, unknown>, source: unknown): Record<string, unknown> {
  if (typeof source !== "object" || source === null) return target;
  for (const key of Object.keys(source).reverse()) target[key] = (source as Record<string, unknown>)[key];
  return target;
}

function deprecate<T>(work: T): T {
  return work;
}

const writers = new Map<string, (...args: unknown[]) => void>();

function writerOf(set: string): (...args: unknown[]) => void {
  let found = writers.get(set);
  if (found === undefined) {
    found = (...args) => console.log(`${set}: ${format(args)}\n`);
    writers.set(set, found);
  }
  return found;
}

function debuglog(set: unknown, told?: unknown): AnyFunction {
  let write: ((...args: unknown[]) => void) | undefined;
  const logger = (...args: unknown[]): void => {
    if (write === undefined) {
      write = writerOf(String(set).toUpperCase());
      if (typeof told === "function") told(write);
    }
    write(...args);
  };
  return Object.defineProperty(logger, "enabled", { get: () => true, enumerable: true, configurable: true });
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** Through the global console, where a program may have put its own. */
function log(...args: unknown[]): void {
  const now = new Date();
  const clock = [now.getHours(), now.getMinutes(), now.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
  const stamp = `${now.getDate()} ${MONTHS[now.getMonth()]} ${clock}`;
  (globalThis as unknown as { console: { log(...args: unknown[]): void } }).console.log("%s - %s", stamp, format(args));
}

async function aborted(signal: unknown, resource: unknown): Promise<unknown> {
  if (!(signal instanceof AbortSignal)) throw invalidArgType("signal", ["AbortSignal"], signal);
  if (typeof resource !== "object" && typeof resource !== "function" || resource === null) throw invalidArgType("resource", ["Object"], resource);
  if (signal.aborted) return undefined;
  return new Promise((resolve) => signal.addEventListener("abort", resolve as never, { once: true }));
}

interface CallSite {
  functionName: string;
  scriptId: string;
  scriptName: string;
  lineNumber: number;
  columnNumber: number;
  column: number;
}

const CALL_SITES_MAX = 200;

function getCallSites(count: unknown = 8, options?: unknown): CallSite[] {
  const most = typeof count === "object" && count !== null ? 8 : requireInteger(count, "frameCount", 1, CALL_SITES_MAX);
  if (options !== undefined) checkObject(options, "options");
  const stack = new Error().stack ?? "";
  const sites: CallSite[] = [];
  for (const line of stack.split("\n")) {
    const found = /^\s+at (?:(?:async )?(.*?) \()?(.*?):(\d+):(\d+)\)?$/.exec(line);
    if (found === null) continue;
    const [, name = "", scriptName = "", lineNumber, column] = found;
    // V8 has the method's own name here, without what it stands in.
    const functionName = name.slice(name.lastIndexOf(".") + 1);
    sites.push({ functionName, scriptId: "0", scriptName, lineNumber: Number(lineNumber), columnNumber: Number(column), column: Number(column) });
  }
  return sites.slice(0, most);
}

function getSystemErrorMap(): Map<number, [string, string]> {
  return new Map(Array.from(systemErrors, ([number, [name, message]]) => [number, [name, message]]));
}

function requireErrno(value: unknown): number {
  const number = requireNumber(value, "err");
  if (number >= 0 || !Number.isSafeInteger(number)) throw failure(RangeError, "ERR_OUT_OF_RANGE", `The value of "err" is out of range. It must be a negative integer. Received ${number}`);
  return number;
}

function getSystemErrorName(error: unknown): string {
  const number = requireErrno(error);
  return systemErrors.get(number)?.[0] ?? `Unknown system error ${number}`;
}

function getSystemErrorMessage(error: unknown): string | undefined {
  return systemErrors.get(requireErrno(error))?.[1];
}

/** Titles and links: a text between `ESC ]` and one of three terminators. */
const OPERATING_SYSTEM_COMMAND = /(?:\u001b\]|\u009d)[^\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c)/g;
const CONTROL_SEQUENCE = /[\u001b\u009b][[\]()#;?]*(?:\d{1,4}(?:;\d{0,4})*)?[\dA-PR-TZcf-nq-uy=><~]/g;

function stripVTControlCharacters(text: unknown): string {
  if (typeof text !== "string") throw invalidArgType("str", ["string"], text);
  return text.replace(OPERATING_SYSTEM_COMMAND, "").replace(CONTROL_SEQUENCE, "");
}

// ---- types

function tagIs(...names: string[]): (value: unknown) => boolean {
  const tags = new Set(names.map((name) => `[object ${name}]`));
  return (value) => typeof value === "object" && value !== null && tags.has(Object.prototype.toString.call(value));
}

/** Whether calling a getter that only the real class has works: no tag can pretend that. */
function branded(probe: (value: never) => unknown): (value: unknown) => boolean {
  return (value) => {
    if (typeof value !== "object" || value === null) return false;
    try {
      probe(value as never);
      return true;
    } catch {
      return false;
    }
  };
}

function getter(prototype: object, name: PropertyKey): (value: never) => unknown {
  const get = Object.getOwnPropertyDescriptor(prototype, name)?.get as () => unknown;
  return (value) => Reflect.apply(get, value, []) as unknown;
}

const typedArrayName = getter(Object.getPrototypeOf(Uint8Array.prototype) as object, Symbol.toStringTag) as (
  value: unknown,
) => string | undefined;
const functionTag = (tag: string) => (value: unknown): boolean =>
  typeof value === "function" && Object.prototype.toString.call(value).startsWith(`[object ${tag}`);
const isPrimitiveBox = branded((value: object) => {
  if (!(value instanceof Number || value instanceof String || value instanceof Boolean || value instanceof BigInt || value instanceof Symbol)) {
    throw new TypeError("no box");
  }
});

const types: Record<string, (value: unknown) => boolean> = {
  isAnyArrayBuffer: tagIs("ArrayBuffer", "SharedArrayBuffer"),
  isArrayBuffer: branded(getter(ArrayBuffer.prototype, "byteLength")),
  isArgumentsObject: tagIs("Arguments"),
  isArrayBufferView: (value) => ArrayBuffer.isView(value),
  isAsyncFunction: (value) => functionTag("AsyncFunction")(value) || functionTag("AsyncGeneratorFunction")(value),
  isBigIntObject: branded((value: bigint) => BigInt.prototype.valueOf.call(value)),
  isBooleanObject: branded((value: boolean) => Boolean.prototype.valueOf.call(value)),
  isBoxedPrimitive: isPrimitiveBox,
  isDataView: branded(getter(DataView.prototype, "byteLength")),
  isDate: branded((value: Date) => Date.prototype.getTime.call(value)),
  isExternal: () => false,
  isGeneratorFunction: (value) => functionTag("GeneratorFunction")(value) || functionTag("AsyncGeneratorFunction")(value),
  isGeneratorObject: tagIs("Generator"),
  isMap: branded(getter(Map.prototype, "size")),
  isMapIterator: tagIs("Map Iterator"),
  isModuleNamespaceObject: tagIs("Module"),
  isNativeError: (value) => value instanceof Error,
  isNumberObject: branded((value: number) => Number.prototype.valueOf.call(value)),
  isPromise: (value) => value instanceof Promise,
  isProxy: (value) =>
    ((typeof value === "object" && value !== null) || typeof value === "function") && engine.proxyDetails(value) !== undefined,
  isRegExp: branded(getter(RegExp.prototype, "global")),
  isSet: branded(getter(Set.prototype, "size")),
  isSetIterator: tagIs("Set Iterator"),
  isSharedArrayBuffer: tagIs("SharedArrayBuffer"),
  isStringObject: branded((value: string) => String.prototype.valueOf.call(value)),
  isSymbolObject: branded((value: symbol) => Symbol.prototype.valueOf.call(value)),
  isTypedArray: (value) => typedArrayName(value) !== undefined,
  isWeakMap: branded((value: WeakMap<object, unknown>) => WeakMap.prototype.has.call(value, {})),
  isWeakSet: branded((value: WeakSet<object>) => WeakSet.prototype.has.call(value, {})),
};
for (const name of [
  "Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array", "Uint32Array",
  "Float16Array", "Float32Array", "Float64Array", "BigInt64Array", "BigUint64Array",
]) {
  types[`is${name}`] = (value) => typedArrayName(value) === name;
}

types["isEventTarget"] = (value) => typeof EventTarget === "function" && value instanceof EventTarget;
types["isKeyObject"] = isKeyObject;
types["isCryptoKey"] = isCryptoKey;

declare const EventTarget: (abstract new () => object) | undefined;

/** Gone since Node.js 23, whose date a Worker may not have reached. */
const OLD_CHECKS: Record<string, (value: unknown) => boolean> = {
  isBoolean: (value) => typeof value === "boolean",
  isBuffer: (value) => Buffer.isBuffer(value),
  isDate: (value) => value instanceof Date,
  isError: (value) => value instanceof Error,
  isFunction: (value) => typeof value === "function",
  isNull: (value) => value === null,
  isNullOrUndefined: (value) => value === null || value === undefined,
  isNumber: (value) => typeof value === "number",
  isObject: (value) => value !== null && typeof value === "object",
  isPrimitive: (value) => value === null || (typeof value !== "object" && typeof value !== "function"),
  isRegExp: (value) => value instanceof RegExp,
  isString: (value) => typeof value === "string",
  isSymbol: (value) => typeof value === "symbol",
  isUndefined: (value) => value === undefined,
};

/** What a shell gives for a process that a signal ended. */
function convertProcessSignalToExitCode(signal: unknown): number {
  const numbers = signalConstants as unknown as Record<string, number>;
  return 128 + (numbers[checkOneOf(signal as string, "signalCode", Object.keys(numbers))] as number);
}

function comparable(value: unknown, name: string): readonly string[] {
  const parts = Array.isArray(value) ? (value as unknown[]) : checkText(value, name).split("");
  return parts.map((part, index) => checkText(part, `${name}[${index}]`));
}

function diff(actual: unknown, expected: unknown): DiffEntry[] {
  const [first, second] = [comparable(actual, "actual"), comparable(expected, "expected")];
  const isSame = first.length === second.length && first.every((part, index) => part === second[index]);
  return isSame ? [] : diffLines(first, second);
}

const util: Record<string, unknown> = {
  MIMEParams,
  MIMEType,
  TextDecoder,
  TextEncoder,
  _errnoException: refusing("_errnoException"),
  _exceptionWithHostPort: refusing("_exceptionWithHostPort"),
  _extend: extend,
  aborted,
  callbackify,
  convertProcessSignalToExitCode,
  debug: debuglog,
  debuglog,
  deprecate,
  diff,
  format: (...args: unknown[]): string => format(args, usual),
  formatWithOptions(options: unknown, ...args: unknown[]): string {
    const given: InspectOptions = { ...usual, ...checkObject(options, "inspectOptions") };
    return format(args, given.colors ? { ...given, stylize } : given);
  },
  getCallSite: getCallSites,
  getCallSites,
  getSystemErrorMap,
  getSystemErrorMessage,
  getSystemErrorName,
  inherits,
  inspect,
  isArray: (value: unknown): boolean => Array.isArray(value),
  isDeepStrictEqual: (a: unknown, b: unknown): boolean => isDeepEqual(a, b, "strict"),
  log,
  parseArgs,
  parseEnv,
  promisify,
  // Nothing here is interrupted by a signal.
  setTraceSigInt(isEnabled: unknown): void {
    checkBoolean(isEnabled, "enable");
  },
  stripVTControlCharacters,
  styleText,
  toUSVString: (text: unknown): string => String(text).toWellFormed(),
  transferableAbortController: () => new AbortController(),
  transferableAbortSignal(signal: unknown): AbortSignal {
    if (!(signal instanceof AbortSignal)) throw invalidArgType("signal", ["AbortSignal"], signal);
    return signal;
  },
  types,
};

let made: Record<string, unknown> | undefined;

export function utilModule(): Record<string, unknown> {
  if (made !== undefined) return made;
  const old = Object.keys(OLD_CHECKS).map((name) => [name, has("remove_nodejs_compat_eol_v23") ? undefined : OLD_CHECKS[name]]);
  const all = { ...util, ...Object.fromEntries(old) as Record<string, unknown> };
  return (made = { ...all, default: all });
}

export const utilTypesModule: Record<string, unknown> = { ...types, default: types };
