// Construction, destruction and errors, which readable and writable sides share.
//
// Invariant: "error" comes at most once and before "close", and neither while `destroy` is on the stack.

import { abortError } from "../errors.ts";
import type { EventEmitter } from "../events.ts";
import { nextTick } from "../ticks.ts";
import { both, errors } from "./errors.ts";
import { isDestroyed, isFinished, isRequest, isServerRequest, kIsDestroyed } from "./kinds.ts";
import type { Maybe } from "./kinds.ts";
import type { Callback, ReadableState, Stream, WritableState } from "./types.ts";

const kDestroy: unique symbol = Symbol("kDestroy");
const kConstruct: unique symbol = Symbol("kConstruct");

type Side = ReadableState | WritableState;

function sidesOf(stream: Stream): Side[] {
  return [stream._readableState, stream._writableState].filter((side) => side !== undefined);
}

function remember(stream: Stream, error: unknown): void {
  if (!error) return;
  for (const side of sidesOf(stream)) side.errored ||= error;
}

export function destroy(this: Stream, error?: unknown, callback?: Callback): Stream {
  const sides = sidesOf(this);
  if (sides.some((side) => side.destroyed)) {
    if (typeof callback === "function") callback();
    return this;
  }
  remember(this, error);
  for (const side of sides) side.destroyed = true;
  const state = this._writableState ?? this._readableState;
  if (state?.constructed === false) {
    this.once(kDestroy, (failed: unknown) => runDestroy(this, both(failed, error), callback));
  } else {
    runDestroy(this, error, callback);
  }
  return this;
}

function runDestroy(stream: Stream, error: unknown, callback: Callback | undefined): void {
  let isCalled = false;
  const done: Callback = (failed) => {
    if (isCalled) return;
    isCalled = true;
    remember(stream, failed);
    for (const side of sidesOf(stream)) side.closed = true;
    if (typeof callback === "function") callback(failed);
    if (failed) nextTick(emitErrorAndClose, stream, failed);
    else nextTick(emitClose, stream);
  };
  try {
    stream._destroy(error || null, done);
  } catch (failed) {
    done(failed);
  }
}

function emitErrorAndClose(stream: Stream, error: unknown): void {
  emitError(stream, error);
  emitClose(stream);
}

function emitClose(stream: Stream): void {
  const sides = sidesOf(stream);
  for (const side of sides) side.closeEmitted = true;
  if (sides.some((side) => side.emitClose)) stream.emit("close");
}

function emitError(stream: Stream, error: unknown): void {
  const sides = sidesOf(stream);
  if (sides.some((side) => side.errorEmitted)) return;
  for (const side of sides) side.errorEmitted = true;
  stream.emit("error", error);
}

export function undestroy(this: Stream): void {
  const { _readableState: r, _writableState: w } = this;
  if (r !== undefined) {
    const isOff = r.readable === false;
    Object.assign(r, {
      constructed: true, closed: false, closeEmitted: false, destroyed: false, errored: null, errorEmitted: false,
      reading: false, ended: isOff, endEmitted: isOff,
    });
  }
  if (w !== undefined) {
    const isOff = w.writable === false;
    Object.assign(w, {
      constructed: true, destroyed: false, closed: false, closeEmitted: false, errored: null, errorEmitted: false,
      finalCalled: false, prefinished: false, ended: isOff, ending: isOff, finished: isOff,
    });
  }
}

/** Destroys a stream that destroys itself, and tells the others' listeners. */
export function errorOrDestroy(stream: Stream, error: unknown, sync?: boolean): void {
  const sides = sidesOf(stream);
  if (sides.some((side) => side.destroyed)) return;
  if (sides.some((side) => side.autoDestroy)) {
    stream.destroy(error);
  } else if (error) {
    remember(stream, error);
    if (sync === true) nextTick(emitError, stream, error);
    else emitError(stream, error);
  }
}

/** Runs `_construct`, once for both sides, then `done`. */
export function construct(stream: Stream, done: () => void): void {
  if (typeof stream._construct !== "function") return;
  for (const side of sidesOf(stream)) side.constructed = false;
  stream.once(kConstruct, done);
  if (stream.listenerCount(kConstruct) > 1) return;
  nextTick(runConstruct, stream);
}

function runConstruct(stream: Stream): void {
  let isCalled = false;
  const done: Callback = (error) => {
    if (isCalled) {
      errorOrDestroy(stream, error ?? errors.multipleCallback());
      return;
    }
    isCalled = true;
    const sides = sidesOf(stream);
    for (const side of sides) side.constructed = true;
    if (sides.some((side) => side.destroyed)) stream.emit(kDestroy, error);
    else if (error) errorOrDestroy(stream, error, true);
    else stream.emit(kConstruct);
  };
  try {
    (stream._construct as (callback: Callback) => void)((error) => nextTick(done, error));
  } catch (error) {
    nextTick(done, error);
  }
}

/** Ends any kind of stream; without an error one that is not finished is aborted. */
export function destroyer(stream: unknown, error?: unknown): void {
  if (!stream || isDestroyed(stream)) return;
  const it = stream as Maybe & EventEmitter & { req?: { abort(): void }; abort?: () => void; close?: () => void; destroy?: (error?: unknown) => void };
  const reason = !error && !isFinished(stream) ? abortError() : error;
  if (isServerRequest(stream)) {
    it["socket"] = null;
    it.destroy?.(reason);
  } else if (isRequest(stream)) {
    it.abort?.();
  } else if (isRequest(it.req)) {
    it.req?.abort();
  } else if (typeof it.destroy === "function") {
    it.destroy(reason);
  } else if (typeof it.close === "function") {
    it.close();
  } else {
    nextTick(() => {
      if (reason) it.emit("error", reason);
      it.emit("close");
    });
  }
  if (!it["destroyed"]) it[kIsDestroyed] = true;
}
