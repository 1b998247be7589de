// Durable Object classes as values: what `facets.get()` starts, what `env` and `props` may carry.
//
// Invariant: a class value owns one reference to its slot, or asks for the slot when it is first used.

import { disowned, ownedBy } from "../caps.ts";
import type { Cap, Owned } from "../caps.ts";
import { dataCloneError } from "../errors.ts";

interface ClassState {
  cap(): Cap;
  /** The slot to hand to somebody else; throws where that is not allowed. */
  transferable(): Cap;
}

const states = new WeakMap<object, ClassState>();
let making = false;

export class DurableObjectClass {
  constructor() {
    if (!making) throw new TypeError("Illegal constructor");
  }
}
Object.defineProperty(DurableObjectClass.prototype, Symbol.toStringTag, {
  value: "DurableObjectClass",
  configurable: true,
});

class HeldClass implements ClassState, Owned {
  #cap: Cap | undefined;
  readonly #dynamic: boolean;

  constructor(cap: Cap, dynamic: boolean) {
    this.#cap = cap;
    this.#dynamic = dynamic;
  }

  cap(): Cap {
    if (this.#cap === undefined) throw new Error("Durable Object class used after being disposed.");
    return this.#cap;
  }

  transferable(): Cap {
    if (this.#dynamic) {
      throw dataCloneError(
        "Durable Object classes of dynamically-loaded Workers cannot be transferred to other Workers, because the " +
          "system does not know how to reload this Worker from scratch.",
      );
    }
    return this.cap();
  }

  letGo(): void {
    const cap = this.#cap;
    this.#cap = undefined;
    disowned(this);
    cap?.release();
  }
}

/** A class value that takes over one reference to `cap`. */
export function newClass(cap: Cap, origin: "configured" | "dynamic"): DurableObjectClass {
  making = true;
  let value: DurableObjectClass;
  try {
    value = new DurableObjectClass();
  } finally {
    making = false;
  }
  const state = new HeldClass(cap, origin === "dynamic");
  states.set(value, state);
  ownedBy(value, state);
  return value;
}

/** Lets another object (`ctx.exports.Name`) stand for a class. */
export function registerClass(value: object, cap: () => Cap): void {
  const refuse = (): Cap => {
    throw dataCloneError(
      "Could not serialize ctx.exports of a Durable Object class by itself. Call it with { props } first.",
    );
  };
  states.set(value, { cap, transferable: refuse });
}

export function classOf(value: unknown): ClassState | undefined {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return undefined;
  return states.get(value);
}
