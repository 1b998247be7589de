// Patterns of URLPattern (WHATWG URL Pattern): tokens, parts, the regular expression and the text that
// a list of parts stands for.
//
// Nothing here knows URLs: a canonicaliser is passed in for fixed text, and options say which character
// separates segments.
//
// Invariant: compiling the text of a component gives an equal component.

export type TokenType =
  | "open"
  | "close"
  | "regexp"
  | "name"
  | "char"
  | "escaped-char"
  | "other-modifier"
  | "asterisk"
  | "end"
  | "invalid-char";

export interface Token {
  type: TokenType;
  /** Where it begins in the input, in UTF-16 units. */
  index: number;
  value: string;
}

type Modifier = "" | "?" | "*" | "+";

interface Part {
  type: "fixed-text" | "regexp" | "segment-wildcard" | "full-wildcard";
  value: string;
  modifier: Modifier;
  name: string;
  prefix: string;
  suffix: string;
}

export interface PatternOptions {
  delimiter: string;
  prefix: string;
  ignoreCase: boolean;
}

/** Makes fixed text of a pattern look as it does in a parsed URL; throws TypeError where it cannot. */
export type Canonicalize = (text: string) => string;

export interface Component {
  pattern: string;
  regexp: RegExp;
  names: string[];
  hasRegExpGroups: boolean;
}

const NAME_START = /[$_\p{ID_Start}]/u;
const NAME_PART = /[$_\u200c\u200d\p{ID_Continue}]/u;
const ASCII = /^[\0-\x7f]$/;
const FULL_WILDCARD = ".*";

// ---- Tokens ------------------------------------------------------------------------------------

class Tokenizer {
  readonly tokens: Token[] = [];
  readonly input: string;
  readonly strict: boolean;
  /** The start of the token being read, and the place behind the last character read. */
  index = 0;
  next = 0;

  constructor(input: string, strict: boolean) {
    this.input = input;
    this.strict = strict;
  }

  /** Reads the character at `at`. */
  charAt(at: number): string {
    const char = String.fromCodePoint(this.input.codePointAt(at) as number);
    this.next = at + char.length;
    return char;
  }

  add(type: TokenType, next: number, valueStart: number, valueEnd: number = next): void {
    this.tokens.push({ type, index: this.index, value: this.input.slice(valueStart, valueEnd) });
    this.index = next;
  }

  fail(next: number, valueStart: number, what: string): void {
    if (this.strict) {
      throw new TypeError(`URLPattern: ${what} at index ${valueStart} of ${JSON.stringify(this.input)}`);
    }
    this.add("invalid-char", next, valueStart);
  }

  run(): Token[] {
    while (this.index < this.input.length) {
      this.step(this.charAt(this.index));
    }
    this.add("end", this.index, this.index);
    return this.tokens;
  }

  step(char: string): void {
    switch (char) {
      case "*":
        return this.add("asterisk", this.next, this.index);
      case "+":
      case "?":
        return this.add("other-modifier", this.next, this.index);
      case "{":
        return this.add("open", this.next, this.index);
      case "}":
        return this.add("close", this.next, this.index);
      case "\\":
        return this.escaped();
      case ":":
        return this.name();
      case "(":
        return this.regexp();
      default:
        return this.add("char", this.next, this.index);
    }
  }

  escaped(): void {
    if (this.next >= this.input.length) {
      return this.fail(this.next, this.index, "a backslash with nothing to escape");
    }
    const start = this.next;
    this.charAt(start);
    this.add("escaped-char", this.next, start);
  }

  name(): void {
    const start = this.next;
    let end = start;
    while (end < this.input.length) {
      const char = this.charAt(end);
      if (!(end === start ? NAME_START : NAME_PART).test(char)) {
        break;
      }
      end = this.next;
    }
    if (end === start) {
      return this.fail(start, this.index, "a ':' without a name");
    }
    this.add("name", end, start);
  }

  regexp(): void {
    const start = this.next;
    const end = this.regexpEnd(start);
    if (end === undefined) {
      return this.fail(start, this.index, "a malformed regular expression group");
    }
    this.add("regexp", end, start, end - 1);
  }

  /** The place behind the closing parenthesis of the group whose text begins at `start`. */
  regexpEnd(start: number): number | undefined {
    const { input } = this;
    let depth = 1;
    let at = start;
    while (at < input.length) {
      const char = this.charAt(at);
      if (!ASCII.test(char) || (at === start && char === "?")) {
        return undefined;
      }
      at = this.next;
      if (char === "\\") {
        if (at >= input.length || !ASCII.test(this.charAt(at))) {
          return undefined;
        }
        at = this.next;
      } else if (char === ")") {
        depth -= 1;
        if (depth === 0) {
          return at - 1 === start ? undefined : at;
        }
      } else if (char === "(") {
        depth += 1;
        // Only groups that capture nothing: others would shift the numbers of ours.
        if (input[at] !== "?") {
          return undefined;
        }
      }
    }
    return undefined;
  }
}

