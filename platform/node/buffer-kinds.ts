// What a value is to Buffer: told by its inner kind, which cannot be faked by a prototype.

const kindOf = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)?.get as () => string | undefined;

export function isUint8Array(value: unknown): value is Uint8Array {
  return typeof value === "object" && kindOf.call(value) === "Uint8Array";
}

export function isAnyArrayBuffer(value: unknown): value is ArrayBuffer {
  return value instanceof ArrayBuffer || (typeof SharedArrayBuffer === "function" && value instanceof SharedArrayBuffer);
}
