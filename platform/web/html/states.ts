// Tokens of a document as HTMLRewriter's handlers see and change them.
//
// A state is what all handlers of one token share; each handler gets an object of its own over it
// (`tokens.ts`). The rules of what a change means, and its errors, are `lol_html`'s: its parser
// gives these tokens, but writing them out again is done here, since handlers may be asynchronous.
//
// Invariant: a state that no handler changed writes nothing; its bytes stay as they came.

import type { HtmlToken } from "../../ops.ts";
import type { AnyFunction } from "../webidl.ts";
import { type Content, Mutations, escapeQuotes } from "./mutations.ts";

/** How a document turns text into bytes. */
export interface Encoder {
  encode(text: string): Uint8Array;
  /** Undefined when the encoding lacks a character, where no character reference may stand. */
  encodeExactly(text: string): Uint8Array | undefined;
}

/** What a written token consists of, in order. */
export type Part = Content | Uint8Array;

function parserError(message: string): TypeError {
  return new TypeError(`Parser error: ${message}`);
}

const TAG_NAME_START = /^[A-Za-z]/;
const NOT_IN_TAG_NAME = /[ \n\r\t\f/>]/;
const NOT_IN_ATTRIBUTE_NAME = /[ \n\r\t\f/>=]/;

function checkTagName(name: string, encoder: Encoder): void {
  if (name === "") throw parserError("Tag name can't be empty.");
  if (!TAG_NAME_START.test(name)) {
    throw parserError("The first character of the tag name should be an ASCII alphabetical character.");
  }
  const forbidden = NOT_IN_TAG_NAME.exec(name);
  if (forbidden !== null) throw parserError(`\`${forbidden[0]}\` character is forbidden in the tag name`);
  if (encoder.encodeExactly(name) === undefined) throw unencodable("tag name");
}

function unencodable(what: string): TypeError {
  return parserError(
    `The ${what} contains a character that can't be represented in the document's character encoding.`,
  );
}

function checkAttributeName(name: string, encoder: Encoder): void {
  if (name === "") throw parserError("Attribute name can't be empty.");
  const forbidden = NOT_IN_ATTRIBUTE_NAME.exec(name);
  if (forbidden !== null) throw parserError(`\`${forbidden[0]}\` character is forbidden in the attribute name`);
  if (encoder.encodeExactly(name) === undefined) throw unencodable("attribute name");
}

