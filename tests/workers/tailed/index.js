// A configured Worker that others follow: one default entrypoint, one by name.

import { WorkerEntrypoint } from "cloudflare:workers";

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
}
