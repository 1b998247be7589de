// `ctx.facets`: objects under a Durable Object, each with a class and a storage of its own.
//
// A facet lives in the guest of its class's Worker, which may be one that was loaded. Its data lies
// beside its parent's and is out of the parent's reach. The host asks the callback for the class when
// a call comes and the facet does not run.
//
// Invariant: a facet's stub is a plain service.

import { wire } from "../../ops.ts";
import type { Outcome } from "../../ops.ts";
import { hold, newSlot } from "../caps.ts";
import { describe } from "../errors.ts";
import { failureOf } from "../failures.ts";
import { newService } from "../fetcher.ts";
import { quiet } from "../rpc/message.ts";
import { LocalTarget } from "../rpc/target.ts";
import { classOf } from "./class.ts";
import { isId } from "./id.ts";
import type { Instance } from "./instance.ts";

/** As workerd has it. */
const NAME_CHARS_MAX = 256;

const instances = new WeakMap<object, Instance>();
const starts = new WeakSet<object>();
let making: Instance | undefined;

export class DurableObjectFacets {
  constructor() {
    if (making === undefined) throw new TypeError("Illegal constructor");
    instances.set(this, making);
  }

  get(name: unknown, callback: unknown): object {
    const instance = usable(this);
    const checked = nameOf(name);
    if (typeof callback !== "function") {
      throw new TypeError(`facets.get(name, callback): callback must be a function that gives { class }, not ${describe(callback)}.`);
    }
    const asked = (): unknown => Reflect.apply(callback, undefined, []);
    starts.add(asked);
    quiet.add(asked);
    const target = new LocalTarget(asked, "own", true).export();
    const slot = newSlot();
    wire.getFacet(slot, instance.number, checked, target);
    const cap = hold(slot, "service");
    cap.about = checked;
    return newService(cap);
  }

  abort(name: unknown, reason?: unknown): void {
    const error = reason ?? new Error("The facet was aborted.");
    wire.abortFacet(usable(this).number, nameOf(name), failureOf(error));
  }

  delete(name: unknown): void {
    wire.deleteFacet(usable(this).number, nameOf(name));
  }
}
Object.defineProperty(DurableObjectFacets.prototype, Symbol.toStringTag, {
  value: "DurableObjectFacets",
  configurable: true,
});

function usable(facets: object): Instance {
  const instance = instances.get(facets);
  if (instance === undefined) throw new TypeError("Illegal invocation");
  if (instance.ended !== undefined) throw instance.ended.reason;
  return instance;
}

function nameOf(name: unknown): string {
  const text = String(name);
  if (text.length > NAME_CHARS_MAX) {
    throw new TypeError(`Facet name is too long (max ${NAME_CHARS_MAX} characters).`);
  }
  return text;
}

export function isFacetStart(value: object): value is () => unknown {
  return starts.has(value);
}

/** What a callback gave, for the wire. */
export function facetOutcome(value: unknown): Outcome {
  if (typeof value !== "object" || value === null) {
    throw new TypeError(`the callback of facets.get() must give an object like { class }, not ${describe(value)}.`);
  }
  const { class: given, id } = value as { class?: unknown; id?: unknown };
  const found = classOf(given);
  if (found === undefined) {
    throw new TypeError(
      "`class` of a facet must be a Durable Object class: ctx.exports.Name, WorkerStub.getDurableObjectClass(), or one " +
        `that came through env or props, not ${describe(given)}.`,
    );
  }
  if (id !== undefined && id !== null && typeof id !== "string" && !isId(id)) {
    throw new TypeError(`\`id\` of a facet must be a DurableObjectId or a string, not ${describe(id)}.`);
  }
  return ["facet", found.cap().id, id === undefined || id === null ? undefined : String(id)];
}

export function newFacets(instance: Instance): DurableObjectFacets {
  making = instance;
  try {
    return new DurableObjectFacets();
  } finally {
    making = undefined;
  }
}
