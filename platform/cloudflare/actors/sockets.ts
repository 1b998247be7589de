// Hibernating WebSockets: the ones that `ctx.acceptWebSocket()` leaves to the host.
//
// The host has the connection, its tags, its attachment and the auto-response; a WebSocket here is a view
// of one, made when it is asked for. So an instance may go at any time, and the next one finds the same
// sockets under the same numbers. What is heard comes as events of the object; what is said leaves like
// everything else that an object says, after its writes.
//
// Invariant: one WebSocket for a number in an instance.

import { ops, wire } from "../../ops.ts";
import type { HeldSocket, SocketEvent } from "../../ops.ts";
import type { Invocation } from "../context.ts";
import { describe } from "../errors.ts";
import { errorOf, failureOf } from "../failures.ts";
import { RESOLVED } from "../../web/streams/promises.ts";
import { Close, type Said, encodeSaid } from "../../web/parcels.ts";
import type { HandedOver, Speech } from "../../web/socket-line.ts";
import {
  type Keeper, type WebSocket, heardClose, isAccepted, isWebSocket, keepWebSocket, keeperOf, keptWebSocket,
} from "../../web/websocket.ts";
import { WebSocketRequestResponsePair, autoResponseOf } from "../../web/websocket-auto-response.ts";
import { USVString } from "../../web/webidl.ts";
import type { Instance } from "./instance.ts";

/** As documented. */
const TAGS_MAX = 10;
const TAG_CHARS_MAX = 256;
const AUTO_RESPONSE_BYTES_MAX = 2048;
const EVENT_MS_MAX = 604_800_000;

/** What a kept socket speaks through: the host. It is heard through events. */
class HostSpeech implements Speech {
  readonly #instance: Instance;
  readonly #socket: number;
  readonly remote = false;
  readonly unsent = 0;
  readonly unsentPayload = 0;
  readonly sent = RESOLVED;
  whenRemote: (() => void) | undefined;

  constructor(instance: Instance, socket: number) {
    this.#instance = instance;
    this.#socket = socket;
  }

