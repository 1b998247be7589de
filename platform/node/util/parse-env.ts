// `util.parseEnv`: the variables of a `.env` file.
//
// Invariant: no line makes the parse fail; what is no assignment is skipped.

import { requireString } from "../errors.ts";

const QUOTES = ["\"", "'", "`"];

interface Cursor {
  readonly text: string;
  at: number;
}

/** The rest of the line, after which the cursor stands. */
function lineOf(cursor: Cursor): string {
  const end = cursor.text.indexOf("\n", cursor.at);
  const line = cursor.text.slice(cursor.at, end < 0 ? undefined : end);
  cursor.at = end < 0 ? cursor.text.length : end + 1;
  return line;
}

function valueAt(cursor: Cursor): string {
  const { text } = cursor;
  while (text[cursor.at] === " " || text[cursor.at] === "\t") cursor.at++;
  const quote = text[cursor.at] ?? "";
  const end = QUOTES.includes(quote) ? text.indexOf(quote, cursor.at + 1) : -1;
  if (end >= 0) {
    const inner = text.slice(cursor.at + 1, end);
    cursor.at = end + 1;
    lineOf(cursor);
    // Only double quotes expand what stands for a new line.
    return quote === "\"" ? inner.replaceAll("\\n", "\n") : inner;
  }
  const line = lineOf(cursor);
  const comment = line.indexOf("#");
  return (comment < 0 ? line : line.slice(0, comment)).trim();
}

export function parseEnv(content: unknown): Record<string, string> {
  const text = requireString(content, "content").replace(/\r\n?/g, "\n");
  const cursor: Cursor = { text, at: 0 };
  const found: Record<string, string> = {};
  while (cursor.at < text.length) {
    const start = cursor.at;
    const end = text.indexOf("\n", start);
    const line = text.slice(start, end < 0 ? undefined : end);
    const equals = line.indexOf("=");
    if (equals < 0 || line.trimStart().startsWith("#")) {
      lineOf(cursor);
      continue;
    }
    const name = line.slice(0, equals).trim().replace(/^export\s+/, "");
    cursor.at = start + equals + 1;
    const value = valueAt(cursor);
    if (name !== "") found[name] = value;
  }
  return found;
}
