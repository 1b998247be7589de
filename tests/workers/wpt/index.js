// Runs one file of web-platform-tests: `scripts/wpt` sends it, joined with testharness.js, and gets
// its results. Each file is a dynamic Worker of its own, whose whole network is `Site` below: the
// files of the suite as `scripts/wpt` serves them, and what its Python handlers would answer.

import { WorkerEntrypoint } from "cloudflare:workers";

const MAIN = `
export default {
  async fetch() {
    const run = (await import("./test.cjs")).default;
    return Response.json(await run());
  },
};
`;

export default {
  async fetch(request, env, ctx) {
    const { script, site, flags } = await request.json();
    const worker = env.LOADER.load({
      compatibilityDate: "2026-11-01",
      compatibilityFlags: flags,
      allowExperimental: true,
      mainModule: "main.js",
      modules: { "main.js": MAIN, "test.cjs": { cjs: script } },
      globalOutbound: ctx.exports.Site({ props: { site } }),
    });
    return worker.getEntrypoint().fetch(request.url);
  },
};

const CORS = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "*",
};

/** What several requests of one file leave for each other, by token. */
const stash = new Map();

const text = (body, headers = {}) => new Response(body, { headers: { ...CORS, "content-type": "text/plain", ...headers } });

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The Python handlers that tests ask, by file name. */
const handlers = {
  "inspect-headers.py"(request, query) {
    const headers = new Headers(CORS);
    for (const name of (query.get("headers") ?? "").split("|").filter((name) => name !== "")) {
      const value = request.headers.get(name);
      if (value !== null) headers.set(`x-request-${name.toLowerCase()}`, value);
    }
    return new Response("", { headers });
  },

  "method.py": async (request) =>
    text(await request.text(), {
      "x-request-method": request.method,
      "x-request-content-type": request.headers.get("content-type") ?? "NO",
      "x-request-content-length": request.headers.get("content-length") ?? "NO",
      "x-request-content-encoding": request.headers.get("content-encoding") ?? "NO",
      "x-request-content-language": request.headers.get("content-language") ?? "NO",
      "x-request-content-location": request.headers.get("content-location") ?? "NO",
    }),

  "echo-content.py": async (request) =>
    new Response(await request.bytes(), {
      headers: {
        ...CORS,
        "x-request-method": request.method,
        "x-request-content-length": request.headers.get("content-length") ?? "NO",
        "x-request-content-type": request.headers.get("content-type") ?? "NO",
        "content-type": "text/plain",
      },
    }),

  "status.py": async (request, query) =>
    new Response([204, 205, 304].includes(Number(query.get("code"))) ? null : (query.get("content") ?? ""), {
      status: Number(query.get("code")),
      statusText: query.get("text") ?? "",
      headers: { ...CORS, "content-type": query.get("type") ?? "", "x-request-method": request.method },
    }),

  "redirect.py"(request, query) {
    const token = query.get("token");
    const seen = (token === null ? undefined : stash.get(token)) ?? { count: 0 };
    seen.count += 1;
    if (token !== null) stash.set(token, seen);
    if (token !== null && query.has("max_count") && seen.count > Number(query.get("max_count"))) {
      return text(String(seen.count - 1));
    }
    const headers = new Headers({ ...CORS, "cache-control": "no-cache" });
    let location = query.get("location");
    if (location !== null) {
      if (!query.has("simple") && !/^(?!https?:)[a-z]+:/i.test(location)) {
        location += `${location.includes("?") ? "&" : "?"}${new URLSearchParams(Object.fromEntries(query))}&count=${seen.count}`;
      }
      headers.set("location", location);
    }
    return new Response(null, { status: Number(query.get("redirect_status") ?? 302), headers });
  },

  "redirect-empty-location.py": () => new Response(null, { status: 302, headers: { ...CORS, location: "" } }),

  async "trickle.py"(request, query) {
    const ms = Number(query.get("ms") ?? 500);
    const count = Number(query.get("count") ?? 50);
    await sleep(ms);
    const encoder = new TextEncoder();
    let sent = 0;
    const body = new ReadableStream({
      async pull(controller) {
        if (sent === count) return controller.close();
        sent += 1;
        controller.enqueue(encoder.encode("TEST_TRICKLE\n"));
        await sleep(ms);
      },
    });
    return new Response(query.has("notype") ? body : body, { headers: { ...CORS, "content-type": "text/plain" } });
  },

  "infinite-slow-response.py"(request, query) {
    const [state, abort] = [query.get("stateKey"), query.get("abortKey")];
    if (state !== null) stash.set(state, "open");
    const encoder = new TextEncoder();
    const body = new ReadableStream({
      async pull(controller) {
        if (abort !== null && stash.has(abort)) return controller.close();
        controller.enqueue(encoder.encode(".".repeat(10)));
        await sleep(10);
      },
      cancel() {
        if (state !== null) stash.set(state, "closed");
      },
    });
    return new Response(body, { headers: { ...CORS, "content-type": "text/plain" } });
  },

  async "stash-put.py"(request, query) {
    stash.set(query.get("key"), query.get("value"));
    return text("");
  },

  "stash-take.py"(request, query) {
    const key = query.get("key");
    const value = stash.get(key) ?? null;
    stash.delete(key);
    return Response.json(value, { headers: CORS });
  },

  "clean-stash.py"(request, query) {
    const known = stash.delete(query.get("token"));
    return text(known ? "1" : "0");
  },

  "script-with-header.py": (request, query) =>
    new Response("1", { headers: { ...CORS, "content-type": query.get("mime") ?? query.get("content") ?? "" } }),

  "bad-gzip-body.py": () =>
    new Response("not gzip", { encodeBody: "manual", headers: { ...CORS, "content-encoding": "gzip" } }),

  "dump-authorization-header.py": (request) => text(request.headers.get("authorization") ?? "none"),

  "message.py": async (request, query) => {
    await sleep(Number(query.get("sleep") ?? 0));
    const message = query.get("message") ?? "data: data";
    return new Response(`${message}${query.get("newline") === "none" ? "" : "\n\n"}\n`, {
      headers: { ...CORS, "content-type": query.get("mime") ?? "text/event-stream" },
    });
  },

  // A message of two lines, an empty one, lines that are none, and the end.
  "message2.py": () => events("data:msg\ndata:msg\n\n:\nfalse:x\n\nData:x\n\ndata\n\ndata:end\n\n"),

  "last-event-id.py": (request) => {
    const id = request.headers.get("last-event-id") ?? "";
    const body = id === "" ? `id: …\nretry: 200\ndata: hello\n\n` : `data: ${id}\n\n`;
    return new Response(body, { headers: { ...CORS, "content-type": "text/event-stream" } });
  },

  "status-error.py": (request, query) =>
    new Response("data: x\n\n", {
      status: Number(query.get("status") ?? 404),
      headers: { ...CORS, "content-type": "text/event-stream" },
    }),

  "accept.event_stream": (request) =>
    new Response(`data: ${request.headers.get("accept")}\n\n`, {
      headers: { ...CORS, "content-type": "text/event-stream" },
    }),

  "cache-control.event_stream": (request) =>
    new Response(`retry:2000\ndata: ${request.headers.get("cache-control")}\n\n`, {
      headers: { ...CORS, "content-type": "text/event-stream" },
    }),

  "cors.py": (request, query) => {
    const run = query.get("run") ?? "message";
    if (run === "cache-control") return events(`data: ${request.headers.get("cache-control")}\n\n`);
    return (handlers[`${run}.py`] ?? handlers["message.py"])(request, query);
  },
};

