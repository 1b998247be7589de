// What the parts of node:http share: names, checks, status codes.
//
// Invariant: a header that passes the checks cannot break out of its line.

import { failure } from "../checks.ts";

const TOKEN = /^[\^_`a-zA-Z\-0-9!#$%&'*+.|~]+$/;
const FORBIDDEN = /[^\t\x20-\x7e\x80-\xff]/;

export const chunkExpression = /(?:^|\W)chunked(?:$|\W)/i;
export const continueExpression = /(?:^|\W)100-continue(?:$|\W)/i;
export const kIncomingMessage: unique symbol = Symbol("IncomingMessage");
export const kServerResponse: unique symbol = Symbol("ServerResponse");

export function isToken(value: string): boolean {
  return TOKEN.test(value);
}

export function hasInvalidChar(value: unknown): boolean {
  return Array.isArray(value) ? value.some((item) => FORBIDDEN.test(String(item))) : FORBIDDEN.test(String(value));
}

export function invalidToken(label: string, name: unknown): Error {
  return failure(TypeError, "ERR_INVALID_HTTP_TOKEN", `${label} must be a valid HTTP token ["${String(name)}"]`);
}

export function validateHeaderName(name: unknown, label = "Header name"): string {
  if (typeof name !== "string" || !isToken(name)) throw invalidToken(label, name);
  return name;
}

export function validateHeaderValue(name: string, value: unknown): void {
  if (value === undefined) {
    throw failure(TypeError, "ERR_HTTP_INVALID_HEADER_VALUE", `Invalid value "${String(value)}" for header "${name}"`);
  }
  if (hasInvalidChar(value)) throw failure(TypeError, "ERR_INVALID_CHAR", `Invalid character in header content ["${name}"]`);
}

export function headersSent(doing: string): Error {
  return failure(Error, "ERR_HTTP_HEADERS_SENT", `Cannot ${doing} headers after they are sent to the client`);
}

/** Options that name what only a socket of one's own could do. */
export function optionNotImplemented(name: string): Error {
  return failure(Error, "ERR_OPTION_NOT_IMPLEMENTED", `The ${name} option is not implemented`);
}

export const METHODS: readonly string[] = [
  "ACL", "BIND", "CHECKOUT", "CONNECT", "COPY", "DELETE", "GET", "HEAD", "LINK", "LOCK", "M-SEARCH", "MERGE", "MKACTIVITY", "MKCALENDAR",
  "MKCOL", "MOVE", "NOTIFY", "OPTIONS", "PATCH", "POST", "PROPFIND", "PROPPATCH", "PURGE", "PUT", "QUERY", "REBIND", "REPORT", "SEARCH",
  "SOURCE", "SUBSCRIBE", "TRACE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE",
];

export const STATUS_CODES: Readonly<Record<string, string>> = {
  100: "Continue", 101: "Switching Protocols", 102: "Processing", 103: "Early Hints", 200: "OK", 201: "Created", 202: "Accepted",
  203: "Non-Authoritative Information", 204: "No Content", 205: "Reset Content", 206: "Partial Content", 207: "Multi-Status",
  208: "Already Reported", 226: "IM Used", 300: "Multiple Choices", 301: "Moved Permanently", 302: "Found", 303: "See Other",
  304: "Not Modified", 305: "Use Proxy", 307: "Temporary Redirect", 308: "Permanent Redirect", 400: "Bad Request", 401: "Unauthorized",
  402: "Payment Required", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
  407: "Proxy Authentication Required", 408: "Request Timeout", 409: "Conflict", 410: "Gone", 411: "Length Required",
  412: "Precondition Failed", 413: "Payload Too Large", 414: "URI Too Long", 415: "Unsupported Media Type", 416: "Range Not Satisfiable",
  417: "Expectation Failed", 418: "I'm a Teapot", 421: "Misdirected Request", 422: "Unprocessable Entity", 423: "Locked",
  424: "Failed Dependency", 425: "Too Early", 426: "Upgrade Required", 428: "Precondition Required", 429: "Too Many Requests",
  431: "Request Header Fields Too Large", 451: "Unavailable For Legal Reasons", 500: "Internal Server Error", 501: "Not Implemented",
  502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout", 505: "HTTP Version Not Supported",
  506: "Variant Also Negotiates", 507: "Insufficient Storage", 508: "Loop Detected", 509: "Bandwidth Limit Exceeded", 510: "Not Extended",
  511: "Network Authentication Required",
};

const AUTHORITY = /^(?:[/\\]{2}|[^/\\?#]*:)/;

/** Whether a path would lead to another host once it is resolved. */
export function leadsElsewhere(path: string): boolean {
  return AUTHORITY.test(path);
}
