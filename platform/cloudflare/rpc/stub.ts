// The caller's side: RpcStub, RpcPromise and RpcProperty.
//
// All three are proxies whose every string property is a member of something remote. A *stub* owns
// a reference and gives it back. A *promise* is the result of a call: it can be awaited, and
// called at once, before the result is here (pipelining). A *property* is a path from one of the
// two; awaiting it reads, calling it calls.
//
// Who owns what: a result owns the stubs that came in it, so disposing the result (or the promise)
// disposes them. A stub that nobody disposed is kept until its context closes, because the moment
// at which the collector runs must not be observable.
//
// Invariant: user code never sees a proxy's target or handler; `engine.proxyHandler` and the handler classes'
// private names are the only way from a proxy to what is behind it. (A WeakMap would be another, but each entry
// costs the collector more than the call it stands for.)

import { engine, wire } from "../../ops.ts";
import type { Arrived, Attached, CallEvent, CallId, Failure, Outcome } from "../../ops.ts";
import { currentInvocation, frameOf, runIn } from "../async-context.ts";
import { forgetCall, newCall } from "../calls.ts";
import type { AwaitedCall } from "../calls.ts";
import { disowned, hold, newSlot, ownedBy } from "../caps.ts";
import type { Cap, Owned } from "../caps.ts";
import { actFor } from "../context.ts";
import type { Held, Invocation } from "../context.ts";
import { errorOf } from "../failures.ts";
import { ClosedHandler, platformProxy } from "../proxies.ts";
import { callComesFrom, callSpan } from "../trace.ts";
import type { OpenSpan } from "../trace.ts";
import { DISPOSE } from "../symbols.ts";
import { startTimer } from "../../web/timers.ts";
import { NO_LENGTH, NOT_FLAT, departures, readValue, writeArguments } from "./flat.ts";
import { EMPTY_GROUP, pack, ship, shipPlain, unpack, unpackLocal, unpackPlain } from "./message.ts";
import type { DisposalGroup, Packed } from "./message.ts";
import { LocalTarget, TARGET_RESERVED, callMember, member, reachOf } from "./target.ts";

/** Property names between a stub and what is called. In step with `wire/src/bounds.rs`. */
export const PATH_SEGMENTS_MAX = 64;

const DISPOSED_STUB = "RPC stub used after being disposed.";
const DISPOSED_PROMISE = "RPC promise used after being disposed.";

/** Something that can be called: a slot of the host's table or an object of our own. */
export type Callee = Cap | LocalTarget;

// ---- what stands behind a proxy

/** Whether a stub outlives its context: only what was `dup()`ed does, for as long as it is referenced. */
export type Lifetime = "context" | "kept";

/** What a stub owns: one reference to its callee. */
export class StubState implements Owned, Held, Origin {
  #callee: Callee | undefined;
  #invocation: Invocation | undefined;
  readonly #lifetime: Lifetime;
  #collected = false;

  constructor(callee: Callee, lifetime: Lifetime) {
    this.#callee = callee;
    this.#lifetime = lifetime;
    this.#invocation = currentInvocation();
    this.#invocation?.hold(this);
  }

