// Transform: what is written comes out again, changed; PassThrough: unchanged.

import { has } from "../../cloudflare/compat.ts";
import { nextTick } from "../ticks.ts";
import { Duplex } from "./duplex.ts";
import { errors } from "./errors.ts";
import { defineMethods } from "./legacy.ts";
import { highWaterMarkOf } from "./marks.ts";
import { useHooks } from "./readable.ts";
import type { Callback, Duplex as DuplexType, StreamClass, StreamOptions } from "./types.ts";

const kCallback: unique symbol = Symbol("kCallback");

export interface Transform extends DuplexType {
  [kCallback]: Callback | null;
  _transform(chunk: unknown, encoding: string, callback: Callback): void;
  _flush?: (callback: Callback) => void;
}

export const Transform = function Transform(this: Transform | undefined, given?: StreamOptions): Transform | undefined {
  if (!(this instanceof Transform)) return new (Transform as unknown as StreamClass<Transform>)(given);
  const self = this as Transform;
  let options = given;
  // A mark of zero for the readable side must not become the writable one's too.
  const mark = options ? highWaterMarkOf(false, options, "readableHighWaterMark", true) : null;
  if (mark === 0) {
    options = { ...options, highWaterMark: null, readableHighWaterMark: mark, writableHighWaterMark: options?.["writableHighWaterMark"] || 0 };
  }
  Reflect.apply(Duplex as unknown as () => void, self, [options]);
  // What comes out of a write comes after it was asked for.
  self._readableState.sync = false;
  self[kCallback] = null;
  useHooks(self, options, ["transform", "flush"]);
  // A `_final` of the subclass's own takes the place of ours: the flush still has to happen.
  self.on("prefinish", function (this: Transform): void {
    if (this._final !== final) final.call(this);
  });
  return undefined;
} as unknown as StreamClass<Transform> & Record<string, unknown>;
Object.setPrototypeOf(Transform.prototype, Duplex.prototype);
Object.setPrototypeOf(Transform, Duplex);

function final(this: Transform, callback?: Callback): void {
  if (typeof this._flush !== "function" || this.destroyed) {
    this.push(null);
    callback?.();
    return;
  }
  this._flush((error, data) => {
    if (error) {
      if (callback) callback(error);
      else this.destroy(error);
      return;
    }
    if (data != null) this.push(data);
    this.push(null);
    callback?.();
  });
}

defineMethods(Transform.prototype, {
  _final: final,
  _transform(): void {
    throw errors.missingImplementation("_transform()");
  },
  _write(this: Transform, chunk: unknown, encoding: string, callback: Callback): void {
    const { _readableState: r, _writableState: w } = this;
    const before = r.length;
    this._transform(chunk, encoding, (error, value) => {
      if (error) {
        callback(error);
        return;
      }
      if (value != null) this.push(value);
      if (r.ended && has("enable_streams_nodejs_v24_compat")) nextTick(callback);
      // Nothing came out, or there is room for more.
      else if (w.ended || before === r.length || r.length < r.highWaterMark) callback();
      else this[kCallback] = callback;
    });
  },
  _read(this: Transform): void {
    const callback = this[kCallback];
    if (callback === null || callback === undefined) return;
    this[kCallback] = null;
    callback();
  },
});

export const PassThrough = function PassThrough(this: Transform | undefined, options?: StreamOptions): Transform | undefined {
  if (!(this instanceof PassThrough)) return new (PassThrough as unknown as StreamClass<Transform>)(options);
  Reflect.apply(Transform as unknown as () => void, this, [options]);
  return undefined;
} as unknown as StreamClass<Transform> & Record<string, unknown>;
Object.setPrototypeOf(PassThrough.prototype, Transform.prototype);
Object.setPrototypeOf(PassThrough, Transform);
defineMethods(PassThrough.prototype, {
  _transform(chunk: unknown, _encoding: string, callback: Callback): void {
    callback(null, chunk);
  },
});
