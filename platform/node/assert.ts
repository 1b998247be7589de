// node:assert and node:assert/strict.
//
// As in Workers `equal`, `deepEqual` and their opposites are the strict ones, whichever module they come
// from. `CallTracker` is absent.
//
// Invariant: everything thrown for a failed assertion is an AssertionError, unless the caller gave
// an error of their own.

import { inspect } from "../web/inspect.ts";
import { diffLines } from "./diff.ts";
import { isDeepEqual } from "./equality.ts";
import { isPartlyEqual } from "./equality-partial.ts";
import { coded, invalidArgType, invalidArgValue, invalidReturnValue, missingArgs } from "./errors.ts";

interface AssertionOptions {
  message?: string | undefined;
  actual?: unknown;
  expected?: unknown;
  operator?: string;
  stackStartFn?: unknown;
}

export class AssertionError extends Error {
  readonly generatedMessage: boolean;
  readonly code = "ERR_ASSERTION";
  readonly actual: unknown;
  readonly expected: unknown;
  readonly operator: string | undefined;

  constructor(options: AssertionOptions) {
    if (typeof options !== "object" || options === null) {
      throw invalidArgType("options", ["object"], options);
    }
    super(options.message !== undefined ? String(options.message) : generated(options));
    this.generatedMessage = options.message === undefined;
    this.actual = options.actual;
    this.expected = options.expected;
    this.operator = options.operator;
  }

  override toString(): string {
    return `${this.name} [${this.code}]: ${this.message}`;
  }
}
Object.defineProperty(AssertionError.prototype, "name", { value: "AssertionError", writable: true, configurable: true });

const SENTENCES: Record<string, string> = {
  strictEqual: "Expected values to be strictly equal:",
  deepStrictEqual: "Expected values to be strictly deep-equal:",
  deepEqual: "Expected values to be loosely deep-equal:",
  notStrictEqual: 'Expected "actual" to be strictly unequal to:',
  notDeepStrictEqual: 'Expected "actual" not to be strictly deep-equal to:',
  notDeepEqual: 'Expected "actual" not to be loosely deep-equal to:',
};

/** What the comparisons say of themselves; an AssertionError made by hand has the sentences above. */
const WORDS: Record<string, (actual: unknown, expected: unknown) => string> = {
  strictEqual: (actual, expected) => {
    const [left, right] = [inspect(actual), inspect(expected)];
    if (left !== right) return `Values are not strictly equal:\n\n\n[Diff] Actual / Expected\n\n\n${shownDiff(left, right)}\n`;
    const indented = left.split("\n").map((line) => `    ${line}`).join("\n");
    return `Values have the same structure but are not reference-equal:\n\n${indented}\n`;
  },
  notStrictEqual: () => "Expected actual to be strictly unequal to expected",
  notDeepStrictEqual: () => "Expected actual to not be deeply strictly equal to expected",
  partialDeepStrictEqual: () => "Expected actual to be partially deeply strictly equal to expected",
};

const MARKS: Record<string, string> = { "1": "-   ", "-1": "+   ", "0": "    " };

function shownDiff(actual: string, expected: string): string {
  const lines = diffLines(actual.split("\n"), expected.split("\n"));
  return lines.map(([kind, line]) => `${MARKS[String(kind)]}${line}`).join("\n");
}

function generated({ actual, expected, operator = "" }: AssertionOptions): string {
  const sentence = SENTENCES[operator];
  if (sentence === undefined) return `${inspect(actual)} ${operator} ${inspect(expected)}`;
  if (operator.startsWith("not")) return `${sentence} ${inspect(expected)}`;
  return `${sentence}\n\n${inspect(actual)} !== ${inspect(expected)}\n`;
}

function failWith(message: unknown, options: AssertionOptions): never {
  if (message instanceof Error) throw message;
  const error = new AssertionError({ ...options, message: message === undefined ? options.message : String(message) });
  // Words of ours are words that nobody gave.
  if (message === undefined) Object.assign(error, { generatedMessage: true });
  throw error;
}

// ---- plain assertions

