// Errors that nobody caught: the `error` and `unhandledrejection` events, then the host's log.
//
// A listener that prevents the default has dealt with the error and the host hears nothing. The
// event `rejectionhandled` follows for a promise that found a handler late.
//
// Invariant: what goes wrong in a listener here is reported without another event.

import { wire } from "../ops.ts";
import { ErrorEvent, PromiseRejectionEvent, defineEventHandler, fireEvent, hasListeners } from "../web/events.ts";
import { currentInvocation } from "./async-context.ts";
import { failureOf } from "./failures.ts";

export function installUncaughtHandlers(): void {
  defineEventHandler(globalThis, "error", "errorEvent");
  defineEventHandler(globalThis, "unhandledrejection");
  defineEventHandler(globalThis, "rejectionhandled");
}

let reporting = false;

export function reportUncaught(error: unknown): void {
  const listened = hasListeners(globalThis, "error") && !reporting;
  if (listened && prevented(() => new ErrorEvent("error", { cancelable: true, error, message: messageOf(error) }))) return;
  tell(error);
}

export function reportRejection(promise: Promise<unknown>, reason: unknown, handled: boolean): void {
  const type = handled ? "rejectionhandled" : "unhandledrejection";
  const listened = hasListeners(globalThis, type);
  const event = (): PromiseRejectionEvent => new PromiseRejectionEvent(type, { cancelable: !handled, promise, reason });
  if (listened && prevented(event)) return;
  if (!handled) tell(reason);
}

function prevented(event: () => ErrorEvent | PromiseRejectionEvent): boolean {
  reporting = true;
  try {
    return !fireEvent(globalThis, event());
  } finally {
    reporting = false;
  }
}

function tell(error: unknown): void {
  const invocation = currentInvocation();
  wire.exception(invocation?.trace?.call ?? invocation?.call, failureOf(error));
}

function messageOf(error: unknown): string {
  try {
    return error instanceof Error ? `Uncaught ${error.name}: ${error.message}` : `Uncaught ${String(error)}`;
  } catch {
    return "Uncaught exception";
  }
}
