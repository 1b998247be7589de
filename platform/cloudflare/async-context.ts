// The async context frame: what follows a chain of promise reactions.
//
// One immutable record holds everything that travels: the invocation that work belongs to, the
// `env` and `exports` that `withEnv()`/`withExports()` put in place, and the stores of
// `AsyncLocalStorage`. The engine carries the frame as an opaque value (`engine.contextGet/Set`);
// no other module reads or writes it there.
//
// Invariant: a frame is never changed, only replaced; `undefined` is the empty frame.

import { engine } from "../ops.ts";
import type { Invocation } from "./context.ts";
import type { OpenSpan } from "./trace.ts";

export interface Frame {
  readonly invocation: Invocation | undefined;
  /** `{ value }` of the innermost `withEnv()`, if any. */
  readonly env: { readonly value: unknown } | undefined;
  readonly exports: { readonly value: unknown } | undefined;
  readonly stores: ReadonlyMap<object, unknown> | undefined;
  /** The innermost span of a followed invocation. */
  readonly span: OpenSpan | undefined;
}

const EMPTY: Frame = Object.freeze({
  invocation: undefined,
  env: undefined,
  exports: undefined,
  stores: undefined,
  span: undefined,
});

export function currentFrame(): Frame {
  return (engine.contextGet() as Frame | undefined) ?? EMPTY;
}

export function currentInvocation(): Invocation | undefined {
  return (engine.contextGet() as Frame | undefined)?.invocation;
}

/** A fresh frame that belongs to `invocation` and inherits nothing else. */
export function frameOf(invocation: Invocation | undefined): Frame {
  // Every property named: a spread is a call into the engine, and this is part of every call.
  return { invocation, env: undefined, exports: undefined, stores: undefined, span: undefined };
}

/** Calls `work` inside `frame` and puts the frame of before back, also when it throws. */
export function runIn<T>(frame: Frame | undefined, work: () => T): T {
  const before = engine.contextGet();
  engine.contextSet(frame);
  try {
    return work();
  } finally {
    engine.contextSet(before);
  }
}

/** Replaces parts of the current frame for the length of `work`. */
export function runWith<T>(parts: Partial<Frame>, work: () => T): T {
  return runIn({ ...currentFrame(), ...parts }, work);
}

/** Replaces parts of the current frame from here on (`AsyncLocalStorage.enterWith`). */
export function enterWith(parts: Partial<Frame>): void {
  engine.contextSet({ ...currentFrame(), ...parts });
}
