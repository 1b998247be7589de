// `nextTick`, and where warnings go: what modules need of `process` without importing it.
//
// A tick is a microtask: there is no phase of the event loop between the two in a Worker.
//
// Invariant: what a tick throws is reported, never thrown at whoever asked for it.

import { console } from "../web/console.ts";
import { queueMicrotask } from "../web/microtask.ts";

export function nextTick<A extends unknown[]>(work: (...args: A) => unknown, ...args: A): void {
  queueMicrotask(() => void Reflect.apply(work, undefined, args));
}

/** `process.emitWarning` once there is a process. */
export const warnings = {
  emit(warning: Error): void {
    console.warn(`${warning.name}: ${warning.message}`);
  },
};
