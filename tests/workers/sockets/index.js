// WebSockets, EventSource and byte connections, each as a case. A client of the network finds a WebSocket
// server at `/echo`; cases that need a server of the network get its port as `?port=`.

import { WorkerEntrypoint } from "cloudflare:workers";
import { connect } from "cloudflare:sockets";
import { echoSocket } from "./echo.js";
import { equal, fails, matches, same, sleep, suite } from "../kit/suite.js";

const DATE = "2026-08-01";

// ---- what others call

export class Echo extends WorkerEntrypoint {
  fetch(request) {
    return echoSocket(request);
  }
  async connect(socket) {
    await socket.readable.pipeTo(socket.writable);
  }
}

/** Takes connections and says who was asked for. */
export class Taker extends WorkerEntrypoint {
  async connect(socket) {
    const { localAddress } = await socket.opened;
    const writer = socket.writable.getWriter();
    await writer.write(new TextEncoder().encode(`taken ${localAddress}`));
    await writer.close();
  }
  fetch(request) {
    return echoSocket(request);
  }
}

export class Nobody extends WorkerEntrypoint {}

export class Carrier extends WorkerEntrypoint {
  respond() {
    return echoSocket(new Request("https://x/"));
  }
}

export class Events extends WorkerEntrypoint {
  fetch(request) {
    const last = request.headers.get("last-event-id");
    const text = last === null ? "\ufeffid: 7\r\nretry: 1\r\ndata: a\r\ndata: b\r\n\r\nevent: news\rdata: c\r\r" : `data: after ${last}\n\n`;
    return new Response(text, { headers: { "content-type": "text/event-stream; charset=utf-8" } });
  }
}

// ---- helpers

/** Collects what a socket hears; `next()` gives the next message, `closed` the close event. */
function heard(socket) {
  const queue = [];
  let wake;
  socket.addEventListener("message", ({ data }) => {
    queue.push(data);
    wake?.();
  });
  const closed = new Promise((resolve) => socket.addEventListener("close", resolve));
  const next = async () => {
    while (queue.length === 0) await new Promise((resolve) => { wake = resolve; });
    return queue.shift();
  };
  return { next, closed, queue };
}

async function open(fetcher, headers = {}) {
  const response = await fetcher.fetch("https://echo.test/", { headers: { upgrade: "websocket", ...headers } });
  equal(response.status, 101, "status");
  const socket = response.webSocket;
  socket.binaryType = "arraybuffer";
  const ears = heard(socket);
  socket.accept();
  return { socket, response, ...ears };
}

function child(env, main, more = {}) {
  return env.LOADER.load({
    compatibilityDate: DATE,
    mainModule: "main.js",
    modules: { "main.js": main },
    ...more,
  }).getEntrypoint();
}

async function textOf(readable) {
  return new Response(readable).text();
}

function bytes(text) {
  return new TextEncoder().encode(text);
}

async function echoConversation({ socket, next, closed }) {
  socket.send("hello \u{1f980}");
  equal(await next(), "hello \u{1f980}");
  socket.send(new Uint8Array([1, 2, 255]));
  same([...new Uint8Array(await next())], [1, 2, 255]);
  socket.send(new Uint16Array([258]).buffer);
  same([...new Uint8Array(await next())], [2, 1]);
  socket.send(new Blob([new Uint8Array([7, 8])]));
  same([...new Uint8Array(await next())], [7, 8]);
  socket.send("");
  equal(await next(), "");
  socket.send("x".repeat(300_000));
  equal((await next()).length, 300_000);
  socket.close(4001, "done");
  const { code, reason, wasClean } = await closed;
  same([code, reason, wasClean], [4001, "done", true]);
  equal(socket.readyState, WebSocket.CLOSED);
}

const CHILD_ECHO = `export default { fetch(request) {
  const [client, server] = new WebSocketPair();
  server.accept();
  server.binaryType = "arraybuffer";
  server.addEventListener("message", ({ data }) => { if (data === "spin") for (;;); server.send(data); });
  return new Response(null, { status: 101, webSocket: client });
} };`;

const CHILD_PROXY = `export default { fetch(request, env) { return env.ECHO.fetch(request); } };`;

const port = (request) => new URL(request.url).searchParams.get("port");

