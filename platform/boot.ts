// Boot: makes the engine a Workers runtime. Evaluated once, in the zygote, before any fork.
//
// First shape: a fetch of a plain object's or class's default export, with bodies in one piece.
// It does no I/O at the top level.
//
// Invariant: evaluates without an error, whatever the host later sends.

import { engine, ops, wire } from "./ops.ts";
import type { CallEvent, CallId, Failure, Handlers, RequestHead, StartInfo } from "./ops.ts";

class EarlyResponse {
  body: Uint8Array;
  status: number;
  constructor(body: unknown = "", init: { status?: number } = {}) {
    this.body = body instanceof Uint8Array ? body : ops.textEncode(String(body ?? ""));
    this.status = init.status ?? 200;
  }
}

class EarlyRequest {
  url: string;
  method: string;
  constructor(head: RequestHead) {
    this.url = head.url;
    this.method = head.method;
  }
}

const scope = globalThis as unknown as Record<string, unknown>;
if (scope["Response"] === undefined) scope["Response"] = EarlyResponse;

let info: StartInfo | undefined;
let main: Promise<Record<string, unknown>> | undefined;

function failureOf(error: unknown): Failure {
  const value = error instanceof Error ? error : new Error(String(error));
  return {
    kind: "exception",
    name: value.name,
    message: value.message,
    stack: value.stack ?? "",
    value: { bytes: new Uint8Array(0), attachments: [] },
  };
}

async function answer(call: CallId, entrypoint: string, event: CallEvent): Promise<void> {
  try {
    if (event[0] !== "fetch") throw new Error(`${event[0]} events are not supported yet`);
    const namespace = (await main) as Record<string, unknown>;
    const handler = namespace[entrypoint || "default"] as { fetch?: (...args: unknown[]) => unknown };
    if (typeof handler?.fetch !== "function") throw new Error("Handler does not export a fetch() function.");
    const response = (await handler.fetch(new EarlyRequest(event[1]), {}, {})) as EarlyResponse;
    const head = { status: response.status, statusText: "", headers: [], url: "", redirected: false, encoded: false };
    wire.return(call, ["response", head, response.body]);
  } catch (error) {
    wire.return(call, ["failed", failureOf(error)]);
  }
  wire.done(call);
}

const nothing = (): void => {};
const handlers: Handlers = {
  warm: nothing,
  start(start) {
    info = start;
    main = engine.importModule(info.mainModule);
    main.then(
      () => wire.started([{ name: "default", kind: "object", handlers: ["fetch"] }]),
      (error) => wire.startFailed(failureOf(error)),
    );
  },
  invoke(call, entrypoint, _props, event) {
    void answer(call, entrypoint, event);
  },
  callExport: nothing,
  callAnswer: nothing,
  returned: nothing,
  cancel: nothing,
  streamData: nothing,
  streamEnd: nothing,
  streamAbort: nothing,
  streamCredit: nothing,
  streamCancel: nothing,
  releaseExport: nothing,
  releaseAnswer: nothing,
  capBroken: nothing,
  wake: nothing,
  rejection(_promise, reason, handled) {
    if (!handled) wire.exception(undefined, failureOf(reason));
  },
  uncaught(error) {
    wire.exception(undefined, failureOf(error));
  },
  builtin: () => undefined,
  commonJs(name) {
    throw new Error(`CommonJS module "${name}" cannot be loaded yet`);
  },
};

engine.setHandlers(handlers);
