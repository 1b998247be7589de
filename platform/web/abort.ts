// AbortController and AbortSignal, and how the platform itself listens to a signal.
//
// Platform code uses `addAbortAlgorithm`, never an "abort" listener: algorithms run before listeners
// and user code cannot see, remove or stop them. A signal made by `AbortSignal.any` is held by its
// sources only weakly until somebody listens to it, so that racing a long-lived signal many times
// does not grow a list for ever.
//
// Deliberately absent: TaskSignal and priorities.
//
// Invariant: a signal aborts once; its reason is never undefined afterwards.

import { DOMException } from "./dom-exception.ts";
import { Event, EventTarget, defineEventHandler, fireEvent, hasListeners, listenerAdded, setSignalHook } from "./events.ts";
import { startTimer } from "./timers.ts";
import {
  defineInterface,
  interfaceType,
  internalToken,
  isObject,
  requireArguments,
  requireInternal,
  sequence,
  unsignedLongLongEnforceRange,
} from "./webidl.ts";
import type { Converter } from "./webidl.ts";

type Algorithm = (reason: unknown) => void;

interface SignalInternals {
  is(value: unknown): value is AbortSignal;
  abort(signal: AbortSignal, reason: unknown): void;
  add(signal: AbortSignal, algorithm: Algorithm): void;
  remove(signal: AbortSignal, algorithm: Algorithm): void;
  follow(sources: AbortSignal[]): AbortSignal;
  heard(signal: AbortSignal): boolean;
}
let internals: SignalInternals;

export class AbortSignal extends EventTarget {
  #aborted = false;
  #reason: unknown = undefined;
  #algorithms: Set<Algorithm> | undefined;
  /** Signals made by `any` from this one. */
  #dependents: Set<WeakRef<AbortSignal>> | undefined;
  /** Those of them that somebody listens to, kept alive by their sources. */
  #kept: Set<AbortSignal> | undefined;
  /** For a signal made by `any`: what it follows; never itself made by `any`. */
  #sources: AbortSignal[] | undefined;

  constructor(token: unknown = undefined) {
    requireInternal(token);
    super();
  }

  static abort(reason: unknown = undefined): AbortSignal {
    const signal = newSignal();
    internals.abort(signal, reason);
    return signal;
  }

  static timeout(milliseconds: unknown): AbortSignal {
    requireArguments(arguments.length, 1, "AbortSignal.timeout");
    const ms = unsignedLongLongEnforceRange(milliseconds, "AbortSignal.timeout: milliseconds");
    const signal = newSignal();
    startTimer(() => {
      internals.abort(signal, new DOMException("The operation was aborted due to timeout", "TimeoutError"));
    }, ms);
    return signal;
  }

  static any(signals: unknown): AbortSignal {
    requireArguments(arguments.length, 1, "AbortSignal.any");
    return internals.follow(sequence(signalConverter)(signals, "AbortSignal.any: signals"));
  }

