// `assert.partialDeepStrictEqual`: whether one value holds all that another asks for.
//
// Invariant: neither value is changed; cycles are compared by remembering the pairs under comparison.

import { isDeepEqual } from "./equality.ts";

type Pairs = Map<object, Set<object>>;

export function isPartlyEqual(actual: unknown, expected: unknown, pairs: Pairs = new Map()): boolean {
  if (Object.is(actual, expected)) return true;
  if (typeof actual !== "object" || typeof expected !== "object" || actual === null || expected === null) return false;
  const under = pairs.get(actual) ?? new Set<object>();
  if (under.has(expected)) return true;
  under.add(expected);
  pairs.set(actual, under);
  const holds = holdsAll(actual, expected, pairs);
  under.delete(expected);
  return holds;
}

function holdsAll(actual: object, expected: object, pairs: Pairs): boolean {
  if (expected instanceof Date || expected instanceof RegExp || ArrayBuffer.isView(expected) || expected instanceof ArrayBuffer) {
    return isDeepEqual(actual, expected, "strict");
  }
  if (expected instanceof Error) {
    return actual instanceof Error && actual.name === expected.name && actual.message === expected.message;
  }
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual)) return false;
    return Object.keys(expected).every((key) => key in actual && isPartlyEqual(actual[key as never], expected[key as never], pairs));
  }
  if (expected instanceof Set) return actual instanceof Set && [...expected].every((item) => [...actual].some((other) => isDeepEqual(other, item, "strict")));
  if (expected instanceof Map) {
    if (!(actual instanceof Map)) return false;
    return [...expected].every(([key, value]) => [...actual].some(([other, held]) => isDeepEqual(other, key, "strict") && isPartlyEqual(held, value, pairs)));
  }
  if (Object.getPrototypeOf(actual) !== Object.getPrototypeOf(expected)) return false;
  return Reflect.ownKeys(expected).every((key) => {
    if (!Object.prototype.propertyIsEnumerable.call(expected, key)) return true;
    return key in actual && isPartlyEqual(actual[key as never], expected[key as never], pairs);
  });
}
