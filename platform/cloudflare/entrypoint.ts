// Dispatch: which export an event is for, and how it is called.
//
// An export is a plain object of handlers (`fetch(request, env, ctx)`), a class that extends
// `WorkerEntrypoint` and is constructed for every invocation with `(ctx, env)`, or a plain class
// used the same way. The list of them goes to the host once the main module has run.
//
// Invariant: an event reaches user code only after the main module has been evaluated.

import { engine, wire } from "../ops.ts";
import type {
  Attached, CallEvent, CallId, EntrypointInfo, Payload, RequestHead, RpcArguments, RpcPath, StartInfo,
} from "../ops.ts";
import { frameOf, runIn } from "./async-context.ts";
import { Invocation } from "./context.ts";
import { DurableObject, WorkflowEntrypoint } from "./entrypoint-classes.ts";
import { ownEnv } from "./env.ts";
import { defineExports } from "./exports.ts";
import { failureOf } from "./failures.ts";
import { batchOf, packResult } from "./queues.ts";
import { followStream, traceItems } from "./tails.ts";
import { warnOnce } from "./trace.ts";
import { serveRestore } from "./restore.ts";
import { pathOf, returnResponse, serveRpc } from "./rpc/serve.ts";
import type { ArgumentsOf, Invoke } from "./rpc/serve.ts";
import { unpack } from "./rpc/message.ts";
import { exportsOf } from "./service-worker.ts";
import { callMember, member, pathName } from "./rpc/target.ts";
import type { Member } from "./rpc/target.ts";
import { acceptedSocket, releaseSocket } from "./sockets.ts";
import { abortSignal, createSignal, isListenedTo } from "../web/abort.ts";
import { domException } from "./errors.ts";
import { requestFromWire } from "../web/fetch-wire.ts";
import { isResponse } from "../web/response.ts";

type Handler = (this: unknown, ...args: unknown[]) => unknown;
type EntrypointClass = new (ctx: unknown, env: unknown) => object;

let main: Record<string, unknown> | undefined;
let starting: Promise<unknown> | undefined;

/** Evaluates the main module and tells the host what it exports. */
export function startMain(info: StartInfo): void {
  main = undefined;
  lastName = undefined;
  starting = engine.importModule(info.mainModule).then(
    (namespace) => {
      main = exportsOf(namespace);
      const entrypoints = entrypointsOf(main);
      defineExports(entrypoints, info.actors);
      wire.started(entrypoints);
    },
    (error: unknown) => wire.startFailed(failureOf(error)),
  );
}

/** Whether the main module has been evaluated. */
export function mainRan(): boolean {
  return main !== undefined;
}

const HANDLERS = ["fetch", "scheduled", "tail", "tailStream", "queue", "connect", "email", "test", "trace", "alarm"];

function entrypointsOf(namespace: Record<string, unknown>): EntrypointInfo[] {
  const found: EntrypointInfo[] = [];
  for (const name of Object.keys(namespace)) {
    const value = namespace[name];
    const kind = kindOf(value);
    if (kind === undefined) continue;
    const holder = (typeof value === "function" ? value.prototype : value) as Record<string, unknown>;
    found.push({ name, kind, handlers: HANDLERS.filter((handler) => typeof holder[handler] === "function") });
  }
  return found;
}

let lastValue: unknown;
let lastKind: EntrypointInfo["kind"] | undefined;

/** `kindOf`, which is asked of the same export for every event. */
function kindOfExport(value: unknown): EntrypointInfo["kind"] | undefined {
  if (value !== lastValue) {
    lastKind = kindOf(value);
    lastValue = value;
  }
  return lastKind;
}

function kindOf(value: unknown): EntrypointInfo["kind"] | undefined {
  if (typeof value === "function") {
    // Only classes have a prototype that cannot be replaced; the other functions that a module exports
    // (a library may export thousands) are no entrypoints.
    const prototype = Object.getOwnPropertyDescriptor(value, "prototype");
    if (prototype === undefined || prototype.writable === true) return undefined;
    const proto: unknown = prototype.value;
    if (typeof proto !== "object" || proto === null) return undefined;
    if (proto instanceof DurableObject) return "durableObject";
    return proto instanceof WorkflowEntrypoint ? undefined : "class";
  }
  return typeof value === "object" && value !== null ? "object" : undefined;
}

