// `ctx.exports`: this Worker's own entrypoints as service stubs (loopback).
//
// `ctx.exports.Name` is a stub of the entrypoint without props and can be called:
// `ctx.exports.Name({ props })` gives one with them. Only the latter can be handed on, because only
// there has the Worker said what the receiver may act as. A Durable Object class is a function too:
// `ctx.exports.Name({ props })` is the class with props, for a facet; where the configuration gives
// the class a namespace, `ctx.exports.Name` is that namespace as well.
//
// Invariant: the object is made once, after the main module has been evaluated.

import { wire } from "../ops.ts";
import type { ActorNamespace, EntrypointInfo } from "../ops.ts";
import { newClass, registerClass } from "./actors/class.ts";
import { becomeNamespace, DurableObjectNamespace } from "./actors/namespace.ts";
import { currentFrame } from "./async-context.ts";
import { hold, newSlot } from "./caps.ts";
import type { Cap } from "./caps.ts";
import { dataCloneError, describe } from "./errors.ts";
import { Fetcher, newService, serviceProxy } from "./fetcher.ts";
import type { ServiceState } from "./fetcher-class.ts";
import { NO_PROPS, packProps } from "./payloads.ts";
import { callThrough } from "./rpc/stub.ts";
import type { Origin, Result } from "./rpc/stub.ts";

export class LoopbackServiceStub extends Fetcher {}
Object.defineProperty(LoopbackServiceStub.prototype, Symbol.toStringTag, {
  value: "LoopbackServiceStub",
  configurable: true,
});

let own: Record<string, unknown> = {};

export function defineExports(
  entrypoints: readonly EntrypointInfo[],
  actors: readonly [cls: string, ActorNamespace][],
): void {
  own = {};
  const namespaces = new Map(actors);
  for (const { name, kind } of entrypoints) {
    const namespace = namespaces.get(name);
    const isActor = kind === "durableObject" || namespace !== undefined;
    let stub: object | undefined;
    Object.defineProperty(own, name, {
      get: () => (stub ??= isActor ? loopbackClass(name, namespace) : loopback(name)),
      enumerable: true,
      configurable: true,
    });
  }
}

/** The exports that `withExports()` put in place, or the Worker's own. */
export function exportsOf(): unknown {
  const override = currentFrame().exports;
  return override !== undefined ? override.value : own;
}

class Loopback implements ServiceState, Origin {
  readonly #name: string;
  #cap: Cap | undefined;

  constructor(name: string) {
    this.#name = name;
  }

  cap(): Cap {
    return (this.#cap ??= getSelf(this.#name, undefined));
  }

  transferable(): Cap {
    throw dataCloneError(
      'Could not serialize object of type "LoopbackServiceStub". This type does not support serialization.',
    );
  }

  startCall(path: string[], args: unknown[] | undefined): Result {
    return callThrough(this.cap(), path, args);
  }
}

function loopback(name: string): object {
  const state = new Loopback(name);
  return serviceProxy(() => {}, state, LoopbackServiceStub.prototype, ([options]) => {
    if (options !== undefined && (typeof options !== "object" || options === null)) {
      throw new TypeError(`ctx.exports.${name}(): options must be an object like { props }, not ${describe(options)}.`);
    }
    return newService(getSelf(name, (options as { props?: unknown } | undefined)?.props));
  });
}

export class LoopbackDurableObjectNamespace extends DurableObjectNamespace {}
export class LoopbackDurableObjectClass {
  constructor() {
    throw new TypeError("Illegal constructor");
  }
}
for (const made of [LoopbackDurableObjectNamespace, LoopbackDurableObjectClass]) {
  Object.defineProperty(made.prototype, Symbol.toStringTag, { value: made.name, configurable: true });
}

function loopbackClass(name: string, namespace: ActorNamespace | undefined): object {
  const withProps = (options?: unknown): object => {
    if (options !== undefined && (typeof options !== "object" || options === null)) {
      throw new TypeError(`ctx.exports.${name}(): options must be an object like { props }, not ${describe(options)}.`);
    }
    return newClass(getSelfClass(name, (options as { props?: unknown } | undefined)?.props), "configured");
  };
  let bare: Cap | undefined;
  registerClass(withProps, () => (bare ??= getSelfClass(name, undefined)));
  if (namespace === undefined) return Object.setPrototypeOf(withProps, LoopbackDurableObjectClass.prototype) as object;
  becomeNamespace(withProps, namespace);
  return Object.setPrototypeOf(withProps, LoopbackDurableObjectNamespace.prototype) as object;
}

function getSelfClass(name: string, props: unknown): Cap {
  const payload = props === undefined ? NO_PROPS : packProps(props);
  const slot = newSlot();
  wire.getSelfClass(slot, name, payload);
  return hold(slot, "actorClass");
}

function getSelf(name: string, props: unknown): Cap {
  const payload = props === undefined ? NO_PROPS : packProps(props);
  const slot = newSlot();
  wire.getSelf(slot, name, payload);
  return hold(slot, "service");
}
