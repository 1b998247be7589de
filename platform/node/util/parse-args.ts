// `util.parseArgs`: command lines, as Node.js documents it.
//
// Invariant: nothing is added to `values` that `options` does not name, unless `strict` is off.

import { checkBoolean, checkObject, checkOneOf, checkText, failure } from "../checks.ts";
import { invalidArgType } from "../errors.ts";

interface Option {
  readonly type: "string" | "boolean";
  readonly short: string | undefined;
  readonly multiple: boolean;
  readonly fallback: unknown;
}

type Token =
  | { kind: "option"; index: number; name: string; rawName: string; value: string | undefined; inlineValue: boolean | undefined }
  | { kind: "positional"; index: number; value: string }
  | { kind: "option-terminator"; index: number };

function checkDefault(name: string, value: unknown, type: string, multiple: boolean): unknown {
  const label = `options.${name}.default`;
  if (!multiple) {
    if (typeof value !== type) throw invalidArgType(label, [type], value);
    return value;
  }
  if (!Array.isArray(value)) throw invalidArgType(label, ["Array"], value);
  value.forEach((item, index) => {
    if (typeof item !== type) throw invalidArgType(`${label}[${index}]`, [type], item);
  });
  return value;
}

function readOptions(given: unknown): Map<string, Option> {
  const found = new Map<string, Option>();
  for (const [name, value] of Object.entries(checkObject(given, "options"))) {
    const config = checkObject(value, `options.${name}`);
    const type = checkOneOf(config["type"] as "string", `options.${name}.type`, ["string", "boolean"]) as Option["type"];
    let short: string | undefined;
    if (Object.hasOwn(config, "short")) {
      short = checkText(config["short"], `options.${name}.short`);
      if (short.length !== 1) {
        throw failure(TypeError, "ERR_INVALID_ARG_VALUE", `The property 'options.${name}.short' must be a single character. Received '${short}'`);
      }
    }
    const multiple = Object.hasOwn(config, "multiple") ? checkBoolean(config["multiple"], `options.${name}.multiple`) : false;
    const fallback = config["default"] === undefined ? undefined : checkDefault(name, config["default"], type, multiple);
    found.set(name, { type, short, multiple, fallback });
  }
  return found;
}

function longOf(short: string, options: Map<string, Option>): string {
  for (const [name, option] of options) if (option.short === short) return name;
  return short;
}

function isOptionLike(text: string | undefined): boolean {
  return text !== undefined && text.length > 1 && text.startsWith("-");
}

function tokensOf(args: readonly string[], options: Map<string, Option>): Token[] {
  const tokens: Token[] = [];
  const queue = [...args];
  let index = -1;
  /** An option that stands alone: its value, where it takes one, is the next argument. */
  const pushOption = (name: string, rawName: string): void => {
    const value = options.get(name)?.type === "string" ? queue.shift() : undefined;
    const inlineValue = value === undefined ? undefined : false;
    tokens.push({ kind: "option", name, rawName, index, value, inlineValue });
    if (value !== undefined) index++;
  };
  while (queue.length > 0) {
    const arg = queue.shift() as string;
    const next = queue[0];
    index++;
    if (arg === "--") {
      tokens.push({ kind: "option-terminator", index });
      for (const value of queue) tokens.push({ kind: "positional", index: ++index, value });
      break;
    }
    const isShort = /^-[^-]/.test(arg);
    if (isShort && arg.length === 2) {
      pushOption(longOf(arg[1] as string, options), arg);
      continue;
    }
    if (isShort) {
      const first = longOf(arg[1] as string, options);
      if (options.get(first)?.type === "string") {
        tokens.push({ kind: "option", name: first, rawName: arg.slice(0, 2), index, value: arg.slice(2), inlineValue: true });
        continue;
      }
      // A group: each letter is an option, and the first that takes a value takes the rest.
      for (let at = 1; at < arg.length; at++) {
        const letter = arg[at] as string;
        const name = longOf(letter, options);
        const takesValue = options.get(name)?.type === "string";
        let value: string | undefined;
        let inlineValue: boolean | undefined;
        if (takesValue && at < arg.length - 1) [value, inlineValue] = [arg.slice(at + 1), true];
        else if (takesValue && next !== undefined) [value, inlineValue] = [queue.shift(), false];
        tokens.push({ kind: "option", name, rawName: `-${letter}`, index, value, inlineValue });
        if (inlineValue === false) index++;
        if (inlineValue === true) break;
      }
      continue;
    }
    if (arg.startsWith("--") && arg.length > 2) {
      const equals = arg.indexOf("=", 3);
      if (equals >= 0) {
        const name = arg.slice(2, equals);
        tokens.push({ kind: "option", name, rawName: `--${name}`, index, value: arg.slice(equals + 1), inlineValue: true });
        continue;
      }
      pushOption(arg.slice(2), arg);
      continue;
    }
    tokens.push({ kind: "positional", index, value: arg });
  }
  return tokens;
}

