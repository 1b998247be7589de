// Durable Object namespaces and their stubs.
//
// An id is made here; which object it means and where that lives is the host's to know. A stub is a
// service whose `id` and `name` are properties; handed to another Worker it is a plain service.
//
// Invariant: a stub is asked for with an id of its own namespace only.

import { wire } from "../../ops.ts";
import type { ActorNamespace } from "../../ops.ts";
import { hold, newSlot, ownedBy } from "../caps.ts";
import type { Cap } from "../caps.ts";
import { owningInvocation } from "../context.ts";
import { describe } from "../errors.ts";
import { Fetcher } from "../fetcher-class.ts";
import { HeldService, serviceProxy } from "../fetcher.ts";
import {
  idBytes, idFromName, idFromString, idJurisdiction, idName, isId, isKeyless, isOf, jurisdictionOf, uniqueId,
} from "./id.ts";
import type { DurableObjectId, Jurisdiction } from "./id.ts";

class DurableObject extends Fetcher {}
Object.defineProperty(DurableObject.prototype, Symbol.toStringTag, { value: "DurableObject", configurable: true });

interface NamespaceState {
  readonly cap: Cap;
  readonly key: Uint8Array;
  readonly jurisdiction: Jurisdiction;
}

const states = new WeakMap<object, NamespaceState>();
let making: NamespaceState | undefined;

function stateOf(value: object): NamespaceState {
  const state = states.get(value);
  if (state === undefined) throw new TypeError("Illegal invocation");
  return state;
}

export class DurableObjectNamespace {
  constructor() {
    if (making === undefined) throw new TypeError("Illegal constructor");
    states.set(this, making);
  }

  newUniqueId(options?: { jurisdiction?: unknown }): DurableObjectId {
    const { key, jurisdiction } = stateOf(this);
    return uniqueId(key, jurisdictionOf(options?.jurisdiction) ?? jurisdiction);
  }

  idFromName(name: unknown): DurableObjectId {
    const { key, jurisdiction } = stateOf(this);
    return idFromName(key, text(name, "idFromName(name): name"), jurisdiction);
  }

  idFromString(id: unknown): DurableObjectId {
    const { key, jurisdiction } = stateOf(this);
    const found = idFromString(key, text(id, "idFromString(id): id"));
    if (jurisdiction !== undefined && idJurisdiction(found) !== jurisdiction) {
      throw new TypeError("idFromString called on jurisdictional subnamespace with an ID from a different jurisdiction");
    }
    return found;
  }

  get(id: unknown, options?: unknown): object {
    const { cap, key, jurisdiction } = stateOf(this);
    if (!isId(id)) {
      throw new TypeError(`DurableObjectNamespace.get(id): id must be a DurableObjectId, not ${describe(id)}.`);
    }
    checkOptions(options);
    if (!isOf(id, key) && !isKeyless(id)) {
      throw new TypeError("Invalid Durable Object ID. The ID does not match this Durable Object class.");
    }
    if (jurisdiction !== undefined && idJurisdiction(id) !== jurisdiction) {
      throw new TypeError("get called on jurisdictional subnamespace with an ID from a different jurisdiction");
    }
    return newActorStub(cap, id);
  }

  getByName(name: unknown, options?: unknown): object {
    return this.get(this.idFromName(name), options);
  }

  jurisdiction(jurisdiction?: unknown): DurableObjectNamespace {
    const { cap, key } = stateOf(this);
    return newNamespace({ cap, key, jurisdiction: jurisdictionOf(jurisdiction) });
  }
}
for (const name of ["newUniqueId", "idFromName", "idFromString", "get", "getByName", "jurisdiction"]) {
  Object.defineProperty(DurableObjectNamespace.prototype, name, { enumerable: true });
}
Object.defineProperty(DurableObjectNamespace.prototype, Symbol.toStringTag, {
  value: "DurableObjectNamespace",
  configurable: true,
});

function text(value: unknown, what: string): string {
  if (value === undefined || value === null || typeof value === "symbol") {
    throw new TypeError(`DurableObjectNamespace.${what} must be a string, not ${describe(value)}.`);
  }
  return String(value);
}

/** Hints about places are accepted; there is one place here. */
function checkOptions(options: unknown): void {
  if (options === undefined || options === null) return;
  if (typeof options !== "object") {
    throw new TypeError(`DurableObjectNamespace.get(id, options): options must be an object, not ${describe(options)}.`);
  }
  const { routingMode } = options as { routingMode?: unknown };
  if (routingMode !== undefined && routingMode !== "primary-only") {
    throw new RangeError(`unknown routingMode: ${String(routingMode)}`);
  }
}

function newNamespace(state: NamespaceState): DurableObjectNamespace {
  making = state;
  try {
    return new DurableObjectNamespace();
  } finally {
    making = undefined;
  }
}

export function namespaceFrom({ cap, key }: ActorNamespace): DurableObjectNamespace {
  return newNamespace({ cap: hold(cap, "object"), key, jurisdiction: undefined });
}

/** Makes another object (`ctx.exports.Name`, a function) one too. */
export function becomeNamespace(value: object, { cap, key }: ActorNamespace): void {
  states.set(value, { cap: hold(cap, "object"), key, jurisdiction: undefined });
}

function newActorStub(namespace: Cap, id: DurableObjectId): object {
  const slot = newSlot();
  wire.getActor(slot, namespace.id, idBytes(id), idName(id));
  const cap = hold(slot, "service");
  cap.about = id;
  const state = new HeldService(cap, owningInvocation());
  const stub = serviceProxy({}, state, DurableObject.prototype, undefined, { id, name: idName(id) });
  ownedBy(stub, state);
  return stub;
}
