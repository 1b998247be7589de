// The objects that HTMLRewriter's handlers are given: Element, EndTag, Comment, Text, Doctype and the
// document's end.
//
// Each handler gets an object of its own, which is good for as long as that handler runs (its
// promise included) and refuses every use afterwards.
//
// Invariant: an object that has ended holds no state.

import type { AnyFunction, Class } from "../webidl.ts";
import { USVString, callbackFunction, defineToStringTag, makeEnumerable, requireArguments } from "../webidl.ts";
import { type Mutations, contentOf, textContentOf } from "./mutations.ts";
import type { CommentState, DoctypeState, DocumentEndState, ElementState, EndTagState, TextState } from "./states.ts";

const ENDED =
  "This content token is no longer valid. Content tokens are only valid during the execution of the " +
  "relevant content handler.";

const STALE =
  "The attributes of this element have been modified during iteration. You must create a new iterator " +
  "after modifying attributes.";

class Token<State extends object> {
  #state: State | undefined;

  constructor(state: State) {
    this.#state = state;
  }

  static state<S extends object>(token: Token<S>): S {
    const state = token.#state;
    if (state === undefined) throw new TypeError(ENDED);
    return state;
  }

  static end(token: Token<object>): void {
    token.#state = undefined;
  }
}

const stateOf = Token.state;

/** The handler that was given `token` has ended. */
export const endToken = Token.end;

export type AnyToken = Token<object>;

function insertInto(token: Token<{ mutate(): Mutations }>, content: unknown, options: unknown, context: string, place: "before" | "after" | "replace"): void {
  const state = stateOf(token);
  const given = contentOf(content, options, context);
  if (given !== undefined) insert(state.mutate(), given, place);
}

function insert(mutations: Mutations, content: NonNullable<ReturnType<typeof contentOf>>, place: "before" | "after" | "replace"): void {
  if (place === "before") mutations.before.push(content);
  else if (place === "after") mutations.after.unshift(content);
  else mutations.replaceWith(content);
}

export class Element extends Token<ElementState> {
  get tagName(): string {
    return stateOf(this).tagName;
  }

  set tagName(name: string) {
    stateOf(this).setTagName(USVString(name, "Element.tagName"));
  }

  get attributes(): AttributesIterator {
    return new AttributesIterator(this);
  }

  get removed(): boolean {
    return stateOf(this).start?.removed ?? false;
  }

  get namespaceURI(): string {
    return stateOf(this).namespace;
  }

  getAttribute(name: string): string | null {
    requireArguments(arguments.length, 1, "Element.getAttribute");
    return stateOf(this).getAttribute(USVString(name, "Element.getAttribute: name"));
  }

  hasAttribute(name: string): boolean {
    requireArguments(arguments.length, 1, "Element.hasAttribute");
    return stateOf(this).getAttribute(USVString(name, "Element.hasAttribute: name")) !== null;
  }

  setAttribute(name: string, value: string): this {
    requireArguments(arguments.length, 2, "Element.setAttribute");
    const nameText = USVString(name, "Element.setAttribute: name");
    stateOf(this).setAttribute(nameText, USVString(value, "Element.setAttribute: value"));
    return this;
  }

  removeAttribute(name: string): this {
    requireArguments(arguments.length, 1, "Element.removeAttribute");
    stateOf(this).removeAttribute(USVString(name, "Element.removeAttribute: name"));
    return this;
  }

  before(content: unknown, options: unknown = undefined): this {
    requireArguments(arguments.length, 1, "Element.before");
    const given = contentOf(content, options, "Element.before");
    const state = stateOf(this);
    if (given !== undefined) state.before(given);
    return this;
  }

  after(content: unknown, options: unknown = undefined): this {
    requireArguments(arguments.length, 1, "Element.after");
    const given = contentOf(content, options, "Element.after");
    const state = stateOf(this);
    if (given !== undefined) state.after(given);
    return this;
  }

  prepend(content: unknown, options: unknown = undefined): this {
    requireArguments(arguments.length, 1, "Element.prepend");
    const given = contentOf(content, options, "Element.prepend");
    const state = stateOf(this);
    if (given !== undefined) state.prepend(given);
    return this;
  }

  append(content: unknown, options: unknown = undefined): this {
    requireArguments(arguments.length, 1, "Element.append");
    const given = contentOf(content, options, "Element.append");
    const state = stateOf(this);
    if (given !== undefined) state.append(given);
    return this;
  }

  replace(content: unknown, options: unknown = undefined): this {
    requireArguments(arguments.length, 1, "Element.replace");
    const given = contentOf(content, options, "Element.replace");
    const state = stateOf(this);
    if (given !== undefined) state.replace(given);
    return this;
  }

  remove(): this {
    stateOf(this).remove();
    return this;
  }

  removeAndKeepContent(): this {
    stateOf(this).removeAndKeepContent();
    return this;
  }

  setInnerContent(content: unknown, options: unknown = undefined): this {
    requireArguments(arguments.length, 1, "Element.setInnerContent");
    const given = contentOf(content, options, "Element.setInnerContent");
    const state = stateOf(this);
    if (given !== undefined) state.setInnerContent(given);
    return this;
  }

