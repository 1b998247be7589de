// One document on its way through HTMLRewriter.
//
// The parser (an op) takes a piece of the document and gives its bytes back with the places of the
// tokens that handlers wait for. This walks them in order, calls and awaits the handlers, and writes:
// stretches that nobody changed as they are, changed tokens part by part. Elements whose content is
// removed, and what is to stand at their ends, are remembered until the end tag comes.
//
// It works ahead of its reader by one chunk at most: it begins at once, as in workerd, but waits with
// each chunk for the reader to ask.
//
// Invariant: handlers run one at a time, in document order, in the async context of `transform()`;
// after a failure, an end or a cancel no handler is called and the parser is freed.

import { type HtmlToken, engine, ops } from "../../ops.ts";
import { type PushedReadable, chunkBytes, joinBytes, readableFromPush } from "../streams/internal.ts";
import { type Deferred, deferred } from "../streams/promises.ts";
import { DefaultReaderCore, PromiseRequest } from "../streams/readable-core.ts";
import { type ReadableStream, readableCore } from "../streams/readable.ts";
import type { AnyFunction } from "../webidl.ts";
import { type Content, escapeText } from "./mutations.ts";
import {
  CommentState,
  DoctypeState,
  DocumentEndState,
  ElementState,
  type Encoder,
  EndTagState,
  type Part,
  TextState,
} from "./states.ts";
import { type AnyToken, Comment, Doctype, DocumentEnd, Element, EndTag, Text, endToken } from "./tokens.ts";

/** A handler and the object that it was found on, which is its `this`. */
export interface Handler {
  call: AnyFunction;
  receiver: object;
}

/** What one `on()` or `onDocument()` registered. */
export interface Registration {
  /** Undefined for the whole document. */
  selector: string | undefined;
  element: Handler | undefined;
  comments: Handler | undefined;
  text: Handler | undefined;
  doctype: Handler | undefined;
  end: Handler | undefined;
}

/** Bytes that are parsed at a time: it bounds how many tokens are in memory at once. */
const PIECE_BYTES = 32 * 1024;

const EMPTY = new Uint8Array(0);

function wants({ element, comments, text, doctype, end }: Registration): number {
  return (
    (element === undefined ? 0 : 1) |
    (comments === undefined ? 0 : 2) |
    (text === undefined ? 0 : 4) |
    (doctype === undefined ? 0 : 8) |
    (end === undefined ? 0 : 16)
  );
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}

/** Parsers of streams that are forgotten half read. */
const forgotten = new FinalizationRegistry<number>((handle) => ops.htmlFree(handle));

export class Rewrite implements Encoder {
  #registrations: readonly Registration[];
  #handle: number;
  #isUtf8: boolean;
  #context: unknown;
  #input!: DefaultReaderCore;
  #output: PushedReadable;
  /** Settled when the reader wants the next chunk. */
  #wanted: Deferred<undefined> = deferred();
  #ended = false;
  #canceled: unknown;

  // Of the piece at hand.
  #bytes: Uint8Array = EMPTY;
  /** Up to where it was written. */
  #cursor = 0;
  #pieces: Uint8Array[] = [];
  #pending = 0;

  /** Elements whose end tag matters. */
  #open = new Map<number, ElementState>();
  /** How many open elements lose their content: while there are any, nothing is written. */
  #removing = 0;

  /** Throws when the encoding is none that documents have. */
  constructor(registrations: readonly Registration[], encoding: string, esi: boolean) {
    this.#registrations = [...registrations];
    const flat = this.#registrations.flatMap((registration) => [registration.selector, wants(registration)]);
    this.#handle = ops.htmlNew(encoding, flat, esi);
    this.#isUtf8 = ops.textEncodingName(encoding) === "utf-8";
    this.#context = engine.contextGet();
    this.#output = readableFromPush(
      () => this.#wanted.resolve(undefined),
      (reason) => this.#cancel(reason),
      1,
    );
    forgotten.register(this.#output.stream, this.#handle, this);
  }

  /** Begins to rewrite `input`; the stream of the result. */
  start(input: ReadableStream): ReadableStream {
    this.#input = new DefaultReaderCore(readableCore(input));
    void this.#run();
    return this.#output.stream;
  }

  encode(text: string): Uint8Array {
    return this.#isUtf8 ? ops.textEncode(text) : (ops.htmlEncode(this.#handle, text, false) as Uint8Array);
  }

  encodeExactly(text: string): Uint8Array | undefined {
    return this.#isUtf8 ? ops.textEncode(text) : ops.htmlEncode(this.#handle, text, true);
  }

  // ---- The course of a document ------------------------------------------------------------------

