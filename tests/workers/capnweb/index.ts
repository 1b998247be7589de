// A Worker that serves an API with the npm package capnweb, as its README shows. `client.mjs` calls it.
//
// Invariant: nothing here is written for Mayfly; the same file runs on Cloudflare.

import { RpcTarget, newWorkersRpcResponse } from "capnweb";

interface User {
  id: string;
  name: string;
  born: Date;
}

class Counter extends RpcTarget {
  #value: number;

  constructor(value: number) {
    super();
    this.#value = value;
  }
  increment(by: number = 1): number {
    this.#value += by;
    return this.#value;
  }
  get value(): number {
    return this.#value;
  }
}

let requests = 0;

class Api extends RpcTarget {
  hello(name: string): string {
    return `Hello, ${name}!`;
  }
  async authenticate(token: string): Promise<User> {
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (token !== "secret") throw new RangeError(`no user has the token ${token}`);
    return { id: "u1", name: "Ada", born: new Date(0) };
  }
  profile(id: string): { bio: string; bytes: Uint8Array; big: bigint } {
    return { bio: `the bio of ${id}`, bytes: new Uint8Array([1, 2, 255]), big: 2n ** 70n };
  }
  friends(): string[] {
    return ["u1", "u2", "u3"];
  }
  counter(start: number): Counter {
    return new Counter(start);
  }
  async callBack(callback: (value: number) => Promise<number>): Promise<number> {
    return (await callback(20)) + 2;
  }
  /** HTTP requests so far: a batch is one, however many calls are in it. */
  requests(): number {
    return requests;
  }
  #hidden(): string {
    return "never";
  }
  reveal(): string {
    return this.#hidden.name;
  }
}

export default {
  async fetch(request: Request): Promise<Response> {
    if (new URL(request.url).pathname !== "/api") return new Response("not found", { status: 404 });
    requests++;
    return newWorkersRpcResponse(request, new Api());
  },
};
