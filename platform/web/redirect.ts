// Redirects of responses that a service gave ("HTTP-redirect fetch" of the Fetch standard).
//
// The host follows redirects of what it fetched itself; a Worker's answer comes here as it is, so that
// `fetch()` through a service binding or a Worker's own outbound follows them, too. CORS, referrers and
// the rest of the browser's rules are left out.
//
// Invariant: a body is sent a second time only if its bytes are at hand.

import { type BodyState, bodyFromBytes, bodyState, keepBytes } from "./body.ts";
import { copyHeaders, headerOf } from "./headers.ts";
import { type Request, requestCfJson, requestFromParts, requestResponseEncoding, requestSignal } from "./request.ts";
import { type Response, isRedirectStatus, withUrl } from "./response.ts";
import { URL } from "./url.ts";

/** Redirects that one fetch follows, as the standard says. */
const REDIRECTS_MAX = 20;

/** Headers that describe a body and go away with it. */
const BODY_HEADERS = ["content-encoding", "content-language", "content-location", "content-type", "content-length"];

/** Headers that must not be shown to another origin. */
const PRIVATE_HEADERS = ["authorization", "cookie", "proxy-authorization"];

/** Sends `request` and follows where its answers point, as its redirect mode says. */
export async function fetchFollowing(request: Request, send: (request: Request) => Promise<Response>): Promise<Response> {
  if (request.redirect === "manual") {
    return send(request);
  }
  const state = bodyState(request);
  let bytes = state === undefined ? undefined : keepBytes(state);
  const replayable = state === undefined || bytes !== undefined;
  let current = request;
  for (let followed = 0; ; followed++) {
    // Taken before sending, which uses the request up.
    const headers = copyHeaders(current.headers, "none");
    const response = await send(current);
    const location = isRedirectStatus(response.status) ? headerOf(response.headers, "location") : null;
    if (location === null) {
      // The host says where what it fetched came from; a service does not.
      return followed === 0 && response.url !== "" ? response : withUrl(response, current.url, followed > 0);
    }
    if (current.redirect === "error") {
      throw new TypeError(`fetch of ${request.url} was redirected, and its redirect mode is "error"`);
    }
    if (followed >= REDIRECTS_MAX) {
      throw new TypeError(`Too many redirects: fetch of ${request.url} followed ${REDIRECTS_MAX}.`);
    }
    const target = URL.parse(location, current.url);
    if (target === null || (target.protocol !== "http:" && target.protocol !== "https:")) {
      throw new TypeError(`Invalid Location header; unable to follow redirect: ${location}`);
    }
    if (target.hash === "") {
      target.hash = new URL(current.url).hash;
    }
    let { method } = current;
    if (becomesGet(response.status, method)) {
      method = "GET";
      bytes = undefined;
      BODY_HEADERS.forEach((name) => headers.delete(name));
    } else if (!replayable) {
      throw new TypeError("A request with a one-time-use body (a stream) encountered a redirect that asks to send it again.");
    }
    if (target.origin !== new URL(current.url).origin) {
      PRIVATE_HEADERS.forEach((name) => headers.delete(name));
    }
    void response.body?.cancel();
    const body: BodyState | undefined = bytes === undefined ? undefined : bodyFromBytes(bytes);
    if (body !== undefined) {
      body.shared = true;
    }
    current = requestFromParts({
      method,
      url: target.href,
      headers,
      body,
      redirect: request.redirect,
      cf: requestCfJson(request),
      responseEncoding: requestResponseEncoding(request),
      signal: requestSignal(request),
    });
  }
}

function becomesGet(status: number, method: string): boolean {
  if (status === 303) {
    return method !== "GET" && method !== "HEAD";
  }
  return (status === 301 || status === 302) && method === "POST";
}