  onEndTag(handler: (tag: EndTag) => unknown): void {
    requireArguments(arguments.length, 1, "Element.onEndTag");
    stateOf(this).setEndTagHandler(callbackFunction(handler, "Element.onEndTag: handler") as AnyFunction);
  }
}

const IteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())) as object;

/** `[name, value]` of each attribute; it ends with the handler, and with a change of attributes. */
export class AttributesIterator {
  #element: Element;
  #version: number;
  #index = 0;

  constructor(element: Element) {
    this.#element = element;
    this.#version = stateOf(element).attributesVersion;
  }

  next(): { done: boolean; value: [string, string] | undefined } {
    const state = stateOf(this.#element);
    if (state.attributesVersion !== this.#version) throw new Error(STALE);
    const attribute = state.attributes[this.#index];
    if (attribute === undefined) return { done: true, value: undefined };
    this.#index += 1;
    return { done: false, value: [attribute.name, attribute.value] };
  }
}
Object.setPrototypeOf(AttributesIterator.prototype, IteratorPrototype);

export class EndTag extends Token<EndTagState> {
  get name(): string {
    return stateOf(this).name;
  }

  set name(name: string) {
    stateOf(this).setName(USVString(name, "EndTag.name"));
  }

  before(content: unknown, options: unknown = undefined): this {
    requireArguments(arguments.length, 1, "EndTag.before");
    insertInto(this, content, options, "EndTag.before", "before");
    return this;
  }

  after(content: unknown, options: unknown = undefined): this {
    requireArguments(arguments.length, 1, "EndTag.after");
    insertInto(this, content, options, "EndTag.after", "after");
    return this;
  }

  remove(): this {
    stateOf(this).mutate().removed = true;
    return this;
  }
}

export class Comment extends Token<CommentState> {
  get text(): string {
    return stateOf(this).text;
  }

  set text(text: string) {
    stateOf(this).setText(USVString(text, "Comment.text"));
  }

  get removed(): boolean {
    return stateOf(this).mutations?.removed ?? false;
  }

  before(content: unknown, options: unknown = undefined): this {
    requireArguments(arguments.length, 1, "Comment.before");
    const given = textContentOf(content, options, "Comment.before");
    insert(stateOf(this).mutate(), given, "before");
    return this;
  }

  after(content: unknown, options: unknown = undefined): this {
    requireArguments(arguments.length, 1, "Comment.after");
    const given = textContentOf(content, options, "Comment.after");
    insert(stateOf(this).mutate(), given, "after");
    return this;
  }

  replace(content: unknown, options: unknown = undefined): this {
    requireArguments(arguments.length, 1, "Comment.replace");
    const given = textContentOf(content, options, "Comment.replace");
    insert(stateOf(this).mutate(), given, "replace");
    return this;
  }

  remove(): this {
    stateOf(this).mutate().removed = true;
    return this;
  }
}

export class Text extends Token<TextState> {
  get text(): string {
    return stateOf(this).text;
  }

  get lastInTextNode(): boolean {
    return stateOf(this).last;
  }

  get removed(): boolean {
    return stateOf(this).mutations?.removed ?? false;
  }

  before(content: unknown, options: unknown = undefined): this {
    requireArguments(arguments.length, 1, "Text.before");
    insertInto(this, content, options, "Text.before", "before");
    return this;
  }

  after(content: unknown, options: unknown = undefined): this {
    requireArguments(arguments.length, 1, "Text.after");
    insertInto(this, content, options, "Text.after", "after");
    return this;
  }

  replace(content: unknown, options: unknown = undefined): this {
    requireArguments(arguments.length, 1, "Text.replace");
    insertInto(this, content, options, "Text.replace", "replace");
    return this;
  }

  remove(): this {
    stateOf(this).mutate().removed = true;
    return this;
  }
}

export class Doctype extends Token<DoctypeState> {
  get name(): string | null {
    return stateOf(this).name;
  }

  get publicId(): string | null {
    return stateOf(this).publicId;
  }

  get systemId(): string | null {
    return stateOf(this).systemId;
  }
}

export class DocumentEnd extends Token<DocumentEndState> {
  append(content: unknown, options: unknown = undefined): this {
    requireArguments(arguments.length, 1, "DocumentEnd.append");
    const given = textContentOf(content, options, "DocumentEnd.append");
    stateOf(this).appended.push(given);
    return this;
  }
}

// They are no globals, so their names are all that is left of an interface.
const interfaces: [Class, string][] = [
  [Element, "Element"],
  [AttributesIterator, "AttributesIterator"],
  [EndTag, "EndTag"],
  [Comment, "Comment"],
  [Text, "Text"],
  [Doctype, "Doctype"],
  [DocumentEnd, "DocumentEnd"],
];
for (const [constructor, name] of interfaces) {
  makeEnumerable(constructor.prototype as object, ["constructor"]);
  defineToStringTag(constructor.prototype as object, name);
}
