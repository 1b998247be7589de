// `console` (Console standard, with the methods Node.js adds).
//
// A line is put together here and given to a sink that boot sets; where it is shown and how much of it
// is kept is the sink's business. Counters, timers and the group indentation belong to the Worker.
//
// Deliberately absent: colours, and profiling (its methods do nothing).
//
// Invariant: no method throws, whatever it is given: a log line must not change what a program does.

import { type LogLevel, ops } from "../ops.ts";
import { format, tableOf } from "./format.ts";
import { type InspectOptions, inspect } from "./inspect.ts";

/** `args` are the values as they were given, for tails. */
export type ConsoleSink = (level: LogLevel, text: string, args: readonly unknown[]) => void;

let sink: ConsoleSink = () => {};

export function setConsoleSink(next: ConsoleSink): void {
  sink = next;
}

/** Labels of `count` and `time` that are remembered. */
const LABELS_MAX = 1000;

/** Spaces of one group, and the deepest indentation. */
const GROUP_INDENT = 2;
const GROUP_INDENT_MAX = 80;

const counts = new Map<string, number>();
const starts = new Map<string, number>();
let indent = "";

function emit(level: LogLevel, args: readonly unknown[], text: string): void {
  sink(level, indent === "" ? text : indent + text.replaceAll("\n", `\n${indent}`), args);
}

function print(level: LogLevel, args: readonly unknown[]): void {
  let text: string;
  try {
    text = format(args);
  } catch {
    text = args.map((arg) => (typeof arg === "string" ? arg : inspect(arg))).join(" ");
  }
  emit(level, args, text);
}

function labelOf(value: unknown): string {
  try {
    return value === undefined ? "default" : `${value as string}`;
  } catch {
    return "default";
  }
}

function remember(map: Map<string, number>, label: string, value: number): void {
  if (map.size < LABELS_MAX || map.has(label)) {
    map.set(label, value);
  }
}

function stackHere(): string {
  const stack = new Error().stack ?? "";
  // The header, this function and the method that called it.
  return stack
    .split("\n")
    .filter((line) => line.trimStart().startsWith("at "))
    .slice(2)
    .join("\n");
}

function duration(label: string): string | undefined {
  const start = starts.get(label);
  if (start === undefined) {
    print("warn", [`Timer '${label}' does not exist`]);
    return undefined;
  }
  const ms = ops.timeMonotonic() - start;
  return ms < 1000 ? `${ms.toFixed(ms < 1 ? 3 : 2)}ms` : `${(ms / 1000).toFixed(3)}s`;
}

const methods = {
  log(...args: unknown[]): void {
    print("log", args);
  },
  info(...args: unknown[]): void {
    print("info", args);
  },
  debug(...args: unknown[]): void {
    print("debug", args);
  },
  warn(...args: unknown[]): void {
    print("warn", args);
  },
  error(...args: unknown[]): void {
    print("error", args);
  },
  trace(...args: unknown[]): void {
    const text = args.length === 0 ? "Trace" : `Trace: ${format(args)}`;
    const stack = stackHere();
    emit("debug", args, stack === "" ? text : `${text}\n${stack}`);
  },
  assert(condition: unknown = false, ...args: unknown[]): void {
    if (condition) {
      return;
    }
    const first = args[0];
    print("error", typeof first === "string" ? [`Assertion failed: ${first}`, ...args.slice(1)] : ["Assertion failed", ...args]);
  },
  dir(item: unknown = undefined, options: unknown = undefined): void {
    const given = typeof options === "object" && options !== null ? (options as InspectOptions) : {};
    emit("log", [item], inspect(item, { ...given, customInspect: false }));
  },
  dirxml(...args: unknown[]): void {
    print("log", args);
  },
  table(data: unknown = undefined, columns: unknown = undefined): void {
    const names = Array.isArray(columns) ? columns.map(String) : undefined;
    const table = tableOf(data, names);
    if (table === undefined) {
      print("log", [data]);
    } else {
      emit("log", [data], table);
    }
  },
  count(label: unknown = "default"): void {
    const name = labelOf(label);
    const count = (counts.get(name) ?? 0) + 1;
    remember(counts, name, count);
    print("info", [`${name}: ${count}`]);
  },
  countReset(label: unknown = "default"): void {
    const name = labelOf(label);
    if (!counts.delete(name)) {
      print("warn", [`Count for '${name}' does not exist`]);
    }
  },
  time(label: unknown = "default"): void {
    const name = labelOf(label);
    if (starts.has(name)) {
      print("warn", [`Timer '${name}' already exists`]);
      return;
    }
    remember(starts, name, ops.timeMonotonic());
  },
  timeLog(label: unknown = "default", ...args: unknown[]): void {
    const name = labelOf(label);
    const text = duration(name);
    if (text !== undefined) {
      print("info", [`${name}: ${text}`, ...args]);
    }
  },
  timeEnd(label: unknown = "default"): void {
    const name = labelOf(label);
    const text = duration(name);
    if (text !== undefined) {
      starts.delete(name);
      print("info", [`${name}: ${text}`]);
    }
  },
  group(...args: unknown[]): void {
    if (args.length > 0) {
      print("log", args);
    }
    indent = " ".repeat(Math.min(indent.length + GROUP_INDENT, GROUP_INDENT_MAX));
  },
  groupCollapsed(...args: unknown[]): void {
    methods.group(...args);
  },
  groupEnd(): void {
    indent = indent.slice(GROUP_INDENT);
  },
  clear(): void {
    indent = "";
  },
  profile(): void {},
  profileEnd(): void {},
  timeStamp(): void {},
};

/** A namespace object of Web IDL: its prototype is an empty object whose own is Object's. */
export const console: typeof methods = Object.assign(Object.create({}) as object, methods);
Object.defineProperty(console, Symbol.toStringTag, {
  value: "console",
  writable: false,
  enumerable: false,
  configurable: true,
});