const cases = {
  // ---- pairs in one Worker

  async a_pair_says_and_hears() {
    const [a, b] = new WebSocketPair();
    equal(Object.values(new WebSocketPair()).length, 2);
    const ears = heard(b);
    a.accept();
    b.accept();
    equal(b.binaryType, "blob");
    a.send("one");
    a.send(new Uint8Array([7]));
    equal(await ears.next(), "one");
    const blob = await ears.next();
    same([...new Uint8Array(await blob.arrayBuffer())], [7]);
    a.close(1000, "bye");
    equal(a.readyState, WebSocket.CLOSING);
    const event = await ears.closed;
    equal(event instanceof CloseEvent, true);
    same([event.code, event.reason, event.wasClean, b.readyState], [1000, "bye", true, WebSocket.CLOSED]);
  },

  async what_was_said_before_accept_waits() {
    const [a, b] = new WebSocketPair();
    a.accept();
    a.send("early");
    await sleep(5);
    const ears = heard(b);
    b.accept();
    equal(await ears.next(), "early");
  },

  async what_one_message_awaits_goes_on_before_the_next() {
    const [a, b] = new WebSocketPair();
    const order = [];
    b.addEventListener("message", async ({ data }) => {
      order.push(`${data} begins`);
      await null;
      await null;
      order.push(`${data} ends`);
    });
    a.accept();
    b.accept();
    a.send("1");
    a.send("2");
    // As long as it takes where every turn collects.
    for (let i = 0; order.length < 4 && i < 500; i++) await sleep(20);
    same(order, ["1 begins", "1 ends", "2 begins", "2 ends"]);
  },

  async misuse_has_its_errors() {
    const [a, b] = new WebSocketPair();
    await fails(() => a.send("x"), { name: "TypeError", message: /must call one of accept/ });
    a.accept();
    a.accept();
    await fails(() => a.close(1005), { name: "InvalidAccessError", message: /close code: 1005/ });
    await fails(() => a.close(undefined, "why"), { name: "InvalidAccessError", message: /must also specify a code/ });
    await fails(() => a.close(1000, "x".repeat(124)), { name: "SyntaxError" });
    a.close();
    a.close();
    await fails(() => a.send("x"), { name: "TypeError", message: /after close/ });
    await fails(() => new Response(null, { webSocket: b }), { name: "RangeError", message: /status code 101/ });
    await fails(() => new Response(null, { status: 101 }), { name: "RangeError" });
    const response = new Response(null, { status: 101, webSocket: b });
    equal(response.webSocket, b);
    await fails(() => response.clone(), { name: "TypeError", message: /Cannot clone/ });
  },

  async half_open_is_for_those_who_ask() {
    const [a, b] = new WebSocketPair();
    const [atA, atB] = [heard(a), heard(b)];
    a.accept();
    b.accept({ allowHalfOpen: true });
    a.close(3000, "first");
    await atB.closed;
    equal(b.readyState, WebSocket.CLOSING);
    b.send("still here");
    equal(await atA.next(), "still here");
    b.close(3001, "second");
    same([(await atA.closed).code, b.readyState], [3001, WebSocket.CLOSED]);
  },

  async the_constructor_checks_its_arguments() {
    for (const [url, message] of [["nonsense", /url is invalid/], ["https://x/", /must be ws or wss/], ["ws://x/#f", /fragment/]]) {
      await fails(() => new WebSocket(url), { name: "SyntaxError", message });
    }
    await fails(() => new WebSocket("ws://x/", ["a", "a"]), { name: "SyntaxError" });
    await fails(() => new WebSocket("ws://x/", "a b"), { name: "SyntaxError" });
    await fails(() => new WebSocket(), { name: "TypeError" });
    same([WebSocket.OPEN, WebSocket.prototype.CLOSED, WebSocket.READY_STATE_CLOSING], [1, 3, 2]);
    await fails(() => WebSocket.prototype.readyState, { name: "TypeError" });
  },

  async an_attachment_is_a_copy() {
    const [a] = new WebSocketPair();
    equal(a.deserializeAttachment(), null);
    const kept = { when: new Date(5), list: [1n] };
    a.serializeAttachment(kept);
    kept.list.push(2n);
    equal(a.deserializeAttachment().list.length, 1);
    equal(a.deserializeAttachment().when.getTime(), 5);
    await fails(() => a.serializeAttachment("x".repeat(20_000)), { message: /cannot be larger than 16384/ });
  },

  // ---- between Workers

  async through_a_service(env) {
    await echoConversation(await open(env.ECHO, { "sec-websocket-key": "mine" }));
  },

  async through_a_dynamic_worker(env) {
    await echoConversation(await open(child(env, CHILD_ECHO)));
  },

  async through_a_dynamic_worker_that_only_passes_it_on(env) {
    const proxy = child(env, CHILD_PROXY, { env: { ECHO: env.ECHO } });
    const conversation = await open(proxy, { "sec-websocket-protocol": "b, a" });
    equal(conversation.response.headers.get("sec-websocket-protocol"), "b");
    await echoConversation(conversation);
  },

  async a_response_carries_its_socket_over_rpc(env) {
    const response = await env.CARRIER.respond();
    const socket = response.webSocket;
    socket.binaryType = "arraybuffer";
    const ears = heard(socket);
    socket.accept();
    await echoConversation({ socket, ...ears });
    const [alone] = new WebSocketPair();
    await fails(() => env.CARRIER.take(alone), { name: "DataCloneError" });
  },

  async an_outbound_service_gets_the_websocket(env) {
    const main = `export default { async fetch() {
      const socket = new WebSocket("wss://user:secret@anywhere.test/chat?a", ["p", "q"]);
      if (socket.readyState !== WebSocket.CONNECTING || socket.protocol !== "") throw new Error("not connecting");
      await new Promise((resolve, reject) => {
        socket.onopen = resolve;
        socket.addEventListener("error", ({ error }) => reject(error));
      });
      socket.send("ping");
      const { data } = await new Promise((resolve) => { socket.onmessage = resolve; });
      socket.close();
      const { code } = await new Promise((resolve) => { socket.onclose = resolve; });
      return new Response([socket.url, socket.protocol, data, code].join(" "));
    } };`;
    const response = await child(env, main, { globalOutbound: env.ECHO }).fetch("https://child/");
    equal(await response.text(), "wss://user:secret@anywhere.test/chat?a p ping 1005");
  },

  async without_outbound_nothing_connects(env) {
    const main = `import { connect } from "cloudflare:sockets";
      export default { async fetch(request) {
        if (request.url.endsWith("tcp")) {
          try { connect("example.com:80"); } catch (error) { return new Response(error.message); }
        }
        const socket = new WebSocket("wss://example.com/");
        const error = new Promise((resolve) => socket.addEventListener("error", resolve));
        const close = new Promise((resolve) => socket.addEventListener("close", resolve));
        const [{ error: { message } }, { code, wasClean }] = await Promise.all([error, close]);
        return new Response([message, code, wasClean, socket.readyState].join("|"));
      } };`;
    const stub = child(env, main, { globalOutbound: null });
    matches(await (await stub.fetch("https://child/tcp")).text(), /not permitted to access the internet/);
    matches(await (await stub.fetch("https://child/ws")).text(), /not permitted.*\|1006\|false\|3$/);
  },

  async a_plain_response_is_no_websocket(env) {
    const plain = child(env, `export default { fetch() { return new Response("hi"); } };`);
    const response = await plain.fetch("https://x/", { headers: { upgrade: "websocket" } });
    same([response.status, response.webSocket, await response.text()], [200, null, "hi"]);
    const main = `export default { async fetch() {
      const socket = new WebSocket("wss://x/");
      const { error } = await new Promise((resolve) => socket.addEventListener("error", resolve));
      return new Response(error.message);
    } };`;
    const asked = child(env, main, { globalOutbound: env.EVENTS });
    matches(await (await asked.fetch("https://x/")).text(), /status code 101.*received 200 instead/);
  },

  async a_socket_for_a_request_that_did_not_ask_is_an_error(env) {
    await fails(() => env.ECHO.fetch("https://x/"), { name: "TypeError", message: /did not contain the header/ });
  },

  async a_large_message_passes_whole(env) {
    const { socket, next, closed } = await open(child(env, CHILD_ECHO));
    const large = new Uint8Array(5 * 1024 * 1024);
    large.forEach((_, i) => { large[i] = i * 31; });
    socket.send(large);
    const back = new Uint8Array(await next());
    equal(back.length, large.length);
    equal(back.findIndex((byte, i) => byte !== large[i]), -1);
    await fails(() => socket.send(new Uint8Array(32 * 1024 * 1024 + 1)), { message: /too large/ });
    socket.close();
    await closed;
  },

  async who_does_not_read_is_not_written_to_without_end(env) {
    const deaf = child(env, `export default { fetch() {
      const [client, server] = new WebSocketPair();
      globalThis.kept = server;
      return new Response(null, { status: 101, webSocket: client });
    } };`);
    const { socket } = await open(deaf);
    const piece = new Uint8Array(8 * 1024 * 1024);
    const error = await fails(async () => {
      for (let i = 0; i < 20; i++) socket.send(piece);
    });
    matches(error.message, /UNSENT_BYTES_MAX/);
  },

  async a_worker_that_dies_closes_its_sockets_with_1006(env) {
    const { socket, closed } = await open(child(env, CHILD_ECHO, { limits: { cpuMs: 50 } }));
    socket.send("spin");
    const { code, wasClean, reason } = await closed;
    same([code, wasClean], [1006, false]);
    matches(reason, /without sending Close frame/);
    socket.send("into the void");
  },

  async each_message_has_the_cpu_limit_to_itself(env) {
    const busy = child(env, `export default { fetch() {
      const [client, server] = new WebSocketPair();
      server.accept();
      server.addEventListener("message", () => {
        const until = performance.now() + 60;
        while (performance.now() < until);
        server.send("done");
      });
      return new Response(null, { status: 101, webSocket: client });
    } };`, { limits: { cpuMs: 200 } });
    const { socket, next, closed } = await open(busy);
    for (let i = 0; i < 8; i++) {
      socket.send("work");
      equal(await next(), "done");
    }
    socket.close();
    await closed;
  },

  async messages_keep_their_order(env) {
    const { socket, next, closed } = await open(env.ECHO);
    socket.send("!many 500");
    for (let i = 0; i < 500; i++) equal(await next(), String(i));
    socket.close();
    await closed;
  },

  // ---- EventSource

  async an_event_source_reads_and_reconnects(env) {
    const source = new EventSource("https://events.test/stream", { fetcher: env.EVENTS });
    equal(source.readyState, EventSource.CONNECTING);
    const seen = [];
    await new Promise((resolve) => {
      source.addEventListener("news", ({ data, lastEventId, origin }) => seen.push(["news", data, lastEventId, origin]));
      source.onerror = () => seen.push(["error", source.readyState]);
      source.onmessage = ({ data, lastEventId }) => {
        seen.push(["message", data, lastEventId]);
        if (data.startsWith("after")) resolve();
      };
    });
    source.close();
    equal(source.readyState, EventSource.CLOSED);
    same(seen, [
      ["message", "a\nb", "7"],
      ["news", "c", "7", "https://events.test"],
      ["error", EventSource.CONNECTING],
      ["message", "after 7", "7"],
    ]);
  },

  async an_event_source_from_a_stream() {
    const pieces = ["data: on", "e\n\nda", "ta: two\r", "\n\r\n"].map(bytes);
    const stream = new ReadableStream({
      async pull(controller) {
        await sleep(1);
        const piece = pieces.shift();
        if (piece === undefined) controller.close();
        else controller.enqueue(piece);
      },
    });
    const source = EventSource.from(stream);
    const seen = [];
    source.onmessage = ({ data }) => seen.push(data);
    await new Promise((resolve) => { source.onerror = resolve; });
    same(seen, ["one", "two"]);
    equal(source.readyState, EventSource.CLOSED);
    await fails(() => EventSource.from(stream), { name: "TypeError" });
  },

  // ---- connect() between Workers

  async a_service_takes_a_connection(env) {
    const socket = env.TAKER.connect("db.test:5432");
    same(await socket.opened, { remoteAddress: "db.test:5432" });
    equal(await textOf(socket.readable), "taken db.test:5432");
    await socket.closed;
    same([socket.upgraded, socket.secureTransport], [false, "off"]);
  },

  async bytes_go_both_ways(env) {
    const socket = env.ECHO.connect({ hostname: "db.test", port: 1 });
    const writer = socket.writable.getWriter();
    void writer.write(bytes("x".repeat(1_000_000)));
    void writer.close();
    equal((await textOf(socket.readable)).length, 1_000_000);
    await socket.closed;
  },

  async half_open_connections_go_on_after_the_end(env) {
    const socket = env.TAKER.connect("db.test:1", { allowHalfOpen: true });
    equal(await textOf(socket.readable), "taken db.test:1");
    let over = false;
    void socket.closed.then(() => { over = true; }, () => { over = true; });
    await sleep(10);
    await socket.close();
    equal(over, true);
  },

  async an_outbound_service_gets_the_connection(env) {
    const main = `import { connect } from "cloudflare:sockets";
      export default { async fetch() { return new Response(connect("10.0.0.1:22").readable); } };`;
    const response = await child(env, main, { globalOutbound: env.TAKER }).fetch("https://x/");
    equal(await response.text(), "taken 10.0.0.1:22");
  },

  async a_service_without_a_handler_refuses(env) {
    const socket = env.NOBODY.connect("x:1");
    await fails(() => socket.opened, { message: /does not export a connect\(\) function/ });
    await fails(() => socket.closed);
    await fails(() => socket.writable.getWriter().write(bytes("x")));
  },

  async addresses_and_options_are_checked() {
    for (const [address, message] of [
      ["", /could not be parsed|missing/],
      ["host", /missing port/],
      [":80", /could not be parsed|missing hostname/],
      ["a b:80", /could not be parsed|unsupported/],
      [{ hostname: "a/b", port: 1 }, /unsupported characters/],
      [{ hostname: "a", port: 70_000 }, /port 70000/],
      ["x".repeat(300) + ":1", /too long/],
    ]) {
      await fails(() => connect(address), { name: "TypeError", message });
    }
    await fails(() => connect("x:1", { secureTransport: "maybe" }), { name: "TypeError", message: /secureTransport/ });
  },

  async a_virtual_host_leads_to_its_service(env, ctx) {
    const host = ctx.mapVirtualHost(env.TAKER, 5432);
    matches(host, /^[0-9a-f]{32}\.workers\.alt:5432$/);
    equal(ctx.mapVirtualHost(env.TAKER, 1), host);
    equal(await textOf(connect(host).readable), `taken ${host}`);
  },
};