type OptionToken = Extract<Token, { kind: "option" }>;

function checkUsage(token: OptionToken, options: Map<string, Option>, allowPositionals: boolean, allowNegative: boolean): void {
  const negated = allowNegative && token.name.startsWith("no-") ? token.name.slice(3) : undefined;
  const isNegated = negated !== undefined && options.get(negated)?.type === "boolean";
  const option = options.get(isNegated ? negated : token.name);
  if (option === undefined) {
    const more = allowPositionals ? `. To specify a positional argument starting with a '-', place it at the end of the command after '--', as in '-- "${token.rawName}"` : "";
    throw failure(TypeError, "ERR_PARSE_ARGS_UNKNOWN_OPTION", `Unknown option '${token.rawName}'${more}`);
  }
  const shown = `${option.short === undefined ? "" : `-${option.short}, `}--${token.name}`;
  if (option.type === "string" && typeof token.value !== "string") {
    throw failure(TypeError, "ERR_PARSE_ARGS_INVALID_OPTION_VALUE", `Option '${shown} <value>' argument missing`);
  }
  if (option.type === "boolean" && token.value !== undefined) {
    throw failure(TypeError, "ERR_PARSE_ARGS_INVALID_OPTION_VALUE", `Option '${shown}' does not take an argument`);
  }
  if (option.type === "string" && token.inlineValue === false && isOptionLike(token.value)) {
    const example = token.rawName.startsWith("--") ? `'${token.rawName}=-XYZ'` : `'--${token.name}=-XYZ' or '${token.rawName}-XYZ'`;
    const message = `Option '${token.rawName}' argument is ambiguous.\nDid you forget to specify the option argument for '${token.rawName}'?\nTo specify an option argument starting with a dash use ${example}.`;
    throw failure(TypeError, "ERR_PARSE_ARGS_INVALID_OPTION_VALUE", message);
  }
}

function store(values: Record<string, unknown>, token: OptionToken, options: Map<string, Option>, allowNegative: boolean): void {
  let { name } = token;
  let value: unknown = token.value ?? true;
  if (name === "__proto__") return;
  if (allowNegative && name.startsWith("no-") && token.value === undefined) {
    name = name.slice(3);
    value = false;
  }
  if (options.get(name)?.multiple !== true) values[name] = value;
  else if (Array.isArray(values[name])) (values[name] as unknown[]).push(value);
  else values[name] = [value];
}

export function parseArgs(given: unknown = {}): Record<string, unknown> {
  const config = checkObject(given, "config");
  const args = config["args"] ?? [];
  if (!Array.isArray(args)) throw invalidArgType("args", ["Array"], args);
  const strict = checkBoolean(config["strict"] ?? true, "strict");
  const allowPositionals = checkBoolean(config["allowPositionals"] ?? !strict, "allowPositionals");
  const allowNegative = checkBoolean(config["allowNegative"] ?? false, "allowNegative");
  const wantsTokens = checkBoolean(config["tokens"] ?? false, "tokens");
  const options = readOptions(config["options"] ?? {});
  const tokens = tokensOf(args.map(String), options);
  const values = Object.create(null) as Record<string, unknown>;
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === "option") {
      if (strict) checkUsage(token, options, allowPositionals, allowNegative);
      store(values, token, options, allowNegative);
    } else if (token.kind === "positional") {
      if (!allowPositionals) {
        throw failure(TypeError, "ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL", `Unexpected argument '${token.value}'. This command does not take positional arguments`);
      }
      positionals.push(token.value);
    }
  }
  for (const [name, option] of options) {
    if (option.fallback !== undefined && !Object.hasOwn(values, name)) values[name] = option.fallback;
  }
  return wantsTokens ? { values, positionals, tokens } : { values, positionals };
}