function asciiLower(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** What `mutations` put around `self`, the token itself. */
function partsAround(mutations: Mutations | undefined, self: readonly Part[]): Part[] {
  if (mutations === undefined) return [...self];
  const { before, after, replacement, removed } = mutations;
  const middle = removed ? (replacement === undefined ? [] : [replacement]) : self;
  return [...before, ...middle, ...after];
}

interface Attribute {
  name: string;
  value: string;
  /** Where it stands in the tag's own bytes; undefined once it was set. */
  raw: [start: number, end: number] | undefined;
  /** How its name is written. */
  nameBytes: Uint8Array | undefined;
}

const QUOTE = 0x22;
const APOSTROPHE = 0x27;
const SPACE = Uint8Array.of(0x20);
const CLOSE = Uint8Array.of(0x3e);
const SLASH_CLOSE = Uint8Array.of(0x2f, 0x3e);

export class ElementState {
  tagName: string;
  readonly namespace: string;
  readonly canHaveContent: boolean;
  start: Mutations | undefined;
  end: Mutations | undefined;
  /** A new name, for the end tag too. */
  newName: string | undefined;
  onEndTag: AnyFunction | undefined;
  removesContent = false;
  /** Counts changes of attributes: iterators of before are stale. */
  attributesVersion = 0;
  #selfClosing: boolean;
  #given: (string | number)[];
  #attributes: Attribute[] | undefined;
  #changed = false;
  #raw: Uint8Array;
  #encoder: Encoder;

  constructor(token: HtmlToken & { 0: 0 }, raw: Uint8Array, encoder: Encoder) {
    [, , , , , this.tagName, this.namespace, this.canHaveContent, this.#selfClosing, this.#given] = token;
    this.#raw = raw;
    this.#encoder = encoder;
  }

  get attributes(): readonly Attribute[] {
    return this.#own();
  }

  #own(): Attribute[] {
    if (this.#attributes === undefined) {
      const attributes: Attribute[] = [];
      const given = this.#given;
      for (let i = 0; i < given.length; i += 4) {
        const raw: [number, number] = [given[i + 2] as number, given[i + 3] as number];
        attributes.push({ name: given[i] as string, value: given[i + 1] as string, raw, nameBytes: undefined });
      }
      this.#attributes = attributes;
    }
    return this.#attributes;
  }

  getAttribute(name: string): string | null {
    const wanted = asciiLower(name);
    const given = this.#given;
    if (this.#attributes === undefined) {
      for (let i = 0; i < given.length; i += 4) {
        if (given[i] === wanted) return given[i + 1] as string;
      }
      return null;
    }
    return this.#attributes.find((attribute) => attribute.name === wanted)?.value ?? null;
  }

  setAttribute(name: string, value: string): void {
    const wanted = asciiLower(name);
    checkAttributeName(wanted, this.#encoder);
    const attributes = this.#own();
    const found = attributes.find((attribute) => attribute.name === wanted);
    if (found === undefined) {
      attributes.push({ name: wanted, value, raw: undefined, nameBytes: undefined });
    } else {
      if (found.raw !== undefined) {
        const [start] = found.raw;
        found.nameBytes = this.#raw.subarray(start, start + this.#encoder.encode(found.name).length);
      }
      found.value = value;
      found.raw = undefined;
    }
    this.#changed = true;
    this.attributesVersion += 1;
  }

  removeAttribute(name: string): void {
    const wanted = asciiLower(name);
    const attributes = this.#own();
    const left = attributes.filter((attribute) => attribute.name !== wanted);
    if (left.length !== attributes.length) this.#changed = true;
    this.#attributes = left;
    this.attributesVersion += 1;
  }

  setTagName(name: string): void {
    checkTagName(name, this.#encoder);
    this.newName = name;
    this.tagName = asciiLower(name);
    this.#changed = true;
  }

  #start(): Mutations {
    return (this.start ??= new Mutations());
  }

  #end(): Mutations {
    return (this.end ??= new Mutations());
  }

  #removeContent(): void {
    this.#start().after = [];
    if (this.end !== undefined) this.end.before = [];
    this.removesContent = true;
  }

  before(content: Content): void {
    this.#start().before.push(content);
  }

  after(content: Content): void {
    (this.canHaveContent ? this.#end() : this.#start()).after.unshift(content);
  }

  prepend(content: Content): void {
    if (!this.canHaveContent) return;
    this.#selfClosing = false;
    this.#start().after.unshift(content);
  }

  append(content: Content): void {
    if (!this.canHaveContent) return;
    this.#selfClosing = false;
    this.#end().before.push(content);
  }

  setInnerContent(content: Content): void {
    if (!this.canHaveContent) return;
    this.#selfClosing = false;
    this.#removeContent();
    this.#start().after.unshift(content);
  }

  replace(content: Content): void {
    this.#start().replaceWith(content);
    this.#removeWhole();
  }

  remove(): void {
    this.#start().removed = true;
    this.#removeWhole();
  }

  #removeWhole(): void {
    if (!this.canHaveContent) return;
    this.#removeContent();
    this.#end().removed = true;
  }

  removeAndKeepContent(): void {
    this.#start().removed = true;
    if (this.canHaveContent) this.#end().removed = true;
  }

  setEndTagHandler(handler: AnyFunction): void {
    if (!this.canHaveContent) throw parserError(`No end tag.`);
    this.onEndTag = handler;
  }

  /** Whether its end tag is written otherwise than it came, or a handler wants to see it. */
  get minds(): boolean {
    return (
      this.removesContent ||
      this.end !== undefined ||
      this.onEndTag !== undefined ||
      (this.newName !== undefined && this.canHaveContent)
    );
  }

  /** The start tag as it is to be written; undefined where nothing was changed. */
  parts(): Part[] | undefined {
    if (!this.#changed && this.start === undefined) return undefined;
    return partsAround(this.start, this.#changed ? this.#serialize() : [this.#raw]);
  }

  #serialize(): Uint8Array[] {
    const encoder = this.#encoder;
    const parts = [this.#raw.subarray(0, 1), this.newName === undefined ? this.#rawName() : encoder.encode(this.newName)];
    const attributes = this.#own();
    for (const attribute of attributes) {
      parts.push(SPACE, this.#attributeBytes(attribute));
    }
    if (attributes.length > 0 && this.#selfClosing) parts.push(SPACE);
    parts.push(this.#selfClosing ? SLASH_CLOSE : CLOSE);
    return parts;
  }

  #rawName(): Uint8Array {
    const raw = this.#raw;
    let end = 1;
    while (end < raw.length && !isNameEnd(raw[end] as number)) end += 1;
    return raw.subarray(1, end);
  }

  #attributeBytes({ name, value, raw, nameBytes }: Attribute): Uint8Array {
    const encoder = this.#encoder;
    if (raw === undefined) {
      const written = encoder.encode(`="${escapeQuotes(value)}"`);
      const first = nameBytes ?? encoder.encode(name);
      const bytes = new Uint8Array(first.length + written.length);
      bytes.set(first);
      bytes.set(written, first.length);
      return bytes;
    }
    const [start, end] = raw;
    const closing = this.#raw[end];
    return this.#raw.subarray(start, closing === QUOTE || closing === APOSTROPHE ? end + 1 : end);
  }
}

function isNameEnd(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d) || byte === 0x2f || byte === 0x3e;
}

export class EndTagState {
  name: string;
  mutations: Mutations | undefined;
  #changed = false;
  #raw: Uint8Array;
  #encoder: Encoder;

  constructor(name: string, raw: Uint8Array, encoder: Encoder) {
    this.name = name;
    this.#raw = raw;
    this.#encoder = encoder;
  }

  setName(name: string): void {
    this.name = name;
    this.#changed = true;
  }

  mutate(): Mutations {
    return (this.mutations ??= new Mutations());
  }

  parts(): Part[] | undefined {
    if (!this.#changed && this.mutations === undefined) return undefined;
    return partsAround(this.mutations, [this.#changed ? this.#encoder.encode(`</${this.name}>`) : this.#raw]);
  }
}

export class CommentState {
  text: string;
  mutations: Mutations | undefined;
  #changed = false;
  #raw: Uint8Array;
  #encoder: Encoder;

  constructor(text: string, raw: Uint8Array, encoder: Encoder) {
    this.text = text;
    this.#raw = raw;
    this.#encoder = encoder;
  }

  setText(text: string): void {
    if (text.includes("-->") || text.includes("--!>") || text.startsWith(">") || text.startsWith("->")) {
      throw parserError("Comment text shouldn't contain a comment-closing sequence.");
    }
    if (this.#encoder.encodeExactly(text) === undefined) throw unencodable("comment text");
    this.text = text;
    this.#changed = true;
  }

  mutate(): Mutations {
    return (this.mutations ??= new Mutations());
  }

  parts(): Part[] | undefined {
    if (!this.#changed && this.mutations === undefined) return undefined;
    return partsAround(this.mutations, [this.#changed ? this.#encoder.encode(`<!--${this.text}-->`) : this.#raw]);
  }
}

export class TextState {
  readonly text: string;
  readonly last: boolean;
  mutations: Mutations | undefined;
  #raw: Uint8Array;

  constructor(text: string, last: boolean, raw: Uint8Array) {
    this.text = text;
    this.last = last;
    this.#raw = raw;
  }

  mutate(): Mutations {
    return (this.mutations ??= new Mutations());
  }

  parts(): Part[] | undefined {
    return this.mutations === undefined ? undefined : partsAround(this.mutations, [this.#raw]);
  }
}

export class DoctypeState {
  readonly name: string | null;
  readonly publicId: string | null;
  readonly systemId: string | null;

  constructor(name: string | null, publicId: string | null, systemId: string | null) {
    this.name = name;
    this.publicId = publicId;
    this.systemId = systemId;
  }

  parts(): undefined {
    return undefined;
  }
}

export class DocumentEndState {
  appended: Content[] = [];

  parts(): Part[] | undefined {
    return this.appended.length === 0 ? undefined : this.appended;
  }
}
