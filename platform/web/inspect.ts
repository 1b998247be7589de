// How values look to a person: what `console.log` prints, and Node.js's `util.inspect` behind it.
//
// The look is Node's: depth 2, single quotes, short things on one line, `<ref *1>` for cycles. Own
// properties are shown, accessors are named but not run; objects of the platform's own classes show
// what their getters give, and its map-like ones show their entries. Errors are in `inspect-error.ts`,
// laying lines out in `inspect-layout.ts`.
//
// Deliberately absent: looking into iterators and weak collections. Colours are the caller's: see `Stylize`.
//
// Invariant: inspecting never throws because of the value: a getter, proxy or `toString` that throws
// is shown as such. It also ends: see the bounds below.

import { engine } from "../ops.ts";
import { inspectError, isError } from "./inspect-error.ts";
import { type Braces, groupEntries, layOut, widthOf } from "./inspect-layout.ts";
import { isInterfacePrototype, typedArrayName } from "./webidl.ts";

/** Marks a part of the text by its kind, as Node.js's `util.inspect` does with colours. */
export type Stylize = (text: string, style: string) => string;

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
  stylize?: Stylize;
}

/** The state of one inspection. */
export interface Inspection {
  depth: number;
  showHidden: boolean;
  breakLength: number;
  /** How many levels may share a line; `true` is the older way of Node.js, by length alone. */
  compact: number | true;
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
  readonly stylize: Stylize;
  readonly numericSeparator: boolean;
}

export const plain: Stylize = (text) => text;

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

/** What a program's own inspecting functions get, and may compare: `util.inspect`, where there is one. */
let shownInspect: unknown;

export function setShownInspect(given: unknown): void {
  shownInspect = given;
}

export function inspect(value: unknown, options: InspectOptions = {}): string {
  return formatValue(newInspection(options), value, 0);
}

function newInspection(options: InspectOptions): Inspection {
  const { compact } = options;
  return {
    // A depth that is given as undefined is none, as in Node.js.
    depth: limit(options.depth, Object.hasOwn(options, "depth") ? DEPTH_MAX : 2, DEPTH_MAX),
    showHidden: Boolean(options.showHidden),
    breakLength: options.breakLength ?? 80,
    compact: compact === undefined ? 3 : compact === false ? 0 : compact,
    maxArrayLength: limit(options.maxArrayLength, 100, Infinity),
    maxStringLength: limit(options.maxStringLength, 10_000, Infinity),
    sorted: options.sorted ?? false,
    getters: options.getters ?? false,
    showProxy: Boolean(options.showProxy),
    customInspect: options.customInspect !== false,
    seen: [],
    circular: new Map(),
    indentation: 0,
    currentDepth: 0,
    budget: VALUES_MAX,
    given: options,
    stylize: options.stylize ?? plain,
    numericSeparator: Boolean(options.numericSeparator),
  };
}

function limit(value: number | null | undefined, usual: number, max: number): number {
  return value === undefined ? usual : value === null ? max : Math.min(value, max);
}

// ---- Values ------------------------------------------------------------------------------------

