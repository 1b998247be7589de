// Glob patterns: `*`, `?`, `[...]`, `**`, braces and the extended forms `@( ) ?( ) *( ) +( ) !( )`.
//
// A pattern becomes one regular expression for each alternative of its braces. Names that begin with
// a dot are matched only by a pattern that writes the dot, as in a shell.
//
// Invariant: a pattern gives at most `ALTERNATIVES_MAX` expressions.

/** Alternatives that braces may ask for: `{1..n}` multiplies. */
const ALTERNATIVES_MAX = 1024;

export type Matcher = (path: string) => boolean;

/** The pattern without braces, in each of its alternatives. */
export function expandBraces(pattern: string): string[] {
  const done: string[] = [];
  const open = [pattern];
  for (let next = open.shift(); next !== undefined; next = open.shift()) {
    const alternatives = expandFirst(next);
    if (alternatives === undefined) done.push(next);
    else open.unshift(...alternatives);
    if (done.length + open.length > ALTERNATIVES_MAX) {
      throw new RangeError(`a glob pattern has more than ${ALTERNATIVES_MAX} alternatives, the limit`);
    }
  }
  return [...new Set(done)];
}

/** Alternatives of the first pair of braces that has any. */
function expandFirst(pattern: string): string[] | undefined {
  for (let start = 0; start < pattern.length; start++) {
    const sign = pattern[start];
    if (sign === "\\") start++;
    if (sign !== "{") continue;
    const found = bracesAt(pattern, start);
    if (found === undefined) continue;
    const [parts, end] = found;
    const options = parts.length > 1 ? parts : rangeOf(parts[0] as string);
    if (options === undefined) continue;
    return options.map((option) => `${pattern.slice(0, start)}${option}${pattern.slice(end)}`);
  }
  return undefined;
}

function bracesAt(pattern: string, start: number): [parts: string[], end: number] | undefined {
  const parts: string[] = [];
  let depth = 0;
  let from = start + 1;
  for (let at = start; at < pattern.length; at++) {
    const sign = pattern[at];
    if (sign === "\\") at++;
    else if (sign === "{") depth++;
    else if (sign === "," && depth === 1) {
      parts.push(pattern.slice(from, at));
      from = at + 1;
    } else if (sign === "}" && --depth === 0) {
      parts.push(pattern.slice(from, at));
      return [parts, at + 1];
    }
  }
  return undefined;
}

/** `1..5`, `a..e`, with an optional step. */
function rangeOf(text: string): string[] | undefined {
  const found = /^(-?\d+|[A-Za-z])\.\.(-?\d+|[A-Za-z])(?:\.\.(-?\d+))?$/.exec(text);
  if (found === null) return undefined;
  const [, first, last, given] = found as unknown as [string, string, string, string | undefined];
  const isNumeric = /\d/.test(first) && /\d/.test(last);
  if (!isNumeric && (/\d/.test(first) || /\d/.test(last))) return undefined;
  const [from, to] = isNumeric ? [Number(first), Number(last)] : [first.charCodeAt(0), last.charCodeAt(0)];
  const step = Math.max(1, Math.abs(Number(given ?? 1)));
  const width = isNumeric && /^-?0\d|^-?0\d/.test(`${first}`) ? Math.max(first.length, last.length) : 0;
  const options: string[] = [];
  for (let at = from; from <= to ? at <= to : at >= to; at += from <= to ? step : -step) {
    options.push(isNumeric ? String(at).padStart(width, "0") : String.fromCharCode(at));
    if (options.length > ALTERNATIVES_MAX) return undefined;
  }
  return options;
}

const NO_DOT = "(?!\\.)";

