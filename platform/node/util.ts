// node:util: inspection, formatting, promisify and the type checks.
//
// `inspect` is the platform's own. Absent: `parseArgs`, `styleText`, `MIMEType`, `debug` output
// (a Worker has no environment variables that could turn it on).
//
// Invariant: nothing here keeps state but `promisify`'s symbol.

import { engine } from "../ops.ts";
import { TextDecoder, TextEncoder } from "../web/encoding.ts";
import { format } from "../web/format.ts";
import { inspect as inspectValue } from "../web/inspect.ts";
import type { InspectOptions } from "../web/inspect.ts";
import { isDeepEqual } from "./equality.ts";

type AnyFunction = (this: unknown, ...args: unknown[]) => unknown;

function invalid(name: string, wanted: string): TypeError {
  return Object.assign(new TypeError(`The "${name}" argument must be ${wanted}.`), { code: "ERR_INVALID_ARG_TYPE" });
}

function requireFunction(value: unknown, name: string): AnyFunction {
  if (typeof value !== "function") throw invalid(name, "of type function");
  return value as AnyFunction;
}

function inspect(value: unknown, options?: InspectOptions | boolean, depth?: number | null, colors?: boolean): string {
  if (typeof options !== "boolean") return inspectValue(value, options);
  const given: InspectOptions = { showHidden: options };
  if (depth !== undefined) given.depth = depth;
  if (colors !== undefined) given.colors = colors;
  return inspectValue(value, given);
}
inspect.custom = Symbol.for("nodejs.util.inspect.custom");
inspect.defaultOptions = { depth: 2, showHidden: false, colors: false };

const CUSTOM_PROMISIFY: unique symbol = Symbol.for("nodejs.util.promisify.custom") as never;

function promisify(original: unknown): AnyFunction {
  const work = requireFunction(original, "original") as AnyFunction & { [CUSTOM_PROMISIFY]?: unknown };
  const custom = work[CUSTOM_PROMISIFY];
  if (custom !== undefined) {
    const made = requireFunction(custom, "util.promisify.custom");
    return Object.defineProperty(made, CUSTOM_PROMISIFY, { value: made, configurable: true });
  }
  const promised = function (this: unknown, ...args: unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      Reflect.apply(work, this, [...args, (error: unknown, value: unknown) => (error ? reject(error) : resolve(value))]);
    });
  };
  Object.setPrototypeOf(promised, Object.getPrototypeOf(work) as object);
  return Object.defineProperties(promised, Object.getOwnPropertyDescriptors(work)) as AnyFunction;
}
promisify.custom = CUSTOM_PROMISIFY;

function callbackify(original: unknown): AnyFunction {
  const work = requireFunction(original, "original");
  return function (this: unknown, ...args: unknown[]): void {
    const callback = requireFunction(args.pop(), "last argument");
    // Out of the promise, so that what the callback throws is an uncaught exception.
    const later = (...results: unknown[]): void => queueMicrotask(() => Reflect.apply(callback, this, results));
    (Reflect.apply(work, this, args) as Promise<unknown>).then(
      (value) => later(null, value),
      (reason: unknown) => later(reason ?? falsyReason(reason)),
    );
  };
}

function falsyReason(reason: unknown): Error {
  return Object.assign(new Error("Promise was rejected with falsy value"), { code: "ERR_FALSY_VALUE_REJECTION", reason });
}

declare function queueMicrotask(work: () => unknown): void;

function inherits(maker: unknown, parent: unknown): void {
  const child = requireFunction(maker, "ctor");
  const above = requireFunction(parent, "superCtor");
  Object.defineProperty(child, "super_", { value: above, writable: true, configurable: true });
  Object.setPrototypeOf((child as { prototype?: object }).prototype as object, (above as { prototype?: object }).prototype ?? null);
}

function deprecate(work: unknown, _message?: string, _code?: string): AnyFunction {
  return requireFunction(work, "fn");
}

function debuglog(): AnyFunction {
  return Object.assign(() => undefined, { enabled: false });
}

function stripVTControlCharacters(text: string): string {
  return String(text).replace(/[\u001b\u009b][[\]()#;?]*(?:\d{1,4}(?:;\d{0,4})*)?[\dA-PR-TZcf-nq-uy=><~]/g, "");
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

const util: Record<string, unknown> = {
  inspect,
  format: (...args: unknown[]): string => format(args),
  formatWithOptions: (options: InspectOptions, ...args: unknown[]): string => format(args, options),
  promisify,
  callbackify,
  inherits,
  deprecate,
  debuglog,
  debug: debuglog,
  isDeepStrictEqual: (a: unknown, b: unknown): boolean => isDeepEqual(a, b, "strict"),
  isArray: Array.isArray,
  stripVTControlCharacters,
  toUSVString: (text: unknown): string => String(text).toWellFormed(),
  types,
  TextDecoder,
  TextEncoder,
};

export const utilModule: Record<string, unknown> = { ...util, default: util };
export const utilTypesModule: Record<string, unknown> = { ...types, default: types };
