// Invocations: one event delivered to this Worker, and the `ctx` that its handler sees.
//
// An invocation counts the work that its event started (`waitUntil`, bodies still streaming) and
// says `Done` when there is none left. It also keeps what its handler received: stubs that nobody
// disposed are given back when the context closes, which is when it is done and nothing it
// exported is held by anyone. A call to an object that an invocation exported is a child: it has
// a number and work of its own but shares the context.
//
// Invariant: `Return` precedes `Done`, and each is sent once.

import { engine, wire } from "../ops.ts";
import type { Attached, CallId, Outcome } from "../ops.ts";
import { currentInvocation } from "./async-context.ts";
import { has } from "./compat.ts";
import { exportsOf } from "./exports.ts";
import { failureOf } from "./failures.ts";
import { restoreBy } from "./restore.ts";
import type { Restorer } from "./restore.ts";
import { mapVirtualHost } from "./sockets.ts";
import { Trace, tracing } from "./trace.ts";
import { startTimer } from "../web/timers.ts";

/** Something a context gives back when it ends. */
export interface Held {
  contextEnded(how: "closed" | "aborted"): void;
}

/** Whose event an invocation is, where that is a Durable Object's. */
export interface Actor {
  /** Marks what is thrown in it. */
  told(thrown: unknown): unknown;
  contextEnded(invocation: Invocation): void;
}

/** Why a context is no more. */
export interface Aborted {
  readonly reason: unknown;
  /** Calls that come now were on their way when it happened. */
  justNow: boolean;
}

/** What all calls into one context share. */
class Shared {
  readonly props: unknown;
  /** Made when the first comes: most contexts hold nothing. */
  held: Set<Held> | undefined;
  /** Objects of this context that others hold. */
  exportsLive = 0;
  callsLive = 0;
  aborted: Aborted | undefined;
  warnedOfLeak = false;
  /** Of an invocation that somebody follows. */
  trace: Trace | undefined;
  /** The invocation that is a Durable Object's event. */
  ofActor: Invocation | undefined;
  /** What the entrypoint's event is for. */
  served: { object: object; entrypoint: string } | undefined;

  constructor(props: unknown) {
    this.props = props;
  }
}

export class Invocation {
  readonly call: CallId;
  readonly ctx: ExecutionContext;
  /** What it returned, while others may call that (`rpc/serve.ts`). It keeps the invocation in the table. */
  answer: object | undefined;
  readonly #shared: Shared;
  #work = 1;
  #returned = false;
  #whenCanceled: ((reason: string) => void)[] | undefined;
  #cancelHeard: (() => boolean) | undefined;
  #actor: Actor | undefined;

  constructor(call: CallId, props: unknown, parent?: Invocation) {
    this.call = call;
    this.#shared = parent === undefined ? new Shared(props) : parent.#shared;
    this.ctx = parent === undefined ? new ExecutionContext(this, props) : parent.ctx;
    this.#shared.callsLive++;
    live.set(call, this);
  }

  /** What is told of this invocation, where somebody follows it. */
  get trace(): Trace | undefined {
    return this.#shared.trace;
  }

  traced(): void {
    this.#shared.trace = new Trace(this.call);
  }

  get aborted(): Aborted | undefined {
    return this.#shared.aborted;
  }

