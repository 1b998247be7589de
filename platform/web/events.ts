// EventTarget, Event and the events of a server: custom, error, message, close, rejection.
//
// There is no tree: an event's path is its target alone, so capture and bubble listeners differ only
// in how they are told apart when removed, and capture ones run first. The global scope is an event
// target too, though no constructor made it: methods called on it (or on undefined, as Web IDL says
// of globals) use one reserved listener list.
//
// Deliberately absent: shadow trees, `relatedTarget`, UI events, and events of Workers' own triggers
// (fetch, scheduled), which live with the entry points.
//
// As in Workers, and unlike in the standard, `dispatchEvent()` throws what a listener throws, there is no
// capturing phase, and a listener that returns true prevents the default. The flag `pedantic_wpt` brings
// the standard's behaviour.
//
// Invariant: an exception in a listener of an event that the platform dispatches never stops the other
// listeners; it goes to the reporter, which boot sets.

import { has } from "../cloudflare/compat.ts";
import { ops } from "../ops.ts";
import { DOMException } from "./dom-exception.ts";
import {
  DOMString,
  USVString,
  any,
  boolean,
  defineInterface,
  dictionary,
  isObject,
  nullable,
  object,
  required,
  requireArguments,
  sequence,
  unsignedLong,
  unsignedShort,
  withDefault,
} from "./webidl.ts";
import type { Class, Converter, Dictionary } from "./webidl.ts";

// ---- Hooks -----------------------------------------------------------------------------------

let reporter: (error: unknown) => void = () => {};

/** Boot says where exceptions of listeners go (HTML's "report the exception"). */
export function setErrorReporter(report: (error: unknown) => void): void {
  reporter = report;
}

/** Reports an exception as if it had left a callback with no caller. */
export function reportException(error: unknown): void {
  reporter(error);
}

/** What `addEventListener`'s `signal` option needs; set by abort.ts, which builds on this module. */
export interface SignalHook {
  convert: Converter<object>;
  aborted(signal: object): boolean;
  onAbort(signal: object, run: () => void): void;
}

let signalHook: SignalHook | undefined;

export function setSignalHook(hook: SignalHook): void {
  signalHook = hook;
}

// ---- Event -----------------------------------------------------------------------------------

const NONE = 0;
const CAPTURING_PHASE = 1;
const AT_TARGET = 2;
const BUBBLING_PHASE = 3;

const eventInitMembers = {
  bubbles: withDefault(boolean, () => false),
  cancelable: withDefault(boolean, () => false),
  composed: withDefault(boolean, () => false),
};
const eventInit = dictionary("EventInit", eventInitMembers);
export type EventInit = Dictionary<typeof eventInitMembers>;

const { defineProperty } = Object;

/** The getter behind the own property `isTrusted`, one function for all events as IDL asks. */
const isTrustedDescriptor: PropertyDescriptor = {
  get: function isTrusted(this: Event): boolean {
    return internals.isTrusted(this);
  },
  set: undefined,
  enumerable: true,
  configurable: false,
};
const getIsTrusted = isTrustedDescriptor.get as object;
defineProperty(getIsTrusted, "name", { value: "get isTrusted", configurable: true });

interface EventInternals {
  isTrusted(event: Event): boolean;
  trust(event: Event): void;
  is(value: unknown): value is Event;
  dispatch(event: Event, target: object, state: TargetState | undefined, errors?: ErrorsOfListeners): boolean;
  inPassive(event: Event): boolean;
}
let internals: EventInternals;

export class Event {
  #type: string;
  #bubbles = false;
  #cancelable = false;
  #composed = false;
  #target: object | null = null;
  #currentTarget: object | null = null;
  #phase = NONE;
  #stopped = false;
  #stoppedNow = false;
  #canceled = false;
  #passive = false;
  #initialized = true;
  #dispatching = false;
  #trusted = false;
  #timeStamp: number;

