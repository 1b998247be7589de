// Hibernating WebSockets: a room whose sockets the host holds, as a server for clients of the network
// (`/room/<name>`, tags in `?tag=`), and cases.

import { DurableObject } from "cloudflare:workers";
import { equal, fails, same, sleep, suite } from "../kit/suite.js";

let instances = 0;

export class Room extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.serial = ++instances;
    this.heard = 0;
  }
  fetch(request) {
    const url = new URL(request.url);
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server, url.searchParams.getAll("tag"));
    server.serializeAttachment({ since: "accepted", at: url.pathname });
    if (url.searchParams.has("hello")) server.send("hello");
    return new Response(null, { status: 101, webSocket: client });
  }
  async webSocketMessage(socket, message) {
    this.heard++;
    if (typeof message !== "string") return socket.send(message);
    const [word, ...rest] = message.split(" ");
    switch (word) {
      case "echo":
        return socket.send(rest.join(" "));
      case "who":
        return socket.send(JSON.stringify({
          heard: this.heard,
          attachment: socket.deserializeAttachment(),
          tags: this.ctx.getTags(socket),
          sockets: this.ctx.getWebSockets().length,
          same: this.ctx.getWebSockets().includes(socket),
        }));
      case "keep":
        return socket.serializeAttachment({ kept: rest.join(" ") });
      case "tell":
        for (const other of this.ctx.getWebSockets(rest[0])) other.send(rest[1]);
        return;
      case "count":
        await this.ctx.storage.put("n", ((await this.ctx.storage.get("n")) ?? 0) + 1);
        return socket.send(String(await this.ctx.storage.get("n")));
      case "close":
        return socket.close(Number(rest[0]), rest[1]);
      case "throw":
        throw new Error("thrown by a handler");
      case "abort":
        return this.ctx.abort("broken on purpose");
      case "slow":
        await sleep(Number(rest[0]));
        return socket.send(`slept ${rest[0]}`);
      case "timeout":
        return this.ctx.setHibernatableWebSocketEventTimeout(Number(rest[0]));
      case "auto":
        this.ctx.setWebSocketAutoResponse(
          rest.length === 2 ? new WebSocketRequestResponsePair(rest[0], rest[1]) : undefined,
        );
        return socket.send("set");
      case "autotime":
        return socket.send(String(this.ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? "never"));
    }
  }
  async webSocketClose(socket, code, reason, clean) {
    const closes = (await this.ctx.storage.get("closes")) ?? [];
    await this.ctx.storage.put("closes", [...closes, { code, reason, clean, state: socket.readyState }]);
  }
  async webSocketError(socket, error) {
    await this.ctx.storage.put("error", String(error));
  }
  async seen() {
    return {
      serial: this.serial,
      heard: this.heard,
      sockets: this.ctx.getWebSockets().length,
      closes: (await this.ctx.storage.get("closes")) ?? [],
      error: await this.ctx.storage.get("error"),
    };
  }
  limits() {
    const { ctx } = this;
    const pair = () => Object.values(new WebSocketPair());
    const caught = (work) => {
      try {
        work();
        return "nothing";
      } catch (error) {
        return `${error.name}: ${error.message}`;
      }
    };
    const accepted = pair()[0];
    accepted.accept();
    const [kept, other] = pair();
    ctx.acceptWebSocket(kept, ["a", "a", "b"]);
    const tags = ctx.getTags(kept);
    const half = pair();
    half[1].accept();
    return {
      tags,
      eleven: caught(() => ctx.acceptWebSocket(pair()[0], Array.from({ length: 11 }, (_, n) => `t${n}`))),
      long: caught(() => ctx.acceptWebSocket(pair()[0], ["x".repeat(257)])).replace(/x+/, "x"),
      accepted: caught(() => ctx.acceptWebSocket(accepted)),
      half: caught(() => ctx.acceptWebSocket(half[0])),
      again: caught(() => ctx.acceptWebSocket(kept)),
      accept: caught(() => kept.accept()),
      untagged: caught(() => ctx.getTags(pair()[0])),
      attachment: caught(() => kept.serializeAttachment("x".repeat(20_000))).replace(/was \d+/, "was n"),
      request: caught(() => ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("x".repeat(2049), "y"))),
      response: caught(() => ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("x", "y".repeat(2049)))),
      timeout: caught(() => ctx.setHibernatableWebSocketEventTimeout(604_800_001)),
      none: [ctx.getWebSocketAutoResponse(), ctx.getHibernatableWebSocketEventTimeout()],
      set: (() => {
        ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
        ctx.setHibernatableWebSocketEventTimeout(5000);
        const { request, response } = ctx.getWebSocketAutoResponse();
        return [request, response, ctx.getHibernatableWebSocketEventTimeout()];
      })(),
      unset: (() => {
        ctx.setWebSocketAutoResponse();
        ctx.setHibernatableWebSocketEventTimeout();
        return [ctx.getWebSocketAutoResponse(), ctx.getHibernatableWebSocketEventTimeout()];
      })(),
      closed: other.readyState,
    };
  }
  /** Both ends here: one is the host's, the other one this guest's. */
  async within() {
    const [near, far] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(near, ["within"]);
    far.accept();
    const heard = new Promise((resolve) => far.addEventListener("message", ({ data }) => resolve(data)));
    far.send("echo to myself");
    const said = await heard;
    far.close(1000, "done");
    return said;
  }
}