export function invoke(call: CallId, entrypoint: string, props: Payload, event: CallEvent, traced?: boolean): void {
  const arrived = unpackProps(props);
  const invocation = new Invocation(call, arrived);
  if (traced === true) invocation.traced();
  if (event[0] === "rpc") return serveEntrypoint(invocation, entrypoint || "default", event[1], event[2], undefined);
  const run = (): unknown => runIn(frameOf(invocation), () => deliver(invocation, entrypoint || "default", event));
  const work = main !== undefined ? Promise.try(run) : afterStart(run);
  work.catch((error: unknown) => invocation.fail(error));
}

export function invokeRpc(
  call: CallId,
  entrypoint: string,
  path: RpcPath,
  args: RpcArguments,
  attached: Attached,
  traced?: boolean,
): void {
  const invocation = new Invocation(call, {});
  if (traced === true) invocation.traced();
  serveEntrypoint(invocation, entrypoint || "default", pathOf(path), args, attached);
}

function serveEntrypoint(
  invocation: Invocation,
  entrypoint: string,
  path: string[],
  args: ArgumentsOf,
  attached: Attached,
): void {
  let target: Target | undefined;
  const find = (): Member => {
    target = targetOf(entrypoint, invocation);
    return member(target.object, target.isClass ? "class" : "own", path, ENTRYPOINT_RESERVED);
  };
  // A class's member is called as any other.
  const invoke: Invoke = (found, at, values) =>
    target?.isClass === true ? callMember(found, at, values) : callEntrypoint(invocation, found, at, values);
  serveRpc(invocation, path, args, attached, main !== undefined ? find : () => afterStart(find), invoke);
}

function unpackProps(props: Payload): unknown {
  return props.bytes.length === 0 ? {} : unpack(props).value;
}

export async function afterStart<T>(work: () => T): Promise<Awaited<T>> {
  await starting;
  // If the start failed the host ends this guest; there is nobody left to answer to.
  if (main === undefined) throw new Error("The Worker did not start.");
  return await work();
}

/** An export that there is. Exports never go, but a module may give one another value. */
let lastName: string | undefined;

/** An export of the main module; undefined before that has run. */
export function mainExport(name: string): unknown {
  if (main === undefined) return undefined;
  if (name !== lastName) {
    if (!Object.hasOwn(main, name)) return undefined;
    lastName = name;
  }
  return main[name];
}

// ---- what an event is delivered to

interface Target {
  object: object;
  isClass: boolean;
}

function targetOf(name: string, invocation: Invocation): Target {
  const value = mainExport(name);
  const kind = kindOfExport(value);
  if (kind === undefined) throw new Error(`Worker does not export an entrypoint named "${name}"`);
  if (kind === "object") {
    invocation.serves(value as object, name);
    return { object: value as object, isClass: false };
  }
  if (kind === "durableObject") {
    throw new Error(`"${name}" is a Durable Object class; it cannot be called as an entrypoint.`);
  }
  const instance = new (value as EntrypointClass)(invocation.ctx, ownEnv());
  invocation.serves(instance, name);
  return { object: instance, isClass: true };
}

/** Names that an entrypoint keeps for events and for the stub itself. */
export const ENTRYPOINT_RESERVED: ReadonlySet<string> = new Set([
  "fetch",
  "connect",
  "alarm",
  "webSocketMessage",
  "webSocketClose",
  "webSocketError",
  "dup",
  "constructor",
]);

function deliver(invocation: Invocation, name: string, event: CallEvent): Promise<void> {
  if (event[0] === "alarm") throw new TypeError("An alarm is not for an entrypoint.");
  return deliverEvent(invocation, targetOf(name, invocation), event);
}

