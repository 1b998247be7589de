// Piping a readable core into a writable core.
//
// Chunks move by requests, without a promise each: the pipe is itself the read request and is told
// of the end of backpressure by a plain call. What the standard leaves open (how reads and writes
// interleave) is used for that; what it fixes (when errors and closes go which way, and that nothing
// is lost or written late) is kept.
//
// Invariant: once `shuttingDown`, no chunk is read; the promise settles after the last write has.

import { addAbortAlgorithm, removeAbortAlgorithm } from "../abort.ts";
import type { AbortSignal } from "../abort.ts";
import { RESOLVED, deferred, upon } from "./promises.ts";
import type { Deferred } from "./promises.ts";
import { DefaultReaderCore } from "./readable-core.ts";
import type { ReadRequest, ReadableCore } from "./readable-core.ts";
import { WriterCore } from "./writable-core.ts";
import type { WritableCore } from "./writable-core.ts";

export interface PipeOptions {
  preventAbort: boolean;
  preventCancel: boolean;
  preventClose: boolean;
  signal: AbortSignal | undefined;
}

export function pipe(source: ReadableCore, target: WritableCore, options: PipeOptions): Promise<undefined> {
  return new Pipe(source, target, options).begin();
}

type Action = () => Promise<unknown>;

class Pipe implements ReadRequest {
  #source: ReadableCore;
  #target: WritableCore;
  #options: PipeOptions;
  #reader: DefaultReaderCore;
  #writer: WriterCore;
  #done: Deferred<undefined> = deferred();
  #shuttingDown = false;
  #reading = false;
  /** A chunk was read and will be written in the next tick. */
  #chunkInHand = false;
  /** True while our own loop asks for chunks: what comes then may be written at once. */
  #looping = false;
  #abort: ((reason: unknown) => void) | undefined;

  constructor(source: ReadableCore, target: WritableCore, options: PipeOptions) {
    this.#source = source;
    this.#target = target;
    this.#options = options;
    this.#reader = new DefaultReaderCore(source);
    this.#writer = new WriterCore(target);
    source.disturbed = true;
  }

