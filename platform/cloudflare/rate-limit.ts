// `RateLimit`: a binding that says whether a key may pass once more in this period.
//
// The host counts; see `bindings/src/rate_limit.rs`.

import { defineInterface, internalToken, isObject, requireArguments, requireInternal } from "../web/webidl.ts";
import { registerHosted } from "./hosted.ts";
import type { Hosted } from "./hosted.ts";

class RateLimit {
  readonly #hosted: Hosted;

  constructor(token: unknown, hosted: Hosted) {
    requireInternal(token);
    this.#hosted = hosted;
  }

  async limit(options: unknown): Promise<{ success: boolean }> {
    requireArguments(arguments.length, 1, "RateLimit.limit");
    const key = isObject(options) ? (options as { key?: unknown }).key : undefined;
    if (typeof key !== "string") throw new TypeError('limit() expects an object with a "key" that is a string.');
    const response = await this.#hosted.ask("POST", "/limit", { body: JSON.stringify({ key }) });
    if (!response.ok) throw new Error(`limit() failed: ${response.status} ${response.statusText}`);
    const { success } = (await response.json()) as { success: boolean };
    return { success };
  }
}
defineInterface(RateLimit);

registerHosted("rateLimit", (hosted) => new RateLimit(internalToken, hosted));
