// `navigator`, as much of it as Workers have.
//
// Deliberately absent: sendBeacon, and everything that would tell one machine from another.

import { defineInterface, internalToken, requireInternal } from "./webidl.ts";

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