function ok(value?: unknown, message?: unknown): asserts value {
  if (value) return;
  const missing = arguments.length === 0 ? "No value argument passed to `assert.ok()`" : undefined;
  failWith(message, {
    message: missing ?? `${inspect(value)} == true`,
    actual: value,
    expected: true,
    operator: "==",
  });
}

function fail(message?: unknown): never {
  return failWith(message ?? undefined, { message: "Failed", operator: "fail" });
}

type Comparison = (actual: unknown, expected: unknown, message?: unknown) => void;

function comparison(operator: string, holds: (actual: unknown, expected: unknown) => boolean): Comparison {
  return function (actual: unknown, expected: unknown, message?: unknown): void {
    if (arguments.length < 2) throw missingArgs("actual", "expected");
    if (holds(actual, expected)) return;
    const words = WORDS[operator]?.(actual, expected);
    failWith(message || undefined, { actual, expected, operator, message: words });
  };
}

const strictEqual = comparison("strictEqual", Object.is);
const notStrictEqual = comparison("notStrictEqual", (a, b) => !Object.is(a, b));
const deepStrictEqual = comparison("deepStrictEqual", (a, b) => isDeepEqual(a, b, "strict"));
const partialDeepStrictEqual = comparison("partialDeepStrictEqual", (a, b) => isPartlyEqual(a, b));
const notDeepStrictEqual = comparison("notDeepStrictEqual", (a, b) => !isDeepEqual(a, b, "strict"));

function requirePattern(pattern: unknown): RegExp {
  if (!(pattern instanceof RegExp)) throw invalidArgType("regexp", ["RegExp"], pattern);
  return pattern;
}

function match(text: unknown, pattern: unknown, message?: unknown): void {
  if (arguments.length < 2) throw missingArgs("actual", "regexp");
  const wanted = requirePattern(pattern);
  if (wanted.test(text as string)) return;
  const generated = `actual: "${String(text)}" expected to match: "${String(wanted)}"`;
  failWith(message || undefined, { message: generated, actual: text, expected: wanted, operator: "match" });
}

function doesNotMatch(text: unknown, pattern: unknown, message?: unknown): void {
  if (arguments.length < 2) throw missingArgs("string", "regexp");
  const wanted = requirePattern(pattern);
  const isText = typeof text === "string";
  if (isText && !wanted.test(text)) return;
  const generated = isText
    ? `actual: "${text}" expected to not match: "${String(wanted)}"`
    : `The "string" argument must be of type string. Received type ${typeof text} (${inspect(text)})`;
  failWith(message || undefined, { message: generated, actual: text, expected: wanted, operator: "doesNotMatch" });
}

function ifError(value: unknown): void {
  if (value === null || value === undefined) return;
  const words = value instanceof Error ? value.message || value.constructor.name : inspect(value);
  failWith(undefined, {
    message: `ifError got unwanted exception: ${words}`,
    actual: value,
    expected: null,
    operator: "ifError",
  });
}

// ---- errors

const NOTHING_THROWN: unique symbol = Symbol("nothing was thrown");

function thrownBy(work: unknown): unknown {
  if (typeof work !== "function") {
    throw invalidArgType("fn", ["function"], work);
  }
  try {
    work();
  } catch (error) {
    return error;
  }
  return NOTHING_THROWN;
}

async function rejectedBy(work: unknown): Promise<unknown> {
  let promise: unknown = work;
  // An RpcPromise can be called as well as awaited; it is meant as a promise.
  if (typeof work === "function" && !isThenable(work)) {
    promise = work();
    if (!isThenable(promise)) {
      throw invalidReturnValue("instance of Promise", "promiseFn", promise);
    }
  } else if (!isThenable(work)) {
    throw invalidArgType("promiseFn", ["function", "Promise"], work);
  }
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return NOTHING_THROWN;
}

function isThenable(value: unknown): boolean {
  const isObject = (typeof value === "object" && value !== null) || typeof value === "function";
  return isObject && typeof (value as { then?: unknown }).then === "function";
}

