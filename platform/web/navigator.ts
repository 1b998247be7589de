// `navigator`, as much of it as Workers have.
//
// Deliberately absent: everything that would tell one machine from another.

import { currentInvocation } from "../cloudflare/async-context.ts";
import { fetch } from "./fetch.ts";
import { Request } from "./request.ts";
import { defineInterface, internalToken, requireArguments, requireInternal } from "./webidl.ts";

export class Navigator {
  // The field is what a brand check reads.
  #languages: readonly string[] = Object.freeze(["en"]);

  constructor(token: unknown = undefined) {
    requireInternal(token);
  }

  get userAgent(): string {
    this.#languages;
    return "Cloudflare-Workers";
  }

  /** Sends the data behind the response, if there is an event to do it for. */
  sendBeacon(url: unknown, body: unknown = undefined): boolean {
    this.#languages;
    requireArguments(arguments.length, 1, "Navigator.sendBeacon");
    const invocation = currentInvocation();
    if (invocation === undefined) return false;
    const request = new Request(url, { method: "POST", body: body ?? null });
    invocation.ctx.waitUntil(fetch(request));
    return true;
  }

  /** A Worker has one thread of its own. */
  get hardwareConcurrency(): number {
    this.#languages;
    return 1;
  }

  get language(): string {
    return this.#languages[0] as string;
  }

  get languages(): readonly string[] {
    return this.#languages;
  }

  get platform(): string {
    this.#languages;
    return "linux";
  }
}

defineInterface(Navigator);

export const navigator: Navigator = new Navigator(internalToken);