/** Delivers an event to an instance of a Durable Object. */
export function deliverTo(invocation: Invocation, object: object, event: CallEvent): Promise<void> {
  return deliverEvent(invocation, { object, isClass: true }, event);
}

function deliverEvent(invocation: Invocation, target: Target, event: CallEvent): Promise<void> {
  switch (event[0]) {
    case "fetch":
      return deliverFetch(invocation, target, event);
    case "scheduled":
      return deliverScheduled(invocation, target, event);
    case "tail":
      return deliverTail(invocation, target, event[1]);
    case "tailStream":
      return deliverTailStream(invocation, target, event[1]);
    case "queue":
      return deliverQueue(invocation, target, event);
    case "connect":
      return deliverConnect(invocation, target, event);
    case "restore":
      return serveRestore(invocation, target.object, event[1]);
    case "alarm":
      return deliverAlarm(invocation, target, event);
    default:
      throw new TypeError(`A ${event[0]} event is not for an entrypoint.`);
  }
}

async function deliverAlarm(
  invocation: Invocation,
  target: Target,
  [, scheduledTime, retryCount]: Extract<CallEvent, ["alarm", ...unknown[]]>,
): Promise<void> {
  const handler = handlerOf(target, "alarm", "Handler does not export an alarm() function.");
  await callHandler(target, handler, { scheduledTime, retryCount, isRetry: retryCount > 0 }, invocation);
  invocation.return(["nothing", false]);
}

async function deliverFetch(
  invocation: Invocation,
  target: Target,
  [, head, body]: Extract<CallEvent, ["fetch", ...unknown[]]>,
): Promise<void> {
  const handler = handlerOf(target, "fetch", "Handler does not export a fetch() function.");
  const signal = createSignal();
  invocation.whenCanceled(
    () => abortSignal(signal, domException("The client has disconnected.", "AbortError")),
    () => isListenedTo(signal),
  );
  const request = requestFromWire(head, body, signal);
  const response = await callHandler(target, handler, request, invocation);
  if (isResponse(response) && response.webSocket !== null && !asksForWebSocket(head)) {
    throw new TypeError(
      "Worker tried to return a WebSocket in a response to a request which did not contain the header " +
        '"Upgrade: websocket".',
    );
  }
  returnResponse(invocation, response);
}

function asksForWebSocket({ headers }: RequestHead): boolean {
  return headers.some((name, at) => {
    return at % 2 === 0 && name.toLowerCase() === "upgrade" && headers[at + 1]?.toLowerCase() === "websocket";
  });
}

async function deliverScheduled(
  invocation: Invocation,
  target: Target,
  [, time, cron]: Extract<CallEvent, ["scheduled", ...unknown[]]>,
): Promise<void> {
  const handler = handlerOf(target, "scheduled", "Handler does not export a scheduled() function");
  const controller = new ScheduledController(time, cron);
  await callHandler(target, handler, controller, invocation);
  invocation.return(["nothing", !controller.retry]);
}

async function deliverTail(invocation: Invocation, target: Target, items: string): Promise<void> {
  const name = typeof (target.object as Record<string, unknown>)["tail"] === "function" ? "tail" : "trace";
  const handler = handlerOf(target, name, "Handler does not export a tail() function.");
  await callHandler(target, handler, traceItems(items), invocation);
  invocation.return(["nothing", false]);
}

function deliverTailStream(invocation: Invocation, target: Target, events: string): Promise<void> {
  const find = (): ((event: unknown) => unknown) | undefined => {
    const handler = (target.object as Record<string, unknown>)["tailStream"];
    if (typeof handler !== "function") return undefined;
    return (event) => callHandler(target, handler as Handler, event, invocation);
  };
  return followStream(invocation, find, events);
}

