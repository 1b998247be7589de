// What a value is to the functions that take any stream, and what state it is in.
//
// Streams are known by their looks, because packages bring their own. Answers are `null` where a value
// does not say.
//
// Invariant: nothing here changes a stream.

import { isReadableStream as isOurReadable, readableCore } from "../../web/streams/readable.ts";
import { isWritableStream as isOurWritable, writableCore } from "../../web/streams/writable.ts";
import type { ReadableState, WritableState } from "./types.ts";

export const kIsDestroyed: unique symbol = Symbol.for("nodejs.stream.destroyed") as never;
export const kIsErrored: unique symbol = Symbol.for("nodejs.stream.errored") as never;
export const kIsReadable: unique symbol = Symbol.for("nodejs.stream.readable") as never;
export const kIsWritable: unique symbol = Symbol.for("nodejs.stream.writable") as never;
export const kIsDisturbed: unique symbol = Symbol.for("nodejs.stream.disturbed") as never;

/** Anything that may be a stream. */
export interface Maybe {
  [name: string | symbol]: unknown;
  _readableState?: Partial<ReadableState>;
  _writableState?: Partial<WritableState>;
}

const isFunction = (value: unknown): boolean => typeof value === "function";

function look(value: unknown): Maybe | undefined {
  return (typeof value === "object" && value !== null) || typeof value === "function" ? (value as Maybe) : undefined;
}

export function isReadableNodeStream(value: unknown, strict = false): boolean {
  const it = look(value);
  if (it === undefined || !isFunction(it["pipe"]) || !isFunction(it["on"])) return false;
  if (strict && !(isFunction(it["pause"]) && isFunction(it["resume"]))) return false;
  return !it._writableState || (it._readableState !== undefined && it._readableState.readable !== false);
}

export function isWritableNodeStream(value: unknown): boolean {
  const it = look(value);
  if (it === undefined || !isFunction(it["write"]) || !isFunction(it["on"])) return false;
  return !it._readableState || (it._writableState !== undefined && it._writableState.writable !== false);
}

export function isDuplexNodeStream(value: unknown): boolean {
  const it = look(value);
  return it !== undefined && isFunction(it["pipe"]) && Boolean(it._readableState) && isFunction(it["on"]) && isFunction(it["write"]);
}

export function isNodeStream(value: unknown): boolean {
  const it = look(value);
  if (it === undefined) return false;
  if (it._readableState || it._writableState) return true;
  return isFunction(it["on"]) && (isFunction(it["write"]) || isFunction(it["pipe"]));
}

export function isReadableStream(value: unknown): boolean {
  const it = look(value);
  if (it === undefined || isNodeStream(it)) return false;
  return isFunction(it["pipeThrough"]) && isFunction(it["getReader"]) && isFunction(it["cancel"]);
}

export function isWritableStream(value: unknown): boolean {
  const it = look(value);
  return it !== undefined && !isNodeStream(it) && isFunction(it["getWriter"]) && isFunction(it["abort"]);
}

export function isTransformStream(value: unknown): boolean {
  const it = look(value);
  return it !== undefined && !isNodeStream(it) && typeof it["readable"] === "object" && typeof it["writable"] === "object";
}

export function isWebStream(value: unknown): boolean {
  return isReadableStream(value) || isWritableStream(value) || isTransformStream(value);
}

export function isIterable(value: unknown, kind?: "async" | "sync"): boolean {
  if (value === null || value === undefined) return false;
  const it = value as { [Symbol.iterator]?: unknown; [Symbol.asyncIterator]?: unknown };
  const [isAsync, isSync] = [isFunction(it[Symbol.asyncIterator]), isFunction(it[Symbol.iterator])];
  return kind === undefined ? isAsync || isSync : kind === "async" ? isAsync : isSync;
}

export function isDestroyed(value: unknown): boolean | null {
  if (!isNodeStream(value)) return null;
  const it = value as Maybe;
  const state = it._writableState ?? it._readableState;
  return Boolean(it["destroyed"] || it[kIsDestroyed] || state?.destroyed);
}

export function isWritableEnded(value: unknown): boolean | null {
  if (!isWritableNodeStream(value)) return null;
  const it = value as Maybe;
  if (it["writableEnded"] === true) return true;
  const state = it._writableState;
  if (state?.errored) return false;
  return typeof state?.ended === "boolean" ? state.ended : null;
}