  /** Sends the outcome. What the event started goes on. */
  return(outcome: Outcome): void {
    if (this.#returned) return;
    this.#returned = true;
    try {
      wire.return(this.call, outcome);
    } catch (error) {
      // Too large to be sent: its caller hears that instead of waiting for ever.
      wire.return(this.call, ["failed", failureOf(error)]);
    }
    this.workDone();
  }

  /** The same for a value with plain attachments alone: the first `length` of `bytes`. */
  returnBytes(bytes: Uint8Array, length: number, attached?: Attached): void {
    if (this.#returned) return;
    this.#returned = true;
    const done = this.#work === 1 && this.#shared.trace === undefined;
    try {
      wire.returnValue(this.call, bytes, length, done, attached);
    } catch (error) {
      wire.return(this.call, ["failed", failureOf(error)]);
      return this.workDone();
    }
    if (!done) return this.workDone();
    this.#work = 0;
    this.#ended();
  }

  fail(thrown: unknown): void {
    const actor = this.#actor;
    this.return(["failed", failureOf(actor === undefined ? thrown : actor.told(thrown))]);
  }

  /** This event is a Durable Object's. */
  markActor(actor: Actor): void {
    this.#actor = actor;
    this.#shared.ofActor = this;
  }

  /** This event is for `object`, which the export `entrypoint` of the main module is or made. */
  serves(object: object, entrypoint: string): void {
    this.#shared.served = { object, entrypoint };
  }

  /** Whose method `ctx.restore()` calls. */
  restorer(): Restorer | undefined {
    const { served, props } = this.#shared;
    return served === undefined ? undefined : { ...served, call: this.call, props };
  }

  get isActor(): boolean {
    return this.#actor !== undefined;
  }

  workBegun(): void {
    this.#work++;
  }

  workDone(): void {
    if (--this.#work !== 0) return;
    this.#holdTrace();
    wire.done(this.call);
    this.#ended();
  }

  #ended(): void {
    if (this.answer === undefined) live.delete(this.call);
    if (actingFor === this.call) actingFor = undefined;
    this.#shared.callsLive--;
    this.#closeIfIdle();
  }

  /** Keeps the invocation going until `promise` settles; one that is done is not begun again. */
  waitUntil(promise: unknown): void {
    if (this.#work === 0) return void Promise.resolve(promise).catch((error: unknown) => wire.exception(undefined, failureOf(error)));
    this.workBegun();
    Promise.resolve(promise).then(
      () => this.workDone(),
      (error: unknown) => {
        wire.exception(this.trace?.call ?? this.call, failureOf(error));
        this.workDone();
      },
    );
  }

  /** The same for work of the platform's, whose errors have been told already. */
  follow(promise: Promise<unknown>): void {
    if (this.#work === 0) return engine.markHandled(promise);
    this.workBegun();
    const done = (): void => this.workDone();
    promise.then(done, done);
  }

  hold(held: Held): void {
    (this.#shared.held ??= new Set()).add(held);
  }

  letGo(held: Held): void {
    this.#shared.held?.delete(held);
  }

  /** Nobody can call what it returned any more. */
  answerGone(): void {
    this.answer = undefined;
    if (this.#work === 0) live.delete(this.call);
    this.exportGone();
  }

  exported(): void {
    this.#shared.exportsLive++;
  }

  exportGone(): void {
    this.#shared.exportsLive--;
    this.#closeIfIdle();
  }

  get isOpen(): boolean {
    return this.#shared.aborted === undefined && (this.#shared.callsLive > 0 || this.#shared.exportsLive > 0);
  }

  /** Calls to objects that this invocation exported belong to its trace. */
  #holdTrace(): void {
    const { trace, exportsLive, callsLive } = this.#shared;
    if (trace === undefined || trace.call !== this.call || (exportsLive === 0 && callsLive === 1)) return;
    trace.held = true;
    wire.traceHold(trace.call);
  }

  #closeIfIdle(): void {
    if (this.isOpen) return;
    this.#endHeld("closed");
    const { trace } = this.#shared;
    if (trace?.held !== true) return;
    trace.held = false;
    wire.traceEnd(trace.call);
  }

  #endHeld(how: "closed" | "aborted"): void {
    const { held, ofActor } = this.#shared;
    this.#shared.ofActor = undefined;
    if (ofActor !== undefined) ofActor.#actor?.contextEnded(ofActor);
    if (held === undefined || held.size === 0) return;
    const items = [...held];
    held.clear();
    for (const item of items) item.contextEnded(how);
  }

  /** `ctx.abort(reason)`: everything of this context fails with `reason`. */
  abort(reason: unknown): void {
    const shared = this.#shared;
    if (shared.aborted !== undefined) return;
    const aborted = { reason, justNow: true };
    shared.aborted = aborted;
    startTimer(() => {
      aborted.justNow = false;
    }, 0);
    for (const invocation of [...live.values()]) if (invocation.#shared === shared) invocation.fail(reason);
    this.#endHeld("aborted");
  }

  /** Says once a context that a stub was left to the collector. */
  leaked(): void {
    if (this.#shared.warnedOfLeak) return;
    this.#shared.warnedOfLeak = true;
    wire.log(
      this.trace?.call ?? this.call,
      "warn",
      "An RPC stub was not disposed: it was left to the garbage collector, which may take long to find it. " +
        "Dispose a stub (or the result it came in) with [Symbol.dispose]() or a `using` declaration.",
    );
  }

  /** `heard` tells whether anybody listens to what `callback` would do. */
  whenCanceled(callback: (reason: string) => void, heard: () => boolean): void {
    (this.#whenCanceled ??= []).push(callback);
    this.#cancelHeard = heard;
  }

  /** Whether the caller's leaving would make a difference here. */
  get mayBeCanceled(): boolean {
    return !this.#returned && this.#cancelHeard?.() === true;
  }

  canceled(reason: string): void {
    if (this.#work === 0) return;
    const callbacks = this.#whenCanceled;
    this.#whenCanceled = undefined;
    for (const callback of callbacks ?? []) callback(reason);
  }
}

/** Invocations that are not done, or whose answer may be called. */
const live = new Map<CallId, Invocation>();

export function invocationOf(call: CallId): Invocation | undefined {
  return live.get(call);
}

let actingFor: CallId | undefined;

/**
 * Tells the host whose subrequests the next calls are; it could only bound the sum of all that it has
 * delivered, which are more than those that have begun here.
 */
export function actFor(invocation: Invocation | undefined): void {
  const call = invocation?.call;
  if (call === actingFor) return;
  actingFor = call;
  wire.acting(call);
}

export function cancelInvocation(call: CallId, reason: string): void {
  live.get(call)?.canceled(reason);
}

/** Whether an unanswered invocation may learn of its caller's leaving. */
export function mayBeCanceled(): boolean {
  for (const invocation of live.values()) if (invocation.mayBeCanceled) return true;
  return false;
}

/** Fails the invocation of that call, if it has no outcome yet. */
export function failCall(call: CallId, error: unknown): void {
  live.get(call)?.fail(error);
}

/** Fails every invocation that has no outcome yet. */
export function failUnanswered(error: unknown): void {
  for (const invocation of [...live.values()]) invocation.fail(error);
}

/** Binds a waitUntil of the platform's to the invocation under way, if there is one. */
export function followCurrent(promise: Promise<unknown>): void {
  const invocation = currentInvocation();
  if (invocation !== undefined) invocation.follow(promise);
  else engine.markHandled(promise);
}

/** The invocation that stubs made now end with. What an object makes lasts as long as it is referenced. */
export function owningInvocation(): Invocation | undefined {
  const invocation = currentInvocation();
  return invocation?.isActor === true ? undefined : invocation;
}

/** The `waitUntil` that `cloudflare:workers` exports. */
export function waitUntil(promise: unknown): void {
  const invocation = currentInvocation();
  if (invocation === undefined) {
    throw new Error(
      "Disallowed operation called within global scope. waitUntil() needs an invocation: call it while a " +
        "handler runs.",
    );
  }
  invocation.waitUntil(promise);
}

export class ExecutionContext {
  #invocation: Invocation;
  #props: unknown;

  constructor(invocation: Invocation, props: unknown) {
    if (!(invocation instanceof Invocation)) throw new TypeError("Illegal constructor");
    this.#invocation = invocation;
    this.#props = props;
  }

  waitUntil(promise: unknown): void {
    this.#invocation.waitUntil(promise);
  }

  passThroughOnException(): void {
    void this.#invocation;
  }

  abort(reason: unknown): void {
    this.#invocation.abort(reason ?? new Error("The execution context was aborted."));
  }

  get props(): unknown {
    return this.#props;
  }

  /** A made-up `host:port` at which `connect()` reaches `service`. */
  get mapVirtualHost(): ((service: unknown, port: unknown) => string) | undefined {
    void this.#invocation;
    return has("experimental") ? mapVirtualHost : undefined;
  }

  get restore(): ((args: unknown) => Promise<object>) | undefined {
    const invocation = this.#invocation;
    return has("allow_irrevocable_stub_storage") ? (args) => restoreBy(invocation.restorer(), args) : undefined;
  }

  /** Who passed Cloudflare Access; there is no Access here. */
  get access(): undefined {
    void this.#invocation;
    return undefined;
  }

  get tracing(): unknown {
    void this.#invocation;
    return tracing;
  }

  get exports(): unknown {
    void this.#invocation;
    return has("enable_ctx_exports") ? exportsOf() : undefined;
  }
}
Object.defineProperty(ExecutionContext.prototype, Symbol.toStringTag, { value: "ExecutionContext", configurable: true });
for (const name of ["waitUntil", "passThroughOnException", "abort", "props", "exports", "access", "tracing", "mapVirtualHost", "restore"]) {
  Object.defineProperty(ExecutionContext.prototype, name, { enumerable: true });
}
