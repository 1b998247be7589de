// A growing buffer to write into and a careful cursor to read from.
//
// The writer starts on one shared scratch page, because most messages are a few dozen bytes; it
// moves to a buffer of its own when it outgrows that. The reader trusts nothing: each length is
// checked against what is left before anything is allocated.
//
// Invariant: a reader never reads past its end and throws `MalformedError` instead.

import { engine, ops } from "../../ops.ts";

/** Bytes of the shared first page. */
const SCRATCH_BYTES = 4096;
/** From this many chars on, one call into native code is the fastest; below it `apply` is, and for
 * a few chars eight at a time (measured in the engine). */
const NATIVE_CHARS_MIN = 2048;
const APPLY_CHARS_MIN = 25;
/** From this size on memory comes from native code, which asks for huge pages. */
const NATIVE_BYTES_MIN = 4 * 1024 * 1024;

let scratch: Uint8Array | undefined = new Uint8Array(SCRATCH_BYTES);

/** The page that Rust writes short messages to. What stands there is read before any code of a Worker runs. */
export const arrivals = new Uint8Array(SCRATCH_BYTES);
engine.setArrivals(arrivals);

/** From this many chars on, the engine makes a string of what stands on that page. */
const ARRIVED_CHARS_MIN = 9;

const doubleBytes = new Uint8Array(8);
const double = new Float64Array(doubleBytes.buffer);

/** The message is larger than its bound. */
export class TooLargeError extends Error {
  readonly bytes: number;
  constructor(bytes: number) {
    super(`message of ${bytes} bytes`);
    this.bytes = bytes;
  }
}

/** The bytes are not what an encoder writes. */
export class MalformedError extends TypeError {
  constructor(what: string) {
    super(`Malformed message: ${what}`);
  }
}

export class ByteWriter {
  #bytes: Uint8Array;
  #borrowed: boolean;
  #bytesMax: number;
  #beside = 0;
  position = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#borrowed = scratch !== undefined;
    this.#bytes = scratch ?? new Uint8Array(SCRATCH_BYTES);
    // An encode inside a getter of an encode must not write over the outer one.
    scratch = undefined;
  }

  /** Makes room and gives the buffer, valid until the next call. */
  reserve(count: number): Uint8Array {
    const needed = this.position + count;
    if (needed > this.#bytes.length) this.#grow(needed);
    return this.#bytes;
  }

  /** Counts what goes beside. */
  beside(count: number): void {
    this.#beside += count;
    this.#check(this.position);
  }

  #check(needed: number): void {
    if (needed + this.#beside > this.#bytesMax) throw new TooLargeError(needed + this.#beside);
  }

  #grow(needed: number): void {
    this.#check(needed);
    const length = Math.min(Math.max(needed, this.#bytes.length * 2), this.#bytesMax);
    const written = this.#bytes.subarray(0, this.position);
    let larger: Uint8Array;
    if (length >= NATIVE_BYTES_MIN) {
      larger = ops.bytesCopy(written, length);
    } else {
      larger = new Uint8Array(length);
      larger.set(written);
    }
    this.#giveBack();
    this.#bytes = larger;
  }

  #giveBack(): void {
    if (this.#borrowed) scratch = this.#bytes;
    this.#borrowed = false;
  }

  byte(value: number): void {
    const bytes = this.reserve(1);
    bytes[this.position++] = value;
  }

  varint(value: number): void {
    const bytes = this.reserve(8);
    let position = this.position;
    while (value >= 0x80) {
      bytes[position++] = (value % 0x80) | 0x80;
      value = Math.floor(value / 0x80);
    }
    bytes[position++] = value;
    this.position = position;
  }

  float64(value: number): void {
    double[0] = value;
    this.reserve(8).set(doubleBytes, this.position);
    this.position += 8;
  }

  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length).set(bytes, this.position);
    this.position += bytes.length;
  }

  /** Writes `text` one byte a char, or gives false and writes nothing if a char needs two. */
  latin1(text: string): boolean {
    const length = text.length;
    const bytes = this.reserve(length);
    const start = this.position;
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 0xff) return false;
      bytes[start + i] = unit;
    }
    this.position = start + length;
    return true;
  }

  utf16(text: string): void {
    const length = text.length;
    const bytes = this.reserve(length * 2);
    let position = this.position;
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(i);
      bytes[position++] = unit & 0xff;
      bytes[position++] = unit >> 8;
    }
    this.position = position;
  }


  /** What was written, in a buffer of its own. The writer is spent. */
  finish(): Uint8Array {
    const bytes = this.#bytes;
    if (this.#borrowed) {
      const copy = bytes.slice(0, this.position);
      this.#giveBack();
      return copy;
    }
    return bytes.subarray(0, this.position);
  }

  /** Gives up: nothing that was written is used. */
  abandon(): void {
    this.#giveBack();
  }
}

const { fromCharCode } = String;
const { imul } = Math;
const Bytes = Uint8Array;

