// Laying out the parts of an inspected object: on one line where they fit, in columns for long lists,
// one under the other otherwise. The rules are those of Node.js's `util.inspect`.
//
// Invariant: parts keep their order and their text; only white space is added.

import { type Inspection, plain } from "./inspect.ts";

/** What opens and closes an object; the opening one carries its prefix. */
export type Braces = [open: string, close: string];

/** Parts of a list that are shown side by side at most, so that a row can be read. */
const COLUMNS_MAX = 15;
const ROW_FACTOR = 2.5;
/** White space between columns: a comma and a space. */
const SEPARATOR_LENGTH = 2;

const ESCAPE_SEQUENCE = /\u001b\[\d+m/g;

/** The length a part has on the screen. */
export function widthOf(cx: Inspection, part: string): number {
  return cx.stylize === plain ? part.length : part.replace(ESCAPE_SEQUENCE, "").length;
}

export function layOut(
  cx: Inspection,
  parts: string[],
  base: string,
  braces: Braces,
  level: number,
  grouped: boolean,
): string {
  if (cx.compact === true) {
    return layOutByLength(cx, parts, base, braces);
  }
  const lead = base === "" ? "" : `${base} `;
  // An object goes on one line if no more than `compact` levels of others are inside it.
  if (!grouped && cx.compact > 0 && cx.currentDepth - level < cx.compact) {
    const start = parts.length + cx.indentation + braces[0].length + base.length + 10;
    if (fits(cx, parts, start, base)) {
      const joined = parts.join(", ");
      if (!joined.includes("\n")) {
        return `${lead}${braces[0]} ${joined} ${braces[1]}`;
      }
    }
  }
  const newline = `\n${" ".repeat(cx.indentation)}`;
  return `${lead}${braces[0]}${newline}  ${parts.join(`,${newline}  `)}${newline}${braces[1]}`;
}

function layOutByLength(cx: Inspection, parts: string[], base: string, braces: Braces): string {
  const after = base === "" ? "" : ` ${base}`;
  if (fits(cx, parts, 0, base)) {
    return `${braces[0]}${after} ${parts.join(", ")} ${braces[1]}`;
  }
  const indentation = " ".repeat(cx.indentation);
  // A long opening would push the first part out of line with the others.
  const start = base === "" && braces[0].length === 1 ? " " : `${after}\n${indentation}  `;
  return `${braces[0]}${start}${parts.join(`,\n${indentation}  `)} ${braces[1]}`;
}

function fits(cx: Inspection, parts: readonly string[], start: number, base: string): boolean {
  let total = parts.length + start;
  if (total + parts.length > cx.breakLength) {
    return false;
  }
  for (const part of parts) {
    total += widthOf(cx, part);
    if (total > cx.breakLength) {
      return false;
    }
  }
  return !base.includes("\n");
}

/** Puts the parts of a long list into rows of equal columns; gives `parts` itself where that is no gain. */
export function groupEntries(cx: Inspection, parts: string[], list: object): string[] {
  const last = parts[parts.length - 1] as string;
  const hasRest = cx.maxArrayLength < parts.length;
  const count = hasRest ? parts.length - 1 : parts.length;
  let total = 0;
  let longest = 0;
  for (let i = 0; i < count; i++) {
    const length = widthOf(cx, parts[i] as string);
    total += length + SEPARATOR_LENGTH;
    longest = Math.max(longest, length);
  }
  const width = longest + SEPARATOR_LENGTH;
  if (width * 3 + cx.indentation >= cx.breakLength || !(total / width > 5 || longest <= 6)) {
    return parts;
  }
  // Aims at a square: a character is ROW_FACTOR times as high as wide, and entries of different
  // lengths count as narrower than the longest.
  const biased = Math.max(width - 3 - Math.sqrt(width - total / parts.length), 1);
  const columns = Math.min(
    Math.round(Math.sqrt(ROW_FACTOR * biased * count) / biased),
    Math.floor((cx.breakLength - cx.indentation) / width),
    Number(cx.compact) * 4,
    COLUMNS_MAX,
  );
  if (columns <= 1) {
    return parts;
  }
  const rows = toRows(cx, parts.slice(0, count), columns, isNumeric(list, count));
  if (hasRest) {
    rows.push(last);
  }
  return rows;
}

/** Numbers are aligned at their right, everything else at its left. */
function isNumeric(list: object, count: number): boolean {
  const items = Array.prototype.slice.call(list, 0, count) as unknown[];
  return items.length === count && items.every((item) => typeof item === "number" || typeof item === "bigint");
}

function toRows(cx: Inspection, parts: string[], columns: number, alignRight: boolean): string[] {
  const widths: number[] = [];
  for (let column = 0; column < columns; column++) {
    let width = 0;
    for (let i = column; i < parts.length; i += columns) {
      width = Math.max(width, widthOf(cx, parts[i] as string));
    }
    widths.push(width + SEPARATOR_LENGTH);
  }
  const rows: string[] = [];
  for (let start = 0; start < parts.length; start += columns) {
    const end = Math.min(start + columns, parts.length);
    let row = "";
    for (let i = start; i < end - 1; i++) {
      const cell = `${parts[i] as string}, `;
      const width = (widths[i - start] as number) + cell.length - widthOf(cx, cell);
      row += alignRight ? cell.padStart(width) : cell.padEnd(width);
    }
    const tail = parts[end - 1] as string;
    const tailWidth = (widths[end - 1 - start] as number) - SEPARATOR_LENGTH + tail.length - widthOf(cx, tail);
    row += alignRight ? tail.padStart(tailWidth) : tail;
    rows.push(row);
  }
  return rows;
}
