// node:console: the global console, with the members that Node.js adds.
//
// Invariant: the global object gets those members only when the module is asked for.

import { console } from "../web/console.ts";
import { unimplemented } from "./checks.ts";
import { process } from "./process.ts";

type AnyFunction = (...args: unknown[]) => unknown;

const METHODS = [
  "assert", "clear", "count", "countReset", "debug", "dir", "dirxml", "error", "group", "groupCollapsed", "groupEnd", "info", "log",
  "profile", "profileEnd", "table", "time", "timeEnd", "timeLog", "timeStamp", "trace", "warn",
];

const Console = function (): never {
  throw unimplemented("Console");
} as unknown as { prototype: Record<string, unknown> };
Object.defineProperty(Console, "name", { value: "Console", configurable: true });

function context(): never {
  throw unimplemented("Console.context");
}

function createTask(): never {
  throw unimplemented("Console.createTask");
}

let made: Record<string, unknown> | undefined;

export function consoleModule(): Record<string, unknown> {
  if (made !== undefined) return made;
  const whole = console as unknown as Record<string, unknown>;
  const members: Record<string, unknown> = { Console, context, createTask };
  for (const name of METHODS) {
    const method = whole[name];
    if (typeof method === "function") members[name] = (method as AnyFunction).bind(console);
  }
  Object.assign(Console.prototype, members, { Console: undefined });
  delete Console.prototype["Console"];
  const { stdout, stderr } = process as unknown as Record<string, unknown>;
  const quiet = (): void => undefined;
  const inner = { _times: new Map(), _ignoreErrors: true, _stderrErrorHandler: quiet, _stdoutErrorHandler: quiet, _stderr: stderr, _stdout: stdout };
  for (const [name, value] of Object.entries({ ...inner, Console, context, createTask })) {
    Object.defineProperty(whole, name, { value, writable: true, configurable: true, enumerable: !name.startsWith("_") });
  }
  return (made = { ...members, default: console });
}
