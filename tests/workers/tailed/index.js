// A configured Worker that others follow: one default entrypoint, one by name.

import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";

let heard = 0;

export default {
  async fetch(request) {
    console.log("configured", new URL(request.url).pathname);
    return new Response(String(heard), { status: 203 });
  },
  async scheduled() {
    console.log("scheduled");
  },
  tail(items) {
    heard += items.length;
  },
};

export class Named extends WorkerEntrypoint {
  add(a, b) {
    console.info("adding");
    return a + b;
  }

  /** Has an object ring soon, and tells its id. */
  ring() {
    const id = this.env.BELL.idFromName("door");
    return this.env.BELL.get(id).ring().then(() => id.toString());
  }
}

export class Bell extends DurableObject {
  async ring() {
    await this.ctx.storage.setAlarm(Date.now() + 5);
  }
  alarm() {
    console.log("ding");
  }
}
