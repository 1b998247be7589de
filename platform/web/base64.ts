// atob and btoa (HTML, "Base64 utility methods").
//
// The coding is native; this file adds the argument rules and the InvalidCharacterError that a
// malformed input asks for. Bytes travel as strings of chars 0 to 255, as these functions always did.

import { ops } from "../ops.ts";
import { DOMException } from "./dom-exception.ts";
import { DOMString, requireArguments } from "./webidl.ts";

export function atob(data: string): string {
  requireArguments(arguments.length, 1, "atob");
  const bytes = ops.base64Decode(DOMString(data, "atob: data"));
  if (bytes === undefined) {
    throw new DOMException("atob() called with invalid base64-encoded data. (Only whitespace, '+', '/', " +
      "alphanumeric ASCII, and up to two terminal '=' signs when the input data length is divisible by 4 are allowed.)",
      "InvalidCharacterError");
  }
  return ops.textLatin1Decode(bytes);
}

export function btoa(data: string): string {
  requireArguments(arguments.length, 1, "btoa");
  const text = DOMString(data, "btoa: data");
  let bytes: Uint8Array;
  try {
    bytes = ops.textLatin1Encode(text);
  } catch {
    throw new DOMException("btoa() can only operate on characters in the Latin1 (ISO/IEC 8859-1) range.",
      "InvalidCharacterError");
  }
  return ops.base64Encode(bytes);
}
