// Outgoing calls: numbers, the table of those under way, and how they end.
//
// A call is a frame out and an outcome back. This module knows neither values nor stubs: it gives
// the outcome to whoever asked. `fetchThrough` is the one kind of call made here, because all of
// `fetch()` ends in it; the RPC path is in `rpc/stub.ts`.
//
// Invariant: every call in the table ends exactly once, by `returned` or by `forgetCall`.

import { wire } from "../ops.ts";
import type { Arrived, Attached, CallEvent, CallId, CapId, Outcome } from "../ops.ts";
import { addAbortAlgorithm, removeAbortAlgorithm } from "../web/abort.ts";
import type { AbortSignal } from "../web/abort.ts";
import { bodyState, failBody } from "../web/body.ts";
import { requestToWire, responseFromWire } from "../web/fetch-wire.ts";
import { requestSignal } from "../web/request.ts";
import type { Request } from "../web/request.ts";
import { takeWebSocket } from "../web/response.ts";
import type { Response } from "../web/response.ts";
import { currentInvocation } from "./async-context.ts";
import { discardWebSocket } from "../web/websocket.ts";
import type { Cap } from "./caps.ts";
import { actFor, followCurrent } from "./context.ts";
import { addBudget } from "./errors.ts";
import { errorOf } from "./failures.ts";
import { attachmentsOf, keptBytes } from "./rpc/flat.ts";
import { callComesFrom, fetchAnswered, fetchSent, fetchSpan } from "./trace.ts";
import type { OpenSpan } from "./trace.ts";

/** Calls under way at once. In step with `wire/src/bounds.rs`. */
export const CALLS_MAX = 4096;

export type OnOutcome = (outcome: Outcome) => void;

/** The result of an RPC call, which takes its outcome itself. */
export interface AwaitedCall {
  settle(outcome: Outcome): void;
  /** The outcome is a value with plain attachments alone. */
  settleValue(value: Arrived, attached: Attached): void;
}

const pending = new Map<CallId, OnOutcome | AwaitedCall>();
let nextCall: CallId = 1;

/** A number for a call that `sendCall` will send, so that a queued call can be cancelled. */
export function newCall(onOutcome: OnOutcome | AwaitedCall): CallId {
  if (pending.size >= CALLS_MAX) {
    const message = `Too many calls are under way at once: the limit is ${CALLS_MAX} (CALLS_MAX).`;
    throw addBudget(new Error(message), "concurrency", pending.size + 1, CALLS_MAX);
  }
  const call = nextCall;
  nextCall = nextCall >= 0xffff_ffff ? 1 : nextCall + 1;
  pending.set(call, onOutcome);
  return call;
}

/** Forgets a call that was never sent. */
export function forgetCall(call: CallId): void {
  pending.delete(call);
}

/** Says that nobody wants the outcome any more. It is thrown away when it comes. */
export function cancelCall(call: CallId, reason: string, onLateOutcome: OnOutcome): void {
  if (!pending.has(call)) return;
  pending.set(call, onLateOutcome);
  wire.cancel(call, reason);
}

export function returned(call: CallId, outcome: Outcome): void {
  const onOutcome = pending.get(call);
  if (onOutcome === undefined) return;
  pending.delete(call);
  if (typeof onOutcome === "function") onOutcome(outcome);
  else onOutcome.settle(outcome);
}

export function returnedValue(call: CallId, value: Arrived, attached: Attached): void {
  const onOutcome = pending.get(call);
  if (onOutcome === undefined) return;
  pending.delete(call);
  if (typeof onOutcome !== "function") return onOutcome.settleValue(value, attached);
  onOutcome(["value", { bytes: keptBytes(value), attachments: attachmentsOf(attached) }]);
}

// ---- fetch

const NO_OUTBOUND =
  "This worker is not permitted to access the internet via global functions like fetch(). " +
  "It must use capabilities (such as bindings in 'env') to talk to the outside world.";

let outbound: CapId | undefined;

/** Where the global `fetch()` goes; undefined blocks it. */
export function setOutbound(cap: CapId | undefined): void {
  outbound = cap;
}

export function requireOutbound(): CapId {
  if (outbound === undefined) throw new Error(NO_OUTBOUND);
  return outbound;
}

/** Sends `request` to a service; to the Worker's outbound when `cap` is undefined. `told` names its span, if it has one. */
export function fetchThrough(cap: Cap | undefined, request: Request, told: string | null = "fetch"): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  try {
    const target = cap?.id ?? requireOutbound();
    const signal = requestSignal(request);
    signal?.throwIfAborted();
    const span = fetchSpan(cap, told, request);
    const aborted = (reason: unknown): void => {
      span?.end();
      cancelCall(call, "aborted", discardOutcome);
      reject(reason);
    };
    const call = newCall((outcome) => {
      if (signal !== undefined) removeAbortAlgorithm(signal, aborted);
      if (span !== undefined) fetchAnswered(span, outcome);
      if (outcome[0] === "response") {
        const response = responseFromWire(outcome[1], outcome[2]);
        if (signal !== undefined) followIntoBody(signal, response);
        resolve(response);
      } else if (outcome[0] === "failed") reject(errorOf(outcome[1]));
      else reject(new TypeError(`A fetch was answered with a ${outcome[0]}.`));
    });
    send(call, target, request, span);
    if (signal !== undefined) addAbortAlgorithm(signal, aborted);
  } catch (error) {
    reject(error);
  }
  return promise;
}

/** Delivers any other event to a service, out of `span`; gives its outcome, also a failed one. */
export function deliverThrough(cap: Cap, event: CallEvent, span?: OpenSpan): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  const call = newCall(resolve);
  try {
    actFor(currentInvocation());
    callComesFrom(span, call);
    wire.call(call, cap.id, event, undefined);
  } catch (error) {
    forgetCall(call);
    throw error;
  }
  return promise;
}

/** Takes algorithms off signals that outlive the responses they were for. */
const unfollowed = new FinalizationRegistry<{ signal: WeakRef<AbortSignal>; algorithm: (reason: unknown) => void }>(
  ({ signal, algorithm }) => {
    const alive = signal.deref();
    if (alive !== undefined) removeAbortAlgorithm(alive, algorithm);
  },
);

/** A signal that aborts after the response is there fails its body. */
function followIntoBody(signal: AbortSignal, response: Response): void {
  if (bodyState(response) === undefined) return;
  const weak = new WeakRef(response);
  const algorithm = (reason: unknown): void => {
    const state = weak.deref();
    const body = state === undefined ? undefined : bodyState(state);
    if (body !== undefined) failBody(body, reason);
  };
  addAbortAlgorithm(signal, algorithm);
  unfollowed.register(response, { signal: new WeakRef(signal), algorithm });
}

function send(call: CallId, target: CapId, request: Request, span: OpenSpan | undefined): void {
  try {
    const { head, body, finished } = requestToWire(request);
    actFor(currentInvocation());
    callComesFrom(span, call);
    if (span !== undefined) fetchSent(span, body);
    wire.call(call, target, ["fetch", head, body], undefined);
    if (Array.isArray(body)) followCurrent(finished);
  } catch (error) {
    span?.end();
    forgetCall(call);
    throw error;
  }
}

/** A response that nobody waits for any more: its body is not read. */
function discardOutcome(outcome: Outcome): void {
  if (outcome[0] !== "response") return;
  const response = responseFromWire(outcome[1], outcome[2]);
  void response.body?.cancel();
  const socket = takeWebSocket(response);
  if (socket !== undefined) discardWebSocket(socket);
}