  constructor(type: unknown, init: unknown = undefined) {
    requireArguments(arguments.length, 1, "Event constructor");
    this.#type = DOMString(type, "Event constructor: type");
    if (init !== undefined && init !== null) {
      const options = eventInit(init, "Event constructor: init");
      this.#bubbles = options.bubbles;
      this.#cancelable = options.cancelable;
      this.#composed = options.composed;
    }
    this.#timeStamp = ops.timeMonotonic();
    defineProperty(this, "isTrusted", isTrustedDescriptor);
  }

  get type(): string {
    return this.#type;
  }
  get target(): object | null {
    return this.#target;
  }
  get srcElement(): object | null {
    return this.#target;
  }
  get currentTarget(): object | null {
    return this.#currentTarget;
  }
  composedPath(): object[] {
    return this.#currentTarget === null ? [] : [this.#currentTarget];
  }
  get eventPhase(): number {
    return this.#phase;
  }
  stopPropagation(): void {
    this.#stopped = true;
  }
  get cancelBubble(): boolean {
    return this.#stopped;
  }
  set cancelBubble(value: unknown) {
    if (value) this.#stopped = true;
  }
  stopImmediatePropagation(): void {
    this.#stopped = true;
    this.#stoppedNow = true;
  }
  get bubbles(): boolean {
    return this.#bubbles;
  }
  get cancelable(): boolean {
    return this.#cancelable;
  }
  get returnValue(): boolean {
    return !this.#canceled;
  }
  set returnValue(value: unknown) {
    if (!value) this.#cancel();
  }
  preventDefault(): void {
    this.#cancel();
  }
  get defaultPrevented(): boolean {
    return this.#canceled;
  }
  get composed(): boolean {
    return this.#composed;
  }
  get timeStamp(): number {
    return this.#timeStamp;
  }

  initEvent(type: unknown, bubbles: unknown = false, cancelable: unknown = false): void {
    requireArguments(arguments.length, 1, "Event.initEvent");
    const name = DOMString(type, "Event.initEvent: type");
    if (this.#dispatching) return;
    this.#initialized = true;
    this.#stopped = false;
    this.#stoppedNow = false;
    this.#canceled = false;
    this.#trusted = false;
    this.#target = null;
    this.#type = name;
    this.#bubbles = !!bubbles;
    this.#cancelable = !!cancelable;
  }

  #dispatched(): void {
    this.#phase = NONE;
    this.#currentTarget = null;
    this.#dispatching = false;
    this.#stopped = false;
    this.#stoppedNow = false;
  }

  #cancel(): void {
    if (this.#cancelable && !this.#passive) this.#canceled = true;
  }