  get callee(): Callee {
    if (this.#callee === undefined) throw new Error(DISPOSED_STUB);
    return this.#callee;
  }

  startCall(path: string[], args: unknown[] | undefined): Result {
    try {
      return callThrough(this.callee, path, args);
    } catch (error) {
      const result = new Result();
      result.reject(error);
      return result;
    }
  }

  dispose(): void {
    const callee = this.#callee;
    if (callee === undefined) return;
    this.#callee = undefined;
    this.#invocation?.letGo(this);
    disowned(this);
    callee.release();
  }

  letGo(): void {
    if (this.#callee === undefined) return;
    this.#collected = true;
    if (this.#invocation?.isOpen === true) this.#invocation.leaked();
    else this.dispose();
  }

  contextEnded(how: "closed" | "aborted"): void {
    if (how === "aborted" || this.#collected || this.#lifetime === "context") return this.dispose();
    this.#invocation = undefined;
    collectSoon();
  }

  onBroken(callback: (error: unknown) => void): void {
    const callee = this.callee;
    if (callee instanceof LocalTarget) return;
    const frame = frameOf(this.#invocation);
    callee.whenBroken((failure: Failure) => {
      void Promise.resolve().then(() => runIn(frame, () => callback(errorOf(failure))));
    });
  }
}

/** Milliseconds from a context's end to the search for what it left behind. */
const COLLECT_DELAY_MS = 100;
let collecting = false;

/** A context ended with duplicates that may or may not be referenced: only the collector knows. */
function collectSoon(): void {
  if (collecting) return;
  collecting = true;
  startTimer(() => {
    collecting = false;
    engine.collect();
  }, COLLECT_DELAY_MS);
}

/** The outcome of a call under way or over. */
export class Result implements Origin, AwaitedCall {
  readonly promise: Promise<unknown> = engine.newPromise();
  readonly invocation: Invocation | undefined = currentInvocation();
  /**
   * `delayed` until promises among the arguments have settled. A call is `queued` for as long as it may be that its
   * frame waits for the end of the job: the op that asks for a slot knows.
   */
  #state: "delayed" | "queued" | "sent" | "fulfilled" | "rejected" = "queued";
  #slot: Cap | undefined;
  #group: DisposalGroup | undefined;
  #disposed = false;
  #value: unknown;
  #span: OpenSpan | undefined;
  call: CallId = 0;

  startCall(path: string[], args: unknown[] | undefined): Result {
    return callResult(this, path, args);
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  get settledValue(): { value: unknown } | undefined {
    return this.#state === "fulfilled" ? { value: this.#value } : undefined;
  }

  delay(): void {
    this.#state = "delayed";
  }

  enqueue(): void {
    this.#state = "queued";
  }

  /** Sends the call, or has it wait for the end of the job. */
  send(callee: Cap, path: string[], bytes: Uint8Array | undefined, length: number): void {
    this.#begin(callee);
    try {
      this.#announce();
      wire.callRpc(this.call, callee.id, path.length === 1 ? (path[0] as string) : path, bytes, length);
    } catch (error) {
      this.#notSent(error);
    }
  }

  /**
   * Sends a call with more than bytes. Streams must not start before the frame that introduces them, so it does
   * not wait, and asks for a slot in case its result is called.
   */
  sendNow(callee: Cap, path: string[], packed: Packed): void {
    this.#begin(callee);
    const slot = (this.#slot ??= hold(newSlot(), "object"));
    // Shipping may let go of what is called.
    callee.retain();
    try {
      const attached = shipPlain(packed);
      const event: CallEvent | undefined = attached === undefined ? ["rpc", path, ship(packed)] : undefined;
      this.#state = "sent";
      this.#announce();
      if (event !== undefined) wire.call(this.call, callee.id, event, slot.id);
      else wire.callRpc(this.call, callee.id, path, packed.bytes, packed.bytes.length, attached, slot.id);
    } catch (error) {
      this.#notSent(error);
    }
    callee.release();
  }

  #begin(callee: Cap): void {
    const span = callSpan(callee, "jsRpcSession");
    this.call = newCall(this);
    this.#span = span;
  }

  /** What the host is told right before the call. */
  #announce(): void {
    actFor(this.invocation);
    callComesFrom(this.#span, this.call);
  }

  #notSent(error: unknown): void {
    this.#span?.end();
    forgetCall(this.call);
    this.reject(error);
  }

  /** A slot that names the future result, if it is not too late to ask for one. */
  slotForPipelining(): Cap | undefined {
    engine.markHandled(this.promise);
    if (this.#slot === undefined && this.#state === "queued") {
      const slot = newSlot();
      if (wire.callResult(this.call, slot)) this.#slot = hold(slot, "object");
      else this.#state = "sent";
    }
    return this.#state === "queued" || this.#state === "sent" ? this.#slot : undefined;
  }

  settleValue(bytes: Arrived, attached: Attached): void {
    this.#span?.end();
    const flat = attached === undefined ? readValue(bytes) : NOT_FLAT;
    // A primitive makes nothing that belongs to an invocation.
    if (flat !== NOT_FLAT) return this.fulfill(flat, EMPTY_GROUP);
    runIn(frameOf(this.invocation), () => {
      try {
        const { value, group } = unpackPlain(bytes, attached);
        this.fulfill(value, group);
      } catch (error) {
        this.reject(error);
      }
    });
  }

  settle(outcome: Outcome): void {
    this.#span?.end();
    runIn(frameOf(this.invocation), () => {
      if (outcome[0] === "value") {
        try {
          const { value, group } = unpack(outcome[1]);
          this.fulfill(value, group);
        } catch (error) {
          this.reject(error);
        }
      } else if (outcome[0] === "failed") {
        this.reject(errorOf(outcome[1]));
      } else {
        this.reject(new TypeError(`An RPC call was answered with a ${outcome[0]}.`));
      }
    });
  }

  fulfill(value: unknown, group: DisposalGroup): void {
    this.#state = "fulfilled";
    this.#value = value;
    this.#group = group;
    this.#dropSlot();
    if (this.#disposed) group.dispose();
    else attachDisposer(value, group);
    engine.resolvePromise(this.promise, value);
  }

  reject(error: unknown): void {
    this.#state = "rejected";
    this.#dropSlot();
    engine.rejectPromise(this.promise, error);
  }

  #dropSlot(): void {
    this.#slot?.release();
    this.#slot = undefined;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    engine.markHandled(this.promise);
    this.#group?.dispose();
  }
}

/** Gives a plain object its `[Symbol.dispose]`, which disposes every stub in it. */
function attachDisposer(value: unknown, group: DisposalGroup): void {
  if (typeof value !== "object" || value === null) return;
  const proto: unknown = Object.getPrototypeOf(value);
  if (proto !== Object.prototype && (group.isEmpty || isStubLike(value))) return;
  Object.defineProperty(value, DISPOSE, {
    value: () => group.dispose(),
    writable: true,
    enumerable: false,
    configurable: true,
  });
}

// ---- calls

/** Calls (or reads, when `args` is undefined) what stands at `path` from `callee`. */
export function callThrough(callee: Callee, path: string[], args: unknown[] | undefined): Result {
  const result = new Result();
  try {
    start(result, callee, path, args);
  } catch (error) {
    result.reject(error);
  }
  return result;
}

function start(result: Result, callee: Callee, path: string[], args: unknown[] | undefined): void {
  if (path.length > PATH_SEGMENTS_MAX) throw tooDeep();
  if (callee instanceof LocalTarget) return startLocal(result, callee, path, args);
  if (args === undefined) return result.send(callee, path, undefined, 0);
  const length = writeArguments(args);
  if (length !== NO_LENGTH) return result.send(callee, path, departures, length);
  const packed = pack(args, "params");
  if (packed instanceof Promise) {
    result.delay();
    callee.retain();
    packed.then(
      (late) => {
        try {
          result.enqueue();
          sendPacked(result, callee, path, late);
        } catch (error) {
          result.reject(error);
        }
        callee.release();
      },
      (error: unknown) => {
        callee.release();
        result.reject(error);
      },
    );
  } else {
    sendPacked(result, callee, path, packed);
  }
}

function sendPacked(result: Result, callee: Cap, path: string[], packed: Packed): void {
  const { bytes, externals } = packed;
  if (externals.length === 0) result.send(callee, path, bytes, bytes.length);
  else result.sendNow(callee, path, packed);
}

/** A call to an object of this very Worker: the same copying, no frame. */
function startLocal(result: Result, target: LocalTarget, path: string[], args: unknown[] | undefined): void {
  result.delay();
  target.retain();
  const work = async (): Promise<void> => {
    let params: DisposalGroup | undefined;
    try {
      let values: unknown[] | undefined;
      if (args !== undefined) {
        const arrived = unpackLocal(await pack(args, "params"));
        values = arrived.value as unknown[];
        params = arrived.group;
      } else {
        await undefined;
      }
      const value = await runIn(frameOf(target.invocation), () =>
        callMember(member(target.object, target.reach, path, TARGET_RESERVED), path, values),
      );
      const back = unpackLocal(await pack(value, "result"));
      result.fulfill(back.value, back.group);
    } finally {
      params?.dispose();
      target.release();
    }
  };
  work().catch((error: unknown) => result.reject(error));
}

/** Calls what stands at `path` from the result of another call. */
function callResult(parent: Result, path: string[], args: unknown[] | undefined): Result {
  if (parent.disposed) {
    const result = new Result();
    result.reject(new Error(DISPOSED_PROMISE));
    return result;
  }
  const slot = parent.slotForPipelining();
  if (slot !== undefined) return callThrough(slot, path, args);
  const result = new Result();
  result.delay();
  const settled = parent.settledValue;
  const value = settled !== undefined ? Promise.resolve().then(() => settled.value) : parent.promise;
  value.then((root) => callValue(root, path, args)).then(
    (found) => result.fulfill(found, EMPTY_GROUP),
    (error: unknown) => result.reject(error),
  );
  return result;
}

/** A result that has arrived is called here, by the rules its callee would have used. */
function callValue(root: unknown, path: string[], args: unknown[] | undefined): unknown {
  const reach = typeof root === "object" && root !== null ? (reachOf(root) ?? "class") : "own";
  return callMember(member(root, isStubLike(root) ? "class" : reach, path, NONE_RESERVED), path, args);
}

const NONE_RESERVED: ReadonlySet<string> = new Set();

// ---- the proxies

/** Names that every object has: a stub's own business, never a remote member. */
const OBJECT_NAMES: ReadonlySet<string> = new Set(Object.getOwnPropertyNames(Object.prototype));

abstract class RemoteHandler extends ClosedHandler<() => void> {
  /** The members a proxy of this kind has itself; undefined means that the name is remote. */
  protected abstract own(key: string | symbol, proxy: object): unknown;
  protected abstract step(name: string, proxy: object): unknown;

  override get(target: () => void, key: string | symbol, proxy: object): unknown {
    const own = this.own(key, proxy);
    if (own !== undefined) return own === ABSENT ? undefined : own;
    if (typeof key === "symbol" || OBJECT_NAMES.has(key)) return Reflect.get(target, key, proxy);
    return this.step(key, proxy);
  }
  override has(_target: () => void, key: string | symbol): boolean {
    return typeof key === "string" || key === DISPOSE;
  }
}

/** A name that reads as undefined rather than as a remote member. */
const ABSENT = Symbol("absent");

class StubHandler extends RemoteHandler {
  readonly #state: StubState;

  constructor(state: StubState) {
    super();
    this.#state = state;
  }

  static stateOf(handler: object): StubState | undefined {
    return #state in handler ? handler.#state : undefined;
  }

  protected override own(key: string | symbol): unknown {
    switch (key) {
      case "then":
        return ABSENT;
      case "dup":
        return () => newStub(this.#state.callee.retain(), "kept");
      case "onRpcBroken":
        return (callback: (error: unknown) => void) => this.#state.onBroken(callback);
      case DISPOSE:
        return () => this.#state.dispose();
      default:
        return undefined;
    }
  }
  protected override step(name: string, proxy: object): object {
    return newProperty(proxy, [name], this.#state);
  }
  override apply(_target: () => void, _thisArg: unknown, args: unknown[]): object {
    return promiseOf(this.#state.startCall([], args));
  }
}

const NOTHING = undefined as never;

class PromiseHandler extends RemoteHandler {
  readonly #result: Result;

  constructor(result: Result) {
    super();
    this.#result = result;
  }

  static resultOf(handler: object): Result | undefined {
    return #result in handler ? handler.#result : undefined;
  }

  protected override own(key: string | symbol): unknown {
    const { promise } = this.#result;
    switch (key) {
      case "then":
        // Defaults, so that its length is 0 as ever; a rest parameter would cost every `await` an array.
        return (fulfilled: never = NOTHING, rejected: never = NOTHING) => promise.then(fulfilled, rejected);
      case "catch":
      case "finally":
        return promise[key].bind(promise);
      case DISPOSE:
        return () => this.#result.dispose();
      default:
        return undefined;
    }
  }
  protected override step(name: string, proxy: object): object {
    return newProperty(proxy, [name], this.#result);
  }
  override apply(_target: () => void, _thisArg: unknown, args: unknown[]): object {
    return promiseOf(callResult(this.#result, [], args));
  }
}

class PropertyHandler extends RemoteHandler {
  /** The stub or promise itself, so that it is not collected before its property is used. */
  readonly #parent: object;
  readonly #path: string[];
  readonly #origin: Origin;

  constructor(parent: object, path: string[], origin: Origin) {
    super();
    this.#parent = parent;
    this.#path = path;
    this.#origin = origin;
  }

  static readerOf(handler: object): PropertyHandler | undefined {
    return #origin in handler ? handler : undefined;
  }

  read(): Promise<unknown> {
    return this.#origin.startCall(this.#path, undefined).promise;
  }

  protected override own(key: string | symbol): unknown {
    if (key !== "then" && key !== "catch" && key !== "finally") return undefined;
    return (...args: [never, never]) => {
      const promise = this.read();
      return (promise[key] as (...args: unknown[]) => unknown).apply(promise, args);
    };
  }
  protected override step(name: string): object {
    if (this.#path.length > PATH_SEGMENTS_MAX) throw tooDeep();
    return newProperty(this.#parent, [...this.#path, name], this.#origin);
  }
  override apply(_target: () => void, _thisArg: unknown, args: unknown[]): object {
    return promiseOf(this.#origin.startCall(this.#path, args));
  }
}

function tooDeep(): TypeError {
  return new TypeError(`RPC pipelined property path is too deep (max ${PATH_SEGMENTS_MAX}).`);
}

/** A place that calls start from: a stub, a promise, a service. */
export interface Origin {
  startCall(path: string[], args: unknown[] | undefined): Result;
}

const origins = new WeakSet<object>();

/** Notes another kind of stub (a service), whose properties are called through an origin of its own. */
export function registerOrigin(proxy: object): void {
  origins.add(proxy);
}

// Shared targets: the prototype is what `instanceof` sees, being an arrow is what makes a proxy callable.
const stubTarget = (): void => {};
const promiseTarget = (): void => {};
const propertyTarget = (): void => {};

/** A stub that takes over one reference to `callee`. */
export function newStub(callee: Callee, lifetime: Lifetime = "context"): object {
  const state = new StubState(callee, lifetime);
  const stub = platformProxy(stubTarget, new StubHandler(state));
  ownedBy(stub, state);
  return stub;
}

export function promiseOf(result: Result): object {
  return platformProxy(promiseTarget, new PromiseHandler(result));
}

/** A path from `parent`, called through `origin`. */
export function newProperty(parent: object, path: string[], origin: Origin): object {
  return platformProxy(propertyTarget, new PropertyHandler(parent, path, origin));
}

export function stubState(value: object): StubState | undefined {
  const handler = engine.proxyHandler(value);
  return handler === undefined ? undefined : StubHandler.stateOf(handler);
}

/** A promise of what an RpcPromise or RpcProperty stands for. */
export function promiseBehind(value: object): Promise<unknown> | undefined {
  const handler = engine.proxyHandler(value);
  if (handler === undefined) return undefined;
  return PromiseHandler.resultOf(handler)?.promise ?? PropertyHandler.readerOf(handler)?.read();
}

export function remoteClassName(value: object): string | undefined {
  const handler = engine.proxyHandler(value);
  if (handler === undefined) return undefined;
  if (PromiseHandler.resultOf(handler) !== undefined) return "RpcPromise";
  return PropertyHandler.readerOf(handler) === undefined ? undefined : "RpcProperty";
}

export function isPropertyOrPromise(value: unknown): boolean {
  return typeof value === "function" && remoteClassName(value) !== undefined;
}

/** A stub of an object or of a service: something whose members are elsewhere. */
export function isStubLike(value: unknown): boolean {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return false;
  const handler = engine.proxyHandler(value);
  return handler !== undefined && (StubHandler.stateOf(handler) !== undefined || origins.has(value));
}

// ---- the classes

export class RpcStub {
  constructor(object: unknown) {
    const isObject = (typeof object === "object" && object !== null) || typeof object === "function";
    const reach = isObject ? reachOf(object) : undefined;
    if (reach === undefined) {
      throw new TypeError("RpcStubs can only wrap plain objects, functions, and RpcTarget derivatives.");
    }
    return newStub(new LocalTarget(object as object, reach).retain()) as RpcStub;
  }
}

export class RpcPromise {
  constructor() {
    throw new TypeError("Illegal constructor");
  }
}

export class RpcProperty {
  constructor() {
    throw new TypeError("Illegal constructor");
  }
}

for (const [target, maker] of [
  [stubTarget, RpcStub],
  [promiseTarget, RpcPromise],
  [propertyTarget, RpcProperty],
] as const) {
  Object.setPrototypeOf(target, maker.prototype);
  Object.defineProperty(maker.prototype, Symbol.toStringTag, { value: maker.name, configurable: true });
}
