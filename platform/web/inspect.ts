// How values look to a person: what `console.log` prints, and Node.js's `util.inspect` behind it.
//
// The look is Node's: depth 2, single quotes, short things on one line, `<ref *1>` for cycles. Own
// properties are shown, accessors are named but not run; objects of the platform's own classes show
// what their getters give, and its map-like ones show their entries. Errors are in `inspect-error.ts`,
// laying lines out in `inspect-layout.ts`.
//
// Deliberately absent: colours, and looking into iterators and weak collections.
//
// Invariant: inspecting never throws because of the value: a getter, proxy or `toString` that throws
// is shown as such. It also ends: see the bounds below.

import { engine } from "../ops.ts";
import { inspectError, isError } from "./inspect-error.ts";
import { type Braces, groupEntries, layOut } from "./inspect-layout.ts";
import { isInterfacePrototype, typedArrayName } from "./webidl.ts";

export interface InspectOptions {
  /** Levels of nested objects shown; null or Infinity for all (up to DEPTH_MAX). */
  depth?: number | null;
  showHidden?: boolean;
  breakLength?: number;
  compact?: number | boolean;
  maxArrayLength?: number | null;
  maxStringLength?: number | null;
  sorted?: boolean | ((a: string, b: string) => number);
  getters?: boolean | "get" | "set";
  showProxy?: boolean;
  customInspect?: boolean;
  numericSeparator?: boolean;
  colors?: boolean;
}

/** The state of one inspection. */
export interface Inspection {
  depth: number;
  showHidden: boolean;
  breakLength: number;
  compact: number;
  maxArrayLength: number;
  maxStringLength: number;
  sorted: boolean | ((a: string, b: string) => number);
  getters: boolean | "get" | "set";
  showProxy: boolean;
  customInspect: boolean;
  /** Objects on the way down to the one being shown. */
  readonly seen: object[];
  /** Objects that something below them refers to, with the number of the reference. */
  readonly circular: Map<object, number>;
  indentation: number;
  currentDepth: number;
  /** Values that may still be shown. */
  budget: number;
  readonly given: InspectOptions;
}

/** Deepest nesting, whatever `depth` asks for: the engine's stack is not endless. */
const DEPTH_MAX = 200;

/** Values that one inspection shows before it gives up on the rest. */
const VALUES_MAX = 100_000;

const inspectCustom: unique symbol = Symbol.for("nodejs.util.inspect.custom") as never;
export { inspectCustom };

const { getOwnPropertyDescriptor, getPrototypeOf, keys: objectKeys } = Object;
const { ownKeys } = Reflect;
const toStringTagOf = Object.prototype.toString;
const IDENTIFIER = /^[a-zA-Z_][a-zA-Z_0-9]*$/;

export function inspect(value: unknown, options: InspectOptions = {}): string {
  return formatValue(newInspection(options), value, 0, true);
}

function newInspection(options: InspectOptions): Inspection {
  const { compact } = options;
  return {
    depth: limit(options.depth, 2, DEPTH_MAX),
    showHidden: options.showHidden === true,
    breakLength: options.breakLength ?? 128,
    compact: compact === undefined || compact === true ? 3 : compact === false ? 0 : compact,
    maxArrayLength: limit(options.maxArrayLength, 100, Infinity),
    maxStringLength: limit(options.maxStringLength, 10_000, Infinity),
    sorted: options.sorted ?? false,
    getters: options.getters ?? false,
    showProxy: options.showProxy === true,
    customInspect: options.customInspect !== false,
    seen: [],
    circular: new Map(),
    indentation: 0,
    currentDepth: 0,
    budget: VALUES_MAX,
    given: options,
  };
}

function limit(value: number | null | undefined, usual: number, max: number): number {
  return value === undefined ? usual : value === null ? max : Math.min(value, max);
}

// ---- Values ------------------------------------------------------------------------------------

/** Shows one value; `top` allows its own `[inspect]()` to be a plain call. */
export function formatValue(cx: Inspection, value: unknown, level: number, top: boolean = false): string {
  if ((typeof value !== "object" || value === null) && typeof value !== "function") {
    return formatPrimitive(cx, value, top);
  }
  cx.budget -= 1;
  if (cx.budget < 0) {
    return "...";
  }
  try {
    return formatReference(cx, value, level);
  } catch (error) {
    return `<inspection threw ${isError(error) ? safeString(error.message) : "something that is not an Error"}>`;
  }
}

