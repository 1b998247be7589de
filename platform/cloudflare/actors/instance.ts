// Instances of Durable Objects in this guest: their construction, their events in order, their end.
//
// An instance is made with its first event. Events go to it in the order in which they came, each at
// once, unless its constructor or a `blockConcurrencyWhile()` holds the others back. It ends when the
// host says so (idle, aborted from above) or when it breaks: its constructor or a blocking callback
// threw, or `ctx.abort()` was called. Whatever is under way in it then fails with the reason.
//
// Invariant: an ended instance is given no event and asks its storage nothing.

import { engine, wire } from "../../ops.ts";
import type {
  ActorId, ActorStart, Attached, CallEvent, CallId, Failure, RpcArguments, RpcPath, SocketEvent, StorageReply, StorageRequest,
} from "../../ops.ts";
import { currentInvocation, frameOf, runIn } from "../async-context.ts";
import { has } from "../compat.ts";
import { Invocation } from "../context.ts";
import type { Actor } from "../context.ts";
import { DurableObject } from "../entrypoint-classes.ts";
import { ownEnv } from "../env.ts";
import { afterStart, deliverTo, ENTRYPOINT_RESERVED, mainExport, mainRan } from "../entrypoint.ts";
import { dataCloneError } from "../errors.ts";
import { errorOf, failureOf } from "../failures.ts";
import type { Restorer } from "../restore.ts";
import { pathOf, serveRpc } from "../rpc/serve.ts";
import type { ArgumentsOf } from "../rpc/serve.ts";
import { member } from "../rpc/target.ts";
import type { Member } from "../rpc/target.ts";
import { unpack } from "../rpc/message.ts";
import { startTimer } from "../../web/timers.ts";
import { HostSockets } from "./sockets.ts";
import { newState } from "./state.ts";

/** How long a constructor's or a handler's `blockConcurrencyWhile()` may hold others back. */
const BLOCK_MS_MAX = 30_000;

/** Microtasks between two events that were held back: the first has begun before the second does. */
const TICKS_BETWEEN = 6;

const NO_RPC =
  "The receiving Durable Object does not support RPC, because its class was not declared with " +
  "`extends DurableObject`. In order to enable RPC, make sure your class extends the special class " +
  '`DurableObject`, which can be imported from the module "cloudflare:workers".';

type ActorClass = new (state: unknown, env: unknown) => object;

const instances = new Map<ActorId, Instance>();

export class Instance implements Actor {
  readonly number: ActorId;
  readonly start: ActorStart;
  readonly props: unknown;
  readonly sockets: HostSockets = new HostSockets(this);
  #object: object | undefined;
  #constructing = false;
  #ended: { reason: unknown } | undefined;
  /** Reasons to hold events back. */
  #blocks = 0;
  #waiting: (() => void)[] = [];
  #draining = false;
  readonly #running = new Set<Invocation>();
  #last: Invocation | undefined;

  constructor(number: ActorId, start: ActorStart) {
    this.number = number;
    this.start = start;
    this.props = start.props.bytes.length === 0 ? {} : unpack(start.props).value;
  }

  get object(): object {
    return this.#object as object;
  }

  get ended(): { reason: unknown } | undefined {
    return this.#ended;
  }

  /** Whether the class handles alarms. */
  get handlesAlarms(): boolean {
    const holder = this.#object ?? (mainExport(this.start.class) as { prototype?: object } | undefined)?.prototype;
    return typeof (holder as { alarm?: unknown } | undefined)?.alarm === "function";
  }

