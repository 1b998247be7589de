// The class behind `ServiceStub`, and what is known of each instance.
//
// On its own so that both the fetch path and the RPC path can name it without importing each other.
//
// Invariant: instances are made by `fetcher.ts` alone.

import type { Cap } from "./caps.ts";

export interface ServiceState {
  /** The slot to call; throws after disposal. */
  cap(): Cap;
  /** The slot to hand to somebody else; throws where that is not allowed. */
  transferable(): Cap;
}

export const serviceStates = new WeakMap<object, ServiceState>();

export class Fetcher {
  constructor() {
    throw new TypeError("Illegal constructor");
  }
}
Object.defineProperty(Fetcher.prototype, Symbol.toStringTag, { value: "Fetcher", configurable: true });
