// itty-router: the smallest of routers, with its JSON answers and errors.

import { AutoRouter, Router, StatusError, cors, error, json, text, withParams } from "itty-router";
import { equal, same } from "../../kit/suite.js";

export const ittyRouter = {
  async itty_router(env, ctx) {
    // Its corsify() makes a new response by spreading the old one, which has nothing of its own: the
    // status of what passes it is lost, here as elsewhere.
    const { preflight, corsify } = cors({ origin: "https://a.test" });
    const router = AutoRouter({ before: [preflight] });
    router
      .get("/hello/:name?", ({ name, query }) => ({ name, query }))
      .get("/files/:path+", ({ path }) => text(path))
      .post("/echo", async (request) => json(await request.json(), { status: 201 }))
      .get("/env", (request, env) => typeof env)
      .get("/open", () => corsify(json("open")))
      .get("/refused", () => { throw new StatusError(403, { why: "because" }); })
      .all("*", () => error(404));
    const ask = (path, init) => router.fetch(new Request(`https://itty.test${path}`, init), env, ctx);

    same(await (await ask("/hello/you?a=1&a=2")).json(), { name: "you", query: { a: ["1", "2"] } });
    equal(await (await ask("/files/a/b.txt")).text(), "a/b.txt");
    const made = await ask("/echo", { method: "POST", body: '{"n":1}' });
    same([made.status, await made.json()], [201, { n: 1 }]);
    equal((await ask("/open")).headers.get("access-control-allow-origin"), "https://a.test");
    const asked = await ask("/echo", { method: "OPTIONS" });
    same([asked.status, asked.headers.get("access-control-allow-origin")], [204, "https://a.test"]);
    equal(await (await ask("/env")).json(), "object");
    const refused = await ask("/refused");
    same([refused.status, await refused.json()], [403, { status: 403, error: "Forbidden", why: "because" }]);
    same(await (await ask("/nowhere")).json(), { status: 404, error: "Not Found" });
  },

  async itty_router_plain() {
    const router = Router({ base: "/v1" });
    router.all("*", withParams).get("/:a/:b.:format", ({ a, b, format }) => new Response(`${a} ${b} ${format}`));
    equal(await (await router.fetch(new Request("https://itty.test/v1/x/y.csv"))).text(), "x y csv");
    equal(await router.fetch(new Request("https://itty.test/v2/x/y.csv")), undefined);
  },
};