/** The expression of one name of a pattern. */
export function nameSource(name: string): string {
  const [source] = signs(name, 0, "");
  return /^[*?[]|^[@+!?*]\(/.test(name) ? NO_DOT + source : source;
}

/** Reads up to one of the characters of `until`; gives the expression and where it stopped. */
function signs(name: string, start: number, until: string): [source: string, end: number] {
  let source = "";
  let at = start;
  while (at < name.length && !until.includes(name[at] as string)) {
    const sign = name[at] as string;
    if (sign === "\\" && at + 1 < name.length) {
      source += escaped(name[at + 1] as string);
      at += 2;
    } else if ("?*+@!".includes(sign) && name[at + 1] === "(") {
      const group = groupAt(name, at);
      source += group === undefined ? escaped(sign) : group[0];
      at = group === undefined ? at + 1 : group[1];
    } else if (sign === "*") {
      while (name[at] === "*") at++;
      source += "[^/]*?";
    } else if (sign === "?") {
      source += "[^/]";
      at++;
    } else if (sign === "[") {
      const set = setAt(name, at);
      source += set === undefined ? "\\[" : set[0];
      at = set === undefined ? at + 1 : set[1];
    } else {
      source += escaped(sign);
      at++;
    }
  }
  return [source, at];
}

function groupAt(name: string, start: number): [source: string, end: number] | undefined {
  const options: string[] = [];
  let at = start + 1;
  do {
    const [source, end] = signs(name, at + 1, "|)");
    options.push(source);
    at = end;
  } while (name[at] === "|");
  if (name[at] !== ")") return undefined;
  const inner = `(?:${options.join("|")})`;
  const kind = name[start] as string;
  if (kind !== "!") return [`${inner}${kind === "@" ? "" : kind}`, at + 1];
  const [rest] = signs(name, at + 1, "|)");
  return [`(?!${inner}${rest}$)[^/]*?`, at + 1];
}

function setAt(name: string, start: number): [source: string, end: number] | undefined {
  const isNegated = name[start + 1] === "!" || name[start + 1] === "^";
  let at = start + (isNegated ? 2 : 1);
  let inner = "";
  for (let isFirst = true; at < name.length; isFirst = false) {
    const sign = name[at] as string;
    if (sign === "]" && !isFirst) return [`[${isNegated ? "^/" : ""}${inner}]`, at + 1];
    const posix = /^\[:(\w+):\]/.exec(name.slice(at));
    if (posix !== null) {
      inner += POSIX_CLASSES[posix[1] as string] ?? "";
      at += posix[0].length;
      continue;
    }
    if (sign === "\\" && at + 1 < name.length) at++;
    const literal = name[at] as string;
    inner += literal === "-" && sign === "-" ? "-" : /[\w\s]/.test(literal) ? literal : `\\${literal}`;
    at++;
  }
  return undefined;
}

const POSIX_CLASSES: Record<string, string> = {
  alpha: "A-Za-z",
  digit: "0-9",
  alnum: "A-Za-z0-9",
  upper: "A-Z",
  lower: "a-z",
  space: "\\s",
  blank: " \\t",
  punct: "!-\\/:-@\\[-`{-~",
  word: "\\w",
  xdigit: "A-Fa-f0-9",
};

function escaped(sign: string): string {
  return sign.replace(/[\\^$.*+?()[\]{}|/]/, "\\$&");
}

function sourceOf(pattern: string): string {
  const names = pattern.split("/");
  let source = "";
  names.forEach((name, index) => {
    const isLast = index === names.length - 1;
    if (name === "**") {
      source += isLast ? `(?:${NO_DOT}[^/]+(?:/${NO_DOT}[^/]+)*)?/?` : `(?:${NO_DOT}[^/]+/)*`;
    } else {
      source += `${nameSource(name)}${isLast ? "" : "/"}`;
    }
  });
  return source;
}

/** Whether a whole path matches. */
export function compileGlob(pattern: string): Matcher {
  const expressions = expandBraces(pattern).map((one) => new RegExp(`^(?:${sourceOf(one)})$`, "su"));
  return (path) => expressions.some((expression) => expression.test(path));
}
