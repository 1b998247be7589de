// Stream: what all streams inherit from, with the `pipe` of the days before back-pressure was agreed.

import { Buffer } from "../buffer.ts";
import { isUint8Array } from "../buffer-kinds.ts";
import { EventEmitter, listenerCount } from "../events.ts";
import type { Readable, Stream as StreamType, StreamClass, Writable } from "./types.ts";

export const Stream = function Stream(this: object, options?: { captureRejections?: boolean }): void {
  Reflect.apply(EventEmitter as unknown as () => void, this, [options]);
} as unknown as StreamClass<StreamType> & Record<string, unknown>;
Object.setPrototypeOf(Stream.prototype, EventEmitter.prototype);
Object.setPrototypeOf(Stream, EventEmitter);

function pipe(this: Readable, destination: Writable, options?: { end?: boolean }): Writable {
  const onData = (chunk: unknown): void => {
    if (destination.writable && destination.write(chunk) === false) this.pause?.();
  };
  const onDrain = (): void => {
    if (this.readable) this.resume?.();
  };
  let isDone = false;
  const onEnd = (): void => {
    if (isDone) return;
    isDone = true;
    destination.end();
  };
  const onClose = (): void => {
    if (isDone) return;
    isDone = true;
    if (typeof destination.destroy === "function") destination.destroy();
  };
  // An error that nobody hears is thrown, as it would be without the pipe.
  const onError = (self: StreamType) => (error: unknown): void => {
    cleanup();
    if (listenerCount(self, "error") === 0) self.emit("error", error);
  };
  const [sourceFailed, destinationFailed] = [onError(this), onError(destination)];
  const cleanup = (): void => {
    this.removeListener("data", onData);
    destination.removeListener("drain", onDrain);
    this.removeListener("end", onEnd);
    this.removeListener("close", onClose);
    this.removeListener("error", sourceFailed);
    destination.removeListener("error", destinationFailed);
    this.removeListener("end", cleanup);
    this.removeListener("close", cleanup);
    destination.removeListener("close", cleanup);
  };
  this.on("data", onData);
  destination.on("drain", onDrain);
  const isStdio = (destination as { _isStdio?: boolean })._isStdio === true;
  if (!isStdio && options?.end !== false) {
    this.on("end", onEnd);
    this.on("close", onClose);
  }
  this.prependListener("error", sourceFailed);
  destination.prependListener("error", destinationFailed);
  this.on("end", cleanup);
  this.on("close", cleanup);
  destination.on("close", cleanup);
  destination.emit("pipe", this);
  return destination;
}

Object.defineProperty(Stream.prototype, "pipe", { value: pipe, writable: true, enumerable: true, configurable: true });

/** `_isUint8Array` and its kin, which packages take from `stream`. */
export const isView = (value: unknown): boolean => ArrayBuffer.isView(value);
export { isUint8Array };
export function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Lets `Object.assign`-like tables of methods onto a prototype, enumerable as Node.js has them. */
export function defineMethods(prototype: object, methods: Record<string | symbol, unknown>): void {
  for (const name of Reflect.ownKeys(methods)) {
    Object.defineProperty(prototype, name, { value: methods[name], writable: true, enumerable: typeof name === "string", configurable: true });
  }
}

export function defineGetters<T>(prototype: object, getters: Record<string, ((self: T) => unknown) | [get: (self: T) => unknown, set: (self: T, value: unknown) => void]>): void {
  for (const [name, entry] of Object.entries(getters)) {
    const [get, set] = Array.isArray(entry) ? entry : [entry, undefined];
    Object.defineProperty(prototype, name, {
      get(this: T) {
        return get(this);
      },
      set: set === undefined ? undefined : function (this: T, value: unknown) {
        set(this, value);
      },
      enumerable: false,
      configurable: true,
    });
  }
}
