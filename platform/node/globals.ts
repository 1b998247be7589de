// The globals that Node.js adds: put in place when a Worker asks for them by its flags.
//
// Invariant: what the flags do not name stays as the web platform has it.

import { has } from "../cloudflare/compat.ts";
import { engine } from "../ops.ts";
import type { fileSystemGlobals } from "../web/file-system.ts";
import { navigator } from "../web/navigator.ts";
import { Buffer } from "./buffer.ts";
import { clearImmediate, globalTimers, setImmediate } from "./timers.ts";

function define(values: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(values)) {
    Object.defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true });
  }
}

/** A global that is made when it is first asked for: most Workers never do. */
function defineLater(name: string, make: () => unknown): void {
  const keep = (value: unknown): unknown => {
    Object.defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true });
    return value;
  };
  Object.defineProperty(globalThis, name, { get: () => keep(make()), set: keep, enumerable: false, configurable: true });
}

export function installNodeGlobals(): void {
  if (has("nodejs_compat_v2")) {
    define({ Buffer, clearImmediate, global: globalThis, setImmediate });
    defineLater("process", () => engine.platformModule("node/process.ts")["process"]);
  }
  if (has("enable_nodejs_global_timers")) define(globalTimers);
  // The web's view of the files that node:fs has.
  if (has("enable_web_file_system")) {
    const files = engine.platformModule("web/file-system.ts") as { fileSystemGlobals: typeof fileSystemGlobals };
    define(files.fileSystemGlobals(navigator));
  }
}
