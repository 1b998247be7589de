// WebSocket and WebSocketPair, as Workers have them.
//
// What stands behind an end is a `Line` (`socket-line.ts`): the other end is in this Worker, in another
// one, or somewhere on the network, and the end behaves the same. As in workerd and not in browsers:
// `accept()` begins delivery, `send()` after `close()` throws, messages may be sent after a close was
// received, and the protocol that was not chosen is null.
//
// Deliberately absent: compression. A socket that the host holds for a Durable Object has a `Keeper`
// (`cloudflare/actors/sockets.ts`), and no event listeners.
//
// Invariants: an end is accepted or given away in a Response, once; `close` is dispatched at most once.

import type { Failure, HeldSocket, StreamId } from "../ops.ts";
import { ops } from "../ops.ts";
import { currentFrame, currentInvocation, runIn } from "../cloudflare/async-context.ts";
import type { Frame } from "../cloudflare/async-context.ts";
import { fetchThrough } from "../cloudflare/calls.ts";
import { has } from "../cloudflare/compat.ts";
import type { Held, Invocation } from "../cloudflare/context.ts";
import { errorOf } from "../cloudflare/failures.ts";
import { packAttachment, unpackAttachment } from "../cloudflare/socket-attachment.ts";
import { AbortController } from "./abort.ts";
import { Blob, blobBytes, isBlob } from "./blob.ts";
import { DOMException } from "./dom-exception.ts";
import {
  CloseEvent, ErrorEvent, Event, EventTarget, MessageEvent, adoptHandler, defineEventHandler, fireEvent,
} from "./events.ts";
import { Close, MESSAGE_BYTES_MAX, NO_CODE, type Said } from "./parcels.ts";
import { Request } from "./request.ts";
import { type HandedOver, Line, type Speech } from "./socket-line.ts";
import { startTimer } from "./timers.ts";
import {
  DOMString, USVString, boolean, bytesCopy, defineInterface, dictionary, internalToken, isBufferSource, isObject, long,
  optional, requireArguments, sequence,
} from "./webidl.ts";
import { isResponse, takeWebSocket } from "./response.ts";

const CONNECTING = 0;
const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;

/** Bytes said and not yet taken by the network, above which `send()` throws. */
const UNSENT_BYTES_MAX = 2 * MESSAGE_BYTES_MAX;

/** Milliseconds that the other side may take to answer a close. */
const CLOSE_WAIT_MS = 30_000;

/** Bytes of a close's reason where the flag asks for the standard's limit. */
const REASON_BYTES_MAX = 123;

const acceptOptions = dictionary("WebSocketAcceptOptions", { allowHalfOpen: optional(boolean) });

/** Whose a line is, to ask of one end about the other. */
const ends = new WeakMap<Line, WeakRef<WebSocket>>();

/** `waiting` is for accept() or a Response. */
type Phase = "connecting" | "waiting" | "accepted" | "released";

/** Who has a socket that outlives the Worker's memory of it. */
export interface Keeper {
  /** What the socket speaks through. */
  readonly speech: Speech;
  /** What stands for the other end. */
  readonly other: HeldSocket;
  attachment(): Uint8Array | undefined;
  attach(bytes: Uint8Array): void;
}

let internals: {
  fromLine(line: Line): WebSocket;
  handOver(socket: WebSocket): HandedOver;
  is(value: unknown): value is WebSocket;
  keep(socket: WebSocket, hold: () => Keeper): void;
  kept(keeper: Keeper, closed: boolean): WebSocket;
  keeperOf(socket: WebSocket): Keeper | undefined;
  isAccepted(socket: WebSocket): boolean;
  heardClose(socket: WebSocket, reply: Close | undefined): void;
  discard(socket: WebSocket): void;
};