  async #run(): Promise<void> {
    try {
      for (;;) {
        const { value, done } = await this.#read();
        // A cancel reaches the input with its next chunk, as in workerd, so that a write under way
        // is not failed by it.
        if (this.#ended) return this.#cancelInput(this.#canceled);
        if (done) break;
        const bytes = chunkBytes(value);
        for (let start = 0; start < bytes.byteLength; start += PIECE_BYTES) {
          await this.#piece(bytes.subarray(start, start + PIECE_BYTES), false);
          if (this.#ended) return this.#cancelInput(this.#canceled);
        }
      }
      await this.#piece(EMPTY, true);
      if (this.#ended) return;
      this.#end();
      this.#output.end();
    } catch (error) {
      if (this.#ended) return;
      this.#end();
      this.#output.fail(error);
      this.#cancelInput(error);
    }
  }

  #read(): Promise<{ value: unknown; done: boolean }> {
    const request = new PromiseRequest();
    this.#input.read(request);
    return request.result.promise;
  }

  #end(): void {
    this.#ended = true;
    forgotten.unregister(this);
    ops.htmlFree(this.#handle);
    this.#open.clear();
  }

  #cancel(reason: unknown): void {
    if (this.#ended) return;
    this.#end();
    this.#canceled = reason;
    this.#wanted.resolve(undefined);
  }

  #cancelInput(reason: unknown): void {
    this.#input.cancel(reason).catch(() => {});
  }

  async #piece(bytes: Uint8Array, last: boolean): Promise<void> {
    const [output, tokens, error] = ops.htmlPush(this.#handle, bytes, last);
    this.#bytes = output;
    this.#cursor = 0;
    for (const token of tokens) {
      // Most handlers are synchronous, and a promise for each token would cost more than the rest.
      const waiting = this.#token(token);
      if (waiting !== undefined) await waiting;
      if (this.#ended) return;
    }
    if (error !== undefined) {
      await this.#flush();
      throw new TypeError(error);
    }
    this.#advance(output.length);
    await this.#flush();
  }

  // ---- Tokens ------------------------------------------------------------------------------------

  #token(token: HtmlToken): Promise<void> | undefined {
    const raw = this.#bytes.subarray(token[1], token[2]);
    switch (token[0]) {
      case 0: {
        const state = new ElementState(token, raw, this);
        return this.#handled(token, state, () => new Element(state), "element");
      }
      case 1:
        return this.#endTag(token, new EndTagState(token[4], raw, this));
      case 2: {
        const state = new CommentState(token[4], raw, this);
        return this.#handled(token, state, () => new Comment(state), "comments");
      }
      case 3: {
        const state = new TextState(token[4], token[5], raw);
        return this.#handled(token, state, () => new Text(state), "text");
      }
      case 4: {
        const state = new DoctypeState(token[4], token[5], token[6]);
        return this.#handled(token, state, () => new Doctype(state), "doctype");
      }
      case 5: {
        const state = new DocumentEndState();
        return this.#handled(token, state, () => new DocumentEnd(state), "end");
      }
    }
  }

  /** Calls the handlers of a token, then writes it. */
  #handled(
    token: HtmlToken,
    state: { parts(): Part[] | undefined },
    make: () => AnyToken,
    kind: Exclude<keyof Registration, "selector">,
  ): Promise<void> | undefined {
    const registrations = token[3];
    for (let i = 0; i < registrations.length; i++) {
      const handler = this.#registrations[registrations[i] as number]?.[kind] as Handler;
      const waiting = this.#call(handler, make());
      if (waiting !== undefined) return this.#handledLater(token, state, make, kind, i + 1, waiting);
    }
    return this.#written(token, state);
  }

