// node:async_hooks: AsyncLocalStorage and AsyncResource over the async context frame.
//
// Deliberately absent: hooks that hear anything and ids that mean anything; there is no event loop to
// observe.
//
// Invariant: a store travels with promise reactions and timers, because the frame does.

import { currentFrame, enterWith, runIn, runWith } from "../cloudflare/async-context.ts";
import type { Frame } from "../cloudflare/async-context.ts";

type AnyFunction = (this: unknown, ...args: never[]) => unknown;

function callIn(frame: Frame, work: AnyFunction, thisArg: unknown, args: unknown[]): unknown {
  return runIn(frame, () => Reflect.apply(work, thisArg, args) as unknown);
}

function requireFunction(value: unknown, name: string): AnyFunction {
  if (typeof value === "function") return value as AnyFunction;
  throw Object.assign(new TypeError(`The "${name}" argument must be of type function.`), { code: "ERR_INVALID_ARG_TYPE" });
}

export class AsyncLocalStorage {
  readonly #defaultValue: unknown;
  readonly #name: string;

  constructor(options?: { defaultValue?: unknown; name?: string }) {
    this.#defaultValue = options?.defaultValue;
    this.#name = options?.name ?? "";
  }

  static bind(work: unknown): (...args: unknown[]) => unknown {
    const bound = requireFunction(work, "fn");
    const frame = currentFrame();
    return function (this: unknown, ...args: unknown[]): unknown {
      return callIn(frame, bound, this, args);
    };
  }

  static snapshot(): (work: AnyFunction, ...args: unknown[]) => unknown {
    const frame = currentFrame();
    return function (this: unknown, work: AnyFunction, ...args: unknown[]): unknown {
      return callIn(frame, requireFunction(work, "fn"), this, args);
    };
  }

  get name(): string {
    return this.#name;
  }

  getStore(): unknown {
    const { stores } = currentFrame();
    return stores?.has(this) === true ? stores.get(this) : this.#defaultValue;
  }

  run(store: unknown, work: AnyFunction, ...args: unknown[]): unknown {
    return runWith({ stores: this.#with(store) }, () => Reflect.apply(work, undefined, args) as unknown);
  }

  exit(work: AnyFunction, ...args: unknown[]): unknown {
    return this.run(undefined, work, ...args);
  }

  enterWith(store: unknown): void {
    enterWith({ stores: this.#with(store) });
  }

  disable(): void {
    enterWith({ stores: this.#with(undefined) });
  }

  #with(store: unknown): ReadonlyMap<object, unknown> {
    return new Map(currentFrame().stores).set(this, store);
  }
}

export class AsyncResource {
  readonly #frame: Frame = currentFrame();
  readonly #type: string;

  constructor(type: string, _options?: unknown) {
    if (typeof type !== "string") {
      throw Object.assign(new TypeError('The "type" argument must be of type string.'), { code: "ERR_INVALID_ARG_TYPE" });
    }
    this.#type = type;
  }

  static bind(work: unknown, type?: string, thisArg?: unknown): (...args: unknown[]) => unknown {
    const bound = requireFunction(work, "fn");
    return new AsyncResource(type ?? (bound.name || "bound-anonymous-fn")).bind(bound, thisArg);
  }

  bind(work: unknown, thisArg?: unknown): (...args: unknown[]) => unknown {
    const bound = requireFunction(work, "fn");
    const frame = this.#frame;
    return function (this: unknown, ...args: unknown[]): unknown {
      return callIn(frame, bound, thisArg === undefined ? this : thisArg, args);
    };
  }

  runInAsyncScope(work: AnyFunction, thisArg?: unknown, ...args: unknown[]): unknown {
    return callIn(this.#frame, work, thisArg, args);
  }

  get type(): string {
    return this.#type;
  }
  asyncId(): number {
    return 0;
  }
  triggerAsyncId(): number {
    return 0;
  }
  emitDestroy(): this {
    return this;
  }
}

/** There are no hooks into an event loop; one that is made hears nothing. */
class AsyncHook {
  enable(): this {
    return this;
  }
  disable(): this {
    return this;
  }
}

const PROVIDERS =
  "NONE DIRHANDLE DNSCHANNEL ELDHISTOGRAM FILEHANDLE FILEHANDLECLOSEREQ BLOBREADER FSEVENTWRAP FSREQCALLBACK FSREQPROMISE " +
  "GETADDRINFOREQWRAP GETNAMEINFOREQWRAP HEAPSNAPSHOT HTTP2SESSION HTTP2STREAM HTTP2PING HTTP2SETTINGS HTTPINCOMINGMESSAGE " +
  "HTTPCLIENTREQUEST LOCKS JSSTREAM JSUDPWRAP MESSAGEPORT PIPECONNECTWRAP PIPESERVERWRAP PIPEWRAP PROCESSWRAP PROMISE QUERYWRAP " +
  "QUIC_ENDPOINT QUIC_LOGSTREAM QUIC_SESSION QUIC_STREAM QUIC_UDP SHUTDOWNWRAP SIGNALWRAP STATWATCHER STREAMPIPE TCPCONNECTWRAP " +
  "TCPSERVERWRAP TCPWRAP TTYWRAP UDPSENDWRAP UDPWRAP SIGINTWATCHDOG WORKER WORKERCPUPROFILE WORKERCPUUSAGE WORKERHEAPPROFILE " +
  "WORKERHEAPSNAPSHOT WORKERHEAPSTATISTICS WRITEWRAP ZLIB CHECKPRIMEREQUEST PBKDF2REQUEST KEYPAIRGENREQUEST KEYGENREQUEST " +
  "KEYEXPORTREQUEST ARGON2REQUEST CIPHERREQUEST DERIVEBITSREQUEST HASHREQUEST RANDOMBYTESREQUEST RANDOMPRIMEREQUEST SCRYPTREQUEST " +
  "SIGNREQUEST TLSWRAP VERIFYREQUEST QUIC_PACKET";

const members: Record<string, unknown> = {
  AsyncLocalStorage,
  AsyncResource,
  asyncWrapProviders: Object.fromEntries(PROVIDERS.split(" ").map((name) => [name, 0])),
  createHook: (): AsyncHook => new AsyncHook(),
  executionAsyncId: (): number => 0,
  executionAsyncResource: (): object => Object.create(null) as object,
  triggerAsyncId: (): number => 0,
};

export const asyncHooks: Record<string, unknown> = { ...members, default: members };
