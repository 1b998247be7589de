// node:assert and node:assert/strict.
//
// Messages show both values but no line-by-line difference, and `CallTracker` is absent.
//
// Invariant: everything thrown for a failed assertion is an AssertionError, unless the caller gave
// an error of their own.

import { inspect } from "../web/inspect.ts";
import { isDeepEqual } from "./equality.ts";
import { isPartlyEqual } from "./equality-partial.ts";

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
      throw coded(new TypeError('The "options" argument must be of type object.'), "ERR_INVALID_ARG_TYPE");
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
  partialDeepStrictEqual: "Expected values to be partially and strictly deep-equal:",
  notStrictEqual: 'Expected "actual" to be strictly unequal to:',
  notDeepStrictEqual: 'Expected "actual" not to be strictly deep-equal to:',
  notDeepEqual: 'Expected "actual" not to be loosely deep-equal to:',
};

function generated({ actual, expected, operator = "" }: AssertionOptions): string {
  const sentence = SENTENCES[operator];
  if (sentence === undefined) return `${inspect(actual)} ${operator} ${inspect(expected)}`;
  if (operator.startsWith("not")) return `${sentence} ${inspect(expected)}`;
  return `${sentence}\n\n${inspect(actual)} !== ${inspect(expected)}\n`;
}

function coded<E extends Error>(error: E, code: string): E {
  return Object.assign(error, { code });
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
    message: missing ?? "The expression evaluated to a falsy value",
    actual: value,
    expected: true,
    operator: "==",
  });
}

function fail(message?: unknown): never {
  return failWith(message, { message: "Failed", operator: "fail" });
}

type Comparison = (actual: unknown, expected: unknown, message?: unknown) => void;

function comparison(operator: string, holds: (actual: unknown, expected: unknown) => boolean): Comparison {
  return function (actual: unknown, expected: unknown, message?: unknown): void {
    if (arguments.length < 2) {
      throw coded(new TypeError('The "actual" and "expected" arguments must be specified'), "ERR_MISSING_ARGS");
    }
    if (!holds(actual, expected)) failWith(message, { actual, expected, operator });
  };
}

const looseEqual = (a: unknown, b: unknown): boolean => a == b || (a !== a && b !== b);
const equal = comparison("==", looseEqual);
const notEqual = comparison("!=", (a, b) => !looseEqual(a, b));
const strictEqual = comparison("strictEqual", Object.is);
const notStrictEqual = comparison("notStrictEqual", (a, b) => !Object.is(a, b));
const deepEqual = comparison("deepEqual", (a, b) => isDeepEqual(a, b, "loose"));
const notDeepEqual = comparison("notDeepEqual", (a, b) => !isDeepEqual(a, b, "loose"));
const deepStrictEqual = comparison("deepStrictEqual", (a, b) => isDeepEqual(a, b, "strict"));
const partialDeepStrictEqual = comparison("partialDeepStrictEqual", (a, b) => isPartlyEqual(a, b));
const notDeepStrictEqual = comparison("notDeepStrictEqual", (a, b) => !isDeepEqual(a, b, "strict"));

function requireText(text: unknown, pattern: unknown): [string, RegExp] {
  if (!(pattern instanceof RegExp)) {
    throw coded(new TypeError('The "regexp" argument must be an instance of RegExp.'), "ERR_INVALID_ARG_TYPE");
  }
  return [typeof text === "string" ? text : "", pattern];
}

function match(text: unknown, pattern: unknown, message?: unknown): void {
  const [known, wanted] = requireText(text, pattern);
  if (typeof text === "string" && wanted.test(known)) return;
  const generated = `The input did not match the regular expression ${inspect(wanted)}. Input:\n\n${inspect(text)}\n`;
  failWith(message, { message: generated, actual: text, expected: wanted, operator: "match" });
}

function doesNotMatch(text: unknown, pattern: unknown, message?: unknown): void {
  const [known, wanted] = requireText(text, pattern);
  if (typeof text === "string" && !wanted.test(known)) return;
  const generated = `The input was expected to not match the regular expression ${inspect(wanted)}. Input:\n\n${inspect(text)}\n`;
  failWith(message, { message: generated, actual: text, expected: wanted, operator: "doesNotMatch" });
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
    throw coded(new TypeError('The "fn" argument must be of type function.'), "ERR_INVALID_ARG_TYPE");
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
      throw coded(
        new TypeError('Expected instance of Promise to be returned from the "promiseFn" function.'),
        "ERR_INVALID_RETURN_VALUE",
      );
    }
  } else if (!isThenable(work)) {
    throw coded(
      new TypeError('The "promiseFn" argument must be of type function or an instance of Promise.'),
      "ERR_INVALID_ARG_TYPE",
    );
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
  if (typeof expected === "string") [expected, message] = [undefined, expected];
  if (thrown === NOTHING_THROWN) {
    const kind = operator === "rejects" ? "rejection" : "exception";
    const name = typeof expected === "function" && expected.name !== "" ? ` (${expected.name})` : "";
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
    const generated = `The error is expected to be an instance of "${maker.name}". Received "${found}"`;
    return failWith(message, { message: generated, actual: thrown, expected, operator });
  }
  const verdict: unknown = Reflect.apply(expected as (error: unknown) => unknown, {}, [thrown]);
  if (verdict === true) return;
  const generated =
    `The ${maker.name === "" ? "" : `"${maker.name}" `}validation function is expected to return "true". ` +
    `Received ${inspect(verdict)}\n\nCaught error:\n\n${inspect(thrown)}`;
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

function throws(work: unknown, expected?: unknown, message?: unknown): void {
  checkThrown(thrownBy(work), expected, message, "throws");
}

async function rejects(work: unknown, expected?: unknown, message?: unknown): Promise<void> {
  checkThrown(await rejectedBy(work), expected, message, "rejects");
}

function checkNotThrown(thrown: unknown, expected: unknown, message: unknown, operator: string): void {
  if (thrown === NOTHING_THROWN) return;
  if (typeof expected === "string") [expected, message] = [undefined, expected];
  if (typeof expected === "function" && !(thrown instanceof (expected as new () => object))) throw thrown;
  const kind = operator === "doesNotReject" ? "rejection" : "exception";
  const words = typeof message === "string" ? `: ${message}` : ".";
  const found = thrown instanceof Error ? thrown.message : inspect(thrown);
  throw new AssertionError({
    message: `Got unwanted ${kind}${words}\nActual message: "${found}"`,
    actual: thrown,
    expected,
    operator,
  });
}

function doesNotThrow(work: unknown, expected?: unknown, message?: unknown): void {
  checkNotThrown(thrownBy(work), expected, message, "doesNotThrow");
}

async function doesNotReject(work: unknown, expected?: unknown, message?: unknown): Promise<void> {
  checkNotThrown(await rejectedBy(work), expected, message, "doesNotReject");
}

// ---- the modules

const shared = {
  AssertionError,
  ok,
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

const strict = callable({
  ...shared,
  equal: strictEqual,
  notEqual: notStrictEqual,
  deepEqual: deepStrictEqual,
  notDeepEqual: notDeepStrictEqual,
});
strict["strict"] = strict;
const assert = callable({ ...shared, equal, notEqual, deepEqual, notDeepEqual, strict });

function moduleOf(main: Record<string, unknown>): Record<string, unknown> {
  return { ...main, default: main };
}

export const assertModule: Record<string, unknown> = moduleOf(assert);
export const assertStrictModule: Record<string, unknown> = moduleOf(strict);
