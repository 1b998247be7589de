// performance: the clock, marks and measures.
//
// `timeOrigin` is the guest's start, not the zygote's: it is worked out when first asked for, from the
// two clocks, and nothing is read at boot.
//
// Deliberately absent: entries of resources, navigation and paint: nothing here makes such entries.
//
// Invariant: the buffer holds at most ENTRIES_MAX entries; the oldest leave first.

import { engine, ops } from "../ops.ts";
import { DOMException } from "./dom-exception.ts";
import { EventTarget } from "./events.ts";
import {
  DOMString,
  any,
  callbackFunction,
  defineInterface,
  dictionary,
  double,
  internalToken,
  isObject,
  optional,
  requireArguments,
  requireInternal,
} from "./webidl.ts";
import { EventCounts, observed, setBufferedEntries } from "./performance-observer.ts";
import type { Converter } from "./webidl.ts";

/** Marks and measures kept; an endless loop of marks must not fill memory. */
const ENTRIES_MAX = 10_000;

export class PerformanceEntry {
  #entry: EntryFields;

  constructor(token: unknown = undefined, entry: unknown = undefined) {
    requireInternal(token);
    this.#entry = entry as EntryFields;
  }

  get name(): string {
    return this.#entry.name;
  }

  get entryType(): string {
    return this.#entry.entryType;
  }

  get startTime(): number {
    return this.#entry.startTime;
  }

  get duration(): number {
    return this.#entry.duration;
  }

  toJSON(): object {
    const { name, entryType, startTime, duration, detail } = this.#entry;
    // As in Workers: no member for a mark without a detail.
    return detail === undefined || detail === null ? { name, entryType, startTime, duration } : { name, entryType, startTime, duration, detail };
  }
}
defineInterface(PerformanceEntry);

interface EntryFields {
  name: string;
  entryType: "mark" | "measure" | "node";
  startTime: number;
  duration: number;
  /** Undefined for entries that have no such member; null for marks without one. */
  detail: unknown;
}

const markOptions = dictionary("PerformanceMarkOptions", { detail: optional(any), startTime: optional(double) });

function cloneDetail(detail: unknown): unknown {
  return detail === undefined || detail === null ? null : engine.structuredClone(detail, []);
}

export class PerformanceMark extends PerformanceEntry {
  #detail: unknown;

  constructor(name: unknown, options: unknown = undefined) {
    requireArguments(arguments.length, 1, "PerformanceMark constructor");
    const text = DOMString(name, "PerformanceMark constructor: markName");
    const { detail, startTime } = markOptions(options, "PerformanceMark constructor: markOptions");
    if (startTime !== undefined && startTime < 0) {
      throw new TypeError("PerformanceMark constructor: startTime is negative");
    }
    const cloned = cloneDetail(detail);
    const start = startTime ?? ops.timeMonotonic();
    super(internalToken, { name: text, entryType: "mark", startTime: start, duration: 0, detail: cloned } satisfies EntryFields);
    this.#detail = cloned;
  }

  get detail(): unknown {
    return this.#detail;
  }
}
defineInterface(PerformanceMark);

export class PerformanceMeasure extends PerformanceEntry {
  #detail: unknown;

  constructor(token: unknown = undefined, entry: unknown = undefined) {
    requireInternal(token);
    super(token, entry);
    this.#detail = (entry as EntryFields).detail;
  }

  get detail(): unknown {
    return this.#detail;
  }
}
defineInterface(PerformanceMeasure);

/** `(DOMString or DOMHighResTimeStamp)`. */
const timeOrName: Converter<string | number> = (value, context) =>
  typeof value === "number" ? double(value, context) : DOMString(value, context);

const measureOptions = dictionary("PerformanceMeasureOptions", {
  detail: optional(any),
  duration: optional(double),
  end: optional(timeOrName),
  start: optional(timeOrName),
});