  /** Whose method `ctx.restore()` calls; nobody's before the constructor has returned. */
  restorer(): Restorer | undefined {
    if (this.#ended !== undefined) throw this.#ended.reason;
    const object = this.#object;
    return object === undefined ? undefined : { object, call: 0, actor: this.number, entrypoint: "", props: undefined };
  }

  /** The event under way, or the last one. */
  invocation(): Invocation | undefined {
    return currentInvocation() ?? this.#last;
  }

  contextEnded(invocation: Invocation): void {
    this.#running.delete(invocation);
  }

  /** The invocation of an event; undefined if the instance has ended, which it is told. */
  #begin(call: CallId, traced: boolean): Invocation | undefined {
    const invocation = new Invocation(call, undefined);
    if (traced) invocation.traced();
    invocation.markActor(this);
    if (this.#ended !== undefined) {
      invocation.fail(this.#ended.reason);
      return undefined;
    }
    this.#running.add(invocation);
    this.#last = invocation;
    return invocation;
  }

  deliverRpc(call: CallId, path: string[], args: ArgumentsOf, attached: Attached, traced: boolean): void {
    const invocation = this.#begin(call, traced);
    if (invocation === undefined) return;
    const entered = this.#enter(invocation);
    const find = (): Member => this.#member(path);
    serveRpc(invocation, path, args, attached, entered === undefined ? find : () => entered.then(find));
  }

  deliver(call: CallId, event: CallEvent, traced: boolean): void {
    if (event[0] === "rpc") return this.deliverRpc(call, event[1], event[2], undefined, traced);
    const invocation = this.#begin(call, traced);
    if (invocation === undefined) return;
    const entered = this.#enter(invocation);
    const handle = (): Promise<void> => (isSocketEvent(event) ? this.sockets.hear(invocation, event) : deliverTo(invocation, this.object, event));
    const run = (): unknown => runIn(frameOf(invocation), handle);
    const work = entered === undefined ? Promise.try(run) : entered.then(run);
    work.catch((error: unknown) => invocation.fail(error));
  }

  #member(path: string[]): Member {
    // The flag is of the time before there was a class to extend.
    if (!(this.object instanceof DurableObject) && !has("js_rpc")) throw new TypeError(NO_RPC);
    return member(this.object, "class", path, ENTRYPOINT_RESERVED);
  }

  /** Errors say whose they are. */
  told(error: unknown): unknown {
    if (typeof error === "object" && error !== null && !("durableObjectId" in error)) {
      try {
        Object.defineProperty(error, "durableObjectId", {
          value: this.start.id,
          writable: true,
          enumerable: true,
          configurable: true,
        });
      } catch {
        // A frozen error travels as it is.
      }
    }
    return error;
  }

  // ---- order

