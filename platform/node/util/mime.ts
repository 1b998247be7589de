// MIMEType and MIMEParams of node:util: MIME types as objects, parsed by the WHATWG's rules.
//
// Invariant: a part that would not parse again is refused when it is set.

import { parseMimeType } from "../../web/mime.ts";
import { makeEnumerable } from "../../web/webidl.ts";

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const QUOTABLE = /^[\t\x20-\x7e\x80-\xff]*$/;

let entriesOf: (params: MIMEParams) => Map<string, string>;

function quoted(value: string): string {
  if (TOKEN.test(value)) return value;
  return `"${value.replace(/["\\]/g, "\\$&")}"`;
}

export class MIMEParams {
  readonly #entries = new Map<string, string>();

  static {
    entriesOf = (params) => params.#entries;
  }

  get(name: unknown): string | null {
    return this.#entries.get(String(name).toLowerCase()) ?? null;
  }

  has(name: unknown): boolean {
    return this.#entries.has(String(name).toLowerCase());
  }

  set(name: unknown, value: unknown): void {
    const [key, text] = [String(name), String(value)];
    if (!TOKEN.test(key) || !QUOTABLE.test(text)) throw new TypeError("Not a valid MIME parameter");
    this.#entries.set(key.toLowerCase(), text);
  }

  delete(name: unknown): void {
    this.#entries.delete(String(name).toLowerCase());
  }

  *entries(): Generator<[string, string]> {
    yield* this.#entries;
  }

  *keys(): Generator<string> {
    yield* this.#entries.keys();
  }

  *values(): Generator<string> {
    yield* this.#entries.values();
  }

  [Symbol.iterator](): Generator<[string, string]> {
    return this.entries();
  }

  toString(): string {
    return Array.from(this.#entries, ([name, value]) => `${name}=${quoted(value)}`).join("; ");
  }

  toJSON(): string {
    return this.toString();
  }
}

export class MIMEType {
  #type: string;
  #subtype: string;
  readonly #params = new MIMEParams();

  constructor(input: unknown) {
    const text = String(input);
    const parsed = parseMimeType(text);
    if (parsed === undefined) {
      throw Object.assign(new TypeError(`Not a valid MIME type: ${text}`), { code: "ERR_INVALID_MIME_SYNTAX", input: text });
    }
    this.#type = parsed.type;
    this.#subtype = parsed.subtype;
    for (const [name, value] of parsed.parameters) entriesOf(this.#params).set(name, value);
  }

  get type(): string {
    return this.#type;
  }

  set type(value: unknown) {
    const text = String(value);
    if (!TOKEN.test(text)) throw new TypeError("Not a valid MIME type");
    this.#type = text.toLowerCase();
  }

  get subtype(): string {
    return this.#subtype;
  }

  set subtype(value: unknown) {
    const text = String(value);
    if (!TOKEN.test(text)) throw new TypeError("Not a valid MIME subtype");
    this.#subtype = text.toLowerCase();
  }

  get essence(): string {
    return `${this.#type}/${this.#subtype}`;
  }

  get params(): MIMEParams {
    return this.#params;
  }

  toString(): string {
    const params = this.#params.toString();
    return params === "" ? this.essence : `${this.essence};${params}`;
  }

  toJSON(): string {
    return this.toString();
  }
}

makeEnumerable(MIMEParams.prototype, ["constructor"]);
makeEnumerable(MIMEType.prototype, ["constructor"]);
