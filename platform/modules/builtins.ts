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
import { timersModule, timersPromisesModule } from "../node/timers.ts";
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

const HTTP = "node/http/index.ts";
const NOMINAL = "node/nominal.ts";
const STREAM = "node/stream/index.ts";

/** A module, or what makes it when it is first asked for. */
const modules = new Map<string, Exports | Make>([
  ["cloudflare:email", later("cloudflare/small-modules.ts", "cloudflareEmail")],
  ["cloudflare:node", later("cloudflare/node.ts", "cloudflareNode")],
  ["cloudflare:sockets", sockets],
  ["cloudflare:workers", workers],
  ["cloudflare:workflows", later("cloudflare/small-modules.ts", "cloudflareWorkflows")],
  ["node:_http_agent", later(HTTP, "httpAgentModule")],
  ["node:_http_client", later(HTTP, "httpClientModule")],
  ["node:_http_common", later(HTTP, "httpCommonModule")],
  ["node:_http_incoming", later(HTTP, "httpIncomingModule")],
  ["node:_http_outgoing", later(HTTP, "httpOutgoingModule")],
  ["node:_http_server", later(HTTP, "httpServerModule")],
  ["node:_stream_duplex", later(STREAM, "streamDuplexModule")],
  ["node:_stream_passthrough", later(STREAM, "streamPassThroughModule")],
  ["node:_stream_readable", later(STREAM, "streamReadableModule")],
  ["node:_stream_transform", later(STREAM, "streamTransformModule")],
  ["node:_stream_wrap", later("node/stream-wrap.ts", "streamWrapModule")],
  ["node:_stream_writable", later(STREAM, "streamWritableModule")],
  ["node:_tls_common", later("node/tls.ts", "tlsCommonModule")],
  ["node:_tls_wrap", later("node/tls.ts", "tlsWrapModule")],
  ["node:assert", assertModule],
  ["node:assert/strict", assertStrictModule],
  ["node:async_hooks", asyncHooks],
  ["node:buffer", bufferModule],
  ["node:child_process", later(NOMINAL, "childProcessModule")],
  ["node:cluster", later(NOMINAL, "clusterModule")],
  ["node:console", later("node/console.ts", "consoleModule")],
  ["node:constants", later("node/constants.ts", "constantsModule")],
  ["node:crypto", later("node/crypto/index.ts", "cryptoModule")],
  ["node:dgram", later(NOMINAL, "dgramModule")],
  ["node:diagnostics_channel", later("node/diagnostics-channel.ts", "diagnosticsChannelModule")],
  ["node:dns", later("node/dns.ts", "dnsModule")],
  ["node:dns/promises", later("node/dns.ts", "dnsPromisesModule")],
  ["node:domain", later("node/domain.ts", "domainModule")],
  ["node:events", eventsModule],
  ["node:fs", later("node/fs/index.ts", "fsModule")],
  ["node:fs/promises", later("node/fs/index.ts", "fsPromisesModule")],
  ["node:http", later(HTTP, "httpModule")],
  ["node:http2", later(HTTP, "http2Module")],
  ["node:https", later(HTTP, "httpsModule")],
  ["node:inspector", later("node/inspector.ts", "inspectorModule")],
  ["node:inspector/promises", later("node/inspector.ts", "inspectorPromisesModule")],
  ["node:module", later("node/module.ts", "moduleModule")],
  ["node:net", later("node/net.ts", "netModule")],
  ["node:os", later("node/os.ts", "osModule")],
  ["node:path", later("node/path.ts", "pathModule")],
  ["node:path/posix", later("node/path.ts", "pathModule")],
  ["node:path/win32", later("node/path.ts", "pathWin32Module")],
  ["node:perf_hooks", later("node/perf-hooks.ts", "perfHooksModule")],
  ["node:process", later("node/process.ts", "processModule")],
  ["node:punycode", later("node/punycode.ts", "punycodeModule")],
  ["node:querystring", later("node/querystring.ts", "querystringModule")],
  ["node:readline", later("node/readline.ts", "readlineModule")],
  ["node:readline/promises", later("node/readline.ts", "readlinePromisesModule")],
  ["node:repl", later(NOMINAL, "replModule")],
  ["node:sqlite", later(NOMINAL, "sqliteModule")],
  ["node:stream", later(STREAM, "streamModule")],
  ["node:stream/consumers", later(STREAM, "streamConsumersModule")],
  ["node:stream/promises", later(STREAM, "streamPromisesModule")],
  ["node:stream/web", later(STREAM, "streamWebModule")],
  ["node:string_decoder", later("node/string-decoder.ts", "stringDecoderModule")],
  ["node:sys", later("node/util.ts", "utilModule")],
  ["node:test", later("node/test.ts", "testModule")],
  ["node:timers", timersModule],
  ["node:timers/promises", timersPromisesModule],
  ["node:tls", later("node/tls.ts", "tlsModule")],
  ["node:trace_events", later(NOMINAL, "traceEventsModule")],
  ["node:tty", later("node/tty.ts", "ttyModule")],
  ["node:url", later("node/url.ts", "urlModule")],
  ["node:util", later("node/util.ts", "utilModule")],
  ["node:util/types", later("node/util.ts", "utilTypesModule")],
  ["node:v8", later("node/v8.ts", "v8Module")],
  ["node:vm", later("node/vm.ts", "vmModule")],
  ["node:wasi", later(NOMINAL, "wasiModule")],
  ["node:worker_threads", later("node/worker-threads.ts", "workerThreadsModule")],
  ["node:zlib", later("node/zlib.ts", "zlibModule")],
]);

