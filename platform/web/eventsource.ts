// EventSource: server-sent events, over `fetch()` or over a stream that is there already.
//
// As in workerd: `init.fetcher` says which service is asked, `EventSource.from(stream)` reads a stream
// once and never reconnects, a source can be disposed of, and a connection that ends is opened again
// after the time that the server asked for, within bounds. An answer without a body is tried again once.
//
// Deliberately absent: credentials, which a Worker has none of.
//
// Invariant: after `close()` no event is dispatched and nothing is fetched.

import { currentFrame, currentInvocation, runIn } from "../cloudflare/async-context.ts";
import type { Frame } from "../cloudflare/async-context.ts";
import { fetchThrough } from "../cloudflare/calls.ts";
import { has } from "../cloudflare/compat.ts";
import type { Held, Invocation } from "../cloudflare/context.ts";
import { serviceStates } from "../cloudflare/fetcher-class.ts";
import { DISPOSE } from "../cloudflare/symbols.ts";
import { AbortController } from "./abort.ts";
import { DOMException } from "./dom-exception.ts";
import { TextDecoder } from "./encoding.ts";
import { ErrorEvent, Event, EventTarget, MessageEvent, adoptHandler, defineEventHandler, fireEvent } from "./events.ts";
import { parseMimeType } from "./mime.ts";
import { fetchFollowing } from "./redirect.ts";
import { Request } from "./request.ts";
import type { Response } from "./response.ts";
import { DefaultReaderCore } from "./streams/readable-core.ts";
import { type ReadableStream, isReadableStream, readableCore } from "./streams/readable.ts";
import { startTimer } from "./timers.ts";
import { URL } from "./url.ts";
import {
  USVString, boolean, defineInterface, dictionary, internalToken, isUint8Array, object, optional,
  requireArguments,
} from "./webidl.ts";

const CONNECTING = 0;
const OPEN = 1;
const CLOSED = 2;

/** Milliseconds before a connection that ended is opened again, and what a server may ask for. */
const RECONNECT_MS = 2000;
const RECONNECT_MS_MIN = 1000;
const RECONNECT_MS_MAX = 10_000;

/** Characters of one event, its line under way included. */
const EVENT_CHARS_MAX = 32 * 1024 * 1024;

const eventSourceInit = dictionary("EventSourceInit", { fetcher: optional(object), withCredentials: optional(boolean) });

/** What the stream's parser tells. */
interface Heard {
  message(type: string, data: string): void;
  id(id: string): void;
  retry(ms: number): void;
}

/** Cuts a stream into lines and lines into events, as the standard says. */
class EventParser {
  readonly #heard: Heard;
  readonly #decoder = new TextDecoder();
  #rest = "";
  /** The last character was a carriage return, so that a line feed after it ends no line. */
  #afterReturn = false;
  #type = "";
  #data: string[] = [];
  /** Counts once an event is whole. */
  #id: string | undefined;
  #chars = 0;

  constructor(heard: Heard) {
    this.#heard = heard;
  }

