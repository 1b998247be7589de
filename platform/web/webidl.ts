// Web IDL for hand-written classes: argument conversion with its errors, and the shape of interfaces.
//
// A converter takes a value and the words that name it in an error ("Headers.append: name") and
// gives the converted value or throws a TypeError. `defineInterface` turns an ordinary class into an
// IDL interface: enumerable members, `Symbol.toStringTag`, constants. Brand checks are not here:
// classes keep their state in `#private` fields, so a wrong receiver throws by itself, and static
// `#field in value` tests say what is an instance.
//
// Deliberately absent: overload resolution and unions (each caller knows its own), and legacy
// platform objects with indexed or named getters.
//
// Invariant: conversions read a value in the order and as often as Web IDL says, so that getters
// with side effects see the same as in other runtimes. Nothing here calls a built-in through a
// prototype that user code may have patched.

/** `context` names the value in an error: `"URL constructor: url"`. */
export type Converter<T> = (value: unknown, context: string) => T;

/** Any class, whatever its constructor takes. */
export type Class<T = object> = abstract new (...args: never[]) => T;

const uncurry = Function.prototype.bind.bind(Function.prototype.call) as <A extends unknown[], R>(
  method: (this: never, ...args: A) => R,
) => (receiver: unknown, ...args: A) => R;

const toWellFormed = uncurry(String.prototype.toWellFormed);
const { isFinite: numberIsFinite, isNaN: numberIsNaN } = Number;
const { abs, floor, max, min, trunc } = Math;
const { isView } = ArrayBuffer;
const { create, defineProperty, getOwnPropertyDescriptor, getPrototypeOf } = Object;
const { ownKeys } = Reflect;
const SymbolIterator: typeof Symbol.iterator = Symbol.iterator;
const SymbolAsyncIterator: typeof Symbol.asyncIterator = Symbol.asyncIterator;
const SymbolToStringTag: typeof Symbol.toStringTag = Symbol.toStringTag;

function getterOf(prototype: object, name: PropertyKey): (receiver: unknown) => unknown {
  const getter = getOwnPropertyDescriptor(prototype, name)?.get;
  if (getter === undefined) throw new Error(`no getter ${String(name)}`);
  return uncurry(getter as (this: never) => unknown);
}

const typedArrayPrototype = getPrototypeOf(Uint8Array.prototype) as object;
const typedArrayTag = getterOf(typedArrayPrototype, SymbolToStringTag);
const typedArrayBuffer = getterOf(typedArrayPrototype, "buffer") as (view: unknown) => ArrayBufferLike;
const typedArrayOffset = getterOf(typedArrayPrototype, "byteOffset") as (view: unknown) => number;
const typedArrayBytes = getterOf(typedArrayPrototype, "byteLength") as (view: unknown) => number;
const dataViewBuffer = getterOf(DataView.prototype, "buffer") as (view: unknown) => ArrayBufferLike;
const dataViewOffset = getterOf(DataView.prototype, "byteOffset") as (view: unknown) => number;
const dataViewBytes = getterOf(DataView.prototype, "byteLength") as (view: unknown) => number;
const bufferBytes = getterOf(ArrayBuffer.prototype, "byteLength") as (buffer: unknown) => number;
const bufferDetached = getterOf(ArrayBuffer.prototype, "detached") as (buffer: unknown) => boolean;
const sharedBytes =
  typeof SharedArrayBuffer === "undefined"
    ? undefined
    : (getterOf(SharedArrayBuffer.prototype, "byteLength") as (buffer: unknown) => number);

// ---- Arguments -------------------------------------------------------------------------------