function checkThrown(thrown: unknown, expected: unknown, message: unknown, operator: string): void {
  if (typeof expected === "string") {
    if (thrown !== NOTHING_THROWN) requireUnlike(thrown, expected, message);
    [expected, message] = [undefined, expected];
  }
  if (thrown === NOTHING_THROWN) {
    const kind = operator === "rejects" ? "rejection" : "exception";
    const isClass = typeof expected === "function" && (expected as { prototype?: unknown }).prototype !== undefined;
    const named = isClass || (typeof expected === "function" && typeof message === "string");
    const name = named && (expected as { name: string }).name !== "" ? ` (${(expected as { name: string }).name})` : "";
    const more = typeof message === "string" ? `: ${message}` : ".";
    if (message instanceof Error) throw message;
    throw new AssertionError({ message: `Missing expected ${kind}${name}${more}`, expected, operator });
  }
  if (expected === undefined || expected === null) return;
  if (expected instanceof RegExp) {
    if (expected.test(String(thrown))) return;
    const generated = `The input did not match the regular expression ${inspect(expected)}. Input:\n\n${inspect(String(thrown))}\n`;
    return failWith(message, { message: generated, actual: thrown, expected, operator });
  }
  if (typeof expected === "function") return checkWithFunction(thrown, expected, message, operator);
  if (typeof expected === "object") return checkWithObject(thrown, expected, message, operator);
}

function checkWithFunction(thrown: unknown, expected: object, message: unknown, operator: string): void {
  const maker = expected as { prototype?: unknown; name: string };
  if (maker.prototype !== undefined && thrown instanceof (expected as new () => object)) return;
  if (expected === Error || Object.prototype.isPrototypeOf.call(Error, expected)) {
    const found = thrown instanceof Error ? thrown.constructor.name : inspect(thrown);
    const text = thrown instanceof Error ? thrown.message : undefined;
    const generated = `The error is expected to be an instance of "${maker.name}". Received "${found}"\n\nError message:\n\n${text}`;
    return failWith(message, { message: generated, actual: thrown, expected, operator });
  }
  const verdict: unknown = Reflect.apply(expected as (error: unknown) => unknown, {}, [thrown]);
  if (verdict === true) return;
  const generated =
    `The ${maker.name === "" ? "" : `"${maker.name}" `}validation function is expected to return "true". ` +
    `Received ${inspect(verdict)}\n\nCaught error:\n\n${String(thrown)}`;
  failWith(message, { message: generated, actual: thrown, expected, operator });
}

function checkWithObject(thrown: unknown, expected: object, message: unknown, operator: string): void {
  const keys = Object.keys(expected);
  // The two that every error has are not enumerable on an error given as the expectation.
  if (expected instanceof Error) keys.push("name", "message");
  for (const key of keys) {
    const actual: unknown = (thrown as Record<string, unknown> | null | undefined)?.[key];
    const wanted: unknown = (expected as Record<string, unknown>)[key];
    if (typeof actual === "string" && wanted instanceof RegExp && wanted.test(actual)) continue;
    if (isDeepEqual(actual, wanted, "strict")) continue;
    const generated = `${SENTENCES["deepStrictEqual"]}\n\n${key}: ${inspect(actual)} !== ${inspect(wanted)}\n`;
    failWith(message, { message: generated, actual: thrown, expected, operator });
  }
}

/** A second argument that is a text is the message of the assertion, not of the error. */
function requireUnlike(thrown: unknown, text: string, message: unknown): void {
  if (message !== undefined && message !== null) {
    throw invalidArgType("error", ["Object", "Error", "Function", "RegExp"], text);
  }
  const isError = typeof thrown === "object" && thrown !== null;
  if ((isError ? (thrown as { message?: unknown }).message : thrown) !== text) return;
  const what = isError ? "error message" : "error";
  const words = `The "error/message" argument is ambiguous. The ${what} "${text}" is identical to the message.`;
  throw coded(new TypeError(words), "ERR_AMBIGUOUS_ARGUMENT");
}