  push(bytes: Uint8Array): void {
    let text = this.#rest + this.#decoder.decode(bytes, { stream: true });
    if (this.#afterReturn && text.startsWith("\n")) text = text.slice(1);
    if (text !== "") this.#afterReturn = false;
    let start = 0;
    for (const found of text.matchAll(/\r\n|\n|\r/g)) {
      this.#line(text.slice(start, found.index));
      start = found.index + found[0].length;
      if (found[0] === "\r" && start === text.length) this.#afterReturn = true;
    }
    this.#rest = text.slice(start);
    if (this.#rest.length + this.#chars > EVENT_CHARS_MAX) {
      throw new Error(`An event of the stream is longer than ${EVENT_CHARS_MAX} characters (EVENT_CHARS_MAX).`);
    }
  }

  #line(line: string): void {
    if (line === "") {
      const [type, isEvent, data] = [this.#type, this.#data.length > 0, this.#data.join("\n")];
      this.#type = "";
      this.#data = [];
      this.#chars = 0;
      if (this.#id !== undefined) this.#heard.id(this.#id);
      // To the standard a line `data` alone is an event without text, to workerd it is none.
      if (data !== "" || (isEvent && has("pedantic_wpt"))) this.#heard.message(type === "" ? "message" : type, data);
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") {
      this.#data.push(value);
      this.#chars += value.length;
    } else if (field === "event") {
      this.#type = value;
    } else if (field === "id") {
      if (!value.includes("\0")) this.#id = value;
    } else if (field === "retry" && /^[0-9]{1,9}$/.test(value)) {
      this.#heard.retry(Number(value));
    }
  }
}

export class EventSource extends EventTarget {
  #url: URL | undefined;
  #fetcher: object | undefined;
  #readyState = CONNECTING;
  #lastEventId = "";
  #reconnectMs = RECONNECT_MS;
  #hadNoBody = false;
  #abort = new AbortController();
  #stopTimer: (() => void) | undefined;
  #reader: DefaultReaderCore | undefined;
  readonly #frame: Frame = currentFrame();
  readonly #invocation: Invocation | undefined = currentInvocation();
  readonly #held: Held = { contextEnded: () => this.close() };

  constructor(url: unknown, init: unknown = undefined) {
    super();
    if (url === internalToken) {
      this.#invocation?.hold(this.#held);
      return;
    }
    requireArguments(arguments.length, 1, "EventSource constructor");
    const text = USVString(url, "EventSource constructor: url");
    const { fetcher, withCredentials } = eventSourceInit(init, "EventSource constructor: init");
    if (this.#invocation === undefined) throw outsideRequest();
    if (withCredentials === true) {
      throw new DOMException(
        "The init.withCredentials option is not supported. It must be false or undefined.",
        "NotSupportedError",
      );
    }
    if (fetcher !== undefined && !serviceStates.has(fetcher)) {
      throw new TypeError("EventSource constructor: init.fetcher is not a Fetcher");
    }
    const parsed = URL.parse(text);
    if (parsed === null) {
      throw new DOMException(`Cannot open an EventSource to '${text}'. The URL is invalid.`, "SyntaxError");
    }
    this.#url = parsed;
    this.#fetcher = fetcher;
    this.#invocation.hold(this.#held);
    void this.#start(parsed);
  }

  static from(stream: unknown): EventSource {
    requireArguments(arguments.length, 1, "EventSource.from");
    if (!isReadableStream(stream)) throw new TypeError("EventSource.from: the argument is not a ReadableStream");
    if (currentInvocation() === undefined) throw outsideRequest();
    const core = readableCore(stream);
    if (core.locked) throw new TypeError("This ReadableStream is locked.");
    if (core.disturbed) throw new TypeError("This ReadableStream has already been read from.");
    const source = new EventSource(internalToken);
    void source.#run(stream, false);
    return source;
  }

  // ---- Connecting

  async #start(url: URL): Promise<void> {
    if (this.#readyState === CLOSED) return;
    let response: Response;
    try {
      const headers: [string, string][] = [["accept", "text/event-stream"], ["cache-control", "no-cache"]];
      if (this.#lastEventId !== "") headers.push(["last-event-id", this.#lastEventId]);
      const request = new Request(url.href, { headers, signal: this.#abort.signal });
      const state = this.#fetcher === undefined ? undefined : serviceStates.get(this.#fetcher);
      response = await fetchFollowing(request, (next) => fetchThrough(state?.cap(), next));
    } catch (error) {
      this.#failed(error, false);
      return;
    }
    if (this.#readyState === CLOSED) {
      void response.body?.cancel();
      return;
    }
    const wrong = wrongAnswer(response);
    if (wrong !== undefined) {
      void response.body?.cancel();
      this.#failed(new DOMException(wrong, "AbortError"), false);
      return;
    }
    if (response.redirected) this.#url = URL.parse(response.url) ?? url;
    const { body } = response;
    if (body !== null) {
      void this.#run(body, true);
      return;
    }
    if (this.#hadNoBody) {
      this.#failed(new Error("The server provided no content."), false);
      return;
    }
    this.#hadNoBody = true;
    this.#failed(new Error("The server provided no content. Will try reconnecting."), true);
    this.#reconnect();
  }

  #reconnect(): void {
    if (this.#readyState === CLOSED) return;
    this.#abort = new AbortController();
    runIn(this.#frame, () => {
      this.#stopTimer = startTimer(() => {
        this.#stopTimer = undefined;
        void this.#start(this.#url as URL);
      }, this.#reconnectMs);
    });
  }

  async #run(stream: ReadableStream, reconnects: boolean): Promise<void> {
    const reader = (this.#reader = new DefaultReaderCore(readableCore(stream)));
    this.#readyState = OPEN;
    this.#dispatch(new Event("open"));
    const parser = new EventParser({
      message: (type, data) => this.#message(type, data),
      id: (id) => (this.#lastEventId = id),
      retry: (ms) => (this.#reconnectMs = Math.min(Math.max(ms, RECONNECT_MS_MIN), RECONNECT_MS_MAX)),
    });
    try {
      for (;;) {
        const { done, value } = await reader.readPromise();
        if (this.#readyState === CLOSED) return;
        if (done) break;
        if (!isUint8Array(value)) throw new TypeError("This ReadableStream did not return bytes.");
        parser.push(value);
      }
    } catch (error) {
      this.#failed(error, false);
      return;
    }
    this.#failed(new Error("The server disconnected."), reconnects);
    if (reconnects) this.#reconnect();
  }

  #message(type: string, data: string): void {
    const origin = this.#url?.origin ?? "";
    this.#dispatch(new MessageEvent(type, { data, origin, lastEventId: this.#lastEventId }));
  }

  #failed(error: unknown, reconnecting: boolean): void {
    if (this.#readyState === CLOSED) return;
    if (reconnecting) this.#readyState = CONNECTING;
    else this.#end();
    const message = error instanceof Error ? error.message : String(error);
    this.#fire(new ErrorEvent("error", { message, error }));
  }

  #end(): void {
    this.#readyState = CLOSED;
    this.#invocation?.letGo(this.#held);
  }

  #dispatch(event: Event): void {
    if (this.#readyState !== CLOSED) this.#fire(event);
  }

  #fire(event: Event): void {
    runIn(this.#frame, () => {
      adoptHandler(this, event.type);
      fireEvent(this, event);
    });
  }

  // ---- What user code sees

  close(): void {
    if (this.#readyState === CLOSED) return;
    this.#end();
    this.#stopTimer?.();
    this.#abort.abort();
    const reader = this.#reader;
    if (reader !== undefined) reader.cancel(undefined).catch(() => {});
  }

  get url(): string {
    return this.#url?.href ?? "";
  }

  get withCredentials(): boolean {
    void this.#url;
    return false;
  }

  get readyState(): number {
    return this.#readyState;
  }
}
for (const type of ["open", "message", "error"]) defineEventHandler(EventSource, type);
defineInterface(EventSource, { constants: { CONNECTING, OPEN, CLOSED } });
Object.defineProperty(EventSource.prototype, DISPOSE, {
  value: function dispose(this: EventSource): void {
    this.close();
  },
  writable: true,
  configurable: true,
});

function outsideRequest(): DOMException {
  const message = "An EventSource can only be created within the context of a worker request.";
  return new DOMException(message, "NotSupportedError");
}

/** Why an answer is no event stream; no attempt is made again. */
function wrongAnswer(response: Response): string | undefined {
  if (!response.ok) return `The response status code was ${response.status}.`;
  const type = response.headers.get("content-type");
  if (type === null) return "No content type header was present in the response.";
  const parsed = parseMimeType(type);
  const isStream = parsed !== undefined && `${parsed.type}/${parsed.subtype}` === "text/event-stream";
  return isStream ? undefined : `The content type '${type}' is invalid.`;
}