function shortLatin1(bytes: Uint8Array, start: number, end: number): string {
  const b = bytes as unknown as number[];
  let text = "";
  let i = start;
  for (; i + 8 <= end; i += 8) {
    text += fromCharCode(
      b[i] as number, b[i + 1] as number, b[i + 2] as number, b[i + 3] as number,
      b[i + 4] as number, b[i + 5] as number, b[i + 6] as number, b[i + 7] as number,
    );
  }
  for (; i < end; i++) text += fromCharCode(b[i] as number);
  return text;
}

/** Like `subarray`, which asks the Worker's idea of a species for the view: it would see all of the buffer. */
function viewOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return new Bytes(bytes.buffer, bytes.byteOffset + start, end - start);
}

/** Some of `bytes` as one char each. */
export function latin1Of(bytes: Uint8Array, start: number, end: number): string {
  const count = end - start;
  if (bytes === arrivals && count >= ARRIVED_CHARS_MIN) return engine.arrivedText(start, end);
  if (count < APPLY_CHARS_MIN) return shortLatin1(bytes, start, end);
  const view = viewOf(bytes, start, end);
  return count >= NATIVE_CHARS_MIN ? ops.textLatin1Decode(view) : fromCharCode.apply(null, view as unknown as number[]);
}

/** Keys kept, one for each value that their hash may have, and their chars at most. */
const KEYS_KEPT = 256;
const KEY_CHARS_MAX = 32;
const keys: string[] = new Array<string>(KEYS_KEPT).fill("");

export class ByteReader {
  #bytes: Uint8Array;
  #position = 0;
  #end: number;

  /** Reads the first `end` of `bytes`. */
  constructor(bytes: Uint8Array, end: number) {
    this.#bytes = bytes;
    this.#end = end;
  }

  get left(): number {
    return this.#end - this.#position;
  }

  byte(): number {
    if (this.#position >= this.#end) throw new MalformedError("it ends too soon");
    return this.#bytes[this.#position++] as number;
  }

  varint(): number {
    let byte = this.byte();
    if (byte < 0x80) return byte;
    let value = byte & 0x7f;
    let scale = 0x80;
    // Seven bytes hold 49 bits, more than any count here; all stay exact in a double.
    for (let i = 0; i < 6; i++) {
      byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw new MalformedError("a number does not end");
  }

  /** A count of things that take at least `bytesEach` bytes of what is left. */
  count(bytesEach: number): number {
    const count = this.varint();
    if (count * bytesEach > this.left) throw new MalformedError("a count is larger than the rest");
    return count;
  }

  float64(): number {
    if (this.left < 8) throw new MalformedError("it ends too soon");
    const bytes = this.#bytes;
    const position = this.#position;
    for (let i = 0; i < 8; i++) doubleBytes[i] = bytes[position + i] as number;
    this.#position += 8;
    return double[0] as number;
  }

  /** A view of the next `count` bytes. */
  raw(count: number): Uint8Array {
    if (count > this.left) throw new MalformedError("it ends too soon");
    const start = this.#position;
    this.#position += count;
    return viewOf(this.#bytes, start, start + count);
  }

  /** A buffer of its own with the next `count` bytes. */
  buffer(count: number): ArrayBuffer {
    const bytes = this.raw(count);
    return count >= NATIVE_BYTES_MIN ? ops.bytesCopy(bytes, count).buffer : (bytes.slice().buffer as ArrayBuffer);
  }

  /** A key of an object, which is likely to come again. */
  key(count: number): string {
    if (count > this.left) throw new MalformedError("it ends too soon");
    const bytes = this.#bytes;
    const start = this.#position;
    this.#position += count;
    if (count === 0 || count > KEY_CHARS_MAX) return latin1Of(bytes, start, start + count);
    let hash = count;
    for (let i = start; i < start + count; i++) hash = (imul(hash, 31) + (bytes[i] as number)) | 0;
    const place = hash & (KEYS_KEPT - 1);
    const kept = keys[place] as string;
    if (kept.length === count) {
      let i = 0;
      while (i < count && kept.charCodeAt(i) === bytes[start + i]) i++;
      if (i === count) return kept;
    }
    // What has been a key is an atom, which the engine need not look up again.
    for (const key in { [latin1Of(bytes, start, start + count)]: 0 }) return (keys[place] = key);
    throw new MalformedError("a key of no kind");
  }

  latin1(count: number): string {
    if (count > this.left) throw new MalformedError("it ends too soon");
    const start = this.#position;
    this.#position += count;
    return latin1Of(this.#bytes, start, start + count);
  }

  utf16(units: number): string {
    const bytes = this.raw(units * 2);
    const parts: string[] = [];
    let chunk = "";
    for (let i = 0; i < bytes.length; i += 2) {
      chunk += String.fromCharCode((bytes[i] as number) | ((bytes[i + 1] as number) << 8));
      if (chunk.length >= 4096) {
        parts.push(chunk);
        chunk = "";
      }
    }
    parts.push(chunk);
    return parts.join("");
  }
}