  begin(): Promise<undefined> {
    if (this.#listenToSignal()) return this.#done.promise;
    this.#watchSource();
    if (!this.#shuttingDown) this.#watchTarget();
    this.#writer.onReady = () => upon(RESOLVED, this.#loop, undefined);
    // Not at once: the call may come from within the source's own steps.
    upon(RESOLVED, this.#loop, undefined);
    return this.#done.promise;
  }

  // ---- Chunks ----------------------------------------------------------------------------------

  #loop = (): void => {
    if (this.#looping) return;
    this.#looping = true;
    while (!this.#shuttingDown && !this.#reading && this.#mayRead()) {
      this.#reading = true;
      this.#reader.read(this);
    }
    this.#looping = false;
  };

  #mayRead(): boolean {
    const { state, backpressure } = this.#target;
    if (this.#source.state !== "readable") return false;
    return state === "writable" && !backpressure && !this.#target.closeQueuedOrInFlight;
  }

  chunk(value: unknown): void {
    if (this.#looping) {
      this.#reading = false;
      this.#writer.writeQuietly(value);
      return;
    }
    // A source that enqueues must not find the sink called from within.
    this.#chunkInHand = true;
    upon(
      RESOLVED,
      () => {
        this.#reading = false;
        this.#chunkInHand = false;
        if (this.#writer.stream !== undefined) this.#writer.writeQuietly(value);
        this.#loop();
      },
      undefined,
    );
  }

  close(): void {
    this.#reading = false;
  }

  error(): void {
    this.#reading = false;
  }

  // ---- Ends ------------------------------------------------------------------------------------

  #watchSource(): void {
    const { state } = this.#source;
    if (state === "errored") this.#sourceErrored();
    else if (state === "closed") this.#sourceClosed();
    else upon(this.#reader.closed.promise, () => this.#sourceClosed(), () => this.#sourceErrored());
  }

  #sourceErrored(): void {
    const reason = this.#source.storedError;
    if (this.#options.preventAbort) this.#shutdown(undefined, { reason });
    else this.#shutdown(() => this.#target.abort(reason), { reason });
  }

  #sourceClosed(): void {
    if (this.#options.preventClose) this.#shutdown(undefined, undefined);
    else this.#shutdown(() => this.#writer.closeWithErrorPropagation(), undefined);
  }

  #watchTarget(): void {
    const { state } = this.#target;
    if (state === "errored") this.#targetErrored();
    else if (this.#target.closeQueuedOrInFlight || state === "closed") this.#targetClosed();
    else {
      upon(
        this.#writer.closed.promise,
        () => {
          if (!this.#shuttingDown) this.#targetClosed();
        },
        () => this.#targetErrored(),
      );
    }
  }

  #targetErrored(): void {
    const reason = this.#target.storedError;
    if (this.#options.preventCancel) this.#shutdown(undefined, { reason });
    else this.#shutdown(() => this.#source.cancel(reason), { reason });
  }

  #targetClosed(): void {
    const reason = new TypeError("The destination stream closed before all the data could be piped to it");
    if (this.#options.preventCancel) this.#shutdown(undefined, { reason });
    else this.#shutdown(() => this.#source.cancel(reason), { reason });
  }

  /** True when the signal had aborted already. */
  #listenToSignal(): boolean {
    const { signal } = this.#options;
    if (signal === undefined) return false;
    const abort = (reason: unknown): void => this.#aborted(reason);
    if (signal.aborted) {
      abort(signal.reason);
      return true;
    }
    this.#abort = abort;
    addAbortAlgorithm(signal, abort);
    return false;
  }

  #aborted(reason: unknown): void {
    const actions: Action[] = [];
    if (!this.#options.preventAbort) {
      actions.push(() => (this.#target.state === "writable" ? this.#target.abort(reason) : RESOLVED));
    }
    if (!this.#options.preventCancel) {
      actions.push(() => (this.#source.state === "readable" ? this.#source.cancel(reason) : RESOLVED));
    }
    this.#shutdown(() => all(actions), { reason });
  }

  // ---- Shutting down ---------------------------------------------------------------------------

  #shutdown(action: Action | undefined, failure: { reason: unknown } | undefined): void {
    if (this.#shuttingDown) return;
    this.#shuttingDown = true;
    const proceed = (): void => {
      if (action === undefined) {
        this.#finalize(failure);
        return;
      }
      upon(
        action(),
        () => this.#finalize(failure),
        (reason) => this.#finalize({ reason }),
      );
    };
    if (this.#target.state === "writable" && !this.#target.closeQueuedOrInFlight) {
      // A tick at least, so that streams made just now have started.
      upon(RESOLVED, () => this.#afterWrites(proceed), undefined);
    } else {
      proceed();
    }
  }

  /** Runs `proceed` when all that was read has been written, also what is written meanwhile. */
  #afterWrites(proceed: () => void): void {
    const last = this.#chunkInHand ? RESOLVED : this.#target.lastWrite();
    if (last === undefined) {
      proceed();
      return;
    }
    const again = (): void => this.#afterWrites(proceed);
    upon(last, again, again);
  }

  #finalize(failure: { reason: unknown } | undefined): void {
    this.#writer.onReady = undefined;
    this.#writer.release();
    this.#reader.release();
    const { signal } = this.#options;
    if (signal !== undefined && this.#abort !== undefined) removeAbortAlgorithm(signal, this.#abort);
    if (failure === undefined) this.#done.resolve(undefined);
    else this.#done.reject(failure.reason);
  }
}

/** Waits for all; fails with the first failure. */
function all(actions: readonly Action[]): Promise<undefined> {
  const result = deferred<undefined>();
  let left = actions.length;
  if (left === 0) result.resolve(undefined);
  for (const action of actions) {
    upon(
      action(),
      () => {
        if (--left === 0) result.resolve(undefined);
      },
      (reason) => result.reject(reason),
    );
  }
  return result.promise;
}
