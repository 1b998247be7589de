// Incoming RPC: calls to exported objects, to entrypoints and to results that are not there yet.
//
// A call unpacks its parameters, calls the member, awaits, packs the result, returns it and then
// disposes the parameters. What it returned is kept as an *answer* for as long as the host says
// that somebody may call it (`releaseAnswer`), and calls to it wait for it.
//
// Invariant: every call is answered once, whatever user code does.

import { engine } from "../../ops.ts";
import type { CallEvent, CallId, ExportId, Payload } from "../../ops.ts";
import { facetOutcome, isFacetStart } from "../actors/facets.ts";
import { frameOf, runIn } from "../async-context.ts";
import { Invocation } from "../context.ts";
import { requestFromWire, responseToWire } from "../../web/fetch-wire.ts";
import { isResponse } from "../../web/response.ts";
import { isLoaderCallback } from "../loader.ts";
import { codeOf } from "../loader-code.ts";
import { pack, ship, unpack } from "./message.ts";
import type { DisposalGroup, Packed } from "./message.ts";
import { isStubLike } from "./stub.ts";
import { TARGET_RESERVED, callMember, exportedTarget, member, reachOf } from "./target.ts";
import type { Member, Reach } from "./target.ts";

/** The result of a call, for those who call it before they have it. */
class Answer {
  /** Gives away what the result owns here, once nobody can call it any more. */
  commits: (() => void)[] = [];
  released = false;
  /** Its context stays open while the result may be called. */
  readonly invocation: Invocation;
  #outcome: { value: unknown } | { error: unknown } | undefined;
  #asked: PromiseWithResolvers<unknown> | undefined;

  constructor(invocation: Invocation) {
    this.invocation = invocation;
  }

  /** Rejects as the call did. Made when it is first asked for: few results are called. */
  get value(): Promise<unknown> {
    if (this.#asked === undefined) {
      this.#asked = Promise.withResolvers<unknown>();
      engine.markHandled(this.#asked.promise);
      this.#settle();
    }
    return this.#asked.promise;
  }

  settle(outcome: { value: unknown } | { error: unknown }): void {
    this.#outcome = outcome;
    this.#settle();
  }

  #settle(): void {
    if (this.#asked === undefined || this.#outcome === undefined) return;
    if ("error" in this.#outcome) this.#asked.reject(this.#outcome.error);
    else this.#asked.resolve(this.#outcome.value);
  }
}

const answers = new Map<CallId, Answer>();

/** How a call that found its member is made; an entrypoint adds `env` and `ctx`. */
export type Invoke = (found: Member, path: readonly string[], args: unknown[] | undefined) => unknown;

/** Runs one RPC event and sends what comes of it. `find` looks the member up. */
export function serveRpc(
  invocation: Invocation,
  path: string[],
  args: Payload | undefined,
  find: () => Member | Promise<Member>,
  invoke: Invoke = callMember,
): void {
  const answer = new Answer(invocation);
  invocation.exported();
  answers.set(invocation.call, answer);
  runIn(frameOf(invocation), () => serve(answer, path, args, find, invoke));
}

/** Runs without a promise for as long as nothing has to be waited for. */
function serve(
  answer: Answer,
  path: string[],
  args: Payload | undefined,
  find: () => Member | Promise<Member>,
  invoke: Invoke,
): void {
  const { invocation } = answer;
  let params: DisposalGroup | undefined;
  const fail = (error: unknown): void => {
    answer.settle({ error });
    invocation.fail(error);
    params?.dispose();
  };
  try {
    let values: unknown[] | undefined;
    if (args !== undefined) {
      const arrived = unpack(args);
      params = arrived.group;
      if (!Array.isArray(arrived.value)) throw new TypeError("The arguments of an RPC call are not an array.");
      values = arrived.value;
    }
    const looked = find();
    if (looked instanceof Promise) {
      looked.then((found) => callFound(answer, invoke, found, path, values, params)).catch(fail);
      return;
    }
    callFound(answer, invoke, looked, path, values, params)?.catch(fail);
  } catch (error) {
    fail(error);
  }
}

/** Calls the member and returns what it gives; a promise where that has to be awaited. */
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
  if (isThenable(called)) return returnLater(answer, called, params);
  const packed = pack(called, "result");
  if (packed instanceof Promise) return packed.then((late) => returnPacked(answer, called, late, params));
  returnPacked(answer, called, packed, params);
  return undefined;
}

async function returnLater(
  answer: Answer,
  called: PromiseLike<unknown>,
  params: DisposalGroup | undefined,
): Promise<void> {
  const value = await called;
  const packing = pack(value, "result");
  returnPacked(answer, value, packing instanceof Promise ? await packing : packing, params);
}

function returnPacked(answer: Answer, value: unknown, packed: Packed, params: DisposalGroup | undefined): void {
  const { commits } = packed;
  packed.commits = [];
  answer.invocation.return(["value", ship(packed)]);
  // A parameter that is part of the result is given up with it, the others now.
  params?.dispose(packed.stubs);
  if (answer.released) for (const commit of commits) commit();
  else answer.commits = commits;
  answer.settle({ value });
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  const isObject = (typeof value === "object" && value !== null) || typeof value === "function";
  return isObject && typeof (value as { then?: unknown }).then === "function";
}

export function releaseAnswer(call: CallId): void {
  const answer = answers.get(call);
  if (answer === undefined) return;
  answers.delete(call);
  answer.released = true;
  for (const commit of answer.commits.splice(0)) commit();
  answer.invocation.exportGone();
}

/** A call to an object that this Worker exported. */
export function serveExport(call: CallId, id: ExportId, event: CallEvent): void {
  const target = exportedTarget(id);
  const invocation = new Invocation(call, undefined, target?.invocation);
  if (target === undefined || target.invocation?.aborted !== undefined) {
    return invocation.fail(new Error("The execution context which hosts this callback is no longer running."));
  }
  if (event[0] === "loadCode" && isLoaderCallback(target.object)) {
    return serveCode(invocation, target.object);
  }
  if (event[0] === "startFacet" && isFacetStart(target.object)) {
    return serveFacet(invocation, target.object);
  }
  if (event[0] !== "rpc") return invocation.fail(new TypeError(`A ${event[0]} event is not for an object.`));
  const [, path, args] = event;
  serveRpc(invocation, path, args, () => member(target.object, target.reach, path, TARGET_RESERVED));
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
  const invocation = new Invocation(call, undefined);
  const answer = answers.get(answerTo);
  if (answer === undefined) {
    return invocation.fail(new Error("The result that this call was made on is gone."));
  }
  if (event[0] === "fetch") {
    const [, head, body] = event;
    const find = answer.value.then((root) => root as { fetch(request: unknown): unknown });
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
  const [, path, args] = event;
  serveRpc(invocation, path, args, async () => {
    const root = await answer.value;
    return member(root, reachOfResult(root), path, TARGET_RESERVED);
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
