// Buffer's methods that read and write numbers: `readUInt16LE`, `writeDoubleBE` and 70 more.
//
// They are made from a table, because they differ in size, sign and order of bytes only.
//
// Invariant: nothing is written when the value or the offset is refused.

import { invalidArgType, outOfBounds, outOfRange, requireNumber } from "./errors.ts";

type Order = "LE" | "BE";
type Sign = "signed" | "unsigned";
type Method = (this: Uint8Array, ...args: never[]) => unknown;

function badOffset(value: number, most: number): Error {
  if (Math.floor(value) !== value) return outOfRange("offset", "an integer", value);
  return most < 0 ? outOfBounds() : outOfRange("offset", `>= 0 and <= ${most}`, value);
}

/** Checks that `size` bytes at `offset` are inside. */
function requireInside(bytes: Uint8Array, offset: unknown, size: number): number {
  const at = requireNumber(offset, "offset");
  const most = bytes.length - size;
  if (!(Number.isInteger(at) && at >= 0 && at <= most)) throw badOffset(at, most);
  return at;
}

/** As in Workers, what is no number is out of range, not of the wrong type. */
function requireSize(value: unknown): number {
  if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 6) return value as number;
  const wanted = typeof value !== "number" || Number.isInteger(value) ? ">= 1 and <= 6" : "an integer";
  throw outOfRange("byteLength", wanted, value);
}

// ---- Whole numbers of up to six bytes --------------------------------------------------------

function readInteger(bytes: Uint8Array, at: number, size: number, order: Order, sign: Sign): number {
  let value = 0;
  for (let index = 0; index < size; index++) {
    value = value * 256 + (bytes[order === "BE" ? at + index : at + size - 1 - index] as number);
  }
  return sign === "signed" && value >= 2 ** (size * 8 - 1) ? value - 2 ** (size * 8) : value;
}

function requireFits(value: number, size: number, sign: Sign): void {
  const bits = size * 8;
  const [least, most] = sign === "signed" ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
  if (!(value < least || value > most)) return;
  if (size <= 4) throw outOfRange("value", `>= ${least} and <= ${most}`, value);
  throw outOfRange("value", wideRange(bits, sign, ""), value);
}

function wideRange(bits: number, sign: Sign, n: "" | "n"): string {
  if (sign === "unsigned") return `>= 0${n} and < 2${n} ** ${bits}${n}`;
  return `>= -(2${n} ** ${bits - 1}${n}) and < 2${n} ** ${bits - 1}${n}`;
}

function writeInteger(bytes: Uint8Array, value: number, at: number, size: number, order: Order): number {
  let rest = Number.isFinite(value) ? Math.trunc(value) : 0;
  for (let index = 0; index < size; index++) {
    const byte = rest - Math.floor(rest / 256) * 256;
    bytes[order === "LE" ? at + index : at + size - 1 - index] = byte;
    rest = (rest - byte) / 256;
  }
  return at + size;
}

function integer(size: number, order: Order, sign: Sign): [read: Method, write: Method] {
  return [
    function read(this: Uint8Array, offset: unknown = 0): number {
      return readInteger(this, requireInside(this, offset, size), size, order, sign);
    },
    function write(this: Uint8Array, value: unknown, offset: unknown = 0): number {
      const number = +(value as number);
      requireNumber(offset, "offset");
      requireFits(number, size, sign);
      return writeInteger(this, number, requireInside(this, offset, size), size, order);
    },
  ];
}

function integerOfSize(order: Order, sign: Sign): [read: Method, write: Method] {
  return [
    function read(this: Uint8Array, offset: unknown, byteLength: unknown): number {
      if (offset === undefined) throw invalidArgType("offset", ["number"], offset);
      const size = requireSize(byteLength);
      return readInteger(this, requireInside(this, offset, size), size, order, sign);
    },
    function write(this: Uint8Array, value: unknown, offset: unknown, byteLength: unknown): number {
      const size = requireSize(byteLength);
      const number = +(value as number);
      requireNumber(offset, "offset");
      requireFits(number, size, sign);
      return writeInteger(this, number, requireInside(this, offset, size), size, order);
    },
  ];
}

// ---- BigInts and fractions: through a buffer of the platform's own byte order --------------------

const BIG_LIMITS = {
  signed: [-(2n ** 63n), 2n ** 63n - 1n],
  unsigned: [0n, 2n ** 64n - 1n],
} as const;

function big(order: Order, sign: Sign): [read: Method, write: Method] {
  return [
    function read(this: Uint8Array, offset: unknown = 0): bigint {
      const view = viewOf(this, requireInside(this, offset, 8), 8);
      return sign === "signed" ? view.getBigInt64(0, order === "LE") : view.getBigUint64(0, order === "LE");
    },
    function write(this: Uint8Array, value: bigint, offset: unknown = 0): number {
      const [least, most] = BIG_LIMITS[sign];
      if (value < least || value > most) throw outOfRange("value", wideRange(64, sign, "n"), value);
      if (typeof value !== "bigint") throw invalidArgType("value", ["bigint"], value);
      const at = requireInside(this, offset, 8);
      viewOf(this, at, 8).setBigUint64(0, BigInt.asUintN(64, value), order === "LE");
      return at + 8;
    },
  ];
}

function fraction(size: 4 | 8, order: Order): [read: Method, write: Method] {
  const little = order === "LE";
  return [
    function read(this: Uint8Array, offset: unknown = 0): number {
      const view = viewOf(this, requireInside(this, offset, size), size);
      return size === 4 ? view.getFloat32(0, little) : view.getFloat64(0, little);
    },
    function write(this: Uint8Array, value: unknown, offset: unknown = 0): number {
      const number = +(value as number);
      const at = requireInside(this, offset, size);
      const view = viewOf(this, at, size);
      if (size === 4) view.setFloat32(0, number, little);
      else view.setFloat64(0, number, little);
      return at + size;
    },
  ];
}

function viewOf(bytes: Uint8Array, at: number, size: number): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset + at, size);
}

// ---- The table -------------------------------------------------------------------------------

export const numberMethods: Record<string, Method> = {};

function add(name: string, [read, write]: [Method, Method]): void {
  for (const [prefix, method] of [["read", read], ["write", write]] as const) {
    const full = `${prefix}${name}`;
    Object.defineProperty(method, "name", { value: full, configurable: true });
    numberMethods[full] = method;
    // Each unsigned one has two spellings.
    if (name.includes("UInt")) numberMethods[full.replace("UInt", "Uint")] = method;
  }
}

add("Int8", integer(1, "LE", "signed"));
add("UInt8", integer(1, "LE", "unsigned"));
for (const order of ["LE", "BE"] as const) {
  for (const bits of [16, 32]) {
    add(`Int${bits}${order}`, integer(bits / 8, order, "signed"));
    add(`UInt${bits}${order}`, integer(bits / 8, order, "unsigned"));
  }
  add(`Int${order}`, integerOfSize(order, "signed"));
  add(`UInt${order}`, integerOfSize(order, "unsigned"));
  add(`BigInt64${order}`, big(order, "signed"));
  add(`BigUInt64${order}`, big(order, "unsigned"));
  add(`Float${order}`, fraction(4, order));
  add(`Double${order}`, fraction(8, order));
}