/** Flags that make a `node:` module available; any other needs `nodejs_compat`. */
const OTHER_FLAGS: ReadonlyMap<string, string> = new Map([["node:async_hooks", "nodejs_als"]]);

/** Modules that came to Workers later: beside `nodejs_compat` each needs its own flag. */
const LATER: ReadonlyMap<string, () => boolean> = new Map([
  ["node:_http_agent", () => has("enable_nodejs_http_modules")],
  ["node:_http_client", () => has("enable_nodejs_http_modules")],
  ["node:_http_common", () => has("enable_nodejs_http_modules")],
  ["node:_http_incoming", () => has("enable_nodejs_http_modules")],
  ["node:_http_outgoing", () => has("enable_nodejs_http_modules")],
  ["node:_http_server", () => has("enable_nodejs_http_server_modules")],
  ["node:child_process", () => has("enable_nodejs_child_process_module")],
  ["node:cluster", () => has("enable_nodejs_cluster_module")],
  ["node:console", () => has("enable_nodejs_console_module")],
  ["node:dgram", () => has("enable_nodejs_dgram_module")],
  ["node:domain", () => has("enable_nodejs_domain_module")],
  ["node:fs", () => has("enable_nodejs_fs_module")],
  ["node:http", () => has("enable_nodejs_http_modules")],
  ["node:http2", () => has("enable_nodejs_http2_module")],
  ["node:https", () => has("enable_nodejs_http_modules")],
  ["node:inspector", () => has("enable_nodejs_inspector_module")],
  ["node:inspector/promises", () => has("enable_nodejs_inspector_module")],
  ["node:os", () => has("enable_nodejs_os_module")],
  ["node:perf_hooks", () => has("enable_nodejs_perf_hooks_module")],
  ["node:punycode", () => has("enable_nodejs_punycode_module")],
  ["node:readline", () => has("enable_nodejs_readline_module")],
  ["node:readline/promises", () => has("enable_nodejs_readline_module")],
  ["node:repl", () => has("enable_nodejs_repl_module")],
  ["node:sqlite", () => has("enable_nodejs_sqlite_module")],
  ["node:trace_events", () => has("enable_nodejs_trace_events_module")],
  ["node:tty", () => has("enable_nodejs_tty_module")],
  ["node:v8", () => has("enable_nodejs_v8_module")],
  ["node:vm", () => has("enable_nodejs_vm_module")],
  ["node:wasi", () => has("enable_nodejs_wasi_module")],
  ["node:worker_threads", () => has("enable_nodejs_worker_threads_module")],
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