/** Lenient tokenizing gives "invalid-char" tokens where strict tokenizing throws. */
export function tokenize(input: string, policy: "strict" | "lenient"): Token[] {
  return new Tokenizer(input, policy === "strict").run();
}

// ---- Parts -------------------------------------------------------------------------------------

class PatternParser {
  readonly parts: Part[] = [];
  readonly tokens: Token[];
  readonly canonicalize: Canonicalize;
  readonly segmentWildcard: string;
  readonly prefix: string;
  readonly input: string;
  at = 0;
  pending = "";
  nextNumber = 0;

  constructor(input: string, options: PatternOptions, canonicalize: Canonicalize) {
    this.input = input;
    this.tokens = tokenize(input, "strict");
    this.canonicalize = canonicalize;
    this.segmentWildcard = segmentWildcardOf(options);
    this.prefix = options.prefix;
  }

  take(type: TokenType): Token | undefined {
    const token = this.tokens[this.at];
    if (token?.type !== type) {
      return undefined;
    }
    this.at += 1;
    return token;
  }

  require(type: TokenType): void {
    if (this.take(type) === undefined) {
      const found = this.tokens[this.at];
      throw new TypeError(
        `URLPattern: unexpected ${found?.type ?? "end"} at index ${found?.index ?? this.input.length} of ${JSON.stringify(this.input)}`,
      );
    }
  }

  takeRegexpOrWildcard(name: Token | undefined): Token | undefined {
    return this.take("regexp") ?? (name === undefined ? this.take("asterisk") : undefined);
  }

  takeModifier(): Modifier {
    return ((this.take("other-modifier") ?? this.take("asterisk"))?.value ?? "") as Modifier;
  }

  takeText(): string {
    let text = "";
    for (;;) {
      const token = this.take("char") ?? this.take("escaped-char");
      if (token === undefined) {
        return text;
      }
      text += token.value;
    }
  }

  run(): Part[] {
    while (this.at < this.tokens.length) {
      this.step();
    }
    return this.parts;
  }

  step(): void {
    const char = this.take("char");
    const name = this.take("name");
    const regexp = this.takeRegexpOrWildcard(name);
    if (name !== undefined || regexp !== undefined) {
      let prefix = char?.value ?? "";
      if (prefix !== "" && prefix !== this.prefix) {
        this.pending += prefix;
        prefix = "";
      }
      this.flushPending();
      this.addPart(prefix, name, regexp, "", this.takeModifier());
      return;
    }
    const fixed = char ?? this.take("escaped-char");
    if (fixed !== undefined) {
      this.pending += fixed.value;
      return;
    }
    if (this.take("open") !== undefined) {
      const prefix = this.takeText();
      const innerName = this.take("name");
      const innerRegexp = this.takeRegexpOrWildcard(innerName);
      const suffix = this.takeText();
      this.require("close");
      this.addPart(prefix, innerName, innerRegexp, suffix, this.takeModifier());
      return;
    }
    this.flushPending();
    this.require("end");
  }

  flushPending(): void {
    if (this.pending !== "") {
      const value = this.canonicalize(this.pending);
      this.pending = "";
      this.parts.push({ type: "fixed-text", value, modifier: "", name: "", prefix: "", suffix: "" });
    }
  }

  addPart(prefix: string, name: Token | undefined, regexp: Token | undefined, suffix: string, modifier: Modifier): void {
    if (name === undefined && regexp === undefined && modifier === "") {
      this.pending += prefix;
      return;
    }
    this.flushPending();
    if (name === undefined && regexp === undefined) {
      if (prefix !== "") {
        const value = this.canonicalize(prefix);
        this.parts.push({ type: "fixed-text", value, modifier, name: "", prefix: "", suffix: "" });
      }
      return;
    }
    const source =
      regexp === undefined ? this.segmentWildcard : regexp.type === "asterisk" ? FULL_WILDCARD : regexp.value;
    const type =
      source === this.segmentWildcard ? "segment-wildcard" : source === FULL_WILDCARD ? "full-wildcard" : "regexp";
    const label = name === undefined ? `${this.nextNumber++}` : name.value;
    if (this.parts.some((part) => part.name === label)) {
      throw new TypeError(`URLPattern: the name '${label}' occurs twice in ${JSON.stringify(this.input)}`);
    }
    this.parts.push({
      type,
      value: type === "regexp" ? source : "",
      modifier,
      name: label,
      prefix: this.canonicalize(prefix),
      suffix: this.canonicalize(suffix),
    });
  }
}

function segmentWildcardOf(options: PatternOptions): string {
  return `[^${escapeRegexp(options.delimiter)}]+?`;
}

/** What a segment wildcard is compiled to; without a delimiter that is anything at all. */
function anySegment(options: PatternOptions): string {
  return options.delimiter === "" ? "[\\s\\S]+?" : segmentWildcardOf(options);
}

