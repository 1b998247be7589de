// Deep equality as node:assert and node:util define it, loose and strict.
//
// Cycles are compared by remembering the pairs that are being compared. Getters are called, as
// Node.js does.
//
// Invariant: neither value is changed.

export type Mode = "loose" | "strict";

/** Pairs under comparison: a pair that comes again is equal if nothing else differs. */
type Pairs = Map<object, object>;

export function isDeepEqual(a: unknown, b: unknown, mode: Mode): boolean {
  return equal(a, b, mode, new Map());
}

function equal(a: unknown, b: unknown, mode: Mode, pairs: Pairs): boolean {
  if (mode === "strict" ? Object.is(a, b) : a === b || (a !== a && b !== b)) return true;
  const objects = isObject(a) && isObject(b);
  // `==` on two primitives is the loose comparison that Node.js documents.
  if (!objects) return mode === "loose" && !isObject(a) && !isObject(b) && a == b;
  if (typeof a === "function" || typeof b === "function") return false;
  if (pairs.get(a) === b) return true;
  pairs.set(a, b);
  const same = equalObjects(a, b, mode, pairs);
  pairs.delete(a);
  return same;
}

function isObject(value: unknown): value is object {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}

function equalObjects(a: object, b: object, mode: Mode, pairs: Pairs): boolean {
  if (mode === "strict" && Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  if (tagOf(a) !== tagOf(b)) return false;
  if (!equalInside(a, b, mode, pairs)) return false;
  return equalProperties(a, b, mode, pairs);
}

function tagOf(value: object): string {
  return Object.prototype.toString.call(value);
}

/** What an object holds beside its properties. */
function equalInside(a: object, b: object, mode: Mode, pairs: Pairs): boolean {
  if (a instanceof Date) return b instanceof Date && Object.is(a.getTime(), b.getTime());
  if (a instanceof RegExp) {
    return b instanceof RegExp && a.source === b.source && a.flags === b.flags && a.lastIndex === b.lastIndex;
  }
  if (a instanceof Error) return b instanceof Error && equalErrors(a, b, mode, pairs);
  const boxed = unboxed(a);
  if (boxed !== undefined) {
    const other = unboxed(b);
    return other !== undefined && Object.is(boxed[0], other[0]);
  }
  if (ArrayBuffer.isView(a)) return ArrayBuffer.isView(b) && equalBytes(bytesOf(a), bytesOf(b));
  if (a instanceof ArrayBuffer) return b instanceof ArrayBuffer && equalBytes(new Uint8Array(a), new Uint8Array(b));
  if (a instanceof Set) return b instanceof Set && equalSets(a, b, mode, pairs);
  if (a instanceof Map) return b instanceof Map && equalMaps(a, b, mode, pairs);
  return !(b instanceof Date || b instanceof RegExp || b instanceof Error || unboxed(b) !== undefined);
}

const UNBOX = [Number, String, Boolean, BigInt, Symbol].map(({ prototype }) => prototype.valueOf as () => unknown);

/** What a boxed primitive holds, whatever its prototype says it is. */
function unboxed(value: object): [unknown] | undefined {
  // Most objects are one of these; asking costs an exception each.
  if (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype) return undefined;
  for (const unbox of UNBOX) {
    try {
      return [Reflect.apply(unbox, value, [])];
    } catch {
      // Another kind.
    }
  }
  return undefined;
}

function equalErrors(a: Error, b: Error, mode: Mode, pairs: Pairs): boolean {
  if (a.message !== b.message || a.name !== b.name) return false;
  if (Object.hasOwn(a, "cause") !== Object.hasOwn(b, "cause")) return false;
  return equal(a.cause, b.cause, mode, pairs);
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

function equalSets(a: Set<unknown>, b: Set<unknown>, mode: Mode, pairs: Pairs): boolean {
  if (a.size !== b.size) return false;
  const left = [...b].filter((item) => !a.has(item));
  for (const item of a) {
    if (b.has(item)) continue;
    const found = left.findIndex((other) => equal(item, other, mode, pairs));
    if (found < 0) return false;
    left.splice(found, 1);
  }
  return true;
}

function equalMaps(a: Map<unknown, unknown>, b: Map<unknown, unknown>, mode: Mode, pairs: Pairs): boolean {
  if (a.size !== b.size) return false;
  const left = [...b].filter(([key]) => !a.has(key));
  for (const [key, value] of a) {
    if (b.has(key)) {
      if (!equal(value, b.get(key), mode, pairs)) return false;
      continue;
    }
    const found = left.findIndex(([other, item]) => equal(key, other, mode, pairs) && equal(value, item, mode, pairs));
    if (found < 0) return false;
    left.splice(found, 1);
  }
  return true;
}

function equalProperties(a: object, b: object, mode: Mode, pairs: Pairs): boolean {
  const keys = propertiesOf(a, mode);
  if (keys.length !== propertiesOf(b, mode).length) return false;
  return keys.every(
    (key) =>
      Object.prototype.propertyIsEnumerable.call(b, key) &&
      equal((a as Record<PropertyKey, unknown>)[key], (b as Record<PropertyKey, unknown>)[key], mode, pairs),
  );
}

function propertiesOf(value: object, mode: Mode): PropertyKey[] {
  // Elements of a typed array were compared as bytes.
  const keys: PropertyKey[] = ArrayBuffer.isView(value)
    ? Object.keys(value).filter((key) => !/^\d+$/.test(key))
    : Object.keys(value);
  if (mode === "loose") return keys;
  const isEnumerable = (key: symbol): boolean => Object.prototype.propertyIsEnumerable.call(value, key);
  return [...keys, ...Object.getOwnPropertySymbols(value).filter(isEnumerable)];
}
