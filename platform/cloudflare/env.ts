// `env`: what this Worker was given, built once from its start.
//
// A configured Worker's comes as a list of bindings, a dynamic Worker's as the value its parent
// passed. `withEnv()` puts another in place for a stretch of async work; handlers still get the
// Worker's own.
//
// Invariant: `env` is one object for the Worker's life, so a property set on it stays.

import type { Binding, StartInfo } from "../ops.ts";
import { namespaceFrom } from "./actors/namespace.ts";
import { currentFrame } from "./async-context.ts";
import { hold } from "./caps.ts";
import { has } from "./compat.ts";
import { newService } from "./fetcher.ts";
import { hostedBinding } from "./hosted.ts";
import { newLoader } from "./loader.ts";
import { unpack } from "./rpc/message.ts";

let own: Record<string, unknown> = {};

export function buildEnv(source: StartInfo["env"]): void {
  own = {};
  if (source[0] === "value") {
    if (source[1].bytes.length > 0) own = unpack(source[1]).value as Record<string, unknown>;
    return;
  }
  for (const [name, binding] of source[1]) {
    Object.defineProperty(own, name, {
      value: bound(name, binding),
      writable: true,
      enumerable: true,
      configurable: true,
    });
  }
}

function bound(name: string, binding: Binding): unknown {
  switch (binding[0]) {
    case "text":
      return binding[1];
    case "json":
      return JSON.parse(binding[1]) as unknown;
    case "service":
      return newService(hold(binding[1], "service"));
    case "loader":
      return newLoader(hold(binding[1], "loader"));
    case "actors":
      return namespaceFrom(binding[1]);
    case "data":
      return binding[1].slice().buffer;
    case "hosted":
      return hostedBinding(binding[2], hold(binding[1], "service"), name);
  }
}

/** What handlers get. */
export function ownEnv(): Record<string, unknown> {
  return own;
}

/** What `import { env }` sees. */
export function currentEnv(): unknown {
  const override = currentFrame().env;
  if (override !== undefined) return override.value;
  return has("disallow_importable_env") ? undefined : own;
}