/** Answers no close by itself. */
export class HalfOpen extends Room {
  async webSocketClose(socket, code, reason) {
    socket.close(code, `answered ${reason}`);
  }
}

/** Hears nothing. */
export class Silent extends DurableObject {
  fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }
  sockets() {
    return this.ctx.getWebSockets().length;
  }
}

async function open(stub, query = "") {
  const response = await stub.fetch(`https://room/${query}`, { headers: { upgrade: "websocket" } });
  equal(response.status, 101, "status");
  const socket = response.webSocket;
  socket.binaryType = "arraybuffer";
  const queue = [];
  let wake;
  socket.addEventListener("message", ({ data }) => {
    queue.push(data);
    wake?.();
  });
  const closed = new Promise((resolve) => socket.addEventListener("close", ({ code, reason }) => resolve({ code, reason })));
  socket.accept();
  const next = async () => {
    while (queue.length === 0) await new Promise((resolve) => { wake = resolve; });
    return queue.shift();
  };
  return { socket, next, closed };
}

async function until(check) {
  for (let i = 0; i < 2400; i++) {
    const found = await check();
    if (found) return found;
    await sleep(25);
  }
  throw new Error("waited for too long");
}

let fresh = 0;
const room = (env) => env.ROOM.getByName(`room ${Date.now()} ${++fresh}`);