function safeString(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function formatReference(cx: Inspection, given: object, level: number): string {
  let value = given;
  for (let details = engine.proxyDetails(value); details !== undefined; details = engine.proxyDetails(value)) {
    const [target, handler] = details;
    if (target === null || target === undefined) {
      return "<Revoked Proxy>";
    }
    if (cx.showProxy) {
      const parts = [formatValue(cx, target, level + 1), formatValue(cx, handler, level + 1)];
      return layOut(cx, parts, "", ["Proxy [", "]"], level, false);
    }
    value = target as object;
  }
  if (cx.customInspect) {
    const custom = formatCustom(cx, value, given, level);
    if (custom !== undefined) {
      return custom;
    }
  }
  if (cx.seen.includes(value)) {
    let reference = cx.circular.get(value);
    if (reference === undefined) {
      reference = cx.circular.size + 1;
      cx.circular.set(value, reference);
    }
    return `[Circular *${reference}]`;
  }
  return formatObject(cx, value, level);
}

/** Lets an object show itself through `[Symbol.for("nodejs.util.inspect.custom")]`. */
function formatCustom(cx: Inspection, value: object, receiver: object, level: number): string | undefined {
  const method = (value as { [inspectCustom]?: unknown })[inspectCustom];
  if (typeof method !== "function" || method === inspect) {
    return undefined;
  }
  const depth = cx.depth - level;
  const options = { ...cx.given, depth, stylize: (text: unknown): string => `${text as string}` };
  const shown: unknown = Reflect.apply(method, receiver, [depth, options, inspect]);
  if (shown === receiver) {
    return undefined;
  }
  return typeof shown === "string"
    ? shown.replaceAll("\n", `\n${" ".repeat(cx.indentation)}`)
    : formatValue(cx, shown, level);
}

function formatPrimitive(cx: Inspection, value: unknown, top: boolean): string {
  switch (typeof value) {
    case "string":
      return formatString(cx, value, top);
    case "number":
      return Object.is(value, -0) ? "-0" : `${value}`;
    case "bigint":
      return `${value}n`;
    case "symbol":
      return Symbol.prototype.toString.call(value);
    default:
      return `${value as string}`;
  }
}

/** A string shorter than this stays on one line whatever the width. */
const WRAPPED_LENGTH_MIN = 16;

function formatString(cx: Inspection, value: string, top: boolean): string {
  const text = value.length > cx.maxStringLength ? value.slice(0, cx.maxStringLength) : value;
  const left = value.length - text.length;
  const trailer = left > 0 ? `... ${left} more character${left > 1 ? "s" : ""}` : "";
  const width = cx.breakLength - cx.indentation - 4;
  if (!top && text.length > WRAPPED_LENGTH_MIN && text.length > width && text.includes("\n")) {
    const lines = text.split(/(?<=\n)/).map(quote);
    return lines.join(` +\n${" ".repeat(cx.indentation + 2)}`) + trailer;
  }
  return quote(text) + trailer;
}

const NEEDS_ESCAPE = /[\0-\x1f'\\\x7f-\x9f]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
const ESCAPED = /[\0-\x1f'\\\x7f-\x9f]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const ESCAPES: Readonly<Record<string, string>> = {
  "\b": "\\b",
  "\t": "\\t",
  "\n": "\\n",
  "\f": "\\f",
  "\r": "\\r",
  "\\": "\\\\",
};

export function quote(text: string): string {
  if (!NEEDS_ESCAPE.test(text)) {
    return `'${text}'`;
  }
  const mark = !text.includes("'") ? "'" : !text.includes('"') ? '"' : !/[`]|\$\{/.test(text) ? "`" : "'";
  const escaped = text.replace(ESCAPED, (char) => {
    if (char === "'") {
      return mark === "'" ? "\\'" : "'";
    }
    const code = char.charCodeAt(0);
    return ESCAPES[char] ?? (code > 0xff ? `\\u${code.toString(16)}` : `\\x${code.toString(16).toUpperCase().padStart(2, "0")}`);
  });
  return `${mark}${escaped}${mark}`;
}

// ---- Objects -----------------------------------------------------------------------------------

/** The name of the nearest constructor, or null for an object without prototype. */
export function constructorName(value: object): string | null {
  let holder: object | null = value;
  let hops = 0;
  while (holder !== null && hops < DEPTH_MAX) {
    const descriptor = getOwnPropertyDescriptor(holder, "constructor");
    const made: unknown = descriptor?.value;
    if (typeof made === "function" && made.name !== "" && isInstance(value, made)) {
      return `${made.name}`;
    }
    holder = getPrototypeOf(holder) as object | null;
    hops += 1;
  }
  return null;
}

function isInstance(value: object, constructor: unknown): boolean {
  const prototype = (constructor as { prototype?: unknown }).prototype;
  for (let holder = getPrototypeOf(value) as object | null; holder !== null; ) {
    if (holder === prototype) {
      return true;
    }
    holder = getPrototypeOf(holder) as object | null;
  }
  return false;
}

interface Shape {
  braces: Braces;
  /** Goes before the braces; alone when there is nothing to put in them. */
  base: string;
  /** What is inside beside named properties. */
  entries: (cx: Inspection, level: number) => string[];
  keys: PropertyKey[];
  isList: boolean;
  /** Named properties are read from getters of the prototype. */
  attributes?: [name: string, read: () => unknown][];
  /** Shown as `base` alone when nothing else is there. */
  bare?: boolean;
  /** Has no entries, so that it is shown in full at any depth. */
  empty?: boolean;
}

const noEntries = (): string[] => [];

function formatObject(cx: Inspection, value: object, level: number): string {
  const shape = shapeOf(cx, value);
  if (shape.bare === true && shape.keys.length === 0) {
    return shape.base;
  }
  if (shape.empty === true && shape.keys.length === 0) {
    return `${shape.braces[0]}${shape.braces[1]}`;
  }
  if (level > cx.depth) {
    return `[${constructorName(value) ?? "Object: null prototype"}]`;
  }
  cx.seen.push(value);
  cx.currentDepth = level;
  const inner = level + 1;
  let parts: string[];
  let listLength: number;
  try {
    parts = shape.entries(cx, inner);
    listLength = parts.length;
    for (const key of sortKeys(cx, shape.keys)) {
      parts.push(formatProperty(cx, value, key, inner));
    }
    for (const [name, read] of shape.attributes ?? []) {
      parts.push(`${name}: ${indented(cx, 2, () => formatAttribute(cx, read, inner))}`);
    }
  } finally {
    cx.seen.pop();
  }
  const { braces } = shape;
  const reference = cx.circular.get(value);
  if (reference !== undefined) {
    const mark = `<ref *${reference}> `;
    if (shape.base === "") {
      braces[0] = mark + braces[0];
    } else {
      shape.base = mark + shape.base;
    }
  }
  if (parts.length === 0 && shape.base === "") {
    return `${braces[0]}${braces[1]}`;
  }
  if (parts.length === 0) {
    return `${shape.base} ${braces[0]}${braces[1]}`;
  }
  const grouped = shape.isList && listLength > 6 && parts.length === listLength ? groupEntries(cx, parts, value) : parts;
  return layOut(cx, grouped, shape.base, braces, level, grouped !== parts);
}

function formatAttribute(cx: Inspection, read: () => unknown, level: number): string {
  let value: unknown;
  try {
    value = read();
  } catch {
    return "<threw>";
  }
  return formatValue(cx, value, level);
}

export function indented<T>(cx: Inspection, by: number, work: () => T): T {
  cx.indentation += by;
  try {
    return work();
  } finally {
    cx.indentation -= by;
  }
}

function visibleKeys(cx: Inspection, value: object, isList: boolean): PropertyKey[] {
  let names: PropertyKey[];
  if (cx.showHidden) {
    names = ownKeys(value);
  } else {
    names = objectKeysOf(value);
    for (const symbol of Object.getOwnPropertySymbols(value)) {
      if (getOwnPropertyDescriptor(value, symbol)?.enumerable === true) {
        names.push(symbol);
      }
    }
  }
  return isList ? names.filter((name) => typeof name === "symbol" || !/^(?:0|[1-9][0-9]*|length)$/.test(name as string)) : names;
}

/** `Object.keys`, but a module whose binding is not initialised yet does not throw. */
function objectKeysOf(value: object): PropertyKey[] {
  try {
    return objectKeys(value);
  } catch {
    return ownKeys(value).filter((name) => typeof name === "string");
  }
}

function sortKeys(cx: Inspection, keys: PropertyKey[]): PropertyKey[] {
  if (cx.sorted === false) {
    return keys;
  }
  const compare = typeof cx.sorted === "function" ? cx.sorted : undefined;
  return keys.toSorted((a, b) => {
    const left = String(a);
    const right = String(b);
    return compare === undefined ? (left < right ? -1 : left > right ? 1 : 0) : compare(left, right);
  });
}

export function formatKey(key: PropertyKey): string {
  if (typeof key === "symbol") {
    return `[${Symbol.prototype.toString.call(key)}]`;
  }
  const name = String(key);
  return name === "__proto__" ? "['__proto__']" : IDENTIFIER.test(name) ? name : quote(name);
}

function formatProperty(cx: Inspection, value: object, key: PropertyKey, level: number): string {
  const descriptor = getOwnPropertyDescriptor(value, key);
  const shown = descriptor === undefined ? "<gone>" : formatDescriptor(cx, value, descriptor, level);
  const name = formatKey(key);
  return `${descriptor?.enumerable === false ? `[${name}]` : name}: ${shown}`;
}

function formatDescriptor(
  cx: Inspection,
  value: object,
  descriptor: PropertyDescriptor,
  level: number,
): string {
  if (descriptor.get === undefined && descriptor.set === undefined) {
    return indented(cx, 2, () => formatValue(cx, descriptor.value, level));
  }
  const label = descriptor.get === undefined ? "Setter" : descriptor.set === undefined ? "Getter" : "Getter/Setter";
  const runs =
    cx.getters === true ||
    (cx.getters === "get" && descriptor.set === undefined) ||
    (cx.getters === "set" && descriptor.set !== undefined);
  if (!runs || descriptor.get === undefined) {
    return `[${label}]`;
  }
  try {
    const got: unknown = Reflect.apply(descriptor.get, value, []);
    return `[${label}: ${formatValue(cx, got, level)}]`;
  } catch (error) {
    return `[${label}: <Inspection threw (${isError(error) ? safeString(error.message) : "?"})>]`;
  }
}

// ---- Shapes by kind ----------------------------------------------------------------------------

function prefixOf(value: object, fallback: string, size?: number): string {
  const name = constructorName(value);
  const counted = size === undefined ? "" : `(${size})`;
  const tag = tagOf(value);
  const shown = name === null ? `[${fallback}${counted}: null prototype]` : `${name}${counted}`;
  return tag === "" || tag === (name ?? fallback) ? `${shown} ` : `${shown} [${tag}] `;
}

/** The `Symbol.toStringTag`, but for one that is listed among the properties. */
function tagOf(value: object): string {
  try {
    if (getOwnPropertyDescriptor(value, Symbol.toStringTag)?.enumerable === true) {
      return "";
    }
    const tag = (value as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag];
    return typeof tag === "string" ? tag : "";
  } catch {
    return "";
  }
}

function shapeOf(cx: Inspection, value: object): Shape {
  if (Array.isArray(value)) {
    return arrayShape(cx, value);
  }
  if (typeof value === "function") {
    return { braces: ["{", "}"], base: functionBase(value), entries: noEntries, keys: functionKeys(cx, value), isList: false, bare: true };
  }
  if (isError(value)) {
    return inspectError(cx, value, visibleKeys(cx, value, false));
  }
  return collectionShape(cx, value) ?? builtinShape(cx, value) ?? platformShape(cx, value) ?? plainShape(cx, value);
}

function functionKeys(cx: Inspection, value: object): PropertyKey[] {
  return visibleKeys(cx, value, false).filter((key) => key !== "prototype" || cx.showHidden);
}

function arrayShape(cx: Inspection, value: unknown[]): Shape {
  const prefix = constructorName(value) === "Array" && tagOf(value) === "" ? "" : prefixOf(value, "Array", value.length);
  return {
    braces: [`${prefix}[`, "]"],
    base: "",
    entries: (inner, level) => arrayEntries(inner, value, level),
    keys: visibleKeys(cx, value, true),
    isList: true,
    empty: value.length === 0,
  };
}

function arrayEntries(cx: Inspection, value: unknown[], level: number): string[] {
  const parts: string[] = [];
  let at = 0;
  while (at < value.length && parts.length < cx.maxArrayLength) {
    if (Object.hasOwn(value, at)) {
      parts.push(formatElement(cx, value, at, level));
      at += 1;
      continue;
    }
    const start = at;
    const next = ownKeys(value).find((key) => typeof key === "string" && /^(?:0|[1-9][0-9]*)$/.test(key) && Number(key) > start);
    at = next === undefined ? value.length : Number(next);
    parts.push(`<${at - start} empty item${at - start > 1 ? "s" : ""}>`);
  }
  return withRest(parts, value.length - at);
}

function formatElement(cx: Inspection, value: unknown[], at: number, level: number): string {
  const descriptor = getOwnPropertyDescriptor(value, at) as PropertyDescriptor;
  return formatDescriptor(cx, value, descriptor, level);
}

function withRest(parts: string[], left: number): string[] {
  if (left > 0) {
    parts.push(`... ${left} more item${left > 1 ? "s" : ""}`);
  }
  return parts;
}

function functionBase(value: Function): string {
  const source = Function.prototype.toString.call(value);
  if (source.startsWith("class") && source.endsWith("}")) {
    return classBase(value);
  }
  const kind = functionKind(value);
  const name = `${value.name}`;
  const owner = constructorName(value);
  const base = name === "" ? `[${kind} (anonymous)]` : `[${kind}: ${name}]`;
  return owner === null ? `${base.slice(0, -1)} (null prototype)]` : base;
}

function functionKind(value: Function): string {
  const tag = toStringTagOf.call(value).slice("[object ".length, -1);
  return /^(?:Async|Generator|AsyncGenerator)Function$/.test(tag) ? tag : tag === "GeneratorFunction" ? tag : "Function";
}

function classBase(value: Function): string {
  const name = Object.hasOwn(value, "name") && value.name !== "" ? value.name : "(anonymous)";
  const parent = getPrototypeOf(value) as { name?: unknown } | null;
  const heritage =
    parent === null ? " extends null" : typeof parent.name === "string" && parent.name !== "" ? ` extends ${parent.name}` : "";
  return `[class ${name}${heritage}]`;
}

// Brand checks: each throws for anything else.
const mapSize = getterOf(Map.prototype, "size");
const setSize = getterOf(Set.prototype, "size");

function getterOf(prototype: object, name: PropertyKey): (receiver: unknown) => number {
  const getter = getOwnPropertyDescriptor(prototype, name)?.get as () => number;
  return (receiver) => Reflect.apply(getter, receiver, []);
}

function collectionShape(cx: Inspection, value: object): Shape | undefined {
  if (value instanceof Map && passes(mapSize, value)) {
    return {
      braces: [`${prefixOf(value, "Map", mapSize(value))}{`, "}"],
      base: "",
      entries: (inner, level) => mapEntries(inner, Map.prototype.entries.call(value), mapSize(value), level),
      keys: visibleKeys(cx, value, false),
      isList: false,
      empty: mapSize(value) === 0,
    };
  }
  if (value instanceof Set && passes(setSize, value)) {
    return {
      braces: [`${prefixOf(value, "Set", setSize(value))}{`, "}"],
      base: "",
      entries: (inner, level) => setEntries(inner, Set.prototype.values.call(value), setSize(value), level),
      keys: visibleKeys(cx, value, false),
      isList: false,
      empty: setSize(value) === 0,
    };
  }
  const typed = typedArrayName(value);
  if (typed !== undefined) {
    const array = value as Uint8Array;
    return {
      braces: [`${prefixOf(value, typed, array.length)}[`, "]"],
      base: "",
      entries: (inner) => typedEntries(inner, array),
      keys: visibleKeys(cx, value, true),
      isList: true,
      empty: array.length === 0,
    };
  }
  return undefined;
}

function passes(check: (value: unknown) => unknown, value: object): boolean {
  try {
    check(value);
    return true;
  } catch {
    return false;
  }
}

function mapEntries(cx: Inspection, entries: Iterable<[unknown, unknown]>, size: number, level: number): string[] {
  return indented(cx, 2, () => {
    const parts: string[] = [];
    for (const [key, item] of entries) {
      if (parts.length >= cx.maxArrayLength) {
        break;
      }
      parts.push(`${formatValue(cx, key, level)} => ${formatValue(cx, item, level)}`);
    }
    return withRest(parts, size - parts.length);
  });
}

function setEntries(cx: Inspection, values: Iterable<unknown>, size: number, level: number): string[] {
  return indented(cx, 2, () => {
    const parts: string[] = [];
    for (const item of values) {
      if (parts.length >= cx.maxArrayLength) {
        break;
      }
      parts.push(formatValue(cx, item, level));
    }
    return withRest(parts, size - parts.length);
  });
}

function typedEntries(cx: Inspection, array: Uint8Array): string[] {
  const shown = Math.min(array.length, cx.maxArrayLength);
  const parts: string[] = [];
  for (let i = 0; i < shown; i++) {
    parts.push(formatPrimitive(cx, array[i], false));
  }
  return withRest(parts, array.length - shown);
}

function bareShape(cx: Inspection, value: object, base: string): Shape {
  return { braces: ["{", "}"], base, entries: noEntries, keys: visibleKeys(cx, value, false), isList: false, bare: true };
}

function builtinShape(cx: Inspection, value: object): Shape | undefined {
  if (value instanceof Promise) {
    return entriesShape(cx, value, "Promise", (inner, level) => promiseEntries(inner, value, level));
  }
  if (value instanceof RegExp && passes((regexp) => RegExp.prototype.exec.call(regexp as RegExp, ""), value)) {
    return bareShape(cx, value, RegExp.prototype.toString.call(value));
  }
  if (value instanceof Date && passes((date) => Date.prototype.getTime.call(date as Date), value)) {
    const time = Date.prototype.getTime.call(value);
    return bareShape(cx, value, Number.isNaN(time) ? "Invalid Date" : Date.prototype.toISOString.call(value));
  }
  if (value instanceof ArrayBuffer || (typeof SharedArrayBuffer === "function" && value instanceof SharedArrayBuffer)) {
    return entriesShape(cx, value, "ArrayBuffer", (inner) => bufferEntries(inner, value as ArrayBuffer));
  }
  if (value instanceof DataView) {
    return entriesShape(cx, value, "DataView", (inner, level) => [
      `byteLength: ${value.byteLength}`,
      `byteOffset: ${value.byteOffset}`,
      `buffer: ${formatValue(inner, value.buffer, level)}`,
    ]);
  }
  if (value instanceof WeakMap || value instanceof WeakSet) {
    return entriesShape(cx, value, "WeakSet", () => ["<items unknown>"]);
  }
  if (value instanceof WeakRef) {
    return entriesShape(cx, value, "WeakRef", (inner, level) => [formatValue(inner, value.deref(), level)]);
  }
  return boxedShape(cx, value);
}

function entriesShape(cx: Inspection, value: object, fallback: string, entries: Shape["entries"]): Shape {
  return { braces: [`${prefixOf(value, fallback)}{`, "}"], base: "", entries, keys: visibleKeys(cx, value, false), isList: false };
}

function promiseEntries(cx: Inspection, value: Promise<unknown>, level: number): string[] {
  const [state, result] = engine.promiseState(value);
  if (state === 0) {
    return ["<pending>"];
  }
  const shown = indented(cx, 2, () => formatValue(cx, result, level));
  return [state === 2 ? `<rejected> ${shown}` : shown];
}

/** Bytes of an ArrayBuffer that are shown. */
const BUFFER_BYTES_SHOWN = 50;

function bufferEntries(cx: Inspection, buffer: ArrayBuffer): string[] {
  if (buffer.detached === true) {
    return ["(detached)", "byteLength: 0"];
  }
  const shown = Math.min(BUFFER_BYTES_SHOWN, cx.maxArrayLength, buffer.byteLength);
  const bytes = Array.from(new Uint8Array(buffer, 0, shown), (byte) => byte.toString(16).padStart(2, "0"));
  const left = buffer.byteLength - shown;
  const more = left > 0 ? ` ... ${left} more byte${left > 1 ? "s" : ""}` : "";
  return [`[Uint8Contents]: <${bytes.join(" ")}${more}>`, `byteLength: ${buffer.byteLength}`];
}

const BOXES: [name: string, constructor: Function, unbox: (value: never) => unknown][] = [
  ["String", String, String.prototype.valueOf],
  ["Number", Number, Number.prototype.valueOf],
  ["Boolean", Boolean, Boolean.prototype.valueOf],
  ["BigInt", BigInt, BigInt.prototype.valueOf],
  ["Symbol", Symbol, Symbol.prototype.valueOf],
];

function boxedShape(cx: Inspection, value: object): Shape | undefined {
  for (const [name, constructor, unbox] of BOXES) {
    if (value instanceof (constructor as new () => object) && passes((box) => Reflect.apply(unbox, box, []), value)) {
      const inside: unknown = Reflect.apply(unbox, value, []);
      const owner = constructorName(value);
      const shape = bareShape(cx, value, `[${name}${owner === name ? "" : ` (${owner ?? "null prototype"})`}: ${formatPrimitive(cx, inside, true)}]`);
      if (name === "String") {
        shape.keys = shape.keys.filter((key) => typeof key === "symbol" || !/^[0-9]+$/.test(String(key)));
      }
      return shape;
    }
  }
  return undefined;
}

/** Objects of the platform's classes keep their state in private fields: their getters are their face. */
function platformShape(cx: Inspection, value: object): Shape | undefined {
  const prototypes: object[] = [];
  for (let holder = getPrototypeOf(value) as object | null; holder !== null; holder = getPrototypeOf(holder) as object | null) {
    if (isInterfacePrototype(holder)) {
      prototypes.push(holder);
    }
  }
  const nearest = prototypes[0];
  if (nearest === undefined || nearest === value || Object.hasOwn(value, "constructor")) {
    return undefined;
  }
  if (Object.hasOwn(nearest, "entries") && Object.hasOwn(nearest, "forEach")) {
    return pairsShape(cx, value, nearest);
  }
  const attributes: [string, () => unknown][] = [];
  for (const prototype of prototypes.reverse()) {
    for (const name of objectKeys(prototype)) {
      const getter = getOwnPropertyDescriptor(prototype, name)?.get;
      if (getter !== undefined && !Object.hasOwn(value, name) && !attributes.some(([known]) => known === name)) {
        attributes.push([name, (): unknown => Reflect.apply(getter, value, [])]);
      }
    }
  }
  const keys = visibleKeys(cx, value, false);
  return { braces: [`${platformPrefix(value)}{`, "}"], base: "", entries: noEntries, keys, isList: false, attributes };
}

function platformPrefix(value: object): string {
  return `${constructorName(value) ?? tagOf(value)} `;
}

function pairsShape(cx: Inspection, value: object, prototype: object): Shape {
  const entries = (prototype as { entries: (this: object) => Iterable<[unknown, unknown]> }).entries;
  const list = [...Reflect.apply(entries, value, [])];
  return {
    braces: [`${platformPrefix(value).trimEnd()}(${list.length}) {`, "}"],
    base: "",
    entries: (inner, level) => mapEntries(inner, list, list.length, level),
    keys: visibleKeys(cx, value, false),
    isList: false,
  };
}

function plainShape(cx: Inspection, value: object): Shape {
  const keys = visibleKeys(cx, value, false);
  const shape: Shape = { braces: ["{", "}"], base: "", entries: noEntries, keys, isList: false, empty: true };
  const name = constructorName(value);
  const tag = tagOf(value);
  if (tag === "" && toStringTagOf.call(value) === "[object Arguments]") {
    const list = Array.from(value as ArrayLike<unknown>);
    return { ...arrayShape(cx, list), braces: ["[Arguments] [", "]"] };
  }
  if (tag === "Module" && name === null && !Object.isExtensible(value)) {
    shape.braces[0] = "[Module: null prototype] {";
  } else if (name !== "Object" || tag !== "") {
    shape.braces[0] = `${prefixOf(value, "Object")}{`;
  }
  return shape;
}

export type { Shape };