/** Types of parameters by operation, as workerd names them where one is missing. */
const PARAMETERS: Readonly<Record<string, readonly string[]>> = {
  __proto__: null as never,
  "AbortSignal.any": ["Array"],
  "AbortSignal.timeout": ["number"],
  "Cache.delete": ["Request or string"],
  "Cache.match": ["Request or string"],
  "Cache.put": ["Request or string", "Response"],
  "CacheStorage.open": ["string"],
  "CompressionStream constructor": ["string"],
  "Crypto.getRandomValues": ["ArrayBufferView"],
  "DecompressionStream constructor": ["string"],
  "DigestStream constructor": ["string or HashAlgorithm"],
  "Element.after": ["string or JsReadableStream or Response"],
  "Element.append": ["string or JsReadableStream or Response"],
  "Element.before": ["string or JsReadableStream or Response"],
  "Element.getAttribute": ["string"],
  "Element.hasAttribute": ["string"],
  "Element.onEndTag": ["function"],
  "Element.prepend": ["string or JsReadableStream or Response"],
  "Element.removeAttribute": ["string"],
  "Element.replace": ["string or JsReadableStream or Response"],
  "Element.setAttribute": ["string", "string"],
  "Element.setInnerContent": ["string or JsReadableStream or Response"],
  "Event constructor": ["string"],
  "EventSource constructor": ["string"],
  "EventTarget.addEventListener": ["string", "function or HandlerObject"],
  "EventTarget.dispatchEvent": ["Event"],
  "File constructor": ["Array", "string"],
  "FixedLengthStream constructor": ["bigint"],
  "FormData.append": ["string", "File or Blob or string"],
  "FormData.delete": ["string"],
  "FormData.forEach": ["function"],
  "FormData.get": ["string"],
  "FormData.getAll": ["string"],
  "FormData.has": ["string"],
  "FormData.set": ["string", "File or Blob or string"],
  "HTMLRewriter.on": ["string", "ElementContentHandlers"],
  "HTMLRewriter.onDocument": ["DocumentContentHandlers"],
  "HTMLRewriter.transform": ["Response"],
  "Headers.append": ["string", "string"],
  "Headers.delete": ["string"],
  "Headers.forEach": ["function"],
  "Headers.get": ["string"],
  "Headers.getAll": ["string"],
  "Headers.has": ["string"],
  "Headers.set": ["string", "string"],
  "Navigator.sendBeacon": ["string"],
  "ReadableStreamBYOBReader.read": ["ArrayBufferView"],
  "Request constructor": ["Request or string"],
  "Response.json": ["Value"],
  "Response.redirect": ["string"],
  "Scheduler.wait": ["number"],
  "TextEncoder.encodeInto": ["string", "Uint8Array"],
  "URL constructor": ["USVString"],
  "URL.canParse": ["USVString"],
  "URL.parse": ["USVString"],
  "URLSearchParams.append": ["USVString", "USVString"],
  "URLSearchParams.delete": ["USVString"],
  "URLSearchParams.forEach": ["function"],
  "URLSearchParams.get": ["USVString"],
  "URLSearchParams.getAll": ["USVString"],
  "URLSearchParams.has": ["USVString"],
  "URLSearchParams.set": ["USVString", "USVString"],
  "WebSocket constructor": ["string"],
  "WebSocket.send": ["ArrayBuffer or ArrayBufferView or string"],
  "WebSocket.serializeAttachment": ["Value"],
  "WebSocketRequestResponsePair constructor": ["string", "string"],
};

/** What workerd says of a missing or wrong argument, counted from 0. */
function wrongArgument(context: string, at: number, type: string): string {
  const made = context.indexOf(" constructor");
  const wrong = `parameter ${at + 1} is not of type '${type}'.`;
  if (made !== -1) return `Failed to construct '${context.slice(0, made)}': constructor ${wrong}`;
  const dot = context.indexOf(".");
  return `Failed to execute '${context.slice(dot + 1)}' on '${context.slice(0, dot)}': ${wrong}`;
}

/** Throws the TypeError for a call with too few arguments. */
export function requireArguments(given: number, required: number, context: string): void {
  if (given < required) {
    const type = PARAMETERS[context]?.[given];
    if (type !== undefined) throw new TypeError(wrongArgument(context, given, type));
    const noun = required === 1 ? "argument" : "arguments";
    throw new TypeError(`${context}: ${required} ${noun} required, but only ${given} present`);
  }
}