const cases = suite({
  async messages_tags_and_attachments(env) {
    const stub = room(env);
    const one = await open(stub, "?tag=a&tag=all&hello");
    equal(await one.next(), "hello");
    const two = await open(stub, "?tag=b&tag=all");
    one.socket.send("who");
    same(JSON.parse(await one.next()), {
      heard: 1, attachment: { since: "accepted", at: "/" }, tags: ["a", "all"], sockets: 2, same: true,
    });
    two.socket.send("tell a fromtwo");
    equal(await one.next(), "fromtwo");
    two.socket.send("tell all everybody");
    equal(await one.next(), "everybody");
    equal(await two.next(), "everybody");
    one.socket.send(new Uint8Array([1, 2, 255]));
    same([...new Uint8Array(await one.next())], [1, 2, 255]);
    one.socket.send(`echo ${"\u{e9}".repeat(200_000)}`);
    equal((await one.next()).length, 200_000);
    one.socket.send("count");
    two.socket.send("count");
    same([await one.next(), await two.next()].sort(), ["1", "2"]);
    one.socket.send("throw");
    one.socket.send("echo alive");
    equal(await one.next(), "alive", "after an exception in the handler");
  },
  async either_side_closes(env) {
    const stub = room(env);
    const one = await open(stub);
    one.socket.close(4001, "client is done");
    // The flag is on by this date: the close is answered before the handler hears of it.
    same(await one.closed, { code: 4001, reason: "client is done" });
    const { closes, sockets } = await until(async () => {
      const seen = await stub.seen();
      return seen.closes.length === 1 && seen.sockets === 0 && seen;
    });
    same(closes, [{ code: 4001, reason: "client is done", clean: true, state: 3 }]);
    equal(sockets, 0);
    const two = await open(stub);
    two.socket.send("close 4002 object");
    same(await two.closed, { code: 4002, reason: "object" });
    await until(async () => (await stub.seen()).closes.length === 2);
  },
  async limits(env) {
    const said = await room(env).limits();
    const size = "A WebSocket 'attachment' cannot be larger than 16384 bytes.'attachment' was n bytes.";
    same(said, {
      tags: ["a", "b"],
      eleven: "Error: a Hibernatable WebSocket cannot have more than 10 tags",
      long: 'Error: "x" is longer than the max tag length (256 characters).',
      accepted: "Error: Cannot call `acceptWebSocket()` if the WebSocket was already accepted via `accept()`",
      half: "Error: Cannot call `acceptWebSocket()` on this WebSocket because its pair has already been accepted or used in a Response.",
      again: "Error: Cannot call `acceptWebSocket()` if the WebSocket was already accepted via `accept()`",
      accept: "TypeError: Can't accept() WebSocket after enabling hibernation.",
      untagged: "Error: you must call 'acceptWebSocket()' before attempting to access the tags of a WebSocket.",
      attachment: `Error: ${size}`,
      request: "RangeError: Request cannot be larger than 2048 bytes. A request of size 2049 was provided.",
      response: "RangeError: Response cannot be larger than 2048 bytes. A response of size 2049 was provided.",
      timeout: "Error: Event timeout should not exceed 604800000 ms.",
      none: [null, null],
      set: ["ping", "pong", 5000],
      unset: [null, null],
      closed: 1,
    });
  },
  async both_ends_in_one_guest(env) {
    equal(await room(env).within(), "to myself");
  },
  async an_auto_response_does_not_wake(env) {
    const stub = room(env);
    const { socket, next } = await open(stub);
    socket.send("auto ping pong");
    equal(await next(), "set");
    socket.send("autotime");
    equal(await next(), "never");
    const heard = (await stub.seen()).heard;
    socket.send("ping");
    equal(await next(), "pong");
    equal((await stub.seen()).heard, heard, "messages that the object heard");
    socket.send("autotime");
    equal(Math.abs(Date.now() - Number(await next())) < 60_000, true, "time of the auto-response");
    socket.send("auto");
    equal(await next(), "set");
    socket.send("ping");
    socket.send("echo after");
    equal(await next(), "after");
  },
  async an_event_ends_with_its_time(env) {
    const { socket, next } = await open(room(env));
    socket.send("timeout 100");
    socket.send("slow 5000");
    const began = Date.now();
    socket.send("echo next");
    equal(await next(), "next", "the event after the one that took too long");
    equal(Date.now() - began < 4000, true, "it did not wait for the slow one");
  },
  async an_abort_takes_the_sockets_along(env) {
    const name = `aborted ${Date.now()}`;
    const one = await open(env.ROOM.getByName(name));
    one.socket.send("abort");
    equal((await one.closed).code, 1006);
    equal((await env.ROOM.getByName(name).seen()).sockets, 0);
  },
  async an_object_without_handlers_hears_nothing(env) {
    const stub = env.SILENT.getByName(`silent ${Date.now()}`);
    const { socket, closed } = await open(stub);
    socket.send("anybody?");
    equal(await stub.sockets(), 1);
    socket.close(1000, "no");
    equal((await closed).code, 1000);
    await until(async () => (await stub.sockets()) === 0);
  },
  async a_pair_is_used_once(env) {
    const stub = room(env);
    await stub.seen();
    await fails(() => new WebSocketRequestResponsePair("a"), { name: "TypeError" });
    const pair = new WebSocketRequestResponsePair(1, { toString: () => "two" });
    same([pair.request, pair.response], ["1", "two"]);
  },
});

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    const [, kind, name] = url.pathname.split("/");
    if (kind === "room" || kind === "half") {
      return (kind === "room" ? env.ROOM : env.HALF).getByName(name).fetch(request);
    }
    if (kind === "seen") return Response.json(await env.ROOM.getByName(name).seen());
    return cases.fetch(request, env, ctx);
  },
};
