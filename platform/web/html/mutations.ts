// What handlers of HTMLRewriter ask to be written around, instead of and inside a token.
//
// Content is kept as it was given and made bytes only when the token is written: a stream is not
// touched before, and text needs the document's encoding. The order in which several requests for
// the same place are written is that of `lol_html`, and tests of other runtimes rely on it.
//
// Invariant: what is discarded (by `replace` after `replace`, by `setInnerContent` after `prepend`)
// is never read.

import { isResponse } from "../response.ts";
import { bodyState, streamOf } from "../body.ts";
import { type ReadableStream, isReadableStream } from "../streams/readable.ts";
import { USVString, dictionary, optional, boolean } from "../webidl.ts";

/** Something to insert: text or markup, at hand or as a stream of UTF-8. */
export interface Content {
  source: string | ReadableStream;
  html: boolean;
}

export class Mutations {
  before: Content[] = [];
  after: Content[] = [];
  replacement: Content | undefined;
  removed = false;

  replaceWith(content: Content): void {
    this.removed = true;
    this.replacement = content;
  }
}

const contentOptions = dictionary("ContentOptions", { html: optional(boolean) });

/** Content as a method of a token was given it; undefined for a Response without a body. */
export function contentOf(value: unknown, options: unknown, context: string): Content | undefined {
  const html = contentOptions(options, `${context}: options`).html ?? false;
  if (isReadableStream(value)) {
    return { source: value, html };
  }
  if (isResponse(value)) {
    const body = bodyState(value);
    return body === undefined ? undefined : { source: streamOf(body), html };
  }
  return { source: USVString(value, `${context}: content`), html };
}

const NO_STREAMS =
  "Replacing content in HTML comments using a ReadableStream or Response object is not " +
  "implemented. You must provide a string.";

/** The same where only text may stand. */
export function textContentOf(value: unknown, options: unknown, context: string): Content {
  if (isReadableStream(value) || isResponse(value)) {
    throw new TypeError(NO_STREAMS);
  }
  return contentOf(value, options, context) as Content;
}

const SPECIAL = /[&<>]/g;
const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };

export function escapeText(text: string): string {
  return text.replace(SPECIAL, (character) => ENTITIES[character] as string);
}

export function escapeQuotes(text: string): string {
  return text.replaceAll('"', "&quot;");
}
