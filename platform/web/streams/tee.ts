// Teeing: two streams that both see what one stream gives.
//
// Default streams share each chunk between the branches; byte streams give each branch its own copy
// and let whichever branch asks with a buffer have that buffer filled.
//
// Invariant: the source is cancelled only when both branches were, with both reasons.

import { engine } from "../../ops.ts";
import { has } from "../../cloudflare/compat.ts";
import { viewBuffer, viewByteLength, viewByteOffset } from "../webidl.ts";
import { ByteControllerCore } from "./byte-core.ts";
import { RESOLVED, deferred, upon } from "./promises.ts";
import type { Deferred } from "./promises.ts";
import { ByobReaderCore, DefaultControllerCore, DefaultReaderCore, ReadableCore } from "./readable-core.ts";
import type { ReadIntoRequest, ReadRequest, ReadableController } from "./readable-core.ts";

/** `clones` gives the second branch copies, as a body's clone has them. */
export function tee(stream: ReadableCore, clones = false): [ReadableCore, ReadableCore] {
  const shared = stream.controller.kind === "byte" ? new ByteTee(stream) : new DefaultTee(stream, clones);
  const branches = shared.begin();
  // What is known of the whole is as true of each branch.
  for (const branch of branches) branch.expectedLength = stream.expectedLength;
  return branches;
}

/** The standard delays a branch's chunk by a microtask, so that an error that follows is seen first. */
const enqueueMicrotask: (steps: () => void) => void = (steps) => {
  upon(RESOLVED, steps, undefined);
};

// ---- What both kinds share -------------------------------------------------------------------

abstract class Tee<Controller extends ReadableController> {
  protected stream: ReadableCore;
  protected first: Controller = undefined as unknown as Controller;
  protected second: Controller = undefined as unknown as Controller;
  protected reading = false;
  protected canceledFirst = false;
  protected canceledSecond = false;
  protected canceled: Deferred<undefined> = deferred();
  #firstReason: unknown;
  #secondReason: unknown;

  constructor(stream: ReadableCore) {
    this.stream = stream;
  }

  protected cancelFirst(reason: unknown): Promise<undefined> {
    this.canceledFirst = true;
    this.#firstReason = reason;
    if (this.canceledSecond) this.#cancelBoth();
    return this.#cancelResult();
  }

  protected cancelSecond(reason: unknown): Promise<undefined> {
    this.canceledSecond = true;
    this.#secondReason = reason;
    if (this.canceledFirst) this.#cancelBoth();
    return this.#cancelResult();
  }

  /** The first branch to be cancelled waits for the other one in the standard, and not in Workers. */
  #cancelResult(): Promise<undefined> {
    const both = this.canceledFirst && this.canceledSecond;
    return both || has("pedantic_wpt") ? this.canceled.promise : RESOLVED;
  }

  #cancelBoth(): void {
    this.canceled.resolve(this.stream.cancel([this.#firstReason, this.#secondReason]));
  }

  protected finished(): void {
    if (!this.canceledFirst || !this.canceledSecond) this.canceled.resolve(undefined);
  }
}

// ---- Default streams -------------------------------------------------------------------------

class DefaultTee extends Tee<DefaultControllerCore> implements ReadRequest {
  #reader: DefaultReaderCore;
  #readAgain = false;
  #clones: boolean;

  constructor(stream: ReadableCore, clones: boolean) {
    super(stream);
    this.#reader = new DefaultReaderCore(stream);
    this.#clones = clones;
  }

  begin(): [ReadableCore, ReadableCore] {
    const pull = (): undefined => this.#pull();
    this.first = new DefaultControllerCore(
      new ReadableCore(), { pull, cancel: (reason) => this.cancelFirst(reason) }, 1, undefined,
    );
    this.second = new DefaultControllerCore(
      new ReadableCore(), { pull, cancel: (reason) => this.cancelSecond(reason) }, 1, undefined,
    );
    this.first.start(undefined);
    this.second.start(undefined);
    upon(this.#reader.closed.promise, undefined, (reason) => {
      this.first.error(reason);
      this.second.error(reason);
      this.finished();
    });
    return [this.first.stream, this.second.stream];
  }

  #pull(): undefined {
    if (this.reading) {
      this.#readAgain = true;
      return;
    }
    this.reading = true;
    this.#reader.read(this);
  }

  chunk(value: unknown): void {
    enqueueMicrotask(() => {
      this.#readAgain = false;
      let copy = value;
      if (this.#clones && !this.canceledSecond) {
        try {
          copy = engine.structuredClone(value, []);
        } catch (error) {
          this.first.error(error);
          this.second.error(error);
          this.canceled.resolve(this.stream.cancel(error));
          return;
        }
      }
      if (!this.canceledFirst) this.first.enqueue(value);
      if (!this.canceledSecond) this.second.enqueue(copy);
      this.reading = false;
      if (this.#readAgain) this.#pull();
    });
  }

  close(): void {
    this.reading = false;
    if (!this.canceledFirst) this.first.close();
    if (!this.canceledSecond) this.second.close();
    this.finished();
  }

  error(): void {
    this.reading = false;
  }
}

