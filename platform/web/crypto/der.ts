// DER: as much of it as the key formats SPKI, PKCS #8 (RFC 5208, 5958), PKCS #1 and SEC 1 need.
//
// Object identifiers are compared as the hex digits of their content. Deliberately absent is
// everything that keys do not use: long tags, sets, strings, times.
//
// Invariants: what is read is DER and nothing else (shortest lengths, no bytes left over); a wrong
// input is a DataError.

import { dataError } from "./errors.ts";

export const INTEGER = 0x02;
export const BIT_STRING = 0x03;
export const OCTET_STRING = 0x04;
export const NULL = 0x05;
export const OID = 0x06;
export const SEQUENCE = 0x30;
/** Context-specific tags: constructed, and primitive where implicit tagging makes them so. */
export const CONTEXT_0 = 0xa0;
export const CONTEXT_1 = 0xa1;
const CONTEXT_1_PRIMITIVE = 0x81;

const NO_BYTES = new Uint8Array(0);

function malformed(what: string): Error {
  return dataError(`The key is not valid DER: ${what}`);
}

export class DerReader {
  #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** The content of the next value, which must have this tag. */
  read(tag: number): Uint8Array {
    const content = this.readIf(tag);
    if (content === undefined) throw malformed(`a value with tag ${tag} is missing`);
    return content;
  }

  readIf(tag: number): Uint8Array | undefined {
    if (this.#bytes[this.#at] !== tag) return undefined;
    this.#at++;
    const start = this.#at + this.#lengthBytes();
    const length = this.#length();
    if (length > this.#bytes.length - start) throw malformed("it is cut off");
    this.#at = start + length;
    return this.#bytes.subarray(start, this.#at);
  }

  #lengthBytes(): number {
    const first = this.#bytes[this.#at] ?? 0;
    return first < 0x80 ? 1 : 1 + (first & 0x7f);
  }

  #length(): number {
    const first = this.#bytes[this.#at];
    if (first === undefined) throw malformed("it is cut off");
    if (first < 0x80) return first;
    const count = first & 0x7f;
    // Three bytes are 16 MiB: no key comes near.
    if (count === 0 || count > 3 || this.#at + count >= this.#bytes.length) throw malformed("a length is wrong");
    let length = 0;
    for (let i = 1; i <= count; i++) length = length * 256 + (this.#bytes[this.#at + i] as number);
    if (length < 0x80 || length < 256 ** (count - 1)) throw malformed("a length is longer than it needs to be");
    return length;
  }

  sequence(): DerReader {
    return new DerReader(this.read(SEQUENCE));
  }

  oid(): string {
    return this.read(OID).toHex();
  }

  /** A BIT STRING of whole bytes. */
  bits(): Uint8Array {
    return wholeBits(this.read(BIT_STRING));
  }

  /** An INTEGER that is not negative, without leading zeros. */
  unsigned(): Uint8Array {
    const content = this.read(INTEGER);
    const first = content[0];
    if (first === undefined || first >= 0x80) throw malformed("an integer is negative or empty");
    if (first !== 0 || content.length === 1) return content;
    if ((content[1] as number) < 0x80) throw malformed("an integer has needless zeros");
    return content.subarray(1);
  }

  /** An INTEGER that must be this small number. */
  version(...allowed: number[]): number {
    const content = this.read(INTEGER);
    const value = content[0];
    if (content.length !== 1 || value === undefined || !allowed.includes(value)) throw malformed("its version is unknown");
    return value;
  }

  /** Skips a NULL if one is next. */
  readNull(): void {
    if ((this.readIf(NULL)?.length ?? 0) > 0) throw malformed("a null is not empty");
  }

  end(): void {
    if (!this.done) throw malformed("there are bytes after its end");
  }
}

function wholeBits(content: Uint8Array): Uint8Array {
  if (content[0] !== 0) throw malformed("a bit string does not end with a byte");
  return content.subarray(1);
}

/** A value with this tag and these parts as its content. */
export function der(tag: number, ...parts: Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const head = [tag];
  if (length < 0x80) head.push(length);
  else if (length < 0x100) head.push(0x81, length);
  else if (length < 0x10000) head.push(0x82, length >> 8, length & 0xff);
  else head.push(0x83, length >> 16, (length >> 8) & 0xff, length & 0xff);
  const bytes = new Uint8Array(head.length + length);
  bytes.set(head);
  let at = head.length;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

export function derOid(hex: string): Uint8Array {
  return der(OID, Uint8Array.fromHex(hex));
}

export function derSmall(value: number): Uint8Array {
  return der(INTEGER, Uint8Array.of(value));
}

/** An INTEGER from big-endian bytes that are never negative. */
export function derUnsigned(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const digits = bytes.subarray(start);
  if (digits.length === 0) return derSmall(0);
  return (digits[0] as number) < 0x80 ? der(INTEGER, digits) : der(INTEGER, Uint8Array.of(0), digits);
}

export function derBits(bytes: Uint8Array): Uint8Array {
  return der(BIT_STRING, Uint8Array.of(0), bytes);
}

/** `AlgorithmIdentifier`: the identifier and its parameters, not yet read. */
export interface Identifier {
  oid: string;
  parameters: DerReader;
}

function readIdentifier(reader: DerReader): Identifier {
  const parameters = reader.sequence();
  return { oid: parameters.oid(), parameters };
}

export function readSpki(bytes: Uint8Array): Identifier & { key: Uint8Array } {
  const outer = new DerReader(bytes);
  const info = outer.sequence();
  outer.end();
  const identifier = readIdentifier(info);
  const key = info.bits();
  info.end();
  return { ...identifier, key };
}

/** A PKCS #8 key; `point` is the public key that version 2 may carry. */
export function readPkcs8(bytes: Uint8Array): Identifier & { key: Uint8Array; point: Uint8Array | undefined } {
  const outer = new DerReader(bytes);
  const info = outer.sequence();
  outer.end();
  info.version(0, 1);
  const identifier = readIdentifier(info);
  const key = info.read(OCTET_STRING);
  info.readIf(CONTEXT_0); // Attributes say nothing about the key itself.
  const bits = info.readIf(CONTEXT_1_PRIMITIVE);
  info.end();
  return { ...identifier, key, point: bits && wholeBits(bits) };
}

/** `parameters` is the DER of the identifier's parameters, empty where it has none. */
export function spki(oid: string, parameters: Uint8Array, key: Uint8Array): Uint8Array {
  return der(SEQUENCE, der(SEQUENCE, derOid(oid), parameters), derBits(key));
}

export function pkcs8(oid: string, parameters: Uint8Array, key: Uint8Array): Uint8Array {
  return der(SEQUENCE, derSmall(0), der(SEQUENCE, derOid(oid), parameters), der(OCTET_STRING, key));
}

export const derNull = (): Uint8Array => der(NULL, NO_BYTES);
export const noParametersDer: Uint8Array = NO_BYTES;