function escapeRegexp(text: string): string {
  return text.replace(/[.+*?^${}()[\]|/\\]/g, "\\$&");
}

/** Makes text of a URL stand for itself in a pattern. */
export function escapePattern(text: string): string {
  return text.replace(/[+*?:{}()\\]/g, "\\$&");
}

// ---- Components --------------------------------------------------------------------------------

/** "Compile a component". */
export function compileComponent(input: string, canonicalize: Canonicalize, options: PatternOptions): Component {
  const parts = new PatternParser(input, options, canonicalize).run();
  const names: string[] = [];
  const source = regexpOf(parts, options, names);
  let regexp: RegExp;
  try {
    regexp = new RegExp(source, options.ignoreCase ? "vi" : "v");
  } catch (error) {
    throw new TypeError(`URLPattern: ${JSON.stringify(input)} is not a valid pattern: ${(error as Error).message}`);
  }
  return {
    pattern: patternOf(parts, options),
    regexp,
    names,
    hasRegExpGroups: parts.some((part) => part.type === "regexp"),
  };
}

function regexpOf(parts: readonly Part[], options: PatternOptions, names: string[]): string {
  let source = "^";
  for (const part of parts) {
    if (part.type === "fixed-text") {
      const text = escapeRegexp(part.value);
      source += part.modifier === "" ? text : `(?:${text})${part.modifier}`;
    } else {
      names.push(part.name);
      source += groupOf(part, options);
    }
  }
  return `${source}$`;
}

function groupOf(part: Part, options: PatternOptions): string {
  const inner =
    part.type === "segment-wildcard"
      ? anySegment(options)
      : part.type === "full-wildcard"
        ? FULL_WILDCARD
        : part.value;
  const { modifier } = part;
  const repeats = modifier === "*" || modifier === "+";
  if (part.prefix === "" && part.suffix === "") {
    return repeats ? `((?:${inner})${modifier})` : `(${inner})${modifier}`;
  }
  const prefix = escapeRegexp(part.prefix);
  const suffix = escapeRegexp(part.suffix);
  if (!repeats) {
    return `(?:${prefix}(${inner})${suffix})${modifier}`;
  }
  // The prefix and suffix stand between the repeats, too, and the group takes in all of them.
  const many = `(?:${prefix}((?:${inner})(?:${suffix}${prefix}(?:${inner}))*)${suffix})`;
  return modifier === "*" ? `${many}?` : many;
}

function patternOf(parts: readonly Part[], options: PatternOptions): string {
  let pattern = "";
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as Part;
    if (part.type === "fixed-text") {
      const text = escapePattern(part.value);
      pattern += part.modifier === "" ? text : `{${text}}${part.modifier}`;
      continue;
    }
    pattern += partText(part, parts[i - 1], parts[i + 1], options);
  }
  return pattern;
}

const DIGIT_FIRST = /^[0-9]/;

function startsAsName(text: string): boolean {
  const first = text.codePointAt(0);
  return first !== undefined && NAME_PART.test(String.fromCodePoint(first));
}

function partText(part: Part, previous: Part | undefined, next: Part | undefined, options: PatternOptions): string {
  const named = !DIGIT_FIRST.test(part.name);
  const grouped = needsGrouping(part, previous, next, named, options);
  let text = escapePattern(part.prefix);
  if (named) {
    text += `:${part.name}`;
  }
  if (part.type === "regexp") {
    text += `(${part.value})`;
  } else if (part.type === "segment-wildcard") {
    text += named ? "" : `(${segmentWildcardOf(options)})`;
  } else {
    const alone =
      !named &&
      (previous === undefined ||
        previous.type === "fixed-text" ||
        previous.modifier !== "" ||
        grouped ||
        part.prefix !== "");
    text += alone ? "*" : `(${FULL_WILDCARD})`;
  }
  if (part.type === "segment-wildcard" && named && startsAsName(part.suffix)) {
    text += "\\";
  }
  text += escapePattern(part.suffix);
  return (grouped ? `{${text}}` : text) + part.modifier;
}

function needsGrouping(
  part: Part,
  previous: Part | undefined,
  next: Part | undefined,
  named: boolean,
  options: PatternOptions,
): boolean {
  if (part.suffix !== "" || (part.prefix !== "" && part.prefix !== options.prefix)) {
    return true;
  }
  if (
    named &&
    part.type === "segment-wildcard" &&
    part.modifier === "" &&
    next !== undefined &&
    next.prefix === "" &&
    next.suffix === ""
  ) {
    if (next.type === "fixed-text" ? startsAsName(next.value) : DIGIT_FIRST.test(next.name)) {
      return true;
    }
  }
  return (
    part.prefix === "" &&
    options.prefix !== "" &&
    previous !== undefined &&
    previous.type === "fixed-text" &&
    previous.value.endsWith(options.prefix)
  );
}