export class Performance extends EventTarget {
  #entries: PerformanceEntry[] = [];
  #timeOrigin: number | undefined;

  constructor(token: unknown = undefined) {
    requireInternal(token);
    super();
  }

  get timeOrigin(): number {
    this.#timeOrigin ??= ops.timeNow() - ops.timeMonotonic();
    return this.#timeOrigin;
  }

  now(): number {
    void this.#entries;
    return ops.timeMonotonic();
  }

  toJSON(): object {
    return { timeOrigin: this.timeOrigin };
  }

  mark(name: unknown, options: unknown = undefined): PerformanceMark {
    const entries = this.#entries;
    requireArguments(arguments.length, 1, "Performance.mark");
    const mark = new PerformanceMark(name, options);
    keep(entries, mark);
    observed(mark);
    return mark;
  }

  measure(name: unknown, startOrOptions: unknown = undefined, endMark: unknown = undefined): PerformanceMeasure {
    requireArguments(arguments.length, 1, "Performance.measure");
    const text = DOMString(name, "Performance.measure: measureName");
    const times = this.#measureTimes(startOrOptions, endMark);
    const measure = new PerformanceMeasure(internalToken, {
      name: text,
      entryType: "measure",
      startTime: times.start,
      duration: times.end - times.start,
      detail: cloneDetail(times.detail),
    } satisfies EntryFields);
    keep(this.#entries, measure);
    observed(measure);
    return measure;
  }

  #measureTimes(startOrOptions: unknown, endMark: unknown): { start: number; end: number; detail: unknown } {
    const given = isObject(startOrOptions);
    const options = measureOptions(given ? startOrOptions : undefined, "Performance.measure: options");
    const { detail, duration } = options;
    const hasOptions = detail !== undefined || duration !== undefined || options.start !== undefined || options.end !== undefined;
    if (given && hasOptions) {
      if (endMark !== undefined) throw new TypeError("Performance.measure: endMark is not allowed beside options");
      if (options.start === undefined && options.end === undefined) {
        throw new TypeError("Performance.measure: options need a start or an end");
      }
      if (options.start !== undefined && options.end !== undefined && duration !== undefined) {
        throw new TypeError("Performance.measure: start, end and duration cannot all be given");
      }
    }
    const startName = given || startOrOptions === undefined ? options.start : DOMString(startOrOptions, "Performance.measure: startMark");
    const endName = endMark === undefined ? options.end : DOMString(endMark, "Performance.measure: endMark");
    const end =
      endName !== undefined
        ? this.#time(endName)
        : startName !== undefined && duration !== undefined
          ? this.#time(startName) + duration
          : ops.timeMonotonic();
    const start =
      startName !== undefined
        ? this.#time(startName)
        : endName !== undefined && duration !== undefined
          ? this.#time(endName) - duration
          : 0;
    return { start, end, detail };
  }

