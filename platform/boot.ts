// Boot: makes the engine a Workers runtime. Evaluated once, in the zygote, before any fork.
//
// It puts the globals in place and joins the modules to what Rust calls (`Handlers`). All the
// wiring between parts that must not know each other is here; nothing else is.
//
// Deliberately absent at the top level: I/O, timers, randomness, the clock. Every fork would
// inherit them.
//
// Invariant: an exception never leaves a handler unless user code is to be blamed for it.

import "./cloudflare/symbols.ts";
import { engine, wire } from "./ops.ts";
import type { Handlers, StartInfo } from "./ops.ts";
import { invokeActor, invokeActorRpc, startActor, stopActor } from "./cloudflare/actors/instance.ts";
import { currentInvocation } from "./cloudflare/async-context.ts";
import { globals as cacheGlobals } from "./cloudflare/cache.ts";
import { returned, returnedValue, setOutbound } from "./cloudflare/calls.ts";
import { capBroken } from "./cloudflare/caps.ts";
import { enable } from "./cloudflare/compat.ts";
import { applyFlags } from "./cloudflare/compat-effects.ts";
import { Cloudflare } from "./cloudflare/compat-global.ts";
import { cancelInvocation } from "./cloudflare/context.ts";
import { invoke, invokeRpc, startMain } from "./cloudflare/entrypoint.ts";
import { buildEnv } from "./cloudflare/env.ts";
import { failureOf } from "./cloudflare/failures.ts";
import { setWasmModules } from "./cloudflare/loader-wasm.ts";
import { silence } from "./cloudflare/hung.ts";
import "./cloudflare/d1.ts";
import "./cloudflare/kv.ts";
import "./cloudflare/queue-binding.ts";
import "./cloudflare/r2.ts";
import "./cloudflare/rate-limit.ts";
import { installProxyWatch } from "./cloudflare/proxies.ts";
import { packNow, ship, unpack } from "./cloudflare/rpc/message.ts";
import { releaseAnswer, serveAnswer, serveAnswerRpc, serveExport, serveExportRpc } from "./cloudflare/rpc/serve.ts";
import { releaseExport } from "./cloudflare/rpc/target.ts";
import { globals as serviceWorkerGlobals } from "./cloudflare/service-worker.ts";
import { tailEvents } from "./cloudflare/tails.ts";
import { logValues, warn } from "./cloudflare/trace.ts";
import { installUncaughtHandlers, reportRejection, reportUncaught } from "./cloudflare/uncaught.ts";
import { builtin } from "./modules/builtins.ts";
import { commonJs, setModules } from "./modules/commonjs.ts";
import { installNodeGlobals } from "./node/globals.ts";
import { createSignal } from "./web/abort.ts";
import { setConsoleSink } from "./web/console.ts";
import { setErrorReporter } from "./web/events.ts";
import { requestFromWire, responseToWire } from "./web/fetch-wire.ts";
import { globals as fetchGlobals } from "./web/globals-fetch.ts";
import { globals as streamGlobals } from "./web/globals-streams.ts";
import { noWebAssembly } from "./web/no-wasm.ts";
import { Response, setWebSocketCheck } from "./web/response.ts";
import * as streams from "./web/streams/wire.ts";
import { runDue } from "./web/timers.ts";
import { URL } from "./web/url.ts";
import { setWarningSink } from "./web/warnings.ts";
import { isWebSocket } from "./web/websocket.ts";

function defineGlobals(globals: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true });
  }
}

// Waiting asynchronously needs a thread that wakes this one; the engine has none here and would crash.
Reflect.deleteProperty(Atomics, "waitAsync");

installProxyWatch();
defineGlobals(streamGlobals);
defineGlobals(fetchGlobals);
defineGlobals(serviceWorkerGlobals);
defineGlobals(cacheGlobals);
// Workers have no origin.
defineGlobals({ Cloudflare, origin: "null", self: globalThis });
if (typeof WebAssembly === "undefined") defineGlobals({ WebAssembly: noWebAssembly });

installUncaughtHandlers();
setWebSocketCheck(isWebSocket);
setErrorReporter(reportUncaught);
setWarningSink(warn);
setConsoleSink((level, text, args) => {
  const invocation = currentInvocation();
  const trace = invocation?.trace;
  wire.log(trace?.call ?? invocation?.call, level, text, trace === undefined ? undefined : logValues(args, text));
});

function start(info: StartInfo): void {
  try {
    enable(info.compatibilityFlags);
    applyFlags();
    setModules(info.modules);
    setWasmModules(info.modules.filter(([, kind]) => kind === "wasm").map(([name]) => name));
    setOutbound(info.outbound);
    buildEnv(info.env);
    installNodeGlobals();
    startMain(info);
  } catch (error) {
    wire.startFailed(failureOf(error));
  }
}

/** A request in, a response out, a value through the codec: what nearly every start runs first. */
function warm(): void {
  const head = { method: "GET", url: "https://warm.invalid/", headers: ["a", "b"], redirect: "follow", cf: "", encoded: false } as const;
  const request = requestFromWire({ ...head, headers: [...head.headers] }, undefined, createSignal());
  new URL(request.url).searchParams.get("a");
  responseToWire(new Response(request.headers.get("a"), { headers: { "content-type": "text/plain" } }));
  unpack(ship(packNow({ text: "a", list: [1, 2.5], nested: { bytes: new Uint8Array(4) } }, "props")));
}

const handlers: Handlers = {
  warm,
  start,
  invoke,
  invokeRpc,
  callExport: serveExport,
  callExportRpc: serveExportRpc,
  callAnswer: serveAnswer,
  callAnswerRpc: serveAnswerRpc,
  returned,
  returnedValue,
  cancel: cancelInvocation,
  streamData: streams.onData,
  streamEnd: streams.onEnd,
  streamAbort: streams.onAbort,
  streamCredit: streams.onCredit,
  streamCancel: streams.onCancel,
  streamPassed: streams.onPassed,
  releaseExport,
  releaseAnswer,
  capBroken,
  tailEvents,
  startActor,
  invokeActor,
  invokeActorRpc,
  stopActor,
  wake: runDue,
  silence,
  rejection: reportRejection,
  uncaught: reportUncaught,
  builtin,
  commonJs,
};

engine.setHandlers(handlers);
