// A class of the same name in another Worker: its objects are others.

import { DurableObject } from "cloudflare:workers";

let guest;

export class Room extends DurableObject {
  /** A number that grows with each call, and which instance in which guest says it. */
  async whereabouts() {
    guest ??= crypto.randomUUID();
    this.token ??= crypto.randomUUID();
    return [await this.up(), guest, this.token];
  }
  async up() {
    const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
    await this.ctx.storage.put("n", n);
    return n;
  }
  spin(ms) {
    const until = performance.now() + ms;
    let turns = 0;
    while (performance.now() < until) turns++;
    return turns;
  }
  async peek(key) {
    return (await this.ctx.storage.get(key)) ?? null;
  }
}

export default {
  fetch() {
    return new Response("nothing here");
  },
};
