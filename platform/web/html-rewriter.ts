// HTMLRewriter: handlers by CSS selector over the HTML of a response, as it streams.
//
// Handlers are collected here; `transform` makes a response whose body is the rewritten one
// (`html/rewrite.ts`). Names of the globals it needs are its own: tokens are no globals.
//
// Invariant: a rewriter may transform any number of responses, also at once; each has its own parser.

import { has } from "../cloudflare/compat.ts";
import { bodyState, streamOf } from "./body.ts";
import { headerOf } from "./headers.ts";
import { type Handler, type Registration, Rewrite } from "./html/rewrite.ts";
import { parseMimeType } from "./mime.ts";
import { Response, isResponse } from "./response.ts";
import { type AnyFunction, USVString, defineInterface, isObject, requireArguments } from "./webidl.ts";
import { ops } from "../ops.ts";

type Kind = Exclude<keyof Registration, "selector">;

function handlersOf(value: unknown, kinds: readonly Kind[], type: string): Record<Kind, Handler | undefined> {
  if (!isObject(value)) {
    throw new TypeError(`HTMLRewriter: handlers are not an object, so they cannot be converted to ${type}`);
  }
  const found: Record<Kind, Handler | undefined> = {
    element: undefined,
    comments: undefined,
    text: undefined,
    doctype: undefined,
    end: undefined,
  };
  for (const kind of kinds) {
    const handler = (value as Record<Kind, unknown>)[kind];
    if (handler === undefined) continue;
    if (typeof handler !== "function") {
      throw new TypeError(
        `Incorrect type for the '${kind}' field on '${type}': the provided value is not of type 'function'.`,
      );
    }
    found[kind] = { call: handler as AnyFunction, receiver: value };
  }
  return found;
}

export class HTMLRewriter {
  #registrations: Registration[] = [];

  on(selector: string, handlers: unknown): this {
    requireArguments(arguments.length, 2, "HTMLRewriter.on");
    const text = USVString(selector, "HTMLRewriter.on: selector");
    const found = handlersOf(handlers, ["element", "comments", "text"], "ElementContentHandlers");
    ops.htmlSelector(text);
    this.#registrations.push({ selector: text, ...found });
    return this;
  }

  onDocument(handlers: unknown): this {
    requireArguments(arguments.length, 1, "HTMLRewriter.onDocument");
    const found = handlersOf(handlers, ["doctype", "comments", "text", "end"], "DocumentContentHandlers");
    this.#registrations.push({ selector: undefined, ...found });
    return this;
  }

  transform(response: unknown): Response {
    requireArguments(arguments.length, 1, "HTMLRewriter.transform");
    if (!isResponse(response)) {
      throw new TypeError("Failed to execute 'transform' on 'HTMLRewriter': parameter 1 is not of type 'Response'.");
    }
    if (response.type === "error") {
      throw new TypeError("HTMLRewriter cannot transform an error response");
    }
    const body = bodyState(response);
    if (body === undefined) {
      return response;
    }
    const type = headerOf(response.headers, "content-type");
    const charset = type === null ? undefined : parseMimeType(type)?.parameters.get("charset");
    const rewrite = new Rewrite(this.#registrations, charset ?? "utf-8", has("html_rewriter_treats_esi_include_as_void_tag"));
    return new Response(rewrite.start(streamOf(body)), response);
  }
}
defineInterface(HTMLRewriter);
