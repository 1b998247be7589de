// The module `cloudflare:sockets`: where `connect()` will be.
//
// There are no TCP sockets yet, so connecting fails by name. A Worker whose outbound is blocked is
// told that first, as it would be told by `fetch()`.
//
// Invariant: nothing here reaches the network.

import { requireOutbound } from "./calls.ts";

const NOT_SUPPORTED = "connect() is not supported yet: there are no TCP sockets here.";

export function connect(): never {
  requireOutbound();
  throw new Error(NOT_SUPPORTED);
}

/** `connect()` of a service stub. */
export function connectToService(): never {
  throw new Error(NOT_SUPPORTED);
}

export const sockets: Record<string, unknown> = { connect };
