// The global `Cloudflare`: which compatibility flags this Worker runs with.
//
// Invariant: the flags are made when they are first asked for, after `start` has set them.

import { has } from "./compat.ts";
import { flagNames } from "./compat-names.ts";

let flags: Readonly<Record<string, boolean>> | undefined;

function compatibilityFlags(): Readonly<Record<string, boolean>> {
  if (flags === undefined) {
    const all = Object.create(null) as Record<string, boolean>;
    for (const name of flagNames) all[name] = has(name);
    flags = Object.freeze(all);
  }
  return flags;
}

export const Cloudflare: object = Object.defineProperty({}, "compatibilityFlags", {
  get: compatibilityFlags,
  enumerable: true,
  configurable: true,
});
