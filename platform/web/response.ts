// Response (Fetch), with what Workers add to it: `cf`, `encodeBody`, and a status text of its own for
// every status that has one.
//
// A response to a WebSocket handshake holds one end of the socket; it is given away with the response.
//
// Invariant: a status is 200 to 599, but for what the wire brought, for handshakes, whose status is 101,
// and for `Response.error()`, whose status is 0.

import {
  Body,
  type BodyState,
  assertUsable,
  bodyState,
  bytesAtHand,
  cloneBody,
  extractBody,
  setBody,
  typeByDefault,
} from "./body.ts";
import { Headers, copyHeaders, defaultHeader, headersFromInit } from "./headers.ts";
import { type EncodeBody, cloneCf, parseEncodeBody } from "./request.ts";
import { statusTextOf } from "./status-text.ts";
import { warn } from "./warnings.ts";
import type { WebSocket } from "./websocket.ts";
import {
  DOMString,
  USVString,
  defineInterface,
  internalToken,
  isObject,
  requireArguments,
  unsignedShort,
} from "./webidl.ts";
import { ops } from "../ops.ts";

/** What the platform itself makes a Response from. */
export interface ResponseParts {
  status: number;
  statusText: string;
  headers: Headers;
  body: BodyState | undefined;
  url: string;
  redirected: boolean;
  encoding: EncodeBody;
  webSocket?: WebSocket;
}

const JSON_stringify = JSON.stringify as (value: unknown) => string | undefined;

let internals: {
  is(value: unknown): value is Response;
  fromParts(parts: ResponseParts): Response;
  encoding(response: Response): EncodeBody;
  setUrl(response: Response, url: string, redirected: boolean): void;
  takeWebSocket(response: Response): WebSocket | undefined;
};

let isWebSocket: (value: unknown) => value is WebSocket;

/** Boot joins the two classes, which need each other. */
export function setWebSocketCheck(check: (value: unknown) => value is WebSocket): void {
  isWebSocket = check;
}

export class Response extends Body {
  #status = 200;
  /** Undefined means the usual one of the status. */
  #statusText: string | undefined;
  #headers: Headers | undefined;
  #url = "";
  #redirected = false;
  #encoding: EncodeBody = "automatic";
  #cf: object | undefined;
  #webSocket: WebSocket | undefined;

