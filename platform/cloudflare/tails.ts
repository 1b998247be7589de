// Tails: what `tail()` and `tailStream()` get to see.
//
// The host sends trace items and events as JSON in full; here they become the objects of the
// documentation, with what a log should not keep redacted until `getUnredacted()` is called. A
// `tailStream()` handler gets the `onset` of an invocation and gives back what is to get the rest;
// the next events come when it has dealt with the last ones.
//
// Invariant: an invocation of a tail is answered once, and a session hears nothing after that.

import { ops, wire } from "../ops.ts";
import type { CallId } from "../ops.ts";
import { frameOf, runIn } from "./async-context.ts";
import type { Invocation } from "./context.ts";
import { decode } from "./rpc/decode.ts";
import type { DecodeHost } from "./rpc/decode.ts";
import { MalformedError } from "./rpc/bytes.ts";
import { warnOnce } from "./trace.ts";

type Json = Record<string, unknown>;

// ---- trace items

/** The items of one `tail()` call. */
export function traceItems(json: string): unknown[] {
  return (JSON.parse(json) as Json[]).map(traceItem);
}

class TraceItem {}
class TraceLog {}
class TraceException {}
class TraceDiagnosticChannelEvent {}
class FetchEventInfo {}
class FetchEventInfoResponse {}
class JsRpcEventInfo {}
class ScheduledEventInfo {}
class QueueEventInfo {}
class AlarmEventInfo {}
class TailEventInfo {}
class TailItem {}
class HibernatableWebSocketEventInfo {}
class HibernatableWebSocketEventInfoMessage {}
class HibernatableWebSocketEventInfoClose {}
class HibernatableWebSocketEventInfoError {}
class ConnectEventInfo {}
class CustomEventInfo {}

/** An object whose fields can be read and not be written. */
function record<T extends object>(kind: new () => T, fields: Json): T {
  const object = new kind();
  for (const [name, value] of Object.entries(fields)) {
    Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: false });
  }
  return object;
}

function traceItem(item: Json): TraceItem {
  const { event, logs, exceptions, diagnosticsChannelEvents, ...rest } = item;
  return record(TraceItem, {
    event: eventInfo(event as Json),
    eventTimestamp: rest["eventTimestamp"],
    logs: (logs as Json[]).map((log) => record(TraceLog, { ...log, errorInfo: log["errorInfo"] })),
    exceptions: (exceptions as Json[]).map((one) => record(TraceException, { ...one, stack: one["stack"] })),
    diagnosticsChannelEvents: (diagnosticsChannelEvents as Json[]).map((one) =>
      record(TraceDiagnosticChannelEvent, { ...one, message: valueOf(one["message"]) }),
    ),
    scriptName: rest["scriptName"] ?? null,
    entrypoint: rest["entrypoint"],
    scriptVersion: rest["scriptVersion"],
    dispatchNamespace: rest["dispatchNamespace"],
    scriptTags: rest["scriptTags"],
    tailAttributes: rest["tailAttributes"],
    preview: rest["preview"],
    durableObjectId: rest["durableObjectId"],
    outcome: rest["outcome"],
    executionModel: rest["executionModel"],
    truncated: rest["truncated"],
    cpuTime: rest["cpuTime"],
    wallTime: rest["wallTime"],
  });
}

function eventInfo(event: Json): object | null {
  const { type, ...fields } = event;
  switch (type) {
    case "fetch": {
      const request = new FetchEventInfoRequest(fields["request"] as Request, "redacted");
      const status = fields["response"] as Json | undefined;
      const response = status === undefined ? undefined : record(FetchEventInfoResponse, status);
      return record(FetchEventInfo, { response, request });
    }
    case "jsrpc":
      return record(JsRpcEventInfo, fields);
    case "scheduled":
      return record(ScheduledEventInfo, fields);
    case "queue":
      return record(QueueEventInfo, fields);
    case "alarm":
      return record(AlarmEventInfo, { scheduledTime: new Date(fields["scheduledTime"] as number) });
    case "tail": {
      const consumedEvents = (fields["consumedEvents"] as Json[]).map((one) => record(TailItem, one));
      return record(TailEventInfo, { consumedEvents });
    }
    case "hibernatableWebSocket":
      return record(HibernatableWebSocketEventInfo, { getWebSocketEvent: socketEvent(fields["event"] as Json) });
    case "connect":
      return record(ConnectEventInfo, {});
    case "custom":
      return record(CustomEventInfo, {});
    default:
      return null;
  }
}

