// setTimeout and setInterval, and the one native wake behind them.
//
// Timers wait in a binary heap by due time, ties in the order they were made. The process is asked to
// wake the guest for the first of them only. A wake runs one timer: microtasks run when Rust has its
// thread back, so a second timer in the same turn would overtake the promises of the first; if more
// are due, the next wake is asked for at once.
//
// As in Workers, delays are not cut to 32 bits and nested timers are not slowed to 4 ms. Handlers
// given as strings are refused: there is no eval.
//
// Invariant: an entry of the heap that is not in `timers` was cleared, and is never run.

import { engine, ops } from "../ops.ts";
import { reportException } from "./events.ts";
import { callbackFunction, requireArguments, unrestrictedDouble } from "./webidl.ts";
import type { AnyFunction } from "./webidl.ts";

interface Timer {
  readonly id: number;
  readonly callback: AnyFunction;
  readonly args: unknown[];
  /** The async context frame of the caller; the timer runs inside it. */
  readonly frame: unknown;
  /** Milliseconds between runs, undefined for a timeout. */
  readonly period: number | undefined;
  due: number;
  /** Breaks ties: rises with every (re)scheduling. */
  order: number;
}

/** A delay longer than this waits this long: a century, as in Workers. */
const DELAY_MS_MAX = 100 * 365 * 24 * 3600 * 1000;

/** An interval's shortest period, so that a period of zero does not take the whole turn. */
const PERIOD_MS_MIN = 1;

/** Timers that may wait at once. */
const TIMERS_MAX = 65_536;

/** Cleared entries the heap may hold before it is rebuilt without them. */
const CLEARED_MAX = 1024;

const apply = Reflect.apply;

const timers = new Map<number, Timer>();
const heap: Timer[] = [];
let nextId = 1;
let nextOrder = 0;
/** What the process was last asked for; undefined when it was asked for nothing. */
let wakeAsked: number | undefined;

// ---- The heap --------------------------------------------------------------------------------

function before(a: Timer, b: Timer): boolean {
  return a.due < b.due || (a.due === b.due && a.order < b.order);
}

function push(timer: Timer): void {
  let at = heap.length;
  heap.push(timer);
  while (at > 0) {
    const parentAt = (at - 1) >> 1;
    const parent = heap[parentAt] as Timer;
    if (!before(timer, parent)) {
      break;
    }
    heap[at] = parent;
    at = parentAt;
  }
  heap[at] = timer;
}

function pop(): void {
  const last = heap.pop() as Timer;
  if (heap.length > 0) {
    sink(0, last);
  }
}

function sink(start: number, timer: Timer): void {
  const { length } = heap;
  let at = start;
  for (;;) {
    let childAt = at * 2 + 1;
    if (childAt >= length) {
      break;
    }
    if (childAt + 1 < length && before(heap[childAt + 1] as Timer, heap[childAt] as Timer)) {
      childAt += 1;
    }
    const child = heap[childAt] as Timer;
    if (!before(child, timer)) {
      break;
    }
    heap[at] = child;
    at = childAt;
  }
  heap[at] = timer;
}

/** Whether the entry is still wanted, and not one whose id was cleared. */
function isLive(timer: Timer): boolean {
  return timers.get(timer.id) === timer;
}

function dropClearedHead(): Timer | undefined {
  while (heap.length > 0) {
    const head = heap[0] as Timer;
    if (isLive(head)) {
      return head;
    }
    pop();
  }
  return undefined;
}

/** Keeps cleared timers with far due times, and all their closures, from piling up. */
function compact(): void {
  if (heap.length - timers.size <= Math.max(CLEARED_MAX, timers.size)) {
    return;
  }
  const live = heap.filter(isLive);
  heap.length = 0;
  for (const timer of live) {
    push(timer);
  }
}

function askForWake(): void {
  const head = dropClearedHead();
  if (head?.due === wakeAsked) {
    return;
  }
  wakeAsked = head?.due;
  ops.timeWake(head === undefined ? -1 : Math.max(0, head.due - ops.timeMonotonic()));
}

// ---- Timers ----------------------------------------------------------------------------------

function add(callback: AnyFunction, delay: number, repeats: boolean, args: unknown[]): number {
  if (timers.size >= TIMERS_MAX) {
    throw new RangeError(`Too many timers are waiting: the limit is ${TIMERS_MAX} (TIMERS_MAX)`);
  }
  const id = nextId;
  nextId += 1;
  const timer: Timer = {
    id,
    callback,
    args,
    frame: engine.contextGet(),
    period: repeats ? Math.max(delay, PERIOD_MS_MIN) : undefined,
    due: ops.timeMonotonic() + delay,
    order: nextOrder++,
  };
  timers.set(id, timer);
  push(timer);
  askForWake();
  return id;
}

function clear(id: number): void {
  if (timers.delete(id)) {
    compact();
    askForWake();
  }
}

function delayOf(value: unknown, context: string): number {
  const delay = value === undefined ? 0 : unrestrictedDouble(value, context);
  // NaN fails the comparison, too.
  return delay > 0 ? Math.min(Math.trunc(delay), DELAY_MS_MAX) : 0;
}

function handlerOf(value: unknown, context: string): AnyFunction {
  return callbackFunction(value, context);
}

export function setTimeout(handler: unknown, timeout: unknown = 0, ...args: unknown[]): number {
  requireArguments(arguments.length, 1, "setTimeout");
  return add(handlerOf(handler, "setTimeout: handler"), delayOf(timeout, "setTimeout: timeout"), false, args);
}

export function setInterval(handler: unknown, timeout: unknown = 0, ...args: unknown[]): number {
  requireArguments(arguments.length, 1, "setInterval");
  return add(handlerOf(handler, "setInterval: handler"), delayOf(timeout, "setInterval: timeout"), true, args);
}

export function clearTimeout(id: unknown = undefined): void {
  // Anything that is not the number of a timer clears nothing, as in Workers.
  if (id !== undefined && id !== null) {
    clear(Number(id));
  }
}

export function clearInterval(id: unknown = undefined): void {
  clearTimeout(id);
}

// ---- For the platform ------------------------------------------------------------------------

/** The wake handler: runs the first timer that is due, if one is. */
export function runDue(): void {
  wakeAsked = undefined;
  const timer = dropClearedHead();
  if (timer !== undefined && timer.due <= ops.timeMonotonic()) {
    pop();
    run(timer);
  }
  askForWake();
}

function run(timer: Timer): void {
  if (timer.period === undefined) {
    timers.delete(timer.id);
  }
  engine.contextSet(timer.frame);
  try {
    apply(timer.callback, globalThis, timer.args);
  } catch (error) {
    reportException(error);
  } finally {
    engine.contextSet(undefined);
  }
  if (timer.period !== undefined && isLive(timer)) {
    timer.due = ops.timeMonotonic() + timer.period;
    timer.order = nextOrder++;
    push(timer);
  }
}

/** A timer of the platform's own; the result stops it. */
export function startTimer(callback: () => void, ms: number): () => void {
  const id = add(callback, delayOf(ms, "delay"), false, []);
  return () => clear(id);
}
