// Errors that the platform itself makes: DOMExceptions by name and the stack of a remote error.
//
// `DOMException` is the web platform's; until a global of that name exists an `Error` with the
// right name stands in.
//
// Invariant: no message here holds text of the host's.

import { STACK_CHARS_MAX } from "./rpc/tags.ts";

type DomExceptionMaker = new (message: string, name: string) => Error;

export function domException(message: string, name: string): Error {
  const maker = (globalThis as unknown as { DOMException?: DomExceptionMaker }).DOMException;
  if (maker !== undefined) return new maker(message, name);
  const error = new Error(message);
  error.name = name;
  return error;
}

export function dataCloneError(message: string): Error {
  return domException(message, "DataCloneError");
}

/** An error's stack as another may see it. That of a syntax error begins with the place it names. */
export function stackOf(error: object): string {
  const { stack, fileName, lineNumber, columnNumber } = error as Record<string, unknown>;
  const text = typeof stack === "string" ? stack.trimEnd() : "";
  if (!(error instanceof SyntaxError) || typeof fileName !== "string" || fileName === "") return text.slice(0, STACK_CHARS_MAX);
  const place = `${fileName}:${String(lineNumber)}:${String(columnNumber)}`;
  if (fileName.startsWith("mayfly:") || text.includes(place)) return text.slice(0, STACK_CHARS_MAX);
  // Not from `toString()`, which may be the user's.
  const frames = text.indexOf("\n    at ");
  const header = frames < 0 ? text : text.slice(0, frames);
  return `${header}\n    at ${place}${text.slice(header.length)}`.slice(0, STACK_CHARS_MAX);
}

/**
 * The stack of an error that came from another Worker: where it arrived here, then where it was
 * thrown there. Never equal to the original, so nobody takes the frames for their own.
 */
export function remoteStack(error: Error, remote: string): string {
  const local = String(error.stack ?? "").trimEnd();
  if (remote === "") return local;
  return `${local === "" ? "" : `${local}\n`}--- remote ---\n${remote}`.slice(0, STACK_CHARS_MAX);
}

/** How a value is called in a message about it: `undefined`, `a string ("x")`, `an array`. */
export function describe(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (typeof value === "string") return `the string ${JSON.stringify(value.length > 64 ? `${value.slice(0, 64)}…` : value)}`;
  if (typeof value === "number" || typeof value === "boolean") return `the ${typeof value} ${String(value)}`;
  if (typeof value === "bigint") return `the bigint ${String(value)}n`;
  if (typeof value === "symbol") return "a symbol";
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return "an array";
  return "an object";
}

/** Says which limit an error is about, for programs; its message says so to people. */
export function addBudget<E extends object>(error: E, budget: string, value: number, limit: number): E {
  return Object.assign(error, { budget, value, limit });
}
