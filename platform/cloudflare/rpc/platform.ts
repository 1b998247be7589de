// Platform objects inside messages: Headers, Request, Response, Blob, File, URL, URLSearchParams,
// FormData, AbortSignal and DOMException, each as the few values that make it again.
//
// Deliberately by meaning, never by fields: what a user added to such an object does not travel.
// A body at hand travels as bytes, any other as a stream.
//
// Invariant: `platformParts` changes nothing; what using an object up entails goes to `commits`.

import { abortSignal, addAbortAlgorithm, createSignal, isAbortSignal, removeAbortAlgorithm } from "../../web/abort.ts";
import type { AbortSignal } from "../../web/abort.ts";
import { Blob, File, blobBytes, isBlob } from "../../web/blob.ts";
import {
  assertUsable, bodyFromBytes, bodyFromStream, bodyState, bytesAtHand, markUsed, streamOf,
} from "../../web/body.ts";
import type { Body, BodyState } from "../../web/body.ts";
import { isDOMException } from "../../web/dom-exception.ts";
import { FormData, isFormData } from "../../web/form-data.ts";
import { headersFromWire, headersToWire, isHeaders } from "../../web/headers.ts";
import type { Headers } from "../../web/headers.ts";
import { Request, requestCfJson, requestFromParts, requestSignal } from "../../web/request.ts";
import type { Redirect } from "../../web/request.ts";
import { Response, isNullBodyStatus, isResponse, responseEncoding, responseFromParts } from "../../web/response.ts";
import { ReadableStream } from "../../web/streams/readable.ts";
import { URL, URLSearchParams } from "../../web/url.ts";
import type { WebSocket } from "../../web/websocket.ts";
import { buildDomException, domExceptionParts } from "../failures.ts";
import { DISPOSE } from "../symbols.ts";
import { MalformedError } from "./bytes.ts";
import type { Parts } from "./encode.ts";
import { quiet } from "./message.ts";
import { isStubLike } from "./stub.ts";
import { Tag } from "./tags.ts";

/** A response's WebSocket on its way: by itself one cannot travel. */
export class GivenSocket {
  readonly socket: WebSocket;

  constructor(socket: WebSocket) {
    this.socket = socket;
  }
}

export function platformParts(value: object, commits: (() => void)[]): Parts | undefined {
  if (isHeaders(value)) return { tag: Tag.Headers, values: [headersToWire(value)] };
  if (value instanceof Request) return requestParts(value, commits);
  if (isResponse(value)) return responseParts(value, commits);
  if (isBlob(value)) return blobParts(value);
  if (isAbortSignal(value)) return signalParts(value);
  if (isDOMException(value)) return { tag: Tag.DomException, values: domExceptionParts(value as unknown as Error) };
  if (value instanceof URL) return { tag: Tag.Url, values: [value.href] };
  if (value instanceof URLSearchParams) return { tag: Tag.UrlSearchParams, values: [String(value)] };
  if (isFormData(value)) return { tag: Tag.FormData, values: [[...value]] };
  return undefined;
}

export function buildPlatform(tag: number, next: () => unknown): unknown {
  switch (tag) {
    case Tag.Headers:
      return headersFromWire(texts(next()), "none");
    case Tag.Request:
      return buildRequest(next);
    case Tag.Response:
      return buildResponse(next);
    case Tag.Blob:
    case Tag.File:
      return buildBlob(tag, next);
    case Tag.AbortSignal:
      return buildSignal(next);
    case Tag.DomException:
      return buildDomException(next);
    case Tag.Url:
      return new URL(text(next()));
    case Tag.UrlSearchParams:
      return new URLSearchParams(text(next()));
    case Tag.FormData:
      return buildFormData(next);
    default:
      throw new MalformedError("an unknown tag");
  }
}

// ---- messages

function bodyParts(message: Body, commits: (() => void)[]): [body: unknown, length: number | undefined] {
  const state = bodyState(message);
  if (state === undefined) return [null, undefined];
  assertUsable(state);
  const bytes = bytesAtHand(state);
  if (bytes === undefined) return [streamOf(state), state.length];
  commits.push(() => markUsed(state));
  return [bytes, bytes.length];
}

function buildBody(next: () => unknown): BodyState | undefined {
  const [body, length] = [next(), next()];
  if (body === null) return undefined;
  if (body instanceof Uint8Array) return bodyFromBytes(body);
  if (body instanceof ReadableStream) return bodyFromStream(body, typeof length === "number" ? length : undefined);
  throw new MalformedError("a body that is none");
}

function requestParts(request: Request, commits: (() => void)[]): Parts {
  return {
    tag: Tag.Request,
    values: [
      request.method,
      request.url,
      headersToWire(request.headers as Headers),
      request.redirect,
      requestCfJson(request),
      requestSignal(request),
      ...bodyParts(request, commits),
    ],
  };
}

