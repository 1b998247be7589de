// Remembers what its triggers were; `tests/scheduled.rs` asks.

const seen = [];

export default {
  async scheduled(controller, env, ctx) {
    if (controller.cron === "bad") throw new Error("the trigger threw");
    ctx.waitUntil(Promise.resolve().then(() => seen.push([controller.cron, controller.scheduledTime])));
  },
  fetch() {
    return Response.json(seen);
  },
};
