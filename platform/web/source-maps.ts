// Inline source maps: the place in a module's source that a place in its code came from.
//
// Bundlers end a module with `//# sourceMappingURL=data:application/json;base64,…`, and so does this
// project's own for TypeScript. A map is looked for and read when a stack first shows a frame of its
// module, so a module without errors pays nothing.
//
// Deliberately absent: maps elsewhere than in the module itself, and indexed maps (`sections`).
//
// Invariant: nothing here throws; a map that cannot be read counts as none.

import { engine, ops } from "../ops.ts";

export interface Origin {
  file: string;
  line: number;
  column: number;
}

interface SourceMap {
  sources: (string | undefined)[];
  /** For each line of the code its segments, flat: column, source, line and column there. */
  lines: Int32Array[];
}

const MARK = "//# sourceMappingURL=data:application/json";

/** Maps by module; undefined for a module without one. */
const maps = new Map<string, SourceMap | undefined>();

/** Lines and columns count from one, as in stacks. */
export function originOf(module: string, line: number, column: number): Origin | undefined {
  if (!maps.has(module)) maps.set(module, mapOf(module));
  const map = maps.get(module);
  const segments = map?.lines[line - 1];
  if (map === undefined || segments === undefined) return undefined;
  let found = -1;
  for (let i = 0; i < segments.length; i += 4) {
    if ((segments[i] as number) > column - 1) break;
    found = i;
  }
  if (found === -1) return undefined;
  const file = map.sources[segments[found + 1] as number];
  if (file === undefined) return undefined;
  return { file, line: (segments[found + 2] as number) + 1, column: (segments[found + 3] as number) + 1 };
}

function mapOf(module: string): SourceMap | undefined {
  try {
    const text = engine.moduleText(module);
    const start = text.lastIndexOf(MARK);
    const comma = start === -1 ? -1 : text.indexOf("base64,", start);
    if (comma === -1) return undefined;
    const bytes = ops.base64Decode(text.slice(comma + "base64,".length).trim());
    if (bytes === undefined) return undefined;
    const { mappings, sources } = JSON.parse(ops.textDecodeUtf8(bytes, false, false)) as Record<string, unknown>;
    if (typeof mappings !== "string" || !Array.isArray(sources)) return undefined;
    const only = sources.length === 1;
    const names = sources.map((source) =>
      typeof source === "string" ? (only ? nameBeside(module, source) : source.replace(/^(?:\.\.?\/)+/, "")) : undefined,
    );
    return { sources: names, lines: linesOf(mappings) };
  } catch {
    return undefined;
  }
}

/** The one source of a module that is not a bundle keeps the module's own folder. */
function nameBeside(module: string, source: string): string {
  const file = source.slice(source.lastIndexOf("/") + 1);
  return module.slice(0, module.lastIndexOf("/") + 1) + file;
}

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** "Decode source map mappings"; segments without a source are left out. */
function linesOf(mappings: string): Int32Array[] {
  const state: [source: number, line: number, column: number] = [0, 0, 0];
  return mappings.split(";").map((line) => {
    const flat: number[] = [];
    let generated = 0;
    for (const segment of line === "" ? [] : line.split(",")) {
      const [column, source, sourceLine, sourceColumn] = numbersOf(segment);
      generated += column ?? 0;
      if (source === undefined || sourceLine === undefined || sourceColumn === undefined) continue;
      state[0] += source;
      state[1] += sourceLine;
      state[2] += sourceColumn;
      flat.push(generated, state[0], state[1], state[2]);
    }
    return Int32Array.from(flat);
  });
}

/** Numbers in base 64 VLQ: five bits a digit, the sixth says that more follow, the first bit is the sign. */
function numbersOf(segment: string): number[] {
  const numbers: number[] = [];
  let value = 0;
  let shift = 0;
  for (const character of segment) {
    const digit = DIGITS.indexOf(character);
    if (digit === -1) throw new Error("not a digit of base 64");
    value |= (digit & 31) << shift;
    shift += 5;
    if ((digit & 32) !== 0) continue;
    numbers.push((value & 1) === 1 ? -(value >>> 1) : value >>> 1);
    value = 0;
    shift = 0;
  }
  return numbers;
}