export function isWritableFinished(value: unknown, strict?: boolean): boolean | null {
  if (!isWritableNodeStream(value)) return null;
  const it = value as Maybe;
  if (it["writableFinished"] === true) return true;
  const state = it._writableState;
  if (state?.errored) return false;
  if (typeof state?.finished !== "boolean") return null;
  return state.finished || (strict === false && state.ended === true && state.length === 0);
}

export function isReadableFinished(value: unknown, strict?: boolean): boolean | null {
  if (!isReadableNodeStream(value)) return null;
  const state = (value as Maybe)._readableState;
  if (state?.errored) return false;
  if (typeof state?.endEmitted !== "boolean") return null;
  return state.endEmitted || (strict === false && state.ended === true && state.length === 0);
}

export function isReadable(value: unknown): boolean | null {
  const it = look(value);
  if (isOurReadable(it)) return readableCore(it).state === "readable";
  const own = it?.[kIsReadable];
  if (own !== undefined && own !== null) return own as boolean;
  if (typeof it?.["readable"] !== "boolean") return null;
  if (isDestroyed(it)) return false;
  return isReadableNodeStream(it) && it["readable"] && !isReadableFinished(it);
}

export function isWritable(value: unknown): boolean | null {
  const it = look(value);
  if (isOurWritable(it)) return writableCore(it).state === "writable";
  const own = it?.[kIsWritable];
  if (own !== undefined && own !== null) return own as boolean;
  if (typeof it?.["writable"] !== "boolean") return null;
  if (isDestroyed(it)) return false;
  return isWritableNodeStream(it) && it["writable"] && !isWritableEnded(it);
}

export function isFinished(value: unknown, sides?: { readable?: boolean; writable?: boolean }): boolean | null {
  if (!isNodeStream(value)) return null;
  if (isDestroyed(value)) return true;
  if (sides?.readable !== false && isReadable(value)) return false;
  return !(sides?.writable !== false && isWritable(value));
}

export function writableErrored(value: unknown): unknown {
  if (!isNodeStream(value)) return null;
  const it = value as Maybe;
  return it["writableErrored"] || (it._writableState?.errored ?? null);
}

export function readableErrored(value: unknown): unknown {
  if (!isNodeStream(value)) return null;
  const it = value as Maybe;
  return it["readableErrored"] || (it._readableState?.errored ?? null);
}

export function isClosed(value: unknown): boolean | null {
  if (!isNodeStream(value)) return null;
  const it = value as Maybe;
  if (typeof it["closed"] === "boolean") return it["closed"];
  const { _writableState: w, _readableState: r } = it;
  if (typeof w?.closed === "boolean" || typeof r?.closed === "boolean") return Boolean(w?.closed || r?.closed);
  return typeof it["_closed"] === "boolean" && isOutgoingMessage(it) ? it["_closed"] : null;
}

function isOutgoingMessage(it: Maybe): boolean {
  return ["_closed", "_defaultKeepAlive", "_removedConnection", "_removedContLen"].every((name) => typeof it[name] === "boolean");
}

function isServerResponse(it: Maybe): boolean {
  return typeof it["_sent100"] === "boolean" && isOutgoingMessage(it);
}

export function isServerRequest(value: unknown): boolean {
  const it = value as Maybe;
  const request = it["req"] as { upgradeOrConnect?: unknown } | undefined;
  return typeof it["_consuming"] === "boolean" && typeof it["_dumped"] === "boolean" && request?.upgradeOrConnect === undefined;
}

export function isRequest(value: unknown): boolean {
  const it = look(value);
  return it !== undefined && Boolean(it["setHeader"]) && isFunction(it["abort"]);
}

export function willEmitClose(value: unknown): boolean | null {
  if (!isNodeStream(value)) return null;
  const it = value as Maybe;
  const state = it._writableState ?? it._readableState;
  if (!state) return isServerResponse(it);
  return Boolean(state.autoDestroy && state.emitClose && state.closed === false);
}

export function isDisturbed(value: unknown): boolean {
  const it = look(value);
  if (isOurReadable(it)) return readableCore(it).disturbed;
  return it !== undefined && Boolean(it[kIsDisturbed] ?? (it["readableDidRead"] || it["readableAborted"]));
}

export function isErrored(value: unknown): boolean {
  const it = look(value);
  if (it === undefined) return false;
  if (isOurReadable(it)) return readableCore(it).state === "errored";
  if (isOurWritable(it)) return writableCore(it).state === "errored";
  const { _writableState: w, _readableState: r } = it;
  return Boolean(
    it[kIsErrored] ?? it["readableErrored"] ?? it["writableErrored"] ?? r?.errorEmitted ?? w?.errorEmitted ?? r?.errored ?? w?.errored,
  );
}
