// printf-like formatting of console arguments (Console standard, "Formatter", as Node.js does it).
//
// Invariant: every argument shows up once, in a specifier or after the text.

import { engine } from "../ops.ts";
import { type InspectOptions, inspect, plain } from "./inspect.ts";

const OBJECT_OPTIONS: InspectOptions = { showHidden: true, showProxy: true, depth: 4 };
const SHALLOW_OPTIONS: InspectOptions = { depth: 0, colors: false, compact: 3, stylize: plain };
const JSON_stringify = JSON.stringify as (value: unknown) => string | undefined;
const PERCENT = 0x25;

export function format(args: readonly unknown[], options: InspectOptions = {}): string {
  const first = args[0];
  if (typeof first !== "string") {
    return args.map((arg) => shown(arg, options)).join(" ");
  }
  if (args.length === 1) {
    return first;
  }
  const { text, used } = substitute(first, args, options);
  let line = text;
  for (let i = used; i < args.length; i++) {
    line += ` ${shown(args[i], options)}`;
  }
  return line;
}

function shown(value: unknown, options: InspectOptions): string {
  return typeof value === "string" ? value : inspect(value, options);
}

function substitute(template: string, args: readonly unknown[], options: InspectOptions): { text: string; used: number } {
  let text = "";
  let used = 1;
  let copied = 0;
  for (let i = 0; i < template.length - 1; i++) {
    if (template.charCodeAt(i) !== PERCENT) {
      continue;
    }
    const letter = template[i + 1] as string;
    let piece: string | undefined;
    if (letter === "%") {
      piece = "%";
    } else if (used < args.length) {
      piece = specifier(letter, args[used], options);
      used += piece === undefined ? 0 : 1;
    }
    if (piece !== undefined) {
      text += template.slice(copied, i) + piece;
      copied = i + 2;
      i += 1;
    }
  }
  return { text: text + template.slice(copied), used };
}

function specifier(letter: string, value: unknown, options: InspectOptions): string | undefined {
  switch (letter) {
    case "s":
      return asString(value, options);
    case "d":
      return asNumber(value, Number, options);
    case "i":
      return asNumber(value, Number.parseInt, options);
    case "f":
      return typeof value === "symbol" ? "NaN" : inspect(Number.parseFloat(value as string), { numericSeparator: options.numericSeparator === true });
    case "j":
      return asJson(value);
    case "o":
      return inspect(value, { ...options, ...OBJECT_OPTIONS });
    case "O":
      return inspect(value, options);
    case "c":
      // Styles mean nothing here: the argument is taken and dropped.
      return "";
    default:
      return undefined;
  }
}

function asString(value: unknown, options: InspectOptions): string {
  if (typeof value === "bigint" || typeof value === "number") {
    return inspect(value, { numericSeparator: options.numericSeparator === true });
  }
  if (typeof value !== "object" || value === null) {
    return String(value);
  }
  return hasOwnToString(value) ? String(value) : inspect(value, { ...options, ...SHALLOW_OPTIONS });
}

/** Whether somebody other than the language said how the object becomes a string. */
function hasOwnToString(value: object): boolean {
  const proxy = engine.proxyDetails(value);
  if (proxy !== undefined) {
    // Its traps are not for this.
    return typeof proxy[0] === "object" && proxy[0] !== null && hasOwnToString(proxy[0]);
  }
  if (typeof (value as { toString?: unknown }).toString !== "function") {
    return false;
  }
  for (let holder: object | null = value; holder !== null; holder = Object.getPrototypeOf(holder) as object | null) {
    if (Object.hasOwn(holder, "toString") || Object.hasOwn(holder, Symbol.toPrimitive)) {
      return !BUILTIN_PROTOTYPES.has(holder);
    }
  }
  return false;
}

const BUILTIN_PROTOTYPES: ReadonlySet<object> = new Set([
  Object.prototype,
  Array.prototype,
  Function.prototype,
  Error.prototype,
  Date.prototype,
  RegExp.prototype,
  String.prototype,
  Number.prototype,
  Boolean.prototype,
]);

function asNumber(value: unknown, convert: (value: never) => number, { numericSeparator = false }: InspectOptions): string {
  if (typeof value === "bigint") {
    return inspect(value, { numericSeparator });
  }
  if (typeof value === "symbol") {
    return "NaN";
  }
  return inspect(convert(value as never), { numericSeparator });
}

function asJson(value: unknown): string {
  try {
    return JSON_stringify(value) ?? "undefined";
  } catch (error) {
    if (error instanceof TypeError && /circular|cyclic/i.test(error.message)) {
      return "[Circular]";
    }
    throw error;
  }
}

/** The rows of `console.table`, or undefined where the value has none. */
export function tableOf(data: unknown, columns: readonly string[] | undefined): string | undefined {
  if (typeof data !== "object" || data === null) {
    return undefined;
  }
  const isMap = data instanceof Map;
  const isSet = data instanceof Set;
  const rows: [unknown, unknown][] = isMap
    ? [...data.entries()]
    : isSet
      ? Array.from(data, (item, index): [unknown, unknown] => [index, item])
      : Object.entries(data);
  const names: string[] = [...(columns ?? [])];
  const cells: Map<string, string>[] = [];
  let hasValues = false;
  const values: string[] = [];
  for (const [, row] of rows) {
    const line = new Map<string, string>();
    if (typeof row === "object" && row !== null && !isMap) {
      for (const name of columns ?? Object.keys(row)) {
        if (!names.includes(name)) {
          names.push(name);
        }
        if (Object.hasOwn(row, name)) {
          line.set(name, inspect((row as Record<string, unknown>)[name], SHALLOW_OPTIONS));
        }
      }
      values.push("");
    } else {
      hasValues = true;
      values.push(inspect(row, SHALLOW_OPTIONS));
    }
    cells.push(line);
  }
  const index = isMap || isSet ? "(iteration index)" : "(index)";
  const heads = [index, ...(isMap ? ["Key"] : []), ...names, ...(hasValues ? ["Values"] : [])];
  const lines = rows.map(([key], i) => [
    isMap ? `${i}` : `${key as string}`,
    ...(isMap ? [inspect(key, SHALLOW_OPTIONS)] : []),
    ...names.map((name) => (cells[i] as Map<string, string>).get(name) ?? ""),
    ...(hasValues ? [values[i] as string] : []),
  ]);
  return drawTable(heads, lines);
}

function drawTable(heads: readonly string[], lines: readonly string[][]): string {
  const widths = heads.map((head, column) => Math.max(head.length, ...lines.map((line) => (line[column] as string).length)) + 2);
  const rule = (left: string, middle: string, right: string): string =>
    left + widths.map((width) => "─".repeat(width)).join(middle) + right;
  const row = (line: readonly string[]): string =>
    `│${line.map((cell, column) => ` ${cell}`.padEnd(widths[column] as number)).join("│")}│`;
  return [rule("┌", "┬", "┐"), row(heads), rule("├", "┼", "┤"), ...lines.map(row), rule("└", "┴", "┘")].join("\n");
}
