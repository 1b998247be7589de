// Promise steps of the streams standard: react, mark as handled, settle from outside.
//
// Uses the built-ins as they were at boot: user code that patches `Promise.prototype.then` or
// `Promise.resolve` neither sees nor steers what streams do.
//
// Invariant: `upon` costs one tick for a settled promise, as the standard's "upon fulfillment" does;
// tests and users can see the order of reactions.

const PromiseConstructor: PromiseConstructor = Promise;
const { apply } = Reflect;
const promiseThen = Promise.prototype.then;
const boundResolve = Promise.resolve.bind(Promise) as (value?: unknown) => Promise<never>;
const boundReject = Promise.reject.bind(Promise) as (reason: unknown) => Promise<never>;

type Reaction<T, R> = ((value: T) => R) | undefined;

/** `promise.then(...)` by the built-in. */
export function react<T, R>(
  promise: Promise<T>,
  onFulfilled: Reaction<T, R | PromiseLike<R>>,
  onRejected: Reaction<unknown, R | PromiseLike<R>>,
): Promise<R> {
  return apply(promiseThen, promise, [onFulfilled, onRejected]) as Promise<R>;
}

/** The same, for steps that must not fail. */
export function upon<T>(
  promise: Promise<T>,
  onFulfilled: Reaction<T, void>,
  onRejected: Reaction<unknown, void>,
): void {
  apply(promiseThen, promise, [onFulfilled, onRejected]);
}

export function noop(): void {}

/** The rejection of `promise` is nobody's business: it is never reported. */
export function setHandled(promise: Promise<unknown>): void {
  apply(promiseThen, promise, [undefined, noop]);
}

/** Shared by all steps that end at once. */
export const RESOLVED: Promise<undefined> = boundResolve(undefined);

/** `value` itself when it is a promise already, so that no tick is lost. */
export function toPromise<T>(value: T | PromiseLike<T>): Promise<T> {
  return boundResolve(value);
}

/** "A promise resolved with": always a new one. */
export function resolvedWith<T>(value: T | PromiseLike<T>): Promise<T> {
  return new PromiseConstructor((resolve) => resolve(value));
}

export function rejectedWith(reason: unknown): Promise<never> {
  return boundReject(reason);
}

export interface Deferred<T> {
  promise: Promise<T>;
  resolve(value: T | PromiseLike<T>): void;
  reject(reason: unknown): void;
}

let lastResolve: unknown;
let lastReject: unknown;
function takeResolvers(resolve: unknown, reject: unknown): void {
  lastResolve = resolve;
  lastReject = reject;
}

export function deferred<T>(): Deferred<T> {
  const promise = new PromiseConstructor<T>(takeResolvers);
  return {
    promise,
    resolve: lastResolve as Deferred<T>["resolve"],
    reject: lastReject as Deferred<T>["reject"],
  };
}

/**
 * A promise attribute (`reader.closed`, `writer.ready`) whose promise is made when first asked for.
 * Most are never asked for, and rejections nobody could see need no handling.
 */
export class LazyPromise {
  #state: "pending" | "resolved" | "rejected" = "pending";
  #reason: unknown = undefined;
  #deferred: Deferred<undefined> | undefined;

  get pending(): boolean {
    return this.#state === "pending";
  }

  resolve(): void {
    if (this.#state !== "pending") return;
    this.#state = "resolved";
    this.#deferred?.resolve(undefined);
  }

  reject(reason: unknown): void {
    if (this.#state !== "pending") return;
    this.#state = "rejected";
    this.#reason = reason;
    if (this.#deferred === undefined) return;
    setHandled(this.#deferred.promise);
    this.#deferred.reject(reason);
  }

  /** Back to a new pending promise; the old one stays as it is. */
  reset(): void {
    this.#state = "pending";
    this.#reason = undefined;
    this.#deferred = undefined;
  }

  /** Rejects the promise, or puts a rejected one in place of a settled one. */
  replaceRejected(reason: unknown): void {
    if (this.#state !== "pending") this.reset();
    this.reject(reason);
  }

  get promise(): Promise<undefined> {
    if (this.#deferred === undefined) {
      this.#deferred = deferred();
      if (this.#state === "resolved") this.#deferred.resolve(undefined);
      if (this.#state === "rejected") {
        setHandled(this.#deferred.promise);
        this.#deferred.reject(this.#reason);
      }
    }
    return this.#deferred.promise;
  }
}