// ---- Byte streams ----------------------------------------------------------------------------

class ByteTee extends Tee<ByteControllerCore> {
  #reader: DefaultReaderCore | ByobReaderCore;
  #readAgainFirst = false;
  #readAgainSecond = false;

  constructor(stream: ReadableCore) {
    super(stream);
    this.#reader = new DefaultReaderCore(stream);
  }

  begin(): [ReadableCore, ReadableCore] {
    this.first = new ByteControllerCore(
      new ReadableCore(),
      { pull: () => this.#pull(this.first), cancel: (reason) => this.cancelFirst(reason) },
      0,
      undefined,
    );
    this.second = new ByteControllerCore(
      new ReadableCore(),
      { pull: () => this.#pull(this.second), cancel: (reason) => this.cancelSecond(reason) },
      0,
      undefined,
    );
    this.first.start(undefined);
    this.second.start(undefined);
    this.#forwardError(this.#reader);
    return [this.first.stream, this.second.stream];
  }

  #forwardError(reader: DefaultReaderCore | ByobReaderCore): void {
    upon(reader.closed.promise, undefined, (reason) => {
      // An error from a reader that has since been replaced is its release.
      if (reader !== this.#reader) return;
      this.first.error(reason);
      this.second.error(reason);
      this.finished();
    });
  }

  #pull(branch: ByteControllerCore): undefined {
    if (this.reading) {
      if (branch === this.first) this.#readAgainFirst = true;
      else this.#readAgainSecond = true;
      return;
    }
    this.reading = true;
    const request = branch.byobRequest;
    if (request === undefined) this.#pullDefault();
    else this.#pullInto(request.view as Uint8Array, branch);
  }

  #pullAgain(): void {
    this.reading = false;
    if (this.#readAgainFirst) this.#pull(this.first);
    else if (this.#readAgainSecond) this.#pull(this.second);
  }

  #pullDefault(): void {
    if (this.#reader.kind === "byob") {
      this.#reader.release();
      this.#reader = new DefaultReaderCore(this.stream);
      this.#forwardError(this.#reader);
    }
    this.#reader.read(this.#defaultRequest);
  }

  #defaultRequest: ReadRequest = {
    chunk: (value) => {
      enqueueMicrotask(() => {
        this.#readAgainFirst = false;
        this.#readAgainSecond = false;
        const chunk = value as Uint8Array;
        let copy = chunk;
        if (!this.canceledFirst && !this.canceledSecond) {
          const cloned = this.#clone(chunk);
          if (cloned === undefined) return;
          copy = cloned;
        }
        if (!this.canceledFirst) this.first.enqueue(chunk);
        if (!this.canceledSecond) this.second.enqueue(copy);
        this.#pullAgain();
      });
    },
    close: () => {
      this.reading = false;
      if (!this.canceledFirst) this.first.close();
      if (!this.canceledSecond) this.second.close();
      if (this.first.pending.length > 0) this.first.respond(0);
      if (this.second.pending.length > 0) this.second.respond(0);
      this.finished();
    },
    error: () => {
      this.reading = false;
    },
  };

  #pullInto(view: Uint8Array, branch: ByteControllerCore): void {
    if (this.#reader.kind === "default") {
      this.#reader.release();
      this.#reader = new ByobReaderCore(this.stream);
      this.#forwardError(this.#reader);
    }
    const forSecond = branch === this.second;
    const other = forSecond ? this.first : this.second;
    const canceledBranch = (): boolean => (forSecond ? this.canceledSecond : this.canceledFirst);
    const canceledOther = (): boolean => (forSecond ? this.canceledFirst : this.canceledSecond);
    const request: ReadIntoRequest = {
      chunk: (chunk) => {
        enqueueMicrotask(() => {
          this.#readAgainFirst = false;
          this.#readAgainSecond = false;
          if (!canceledOther()) {
            const cloned = this.#clone(chunk);
            if (cloned === undefined) return;
            if (!canceledBranch()) branch.respondWithNewView(chunk);
            other.enqueue(cloned);
          } else if (!canceledBranch()) {
            branch.respondWithNewView(chunk);
          }
          this.#pullAgain();
        });
      },
      close: (chunk) => {
        this.reading = false;
        if (!canceledBranch()) branch.close();
        if (!canceledOther()) other.close();
        if (chunk !== undefined) {
          if (!canceledBranch()) branch.respondWithNewView(chunk);
          if (!canceledOther() && other.pending.length > 0) other.respond(0);
        }
        if (!canceledBranch() || !canceledOther()) this.canceled.resolve(undefined);
      },
      error: () => {
        this.reading = false;
      },
    };
    this.#reader.read(view, 1, request);
  }

  /** A copy of the chunk for the other branch; on failure both branches and the source end. */
  #clone(chunk: ArrayBufferView): Uint8Array | undefined {
    try {
      const offset = viewByteOffset(chunk);
      return new Uint8Array(viewBuffer(chunk).slice(offset, offset + viewByteLength(chunk)) as ArrayBuffer);
    } catch (error) {
      this.first.error(error);
      this.second.error(error);
      this.canceled.resolve(this.stream.cancel(error));
      return undefined;
    }
  }
}
