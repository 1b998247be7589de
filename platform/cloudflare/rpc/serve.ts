// Incoming RPC: calls to exported objects, to entrypoints and to results that are not there yet.
//
// A call unpacks its parameters, calls the member, awaits, packs the result, returns it and then
// disposes the parameters. What it returned is kept as an *answer* for as long as the host says
// that somebody may call it (`releaseAnswer`), and calls to it wait for it.
//
// Invariant: every call is answered once, whatever user code does.

import { PLAIN_KINDS, engine } from "../../ops.ts";
import type { Arrived, Attached, CallEvent, CallId, ExportId, Payload, RpcArguments, RpcPath } from "../../ops.ts";
import { facetOutcome, isFacetStart } from "../actors/facets.ts";
import { frameOf, runIn } from "../async-context.ts";
import { Invocation, invocationOf } from "../context.ts";
import type { Aborted } from "../context.ts";
import { requestFromWire, responseToWire } from "../../web/fetch-wire.ts";
import { isResponse } from "../../web/response.ts";
import { isLoaderCallback } from "../loader.ts";
import { codeOf } from "../loader-code.ts";
import { NO_LENGTH, NOT_FLAT, departures, readArguments, writeAttached, writeValue } from "./flat.ts";
import { EMPTY_GROUP, pack, ship, shipPlain, unpack, unpackPlain } from "./message.ts";
import type { DisposalGroup, Packed, Unpacked } from "./message.ts";
import { isStubLike } from "./stub.ts";
import { LocalTarget, RpcTarget, TARGET_RESERVED, callMember, exportedTarget, member, reachOf } from "./target.ts";
import type { Member, Reach } from "./target.ts";

/** The result of a call, for those who call it before they have it. */
class Answer {
  /** Gives away what the result owns here, once nobody can call it any more. */
  commits: (() => void)[] | undefined;
  released = false;
  /** Its context stays open while the result may be called. */
  readonly invocation: Invocation;
  #state: "pending" | "fulfilled" | "rejected" = "pending";
  /** The value or the error. */
  #outcome: unknown;
  #asked: PromiseWithResolvers<unknown> | undefined;

  constructor(invocation: Invocation) {
    this.invocation = invocation;
  }