export function formatValue(cx: Inspection, value: unknown, level: number): string {
  if ((typeof value !== "object" || value === null) && typeof value !== "function") {
    return formatPrimitive(cx, value);
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
  let proxies = 0;
  for (let details = engine.proxyDetails(value); details !== undefined; details = engine.proxyDetails(value)) {
    const [target, handler] = details;
    if (target === null || target === undefined) {
      return inProxies(cx, cx.stylize("<Revoked Proxy>", "special"), proxies);
    }
    if (cx.showProxy) {
      return formatProxy(cx, target, handler, level);
    }
    value = target as object;
    proxies += 1;
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
    return cx.stylize(`[Circular *${reference}]`, "special");
  }
  return inProxies(cx, formatObject(cx, value, level), proxies);
}

function inProxies(cx: Inspection, text: string, proxies: number): string {
  return cx.stylize("Proxy(", "special").repeat(proxies) + text + cx.stylize(")", "special").repeat(proxies);
}

function formatProxy(cx: Inspection, target: unknown, handler: unknown, level: number): string {
  if (level > cx.depth) {
    return cx.stylize("Proxy [Array]", "special");
  }
  const parts = indented(cx, 2, () => [formatValue(cx, target, level + 1), formatValue(cx, handler, level + 1)]);
  return layOut(cx, parts, "", ["Proxy [", "]"], level + 1, false);
}

/** Lets an object show itself through `[Symbol.for("nodejs.util.inspect.custom")]`. */
function formatCustom(cx: Inspection, value: object, receiver: object, level: number): string | undefined {
  const method = (value as { [inspectCustom]?: unknown })[inspectCustom];
  const shownAs = shownInspect ?? inspect;
  if (typeof method !== "function" || method === inspect || method === shownAs) {
    return undefined;
  }
  const depth = cx.given.depth === null ? null : (cx.given.depth ?? 2) - level;
  const { showHidden, maxArrayLength, maxStringLength, breakLength, compact, sorted: order, getters, showProxy, numericSeparator } = cx;
  const all = { showHidden, colors: false, customInspect: true, showProxy, maxArrayLength, maxStringLength, breakLength, compact, sorted: order, getters, numericSeparator };
  const options = { ...all, ...cx.given, depth, stylize: (text: unknown, style: unknown): string => cx.stylize(`${text as string}`, `${style as string}`) };
  const shown: unknown = Reflect.apply(method, receiver, [depth, options, shownAs]);
  if (shown === receiver) {
    return undefined;
  }
  return typeof shown === "string"
    ? shown.replaceAll("\n", `\n${" ".repeat(cx.indentation)}`)
    : formatValue(cx, shown, level);
}

function formatPrimitive(cx: Inspection, value: unknown): string {
  switch (typeof value) {
    case "string":
      return formatString(cx, value);
    case "number":
      return cx.stylize(formatNumber(cx, value), "number");
    case "bigint":
      return cx.stylize(`${cx.numericSeparator ? separated(`${value}`) : value}n`, "bigint");
    case "symbol":
      return cx.stylize(Symbol.prototype.toString.call(value), "symbol");
    case "boolean":
      return cx.stylize(`${value}`, "boolean");
    default:
      return cx.stylize(`${value as string}`, value === null ? "null" : "undefined");
  }
}

function formatNumber(cx: Inspection, value: number): string {
  const text = Object.is(value, -0) && !cx.numericSeparator ? "-0" : `${value}`;
  if (!cx.numericSeparator || !Number.isFinite(value) || text.includes("e")) {
    return text;
  }
  const [whole = "", fraction] = text.split(".");
  return fraction === undefined ? separated(whole) : `${separated(whole)}.${fraction.replace(/(\d{3})(?=\d)/g, "$1_")}`;
}

/** Puts an underscore between thousands. */
function separated(digits: string): string {
  return digits.replace(/\d(?=(?:\d{3})+$)/g, "$&_");
}

/** A string shorter than this stays on one line whatever the width. */
const WRAPPED_LENGTH_MIN = 16;

function formatString(cx: Inspection, value: string): string {
  const text = value.length > cx.maxStringLength ? value.slice(0, cx.maxStringLength) : value;
  const left = value.length - text.length;
  const trailer = left > 0 ? `... ${left} more character${left > 1 ? "s" : ""}` : "";
  const width = cx.breakLength - cx.indentation - 4;
  if (cx.compact !== true && text.length > WRAPPED_LENGTH_MIN && text.length > width && text.includes("\n")) {
    const lines = text.split(/(?<=\n)/).map((line) => cx.stylize(quote(line), "string"));
    return lines.join(` +\n${" ".repeat(cx.indentation + 2)}`) + trailer;
  }
  return cx.stylize(quote(text), "string") + trailer;
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
  "'": "\\'",
};

function escape(char: string): string {
  const code = char.charCodeAt(0);
  return ESCAPES[char] ?? (code > 0xff ? `\\u${code.toString(16)}` : `\\x${code.toString(16).toUpperCase().padStart(2, "0")}`);
}

export function quote(text: string): string {
  if (!NEEDS_ESCAPE.test(text)) {
    return `'${text}'`;
  }
  const mark = !text.includes("'") ? "'" : !text.includes('"') ? '"' : !/[`]|\$\{/.test(text) ? "`" : "'";
  const escaped = text.replace(ESCAPED, (char) => (char === "'" && mark !== "'" ? "'" : escape(char)));
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
      return String(made.name);
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
  /** The style of a bare `base`. */
  style?: string;
  /** `base` is shown where the depth is reached, too. */
  isShort?: boolean;
  /** Has no entries, so that it is shown in full at any depth. */
  empty?: boolean;
}

const noEntries = (): string[] => [];

function formatObject(cx: Inspection, value: object, level: number): string {
  const shape = shapeOf(cx, value);
  const isDeep = level > cx.depth;
  const inherited = cx.showHidden && !isDeep && shape.attributes === undefined && hasInherited(value);
  if (shape.bare === true && shape.keys.length === 0 && !inherited) {
    return shape.style === undefined ? shape.base : cx.stylize(shape.base, shape.style);
  }
  if (shape.empty === true && shape.keys.length === 0 && !inherited) {
    return `${shape.braces[0]}${shape.braces[1]}`;
  }
  if (isDeep && shape.isShort === true) {
    return cx.stylize(shape.base, shape.style ?? "special");
  }
  if (isDeep) {
    return cx.stylize(`[${prefixOf(cx, value, "Object").trimEnd().replace(/^\[(.*)\]$/, "$1")}]`, "special");
  }
  cx.seen.push(value);
  cx.currentDepth = level;
  const inner = level + 1;
  let parts: string[];
  try {
    parts = shape.entries(cx, inner);
    const properties = shape.keys.map((key) => formatProperty(cx, value, key, inner));
    parts = cx.sorted === false ? [...parts, ...properties] : sorted(cx, parts, properties, shape.isList);
    if (inherited) {
      parts = [...parts, ...inheritedProperties(cx, value, level)];
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
    const mark = `${cx.stylize(`<ref *${reference}>`, "special")} `;
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
  const grouped = shape.isList && parts.length > 6 && cx.compact !== true && cx.compact > 0 ? groupEntries(cx, parts, value) : parts;
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
    names = hiddenKeys(value);
  } else {
    names = objectKeysOf(value);
    for (const symbol of Object.getOwnPropertySymbols(value)) {
      if (getOwnPropertyDescriptor(value, symbol)?.enumerable === true) {
        names.push(symbol);
      }
    }
  }
  return isList ? names.filter((name) => typeof name === "symbol" || !isIndex(name as string)) : names;
}

/** The engine makes a function's own properties when they are first asked for; they are shown in the order of V8. */
const OF_FUNCTIONS: readonly (string | symbol)[] = ["length", "name", "prototype"];
/** What this engine alone gives an error. */
const PLACE_OF_ERROR: ReadonlySet<PropertyKey> = new Set(["fileName", "lineNumber", "columnNumber"]);

function hiddenKeys(value: object): PropertyKey[] {
  const names = ownKeys(value);
  if (Error.isError(value)) return names.filter((name) => !PLACE_OF_ERROR.has(name));
  if (typeof value !== "function") return names;
  return [...OF_FUNCTIONS.filter((name) => names.includes(name)), ...names.filter((name) => !OF_FUNCTIONS.includes(name))];
}

function isIndex(name: string): boolean {
  return /^(?:0|[1-9][0-9]{0,9})$/.test(name) && Number(name) < 2 ** 32 - 1;
}

/** `Object.keys`, but a module whose binding is not initialised yet does not throw. */
function objectKeysOf(value: object): PropertyKey[] {
  try {
    return objectKeys(value);
  } catch {
    return ownKeys(value).filter((name) => typeof name === "string");
  }
}

/** What is shown, in order; the items of a list keep theirs. */
function sorted(cx: Inspection, entries: string[], properties: string[], isList: boolean): string[] {
  const compare = typeof cx.sorted === "function" ? cx.sorted : undefined;
  return isList ? [...entries, ...properties.toSorted(compare)] : [...entries, ...properties].toSorted(compare);
}

function formatKey(cx: Inspection, key: PropertyKey, isHidden: boolean): string {
  if (typeof key === "symbol") {
    const text = cx.stylize(Symbol.prototype.toString.call(key).replace(ESCAPED, escape), "symbol");
    return isHidden ? `[${text}]` : text;
  }
  const name = String(key);
  if (isHidden) {
    return `[${name}]`;
  }
  return name === "__proto__" ? "['__proto__']" : IDENTIFIER.test(name) ? cx.stylize(name, "name") : cx.stylize(quote(name), "string");
}

function formatProperty(cx: Inspection, value: object, key: PropertyKey, level: number): string {
  const descriptor = getOwnPropertyDescriptor(value, key);
  if (descriptor === undefined) {
    return `${formatKey(cx, key, false)}: <gone>`;
  }
  return formatNamed(cx, key, descriptor, value, level);
}

function formatNamed(cx: Inspection, key: PropertyKey, descriptor: PropertyDescriptor, receiver: object, level: number): string {
  const by = cx.compact === true ? 3 : 2;
  const shown = formatDescriptor(cx, receiver, descriptor, level, by);
  const isLong = by === 3 && widthOf(cx, shown) > cx.breakLength;
  return `${formatKey(cx, key, descriptor.enumerable === false)}:${isLong ? `\n${" ".repeat(cx.indentation + by)}` : " "}${shown}`;
}

/** What `showHidden` adds: accessors and data of prototypes that the program made. */
function inheritedProperties(cx: Inspection, value: object, level: number): string[] {
  const parts: string[] = [];
  const known = new Set<PropertyKey>(["constructor", ...ownKeys(value)]);
  let holder = getPrototypeOf(value) as object | null;
  for (let hops = 0; holder !== null && hops < DEPTH_MAX; hops++) {
    const maker = getOwnPropertyDescriptor(holder, "constructor")?.value as unknown;
    if ((typeof maker === "function" && isBuiltinName(maker.name)) || isInterfacePrototype(holder)) {
      break;
    }
    for (const key of ownKeys(holder)) {
      const descriptor = getOwnPropertyDescriptor(holder, key);
      if (known.has(key) || descriptor === undefined || typeof descriptor.value === "function") {
        continue;
      }
      known.add(key);
      const text = formatNamed(cx, key, descriptor, value, level);
      parts.push(cx.stylize(text, "inherited"));
    }
    holder = getPrototypeOf(holder) as object | null;
  }
  return parts;
}

/** Whether the nearest prototype is neither of the language nor of the platform. */
function hasInherited(value: object): boolean {
  const holder = getPrototypeOf(value) as object | null;
  if (holder === null || isInterfacePrototype(holder)) {
    return false;
  }
  const maker = getOwnPropertyDescriptor(holder, "constructor")?.value as unknown;
  return typeof maker === "function" && !isBuiltinName(maker.name);
}

let builtinNames: ReadonlySet<string> | undefined;

/** Whether the language or the platform has a class of that name. */
function isBuiltinName(name: string): boolean {
  builtinNames ??= new Set(Object.getOwnPropertyNames(globalThis).filter((known) => /^[A-Z][a-zA-Z0-9]+$/.test(known)));
  return builtinNames.has(name);
}

function formatDescriptor(
  cx: Inspection,
  value: object,
  descriptor: PropertyDescriptor,
  level: number,
  by: number = 2,
): string {
  if (descriptor.get === undefined && descriptor.set === undefined) {
    return indented(cx, by, () => formatValue(cx, descriptor.value, level));
  }
  const label = descriptor.get === undefined ? "Setter" : descriptor.set === undefined ? "Getter" : "Getter/Setter";
  const runs =
    cx.getters === true ||
    (cx.getters === "get" && descriptor.set === undefined) ||
    (cx.getters === "set" && descriptor.set !== undefined);
  if (!runs || descriptor.get === undefined) {
    return cx.stylize(`[${label}]`, "special");
  }
  const open = cx.stylize(`[${label}:`, "special");
  const close = cx.stylize("]", "special");
  try {
    const got: unknown = Reflect.apply(descriptor.get, value, []);
    return typeof got === "object" && got !== null
      ? `${cx.stylize(`[${label}]`, "special")} ${indented(cx, 2, () => formatValue(cx, got, level))}`
      : `${open} ${formatValue(cx, got, level)}${close}`;
  } catch (error) {
    return `${open} <Inspection threw (${isError(error) ? safeString(error.message) : "?"})>${close}`;
  }
}

// ---- Shapes by kind ----------------------------------------------------------------------------

function prefixOf(cx: Inspection, value: object, fallback: string, size?: number): string {
  const name = constructorName(value);
  const counted = size === undefined ? "" : `(${size})`;
  const tag = tagOf(cx, value);
  const shown = name === null ? `[${fallback}${counted}: null prototype]` : `${name}${counted}`;
  return tag === "" || tag === (name ?? fallback) ? `${shown} ` : `${shown} [${tag}] `;
}

/** The `Symbol.toStringTag`, but for one that is listed among the properties. */
function tagOf(cx: Inspection, value: object): string {
  try {
    const own = getOwnPropertyDescriptor(value, Symbol.toStringTag);
    if (own !== undefined && (cx.showHidden || own.enumerable === true)) {
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
    return { braces: ["{", "}"], base: functionBase(cx, value), entries: noEntries, keys: functionKeys(cx, value), isList: false, bare: true, style: "special" };
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
  const prefix = constructorName(value) === "Array" && tagOf(cx, value) === "" ? "" : prefixOf(cx, value, "Array", value.length);
  return {
    braces: [`${prefix}[`, "]"],
    base: "",
    entries: (inner, level) => arrayEntries(inner, value, level),
    keys: visibleKeys(cx, value, true),
    isList: true,
    empty: value.length === 0 && !cx.showHidden,
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
    const next = ownKeys(value).find((key) => typeof key === "string" && isIndex(key) && Number(key) > start);
    at = next === undefined ? value.length : Number(next);
    parts.push(cx.stylize(`<${at - start} empty item${at - start > 1 ? "s" : ""}>`, "undefined"));
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

function functionBase(cx: Inspection, value: Function): string {
  const source = Function.prototype.toString.call(value);
  if (source.startsWith("class") && source.endsWith("}")) {
    return classBase(value);
  }
  const kind = functionKind(source);
  const owner = constructorName(value);
  const tag = tagOf(cx, value);
  const name = `${value.name}`;
  const heir = owner === null || owner === kind ? "" : ` ${owner}`;
  const tagged = tag === "" || tag === owner ? "" : ` [${tag}]`;
  return `[${kind}${owner === null ? " (null prototype)" : ""}${name === "" ? " (anonymous)" : `: ${name}`}]${heir}${tagged}`;
}

const ASYNC = /^async(?:\s+function\b|\s*\*|\s+[\w$#[("']|\([^)]*\)\s*=>)/;
const GENERATOR = /^(?:async\s*)?(?:function\s*)?\*/;

/** By its text, which a changed prototype leaves alone. */
function functionKind(source: string): string {
  return `${ASYNC.test(source) ? "Async" : ""}${GENERATOR.test(source) ? "Generator" : ""}Function`;
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
const typedLength = getterOf(getPrototypeOf(Uint8Array.prototype) as object, "length");

function getterOf(prototype: object, name: PropertyKey): (receiver: unknown) => number {
  const getter = getOwnPropertyDescriptor(prototype, name)?.get as () => number;
  return (receiver) => Reflect.apply(getter, receiver, []);
}

function collectionShape(cx: Inspection, value: object): Shape | undefined {
  if (value instanceof Map && passes(mapSize, value)) {
    return {
      braces: [`${prefixOf(cx, value, "Map", mapSize(value))}{`, "}"],
      base: "",
      entries: (inner, level) => mapEntries(inner, Map.prototype.entries.call(value), mapSize(value), level),
      keys: visibleKeys(cx, value, false),
      isList: false,
      empty: mapSize(value) === 0,
    };
  }
  if (value instanceof Set && passes(setSize, value)) {
    return {
      braces: [`${prefixOf(cx, value, "Set", setSize(value))}{`, "}"],
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
    const length = typedLength(value);
    return {
      braces: [`${prefixOf(cx, value, typed, length)}[`, "]"],
      base: "",
      entries: (inner, level) => typedEntries(inner, array, level),
      keys: visibleKeys(cx, value, true),
      isList: true,
      empty: length === 0 && !cx.showHidden,
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

function typedEntries(cx: Inspection, array: Uint8Array, level: number): string[] {
  const length = typedLength(array);
  const shown = Math.min(length, cx.maxArrayLength);
  const parts: string[] = [];
  for (let i = 0; i < shown; i++) {
    parts.push(formatPrimitive(cx, array[i]));
  }
  withRest(parts, length - shown);
  if (cx.showHidden) {
    for (const name of ["BYTES_PER_ELEMENT", "length", "byteLength", "byteOffset"] as const) {
      parts.push(`[${name}]: ${formatValue(cx, array[name], level)}`);
    }
    // What is in the buffer has just been shown.
    parts.push(`[buffer]: ArrayBuffer { byteLength: ${formatPrimitive(cx, array.buffer.byteLength)} }`);
  }
  return parts;
}

function bareShape(cx: Inspection, value: object, base: string, style: string): Shape {
  return { braces: ["{", "}"], base, entries: noEntries, keys: visibleKeys(cx, value, false), isList: false, bare: true, style };
}

function builtinShape(cx: Inspection, value: object): Shape | undefined {
  if (value instanceof Promise) {
    return entriesShape(cx, value, "Promise", (inner, level) => promiseEntries(inner, value, level));
  }
  if (value instanceof RegExp && passes((regexp) => RegExp.prototype.exec.call(regexp as RegExp, ""), value)) {
    return { ...bareShape(cx, value, RegExp.prototype.toString.call(value), "regexp"), isShort: true };
  }
  if (value instanceof Date && passes((date) => Date.prototype.getTime.call(date as Date), value)) {
    const time = Date.prototype.getTime.call(value);
    return bareShape(cx, value, Number.isNaN(time) ? "Invalid Date" : Date.prototype.toISOString.call(value), "date");
  }
  if (value instanceof ArrayBuffer || (typeof SharedArrayBuffer === "function" && value instanceof SharedArrayBuffer)) {
    return entriesShape(cx, value, "ArrayBuffer", (inner) => bufferEntries(inner, value as ArrayBuffer));
  }
  if (value instanceof DataView) {
    return entriesShape(cx, value, "DataView", (inner, level) => [
      `byteLength: ${formatValue(inner, value.byteLength, level)}`,
      `byteOffset: ${formatValue(inner, value.byteOffset, level)}`,
      `buffer: ${indented(inner, 2, () => formatValue(inner, value.buffer, level))}`,
    ]);
  }
  if (value instanceof WeakMap || value instanceof WeakSet) {
    return entriesShape(cx, value, value instanceof WeakMap ? "WeakMap" : "WeakSet", (inner) => [inner.stylize("<items unknown>", "special")]);
  }
  if (value instanceof WeakRef) {
    return entriesShape(cx, value, "WeakRef", (inner, level) => [formatValue(inner, value.deref(), level)]);
  }
  return boxedShape(cx, value);
}

function entriesShape(cx: Inspection, value: object, fallback: string, entries: Shape["entries"]): Shape {
  return { braces: [`${prefixOf(cx, value, fallback)}{`, "}"], base: "", entries, keys: visibleKeys(cx, value, false), isList: false };
}

function promiseEntries(cx: Inspection, value: Promise<unknown>, level: number): string[] {
  const [state, result] = engine.promiseState(value);
  if (state === 0) {
    return [cx.stylize("<pending>", "special")];
  }
  const shown = indented(cx, 2, () => formatValue(cx, result, level));
  return [state === 2 ? `${cx.stylize("<rejected>", "special")} ${shown}` : shown];
}

/** Bytes of an ArrayBuffer that are shown. */
const BUFFER_BYTES_SHOWN = 50;

function bufferEntries(cx: Inspection, buffer: ArrayBuffer): string[] {
  if (buffer.detached === true) {
    return [cx.stylize("(detached)", "special"), `byteLength: ${formatPrimitive(cx, 0)}`];
  }
  const shown = Math.min(BUFFER_BYTES_SHOWN, cx.maxArrayLength, buffer.byteLength);
  const bytes = Array.from(new Uint8Array(buffer, 0, shown), (byte) => byte.toString(16).padStart(2, "0"));
  const left = buffer.byteLength - shown;
  const more = left > 0 ? ` ... ${left} more byte${left > 1 ? "s" : ""}` : "";
  return [
    `${cx.stylize("[Uint8Contents]", "special")}: <${bytes.join(" ")}${more}>`,
    `byteLength: ${formatPrimitive(cx, buffer.byteLength)}`,
  ];
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
    const isNamed = value instanceof (constructor as new () => object) || toStringTagOf.call(value) === `[object ${name}]`;
    if (isNamed && passes((box) => Reflect.apply(unbox, box, []), value)) {
      const inside: unknown = Reflect.apply(unbox, value, []);
      const owner = constructorName(value);
      const shown = formatPrimitive({ ...cx, stylize: plain }, inside);
      const shape = bareShape(cx, value, `[${name}${owner === name ? "" : ` (${owner ?? "null prototype"})`}: ${shown}]`, name.toLowerCase());
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
  return { braces: [`${platformPrefix(cx, value)}{`, "}"], base: "", entries: noEntries, keys, isList: false, attributes };
}

function platformPrefix(cx: Inspection, value: object): string {
  return `${constructorName(value) ?? tagOf(cx, value)} `;
}

function pairsShape(cx: Inspection, value: object, prototype: object): Shape {
  const entries = (prototype as { entries: (this: object) => Iterable<[unknown, unknown]> }).entries;
  const list = [...Reflect.apply(entries, value, [])];
  return {
    braces: [`${platformPrefix(cx, value).trimEnd()}(${list.length}) {`, "}"],
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
  const tag = tagOf(cx, value);
  if (tag === "" && toStringTagOf.call(value) === "[object Arguments]") {
    shape.braces[0] = "[Arguments] {";
    return shape;
  }
  if (tag === "Module" && name === null && !Object.isExtensible(value)) {
    shape.braces[0] = "[Module: null prototype] {";
  } else if (name !== "Object" || tag !== "") {
    shape.braces[0] = `${prefixOf(cx, value, "Object")}{`;
  }
  return shape;
}

export type { Shape };