function buildRequest(next: () => unknown): Request {
  const [method, url, headers, redirect, cf, signal] = [next(), next(), next(), next(), next(), next()];
  const known = redirect === "follow" || redirect === "manual" || redirect === "error";
  if (!known || (signal !== undefined && !isAbortSignal(signal))) throw new MalformedError("a request that is none");
  // The constructor's checks stand between a made-up method or URL and what trusts a Request.
  const checked = new Request(text(url), { method: text(method) });
  return requestFromParts({
    method: checked.method,
    url: checked.url,
    headers: headersFromWire(texts(headers), "none"),
    redirect: redirect as Redirect,
    cf: text(cf),
    signal,
    body: buildBody(next),
  });
}

function responseParts(response: Response, commits: (() => void)[]): Parts {
  const cf: unknown = (response as { cf?: unknown }).cf;
  return {
    tag: Tag.Response,
    values: [
      response.status,
      response.statusText,
      headersToWire(response.headers as Headers),
      response.url,
      response.redirected,
      responseEncoding(response),
      cf,
      response.webSocket === null ? null : new GivenSocket(response.webSocket),
      ...bodyParts(response, commits),
    ],
  };
}

function buildResponse(next: () => unknown): Response {
  const [status, statusText, headers, url, redirected, encoding, cf, given] = [
    next(), next(), next(), next(), next(), next(), next(), next(),
  ];
  // 0 is `Response.error()`.
  const known = typeof status === "number" && Number.isInteger(status) && (status === 0 || status >= 100) && status <= 599;
  if (!known) {
    throw new MalformedError("a response that is none");
  }
  const body = buildBody(next);
  const response = responseFromParts({
    status,
    statusText: text(statusText),
    headers: headersFromWire(texts(headers), "none"),
    body: isNullBodyStatus(status) ? undefined : body,
    url: text(url),
    redirected: redirected === true,
    encoding: encoding === "manual" ? "manual" : "automatic",
    ...(given instanceof GivenSocket && { webSocket: given.socket }),
  });
  if (cf !== undefined && cf !== null) Object.defineProperty(response, "cf", { value: cf, configurable: true });
  return response;
}

// ---- files

function blobParts(blob: Blob): Parts {
  const bytes = blobBytes(blob);
  if (!(blob instanceof File)) return { tag: Tag.Blob, values: [blob.type, bytes] };
  return { tag: Tag.File, values: [blob.type, bytes, blob.name, blob.lastModified] };
}

function buildBlob(tag: number, next: () => unknown): Blob {
  const type = text(next());
  const bytes = next();
  if (!(bytes instanceof Uint8Array)) throw new MalformedError("a Blob without bytes");
  if (tag === Tag.Blob) return new Blob([bytes], { type });
  const [name, lastModified] = [text(next()), next()];
  return new File([bytes], name, { type, lastModified });
}

function buildFormData(next: () => unknown): FormData {
  const form = new FormData();
  const entries = next();
  if (!Array.isArray(entries)) throw new MalformedError("a FormData without entries");
  for (const entry of entries) {
    if (!Array.isArray(entry) || (typeof entry[1] !== "string" && !isBlob(entry[1]))) {
      throw new MalformedError("a FormData without entries");
    }
    form.append(text(entry[0]), entry[1]);
  }
  return form;
}

// ---- abort signals

// A signal that has not aborted travels as a function: its receiver calls it with a callback for
// the reason. Neither keeps a context open, so when the receiver's context closes, the function is
// released, and with it the callback.

function signalParts(signal: AbortSignal): Parts {
  if (signal.aborted) return { tag: Tag.AbortSignal, values: [true, signal.reason, undefined] };
  return { tag: Tag.AbortSignal, values: [false, undefined, watchOf(signal)] };
}

type Callback = ((reason: unknown) => unknown) & Disposable & { dup(): Callback };

function watchOf(signal: AbortSignal): object {
  const stop: (() => void)[] = [];
  const watch = (callback: Callback): void => {
    const kept = callback.dup();
    const tell = (reason: unknown): void => {
      void Promise.resolve(kept(reason)).catch(() => {});
    };
    if (signal.aborted) return tell(signal.reason);
    addAbortAlgorithm(signal, tell);
    stop.push(() => {
      removeAbortAlgorithm(signal, tell);
      kept[Symbol.dispose]();
    });
  };
  Object.defineProperty(watch, DISPOSE, {
    value: () => {
      for (const each of stop.splice(0)) each();
    },
  });
  quiet.add(watch);
  return watch;
}

function buildSignal(next: () => unknown): AbortSignal {
  const [aborted, reason, watch] = [next(), next(), next()];
  const signal = createSignal();
  if (aborted === true) {
    abortSignal(signal, reason);
  } else {
    if (!isStubLike(watch)) throw new MalformedError("an AbortSignal without its source");
    const callback = (late: unknown): void => abortSignal(signal, late);
    quiet.add(callback);
    // If the other side is gone the signal stays as it is.
    void Promise.resolve((watch as unknown as (callback: object) => Promise<unknown>)(callback)).catch(() => {});
  }
  return signal;
}

// ---- checks

function text(value: unknown): string {
  if (typeof value !== "string") throw new MalformedError("a string is missing");
  return value;
}

function texts(value: unknown): string[] {
  if (!Array.isArray(value) || value.length % 2 !== 0) throw new MalformedError("a list of headers is missing");
  return value.map(text);
}