  /** What the call gave, or a promise of it; throws what the call threw. */
  value(): unknown {
    if (this.#state === "fulfilled") return this.#outcome;
    if (this.#state === "rejected") throw this.#outcome;
    return this.promise();
  }

  /** Rejects as the call did. Made when it is first asked for: few results are called. */
  promise(): Promise<unknown> {
    if (this.#asked === undefined) {
      this.#asked = Promise.withResolvers<unknown>();
      engine.markHandled(this.#asked.promise);
      this.#settle();
    }
    return this.#asked.promise;
  }

  fulfill(value: unknown): void {
    this.#state = "fulfilled";
    this.#outcome = value;
    this.#settle();
  }

  reject(error: unknown): void {
    this.#state = "rejected";
    this.#outcome = error;
    this.#settle();
  }

  #settle(): void {
    if (this.#asked === undefined || this.#state === "pending") return;
    if (this.#state === "rejected") this.#asked.reject(this.#outcome);
    else this.#asked.resolve(this.#outcome);
  }
}

/** The answer of a call, while it may be called. */
function answerOf(call: CallId): Answer | undefined {
  return invocationOf(call)?.answer as Answer | undefined;
}

const EXPORT = PLAIN_KINDS.indexOf("export");

/** The arguments of an RPC event, in a payload or as they came with plain attachments. */
export type ArgumentsOf = Payload | RpcArguments;

export function pathOf(path: RpcPath): string[] {
  return typeof path === "string" ? [path] : path;
}

/** How a call that found its member is made; an entrypoint adds `env` and `ctx`. */
export type Invoke = (found: Member, path: readonly string[], args: unknown[] | undefined) => unknown;

/** Runs one RPC event and sends what comes of it. `find` looks the member up. */
export function serveRpc(
  invocation: Invocation,
  path: string[],
  args: ArgumentsOf,
  attached: Attached,
  find: () => Member | Promise<Member>,
  invoke: Invoke = callMember,
): void {
  const answer = new Answer(invocation);
  invocation.exported();
  invocation.answer = answer;
  const before = engine.contextGet();
  engine.contextSet(frameOf(invocation));
  try {
    serve(answer, path, args, attached, find, invoke);
  } finally {
    engine.contextSet(before);
  }
}

/** Runs without a promise for as long as nothing has to be waited for. */
function serve(
  answer: Answer,
  path: string[],
  args: ArgumentsOf,
  attached: Attached,
  find: () => Member | Promise<Member>,
  invoke: Invoke,
): void {
  let params: DisposalGroup | undefined;
  try {
    let values: unknown[] | undefined;
    if (args !== undefined) {
      const arrived = unpackArguments(args, attached);
      params = arrived.group;
      if (!Array.isArray(arrived.value)) throw new TypeError("The arguments of an RPC call are not an array.");
      values = arrived.value;
    }
    const looked = find();
    if (looked instanceof Promise) {
      const fail = (error: unknown): void => failed(answer, params, error);
      looked.then((found) => callFound(answer, invoke, found, path, values, params)).catch(fail);
    } else {
      void callFound(answer, invoke, looked, path, values, params);
    }
  } catch (error) {
    failed(answer, params, error);
  }
}

function unpackArguments(args: Payload | Arrived, attached: Attached): Unpacked {
  if (typeof args === "object" && "bytes" in args) return unpack(args);
  const flat = attached === undefined ? readArguments(args) : NOT_FLAT;
  return flat === NOT_FLAT ? unpackPlain(args, attached) : { value: flat, group: EMPTY_GROUP };
}

function failed(answer: Answer, params: DisposalGroup | undefined, error: unknown): void {
  answer.reject(error);
  answer.invocation.fail(error);
  params?.dispose();
}

/** Calls the member and returns what it gives; where that has to be awaited, a promise that is never rejected. */
function callFound(
  answer: Answer,
  invoke: Invoke,
  found: Member,
  path: string[],
  values: unknown[] | undefined,
  params: DisposalGroup | undefined,
): Promise<void> | undefined {
  const { invocation } = answer;
  if (invocation.aborted !== undefined) throw invocation.aborted.reason;
  const called = invoke(found, path, values);
  if (isThenable(called)) return returnLater(answer, called, undefined, params);
  const packing = returnValue(answer, called, params);
  return packing === undefined ? undefined : returnLater(answer, called, packing, params);
}

/** Awaits what was called and returns it; or only its `packing`, where it is no promise. */
async function returnLater(
  answer: Answer,
  called: unknown,
  packing: Promise<Packed> | undefined,
  params: DisposalGroup | undefined,
): Promise<void> {
  try {
    const value = packing === undefined ? await called : called;
    const packed = packing ?? returnValue(answer, value, params);
    if (packed !== undefined) returnPacked(answer, value, await packed, params);
  } catch (error) {
    failed(answer, params, error);
  }
}

/** Returns a value; if promises in it have to be awaited first, a promise of what is to be returned. */
function returnValue(answer: Answer, value: unknown, params: DisposalGroup | undefined): Promise<Packed> | undefined {
  const length = writeValue(value);
  if (length !== NO_LENGTH) {
    answer.invocation.returnBytes(departures, length);
    params?.dispose();
    answer.fulfill(value);
    return undefined;
  }
  // An object of the Worker's own, with which most chains of calls go on.
  if (value instanceof RpcTarget && engine.proxyHandler(value) === undefined) {
    const target = new LocalTarget(value, "class");
    answer.invocation.returnBytes(departures, writeAttached(), [EXPORT, target.export()]);
    params?.dispose();
    answer.fulfill(value);
    return undefined;
  }
  const packed = pack(value, "result");
  if (packed instanceof Promise) return packed;
  returnPacked(answer, value, packed, params);
  return undefined;
}

function returnPacked(answer: Answer, value: unknown, packed: Packed, params: DisposalGroup | undefined): void {
  const { bytes, externals, commits } = packed;
  packed.commits = [];
  const attached = externals.length === 0 ? undefined : shipPlain(packed);
  if (externals.length === 0 || attached !== undefined) answer.invocation.returnBytes(bytes, bytes.length, attached);
  else answer.invocation.return(["value", ship(packed)]);
  // A parameter that is part of the result is given up with it, the others now.
  params?.dispose(packed.stubs);
  if (answer.released) for (const commit of commits) commit();
  else answer.commits = commits;
  answer.fulfill(value);
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  const isObject = (typeof value === "object" && value !== null) || typeof value === "function";
  return isObject && typeof (value as { then?: unknown }).then === "function";
}

export function releaseAnswer(call: CallId): void {
  const answer = answerOf(call);
  if (answer === undefined) return;
  answer.released = true;
  const { commits } = answer;
  answer.commits = undefined;
  for (const commit of commits ?? []) commit();
  answer.invocation.answerGone();
}

/** A call to an object that this Worker exported. */
export function serveExport(call: CallId, id: ExportId, event: CallEvent): void {
  const target = exportedTarget(id);
  const invocation = new Invocation(call, undefined, target?.invocation);
  const aborted = target?.invocation?.aborted;
  if (target === undefined || aborted !== undefined) return invocation.fail(whyGone(aborted));
  if (event[0] === "loadCode" && isLoaderCallback(target.object)) {
    return serveCode(invocation, target.object);
  }
  if (event[0] === "startFacet" && isFacetStart(target.object)) {
    return serveFacet(invocation, target.object);
  }
  if (event[0] !== "rpc") return invocation.fail(new TypeError(`A ${event[0]} event is not for an object.`));
  serveTarget(invocation, target, event[1], event[2], undefined);
}

export function serveExportRpc(call: CallId, id: ExportId, path: RpcPath, args: RpcArguments, attached: Attached): void {
  const target = exportedTarget(id);
  const invocation = new Invocation(call, undefined, target?.invocation);
  const aborted = target?.invocation?.aborted;
  if (target === undefined || aborted !== undefined) return invocation.fail(whyGone(aborted));
  serveTarget(invocation, target, pathOf(path), args, attached);
}

function whyGone(aborted: Aborted | undefined): unknown {
  if (aborted?.justNow === true) return aborted.reason;
  return new Error("The execution context which hosts this callback is no longer running.");
}

function serveTarget(invocation: Invocation, target: LocalTarget, path: string[], args: ArgumentsOf, attached: Attached): void {
  serveRpc(invocation, path, args, attached, () => member(target.object, target.reach, path, TARGET_RESERVED));
}

function serveCode(invocation: Invocation, callback: () => unknown): void {
  runIn(frameOf(invocation), () => {
    Promise.resolve()
      .then(callback)
      .then((code) => invocation.return(["code", codeOf(code)]))
      .catch((error: unknown) => invocation.fail(error));
  });
}

function serveFacet(invocation: Invocation, callback: () => unknown): void {
  runIn(frameOf(invocation), () => {
    Promise.resolve()
      .then(callback)
      .then((given) => invocation.return(facetOutcome(given)))
      .catch((error: unknown) => invocation.fail(error));
  });
}

/** A call to the result of an earlier call. */
export function serveAnswer(call: CallId, answerTo: CallId, event: CallEvent): void {
  const answer = answerOf(answerTo);
  const invocation = new Invocation(call, undefined);
  if (answer === undefined) return invocation.fail(resultGone());
  if (event[0] === "fetch") {
    const [, head, body] = event;
    const find = answer.promise().then((root) => root as { fetch(request: unknown): unknown });
    find
      .then((root) => {
        if (!isStubLike(root)) throw new TypeError("The result is not a service: it has no fetch().");
        return root.fetch(requestFromWire(head, body, undefined));
      })
      .then((response) => returnResponse(invocation, response))
      .catch((error: unknown) => invocation.fail(error));
    return;
  }
  if (event[0] !== "rpc") return invocation.fail(new TypeError(`A ${event[0]} event is not for a result.`));
  serveResult(invocation, answer, event[1], event[2], undefined);
}

export function serveAnswerRpc(call: CallId, answerTo: CallId, path: RpcPath, args: RpcArguments, attached: Attached): void {
  const answer = answerOf(answerTo);
  const invocation = new Invocation(call, undefined);
  if (answer === undefined) return invocation.fail(resultGone());
  serveResult(invocation, answer, pathOf(path), args, attached);
}

function resultGone(): Error {
  return new Error("The result that this call was made on is gone.");
}

function serveResult(invocation: Invocation, answer: Answer, path: string[], args: ArgumentsOf, attached: Attached): void {
  const find = (root: unknown): Member => member(root, reachOfResult(root), path, TARGET_RESERVED);
  serveRpc(invocation, path, args, attached, () => {
    const root = answer.value();
    return root instanceof Promise ? root.then(find) : find(root);
  });
}

function reachOfResult(root: unknown): Reach {
  if ((typeof root !== "object" && typeof root !== "function") || root === null) return "own";
  if (isStubLike(root)) return "class";
  return reachOf(root) ?? "own";
}

/** Sends a handler's response; the invocation goes on until its body has. */
export function returnResponse(invocation: Invocation, response: unknown): void {
  if (!isResponse(response)) {
    throw new TypeError("Incorrect type for Promise: the Promise did not resolve to 'Response'.");
  }
  if (response.type === "error") {
    throw new TypeError("Return value from serve handler must not be an error response (like Response.error())");
  }
  const { head, body, finished } = responseToWire(response);
  if (Array.isArray(body)) invocation.follow(finished);
  invocation.return(["response", head, body]);
}
