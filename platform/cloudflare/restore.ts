// `ctx.restore(args)`: what the own `[restore](args)` gives, as a stub that can be stored.
//
// The method runs here. What it gave goes to the host with the args, which makes one capability of the two:
// calls go to what the method gave, and whoever stores the stub stores whose method it was and the args.
// A stub that is read back has its method called again, by the event `restore`.
//
// Invariant: what is named in a frame is held until the frame has gone, whatever the method does meanwhile.

import { wire } from "../ops.ts";
import type { ActorId, Attachment, CallId, Payload } from "../ops.ts";
import { classOf } from "./actors/class.ts";
import { deliverThrough } from "./calls.ts";
import { Cap, hold, newSlot } from "./caps.ts";
import type { Invocation } from "./context.ts";
import { describe } from "./errors.ts";
import { errorOf } from "./failures.ts";
import { newService, serviceOf } from "./fetcher.ts";
import { NO_PROPS } from "./payloads.ts";
import { packNow, ship, unpack } from "./rpc/message.ts";
import type { External } from "./rpc/message.ts";
import { newStub, stubState } from "./rpc/stub.ts";
import { LocalTarget, RpcTarget, isFunctionForRpc } from "./rpc/target.ts";
import { RESTORE } from "./symbols.ts";

/** Whose method it is. */
export interface Restorer {
  object: object;
  call: CallId;
  /** Of a Durable Object. */
  actor?: ActorId;
  /** Of an entrypoint. */
  entrypoint: string;
  props: unknown;
}

/** What a method gave, for the wire. */
interface Given {
  target: Attachment;
  kind: "service" | "object";
  /** Gives up what the method gave. */
  letGo(): void;
}

const NO_STUB = "The [restore]() method must return a ServiceStub or RpcStub.";

async function callMethod(object: object, args: unknown): Promise<Given> {
  const method: unknown = Reflect.get(object, RESTORE);
  if (typeof method !== "function") {
    throw new TypeError("The WorkerEntrypoint or DurableObject class does not implement a [restore]() method.");
  }
  const given: unknown = await Reflect.apply(method, object, [args]);
  return givenOf(given);
}

function givenOf(value: unknown): Given {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) throw new TypeError(NO_STUB);
  const service = serviceOf(value);
  if (service !== undefined) {
    const { id, kind } = service.cap();
    return { target: ["cap", id, kind], kind: "service", letGo: () => {} };
  }
  const stub = stubState(value);
  if (stub !== undefined) {
    const { callee } = stub;
    const target: Attachment = callee instanceof Cap ? ["cap", callee.id, callee.kind] : ["export", callee.export()];
    return { target, kind: "object", letGo: () => stub.dispose() };
  }
  if (classOf(value) !== undefined) throw new TypeError(NO_STUB);
  const reach = value instanceof RpcTarget ? "class" : isFunctionForRpc(value) ? "own" : undefined;
  if (reach === undefined) throw new TypeError(NO_STUB);
  return { target: ["export", new LocalTarget(value, reach).export()], kind: "object", letGo: () => {} };
}

/** `ctx.restore(args)`. */
export async function restoreBy(restorer: Restorer | undefined, args: unknown): Promise<object> {
  if (typeof args !== "object" || args === null) {
    throw new TypeError(`ctx.restore(args): args must be an object, not ${describe(args)}.`);
  }
  if (restorer === undefined) throw new Error("ctx.restore() needs an instance: its constructor has not returned yet.");
  const packed = packNow(args, "props");
  const props = packNow(restorer.props ?? {}, "props");
  const held = [...packed.externals, ...props.externals].map(retained);
  try {
    const { target, kind, letGo } = await callMethod(restorer.object, args);
    const slot = newSlot();
    wire.restored(slot, restorer.call, restorer.actor, restorer.entrypoint, ship(props), ship(packed), target);
    const cap = hold(slot, kind);
    letGo();
    // The host may know no way back here.
    const outcome = await deliverThrough(cap, ["restore", NO_PROPS]);
    if (outcome[0] === "failed") {
      cap.release();
      throw errorOf(outcome[1]);
    }
    return kind === "service" ? newService(cap) : newStub(cap);
  } finally {
    for (const one of held) one?.release();
  }
}

function retained(external: External): Cap | LocalTarget | undefined {
  if (external.kind === "cap") return external.cap.retain();
  return external.kind === "local" ? external.target.retain() : undefined;
}

/** The event `restore`: a stub of this was stored, and is used. */
export async function serveRestore(invocation: Invocation, object: object, args: Payload): Promise<void> {
  const { target, letGo } = await callMethod(object, unpack(args).value);
  invocation.return(["restored", target]);
  letGo();
}