/** What the handler said of the messages counts even if it threw in the end. */
async function deliverQueue(
  invocation: Invocation,
  target: Target,
  [, queue, , payload]: Extract<CallEvent, ["queue", ...unknown[]]>,
): Promise<void> {
  const handler = handlerOf(target, "queue", "Handler does not export a queue() function.");
  const { event, result, asText } = batchOf(queue, payload);
  try {
    await callHandler(target, handler, event, invocation);
  } catch (error) {
    result.outcome = "exception";
    wire.exception(invocation.call, failureOf(error));
  }
  invocation.return(["value", packResult(result, asText)]);
}

/** The connection is open as soon as somebody takes it, and ends with the handler. */
async function deliverConnect(
  invocation: Invocation,
  target: Target,
  [, authority, , readable, writable]: Extract<CallEvent, ["connect", ...unknown[]]>,
): Promise<void> {
  const handler = handlerOf(target, "connect", "Handler does not export a connect() function.");
  const socket = acceptedSocket(authority, readable, writable);
  invocation.workBegun();
  invocation.return(["connected", undefined]);
  let failed: { error: unknown } | undefined;
  try {
    await callHandler(target, handler, socket, invocation);
  } catch (error) {
    failed = { error };
    wire.exception(invocation.call, failureOf(error));
  }
  await releaseSocket(socket, failed);
  invocation.workDone();
}

const HINTS = new Map([
  ["fetch", "Received a FetchEvent but we lack a handler for FetchEvents. Did you remember to export a fetch() function?"],
  [
    "scheduled",
    "Received a ScheduledEvent but we lack a handler for ScheduledEvents (a.k.a. Cron Triggers). Did you remember to " +
      "export a scheduled() function?",
  ],
  ["trace", "Attempted to send events but we lack a handler, did you remember to export a tail() function?"],
  ["connect", "Received a connect event but we lack a handler. Did you remember to export a connect() function?"],
  ["queue", "Received a QueueEvent but we lack a handler for QueueEvents. Did you remember to export a queue() function?"],
]);

function handlerOf(target: Target, name: string, missing: string): Handler {
  const handler: unknown = (target.object as Record<string, unknown>)[name];
  if (typeof handler !== "function") {
    const hint = HINTS.get(name);
    if (hint !== undefined) warnOnce(hint);
    throw new Error(missing);
  }
  return handler as Handler;
}

function callHandler(target: Target, handler: Handler, subject: unknown, { ctx }: Invocation): unknown {
  const args = target.isClass ? [subject] : [subject, ownEnv(), ctx];
  return Reflect.apply(handler, target.object, args);
}

/** What `scheduled()` gets. */
class ScheduledController {
  readonly scheduledTime: number;
  readonly cron: string;
  #retry = true;

  constructor(time: number, cron: string) {
    this.scheduledTime = time;
    this.cron = cron;
  }
  get retry(): boolean {
    return this.#retry;
  }
  noRetry(): void {
    this.#retry = false;
  }
}

// ---- RPC on an entrypoint

/** Calls a member of an entrypoint that is an object of handlers. */
function callEntrypoint(
  { ctx }: Invocation,
  found: Member,
  path: readonly string[],
  args: unknown[] | undefined,
): unknown {
  if (args === undefined || typeof found.value !== "function") return callMember(found, path, args);
  const name = pathName(path);
  if (found.value.length > 3) {
    throw new TypeError(
      `Cannot call handler function "${name}" over RPC because it has the wrong number of arguments. A simple ` +
        "function handler can only be called over RPC if it has exactly the arguments (arg, env, ctx), where only " +
        "the first argument comes from the client. To support multi-argument RPC functions, use class-based syntax " +
        "(extending WorkerEntrypoint) instead.",
    );
  }
  if (args.length !== 1) {
    throw new TypeError(
      `Attempted to call RPC function "${name}" with the wrong number of arguments. When calling a top-level handler ` +
        "function that is not declared as part of a class, you must always send exactly one argument. In order to " +
        "support variable numbers of arguments, the server must use class-based syntax (extending WorkerEntrypoint) " +
        "instead.",
    );
  }
  return callMember(found, path, [args[0], ownEnv(), ctx]);
}