/** Handed by the platform to constructors that user code may not call. */
export const internalToken: unique symbol = Symbol("internal");

/** The first line of a constructor that only the platform may call. */
export function requireInternal(token: unknown): void {
  if (token !== internalToken) throw new TypeError("Illegal constructor");
}

export function isObject(value: unknown): value is object {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}

// ---- Primitive types -------------------------------------------------------------------------

export const any: Converter<unknown> = (value) => value;

export const boolean: Converter<boolean> = (value) => !!value;

export const DOMString: Converter<string> = (value, context) => {
  if (typeof value === "string") return value;
  if (typeof value === "symbol") throw new TypeError(`${context} is a symbol, which cannot be converted to a string`);
  return `${value as string}`;
};

export const USVString: Converter<string> = (value, context) => toWellFormed(DOMString(value, context));

function toNumber(value: unknown, context: string): number {
  if (typeof value === "number") return value;
  if (typeof value === "bigint" || typeof value === "symbol") {
    throw new TypeError(`${context} is a ${typeof value}, which cannot be converted to a number`);
  }
  return +(value as number);
}

export const unrestrictedDouble: Converter<number> = toNumber;

export const double: Converter<number> = (value, context) => {
  const number = toNumber(value, context);
  if (!numberIsFinite(number)) throw new TypeError(`${context} is not a finite number`);
  return number;
};

type IntegerMode = "wrap" | "enforceRange" | "clamp";

/** "ConvertToInt" of Web IDL. 64-bit kinds keep to what a double holds exactly, as the text says. */
function integer(bits: 8 | 16 | 32 | 64, signed: boolean, mode: IntegerMode): Converter<number> {
  const upper = bits === 64 ? 2 ** 53 - 1 : signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  const lower = bits === 64 ? (signed ? -(2 ** 53) + 1 : 0) : signed ? -(2 ** (bits - 1)) : 0;
  const modulus = 2 ** bits;
  return (value, context) => {
    let number = toNumber(value, context);
    if (mode === "enforceRange") {
      if (!numberIsFinite(number)) throw new TypeError(`${context} is not a finite number`);
      number = trunc(number);
      if (number < lower || number > upper) {
        throw new TypeError(`${context} is outside the accepted range of ${lower} to ${upper}`);
      }
      return number + 0;
    }
    if (mode === "clamp" && !numberIsNaN(number)) return roundHalfEven(min(max(number, lower), upper)) + 0;
    if (!numberIsFinite(number) || number === 0) return 0;
    number = trunc(number) % modulus;
    if (number < 0) number += modulus;
    // Adding zero turns -0 into 0.
    return signed && number >= modulus / 2 ? number - modulus : number + 0;
  };
}

function roundHalfEven(number: number): number {
  const below = floor(number);
  const rest = number - below;
  if (rest < 0.5 || (rest === 0.5 && abs(below) % 2 === 0)) return below;
  return below + 1;
}

export const octet: Converter<number> = integer(8, false, "wrap");
export const octetEnforceRange: Converter<number> = integer(8, false, "enforceRange");
export const short: Converter<number> = integer(16, true, "wrap");
export const unsignedShort: Converter<number> = integer(16, false, "wrap");
export const unsignedShortEnforceRange: Converter<number> = integer(16, false, "enforceRange");
export const long: Converter<number> = integer(32, true, "wrap");
export const unsignedLong: Converter<number> = integer(32, false, "wrap");
export const unsignedLongEnforceRange: Converter<number> = integer(32, false, "enforceRange");
export const longLong: Converter<number> = integer(64, true, "wrap");
export const longLongClamp: Converter<number> = integer(64, true, "clamp");
export const unsignedLongLong: Converter<number> = integer(64, false, "wrap");
export const unsignedLongLongEnforceRange: Converter<number> = integer(64, false, "enforceRange");

// ---- Objects and functions -------------------------------------------------------------------

