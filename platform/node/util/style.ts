// `util.inspect.colors` and `styleText`: the escape sequences of terminals.
//
// Invariant: a text is styled only for a stream that is a terminal, unless the caller says otherwise.

import { checkBoolean, checkOneOf } from "../checks.ts";
import { invalidArgType, requireString } from "../errors.ts";

type Codes = [start: number, end: number];

const FOREGROUND = 39;
const BACKGROUND = 49;
const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

function palette(): Record<string, Codes> {
  const found: Record<string, Codes> = {
    reset: [0, 0], bold: [1, 22], dim: [2, 22], italic: [3, 23], underline: [4, 24], blink: [5, 25], inverse: [7, 27],
    hidden: [8, 28], strikethrough: [9, 29], doubleunderline: [21, 24],
  };
  NAMES.forEach((name, at) => (found[name] = [30 + at, FOREGROUND]));
  NAMES.forEach((name, at) => (found[`bg${name[0]?.toUpperCase()}${name.slice(1)}`] = [40 + at, BACKGROUND]));
  Object.assign(found, { framed: [51, 54], overlined: [53, 55], gray: [90, FOREGROUND] });
  NAMES.slice(1).forEach((name, at) => (found[`${name}Bright`] = [91 + at, FOREGROUND]));
  found["bgGray"] = [100, BACKGROUND];
  NAMES.slice(1).forEach((name, at) => (found[`bg${name[0]?.toUpperCase()}${name.slice(1)}Bright`] = [101 + at, BACKGROUND]));
  return found;
}

export const colors: Record<string, Codes> = Object.assign(Object.create(null) as Record<string, Codes>, palette());

/** Other names that Node.js has for some of them. */
const ALIASES: Readonly<Record<string, readonly string[]>> = {
  gray: ["grey", "blackBright"],
  bgGray: ["bgGrey", "bgBlackBright"],
  dim: ["faint"],
  strikethrough: ["crossedout", "strikeThrough", "crossedOut"],
  hidden: ["conceal"],
  inverse: ["swapcolors", "swapColors"],
  doubleunderline: ["doubleUnderline"],
};
for (const [name, others] of Object.entries(ALIASES)) {
  for (const other of others) {
    Object.defineProperty(colors, other, {
      get: () => colors[name],
      set: (value: Codes) => (colors[name] = value),
      configurable: true,
      enumerable: false,
    });
  }
}

export const styles: Record<string, string> = Object.assign(Object.create(null) as Record<string, string>, {
  special: "cyan",
  number: "yellow",
  bigint: "yellow",
  boolean: "yellow",
  undefined: "grey",
  null: "bold",
  string: "green",
  symbol: "green",
  date: "magenta",
  regexp: "red",
  module: "underline",
});

/** What `inspect` does to a part of its text when it colours. */
export function stylize(text: string, style: string): string {
  const codes = style === "inherited" ? colors["dim"] : colors[styles[style] as string];
  return codes === undefined ? text : `\u001b[${codes[0]}m${text}\u001b[${codes[1]}m`;
}

interface Terminal {
  isTTY?: boolean;
  getColorDepth?: () => number;
}

function isStream(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { on, write, pipe, getReader, getWriter } = value as Record<string, unknown>;
  return typeof on === "function" && (typeof write === "function" || typeof pipe === "function") || typeof getReader === "function" || typeof getWriter === "function";
}

/** Stands for the process's own output, which is no terminal. */
const OUTPUT = {};

export function styleText(format: unknown, text: unknown, options: { validateStream?: unknown; stream?: unknown } = {}): string {
  const string = requireString(text, "text");
  const { validateStream = true, stream = OUTPUT } = options;
  checkBoolean(validateStream, "options.validateStream");
  let isPlain = false;
  if (validateStream === true) {
    if (stream !== OUTPUT && !isStream(stream)) throw invalidArgType("stream", ["ReadableStream", "WritableStream", "Stream"], stream);
    const { isTTY, getColorDepth } = stream as Terminal;
    isPlain = isTTY !== true || typeof getColorDepth !== "function" || Reflect.apply(getColorDepth, stream, []) <= 2;
  }
  let [before, after] = ["", ""];
  for (const name of Array.isArray(format) ? format : [format]) {
    if (name === "none") continue;
    const codes = typeof name === "string" ? colors[name] : undefined;
    if (codes === undefined) {
      checkOneOf(name, "format", Object.keys(colors));
      continue;
    }
    before += `\u001b[${codes[0]}m`;
    after = `\u001b[${codes[1]}m${after}`;
  }
  return isPlain ? string : `${before}${string}${after}`;
}
