// A class of the same name in another Worker: its objects are others.

import { DurableObject } from "cloudflare:workers";

export class Room extends DurableObject {
  async peek(key) {
    return (await this.ctx.storage.get(key)) ?? null;
  }
}

export default {
  fetch() {
    return new Response("nothing here");
  },
};
