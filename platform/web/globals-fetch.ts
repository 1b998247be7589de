// The globals that the modules of this folder from URL to crypto provide, for boot to put in place.
//
// Events, streams, blobs and messaging are listed beside their own modules. What is not enumerable, and
// what is an accessor, is boot's work.
//
// Invariant: importing this module makes all of them; nothing of it touches the global object.

import "./error-stack.ts";
import { atob, btoa } from "./base64.ts";
import { Body } from "./body.ts";
import { console } from "./console.ts";
import { Crypto, CryptoKey, SubtleCrypto, crypto } from "./crypto.ts";
import { TextDecoder, TextEncoder } from "./encoding.ts";
import { EventSource } from "./eventsource.ts";
import { fetch } from "./fetch.ts";
import { Headers } from "./headers.ts";
import { HTMLRewriter } from "./html-rewriter.ts";
import { queueMicrotask, reportError } from "./microtask.ts";
import { Navigator, navigator } from "./navigator.ts";
import { Request } from "./request.ts";
import { Response } from "./response.ts";
import { scheduler } from "./scheduler.ts";
import { structuredClone } from "./structured-clone.ts";
import { clearInterval, clearTimeout, setInterval, setTimeout } from "./timers.ts";
import { URLPattern } from "./urlpattern.ts";
import { URL, URLSearchParams } from "./url.ts";
import { WebSocket, WebSocketPair } from "./websocket.ts";
import { WebSocketRequestResponsePair } from "./websocket-auto-response.ts";

export const globals: Record<string, unknown> = {
  Body,
  Crypto,
  CryptoKey,
  EventSource,
  HTMLRewriter,
  Headers,
  Navigator,
  Request,
  Response,
  SubtleCrypto,
  TextDecoder,
  TextEncoder,
  URL,
  URLPattern,
  URLSearchParams,
  WebSocket,
  WebSocketPair,
  WebSocketRequestResponsePair,
  atob,
  btoa,
  clearInterval,
  clearTimeout,
  console,
  crypto,
  fetch,
  navigator,
  queueMicrotask,
  reportError,
  scheduler,
  setInterval,
  setTimeout,
  structuredClone,
};