export const object: Converter<object> = (value, context) => {
  if (!isObject(value)) throw new TypeError(`${context} is not an object`);
  return value;
};

export type AnyFunction = (this: unknown, ...args: never[]) => unknown;

export const callbackFunction: Converter<AnyFunction> = (value, context) => {
  if (typeof value !== "function") throw new TypeError(`${context} is not a function`);
  return value as AnyFunction;
};

/** An interface type: `is` is the brand check. */
export function interfaceType<T>(name: string, is: (value: unknown) => value is T): Converter<T> {
  return (value, context) => {
    if (!is(value)) throw new TypeError(`${context} is not of type '${name}'`);
    return value;
  };
}

export function nullable<T>(convert: Converter<T>): Converter<T | null> {
  return (value, context) => (value === null || value === undefined ? null : convert(value, context));
}

/** An IDL enum as a plain union of strings. */
export function enumeration<const V extends readonly string[]>(name: string, values: V): Converter<V[number]> {
  return (value, context) => {
    const text = DOMString(value, context);
    for (let i = 0; i < values.length; i++) if (values[i] === text) return text;
    throw new TypeError(`${context} '${text}' is not a valid value for enumeration ${name}`);
  };
}

// ---- Buffers ---------------------------------------------------------------------------------

export function isArrayBuffer(value: unknown): value is ArrayBuffer {
  if (typeof value !== "object" || value === null) return false;
  try {
    bufferBytes(value);
    return true;
  } catch {
    return false;
  }
}

export function isSharedArrayBuffer(value: unknown): value is SharedArrayBuffer {
  if (sharedBytes === undefined || typeof value !== "object" || value === null) return false;
  try {
    sharedBytes(value);
    return true;
  } catch {
    return false;
  }
}

export function isArrayBufferView(value: unknown): value is ArrayBufferView {
  return isView(value);
}

export function isUint8Array(value: unknown): value is Uint8Array {
  return typedArrayTag(value) === "Uint8Array";
}

/** The name of a typed array's constructor (`"Int8Array"`), or undefined: nothing can fake it. */
export function typedArrayName(value: unknown): string | undefined {
  return typedArrayTag(value) as string | undefined;
}

export function viewBuffer(view: ArrayBufferView): ArrayBufferLike {
  return typedArrayTag(view) === undefined ? dataViewBuffer(view) : typedArrayBuffer(view);
}

export function viewByteOffset(view: ArrayBufferView): number {
  return typedArrayTag(view) === undefined ? dataViewOffset(view) : typedArrayOffset(view);
}

export function viewByteLength(view: ArrayBufferView): number {
  return typedArrayTag(view) === undefined ? dataViewBytes(view) : typedArrayBytes(view);
}

export type BufferSource = ArrayBuffer | ArrayBufferView;

export function isBufferSource(value: unknown): value is BufferSource {
  return isView(value) || isArrayBuffer(value);
}

/** `ArrayBuffer` or a view; also shared memory when `allowShared` (Web IDL's `[AllowShared]`). */
function bufferConverter(allowShared: boolean, views: boolean): Converter<BufferSource> {
  return (value, context) => {
    if (isView(value)) {
      if (!allowShared && !isArrayBuffer(viewBuffer(value))) {
        throw new TypeError(`${context} is a view on shared memory, which is not allowed`);
      }
      return value;
    }
    if (views) throw new TypeError(`${context} is not an ArrayBufferView`);
    if (isArrayBuffer(value)) return value;
    if (allowShared && isSharedArrayBuffer(value)) return value as unknown as ArrayBuffer;
    throw new TypeError(`${context} is not an ArrayBuffer or a view on one`);
  };
}

export const bufferSource: Converter<BufferSource> = bufferConverter(false, false);
export const bufferSourceAllowShared: Converter<BufferSource> = bufferConverter(true, false);
export const arrayBufferView: Converter<ArrayBufferView> = bufferConverter(false, true) as Converter<ArrayBufferView>;

