// The built-in modules by specifier.
//
// What is not listed does not exist: importing it fails like any missing module. A `node:` module
// is there only for Workers that ask for it with a compatibility flag.
//
// Most modules of Node.js are evaluated when a Worker first asks for them, not in the zygote: what
// stands in its heap is looked at by every collection of every guest, which dirties memory that the
// guests could share (43 page faults more for a guest that uses none of them).
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
import { engine } from "../ops.ts";
import { assertModule, assertStrictModule } from "../node/assert.ts";

type Exports = Record<string, unknown>;
type Make = () => Exports;

/** The record `name` of a file of the platform, which is evaluated when it is first asked for. */
function later(file: string, name: string): Make {
  let found: Exports | undefined;
  return () => {
    if (found === undefined) {
      const member = engine.platformModule(file)[name] as Exports | Make;
      found = typeof member === "function" && !("default" in member) ? (member as Make)() : (member as Exports);
    }
    return found;
  };
}

const STREAM = "node/stream/index.ts";

/** A module, or what makes it when it is first asked for. */
const modules = new Map<string, Exports | Make>([
  ["cloudflare:workers", workers],
  ["cloudflare:sockets", sockets],
  ["node:_stream_duplex", later(STREAM, "streamDuplexModule")],
  ["node:_stream_passthrough", later(STREAM, "streamPassThroughModule")],
  ["node:_stream_readable", later(STREAM, "streamReadableModule")],
  ["node:_stream_transform", later(STREAM, "streamTransformModule")],
  ["node:_stream_writable", later(STREAM, "streamWritableModule")],
  ["node:assert", assertModule],
  ["node:assert/strict", assertStrictModule],
  ["node:async_hooks", asyncHooks],
  ["node:buffer", bufferModule],
  ["node:constants", later("node/constants.ts", "constantsModule")],
  ["node:domain", later("node/domain.ts", "domainModule")],
  ["node:events", eventsModule],
  ["node:fs", later("node/fs/index.ts", "fsModule")],
  ["node:fs/promises", later("node/fs/index.ts", "fsPromisesModule")],
  ["node:module", later("node/module.ts", "moduleModule")],
  ["node:os", later("node/os.ts", "osModule")],
  ["node:path", later("node/path.ts", "pathModule")],
  ["node:path/posix", later("node/path.ts", "pathModule")],
  ["node:path/win32", later("node/path.ts", "pathWin32Module")],
  ["node:process", processModule],
  ["node:punycode", later("node/punycode.ts", "punycodeModule")],
  ["node:querystring", later("node/querystring.ts", "querystringModule")],
  ["node:readline", later("node/readline.ts", "readlineModule")],
  ["node:readline/promises", later("node/readline.ts", "readlinePromisesModule")],
  ["node:stream", later(STREAM, "streamModule")],
  ["node:stream/consumers", later(STREAM, "streamConsumersModule")],
  ["node:stream/promises", later(STREAM, "streamPromisesModule")],
  ["node:stream/web", later(STREAM, "streamWebModule")],
  ["node:string_decoder", later("node/string-decoder.ts", "stringDecoderModule")],
  ["node:sys", utilModule],
  ["node:timers", timersModule],
  ["node:timers/promises", timersPromisesModule],
  ["node:tty", later("node/tty.ts", "ttyModule")],
  ["node:url", later("node/url.ts", "urlModule")],
  ["node:util", utilModule],
  ["node:util/types", utilTypesModule],
  ["node:zlib", later("node/zlib.ts", "zlibModule")],
]);

/** Flags that make a `node:` module available; any other needs `nodejs_compat`. */
const OTHER_FLAGS: ReadonlyMap<string, string> = new Map([["node:async_hooks", "nodejs_als"]]);

/** Modules that came to Workers later: beside `nodejs_compat` each needs its own flag. */
const LATER: ReadonlyMap<string, () => boolean> = new Map([
  ["node:fs", () => has("enable_nodejs_fs_module")],
  ["node:os", () => has("enable_nodejs_os_module")],
  ["node:domain", () => has("enable_nodejs_domain_module")],
  ["node:punycode", () => has("enable_nodejs_punycode_module")],
  ["node:readline", () => has("enable_nodejs_readline_module")],
  ["node:readline/promises", () => has("enable_nodejs_readline_module")],
  ["node:tty", () => has("enable_nodejs_tty_module")],
]);

export function builtin(specifier: string): Exports | undefined {
  const found = modules.get(specifier);
  if (found === undefined) return undefined;
  if (!specifier.startsWith("node:")) return made(found);
  const other = OTHER_FLAGS.get(specifier);
  const isNode = has("nodejs_compat") || has("nodejs_compat_v2");
  if (!isNode) return other !== undefined && has(other) ? made(found) : undefined;
  return LATER.get(specifier)?.() === false ? undefined : made(found);
}

function made(found: Exports | Make): Exports {
  return typeof found === "function" ? found() : found;
}

setBuiltinLookup(builtin);