  static {
    internals = {
      isTrusted: (event) => event.#trusted,
      trust(event) {
        event.#trusted = true;
      },
      is: (value): value is Event => isObject(value) && #type in value,
      inPassive: (event) => event.#passive,
      dispatch(event, target, state, errors = "reported") {
        if (event.#dispatching || !event.#initialized) {
          throw new DOMException("The event is already being dispatched.", "InvalidStateError");
        }
        event.#dispatching = true;
        event.#target = target;
        if (state !== undefined) {
          event.#phase = AT_TARGET;
          event.#currentTarget = target;
          const listeners = state.listeners.get(event.#type);
          try {
            if (listeners !== undefined && !event.#stopped) {
              runListeners(event, target, state, listeners, true, errors);
              if (!event.#stopped) runListeners(event, target, state, listeners, false, errors);
            }
          } finally {
            event.#dispatched();
          }
        }
        event.#dispatched();
        return !event.#canceled;
      },
    };

    function runListeners(
      event: Event,
      target: object,
      state: TargetState,
      listeners: readonly Listener[],
      capture: boolean,
      errors: ErrorsOfListeners,
    ): void {
      // The list is replaced, never changed in place, so this walk sees it as it was; `removed`
      // tells of listeners taken away meanwhile.
      for (let i = 0; i < listeners.length; i++) {
        const listener = listeners[i] as Listener;
        if (listener.capture !== capture || listener.removed) continue;
        if (listener.once) removeListener(state, event.#type, listener);
        event.#passive = listener.passive;
        try {
          const returned = callListener(listener, event, target);
          if (returned === true && !has("pedantic_wpt")) event.preventDefault();
        } catch (error) {
          if (errors === "thrown") throw error;
          reporter(error);
        } finally {
          event.#passive = false;
        }
        if (event.#stoppedNow) return;
      }
    }
  }
}
defineInterface(Event, { constants: { NONE, CAPTURING_PHASE, AT_TARGET, BUBBLING_PHASE } });

/** Marks an event as made by the platform. */
export function trustEvent<E extends Event>(event: E): E {
  internals.trust(event);
  return event;
}

export const isEvent: (value: unknown) => value is Event = (value): value is Event => internals.is(value);

// ---- Listeners -------------------------------------------------------------------------------

interface Listener {
  /** A function, an object with `handleEvent`, or (for `onX` attributes) the handler's own runner. */
  callback: object;
  capture: boolean;
  once: boolean;
  passive: boolean;
  removed: boolean;
}

/** Where what a listener throws goes. */
type ErrorsOfListeners = "reported" | "thrown";

interface TargetState {
  /** Lists are copied on change: a dispatch walks the one it began with. */
  listeners: Map<string, Listener[]>;
  /** `onX` handlers by event type; the listener stands in `listeners` while the value is not null. */
  handlers: Map<string, { value: object | null; listener: Listener | undefined }> | undefined;
}

const { apply } = Reflect;

function callListener(listener: Listener, event: Event, target: object): unknown {
  const { callback } = listener;
  if (typeof callback === "function") return apply(callback as (event: Event) => unknown, target, [event]);
  const { handleEvent } = callback as { handleEvent?: unknown };
  if (typeof handleEvent !== "function") throw new TypeError("handleEvent of the event listener is not a function");
  return apply(handleEvent as (event: Event) => unknown, callback, [event]);
}

function addListener(state: TargetState, type: string, listener: Listener): void {
  const list = state.listeners.get(type);
  state.listeners.set(type, list === undefined ? [listener] : [...list, listener]);
}

function removeListener(state: TargetState, type: string, listener: Listener): void {
  listener.removed = true;
  const list = state.listeners.get(type);
  if (list === undefined) return;
  const rest = list.filter((other) => other !== listener);
  if (rest.length === 0) state.listeners.delete(type);
  else state.listeners.set(type, rest);
}

function findListener(state: TargetState, type: string, callback: object, capture: boolean): Listener | undefined {
  return state.listeners.get(type)?.find((other) => other.callback === callback && other.capture === capture);
}

const listenerCallback: Converter<object | null> = nullable(object);

const listenerOptions = dictionary("AddEventListenerOptions", {
  capture: withDefault(boolean, () => false),
  once: withDefault(boolean, () => false),
  passive: withDefault(boolean, () => false),
  signal: withDefault<object | undefined>(
    (value, context) => (signalHook === undefined ? object(value, context) : signalHook.convert(value, context)),
    () => undefined,
  ),
});
const removeOptions = dictionary("EventListenerOptions", { capture: withDefault(boolean, () => false) });

/** Events go nowhere but to their target here, so that nothing could be captured on the way. */
function refuse(asked: boolean, what: string): void {
  if (asked && !has("pedantic_wpt")) throw new TypeError(`${what} must be false.`);
}

function isOptionsObject(options: unknown): boolean {
  return options === undefined || options === null || isObject(options);
}

// ---- EventTarget -----------------------------------------------------------------------------

let stateOf: (target: unknown, create: boolean) => TargetState | undefined;
let isTarget: (value: unknown) => boolean;
const globalState: TargetState = { listeners: new Map(), handlers: undefined };

/** The object a call on `receiver` is about: the global stands in for a missing receiver. */
function targetOf(receiver: unknown): object {
  if (receiver === undefined || receiver === null || receiver === globalThis) return globalThis;
  if (!isTarget(receiver)) throw new TypeError("Illegal invocation: receiver is not an EventTarget");
  return receiver as object;
}

export class EventTarget {
  #state: TargetState | undefined;

  addEventListener(type: unknown, callback: unknown, options: unknown = undefined): void {
    const target = targetOf(this);
    requireArguments(arguments.length, 2, "EventTarget.addEventListener");
    const name = DOMString(type, "EventTarget.addEventListener: type");
    const listener = listenerCallback(callback, "EventTarget.addEventListener: callback");
    let capture: boolean;
    let once = false;
    let passive = false;
    let signal: object | undefined;
    if (isOptionsObject(options)) {
      ({ capture, once, passive, signal } = listenerOptions(options, "EventTarget.addEventListener: options"));
      refuse(passive, "addEventListener(): options.passive");
      refuse(capture, "addEventListener(): options.capture");
    } else {
      capture = !!options;
      refuse(capture, "addEventListener(): useCapture");
    }
    if (signal !== undefined && signalHook?.aborted(signal)) return;
    if (listener === null) return;
    const state = stateOf(target, true) as TargetState;
    if (findListener(state, name, listener, capture) !== undefined) return;
    const entry: Listener = { callback: listener, capture, once, passive, removed: false };
    addListener(state, name, entry);
    if (signal !== undefined) signalHook?.onAbort(signal, () => removeListener(state, name, entry));
    (target as { [listenerAdded]?: (type: string) => void })[listenerAdded]?.(name);
  }

  removeEventListener(type: unknown, callback: unknown, options: unknown = undefined): void {
    const target = targetOf(this);
    requireArguments(arguments.length, 2, "EventTarget.removeEventListener");
    const name = DOMString(type, "EventTarget.removeEventListener: type");
    const listener = listenerCallback(callback, "EventTarget.removeEventListener: callback");
    const capture = isOptionsObject(options)
      ? removeOptions(options, "EventTarget.removeEventListener: options").capture
      : !!options;
    refuse(capture, `removeEventListener(): ${isObject(options) ? "options.capture" : "useCapture"}`);
    const state = stateOf(target, false);
    if (state === undefined || listener === null) return;
    const entry = findListener(state, name, listener, capture);
    if (entry !== undefined) removeListener(state, name, entry);
  }

  dispatchEvent(event: unknown): boolean {
    const target = targetOf(this);
    requireArguments(arguments.length, 1, "EventTarget.dispatchEvent");
    if (!internals.is(event)) throw new TypeError("EventTarget.dispatchEvent: event is not of type 'Event'");
    return internals.dispatch(event, target, stateOf(target, false), has("pedantic_wpt") ? "reported" : "thrown");
  }

  static {
    isTarget = (value) => isObject(value) && #state in value;
    stateOf = (target, create) => {
      if (target === globalThis) return globalState;
      const self = target as EventTarget;
      if (self.#state === undefined && create) self.#state = { listeners: new Map(), handlers: undefined };
      return self.#state;
    };
  }
}
defineInterface(EventTarget);

/** A class that must know of its listeners (AbortSignal) defines a method under this symbol. */
export const listenerAdded: unique symbol = Symbol("listener added");

export function isEventTarget(value: unknown): value is EventTarget {
  return value === globalThis || isTarget(value);
}

/** Dispatches a trusted event; false when a listener prevented the default. */
export function fireEvent(target: object, event: Event): boolean {
  internals.trust(event);
  return internals.dispatch(event, target, stateOf(target, false));
}

/** Whether anyone listens to `type`, so that an event nobody sees need not be made. */
export function hasListeners(target: object, type: string): boolean {
  return stateOf(target, false)?.listeners.has(type) ?? false;
}

// ---- onX attributes --------------------------------------------------------------------------

/** `errorEvent`: the handler takes `(message, filename, lineno, colno, error)`; true cancels. */
/** What listens to `type`, as it was given: for node:events. */
export function listenersOf(target: object, type: string): unknown[] {
  return (stateOf(target, false)?.listeners.get(type) ?? []).map((listener) => listener.callback);
}

export type HandlerKind = "plain" | "errorEvent";

/**
 * Defines the attribute `on<type>` on a class's prototype, or on the global object. Setting a
 * function keeps the place in the listener order that the first one took.
 */
export function defineEventHandler(holder: Class | typeof globalThis, type: string, kind: HandlerKind = "plain"): void {
  const attribute = `on${type}`;
  const accessors = {
    get [attribute](): object | null {
      return stateOf(targetOf(this), false)?.handlers?.get(type)?.value ?? null;
    },
    set [attribute](value: unknown) {
      setHandler(targetOf(this), type, kind, isObject(value) ? value : null);
    },
  };
  const descriptor = Object.getOwnPropertyDescriptor(accessors, attribute) as PropertyDescriptor;
  const prototype = holder === globalThis ? globalThis : ((holder as Class).prototype as object);
  defineProperty(prototype, attribute, descriptor);
}

function setHandler(target: object, type: string, kind: HandlerKind, value: object | null): void {
  const state = stateOf(target, true) as TargetState;
  state.handlers ??= new Map();
  let handler = state.handlers.get(type);
  if (handler === undefined) {
    handler = { value: null, listener: undefined };
    state.handlers.set(type, handler);
  }
  handler.value = value;
  if (value === null) {
    if (handler.listener !== undefined) removeListener(state, type, handler.listener);
    handler.listener = undefined;
    return;
  }
  if (handler.listener !== undefined) return;
  const entry = handler;
  const callback = (event: Event): void => runHandler(entry.value, event, target, kind);
  handler.listener = { callback, capture: false, once: false, passive: false, removed: false };
  addListener(state, type, handler.listener);
  (target as { [listenerAdded]?: (type: string) => void })[listenerAdded]?.(type);
}

/**
 * A function that user code put on the object itself as `on<type>`, where there is no such attribute,
 * listens like one, as in Workers (`source.onupdate = ...` for an event named by a server).
 */
export function adoptHandler(target: object, type: string): void {
  const own = Object.getOwnPropertyDescriptor(target, `on${type}`)?.value as unknown;
  const known = stateOf(target, false)?.handlers?.get(type)?.value ?? null;
  const handler = isObject(own) ? own : null;
  if (`on${type}` in target || known === null) {
    if (Object.hasOwn(target, `on${type}`) && handler !== known) setHandler(target, type, "plain", handler);
    return;
  }
  // It was taken away again.
  setHandler(target, type, "plain", null);
}

function runHandler(value: object | null, event: Event, target: object, kind: HandlerKind): void {
  if (typeof value !== "function") return;
  const call = value as (...args: unknown[]) => unknown;
  if (kind === "errorEvent" && event instanceof ErrorEvent) {
    const { message, filename, lineno, colno, error } = event;
    if (apply(call, target, [message, filename, lineno, colno, error]) === true) event.preventDefault();
    return;
  }
  if (apply(call, target, [event]) === false) event.preventDefault();
}

// ---- Events with fields ----------------------------------------------------------------------

const customEventInit = dictionary("CustomEventInit", { detail: withDefault(any, () => null) }, eventInit);

export class CustomEvent extends Event {
  #detail: unknown;

  constructor(type: unknown, init: unknown = undefined) {
    requireArguments(arguments.length, 1, "CustomEvent constructor");
    super(type, init);
    this.#detail = customEventInit(init, "CustomEvent constructor: init").detail;
  }

  get detail(): unknown {
    return this.#detail;
  }

  initCustomEvent(type: unknown, bubbles: unknown = false, cancelable: unknown = false, detail: unknown = null): void {
    requireArguments(arguments.length, 1, "CustomEvent.initCustomEvent");
    if (this.eventPhase !== NONE) return;
    this.initEvent(type, bubbles, cancelable);
    this.#detail = detail;
  }
}
defineInterface(CustomEvent);

const errorEventInit = dictionary(
  "ErrorEventInit",
  {
    message: withDefault(DOMString, () => ""),
    filename: withDefault(USVString, () => ""),
    lineno: withDefault(unsignedLong, () => 0),
    colno: withDefault(unsignedLong, () => 0),
    error: withDefault(any, () => undefined),
  },
  eventInit,
);

export class ErrorEvent extends Event {
  #init: ReturnType<typeof errorEventInit>;

  constructor(type: unknown, init: unknown = undefined) {
    requireArguments(arguments.length, 1, "ErrorEvent constructor");
    super(type, init);
    this.#init = errorEventInit(init, "ErrorEvent constructor: init");
  }

  get message(): string {
    return this.#init.message;
  }
  get filename(): string {
    return this.#init.filename;
  }
  get lineno(): number {
    return this.#init.lineno;
  }
  get colno(): number {
    return this.#init.colno;
  }
  get error(): unknown {
    return this.#init.error;
  }
}
defineInterface(ErrorEvent);

const messageEventInit = dictionary(
  "MessageEventInit",
  {
    data: withDefault(any, () => null),
    origin: withDefault(USVString, () => ""),
    lastEventId: withDefault(DOMString, () => ""),
    source: withDefault<object | null>(nullable(object), () => null),
    ports: withDefault<object[]>(sequence(object), () => []),
  },
  eventInit,
);

export class MessageEvent extends Event {
  #init: ReturnType<typeof messageEventInit>;
  #ports: readonly object[];

  constructor(type: unknown, init: unknown = undefined) {
    requireArguments(arguments.length, 1, "MessageEvent constructor");
    super(type, init);
    this.#init = messageEventInit(init, "MessageEvent constructor: init");
    this.#ports = Object.freeze(this.#init.ports);
  }

  get data(): unknown {
    return this.#init.data;
  }
  get origin(): string {
    return this.#init.origin;
  }
  get lastEventId(): string {
    return this.#init.lastEventId;
  }
  get source(): object | null {
    return this.#init.source;
  }
  get ports(): readonly object[] {
    return this.#ports;
  }
}
defineInterface(MessageEvent);

const closeEventInit = dictionary(
  "CloseEventInit",
  {
    wasClean: withDefault(boolean, () => false),
    code: withDefault(unsignedShort, () => 0),
    reason: withDefault(USVString, () => ""),
  },
  eventInit,
);

export class CloseEvent extends Event {
  #init: ReturnType<typeof closeEventInit>;

  constructor(type: unknown, init: unknown = undefined) {
    requireArguments(arguments.length, 1, "CloseEvent constructor");
    super(type, init);
    this.#init = closeEventInit(init, "CloseEvent constructor: init");
  }

  get wasClean(): boolean {
    return this.#init.wasClean;
  }
  get code(): number {
    return this.#init.code;
  }
  get reason(): string {
    return this.#init.reason;
  }
}
defineInterface(CloseEvent);

const rejectionEventInit = dictionary(
  "PromiseRejectionEventInit",
  { promise: required(object), reason: withDefault(any, () => undefined) },
  eventInit,
);

export class PromiseRejectionEvent extends Event {
  #init: ReturnType<typeof rejectionEventInit>;

  constructor(type: unknown, init: unknown) {
    requireArguments(arguments.length, 2, "PromiseRejectionEvent constructor");
    super(type, init);
    this.#init = rejectionEventInit(init, "PromiseRejectionEvent constructor: init");
  }

  get promise(): object {
    return this.#init.promise;
  }
  get reason(): unknown {
    return this.#init.reason;
  }
}
defineInterface(PromiseRejectionEvent);
