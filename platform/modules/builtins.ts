// The built-in modules by specifier.
//
// What is not listed does not exist: importing it fails like any missing module. A `node:` module
// is there only for Workers that ask for it with a compatibility flag.
//
// Invariant: the record of a module is the same object every time, so that its exports are shared.

import { has } from "../cloudflare/compat.ts";
import { sockets } from "../cloudflare/sockets.ts";
import { workers } from "../cloudflare/workers.ts";
import { asyncHooks } from "../node/async_hooks.ts";
import { bufferModule } from "../node/buffer.ts";
import { eventsModule } from "../node/events.ts";
import { processModule, setBuiltinLookup } from "../node/process.ts";
import { timersModule, timersPromisesModule } from "../node/timers.ts";
import { utilModule, utilTypesModule } from "../node/util.ts";
import { assertModule, assertStrictModule } from "../node/assert.ts";

type Exports = Record<string, unknown>;

/** A module, or what makes it when it is first asked for. */
const modules = new Map<string, Exports | (() => Exports)>([
  ["cloudflare:workers", workers],
  ["cloudflare:sockets", sockets],
  ["node:assert", assertModule],
  ["node:assert/strict", assertStrictModule],
  ["node:async_hooks", asyncHooks],
  ["node:buffer", bufferModule],
  ["node:events", eventsModule],
  ["node:process", processModule],
  ["node:timers", timersModule],
  ["node:timers/promises", timersPromisesModule],
  ["node:util", utilModule],
  ["node:util/types", utilTypesModule],
]);

/** Flags that make a `node:` module available; any other needs `nodejs_compat`. */
const OTHER_FLAGS: ReadonlyMap<string, string> = new Map([["node:async_hooks", "nodejs_als"]]);

export function builtin(specifier: string): Exports | undefined {
  const found = modules.get(specifier);
  if (found === undefined) return undefined;
  if (!specifier.startsWith("node:")) return made(found);
  const other = OTHER_FLAGS.get(specifier);
  const allowed = has("nodejs_compat") || has("nodejs_compat_v2") || (other !== undefined && has(other));
  return allowed ? made(found) : undefined;
}

function made(found: Exports | (() => Exports)): Exports {
  return typeof found === "function" ? found() : found;
}

setBuiltinLookup(builtin);