  constructor(body: unknown = null, init: unknown = undefined) {
    super(internalToken);
    if (body === internalToken) {
      return;
    }
    if (init !== undefined && init !== null) {
      this.#applyInit(init);
    }
    const headers = (this.#headers ??= new Headers());
    setBody(this, body === null || body === undefined ? undefined : this.#extract(body, headers), headers);
  }

  static {
    internals = {
      is: (value): value is Response => isObject(value) && #status in value,
      fromParts(parts) {
        const response = new Response(internalToken);
        response.#status = parts.status;
        response.#statusText = parts.statusText === "" ? undefined : parts.statusText;
        response.#headers = parts.headers;
        response.#url = parts.url;
        response.#redirected = parts.redirected;
        response.#encoding = parts.encoding;
        response.#webSocket = parts.webSocket;
        setBody(response, parts.body, parts.headers);
        return response;
      },
      encoding: (response) => response.#encoding,
      setUrl(response, url, redirected) {
        response.#url = url;
        response.#redirected = redirected;
      },
      takeWebSocket(response) {
        const socket = response.#webSocket;
        response.#webSocket = undefined;
        return socket;
      },
    };
  }

  static error(): Response {
    return internals.fromParts({
      status: 0,
      statusText: "",
      headers: copyHeaders(new Headers(), "immutable"),
      body: undefined,
      url: "",
      redirected: false,
      encoding: "automatic",
    });
  }

  static redirect(url: string, status: number = 302): Response {
    requireArguments(arguments.length, 1, "Response.redirect");
    const text = USVString(url, "Response.redirect: url");
    const code = unsignedShort(status, "Response.redirect: status");
    const parsed = ops.urlParse(text, undefined);
    if (parsed === undefined) {
      throw new TypeError(`Unable to parse URL: ${text}`);
    }
    if (!isRedirectStatus(code)) {
      throw new RangeError(`${code} is not a redirect status code. It must be one of: 301, 302, 303, 307, or 308.`);
    }
    const headers = new Headers();
    defaultHeader(headers, "location", parsed[0] as string);
    const response = new Response(null, { status: code });
    response.#headers = copyHeaders(headers, "immutable");
    setBody(response, undefined, response.#headers);
    return response;
  }

  static json(data: unknown, init: unknown = undefined): Response {
    requireArguments(arguments.length, 1, "Response.json");
    const text = JSON_stringify(data);
    if (text === undefined) {
      throw new TypeError("Response.json: the value is not JSON serializable");
    }
    const response = new Response(internalToken);
    if (init !== undefined && init !== null) {
      response.#applyInit(init);
    }
    const headers = (response.#headers ??= new Headers());
    defaultHeader(headers, "content-type", "application/json");
    setBody(response, response.#extract(text, headers), headers);
    return response;
  }

  #applyInit(init: unknown): void {
    if (!isObject(init)) {
      throw new TypeError(
        "Failed to construct 'Response': constructor parameter 2 is not of type 'InitializerDict or Response'.",
      );
    }
    if (internals.is(init)) {
      this.#status = init.#status;
      this.#statusText = init.#statusText;
      this.#headers = copyHeaders(init.#headers as Headers, "none");
      this.#encoding = init.#encoding;
      this.#cf = init.#cf === undefined ? undefined : cloneCf(init.#cf);
      this.#webSocket = init.#webSocket;
      checkStatus(this.#status, this.#webSocket);
      return;
    }
    // Read in alphabetical order, as Web IDL reads a dictionary.
    const { cf, encodeBody, headers, status, statusText, webSocket } = init as ResponseInitObject;
    if (status !== undefined) {
      this.#status = unsignedShort(status, "Response constructor: status");
    }
    if (webSocket !== undefined && webSocket !== null) {
      if (!isWebSocket(webSocket)) {
        throw new TypeError(
          "Incorrect type for the 'webSocket' field on 'InitializerDict': the provided value is not of type 'WebSocket'.",
        );
      }
      this.#webSocket = webSocket;
    }
    checkStatus(this.#status, this.#webSocket);
    if (statusText !== undefined) {
      this.#statusText = parseStatusText(statusText);
    }
    if (headers !== undefined) {
      this.#headers = headersFromInit(headers, "Response constructor: headers");
    }
    if (encodeBody !== undefined) {
      this.#encoding = parseEncodeBody(encodeBody, "encodeBody");
    }
    if (cf !== undefined && cf !== null) {
      if (!isObject(cf)) {
        throw new TypeError(
          "Incorrect type for the 'cf' field on 'InitializerDict': the provided value is not of type 'Object'.",
        );
      }
      this.#cf = cloneCf(cf);
    }
  }

  #extract(body: unknown, headers: Headers): BodyState | undefined {
    const { state, type } = extractBody(body, "Response constructor: body");
    if (type !== null) {
      typeByDefault(headers, type);
    }
    if (!isNullBodyStatus(this.#status)) {
      return state;
    }
    // As Workers do, an empty body passes for none.
    if (bytesAtHand(state)?.length !== 0) {
      throw new TypeError("Response with null body status (101, 204, 205, or 304) cannot have a body.");
    }
    const status = this.#status;
    warn(
      `Constructing a Response with a null body status (${status}) and a non-null, zero-length body. This is ` +
        "technically incorrect, and we recommend you update your code to explicitly pass in a `null` body, e.g. " +
        `\`new Response(null, { status: ${status}, ... })\`. (We continue to allow the zero-length body behavior ` +
        "because it was previously the only way to construct a Response with a null body status. This behavior may " +
        "change in the future.)",
    );
    return undefined;
  }

  get status(): number {
    return this.#status;
  }

  get statusText(): string {
    return this.#statusText ?? statusTextOf(this.#status);
  }

  get headers(): Headers {
    return this.#headers as Headers;
  }

  get ok(): boolean {
    return this.#status >= 200 && this.#status < 300;
  }

  get redirected(): boolean {
    return this.#redirected;
  }

  get url(): string {
    return this.#url;
  }

  get type(): "default" | "error" {
    return this.#status === 0 ? "error" : "default";
  }

  get webSocket(): WebSocket | null {
    return this.#webSocket ?? null;
  }

  get cf(): unknown {
    return this.#cf;
  }

  clone(): Response {
    if (this.#webSocket !== undefined) {
      throw new TypeError("Cannot clone a response to a WebSocket handshake.");
    }
    const body = bodyState(this);
    if (body !== undefined) {
      assertUsable(body);
    }
    const clone = new Response(internalToken);
    const headers = copyHeaders(this.#headers as Headers);
    clone.#status = this.#status;
    clone.#statusText = this.#statusText;
    clone.#headers = headers;
    clone.#url = this.#url;
    clone.#redirected = this.#redirected;
    clone.#encoding = this.#encoding;
    clone.#cf = this.#cf === undefined ? undefined : cloneCf(this.#cf);
    setBody(clone, body === undefined ? undefined : cloneBody(body), headers);
    return clone;
  }
}

defineInterface(Response);

interface ResponseInitObject {
  cf?: unknown;
  encodeBody?: unknown;
  headers?: unknown;
  status?: unknown;
  statusText?: unknown;
  webSocket?: unknown;
}

const CONTROL = /[\0-\x08\x0a-\x1f\x7f]/;

function parseStatusText(value: unknown): string {
  const text = DOMString(value, "Response constructor: statusText");
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 255) {
      throw new TypeError("Invalid statusText");
    }
  }
  if (CONTROL.test(text)) {
    throw new TypeError("Invalid statusText");
  }
  return text;
}

function checkStatus(status: number, webSocket: WebSocket | undefined): void {
  if (webSocket !== undefined) {
    if (status !== 101) {
      throw new RangeError("Responses with a WebSocket must have status code 101.");
    }
    return;
  }
  if (status < 200 || status > 599) {
    throw new RangeError("Responses may only be constructed with status codes in the range 200 to 599, inclusive.");
  }
}

export function isNullBodyStatus(status: number): boolean {
  return status === 101 || status === 204 || status === 205 || status === 304;
}

export function isRedirectStatus(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
}

// ---- For the rest of the platform ------------------------------------------------------------

export function isResponse(value: unknown): value is Response {
  return internals.is(value);
}

export function responseFromParts(parts: ResponseParts): Response {
  return internals.fromParts(parts);
}

/** `manual` means the body is already in the content encoding that its headers name. */
export function responseEncoding(response: Response): EncodeBody {
  return internals.encoding(response);
}

/** Notes that `response` came from `url`, perhaps after redirects. */
export function withUrl(response: Response, url: string, redirected: boolean): Response {
  const hash = url.indexOf("#");
  internals.setUrl(response, hash === -1 ? url : url.slice(0, hash), redirected);
  return response;
}

/** The socket of a handshake's response, which is taken out of it. */
export function takeWebSocket(response: Response): WebSocket | undefined {
  return internals.takeWebSocket(response);
}
