// Errors of streams, by the codes and words of Node.js.

import { coded } from "../errors.ts";

export const errors = {
  alreadyFinished: (what: string): Error => coded(new Error(`Cannot call ${what} after a stream was finished`), "ERR_STREAM_ALREADY_FINISHED"),
  cannotPipe: (): Error => coded(new Error("Cannot pipe, not readable"), "ERR_STREAM_CANNOT_PIPE"),
  destroyed: (what: string): Error => coded(new Error(`Cannot call ${what} after a stream was destroyed`), "ERR_STREAM_DESTROYED"),
  missingImplementation: (what: string): Error => coded(new Error(`The ${what} method is not implemented`), "ERR_METHOD_NOT_IMPLEMENTED"),
  multipleCallback: (): Error => coded(new Error("Callback called multiple times"), "ERR_MULTIPLE_CALLBACK"),
  nullValues: (): Error => coded(new TypeError("May not write null values to stream"), "ERR_STREAM_NULL_VALUES"),
  prematureClose: (): Error => coded(new Error("Premature close"), "ERR_STREAM_PREMATURE_CLOSE"),
  pushAfterEof: (): Error => coded(new Error("stream.push() after EOF"), "ERR_STREAM_PUSH_AFTER_EOF"),
  unshiftAfterEnd: (): Error => coded(new Error("stream.unshift() after end event"), "ERR_STREAM_UNSHIFT_AFTER_END_EVENT"),
  writeAfterEnd: (): Error => coded(new Error("write after end"), "ERR_STREAM_WRITE_AFTER_END"),
};

/** Two failures of one operation as one. */
export function both(inner: unknown, outer: unknown): unknown {
  if (!inner || !outer || inner === outer) return inner || outer;
  if (Array.isArray((outer as { errors?: unknown }).errors)) {
    (outer as { errors: unknown[] }).errors.push(inner);
    return outer;
  }
  const error = new AggregateError([outer, inner], (outer as Error).message);
  return Object.assign(error, { code: (outer as { code?: unknown }).code });
}
