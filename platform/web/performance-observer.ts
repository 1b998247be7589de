// PerformanceObserver over marks and measures, and the rest of `performance` that describes an event
// loop and a network: there it says nothing, as in Workers.
//
// Entries are handed to observers in a microtask after they were made.
//
// Deliberately absent: entries of resources. Nothing here makes them.
//
// Invariant: an observer holds at most what was made since its callback last ran.

import { DOMException } from "./dom-exception.ts";
import type { PerformanceEntry } from "./performance.ts";
import {
  DOMString,
  type AnyFunction,
  boolean,
  callbackFunction,
  defineInterface,
  dictionary,
  internalToken,
  optional,
  requireArguments,
  requireInternal,
  sequence,
} from "./webidl.ts";
import { reportException } from "./events.ts";
import { engine } from "../ops.ts";

const SUPPORTED: readonly string[] = Object.freeze(["mark", "measure"]);

let bufferedEntries: () => readonly PerformanceEntry[] = () => [];

/** Where entries of before are found, for `buffered`. */
export function setBufferedEntries(entries: () => readonly PerformanceEntry[]): void {
  bufferedEntries = entries;
}

const observing = new Set<PerformanceObserver>();
let queued = false;

/** A new entry. */
export function observed(entry: PerformanceEntry): void {
  if (observing.size === 0) return;
  let wanted = false;
  for (const observer of observing) wanted = take(observer, entry) || wanted;
  if (wanted) deliverLater();
}

function deliverLater(): void {
  if (queued) return;
  queued = true;
  engine.enqueueMicrotask(() => {
    queued = false;
    for (const observer of [...observing]) deliver(observer);
  });
}

let take: (observer: PerformanceObserver, entry: PerformanceEntry) => boolean;
let deliver: (observer: PerformanceObserver) => void;

export class PerformanceObserverEntryList {
  #entries: readonly PerformanceEntry[];

  constructor(token: unknown = undefined, entries: unknown = undefined) {
    requireInternal(token);
    this.#entries = (entries as PerformanceEntry[]).toSorted((a, b) => a.startTime - b.startTime);
  }

  getEntries(): PerformanceEntry[] {
    return [...this.#entries];
  }

  getEntriesByType(type: unknown): PerformanceEntry[] {
    requireArguments(arguments.length, 1, "PerformanceObserverEntryList.getEntriesByType");
    const wanted = DOMString(type, "PerformanceObserverEntryList.getEntriesByType: type");
    return this.#entries.filter((entry) => entry.entryType === wanted);
  }

  getEntriesByName(name: unknown, type: unknown = undefined): PerformanceEntry[] {
    requireArguments(arguments.length, 1, "PerformanceObserverEntryList.getEntriesByName");
    const wanted = DOMString(name, "PerformanceObserverEntryList.getEntriesByName: name");
    const kind = type === undefined ? undefined : DOMString(type, "PerformanceObserverEntryList.getEntriesByName: type");
    return this.#entries.filter((entry) => entry.name === wanted && (kind === undefined || entry.entryType === kind));
  }
}
defineInterface(PerformanceObserverEntryList);

const observeOptions = dictionary("PerformanceObserverInit", {
  buffered: optional(boolean),
  entryTypes: optional(sequence(DOMString)),
  type: optional(DOMString),
});

export class PerformanceObserver {
  #callback: AnyFunction;
  #types = new Set<string>();
  /** Which of the two ways to observe was taken first: they do not mix. */
  #way: "type" | "entryTypes" | undefined;
  #entries: PerformanceEntry[] = [];

  constructor(callback: unknown) {
    requireArguments(arguments.length, 1, "PerformanceObserver constructor");
    this.#callback = callbackFunction(callback, "PerformanceObserver constructor: callback");
  }

  static {
    take = (observer, entry) => {
      if (!observer.#types.has(entry.entryType)) return false;
      observer.#entries.push(entry);
      return true;
    };
    deliver = (observer) => {
      if (observer.#entries.length === 0) return;
      const list = new PerformanceObserverEntryList(internalToken, observer.takeRecords());
      try {
        Reflect.apply(observer.#callback, observer, [list, observer, {}] as never[]);
      } catch (error) {
        reportException(error);
      }
    };
  }

  static get supportedEntryTypes(): readonly string[] {
    return SUPPORTED;
  }

  /** Workers have it on observers too. */
  get supportedEntryTypes(): readonly string[] {
    void this.#way;
    return SUPPORTED;
  }

  observe(options: unknown = undefined): void {
    const { buffered, entryTypes, type } = observeOptions(options, "PerformanceObserver.observe: options");
    if ((type === undefined) === (entryTypes === undefined)) {
      throw new TypeError("PerformanceObserver.observe: options need either `type` or `entryTypes`");
    }
    const way = type === undefined ? "entryTypes" : "type";
    if (way === "entryTypes" && buffered !== undefined) {
      throw new TypeError("PerformanceObserver.observe: `buffered` goes with `type` only");
    }
    if (this.#way !== undefined && this.#way !== way) {
      throw new DOMException("An observer cannot change between `type` and `entryTypes`", "InvalidModificationError");
    }
    this.#way = way;
    const known = (type === undefined ? (entryTypes as string[]) : [type]).filter((name) => SUPPORTED.includes(name));
    if (known.length === 0) return;
    if (way === "entryTypes") this.#types.clear();
    for (const name of known) this.#types.add(name);
    observing.add(this);
    if (buffered === true) {
      this.#entries.push(...bufferedEntries().filter((entry) => entry.entryType === type));
      if (this.#entries.length > 0) deliverLater();
    }
  }

  disconnect(): void {
    this.#types.clear();
    this.#entries = [];
    this.#way = undefined;
    observing.delete(this);
  }

  takeRecords(): PerformanceEntry[] {
    const entries = this.#entries;
    this.#entries = [];
    return entries;
  }
}
defineInterface(PerformanceObserver);

/** Counts of kinds of events, of which Workers have none. */
export class EventCounts {
  #counts = new Map<string, number>();

  constructor(token: unknown = undefined) {
    requireInternal(token);
  }

  get size(): number {
    return this.#counts.size;
  }

  get(type: unknown): number | undefined {
    return this.#counts.get(DOMString(type, "EventCounts.get: type"));
  }

  has(type: unknown): boolean {
    return this.#counts.has(DOMString(type, "EventCounts.has: type"));
  }

  entries(): MapIterator<[string, number]> {
    return this.#counts.entries();
  }

  keys(): MapIterator<string> {
    return this.#counts.keys();
  }

  values(): MapIterator<number> {
    return this.#counts.values();
  }

  forEach(callback: (count: number, type: string, counts: EventCounts) => void, thisArg: unknown = undefined): void {
    this.#counts.forEach((count, type) => Reflect.apply(callback, thisArg, [count, type, this]));
  }

  [Symbol.iterator](): MapIterator<[string, number]> {
    return this.#counts.entries();
  }
}
defineInterface(EventCounts);