/** What may be expected of an error; checked before anything is called. */
function requireExpectation(work: unknown, expected: unknown, message: unknown): void {
  if (typeof work !== "function") throw invalidArgType("fn", ["function"], work);
  const isEmpty = typeof expected === "object" && expected !== null && Object.getPrototypeOf(expected) === Object.prototype && Object.keys(expected).length === 0;
  if (isEmpty) throw invalidArgValue("error", expected, "may not be an empty object");
  const isText = typeof expected === "string" && typeof message !== "string";
  const isNothing = expected === undefined && typeof message !== "string";
  if (isText || isNothing || typeof expected === "function" || typeof expected === "object") return;
  throw invalidArgType("error", ["Function", "Error", "RegExp", "Object"], expected);
}

function throws(work: unknown, expected?: unknown, message?: unknown): void {
  requireExpectation(work, expected, message);
  checkThrown(thrownBy(work), expected, message, "throws");
}

async function rejects(work: unknown, expected?: unknown, message?: unknown): Promise<void> {
  checkThrown(await rejectedBy(work), expected, message, "rejects");
}

function checkNotThrown(thrown: unknown, expected: unknown, message: unknown, operator: string): void {
  if (thrown === NOTHING_THROWN) return;
  if (typeof expected === "string") [expected, message] = [undefined, expected];
  if (typeof expected === "function" && !(thrown instanceof (expected as new () => object))) throw thrown;
  const words = typeof message === "string" ? `: ${message}` : ".";
  const found = thrown instanceof Error ? thrown.message : inspect(thrown);
  throw new AssertionError({
    message: `Got unwanted exception${words}\nActual message: "${found}"`,
    actual: thrown,
    expected,
    operator,
  });
}

function doesNotThrow(work: unknown, expected?: unknown, message?: unknown): void {
  const isExpectation = expected === undefined || expected instanceof RegExp || typeof expected === "function" || typeof expected === "string";
  if (typeof work === "function" && !isExpectation) throw invalidArgType("expected", ["Function", "RegExp"], expected);
  checkNotThrown(thrownBy(work), expected, message, "doesNotThrow");
}

async function doesNotReject(work: unknown, expected?: unknown, message?: unknown): Promise<void> {
  checkNotThrown(await rejectedBy(work), expected, message, "doesNotReject");
}

// ---- the modules

const named = <T extends object>(name: string, made: T): T => Object.defineProperty(made, "name", { value: name, configurable: true });

const shared = {
  AssertionError,
  ok: named("assert", ok),
  fail,
  strictEqual,
  notStrictEqual,
  deepStrictEqual,
  notDeepStrictEqual,
  partialDeepStrictEqual,
  match,
  doesNotMatch,
  ifError,
  throws,
  rejects,
  doesNotThrow,
  doesNotReject,
};

function callable(members: Record<string, unknown>): Record<string, unknown> {
  const assert = function (...args: [unknown?, unknown?]): void {
    ok(...args);
  };
  return Object.assign(assert, members) as unknown as Record<string, unknown>;
}

for (const [name, made] of Object.entries({ strictEqual, notStrictEqual, deepStrictEqual, notDeepStrictEqual, partialDeepStrictEqual })) named(name, made);

/** Each of these passes all three on, so that none of them misses an argument. */
const strictly = (name: string, work: Comparison): Comparison =>
  named(name, (actual: unknown, expected: unknown, message?: unknown): void => work(actual, expected, message));

const lenient = {
  equal: strictly("equal", strictEqual),
  notEqual: strictly("notEqual", notStrictEqual),
  deepEqual: strictly("deepEqual", deepStrictEqual),
  notDeepEqual: strictly("notDeepEqual", notDeepStrictEqual),
};

const strict = callable({ ...shared, ...lenient });
strict["strict"] = strict;
const assert = callable({ ...shared, ...lenient, strict });

function moduleOf(main: Record<string, unknown>): Record<string, unknown> {
  return { ...main, default: main };
}

export const assertModule: Record<string, unknown> = moduleOf(assert);
export const assertStrictModule: Record<string, unknown> = moduleOf(strict);