  get aborted(): boolean {
    return this.#aborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  throwIfAborted(): void {
    if (this.#aborted) throw this.#reason;
  }

  [listenerAdded](type: string): void {
    if (type === "abort") this.#keepAlive();
  }

  #keepAlive(): void {
    if (this.#sources === undefined || this.#aborted) return;
    for (const source of this.#sources) (source.#kept ??= new Set()).add(this);
  }

  #become(reason: unknown): void {
    this.#aborted = true;
    this.#reason = reason;
  }

  #run(): void {
    const algorithms = this.#algorithms;
    this.#algorithms = undefined;
    if (algorithms !== undefined) for (const algorithm of algorithms) algorithm(this.#reason);
    if (hasListeners(this, "abort")) fireEvent(this, new Event("abort"));
  }

  static {
    internals = {
      is: (value): value is AbortSignal => isObject(value) && #aborted in value,

      abort(signal, reason) {
        if (signal.#aborted) return;
        signal.#become(reason === undefined ? new DOMException("The operation was aborted", "AbortError") : reason);
        // Dependents get their reason before any code runs, so that all of them look aborted to it.
        const following: AbortSignal[] = [];
        for (const reference of signal.#dependents ?? []) {
          const dependent = reference.deref();
          if (dependent === undefined || dependent.#aborted) continue;
          dependent.#become(signal.#reason);
          following.push(dependent);
        }
        signal.#dependents = undefined;
        signal.#kept = undefined;
        signal.#run();
        for (const dependent of following) {
          for (const source of dependent.#sources ?? []) source.#kept?.delete(dependent);
          dependent.#sources = undefined;
          dependent.#run();
        }
      },

      add(signal, algorithm) {
        if (signal.#aborted) return;
        (signal.#algorithms ??= new Set()).add(algorithm);
        signal.#keepAlive();
      },

      remove(signal, algorithm) {
        signal.#algorithms?.delete(algorithm);
      },

      heard(signal) {
        const isHeard = hasListeners(signal, "abort") || (signal.#algorithms?.size ?? 0) > 0;
        return isHeard || (signal.#kept?.size ?? 0) > 0;
      },

      follow(signals) {
        const result = newSignal();
        for (const signal of signals) {
          if (signal.#aborted) {
            result.#become(signal.#reason);
            return result;
          }
        }
        const sources = new Set<AbortSignal>();
        for (const signal of signals) {
          if (signal.#sources === undefined) sources.add(signal);
          else for (const source of signal.#sources) sources.add(source);
        }
        result.#sources = [...sources];
        const reference = new WeakRef(result);
        for (const source of sources) {
          const dependents = (source.#dependents ??= new Set());
          if (dependents.size >= DEPENDENTS_BEFORE_SWEEP) sweep(dependents);
          dependents.add(reference);
        }
        return result;
      },
    };
  }
}
defineInterface(AbortSignal);
defineEventHandler(AbortSignal, "abort");

/** A source's list of followers is cleared of collected ones when it would grow past this. */
const DEPENDENTS_BEFORE_SWEEP = 64;

function sweep(dependents: Set<WeakRef<AbortSignal>>): void {
  for (const reference of dependents) if (reference.deref() === undefined) dependents.delete(reference);
}

function newSignal(): AbortSignal {
  return new AbortSignal(internalToken);
}

export class AbortController {
  #signal: AbortSignal = newSignal();

  get signal(): AbortSignal {
    return this.#signal;
  }

  abort(reason: unknown = undefined): void {
    internals.abort(this.#signal, reason);
  }
}
defineInterface(AbortController);

// ---- For the platform ------------------------------------------------------------------------

export const isAbortSignal: (value: unknown) => value is AbortSignal = (value): value is AbortSignal =>
  internals.is(value);

export const signalConverter: Converter<AbortSignal> = interfaceType("AbortSignal", isAbortSignal);

/** A signal without a controller object: for a request's own signal. */
export function createSignal(): AbortSignal {
  return newSignal();
}

export function abortSignal(signal: AbortSignal, reason: unknown): void {
  internals.abort(signal, reason);
}

/** Runs `algorithm` when `signal` aborts; never runs if it has aborted already (look first). */
export function addAbortAlgorithm(signal: AbortSignal, algorithm: (reason: unknown) => void): void {
  internals.add(signal, algorithm);
}

export function removeAbortAlgorithm(signal: AbortSignal, algorithm: (reason: unknown) => void): void {
  internals.remove(signal, algorithm);
}

/** Whether anything would happen if `signal` aborted. */
export function isListenedTo(signal: AbortSignal): boolean {
  return internals.heard(signal);
}

/** The signal `AbortSignal.any` would give. */
export function followSignals(signals: AbortSignal[]): AbortSignal {
  return internals.follow(signals);
}

setSignalHook({
  convert: signalConverter,
  aborted: (signal) => (signal as AbortSignal).aborted,
  onAbort: (signal, run) => addAbortAlgorithm(signal as AbortSignal, run),
});
