// `scheduler`: wait (Workers), postTask and yield (Prioritized Task Scheduling).
//
// Every task is a timer: there is one queue, in order of due time, and priorities are checked but do
// not change the order. Deliberately absent are TaskController and TaskSignal.
//
// Invariant: an aborted wait or task leaves no timer behind.

import { type AbortSignal, addAbortAlgorithm, removeAbortAlgorithm, signalConverter } from "./abort.ts";
import { startTimer } from "./timers.ts";
import {
  callbackFunction,
  defineInterface,
  dictionary,
  enumeration,
  internalToken,
  nullable,
  optional,
  requireArguments,
  requireInternal,
  unrestrictedDouble,
  unsignedLongLongEnforceRange,
  withDefault,
} from "./webidl.ts";

const waitOptions = dictionary("SchedulerWaitOptions", { signal: optional(nullable(signalConverter)) });

const priority = enumeration("TaskPriority", ["user-blocking", "user-visible", "background"]);

const postTaskOptions = dictionary("SchedulerPostTaskOptions", {
  delay: withDefault(unsignedLongLongEnforceRange, () => 0),
  priority: optional(priority),
  signal: optional(nullable(signalConverter)),
});

/** Settles after `ms` with what `work` gives, or as soon as `signal` aborts. */
function delayed<T>(ms: number, signal: AbortSignal | null | undefined, work: () => T): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  if (signal?.aborted === true) {
    reject(signal.reason);
    return promise;
  }
  const onAbort = (reason: unknown): void => {
    stop();
    reject(reason);
  };
  const stop = startTimer(() => {
    if (signal) {
      removeAbortAlgorithm(signal, onAbort);
    }
    try {
      resolve(work());
    } catch (error) {
      reject(error);
    }
  }, ms);
  if (signal) {
    addAbortAlgorithm(signal, onAbort);
  }
  return promise;
}

const nothing = (): undefined => undefined;

export class Scheduler {
  constructor(token: unknown = undefined) {
    requireInternal(token);
  }

  async wait(delay: unknown, options: unknown = undefined): Promise<void> {
    requireArguments(arguments.length, 1, "Scheduler.wait");
    const ms = unrestrictedDouble(delay, "Scheduler.wait: delay");
    const { signal } = waitOptions(options, "Scheduler.wait: options");
    return delayed(ms, signal, nothing);
  }

  async postTask(callback: unknown, options: unknown = undefined): Promise<unknown> {
    requireArguments(arguments.length, 1, "Scheduler.postTask");
    const work = callbackFunction(callback, "Scheduler.postTask: callback");
    const { delay, signal } = postTaskOptions(options, "Scheduler.postTask: options");
    return delayed(delay, signal, () => Reflect.apply(work, undefined, []) as unknown);
  }

  async yield(): Promise<void> {
    return delayed(0, undefined, nothing);
  }
}

defineInterface(Scheduler);

export const scheduler: Scheduler = new Scheduler(internalToken);
