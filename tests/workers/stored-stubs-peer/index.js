// A Worker whose stubs nobody may store: it has no `allow_irrevocable_stub_storage`.

import { WorkerEntrypoint } from "cloudflare:workers";

export class Target extends WorkerEntrypoint {
  greet(name) {
    return `no, ${name}`;
  }
}

export class Maker extends WorkerEntrypoint {
  make() {
    return this.ctx.exports.Target({ props: {} });
  }
}

export default {
  fetch: () => new Response("peer"),
};
