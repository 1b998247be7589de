// WebSocketRequestResponsePair: a text and what the host answers to it while a Durable Object sleeps.
//
// Invariant: plain data; who uses it is `cloudflare/actors/sockets.ts`.

import { USVString, defineInterface, requireArguments } from "./webidl.ts";

interface PairState {
  readonly request: string;
  readonly response: string;
}

const pairs = new WeakMap<object, PairState>();

export function autoResponseOf(value: unknown): PairState {
  const state = typeof value === "object" && value !== null ? pairs.get(value) : undefined;
  if (state === undefined) throw new TypeError("Illegal invocation");
  return state;
}

/** A text and what is answered to it without waking the object. */
export class WebSocketRequestResponsePair {
  constructor(request: unknown, response: unknown) {
    requireArguments(arguments.length, 2, "WebSocketRequestResponsePair constructor");
    pairs.set(this, {
      request: USVString(request, "WebSocketRequestResponsePair constructor: request"),
      response: USVString(response, "WebSocketRequestResponsePair constructor: response"),
    });
  }

  get request(): string {
    return autoResponseOf(this).request;
  }

  get response(): string {
    return autoResponseOf(this).response;
  }
}
defineInterface(WebSocketRequestResponsePair);
