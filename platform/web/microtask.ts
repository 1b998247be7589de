// queueMicrotask and reportError (HTML).
//
// Invariant: an exception of a microtask is reported, never lost and never thrown at anyone.

import { reportException } from "./events.ts";
import { callbackFunction, requireArguments } from "./webidl.ts";

const RESOLVED: Promise<void> = Promise.resolve();
// Kept before user code can patch it. The job runs in the caller's async context frame, as every
// promise reaction does.
const then = Promise.prototype.then;
const apply = Reflect.apply;

export function queueMicrotask(callback: () => void): void {
  requireArguments(arguments.length, 1, "queueMicrotask");
  const work = callbackFunction(callback, "queueMicrotask: callback");
  apply(then, RESOLVED, [
    (): void => {
      try {
        apply(work, undefined, []);
      } catch (error) {
        reportException(error);
      }
    },
  ]);
}

export function reportError(error: unknown): void {
  requireArguments(arguments.length, 1, "reportError");
  reportException(error);
}
