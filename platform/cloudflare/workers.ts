// The module `cloudflare:workers`.
//
// `env`, `exports` and `cache` are proxies, because the import binding of a module cannot follow
// `withEnv()` and `withExports()`: each access asks the async context. Absent: Workflows run
// nowhere here (the class exists so that a Worker which also defines one still loads).
//
// Invariant: built once, at boot; nothing here is specific to a Worker.

import { wire } from "../ops.ts";
import { runWith } from "./async-context.ts";
import { waitUntil } from "./context.ts";
import { DurableObject, WorkerEntrypoint, WorkflowEntrypoint } from "./entrypoint-classes.ts";
import { currentEnv } from "./env.ts";
import { exportsOf } from "./exports.ts";
import { Fetcher } from "./fetcher.ts";
import { platformProxy } from "./proxies.ts";
import { RpcPromise, RpcProperty, RpcStub } from "./rpc/stub.ts";
import { RpcTarget } from "./rpc/target.ts";
import { RESTORE } from "./symbols.ts";
import { tracing } from "./trace.ts";

/** An object that stands for whatever `current` gives at the moment of each access. */
function following(current: () => unknown, mutable: "mutable" | "read-only"): object {
  const inner = (): object | undefined => {
    const value = current();
    return (typeof value === "object" && value !== null) || typeof value === "function" ? value : undefined;
  };
  const handler: ProxyHandler<object> = {
    get: (_, key) => {
      const object = inner();
      return object === undefined ? undefined : (Reflect.get(object, key) as unknown);
    },
    has: (_, key) => Reflect.has(inner() ?? {}, key),
    ownKeys: () => Reflect.ownKeys(inner() ?? {}),
    getOwnPropertyDescriptor: (_, key) => {
      const found = Reflect.getOwnPropertyDescriptor(inner() ?? {}, key);
      // The empty target has no such property, so the engine insists that it be configurable.
      return found === undefined ? undefined : { ...found, configurable: true };
    },
    set: (_, key, value) => mutable === "mutable" && Reflect.set(inner() ?? {}, key, value),
    deleteProperty: (_, key) => mutable === "mutable" && Reflect.deleteProperty(inner() ?? {}, key),
    defineProperty: (_, key, found) => mutable === "mutable" && Reflect.defineProperty(inner() ?? {}, key, found),
  };
  return platformProxy({}, handler);
}

function withEnv(env: unknown, work: () => unknown): unknown {
  return runWith({ env: { value: env } }, work);
}

function withExports(exports: unknown, work: () => unknown): unknown {
  return runWith({ exports: { value: exports } }, work);
}

function withEnvAndExports(env: unknown, exports: unknown, work: () => unknown): unknown {
  return runWith({ env: { value: env }, exports: { value: exports } }, work);
}

/** Ends this Worker's process; what is under way fails, the next event starts it afresh. */
function abortIsolate(reason?: unknown): never {
  wire.abort(`abortIsolate() was called${reason === undefined ? "" : `: ${String(reason)}`}`);
}

export const workers: Record<string, unknown> = {
  WorkerEntrypoint,
  DurableObject,
  RpcStub,
  RpcPromise,
  RpcProperty,
  RpcTarget,
  restore: RESTORE,
  ServiceStub: Fetcher,
  WorkflowEntrypoint,
  withEnv,
  withExports,
  withEnvAndExports,
  env: following(currentEnv, "mutable"),
  exports: following(exportsOf, "read-only"),
  waitUntil,
  abortIsolate,
  tracing,
  cache: following(() => undefined, "read-only"),
};
