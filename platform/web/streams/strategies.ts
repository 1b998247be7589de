// Queuing strategies: the two classes, and how a strategy argument is read.
//
// Invariant: the `size` getters give the same function for the life of the realm, and these are not
// constructors, as the standard asks.

import { callbackFunction, defineInterface, dictionary, optional, required, requireArguments, unrestrictedDouble } from "../webidl.ts";
import type { Dictionary } from "../webidl.ts";

const strategyMembers = {
  highWaterMark: optional(unrestrictedDouble),
  size: optional(callbackFunction),
};
export type QueuingStrategy = Dictionary<typeof strategyMembers>;
export const queuingStrategy = dictionary("QueuingStrategy", strategyMembers);

const strategyInit = dictionary("QueuingStrategyInit", { highWaterMark: required(unrestrictedDouble) });

/** Undefined stands for "always 1". */
export type SizeAlgorithm = ((chunk: unknown) => number) | undefined;

export function extractHighWaterMark(strategy: QueuingStrategy, fallback: number): number {
  const { highWaterMark } = strategy;
  if (highWaterMark === undefined) return fallback;
  if (!(highWaterMark >= 0)) throw new RangeError(`Invalid highWaterMark: ${highWaterMark}`);
  return highWaterMark;
}

const { apply } = Reflect;

export function extractSizeAlgorithm(strategy: QueuingStrategy): SizeAlgorithm {
  const { size } = strategy;
  if (size === undefined) return undefined;
  return (chunk) =>
    unrestrictedDouble(apply(size as (chunk: unknown) => unknown, undefined, [chunk]), "The size of a chunk");
}

// Methods of an object literal are functions without [[Construct]].
const sizes = {
  byteLength: { size: (chunk: { byteLength: unknown }): unknown => chunk.byteLength },
  count: { size: (): number => 1 },
};

export class ByteLengthQueuingStrategy {
  #highWaterMark: number;

  constructor(init: unknown) {
    requireArguments(arguments.length, 1, "ByteLengthQueuingStrategy constructor");
    this.#highWaterMark = strategyInit(init, "ByteLengthQueuingStrategy constructor: init").highWaterMark;
  }

  get highWaterMark(): number {
    return this.#highWaterMark;
  }

  get size(): (chunk: { byteLength: unknown }) => unknown {
    void this.#highWaterMark;
    return sizes.byteLength.size;
  }
}
defineInterface(ByteLengthQueuingStrategy);

export class CountQueuingStrategy {
  #highWaterMark: number;

  constructor(init: unknown) {
    requireArguments(arguments.length, 1, "CountQueuingStrategy constructor");
    this.#highWaterMark = strategyInit(init, "CountQueuingStrategy constructor: init").highWaterMark;
  }

  get highWaterMark(): number {
    return this.#highWaterMark;
  }

  get size(): () => number {
    void this.#highWaterMark;
    return sizes.count.size;
  }
}
defineInterface(CountQueuingStrategy);
