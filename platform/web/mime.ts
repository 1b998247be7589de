// MIME types (WHATWG MIME Sniffing): parsing, serialising, and extraction from a header list.
//
// Only what bodies and `data:` URLs need. Nothing here sniffs content.
//
// Invariant: `parseMimeType` gives lower-case type, subtype and parameter names.

export interface MimeType {
  type: string;
  subtype: string;
  parameters: Map<string, string>;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const QUOTED_STRING_CHARS = /^[\t\x20-\x7e\x80-\xff]*$/;
const OUTER_WHITESPACE = /^[\t\n\r ]+|[\t\n\r ]+$/g;
const TRAILING_WHITESPACE = /[\t\n\r ]+$/;
const LEADING_WHITESPACE = /^[\t\n\r ]+/;

/** "Parse a MIME type"; undefined is failure. */
export function parseMimeType(input: string): MimeType | undefined {
  const text = input.replace(OUTER_WHITESPACE, "");
  const slash = text.indexOf("/");
  if (slash <= 0 || !TOKEN.test(text.slice(0, slash))) {
    return undefined;
  }
  let position = text.indexOf(";", slash);
  if (position === -1) {
    position = text.length;
  }
  const subtype = text.slice(slash + 1, position).replace(TRAILING_WHITESPACE, "");
  if (!TOKEN.test(subtype)) {
    return undefined;
  }
  const mime: MimeType = {
    type: text.slice(0, slash).toLowerCase(),
    subtype: subtype.toLowerCase(),
    parameters: new Map(),
  };
  while (position < text.length) {
    position = parseParameter(text, position + 1, mime.parameters);
  }
  return mime;
}

/** Reads one parameter that starts at `start`; gives the index of the `;` behind it, or the end. */
function parseParameter(text: string, start: number, parameters: Map<string, string>): number {
  let position = start;
  while (position < text.length && text[position] !== ";" && text[position] !== "=") {
    position += 1;
  }
  const name = text.slice(start, position).replace(LEADING_WHITESPACE, "").toLowerCase();
  if (position >= text.length || text[position] === ";") {
    return position;
  }
  position += 1;
  let value: string;
  if (text[position] === '"') {
    const quoted = quotedString(text, position);
    value = quoted.value;
    position = semicolonFrom(text, quoted.end);
  } else {
    const end = semicolonFrom(text, position);
    value = text.slice(position, end).replace(TRAILING_WHITESPACE, "");
    position = end;
    if (value === "") {
      return position;
    }
  }
  if (TOKEN.test(name) && QUOTED_STRING_CHARS.test(value) && !parameters.has(name)) {
    parameters.set(name, value);
  }
  return position;
}

function semicolonFrom(text: string, start: number): number {
  const at = text.indexOf(";", start);
  return at === -1 ? text.length : at;
}

/** "Collect an HTTP quoted string" with the extract-value flag; `start` is at the opening quote. */
function quotedString(text: string, start: number): { value: string; end: number } {
  let value = "";
  let position = start + 1;
  while (position < text.length) {
    const char = text[position] as string;
    position += 1;
    if (char === '"') {
      break;
    }
    if (char !== "\\") {
      value += char;
    } else if (position < text.length) {
      value += text[position] as string;
      position += 1;
    } else {
      value += "\\";
    }
  }
  return { value, end: position };
}

export function mimeEssence(mime: MimeType): string {
  return `${mime.type}/${mime.subtype}`;
}

export function serializeMimeType(mime: MimeType): string {
  let text = mimeEssence(mime);
  for (const [name, value] of mime.parameters) {
    text += `;${name}=${TOKEN.test(value) ? value : `"${value.replace(/(["\\])/g, "\\$1")}"`}`;
  }
  return text;
}

/** "Extract a MIME type" from a combined `content-type` value. */
export function extractMimeType(combined: string | null): MimeType | undefined {
  if (combined === null) {
    return undefined;
  }
  // Nearly every message has one value, without commas.
  if (!combined.includes(",")) {
    return notAny(parseMimeType(combined));
  }
  let charset: string | undefined;
  let essence: string | undefined;
  let found: MimeType | undefined;
  for (const value of splitOnCommas(combined)) {
    const mime = notAny(parseMimeType(value));
    if (mime === undefined) {
      continue;
    }
    found = mime;
    if (mimeEssence(mime) !== essence) {
      charset = mime.parameters.get("charset");
      essence = mimeEssence(mime);
    } else if (!mime.parameters.has("charset") && charset !== undefined) {
      mime.parameters.set("charset", charset);
    }
  }
  return found;
}

function notAny(mime: MimeType | undefined): MimeType | undefined {
  return mime !== undefined && mime.type === "*" && mime.subtype === "*" ? undefined : mime;
}

/** "Get, decode, and split": commas inside quoted strings do not split. */
function splitOnCommas(combined: string): string[] {
  const values: string[] = [];
  let start = 0;
  let position = 0;
  while (position < combined.length) {
    if (combined[position] === '"') {
      position = quotedString(combined, position).end;
    } else if (combined[position] === ",") {
      values.push(combined.slice(start, position));
      position += 1;
      start = position;
    } else {
      position += 1;
    }
  }
  values.push(combined.slice(start));
  return values;
}
