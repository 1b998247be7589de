// `addAbortSignal`: a signal that destroys a stream.

import { abortError, invalidArgType, requireSignal } from "../errors.ts";
import { addAbortListener } from "../events.ts";
import { finished } from "./end-of-stream.ts";
import { isNodeStream, isWebStream } from "./kinds.ts";
import type { Stream } from "./types.ts";

let failWeb: (stream: unknown, error: unknown) => void = () => {};

/** How a web stream is made to fail; `web.ts` knows. */
export function setWebFailure(fail: typeof failWeb): void {
  failWeb = fail;
}

export function addAbortSignal<T>(signal: unknown, stream: T): T {
  const given = requireSignal(signal, "signal");
  if (!isNodeStream(stream) && !isWebStream(stream)) {
    throw invalidArgType("stream", ["ReadableStream", "WritableStream", "Stream"], stream);
  }
  const abort = (): void => {
    const error = abortError(given.reason);
    if (isNodeStream(stream)) (stream as Stream).destroy(error);
    else failWeb(stream, error);
  };
  if (given.aborted) {
    abort();
  } else {
    const listening = addAbortListener(given, abort);
    finished(stream, () => listening[Symbol.dispose]());
  }
  return stream;
}
