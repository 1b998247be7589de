// Subresource Integrity: whether a response has the bytes that the request's `integrity` promises.
//
// The standard's rules: of several hashes the strongest algorithm's count, one of them must match, and
// metadata that names no known algorithm checks nothing. workerd refuses the option; here it works.
//
// Invariant: of a response that is to be checked, no byte is seen before all of them match.

import { ops } from "../ops.ts";
import { atob } from "./base64.ts";
import { bodyFromBytes } from "./body.ts";
import { type Request, requestIntegrity } from "./request.ts";
import { type Response, isNullBodyStatus, responseEncoding, responseFromParts } from "./response.ts";

/** The weakest first. */
const ALGORITHMS: readonly string[] = ["sha256", "sha384", "sha512"];
const NAMES: readonly string[] = ["SHA-256", "SHA-384", "SHA-512"];

interface Metadata {
  strength: number;
  /** The digest, a char a byte. */
  value: string;
}

function parse(text: string): Metadata[] {
  const found: Metadata[] = [];
  for (const token of text.split(/[\t\n\f\r ]+/)) {
    const [, algorithm, value] = /^([^-]+)-([A-Za-z0-9+/_-]+=*)(?:\?.*)?$/.exec(token) ?? [];
    const strength = ALGORITHMS.indexOf((algorithm ?? "").toLowerCase());
    if (strength === -1 || value === undefined) continue;
    try {
      found.push({ strength, value: atob(value.replaceAll("-", "+").replaceAll("_", "/")) });
    } catch {
      // No digest matches what is not base64, but its algorithm counts.
      found.push({ strength, value: "" });
    }
  }
  const strongest = Math.max(...found.map(({ strength }) => strength));
  return found.filter(({ strength }) => strength === strongest);
}

/** `response`, once its body is known to be what `request` wants. */
export async function checkIntegrity(request: Request, answer: Response | Promise<Response>): Promise<Response> {
  const wanted = parse(requestIntegrity(request));
  const response = await answer;
  const [first] = wanted;
  if (first === undefined) return response;
  const bytes = new Uint8Array(await response.arrayBuffer());
  const digest = String.fromCharCode(...ops.cryptoDigest(NAMES[first.strength] as string, bytes));
  if (!wanted.some(({ value }) => value === digest)) {
    throw new TypeError(`The response of ${request.url} does not have the integrity that its request asks for: ${requestIntegrity(request)}`);
  }
  return responseFromParts({
    status: response.status,
    statusText: response.statusText,
    headers: response.headers,
    body: isNullBodyStatus(response.status) ? undefined : bodyFromBytes(bytes),
    url: response.url,
    redirected: response.redirected,
    encoding: responseEncoding(response),
  });
}
