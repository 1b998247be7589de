// hono: routing, middleware, validation, cookies, streams and JSX-free HTML.

import { Hono } from "hono";
import { basicAuth } from "hono/basic-auth";
import { contextStorage, getContext } from "hono/context-storage";
import { getCookie, setCookie, setSignedCookie, getSignedCookie } from "hono/cookie";
import { cors } from "hono/cors";
import { etag } from "hono/etag";
import { html } from "hono/html";
import { HTTPException } from "hono/http-exception";
import { logger } from "hono/logger";
import { stream, streamSSE, streamText } from "hono/streaming";
import { validator } from "hono/validator";
import { equal, matches, same } from "../../kit/suite.js";

const lines = [];

function application() {
  const app = new Hono();
  app.use("*", logger((line) => lines.push(line)), contextStorage());
  app.use("/api/*", cors({ origin: "https://a.test", allowMethods: ["GET"] }));
  app.use("/secret", basicAuth({ username: "u", password: "p" }));
  app.use("/tagged", etag());
  app.get("/", (c) => c.text("root"));
  app.get("/users/:id{[0-9]+}", (c) => c.json({ id: c.req.param("id"), q: c.req.queries("q") }));
  app.get("/api/env", (c) => c.json({ has: typeof c.env.OPENAI, via: typeof getContext().env.OPENAI }));
  app.get("/secret", (c) => c.text("inside"));
  app.get("/tagged", (c) => c.text("the same each time"));
  app.get("/html", (c) => c.html(html`<p>${"<b>"}</p>`));
  app.get("/moved", (c) => c.redirect("/", 301));
  app.post("/form", async (c) => {
    const body = await c.req.parseBody({ all: true });
    return c.json({ name: body.name, tags: body.tag, file: await body.file.text() });
  });
  app.post("/json", validator("json", (value, c) => (value.n > 0 ? value : c.text("no", 422))), (c) =>
    c.json(c.req.valid("json")),
  );
  app.get("/cookie", async (c) => {
    setCookie(c, "seen", getCookie(c, "seen") ?? "never", { path: "/", httpOnly: true, maxAge: 60 });
    await setSignedCookie(c, "signed", "value", "secret");
    return c.body(null, 204);
  });
  app.get("/signed", async (c) => c.text(String(await getSignedCookie(c, "secret", "signed"))));
  app.get("/text", (c) => streamText(c, async (out) => {
    for (const word of ["a", "b", "c"]) {
      await out.writeln(word);
      await out.sleep(1);
    }
  }));
  app.get("/sse", (c) => streamSSE(c, async (out) => {
    await out.writeSSE({ event: "tick", id: "1", data: "one\ntwo" });
  }));
  app.get("/pipe", (c) => stream(c, (out) => out.pipe(new Blob(["piped"]).stream())));
  app.get("/late", (c) => {
    c.executionCtx.waitUntil(Promise.resolve());
    return c.text("ok");
  });
  app.get("/fails", () => { throw new HTTPException(418, { message: "teapot" }); });
  app.route("/nested", new Hono().get("/deep/*", (c) => c.text(c.req.path)));
  app.notFound((c) => c.text("nothing here", 404));
  app.onError((error, c) => (error instanceof HTTPException ? error.getResponse() : c.text(`${error}`, 500)));
  return app;
}

export const hono = {
  async hono_routes(env, ctx) {
    const app = application();
    const ask = (path, init) => app.fetch(new Request(`https://hono.test${path}`, init), env, ctx);
    equal(await (await ask("/")).text(), "root");
    same(await (await ask("/users/7?q=1&q=2")).json(), { id: "7", q: ["1", "2"] });
    equal((await ask("/users/x")).status, 404);
    same(await (await ask("/api/env")).json(), { has: typeof env.OPENAI, via: typeof env.OPENAI });
    equal(await (await ask("/nested/deep/er")).text(), "/nested/deep/er");
    const moved = await ask("/moved");
    same([moved.status, moved.headers.get("location")], [301, "/"]);
    equal(await (await ask("/html")).text(), "<p>&lt;b&gt;</p>");
    const failed = await ask("/fails");
    same([failed.status, await failed.text()], [418, "teapot"]);
    equal(await (await ask("/late")).text(), "ok");
    matches(lines.join("\n"), /--> GET \/users\/7/);
  },

  async hono_middleware(env, ctx) {
    const app = application();
    const ask = (path, init) => app.fetch(new Request(`https://hono.test${path}`, init), env, ctx);
    const preflight = await ask("/api/env", { method: "OPTIONS", headers: { origin: "https://a.test" } });
    same([preflight.status, preflight.headers.get("access-control-allow-origin")], [204, "https://a.test"]);
    equal((await ask("/secret")).status, 401);
    equal(await (await ask("/secret", { headers: { authorization: `Basic ${btoa("u:p")}` } })).text(), "inside");
    const tagged = await ask("/tagged");
    const tag = tagged.headers.get("etag");
    matches(tag, /^"[0-9a-f]{40}"$/);
    equal((await ask("/tagged", { headers: { "if-none-match": tag } })).status, 304);
    const cookies = (await ask("/cookie", { headers: { cookie: "seen=once; x=y" } })).headers.getSetCookie();
    equal(cookies[0], "seen=once; Max-Age=60; Path=/; HttpOnly");
    matches(cookies[1], /^signed=value\./);
    const signed = cookies[1].split(";")[0];
    equal(await (await ask("/signed", { headers: { cookie: signed } })).text(), "value");
    const forged = signed.replace("value", "other");
    equal(await (await ask("/signed", { headers: { cookie: forged } })).text(), "false");
  },

  async hono_bodies(env, ctx) {
    const app = application();
    const ask = (path, init) => app.fetch(new Request(`https://hono.test${path}`, init), env, ctx);
    const form = new FormData();
    form.append("name", "é");
    form.append("tag", "1");
    form.append("tag", "2");
    form.append("file", new File(["content"], "a.txt", { type: "text/plain" }));
    const parsed = await (await ask("/form", { method: "POST", body: form })).json();
    same(parsed, { name: "é", tags: ["1", "2"], file: "content" });
    const json = (n) => ({ method: "POST", body: JSON.stringify({ n }), headers: { "content-type": "application/json" } });
    same(await (await ask("/json", json(1))).json(), { n: 1 });
    equal((await ask("/json", json(0))).status, 422);
    equal(await (await ask("/text")).text(), "a\nb\nc\n");
    const events = await ask("/sse");
    equal(events.headers.get("content-type"), "text/event-stream");
    equal(await events.text(), "event: tick\ndata: one\ndata: two\nid: 1\n\n");
    equal(await (await ask("/pipe")).text(), "piped");
  },
};