  async #handledLater(
    token: HtmlToken,
    state: { parts(): Part[] | undefined },
    make: () => AnyToken,
    kind: Exclude<keyof Registration, "selector">,
    next: number,
    waiting: Promise<void>,
  ): Promise<void> {
    // What stands before the token need not wait for the handler.
    this.#advance(token[1]);
    waiting.catch(() => {});
    await this.#flush();
    await waiting;
    const registrations = token[3];
    for (let i = next; i < registrations.length && !this.#ended; i++) {
      const handler = this.#registrations[registrations[i] as number]?.[kind] as Handler;
      const more = this.#call(handler, make());
      if (more !== undefined) await more;
    }
    if (!this.#ended) await this.#written(token, state);
  }

  /** Calls one handler; a promise when it is not done yet. */
  #call({ call, receiver }: Handler, token: AnyToken): Promise<void> | undefined {
    const before = engine.contextGet();
    engine.contextSet(this.#context);
    let result: unknown;
    try {
      result = Reflect.apply(call, receiver, [token] as never[]);
    } catch (error) {
      endToken(token);
      throw error;
    } finally {
      engine.contextSet(before);
    }
    if (!isThenable(result)) {
      endToken(token);
      return undefined;
    }
    return ended(result, token);
  }

  #written(token: HtmlToken, state: { parts(): Part[] | undefined }): Promise<void> | undefined {
    const parts = state.parts();
    let waiting: Promise<void> | undefined;
    if (parts !== undefined) {
      this.#advance(token[1]);
      this.#cursor = token[2];
      // What is appended to the document is written even inside an element that loses its content.
      if (this.#removing === 0 || token[0] === 5) waiting = this.#write(parts);
    }
    if (state instanceof ElementState && state.minds) {
      this.#open.set(token[4] as number, state);
      if (state.removesContent) {
        this.#advance(token[2]);
        this.#removing += 1;
      }
    }
    return waiting;
  }

  #endTag(token: HtmlToken & { 0: 1 }, state: EndTagState): Promise<void> | undefined {
    const elements: ElementState[] = [];
    for (const number of token[3]) {
      const element = this.#open.get(number);
      if (element === undefined) continue;
      this.#open.delete(number);
      elements.push(element);
      if (element.removesContent) {
        this.#advance(token[1]);
        this.#removing -= 1;
      }
    }
    for (let i = 0; i < elements.length; i++) {
      const waiting = this.#endOf(elements[i] as ElementState, state);
      if (waiting !== undefined) return this.#endTagLater(token, state, elements, i + 1, waiting);
    }
    return this.#written(token, state);
  }

  async #endTagLater(
    token: HtmlToken & { 0: 1 },
    state: EndTagState,
    elements: readonly ElementState[],
    next: number,
    waiting: Promise<void>,
  ): Promise<void> {
    this.#advance(token[1]);
    waiting.catch(() => {});
    await this.#flush();
    await waiting;
    for (let i = next; i < elements.length && !this.#ended; i++) {
      await this.#endOf(elements[i] as ElementState, state);
    }
    if (!this.#ended) await this.#written(token, state);
  }

  /** What an element wants of the tag that ends it. */
  #endOf(element: ElementState, state: EndTagState): Promise<void> | undefined {
    if (element.newName !== undefined) state.setName(element.newName);
    if (element.end !== undefined) state.mutations = element.end;
    if (element.onEndTag === undefined) return undefined;
    return this.#call({ call: element.onEndTag, receiver: globalThis }, new EndTag(state));
  }

  // ---- Writing -----------------------------------------------------------------------------------

  /** Writes the bytes at hand up to `end`, or drops them where content is removed. */
  #advance(end: number): void {
    if (end > this.#cursor && this.#removing === 0) this.#put(this.#bytes.subarray(this.#cursor, end));
    this.#cursor = end;
  }

  #put(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#pieces.push(bytes);
    this.#pending += bytes.length;
  }

  #write(parts: readonly Part[]): Promise<void> | undefined {
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i] as Part;
      if (part instanceof Uint8Array) {
        this.#put(part);
      } else if (typeof part.source === "string") {
        this.#put(this.encode(part.html ? part.source : escapeText(part.source)));
      } else {
        return this.#writeLater(part, parts.slice(i + 1));
      }
    }
    return undefined;
  }

  async #writeLater(content: Content, rest: readonly Part[]): Promise<void> {
    const reader = new DefaultReaderCore(readableCore(content.source as ReadableStream));
    const decoder = ops.textDecoderNew("utf-8", true, true);
    try {
      for (;;) {
        const request = new PromiseRequest();
        reader.read(request);
        const { value, done } = await request.result.promise;
        if (this.#ended) {
          reader.cancel(undefined).catch(() => {});
          return;
        }
        const text = decoded(decoder, done ? EMPTY : chunkBytes(value), done);
        this.#put(this.encode(content.html ? text : escapeText(text)));
        await this.#flush();
        if (done) break;
      }
    } catch (error) {
      reader.cancel(error).catch(() => {});
      throw error;
    } finally {
      ops.textDecoderFree(decoder);
    }
    await this.#write(rest);
  }

  /** Gives the reader what was written, once it wants it. */
  async #flush(): Promise<void> {
    if (this.#pending === 0) return;
    await this.#wanted.promise;
    if (this.#ended) return;
    const bytes = joinBytes(this.#pieces, this.#pending);
    this.#pieces = [];
    this.#pending = 0;
    this.#wanted = deferred();
    this.#output.push(bytes);
  }
}

async function ended(result: PromiseLike<unknown>, token: AnyToken): Promise<void> {
  try {
    await result;
  } finally {
    endToken(token);
  }
}

function decoded(decoder: number, bytes: Uint8Array, last: boolean): string {
  try {
    return ops.textDecoderDecode(decoder, bytes, last);
  } catch {
    throw new TypeError("Parser error: Invalid UTF-8");
  }
}
