// Requests and responses to and from the frames of the wire.
//
// A body that is at hand and small goes inside the frame; any other goes as a stream. Nothing here
// decides where a message is sent: see `cloudflare/calls.ts`.
//
// Invariant: `finished` settles when the last byte of a body has been given to the socket, or its
// sending has failed; it never rejects, because a body's failure is told in its own stream.

import type { Body as WireBody, RequestHead, ResponseHead, WireSocket } from "../ops.ts";
import type { AbortSignal } from "./abort.ts";
import {
  type Body,
  type BodyState,
  assertUsable,
  bodyFromBytes,
  bodyFromStream,
  bodyState,
  bytesAtHand,
  markUsed,
  streamOf,
} from "./body.ts";
import { type Headers, defaultHeader, headersFromWire, headersToWire } from "./headers.ts";
import { type Request, requestCfJson, requestFromParts, requestResponseEncoding } from "./request.ts";
import { type Response, isNullBodyStatus, responseEncoding, responseFromParts } from "./response.ts";
import { receiveReadable, sendReadable } from "./streams/wire.ts";
import { type WebSocket, handOverWebSocket, webSocketFromWire } from "./websocket.ts";

/** Bytes that a body may have to travel inside its frame: `INLINE_BODY_BYTES_MAX` of the wire. */
const INLINE_BODY_BYTES_MAX = 128 * 1024;

export interface OutgoingRequest {
  head: RequestHead;
  body: WireBody;
  finished: Promise<void>;
}

export interface OutgoingResponse {
  head: ResponseHead;
  body: WireBody;
  finished: Promise<void>;
}

const NOTHING_LEFT: Promise<void> = Promise.resolve();

/** Uses the request's body up. */
export function requestToWire(request: Request): OutgoingRequest {
  const { body, finished } = bodyToWire(request);
  const head: RequestHead = {
    method: request.method,
    url: request.url,
    headers: headersToWire(request.headers),
    redirect: request.redirect,
    cf: requestCfJson(request),
    encoded: requestResponseEncoding(request) === "manual",
  };
  return { head, body, finished };
}

export function requestFromWire(head: RequestHead, body: WireBody, signal: AbortSignal | undefined): Request {
  return requestFromParts({
    method: head.method,
    url: head.url,
    headers: withLength(headersFromWire(head.headers, "immutable"), body),
    body: bodyFromWire(body),
    redirect: head.redirect,
    cf: head.cf,
    signal,
  });
}

/** A body of known length says it, also when it never was HTTP. */
function withLength(headers: Headers, body: WireBody): Headers {
  if (isSocket(body)) return headers;
  const length = Array.isArray(body) ? body[1] : body?.byteLength;
  if (length !== undefined) defaultHeader(headers, "content-length", String(length));
  return headers;
}

/** Uses the response's body up, or its WebSocket. */
export function responseToWire(response: Response): OutgoingResponse {
  const { body, finished } = response.webSocket === null ? bodyToWire(response) : socketToWire(response.webSocket);
  const head: ResponseHead = {
    status: response.status,
    statusText: response.statusText,
    headers: headersToWire(response.headers),
    url: "",
    redirected: false,
    encoded: responseEncoding(response) === "manual",
  };
  return { head, body, finished };
}

export function responseFromWire(head: ResponseHead, body: WireBody): Response {
  return responseFromParts({
    status: head.status,
    statusText: head.statusText,
    headers: headersFromWire(head.headers, "immutable"),
    body: isNullBodyStatus(head.status) ? undefined : bodyFromWire(body),
    url: head.url,
    redirected: head.redirected,
    encoding: head.encoded ? "manual" : "automatic",
    ...(isSocket(body) && { webSocket: webSocketFromWire(body[1], body[2]) }),
  });
}

function socketToWire(socket: WebSocket): { body: WireBody; finished: Promise<void> } {
  const { ends, finished } = handOverWebSocket(socket);
  return { body: ends, finished };
}

function isSocket(body: WireBody): body is WireSocket {
  return Array.isArray(body) && body[0] === "socket";
}

function bodyFromWire(body: WireBody): BodyState | undefined {
  if (body instanceof Uint8Array) {
    return bodyFromBytes(body);
  }
  // `held` and `passed` are only sent.
  if (body === undefined || isSocket(body) || body[0] === "held" || body[0] === "passed") {
    return undefined;
  }
  const [stream, length] = body;
  return bodyFromStream(receiveReadable(stream, length), length);
}

function bodyToWire(message: Body): { body: WireBody; finished: Promise<void> } {
  const state = bodyState(message);
  if (state === undefined) {
    return { body: undefined, finished: NOTHING_LEFT };
  }
  assertUsable(state);
  const bytes = bytesAtHand(state);
  if (bytes !== undefined && bytes.length <= INLINE_BODY_BYTES_MAX) {
    markUsed(state);
    return { body: bytes, finished: NOTHING_LEFT };
  }
  const stream = streamOf(state);
  const length = state.length;
  const { id, finished } = sendReadable(stream);
  return { body: [id, length], finished };
}