export const uint8Array: Converter<Uint8Array> = (value, context) => {
  if (!isUint8Array(value)) throw new TypeError(`${context} is not a Uint8Array`);
  return value;
};

/** The bytes behind a buffer source, not copied: the view shares the caller's memory. */
export function bytesView(source: BufferSource): Uint8Array {
  const buffer = isView(source) ? viewBuffer(source) : source;
  // There is no view on a detached buffer; it has no bytes.
  if (isArrayBuffer(buffer) && bufferDetached(buffer) === true) return new Uint8Array(0);
  if (!isView(source)) return new Uint8Array(source);
  return new Uint8Array(viewBuffer(source) as ArrayBuffer, viewByteOffset(source), viewByteLength(source));
}

/** "Get a copy of the bytes held by the buffer source"; a detached one has none. */
export function bytesCopy(source: BufferSource): Uint8Array {
  return new Uint8Array(bytesView(source));
}

// ---- Sequences, records, dictionaries --------------------------------------------------------

/** `sequence<T>`: any iterable object, read to its end. */
export function sequence<T>(convert: Converter<T>): Converter<T[]> {
  return (value, context) => {
    if (!isObject(value)) throw new TypeError(`${context} is not a sequence`);
    const method = (value as { [Symbol.iterator]?: unknown })[SymbolIterator];
    if (method === undefined || method === null) throw new TypeError(`${context} is not iterable`);
    return sequenceFromMethod(value, method, convert, context);
  };
}

/**
 * The second half of `sequence`, for unions that have already looked up `Symbol.iterator` (a lookup
 * is observable and must happen once).
 */
export function sequenceFromMethod<T>(value: object, method: unknown, convert: Converter<T>, context: string): T[] {
  if (typeof method !== "function") throw new TypeError(`${context} is not iterable`);
  const iterator = Reflect_apply(method as AnyFunction, value, []) as { next?: unknown };
  if (!isObject(iterator)) throw new TypeError(`${context} has an iterator that is not an object`);
  const next = iterator.next as AnyFunction;
  const result: T[] = [];
  for (;;) {
    const step = Reflect_apply(next, iterator, []) as { done?: unknown; value?: unknown };
    if (!isObject(step)) throw new TypeError(`${context} has an iterator whose result is not an object`);
    if (step.done) return result;
    const item = convert(step.value, `${context}[${result.length}]`);
    defineProperty(result, result.length, { value: item, writable: true, enumerable: true, configurable: true });
  }
}

const Reflect_apply = Reflect.apply as (target: AnyFunction, receiver: unknown, args: unknown[]) => unknown;

/** `record<K, V>` as a list of pairs in own property order; a repeated key keeps its first place. */
export function record<V>(key: Converter<string>, convert: Converter<V>): Converter<[string, V][]> {
  return (value, context) => {
    if (!isObject(value)) throw new TypeError(`${context} is not an object`);
    const result: [string, V][] = [];
    const places = new Map<string, number>();
    for (const name of ownKeys(value)) {
      const descriptor = getOwnPropertyDescriptor(value, name);
      if (descriptor === undefined || !descriptor.enumerable) continue;
      const typedName = key(name, `${context}: key`);
      const typedValue = convert((value as Record<PropertyKey, unknown>)[name], `${context}: value of '${typedName}'`);
      const place = places.get(typedName);
      if (place === undefined) {
        places.set(typedName, result.length);
        result[result.length] = [typedName, typedValue];
      } else {
        result[place] = [typedName, typedValue];
      }
    }
    return result;
  };
}

export interface OptionalMember<T> {
  convert: Converter<T>;
  kind: "optional";
}
export interface RequiredMember<T> {
  convert: Converter<T>;
  kind: "required";
}
export interface DefaultMember<T> {
  convert: Converter<T>;
  kind: "default";
  /** Called afresh for each dictionary, so that a default list or object is never shared. */
  fallback: () => T;
}
export type Member<T> = OptionalMember<T> | RequiredMember<T> | DefaultMember<T>;

