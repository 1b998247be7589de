// Bytes in tests: hex, text, and the comparison that says what differed.

import { equal } from "../kit/suite.js";

export const hex = (text) => Uint8Array.fromHex(text.replaceAll(/\s/g, ""));
export const utf8 = (text) => new TextEncoder().encode(text);
export const toHex = (buffer) => new Uint8Array(buffer).toHex();

export function sameBytes(actual, expected, what) {
  equal(toHex(actual), typeof expected === "string" ? expected.replaceAll(/\s/g, "") : toHex(expected), what);
}