const events = (text) => new Response(text, { headers: { ...CORS, "content-type": "text/event-stream" } });

/** The suite's WebSocket handlers, by path: what each does with a socket and the protocols asked for. */
const sockets = {
  echo: (socket) => onMessage(socket, (data) => {
    socket.send(data);
    if (data === "Goodbye") socket.close();
  }),
  echo_raw: (socket) => onMessage(socket, (data) => socket.send(data)),
  echo_exit: (socket) => onMessage(socket, (data) => data === "exit" && socket.close()),
  echo_close_data: (socket) => onMessage(socket, (data) => data === "Goodbye" && socket.close(1000, "Goodbye")),
  "echo-query": (socket, url) => socket.send(url.search.slice(1)),
  "empty-message": (socket) => onMessage(socket, (data) => socket.send(data === "" ? "pass" : "fail")),
  protocol: (socket, url, asked) => socket.send(asked),
  protocol_array: (socket, url, asked) => socket.send(asked.split(",")[0]),
  "delayed-passive-close": () => {},
  "receive-many-with-backpressure": (socket) => {
    let before = Promise.resolve();
    onMessage(socket, (data) => {
      before = before.then(async () => {
        await sleep(100);
        socket.send(String(data.byteLength ?? data.length));
      });
    });
  },
  referrer: (socket, url, asked, headers) => socket.send(headers.get("referer") ?? "MISSING AS PER FETCH"),
  handshake_sleep_2: () => {},
  handshake_no_extensions: () => {},
  "remote-close": (socket, url) => {
    const code = url.searchParams.get("code");
    const reason = url.searchParams.get("reason");
    if (code === null) socket.close();
    else socket.close(Number(code), reason ?? "");
  },
  handshake_protocol: () => {},
  handshake_no_protocol: () => {},
  basic_auth: (socket, url) => socket.send(url.username === "" ? "no credentials" : "pass"),
};

