// Capabilities this guest holds: the numbers, who refers to them, and when they are given back.
//
// A `Cap` is one slot of the table that the host keeps for this guest. Any number of stubs may
// stand for it here, so duplicating a stub costs no frame; the last one to go gives the slot back.
// Stubs that nobody disposed are found by the collector. The host lets calls under way finish.
//
// Invariant: a released slot is never named again, and its number is not used for another.

import { wire } from "../ops.ts";
import type { CapId, CapKind, Failure } from "../ops.ts";

export class Cap {
  readonly id: CapId;
  readonly kind: CapKind;
  /** What calls are told to be about: the id of a Durable Object, the name of a facet. */
  about: object | string | undefined;
  /** Stubs and calls in the making that stand for this slot. */
  #references = 1;
  #broken: Failure | undefined;
  #whenBroken: Set<(failure: Failure) => void> | undefined;

  constructor(id: CapId, kind: CapKind) {
    this.id = id;
    this.kind = kind;
  }

  get broken(): Failure | undefined {
    return this.#broken;
  }

  retain(): this {
    this.#references++;
    return this;
  }

  release(): void {
    if (--this.#references !== 0) return;
    held.delete(this.id);
    wire.releaseCap(this.id);
  }

  whenBroken(callback: (failure: Failure) => void): void {
    if (this.#broken !== undefined) callback(this.#broken);
    else (this.#whenBroken ??= new Set()).add(callback);
  }

  get watched(): boolean {
    return this.#whenBroken !== undefined;
  }

  break(failure: Failure): void {
    this.#broken = failure;
    for (const callback of this.#whenBroken ?? []) callback(failure);
    this.#whenBroken = undefined;
  }
}

const held = new Map<CapId, Cap>();
let nextSlot: CapId = 1;

/** A number for something this guest introduces: odd ones are the guest's. */
export function newSlot(): CapId {
  const slot = nextSlot;
  nextSlot += 2;
  return slot;
}

/** Takes ownership of a slot. */
export function hold(id: CapId, kind: CapKind): Cap {
  const cap = new Cap(id, kind);
  held.set(id, cap);
  return cap;
}

export function capBroken(id: CapId, failure: Failure): void {
  held.get(id)?.break(failure);
}

/** Whether anybody waits for a stub to break. */
export function brokenWatched(): boolean {
  for (const cap of held.values()) if (cap.watched) return true;
  return false;
}

/** What a stub owns and gives back once, by disposal or by the collector. */
export interface Owned {
  letGo(byCollector: boolean): void;
}

/** The flags of a Worker may take the global away. */
const Registry = FinalizationRegistry;
let collected: FinalizationRegistry<Owned> | undefined;

/** When `holder` is collected, `owned` is let go. */
export function ownedBy(holder: object, owned: Owned): void {
  collected ??= new Registry((left) => left.letGo(true));
  collected.register(holder, owned, owned);
}

/** `owned` was let go by hand. */
export function disowned(owned: Owned): void {
  collected?.unregister(owned);
}