/** A member that is simply absent when not given. */
export function optional<T>(convert: Converter<T>): OptionalMember<T> {
  return { convert, kind: "optional" };
}

export function required<T>(convert: Converter<T>): RequiredMember<T> {
  return { convert, kind: "required" };
}

export function withDefault<T>(convert: Converter<T>, fallback: () => T): DefaultMember<T> {
  return { convert, kind: "default", fallback };
}

export type Dictionary<M> = {
  [K in keyof M]: M[K] extends OptionalMember<infer T>
    ? T | undefined
    : M[K] extends RequiredMember<infer T> | DefaultMember<infer T>
      ? T
      : never;
};

/**
 * A dictionary type. Members are read in alphabetical order, after those of `parent`. The result has
 * no prototype, and absent members are own properties that hold undefined.
 */
export function dictionary<M extends Record<string, Member<unknown>>, P extends object = object>(
  name: string,
  members: M,
  parent?: Converter<P>,
  missing?: (member: string) => string,
): Converter<Dictionary<M> & P> {
  const names = Object.keys(members).sort();
  return (value, context) => {
    if (value !== undefined && value !== null && !isObject(value)) {
      throw new TypeError(`${context} is not an object, so it cannot be converted to a ${name}`);
    }
    const result = (parent === undefined ? create(null) : parent(value, context)) as Record<string, unknown>;
    for (let i = 0; i < names.length; i++) {
      const memberName = names[i] as string;
      const member = members[memberName] as Member<unknown>;
      const given = value === undefined || value === null ? undefined : (value as Record<string, unknown>)[memberName];
      if (given !== undefined) {
        result[memberName] = member.convert(given, `${context}: member '${memberName}'`);
      } else if (member.kind === "default") {
        result[memberName] = member.fallback();
      } else if (member.kind === "required") {
        throw new TypeError(
          missing?.(memberName) ?? `${context}: required member '${memberName}' of ${name} is undefined`,
        );
      } else {
        result[memberName] = undefined;
      }
    }
    return result as Dictionary<M> & P;
  };
}

// ---- Interfaces ------------------------------------------------------------------------------

export interface InterfaceShape {
  /** The IDL name when it differs from the class's own. */
  name?: string;
  /** Constants of the interface, put on it and on its prototype. */
  constants?: Record<string, number>;
}

/** Makes every own string-named member of `target` enumerable, as IDL operations and attributes are. */
export function makeEnumerable(target: object, except: readonly string[]): void {
  for (const key of ownKeys(target)) {
    if (typeof key !== "string" || except.includes(key)) continue;
    const descriptor = getOwnPropertyDescriptor(target, key);
    if (descriptor === undefined || !descriptor.configurable || descriptor.enumerable) continue;
    defineProperty(target, key, { ...descriptor, enumerable: true });
  }
}

export function defineToStringTag(prototype: object, name: string): void {
  defineProperty(prototype, SymbolToStringTag, { value: name, writable: false, enumerable: false, configurable: true });
}

/** Prototypes of the platform's interfaces, with their names. */
const interfacePrototypes = new Map<object, string>();

/** Whether `value` is the prototype of one of the platform's interfaces. */
export function isInterfacePrototype(value: object): boolean {
  return interfacePrototypes.has(value);
}

let tagged = true;

/** Takes the tags away, for Workers of before the flag `set_tostring_tag`, or gives them back. */
export function keepToStringTags(keep: boolean): void {
  if (keep === tagged) return;
  tagged = keep;
  for (const [prototype, name] of interfacePrototypes) {
    if (keep) defineToStringTag(prototype, name);
    else Reflect.deleteProperty(prototype, SymbolToStringTag);
  }
}

/**
 * Gives a class the shape of an IDL interface. Call it once, right after the class. Members whose
 * name starts with an underscore or is a symbol stay as they are.
 */