  say(what: Said): void {
    if (this.#instance.ended !== undefined) throw this.#instance.ended.reason;
    wire.socketSay(this.#instance.number, this.#socket, encodeSaid(what), what instanceof Close);
  }

  listen(): void {}

  handOver(): HandedOver {
    throw new TypeError("Can't return WebSocket in a Response after calling acceptWebSocket().");
  }

  drop(): void {}
}

class HostKeeper implements Keeper {
  readonly speech: HostSpeech;
  readonly other: HeldSocket;
  readonly #instance: Instance;
  readonly socket: number;

  constructor(instance: Instance, socket: number) {
    this.#instance = instance;
    this.socket = socket;
    this.speech = new HostSpeech(instance, socket);
    this.other = ["held", instance.number, socket];
  }

  attachment(): Uint8Array | undefined {
    const reply = this.#instance.ask(["socketAttachment", this.socket]);
    return reply[0] === "values" ? reply[1][0] : undefined;
  }

  attach(bytes: Uint8Array): void {
    this.#instance.ask(["setSocketAttachment", this.socket, bytes]);
  }
}

function socketOf(value: unknown, what: string): WebSocket {
  if (!isWebSocket(value)) throw new TypeError(`${what} needs a WebSocket, not ${describe(value)}.`);
  return value;
}

/** The sockets of one instance, as far as they were asked for. */
export class HostSockets {
  readonly #instance: Instance;
  readonly #known = new Map<number, WebSocket>();

  constructor(instance: Instance) {
    this.#instance = instance;
  }

  accept(value: unknown, given: unknown): void {
    const socket = socketOf(value, "ctx.acceptWebSocket()");
    const tags = tagsOf(given);
    keepWebSocket(socket, () => {
      const reply = this.#instance.ask(["acceptSocket", tags]);
      const keeper = new HostKeeper(this.#instance, reply[1] as number);
      this.#known.set(keeper.socket, socket);
      return keeper;
    });
  }

  list(tag: unknown): WebSocket[] {
    const asked = tag === undefined ? undefined : USVString(tag, "ctx.getWebSockets(): tag");
    const reply = this.#instance.ask(["sockets", asked]);
    if (reply[0] !== "sockets") return [];
    const [, sockets, closed] = reply;
    return sockets.map((socket) => this.#view(socket, closed.includes(socket)));
  }

  #view(number: number, closed: boolean): WebSocket {
    let socket = this.#known.get(number);
    if (socket === undefined) {
      socket = keptWebSocket(new HostKeeper(this.#instance, number), closed);
      this.#known.set(number, socket);
    }
    return socket;
  }

  tags(value: unknown): string[] {
    const socket = socketOf(value, "ctx.getTags()");
    const keeper = keeperOf(socket);
    if (!(keeper instanceof HostKeeper)) {
      throw new Error(
        isAccepted(socket)
          ? "only hibernatable websockets can have tags."
          : "you must call 'acceptWebSocket()' before attempting to access the tags of a WebSocket.",
      );
    }
    const reply = this.#instance.ask(["socketTags", keeper.socket]);
    return reply[0] === "texts" ? reply[1] : [];
  }

  setAutoResponse(pair: unknown): void {
    if (pair === undefined || pair === null) {
      this.#instance.ask(["setAutoResponse", undefined, ""]);
      return;
    }
    const { request, response } = autoResponseOf(pair);
    checkBytes("Request", "request", request);
    checkBytes("Response", "response", response);
    this.#instance.ask(["setAutoResponse", request, response]);
  }

  autoResponse(): WebSocketRequestResponsePair | null {
    const reply = this.#instance.ask(["autoResponse"]);
    return reply[0] === "texts" && reply[1].length === 2 ? new WebSocketRequestResponsePair(reply[1][0], reply[1][1]) : null;
  }

  autoResponseTime(value: unknown): Date | null {
    const keeper = keeperOf(socketOf(value, "ctx.getWebSocketAutoResponseTimestamp()"));
    if (!(keeper instanceof HostKeeper)) return null;
    const reply = this.#instance.ask(["autoResponseTime", keeper.socket]);
    return reply[0] === "time" && reply[1] !== undefined ? new Date(reply[1]) : null;
  }

  setTimeout(value: unknown): void {
    const ms = value === undefined || value === null ? 0 : Number(value) >>> 0;
    if (ms > EVENT_MS_MAX) throw new Error(`Event timeout should not exceed ${EVENT_MS_MAX} ms.`);
    this.#instance.ask(["setSocketTimeout", ms === 0 ? undefined : ms]);
  }

  timeout(): number | null {
    const reply = this.#instance.ask(["socketTimeout"]);
    return reply[0] === "time" ? (reply[1] ?? null) : null;
  }

  /** Calls the object's handler for what was heard. */
  async hear(invocation: Invocation, event: SocketEvent): Promise<void> {
    const number = event[1];
    const socket = this.#view(number, false);
    const isLast = event[0] === "socketClose" || event[0] === "socketError";
    if (event[0] === "socketClose") heardClose(socket, event[4] ? new Close(event[2], event[3]) : undefined);
    if (event[0] === "socketError") heardClose(socket, undefined);
    try {
      await this.#call(socket, event);
    } catch (error) {
      // Nobody waits for the outcome, so that it is told here.
      wire.exception(invocation.call, failureOf(error));
      throw error;
    } finally {
      if (isLast) this.#known.delete(number);
    }
    invocation.return(["nothing", false]);
  }

  #call(socket: WebSocket, event: SocketEvent): unknown {
    switch (event[0]) {
      case "socketText":
        return this.#handle("webSocketMessage", [socket, event[2]]);
      case "socketBytes":
        return this.#handle("webSocketMessage", [socket, event[2].buffer]);
      case "socketClose":
        return this.#handle("webSocketClose", [socket, event[2], event[3], event[4]]);
      case "socketError":
        return this.#handle("webSocketError", [socket, errorOf(event[2])]);
    }
  }

  #handle(name: string, args: unknown[]): unknown {
    const { object } = this.#instance;
    const handler = (object as Record<string, unknown>)[name];
    // As in workerd, an object without the handler hears nothing.
    return typeof handler === "function" ? Reflect.apply(handler, object, args) : undefined;
  }
}

function tagsOf(given: unknown): string[] {
  if (given === undefined) return [];
  if (typeof given !== "object" || given === null || !(Symbol.iterator in given)) {
    throw new TypeError(`ctx.acceptWebSocket(): tags must be an array of strings, not ${describe(given)}.`);
  }
  const tags = new Set<string>();
  for (const item of given as Iterable<unknown>) {
    const tag = USVString(item, "ctx.acceptWebSocket(): tags");
    if (tags.size >= TAGS_MAX) throw new Error(`a Hibernatable WebSocket cannot have more than ${TAGS_MAX} tags`);
    if (tag.length > TAG_CHARS_MAX) {
      throw new Error(`"${tag}" is longer than the max tag length (${TAG_CHARS_MAX} characters).`);
    }
    tags.add(tag);
  }
  return [...tags];
}

function checkBytes(what: string, noun: string, text: string): void {
  const bytes = ops.textEncode(text).length;
  if (bytes <= AUTO_RESPONSE_BYTES_MAX) return;
  throw new RangeError(
    `${what} cannot be larger than ${AUTO_RESPONSE_BYTES_MAX} bytes. A ${noun} of size ${bytes} was provided.`,
  );
}
