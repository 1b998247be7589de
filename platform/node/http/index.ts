// node:http, node:https, node:http2 and the modules behind them that packages reach into.

import { has } from "../../cloudflare/compat.ts";
import { CloseEvent, MessageEvent } from "../../web/events.ts";
import { URL } from "../../web/url.ts";
import { Buffer } from "../buffer.ts";
import { checkWhole, refusing, unimplemented } from "../checks.ts";
import { Agent, HttpsAgent, globalAgent, globalHttpsAgent } from "./agent.ts";
import { ClientRequest, isUrl, urlOptions } from "./client.ts";
import { METHODS, STATUS_CODES, chunkExpression, continueExpression, hasInvalidChar, isToken, kIncomingMessage, kServerResponse, validateHeaderName, validateHeaderValue } from "./headers.ts";
import { http2Constants } from "./http2-constants.ts";
import { IncomingMessage } from "./incoming.ts";
import { OutgoingMessage, kHighWaterMark, kUniqueHeaders, uniqueHeaders } from "./outgoing.ts";
import { Server, ServerResponse, connectionListener, kConnectionsCheckingInterval, storeHTTPOptions } from "./server.ts";

type Members = Record<string, unknown>;

function moduleOf(members: Members): Members {
  return { ...members, default: members };
}

function requireServers(): void {
  if (!has("enable_nodejs_http_server_modules")) throw unimplemented("createServer");
}

function request(url: unknown, options?: unknown, callback?: unknown): ClientRequest {
  return new ClientRequest(url, options, callback);
}

function get(url: unknown, options?: unknown, callback?: unknown): ClientRequest {
  return request(url, options, callback).end();
}

function createServer(options?: unknown, listener?: unknown): Server {
  requireServers();
  return new Server(options, listener);
}

const http: Members = {
  Agent,
  ClientRequest,
  CloseEvent,
  IncomingMessage,
  METHODS,
  MessageEvent,
  OutgoingMessage,
  STATUS_CODES,
  Server,
  ServerResponse,
  _connectionListener: connectionListener,
  createServer,
  get,
  globalAgent,
  maxHeaderSize: 16_384,
  request,
  setMaxIdleHTTPParsers(max: unknown): never {
    checkWhole(max, "max", 1, Number.MAX_SAFE_INTEGER);
    throw unimplemented("setMaxIdleHTTPParsers");
  },
  validateHeaderName: (name: unknown, label?: string) => void validateHeaderName(name, label),
  validateHeaderValue,
};

let httpMade: Members | undefined;

export function httpModule(): Members {
  const { WebSocket } = globalThis as unknown as { WebSocket?: unknown };
  return (httpMade ??= moduleOf(WebSocket === undefined ? http : { ...http, WebSocket }));
}

// ---- https -----------------------------------------------------------------------------------

/** Like a server of node:http: TLS ends at the host. */
class HttpsServer extends Server {}
Object.defineProperty(HttpsServer, "name", { value: "Server" });

function httpsRequest(...args: unknown[]): ClientRequest {
  let options: Members = {};
  if (typeof args[0] === "string") options = urlOptions(new URL(args.shift() as string));
  else if (isUrl(args[0])) options = urlOptions(args.shift() as URL);
  if (args.length > 0 && typeof args[0] !== "function") Object.assign(options, args.shift());
  options["_defaultAgent"] = globalHttpsAgent;
  return new ClientRequest(options, args[0]);
}

export const httpsModule: Members = moduleOf({
  Agent: HttpsAgent,
  Server: HttpsServer,
  createServer(options?: unknown, listener?: unknown): Server {
    requireServers();
    return new HttpsServer(options, listener);
  },
  get: (...args: unknown[]) => httpsRequest(...args).end(),
  globalAgent: globalHttpsAgent,
  request: httpsRequest,
});

// ---- The inner modules -----------------------------------------------------------------------

export const httpAgentModule: Members = moduleOf({ Agent, globalAgent });
export const httpClientModule: Members = moduleOf({ ClientRequest });
export const httpCommonModule: Members = moduleOf({
  CRLF: "\r\n",
  _checkInvalidHeaderChar: hasInvalidChar,
  _checkIsHttpToken: isToken,
  chunkExpression,
  continueExpression,
  kIncomingMessage,
  methods: METHODS,
  parsers: { name: "parsers", max: 1000 },
});
export const httpIncomingModule: Members = moduleOf({ IncomingMessage });
export const httpOutgoingModule: Members = moduleOf({
  OutgoingMessage,
  kHighWaterMark,
  kUniqueHeaders,
  parseUniqueHeadersOption: uniqueHeaders,
  validateHeaderName,
  validateHeaderValue,
});
export const httpServerModule: Members = moduleOf({
  STATUS_CODES,
  Server,
  ServerResponse,
  _connectionListener: connectionListener,
  httpServerPreClose: (server: Server) => server.closeIdleConnections(),
  kConnectionsCheckingInterval,
  kServerResponse,
  setupConnectionsTracking: refusing("setupConnectionsTracking"),
  storeHTTPOptions,
});

// ---- http2 -----------------------------------------------------------------------------------

function refusingClass(name: string): unknown {
  return class {
    constructor() {
      throw unimplemented(name);
    }
  };
}

/** There is none to be spoken here: outgoing requests are the host's, which chooses for itself. */
export const http2Module: Members = moduleOf({
  Http2ServerRequest: refusingClass("http2.Http2ServerRequest"),
  Http2ServerResponse: refusingClass("http2.Http2ServerResponse"),
  connect: refusing("http2.connect"),
  constants: http2Constants,
  createSecureServer: refusing("http2.createSecureServer"),
  createServer: refusing("http2.createServer"),
  getDefaultSettings: () => Object.create({
    headerTableSize: 4096, enablePush: true, initialWindowSize: 65_535, maxFrameSize: 16_384, maxConcurrentStreams: 4_294_967_295,
    maxHeaderSize: 65_535, maxHeaderListSize: 65_535, enableConnectProtocol: false,
  }) as object,
  getPackedSettings: () => Buffer.alloc(0),
  getUnpackedSettings: () => ({}),
  performServerHandshake: refusing("http2.performServerHandshake"),
  sensitiveHeaders: Symbol("nodejs.http2.sensitiveHeaders"),
});
