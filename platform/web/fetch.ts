// The global `fetch()`.
//
// What it adds over `fetchThrough` of `cloudflare/calls.ts`, which sends a request to any service: the
// Request is made here, `data:` URLs are answered here, and other schemes are refused with a message
// that names them. Where the request goes is the Worker's outbound capability, known to `calls.ts`.
//
// Deliberately absent: name resolution, address policy, and redirects of what the host itself fetched,
// which are all the host's.
//
// Invariant: fetch() never throws; whatever is wrong with its arguments rejects its promise.

import { fetchThrough } from "../cloudflare/calls.ts";
import { bodyFromBytes } from "./body.ts";
import { parseDataUrl } from "./data-url.ts";
import { Headers, defaultHeader } from "./headers.ts";
import { checkIntegrity } from "./integrity.ts";
import { serializeMimeType } from "./mime.ts";
import { fetchFollowing } from "./redirect.ts";
import { Request, requestIntegrity, requestSignal } from "./request.ts";
import { type Response, responseFromParts } from "./response.ts";
import { requireArguments } from "./webidl.ts";

export async function fetch(input: unknown, init: unknown = undefined): Promise<Response> {
  requireArguments(arguments.length, 1, "fetch");
  const request = new Request(input, init);
  const signal = requestSignal(request);
  if (signal?.aborted === true) {
    throw signal.reason;
  }
  const { url } = request;
  const scheme = url.slice(0, url.indexOf(":") + 1);
  if (scheme === "http:" || scheme === "https:") {
    const response = fetchFollowing(request, (next) => fetchThrough(undefined, next));
    return requestIntegrity(request) === "" ? response : checkIntegrity(request, response);
  }
  if (scheme === "data:") {
    return checkIntegrity(request, fetchDataUrl(request));
  }
  throw new TypeError(`Fetch API cannot load: ${url}`);
}

function fetchDataUrl(request: Request): Response {
  const data = parseDataUrl(request.url);
  if (data === undefined) {
    throw new TypeError(`Fetch API cannot load: the data URL is malformed: ${shortened(request.url)}`);
  }
  const headers = new Headers();
  defaultHeader(headers, "content-type", serializeMimeType(data.type));
  return responseFromParts({
    status: 200,
    statusText: "OK",
    headers,
    body: request.method === "HEAD" ? undefined : bodyFromBytes(data.bytes.slice()),
    url: request.url,
    redirected: false,
    encoding: "automatic",
  });
}

/** Characters of a URL that an error message shows. */
const URL_CHARS_SHOWN = 80;

function shortened(url: string): string {
  return url.length <= URL_CHARS_SHOWN ? url : `${url.slice(0, URL_CHARS_SHOWN)}…`;
}