export function defineInterface(constructor: Class, shape: InterfaceShape = {}): void {
  const name = shape.name ?? constructor.name;
  const prototype = constructor.prototype as object;
  interfacePrototypes.set(prototype, name);
  makeEnumerable(prototype, ["constructor"]);
  makeEnumerable(constructor, ["length", "name", "prototype"]);
  if (shape.name !== undefined) defineProperty(constructor, "name", { value: name, configurable: true });
  defineToStringTag(prototype, name);
  for (const [key, value] of Object.entries(shape.constants ?? {})) {
    const descriptor = { value, writable: false, enumerable: true, configurable: false };
    defineProperty(constructor, key, descriptor);
    defineProperty(prototype, key, descriptor);
  }
}

/** Puts `method` on the prototype under `symbol` too (`[Symbol.iterator]` is `entries`). */
export function aliasMember(prototype: object, alias: PropertyKey, method: PropertyKey): void {
  const value = (prototype as Record<PropertyKey, unknown>)[method];
  defineProperty(prototype, alias, { value, writable: true, enumerable: false, configurable: true });
}

/** The pairs of a live list: `at(object, index)` is asked again at every step. */
export type PairAt<T> = (target: T, index: number) => readonly [unknown, unknown] | undefined;

const iteratorPrototype = getPrototypeOf(getPrototypeOf([][SymbolIterator]()) as object) as object;

type IterationKind = "entries" | "keys" | "values";

/**
 * `iterable<K, V>` of Web IDL: entries, keys, values, forEach and `Symbol.iterator` over a live list.
 * `at` must itself throw on a wrong receiver (reading a `#private` field does).
 */
export function definePairIterable<T extends object>(constructor: Class<T>, name: string, at: PairAt<T>): void {
  class PairIterator {
    #target: T;
    #kind: IterationKind;
    #index = 0;

    constructor(target: T, kind: IterationKind) {
      this.#target = target;
      this.#kind = kind;
    }

    next(): IteratorResult<unknown> {
      const pair = at(this.#target, this.#index);
      if (pair === undefined) return { value: undefined, done: true };
      this.#index++;
      const kind = this.#kind;
      const value = kind === "keys" ? pair[0] : kind === "values" ? pair[1] : [pair[0], pair[1]];
      return { value, done: false };
    }
  }
  const steps = PairIterator.prototype as { constructor?: unknown };
  delete steps.constructor;
  Object.setPrototypeOf(steps, iteratorPrototype);
  makeEnumerable(steps, []);
  defineToStringTag(steps, `${name} Iterator`);

  const methods = {
    entries(this: T): unknown {
      at(this, 0);
      return new PairIterator(this, "entries");
    },
    keys(this: T): unknown {
      at(this, 0);
      return new PairIterator(this, "keys");
    },
    values(this: T): unknown {
      at(this, 0);
      return new PairIterator(this, "values");
    },
    forEach(this: T, callback: unknown): void {
      at(this, 0);
      requireArguments(arguments.length, 1, `${name}.forEach`);
      if (typeof callback !== "function") throw new TypeError(wrongArgument(`${name}.forEach`, 0, "function"));
      const call = callback as AnyFunction;
      const receiver: unknown = arguments[1];
      for (let i = 0, pair = at(this, 0); pair !== undefined; pair = at(this, ++i)) {
        Reflect_apply(call, receiver, [pair[1], pair[0], this]);
      }
    },
  };
  const prototype = constructor.prototype as object;
  for (const key of ["entries", "keys", "values", "forEach"] as const) {
    defineProperty(prototype, key, { value: methods[key], writable: true, enumerable: true, configurable: true });
  }
  aliasMember(prototype, SymbolIterator, "entries");
}

/** A promise that already failed: what an IDL operation returning a promise does with a throw. */
export function rejected(reason: unknown): Promise<never> {
  return Promise_reject(reason);
}

const Promise_reject = Promise.reject.bind(Promise) as (reason: unknown) => Promise<never>;

export { SymbolAsyncIterator, SymbolIterator, SymbolToStringTag };