const onMessage = (socket, answer) => socket.addEventListener("message", ({ data }) => void answer(data));

function chosenProtocol(name, asked) {
  if (name === "handshake_protocol") return "foobar";
  if (name === "handshake_no_protocol" || asked === "") return undefined;
  const all = asked.split(",").map((text) => text.trim());
  return name.startsWith("protocol") ? all[0] : all.includes("echo") ? "echo" : undefined;
}

async function accept(request, url, name, ctx) {
  const handle = sockets[name];
  if (handle === undefined) return new Response("no such handler", { status: 404 });
  const asked = request.headers.get("sec-websocket-protocol") ?? "";
  const [theirs, ours] = Object.values(new WebSocketPair());
  if (name === "handshake_sleep_2") await sleep(2000);
  ours.accept({ allowHalfOpen: true });
  ours.binaryType = "arraybuffer";
  ours.addEventListener("close", ({ code, reason }) => {
    const answer = async () => {
      if (name === "delayed-passive-close") await sleep(1000);
      try {
        if (code === 1005) ours.close();
        else ours.close(code, reason);
      } catch {
        // It is closed already.
      }
    };
    ctx.waitUntil(answer());
  });
  handle(ours, url, asked, request.headers);
  const protocol = chosenProtocol(name, asked);
  const headers = protocol === undefined ? {} : { "sec-websocket-protocol": protocol };
  return new Response(null, { status: 101, webSocket: theirs, headers });
}

export class Site extends WorkerEntrypoint {
  async fetch(request) {
    const url = new URL(request.url);
    const name = url.pathname.slice(url.pathname.lastIndexOf("/") + 1);
    if (request.headers.get("upgrade")?.toLowerCase() === "websocket") return accept(request, url, name, this.ctx);
    const handler = handlers[name];
    if (handler !== undefined) return handler(request, url.searchParams);
    const answer = await fetch(`${this.ctx.props.site}${url.pathname}`);
    if (!answer.ok) return new Response("no such file", { status: answer.status, headers: CORS });
    const piped = url.searchParams.get("pipe");
    const headers = new Headers(answer.headers);
    for (const [key, value] of Object.entries(CORS)) headers.set(key, value);
    if (piped !== null) {
      const header = /^header\(([^,]+),(.*)\)$/.exec(piped);
      if (header !== null) headers.set(header[1], header[2]);
    }
    return new Response(answer.body, { headers });
  }
}