// ---- with a server of the network

const networked = {
  async tcp_echo(env, ctx, request) {
    const socket = connect(`127.0.0.1:${port(request)}`);
    const { remoteAddress } = await socket.opened;
    equal(remoteAddress, `127.0.0.1:${port(request)}`);
    const writer = socket.writable.getWriter();
    void writer.write(bytes("a".repeat(2_000_000)));
    void writer.write(bytes("end"));
    void writer.close();
    const text = await textOf(socket.readable);
    same([text.length, text.slice(-3)], [2_000_003, "end"]);
    await socket.closed;
  },

  async tcp_nobody_listens(env, ctx, request) {
    const socket = connect({ hostname: "127.0.0.1", port: Number(port(request)) });
    const error = await fails(() => socket.opened);
    matches(error.message, /proxy request failed, cannot connect to the specified address \(/);
    await fails(() => socket.closed, { message: /proxy request failed/ });
    await fails(() => socket.readable.getReader().read());
  },

  async tls_echo(env, ctx, request) {
    const socket = connect(`localhost:${port(request)}`, { secureTransport: "on" });
    await fails(() => socket.startTls(), { name: "TypeError", message: /Cannot startTls on a TLS socket/ });
    const writer = socket.writable.getWriter();
    await writer.write(bytes("secret"));
    const reader = socket.readable.getReader();
    equal(new TextDecoder().decode((await reader.read()).value), "secret");
    await writer.close();
    equal((await reader.read()).done, true);
    await socket.closed;
  },

  async tls_checks_the_name(env, ctx, request) {
    const socket = connect(`127.0.0.1:${port(request)}`, { secureTransport: "on" });
    matches((await fails(() => socket.opened)).message, /TLS with 127\.0\.0\.1 failed/);
  },

  async starttls(env, ctx, request) {
    const plain = connect(`localhost:${port(request)}`, { secureTransport: "starttls" });
    await fails(() => connect("localhost:1").startTls(), { name: "TypeError", message: /must be set to 'starttls'/ });
    const reader = plain.readable.getReader();
    equal(new TextDecoder().decode((await reader.read()).value), "ready\n");
    const writer = plain.writable.getWriter();
    await writer.write(bytes("starttls\n"));
    equal(new TextDecoder().decode((await reader.read()).value), "go\n");
    reader.releaseLock();
    writer.releaseLock();
    const secure = plain.startTls();
    await fails(() => plain.startTls(), { name: "TypeError" });
    const secureWriter = secure.writable.getWriter();
    void secureWriter.write(bytes("over tls"));
    await secure.opened;
    await plain.closed;
    same([plain.upgraded, secure.secureTransport], [true, "on"]);
    const secureReader = secure.readable.getReader();
    equal(new TextDecoder().decode((await secureReader.read()).value), "over tls");
    secureReader.releaseLock();
    secureWriter.releaseLock();
    await secure.close();
  },

  async starttls_that_never_comes(env, ctx, request) {
    const plain = connect(`localhost:${port(request)}`, { secureTransport: "starttls" });
    const reader = plain.readable.getReader();
    await reader.read();
    await plain.writable.getWriter().write(bytes("quit\n"));
    equal(new TextDecoder().decode((await reader.read()).value), "bye\n");
    await reader.read();
    await plain.closed;
  },

  async websocket_client(env, ctx, request) {
    const url = `ws://127.0.0.1:${port(request)}/chat`;
    const socket = new WebSocket(url, ["superchat", "chat"]);
    socket.binaryType = "arraybuffer";
    const ears = heard(socket);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = ({ error }) => reject(error);
    });
    same([socket.protocol, socket.readyState], ["superchat", WebSocket.OPEN]);
    await echoConversation({ socket, ...ears });
  },

  async websocket_of_a_fetch(env, ctx, request) {
    const url = `http://127.0.0.1:${port(request)}/chat`;
    const response = await fetch(url, { headers: { Upgrade: "websocket", "X-Own": "1" } });
    const socket = response.webSocket;
    socket.binaryType = "arraybuffer";
    const ears = heard(socket);
    socket.accept();
    await echoConversation({ socket, ...ears });
  },

  async websocket_refused_by_the_server(env, ctx, request) {
    const response = await fetch(`http://127.0.0.1:${port(request)}/none`, { headers: { upgrade: "websocket" } });
    same([response.status, response.webSocket], [404, null]);
    equal(await response.text(), "no socket here");
  },

  async websocket_cut_by_the_server(env, ctx, request) {
    const socket = new WebSocket(`ws://127.0.0.1:${port(request)}/cut`);
    const { code, wasClean } = await new Promise((resolve) => { socket.onclose = resolve; });
    same([code, wasClean], [1006, false]);
  },

  async websocket_message_too_large(env, ctx, request) {
    const socket = new WebSocket(`ws://127.0.0.1:${port(request)}/huge`);
    const { error } = await new Promise((resolve) => { socket.onerror = resolve; });
    matches(error.message, /Message is too large: \d+ > 33554432/);
    equal(socket.readyState, WebSocket.CLOSED);
  },

  async egress_is_judged(env, ctx, request) {
    for (const host of ["127.0.0.2", "[::1]", "[::ffff:127.0.0.2]", "2130706434", "0x7f.2", "0177.0.0.2", "10.0.0.1"]) {
      const error = await fails(() => connect(`${host}:${port(request)}`).opened);
      matches(error.message, /egress to .* is refused/, host);
      const response = fetch(`http://${host}:${port(request)}/chat`, { headers: { upgrade: "websocket" } });
      matches((await fails(() => response)).message, /egress to .* is refused/, host);
    }
  },
};

const all = { ...cases, ...networked };

export default {
  fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    if (pathname === "/echo") return echoSocket(request);
    if (pathname === "/child") return child(env, CHILD_ECHO).fetch(request);
    if (pathname === "/mortal") return child(env, CHILD_ECHO, { limits: { cpuMs: 50 } }).fetch(request);
    if (pathname === "/deaf") {
      const [client, server] = new WebSocketPair();
      ctx.waitUntil(new Promise((resolve) => setTimeout(resolve, 5000, server)));
      return new Response(null, { status: 101, webSocket: client });
    }
    if (pathname === "/") return Response.json(Object.keys(cases));
    return suite(all).fetch(request, env, ctx);
  },
};
