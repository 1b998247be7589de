// The "data: URL processor" (Fetch).
//
// Invariant: the input is a serialised URL whose scheme is `data`.

import { ops } from "../ops.ts";
import { type MimeType, parseMimeType } from "./mime.ts";
import { percentDecode } from "./url.ts";

export interface DataUrl {
  type: MimeType;
  bytes: Uint8Array;
}

const OUTER_WHITESPACE = /^[\t\n\f\r ]+|[\t\n\f\r ]+$/g;
const BASE64_MARK = /; *base64$/i;

/** Undefined is failure. */
export function parseDataUrl(url: string): DataUrl | undefined {
  const hash = url.indexOf("#");
  const input = url.slice("data:".length, hash === -1 ? undefined : hash);
  const comma = input.indexOf(",");
  if (comma === -1) {
    return undefined;
  }
  const declared = input.slice(0, comma).replace(OUTER_WHITESPACE, "");
  let bytes: Uint8Array | undefined = percentDecode(ops.textEncode(input.slice(comma + 1)));
  let type = declared;
  if (BASE64_MARK.test(declared)) {
    bytes = ops.base64Decode(ops.textLatin1Decode(bytes));
    type = declared.replace(BASE64_MARK, "");
  }
  if (bytes === undefined) {
    return undefined;
  }
  return { type: parseMimeType(type.startsWith(";") ? `text/plain${type}` : type) ?? plainText(), bytes };
}

function plainText(): MimeType {
  return { type: "text", subtype: "plain", parameters: new Map([["charset", "US-ASCII"]]) };
}