  /** A time as given, or that of the latest mark of the name. */
  #time(mark: string | number): number {
    if (typeof mark === "number") {
      if (mark < 0) throw new TypeError("Performance.measure: a time is negative");
      return mark;
    }
    for (let i = this.#entries.length - 1; i >= 0; i--) {
      const entry = this.#entries[i] as PerformanceEntry;
      if (entry.entryType === "mark" && entry.name === mark) return entry.startTime;
    }
    throw new DOMException(`The mark '${mark}' does not exist`, "SyntaxError");
  }

  clearMarks(name: unknown = undefined): void {
    this.#clear("mark", name, "Performance.clearMarks: markName");
  }

  clearMeasures(name: unknown = undefined): void {
    this.#clear("measure", name, "Performance.clearMeasures: measureName");
  }

  get eventCounts(): EventCounts {
    void this.#entries;
    return new EventCounts(internalToken);
  }

  /** When Node.js started would stand here; a Worker's times are all zero. */
  get nodeTiming(): object {
    void this.#entries;
    return new PerformanceNodeTiming(internalToken);
  }

  eventLoopUtilization(): { idle: number; active: number; utilization: number } {
    void this.#entries;
    return { idle: 0, active: 0, utilization: 0 };
  }

  markResourceTiming(): void {
    void this.#entries;
  }

  timerify<F>(fn: F): F {
    void this.#entries;
    return callbackFunction(fn, "Performance.timerify: fn") as F;
  }

  clearResourceTimings(): void {
    void this.#entries;
  }

  setResourceTimingBufferSize(): void {
    void this.#entries;
  }

  #clear(type: string, name: unknown, context: string): void {
    const only = name === undefined ? undefined : DOMString(name, context);
    this.#entries = this.#entries.filter(
      (entry) => entry.entryType !== type || (only !== undefined && entry.name !== only),
    );
  }

  getEntries(): PerformanceEntry[] {
    return sorted(this.#entries);
  }

  getEntriesByName(name: unknown, type: unknown = undefined): PerformanceEntry[] {
    requireArguments(arguments.length, 1, "Performance.getEntriesByName");
    const text = DOMString(name, "Performance.getEntriesByName: name");
    const kind = type === undefined ? undefined : DOMString(type, "Performance.getEntriesByName: type");
    return sorted(this.#entries.filter((entry) => entry.name === text && (kind === undefined || entry.entryType === kind)));
  }

  getEntriesByType(type: unknown): PerformanceEntry[] {
    requireArguments(arguments.length, 1, "Performance.getEntriesByType");
    const kind = DOMString(type, "Performance.getEntriesByType: type");
    return sorted(this.#entries.filter((entry) => entry.entryType === kind));
  }
}
defineInterface(Performance);

class PerformanceNodeTiming extends PerformanceEntry {
  readonly bootstrapComplete = 0;
  readonly environment = 0;
  readonly idleTime = 0;
  readonly loopExit = 0;
  readonly loopStart = 0;
  readonly nodeStart = 0;
  readonly v8Start = 0;
  readonly uvMetricsInfo: object = { loopCount: 0, events: 0, eventsWaiting: 0 };

  constructor(token: unknown) {
    super(token, { name: "node", entryType: "node", startTime: 0, duration: 0, detail: undefined } satisfies EntryFields);
  }

  override toJSON(): object {
    return { ...super.toJSON(), ...this };
  }
}
defineInterface(PerformanceNodeTiming);

/** The shape of entries for what was fetched; there are none. */
export class PerformanceResourceTiming extends PerformanceEntry {
  constructor(token: unknown = undefined) {
    requireInternal(token);
    super(token, { name: "", entryType: "mark", startTime: 0, duration: 0, detail: undefined } satisfies EntryFields);
  }
}
const TIMES = [
  "connectEnd", "connectStart", "decodedBodySize", "domainLookupEnd", "domainLookupStart", "encodedBodySize",
  "fetchStart", "redirectEnd", "redirectStart", "requestStart", "responseEnd", "responseStart", "responseStatus",
  "secureConnectionStart", "transferSize", "workerStart",
];
for (const name of [...TIMES, "initiatorType", "nextHopProtocol"]) {
  const get = function (this: PerformanceResourceTiming): number | string {
    return TIMES.includes(name) ? 0 : "";
  };
  Object.defineProperty(PerformanceResourceTiming.prototype, name, { get, enumerable: true, configurable: true });
}
defineInterface(PerformanceResourceTiming);

function keep(entries: PerformanceEntry[], entry: PerformanceEntry): void {
  if (entries.length >= ENTRIES_MAX) entries.shift();
  entries.push(entry);
}

/** By start; entries that began together keep the order they were made in. */
function sorted(entries: readonly PerformanceEntry[]): PerformanceEntry[] {
  return entries.toSorted((a, b) => a.startTime - b.startTime);
}

export const performance: Performance = new Performance(internalToken);
setBufferedEntries(() => performance.getEntries());