  /** Undefined where the event may begin at once; else it may once the promise is fulfilled. */
  #enter(invocation: Invocation): Promise<void> | undefined {
    if (!this.#constructing) {
      this.#constructing = true;
      if (mainRan()) {
        runIn(frameOf(invocation), () => this.#construct());
      } else {
        this.#blocks++;
        void afterStart(() => {
          runIn(frameOf(invocation), () => this.#construct());
          this.#unblock();
        });
      }
    }
    if (this.#ended === undefined && this.#blocks === 0 && this.#waiting.length === 0) return undefined;
    return new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      if (this.#blocks === 0) void this.#drain();
    }).then(() => {
      if (this.#ended !== undefined) throw this.#ended.reason;
    });
  }

  #construct(): void {
    try {
      const found = mainExport(this.start.class);
      if (typeof found !== "function") {
        throw new Error(`The Worker has no Durable Object class "${this.start.class}".`);
      }
      this.#object = new (found as ActorClass)(newState(this), ownEnv());
    } catch (error) {
      this.break(error);
    }
  }

  #unblock(): void {
    if (--this.#blocks === 0) void this.#drain();
  }

  async #drain(): Promise<void> {
    if (this.#draining) return;
    this.#draining = true;
    while (this.#waiting.length > 0 && (this.#blocks === 0 || this.#ended !== undefined)) {
      (this.#waiting.shift() as () => void)();
      for (let i = 0; i < TICKS_BETWEEN; i++) await undefined;
    }
    this.#draining = false;
  }

  /** Runs `work` while no other event is delivered. */
  async critical<T>(work: () => T): Promise<Awaited<T>> {
    this.#blocks++;
    try {
      return await work();
    } finally {
      this.#unblock();
    }
  }

  /** `ctx.blockConcurrencyWhile()`: what goes wrong in it is the end of the instance. */
  blockConcurrencyWhile(callback: () => unknown): Promise<unknown> {
    if (this.#ended !== undefined) throw this.#ended.reason;
    if (typeof callback !== "function") throw new TypeError("blockConcurrencyWhile() needs a function.");
    const { promise: timeout, reject } = Promise.withResolvers<never>();
    const stopTimer = startTimer(() => {
      reject(
        new Error(
          "A call to blockConcurrencyWhile() in a Durable Object waited for too long. The call was canceled and the " +
            "Durable Object was reset.",
        ),
      );
    }, BLOCK_MS_MAX);
    const done = this.critical(() => Promise.race([Promise.try(callback), timeout])).then(
      (value) => {
        stopTimer();
        return value;
      },
      (error: unknown) => {
        stopTimer();
        this.break(error);
        throw error;
      },
    );
    engine.markHandled(timeout);
    engine.markHandled(done);
    this.invocation()?.follow(done);
    return done;
  }

  // ---- the end

  /** The instance is over by its own doing. */
  break(reason: unknown): void {
    if (this.#ended !== undefined) return;
    const error = resetError(reason);
    instances.delete(this.number);
    this.#ended = { reason: error };
    wire.actorBroken(this.number, failureOf(this.told(error)));
    this.#failAll(error);
  }

  /** The host ended it. */
  stop(failure: Failure): void {
    if (this.#ended !== undefined) return;
    instances.delete(this.number);
    const reason = errorOf(failure);
    this.#ended = { reason };
    this.#failAll(reason);
  }

  #failAll(reason: unknown): void {
    for (const invocation of [...this.#running]) invocation.abort(reason);
    this.#running.clear();
    void this.#drain();
  }

  // ---- storage

  /** Asks the storage and waits for the reply; failures are thrown. */
  ask(request: StorageRequest): Exclude<StorageReply, ["failed", ...unknown[]]> {
    if (this.#ended !== undefined) throw this.#ended.reason;
    const reply = wire.storage(this.number, request);
    if (reply[0] !== "failed") return reply;
    const [, name, message] = reply;
    if (name === "DataCloneError") throw dataCloneError(message);
    throw name === "TypeError" ? new TypeError(message) : new Error(message);
  }
}

function isSocketEvent(event: CallEvent): event is SocketEvent {
  return event[0] === "socketText" || event[0] === "socketBytes" || event[0] === "socketClose" || event[0] === "socketError";
}

/** The reason as an error that says what happened to the object. */
function resetError(reason: unknown): Error {
  const error = reason instanceof Error ? reason : new Error(String(reason));
  try {
    Object.defineProperty(error, "durableObjectReset", {
      value: true,
      writable: true,
      enumerable: true,
      configurable: true,
    });
  } catch {
    // A frozen error travels as it is.
  }
  return error;
}

export function startActor(number: ActorId, start: ActorStart): void {
  instances.set(number, new Instance(number, start));
}

export function invokeActor(call: CallId, number: ActorId, event: CallEvent, traced?: boolean): void {
  const instance = instances.get(number);
  if (instance !== undefined) return instance.deliver(call, event, traced === true);
  failReset(call);
}

export function invokeActorRpc(
  call: CallId,
  number: ActorId,
  path: RpcPath,
  args: RpcArguments,
  attached: Attached,
  traced?: boolean,
): void {
  const instance = instances.get(number);
  if (instance !== undefined) return instance.deliverRpc(call, pathOf(path), args, attached, traced === true);
  failReset(call);
}

/** It broke while the event was on its way. */
function failReset(call: CallId): void {
  new Invocation(call, undefined).fail(resetError("The Durable Object was reset before this event reached it."));
}

export function stopActor(number: ActorId, failure: Failure): void {
  instances.get(number)?.stop(failure);
}