export class WebSocket extends EventTarget {
  #phase: Phase = "connecting";
  #line: Speech | undefined;
  #keeper: Keeper | undefined;
  #url: string | null = null;
  #protocol: string | null = "";
  #extensions: string | null = "";
  #binaryType: "blob" | "arraybuffer" = has("websocket_standard_binary_type") ? "blob" : "arraybuffer";
  #halfOpen = !has("web_socket_auto_reply_to_close");
  #closedIncoming = false;
  #closedOutgoing = false;
  /** The other side no longer hears. */
  #deaf = false;
  #error: { reason: unknown } | undefined;
  #attachment: Uint8Array | undefined;
  #connecting: AbortController | undefined;
  /** Where listeners run, and whose work this socket is. */
  #frame: Frame | undefined;
  #invocation: Invocation | undefined;
  #heardAll: PromiseWithResolvers<void> | undefined;
  #stopWaiting: (() => void) | undefined;
  readonly #held: Held = { contextEnded: () => this.#line?.drop("the Worker's invocation has ended") };

  constructor(url: unknown, protocols: unknown = undefined) {
    super();
    if (url === internalToken) {
      this.#phase = "waiting";
      return;
    }
    requireArguments(arguments.length, 1, "WebSocket constructor");
    const text = USVString(url, "WebSocket constructor: url");
    const list = protocolList(protocols);
    const target = connectUrl(text);
    checkProtocols(list, protocols);
    this.#url = has("pedantic_wpt") ? asSocketUrl(text) : text;
    this.#connect(target, list);
  }