function socketEvent(event: Json): object {
  switch (event["webSocketEventType"]) {
    case "message":
      return record(HibernatableWebSocketEventInfoMessage, event);
    case "close":
      return record(HibernatableWebSocketEventInfoClose, event);
    default:
      return record(HibernatableWebSocketEventInfoError, event);
  }
}

interface Request {
  url: string;
  method: string;
  headers: [name: string, value: string][];
  cf?: unknown;
}

class FetchEventInfoRequest {
  #given: Request;

  constructor(given: Request, how: "redacted" | "whole") {
    this.#given = given;
    const headers: Record<string, string> = {};
    for (const [name, value] of given.headers) {
      headers[name] = how === "redacted" && isSecret(name) ? "REDACTED" : value;
    }
    const url = how === "redacted" ? redactUrl(given.url) : given.url;
    const fields: Json = { cf: given.cf, headers, method: given.method, url };
    for (const [name, value] of Object.entries(fields)) {
      Object.defineProperty(this, name, { value, enumerable: true, configurable: true, writable: false });
    }
  }

  getUnredacted(): FetchEventInfoRequest {
    return new FetchEventInfoRequest(this.#given, "whole");
  }
}

function isSecret(name: string): boolean {
  const words = ["auth", "jwt", "key", "secret", "token"];
  return name === "cookie" || name === "set-cookie" || words.some((word) => name.includes(word));
}

/** Stretches of a URL that look like an id or a card number are not for a log. */
function redactUrl(url: string): string {
  return url.replace(/[A-Za-z0-9+\-_]+/g, (span) => (looksSecret(span) ? "REDACTED" : span));
}

function looksSecret(span: string): boolean {
  const count = (pattern: RegExp): number => span.match(pattern)?.length ?? 0;
  const isHexId = /^[A-Fa-f0-9+\-_]+$/.test(span) && count(/[A-Fa-f0-9]/g) >= 32;
  const isBase64Id = span.length >= 21 && count(/[0-9]/g) >= 2 && count(/[A-Z]/g) >= 2 && count(/[a-z]/g) >= 2;
  return isHexId || isBase64Id || isCardNumber(span);
}

/** Digits, perhaps with separators, whose last one is their Luhn check digit. */
function isCardNumber(span: string): boolean {
  if (!/^[0-9+\-_]+$/.test(span)) return false;
  const digits = span.replace(/[^0-9]/g, "");
  if (digits.length < 14 || digits.length > 19) return false;
  let sum = 0;
  for (let index = 0; index < digits.length; index++) {
    const digit = digits.charCodeAt(digits.length - 1 - index) - 48;
    const doubled = index % 2 === 1 ? digit * 2 : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

/** A value in the codec, as base64. */
function valueOf(coded: unknown): unknown {
  if (typeof coded !== "string" || coded === "") return undefined;
  try {
    const bytes = ops.base64Decode(coded);
    return bytes === undefined ? undefined : decode(bytes, plainOnly);
  } catch {
    return undefined;
  }
}

const plainOnly: DecodeHost = {
  external() {
    throw new MalformedError("a diagnostic carries no stubs");
  },
  disposer() {
    throw new MalformedError("a diagnostic carries no stubs");
  },
  build() {
    throw new MalformedError("a diagnostic is plain data");
  },
};

// ---- streams of events

/** An event as `tailStream()` and its handlers get it. */
function tailEvent(given: Json): Json {
  return { ...given, timestamp: new Date(given["timestamp"] as number), event: streamEvent(given["event"] as Json) };
}

function streamEvent(event: Json): Json {
  switch (event["type"]) {
    case "onset": {
      const info = event["info"] as Json;
      return info["scheduledTime"] === undefined
        ? event
        : { ...event, info: { ...info, scheduledTime: new Date(info["scheduledTime"] as number) } };
    }
    case "attributes":
      return { ...event, info: (event["info"] as Json[]).map(attribute) };
    case "diagnosticChannel":
      return { ...event, message: valueOf(event["message"]) };
    default:
      return event;
  }
}

function attribute({ name, value }: Json): Json {
  const isInteger = typeof value === "object" && value !== null && "int" in value;
  return { name, value: isInteger ? BigInt((value as { int: string }).int) : value };
}

/** One invocation being followed. */
interface Session {
  readonly invocation: Invocation;
  /** Gets the events: a function all of them, an object each by its name. */
  readonly handler: object;
}

const sessions = new Map<CallId, Session>();

/** Names of events that differ from the member of a handler object. */
const MEMBERS = new Map([["streamDiagnostic", "streamDiagEvent"]]);

const NO_HANDLER = "A worker configured to act as a streaming tail worker does not export a tailStream() handler.";
const BAD_HANDLER =
  "A worker configured to act as a streaming tail worker did not return a valid tailStream() handler.";

/** The begin of an invocation, and what has happened since. Does not wait for its end, which answers `invocation`. */
export async function followStream(
  invocation: Invocation,
  find: () => ((onset: unknown) => unknown) | undefined,
  events: string,
): Promise<void> {
  const start = find();
  if (start === undefined) {
    warnOnce(NO_HANDLER);
    return invocation.return(["nothing", false]);
  }
  const [onset, ...since] = JSON.parse(events) as [Json, ...Json[]];
  let given: unknown;
  try {
    given = start(tailEvent(onset));
  } catch (error) {
    warnOnce(BAD_HANDLER);
    return invocation.fail(error);
  }
  const handler = await given;
  if (typeof handler !== "function" && (typeof handler !== "object" || handler === null)) {
    if (handler !== undefined) {
      warnOnce(
        "tailStream() handler returned an unusable value. The tailStream() handler is expected to return either a " +
          `function, an object, or undefined. Received ${handler === null ? "object" : typeof handler}`,
      );
    }
    return invocation.return(["nothing", false]);
  }
  const session = { invocation, handler };
  sessions.set(invocation.call, session);
  handAll(session, since);
}

/** More events of it. */
export function tailEvents(call: CallId, events: string): void {
  const session = sessions.get(call);
  if (session !== undefined) handAll(session, JSON.parse(events) as Json[]);
}

function handAll(session: Session, events: readonly Json[]): void {
  if (events.length === 0) return dealtWith(session, false);
  const { invocation, handler } = session;
  runIn(frameOf(invocation), () => {
    const results: unknown[] = [];
    let ended = false;
    try {
      for (const given of events) {
        const event = tailEvent(given);
        ended ||= (event["event"] as Json)["type"] === "outcome";
        const result = hand(handler, event);
        if (result !== undefined) results.push(result);
      }
    } catch (error) {
      return close(session, error);
    }
    if (results.length === 0) return dealtWith(session, ended);
    Promise.all(results).then(
      () => dealtWith(session, ended),
      (error: unknown) => close(session, error),
    );
  });
}

function hand(handler: object, event: Json): unknown {
  if (typeof handler === "function") return Reflect.apply(handler, handler, [event]) as unknown;
  const type = (event["event"] as Json)["type"] as string;
  const member: unknown = (handler as Json)[MEMBERS.get(type) ?? type];
  return typeof member === "function" ? (Reflect.apply(member, handler, [event]) as unknown) : undefined;
}

function dealtWith(session: Session, ended: boolean): void {
  const { invocation } = session;
  if (!ended) return wire.tailMore(invocation.call);
  sessions.delete(invocation.call);
  invocation.return(["nothing", false]);
}

function close(session: Session, error: unknown): void {
  sessions.delete(session.invocation.call);
  session.invocation.fail(error);
}
