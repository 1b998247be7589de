// The callee of every RPC case: one class that offers a bit of everything.

import { RpcTarget, WorkerEntrypoint } from "cloudflare:workers";

export class Counter extends RpcTarget {
  #value;
  own = "an own field";
  disposed = () => {};
  constructor(value = 0, disposed = () => {}) {
    super();
    this.#value = value;
    this.disposed = disposed;
  }
  get value() {
    return this.#value;
  }
  increment(by = 1) {
    this.#value += by;
    return this.#value;
  }
  child(start) {
    return new Counter(start);
  }
  fail() {
    throw new RangeError("counter failed");
  }
  [Symbol.dispose]() {
    this.disposed();
  }
}

class NotCloneable {
  x = 1;
}

const events = [];
let kept;

export class Peer extends WorkerEntrypoint {
  field = "an own field of the entrypoint";

  add(a, b) {
    return a + b;
  }
  async addLater(a, b) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    return a + b;
  }
  echo(value) {
    return value;
  }
  list(...values) {
    return values;
  }
  describe(value) {
    return `${Object.prototype.toString.call(value)} ${value?.constructor?.name}`;
  }
  get property() {
    return { nested: { answer: 42 } };
  }
  #secret() {
    return "secret";
  }
  makeCounter(start) {
    return new Counter(start, () => events.push(`disposed ${start}`));
  }
  makeCounters() {
    return { a: new Counter(1), list: [new Counter(2)] };
  }
  makeFunction(prefix) {
    return (text) => `${prefix}${text}`;
  }
  async call(callback, ...args) {
    return callback(...args);
  }
  async callTwice(callback) {
    return [await callback(1), await callback(2)];
  }
  async incrementTheirs(counter) {
    await counter.increment(10);
    return counter.value;
  }
  keep(stub) {
    kept = stub.dup();
  }
  async useKept(...args) {
    return kept(...args);
  }
  async useAfterTheCall(callback) {
    const late = callback;
    this.ctx.waitUntil(
      new Promise((resolve) => setTimeout(resolve, 30)).then(async () => {
        try {
          events.push(`late ${await late(1)}`);
        } catch (error) {
          events.push(`late failed ${error.message}`);
        }
      }),
    );
  }
  takeEvents() {
    return events.splice(0);
  }
  fail(message) {
    throw new TypeError(message);
  }
  failWithProperties() {
    const error = new Error("rich", { cause: new RangeError("deep") });
    error.code = "E_RICH";
    error.details = { list: [1, 2] };
    throw error;
  }
  failWithAString() {
    throw "just a string";
  }
  returnNotCloneable() {
    return { deep: [new NotCloneable()] };
  }
  async text(stream) {
    return new Response(stream).text();
  }
  makeStream(count) {
    let i = 0;
    return new ReadableStream({
      type: "bytes",
      pull(controller) {
        if (i === count) return controller.close();
        controller.enqueue(new Uint8Array(1000).fill(i++));
      },
    });
  }
  makeFailingStream() {
    return new ReadableStream({
      type: "bytes",
      pull(controller) {
        controller.error(new Error("the stream broke"));
      },
    });
  }
  makeSink() {
    const { readable, writable } = new IdentityTransformStream();
    const text = new Response(readable).text();
    return { writable, text: () => text };
  }
  makeResponse(body) {
    return new Response(body, { status: 201, headers: { "x-test": "yes" } });
  }
  async describeRequest(request) {
    return `${request.method} ${request.url} ${request.headers.get("x-test")} ${await request.text()}`;
  }
  aborting() {
    const { ctx } = this;
    return {
      ping: () => "pong",
      hang: () => new Promise(() => {}),
      abort: () => ctx.abort(new Error("enough of it")),
    };
  }
  async untilAborted(signal) {
    if (!signal.aborted) {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    }
    return `aborted: ${signal.reason?.message ?? signal.reason}`;
  }
  async hang() {
    await new Promise(() => setTimeout(() => {}, 1e9));
  }
  async die() {
    // Only ever called on a dynamic Worker with a CPU limit.
    for (;;);
  }
  async fetch(request) {
    const body = await request.text();
    return new Response(`fetched ${request.method} ${new URL(request.url).pathname} ${body}`);
  }
}

export const plain = {
  greet(name, env, ctx) {
    return `plain ${name} ${typeof env} ${typeof ctx.waitUntil}`;
  },
};

export default Peer;