  static {
    internals = {
      is: (value): value is WebSocket => isObject(value) && #phase in value,
      discard: (socket) => socket.#held.contextEnded("aborted"),
      keep(socket, hold) {
        if (socket.#phase === "accepted") {
          throw new Error("Cannot call `acceptWebSocket()` if the WebSocket was already accepted via `accept()`");
        }
        const peer = socket.#phase === "waiting" && socket.#line instanceof Line ? socket.#line.peer : undefined;
        const other = peer === undefined ? undefined : ends.get(peer)?.deref();
        if (peer === undefined || other === undefined || other.#phase !== "waiting") {
          throw new Error(
            "Cannot call `acceptWebSocket()` on this WebSocket because its pair has already been accepted or used in a " +
              "Response.",
          );
        }
        const keeper = hold();
        peer.holdOther(keeper.other);
        socket.#invocation?.letGo(socket.#held);
        socket.#invocation = undefined;
        socket.#phase = "accepted";
        socket.#line = keeper.speech;
        socket.#keeper = keeper;
        if (socket.#attachment !== undefined) keeper.attach(socket.#attachment);
      },
      kept(keeper, closed) {
        const socket = new WebSocket(internalToken);
        socket.#phase = "accepted";
        socket.#line = keeper.speech;
        socket.#keeper = keeper;
        socket.#closedOutgoing = closed;
        return socket;
      },
      keeperOf: (socket) => socket.#keeper,
      isAccepted: (socket) => socket.#phase === "accepted",
      heardClose(socket, reply) {
        socket.#closedIncoming = true;
        if (reply === undefined || socket.#halfOpen || socket.#closedOutgoing) return;
        socket.#closedOutgoing = true;
        socket.#line?.say(reply);
      },
      fromLine(line) {
        const socket = new WebSocket(internalToken);
        socket.#line = line;
        ends.set(line, new WeakRef(socket));
        line.whenRemote = () => socket.#keepGoing();
        // One that came and that nobody accepts ends with the invocation it came in.
        if (line.remote) socket.#holdBy(currentInvocation());
        return socket;
      },
      handOver(socket) {
        switch (socket.#phase) {
          case "connecting":
            throw new TypeError("Can't return WebSocket in a Response if it was created with `new WebSocket()`");
          case "released":
            throw new TypeError("Can't return WebSocket that was already used in a response.");
          case "accepted":
            throw new TypeError("Can't return WebSocket in a Response after calling accept().");
          case "waiting":
            socket.#phase = "released";
            socket.#invocation?.letGo(socket.#held);
            return (socket.#line as Speech).handOver();
        }
      },
    };
  }

  // ---- Connecting

  #connect(url: string, protocols: string[]): void {
    this.#frame = currentFrame();
    const connecting = (this.#connecting = new AbortController());
    const headers: [string, string][] = [["upgrade", "websocket"]];
    if (protocols.length > 0) headers.push(["sec-websocket-protocol", protocols.join(", ")]);
    this.#keepGoing();
    // In a turn of its own, so that whatever is wrong is told by events.
    void Promise.resolve().then(async () => {
      try {
        const request = new Request(url, { headers, redirect: "manual", signal: connecting.signal });
        this.#connected(await fetchThrough(undefined, request, "websocket_open"));
      } catch (error) {
        this.#failed(error);
      }
    });
  }

  #connected(response: unknown): void {
    if (!isResponse(response)) throw new TypeError("The WebSocket connection was answered with no response.");
    const taken = takeWebSocket(response);
    if (taken === undefined || response.status !== 101) {
      void response.body?.cancel();
      throw new TypeError(
        "Failed to establish the WebSocket connection: expected server to reply with HTTP status code 101 (switching " +
          `protocols), but received ${response.status} instead.`,
      );
    }
    const line = taken.#line as Speech;
    taken.#invocation?.letGo(taken.#held);
    taken.#phase = "released";
    if (this.#phase !== "connecting") {
      line.drop("closed before it was open");
      return;
    }
    this.#connecting = undefined;
    this.#line = line;
    this.#phase = "accepted";
    this.#protocol = response.headers.get("sec-websocket-protocol");
    // Null where there are none, as in workerd and not in the standard.
    this.#extensions = response.headers.get("sec-websocket-extensions") ?? (has("pedantic_wpt") ? "" : null);
    this.#holdBy(this.#invocation);
    this.#dispatch(new Event("open"));
    this.#listen();
  }

  #failed(error: unknown): void {
    if (this.#line !== undefined) return;
    this.#phase = "released";
    this.#connecting = undefined;
    this.#closedIncoming = true;
    this.#report(error);
    this.#dispatch(new CloseEvent("close", { code: 1006, reason: "Failed to establish websocket connection" }));
    this.#heardAll?.resolve();
  }

  // ---- Accepting

  accept(options: unknown = undefined): void {
    const { allowHalfOpen } = acceptOptions(options, "WebSocket.accept: options");
    if (this.#phase === "connecting") {
      throw new TypeError("Websockets obtained from the 'new WebSocket()' constructor cannot call accept");
    }
    if (this.#phase === "released") {
      throw new TypeError("Can't accept() WebSocket that was already used in a response.");
    }
    if (this.#keeper !== undefined) throw new TypeError("Can't accept() WebSocket after enabling hibernation.");
    if (this.#phase === "accepted") return;
    if (allowHalfOpen !== undefined) this.#halfOpen = allowHalfOpen;
    this.#phase = "accepted";
    this.#frame = currentFrame();
    const line = this.#line as Speech;
    this.#holdBy(currentInvocation());
    if (line.remote) this.#keepGoing();
    this.#listen();
  }

  #listen(): void {
    const line = this.#line as Speech;
    line.listen({ said: (what) => this.#said(what), lost: (failure) => this.#lost(failure) }, () => {
      this.#deaf = true;
    });
  }

  /** A socket whose other end is elsewhere is work of the invocation that accepted it. */
  #keepGoing(): void {
    const invocation = this.#invocation ?? currentInvocation();
    if (this.#heardAll !== undefined || invocation === undefined || this.#phase === "waiting") return;
    this.#invocation = invocation;
    this.#heardAll = Promise.withResolvers();
    invocation.follow(this.#heardAll.promise.then(() => (this.#closedOutgoing ? this.#line?.sent : undefined)));
  }

  #holdBy(invocation: Invocation | undefined): void {
    this.#invocation?.letGo(this.#held);
    this.#invocation = invocation;
    invocation?.hold(this.#held);
  }

  // ---- Speaking

  send(message: unknown): void {
    requireArguments(arguments.length, 1, "WebSocket.send");
    const said = toBeSaid(message);
    if (this.#closedOutgoing) throw new TypeError("Can't call WebSocket send() after close().");
    // As the standard says, what is sent after the connection broke is dropped.
    if (this.#deaf || this.#error !== undefined || this.#phase === "released") return;
    if (this.#phase === "connecting" && has("pedantic_wpt")) {
      throw new DOMException("Can't call WebSocket send() before the connection is open.", "InvalidStateError");
    }
    const line = this.#acceptedLine();
    const bytes = said.length;
    if (bytes > MESSAGE_BYTES_MAX) {
      throw new TypeError(`WebSocket message is too large: ${bytes} > ${MESSAGE_BYTES_MAX}`);
    }
    if (line.unsent + bytes > UNSENT_BYTES_MAX) {
      throw new Error(
        `WebSocket send(): ${line.unsent} bytes wait to be sent already; the limit is ${UNSENT_BYTES_MAX} ` +
          "(UNSENT_BYTES_MAX). The other side does not read.",
      );
    }
    line.say(said);
  }

  close(code: unknown = undefined, reason: unknown = undefined): void {
    this.#phase;
    const number = code === undefined ? undefined : long(code, "WebSocket.close: code");
    const text = reason === undefined ? undefined : USVString(reason, "WebSocket.close: reason");
    if (number !== undefined && !mayClose(number)) {
      throw new DOMException(`Invalid WebSocket close code: ${number}.`, "InvalidAccessError");
    }
    if (text !== undefined && has("websocket_close_reason_byte_limit") && ops.textEncode(text).length > REASON_BYTES_MAX) {
      throw new DOMException(
        "WebSocket close reason must not be longer than 123 bytes when UTF-8 encoded.",
        "SyntaxError",
      );
    }
    if (text !== undefined && number === undefined) {
      throw new DOMException("If you specify a WebSocket close reason, you must also specify a code.", "InvalidAccessError");
    }
    if (this.#phase === "connecting") {
      this.#phase = "released";
      this.#connecting?.abort(new Error("Called close before connection was established."));
      return;
    }
    // As the standard says, a second close is ignored.
    if (this.#closedOutgoing || this.#deaf || this.#phase === "released") return;
    const line = this.#acceptedLine();
    if (this.#error !== undefined) throw this.#error.reason;
    this.#closedOutgoing = true;
    line.say(new Close(number ?? NO_CODE, text ?? ""));
    // Nothing would keep the other side from never answering, and this Worker's invocation with it.
    if (line.remote && !this.#closedIncoming) this.#stopWaiting = startTimer(() => this.#lost(undefined), CLOSE_WAIT_MS);
  }

  /** Nothing more will come. */
  #heardLast(): void {
    this.#stopWaiting?.();
    this.#heardAll?.resolve();
  }

  #acceptedLine(): Speech {
    if (this.#phase !== "accepted" || this.#line === undefined) {
      throw new TypeError(
        "You must call one of accept() or state.acceptWebSocket() on this WebSocket before sending messages.",
      );
    }
    return this.#line;
  }

  // ---- Hearing

  #said(what: Said): void {
    if (this.#closedIncoming) return;
    if (!(what instanceof Close)) {
      this.#dispatch(new MessageEvent("message", { data: this.#dataOf(what) }));
      return;
    }
    this.#closedIncoming = true;
    if (!this.#halfOpen && !this.#closedOutgoing && !this.#deaf) {
      this.#closedOutgoing = true;
      this.#line?.say(what);
    }
    this.#dispatch(new CloseEvent("close", { code: what.code, reason: what.reason, wasClean: true }));
    this.#heardLast();
  }

  #dataOf(what: string | Uint8Array): unknown {
    if (typeof what === "string") return what;
    return this.#binaryType === "blob" ? new Blob([what]) : what.buffer;
  }

  #lost(failure: Failure | undefined): void {
    if (this.#closedIncoming) return;
    this.#closedIncoming = true;
    // What the host could not take (a message too large, a broken protocol) is an error; a connection
    // that went away, for whatever reason, is a close that nobody sent.
    if (failure?.kind === "limit") {
      this.#report(errorOf(failure));
    } else {
      const reason = "WebSocket disconnected without sending Close frame.";
      this.#dispatch(new CloseEvent("close", { code: 1006, reason, wasClean: false }));
    }
    this.#line?.drop("the other direction is gone");
    this.#deaf = true;
    this.#heardLast();
  }

  #report(reason: unknown): void {
    if (this.#error !== undefined) return;
    this.#error = { reason };
    const message = reason instanceof Error ? `Uncaught ${reason.name}: ${reason.message}` : String(reason);
    this.#dispatch(new ErrorEvent("error", { message, error: reason }));
  }

  #dispatch(event: Event): void {
    runIn(this.#frame, () => {
      adoptHandler(this, event.type);
      fireEvent(this, event);
    });
  }

  // ---- Attributes

  get readyState(): number {
    // Closed before it was open: its events are still to come.
    if (this.#connecting !== undefined && this.#phase === "released") return CLOSING;
    if ((this.#closedIncoming && this.#closedOutgoing) || this.#error !== undefined) return CLOSED;
    if (this.#closedIncoming || this.#closedOutgoing) return CLOSING;
    return this.#phase === "connecting" ? CONNECTING : OPEN;
  }

  get url(): string | null {
    return this.#url;
  }

  get protocol(): string | null {
    return this.#protocol;
  }

  get extensions(): string | null {
    return this.#extensions;
  }

  /** Bytes of messages that have not left this Worker. */
  get bufferedAmount(): number {
    return this.#line?.unsentPayload ?? 0;
  }

  get binaryType(): string {
    return this.#binaryType;
  }

  set binaryType(value: unknown) {
    this.#binaryType;
    const type = DOMString(value, "WebSocket.binaryType");
    if (type === "blob" || type === "arraybuffer") this.#binaryType = type;
  }

  /** Kept with the socket, for a Durable Object that hibernates. */
  serializeAttachment(attachment: unknown): void {
    requireArguments(arguments.length, 1, "WebSocket.serializeAttachment");
    const bytes = packAttachment(attachment);
    if (this.#keeper === undefined) this.#attachment = bytes;
    else this.#keeper.attach(bytes);
  }

  deserializeAttachment(): unknown {
    const bytes = this.#keeper === undefined ? this.#attachment : this.#keeper.attachment();
    return bytes === undefined ? null : unpackAttachment(bytes);
  }
}

for (const type of ["open", "message", "close", "error"]) defineEventHandler(WebSocket, type);
defineInterface(WebSocket, {
  constants: {
    READY_STATE_CONNECTING: CONNECTING,
    CONNECTING,
    READY_STATE_OPEN: OPEN,
    OPEN,
    READY_STATE_CLOSING: CLOSING,
    CLOSING,
    READY_STATE_CLOSED: CLOSED,
    CLOSED,
  },
});

function mayClose(code: number): boolean {
  if (has("pedantic_wpt")) return code === 1000 || (code >= 3000 && code <= 4999);
  return code >= 1000 && code < 5000 && code !== 1004 && code !== 1005 && code !== 1006 && code !== 1015;
}

// ---- The constructor's arguments

function syntaxError(message: string): DOMException {
  return new DOMException(`WebSocket Constructor: ${message}`, "SyntaxError");
}

function toBeSaid(message: unknown): string | Uint8Array {
  if (isBufferSource(message)) return bytesCopy(message);
  return isBlob(message) ? blobBytes(message) : USVString(message, "WebSocket.send: message");
}

/** As the standard shows it: parsed, and of a WebSocket's own scheme. */
function asSocketUrl(text: string): string {
  const href = ops.urlParse(text, undefined)?.[0] as string;
  return href.replace(/^http(?=s?:)/, "ws");
}

/** The URL to fetch: of HTTP, without user and password. */
function connectUrl(given: string): string {
  // workerd knows schemes of sockets alone, the standard those of HTTP as well.
  const text = has("pedantic_wpt") ? given.replace(/^\s*http(?=s?:)/i, "ws") : given;
  const parsed = ops.urlParse(text, undefined);
  if (parsed === undefined) throw syntaxError("The url is invalid.");
  const [scheme, rest] = [/^[^:]*/.exec(parsed[0] as string)?.[0], (parsed[0] as string).replace(/^[^:]*:/, "")];
  if (scheme !== "ws" && scheme !== "wss") throw syntaxError("The url scheme must be ws or wss.");
  if (rest.includes("#")) throw syntaxError("The url fragment must be empty.");
  const http = `${scheme === "ws" ? "http" : "https"}:${rest}`;
  const bare = ops.urlSet((ops.urlSet(http, "username", "")?.[0] ?? http) as string, "password", "");
  return (bare?.[0] ?? http) as string;
}

const strings = sequence(DOMString);

function protocolList(protocols: unknown): string[] {
  if (protocols === undefined) return [];
  if (isObject(protocols) && Symbol.iterator in protocols) return strings(protocols, "WebSocket constructor: protocols");
  return [DOMString(protocols, "WebSocket constructor: protocols")];
}

/** RFC 6455, section 4.1: printable ASCII without separators. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z"]+$/;

function checkProtocols(list: readonly string[], given: unknown): void {
  const known = new Set<string>();
  for (const protocol of list) {
    if (!TOKEN.test(protocol)) {
      throw syntaxError(
        typeof given === "string"
          ? "The protocol header token is invalid."
          : "One of the protocol header tokens is invalid.",
      );
    }
    const name = has("pedantic_wpt") ? protocol.toLowerCase() : protocol;
    if (known.has(name)) throw syntaxError("The protocols header cannot have repeating values.");
    known.add(name);
  }
}

// ---- Pairs

export class WebSocketPair {
  declare readonly 0: WebSocket;
  declare readonly 1: WebSocket;
  #ends: [WebSocket, WebSocket];

  constructor() {
    const [first, second] = Line.pair();
    this.#ends = [internals.fromLine(first), internals.fromLine(second)];
    this.#ends.forEach((value, index) => Object.defineProperty(this, index, { value, enumerable: true, configurable: true }));
  }

  entries(): IterableIterator<WebSocket> {
    return this.#ends.values();
  }
}
defineInterface(WebSocketPair);
Object.defineProperty(WebSocketPair.prototype, Symbol.iterator, {
  value: WebSocketPair.prototype.entries,
  writable: true,
  configurable: true,
});

// ---- For the rest of the platform ------------------------------------------------------------

export function isWebSocket(value: unknown): value is WebSocket {
  return internals.is(value);
}

/** A socket that the host has told of, not accepted yet. */
export function webSocketFromWire(readable: StreamId, writable: StreamId): WebSocket {
  return internals.fromLine(Line.fromWire(readable, writable));
}

/** Gives an end away; it cannot be used here any more. */
export function handOverWebSocket(socket: WebSocket): HandedOver {
  return internals.handOver(socket);
}

/** Leaves a fresh end to whoever `hold` gives; throws where it or its pair was used already. */
export function keepWebSocket(socket: WebSocket, hold: () => Keeper): void {
  internals.keep(socket, hold);
}

/** A socket that `keeper` has had since before; `closed` where its close was said. */
export function keptWebSocket(keeper: Keeper, closed: boolean): WebSocket {
  return internals.kept(keeper, closed);
}

export function isAccepted(socket: WebSocket): boolean {
  return internals.isAccepted(socket);
}

export function keeperOf(socket: WebSocket): Keeper | undefined {
  return internals.keeperOf(socket);
}

/** The other side of a kept socket has spoken its last word; `reply` is said where it is to be answered. */
export function heardClose(socket: WebSocket, reply: Close | undefined): void {
  internals.heardClose(socket, reply);
}

/** Nobody wants a socket that came. */
export function discardWebSocket(socket: WebSocket): void {
  internals.discard(socket);
}
